"""The flow table of one source, and what else its packets say: errors, neighbors, who was heard at all."""

from __future__ import annotations

from collections import defaultdict
from dataclasses import dataclass
from functools import cached_property
from typing import Any, ClassVar, NamedTuple

import numpy as np
from numpy.typing import NDArray

from auditor.sources.capture.packets import ICMP, MOST_HIDDEN, TCP, UDP, Addresses, Headers, Hosts, IcmpError
from auditor.sources.flows import assembly as segments
from auditor.sources.flows import conn_state, icmp_errors, responses
from auditor.sources.flows import table as flow_table
from auditor.sources.flows.assembly import PartialFlows
from auditor.sources.flows.columns import EVENTS, MISSING, PROTOCOLS, Columns
from auditor.sources.flows.flow_limit import FlowLimit, Ports
from auditor.sources.flows.hop_counts import on_link
from auditor.sources.flows.icmp_errors import FlowNumbers
from auditor.sources.flows.neighbors import NeighborRequests, NeighborTable
from auditor.sources.flows.sending import Sending
from auditor.sources.flows.source_flows import FlowEvent, OneWayTraffic
from auditor.sources.flows.table import FlowTable

MOST_QUOTES = 100_000
SURELY_ONE_WAY = 3  # frames one way and none back, in mid-connection, that show a one-sided capture
MOST_LIKE_IT = 8  # errors of one kind about one flow that are kept as evidence


class Dropped(NamedTuple):
    """What there was no room for.

    Attributes:
        packets: Of connections that were too many, at ports that no ruleset asks for.
        icmp_errors: ICMP errors.
        events: SYN, FIN and RST packets that would be evidence.
        neighbor_requests: ARP requests and neighbor solicitations.
        speakers: Whether more hosts speak ARP or neighbor discovery than can be remembered.
    """

    packets: int
    icmp_errors: int
    events: int
    neighbor_requests: int
    speakers: bool


@dataclass(frozen=True, eq=False)
class Flows:
    """All flows of one capture: the table, and for each row its events and the ICMP errors about it.

    Attributes:
        table: In order of the first frame; row numbers are flow numbers.
        packets: The events as columns, flow by flow.
        packet_begin: Where the events of each flow begin, and where those of the last one end.
        errors: The ICMP errors about a flow, by its number.
        asked: Who was asked for on the local network in vain.
        heard: Everybody who sent anything.
        hidden: The ends of IPsec packets, source and destination.
        identifiers: By flow, the identifier of its pings (ICMP echo), 0 for other flows.
        dropped: What there was no room for.
    """

    table: FlowTable
    packets: Columns
    packet_begin: NDArray[np.int64]
    errors: dict[int, list[IcmpError]]
    asked: tuple[NeighborRequests, ...]
    heard: Hosts
    hidden: tuple[tuple[str, str], ...]
    identifiers: NDArray[np.int64]
    dropped: Dropped
    facts: ClassVar[None] = None  # only a log says what it can show at all

    def __len__(self) -> int:
        return len(self.packet_begin) - 1

    @cached_property
    def one_sided(self) -> OneWayTraffic:
        """Of whom only one direction was captured."""
        flows = self.table.columns
        src, dst, answer = flows["src_ip"], flows["dst_ip"], flows["response"]
        silent = (flows["frames_dst"] == 0) & (flows["frames_src"] >= SURELY_ONE_WAY)
        went_on = flows["frames_src"] > flows["syn"] + flows["rst"]
        odd = ((answer == "one-way") & went_on) | ((answer == "mid-stream") & silent)
        odd &= flows["protocol"] == "tcp"
        pairs = frozenset(zip(src[odd].tolist(), dst[odd].tolist(), strict=True))
        spoken_to = {*src[flows["frames_dst"] > 0].tolist(), *dst[flows["frames_src"] > 0].tolist()}
        return OneWayTraffic(pairs, frozenset(sender for sender, _ in pairs) - spoken_to)

    @cached_property
    def on_link(self) -> frozenset[str]:
        """Hosts on whose own network the capture was taken."""
        return on_link(self.table.columns, self.packets, self.packet_begin)

    def identifier(self, flow: int) -> int:
        """Return the identifier of the pings of a flow, 0 for other flows."""
        return int(self.identifiers[flow]) if flow < len(self.identifiers) else 0

    def events(self, flow: int) -> list[FlowEvent]:
        """Return the events of one flow in file order."""
        begin, end = int(self.packet_begin[flow]), int(self.packet_begin[flow + 1])
        columns = (self.packets[name][begin:end].tolist() for name in EVENTS)
        protocol = self.table.columns["protocol"][flow]
        return [
            FlowEvent(frame, time, from_src, _packet_kind(packet, protocol), *details)
            for frame, time, from_src, packet, *details in zip(*columns, strict=True)
        ]


