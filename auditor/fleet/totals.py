"""From the results of all hosts to the report of the fleet: counts, groups, changes and coverage."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import TypeVar

from auditor.fleet.remediation import Failing, blamed, mend
from auditor.report import model as r
from auditor.report.fleet_model import (
    NO_EVIDENCE,
    RESULTS,
    AlsoBlocked,
    Coverage,
    FleetReport,
    GroupCount,
    HostResult,
    MethodCount,
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

    files: named or found; duplicates: the same content again for the same host; bytes, records, skipped: of the files
    that were read.
    """

    files: int = 0
    read: int = 0
    unreadable: int = 0
    duplicates: int = 0
    bytes: int = 0
    records: int = 0
    skipped: int = 0


def fleet_report(
    hosts: Iterable[HostResult],
    *,
    tool: Tool,
    ruleset: Ruleset,
    main: str,
    asked: Sequence[str],
    roles: Iterable[r.RoleAssignment] = (),
    files: FilesRead | None = None,
    expected: Iterable[str] = (),
    servers: Iterable[str] = (),
    unreadable: Iterable[UnreadableFile] = (),
    limitations: Iterable[r.Limitation] = (),
) -> FleetReport:
    """Return the report of a fleet, the same whatever order the hosts come in.

    ruleset: that the hosts were judged by, with its ports; main: id of the method that counts, groups and changes are
    about; expected: names of all hosts that should have a source; servers: of those that have one and are no target of
    an installation. Of a host of which nothing decisive of a method was seen, there is no evidence of it, unless it
    fails. Raises RulesetError if the ruleset has no method main.
    """
    method = ruleset.method(main)
    known = sorted(
        (_proven(host, ruleset) for host in hosts), key=lambda one: (one.host, one.site, one.addresses, one.files)
    )
    kept = tuple(sorted(unreadable))
    missing = {*expected, *(one.host for one in kept if one.host)} - {host.host for host in known}
    missing -= set(servers)
    order = {one.id: number for number, one in enumerate(method.requirements)}
    failing = [(host, blamed(host, main)) for host in known if host.outcome(main).result == r.FAILS]
    changes, causes = mend(failing, ruleset)
    return FleetReport(
        tool=tool,
        ruleset=r.RulesetReference(ruleset.id, ruleset.title, ruleset.reference),
        main=main,
        asked=tuple(asked),
        roles=tuple(roles),
        coverage=_coverage(known, main, files or FilesRead(), len(missing)),
        methods=_methods(known, ruleset, len(missing)),
        requirements=_requirements(failing, ruleset),
        subnets=_grouped(known, failing, main, order, lambda host: host.subnet),
        sites=_grouped(known, failing, main, order, lambda host: host.site),
        directions=_stops(failing, _direction),
        devices=_stops(failing, _device),
        changes=changes,
        hosts=tuple(known),
        expected=tuple(sorted(missing)),
        unreadable=kept,
        limitations=tuple(limitations),
        causes=causes,
        also_blocked=_also_blocked(known, main),
    )


def has_evidence(host: HostResult, method: Method) -> bool:
    """Tell whether any requirement of a method was seen with a decisive verdict; what methods share is told once."""
    rows = {one.row for one in method.requirements}
    return any(one.verdict in DECISIVE and row_of(one.requirement) in rows for one in host.seen)


def _proven(host: HostResult, ruleset: Ruleset) -> HostResult:
    """Return a host of which no method is said to work, or to be worth a second look, without evidence."""
    idle = {
        one.method
        for one in host.outcomes
        if one.result in (r.WORKS, r.ALLOWED, r.UNPROVEN) and not has_evidence(host, ruleset.method(one.method))
    }
    if not idle:
        return host
    honest = (replace(one, result=NO_EVIDENCE, unverified=()) if one.method in idle else one for one in host.outcomes)
    return replace(host, outcomes=tuple(honest))


