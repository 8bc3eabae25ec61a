"""What the sources show of one requirement of a client: which attempts concern it, and what they come to."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import replace
from itertools import chain, product
from typing import NamedTuple

from auditor.report import model as r
from auditor.report.joined_names import join_limited
from auditor.ruleset.lint import CLIENT
from auditor.ruleset.ruleset import Requirement, SiteRules
from auditor.ruleset.statements import say
from auditor.verdicts.attempts import Attempt, Traffic
from auditor.verdicts.correlation.capture_points import locate_block
from auditor.verdicts.correlation.clocks import Clocks
from auditor.verdicts.findings import Finding, FindingBuilder
from auditor.verdicts.installations.roles import RoleMap
from auditor.verdicts.protocol_findings import EMPTY_SUMMARY, ProtocolSummary, summarize_protocol
from auditor.verdicts.requirements.custom_ports import CustomPort, CustomPorts
from auditor.verdicts.requirements.endpoint_mapper import DynamicPorts, ServiceOf, on_scan
from auditor.verdicts.requirements.select import (
    besides,
    by_port,
    by_service,
    decide_documented,
    decide_dynamic,
    is_proven_block,
    not_reached,
    on_other_services,
)

MOST_NAMED = 3  # hosts, in a sentence
MOST_EVIDENCE = 6
MOST_OTHER_PORTS = 3  # in a hint


class Ends(NamedTuple):
    """Who reaches whom: of each end all hosts that may be it."""

    sources: tuple[str, ...]
    destinations: tuple[str, ...]


class SelectedFindings(NamedTuple):
    """The findings that concern one requirement, and those of a port scan, which do not count."""

    findings: list[Finding]
    scanned: list[Finding]


class Decision(NamedTuple):
    """Which finding decides about a requirement.

    Attributes:
        chosen: The finding that decides.
        changed: What the verdict was before, None if it never changed.
        other_blocks: Proven blocks at other ports or of other services.
        note: Why what was open later, or tried in a scan, does not count; empty if there is no such thing.
        unreached: The RPC interfaces whose dynamic ports are not reached, an empty one for those that are unknown.
        interface: The RPC interface of the dynamic port that decides; empty if it is unknown, or no port is dynamic.
    """

    chosen: Finding
    changed: r.VerdictChange | None
    other_blocks: list[Finding]
    note: str
    unreached: frozenset[str]
    interface: str = ""


class RequirementEvidence(NamedTuple):
    """What the findings about one requirement come to, whichever method asks for it.

    Attributes:
        decision: Which finding decides.
        summary: What was said on the open port.
        source, destination: The addresses of the ends; None if several hosts may be one.
        ports: The documented ports, of dynamic ones those that were tried.
        attempts: How many attempts there were.
        first_time, last_time: ISO 8601, those by the clock of the finding that decides.
        evidence: What proves the verdict, in the order of sources and frames.
    """

    decision: Decision
    summary: ProtocolSummary
    source: str | None
    destination: str | None
    ports: tuple[int, ...]
    attempts: int
    first_time: str | None
    last_time: str | None
    evidence: tuple[r.Evidence, ...]


class ClientEvidence:
    """What the sources show of every requirement of one client."""

    def __init__(self, client: str, traffic: Traffic, clocks: Clocks, rules: SiteRules, role_map: RoleMap) -> None:
        self._client = client
        self._traffic = traffic
        self._rules = rules
        self._finding_builder = FindingBuilder(traffic, clocks, lambda address: _role_of(address, client, role_map))
        self._dynamic = DynamicPorts(traffic, clocks, rules.ruleset)
        self._custom = CustomPorts(client, traffic, rules, role_map.is_guess)
        # Several methods ask for the same.
        self._evidence: dict[tuple[object, ...], RequirementEvidence | str] = {}
        self._selections: dict[tuple[object, ...], SelectedFindings] = {}

    def of(self, requirement: Requirement, hosts: tuple[str, ...]) -> RequirementEvidence | str:
        """Return what is seen of a requirement between the client and these hosts, or in a sentence why nothing is."""
        key = (requirement.asks, hosts)
        if key not in self._evidence:
            self._evidence[key] = self._of(requirement, self.ends(requirement, hosts))
        return self._evidence[key]

    def selected(self, requirement: Requirement, ends: Ends) -> SelectedFindings:
        """Return what the attempts show that concern a requirement; other roles may be asked for the same ports."""
        key = (requirement.protocol, requirement.ports, requirement.dynamic and requirement.method, ends)
        if key not in self._selections:
            attempts = chain.from_iterable(self._traffic.between(*pair) for pair in product(*ends))
            concerning = [attempt for attempt in attempts if self._concerns(requirement, attempt)]
            findings = self._finding_builder.findings(concerning)
            counted = self._dynamic.counted(findings) if requirement.dynamic else (findings, [])
            self._selections[key] = SelectedFindings(*counted)
        return self._selections[key]

    def ends(self, requirement: Requirement, hosts: tuple[str, ...]) -> Ends:
        """Return who reaches whom, if these are the hosts of the other role."""
        client = (self._client,)
        return Ends(hosts, client) if requirement.to_role == CLIENT else Ends(client, hosts)

    def custom_port(self, requirement: Requirement, host: str | None) -> CustomPort | None:
        """Return where a requirement to a host of another role is evaluated instead of at its documented ports."""
        return self._custom.of(requirement, host) if host else None

    def _concerns(self, requirement: Requirement, attempt: Attempt) -> bool:
        if attempt.protocol != requirement.protocol:
            return False
        if requirement.icmp_echo:
            return True
        if not requirement.dynamic:
            return attempt.dst_port in requirement.ports
        return not attempt.direction_assumed and self._dynamic.includes(requirement, attempt)

    def _of(self, requirement: Requirement, ends: Ends) -> RequirementEvidence | str:
        selection = self.selected(requirement, ends)
        if not selection.findings and requirement.necessity != "informational":
            unanswered = self._finding_builder.unanswered_questions(ends.destinations)
            selection = selection._replace(findings=unanswered)
        if not selection.findings:
            return self._why_not_seen(requirement, ends, selection.scanned)
        decision = decide(requirement, selection, self._dynamic.service)
        decision = decision._replace(chosen=self._with_place(requirement, decision.chosen))
        return self._summarized(requirement, decision, selection.findings, ends)

    def _with_place(self, requirement: Requirement, finding: Finding) -> Finding:
        """Return the finding with where it was stopped, if the captures of the attempt show it."""
        unplaced = finding.verdict in (r.BLOCKED, r.NO_RESPONSE, r.REFUSED) and finding.blocked_at == r.UNKNOWN
        location = locate_block(finding.attempts, self._traffic, requirement.to_role) if unplaced else None
        if location is None:
            return finding
        remedy = None if location[0] == r.BETWEEN else finding.remedy
        return replace(finding, blocked_at=location[0], text=f"{finding.text} {location[1]}", remedy=remedy)

    def _summarized(
        self, requirement: Requirement, decision: Decision, findings: Sequence[Finding], ends: Ends
    ) -> RequirementEvidence:
        chosen = decision.chosen
        tried = chosen.attempts[0] if chosen.attempts else None
        source, destination = (tried.src, tried.dst) if tried else map(only_one, ends)
        attempts = [attempt for finding in findings for attempt in finding.attempts]
        summary = summarize_protocol(attempts, self._traffic) if chosen.verdict in r.PASSING else EMPTY_SUMMARY
        ports = {finding.port for finding in findings if finding.port is not None}
        same_clock = [finding for finding in findings if finding.clock == chosen.clock]
        local = chosen.clock is not None
        return RequirementEvidence(
            decision=decision,
            summary=summary,
            source=source,
            destination=destination,
            ports=tuple(sorted(ports)) if requirement.dynamic else requirement.ports,
            attempts=sum(finding.tries for finding in findings),
            first_time=r.utc_text(min(finding.time_ns for finding in same_clock), local=local),
            last_time=r.utc_text(max(finding.end_ns for finding in same_clock), local=local),
            evidence=_shown(decision, summary, findings),
        )

    # what is not seen

    def _why_not_seen(self, requirement: Requirement, ends: Ends, scanned: Sequence[Finding]) -> str:
        for role, addresses in zip((requirement.from_role, requirement.to_role), ends, strict=True):
            if not addresses:
                return say("requirement.no-role", name=role.replace("-", " "), role=role)
        src, dst = (join_limited(addresses, MOST_NAMED) for addresses in ends)
        if requirement.icmp_echo:
            text = say("requirement.no-echo", src=src, dst=dst)
        else:
            protocol, ports = requirement.protocol.upper(), requirement.ports_text
            text = say("requirement.no-attempt", src=src, dst=dst, protocol=protocol, ports=ports)
        if requirement.dynamic:
            return text + on_scan(scanned) + self._dynamic.not_counted(requirement, *ends, scanned)
        return text + self._other_ports(requirement, ends.destinations)

    def _other_ports(self, requirement: Requirement, destinations: Sequence[str]) -> str:
        """Return a hint when the client connects to the server, but not to the port of any of its requirements."""
        name = requirement.site_port or requirement.alternate_port
        ports = self._custom.candidates(destinations[0]) if name else {}
        rows = [row for row in self._rules.ruleset.requirements if row.to_role == requirement.to_role] if ports else []
        used = {port for row in rows for port in self._ports_of(row, destinations)}
        other_ports = [say("push.port", port=port) for port in sorted(ports) if port not in used][:MOST_OTHER_PORTS]
        if not other_ports:
            return ""
        ends = {"client": self._client, "server": destinations[0]}
        return say("requirement.other-ports", **ends, ports=", ".join(other_ports), setting=name)

    def _ports_of(self, requirement: Requirement, hosts: Sequence[str]) -> tuple[int, ...]:
        """Return the ports at which a requirement to a server is evaluated."""
        custom = self._custom.of(requirement, hosts[0])
        return custom.ports if custom else requirement.ports


def decide(requirement: Requirement, selection: SelectedFindings, service_of: ServiceOf) -> Decision:
    """Return which finding decides about a requirement: of dynamic ports each service counts, else one port will do."""
    if not requirement.dynamic:
        decided = by_port(selection.findings)
        chosen, changed = decide_documented(decided)
        return Decision(chosen, changed, besides(chosen, decided), "", frozenset())
    services = by_service(selection.findings, service_of)
    chosen, changed = decide_dynamic(services)
    # A push needs each service, so the verdict of a proven block says it all.
    blocks = [] if is_proven_block(chosen) else besides(chosen, services.values())
    note = on_other_services(chosen, services) + on_scan(selection.scanned)
    return Decision(chosen, changed, blocks, note, not_reached(services), service_of(chosen).interface)


def evidence_of(findings: Iterable[Finding]) -> Iterator[r.Evidence]:
    """Return the evidence of several findings, in their order."""
    return (evidence for finding in findings for evidence in finding.evidence)


def in_order(evidence: Iterable[r.Evidence]) -> tuple[r.Evidence, ...]:
    """Return evidence in the order of sources, frames and lines, each once."""
    return tuple(sorted(dict.fromkeys(evidence), key=lambda item: (item.source, item.frames, item.lines, item.text)))


def only_one(addresses: Sequence[str]) -> str | None:
    """Return the address if it is the only one."""
    return addresses[0] if len(addresses) == 1 else None


def _shown(decision: Decision, summary: ProtocolSummary, findings: Sequence[Finding]) -> tuple[r.Evidence, ...]:
    """Return the evidence that is shown: never left out is what proves the verdict, and what failed for good."""
    needed = dict.fromkeys((*decision.chosen.evidence, *summary.evidence, *evidence_of(decision.other_blocks)))
    optional = dict.fromkeys(item for item in evidence_of(reversed(findings)) if item not in needed)
    return in_order((*needed, *list(optional)[: max(0, MOST_EVIDENCE - len(needed))]))


def _role_of(address: str, client: str, role_map: RoleMap) -> str:
    if address == client:
        return CLIENT
    roles = (assignment.role for assignment in role_map.of_host(address) if assignment.role != CLIENT)
    return next(roles, r.UNKNOWN)
