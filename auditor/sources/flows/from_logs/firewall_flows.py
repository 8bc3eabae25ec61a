"""The flow table of a firewall log: its rows, those of one attempt together, each seen from the host that tried."""

from __future__ import annotations

import ipaddress
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property, lru_cache
from types import MappingProxyType
from typing import Any, TypeVar

import numpy as np
from numpy.typing import NDArray

from auditor.sources.capture.packets import ECHO_REQUEST, ICMP, TCP, UDP, IcmpError
from auditor.sources.flows.columns import MISSING, PROTOCOLS, TABLE, LazyColumns
from auditor.sources.flows.from_logs.stale_packets import GIVEN_UP_S, RETRY_S, last_allowed_index, looks_like_reply
from auditor.sources.flows.neighbors import NeighborRequests
from auditor.sources.flows.source_flows import FlowEvent, OneWayTraffic
from auditor.sources.flows.table import FlowTable
from auditor.sources.logs.firewall_log import LogReader
from auditor.sources.logs.firewall_rows import (
    ACK,
    ACTIONS,
    DROP,
    FIN,
    LET_THROUGH,
    LOST,
    PATHS,
    RECEIVE,
    RST,
    SEND,
    SYN,
    Rows,
)

# The columns that a log has beyond those of a capture. action and direction are the log's own words.
LOG_COLUMNS = {"action": "str", "direction": "str", "first_line": "int64", "rows": "int64", "process_id": "Int64"}
SAME_ATTEMPT_S = RETRY_S  # a pause that begins another attempt
TOGETHER = 96_000  # rows that are taken in at once: the more, the fewer remain; but they should stay in the cache
MOST_OPEN = 200_000  # attempts to which more rows may come
MOST_FLOWS = 400_000  # beyond this, attempts in the middle of very many alike are put together
KEPT_OF_EACH = (64, 16, 4)  # how many attempts between two hosts at one port are then still kept apart
ATTEMPT, ANSWER, LATER = range(3)  # what the packet of a row was: a first one, the answer to one, or of a connection
NOT_SAID = -1
TURNED = 0x80  # bit of a kind: the packet was sent by `dst`
ICMP_TYPE = 8  # bits of the code behind it
PORT_BITS, KIND_BITS = 16, 25
ANY_KIND = (1 << KIND_BITS) - 1
OTHER_KIND = ANY_KIND & ~0xF  # whatever the action is
FEW = 256  # places that are sooner sorted as they are than mixed
INDEX = np.uint64((1 << 21) - 1)
HALF = np.uint64(31)
SPREAD = tuple(map(np.uint64, (0x9E3779B97F4A7C15, 0xC2B2AE3D27D4EB4F)))
LETS_THROUGH = np.array([action in LET_THROUGH for action in ACTIONS])
Ints = NDArray[np.int64]
Kind = TypeVar("Kind", int, Ints)


@dataclass(frozen=True)
class LogAttempts:
    """What was tried, one attempt a place: arrays of one length.

    src, dst: numbers of addresses, of the host that tried and the one that was tried; src_port: NOT_SAID where several
    attempts were put together; dst_port: of ICMP type and code; kind: protocol, path, packet and action as one number;
    sequence: of the SYN, 0 where the log does not say; process: its id, NOT_SAID where the log does not say;
    rows: how many tell of it; start, second, end: the seconds of the first, the second and the last of them;
    first_line, second_line, last_line: their lines.
    """

    src: Ints
    dst: Ints
    src_port: Ints
    dst_port: Ints
    kind: Ints
    sequence: Ints
    process: Ints
    rows: Ints
    start: Ints
    second: Ints
    end: Ints
    first_line: Ints
    second_line: Ints
    last_line: Ints

    def __len__(self) -> int:
        return len(self.src)

    def at(self, places: NDArray[Any]) -> LogAttempts:
        """Return some of them."""
        selected: dict[int, Ints] = {}
        for column in vars(self).values():  # where a row is an attempt, several are one array: those stay one
            if id(column) not in selected:
                selected[id(column)] = column[places]
        return LogAttempts(*(selected[id(column)] for column in vars(self).values()))

    def only(self, mask: NDArray[np.bool_]) -> LogAttempts:
        """Return those of them for which this is true."""
        places = np.flatnonzero(mask)
        return self if len(places) == len(self) else self.at(places)

    def but(self, **columns: Ints) -> LogAttempts:
        """Return the same with other columns of these names."""
        return LogAttempts(**vars(self) | columns)

    @property
    def protocol(self) -> Ints:
        """IP protocol numbers."""
        return _protocol(self.kind)

    @property
    def path(self) -> Ints:
        """Indices in PATHS."""
        return self.kind >> 8 & 0xFF

    @property
    def turned(self) -> NDArray[np.bool_]:
        """Whether the packet was sent by `dst`."""
        turned: NDArray[np.bool_] = self.kind & TURNED != 0
        return turned

    @property
    def side(self) -> Ints:
        """1 where it is the firewall of `src`, -1 where it is that of `dst`, 0 where the log does not say."""
        path = self.path
        way = (path == SEND).astype(np.int64) - (path == RECEIVE)
        side: Ints = np.where(self.turned, -way, way)
        return side

    @property
    def packet(self) -> Ints:
        """ATTEMPT, ANSWER or LATER."""
        return _packet(self.kind)

    @property
    def action(self) -> Ints:
        """Indices in ACTIONS."""
        return _action(self.kind)


