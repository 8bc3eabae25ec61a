"""Judge every host of a fleet by what all of its sources say, just as one installation is judged."""

from __future__ import annotations

import ipaddress
from collections import Counter, defaultdict
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import lru_cache
from types import MappingProxyType
from typing import NamedTuple

from auditor.fleet.stated import mode_of, statements_of
from auditor.fleet.summaries.reduction import SummaryFlows
from auditor.fleet.summaries.reported_parts import joined
from auditor.fleet.summaries.summary import Entry, SelectionSettings
from auditor.report import model as r
from auditor.report.fleet_model import (
    NO_EVIDENCE,
    FailedStep,
    HostResult,
    LoggedStep,
    MethodOutcome,
    Proof,
    RequirementResult,
)
from auditor.report.joined_names import join_limited
from auditor.report.model import FILE_SHARING, GIVEN, INFERRED, LIKELY, LOGON, PUSH, SCAN, Push, RoleAssignment
from auditor.ruleset.addresses import canonical
from auditor.ruleset.given_roles import ConfiguredRoles
from auditor.ruleset.lint import CLIENT, MANAGEMENT_POINT, ROLES, SITE_SERVER
from auditor.ruleset.ruleset import Ruleset, SiteFacts, SiteRules, with_ports
from auditor.ruleset.site import Site
from auditor.ruleset.statements import say, say_count
from auditor.sources.flows.neighbors import NeighborRequests
from auditor.sources.source import Source
from auditor.verdicts import evaluate as verdicts
from auditor.verdicts.attempts import Traffic
from auditor.verdicts.installations import site_mode
from auditor.verdicts.installations.contacts import Contact, Pair, merge
from auditor.verdicts.installations.pushes import find_pushes, judged_pushes
from auditor.verdicts.installations.reported import reported_computers
from auditor.verdicts.installations.reported_pushes import installation_logs
from auditor.verdicts.installations.reported_site import custom_ports, stated_ports, with_reported
from auditor.verdicts.installations.roles import RoleMap
from auditor.verdicts.recommend import rank
from auditor.verdicts.requirements.reported_steps import ClientSteps
from auditor.version import Tool

MOST_PROOF = 3  # of each requirement
MOST_NAMED = 5  # site servers, in a sentence
MOST_WARNINGS = 5
SUBNET_BITS = {4: 24, 6: 64}
ITS_LOG = "its own log or capture is among the sources"


@dataclass(frozen=True)
class EvaluationContext:
    """All that judging one host needs beside its own sources.

    Attributes:
        site: What the user set of the site.
        documented: The ruleset without the ports of the site.
        asked: Ids of the methods that were asked for, the main one first (the others are judged too).
        casts: Who plays which role, by site.
        modes: Those that other hosts show, by site.
        heard: The servers that sent anything in any source, by site.
        ports: Those on which the logs of all hosts agree, by site.
    """

    question: SelectionSettings
    site: Site
    documented: Ruleset
    asked: tuple[str, ...]
    casts: Mapping[str, RoleMap]
    modes: Mapping[str, r.SiteMode] = field(default_factory=dict)
    heard: Mapping[str, frozenset[str]] = field(default_factory=dict)
    ports: Mapping[str, Mapping[str, int]] = field(default_factory=dict)

    @property
    def ruleset(self) -> Ruleset:
        """The ruleset with the ports of the site."""
        return self.question.ruleset

    def modes_at(self, site: str) -> list[r.SiteMode]:
        """Return the mode of a site, if it is known: that of all of its site servers."""
        return [replace(self.modes[site], site_server="")] if site in self.modes else []

    def rules_of(self, site: str, sources: Sequence[Source]) -> tuple[Ruleset, SiteFacts]:
        """Return the ruleset with the ports of a host's site, and what is known of the site.

        What the user set has priority, then what the logs of the host state, then those of other hosts of its site.

        Args:
            site: The site of the host.
            sources: What its sources say.
        """
        known = with_reported(self.site, sources, self.documented)
        own = stated_ports(fact for source in sources if source.reported for fact in source.reported.all_facts)
        if not self.site.ports and not own:
            known = replace(known, ports=custom_ports(self.ports.get(site, {}), self.documented))
        if known.ports == self.site.ports:
            return self.ruleset, known.facts()
        return _with_ports(self.documented, tuple(sorted(known.ports.items()))), known.facts()


