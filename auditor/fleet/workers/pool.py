"""Work on many tasks at once in processes of our own; whatever a file does to one of them, all others get done.

Not concurrent.futures: its pool breaks as a whole when one process dies, and the task of that process is unknown.
"""

from __future__ import annotations

import os
import pickle
import queue
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import suppress
from typing import Any, TypeVar

from auditor.errors import AuditorError, SourceError
from auditor.fleet.workers import worker
from auditor.fleet.workers.capacity import usual_workers
from auditor.fleet.workers.channel import packed, receive, send_bytes
from auditor.fleet.workers.current_file import file_callback, size_of
from auditor.fleet.workers.retry_plan import NOT_ENOUGH_MEMORY, Attempt, FailedFile, Failure, Plan, Task

Result = TypeVar("Result")
Work = Callable[[tuple[str, ...]], Result]
FileProgress = Callable[[str, int, int], None]  # file that is begun, or ""; files and bytes done since; may shrink
TimeLimit = Callable[[int], float]  # seconds that a file of so many bytes may take

LIMIT_S = 600.0
SLOWEST_BYTES_PER_S = 200_000
START_S = 120.0  # to load what the work needs; a computer that has other things to do takes its time
TICK_S = 0.25
END_S = 5.0
MOST_FAILED_STARTS = 3
SLOW_HINT = "Copy it to this computer and analyze it alone: auditor analyze FILE"
CRASHES = {0xC0000005: "access violation", 0xC00000FD: "stack overflow", 0xC0000017: "out of memory"}  # NTSTATUS


def usual_limit(size: int) -> float:
    """Return the default time limit in seconds for a file of a size: ten minutes, more if it is large."""
    return LIMIT_S + size / SLOWEST_BYTES_PER_S


def too_slow(seconds: float, suspect: str) -> Failure:
    """Return the message that a file took longer than its limit."""
    allowed = f"{seconds / 60:,.0f} minutes" if seconds >= 120 else f"{seconds:,.3g} seconds"
    return Failure(f"took longer than {allowed}", SLOW_HINT, suspect, hung=True)


def silent(_path: str, _files: int, _bytes: int) -> None:
    """Report nothing."""


def run(
    tasks: Iterable[Task],
    work: Work[Result],
    *,
    workers: int | None = None,
    progress: FileProgress = silent,
    limit: TimeLimit | None = usual_limit,
) -> Iterator[tuple[Task, Result | FailedFile]]:
    """Yield what the work returns for every task, or for parts of it, in any order; each file is in exactly one.

    Tasks are asked for one by one. All processes end with this iterator, also when it is given up, and when this
    process dies.

    Args:
        tasks: Asked for one by one.
        work: A function of a module, with a small result; it may tell by current_file.begin which file it is at. A task
            whose work dies, raises or hangs is tried again in parts; a file that does it twice, or that takes too long,
            comes as FailedFile, in a task of its own. Only an AuditorError that is no SourceError, such as a full disk,
            is raised here.
        workers: Processes; None for as many as there is room for; 0 to work in this process, for comparison: then a
            file that ends its process ends this one.
        progress: Called with the file that is begun, and how many files and bytes are done.
        limit: How long a file may take, None for ever; not with 0 workers.

    Raises:
        AuditorError: If no process can be started.
    """
    if workers == 0:
        return _in_turn(Plan(tasks), work, progress)
    return _kept_for_one(tasks, work, workers, progress, limit)


def _kept_for_one(
    tasks: Iterable[Task], work: Work[Result], workers: int | None, progress: FileProgress, limit: TimeLimit | None
) -> Iterator[tuple[Task, Result | FailedFile]]:
    with Processes(workers) as processes:
        yield from processes.run(tasks, work, progress=progress, limit=limit)


class Processes:
    """Processes that go on from one kind of work to the next: to start them takes as long as to read many a log.

    They are started when they are needed, and end with this context. One run at a time.

    Args:
        workers: As of `run`.
    """

    def __init__(self, workers: int | None = None) -> None:
        self._workers = workers
        self._heard: MessageQueue = queue.SimpleQueue()
        self._idle: list[_Worker] = []

    def __enter__(self) -> Processes:
        return self

    def __exit__(self, *_: object) -> None:
        for process in self._idle:
            process.shut_down()
        for process in self._idle:
            process.ended()
        self._idle.clear()

    def run(
        self,
        tasks: Iterable[Task],
        work: Work[Result],
        *,
        progress: FileProgress = silent,
        limit: TimeLimit | None = usual_limit,
    ) -> Iterator[tuple[Task, Result | FailedFile]]:
        """Do as the function `run`; those that have nothing to do wait for the next work."""
        if self._workers == 0:
            return _in_turn(Plan(tasks), work, progress)
        count = self._workers or usual_workers()
        return _Pool(Plan(tasks), pickle.dumps(work), count, progress, limit, self._heard, self._idle).results()


