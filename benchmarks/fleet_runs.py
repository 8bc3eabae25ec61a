"""Run `auditor batch` over large generated fleets in every way, and tell whether it keeps what it promises.

    python benchmarks/fleet_runs.py [CHECK...] [--folder DIR] [--runs 3]

    same     2,000 hosts, 4 GB: serial, own processes, Dask, other sizes of summaries, a worker killed, the run killed
             and started again, a file that kills whoever reads it: every file of the report has the same bytes
    truth    the result of every host is the one that the generator says is true, and the lines add up
    memory   peak memory of all processes together at 1 GB and at 4 GB: at most 1 GB
    speed    two processes against none, the whole command: at least 1.7 times as fast
    small    10,000 files of 10 kB: at least 500 files a second
    resume   a finished run again, of 2,000 and of 10,000 hosts: in less than 2 seconds

Without a check it does all of them. Fleets that are not in the folder are made first (make_fleet.py): 9 GB with what
comes out. Peak memory is the sum of what each process has for itself and its share of what it shares (PSS), looked up
every 50 ms. Linux; Dask only where it is installed. The exit code is 1 if a promise is not kept.
"""

from __future__ import annotations

import argparse
import csv
import hashlib
import os
import shutil
import signal
import statistics
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import nullcontext, suppress
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path

from auditor.fleet.output_folder import FORMS, SUMMARIES, FleetFolder
from auditor.report.fleet_model import NO_EVIDENCE, FleetReport

MAKE = Path(__file__).parent / "make_fleet.py"
ROOT = Path(__file__).resolve().parent.parent
FLEETS = {
    "fleet-4gb": ["--hosts", "2000", "--bytes", "4GB"],
    "fleet-1gb": ["--hosts", "500", "--bytes", "1GB"],
    "fleet-10000": ["--hosts", "10000", "--tiny"],
}
LARGE, SMALLER, TINY = FLEETS
MOST_MEMORY, LEAST_GAIN, LEAST_FILES_PER_S, LONGEST_RESUME_S = 1_000_000_000, 1.7, 500, 2.0
ENDED = (0, 3, 4)  # exit codes of a run that audited something
SAMPLE_S = 0.05
KILL_AFTER = 3  # summaries
PUSH = "client-push"
PLAIN = "from auditor.__main__ import main; main()"
IN_SHARDS = "from auditor.fleet import fleet; fleet.{name} = {value}; " + PLAIN
# Put where Python looks for it when it starts: as soon as a process opens this file, it is gone.
POISON = """
import os, signal, sys
def look(event, words):
    if event == "open" and str(words[0]) == {path!r}:
        os.kill(os.getpid(), signal.SIGKILL)
sys.addaudithook(look)
"""


# one run


@dataclass(frozen=True)
class Run:
    """How one run went. seconds, processor: of wall and of all processors; peak: bytes of memory, if measured."""

    code: int
    seconds: float
    processor: float
    peak: int


def run(
    fleet: Path,
    out: Path,
    *words: str,
    program: str = PLAIN,
    path: Path | None = None,
    meanwhile: Callable[[int], None] | None = None,
    measured: bool = False,
) -> Run:
    """Run `auditor batch` over a fleet.

    path: where Python looks for modules first; meanwhile: gets the process id; measured: whether to look up the memory,
    which costs some time itself.
    """
    asked = ["--host-from", "{site}/{host}/*.log", "--site", str(fleet / "site.toml"), "-o", str(out), "-q"]
    known = [str(one) for one in (path, ROOT) if one] + [os.environ.get("PYTHONPATH", "")]
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(filter(None, known))}
    command = [sys.executable, "-c", program, "batch", str(fleet / "logs"), *asked, *words]
    began = time.monotonic()
    process = subprocess.Popen(command, env=environment, stdout=subprocess.DEVNULL)
    looked_up = Memory(process.pid)
    with looked_up if measured else nullcontext():
        if meanwhile:
            threading.Thread(target=meanwhile, args=(process.pid,), daemon=True).start()
        _, status, used = os.wait4(process.pid, 0)
        seconds = time.monotonic() - began
    process.returncode = os.waitstatus_to_exitcode(status)
    return Run(process.returncode, seconds, used.ru_utime + used.ru_stime, looked_up.peak)


