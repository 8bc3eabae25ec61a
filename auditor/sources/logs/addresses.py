"""Number the addresses of a log: where they are many, those met before are looked up all at once.

Each new one is read by itself.
"""

from __future__ import annotations

import re
from functools import lru_cache
from threading import Lock

import numpy as np
from numpy.typing import NDArray

from auditor.ruleset.addresses import canonical
from auditor.sources.logs.text_columns import U64, WORD, Column, Mask, Text, distinct

NOBODY = -1  # the number of what is no address
FEW = 512  # texts that are sooner read than looked up
LONGEST_ADDRESS = 48
SHORT = 2 * WORD  # bytes in which every IPv4 address fits
FEWEST_SLOTS = 1 << 13
SLOTS_EACH = 128  # so that hardly ever two texts want the same one
MOST_SLOTS = 1 << 24
MIX = tuple(map(np.uint64, (0x9E3779B97F4A7C15, 0xC2B2AE3D27D4EB4F, 0x165667B19E3779F9, 0x27D4EB2F165667C5)))
HALF = np.uint64(29)
BYTE = rb"(?:25[0-5]|2[0-4][0-9]|1[0-9]{2}|[1-9]?[0-9])"
IPV4 = re.compile(rb"%s(?:\.%s){3}" % (BYTE, BYTE))  # as it is written: read so, it takes a quarter of the time
Ints = NDArray[np.int64]


class LogAddresses:
    """The addresses of one log, or of several that are read together; several threads may ask for numbers at once."""

    def __init__(self) -> None:
        self._numbers: dict[str, int] = {}
        self._short, self._long = _AddressTable(SHORT // WORD), _AddressTable(LONGEST_ADDRESS // WORD)
        self._lock = Lock()

    @property
    def names(self) -> list[str]:
        """The addresses by number."""
        return list(self._numbers)

    def numbers(self, text: Text, column: Column) -> Ints:
        """Return the number of each address of a column, NOBODY for what is none."""
        if len(column.begin) <= FEW:
            return self._one_by_one(text.texts(column))
        numbers = self._numbered(text, column, self._short)
        long = (column.length > SHORT).nonzero()[0]
        if len(long):
            numbers[long] = self._numbered(text, column.at(long), self._long)
        return numbers

    def _one_by_one(self, texts: list[bytes]) -> Ints:
        with self._lock:
            numbers = {text: self._number(_address(text)) for text in dict.fromkeys(texts)}
        return np.array([numbers[text] for text in texts], np.int64)

    def _numbered(self, text: Text, column: Column, met: _AddressTable) -> Ints:
        """Return numbers; NOBODY also for texts that have more bytes than the words of those met."""
        words = text.first_words(column, met.width)
        mixed, fits = _mixed(words), column.length <= WORD * met.width
        numbers, is_known = met.find(words, mixed)
        is_known &= fits
        if is_known.all():
            return numbers
        new = (~is_known).nonzero()[0]
        numbers[new] = NOBODY
        new = new[fits[new]]
        while len(new):
            sample, codes = distinct(mixed[new])
            sample = new[sample]
            names = list(map(_address, text.texts(column.at(sample))))
            with self._lock:
                new_numbers = np.array([self._number(name) for name in names], np.int64)
                met.add([word[sample] for word in words], mixed[sample], new_numbers)
            numbers[new] = new_numbers[codes]
            # Different texts may be mixed to the same number: those are left for the next round.
            new = new[_differ([word[new] for word in words], [word[sample[codes]] for word in words])]
        return numbers

    def _number(self, name: str | None) -> int:
        return NOBODY if name is None else self._numbers.setdefault(name, len(self._numbers))


class _AddressTable:
    """Texts of some words each that were met before, with their numbers.

    What a thread finds here is right also while another one adds: a place is published once it is filled, it does not
    change any more, and arrays that got too small are replaced, all at once.
    """

    def __init__(self, width: int) -> None:
        self.width = width
        self._clear(FEWEST_SLOTS)

    def _clear(self, slots: int) -> None:
        places = slots // SLOTS_EACH
        held = [np.zeros(places, np.uint64) for _ in range(self.width)]  # place 0 is empty
        self._arrays = np.zeros(slots, np.int32), held, np.full(places, NOBODY, np.int64)
        self._count = 1

    def find(self, words: list[U64], mixed: U64) -> tuple[Ints, Mask]:
        """Return the numbers of some texts, and for which they are right."""
        slots, held, numbers = self._arrays
        if self._count == 1:
            return np.full(len(mixed), NOBODY), np.zeros(len(mixed), np.bool_)
        place = slots[_slots(mixed, len(slots))]
        return numbers[place], ~_differ([column[place] for column in held], words)

    def add(self, words: list[U64], mixed: U64, numbers: Ints) -> None:
        """Keep texts, as long as there is room and where their slots are free.

        Args:
            words: The texts, eight bytes of each a column.
            mixed: A number made of the words.
            numbers: Those of the texts.
        """
        slots, held, stored_numbers = self._arrays
        if self._count + len(numbers) > len(stored_numbers) and len(slots) < MOST_SLOTS:
            filled = slice(1, self._count)
            self._clear(2 * len(slots))
            old = [column[filled] for column in held]
            self.add(old, _mixed(old), stored_numbers[filled])
            self.add(words, mixed, numbers)
            return
        slot = _slots(mixed, len(slots))
        new = ((slots[slot] == 0) & (numbers != NOBODY)).nonzero()[0][: len(stored_numbers) - self._count]
        places = np.arange(self._count, self._count + len(new))
        for column, word in zip(held, words, strict=True):
            column[places] = word[new]
        stored_numbers[places] = numbers[new]
        slots[slot[new]] = places
        self._count += len(new)


def _mixed(words: list[U64]) -> U64:
    """Return one number for each text, different for nearly all of them."""
    mixed = words[0] * MIX[0]
    for place, word in enumerate(words[1:], 1):
        mixed = (mixed ^ mixed >> HALF ^ word) * MIX[place % len(MIX)]
    return mixed


def _slots(mixed: U64, count: int) -> Ints:
    return (mixed >> np.uint64(65 - count.bit_length())).view(np.int64)


def _differ(left: list[U64], right: list[U64]) -> Mask:
    """Return where texts are not the same."""
    differ: Mask = left[0] != right[0]
    for left_word, right_word in zip(left[1:], right[1:], strict=True):
        differ |= left_word != right_word
    return differ


@lru_cache(maxsize=1 << 16)
def _address(text: bytes) -> str | None:
    """Return an address in its usual short form, without the interface behind %; None if it is none."""
    if len(text) > LONGEST_ADDRESS:
        return None
    if IPV4.fullmatch(text):
        return text.decode("ascii")
    return (canonical(text.decode("ascii").partition("%")[0]) or None) if text.isascii() else None
