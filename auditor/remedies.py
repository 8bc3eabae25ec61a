"""Fixes of a requirement that is not met: they begin at the place where the attempt was blocked."""

from __future__ import annotations

from auditor import report as r
from auditor.attempts import Attempt
from auditor.findings import Finding
from auditor.firewall_rules import rule_name
from auditor.ruleset import DEFAULT_RULESET, Requirement, Ruleset
from auditor.ruleset_lint import CLIENT


def remedy_of(requirement: Requirement, finding: Finding, ruleset: Ruleset) -> str:
    """Return what to do about a finding: as it says itself, else by its place, else as the ruleset does.

    Args:
        requirement: The requirement that the finding is about.
        finding: What decides the verdict.
        ruleset: Ruleset of the requirement.
    """
    if finding.verdict not in r.BAD:
        return ""
    tried = finding.attempts[0] if finding.attempts else None
    if finding.verdict == r.NO_RESPONSE and finding.blocked_at == r.UNKNOWN:
        return f"{finding.remedy} If it is on: {requirement.remedy}"
    if finding.remedy:
        return finding.remedy
    if finding.blocked_at == r.BETWEEN and tried:
        return _on_the_path(requirement, tried, ruleset)
    if finding.verdict != r.BLOCKED or finding.blocked_at not in (requirement.to_role, r.UNKNOWN):
        return requirement.remedy
    rule = _rule(requirement, tried, ruleset)
    if finding.blocked_at == r.UNKNOWN or not tried:
        return f"{requirement.remedy} {rule}"
    if requirement.dynamic:  # the next push uses another dynamic port
        return f"Begin with the firewall of {tried.dst}. {requirement.remedy} {rule}"
    listening = f" If {tried.dst} allows that, check that the service behind the port runs."
    likely = listening if finding.confidence == r.LIKELY else ""
    return f"On {tried.dst}, allow inbound {tried.port_text} from {tried.src}. {rule}{likely}"


def _on_the_path(requirement: Requirement, tried: Attempt, ruleset: Ruleset) -> str:
    ends = f"from {tried.src} to {tried.dst}"
    if not requirement.dynamic or tried.dst_port in ruleset.fixed_dynamic_ports:
        return f"On the devices on the path, allow {tried.port_text} {ends}."
    today = ", ".join(f"{low}-{high}" for low, high in ruleset.dynamic_ports[:1])
    return f"On the devices on the path, allow the RPC dynamic ports (TCP {today}) {ends}, or turn on RPC inspection."


def _rule(requirement: Requirement, tried: Attempt | None, ruleset: Ruleset) -> str:
    """Return how to make the rule for the firewall of the computer that was tried."""
    export = f"auditor rulesets export {requirement.method} --to powershell"
    if ruleset.id != DEFAULT_RULESET:
        export += f" --ruleset {ruleset.id}"
    if tried and requirement.to_role == CLIENT:
        export += f" --role {requirement.from_role}={tried.src}"
    return f'The rule "{rule_name(requirement)}" of "{export}" does it in Windows Firewall.'
