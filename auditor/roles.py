"""Who is who: the roles that were given, and the rest inferred from who connects to whom, with the reason."""

from __future__ import annotations

import ipaddress
import re
from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property, lru_cache
from typing import Protocol

import numpy as np

from auditor.errors import ArgumentError
from auditor.flow_table import FlowTable, is_among
from auditor.flows import Asked
from auditor.report import RoleAssignment
from auditor.ruleset import Requirement, Ruleset
from auditor.ruleset_lint import ROLES, nearest
from auditor.said import Said
from auditor.sources.source import CAPTURE

SITE_SERVER, CLIENT, MANAGEMENT_POINT = "site-server", "client", "management-point"
NO_MANAGEMENT_POINT = "which is the management point cannot be told."
NAMED = "named by you"
AGAIN_NS = 5_000_000_000
ENOUGH_REQUESTS = 3  # for a host's hardware address, to take them for an attempt to reach it
IPV4_MAPPED_BITS = 96  # of ::ffff:10.0.0.5, before the IPv4 address (RFC 4291, 2.5.5.2)
Network = ipaddress.IPv4Network | ipaddress.IPv6Network


@dataclass(frozen=True)
class Given:
    """The roles that the administrator named: for each role, addresses or networks."""

    networks: Mapping[str, tuple[Network, ...]] = field(default_factory=dict)

    def names(self, role: str) -> bool:
        """Tell whether anybody was named for a role."""
        return bool(self.networks.get(role))

    def covers(self, role: str, address: str) -> bool:
        """Tell whether an address may play a role: yes if it was named for it, or nobody was."""
        networks = self.networks.get(role, ())
        return (
            not networks
            or address in self._single(role)
            or any(_parsed(address) in network for network in self._wide(role))
        )

    def hosts(self, role: str) -> list[str]:
        """Return the single addresses (not the networks) named for a role."""
        return list(self._single(role))

    def _single(self, role: str) -> dict[str, None]:
        return self._by_width.get(role, ({}, ()))[0]

    def _wide(self, role: str) -> Sequence[Network]:
        return self._by_width.get(role, ({}, ()))[1]

    @cached_property
    def _by_width(self) -> dict[str, tuple[dict[str, None], list[Network]]]:
        """For each role its single addresses, to be looked up, and its networks."""
        return {
            role: (
                {str(one.network_address): None for one in networks if one.num_addresses == 1},
                [one for one in networks if one.num_addresses > 1],
            )
            for role, networks in self.networks.items()
        }


class Observed(Protocol):
    """What roles are inferred from: a source, or the contacts of many."""

    @property
    def kind(self) -> str:
        """As of a source."""

    @property
    def table(self) -> FlowTable:
        """Who connected to whom."""

    @property
    def asked(self) -> Sequence[Asked]:
        """Who was asked for on the local network in vain."""


@dataclass(frozen=True)
class Cast:
    """Who plays which role. clients: in order of address; notes: what could not be told, for the limitations."""

    assignments: tuple[RoleAssignment, ...]
    clients: tuple[str, ...]
    notes: tuple[str, ...]

    def addresses(self, role: str) -> tuple[str, ...]:
        """Return everybody who plays a role."""
        return self._by_role.get(role, ())

    @property
    def hosts(self) -> frozenset[str]:
        """Everybody who plays a role."""
        return frozenset(one.address for one in self.assignments)

    @cached_property
    def roles(self) -> frozenset[str]:
        """The roles that somebody plays."""
        return frozenset(self._by_role)

    @cached_property
    def _by_role(self) -> dict[str, tuple[str, ...]]:
        found: dict[str, list[str]] = defaultdict(list)
        for one in self.assignments:
            found[one.role].append(one.address)
        return {role: tuple(addresses) for role, addresses in found.items()}


def parse_roles(roles: Mapping[str, str | Iterable[str]]) -> Given:
    """Return the given roles, checked. Raises ArgumentError for an unknown role or what is no address."""
    networks: dict[str, tuple[Network, ...]] = {}
    for role, values in roles.items():
        if role not in ROLES:
            raise ArgumentError(f"no such role: {role!r}", where="--role", hint=_role_hint(role))
        words = [values] if isinstance(values, str) else list(values)
        networks[role] = tuple(_network(role, word) for word in words)
    given = Given(networks)
    if both := set(given.hosts(SITE_SERVER)) & set(given.hosts(CLIENT)):
        hint = "the site server pushes to the client: name two computers"
        raise ArgumentError(f"{min(both)} cannot be site server and client at once", where="--role", hint=hint)
    return given


def _role_hint(word: str) -> str:
    meant = nearest(word, ROLES)
    return (f"did you mean {meant}? " if meant else "") + "the roles are " + ", ".join(ROLES)


