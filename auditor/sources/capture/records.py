"""Packet records as every container gives them, and the account of what was read."""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from auditor.sources.files.warnings import SourceWarning, warning
from auditor.sources.files.window import Window

NO_LINK_TYPE = 0xFFFF  # a frame that Wireshark counts but that holds no packet, such as a journal entry
MAX_PACKET = 256 * 1024


@dataclass(frozen=True)
class Records:
    """A batch of packet records in file order: arrays of one length, over one buffer.

    Attributes:
        data: Bytes of the batch, followed by zeros that headers of a cut packet may reach into.
        start: Offset of each packet's first byte in data.
        captured: Bytes of it that are in the file.
        original: Bytes of it on the wire.
        time_ns: Nanoseconds since 1970, UTC.
        link_type: LINKTYPE_ value.
        frame: Number as Wireshark counts, from 1.
    """

    data: NDArray[np.uint8]
    start: NDArray[np.int64]
    captured: NDArray[np.int64]
    original: NDArray[np.int64]
    time_ns: NDArray[np.int64]
    link_type: NDArray[np.uint16]
    frame: NDArray[np.int64]


@dataclass
class Account:
    """How many records of a file were read and skipped so far, and what the administrator must know about it."""

    records: int = 0
    skipped: int = 0
    warnings: list[SourceWarning] = field(default_factory=list)

    def damaged(self, window: Window) -> None:
        """Report that the record at the window's beginning cannot be read."""
        self.skipped += 1
        at = window.passed + window.begin
        self.warnings.append(warning("damaged", "damaged-record", packets=self.records, byte=at))

    def ended(self, window: Window) -> None:
        """Report bytes at the end that are no whole record, if there are any."""
        left = window.end - window.begin
        if left > 0:
            self.skipped += 1
            self.warnings.append(warning("cut-short", "cut-mid-packet", bytes=left, packets=self.records))