class Memory:
    """Looks up how much memory a process and all below it have, again and again."""

    def __init__(self, pid: int) -> None:
        self.peak = 0
        self._pid, self._done = pid, threading.Event()
        self._thread = threading.Thread(target=self._look, daemon=True)

    def __enter__(self) -> None:
        self._thread.start()

    def __exit__(self, *_: object) -> None:
        self._done.set()
        self._thread.join()

    def _look(self) -> None:
        while not self._done.wait(SAMPLE_S):
            self.peak = max(self.peak, sum(map(_memory_of, [self._pid, *below(self._pid)])))


def below(pid: int) -> Iterator[int]:
    """Yield all processes that a process has started, and those that they have."""
    with suppress(OSError):
        for path in Path(f"/proc/{pid}/task").iterdir():
            for word in (path / "children").read_text().split():
                yield int(word)
                yield from below(int(word))


def _memory_of(pid: int) -> int:
    with suppress(OSError, StopIteration):
        lines = Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines()
        return 1024 * int(next(line for line in lines if line.startswith("Pss:")).split()[1])
    return 0


def shards_of(out: Path) -> list[Path]:
    """Return the summaries that are there already."""
    return list((out / SUMMARIES).glob("[!.]*"))


def kill_worker(out: Path) -> Callable[[int], None]:
    """Return what kills one worker when some of the work is done."""

    def kill(pid: int) -> None:
        while len(shards_of(out)) < KILL_AFTER:
            time.sleep(SAMPLE_S)
        for one in below(pid):
            words = Path(f"/proc/{one}/cmdline").read_bytes()
            if b"workers.worker" in words or b"spawn_main" in words:
                os.kill(one, signal.SIGKILL)
                return

    return kill


def kill_run(out: Path) -> Callable[[int], None]:
    """Return what kills the run when some of the work is done."""

    def kill(pid: int) -> None:
        while len(shards_of(out)) < KILL_AFTER:
            time.sleep(SAMPLE_S)
        os.kill(pid, signal.SIGKILL)

    return kill


# the checks: each prints a table and returns whether all is as promised


@dataclass(frozen=True)
class EvaluationContext:
    """Where the fleets are, where results go, and how often what is measured is run."""

    folder: Path
    runs: int

    def fleet(self, name: str) -> Path:
        """Return a fleet, which is made if it is not there."""
        path = self.folder / name
        if not (path / "site.toml").exists():
            subprocess.run([sys.executable, MAKE, path, *FLEETS[name]], check=True)
        return path

    def out(self, name: str) -> Path:
        """Return an empty place for results."""
        path = self.folder / "out" / name
        shutil.rmtree(path, ignore_errors=True)
        return path

    def finished(self, name: str) -> Path:
        """Return the results of a fleet, which is audited if it has not been."""
        path = self.folder / "out" / f"finished-{name}"
        if not (path / "state.json").exists():
            run(self.fleet(name), path)
        return path


