"""Selection of the packets that are dissected: the beginning and the end of each wanted flow."""

from __future__ import annotations

from collections.abc import Collection, Iterator
from itertools import pairwise
from pathlib import Path
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from auditor.numbering import numbered
from auditor.sources.capture import CaptureReader
from auditor.sources.packets import Addresses, Headers, PacketReader, Packets
from auditor.sources.tunnels import Tunnels

MOST_PACKETS = 2_000  # at the beginning of a flow
MOST_BYTES = 2 * 1024 * 1024
MOST_AFTER = 1_000  # further packets of a flow: only short ones, which begin and end what is said between large data
MOST_LAST = 500  # packets at the end of a flow
MOST_LAST_BYTES = 512 * 1024
MOST_IN_ALL = 60_000  # packets of all flows
MOST_BYTES_IN_ALL = 256 * 1024 * 1024  # tshark needs about as much memory
SHORT = 1_200  # bytes of payload
FIN, RST, PSH = 0x01, 0x04, 0x08
SHRINK, LEVELS = (
    0.75,
    28,
)  # the limits of each flow shrink until all flows fit; at the last level its first packet stays

PACKET = np.dtype([("frame", "i8"), ("size", "i8"), ("role", "u1")])
BACK, DATA, BEGINS, SHORT_ONE = 1, 2, 4, 8  # bits of a role: direction, has payload, begins a message, is short
NOTHING = np.empty(0, PACKET)
UNWANTED = -1  # instead of the number of a flow

Rows = NDArray[np.void]
End = tuple[str, int]
Key = frozenset[object]


class Wanted(NamedTuple):
    """One flow whose packets are wanted: protocol, both ends, and the frame that begins it."""

    protocol: str
    src: str
    src_port: int
    dst: str
    dst_port: int
    first_frame: int


class LeftOut(NamedTuple):
    """A flow of which only the beginning and the end were selected: packets and bytes between them."""

    flow: Wanted
    packets: int
    bytes: int


class Selection(NamedTuple):
    """Frame numbers of the selected packets in file order, and what was left out of long flows.

    shortened: the packets taken at the beginning and at the end of a flow, if the flows were too many for the usual
    numbers, else None.
    """

    frames: NDArray[np.int64]
    left_out: tuple[LeftOut, ...]
    shortened: tuple[int, int] | None


class _Limits(NamedTuple):
    """The most that is taken of one flow."""

    packets: int
    bytes: int
    after: int
    last: int
    last_bytes: int

    @classmethod
    def at(cls, level: int) -> _Limits:
        most = (MOST_PACKETS, MOST_BYTES, MOST_AFTER, MOST_LAST, MOST_LAST_BYTES)
        packets, size, *others = (int(number * SHRINK**level) for number in most)
        return cls(max(packets, 1), max(size, 1), *others)


def select(path: Path, flows: Collection[Wanted], tunnels: Tunnels) -> Selection:
    """Return which packets of these flows are dissected.

    Of each flow: its beginning, then short messages, then its end, bounded in packets and bytes. A push starts a
    service on the connection on which it copied some megabytes before; a logon may fail after hours. If all flows
    together are too much, the limits shrink for each of them alike, so that no flow is without its beginning. What
    results does not depend on the batches in which the file is read.
    """
    takings = _Takings(sorted(flows, key=lambda flow: flow.first_frame))
    reader = PacketReader(tunnels)
    for records in CaptureReader(path):
        if int(records.frame[-1]) >= takings.first_frame:
            takings.add(reader.read(records, quotes=False), reader.addresses)
    return takings.selection()


