"""Read pcapng, the newer container: blocks of many kinds, in sections that each have interfaces and a byte order.

Reference: draft-ietf-opsawg-pcapng.
"""

from __future__ import annotations

import struct
from collections.abc import Iterator
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from auditor.sources.capture import record_scan as chain
from auditor.sources.capture.byte_fields import Heads, Words
from auditor.sources.capture.records import MAX_PACKET, NO_LINK_TYPE, Account, Records
from auditor.sources.files.warnings import warning
from auditor.sources.files.window import Window

PCAPNG_MAGIC = b"\x0a\x0d\x0d\x0a"
BYTE_ORDER = 0x1A2B3C4D
SECTION, INTERFACE, OLD_PACKET, SIMPLE_PACKET, ENHANCED_PACKET, JOURNAL = 0x0A0D0D0A, 1, 2, 3, 6, 9
CUSTOM = (0x0BAD, 0x40000BAD)
SYSDIG_EVENTS = (0x204, 0x208, 0x216, 0x217, 0x221, 0x222, 0x223)
PACKET_KINDS = (ENHANCED_PACKET, SIMPLE_PACKET, OLD_PACKET)
FRAME_KINDS = (*PACKET_KINDS, JOURNAL, *CUSTOM, *SYSDIG_EVENTS)  # what Wireshark gives a frame number

SMALLEST_BLOCK = 12  # type, length, and the length again behind what is between
SECTION_HEAD = 16  # of it, as far as byte order and version
SECTION_KNOWN = (BYTE_ORDER, 1)
PACKET_HEAD = 28
MAX_BLOCK = 16 * 1024 * 1024
MOST_INTERFACES = 65_536
MOST_TURNS = 1_000  # changes of byte order in one file
STRETCH = 256 * 1024  # how far is looked ahead behind such a change; doubled as long as none follows

TIME_RESOLUTION, TIME_OFFSET = 9, 14  # options of an interface
MOST_SECONDS = 9_000_000_000  # since 1970, or before: in nanoseconds they still fit into 64 bits

I64 = NDArray[np.int64]
Bools = NDArray[np.bool_]


class Interface(NamedTuple):
    """One interface: link type, snap length, and what its time stamps count: parts of a second, since when."""

    link_type: int = NO_LINK_TYPE
    snap_length: int = 0
    ticks_a_second: int = 1_000_000
    offset_seconds: int = 0