def _in_turn(plan: Plan, work: Work[Result], progress: FileProgress) -> Iterator[tuple[Task, Result | FailedFile]]:
    """Work in this process."""
    while (attempt := plan.next(0)) is not None:
        reading = _Reading(progress)
        try:
            with file_callback(reading.hear):
                result = work(attempt.task.files)
        except Exception as error:
            if isinstance(error, AuditorError) and not isinstance(error, SourceError):
                raise
            reading.undo()
            lost = plan.failed(attempt, Failure.of(error, reading.path))
            if lost:
                progress("", 1, size_of(lost[1].path))
                yield lost
            continue
        waiting = [path for path in attempt.task.files if path not in reading.begun]
        reading.end(len(waiting), sum(map(size_of, waiting)))
        yield attempt.task, result


class _Reading:
    """Progress of one task, reported so that files and bytes add up in the end."""

    def __init__(self, progress: FileProgress) -> None:
        self._progress = progress
        self._files = self._bytes = 0
        self._size = 0
        self.path = ""
        self.begun: set[str] = set()

    def begin(self, path: str, size: int) -> None:
        """Note that a file is begun, and so the one before it done."""
        self._tell(path, 1 if self.path else 0, self._size)
        self.path, self._size = path, size
        self.begun.add(path)

    def hear(self, path: str) -> None:
        """Note that a file is begun whose size is unknown."""
        self.begin(path, size_of(path))

    def end(self, files: int, size: int) -> None:
        """Note that all is done, also these files that were not begun one by one."""
        self._tell("", files + (1 if self.path else 0), size + self._size)

    def undo(self) -> None:
        """Take back what was reported: it has to be done again."""
        self._progress("", -self._files, -self._bytes)

    def _tell(self, path: str, files: int, size: int) -> None:
        self._files += files
        self._bytes += size
        self._progress(path, files, size)


