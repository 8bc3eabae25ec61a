"""From the verdicts of a method's requirements to its result: works, fails or unproven, and why."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from itertools import pairwise

from auditor import report as r
from auditor.ruleset import Method, Ruleset, SiteRules
from auditor.said import SERVICE_CONTROLLER


def excused_of(
    method: Method,
    verdicts: Iterable[r.RequirementVerdict],
    interfaces_of: Callable[[r.RequirementVerdict], set[str]],
) -> frozenset[str]:
    """Return the dynamic requirements that are stopped and do not matter.

    If the service controller is the only interface whose port is stopped, the caller falls back to the named pipe on
    SMB after a time-out of 21 seconds (Microsoft: "Services and RPC/TCP"), provided that SMB is open.
    """
    dynamic = {one.id for one in method.requirements if one.dynamic}
    if not dynamic:
        return frozenset()
    judged = list(verdicts)
    if not any(one.verdict in r.GOOD for one in judged if one.id in _with_pipes(method)):
        return frozenset()
    stopped = [one for one in judged if one.id in dynamic and one.verdict in r.BAD]
    return frozenset(one.id for one in stopped if interfaces_of(one) == {SERVICE_CONTROLLER})


def _with_pipes(method: Method) -> set[str]:
    """Return the requirements on SMB of the client: its fixed TCP ports, except that of the endpoint mapper.

    The endpoint mapper's is the row before the dynamic ports, which it assigns.
    """
    rows = [one for one in method.requirements if one.protocol == "tcp" and one.to_role == "client"]
    mappers = {before.id for before, one in pairwise(rows) if one.dynamic}
    return {one.id for one in rows if not one.dynamic} - mappers


def method_result(
    verdicts: Iterable[r.RequirementVerdict],
    rules: SiteRules,
    excused: frozenset[str] = frozenset(),
) -> tuple[str, tuple[r.Reason, ...]]:
    """Return a method's result and its reasons, from the verdicts of its requirements.

    One bad requirement fails it, all good ones let it work.

    excused: ids of requirements that are stopped without harm.
    """
    counted = [one for one in verdicts if one.id in rules.counted and one.id not in excused]
    reasons: list[r.Reason] = []
    states = []
    for group in either_or(counted, rules.ruleset):
        state = _group_state(group)
        states.append(state)
        reasons += _reasons(group, state)
    if r.FAILS in states:
        return r.FAILS, tuple(sorted(reasons, key=lambda one: one.kind == "missing"))
    result = r.WORKS if states and all(state == r.WORKS for state in states) else r.UNPROVEN
    return result, tuple(reasons)


def either_or(verdicts: Iterable[r.RequirementVerdict], ruleset: Ruleset) -> list[list[r.RequirementVerdict]]:
    """Return verdicts with those of one either-or group together, in order."""
    groups: dict[str, list[r.RequirementVerdict]] = {}
    for verdict in verdicts:
        groups.setdefault(ruleset.groups[verdict.id], []).append(verdict)
    return list(groups.values())


def _group_state(group: Sequence[r.RequirementVerdict]) -> str:
    failed = [bool(_fatal(one)) for one in group]
    if any(one.verdict in r.GOOD and not ended for one, ended in zip(group, failed, strict=True)):
        return r.WORKS
    return r.FAILS if any(failed) or all(one.verdict in r.BAD for one in group) else r.UNPROVEN


def _fatal(verdict: r.RequirementVerdict) -> list[r.Problem]:
    return [problem for problem in verdict.problems if problem.fatal]


def _reasons(group: Sequence[r.RequirementVerdict], state: str) -> list[r.Reason]:
    if state == r.WORKS:
        return []
    bad = [r.Reason("network", one.id, one.explanation) for one in group if one.verdict in r.BAD]
    failed = [r.Reason("problem", one.id, problem.text) for one in group for problem in _fatal(one)]
    rest = [one for one in group if one.verdict not in r.BAD and not _fatal(one)]
    return bad + failed + [r.Reason("missing", one.id, one.explanation) for one in rest]