def same(bench: EvaluationContext) -> bool:
    """Run in every way, and compare every byte of the report."""
    fleet = bench.fleet(LARGE)
    serial = bench.out("serial")
    ways: dict[str, Callable[[Path], Run]] = {
        "two processes": lambda out: run(fleet, out, "--workers", "2"),
        "a file a summary": lambda out: run(fleet, out, program=IN_SHARDS.format(name="FILES_IN_SHARD", value=1)),
        "7 files a summary": lambda out: run(fleet, out, program=IN_SHARDS.format(name="FILES_IN_SHARD", value=7)),
        "20 MB a summary": lambda out: run(fleet, out, program=IN_SHARDS.format(name="BYTES_IN_SHARD", value=20 << 20)),
        "a worker killed": lambda out: run(fleet, out, meanwhile=kill_worker(out)),
        "the run killed, and again": lambda out: _twice(fleet, out),
    }
    if find_spec("distributed"):
        ways["Dask, two workers"] = lambda out: run(fleet, out, "--dask", "--workers", "2")
        ways["Dask, a worker killed"] = lambda out: run(fleet, out, "--dask", meanwhile=kill_worker(out))
    print(f"\n{LARGE}\n\n| run | seconds | processor | exit code | the same bytes |")
    print("| --- | ---: | ---: | ---: | --- |")
    _tell("serial", run(fleet, serial, "--workers", "0"), "")
    expected, good = digests(serial), True
    for name, way in ways.items():
        out = bench.out("other")
        found = way(out)
        wrong = [one for one, digest in digests(out).items() if digest != expected[one]]
        _tell(name, found, "no: " + ", ".join(wrong) if wrong else "yes")
        good &= not wrong and found.code in ENDED
    return _poisoned(bench, fleet, serial) and good


def _twice(fleet: Path, out: Path) -> Run:
    """Return the second run, after the first was killed."""
    first = run(fleet, out, meanwhile=kill_run(out))
    assert first.code == -signal.SIGKILL
    return run(fleet, out)


