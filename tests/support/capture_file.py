"""Captures taken apart into their records, and put together again with more packets: pcap, pcapng, either gzipped."""

from __future__ import annotations

import gzip
import struct
from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from functools import cache
from ipaddress import ip_address
from pathlib import Path

from packets import ETHERNET, LINKS, At, Link

PCAP, PCAPNG, GZIP = b"\xd4\xc3\xb2\xa1", b"\x0a\x0d\x0d\x0a", b"\x1f\x8b"
PCAP_HEAD, RECORD_HEAD, BLOCK_HEAD, ENHANCED_HEAD = 24, 16, 8, 28
INTERFACE, ENHANCED, RESOLUTION = 1, 6, 9  # block types, and the option if_tsresol
NETWORK_AT = {1: 14, 113: 16, 276: 20}  # where the network layer begins, by LINKTYPE_
ON_ALL_INTERFACES = {113, 276}  # Linux cooked: a router captures what it forwards twice
SECOND_LOOK_NS = 20_000  # until a router sends what it received
HOPS_OF_STRANGERS = 126  # of a computer with Windows, behind two routers
LINK_TYPES = (ETHERNET, LINKS["Linux cooked"], LINKS["Linux cooked, second version"])  # of the lab
LINK_BY_NUMBER = {link.number: link for link in LINK_TYPES}

Times = tuple[int, bytes]  # nanoseconds since 1970, and a record as it is in the file


@dataclass(frozen=True)
class CaptureFile:
    """A capture taken apart.

    head, tail: what is before and after the records. records: each with its time. pack: makes a record of a frame.
    hops: the hop count that the packets of each computer have in this capture.
    """

    head: bytes
    records: tuple[Times, ...]
    tail: bytes
    link: Link
    pack: Callable[[int, bytes], bytes]
    hops: dict[str, int]
    gzipped: bool

    @property
    def begin_ns(self) -> int:
        """When the first packet was captured."""
        return self.records[0][0]

    @property
    def length(self) -> float:
        """Seconds from the first packet to the last."""
        return (self.records[-1][0] - self.begin_ns) / 1e9

    def with_packets(self, packets: Iterable[At]) -> bytes:
        """Return the file with more packets, in order of time. packets: their times count from the first packet."""
        added = [
            (self.begin_ns + round(packet.seconds * 1e9) + after, self.link.wrap(frame))
            for packet, identification in _numbered(packets)
            for after, frame in self._looks(packet.packet, identification)
        ]
        records = sorted([*self.records, *((time, self.pack(time, frame)) for time, frame in added)], key=_time)
        content = self.head + b"".join(record for _, record in records) + self.tail
        return gzip.compress(content, 1, mtime=0) if self.gzipped else content

    def _looks(self, packet: bytes, identification: int) -> Iterator[tuple[int, bytes]]:
        """Yield a packet as it is seen here, once or twice."""
        hops = self.hops.get(sender(packet), HOPS_OF_STRANGERS)
        yield 0, on_its_way(packet, hops, identification)
        if self.link.number in ON_ALL_INTERFACES and packet[0] >> 4:
            yield SECOND_LOOK_NS, on_its_way(packet, hops - 1, identification)


@cache
def taken_apart(path: str | Path) -> CaptureFile:
    """Return the parts of a capture file."""
    content = Path(path).read_bytes()
    gzipped = content[:2] == GZIP
    content = gzip.decompress(content) if gzipped else content
    return (_pcap if content[:4] == PCAP else _pcapng)(content, gzipped)


def _time(record: Times) -> int:
    return record[0]


# pcap


def _pcap(content: bytes, gzipped: bool) -> CaptureFile:
    number = struct.unpack_from("<I", content, 20)[0]
    records, frames, at = [], [], PCAP_HEAD
    while at < len(content):
        seconds, micros, captured, _ = struct.unpack_from("<IIII", content, at)
        end = at + RECORD_HEAD + captured
        records.append((seconds * 1_000_000_000 + micros * 1000, content[at:end]))
        frames.append(content[at + RECORD_HEAD : end])
        at = end
    hops = _hops(frames, number)
    return CaptureFile(content[:PCAP_HEAD], tuple(records), b"", LINK_BY_NUMBER[number], _pcap_record, hops, gzipped)


