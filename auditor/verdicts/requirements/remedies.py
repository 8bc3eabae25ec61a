"""Fixes of a requirement that is not met: they begin at the place of the block, or with finding that place."""

from __future__ import annotations

from collections.abc import Iterator

from auditor.report import model as r
from auditor.ruleset.firewall_rules import ECHO_REQUESTS, rule_name
from auditor.ruleset.known_problems import CheckStep, RpcListener, rpc_listeners
from auditor.ruleset.lint import CLIENT
from auditor.ruleset.ruleset import DEFAULT_RULESET, Requirement, Ruleset
from auditor.ruleset.statements import Statement, say, statement
from auditor.verdicts.attempts import Attempt
from auditor.verdicts.findings import Finding
from auditor.verdicts.protocol_findings import ProtocolSummary

RULES_FILE = "rules.ps1"


def remedy_of(
    requirement: Requirement, finding: Finding, ruleset: Ruleset, interface: str = ""
) -> tuple[r.Remedy, ...]:
    """Return what to do about a finding, and how to verify it.

    Args:
        requirement: The requirement that the finding is about.
        finding: What decides the verdict.
        ruleset: Ruleset of the requirement.
        interface: Name of the RPC interface of a dynamic port; empty if it is unknown.
    """
    if finding.verdict not in r.FAILING:
        return ()
    tried = finding.attempts[0] if finding.attempts else None
    if tried is None or tried.protocol == "udp":
        return tuple(_steps(requirement, finding, ruleset, interface))
    if _is_place_unknown(finding):
        return (*_find_place(requirement, tried, ruleset, interface), _repeat_test(requirement, tried))
    steps = tuple(_steps(requirement, finding, ruleset, interface))
    return steps if finding.verdict in (r.NO_RESPONSE, r.UNREACHABLE) else (*steps, _verify(requirement, tried))


def to_do(place: str, action: Statement, command: str | None = None) -> r.Remedy:
    """Return one thing to do at a place."""
    return r.Remedy(place, action.text, command, action.key)


def fix_problems(requirement: Requirement, summary: ProtocolSummary) -> tuple[r.Remedy, ...]:
    """Return what to do about failures on an open port: what to check, the fix, and how to verify it.

    Args:
        requirement: The requirement on whose port they are.
        summary: What the protocols show on it.
    """
    if not summary.fatal:
        return ()
    before = (step for status in summary.fatal for step in status.before)
    after = [step for status in summary.fatal for step in status.after]
    fix = to_do(requirement.to_role, statement("remedy.problem", action=summary.remedy))
    verify = [_check(step) for step in dict.fromkeys(after)] or [_repeat_installation(requirement)]
    return (*(_check(step) for step in dict.fromkeys(before)), fix, *verify)


def _check(step: CheckStep) -> r.Remedy:
    return to_do(step.place, statement("remedy.check", action=step.action), step.command)


def _repeat_installation(requirement: Requirement) -> r.Remedy:
    """Return how to repeat an installation after a change that no test of a port can verify."""
    return to_do(requirement.from_role, statement("remedy.then", repeat=_repeat(requirement)))


def _is_place_unknown(finding: Finding) -> bool:
    unknown = finding.verdict == r.BLOCKED and finding.confidence == r.LIKELY and finding.blocked_at == r.UNKNOWN
    return unknown and finding.remedy is None


def _steps(requirement: Requirement, finding: Finding, ruleset: Ruleset, interface: str) -> Iterator[r.Remedy]:
    """Yield the fix: as the finding states it, else by its place, else as the ruleset does."""
    tried = finding.attempts[0] if finding.attempts else None
    place = finding.blocked_at if finding.blocked_at not in (None, r.UNKNOWN) else requirement.to_role
    if finding.remedy:
        yield to_do(place, finding.remedy)
        if tried and finding.verdict == r.NO_RESPONSE and finding.blocked_at == r.UNKNOWN:
            yield from _if_on(requirement, tried, ruleset)
    elif finding.blocked_at == r.BETWEEN and tried:
        yield to_do(place, _on_the_path(requirement, tried, ruleset))
    elif finding.verdict != r.BLOCKED or finding.blocked_at not in (requirement.to_role, r.UNKNOWN):
        yield from _documented(requirement, tried, interface)
    elif finding.blocked_at == r.UNKNOWN or not tried or requirement.dynamic:  # the next push uses another port
        first, *others = _documented(requirement, tried, interface)
        yield from (first, _export(requirement, tried, ruleset))
        if finding.blocked_at == r.UNKNOWN:
            yield from others
    else:
        action = statement("remedy.allow-inbound", host=tried.dst, port=tried.port_text, src=tried.src)
        yield to_do(place, action, _new_rule(requirement, tried))
        yield _export(requirement, tried, ruleset)
        if finding.confidence == r.LIKELY:
            yield to_do(place, statement("remedy.then-check-service", host=tried.dst))


def _documented(requirement: Requirement, tried: Attempt | None, interface: str) -> Iterator[r.Remedy]:
    """Yield the steps of the ruleset; for an RPC interface with rules of its own, only those for the path."""
    listener = rpc_listeners().get(interface) if requirement.dynamic else None
    steps = requirement.remedy_steps
    if listener and tried:
        yield _allow_listener(requirement, listener, interface, tried.src)
        steps = tuple(step for step in steps if step.place == r.BETWEEN)
    for step in steps:
        yield to_do(step.place, statement("remedy.documented", remedy=step.text))


# where the packets stop


