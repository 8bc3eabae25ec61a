"""What the answers on an open port mean for a requirement: how far it came, and which problem ended it."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

from auditor import report as r
from auditor.attempts import Attempt, Traffic
from auditor.said import Step

MOST_PROBLEMS = 8
MOST_STEPS = 12


class Conversation(NamedTuple):
    """A sentence on the steps reached, the problems with their proof, and what to do about the fatal ones."""

    text: str
    problems: tuple[r.Problem, ...]
    evidence: tuple[r.Evidence, ...]
    remedy: str


NOTHING_SAID = Conversation("", (), (), "")


def conversation(attempts: Sequence[Attempt], traffic: Traffic) -> Conversation:
    """Return what was said on the connections of these attempts."""
    sides = {(one.source, one.src, one.dst, one.dst_port): one for one in attempts}
    steps = [(number, step) for (number, *_), one in sorted(sides.items(), key=str) for step in traffic.steps(one)]
    if not steps:
        return NOTHING_SAID
    last = {(step.layer, step.step): step for _, step in steps}
    bad = [(number, step, last[step.layer, step.step] is step) for number, step in steps if not step.good]
    shown = _each_once(bad)
    return Conversation(
        _reached([step for _, step in steps]),
        tuple(_problem(step, decides) for _, step, decides in shown),
        tuple(_evidence(number, step) for number, step, _ in shown if step.known and step.known.fatal),
        " ".join(
            dict.fromkeys(step.known.do for _, step, decides in shown if step.known and decides and step.known.fatal)
        ),
    )


def _each_once(bad: list[tuple[int, Step, bool]]) -> list[tuple[int, Step, bool]]:
    """Return each failure of a step once, the last one, which decides."""
    kept = {(step.layer, step.step, step.code): (number, step, decides) for number, step, decides in bad}
    return sorted(kept.values(), key=lambda one: (one[1].frame, one[1].layer))[:MOST_PROBLEMS]


def _problem(step: Step, decides: bool) -> r.Problem:
    known = step.known
    if known is None:
        raise ValueError("a step that went well is no problem")
    text = f"{step.step}: {known.name} (frame {step.frame}): {known.means}."
    return r.Problem(step.layer, known.name, text, step.frame, known.fatal and decides)


def _evidence(number: int, step: Step) -> r.Evidence:
    name = step.known.name if step.known else step.code
    return r.Evidence(number, (step.frame,), (), f"{step.step}: {name}.", f"frame.number == {step.frame}")


def _reached(steps: list[Step]) -> str:
    done = list(dict.fromkeys(step.step for step in steps if step.good))
    return f"Went well there: {', '.join(done[:MOST_STEPS])}." if done else ""
