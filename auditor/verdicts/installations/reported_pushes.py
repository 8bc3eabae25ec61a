"""The pushes and roles that ConfigMgr's own logs report, joined with those that the traffic shows."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from urllib.parse import urlsplit

from auditor.report.model import CERTAIN, GIVEN, LIKELY, PUSH, READ, Push, PushStep, RoleAssignment, utc_text
from auditor.ruleset.addresses import by_number
from auditor.ruleset.given_roles import ConfiguredRoles, is_same_host
from auditor.ruleset.known_problems import roles_of_request
from auditor.ruleset.lint import CLIENT, MANAGEMENT_POINT, SITE_SERVER
from auditor.ruleset.statements import say
from auditor.sources.configmgr.facts import FactKind, ReportedStep, ServedRequest, StepOutcome
from auditor.sources.source import Source
from auditor.verdicts.installations.contacts import Contact, Pair
from auditor.verdicts.installations.dns_names import NO_DNS, DnsNames, DnsResponse
from auditor.verdicts.installations.pushes import JUDGED
from auditor.verdicts.installations.reported import (
    Directory,
    FromSource,
    Located,
    LocatedComputer,
    ReportedComputer,
    SameNames,
    TrafficTimes,
    has_other_name,
    locate,
    reported_computers,
    resolved_clients,
)

UNKNOWN_SITE_SERVER = ""  # ccm.log does not name the computer that writes it
ROLE_FACTS = {
    FactKind.MANAGEMENT_POINT: MANAGEMENT_POINT,
    FactKind.DISTRIBUTION_POINT: "distribution-point",
    FactKind.FALLBACK_STATUS_POINT: "fallback-status-point",
}


@dataclass(frozen=True)
class InstallationLogs:
    """What the logs of ConfigMgr report, with the addresses of its computers.

    Attributes:
        computers: By address, or by name where the address is unknown.
        site_servers: The address of the site server by source, of logs of site servers; empty if it is unknown.
        pushes: By site server and client, with the reason and the steps.
        assignments: The roles that the logs name.
        served: The requests that logs of IIS have, by the address of the client.
        iis_servers: By log of IIS the addresses of its computer.
        notes: What was assumed, for the limitations.
    """

    computers: Mapping[str, ReportedComputer] = field(default_factory=dict)
    site_servers: Mapping[int, str] = field(default_factory=dict)
    pushes: Mapping[Pair, tuple[str, tuple[PushStep, ...]]] = field(default_factory=dict)
    assignments: tuple[RoleAssignment, ...] = ()
    served: Mapping[str, Sequence[FromSource[ServedRequest]]] = field(default_factory=dict)
    iis_servers: Mapping[int, frozenset[str]] = field(default_factory=dict)
    notes: tuple[str, ...] = ()

    def joined(self, pushes: Iterable[Push]) -> tuple[Push, ...]:
        """Return the pushes of the traffic and those of the logs, each pair once, in order of address."""
        joined = {(push.from_address, push.to_address): push for push in pushes}
        for pair, (why, steps) in self.pushes.items():
            seen = joined.get(pair)
            earlier = seen.steps if seen else ()
            joined[pair] = Push("", *pair, PUSH, CERTAIN, why, (*earlier, *steps))
        ordered = sorted(joined, key=lambda pair: (by_number(pair[1]), by_number(pair[0])))
        return tuple(replace(joined[pair], id=f"push-{number}") for number, pair in enumerate(ordered, 1))


NO_LOGS = InstallationLogs()


@dataclass(frozen=True)
class ReportedLogs:
    """What the logs of ConfigMgr contain, whatever the traffic shows.

    Attributes:
        computers: Those that the logs report an installation on.
        site_systems: The roles that logs of IIS show of their computers.
        served: As of InstallationLogs.
        iis_servers: As of InstallationLogs.
    """

    computers: Sequence[ReportedComputer]
    site_systems: tuple[RoleAssignment, ...]
    served: Mapping[str, Sequence[FromSource[ServedRequest]]]
    iis_servers: Mapping[int, frozenset[str]]


def reported_logs(sources: Sequence[Source]) -> ReportedLogs:
    """Return what the logs of ConfigMgr among the sources contain.

    Args:
        sources: All that were read.
    """
    site_systems = tuple(_site_systems(sources))
    return ReportedLogs(reported_computers(sources), site_systems, _served(sources), _iis_servers(sources))


def installation_logs(
    sources: Sequence[Source],
    names: Mapping[str, Iterable[str]],
    configured: ConfiguredRoles,
    pushes: Sequence[Push],
    contacts: Mapping[Pair, Contact],
    dns: DnsNames = NO_DNS,
    contents: ReportedLogs | None = None,
) -> InstallationLogs:
    """Return what the logs of ConfigMgr among the sources report.

    Args:
        sources: All that were read.
        names: By address the names that the protocols show.
        configured: The roles that were set.
        pushes: What the traffic shows.
        contacts: Who contacted whom at the ports of a push.
        dns: What DNS responses in captures resolve.
        contents: What the logs contain, if it is known.
    """
    contents = contents or reported_logs(sources)
    of_iis = replace(
        NO_LOGS, assignments=contents.site_systems, served=contents.served, iis_servers=contents.iis_servers
    )
    computers = _chosen(contents.computers, configured, sources)
    if not computers:
        return of_iis
    traffic = [push for push in pushes if push.kind in JUDGED and configured.covers(CLIENT, push.to_address)]
    directory = Directory(names)
    times = _times(traffic, contacts, sources, names)
    located = locate(computers, directory, configured.hosts(CLIENT), times, dns)
    site_servers = _site_servers(located, traffic, configured)
    return replace(
        of_iis,
        computers={place.address: place.computer for place in located},
        site_servers=site_servers,
        pushes=dict(_pushes(sources, located, site_servers, traffic, configured)),
        assignments=(*_assignments(sources, located, directory, dns), *contents.site_systems),
        notes=(*_assumed(located), *_dns_conflicts(located, times, dns)),
    )


def _assumed(located: Sequence[LocatedComputer]) -> Iterator[str]:
    for place in located:
        if place.located is Located.BY_TIME:
            yield say("role.assumed-computer", name=place.computer.name, address=place.address)


def _dns_conflicts(located: Sequence[LocatedComputer], traffic: Sequence[TrafficTimes], dns: DnsNames) -> Iterator[str]:
    """Yield why a computer was not joined with the client to which DNS responses resolve its name."""
    for place in located:
        resolved = resolved_clients(place.computer, dns, traffic)
        if place.located is not Located.NOT or not resolved:
            continue
        fields = {"name": place.computer.name, "addresses": ", ".join(push.client for push in resolved)}
        if len(resolved) > 1:
            yield say("role.dns-several", **fields)
        elif has_other_name(place.computer, resolved[0]):
            yield say("role.dns-other-name", other=min(resolved[0].names), **fields)
        else:
            yield say("role.dns-shared", other=_sharing(place, resolved[0].client, located, dns), **fields)


def _sharing(place: LocatedComputer, client: str, located: Sequence[LocatedComputer], dns: DnsNames) -> str:
    """Return the name of another computer at the address of a client, or that DNS responses resolve to it."""
    others = (other for other in located if other is not place)
    return next(
        other.computer.name
        for other in others
        if other.address == client or client in dns.addresses(other.computer.host_name)
    )


def _chosen(
    computers: Sequence[ReportedComputer], configured: ConfiguredRoles, sources: Sequence[Source]
) -> list[ReportedComputer]:
    """Return the computers that the user named, also those of which no log of a site server reports; else all."""
    names = configured.host_names.get(CLIENT, ())
    if not names:
        return list(computers)
    chosen = [computer for computer in computers if any(is_same_host(name, computer.name) for name in names)]
    logged = any(source.reported and source.reported.requests for source in sources)
    missing = [name for name in names if not any(is_same_host(name, computer.name) for computer in chosen)]
    return [*chosen, *(ReportedComputer(name) for name in missing if logged)]


def _times(
    traffic: Sequence[Push],
    contacts: Mapping[Pair, Contact],
    sources: Sequence[Source],
    names: Mapping[str, Iterable[str]],
) -> list[TrafficTimes]:
    """Return when each client of the traffic was contacted; its pushes as one."""
    comparable = all(source.clock == "utc" for source in sources)
    times: dict[str, tuple[int, int] | None] = {}
    for push in traffic:
        contact = contacts.get((push.from_address, push.to_address))
        if contact is None or not comparable:
            times.setdefault(push.to_address, None)
            continue
        first, last = times.get(push.to_address) or (contact.first_ns, contact.last_ns)
        times[push.to_address] = min(first, contact.first_ns), max(last, contact.last_ns)
    return [TrafficTimes(client, of_client, tuple(names.get(client, ()))) for client, of_client in times.items()]


# site servers


def _site_servers(
    located: Sequence[LocatedComputer],
    traffic: Sequence[Push],
    configured: ConfiguredRoles,
) -> dict[int, str]:
    """Return the address of the site server whose log each source is, of sources that hold push requests."""
    set_hosts = configured.hosts(SITE_SERVER)
    clients: dict[int, set[str]] = {}
    for place in located:
        for request in place.computer.requests:
            clients.setdefault(request.source, set()).add(place.address)
        for status in place.computer.statuses:
            clients.setdefault(status.source, set()).add(place.address)
    return {source: _site_server(of_source, traffic, set_hosts) for source, of_source in clients.items()}


def _site_server(clients: set[str], traffic: Sequence[Push], set_hosts: Sequence[str]) -> str:
    if len(set_hosts) == 1:
        return set_hosts[0]
    of_clients = {push.from_address for push in traffic if push.to_address in clients}
    pushing = of_clients or {push.from_address for push in traffic}
    return next(iter(pushing)) if len(pushing) == 1 else UNKNOWN_SITE_SERVER


# pushes


def _pushes(
    sources: Sequence[Source],
    located: Sequence[LocatedComputer],
    site_servers: Mapping[int, str],
    traffic: Sequence[Push],
    configured: ConfiguredRoles,
) -> Iterator[tuple[Pair, tuple[str, tuple[PushStep, ...]]]]:
    """Yield each push that the logs report, with why it is one and what they report of its steps."""
    for place in located:
        by_server: dict[str, list[PushStep]] = {}
        reasons: dict[str, str] = {}
        for request in place.computer.requests:
            server, record = site_servers[request.source], request.record
            path = sources[request.source].path
            reasons[server] = say("push.request", id=record.id, path=path, line=record.first_line)
            by_server.setdefault(server, []).extend(_steps(sources, request.source, record.steps))
        if pushed := place.computer.pushed:
            server = next(iter(by_server)) if len(by_server) == 1 else ""
            if not by_server:
                server = _site_server({place.address}, traffic, configured.hosts(SITE_SERVER))
            path = sources[pushed.source].path
            reasons.setdefault(server, say("push.command-line", path=path, line=pushed.record.line))
            for run in place.computer.installations:
                by_server.setdefault(server, []).extend(_steps(sources, run.source, run.record.steps))
        for server, steps in by_server.items():
            yield (server, place.address), (reasons[server], tuple(steps))


def _steps(sources: Sequence[Source], source: int, steps: Iterable[ReportedStep]) -> list[PushStep]:
    local = sources[source].clock == "local"
    return [_step(source, step, local=local) for step in steps if step.outcome is not StepOutcome.NEUTRAL]


def _step(source: int, record: ReportedStep, *, local: bool) -> PushStep:
    """Return a step of a log as the report has it. local: whether the log has local times of an unknown zone."""
    return PushStep(
        step=say(f"reported-step.{record.step}"),
        status=record.outcome.value,
        code=record.written_code or (str(record.status) if record.status is not None else ""),
        time=utc_text(record.time_ns, local=local),
        source=source,
        frames=(),
        lines=(record.line,),
        kind=record.step.value,
        object=record.target,
    )


# roles


def _assignments(
    sources: Sequence[Source], located: Sequence[LocatedComputer], directory: Directory, dns: DnsNames
) -> Iterator[RoleAssignment]:
    """Yield the roles that the logs name: the computers themselves, and the site systems that they state."""
    facts = [fact for place in located for fact in place.computer.facts if fact.record.kind in ROLE_FACTS]
    hosts = SameNames(host_of(fact.record.value) for fact in facts)
    for place in located:
        if place.computer.first_line is None:
            yield RoleAssignment(CLIENT, place.address, GIVEN, say("role.given"), name=place.computer.name)
            continue
        source, line = place.computer.first_line
        why = say("role.in-log", path=sources[source].path, line=line)
        if place.located is Located.BY_DNS:
            why = _by_dns(sources[source].path, line, dns.addresses(place.computer.host_name)[place.address])
        sure = LIKELY if place.located in (Located.BY_TIME, Located.BY_DNS) else CERTAIN
        yield RoleAssignment(CLIENT, place.address, READ, why, name=place.computer.host_name, how_sure=sure)
    for fact in facts:
        host = host_of(fact.record.value)
        why = say("role.in-log", path=sources[fact.source].path, line=fact.record.line)
        address = directory.address(host)
        if not address and (address := dns.address(host)):
            why = _by_dns(sources[fact.source].path, fact.record.line, dns.addresses(host)[address])
        address = address or hosts.key(host)
        yield RoleAssignment(ROLE_FACTS[fact.record.kind], address, READ, why, name=host)


def _by_dns(path: str, line: int, response: DnsResponse) -> str:
    capture, (name, address, frame) = response
    return say("role.in-log-by-dns", path=path, line=line, capture=capture, frame=frame, name=name, address=address)


def _site_systems(sources: Sequence[Source]) -> Iterator[RoleAssignment]:
    """Yield the roles of computers whose log of IIS has requests for what only such a site system has."""
    for source in sources:
        for request in source.reported.served if source.reported else ():
            roles = set(roles_of_request(request.method, request.path).values())
            why = say("role.in-log", path=source.path, line=request.line)
            yield from (RoleAssignment(role, request.server, READ, why) for role in sorted(roles) if request.server)


def _served(sources: Sequence[Source]) -> dict[str, list[FromSource[ServedRequest]]]:
    by_client: dict[str, list[FromSource[ServedRequest]]] = {}
    for number, source in enumerate(sources):
        for request in source.reported.served if source.reported else ():
            by_client.setdefault(request.client, []).append(FromSource(number, request))
    return by_client


def _iis_servers(sources: Sequence[Source]) -> dict[int, frozenset[str]]:
    """Return the addresses of the computer by its log of IIS, of logs that have requests of clients."""
    return {
        number: frozenset(request.server for request in source.reported.served if request.server)
        for number, source in enumerate(sources)
        if source.reported and source.reported.served
    }


def host_of(place: str) -> str:
    """Return the host of a URL, or of a plain host name."""
    return (urlsplit(place).hostname or "") if "//" in place else place.partition(":")[0]
