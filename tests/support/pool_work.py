"""Work for the processes of a pool, which must find it in a module: what a file says in its name is done to them."""

from __future__ import annotations

import ctypes
import os
import re
import signal
import sys
import time
from dataclasses import dataclass
from pathlib import Path

from auditor.errors import OutputError
from auditor.fleet.workers.current_file import begin


def names(files: tuple[str, ...]) -> tuple[str, ...]:
    """Return the names of the files; say nothing of which one it is at."""
    return tuple(_done(path) for path in files)


def told_names(files: tuple[str, ...]) -> tuple[str, ...]:
    """Return the names of the files; tell of each that it is begun."""
    return tuple(_begun(path) for path in files)


def process(files: tuple[str, ...]) -> tuple[int, ...]:
    """Return the process that worked on each file."""
    time.sleep(0.01)
    return (os.getpid(),) * len(files)


@dataclass(frozen=True)
class Large:
    """Work that comes with much to know."""

    known: str

    def __call__(self, files: tuple[str, ...]) -> tuple[int, int]:
        """Return how much that is, and of how many files."""
        return len(self.known), len(files)


def _begun(path: str) -> str:
    begin(path)
    return _done(path)


def _done(path: str) -> str:
    name = os.path.basename(path)
    for fate, happens in FATES.items():
        if fate in name:
            happens(path)
    return name


def _once(path: str) -> None:
    """End the process, but only once."""
    if os.path.exists(path):
        os.remove(path)
        os.kill(os.getpid(), signal.SIGKILL)


def _refuse(path: str) -> None:
    raise OutputError("the disk is full", where=path, hint="Make room.")


def _raise(path: str) -> None:
    raise ValueError(f"fault in {os.path.basename(path)}")


def _forget(_: str) -> None:
    """Keep the interpreter to itself for an hour, as a bad regular expression does."""
    re.fullmatch("(a+)+b", "a" * 60)


FATES = {
    "kill": lambda _: os.kill(os.getpid(), signal.SIGKILL),
    "exit": lambda _: os._exit(7),
    "crash": lambda _: ctypes.string_at(0),
    "hang": lambda _: time.sleep(3600),
    "stuck": _forget,
    "raise": _raise,
    "quit": lambda _: sys.exit(5),
    "once": _once,
    "full": _refuse,
    "print": lambda _: print("x" * 100_000, flush=True),  # noqa: T201 - what may not harm the pool
    "slow": lambda _: time.sleep(0.2),
    "write": lambda path: Path(path).write_text(str(os.getpid())),
}
