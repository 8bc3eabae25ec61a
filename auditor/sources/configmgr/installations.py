"""Runs of CCMSetup, cut out of the records of ccmsetup.log.

A log holds several runs: the bootstrap, which ends with code 0 when it has started the service; the service, which
installs; and each retry. A log can begin in the middle of a run.
"""

from __future__ import annotations

import re
from collections import deque
from dataclasses import replace

from auditor.sources.configmgr.client_facts import FactList, command_line_of, facts_of_command, words_of
from auditor.sources.configmgr.client_steps import StepList, StepReader
from auditor.sources.configmgr.facts import Installation, InstallStep, LogRecord, ReportedStep, StepOutcome

COMPONENT = "ccmsetup"
MOST_RUNS = 200  # that ended; the last ones are kept
MOST_STEPS = 100  # of each kind of end of a run; a retry repeats some dozens
MOST_THREADS = 1000  # of a run
OVERLAP_NS = 60 * 10**9  # for so long after the start of its service a bootstrap can go on
_BEGIN = re.compile(r"\s*=+\[ ccmsetup started in process", re.IGNORECASE)
_SERVICE_MAIN = re.compile(r"\s*In ServiceMain\b")
_SERVICE_STARTED = re.compile(r"\s*Successfully (?:created|started) the ccmsetup service", re.IGNORECASE)
_UNINSTALLED = re.compile(r"\s*Uninstall (?:of product '[^'\n]{0,100}' )?succeeded", re.IGNORECASE)


class Installations:
    """The runs of CCMSetup in one log, from its records in the order of lines.

    Attributes:
        dropped: Runs in front of the last MOST_RUNS.
    """

    def __init__(self) -> None:
        self.dropped = 0
        self._ended: deque[_SetupRun] = deque(maxlen=MOST_RUNS)
        self._bootstrap: _SetupRun | None = None  # that has started a service and can still write
        self._run: _SetupRun | None = None

    @property
    def is_open(self) -> bool:
        """Whether a run has begun."""
        return self._run is not None

    def read(self, record: LogRecord) -> bool:
        """Use a record of CCMSetup, or one that stands between them.

        Returns:
            Whether its words are known.
        """
        if self._run is None or _BEGIN.match(record.text[:200]):
            return self._begin().read(record)
        return self._of(record, self._run).read(record)

    def finish(self) -> tuple[Installation, ...]:
        """Return the runs in the order of their first lines."""
        runs = [*self._ended, *filter(None, (self._bootstrap, self._run))]
        return tuple(run.finish() for run in sorted(runs, key=lambda run: run.first_line))

    def _begin(self) -> _SetupRun:
        ended = self._run
        self._end(self._bootstrap)
        self._bootstrap, self._run = None, _SetupRun()
        if ended is not None and ended.starts_service:
            self._bootstrap = ended
        else:
            self._end(ended)
        return self._run

    def _end(self, run: _SetupRun | None) -> None:
        if run is not None:
            self.dropped += len(self._ended) == MOST_RUNS
            self._ended.append(run)

    def _of(self, record: LogRecord, run: _SetupRun) -> _SetupRun:
        """Return the run of a record: the bootstrap's last records can stand behind the service's first ones."""
        bootstrap = self._bootstrap
        if bootstrap is None:
            return run
        is_late = record.thread in bootstrap.threads and record.thread not in run.threads
        if is_late and bootstrap.exit_code is None and bootstrap.is_near(record):
            return bootstrap
        return run


class _SetupRun:
    """One run of CCMSetup so far."""

    def __init__(self) -> None:
        self.first_line = self._last_line = 0
        self.threads: set[int] = set()
        self.starts_service = False
        self.exit_code: int | None = None
        self._first_ns: int | None = None
        self._last_ns: int | None = None
        self._service = self._uninstall = False
        self._command_line = ""
        self._facts, self._steps, self._reader = FactList(), StepList(MOST_STEPS), StepReader()

    def is_near(self, record: LogRecord) -> bool:
        """Return whether a record is so soon after the last one that it can be of the same run."""
        return record.time_ns is None or self._last_ns is None or record.time_ns - self._last_ns < OVERLAP_NS

    def read(self, record: LogRecord) -> bool:
        """Use a record; return whether its words are known."""
        self._span(record)
        self._facts.read(record)
        if command_line := command_line_of(record):
            self._command(command_line, record)
        text = record.text[:200]
        self._service |= bool(_SERVICE_MAIN.match(text))
        self._uninstall |= bool(_UNINSTALLED.match(text))
        self.starts_service |= bool(_SERVICE_STARTED.match(text))
        step = self._reader.read(record)
        if step is not None:
            self._steps.add(self._judged(step))
        return step is not None or bool(command_line)

    def finish(self) -> Installation:
        """Return the run as a value."""
        return Installation(
            first_line=self.first_line,
            last_line=self._last_line,
            first_ns=self._first_ns,
            last_ns=self._last_ns,
            service=self._service,
            command_line=self._command_line,
            facts=self._facts.all(),
            steps=self._steps.all(),
            exit_code=self.exit_code,
            uninstall=self._uninstall,
        )

    def _span(self, record: LogRecord) -> None:
        self.first_line = self.first_line or record.line
        self._last_line = max(self._last_line, record.last_line)
        if len(self.threads) < MOST_THREADS:
            self.threads.add(record.thread)
        if record.time_ns is not None:
            self._first_ns = record.time_ns if self._first_ns is None else self._first_ns
            self._last_ns = record.time_ns

    def _command(self, command_line: str, record: LogRecord) -> None:
        words = words_of(command_line)
        switches = {word.lower() for word in words}
        self._command_line = self._command_line or command_line
        self._service |= "/runservice" in switches
        self._uninstall |= "/uninstall" in switches
        for kind, value in facts_of_command(words):
            self._facts.add(kind, value, record.line)

    def _judged(self, step: ReportedStep) -> ReportedStep:
        """Return a step as it is meant in this run: code 0 of a bootstrap says that the service was started."""
        if step.step is not InstallStep.EXIT:
            return step
        self.exit_code = self.exit_code if step.code is None else step.code
        is_bootstrap = self.starts_service and not self._service
        return replace(step, outcome=StepOutcome.NEUTRAL) if is_bootstrap and step.code == 0 else step
