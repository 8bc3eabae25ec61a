"""What a log says was tried: the same record, table and rules for the rows of a firewall log and for Windows events."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from types import MappingProxyType
from typing import Any, ClassVar, Self, TypeVar

import numpy as np
from numpy.typing import NDArray

from auditor.sources.capture.packets import ICMP, TCP, UDP, IcmpError
from auditor.sources.flows.columns import MISSING, PROTOCOLS, TABLE, LazyColumns
from auditor.sources.flows.from_logs.stale_packets import last_allowed_index
from auditor.sources.flows.neighbors import NeighborRequests
from auditor.sources.flows.source_flows import FlowEvent, LogContents, OneWayTraffic
from auditor.sources.flows.table import FlowTable
from auditor.sources.logs.firewall_rows import ACTIONS, DROP, PATHS, RECEIVE, SEND

# The columns that a log has beyond those of a capture. action and direction are the words of a firewall log.
LOG_COLUMNS = {"action": "str", "direction": "str", "first_line": "int64", "rows": "int64", "process_id": "Int64"}
ATTEMPT, ANSWER, LATER = range(3)  # what the packet of a row was: a first one, the answer to one, or of a connection
NOT_SAID = -1
TURNED = 0x80  # bit of a kind: the packet was sent by `dst`
PACKET_BITS = 0x70
ICMP_TYPE = 8  # bits of the code behind it
Ints = NDArray[np.int64]
Kind = TypeVar("Kind", int, Ints)


def protocol_of(kind: Kind) -> Kind:
    """Return the IP protocol of a kind."""
    return kind >> 16


def packet_of(kind: Kind) -> Kind:
    """Return what the packet of a kind was: ATTEMPT, ANSWER or LATER."""
    return kind >> 4 & 7


def action_of(kind: Kind) -> Kind:
    """Return the action of a kind, an index in ACTIONS."""
    return kind & 0xF


@dataclass(frozen=True)
class LogAttempts:
    """What was tried, one attempt a place: arrays of one length.

    All that makes a row like another, beside its ends, is in one number, so that one comparison tells it. A SYN from
    10.0.0.5 to TCP 445 of this computer, dropped, is `6 << 16 | RECEIVE << 8 | ATTEMPT << 4 | DROP`, which is 0x60100:

        bits  16 and up   8 to 15        7        4 to 6               0 to 3
              protocol    index in PATHS TURNED   ATTEMPT, ANSWER ...  index in ACTIONS

    Attributes:
        src: Number of the address of the host that tried.
        dst: Number of the address of the host that was tried.
        src_port: NOT_SAID where several attempts were put together.
        dst_port: Of ICMP its type, shifted by ICMP_TYPE, and code.
        kind: Protocol, path, packet and action.
        process: Process ID, NOT_SAID where the log does not say.
        rows: How many rows or events tell of it.
        start: Time of the first of them, since 1970: seconds in a firewall log, nanoseconds of events.
        end: Time of the last of them.
        first_line: Number of the first line or record.
    """

    src: Ints
    dst: Ints
    src_port: Ints
    dst_port: Ints
    kind: Ints
    process: Ints
    rows: Ints
    start: Ints
    end: Ints
    first_line: Ints

    def __len__(self) -> int:
        return len(self.src)

    def at(self, places: NDArray[Any]) -> Self:
        """Return some of them."""
        selected: dict[int, Ints] = {}
        for column in vars(self).values():  # where a row is an attempt, several are one array: those stay one
            if id(column) not in selected:
                selected[id(column)] = column[places]
        return type(self)(**{name: selected[id(column)] for name, column in vars(self).items()})

    def only(self, mask: NDArray[np.bool_]) -> Self:
        """Return those of them for which this is true."""
        places = np.flatnonzero(mask)
        return self if len(places) == len(self) else self.at(places)

    @property
    def protocol(self) -> Ints:
        """IP protocol numbers."""
        return protocol_of(self.kind)

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
        return packet_of(self.kind)

    @property
    def action(self) -> Ints:
        """Indices in ACTIONS."""
        return action_of(self.kind)

    @property
    def sender(self) -> Ints:
        """Number of the address that the packet came from, whichever end began."""
        sender: Ints = np.where(self.turned, self.dst, self.src)
        return sender

    @property
    def receiver(self) -> Ints:
        """Number of the address that the packet went to."""
        receiver: Ints = np.where(self.turned, self.src, self.dst)
        return receiver

    def latest_allowed(self, allowed: NDArray[np.bool_], *also: Ints) -> tuple[Ints, NDArray[np.bool_]]:
        """Find the connection that each packet may be late of.

        Args:
            allowed: Which of them were let through.
            also: What else has to be equal, such as the computer.

        Returns:
            For each place the latest earlier one that was let through between the same ends, either way, by the same
            firewall; -1 if none was. And whether that went the other way.
        """
        forth, back = self.src << 16 | self.src_port, self.dst << 16 | self.dst_port
        side = np.where(forth > back, -self.side, self.side)
        latest = last_allowed_index([np.minimum(forth, back), np.maximum(forth, back), side, *also], allowed)
        return latest, forth != forth[latest]

    def marked_late(self, late: NDArray[np.bool_], turned: NDArray[np.bool_]) -> Self:
        """Return the same with some packets as late ones of connections.

        Args:
            late: Which are late.
            turned: Which of these were sent by the host that the connection was opened to.
        """
        kind = np.where(late, self.kind & ~PACKET_BITS | LATER << 4, self.kind) ^ turned.astype(np.int64) << 7
        src, dst = np.where(turned, self.dst, self.src), np.where(turned, self.src, self.dst)
        src_port = np.where(turned, self.dst_port, self.src_port)
        dst_port = np.where(turned, self.src_port, self.dst_port)
        return replace(self, kind=kind, src=src, dst=dst, src_port=src_port, dst_port=dst_port)


def local_ends(attempts: LogAttempts, computer: Ints | None = None) -> Iterator[tuple[int, int, int, bool]]:
    """Yield the addresses of the computers whose firewalls wrote the log, by sender and receiver.

    Only the computer itself can send from an address; what is received may be meant for a group or for everybody.

    Args:
        attempts: What all of them tell.
        computer: The number of the computer that logged each attempt; None if one logged all, then it is 0.

    Yields:
        Number of a computer, number of an address, how many rows show it, and whether it sent anything from there.
    """
    sending, receiving = np.flatnonzero(attempts.path == SEND), np.flatnonzero(attempts.path == RECEIVE)
    places = np.concatenate((sending, receiving))
    ends = np.concatenate((attempts.sender[sending], attempts.receiver[receiving]))
    keys, codes = np.unique(
        ends if computer is None else computer[places].astype(np.int64) << 32 | ends, return_inverse=True
    )
    sent = np.zeros(len(keys), np.bool_)
    sent[codes[: len(sending)]] = True
    rows = np.bincount(codes, attempts.rows[places]).astype(np.int64)
    return zip(*(column.tolist() for column in (keys >> 32, keys & 0xFFFFFFFF, rows, sent)), strict=True)


@dataclass(frozen=True, eq=False)
class LogFlows:
    """All flows of one log, with the same attributes as builder.Flows, and lines or records where that has frames.

    Attributes:
        source: What the flow table calls the log.
        attempts: One a flow, in order of their first lines.
        addresses: The addresses by number.
        facts: What the log can show at all.
    """

    source: str
    attempts: LogAttempts
    addresses: Sequence[str]
    facts: LogContents
    errors: ClassVar[Mapping[int, list[IcmpError]]] = MappingProxyType({})  # a log quotes no packets
    asked: ClassVar[tuple[NeighborRequests, ...]] = ()
    on_link: ClassVar[frozenset[str]] = frozenset()  # only a capture shows on whose network it was taken
    one_sided: ClassVar[OneWayTraffic] = OneWayTraffic()
    tick_ns: ClassVar[int]  # of the times of attempts

    @cached_property
    def table(self) -> FlowTable:
        """The flow table, made when it is first asked for: one row a flow, columns of TABLE and `columns`."""
        return FlowTable(LazyColumns(self._factories()), TABLE | self.columns)

    @property
    def columns(self) -> dict[str, str]:
        """The columns that this log has beyond those of TABLE, or of another type, with their types."""
        return LOG_COLUMNS

    def identifier(self, _flow: int) -> int:
        """Return 0: a log does not distinguish echo requests."""
        return 0

    def events(self, flow: int) -> list[FlowEvent]:
        """Return rows of a flow as events, in file order, whose `frame` is the line."""
        kind = self.attempts.kind.item(flow)
        packet_kind = {UDP: "datagram", ICMP: "request"}.get(protocol_of(kind)) or self._tcp_packet(kind)
        return [
            FlowEvent(line, time, not kind & TURNED, packet_kind, sequence)
            for line, time, sequence in self._entries(flow)
        ]

    def _tcp_packet(self, kind: int) -> str:
        return ("SYN", "SYN-ACK", "data")[packet_of(kind)]

    def _entries(self, flow: int) -> Iterable[tuple[int, int, int]]:
        """Yield line, time in nanoseconds and TCP sequence number of rows of a flow."""
        raise NotImplementedError

    def _factories(self) -> dict[str, Callable[[], NDArray[Any]]]:
        """Return how each column of the table is made."""
        attempts = self.attempts
        zeros = np.zeros(len(attempts), np.int64)
        protocol, packet, names = attempts.protocol, attempts.packet, words_of(self.addresses)
        icmp, tcp = protocol == ICMP, protocol == TCP
        dropped = (attempts.action == DROP) & (packet == ATTEMPT)
        factories: dict[str, Callable[[], NDArray[Any]]] = dict.fromkeys(TABLE, lambda: zeros)
        return factories | {
            "source": lambda: np.full(len(attempts), self.source, object),
            "protocol": lambda: PROTOCOL_WORDS[protocol],
            "src_ip": lambda: names[attempts.src],
            "src_port": lambda: np.where(icmp | (attempts.src_port == NOT_SAID), MISSING, attempts.src_port),
            "dst_ip": lambda: names[attempts.dst],
            "dst_port": lambda: np.where(icmp, MISSING, attempts.dst_port),
            "icmp_type": lambda: np.where(icmp, attempts.dst_port >> ICMP_TYPE, MISSING),
            "icmp_code": lambda: np.where(icmp, attempts.dst_port & 0xFF, MISSING),
            "start": lambda: attempts.start * self.tick_ns,
            "end": lambda: attempts.end * self.tick_ns,
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
            "process_id": lambda: np.where(attempts.process < 0, MISSING, attempts.process),
        }


def words_of(words: Sequence[str]) -> NDArray[Any]:
    """Return words as an array, which has at least one place, so that numbers of words can be looked up in it."""
    return np.array(words or [""], object)


PROTOCOL_WORDS = words_of([PROTOCOLS.get(number, "") for number in range(max(PROTOCOLS) + 1)])
STATE_WORDS, RESPONSE_WORDS = words_of(["OTH", "S0"]), words_of(["one-way", "no-response", "mid-stream"])
ACTION_WORDS, PATH_WORDS = words_of(ACTIONS), words_of(PATHS)
