"""Read the fields of many text lines at once: words, numbers, times and addresses, as arrays.

A field is looked at eight bytes at a time, as one little-endian number whose lowest byte is the field's first; what is
behind the field is masked away. So comparing a word or reading a decimal number are a few operations on whole arrays.
"""

from __future__ import annotations

from datetime import date
from functools import lru_cache
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

U64 = NDArray[np.uint64]
Mask = NDArray[np.bool_]
PADDING = bytes(64)  # behind the text, so that the last fields can be read in eights
WORD = 8
ASCII_ZEROS = np.uint64(0x3030303030303030)
NINE_AT_MOST = np.uint64(0x0606060606060606)  # added to a digit, stays below 16
UPPER_HALVES = np.uint64(0xF0F0F0F0F0F0F0F0)
CLOCK = np.uint64(int.from_bytes(b"00:00:00", "little"))
CLOCK_COLONS = np.uint64(0x0000FF0000FF0000)
# By the length of a field, up to LONGEST: what to keep of each of its words, and how its digits become eight. What is
# empty or longer becomes eight bytes of which none is a digit.
LONGEST = len(PADDING) - 1
LENGTHS, IS_NUMBER = range(LONGEST + 1), range(1, WORD + 1)
KEEP = np.array(
    [[(1 << 8 * min(max(length - at, 0), WORD)) - 1 for length in LENGTHS] for at in range(0, LONGEST, WORD)], np.uint64
)
SHIFT = np.array([8 * (WORD - length) if length in IS_NUMBER else 0 for length in LENGTHS], np.uint64)
LEADING_ZEROS = np.array(
    [int(ASCII_ZEROS) >> 8 * length if length in IS_NUMBER else (1 << 64) - 1 for length in LENGTHS], np.uint64
)
DATE_LENGTH = 10
YEARS = range(1970, 2200)
NO_DAY = -1
TEN = np.uint64(10)
PAIRED = tuple(
    tuple(map(np.uint64, constants))
    for constants in ((10, 8, 0x00FF00FF00FF00FF), (100, 16, 0x0000FFFF0000FFFF), (10000, 32, 0xFFFFFFFF))
)


class Column(NamedTuple):
    """One field of each line: where it begins in the text, and where it ends (behind its last byte)."""

    begin: NDArray[np.int64]
    end: NDArray[np.int64]

    @property
    def length(self) -> NDArray[np.int64]:
        """Bytes of each field."""
        return self.end - self.begin

    @property
    def short(self) -> NDArray[np.int64]:
        """Bytes of each field, LONGEST at most."""
        return np.minimum(self.length, LONGEST)

    def at(self, rows: NDArray[np.int64] | Mask) -> Column:
        """Return the fields of some lines only."""
        return Column(self.begin[rows], self.end[rows])

    def and_then(self, column: Column) -> Column:
        """Return these fields and others behind them, to be looked at together."""
        return Column(np.concatenate([self.begin, column.begin]), np.concatenate([self.end, column.end]))