def _find_place(requirement: Requirement, tried: Attempt, ruleset: Ruleset, interface: str) -> Iterator[r.Remedy]:
    """Yield how to find out where the packets stop, and what to do about each outcome, the path first."""
    to_role, from_role = requirement.to_role, requirement.from_role
    words = {"role": _words(to_role), "host": tried.dst}
    yield to_do(to_role, statement("remedy.find-place", **words), _capture(tried))
    yield to_do(from_role, statement("remedy.send-packets", role=_words(from_role), host=tried.src), _test(tried))
    allow = _on_the_path(requirement, tried, ruleset).text
    yield to_do(r.BETWEEN, statement("remedy.if-none-arrive", src=tried.src, allow=allow))
    yield from _if_they_arrive(requirement, tried, interface)
    yield to_do(r.BETWEEN, statement("remedy.if-responses-leave", src=tried.src, dst=tried.dst))


def _if_they_arrive(requirement: Requirement, tried: Attempt, interface: str) -> Iterator[r.Remedy]:
    """Yield what to do if the packets arrive and the computer that they are sent to does not respond."""
    documented = [step for step in _documented(requirement, tried, interface) if step.place != r.BETWEEN]
    if requirement.dynamic:
        for first in documented[:1]:  # what remains of the documented steps are alternatives
            action = statement("remedy.if-no-response", role=_words(requirement.to_role), fix=first.action)
            yield to_do(first.place, action, first.command)
        return
    allow = statement(
        "remedy.if-no-response-allow", role=_words(requirement.to_role), port=tried.port_text, src=tried.src
    )
    yield to_do(requirement.to_role, allow, _new_rule(requirement, tried))
    yield from documented[1:]


def _if_on(requirement: Requirement, tried: Attempt, ruleset: Ruleset) -> Iterator[r.Remedy]:
    """Yield what to do if a computer is on from which no packet was observed, in words that fit all of its ports."""
    ends = {"src": tried.src, "dst": tried.dst}
    role = requirement.to_role
    yield to_do(role, statement("remedy.if-on", role=_words(role), host=tried.dst), _capture(tried, port=False))
    yield to_do(r.BETWEEN, statement("remedy.if-nothing-arrives", **ends))
    export = _export(requirement, tried, ruleset)
    yield to_do(role, statement("remedy.if-none-responds", role=_words(role), on=role), export.command)
    yield _repeat_installation(requirement)


def _capture(tried: Attempt, *, port: bool = True) -> str:
    """Return the command that shows the packets of an attempt at the computer that they are sent to."""
    protocol = ("ICMPv6" if ":" in tried.dst else "ICMP") if tried.protocol == "icmp" else "TCP"
    service = f" -p {tried.dst_port}" if tried.protocol != "icmp" else ""
    chosen = f" -t {protocol}{service}" if port else ""
    return f"pktmon filter add -i {tried.src}{chosen}; pktmon start -c --comp nics -m real-time"


def _test(tried: Attempt) -> str:
    """Return the command that tries again what was tried."""
    return f"Test-NetConnection {tried.dst}" + (f" -Port {tried.dst_port}" if tried.protocol != "icmp" else "")


def _verify(requirement: Requirement, tried: Attempt) -> r.Remedy:
    """Return how to verify a change."""
    words = {"role": _words(requirement.from_role), "passed": _passed(tried), "repeat": _repeat(requirement)}
    return to_do(requirement.from_role, statement("remedy.verify", **words), _test(tried))


def _repeat_test(requirement: Requirement, tried: Attempt) -> r.Remedy:
    """Return how to verify a change if earlier steps have the commands of a capture and of the test."""
    words = {"role": _words(requirement.from_role), "passed": _passed(tried), "repeat": _repeat(requirement)}
    return to_do(requirement.from_role, statement("remedy.repeat-test", **words))


def _passed(tried: Attempt) -> str:
    """Return the value that is True in the output of the test if it passes."""
    return "PingSucceeded" if tried.protocol == "icmp" else "TcpTestSucceeded"


def _repeat(requirement: Requirement) -> str:
    return say("repeat.push") if requirement.to_role == CLIENT else say("repeat.installation")


def _words(role: str) -> str:
    return role.replace("-", " ")


# rules of firewalls


def _on_the_path(requirement: Requirement, tried: Attempt, ruleset: Ruleset) -> Statement:
    ends = {"src": tried.src, "dst": tried.dst}
    if not requirement.dynamic or tried.dst_port in ruleset.fixed_dynamic_ports:
        return statement("remedy.allow-on-path", port=tried.port_text, **ends)
    today = ", ".join(f"{low}-{high}" for low, high in ruleset.dynamic_ports[:1])
    return statement("remedy.allow-dynamic-on-path", ports=today, **ends)


def _allow_listener(requirement: Requirement, listener: RpcListener, interface: str, src: str) -> r.Remedy:
    """Return the rule that allows the dynamic port of one RPC interface, where Windows has no group for one source."""
    fields = {"role": _words(requirement.to_role), "interface": interface}
    if listener.group:
        action = statement("remedy.allow-group", group=listener.group, **fields)
        return to_do(requirement.to_role, action, f"Enable-NetFirewallRule -Group '{listener.group_id}'")
    service = f" -Service {listener.service}" if listener.service else ""
    command = (
        f"New-NetFirewallRule -DisplayName '{rule_name(requirement)}' -Direction Inbound -Protocol TCP "
        f"-LocalPort RPC -Program {listener.program}{service} -RemoteAddress {src} -Action Allow"
    )
    return to_do(requirement.to_role, statement("remedy.allow-program", program=listener.name, **fields), command)


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
    action = statement("remedy.export-rules", role=_words(requirement.to_role), on=requirement.to_role)
    return to_do(requirement.to_role, action, f"{command} -o {RULES_FILE}")
