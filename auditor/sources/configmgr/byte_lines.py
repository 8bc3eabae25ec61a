"""Lines of a log as UTF-8, in constant memory, whichever encoding the file has."""

from __future__ import annotations

import codecs
from collections.abc import Iterator

from auditor.sources.configmgr.text_pieces import HEAD, PIECE, Readable, encoding_of

LONGEST_LINE = 64 * 1024  # bytes; of a longer line one byte more is kept, so that it stays recognizable
UTF_8 = "utf-8"  # and whatever is not UTF-16
MARK = "\ufeff"  # of the byte order


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
    encoding = encoding_of(head[:HEAD])
    return head.removeprefix(codecs.BOM_UTF8) if encoding == UTF_8 else _as_utf_8(head.decode(encoding, "replace"))


def _pieces(raw: Readable) -> Iterator[bytes]:
    piece = raw.read(PIECE)
    while len(piece) < HEAD and (more := raw.read(PIECE)):  # a pipe returns less than it is asked for
        piece += more
    encoding = encoding_of(piece[:HEAD])
    if encoding == UTF_8:
        piece = piece.removeprefix(codecs.BOM_UTF8)
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
    return text.replace(MARK, "").encode("utf-8", "replace")
