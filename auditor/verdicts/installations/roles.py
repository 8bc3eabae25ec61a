"""Who is who: the roles that were given, and the rest inferred from who contacts whom, with the reason."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property
from typing import TypeVar

import numpy as np

from auditor.report.joined_names import join_limited
from auditor.report.model import GIVEN, INFERRED, LIKELY, PUSH, READ, WEAK, Push, RoleAssignment
from auditor.ruleset.addresses import by_number, canonical, is_one_host, is_public, parsed
from auditor.ruleset.given_roles import ConfiguredRoles, is_same_host
from auditor.ruleset.known_problems import may_ask_management_point
from auditor.ruleset.lint import CLIENT, MANAGEMENT_POINT, ROLES, SITE_SERVER
from auditor.ruleset.ruleset import Ruleset
from auditor.ruleset.statements import say, say_count
from auditor.sources.dissection.facts import ProtocolFacts
from auditor.sources.flows.table import is_among
from auditor.sources.source import CAPTURE, Source
from auditor.verdicts.installations.contacts import Contact, Pair
from auditor.verdicts.installations.dns_names import NO_DNS, DnsNames
from auditor.verdicts.installations.pushes import SURENESS, content_of, find_pushes, judged_pushes
from auditor.verdicts.installations.reported import Directory
from auditor.verdicts.installations.reported_pushes import (
    NO_LOGS,
    UNKNOWN_SITE_SERVER,
    InstallationLogs,
    ReportedLogs,
    installation_logs,
)

MOST_NAMES = 3  # of one host
MOST_ADDRESSES = 5  # in a sentence


Item = TypeVar("Item")


@dataclass(frozen=True)
class RoleMap:
    """Who plays which role.

    Attributes:
        clients: In order of address.
        notes: What could not be told, for the limitations.
        pushes: Every pair that may be a push, also what is none.
        judged: Those of them that are judged.
        guesses: By address of a site server (empty for clients without a push) the web server that is taken for the
            management point of its clients because of its port only.
        logs: What logs of ConfigMgr report.
    """

    assignments: tuple[RoleAssignment, ...]
    clients: tuple[str, ...]
    notes: tuple[str, ...]
    pushes: tuple[Push, ...] = ()
    judged: tuple[Push, ...] = ()
    guesses: Mapping[str, str] = field(default_factory=dict)
    logs: InstallationLogs = NO_LOGS

    def servers_of(self, role: str, site_server: str) -> tuple[str, ...]:
        """Return everybody who plays a role for the clients of a site server: not what was guessed for another one."""
        elsewhere = set(self.guesses.values()) - {self.guesses.get(site_server)}
        return tuple(address for address in self.addresses(role) if address not in elsewhere)

    def addresses(self, role: str) -> tuple[str, ...]:
        """Return everybody who plays a role."""
        return self._addresses.get(role, ())

    def is_guess(self, role: str, address: str | None) -> bool:
        """Tell whether nothing but a port says that a host plays a role."""
        return (role, address) in self._guessed

    @cached_property
    def named_site_servers(self) -> tuple[str, ...]:
        """The site servers that the user named by address."""
        return tuple(assignment.address for assignment in self._by_role.get(SITE_SERVER, ()) if assignment.how == GIVEN)

    def of_host(self, address: str) -> Sequence[RoleAssignment]:
        """Return the roles that a host plays, in order."""
        return self._by_address.get(address, ())

    @property
    def hosts(self) -> frozenset[str]:
        """Everybody who plays a role."""
        return frozenset(self._by_address)

    @cached_property
    def roles(self) -> frozenset[str]:
        """The roles that somebody plays."""
        return frozenset(self._by_role)

    @cached_property
    def _by_role(self) -> dict[str, list[RoleAssignment]]:
        return _grouped(self.assignments, lambda assignment: assignment.role)

    def pushes_at(self, clients: Collection[str]) -> tuple[Push, ...]:
        """Return what may be a push of some computers, also what is none, in order of address."""
        return tuple(push for client in sorted(set(clients), key=by_number) for push in self._pushes_at.get(client, ()))

    @cached_property
    def _pushes_at(self) -> dict[str, list[Push]]:
        return _grouped(self.pushes, lambda push: push.to_address)

    @cached_property
    def _judged_ids(self) -> frozenset[str]:
        return frozenset(push.id for push in self.judged)

    def is_judged(self, push: Push) -> bool:
        """Tell whether a push is judged."""
        return push.id in self._judged_ids

    @cached_property
    def _addresses(self) -> dict[str, tuple[str, ...]]:
        return {role: tuple(assignment.address for assignment in of_role) for role, of_role in self._by_role.items()}

    @cached_property
    def _by_address(self) -> dict[str, list[RoleAssignment]]:
        return _grouped(self.assignments, lambda assignment: assignment.address)

    @cached_property
    def _guessed(self) -> frozenset[tuple[str, str | None]]:
        """The roles and addresses of those who play a role by nothing but a port."""
        return frozenset(
            (assignment.role, assignment.address) for assignment in self.assignments if assignment.how_sure == WEAK
        )

    @cached_property
    def pushes_to(self) -> Mapping[str, Sequence[Push]]:
        """The judged pushes by client, the surest first, then in order of the site servers' addresses."""
        by_client = _grouped(self.judged, lambda push: push.to_address)
        return {client: sorted(pushes, key=_surest_first) for client, pushes in by_client.items()}


