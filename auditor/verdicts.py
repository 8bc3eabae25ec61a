"""Judge flows against a ruleset: pure, from what the sources hold to the report."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import replace

import pandas as pd

from auditor import report as r
from auditor.attempts import Attempt, Traffic
from auditor.conversation import NOTHING_SAID, conversation
from auditor.findings import Finding, Witness
from auditor.limits import limitations
from auditor.listening import Heard
from auditor.recommend import recommend
from auditor.results import excused_of, method_result
from auditor.roles import CLIENT, Cast
from auditor.ruleset import Method, Requirement, Ruleset, SiteFacts
from auditor.said import SERVICE_CONTROLLER
from auditor.sources.reading import Source
from auditor.vantage import clock_notes, where_stopped

AFTER_ENDPOINT_MAPPER_NS = 60_000_000_000  # a dynamic port is used soon after it was handed out
MOST_EVIDENCE = 6


def audit(
    sources: Sequence[Source],
    ruleset: Ruleset,
    cast: Cast,
    facts: SiteFacts,
    asked: Sequence[str],
    tool: tuple[str, str],
    heard: Heard | None = None,
) -> r.Report:
    """Judge every method of the ruleset for every client.

    asked: the methods that decide the exit code. heard: what the dissectors told, None if they were not asked.
    """
    facts = replace(facts, roles=facts.roles | cast.roles)
    hosts = {one.address for one in cast.assignments}
    traffic = Traffic(sources, hosts, heard.said if heard else ())
    clients = tuple(_client(client, traffic, ruleset, cast, facts) for client in cast.clients)
    return r.Report(
        tool=tool,
        ruleset=(ruleset.id, ruleset.title, ruleset.reference),
        sources=tuple(_summary(source) for source in sources),
        roles=cast.assignments,
        clients=clients,
        limitations=(*limitations(sources, cast, clients, ruleset, heard), *clock_notes(traffic)),
        asked=tuple(asked),
        flows=pd.concat([source.flows for source in sources], ignore_index=True),
    )


def _summary(source: Source) -> r.SourceSummary:
    return r.SourceSummary(
        path=source.path,
        kind=source.kind,
        format=source.format,
        bytes=source.bytes,
        records=source.records,
        skipped=source.skipped,
        first_time=r.utc_text(source.first_ns),
        last_time=r.utc_text(source.last_ns),
        warnings=tuple(sorted((warning.code, warning.text) for warning in source.warnings)),
    )


def _client(client: str, traffic: Traffic, ruleset: Ruleset, cast: Cast, facts: SiteFacts) -> r.ClientReport:
    judged = _Judge(client, traffic, ruleset, cast, facts)
    methods = tuple(judged.method(method) for method in ruleset.methods)
    return r.ClientReport(client, methods, recommend(methods, ruleset, facts))


class _Judge:
    """Judges the requirements of one client."""

    def __init__(self, client: str, traffic: Traffic, ruleset: Ruleset, cast: Cast, facts: SiteFacts) -> None:
        self._client = client
        self._traffic = traffic
        self._ruleset = ruleset
        self._cast = cast
        self._facts = facts
        self._witness = Witness(traffic, lambda address: _role_of(address, client, cast))
        self._fixed_ports = {port for requirement in ruleset.requirements for port in requirement.ports}
        self._mapper_talks: dict[tuple[str, str, str], list[Attempt]] = {}
        self._stopped_ports: dict[str, set[int]] = {}

    def method(self, method: Method) -> r.MethodResult:
        """Return the result of one method."""
        verdicts = tuple(self._requirement(requirement) for requirement in method.requirements)
        excused = excused_of(method, verdicts, self._interfaces)
        result, reasons = method_result(method, verdicts, self._ruleset, self._facts, excused)
        told = tuple(self._excused(one) if one.id in excused else one for one in verdicts)
        return r.MethodResult(method.id, method.title, result, reasons, told)

    def _excused(self, verdict: r.RequirementVerdict) -> r.RequirementVerdict:
        """Add why a stopped requirement does no harm, and whether that was seen."""
        pair = (verdict.source.address, verdict.destination.address)
        pipes = [
            step.frame
            for said in self._traffic.said
            for step in said.steps
            if tuple(step.side)[:2] == pair and step.good and step.step == f"open {SERVICE_CONTROLLER}"
        ]
        seen = f", as it did in frame {pipes[-1]}" if pipes else ""
        text = (
            "This does not end the push: only the service controller was to be called there, and Windows calls it "
            f"through the named pipe on SMB instead{seen}, after a time-out of about 21 seconds."
        )
        remedy = (
            "Nothing has to be opened. To save the delay, enable the Windows Firewall group "
            '"Remote Service Management (RPC)" on the client.'
        )
        return replace(verdict, explanation=f"{verdict.explanation} {text}", remedy=remedy)

    # one requirement

    def _requirement(self, requirement: Requirement) -> r.RequirementVerdict:
        sources, destinations = self._addresses(requirement.from_role), self._addresses(requirement.to_role)
        if self._ruleset.applies(requirement, self._facts) is False:
            return self._without_traffic(requirement, r.NOT_APPLICABLE, self._why_off(requirement))
        attempts = [
            one
            for src in sources
            for dst in destinations
            for one in self._traffic.between(src, dst)
            if self._concerns(requirement, one)
        ]
        findings = self._witness.findings(attempts)
        if not findings and requirement.necessity != "informational":
            findings = self._witness.unanswered_questions(destinations)
        if not findings:
            return self._without_traffic(
                requirement, r.NOT_SEEN, self._why_not_seen(requirement, sources, destinations)
            )
        return self._decided(requirement, findings)

    def _addresses(self, role: str) -> tuple[str, ...]:
        return (self._client,) if role == CLIENT else self._cast.addresses(role)

    def _concerns(self, requirement: Requirement, attempt: Attempt) -> bool:
        if attempt.protocol != requirement.protocol:
            return False
        if requirement.icmp_echo:
            return True
        if not requirement.dynamic:
            return attempt.dst_port in requirement.ports
        return not attempt.reversed and self._is_dynamic(requirement, attempt)

    def _is_dynamic(self, requirement: Requirement, attempt: Attempt) -> bool:
        """Tell whether an attempt is to a port that the endpoint mapper or DCOM handed out, or may be.

        Where the announcement cannot be read, only port and time tell: the port lies in the dynamic range, and the same
        two hosts spoke at the endpoint mapper shortly before.
        """
        if self._traffic.handed_out(attempt):
            return True
        port = attempt.dst_port
        if port is None or port in self._fixed_ports or not self._ruleset.is_dynamic(port):
            return False
        asked = self._asked_mapper(requirement, attempt.src, attempt.dst)
        return any(one.start_ns <= attempt.start_ns <= one.end_ns + AFTER_ENDPOINT_MAPPER_NS for one in asked)

    def _asked_mapper(self, requirement: Requirement, src: str, dst: str) -> list[Attempt]:
        """Return when one host spoke at the other's endpoint mapper; looked up once for each pair."""
        key = (requirement.id, src, dst)
        if key not in self._mapper_talks:
            mapper = self._mapper_port(requirement)
            self._mapper_talks[key] = [
                one
                for one in self._traffic.between(src, dst)
                if one.protocol == "tcp" and one.dst_port == mapper and one.answer in ("answered", "one-sided")
            ]
        return self._mapper_talks[key]

    def _mapper_port(self, requirement: Requirement) -> int | None:
        """Return the endpoint mapper's port: the fixed TCP row that goes before the dynamic one in its method."""
        before: int | None = None
        for other in self._ruleset.method(requirement.method).requirements:
            if other.id == requirement.id:
                return before
            if other.protocol == "tcp" and len(other.ports) == 1:
                before = other.ports[0]
        return before

    # deciding

    def _interfaces(self, verdict: r.RequirementVerdict) -> set[str]:
        """Return the interfaces of the dynamic ports of a requirement that were stopped."""
        return {
            one.interface
            for said in self._traffic.said
            for one in said.handed_out
            if one.server == verdict.destination.address and one.port in self._stopped_ports.get(verdict.id, ())
        }

    def _decided(self, requirement: Requirement, findings: list[Finding]) -> r.RequirementVerdict:
        chosen, changed = _worst_port(findings) if requirement.dynamic else _best_port(findings)
        chosen = self._placed(requirement, chosen)
        if requirement.dynamic:
            decided = [one for one, _ in _by_port(findings) if one.verdict in r.BAD and one.port is not None]
            self._stopped_ports[requirement.id] = {one.port for one in decided if one.port is not None}
        attempts = [one for finding in findings for one in finding.attempts]
        told = conversation(attempts, self._traffic) if chosen.verdict in r.GOOD else NOTHING_SAID
        shown = [chosen, *(one for one in reversed(findings) if one is not chosen)]
        needed = [*chosen.evidence, *told.evidence]  # never left out: what proves the verdict, what failed for good
        more = [one for finding in shown if finding is not chosen for one in finding.evidence]
        evidence = needed + more[: max(0, MOST_EVIDENCE - len(needed))]
        tried = {finding.port for finding in findings if finding.port is not None}
        times = [moment for one in attempts for moment in (one.start_ns, one.end_ns)] or [chosen.time_ns]
        pair = chosen.attempts[0] if chosen.attempts else None
        return r.RequirementVerdict(
            **_common(requirement),
            source=r.End(requirement.from_role, pair.src if pair else self._one_address(requirement.from_role)),
            destination=r.End(requirement.to_role, pair.dst if pair else self._one_address(requirement.to_role)),
            ports=tuple(sorted(tried)) if requirement.dynamic else requirement.ports,
            verdict=chosen.verdict,
            confidence=chosen.confidence,
            blocked_at=chosen.blocked_at if chosen.verdict in r.BAD else None,
            changed=changed,
            attempts=len(findings) if attempts else 0,
            first_time=r.utc_text(min(times)),
            last_time=r.utc_text(max(times)),
            explanation=" ".join(filter(None, (chosen.text + _told_change(changed), told.text))),
            evidence=tuple(sorted(evidence, key=lambda one: (one.source, one.frames, one.text))),
            problems=told.problems,
            remedy=_remedy(requirement, chosen) or told.remedy,
        )

    def _placed(self, requirement: Requirement, finding: Finding) -> Finding:
        """Add where it was stopped, if a second capture of the attempt tells."""
        if finding.verdict not in (r.BLOCKED, r.NO_ANSWER) or finding.blocked_at != r.UNKNOWN or not finding.attempts:
            return finding
        found = where_stopped(finding.attempts, self._traffic, requirement.to_role)
        return replace(finding, blocked_at=found[0], text=f"{finding.text} {found[1]}") if found else finding

    def _without_traffic(self, requirement: Requirement, verdict: str, text: str) -> r.RequirementVerdict:
        return r.RequirementVerdict(
            **_common(requirement),
            source=r.End(requirement.from_role, self._one_address(requirement.from_role)),
            destination=r.End(requirement.to_role, self._one_address(requirement.to_role)),
            ports=requirement.ports,
            verdict=verdict,
            confidence=None,
            blocked_at=None,
            changed=None,
            attempts=0,
            first_time=None,
            last_time=None,
            explanation=text,
            evidence=(),
            problems=(),
            remedy="",
        )

    def _one_address(self, role: str) -> str | None:
        addresses = self._addresses(role)
        return addresses[0] if len(addresses) == 1 else None

    def _why_off(self, requirement: Requirement) -> str:
        texts = [
            self._ruleset.condition(one).text
            for one in requirement.conditions
            if self._ruleset.holds(one, self._facts) is False
        ]
        return f"Counts only if {' and '.join(texts)}."

    def _why_not_seen(self, requirement: Requirement, sources: Sequence[str], destinations: Sequence[str]) -> str:
        unknown = [
            role for role, found in ((requirement.from_role, sources), (requirement.to_role, destinations)) if not found
        ]
        if unknown:
            name = unknown[0]
            return f"Nobody is known as {name.replace('-', ' ')}; name it: --role {name}=ADDRESS."
        ports = "" if requirement.icmp_echo else f" at {requirement.protocol.upper()} {requirement.ports_text}"
        text = f"No attempt from {_list(sources)} to {_list(destinations)}{ports} is in these sources."
        return text + self._other_ports(requirement, sources, destinations)

    def _other_ports(self, requirement: Requirement, sources: Sequence[str], destinations: Sequence[str]) -> str:
        """Return a hint when the two talk, but at another port than the documented one."""
        if requirement.alternate_port is None:
            return ""
        talked = {
            one.dst_port
            for src in sources
            for dst in destinations
            for one in self._traffic.between(src, dst)
            if one.protocol == "tcp" and one.answer == "answered" and one.dst_port not in self._fixed_ports
        }
        if not talked:
            return ""
        ports = ", ".join(map(str, sorted(port for port in talked if port is not None)[:3]))
        return f" They talk at TCP {ports}: if that is its port, say --port {requirement.alternate_port}=NUMBER."


