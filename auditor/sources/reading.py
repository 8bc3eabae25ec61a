"""Open a source, tell what it is by its first bytes, and read it whole."""

from __future__ import annotations

import gzip
import stat
import tomllib
import zlib
from dataclasses import dataclass
from functools import cache
from pathlib import Path

import numpy as np
import pandas as pd

from auditor.errors import SourceError
from auditor.flows import FlowBuilder, Flows
from auditor.log_flows import LogFlowBuilder, LogFlows
from auditor.shipped import rulesets_folder
from auditor.sources.capture import GZIP_MAGIC, PCAP_MAGICS, PCAPNG_MAGIC, CaptureReader, Records
from auditor.sources.clock import Clock, parse_zone
from auditor.sources.log_rows import CANONICAL, Schema
from auditor.sources.packets import AH, ESP, PacketReader, Tunnels
from auditor.sources.pfirewall import LogReader, recognise
from auditor.sources.tally import Tally
from auditor.sources.warnings import SourceWarning

# Formats that are often mistaken for captures: first bytes, what it is, what to do.
KNOWN_FORMATS = (
    (b"snoop\0\0\0", "a Solaris snoop capture", "convert it: editcap -F pcapng IN OUT"),
    (b"GMBU", "a Microsoft Network Monitor capture", "convert it: editcap -F pcapng IN OUT"),
    (b"RTSS", "a Microsoft Network Monitor capture", "convert it: editcap -F pcapng IN OUT"),
    (b"ElfFile", "a Windows event log (.evtx)", "export the log as text, or take a capture"),
    (b"PK\x03\x04", "a ZIP archive", "unpack it and name the capture inside"),
    (b"7z\xbc\xaf\x27\x1c", "a 7-Zip archive", "unpack it and name the capture inside"),
    (b"\xfd7zXZ\0", "an XZ-compressed file", "unpack it: xz -d FILE"),
    (b"BZh", "a bzip2-compressed file", "unpack it: bzip2 -d FILE"),
    (b"\x28\xb5\x2f\xfd", "a Zstandard-compressed file", "unpack it: zstd -d FILE"),
    (b"\x04\x22\x4d\x18", "an LZ4-compressed file", "unpack it: lz4 -d FILE"),
    (b"\xa1\xb2\xcd\x34", "a pcap variant that nobody writes any more", "convert it: editcap -F pcapng IN OUT"),
    (b"\x34\xcd\xb2\xa1", "a pcap variant that nobody writes any more", "convert it: editcap -F pcapng IN OUT"),
    (b"\x89PNG", "a picture", "name the capture itself"),
    (b"%PDF", "a PDF document", "name the capture itself"),
)
ETL_HINT = "a Windows trace (.etl)? Convert it with etl2pcapng, or take the capture with Wireshark"


@dataclass(frozen=True)
class Source:
    """One input that was read.

    kind: "capture" or "firewall-log"; format: "pcap", "pcapng" or "pfirewall", with " (gzip)" behind it when packed;
    bytes: size of the file; records: frames or rows read; skipped: frames or lines that could not be read; first_ns,
    last_ns: earliest and latest time in nanoseconds since 1970, None when it is empty; clock: "utc", or "local" for the
    times of a log whose zone nobody said; tally: frames or rows that hold nothing to audit, by what they are.
    """

    path: str
    kind: str
    format: str
    bytes: int
    records: int
    skipped: int
    first_ns: int | None
    last_ns: int | None
    warnings: tuple[SourceWarning, ...]
    tally: Tally
    details: Flows | LogFlows
    clock: str = "utc"

    @property
    def flows(self) -> pd.DataFrame:
        """The flow table: one row a flow, the same columns and types also when it is empty."""
        return self.details.table


def read(path: str | Path, *, tz: str | None = None) -> Source:
    """Read a capture or a Windows Firewall log and return its flows, counts and warnings.

    path: a pcap or pcapng file or a pfirewall.log, plain or gzipped; what it is, its content tells. tz: the time zone
    of a log's local times, such as +02:00 or Europe/Berlin; without it they stay local. What can be read of a cut or
    damaged file is kept and the rest told as a warning. Raises SourceError when the file is missing, of another kind,
    or its header cannot be read, and ArgumentError when tz is no time zone.
    """
    file, clock = Path(path), Clock(parse_zone(tz))
    head = _head(file)
    if head[:4] in PCAP_MAGICS or head[:4] == PCAPNG_MAGIC:
        return _read_capture(file)
    try:
        schema = None if _known_format(head) else recognise(file)
        if schema is not None:
            return _read_log(file, schema, clock)
    except OSError as error:
        raise _unreadable(file, error) from error
    raise _not_a_source(file, head)


