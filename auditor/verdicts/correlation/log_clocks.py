"""How far the clock of a ConfigMgr log is ahead of that of a capture, from pushes that both report."""

from __future__ import annotations

from bisect import bisect_right
from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from itertools import pairwise
from statistics import median
from typing import NamedTuple

from auditor.report.model import Push
from auditor.ruleset.addresses import canonical
from auditor.ruleset.statements import say, say_count
from auditor.sources.configmgr.facts import InstallStep, PushRequest
from auditor.sources.source import CAPTURE
from auditor.verdicts.attempts import Traffic
from auditor.verdicts.installations.contacts import Pair
from auditor.verdicts.installations.roles import RoleMap

SECOND_NS = 1_000_000_000
SAME_NS = 2 * SECOND_NS  # between what a log reports and its packets, on one clock
HOUR_NS = 3600 * SECOND_NS
FARTHEST_ZONE_NS = 14 * HOUR_NS
BESIDE_HOUR_NS = 60 * SECOND_NS  # clocks differ besides their zones
NEXT_ATTEMPT_NS = 300 * SECOND_NS  # without a connection: the site server tries again after eleven minutes or later
MOST_TIMES = 100  # of one client that are compared


class ClockDifference(NamedTuple):
    """How far a log is ahead of a capture.

    Attributes:
        ahead_ns: Nanoseconds, negative if the log is behind.
        pushes: How many pushes show it.
        is_joined: Whether the log and the capture are known to be of one computer.
        names: Of the computer in the log, and its address in the capture, if they are not.
    """

    ahead_ns: int
    pushes: int
    is_joined: bool = True
    names: tuple[str, str] = ("", "")

    @property
    def is_whole_hours(self) -> bool:
        """Whether a time zone can explain it."""
        return abs(self.ahead_ns) > HOUR_NS / 2 and abs(self.ahead_ns - self._hours * HOUR_NS) <= BESIDE_HOUR_NS

    @property
    def is_stated(self) -> bool:
        """Whether it is one of clocks: longer ones are between different attempts."""
        if abs(self.ahead_ns) <= SAME_NS:
            return False
        return abs(self.ahead_ns) < HOUR_NS or (self.is_whole_hours and abs(self.ahead_ns) <= FARTHEST_ZONE_NS)

    @property
    def _hours(self) -> int:
        return round(self.ahead_ns / HOUR_NS)

    def text(self, log: str, capture: str) -> str:
        """Return the sentences on it.

        Args:
            log: Path of the log.
            capture: Path of the capture.
        """
        name, address = self.names
        template = "log-clock.ahead" if self.ahead_ns > 0 else "log-clock.behind"
        seconds = abs(self.ahead_ns) / SECOND_NS
        sentences = [say_count(template, self.pushes, log=log, capture=capture, seconds=seconds)]
        if not self.is_joined:
            sentences.insert(0, say("log-clock.not-joined", log=log, name=name, capture=capture, address=address))
        if self.is_whole_hours:
            sentences.append(say("log-clock.hours", hours=abs(self._hours)))
        return " ".join(sentences)


def log_clock_notes(traffic: Traffic, role_map: RoleMap) -> Iterator[str]:
    """Yield a text on each log whose clock differs from that of a capture of the same pushes.

    Args:
        traffic: What was tried.
        role_map: Who plays which role, and what logs report.
    """
    pushes = _pushes_by_log(role_map)
    lonely = _lonely(role_map)
    for log, by_pair in sorted(pushes.items()):
        for capture in _comparable(traffic, log):
            difference = _difference(traffic, capture, by_pair) or _of_lonely(traffic, log, capture, lonely)
            if difference is not None and difference.is_stated:
                yield difference.text(traffic.sources[log].path, traffic.sources[capture].path)


def _comparable(traffic: Traffic, log: int) -> Iterator[int]:
    if traffic.sources[log].clock != "utc":
        return
    yield from (number for number, source in enumerate(traffic.sources) if source.kind == CAPTURE)


def _pushes_by_log(role_map: RoleMap) -> Mapping[int, Mapping[Pair, list[int]]]:
    """Return by log, and by site server and client, when the log has attempts to connect to ADMIN$."""
    begins: dict[int, dict[Pair, list[int]]] = defaultdict(lambda: defaultdict(list))
    for client, computer in role_map.logs.computers.items():
        for source, request in computer.requests:
            if (begin := _begin(request)) is not None:
                begins[source][role_map.logs.site_servers[source], client].append(begin)
    return begins


def _begin(request: PushRequest) -> int | None:
    """Return when a request first connects to the client; None if the log does not have it."""
    times = (step.time_ns for step in request.steps if step.step is InstallStep.ADMIN_SHARE)
    return next((time for time in times if time is not None), None)


def _captured(traffic: Traffic, capture: int, pair: Pair) -> list[int]:
    """Return when the connections of each push began that a capture has."""
    starts = sorted(
        attempt.start_ns
        for attempt in traffic.between(*pair)
        if attempt.source == capture and attempt.protocol == "tcp"
    )
    return starts[:1] + [later for earlier, later in pairwise(starts) if later - earlier > NEXT_ATTEMPT_NS]


def _difference(traffic: Traffic, capture: int, by_pair: Mapping[Pair, Sequence[int]]) -> ClockDifference | None:
    """Return the difference on which the most pushes agree; None if there is no single one."""
    differences = sorted(
        begin - start
        for pair, begins in by_pair.items()
        for start in _captured(traffic, capture, pair)[:MOST_TIMES]
        for begin in begins[:MOST_TIMES]
    )
    if not differences:
        return None
    ends = [bisect_right(differences, first + SAME_NS) for first in differences]
    begin = max(range(len(differences)), key=lambda at: (ends[at] - at, -abs(differences[at])))
    agreeing = differences[begin : ends[begin]]
    if len(agreeing) == 1 < len(differences) and abs(agreeing[0]) > SAME_NS:
        return None
    return ClockDifference(int(median(agreeing)), len(agreeing))


# a log and a capture that are not joined


class _Lonely(NamedTuple):
    """The only computer of the logs without an address, and the only push in the traffic without a log or a name."""

    log: int
    name: str
    begins: Sequence[int]
    pair: Pair


def _lonely(role_map: RoleMap) -> _Lonely | None:
    computers = role_map.logs.computers
    free = [push for push in role_map.judged if push.to_address not in computers and not _has_name(push, role_map)]
    missing = [computer for key, computer in computers.items() if computer.requests and not canonical(key)]
    if len(free) != 1 or len(missing) != 1:
        return None
    requests = missing[0].requests
    begins = [begin for _, request in requests if (begin := _begin(request)) is not None]
    return _Lonely(requests[0].source, missing[0].name, begins, (free[0].from_address, free[0].to_address))


def _has_name(push: Push, role_map: RoleMap) -> bool:
    return any(role.name for role in role_map.of_host(push.to_address))


def _of_lonely(traffic: Traffic, log: int, capture: int, lonely: _Lonely | None) -> ClockDifference | None:
    if lonely is None or lonely.log != log:
        return None
    difference = _difference(traffic, capture, {lonely.pair: lonely.begins})
    names = lonely.name, lonely.pair[1]
    return difference and difference._replace(is_joined=False, names=names)
