"""Read the events of a Windows event log: the file itself (.evtx), or an export of it as JSON.

The format of .evtx is described at https://github.com/libyal/libevtx/blob/main/documentation/.
"""

from __future__ import annotations

import codecs
import io
import json
import re
import struct
import zlib
from collections.abc import Container, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, NamedTuple

from auditor.errors import SourceError
from auditor.ruleset.statements import say
from auditor.sources.files.gzip_stream import GZIP_MAGIC, EndlessError, Unpacked
from auditor.sources.files.warnings import SourceWarning, warning
from auditor.sources.logs.event_fields import Event, event_of
from auditor.sources.logs.json_stream import objects

EVTX_MAGIC = b"ElfFile\0"
CHUNK_MAGIC = b"ElfChnk\0"
FILE_HEADER, CHUNK = 4096, 65536
MOST_IN_CHUNK = CHUNK // 24  # the header and the closing length of a record take that much
NO_RECORD = (1 << 64) - 1  # the number of the last record in a chunk that has none yet
MOST_SAMPLES = 5
BEFORE_JSON = re.compile(r"\A[\s\x00]*(?:Record \d+\s+)?")  # evtx_dump numbers its records
NO_PACKAGE = (
    "Install it with: pipx inject auditor evtx (or pip install evtx). Or export the log as JSON: "
    "Get-WinEvent -Path FILE | ConvertTo-Json > FILE.json"
)


def is_event_log(head: bytes) -> bool:
    """Tell from a file's first bytes whether it is an .evtx file or a text of JSON objects."""
    if head.startswith(EVTX_MAGIC):
        return True
    text = BEFORE_JSON.sub("", head.decode(_encoding(head), "replace"))
    return text.startswith("{") or (text.startswith("[") and text[1:].lstrip().startswith(("{", "]")))


class EventReader:
    """Iterate over the events of one log; afterwards tell how many were read and what was wrong.

    Args:
        wanted: Ids of the events whose values are asked for. After reading:.

    Attributes:
        format: "evtx" or "JSON".
        gzipped: Whether it was packed.
        records: Events read.
        skipped: Events that could not be.
        warnings: What the administrator must know about this file.
    """

    def __init__(self, path: Path, wanted: Container[int]) -> None:
        self.path = path
        self._wanted = wanted
        self.gzipped = False
        self.format = ""
        self.records = 0
        self.skipped = 0
        self.warnings: list[SourceWarning] = []

    def __iter__(self) -> Iterator[Event]:
        with self.path.open("rb") as raw:
            head = raw.peek(64)[:64]
            self.gzipped = head[:2] == GZIP_MAGIC
            if head.startswith(EVTX_MAGIC):
                self.format = "evtx"
                yield from self._evtx(raw)
                return
            self.format = "JSON"
            yield from self._json(raw)

    # .evtx

    def _evtx(self, raw: io.BufferedReader) -> Iterator[Event]:
        expected = _expected(raw)
        broken: list[str] = []
        for record in _evtx_records(self.path, broken):
            event = _event_of_record(record, self._wanted)
            if event is None:
                broken.append(say("warning.no-evtx-event", record=record["event_record_id"]))
            else:
                self.records += 1
                yield event
        self._account_for(expected, broken)

    def _account_for(self, expected: _ChunkCounts, broken: list[str]) -> None:
        """Count what should be in the file by its own chunk headers, but was not got."""
        missing = max(expected.records - self.records, len(broken) - expected.empty_chunks, 0)
        self.skipped = missing + expected.broken_chunks + bool(expected.cut)
        if expected.cut:
            self.warnings.append(expected.cut)
        if missing or expected.broken_chunks:
            both = "evtx-both-lost" if expected.broken_chunks else "evtx-events-lost"
            counts = {"events": missing, "chunks": expected.broken_chunks, "records": expected.records}
            samples = "".join(f"; {reason}" for reason in broken[:MOST_SAMPLES])
            kind = both if missing else "evtx-chunks-lost"
            self.warnings.append(warning("damaged", kind, **counts, samples=samples))

    # JSON

    def _json(self, raw: io.BufferedReader) -> Iterator[Event]:
        faults: list[str] = []
        lost = 0
        with self._text(raw) as text:
            for record in objects(text):
                event = None if record.fault else event_of(record.value, record.line, self._wanted)
                if event is not None:
                    self.records += 1
                    yield event
                    continue
                lost += record.lost or 1
                if len(faults) < MOST_SAMPLES:
                    fault = record.fault or say("warning.no-event")
                    faults.append(say("warning.record-fault", line=record.line, fault=fault))
        self.skipped += lost
        if lost:
            self.warnings.append(warning("damaged", "records-lost", count=lost, faults="; ".join(faults)))

    @contextmanager
    def _text(self, raw: io.BufferedReader) -> Iterator[io.TextIOWrapper]:
        stream: Any = io.BufferedReader(_GzipRaw(raw, self.warnings)) if self.gzipped else raw
        encoding = _encoding(stream.peek(64)[:64])
        text = io.TextIOWrapper(stream, encoding=encoding, errors="replace")
        yield text
        if not self.gzipped:
            text.detach()  # the file is closed by whoever opened it


