"""Which file the work is at: told by the work itself, heard by whoever runs it."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager

Heard = Callable[[str], None]

_hearing: list[Heard] = []


def begin(path: str) -> None:
    """Tell that the work begins with a file of its task.

    Then its time limit begins anew, and if the worker process dies, it is this file that is suspected. Where nobody
    hears it, nothing happens.
    """
    for heard in _hearing[-1:]:
        heard(path)


@contextmanager
def hearing(heard: Heard) -> Iterator[None]:
    """Let a function hear which file the work is at."""
    _hearing.append(heard)
    try:
        yield
    finally:
        _hearing.pop()
