"""Fixes of a requirement that is not met: they begin at the place where the attempt was blocked."""

from __future__ import annotations

from auditor.report import model as r
from auditor.ruleset.firewall_rules import ECHO_REQUESTS, rule_name
from auditor.ruleset.lint import CLIENT
from auditor.ruleset.ruleset import DEFAULT_RULESET, Requirement, Ruleset
from auditor.ruleset.statements import Statement, statement
from auditor.verdicts.attempts import Attempt
from auditor.verdicts.findings import Finding

RULES_FILE = "rules.ps1"


def remedy_of(requirement: Requirement, finding: Finding, ruleset: Ruleset) -> tuple[r.Remedy, ...]:
    """Return what to do about a finding: as it says itself, else by its place, else as the ruleset does.

    Args:
        requirement: The requirement that the finding is about.
        finding: What decides the verdict.
        ruleset: Ruleset of the requirement.
    """
    if finding.verdict not in r.FAILING:
        return ()
    tried = finding.attempts[0] if finding.attempts else None
    place = finding.blocked_at if finding.blocked_at not in (None, r.UNKNOWN) else requirement.to_role
    documented = [to_do(place, statement("remedy.documented", remedy=step)) for step in requirement.remedy_steps]
    if finding.remedy and finding.verdict == r.NO_RESPONSE and finding.blocked_at == r.UNKNOWN:
        if_on = to_do(place, statement("remedy.if-on", remedy=requirement.remedy_steps[0]))
        return (to_do(place, finding.remedy), if_on, *documented[1:])
    if finding.remedy:
        return (to_do(place, finding.remedy),)
    if finding.blocked_at == r.BETWEEN and tried:
        return (to_do(place, _on_the_path(requirement, tried, ruleset)),)
    if finding.verdict != r.BLOCKED or finding.blocked_at not in (requirement.to_role, r.UNKNOWN):
        return tuple(documented)
    export = _export(requirement, tried, ruleset)
    if finding.blocked_at == r.UNKNOWN or not tried or requirement.dynamic:  # the next push uses another dynamic port
        return (documented[0], export, *documented[1:])
    action = statement("remedy.allow-inbound", host=tried.dst, port=tried.port_text, src=tried.src)
    allow = to_do(place, action, _new_rule(requirement, tried))
    listening = to_do(place, statement("remedy.then-check-service", host=tried.dst))
    return (allow, export, listening) if finding.confidence == r.LIKELY else (allow, export)


def to_do(place: str, action: Statement, command: str | None = None) -> r.Remedy:
    """Return one thing to do at a place."""
    return r.Remedy(place, action.text, command, action.key)


def _on_the_path(requirement: Requirement, tried: Attempt, ruleset: Ruleset) -> Statement:
    ends = {"src": tried.src, "dst": tried.dst}
    if not requirement.dynamic or tried.dst_port in ruleset.fixed_dynamic_ports:
        return statement("remedy.allow-on-path", port=tried.port_text, **ends)
    today = ", ".join(f"{low}-{high}" for low, high in ruleset.dynamic_ports[:1])
    return statement("remedy.allow-dynamic-on-path", ports=today, **ends)


def _new_rule(requirement: Requirement, tried: Attempt) -> str:
    """Return the command line that makes the rule on the computer that was tried, for the one that tried alone."""
    version = "ICMPv6" if ":" in tried.dst else "ICMPv4"
    protocol = version if requirement.icmp_echo else requirement.protocol.upper()
    parameter = (
        f"-IcmpType {ECHO_REQUESTS[version.lower()]}" if requirement.icmp_echo else f"-LocalPort {tried.dst_port}"
    )
    return (
        f"New-NetFirewallRule -DisplayName '{rule_name(requirement)}' -Direction Inbound -Protocol {protocol} "
        f"{parameter} -RemoteAddress {tried.src} -Action Allow"
    )


def _export(requirement: Requirement, tried: Attempt | None, ruleset: Ruleset) -> r.Remedy:
    """Return how to make the rules of the whole method for the firewall of the computer that was tried."""
    command = f"auditor rulesets export {requirement.method} --to powershell"
    if ruleset.id != DEFAULT_RULESET:
        command += f" --ruleset {ruleset.id}"
    if tried and requirement.to_role == CLIENT:
        command += f" --role {requirement.from_role}={tried.src}"
    action = statement("remedy.export-rules", rule=rule_name(requirement))
    return to_do(requirement.to_role, action, f"{command} -o {RULES_FILE}")
