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
from contextlib import closing
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path

import numpy as np

from auditor.errors import NotASourceError, SourceError
from auditor.sources.files.gzip_stream import GZIP_MAGIC
from auditor.sources.files.warnings import SourceWarning
from auditor.sources.files.window import Window
from auditor.sources.logs.addresses import LogAddresses
from auditor.sources.logs.batching import Steps
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
MOST_LINES = 100_000  # read at once; Windows' own rows are about 40,000 in a piece
HEAD = 64 * 1024
LONGEST_LINE = 64 * 1024
KEEP_MEMORY = 31 * 1024 * 1024
AT_ONCE = 2  # pieces that are read at the same time
AHEAD = 6  # pieces that may be read before they are asked for: what is made of them takes time in bursts
FIELDS, TIME_FORMAT = b"#Fields:", b"#Time Format:"
BOM_IN_UTF_8 = "\ufeff".encode()
WHERE_IT_IS = r"Name the file that Windows wrote: C:\Windows\System32\LogFiles\Firewall\pfirewall.log."
SURELY = 16  # as many letters of UTF-16 in a row, or twice as many bytes without zeros, are no chance
_ZEROS_APART = re.compile(rb"\0(?:[\x01-\x7f]\0){%d}" % (SURELY - 1))  # soon found missing, and part of every _WIDE
_WIDE = re.compile(rb"(?:\xff\xfe|\xfe\xff\0?)?(?:[\x01-\x7f]\0){%d,}" % SURELY)
_NARROW = re.compile(rb"[\t\r\n -~]{%d}" % (2 * SURELY))
_SWAPPED = re.compile(f"[{''.join(chr(code << 8) for code in range(1, 0x80))}]{{{SURELY}}}")
Bytes = bytes | memoryview


@dataclass(frozen=True)
class FirewallLog:
    """What a log was, once all of it was read.

    Attributes:
        bytes: Size of the file.
        notes: What the file was packed or encoded with, such as "UTF-16" and "gzip".
        headed: Whether a #Fields line was seen.
        in_utc: Whether the times of all rows are UTC; without rows, what they would be.
        fields: The columns of the last #Fields line.
        addresses: The addresses of the rows by number, with those of other logs that are numbered with them.
        account: What its lines were.
        warnings: What is wrong with the file as a whole, and with its times.
    """

    bytes: int
    notes: tuple[str, ...]
    headed: bool
    in_utc: bool
    fields: tuple[str, ...]
    addresses: list[str]
    account: LogAccount
    warnings: tuple[SourceWarning, ...]


def read_log(
    raw: io.BufferedReader,
    path: Path,
    clock: Clock,
    take: Callable[[Rows], None],
    advance: Callable[[int, int], None],
    addresses: LogAddresses | None = None,
) -> Steps[FirewallLog | None]:
    """Read a log whole, in batches of rows: 350 MB need no more memory than a few pieces of them.

    Args:
        raw: The file, at its beginning.
        path: Its name, for errors.
        clock: Turns local times into UTC.
        take: Called with each batch of rows, in file order; their lines are numbered from the beginning of the log.
        advance: Called now and then with how many bytes were read, and how many there are.
        addresses: Where those of several logs are numbered. Then the sections of the log are yielded, to be read by
            the caller; None reads them here, in threads if there are many.

    Returns:
        What the log was, None if the file is nothing like one.

    Raises:
        SourceError: As `recognize` does.
    """
    text, account = _Text(raw), LogAccount()
    with closing(text.pieces):
        schema = recognize(text.beginning, path)
        if schema is None:
            return None
        sections = _Sections(whole_lines(text.pieces), schema, addresses or LogAddresses())

        def add(read: SectionRows) -> None:
            preceding_lines = account.lines
            account.add(read.account)
            if len(read.rows):
                time_s = clock.utc(read.rows.time_s, read.utc)
                take(read.rows.but(line=read.rows.line + preceding_lines, time_s=time_s))

        if addresses is None:
            for read in _read_here(sections, text.bytes):
                add(read)
                advance(text.position, text.bytes)
        else:
            for section in sections:
                add((yield section))
    return FirewallLog(
        bytes=text.bytes,
        notes=text.notes,
        headed=sections.headed,
        in_utc=clock.known if account.rows else sections.schema.utc or clock.zone is not None,
        fields=sections.schema.names,
        addresses=sections.addresses.names,
        account=account,
        warnings=(*text.warnings, *clock.warnings()),
    )


def _read_here(sections: Iterator[Section], size: int) -> Iterator[SectionRows]:
    """Yield what is in each section; small logs are read here, the parts of large ones two at a time."""
    begin = list(itertools.islice(sections, 2))
    if len(begin) < 2 or size <= PIECE:
        yield from map(read_section, itertools.chain(begin, sections))
        return
    # The C library of Linux gives memory back at once, and has to be given it again for the next piece; to free one
    # large block is what teaches it to keep some. That is a fifth of the time.
    np.empty(KEEP_MEMORY, np.uint8)
    with ThreadPoolExecutor(AT_ONCE) as readers:
        coming: deque[Future[SectionRows]] = deque()
        for section in itertools.chain(begin, sections):
            coming.append(readers.submit(read_section, section))
            if len(coming) > AHEAD:
                yield coming.popleft().result()
        while coming:
            yield coming.popleft().result()


