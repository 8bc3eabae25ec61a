"""Judge flows against a ruleset: pure, from what the sources hold to the report."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import replace
from functools import cached_property
from typing import NamedTuple

from auditor.report import model as r
from auditor.ruleset.lint import SITE_SERVER
from auditor.ruleset.ruleset import Method, Requirement, Ruleset, SiteFacts, SiteRules
from auditor.ruleset.statements import say
from auditor.sources.all_flows import AllFlows
from auditor.sources.source import CAPTURE, Source
from auditor.sources.summary import SourceSummary
from auditor.verdicts.attempts import Traffic
from auditor.verdicts.correlation.capture_points import capture_point
from auditor.verdicts.correlation.clock_offsets import clock_notes
from auditor.verdicts.correlation.clocks import Clocks
from auditor.verdicts.correlation.log_clocks import log_clock_notes
from auditor.verdicts.dissect import DissectionResult
from auditor.verdicts.installations.reported_site import modes_read
from auditor.verdicts.installations.roles import RoleMap
from auditor.verdicts.installations.site_mode import ModeEvidence, in_mode, is_set, may_decide, modes_of
from auditor.verdicts.installations.site_mode import evidence_of as mode_evidence_of
from auditor.verdicts.limitations import limitations
from auditor.verdicts.method_result import harmless_requirements, method_result
from auditor.verdicts.newer_ruleset import Results, with_what_went_on
from auditor.verdicts.recommend import recommend
from auditor.verdicts.requirements.evidence import ClientEvidence, only_one
from auditor.verdicts.requirements.reported_steps import ClientSteps
from auditor.verdicts.requirements.verdict import (
    as_not_applicable,
    mark_redundant,
    mark_svcctl_fallback,
    not_observed,
    observed,
    proven_blocks,
    with_alternatives,
    with_documented,
)
from auditor.version import Tool

ModeOf = Callable[[str], r.SiteMode | None]  # by site server
MOST_PAIRS = 20  # of which it is checked whether their packets crossed a capture
BEST_HOST_FIRST = (r.WORKS, r.ALLOWED, r.FAILS, r.UNPROVEN)  # results; of servers, one that works is enough


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
        sources=tuple(_summary(number, traffic, role_map) for number in range(len(sources))),
        roles=role_map.assignments,
        clients=clients,
        limitations=(
            *limitations(sources, role_map, clients, ruleset, dissection),
            *(r.Limitation("clock-offset", text) for text in clock_notes(traffic)),
            *(r.Limitation("log-clock-offset", text) for text in log_clock_notes(traffic, role_map)),
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
    clients = {client: ClientEvaluation(client, traffic, clocks, rules, role_map) for client in role_map.clients}
    if is_set(rules.ruleset, rules.facts):
        mode = rules.facts.mode
        given = (r.SiteMode("", mode, r.GIVEN, say("mode.given")),) if mode else ()
        return Judged({client: evaluation.results() for client, evaluation in clients.items()}, given)
    if not modes:
        modes = tuple(modes_of(mode for evaluation in clients.values() for mode in evaluation.modes_in_use()).values())
    by_site = {mode.site_server: mode for mode in modes}

    def mode_of(site: str) -> r.SiteMode | None:
        return by_site.get(site) or by_site.get("")

    return Judged(
        {
            client: evaluation.results(mode_of) if any(map(evaluation.may_depend_on, modes)) else evaluation.results()
            for client, evaluation in clients.items()
        },
        tuple(modes),
    )


def _names(address: str, role_map: RoleMap) -> tuple[str, ...]:
    return tuple(dict.fromkeys(assignment.name for assignment in role_map.of_host(address) if assignment.name))


def _summary(number: int, traffic: Traffic, role_map: RoleMap) -> SourceSummary:
    source = traffic.sources[number]
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
        quoted=tuple(warning.quoted for warning in source.warnings if warning.quoted),
        capture_point=_capture_point(number, traffic, role_map) if source.kind == CAPTURE else "",
    )


def _capture_point(number: int, traffic: Traffic, role_map: RoleMap) -> str:
    pairs = ((push.from_address, push.to_address) for push in role_map.judged[:MOST_PAIRS])
    return capture_point(
        number, traffic, lambda host: (assignment.role for assignment in role_map.of_host(host)), pairs
    )


class _Evaluated(NamedTuple):
    """The verdict on a requirement, with the RPC interfaces whose dynamic ports are not reached."""

    verdict: r.RequirementVerdict
    unreached: frozenset[str] = frozenset()


class MethodRows(NamedTuple):
    """What is seen of the requirements of a method, before the mode of the site is known.

    Attributes:
        method: The method.
        push: The push that it is about, None if there is none.
        site_server: Whose push it is or would be; None for a method that no site server begins.
        site: The site server whose mode decides, empty if it is unknown.
        verdicts: In the order of the requirements.
        unreached: By id of a requirement, the RPC interfaces whose dynamic ports are not reached.
    """

    method: Method
    push: r.Push | None
    site_server: str | None
    site: str
    verdicts: tuple[r.RequirementVerdict, ...]
    unreached: Mapping[str, frozenset[str]]


class ClientEvaluation:
    """Evaluates the methods of a ruleset for one client."""

    def __init__(self, client: str, traffic: Traffic, clocks: Clocks, rules: SiteRules, role_map: RoleMap) -> None:
        self._client = client
        self._traffic = traffic
        self._rules = rules
        self._ruleset = rules.ruleset
        self._role_map = role_map
        self._evidence = ClientEvidence(client, traffic, clocks, rules, role_map)
        self._reported = ClientSteps(client, role_map.logs, traffic.sources, rules)
        self._pushes = role_map.pushes_to.get(client, ())
        # The site servers of the client, the surest first; an empty one if they are unknown.
        self._sites = [push.from_address for push in self._pushes] or [only_one(role_map.named_site_servers) or ""]
        self._servers: dict[tuple[str, str], list[tuple[str, ...]]] = {}

    @cached_property
    def rows(self) -> Sequence[MethodRows]:
        """What is seen of every method, of those that a site server begins once for each that pushed the client."""
        return [self._method_rows(method, push) for method in self._ruleset.methods for push in self._pushes_of(method)]

    def results(self, mode_of: ModeOf | None = None) -> tuple[r.MethodResult, ...]:
        """Return the result of every method.

        Args:
            mode_of: Returns the mode of a site by its site server, None if it is unknown. Without it no mode counts.
        """
        return tuple(self._result(rows, mode_of(rows.site) if mode_of else None) for rows in self.rows)

    def may_depend_on(self, mode: r.SiteMode) -> bool:
        """Tell whether the mode of a site may decide a result."""
        return may_decide(mode.mode, self._named_verdicts(), self._ruleset)

    def modes_in_use(self) -> Iterator[ModeEvidence]:
        """Yield what the open ports show of the mode of the client's sites, also those that were open only earlier."""
        if computer := self._role_map.logs.computers.get(self._client):
            yield from modes_read(self._client, self._sites, computer.facts, self._traffic.sources)
        decided = ((name, verdict) for name, verdict in self._named_verdicts() if self._ruleset.mode_of(name))
        rows = ((name, _while_open(verdict)) for name, verdict in decided if not self._why_guess(verdict))
        yield from mode_evidence_of(self._client, self._sites, rows, self._ruleset)

    def _named_verdicts(self) -> Iterator[tuple[str, r.RequirementVerdict]]:
        return ((verdict.id, verdict) for rows in self.rows for verdict in rows.verdicts)

    def _pushes_of(self, method: Method) -> Sequence[r.Push | None]:
        return (self._pushes or (None,)) if SITE_SERVER in method.by_partner else (None,)

    def _method_rows(self, method: Method, push: r.Push | None) -> MethodRows:
        rows: dict[str, _Evaluated] = {}
        for role in method.by_partner:
            rows |= self._rows_of_role(method, role, push)
        verdicts = tuple(rows[requirement.id].verdict for requirement in method.requirements)
        unreached = {name: row.unreached for name, row in rows.items()}
        site = push.from_address if push else self._sites[0]
        site_server = site or None if SITE_SERVER in method.by_partner else None
        return MethodRows(method, push, site_server, site, verdicts, unreached)

    def _result(self, rows: MethodRows, mode: r.SiteMode | None) -> r.MethodResult:
        method = rows.method
        verdicts = in_mode(rows.verdicts, self._ruleset, mode) if mode else rows.verdicts
        harmless = harmless_requirements(method, verdicts, rows.unreached)
        result, reasons = method_result(verdicts, self._rules, harmless, self._why_guess)
        if stopping := self._reported.reasons(method, rows.site_server, verdicts):
            result, reasons = r.FAILS, (*stopping, *reasons)
        elif result != r.WORKS:
            reasons = (*self._reported.skips(method, rows.site_server), *reasons)
        marked = [
            mark_svcctl_fallback(verdict, self._traffic.steps_between) if verdict.id in harmless else verdict
            for verdict in verdicts
        ]
        final = tuple(mark_redundant(verdict, marked, self._ruleset) for verdict in marked)
        push = rows.push.id if rows.push else None
        return r.MethodResult(method.id, method.title, result, reasons, final, push=push, site_server=rows.site_server)

    def _why_guess(self, verdict: r.RequirementVerdict) -> str:
        """Return why a verdict rests on a guess: about the role of an end, or the port of the site. Empty if not."""
        for end in (verdict.source, verdict.destination):
            if self._role_map.is_guess(end.role, end.address):
                return say("reason.guess", address=end.address, name=end.role.replace("-", " "), role=end.role)
        custom = self._evidence.custom_port(self._ruleset.requirement(verdict.id), verdict.destination.address)
        return custom.text if custom and custom.assumed else ""

    # the hosts of a role

    def _rows_of_role(self, method: Method, role: str, push: r.Push | None) -> Mapping[str, _Evaluated]:
        """Evaluate the requirements between the client and one role, for each host of that role by itself.

        Of the servers that a client turns to, one that works is enough. Each push of a site server counts by itself.
        """
        requirements = method.by_partner[role]
        by_host = [
            {requirement.id: self._row(requirement, addresses) for requirement in requirements}
            for addresses in self._hosts_of(role, push)
        ]
        if len(by_host) > 1:
            by_host.sort(key=lambda rows: self._preference(method, rows))
        chosen, *alternatives = by_host
        site_server = push.from_address if push else ""
        rows: dict[str, _Evaluated] = {}
        for requirement in requirements:
            row = chosen[requirement.id]
            others = [of_host[requirement.id].verdict for of_host in alternatives]
            verdict = with_alternatives(row.verdict, others) if others else row.verdict
            rows[requirement.id] = row._replace(verdict=self._reported.beside(verdict, requirement, site_server))
        return rows

    def _hosts_of(self, role: str, push: r.Push | None) -> Sequence[tuple[str, ...]]:
        """Return the hosts of a role that the client dealt with, each to be judged by itself; all as one if none."""
        if role == SITE_SERVER:
            return [_known(push.from_address) if push else self._role_map.named_site_servers]
        site = push.from_address if push else self._pushes[0].from_address if self._pushes else ""
        if (role, site) not in self._servers:
            hosts = self._role_map.servers_of(role, site)
            peers = self._traffic.peers(self._client)
            self._servers[role, site] = [(host,) for host in hosts if host in peers] or [hosts]
        return self._servers[role, site]

    def _preference(self, method: Method, rows: Mapping[str, _Evaluated]) -> tuple[int, int]:
        """Return how good the rows of a host are: by the result of a method that asks for nothing else. Best first."""
        verdicts = [row.verdict for row in rows.values()]
        harmless = harmless_requirements(method, verdicts, {name: row.unreached for name, row in rows.items()})
        result, _ = method_result(verdicts, self._rules, harmless, self._why_guess)
        return BEST_HOST_FIRST.index(result), -sum(verdict.verdict in r.PASSING for verdict in verdicts)

    # one requirement

    def _row(self, requirement: Requirement, hosts: tuple[str, ...]) -> _Evaluated:
        """Evaluate one requirement between the client and these hosts of the other role."""
        if self._rules.applies[requirement.id] is False:
            return self._row_of_off(requirement, hosts)
        custom = self._evidence.custom_port(requirement, only_one(hosts))
        if custom is None:
            return self._row_at_its_ports(requirement, hosts)
        row = self._row_at_its_ports(replace(requirement, ports=custom.ports), hosts)
        explained = replace(row.verdict, explanation=f"{row.verdict.explanation} {custom.text}")
        documented = self._evidence.selected(requirement, self._evidence.ends(requirement, hosts))
        return row._replace(verdict=with_documented(explained, documented))

    def _row_at_its_ports(self, requirement: Requirement, hosts: tuple[str, ...]) -> _Evaluated:
        evidence = self._evidence.of(requirement, hosts)
        if isinstance(evidence, str):
            ends = self._evidence.ends(requirement, hosts)
            return _Evaluated(not_observed(requirement, ends, r.NOT_OBSERVED, evidence))
        return _Evaluated(observed(requirement, evidence, self._ruleset, self._client), evidence.decision.unreached)

    def _row_of_off(self, requirement: Requirement, hosts: tuple[str, ...]) -> _Evaluated:
        """Return the row of a requirement whose condition is off; its proven blocks never disappear."""
        ends = self._evidence.ends(requirement, hosts)
        why_off = self._rules.why_off[requirement.id]
        if self._evidence.selected(requirement, ends).findings:
            verdict = self._row_at_its_ports(requirement, hosts).verdict
            if proven_blocks(verdict):
                return _Evaluated(as_not_applicable(verdict, why_off))
        return _Evaluated(not_observed(requirement, ends, r.NOT_APPLICABLE, why_off))


def _known(address: str) -> tuple[str, ...]:
    return (address,) if address else ()


def _while_open(verdict: r.RequirementVerdict) -> r.RequirementVerdict:
    """Return a verdict as it was before it changed, if the requirement was met then."""
    earlier = verdict.changed.before if verdict.changed else ""
    return replace(verdict, verdict=earlier) if earlier in r.PASSING else verdict