@lru_cache(maxsize=64)
def _with_ports(ruleset: Ruleset, ports: tuple[tuple[str, int], ...]) -> Ruleset:
    return with_ports(ruleset, dict(ports))


def casts(
    contacts: Mapping[str, Iterable[Contact]],
    question: SelectionSettings,
    asked: Mapping[str, Sequence[Sequence[NeighborRequests]]] = MappingProxyType({}),
) -> dict[str, RoleMap]:
    """Return who plays which role at each site: as named, else inferred from all of its hosts together.

    A management point is not inferred: that many connect to it at a web port is as true of a proxy.

    Args:
        contacts: By site, who contacted its hosts at the ports of a push. What clients sent themselves is left out:
            each of them reads from servers.
        question: What is asked of the fleet.
        asked: By site, for each source the requests for a hardware address that had no response.
    """
    merged = {site: merge(of_site) for site, of_site in contacts.items()}
    present = {host for of_site in merged.values() for pair in of_site for host in pair}
    return {site: _cast_of(of_site, asked.get(site, ()), question, present) for site, of_site in merged.items()}


def _cast_of(
    contacts: Mapping[Pair, Contact],
    asked: Sequence[Sequence[NeighborRequests]],
    question: SelectionSettings,
    present: Collection[str],
) -> RoleMap:
    """Return who plays which role at one site. present: who contacts a host of any site, or is contacted."""
    configured = question.configured
    pushes = find_pushes(contacts, question.ruleset, asked, configured=configured)
    judged = judged_pushes(pushes, configured)
    roles = [role for role in ROLES if role != CLIENT]
    why = say("role.given")
    named = [RoleAssignment(role, host, GIVEN, why) for role in roles for host in configured.hosts(role)]
    servers = _site_servers(judged, configured)
    notes = list(absent([assignment for assignment in named if assignment.role == SITE_SERVER], present))
    if not configured.names(MANAGEMENT_POINT):
        notes.append(say("fleet.no-management-point"))
    listed = {assignment.address for assignment in named if assignment.role == SITE_SERVER}
    assignments = (*named, *(server for server in servers if server.address not in listed))
    return RoleMap(assignments, (), (*notes, *_other_traffic(pushes)), pushes, judged)


def _site_servers(judged: Sequence[Push], configured: ConfiguredRoles) -> list[RoleAssignment]:
    """Return the site servers of the pushes that are likely ones, of all pushes if none is.

    A push that is none of these is evaluated all the same, at the host that it goes to (`_pushing`). A network that was
    set as that of site servers may hold clients too, so a host in it that is pushed itself is only inferred.
    """
    likely = [push for push in judged if push.kind == PUSH] or judged
    computers = Counter(push.from_address for push in likely)
    pushed = {push.to_address for push in judged} - set(configured.hosts(SITE_SERVER))
    return [
        RoleAssignment(SITE_SERVER, host, GIVEN, say("role.given"), how_sure=LIKELY)
        if configured.names(SITE_SERVER) and host not in pushed
        else RoleAssignment(SITE_SERVER, host, INFERRED, say("role.connects", whom=_computers(count)), how_sure=LIKELY)
        for host, count in sorted(computers.items())
    ]


def _pushing(pushes: Iterable[Push], configured: ConfiguredRoles) -> list[RoleAssignment]:
    """Return the site servers of the judged pushes to one host, also of those that may be something else."""
    how, why = (GIVEN, "role.given") if configured.names(SITE_SERVER) else (INFERRED, "role.connects")
    return [
        RoleAssignment(SITE_SERVER, push.from_address, how, say(why, whom=push.to_address), how_sure=LIKELY)
        for push in pushes
    ]


def _other_traffic(pushes: Sequence[Push]) -> Iterator[str]:
    """Yield a sentence on each kind of traffic at the ports of a push that is none."""
    for kind in (SCAN, LOGON, FILE_SHARING):
        hosts = Counter(push.from_address for push in pushes if push.kind == kind)
        if hosts:
            ranked = [say("fleet.originator", host=host, whom=_computers(count)) for host, count in hosts.most_common()]
            yield say(f"fleet.other-{kind}", hosts=join_limited(ranked, MOST_NAMED))


