"""What ConfigMgr's own logs state of the site: its ports, its mode, and the command line of CCMSetup."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import replace

from auditor.errors import RulesetError
from auditor.report.model import READ
from auditor.ruleset.lint import HTTP, HTTPS, MODES
from auditor.ruleset.ruleset import Ruleset, with_ports
from auditor.ruleset.site import Site
from auditor.ruleset.statements import say
from auditor.sources.configmgr.facts import FactKind, ReportedFact
from auditor.sources.source import Source
from auditor.verdicts.installations.reported import FromSource
from auditor.verdicts.installations.site_mode import ModeEvidence

NATIVE, MIXED = MODES
PORT_FACTS = {FactKind.HTTP_PORT: HTTP, FactKind.HTTPS_PORT: HTTPS}
MODE_OF_SCHEME = {HTTP: MIXED, HTTPS: NATIVE}


def with_reported(site: Site, sources: Sequence[Source], ruleset: Ruleset) -> Site:
    """Return what is known of a site with what its logs state; what the user set stands.

    Args:
        site: What the user set.
        sources: All that were read.
        ruleset: With the documented ports.
    """
    facts = [fact for source in sources if source.reported for fact in source.reported.all_facts]
    if not facts:
        return site
    ports = dict(site.ports)
    if not ports:
        ports |= custom_ports(stated_ports(facts), ruleset)
    return replace(site, ports=ports, properties=site.properties or tuple(_agreed_properties(sources)))


def stated_ports(facts: Iterable[ReportedFact]) -> dict[str, int]:
    """Return the ports of the site that logs state, by setting; those on which they disagree are left out."""
    stated: dict[str, set[int]] = {}
    for fact in facts:
        if fact.kind in PORT_FACTS and fact.value.isdigit():
            stated.setdefault(PORT_FACTS[fact.kind], set()).add(int(fact.value))
    return {name: next(iter(of_name)) for name, of_name in stated.items() if len(of_name) == 1}


def custom_ports(ports: Mapping[str, int], ruleset: Ruleset) -> dict[str, int]:
    """Return those ports of a site that a ruleset has and that are not the documented ones, if they are possible."""
    documented = {(row.site_port, port) for row in ruleset.requirements for port in row.ports}
    custom: dict[str, int] = {}
    for name, port in ports.items():
        if name not in ruleset.site_port_names or (name, port) in documented:
            continue
        with suppress(RulesetError):  # what a log states is no reason to stop, and one port none to drop another
            with_ports(ruleset, custom | {name: port})
            custom[name] = port
    return custom


def _agreed_properties(sources: Sequence[Source]) -> list[str]:
    """Return the properties of the latest run of CCMSetup, if the logs of all computers have the same."""
    latest = [
        tuple(fact.value for fact in source.reported.installations[-1].facts if fact.kind is FactKind.PROPERTY)
        for source in sources
        if source.reported and source.reported.installations
    ]
    return list(latest[0]) if len(set(latest)) == 1 else []


def modes_read(
    client: str, sites: Iterable[str], facts: Sequence[FromSource[ReportedFact]], sources: Sequence[Source]
) -> Iterator[ModeEvidence]:
    """Yield the mode that the addresses of management points in a client's logs show, if all are of one scheme.

    Args:
        client: Address of the client.
        sites: Its site servers.
        facts: What its logs state.
        sources: All that were read.
    """
    scheme = stated_scheme(None, facts)
    if not scheme:
        return
    source, record = _management_points(facts)[-1]
    why = say("mode.read", path=sources[source].path, url=record.value, line=record.line)
    yield from (ModeEvidence(site, client, MODE_OF_SCHEME[scheme], why, READ) for site in sites)


def stated_scheme(mode: str | None, facts: Sequence[FromSource[ReportedFact]]) -> str:
    """Return how clients connect to their management points: "http" or "https"; empty if it is unknown.

    Args:
        mode: That of the site, if the user set it.
        facts: What the logs of a client state: all URLs of management points have to be of one scheme.
    """
    if mode is not None:
        return next(scheme for scheme, of_scheme in MODE_OF_SCHEME.items() if of_scheme == mode)
    schemes = {fact.record.value.partition("://")[0].lower() for fact in _management_points(facts)}
    return min(schemes) if len(schemes) == 1 and schemes <= MODE_OF_SCHEME.keys() else ""


def _management_points(facts: Sequence[FromSource[ReportedFact]]) -> list[FromSource[ReportedFact]]:
    """Return the URLs of management points among facts."""
    return [fact for fact in facts if fact.record.kind is FactKind.MANAGEMENT_POINT and "://" in fact.record.value]