def _grouped(items: Iterable[Item], key: Callable[[Item], str]) -> dict[str, list[Item]]:
    """Return items by their key, those of one key in order."""
    groups: dict[str, list[Item]] = defaultdict(list)
    for item in items:
        groups[key(item)].append(item)
    return groups


def _surest_first(push: Push) -> tuple[bool, int, tuple[int, int, str]]:
    return push.kind != PUSH, SURENESS.index(push.how_sure), by_number(push.from_address)


def infer_roles(
    sources: Sequence[Source],
    ruleset: Ruleset,
    configured: ConfiguredRoles,
    contacts: Mapping[Pair, Contact],
    protocol_facts: Sequence[ProtocolFacts] = (),
    dns: DnsNames = NO_DNS,
    contents: ReportedLogs | None = None,
) -> RoleMap:
    """Return who plays which role: as given, else inferred from who contacts whom.

    Args:
        sources: All that were read.
        ruleset: With the ports of the site.
        configured: The roles that were set.
        contacts: Who contacted whom at the ports of a push.
        protocol_facts: What the protocols show, source by source, as far as packets were dissected.
        dns: What DNS responses in captures resolve.
        contents: What the logs of ConfigMgr contain, if it is known.
    """
    neighbor_requests = [requests for source in sources for requests in source.details.asked]
    names = _names(protocol_facts)
    directory = Directory(names)
    configured = configured.resolved(lambda name: directory.address(name) or dns.address(name))
    in_traffic = find_pushes(contacts, ruleset, [neighbor_requests], content_of(protocol_facts), configured)
    logs = installation_logs(sources, names, configured, in_traffic, contacts, dns, contents)
    pushes = logs.joined(in_traffic)
    judged = judged_pushes(pushes, configured)
    assignments = [_named(role, address) for role in ROLES for address in configured.hosts(role)]
    assignments += _of_logs(logs, configured)
    assignments += _of_pushes(judged, contacts, configured)
    clients = sorted({assignment.address for assignment in assignments if assignment.role == CLIENT}, key=by_number)
    assignments += _within_networks(sources, clients, configured)
    assignments += _by_path(protocol_facts, configured)
    points = _management_points(sources, ruleset, judged, clients, contacts, configured, protocol_facts)
    assignments, points = _with_logged_point(assignments, points)
    of_roles = {(assignment.role, assignment.address): assignment for assignment in reversed(assignments)}
    ordered = sorted(
        (_with_name(assignment, names) for assignment in of_roles.values()),
        key=lambda assignment: (ROLES.index(assignment.role), by_number(assignment.address)),
    )
    notes = [*logs.notes, *_unknown_names(configured, logs), *points.notes]
    return RoleMap(tuple(ordered), tuple(clients), tuple(notes), pushes, judged, points.guesses, logs)


def _unknown_names(configured: ConfiguredRoles, logs: InstallationLogs) -> Iterator[str]:
    """Yield a sentence on each name that was set for a role and that no source has."""
    for role, names in configured.host_names.items():
        for name in names:
            if not any(is_same_host(name, computer.name) for computer in logs.computers.values()):
                yield say("role.unknown-name", name=name, role=role)


def _of_logs(logs: InstallationLogs, configured: ConfiguredRoles) -> list[RoleAssignment]:
    """Return the roles that logs of ConfigMgr name, but for those that the user set."""
    return [
        assignment
        for assignment in logs.assignments
        if not configured.names(assignment.role)
        or (assignment.role == CLIENT and configured.covers(CLIENT, assignment.address))
    ]


