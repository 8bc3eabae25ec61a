"""From the results of all hosts to the report of the fleet: counts, groups, changes and coverage."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from types import MappingProxyType
from typing import TypeVar

from auditor.fleet.remediation import Failing, blamed, plan_changes, unproven_steps
from auditor.report import model as r
from auditor.report.fleet_model import (
    NO_EVIDENCE,
    RESULTS,
    STEP,
    AlsoBlocked,
    Coverage,
    ExpectedSite,
    FleetReport,
    GroupCount,
    HostResult,
    MethodCount,
    MethodOutcome,
    RequirementCount,
    RequirementResult,
    StopCount,
    UnreadableFile,
    block_location,
    failure_kind,
    row_of,
    stopped_by_rule,
    stopper,
)
from auditor.ruleset.ruleset import Method, Ruleset
from auditor.version import Tool

DECISIVE = r.PASSING | r.FAILING
Key = TypeVar("Key", bound=tuple[str | bool, ...])


@dataclass(frozen=True)
class FilesRead:
    """How much was read.

    Attributes:
        files: Named or found.
        read: That could be read.
        unreadable: That could not be read.
        duplicates: The same content again for the same host.
        bytes: Size of those that were read.
        records: Frames, rows and events in them.
        skipped: Frames, rows and events that could not be read.
    """

    files: int = 0
    read: int = 0
    unreadable: int = 0
    duplicates: int = 0
    bytes: int = 0
    records: int = 0
    skipped: int = 0


def _order(host: HostResult) -> tuple[object, ...]:
    return host.host, host.site, host.addresses, host.files


def _without_source(
    hosts: Iterable[HostResult], expected: Iterable[str], unreadable: Iterable[UnreadableFile]
) -> set[str]:
    return {*expected, *(file.host for file in unreadable if file.host)} - {host.host for host in hosts}


def fleet_report(
    hosts: Iterable[HostResult],
    *,
    tool: Tool,
    ruleset: Ruleset,
    main: str,
    asked: Sequence[str],
    roles: Iterable[r.RoleAssignment] = (),
    files: FilesRead | None = None,
    expected: Mapping[str, str] = MappingProxyType({}),
    servers: Iterable[str] = (),
    unreadable: Sequence[UnreadableFile] = (),
    limitations: Iterable[r.Limitation] = (),
) -> FleetReport:
    """Return the report of a fleet.

    Args:
        hosts: The results, in any order.
        tool: Name and version of this program.
        ruleset: That the hosts were judged by, with its ports.
        main: Id of the method that counts, groups and changes are about.
        asked: Ids of the methods that were asked for.
        roles: Who serves the fleet.
        files: What was read.
        expected: The hosts that should have a source, by name: their sites, empty if unknown.
        servers: Of those that have one and are no target of an installation.
        unreadable: Files that could not be read.
        limitations: What the sources cannot show, in sentences.

    Raises:
        RulesetError: If the ruleset has no method main.
    """
    proven = sorted((_proven(host, ruleset) for host in hosts), key=_order)
    missing = _without_source(proven, expected, unreadable) - {*servers}
    failing = [(host, blamed(host, main)) for host in proven if host.outcome(main).result == r.FAILS]
    changes, causes = plan_changes(failing, ruleset, main)
    return FleetReport(
        tool=tool,
        ruleset=r.RulesetReference(ruleset.id, ruleset.title, ruleset.reference),
        main=main,
        asked=tuple(asked),
        roles=tuple(roles),
        coverage=_coverage(proven, main, files or FilesRead(), len(missing)),
        methods=_methods(proven, ruleset, len(missing)),
        requirements=_requirements(failing, ruleset),
        subnets=_grouped(proven, failing, ruleset.method(main), lambda host: host.subnet, [""] * len(missing)),
        sites=_by_site(proven, failing, ruleset.method(main), [expected.get(name, "") for name in missing]),
        directions=_stops(failing, _direction),
        devices=_stops(failing, _device),
        changes=changes,
        hosts=tuple(proven),
        expected=tuple(sorted(missing)),
        expected_sites=tuple(ExpectedSite(name, expected[name]) for name in sorted(missing) if expected.get(name)),
        unreadable=tuple(sorted(unreadable)),
        limitations=tuple(limitations),
        causes=causes,
        unproven_steps=unproven_steps(proven, ruleset, main),
        also_blocked=_also_blocked(proven, main),
    )


def has_evidence(host: HostResult, method: Method) -> bool:
    """Tell whether any requirement of a method was seen with a decisive verdict; what methods share counts once."""
    rows = {requirement.row for requirement in method.requirements}
    return any(result.verdict in DECISIVE and row_of(result.requirement) in rows for result in host.seen)


def _proven(host: HostResult, ruleset: Ruleset) -> HostResult:
    """Return a host of which no method is said to work, or to be worth a second look, without evidence."""
    idle = {
        outcome.method
        for outcome in host.outcomes
        if outcome.result in (r.WORKS, r.ALLOWED, r.UNPROVEN) and not has_evidence(host, ruleset.method(outcome.method))
    }
    if not idle:
        return host

    def honest(outcome: MethodOutcome) -> MethodOutcome:
        return replace(outcome, result=NO_EVIDENCE, unverified=()) if outcome.method in idle else outcome

    return replace(host, outcomes=tuple(map(honest, host.outcomes)))


def _coverage(hosts: Sequence[HostResult], main: str, files: FilesRead, missing: int) -> Coverage:
    times = [(host.first_time, host.last_time) for host in hosts]
    seen = sum(host.outcome(main).result != NO_EVIDENCE for host in hosts)
    return Coverage(
        **{name: getattr(files, name) for name in FilesRead.__dataclass_fields__},
        hosts=len(hosts) + missing,
        with_evidence=seen,
        without_evidence=len(hosts) - seen,
        without_source=missing,
        first_time=min((begin for begin, _ in times if begin), key=_moment, default=None),
        last_time=max((last for _, last in times if last), key=_moment, default=None),
    )


def _moment(time: str) -> tuple[str, str]:
    return time.removesuffix("Z"), time


def _methods(hosts: Sequence[HostResult], ruleset: Ruleset, missing: int) -> tuple[MethodCount, ...]:
    """Return the counts of every method. missing: how many hosts have no source, and so no evidence of any."""
    counts = Counter((outcome.method, outcome.result) for host in hosts for outcome in host.outcomes)
    for method in ruleset.methods:
        counts[method.id, NO_EVIDENCE] += missing
    rows = ((method, [counts[method.id, outcome] for outcome in RESULTS]) for method in ruleset.methods)
    return tuple(MethodCount(method.id, method.title, *numbers) for method, numbers in rows)


def _requirements(failing: Sequence[Failing], ruleset: Ruleset) -> tuple[RequirementCount, ...]:
    counts: Counter[tuple[str, str, str]] = Counter()
    proven: Counter[tuple[str, str, str]] = Counter()
    for _, seen in failing:
        of_host: dict[tuple[str, str, str], bool] = {}  # several site servers may fail in one way
        for result in seen:
            how = failure_kind(result)
            key = (result.requirement, how, (result.blocked_at or "") if how in r.FAILING else "")
            of_host[key] = of_host.get(key, False) or result.confidence == r.PROVEN
        counts.update(of_host.keys())
        proven.update(key for key, is_proven in of_host.items() if is_proven)
    return tuple(
        RequirementCount(key[0], ruleset.requirement(key[0]).description, *key[1:], count, proven[key])
        for key, count in _most_first(counts)
    )


def _also_blocked(hosts: Iterable[HostResult], main: str) -> tuple[AlsoBlocked, ...]:
    counts: Counter[tuple[str, str, bool]] = Counter()
    for host in hosts:
        failing = set(host.outcome(main).failed)
        places = [row.blocks if row.requirement not in failing else row.blocks_besides for row in host.seen]
        rows = zip(host.seen, places, strict=True)
        counts.update({(row.requirement, at, row.verdict != r.NOT_APPLICABLE) for row, ats in rows for at in ats})
    return tuple(AlsoBlocked(*key, count) for key, count in _most_first(counts))


def _by_site(
    hosts: Sequence[HostResult],
    failing: Sequence[Failing],
    method: Method,
    missing: Iterable[str],
) -> tuple[GroupCount, ...]:
    return _grouped(hosts, failing, method, lambda host: host.site, missing)


def _grouped(
    hosts: Sequence[HostResult],
    failing: Sequence[Failing],
    method: Method,
    name_of: Callable[[HostResult], str],
    missing: Iterable[str],
) -> tuple[GroupCount, ...]:
    """Return the counts by group, which add up to all hosts. missing: the group of each host without a source."""
    order = {requirement.id: number for number, requirement in enumerate(method.requirements)}
    results: dict[str, Counter[str]] = defaultdict(Counter)
    reasons: dict[str, Counter[str]] = defaultdict(Counter)
    for host in hosts:
        results[name_of(host)][host.outcome(method.id).result] += 1
    for name in missing:
        results[name][NO_EVIDENCE] += 1
    for host, seen in failing:
        steps = {f"{STEP}/{step.step}" for step in host.steps_of(method.id)}
        reasons[name_of(host)].update({result.requirement for result in seen} | steps)
    if not any(results):
        return ()
    groups = [
        GroupCount(
            name=name,
            works=counts[r.WORKS],
            allowed=counts[r.ALLOWED],
            fails=counts[r.FAILS],
            unproven=counts[r.UNPROVEN],
            no_evidence=counts[NO_EVIDENCE],
            most=_most(reasons[name], order),
        )
        for name, counts in results.items()
    ]
    return tuple(sorted(groups, key=lambda group: (-group.fails, group.name)))


def _most(reasons: Counter[str], order: Mapping[str, int]) -> str:
    """Return why most hosts of a group fail, empty if none does. order: of the requirements."""
    return min(reasons, key=lambda reason: (-reasons[reason], order.get(reason, -1), reason), default="")


def _stops(
    failing: Sequence[Failing], names_of: Callable[[HostResult, RequirementResult], Iterable[str]]
) -> tuple[StopCount, ...]:
    counts: Counter[tuple[str]] = Counter()
    for host, seen in failing:
        counts.update({(name,) for result in seen for name in names_of(host, result)})
    return tuple(StopCount(name, count) for (name,), count in _most_first(counts))


def _direction(_: HostResult, result: RequirementResult) -> Iterable[str]:
    return [f"{result.source.role} to {result.destination.role}"] if result.verdict in r.FAILING else []


def _device(host: HostResult, result: RequirementResult) -> Iterable[str]:
    if not stopped_by_rule(result):
        return []
    return [stopper(*block_location(result, host))]


def _most_first(counts: Counter[Key]) -> list[tuple[Key, int]]:
    return sorted(counts.items(), key=lambda item: (-item[1], item[0]))
