"""Let Wireshark's dissectors read chosen packets: what was said on the ports, as plain facts.

tshark reads a small temporary capture. No file of it outlives the call.
"""

from __future__ import annotations

import json
import os
from bisect import bisect_left
from collections.abc import Collection, Iterable, Iterator
from contextlib import ExitStack, contextmanager
from itertools import zip_longest
from pathlib import Path
from typing import Any, NamedTuple

from auditor.ruleset.statements import say, say_count
from auditor.sources.capture.tunnels import Tunnels
from auditor.sources.dissection.process import Layers, TsharkRun
from auditor.sources.dissection.selection import FlowSelector, Shortened, TruncatedFlow, select
from auditor.sources.extract import Record, frames_of, write_pcapng
from auditor.sources.files.temporary_folder import temporary_folder

SECONDS = 60.0
FOLDER_VARIABLE = "TEMP" if os.name == "nt" else "TMPDIR"  # names the folder of temporary files

# Only packets that can say something are printed, which is slow; Wireshark's display filter chooses them.
TELLING = " or ".join(
    (
        "smb2.cmd in {0, 1, 3, 5, 6}",
        "(smb2.cmd == 8 and smb2.flags.response == 0 and smb2.read_length < 65536)",  # of a pipe, rather than a file
        "(smb2.nt_status != 0 and smb2.nt_status != 0x103)",
        "smb.cmd in {0x72, 0x73, 0x75, 0xa2}",
        "(smb.nt_status != 0)",
        "dcerpc.pkt_type in {2, 3, 11, 12, 13, 14, 15, 16}",
        "epm",
        "svcctl",
        "dcom",
        "oxid",
        "tls.alert_message",
        "tls.handshake.type in {1, 2, 11}",
        "(tls.app_data and tcp.seq < 40000)",  # whether the two agreed; what they say then is encrypted
        "http.request",
        "http.response",
        "kerberos.error_code",
    )
)
LAYERS = (
    "frame ip ipv6 tcp smb smb2 ntlmssp dcerpc epm svcctl winreg isystemactivator oxid remact remunk remunk2 dcom "
    "tls x509af x509ce http kerberos"
)


WEB_RESPONSES, RESPONSE_CODE = "http.response", "http.response.code"
WITHOUT_BODIES = "http.desegment_body:FALSE"  # a response is shown with its header, whether or not its body is whole

Ends = tuple[str, int, str, int]


class DissectedPacket(NamedTuple):
    """One dissected packet: where it stands, who sent it to whom, and every field that Wireshark found in it.

    Attributes:
        fields: By Wireshark's name, all values in order, such as {"smb2.nt_status": ["0xc000006d"]}.
        time_ns: When it was captured, 0 if that is not known.
    """

    frame: int
    src: str
    src_port: int
    dst: str
    dst_port: int
    fields: dict[str, list[str]]
    time_ns: int = 0

    @property
    def ends(self) -> Ends:
        """Sender and receiver with their ports."""
        return self.src, self.src_port, self.dst, self.dst_port

    def first(self, name: str) -> str | None:
        """Return the first value of a field, None if the packet does not have it."""
        values = self.fields.get(name)
        return values[0] if values else None

    def number(self, name: str) -> int | None:
        """Return the first value of a field as a number (decimal or 0x), None if there is none."""
        value = self.first(name)
        try:
            return None if value is None else int(value, 0)
        except ValueError:
            return None


class Dissection(NamedTuple):
    """What the dissectors report of one source.

    Attributes:
        obstacle: Why they reported nothing or not all; empty if they reported all.
        left_out: The long flows of which they only got the beginning and the end.
    """

    packets: tuple[DissectedPacket, ...]
    obstacle: str
    left_out: tuple[TruncatedFlow, ...] = ()


