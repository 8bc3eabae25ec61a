"""The packets and log rows that prove a verdict, taken again from the sources: who sent what to whom, and when."""

from __future__ import annotations

from collections.abc import Iterator, Sequence, Set
from contextlib import contextmanager
from datetime import datetime
from pathlib import Path
from typing import Any, NamedTuple

from auditor.errors import MissingPackageError, SourceError
from auditor.report import model as r
from auditor.sources.capture.addresses import Addresses
from auditor.sources.capture.control_messages import IcmpError, NeighborMessages
from auditor.sources.capture.packets import Headers, PacketReader, Packets
from auditor.sources.capture.reader import CaptureReader
from auditor.sources.collection import gone
from auditor.sources.dissection.program import find_tshark
from auditor.sources.dissection.tshark import whole_packets
from auditor.sources.read import known_tunnels
from auditor.sources.source import WITHOUT_FLOWS
from auditor.sources.tcp_flags import ACK, FIN, RST, SYN

UNKNOWN = "?"
DOCTOR = "Install Wireshark, then check: auditor doctor"
AGAIN = "Analyze the sources again."
ECHO_REPLIES = frozenset((0, 129))


class EvidenceRecord(NamedTuple):
    """One packet, or the rows of one attempt in a log.

    source: index in Report.sources; frame: its number in a capture, line: the first line in a log, the other is None;
    time_ns: nanoseconds since 1970, of a log without a known zone as it stands there; description: such as SYN, or
    DROP.
    """

    source: int
    frame: int | None
    line: int | None
    time_ns: int
    sender: str
    receiver: str
    description: str


def proof(report: r.Report, requirement: r.RequirementVerdict) -> list[EvidenceRecord]:
    """Return what proves one verdict, source by source in order of time.

    Captures are read again and must still lie where they were; SourceError says if they do not, or if the report was
    loaded from a file and its proof is in a log.
    """
    records: list[EvidenceRecord] = []
    for number, source in enumerate(report.sources):
        cited = [evidence for evidence in requirement.evidence if evidence.source == number]
        frames = {frame for evidence in cited for frame in evidence.frames}
        of_source = list(_packets(number, source.path, frames)) if frames else []
        for evidence in cited:
            if evidence.lines and source.kind in WITHOUT_FLOWS:
                of_source.append(_lines_of(number, evidence.lines, requirement, evidence.text))
            elif evidence.lines:
                of_source += _logged(report, number, evidence.lines) or [
                    _lines_of(number, evidence.lines, requirement, f"{requirement.verdict}, see the log")
                ]
        records += sorted(of_source, key=lambda row: (row.time_ns, row.frame or row.line or 0))
    return records


def dissected(report: r.Report, requirement: r.RequirementVerdict) -> list[Any]:
    """Return the packets that prove one verdict as pyshark has them, source by source; logs have none.

    Raises SourceError as `proof` does, and MissingPackageError where tshark cannot be used.
    """
    program = find_tshark()
    if program is None:
        raise MissingPackageError("tshark, which reads the packets, was not found", hint=DOCTOR)
    dissected_packets: list[Any] = []
    for number, source in enumerate(report.sources):
        frames = {frame for evidence in requirement.evidence if evidence.source == number for frame in evidence.frames}
        if source.kind != "capture" or not frames:
            continue
        with _read_again(source.path):
            packets, obstacle = whole_packets(Path(source.path), frames, program)
        if obstacle:
            raise MissingPackageError(f"tshark did not read the packets: {obstacle}", where=source.path, hint=DOCTOR)
        _check_whole(source.path, len(frames) - len(packets))
        dissected_packets += packets
    return dissected_packets


@contextmanager
def _read_again(path: str) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        raise gone(path, error, AGAIN) from error


def _check_whole(path: str, missing: int) -> None:
    if missing:
        raise SourceError("the source has changed since the report was created", where=path, hint=AGAIN)


# packets of a capture


def _packets(number: int, path: str, frames: Set[int]) -> Iterator[EvidenceRecord]:
    reader = PacketReader(known_tunnels())
    left = set(frames)
    with _read_again(path):
        for records in CaptureReader(Path(path)):
            if not left:
                break
            for row in _read(number, reader.read(records), reader.addresses, frozenset(left)):
                if row.frame in left:  # a packet may hold others
                    left.discard(row.frame)
                    yield row
    _check_whole(path, len(left))


