"""Judge every host of a fleet by what all of its sources say, just as one installation is judged."""

from __future__ import annotations

import ipaddress
from collections import Counter, defaultdict
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from types import MappingProxyType
from typing import NamedTuple

from auditor.fleet.summaries.reduction import KeptFlows
from auditor.fleet.summaries.summary import Entry, Question
from auditor.report import model as r
from auditor.report.fleet_model import NO_EVIDENCE, HostResult, MethodOutcome, Proof, RequirementResult
from auditor.report.joined_names import join_limited
from auditor.report.model import FILE_SHARING, GIVEN, INFERRED, LIKELY, LOGON, PUSH, SCAN, Push, RoleAssignment
from auditor.ruleset.given_roles import NAMED, ConfiguredRoles
from auditor.ruleset.lint import CLIENT, MANAGEMENT_POINT, ROLES, SITE_SERVER
from auditor.ruleset.ruleset import Ruleset, SiteFacts
from auditor.sources.flows.neighbors import NeighborRequests
from auditor.sources.source import CAPTURE, Source
from auditor.verdicts import evaluate as verdicts
from auditor.verdicts.attempts import Traffic
from auditor.verdicts.installations import site_mode
from auditor.verdicts.installations.contacts import Contact, Pair, merge
from auditor.verdicts.installations.pushes import find_pushes, judged_pushes
from auditor.verdicts.installations.roles import RoleMap
from auditor.verdicts.recommend import rank
from auditor.version import Tool

MOST_PROOF = 3  # of each requirement
MOST_NAMED = 5  # site servers, in a sentence
MOST_WARNINGS = 5
SUBNET_BITS = {4: 24, 6: 64}
CONNECTS = "it connects to {} as a push does"
ITS_LOG = "its own log or capture is among the sources"


@dataclass(frozen=True)
class Bench:
    """All that judging one host needs beside its own sources.

    facts: what is known of the site; asked: ids of the methods that were asked for, the main one first (the others are
    judged too); casts: who plays which role, by site; modes: those that other hosts show, by site; heard: the servers
    that sent anything in any source, by site.
    """

    question: Question
    facts: SiteFacts
    asked: tuple[str, ...]
    casts: Mapping[str, RoleMap]
    modes: Mapping[str, r.SiteMode] = field(default_factory=dict)
    heard: Mapping[str, frozenset[str]] = field(default_factory=dict)

    @property
    def ruleset(self) -> Ruleset:
        """The ruleset with the ports of the site."""
        return self.question.ruleset

    def modes_at(self, site: str) -> list[r.SiteMode]:
        """Return the mode of a site, if it is known: that of all of its site servers."""
        return [replace(self.modes[site], site_server="")] if site in self.modes else []


def casts(
    contacts: Mapping[str, Iterable[Contact]],
    question: Question,
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
    question: Question,
    present: Collection[str],
) -> RoleMap:
    """Return who plays which role at one site. present: who contacts a host of any site, or is contacted."""
    given = question.given
    pushes = find_pushes(contacts, question.ruleset, asked, configured=given)
    judged = judged_pushes(pushes, given)
    named = [RoleAssignment(role, host, GIVEN, NAMED) for role in ROLES if role != CLIENT for host in given.hosts(role)]
    servers = _site_servers(judged, given)
    notes = list(absent([one for one in named if one.role == SITE_SERVER], present))
    if not given.names(MANAGEMENT_POINT):
        notes.append(
            "No management point was named, so what goes there is not judged and nothing is said to work: "
            "--role management-point=ADDRESS."
        )
    known = {one.address for one in named if one.role == SITE_SERVER}
    assignments = (*named, *(one for one in servers if one.address not in known))
    return RoleMap(assignments, (), (*notes, *_other_traffic(pushes)), pushes, judged)


