"""Change bytes of every kind of file that the program reads, and hold what no change may break.

    python tests/fuzz/fuzz.py --seed 1 --count 2000            every target, 2,000 mutants each
    python tests/fuzz/fuzz.py --target event-log --count 50000

Whatever a file holds, reading it ends within a few seconds of processor time, and with a result or an AuditorError of
one line. What breaks that is kept in tests/fuzz/finds/TARGET/, to be made smaller and committed: test_fuzz.py beside
this file reads all that is there.
"""

from __future__ import annotations

import argparse
import hashlib
import io
import json
import os
import random
import signal
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path
from types import FrameType

import auditor
from auditor.errors import AuditorError, RulesetError
from auditor.render.formats import FORMS, render
from auditor.ruleset.package_data import rulesets_folder
from auditor.sources.source import FIREWALL_LOG, Source

ROOT = Path(__file__).parents[2]
FINDS = Path(__file__).parent / "finds"
SAMPLES = ROOT / "sample_captures"
CPU_SECONDS = 5.0
MOST_MEMORY = 500 * 1024  # KiB of this process
ROLES = {"client": "10.20.2.20", "site-server": "10.20.1.10"}
INTERESTING = (
    b"\0",
    b"\xff",
    b"\x80",
    b"\r\n",
    b"#Fields: ",
    b'"',
    b"\\ud800",
    b"]LOG]!>",
    b"<![LOG[",
    b"9" * 30,
    b"-1",
)
LARGEST_SEED = 200_000


class BrokenInvariantError(Exception):
    """What a file did that none may do."""


# what is read


def read_capture(path: Path) -> None:
    """Read a capture, evaluate it, and write the report in every form."""
    report = auditor.audit(path, roles=ROLES, dissect=False)
    for form in FORMS:
        render(report, form)


def read_log(path: Path) -> None:
    """Read a log; each of its lines is counted once."""
    check_counts(auditor.read(path))
    auditor.audit(path, roles=ROLES, dissect=False)


def check_counts(source: Source) -> None:
    """Raise BrokenInvariantError if the lines of a firewall log are more or fewer than their kinds."""
    if source.kind != FIREWALL_LOG:
        return
    facts = source.details.facts  # type: ignore[union-attr]
    kinds = source.records + facts.comments + facts.blanks + sum(facts.malformed.values())
    if facts.lines != kinds:
        raise BrokenInvariantError(f"{facts.lines} lines, but {kinds} of all kinds")


def read_report(path: Path) -> None:
    """Read a saved report, and write it in every form."""
    report = auditor.load_report(path)
    for form in FORMS:
        render(report, form)


def read_fleet(path: Path) -> None:
    """Read a saved fleet, and write all of its files."""
    from auditor.fleet.output_folder import FORMS as FLEET_FORMS
    from auditor.fleet.output_folder import write_form

    fleet = auditor.load_fleet(path)
    for form in FLEET_FORMS:
        write_form(fleet, form, io.BytesIO())


def read_summary(path: Path) -> None:
    """Merge a summary."""
    with tempfile.TemporaryDirectory() as folder:
        auditor.merge(path, out=Path(folder) / "merged", workers=0)


def read_ruleset(path: Path) -> None:
    """Load a ruleset, and evaluate a capture by it."""
    auditor.audit(SAMPLES / "smb-dropped.pcap", ruleset=path, dissect=False)


def read_site(path: Path) -> None:
    """Load the facts of a site, and evaluate a capture by them."""
    auditor.audit(SAMPLES / "smb-dropped.pcap", site=path, dissect=False)


# the files that are changed


def event() -> bytes:
    """Return an event log as JSON with one blocked connection."""
    values = {"Direction": "%%14592", "SourceAddress": "10.20.1.10", "SourcePort": "50000", "DestPort": "445"}
    values |= {"DestAddress": "10.20.2.20", "Protocol": "6", "Application": "System", "LayerName": "%%14610"}
    system = {"Provider": {"#attributes": {"Name": "Microsoft-Windows-Security-Auditing"}}, "EventID": 5157}
    system |= {"TimeCreated": {"#attributes": {"SystemTime": "2026-03-01T08:00:00Z"}}, "Channel": "Security"}
    return (json.dumps({"Event": {"System": system, "EventData": values}}) + "\n").encode() * 3


