"""Lines of a log as UTF-8, in constant memory, whichever encoding the file has."""

from __future__ import annotations

import codecs
from collections.abc import Iterator

from auditor.sources.configmgr.records import Readable

PIECE = 1024 * 1024  # bytes that are read at once
LONGEST_LINE = 64 * 1024  # bytes; of a longer line one byte more is kept, so that it stays recognizable
_BYTE_ORDER_MARKS = ((codecs.BOM_UTF16_LE, "utf-16-le"), (codecs.BOM_UTF16_BE, "utf-16-be"))


def byte_lines(raw: Readable) -> Iterator[bytes]:
    """Read the lines of a file.

    Args:
        raw: The file from its beginning, not compressed.

    Yields:
        Each line without its end. UTF-16 becomes UTF-8, any other encoding stays as it is. A line that is longer than
        LONGEST_LINE is cut behind the first byte that is too many.
    """
    left = b""
    for piece in _pieces(raw):
        lines = (left + piece).split(b"\n")
        left = lines.pop()
        yield from lines
        if len(left) > LONGEST_LINE:
            left = left[: LONGEST_LINE + 1]
    if left:
        yield left


def narrowed(head: bytes) -> bytes:
    """Return bytes from the beginning of a file as `byte_lines` reads them."""
    encoding, mark = _encoding(head)
    head = head[mark:]
    return head if encoding is None else _as_utf_8(head.decode(encoding, "replace"))


def as_text(line: bytes) -> str:
    """Return a line, or a part of it, as text: UTF-8, or the code page of older versions."""
    try:
        return line.decode()
    except UnicodeDecodeError:
        return line.decode("cp1252", "replace")


def _pieces(raw: Readable) -> Iterator[bytes]:
    piece = raw.read(PIECE)
    while piece and len(piece) < 4 and (more := raw.read(PIECE)):  # a pipe returns less than it is asked for
        piece += more
    encoding, mark = _encoding(piece)
    piece = piece[mark:]
    if encoding is None:
        while piece:
            yield piece
            piece = raw.read(PIECE)
        return
    decoder = codecs.getincrementaldecoder(encoding)("replace")
    while piece:
        yield _as_utf_8(decoder.decode(piece))
        piece = raw.read(PIECE)
    yield _as_utf_8(decoder.decode(b"", True))


def _as_utf_8(text: str) -> bytes:
    return text.encode("utf-8", "replace")


def _encoding(head: bytes) -> tuple[str | None, int]:
    """Return the encoding if it is UTF-16, else None, and how many bytes mark it."""
    for mark, encoding in _BYTE_ORDER_MARKS:
        if head.startswith(mark):
            return encoding, len(mark)
    if head.startswith(codecs.BOM_UTF8):
        return None, len(codecs.BOM_UTF8)
    zeros = [at for at, byte in enumerate(head[:4]) if not byte]  # every other byte of Latin letters
    return ("utf-16-le" if zeros == [1, 3] else "utf-16-be" if zeros == [0, 2] else None), 0
