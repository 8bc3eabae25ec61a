"""How far the reading of a source is: the callback that is called now and then."""

from __future__ import annotations

from collections.abc import Callable

ProgressCallback = Callable[[str, int, int], None]  # the source, bytes read of it, bytes it has


def no_progress(_source: str, _done: int, _total: int) -> None:
    """Ignore how far the reading is."""
