"""Columns are written as Python's own formatting would write them value by value."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from auditor.render.tables.cells import beside, constant, numbers, padded, rows, texts, times
from auditor.sources.capture.addresses import Addresses

NUMBERS = st.one_of(st.integers(-1, 20), st.integers(-1, (1 << 63) - 1))
WORDS = st.text("abc:.1", max_size=12)
LINE = constant("\n")


def written(*columns: np.ndarray) -> list[str]:
    return rows([*columns, LINE]).decode().splitlines()


@given(st.lists(NUMBERS, min_size=1))
def test_numbers(values):
    assert written(numbers(np.array(values), "null")) == ["null" if one < 0 else str(one) for one in values]


@given(st.lists(st.tuples(NUMBERS, WORDS), min_size=1), st.integers(0, 12))
def test_what_is_short_is_padded_and_what_is_long_is_not_cut(values, width):
    count, word = numbers(np.array([one for one, _ in values])), texts(np.array([one for _, one in values], object))
    shown = [("" if one < 0 else str(one), text) for one, text in values]
    assert written(padded(count, width)) == [one.rjust(width) for one, _ in shown]
    assert written(padded(word, width, left=True), constant("|")) == [text.ljust(width) + "|" for _, text in shown]
    assert written(padded(beside([word, constant("/"), count]), width)) == [
        f"{text}/{one}".rjust(width) for one, text in shown
    ]


@given(st.lists(st.integers(-(10**18), 9 * 10**18), min_size=1))
def test_times(values):
    epoch = datetime(1970, 1, 1, tzinfo=UTC)
    expected = [(epoch + timedelta(microseconds=one // 1000)).strftime("%Y-%m-%d %H:%M:%S.%f") for one in values]
    assert written(times(np.array(values), between=" ")) == expected


@given(st.lists(st.integers(0, (1 << 32) - 1)))
def test_many_addresses_are_written_as_one_is(values):
    addresses = Addresses()
    six = addresses.numbers(np.array([0, 0xFE80 << 48], np.uint64), np.array([1, 1], np.uint64)).tolist()
    given = np.array([*(6 << 32 | one for one in six), *(4 << 32 | one for one in values)], np.uint64)
    assert addresses.texts(given).tolist() == ["::1", "fe80::1", *(addresses.text(one, 4) for one in values)]
