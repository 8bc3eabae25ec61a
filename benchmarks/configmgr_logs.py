"""Measure how ccm.log is read: beside grep and Python's csv reader, in one run, as ratios, with peak memory.

    python benchmarks/configmgr_logs.py [--megabytes 250] [--runs 3] [--machines 20000] [--fleet] [--folder DIR]

The log is generated: threads of a site server take turns, requests of many computers fail at different steps or
succeed, and come back from the queue. grep counts lines; the csv reader splits them. Each command is a process of its
own, in turn, after one round that is not counted. Ratios are of processor time. With --fleet, the log is also a fleet
for auditor batch, in one process. Linux.
"""

from __future__ import annotations

import argparse
import random
import statistics
import subprocess
import sys
from collections.abc import Iterator
from datetime import datetime, timedelta
from pathlib import Path

from compare import Run, run

BEGIN = datetime(2026, 9, 25, 15, 13, 55)
THREADS = 20
CSV = "import csv, sys; print(sum(1 for _ in csv.reader(open(sys.argv[1], encoding='utf-8', newline=''))))"
RECORDS = """
import sys
from auditor.sources.configmgr.records import RecordAccount, read_records
account = RecordAccount()
for _ in read_records(open(sys.argv[1], "rb"), account): pass
print(account.records, account.lines)
"""
REQUESTS = """
import sys
from auditor.sources.configmgr.push_requests import PushRequestBuilder
from auditor.sources.configmgr.records import RecordAccount, read_records
builder = PushRequestBuilder()
for record in read_records(open(sys.argv[1], "rb"), RecordAccount()): builder.add(record)
log = builder.finish()
print(log.request_count, len(log.requests), log.unknown_count)
"""


def request(number: int, machine: str, outcome: int) -> Iterator[str]:
    """Yield what a thread writes of a request: outcome 0 ADMIN$ fails, 1 WMI, 2 Kerberos, 3 same version, 4 success."""
    share = rf"\\{machine}\admin$"
    yield f'======>Begin Processing request: "{number}", machine name: "{machine}"'
    yield "Execute query exec [sp_IsMPAvailable] N'ABC'~"
    yield "---> Trying the 'best-shot' account which worked for previous CCRs (index = 0x0)~"
    yield f"---> Attempting to connect to administrative share '{share}' using account 'CONTOSO\\push'~"
    if outcome == 0:
        yield "---> WNetAddConnection2 failed (LOGON32_LOGON_NEW_CREDENTIALS) using account CONTOSO\\push (00000035)"
        yield "---> The 'best-shot' account has now succeeded 7 times and failed 1 times."
        yield f"---> Attempting to connect to administrative share '{share}' using machine account.~"
        yield f"---> Failed to connect to {share} using machine account (53)~"
        unable = f'request: "{number}", machine name: "{machine}"'
        yield f"---> ERROR: Unable to access target machine for {unable},  access denied or invalid network path."
        yield from failed(number, machine, 53)
        return
    for call in ("SspiEncodeStringsAsAuthIdentity", "SspiExcludePackage", "SspiMarshalAuthIdentity", "NetUseAdd"):
        yield f"---> {call} succeeded!~"
    yield "---> The 'best-shot' account has now succeeded 7 times and failed 0 times."
    yield f"---> Connected to administrative share on machine {machine} using account 'CONTOSO\\push'~"
    yield "---> Attempting to make IPC connection to share  with Kerberos authentication ~"
    yield "---> NetUseAdd succeeded for IPC$ authentication!~"
    yield f"---> Searching for SMSClientInstall.* under '{share}\\'~"
    if outcome in (1, 2):
        code = "0x800706BA" if outcome == 1 else "0x80070005"
        remote = f'remote machine "{machine}"'
        yield f"---> Unable to connect to {remote} using Kerberos with alternate account, error - {code}."
        yield f'--> NTLM fallback is enabled, remote machine "{machine}" is continuing with client push.'
        yield f'---> Unable to connect to WMI on remote machine "{machine}", error = {code}.'
        yield f"---> Deleting SMS Client Install Lock File '{share}\\SMSClientInstall.ABC'~"
        yield from failed(number, machine, int(code, 16) - 2**32)
        return
    if outcome == 3:
        yield (
            "---> Mobile client on the target machine has the same version, and 'forced' flag is not turned on. "
            "Not processing this CCR.~"
        )
    else:
        yield f"---> Copying client files to {share}\\ccmsetup.~"
        yield f'---> Created service "ccmsetup" on machine "{machine}".~'
        yield f'---> Started service "ccmsetup" on machine "{machine}".~'
    yield f"Execute query exec [sp_CP_SetPushRequestMachineStatus] {number}, {outcome}~"
    yield f'<======End request: "{number}", machine name: "{machine}".'


