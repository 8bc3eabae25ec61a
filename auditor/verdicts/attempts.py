"""What was tried between two hosts: the flows of all sources, as attempts that can be judged one by one."""

from __future__ import annotations

from bisect import bisect_right
from collections import defaultdict
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any, NamedTuple

from auditor.ruleset.statements import Statement, say
from auditor.sources.capture.packets import IcmpError
from auditor.sources.dissection.facts import AssignedPort, ProtocolFacts, ProtocolStep, ServiceEndpoint, by_side
from auditor.sources.flows.columns import MISSING
from auditor.sources.flows.hop_counts import SentPackets
from auditor.sources.flows.neighbors import NeighborRequests
from auditor.sources.flows.source_flows import FlowEvent, OneWayTraffic
from auditor.sources.source import CAPTURE, Source

CONVERSATION = ("SYN", "SYN-ACK", "ACK", "data", "FIN")
ECHOES = ("request", "reply")
NOTHING_SENT = SentPackets()
SAME_PACKET_NS = 100_000_000  # a SYN that comes again within this is the same one seen twice (router, mirror port)


class LogEntries(NamedTuple):
    """What rows of a firewall or event log say of an attempt.

    action, direction: the log's own words (DROP, ALLOW; SEND, RECEIVE). rows: how many say so. firewall: the address
    of the computer whose firewall it is, None if that cannot be told. program: its path; rule: the name of the filter;
    both empty if the log does not name them.
    """

    action: str
    direction: str
    rows: int
    firewall: str | None
    program: str
    rule: str

    @property
    def by(self) -> str:
        """Program and rule in words, as far as the log names them."""
        named = (("log.program", self.program), ("log.rule", self.rule))
        return ", ".join(say(template, name=name) for template, name in named if name)


class AttemptVerdict(NamedTuple):
    """What one attempt in one source says: verdict, confidence, a sentence, what shows it, place, remedy.

    frames: of a capture; of a log the lines. initiator_firewall_only: it says nothing of what lies behind the host that
    tried (its own firewall let it out, or a capture lacks what it sent), and so decides nothing where anything else is
    known.
    """

    verdict: str
    confidence: str | None
    text: str
    frames: Collection[int]
    place: str | None = None
    remedy: Statement | None = None
    initiator_firewall_only: bool = False