def _site_servers(judged: Sequence[Push], given: ConfiguredRoles) -> list[RoleAssignment]:
    """Return the site servers of the pushes that are likely ones, of all pushes if none is.

    A push that is none of these is evaluated all the same, at the host that it goes to (`_pushing`). A network that was
    set as that of site servers may hold clients too, so a host in it that is pushed itself is only inferred.
    """
    likely = [push for push in judged if push.kind == PUSH] or judged
    computers = Counter(push.from_address for push in likely)
    pushed = {push.to_address for push in judged} - set(given.hosts(SITE_SERVER))
    return [
        RoleAssignment(SITE_SERVER, host, GIVEN, NAMED, how_sure=LIKELY)
        if given.names(SITE_SERVER) and host not in pushed
        else RoleAssignment(SITE_SERVER, host, INFERRED, CONNECTS.format(_computers(count)), how_sure=LIKELY)
        for host, count in sorted(computers.items())
    ]


def _pushing(pushes: Iterable[Push], given: ConfiguredRoles) -> list[RoleAssignment]:
    """Return the site servers of the judged pushes to one host, also of those that may be something else."""
    how, why = (GIVEN, NAMED) if given.names(SITE_SERVER) else (INFERRED, CONNECTS)
    return [
        RoleAssignment(SITE_SERVER, push.from_address, how, why.format(push.to_address), how_sure=LIKELY)
        for push in pushes
    ]


def _other_traffic(pushes: Sequence[Push]) -> Iterator[str]:
    """Yield a sentence on each kind of traffic at the ports of a push that is none."""
    for kind, words in ((SCAN, "scans"), (LOGON, "logons at a domain controller"), (FILE_SHARING, "file sharing")):
        hosts = Counter(push.from_address for push in pushes if push.kind == kind)
        if hosts:
            ranked = [f"{host} (to {_computers(count)})" for host, count in hosts.most_common()]
            yield f"Not evaluated, because it looks like {words}: traffic from {join_limited(ranked, MOST_NAMED)}."


def absent(named: Iterable[RoleAssignment], present: Collection[str]) -> Iterator[str]:
    """Yield a sentence on each host that was named for a role and is nowhere.

    Args:
        named: The roles. Of site servers they are those of one site; each site may have servers of its own.
        present: The hosts that are in any source.
    """
    for one in named:
        if one.address not in present:
            role = one.role.replace("-", " ")
            yield f"{one.address}, named as {role}, does not occur in these sources: is that its address?"


def _computers(count: int) -> str:
    return f"{count:,} computer{'s' * (count != 1)}"


class _Case(NamedTuple):
    """What one host is judged by.

    entries: what its sources say, one of each content, in the order of their times; addresses: the host's own; cast:
    the roles as it meets them.
    """

    entries: list[Entry]
    addresses: tuple[str, ...]
    cast: RoleMap

    @property
    def sources(self) -> list[Source]:
        """What was kept of its sources."""
        return [one.source for one in self.entries]


def _case(site: str, entries: Sequence[Entry], bench: Bench) -> _Case:
    once = _hearing(_once(entries), bench.heard.get(site, frozenset()))
    addresses = tuple(dict.fromkeys(address for one in once for address in one.addresses))
    cast = bench.casts[site]
    reached = _within_networks(addresses, once, bench.question.given)
    known = {one.address for one in cast.assignments if one.role == SITE_SERVER}
    pushing = _pushing(filter(cast.is_judged, cast.pushes_at(addresses)), bench.question.given)
    unlisted = [one for one in pushing if one.address not in known]
    others = [one for one in dict.fromkeys((*cast.assignments, *unlisted, *reached)) if one.role != CLIENT]
    met = _cast(addresses, once, others, cast)
    if met.pushes and not met.judged and not _may_be_client(once, bench.question.given.hosts(CLIENT)):
        met = replace(met, clients=())
    return _Case(once, addresses, met)


def _may_be_client(entries: Iterable[Entry], named: Collection[str]) -> bool:
    """Tell whether a host that others contact for another reason than a push is evaluated all the same.

    It is if it was set as a client, or if a log is there. A capture holds hosts of every kind: which of them are
    clients, only the pushes in all captures together show.
    """
    return any(one.source.kind != CAPTURE or not set(named).isdisjoint(one.addresses) for one in entries)


