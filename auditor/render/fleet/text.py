"""The report of a fleet for a terminal: result, changes to request, computers without evidence, places."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping, Sequence

from rich.console import Console
from rich.padding import Padding
from rich.table import Table
from rich.text import Text

from auditor.render.clean import clean
from auditor.render.text import INDENT, Part, indented, plain, print_parts
from auditor.render.wording import period
from auditor.report import model as r
from auditor.report.fleet_model import (
    NO_EVIDENCE,
    PROBLEM,
    AlsoBlocked,
    Cause,
    FleetReport,
    GroupCount,
    HostResult,
    MethodCount,
    UnreadableFile,
)
from auditor.report.joined_names import join_limited
from auditor.ruleset.lint import SITE_SERVER
from auditor.ruleset.ruleset import DEFAULT_RULESET
from auditor.ruleset.statements import say, templates

MOST_LISTED = 10
MOST_CHANGES = 5
MOST_EXPLAINED = 3  # steps of logs, with paragraphs
MOST_REASONS = 3  # for the role of one server
UNNAMED = "(unknown)"
SIMPLE_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._:-]*")  # one word for every shell
AGAIN = "A push stops at the first blocked port; later ports are untested. Run the audit again after each change."
FAILED_STEPS = "Failed steps in logs of Configuration Manager"
UNPROVEN_STEPS = "Skipped, or ended without a code, in logs of Configuration Manager"
LOGGING = "Set-NetFirewallProfile -All -LogBlocked True -LogAllowed True"
APPLY = "Into a Group Policy Object: .\\rules.ps1 -On client -PolicyStore 'DOMAIN\\GPO'"
COLLECT = "Turn on logging, run a push, collect the logs, then run the same command again. On the client:"
UNITS = ("bytes", "kB", "MB", "GB", "TB")


def render_fleet_text(report: FleetReport, *, width: int = 100) -> str:
    """Return the report as plain text, with the worst few of every list."""
    return plain(_parts(report), width)


def print_fleet_text(report: FleetReport, console: Console) -> None:
    """Print the report on a console, with its width and colours."""
    print_parts(_parts(report), console)


def _parts(report: FleetReport) -> Iterator[Part]:
    yield Text(headline(report), style="bold")
    yield Text()
    yield from _also_blocked(report)
    yield from _changes(report)
    yield from _logged_steps(FAILED_STEPS, report.logged_causes)
    yield from _causes(report)
    yield from _logged_steps(UNPROVEN_STEPS, report.unproven_steps)
    yield from _without_evidence(report)
    yield from _places(report)
    yield from _failing(report)
    yield from _methods(report)
    if report.limitations:
        lines = [indented(f"- {text}") for text in report.limitation_texts]
        yield from _section("Limitations", lines)
    yield from _sources(report)
    yield from _next(report)


def headline(report: FleetReport) -> str:
    """Return the result of the main method in one line, every computer counted once."""
    counts = report.method(report.main)
    total = counts.fails + counts.works + counts.allowed + counts.unproven + counts.no_evidence
    if not total:
        return "No computers in the sources"
    allowed = f"{counts.allowed:,} allowed, " if counts.allowed else ""
    return (
        f"{_method_name(counts)}: {counts.fails:,} of {_computers(total)} {'fails' if counts.fails == 1 else 'fail'}, "
        f"{counts.works:,} {'works' if counts.works == 1 else 'work'}, {allowed}{counts.unproven:,} unproven, "
        f"{counts.no_evidence:,} without evidence"
    )


def _method_name(method: MethodCount) -> str:
    return clean(method.title.removesuffix(" installation"))


def _also_blocked(report: FleetReport) -> Iterator[Part]:
    if not report.also_blocked:
        return
    yield Text("Also blocked, without effect on these results (proven)", style="bold")
    for block in report.also_blocked[:MOST_LISTED]:
        yield indented(f"{_computers(block.hosts)}: {also_blocked(block)}")
    yield from _more(len(report.also_blocked), MOST_LISTED, "fleet.json")
    yield Text()


def also_blocked(block: AlsoBlocked) -> str:
    """Return which requirement is blocked where, and whether it is required at all."""
    off = "" if block.applies else "; not required in this mode or under this condition"
    return f"{block.requirement}, blocked at {block.blocked_at}{off}"


# what to do


def _changes(report: FleetReport) -> Iterator[Part]:
    if not report.changes:
        return
    cells = [
        (f"{number}. {change.remedy}", f"{change.helps:,}" if change.helps else "with the next", change.remaining)
        for number, change in enumerate(report.changes[:MOST_CHANGES], 1)
    ]
    yield _table(("Changes to request, most effective first", "Unblocks", "Still failing"), cells, numbers=2, indent=0)
    yield from _more(len(report.changes), MOST_CHANGES, "fleet.json")
    yield indented(f"Rules for Windows Firewall: {_export_command(report)}")
    yield indented(APPLY)
    yield indented(AGAIN, style="dim")
    yield Text()


def _export_command(report: FleetReport) -> str:
    ruleset = "" if report.ruleset.id == DEFAULT_RULESET else f" --ruleset {report.ruleset.id}"
    servers = sorted({role.address for role in report.roles if role.role == SITE_SERVER})
    roles = "".join(f" --role {SITE_SERVER}={address}" for address in servers)
    return f"auditor rulesets export {report.main}{ruleset} --to powershell{roles} -o rules.ps1"


def _causes(report: FleetReport) -> Iterator[Part]:
    if not (causes := report.other_causes):
        return
    lines = [
        indented(f"{cause.hosts:,} {_one_cause(cause.verdict, cause.code, cause.requirement)}: {cause.remedy}")
        for cause in causes[:MOST_LISTED]
    ]
    title = f"No firewall change fixes {_computers(sum(cause.hosts for cause in causes))}"
    yield from _section(title, [*lines, *_more(len(causes), MOST_LISTED, "causes.csv")])


def _logged_steps(title: str, causes: Sequence[Cause]) -> Iterator[Part]:
    """Yield the steps of logs by code, then for the first of them the meaning, what to do, and a line."""
    if not causes:
        return
    cells = [
        (step_in_words(cause.step), cause.code or "-", _port_of(cause), cause.hosts) for cause in causes[:MOST_LISTED]
    ]
    table = _table(("Step", "Code", "Port", "Computers"), cells, numbers=1)
    parts = [table, *_more(len(causes), MOST_LISTED, "causes.csv")]
    parts += [part for cause in causes[:MOST_EXPLAINED] for part in _logged_step(cause)]
    parts += _more(len(causes), MOST_EXPLAINED, "explained in fleet.html and causes.csv")
    yield from _section(f"{title}: {_computers(sum(cause.hosts for cause in causes))}", parts)


def _port_of(cause: Cause) -> str:
    states = {r.FAILED: "unclear", PROBLEM: "open"}
    return f"{_row(cause.requirement)}: {states[cause.verdict]}" if cause.verdict in states else "-"


def _logged_step(cause: Cause) -> Iterator[Part]:
    yield indented(f"{step_and_code(cause.step, cause.code)}:")
    yield _further(cause.text)
    yield _further(f"Fix: {cause.remedy}")
    yield _further(f"Example: {example(cause)}")


def step_and_code(step: str, code: str) -> str:
    """Return a step of a log and its code in words."""
    return ", ".join(filter(None, (step_in_words(step), code)))


def step_in_words(step: str) -> str:
    """Return a step of a log in words; one of a report of another version as it is."""
    name = f"reported-step.{step}"
    return say(name) if name in templates() else step


def example(cause: Cause) -> str:
    """Return the line of a log that shows a cause, with its host and its place; empty without a step."""
    if cause.example is None:
        return ""
    lines = ", ".join(map(str, cause.example.lines))
    return f"{cause.example_host}, {cause.example.path} line {lines}: {cause.example.text}"


def _further(text: str) -> Padding:
    return Padding(Text(clean(text)), (0, 0, 0, 2 * INDENT))


def _one_cause(verdict: str, code: str, requirement: str) -> str:
    row = _row(requirement)
    how = "blocked, and the port is closed" if verdict == r.BLOCKED else code or verdict
    return f"{row} {how}" if row else how


def _without_evidence(report: FleetReport) -> Iterator[Part]:
    """Yield the computers without evidence, each with the reason, and the files that could not be read."""
    errors = {file.host: file for file in report.unreadable if file.host}
    none = f"the sources contain no {_method_name(report.method(report.main)).lower()} traffic"
    silent = [host for host in report.hosts if host.outcome(report.main).result == NO_EVIDENCE]
    reasons = [(_at_site(host), _ended_at(host, report.main) or none) for host in silent]
    sites = report.site_of_expected
    reasons += [
        (_with_site(name, sites.get(name, "")), _unreadable(errors[name]) if name in errors else "no source collected")
        for name in report.expected
    ]
    if reasons:
        lines: list[Part] = [
            _table((), reasons[:MOST_LISTED]),
            *_more(len(reasons), MOST_LISTED, "hosts.csv, fleet.json"),
        ]
        lines += [indented(COLLECT, style="dim"), indented(LOGGING)]
        title = f"No evidence for {_computers(len(reasons))} (do not count them as working)"
        yield from _section(title, lines)
    if others := [file for file in report.unreadable if file.host not in report.expected]:
        shown = [indented(f"{file.path}: {_unreadable(file)}") for file in others[:MOST_LISTED]]
        title = f"Unreadable files ({len(others):,})"
        yield from _section(title, [*shown, *_more(len(others), MOST_LISTED, "unreadable.csv")])


def _ended_at(host: HostResult, method: str) -> str:
    """Return the step of a log at which a method ended although nothing shows that it fails; empty if there is none."""
    steps = (step for step in host.failed_steps if step.method == method)
    return next((say("fleet.ended-at", step=step_and_code(step.step, step.code)) for step in steps), "")


def _unreadable(file: UnreadableFile) -> str:
    return f"could not be read: {file.error}" + (f". {file.action[:1].upper()}{file.action[1:]}" if file.action else "")


# where


def _places(report: FleetReport) -> Iterator[Part]:
    results = _results_of([*report.sites, *report.subnets])
    for name, groups in (("Site", report.sites), ("Subnet", report.subnets)):
        cells = [
            (group.name or UNNAMED, *(getattr(group, field) for field in results), _row(group.most))
            for group in groups[:MOST_LISTED]
        ]
        if cells:
            title = f"Where it fails: {name.lower()}s"
            table = _table((name, *results.values(), "Main cause"), cells, numbers=len(results), last=1)
            yield from _section(title, [table, *_more(len(groups), MOST_LISTED, "hosts.csv")])


def _results_of(counts: Sequence[GroupCount | MethodCount]) -> dict[str, str]:
    """Return the fields of counts that a table shows, with their headings; rare results only where they count."""
    fields = {"fails": "Fail", "works": "Work"}
    fields |= {name: name.capitalize() for name in ("allowed", "unproven") if any(getattr(one, name) for one in counts)}
    return fields | {"no_evidence": "No evidence"}


def _failing(report: FleetReport) -> Iterator[Part]:
    failing = _that_fail(report)
    cells = [
        (_at_site(host), ", ".join(host.addresses[:1]), ", ".join(map(_row, host.outcome(report.main).failed)))
        for host in failing[:MOST_LISTED]
    ]
    steps = [_failed_step(host, report.main) for host in failing[:MOST_LISTED]]
    columns = ("Computer", "Address", "Failed requirements", *["Failed step"] * any(steps))
    if cells:
        rows = [(*cell, step)[: len(columns)] for cell, step in zip(cells, steps, strict=True)]
        table = _table(columns, rows)
        more = _more(len(failing), MOST_LISTED, "hosts.csv")
        yield from _section(f"Computers that fail ({len(failing):,})", [table, *more])


def _failed_step(host: HostResult, method: str) -> str:
    step, code = host.failed_step(method)
    return step_and_code(step, code) if step else ""


def _at_site(host: HostResult) -> str:
    return _with_site(host.host, host.site)


def _with_site(host: str, site: str) -> str:
    return f"{host} ({site})" if site else host


def _that_fail(report: FleetReport) -> list[HostResult]:
    return [host for host in report.hosts if host.outcome(report.main).result == r.FAILS]


def _methods(report: FleetReport) -> Iterator[Part]:
    others = [method for method in report.methods if method.id != report.main and report.coverage.hosts]
    shown = [one for one in others if one.works + one.allowed + one.fails + one.unproven]
    lines: list[Part] = []
    if shown:
        results = _results_of(shown)
        cells = [(one.title, *(getattr(one, field) for field in results)) for one in shown]
        lines.append(_table(("Method", *results.values()), cells, numbers=len(results)))
    if unseen := [one.id for one in others if one not in shown]:
        lines.append(indented(f"{', '.join(unseen)}: no evidence for any computer"))
    if lines:
        yield from _section("Other methods", lines)


# the end


def _sources(report: FleetReport) -> Iterator[Part]:
    cover = report.coverage
    parts = [f"{cover.read:,} of {_count(cover.files, 'file', 'files')} read"]
    parts[0] += f" ({_size(cover.bytes)}, {_count(cover.records, 'entry', 'entries')})"
    parts += [f"{cover.unreadable:,} unreadable"] * bool(cover.unreadable)
    parts += [f"{cover.duplicates:,} duplicate"] * bool(cover.duplicates)
    parts += [f"{_count(cover.skipped, 'entry', 'entries')} skipped"] * bool(cover.skipped)
    lines = [", ".join(parts)]
    if cover.first_time and cover.last_time:
        lines.append(period(cover.first_time, cover.last_time))
    for role, servers in _servers(report.roles).items():
        remainder = f" and {len(servers) - 1:,} more" if len(servers) > 2 else "; ".join(["", *servers[1:]])
        lines.append(f"{role}: {servers[0]}{remainder}")
    lines.append(f"ruleset {report.ruleset.id}: {report.ruleset.title}")
    yield from _section("Sources", map(indented, lines))


def _servers(roles: Iterable[r.RoleAssignment]) -> Mapping[str, Sequence[str]]:
    """Return by role who plays it and why. A server of several sites has a reason at each and is stated once."""
    reasons: dict[str, dict[str, dict[str, list[str]]]] = {}
    for assignment in roles:
        of_server = reasons.setdefault(assignment.role, {}).setdefault(assignment.address, {})
        of_server.setdefault(assignment.how, []).append(assignment.why)
    return {
        role: [f"{address} ({'; '.join(_reasons(of_server))})" for address, of_server in servers.items()]
        for role, servers in reasons.items()
    }


def _reasons(of_server: Mapping[str, Sequence[str]]) -> Iterator[str]:
    for how, whys in of_server.items():
        yield f"{how}: {join_limited(list(dict.fromkeys(whys)), MOST_REASONS)}"


def _next(report: FleetReport) -> Iterator[Part]:
    failing = _that_fail(report)
    name = next((host.host for host in failing or report.hosts if SIMPLE_NAME.fullmatch(host.host)), "NAME")
    if report.hosts:
        yield Text(f"Details of one computer, in the folder of this report: auditor render . --host {name}")
    elif not report.expected:
        yield Text("To analyze logs or captures, run: auditor batch PATH... -o DIR")


# words and tables


def _section(title: str, parts: Iterable[Part]) -> Iterator[Part]:
    yield Text(title, style="bold")
    yield from parts
    yield Text()


def _more(count: int, most: int, file: str) -> list[Part]:
    return [indented(f"and {count - most:,} more ({file})", style="dim")] if count > most else []


def _table(
    names: Sequence[str], rows: Sequence[Sequence[str | int]], numbers: int = 0, last: int = 0, indent: int = INDENT
) -> Padding:
    """Return a table.

    Args:
        names: Headings of its columns; none for a table without headings.
        rows: The cells of each row.
        numbers: How many columns hold numbers, those before the last ones.
        last: How many columns of text follow them.
        indent: Blanks before the table.
    """
    table = Table(
        box=None, padding=(0, 2, 0, 0), show_edge=False, show_header=bool(names), header_style="dim", pad_edge=False
    )
    count = max(len(names), *map(len, rows))
    for place in range(count):
        right = count - last - numbers <= place < count - last
        heading = names[place] if names else ""
        table.add_column(heading, justify="right" if right else "left", overflow="fold")
    for row in rows:
        table.add_row(*(Text(_cell(cell)) for cell in row))
    return Padding(table, (0, 0, 0, indent))


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
