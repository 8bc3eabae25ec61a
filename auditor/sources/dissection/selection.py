"""Selection of the packets that are dissected: the beginning and the end of each wanted flow."""

from __future__ import annotations

from collections.abc import Collection
from pathlib import Path
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from auditor.sources.capture.packets import Addresses, Headers, PacketReader, Packets
from auditor.sources.capture.reader import CaptureReader
from auditor.sources.capture.tunnels import Tunnels
from auditor.sources.factorize import factorize_rows
from auditor.sources.tcp_flags import FIN, PSH, RST

MOST_PACKETS = 2_000  # at the beginning of a flow
MOST_BYTES = 2 * 1024 * 1024
MOST_AFTER = 1_000  # further packets of a flow: only short ones, which begin and end what is said between large data
MOST_LAST = 500  # packets at the end of a flow
MOST_LAST_BYTES = 512 * 1024
FEWEST_PACKETS = 32  # at the beginning of a flow, however many there are: enough for a logon
FEWEST_BYTES = 48 * 1024
MOST_IN_ALL = 60_000  # packets of all flows: tshark and pyshark take about a minute
MOST_BYTES_IN_ALL = 256 * 1024 * 1024  # tshark needs about as much memory
SHRINK, LEVELS = 0.75, 28  # how the limits of each flow shrink, and how often, until all flows fit
SHORT = 1_200  # bytes of payload
CHUNK = 65_536  # packets after which it is looked whether all fit

PACKET = np.dtype(
    [
        ("frame", "i8"),
        ("flow", "i8"),  # place of its flow among those that are wanted
        ("size", "i8"),  # bytes
        ("place", "i8"),  # packets before it in its flow
        ("before", "i8"),  # bytes before it
        ("messages", "i8"),  # short messages before it
        ("back", "?"),  # its direction
        ("data", "?"),  # has payload
        ("pushed", "?"),  # ends a message
        ("short", "?"),  # is short, or ends the connection
        ("begins", "?"),  # begins a message
    ]
)
UNWANTED = -1  # instead of the place of a flow

I64 = NDArray[np.int64]
Bools = NDArray[np.bool_]
Rows = NDArray[np.void]
End = tuple[str, int]
Key = frozenset[object]


class FlowSelector(NamedTuple):
    """One flow whose packets are wanted: protocol, both ends, and the frame that begins it."""

    protocol: str
    src: str
    src_port: int
    dst: str
    dst_port: int
    first_frame: int


class TruncatedFlow(NamedTuple):
    """A flow of which only the beginning and the end were selected: packets and bytes between them."""

    flow: FlowSelector
    packets: int
    bytes: int


class Shortened(NamedTuple):
    """What was done because the flows were too many.

    Attributes:
        first_packets: Packets selected at the beginning of each flow.
        last_packets: Packets selected at the end of each flow.
        flows: How many flows have none.
    """

    first_packets: int
    last_packets: int
    flows: int


class Selection(NamedTuple):
    """Frame numbers of the selected packets in file order, and what was not selected."""

    frames: I64
    left_out: tuple[TruncatedFlow, ...]
    shortened: Shortened | None


class _Limits(NamedTuple):
    """The most that is selected of one flow."""

    packets: int
    bytes: int
    messages: int
    last: int
    last_bytes: int

    @classmethod
    def at(cls, level: int) -> _Limits:
        most = (MOST_PACKETS, MOST_BYTES, MOST_AFTER, MOST_LAST, MOST_LAST_BYTES)
        packets, size, *limits = (int(number * SHRINK**level) for number in most)
        packets, size = max(packets, min(FEWEST_PACKETS, MOST_PACKETS)), max(size, min(FEWEST_BYTES, MOST_BYTES))
        return cls(packets, size, *limits)


def select(path: Path, flows: Collection[FlowSelector], tunnels: Tunnels) -> Selection:
    """Return which packets of these flows are dissected.

    Of each flow: its beginning, then short messages, then its end, bounded in packets and bytes. A push starts a
    service on the connection on which it copied some megabytes before; a logon may fail after hours. If all flows
    together are too much, the limits shrink for each of them alike, the ends before the beginnings. If even that is
    too much, the flows that began last are left out. What results does not depend on how the file is read.

    Args:
        path: the capture.
        flows: the flows, in any order.
        tunnels: numbers of the encapsulations to look into.

    Returns:
        The packets, and what was left out.
    """
    ordered = sorted(flows, key=lambda flow: flow.first_frame)
    finder, pool, reader = _PacketFinder(ordered), _SelectedPackets(len(ordered)), PacketReader(tunnels)
    for records in CaptureReader(path):
        if ordered and int(records.frame[-1]) >= ordered[0].first_frame:
            pool.add(finder.rows(reader.read(records, quotes=False), reader.addresses))
    return pool.selection(ordered)