def _read_log(path: Path, schema: Schema, clock: Clock) -> Source:
    reader = LogReader(path, schema, clock)
    builder = LogFlowBuilder()
    for rows in reader:
        builder.add(rows)
    attempts = builder.finish(reader.addresses)
    details = LogFlows(_name(path), attempts, reader.addresses, builder.facts(reader, attempts))
    notes = ", ".join(filter(None, (reader.encoding, "gzip" * reader.gzipped)))
    return Source(
        path=_name(path),
        kind="firewall-log",
        format="pfirewall" + (f" ({notes})" if notes else ""),
        bytes=path.stat().st_size,
        records=reader.account.rows,
        skipped=reader.account.skipped,
        first_ns=None if builder.first_s is None else builder.first_s * 10**9,
        last_ns=None if builder.last_s is None else builder.last_s * 10**9,
        warnings=tuple(reader.warnings + _told_of_log(reader, details)),
        tally=Tally(builder.unused),
        details=details,
        clock=details.facts.clock,
    )


def _told_of_log(reader: LogReader, details: LogFlows) -> list[SourceWarning]:
    """Return warnings for what is wrong with a log, or missing from it."""
    account, warnings = reader.account, reader.clock.warnings()
    if account.skipped:
        kinds = "; ".join(
            f"{count:,} with {kind}, such as line {account.samples[kind][0][0]:,}: {account.samples[kind][0][1]}"
            for kind, count in account.malformed.most_common()
        )
        text = f"{account.skipped:,} of {account.lines:,} lines could not be read: {kinds}"
        warnings.append(SourceWarning("malformed-lines", text))
    if account.lost_rows:
        text = (
            f"Windows did not write {account.lost:,} events (it says so in {account.lost_rows:,} rows): what is "
            "missing here may have been among them."
        )
        warnings.append(SourceWarning("lost-events", text))
    if not reader.headed:
        text = "No #Fields line names the columns: they were taken for those that Windows writes."
        warnings.append(SourceWarning("no-header", text))
    if unknown := [name for name in reader.schema.names if name not in CANONICAL]:
        text = f"Columns that are not known here were not used: {', '.join(unknown[:5])}."
        warnings.append(SourceWarning("unknown-columns", text))
    if details.facts.folded:
        text = (
            f"The log is very large: {details.facts.folded:,} of its rows are of attempts that are many times the "
            "same, and were put together; the first and the last of each are kept."
        )
        warnings.append(SourceWarning("folded", text))
    if not account.rows:
        warnings.append(SourceWarning("no-rows", "The log holds no rows."))
    return warnings


def _read_capture(path: Path) -> Source:
    reader = CaptureReader(path)
    packets = PacketReader(known_tunnels())
    name = _name(path)
    builder = FlowBuilder(name, packets.addresses)
    span = _Span()
    try:
        for records in reader:
            span.add(records)
            builder.add(packets.read(records))
    except OSError as error:
        raise _unreadable(path, error) from error
    details = builder.finish()
    return Source(
        path=name,
        kind="capture",
        format=reader.format + (" (gzip)" if reader.gzipped else ""),
        bytes=path.stat().st_size,
        records=reader.records,
        skipped=reader.skipped,
        first_ns=span.first,
        last_ns=span.last,
        warnings=tuple(reader.warnings + _told_of(packets.tally, details, builder.quotes_dropped, reader.records)),
        tally=packets.tally,
        details=details,
    )


def _name(path: Path) -> str:
    """Return a path as text that can be written anywhere: a file name need not be Unicode, tables and JSON must be."""
    return str(path).encode("utf-8", "backslashreplace").decode("utf-8")


