"""What a log costs grows with its bytes, whatever its lines are: memory has a bound, time no square."""

from __future__ import annotations

import cProfile
import pstats
import subprocess
import sys
from pathlib import Path

import pytest
from logs import HEADER, HEADER_PID, log

import auditor

pytestmark = pytest.mark.slow

DROP = "2026-03-01 08:00:00 DROP TCP 10.0.0.5 10.0.0.20 50000 445 52 S 1 0 8192 - - - RECEIVE"
MOST_MEMORY = 300 * 1024  # KiB
PEAK = """
import sys, auditor
source = auditor.read(sys.argv[1])
peak = next(line for line in open("/proc/self/status") if line.startswith("VmHWM:"))
print(source.records, peak.split()[1])
"""


@pytest.mark.skipif(sys.platform != "linux", reason="Linux alone keeps the largest size of a process so")
@pytest.mark.parametrize("line", [b"\n", b"x\n", b"#Time Format: UTC\n"], ids=repr)
def test_a_log_of_millions_of_lines_needs_no_more_memory(tmp_path: Path, line: bytes):
    path = tmp_path / "pfirewall.log"
    path.write_bytes(log(DROP) + line * (3_000_000 // len(line)))
    done = subprocess.run([sys.executable, "-c", PEAK, path], capture_output=True, check=True, text=True)
    records, peak = map(int, done.stdout.split())
    assert records == 1
    assert peak < MOST_MEMORY


def calls_to_read(path: Path) -> int:
    """Return how many functions are called to read a log."""
    with cProfile.Profile() as profile:
        auditor.read(path)
    return int(pstats.Stats(profile).total_calls)  # type: ignore[attr-defined]


def test_the_work_for_headers_grows_with_their_number(tmp_path: Path):
    changes = (HEADER + f"{DROP}\r\n" + HEADER_PID + f"{DROP} 4\r\n").encode()
    calls = []
    for count in (1, 50, 100, 200):  # the first also loads what reading needs
        path = tmp_path / f"{count}.log"
        path.write_bytes(changes * count)
        calls.append(calls_to_read(path))
    assert calls[3] - calls[2] < 2.2 * (calls[2] - calls[1])
