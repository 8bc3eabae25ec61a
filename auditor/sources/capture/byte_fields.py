"""Look up numbers at any offsets of a buffer, many at a time."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

Positions = NDArray[np.int64]
SPARE = 1024 * 1024  # room for what is appended
NEAR = 56  # bytes of a packet that hold link, IP and transport header of nearly all


class Heads:
    """The first bytes of many headers, copied side by side: cheaper than one look-up for each field."""

    def __init__(self, rows: NDArray[Any], order: str, begin: int = 0) -> None:
        self._rows = rows
        self._order = order
        self._begin = begin

    def column(self, kind: str, offset: int) -> NDArray[Any]:
        """Return the number of this kind ("u4", "u8", ...) at this offset of each header, without a copy."""
        size = self._rows.itemsize
        if not len(self._rows):
            return np.empty(0, self._order + kind)
        # Each number lies one whole row behind the one before, so it is a view of one field of all headers.
        return np.ndarray((len(self._rows),), self._order + kind, self._rows, self._begin + offset, (size,))

    def u8(self, offset: int) -> NDArray[np.uint8]:
        """Return the byte at this offset of each header."""
        return self.column("u1", offset).copy()

    def u16(self, offset: int) -> NDArray[np.uint16]:
        """Return the 16-bit number at this offset of each header."""
        return self.column("u2", offset).astype(np.uint16)

    def u32(self, offset: int) -> NDArray[np.uint32]:
        """Return the 32-bit number at this offset of each header."""
        return self.column("u4", offset).astype(np.uint32)

    def u64(self, offset: int) -> NDArray[np.uint64]:
        """Return the 64-bit number at this offset of each header."""
        return self.column("u8", offset).astype(np.uint64)


class Words:
    """Numbers at any offsets of a buffer; `order` is "<" or ">", big-endian as networks have it.

    Their first bytes are copied side by side: looking for each header of each packet in a large buffer takes long, so
    it is done once for all headers.

    Args:
        packets: Where packets begin, row by row.
    """

    def __init__(self, data: NDArray[np.uint8], order: str = ">", packets: Positions | None = None) -> None:
        self.bytes = data
        self._order = order
        self._used = len(data)
        self._packets = np.empty(0, np.int64) if packets is None else packets
        self._near = self.view(f"V{NEAR}")[self._packets]

    def view(self, kind: str, offset: int = 0) -> NDArray[Any]:
        """Return the numbers of this kind ("u4", "u8", ...) that begin at each byte, so that they overlap."""
        # Each number begins one byte behind the one before: of the bytes 01 02 03 04 "u2" are 0x0102 0x0203 0x0304.
        size = int(kind[1:])
        return np.ndarray((len(self.bytes) - size - offset + 1,), self._order + kind, self.bytes, offset, (1,))

    def heads(self, at: Positions, size: int) -> Heads:
        """Return the `size` bytes that begin at each offset."""
        return Heads(self.view(f"V{size}")[at], self._order)

    def packet_heads(self, row: Positions, at: Positions, size: int) -> Heads:
        """Return the `size` bytes that begin at each offset, in the packets of these rows."""
        packets, near = self._packets, self._near
        if not len(packets):
            return self.heads(at, size)
        if len(row) != len(packets):
            packets, near = packets[row], near[row]
        offsets = at - packets
        offset = int(offsets[0]) if len(offsets) else 0
        # Nearly always all IP headers begin 14 bytes behind the packets: then the copied first bytes hold them already.
        if 0 <= offset <= NEAR - size and (offsets == offset).all():
            return Heads(near, self._order, offset)
        return self.heads(at, size)

    def u8(self, at: Positions) -> NDArray[np.uint8]:
        """Return the byte at each offset."""
        return self.bytes[at]

    def u16(self, at: Positions) -> NDArray[np.uint16]:
        """Return the 16-bit number at each offset."""
        return self.view("u2")[at].astype(np.uint16)

    def u32(self, at: Positions) -> NDArray[np.uint32]:
        """Return the 32-bit number at each offset."""
        return self.view("u4")[at].astype(np.uint32)

    def u64(self, at: Positions) -> NDArray[np.uint64]:
        """Return the 64-bit number at each offset."""
        return self.view("u8")[at].astype(np.uint64)

    def append(self, extra: bytes) -> int:
        """Put bytes behind the buffer, which becomes a copy, and return where."""
        at = self._used
        if at + len(extra) + 64 > len(self.bytes):
            self.bytes = np.concatenate([self.bytes, np.zeros(SPARE, np.uint8)])
        self.bytes[at : at + len(extra)] = np.frombuffer(extra, np.uint8)
        self._used = at + len(extra)
        return at
