"""Read a Windows Firewall log (pfirewall.log) of any Windows version, plain or packed, saved again in any encoding.

The columns are those of the file's own #Fields line, which may come again in mid-file.
"""

from __future__ import annotations

import codecs
import io
import itertools
import os
import re
from collections import deque
from collections.abc import Callable, Generator, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path

import numpy as np

from auditor.errors import SourceError
from auditor.sources.files.gzip_stream import GZIP_MAGIC
from auditor.sources.files.warnings import SourceWarning
from auditor.sources.files.window import Window
from auditor.sources.logs.addresses import LogAddresses
from auditor.sources.logs.firewall_rows import (
    ACTIONS,
    CANONICAL,
    JUNK,
    NEEDED,
    LogAccount,
    Rows,
    Schema,
    Section,
    SectionRows,
    read_section,
)
from auditor.sources.logs.text_columns import PADDING
from auditor.sources.logs.time_zone import Clock

PIECE = 4 * 1024 * 1024
HEAD = 64 * 1024
LONGEST_LINE = 64 * 1024
KEEP_MEMORY = 31 * 1024 * 1024
AT_ONCE = 2  # pieces that are read at the same time
AHEAD = 6  # pieces that may be read before they are asked for: what is made of them takes time in bursts
FIELDS, TIME_FORMAT = b"#Fields:", b"#Time Format:"
BOM_IN_UTF_8 = "\ufeff".encode()
WHERE_IT_IS = r"name the file that Windows wrote: C:\Windows\System32\LogFiles\Firewall\pfirewall.log"
SURELY = 16  # as many letters of UTF-16 in a row, or twice as many bytes without zeros, are no chance
_ZEROS_APART = re.compile(rb"\0(?:[\x01-\x7f]\0){%d}" % (SURELY - 1))  # soon found missing, and part of every _WIDE
_WIDE = re.compile(rb"(?:\xff\xfe|\xfe\xff\0?)?(?:[\x01-\x7f]\0){%d,}" % SURELY)
_NARROW = re.compile(rb"[\t\r\n -~]{%d}" % (2 * SURELY))
_SWAPPED = re.compile(f"[{''.join(chr(code << 8) for code in range(1, 0x80))}]{{{SURELY}}}")
Bytes = bytes | memoryview


