"""Dynamic RPC ports: which attempts are at ports that the endpoint mapper assigned, and for which RPC interface."""

from __future__ import annotations

import math
from bisect import bisect_left, bisect_right
from collections import defaultdict
from collections.abc import Callable, Collection, Sequence
from dataclasses import replace
from itertools import accumulate, product
from typing import NamedTuple

from auditor.report import model as r
from auditor.ruleset.ruleset import Requirement, Ruleset
from auditor.ruleset.statements import say, say_count
from auditor.sources.dissection.facts import SERVICE_CONTROLLER
from auditor.sources.dissection.steps import Outcome, StepKind
from auditor.verdicts.attempts import Attempt, Traffic
from auditor.verdicts.correlation.clocks import Clocks
from auditor.verdicts.correlation.match import CLOCKS_DIFFER_NS, match_attempts
from auditor.verdicts.findings import Finding

AFTER_ENDPOINT_MAPPER_NS = 60_000_000_000  # a dynamic port is used soon after it was assigned
AFTER_MAPPER_IN_LOG_NS = 300_000_000_000  # a connection to the endpoint mapper may stay for minutes
# Distinct ports. A push calls a handful of interfaces (svcctl, winreg, IOXIDResolver, WMI), and a Windows computer
# listens on about ten dynamic ports in all; a port scan tries hundreds.
MOST_PORTS_OF_PUSH = 16
MOST_PORTS_LISTED = 3
SERVICES_PROGRAM = "\\services.exe"  # in which the Service Control Manager runs
ESTABLISHED = ("answered", "one-way")  # a log shows one direction of each connection


class RpcService(NamedTuple):
    """What a dynamic port was assigned to: an RPC interface; where that is unknown, the port stands for it."""

    interface: str
    port: int = 0


ServiceOf = Callable[[Finding], RpcService]


class MapperConnections:
    """Connections to an endpoint mapper, by one clock."""

    def __init__(self, attempts: Sequence[Attempt], clocks: Clocks) -> None:
        timed = sorted((_begin(attempt, clocks), _end(attempt, clocks)) for attempt in attempts)
        self._logged = any(attempt.row is not None for attempt in attempts)
        self._begins = [begin for begin, _ in timed]
        self._ends = list(accumulate((end for _, end in timed), max))  # the latest end of all that began by then
        self._captured = {
            source: _in_order(attempts, source, clocks)
            for source in {attempt.source for attempt in attempts if attempt.row is None}
        }

    def soon_before(self, attempt: Attempt, begin_ns: int) -> bool:
        """Return whether an attempt came soon after a connection; a log has the begin of a connection, not its end.

        What is before an attempt in its own capture was before it, although the clock may have been set back since.
        """
        return self._in_time(attempt, begin_ns) or self._in_frames(attempt, begin_ns)

    def _in_frames(self, attempt: Attempt, begin_ns: int) -> bool:
        frames, ends = self._captured.get(attempt.source, ((), ()))
        place = bisect_left(frames, attempt.first_frame)
        return place > 0 and begin_ns <= ends[place - 1] + AFTER_ENDPOINT_MAPPER_NS

    def _in_time(self, attempt: Attempt, begin_ns: int) -> bool:
        logged = self._logged or attempt.row is not None
        place = bisect_right(self._begins, begin_ns + (CLOCKS_DIFFER_NS if logged else 0))
        after_ns = AFTER_MAPPER_IN_LOG_NS if logged else AFTER_ENDPOINT_MAPPER_NS
        return place > 0 and begin_ns <= self._ends[place - 1] + after_ns


class Assignments(NamedTuple):
    """What a capture shows of the dynamic ports that one computer assigned to another.

    Attributes:
        connections: First frame of each connection to the endpoint mapper that carries data, in order.
        shown: Frames in which ports were assigned, or which show that there is none, in order.
        first_unread: The first frame with a response that does not show its result, infinite if there is none.
    """

    connections: Sequence[int]
    shown: Sequence[int]
    first_unread: float

    def are_known_before(self, frame: int) -> bool:
        """Return whether there are assignments before a frame, and each of their connections shows its result."""
        connections = bisect_left(self.connections, frame)
        return frame <= self.first_unread and bisect_left(self.shown, frame) >= connections > 0


