"""Which pushes are at each site of a fleet, and which sources show a push although they are of another computer."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import NamedTuple

from auditor.fleet import evaluate as judging
from auditor.fleet.inventory.grouping import IndexEntry, Owners, Row, owners_of
from auditor.fleet.summaries import parquet_store as shards
from auditor.fleet.summaries.parquet_store import SourceContacts
from auditor.fleet.summaries.summary import SelectionSettings
from auditor.ruleset.lint import SITE_SERVER
from auditor.sources.flows.neighbors import NeighborRequests
from auditor.verdicts.installations.contacts import Contact, Pair
from auditor.verdicts.installations.pushes import READERS, is_like_push
from auditor.verdicts.installations.roles import RoleMap


class Target(NamedTuple):
    """A computer that is pushed: its site, and its address."""

    site: str
    address: str


@dataclass(frozen=True)
class Pushes:
    """The pushes of all sites that are asked one question.

    Attributes:
        casts: Who plays which role, by site.
        shown: By row of the log of another computer, such as the site server, the computers to which it shows a push.
        uncertain: The computers to which only hosts push that may as well be clients that use a server.
    """

    casts: Mapping[str, RoleMap]
    shown: Mapping[Row, frozenset[str]]
    uncertain: frozenset[Target]


def pushes_of(index: Sequence[IndexEntry], questions: Mapping[str, SelectionSettings]) -> dict[str, Pushes]:
    """Return the pushes in the sources that are asked each question."""
    search = _Found(index, questions)
    for entry, met in _met(index):
        search.add(entry, met)
    return {text: search.pushes(text) for text in questions}


def _met(index: Iterable[IndexEntry]) -> Iterator[tuple[IndexEntry, SourceContacts]]:
    """Yield each source with who tried to reach whom in it."""
    by_shard: dict[str, list[IndexEntry]] = defaultdict(list)
    for entry in index:
        by_shard[entry.shard].append(entry)
    for shard, rows in by_shard.items():
        met = shards.met(Path(shard))
        yield from ((row, met[row.row]) for row in rows)


@dataclass(frozen=True)
class _Site:
    """What was found at one site.

    Attributes:
        outbound: What computers contacted by their own logs, as far as a push may be among it.
        shown: By pair, the rows of logs that show it and are not of the computer that is contacted.
    """

    contacts: list[Contact] = field(default_factory=list)
    outbound: list[Contact] = field(default_factory=list)
    asked: list[Sequence[NeighborRequests]] = field(default_factory=list)
    shown: dict[Pair, set[Row]] = field(default_factory=lambda: defaultdict(set))


class _Found:
    """What was found in all sources so far, by question and site."""

    def __init__(self, index: Sequence[IndexEntry], questions: Mapping[str, SelectionSettings]) -> None:
        self._questions = questions
        self._sites = {(entry.asking, entry.site): _Site() for entry in index}
        self._askings = {site: min(text for text, at in self._sites if at == site) for _, site in self._sites}
        self._owners = owners_of(index) if len(self._askings) > 1 else Owners()

    def add(self, entry: IndexEntry, met: SourceContacts) -> None:
        """Count what one source shows."""
        for contact in met.contacts:
            text, site = self._at(entry, contact.src, contact.dst)
            is_own = entry.is_capture or contact.dst in entry.addresses
            is_outbound = not is_own and contact.src in (entry.addresses or (contact.src,))
            if is_outbound and not self._may_push(contact, self._questions[text]):
                continue
            of_site = self._sites[text, site]
            (of_site.outbound if is_outbound else of_site.contacts).append(contact)
            if not is_own:
                of_site.shown[contact.src, contact.dst].add((entry.shard, entry.row))
        requests: dict[tuple[str, str], list[NeighborRequests]] = defaultdict(list)
        for request in met.asked:
            requests[self._at(entry, request.requester, request.target)].append(request)
        for at, of_source in requests.items():
            self._sites[at].asked.append(of_source)

    def _at(self, entry: IndexEntry, src: str, dst: str) -> tuple[str, str]:
        """Return question and site of two hosts in a source: a source without a site is of that of the hosts in it."""
        site = self._owners.site_of(entry, src, dst)
        text = entry.asking if (entry.asking, site) in self._sites else self._askings.get(site, entry.asking)
        self._sites.setdefault((text, site), _Site())
        return text, site

    @staticmethod
    def _may_push(contact: Contact, question: SelectionSettings) -> bool:
        """Tell whether what a computer contacted by its own log may be a push.

        Every computer reads from servers. So without the roles this is only what looks like a push by itself, and what
        a firewall let through nowhere.
        """
        if question.configured.names(SITE_SERVER):
            return question.configured.covers(SITE_SERVER, contact.src)
        return not contact.controller and (is_like_push(contact) or not contact.accepted)

    def pushes(self, text: str) -> Pushes:
        """Return the pushes at all sites that are asked a question."""
        question = self._questions[text]
        sites = {site: of_site for (asking, site), of_site in self._sites.items() if asking == text}
        contacts = {name: site.contacts for name, site in sites.items()}
        asked = {name: site.asked for name, site in sites.items()}
        casts = judging.casts(contacts, question, asked)
        servers = {name: _pushing(cast) for name, cast in casts.items()}
        outbound = {name: _outbound(site, casts[name], question) for name, site in sites.items()}
        if any(outbound.values()):
            every_contact = {name: [*of_site, *outbound[name]] for name, of_site in contacts.items()}
            casts = judging.casts(every_contact, question, asked)
        judged = {(name, push) for name, cast in casts.items() for push in cast.judged}
        certain = {
            Target(name, push.to_address)
            for name, push in judged
            if question.configured.names(SITE_SERVER) or push.from_address in servers[name]
        }
        shown: dict[Row, set[str]] = defaultdict(set)
        for name, push in judged:
            for row in sites[name].shown.get((push.from_address, push.to_address), ()):
                shown[row].add(push.to_address)
        uncertain = {Target(name, push.to_address) for name, push in judged} - certain
        return Pushes(casts, {row: frozenset(of_row) for row, of_row in shown.items()}, frozenset(uncertain))


def _outbound(site: _Site, cast: RoleMap, question: SelectionSettings) -> list[Contact]:
    """Return what of the logs of their originators may be pushes: those of site servers.

    Without the roles these are hosts that push by other sources too, and hosts that are not pushed themselves. What
    several hosts contact so is a server, such as a print server.
    """
    if question.configured.names(SITE_SERVER):
        return site.outbound
    servers, pushed = _pushing(cast), {push.to_address for push in cast.judged}
    users = Counter(dst for _, dst in {(contact.src, contact.dst) for contact in site.outbound})
    likely = [contact.src not in pushed and users[contact.dst] < READERS for contact in site.outbound]
    return [contact for contact, fits in zip(site.outbound, likely, strict=True) if fits or contact.src in servers]


def _pushing(cast: RoleMap) -> frozenset[str]:
    return frozenset(push.from_address for push in cast.judged)
