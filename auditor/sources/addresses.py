"""Numbers for addresses, so that they fit into columns."""

from __future__ import annotations

import ipaddress

import numpy as np
from numpy.typing import NDArray

from auditor.numbering import numbered

U64 = NDArray[np.uint64]
OCTETS = tuple(map(str, range(256)))


class Addresses:
    """Numbers for addresses: an IPv4 address is its own number, an IPv6 address gets the next free one.

    The two families are kept apart by the flag that goes with each number.
    """

    def __init__(self) -> None:
        self._numbers: dict[tuple[int, int], int] = {}
        self._known: list[tuple[int, int]] = []

    def numbers(self, high: U64, low: U64) -> U64:
        """Return the number of each IPv6 address, given as its upper and lower 64 bits."""
        which, first = numbered(high, low)
        pairs = zip(high[first].tolist(), low[first].tolist(), strict=True)
        return np.array([self._number(*pair) for pair in pairs], np.uint64)[which]

    def _number(self, high: int, low: int) -> int:
        number = self._numbers.setdefault((high, low), len(self._known))
        if number == len(self._known):
            self._known.append((high, low))
        return number

    def texts(self, numbers: U64) -> NDArray[np.object_]:
        """Return many addresses as text; the version of each is in the upper half of its number."""
        result = np.empty(len(numbers), object)
        four = numbers >> np.uint64(32) == 4
        octets = np.frombuffer(numbers[four].astype(">u4").tobytes(), np.uint8).reshape(-1, 4)
        columns = (map(OCTETS.__getitem__, column.tolist()) for column in octets.T)
        result[four] = list(map(".".join, zip(*columns, strict=True)))
        result[~four] = [self.text(number & 0xFFFFFFFF, 6) for number in numbers[~four].tolist()]
        return result

    def text(self, number: int, version: int) -> str:
        """Return the address as text, IPv6 in its short form."""
        if version == 4:
            return f"{number >> 24}.{number >> 16 & 255}.{number >> 8 & 255}.{number & 255}"
        high, low = self._known[number]
        return str(ipaddress.IPv6Address(high << 64 | low))
