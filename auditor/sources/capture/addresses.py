"""Numbers for addresses, so that they fit into columns, and sets of hosts made of such numbers."""

from __future__ import annotations

import ipaddress
from collections.abc import Iterator, Set
from typing import Any

import numpy as np
from numpy.typing import NDArray

from auditor.sources.factorize import factorize_rows

U64 = NDArray[np.uint64]
MOST_ADDRESSES = 2_000_000  # of IPv6, each of which has to be remembered
MOST_HOSTS = 4_000_000
SORT_AT = 65_536
FAMILY = np.uint64(32)  # bits above which a host's number says its IP version
OCTETS = tuple(map(str, range(256)))


class Addresses:
    """Numbers for addresses: an IPv4 address is its own number, an IPv6 address gets the next free one.

    The two families are kept apart by the flag that goes with each number.
    """

    def __init__(self) -> None:
        self._numbers: dict[tuple[int, int], int] = {}
        self._known: list[tuple[int, int]] = []

    @property
    def full(self) -> bool:
        """Whether there are more IPv6 addresses than can be remembered."""
        return len(self._known) > MOST_ADDRESSES

    def numbers(self, high: U64, low: U64) -> U64:
        """Return the number of each IPv6 address, given as its upper and lower 64 bits."""
        codes, first_rows = factorize_rows(high, low)
        pairs = zip(high[first_rows].tolist(), low[first_rows].tolist(), strict=True)
        return np.array([self._number(*pair) for pair in pairs], np.uint64)[codes]

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

    def host(self, text: str) -> int | None:
        """Return the number of a host, its IP version above that of its address; None if it is none known here."""
        try:
            address = ipaddress.ip_address(text)
        except ValueError:
            return None
        pair = (int(address) >> 64, int(address) & (1 << 64) - 1)
        number = int(address) if address.version == 4 else self._numbers.get(pair)
        return None if number is None else address.version << 32 | number


class Hosts(Set[str]):
    """A set of hosts that looks like one of texts but takes eight bytes for each; `full` when some had to be left out.

    Adding takes arrays of numbers as `Addresses.host` returns them.
    """

    def __init__(self, addresses: Addresses) -> None:
        self._addresses = addresses
        self._sorted: U64 = np.empty(0, np.uint64)
        self._new: list[U64] = []
        self._waiting = 0
        self.full = False

    @classmethod
    def _from_iterable(cls, it: Any) -> Any:
        return frozenset(it)

    def add(self, hosts: U64) -> None:
        """Add hosts; those that make the set too large are left out."""
        self._new.append(unique(hosts))
        self._waiting += len(self._new[-1])
        if self._waiting > max(SORT_AT, len(self._sorted)):
            self.numbers()

    def numbers(self) -> U64:
        """Return the numbers of all hosts, sorted."""
        if self._new:
            merged = unique(np.concatenate([self._sorted, *self._new]))
            self._new, self._waiting = [], 0
            if self.full or len(merged) > MOST_HOSTS:
                self.full = True
                merged = merged[:MOST_HOSTS]
            self._sorted = merged
        return self._sorted

    def has(self, hosts: U64) -> NDArray[np.bool_]:
        """Return which of these hosts are in the set."""
        return among(hosts, self.numbers())

    def __contains__(self, text: object) -> bool:
        number = self._addresses.host(text) if isinstance(text, str) else None
        return number is not None and bool(self.has(np.array([number], np.uint64))[0])

    def __iter__(self) -> Iterator[str]:
        return (self._addresses.text(number & 0xFFFFFFFF, number >> 32) for number in self.numbers().tolist())

    def __len__(self) -> int:
        return len(self.numbers())


def unique(numbers: U64) -> U64:
    """Return the numbers sorted, each once: what np.unique returns, faster where nearly all differ."""
    ordered = np.sort(numbers)
    return ordered[np.append(True, ordered[1:] != ordered[:-1])] if len(ordered) else ordered


def among(wanted: U64, members: U64) -> NDArray[np.bool_]:
    """Return which of these numbers are members; members: sorted."""
    mask: NDArray[np.bool_] = np.searchsorted(members, wanted, side="right") > np.searchsorted(members, wanted)
    return mask


def hosts(numbers: U64, version: NDArray[np.uint8]) -> U64:
    """Return addresses with their IP version above them."""
    return numbers | (version.astype(np.uint64) << FAMILY)