NO_ATTEMPTS = LogAttempts(*[np.zeros(0, np.int64)] * len(LogAttempts.__dataclass_fields__))


@dataclass(frozen=True)
class LocalAddress:
    """An address of the computer that wrote the log. rows: that say so; sure: it sent from there itself."""

    address: str
    rows: int
    sure: bool


@dataclass(frozen=True)
class LogFacts:
    """What a log can show at all.

    counts: rows by action, protocol ("TCP", "UDP", "ICMP" or a number) and path, "-" where the log does not say;
    lines, comments, blanks, malformed: what the lines were that are no rows; lost, lost_rows: events that Windows did
    not write, and how often it says so; local: the computer's own addresses, the likeliest first; clock: "utc" or
    "local", what the times are; fields: the columns of the last header; folded: rows of attempts that were put
    together.
    """

    counts: Mapping[tuple[str, str, str], int]
    lines: int
    comments: int
    blanks: int
    malformed: Mapping[str, int]
    lost: int
    lost_rows: int
    local: tuple[LocalAddress, ...]
    clock: str
    fields: tuple[str, ...]
    folded: int

    @property
    def drops(self) -> int:
        """Rows that say that something was dropped."""
        return self._count(("DROP",))

    @property
    def allows(self) -> int:
        """Rows that say that something was let through (XP and 2003: opened)."""
        return self._count(LET_THROUGH)

    def _count(self, actions: Sequence[str]) -> int:
        return sum(count for (action, _, _), count in self.counts.items() if action in actions)


class LogFlows:
    """All flows of one log, with the same attributes as builder.Flows, and lines where that has frames.

    table: one row a flow, columns and types of TABLE and LOG_COLUMNS, in order of the first line; `start` and `end`
    have no zone where the log's times are local and nobody said which zone that is.
    """

    errors: Mapping[int, list[IcmpError]] = MappingProxyType({})  # a log quotes no packets
    asked: tuple[NeighborRequests, ...] = ()
    hidden: tuple[tuple[str, str], ...] = ()
    on_link: frozenset[str] = frozenset()  # only a capture shows on whose network it was taken
    one_sided = OneWayTraffic()

    def __init__(self, source: str, attempts: LogAttempts, addresses: Sequence[str], facts: LogFacts) -> None:
        self.attempts = attempts
        self.facts = facts
        self._source = source
        self._addresses = addresses

    @cached_property
    def table(self) -> FlowTable:
        """The flow table; it is made when it is first asked for."""
        kinds = TABLE | LOG_COLUMNS
        if self.facts.clock != "utc":
            kinds |= dict.fromkeys(("start", "end"), "datetime64[ns]")
        return FlowTable(_columns(self.attempts, self._addresses, self._source), kinds)

    @cached_property
    def heard(self) -> frozenset[str]:
        """Every address that something came from: this computer, and whoever's packets reached its firewall."""
        attempts = self.attempts
        sent = np.zeros(len(self._addresses), np.bool_)
        sent[np.where(attempts.turned, attempts.dst, attempts.src)[attempts.path == RECEIVE]] = True
        return frozenset(self._addresses[number] for number in np.flatnonzero(sent).tolist()).union(
            local_address.address for local_address in self.facts.local
        )

    def identifier(self, _flow: int) -> int:
        """Return 0: a log does not tell pings apart."""
        return 0

    def events(self, flow: int) -> list[FlowEvent]:
        """Return the first, the second and the last row of a flow as events, whose `frame` is the line."""
        attempts = self.attempts
        kind, sequence = attempts.kind.item(flow), attempts.sequence.item(flow)
        of_tcp = ("SYN", "SYN-ACK", "data")[_packet(kind)]
        event_kind = {UDP: "datagram", ICMP: "request"}.get(_protocol(kind), of_tcp)
        lines = (attempts.first_line, attempts.second_line, attempts.last_line)
        rows = zip(lines, (attempts.start, attempts.second, attempts.end), strict=True)
        times = {line.item(flow): time.item(flow) for line, time in rows}
        from_src = not kind & TURNED
        return [FlowEvent(line, time * 10**9, from_src, event_kind, sequence) for line, time in times.items()]


