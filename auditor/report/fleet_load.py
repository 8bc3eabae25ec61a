"""Read the saved report of a fleet back: the fleet.json that `auditor batch` wrote, checked, as the same document."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterable
from dataclasses import replace
from functools import cache, lru_cache
from itertools import islice, takewhile
from pathlib import Path
from sys import intern
from typing import Any, TypeVar

from auditor.errors import ReportError
from auditor.report import fleet_model as f
from auditor.report import model as r
from auditor.report.fleet_as_json import KIND, RENAMED, fleet_schema
from auditor.report.load import STANDARD, Check, FaultError, block, check_unique, checker, from_dict, read_json, sound

ANEW = "make it anew: auditor batch PATH... -o DIR"
# As write_fleet_json begins and divides the file.
FIRST_LINES = ["{", f'"format_version": {f.FORMAT_VERSION},', f'"kind": "{KIND}",']
HOSTS_BEGIN, HOSTS_END = '  "hosts": [\n', "  ],\n"
OWN_NAMES = {shown: name for name, shown in RENAMED.items()}
Record = TypeVar("Record")


def load_fleet(path: str | Path) -> f.FleetReport:
    """Return the report of a fleet that was saved in a file; "-" is standard input.

    It equals the one that was saved. Raises ReportError in one line that says what is wrong: no such file, no report of
    a fleet, one of a later version, cut short, or changed by hand so that it no longer makes sense.
    """
    return _by_lines(str(path)) or fleet_from_dict(read_json(str(path), ANEW), str(path))


def load_saved(path: str | Path) -> r.Report | f.FleetReport:
    """Return a saved report, of one audit or of a fleet, whichever the file holds; "-" is standard input.

    Raises ReportError as `load_report` and `load_fleet` do.
    """
    document = read_json(str(path))
    return fleet_from_dict(document, str(path)) if is_fleet(document) else from_dict(document, str(path))


def fleet_from_dict(document: Any, where: str = "report") -> f.FleetReport:
    """Return the report that `fleet_as_dict` gave this document of. Raises ReportError; where: its name there."""
    _check_kind(document, where)
    with sound(where, ANEW):
        _checker()(document)
        report = _report(document)
        _check_sense(report)
    return report


def is_fleet(document: Any) -> bool:
    """Tell whether JSON is the report of a fleet, sound or not."""
    return isinstance(document, dict) and document.get("kind") == KIND


@cache
def _checker() -> Check:
    return checker(fleet_schema())


def _check_kind(document: Any, where: str) -> None:
    version = document.get("format_version") if is_fleet(document) else None
    if type(version) is not int:
        message = "this is JSON, but not the report of a fleet"
        raise ReportError(message, where=where, hint="name the fleet.json that auditor batch wrote")
    if version != f.FORMAT_VERSION:
        whose = "a later" if version > f.FORMAT_VERSION else "an earlier"
        message = f"this report is from {whose} auditor (format_version {version}, supported: {f.FORMAT_VERSION})"
        hint = "install the later auditor" if version > f.FORMAT_VERSION else ANEW
        raise ReportError(message, where=where, hint=hint)


def _by_lines(path: str) -> f.FleetReport | None:
    """Return the report from a file with a host a line, as auditor writes it: so that only one is JSON at a time.

    None for any other file: read as a whole it tells what is wrong, if anything is.
    """
    if path == STANDARD:
        return None
    try:
        with open(path, encoding="utf-8") as file:
            head = list(islice(file, len(FIRST_LINES)))
            if [line.strip() for line in head] != FIRST_LINES:
                return None
            head += takewhile(lambda line: line != HOSTS_BEGIN, file)
            check = checker(fleet_schema()["properties"]["hosts"]["items"])
            hosts = [_checked_host(line, check) for line in takewhile(lambda line: line != HOSTS_END, file)]
            document = json.loads("".join(head) + '"hosts": [],' + file.read())
        _checker()(document)
        report = replace(_report(document), hosts=tuple(hosts))
        _check_sense(report)
    except (OSError, ValueError, RecursionError, FaultError):
        return None
    return report


def _checked_host(line: str, check: Check) -> f.HostResult:
    table = json.loads(line.rstrip().removesuffix(","))
    check(table)
    return _host(table)


# from JSON to the document


def _report(document: dict[str, Any]) -> f.FleetReport:
    return f.FleetReport(
        tool=(document["tool"]["name"], document["tool"]["version"]),
        ruleset=(document["ruleset"]["id"], document["ruleset"]["title"], document["ruleset"]["reference"]),
        main=document["main"],
        asked=tuple(document["asked"]),
        roles=_records(r.RoleAssignment, document["roles"]),
        coverage=f.Coverage(**document["coverage"]),
        methods=_records(f.MethodCount, document["methods"]),
        requirements=_records(f.RequirementCount, document["requirements"]),
        subnets=_records(f.GroupCount, document["subnets"]),
        sites=_records(f.GroupCount, document["sites"]),
        directions=_records(f.StopCount, document["directions"]),
        devices=_records(f.StopCount, document["devices"]),
        changes=_records(f.FirewallChange, document["changes"]),
        hosts=tuple(_host(host) for host in document["hosts"]),
        expected=tuple(document["expected"]),
        quarantine=_records(f.UnreadableFile, document["quarantine"]),
        limitations=tuple(document["limitations"]),
        causes=_records(f.Cause, document["causes"]),
        also_blocked=_records(f.AlsoBlocked, document["also_blocked"]),
    )


def _records(kind: type[Record], tables: Iterable[dict[str, Any]]) -> tuple[Record, ...]:
    return tuple(_record(kind, table) for table in tables)


def _record(kind: type[Record], table: dict[str, Any], **converted: Any) -> Record:
    """Return one record; lists of plain values become tuples, made: those fields that hold records."""
    plain = {
        OWN_NAMES.get(name, name): tuple(value) if isinstance(value, list) else value for name, value in table.items()
    }
    return kind(**plain | converted)


def _host(table: dict[str, Any]) -> f.HostResult:
    outcomes = tuple(
        _outcome(outcome["method"], outcome["result"], tuple(outcome["blamed"]), tuple(outcome["missing"]))
        for outcome in table["outcomes"]
    )
    return _record(
        f.HostResult,
        table,
        outcomes=outcomes,
        seen=tuple(_requirement(requirement) for requirement in table["seen"]),
    )


def _requirement(table: dict[str, Any]) -> f.RequirementResult:
    same = {name: intern(table[name]) for name in ALIKE if table[name]}
    return _record(
        f.RequirementResult,
        table,
        **same,
        source=_end(**table["from"]),
        destination=_end(**table["to"]),
        problems=_records(r.Problem, table["problems"]),
        proof=_records(f.Proof, table["proof"]),
        also_blocked=tuple(map(block, table["also_blocked"])),
    )


# Of a large fleet most of these are alike: one of each is kept.
ALIKE = ("requirement", "necessity", "protocol", "verdict", "confidence", "blocked_at", "remedy")
_outcome = lru_cache(maxsize=4096)(f.MethodOutcome)
_end = lru_cache(maxsize=4096)(r.Endpoint)


# what a schema cannot say


def _check_sense(report: f.FleetReport) -> None:
    """Raise FaultError where parts of the report contradict each other, so that no form of it would be true."""
    methods = [method.id for method in report.methods]
    check_unique("methods", methods)
    if report.main not in methods:
        raise FaultError(f"main is the unknown method {report.main}")
    check_unique(
        "hosts", (f"{host.site}/{host.host}".removeprefix("/") for host in report.hosts)
    )  # sites may share names
    results: Counter[tuple[str, str]] = Counter()
    for host in report.hosts:
        if sorted(outcome.method for outcome in host.outcomes) != sorted(methods):
            raise FaultError(f"host {host.host} does not have one outcome for each method")
        results.update((outcome.method, outcome.result) for outcome in host.outcomes)
        _check_blamed(host)
    for method in report.methods:
        counted = (method.works, method.allowed, method.fails, method.unproven, method.no_evidence)
        results[method.id, f.NO_EVIDENCE] += report.coverage.without_source
        if counted != tuple(results[method.id, result] for result in f.RESULTS):
            raise FaultError(f"the counts of {method.id} are not those of the hosts")
    if report.coverage.hosts != len(report.hosts) + len(report.expected):
        raise FaultError("coverage.hosts is not the number of hosts")


def _check_blamed(host: f.HostResult) -> None:
    seen = {f.row_of(requirement.requirement) for requirement in host.seen}  # what methods share is told once
    for outcome in host.outcomes:
        if unseen := sorted(blamed for blamed in outcome.blamed if f.row_of(blamed) not in seen):
            raise FaultError(f"host {host.host} fails for {unseen[0]}, which is not in what was seen of it")
