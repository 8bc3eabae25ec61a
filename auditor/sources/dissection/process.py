"""Run tshark on a small capture, and read the packets that it prints; neither process nor thread outlives the call.

It needs no event loop, so it works in a script, in a notebook, in a coroutine, and on Windows.
"""

from __future__ import annotations

import json
import os
import re
import signal
import subprocess
import threading
import time
from collections.abc import Callable, Generator, Iterable, Iterator
from contextlib import closing, contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from queue import Empty, Queue
from typing import Any, BinaryIO, Generic, TypeVar, cast

from auditor.ruleset.statements import say, say_count

SECONDS_TO_GO = 5.0
A_MOMENT = 0.1  # seconds; waits are short, so that Ctrl-C gets through
CHUNK = 1024 * 1024
MOST_CHUNKS = 8  # that wait to be read, so that memory is bounded
LONGEST = 64 * 1024 * 1024  # bytes of one packet
# tshark indents the packets of its list by two blanks; a line break inside a value is escaped.
END_OF_PACKET = re.compile(rb"\n  \},?\r?\n")
LONGEST_END = 8

Layers = dict[str, Any]
Packet = TypeVar("Packet")


@dataclass(frozen=True)
class TsharkRun:
    """How a small capture is read.

    Attributes:
        count: How many packets it holds.
        web_ports: TCP ports that tshark takes for those of HTTP.
    """

    path: Path
    tshark: Path
    seconds: float
    count: int
    web_ports: tuple[int, ...] = ()

    def read(
        self, take: Callable[[Layers], Packet], display_filter: str = "", layers: str = "", preference: str = ""
    ) -> tuple[list[Packet], str]:
        """Return the packets that tshark prints, and what went wrong.

        The last packet is always asked for: a tshark that does not print it has not read the file.

        Args:
            take: Makes a packet of its layers.
            display_filter: A display filter; all packets if empty.
            layers: Names of protocols; all of them if empty.
            preference: A preference of tshark, as its option -o takes it.
        """
        reading = _Reading(take)
        if not self.count:
            return [], ""
        try:
            with _started(self._command(display_filter, layers, preference), self.path.parent) as process:
                with closing(_printed(process, time.monotonic() + self.seconds)) as chunks:
                    for text in _packet_texts(chunks):
                        reading.add(text)
                code = _exit_code(process)
        except TimeoutError:
            return reading.packets, say("obstacle.too-long", seconds=self.seconds)
        except OSError as error:
            return reading.packets, say("obstacle.cannot-run", tshark=self.tshark, error=error.strerror or error)
        except _TooLongError:
            return reading.packets, say("obstacle.unreadable")
        return reading.packets, _exit_fault(code) or reading.fault(self.count)

    def _command(self, display_filter: str, layers: str, preference: str) -> list[str]:
        """Return the command line; by two passes, every version shows what a response refers to."""
        last = f"frame.number == {self.count}"
        return [
            str(self.tshark),
            *("-2", "-n", "-l", "-r", str(self.path), "-T", "json", "--no-duplicate-keys"),
            *(["-Y", f"{display_filter} or {last}"] if display_filter else []),
            *(["-J", layers] if layers else []),
            *(["-o", preference] if preference else []),
            *(word for port in self.web_ports for word in ("-d", f"tcp.port=={port},http")),
        ]


class _Reading(Generic[Packet]):
    """The packets read so far, and the errors in others."""

    def __init__(self, take: Callable[[Layers], Packet]) -> None:
        self.packets: list[Packet] = []
        self._take = take
        self._last = 0
        self._errors: list[str] = []

    def add(self, text: bytes) -> None:
        """Read a packet from its JSON text; names in packets are not always valid UTF-8."""
        try:
            layers = json.loads(text.decode(errors="replace"))["_source"]["layers"]
            self._last = int(layers["frame"]["frame.number"])
            self.packets.append(self._take(layers))
        except (ValueError, LookupError, TypeError, AttributeError, RecursionError) as error:
            self._errors.append(type(error).__name__)

    def fault(self, count: int) -> str:
        """Return why not all was read of a capture of so many packets, empty if all was."""
        if self._errors:
            return say_count("obstacle.unreadable-packets", len(self._errors), kind=self._errors[0])
        if self._last == count:
            return ""
        return say("obstacle.gave-part" if self._last else "obstacle.gave-nothing")