@dataclass(frozen=True)
class Attempt:
    """One flow from the host that tried, seen in one source.

    direction_assumed: the flow's originator is unknown (no SYN) and this reads it the other way round. response: as in
    the flow table. events, errors: the packets that say so; of a log the events are rows, with lines for frames. row:
    None of captures. identifier: of a ping in a capture, else 0. count: how many attempts like it were put together.
    payload_src, payload_dst: bytes that each side sent above TCP or UDP; 0 in logs, which do not count them.
    """

    source: int
    protocol: str
    src: str
    src_port: int | None
    dst: str
    dst_port: int | None
    start_ns: int
    end_ns: int
    response: str
    frames_src: int
    frames_dst: int
    first_frame: int
    stream: int | None
    direction_assumed: bool
    events: tuple[FlowEvent, ...]
    errors: tuple[IcmpError, ...]
    row: LogEntries | None
    identifier: int
    count: int
    payload_src: int
    payload_dst: int

    @property
    def port_text(self) -> str:
        """What was tried, in words: "TCP 445"."""
        if self.protocol == "icmp":
            return say("attempt.echo-requests")
        return say("attempt.port", protocol=self.protocol.upper(), port=self.dst_port)

    @property
    def text(self) -> str:
        """The whole attempt in words: "TCP 445 from 10.0.0.5 to 10.0.0.20"."""
        if self.protocol == "icmp":
            return say("attempt.echo", src=self.src, dst=self.dst)
        return say("attempt.text", port=self.port_text, src=self.src, dst=self.dst)

    @property
    def ends(self) -> tuple[object, ...]:
        """The five-tuple: all that a log and a capture of one attempt have in common."""
        return (self.protocol, self.src, self.src_port, self.dst, self.dst_port)

    @property
    def first_sequence(self) -> int | None:
        """The number of the first SYN; None where there is none, and where a log does not say it."""
        if self.row is not None:
            first_row = self.events[0]
            return first_row.sequence or None if first_row.from_src else None
        return self.syns[0].sequence if self.syns else None

    @property
    def firewall(self) -> str | None:
        """Whose firewall tells of it, None of captures and where that is unknown."""
        return self.row.firewall if self.row else None

    @property
    def syns(self) -> list[FlowEvent]:
        """The SYNs of the host that tried; one that was captured twice on its way is there twice."""
        return [event for event in self.events if event.packet_kind == "SYN" and event.from_src]

    @property
    def has_data(self) -> bool:
        """Whether both sides sent data; a direction that was not captured at all is left out of account."""
        directions = ((self.frames_src, self.payload_src), (self.frames_dst, self.payload_dst))
        return any(payload for _, payload in directions) and all(
            payload or not frames for frames, payload in directions
        )

    @property
    def data_since_ns(self) -> int:
        """When both sides had sent data, the start of the attempt where the events do not show it."""
        data_events = self._first_data
        return max(event.time_ns for event in data_events) if data_events else self.start_ns

    @property
    def data_since_frame(self) -> int:
        """In which frame both sides had sent data, the first of the attempt where the events do not show it."""
        data_events = self._first_data
        return max(event.frame for event in data_events) if data_events else self.first_frame

    @property
    def _first_data(self) -> tuple[FlowEvent, ...]:
        """The first packet with data of each side, nothing if only one side has such packets."""
        events_by_side: dict[bool, FlowEvent] = {}
        for event in self.events:
            if event.packet_kind == "data":
                events_by_side.setdefault(event.from_src, event)
        return tuple(events_by_side.values()) if len(events_by_side) == 2 else ()

    @property
    def from_middle(self) -> bool:
        """Whether the source has this connection from its middle only, so that who began it is unknown."""
        held = {event.packet_kind for event in self.events} if self.protocol == "tcp" else set()
        return bool(held) and held.isdisjoint(("SYN", "SYN-ACK"))

    @property
    def tries(self) -> int:
        """How often its SYN was sent, at least."""
        return _times_sent(self.syns)

    @property
    def repeated_after_response(self) -> int:
        """How often the SYN was sent again after it was answered, 0 if anything shows that the answer arrived."""
        answered = next((event for event in self.events if event.packet_kind == "SYN-ACK" and not event.from_src), None)
        if answered is None:
            return 0
        later = [event for event in self.events if event.from_src and event.frame > answered.frame]
        if any(event.packet_kind != "SYN" for event in later):
            return 0
        return _times_sent([answered, *later]) - 1

    @property
    def identity(self) -> tuple[object, ...] | None:
        """What two captures of this attempt have in common; None when it cannot be told from others.

        Of pings it is the identifier and the first one's sequence number; both may come again in one capture.
        """
        if self.row is not None:
            return None
        if self.protocol == "icmp":
            sequences = [event.sequence for event in self.events if event.packet_kind == "request"]
            return (self.src, self.dst, self.identifier, sequences[0]) if sequences else None
        syns = self.syns
        return (self.src, self.src_port, self.dst, self.dst_port, syns[0].sequence) if syns else None


def _times_sent(same: Sequence[FlowEvent]) -> int:
    """Return how often packets were sent at least: the most events, in file order, that are far enough apart.

    So it is where several interfaces show each packet, not quite in order, and a clock that is set back adds none.
    """
    ends: list[int] = []  # the earliest time at which one of them can be the last of a chain, of two, of three
    for event in same:
        place = bisect_right(ends, event.time_ns - SAME_PACKET_NS)
        if place == len(ends):
            ends.append(event.time_ns)
        else:
            ends[place] = min(ends[place], event.time_ns)
    return len(ends)