def absent(named: Iterable[RoleAssignment], present: Collection[str]) -> Iterator[str]:
    """Yield a sentence on each host that was named for a role and is nowhere.

    Args:
        named: The roles. Of site servers they are those of one site; each site may have servers of its own.
        present: The hosts that are in any source.
    """
    for assignment in named:
        if assignment.address not in present:
            role = assignment.role.replace("-", " ")
            yield say("limitation.role-not-in-sources", address=assignment.address, role=role)


def _computers(count: int) -> str:
    return say_count("role.computers", count)


class _HostInput(NamedTuple):
    """What one host is judged by.

    Attributes:
        entries: What its sources say, one of each content, in the order of their times.
        addresses: The host's own.
        cast: The roles as it meets them.
    """

    entries: list[Entry]
    addresses: tuple[str, ...]
    cast: RoleMap

    @property
    def sources(self) -> list[Source]:
        """What was kept of its sources."""
        return [entry.source for entry in self.entries]


def _case(site: str, entries: Sequence[Entry], context: EvaluationContext) -> _HostInput:
    once = _hearing(_once(entries), context.heard.get(site, frozenset()))
    addresses = tuple(dict.fromkeys(address for entry in once for address in entry.addresses))
    cast = context.casts[site]
    reached = _within_networks(addresses, once, context.question.configured)
    listed = {assignment.address for assignment in cast.assignments if assignment.role == SITE_SERVER}
    pushing = _pushing(filter(cast.is_judged, cast.pushes_at(addresses)), context.question.configured)
    unlisted = [assignment for assignment in pushing if assignment.address not in listed]
    servers = [end for end in dict.fromkeys((*cast.assignments, *unlisted, *reached)) if end.role != CLIENT]
    met = _with_logs(_cast(addresses, once, servers, cast), once, addresses, context.question.configured)
    return _HostInput(once, addresses, met)


def _with_logs(
    cast: RoleMap, entries: Sequence[Entry], addresses: Sequence[str], configured: ConfiguredRoles
) -> RoleMap:
    """Return the roles with what logs of ConfigMgr report of the host, as `infer_roles` does.

    All entries are of one computer, so its name in a log is that of its address.
    """
    sources = [entry.source for entry in entries]
    names = [computer.name for computer in reported_computers(sources)]
    served = any(source.reported.served for source in sources if source.reported)
    if not names and not served:
        return cast
    own = cast.clients or tuple(addresses[:1])
    pushed = [push.to_address for push in cast.judged]
    at = next((address for address in own if address in pushed), next(iter(own), ""))
    contacts = merge(contact for entry in entries for contact in _kept(entry).contacts)
    logs = installation_logs(
        sources, {at: names} if at else {}, replace(configured, host_names={}), cast.pushes, contacts
    )
    pushes = logs.joined(cast.pushes)
    pairs = {(push.from_address, push.to_address) for push in cast.judged} | set(logs.pushes)
    known = {(assignment.role, assignment.address) for assignment in cast.assignments}
    return replace(
        cast,
        assignments=(
            *cast.assignments,
            *(of_log for of_log in logs.assignments if (of_log.role, of_log.address) not in known),
        ),
        clients=tuple(dict.fromkeys((*own, *logs.computers))),
        pushes=pushes,
        judged=tuple(push for push in pushes if (push.from_address, push.to_address) in pairs),
        logs=logs,
    )


def _within_networks(
    addresses: Sequence[str], entries: Sequence[Entry], configured: ConfiguredRoles
) -> list[RoleAssignment]:
    """Return the servers that a host connects to and that lie in a network named for their role."""
    flows = (flow for entry in entries for flow in _kept(entry).flows)
    reached = sorted({flow.dst_ip for flow in flows if flow.src_ip in addresses})
    return [
        RoleAssignment(role, host, GIVEN, say("role.given"))
        for role in configured.networks
        if role not in (SITE_SERVER, CLIENT)
        for host in reached
        if configured.covers(role, host) and host not in configured.hosts(role)
    ]


