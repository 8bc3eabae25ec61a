"""The file that a worker reads, and its size: reported by the work to the process that runs it."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar

FileCallback = Callable[[str], None]

_hearing: ContextVar[FileCallback | None] = ContextVar("hearing", default=None)  # one for each thread


def begin(path: str) -> None:
    """Report that the work begins with a file of its task.

    Then its time limit begins anew, and if the worker process dies, it is this file that is suspected. Without a
    listener, nothing happens.
    """
    heard = _hearing.get()
    if heard is not None:
        heard(path)


@contextmanager
def file_callback(heard: FileCallback) -> Iterator[None]:
    """Let a function hear which file the work of this thread is at."""
    token = _hearing.set(heard)
    try:
        yield
    finally:
        _hearing.reset(token)


def size_of(path: str) -> int:
    """Return the bytes of a file; 0 if they are unknown, then its work reports why."""
    try:
        return os.path.getsize(path)
    except (OSError, ValueError):
        return 0