class Traffic:
    """The attempts between hosts of interest in all sources, and what else was heard of those hosts."""

    def __init__(
        self,
        sources: Sequence[Source],
        hosts: Iterable[str],
        protocol_facts: Sequence[ProtocolFacts] = (),
        *,
        dissected: bool = False,
    ) -> None:
        """Take the flows of all sources.

        Args:
            sources: Captures and logs.
            hosts: Addresses of the computers of interest.
            protocol_facts: What was said on the ports, by source.
            dissected: Whether no dissector failed. The middle of a long flow may still be left out.
        """
        self._dissected = dissected
        self.sources = sources
        self.protocol_facts = protocol_facts or (ProtocolFacts(),) * len(sources)
        self._hosts = frozenset(hosts)
        self._attempts: dict[tuple[str, str], list[Attempt]] = defaultdict(list)
        self._peers: dict[str, set[str]] = defaultdict(set)
        self._sent: dict[tuple[str, str], dict[int, SentPackets]] = {}
        self._delays: dict[tuple[int, str, str], Mapping[object, int]] = {}
        self._assigned_ports: dict[tuple[object, ...], list[AssignedPort]] = defaultdict(list)
        self._steps = [by_side(facts.steps) for facts in self.protocol_facts]
        for number, facts in enumerate(self.protocol_facts):
            for port in facts.assigned_ports:
                self._assigned_ports[number, port.server, port.port].append(port)
        self._one_way: list[OneWayTraffic] = []
        self._neighbor_requests: dict[str, list[tuple[int, NeighborRequests]]] = defaultdict(list)
        for number, source in enumerate(sources):
            self._add(number, source)
        for src, dst in self._attempts:
            self._peers[src].add(dst)
            self._peers[dst].add(src)

    def _add(self, number: int, source: Source) -> None:
        self._one_way.append(source.details.one_sided)
        for requests in source.details.asked:
            if len(requests.frames) > 1:
                self._neighbor_requests[requests.target].append((number, requests))
        for flow, row in source.table.between(self._hosts):
            attempt = _attempt(number, source, flow, row)
            if _is_none(attempt):
                continue
            self._attempts[attempt.src, attempt.dst].append(attempt)
            if attempt.protocol == "tcp" and not row["syn"] and not row["syn_ack"]:
                self._attempts[attempt.dst, attempt.src].append(_turned(attempt))

    def between(self, src: str, dst: str) -> list[Attempt]:
        """Return what one host tried to reach on another, in order of source and frame."""
        return self._attempts.get((src, dst), [])

    def logs_only_drops(self, source: int) -> bool:
        """Tell whether a source is a log that holds nothing of what was let through."""
        details = self.sources[source].details
        return details.facts is not None and not details.facts.allows

    def peers(self, host: str) -> set[str]:
        """Return the hosts of interest that a host exchanged packets with, or tried to."""
        return self._peers.get(host, set())

    def pairs(self) -> list[tuple[str, str]]:
        """Return who tried to reach whom, in order."""
        return sorted(self._attempts)

    def has_packets_from(self, host: str) -> bool:
        """Tell whether any packet of this host is in any source."""
        return any(host in source.details.heard for source in self.sources)

    def one_sided(self, attempt: Attempt) -> bool:
        """Tell whether the source holds only what the host that tried sent, so that silence means nothing."""
        return self._is_one_way(attempt.source, attempt.src, attempt.dst)

    def assigned_port(self, attempt: Attempt) -> AssignedPort | None:
        """Return how the port that was tried came to be known: the last announcement before the attempt."""
        assigned_ports = self._assigned_ports.get((attempt.source, attempt.dst, attempt.dst_port), [])
        earlier = [assigned for assigned in assigned_ports if assigned.frame < attempt.first_frame]
        return (earlier or assigned_ports)[-1] if assigned_ports else None

    def is_push_port(self, attempt: Attempt) -> bool | None:
        """Tell whether the port that was tried was assigned for what a push uses, None if it was not assigned."""
        assigned_ports = self._assigned_ports.get((attempt.source, attempt.dst, attempt.dst_port), [])
        return any(assigned.serves_push for assigned in assigned_ports) if assigned_ports else None

    @cached_property
    def requests(self) -> Mapping[tuple[str, str], Mapping[str, frozenset[int]]]:
        """The ports of requests that show a role, by role and server, and then by client."""
        ports: dict[tuple[str, str], dict[str, set[int]]] = defaultdict(lambda: defaultdict(set))
        for facts in self.protocol_facts:
            for request in facts.requests:
                ports[request.role, request.server][request.client].add(request.port)
        return {key: {client: frozenset(of) for client, of in clients.items()} for key, clients in ports.items()}

    def assigned_by(self, server: str) -> Sequence[AssignedPort]:
        """Return the dynamic ports of one computer that any source shows to be assigned."""
        return self._assigned.get(server, ())

    @cached_property
    def _assigned(self) -> Mapping[str, Sequence[AssignedPort]]:
        by_server: dict[str, list[AssignedPort]] = defaultdict(list)
        for facts in self.protocol_facts:
            for assigned in facts.assigned_ports:
                by_server[assigned.server].append(assigned)
        return by_server

    def steps_between(self, initiator: str, responder: str) -> Sequence[ProtocolStep]:
        """Return what was answered on the connections of one host to another, source by source."""
        return self._steps_of_pairs.get((initiator, responder), ())

    @cached_property
    def _steps_of_pairs(self) -> Mapping[tuple[str, str], Sequence[ProtocolStep]]:
        by_pair: dict[tuple[str, str], list[ProtocolStep]] = defaultdict(list)
        for facts in self.protocol_facts:
            for step in facts.steps:
                by_pair[step.side.initiator, step.side.responder].append(step)
        return by_pair

    def is_dissected(self, source: int) -> bool:
        """Tell whether the dissectors read all packets of a capture that matter."""
        left_out = any(warning.code == "long-flow" for warning in self.sources[source].warnings)
        return self._dissected and not left_out

    def assigned_to(self, source: int, client: str, server: str) -> Sequence[int]:
        """Return the frames in which one computer assigned dynamic ports to another, in order, each once."""
        return self._frames_assigned.get((source, client, server), ())

    @cached_property
    def _frames_assigned(self) -> Mapping[tuple[int, str, str], Sequence[int]]:
        frames: dict[tuple[int, str, str], set[int]] = defaultdict(set)
        for number, facts in enumerate(self.protocol_facts):
            for assigned in facts.assigned_ports:
                frames[number, assigned.client, assigned.server].add(assigned.frame)
        return {key: sorted(of_pair) for key, of_pair in frames.items()}

    def steps(self, attempt: Attempt) -> list[ProtocolStep]:
        """Return what was answered on this side's connections in the attempt's source."""
        side = ServiceEndpoint(attempt.src, attempt.dst, attempt.dst_port or 0)
        return self._steps[attempt.source].get(side, [])

    def sent(self, source: int, src: str, dst: str) -> SentPackets:
        """Return what is kept in a source of the packets that one host sent another."""
        if (src, dst) not in self._sent:
            self._sent[src, dst] = _sent((*self.between(src, dst), *self.between(dst, src)), src)
        return self._sent[src, dst].get(source, NOTHING_SENT)

    def delays(self, source: int, src: str, dst: str) -> Mapping[object, int]:
        """Return the nanoseconds from SYN to SYN-ACK of each connection between two hosts in one source."""
        key = (source, src, dst)
        if key not in self._delays:
            self._delays[key] = _delays(attempt for attempt in self.between(src, dst) if attempt.source == source)
        return self._delays[key]

    def _is_one_way(self, source: int, src: str, dst: str) -> bool:
        pairs, hosts = self._one_way[source]
        return (src, dst) in pairs or src in hosts

    def unanswered_neighbor_requests(self, host: str) -> list[tuple[int, NeighborRequests]]:
        """Return requests for a host's hardware address that were repeated and never answered, by source.

        One request may have been answered where only requests can be seen, as by a bystander; and in a source that
        holds one direction only, no answer means nothing.
        """
        if host not in self._neighbor_requests:
            return []
        return [
            (source, requests)
            for source, requests in self._neighbor_requests[host]
            if not self._is_one_way(source, requests.requester, host)
        ]