def _network(role: str, word: str) -> Network:
    try:
        network = ipaddress.ip_network(re.sub("%[^/]*", "", word.strip()), strict=False)  # without the scope id
    except ValueError:
        hint = "give an address such as 10.0.0.5 or a network such as 10.0.0.0/24"
        hint += f"; name each with --role {role}= of its own" if "," in word else ""
        raise ArgumentError(f"{word!r} is no IP address or network", where=f"--role {role}", hint=hint) from None
    mapped = network.network_address.ipv4_mapped if isinstance(network, ipaddress.IPv6Network) else None
    if mapped is None or network.prefixlen < IPV4_MAPPED_BITS:
        return network
    return ipaddress.ip_network((mapped, network.prefixlen - IPV4_MAPPED_BITS))


def assign(sources: Sequence[Observed], ruleset: Ruleset, given: Given) -> Cast:
    """Return who plays which role: as given, else inferred from who connects to whom."""
    pushes = _contacts(sources, _rows(ruleset, SITE_SERVER, CLIENT))
    servers, notes = _site_servers(pushes, given)
    clients = _clients(pushes, servers, given)
    if not servers and not clients:
        servers, clients = _asking_in_vain(sources, given)
    assignments = [_named(role, address) for role in ROLES for address in given.hosts(role)]
    for role, found in ((SITE_SERVER, servers), (CLIENT, clients)):
        named = set(given.hosts(role))
        assignments += [one for one in found if one.address not in named]
    addresses = sorted({one.address for one in assignments if one.role == CLIENT}, key=by_number)
    assignments += _within_networks(sources, addresses, given)
    points, point_notes = _management_points(sources, ruleset, addresses, given)
    assignments += points
    ordered = sorted(set(assignments), key=lambda one: (ROLES.index(one.role), by_number(one.address)))
    return Cast(tuple(ordered), tuple(addresses), tuple(notes + point_notes))


def with_content(cast: Cast, said: Sequence[Said], given: Given) -> Cast:
    """Return the cast with the roles that web paths show, and the names by which hosts called themselves.

    What a server was asked for counts more than that it listens at a web port.
    """
    shown = {(role, address): path for one in reversed(said) for address, role, path in reversed(one.roles)}
    told = [
        RoleAssignment(role, address, "inferred", f"it was asked for {path}")
        for (role, address), path in shown.items()
        if not given.names(role)
    ]
    asked_otherwise = {address for one in said for address in one.other_web}
    kept, notes = [], list(cast.notes)
    for one in cast.assignments:
        if one.role != MANAGEMENT_POINT or one.how != "inferred":
            kept.append(one)
        elif any(other.role == MANAGEMENT_POINT for other in told):
            notes = [note for note in notes if one.address not in note]
        elif one.address in asked_otherwise:
            notes.append(
                f"{one.address} is a web server, but was asked for nothing that a management point has: "
                f"{NO_MANAGEMENT_POINT} Name it: --role management-point=ADDRESS."
            )
        else:
            kept.append(one)
    names: dict[str, set[str]] = defaultdict(set)
    for address, name in (pair for one in said for pair in one.names):
        names[address].add(name)
    ordered = sorted({*kept, *told}, key=lambda one: (ROLES.index(one.role), by_number(one.address)))
    called = tuple(_called(one, names.get(one.address, set())) for one in ordered)
    return Cast(called, cast.clients, _still_true(notes, ordered))


def _still_true(notes: Sequence[str], assignments: Sequence[RoleAssignment]) -> tuple[str, ...]:
    """Return the notes without the one that a management point cannot be told, when its paths told it."""
    told = any(one.role == MANAGEMENT_POINT for one in assignments)
    return tuple(note for note in notes if not (told and NO_MANAGEMENT_POINT in note))


def _called(one: RoleAssignment, names: set[str]) -> RoleAssignment:
    return replace(one, why=f"{one.why}; called {', '.join(sorted(names)[:3])}") if names else one


def _within_networks(sources: Sequence[Observed], clients: Sequence[str], given: Given) -> list[RoleAssignment]:
    """Return the hosts that clients connect to and that lie in a network named for a role."""
    roles = [role for role in given.networks if role not in (SITE_SERVER, CLIENT, MANAGEMENT_POINT)]
    if not roles:
        return []
    reached: set[str] = set()
    for source in sources:
        columns = source.table.columns
        reached |= set(columns["dst_ip"][is_among(columns["src_ip"], clients)].tolist())
    return [
        RoleAssignment(role, host, "given", NAMED)
        for role in roles
        for host in sorted(reached - set(given.hosts(role)))
        if given.covers(role, host)
    ]


