"""Copy chosen packets of a capture into a small pcapng file, with comments if wanted.

Reference: draft-ietf-opsawg-pcapng (section header, interface description and enhanced packet blocks).
"""

from __future__ import annotations

import struct
from collections import defaultdict
from collections.abc import Collection, Iterable, Iterator
from pathlib import Path
from typing import BinaryIO, NamedTuple

import numpy as np
from numpy.typing import NDArray

from auditor.sources.capture import CaptureReader, Records
from auditor.sources.packets import Addresses, Headers, PacketReader, Packets
from auditor.sources.tunnels import Tunnels

MOST_PACKETS = 2_000  # of one flow
MOST_BYTES = 2 * 1024 * 1024
MOST_AFTER = 1_000  # further packets of one flow: only short ones, which begin and end what is said between large data
SHORT = 1_200  # bytes of payload
ENDS = 0x01 | 0x04  # the flags FIN and RST
MOST_IN_ALL = 60_000
COMMENT = 1  # code of the option opt_comment
NANOSECONDS = 9  # value of the option if_tsresol


class Wanted(NamedTuple):
    """One flow whose packets are wanted: protocol, both ends, and the frames between which it lies."""

    protocol: str
    src: str
    src_port: int
    dst: str
    dst_port: int
    first_frame: int


class Record(NamedTuple):
    """One packet as it stands in a capture."""

    frame: int
    time_ns: int
    link_type: int
    original: int
    data: bytes


def packets_of(path: Path, flows: Collection[Wanted], tunnels: Tunnels) -> Iterator[Record]:
    """Yield the packets of these flows in file order: the head of each, bounded in packets and bytes, then short ones.

    A push starts a service on the connection on which it copied some megabytes before. Batches that lie before the
    first of the flows, or after all are full, are not looked into.
    """
    heads = _Heads(flows)
    reader = PacketReader(tunnels)
    for records in CaptureReader(path):
        if int(records.frame[-1]) < heads.first_frame:
            continue
        chosen = heads.choose(reader.read(records), reader.addresses)
        for index in np.searchsorted(records.frame, chosen).tolist():
            yield _record(records, index)
        if heads.full:
            return


def frames_of(path: Path, frames: Collection[int]) -> Iterator[Record]:
    """Yield the packets with these frame numbers, in file order."""
    wanted = np.array(sorted(set(frames)), np.int64)
    for records in CaptureReader(path):
        here = wanted[(wanted >= records.frame[0]) & (wanted <= records.frame[-1])]
        at = np.searchsorted(records.frame, here)
        for index in at[records.frame[np.minimum(at, len(records.frame) - 1)] == here].tolist():
            yield _record(records, index)
        if not len(wanted) or records.frame[-1] >= wanted[-1]:
            return


def _record(records: Records, index: int) -> Record:
    start, length = int(records.start[index]), int(records.captured[index])
    return Record(
        frame=int(records.frame[index]),
        time_ns=int(records.time_ns[index]),
        link_type=int(records.link_type[index]),
        original=int(records.original[index]),
        data=records.data[start : start + length].tobytes(),
    )


