"""Open a source, find its kind by its first bytes, and read it whole."""

from __future__ import annotations

import io
import os
import stat
import tomllib
import zlib
from collections.abc import Iterator
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, BinaryIO

import numpy as np

from auditor.errors import NotASourceError, SourceError
from auditor.ruleset.package_data import rulesets_folder
from auditor.ruleset.statements import say
from auditor.sources.capture.lapse import Lapse
from auditor.sources.capture.link_layer import SMALLEST_ETHER_TYPE
from auditor.sources.capture.packets import UNWANTED_ERRORS, PacketReader
from auditor.sources.capture.reader import PCAP_MAGICS, PCAPNG_MAGIC, CaptureReader, Records
from auditor.sources.capture.tunnels import Tunnels
from auditor.sources.files.gzip_stream import GZIP_MAGIC, EndlessError, Unpacked
from auditor.sources.files.skip_counts import NotUsed, Tally
from auditor.sources.files.time_span import TimeSpan
from auditor.sources.files.warnings import SourceWarning, warning
from auditor.sources.flows.builder import Dropped, FlowBuilder, Flows
from auditor.sources.flows.flow_limit import MOST_FLOWS, Ports
from auditor.sources.logs.batching import Steps, read_single
from auditor.sources.logs.event_log import is_event_log
from auditor.sources.logs.time_zone import Clock, parse_zone
from auditor.sources.source import CAPTURE, EVENT_LOG, Advance, Source, name_of, silent

if TYPE_CHECKING:
    from auditor.sources.logs.addresses import LogAddresses

# What reads logs is imported where it is needed: to load it takes as long as to read many a capture.

# Formats that are often mistaken for captures: first bytes, what it is, what to do.
KNOWN_FORMATS = (
    (b"snoop\0\0\0", "a Solaris snoop capture", "Convert it: editcap -F pcapng IN OUT"),
    (b"GMBU", "a Microsoft Network Monitor capture", "Convert it: editcap -F pcapng IN OUT"),
    (b"RTSS", "a Microsoft Network Monitor capture", "Convert it: editcap -F pcapng IN OUT"),
    (GZIP_MAGIC, "a gzip file within a gzip file", "Extract it once (gzip -d FILE) and name the result."),
    (b"<?xml", "an XML file", "Save an event log as .evtx: wevtutil epl Security security.evtx"),
    (b"<Event", "an event log as XML", "Save it as .evtx: wevtutil epl Security security.evtx"),
    (b"PK\x03\x04", "a ZIP archive", "To analyze it: auditor analyze FILE"),
    (b"MSCF", "a cabinet file", "Extract it: expand -F:* FILE FOLDER"),
    (b"7z\xbc\xaf\x27\x1c", "a 7-Zip archive", "Extract it and name the capture in it."),
    (b"\xfd7zXZ\0", "an XZ-compressed file", "Extract it: xz -d FILE"),
    (b"BZh", "a bzip2-compressed file", "Extract it: bzip2 -d FILE"),
    (b"\x28\xb5\x2f\xfd", "a Zstandard-compressed file", "Extract it: zstd -d FILE"),
    (b"\x04\x22\x4d\x18", "an LZ4-compressed file", "Extract it: lz4 -d FILE"),
    (b"\xa1\xb2\xcd\x34", "an obsolete pcap variant", "Convert it: editcap -F pcapng IN OUT"),
    (b"\x34\xcd\xb2\xa1", "an obsolete pcap variant", "Convert it: editcap -F pcapng IN OUT"),
    (b"\x89PNG", "a picture", "Name the capture itself."),
    (b"%PDF", "a PDF document", "Name the capture itself."),
)
NO_EVIDENCE = (b"<?xml", b"\x89PNG", b"%PDF")  # of these formats, those that hold no evidence
EVENTS = b"<Event"  # in the first line of an event log as XML
PADDING_PIECE = 1024 * 1024
HEAD = 64  # bytes that tell what a file is
CAPTURE_HINT = "Save it as pcapng in Wireshark, or with tcpdump -w."
LOG_HINT = r"Copy the log from C:\Windows\System32\LogFiles\Firewall: its first line begins with #Version."
EMPTY_HINT = "Stop the capture before you copy it."
EMPTY_FIREWALL_LOG = "Turn on logging of dropped packets and successful connections, then run the installation again."
OTHER_LOGS = ("ccm", "client", "location", "u_ex")  # how names of logs of ConfigMgr and IIS begin
EMPTY_LOG = "Take the log of the day and the computer of the installation, or run the installation again."
SAVED_REPORT = b'"format_version"'  # its first key
ETL_HINT = "Convert the Windows trace: pktmon etl2pcap FILE.etl -o FILE.pcapng (etl2pcapng for netsh trace)."