class _SelectedPackets:
    """The packets selected so far, by flow and frame, and what all packets of each flow came to."""

    def __init__(self, flows: int) -> None:
        self._level, self._limits = 0, _Limits.at(0)
        self._flows = flows  # those behind are left out
        self._rows = np.empty(0, PACKET)
        self._waiting: list[Rows] = []
        self._packets, self._bytes, self._messages = (np.zeros(flows, np.int64) for _ in range(3))
        self._ended = np.ones((flows, 2), np.bool_)  # of each direction: whether its last segment ended a message

    def add(self, rows: Rows) -> None:
        """Take the packets of one batch; they are looked into when they are many enough."""
        self._waiting.append(rows)
        while sum(map(len, self._waiting)) >= CHUNK:
            waiting = np.concatenate(self._waiting)
            self._waiting = [waiting[CHUNK:]]
            self._take(waiting[:CHUNK])

    def selection(self, flows: list[FlowSelector]) -> Selection:
        """Return what was selected, once there are no more packets."""
        self._take(np.concatenate([np.empty(0, PACKET), *self._waiting]))
        rows = self._rows[self._aligned()]
        packets = self._packets - np.bincount(rows["flow"], minlength=len(flows))
        size = self._bytes - np.bincount(rows["flow"], rows["size"], len(flows)).astype(np.int64)
        left_out = (
            TruncatedFlow(flows[flow], int(packets[flow]), int(size[flow]))
            for flow in np.flatnonzero(packets[: self._flows])
        )
        missing = int(np.count_nonzero(self._packets[self._flows :]))
        shortened = Shortened(self._limits.packets, self._limits.last, missing) if self._level else None
        return Selection(np.unique(rows["frame"]), tuple(left_out), shortened)

    def _take(self, rows: Rows) -> None:
        rows = rows[np.argsort(rows["flow"], kind="stable")]
        self._mark_beginnings(rows)
        self._count(rows)
        self._rows = np.concatenate([self._rows, rows])
        self._drop()
        while self._too_much() and self._level < LEVELS:
            self._level += 1
            self._limits = _Limits.at(self._level)
            self._drop()
        if self._too_much():
            self._leave_flows_out()

    def _mark_beginnings(self, rows: Rows) -> None:
        """Find the segments that begin a message: those behind one with PSH, which ends what was sent at once.

        tshark takes what it sees in the middle of a message for a new one, and what follows for its rest.
        """
        data = np.flatnonzero(rows["data"])
        data = data[np.lexsort((rows["back"][data], rows["flow"][data]))]
        flow, back, pushed = (rows[name][data] for name in ("flow", "back", "pushed"))
        is_first = np.ones(len(data), np.bool_)
        is_first[1:] = (flow[1:] != flow[:-1]) | (back[1:] != back[:-1])
        ended = np.roll(pushed, 1)
        ended[is_first] = self._ended[flow[is_first], back[is_first].astype(np.int64)]
        rows["begins"][data] = ended
        last = np.roll(is_first, -1)
        self._ended[flow[last], back[last].astype(np.int64)] = pushed[last]

    def _count(self, rows: Rows) -> None:
        """Number the packets within their flows, and add them to what the flows come to."""
        flow = rows["flow"]
        for name, totals, amount in (
            ("place", self._packets, np.ones(len(rows), np.int64)),
            ("before", self._bytes, rows["size"]),
            ("messages", self._messages, _is_message(rows).astype(np.int64)),
        ):
            rows[name] = totals[flow] + _before(flow, amount)
            last = np.flatnonzero(np.diff(flow, append=UNWANTED))  # of each flow
            totals[flow[last]] = rows[name][last] + amount[last]

    def _drop(self) -> None:
        """Keep what the limits leave room for."""
        rows, limits = self._rows, self._limits
        flow = rows["flow"]
        beginning = (rows["place"] < limits.packets) & (rows["before"] < limits.bytes)
        message = _is_message(rows)
        at_first = np.bincount(flow[beginning & message], minlength=len(self._packets))
        further = message & (rows["messages"] - at_first[flow] < limits.messages)
        last = self._packets[flow] - rows["place"] <= limits.last
        last &= self._bytes[flow] - rows["before"] <= limits.last_bytes
        self._rows = rows[(beginning | further | last) & (flow < self._flows)]

    def _too_much(self) -> bool:
        return len(self._rows) > MOST_IN_ALL or int(self._rows["size"].sum()) > MOST_BYTES_IN_ALL

    def _leave_flows_out(self) -> None:
        """Leave out the flows that began last until the others fit."""
        packets = np.cumsum(np.bincount(self._rows["flow"], minlength=len(self._packets)))
        size = np.cumsum(np.bincount(self._rows["flow"], self._rows["size"], len(self._packets)))
        self._flows = int(np.count_nonzero((packets <= MOST_IN_ALL) & (size <= MOST_BYTES_IN_ALL)))
        self._drop()

    def _aligned(self) -> Bools:
        """Return which packets to keep so that each direction goes on with a message where something was left out."""
        rows = self._rows[np.lexsort((self._rows["place"], self._rows["flow"]))]
        self._rows = rows
        keep = np.ones(len(rows), np.bool_)
        gap = np.zeros(len(rows), np.bool_)
        gap[1:] = (rows["flow"][1:] == rows["flow"][:-1]) & (rows["place"][1:] != rows["place"][:-1] + 1)
        part = np.cumsum(gap | (np.diff(rows["flow"], prepend=UNWANTED) != 0))
        behind_gap = gap[np.searchsorted(part, part)]
        for back in (False, True):
            data = np.flatnonzero(rows["data"] & (rows["back"] == back))
            begun = _before(part[data], rows["begins"][data].astype(np.int64)) + rows["begins"][data] > 0
            any_begins = np.isin(part[data], part[data][rows["begins"][data]])
            keep[data[behind_gap[data] & any_begins & ~begun]] = False
        return keep


