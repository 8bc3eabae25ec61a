"""The report as Markdown for a ticket: the answer first, then tables and proof, safe whatever the packets said.

Whoever reads the ticket may use another Markdown than GitHub's, so nothing relies on one: a word that could mean
anything to a renderer (links, names to notify, markup, HTML) is shown as code.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Sequence

from auditor.render import wording
from auditor.render.answer import Answer, Answers, ReportedCause, Row, limitations
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
        yield from _clients(report, mains)
    if lines := wording.not_judged(report):
        yield from ("## Other traffic on client push ports, not evaluated", "")
        yield from (f"- {prose(text)}" for text in lines)
        yield ""
    if sentences := limitations(report):
        yield from ("## Limitations", "")
        yield from (f"- {prose(sentence)}" for sentence in sentences)
        yield ""
    yield from _sources_and_roles(report)


def _clients(report: r.Report, mains: Sequence[wording.Main]) -> Iterator[str]:
    answers = Answers(report)
    for main in mains:
        yield from _answer(report, answers.of(*main))


def _answer(report: r.Report, shown: Answer) -> Iterator[str]:
    yield from (f"# {shown.result}: {prose(shown.subject)}", "")
    for sentence in shown.impact:
        yield from (prose(sentence), "")
    for number, cause in enumerate(shown.causes, 1):
        yield from _cause(report, cause, f" {number}" if len(shown.causes) > 1 else "")
    for label, sentences in shown.paragraphs:
        yield from (f"**{label}:** {' '.join(map(prose, sentences))}", "")
    if shown.check_first:
        yield from (f"**Check first:** {' '.join(map(prose, shown.check_first))}", "")
    yield from ("## Requirements", "")
    yield from table(("", "Requirement", "Port", "Direction", "Verdict", "Evidence"), map(_row, shown.rows))
    if shown.other_heading:
        yield from (f"## {shown.other_heading}", "")
        yield from (f"- {prose(method)}: {prose(needs)}" for method, needs in shown.other_methods)
        yield ""


def _cause(report: r.Report, cause: ReportedCause, number: str) -> Iterator[str]:
    yield from (f"**Cause{number}:** {' '.join(map(prose, cause.sentences))}", "")
    if cause.steps:
        yield from (f"**Fix{number}:**", "")
    for place, step in enumerate(cause.steps, 1):
        # The command in one piece, to be copied, as a filter.
        command = f" {_span(clean(step.command))}" if step.command else ""
        yield f"{place}. {prose(step.action)}{command}"
    yield from ("", f"**Evidence{number}:**", "")
    for evidence in cause.evidence:
        # In one piece, to be copied: a list is no table, so that a vertical bar does no harm.
        shown = f"; display filter: {_span(clean(evidence.display_filter))}" if evidence.display_filter else ""
        yield f"- {prose(wording.frames(evidence, report.sources))}{shown}"
    yield ""


def _row(row: Row) -> tuple[str, ...]:
    verdict = prose(row.verdict)
    bad = row.requirement.verdict in r.FAILING or wording.fatal(row.requirement)
    cells = ("!" if row.fails else "", prose(row.name), prose(row.port), prose(row.direction))
    return (*cells, f"**{verdict}**" if bad else verdict, prose(row.evidence))


def _fleet(report: r.Report, mains: Sequence[wording.Main]) -> Iterator[str]:
    yield from (f"# {wording.tally(mains)}", "")
    if doubt := wording.doubt(report, mains):
        yield from (doubt, "")
    if bad := wording.most_blocked(mains):
        yield from ("## Most frequent causes", "")
        cells = ((prose(requirement), prose(verdict), f"{count:,}") for requirement, verdict, count in bad)
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
    yield from _clients(report, failing[:MOST_DETAILED])


def _sources_and_roles(report: r.Report) -> Iterator[str]:
    yield from ("## Sources and roles", "")
    for number, source in enumerate(report.sources, 1):
        place = f"\\[{number}\\] " if len(report.sources) > 1 else ""
        yield f"- {place}{code(source.path)}: {prose(wording.source(source))}"
        yield from (f"  - warning ({prose(warning.code)}): {prose(warning.text)}" for warning in source.warnings)
    for role, players in (*wording.roles(report), *wording.modes(report)):
        yield f"- {prose(wording.words(role).capitalize())} {prose(players)}"
    yield f"- Ruleset {prose(report.ruleset.id)}: {prose(report.ruleset.title)}"