def _coverage(hosts: Sequence[HostResult], main: str, files: FilesRead, missing: int) -> Coverage:
    times = [(one.first_time, one.last_time) for one in hosts]
    seen = sum(host.outcome(main).result != NO_EVIDENCE for host in hosts)
    return Coverage(
        **{name: getattr(files, name) for name in FilesRead.__dataclass_fields__},
        hosts=len(hosts) + missing,
        with_evidence=seen,
        without_evidence=len(hosts) - seen,
        without_source=missing,
        first_time=min((first for first, _ in times if first), key=_moment, default=None),
        last_time=max((last for _, last in times if last), key=_moment, default=None),
    )


def _moment(time: str) -> tuple[str, str]:
    return time.removesuffix("Z"), time


def _methods(hosts: Sequence[HostResult], ruleset: Ruleset, missing: int) -> tuple[MethodCount, ...]:
    """Return the counts of every method. missing: how many hosts have no source, and so no evidence of any."""
    counts = Counter((one.method, one.result) for host in hosts for one in host.outcomes)
    for one in ruleset.methods:
        counts[one.id, NO_EVIDENCE] += missing
    return tuple(MethodCount(one.id, one.title, *(counts[one.id, what] for what in RESULTS)) for one in ruleset.methods)


def _requirements(failing: Sequence[Failing], ruleset: Ruleset) -> tuple[RequirementCount, ...]:
    counts: Counter[tuple[str, str, str]] = Counter()
    proven: Counter[tuple[str, str, str]] = Counter()
    for _, seen in failing:
        of_host: dict[tuple[str, str, str], bool] = {}  # several site servers may fail in one way
        for one in seen:
            how = failure_kind(one)
            key = (one.requirement, how, (one.blocked_at or "") if how in r.FAILING else "")
            of_host[key] = of_host.get(key, False) or one.confidence == r.PROVEN
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
        besides = [(one, one.blocks if one.requirement not in failing else one.blocks_besides) for one in host.seen]
        counts.update(
            {(one.requirement, place, one.verdict != r.NOT_APPLICABLE) for one, places in besides for place in places}
        )
    return tuple(AlsoBlocked(*key, count) for key, count in _most_first(counts))


def _grouped(
    hosts: Sequence[HostResult],
    failing: Sequence[Failing],
    main: str,
    order: Mapping[str, int],
    name_of: Callable[[HostResult], str],
) -> tuple[GroupCount, ...]:
    results: dict[str, Counter[str]] = defaultdict(Counter)
    reasons: dict[str, Counter[str]] = defaultdict(Counter)
    for host in hosts:
        results[name_of(host)][host.outcome(main).result] += 1
    for host, seen in failing:
        reasons[name_of(host)].update({one.requirement for one in seen})
    if not any(results):
        return ()
    groups = [
        GroupCount(
            name=name,
            works=found[r.WORKS],
            allowed=found[r.ALLOWED],
            fails=found[r.FAILS],
            unproven=found[r.UNPROVEN],
            no_evidence=found[NO_EVIDENCE],
            most=min(reasons[name], key=lambda one: (-reasons[name][one], order[one]), default=""),
        )
        for name, found in results.items()
    ]
    return tuple(sorted(groups, key=lambda one: (-one.fails, one.name)))


def _stops(
    failing: Sequence[Failing], names_of: Callable[[HostResult, RequirementResult], Iterable[str]]
) -> tuple[StopCount, ...]:
    counts: Counter[tuple[str]] = Counter()
    for host, seen in failing:
        counts.update({(name,) for one in seen for name in names_of(host, one)})
    return tuple(StopCount(name, count) for (name,), count in _most_first(counts))


def _direction(_: HostResult, one: RequirementResult) -> Iterable[str]:
    return [f"{one.source.role} to {one.destination.role}"] if one.verdict in r.FAILING else []


def _device(host: HostResult, one: RequirementResult) -> Iterable[str]:
    if not stopped_by_rule(one):
        return []
    return [stopper(*block_location(one, host))]


def _most_first(counts: Counter[Key]) -> list[tuple[Key, int]]:
    return sorted(counts.items(), key=lambda one: (-one[1], one[0]))