def _attempt(number: int, source: Source, flow: int, row: Mapping[str, Any]) -> Attempt:
    events = tuple(source.details.events(flow))
    begin, first_frame = _begin(row, events) if source.kind == CAPTURE else (row["start"], row["first_frame"])
    return Attempt(
        source=number,
        protocol=row["protocol"],
        src=row["src_ip"],
        src_port=_number(row["src_port"]),
        dst=row["dst_ip"],
        dst_port=_number(row["dst_port"]),
        start_ns=begin,
        end_ns=row["end"],
        response=row["response"],
        frames_src=row["frames_src"],
        frames_dst=row["frames_dst"],
        first_frame=first_frame,
        stream=_number(row["stream"]),
        direction_assumed=False,
        events=events,
        errors=tuple(source.details.errors.get(flow, ())),
        row=None if source.kind == CAPTURE else _log_entries(row, sent_by_src=events[0].from_src),
        identifier=source.details.identifier(flow),
        count=row.get("stands_for", 1),
        payload_src=row["payload_src"],
        payload_dst=row["payload_dst"],
    )


def _begin(row: Mapping[str, Any], events: Sequence[FlowEvent]) -> tuple[int, int]:
    """Return when an attempt began, and in which frame: with its SYN, although there may be stray packets before."""
    syn = next((event for event in events if event.packet_kind == "SYN" and event.from_src), None)
    return (syn.time_ns, syn.frame) if syn else (row["start"], row["first_frame"])