class _Sections(Iterator[Section]):
    """Cuts a log into sections of whole lines, each under one schema, which the next header may change."""

    def __init__(self, lines: Iterator[bytes], schema: Schema, addresses: LogAddresses) -> None:
        self.schema = schema
        self.headed = False
        self.addresses = addresses
        self._cut = (section for data in lines for part in _of_few_lines(data) for section in self._under_headers(part))

    def __next__(self) -> Section:
        return next(self._cut)

    def _under_headers(self, data: bytes) -> Iterator[Section]:
        """Cut where a header changes how the lines behind it are to be read."""
        begin, size = 0, len(data) - len(PADDING)
        for at, name in _headers(data):
            end = data.index(b"\n", at) + 1
            schema = _schema(self.schema, name, data[at + len(name) : end - 1])
            self.headed = self.headed or name == FIELDS
            if schema != self.schema:
                yield Section(data[begin:end] + PADDING, self.schema, self.addresses)
                begin = end
            self.schema = schema
        if begin < size:
            yield Section(data[begin:] if begin else data, self.schema, self.addresses)


class _Text:
    """The text of a log, unpacked, in an encoding in which a line break is one byte.

    Attributes:
        bytes: Size of the file.
        position: Roughly how many of its bytes were read.
        notes: What the file was packed or encoded with.
        beginning: The first lines, without what stands before them if the file was allocated before it was written.
        pieces: All of it from the beginning on, to be read once; a piece stays as it is until the next is asked for.
        warnings: What is wrong with the file.
    """

    def __init__(self, raw: io.BufferedReader) -> None:
        self.bytes = os.fstat(raw.fileno()).st_size
        self.warnings: list[SourceWarning] = []
        pieces = self._decoded(raw)
        first_piece = next(pieces)
        head = bytes(first_piece).lstrip(JUNK + b"\n")
        if len(head) < HEAD and self._is_longer:
            for piece in pieces:
                head = (head + bytes(piece)).lstrip(JUNK + b"\n")
                if len(head) >= HEAD:
                    break
            pieces.close()
            raw.seek(0)
            self.warnings.clear()
            pieces = self._decoded(raw)
            first_piece = next(pieces)
        self.beginning = head if len(head) < HEAD else head[:HEAD].rpartition(b"\n")[0] or head[:HEAD]
        self.pieces = _chained([first_piece], pieces)

    def _decoded(self, raw: io.BufferedReader) -> Generator[Bytes, None, None]:
        gzipped = raw.peek(2)[:2] == GZIP_MAGIC
        self.position = 0
        pieces = _whole_or_windows(raw, self.bytes, self.warnings)
        first_piece = next(pieces, b"")
        self._is_longer = len(first_piece) >= PIECE
        encoding, decode = decoder(first_piece)
        self.notes = (*filter(None, (encoding, "gzip" * gzipped)),)
        yield decode(first_piece, False)
        for piece in pieces:
            self.position = min(self.bytes, self.position + len(piece))  # roughly, of a packed log
            yield decode(piece, False)
        yield decode(b"", True)


def _chained(begin: list[Bytes], pieces: Generator[Bytes, None, None]) -> Generator[Bytes, None, None]:
    """Yield pieces, of which none is kept: it may be of a window, which is to move on."""
    with closing(pieces):
        yield begin.pop()
        yield from pieces


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

    Args:
        head: Its beginning, with or without a byte order mark.
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
    """Return which UTF-16 a text is in, by its mark or by where its zeros are; empty if in none."""
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


def _of_few_lines(data: bytes) -> Iterator[bytes]:
    """Yield whole lines in parts of MOST_LINES: a line takes memory of its own, even one without text."""
    if data.count(b"\n") <= MOST_LINES:  # as in all but odd logs
        yield data
        return
    breaks = np.flatnonzero(np.frombuffer(data, np.uint8) == ord("\n"))
    ends = [*(breaks[MOST_LINES - 1 : -1 : MOST_LINES] + 1).tolist(), int(breaks[-1]) + 1]
    for begin, end in pairwise([0, *ends]):
        yield data[begin:end] + PADDING


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

    Args:
        beginning: Its first lines.
        path: The file, for errors.

    Raises:
        SourceError: For logs of another kind, and for what is left of a log once its columns are unknown.
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
            # Logs of other programs begin alike, such as those of HTTP.sys.
            kind = SourceError if _is_named(lines) else NotASourceError
            raise kind(reason, where=str(path), hint=WHERE_IT_IS)
    usual = len(row) if len(row) == len(CANONICAL) else len(CANONICAL) - 1
    if header or (_is_row(row) and len(row) == usual):
        return Schema(CANONICAL[:usual])
    if _is_row(row):
        reason = f"rows of a firewall log, but of {len(row)} columns that no #Fields line names: not Windows' own form"
        raise SourceError(reason, where=str(path), hint=WHERE_IT_IS)
    if _bare(lines[0]).startswith(b"#Version:") or _is_named(lines):
        reason = "this is the beginning of a Windows log, without the #Fields line that names its columns"
        raise SourceError(reason, where=str(path), hint="Copy the whole file again.")
    return None


def _is_named(lines: list[bytes]) -> bool:
    return any(line.startswith(b"#Software: Microsoft Windows Fire") for line in map(_bare, lines))


def _bare(line: bytes) -> bytes:
    return line.strip(JUNK)


def _is_row(words: list[bytes]) -> bool:
    return len(words) > 3 and words[2].decode("ascii", "replace") in ACTIONS and words[0][4:5] == b"-"