def _within_networks(
    addresses: Sequence[str], entries: Sequence[Entry], given: ConfiguredRoles
) -> list[RoleAssignment]:
    """Return the servers that a host connects to and that lie in a network named for their role."""
    flows = (flow for entry in entries for flow in _kept(entry).flows)
    reached = sorted({flow.dst_ip for flow in flows if flow.src_ip in addresses})
    return [
        RoleAssignment(role, host, GIVEN, NAMED)
        for role in given.networks
        if role not in (SITE_SERVER, CLIENT)
        for host in reached
        if given.covers(role, host) and host not in given.hosts(role)
    ]


def judge(host: str, site: str, entries: Sequence[Entry], bench: Bench) -> HostResult:
    """Return what every method comes to for one host. entries: what all of its sources say, at least one."""
    case = _case(site, entries, bench)
    sources, ruleset, modes = case.sources, bench.question.ruleset, bench.modes_at(site)
    rules = verdicts.rules_for(case.cast, ruleset, bench.facts)
    traffic = Traffic(sources, case.cast.hosts)
    results = verdicts.judge(traffic, rules, case.cast, modes).methods
    own, decisive = _decisive(results, {push.id: push.kind for push in case.cast.judged}, bench.asked[0])
    own = own or next(iter(case.addresses), "")
    times = [(one.first_ns, one.last_ns, one.clock == "local") for one in sources if one.first_ns is not None]
    first = min(times, key=lambda one: one[0] or 0, default=(None, None, False))
    last = max(times, key=lambda one: one[1] or 0, default=(None, None, False))
    return HostResult(
        host=host,
        site=site,
        addresses=tuple(dict.fromkeys((own, *case.addresses))) if own else (),
        subnet=subnet_of(own),
        files=tuple(sorted({one.source.path for one in entries})),
        records=sum(one.records for one in sources),
        first_time=r.utc_text(first[0], local=first[2]),
        last_time=r.utc_text(last[1], local=last[2]),
        outcomes=tuple(map(_outcome, decisive))
        or tuple(MethodOutcome(one.id, NO_EVIDENCE, (), ()) for one in ruleset.methods),
        seen=tuple(_seen(decisive, sources_of=[one.path for one in sources])),
        recommended=tuple(method.id for method, _ in rank([one.method for one in decisive], rules)),
        warnings=tuple(_warnings(case.entries))[:MOST_WARNINGS],
    )


class _Decisive(NamedTuple):
    """The entry of a method that decides its result for a host, and those of other pushes to it."""

    method: r.MethodResult
    others: tuple[r.MethodResult, ...] = ()

    @property
    def failing(self) -> Iterator[r.MethodResult]:
        """The entries that fail."""
        return (one for one in (self.method, *self.others) if one.result == r.FAILS)

    def rows(self) -> Iterator[r.RequirementVerdict]:
        """Yield every requirement of the entry, then what fails or is a proven block of it in the other entries."""
        others: dict[str, list[r.RequirementVerdict]] = defaultdict(list)
        for method in self.others:
            blamed = _blamed(method) if method.result == r.FAILS else ()
            for row in method.requirements:
                if row.id in blamed or row.is_proven_block or row.also_blocked:
                    others[row.id].append(row)
        for row in self.method.requirements:
            yield row
            yield from others[row.id]


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
    for name in dict.fromkeys(one.id for one in entries[own]):
        if name in chosen:
            (_, first), *others = chosen[name]
            decisive.append(_Decisive(first, tuple(method for _, method in others)))
        else:
            decisive.append(_Decisive(_entry(entries[own], name)))
    return own, decisive


def _entry(methods: Iterable[r.MethodResult], name: str) -> r.MethodResult:
    return next(one for one in methods if one.id == name)


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
    for (name, _), one in latest.items():
        by_method[name].append(one)
    for address, methods in entries.items():
        for method in methods:
            pushes = by_method.get(method.id, [])
            if pushes and not method.push and method.result == r.FAILS and _is_later((address, method), pushes):
                pushes.append((address, method))
    return by_method


def _is_later(entry: tuple[str, r.MethodResult], others: Iterable[tuple[str, r.MethodResult]]) -> bool:
    return all(_rank(*entry) > _rank(*other) for other in others)


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


