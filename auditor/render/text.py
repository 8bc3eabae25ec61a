"""The report for a terminal: the answer first, then the proof, then what would work instead."""

from __future__ import annotations

import io
from collections.abc import Iterable, Iterator, Sequence

from rich.console import Console
from rich.padding import Padding
from rich.table import Table
from rich.text import Text

from auditor.render import wording
from auditor.render.clean import clean
from auditor.render.wording import MANY_CLIENTS, MOST_DETAILED, MOST_LISTED
from auditor.report import model as r

Part = Text | Padding | Table

STYLES = {
    r.OPEN: "green",
    r.ALLOWED: "green",
    r.BLOCKED: "bold red",
    r.NO_RESPONSE: "bold red",
    r.REFUSED: "bold red",
    r.UNREACHABLE: "bold red",
    r.FAILED: "bold red",
    r.INCONCLUSIVE: "yellow",
    r.NOT_OBSERVED: "dim",
    r.NOT_APPLICABLE: "dim",
    r.WORKS: "green",
    r.FAILS: "bold red",
    r.UNPROVEN: "yellow",
}
INDENT = 2


def render_text(report: r.Report, *, width: int = 100, details: bool = False) -> str:
    """Return the report as plain text. details: show every client and requirement in full."""
    return plain(_parts(report, details), width)


def print_text(report: r.Report, console: Console, *, details: bool = False) -> None:
    """Print the report on a console, with its width and colours."""
    print_parts(_parts(report, details), console)


def plain(parts: Iterable[Part], width: int) -> str:
    """Return what a text is made of as plain text, with no blanks at the end of a line."""
    out = io.StringIO()
    # In a notebook rich would show the text there, piece by piece, and return nothing of it.
    console = Console(file=out, width=width, color_system=None, highlight=False, emoji=False, force_jupyter=False)
    print_parts(parts, console)
    return "\n".join(line.rstrip() for line in out.getvalue().splitlines()) + "\n"


def print_parts(parts: Iterable[Part], console: Console) -> None:
    """Print what a text is made of on a console."""
    for part in parts:
        console.print(part, markup=False, highlight=False, soft_wrap=False)


def _parts(report: r.Report, details: bool) -> Iterator[Part]:
    if not report.clients:
        yield Text("No client installation was audited.", style="bold yellow")
        yield Text()
    elif len(wording.mains(report)) > MANY_CLIENTS and not details:
        yield from _fleet(report)
    else:
        yield from _clients(report, wording.mains(report), details)
    yield from _not_judged(report)
    yield from _limitations(report)
    yield from _sources(report)


# sources and roles


def _sources(report: r.Report) -> Iterator[Part]:
    yield Text()
    yield Text("What was audited", style="bold")
    for source in report.sources:
        skipped = f", {source.skipped:,} skipped" if source.skipped else ""
        unit = {"event-log": "events", "firewall-log": "rows"}.get(source.kind, "packets")
        yield indented(f"{source.path}: {source.format or 'not read'}, {source.records:,} {unit}{skipped}")
        for warning in source.warnings:
            yield indented(f"  warning ({warning.code}): {warning.text}", style="yellow")
    for role, shown in (*wording.roles(report), *wording.modes(report)):
        yield indented(f"{role}: {shown}")
    yield indented(f"ruleset {report.ruleset.id}: {report.ruleset.title}")


# one client


def _clients(report: r.Report, mains: Sequence[wording.Main], details: bool) -> Iterator[Part]:
    for client, main in mains:
        yield from _client(report, client, main, details)


def _client(report: r.Report, client: r.ClientReport, main: r.MethodResult, details: bool) -> Iterator[Part]:
    yield _headline(client, main)
    for text in (*wording.result_reasons(main), *wording.also_blocked(client, main)):
        yield indented(text)
    yield Text()
    yield _table(main)
    if left_out := wording.not_applicable(main):
        yield indented(f"not applicable here: {', '.join(left_out)}", style="dim")
    yield Text()
    yield from _proofs(main, report, details)
    yield from _other_methods(client, main, details)


def _headline(client: r.ClientReport, method: r.MethodResult) -> Text:
    text = Text()
    text.append(f"{clean(client.address)}: ", style="bold")
    text.append(f"{clean(wording.title(client, method))}: ")
    text.append(method.result.upper(), style=STYLES[method.result])
    return text


def _table(method: r.MethodResult) -> Padding:
    table = Table(box=None, padding=(0, 2, 0, 0), show_edge=False, header_style="dim", pad_edge=False)
    for name in ("requirement", "port", "verdict", "from", "to"):
        table.add_column(name, no_wrap=name in ("requirement", "port", "verdict"), overflow="fold")
    for requirement in wording.table_requirements(method):
        cells = (
            wording.name(requirement),
            wording.port(requirement),
            Text(wording.verdict(requirement), style=_style(requirement)),
            wording.end(requirement.source),
            wording.end(requirement.destination),
        )
        table.add_row(*(cell if isinstance(cell, Text) else Text(clean(cell)) for cell in cells))
    return Padding(table, (0, 0, 0, INDENT))