def _is_none(attempt: Attempt) -> bool:
    """Tell whether a flow is no attempt of anybody: nothing but resets, and answers to what nobody asked."""
    return not attempt.errors and all(event.packet_kind == "stray" for event in attempt.events)


def _log_entries(row: Mapping[str, Any], *, sent_by_src: bool) -> LogEntries:
    """Return what a log says. sent_by_src: whether its rows are about packets of the host that tried."""
    ends = (row["src_ip"], row["dst_ip"])
    sender, receiver = ends if sent_by_src else ends[::-1]
    return LogEntries(
        action=row["action"],
        direction=row["direction"],
        rows=row["rows"],
        firewall={"SEND": sender, "RECEIVE": receiver}.get(row["direction"]),
        program=str(row.get("application") or ""),
        rule=str(row.get("filter_origin") or ""),
    )


def _sent(attempts: Iterable[Attempt], src: str) -> dict[int, SentPackets]:
    """Return by source what one host sent in the attempts between two; a flow may be among them both ways round."""
    packets: dict[int, dict[int, FlowEvent]] = defaultdict(dict)
    for attempt in attempts:
        if attempt.row is None:
            own = (event for event in attempt.events if event.from_src == (attempt.src == src))
            packets[attempt.source] |= {event.frame: event for event in own}
    return {
        source: _of_protocols([events_by_frame[frame] for frame in sorted(events_by_frame)])
        for source, events_by_frame in packets.items()
    }


def _delays(attempts: Iterable[Attempt]) -> dict[object, int]:
    """Return by its identity the nanoseconds from the SYN to the SYN-ACK of each of these that has both."""
    delays: dict[object, int] = {}
    for attempt in attempts:
        accepted = next(
            (event for event in attempt.events if event.packet_kind == "SYN-ACK" and not event.from_src), None
        )
        if attempt.identity is not None and accepted:
            sent_ns = [event.time_ns for event in attempt.syns if event.time_ns <= accepted.time_ns]
            delays[attempt.identity] = accepted.time_ns - max(sent_ns, default=accepted.time_ns)
    return delays


def _of_protocols(packets: Sequence[FlowEvent]) -> SentPackets:
    tcp = (packet for packet in packets if packet.packet_kind in CONVERSATION)
    return SentPackets(tuple(tcp), tuple(packet for packet in packets if packet.packet_kind in ECHOES))


def _number(value: int) -> int | None:
    return None if value == MISSING else value


def _turned(attempt: Attempt) -> Attempt:
    """Return a flow whose originator is unknown as an attempt of the other side."""
    return replace(
        attempt,
        src=attempt.dst,
        src_port=attempt.dst_port,
        dst=attempt.src,
        dst_port=attempt.src_port,
        frames_src=attempt.frames_dst,
        frames_dst=attempt.frames_src,
        payload_src=attempt.payload_dst,
        payload_dst=attempt.payload_src,
        direction_assumed=True,
        events=tuple(event._replace(from_src=not event.from_src) for event in attempt.events),
    )
