"""Which sources are of one host: those with its name, its address, or the name of one log in parts.

A log is of the computer that wrote it. A capture is of every computer in it, which only all sources together show.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from functools import cached_property
from typing import NamedTuple

from auditor.fleet.inventory.host_names import Owner, before_rotation
from auditor.sources.source import CAPTURE, IIS_LOG

ANY_SITE = ""  # unknown
Row = tuple[str, int]  # a shard and the number of a row in it
Clients = Mapping[str, Collection[str]]  # their addresses by site
Pushed = Mapping[Row, Collection[str]]


class IndexEntry(NamedTuple):
    """What is known of one row of a summary without reading all of it: as of an entry, and where it stands.

    Attributes:
        shard: The file in which the row stands.
        row: Its number.
        asking: What the summary was made for.
        is_part: Whether only what concerns `addresses` is of the host: a capture is of several.
        log_name: The name in the log, where the host has another one.
    """

    host: str
    site: str
    path: str
    kind: str
    size: int
    modified_ns: int
    digest: str
    records: int
    skipped: int
    left_out: int
    addresses: tuple[str, ...]
    owners: tuple[Owner, ...]
    shard: str
    row: int
    asking: str
    is_part: bool = False
    log_name: str = ""

    @property
    def is_capture(self) -> bool:
        """Whether any host in it may be the one that it is of."""
        return self.kind == CAPTURE

    def about(self, *addresses: str) -> IndexEntry:
        """Return what of it concerns some addresses."""
        return self._replace(addresses=addresses, is_part=True)


class Host(NamedTuple):
    """One host: its site ("" if unknown) and its name, or what stands for it."""

    site: str
    name: str


Hosts = dict[Host, list[IndexEntry]]


class Owners:
    """Whose each address is, at each site and at ANY_SITE: of no host if several had it in turn."""

    def __init__(self, *parts: Mapping[Host, Iterable[IndexEntry]]) -> None:
        self._found = parts
        self._maps: dict[Row, dict[str, Host]] = {}

    @cached_property
    def _hosts(self) -> dict[tuple[str, str], Host]:
        owners: dict[tuple[str, str], set[Host]] = defaultdict(set)
        for host, of_host in (items for hosts in self._found for items in hosts.items()):
            for address in {address for entry in of_host for address in entry.addresses}:
                for site in (host.site, ANY_SITE):
                    owners[site, address].add(host)
        return {key: min(hosts) for key, hosts in owners.items() if len(hosts) == 1}

    def of(self, site: str, address: str) -> Host | None:
        """Return which host has an address."""
        return self._hosts.get((site, address))

    def named(self, entry: IndexEntry, address: str) -> Host | None:
        """Return which host has an address in a source: as logs show, else as the map says."""
        return self.of(entry.site, address) or self._map(entry).get(address)

    def _map(self, entry: IndexEntry) -> dict[str, Host]:
        row = entry.shard, entry.row
        if row not in self._maps:
            self._maps[row] = {owner.address: Host(owner.site or entry.site, owner.host) for owner in entry.owners}
        return self._maps[row]

    def site_of(self, entry: IndexEntry, src: str, dst: str) -> str:
        """Return at which site two hosts met: that of the source, else that of the computer that either is."""
        if entry.site:
            return entry.site
        return next((host.site for host in (self.named(entry, dst), self.named(entry, src)) if host), ANY_SITE)


def owners_of(index: Iterable[IndexEntry]) -> Owners:
    """Return whose each address is by the logs."""
    logs = sorted(entry for entry in index if not entry.is_capture)
    named = _of_names(logs)
    return Owners(named, _of_unnamed(logs, Owners(named)))


def by_host(index: Iterable[IndexEntry], clients: Clients | None = None, pushed: Pushed | None = None) -> Hosts:
    """Return the sources of every host, in the order of site and name.

    A log without a name is of the named host that has its first address: at its site, or at any site if its own
    is unknown; but only if no second one has it. Else that address stands for its host. The parts of a log that rolled
    over are of one host if they have an address in common, or if one of two has none. Else the path stands for what is
    without an address.

    A log of IIS makes no host: it is of every host that it has a request of.

    A capture is of every client in it, and of every host with a log that has an address in it. Its path names a client
    only if no log or map shows whose the folder is, and if the captures in the folder are of one client.

    Args:
        index: All rows of all summaries.
        clients: The addresses of the clients by site.
        pushed: By row of a log of another computer, the clients to which it shows a push.
    """
    ordered, clients, pushed = sorted(index), clients or {}, pushed or {}
    served = [entry for entry in ordered if entry.kind == IIS_LOG]
    ordered = [entry for entry in ordered if entry.kind != IIS_LOG]
    logs, captures = ([entry for entry in ordered if entry.is_capture is kind] for kind in (False, True))
    hosts = _of_names(logs)
    folders = _of_folders(captures, hosts, clients)
    for host, of_host in _of_unnamed(logs, Owners(hosts, folders)).items():
        hosts[host] += of_host
    owners = Owners({**hosts}, folders)
    for entry in captures:
        alone = Host(entry.site, entry.host or entry.path)
        for host, addresses in (_computers(entry, entry.addresses, owners, clients) or {alone: []}).items():
            hosts[host].append(entry.about(*addresses))
    for entry in logs:
        for host, addresses in _computers(entry, pushed.get((entry.shard, entry.row), ()), owners, clients).items():
            hosts[host].append(entry.about(*addresses))
    for host, entry in _served(served, Owners({**hosts})):
        hosts[host].append(entry)
    return dict(sorted(hosts.items()))


def _served(rows: Iterable[IndexEntry], owners: Owners) -> Iterator[tuple[Host, IndexEntry]]:
    """Yield what logs of IIS have of each host that other sources show: who else is served need be no client."""
    for row in rows:
        for address in row.addresses:
            if host := owners.of(row.site, address):
                yield host, row


def _of_names(logs: Iterable[IndexEntry]) -> Hosts:
    """Return the logs whose path names their host."""
    hosts: Hosts = defaultdict(list)
    for log in logs:
        if log.host:
            hosts[Host(log.site, log.host)].append(log)
    return hosts


def _of_unnamed(logs: Iterable[IndexEntry], owners: Owners) -> Hosts:
    """Return the other logs."""
    hosts: Hosts = defaultdict(list)
    for alike in _alike(log for log in logs if not log.host).values():
        for parts in _of_one_host(alike):
            hosts[_host_of(parts, owners)] += parts
    return hosts


def _host_of(parts: Sequence[IndexEntry], owners: Owners) -> Host:
    """Return whose these parts of one log are."""
    site = parts[0].site
    counts = Counter(part.addresses[0] for part in parts if part.addresses)
    hosts = {host for address in counts if (host := owners.of(site, address))}
    if len(hosts) == 1:
        return min(hosts)
    likeliest = min(counts, key=lambda address: (-counts[address], address), default=parts[0].path)
    return Host(site, likeliest)


def _of_folders(captures: Iterable[IndexEntry], named: Hosts, clients: Clients) -> Hosts:
    """Return the captures whose path names the client in them, as far as they are about it.

    Nothing shows whose folder it is if a log in it has another address, if two clients are in its captures, or if one
    client is in the captures of two folders: a capture may be of the site server, or of a mirror port.
    """
    owners = Owners(named)
    folders: dict[Host, dict[str, list[IndexEntry]]] = defaultdict(lambda: defaultdict(list))
    for capture in captures:
        for host, addresses in _computers(capture, capture.addresses, owners, clients).items() if capture.host else ():
            for address in addresses:
                if address in clients.get(host.site, ()):
                    folders[Host(capture.site, capture.host)][address].append(capture.about(address))
    named_hosts = {host for host, of_host in named.items() if any(entry.addresses for entry in of_host)}
    alone = {host: folder for host, folder in folders.items() if len(folder) == 1 and host not in named_hosts}
    claims = Counter((host.site, address) for host, folder in alone.items() for address in folder)
    return {
        host: of_host
        for host, folder in alone.items()
        for address, of_host in folder.items()
        if claims[host.site, address] == 1 and not owners.named(of_host[0], address)
    }


def _computers(entry: IndexEntry, among: Iterable[str], owners: Owners, clients: Clients) -> dict[Host, list[str]]:
    """Return the computers that a source is about, each with its addresses in it."""
    computers: dict[Host, list[str]] = defaultdict(list)
    for address in among:
        host = owners.named(entry, address) or Host(entry.site, address)
        if owners.of(entry.site, address) or address in clients.get(host.site, ()):
            computers[host].append(address)
    return computers


def _alike(index: Iterable[IndexEntry]) -> dict[tuple[str, str], list[IndexEntry]]:
    """Return what may be parts of one log: its names differ only in what is added when it is rolled over or packed."""
    alike: dict[tuple[str, str], list[IndexEntry]] = defaultdict(list)
    for entry in sorted(index):
        alike[entry.site, before_rotation(entry.path.lower()).removesuffix(".log")].append(entry)
    return alike


def _of_one_host(logs: Sequence[IndexEntry]) -> Iterator[list[IndexEntry]]:
    """Yield the parts of one log each: 10.0.1.1 and 10.0.1.2 are alike too, but have no address in common.

    An address that is the first one of none does not count: it may be one at which all of a network receive.
    """
    firsts = {log.addresses[0] for log in logs if log.addresses}
    joined: dict[str, str] = {}
    for entry in logs:
        for address in firsts.intersection(entry.addresses):
            joined[_end(joined, address)] = _end(joined, entry.addresses[0])
    parts: dict[str, list[IndexEntry]] = defaultdict(list)
    for entry in logs:
        parts[_end(joined, entry.addresses[0]) if entry.addresses else ""].append(entry)
    silent = parts.pop("", [])
    if len(parts) == 1:
        next(iter(parts.values())).extend(silent)
    else:
        yield from ([entry] for entry in silent)
    yield from parts.values()


def _end(joined: dict[str, str], address: str) -> str:
    """Return what stands for all addresses that are joined with this one."""
    while (target := joined.setdefault(address, address)) != address:
        joined[address] = address = joined[target]
    return address