def failed(number: int, machine: str, code: int) -> Iterator[str]:
    """Yield what is written of a request that goes back into the queue."""
    yield f"Execute query exec [sp_CP_SetLastErrorCode] {number}, {code}~"
    yield f'Stored request "{number}", machine name "{machine}", in queue "Retry".'
    yield f"Execute query exec [sp_CP_SetPushRequestMachineStatus] {number}, 2~"
    yield f"Execute query exec [sp_CP_SetLatest] {number}, N'09/25/2026 14:13:55', 93~"
    yield f'<======End request: "{number}", machine name: "{machine}".'


def records(machines: int, seed: int) -> Iterator[bytes]:
    """Yield records without end: those of threads take turns."""
    chance, time, thread = random.Random(seed), BEGIN, 0
    running: list[Iterator[str]] = [iter(()) for _ in range(THREADS)]
    while True:
        thread = chance.randrange(THREADS)
        text = next(running[thread], None)
        if text is None:
            machine = chance.randrange(machines)
            running[thread] = request(16777217 + machine, f"PC{machine:05}.contoso.com", machine % 5)
            continue
        time += timedelta(milliseconds=chance.randrange(40))
        clock = f"{time:%m-%d-%Y %H:%M:%S}.{time.microsecond // 1000:03}-60"
        number = 4000 + 4 * thread
        yield f"{text}  $$<SMS_CLIENT_CONFIG_MANAGER><{clock}><thread={number} (0x{number:04X})>\r\n".encode()


def make(path: Path, size: int, machines: int) -> None:
    """Write a log of a size."""
    with path.open("wb") as file:
        for record in records(machines, 1):
            if file.tell() >= size:
                return
            file.write(record)


def compare(path: Path, runs: int, *, fleet: bool) -> None:
    """Run all commands in turn and print a table. fleet: whether auditor batch is one of them."""
    again = 'rm -rf "$2"; "$0" -m auditor batch "$1" -o "$2" --workers 0 --quiet; test $? -lt 4'
    batch = {"auditor batch": ["sh", "-c", again, sys.executable, str(path), f"{path}.fleet"]}
    todo = {
        # Into a pipe: grep stops at the first line if nothing takes what it prints.
        "grep -c, lines": ["sh", "-c", 'grep -c "Begin Processing" "$1" | cat', "sh", str(path)],
        "csv.reader, rows": [sys.executable, "-c", CSV, str(path)],
        "auditor, records": [sys.executable, "-c", RECORDS, str(path)],
        "auditor, push requests": [sys.executable, "-c", REQUESTS, str(path)],
        **(batch if fleet else {}),
    }
    taken: dict[str, list[Run]] = {name: [] for name in todo}
    for turn in range(runs + 1):
        for name, command in todo.items():
            measured = run(command)
            if turn:
                taken[name].append(measured)
    used = {name: statistics.median(measured.processor for measured in all_runs) for name, all_runs in taken.items()}
    grep, split = list(used.values())[:2]
    print(f"\n{path.name}, {path.stat().st_size / 1e6:.0f} MB\n")
    print("| command | seconds | processor | peak memory | processor, as a multiple of grep's | of csv.reader's |")
    print("| --- | --- | --- | --- | --- | --- |")
    for name, all_runs in taken.items():
        wall = statistics.median(measured.seconds for measured in all_runs)
        memory = statistics.median(measured.megabytes for measured in all_runs)
        ratios = f"{used[name] / grep:.0f} | {used[name] / split:.1f}"
        print(f"| {name} | {wall:.2f} | {used[name]:.2f} | {memory:.0f} MB | {ratios} |")


def main() -> None:
    """Run as a command."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--megabytes", type=int, default=250)
    parser.add_argument("--machines", type=int, default=20_000)
    parser.add_argument("--runs", type=int, default=3)
    parser.add_argument("--fleet", action="store_true")
    parser.add_argument("--folder", type=Path, default=Path("build"))
    parser.add_argument("--only-make", action="store_true", help=argparse.SUPPRESS)
    given = parser.parse_args()
    given.folder.mkdir(parents=True, exist_ok=True)
    path = given.folder / f"ccm-{given.megabytes}-{given.machines}.log"
    if given.only_make:
        make(path, given.megabytes * 10**6, given.machines)
        return
    if not path.exists():
        # In a process of its own: what this one has used at most would count as its children's peak memory.
        subprocess.run([sys.executable, *sys.argv, "--only-make"], check=True)
    compare(path, given.runs, fleet=given.fleet)


if __name__ == "__main__":
    main()
