"""Lines of a log as UTF-8, in constant memory, whichever encoding the file has."""

from __future__ import annotations

import codecs
from collections.abc import Iterator

from auditor.sources.configmgr.text_pieces import HEAD, UTF_8, Readable, decoded_utf_16, encoded, encoding_of

LONGEST_LINE = 64 * 1024  # bytes; of a longer line one byte more is kept, so that it stays recognizable
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
    encoding, pieces = encoded(raw)
    if encoding == UTF_8:
        yield next(pieces).removeprefix(codecs.BOM_UTF8)
        yield from pieces
    else:
        yield from map(_as_utf_8, decoded_utf_16(pieces, encoding))


def _as_utf_8(text: str) -> bytes:
    return text.replace(MARK, "").encode("utf-8", "replace")