class Pcapng:
    """The records of one pcapng file."""

    def __init__(self, window: Window, account: Account) -> None:
        self._window = window
        self._account = account
        self._order = "<"
        self._turns = 0
        self._stretch = len(window.data)
        self._interfaces: list[Interface] = []  # of the section that is being read
        self._last_time: int | None = None
        self._numbered = 0  # interfaces that this section describes, also those beyond MOST_INTERFACES
        self._untimed = self._mistimed = self._orphans = self._broken = 0

    def batches(self) -> Iterator[Records]:
        """Yield the records, one window full or the rest of a byte order at a time."""
        window = self._window
        while self._enter_section():
            until = min(window.begin + self._stretch, window.end)
            walk = self._whole(chain.walk(layout(window, self._order), window.data, window.begin, until))
            if len(walk.starts):
                yield self._batch(walk.starts)
            window.begin = walk.end
            if walk.broken and not self._at_other_section():
                self._account.damaged(window)
                break
            if not walk.broken and not self._further(until):
                self._account.ended(window)
                break
        self._tell()

    def _further(self, until: int) -> bool:
        """Look further ahead: in the window as far as it goes, then in the next one."""
        self._stretch = min(2 * self._stretch, len(self._window.data))
        return until < self._window.end or self._window.fill()

    # sections

    def _at_section(self) -> bool:
        begin = self._window.begin
        return self._window.data[begin : begin + 4] == PCAPNG_MAGIC

    def _at_other_section(self) -> bool:
        """Tell whether a section begins here that is not of the byte order and version so far."""
        head = struct.unpack_from(self._order + "IH", self._window.data, self._window.begin + 8)
        return self._at_section() and head != SECTION_KNOWN

    def _enter_section(self) -> bool:
        """Take on the byte order of the section that begins here, if one does; False when it cannot be read."""
        window = self._window
        if not self._at_section():
            return True
        while window.end - window.begin < SECTION_HEAD:
            if not window.fill():
                self._account.ended(window)
                return False
        order = self._section_order()
        if order is None or self._turns > MOST_TURNS:
            self._account.damaged(window)
            return False
        version: int = struct.unpack_from(order + "H", window.data, window.begin + 12)[0]
        if version != 1:
            fault = warning("damaged", "pcapng-version", version=version, packets=self._account.records)
            self._account.warnings.append(fault)
            self._account.skipped += 1
            return False
        if order != self._order:
            self._turns += 1
            self._stretch = STRETCH
        self._order = order
        return True

    def _section_order(self) -> str | None:
        for order in "<>":
            if struct.unpack_from(order + "I", self._window.data, self._window.begin + 8)[0] == BYTE_ORDER:
                return order
        return None

    def _whole(self, walk: chain.Walk) -> chain.Walk:
        """Stop before the first block whose length at its end is not that at its beginning: it swallows others."""
        words = Words(self._window.bytes, self._order)
        length = words.u32(walk.starts + 4)
        wrong = np.flatnonzero(words.u32(walk.starts + length - 4) != length)
        if not len(wrong):
            return walk
        return chain.Walk(walk.starts[: wrong[0]], int(walk.starts[wrong[0]]), True)

    # packets

    def _batch(self, at: chain.Positions) -> Records:
        kinds = Words(self._window.bytes, self._order).u32(at)
        base, described, interfaces = self._describe(at, kinds)
        frames = _among(kinds, FRAME_KINDS)
        if not frames.all():
            at, kinds, base, described = at[frames], kinds[frames], base[frames], described[frames]
        head = Words(self._window.bytes, self._order).heads(at, PACKET_HEAD)
        number = _interface_numbers(head, kinds)
        has_interface = (number < described) & _among(kinds, PACKET_KINDS)
        table = _Interfaces(interfaces, np.where(has_interface, base + number, 0))
        simple = kinds == SIMPLE_PACKET
        captured, original, room = _lengths(head, simple, table.column("snap_length"))
        whole = ~has_interface | ((captured <= room) & (captured <= MAX_PACKET))
        time = self._times(head, table, simple, has_interface)
        frame = np.arange(len(at)) + self._account.records + self._account.skipped + 1
        self._orphans += int(np.count_nonzero(~has_interface & _among(kinds, PACKET_KINDS)))
        broken = len(whole) - int(np.count_nonzero(whole))
        self._broken += broken
        self._account.skipped += broken
        selector = slice(None) if whole.all() else whole
        return Records(
            data=self._window.bytes,
            start=(at + np.where(simple, 12, PACKET_HEAD))[selector],
            captured=np.where(has_interface, captured, 0)[selector],
            original=np.where(has_interface, original, 0)[selector],
            time_ns=time[selector],
            link_type=np.where(has_interface, table.column("link_type"), NO_LINK_TYPE)[selector].astype(np.uint16),
            frame=frame[selector],
        )

    def _describe(self, at: chain.Positions, kinds: NDArray[np.uint32]) -> tuple[I64, I64, list[Interface]]:
        """Read the interfaces among these blocks, and keep those of the last section.

        Return, for each block, the index of its section's first interface and how many the section has up to here;
        and all interfaces that these point to.
        """
        sections, news = kinds == SECTION, kinds == INTERFACE
        number = np.cumsum(news) + self._numbered
        first_number = np.maximum.accumulate(np.where(sections, number, 0))
        number -= first_number  # how many the section has described up to here
        self._numbered = int(number[-1])
        news &= number <= MOST_INTERFACES
        previous_count = len(self._interfaces)
        interfaces = [*self._interfaces, *(self._interface(place) for place in at[news].tolist())]
        described = np.cumsum(news) + previous_count
        base = np.maximum.accumulate(np.where(sections, described, 0))
        self._interfaces = interfaces[int(base[-1]) :]
        return base, described - base, interfaces

    def _interface(self, at: int) -> Interface:
        size = struct.unpack_from(self._order + "I", self._window.data, at + 4)[0]
        return _interface(bytes(self._window.data[at : at + size]), self._order)

    def _times(self, head: Heads, table: _Interfaces, simple: Bools, has_interface: Bools) -> I64:
        """Return the time of each packet; those without one, or with one that cannot be, take that of the one before.

        For frames without an interface, the unit of their time is unknown.
        """
        ticks = (head.u32(12).astype(np.uint64) << np.uint64(32)) | head.column("u4", 16)
        a_second = table.column("ticks_a_second")
        seconds, remainder = np.divmod(ticks, a_second.astype(np.uint64))
        since = np.minimum(seconds, 3 * MOST_SECONDS).astype(np.int64) + table.column("offset_seconds")
        mistimed = (np.abs(since) > MOST_SECONDS) & has_interface & ~simple
        untimed = simple | ~has_interface | mistimed
        time = np.where(untimed, 0, since) * 1_000_000_000
        time += (remainder.astype(np.float64) * (1_000_000_000 / a_second)).astype(np.int64)
        if untimed.any():
            self._mistimed += int(np.count_nonzero(mistimed))
            self._untimed += int(np.count_nonzero(simple & has_interface))
            last = np.maximum.accumulate(np.where(untimed, -1, np.arange(len(time))))
            time = np.where(last >= 0, time[last], self._time_before(time[~untimed]))
        if not untimed.all():
            self._last_time = int(time[-1])
        return time

    def _time_before(self, following: I64) -> int:
        """Return the last time before this batch; where there is none, the first that follows."""
        if self._last_time is not None:
            return self._last_time
        return int(following[0]) if len(following) else 0

    def _tell(self) -> None:
        """Warn of packets that were read in part or not at all."""
        warnings = self._account.warnings
        if self._orphans:
            warnings.append(warning("unknown-interface", count=self._orphans))
        if self._broken:
            warnings.append(warning("damaged", "block-too-short", count=self._broken))
        if self._untimed:
            warnings.append(warning("no-times", count=self._untimed))
        if self._mistimed:
            warnings.append(warning("no-times", "odd-times", count=self._mistimed))