NOTHING_KNOWN = Assignments((), (), 0)


def _assignments(port: int | None, attempt: Attempt, traffic: Traffic) -> Assignments:
    """Return the assignments in the capture of an attempt, between its two computers. port: the endpoint mapper's."""
    if not traffic.is_dissected(attempt.source):
        return NOTHING_KNOWN
    mapper = [
        connection
        for connection in traffic.between(attempt.src, attempt.dst)
        if (connection.source, connection.dst_port, connection.protocol) == (attempt.source, port, "tcp")
        and connection.has_data
    ]
    steps = traffic.steps(mapper[0]) if mapper else []
    unread = (step.frame for step in steps if step.outcome is Outcome.ANSWERED)
    unknown = (step.frame for step in steps if step.action.kind is StepKind.ASK_PORT and step.outcome is Outcome.FAILED)
    connections = sorted(connection.first_frame for connection in mapper)
    assigned = traffic.assigned_to(attempt.source, attempt.src, attempt.dst)
    return Assignments(connections, sorted({*assigned, *unknown}), min(unread, default=math.inf))


class DynamicPorts:
    """Attempts at dynamic RPC ports in the traffic of an audit."""

    def __init__(self, traffic: Traffic, clocks: Clocks, ruleset: Ruleset) -> None:
        self._traffic = traffic
        self._clocks = clocks
        self._ruleset = ruleset
        self._mapper_connections: dict[tuple[str, str, str], dict[int | None, MapperConnections]] = {}
        self._assignments: dict[tuple[str, int, str, str], Assignments] = {}
        self._interfaces: dict[tuple[str, str], dict[int, set[str]]] = {}

    def includes(self, requirement: Requirement, attempt: Attempt) -> bool:
        """Return whether an attempt is at a port that the endpoint mapper or DCOM assigned, or may have assigned.

        A port assigned to a COM class that no push activates (MMC, PLA) is not one of the push.
        Where the assignment cannot be read, port and time decide: the port is in the dynamic range of current Windows
        versions (in that of old versions many other services listen), and the same two computers exchanged data at the
        endpoint mapper soon before.
        """
        assigned = self._traffic.is_push_port(attempt)
        if assigned is not None:
            return assigned
        if not self._in_usual_range(attempt):
            return False
        connections = self._at_mapper(requirement, attempt.src, attempt.dst)
        if not connections:
            return self._traffic.logs_only_drops(attempt.source)
        if attempt.row is None and self._all_assigned(requirement, attempt):
            return False
        clock = self._clocks.local_clock(attempt)
        if clock not in connections or len(connections) > 1:
            return True  # clocks that cannot be compared: it may have been soon before
        return connections[clock].soon_before(attempt, self._clocks.start_ns(attempt))

    def _all_assigned(self, requirement: Requirement, attempt: Attempt) -> bool:
        """Return whether all ports that were assigned before an attempt are known; its own is none of them."""
        key = (requirement.id, attempt.source, attempt.src, attempt.dst)
        if key not in self._assignments:
            port = self._ruleset.method(requirement.method).mapper_port(requirement.id)
            self._assignments[key] = _assignments(port, attempt, self._traffic)
        return self._assignments[key].are_known_before(attempt.first_frame)

    def counted(self, findings: Sequence[Finding]) -> tuple[list[Finding], list[Finding]]:
        """Return the findings that count for a push, and those of a port scan, which do not."""
        counted = [_as_likely(finding) if self._is_guess(finding) else finding for finding in findings]
        return without_scan(counted, self.service, self._ruleset.fixed_dynamic_ports)

    def service(self, finding: Finding) -> RpcService:
        """Return what the port of a finding was assigned to."""
        assigned = [named.interface for attempt in finding.attempts if (named := self._traffic.assigned_port(attempt))]
        if assigned:
            return RpcService(min(assigned))
        if any(map(_is_service_control_manager, finding.attempts)):
            return RpcService(SERVICE_CONTROLLER)
        port = finding.port or 0
        interfaces = self._by_port(finding.attempts[0]).get(port, set()) if finding.attempts else set()
        return RpcService(next(iter(interfaces))) if len(interfaces) == 1 else RpcService("", port)

    def not_counted(
        self,
        requirement: Requirement,
        sources: Sequence[str],
        destinations: Sequence[str],
        scanned: Sequence[Finding],
    ) -> str:
        """Return sentences on ports of the dynamic ranges that were tried and do not count, besides those of a scan."""
        left_out = {finding.port for finding in scanned}
        usual: set[int] = set()
        old: set[int] = set()
        for src, dst in product(sources, destinations):
            after_mapper = bool(self._at_mapper(requirement, src, dst))
            for attempt in self._traffic.between(src, dst):
                port = attempt.dst_port
                if port is None or port in left_out or attempt.direction_assumed or not self._in_range(attempt):
                    continue
                if self._in_usual_range(attempt):
                    usual.add(port)
                elif after_mapper:
                    old.add(port)
        return _on_early_ports(sorted(usual)) + _on_old_ports(sorted(old))

    def _is_guess(self, finding: Finding) -> bool:
        """Return whether nothing but the number of a blocked port ties it to the push."""
        if finding.verdict != r.BLOCKED or self.service(finding).interface:
            return False
        return all(self._traffic.logs_only_drops(attempt.source) for attempt in finding.attempts)

    def _in_range(self, attempt: Attempt) -> bool:
        """Return whether an attempt is at a dynamic port of any version of Windows that has no other meaning.

        Of a connection that was captured from its middle, the end with a dynamic port may be the one that began it: so
        it is unless the other end has such a port as well.
        """
        port, fixed = attempt.dst_port, self._ruleset.fixed_ports
        if attempt.protocol != "tcp" or port is None or port in fixed or not self._ruleset.is_dynamic(port):
            return False
        return not attempt.from_middle or self._ruleset.is_usual_dynamic(attempt.src_port or 0)

    def _in_usual_range(self, attempt: Attempt) -> bool:
        return self._in_range(attempt) and self._ruleset.is_usual_dynamic(attempt.dst_port or 0)

    def _at_mapper(self, requirement: Requirement, src: str, dst: str) -> dict[int | None, MapperConnections]:
        """Return the connections of one computer to the other's endpoint mapper by their clocks."""
        key = (requirement.id, src, dst)
        if key not in self._mapper_connections:
            port = self._ruleset.method(requirement.method).mapper_port(requirement.id)
            self._mapper_connections[key] = mapper_connections(port, src, dst, self._traffic, self._clocks)
        return self._mapper_connections[key]

    def _by_port(self, attempt: Attempt) -> dict[int, set[str]]:
        """Return the interfaces that any source names for the ports of the attempt's destination."""
        pair = (attempt.src, attempt.dst)
        if pair not in self._interfaces:
            self._interfaces[pair] = interfaces_by_port(*pair, self._traffic)
        return self._interfaces[pair]