def judge(host: str, site: str, entries: Sequence[Entry], context: EvaluationContext) -> HostResult:
    """Return what every method comes to for one host.

    Args:
        host: Its name.
        site: Its site.
        entries: What all of its sources say, at least one.
        context: What the evaluation needs beside.
    """
    case = _case(site, entries, context)
    sources, stated = case.sources, tuple(statements_of(case.cast.logs, case.sources))
    modes = mode_of(stated) or context.modes_at(site)
    ruleset, facts = context.rules_of(site, sources)
    rules = verdicts.rules_for(case.cast, ruleset, facts)
    traffic = Traffic(sources, case.cast.hosts)
    results = verdicts.judge(traffic, rules, case.cast, modes).methods
    own, decisive = _decisive(results, {push.id: push.kind for push in case.cast.judged}, context.asked[0])
    own = canonical(own) or next(iter(case.addresses), "")  # a computer of which only the name is known stands for it
    dated = [source for source in sources if source.first_ns is not None]
    times = [(source.first_ns, source.last_ns, source.clock == "local") for source in dated]
    earliest = min(times, key=lambda time: time[0] or 0, default=(None, None, False))
    last = max(times, key=lambda time: time[1] or 0, default=(None, None, False))
    return HostResult(
        host=host,
        site=site,
        addresses=tuple(dict.fromkeys((own, *case.addresses))) if own else (),
        subnet=subnet_of(own),
        files=tuple(sorted({entry.source.path for entry in entries})),
        records=sum(source.records for source in sources),
        first_time=r.utc_text(earliest[0], local=earliest[2]),
        last_time=r.utc_text(last[1], local=last[2]),
        outcomes=tuple(map(_outcome, decisive))
        or tuple(MethodOutcome(method.id, NO_EVIDENCE, (), ()) for method in ruleset.methods),
        seen=tuple(_seen(decisive, sources_of=[source.path for source in sources])),
        recommended=tuple(method.id for method, _ in rank([entry.method for entry in decisive], rules)),
        warnings=tuple(_warnings(case.entries))[:MOST_WARNINGS],
        failed_steps=tuple(_failed_steps(decisive, case, rules)),
        stated=stated,
    )


class _Decisive(NamedTuple):
    """The entry of a method that decides its result for a host, and those of other pushes to it."""

    method: r.MethodResult
    further: tuple[r.MethodResult, ...] = ()

    @property
    def failing(self) -> Iterator[r.MethodResult]:
        """The entries that fail."""
        return (method for method in (self.method, *self.further) if method.result == r.FAILS)

    def rows(self) -> Iterator[r.RequirementVerdict]:
        """Yield every requirement of the entry, then what fails or is a proven block of it in the other entries."""
        further: dict[str, list[r.RequirementVerdict]] = defaultdict(list)
        for method in self.further:
            blamed = _blamed(method) if method.result == r.FAILS else ()
            for row in method.requirements:
                if row.id in blamed or row.is_proven_block or row.also_blocked:
                    further[row.id].append(row)
        for row in self.method.requirements:
            yield row
            yield from further[row.id]


Entries = Mapping[str, Sequence[r.MethodResult]]  # by address of the host


def _decisive(entries: Entries, kinds: Mapping[str, str], main: str) -> tuple[str, list[_Decisive]]:
    """Return the address of a host that counts, empty if it has none, and what decides each method.

    Args:
        entries: What every method comes to, by address of the host.
        kinds: What each push may be, by its id.
        main: The method that decides which address counts.
    """
    if not entries:
        return "", []
    pushes = _pushes(entries)
    chosen = {method: _first_of_pushes(of_method, kinds) for method, of_method in pushes.items()}
    last = max(entries, key=lambda address: _rank(address, _entry(entries[address], main)))
    own = chosen[main][0][0] if main in chosen else last
    decisive = []
    for name in dict.fromkeys(method.id for method in entries[own]):
        if name in chosen:
            (_, decides), *further = chosen[name]
            decisive.append(_Decisive(decides, tuple(method for _, method in further)))
        else:
            decisive.append(_Decisive(_entry(entries[own], name)))
    return own, decisive


def _entry(methods: Iterable[r.MethodResult], name: str) -> r.MethodResult:
    return next(method for method in methods if method.id == name)


