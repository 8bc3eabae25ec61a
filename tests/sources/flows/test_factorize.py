"""Rows are numbered in order of appearance, however their values meet in the hash table."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from auditor.sources import factorize as numbering
from auditor.sources.factorize import factorize_rows

FEW = st.integers(0, 3)
VALUES = st.one_of(FEW, st.integers(0, (1 << 64) - 1))


def one_by_one(rows: list[tuple[int, ...]]) -> tuple[list[int], list[int]]:
    """Number rows as anybody would."""
    numbers: dict[tuple[int, ...], int] = {}
    told = [numbers.setdefault(row, len(numbers)) for row in rows]
    return told, [told.index(number) for number in range(len(numbers))]


def told(rows: list[tuple[int, ...]], width: int) -> tuple[list[int], list[int]]:
    columns = np.array(rows, np.uint64).reshape(-1, width).T.copy()
    number, first = factorize_rows(*columns)
    return number.tolist(), first.tolist()


@given(st.lists(st.tuples(VALUES)))
def test_values_of_one_column(rows):
    assert told(rows, 1) == one_by_one(rows)


@given(st.lists(st.tuples(VALUES, VALUES)))
def test_values_of_two_columns(rows):
    assert told(rows, 2) == one_by_one(rows)


@given(st.lists(st.tuples(VALUES, FEW)))
def test_values_that_all_meet_in_one_slot(rows):
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(numbering, "ROUNDS", ((0, 0),) * 2)
        assert told(rows, 2) == one_by_one(rows)