class Text:
    """The text of many lines, from which fields are read.

    Args:
        data: Its bytes, with PADDING behind them.
    """

    def __init__(self, data: bytes) -> None:
        self._data = data
        self._eights = np.ndarray((len(data) - WORD + 1,), "<u8", data, strides=(1,))

    def words(self, column: Column) -> U64:
        """Return the first eight bytes of each field; zeros behind its end."""
        words: U64 = self._eights[column.begin]
        words &= KEEP[0][column.short]
        return words

    def first_words(self, column: Column, count: int) -> list[U64]:
        """Return the first so many words (of eight bytes) of each field; zeros behind its end."""
        words, short = self._words_from(column.begin, count), column.short
        return [words[:, at] & KEEP[at][short] for at in range(count)]

    def _words_from(self, begin: NDArray[np.int64], count: int) -> U64:
        """Return so many words from each place: to fetch them at once takes half the time."""
        size = count * WORD
        several = np.ndarray((len(self._data) - size + 1,), f"V{size}", self._data, strides=(1,))
        return several[begin].view("<u8").reshape(-1, count)

    def is_word(self, column: Column, words: U64, word: bytes) -> Mask:
        """Return which fields are this word; words: their first eight bytes."""
        same: Mask = words == _number(word[:WORD])
        if len(word) < WORD:
            return same
        rows = np.flatnonzero(same & (column.length == len(word)))
        same = np.zeros(len(words), np.bool_)
        same[rows] = self.first_words(column.at(rows), 2)[1] == _number(word[WORD:])
        return same

    def numbers(self, column: Column) -> tuple[NDArray[np.int64], Mask]:
        """Return each field as a decimal number of up to 16 digits, and which are one (the rest are nonsense)."""
        length = column.length
        if (length > WORD).any():
            cut = np.maximum(length - WORD, 0) + column.begin
            low, low_good = self._eight_digits(Column(cut, column.end))
            high, high_good = self._eight_digits(Column(column.begin, cut))
            return np.where(high_good, high, 0) * 10**WORD + low, low_good & (high_good | (cut == column.begin)) & (
                length <= 2 * WORD
            )
        return self._eight_digits(column)

    def _eight_digits(self, column: Column) -> tuple[NDArray[np.int64], Mask]:
        digit, short = self._eights[column.begin], column.short
        # "445" becomes "00000445", then its digits 0 0 0 0 0 4 4 5, the first in the lowest byte. Whatever is no digit
        # has a bit in the upper half of its byte, or gets one when 6 is added. Then pairs become one: 0 0 4 45, 0 445,
        # 445.
        digit <<= SHIFT[short]
        digit |= LEADING_ZEROS[short]
        digit ^= ASCII_ZEROS
        good = (digit | digit + NINE_AT_MOST) & UPPER_HALVES == 0
        for ten, bits, keep in PAIRED:  # of each pair of numbers one
            upper = digit >> bits
            digit *= ten
            digit += upper
            digit &= keep
        return digit.view(np.int64), good

    def days(self, column: Column) -> tuple[NDArray[np.int64], Mask]:
        """Return each date (YYYY-MM-DD) as days since 1970, and which fields are one."""
        both = self._words_from(column.begin, 2)
        first_word, second_word = both[:, 0], both[:, 1] & KEEP[1][DATE_LENGTH]
        # Rows of one day stand together, so only where a row differs from the one before a date is parsed.
        new = np.ones(len(first_word), np.bool_)
        np.not_equal(first_word[1:], first_word[:-1], out=new[1:])
        new[1:] |= second_word[1:] != second_word[:-1]
        begin = column.begin[new]
        texts = self.texts(Column(begin, begin + DATE_LENGTH))
        days = np.array([_day(text) for text in texts], np.int64)[np.cumsum(new) - 1]
        return days, (days != NO_DAY) & (column.length == DATE_LENGTH)

    def seconds(self, column: Column) -> tuple[NDArray[np.int64], Mask]:
        """Return each time of day (HH:MM:SS) in seconds, and which fields are one."""
        # "08:15:30" ^ "00:00:00" is 0 8 0 1 5 0 3 0: hours, minutes and seconds begin at bytes 0, 3 and 6.
        digit = self._eights[column.begin] ^ CLOCK
        good = ((digit | digit + NINE_AT_MOST) & UPPER_HALVES == 0) & (digit & CLOCK_COLONS == 0)
        pairs = digit * TEN + (digit >> np.uint64(8))
        hours, minutes, seconds = (pairs >> np.uint64(shift) & np.uint64(0xFF) for shift in (0, 24, 48))
        good &= (hours < 24) & (minutes < 60) & (seconds < 60) & (column.length == WORD)
        return (hours * np.uint64(3600) + minutes * np.uint64(60) + seconds).view(np.int64), good

    def is_dash(self, column: Column) -> Mask:
        """Return which fields are "-", which stands for a missing value."""
        is_dash: Mask = self._eights[column.begin] & np.uint64(0xFF) == ord("-")
        is_dash &= column.length == 1
        return is_dash

    def texts(self, column: Column) -> list[bytes]:
        """Return fields as they stand."""
        ends = zip(column.begin.tolist(), column.end.tolist(), strict=True)
        return [self._data[begin:end] for begin, end in ends]


def distinct(values: U64) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Return where each distinct value stands first, in order of value, and for each value which of these it is."""
    order = values.argsort(kind="stable")
    ordered = values[order]
    new = np.ones(len(values), np.bool_)
    np.not_equal(ordered[1:], ordered[:-1], out=new[1:])
    codes = np.empty(len(values), np.int64)
    codes[order] = np.cumsum(new) - 1
    return order[new], codes


@lru_cache
def _number(word: bytes) -> np.uint64:
    return np.uint64(int.from_bytes(word, "little"))


@lru_cache(maxsize=1 << 12)
def _day(text: bytes) -> int:
    """Return a date as days since 1970; NO_DAY for what is none, and for years in which no log was written."""
    try:
        day = date.fromisoformat(text.decode("ascii"))
    except ValueError:
        return NO_DAY
    return day.toordinal() - date(1970, 1, 1).toordinal() if day.year in YEARS else NO_DAY