def iis_log() -> bytes:
    """Return the log of a management point with one request."""
    fields = (
        "#Fields: date time s-ip cs-method cs-uri-stem cs-uri-query s-port cs-username c-ip cs(User-Agent) sc-status"
    )
    row = "2026-03-01 08:00:00 10.20.1.10 CCM_POST /ccm_system/request - 80 - 10.20.2.20 ccmsetup 200"
    return f"#Software: Microsoft Internet Information Services 10.0\r\n{fields}\r\n{row}\r\n".encode()


@cache
def saved() -> dict[str, bytes]:
    """Return a report, a fleet, and a summary as the program saves them."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        (folder / "logs").mkdir()
        (folder / "logs" / "pc01.json").write_bytes(event())
        auditor.batch(folder / "logs", out=folder / "fleet", roles={"site-server": ROLES["site-server"]}, workers=0)
        (summary,) = (folder / "fleet" / "summaries").glob("[!.]*")
        report = auditor.audit(SAMPLES / "smb-dropped.pcap", roles=ROLES, dissect=False)
        fleet = (folder / "fleet" / "fleet.json").read_bytes()
        return {"report": report.to_json().encode(), "fleet": fleet, "summary": summary.read_bytes()}


def files_of(folder: Path, *patterns: str) -> list[bytes]:
    """Return the small files that fit a pattern, in order of name."""
    paths = sorted(path for pattern in patterns for path in folder.glob(pattern))
    return [path.read_bytes() for path in paths if path.stat().st_size <= LARGEST_SEED]


@dataclass(frozen=True)
class Target:
    """One kind of file.

    Attributes:
        suffix: With which it is written.
        read: What reads it.
        seeds: Gives the files that are changed.
    """

    suffix: str
    read: Callable[[Path], None]
    seeds: Callable[[], Sequence[bytes]]


def _evtx() -> list[bytes]:
    corpus = os.environ.get("AUDITOR_CORPUS")
    return files_of(Path(corpus) / "evtx", "*.evtx") if corpus else []


TARGETS = {
    "capture": Target(".pcap", read_capture, lambda: files_of(SAMPLES, "*.pcap", "*.pcapng", "*.pcap.gz")),
    "firewall-log": Target(".log", read_log, lambda: files_of(SAMPLES, "*.log")),
    "event-log": Target(".json", read_log, lambda: [event()]),
    "evtx": Target(".evtx", read_log, _evtx),
    "configmgr-log": Target(".log", read_log, lambda: files_of(SAMPLES / "configmgr_logs", "*/*.log")),
    "iis-log": Target(".log", read_log, lambda: [iis_log()]),
    "report": Target(".json", read_report, lambda: [saved()["report"]]),
    "fleet": Target(".json", read_fleet, lambda: [saved()["fleet"]]),
    "summary": Target(".parquet", read_summary, lambda: [saved()["summary"]]),
    "ruleset": Target(".toml", read_ruleset, lambda: files_of(rulesets_folder(), "*.toml")),
    "site": Target(
        ".toml", read_site, lambda: [b'mode = "mixed"\n[roles]\nsite-server = "10.20.1.10"\n[ports]\nhttp = 80\n']
    ),
}


# how they are changed


def mutant(seeds: Sequence[bytes], chance: random.Random) -> bytes:
    """Return one of the files with a few changes."""
    content = bytearray(chance.choice(seeds))
    for _ in range(chance.choice((1, 1, 1, 2, 4, 16))):
        chance.choice(MUTATORS)(content, seeds, chance)
    return bytes(content)


def _change_byte(content: bytearray, _: Sequence[bytes], chance: random.Random) -> None:
    if content:
        content[chance.randrange(len(content))] = chance.choice((0, 1, 0x7F, 0x80, 0xFF, chance.randrange(256)))


def _cut_out(content: bytearray, _: Sequence[bytes], chance: random.Random) -> None:
    begin, end = _span(content, chance)
    del content[begin:end]


def _repeat(content: bytearray, _: Sequence[bytes], chance: random.Random) -> None:
    begin, end = _span(content, chance)
    content[end:end] = bytes(content[begin:end]) * chance.choice((1, 2, 30))


def _insert(content: bytearray, _: Sequence[bytes], chance: random.Random) -> None:
    at = chance.randint(0, len(content))
    content[at:at] = chance.choice(INTERESTING) * chance.choice((1, 1, 1, 300))


def _end_early(content: bytearray, _: Sequence[bytes], chance: random.Random) -> None:
    del content[chance.randint(0, len(content)) :]


def _splice(content: bytearray, seeds: Sequence[bytes], chance: random.Random) -> None:
    other = chance.choice(seeds)
    begin, end = _span(other, chance)
    at = chance.randint(0, len(content))
    content[at : at + end - begin] = other[begin:end]


def _span(content: bytes | bytearray, chance: random.Random) -> tuple[int, int]:
    begin = chance.randint(0, len(content))
    return begin, min(len(content), begin + chance.choice((1, 4, 16, 200, 4000)))


MUTATORS = (_change_byte, _change_byte, _cut_out, _repeat, _insert, _end_early, _splice)


# what may not happen


@contextmanager
def limited_time() -> Iterator[None]:
    """Raise BrokenInvariantError in what takes more than CPU_SECONDS of processor time."""

    def stop(_number: int, _frame: FrameType | None) -> None:
        raise BrokenInvariantError(f"more than {CPU_SECONDS:.0f} s of processor time")

    previous = signal.signal(signal.SIGPROF, stop)
    signal.setitimer(signal.ITIMER_PROF, CPU_SECONDS)
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_PROF, 0)
        signal.signal(signal.SIGPROF, previous)


def fault_of(target: Target, content: bytes) -> str:
    """Return what is wrong with how a file is read; empty if nothing is."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / f"mutant{target.suffix}"
        path.write_bytes(content)
        try:
            with limited_time():
                target.read(path)
        except AuditorError as error:
            is_list = isinstance(error, RulesetError)  # one line for each fault
            return "" if is_list or "\n" not in str(error) else f"an error of several lines: {error}"
        except Exception as error:
            return f"{type(error).__name__}: {error}"
    return ""


