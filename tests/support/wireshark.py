"""What Wireshark makes of a capture, and what we make of it, as values that can be compared.

Reference: tshark's fields tcp.stream and udp.stream. Headers quoted inside ICMP errors get a stream there too; they
are no packets and are left out.
"""

from __future__ import annotations

import os
import re
import subprocess
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass, field
from ipaddress import ip_address
from pathlib import Path
from typing import Any

import pandas as pd
from waiting import PATIENCE

FIELDS = [
    "frame.number",
    "frame.protocols",
    "ip.src",
    "ip.dst",
    "ipv6.src",
    "ipv6.dst",
    "tcp.stream",
    "tcp.srcport",
    "tcp.dstport",
    "tcp.flags",
    "udp.stream",
    "udp.srcport",
    "udp.dstport",
]
FIN, SYN, RST, ACK = 0x01, 0x02, 0x04, 0x10

End = tuple[str, int]


@dataclass
class Stream:
    """One stream: its ends in the order of the first packet, who sent a SYN (None: nobody), frames and flags."""

    ends: tuple[End, End]
    first_frame: int
    began: End | None = None
    frames: dict[End, int] = field(default_factory=dict)
    syn: int = 0
    syn_ack: int = 0
    fin: int = 0
    rst: int = 0

    def add(self, src: End, flags: int) -> None:
        """Count one packet."""
        self.frames[src] = self.frames.get(src, 0) + 1
        if flags & SYN and not flags & ACK:
            self.began = self.began or src
            self.syn += 1
        self.syn_ack += flags & (SYN | ACK) == SYN | ACK
        self.fin += bool(flags & FIN)
        self.rst += bool(flags & RST)


@dataclass
class Dissection:
    """All streams of one capture by protocol and number; frames: how many it has; complete: tshark reached its end."""

    streams: dict[tuple[str, int], Stream]
    frames: int
    complete: bool
    message: str


ONE_VALUE = ["-T", "fields", "-E", "occurrence=l"]  # tshark 4.6 shows the lines of a comment, then the whole of it


def newer_streams(tshark: str) -> bool:
    """Tell whether a SYN that is sent again after a reset begins another stream, as it does since 4.4."""
    printed = subprocess.run([tshark, "--version"], capture_output=True, text=True, check=True).stdout
    return tuple(map(int, re.findall(r"\d+", printed)[:2])) >= (4, 4)


def dissect(tshark: str, path: Path) -> Dissection:
    """Run tshark once over a capture, with no profile, no names and a time limit."""
    command = [tshark, "-n", "-r", str(path.resolve()), "-T", "fields", "-E", "occurrence=a"]
    command += [word for name in FIELDS for word in ("-e", name)]
    with tempfile.TemporaryDirectory() as profile:
        environment = {**os.environ, "WIRESHARK_CONFIG_DIR": profile}
        done = subprocess.run(command, capture_output=True, timeout=PATIENCE, env=environment, check=False)
    result = Dissection({}, 0, done.returncode == 0, done.stderr.decode(errors="replace"))
    for line in done.stdout.decode(errors="replace").splitlines():
        row = dict(zip(FIELDS, line.split("\t"), strict=True))
        result.frames += 1
        for key, src, dst, flags in _packets(row):
            result.streams.setdefault(key, Stream((src, dst), int(row["frame.number"]))).add(src, flags)
    return result


def _packets(row: dict[str, str]) -> Iterator[tuple[tuple[str, int], End, End, int]]:
    """Yield stream, source, destination and flags of each TCP or UDP header of a frame, outermost first."""
    values = {name: iter(row[name].split(",")) for name in FIELDS}
    addresses: tuple[str, str] = ("", "")
    # 4.4 and later do not list IP inside MPLS
    protocols = re.sub("mpls:(?=tcp|udp)", "mpls:ip:", row["frame.protocols"])
    for layer in protocols.split(":"):
        if layer in ("icmp", "icmpv6"):
            return
        if layer in ("ip", "ipv6"):
            src = next(values[f"{layer}.src"], "") or next(values["ipv6.src"], "")  # 4.6 lists both as "ip" inside GTP
            addresses = (src, next(values[f"{layer}.dst"], "") or next(values["ipv6.dst"], ""))
        if layer in ("tcp", "udp") and (number := next(values[f"{layer}.stream"], "")):
            ports = (int(next(values[f"{layer}.{side}port"])) for side in ("src", "dst"))
            src, dst = ((str(ip_address(address)), port) for address, port in zip(addresses, ports, strict=True))
            flags = next(values["tcp.flags"], "") if layer == "tcp" else ""
            yield (layer, int(number)), src, dst, int(flags or "0", 16)


def ours(table: pd.DataFrame) -> dict[tuple[str, int], Stream]:
    """Return the flow table as streams; flows that only an ICMP error tells of have no packets and no stream."""
    streams = {}
    for row in table[
        table["protocol"].isin(["tcp", "udp"]) & (table["frames_src"] + table["frames_dst"] > 0)
    ].itertuples():
        ends: Any = ((row.src_ip, int(row.src_port)), (row.dst_ip, int(row.dst_port)))
        frames: dict[End, int] = {}
        for end, count in zip(ends, (row.frames_src, row.frames_dst), strict=True):
            if count:
                frames[end] = frames.get(end, 0) + count
        began = ends[0] if row.syn else None
        counts = (row.syn, row.syn_ack, row.fin, row.rst)
        streams[row.protocol, int(row.stream)] = Stream(ends, row.first_frame, began, frames, *counts)
    return streams


def differences(ours: dict[tuple[str, int], Stream], theirs: dict[tuple[str, int], Stream]) -> list[str]:
    """Return one sentence for each stream that is not the same in both."""
    result = []
    for key in sorted(ours.keys() | theirs.keys()):
        mine, other = (_comparable(streams.get(key)) for streams in (ours, theirs))
        if mine != other:
            result.append(f"{key[0]}.stream {key[1]}: here {mine}, in Wireshark {other}")
    return result


def _comparable(stream: Stream | None) -> tuple[Any, ...] | None:
    if stream is None:
        return None
    counts = {"syn": stream.syn, "syn_ack": stream.syn_ack, "fin": stream.fin, "rst": stream.rst}
    return frozenset(stream.ends), stream.first_frame, stream.began, stream.frames, counts
