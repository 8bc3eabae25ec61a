"""A pool delivers every file exactly once, whatever some of them do to its processes, and leaves none behind."""

from __future__ import annotations

import math
import os
import signal
import subprocess
import sys
from collections import Counter
from pathlib import Path

import pool_work
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from waiting import PATIENCE, wait_for

from auditor.errors import AuditorError, OutputError
from auditor.fleet.workers import pool as running
from auditor.fleet.workers.capacity import usable_processors, usual_workers
from auditor.fleet.workers.current_file import begin
from auditor.fleet.workers.pool import Processes, run, usual_limit
from auditor.fleet.workers.retry_plan import Attempt, FailedFile, Failure, Plan, Task

pytestmark = [pytest.mark.slow, pytest.mark.skipif(os.name == "nt", reason="signals as Linux knows them")]


def done(*tasks: tuple[str, ...], work=pool_work.told_names, workers: int = 2, **options) -> dict[str, str]:
    """Run tasks; return what became of each file, by its name. Every file must be delivered exactly once."""
    given = [Task(number, files) for number, files in enumerate(tasks)]
    delivered, fates = [], {}
    for task, result in run(iter(given), work, workers=workers, **options):
        assert set(task.files) <= set(given[task.number].files)
        delivered += task.files
        if isinstance(result, FailedFile):
            assert task.files == (result.path,)
            fates[os.path.basename(result.path)] = result.how
        else:
            assert result == tuple(map(os.path.basename, task.files))
            fates |= dict.fromkeys(result, "done")
    assert Counter(delivered) == Counter(path for files in tasks for path in files)
    return fates


def test_every_task_is_done_in_another_process():
    tasks = [Task(number, (f"{number}",)) for number in range(40)]
    results = list(run(tasks, pool_work.process, workers=2))
    assert sorted(task.number for task, _ in results) == list(range(40))
    pids = {pid for _, result in results for pid in result}
    assert len(pids) == 2
    assert os.getpid() not in pids
    assert not any(_lives(pid) for pid in pids)


def test_without_workers_all_is_done_here():
    assert list(run([Task(7, ("a", "b"))], pool_work.process, workers=0)) == [(Task(7, ("a", "b")), (os.getpid(),) * 2)]
    assert done(("a", "raise", "b"), workers=0) == {"a": "done", "raise": "ValueError: fault in raise", "b": "done"}


def test_nothing_to_do_needs_no_process():
    assert list(run([], pool_work.names, workers=2)) == []


@pytest.mark.parametrize("work", [pool_work.names, pool_work.told_names])
@pytest.mark.parametrize(
    ("fate", "how"),
    [
        ("kill", "ended its process twice (signal 9, SIGKILL)"),
        ("crash", "ended its process twice (signal 11, SIGSEGV)"),
        ("exit", "ended its process twice (exit code 7)"),
        ("raise", "ValueError: fault in raise"),
        ("quit", "SystemExit: 5"),
    ],
)
def test_a_file_that_ends_its_process_is_lost_and_nothing_else_is(work, fate, how):
    fates = done(("a", "b", fate, "c"), ("d", "e"), ("f",), work=work)
    assert fates == {**dict.fromkeys("abcdef", "done"), fate: how}


@pytest.mark.parametrize("work", [pool_work.names, pool_work.told_names])
def test_a_file_that_ends_its_process_once_is_done(tmp_path, work):
    path = tmp_path / "once"
    path.touch()
    assert done(("a", str(path), "b"), work=work) == {"a": "done", "once": "done", "b": "done"}


@pytest.mark.parametrize("fate", ["hang", "stuck"])
def test_a_file_that_hangs_is_lost_in_time(fate, tmp_path):
    path = tmp_path / fate
    path.write_bytes(b"x")
    fates = done(("a", str(path), "b"), ("c",), limit=lambda size: 0.8 if size else math.inf)
    assert fates == {"a": "done", fate: "took longer than 0.8 seconds", "b": "done", "c": "done"}


def test_many_slow_files_are_not_one_that_hangs():
    assert done(tuple(f"slow{number}" for number in range(15)), limit=lambda _: 2)["slow14"] == "done"


def test_a_hang_is_found_while_others_keep_the_pool_busy():
    busy = True

    def tasks():
        yield Task(0, ("hang",))
        number = 0
        while busy and number < 100_000:
            number += 1
            yield Task(number, (f"{number}",))

    for task, result in run(tasks(), pool_work.told_names, workers=2, limit=lambda _: 1):
        if task.files == ("hang",):
            assert busy
            assert result.how.startswith("took longer")
            busy = False
    assert not busy