def _common(requirement: Requirement) -> dict[str, str]:
    names = ("id", "description", "necessity", "protocol")
    return {name: getattr(requirement, name) for name in names}


def _list(addresses: Sequence[str]) -> str:
    return ", ".join(addresses[:3]) + (f" and {len(addresses) - 3} more" if len(addresses) > 3 else "")


def _latest(findings: list[Finding]) -> tuple[Finding, r.Change | None]:
    """Return the finding that decides, and the change before it: the latest decisive one counts."""
    decisive = [one for one in findings if one.decides]
    if not decisive:
        return findings[-1], None
    last = decisive[-1]
    others = [one for one in decisive if (one.verdict in r.GOOD) != (last.verdict in r.GOOD)]
    if not others:
        return last, None
    return last, _change(others[-1], last)


def _change(before: Finding, after: Finding) -> r.Change:
    times = (r.utc_text(before.time_ns) or "", r.utc_text(after.time_ns) or "")
    return r.Change(before.verdict, times[0], after.verdict, times[1])


def _worst_port(findings: list[Finding]) -> tuple[Finding, r.Change | None]:
    """Return what decides about dynamic ports: in the latest push, one that is blocked, since each was to be used."""
    pushes = _pushes(findings)
    *earlier, latest = [_worst(push) for push in pushes]
    before = [one for one in earlier if (one.verdict in r.GOOD) != (latest.verdict in r.GOOD) and one.decides]
    if before and latest.decides:
        return latest, _change(before[-1], latest)
    if latest.decides or not before:
        return _latest([one for one in pushes[-1] if one.port == latest.port])
    return before[-1], None


