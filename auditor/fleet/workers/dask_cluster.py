"""The same as running.run on a cluster that Dask holds together: of this computer, or of many with a shared folder.

Dask tries a task again when its worker dies, and gives it up as killed when that happened too often; which of the
files it was, and whether not another task of the same worker, the plan finds out as it does for our own processes.
"""

from __future__ import annotations

import logging
import os
import platform
import queue
import threading
import time
import warnings
from asyncio import CancelledError
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from itertools import chain
from typing import TYPE_CHECKING, Any, TypeVar

from auditor.errors import ArgumentError, AuditorError, MissingPackageError, SourceError
from auditor.fleet.workers.capacity import usual_workers
from auditor.fleet.workers.current_file import file_callback, size_of
from auditor.fleet.workers.pool import FileProgress, TimeLimit, Work, silent, too_slow, usual_limit
from auditor.fleet.workers.retry_plan import NOT_ENOUGH_MEMORY, Attempt, FailedFile, Failure, Plan, Task
from auditor.sources.source import name_of
from auditor.version import VERSION

if TYPE_CHECKING:
    from distributed import Client, Future, LocalCluster

Result = TypeVar("Result")
Note = Callable[[str], None]

CONNECT_S = 8
FIRST_WORKER_S = 30
WITHOUT_WORKERS_S = 120.0  # a nanny takes some seconds for a new worker, more where much else runs
FETCH_S = 10
TICK_S = 0.5
ALLOWED_FAILURES = 2
WAITING_EACH = 2  # tasks for each thread of a worker, at work or on their way
DONE, FAILED, REFUSED = "done", "failed", "refused"
SETTINGS = {
    "distributed.scheduler.allowed-failures": ALLOWED_FAILURES,
    # Otherwise a worker that is away at the wrong moment, a quarter of a minute after it died, is never started again.
    "distributed.deploy.lost-worker-timeout": "1 day",
    "distributed.logging": {"distributed": "critical"},
    "logging": {"distributed": "critical"},
}


def run_on_cluster(
    tasks: Iterable[Task],
    work: Work[Result],
    *,
    scheduler: str | None = None,
    workers: int | None = None,
    visible: Sequence[str] = (),
    progress: FileProgress = silent,
    note: Note | None = None,
    limit: TimeLimit | None = usual_limit,
) -> Iterator[tuple[Task, Result | FailedFile]]:
    """Yield what the work returns for every task, or for parts of it, as running.run does.

    What hangs in C code and lets no thread run is ended only when Dask misses the worker (worker-ttl, five minutes).

    Args:
        tasks: As of `pool.run`.
        work: As of `pool.run`.
        scheduler: Address of a Dask scheduler, such as tcp://10.0.0.5:8786; without it a cluster on this computer with
            so many workers is started, and ended with this iterator.
        workers: Of the cluster that is started here.
        visible: Further paths that every worker must see; the files of the first task are looked for too.
        progress: As of `pool.run`.
        note: Called with sentences on faults of the cluster.
        limit: As of `pool.run`.

    Raises:
        MissingPackageError: Without Dask.
        ArgumentError: For what is no address.
        AuditorError: If the scheduler does not answer, its workers see other folders or have another auditor, or all of
            them are gone.
    """
    _check_installed()
    if scheduler is not None and "://" not in scheduler and ":" not in scheduler:
        hint = "Use the address that the scheduler prints, such as tcp://10.0.0.5:8786."
        raise ArgumentError(f"{scheduler!r} is not an address of a scheduler", where="--scheduler", hint=hint)
    with _quiet(), _client(scheduler, workers) as client:
        coming = iter(tasks)
        begin = next(coming, None)
        if begin is None:
            return
        _check(client, scheduler, [*begin.files, *visible], note or (lambda _: None))
        yield from _Run(client, Plan(chain([begin], coming)), work, progress, limit).results()


def _check_installed() -> None:
    try:
        import distributed  # noqa: F401 - only whether it can be
    except ImportError as error:
        package = '"dask[distributed]"'
        hint = f"Install it with: pipx inject auditor {package} (or pip install {package}). The workers need it too."
        raise MissingPackageError(f"a cluster needs Dask, which is not installed ({error})", hint=hint) from error


@contextmanager
def _quiet() -> Iterator[None]:
    """Keep Dask from reporting that a worker ended and was started again: the fleet reports it."""
    import dask

    logger = logging.getLogger("distributed")
    level = logger.level
    logger.setLevel(logging.CRITICAL + 1)
    try:
        with dask.config.set(SETTINGS):
            yield
    finally:
        logger.setLevel(level)


