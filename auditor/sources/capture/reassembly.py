"""Put the beginnings of fragmented IP packets back together: ports are only in the first piece."""

from __future__ import annotations

from dataclasses import dataclass, field
from heapq import heappop, heappush
from typing import NamedTuple

MOST_PENDING = 4096  # packets
MOST_PIECES = 65_536  # of all of them
HEAD = 256  # bytes of a packet that the transport headers can need

Key = tuple[int, int, int, int]


class ReassembledPacket(NamedTuple):
    """A packet of which all pieces were seen: its first bytes and its length."""

    head: bytes
    length: int


@dataclass
class _PendingPacket:
    """The pieces of one packet: those that follow a gap wait in a heap, so that each piece is looked at once."""

    count: int = 0
    reached: int = 0  # bytes from the beginning without a gap
    behind: list[tuple[int, int]] = field(default_factory=list)  # where each piece behind the gap begins and ends
    heads: dict[int, bytes] = field(default_factory=dict)
    total: int | None = None

    def add(self, begin: int, end: int) -> None:
        self.count += 1
        heappush(self.behind, (begin, end))
        while self.behind and self.behind[0][0] <= self.reached:
            self.reached = max(self.reached, heappop(self.behind)[1])


class Fragments:
    """The packets of which only some pieces were seen so far; the oldest are given up beyond the limits."""

    def __init__(self) -> None:
        self._pending: dict[Key, _PendingPacket] = {}
        self._given_up = 0
        self._waiting = 0

    @property
    def lost(self) -> int:
        """Pieces so far of packets that were never seen whole."""
        return self._given_up + self._waiting

    def add(self, key: Key, offset: int, length: int, more: bool, head: bytes) -> ReassembledPacket | None:
        """Add one piece; return the packet when this piece makes it whole."""
        pieces = self._pending.setdefault(key, _PendingPacket())
        pieces.add(offset, offset + length)
        self._waiting += 1
        if offset < HEAD:
            pieces.heads[offset] = head[: HEAD - offset]
        if not more:
            pieces.total = offset + length
        if pieces.total is None or pieces.reached < pieces.total:
            self._limit()
            return None
        self._waiting -= self._pending.pop(key).count
        return ReassembledPacket(_assembled(pieces.heads), pieces.total)

    def _limit(self) -> None:
        """Give up the oldest packets when there are too many."""
        while len(self._pending) > MOST_PENDING or self._waiting > MOST_PIECES:
            count = self._pending.pop(next(iter(self._pending))).count
            self._waiting -= count
            self._given_up += count


def _assembled(heads: dict[int, bytes]) -> bytes:
    result = bytearray(HEAD)
    end = 0
    for offset, head in sorted(heads.items()):
        result[offset : offset + len(head)] = head
        end = max(end, offset + len(head))
    return bytes(result[:end])
