"""Which accounts are of one and the same attempt: of captures by sequence number, of logs by ends and time."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Callable, Collection, Iterable, Sequence
from statistics import median

from auditor.verdicts.attempts import Attempt, Traffic

QUARTER_NS = 15 * 60 * 1_000_000_000  # by which time zones differ
FARTHEST_ZONE_NS = 14 * 3600 * 1_000_000_000
CLOCKS_DIFFER_NS = 60 * 1_000_000_000  # by about how much two clocks may be off besides
ENOUGH_TO_SHIFT = 2  # attempts that must agree on another zone: the same port comes again within hours
MOST_TIMES = 100  # of attempts between the same ends that are compared

ClockOffset = Callable[[Attempt], int]
Account = tuple[int, str | None, str | None]  # source, whose firewall, what it did


def _account(attempt: Attempt) -> Account:
    return attempt.source, attempt.firewall, attempt.row.action if attempt.row else None


def match_attempts(attempts: Sequence[Attempt], offset_ns: ClockOffset) -> list[list[Attempt]]:
    """Return attempts with those together that are one and the same.

    offset_ns: how many nanoseconds the clock of an attempt's source is ahead of the others. Few rows of a log have a
    sequence number: where there is none, the ends and the time, on a common clock, tell. Of each firewall there is one
    account of an attempt.
    """
    if len(attempts) == 1:
        return [list(attempts)]
    captured = _captured([attempt for attempt in attempts if attempt.row is None])
    logged = [attempt for attempt in attempts if attempt.row is not None]
    if not logged:
        return captured
    index = _MatchIndex(offset_ns)
    for group in captured:
        index.add(group)
    for attempt in logged:
        index.join(attempt)
    return index.groups


class _MatchIndex:
    """Groups of accounts, to be found by their ends, time and sequence number."""

    def __init__(self, offset_ns: ClockOffset) -> None:
        self.groups: list[list[Attempt]] = []
        self._offset_ns = offset_ns
        self._accounts: list[set[Account]] = []
        self._places: dict[tuple[object, ...], list[int]] = defaultdict(list)
        self._passed: Counter[tuple[object, ...]] = Counter()  # of a list of places: those used up by one account

    def add(self, group: list[Attempt]) -> None:
        """Add a group, to be found by its first account."""
        attempt, place = group[0], len(self.groups)
        self.groups.append(group)
        self._accounts.append({_account(member) for member in group})
        slot = (*attempt.ends, self._slot(attempt))
        self._places[(*slot, "any")].append(place)
        self._places[(*slot, attempt.first_sequence)].append(place)

    def join(self, logged: Attempt) -> None:
        """Put what a log tells to the group that it fits, else into one of its own."""
        account = _account(logged)
        numbers = ["any"] if logged.first_sequence is None else [logged.first_sequence, None]
        slot = self._slot(logged)
        for key in ((*logged.ends, slot + step, number) for step in (0, -1, 1) for number in numbers):
            place = self._free(key, account)
            if place is not None:
                self.groups[place].append(logged)
                self._accounts[place].add(account)
                return
        self.add([logged])

    def _free(self, key: tuple[object, ...], account: Account) -> int | None:
        """Return the first group in a list that has no account of this firewall yet; each is passed but once."""
        places, counter = self._places.get(key, []), (key, account)
        while self._passed[counter] < len(places):
            place = places[self._passed[counter]]
            if account not in self._accounts[place]:
                return place
            self._passed[counter] += 1
        return None

    def _slot(self, attempt: Attempt) -> int:
        return (attempt.start_ns - self._offset_ns(attempt)) // CLOCKS_DIFFER_NS


def log_offset_ns(halves: Collection[int], traffic: Traffic, offset_ns: ClockOffset) -> int | None:
    """Return how many nanoseconds the clock of a log is ahead of the captures, None where they share no attempt.

    halves: the numbers of its sources, two if it was rolled over. offset_ns: how far the clocks of the captures are
    ahead. Attempts with the same ends and sequence number tell exactly. Else, the times of a log may be local, and
    nobody says of which zone: then what most attempts between the same ends say is taken, in quarters of an hour. Pings
    tell nothing, since all between two hosts have the same ends.
    """
    captured: dict[tuple[object, ...], list[Attempt]] = defaultdict(list)
    logged: list[Attempt] = []
    for attempt in (attempt for pair in traffic.pairs() for attempt in traffic.between(*pair)):
        if attempt.protocol == "icmp":
            continue
        if attempt.source in halves:
            logged.append(attempt)
        elif attempt.row is None:
            captured[attempt.ends].append(attempt)
    pairs = [
        (entry, captured_attempt) for entry in logged for captured_attempt in captured.get(entry.ends, [])[:MOST_TIMES]
    ]
    exact = [
        entry.start_ns - captured_attempt.start_ns + offset_ns(captured_attempt)
        for entry, captured_attempt in pairs
        if entry.first_sequence is not None and entry.first_sequence == captured_attempt.first_sequence
    ]
    if exact:
        return int(median(exact))
    zone_counts: Counter[int] = Counter()
    for entry, captured_attempt in pairs:
        if entry.first_sequence is None or captured_attempt.first_sequence is None:
            zone_counts.update(_zone(entry.start_ns - captured_attempt.start_ns + offset_ns(captured_attempt)))
    if zone_counts[0]:
        return 0
    if all(traffic.sources[half].clock != "local" for half in halves):
        return None
    agreed = [
        (count, -abs(zone), zone)
        for zone, count in zone_counts.items()
        if count >= ENOUGH_TO_SHIFT and abs(zone) <= FARTHEST_ZONE_NS
    ]
    return max(agreed)[2] if agreed else None


def _zone(difference: int) -> Iterable[int]:
    """Return the whole quarters of an hour that a difference comes to, but for a little; nothing if it does not."""
    zone = round(difference / QUARTER_NS) * QUARTER_NS
    return [zone] if abs(difference - zone) <= CLOCKS_DIFFER_NS else []


def _captured(attempts: Sequence[Attempt]) -> list[list[Attempt]]:
    """Return the attempts that captures hold, those of one and the same together."""
    groups: dict[object, list[Attempt]] = defaultdict(list)
    again: Counter[object] = Counter()
    for index, attempt in enumerate(attempts):
        key = attempt.identity or index
        again[key, attempt.source] += 1
        groups[key, again[key, attempt.source]].append(attempt)  # the same again in one source is another attempt
    return list(groups.values())