def test_what_the_work_prints_does_no_harm():
    assert done(("print", "a"), ("print2",)) == {"print": "done", "a": "done", "print2": "done"}


def test_a_full_disk_is_no_fault_of_a_file():
    with pytest.raises(OutputError, match=r"full: the disk is full. Make room"):
        done(("a", "full"))


def test_work_that_no_process_can_load_is_told():
    work = type("Local", (), {"__reduce__": lambda _: (__import__, ("no_such_module",))})()
    with pytest.raises(AuditorError, match=r"cannot be started \(ModuleNotFoundError: .*no_such_module"):
        list(run([Task(0, ("a",))], work, workers=1))


def test_processes_that_cannot_start_are_told(monkeypatch):
    monkeypatch.setattr("auditor.fleet.workers.worker.START", "import os; os._exit(3)")
    with pytest.raises(AuditorError, match=r"cannot be started \(exit code 3\)"):
        list(run([Task(0, ("a",))], pool_work.names, workers=2))


def test_tasks_are_asked_for_one_by_one():
    asked = []

    def tasks():
        for number in range(1000):
            asked.append(number)
            yield Task(number, ("a",))

    results = run(tasks(), pool_work.names, workers=2)
    next(results)
    assert len(asked) < 6
    results.close()


def test_processes_go_on_with_the_next_work():
    tasks = [Task(number, (str(number),)) for number in range(4)]
    with Processes(2) as processes:
        first = {pid for _, pids in processes.run(tasks, pool_work.process) for pid in pids}
        assert sorted(name for _, names in processes.run(tasks, pool_work.names) for name in names) == list("0123")
        second = {pid for _, pids in processes.run(tasks, pool_work.process) for pid in pids}
        assert second <= first
        assert not any(pid == os.getpid() for pid in first)
    assert not any(map(_lives, first))


def test_processes_that_died_between_two_works_cost_nothing():
    """As many as do when memory runs out: that is no failed start, of which a few are enough to give up."""
    tasks = [Task(number, (str(number),)) for number in range(12)]
    with Processes(5) as processes:
        for pid in {pid for _, pids in processes.run(tasks, pool_work.process) for pid in pids}:
            os.kill(pid, signal.SIGKILL)
        assert sorted(name for _, names in processes.run(tasks, pool_work.names) for name in names) == sorted(
            map(str, range(12))
        )


def test_a_process_that_stopped_between_two_works_is_replaced(monkeypatch):
    """The work is larger than a pipe holds, so that it cannot be sent to who does not read."""
    monkeypatch.setattr(running, "START_S", 1.0)
    tasks = [Task(number, (str(number),)) for number in range(4)]
    with Processes(2) as processes:
        (pid, *_) = {pid for _, pids in processes.run(tasks, pool_work.process) for pid in pids}
        os.kill(pid, signal.SIGSTOP)
        found = list(processes.run(tasks, pool_work.Large("x" * 1_000_000)))
    assert sorted(task.files for task, _ in found) == [("0",), ("1",), ("2",), ("3",)]
    assert not _lives(pid)


def test_processes_go_on_after_a_run_that_was_given_up():
    with Processes(2) as processes:
        results = processes.run([Task(0, ("a",)), Task(1, ("hang",))], pool_work.names)
        next(results)
        results.close()
        found = list(processes.run([Task(0, ("b",)), Task(1, ("c",))], pool_work.names))
    assert sorted(names for _, names in found) == [("b",), ("c",)]


def test_progress_adds_up_also_when_something_dies(tmp_path):
    for name in ("a", "b", "kill", "c", "raise"):
        (tmp_path / name).write_bytes(b"x" * 100)
    paths = tuple(str(path) for path in sorted(tmp_path.iterdir()))
    for work in (pool_work.names, pool_work.told_names):
        told = []
        done(paths, work=work, progress=lambda *words, told=told: told.append(words))
        assert (sum(files for _, files, _ in told), sum(size for _, _, size in told)) == (5, 500)
    assert {path for path, _, _ in told if path} == set(paths)


def test_giving_up_ends_all_processes():
    results = run([Task(0, ("a",)), Task(1, ("hang",)), Task(2, ("stuck",))], pool_work.told_names, workers=3)
    next(results)
    mine = _children(os.getpid())
    assert len(mine) >= 1
    results.close()
    assert not any(_lives(pid) for pid in mine)


COORDINATOR = """
import signal, sys
signal.signal(signal.SIGINT, signal.default_int_handler)  # a job in the background ignores it
sys.path[:0] = {path!r}
import pool_work
from auditor.fleet.workers.retry_plan import Task
from auditor.fleet.workers.pool import run
tasks = [Task(0, ("hang",)), Task(1, ("stuck",)), Task(2, ("a",))]
for _ in run(tasks, pool_work.told_names, workers=3):
    print("running", flush=True)
"""