def _read(number: int, headers: Headers, addresses: Addresses, frames: Set[int]) -> Iterator[EvidenceRecord]:
    for quote in headers.quotes:
        if quote.frame in frames:
            yield EvidenceRecord(number, quote.frame, None, quote.time_ns, quote.sender, quote.receiver, _error(quote))
    for protocol, packets in (("tcp", headers.tcp), ("udp", headers.udp), ("icmp", headers.icmp)):
        for index in _at(packets.frame, frames):
            yield _row(number, protocol, packets, index, addresses)
    for asked in headers.neighbors:
        yield from _neighbours(number, asked, addresses, frames)


def _at(numbers: Any, frames: Set[int]) -> list[int]:
    import numpy as np

    return np.flatnonzero(np.isin(numbers, list(frames))).tolist()


def _row(number: int, protocol: str, packets: Packets, index: int, addresses: Addresses) -> EvidenceRecord:
    pair, version = int(packets.pair[index]), int(packets.version[index])
    ends = (addresses.text(pair >> 32, version), addresses.text(pair & 0xFFFFFFFF, version))
    payload = int(packets.payload[index])
    if protocol == "tcp":
        text = _segment(int(packets.flags[index]), payload)
    elif protocol == "udp":
        text = f"UDP, {payload:,} bytes"
    else:
        text = "echo reply" if int(packets.kind[index]) >> 8 in ECHO_REPLIES else "echo request"
    return EvidenceRecord(number, int(packets.frame[index]), None, int(packets.time_ns[index]), *ends, text)


def _segment(flags: int, payload: int) -> str:
    if flags & SYN:
        return "SYN-ACK" if flags & ACK else "SYN"
    if flags & RST:
        return "RST"
    return f"data, {payload:,} bytes" if payload else "FIN" if flags & FIN else "ACK"


def _error(quote: IcmpError) -> str:
    version = "v6" if quote.version == 6 else ""
    about = f" about the {quote.packet_kind}" if quote.packet_kind else ""
    return f"ICMP{version} {quote.icmp_type}/{quote.icmp_code}{about}"


def _neighbours(
    number: int, asked: NeighborMessages, addresses: Addresses, frames: Set[int]
) -> Iterator[EvidenceRecord]:
    for index in _at(asked.frame, frames):
        sender, target = (
            addresses.text(int(host) & 0xFFFFFFFF, int(host) >> 32)
            for host in (asked.sender[index], asked.target[index])
        )
        text = "I am here" if asked.answer[index] else "who has this address?"
        yield EvidenceRecord(number, int(asked.frame[index]), None, int(asked.time_ns[index]), sender, target, text)


# rows of a log


def _logged(report: r.Report, number: int, lines: Sequence[int]) -> list[EvidenceRecord]:
    """Return the attempts of which one of these lines is the first; the flow table holds what the log said of them."""
    path = report.sources[number].path
    if report.all_flows is None:
        raise SourceError("a saved report does not contain the entries of its logs", where=path, hint=AGAIN)
    table = report.all_flows.frame
    table = table[(table["source"] == path) & table["first_line"].isin(list(lines))]
    records = []
    for row in table.to_dict("records"):
        many = f", {int(row['rows'])} rows" if row["rows"] > 1 else ""
        text = f"{row['action']} ({str(row['direction']).lower()}{many})"
        records.append(
            EvidenceRecord(number, None, int(row["first_line"]), row["start"].value, row["src_ip"], row["dst_ip"], text)
        )
    return records


def _lines_of(number: int, lines: Sequence[int], requirement: r.RequirementVerdict, description: str) -> EvidenceRecord:
    """Return what is known of lines with which no flow of the table begins."""
    sender, receiver = (end.address or UNKNOWN for end in (requirement.source, requirement.destination))
    begin = (requirement.first_time or "1970-01-01T00:00:00").removesuffix("Z")
    time_ns = round(datetime.fromisoformat(f"{begin}+00:00").timestamp() * 1e9)
    return EvidenceRecord(number, None, lines[0], time_ns, sender, receiver, description)
