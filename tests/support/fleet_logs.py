"""Logs of a site server for a fleet of computers."""

from __future__ import annotations

from pathlib import Path

from auditor.api.batch import batch
from auditor.report.fleet_model import FleetReport

METHOD = "client-push"


def line(text: str, second: int = 0) -> str:
    return f"{text}~  $$<SMS_CLIENT_CONFIG_MANAGER><01-17-2023 11:07:{second:02}.968-300><thread=14036 (0x36D4)>\r\n"


def push(number: int, machine: str, *texts: str) -> str:
    begin = f'======>Begin Processing request: "{number}", machine name: "{machine}"'
    end = f'<======End request: "{number}", machine name: "{machine}".'
    return "".join(line(text, second) for second, text in enumerate((begin, *texts, end)))


NO_PATH = ("---> Failed to connect to \\\\{}\\admin$ using account LAB\\push (53)",)


NO_RPC = ('---> Unable to connect to WMI on remote machine "{}", error = 0x800706BA.',)


REFUSED = ("---> Failed to connect to \\\\{}\\admin$ using account LAB\\push (5)",)


def ccm(**machines: tuple[str, ...]) -> str:
    return "".join(
        push(number, name.replace("_", "."), *(text.format(name) for text in texts))
        for number, (name, texts) in enumerate(machines.items(), 2097152001)
    )


def write(path: Path, text: str) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text, newline="")
    return path


def fleet(*paths: Path, out: Path) -> FleetReport:
    return batch(*paths, out=out, workers=1).report


def results(report: FleetReport) -> dict[str, str]:
    return {host.host: host.outcome(METHOD).result for host in report.hosts}