class _Taken:
    """What is taken of one flow: its beginning, short messages behind it, and its end."""

    __slots__ = ("_all_behind", "_ended", "after", "bytes", "first", "last", "packets")

    def __init__(self) -> None:
        self.packets = self.bytes = 0
        self.first = self.after = self.last = NOTHING
        self._all_behind = True  # whether `last` holds everything behind the beginning
        self._ended = (True, True)  # of each direction: whether its last segment ended a message

    def add(self, rows: Rows, pushed: NDArray[np.bool_], limits: _Limits) -> None:
        """Take packets that follow those before. pushed: whether the flag PSH is set."""
        self.packets += len(rows)
        self.bytes += _bytes(rows)
        self._ended = (self._mark(rows, pushed, 0), self._mark(rows, pushed, BACK))
        room = max(limits.packets - len(self.first), 0)
        count = min(room, _fitting(rows, limits.bytes - _bytes(self.first)))
        self.first = _joined(self.first, rows[:count])
        behind = rows[count:]
        self.after = _joined(self.after, _messages(behind))[: limits.after]
        self.last = _joined(self.last, behind)
        self._cut_last(limits)

    def shrink(self, limits: _Limits) -> None:
        """Give up what lower limits leave no room for, as if they had been those from the beginning."""
        count = min(limits.packets, _fitting(self.first, limits.bytes))
        behind = self.first[count:]
        self.first = self.first[:count].copy()
        self.after = _joined(_messages(behind), self.after)[: limits.after].copy()
        if self._all_behind:
            self.last = _joined(behind, self.last)
        self._cut_last(limits)

    def rows(self) -> Rows:
        """Return the packets in the order of the file."""
        rows = np.concatenate([self.first, self.after, self._aligned_end()])
        return rows[np.unique(rows["frame"], return_index=True)[1]]

    @property
    def total(self) -> tuple[int, int]:
        """How many packets and bytes are taken, those twice that are both messages and part of the end."""
        parts = (self.first, self.after, self.last)
        return sum(map(len, parts)), sum(map(_bytes, parts))

    def _mark(self, rows: Rows, pushed: NDArray[np.bool_], direction: int) -> bool:
        """Mark the segments of a direction that begin a message; return whether the last one ends a message.

        A message begins behind a segment with PSH, which ends what was sent at once. tshark takes what it sees in the
        middle of a message for a new one, and what follows for its rest.
        """
        data = np.flatnonzero((rows["role"] & (DATA | BACK)) == (DATA | direction))
        ended = self._ended[direction // BACK]
        if not len(data):
            return ended
        rows["role"][data[np.concatenate([[ended], pushed[data[:-1]]])]] |= BEGINS
        return bool(pushed[data[-1]])

    def _cut_last(self, limits: _Limits) -> None:
        fits = int(np.count_nonzero(np.cumsum(self.last["size"][::-1]) <= limits.last_bytes))
        begin = len(self.last) - min(fits, limits.last)
        if begin:
            self.last = self.last[begin:].copy()
            self._all_behind = False

    def _aligned_end(self) -> Rows:
        """Return the end from where each direction begins a message, unless nothing before it is missing."""
        if self._all_behind:
            return self.last
        keep = np.ones(len(self.last), np.bool_)
        for direction in (0, BACK):
            data = (self.last["role"] & (DATA | BACK)) == (DATA | direction)
            begins = np.flatnonzero(data & ((self.last["role"] & BEGINS) != 0))
            if len(begins):
                keep[: begins[0]] &= ~data[: begins[0]]
        return self.last[keep]


def _bytes(rows: Rows) -> int:
    return int(rows["size"].sum())


def _fitting(rows: Rows, room: int) -> int:
    """Return how many of the first packets begin within these bytes."""
    return int(np.count_nonzero(np.cumsum(rows["size"]) - rows["size"] < room))


def _joined(first: Rows, second: Rows) -> Rows:
    return np.concatenate([first, second]) if len(second) else first


def _messages(rows: Rows) -> Rows:
    """Return the short packets that begin a message, or end the connection."""
    short, middle = (rows["role"] & SHORT_ONE) != 0, (rows["role"] & (DATA | BEGINS)) == DATA
    messages: Rows = rows[short & ~middle]
    return messages


class _Takings:
    """What is taken of all wanted flows."""

    def __init__(self, flows: list[Wanted]) -> None:
        self.first_frame = flows[0].first_frame if flows else 0
        self._flows = flows
        self._taken: dict[int, _Taken] = {}
        self._level, self._limits = 0, _Limits.at(0)
        self._packets = self._bytes = 0
        self._numbers: dict[Key, list[int]] = {}
        for number, flow in enumerate(flows):
            key = _key(flow.protocol, (flow.src, flow.src_port), (flow.dst, flow.dst_port))
            self._numbers.setdefault(key, []).append(number)
        self._hosts = {address for flow in flows for address in (flow.src, flow.dst)}

    def add(self, headers: Headers, addresses: Addresses) -> None:
        """Take what is wanted of one batch."""
        for protocol, packets in (("tcp", headers.tcp), ("udp", headers.udp)):
            for number, rows, pushed in self._wanted(protocol, packets, addresses):
                taken = self._taken.setdefault(number, _Taken())
                before = taken.total
                taken.add(rows, pushed, self._limits)
                self._packets += taken.total[0] - before[0]
                self._bytes += taken.total[1] - before[1]
        while self._level < LEVELS and (self._packets > MOST_IN_ALL or self._bytes > MOST_BYTES_IN_ALL):
            self._shrink()

    def selection(self) -> Selection:
        """Return what was taken, and what was not."""
        frames, left_out = [np.empty(0, np.int64)], []
        for number, taken in sorted(self._taken.items()):
            rows = taken.rows()
            frames.append(rows["frame"])
            if taken.packets > len(rows):
                missing = LeftOut(self._flows[number], taken.packets - len(rows), taken.bytes - _bytes(rows))
                left_out.append(missing)
        shortened = (self._limits.packets, self._limits.last) if self._level else None
        return Selection(np.unique(np.concatenate(frames))[:MOST_IN_ALL], tuple(left_out), shortened)

    def _shrink(self) -> None:
        self._level += 1
        self._limits = _Limits.at(self._level)
        self._packets = self._bytes = 0
        for taken in self._taken.values():
            taken.shrink(self._limits)
            packets, size = taken.total
            self._packets += packets
            self._bytes += size

    def _wanted(
        self, protocol: str, packets: Packets, addresses: Addresses
    ) -> Iterator[tuple[int, Rows, NDArray[np.bool_]]]:
        """Yield the wanted flows of this batch by number, the packets of each, and which of them end a message."""
        near = np.flatnonzero(np.isin(packets.pair, self._pairs(packets, addresses)))
        if not len(near):
            return
        numbers, back = self._numbered(protocol, packets.select(near), addresses)
        order = np.argsort(numbers, kind="stable")
        order = order[np.count_nonzero(numbers == UNWANTED) :]
        near, numbers = near[order], numbers[order]
        flags, payload = packets.flags[near], packets.payload[near]
        short = ((payload > 0) & (payload <= SHORT)) | ((flags & (FIN | RST)) != 0)
        rows = np.empty(len(near), PACKET)
        rows["frame"], rows["size"] = packets.frame[near], packets.size[near]
        rows["role"] = back[order] * BACK + (payload > 0) * DATA + short * SHORT_ONE
        pushed = ((flags & PSH) != 0) | (protocol == "udp")
        bounds = [*np.flatnonzero(np.diff(numbers, prepend=UNWANTED)).tolist(), len(numbers)]
        for begin, end in pairwise(bounds):
            yield int(numbers[begin]), rows[begin:end], pushed[begin:end]

    def _numbered(
        self, protocol: str, packets: Packets, addresses: Addresses
    ) -> tuple[NDArray[np.int64], NDArray[np.bool_]]:
        """Return the number of each packet's flow, UNWANTED if it is of none, and whether it goes back."""
        family = packets.version.astype(np.uint64) << np.uint64(32)
        which, first = numbered(packets.pair, family | packets.ports)
        order = np.argsort(which, kind="stable")
        begins = np.searchsorted(which[order], np.arange(len(first) + 1))
        numbers, back = np.full(len(which), UNWANTED, np.int64), np.zeros(len(which), np.bool_)
        for index, at in enumerate(first.tolist()):
            pair, ports, version = int(packets.pair[at]), int(packets.ports[at]), int(packets.version[at])
            source = (addresses.text(pair >> 32, version), ports >> 16)
            destination = (addresses.text(pair & 0xFFFFFFFF, version), ports & 0xFFFF)
            if flows := self._numbers.get(_key(protocol, source, destination)):
                here = order[begins[index] : begins[index + 1]]
                frames = [self._flows[number].first_frame for number in flows]
                numbers[here] = np.array([UNWANTED, *flows])[np.searchsorted(frames, packets.frame[here], side="right")]
                back[here] = source > destination
        return numbers, back

    def _pairs(self, packets: Packets, addresses: Addresses) -> NDArray[np.uint64]:
        """Return the pairs of address numbers in this batch of which both are hosts of a wanted flow."""
        _, first = numbered(packets.pair, packets.version.astype(np.uint64))
        pairs = zip(packets.pair[first].tolist(), packets.version[first].tolist(), strict=True)
        known = [
            pair
            for pair, version in pairs
            if addresses.text(pair >> 32, version) in self._hosts
            and addresses.text(pair & 0xFFFFFFFF, version) in self._hosts
        ]
        return np.array(known, np.uint64)


def _key(protocol: str, first: End, second: End) -> Key:
    return frozenset((protocol, first, second))