def _pushes(entries: Entries) -> dict[str, list[tuple[str, r.MethodResult]]]:
    """Return the pushes by method, each with the address of the host: the latest of each site server.

    A host may have had another address before, so an earlier push of the same site server does not count. What fails
    at a later address without a push counts beside them.
    """
    latest: dict[tuple[str, str | None], tuple[str, r.MethodResult]] = {}
    for address, methods in entries.items():
        for method in methods:
            key = method.id, method.site_server
            if method.push and (key not in latest or _rank(address, method) > _rank(*latest[key])):
                latest[key] = address, method
    by_method: dict[str, list[tuple[str, r.MethodResult]]] = defaultdict(list)
    for (name, _), push in latest.items():
        by_method[name].append(push)
    for address, methods in entries.items():
        for method in methods:
            pushes = by_method.get(method.id, [])
            if pushes and not method.push and method.result == r.FAILS and _is_later((address, method), pushes):
                pushes.append((address, method))
    return by_method


def _is_later(entry: tuple[str, r.MethodResult], pushes: Iterable[tuple[str, r.MethodResult]]) -> bool:
    return all(_rank(*entry) > _rank(*push) for push in pushes)


def _first_of_pushes(
    pushes: Sequence[tuple[str, r.MethodResult]], kinds: Mapping[str, str]
) -> list[tuple[str, r.MethodResult]]:
    """Return pushes in the order in which they count: those that fail, then those that are most likely pushes.

    A push that works proves nothing about another site server, so it hides none that fails.
    """
    order = (r.FAILS, r.UNPROVEN, r.ALLOWED, r.WORKS)

    def rank(push: tuple[str, r.MethodResult]) -> tuple[bool, bool, int]:
        _, method = push
        return method.result != r.FAILS, kinds.get(method.push or "") != PUSH, order.index(method.result)

    return sorted(pushes, key=rank)


def modes_of_sites(hosts: Iterable[HostResult], context: EvaluationContext) -> dict[str, r.SiteMode]:
    """Return the modes that the hosts show, by site; none if the mode is set.

    A port that is not the documented one is left out: that of a fleet is assumed.
    """
    ruleset = context.question.ruleset
    if site_mode.is_set(ruleset, context.site.facts()):
        return {}
    of_hosts = list(hosts)
    stated = (
        site_mode.ModeEvidence(host.site, next(iter(host.addresses), host.host), mode.mode, mode.why, mode.how)
        for host in of_hosts
        for mode in mode_of(host.stated)
    )
    shown = (
        evidence
        for host in of_hosts
        for evidence in site_mode.evidence_of(
            next(iter(host.addresses), ""),
            [host.site],
            [row for row in _rows(host) if set(row[1].ports) <= set(ruleset.requirement(row[0]).ports)],
            ruleset,
        )
    )
    return site_mode.modes_of((*stated, *shown))


def may_decide(mode: str, host: HostResult, ruleset: Ruleset) -> bool:
    """Tell whether the mode of its site may decide the result of a host."""
    return site_mode.may_decide(mode, _rows(host), ruleset)


def _rows(host: HostResult) -> list[tuple[str, RequirementResult]]:
    return [(result.requirement, result) for result in host.seen]


def report(site: str, entries: Sequence[Entry], context: EvaluationContext, tool: Tool) -> r.Report:
    """Return the report on one host, as `auditor analyze` of its sources would give it."""
    case = _case(site, entries, context)
    modes = mode_of(statements_of(case.cast.logs, case.sources)) or context.modes_at(site)
    rules, facts = context.rules_of(site, case.sources)
    audited = verdicts.audit(case.sources, rules, case.cast, facts, context.asked, tool, modes=modes)
    return replace(audited, all_flows=None)  # a summary has too little of each flow for the table of flows


def servers(cast: RoleMap) -> dict[str, str]:
    """Return the computers that are no target of an installation, with their role; an assumed role leaves none out."""
    return {assignment.address: assignment.role for assignment in cast.assignments if assignment.how == GIVEN}


def subnet_of(address: str) -> str:
    """Return the network of an address as networks are usually cut, empty if there is none."""
    if not address:
        return ""
    bits = SUBNET_BITS[6 if ":" in address else 4]
    return str(ipaddress.ip_network(f"{address}/{bits}", strict=False))


def _kept(entry: Entry) -> SummaryFlows:
    assert isinstance(entry.source.details, SummaryFlows)
    return entry.source.details


