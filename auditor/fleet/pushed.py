"""Which pushes are at each site of a fleet, and which sources show a push although they are of another computer."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import NamedTuple

from auditor.contacts import Contact, Pair
from auditor.fleet import judging, shards
from auditor.fleet.hosts import Known
from auditor.fleet.summary import Question
from auditor.flows import Asked
from auditor.given_roles import Given
from auditor.pushes import READERS, is_like_push
from auditor.roles import Cast
from auditor.ruleset_lint import SITE_SERVER

Row = tuple[str, int]  # a summary, and the row in it


class Target(NamedTuple):
    """A computer that is pushed: its site, and its address."""

    site: str
    address: str


@dataclass(frozen=True)
class Pushes:
    """The pushes of all sites that are asked one question.

    Attributes:
        casts: Who plays which role, by site.
        elsewhere: The rows of other computers that show a push to a computer, such as the log of its site server.
        uncertain: The computers to which only hosts push that may as well be clients that use a server.
    """

    casts: Mapping[str, Cast]
    elsewhere: Mapping[Target, tuple[Row, ...]]
    uncertain: frozenset[Target]


def pushes_of(known: Sequence[Known], question: Question) -> Pushes:
    """Return the pushes in the sources that are asked one question."""
    found = _Found(known, question.given)
    for shard, rows in _rows(known).items():
        for one in shards.contacts(Path(shard), rows.keys()):
            found.add(one, rows[one.row], (shard, one.row))
    return found.pushes(question)


def _rows(known: Iterable[Known]) -> dict[str, dict[int, Known]]:
    rows: dict[str, dict[int, Known]] = defaultdict(dict)
    for one in known:
        rows[one.shard][one.row] = one
    return rows


@dataclass(frozen=True)
class _Site:
    """What was found at one site.

    Attributes:
        outbound: What computers contacted by their own logs, as far as a push may be among it.
        elsewhere: By pair, the rows that show it and are not of the computer that is contacted.
    """

    contacts: list[Contact] = field(default_factory=list)
    outbound: list[Contact] = field(default_factory=list)
    asked: list[Sequence[Asked]] = field(default_factory=list)
    elsewhere: dict[Pair, set[Row]] = field(default_factory=lambda: defaultdict(set))


class _Found:
    """What was found in all sources so far, by site."""

    def __init__(self, known: Iterable[Known], given: Given) -> None:
        self._given = given
        self._own: dict[str, set[str]] = defaultdict(set)
        for one in known:
            self._own[one.site].update(one.addresses)
        self._sites = {site: _Site() for site in self._own}
        owners: dict[str, set[str]] = defaultdict(set)
        for site, addresses in self._own.items():
            for address in addresses:
                owners[address].add(site)
        self._only = {address: min(sites) for address, sites in owners.items() if len(sites) == 1}

    def add(self, shown: shards.Contacts, known: Known, row: Row) -> None:
        """Count what one source shows."""
        for contact in shown.contacts:
            site = self._sites[self._site_of(contact.dst, shown.site)]
            is_own = contact.dst in known.addresses
            is_outbound = not (is_own or shown.is_capture) and contact.src in (known.addresses or (contact.src,))
            if is_outbound and not self._may_push(contact):
                continue
            (site.outbound if is_outbound else site.contacts).append(contact)
            if not is_own:
                site.elsewhere[contact.src, contact.dst].add(row)
        if wanted := [one for one in shown.asked if one.target in self._own[shown.site]]:
            self._sites[shown.site].asked.append(wanted)

    def _site_of(self, address: str, site: str) -> str:
        """Return the site of a computer that a source of a site is about; of a source without one, the only one."""
        return site if site or address in self._own[site] else self._only.get(address, site)

    def _may_push(self, contact: Contact) -> bool:
        """Tell whether what a computer contacted by its own log may be a push.

        Every computer reads from servers. So without the roles this is only what looks like a push by itself, and what
        a firewall let through nowhere.
        """
        if self._given.names(SITE_SERVER):
            return self._given.covers(SITE_SERVER, contact.src)
        return not contact.controller and (is_like_push(contact) or not contact.accepted)

    def pushes(self, question: Question) -> Pushes:
        """Return the pushes at all sites."""
        contacts = {name: site.contacts for name, site in self._sites.items()}
        asked = {name: site.asked for name, site in self._sites.items()}
        casts = judging.casts(contacts, question, asked)
        servers = {name: _pushing(cast) for name, cast in casts.items()}
        outbound = {name: self._outbound(site, casts[name]) for name, site in self._sites.items()}
        if any(outbound.values()):
            casts = judging.casts({name: [*some, *outbound[name]] for name, some in contacts.items()}, question, asked)
        every = {(name, push) for name, cast in casts.items() for push in cast.judged}
        certain = {
            Target(name, push.to_address)
            for name, push in every
            if self._given.names(SITE_SERVER) or push.from_address in servers[name]
        }
        uncertain = {Target(name, push.to_address) for name, push in every} - certain
        return Pushes(casts, dict(self._elsewhere(casts)), frozenset(uncertain))

    def _outbound(self, site: _Site, cast: Cast) -> list[Contact]:
        """Return what of the logs of their originators may be pushes: those of site servers.

        Without the roles these are hosts that push by other sources too, and hosts that are not pushed themselves. What
        several hosts contact so is a server, such as a print server.
        """
        if self._given.names(SITE_SERVER):
            return site.outbound
        servers, pushed = _pushing(cast), {push.to_address for push in cast.judged}
        users = Counter(dst for _, dst in {(one.src, one.dst) for one in site.outbound})
        return [
            one for one in site.outbound if one.src in servers or (one.src not in pushed and users[one.dst] < READERS)
        ]

    def _elsewhere(self, casts: Mapping[str, Cast]) -> Iterator[tuple[Target, tuple[Row, ...]]]:
        """Yield the computers that are pushed, each with the rows of others that show it."""
        for name, cast in casts.items():
            rows: dict[str, set[Row]] = defaultdict(set)
            for push in cast.judged:
                rows[push.to_address] |= self._sites[name].elsewhere.get((push.from_address, push.to_address), set())
            yield from ((Target(name, address), tuple(sorted(some))) for address, some in rows.items() if some)


def _pushing(cast: Cast) -> frozenset[str]:
    return frozenset(push.from_address for push in cast.judged)