def layout(window: Window, order: str) -> chain.Format:
    """Return how to walk over what the window holds now, up to a section that has to be entered first."""
    data, words = window.data, Words(window.bytes, order)
    kind_and_length, section_head = struct.Struct(order + "II"), struct.Struct(order + "IH")

    def size(at: int) -> int:
        kind, length = kind_and_length.unpack_from(data, at)
        if kind == SECTION and section_head.unpack_from(data, at + 8) != SECTION_KNOWN:
            return chain.IMPOSSIBLE
        return int(length) if SMALLEST_BLOCK <= length <= MAX_BLOCK and length % 4 == 0 else chain.IMPOSSIBLE

    def sizes(at: chain.Positions) -> chain.Positions:
        head = words.heads(at, 8)
        length = head.u32(4).astype(np.int64)
        good = (length >= SMALLEST_BLOCK) & (length <= MAX_BLOCK) & (length & 3 == 0)
        section = head.column("u4", 0) == SECTION
        if section.any():
            good &= ~section | ((words.u32(at + 8) == BYTE_ORDER) & (words.u16(at + 12) == 1))
        return np.where(good, length, chain.IMPOSSIBLE)

    def plausible(at: chain.Positions) -> Bools:
        length = np.clip(words.u32(at + 4).astype(np.int64), SMALLEST_BLOCK, MAX_PACKET)
        trailer = np.minimum(at + length - 4, window.end)
        good: Bools = (words.u32(at) == ENHANCED_PACKET) & (words.u32(trailer) == length)
        return good

    return chain.Format(SMALLEST_BLOCK, size, sizes, plausible, (0, struct.pack(order + "I", ENHANCED_PACKET)))


class _Interfaces:
    """What the interface of each packet says; one value for all where there is but one interface."""

    def __init__(self, interfaces: list[Interface], index: I64) -> None:
        self._interfaces = interfaces or [Interface()]
        self._index = index if len(self._interfaces) > 1 else np.zeros(1, np.int64)

    def column(self, name: str) -> I64:
        """Return one property: an array as long as the packets are many, or of one element."""
        return np.array([getattr(interface, name) for interface in self._interfaces], np.int64)[self._index]


def _among(kinds: NDArray[np.uint32], wanted: tuple[int, ...]) -> Bools:
    mask: Bools = kinds == wanted[0]
    if not mask.all():
        for kind in wanted[1:]:
            mask |= kinds == kind
    return mask


def _interface_numbers(head: Heads, kinds: NDArray[np.uint32]) -> I64:
    number = head.u32(8).astype(np.int64)
    old, simple = kinds == OLD_PACKET, kinds == SIMPLE_PACKET
    if old.any():
        number[old] = head.column("u2", 8)[old]
    number[simple] = 0
    return number


def _lengths(head: Heads, simple: Bools, snap: I64) -> tuple[I64, I64, I64]:
    """Return bytes captured, bytes on the wire, and bytes that the block has room for."""
    captured, original = head.u32(20).astype(np.int64), head.u32(24).astype(np.int64)
    room = head.u32(4).astype(np.int64) - 4 - PACKET_HEAD
    if simple.any():
        room[simple] += PACKET_HEAD - 12
        original[simple] = head.column("u4", 8)[simple]
        most = np.where(snap > 0, np.minimum(snap, room), room)
        captured[simple] = np.minimum(original, most)[simple]
    return captured, original, room


def _interface(block: bytes, order: str) -> Interface:
    """Read an interface description block; what its options do not say is as the format's default."""
    if len(block) < 20:
        return Interface()
    link_type, _, snap_length = struct.unpack_from(order + "HHI", block, 8)
    interface = Interface(link_type, snap_length)
    at = 16
    while at + 4 <= len(block) - 4:
        code, length = struct.unpack_from(order + "HH", block, at)
        value = block[at + 4 : at + 4 + length]
        if code == 0:
            break
        if code == TIME_RESOLUTION and len(value) == 1:
            interface = interface._replace(ticks_a_second=_ticks_a_second(value[0]))
        if code == TIME_OFFSET and len(value) == 8:
            offset = int(struct.unpack(order + "q", value)[0])
            interface = interface._replace(offset_seconds=max(-MOST_SECONDS, min(MOST_SECONDS, offset)))
        at += 4 + (length + 3) // 4 * 4
    return interface


def _ticks_a_second(resolution: int) -> int:
    power = resolution & 0x7F
    return 1 << min(power, 62) if resolution & 0x80 else int(10 ** min(power, 18))
