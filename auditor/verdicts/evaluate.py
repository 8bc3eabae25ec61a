"""Judge flows against a ruleset: pure, from what the sources hold to the report."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import replace
from functools import lru_cache
from types import MappingProxyType
from typing import NamedTuple

from auditor.report import model as r
from auditor.report.joined_names import join_limited
from auditor.ruleset.lint import CLIENT, SITE_SERVER
from auditor.ruleset.ruleset import Method, Requirement, Ruleset, SiteFacts, SiteRules
from auditor.sources.all_flows import AllFlows
from auditor.sources.dissection.facts import SERVICE_CONTROLLER
from auditor.sources.logs.firewall_rows import LET_THROUGH
from auditor.sources.source import Source
from auditor.sources.summary import SourceSummary
from auditor.verdicts.attempts import Attempt, Traffic
from auditor.verdicts.correlation.capture_points import clock_notes, locate_block
from auditor.verdicts.correlation.clocks import Clocks
from auditor.verdicts.dissect import DissectionResult
from auditor.verdicts.endpoint_mapper import DynamicPorts, on_scan
from auditor.verdicts.findings import Finding, FindingBuilder
from auditor.verdicts.installations.custom_ports import CustomPort, CustomPorts
from auditor.verdicts.installations.roles import RoleMap
from auditor.verdicts.installations.site_mode import ModeEvidence, evidence_of, in_mode, is_set, may_decide, modes_of
from auditor.verdicts.limitations import limitations
from auditor.verdicts.method_result import harmless_requirements, method_result
from auditor.verdicts.newer_ruleset import Results, with_what_went_on
from auditor.verdicts.protocol_findings import EMPTY_SUMMARY, ProtocolSummary, summarize_protocol
from auditor.verdicts.recommend import recommend
from auditor.verdicts.remedies import remedy_of
from auditor.verdicts.select import (
    besides,
    by_port,
    by_service,
    decide_documented,
    decide_dynamic,
    is_proven_block,
    not_reached,
    on_other_services,
)
from auditor.version import Tool

MOST_NAMED = 3  # hosts, in a sentence
MOST_EVIDENCE = 6
MOST_OTHER_PORTS = 3  # in a hint
MOST_OTHERS = 3  # hosts of the same role of which a verdict tells besides its own


def audit(
    sources: Sequence[Source],
    ruleset: Ruleset,
    role_map: RoleMap,
    facts: SiteFacts,
    asked: Sequence[str],
    tool: Tool,
    dissection: DissectionResult | None = None,
    newer: Callable[[], Ruleset] | None = None,
    modes: Sequence[r.SiteMode] = (),
) -> r.Report:
    """Judge every method of the ruleset for every client.

    asked: the methods that decide the exit code. dissection: what the dissectors told, None if they were not asked.
    newer: loads the ruleset of the newer document, None if there is none. modes: those of the sites, as far as other
    sources show them.
    """
    dissected = dissection is not None and not dissection.error
    traffic = Traffic(sources, role_map.hosts, dissection.facts if dissection else (), dissected=dissected)
    rules = rules_for(role_map, ruleset, facts)
    judged = judge(traffic, rules, role_map, modes)

    def judged_by_newer() -> tuple[str, Results]:
        assert newer is not None
        newer_ruleset = newer()
        return newer_ruleset.id, judge(traffic, rules_for(role_map, newer_ruleset, facts), role_map, modes).methods

    results = with_what_went_on(
        judged.methods, role_map.pushes, ruleset, judged_by_newer if newer is not None else None
    )
    clients = tuple(
        r.ClientReport(client, methods, recommend(methods, rules), names=_names(client, role_map))
        for client, methods in results.items()
    )
    return r.Report(
        tool=tool,
        ruleset=r.RulesetReference(ruleset.id, ruleset.title, ruleset.reference),
        sources=tuple(_summary(source) for source in sources),
        roles=role_map.assignments,
        clients=clients,
        limitations=(
            *limitations(sources, role_map, clients, ruleset, dissection),
            *(r.Limitation("clock-offset", text) for text in clock_notes(traffic)),
        ),
        asked=tuple(asked),
        pushes=role_map.pushes,
        all_flows=AllFlows(sources),
        modes=judged.modes,
    )


def rules_for(role_map: RoleMap, ruleset: Ruleset, facts: SiteFacts) -> SiteRules:
    """Return the rules that hold for a role map. facts: without the roles that somebody plays in it."""
    return ruleset.at(replace(facts, roles=facts.roles | role_map.roles))


class Judged(NamedTuple):
    """What every method of the ruleset comes to, by the clients of the role map, and the modes of their sites."""

    methods: dict[str, tuple[r.MethodResult, ...]]
    modes: tuple[r.SiteMode, ...]


def judge(traffic: Traffic, rules: SiteRules, role_map: RoleMap, modes: Sequence[r.SiteMode] = ()) -> Judged:
    """Judge every method of the ruleset for the clients of the role map.

    Args:
        traffic: What was tried.
        rules: The ruleset as it holds at the site.
        role_map: Who plays which role.
        modes: Those of the sites, as far as other sources show them; inferred from this traffic if empty.
    """
    clocks = Clocks(traffic)
    judges = {client: _Judge(client, traffic, clocks, rules, role_map) for client in role_map.clients}
    methods = {client: tuple(judge.methods()) for client, judge in judges.items()}
    if is_set(rules.ruleset, rules.facts):
        mode = rules.facts.mode
        return Judged(methods, (r.SiteMode("", mode, r.GIVEN, "set with --mode or in the site file"),) if mode else ())
    if not modes:
        shown = (mode for client, judge in judges.items() for mode in judge.modes_in_use(methods[client]))
        modes = tuple(modes_of(shown).values())
    by_site = {mode.site_server: mode for mode in modes}
    for client, judge in judges.items():
        if any(may_decide(mode.mode, _rows(methods[client]), rules.ruleset) for mode in modes):
            methods[client] = tuple(judge.methods(by_site))
    return Judged(methods, tuple(modes))


def _names(address: str, role_map: RoleMap) -> tuple[str, ...]:
    return tuple(dict.fromkeys(assignment.name for assignment in role_map.of_host(address) if assignment.name))


def _summary(source: Source) -> SourceSummary:
    return SourceSummary(
        path=source.path,
        kind=source.kind,
        format=source.format,
        bytes=source.bytes,
        records=source.records,
        skipped=source.skipped,
        first_time=r.utc_text(source.first_ns, local=source.clock == "local"),
        last_time=r.utc_text(source.last_ns, local=source.clock == "local"),
        warnings=tuple(sorted(source.warnings)),
    )


class _Tried(NamedTuple):
    """The findings that concern one requirement, and those of a port scan, which do not count."""

    findings: list[Finding]
    scanned: list[Finding]


_NOTHING_TRIED = _Tried([], [])


class _RequirementEvidence(NamedTuple):
    """What the findings about one requirement come to, whichever method asks for it.

    chosen: the finding that decides; summary: what was said on the open port. The rest is as in a verdict.
    """

    chosen: Finding
    summary: ProtocolSummary
    source: r.Endpoint
    destination: r.Endpoint
    ports: tuple[int, ...]
    changed: r.VerdictChange | None
    attempts: int
    first_time: str | None
    last_time: str | None
    explanation: str
    evidence: tuple[r.Evidence, ...]
    also_blocked: tuple[r.Block, ...]


class _Judge:
    """Judges the requirements of one client."""

    def __init__(self, client: str, traffic: Traffic, clocks: Clocks, rules: SiteRules, role_map: RoleMap) -> None:
        self._client = client
        self._traffic = traffic
        self._rules = rules
        self._ruleset = rules.ruleset
        self._role_map = role_map
        self._clocks = clocks
        self._finding_builder = FindingBuilder(traffic, clocks, lambda address: _role_of(address, client, role_map))
        self._hosts: dict[tuple[str, str], list[tuple[str, ...]]] = {}
        self._shown: dict[tuple[object, ...], _RequirementEvidence | str] = {}
        self._dynamic = DynamicPorts(traffic, clocks, rules.ruleset)
        self._custom = CustomPorts(client, traffic, rules, role_map.is_guess)
        self._tried: dict[tuple[object, ...], _Tried] = {}
        self._not_reached: dict[tuple[str, str | None, str | None], frozenset[str]] = {}

    def methods(self, modes: Mapping[str, r.SiteMode] = MappingProxyType({})) -> Iterator[r.MethodResult]:
        """Yield the result of every method, of those that a site server begins one for each that pushed the client.

        modes: by site server, as far as they are known; with an empty name that of every site.
        """
        site = self._sites[0]
        for method in self._ruleset.methods:
            if SITE_SERVER not in method.by_partner:
                yield self._method(method, None, modes.get(site) or modes.get(""))
                continue
            pushes = self._role_map.pushes_to.get(self._client, ())
            for push in pushes:
                server = push.from_address
                result = self._method(method, server, modes.get(server) or modes.get(""))
                yield replace(result, push=push.id, site_server=server)
            if not pushes:
                result = self._method(method, None, modes.get(site) or modes.get(""))
                yield replace(result, site_server=site or None)

    def modes_in_use(self, methods: Sequence[r.MethodResult]) -> Iterator[ModeEvidence]:
        """Yield what the open ports show of the mode of the client's sites, also those that were open only earlier.

        methods: what was judged of the client.
        """
        decided = ((name, verdict) for name, verdict in _rows(methods) if self._ruleset.mode_of(name))
        rows = ((name, _while_open(verdict)) for name, verdict in decided if not self._why_guess(verdict))
        return evidence_of(self._client, self._sites, rows, self._ruleset)

    @property
    def _sites(self) -> Sequence[str]:
        """The site servers of the client, the surest first; an empty one if they are unknown."""
        pushes = self._role_map.pushes_to.get(self._client, ())
        return [push.from_address for push in pushes] or [_one(self._role_map.named_site_servers) or ""]

    def _method(self, method: Method, site_server: str | None, mode: r.SiteMode | None) -> r.MethodResult:
        """Return the result of one method.

        site_server: the one whose push is judged; those named if None. mode: of its site, None if unknown.
        """
        rows: dict[str, r.RequirementVerdict] = {}
        for role in method.by_partner:
            rows |= self._of_role(method, role, site_server)
        verdicts = tuple(rows[requirement.id] for requirement in method.requirements)
        if mode is not None:
            verdicts = tuple(in_mode(verdicts, self._ruleset, mode))
        harmless = harmless_requirements(method, verdicts, self._interfaces)
        result, reasons = method_result(verdicts, self._rules, harmless, self._why_guess)
        marked = [self._mark_svcctl_fallback(verdict) if verdict.id in harmless else verdict for verdict in verdicts]
        final = tuple(_mark_redundant(verdict, marked, self._ruleset) for verdict in marked)
        return r.MethodResult(method.id, method.title, result, reasons, final)

    def _why_guess(self, verdict: r.RequirementVerdict) -> str:
        """Return why a verdict rests on a guess: about the role of an end, or the port of the site. Empty if not."""
        for end in (verdict.source, verdict.destination):
            if self._role_map.is_guess(end.role, end.address):
                assumption = f"{end.address} is assumed to be the {end.role.replace('-', ' ')}, from its port only."
                return f"{assumption} Set it: --role {end.role}={end.address}."
        hosts = () if verdict.destination.address is None else (verdict.destination.address,)
        custom = self._custom_port(self._ruleset.requirement(verdict.id), hosts)
        return custom.text if custom and custom.assumed else ""

    def _custom_port(self, requirement: Requirement, hosts: tuple[str, ...]) -> CustomPort | None:
        """Return where a requirement to a host of another role is evaluated instead of at its documented ports."""
        return self._custom.of(requirement, hosts[0]) if len(hosts) == 1 else None

    def _of_role(self, method: Method, role: str, site_server: str | None) -> dict[str, r.RequirementVerdict]:
        """Judge the requirements between the client and one role, for each host of that role by itself.

        Of the servers that a client turns to, one that works is enough. Of site servers each push is judged by itself.
        """
        requirements = method.by_partner[role]
        hosts = self._hosts_of(role, site_server)
        judged = [
            {requirement.id: self._requirement(requirement, addresses) for requirement in requirements}
            for addresses in hosts
        ]
        if len(judged) == 1:
            return judged[0]
        order = (r.WORKS, r.ALLOWED, r.FAILS, r.UNPROVEN)
        judged.sort(key=lambda rows: (order.index(self._result(method, rows)), -_good(rows)))
        chosen, *alternatives = judged
        return {name: _with_others(verdict, [rows[name] for rows in alternatives]) for name, verdict in chosen.items()}

    def _hosts_of(self, role: str, site_server: str | None) -> list[tuple[str, ...]]:
        """Return the hosts of a role that the client dealt with, each to be judged by itself; all as one if none."""
        if role == SITE_SERVER:
            return [(site_server,) if site_server else self._role_map.named_site_servers]
        pushes = self._role_map.pushes_to.get(self._client, ())
        site = site_server or (pushes[0].from_address if pushes else "")
        if (role, site) not in self._hosts:
            hosts = self._role_map.servers_of(role, site)
            peers = self._traffic.peers(self._client)
            self._hosts[role, site] = [(host,) for host in hosts if host in peers] or [hosts]
        return self._hosts[role, site]

    def _result(self, method: Method, rows: Mapping[str, r.RequirementVerdict]) -> str:
        """Return the result that a method would have if it asked for nothing but these requirements."""
        harmless = harmless_requirements(method, rows.values(), self._interfaces)
        return method_result(rows.values(), self._rules, harmless, self._why_guess)[0]

    def _mark_svcctl_fallback(self, verdict: r.RequirementVerdict) -> r.RequirementVerdict:
        """Add why a stopped requirement does no harm, and whether that was seen."""
        steps = self._traffic.steps_between(verdict.source.address or "", verdict.destination.address or "")
        pipes = [step.frame for step in steps if step.succeeded and step.step == f"open {SERVICE_CONTROLLER}"]
        seen = f", as it did in frame {pipes[-1]}" if pipes else ""
        text = (
            "This does not end the push: only the service controller was to be called there, and Windows calls it "
            f"through the named pipe on SMB instead{seen}, after a time-out of about 21 seconds."
        )
        remedy = (
            "Nothing has to be opened. To save the delay, enable the Windows Firewall group "
            '"Remote Service Management (RPC)" on the client.'
        )
        remedies = _to_do(verdict.destination.role, remedy)
        return replace(verdict, explanation=f"{verdict.explanation} {text}", remedy=remedies)

    # one requirement

    def _requirement(self, requirement: Requirement, hosts: tuple[str, ...]) -> r.RequirementVerdict:
        """Judge one requirement between the client and these hosts of the other role."""
        custom = self._custom_port(requirement, hosts)
        if custom is None or self._rules.applies[requirement.id] is False:
            return self._at_its_ports(requirement, hosts)
        verdict = self._at_its_ports(replace(requirement, ports=custom.ports), hosts)
        explained = replace(verdict, explanation=f"{verdict.explanation} {custom.text}")
        return self._with_documented(explained, requirement, hosts)

    def _with_documented(
        self, verdict: r.RequirementVerdict, requirement: Requirement, hosts: tuple[str, ...]
    ) -> r.RequirementVerdict:
        """Add to a verdict about a custom port what blocks the documented ones: that never disappears."""
        decided = by_port(self._concerning(requirement, *self._ends(requirement, hosts)).findings)
        documented = decide_documented(decided)[0] if decided else None
        if documented is None or documented.verdict not in r.FAILING:
            return verdict
        blocked = [finding for finding, _ in decided if is_proven_block(finding)]
        evidence = dict.fromkeys((*verdict.evidence, *documented.evidence[:1], *_evidence_of(blocked)))
        return replace(
            verdict,
            explanation=f"{verdict.explanation} TCP {documented.port} is {documented.verdict}.",
            evidence=tuple(sorted(evidence, key=_in_order)),
            also_blocked=(*verdict.also_blocked, *map(_block, blocked)),
        )

    def _at_its_ports(self, requirement: Requirement, hosts: tuple[str, ...]) -> r.RequirementVerdict:
        """Judge one requirement at the ports that it has."""
        if self._rules.applies[requirement.id] is False:
            return self._off(requirement, hosts)
        shown = self._shown_of(requirement, hosts)
        if isinstance(shown, str):
            return self._not_observed(requirement, hosts, r.NOT_OBSERVED, shown)
        return self._verdict(requirement, shown)

    def _shown_of(self, requirement: Requirement, hosts: tuple[str, ...]) -> _RequirementEvidence | str:
        """Return what is seen of a requirement, which is the same for all methods that ask for it."""
        key = (requirement.asks, hosts)
        if key not in self._shown:
            self._shown[key] = self._seen(requirement, hosts)
        return self._shown[key]

    def _off(self, requirement: Requirement, hosts: tuple[str, ...]) -> r.RequirementVerdict:
        """Return the verdict on a requirement whose condition is off, with its proven blocks beside it."""
        off = self._not_observed(requirement, hosts, r.NOT_APPLICABLE, self._rules.why_off[requirement.id])
        if not self._concerning(requirement, *self._ends(requirement, hosts)).findings:
            return off
        shown = self._shown_of(requirement, hosts)
        if isinstance(shown, str):
            return off
        verdict = self._verdict(requirement, shown)
        blocks = tuple(_blocks(verdict))
        if not blocks:
            return off
        seen = replace(verdict, verdict=r.NOT_APPLICABLE, confidence=None, blocked_at=None, allowed_at=None)
        seen = replace(seen, changed=None, problems=(), remedy=())
        return replace(seen, explanation=off.explanation, also_blocked=blocks)

    def _ends(self, requirement: Requirement, hosts: tuple[str, ...]) -> tuple[tuple[str, ...], tuple[str, ...]]:
        """Return who reaches whom."""
        client = (self._client,)
        return (hosts, client) if requirement.to_role == CLIENT else (client, hosts)

    def _seen(self, requirement: Requirement, hosts: tuple[str, ...]) -> _RequirementEvidence | str:
        """Return what is seen of a requirement, or in a sentence why nothing is."""
        sources, destinations = self._ends(requirement, hosts)
        tried = self._concerning(requirement, sources, destinations)
        findings = tried.findings
        if not findings and requirement.necessity != "informational":
            findings = self._finding_builder.unanswered_questions(destinations)
        if not findings:
            return self._why_not_seen(requirement, sources, destinations, tried.scanned)
        return self._decided(requirement, tried._replace(findings=findings), sources, destinations)

    def _concerning(self, requirement: Requirement, sources: tuple[str, ...], destinations: tuple[str, ...]) -> _Tried:
        """Return what the attempts show that concern a requirement; other roles may be asked for the same ports."""
        if not (sources and destinations):
            return _NOTHING_TRIED
        selector = (requirement.protocol, requirement.ports, requirement.dynamic and requirement.method)
        key = (*selector, sources, destinations)
        if key not in self._tried:
            attempts = [
                attempt
                for src in sources
                for dst in destinations
                for attempt in self._traffic.between(src, dst)
                if self._concerns(requirement, attempt)
            ]
            findings = self._finding_builder.findings(attempts)
            self._tried[key] = _Tried(*self._dynamic.counted(findings)) if requirement.dynamic else _Tried(findings, [])
        return self._tried[key]

    def _concerns(self, requirement: Requirement, attempt: Attempt) -> bool:
        if attempt.protocol != requirement.protocol:
            return False
        if requirement.icmp_echo:
            return True
        if not requirement.dynamic:
            return attempt.dst_port in requirement.ports
        return not attempt.direction_assumed and self._dynamic.includes(requirement, attempt)

    # deciding

    def _interfaces(self, verdict: r.RequirementVerdict) -> frozenset[str]:
        """Return the interfaces whose dynamic ports are not reached, an empty one for those that are unknown."""
        return self._not_reached.get((verdict.id, verdict.source.address, verdict.destination.address), frozenset())

    def _decided(
        self, requirement: Requirement, tried: _Tried, sources: Sequence[str], destinations: Sequence[str]
    ) -> _RequirementEvidence:
        findings = tried.findings
        services = by_service(findings, self._dynamic.service) if requirement.dynamic else {}
        decided = list(services.values()) or by_port(findings)
        chosen, changed = decide_dynamic(services) if services else decide_documented(decided)
        other_blocks = besides(chosen, decided)
        if services and is_proven_block(chosen):  # a push needs each of them, so the verdict is a block already
            other_blocks = []
        more = on_other_services(chosen, services) + on_scan(tried.scanned) if services else ""
        chosen = self._add_location(requirement, chosen)
        tried_by = chosen.attempts[0] if chosen.attempts else None
        pair = (tried_by.src, tried_by.dst) if tried_by else (_one(sources), _one(destinations))
        self._not_reached[requirement.id, *pair] = not_reached(services)
        attempts = [attempt for finding in findings for attempt in finding.attempts]
        summary = summarize_protocol(attempts, self._traffic) if chosen.verdict in r.PASSING else EMPTY_SUMMARY
        # Never left out: what proves the verdict, what failed for good.
        needed = dict.fromkeys([*chosen.evidence, *summary.evidence, *_evidence_of(other_blocks)])
        optional = dict.fromkeys(
            proof for finding in reversed(findings) for proof in finding.evidence if proof not in needed
        )
        evidence = [*needed, *list(optional)[: max(0, MOST_EVIDENCE - len(needed))]]
        ports = {finding.port for finding in findings if finding.port is not None}
        timed = [finding for finding in findings if finding.clock == chosen.clock]
        local = chosen.clock is not None
        return _RequirementEvidence(
            chosen=chosen,
            summary=summary,
            source=r.Endpoint(requirement.from_role, pair[0]),
            destination=r.Endpoint(requirement.to_role, pair[1]),
            ports=tuple(sorted(ports)) if requirement.dynamic else requirement.ports,
            changed=changed,
            attempts=sum(finding.tries for finding in findings),
            first_time=r.utc_text(min(finding.time_ns for finding in timed), local=local),
            last_time=r.utc_text(max(finding.end_ns for finding in timed), local=local),
            explanation=" ".join(filter(None, (chosen.text + _change_text(changed) + more, summary.text))),
            evidence=tuple(sorted(evidence, key=_in_order)),
            also_blocked=tuple(map(_block, other_blocks)),
        )

    def _verdict(self, requirement: Requirement, shown: _RequirementEvidence) -> r.RequirementVerdict:
        """Return the verdict on a requirement of which something was seen."""
        chosen = shown.chosen
        return r.RequirementVerdict(
            id=requirement.id,
            description=requirement.description,
            necessity=requirement.necessity,
            source=shown.source,
            destination=shown.destination,
            protocol=requirement.protocol,
            ports=shown.ports,
            verdict=chosen.verdict,
            confidence=chosen.confidence,
            blocked_at=chosen.blocked_at,
            changed=shown.changed,
            attempts=shown.attempts,
            first_time=shown.first_time,
            last_time=shown.last_time,
            explanation=shown.explanation,
            evidence=shown.evidence,
            problems=shown.summary.problems,
            remedy=remedy_of(requirement, chosen, self._ruleset) or _to_do(requirement.to_role, shown.summary.remedy),
            allowed_at=self._allowed_at(requirement, chosen),
            also_blocked=shown.also_blocked,
        )

    def _allowed_at(self, requirement: Requirement, finding: Finding) -> str | None:
        """Return whose firewall let an attempt pass: of several the client's, then that of the responder."""
        if finding.verdict != r.ALLOWED:
            return None
        firewalls = {
            attempt.firewall for attempt in finding.attempts if attempt.row and attempt.row.action in LET_THROUGH
        }
        tried = finding.attempts[0]
        roles = {self._client: CLIENT, tried.dst: requirement.to_role, tried.src: requirement.from_role}
        return next((role for address, role in roles.items() if address in firewalls), r.UNKNOWN)

    def _not_observed(
        self, requirement: Requirement, hosts: tuple[str, ...], verdict: str, text: str
    ) -> r.RequirementVerdict:
        """Return the verdict on a requirement of which nothing was seen, or that does not count."""
        sources, destinations = self._ends(requirement, hosts)
        return r.RequirementVerdict(
            id=requirement.id,
            description=requirement.description,
            necessity=requirement.necessity,
            source=_end(requirement.from_role, sources),
            destination=_end(requirement.to_role, destinations),
            protocol=requirement.protocol,
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
            remedy=(),
        )

    def _add_location(self, requirement: Requirement, finding: Finding) -> Finding:
        """Add where it was stopped, if the captures of the attempt show it."""
        unplaced = finding.verdict in (r.BLOCKED, r.NO_RESPONSE, r.REFUSED) and finding.blocked_at == r.UNKNOWN
        location = locate_block(finding.attempts, self._traffic, requirement.to_role) if unplaced else None
        if location is None:
            return finding
        remedy = "" if location[0] == r.BETWEEN else finding.remedy
        return replace(finding, blocked_at=location[0], text=f"{finding.text} {location[1]}", remedy=remedy)

    def _why_not_seen(
        self,
        requirement: Requirement,
        sources: Sequence[str],
        destinations: Sequence[str],
        scanned: Sequence[Finding],
    ) -> str:
        unknown = [
            role
            for role, addresses in ((requirement.from_role, sources), (requirement.to_role, destinations))
            if not addresses
        ]
        if unknown:
            name = unknown[0]
            return f"Nobody is known as {name.replace('-', ' ')}; name it: --role {name}=ADDRESS."
        ports = "" if requirement.icmp_echo else f" at {requirement.protocol.upper()} {requirement.ports_text}"
        ends = f"from {join_limited(sources, MOST_NAMED)} to {join_limited(destinations, MOST_NAMED)}"
        text = f"No attempt {ends}{ports} is in these sources."
        if requirement.dynamic:
            return text + on_scan(scanned) + self._dynamic.not_counted(requirement, sources, destinations, scanned)
        return text + self._other_ports(requirement, destinations)

    def _other_ports(self, requirement: Requirement, destinations: Sequence[str]) -> str:
        """Return a hint when the client connects to the server, but not to the port of any of its requirements."""
        name = requirement.site_port or requirement.alternate_port
        ports = self._custom.candidates(destinations[0]) if name else {}
        rows = [row for row in self._ruleset.requirements if row.to_role == requirement.to_role] if ports else []
        used = {port for row in rows for port in self._ports_of(row, destinations)}
        other_ports = [f"TCP {port}" for port in sorted(ports) if port not in used][:MOST_OTHER_PORTS]
        if not other_ports:
            return ""
        text = f" {self._client} connects to {destinations[0]} on {', '.join(other_ports)}."
        return f"{text} If that is the right port, set --port {name}=PORT."

    def _ports_of(self, requirement: Requirement, hosts: Sequence[str]) -> tuple[int, ...]:
        """Return the ports at which a requirement to a server is evaluated."""
        if requirement.from_role != CLIENT:
            return ()
        custom = self._custom.of(requirement, hosts[0])
        return custom.ports if custom else requirement.ports


