"""The report as Markdown for a ticket: the answer first, then tables and proof, safe whatever the packets said.

Whoever reads the ticket may use another Markdown than GitHub's, so nothing relies on one: a word that could mean
anything to a renderer (links, names to notify, markup, HTML) is shown as code.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Sequence

from auditor.render import wording
from auditor.render.clean import clean
from auditor.render.wording import MANY_CLIENTS, MOST_DETAILED, MOST_LISTED
from auditor.report import model as r

PLAIN = re.compile(r"""[("']*[^\W_]+(?:[-/,'%()][^\W_]+)*%?[)"']*[.,;:!?]?[)"']*""")
NUMBER_OF_LIST = re.compile(r"\d+[.)]+")
BACKTICKS = re.compile("`+")


def render_markdown(report: r.Report) -> str:
    """Return the report as Markdown (CommonMark with tables)."""
    return "\n".join(_report(report)) + "\n"


def prose(text: str) -> str:
    """Return text in which every word that a Markdown renderer might obey is code."""
    return " ".join(_word(word) for word in clean(text).split())


def code(text: str) -> str:
    """Return text as code; a vertical bar, which ends the cell of a table even there, stays outside."""
    return "&#124;".join(_span(part) for part in clean(text).split("|"))


def table(header: Sequence[str], rows: Iterable[Sequence[str]]) -> Iterator[str]:
    """Yield the lines of a table; its cells are Markdown already."""
    yield f"| {' | '.join(header)} |"
    yield f"| {' | '.join('---' for _ in header)} |"
    for row in rows:
        yield f"| {' | '.join(row)} |"
    yield ""


def _word(word: str) -> str:
    harmless = PLAIN.fullmatch(word) and not NUMBER_OF_LIST.fullmatch(word) and not word.lower().startswith("www")
    return word if harmless else _code_with_point(word)


def _code_with_point(word: str) -> str:
    """Return a word as code, but not the point or bracket of the sentence around it."""
    core = word.lstrip("(").rstrip(".,;:)")
    if not core:
        return code(word)
    prefix, _, suffix = word.partition(core)
    return prefix + code(core) + suffix


def _span(text: str) -> str:
    if not text:
        return ""
    fence = "`" * (max((len(run) for run in BACKTICKS.findall(text)), default=0) + 1)
    room = " " if text[0] in "` " or text[-1] in "` " else ""
    return f"{fence}{room}{text}{room}{fence}"


def _report(report: r.Report) -> Iterator[str]:
    mains = wording.mains(report)
    if not mains:
        yield from ("# No client installation was audited", "")
    elif len(mains) > MANY_CLIENTS:
        yield from _fleet(report, mains)
    else:
        for client, method in mains:
            yield from _client(report, client, method)
    if lines := wording.not_judged(report):
        yield from ("## Other traffic on client push ports, not evaluated", "")
        yield from (f"- {prose(text)}" for text in lines)
        yield ""
    if report.limitations:
        yield from ("## What these sources cannot show", "")
        yield from (f"- {prose(limitation.text)}" for limitation in report.limitations)
        yield ""
    yield from _audited(report)


def _client(report: r.Report, client: r.ClientReport, main: r.MethodResult) -> Iterator[str]:
    yield from (f"# {code(client.address)}: {prose(wording.title(client, main))}: {main.result.upper()}", "")
    for text in (*wording.result_reasons(main), *wording.also_blocked(client, main)):
        yield from (prose(text), "")
    yield from table(("requirement", "port", "verdict", "from", "to"), map(_row, wording.table_requirements(main)))
    if left_out := wording.not_applicable(main):
        yield from (f"Not applicable here: {prose(', '.join(left_out))}", "")
    yield from ("## Proof", "")
    for requirement in wording.evidence_requirements(main):
        yield from _proof(requirement, report)
    heading, instead = wording.alternatives(client, main)
    if heading:
        yield from (f"## {heading}", "")
        yield from (f"{place}. {prose(text)}" for place, text in enumerate(instead, 1))
        yield from ("",) if instead else ("Nothing yet: the computer itself was not reached.", "")
    if failing := wording.fails_too(client, main):
        yield from ("## What would fail too", "")
        yield from (f"- {prose(text)}" for text in failing)
        yield ""


def _row(requirement: r.RequirementVerdict) -> tuple[str, ...]:
    bad = requirement.verdict in r.FAILING or wording.fatal(requirement)
    verdict = prose(wording.verdict(requirement))
    cells = (prose(wording.name(requirement)), prose(wording.port(requirement)), f"**{verdict}**" if bad else verdict)
    return (
        *cells,
        *(code(end.address) if end.address else "?" for end in (requirement.source, requirement.destination)),
    )


def _proof(requirement: r.RequirementVerdict, report: r.Report) -> Iterator[str]:
    yield from (
        f"### {prose(requirement.id)}: {prose(wording.verdict(requirement))}",
        "",
        prose(requirement.explanation),
        "",
    )
    for problem in requirement.problems:
        yield f"- {'problem' if problem.fatal else 'also'}: {prose(problem.text)}"
    if stopped := wording.stopped(requirement):
        yield f"- {prose(stopped)}"
    for evidence in requirement.evidence:
        # In one piece, to be copied: a list is no table, so that a vertical bar does no harm.
        shown = f"; Wireshark filter: {_span(clean(evidence.display_filter))}" if evidence.display_filter else ""
        yield f"- proof: {prose(wording.frames(evidence, report))}{shown}"
    for remedy in requirement.remedy:
        # In one piece, to be copied, as a filter.
        command = f" {_span(clean(remedy.command))}" if remedy.command else ""
        yield f"- remedy: {prose(remedy.action)}{command}"
    yield ""


def _fleet(report: r.Report, mains: Sequence[wording.Main]) -> Iterator[str]:
    yield from (f"# {wording.tally(mains)}", "")
    if doubt := wording.doubt(report, mains):
        yield from (doubt, "")
    if bad := wording.most_blocked(mains):
        yield from ("## What is blocked most", "")
        cells = ((prose(requirement), verdict, f"{count:,}") for requirement, verdict, count in bad)
        yield from table(("requirement", "verdict", "clients"), cells)
    if besides := wording.blocked_besides(mains):
        yield from ("## Also blocked, does not change these results", "")
        yield from table(
            ("requirement", "clients"), ((prose(requirement), f"{count:,}") for requirement, count in besides)
        )
    failing = [main for main in mains if main[1].result == r.FAILS]
    if not failing:
        return
    yield from (f"## Failing clients ({len(failing):,})", "")
    cells = ((code(client.address), prose(method.id), prose(wording.blocked(method))) for client, method in failing)
    yield from table(("client", "method", "blocked"), list(cells)[:MOST_LISTED])
    if len(failing) > MOST_LISTED:
        yield from (f"and {len(failing) - MOST_LISTED:,} more: the CSV form lists all of them", "")
    yield from (f"In detail: the first {min(len(failing), MOST_DETAILED)} of them", "")
    for client, method in failing[:MOST_DETAILED]:
        yield from _client(report, client, method)


def _audited(report: r.Report) -> Iterator[str]:
    yield from ("## What was audited", "")
    sources = (
        (code(source.path), prose(source.format or "not read"), f"{source.records:,}", f"{source.skipped:,}")
        for source in report.sources
    )
    yield from table(("source", "format", "packets", "skipped"), sources)
    for source in report.sources:
        for warning in source.warnings:
            yield f"- warning: {code(source.path)} ({prose(warning.code)}): {prose(warning.text)}"
    for role, who in (*wording.roles(report), *wording.modes(report)):
        yield f"- {prose(role)}: {prose(who)}"
    yield f"- ruleset {prose(report.ruleset.id)}: {prose(report.ruleset.title)}"
