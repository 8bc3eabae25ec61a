"""Which sources are of one host: those with its name, its address, or the name of one log in parts."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator, Sequence
from typing import NamedTuple

from auditor.fleet.inventory.host_names import before_rotation

ANY_SITE = ""  # nobody said which


class Known(NamedTuple):
    """What is known of one row of a summary without reading all of it: as of an entry, and where it stands.

    shard, row: the file and the row in it; asking: what the summary was made for.
    """

    host: str
    site: str
    path: str
    size: int
    modified_ns: int
    digest: str
    records: int
    skipped: int
    addresses: tuple[str, ...]
    shard: str
    row: int
    asking: str


class Host(NamedTuple):
    """One host: its site ("" if nobody said it) and its name, or what stands for it."""

    site: str
    name: str


def by_host(known: Iterable[Known]) -> dict[Host, list[Known]]:
    """Return the sources of every host, in the order of site and name.

    A source without a name is of the named host that has its first address: at its site, at any site if nobody said
    its own; but only if no second one has it. Else that address stands for its host. The parts of a log that was rolled
    over are of one host if they have an address in common, or if one of two has none. Else the path stands for what is
    without an address.
    """
    every = list(known)
    named, unnamed = [one for one in every if one.host], [one for one in every if not one.host]
    owners = _owners(named)
    found: dict[Host, list[Known]] = defaultdict(list)
    for one in named:
        found[Host(one.site, one.host)].append(one)
    for logs in _alike(unnamed).values():
        for parts in _of_one_host(logs):
            found[_host_of(parts, owners)] += parts
    return dict(sorted(found.items()))


def _host_of(parts: Sequence[Known], owners: dict[tuple[str, str], Host]) -> Host:
    """Return whose these parts of one log are."""
    site = parts[0].site
    first = Counter(part.addresses[0] for part in parts if part.addresses)
    hosts = {owners[site, address] for address in first if (site, address) in owners}
    if len(hosts) == 1:
        return min(hosts)
    likeliest = min(first, key=lambda address: (-first[address], address), default=parts[0].path)
    return Host(site, likeliest)


def _owners(named: Iterable[Known]) -> dict[tuple[str, str], Host]:
    """Return which host has an address, at each site and at ANY_SITE; none if several had it in turn."""
    owners: dict[tuple[str, str], set[Host]] = defaultdict(set)
    for one in named:
        for address in one.addresses:
            for site in (one.site, ANY_SITE):
                owners[site, address].add(Host(one.site, one.host))
    return {key: min(hosts) for key, hosts in owners.items() if len(hosts) == 1}


def _alike(known: Iterable[Known]) -> dict[tuple[str, str], list[Known]]:
    """Return what may be parts of one log: its names differ only in what is added when it is rolled over or packed."""
    alike: dict[tuple[str, str], list[Known]] = defaultdict(list)
    for one in sorted(known):
        alike[one.site, before_rotation(one.path.lower()).removesuffix(".log")].append(one)
    return alike


def _of_one_host(logs: Sequence[Known]) -> Iterator[list[Known]]:
    """Yield the parts of one log each: 10.0.1.1 and 10.0.1.2 are alike too, but have no address in common.

    An address that is the first one of none does not count: it may be one at which all of a network receive.
    """
    firsts = {one.addresses[0] for one in logs if one.addresses}
    joined: dict[str, str] = {}
    for one in logs:
        for address in firsts.intersection(one.addresses):
            joined[_end(joined, address)] = _end(joined, one.addresses[0])
    parts: dict[str, list[Known]] = defaultdict(list)
    for one in logs:
        parts[_end(joined, one.addresses[0]) if one.addresses else ""].append(one)
    silent = parts.pop("", [])
    if len(parts) == 1:
        next(iter(parts.values())).extend(silent)
    else:
        yield from ([one] for one in silent)
    yield from parts.values()


def _end(joined: dict[str, str], address: str) -> str:
    """Return what stands for all addresses that are joined with this one."""
    while (after := joined.setdefault(address, address)) != address:
        joined[address] = address = joined[after]
    return address
