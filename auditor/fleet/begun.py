"""Which file the work is at: told by the work itself, heard by whoever runs it."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar

Heard = Callable[[str], None]

_hearing: ContextVar[Heard | None] = ContextVar("hearing", default=None)  # one for each thread


def begin(path: str) -> None:
    """Tell that the work begins with a file of its task.

    Then its time limit begins anew, and if the worker process dies, it is this file that is suspected. Where nobody
    hears it, nothing happens.
    """
    heard = _hearing.get()
    if heard is not None:
        heard(path)


@contextmanager
def hearing(heard: Heard) -> Iterator[None]:
    """Let a function hear which file the work of this thread is at."""
    before = _hearing.set(heard)
    try:
        yield
    finally:
        _hearing.reset(before)