def _poisoned(bench: EvaluationContext, fleet: Path, whole: Path) -> bool:
    """Tell whether a file that kills its readers is unreadable, and every other host as it was."""
    before = FleetFolder(whole).report()
    host = next(one for one in before.hosts[len(before.hosts) // 2 :] if len(one.files) == 1)
    good = True
    for name, words in {"a file that kills": (), "Dask, a file that kills": ("--dask", "--workers", "2")}.items():
        if words and not find_spec("distributed"):
            continue
        out = bench.out("poisoned")
        with tempfile.TemporaryDirectory() as folder:
            (Path(folder) / "sitecustomize.py").write_text(POISON.format(path=host.files[0]), encoding="utf-8")
            found = run(fleet, out, *words, path=Path(folder))
        after = FleetFolder(out).report()
        lost = {one.path for one in after.unreadable} - {one.path for one in before.unreadable}
        others = [one for one in after.hosts if one.host != host.host]
        kept = others == [one for one in before.hosts if one.host != host.host]
        _tell(name, found, f"unreadable {len(lost)}, the rest {'the same' if kept else 'NOT the same'}")
        good &= kept and lost == {host.files[0]} and found.code in ENDED
    return good


def _tell(name: str, found: Run, how: str) -> None:
    print(f"| {name} | {found.seconds:.1f} | {found.processor:.1f} | {found.code} | {how} |", flush=True)


def digests(out: Path) -> dict[str, str]:
    """Return what tells the content of every file of a report."""
    return {name: hashlib.sha256((out / name).read_bytes()).hexdigest() for name in FORMS if (out / name).exists()}


def truth(bench: EvaluationContext) -> bool:
    """Compare the result of every host with what is true of it, and count the lines."""
    good = True
    for name in (LARGE, TINY):
        with (bench.fleet(name) / "truth.csv").open(encoding="utf-8", newline="") as file:
            rows = list(csv.DictReader(file))
        report = FleetFolder(bench.finished(name)).report()
        told = _results(report)
        wrong = [row["host"] for row in rows if told.get(row["host"]) != (row["expected"], row["blamed"])]
        cover = report.coverage
        sums = {
            "records": (cover.records, sum(int(row["rows"]) * (1 + int(row["copies"])) for row in rows)),
            "skipped": (cover.skipped, sum(int(row["malformed"]) for row in rows)),
            "files": (cover.files, sum(int(row["files"]) for row in rows)),
            "unreadable": (cover.unreadable, sum(int(row["unreadable"]) for row in rows)),
            "hosts": (cover.hosts, len(rows)),
        }
        print(f"\n{name}: {len(rows) - len(wrong):,} of {len(rows):,} hosts as is true {wrong[:5] or ''}")
        for what, (found, true) in sums.items():
            print(f"  {what}: {found:,}" + ("" if found == true else f", but {true:,} are true"))
        good &= not wrong and all(found == true for found, true in sums.values()) and len(told) == len(rows)
    return good


def _results(report: FleetReport) -> dict[str, tuple[str, str]]:
    outcomes = {host.host: host.outcome(PUSH) for host in report.hosts}
    told = {name: (one.result, ";".join(one.failed)) for name, one in outcomes.items()}
    return told | dict.fromkeys(report.expected, (NO_EVIDENCE, ""))


def memory(bench: EvaluationContext) -> bool:
    """Measure the peak memory of all processes that a run has by itself."""
    peaks = {name: run(bench.fleet(name), bench.out("memory"), measured=True).peak for name in (SMALLER, LARGE, TINY)}
    print()
    for name, peak in peaks.items():
        print(f"{name}: {peak / 1e6:,.0f} MB at most, all processes together")
    return max(peaks.values()) <= MOST_MEMORY


def speed(bench: EvaluationContext) -> bool:
    """Measure two processes against none, in turn."""
    fleet = bench.fleet(LARGE)
    found: dict[str, list[Run]] = {"0": [], "2": []}
    for _ in range(bench.runs):
        for workers, runs in found.items():
            runs.append(run(fleet, bench.out("speed"), "--workers", workers))
    wall = {workers: statistics.median(one.seconds for one in runs) for workers, runs in found.items()}
    used = {workers: statistics.median(one.processor for one in runs) for workers, runs in found.items()}
    gain = wall["0"] / wall["2"]
    print(f"\nserial {wall['0']:.1f} s, two processes {wall['2']:.1f} s: {gain:.2f} times as fast")
    print(f"processor time: serial {used['0']:.1f} s, two processes {used['2']:.1f} s")
    return gain >= LEAST_GAIN


def small(bench: EvaluationContext) -> bool:
    """Measure what a file costs."""
    with (bench.fleet(TINY) / "truth.csv").open(encoding="utf-8", newline="") as file:
        files = sum(int(row["files"]) for row in csv.DictReader(file))
    runs = [run(bench.fleet(TINY), bench.out("small")) for _ in range(bench.runs)]
    seconds = statistics.median(one.seconds for one in runs)
    used = statistics.median(one.processor for one in runs)
    print(f"\n{files:,} small files in {seconds:.1f} s ({used:.1f} s of processors): {files / seconds:,.0f} a second")
    return files / seconds >= LEAST_FILES_PER_S


def resume(bench: EvaluationContext) -> bool:
    """Measure a finished run that is started again."""
    good = True
    for name in (LARGE, TINY):
        out = bench.finished(name)
        before = digests(out)
        runs = [run(bench.fleet(name), out) for _ in range(bench.runs)]
        seconds = statistics.median(one.seconds for one in runs)
        used = statistics.median(one.processor for one in runs)
        print(f"\n{name}, finished, again: {seconds:.2f} s ({used:.2f} s of processors)")
        good &= seconds < LONGEST_RESUME_S and digests(out) == before
    return good


CHECKS: dict[str, Callable[[EvaluationContext], bool]] = {
    "same": same,
    "truth": truth,
    "memory": memory,
    "speed": speed,
    "small": small,
    "resume": resume,
}


def main() -> None:
    """Run as a command."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("checks", nargs="*", metavar="CHECK", help=", ".join(CHECKS))
    parser.add_argument("--folder", type=Path, default=Path(tempfile.gettempdir()) / "auditor-fleets")
    parser.add_argument("--runs", type=int, default=3)
    given = parser.parse_args()
    if unknown := set(given.checks) - CHECKS.keys():
        parser.error(f"no such check: {', '.join(sorted(unknown))}")
    given.folder.mkdir(parents=True, exist_ok=True)
    bench = EvaluationContext(given.folder.resolve(), given.runs)
    kept = {name: CHECKS[name](bench) for name in given.checks or CHECKS}
    print()
    for name, good in kept.items():
        print(f"{name}: {'kept' if good else 'NOT KEPT'}")
    sys.exit(not all(kept.values()))


if __name__ == "__main__":
    main()
