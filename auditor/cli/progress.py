"""How far the reading of large sources is, on one line of a terminal while it goes on."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import TextIO

from auditor.render.clean import clean

BEFORE_FIRST_S = 1.0  # what is read sooner needs no line
BETWEEN_S = 0.2
LONGEST_NAME = 30
WIDTH = 79


class Progress:
    """Writes a line such as "push.pcapng: 1.2 of 4.1 GB, 700 MB/s, 4 s left" and wipes it in the end.

    clock: seconds that only grow.
    """

    def __init__(self, out: TextIO, clock: Callable[[], float] = time.monotonic) -> None:
        self._out = out
        self._clock = clock
        self._source = ""
        self._began = self._shown = clock()
        self._written = False

    def __call__(self, source: str, done: int, total: int) -> None:
        """Take in how far a source is, and tell it now and then."""
        now = self._clock()
        if source != self._source:
            self._source, self._began = source, now
            self._shown = now + BEFORE_FIRST_S - BETWEEN_S
        if now - self._shown < BETWEEN_S or not total:
            return
        self._shown = now
        rate = done / max(now - self._began, 1e-9)
        left = (total - done) / rate if rate else 0
        text = f"{_short(source)}: {done / 1e9:.2f} of {total / 1e9:.2f} GB, {rate / 1e6:,.0f} MB/s, {left:,.0f} s left"
        self._out.write(f"\r{text[:WIDTH]:<{WIDTH}}")
        self._out.flush()
        self._written = True

    def close(self) -> None:
        """Leave the line empty, as it was before."""
        if self._written:
            self._out.write("\r" + " " * WIDTH + "\r")
            self._out.flush()


def _short(source: str) -> str:
    name = clean(source)
    return name if len(name) <= LONGEST_NAME else "…" + name[1 - LONGEST_NAME :]
