"""Steps that the records of a client's log report, each read together with the records in front of it."""

from __future__ import annotations

import re
from collections import deque
from collections.abc import Iterator
from dataclasses import replace
from typing import TypeVar

from auditor.sources.configmgr.client_messages import read_message
from auditor.sources.configmgr.facts import InstallStep, LogRecord, ReportedStep, StepOutcome

MOST_THREADS = 1000
Key = TypeVar("Key")
Value = TypeVar("Value")
FACILITY_WIN32 = 0x8007_0000  # with a code of Windows in the lower half
NOTHING_SENT = 0  # as the port of a request that never left the computer
# Steps that fail in consequence of a request.
_OF_REQUESTS = (InstallStep.LOCATION_REQUEST, InstallStep.HTTP_REQUEST, InstallStep.DOWNLOAD)
_WITH_TARGETS = (*_OF_REQUESTS, InstallStep.BITS)
_JOB = re.compile(r"\{[^}]{1,60}\}")


class StepReader:
    """Reads the steps of one log, or of one run of CCMSetup, from its records in the order of lines."""

    def __init__(self) -> None:
        self._failed: dict[int, ReportedStep] = {}  # by thread the last request that failed
        self._targets: dict[tuple[InstallStep, int | str], str] = {}  # of steps that began, by thread or job

    def read(self, record: LogRecord) -> ReportedStep | None:
        """Return the step that a record reports, None if it reports none."""
        step = read_message(record)
        if step is None:
            return None
        if step.port is not None:
            _store(self._failed, record.thread, step)
            return step
        if step.step in _OF_REQUESTS:
            if step.outcome is StepOutcome.FAILED:
                step = self._consequence(step, self._failed.get(record.thread))
            else:  # a new request
                self._failed.pop(record.thread, None)
        return self._with_target(step, record.thread) if step.step in _WITH_TARGETS else step

    def _with_target(self, step: ReportedStep, thread: int) -> ReportedStep:
        """Return a step with what it is about: the record of an end does not repeat what that of the begin names."""
        job = _JOB.search(step.text) if step.step is InstallStep.BITS else None
        key = (step.step, job[0] if job else thread)
        if step.target:
            if step.outcome is StepOutcome.NEUTRAL:
                _store(self._targets, key, step.target)
            return step
        # A failure without a code or a status is about all that was tried.
        is_of_one = step.outcome is not StepOutcome.FAILED or step.code is not None or step.status is not None
        return replace(step, target=self._targets.get(key, "")) if is_of_one else step

    def _consequence(self, step: ReportedStep, request: ReportedStep | None) -> ReportedStep:
        if request is None:
            return step
        if request.port == NOTHING_SENT:
            # The log repeats the status of an earlier request, such as 200.
            return replace(step, port=NOTHING_SENT, status=None, target=step.target or request.target)
        if step.status is not None or _is_same_code(step.code, request.code):
            return replace(step, port=request.port, target=step.target or request.target)
        return step


def _is_same_code(code: int | None, of_request: int | None) -> bool:
    """Tell whether a code is that of a request, plain or as an HRESULT."""
    return code is not None and of_request is not None and code in (of_request, FACILITY_WIN32 | of_request)


def _store(kept: dict[Key, Value], key: Key, value: Value) -> None:
    """Keep a value by its key, as long as there are not too many keys."""
    if len(kept) >= MOST_THREADS:
        kept.clear()
    kept[key] = value


class StepList:
    """The first and the last steps of many, failures apart from others, since those are fewer and matter more.

    Args:
        most: How many of the first failures, the last failures, the first others, and the last others to keep.
    """

    def __init__(self, most: int) -> None:
        self._failures, self._others = _Ends(most), _Ends(most)

    def add(self, step: ReportedStep) -> None:
        """Add a step; the name of the fallback status point is written behind the state that was sent to it."""
        if step.outcome is StepOutcome.FAILED:
            self._failures.add(step)
            return
        before = self._others.latest
        if before is not None and _names_target(before, step):
            self._others.latest = replace(before, target=step.target, last_line=step.last_line)
        else:
            self._others.add(step)

    def all(self) -> tuple[ReportedStep, ...]:
        """Return them in the order of lines."""
        return tuple(sorted([*self._failures.all(), *self._others.all()], key=lambda step: step.line))


def _names_target(before: ReportedStep, step: ReportedStep) -> bool:
    is_state = step.step is before.step is InstallStep.FALLBACK_STATUS
    return is_state and before.code == step.code and bool(step.target) and not before.target


class _Ends:
    """The first and the last of many steps."""

    def __init__(self, most: int) -> None:
        self._most = most
        self._first: list[ReportedStep] = []
        self._last: deque[ReportedStep] = deque(maxlen=most)

    def add(self, step: ReportedStep) -> None:
        (self._first if len(self._first) < self._most else self._last).append(step)

    @property
    def latest(self) -> ReportedStep | None:
        steps = self._last or self._first
        return steps[-1] if steps else None

    @latest.setter
    def latest(self, step: ReportedStep) -> None:
        (self._last or self._first)[-1] = step

    def all(self) -> Iterator[ReportedStep]:
        yield from self._first
        yield from self._last
