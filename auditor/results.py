"""From the verdicts of a method's requirements to its result: works, fails or unproven, and why."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence

from auditor import report as r
from auditor.ruleset import Method, Ruleset, SiteFacts


def method_result(
    method: Method, verdicts: Iterable[r.RequirementVerdict], ruleset: Ruleset, facts: SiteFacts
) -> tuple[str, tuple[r.Reason, ...]]:
    """Return a method's result and its reasons, by design: one bad requirement fails it, all good ones let it work."""
    counted = _counted(method, {one.id: one for one in verdicts}, ruleset, facts)
    reasons: list[r.Reason] = []
    states = []
    for group in counted:
        state = _group_state(group)
        states.append(state)
        reasons += _reasons(group, state)
    if r.FAILS in states:
        return r.FAILS, tuple(sorted(reasons, key=lambda one: one.kind == "missing"))
    result = r.WORKS if states and all(state == r.WORKS for state in states) else r.UNPROVEN
    return result, tuple(reasons)


def _counted(
    method: Method, verdicts: Mapping[str, r.RequirementVerdict], ruleset: Ruleset, facts: SiteFacts
) -> list[list[r.RequirementVerdict]]:
    """Return the requirements that decide, those of one either-or group together."""
    groups: dict[str, list[r.RequirementVerdict]] = {}
    for requirement in method.requirements:
        verdict = verdicts[requirement.id]
        applies = ruleset.applies(requirement, facts)
        undecided = applies is None and verdict.verdict in (r.NOT_SEEN, r.INCONCLUSIVE)
        if requirement.necessity == "informational" or applies is False or undecided:
            continue
        groups.setdefault(requirement.either_or or requirement.id, []).append(verdict)
    return list(groups.values())


def _group_state(group: Sequence[r.RequirementVerdict]) -> str:
    if any(one.verdict in r.GOOD for one in group):
        return r.WORKS
    return r.FAILS if all(one.verdict in r.BAD for one in group) else r.UNPROVEN


def _reasons(group: Sequence[r.RequirementVerdict], state: str) -> list[r.Reason]:
    if state == r.WORKS:
        return []
    bad = [r.Reason("network", one.id, one.explanation) for one in group if one.verdict in r.BAD]
    missing = [r.Reason("missing", one.id, one.explanation) for one in group if one.verdict not in r.BAD]
    return bad + missing
