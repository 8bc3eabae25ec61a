"""One input that was read: what it is, how much of it was read, and the flows in it."""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING

from auditor.sources.files.skip_counts import Tally
from auditor.sources.files.warnings import SourceWarning
from auditor.sources.flows.neighbors import NeighborRequests
from auditor.sources.flows.table import FlowTable

if TYPE_CHECKING:
    import pandas as pd

    from auditor.sources.configmgr.facts import ReportedSteps
    from auditor.sources.flows.source_flows import SourceFlows

Advance = Callable[[int, int], None]  # called now and then: bytes read, bytes in all
ROLLED_OVER = ".old"  # what Windows adds to the name of a log that has grown to its limit
UNWRITABLE = re.compile("[\ud800-\udfff\ufffd]")
CAPTURE, FIREWALL_LOG, EVENT_LOG = "capture", "firewall-log", "event-log"
CONFIGMGR_LOG, IIS_LOG = "configmgr-log", "iis-log"
WITHOUT_FLOWS = frozenset((CONFIGMGR_LOG, IIS_LOG))  # they report steps and requests, not traffic


@dataclass(frozen=True)
class Source:
    """One input that was read.

    Attributes:
        path: The file, as text that can be written anywhere; of a file in an archive, that of the archive and its name
            in it, such as bundle.zip/logs/pfirewall.log.
        kind: "capture", "firewall-log", "event-log", "configmgr-log" or "iis-log".
        format: "pcap", "pcapng", "pfirewall", "evtx", "JSON" or which log of ConfigMgr it is, with " (gzip)" behind it
            when packed.
        bytes: Size of the file.
        records: Frames, rows or events read.
        skipped: Those that could not be read.
        first_ns: Earliest time in nanoseconds since 1970, None when it is empty.
        last_ns: Latest time.
        understood: Rows and events, or ARP messages and IP packets read, also those inside others.
        warnings: What the administrator must know about it.
        tally: Frames, rows or events that hold nothing to audit, by what they are.
        details: Its flows.
        clock: "utc", or "local" for the times of a log without a known time zone.
        outlasted_frame: The last frame of a capture after which it went on for as long as a response may take, 0 if
            there is none.
        reported: What a log of ConfigMgr or IIS reports; None of other sources.
        unpacked: Where a file of an archive is while the archive is open; None if the file is at its path.
    """

    path: str
    kind: str
    format: str
    bytes: int
    records: int
    skipped: int
    first_ns: int | None
    last_ns: int | None
    understood: int
    warnings: tuple[SourceWarning, ...]
    tally: Tally
    details: SourceFlows
    clock: str = "utc"
    outlasted_frame: int = 0
    reported: ReportedSteps | None = None
    unpacked: Path | None = None

    @cached_property
    def table(self) -> FlowTable:
        """The flow table as the judging works on it."""
        table = self.details.table
        table = table if isinstance(table, FlowTable) else FlowTable(table)
        return table.of_source(self.path) if self.unpacked else table

    @property
    def file(self) -> Path:
        """Where its bytes are."""
        return self.unpacked or Path(self.path)

    @property
    def asked(self) -> tuple[NeighborRequests, ...]:
        """Who was asked for on the local network in vain."""
        return self.details.asked

    @property
    def flows(self) -> pd.DataFrame:
        """The flow table: one row a flow, the same columns and types also when it is empty."""
        return self.table.frame


def name_of(path: str | Path) -> str:
    """Return a path as text that can be written anywhere: a file name need not be Unicode, tables and JSON must be.

    Two paths never become one text, and no separator appears: U+FFFD stands before the code of each character that
    cannot be written, so "PC\\udcff" becomes "PC\ufffdDCFF".
    """
    return UNWRITABLE.sub(lambda match: f"\ufffd{ord(match[0]):04X}", str(path))


def silent(_done: int, _total: int) -> None:
    """Report no progress."""