class LogFlowBuilder:
    """Collect the rows of batch after batch, in file order; `finish` makes the flows of them.

    unused: rows that are in no flow, by what they are; first_s, last_s: the earliest and the latest time of a row.
    """

    def __init__(self) -> None:
        self._waiting: list[LogAttempts] = []
        self._closed: list[LogAttempts] = []
        self._open = NO_ATTEMPTS
        self._now = 0
        self._count = 0
        self._most = MOST_FLOWS
        self._kept_of_each: int | None = None
        self._counts: Mapping[tuple[str, str, str], int] = {}
        self._local: tuple[LocalAddress, ...] = ()
        self.unused: Counter[str] = Counter()
        self.first_s: int | None = None
        self.last_s: int | None = None

    def add(self, rows: Rows) -> None:
        """Take in one batch."""
        if not len(rows):
            return
        seen = rows.action != LOST  # that events were lost is written later than the rows behind it
        if seen.any():
            self._now = int(rows.time_s[len(rows) - 1 - int(seen[::-1].argmax())])
        self._waiting.append(_single(rows))
        if sum(map(len, self._waiting)) >= TOGETHER:
            self._take_in()

    def _take_in(self) -> None:
        """Put the rows that wait to the attempts that they belong to, and close those to which no more can come."""
        merged = self._with_waiting()
        recent = np.abs(merged.end - self._now) <= 2 * SAME_ATTEMPT_S
        recent[: max(0, len(merged) - MOST_OPEN)] = False
        self._close(merged.only(~recent))
        self._open = merged.only(recent)

    def _with_waiting(self) -> LogAttempts:
        """Return the open attempts with the rows that wait put to them."""
        if not self._waiting:
            return self._open
        new = _joined(self._waiting)
        self._waiting.clear()
        if self._kept_of_each:
            new = _folded(new, self._kept_of_each)
        return _merged(_joined([self._open, new]))

    def finish(self, addresses: Sequence[str]) -> LogAttempts:
        """Return the attempts in order of their first lines; the builder is used up. addresses: by number."""
        self._close(self._with_waiting())
        attempts = _in_order(_joined(self._closed))
        if self._kept_of_each:
            attempts = _folded(attempts, self._kept_of_each)
        attempts = _without_late(attempts)
        self._closed, self._open = [], NO_ATTEMPTS
        seen = attempts.only(attempts.action != LOST)
        if len(seen):
            self.first_s, self.last_s = int(seen.start.min()), int(seen.end.max())
        self._counts, self._local = _by_class(seen), _local(attempts, addresses)
        used = _used(attempts)
        self._tell_unused(attempts, np.flatnonzero(~used))
        return attempts.only(used)

    def facts(self, reader: LogReader, attempts: LogAttempts) -> LogFacts:
        """Return what the log can show; reader: as it is when all was read."""
        account = reader.account
        return LogFacts(
            counts=self._counts,
            lines=account.lines,
            comments=account.comments,
            blanks=account.blanks,
            malformed=dict(account.malformed),
            lost=account.lost,
            lost_rows=account.lost_rows,
            local=self._local,
            clock="utc" if reader.in_utc else "local",
            fields=reader.schema.names,
            folded=int(attempts.rows[attempts.src_port == NOT_SAID].sum()),
        )

    def _tell_unused(self, attempts: LogAttempts, unused: Ints) -> None:
        columns = (column[unused].tolist() for column in (attempts.kind, attempts.dst_port, attempts.rows))
        for kind, icmp, rows in zip(*columns, strict=True):
            protocol = _protocol(kind)
            name = f"ICMP type {icmp >> ICMP_TYPE}" if protocol == ICMP else f"IP protocol {protocol}"
            self.unused["lost events" if _action(kind) == LOST else name] += rows

    def _close(self, attempts: LogAttempts) -> None:
        self._closed.append(attempts)
        self._count += len(attempts)
        if self._count <= self._most:
            return
        closed = _in_order(_joined(self._closed))
        for most in KEPT_OF_EACH[KEPT_OF_EACH.index(self._kept_of_each or KEPT_OF_EACH[0]) :]:
            self._kept_of_each = most
            closed = _folded(closed, most)
            if len(closed) <= MOST_FLOWS // 2:
                break
        self._closed, self._count = [closed], len(closed)
        self._most = max(MOST_FLOWS, 2 * len(closed))