class _GzipRaw(io.RawIOBase):
    """The bytes of a gzip file; it ends, with a warning, where they break off or grow without end."""

    def __init__(self, raw: io.BufferedReader, warnings: list[SourceWarning]) -> None:
        super().__init__()
        self._unpacked = Unpacked(raw)
        self._warnings = warnings
        self._ended = False

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any) -> int:
        if self._ended:
            return 0
        try:
            piece = self._unpacked.read(len(buffer))
        except (EOFError, zlib.error) as error:
            return self._stop(warning("cut-short", "gzip-broken", error=error))
        except EndlessError as error:
            return self._stop(warning("expands-too-much", error=error))
        buffer[: len(piece)] = piece
        return len(piece)

    def _stop(self, why: SourceWarning) -> int:
        self._warnings.append(why)
        self._ended = True
        return 0


def _encoding(head: bytes) -> str:
    """Return how a text is written: PowerShell's `>` writes UTF-16."""
    if head.startswith((codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)):
        return "utf-16"
    if head[1:2] == b"\0" and head[:1] != b"\0":
        return "utf-16-le"
    return "utf-8-sig"


class _ChunkCounts(NamedTuple):
    """What a file holds by its own headers.

    Attributes:
        records: Events in all whole chunks.
        broken_chunks: Chunks whose header says nothing.
        empty_chunks: Chunks that were never used.
        cut: The warning on what is missing at the end, None if nothing is.
    """

    records: int
    broken_chunks: int
    empty_chunks: int
    cut: SourceWarning | None


def _expected(raw: io.BufferedReader) -> _ChunkCounts:
    """Go through the headers of the file and its chunks; `raw` is left anywhere."""
    (count,) = struct.unpack_from("<H", raw.read(FILE_HEADER).ljust(FILE_HEADER, b"\0"), 42)
    records = broken = empty = whole = 0
    while chunk := raw.read(CHUNK):
        if len(chunk) < CHUNK:
            break
        whole += 1
        first_record, last_record = struct.unpack_from("<QQ", chunk, 8)
        if chunk.startswith(CHUNK_MAGIC) and last_record - first_record < MOST_IN_CHUNK:
            records += max(last_record - first_record + 1, 0) if last_record != NO_RECORD else 0
        elif any(chunk):
            broken += 1
        else:
            empty += 1
    cut = None
    if chunk:
        cut = warning("cut-short", "cut-mid-chunk", bytes=len(chunk))
    elif whole < count:
        cut = warning("cut-short", "chunks-missing", missing=count - whole, count=count)
    return _ChunkCounts(records, broken, empty, cut)


def _evtx_records(path: Path, broken: list[str]) -> Iterator[dict[str, Any]]:
    """Yield the records that the package evtx finds; put what it says of the others into `broken`."""
    try:
        from evtx import PyEvtxParser
    except ImportError:
        raise SourceError(
            "reading a Windows event log (.evtx) needs the package evtx", where=str(path), hint=NO_PACKAGE
        ) from None
    try:
        records: Any = PyEvtxParser(str(path), number_of_threads=1).records_json()
    except (RuntimeError, OSError) as error:
        hint = "Export it again: wevtutil epl Security security.evtx"
        raise SourceError(f"the event log cannot be read ({error})", where=str(path), hint=hint) from error
    while True:
        try:
            yield next(records)
        except StopIteration:
            return
        except (RuntimeError, OSError) as error:
            broken.append(str(error).partition("\n")[0])
        except BaseException as error:  # so a panic of the Rust code arrives, and no more records follow
            if type(error).__name__ != "PanicException":
                raise
            broken.append(f"the package evtx gave up ({error})".partition("\n")[0])
            return


def _event_of_record(record: dict[str, Any], wanted: Container[int]) -> Event | None:
    try:
        document = json.loads(record["data"], strict=False)
    except (ValueError, RecursionError):
        return None
    return event_of(document, record["event_record_id"], wanted) if isinstance(document, dict) else None