def _once(entries: Sequence[Entry]) -> list[Entry]:
    """Return the entries, one of each content, in the order of their times.

    Of files with one content the first by path counts. What a capture says of several addresses of the host is one.
    """
    of_content: dict[str, dict[tuple[str, ...], Entry]] = defaultdict(dict)
    for entry in sorted(entries, key=lambda entry: (entry.source.path, entry.addresses, entry.host)):
        name = entry.host if entry.source.reported else ""
        of_content[entry.digest].setdefault((name, *entry.addresses), entry)
    once = [_joined(list(parts.values())) for parts in of_content.values()]
    return sorted(once, key=lambda entry: (entry.source.first_ns or 0, entry.source.path))


def _hearing(entries: Sequence[Entry], heard: frozenset[str]) -> list[Entry]:
    """Return entries of a host that show also that servers sent something to others: so they are online."""
    earliest, *later = entries
    flows = replace(_kept(earliest), heard=_kept(earliest).heard | heard)
    return [replace(earliest, source=replace(earliest.source, details=flows)), *later]


def _joined(parts: Sequence[Entry]) -> Entry:
    """Return as one entry what one capture says of several addresses, or a log of several names."""
    whole = parts[0]
    if len(parts) == 1:
        return whole
    addresses = tuple(dict.fromkeys(address for part in parts for address in part.addresses))
    flows = dict.fromkeys(flow for part in parts for flow in _kept(part).flows)
    details = replace(_kept(whole), flows=tuple(sorted(flows, key=lambda flow: (flow.first_frame, flow.stream))))
    reported = joined(part.source.reported for part in parts)
    return replace(whole, addresses=addresses, source=replace(whole.source, details=details, reported=reported))


def _cast(
    addresses: Sequence[str], entries: Sequence[Entry], servers: Sequence[RoleAssignment], of_site: RoleMap
) -> RoleMap:
    """Return the roles as one host meets them: it is the client, by those of its addresses that deal with others.

    Of computers of another role, only those that contacted it count, if any did: other sites have their own servers.

    Args:
        addresses: The host's own.
        entries: What its sources say.
        servers: Who plays another role than that of a client.
        of_site: The roles at the host's site.
    """
    addresses_of_servers = {server.address for server in servers}
    pairs = {(flow.src_ip, flow.dst_ip) for entry in entries for flow in _kept(entry).flows}
    met = {address for pair in pairs if not addresses_of_servers.isdisjoint(pair) for address in pair}
    own = [address for address in addresses if address in met] or list(addresses[:1])
    roles = {server.role for server in servers if server.address in met}
    near = [server for server in servers if server.address in met or server.role not in roles]
    clients = [RoleAssignment(CLIENT, address, INFERRED, ITS_LOG) for address in own]
    pushes = of_site.pushes_at(own)
    judged = tuple(filter(of_site.is_judged, pushes))
    return replace(of_site, assignments=(*clients, *near), clients=tuple(own), pushes=pushes, judged=judged)


def _rank(address: str, method: r.MethodResult) -> tuple[bool, str, int, str]:
    """Order the addresses of a host: the one at which something was decided last counts, as it may have had another.

    Of two that were tried at the same time the one of which more was tried.
    """
    last = max((requirement.last_time for requirement in method.requirements if requirement.last_time), default="")
    return method.result != r.UNPROVEN, last, sum(requirement.attempts for requirement in method.requirements), address


def _outcome(decisive: _Decisive) -> MethodOutcome:
    method = decisive.method
    seen = any(requirement.verdict not in (r.NOT_OBSERVED, r.NOT_APPLICABLE) for requirement in method.requirements)
    seen = seen or any(reason.kind == "step" for reason in method.reasons)
    result = method.result if seen else NO_EVIDENCE
    reasons = method.reasons if result == r.UNPROVEN else ()
    missing = (reason.requirement for reason in reasons if reason.kind == "missing")
    stopped = {name for method in decisive.failing for name in _blamed(method)} if result == r.FAILS else set()
    blamed = tuple(requirement.id for requirement in method.requirements if requirement.id in stopped)
    return MethodOutcome(method.id, result, blamed, tuple(dict.fromkeys(missing)))


def _blamed(method: r.MethodResult) -> set[str]:
    """Return the ids of the requirements that make a method fail."""
    return {reason.requirement for reason in method.reasons if reason.kind != "missing"}


