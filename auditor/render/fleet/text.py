"""The report of a fleet for a terminal: how many fail, what to change, where, and of whom nobody knows."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Sequence

from rich.console import Console
from rich.padding import Padding
from rich.table import Table
from rich.text import Text

from auditor.render.clean import clean
from auditor.render.text import INDENT, STYLES, Part, indented, plain, print_parts
from auditor.report import model as r
from auditor.report.fleet_model import (
    AlsoBlocked,
    FirewallChange,
    FleetReport,
    GroupCount,
    HostResult,
    MethodCount,
    StopCount,
)
from auditor.ruleset.lint import SITE_SERVER
from auditor.ruleset.ruleset import DEFAULT_RULESET

MOST_LISTED = 10
MOST_CHANGES = 5
UNNAMED = "(not known)"
SIMPLE_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._:-]*")  # one word for every shell
AGAIN = "What comes after a stop was never tried, so it is not known to be open: audit again after each change."
UNITS = ("bytes", "kB", "MB", "GB", "TB")


def render_fleet_text(report: FleetReport, *, width: int = 100) -> str:
    """Return the report as plain text, with the worst few of every list."""
    return plain(_parts(report), width)


def print_fleet_text(report: FleetReport, console: Console) -> None:
    """Print the report on a console, with its width and colours."""
    print_parts(_parts(report), console)


def _parts(report: FleetReport) -> Iterator[Part]:
    yield from _answer(report)
    yield from _changes(report)
    yield from _causes(report)
    yield from _requirements(report)
    yield from _groups("By subnet", "subnet", report.subnets)
    yield from _groups("By site", "site", report.sites)
    yield from _stops("In which direction", "direction", report.directions)
    yield from _stops("What stops it, where a rule can be changed", "device", report.devices)
    yield from _failing(report)
    yield from _methods(report)
    yield from _coverage(report)
    yield from _unreadable(report)
    if report.limitations:
        lines = [indented(f"- {text}") for text in report.limitation_texts]
        yield from _section("What these sources cannot show", lines)
    yield from _next(report)


# the answer


def _answer(report: FleetReport) -> Iterator[Part]:
    yield Text(_headline(report), style="bold")
    cover = report.coverage
    if cover.hosts and (unknown := cover.without_evidence + cover.without_source):
        parts = [_count(cover.without_evidence, "has", "have") + " sources without evidence of it"] * bool(
            cover.without_evidence
        )
        parts += [_count(cover.without_source, "has", "have") + " no source that could be read"] * bool(
            cover.without_source
        )
        yield Text(f"Of {_computers(unknown)} nobody knows: {', '.join(parts)}.", style="yellow")
    if cover.unreadable or cover.skipped:
        parts = [f"{_count(cover.unreadable, 'file', 'files')} could not be read"] * bool(cover.unreadable)
        parts += [f"{_count(cover.skipped, 'record', 'records')} of others were skipped"] * bool(cover.skipped)
        yield Text(f"Not all was read: {', '.join(parts)}.", style="yellow")
    if failing := report.method(report.main).fails:
        yield from _best(report, failing)
    yield from _also_blocked(report)
    yield Text()


def _headline(report: FleetReport) -> str:
    counts, total = report.method(report.main), report.coverage.hosts
    title = clean(counts.title)
    if not total:
        return "No computer was audited."
    if not counts.works + counts.allowed + counts.fails + counts.unproven:
        return f"Nothing of {title} was seen of {_computers(total)}: nobody knows whether it works."
    other_counts = [
        f"{count:,} {result}"
        for count, result in ((counts.works, "works"), (counts.allowed, "allowed"), (counts.unproven, "unproven"))
        if count
    ]
    remainder = f" ({', '.join(other_counts)})" if other_counts else ""
    if counts.fails:
        return f"{title} would fail on {counts.fails:,} of {_computers(total)}{remainder}."
    return f"{title} is not seen to fail on any of {_computers(total)}{remainder}."


def _best(report: FleetReport, failing: int) -> Iterator[Part]:
    if not report.changes:
        yield Text("No change of a firewall helps any of those that fail: see below what does.", style="bold")
        return
    together, best = _until_it_helps(report.changes)
    subject = "One change helps most" if len(together) == 1 else f"{len(together)} changes help most, together"
    yield Text(f"{subject}: {best.helps:,} of the {failing:,} no longer fail.", style="bold")
    for change in together:
        yield indented(change.remedy, style="green")


def _also_blocked(report: FleetReport) -> Iterator[Part]:
    if not report.also_blocked:
        return
    yield Text("Also blocked, without effect on these results (proven):")
    for block in report.also_blocked[:MOST_LISTED]:
        yield indented(f"{_computers(block.hosts)}: {also_blocked(block)}")
    yield from _more(len(report.also_blocked), MOST_LISTED, "fleet.json")


def also_blocked(block: AlsoBlocked) -> str:
    """Return which requirement is blocked where, and whether it is required at all."""
    off = "" if block.applies else "; not required in this mode or on this condition"
    return f"{block.requirement}, blocked at {block.blocked_at}{off}"


def _until_it_helps(changes: Sequence[FirewallChange]) -> tuple[Sequence[FirewallChange], FirewallChange]:
    """Return the first changes, until one of them helps anybody, and that one."""
    place = next(number for number, change in enumerate(changes) if change.helps)
    return changes[: place + 1], changes[place]


# what to do


def _changes(report: FleetReport) -> Iterator[Part]:
    if not report.changes:
        return
    lines: list[Part] = []
    for number, change in enumerate(report.changes[:MOST_CHANGES], 1):
        helps = f"helps {change.helps:,} more" if number > 1 else f"helps {change.helps:,}"
        helps = helps if change.helps else "helps only together with the next"
        left = f"{change.remaining:,} still fail{'s' if change.remaining == 1 else ''}"
        lines.append(indented(f"{number}. {helps}, {left}: {change.remedy}"))
    yield from _section(
        "The changes to ask for, in the order in which they pay most",
        [*lines, *_more(len(report.changes), MOST_CHANGES, "fleet.json"), indented(AGAIN, style="dim")],
    )


def _causes(report: FleetReport) -> Iterator[Part]:
    if not report.causes:
        return
    lines = [
        indented(f"{cause.hosts:,} {_one_cause(cause.verdict, cause.code, cause.requirement)}: {cause.remedy}")
        for cause in report.causes[:MOST_LISTED]
    ]
    title = f"No change of a firewall helps {_computers(report.unhelped)}"
    yield from _section(title, [*lines, *_more(len(report.causes), MOST_LISTED, "fleet.json")])


def _one_cause(verdict: str, code: str, requirement: str) -> str:
    row = _row(requirement)
    how = "blocked, but nobody listens there" if verdict == r.BLOCKED else code or verdict
    return f"{row} {how}" if row else how


# where


def _requirements(report: FleetReport) -> Iterator[Part]:
    cells = [
        (
            _row(requirement.id),
            Text(requirement.verdict, style=STYLES[r.FAILS]),
            requirement.blocked_at,
            requirement.hosts,
            requirement.proven,
        )
        for requirement in report.requirements[:MOST_LISTED]
    ]
    if cells:
        table = _table(("requirement", "how", "stopped at", "computers", "proven"), cells, numbers=2)
        yield from _section(
            "What fails most", [table, *_more(len(report.requirements), MOST_LISTED, "requirements.csv")]
        )


def _groups(title: str, name: str, groups: Sequence[GroupCount]) -> Iterator[Part]:
    results = _results_of(groups)
    cells = [
        (group.name or UNNAMED, _row(group.most), *(getattr(group, field) for field in results))
        for group in groups[:MOST_LISTED]
    ]
    if cells:
        table = _table((name, "fails most", *results.values()), cells, numbers=len(results))
        yield from _section(title, [table, *_more(len(groups), MOST_LISTED, "hosts.csv")])


def _results_of(counts: Sequence[GroupCount | MethodCount]) -> dict[str, str]:
    """Return the fields of counts that a table shows, with their headings; that of "allowed" only where it counts."""
    fields = {"fails": "fails", "works": "works", "allowed": "allowed", "unproven": "unproven"}
    if not any(count.allowed for count in counts):
        del fields["allowed"]
    return fields | {"no_evidence": "no evidence"}


def _stops(title: str, name: str, stops: Sequence[StopCount]) -> Iterator[Part]:
    if stops:
        table = _table((name, "computers"), [(stop.name, stop.hosts) for stop in stops[:MOST_LISTED]], numbers=1)
        yield from _section(title, [table, *_more(len(stops), MOST_LISTED, "requirements.csv")])


def _failing(report: FleetReport) -> Iterator[Part]:
    failing = _that_fail(report)
    cells = [
        (
            host.host,
            ", ".join(host.addresses[:1]) if host.addresses[:1] != (host.host,) else "",
            host.site,
            ", ".join(map(_row, host.outcome(report.main).failed)),
        )
        for host in failing[:MOST_LISTED]
    ]
    if cells:
        table = _table(("computer", "address", "site", "fails for"), cells)
        yield from _section(
            f"Computers that fail ({len(failing):,})", [table, *_more(len(failing), MOST_LISTED, "hosts.csv")]
        )


def _that_fail(report: FleetReport) -> list[HostResult]:
    return [host for host in report.hosts if host.outcome(report.main).result == r.FAILS]


def _methods(report: FleetReport) -> Iterator[Part]:
    results = _results_of(report.methods)
    cells = [(method.title, *(getattr(method, field) for field in results)) for method in report.methods]
    if cells:
        table = _table(("method", *results.values()), cells, numbers=len(results))
        yield from _section("Every method", [table])


# the end


def _coverage(report: FleetReport) -> Iterator[Part]:
    cover = report.coverage
    parts = [f"{_count(cover.files, 'file', 'files')} found: {cover.read:,} read"]
    parts += [f"{cover.duplicates:,} the same again"] * bool(cover.duplicates)
    parts += [f"{cover.unreadable:,} unreadable"] * bool(cover.unreadable)
    skipped = f", {cover.skipped:,} skipped" if cover.skipped else ""
    lines = [
        f"{', '.join(parts)}; {_size(cover.bytes)}, {_count(cover.records, 'record', 'records')}{skipped}",
        f"{_computers(cover.hosts)}: {cover.with_evidence:,} with evidence, {cover.without_evidence:,} without, "
        f"{cover.without_source:,} without a source",
    ]
    if cover.first_time and cover.last_time:
        lines.append(f"from {cover.first_time} to {cover.last_time}")
    if report.expected:
        shown = ", ".join(report.expected[:MOST_LISTED])
        more = len(report.expected) - MOST_LISTED
        lines.append(f"without a source: {shown}" + (f" and {more:,} more (fleet.json)" if more > 0 else ""))
    roles: dict[str, list[str]] = {}
    for assignment in report.roles:
        roles.setdefault(assignment.role, []).append(f"{assignment.address} ({assignment.how}: {assignment.why})")
    for role, players in roles.items():
        remainder = f" and {len(players) - 1:,} more" if len(players) > 2 else "; ".join(["", *players[1:]])
        lines.append(f"{role}: {players[0]}{remainder}")
    lines.append(f"ruleset {report.ruleset.id}: {report.ruleset.title}")
    yield from _section("What was audited", map(indented, lines))


def _unreadable(report: FleetReport) -> Iterator[Part]:
    if not report.unreadable:
        return
    lines = [
        indented(f"{file.path}: {file.error}" + (f" - {file.action}" if file.action else ""))
        for file in report.unreadable[:MOST_LISTED]
    ]
    title = f"Unreadable ({_count(len(report.unreadable), 'file', 'files')})"
    yield from _section(title, [*lines, *_more(len(report.unreadable), MOST_LISTED, "unreadable.csv")])


def _next(report: FleetReport) -> Iterator[Part]:
    yield Text("What to do next", style="bold")
    failing = _that_fail(report)
    name = next((host.host for host in failing or report.hosts if SIMPLE_NAME.fullmatch(host.host)), "NAME")
    if report.hosts:
        yield indented(f"one computer, with the lines that prove it: auditor render DIR --host {name}")
    if report.changes:
        ruleset = "" if report.ruleset.id == DEFAULT_RULESET else f" --ruleset {report.ruleset.id}"
        servers = sorted({role.address for role in report.roles if role.role == SITE_SERVER})
        roles = "".join(f" --role {SITE_SERVER}={address}" for address in servers)
        export = f"auditor rulesets export {report.main}{ruleset} --to powershell{roles}"
        yield indented(f"the rules for Windows Firewall: {export}")
    if report.unreadable or report.expected:
        yield indented("the computers of which nobody knows: bring their logs, then run auditor batch again")
    if not report.hosts and not report.expected:
        yield indented("name files or folders with logs or captures: auditor batch PATH... -o DIR")


# words and tables


def _section(title: str, parts: Iterable[Part]) -> Iterator[Part]:
    yield Text(title, style="bold")
    yield from parts
    yield Text()


def _more(count: int, most: int, file: str) -> list[Part]:
    return [indented(f"and {count - most:,} more ({file})", style="dim")] if count > most else []


def _table(names: Sequence[str], rows: Iterable[Sequence[str | int | Text]], numbers: int = 0) -> Padding:
    """Return a table. numbers: how many of its last columns hold numbers."""
    table = Table(box=None, padding=(0, 2, 0, 0), show_edge=False, header_style="dim", pad_edge=False)
    for place, name in enumerate(names):
        right = place >= len(names) - numbers
        table.add_column(name, justify="right" if right else "left", overflow="fold")
    for row in rows:
        table.add_row(*(cell if isinstance(cell, Text) else Text(_cell(cell)) for cell in row))
    return Padding(table, (0, 0, 0, INDENT))


def _cell(value: str | int) -> str:
    return f"{value:,}" if isinstance(value, int) else clean(value)


def _row(requirement: str) -> str:
    return requirement.partition("/")[2]


def _computers(count: int) -> str:
    return _count(count, "computer", "computers")


def _count(count: int, singular: str, plural: str) -> str:
    return f"{count:,} {singular if count == 1 else plural}"


def _size(count: int) -> str:
    """Return a number of bytes in three digits or so."""
    size, unit = float(count), 0
    while size >= 1000 and unit < len(UNITS) - 1:
        size, unit = size / 1000, unit + 1
    return f"{size:,.0f} {UNITS[unit]}" if unit == 0 or size >= 100 else f"{size:,.1f} {UNITS[unit]}"
