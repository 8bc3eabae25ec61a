"""What the report says of each source, read or not."""

from __future__ import annotations

from dataclasses import dataclass

from auditor.sources.files.warnings import SourceWarning


@dataclass(frozen=True)
class SourceSummary:
    """One source: what it was, how much of it was read, and what was wrong with it.

    Attributes:
        path: As the user wrote it.
        kind: "capture", "firewall-log", "event-log", "configmgr-log", "iis-log" or "unknown".
        format: Such as "pcapng"; empty if it was not read.
        bytes: Size of the file.
        records: Packets, rows, or events that were read.
        skipped: Those that could not be read.
        first_time: ISO 8601 with microseconds, UTC with a Z, the local time of a log without; None if unknown.
        last_time: Likewise.
        warnings: In the order of their codes.
        quoted: What in the warnings is the source's own text.
        capture_point: Where a capture was taken: a role, for the network of its computer; "between" for the path;
            "unknown". Empty if the source is no capture.
    """

    path: str
    kind: str
    format: str
    bytes: int
    records: int
    skipped: int
    first_time: str | None
    last_time: str | None
    warnings: tuple[SourceWarning, ...]
    quoted: tuple[str, ...] = ()
    capture_point: str = ""