def _seen(decisive: Iterable[_Decisive], sources_of: Sequence[str]) -> Iterable[RequirementResult]:
    """Yield what was seen of the requirements, those that several methods share once."""
    yielded: set[tuple[object, ...]] = set()
    for method in decisive:
        for row in method.rows():
            if row.verdict in (r.NOT_OBSERVED, r.NOT_APPLICABLE) and not row.also_blocked:
                continue
            shared = (row.row, row.source, row.destination, row.verdict)
            if shared in yielded:
                continue
            yielded.add(shared)
            yield RequirementResult(
                requirement=row.id,
                necessity=row.necessity,
                source=row.source,
                destination=row.destination,
                protocol=row.protocol,
                ports=row.ports,
                verdict=row.verdict,
                confidence=row.confidence,
                blocked_at=row.blocked_at,
                device=_device(row),
                attempts=row.attempts,
                first_time=row.first_time,
                last_time=row.last_time,
                explanation=row.explanation,
                remedy=row.remedy_text,
                problems=row.problems,
                proof=tuple(_proof(evidence, sources_of) for evidence in _telling(row)),
                also_blocked=row.also_blocked,
                remedy_kind=row.remedy[0].kind if row.remedy else "",
                failed_step=row.logged.meaning.step if row.logged else "",
                code=row.logged.meaning.code if row.logged else "",
                logged=LoggedStep(row.logged.meaning, _proof(row.logged.evidence, sources_of)) if row.logged else None,
            )


def _telling(row: r.RequirementVerdict) -> Sequence[r.Evidence]:
    """Return the first evidence of a verdict, with the line of the log that decides it."""
    first = row.evidence[:MOST_PROOF]
    return first if row.logged is None or row.logged.evidence in first else (*first[:-1], row.logged.evidence)


def _proof(evidence: r.Evidence, sources_of: Sequence[str]) -> Proof:
    path = sources_of[evidence.source]
    return Proof(path, evidence.lines, evidence.frames, evidence.display_filter, evidence.text)


def _failed_steps(decisive: Iterable[_Decisive], case: _HostInput, rules: SiteRules) -> Iterator[FailedStep]:
    """Yield the steps of logs at which installations ended where no requirement has them."""
    sources_of = [source.path for source in case.sources]
    for entry in decisive:
        failed = [reason for method in entry.failing for reason in method.reasons if reason.is_step_alone]
        unproven = entry.method.result == r.UNPROVEN and SITE_SERVER in rules.ruleset.method(entry.method.id).by_partner
        for reason in failed or (_unproven_steps(entry.method.site_server or "", case, rules) if unproven else ()):
            if reason.logged:
                yield FailedStep(
                    entry.method.id,
                    fails=bool(failed),
                    step=reason.logged.meaning.step,
                    code=reason.logged.meaning.code,
                    explanation=reason.text,
                    remedy=" ".join(remedy.text for remedy in reason.remedy),
                    proof=(_proof(reason.logged.evidence, sources_of),),
                    meaning=reason.logged.meaning,
                )


def _unproven_steps(site_server: str, case: _HostInput, rules: SiteRules) -> Iterator[r.Reason]:
    """Yield the step at which the push to a host ended although it does not fail for it."""
    for client in case.cast.logs.computers:
        reason = ClientSteps(client, case.cast.logs, case.sources, rules).unproven(site_server)
        if reason:
            yield reason


def _device(verdict: r.RequirementVerdict) -> str | None:
    """Return the address of what stopped it: the sender of the error that says so, or the end whose firewall it was."""
    if verdict.verdict not in r.FAILING:
        return None
    packets = [packet for evidence in verdict.evidence for packet in evidence.packets if packet.is_icmp_error]
    if packets:
        return packets[-1].sender
    ends = {end.role: end.address for end in (verdict.source, verdict.destination)}
    return ends.get(verdict.blocked_at or "")


def _warnings(entries: Sequence[Entry]) -> Iterable[str]:
    codes = r.INCOMPLETE_CODES | {"lost-events", "malformed-lines", "folded", "ipsec", "tunnel", "no-ip", "no-times"}
    for entry in entries:
        for warning in entry.source.warnings:
            if warning.code in codes:
                yield say("limitation.warning", path=entry.source.path, text=warning.text)
