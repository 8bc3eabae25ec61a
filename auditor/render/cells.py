"""Write many rows of a table at once: each column becomes *cells*, a matrix of bytes with one line a row.

Cells of one column are equally wide; where a value is shorter there are zeros, which `rows` leaves out in the end. So
nothing has to be done row by row.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

Cells = NDArray[np.uint8]

SPACE, ZERO = ord(" "), ord("0")
DATE = len("2008-05-01")


def numbers(values: NDArray[Any], missing: str = "") -> Cells:
    """Return whole numbers in decimal digits; those below zero are missing."""
    most = int(values.max(initial=0))
    width = max(len(str(most)), len(missing))
    rest = np.maximum(values, 0).astype(np.uint32 if most < 1 << 32 else np.uint64)
    digits = np.zeros((width, len(values)), np.uint8)
    for place in reversed(range(width)):
        tens = rest // 10
        digit = (rest - tens * 10).astype(np.uint8) + np.uint8(ZERO)
        digits[place] = digit if place == width - 1 else np.where(rest > 0, digit, 0)
        rest = tens
    cells = digits.T
    absent = values < 0
    if absent.any():
        cells[absent] = constant(missing.ljust(width, "\0"))
    return cells


def texts(values: NDArray[Any]) -> Cells:
    """Return texts of ASCII characters."""
    return values.astype("S").view(np.uint8).reshape(len(values), -1)


def times(nanoseconds: NDArray[np.int64], between: str = "T") -> Cells:
    """Return times since 1970 UTC, to the microsecond, as in 2008-05-01T12:30:00.000000."""
    microseconds = nanoseconds.view("datetime64[ns]").astype("datetime64[us]")
    written = np.datetime_as_string(microseconds, unit="us").view(np.uint32).reshape(len(microseconds), -1)
    cells = written.astype(np.uint8)
    cells[:, DATE] = ord(between)
    return cells


def constant(text: str) -> Cells:
    """Return a text that stands in every row."""
    return np.frombuffer(text.encode(), np.uint8)[np.newaxis]


def padded(cells: Cells, width: int, *, left: bool = False) -> Cells:
    """Return cells with spaces in front, or behind where they stand on the left, that make them so wide at least."""
    lacking = width - np.count_nonzero(cells, axis=1)
    spaces = np.where(np.arange(width) < lacking[:, np.newaxis], SPACE, 0).astype(np.uint8)
    return beside([cells, spaces] if left else [spaces, cells])


def beside(columns: Sequence[Cells]) -> Cells:
    """Return columns side by side as one; a constant among them stands in every row."""
    count = max(map(len, columns))
    return np.concatenate([np.broadcast_to(cells, (count, cells.shape[1])) for cells in columns], axis=1)


def rows(columns: Sequence[Cells]) -> bytes:
    """Return the rows that these columns make, as they are written."""
    return beside(columns).tobytes().translate(None, b"\0")
