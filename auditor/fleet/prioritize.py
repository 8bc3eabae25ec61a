"""The fewest changes that make most hosts work: which openings help most hosts for each thing that is opened."""

from __future__ import annotations

import heapq
from collections import defaultdict
from collections.abc import Iterator, Mapping
from typing import NamedTuple


class Opening(NamedTuple):
    """What has to be opened at one place.

    Attributes:
        key: Id of a requirement, or of an either-or group of them.
    """

    place: str
    device: str
    key: str


Openings = frozenset[Opening]
Needs = frozenset[Openings]  # alternatives: a host is helped as soon as all of one of them is open
Key = tuple[float, int, tuple[Opening, ...]]


def in_order(hosts: Mapping[Needs, int]) -> Iterator[tuple[Openings, int]]:
    """Yield what to open at one place, and how many more hosts are helped then, in the order in which it pays most.

    Each time the set is taken, of all that some host needs or needed, which helps most hosts for each opening in it
    that is still to be made; of equal ones that which helps more, then the first by name. One that takes several places
    is yielded place by place: the hosts that need all of them count at the last. All hosts are helped in the end.

    Args:
        hosts: How many of them need what.
    """
    failing = _Failing(hosts)
    while chosen := failing.best():
        places: dict[tuple[str, str], set[Opening]] = defaultdict(set)
        for opening in chosen:
            places[opening.place, opening.device].add(opening)
        parts = [frozenset(part) for part in places.values()]
        for part in sorted(parts, key=lambda part: (-failing.gain(part), sorted(part))):
            yield part, failing.open(part)


class _Failing:
    """The hosts that still fail, those that need the same as one.

    Each alternative is found by its rarest opening, so that few have to be looked at to count whom a set helps; and
    only sets that a step touched are counted again after it.
    """

    def __init__(self, hosts: Mapping[Needs, int]) -> None:
        self._hosts = list(hosts.values())
        self._needs = [set(needs) for needs in hosts]
        self._rest: set[int] = set(range(len(self._needs)))
        self._users: dict[Opening, set[int]] = defaultdict(set)  # who has it in any alternative
        for number, needs in enumerate(self._needs):
            for opening in frozenset().union(*needs):
                self._users[opening].add(number)
        self._by_rarest: dict[Opening, set[tuple[int, Openings]]] = defaultdict(set)
        for number, needs in enumerate(self._needs):
            for alternative in needs:
                self._file(number, alternative)
        self._keys: dict[Openings, Key] = {}
        self._sets_with: dict[Opening, set[Openings]] = defaultdict(set)
        self._heap: list[Key] = []
        for alternative in frozenset().union(*self._needs):
            self._rank(alternative)

    def best(self) -> Openings:
        """Return the set that pays most, an empty one if no host fails any more."""
        while self._heap:
            chosen = frozenset(self._heap[0][2])
            if self._keys.get(chosen) == self._heap[0]:
                return chosen
            heapq.heappop(self._heap)
        return frozenset()

    def gain(self, openings: Openings) -> int:
        """Return how many hosts these openings would help, beside all that is open."""
        return sum(self._hosts[number] for number in self._helped(openings))

    def open(self, openings: Openings) -> int:
        """Open something and return how many hosts it helped."""
        helped = self._helped(openings)
        changed = {number for opening in openings for number in self._users[opening]} & self._rest
        touched = {opening for number in changed for needs in self._needs[number] for opening in needs}
        self._rest -= helped
        for number in changed:
            self._shrink(number, openings, drop=number in helped)
        for alternative in {related for opening in touched for related in self._sets_with[opening]}:
            self._forget(alternative)
            if left := alternative - openings:
                self._rank(left)
        return sum(self._hosts[number] for number in helped)

    def _helped(self, openings: Openings) -> set[int]:
        return {
            number
            for opening in openings
            for number, alternative in self._by_rarest.get(opening, ())
            if alternative <= openings
        }

    def _file(self, number: int, alternative: Openings) -> None:
        rarest = min(alternative, key=lambda opening: (len(self._users[opening]), opening))
        self._by_rarest[rarest].add((number, alternative))

    def _shrink(self, number: int, opened: Openings, *, drop: bool) -> None:
        """Leave out of a host's needs what is open now; drop: it is helped, so that nothing is left."""
        for alternative in list(self._needs[number]):
            if drop or alternative & opened:
                for opening in alternative:
                    self._by_rarest[opening].discard((number, alternative))
                self._needs[number].discard(alternative)
                if not drop:
                    self._needs[number].add(alternative - opened)
                    self._file(number, alternative - opened)

    def _rank(self, openings: Openings) -> None:
        if openings in self._keys:
            return
        gain = self.gain(openings)
        key = (-gain / len(openings), -gain, tuple(sorted(openings)))
        self._keys[openings] = key
        for opening in openings:
            self._sets_with[opening].add(openings)
        if gain:
            heapq.heappush(self._heap, key)

    def _forget(self, openings: Openings) -> None:
        del self._keys[openings]
        for opening in openings:
            self._sets_with[opening].discard(openings)