class LogReader:
    """Iterate over the rows of one log; afterwards tell what its lines were.

    raw: the file, at its beginning; schema: the columns until a #Fields line says better, to be set before the rows are
    asked for (`beginning` and `recognize` tell). bytes: size of the file; encoding: "" for single bytes, else its name;
    gzipped: whether it was packed; headed: whether a #Fields line was seen; addresses: by number; account: what the
    lines were; warnings: what is wrong with the file as a whole; clock: turns local times into UTC. numbered: where its
    addresses get their numbers, which several logs may share.
    """

    def __init__(self, raw: io.BufferedReader, clock: Clock, numbered: LogAddresses | None = None) -> None:
        self._raw = raw
        self.schema = Schema(())
        self.clock = clock
        self.gzipped = False
        self.bytes = self.position = 0
        self.encoding = ""
        self.headed = False
        self._addresses = numbered or LogAddresses()
        self.account = LogAccount()
        self.warnings: list[SourceWarning] = []
        self._begin()

    def __enter__(self) -> LogReader:
        return self

    def __exit__(self, *_: object) -> None:
        self._pieces.close()

    @property
    def addresses(self) -> list[str]:
        """The addresses of the rows read so far, by number, with those of other logs that are numbered with them."""
        return self._addresses.names

    @property
    def in_utc(self) -> bool:
        """Whether the times of all rows are UTC; without rows, what they would be."""
        return self.clock.known if self.account.rows else self.schema.utc or self.clock.zone is not None

    def beginning(self) -> bytes:
        """Return the first lines, without what stands before them if the file was allocated before it was written."""
        head = bytes(self._first).lstrip(JUNK + b"\n")
        if len(head) < HEAD and self._is_longer:
            for piece in self._pieces:
                head = (head + bytes(piece)).lstrip(JUNK + b"\n")
                if len(head) >= HEAD:
                    break
            self._pieces.close()
            self._raw.seek(0)
            self._begin()
        return head if len(head) < HEAD else head[:HEAD].rpartition(b"\n")[0] or head[:HEAD]

    def __iter__(self) -> Iterator[Rows]:
        """Yield batches of rows in file order; small logs are read here, the parts of large ones two at a time."""
        sections = self.sections()
        begin = list(itertools.islice(sections, 2))
        if len(begin) < 2 or self.bytes <= PIECE:
            for section in itertools.chain(begin, sections):
                yield self.rows(read_section(section))
            return
        # The C library of Linux gives memory back at once, and has to be given it again for the next piece; to free one
        # large block is what teaches it to keep some. That is a fifth of the time.
        np.empty(KEEP_MEMORY, np.uint8)
        with ThreadPoolExecutor(AT_ONCE) as readers:
            coming: deque[Future[SectionRows]] = deque()
            for section in itertools.chain(begin, sections):
                coming.append(readers.submit(read_section, section))
                if len(coming) > AHEAD:
                    yield self.rows(coming.popleft().result())
            while coming:
                yield self.rows(coming.popleft().result())

    def rows(self, read: SectionRows) -> Rows:
        """Return the rows of the next section, with the numbers that their lines have in the log, and the time zone."""
        preceding_lines = self.account.lines
        self.account.add(read.account)
        rows = read.rows
        if not len(rows):
            return rows
        return rows.but(line=rows.line + preceding_lines, time_s=self.clock.utc(rows.time_s, read.utc))

    def sections(self) -> Iterator[Section]:
        """Cut the log into sections of whole lines, each under one schema."""
        for data in whole_lines(self._every_piece()):
            size = len(data) - len(PADDING)
            for begin, end in self._under_headers(data, size):
                whole = data if end - begin == size else data[begin:end] + PADDING
                yield Section(whole, self.schema, self._addresses)

    def _under_headers(self, data: bytes, size: int) -> Iterator[tuple[int, int]]:
        """Cut where a header changes how the lines behind it are to be read."""
        begin = 0
        for at, name in _headers(data):
            end = data.index(b"\n", at) + 1
            schema = _schema(self.schema, name, data[at + len(name) : end - 1])
            self.headed = self.headed or name == FIELDS
            if schema != self.schema:
                yield begin, end
                begin = end
            self.schema = schema
        if begin < size:
            yield begin, size

    def _begin(self) -> None:
        self.warnings.clear()
        self._pieces = self._decoded()
        self._first = next(self._pieces)

    def _every_piece(self) -> Iterator[Bytes]:
        piece, self._first = self._first, b""
        yield piece
        del piece  # it may be of a window, which is to move on
        yield from self._pieces

    def _decoded(self) -> Generator[Bytes, None, None]:
        """Yield the log's bytes, unpacked, in an encoding in which a line break is one byte."""
        self.bytes = os.fstat(self._raw.fileno()).st_size
        self.gzipped = self._raw.peek(2)[:2] == GZIP_MAGIC
        self.position = 0
        pieces = _whole_or_windows(self._raw, self.bytes, self.warnings)
        first_piece = next(pieces, b"")
        self._is_longer = len(first_piece) >= PIECE
        self.encoding, decode = decoder(first_piece)
        yield decode(first_piece, False)
        for piece in pieces:
            self.position = min(self.bytes, self.position + len(piece))  # roughly, of a packed log
            yield decode(piece, False)
        yield decode(b"", True)


def _whole_or_windows(raw: io.BufferedReader, size: int, warnings: list[SourceWarning]) -> Iterator[Bytes]:
    """Yield a file's bytes, unpacked; a piece stays as it is until the next one is asked for."""
    if size <= PIECE and raw.peek(2)[:2] != GZIP_MAGIC:
        yield raw.read()
        return
    with Window(raw, PIECE, warnings) as window:
        while True:
            yield memoryview(window.data)[window.begin : window.end]
            window.begin = window.end
            if not window.fill():
                return


def decoder(head: Bytes) -> tuple[str, Callable[[Bytes, bool], Bytes]]:
    """Return the name of a text's encoding ("" for single bytes) and a function that makes single bytes of its pieces.

    head: its beginning, with or without a byte order mark.
    """
    if bytes(head[:3]) == codecs.BOM_UTF8:
        skip = [len(codecs.BOM_UTF8)]
        return "UTF-8", lambda piece, _: _narrowed(piece[skip.pop() :] if skip else piece)
    name = _utf_16(bytes(head))
    if not name:
        return "", lambda piece, _: _narrowed(piece)
    return "UTF-16", _Utf16(name)


class _Utf16:
    """Makes single bytes of a text in UTF-16, to which another program may have appended text of another encoding."""

    def __init__(self, name: str) -> None:
        self._decoder = codecs.getincrementaldecoder(name)("replace")
        self._mixed = False

    def __call__(self, piece: Bytes, last: bool) -> Bytes:
        text = self._decoder.decode(piece, last)
        self._mixed = self._mixed or _NARROW.search(piece) is not None or _SWAPPED.search(text) is not None
        return _narrowed(piece) if self._mixed else text.encode("utf-8").replace(BOM_IN_UTF_8, b"")


def _narrowed(piece: Bytes) -> Bytes:
    """Return a piece with single bytes for what is in UTF-16, of either kind."""
    if not len(piece) or np.frombuffer(piece, np.uint8).min() or not _ZEROS_APART.search(piece):
        return piece
    return _WIDE.sub(lambda match: match[0].lstrip(b"\xff\xfe").replace(b"\0", b""), piece)