def _rows(methods: Iterable[r.MethodResult]) -> Iterator[tuple[str, r.RequirementVerdict]]:
    return ((verdict.id, verdict) for method in methods for verdict in method.requirements)


def _while_open(verdict: r.RequirementVerdict) -> r.RequirementVerdict:
    """Return a verdict as it was before it changed, if the requirement was met then."""
    earlier = verdict.changed.before if verdict.changed else ""
    return replace(verdict, verdict=earlier) if earlier in r.PASSING else verdict


@lru_cache(maxsize=1000)
def _end(role: str, addresses: tuple[str, ...]) -> r.Endpoint:
    """Return an end of a requirement; most rows of a host name the same ones."""
    return r.Endpoint(role, _one(addresses))


def _one(addresses: Sequence[str]) -> str | None:
    return addresses[0] if len(addresses) == 1 else None


def _mark_redundant(
    verdict: r.RequirementVerdict, verdicts: Sequence[r.RequirementVerdict], ruleset: Ruleset
) -> r.RequirementVerdict:
    """Say of what is stopped that it does no harm where another member of its either-or group is open."""
    if verdict.verdict not in r.FAILING:
        return verdict
    group = [member for member in verdicts if ruleset.groups[member.id] == ruleset.groups[verdict.id]]
    good = [
        member
        for member in group
        if member.verdict in r.PASSING and not any(problem.fatal for problem in member.problems)
    ]
    if not good:
        return verdict
    ports = "/".join(map(str, good[0].ports))
    text = f"{verdict.explanation} This does no harm here: TCP {ports} does the same and is {good[0].verdict}."
    remedies = _to_do(verdict.destination.role, "Nothing has to be opened while the other port works.")
    return replace(verdict, explanation=text, remedy=remedies)