class _TooLongError(Exception):
    """What was printed is longer than any packet."""


def _packet_texts(chunks: Iterable[bytes]) -> Iterator[bytes]:
    """Yield the JSON text of each packet that is whole."""
    rest = b""
    for chunk in chunks:
        begin, searched, text = 0, max(0, len(rest) - LONGEST_END), rest + chunk
        for end in END_OF_PACKET.finditer(text, searched):
            yield text[begin : end.start()].lstrip(b"[\r\n ,") + b"}"
            begin = end.end()
        rest = text[begin:]
        if len(rest) > LONGEST:
            raise _TooLongError


@contextmanager
def _started(command: list[str], folder: Path) -> Iterator[subprocess.Popen[bytes]]:
    """Start tshark in a group of processes of its own: a script that calls tshark is killed with it.

    Args:
        command: The command line.
        folder: Takes the place of a personal configuration, which would change what tshark prints.
    """
    process = subprocess.Popen(
        command,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        env={**os.environ, "WIRESHARK_CONFIG_DIR": str(folder)},
        start_new_session=True,
    )
    try:
        yield process
    finally:
        if process.returncode is None:
            _kill(process)
            process.wait()


def _printed(process: subprocess.Popen[bytes], deadline: float) -> Generator[bytes, None, None]:
    """Yield what a process prints, until it and all that it started have closed their output.

    A read from a pipe cannot be limited in time everywhere, so that a thread of its own does it.

    Raises:
        TimeoutError: It takes too long.
    """
    chunks: Queue[bytes] = Queue(MOST_CHUNKS)
    pipe = cast(Any, process.stdout)
    reader = threading.Thread(target=_pass_on, args=(pipe, chunks), name="auditor-tshark", daemon=True)
    reader.start()
    try:
        while chunk := _next(chunks, deadline):
            yield chunk
    except BaseException:  # also where the caller is interrupted, or reads no more
        _kill(process)
        raise
    finally:
        _let_end(reader, chunks)
        if not reader.is_alive():
            pipe.close()


def _pass_on(pipe: BinaryIO, chunks: Queue[bytes]) -> None:
    while chunk := cast(Any, pipe).read1(CHUNK):
        chunks.put(chunk)
    chunks.put(b"")


def _next(chunks: Queue[bytes], deadline: float) -> bytes:
    """Return the next chunk, empty at the end."""
    while time.monotonic() < deadline:
        with suppress(Empty):
            return chunks.get(timeout=A_MOMENT)
    raise TimeoutError


def _let_end(reader: threading.Thread, chunks: Queue[bytes]) -> None:
    """Wait for the thread; a process that left the group may hold the pipe open, and is not waited for."""
    deadline = time.monotonic() + SECONDS_TO_GO
    while reader.is_alive() and time.monotonic() < deadline:
        with suppress(Empty):
            chunks.get(timeout=A_MOMENT / 10)


def _exit_code(process: subprocess.Popen[bytes]) -> int:
    """Return how tshark ended, as it does when its last line was read; 0 if it does not end."""
    try:
        return process.wait(SECONDS_TO_GO)
    except subprocess.TimeoutExpired:
        return 0


def _kill(process: subprocess.Popen[bytes]) -> None:
    """Kill a process and what it started, also when it has ended itself and left others behind."""
    with suppress(ProcessLookupError, PermissionError):
        if os.name == "nt":
            process.kill()
        else:
            os.killpg(process.pid, signal.SIGKILL)  # it leads a group of its own


def _exit_fault(code: int) -> str:
    return say("obstacle.exit-code", code=code) if code else ""