def _named(role: str, address: str) -> RoleAssignment:
    return RoleAssignment(role, address, "given", NAMED)


def is_public(address: str) -> bool:
    """Tell whether an address is one of the Internet's."""
    return _parsed(address).is_global


@lru_cache(maxsize=100_000)
def _parsed(address: str) -> ipaddress.IPv4Address | ipaddress.IPv6Address:
    return ipaddress.ip_address(address)  # which takes longer than all else that is asked of an address


def by_number(address: str) -> tuple[int, int]:
    """Return by what addresses are put in order."""
    parsed = _parsed(address)
    return parsed.version, int(parsed)


def _rows(ruleset: Ruleset, source: str, destination: str) -> dict[int, set[str]]:
    """Return the fixed TCP ports between two roles, each with the rows that ask for it."""
    ports: dict[int, set[str]] = defaultdict(set)
    for requirement in ruleset.requirements:
        if (requirement.from_role, requirement.to_role, requirement.protocol) == (source, destination, "tcp"):
            for port in requirement.ports:
                ports[port].add(_short(requirement))
    return ports


def _short(requirement: Requirement) -> str:
    return f"TCP {requirement.ports_text}"


@dataclass(frozen=True)
class Contact:
    """One host connects to another at some of the documented ports."""

    src: str
    dst: str
    rows: frozenset[str]
    first_ns: int


def _contacts(
    sources: Sequence[Observed], ports: Mapping[int, set[str]], among: Sequence[str] | None = None
) -> list[Contact]:
    """Return who connects to whom at these ports. among: the hosts that connect, all if None."""
    first_times: dict[tuple[str, str, int], int] = {}
    for source in sources:
        columns, logged = source.table.columns, source.kind != CAPTURE
        at_ports = np.isin(columns["dst_port"], list(ports)).nonzero()[0]  # few: to compare words takes longer
        which = columns["protocol"][at_ports] == "tcp"
        if among is not None:
            which &= is_among(columns["src_ip"][at_ports], among)
        if logged:  # a late packet that was dropped shows nobody who connects, nor does a broadcast
            which &= columns["response"][at_ports] != "mid-stream"
        *ends, times = (columns[name][at_ports[which]].tolist() for name in ("src_ip", "dst_ip", "dst_port", "start"))
        for key, time in zip(zip(*ends, strict=True), times, strict=True):
            if time < first_times.get(key, time + 1) and not (logged and key[1].endswith(".255")):
                first_times[key] = time
    found: dict[tuple[str, str], tuple[set[str], int]] = {}
    for (src, dst, port), time in first_times.items():
        rows, first = found.get((src, dst), (set(), time))
        found[src, dst] = rows | ports[port], min(first, time)
    return [
        Contact(src, dst, frozenset(rows), first)
        for (src, dst), (rows, first) in sorted(found.items())
        if src != dst and is_one_host(dst)
    ]


def is_one_host(address: str) -> bool:
    """Tell whether an address is that of one other computer."""
    parsed = _parsed(address)
    return not (parsed.is_multicast or parsed.is_loopback or parsed.is_unspecified or address == "255.255.255.255")


def _site_servers(pushes: list[Contact], given: Given) -> tuple[list[RoleAssignment], list[str]]:
    """Return the site servers among the hosts that connect to others as a push does."""
    fitting = [one for one in pushes if given.covers(SITE_SERVER, one.src) and given.covers(CLIENT, one.dst)]
    if not fitting:
        return [], []
    if given.names(SITE_SERVER):
        chosen = sorted({one.src for one in fitting})
        return [RoleAssignment(SITE_SERVER, src, "given", NAMED) for src in chosen], []
    by_source: dict[str, list[Contact]] = defaultdict(list)
    for one in _from_roots(fitting):
        by_source[one.src].append(one)
    rank = {
        src: (max(len(one.rows) for one in found), len(found), -min(one.first_ns for one in found))
        for src, found in by_source.items()
    }
    best = max(rank, key=lambda src: rank[src])
    rows = " and ".join(sorted(set().union(*(one.rows for one in by_source[best]))))
    who = by_source[best][0].dst if len(by_source[best]) == 1 else _several(len(by_source[best]), "computer")
    why = f"it connects to {who} at {rows}, as a push does"
    return [RoleAssignment(SITE_SERVER, best, "inferred", why)], _other_servers(by_source, best)


def _from_roots(contacts: list[Contact]) -> list[Contact]:
    """Return the contacts of hosts that nobody contacts so: a client asks its domain controller at the same ports."""
    targets = {one.dst for one in contacts}
    return [one for one in contacts if one.src not in targets] or contacts


