"""Read the saved report of a fleet back: the fleet.json that `auditor batch` wrote, checked, as the same document."""

from __future__ import annotations

from collections import Counter
from dataclasses import replace
from functools import cache
from itertools import islice, takewhile
from pathlib import Path
from typing import Any

from auditor.errors import ReportError
from auditor.report import fleet_model as f
from auditor.report import model as r
from auditor.report.fleet_as_json import KIND, fleet_schema
from auditor.report.load import STANDARD, Check, FaultError, check_unique, checker, from_dict, read_json, sound
from auditor.report.records import from_json
from auditor.sources.files.text import load_json

ANEW = "Create it again: auditor batch PATH... -o DIR"
# As write_fleet_json begins and divides the file.
FIRST_LINES = ["{", f'"format_version": {f.FORMAT_VERSION},', f'"kind": "{KIND}",']
HOSTS_BEGIN, HOSTS_END = '  "hosts": [\n', "  ],\n"


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
        report = from_json(f.FleetReport, document)
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
        raise ReportError(message, where=where, hint="Name the fleet.json that auditor batch wrote.")
    if version != f.FORMAT_VERSION:
        whose = "a later" if version > f.FORMAT_VERSION else "an earlier"
        message = f"this report is from {whose} auditor (format_version {version}, supported: {f.FORMAT_VERSION})"
        hint = "Install the newer version of auditor." if version > f.FORMAT_VERSION else ANEW
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
            document = load_json("".join(head) + '"hosts": [],' + file.read())
        _checker()(document)
        report = replace(
            from_json(f.FleetReport, document),
            hosts=tuple(hosts),
        )
        _check_sense(report)
    except (OSError, ValueError, RecursionError, FaultError):
        return None
    return report


def _checked_host(line: str, check: Check) -> f.HostResult:
    table = load_json(line.rstrip().removesuffix(","))
    check(table)
    return from_json(f.HostResult, table)


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
        if unknown := sorted(set(host.recommended).difference(methods)):
            raise FaultError(f"host {host.host} recommends the unknown method {unknown[0]}")
        results.update((outcome.method, outcome.result) for outcome in host.outcomes)
        _check_failed(host)
    for method in report.methods:
        counted = (method.works, method.allowed, method.fails, method.unproven, method.no_evidence)
        results[method.id, f.NO_EVIDENCE] += report.coverage.without_source
        if counted != tuple(results[method.id, result] for result in f.RESULTS):
            raise FaultError(f"the counts of {method.id} are not those of the hosts")
    if report.coverage.hosts != len(report.hosts) + len(report.expected):
        raise FaultError("coverage.hosts is not the number of hosts")


def _check_failed(host: f.HostResult) -> None:
    seen = {f.row_of(requirement.requirement) for requirement in host.seen}  # what methods share is told once
    for outcome in host.outcomes:
        if unseen := sorted(failed for failed in outcome.failed if f.row_of(failed) not in seen):
            raise FaultError(f"host {host.host} fails for {unseen[0]}, which is not in what was seen of it")
