"""Put the beginnings of fragmented IP packets back together: ports are only in the first piece."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import NamedTuple

MOST_PENDING = 4096
HEAD = 256  # bytes of a packet that the transport headers can need

Key = tuple[int, int, int, int]


class Whole(NamedTuple):
    """A packet of which all pieces were seen: its first bytes and its length."""

    head: bytes
    length: int


@dataclass
class _Pieces:
    lengths: dict[int, int] = field(default_factory=dict)
    heads: dict[int, bytes] = field(default_factory=dict)
    total: int | None = None
    seen: int = 0  # bytes of all pieces: sorting them is worth it only when there are enough


class Fragments:
    """The packets of which only some pieces were seen so far; the oldest are given up beyond MOST_PENDING."""

    def __init__(self) -> None:
        self._pending: dict[Key, _Pieces] = {}

    def add(self, key: Key, offset: int, length: int, more: bool, head: bytes) -> Whole | None:
        """Add one piece; return the packet when this piece makes it whole."""
        pieces = self._pending.setdefault(key, _Pieces())
        known = pieces.lengths.get(offset, 0)
        pieces.lengths[offset] = max(length, known)
        pieces.seen += pieces.lengths[offset] - known
        if offset < HEAD:
            pieces.heads[offset] = head[: HEAD - offset]
        if not more:
            pieces.total = offset + length
        if pieces.total is None or pieces.seen < pieces.total or not _covered(pieces.lengths, pieces.total):
            if len(self._pending) > MOST_PENDING:
                del self._pending[next(iter(self._pending))]
            return None
        del self._pending[key]
        return Whole(_assembled(pieces.heads), pieces.total)


def _covered(lengths: dict[int, int], total: int) -> bool:
    reached = 0
    for offset in sorted(lengths):
        if offset > reached:
            return False
        reached = max(reached, offset + lengths[offset])
    return reached >= total


def _assembled(heads: dict[int, bytes]) -> bytes:
    result = bytearray(HEAD)
    end = 0
    for offset, head in sorted(heads.items()):
        result[offset : offset + len(head)] = head
        end = max(end, offset + len(head))
    return bytes(result[:end])
