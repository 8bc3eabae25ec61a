"""Which accounts are of one and the same attempt: of captures by sequence number, of logs by ends and time."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Callable, Iterable, Sequence
from statistics import median

from auditor.attempts import Attempt, Traffic

QUARTER_NS = 15 * 60 * 1_000_000_000  # by which time zones differ
FARTHEST_ZONE_NS = 14 * 3600 * 1_000_000_000
CLOCKS_DIFFER_NS = 60 * 1_000_000_000  # how far two clocks may be off besides, and how long an attempt is logged
MOST_TIMES = 100  # of attempts between the same ends that are compared


def together(attempts: Sequence[Attempt], ahead: Callable[[Attempt], int]) -> list[list[Attempt]]:
    """Return attempts with those together that are one and the same.

    ahead: how many nanoseconds the clock of an attempt's source is ahead of the others. Few rows of a log have a
    sequence number: where there is none, the ends and the time, on a common clock, tell. Of each firewall there is one
    account of an attempt.
    """
    groups = _captured([one for one in attempts if one.row is None])
    near: dict[tuple[object, ...], list[list[Attempt]]] = defaultdict(list)
    for group in groups:
        near[_slot(group[0], ahead, 0)].append(group)
    for attempt in attempts:
        if attempt.row is None:
            continue
        found = [one for step in (0, -1, 1) for one in near.get(_slot(attempt, ahead, step), ())]
        if same := _nearest(attempt, found, ahead):
            same.append(attempt)
        else:
            groups.append([attempt])
            near[_slot(attempt, ahead, 0)].append(groups[-1])
    return groups


def log_ahead(number: int, traffic: Traffic) -> int | None:
    """Return how many nanoseconds the clock of a log is ahead of the captures, None where they share no attempt.

    Attempts with the same ends and sequence number tell exactly. Else, the times of a log may be local, and nobody says
    of which zone: then what most attempts between the same ends say is taken, in quarters of an hour.
    """
    captured: dict[tuple[object, ...], list[Attempt]] = defaultdict(list)
    logged: list[Attempt] = []
    for one in (attempt for pair in traffic.pairs() for attempt in traffic.between(*pair)):
        if one.source == number:
            logged.append(one)
        elif one.row is None:
            captured[one.ends].append(one)
    exact = [
        one.start_ns - other.start_ns
        for one in logged
        for other in captured.get(one.ends, [])[:MOST_TIMES]
        if one.first_sequence is not None and one.first_sequence == other.first_sequence
    ]
    if exact:
        return int(median(exact))
    farthest = FARTHEST_ZONE_NS if traffic.sources[number].clock == "local" else 0
    found: Counter[int] = Counter()
    for one in logged:
        others = captured.get(one.ends, [])[:MOST_TIMES]
        found.update(_zones(one.start_ns - other.start_ns for other in others if _may_be_same(one, other)))
    likely = [(count, -abs(zone), zone) for zone, count in found.items() if abs(zone) <= farthest]
    return max(likely)[2] if likely else None


def _may_be_same(one: Attempt, other: Attempt) -> bool:
    """Tell whether nothing speaks against two accounts being of the same attempt: the numbers, where both have some."""
    numbers = {one.first_sequence, other.first_sequence} - {None}
    return one.protocol == "icmp" or len(numbers) < 2


def _zones(differences: Iterable[int]) -> set[int]:
    """Return the whole quarters of an hour that differences come to, but for a little."""
    rounded = ((one, round(one / QUARTER_NS) * QUARTER_NS) for one in differences)
    return {zone for one, zone in rounded if abs(one - zone) <= CLOCKS_DIFFER_NS}


def _captured(attempts: Sequence[Attempt]) -> list[list[Attempt]]:
    """Return the attempts that captures hold, those of one and the same together."""
    groups: dict[object, list[Attempt]] = defaultdict(list)
    again: Counter[object] = Counter()
    for index, attempt in enumerate(attempts):
        key = attempt.identity or index
        again[key, attempt.source] += 1
        groups[key, again[key, attempt.source]].append(attempt)  # the same again in one source is another attempt
    return list(groups.values())


def _slot(attempt: Attempt, ahead: Callable[[Attempt], int], step: int) -> tuple[object, ...]:
    return (*attempt.ends, (attempt.start_ns - ahead(attempt)) // CLOCKS_DIFFER_NS + step)


def _nearest(
    attempt: Attempt, groups: Sequence[list[Attempt]], ahead: Callable[[Attempt], int]
) -> list[Attempt] | None:
    """Return the group that is nearest in time and has no account of the same firewall yet."""
    time = attempt.start_ns - ahead(attempt)
    apart = [
        (abs(group[0].start_ns - ahead(group[0]) - time), place)
        for place, group in enumerate(groups)
        if _may_be_same(attempt, group[0])
        and not any(one.source == attempt.source and one.firewall == attempt.firewall for one in group)
    ]
    best = min(apart, default=None)
    return groups[best[1]] if best is not None and best[0] <= CLOCKS_DIFFER_NS else None
