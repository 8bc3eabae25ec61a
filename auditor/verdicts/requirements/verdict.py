"""The verdict on a requirement: what its evidence comes to, as a report has it."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import replace
from functools import lru_cache

from auditor.report import model as r
from auditor.ruleset.lint import CLIENT
from auditor.ruleset.ruleset import Requirement, Ruleset
from auditor.ruleset.statements import say, statement
from auditor.sources.dissection.facts import SERVICE_CONTROLLER, Action, StepKind
from auditor.sources.dissection.steps import ProtocolStep
from auditor.sources.logs.firewall_rows import LET_THROUGH
from auditor.verdicts.findings import Finding
from auditor.verdicts.requirements.evidence import (
    Ends,
    RequirementEvidence,
    SelectedFindings,
    evidence_of,
    in_order,
    only_one,
)
from auditor.verdicts.requirements.remedies import fix_problems, remedy_of, to_do
from auditor.verdicts.requirements.select import by_port, decide_documented, is_proven_block

SERVICE_PIPE = Action(StepKind.OPEN, SERVICE_CONTROLLER)
MOST_ALTERNATIVES = 3  # hosts of the same role of which a verdict tells besides its own


def observed(
    requirement: Requirement, evidence: RequirementEvidence, ruleset: Ruleset, client: str
) -> r.RequirementVerdict:
    """Return the verdict on a requirement of which something was seen."""
    decision, summary = evidence.decision, evidence.summary
    chosen = decision.chosen
    sentences = (chosen.text + _change_text(decision.changed) + decision.note, summary.text)
    return r.RequirementVerdict(
        id=requirement.id,
        description=requirement.description,
        necessity=requirement.necessity,
        source=_end(requirement.from_role, evidence.source),
        destination=_end(requirement.to_role, evidence.destination),
        protocol=requirement.protocol,
        ports=evidence.ports,
        verdict=chosen.verdict,
        confidence=chosen.confidence,
        blocked_at=chosen.blocked_at,
        changed=decision.changed,
        attempts=evidence.attempts,
        first_time=evidence.first_time,
        last_time=evidence.last_time,
        explanation=" ".join(filter(None, sentences)),
        evidence=evidence.evidence,
        problems=summary.problems,
        steps=summary.steps,
        remedy=remedy_of(requirement, chosen, ruleset, decision.interface) or fix_problems(requirement, summary),
        allowed_at=_allowed_at(requirement, chosen, client) if chosen.verdict == r.ALLOWED else None,
        also_blocked=tuple(map(_block, decision.other_blocks)),
        either_or=requirement.either_or,
    )


def not_observed(requirement: Requirement, ends: Ends, verdict: str, explanation: str) -> r.RequirementVerdict:
    """Return the verdict on a requirement of which nothing was seen, or that does not count."""
    return r.RequirementVerdict(
        id=requirement.id,
        description=requirement.description,
        necessity=requirement.necessity,
        source=_end(requirement.from_role, only_one(ends.sources)),
        destination=_end(requirement.to_role, only_one(ends.destinations)),
        protocol=requirement.protocol,
        ports=requirement.ports,
        verdict=verdict,
        confidence=None,
        blocked_at=None,
        changed=None,
        attempts=0,
        first_time=None,
        last_time=None,
        explanation=explanation,
        evidence=(),
        problems=(),
        remedy=(),
        either_or=requirement.either_or,
    )


def as_not_applicable(verdict: r.RequirementVerdict, explanation: str) -> r.RequirementVerdict:
    """Return the verdict on a requirement whose condition is off, with its proven blocks beside it."""
    return replace(
        verdict,
        verdict=r.NOT_APPLICABLE,
        confidence=None,
        blocked_at=None,
        allowed_at=None,
        changed=None,
        problems=(),
        remedy=(),
        steps=(),
        explanation=explanation,
        also_blocked=tuple(proven_blocks(verdict)),
    )


def with_documented(verdict: r.RequirementVerdict, documented: SelectedFindings) -> r.RequirementVerdict:
    """Add to a verdict about a custom port what blocks the documented ones: that never disappears."""
    decided = by_port(documented.findings)
    finding = decide_documented(decided)[0] if decided else None
    if finding is None or finding.verdict not in r.FAILING:
        return verdict
    blocked = [candidate for candidate, _ in decided if is_proven_block(candidate)]
    return replace(
        verdict,
        explanation=say(
            "requirement.documented-port",
            explanation=verdict.explanation,
            port=finding.port,
            verdict=finding.verdict,
        ),
        evidence=in_order((*verdict.evidence, *finding.evidence, *evidence_of(blocked))),
        also_blocked=(*verdict.also_blocked, *map(_block, blocked)),
    )


def with_alternatives(
    verdict: r.RequirementVerdict, alternatives: Sequence[r.RequirementVerdict]
) -> r.RequirementVerdict:
    """Add what the same requirement came to with other hosts of the role, where that differs or is a proven block."""
    differing = [
        alternative
        for alternative in alternatives
        if alternative.verdict in r.PASSING | r.FAILING and alternative.verdict != verdict.verdict
    ]
    sentences = [
        say("requirement.other-host", host=alternative.destination.address, verdict=alternative.verdict)
        for alternative in differing
    ]
    blocks = [(block, alternative) for alternative in alternatives for block in proven_blocks(alternative)]
    proof = [alternative.evidence[0] for alternative in differing[:MOST_ALTERNATIVES]]
    proof += [item for _, alternative in blocks for item in alternative.evidence]
    return replace(
        verdict,
        explanation=" ".join((verdict.explanation, *sentences[:MOST_ALTERNATIVES])),
        evidence=in_order((*verdict.evidence, *proof)),
        also_blocked=(*verdict.also_blocked, *(block for block, _ in blocks)),
    )


def mark_redundant(
    verdict: r.RequirementVerdict, verdicts: Sequence[r.RequirementVerdict], ruleset: Ruleset
) -> r.RequirementVerdict:
    """Say of what is stopped that it does no harm where another member of its either-or group is open."""
    if verdict.verdict not in r.FAILING:
        return verdict
    good = [
        member
        for member in verdicts
        if ruleset.groups[member.id] == ruleset.groups[verdict.id]
        and member.verdict in r.PASSING
        and not any(problem.fatal for problem in member.problems)
    ]
    if not good:
        return verdict
    ports = "/".join(map(str, good[0].ports))
    text = say("requirement.redundant", explanation=verdict.explanation, ports=ports, verdict=good[0].verdict)
    remedies = (to_do(verdict.destination.role, statement("remedy.other-port-works")),)
    return replace(verdict, explanation=text, remedy=remedies)


def mark_svcctl_fallback(
    verdict: r.RequirementVerdict, steps_between: Callable[[str, str], Iterable[ProtocolStep]]
) -> r.RequirementVerdict:
    """Add why a stopped dynamic port does no harm, and whether the named pipe was seen that replaces it."""
    steps = steps_between(verdict.source.address or "", verdict.destination.address or "")
    pipes = [step.frame for step in steps if step.succeeded and step.action == SERVICE_PIPE]
    seen = say("requirement.pipe-seen", frame=pipes[-1]) if pipes else ""
    text = say("requirement.pipe-instead", seen=seen)
    remedies = (to_do(verdict.destination.role, statement("remedy.save-delay")),)
    return replace(verdict, explanation=f"{verdict.explanation} {text}", remedy=remedies)


def proven_blocks(verdict: r.RequirementVerdict) -> list[r.Block]:
    """Return all proven blocks of a requirement, that of its verdict first."""
    if not verdict.is_proven_block:
        return list(verdict.also_blocked)
    ends = (verdict.source.address or "", verdict.destination.address or "")
    block = r.Block(*ends, verdict.ports, verdict.blocked_at or r.UNKNOWN, verdict.explanation)
    return [block, *verdict.also_blocked]


def _block(finding: Finding) -> r.Block:
    """Return a finding that is a proven block."""
    tried = finding.attempts[0]
    return r.Block(
        tried.src, tried.dst, (finding.port,) if finding.port else (), finding.blocked_at or r.UNKNOWN, finding.text
    )


def _allowed_at(requirement: Requirement, finding: Finding, client: str) -> str:
    """Return whose firewall let an attempt pass: of several the client's, then that of the responder."""
    firewalls = {attempt.firewall for attempt in finding.attempts if attempt.row and attempt.row.action in LET_THROUGH}
    tried = finding.attempts[0]
    roles = {client: CLIENT, tried.dst: requirement.to_role, tried.src: requirement.from_role}
    return next((role for address, role in roles.items() if address in firewalls), r.UNKNOWN)


@lru_cache(maxsize=1000)
def _end(role: str, address: str | None) -> r.Endpoint:
    """Return an end of a requirement; most rows of a host name the same ones."""
    return r.Endpoint(role, address)


def _change_text(change: r.VerdictChange | None) -> str:
    if change is None:
        return ""
    return say("requirement.earlier", time=change.before_time, verdict=change.before)