def _by_class(attempts: LogAttempts) -> dict[tuple[str, str, str], int]:
    """Return how many rows there were of each action, protocol and path."""
    rows = np.bincount(attempts.protocol << 6 | attempts.path << 3 | attempts.action, attempts.rows)
    classes = np.flatnonzero(rows)
    counts = {}
    for code, count in zip(classes.tolist(), rows[classes].tolist(), strict=True):
        protocol, path, action = code >> 6, code >> 3 & 7, code & 7
        name = PROTOCOLS[protocol].upper() if protocol in PROTOCOLS else str(protocol)
        counts[ACTIONS[action], name, PATHS[path]] = int(count)
    return counts


def _used(attempts: LogAttempts) -> NDArray[np.bool_]:
    """Tell which belong into the flow table: TCP, UDP and echo requests, as of a capture."""
    protocol, icmp = attempts.protocol, attempts.dst_port >> ICMP_TYPE
    echo = (protocol == ICMP) & ((icmp == ECHO_REQUEST[4]) | (icmp == ECHO_REQUEST[6]))
    used: NDArray[np.bool_] = ((protocol == TCP) | (protocol == UDP) | echo) & (attempts.action != LOST)
    return used


def _local(attempts: LogAttempts, addresses: Sequence[str]) -> tuple[LocalAddress, ...]:
    """Return the addresses of the computer whose firewall it is, told by who sends and who receives.

    Only the computer itself can send from an address; what is received may be meant for a group or for everybody.
    """
    path, turned = attempts.path, attempts.turned
    sending, receiving = np.flatnonzero(path == SEND), np.flatnonzero(path == RECEIVE)
    sender, receiver = np.where(turned, attempts.dst, attempts.src), np.where(turned, attempts.src, attempts.dst)
    sent, received = (
        np.bincount(who[rows], attempts.rows[rows], len(addresses))
        for who, rows in ((sender, sending), (receiver, receiving))
    )
    local_addresses = []
    for number in np.flatnonzero(sent + received).tolist():
        address = addresses[number]
        if _is_one_host(address) and (sent[number] or not address.endswith((".255", ".0"))):
            local_addresses.append(LocalAddress(address, int(sent[number] + received[number]), bool(sent[number])))
    return tuple(sorted(local_addresses, key=lambda local: (not local.sure, -local.rows, local.address)))


@lru_cache(maxsize=1 << 16)
def _is_one_host(address: str) -> bool:
    parsed = ipaddress.ip_address(address)
    return not (parsed.is_multicast or parsed.is_unspecified or parsed.is_loopback or address == "255.255.255.255")