class _Worker:
    """One process, and what it is at.

    Args:
        heard: Where its answers go, each with the worker; None when it has ended.
    """

    def __init__(self, work: bytes, heard: MessageQueue) -> None:
        quiet = None if os.environ.get("AUDITOR_DEBUG") else subprocess.DEVNULL
        self._process = subprocess.Popen(
            [sys.executable, "-c", worker.START, *map(str, sys.path)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=quiet,
        )
        assert self._process.stdin is not None
        self._tasks = self._process.stdin
        self.attempt: Attempt | None = None
        self.ready = False  # whether it has ever reported that it is ready
        self.started = False  # whether it has begun with the attempt
        self.due = float("inf")
        self.allowed = 0.0
        self.reading = _Reading(silent)
        self._to_send: queue.SimpleQueue[bytes | None] = queue.SimpleQueue()
        try:
            threading.Thread(target=self._listen, args=(heard,), daemon=True).start()
            threading.Thread(target=self._send, daemon=True).start()
        except RuntimeError as error:  # there are as many threads as this system allows
            self.kill()
            raise OSError(str(error)) from error
        self._work = b""
        self.learn(work)

    def learn(self, work: bytes) -> None:
        """Prepare for a work, unless it is the one that it did before."""
        if work is not self._work:
            self._work = work
            self._to_send.put(work)

    def _send(self) -> None:
        """Send what there is to send: who waits for a process that has stopped must not be who looks at the clock."""
        while (content := self._to_send.get()) is not None:
            with suppress(OSError):  # it has died, and will be heard to
                send_bytes(self._tasks, content)
        with suppress(OSError):
            self._tasks.close()

    def _listen(self, heard: MessageQueue) -> None:
        assert self._process.stdout is not None
        with suppress(EOFError, OSError), self._process.stdout as answers:
            while True:
                heard.put((self, receive(answers)))
        heard.put((self, None))

    def take(self, attempt: Attempt, progress: FileProgress) -> None:
        """Begin with an attempt."""
        self.attempt, self.started, self.reading = attempt, False, _Reading(progress)
        self._to_send.put(packed(attempt.task.files))

    def kill(self) -> None:
        """End the process at once."""
        with suppress(OSError):
            self._process.kill()

    def shut_down(self) -> None:
        """Let the process end: it does when nothing can come any more."""
        self._to_send.put(None)

    @property
    def is_alive(self) -> bool:
        """Whether the process is there."""
        return self._process.poll() is None

    def ended(self) -> int | None:
        """Return how the process ended, at last by force; None if not even that helps: it waits for a dead drive."""
        for _ in range(2):
            with suppress(subprocess.TimeoutExpired):
                return self._process.wait(END_S)
            self.kill()
        return None


MessageQueue = queue.SimpleQueue[tuple[_Worker, Any]]


class _Pool:
    """The tasks of one work, and the processes that they are at.

    Args:
        idle: The processes that wait, before and after.
    """

    def __init__(
        self,
        plan: Plan,
        work: bytes,
        workers: int,
        progress: FileProgress,
        limit: TimeLimit | None,
        heard: MessageQueue,
        idle: list[_Worker],
    ) -> None:
        self._plan, self._work, self._workers, self._progress, self._limit = plan, work, workers, progress, limit
        self._heard, self._idle = heard, idle
        self._busy: set[_Worker] = set()
        self._failed_starts = 0
        self._worked_s = 0.0  # while this process runs: neither asleep, nor stopped, nor left alone by its user
        self._looked = self._checked = time.monotonic()

    def results(self) -> Iterator[tuple[Task, Any]]:
        """Yield all results; no process is at work when this ends, however it ends."""
        try:
            while self._dispatch():
                yield from self._next_results()
        finally:
            for process in self._busy:
                process.kill()
            for process in self._busy:
                process.shut_down()
                process.ended()

    def _dispatch(self) -> bool:
        """Give each worker a task; return whether any is at work."""
        while len(self._busy) < self._workers:
            attempt = self._plan.next(len(self._busy))
            if attempt is None:
                break
            process = self._free_worker(attempt)
            if process is None:
                self._plan.put_back(attempt)
                break
            process.take(attempt, self._progress)
            self._busy.add(process)
            process.due = self._worked_s + START_S
        return bool(self._busy)

    def _free_worker(self, attempt: Attempt) -> _Worker | None:
        """Return a worker for an attempt; None if no further one can be started now."""
        if attempt.alone:
            for process in self._idle:
                process.shut_down()
                process.ended()
            self._idle.clear()
        while self._idle:
            process = self._idle.pop()
            if process.is_alive:
                process.learn(self._work)
                return process
            process.ended()
        try:
            return _Worker(self._work, self._heard)
        except OSError as error:
            if self._busy:
                return None
            raise _cannot_start(error.strerror or str(error)) from error

    def _next_results(self) -> Iterator[tuple[Task, Any]]:
        """Wait for a moment, and yield what has come."""
        process: _Worker | None
        try:
            process, content = self._heard.get(timeout=TICK_S)
        except queue.Empty:
            process, content = None, None
        now = time.monotonic()
        self._worked_s += min(now - self._looked, 2 * TICK_S)
        self._looked = now
        if process in self._busy:
            message = (None,) if content is None else pickle.loads(content)
            yield from self._handle_message(process, *message)
        elif process in self._idle:
            self._idle.remove(process)  # it has ended, and nothing is lost
            process.ended()
        if now - self._checked >= TICK_S:
            self._checked = now
            yield from self._end_late_ones()

    def _handle_message(self, process: _Worker, kind: str | None, *words: Any) -> Iterator[tuple[Task, Any]]:
        """Take in one message of a worker; without a kind it has ended."""
        assert process.attempt is not None
        if kind == worker.READY:
            process.ready = True
        elif kind == worker.SIZE:
            process.started = True
            self._allow(process, *words)
        elif kind == worker.BEGUN:
            process.reading.begin(*words)
            self._allow(process, words[1])
        elif kind == worker.DONE:
            result, files, size = words
            process.reading.end(files, size)
            self._failed_starts = 0
            self._release(process)
            yield process.attempt.task, result
        elif kind == worker.RAISED:
            self._release(process)
            yield from self._failed(process, words[0])
        elif kind == worker.REFUSED:
            error, problem, where, hint = words
            raise error(problem, where=where, hint=hint)
        elif kind == worker.BROKEN:
            raise _cannot_start(words[0])
        elif kind is None:
            yield from self._died(process)

    def _release(self, process: _Worker) -> None:
        self._busy.remove(process)
        self._idle.append(process)

    def _died(self, process: _Worker) -> Iterator[tuple[Task, Any]]:
        assert process.attempt is not None
        self._busy.remove(process)
        process.kill()
        how = _how(process.ended())
        if process.started:
            yield from self._failed(
                process, Failure(f"ended its process twice ({how})", NOT_ENOUGH_MEMORY, process.reading.path)
            )
            return
        self._failed_starts += not process.ready
        if self._failed_starts >= MOST_FAILED_STARTS:
            raise _cannot_start(how)
        self._plan.put_back(process.attempt)

    def _allow(self, process: _Worker, size: int) -> None:
        process.allowed = self._limit(size) if self._limit else float("inf")
        process.due = self._worked_s + process.allowed

    def _end_late_ones(self) -> Iterator[tuple[Task, Any]]:
        for process in [process for process in self._busy if process.due < self._worked_s]:
            if not process.started:
                yield from self._died(process)
                continue
            self._busy.remove(process)
            process.kill()
            process.ended()
            yield from self._failed(process, too_slow(process.allowed, process.reading.path))

    def _failed(self, process: _Worker, failure: Failure) -> Iterator[tuple[Task, Any]]:
        assert process.attempt is not None
        process.reading.undo()
        lost = self._plan.failed(process.attempt, failure)
        if lost:
            self._progress("", 1, size_of(lost[1].path))
            yield lost


def _cannot_start(why: str) -> AuditorError:
    hint = "To check the installation, run auditor doctor. To use no worker processes, set --workers 0."
    return AuditorError(f"the processes that read the sources cannot be started ({why})", hint=hint)


def _how(code: int | None) -> str:
    """Return how a process ended, in words."""
    if code is None:
        return "no answer"
    if code < 0:
        with suppress(ValueError):
            return f"signal {-code}, {signal.Signals(-code).name}"
        return f"signal {-code}"
    return f"{CRASHES[code]}, {code:#x}" if code in CRASHES else f"exit code {code}"