def mapper_connections(
    port: int | None, src: str, dst: str, traffic: Traffic, clocks: Clocks
) -> dict[int | None, MapperConnections]:
    """Return the connections after which a port may have been assigned, by their clocks.

    A capture shows whether data went both ways: without data nothing was assigned, whatever a log says of the same
    connection. A log holds no data, so there an established connection is enough.
    """
    at_mapper = [
        attempt for attempt in traffic.between(src, dst) if attempt.protocol == "tcp" and attempt.dst_port == port
    ]
    by_clock: dict[int | None, list[Attempt]] = defaultdict(list)
    for accounts in match_attempts(at_mapper, clocks.offset_ns) if at_mapper else ():
        captured = [attempt for attempt in accounts if attempt.row is None]
        for attempt in captured or accounts:
            if attempt.response in ESTABLISHED and (attempt.row is not None or attempt.has_data):
                by_clock[clocks.local_clock(attempt)].append(attempt)
    return {clock: MapperConnections(attempts, clocks) for clock, attempts in by_clock.items()}


def interfaces_by_port(src: str, dst: str, traffic: Traffic) -> dict[int, set[str]]:
    """Return by port of one computer the interfaces that any source names for it."""
    interfaces: dict[int, set[str]] = defaultdict(set)
    for assigned in traffic.assigned_by(dst):
        interfaces[assigned.port].add(assigned.interface)
    for attempt in traffic.between(src, dst):
        if attempt.dst_port is not None and _is_service_control_manager(attempt):
            interfaces[attempt.dst_port].add(SERVICE_CONTROLLER)
    return interfaces


