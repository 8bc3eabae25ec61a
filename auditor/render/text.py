"""The report for a terminal: result, cause, fix and evidence first, then the requirements and the rest."""

from __future__ import annotations

import io
import textwrap
from collections.abc import Iterable, Iterator, Sequence
from itertools import groupby

from rich.console import Console
from rich.padding import Padding
from rich.table import Table
from rich.text import Text

from auditor.render import wording
from auditor.render.answer import Answer, Answers, ReportedCause, limitations, limitations_that_matter
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
LABEL_WIDTH = 10
COMMAND_INDENT = 6
PORT_WIDTH = 12  # columns of the table: of several ports each has a line
MORE = "All details: -v        Page to forward: --format html -o report.html        Terms: auditor explain"


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
    yield from _limitations(report, details)
    yield from _sources(report)
    if not details:
        yield Text(MORE, style="dim")


# one client


def _clients(report: r.Report, mains: Sequence[wording.Main], details: bool) -> Iterator[Part]:
    answers = Answers(report)
    for client, main in mains:
        shown = answers.of(client, main)
        yield from _answer(report, shown, details)
        if details:
            yield from _proofs(main, report)
        yield from _other_methods(shown)
        if details:
            yield from _other_tables(answers, client, main)


def _answer(report: r.Report, shown: Answer, details: bool) -> Iterator[Part]:
    yield _headline(shown)
    yield Text()
    if shown.impact:
        yield from _labelled("Impact", shown.impact)
    numbered = len(shown.causes) > 1
    for place, cause in enumerate(shown.causes, 1):
        yield from _cause(report, cause, f" {place}" if numbered else "", details)
    for label, sentences in shown.paragraphs:
        yield from _labelled(label, sentences)
    if shown.check_first:
        yield from _labelled("Check", shown.check_first)
    yield Text()
    yield _table(shown)
    yield Text()


def _headline(shown: Answer) -> Text:
    text = Text(shown.result, style=STYLES[shown.result.lower()])
    return text.append(f": {clean(shown.subject)}", style="bold")


def _cause(report: r.Report, cause: ReportedCause, number: str, details: bool) -> Iterator[Part]:
    yield from _labelled(f"Cause{number}", (" ".join(cause.sentences),))
    several = len(cause.steps) > 1
    for place, step in enumerate(cause.steps, 1):
        action = f"{place}. {step.action}" if several else step.action
        yield from _labelled("Fix" if place == 1 else "", (action,), hanging=3 if several else 0)
        if step.command:
            yield Padding(Text(clean(step.command)), (0, 0, 0, COMMAND_INDENT))
    evidence = cause.evidence if details else cause.first_of_each_source
    label = "Evidence"
    for display_filter, same in groupby(evidence, key=lambda item: item.display_filter):
        *frames, last = [wording.proof(item, report.sources) for item in same]
        yield from _labelled(label, (*frames, f"{last}; display filter:" if display_filter else last))
        label = ""
        if display_filter:
            yield Padding(Text(clean(display_filter)), (0, 0, 0, COMMAND_INDENT))


def _labelled(label: str, sentences: Sequence[str], *, hanging: int = 0) -> Iterator[Part]:
    """Yield sentences beside a label, each on lines of its own."""
    for place, sentence in enumerate(sentences):
        grid = Table.grid(padding=0)
        grid.add_column(width=LABEL_WIDTH)
        for _ in range(bool(hanging)):
            grid.add_column(width=hanging)
        grid.add_column(overflow="fold")
        cells = [clean(sentence[:hanging]), clean(sentence[hanging:])] if hanging else [clean(sentence)]
        grid.add_row(Text(label if place == 0 else "", style="bold"), *map(Text, cells))
        yield Padding(grid, (0, 0, 0, INDENT))