def _single(rows: Rows) -> LogAttempts:
    """Return each row as an attempt, seen from the host that tried.

    The sender of a SYN tried; the sender of its answer did not; of any other packet of a connection the side with the
    higher port is taken for the one that tried, as of captures. Windows gives no flags of what it drops on the way out:
    there the ports tell answers. What it allows it logs once a connection, when that begins.
    """
    has_ports, silent = (rows.protocol == TCP) | (rows.protocol == UDP), rows.flags == 0
    late = silent & (rows.action == DROP) & has_ports & looks_like_reply(rows.src_port, rows.dst_port)
    kind = rows.protocol.astype(np.int64) << 16 | rows.path.astype(np.int64) << 8 | rows.action
    src, dst, src_port, dst_port = rows.src, rows.dst, rows.src_port, rows.dst_port
    icmp = np.flatnonzero(rows.protocol == ICMP)
    if len(icmp):
        dst_port = _changed(dst_port, icmp, src_port[icmp] << ICMP_TYPE | dst_port[icmp])
        src_port = _changed(src_port, icmp, 0)
    odd = np.flatnonzero(late | ~silent)  # all others are first ones
    if len(odd):
        flags = rows.flags[odd]
        opening, ack = flags & (SYN | RST | FIN) == SYN, flags & ACK != 0
        packet = np.where(opening, np.where(ack, ANSWER, ATTEMPT), LATER)
        turned = (packet == ANSWER) | ((packet == LATER) & (src_port[odd] < dst_port[odd]))
        kind[odd] |= packet << 4 | turned.astype(np.int64) << 7
        back = odd[turned]
        src, dst = _changed(src, back, dst[back]), _changed(dst, back, src[back])
        src_port, dst_port = _changed(src_port, back, dst_port[back]), _changed(dst_port, back, src_port[back])
    return LogAttempts(
        src=src,
        dst=dst,
        src_port=src_port,
        dst_port=dst_port,
        kind=kind,
        sequence=rows.sequence,
        process=rows.process,
        rows=np.ones(len(rows), np.int64),
        start=rows.time_s,
        second=rows.time_s,
        end=rows.time_s,
        first_line=rows.line,
        second_line=rows.line,
        last_line=rows.line,
    )


def _protocol(kind: Kind) -> Kind:
    return kind >> 16


def _packet(kind: Kind) -> Kind:
    return kind >> 4 & 7


def _action(kind: Kind) -> Kind:
    return kind & 0xF


def _joined(parts: Sequence[LogAttempts]) -> LogAttempts:
    parts = [part for part in parts if len(part)] or parts[:1]
    if len(parts) == 1:
        return parts[0]
    joined: dict[tuple[int, ...], Ints] = {}
    columns = []
    for arrays in zip(*(vars(part).values() for part in parts), strict=True):
        key = tuple(map(id, arrays))
        if key not in joined:  # as in `at`
            joined[key] = np.concatenate(arrays)
        columns.append(joined[key])
    return LogAttempts(*columns)


def _merged(attempts: LogAttempts) -> LogAttempts:
    """Put the rows of one attempt together. Those given, in the order of the log, may be several rows already.

    A new attempt begins where the firewall decides otherwise, the SYN has another number, another process is named, or
    after a pause.
    """
    ports = attempts.src_port << PORT_BITS | attempts.dst_port
    order, new = _sorted(attempts.src << 32 | attempts.dst, ports << KIND_BITS | attempts.kind & OTHER_KIND)
    again = np.flatnonzero(~new)  # few rows have the same ends as another
    current, previous = order[again], order[again - 1]
    is_new = np.abs(attempts.start[current] - attempts.end[previous]) > SAME_ATTEMPT_S
    for column in (attempts.kind, attempts.sequence, attempts.process):
        is_new |= column[current] != column[previous]
    new[again[is_new]] = True
    return _put_together(attempts, order, new)[0]


def _sorted(first_key: Ints, second_key: Ints) -> tuple[Ints, NDArray[np.bool_]]:
    """Return an order in which places equal in both stand together, each in the order given, and where others begin."""
    if len(first_key) <= FEW:
        return _sorted_as_they_are(first_key, second_key)
    mixed = first_key.view(np.uint64) * SPREAD[0]
    mixed = (mixed ^ mixed >> HALF ^ second_key.view(np.uint64)) * SPREAD[1]
    mixed ^= mixed >> HALF
    if len(mixed) > int(INDEX):
        return _sorted_as_they_are(first_key, second_key)
    both = np.sort(mixed & ~INDEX | np.arange(len(mixed), dtype=np.uint64))
    order = (both & INDEX).view(np.int64)
    new = _differ(first_key[order], second_key[order])
    if (new[1:] & ((both[1:] ^ both[:-1]) <= INDEX)).any():  # two different places were mixed to the same number
        return _sorted_as_they_are(first_key, second_key)
    return order, new


