"""One worker process of a pool: works on the tasks that it is sent, and never outlives the process that started it.

It is started as `python -c`, not by multiprocessing: that would import the user's program a second time, and leave
helper processes behind. Whatever the work prints goes nowhere: the pipe is for answers.
"""

from __future__ import annotations

import ctypes
import gc
import os
import pickle
import queue
import signal
import sys
import threading
from contextlib import suppress
from typing import IO, Any

from auditor.errors import AuditorError, SourceError
from auditor.fleet.workers.channel import receive, send
from auditor.fleet.workers.current_file import file_callback, size_of
from auditor.fleet.workers.retry_plan import Failure

START = "import sys; sys.path[:] = sys.argv[1:]; from auditor.fleet.workers.worker import main; main()"
READY, BROKEN, SIZE, BEGUN, DONE, RAISED, REFUSED = "ready", "broken", "size", "begun", "done", "raised", "refused"

NEW_OBJECTS = 100_000  # after which Python looks for garbage, as rarely as the command line does
END_WITH_PARENT = 1  # PR_SET_PDEATHSIG of prctl(2)
NO_DIALOGS = 0x1 | 0x2  # SEM_FAILCRITICALERRORS and SEM_NOGPFAULTERRORBOX of SetErrorMode
KILL_ME_FIRST = "500"  # when memory runs out: rather a worker than the process that knows the results


def main() -> None:
    """Take work, then its tasks, from standard input, and answer on standard output, until there are no more."""
    gc.set_threshold(NEW_OBJECTS)
    parent = os.getppid()
    tasks, answers = _streams()
    _prepare(parent)
    inbox: queue.SimpleQueue[bytes] = queue.SimpleQueue()
    threading.Thread(target=_take, args=(tasks, inbox), daemon=True).start()
    work: Any = None
    while True:
        try:
            message = pickle.loads(inbox.get())
        except BaseException as error:
            send(answers, (BROKEN, f"{type(error).__name__}: {error}"))
            return
        if callable(message):
            work = message
            send(answers, (READY,))
        else:
            _answer(answers, work, message)


def _streams() -> tuple[IO[bytes], IO[bytes]]:
    """Return the pipes, and put nothing in their place: the work may print, and start programs that do."""
    tasks, answers = (os.fdopen(os.dup(number), mode) for number, mode in ((0, "rb"), (1, "wb")))
    nothing = os.open(os.devnull, os.O_RDWR)
    for number in (0, 1):
        os.dup2(nothing, number)
    os.close(nothing)
    return tasks, answers


def _take(tasks: IO[bytes], inbox: queue.SimpleQueue[bytes]) -> None:
    """Take in what is sent; when the other side is gone, end at once, whatever the work is at."""
    with suppress(EOFError, OSError):
        while True:
            inbox.put(receive(tasks))
    os._exit(0)


def _prepare(parent: int) -> None:
    """Make this process one that ends without a sound."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C goes to all processes of a terminal: the pool decides
    os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")
    if os.name == "nt":
        ctypes.windll.kernel32.SetErrorMode(NO_DIALOGS)  # type: ignore[attr-defined,unused-ignore]
        return
    import resource

    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    if sys.platform != "linux":
        return
    with suppress(OSError), open("/proc/self/oom_score_adj", "w") as file:
        file.write(KILL_ME_FIRST)
    # The thread that waits for the end of the pipe cannot run while code in C keeps the interpreter to itself.
    with suppress(OSError, AttributeError):
        ctypes.CDLL(None).prctl(END_WITH_PARENT, signal.SIGKILL)
    if os.getppid() != parent:
        os._exit(0)


def _answer(answers: IO[bytes], work: Any, files: tuple[str, ...]) -> None:
    send(answers, (SIZE, 0))  # to ask for the sizes may take long itself, on a drive that is far away
    sizes = {path: size_of(path) for path in files}
    send(answers, (SIZE, sum(sizes.values())))
    begun = [""]

    def hear(path: str) -> None:
        begun.append(path)
        send(answers, (BEGUN, path, sizes.get(path, 0)))

    try:
        with file_callback(hear):
            result = work(files)
        waiting = set(files).difference(begun)
        send(answers, (DONE, result, len(waiting), sum(sizes[path] for path in waiting)))
    except BaseException as error:
        if isinstance(error, AuditorError) and not isinstance(error, SourceError):
            send(answers, (REFUSED, type(error), error.what, error.where, error.hint))
        else:
            send(answers, (RAISED, Failure.of(error, begun[-1])))
