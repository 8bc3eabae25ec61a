"""Copy chosen packets of a capture into a small pcapng file, with comments if wanted.

Reference: draft-ietf-opsawg-pcapng (section header, interface description and enhanced packet blocks).
"""

from __future__ import annotations

import struct
from collections.abc import Collection, Iterable, Iterator
from pathlib import Path
from typing import BinaryIO, NamedTuple

import numpy as np
from numpy.typing import NDArray

from auditor.sources.capture.reader import CaptureReader, Records

COMMENT = 1  # code of the option opt_comment
NANOSECONDS = 9  # value of the option if_tsresol


class Record(NamedTuple):
    """One packet as it stands in a capture."""

    frame: int
    time_ns: int
    link_type: int
    original: int
    data: bytes


def frames_of(path: Path, frames: Collection[int] | NDArray[np.int64]) -> Iterator[Record]:
    """Yield the packets with these frame numbers, in file order."""
    wanted = np.unique(np.array(frames if isinstance(frames, np.ndarray) else list(frames), np.int64))
    for records in CaptureReader(path):
        in_batch = wanted[(wanted >= records.frame[0]) & (wanted <= records.frame[-1])]
        at = np.searchsorted(records.frame, in_batch)
        for index in at[records.frame[np.minimum(at, len(records.frame) - 1)] == in_batch].tolist():
            yield _record(records, index)
        if not len(wanted) or records.frame[-1] >= wanted[-1]:
            return


def _record(records: Records, index: int) -> Record:
    start, length = int(records.start[index]), int(records.captured[index])
    return Record(
        frame=int(records.frame[index]),
        time_ns=int(records.time_ns[index]),
        link_type=int(records.link_type[index]),
        original=int(records.original[index]),
        data=records.data[start : start + length].tobytes(),
    )


def write_pcapng(out: BinaryIO, records: Iterable[Record], comments: Iterable[str] = ()) -> list[int]:
    """Write packets as pcapng and return their frame numbers in the order written.

    Args:
        out: Where they are written.
        records: The packets.
        comments: One a packet, or none at all; Wireshark shows them with the packet.
    """
    out.write(_block(0x0A0D0D0A, struct.pack("<IHHq", 0x1A2B3C4D, 1, 0, -1)))
    interfaces: dict[int, int] = {}
    written: list[int] = []
    said = iter(comments)
    for record in records:
        if record.link_type not in interfaces:
            interfaces[record.link_type] = len(interfaces)
            out.write(_interface(record.link_type))
        out.write(_packet(record, interfaces[record.link_type], next(said, "")))
        written.append(record.frame)
    return written


def _block(kind: int, body: bytes) -> bytes:
    padded = body + bytes(-len(body) % 4)
    length = struct.pack("<I", len(padded) + 12)
    return struct.pack("<I", kind) + length + padded + length


def _option(code: int, value: bytes) -> bytes:
    return struct.pack("<HH", code, len(value)) + value + bytes(-len(value) % 4)


def _interface(link_type: int) -> bytes:
    options = _option(9, bytes([NANOSECONDS])) + struct.pack("<HH", 0, 0)
    return _block(1, struct.pack("<HHI", link_type, 0, 0) + options)


def _packet(record: Record, interface: int, comment: str) -> bytes:
    time = max(record.time_ns, 0)
    head = struct.pack("<IIIII", interface, time >> 32, time & 0xFFFFFFFF, len(record.data), record.original)
    options = _option(COMMENT, comment.encode()[:60_000]) + struct.pack("<HH", 0, 0) if comment else b""
    return _block(6, head + record.data + bytes(-len(record.data) % 4) + options)