def _utf_16(head: bytes) -> str:
    """Return which UTF-16 a text is in, told by its mark or by where its zeros are; empty if in none."""
    for mark, name in ((codecs.BOM_UTF16_LE, "utf-16-le"), (codecs.BOM_UTF16_BE, "utf-16-be")):
        if head.startswith(mark):
            return name
    begin = len(head) - len(head.lstrip(b"\0"))
    sample = head[begin - begin % 2 :][:HEAD]
    if b"\0" not in sample:
        return ""
    zeros = [sample[parity::2].count(0) for parity in (0, 1)]
    for parity, name in ((1, "utf-16-le"), (0, "utf-16-be")):
        if zeros[parity] > len(sample) // 4 > 4 * zeros[1 - parity] and not any(sample[parity : 2 * SURELY : 2]):
            return name
    return ""


def whole_lines(pieces: Iterator[Bytes]) -> Iterator[bytes]:
    """Yield the same bytes cut behind line breaks, each time with PADDING; a break is added where the last is missing.

    A line that does not end soon is cut, and its padding left out.
    """
    remainder = b""
    for piece in pieces:
        end = _last_break(piece)
        if end:
            yield b"".join((remainder, piece[:end], PADDING))
            remainder = bytes(piece[end:])
        elif len(piece):
            remainder = (remainder + bytes(piece)).lstrip(b"\0 ")[:LONGEST_LINE] or b"\0"
    if remainder:
        yield remainder + b"\n" + PADDING


def _last_break(piece: Bytes) -> int:
    """Return where the last whole line of a piece ends."""
    for begin in range(len(piece) - LONGEST_LINE, -LONGEST_LINE, -LONGEST_LINE):
        at = bytes(piece[max(0, begin) : begin + LONGEST_LINE]).rfind(b"\n")
        if at >= 0:
            return max(0, begin) + at + 1
    return 0


def _headers(lines: bytes) -> Iterator[tuple[int, bytes]]:
    """Return where headers that matter begin, with their names."""
    if b"#" not in lines:  # which is soon known
        return iter(())
    headers = [(at, name) for name in (FIELDS, TIME_FORMAT) for at in _places(lines, name)]
    return ((at, name) for at, name in sorted(headers) if not lines[lines.rfind(b"\n", 0, at) + 1 : at].strip(JUNK))


def _places(text: bytes, word: bytes) -> Iterator[int]:
    at = text.find(word)
    while at >= 0:
        yield at
        at = text.find(word, at + len(word))


def _schema(schema: Schema, header: bytes, value: bytes) -> Schema:
    if header == TIME_FORMAT:
        return schema._replace(utc=value.strip(JUNK).upper() == b"UTC")
    line = value.strip(JUNK).partition(b"\r")[0]  # a program that ends lines so may have written rows behind it
    names = line.lower().split()  # as bytes: text is divided at control characters too
    return schema._replace(names=tuple(name.decode("ascii", "backslashreplace") for name in names))


# what is a log


def recognize(beginning: bytes, path: Path) -> Schema | None:
    """Return how the rows of a log are to be read until its first header, None if the file is nothing like a log.

    beginning: its first lines. Raises SourceError for logs of another kind, and for what is left of a log once its
    columns are unknown.
    """
    lines = beginning.split(b"\n")
    header = next((line for line in map(_bare, lines) if line.startswith(FIELDS)), None)
    row = next((line.split() for line in map(_bare, lines) if line and not line.startswith(b"#")), [])
    if header:
        if len(header) >= HEAD - 1:
            reason = f"its #Fields line has more than {HEAD:,} characters: not Windows' own"
            raise SourceError(reason, where=str(path), hint=WHERE_IT_IS)
        names = _schema(Schema(()), FIELDS, header[len(FIELDS) :]).names
        if missing := [name for name in NEEDED if name not in names]:
            reason = f"this is a log with other columns than the Windows Firewall's (no {missing[0]})"
            raise SourceError(reason, where=str(path), hint=WHERE_IT_IS)
    usual = len(row) if len(row) == len(CANONICAL) else len(CANONICAL) - 1
    if header or (_is_row(row) and len(row) == usual):
        return Schema(CANONICAL[:usual])
    if _is_row(row):
        reason = f"rows of a firewall log, but of {len(row)} columns that no #Fields line names: not Windows' own form"
        raise SourceError(reason, where=str(path), hint=WHERE_IT_IS)
    if _bare(lines[0]).startswith(b"#Version:") or any(
        line.startswith(b"#Software: Microsoft Windows Fire") for line in map(_bare, lines)
    ):
        reason = "this is the beginning of a Windows log, without the #Fields line that names its columns"
        raise SourceError(reason, where=str(path), hint="copy the whole file again")
    return None


def _bare(line: bytes) -> bytes:
    return line.strip(JUNK)


def _is_row(words: list[bytes]) -> bool:
    return len(words) > 3 and words[2].decode("ascii", "replace") in ACTIONS and words[0][4:5] == b"-"
