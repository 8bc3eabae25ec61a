"""What the logs of a host state of its site: ports and mode, with the lines; and on what the hosts of a site agree."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence

from auditor.report import model as r
from auditor.report.fleet_model import HostResult, SiteStatement
from auditor.ruleset.statements import say, say_count
from auditor.sources.configmgr.facts import ReportedFact
from auditor.sources.source import Source
from auditor.verdicts.installations.reported_pushes import InstallationLogs
from auditor.verdicts.installations.reported_site import PORT_FACTS, modes_read, stated_ports

MODE = "mode"  # beside the names of ports
MOST_NAMED = 3  # values, in a sentence


def statements_of(logs: InstallationLogs, sources: Sequence[Source]) -> Iterator[SiteStatement]:
    """Yield what the logs of one host state of its site.

    Args:
        logs: What they report.
        sources: All sources of the host.
    """
    for client, computer in logs.computers.items():
        facts = {fact.record: sources[fact.source].path for fact in computer.facts}
        for name, port in stated_ports(facts).items():
            fact, path = next(item for item in facts.items() if _is_statement(item[0], name, port))
            yield SiteStatement(name, str(port), say("fleet.stated-in", path=path, line=fact.line))
        for mode in modes_read(client, [""], computer.facts, sources):
            yield SiteStatement(MODE, mode.mode, mode.why)


def _is_statement(fact: ReportedFact, name: str, port: int) -> bool:
    return PORT_FACTS.get(fact.kind) == name and fact.value.isdigit() and int(fact.value) == port


def agreed_ports(hosts: Iterable[HostResult]) -> dict[str, dict[str, int]]:
    """Return the ports of each site on which the logs of all of its hosts agree."""
    stated: dict[tuple[str, str], set[int]] = defaultdict(set)
    for host in hosts:
        for statement in host.stated:
            if statement.setting != MODE:
                stated[host.site, statement.setting].add(int(statement.value))
    agreed: dict[str, dict[str, int]] = defaultdict(dict)
    for (site, name), values in stated.items():
        if len(values) == 1:
            agreed[site][name] = next(iter(values))
    return dict(agreed)


def notes_of(hosts: Iterable[HostResult], documented: Mapping[str, frozenset[int]]) -> Iterator[str]:
    """Yield a sentence on each port of a site that logs state otherwise than documented, and on what they disagree.

    Args:
        hosts: All hosts.
        documented: The settings that count, with their documented ports.
    """
    values: dict[tuple[str, str], dict[str, list[tuple[str, str]]]] = defaultdict(lambda: defaultdict(list))
    for host in hosts:
        for statement in host.stated:
            if statement.setting in documented:
                values[host.site, statement.setting][statement.value].append((host.host, statement.why))
    for (site, setting), of_value in sorted(values.items()):
        at_site = say("fleet.of-site", site=site) if site else say("fleet.of-the-site")
        if len(of_value) > 1:
            counts = Counter({value: len(stating) for value, stating in of_value.items()})
            ranked = sorted(counts, key=lambda value: (-counts[value], value))[:MOST_NAMED]
            shown = [
                say_count("fleet.stated-by", counts[value], value=value, host=host, why=why)
                for value in ranked
                for host, why in [min(of_value[value])]
            ]
            yield say("fleet.stated-differently", setting=setting, site=at_site, values="; ".join(shown))
        elif setting != MODE:
            ((value, stating),) = of_value.items()
            if int(value) not in documented[setting]:
                yield say("fleet.stated", setting=setting, site=at_site, value=value, why=min(stating)[1])


def mode_of(stated: Iterable[SiteStatement]) -> list[r.SiteMode]:
    """Return the mode that the logs of a host state, if they do."""
    return [
        r.SiteMode("", statement.value, r.READ, statement.why) for statement in stated if statement.setting == MODE
    ][:1]