def _packet_kind(packet: int, protocol: str) -> str:
    if packet & conn_state.STRAY:
        return "stray"
    if protocol == "udp":
        return "datagram"
    if protocol == "icmp":
        return "reply" if packet & conn_state.HAS_ACK else "request"
    if packet & conn_state.HAS_SYN:
        return "SYN-ACK" if packet & conn_state.HAS_ACK else "SYN"
    if packet & conn_state.HAS_RST:
        return "RST"
    if packet & conn_state.HAS_FIN:
        return "FIN"
    return "data" if packet & conn_state.HAS_DATA else "ACK"


def _numbers(events: Columns, begin: NDArray[np.int64], identifiers: NDArray[np.int64]) -> FlowNumbers:
    """Return what distinguishes the packets of each flow from others between the same ends."""
    owner = np.repeat(np.arange(len(begin) - 1), np.diff(begin))
    first_numbers = np.full((2, len(begin) - 1), MISSING)
    for numbers, mask in zip(first_numbers, (events["from_src"], ~events["from_src"]), strict=True):
        at = np.flatnonzero(mask)[::-1]
        numbers[owner[at]] = events["sequence"][at]
    return FlowNumbers(first_numbers[0], first_numbers[1], identifiers)


class FlowBuilder:
    """Collect the headers of batch after batch; `finish` makes the flows of them.

    Args:
        ports: Called when there are too many flows, returns the ports that are documented.
    """

    def __init__(self, source: str, addresses: Addresses, ports: Ports = frozenset) -> None:
        self._source = source
        self._addresses = addresses
        self._partials = {TCP: PartialFlows(), UDP: PartialFlows(), ICMP: PartialFlows()}
        self._quotes: dict[tuple[Any, ...], list[IcmpError]] = defaultdict(list)
        self._quote_count = 0
        self._quotes_dropped = 0
        self._neighbors = NeighborTable(addresses)
        self._heard = Hosts(addresses)
        self._hidden: dict[tuple[str, str], None] = {}
        self.admission = FlowLimit(self._partials, ports, self._heard)

    @property
    def full(self) -> bool:
        """Whether there is no room for anything more."""
        return self.admission.full or self._addresses.full

    @property
    def wants_quotes(self) -> bool:
        """Whether there is room for ICMP errors."""
        return self._quote_count < MOST_QUOTES

    def add(self, headers: Headers) -> None:
        """Take in the headers of one batch."""
        for protocol, packets in ((TCP, headers.tcp), (UDP, headers.udp), (ICMP, headers.icmp)):
            self.admission.add(protocol, segments.partial(packets, echo=protocol == ICMP))
        for quote in headers.quotes:
            self._add_quote(quote)
        for messages in headers.neighbors:
            self._neighbors.add(messages)
        self._heard.add(headers.other_senders)
        if len(self._hidden) < MOST_HIDDEN:
            self._hidden |= dict.fromkeys(headers.hidden)

    def _add_quote(self, quote: IcmpError) -> None:
        key = quote._replace(frame=0, time_ns=0, sequence=None, acknowledged=None, header_bytes=0)
        if not self.wants_quotes:
            self._quotes_dropped += 1
        elif len(self._quotes[key]) < MOST_LIKE_IT:
            self._quotes[key].append(quote)
            self._quote_count += 1

    def finish(self) -> Flows:
        """Return the flows; the builder is used up."""
        quotes = sorted(quote for similar in self._quotes.values() for quote in similar)
        streams = {
            protocol: segments.finish(self._partials.pop(protocol), echo=protocol == ICMP)
            for protocol in list(self._partials)
        }
        events_dropped = sum(flows.events_dropped for flows in streams.values())
        parts = [flow_table.oriented(protocol, streams.pop(protocol)) for protocol in list(streams)]
        columns, events, begin = flow_table.in_order(parts)
        sending = Sending(columns, self._addresses)
        responses.take_back(columns, events, begin, sending)
        for side in ("src", "dst"):
            self._heard.add(columns[side][columns[f"frames_{side}"] > 0])
        self._heard.add(self._neighbors.spoke.numbers())
        identifiers = np.where(columns["protocol"] == PROTOCOLS[ICMP], columns["src_port"], 0)
        table = flow_table.table(columns, self._addresses, self._source)
        errors: dict[int, list[IcmpError]] = {}
        if quotes:
            numbers = _numbers(events, begin, identifiers)
            table, errors = icmp_errors.assign_icmp_errors(table, quotes, self._source, numbers, sending)
        table["stream"] = icmp_errors.stream_numbers(table, quotes)
        begin = np.append(begin, np.full(len(table["stream"]) + 1 - len(begin), begin[-1]))
        return Flows(
            table=FlowTable(table),
            packets=events,
            packet_begin=begin,
            errors=errors,
            asked=self._neighbors.asked(),
            heard=self._heard,
            hidden=tuple(sorted(self._hidden)),
            identifiers=identifiers,
            dropped=Dropped(
                packets=self.admission.dropped,
                icmp_errors=self._quotes_dropped,
                events=events_dropped,
                neighbor_requests=self._neighbors.dropped,
                speakers=self._neighbors.spoke.full,
            ),
        )