def _sorted_as_they_are(first_key: Ints, second_key: Ints) -> tuple[Ints, NDArray[np.bool_]]:
    order = np.lexsort((first_key, second_key))
    return order, _differ(first_key[order], second_key[order])


def _differ(first_key: Ints, second_key: Ints) -> NDArray[np.bool_]:
    """Tell which places differ from the one before."""
    new = np.ones(len(first_key), np.bool_)
    new[1:] = (first_key[1:] != first_key[:-1]) | (second_key[1:] != second_key[:-1])
    return new


def _put_together(attempts: LogAttempts, order: Ints, new: NDArray[np.bool_]) -> tuple[LogAttempts, Ints]:
    """Put those that stand together in an order into one each, from one that is new up to the next.

    Each stays at the place of its first, so that the order of the log stays. Return also the places of those that are
    made of several.
    """
    begin, size = _stretches(new)
    more = np.flatnonzero(size > 1)
    heads = np.zeros(len(attempts), np.bool_)
    heads[order[begin]] = True
    merged = attempts.only(heads)
    if not len(more):
        return merged, more
    members = order[np.repeat(size > 1, size)]
    start = np.append(0, np.cumsum(size[more])[:-1])
    first_place, second_place = order[begin[more]], order[begin[more] + 1]
    alone = attempts.rows[first_place] == 1
    place = (np.cumsum(heads) - 1)[first_place]
    changed = {
        "rows": np.add.reduceat(attempts.rows[members], start),
        "start": np.minimum.reduceat(attempts.start[members], start),
        "end": np.maximum.reduceat(attempts.end[members], start),
        "second": np.where(alone, attempts.start[second_place], attempts.second[first_place]),
        "second_line": np.where(alone, attempts.first_line[second_place], attempts.second_line[first_place]),
        "last_line": np.maximum.reduceat(attempts.last_line[members], start),
    }
    columns = {name: _changed(getattr(merged, name), place, values) for name, values in changed.items()}
    return merged.but(**columns), place


def _stretches(new: NDArray[np.bool_]) -> tuple[Ints, Ints]:
    """Return where each stretch begins, and how many places it has. new: where one begins; it does at the first."""
    begin = np.flatnonzero(new)
    return begin, np.append(begin[1:], len(new))[: len(begin)] - begin


def _changed(column: Ints, place: Ints, values: Ints | int) -> Ints:
    column = column.copy()
    column[place] = values
    return column


def _without_late(attempts: LogAttempts) -> LogAttempts:
    """Make dropped packets of connections that the same firewall had let through what they are: later ones.

    attempts: in order of their first lines. Where the log tells the flags it is a SYN, which with the same ports may
    also be a new connection, some time later.
    """
    action, packet = attempts.action, attempts.packet
    tcp = (attempts.protocol == TCP) & (action != LOST) & (attempts.src_port != NOT_SAID)
    allowed, dropped = tcp & LETS_THROUGH[action], tcp & (action == DROP) & (packet != LATER)
    if not (allowed.any() and dropped.any()):
        return attempts
    connections = attempts.only(tcp)
    allowed, dropped, is_attempt = allowed[tcp], dropped[tcp], packet[tcp] == ATTEMPT
    forth, back = connections.src << 16 | connections.src_port, connections.dst << 16 | connections.dst_port
    side, is_turned = connections.side, forth > back
    same = [np.minimum(forth, back), np.maximum(forth, back), np.where(is_turned, -side, side)]
    latest = last_allowed_index(same, allowed)
    pause = connections.start - connections.end[latest]
    soon = (pause <= RETRY_S) & (is_attempt | (pause > GIVEN_UP_S))
    late = (latest >= 0) & dropped & (connections.start >= connections.start[latest])
    late &= soon | ((connections.sequence == 0) & is_attempt)
    late = np.flatnonzero(late)
    if not len(late):
        return attempts
    place, ends = np.flatnonzero(tcp)[late], ("src", "dst", "src_port", "dst_port")
    columns = {name: getattr(attempts, name).copy() for name in (*ends, "kind")}
    other_way = forth[late] != forth[latest[late]]
    columns["kind"][place] = (columns["kind"][place] & ~0x70 | LATER << 4) ^ other_way.astype(np.int64) << 7
    for name in ends:
        columns[name][place] = getattr(connections, name)[latest[late]]
    return attempts.but(**columns)


