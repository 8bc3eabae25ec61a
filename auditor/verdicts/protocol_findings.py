"""What the answers on an open port mean for a requirement: how far it came, and which problem ended it."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from typing import NamedTuple

from auditor.report import model as r
from auditor.ruleset.known_problems import StatusMeaning
from auditor.ruleset.statements import say
from auditor.sources.dissection.facts import ANONYMOUS, FAULT, Action, Outcome, ProtocolStep, StepKind
from auditor.verdicts.attempts import Attempt, Traffic
from auditor.verdicts.installations.pushes import push_step

MOST_PROBLEMS = 8
MOST_STEPS = 12
Step = tuple[int, ProtocolStep]  # with the source that shows it


class ProtocolSummary(NamedTuple):
    """A sentence on the steps reached, the problems with their proof, and what the fatal ones mean.

    Attributes:
        fatal: What the status of each fatal problem means, the gravest first.
        steps: Those that the sentence names.
    """

    text: str
    problems: tuple[r.Problem, ...]
    evidence: tuple[r.Evidence, ...]
    fatal: tuple[StatusMeaning, ...]
    steps: tuple[r.PushStep, ...]

    @property
    def remedy(self) -> str:
        """What to do about the fatal problems, in sentences."""
        return " ".join(dict.fromkeys(status.action for status in self.fatal))


EMPTY_SUMMARY = ProtocolSummary("", (), (), (), ())


def summarize_protocol(attempts: Sequence[Attempt], traffic: Traffic) -> ProtocolSummary:
    """Return what was said on the connections of these attempts."""
    steps = _in_turn(attempts, traffic)
    if not steps:
        return EMPTY_SUMMARY
    shown = _gravest(_failures(steps))
    text, reached = _reached(steps)
    return ProtocolSummary(
        text,
        tuple(
            _problem(failure) for failure in sorted(shown, key=lambda failure: (failure.step.frame, failure.step.layer))
        ),
        tuple(_evidence(failure) for failure in shown if failure.step.status and failure.step.status.fatal),
        tuple(dict.fromkeys(failure.step.status for failure in shown if failure.step.status and failure.fatal)),
        tuple(push_step(source, step) for source, step in reached),
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


def _failures(steps: Sequence[Step]) -> list[Failed]:
    """Return the steps that failed, each with whether a later try of the same step takes it back."""
    tries: dict[tuple[StepKind, str], list[ProtocolStep]] = defaultdict(list)  # of each step, the latest first
    failures = []
    for source, step in reversed(steps):
        earlier = tries[step.action.kind, step.action.object.casefold()]  # Windows ignores case
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


def _in_turn(attempts: Sequence[Attempt], traffic: Traffic) -> list[Step]:
    """Return source and step of all that was answered, the earlier source first."""
    sides = {(attempt.source, attempt.src, attempt.dst, attempt.dst_port): attempt for attempt in attempts}
    steps = [(attempt.source, step) for attempt in sides.values() for step in traffic.steps(attempt)]
    return sorted(steps, key=lambda entry: (traffic.sources[entry[0]].first_ns or 0, entry[0], entry[1].frame))


def _gravest(bad: list[Failed]) -> list[Failed]:
    """Return each failure of a step once, the last one; first those that end the push, which are never left out."""
    latest = {
        (failure.step.layer, failure.step.action, failure.step.code, failure.step.account): failure for failure in bad
    }
    return sorted(latest.values(), key=lambda failure: (not failure.fatal, failure.step.frame, failure.step.layer))[
        :MOST_PROBLEMS
    ]


def _problem(failed: Failed) -> r.Problem:
    step, status = failed.step, failed.step.status
    if status is None:
        raise ValueError("a step that went well is no problem")
    account = say("protocol.account", account=step.account) if step.account else ""
    where = {"code": status.name, "frame": step.frame, "meaning": status.meaning}
    return r.Problem(
        layer=step.layer,
        code=status.name,
        text=say("protocol.problem", step=step.step, account=account, **where),
        frame=step.frame,
        fatal=failed.fatal,
        step=step.step,
        account=step.account,
        step_kind=step.action.kind.value,
        object=step.action.object,
    )


def _evidence(failed: Failed) -> r.Evidence:
    step = failed.step
    name = step.status.name if step.status else step.code
    return r.Evidence(
        failed.source,
        (step.frame,),
        (),
        say("protocol.failure", step=step.step, code=name),
        f"frame.number == {step.frame}",
    )


def _reached(steps: Sequence[Step]) -> tuple[str, list[Step]]:
    """Return what went well, then what was only answered; of a long list its end, which is how far it came."""
    done = _by_action(steps, Outcome.SUCCEEDED)
    called = {action.object for action in done if action.kind is StepKind.CALL and action.object}
    opened = [action for action in done if action.kind is StepKind.BIND and action.object in called]
    done = {action: step for action, step in done.items() if action not in opened}
    answered = _by_action(steps, Outcome.ANSWERED)
    answered = {action: step for action, step in answered.items() if action not in done}
    lists = (("protocol.succeeded", [*done.values()]), ("protocol.answered", [*answered.values()]))
    text = " ".join(say(template, steps=_listed(listed)) for template, listed in lists if listed)
    return text, [step for _, listed in lists for step in listed[-MOST_STEPS:]]


def _by_action(steps: Sequence[Step], outcome: Outcome) -> dict[Action, Step]:
    """Return the first step of each action with this outcome."""
    first: dict[Action, Step] = {}
    for source, step in steps:
        if step.outcome is outcome:
            first.setdefault(step.action, (source, step))
    return first


def _listed(steps: Sequence[Step]) -> str:
    shown = [step.step for _, step in steps[-MOST_STEPS:]]
    return ", ".join(["...", *shown] if len(steps) > MOST_STEPS else shown)
