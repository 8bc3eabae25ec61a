"""Read packet records out of capture files: pcap and pcapng, plain or gzipped, whole or cut.

References: draft-ietf-opsawg-pcap, draft-ietf-opsawg-pcapng; link types at https://www.tcpdump.org/linktypes.html.
"""

from __future__ import annotations

import gzip
import io
import os
import struct
import zlib
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from auditor.sources import chain
from auditor.sources.warnings import SourceWarning

WINDOW = 32 * 1024 * 1024
PADDING = 4096  # zeros behind the window, so that reading the headers of a short last packet stays inside
MAX_PACKET = 256 * 1024
MAX_BLOCK = 16 * 1024 * 1024
GZIP_PIECE = 1024 * 1024
GZIP_FREE = 64 * 1024 * 1024  # below this any ratio is fine
GZIP_RATIO = 200
GZIP_MOST = 64 * 1024**3

NO_LINK_TYPE = 0xFFFF  # a frame that Wireshark counts but that holds no packet, such as a journal entry

PCAP_MAGICS = {
    b"\xd4\xc3\xb2\xa1": ("<", 1_000),
    b"\xa1\xb2\xc3\xd4": (">", 1_000),
    b"\x4d\x3c\xb2\xa1": ("<", 1),
    b"\xa1\xb2\x3c\x4d": (">", 1),
}
PCAPNG_MAGIC = b"\x0a\x0d\x0d\x0a"
GZIP_MAGIC = b"\x1f\x8b"

SECTION, INTERFACE, OLD_PACKET, SIMPLE_PACKET, ENHANCED_PACKET, JOURNAL = 0x0A0D0D0A, 1, 2, 3, 6, 9
SYSDIG_EVENTS = (0x204, 0x208, 0x216, 0x217, 0x221, 0x222, 0x223)
BYTE_ORDER = 0x1A2B3C4D


@dataclass(frozen=True)
class Records:
    """A batch of packet records in file order: arrays of one length, over one buffer.

    data: bytes of the batch, followed by PADDING zeros; start: offset of each packet's first byte in data;
    captured: bytes of it that are in the file; original: bytes of it on the wire; time_ns: nanoseconds since 1970, UTC;
    link_type: LINKTYPE_ value; frame: number as Wireshark counts, from 1.
    """

    data: NDArray[np.uint8]
    start: NDArray[np.int64]
    captured: NDArray[np.int64]
    original: NDArray[np.int64]
    time_ns: NDArray[np.int64]
    link_type: NDArray[np.uint16]
    frame: NDArray[np.int64]


@dataclass(frozen=True)
class Interface:
    """One interface of a pcapng section: link type, snap length, and how to turn its time stamps into nanoseconds."""

    link_type: int
    snap_length: int
    multiplier: int
    divisor: int
    offset_ns: int