def _to_do(place: str, action: str) -> tuple[r.Remedy, ...]:
    return (r.Remedy(place, action),) if action else ()


def _good(rows: Mapping[str, r.RequirementVerdict]) -> int:
    return sum(row.verdict in r.PASSING for row in rows.values())


def _with_others(verdict: r.RequirementVerdict, alternatives: Iterable[r.RequirementVerdict]) -> r.RequirementVerdict:
    """Add what the same requirement came to with other hosts of the role, where that differs or is a proven block."""
    alternatives = list(alternatives)
    differing = [
        alternative
        for alternative in alternatives
        if alternative.verdict in r.PASSING | r.FAILING and alternative.verdict != verdict.verdict
    ]
    sentences = [f"To {alternative.destination.address} it is {alternative.verdict}." for alternative in differing]
    proof = [alternative.evidence[0] for alternative in differing[:MOST_OTHERS]]
    proof += [evidence for alternative in alternatives if _blocks(alternative) for evidence in alternative.evidence]
    return replace(
        verdict,
        explanation=" ".join((verdict.explanation, *sentences[:MOST_OTHERS])),
        evidence=tuple(sorted(dict.fromkeys((*verdict.evidence, *proof)), key=_in_order)),
        also_blocked=(
            *verdict.also_blocked,
            *(block for alternative in alternatives for block in _blocks(alternative)),
        ),
    )