def read(path: str | Path, ports: Ports = frozenset, *, tz: str | None = None, advance: Advance = silent) -> Source:
    """Read a capture, a Windows Firewall log or an event log and return its flows, counts and warnings.

    What can be read of a cut or damaged file is kept and the rest is reported as a warning.

    Args:
        path: A pcap or pcapng file, a pfirewall.log, plain or gzipped, or a Windows Security event log, as .evtx or
            exported as JSON; its content shows its kind.
        ports: Called when there are more connections than fit into memory, returns the ports at which they are wanted
            all the same.
        tz: The time zone of a firewall log's local times, such as +02:00 or Europe/Berlin; without it they stay local.
        advance: Called with how far it is.

    Raises:
        SourceError: When the file is missing, of another kind, or its header cannot be read.
        ArgumentError: When tz is not a time zone.
    """
    return read_single(reading(path, ports, tz=tz, advance=advance))


def reading(
    path: str | Path,
    ports: Ports = frozenset,
    *,
    tz: str | None = None,
    advance: Advance = silent,
    addresses: LogAddresses | None = None,
) -> Steps[Source]:
    """Do as `read`, in steps, so that short logs can be read together.

    Args:
        path: As of `read`.
        ports: As of `read`.
        tz: As of `read`.
        advance: As of `read`.
        addresses: As of `firewall_log`.
    """
    file, clock = Path(path), Clock(parse_zone(tz))
    with _opened(file) as raw:
        head = _head(file, raw)
        if not _is_capture(head) and not is_event_log(head):
            return (yield from _firewall_log(file, raw, head, clock, advance, addresses))
    return _read_capture(file, ports, advance) if _is_capture(head) else _read_event_log(file)


def _is_capture(head: bytes) -> bool:
    return head[:4] in PCAP_MAGICS or head[:4] == PCAPNG_MAGIC


def _firewall_log(
    path: Path,
    raw: io.BufferedReader,
    head: bytes,
    clock: Clock,
    advance: Advance,
    addresses: LogAddresses | None,
) -> Steps[Source]:
    """Return what a firewall log holds; raise SourceError if it is none."""
    if _known_format(head):
        raise _not_a_source(path, head)
    from auditor.sources.formats import firewall_log

    try:
        source = yield from firewall_log(raw, path, clock, advance, addresses)
        if source is None:
            source = _configmgr_log(path, advance)
    except SourceError:  # a log with other columns, as IIS writes
        source = _configmgr_log(path, advance)
        if source is None:
            raise
    except OSError as error:
        raise _unreadable(path, error) from error
    if source is None:
        raise _not_a_source(path, head)
    return source


def _configmgr_log(path: Path, advance: Advance) -> Source | None:
    from auditor.sources.configmgr_log import configmgr_log

    with _opened(path) as raw:
        return configmgr_log(raw, path, advance)


def _read_capture(path: Path, ports: Ports, advance: Advance) -> Source:
    reader = CaptureReader(path)
    packets = PacketReader(known_tunnels())
    name = name_of(path)
    builder = FlowBuilder(name, packets.addresses, ports)
    seen = _Seen()
    try:
        for records in reader:
            advance(reader.position, reader.bytes)
            if builder.full:
                seen.left_out += len(records.frame)
                continue
            seen.add(records)
            builder.add(packets.read(records, quotes=builder.wants_quotes))
    except OSError as error:
        raise _unreadable(path, error) from error
    details = builder.finish()
    return Source(
        path=name,
        kind=CAPTURE,
        format=reader.format + (" (gzip)" if reader.gzipped else ""),
        bytes=reader.bytes,
        records=reader.records - seen.left_out,
        skipped=reader.skipped + seen.left_out,
        first_ns=seen.span.first_ns,
        last_ns=seen.span.last_ns,
        understood=packets.understood,
        warnings=(
            *reader.warnings,
            *_capture_warnings(packets, details, reader.records),
            *_left_out(details.dropped, packets, seen, reader),
        ),
        tally=packets.tally,
        details=details,
        outlasted_frame=seen.lapse.outlasted_frame,
    )