def _in_order(attempts: LogAttempts) -> LogAttempts:
    """Return attempts in order of their first lines."""
    line = attempts.first_line
    if (line[1:] >= line[:-1]).all():
        return attempts
    order = np.argsort(line, kind="stable")  # which is quick where most are in order, as here
    return attempts.at(order)


def _folded(attempts: LogAttempts, kept_of_each: int) -> LogAttempts:
    """Keep the first and the last attempts between two hosts at one port; put those between together.

    attempts: in order of their first lines. A log that is far larger than Windows makes them holds millions of look-ups
    and web connections that are all alike; what decides, the latest attempts and those before a change, stays.
    """
    order, new = _sorted(attempts.src << 32 | attempts.dst, attempts.dst_port << KIND_BITS | attempts.kind & ANY_KIND)
    begin, size = _stretches(new)
    many, half = np.flatnonzero(size > kept_of_each), kept_of_each // 2
    edges = np.zeros(len(new), np.int8)
    edges[begin[many] + half] += 1
    edges[begin[many] + size[many] - half] -= 1
    middle = np.cumsum(edges, dtype=np.int8).view(np.bool_)
    heads = new | ~middle
    heads[1:] |= ~middle[:-1]  # those in the middle stand together, behind the first ones
    folded, place = _put_together(attempts, order, heads)
    return folded.but(src_port=_changed(folded.src_port, place, NOT_SAID), sequence=_changed(folded.sequence, place, 0))


# the table


def _words_of(words: Sequence[str]) -> NDArray[Any]:
    return np.array(words or [""], object)


PROTOCOL_WORDS = _words_of([PROTOCOLS.get(number, "") for number in range(max(PROTOCOLS) + 1)])
STATE_WORDS, RESPONSE_WORDS = _words_of(["OTH", "S0"]), _words_of(["one-way", "no-response", "mid-stream"])
ACTION_WORDS, PATH_WORDS = _words_of(ACTIONS), _words_of(PATHS)


def _columns(attempts: LogAttempts, addresses: Sequence[str], source: str) -> LazyColumns:
    """Return the flow table of a log as NumPy columns, as of a capture, with those of LOG_COLUMNS."""
    zeros = np.zeros(len(attempts), np.int64)
    protocol, packet, names = attempts.protocol, attempts.packet, _words_of(addresses)
    icmp, tcp = protocol == ICMP, protocol == TCP
    dropped = (attempts.action == DROP) & (packet == ATTEMPT)
    factories: dict[str, Callable[[], NDArray[Any]]] = dict.fromkeys(TABLE, lambda: zeros)
    return LazyColumns(
        factories
        | {
            "source": lambda: np.full(len(attempts), source, object),
            "protocol": lambda: PROTOCOL_WORDS[protocol],
            "src_ip": lambda: names[attempts.src],
            "src_port": lambda: np.where(icmp | (attempts.src_port == NOT_SAID), MISSING, attempts.src_port),
            "dst_ip": lambda: names[attempts.dst],
            "dst_port": lambda: np.where(icmp, MISSING, attempts.dst_port),
            "icmp_type": lambda: np.where(icmp, attempts.dst_port >> ICMP_TYPE, MISSING),
            "icmp_code": lambda: np.where(icmp, attempts.dst_port & 0xFF, MISSING),
            "start": lambda: attempts.start * 10**9,
            "end": lambda: attempts.end * 10**9,
            "syn": lambda: np.where(tcp & (packet == ATTEMPT), attempts.rows, 0),
            "syn_ack": lambda: np.where(tcp & (packet == ANSWER), attempts.rows, 0),
            "conn_state": lambda: STATE_WORDS[(dropped & ~icmp).view(np.int8)],
            "response": lambda: RESPONSE_WORDS[np.where(dropped, 1, np.where(packet == LATER, 2, 0))],
            "icmp_error": lambda: np.full(len(attempts), "", object),
            "stream": lambda: zeros + MISSING,
            "action": lambda: ACTION_WORDS[attempts.action],
            "direction": lambda: PATH_WORDS[attempts.path],
            "first_line": lambda: attempts.first_line,
            "rows": lambda: attempts.rows,
            "process_id": lambda: np.where(attempts.process == NOT_SAID, MISSING, attempts.process),
        }
    )