def _pcap_record(time_ns: int, frame: bytes) -> bytes:
    seconds, rest = divmod(time_ns, 1_000_000_000)
    return struct.pack("<IIII", seconds, rest // 1000, len(frame), len(frame)) + frame


# pcapng


def _pcapng(content: bytes, gzipped: bool) -> CaptureFile:
    """Take apart a little-endian pcapng of a single interface, as the lab writes it."""
    blocks = list(_blocks(content))
    (interface,) = [block for kind, block in blocks if kind == INTERFACE]
    number, unit = struct.unpack_from("<H", interface, BLOCK_HEAD)[0], _unit(interface)
    kinds = [kind for kind, _ in blocks]
    first, last = kinds.index(ENHANCED), len(kinds) - kinds[::-1].index(ENHANCED)
    inner = [block for _, block in blocks[first:last]]
    frames = [block[ENHANCED_HEAD : ENHANCED_HEAD + struct.unpack_from("<I", block, 20)[0]] for block in inner]
    return CaptureFile(
        head=b"".join(block for _, block in blocks[:first]),
        records=tuple((_ticks(block) * unit, block) for block in inner),
        tail=b"".join(block for _, block in blocks[last:]),
        link=LINK_BY_NUMBER[number],
        pack=lambda time_ns, frame: _enhanced(time_ns // unit, frame),
        hops=_hops(frames, number),
        gzipped=gzipped,
    )


def _blocks(content: bytes) -> Iterator[tuple[int, bytes]]:
    at = 0
    while at < len(content):
        kind, length = struct.unpack_from("<II", content, at)
        yield kind, content[at : at + length]
        at += length


def _unit(interface: bytes) -> int:
    """Return how many nanoseconds the times of an interface are counted in."""
    at = BLOCK_HEAD + 8
    while at + 4 < len(interface):
        code, length = struct.unpack_from("<HH", interface, at)
        if code == RESOLUTION:
            return 10 ** (9 - interface[at + 4])
        at += 4 + (length + 3) // 4 * 4
    return 1000


def _ticks(block: bytes) -> int:
    high, low = struct.unpack_from("<II", block, 12)
    return high << 32 | low


def _enhanced(ticks: int, frame: bytes) -> bytes:
    padded = frame + bytes(-len(frame) % 4)
    length = ENHANCED_HEAD + len(padded) + 4
    head = struct.pack("<IIIIIII", ENHANCED, length, 0, ticks >> 32, ticks & 0xFFFFFFFF, len(frame), len(frame))
    return head + padded + struct.pack("<I", length)


# packets on their way


def sender(packet: bytes) -> str:
    """Return the source address of an IP packet, nothing of others."""
    version = packet[0] >> 4
    if version not in (4, 6):
        return ""
    return str(ip_address(packet[12:16] if version == 4 else packet[8:24]))


def on_its_way(packet: bytes, hops: int, identification: int) -> bytes:
    """Return an IP packet with this hop count and, of IPv4, this identification; others as they are."""
    version = packet[0] >> 4
    if version == 4:
        return packet[:4] + struct.pack(">H", identification & 0xFFFF) + packet[6:8] + bytes([hops]) + packet[9:]
    return packet[:7] + bytes([hops]) + packet[8:] if version == 6 else packet


def _numbered(packets: Iterable[At]) -> Iterator[tuple[At, int]]:
    """Yield each packet with its identification: every sender counts its own."""
    counts: dict[str, int] = defaultdict(lambda: 0x4000)
    for packet in packets:
        counts[sender(packet.packet)] += 1
        yield packet, counts[sender(packet.packet)]


def _hops(frames: Iterable[bytes], number: int) -> dict[str, int]:
    """Return the hop count with which each sender's first packet is captured."""
    hops: dict[str, int] = {}
    for frame in frames:
        packet = frame[NETWORK_AT[number] :]
        if packet and (source := sender(packet)):
            hops.setdefault(source, packet[8] if packet[0] >> 4 == 4 else packet[7])
    return hops
