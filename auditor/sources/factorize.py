"""Number the distinct rows of some columns in order of appearance: a hash table, filled with all rows at once."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

# Odd multipliers, for each round one a column (from the fractional parts of the square roots of the first primes).
ROUNDS = (
    (0x6A09E667F3BCC909, 0xBB67AE8584CAA73B),
    (0x3C6EF372FE94F82B, 0xA54FF53A5F1D36F1),
    (0x510E527FADE682D1, 0x9B05688C2B3E6C1F),
)

I64 = NDArray[np.int64]
U64 = NDArray[np.uint64]


def factorize_rows(*columns: U64) -> tuple[I64, I64]:
    """Return each row's number, from 0 in order of appearance, and each number's first row, of one or two columns.

    All rows put their index into a slot that their values tell, the first row of a slot last, so that it stays. It is
    the first row of its values too; rows of other values that met it there try another slot in the next round.
    """
    index = np.arange(len(columns[0]))
    first_rows, rows, left = index, index, columns
    table = np.empty(2 << len(index).bit_length(), np.int64)
    for multipliers in ROUNDS:
        slot = _slots(left, multipliers, len(table))
        table[slot[::-1]] = rows[::-1]
        slot_rows = table[slot]
        met = np.flatnonzero(_differ(columns, slot_rows, left))
        first_rows = slot_rows if rows is index else _replaced(first_rows, rows, slot_rows)
        if not len(met):
            break
        rows, left = rows[met], tuple(column[met] for column in left)
    else:
        # Values made to meet, if anything: sorting is slower, but no values are bad for it.
        _, at, inverse = np.unique(np.stack(left), axis=1, return_index=True, return_inverse=True)
        first_rows = _replaced(first_rows, rows, rows[at[inverse]])
    begins = np.flatnonzero(first_rows == index)
    table[begins] = index[: len(begins)]
    return table[first_rows], begins


def _slots(columns: tuple[U64, ...], multipliers: tuple[int, ...], count: int) -> I64:
    """Return a slot for each row, among so many (a power of two)."""
    mixed = columns[0] * np.uint64(multipliers[0])
    if len(columns) > 1:
        mixed += columns[1] * np.uint64(multipliers[1])
    mixed >>= np.uint64(65 - count.bit_length())
    return mixed.view(np.int64)


def _differ(columns: tuple[U64, ...], rows: I64, other_columns: tuple[U64, ...]) -> NDArray[np.bool_]:
    """Return where these rows of the columns are not the same as the others."""
    differ: NDArray[np.bool_] = columns[0][rows] != other_columns[0]
    if len(columns) > 1:
        differ |= columns[1][rows] != other_columns[1]
    return differ


def _replaced(first_rows: I64, rows: I64, by: I64) -> I64:
    first_rows[rows] = by
    return first_rows