def dissect(
    path: Path,
    flows: Collection[FlowSelector],
    tunnels: Tunnels,
    tshark: Path,
    *,
    seconds: float = SECONDS,
    web_ports: Collection[int] = (),
) -> Dissection:
    """Return what tshark reports of the beginning and the end of these flows; never raise for what tshark does.

    Args:
        path: The capture.
        flows: Of which packets are dissected.
        tunnels: The numbers of tunnels.
        tshark: The program.
        seconds: How long it may take.
        web_ports: TCP ports on which HTTP is spoken, though tshark may expect another protocol there.
    """
    if not flows:
        return Dissection((), "")
    times: list[int] = []
    selection = select(path, flows, tunnels)
    try:
        with _small_capture(_timed(frames_of(path, selection.frames), times)) as (small, frames):
            reading = TsharkRun(small, tshark, seconds, len(frames), tuple(sorted(web_ports)))
            packet_of = _DissectedPackets(frames, times)
            dissected, obstacle = reading.read(packet_of, TELLING, LAYERS)
            if not obstacle and _any_request(dissected, selection.left_out):
                begun, obstacle = reading.read(packet_of, WEB_RESPONSES, LAYERS, WITHOUT_BODIES)
                dissected = sorted([*dissected, *_unfinished(dissected, begun)], key=lambda packet: packet.frame)
    except TemporaryFileError as error:
        return Dissection((), str(error), selection.left_out)
    return Dissection(tuple(dissected), obstacle or _shortened(selection.shortened), selection.left_out)


def _shortened(shortened: Shortened | None) -> str:
    if shortened is None:
        return ""
    ends = {"first": shortened.first_packets, "last": shortened.last_packets}
    if not shortened.flows:
        return say("obstacle.shortened", **ends)
    return say_count("obstacle.none-of-flows", shortened.flows, **ends)


def _any_request(packets: Iterable[DissectedPacket], left_out: Collection[TruncatedFlow]) -> bool:
    """Tell whether a long flow is one of the web."""
    ends = {frozenset(((flow.src, flow.src_port), (flow.dst, flow.dst_port))) for flow, _, _ in left_out}
    requests = (packet.ends for packet in packets if "http.request.method" in packet.fields)
    return any(frozenset((request[:2], request[2:])) in ends for request in requests)


def _unfinished(dissected: Iterable[DissectedPacket], begun: Iterable[DissectedPacket]) -> Iterator[DissectedPacket]:
    """Yield the web responses that begin but do not end in what was selected.

    tshark gives a response with its last byte, and none of which that is missing, such as a long download.

    Args:
        dissected: packets as tshark gives them.
        begun: the same, but each response with its first byte.
    """
    ended: dict[Ends, list[int]] = {}
    begins: dict[Ends, list[DissectedPacket]] = {}
    for packet in dissected:
        if RESPONSE_CODE in packet.fields:
            ended.setdefault(packet.ends, []).append(packet.frame)
    for packet in begun:
        if RESPONSE_CODE in packet.fields:
            begins.setdefault(packet.ends, []).append(packet)
    for ends, packets in begins.items():
        frames = ended.get(ends, [])
        for packet, following in zip_longest(packets, packets[1:]):
            end = bisect_left(frames, packet.frame)
            if end == len(frames) or (following and frames[end] >= following.frame):
                yield packet


def whole_packets(
    path: Path, frames: Collection[int], tshark: Path, *, seconds: float = SECONDS
) -> tuple[list[Any], str]:
    """Return pyshark's packets of these frames with all that tshark knows, and why not all of them, empty if they are.

    The `number` of each is that of its frame in the capture.
    """
    try:
        from pyshark.tshark.output_parser.tshark_json import packet_from_json_packet
    except Exception as error:  # pyshark breaks in its own ways on new versions of Python
        return [], say("obstacle.no-pyshark", kind=type(error).__name__, error=error)
    times: list[int] = []

    def packet_of(layers: Layers) -> Any:
        place = int(layers["frame"]["frame.number"]) - 1
        text = json.dumps({"_source": {"layers": layers}})
        packet = packet_from_json_packet(text.encode(), deduplicate_fields=False)
        packet.number = str(numbers[place])
        packet.sniff_timestamp = _epoch(times[place])  # tshark 4.6 prints a date, which pyshark cannot read
        return packet

    try:
        with _small_capture(_timed(frames_of(path, frames), times)) as (small, numbers):
            return TsharkRun(small, tshark, seconds, len(numbers)).read(packet_of)
    except TemporaryFileError as error:
        return [], str(error)