class _Heads:
    """Which flows are wanted, and how much of each was taken."""

    def __init__(self, flows: Collection[Wanted]) -> None:
        self.first_frame = min((flow.first_frame for flow in flows), default=0)
        self._flows = {frozenset(((one.src, one.src_port), (one.dst, one.dst_port), one.protocol)) for one in flows}
        self._hosts = {address for one in flows for address in (one.src, one.dst)}
        self._packets: dict[object, int] = defaultdict(int)
        self._bytes: dict[object, int] = defaultdict(int)
        self._after: dict[object, int] = defaultdict(int)
        self._in_all = 0

    @property
    def full(self) -> bool:
        """Whether no more packets are taken of any flow."""
        closed = sum(1 for count in self._after.values() if count >= MOST_AFTER)
        return self._in_all >= MOST_IN_ALL or (bool(self._flows) and closed >= len(self._flows))

    def choose(self, headers: Headers, addresses: Addresses) -> NDArray[np.int64]:
        """Return the frame numbers to take of one batch."""
        frames: list[int] = []
        for protocol, packets in (("tcp", headers.tcp), ("udp", headers.udp)):
            near = np.flatnonzero(np.isin(packets.pair, self._pairs(packets, addresses)))
            for index in near.tolist():
                if self._take(protocol, packets, index, addresses):
                    frames.append(int(packets.frame[index]))
        return np.array(sorted(set(frames)), np.int64)

    def _pairs(self, packets: Packets, addresses: Addresses) -> NDArray[np.uint64]:
        """Return the pairs of address numbers in this batch of which both are hosts of a wanted flow."""
        unique = np.unique(np.stack([packets.pair, packets.version.astype(np.uint64)]), axis=1).T
        known = [
            pair
            for pair, version in unique.tolist()
            if addresses.text(pair >> 32, version) in self._hosts
            and addresses.text(pair & 0xFFFFFFFF, version) in self._hosts
        ]
        return np.array(known, np.uint64)

    def _take(self, protocol: str, packets: Packets, index: int, addresses: Addresses) -> bool:
        pair, ports, version = int(packets.pair[index]), int(packets.ports[index]), int(packets.version[index])
        first = (addresses.text(pair >> 32, version), ports >> 16)
        second = (addresses.text(pair & 0xFFFFFFFF, version), ports & 0xFFFF)
        flow = frozenset((first, second, protocol))
        if flow not in self._flows or self._in_all >= MOST_IN_ALL:
            return False
        if self._packets[flow] >= MOST_PACKETS or self._bytes[flow] >= MOST_BYTES:
            short = 0 < int(packets.payload[index]) <= SHORT or int(packets.flags[index]) & ENDS
            if self._after[flow] >= MOST_AFTER or not short:
                return False
            self._after[flow] += 1
        self._packets[flow] += 1
        self._bytes[flow] += int(packets.size[index])
        self._in_all += 1
        return True


def write_pcapng(out: BinaryIO, records: Iterable[Record], comments: Iterable[str] = ()) -> list[int]:
    """Write packets as pcapng and return their frame numbers in the order written.

    comments: one a packet, or none at all; Wireshark shows them with the packet.
    """
    out.write(_block(0x0A0D0D0A, struct.pack("<IHHq", 0x1A2B3C4D, 1, 0, -1)))
    interfaces: dict[int, int] = {}
    written: list[int] = []
    said = iter(comments)
    for record in records:
        if record.link_type not in interfaces:
            interfaces[record.link_type] = len(interfaces)
            out.write(_interface(record.link_type))
        out.write(_packet(record, interfaces[record.link_type], next(said, "")))
        written.append(record.frame)
    return written


def _block(kind: int, body: bytes) -> bytes:
    padded = body + bytes(-len(body) % 4)
    length = struct.pack("<I", len(padded) + 12)
    return struct.pack("<I", kind) + length + padded + length


def _option(code: int, value: bytes) -> bytes:
    return struct.pack("<HH", code, len(value)) + value + bytes(-len(value) % 4)


def _interface(link_type: int) -> bytes:
    options = _option(9, bytes([NANOSECONDS])) + struct.pack("<HH", 0, 0)
    return _block(1, struct.pack("<HHI", link_type, 0, 0) + options)


def _packet(record: Record, interface: int, comment: str) -> bytes:
    time = max(record.time_ns, 0)
    head = struct.pack("<IIIII", interface, time >> 32, time & 0xFFFFFFFF, len(record.data), record.original)
    options = _option(COMMENT, comment.encode()[:60_000]) + struct.pack("<HH", 0, 0) if comment else b""
    return _block(6, head + record.data + bytes(-len(record.data) % 4) + options)