def _with_logged_point(
    assignments: Sequence[RoleAssignment], points: _ManagementPoints
) -> tuple[list[RoleAssignment], _ManagementPoints]:
    """Return all assignments, and the management points of the traffic without the guesses that a log outweighs.

    A log names its management point; packets show one web server. If there is but one of each, they are the same.
    """
    read = [assignment for assignment in assignments if (assignment.role, assignment.how) == (MANAGEMENT_POINT, READ)]
    if not read or not points.guesses:
        return [*assignments, *points.assignments], points
    servers = set(points.guesses.values())
    names = {assignment.address for assignment in read}
    if len(servers) > 1 or len(names) > 1 or any(map(canonical, names)):
        return list(assignments), points.without_guesses()
    why = say("role.only-web-server", why=read[0].why)
    located = replace(read[0], address=servers.pop(), why=why, how_sure=LIKELY)
    rest = [assignment for assignment in assignments if assignment not in read]
    return [located, *rest], points.without_guesses()


def _of_pushes(
    pushes: Sequence[Push], contacts: Mapping[Pair, Contact], configured: ConfiguredRoles
) -> list[RoleAssignment]:
    """Return the site servers and clients of the judged pushes."""
    by_server: dict[str, list[Push]] = defaultdict(list)
    by_client: dict[str, list[Push]] = defaultdict(list)
    for push in pushes:
        if push.from_address != UNKNOWN_SITE_SERVER:
            by_server[push.from_address].append(push)
        by_client[push.to_address].append(push)
    return [
        *(_inferred(SITE_SERVER, host, _why_server(of, contacts), of, configured) for host, of in by_server.items()),
        *(_inferred(CLIENT, host, _why_client(of, contacts), of, configured) for host, of in by_client.items()),
    ]


def _inferred(role: str, address: str, why: str, pushes: Sequence[Push], configured: ConfiguredRoles) -> RoleAssignment:
    if configured.names(role):
        return _named(role, address)
    how_sure = min((push.how_sure for push in pushes), key=SURENESS.index)
    # That a host is a site server by the ports of a push is no guess, however weak each of its pushes is.
    return RoleAssignment(role, address, INFERRED, why, how_sure=LIKELY if how_sure == WEAK else how_sure)


def _why_server(pushes: Sequence[Push], contacts: Mapping[Pair, Contact]) -> str:
    ports = _ports_of(pushes, contacts)
    if not ports:
        return say("role.unresolved", whom=_whom(pushes))
    return say("role.pushes", whom=_whom(pushes), ports=ports)


def _why_client(pushes: Sequence[Push], contacts: Mapping[Pair, Contact]) -> str:
    ports = _ports_of(pushes, contacts)
    if not ports:
        return say("role.is-unresolved", by=pushes[0].from_address)
    return say("role.is-pushed", ports=ports)


def _ports_of(pushes: Sequence[Push], contacts: Mapping[Pair, Contact]) -> str:
    pairs = ((push.from_address, push.to_address) for push in pushes)
    ports = {port for pair in pairs if pair in contacts for port in contacts[pair].ports}
    return _tcp(ports)


def _whom(pushes: Sequence[Push]) -> str:
    return pushes[0].to_address if len(pushes) == 1 else say_count("role.computers", len(pushes))


def _names(protocol_facts: Sequence[ProtocolFacts]) -> Mapping[str, set[str]]:
    """Return by address what hosts call themselves."""
    names: dict[str, set[str]] = defaultdict(set)
    for address, name in (pair for facts in protocol_facts for pair in facts.names):
        names[address].add(name)
    return names


def _with_name(assignment: RoleAssignment, names: Mapping[str, set[str]]) -> RoleAssignment:
    own_names = sorted(names.get(assignment.address, ()))
    if assignment.name and not any(is_same_host(name, assignment.name) for name in own_names):
        own_names = sorted((*own_names, assignment.name))
    return replace(assignment, name=", ".join(own_names[:MOST_NAMES]))


def _within_networks(
    sources: Sequence[Source], clients: Sequence[str], configured: ConfiguredRoles
) -> list[RoleAssignment]:
    """Return the hosts that clients connect to and that lie in a network named for a role."""
    roles = [role for role in configured.networks if role not in (SITE_SERVER, CLIENT, MANAGEMENT_POINT)]
    if not roles:
        return []
    reached: set[str] = set()
    for source in sources:
        columns = source.table.columns
        reached |= set(columns["dst_ip"][is_among(columns["src_ip"], clients)].tolist())
    return [
        RoleAssignment(role, host, GIVEN, say("role.given"))
        for role in roles
        for host in sorted(reached - set(configured.hosts(role)))
        if configured.covers(role, host)
    ]


def _named(role: str, address: str) -> RoleAssignment:
    return RoleAssignment(role, address, GIVEN, say("role.given"))


