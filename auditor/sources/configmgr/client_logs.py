"""Logs of a client: ccmsetup.log and its kin, recognized by the component of each record.

Records of another product in the same form, such as those of AppEnforce.log and smsts.log, report nothing here.
"""

from __future__ import annotations

from collections.abc import Iterable

from auditor.sources.configmgr.client_facts import FactList
from auditor.sources.configmgr.client_messages import COMPONENTS, NOISE, shown
from auditor.sources.configmgr.client_steps import StepList, StepReader
from auditor.sources.configmgr.facts import LogRecord, ReportedSteps
from auditor.sources.configmgr.installations import COMPONENT, Installations

MOST_STEPS = 500  # of each kind of end that belong to no installation
MOST_UNKNOWN = 100
ERROR = 3  # the severity


class ClientLog:
    """The installations, steps, and facts of one log, from its records in the order of lines."""

    def __init__(self) -> None:
        self._installations = Installations()
        self._steps, self._facts, self._reader = StepList(MOST_STEPS), FactList(), StepReader()
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