def _read_event_log(path: Path) -> Source:
    from auditor.sources.flows.from_logs.event_flows import read_events

    name = name_of(path)
    try:
        log, size = read_events(path, name), path.stat().st_size
    except OSError as error:
        raise _unreadable(path, error) from error
    return Source(path=name, kind=EVENT_LOG, bytes=size, understood=log.records, **vars(log))


class _Seen:
    """The times of the records that were looked into, and how many were not."""

    left_out: int = 0

    def __init__(self) -> None:
        self.lapse, self.span = Lapse(), TimeSpan()

    def add(self, records: Records) -> None:
        self.lapse.add(records.frame, records.time_ns)
        self.span.add(int(np.min(records.time_ns)), int(np.max(records.time_ns)))


IPSEC = "IPsec"  # as rulesets/well-known/tunnels.toml calls it; the one encapsulation with a warning of its own
MOST_NAMED = 8  # encapsulations, one warning each
MOST_TYPES = 3  # EtherTypes in one warning


def _capture_warnings(packets: PacketReader, details: Flows, records: int) -> list[SourceWarning]:
    """Return warnings for what was in the capture but could not be looked into."""
    tally = packets.tally
    warnings = [
        warning("unreadable-headers", count=count, what=say(f"not-used.{kind}"))
        for kind in NotUsed
        if (count := tally.frames[kind])
    ]
    warnings += [
        warning("unknown-link-type", count=count, link_type=kind) for kind, count in sorted(tally.link_types.items())
    ]
    if packets.lone_fragments:
        warnings.append(warning("lone-fragments", count=packets.lone_fragments))
    if details.hidden or tally.unread[IPSEC]:
        pairs = [say("warning.ipsec-hosts", src=src, dst=dst) for src, dst in details.hidden[:5]]
        warnings.append(warning("ipsec", pairs=", ".join(pairs) or say("warning.ipsec-unknown-hosts")))
    return [*warnings, *_unread(tally), *_without_ip(tally, records)]


def _unread(tally: Tally) -> Iterator[SourceWarning]:
    """Yield a warning for each encapsulation that is not read, the most frequent first."""
    names = sorted(tally.unread.keys() - {IPSEC}, key=lambda name: (-tally.unread[name], name))
    for name in names[:MOST_NAMED]:
        yield warning("tunnel", count=tally.unread[name], name=name)
    if remaining := names[MOST_NAMED:]:
        count = sum(tally.unread[name] for name in remaining)
        yield warning("tunnel", "tunnel-others", count=count, kinds=len(remaining))


def _without_ip(tally: Tally, records: int) -> Iterator[SourceWarning]:
    """Yield a warning if half of the frames or more are of EtherTypes that are not known here."""
    types = {kind: count for kind, count in tally.ether_types.items() if kind >= SMALLEST_ETHER_TYPE}
    count = sum(types.values())
    if count and 2 * count >= records:
        often = sorted(types, key=lambda kind: (-types[kind], kind))[:MOST_TYPES]
        named = ", ".join(f"0x{kind:04x}" for kind in often)
        yield warning("no-ip", count=count, records=records, types=named)


def _left_out(dropped: Dropped, packets: PacketReader, seen: _Seen, reader: CaptureReader) -> Iterator[SourceWarning]:
    """Yield warnings for what was too much to be kept, and for a file that holds nothing."""
    if seen.left_out:
        yield warning("too-many-flows", "frames-left-out", count=seen.left_out)
    if count := dropped.packets:
        yield warning("too-many-flows", "flows-left-out", most=MOST_FLOWS, count=count)
    if count := dropped.icmp_errors + packets.tally.frames[UNWANTED_ERRORS]:
        yield warning("too-many-errors", count=count)
    if count := dropped.events:
        yield warning("too-many-events", count=count)
    if dropped.speakers:
        yield warning("too-many-neighbours")
    elif count := dropped.neighbor_requests:
        yield warning("too-many-neighbours", "neighbour-requests-left-out", count=count)
    if not reader.records:
        yield warning("no-packets")