def _other_servers(by_source: Mapping[str, list[Contact]], best: str) -> list[str]:
    others = sorted(set(by_source) - {best}, key=by_number)
    if not others:
        return []
    return [
        f"{_some(others)} also connect to others at the ports of a push; {best} was taken for the site server. "
        "If that is wrong, name it: --role site-server=ADDRESS."
    ]


def _clients(pushes: list[Contact], servers: list[RoleAssignment], given: Given) -> list[RoleAssignment]:
    sources = {one.address for one in servers}
    found: dict[str, set[str]] = defaultdict(set)
    for one in pushes:
        if one.src in sources and given.covers(CLIENT, one.dst):
            found[one.dst] |= one.rows
    how = "given" if given.names(CLIENT) else "inferred"
    return [
        RoleAssignment(
            CLIENT,
            address,
            how,
            NAMED if how == "given" else f"the site server connects to it at {' and '.join(sorted(rows))}",
        )
        for address, rows in sorted(found.items())
    ]


def _asking_in_vain(sources: Sequence[Observed], given: Given) -> tuple[list[RoleAssignment], list[RoleAssignment]]:
    """Return site server and client when all there is of a push is one host asking in vain for another's address."""
    asked = [one for source in sources for one in source.asked if _insistent(one)]
    fitting = {
        (one.asker, one.target)
        for one in asked
        if given.covers(SITE_SERVER, one.asker) and given.covers(CLIENT, one.target)
    }
    if len(fitting) != 1:
        return [], []
    ((asker, target),) = fitting
    why = "no connection is in these sources, only {} on the local network for the address of {}, in vain"
    return (
        [RoleAssignment(SITE_SERVER, asker, "inferred", why.format("its questions", target))],
        [RoleAssignment(CLIENT, target, "inferred", why.format(f"the questions of {asker}", target))],
    )


def _insistent(asked: Asked) -> bool:
    """Tell whether a host asked as one does that wants to send: again within seconds, not now and then."""
    between = (asked.last_ns - asked.first_ns) / max(1, len(asked.frames) - 1)
    return len(asked.frames) >= ENOUGH_REQUESTS and between <= AGAIN_NS


def _management_points(
    sources: Sequence[Observed], ruleset: Ruleset, clients: Sequence[str], given: Given
) -> tuple[list[RoleAssignment], list[str]]:
    """Return the management point: the one web server that the clients connect to, if it is only one."""
    ports = _rows(ruleset, CLIENT, MANAGEMENT_POINT)
    taken = {host for role in ROLES if role not in (SITE_SERVER, CLIENT) for host in given.hosts(role)} | set(clients)
    contacts = _contacts(sources, ports, clients)
    fitting = [one for one in contacts if given.covers(MANAGEMENT_POINT, one.dst) and _plausible(one.dst, given)]
    if given.names(MANAGEMENT_POINT):
        chosen = sorted({one.dst for one in fitting} | set(given.hosts(MANAGEMENT_POINT)))
        return [RoleAssignment(MANAGEMENT_POINT, one, "given", NAMED) for one in chosen], []
    callers = Counter(one.dst for one in fitting if one.dst not in taken)
    if not callers:
        return [], []
    (best, count), *rest = callers.most_common()
    if rest and rest[0][1] == count:
        text = f"The clients connect to several web servers ({_some(callers)}): {NO_MANAGEMENT_POINT}"
        return [], [f"{text} Name it: --role management-point=ADDRESS."]
    rows = " and ".join(sorted(set().union(*(one.rows for one in fitting if one.dst == best))))
    why = f"{_several(count, 'client')} connected to it at {rows}"
    return [RoleAssignment(MANAGEMENT_POINT, best, "inferred", why)], [_only_by_port(best, [one for one, _ in rest])]


def _only_by_port(best: str, others: Sequence[str]) -> str:
    """Return that a web server was taken for the management point, and which others were not."""
    rest = f", rather than {_some(others)}, to which fewer connect" if others else ""
    return (
        f"{best} was taken for the management point because clients connect to it at a web port{rest}. If it is "
        "another web server or a proxy, what is said of the management point is wrong; name it: "
        "--role management-point=ADDRESS."
    )


def _some(addresses: Iterable[str]) -> str:
    ordered = sorted(addresses, key=by_number)
    return ", ".join(ordered[:5]) + (f" and {len(ordered) - 5} more" if len(ordered) > 5 else "")


def _plausible(address: str, given: Given) -> bool:
    """Tell whether a web server may be the management point: not one on the Internet or without a router."""
    return given.names(MANAGEMENT_POINT) or not (is_public(address) or _parsed(address).is_link_local)


def _several(count: int, what: str) -> str:
    return f"{count:,} {what}" + ("" if count == 1 else "s")