def _worst(push: list[Finding]) -> Finding:
    decided = [one for one, _ in _by_port(push)]
    bad = [one for one in decided if one.verdict in r.BAD]
    good = [one for one in decided if one.verdict in r.GOOD]
    return (bad or good or decided)[0]


def _pushes(findings: list[Finding]) -> list[list[Finding]]:
    """Return the attempts at dynamic ports, those of one push together: ports are handed out anew for each."""
    pushes: list[list[Finding]] = []
    for finding in findings:
        if not pushes or finding.time_ns - pushes[-1][-1].time_ns > AFTER_ENDPOINT_MAPPER_NS:
            pushes.append([])
        pushes[-1].append(finding)
    return pushes


def _best_port(findings: list[Finding]) -> tuple[Finding, r.Change | None]:
    """Judge each of the documented ports by itself; one that is open decides, since any one of them will do."""
    decided = _by_port(findings)
    good = [one for one in decided if one[0].verdict in r.GOOD]
    decisive = [one for one in decided if one[0].decides]
    return max(good or decisive or decided, key=lambda one: one[0].time_ns)


def _by_port(findings: list[Finding]) -> list[tuple[Finding, r.Change | None]]:
    """Return what decides for each port of each host that was tried."""
    by_port: dict[tuple[int, str], list[Finding]] = defaultdict(list)
    for finding in findings:
        host = finding.attempts[0].dst if finding.attempts else ""
        by_port[finding.port or 0, host].append(finding)
    return [_latest(found) for _, found in sorted(by_port.items())]


def _remedy(requirement: Requirement, finding: Finding) -> str:
    """Return what to do: as the finding itself says, else as the ruleset does."""
    if finding.verdict not in r.BAD:
        return ""
    if finding.verdict == r.NO_ANSWER:
        return f"{finding.remedy} If it is on: {requirement.remedy}"
    return finding.remedy or requirement.remedy


def _role_of(address: str, client: str, cast: Cast) -> str:
    if address == client:
        return CLIENT
    return next((one.role for one in cast.assignments if one.address == address), r.UNKNOWN)


def _told_change(change: r.Change | None) -> str:
    if change is None:
        return ""
    return f" Earlier, at {change.before_time}, it was {change.before}."