@contextmanager
def _client(scheduler: str | None, workers: int | None) -> Iterator[Client]:
    from distributed import Client, LocalCluster

    if scheduler is None:
        try:
            cluster = LocalCluster(
                n_workers=workers or usual_workers(),
                threads_per_worker=1,
                processes=True,
                dashboard_address=None,
                scheduler_kwargs={"dashboard_address": "127.0.0.1:0"},  # of the web server that it cannot do without
                silence_logs=logging.CRITICAL + 1,
            )
        except (OSError, RuntimeError) as error:
            hint = "Run `auditor batch` without a cluster: it needs neither --scheduler nor Dask."
            raise AuditorError(f"no cluster can be started on this computer ({error})", hint=hint) from error
        with cluster, Client(cluster) as client:
            try:
                yield client
            except BaseException:
                _kill(cluster)
                raise
        return
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # other versions of Dask are reported in one line below
            client = Client(scheduler, timeout=CONNECT_S)
    except (OSError, ValueError, TypeError, MemoryError) as error:  # MemoryError: no scheduler, so no length either
        hint = "Check the address, that `dask scheduler` runs there, and that firewalls allow its port."
        raise AuditorError("no response of a Dask scheduler", where=scheduler, hint=hint) from error
    with client:
        yield client


def _kill(cluster: LocalCluster) -> None:
    """End the workers at once, whatever they are at: to close them in order takes as long as that."""
    for nanny in cluster.workers.values():
        nanny.auto_restart = False
        with suppress(Exception):
            nanny.process.process.kill()


def _check(client: Client, scheduler: str | None, paths: list[str], note: Note) -> None:
    """Check that there are workers, with this auditor, that see these paths. Raises AuditorError."""
    where = scheduler or "the cluster"
    try:
        client.wait_for_workers(1, timeout=FIRST_WORKER_S)
    except TimeoutError as error:
        hint = f"Start workers: dask worker {scheduler or 'ADDRESS'}"
        raise AuditorError("this scheduler has no workers", where=where, hint=hint) from error
    install = 'Install the same version on all workers, in the folder of the project: pip install ".[cluster]"'
    answers: dict[str, Any] = client.run(_examined, paths, on_error="return")
    for address, answer in sorted(answers.items()):
        if isinstance(answer, BaseException):
            raise AuditorError(f"auditor cannot be loaded there ({answer})", where=address, hint=install)
        if answer.version != VERSION:
            problem = f"auditor is version {answer.version} there and {VERSION} here"
            raise AuditorError(problem, where=address, hint=install)
        if answer.unseen:
            raise _unseen(address, answer.unseen, answer.folder)
    for text in _doubts(client, answers):
        note(text)


@dataclass(frozen=True)
class _Examined:
    """What a worker has and sees."""

    version: str
    versions: str
    unseen: list[str]
    folder: str
    nanny: bool


def _examined(paths: list[str], dask_worker: Any) -> _Examined:
    """Return what a worker has and sees: run there."""
    unseen = [path for path in paths if not os.path.exists(path)]
    return _Examined(VERSION, _versions(), unseen, os.getcwd(), bool(dask_worker.nanny))


def _versions() -> str:
    from distributed import __version__  # type: ignore[attr-defined] # half of Dask is typed

    return f"Python {'.'.join(platform.python_version_tuple()[:2])} with Dask {__version__}"


def _doubts(client: Client, answers: dict[str, _Examined]) -> Iterator[str]:
    """Yield what may go wrong with these workers, in sentences; each for the first of those that it is true of."""
    versions = {address: answer.versions for address, answer in sorted(answers.items())}
    different = [f"{address} has {version}" for address, version in versions.items() if version != _versions()]
    if different:
        yield f"{_first(different)}, this computer runs {_versions()}. Use the same versions everywhere"
    alone = [address for address, answer in sorted(answers.items()) if not answer.nanny]
    if alone:
        yield f"{_first(alone)}: a worker that dies there is not started again; start it without --no-nanny"
    with suppress(Exception):  # a scheduler need not allow that it is asked
        allowed = client.run_on_scheduler(lambda dask_scheduler: dask_scheduler.allowed_failures)
        if allowed != ALLOWED_FAILURES:
            setting = f"DASK_DISTRIBUTED__SCHEDULER__ALLOWED_FAILURES={ALLOWED_FAILURES}"
            yield f"a file may end {allowed + 1} workers before it is given up: start the scheduler with {setting}"


def _first(texts: list[str]) -> str:
    return texts[0] + (f" (and {len(texts) - 1:,} more)" if len(texts) > 1 else "")


def _unseen(address: str, paths: list[str], folder: str) -> AuditorError:
    hint = "Put the files on a share that all workers reach under the same path."
    if not os.path.isabs(paths[0]):
        hint = f"Its current folder is {folder}. Use absolute paths on a share that all workers reach."
    return AuditorError(
        f"this worker cannot read {_first([name_of(path) for path in paths])}", where=address, hint=hint
    )


