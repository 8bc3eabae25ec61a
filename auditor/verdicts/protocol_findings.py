"""What the answers on an open port mean for a requirement: how far it came, and which problem ended it."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import replace
from typing import NamedTuple

from auditor.report import model as r
from auditor.sources.dissection.facts import ANONYMOUS, CALL, FAULT, OPEN, Outcome, ProtocolStep
from auditor.verdicts.attempts import Attempt, Traffic

MOST_PROBLEMS = 8
MOST_STEPS = 12


class ProtocolSummary(NamedTuple):
    """A sentence on the steps reached, the problems with their proof, and what to do about the fatal ones."""

    text: str
    problems: tuple[r.Problem, ...]
    evidence: tuple[r.Evidence, ...]
    remedy: str


EMPTY_SUMMARY = ProtocolSummary("", (), (), "")


def summarize_protocol(attempts: Sequence[Attempt], traffic: Traffic) -> ProtocolSummary:
    """Return what was said on the connections of these attempts."""
    steps = _in_turn(attempts, traffic)
    if not steps:
        return EMPTY_SUMMARY
    shown = _gravest(_failures(steps))
    return ProtocolSummary(
        _reached([step for _, step in steps]),
        tuple(
            _problem(failure) for failure in sorted(shown, key=lambda failure: (failure.step.frame, failure.step.layer))
        ),
        tuple(_evidence(failure) for failure in shown if failure.step.status and failure.step.status.fatal),
        " ".join(
            dict.fromkeys(failure.step.status.action for failure in shown if failure.step.status and failure.fatal)
        ),
    )


class Failed(NamedTuple):
    """A step that failed, the source that shows it, and whether it never went well afterwards."""

    source: int
    step: ProtocolStep
    decides: bool

    @property
    def fatal(self) -> bool:
        """Whether it ends the push."""
        return self.decides and self.step.status is not None and self.step.status.fatal


def _failures(steps: Sequence[tuple[int, ProtocolStep]]) -> list[Failed]:
    """Return the steps that failed, each with whether a later try of the same step takes it back."""
    tries: dict[str, list[ProtocolStep]] = defaultdict(list)  # of each step, the latest first
    failures = []
    for source, step in reversed(steps):
        earlier = tries[step.step.casefold()]  # Windows ignores case
        if step.outcome is Outcome.FAILED:
            failures.append(Failed(source, step, not any(_takes_back(later, step) for later in reversed(earlier))))
        earlier.append(step)
    return failures[::-1]


def _takes_back(later: ProtocolStep, failed: ProtocolStep) -> bool:
    """Tell whether a later try of a step shows that the failure is not the last word.

    A response whose result is not visible shows no success; but it is no fault of RPC. That anybody may log on
    anonymously says nothing of an account.
    """
    if later.outcome is Outcome.ANSWERED:
        return failed.layer == FAULT
    return later.outcome is Outcome.FAILED or later.account != ANONYMOUS or failed.account in ("", ANONYMOUS)


def _in_turn(attempts: Sequence[Attempt], traffic: Traffic) -> list[tuple[int, ProtocolStep]]:
    """Return source and step of all that was answered, the earlier source first."""
    sides = {(attempt.source, attempt.src, attempt.dst, attempt.dst_port): attempt for attempt in attempts}
    steps = [(attempt.source, step) for attempt in sides.values() for step in traffic.steps(attempt)]
    return sorted(steps, key=lambda entry: (traffic.sources[entry[0]].first_ns or 0, entry[0], entry[1].frame))


def _gravest(bad: list[Failed]) -> list[Failed]:
    """Return each failure of a step once, the last one; first those that end the push, which are never left out."""
    latest = {
        (failure.step.layer, failure.step.step, failure.step.code, failure.step.account): failure for failure in bad
    }
    return sorted(latest.values(), key=lambda failure: (not failure.fatal, failure.step.frame, failure.step.layer))[
        :MOST_PROBLEMS
    ]


def _problem(failed: Failed) -> r.Problem:
    step, status = failed.step, failed.step.status
    if status is None:
        raise ValueError("a step that went well is no problem")
    problem = r.Problem(step.layer, status.name, "", step.frame, failed.fatal, step.account, step=step.step)
    return replace(problem, text=f"{problem.heading}{status.meaning}.")


def _evidence(failed: Failed) -> r.Evidence:
    step = failed.step
    name = step.status.name if step.status else step.code
    return r.Evidence(failed.source, (step.frame,), (), f"{step.step}: {name}.", f"frame.number == {step.frame}")


def _reached(steps: list[ProtocolStep]) -> str:
    """Return what went well, then what was only answered; of a long list its end, which is how far it came."""
    done = list(dict.fromkeys(step.step for step in steps if step.succeeded))
    called = {step.removeprefix(CALL) for step in done if step.startswith(CALL)}
    done = [step for step in done if not (step.startswith(OPEN) and step.removeprefix(OPEN) in called)]
    answered = dict.fromkeys(step.step for step in steps if step.outcome is Outcome.ANSWERED)
    only_answered = [step for step in answered if step not in done]
    return " ".join(filter(None, (_listed(r.WENT_WELL, done), _listed(r.ANSWERED, only_answered))))


def _listed(marker: str, steps: list[str]) -> str:
    shown = [*(["..."] if len(steps) > MOST_STEPS else []), *steps[-MOST_STEPS:]]
    return f"{marker}{', '.join(shown)}." if steps else ""