# web servers


def _by_path(protocol_facts: Sequence[ProtocolFacts], configured: ConfiguredRoles) -> list[RoleAssignment]:
    """Return the roles that web paths show: what a server was asked for counts more than its port."""
    shown = {
        (role, address): path for facts in reversed(protocol_facts) for address, role, path in reversed(facts.roles)
    }
    return [
        RoleAssignment(role, address, INFERRED, say("role.asked", path=path))
        for (role, address), path in shown.items()
        if not configured.names(role)
    ]


@dataclass(frozen=True)
class _WebContact:
    """One client connects to one web server at the ports of a management point, first at this time."""

    client: str
    server: str
    ports: frozenset[int]
    first_ns: int


@dataclass(frozen=True)
class _ManagementPoints:
    """The management points that the traffic shows.

    Attributes:
        assignments: Those that are known, or else those that are guessed.
        guesses: By address of a site server (empty for clients without a push) the web server that is taken for the
            management point of its clients because of its port only.
        guess_notes: A sentence on each guess.
        unknown_notes: A sentence on each group of clients whose management point is unknown.
    """

    assignments: tuple[RoleAssignment, ...] = ()
    guesses: Mapping[str, str] = field(default_factory=dict)
    guess_notes: tuple[str, ...] = ()
    unknown_notes: tuple[str, ...] = ()

    @property
    def notes(self) -> tuple[str, ...]:
        """All sentences, for the limitations."""
        return tuple(dict.fromkeys((*self.guess_notes, *self.unknown_notes)))

    def without_guesses(self) -> _ManagementPoints:
        """Return what holds if a log names the management point: the guesses by a port do not."""
        return _ManagementPoints(unknown_notes=self.unknown_notes)


def _management_points(
    sources: Sequence[Source],
    ruleset: Ruleset,
    pushes: Sequence[Push],
    clients: Sequence[str],
    contacts: Mapping[Pair, Contact],
    configured: ConfiguredRoles,
    protocol_facts: Sequence[ProtocolFacts],
) -> _ManagementPoints:
    """Return the management points: those that are known, or else those that are guessed.

    Where neither the user nor a path says it, a web server is taken that the clients of a site server connect to: of
    several the one of most clients, then the first after the push has begun its last connection, as CCMSetup asks its
    management point as soon as it runs. That is a guess by the port.
    """
    shown = {address for facts in protocol_facts for address, role, _ in facts.roles if role == MANAGEMENT_POINT}
    if shown and not configured.names(MANAGEMENT_POINT):
        return _ManagementPoints()
    web_contacts = _web_contacts(sources, management_point_ports(ruleset), clients)
    if configured.names(MANAGEMENT_POINT):
        servers = shown | {contact.server for contact in web_contacts}
        chosen = {server for server in servers if configured.covers(MANAGEMENT_POINT, server)}
        return _ManagementPoints(tuple(_named(MANAGEMENT_POINT, server) for server in sorted(chosen)))
    taken = {host for role in ROLES if role != SITE_SERVER for host in configured.hosts(role)}
    taken |= set(clients) - _maybe_managed(pushes, contacts)
    other_web = {address for facts in protocol_facts for address in facts.other_web}
    plausible = [contact for contact in web_contacts if contact.server not in taken and _is_plausible(contact.server)]
    candidates = [contact for contact in plausible if contact.server not in other_web]
    if not candidates:
        others = sorted({contact.server for contact in plausible}, key=by_number)
        return _ManagementPoints(unknown_notes=tuple(say("role.other-web-server", server=other) for other in others))
    return _guesses(candidates, pushes, contacts)


def _maybe_managed(pushes: Sequence[Push], contacts: Mapping[Pair, Contact]) -> set[str]:
    """Return the clients that may be site systems: a site server manages those by SMB and RPC, as it pushes."""
    pairs = ((push.from_address, push.to_address) for push in pushes)
    return {pair[1] for pair in pairs if pair in contacts and len(contacts[pair].ports) > 1}


def _guesses(
    candidates: Sequence[_WebContact], pushes: Sequence[Push], contacts: Mapping[Pair, Contact]
) -> _ManagementPoints:
    """Return for the clients of each site server the web server that is taken for their management point."""
    clients: dict[str, set[str]] = defaultdict(set)
    for push in pushes:
        clients[push.from_address].add(push.to_address)
    pushed = set().union(*clients.values())
    clients[""] = {contact.client for contact in candidates} - pushed
    assignments: dict[str, RoleAssignment] = {}
    guesses: dict[str, str] = {}
    guess_notes: list[str] = []
    unknown_notes: list[str] = []
    for site_server, of_server in sorted(clients.items()):
        web_contacts = [contact for contact in candidates if contact.client in of_server]
        if not web_contacts:
            continue
        times = _last_times([push for push in pushes if push.from_address == site_server], contacts)
        guess, note = _guess(web_contacts, times)
        if guess is None:
            unknown_notes.append(note)
        else:
            guess_notes.append(note)
            guesses[site_server] = guess.address
            assignments.setdefault(guess.address, guess)
    return _ManagementPoints(tuple(assignments.values()), guesses, tuple(guess_notes), tuple(unknown_notes))


