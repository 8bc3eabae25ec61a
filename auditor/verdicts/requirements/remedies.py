"""Fixes of a requirement that is not met: they begin at the place where the attempt was blocked."""

from __future__ import annotations

from auditor.report import model as r
from auditor.ruleset.firewall_rules import ECHO_REQUESTS, rule_name
from auditor.ruleset.lint import CLIENT
from auditor.ruleset.ruleset import DEFAULT_RULESET, Requirement, Ruleset
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
    documented = r.Remedy(place, requirement.remedy)
    if finding.verdict == r.NO_RESPONSE and finding.blocked_at == r.UNKNOWN:
        return r.Remedy(place, finding.remedy), r.Remedy(place, f"If the computer is on: {requirement.remedy}")
    if finding.remedy:
        return (r.Remedy(place, finding.remedy),)
    if finding.blocked_at == r.BETWEEN and tried:
        return (r.Remedy(place, _on_the_path(requirement, tried, ruleset)),)
    if finding.verdict != r.BLOCKED or finding.blocked_at not in (requirement.to_role, r.UNKNOWN):
        return (documented,)
    export = _export(requirement, tried, ruleset)
    if finding.blocked_at == r.UNKNOWN or not tried:
        return documented, export
    if requirement.dynamic:  # the next push uses another dynamic port
        return r.Remedy(place, f"Begin with the firewall of {tried.dst}. {requirement.remedy}"), export
    action = f"On {tried.dst}, allow inbound {tried.port_text} from {tried.src}."
    allow = r.Remedy(place, action, _new_rule(requirement, tried))
    listening = r.Remedy(place, f"If {tried.dst} allows that, check that the service behind the port runs.")
    return (allow, export, listening) if finding.confidence == r.LIKELY else (allow, export)


def _on_the_path(requirement: Requirement, tried: Attempt, ruleset: Ruleset) -> str:
    ends = f"from {tried.src} to {tried.dst}"
    if not requirement.dynamic or tried.dst_port in ruleset.fixed_dynamic_ports:
        return f"On the devices on the path, allow {tried.port_text} {ends}."
    today = ", ".join(f"{low}-{high}" for low, high in ruleset.dynamic_ports[:1])
    return f"On the devices on the path, allow the RPC dynamic ports (TCP {today}) {ends}, or turn on RPC inspection."


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
    name = rule_name(requirement)
    action = f'To create the rule "{name}" in Windows Firewall, export the rules and run the script.'
    return r.Remedy(requirement.to_role, action, f"{command} -o {RULES_FILE}")