def _opened(path: Path) -> io.BufferedReader:
    """Open a file; raise SourceError when it is none, or cannot be opened."""
    try:
        mode = os.stat(path).st_mode
        if stat.S_ISDIR(mode):
            hint = "To analyze it: auditor analyze FOLDER. For a fleet: auditor batch FOLDER -o DIR"
            raise SourceError("this is a folder", where=str(path), hint=hint)
        if not stat.S_ISREG(mode):
            raise SourceError("this is not an ordinary file", where=str(path), hint="Save the capture to a file.")
        return path.open("rb")
    except (OSError, ValueError) as error:
        raise _unreadable(path, error) from error


def _head(path: Path, raw: io.BufferedReader) -> bytes:
    """Return the first bytes, unpacked; raise SourceError when there are none to be had. The file is rewound."""
    try:
        head = raw.read(HEAD)
        if len(head) == HEAD and not head.strip(b"\0"):
            behind = _behind_padding(raw)
            head = behind if is_event_log(behind) else head
        raw.seek(0)
        if head[:2] == GZIP_MAGIC:
            head = _unpacked_head(Unpacked(raw))
            raw.seek(0)
    except (EOFError, zlib.error, EndlessError) as error:
        raise SourceError(
            f"the gzip data cannot be unpacked ({error})", where=str(path), hint="Copy it again."
        ) from error
    except OSError as error:
        raise _unreadable(path, error) from error
    if not head:
        raise NotASourceError("the file is empty", where=str(path), hint=_hint_of_empty(path.name.lower()))
    if head.startswith(b"{") and SAVED_REPORT in head:
        raise NotASourceError("this is a saved report", where=str(path), hint="Convert it: auditor render FILE")
    return head


def _hint_of_empty(name: str) -> str:
    if ".log" not in name:
        return EMPTY_HINT
    return EMPTY_LOG if name.startswith(OTHER_LOGS) else EMPTY_FIREWALL_LOG


def _behind_padding(file: BinaryIO) -> bytes:
    """Return the first bytes behind the zeros of a file that was allocated before it was written, empty if none are."""
    while piece := file.read(PADDING_PIECE):
        if behind := piece.lstrip(b"\0"):
            return behind[:HEAD] if len(behind) >= HEAD else behind + file.read(HEAD - len(behind))
    return b""


def _unpacked_head(packed: Unpacked) -> bytes:
    head = b""
    while len(head) < HEAD and (piece := packed.read(HEAD - len(head))):
        head += piece
    return head


def _unreadable(path: Path, error: Exception) -> SourceError:
    if isinstance(error, FileNotFoundError):
        return SourceError("no such file", where=str(path), hint="Check the path.")
    if isinstance(error, PermissionError):
        return SourceError(
            "no permission to read it", where=str(path), hint="Copy it, or run auditor as a user who can read it."
        )
    reason = getattr(error, "strerror", None) or str(error)
    return SourceError(
        f"cannot be read ({reason})", where=str(path), hint="Copy the file to a local disk and try again."
    )


def _known_format(head: bytes) -> tuple[str, str] | None:
    """Return what a file is that is neither a capture nor a log, and what to do; None if it is not known."""
    return next(((description, hint) for magic, description, hint in KNOWN_FORMATS if head.startswith(magic)), None)


def _not_a_source(path: Path, head: bytes) -> SourceError:
    if other_format := _known_format(head):
        description, hint = other_format
        kind = NotASourceError if head.startswith(NO_EVIDENCE) and EVENTS not in head else SourceError
        return kind(f"this is {description}, not a capture or firewall log", where=str(path), hint=hint)
    name = path.name.lower()
    hint = ETL_HINT if name.endswith(".etl") else LOG_HINT if ".log" in name else CAPTURE_HINT
    kind = SourceError if hint == ETL_HINT else NotASourceError  # a trace is evidence, once it is converted
    return kind(
        "unknown file type; expected pcap, pcapng, or a log of Windows Firewall, Windows events, ConfigMgr, or IIS",
        where=str(path),
        hint=hint,
    )


@cache
def known_tunnels() -> Tunnels:
    """Return the numbers of tunnels (rulesets/well-known/tunnels.toml)."""
    text = (rulesets_folder() / "well-known" / "tunnels.toml").read_text(encoding="utf-8")
    return Tunnels.of(tomllib.loads(text))
