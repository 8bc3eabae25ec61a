"""What the report says of each source, read or not."""

from __future__ import annotations

from dataclasses import dataclass

from auditor.sources.files.warnings import SourceWarning


@dataclass(frozen=True)
class SourceSummary:
    """One source: what it was, how much of it was read, and what was wrong with it.

    quoted: what in its warnings is the source's own text.
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
