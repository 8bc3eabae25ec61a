"""Which installation methods the evidence does not contradict, best proven first, and what each still needs."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from auditor.report import model as r
from auditor.ruleset.ruleset import Requirement, SiteRules
from auditor.ruleset.statements import say
from auditor.verdicts.method_result import either_or

RESULTS = (r.WORKS, r.ALLOWED, r.UNPROVEN, r.FAILS)  # the best proven first
Group = Sequence[r.RequirementVerdict]  # one requirement, or the members of an either-or group


def recommend(methods: Sequence[r.MethodResult], rules: SiteRules) -> tuple[r.Recommendation, ...]:
    """Return the methods that do not fail: those that work first, then those that need the fewest things more."""
    ranked = ((method, _needs(method, missing, rules)) for method, missing in rank(methods, rules))
    return tuple(r.Recommendation(method.id, _support(method), _why(method), tuple(needs)) for method, needs in ranked)


def _support(method: r.MethodResult) -> str:
    decisive = [requirement.verdict for requirement in method.requirements if requirement.decides]
    if r.PASSING.intersection(decisive):
        return "seen-open"
    return "contradicted" if r.FAILING.intersection(decisive) else "not-attempted"


def rank(methods: Sequence[r.MethodResult], rules: SiteRules) -> list[tuple[r.MethodResult, list[Group]]]:
    """Return the methods that do not fail in the order in which they are recommended, each with what is not proven."""
    failing = {method.id for method in methods if method.result == r.FAILS}
    candidates = [(method, _unproven(method, rules)) for method in _worst_of_each(methods) if method.id not in failing]
    order = {method.id: place for place, method in enumerate(methods)}

    def key(candidate: tuple[r.MethodResult, list[Group]]) -> tuple[int, int, int, int]:
        method, missing = candidate
        needs = len(missing) + bool(_only_if(method, rules))
        return RESULTS.index(method.result), -_proven(method), needs, order[method.id]

    return sorted(candidates, key=key)


def _worst_of_each(methods: Sequence[r.MethodResult]) -> list[r.MethodResult]:
    """Return each method once: of the pushes of several site servers the one that is proven least."""
    worst: dict[str, r.MethodResult] = {}
    for method in methods:
        least_proven = worst.setdefault(method.id, method)
        if RESULTS.index(method.result) > RESULTS.index(least_proven.result):
            worst[method.id] = method
    return list(worst.values())


def _proven(method: r.MethodResult) -> int:
    return sum(requirement.verdict in r.PASSING for requirement in method.requirements if requirement.decides)


def _why(method: r.MethodResult) -> str:
    decisive = [requirement for requirement in method.requirements if requirement.decides]
    good, bad = (
        [requirement for requirement in decisive if requirement.verdict in verdicts]
        for verdicts in (r.PASSING, r.FAILING)
    )
    if method.result == r.WORKS:
        return say("recommendation.works")
    if method.result == r.ALLOWED:
        return say("recommendation.allowed")
    phrases = []
    for verdict, template in ((r.OPEN, "recommendation.seen-open"), (r.ALLOWED, "recommendation.let-through")):
        if matching := [requirement for requirement in good if requirement.verdict == verdict]:
            phrases.append(say(template, rows=", ".join(_short(requirement) for requirement in matching)))
    if bad:
        phrases.append(say("recommendation.stopped", rows=", ".join(_short(requirement) for requirement in bad)))
    if not phrases and any(requirement.verdict == r.INCONCLUSIVE for requirement in decisive):
        return say("recommendation.inconclusive")
    return "; ".join(phrases) or say("recommendation.not-tried")


def _short(verdict: r.RequirementVerdict) -> str:
    ports = "/".join(map(str, verdict.ports)) or say("recommendation.dynamic-ports")
    if verdict.protocol == "icmp":
        ports = say("recommendation.echo-request")
    role = verdict.destination.role.replace("-", " ")
    return say("recommendation.row", protocol=verdict.protocol.upper(), ports=ports, role=role)


def _unproven(method: r.MethodResult, rules: SiteRules) -> list[Group]:
    counted = [requirement for requirement in method.requirements if requirement.decides]
    return [
        group
        for group in either_or(counted, rules.ruleset)
        if not any(verdict.verdict in r.PASSING for verdict in group)
        and any(verdict.verdict not in r.FAILING for verdict in group)
    ]


def _only_if(method: r.MethodResult, rules: SiteRules) -> str:
    return rules.ruleset.method(method.id).only_if


def _needs(method: r.MethodResult, missing: Iterable[Group], rules: SiteRules) -> list[str]:
    """Return in words what is not yet proven; the members of an either-or group in one sentence."""
    only_if = _only_if(method, rules)
    needs = [say("recommendation.only-if", condition=only_if)] if only_if else []
    return needs + [
        _need(group, [rules.ruleset.requirement(verdict.id) for verdict in group], rules) for group in missing
    ]


def _need(group: Group, requirements: Sequence[Requirement], rules: SiteRules) -> str:
    usable = [
        (verdict, requirement)
        for verdict, requirement in zip(group, requirements, strict=True)
        if verdict.verdict not in r.FAILING
    ]
    representative = requirements[0]
    ports = _ports(usable)
    pair = usable[0][0]
    need = {"ports": ports, "destination": _end(pair.destination)}
    if rules.applies[representative.id] is not None:
        return say("recommendation.need", **need)
    conditions = (rules.ruleset.condition(condition).text for condition in representative.conditions)
    return say("recommendation.need-if", conditions=say("list.and").join(conditions), **need)


def _ports(usable: Sequence[tuple[r.RequirementVerdict, Requirement]]) -> str:
    """Return all ports of which one is enough: those of one protocol in one list, such as "TCP 80 or 443"."""
    protocols = {requirement.protocol for _, requirement in usable}
    numbers = dict.fromkeys(port for verdict, _ in usable for port in verdict.ports)
    if len(protocols) != 1 or any(requirement.dynamic or requirement.icmp_echo for _, requirement in usable):
        return say("list.or").join(_port(verdict, requirement) for verdict, requirement in usable)
    *first, last = map(str, numbers)
    listed = (", ".join(first) + ("," if len(first) > 1 else "") + say("list.or") if first else "") + last
    return say("attempt.port", protocol=protocols.pop().upper(), port=listed)


def _port(verdict: r.RequirementVerdict, requirement: Requirement) -> str:
    if requirement.icmp_echo:
        return say("recommendation.answered-echo")
    ports = requirement.ports_text if requirement.dynamic else say("list.or").join(map(str, verdict.ports))
    return say("attempt.port", protocol=requirement.protocol.upper(), port=ports)


def _end(end: r.Endpoint) -> str:
    return end.address or say("recommendation.role", role=end.role.replace("-", " "))
