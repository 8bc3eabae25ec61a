"""Which installation methods the evidence does not contradict, best proven first, and what each still needs."""

from __future__ import annotations

from collections.abc import Sequence

from auditor import report as r
from auditor.results import either_or
from auditor.ruleset import Requirement, SiteRules


def recommend(methods: Sequence[r.MethodResult], rules: SiteRules) -> tuple[r.Recommendation, ...]:
    """Return the methods that do not fail: those that work first, then those that need the fewest things more."""
    possible = [method for method in methods if method.result != r.FAILS]
    found = [(method, _needs(method, rules)) for method in possible]
    order = {method.id: place for place, method in enumerate(methods)}
    found.sort(key=lambda one: (one[0].result != r.WORKS, -_proven(one[0]), len(one[1]), order[one[0].id]))
    return tuple(r.Recommendation(method.id, _why(method), tuple(needs)) for method, needs in found)


def _proven(method: r.MethodResult) -> int:
    return sum(one.verdict in r.GOOD for one in method.requirements if one.necessity != "informational")


def _why(method: r.MethodResult) -> str:
    decisive = [one for one in method.requirements if one.necessity != "informational"]
    good, bad = ([one for one in decisive if one.verdict in which] for which in (r.GOOD, r.BAD))
    if method.result == r.WORKS:
        if all(one.verdict == r.OPEN for one in good):
            return "everything that it requires was seen to be open"
        return "everything that it requires was seen to be open, or let through by a firewall whose log is here"
    told = []
    for verdict, words in (
        (r.OPEN, "seen to be open"),
        (r.ALLOWED, "let through by a firewall, whether answered or not"),
    ):
        if some := [one for one in good if one.verdict == verdict]:
            told.append(f"{words}: " + ", ".join(_short(one) for one in some))
    if bad:
        told.append(", ".join(_short(one) for one in bad) + " is stopped, another way is left")
    if not told and any(one.verdict == r.INCONCLUSIVE for one in decisive):
        return "tried here, but these sources do not show how it ended"
    return "; ".join(told) or "not tried here, so nothing speaks against it"


def _short(verdict: r.RequirementVerdict) -> str:
    ports = "echo request" if verdict.protocol == "icmp" else "/".join(map(str, verdict.ports)) or "dynamic ports"
    return f"{verdict.protocol.upper()} {ports} to {verdict.destination.role.replace('-', ' ')}"


def _needs(method: r.MethodResult, rules: SiteRules) -> list[str]:
    """Return in words what is not yet proven; the members of an either-or group in one sentence."""
    counted = [
        one for one in method.requirements if one.necessity != "informational" and one.verdict != r.NOT_APPLICABLE
    ]
    ruleset = rules.ruleset
    only_if = ruleset.method(method.id).only_if
    needs = [f"that {only_if}"] if only_if else []
    for group in either_or(counted, ruleset):
        if not any(one.verdict in r.GOOD for one in group) and any(one.verdict not in r.BAD for one in group):
            needs.append(_need(group, [ruleset.requirement(one.id) for one in group], rules))
    return needs


def _need(group: Sequence[r.RequirementVerdict], requirements: Sequence[Requirement], rules: SiteRules) -> str:
    usable = [(one, what) for one, what in zip(group, requirements, strict=True) if one.verdict not in r.BAD]
    first = requirements[0]
    ports, pair = " or ".join(_port(what) for _, what in usable), usable[0][0]
    words = f"{ports} from {_end(pair.source)} to {_end(pair.destination)}"
    if rules.applies[first.id] is None:
        words += ", if " + " and ".join(rules.ruleset.condition(one).text for one in first.conditions)
    return words


def _port(requirement: Requirement) -> str:
    return (
        "an answered echo request"
        if requirement.icmp_echo
        else f"{requirement.protocol.upper()} {requirement.ports_text}"
    )


def _end(end: r.End) -> str:
    return end.address or f"the {end.role.replace('-', ' ')}"