def _before(groups: I64, amounts: I64) -> I64:
    """Return what the amounts before each row come to within its group; rows of a group follow each other."""
    total = np.cumsum(amounts) - amounts
    begins = np.searchsorted(groups, groups)
    result: I64 = total - total[begins]
    return result


def _is_message(rows: Rows) -> Bools:
    """Return which packets are short ones that begin a message, or end the connection."""
    message: Bools = rows["short"] & (rows["begins"] | ~rows["data"])
    return message


class _PacketFinder:
    """Finds the packets of wanted flows in batches of headers."""

    def __init__(self, flows: list[FlowSelector]) -> None:
        self._first_frames = [flow.first_frame for flow in flows]
        self._places: dict[Key, list[int]] = {}
        for place, flow in enumerate(flows):
            key = _key(flow.protocol, (flow.src, flow.src_port), (flow.dst, flow.dst_port))
            self._places.setdefault(key, []).append(place)
        self._hosts = {address for flow in flows for address in (flow.src, flow.dst)}

    def rows(self, headers: Headers, addresses: Addresses) -> Rows:
        """Return the wanted packets of one batch in file order."""
        parts = [self._of(protocol, getattr(headers, protocol), addresses) for protocol in ("tcp", "udp")]
        rows = np.concatenate(parts)
        return rows[np.argsort(rows["frame"], kind="stable")]

    def _of(self, protocol: str, packets: Packets, addresses: Addresses) -> Rows:
        packets = packets.select(np.isin(packets.pair, self._pairs(packets, addresses)))
        flow, back = self._flows_of(protocol, packets, addresses)
        wanted = flow != UNWANTED
        packets = packets.select(wanted)
        rows = np.zeros(len(packets.frame), PACKET)
        rows["frame"], rows["flow"], rows["back"] = packets.frame, flow[wanted], back[wanted]
        rows["size"], rows["data"] = packets.size, packets.payload > 0
        rows["pushed"] = ((packets.flags & PSH) != 0) | (protocol == "udp")
        short = (packets.payload > 0) & (packets.payload <= SHORT)
        rows["short"] = short | ((packets.flags & (FIN | RST)) != 0)
        return rows

    def _flows_of(self, protocol: str, packets: Packets, addresses: Addresses) -> tuple[I64, Bools]:
        """Return the place of each packet's flow, UNWANTED if it is of none, and whether it goes back."""
        flow, back = np.full(len(packets.frame), UNWANTED, np.int64), np.zeros(len(packets.frame), np.bool_)
        family = packets.version.astype(np.uint64) << np.uint64(32)
        codes, first_rows = factorize_rows(packets.pair, family | packets.ports)
        order = np.argsort(codes, kind="stable")
        bounds = np.searchsorted(codes[order], np.arange(len(first_rows) + 1))
        for index, at in enumerate(first_rows.tolist()):
            source, destination = _ends(packets, at, addresses)
            places = self._places.get(_key(protocol, source, destination))
            if places:
                members = order[bounds[index] : bounds[index + 1]]
                begins = [self._first_frames[place] for place in places]
                latest = np.searchsorted(begins, packets.frame[members], side="right")
                flow[members] = np.array([UNWANTED, *places])[latest]
                back[members] = source > destination
        return flow, back

    def _pairs(self, packets: Packets, addresses: Addresses) -> NDArray[np.uint64]:
        """Return the pairs of address numbers in this batch of which both are hosts of a wanted flow."""
        _, first_rows = factorize_rows(packets.pair, packets.version.astype(np.uint64))
        ends = (_ends(packets, at, addresses) for at in first_rows.tolist())
        is_wanted = [source[0] in self._hosts and destination[0] in self._hosts for source, destination in ends]
        return packets.pair[first_rows[np.array(is_wanted, np.bool_)]]


def _ends(packets: Packets, at: int, addresses: Addresses) -> tuple[End, End]:
    pair, ports, version = int(packets.pair[at]), int(packets.ports[at]), int(packets.version[at])
    source, destination = addresses.text(pair >> 32, version), addresses.text(pair & 0xFFFFFFFF, version)
    return (source, ports >> 16), (destination, ports & 0xFFFF)


def _key(protocol: str, source: End, destination: End) -> Key:
    return frozenset((protocol, source, destination))
