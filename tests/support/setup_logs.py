"""Logs of a client in their true form, and what is read from them."""

from __future__ import annotations

import io

from auditor.sources.configmgr.client_logs import read_client_log
from auditor.sources.configmgr.facts import Installation, InstallStep, ReportedFact, ReportedStep, ReportedSteps
from auditor.sources.configmgr.facts import StepOutcome as Outcome
from auditor.sources.configmgr.records import RecordAccount, read_records

STARTED = "==========[ ccmsetup started in process 2040 ]=========="
EXE = r'"C:\WINDOWS\ccmsetup\ccmsetup.exe"'
PUSH = f"Ccmsetup command line: {EXE} /runservice /ForceInstall /ignoreskipupgrade /config:MobileClient.tcf"
BOOTSTRAP = (STARTED, "Successfully created the ccmsetup service", "Successfully started the ccmsetup service")
SERVICE = (STARTED, "In ServiceMain", PUSH)


def record(text: str, component: str = "ccmsetup", severity: int = 1, thread: int = 7812, second: int = 0) -> str:
    """Return a record as Windows writes it, with CRLF behind it."""
    time = f"11:{second // 60 % 60:02}:{second % 60:02}.081+300"
    return (
        f'<![LOG[{text}]LOG]!><time="{time}" date="01-17-2023" component="{component}" context="" type="{severity}" '
        f'thread="{thread}" file="ccmsetup.cpp:1">\r\n'
    )


def log(*texts: str, component: str = "ccmsetup") -> str:
    """Return a log of these texts; one that is a record already stays."""
    return "".join(text if text.startswith("<![LOG[") else record(text, component) for text in texts)


def read(text: str | bytes) -> ReportedSteps:
    """Return what a log reports."""
    raw = io.BytesIO(text if isinstance(text, bytes) else text.encode("utf-8", "surrogatepass"))
    return read_client_log(read_records(raw, RecordAccount()))


def installation(*texts: str) -> Installation:
    """Return the only run of CCMSetup that a log of these texts holds."""
    (run,) = read(log(*texts)).installations
    return run


def steps(*texts: str, component: str = "ccmsetup") -> tuple[ReportedStep, ...]:
    """Return the steps of a log, those of its installations first."""
    reported = read(log(*texts, component=component))
    return (*(step for run in reported.installations for step in run.steps), *reported.steps)


def step(*texts: str, component: str = "ccmsetup") -> ReportedStep:
    """Return the last step of a log."""
    return steps(*texts, component=component)[-1]


def failed(reported: tuple[ReportedStep, ...], kind: InstallStep) -> list[ReportedStep]:
    """Return the failures of one step."""
    return [step for step in reported if step.step is kind and step.outcome is Outcome.FAILED]


def values(facts: tuple[ReportedFact, ...]) -> dict[str, list[str]]:
    """Return the values of facts by their kind."""
    by_kind: dict[str, list[str]] = {}
    for fact in facts:
        by_kind.setdefault(fact.kind.value, []).append(fact.value)
    return by_kind
