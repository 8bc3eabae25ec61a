"""Captures of a scene: tcpdump on the hosts that a scene names, started before and ended after it."""

from __future__ import annotations

import gzip
import shutil
import signal
import subprocess
import time
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from network import CLIENT, ROUTER, SITE_SERVER, Host, LabError, Network, stop

READY_SECONDS = 10
PLACES = {"site-server": SITE_SERVER, "client": CLIENT, "client-firewall": CLIENT, "router": ROUTER}


@dataclass(frozen=True)
class Tap:
    """Where a capture is taken, and how."""

    place: str
    interface: str = "eth0"
    options: tuple[str, ...] = ()

    @property
    def host(self) -> Host:
        """The host on which this tap captures."""
        return PLACES[self.place]


@dataclass(frozen=True)
class Recording:
    """A capture that is being written."""

    process: subprocess.Popen[bytes]
    path: Path


def start_captures(network: Network, taps: Sequence[Tap]) -> list[Recording]:
    """Start tcpdump at every tap; return when all of them listen."""
    recordings = [_start(network, tap) for tap in taps]
    for role, count in Counter(tap.host.role for tap in taps).items():
        _wait_until_listening(network.directory / f"{role}-tcpdump.log", count)
    return recordings


def end_captures(recordings: Sequence[Recording], quiet_seconds: float) -> None:
    """End the captures once nothing has arrived in any of them for so long (thirty seconds at the most)."""
    limit = time.monotonic() + 30
    sizes, since = [0], time.monotonic()
    while time.monotonic() < min(since + quiet_seconds, limit):
        time.sleep(0.05)
        now = [recording.path.stat().st_size for recording in recordings]
        if now != sizes:
            sizes, since = now, time.monotonic()
    for recording in recordings:
        stop(recording.process, signal.SIGINT)


def store(recording: Recording, path: Path) -> None:
    """Put a finished capture where it belongs, in the form that its name asks for."""
    unfinished = path.with_name(f".{path.name}.part")
    if path.name.endswith(".gz"):
        unfinished.write_bytes(gzip.compress(recording.path.read_bytes(), mtime=0))
    elif path.name.endswith(".pcapng"):
        subprocess.run(["editcap", "-F", "pcapng", recording.path, unfinished], capture_output=True, check=True)
    else:
        shutil.copyfile(recording.path, unfinished)
    unfinished.replace(path)


def _start(network: Network, tap: Tap) -> Recording:
    path = network.directory / f"{tap.place}.pcap"
    options = ["-n", "-s", "0", "-U", "--immediate-mode", "-Z", "root", *tap.options]
    return Recording(network.start(tap.host, "tcpdump", "-i", tap.interface, *options, "-w", str(path)), path)


def _wait_until_listening(log: Path, captures: int) -> None:
    deadline = time.monotonic() + READY_SECONDS
    while time.monotonic() < deadline:
        if log.read_bytes().count(b"listening on") == captures:
            return
        time.sleep(0.02)
    raise LabError(f"tcpdump does not start: {log.read_text(errors='replace').strip()}")
