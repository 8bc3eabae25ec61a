"""The mode of a site, mixed (HTTP) or native (HTTPS), where the user did not set it: from what its clients use."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import replace
from typing import NamedTuple, Protocol

from auditor.report import model as r
from auditor.ruleset.addresses import by_number
from auditor.ruleset.ruleset import Ruleset, SiteFacts
from auditor.ruleset.statements import say, say_count
from auditor.verdicts.method_result import either_or


class Evaluated(Protocol):
    """What is evaluated of a requirement, in a report or in a fleet."""

    @property
    def destination(self) -> r.Endpoint:
        """The end that is reached."""

    @property
    def protocol(self) -> str:
        """The protocol."""

    @property
    def ports(self) -> tuple[int, ...]:
        """The ports."""

    @property
    def verdict(self) -> str:
        """The verdict."""

    @property
    def problems(self) -> tuple[r.Problem, ...]:
        """What failed on the open port."""


class ModeEvidence(NamedTuple):
    """One reason to believe that a site is in a mode.

    Attributes:
        site: The site server, or the name of the site in a fleet; empty if unknown.
        client: Who shows it.
        how: "inferred" from connections, or "read" from what CCMSetup itself reports, which counts more.
    """

    site: str
    client: str
    mode: str
    why: str
    how: str = r.INFERRED


def is_set(ruleset: Ruleset, facts: SiteFacts) -> bool:
    """Tell whether nothing is left to infer: the mode is set, or nothing in the ruleset depends on it."""
    modes = [condition.id for condition in ruleset.conditions if condition.decided_by == "mode"]
    return not modes or any(ruleset.holds(mode, facts) is not None for mode in modes)


def mode_in_use(rows: Iterable[tuple[str, Evaluated]], ruleset: Ruleset) -> tuple[str, str]:
    """Return the mode that the open ports of one client show and why; empty if none, or if both are in use.

    Args:
        rows: Ids of requirements with what was evaluated, without those that rest on a guess.
        ruleset: The ruleset of the requirements.
    """
    used: dict[str, Evaluated] = {}
    for requirement, row in rows:
        mode = ruleset.mode_of(requirement)
        if mode and row.verdict in r.PASSING and not _failed(row):
            used.setdefault(mode, row)
    if len(used) != 1:
        return "", ""
    ((mode, row),) = used.items()
    ports = say("list.or").join(map(str, row.ports))
    return mode, say("mode.service", server=row.destination.address, protocol=row.protocol.upper(), ports=ports)


def modes_of(evidence: Iterable[ModeEvidence]) -> dict[str, r.SiteMode]:
    """Return the mode of each site that all evidence agrees on; what is read counts more than what is inferred."""
    by_site: dict[str, list[ModeEvidence]] = defaultdict(list)
    for observation in evidence:
        by_site[observation.site].append(observation)
    modes = {}
    for site, of_site in sorted(by_site.items()):
        best = [observation for observation in of_site if observation.how == r.READ] or of_site
        if len({observation.mode for observation in best}) == 1:
            modes[site] = _mode(site, best)
    return modes


def _mode(site: str, evidence: Sequence[ModeEvidence]) -> r.SiteMode:
    surest = min(
        evidence, key=lambda observation: (by_number(observation.client), observation.why)
    )  # two hosts may share an address
    other_clients = len({observation.client for observation in evidence}) - 1
    more = say_count("mode.more", other_clients) if other_clients else ""
    why = surest.why
    if surest.how != r.READ:
        why = say("mode.connects", client=surest.client, service=surest.why, more=more)
    return r.SiteMode(site, surest.mode, surest.how, why)


def may_decide(mode: str, rows: Iterable[tuple[str, Evaluated]], ruleset: Ruleset) -> bool:
    """Tell whether a mode may decide the result of a client: a requirement of this mode is not met.

    Args:
        mode: The mode of the site.
        rows: Ids of requirements with what was evaluated.
        ruleset: The ruleset of the requirements.
    """
    return any(_fails(row) and ruleset.mode_of(requirement) == mode for requirement, row in rows)


def in_mode(verdicts: Sequence[r.RequirementVerdict], ruleset: Ruleset, mode: r.SiteMode) -> list[r.RequirementVerdict]:
    """Return the verdicts of a method with what a site in this mode does not use as not applicable.

    Only where it decides: the member that the site uses fails, and the other one was not observed. What was observed
    never disappears.
    """
    off = set()
    for group in either_or(verdicts, ruleset):
        if any(_fails(verdict) and ruleset.mode_of(verdict.id) == mode.mode for verdict in group):
            alternatives = [verdict for verdict in group if ruleset.mode_of(verdict.id) not in ("", mode.mode)]
            off |= {verdict.id for verdict in alternatives if verdict.verdict == r.NOT_OBSERVED}
    text = say("mode.not-applicable", mode=mode.mode, how=mode.how, why=mode.why)
    return [
        replace(verdict, verdict=r.NOT_APPLICABLE, explanation=text) if verdict.id in off else verdict
        for verdict in verdicts
    ]


def evidence_of(
    client: str, sites: Iterable[str], rows: Iterable[tuple[str, Evaluated]], ruleset: Ruleset
) -> Iterator[ModeEvidence]:
    """Yield what the open ports of one client show of the mode of its sites."""
    mode, why = mode_in_use(rows, ruleset)
    if mode:
        yield from (ModeEvidence(site, client, mode, why) for site in sites)


def _fails(row: Evaluated) -> bool:
    return row.verdict in r.FAILING or _failed(row)


def _failed(row: Evaluated) -> bool:
    return any(problem.fatal for problem in row.problems)
