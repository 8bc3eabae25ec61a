"""Parse the chunks of an .evtx file in a process of its own: native code may spin, crash, or take all memory.

The parser holds Python's lock while it works, so neither Ctrl-C nor a thread could end it in the same process.
"""

from __future__ import annotations

import io
import os
import signal
import struct
import sys
import time
import zlib
from collections.abc import Iterator
from contextlib import suppress
from typing import Any

FILE_HEADER, CHUNK = 4096, 65536
CHUNK_MAGIC = b"ElfChnk\0"
MOST_IN_CHUNK = CHUNK // 24  # the header and the closing length of a record take that much
LONGEST_RECORD = 4 * 1024 * 1024  # as JSON; a chunk holds 64 KiB, and a template repeats what stands there once
MEMORY = 400 * 1024 * 1024  # of addresses: the interpreter and a chunk take a tenth
START = (
    "import sys; sys.path[:] = sys.argv[4:]; from auditor.sources.logs.evtx_child import main; "
    "main(sys.argv[1], int(sys.argv[2]), int(sys.argv[3]))"
)

# A message: its kind, the number of the record or chunk, and the length of the text that follows.
MESSAGE = struct.Struct("<cQI")
RECORD, FAULT, END_OF_CHUNK = b"R", b"F", b"E"

# The header of a file of one chunk, so that a damaged header of the real file loses nothing.
_HEADER = struct.pack("<8sQQQIHHHH76xI", b"ElfFile\0", 0, 0, 1, 128, 1, 3, FILE_HEADER, 1, 0)
_ONE_CHUNK = (_HEADER + struct.pack("<I", zlib.crc32(_HEADER[:120]))).ljust(FILE_HEADER, b"\0")


def main(path: str, first_chunk: int, cpu_seconds: int) -> None:
    """Write the records of an .evtx file to standard output, as messages.

    Args:
        path: The file.
        first_chunk: Number of the chunk to begin with, from 0.
        cpu_seconds: Processor time that a chunk may take before this process ends; 0 for no limit.
    """
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C goes to all processes of a terminal: the parent decides
    _limit_memory()
    with open(path, "rb") as file, os.fdopen(os.dup(1), "wb", buffering=0) as out, suppress(BrokenPipeError):
        file.seek(FILE_HEADER + first_chunk * CHUNK)
        number = first_chunk
        while len(chunk := file.read(CHUNK)) == CHUNK:
            if chunk.startswith(CHUNK_MAGIC):
                _limit_processor_time(cpu_seconds)
                for message in _messages(chunk):
                    out.write(message)
            out.write(MESSAGE.pack(END_OF_CHUNK, number, 0))
            number += 1


def _messages(chunk: bytes) -> Iterator[bytes]:
    for number, text in _records(chunk):
        content = text.encode("utf-8", "replace")
        kind = FAULT if number is None else RECORD
        if len(content) > LONGEST_RECORD:
            kind, content = FAULT, b"the record is too long"
        yield MESSAGE.pack(kind, number or 0, len(content)) + content


def _records(chunk: bytes) -> Iterator[tuple[int | None, str]]:
    """Yield number and JSON of each record; None and the fault for what cannot be parsed."""
    from evtx import PyEvtxParser

    try:
        records: Any = PyEvtxParser(io.BytesIO(_ONE_CHUNK + chunk), number_of_threads=1).records_json()
    except (RuntimeError, OSError) as error:
        yield None, _fault(error)
        return
    for _ in range(2 * MOST_IN_CHUNK):  # the same error may come without end
        try:
            record = next(records)
            yield record["event_record_id"], record["data"]
        except StopIteration:
            return
        except (RuntimeError, OSError) as error:
            yield None, _fault(error)
        except BaseException as error:  # a panic of the Rust code comes as one, and no more records follow
            if type(error).__name__ != "PanicException":
                raise
            yield None, f"the package evtx gave up ({_fault(error)})"
            return


def _fault(error: BaseException) -> str:
    return str(error).partition("\n")[0]


def _limit_memory() -> None:
    if sys.platform != "win32":
        import resource

        with suppress(OSError, ValueError):  # a lower limit is set already, or the system knows none
            resource.setrlimit(resource.RLIMIT_AS, (MEMORY, MEMORY))
        with suppress(OSError, ValueError):
            resource.setrlimit(resource.RLIMIT_CORE, (0, 0))


def _limit_processor_time(seconds: int) -> None:
    if seconds and sys.platform != "win32":
        import resource

        _, hard = resource.getrlimit(resource.RLIMIT_CPU)
        soft = int(time.process_time()) + seconds
        with suppress(ValueError):  # the caller's own limit is lower
            resource.setrlimit(resource.RLIMIT_CPU, (soft, hard))
