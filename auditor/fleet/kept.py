"""Of the flows of one source those that can matter to a verdict: few enough to ship, and judged like the source itself.

Kept are attempts at the documented ports, echo requests and dynamic ports; of many that are alike the first and the
last, with how many stood between.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from auditor.flow_table import MISSING, FlowTable
from auditor.flows import Asked, Event, OneSided
from auditor.roles import CLIENT, MANAGEMENT_POINT, Given, is_public
from auditor.ruleset import Ruleset
from auditor.sources.packets import Quote
from auditor.sources.source import CAPTURE, Source
from auditor.sources.warnings import SourceWarning

if TYPE_CHECKING:
    from auditor.log_flows import LocalAddress

FIRST_AND_LAST = 4  # of many attempts that are alike, as many of the first and of the last
MOST_PAIRS = 256  # of hosts in one source; beyond that those that say least are left out, and told
MOST_EVENTS = 16
DYNAMIC = -2  # stands for any port of the dynamic range


class KeptFlow(NamedTuple):
    """One flow: of the flow table what verdicts need, then what shows it.

    A number is MISSING and a text empty where there is none. rows, action, direction, application, filter_origin: of
    logs; stands_for: how many flows like it there were; events, errors: the packets or rows that show it, the ICMP
    errors about it; identifier: of pings.
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
    syn: int
    syn_ack: int
    rst: int
    first_frame: int
    stream: int
    rows: int
    answer: str
    action: str
    direction: str
    application: str
    filter_origin: str
    stands_for: int
    events: tuple[Event, ...]
    errors: tuple[Quote, ...]
    identifier: int


COLUMNS = KeptFlow._fields[: KeptFlow._fields.index("events")]
TEXTS = ("protocol", "src_ip", "dst_ip", "answer", "action", "direction", "application", "filter_origin")


class Alike(NamedTuple):
    """A flow by what makes it like another: of many that differ in nothing but their number few are kept."""

    number: int
    protocol: str
    src_ip: str
    dst_ip: str
    dst_port: int
    answer: str
    action: str = ""
    direction: str = ""


class Facts(NamedTuple):
    """What a log can show at all: how many rows or events say that something was dropped, and let through.

    local: not kept; Entry.addresses has it.
    """

    drops: int
    allows: int
    local: tuple[LocalAddress, ...] = ()


@dataclass(frozen=True)
class KeptFlows:
    """The flows that were kept of one source, with the same face as auditor.flows.Flows."""

    flows: tuple[KeptFlow, ...]
    heard: frozenset[str]
    asked: tuple[Asked, ...]
    one_sided: OneSided
    facts: Facts | None
    hidden: tuple[tuple[str, str], ...] = ()

    @cached_property
    def table(self) -> FlowTable:
        """Their table, with the columns COLUMNS."""
        values = list(zip(*self.flows, strict=True)) or [()] * len(COLUMNS)
        return FlowTable(
            {
                name: np.array(column, object if name in TEXTS else np.int64)
                for name, column in zip(COLUMNS, values, strict=False)
            }
        )

    @cached_property
    def errors(self) -> Mapping[int, Sequence[Quote]]:
        """The ICMP errors about a flow, by its number."""
        return {number: one.errors for number, one in enumerate(self.flows) if one.errors}

    def identifier(self, flow: int) -> int:
        """Return the identifier of the pings of a flow, 0 for other flows."""
        return self.flows[flow].identifier

    def events(self, flow: int) -> Sequence[Event]:
        """Return the events of one flow in file order."""
        return self.flows[flow].events