def management_point_ports(ruleset: Ruleset) -> frozenset[int]:
    """Return the TCP ports from a client to a management point."""
    return frozenset(
        port
        for row in ruleset.requirements
        if (row.from_role, row.to_role, row.protocol) == (CLIENT, MANAGEMENT_POINT, "tcp")
        for port in row.ports
    )


def _web_contacts(sources: Sequence[Source], ports: frozenset[int], clients: Sequence[str]) -> list[_WebContact]:
    """Return which clients connect to which web servers, in order of addresses."""
    times: dict[Pair, int] = {}
    tried: dict[Pair, set[int]] = defaultdict(set)
    for source in sources:
        columns = source.table.columns
        rows = np.isin(columns["dst_port"], list(ports)).nonzero()[0]  # few: comparing texts takes longer
        mask = (columns["protocol"][rows] == "tcp") & is_among(columns["src_ip"][rows], clients)
        if source.kind != CAPTURE:  # a late packet that was dropped shows no connection
            mask &= columns["response"][rows] != "mid-stream"
        rows = rows[mask]
        programs = columns["application"][rows].tolist() if "application" in columns else [""] * len(rows)
        names = ("src_ip", "dst_ip", "dst_port", "start")
        for src, dst, port, start, program in zip(
            *(columns[name][rows].tolist() for name in names), programs, strict=True
        ):
            if src != dst and is_one_host(dst) and may_ask_management_point(program):
                tried[src, dst].add(port)
                times[src, dst] = min(start, times.get((src, dst), start))
    return [_WebContact(*pair, frozenset(tried[pair]), times[pair]) for pair in sorted(tried)]


def _is_plausible(address: str) -> bool:
    """Tell whether a web server may be the management point: not one on the Internet or without a router."""
    return not (is_public(address) or parsed(address).is_link_local)


def _last_times(pushes: Sequence[Push], contacts: Mapping[Pair, Contact]) -> Mapping[str, int]:
    """Return by client when its pushes began their last connection."""
    times: dict[str, int] = {}
    for push in pushes:
        if contact := contacts.get((push.from_address, push.to_address)):
            times[push.to_address] = max(contact.last_ns, times.get(push.to_address, contact.last_ns))
    return times


def _guess(web_contacts: Sequence[_WebContact], pushed: Mapping[str, int]) -> tuple[RoleAssignment | None, str]:
    """Return the web server that is taken for the management point of some clients, none of equal ones, and a note."""
    by_server: dict[str, list[_WebContact]] = defaultdict(list)
    for contact in web_contacts:
        by_server[contact.server].append(contact)

    def rank(server: str) -> tuple[int, bool, int]:
        delays = [contact.first_ns - pushed.get(contact.client, 0) for contact in by_server[server]]
        delays_after_push = [delay for delay in delays if delay >= 0]
        return -len(delays), not delays_after_push, min(delays_after_push or delays)

    best, *other_servers = sorted(by_server, key=lambda server: (rank(server), by_number(server)))
    if other_servers and rank(other_servers[0]) == rank(best):
        return None, say("role.several-web-servers", servers=_some(by_server))
    ports = _tcp(port for contact in by_server[best] for port in contact.ports)
    why = say_count("role.connected", len(by_server[best]), ports=ports)
    guess = RoleAssignment(MANAGEMENT_POINT, best, INFERRED, why, how_sure=WEAK)
    return guess, _only_by_port(best, other_servers)


def _only_by_port(best: str, other_servers: Sequence[str]) -> str:
    """Return that a web server was taken for the management point, and which others were not."""
    others = say("role.rather-than", others=_some(other_servers)) if other_servers else ""
    return say("role.only-by-port", server=best, others=others)


def _some(addresses: Iterable[str]) -> str:
    return join_limited(sorted(addresses, key=by_number), MOST_ADDRESSES)


def _tcp(ports: Iterable[int]) -> str:
    """Return ports in words."""
    return say("list.and").join(say("push.port", port=port) for port in sorted(set(ports)))
