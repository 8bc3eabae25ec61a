"""Of the flows of one source those that can matter to a verdict: few enough to ship, and judged like the source itself.

Kept are attempts at the documented ports, echo requests and dynamic ports; of many that are alike the first and the
last, with how many stood between.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from itertools import accumulate
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from auditor.ruleset.addresses import is_public
from auditor.ruleset.given_roles import ConfiguredRoles
from auditor.ruleset.lint import CLIENT, MANAGEMENT_POINT
from auditor.ruleset.ruleset import Ruleset
from auditor.sources.capture.packets import IcmpError
from auditor.sources.files.warnings import SourceWarning, warning
from auditor.sources.flows.columns import MISSING
from auditor.sources.flows.neighbors import NeighborRequests
from auditor.sources.flows.source_flows import FlowEvent, OneWayTraffic
from auditor.sources.flows.table import FlowTable, is_among
from auditor.sources.source import CAPTURE, EVENT_LOG, Source
from auditor.verdicts.installations.contacts import RESPONDED, Contact, contacts_of
from auditor.verdicts.requirements.endpoint_mapper import MOST_PORTS_OF_PUSH

if TYPE_CHECKING:
    from auditor.sources.flows.from_logs.firewall_flows import LocalAddress

FIRST_AND_LAST = 4  # of many attempts that are alike, as many of the first and of the last
DYNAMIC_FIRST_AND_LAST = 3 * MOST_PORTS_OF_PUSH + 1  # a port scan is still one, even if it tries each port three times
AT_BEGIN, AT_END = 64, 192  # attempts between a site server and a client that are kept whatever they are
MOST_FLOWS = 30_000  # that are kept of one source, in 90 MB of memory; the flows of other pairs of hosts are left out
MOST_ASKED = 10_000  # pairs of hosts of which one requested the hardware address of the other
MOST_EVENTS = 16
MOST_PORT = 0xFFFF
DYNAMIC = -2  # stands for any port of the dynamic range


class SummaryFlow(NamedTuple):
    """One flow: of the flow table what verdicts need, then what shows it.

    A number is MISSING and a text empty where there is none. The other fields are columns of the flow table.

    Attributes:
        rows: How many rows of a log tell of it.
        action: Of logs: "DROP", "ALLOW" and the like.
        direction: Of logs: "SEND", "RECEIVE" and the like.
        application: Of event logs: the program.
        filter_origin: Of event logs: where the filter comes from (FilterOrigin).
        stands_for: How many flows like it there were.
        events: The packets or rows that show it.
        errors: The ICMP errors about it.
        identifier: Of pings (icmp.ident), else 0.
    """

    protocol: str
    src_ip: str
    dst_ip: str
    src_port: int
    dst_port: int
    start: int
    end: int
    frames_src: int
    frames_dst: int
    payload_src: int
    payload_dst: int
    syn: int
    syn_ack: int
    rst: int
    first_frame: int
    stream: int
    rows: int
    response: str
    action: str
    direction: str
    application: str
    filter_origin: str
    stands_for: int
    events: tuple[FlowEvent, ...]
    errors: tuple[IcmpError, ...]
    identifier: int


COLUMNS = SummaryFlow._fields[: SummaryFlow._fields.index("events")]
TEXTS = ("protocol", "src_ip", "dst_ip", "response", "action", "direction", "application", "filter_origin")
DEFAULTS = {name: "" if name in TEXTS else MISSING for name in COLUMNS}


class FlowKey(NamedTuple):
    """What makes a flow like another: of many of which all of this is the same few are kept.

    Attributes:
        dst_port: DYNAMIC for all ports of the dynamic range.
    """

    protocol: str
    src_ip: str
    dst_ip: str
    dst_port: int
    response: str
    action: str = ""
    direction: str = ""


NumberedFlows = list[tuple[int, FlowKey]]  # number in the flow table, and what makes it like another


class FlowSelection(NamedTuple):
    """What was kept of one source.

    Attributes:
        left_out: How many pairs of hosts there was no room for.
        warnings: What had to be left out, in sentences.
    """

    flows: SummaryFlows
    left_out: int
    warnings: tuple[SourceWarning, ...]


class Facts(NamedTuple):
    """What a log can show at all: how many rows or events say that something was dropped, and let through.

    Attributes:
        local: Not kept; Entry.addresses has it.
    """

    drops: int
    allows: int
    local: tuple[LocalAddress, ...] = ()


class KeptTable(FlowTable):
    """The table of flows that were kept: they are there as rows, and columns are made only when asked for."""

    def __init__(self, flows: tuple[SummaryFlow, ...]) -> None:
        super().__init__({})
        self._flows = flows

    @cached_property
    def columns(self) -> Mapping[str, NDArray[Any]]:
        """The columns COLUMNS by name."""
        values = list(zip(*self._flows, strict=True)) or [()] * len(COLUMNS)
        return {
            name: np.array(column, object if name in TEXTS else np.int64)
            for name, column in zip(COLUMNS, values, strict=False)
        }

    def between(self, hosts: Collection[str]) -> Iterator[tuple[int, dict[str, Any]]]:
        """Yield the numbers of the flows between some hosts, and their values by name."""
        for number, flow in enumerate(self._flows):
            if flow.src_ip in hosts and flow.dst_ip in hosts:
                yield number, flow._asdict()


@dataclass(frozen=True)
class SummaryFlows:
    """The flows that were kept of one source, with the same face as auditor.sources.flows.builder.Flows.

    Attributes:
        contacts: Who contacted whom at the ports of a push, of the pairs whose flows were kept. It was counted before
            most flows were left out, so that a scan still shows.
    """

    flows: tuple[SummaryFlow, ...]
    heard: frozenset[str]
    asked: tuple[NeighborRequests, ...]
    one_sided: OneWayTraffic
    facts: Facts | None
    contacts: tuple[Contact, ...] = ()
    on_link: frozenset[str] = frozenset()

    @cached_property
    def table(self) -> FlowTable:
        """Their table, with the columns COLUMNS."""
        return KeptTable(self.flows)

    @cached_property
    def hosts(self) -> frozenset[str]:
        """The ends of all kept flows, and of the requests for a hardware address."""
        ends = {host for flow in self.flows for host in (flow.src_ip, flow.dst_ip)}
        return frozenset(ends.union(*((requests.requester, requests.target) for requests in self.asked)))

    def about(self, hosts: Collection[str]) -> SummaryFlows:
        """Return what was kept of some hosts."""
        flows, contacts, asked = (
            _at(hosts, of, by_host) for of, by_host in zip(self._parts, self._by_host, strict=True)
        )
        return replace(self, flows=flows, contacts=contacts, asked=asked)

    @property
    def _parts(self) -> tuple[tuple[Any, ...], ...]:
        return self.flows, self.contacts, self.asked

    @cached_property
    def _by_host(self) -> Sequence[Mapping[str, Sequence[int]]]:
        """For flows, contacts and requests the numbers of those of each host: in one capture there may be many."""
        return [_numbered(part) for part in self._parts]

    @cached_property
    def errors(self) -> Mapping[int, Sequence[IcmpError]]:
        """The ICMP errors about a flow, by its number."""
        return {number: flow.errors for number, flow in enumerate(self.flows) if flow.errors}

    def identifier(self, flow: int) -> int:
        """Return the identifier of the pings of a flow, 0 for other flows."""
        return self.flows[flow].identifier

    def events(self, flow: int) -> Sequence[FlowEvent]:
        """Return the events of one flow in file order."""
        return self.flows[flow].events


class FlowFilter:
    """Finds the flows that can matter to a ruleset.

    Args:
        configured: The roles that the administrator named.
    """

    def __init__(self, ruleset: Ruleset, configured: ConfiguredRoles) -> None:
        self._ruleset = ruleset
        rows = ruleset.requirements
        self._tcp, self._udp = (
            _among({port for row in rows if row.protocol == name for port in row.ports}) for name in ("tcp", "udp")
        )
        pushed = [row for row in rows if row.to_role == CLIENT]
        self._pushed = frozenset(port for row in pushed for port in row.ports)
        self._is_pushed = _among(self._pushed)
        ranges = ruleset.dynamic_ports if any(row.dynamic for row in pushed) else ()
        self._dynamic = _among(port for low, high in ranges for port in range(low, high + 1)) & ~self._tcp
        self._given = configured
        self._management_points = configured.hosts(MANAGEMENT_POINT)
        self._roles = [role for role in configured.networks if role != CLIENT]
        self._named: dict[str, bool] = {}  # asked again and again of the same addresses

    @cached_property
    def _custom(self) -> NDArray[np.bool_]:
        """For each port whether it may be a custom one of a site system."""
        return _among(filter(self._ruleset.may_be_custom, range(1, MOST_PORT + 1)))

    def kept(self, source: Source) -> FlowSelection:
        """Return what is kept of a source."""
        contacts = contacts_of(source, self._ruleset)
        return self._of_flows(source, self._concerning(source, contacts), contacts)

    def of_computers(self, source: Source) -> dict[str, FlowSelection]:
        """Return what is kept of an event log for each computer whose firewall wrote the events, by its name."""
        names, contacts = source.table.columns["computer"], tuple(contacts_of(source, self._ruleset))
        writers, by_host = writers_of(source), _numbered(contacts)
        flows: dict[str, NumberedFlows] = {writer: [] for writer in writers}
        for number, flow in self._concerning(source, contacts):
            flows[names[number]].append((number, flow))
        return {name: self._of_flows(source, flows[name], _at(own, contacts, by_host)) for name, own in writers.items()}

    def _of_flows(self, source: Source, numbered: NumberedFlows, contacts: Iterable[Contact]) -> FlowSelection:
        """Return what is kept of some flows of a source, and of their ends."""
        chosen, left_out = self._within_room(numbered)
        numbers, cut = self._first_and_last(chosen)
        flows = tuple(_kept(source, numbers))
        hosts = {host for flow in flows for host in (flow.src_ip, flow.dst_ip)}
        deaf, facts = source.details.one_sided, source.details.facts
        details = SummaryFlows(
            flows,
            frozenset(host for host in hosts if host in source.details.heard),
            tuple(source.details.asked)[:MOST_ASKED],
            OneWayTraffic(
                frozenset(pair for pair in deaf.pairs if hosts.issuperset(pair)), frozenset(hosts & deaf.hosts)
            ),
            None if facts is None else Facts(facts.drops, facts.allows),
            tuple(contact for contact in contacts if hosts.issuperset((contact.src, contact.dst))),
            frozenset(hosts & source.details.on_link),
        )
        return FlowSelection(details, left_out, tuple(_warnings(left_out, cut)))

    def _concerning(self, source: Source, contacts: Iterable[Contact]) -> NumberedFlows:
        """Return the numbers of the flows that may matter, and what they are like.

        contacts: who contacted whom at the ports of a push in this source.
        """
        columns = source.table.columns
        protocol, port = columns["protocol"], columns["dst_port"]
        icmp, tcp, udp = (protocol == name for name in ("icmp", "tcp", "udp"))
        dynamic = tcp & self._dynamic[port]
        asked_for = icmp | (tcp & self._tcp[port]) | (udp & self._udp[port]) | dynamic
        if source.kind == CAPTURE:  # a connection captured in its middle may be read the other way round
            middle = (columns["syn"] == 0) & (columns["syn_ack"] == 0)
            asked_for |= tcp & middle & self._tcp[columns["src_port"]]
            dynamic |= tcp & middle & self._dynamic[columns["src_port"]]
            asked_for |= dynamic
        if self._management_points:
            custom = (tcp & self._custom[port] & ~asked_for).nonzero()[0]
            asked_for[custom[is_among(columns["dst_ip"][custom], self._management_points)]] = True
        selected = asked_for.nonzero()[0]
        src_ip, dst_ip = columns["src_ip"][selected], columns["dst_ip"][selected]
        matters = icmp[selected] | self._is_pushed[port[selected]]
        named = {address for address in {*src_ip.tolist(), *dst_ip.tolist()} if self._is_named(address)}
        for ends in (src_ip, dst_ip) if named else ():
            matters |= is_among(ends, named)
        left = (~matters).nonzero()[0]
        pushed = dynamic[selected[left]]
        if own := _own(source):
            pushed &= is_among(dst_ip[left], own)
            pushed |= dynamic[selected[left]] & _is_between(_pushed_by(own, contacts), src_ip[left], dst_ip[left])
        matters[left] = self._may_serve(dst_ip[left], dynamic[selected[left]], pushed)
        selected = selected[matters]
        like = {name: columns[name][selected] for name in FlowKey._fields if name in columns}
        like["dst_port"] = np.where(dynamic[selected], DYNAMIC, like["dst_port"])
        return list(zip(selected.tolist(), map(FlowKey, *(column.tolist() for column in like.values())), strict=True))

    def _may_serve(
        self, dst_ip: NDArray[Any], dynamic: NDArray[np.bool_], pushed: NDArray[np.bool_]
    ) -> NDArray[np.bool_]:
        """Return which flows may be of a push, or to a management point, although no role is set for their ends.

        dynamic: those at ports of the dynamic range; pushed: those of them that may be of a push.
        """
        if self._given.names(MANAGEMENT_POINT):
            return pushed  # who else serves the client is looked for nowhere
        # No server on the Internet is a management point unless it was named.
        near = {address for address in set(dst_ip[~dynamic].tolist()) if not is_public(address)}
        return pushed | (~dynamic & is_among(dst_ip, near))

    def _within_room(self, flows: NumberedFlows) -> tuple[NumberedFlows, int]:
        """Return the flows between the pairs of hosts that matter most, and how many pairs were left out."""
        if len(flows) <= MOST_FLOWS:
            return flows, 0
        pairs: dict[tuple[str, str], list[FlowKey]] = defaultdict(list)
        for _, flow in flows:
            pairs[flow.src_ip, flow.dst_ip].append(flow)
        ranked = sorted(pairs, key=lambda pair: self._rank(pair, pairs[pair]))
        ends = accumulate(min(len(pairs[pair]), AT_BEGIN + AT_END) for pair in ranked)
        chosen = {pair for pair, end in zip(ranked, ends, strict=True) if end <= MOST_FLOWS}
        within = [(number, flow) for number, flow in flows if (flow.src_ip, flow.dst_ip) in chosen]
        return within, len(pairs) - len(chosen)

    def _rank(self, pair: tuple[str, str], flows: Sequence[FlowKey]) -> tuple[bool, bool, int, int, tuple[str, str]]:
        """Order pairs of hosts: those with a named host, then those between which an attempt of a push failed."""
        ports = {flow.dst_port for flow in flows} & self._pushed
        failed = any(flow.dst_port in self._pushed and flow.response not in RESPONDED for flow in flows)
        is_named = self._is_named(pair[0]) or self._is_named(pair[1])
        return not is_named, not failed, -len(ports), -len(flows), pair

    def _is_named(self, address: str) -> bool:
        if address not in self._named:
            self._named[address] = any(self._given.covers(role, address) for role in self._roles)
        return self._named[address]

    def _first_and_last(self, flows: Iterable[tuple[int, FlowKey]]) -> tuple[dict[int, int], int]:
        """Return the numbers of the flows to keep, in their order, each with how many it stands for.

        And between how many pairs of hosts that may be pushed from and to not all was kept.
        """
        pairs: dict[tuple[str, str], NumberedFlows] = defaultdict(list)
        for number, flow in flows:
            pairs[flow.src_ip, flow.dst_ip].append((number, flow))
        counts: dict[int, int] = {}
        cut = 0
        for pair in pairs.values():
            begin, end = (AT_BEGIN, AT_END) if self._is_push(pair) else (0, 0)
            if len(pair) <= begin + end:
                counts |= dict.fromkeys((number for number, _ in pair), 1)
                continue
            middle = pair[begin : len(pair) - end]
            counts |= dict.fromkeys((number for number, _ in (*pair[:begin], *pair[len(pair) - end :])), 1)
            counts |= _folded(middle)
            cut += begin > 0
        return dict(sorted(counts.items())), cut

    def _is_push(self, flows: Sequence[tuple[int, FlowKey]]) -> bool:
        """Tell whether the flows between two hosts may be those of pushes.

        Then which dynamic port is one of RPC depends on what was tried shortly before, and all is kept, of very many
        the beginning and, which decides, the end.
        """
        pushed = {flow.dst_port for _, flow in flows if flow.dst_port in self._pushed or flow.dst_port == DYNAMIC}
        return len(pushed) > 1 or DYNAMIC in pushed


def _folded(flows: Iterable[tuple[int, FlowKey]]) -> dict[int, int]:
    """Return of flows that are alike the first and the last, each with how many it stands for."""
    groups: dict[FlowKey, list[int]] = defaultdict(list)
    for number, flow in flows:
        groups[flow].append(number)
    counts: dict[int, int] = {}
    for alike, numbers in groups.items():
        few = DYNAMIC_FIRST_AND_LAST if alike.dst_port == DYNAMIC else FIRST_AND_LAST
        between = max(0, len(numbers) - 2 * few)
        counts |= dict.fromkeys(numbers[:few] + numbers[few + between :], 1)
        counts[numbers[:few][-1]] += between
    return counts


def _among(ports: Iterable[int]) -> NDArray[np.bool_]:
    """Return for each port whether it is among these; the place behind the last one, MISSING, is of no port."""
    among = np.zeros(MOST_PORT + 2, np.bool_)
    among[list(ports)] = True
    return among


def writers_of(source: Source) -> dict[str, tuple[str, ...]]:
    """Return the names of the computers that wrote an event log, with their own addresses, the likeliest first.

    Events that were forwarded to a collector are those of many computers. Empty for other sources.
    """
    if source.kind != EVENT_LOG:
        return {}
    facts, writers = source.details.facts, source.table.columns["computer"]
    addresses: dict[str, list[str]] = {writer: [] for writer in sorted(set(writers.tolist()))}
    for local in facts.local if facts is not None else ():
        addresses.setdefault(getattr(local, "computer", ""), []).append(local.address)
    return {name: tuple(of_computer) for name, of_computer in addresses.items()}


def _at(hosts: Collection[str], contacts: tuple[Any, ...], by_host: Mapping[str, Sequence[int]]) -> tuple[Any, ...]:
    """Return those of some hosts, in their order."""
    numbers = sorted({number for host in hosts for number in by_host.get(host, ())})
    return tuple(contacts[number] for number in numbers)


def _numbered(contacts: Sequence[Any]) -> dict[str, list[int]]:
    """Return for each host the numbers of the flows, contacts or requests that it is an end of."""
    by_host: dict[str, list[int]] = defaultdict(list)
    for number, contact in enumerate(contacts):
        for host in {*_ends(contact)}:
            by_host[host].append(number)
    return by_host


def _ends(contact: SummaryFlow | Contact | NeighborRequests) -> tuple[str, str]:
    if isinstance(contact, SummaryFlow):
        return contact.src_ip, contact.dst_ip
    return (contact.requester, contact.target) if isinstance(contact, NeighborRequests) else (contact.src, contact.dst)


def _pushed_by(own: Collection[str], contacts: Iterable[Contact]) -> set[tuple[str, str]]:
    """Return whom a computer may push to by its own log: not domain controllers, which every computer contacts so."""
    return {(contact.src, contact.dst) for contact in contacts if contact.src in own and not contact.controller}


def _is_between(pairs: Collection[tuple[str, str]], src: NDArray[Any], dst: NDArray[Any]) -> NDArray[np.bool_]:
    """Return which flows are between one of these pairs of hosts."""
    ends = zip(src.tolist(), dst.tolist(), strict=True)
    return np.fromiter((pair in pairs for pair in ends), np.bool_, len(src))


def _own(source: Source) -> frozenset[str]:
    facts = source.details.facts
    return frozenset() if facts is None else frozenset(local.address for local in facts.local)


def _kept(source: Source, numbers: Mapping[int, int]) -> Iterator[SummaryFlow]:
    """Yield some flows. numbers: theirs, each with how many it stands for."""
    if not numbers:
        return
    details, columns, flows = source.details, source.table.columns, np.array(list(numbers), np.int64)
    columns_of_flows = {name: columns[name][flows].tolist() for name in COLUMNS if name in columns}
    columns_of_flows["stands_for"] = list(numbers.values())
    values = (columns_of_flows.get(name) or [DEFAULTS[name]] * len(flows) for name in COLUMNS)
    for number, *row in zip(numbers, *values, strict=True):
        events, errors = details.events(number), details.errors.get(number, ())
        shown = tuple(_begin_and_end(events)), tuple(_begin_and_end(errors))
        yield SummaryFlow._make((*row, *shown, details.identifier(number)))


def _begin_and_end(many: Sequence[Any]) -> Sequence[Any]:
    if len(many) <= MOST_EVENTS:
        return many
    return [*many[: MOST_EVENTS // 2], *many[-MOST_EVENTS // 2 :]]


def _warnings(left_out: int, cut: int) -> Iterator[SourceWarning]:
    if left_out:
        yield warning("folded", "folded-flows", count=left_out, most=MOST_FLOWS)
    if cut:
        yield warning("folded", "folded-attempts", count=cut, most=AT_BEGIN + AT_END)
