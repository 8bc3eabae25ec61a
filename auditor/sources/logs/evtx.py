"""Read the records of an .evtx file; what its native parser does to a process, it does to a child.

The format is described at https://github.com/libyal/libevtx/blob/main/documentation/.
"""

from __future__ import annotations

import os
import struct
import subprocess
import sys
import threading
from collections.abc import Generator, Iterator
from contextlib import suppress
from dataclasses import dataclass, field
from importlib.util import find_spec
from pathlib import Path
from typing import NamedTuple

from auditor.errors import SourceError
from auditor.ruleset.statements import say
from auditor.sources.files.warnings import SourceWarning, warning
from auditor.sources.logs import evtx_child
from auditor.sources.logs.evtx_child import CHUNK, CHUNK_MAGIC, FILE_HEADER, LONGEST_RECORD, MESSAGE, MOST_IN_CHUNK

EVTX_MAGIC = b"ElfFile\0"
NO_RECORD = (1 << 64) - 1  # the number of the last record in a chunk that has none yet
MOST_SAMPLES = 5
CPU_SECONDS = 2  # for a chunk, which takes milliseconds
WALL_SECONDS = 60.0  # for a chunk where the system limits no processor time
MOST_FAILED_CHUNKS = 2  # then the rest is given up: a file made to stop the parser does so in every chunk
LIMITS_PROCESSOR_TIME = sys.platform != "win32"
NO_PACKAGE = (
    "Install it with: pipx inject auditor evtx (or pip install evtx). Or export the log as JSON: "
    "Get-WinEvent -Path FILE | ConvertTo-Json > FILE.json"
)


class EvtxRecord(NamedTuple):
    """One record.

    Attributes:
        number: Its EventRecordID.
        text: The event as JSON.
    """

    number: int
    text: str


@dataclass
class Faults:
    """What could not be parsed.

    Attributes:
        count: How many records, and chunks that ended the parser.
        samples: What the parser says of the first few.
    """

    count: int = 0
    samples: list[str] = field(default_factory=list)

    def add(self, text: str) -> None:
        """Count one, and keep its text if it is of the first few."""
        self.count += 1
        if len(self.samples) < MOST_SAMPLES:
            self.samples.append(text)


class ChunkCounts(NamedTuple):
    """What a file holds by its own headers.

    Attributes:
        records: Events in all whole chunks.
        broken_chunks: Chunks whose header says nothing.
        cut: The warning on what is missing at the end, None if nothing is.
    """

    records: int
    broken_chunks: int
    cut: SourceWarning | None


def chunk_counts(path: Path) -> ChunkCounts:
    """Return what the headers of the file and its chunks say.

    Raises:
        SourceError: If the file ends in its header.
        OSError: If it cannot be read.
    """
    with path.open("rb") as file:
        header = file.read(FILE_HEADER)
        if len(header) < FILE_HEADER:
            hint = "Export it again: wevtutil epl Security security.evtx"
            raise SourceError("the event log cannot be read (it ends in its header)", where=str(path), hint=hint)
        (count,) = struct.unpack_from("<H", header, 42)
        records = broken = whole = 0
        while len(chunk := file.read(CHUNK)) == CHUNK:
            whole += 1
            first_record, last_record = struct.unpack_from("<QQ", chunk, 8)
            if chunk.startswith(CHUNK_MAGIC) and last_record - first_record < MOST_IN_CHUNK:
                records += max(last_record - first_record + 1, 0) if last_record != NO_RECORD else 0
            elif any(chunk):
                broken += 1
    cut = None
    if chunk:
        cut = warning("cut-short", "cut-mid-chunk", bytes=len(chunk))
    elif whole < count:
        cut = warning("cut-short", "chunks-missing", missing=count - whole, count=count)
    return ChunkCounts(records, broken, cut)


def evtx_records(path: Path, faults: Faults) -> Iterator[EvtxRecord]:
    """Yield the records that the package evtx can parse.

    A chunk at which the parser never ends, or ends the process, costs that chunk; the next one is parsed by another
    process.

    Args:
        path: The file.
        faults: Where what cannot be parsed is counted.

    Raises:
        SourceError: If the package is not installed, or no process can be started.
    """
    if not _installed():
        raise SourceError(
            "reading a Windows event log (.evtx) needs the package evtx", where=str(path), hint=NO_PACKAGE
        )
    chunks = (path.stat().st_size - FILE_HEADER) // CHUNK
    chunk = failed = 0
    while chunk < chunks and failed < MOST_FAILED_CHUNKS:
        chunk = yield from _from_chunk(path, chunk, faults)
        if chunk < chunks:
            faults.add(say("warning.evtx-chunk-failed", chunk=chunk + 1))
            failed, chunk = failed + 1, chunk + 1
    if chunk < chunks:
        faults.add(say("warning.evtx-given-up", chunk=chunk + 1, chunks=chunks))


def _installed() -> bool:
    with suppress(ValueError):  # a module without a specification stands in its place
        return find_spec("evtx") is not None
    return False


def _from_chunk(path: Path, chunk: int, faults: Faults) -> Generator[EvtxRecord, None, int]:
    """Yield the records from a chunk on, and return the number of the chunk at which the parser failed."""
    with _Child(path, chunk) as child:
        while message := child.message():
            if message.kind == evtx_child.RECORD:
                yield EvtxRecord(message.number, message.text)
            elif message.kind == evtx_child.FAULT:
                faults.add(message.text)
            else:
                chunk = message.number + 1
    return chunk


class _Message(NamedTuple):
    """What the child writes: a record, a fault, or that a chunk ends; its number, and the text of the first two."""

    kind: bytes
    number: int
    text: str


class _Child:
    """A process that parses a file from a chunk on. It ends with the block that it is used in.

    Raises:
        SourceError: If it cannot be started.
    """

    def __init__(self, path: Path, chunk: int) -> None:
        cpu_seconds = CPU_SECONDS if LIMITS_PROCESSOR_TIME else 0
        command = [sys.executable, "-c", evtx_child.START, os.fspath(path), str(chunk), str(cpu_seconds), *sys.path]
        nothing = subprocess.DEVNULL
        try:
            self._process = subprocess.Popen(command, stdin=nothing, stdout=subprocess.PIPE, stderr=nothing)
        except (OSError, ValueError) as error:
            problem = f"the process that parses it cannot be started ({error})"
            raise SourceError(problem, where=str(path), hint="Close other programs, and try again.") from error
        assert self._process.stdout is not None
        self._answers = self._process.stdout
        self._heard, self._ended = threading.Event(), threading.Event()
        if not LIMITS_PROCESSOR_TIME:
            threading.Thread(target=self._end_if_silent, daemon=True).start()

    def __enter__(self) -> _Child:
        return self

    def __exit__(self, *_: object) -> None:
        self._ended.set()
        self._process.kill()
        self._process.wait()
        self._answers.close()

    def message(self) -> _Message | None:
        """Return the next message, None when the process has ended."""
        head = self._answers.read(MESSAGE.size)
        if len(head) < MESSAGE.size:
            return None
        kind, number, length = MESSAGE.unpack(head)
        content = self._answers.read(min(length, LONGEST_RECORD))
        self._heard.set()
        return _Message(kind, number, content.decode("utf-8", "replace")) if len(content) == length else None

    def _end_if_silent(self) -> None:
        while not self._ended.wait(WALL_SECONDS):
            if not self._heard.is_set():
                self._process.kill()
                return
            self._heard.clear()