def modes_of_sites(hosts: Iterable[HostResult], bench: Bench) -> dict[str, r.SiteMode]:
    """Return the modes that the hosts show, by site; none if the mode is set.

    A port that is not the documented one is left out: that of a fleet is assumed.
    """
    ruleset = bench.question.ruleset
    if site_mode.is_set(ruleset, bench.facts):
        return {}
    shown = (
        one
        for host in hosts
        for one in site_mode.evidence_of(
            next(iter(host.addresses), ""),
            [host.site],
            [row for row in _rows(host) if set(row[1].ports) <= set(ruleset.requirement(row[0]).ports)],
            ruleset,
        )
    )
    return site_mode.modes_of(shown)


def may_decide(mode: str, host: HostResult, ruleset: Ruleset) -> bool:
    """Tell whether the mode of its site may decide the result of a host."""
    return site_mode.may_decide(mode, _rows(host), ruleset)


def _rows(host: HostResult) -> list[tuple[str, RequirementResult]]:
    return [(one.requirement, one) for one in host.seen]


def report(site: str, entries: Sequence[Entry], bench: Bench, tool: Tool) -> r.Report:
    """Return the report on one host, as `auditor analyze` of its sources would give it."""
    case = _case(site, entries, bench)
    modes = bench.modes_at(site)
    told = verdicts.audit(case.sources, bench.question.ruleset, case.cast, bench.facts, bench.asked, tool, modes=modes)
    return replace(told, all_flows=None)  # a summary has too little of each flow for the table of flows


def servers(cast: RoleMap) -> dict[str, str]:
    """Return who is no target of an installation, with the role; nobody is left out because of a guess."""
    return {one.address: one.role for one in cast.assignments if one.how == GIVEN}


def subnet_of(address: str) -> str:
    """Return the network of an address as networks are usually cut, empty if there is none."""
    if not address:
        return ""
    bits = SUBNET_BITS[6 if ":" in address else 4]
    return str(ipaddress.ip_network(f"{address}/{bits}", strict=False))


def _kept(entry: Entry) -> KeptFlows:
    assert isinstance(entry.source.details, KeptFlows)
    return entry.source.details


def _once(entries: Sequence[Entry]) -> list[Entry]:
    """Return the entries, one of each content, in the order of their times.

    Of files with one content the first by path counts. What a capture says of several addresses of the host is one.
    """
    of_content: dict[str, dict[tuple[str, ...], Entry]] = defaultdict(dict)
    for one in sorted(entries, key=lambda one: (one.source.path, one.addresses)):
        of_content[one.digest].setdefault(one.addresses, one)
    once = [_joined(list(parts.values())) for parts in of_content.values()]
    return sorted(once, key=lambda one: (one.source.first_ns or 0, one.source.path))


def _hearing(entries: Sequence[Entry], heard: frozenset[str]) -> list[Entry]:
    """Return entries of a host that show also that servers sent something to others: so they are online."""
    first, *others = entries
    kept = replace(_kept(first), heard=_kept(first).heard | heard)
    return [replace(first, source=replace(first.source, details=kept)), *others]


def _joined(parts: Sequence[Entry]) -> Entry:
    """Return as one entry what one capture says of several addresses."""
    first = parts[0]
    if len(parts) == 1:
        return first
    addresses = tuple(dict.fromkeys(address for one in parts for address in one.addresses))
    flows = dict.fromkeys(flow for one in parts for flow in _kept(one).flows)
    kept = replace(_kept(first), flows=tuple(sorted(flows, key=lambda one: (one.first_frame, one.stream))))
    return replace(first, addresses=addresses, source=replace(first.source, details=kept))


