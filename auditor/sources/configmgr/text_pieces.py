"""Text of logs and tables of Windows computers, piece by piece, in whichever encoding it was written."""

from __future__ import annotations

import codecs
from collections.abc import Iterable, Iterator
from itertools import chain
from typing import Protocol

PIECE = 1024 * 1024  # bytes that are read at once
UTF_8 = "utf-8"  # and whatever is not UTF-16
HEAD = 64 * 1024  # bytes by which an encoding, and a file, is recognized


class Readable(Protocol):
    """What bytes are read from."""

    def read(self, size: int, /) -> bytes:
        """Return up to `size` bytes, none at the end."""


def encoding_of(head: bytes) -> str:
    """Return the encoding of bytes from the beginning of a file."""
    for mark, name in (
        (codecs.BOM_UTF8, UTF_8),
        (codecs.BOM_UTF16_LE, "utf-16-le"),
        (codecs.BOM_UTF16_BE, "utf-16-be"),
    ):
        if head.startswith(mark):
            return name
    # Without a mark, the zeros of Latin letters show UTF-16; zeros that pad a file come in pairs.
    sample = head[: len(head) // 2 * 2]
    low, high = sample[0::2].count(0), sample[1::2].count(0)
    if max(low, high) * 2 > len(sample) // 2 and abs(low - high) * 4 > max(low, high):
        return "utf-16-le" if high > low else "utf-16-be"
    return UTF_8


def without_marks(text: str) -> str:
    """Remove what pads a file and marks its encoding, also where files were joined."""
    return text.replace("\0", "").replace("\ufeff", "")


def _pieces(raw: Readable) -> Iterator[bytes]:
    """Yield pieces of the same size, also from a pipe, which returns less than it is asked for."""
    while True:
        parts, size = [], 0
        while size < PIECE and (part := raw.read(PIECE - size)):
            parts.append(part)
            size += len(part)
        if not parts:
            return
        yield b"".join(parts)


def decoded(raw: Readable) -> tuple[str, Iterator[str]]:
    """Read text of any encoding.

    Lines that are not UTF-8 are read as cp1252, which older components write.

    Args:
        raw: The file from its beginning, not compressed.

    Returns:
        The encoding, and the text piece by piece, with marks and line ends as they are.
    """
    encoding, pieces = encoded(raw)
    return encoding, _decoded_lines(pieces) if encoding == UTF_8 else decoded_utf_16(pieces, encoding)


def encoded(raw: Readable) -> tuple[str, Iterator[bytes]]:
    """Return the encoding of a file, and its bytes piece by piece.

    Args:
        raw: The file from its beginning, not compressed.
    """
    pieces = _pieces(raw)
    first = next(pieces, b"")
    return encoding_of(first[:HEAD]), chain((first,), pieces)


def decoded_utf_16(pieces: Iterable[bytes], encoding: str) -> Iterator[str]:
    """Yield the text of each piece; a character that is cut off by its end is in the next one.

    Args:
        pieces: All bytes of a file.
        encoding: That of UTF-16.
    """
    decoder = codecs.getincrementaldecoder(encoding)("replace")
    for piece in pieces:
        yield decoder.decode(piece)
    yield decoder.decode(b"", True)


def _decoded_lines(pieces: Iterable[bytes]) -> Iterator[str]:
    left = b""
    for piece in pieces:
        left += piece
        end = max(left.rfind(b"\n"), left.rfind(b"\r")) + 1
        if len(left) - end >= PIECE:
            end = _whole_characters(left)
        yield _utf8_or_western(left[:end])
        left = left[end:]
    yield _utf8_or_western(left)


def _whole_characters(piece: bytes) -> int:
    """Return the end of the last whole character: at most three bytes of UTF-8 follow the first of a character."""
    for back in range(1, min(4, len(piece)) + 1):
        if piece[-back] >= 0xC0:
            return len(piece) - back
        if piece[-back] < 0x80:
            break
    return len(piece)


def _utf8_or_western(piece: bytes) -> str:
    try:
        return piece.decode()
    except UnicodeDecodeError:
        return "".join(map(as_text, piece.splitlines(keepends=True)))


def as_text(line: bytes) -> str:
    """Return a line, or a part of it, as text: UTF-8, or the code page of older versions."""
    try:
        return line.decode()
    except UnicodeDecodeError:
        return line.decode("cp1252", "replace")
