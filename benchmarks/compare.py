"""Compare `auditor flows` with tshark and tcpdump on generated captures, in one run, as ratios.

    python benchmarks/compare.py [--gigabytes 1 4] [--runs 3] [--folder DIR] [--without-tshark]

Each command runs as a process of its own, in turn (A B C, A B C, ...), after one round that is not counted: the files
are then in the page cache for all of them. Printed are the medians of wall time and of peak memory (of the largest
process), and the ratio to `auditor flows`. Linux; needs tcpdump and, unless told otherwise, tshark.
"""

from __future__ import annotations

import argparse
import os
import resource
import statistics
import subprocess
import sys
import time
from pathlib import Path
from typing import NamedTuple

MAKE = Path(__file__).parent / "make_capture.py"
FILTER = "tcp[tcpflags] & (tcp-syn|tcp-rst|tcp-fin) != 0 or icmp"


class Run(NamedTuple):
    """One finished process: seconds of wall time and of processor time, peak memory in megabytes."""

    seconds: float
    processor: float
    megabytes: float


def run(command: list[str]) -> Run:
    """Run a command, throw away what it prints, and return what it took."""
    begin = time.perf_counter()
    process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    _, status, usage = os.wait4(process.pid, 0)
    process.returncode = os.waitstatus_to_exitcode(status)
    if process.returncode:
        sys.exit(f"exit code {process.returncode}: {' '.join(command)}")
    return Run(time.perf_counter() - begin, usage.ru_utime + usage.ru_stime, usage.ru_maxrss / 1024)


def commands(path: Path, tshark: bool) -> dict[str, list[str]]:
    """Return the commands to compare on one capture."""
    flows = [sys.executable, "-m", "auditor", "flows", str(path)]
    found = {
        "auditor flows": flows,
        "tcpdump, SYN RST FIN ICMP": ["tcpdump", "-r", str(path), "-w", "/dev/null", FILTER],
    }
    if tshark:
        found["tshark -q -z conv,tcp"] = ["tshark", "-n", "-r", str(path), "-q", "-z", "conv,tcp"]
    return found


def compare(path: Path, runs: int, tshark: bool) -> None:
    """Run all commands in turn and print a table."""
    todo = commands(path, tshark)
    taken: dict[str, list[Run]] = {name: [] for name in todo}
    for turn in range(runs + 1):
        for name, command in todo.items():
            one = run(command)
            if turn:
                taken[name].append(one)
    seconds = {name: statistics.median(one.seconds for one in found) for name, found in taken.items()}
    memory = {name: statistics.median(one.megabytes for one in found) for name, found in taken.items()}
    own = seconds["auditor flows"]
    print(f"\n{path.name}, {path.stat().st_size / 1e9:.2f} GB\n")
    print("| command | seconds | peak memory | time, as a multiple of `auditor flows` |\n| --- | --- | --- | --- |")
    for name in todo:
        print(f"| `{name}` | {seconds[name]:.2f} | {memory[name]:.0f} MB | {seconds[name] / own:.2f} |", flush=True)


def main() -> None:
    """Run as a command."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--gigabytes", type=float, nargs="+", default=[1, 4])
    parser.add_argument("--runs", type=int, default=3)
    parser.add_argument("--folder", type=Path, default=Path("build"))
    parser.add_argument("--without-tshark", action="store_true")
    given = parser.parse_args()
    given.folder.mkdir(parents=True, exist_ok=True)
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    for size in given.gigabytes:
        path = given.folder / f"generated-{size:g}gb.pcap"
        if not path.exists():
            # In a process of its own: what this one has used at most would count as its children's peak memory.
            subprocess.run([sys.executable, MAKE, path, "--gigabytes", str(size)], check=True)
        # tshark takes about 1 GB of memory for 1 GB of capture: beyond that only tcpdump is a fair comparison.
        compare(path, given.runs, tshark=not given.without_tshark and size <= 1)


if __name__ == "__main__":
    main()