def _cast(
    addresses: Sequence[str], entries: Sequence[Entry], others: Sequence[RoleAssignment], of_site: RoleMap
) -> RoleMap:
    """Return the roles as one host meets them: it is the client, by those of its addresses that deal with others.

    Of those who play another role only who dealt with it counts, if anybody did: other sites have servers of their own.

    Args:
        addresses: The host's own.
        entries: What its sources say.
        others: Who plays another role than that of a client.
        of_site: The roles at the host's site.
    """
    known = {one.address for one in others}
    pairs = {(flow.src_ip, flow.dst_ip) for entry in entries for flow in _kept(entry).flows}
    met = {address for pair in pairs if not known.isdisjoint(pair) for address in pair}
    own = [one for one in addresses if one in met] or list(addresses[:1])
    roles = {one.role for one in others if one.address in met}
    near = [one for one in others if one.address in met or one.role not in roles]
    clients = [RoleAssignment(CLIENT, one, INFERRED, ITS_LOG) for one in own]
    pushes = of_site.pushes_at(own)
    judged = tuple(filter(of_site.is_judged, pushes))
    return replace(of_site, assignments=(*clients, *near), clients=tuple(own), pushes=pushes, judged=judged)


def _rank(address: str, method: r.MethodResult) -> tuple[bool, str, int, str]:
    """Order the addresses of a host: the one at which something was decided last counts, as it may have had another.

    Of two that were tried at the same time the one of which more was tried.
    """
    last = max((one.last_time for one in method.requirements if one.last_time), default="")
    return method.result != r.UNPROVEN, last, sum(one.attempts for one in method.requirements), address


def _outcome(decisive: _Decisive) -> MethodOutcome:
    method = decisive.method
    seen = any(one.verdict not in (r.NOT_OBSERVED, r.NOT_APPLICABLE) for one in method.requirements)
    result = method.result if seen else NO_EVIDENCE
    missing = (one.requirement for one in method.reasons if one.kind == "missing") if result == r.UNPROVEN else ()
    stopped = {name for one in decisive.failing for name in _blamed(one)} if result == r.FAILS else set()
    blamed = tuple(one.id for one in method.requirements if one.id in stopped)
    return MethodOutcome(method.id, result, blamed, tuple(dict.fromkeys(missing)))


def _blamed(method: r.MethodResult) -> set[str]:
    """Return the ids of the requirements that make a method fail."""
    return {one.requirement for one in method.reasons if one.kind != "missing"}


def _seen(decisive: Iterable[_Decisive], sources_of: Sequence[str]) -> Iterable[RequirementResult]:
    """Yield what was seen of the requirements, those that several methods share once."""
    told: set[tuple[object, ...]] = set()
    for method in decisive:
        for one in method.rows():
            if one.verdict in (r.NOT_OBSERVED, r.NOT_APPLICABLE) and not one.also_blocked:
                continue
            shared = (one.row, one.source, one.destination, one.verdict)
            if shared in told:
                continue
            told.add(shared)
            yield RequirementResult(
                requirement=one.id,
                necessity=one.necessity,
                source=one.source,
                destination=one.destination,
                protocol=one.protocol,
                ports=one.ports,
                verdict=one.verdict,
                confidence=one.confidence,
                blocked_at=one.blocked_at,
                device=_device(one),
                attempts=one.attempts,
                first_time=one.first_time,
                last_time=one.last_time,
                explanation=one.explanation,
                remedy=one.remedy_text,
                problems=one.problems,
                proof=tuple(
                    Proof(sources_of[proof.source], proof.lines, proof.frames, proof.display_filter, proof.text)
                    for proof in one.evidence[:MOST_PROOF]
                ),
                also_blocked=one.also_blocked,
            )


def _device(verdict: r.RequirementVerdict) -> str | None:
    """Return the address of what stopped it: the sender of the error that says so, or the end whose firewall it was."""
    if verdict.verdict not in r.FAILING:
        return None
    packets = [packet for one in verdict.evidence for packet in one.packets if packet.what.startswith("ICMP")]
    if packets:
        return packets[-1].sender
    ends = {one.role: one.address for one in (verdict.source, verdict.destination)}
    return ends.get(verdict.blocked_at or "")


def _warnings(entries: Sequence[Entry]) -> Iterable[str]:
    codes = r.INCOMPLETE_CODES | {"lost-events", "malformed-lines", "folded", "ipsec", "tunnel", "no-ip", "no-times"}
    for entry in entries:
        for one in entry.source.warnings:
            if one.code in codes:
                yield f"{entry.source.path}: {one.text}"