def without_scan(
    findings: Sequence[Finding], service_of: ServiceOf, bound_ports: Collection[int]
) -> tuple[list[Finding], list[Finding]]:
    """Return the findings that are not of a port scan, and those that are.

    A scan tries more ports in quick succession than a push, without data. What responded is left out as soon as all
    those ports are too many; what did not respond only if the ports without a response are too many by themselves, so
    that an open port never hides a blocked one.

    Args:
        findings: in order of time.
        service_of: a port whose interface is known is never one of a scan.
        bound_ports: ports to which a service is bound, which are never those of a scan either.
    """
    probes = [
        finding
        for finding in findings
        if finding.port not in bound_ports
        and not service_of(finding).interface
        and not any(attempt.has_data for attempt in finding.attempts)
    ]
    scanned = {id(finding) for burst in _bursts(probes) for finding in _scanned(burst)}
    return (
        [finding for finding in findings if id(finding) not in scanned],
        [finding for finding in findings if id(finding) in scanned],
    )


def _scanned(burst: Sequence[Finding]) -> list[Finding]:
    if len({finding.port for finding in burst}) <= MOST_PORTS_OF_PUSH:
        return []
    silent = [finding for finding in burst if finding.verdict not in r.PASSING]
    if len({finding.port for finding in silent}) > MOST_PORTS_OF_PUSH:
        return list(burst)
    return [finding for finding in burst if finding.verdict in r.PASSING]


def _bursts(findings: Sequence[Finding]) -> list[list[Finding]]:
    """Return findings with those together that came in quick succession, by each clock."""
    bursts: list[list[Finding]] = []
    latest: dict[int | None, list[Finding]] = {}
    for finding in findings:
        burst = latest.get(finding.clock)
        if burst is None or finding.time_ns - burst[-1].time_ns > AFTER_ENDPOINT_MAPPER_NS:
            burst = latest[finding.clock] = []
            bursts.append(burst)
        burst.append(finding)
    return bursts


def on_scan(scanned: Sequence[Finding]) -> str:
    """Return sentences on the ports of a scan that are left out, empty if there are none."""
    if not scanned:
        return ""
    ports = sorted({finding.port for finding in scanned if finding.port is not None})
    src = scanned[0].attempts[0].src
    return say("dynamic.scan", src=src, count=len(ports), first=ports[0], last=ports[-1])


def _on_early_ports(ports: Sequence[int]) -> str:
    if not ports:
        return ""
    return _tried("dynamic.early", ports)


def _on_old_ports(ports: Sequence[int]) -> str:
    if not ports:
        return ""
    return _tried("dynamic.old-range", ports)


def _tried(template: str, ports: Sequence[int]) -> str:
    listed = ", ".join(map(str, ports[:MOST_PORTS_LISTED]))
    more = len(ports) - MOST_PORTS_LISTED
    return say_count(template, len(ports), ports=listed, more=say("list.more", count=more) if more > 0 else "")


def _as_likely(finding: Finding) -> Finding:
    """Return a block of a port that only its number ties to the push: its log holds nothing but drops."""
    text = say("dynamic.by-number", text=finding.text)
    return replace(finding, confidence=r.LIKELY, text=text)


def _is_service_control_manager(attempt: Attempt) -> bool:
    return attempt.row is not None and attempt.row.program.lower().endswith(SERVICES_PROGRAM)


def _in_order(attempts: Sequence[Attempt], source: int, clocks: Clocks) -> tuple[list[int], list[int]]:
    """Return in which frames of a capture data had gone both ways, and by each the latest end of a connection."""
    ordered = sorted(
        (attempt.data_since_frame, _end(attempt, clocks)) for attempt in attempts if attempt.source == source
    )
    return [frame for frame, _ in ordered], list(accumulate((end for _, end in ordered), max))


def _begin(attempt: Attempt, clocks: Clocks) -> int:
    """Return when data had gone both ways; of a log, when the connection began."""
    return clocks.start_ns(attempt) + attempt.data_since_ns - attempt.start_ns


def _end(attempt: Attempt, clocks: Clocks) -> int:
    lasted = attempt.end_ns - attempt.start_ns if attempt.row is None else 0
    return clocks.start_ns(attempt) + lasted