def _table(shown: Answer) -> Table:
    table = Table(box=None, padding=(0, 2, 0, 0), show_edge=False, header_style="dim", pad_edge=False)
    for name in ("  Requirement", "Port", "Direction", "Verdict", "Evidence"):
        table.add_column(name, no_wrap=name != "Evidence", overflow="fold")
    for row in shown.rows:
        cells = (f"{'!' if row.fails else ' '} {row.name}", row.port, row.direction, row.verdict, row.evidence)
        name, port, *others = map(clean, cells)
        lines = "\n".join(textwrap.wrap(port, PORT_WIDTH))
        styles = ("bold" if row.fails else "", "", "", _style(row.requirement), "")
        table.add_row(*(Text(cell, style=style) for cell, style in zip((name, lines, *others), styles, strict=True)))
    return table


def _style(requirement: r.RequirementVerdict) -> str:
    return STYLES[r.FAILS] if wording.fatal(requirement) else STYLES[requirement.verdict]


def _other_methods(shown: Answer) -> Iterator[Part]:
    if not shown.other_heading:
        return
    yield Text(shown.other_heading, style="bold")
    grid = Table.grid(padding=(0, 2, 0, 0))
    grid.add_column(no_wrap=True)
    grid.add_column(overflow="fold")
    for method, needs in shown.other_methods:
        grid.add_row(Text(clean(method)), Text(clean(needs)))
    if shown.other_methods:
        yield Padding(grid, (0, 0, 0, INDENT))
    yield Text()


# details


def _proofs(method: r.MethodResult, report: r.Report) -> Iterator[Part]:
    for requirement in wording.evidence_requirements(method, details=True):
        head = Text()
        head.append(clean(requirement.id), style="bold")
        head.append(": ")
        head.append(wording.verdict(requirement), style=_style(requirement))
        yield head
        yield indented(requirement.explanation)
        for problem in requirement.problems:
            label = "problem" if problem.fatal else "also"
            yield indented(f"{label}: {problem.text}", style="red" if problem.fatal else "")
        if stopped := wording.stopped(requirement):
            yield indented(stopped)
        for evidence in requirement.evidence:
            shown = f"   display filter: {evidence.display_filter}" if evidence.display_filter else ""
            yield indented(f"evidence: {wording.frames(evidence, report.sources)}{shown}")
        for remedy in requirement.remedy:
            yield indented(f"fix: {remedy.action}")
            if remedy.command:
                yield Padding(Text(clean(remedy.command)), (0, 0, 0, COMMAND_INDENT))
        yield Text()


def _other_tables(answers: Answers, client: r.ClientReport, main: r.MethodResult) -> Iterator[Part]:
    for method in client.methods:
        if method.id != main.id:
            shown = answers.of(client, method)
            yield _headline(shown)
            yield _table(shown)
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
        table.add_row(
            Text(clean(requirement)),
            Text(clean(verdict), style=STYLES.get(verdict, STYLES[r.FAILS])),
            Text(f"{count:,}"),
        )
    yield Text("Most frequent causes", style="bold")
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


def _limitations(report: r.Report, details: bool) -> Iterator[Part]:
    if sentences := limitations(report) if details else limitations_that_matter(report, wording.mains(report)):
        yield Text("Limitations", style="bold")
        for sentence in sentences:
            yield indented(f"- {sentence}")
        yield Text()


def _sources(report: r.Report) -> Iterator[Part]:
    yield Text("Sources and roles", style="bold")
    for number, source in enumerate(report.sources, 1):
        place = f"[{number}] " if len(report.sources) > 1 else ""
        yield indented(f"{place}{source.path}: {wording.source(source)}")
        for warning in source.warnings:
            yield indented(f"  warning ({warning.code}): {warning.text}", style="yellow")
    for role, shown in (*wording.roles(report), *wording.modes(report)):
        yield indented(f"{wording.words(role).capitalize()} {shown}")
    yield indented(f"Ruleset {report.ruleset.id}: {report.ruleset.title}")


def indented(text: str, *, style: str = "") -> Padding:
    """Return a line that is cleaned and stands a little to the right, also where it is wrapped."""
    return Padding(Text(clean(text), style=style), (0, 0, 0, INDENT))
