"""Where a capture was taken and an attempt was blocked: by hop counts and sequence numbers, never by clocks.

A hop count (time to live, hop limit) is fresh if operating systems send packets with it. What places an attempt:

- Its packets have passed a router, and those of the host that was tried are fresh: the capture was taken on that
  host's network, and they arrived there. If both are fresh, both hosts are on one network, and the capture may have
  been taken at either of them. Then a second capture with shorter delays between SYN and SYN-ACK places it.
- Each connection with a response is there twice, on both sides of a router, and this attempt only on the near side:
  that router did not forward it.
- A second capture holds other connections of the two hosts, but not this attempt.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence

from auditor.report import model as r
from auditor.ruleset.statements import say
from auditor.sources.flows.hop_counts import FRESH, hop_counts
from auditor.verdicts.attempts import SAME_PACKET_NS, Attempt, Traffic
from auditor.verdicts.correlation.clock_offsets import clock_offset

ENOUGH_TRIES = 2  # a lossy capture may lack the far side of one SYN, but not of all
# Two captures at one computer show the same delays but for microseconds. On a local network the delay of the computer
# that sent the SYN is its own way there and back longer than the other's.
SHORTER, ENOUGH_DELAYS = 2, 2


def locate_block(attempts: Sequence[Attempt], traffic: Traffic, responder: str) -> tuple[str, str] | None:
    """Return where an attempt was blocked and a sentence on it, None if the captures do not show it.

    Args:
        attempts: The same attempt in every source that has it.
        traffic: All sources.
        responder: Role of the host that was tried.
    """
    if any(attempt.response == "answered" for attempt in attempts):
        return None  # its packets arrived
    captured = [attempt for attempt in attempts if attempt.row is None]
    if arrived := arrived_without_response(captured, traffic):
        template = "location.arrived-in" if len(traffic.sources) > 1 else "location.arrived"
        return responder, say(template, path=traffic.sources[arrived.source].path)
    if any(attempt.firewall == attempt.dst for attempt in attempts):  # its own log shows that the attempt arrived
        return None
    return _missing_elsewhere(captured, traffic) or _kept_by_router(captured, traffic)


def capture_point(
    number: int, traffic: Traffic, roles_of: Callable[[str], Iterable[str]], pairs: Iterable[tuple[str, str]]
) -> str:
    """Return where a capture was taken: the role on whose network, "between" for the path, or "unknown".

    Args:
        number: Its index among the sources.
        traffic: All sources.
        roles_of: The roles that a host plays.
        pairs: Hosts that contact each other.
    """
    local = traffic.sources[number].details.on_link
    roles = {role for address in local for role in roles_of(address)}
    if len(roles) == 1:
        return roles.pop()
    crossed = (_have_passed_router(number, *pair, traffic) for pair in pairs)
    return r.BETWEEN if not roles and any(crossed) else r.UNKNOWN


def _have_passed_router(number: int, src: str, dst: str, traffic: Traffic) -> bool:
    """Tell whether the packets of both hosts have passed a router before they were captured."""
    ways = (traffic.sent(number, src, dst).hop_counts, traffic.sent(number, dst, src).hop_counts)
    return all(way - FRESH for way in ways)


def arrived_without_response(captured: Sequence[Attempt], traffic: Traffic) -> Attempt | None:
    """Return an attempt as a capture on the network of the host that was tried shows it, if it has no response there.

    Args:
        captured: The same attempt in every capture that has it.
        traffic: All sources.
    """
    for attempt in (attempt for attempt in captured if attempt.response == "no-response"):
        nearer = any(_is_nearer(attempt, far.source, traffic) for far in captured)
        if nearer or (_has_passed_router(attempt) and attempt.dst in traffic.sources[attempt.source].details.on_link):
            return attempt
    return None


def _has_passed_router(attempt: Attempt) -> bool:
    arrived = hop_counts(event for event in attempt.events if event.from_src)
    return bool(arrived) and arrived.isdisjoint(FRESH)


def _is_nearer(attempt: Attempt, far: int, traffic: Traffic) -> bool:
    """Tell whether an attempt was captured on the network of the host that was tried, nearer to it than another source.

    The time from SYN to SYN-ACK is shorter there, in each connection that both sources hold. Each time is by one clock.
    """
    number, src, dst = attempt.source, attempt.src, attempt.dst
    if traffic.sent(number, dst, src).hop_counts - FRESH:
        return False
    near_delays, far_delays = traffic.delays(number, src, dst), traffic.delays(far, src, dst)
    shared = near_delays.keys() & far_delays.keys()
    shorter = all(0 < near_delays[key] * SHORTER <= far_delays[key] for key in shared)
    return shorter and len(shared) >= ENOUGH_DELAYS


def _missing_elsewhere(captured: Sequence[Attempt], traffic: Traffic) -> tuple[str, str] | None:
    """Return the place if the attempt is missing from a capture that should have it."""
    seen = {attempt.source for attempt in captured}
    for number in range(len(traffic.sources)):
        sent = [attempt for attempt in captured if number not in seen and _should_have_seen(attempt, number, traffic)]
        if sent:
            names = [traffic.sources[source].path for source in (sent[0].source, number)]
            return r.BETWEEN, say("location.forward-path", has=names[0], lacks=names[1])
    return None


def _kept_by_router(captured: Sequence[Attempt], traffic: Traffic) -> tuple[str, str] | None:
    """Return the place if a capture on both sides of a router shows the attempt only before it."""
    for attempt in captured:
        own = hop_counts(event for event in attempt.events if event.from_src)
        forwarded = [
            hops
            for connection in traffic.between(attempt.src, attempt.dst)
            if connection.source == attempt.source
            and connection.response == "answered"
            and (hops := _looks(connection))
        ]
        if len(attempt.syns) < ENOUGH_TRIES or not forwarded:
            continue
        if all(len(hops) > 1 and own == {max(hops)} for hops in forwarded):
            return r.BETWEEN, say("location.router", path=traffic.sources[attempt.source].path)
    return None


def _looks(attempt: Attempt) -> frozenset[int]:
    """Return the hop counts with which the packet that began an attempt was captured on its way."""
    sent = [event for event in attempt.events if event.packet_kind in ("SYN", "request")]
    return hop_counts(
        event
        for event in sent
        if event.sequence == sent[0].sequence and event.time_ns - sent[0].time_ns < SAME_PACKET_NS
    )


def _should_have_seen(attempt: Attempt, number: int, traffic: Traffic) -> bool:
    """Tell whether a source that lies on the way, and was being taken at the time, lacks the attempt."""
    offset = clock_offset(attempt.source, number, attempt.src, attempt.dst, traffic)
    source = traffic.sources[number]
    if offset is None or source.first_ns is None or source.last_ns is None:
        return False
    return source.first_ns <= attempt.start_ns + offset <= source.last_ns