class Wanted:
    """Tells which flows can matter to a ruleset. given: the roles that the administrator named."""

    def __init__(self, ruleset: Ruleset, given: Given) -> None:
        rows = ruleset.requirements
        self._ports = {
            name: np.array(sorted({port for one in rows if one.protocol == name for port in one.ports}), np.int64)
            for name in ("tcp", "udp")
        }
        pushed = [one for one in rows if one.to_role == CLIENT]
        self._pushed = frozenset(port for one in pushed for port in one.ports)
        self._fixed = frozenset(self._ports["tcp"].tolist())
        self._dynamic = ruleset.dynamic_ports if any(one.dynamic for one in pushed) else ()
        self._given = given
        self._roles = [role for role in given.networks if role != CLIENT]
        self._named: dict[str, bool] = {}  # asked again and again of the same addresses

    def kept(self, source: Source) -> tuple[KeptFlows, tuple[SourceWarning, ...]]:
        """Return what is kept of a source, and warnings about what had to be left out."""
        chosen, left_out = self._of_pairs(self._concerning(source), _own(source))
        numbers = dict(self._first_and_last(chosen))
        rows = source.table.rows(np.array(list(numbers), np.int64))
        flows = tuple(_kept(source, number, row, numbers[number]) for number, row in zip(numbers, rows, strict=True))
        hosts = {host for one in flows for host in (one.src_ip, one.dst_ip)}
        deaf, facts = source.details.one_sided, source.details.facts
        kept = KeptFlows(
            flows,
            frozenset(host for host in hosts if host in source.details.heard),
            tuple(source.details.asked)[:MOST_PAIRS],
            OneSided(frozenset(pair for pair in deaf.pairs if hosts.issuperset(pair)), frozenset(hosts & deaf.hosts)),
            None if facts is None else Facts(facts.drops, facts.allows),
        )
        return kept, _warnings(left_out)

    def _concerning(self, source: Source) -> Iterator[Alike]:
        """Yield flows whose protocol and port may be asked for."""
        columns = source.table.columns
        protocol, port = columns["protocol"], columns["dst_port"]
        found: NDArray[np.bool_] = protocol == "icmp"
        for name, ports in self._ports.items():
            found |= (protocol == name) & np.isin(port, ports)
        tcp = protocol == "tcp"
        for low, high in self._dynamic:
            found |= tcp & (port >= low) & (port <= high)
        if source.kind == CAPTURE:  # a connection captured in its middle may be read the other way round
            middle = (columns["syn"] == 0) & (columns["syn_ack"] == 0)
            found |= tcp & middle & np.isin(columns["src_port"], self._ports["tcp"])
        some = np.flatnonzero(found)
        names = [name for name in Alike._fields[1:] if name in columns]
        values = (columns[name][some].tolist() for name in names)
        return (Alike(number, *one) for number, *one in zip(some.tolist(), *values, strict=True))

    def _of_pairs(self, flows: Iterable[Alike], own: frozenset[str]) -> tuple[list[Alike], int]:
        """Return the flows between the pairs of hosts that say most, and how many pairs were left out.

        own: the addresses of the computer whose log it is, none of captures.
        """
        pairs: dict[tuple[str, str], list[Alike]] = defaultdict(list)
        for one in flows:
            if self._may_matter(one, own):
                pairs[one.src_ip, one.dst_ip].append(one)
        ranked = sorted(pairs, key=lambda pair: self._rank(pair, pairs[pair])) if len(pairs) > MOST_PAIRS else [*pairs]
        chosen = [one for pair in ranked[:MOST_PAIRS] for one in pairs[pair]]
        return sorted(chosen, key=lambda one: one.number), max(0, len(pairs) - MOST_PAIRS)

    def _may_matter(self, one: Alike, own: frozenset[str]) -> bool:
        if one.protocol == "icmp" or one.dst_port in self._pushed or self._is_named(one.src_ip):
            return True
        if self._is_named(one.dst_ip):
            return True
        if self._port(one) == DYNAMIC:
            return not own or one.dst_ip in own
        if self._given.names(MANAGEMENT_POINT):
            return False  # who else serves the client is looked for nowhere
        return not is_public(one.dst_ip)  # no server on the Internet is a management point unless it was named

    def _rank(self, pair: tuple[str, str], flows: Sequence[Alike]) -> tuple[bool, int, int, tuple[str, str]]:
        ports = {one.dst_port for one in flows} & self._pushed
        return not (self._is_named(pair[0]) or self._is_named(pair[1])), -len(ports), -len(flows), pair

    def _is_named(self, address: str) -> bool:
        if address not in self._named:
            self._named[address] = any(self._given.covers(role, address) for role in self._roles)
        return self._named[address]

    def _port(self, one: Alike) -> int:
        """Return the port at which a flow counts: a documented one, or DYNAMIC."""
        if one.protocol != "tcp" or one.dst_port in self._fixed:
            return one.dst_port
        return DYNAMIC if any(low <= one.dst_port <= high for low, high in self._dynamic) else one.dst_port

    def _first_and_last(self, flows: Iterable[Alike]) -> Iterator[tuple[int, int]]:
        """Yield the numbers of the flows to keep, in their order, each with how many it stands for."""
        groups: dict[Alike, list[int]] = defaultdict(list)
        for one in flows:
            groups[one._replace(number=0, dst_port=self._port(one))].append(one.number)
        kept: dict[int, int] = {}
        for numbers in groups.values():
            between = max(0, len(numbers) - 2 * FIRST_AND_LAST)
            kept |= dict.fromkeys(numbers[:FIRST_AND_LAST] + numbers[FIRST_AND_LAST + between :], 1)
            kept[numbers[:FIRST_AND_LAST][-1]] += between
        yield from sorted(kept.items())


def _own(source: Source) -> frozenset[str]:
    facts = source.details.facts
    return frozenset() if facts is None else frozenset(one.address for one in facts.local)


def _kept(source: Source, number: int, row: Mapping[str, Any], stands_for: int) -> KeptFlow:
    details = source.details
    known = {**dict.fromkeys(COLUMNS, MISSING), **dict.fromkeys(TEXTS, ""), **row, "stands_for": stands_for}
    return KeptFlow(
        **{name: known[name] for name in COLUMNS},
        events=tuple(_begin_and_end(details.events(number))),
        errors=tuple(_begin_and_end(details.errors.get(number, ()))),
        identifier=details.identifier(number),
    )


def _begin_and_end(many: Sequence[Any]) -> Sequence[Any]:
    if len(many) <= MOST_EVENTS:
        return many
    return [*many[: MOST_EVENTS // 2], *many[-MOST_EVENTS // 2 :]]


def _warnings(left_out: int) -> tuple[SourceWarning, ...]:
    if not left_out:
        return ()
    text = (
        f"It tells of more than {MOST_PAIRS} pairs of computers at documented ports; the {left_out:,} that say least "
        "were left out. Name site server and management point (--role): what is named is always kept."
    )
    return (SourceWarning("folded", text),)
