"""The whole way in one call: read the sources, find out who is who, judge, report."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import replace
from functools import partial
from pathlib import Path

from auditor.api.report import Report
from auditor.errors import ArgumentError, RulesetError
from auditor.report.joined_names import join_limited
from auditor.report.model import Limitation
from auditor.ruleset.given_roles import ConfiguredRoles, parse_roles
from auditor.ruleset.ruleset import DEFAULT_RULESET, Ruleset, load_ruleset, with_ports
from auditor.ruleset.site import Site, known_site
from auditor.ruleset.statements import say, say_count
from auditor.sources.collection import Collection
from auditor.sources.progress import ProgressCallback, no_progress
from auditor.sources.read_all import read_collection
from auditor.sources.source import Source
from auditor.sources.summary import SourceSummary
from auditor.verdicts import evaluate as verdicts
from auditor.verdicts.dissect import DissectionResult, dissect_sources
from auditor.verdicts.installations.contacts import contacts_of, merge
from auditor.verdicts.installations.dns_names import dns_names
from auditor.verdicts.installations.reported_pushes import reported_logs
from auditor.verdicts.installations.reported_site import with_reported
from auditor.verdicts.installations.roles import RoleMap, infer_roles
from auditor.version import TOOL

CURRENT_RULESET = "configmgr-current-branch"
UNREADABLE, NOT_USED = "unreadable", "not-used"
MOST_NAMED = 5  # files, in a sentence


def audit(
    *paths: str | Path | Collection,
    ruleset: str | Path | Ruleset = DEFAULT_RULESET,
    methods: Iterable[str] | None = None,
    roles: Mapping[str, str | Iterable[str]] | None = None,
    mode: str | None = None,
    ports: Mapping[str, int] | None = None,
    properties: Iterable[str] = (),
    site: str | Path | None = None,
    tz: str | None = None,
    dissect: bool = True,
    tshark: str | Path | None = None,
    progress: ProgressCallback = no_progress,
) -> Report:
    """Audit captures and logs of one installation, or of many, and return the report.

    Args:
        paths: Captures, firewall logs, and event logs, from either end and in any order, and folders and ZIP archives
            of them. Or one open collection of these, so that unpacked files can be used afterwards.
        ruleset: Id or file of a ruleset, or a loaded one.
        methods: Ids of the methods whose results decide; all if None.
        roles: Address, network, or name of each role, or several.
        mode: "native" (HTTPS) or "mixed" (HTTP); taken from what the sources show if None.
        ports: Port by name, such as {"http-management-point": 8080}, or {"http": 8080, "https": 8443} for all site
            systems except WSUS.
        properties: Properties of CCMSetup, such as "/source:PATH".
        site: A TOML file with roles, mode, ports, and properties.
        tz: Time zone of the local times of a firewall log, such as "+02:00" or "Europe/Berlin"; they stay local if
            None.
        dissect: Whether tshark reads what the protocols report. Without it, or without tshark, only ports are judged.
        tshark: Path of tshark, if it is not found by itself.
        progress: Called now and then with a source, how many bytes of it are read, and how many it has.

    Returns:
        The report. A source that cannot be read is named in it, and so is a file of a folder that is no source.

    Raises:
        SourceError: No source can be read.
        RulesetError: The ruleset has a fault, or no method or port of a given name.
        ArgumentError: Another argument has a fault.
    """
    if not paths:
        raise ArgumentError("no source to audit", hint="Name at least one capture.")
    facts = known_site(site, roles=roles, mode=mode, ports=ports, properties=properties)
    documented = ruleset if isinstance(ruleset, Ruleset) else load_ruleset(ruleset)
    rules = with_ports(documented, facts.ports)
    asked = _asked(rules, methods)
    configured = parse_roles(facts.roles, by_name=True)
    _check_conditions(rules, facts)
    with _collection(paths, progress) as collection:
        sources, unreadable = read_collection(collection, rules, tz=tz, progress=progress)
        set_ports = facts.ports
        facts = with_reported(facts, sources, rules)
        rules = rules if facts.ports == set_ports else with_ports(documented, facts.ports)
        program = Path(tshark) if tshark else None
        sources, role_map, dissection = _understood(sources, rules, configured, program, dissect=dissect)
        newer = None if rules.id == CURRENT_RULESET else partial(_current, facts.ports)
        report = Report.of(verdicts.audit(sources, rules, role_map, facts.facts(), asked, TOOL, dissection, newer))
    return _with_not_used(_with_unreadable(report, unreadable), collection)


def _understood(
    sources: list[Source], rules: Ruleset, configured: ConfiguredRoles, tshark: Path | None, *, dissect: bool
) -> tuple[list[Source], RoleMap, DissectionResult | None]:
    """Return the sources with the warnings of the dissection, who plays which role, and what the protocols report."""
    contacts = merge(contact for source in sources for contact in contacts_of(source, rules))
    dns, contents = dns_names(sources, configured), reported_logs(sources)
    role_map = infer_roles(sources, rules, configured, contacts, dns=dns, contents=contents)
    if not dissect:
        return sources, role_map, None
    dissection = dissect_sources(sources, role_map, rules, tshark)
    role_map = infer_roles(sources, rules, configured, contacts, dissection.facts, dns, contents)
    return dissection.warned(sources), role_map, dissection


def _with_unreadable(report: Report, unreadable: Sequence[SourceSummary]) -> Report:
    if not unreadable:
        return report
    limits = [
        Limitation(UNREADABLE, say("limitation.not-audited", path=source.path, why=source.warnings[0].text))
        for source in unreadable
    ]
    return replace(report, sources=(*report.sources, *unreadable), limitations=(*limits, *report.limitations))


def _collection(
    paths: Sequence[str | Path | Collection], progress: ProgressCallback
) -> AbstractContextManager[Collection]:
    """Return the files behind some paths; what was opened before stays open."""
    if isinstance(paths[0], Collection):
        return nullcontext(paths[0])
    return Collection([path for path in paths if not isinstance(path, Collection)], progress)


def _with_not_used(report: Report, collection: Collection) -> Report:
    if not collection.not_used and not collection.copies:
        return report
    limits = [Limitation(NOT_USED, text) for text in not_used_texts(collection)]
    not_used = (*collection.not_used, *collection.copies)
    return replace(report, not_used=not_used, limitations=(*report.limitations, *limits))


def not_used_texts(collection: Collection) -> list[str]:
    """Return a sentence on the files that are no sources, and one on copies, as far as there are any."""
    kinds = (("limitation.not-used", collection.not_used), ("limitation.copies", collection.copies))
    return [say_count(kind, len(names), names=join_limited(names, MOST_NAMED)) for kind, names in kinds if names]


def _current(ports: Mapping[str, int]) -> Ruleset:
    """Return the ruleset of the current document with those of the ports that it knows."""
    rules = load_ruleset(CURRENT_RULESET)
    current_ports = {name: port for name, port in ports.items() if _knows(rules, name, port)}
    return with_ports(rules, current_ports)


def _knows(rules: Ruleset, name: str, port: int) -> bool:
    try:
        with_ports(rules, {name: port})
    except RulesetError:
        return False
    return True


def _asked(rules: Ruleset, methods: Iterable[str] | None) -> tuple[str, ...]:
    wanted = [methods] if isinstance(methods, str) else list(methods or ())
    return tuple(rules.method(method_id).id for method_id in wanted) or tuple(method.id for method in rules.methods)


def _check_conditions(rules: Ruleset, facts: Site) -> None:
    for name in facts.conditions:
        rules.condition(name)
