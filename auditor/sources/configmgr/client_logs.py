"""Logs of a client: ccmsetup.log and its kin, told apart by the component of each record, and the log of client.msi.

Records of another product in the same form, such as those of AppEnforce.log and smsts.log, report nothing here.
"""

from __future__ import annotations

import re
from collections.abc import Iterable

from auditor.sources.configmgr.client_facts import FactList
from auditor.sources.configmgr.client_messages import COMPONENTS, NOISE, read_code, shown
from auditor.sources.configmgr.client_steps import StepList, StepReader
from auditor.sources.configmgr.facts import InstallStep, LogRecord, ReportedStep, ReportedSteps, StepOutcome
from auditor.sources.configmgr.installations import COMPONENT, Installations

MOST_UNKNOWN = 100
ERROR = 3  # the severity
LOOKED_AT = 2000  # characters of a line of an MSI log

_MSI_LOG = re.compile(
    r"=== (?:Verbose )?[Ll]ogging started:|MSI \((?:s|c|N)\) \([0-9A-F]{2}:[0-9A-F]{2}\)|Action (?:start|ended) "
    r"[0-9]{1,2}[:.][0-9]{2}[:.][0-9]{2}: "
)
# What a failed installation writes; the words in front of the numbers are in the language of Windows.
_MSI_FAILURES = tuple(
    re.compile(pattern)
    for pattern in (
        r"Action ended [0-9:.]{5,12}: (?P<action>[^.\n]{1,100})\. Return value (?P<code>3)\.",
        r".{0,200}?\bReturn value (?P<code>3)\.",
        r".{0,200}?\bCustomAction (?P<action>[\w.]{1,100}) returned actual error code (?P<code>-?[0-9]{1,10})",
        r".{0,200}?\bMainEngineThread is returning (?P<code>-?[0-9]{1,10})",
        r".{0,600}?Installation success or error status: (?P<code>-?[0-9]{1,10})",
    )
)
_MSI_REBOOT = frozenset((1641, 3010))  # ERROR_SUCCESS_REBOOT_INITIATED, ERROR_SUCCESS_REBOOT_REQUIRED


class ClientLog:
    """The installations, steps, and facts of one log, from its records in the order of lines."""

    def __init__(self) -> None:
        self._installations = Installations()
        self._steps, self._facts, self._reader = StepList(), FactList(), StepReader()
        self._unknown: list[tuple[int, str]] = []

    def read(self, record: LogRecord) -> bool:
        """Use a record.

        Returns:
            Whether it is of a component that can report on an installation.
        """
        component = record.component.lower()
        if component not in COMPONENTS:
            return False
        # ccmsetup.log has records of other components between its own.
        in_run = component == COMPONENT or self._installations.is_open
        known = self._installations.read(record) if in_run else self._read_outside(record)
        if not known and record.severity == ERROR and len(self._unknown) < MOST_UNKNOWN:
            text = shown(record.text)
            if not NOISE.match(text):
                self._unknown.append((record.line, text))
        return True

    def finish(self) -> ReportedSteps:
        """Return what was read."""
        return ReportedSteps(
            installations=self._installations.finish(),
            steps=self._steps.all(),
            facts=self._facts.all(),
            unknown_errors=tuple(self._unknown),
        )

    def _read_outside(self, record: LogRecord) -> bool:
        self._facts.read(record)
        step = self._reader.read(record)
        if step is not None:
            self._steps.add(step)
        return step is not None


def read_client_log(records: Iterable[LogRecord]) -> ReportedSteps:
    """Return what the records of a client's log report; records of other products report nothing."""
    log = ClientLog()
    for record in records:
        log.read(record)
    return log.finish()


def looks_like_msi_log(text: str) -> bool:
    """Return whether the beginning of a text is that of a log of Windows Installer."""
    return bool(_MSI_LOG.search(text[:10_000]))


def read_msi_log(lines: Iterable[str]) -> tuple[ReportedStep, ...]:
    """Return the failures that a log of Windows Installer (client.msi.log) reports, and its result.

    Args:
        lines: Its lines, decoded; the log is written as UTF-16.

    Returns:
        Steps in the order of lines, at most the first and the last thousand. Their times are None: the log has only
        local times of day.
    """
    steps = StepList()
    for number, line in enumerate(lines, 1):
        if step := _msi_step(number, line[:LOOKED_AT]):
            steps.add(step)
    return steps.all()


def _msi_step(number: int, line: str) -> ReportedStep | None:
    # Both words are in each of the patterns: most lines have neither.
    if "eturn" not in line and "status: " not in line:
        return None
    match = next((match for pattern in _MSI_FAILURES if (match := pattern.match(line))), None)
    if match is None or (code := read_code(match["code"])) is None:
        return None
    if code and code not in _MSI_REBOOT:
        outcome = StepOutcome.FAILED
    elif "status: " in match[0]:
        outcome = StepOutcome.SUCCEEDED
    else:
        return None
    action = match.groupdict().get("action") or ""
    text = shown(line)
    return ReportedStep(
        InstallStep.MSI, outcome, number, number, None, text, code=code, written_code=match["code"], target=action
    )