def _epoch(time_ns: int) -> str:
    """Return a time as tshark before 4.6 prints it, in seconds since 1970."""
    seconds, nanoseconds = divmod(time_ns, 1_000_000_000)
    return f"{seconds}.{nanoseconds:09d}"


class TemporaryFileError(Exception):
    """Why no temporary capture can be written: only what tshark would report is missing then."""


@contextmanager
def _small_capture(records: Iterator[Record]) -> Iterator[tuple[Path, list[int]]]:
    """Write packets to a temporary capture for tshark; yield its path and the frame numbers that the packets had.

    Raises:
        TemporaryFileError: If it cannot be written.
    """
    with ExitStack() as stack:
        try:
            small = stack.enter_context(temporary_folder()) / "chosen.pcapng"
            out = stack.enter_context(small.open("xb"))
        except OSError as error:
            raise _no_room(error) from error
        try:
            frames = write_pcapng(out, records)
            out.close()
        except OSError as error:
            if error.filename is not None:  # the capture itself cannot be read
                raise
            raise _no_room(error) from error
        yield small, frames


def _no_room(error: OSError) -> TemporaryFileError:
    text = say("obstacle.temporary-file", reason=error.strerror or error, variable=FOLDER_VARIABLE)
    return TemporaryFileError(text)


def _timed(records: Iterator[Record], times: list[int]) -> Iterator[Record]:
    """Pass packets on and note when each was captured."""
    for record in records:
        times.append(record.time_ns)
        yield record


class _DissectedPackets:
    """Makes dissected packets of the layers that tshark prints, by their place in the small capture."""

    def __init__(self, frames: list[int], times: list[int]) -> None:
        self._frames, self._times = frames, times

    def __call__(self, layers: Layers) -> DissectedPacket:
        """Return one packet with its number and time in the capture that was analyzed."""
        frame, fields = layers.pop("frame"), dict[str, list[str]]()
        _flatten(layers, fields)
        src, dst = _innermost_addresses(frame["frame.protocols"].split(":"), fields)
        src_port, dst_port = (int(fields.get(f"tcp.{side}port", ["0"])[-1]) for side in ("src", "dst"))
        place = int(frame["frame.number"]) - 1
        time_ns = max(self._times[place], 0)
        return DissectedPacket(self._frames[place], src, src_port, dst, dst_port, fields, time_ns)


def _innermost_addresses(protocols: Iterable[str], fields: dict[str, list[str]]) -> tuple[str, str]:
    """Return source and destination of the innermost IP header, empty if there is none.

    The protocols of a frame do not always name each header: inside GTP, tshark 4.6 lists IPv6 as "ip", and inside MPLS,
    4.4 and later list none. A header that they leave over is inside those that they name.
    """
    ipv4, ipv6 = (
        zip(fields.get(f"{name}.src", ()), fields.get(f"{name}.dst", ()), strict=False) for name in ("ip", "ipv6")
    )
    ends = ("", "")
    for name in protocols:
        if name in ("ip", "ipv6"):
            first, second = (ipv4, ipv6) if name == "ip" else (ipv6, ipv4)
            ends = next(first, None) or next(second, ends)
    *_, innermost = (ends, *ipv4, *ipv6)
    return innermost


def _flatten(value: Any, into: dict[str, list[str]], name: str = "") -> None:
    if isinstance(value, dict):
        for key, inner in value.items():
            _flatten(inner, into, key)
    elif isinstance(value, list):
        for inner in value:
            _flatten(inner, into, name)
    elif value is not None:
        into.setdefault(name, []).append(str(value))
