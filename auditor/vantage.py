"""Where an attempt was stopped, told from two captures of it: by five-tuple and sequence number, never by clock."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from statistics import median

from auditor import report as r
from auditor.attempts import Attempt, Traffic

SAME_CLOCK_NS = 1_000_000
LIKELY_NS = 3_600_000_000_000
MOST_NOTES = 5
FRESH_HOP_COUNTS = (64, 128, 255)  # what a packet starts with: whoever sees that is on the sender's own network


def where_stopped(attempts: Sequence[Attempt], traffic: Traffic, responder: str) -> tuple[str, str] | None:
    """Return where an unanswered attempt was stopped and a sentence on it, None if one capture alone tells nothing.

    attempts: the same attempt in every source that has it. responder: the role of the host that was tried.
    """
    if any(one.response == "answered" for one in attempts):
        return None  # its packets arrived
    here = attempts[0]
    seen = {one.source for one in attempts}
    at_responder = [one for one in attempts if _is_at(one.dst, one.source, traffic)]
    others = [number for number in range(len(traffic.sources)) if number not in seen]
    for number in others if not at_responder else ():  # what is seen at the end of its way has passed everything before
        if _should_have_seen(here, number, traffic):
            names = [traffic.sources[one].path for one in (here.source, number)]
            return r.BETWEEN, f"Stopped on the way out: its packets are in {names[0]} and never arrive in {names[1]}."
    if len(attempts) > 1 and at_responder:
        name = traffic.sources[at_responder[0].source].path
        return responder, f"Its packets do arrive at {here.dst} itself ({name}), which does not answer them."
    return None


def _should_have_seen(attempt: Attempt, number: int, traffic: Traffic) -> bool:
    """Tell whether a source that lies on the way, and was being taken at the time, lacks the attempt."""
    offset = clock_offset(attempt.source, number, attempt.src, attempt.dst, traffic)
    source = traffic.sources[number]
    if offset is None or source.first_ns is None or source.last_ns is None:
        return False
    return source.first_ns <= attempt.start_ns + offset <= source.last_ns


def clock_notes(traffic: Traffic) -> tuple[str, ...]:
    """Return a sentence for each source that holds connections of an earlier one: how their clocks differ."""
    ahead: dict[tuple[int, int], list[int]] = defaultdict(list)  # by the later and the earlier source
    for starts in _starts(traffic).values():
        first, *others = sorted(starts)
        for second in others:
            ahead[second, first].append(starts[second] - starts[first])
    latest = {second: (first, offsets) for (second, first), offsets in sorted(ahead.items(), reverse=True)}
    notes = []
    for second, (first, offsets) in sorted(latest.items()):
        names = [traffic.sources[number].path for number in (first, second)]
        notes.append(_clock_note(names[0], names[1], int(median(offsets))))
    more = len(notes) - MOST_NOTES
    return (*notes[:MOST_NOTES], *([f"{more} more sources hold connections of others."] if more > 0 else []))


def _starts(traffic: Traffic) -> dict[object, dict[int, int]]:
    """Return when each connection began, in each source that has it."""
    found: dict[object, dict[int, int]] = defaultdict(dict)
    for pair in traffic.pairs():
        for one in traffic.between(*pair):
            if one.protocol == "tcp" and one.identity is not None:
                found[one.identity].setdefault(one.source, one.start_ns)
    return found


def _clock_note(first: str, second: str, ahead: int) -> str:
    """Return the sentence on two clocks. ahead: how many nanoseconds the second is ahead, the way between included."""
    clocks = f"the second clock is {abs(ahead) / 1e9:,.3f} s {'ahead of' if ahead > 0 else 'behind'} the first"
    if abs(ahead) < SAME_CLOCK_NS:
        clocks = "their clocks agree to the millisecond"
    return f"{first} and {second} hold the same attempts, matched by ports and sequence numbers, not by time: {clocks}."


def clock_offset(first: int, second: int, src: str, dst: str, traffic: Traffic) -> int | None:
    """Return how many nanoseconds the second source's clock is ahead of the first's, None if they share no attempt.

    Connections tell; pings only where there are none, and clocks that differ by hours do not: their numbers come again
    every time that somebody pings.
    """
    times: dict[tuple[int, bool], dict[object, int]] = defaultdict(dict)
    for one in traffic.between(src, dst):
        if one.source in (first, second) and one.identity is not None:
            times[one.source, one.protocol == "tcp"].setdefault(one.identity, one.start_ns)
    for connections in (True, False):
        theirs, others = times[first, connections], times[second, connections]
        if shared := theirs.keys() & others.keys():
            offset = int(median(others[key] - theirs[key] for key in shared))
            return offset if connections or abs(offset) <= LIKELY_NS else None
    return None


def _is_at(host: str, number: int, traffic: Traffic) -> bool:
    """Tell whether a source was taken on the host's own network: its packets have not passed any router there."""
    return any(address == host and count in FRESH_HOP_COUNTS for address, count in traffic.said[number].hops)
