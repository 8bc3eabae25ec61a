"""From the verdicts of a method's requirements to its result: works, allowed, fails or unproven, and why."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Mapping, Sequence

from auditor.report import model as r
from auditor.ruleset.lint import CLIENT
from auditor.ruleset.ruleset import Method, Ruleset, SiteRules
from auditor.ruleset.statements import say
from auditor.sources.dissection.facts import SERVICE_CONTROLLER

BEST_FIRST = (r.WORKS, r.ALLOWED, r.UNPROVEN)


def harmless_requirements(
    method: Method,
    verdicts: Iterable[r.RequirementVerdict],
    unreached: Mapping[str, Collection[str]],
) -> frozenset[str]:
    """Return the dynamic requirements that are stopped and do not matter.

    If the service controller is the only interface whose port is stopped, the caller falls back to the named pipe on
    SMB after a time-out of 21 seconds (Microsoft: "Services and RPC/TCP"), provided that SMB is open. SMB is the TCP
    port of the client that is not the endpoint mapper's.

    Args:
        method: The method of the requirements.
        verdicts: Those on its requirements, or on some of them.
        unreached: By id of a requirement, the RPC interfaces whose dynamic ports are not reached.
    """
    dynamic = {requirement.id for requirement in method.requirements if requirement.dynamic}
    if not dynamic:
        return frozenset()
    mappers = {(method.mapper_port(dynamic_id),) for dynamic_id in dynamic}
    pushed = [
        requirement
        for requirement in method.requirements
        if requirement.protocol == "tcp" and requirement.to_role == "client"
    ]
    smb = {
        requirement.id for requirement in pushed if requirement.id not in dynamic and requirement.ports not in mappers
    }
    judged = list(verdicts)
    pipe = any(verdict.id in smb and verdict.verdict in r.PASSING for verdict in judged)
    return frozenset(
        verdict.id
        for verdict in judged
        if verdict.id in dynamic
        and verdict.verdict in r.FAILING
        and pipe
        and set(unreached[verdict.id]) == {SERVICE_CONTROLLER}
    )


def method_result(
    verdicts: Iterable[r.RequirementVerdict],
    rules: SiteRules,
    harmless: frozenset[str] = frozenset(),
    why_guess: Callable[[r.RequirementVerdict], str] = lambda _: "",
) -> tuple[str, tuple[r.Reason, ...]]:
    """Return a method's result and its reasons, from the verdicts of its requirements.

    One that failed makes it fail. It works if all are open, and is allowed if all are open or allowed.

    Args:
        verdicts: On all requirements of the method.
        rules: Tell which of them count at this site.
        harmless: Ids of requirements that are blocked without harm.
        why_guess: Returns in a sentence why a verdict rests on a guess, so that it proves nothing good; empty if not.
    """
    counted = [
        verdict
        for verdict in verdicts
        if verdict.id in rules.counted and verdict.id not in harmless and verdict.verdict != r.NOT_APPLICABLE
    ]
    reasons: list[r.Reason] = []
    states = []
    for group in either_or(counted, rules.ruleset):
        state = _group_state(group, why_guess)
        states.append(state)
        reasons += _reasons(group, state, why_guess)
    if r.FAILS in states:
        return r.FAILS, tuple(sorted(reasons, key=lambda reason: reason.kind == "missing"))
    worst = max(states, key=BEST_FIRST.index, default=r.UNPROVEN)
    return worst, tuple(reasons)


def either_or(verdicts: Iterable[r.RequirementVerdict], ruleset: Ruleset) -> list[list[r.RequirementVerdict]]:
    """Return verdicts with those of one either-or group together, in order."""
    groups: dict[str, list[r.RequirementVerdict]] = {}
    for verdict in verdicts:
        groups.setdefault(ruleset.groups[verdict.id], []).append(verdict)
    return list(groups.values())


def is_allowed(verdict: r.RequirementVerdict) -> bool:
    """Tell whether a firewall at the end of the way let it pass, or the client's own.

    That another computer let it out says nothing of what happened on the way.
    """
    ends = (CLIENT, verdict.destination.role)
    return verdict.verdict == r.ALLOWED and verdict.allowed_at in ends


def _group_state(group: Sequence[r.RequirementVerdict], why_guess: Callable[[r.RequirementVerdict], str]) -> str:
    working = [verdict for verdict in group if verdict.verdict in r.PASSING and not _fatal(verdict)]
    if not working:
        failed = any(map(_fatal, group)) or all(verdict.verdict in r.FAILING for verdict in group)
        return r.FAILS if failed else r.UNPROVEN
    sure = [verdict for verdict in working if not why_guess(verdict)]
    if any(verdict.verdict == r.OPEN for verdict in sure):
        return r.WORKS
    return r.ALLOWED if any(map(is_allowed, sure)) else r.UNPROVEN


def _fatal(verdict: r.RequirementVerdict) -> list[r.Problem]:
    return [problem for problem in verdict.problems if problem.fatal]


def _reasons(
    group: Sequence[r.RequirementVerdict], state: str, why_guess: Callable[[r.RequirementVerdict], str]
) -> list[r.Reason]:
    if state in (r.WORKS, r.ALLOWED):
        return []
    working = [verdict for verdict in group if verdict.verdict in r.PASSING and not _fatal(verdict)]
    if working:
        return [
            r.Reason(
                "missing", verdict.id, why_guess(verdict) or say("reason.let-out", explanation=verdict.explanation)
            )
            for verdict in working
        ]
    bad = [
        r.Reason("step" if verdict.verdict == r.FAILED else "network", verdict.id, verdict.explanation)
        for verdict in group
        if verdict.verdict in r.FAILING
    ]
    failed = [r.Reason("problem", verdict.id, problem.text) for verdict in group for problem in _fatal(verdict)]
    unverified = [verdict for verdict in group if verdict.verdict not in r.FAILING and not _fatal(verdict)]
    return bad + failed + [r.Reason("missing", verdict.id, verdict.explanation) for verdict in unverified]
