"""How far a fleet is: one line on a terminal while it goes on, one sentence when it is done."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import TextIO

from auditor.cli.progress import BEFORE_FIRST_S, BETWEEN_S, LONGEST_NAME, WIDTH
from auditor.render.clean import clean

RATE_OVER_S = 30.0  # a fleet is not read at one speed: what lies on far shares takes longer
UNITS = ((1e9, "GB"), (1e6, "MB"), (1e3, "kB"), (1.0, "bytes"))


class FleetProgress:
    """Takes in what running.run tells, and writes it as one line that is wiped in the end.

    files, bytes: how many there are in all; out: a terminal, None to write nothing; clock: seconds that only grow.
    """

    def __init__(
        self, files: int, bytes_: int, out: TextIO | None = None, clock: Callable[[], float] = time.monotonic
    ) -> None:
        self._files, self._bytes, self._out, self._clock = files, bytes_, out, clock
        self._done_files = self._done_bytes = 0
        self._path = ""
        self._began = self._marked = clock()
        self._marked_bytes = 0
        self._rate = 0.0
        self._shown = self._began + BEFORE_FIRST_S - BETWEEN_S
        self._written = False

    def __call__(self, path: str, files: int, bytes_: int) -> None:
        """Take in which file is begun, and how many files and bytes are done since, and tell it now and then."""
        self._path = path or self._path
        self._done_files += files
        self._done_bytes += bytes_
        now = self._clock()
        if self._out is not None and now - self._shown >= BETWEEN_S:
            self._shown = now
            self._out.write(f"\r{self._line(now)[:WIDTH]:<{WIDTH}}")
            self._out.flush()
            self._written = True

    def close(self) -> None:
        """Leave the line empty, as it was before."""
        if self._written and self._out is not None:
            self._out.write("\r" + " " * WIDTH + "\r")
            self._out.flush()

    def summary(self) -> str:
        """Return what was done, in how long: "10,000 files, 6.40 GB, in 3 min 20 s (32.0 MB/s)"."""
        took = self._clock() - self._began
        rate = f" ({_size(self._done_bytes / took)}/s)" if took >= 1 else ""
        files = "1 file" if self._done_files == 1 else f"{self._done_files:,} files"
        return f"{files}, {_size(self._done_bytes)}, in {_duration(took)}{rate}"

    def _line(self, now: float) -> str:
        rate = self._rate_at(now)
        left = f", {_duration((self._bytes - self._done_bytes) / rate)} left" if rate > 0 else ""
        done = f"{self._done_files:,} of {self._files:,} files, {_of(self._done_bytes, self._bytes)}"
        text = f"{done}, {_size(rate)}/s{left}"
        return f"{text}: {_short(self._path, WIDTH - len(text) - 2)}"

    def _rate_at(self, now: float) -> float:
        """Return the bytes a second of the last half minute or so."""
        passed = now - self._marked
        rate = max(0.0, (self._done_bytes - self._marked_bytes) / max(passed, 1e-9))
        weight = min(1.0, passed / RATE_OVER_S)
        mixed = rate if self._marked == self._began else self._rate * (1 - weight) + rate * weight
        if passed >= RATE_OVER_S:
            self._rate, self._marked, self._marked_bytes = mixed, now, self._done_bytes
        return mixed


def _of(done: float, total: float) -> str:
    """Return "1.20 of 6.40 GB": both in the unit of the larger one."""
    size, unit = next((scale for scale in UNITS if total >= scale[0]), UNITS[-1])
    digits = 0 if unit == "bytes" else 2
    return f"{done / size:.{digits}f} of {total / size:.{digits}f} {unit}"


def _size(count: float) -> str:
    size, unit = next((scale for scale in UNITS if count >= scale[0]), UNITS[-1])
    return f"{count / size:.0f} {unit}" if unit == "bytes" else f"{count / size:.3g} {unit}"


def _duration(seconds: float) -> str:
    whole = max(0, round(seconds))
    if whole < 60:
        return f"{whole} s"
    if whole < 3600:
        return f"{whole // 60} min {whole % 60} s"
    return f"{whole // 3600:,} h {whole % 3600 // 60} min"


def _short(path: str, most: int) -> str:
    """Return the end of a path, which tells most."""
    name, most = clean(path), max(most, LONGEST_NAME // 2)
    return name if len(name) <= most else "…" + name[1 - most :]
