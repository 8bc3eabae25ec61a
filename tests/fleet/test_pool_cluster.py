"""The same on a Dask cluster: every file once, whatever one of them does to its worker, and clear words beforehand."""

from __future__ import annotations

import json
import os
import socket
import subprocess
import sys
import threading
from collections import Counter
from contextlib import suppress
from importlib.util import find_spec
from pathlib import Path

import pool_work
import pytest
from waiting import PATIENCE, wait_for

from auditor.errors import ArgumentError, AuditorError, MissingPackageError, OutputError
from auditor.fleet.workers import dask_cluster as cluster
from auditor.fleet.workers.dask_cluster import run_on_cluster
from auditor.fleet.workers.retry_plan import FailedFile, Task

pytestmark = pytest.mark.slow


def test_without_dask_it_says_what_to_install(monkeypatch):
    monkeypatch.setitem(sys.modules, "distributed", None)
    with pytest.raises(MissingPackageError, match=r'pip install "dask\[distributed\]"'):
        list(run_on_cluster([], pool_work.names))


needs_dask = pytest.mark.skipif(
    find_spec("distributed") is None,
    reason='Dask is not installed (pip install "dask[distributed]")',
)


@pytest.fixture
def files(tmp_path):
    """Return how to make a task of files with these names."""

    def make(number: int, *names: str) -> Task:
        for name in names:
            (tmp_path / name).write_bytes(b"x" * 100)
        return Task(number, tuple(str(tmp_path / name) for name in names))

    return make


def fates(tasks: list[Task], results) -> dict[str, str]:
    """Return what became of each file, by its name. Every file must be delivered exactly once."""
    delivered, found = [], {}
    for task, result in results:
        delivered += task.files
        lost = isinstance(result, FailedFile)
        found |= {os.path.basename(result.path): result.how} if lost else dict.fromkeys(result, "done")
    assert Counter(delivered) == Counter(path for task in tasks for path in task.files)
    return found


@needs_dask
def test_a_file_that_ends_its_worker_hangs_or_raises_is_lost_and_nothing_else_is(files):
    tasks = [files(0, "a", "kill", "b"), files(1, "c", "raise"), files(2, "hang", "d"), files(3, "e"), files(4, "once")]
    told, notes = [], []
    results = run_on_cluster(
        iter(tasks),
        pool_work.told_names,
        workers=2,
        limit=lambda _: 4,
        progress=lambda *words: told.append(words),
        note=notes.append,
    )
    assert fates(tasks, results) == {
        **dict.fromkeys(("a", "b", "c", "d", "e", "once"), "done"),
        "kill": "ended its worker several times",
        "raise": "ValueError: fault in raise",
        "hang": "took longer than 4 seconds",
    }
    assert sum(files for _, files, _ in told) == 9
    assert notes == []


@pytest.fixture(scope="module")
def scheduler(tmp_path_factory):
    """Return the address of a scheduler with two workers, as an administrator starts them; their nannies; a folder."""
    folder = tmp_path_factory.mktemp("cluster")
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join([*sys.path, str(Path(cluster.__file__).parents[2])])}
    found = folder / "scheduler.json"
    port = ("--port", "0", "--no-dashboard")
    commands = (
        ("dask_scheduler", "--host", "127.0.0.1", *port, "--scheduler-file", str(found)),
        ("dask_worker", "--scheduler-file", str(found), "--nworkers", "2", "--nthreads", "1", "--no-dashboard"),
    )
    started = []
    try:
        for program, *words in commands:
            command = [sys.executable, "-m", f"distributed.cli.{program}", *words]
            quiet = {"stdout": subprocess.DEVNULL, "stderr": subprocess.DEVNULL}
            started.append(subprocess.Popen(command, cwd=folder, env=environment, **quiet))
        wait_for(lambda: found.exists() and bool(found.read_text().strip()))
        yield json.loads(found.read_text())["address"], folder
    finally:
        for one in reversed(started):
            one.terminate()
            one.wait(PATIENCE)