class CaptureReader:
    """Iterate over the records of one capture; afterwards tell how many were read and what was wrong.

    format: "pcap" or "pcapng"; gzipped: whether it was packed; records: frames read; skipped: frames that could not
    be; warnings: what the administrator must know about this file.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self.gzipped = False
        self.format = ""
        self.records = 0
        self.skipped = 0
        self.warnings: list[SourceWarning] = []
        self._interfaces: list[Interface] = []
        self._order = "<"
        self._buffer = bytearray()
        self._last_time = 0
        self._untimed = 0

    def __iter__(self) -> Iterator[Records]:
        with self.path.open("rb") as raw:
            stream = _Window(raw, self.warnings)
            self.gzipped = stream.gzipped
            magic = bytes(stream.data[:4])
            batches = self._pcapng(stream) if magic == PCAPNG_MAGIC else self._pcap(stream)
            self.format = "pcapng" if magic == PCAPNG_MAGIC else "pcap"
            for batch in batches:
                self.records += len(batch.start)
                if len(batch.start):
                    yield batch
        if self._untimed:
            text = f"{self._untimed:,} packets carry no time; the time of the packet before each is taken."
            self._warn("no-times", text)

    def _warn(self, code: str, text: str) -> None:
        self.warnings.append(SourceWarning(code, text))

    # pcap

    def _pcap(self, stream: _Window) -> Iterator[Records]:
        order, unit = PCAP_MAGICS[bytes(stream.data[:4])]
        if stream.end < 24:
            self._warn("cut-short", "The file ends inside its header, before the first packet.")
            return
        network = struct.unpack_from(order + "I", stream.data, 20)[0]
        if network & 0x03FF0000:
            self._warn("odd-header", "The reserved bits of the link type are not zero; they were ignored.")
        stream.begin = 24
        layout = _pcap_layout(stream, order)
        while True:
            found = chain.walk(layout, stream.bytes, stream.begin, stream.end)
            if len(found.starts):
                yield self._pcap_batch(stream, found.starts, order, unit, network & 0xFFFF)
            stream.begin = found.end
            if found.broken:
                return self._damaged(stream)
            if not stream.fill():
                return self._cut(stream, 16)

    def _pcap_batch(
        self, stream: _Window, at: chain.Positions, order: str, unit: int, link_type: int
    ) -> Records:
        words = _words(stream, order)
        time = words[at].astype(np.int64) * 1_000_000_000 + words[at + 4].astype(np.int64) * unit
        return Records(
            data=stream.bytes,
            start=at + 16,
            captured=words[at + 8].astype(np.int64),
            original=words[at + 12].astype(np.int64),
            time_ns=time,
            link_type=np.full(len(at), link_type, np.uint16),
            frame=np.arange(self.records + 1, self.records + 1 + len(at)),
        )

    # pcapng

    def _pcapng(self, stream: _Window) -> Iterator[Records]:
        while True:
            if stream.end - stream.begin >= 12 and not self._enter_section(stream):
                return
            layout = _pcapng_layout(stream, self._order)
            found = chain.walk(layout, stream.bytes, stream.begin, stream.end)
            types = _words(stream, self._order)[found.starts]
            turn = self._section_of_other_order(stream, found.starts, types)
            yield from self._pcapng_batches(stream, found.starts[:turn], types[:turn])
            if turn < len(found.starts):
                stream.begin = int(found.starts[turn])
                continue
            stream.begin = found.end
            if found.broken:
                return self._damaged(stream)
            if not stream.fill():
                return self._cut(stream, 12)

    def _enter_section(self, stream: _Window) -> bool:
        """Take the byte order of the section that begins here, if one does; False when it cannot be read."""
        if bytes(stream.data[stream.begin : stream.begin + 4]) != PCAPNG_MAGIC:
            return True
        at = stream.begin
        for order in "<>":
            if struct.unpack_from(order + "I", stream.data, at + 8)[0] == BYTE_ORDER:
                self._order = order
                major = struct.unpack_from(order + "H", stream.data, at + 12)[0]
                if major == 1:
                    return True
                self._warn("damaged", f"pcapng version {major} after {self.records:,} packets; only 1 is known.")
                self.skipped += 1
                return False
        self._damaged(stream)
        return False

    def _section_of_other_order(
        self, stream: _Window, starts: chain.Positions, types: NDArray[np.uint32]
    ) -> int:
        """Return the index of the first section header, past the first block, that has to be entered anew."""
        order = _words(stream, self._order)
        for index in np.flatnonzero(types == SECTION):
            if index and (order[starts[index] + 8] != BYTE_ORDER or _version(stream, starts[index], self._order) != 1):
                return int(index)
        return len(starts)

    def _pcapng_batches(
        self, stream: _Window, starts: chain.Positions, types: NDArray[np.uint32]
    ) -> Iterator[Records]:
        """Yield the packets between section and interface blocks, which change how packets are to be read."""
        previous = 0
        turns = np.flatnonzero((types == SECTION) | (types == INTERFACE))
        for turn in [*turns.tolist(), len(starts)]:
            yield from self._packets(stream, starts[previous:turn], types[previous:turn])
            if turn < len(starts):
                self._enter_block(stream, int(starts[turn]), int(types[turn]))
            previous = turn + 1

    def _enter_block(self, stream: _Window, at: int, kind: int) -> None:
        if kind == SECTION:
            self._interfaces = []
        else:
            size = struct.unpack_from(self._order + "I", stream.data, at + 4)[0]
            self._interfaces.append(_interface(bytes(stream.data[at : at + size]), self._order))

    def _packets(
        self, stream: _Window, at: chain.Positions, types: NDArray[np.uint32]
    ) -> Iterator[Records]:
        frames = np.isin(types, (ENHANCED_PACKET, SIMPLE_PACKET, OLD_PACKET, JOURNAL, *SYSDIG_EVENTS))
        at, types = at[frames], types[frames]
        if not len(at):
            return
        words = _words(stream, self._order)
        simple = types == SIMPLE_PACKET
        number = words[at + 8].astype(np.int64)
        old = types == OLD_PACKET
        if old.any():
            number[old] = _halves(stream, self._order)[at[old] + 8]
        number[simple] = 0
        known = (number < len(self._interfaces)) & np.isin(types, (ENHANCED_PACKET, SIMPLE_PACKET, OLD_PACKET))
        number[~known] = 0
        interface = _interface_arrays(self._interfaces or [Interface(NO_LINK_TYPE, 0, 1, 1, 0)])
        room = words[at + 4].astype(np.int64) - np.where(simple, 16, 32)
        captured = words[at + 20].astype(np.int64)
        original = words[np.where(simple, at + 8, at + 24)].astype(np.int64)
        snap = interface["snap_length"][number]
        captured[simple] = np.minimum(original, np.where(snap > 0, np.minimum(snap, room), room))[simple]
        whole = ~known | ((captured <= room) & (captured <= MAX_PACKET))
        time = self._times(words, at, number, interface, simple | ~known)
        numbers = np.arange(self.records + self.skipped + 1, self.records + self.skipped + 1 + len(at))
        self._tell_unusable(known, whole, types)
        yield Records(
            data=stream.bytes,
            start=(at + np.where(simple, 12, 28))[whole],
            captured=np.where(known, captured, 0)[whole],
            original=np.where(known, original, 0)[whole],
            time_ns=time[whole],
            link_type=np.where(known, interface["link_type"][number], NO_LINK_TYPE)[whole].astype(np.uint16),
            frame=numbers[whole],
        )
        self.skipped += int((~whole).sum())

    def _tell_unusable(
        self, known: NDArray[np.bool_], whole: NDArray[np.bool_], types: NDArray[np.uint32]
    ) -> None:
        orphans = int((~known & np.isin(types, (ENHANCED_PACKET, SIMPLE_PACKET, OLD_PACKET))).sum())
        if orphans:
            self._warn("unknown-interface", f"{orphans:,} packets name an interface that the file does not describe.")
        if not whole.all():
            self._warn("damaged", f"{int((~whole).sum()):,} packets claim more bytes than their block holds: skipped.")

    def _times(
        self,
        words: NDArray[np.uint32],
        at: chain.Positions,
        number: NDArray[np.int64],
        interface: dict[str, NDArray[np.int64]],
        untimed: NDArray[np.bool_],
    ) -> NDArray[np.int64]:
        ticks = (words[at + 12].astype(np.uint64) << np.uint64(32)) | words[at + 16].astype(np.uint64)
        multiplier, divisor = interface["multiplier"][number], interface["divisor"][number]
        seconds, rest = np.divmod(ticks, divisor.astype(np.uint64))
        time = seconds.astype(np.int64) * multiplier + (
            rest.astype(np.float64) * (multiplier / divisor)
        ).astype(np.int64)
        time += interface["offset_ns"][number]
        if untimed.any():
            self._untimed += int(untimed.sum())
            last = np.maximum.accumulate(np.where(untimed, -1, np.arange(len(at))))
            time = np.where(last >= 0, time[last], self._last_time)
        self._last_time = int(time[-1])
        return time

    # ends

    def _damaged(self, stream: _Window) -> None:
        self.skipped += 1
        at = stream.passed + stream.begin
        text = f"Damaged after packet {self.records:,} (byte {at:,}): the next record cannot be read, and nothing behind it."
        self._warn("damaged", text)

    def _cut(self, stream: _Window, head: int) -> None:
        left = stream.end - stream.begin
        if left <= 0:
            return
        self.skipped += 1
        text = f"Cut in mid-packet: the last {left:,} bytes, after packet {self.records:,}, are no whole record."
        self._warn("cut-short", text)


class _Window:
    """A stretch of the file in memory: data[begin:end] is unread, `passed` bytes lie before data[0].

    The file is read, not mapped: a mapped file that shrinks (a live capture, a network share) ends the process.
    """

    def __init__(self, raw: io.BufferedReader, warnings: list[SourceWarning]) -> None:
        self.gzipped = raw.peek(2)[:2] == GZIP_MAGIC
        self._raw = raw
        self._packed = gzip.GzipFile(fileobj=raw) if self.gzipped else None
        self._warnings = warnings
        size = WINDOW if self.gzipped else min(WINDOW, os.fstat(raw.fileno()).st_size + 1)
        self._size = size
        self.data = bytearray(size + PADDING)
        self.bytes = np.frombuffer(self.data, np.uint8)
        self.begin = self.end = self.passed = 0
        self.fill()

    def fill(self) -> bool:
        """Move what is unread to the front and read on; False when there is no more."""
        kept = self.data[self.begin : self.end]
        self.passed += self.begin
        self.data[: len(kept)] = kept
        self.begin, self.end = 0, len(kept)
        got = self._read(memoryview(self.data)[self.end : self._size])
        self.end += got
        self.data[self.end : self.end + PADDING] = bytes(min(PADDING, len(self.data) - self.end))
        return got > 0

    def _read(self, room: memoryview) -> int:
        return self._raw.readinto(room) if self._packed is None else self._unpack(self._packed, room)

    def _unpack(self, packed: gzip.GzipFile, room: memoryview) -> int:
        got = 0
        while got < len(room):
            try:
                piece = packed.read1(min(GZIP_PIECE, len(room) - got))
            except (EOFError, gzip.BadGzipFile, zlib.error) as error:
                return self._stop(got, "cut-short", f"The gzip data ends or breaks early ({error}).")
            if not piece:
                break
            room[got : got + len(piece)] = piece
            got += len(piece)
            total = self.passed + self.end + got
            if total > GZIP_FREE and (total > GZIP_RATIO * self._raw.tell() or total > GZIP_MOST):
                return self._stop(got, "expands-too-much", f"Unpacking was stopped at {total:,} bytes: it grows without end.")
        return got

    def _stop(self, got: int, code: str, text: str) -> int:
        self._warnings.append(SourceWarning(code, text))
        self._packed = None
        self._raw = io.BufferedReader(io.BytesIO())  # type: ignore[arg-type]  # BytesIO is raw enough to be empty
        return got


def _words(stream: _Window, order: str) -> NDArray[np.uint32]:
    """Return the 32-bit word at each byte of the window (overlapping, so that any offset can be looked up)."""
    return np.ndarray((len(stream.data) - 3,), order + "u4", buffer=stream.data, strides=(1,))


def _halves(stream: _Window, order: str) -> NDArray[np.uint16]:
    """Return the 16-bit word at each byte of the window."""
    return np.ndarray((len(stream.data) - 1,), order + "u2", buffer=stream.data, strides=(1,))


def _pcap_layout(stream: _Window, order: str) -> chain.Format:
    words = _words(stream, order)
    unpack = struct.Struct(order + "I").unpack_from
    data = stream.data
    high_byte = 3 if order == "<" else 0
    first_high = data[24 + high_byte]

    def size(at: int) -> int:
        captured = int(unpack(data, at + 8)[0])
        return captured + 16 if captured <= MAX_PACKET else -1

    def sizes(at: chain.Positions) -> chain.Positions:
        captured = words[at + 8].astype(np.int64)
        return np.where(captured <= MAX_PACKET, captured + 16, -1)

    def plausible(at: chain.Positions) -> NDArray[np.bool_]:
        captured, original = words[at + 8], words[at + 12]
        result = (stream.bytes[at + high_byte] == first_high) & (captured <= original) & (original <= 65_600)
        return np.asarray(result & (words[at + 4] < 1_000_000_000))

    return chain.Format(16, size, sizes, plausible, (high_byte, first_high))


def _pcapng_layout(stream: _Window, order: str) -> chain.Format:
    words = _words(stream, order)
    unpack = struct.Struct(order + "I").unpack_from
    data = stream.data
    swapped = _words(stream, ">" if order == "<" else "<")

    def size(at: int) -> int:
        kind = unpack(data, at)[0]
        length = int(unpack(data, at + 4)[0])
        if kind == SECTION and unpack(data, at + 8)[0] != BYTE_ORDER:
            length = int(swapped[at + 4])
        return length if 12 <= length <= MAX_BLOCK and length % 4 == 0 else -1

    def sizes(at: chain.Positions) -> chain.Positions:
        length = words[at + 4].astype(np.int64)
        other = (words[at] == SECTION) & (words[at + 8] != BYTE_ORDER)
        if other.any():
            length[other] = swapped[at[other] + 4]
        return np.where((length >= 12) & (length <= MAX_BLOCK) & (length % 4 == 0), length, -1)

    def plausible(at: chain.Positions) -> NDArray[np.bool_]:
        length = np.clip(sizes(at), 12, MAX_PACKET)
        trailer = np.minimum(at + length - 4, len(words) - 1)
        return np.asarray((words[at] == ENHANCED_PACKET) & (words[trailer] == length))

    return chain.Format(12, size, sizes, plausible, (0 if order == "<" else 3, ENHANCED_PACKET))


def _version(stream: _Window, at: int, order: str) -> int:
    return int(struct.unpack_from(order + "H", stream.data, at + 12)[0])


def _interface(block: bytes, order: str) -> Interface:
    """Read an interface description block; what its options do not say is as the format's default."""
    if len(block) < 20:
        return Interface(NO_LINK_TYPE, 0, 1_000_000_000, 1_000_000, 0)
    link_type, _, snap_length = struct.unpack_from(order + "HHI", block, 8)
    divisor, offset = 1_000_000, 0
    at = 16
    while at + 4 <= len(block) - 4:
        code, length = struct.unpack_from(order + "HH", block, at)
        value = block[at + 4 : at + 4 + length]
        if code == 0:
            break
        if code == 9 and len(value) == 1:
            divisor = 2 ** min(value[0] & 0x7F, 62) if value[0] & 0x80 else 10 ** min(value[0], 18)
        if code == 14 and len(value) == 8:
            offset = int(struct.unpack(order + "q", value)[0])
        at += 4 + (length + 3) // 4 * 4
    limit = 9_000_000_000
    return Interface(link_type, snap_length, 1_000_000_000, divisor, max(-limit, min(limit, offset)) * 1_000_000_000)


def _interface_arrays(interfaces: list[Interface]) -> dict[str, NDArray[np.int64]]:
    names = ("link_type", "snap_length", "multiplier", "divisor", "offset_ns")
    return {name: np.array([getattr(one, name) for one in interfaces], np.int64) for name in names}


Buffer = Any
