"""Read the events of a Windows event log: the file itself (.evtx), or an export of it as JSON."""

from __future__ import annotations

import codecs
import io
import re
import zlib
from collections.abc import Container, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from auditor.ruleset.statements import say
from auditor.sources.files.gzip_stream import GZIP_MAGIC, EndlessError, Unpacked
from auditor.sources.files.text import load_json
from auditor.sources.files.warnings import SourceWarning, warning
from auditor.sources.logs.event_fields import Event, event_of
from auditor.sources.logs.evtx import EVTX_MAGIC, ChunkCounts, EvtxRecord, Faults, chunk_counts, evtx_records
from auditor.sources.logs.json_stream import objects

MOST_SAMPLES = 5
BEFORE_JSON = re.compile(r"\A[\s\x00]*(?:Record \d+\s+)?")  # evtx_dump numbers its records


def is_event_log(head: bytes) -> bool:
    """Return by a file's first bytes whether it is an .evtx file or a text of JSON objects."""
    if head.startswith(EVTX_MAGIC):
        return True
    text = BEFORE_JSON.sub("", head.decode(_encoding(head), "replace"))
    return text.startswith("{") or (text.startswith("[") and text[1:].lstrip().startswith(("{", "]")))


class EventReader:
    """Iterate over the events of one log; afterwards it has how many were read and what was wrong.

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
                yield from self._evtx()
                return
            self.format = "JSON"
            yield from self._json(raw)

    # .evtx

    def _evtx(self) -> Iterator[Event]:
        expected, faults = chunk_counts(self.path), Faults()
        for record in evtx_records(self.path, faults):
            event = _event_of_record(record, self._wanted)
            if event is None:
                faults.add(say("warning.no-evtx-event", record=record.number))
            else:
                self.records += 1
                yield event
        self._account_for(expected, faults)

    def _account_for(self, expected: ChunkCounts, faults: Faults) -> None:
        """Count what should be in the file by its own chunk headers, but was not read."""
        missing = max(expected.records - self.records, faults.count)
        self.skipped = missing + expected.broken_chunks + bool(expected.cut)
        if expected.cut:
            self.warnings.append(expected.cut)
        if missing or expected.broken_chunks:
            both = "evtx-both-lost" if expected.broken_chunks else "evtx-events-lost"
            counts = {"events": missing, "chunks": expected.broken_chunks, "records": expected.records}
            samples = "".join(f"; {reason}" for reason in faults.samples)
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
            text.detach()  # the caller closes the file


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


def _event_of_record(record: EvtxRecord, wanted: Container[int]) -> Event | None:
    try:
        document = load_json(record.text, strict=False)
    except (ValueError, RecursionError):
        return None
    return event_of(document, record.number, wanted) if isinstance(document, dict) else None