@needs_dask
def test_a_scheduler_that_runs_elsewhere_is_used(scheduler, files):
    address, _ = scheduler
    tasks, notes = [files(number, f"a{number}", "kill" if number == 3 else f"b{number}") for number in range(5)], []
    found = fates(tasks, run_on_cluster(tasks, pool_work.names, scheduler=address, note=notes.append))
    assert [name for name, fate in found.items() if fate != "done"] == ["kill"]
    setting = "DASK_DISTRIBUTED__SCHEDULER__ALLOWED_FAILURES=2"
    assert notes == [f"a file may end 4 workers before it is given up: start the scheduler with {setting}"]


@needs_dask
def test_workers_that_see_other_folders_are_told_before_anything_is_done(scheduler, files, tmp_path, monkeypatch):
    address, folder = scheduler
    monkeypatch.chdir(tmp_path)
    files(0, "a")
    with pytest.raises(AuditorError, match=rf"tcp://.*: this worker cannot read a. Its current folder is {folder}"):
        list(run_on_cluster([Task(0, ("a",))], pool_work.names, scheduler=address))
    with pytest.raises(AuditorError, match=r"cannot read /no/such/out. Put the files on a share"):
        list(run_on_cluster([files(0, "a")], pool_work.names, scheduler=address, visible=["/no/such/out"]))


@needs_dask
def test_another_version_on_a_worker_is_told(scheduler, files, monkeypatch):
    monkeypatch.setattr(cluster, "VERSION", "0.0.1")
    with pytest.raises(AuditorError, match=r"version .* there and 0\.0\.1 here. .*pip install \"\.\[cluster\]\""):
        list(run_on_cluster([files(0, "a")], pool_work.names, scheduler=scheduler[0]))


@needs_dask
def test_a_full_disk_of_a_worker_ends_it_all(scheduler, files):
    with pytest.raises(OutputError, match=r"the disk is full. Make room"):
        list(run_on_cluster([files(0, "a", "full")], pool_work.names, scheduler=scheduler[0]))


@needs_dask
def test_a_scheduler_that_does_not_answer_is_told_soon(monkeypatch):
    assert cluster.CONNECT_S <= 10
    monkeypatch.setattr(cluster, "CONNECT_S", 1)
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    with pytest.raises(AuditorError, match=rf"^tcp://127.0.0.1:{port}: no response of a Dask scheduler. Check"):
        list(run_on_cluster([Task(0, ("a",))], pool_work.names, scheduler=f"tcp://127.0.0.1:{port}"))


@needs_dask
def test_a_port_behind_which_something_else_listens_is_told(monkeypatch):
    """Such as that of a web page: what it answers is no length of a message, and not worth all memory there is."""
    monkeypatch.setattr(cluster, "CONNECT_S", 1)
    with socket.create_server(("127.0.0.1", 0)) as web:
        port = web.getsockname()[1]
        threading.Thread(target=_answer, args=(web,), daemon=True).start()
        with pytest.raises(AuditorError, match=rf"^tcp://127.0.0.1:{port}: no response of a Dask scheduler. Check"):
            list(run_on_cluster([Task(0, ("a",))], pool_work.names, scheduler=f"tcp://127.0.0.1:{port}"))


def _answer(server: socket.socket) -> None:
    with suppress(OSError):
        while True:
            caller, _ = server.accept()
            with caller:
                caller.sendall(b"HTTP/1.1 400 Bad Request\r\nServer: web\r\nConnection: close\r\n\r\n" * 9)


@needs_dask
def test_what_is_no_address_is_told():
    with pytest.raises(ArgumentError, match=r"'cluster' is not an address of a scheduler. .*tcp://10\.0\.0\.5:8786"):
        list(run_on_cluster([], pool_work.names, scheduler="cluster"))


@needs_dask
def test_a_scheduler_without_workers_is_told(monkeypatch):
    from distributed import LocalCluster

    monkeypatch.setattr(cluster, "FIRST_WORKER_S", 0.5)
    with (
        LocalCluster(n_workers=0, dashboard_address="127.0.0.1:0") as empty,
        pytest.raises(AuditorError, match=r"this scheduler has no workers. Start workers: dask worker tcp://"),
    ):
        list(run_on_cluster([Task(0, ("a",))], pool_work.names, scheduler=empty.scheduler_address))
