"""Read packet records out of capture files: pcap and pcapng, plain or gzipped, whole or cut.

Link types are listed at https://www.tcpdump.org/linktypes.html.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

from auditor.errors import SourceError
from auditor.sources.capture.pcap import PCAP_MAGICS, Pcap
from auditor.sources.capture.pcapng import PCAPNG_MAGIC, Pcapng
from auditor.sources.capture.records import MAX_PACKET, NO_LINK_TYPE, Account, Records
from auditor.sources.files.warnings import SourceWarning
from auditor.sources.files.window import Window

__all__ = ["MAX_PACKET", "NO_LINK_TYPE", "PCAPNG_MAGIC", "PCAP_MAGICS", "CaptureReader", "Records"]

WINDOW = 16 * 1024 * 1024


class CaptureReader:
    """Iterate over the records of one capture; afterwards it has how many were read and what was wrong.

    Attributes:
        format: "pcap" or "pcapng".
        gzipped: Whether it was packed.
        records: Frames read.
        skipped: Frames that could not be.
        bytes: Size of the file when it was opened.
        position: Bytes of it read so far.
        warnings: What the administrator must know about this file.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self.gzipped = False
        self.format = ""
        self.bytes = self.position = 0
        self._account = Account()

    @property
    def records(self) -> int:
        """Frames read so far."""
        return self._account.records

    @property
    def skipped(self) -> int:
        """Frames so far that could not be read."""
        return self._account.skipped

    @property
    def warnings(self) -> list[SourceWarning]:
        """What the administrator must know, as far as read."""
        return self._account.warnings

    def __iter__(self) -> Iterator[Records]:
        """Yield batches of records; the bytes of a batch stay as they are until the next one is asked for."""
        with self.path.open("rb") as raw, Window(raw, WINDOW, self._account.warnings) as window:
            self.bytes = os.fstat(raw.fileno()).st_size
            magic = bytes(window.data[window.begin : window.begin + 4])
            if magic != PCAPNG_MAGIC and magic not in PCAP_MAGICS:
                hint = "Copy the file again: it is corrupted, or it changed while auditor read it."
                raise SourceError("nothing of the capture can be read", where=str(self.path), hint=hint)
            is_pcapng = window.data[window.begin : window.begin + 4] == PCAPNG_MAGIC
            self.gzipped, self.format = window.gzipped, "pcapng" if is_pcapng else "pcap"
            container = Pcapng(window, self._account) if is_pcapng else Pcap(window, self._account)
            for batch in container.batches():
                self.position = window.position
                if len(batch.start):
                    self._account.records += len(batch.start)
                    yield batch
