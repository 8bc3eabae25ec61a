"""Write many rows of a table at once: each column becomes *cells*, a matrix of bytes with one line a row.

Cells of one column are equally wide; where a value is shorter there are zeros, which `rows` leaves out in the end. So
nothing has to be done row by row.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from auditor.sources.factorize import factorize_rows

Cells = NDArray[np.uint8]

SPACE, ZERO = np.uint8(ord(" ")), np.uint8(ord("0"))
DAY = 24 * 60 * 60 * 1_000_000_000


def numbers(values: NDArray[Any], missing: str = "") -> Cells:
    """Return whole numbers in decimal digits; those below zero are missing."""
    most = int(values.max(initial=0))
    present, absent = np.maximum(values, 0), values < 0
    cells = _digits(present, max(len(str(most)), len(missing)))
    cells[:, :-1][present[:, np.newaxis] < 10 ** np.arange(cells.shape[1] - 1, 0, -1)] = 0
    if absent.any():
        cells[absent] = constant(missing.ljust(cells.shape[1], "\0"))
    return cells


def _digits(values: NDArray[Any], width: int) -> Cells:
    """Return the last decimal digits of numbers, zeros in front too."""
    remainder: NDArray[Any] = values.astype(np.uint32 if values.max(initial=0) < 1 << 32 else np.uint64)
    digits = np.empty((width, len(values)), np.uint8)
    for place in reversed(range(width)):
        tens = remainder // 10
        digits[place] = remainder - 10 * tens
        remainder = tens
    digits += ZERO
    return digits.T


def texts(values: NDArray[Any]) -> Cells:
    """Return texts of ASCII characters."""
    return values.astype("S").view(np.uint8).reshape(len(values), -1)


def times(nanoseconds: NDArray[np.int64], between: str = "T") -> Cells:
    """Return times since 1970 UTC, to the microsecond, as in 2008-05-01T12:30:00.000000."""
    days, remainder = np.divmod(nanoseconds, DAY)
    codes, first_rows = factorize_rows(days.view(np.uint64))
    dates = np.datetime_as_string(days[first_rows].astype("datetime64[D]")).astype("S10").view(np.uint8)
    seconds, fraction = np.divmod(remainder, 1_000_000_000)
    minutes, second = np.divmod(seconds, 60)
    hour, minute = np.divmod(minutes, 60)
    to_minute = [dates.reshape(-1, 10)[codes], constant(between), _digits(hour, 2), COLON, _digits(minute, 2)]
    return beside([*to_minute, COLON, _digits(second, 2), POINT, _digits(fraction // 1000, 6)])


def constant(text: str) -> Cells:
    """Return a text that stands in every row."""
    return np.frombuffer(text.encode(), np.uint8)[np.newaxis]


COLON, POINT = constant(":"), constant(".")


def padded(cells: Cells, width: int, *, left: bool = False) -> Cells:
    """Return cells with spaces in front, or behind where they stand on the left, that make them so wide at least."""
    lacking = width - np.count_nonzero(cells, axis=1)
    spaces = np.multiply(np.arange(width) < lacking[:, np.newaxis], SPACE, dtype=np.uint8)
    return beside([cells, spaces] if left else [spaces, cells])


def beside(columns: Sequence[Cells]) -> Cells:
    """Return columns side by side as one; a constant among them stands in every row."""
    count = max(map(len, columns))
    return np.concatenate([np.broadcast_to(cells, (count, cells.shape[1])) for cells in columns], axis=1)


def rows(columns: Sequence[Cells]) -> bytes:
    """Return the rows that these columns make, as they are written."""
    return beside(columns).tobytes().translate(None, b"\0")
