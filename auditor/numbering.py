"""Number the distinct values of a column in order of appearance: a hash table, filled with all rows at once."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

# Odd multipliers, each for one round (from the fractional parts of the square roots of 2, 3, 5 and 7).
MULTIPLIERS = (0x6A09E667F3BCC909, 0xBB67AE8584CAA73B, 0x3C6EF372FE94F82B, 0xA54FF53A5F1D36F1)

I64 = NDArray[np.int64]


def numbered(values: NDArray[np.uint64]) -> tuple[I64, I64]:
    """Return each row's number, from 0 in order of appearance, and each number's first row.

    All rows put their index into a slot that their value tells, the first row of a slot last, so that it stays. It is
    the first row of its value too; rows of other values that met it there try another slot in the next round.
    """
    first = np.empty(len(values), np.int64)
    rows, left = np.arange(len(values)), values
    bits = max(len(values).bit_length() + 1, 4)
    for multiplier in MULTIPLIERS:
        slot = (left * np.uint64(multiplier)) >> np.uint64(64 - bits)
        table = np.empty(1 << bits, np.int64)
        table[slot[::-1]] = rows[::-1]
        found = table[slot]
        met = values[found] != left
        first[rows] = found
        if not met.any():
            break
        rows, left = rows[met], left[met]
    else:
        # Values made to meet, if anything: sorting is slower, but no values are bad for it.
        _, at, inverse = np.unique(left, return_index=True, return_inverse=True)
        first[rows] = rows[at[inverse]]
    begins = first == np.arange(len(values))
    return (np.cumsum(begins) - 1)[first], np.flatnonzero(begins)
