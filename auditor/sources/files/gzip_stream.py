"""Unpack gzip data piece by piece, within bounds: a small file can unpack to any size, or to nothing for ever.

Reference: RFC 1952.
"""

from __future__ import annotations

import io
import zlib

from auditor.ruleset.statements import say

GZIP_MAGIC = b"\x1f\x8b"
GZIP_FORMAT = 31  # what zlib calls a gzip member with header and checksum
PACKED_PIECE = 64 * 1024
MOST_TINY_MEMBERS = (
    100_000  # each costs as much as thousands of bytes; beyond this they must hold TINY bytes on average
)
TINY = 512
FREE = 64 * 1024 * 1024  # below this any ratio is fine
MOST_RATIO = 200
MOST_BYTES = 64 * 1024**3


class EndlessError(Exception):
    """The data grows, or goes on, without end."""


class Unpacked:
    """The bytes behind gzip data of one or many members, as an unbroken stream; taken: packed bytes so far."""

    def __init__(self, raw: io.BufferedIOBase) -> None:
        self._raw = raw
        self._member = zlib.decompressobj(GZIP_FORMAT)
        self._packed = b""
        self._began = False
        self._members = 0
        self.taken = self._given = 0  # bytes packed, bytes unpacked

    def read(self, most: int) -> bytes:
        """Return up to `most` bytes, at least one before the end.

        Raises:
            EOFError: Where the data is cut.
            zlib.error: Where it is broken.
            EndlessError: Where it leads to no end.
        """
        piece = b""
        while not piece and (self._packed or self._more()):
            self._check()
            piece = self._member.decompress(self._packed, most)
            self._packed = self._member.unconsumed_tail
            self._given += len(piece)
            self._began = True
            if self._member.eof:
                self._end_member()
        return piece

    def _end_member(self) -> None:
        """Go on to what follows a member; zeros between members, and behind the last one, mean nothing."""
        self._packed = self._member.unused_data.lstrip(b"\0")
        self._member = zlib.decompressobj(GZIP_FORMAT)
        self._members += 1
        self._began = False

    def _more(self) -> bool:
        """Read on; False where the file ends as it should, behind a member."""
        while piece := self._raw.read(PACKED_PIECE):
            self.taken += len(piece)
            self._packed = piece if self._began or not self._members else piece.lstrip(b"\0")
            if self._packed:
                return True
        if self._began:
            raise EOFError("the file ends before the packed data does")
        return False

    def _check(self) -> None:
        if self._given > min(max(FREE, MOST_RATIO * self.taken), MOST_BYTES):
            raise EndlessError(say("warning.grows-without-end", bytes=self._given))
        if self._members > MOST_TINY_MEMBERS and self._given < TINY * self._members:
            raise EndlessError(say("warning.tiny-pieces", bytes=self._given))