def peak_memory() -> int:
    """Return the most memory that this process had so far, in KiB; 0 where the system has no such file."""
    status = Path("/proc/self/status")
    lines = status.read_text(encoding="ascii").splitlines() if status.exists() else []
    return next((int(line.split()[1]) for line in lines if line.startswith("VmHWM:")), 0)


@dataclass
class Figures:
    """What came of one target.

    Attributes:
        mutants: How many files were read.
        seconds: Processor time.
        faults: The first file of each fault.
    """

    mutants: int = 0
    seconds: float = 0.0
    faults: dict[str, bytes] = field(default_factory=dict)


def fuzz(name: str, count: int, seed: int) -> Figures:
    """Read mutants of one kind of file.

    Args:
        name: Of the target.
        count: How many.
        seed: The same seed gives the same files.
    """
    target, chance, figures = TARGETS[name], random.Random(f"{name} {seed}"), Figures()
    seeds = target.seeds()
    begin = time.process_time()
    for _ in range(count if seeds else 0):
        content = mutant(seeds, chance)
        if fault := fault_of(target, content):
            figures.faults.setdefault(fault[:80], content)
        figures.mutants += 1
    figures.seconds = time.process_time() - begin
    return figures


def main() -> int:
    """Fuzz the targets that were asked for, print their figures, and keep what was found."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seed", type=int, default=random.SystemRandom().randrange(10**6))
    parser.add_argument("--count", type=int, default=500, help="mutants of each target")
    parser.add_argument("--target", choices=TARGETS, action="append")
    asked = parser.parse_args()
    print(f"seed {asked.seed}")
    failed = False
    for name in asked.target or TARGETS:
        figures = fuzz(name, asked.count, asked.seed)
        counts = f"{name:14} {figures.mutants:7,} mutants {figures.seconds:7.1f} s {len(figures.faults):3} faults"
        print(f"{counts}, memory so far {peak_memory() // 1024} MB", flush=True)
        failed = failed or peak_memory() > MOST_MEMORY
        for fault, content in figures.faults.items():
            failed = True
            place = FINDS / name / hashlib.sha256(content).hexdigest()[:16]
            place.parent.mkdir(parents=True, exist_ok=True)
            place.write_bytes(content)
            print(f"  {fault}\n  {place.relative_to(ROOT)}")
    return int(failed)


if __name__ == "__main__":
    raise SystemExit(main())