@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGTERM, signal.SIGINT])
def test_no_process_is_left_when_the_one_that_started_them_dies(number):
    """No guard `if __name__ == "__main__"` is needed either."""
    with subprocess.Popen(
        [sys.executable, "-c", COORDINATOR.format(path=sys.path)], stdout=subprocess.PIPE, stderr=subprocess.PIPE
    ) as coordinator:
        assert coordinator.stdout.readline() == b"running\n"
        workers = _children(coordinator.pid)
        assert len(workers) >= 2
        coordinator.send_signal(number)
        coordinator.wait(PATIENCE)
        wait_for(lambda: not any(map(_lives, workers)))
        said = coordinator.stderr.read().decode().splitlines()
    assert said[-1:] == (["KeyboardInterrupt"] if number == signal.SIGINT else [])


def _children(pid: int) -> list[int]:
    """Return the workers that a process has started."""
    words = [word for path in Path(f"/proc/{pid}/task").glob("*/children") for word in path.read_text().split()]
    return [int(word) for word in words if b"workers.worker" in Path(f"/proc/{word}/cmdline").read_bytes()]


def _lives(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except OSError:
        return False


@settings(max_examples=6)
@given(
    tasks=st.lists(st.lists(st.sampled_from(["ok", "kill", "exit", "raise"]), min_size=1, max_size=5), max_size=5),
    telling=st.booleans(),
)
def test_every_file_is_delivered_once_whatever_dies(tasks, telling):
    named = [tuple(f"{number}-{at}-{fate}" for at, fate in enumerate(fates)) for number, fates in enumerate(tasks)]
    fates = done(*named, work=pool_work.told_names if telling else pool_work.names)
    assert {name for name, how in fates.items() if how == "done"} == {
        name for files in named for name in files if name.endswith("ok")
    }


@given(data=st.data(), sizes=st.lists(st.integers(1, 9), max_size=8), telling=st.booleans())
def test_the_plan_loses_only_what_failed_alone(data, sizes, telling):
    """All orders of events, without processes: what is guilty always fails, others sometimes, when not alone."""
    tasks = [Task(number, tuple(f"{number}-{at}" for at in range(size))) for number, size in enumerate(sizes)]
    files = [path for task in tasks for path in task.files]
    guilty = set(data.draw(st.lists(st.sampled_from(files), max_size=5))) if files else set()
    plan, running, delivered, lost = Plan(tasks), list[Attempt](), list[str](), list[str]()
    unlucky = data.draw(st.integers(0, 5))
    while True:
        while len(running) < 3 and (attempt := plan.next(len(running))):
            running.append(attempt)
        if not running:
            break
        assert len(running) == 1 or not any(attempt.alone for attempt in running)
        attempt = running.pop(data.draw(st.integers(0, len(running) - 1)))
        wrong = [path for path in attempt.task.files if path in guilty]
        innocent = not wrong and not attempt.alone and unlucky > 0
        unlucky -= innocent
        if wrong or innocent:
            suspect = (wrong or attempt.task.files)[0] if telling else ""
            found = plan.failed(attempt, Failure("died", suspect=suspect))
            lost += [found[1].path] if found else []
        else:
            delivered += attempt.task.files
    assert sorted(delivered + lost) == sorted(files)
    assert set(lost) == guilty


def test_a_large_file_may_take_longer():
    assert usual_limit(0) == 600
    assert usual_limit(64_000_000) > 900


def test_begin_is_for_any_place():
    begin("a")


def test_workers_are_as_many_as_the_container_may_use(tmp_path):
    known = len(os.sched_getaffinity(0))
    assert usable_processors(tmp_path) == known
    (tmp_path / "cpu.max").write_text("max 100000\n")
    assert usable_processors(tmp_path) == known
    (tmp_path / "cpu.max").write_text("50000 100000\n")
    assert usable_processors(tmp_path) == 1
    assert 1 <= usual_workers() <= 3


def test_workers_that_somebody_kills_in_mid_run_cost_nothing():
    tasks = [Task(number, tuple(f"{number}-{at}-slow" for at in range(2))) for number in range(12)]
    delivered, killed = [], []
    for task, result in run(tasks, pool_work.told_names, workers=2):
        assert not isinstance(result, FailedFile)
        delivered += task.files
        for pid in [pid for pid in _children(os.getpid()) if pid not in killed][: len(killed) < 3]:
            os.kill(pid, signal.SIGKILL)
            killed.append(pid)
    assert sorted(delivered) == sorted(path for task in tasks for path in task.files)
    assert len(killed) == 3
