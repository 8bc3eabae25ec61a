"""Which computers ConfigMgr's own logs report an installation on, and which hosts of the traffic they are.

ConfigMgr writes names where packets have addresses. A name is resolved by what the sources themselves show: names in
the protocols, the addresses that CCMSetup reports of its own computer, roles that the user set, and, where there is
one candidate on either side, the time.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from enum import StrEnum
from pathlib import PureWindowsPath
from typing import Generic, NamedTuple, TypeVar

from auditor.ruleset.addresses import canonical
from auditor.ruleset.given_roles import is_same_host
from auditor.sources.configmgr.facts import (
    FactKind,
    Installation,
    MachineStatus,
    PushRequest,
    ReportedFact,
    ReportedStep,
)
from auditor.sources.source import Source
from auditor.verdicts.installations.dns_names import NO_DNS, DnsNames

BESIDE_PUSH_NS = 600_000_000_000  # between what a log reports of a push and its packets: clocks differ by minutes

Record = TypeVar("Record")


class FromSource(NamedTuple, Generic[Record]):
    """What one source reports. source: its index in the report."""

    source: int
    record: Record


class Located(StrEnum):
    """How the address of a computer is known that a log names."""

    BY_NAME = "by-name"  # a protocol shows the name at the address
    BY_LOG = "by-log"  # CCMSetup reports the address of its computer
    BY_DNS = "by-dns"  # a DNS response in a capture has the address, and a push went to it
    BY_ROLE = "by-role"  # the only client that the user set
    BY_TIME = "by-time"  # the only push in the traffic at the time of the only one in the log
    NOT = "not"  # only the name is known


@dataclass(frozen=True)
class ReportedComputer:
    """A computer that logs report an installation on.

    Attributes:
        name: As the logs write it, or that of the log if it does not name its computer.
        addresses: Those that CCMSetup reports of its own computer.
        requests: Push requests for it, in the order of sources and lines.
        installations: Runs of CCMSetup on it.
        steps: Steps outside of those.
        statuses: Its rows in exports of v_CP_Machine.
        facts: What its logs state.
        is_named: Whether a log names it.
    """

    name: str
    addresses: tuple[str, ...] = ()
    requests: tuple[FromSource[PushRequest], ...] = ()
    installations: tuple[FromSource[Installation], ...] = ()
    steps: tuple[FromSource[ReportedStep], ...] = ()
    statuses: tuple[FromSource[MachineStatus], ...] = ()
    facts: tuple[FromSource[ReportedFact], ...] = ()
    is_named: bool = True

    @property
    def host_name(self) -> str:
        """Its name, empty if no log names it."""
        return self.name if self.is_named else ""

    @property
    def pushed(self) -> FromSource[ReportedFact] | None:
        """The command line of CCMSetup that is that of a push, the last one."""
        return next((fact for fact in reversed(self.facts) if fact.record.kind is FactKind.PUSHED), None)

    @property
    def first_line(self) -> FromSource[int] | None:
        """The line that first names the computer, or reports of it; None if no log does."""
        lines = [FromSource(request.source, request.record.first_line) for request in self.requests]
        lines += [FromSource(status.source, status.record.line) for status in self.statuses]
        lines += [FromSource(run.source, run.record.first_line) for run in self.installations]
        lines += [FromSource(step.source, step.record.line) for step in self.steps]
        return lines[0] if lines else None

    @property
    def times(self) -> tuple[int, int] | None:
        """From when until when the logs report of it, in nanoseconds since 1970; None if they give no time."""
        records: list[PushRequest | Installation] = [request.record for request in self.requests]
        records += [installation.record for installation in self.installations]
        begins = [record.first_ns for record in records if record.first_ns is not None]
        ends = [record.last_ns for record in records if record.last_ns is not None]
        return (min(begins), max(ends)) if begins and ends else None


@dataclass
class _Collected:
    """What was collected of one computer so far."""

    names: dict[str, None] = field(default_factory=dict)
    is_named: bool = True
    requests: list[FromSource[PushRequest]] = field(default_factory=list)
    installations: list[FromSource[Installation]] = field(default_factory=list)
    steps: list[FromSource[ReportedStep]] = field(default_factory=list)
    statuses: list[FromSource[MachineStatus]] = field(default_factory=list)
    facts: list[FromSource[ReportedFact]] = field(default_factory=list)

    def computer(self) -> ReportedComputer:
        """Return the computer, under the longest of its names."""
        addresses = (fact.record.value for fact in self.facts if fact.record.kind is FactKind.COMPUTER_ADDRESS)
        return ReportedComputer(
            max(self.names, key=len),
            tuple(dict.fromkeys(filter(None, map(canonical, addresses)))),
            tuple(self.requests),
            tuple(self.installations),
            tuple(self.steps),
            tuple(self.statuses),
            tuple(self.facts),
            self.is_named,
        )


def reported_computers(sources: Sequence[Source]) -> tuple[ReportedComputer, ...]:
    """Return the computers that the logs of ConfigMgr among the sources report on, in order of name.

    A log of a client that does not name its computer is that of the only computer that others name, if there is one;
    else it is of the same computer as the others of its folder.
    """
    names = SameNames(_all_names(sources))
    collected: dict[str, _Collected] = defaultdict(_Collected)
    nameless: list[int] = []
    for number, source in enumerate(sources):
        if source.reported is None:
            continue
        for request in source.reported.requests:
            _of_record(collected, names, request.machine, source).requests.append(FromSource(number, request))
        for status in source.reported.machines:
            _of_record(collected, names, status.machine, source).statuses.append(FromSource(number, status))
        if source.reported.installations or source.reported.steps:
            name = _own_name(source)
            if name:
                _add_own(_of(collected, names, name), number, source)
            else:
                nameless.append(number)
    only = next(iter(collected.values())) if len(collected) == 1 else None
    for number, label in _labels(sources, nameless).items():
        _add_own(only or _of_nameless(collected, label), number, sources[number])
    return tuple(collected[key].computer() for key in sorted(collected))


def _of(collected: Mapping[str, _Collected], names: SameNames, name: str) -> _Collected:
    of_computer = collected[names.key(name)]
    of_computer.names[name] = None
    return of_computer


def _add_own(own: _Collected, number: int, source: Source) -> None:
    """Add what a log reports that a computer writes about itself."""
    assert source.reported is not None
    own.installations += [FromSource(number, installation) for installation in source.reported.installations]
    own.steps += [FromSource(number, step) for step in source.reported.steps]
    own.facts += [FromSource(number, fact) for fact in source.reported.all_facts]


def _labels(sources: Sequence[Source], nameless: Sequence[int]) -> dict[int, str]:
    """Return what stands for the computer of each log that does not name it.

    The logs of one folder are of one computer. The name of the first file stands for it, its path if two folders have
    such a file.
    """
    first: dict[str, str] = {}
    for number in nameless:
        first.setdefault(_folder(sources[number]), sources[number].path)
    files = Counter(PureWindowsPath(path).name for path in first.values())
    labels = {
        folder: path if files[(name := PureWindowsPath(path).name)] > 1 else name for folder, path in first.items()
    }
    return {number: labels[_folder(sources[number])] for number in nameless}


def _folder(source: Source) -> str:
    return str(PureWindowsPath(source.path).parent)


def _of_record(collected: Mapping[str, _Collected], names: SameNames, name: str, source: Source) -> _Collected:
    return _of(collected, names, name) if name.strip() else _of_nameless(collected, _file_name(source))


def _of_nameless(collected: Mapping[str, _Collected], label: str) -> _Collected:
    of_computer = collected[label.lower()]
    of_computer.names[label] = None
    of_computer.is_named = False
    return of_computer


def _file_name(source: Source) -> str:
    return PureWindowsPath(source.path).name


def _own_name(source: Source) -> str:
    facts = source.reported.all_facts if source.reported else ()
    names = (fact.value for fact in facts if fact.kind is FactKind.COMPUTER_NAME)
    return next(iter(names), "")


def _all_names(sources: Sequence[Source]) -> Iterator[str]:
    for source in sources:
        if source.reported is not None:
            yield from (request.machine for request in source.reported.requests)
            yield from (status.machine for status in source.reported.machines)
            if name := _own_name(source):
                yield name


class SameNames:
    """Which names are of one computer: a short one is that of a full one if only one begins with it.

    Args:
        names: All names that occur.
    """

    def __init__(self, names: Iterable[str]) -> None:
        self._full: dict[str, set[str]] = defaultdict(set)
        for name in names:
            lower = name.lower().rstrip(".")
            if "." in lower and not canonical(lower):
                self._full[lower.partition(".")[0]].add(lower)

    def key(self, name: str) -> str:
        """Return what stands for the computer of a name, whichever of its names it is."""
        lower = name.lower().rstrip(".")
        if "." in lower:
            return canonical(lower) or lower
        full = self._full.get(lower, set())
        return next(iter(full)) if len(full) == 1 else lower


class Directory:
    """Which address a host has whose name a log gives.

    Args:
        names: By address the names that the protocols show.
    """

    def __init__(self, names: Mapping[str, Iterable[str]]) -> None:
        pairs = [(address, name) for address, of_address in names.items() for name in of_address]
        self._same = SameNames(name for _, name in pairs)
        self._addresses: dict[str, set[str]] = defaultdict(set)
        for address, name in pairs:
            self._addresses[self._same.key(name)].add(address)

    def address(self, name: str) -> str:
        """Return the address of a name, empty if it is unknown or several hosts use the name."""
        if literal := canonical(name):
            return literal
        key = self._same.key(name)
        addresses = self._addresses.get(key) or self._addresses.get(key.partition(".")[0], set())
        return next(iter(addresses)) if len(addresses) == 1 else ""


class TrafficTimes(NamedTuple):
    """When the traffic of a push went on, None if its source has local times of an unknown zone.

    Attributes:
        names: Those of the client in the protocols. A client of another name is another computer.
    """

    client: str
    times: tuple[int, int] | None
    names: tuple[str, ...] = ()


class LocatedComputer(NamedTuple):
    """A computer of the logs with its address in the traffic, its name in lower case if that is unknown."""

    address: str
    located: Located
    computer: ReportedComputer


def locate(
    computers: Sequence[ReportedComputer],
    directory: Directory,
    set_clients: Sequence[str],
    traffic: Sequence[TrafficTimes],
    dns: DnsNames = NO_DNS,
) -> list[LocatedComputer]:
    """Return the computers with their addresses.

    Args:
        computers: Those that the logs report on.
        directory: The addresses that names have in the protocols.
        set_clients: The addresses of clients that the user set.
        traffic: The clients of the pushes in packets, firewall logs, and event logs.
        dns: What DNS responses in captures resolve.
    """
    places = [_by_records(computer, directory, traffic) for computer in computers]
    _add_by_dns(places, computers, dns, traffic)
    taken = {place.address for place in places if place}
    missing = [number for number, place in enumerate(places) if place is None]
    free = [push for push in traffic if push.client not in taken]
    if len(missing) == len(set_clients) == 1 and not taken.issuperset(set_clients):
        places[missing[0]] = _LocatedAt(set_clients[0], Located.BY_ROLE)
    else:
        by_number = {number: computers[number] for number in missing}
        for number, client in _by_time(by_number, free, dns).items():
            places[number] = _LocatedAt(client, Located.BY_TIME)
    return [
        LocatedComputer(*(place or _LocatedAt(computer.name.lower().rstrip("."), Located.NOT)), computer)
        for place, computer in zip(places, computers, strict=True)
    ]


class _LocatedAt(NamedTuple):
    address: str
    located: Located


def _by_records(computer: ReportedComputer, directory: Directory, traffic: Sequence[TrafficTimes]) -> _LocatedAt | None:
    """Return where a computer is by its name, or by what its own logs say; None if neither shows it."""
    if address := directory.address(computer.host_name):
        return _LocatedAt(address, Located.BY_NAME)
    pushed = {push.client for push in traffic}
    known = [address for address in computer.addresses if address in pushed] or computer.addresses
    return _LocatedAt(known[0], Located.BY_LOG) if known else None


def resolved_clients(computer: ReportedComputer, dns: DnsNames, traffic: Sequence[TrafficTimes]) -> list[TrafficTimes]:
    """Return the clients of the traffic to which DNS responses resolve the name of a computer.

    Args:
        computer: One that logs report on.
        dns: What the responses resolve.
        traffic: The clients of the pushes in the traffic.
    """
    addresses = dns.addresses(computer.host_name) if computer.host_name else {}
    return [push for push in traffic if push.client in addresses]


def has_other_name(computer: ReportedComputer, push: TrafficTimes) -> bool:
    """Tell whether the protocols show only names of another computer at an address."""
    return bool(push.names) and not any(is_same_host(name, computer.host_name) for name in push.names)


def _add_by_dns(
    places: list[_LocatedAt | None],
    computers: Sequence[ReportedComputer],
    dns: DnsNames,
    traffic: Sequence[TrafficTimes],
) -> None:
    """Add the places of computers whose names DNS responses resolve to one client that no other name leads to."""
    clients = {
        number: [push.client for push in resolved if not has_other_name(computers[number], push)]
        for number, place in enumerate(places)
        if place is None and (resolved := resolved_clients(computers[number], dns, traffic))
    }
    claims = Counter(client for of_computer in clients.values() for client in set(of_computer))
    claims.update(place.address for place in places if place)
    for number, of_computer in clients.items():
        if len(of_computer) == 1 and claims[of_computer[0]] == 1:
            places[number] = _LocatedAt(of_computer[0], Located.BY_DNS)


def _by_time(
    computers: Mapping[int, ReportedComputer], traffic: Sequence[TrafficTimes], dns: DnsNames
) -> dict[int, str]:
    """Return the clients of the traffic by computer, where the time leaves one candidate on either side."""
    candidates = {
        number: [
            push.client
            for push in traffic
            if not push.names and _overlap(computer.times, push.times) and not dns.addresses(computer.host_name)
        ]
        for number, computer in computers.items()
        if computer.requests or computer.pushed
    }
    claims = Counter(client for clients in candidates.values() for client in clients)
    return {
        number: clients[0] for number, clients in candidates.items() if len(clients) == 1 and claims[clients[0]] == 1
    }


def _overlap(reported: tuple[int, int] | None, traffic: tuple[int, int] | None) -> bool:
    """Tell whether a push in a log may be one in the traffic; times that cannot be compared rule nothing out."""
    if reported is None or traffic is None:
        return True
    return reported[0] - BESIDE_PUSH_NS <= traffic[1] and traffic[0] - BESIDE_PUSH_NS <= reported[1]