class _Run:
    """What is under way."""

    def __init__(
        self, client: Client, plan: Plan, work: Work[Any], progress: FileProgress, limit: TimeLimit | None
    ) -> None:
        self._client, self._plan, self._work, self._progress, self._limit = client, plan, work, progress, limit
        self._ended: queue.SimpleQueue[Future[Any]] = queue.SimpleQueue()
        self._attempts: dict[Future[Any], Attempt] = {}
        self._seen = time.monotonic()  # when there was a worker

    def results(self) -> Iterator[tuple[Task, Any]]:
        """Yield all results."""
        try:
            while self._submit():
                future = self._next()
                if future is not None:
                    yield from self._take(future)
        finally:
            with suppress(Exception):
                self._client.cancel(list(self._attempts), force=True)

    def _submit(self) -> bool:
        """Send as many tasks as the workers can take; return whether any is in progress."""
        most = WAITING_EACH * max(1, sum(self._client.nthreads().values()))
        while len(self._attempts) < most:
            attempt = self._plan.next(len(self._attempts))
            if attempt is None:
                break
            future = self._client.submit(_attempt, self._work, attempt.task.files, self._limit, pure=False)
            self._attempts[future] = attempt
            future.add_done_callback(self._ended.put)
        return bool(self._attempts)

    def _next(self) -> Future[Any] | None:
        """Wait for a moment for a task to end. Raises AuditorError if none can any more."""
        with suppress(queue.Empty):
            return self._ended.get(timeout=TICK_S)
        self._check_alive()
        return None

    def _check_alive(self) -> None:
        """Raise AuditorError if nothing can come any more."""
        now = time.monotonic()
        if self._client.status not in ("running", "connecting"):
            hint = "Start it again. The same command then continues."
            raise AuditorError("the Dask scheduler is gone", hint=hint)
        if self._client.nthreads():
            self._seen = now
        elif now - self._seen > WITHOUT_WORKERS_S:
            raise AuditorError("no worker of the cluster is left", hint="Start workers without --no-nanny.")

    def _take(self, future: Future[Any]) -> Iterator[tuple[Task, Any]]:
        """Take in how a task ended; what ended with the worker that still had it is done again."""
        from distributed import KilledWorker

        attempt = self._attempts[future]
        try:
            kind, *words = future.result(timeout=FETCH_S)
        except KilledWorker:
            kind, words = FAILED, [Failure("ended its worker several times", NOT_ENOUGH_MEMORY), ""]
        except TimeoutError:  # Dask does it again itself
            self._check_alive()
            future.add_done_callback(self._ended.put)
            return
        except (Exception, CancelledError) as error:  # of Dask itself: ours are results
            self._check_alive()
            if future.cancelled():
                self._plan.put_back(self._attempts.pop(future))
                return
            kind, words = FAILED, [Failure.of(error, ""), ""]
        del self._attempts[future]
        yield from self._judged(attempt, kind, *words)

    def _judged(self, attempt: Attempt, kind: str, *words: Any) -> Iterator[tuple[Task, Any]]:
        if kind == DONE:
            result, size = words
            self._progress(attempt.task.files[-1], len(attempt.task.files), size)
            yield attempt.task, result
            return
        if kind == REFUSED:
            error, problem, where, hint = words
            raise error(problem, where=where, hint=hint)
        failure, address = words
        if failure.hung:
            with suppress(Exception):  # then it goes on hanging, beside what else it gets
                self._client.run(_end, workers=[address], on_error="return")
        lost = self._plan.failed(attempt, failure)
        if lost:
            self._progress(lost[1].path, 1, size_of(lost[1].path))
            yield lost


def _end() -> None:
    """End a worker, which its nanny starts again: run there."""
    os._exit(1)


def _attempt(work: Work[Any], files: tuple[str, ...], limit: TimeLimit | None) -> tuple[Any, ...]:
    """Do the work, on a worker, in a thread that can be given up; return what came of it, never raise."""
    deadline = _Deadline(files, limit)
    answers: queue.SimpleQueue[tuple[Any, ...]] = queue.SimpleQueue()
    threading.Thread(target=_work, args=(work, files, deadline, answers), daemon=True).start()
    while True:
        with suppress(queue.Empty):
            return answers.get(timeout=deadline.left())
        if deadline.left() <= 0:
            from distributed import get_worker

            return FAILED, too_slow(deadline.allowed, deadline.path), get_worker().address


def _work(work: Work[Any], files: tuple[str, ...], deadline: _Deadline, answers: queue.SimpleQueue[Any]) -> None:
    try:
        with file_callback(deadline.begin):
            answers.put((DONE, work(files), deadline.size))
    except BaseException as error:
        if isinstance(error, AuditorError) and not isinstance(error, SourceError):
            answers.put((REFUSED, type(error), error.what, error.where, error.hint))
        else:
            answers.put((FAILED, Failure.of(error, deadline.path), ""))


class _Deadline:
    """Which file the work is at, and until when it may be."""

    def __init__(self, files: tuple[str, ...], limit: TimeLimit | None) -> None:
        self._limit = limit or (lambda _: threading.TIMEOUT_MAX / 2)
        self.path = ""
        self.size = sum(map(size_of, files))
        self._allow(self.size)

    def begin(self, path: str) -> None:
        """Note that a file is begun."""
        self.path = path
        self._allow(size_of(path))

    def left(self) -> float:
        """Return the seconds that the file may still take."""
        return max(0.0, self._due - time.monotonic())

    def _allow(self, size: int) -> None:
        self.allowed = self._limit(size)
        self._due = time.monotonic() + self.allowed