class _Span:
    """The earliest and the latest time of all records."""

    first: int | None = None
    last: int | None = None

    def add(self, records: Records) -> None:
        low, high = int(np.min(records.time_ns)), int(np.max(records.time_ns))
        self.first = low if self.first is None else min(low, self.first)
        self.last = high if self.last is None else max(high, self.last)


def _told_of(tally: Tally, details: Flows, quotes_dropped: int, records: int) -> list[SourceWarning]:
    """Return warnings for what was in the capture but could not be looked into."""
    warnings = []
    for what, count in sorted(tally.frames.items()):
        if what.startswith("link type"):
            warnings.append(
                SourceWarning("unknown-link-type", f"{count:,} frames are of {what}, which is not known here.")
            )
        elif what.startswith(("a cut", "a broken", "a tunnel within")):
            warnings.append(SourceWarning("unreadable-headers", f"{count:,} frames hold {what}; they were not used."))
    pairs = sorted({(src, dst) for src, dst, protocol in details.others if protocol in (ESP, AH)})
    if pairs or tally.frames["tunnel IPsec"]:
        between = ", ".join(f"{src} and {dst}" for src, dst in pairs[:5]) or "some hosts"
        text = f"IPsec between {between}: nobody can see which ports these packets use."
        warnings.append(SourceWarning("ipsec", text))
    for name in ("GTP", "AYIYA"):
        if count := tally.frames[f"tunnel {name}"]:
            warnings.append(SourceWarning("tunnel", f"{count:,} packets look like {name} tunnels: not looked into."))
    if quotes_dropped:
        warnings.append(SourceWarning("too-many-errors", f"{quotes_dropped:,} ICMP errors were not kept as evidence."))
    if not records:
        warnings.append(SourceWarning("no-packets", "The file holds no packets."))
    return warnings


def _head(path: Path) -> bytes:
    """Return the first bytes, unpacked; raise SourceError when there are none to be had."""
    try:
        mode = path.stat().st_mode
        if stat.S_ISDIR(mode):
            raise SourceError("this is a folder", where=str(path), hint="name the capture files in it")
        if not stat.S_ISREG(mode):
            raise SourceError("this is not an ordinary file", where=str(path), hint="save the capture to a file first")
        with path.open("rb") as file:
            head = file.read(64)
        if head[:2] == GZIP_MAGIC:
            with gzip.open(path) as packed:
                head = packed.read(64)
    except (EOFError, gzip.BadGzipFile, zlib.error) as error:
        raise SourceError(
            f"the gzip data cannot be unpacked ({error})", where=str(path), hint="copy it again"
        ) from error
    except (OSError, ValueError) as error:
        raise _unreadable(path, error) from error
    if not head:
        raise SourceError("the file is empty", where=str(path), hint="was the capture stopped before it was copied?")
    return head


def _unreadable(path: Path, error: Exception) -> SourceError:
    if isinstance(error, FileNotFoundError):
        return SourceError("no such file", where=str(path), hint="check the path")
    if isinstance(error, PermissionError):
        return SourceError("no permission to read it", where=str(path), hint="copy it, or run as a user who may")
    reason = getattr(error, "strerror", None) or str(error)
    return SourceError(
        f"cannot be read ({reason})", where=str(path), hint="copy the file to a local disk and try again"
    )


def _known_format(head: bytes) -> tuple[str, str] | None:
    """Return what a file is that is neither a capture nor a log, and what to do; None if it is not known."""
    return next(((what, hint) for magic, what, hint in KNOWN_FORMATS if head.startswith(magic)), None)


def _not_a_source(path: Path, head: bytes) -> SourceError:
    if known := _known_format(head):
        return SourceError(f"this is {known[0]}, not a capture or firewall log", where=str(path), hint=known[1])
    hint = ETL_HINT if path.suffix.lower() == ".etl" else "save it as pcapng in Wireshark, or with tcpdump -w"
    return SourceError("this is no pcap or pcapng capture, and no Windows Firewall log", where=str(path), hint=hint)


@cache
def known_tunnels() -> Tunnels:
    """Return the UDP ports of tunnels (rulesets/well-known/tunnels.toml)."""
    text = (rulesets_folder() / "well-known" / "tunnels.toml").read_text(encoding="utf-8")
    tables = tomllib.loads(text)
    return Tunnels(dict(tables["read"]), dict(tables["unread"]))