def _evidence_of(findings: Iterable[Finding]) -> Iterator[r.Evidence]:
    return (evidence for finding in findings for evidence in finding.evidence)


def _block(finding: Finding) -> r.Block:
    """Return a finding that is a proven block."""
    tried = finding.attempts[0]
    return r.Block(
        tried.src, tried.dst, (finding.port,) if finding.port else (), finding.blocked_at or r.UNKNOWN, finding.text
    )


def _blocks(verdict: r.RequirementVerdict) -> list[r.Block]:
    """Return all proven blocks of a requirement, that of its verdict first."""
    if not verdict.is_proven_block:
        return list(verdict.also_blocked)
    ends = (verdict.source.address or "", verdict.destination.address or "")
    block = r.Block(*ends, verdict.ports, verdict.blocked_at or r.UNKNOWN, verdict.explanation)
    return [block, *verdict.also_blocked]


def _in_order(evidence: r.Evidence) -> tuple[int, tuple[int, ...], tuple[int, ...], str]:
    return evidence.source, evidence.frames, evidence.lines, evidence.text


def _role_of(address: str, client: str, role_map: RoleMap) -> str:
    if address == client:
        return CLIENT
    roles = (assignment.role for assignment in role_map.of_host(address) if assignment.role != CLIENT)
    return next(roles, r.UNKNOWN)


def _change_text(change: r.VerdictChange | None) -> str:
    if change is None:
        return ""
    return f" Earlier, at {change.before_time}, it was {change.before}."