def _style(requirement: r.RequirementVerdict) -> str:
    return STYLES[r.FAILS] if wording.fatal(requirement) else STYLES[requirement.verdict]


def _proofs(method: r.MethodResult, report: r.Report, details: bool) -> Iterator[Part]:
    for requirement in wording.evidence_requirements(method, details=details):
        head = Text()
        head.append(clean(requirement.id), style="bold")
        head.append(": ")
        head.append(wording.verdict(requirement), style=_style(requirement))
        yield head
        yield indented(requirement.explanation)
        for problem in requirement.problems:
            yield indented(
                f"{'problem' if problem.fatal else 'also'}: {problem.text}", style="red" if problem.fatal else ""
            )
        if stopped := wording.stopped(requirement):
            yield indented(stopped)
        for evidence in requirement.evidence:
            shown = f"   Wireshark: {evidence.display_filter}" if evidence.display_filter else ""
            yield indented(f"proof: {wording.frames(evidence, report)}{shown}")
        for remedy in requirement.remedy:
            yield indented(f"remedy: {remedy.action}")
            if remedy.command:
                yield Padding(Text(clean(remedy.command)), (0, 0, 0, 2 * INDENT))
        yield Text()


def _other_methods(client: r.ClientReport, main: r.MethodResult, details: bool) -> Iterator[Part]:
    heading, instead = wording.alternatives(client, main)
    if heading:
        yield Text(heading, style="bold")
        for place, text in enumerate(instead, 1):
            yield indented(f"{place}. {text}")
        if not instead:
            yield indented("Nothing yet: the computer itself was not reached.")
        yield Text()
    if failing := wording.fails_too(client, main):
        yield Text("What would fail too", style="bold")
        for text in failing:
            yield indented(text)
        yield Text()
    if details:
        for method in client.methods:
            if method.id != main.id:
                yield _headline(client, method)
                yield _table(method)
                yield Text()


# many clients


def _fleet(report: r.Report) -> Iterator[Part]:
    mains = wording.mains(report)
    yield Text(wording.tally(mains), style="bold")
    if doubt := wording.doubt(report, mains):
        yield Text(doubt)
    yield Text()
    yield from _most_blocked(mains)
    yield from _also_blocked(mains)
    failing = [main for main in mains if main[1].result == r.FAILS]
    if failing:
        yield Text(f"Failing clients ({len(failing):,})", style="bold")
        yield Padding(_client_table(failing[:MOST_LISTED]), (0, 0, 0, INDENT))
        if len(failing) > MOST_LISTED:
            yield indented(f"and {len(failing) - MOST_LISTED:,} more: --format json or -v lists all of them")
        yield Text()
        yield Text(f"In detail: the first {min(len(failing), MOST_DETAILED)} of them (-v shows all)", style="bold")
        yield Text()
        yield from _clients(report, failing[:MOST_DETAILED], False)


def _most_blocked(mains: Iterable[wording.Main]) -> Iterator[Part]:
    bad = wording.most_blocked(mains)
    if not bad:
        return
    table = Table(box=None, padding=(0, 2, 0, 0), show_edge=False, header_style="dim", pad_edge=False)
    for name in ("requirement", "verdict", "clients"):
        table.add_column(name, justify="right" if name == "clients" else "left")
    for requirement, verdict, count in bad:
        table.add_row(Text(clean(requirement)), Text(verdict, style=STYLES[verdict]), Text(f"{count:,}"))
    yield Text("What is blocked most", style="bold")
    yield Padding(table, (0, 0, 0, INDENT))
    yield Text()


def _also_blocked(mains: Iterable[wording.Main]) -> Iterator[Part]:
    if besides := wording.blocked_besides(mains):
        yield Text("Also blocked, does not change these results", style="bold")
        for requirement, count in besides:
            yield indented(f"{requirement}: {count:,} client{'s' * (count != 1)}")
        yield Text()


def _client_table(mains: Iterable[wording.Main]) -> Table:
    table = Table(box=None, padding=(0, 2, 0, 0), show_edge=False, header_style="dim", pad_edge=False)
    for name in ("client", "method", "blocked"):
        table.add_column(name)
    for client, method in mains:
        table.add_row(*(Text(clean(cell)) for cell in (client.address, method.id, wording.blocked(method))))
    return table


# the end


def _not_judged(report: r.Report) -> Iterator[Part]:
    if lines := wording.not_judged(report):
        yield Text("Other traffic on client push ports, not evaluated", style="bold")
        for text in lines:
            yield indented(f"- {text}")
        yield Text()


def _limitations(report: r.Report) -> Iterator[Part]:
    if report.limitations:
        yield Text("What these sources cannot show", style="bold")
        for limitation in report.limitations:
            yield indented(f"- {limitation.text}")


def indented(text: str, *, style: str = "") -> Padding:
    """Return a line that is cleaned and stands a little to the right, also where it is wrapped."""
    return Padding(Text(clean(text), style=style), (0, 0, 0, INDENT))
