"""Let Wireshark's dissectors read chosen packets: what was said on the ports, as plain facts.

tshark runs through pyshark, on a small temporary capture, in a thread and an event loop of its own: so it works in a
script, in a running event loop (Jupyter), and on Windows. Neither process nor file outlives the call.
"""

from __future__ import annotations

import asyncio
import os
import re
import signal
import tempfile
import threading
import warnings
from bisect import bisect_left
from collections.abc import Callable, Collection, Iterable, Iterator
from concurrent.futures import Future
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from itertools import zip_longest
from pathlib import Path
from typing import Any, NamedTuple, cast

from auditor.ruleset.statements import say, say_count
from auditor.sources.capture.tunnels import Tunnels
from auditor.sources.dissection.selection import FlowSelector, Shortened, TruncatedFlow, select
from auditor.sources.extract import Record, frames_of, write_pcapng

SECONDS = 60.0
SECONDS_TO_GO = 5.0
A_MOMENT = 0.2
ONE_AT_A_TIME = threading.Lock()  # the environment belongs to the whole process
VERSION = re.compile(rb"\d+\.\d+\.\d+")

# Only packets that can say something are handed to pyshark, which is slow; Wireshark's display filter chooses them.
TELLING = " or ".join(
    (
        "smb2.cmd in {0, 1, 3, 5, 6}",
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
    """What the dissectors told of one source.

    Attributes:
        obstacle: Why they told nothing or not all, empty if they did.
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
    """Return what tshark tells of the beginning and the end of these flows; never raises for what tshark does.

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
    with _small_capture(_timed(frames_of(path, selection.frames), times)) as (small, frames):
        reading = _TsharkRun(small, tshark, seconds, len(frames), tuple(sorted(web_ports)))
        packets, obstacle = reading.read(TELLING, LAYERS)
        dissected = tuple(_dissected_packet(packet, frames, times) for packet in packets)
        if not obstacle and _any_request(dissected, selection.left_out):
            packets, obstacle = reading.read(WEB_RESPONSES, LAYERS, WITHOUT_BODIES)
            begun = [_dissected_packet(packet, frames, times) for packet in packets]
            dissected = tuple(sorted([*dissected, *_unfinished(dissected, begun)], key=lambda packet: packet.frame))
    return Dissection(dissected, obstacle or _shortened(selection.shortened), selection.left_out)


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
    with _small_capture(frames_of(path, frames)) as (small, numbers):
        packets, obstacle = _TsharkRun(small, tshark, seconds, len(numbers)).read()
    for packet in packets:
        packet.number = str(numbers[int(packet.number) - 1])
    return packets, obstacle


@contextmanager
def _small_capture(records: Iterator[Record]) -> Iterator[tuple[Path, list[int]]]:
    """Write packets to a temporary capture for tshark; give its path and the frame numbers that the packets had."""
    with tempfile.TemporaryDirectory(prefix="auditor-", ignore_cleanup_errors=True) as folder:
        small = Path(folder) / "chosen.pcapng"
        with small.open("wb") as out:
            frames = write_pcapng(out, records)
        with ONE_AT_A_TIME, _empty_configuration(Path(folder)), _own_child_watcher():
            yield small, frames


@dataclass(frozen=True)
class _TsharkRun:
    """How a small capture is read: with which tshark, for how long, how many packets it holds, ports of HTTP in it."""

    path: Path
    tshark: Path
    seconds: float
    count: int
    web_ports: tuple[int, ...] = ()

    @property
    def as_web(self) -> list[str]:
        """The arguments that let tshark take these ports for those of HTTP."""
        return [word for port in self.web_ports for word in ("-d", f"tcp.port=={port},http")]

    def read(self, telling: str = "", layers: str = "", preference: str = "") -> tuple[list[Any], str]:
        """Return pyshark's packets, and what went wrong.

        Args:
            telling: A display filter; all packets if empty.
            layers: Names of protocols; all of them if empty.
            preference: One of tshark's, as its option -o takes it.
        """
        return _in_own_loop(lambda: _read(self, telling, layers, preference))


def _timed(records: Iterator[Record], times: list[int]) -> Iterator[Record]:
    """Pass packets on and note when each was captured."""
    for record in records:
        times.append(record.time_ns)
        yield record


def _in_own_loop(work: Callable[[], Any]) -> tuple[list[Any], str]:
    """Run a coroutine in a thread with an event loop of its own, and end it when the caller is interrupted."""
    result: Future[tuple[list[Any], str]] = Future()
    started: Future[tuple[asyncio.AbstractEventLoop, asyncio.Task[Any]]] = Future()
    over = threading.Event()  # Thread.join would not do: once interrupted, it takes the thread for ended
    arguments = (work, started, result, over)
    threading.Thread(target=_run_loop, args=arguments, name="auditor-tshark", daemon=True).start()
    try:
        while not over.wait(0.1):
            pass  # waits are short, so that Ctrl-C gets through
    except BaseException:
        with suppress(Exception):
            loop, task = started.result(SECONDS_TO_GO)
            loop.call_soon_threadsafe(task.cancel)
        over.wait(2 * SECONDS_TO_GO)
        raise
    return result.result(0)


def _run_loop(work: Callable[[], Any], started: Future[Any], result: Future[Any], over: threading.Event) -> None:
    try:
        loop = asyncio.ProactorEventLoop() if os.name == "nt" else asyncio.new_event_loop()  # type: ignore[attr-defined,unused-ignore]
        asyncio.set_event_loop(loop)
        try:
            task = loop.create_task(work())
            started.set_result((loop, task))
            result.set_result(loop.run_until_complete(task))
        finally:
            asyncio.set_event_loop(None)
            loop.close()
    except asyncio.CancelledError:
        result.set_result(([], "stopped"))
    except BaseException as error:
        result.set_exception(error)
    finally:
        over.set()


async def _read(reading: _TsharkRun, telling: str, layers: str, preference: str) -> tuple[list[Any], str]:
    """Return pyshark's packets, and what went wrong.

    The last packet is always asked for: a tshark that does not print it has not read the file.
    """
    path, tshark, seconds = reading.path, reading.tshark, reading.seconds
    if not reading.count:
        return [], ""
    try:
        import pyshark
        from packaging.version import Version
        from pyshark.capture.capture import TSharkCrashException
        from pyshark.tshark.output_parser.tshark_json import TsharkJsonParser
    except Exception as error:  # pyshark breaks in its own ways on new versions of Python
        return [], say("obstacle.no-pyshark", kind=type(error).__name__, error=error)
    packets: list[Any] = []
    unread: list[str] = []
    capture = pyshark.FileCapture(
        str(path),
        display_filter=f"{telling} or frame.number == {reading.count}" if telling else None,
        tshark_path=str(tshark),
        use_json=True,
        eventloop=asyncio.get_running_loop(),
        custom_parameters=[
            *(["-J", layers] if layers else []),
            *(["-o", preference] if preference else []),
            *reading.as_web,
        ],
    )
    try:
        async with asyncio.timeout(seconds):
            version = await _version(tshark)
            if version is None:
                return [], say("obstacle.no-version", tshark=tshark)
            # pyshark itself would look for another tshark in the same folder and on the PATH, and wait for ever
            capture._get_tshark_path = lambda: str(tshark)
            capture._get_tshark_version = lambda: Version(version)
            capture._get_tshark_process = lambda **_: _started(capture, tshark)
            capture._setup_tshark_output_parser = lambda: _patient(TsharkJsonParser(Version(version)), unread)
            await capture.packets_from_tshark(packets.append, close_tshark=False)
        return packets, await _left(capture) or _parse_faults(unread) or _unread_end(packets, reading.count)
    except TimeoutError:
        return packets, say("obstacle.too-long", seconds=seconds)
    except TSharkCrashException:
        return packets, say("obstacle.ended-at-once")
    except OSError as error:
        return packets, say("obstacle.cannot-run", tshark=tshark, error=error.strerror)
    except Exception as error:
        return packets, say("obstacle.unreadable", kind=type(error).__name__)
    finally:
        await _end(capture)


def _patient(parser: Any, unread: list[str]) -> Any:
    """Let a parser go on after a packet that it cannot read: names in packets are not always valid UTF-8."""
    read = parser._parse_single_packet

    def _parse(packet: bytes) -> Any:
        try:
            return read(packet.decode(errors="replace").encode())
        except (ValueError, KeyError, TypeError, AttributeError) as error:
            unread.append(type(error).__name__)
            return None

    parser._parse_single_packet = _parse
    return parser


def _parse_faults(unread: list[str]) -> str:
    return say("obstacle.unreadable-packets", count=len(unread), kind=unread[0]) if unread else ""


def _unread_end(packets: list[Any], count: int) -> str:
    if packets and int(packets[-1].number) == count:
        return ""
    return say("obstacle.gave-part" if packets else "obstacle.gave-nothing")


async def _started(capture: Any, tshark: Path) -> asyncio.subprocess.Process:
    """Start tshark as pyshark would, but in a group of its own: a script that calls tshark is killed with it."""
    arguments = ["-l", "-n", "-T", "json", *capture.get_parameters(), "--no-duplicate-keys"]
    pipe, nowhere = asyncio.subprocess.PIPE, asyncio.subprocess.DEVNULL
    process = await asyncio.create_subprocess_exec(
        tshark, *arguments, stdin=nowhere, stdout=pipe, stderr=pipe, start_new_session=True
    )
    capture._create_stderr_handling_task(process.stderr)
    capture._created_new_process([str(tshark), *arguments], process)
    return process


async def _version(tshark: Path) -> str | None:
    """Return the version that a program says it has, None if it says none."""
    pipe, nowhere = asyncio.subprocess.PIPE, asyncio.subprocess.DEVNULL
    process = await asyncio.create_subprocess_exec(
        tshark, "-v", stdin=nowhere, stdout=pipe, stderr=nowhere, start_new_session=True
    )
    try:
        printed, _ = await process.communicate()
    finally:
        await _gone(process)
    match = VERSION.search(printed)
    return match.group().decode() if match else None


async def _left(capture: Any) -> str:
    """Wait until tshark has gone by itself, as it does when its last line was read, and return what it complains of."""
    for process in list(capture._running_processes):
        with suppress(TimeoutError):
            await asyncio.wait_for(process.wait(), SECONDS_TO_GO)
        if process.returncode:
            return say("obstacle.exit-code", code=process.returncode)
    return ""


async def _end(capture: Any) -> None:
    """Kill what is left of tshark and wait until it is gone."""
    for process in list(capture._running_processes):
        await _gone(process)
    capture._running_processes.clear()
    if capture._stderr_handling_tasks:
        await asyncio.wait(capture._stderr_handling_tasks, timeout=SECONDS_TO_GO)


async def _gone(process: asyncio.subprocess.Process) -> None:
    """Kill a process, unless it is about to end: asyncio would complain of a child that it no longer knows.

    What it started goes with it, also when it has ended itself and left others behind that hold its output open.
    """
    with suppress(TimeoutError):
        await asyncio.wait_for(process.wait(), A_MOMENT)
    if process.returncode is None or not cast(Any, process.stdout).at_eof():
        _kill(process)
        while process.returncode is None:
            await asyncio.sleep(A_MOMENT / 10)
    cast(Any, process)._transport.close()  # a process that it started may still hold its pipes open


def _kill(process: asyncio.subprocess.Process) -> None:
    with suppress(ProcessLookupError, PermissionError):
        if os.name == "nt":
            process.kill()
        else:
            os.killpg(process.pid, signal.SIGKILL)  # it leads a group of its own


@contextmanager
def _empty_configuration(folder: Path) -> Iterator[None]:
    """Keep a personal Wireshark profile from changing what tshark prints."""
    name = "WIRESHARK_CONFIG_DIR"
    previous = os.environ.get(name)
    os.environ[name] = str(folder)
    try:
        yield
    finally:
        if previous is None:
            os.environ.pop(name, None)
        else:
            os.environ[name] = previous


@contextmanager
def _own_child_watcher() -> Iterator[None]:
    """Let asyncio learn in a thread of its own that tshark has ended.

    A caller who uses pyshark too has a watcher of children that needs the caller's event loop, which waits for us.
    """
    if os.name == "nt" or not hasattr(asyncio, "set_child_watcher"):
        yield
        return
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)
        previous = asyncio.get_child_watcher()
        asyncio.set_child_watcher(asyncio.ThreadedChildWatcher())
    try:
        yield
    finally:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", DeprecationWarning)
            asyncio.set_child_watcher(previous)


# from pyshark's packets to facts


def _dissected_packet(packet: Any, frames: list[int], times: list[int]) -> DissectedPacket:
    fields: dict[str, list[str]] = {}
    for layer in packet.layers:
        for instance in (layer, *layer.duplicate_layers):  # several messages in one packet, or a packet in a tunnel
            _flatten(instance._all_fields, fields)
    protocols = packet.frame_info._all_fields["frame.protocols"].split(":")
    ip = next((name for name in reversed(protocols) if name in ("ip", "ipv6")), "ip")
    ports = [int(fields.get(f"tcp.{side}port", ["0"])[-1]) for side in ("src", "dst")]
    ends = [fields.get(f"{ip}.{side}", [""])[-1] for side in ("src", "dst")]
    place = int(packet.number) - 1
    return DissectedPacket(frames[place], ends[0], ports[0], ends[1], ports[1], fields, max(times[place], 0))


def _flatten(value: Any, into: dict[str, list[str]], name: str = "") -> None:
    if isinstance(value, dict):
        for key, inner in value.items():
            _flatten(inner, into, key)
    elif isinstance(value, list):
        for inner in value:
            _flatten(inner, into, name)
    elif value is not None:
        into.setdefault(name, []).append(str(value))
