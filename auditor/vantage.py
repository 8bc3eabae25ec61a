"""Where an attempt was stopped, told from two captures of it: by five-tuple and sequence number, never by clock."""

from __future__ import annotations

from collections.abc import Sequence
from statistics import median

from auditor import report as r
from auditor.attempts import Attempt, Traffic

FRESH_HOP_COUNTS = (64, 128, 255)  # what a packet starts with: whoever sees that is on the sender's own network


def where_stopped(attempts: Sequence[Attempt], traffic: Traffic, responder: str) -> tuple[str, str] | None:
    """Return where an unanswered attempt was stopped and a sentence on it, None if one capture alone tells nothing.

    attempts: the same attempt in every source that has it. responder: the role of the host that was tried.
    """
    here = attempts[0]
    seen = {one.source for one in attempts}
    others = [number for number in range(len(traffic.sources)) if number not in seen]
    for number in others:
        if _should_have_seen(here, number, traffic):
            names = [traffic.sources[one].path for one in (here.source, number)]
            return r.BETWEEN, f"Its packets are in {names[0]} and never arrive in {names[1]}."
    at_responder = [one for one in attempts if _is_at(one.dst, one.source, traffic)]
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


def clock_offset(first: int, second: int, src: str, dst: str, traffic: Traffic) -> int | None:
    """Return how many nanoseconds the second source's clock is ahead of the first's, None if they share no attempt."""
    times: dict[int, dict[object, int]] = {first: {}, second: {}}
    for one in traffic.between(src, dst):
        if one.source in times and one.identity is not None:
            times[one.source].setdefault(one.identity, one.start_ns)
    shared = times[first].keys() & times[second].keys()
    return int(median(times[second][key] - times[first][key] for key in shared)) if shared else None


def _is_at(host: str, number: int, traffic: Traffic) -> bool:
    """Tell whether a source was taken on the host's own network: its packets have not passed any router there."""
    return any(address == host and count in FRESH_HOP_COUNTS for address, count in traffic.said[number].hops)
