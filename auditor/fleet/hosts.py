"""Which sources are of one host: those with its name, its address, or the name of one log in parts."""

from __future__ import annotations

import re
from collections import Counter, defaultdict
from collections.abc import Iterable, Sequence
from typing import NamedTuple

ROTATED = re.compile(r"(\.log)?(\.old|\.gz|\.\d{1,3})*$", re.IGNORECASE)


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

    A source without a name is of the named host that has its address, if only one has; else its first address stands
    for its host. The halves of a log that was rolled over are of one host. Without an address the path stands for it.
    """
    every = list(known)
    named, unnamed = [one for one in every if one.host], [one for one in every if not one.host]
    owner = _owners(named)
    found: dict[Host, list[Known]] = defaultdict(list)
    for one in named:
        found[Host(one.site, one.host)].append(one)
    for logs in _parts(unnamed).values():
        for one in logs:
            found[_host_of(one, logs, owner)].append(one)
    return dict(sorted(found.items()))


def _host_of(one: Known, parts: Sequence[Known], owner: dict[tuple[str, str], str]) -> Host:
    names = {owner[one.site, address] for address in one.addresses[:1] if (one.site, address) in owner}
    if names:
        return Host(one.site, min(names))
    first = Counter(part.addresses[0] for part in parts if part.addresses).most_common()
    shared = sorted((-count, address) for address, count in first)
    alone = one.addresses[:1] if len(first) > 1 and not _is_rolled(parts) else ()
    return Host(one.site, next(iter(alone), shared[0][1] if shared else one.path))


def _is_rolled(parts: Sequence[Known]) -> bool:
    """Tell whether these are the parts of one log rather than what one capture says of several hosts."""
    return len({part.path for part in parts}) == len(parts)


def _owners(named: Iterable[Known]) -> dict[tuple[str, str], str]:
    """Return which host has an address, at each site; none if several had it in turn."""
    owners: dict[tuple[str, str], set[str]] = defaultdict(set)
    for one in named:
        for address in one.addresses:
            owners[one.site, address].add(one.host)
    return {key: min(names) for key, names in owners.items() if len(names) == 1}


def _parts(known: Iterable[Known]) -> dict[tuple[str, str], list[Known]]:
    """Return logs that are parts of one, by the name that they have in common."""
    parts: dict[tuple[str, str], list[Known]] = defaultdict(list)
    for one in sorted(known):
        parts[one.site, ROTATED.sub("", one.path)].append(one)
    return parts
