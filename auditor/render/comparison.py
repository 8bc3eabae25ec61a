"""A comparison of two reports as text, JSON and Markdown: what got worse first."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from textwrap import wrap
from typing import Any

from auditor.render import markdown, wording
from auditor.render.clean import clean
from auditor.report import compare as c
from auditor.report import model as r
from auditor.report.as_json import json_text
from auditor.sources.summary import SourceSummary

FORMAT_VERSION = 1
WIDTH = 100
MOST_LISTED = 200
HEADINGS = {
    c.BROKEN: "Broken: was open, now blocked or failed",
    c.NEW: "New: not observed before",
    c.STILL_BROKEN: "Still broken",
    c.NO_LONGER_OBSERVED: "No longer observed",
    c.FIXED: "Fixed: now open",
}


def render(comparison: c.Comparison, form: str) -> str:
    """Return a comparison in one of FORMS."""
    return RENDERERS[form](comparison)


def _headline(of: c.Comparison) -> str:
    counts = [f"{len(of.of_kind(kind)):,} {kind.replace('-', ' ')}" for kind in c.KINDS if of.of_kind(kind)]
    clients = f"{of.compared:,} client{'' if of.compared == 1 else 's'} compared"
    return (
        f"{'Something got worse' if of.worse else 'Nothing got worse'}: {', '.join(counts) or 'no change'}; {clients}"
    )


def _moves(change: c.RequirementChange) -> str:
    return f"{wording.verdict(change.before)} -> {wording.verdict(change.after)}"


def _is_explained(change: c.RequirementChange) -> bool:
    """Tell whether the later report has a cause and a fix for a requirement: whether it is stopped."""
    return change.kind in (c.BROKEN, c.STILL_BROKEN) or (change.kind == c.NEW and _stopped(change.after))


def _cause(requirement: r.RequirementVerdict) -> str:
    problems = (problem.text for problem in wording.fatal(requirement))
    return " ".join(filter(None, (requirement.explanation, *problems, wording.certainty(requirement))))


def _why(change: c.RequirementChange, sources: Sequence[SourceSummary]) -> Iterator[str]:
    """Yield what the later report states of a requirement that is stopped: cause, fix, and evidence, in lines."""
    if not _is_explained(change):
        return
    yield from _wrapped(_cause(change.after), 4)
    steps = list(wording.numbered(change.after.remedy))
    if len(steps) > 1:
        yield "    Fix:"
    for action, command in steps:
        yield from _wrapped(action if len(steps) > 1 else f"Fix: {action}", 4)
        if command:
            yield f"      {clean(command)}"
    for evidence in change.after.evidence[:1]:
        shown = wording.frames(evidence, sources)
        yield from _wrapped(f"Evidence: {shown}{'; display filter:' if evidence.display_filter else ''}", 4)
        yield from _wrapped(evidence.display_filter, 6) if evidence.display_filter else ()


def _remark(change: c.RequirementChange, sources: Sequence[SourceSummary]) -> str:
    """Return the same in one paragraph."""
    if not _is_explained(change):
        return ""
    fix = [f"Fix: {change.after.remedy_text}"] if change.after.remedy else []
    evidence = [f"Evidence: {wording.shown_evidence(item, sources)}" for item in change.after.evidence[:1]]
    return " ".join((_cause(change.after), *fix, *evidence))


def _stopped(requirement: r.RequirementVerdict) -> bool:
    return requirement.verdict in r.FAILING or bool(wording.fatal(requirement))


def _only(of: c.Comparison) -> Iterator[tuple[str, list[str]]]:
    for heading, clients in (
        ("Only in the first report", of.only_before),
        ("Only in the second report", of.only_after),
    ):
        if clients:
            yield heading, [f"{unmatched.client}: {_fails(unmatched)}" for unmatched in clients]


def _fails(unmatched: c.UnmatchedClient) -> str:
    return f"fails: {', '.join(unmatched.fails)}" if unmatched.fails else "no method fails"


def _listed(lines: list[str]) -> list[str]:
    if len(lines) <= MOST_LISTED:
        return lines
    return [*lines[:MOST_LISTED], f"and {len(lines) - MOST_LISTED:,} more: --format json lists all of them"]


# text


def _text(of: c.Comparison) -> str:
    return "\n".join(_lines(of)) + "\n"


def _lines(of: c.Comparison) -> Iterator[str]:
    yield from _wrapped(_headline(of), 0)
    yield from (line for note in of.notes for line in _wrapped(f"note: {note}", 0))
    if of.results:
        yield from ("", "Results")
        results = [f"{result.client}: {result.title}: {result.before} -> {result.after}" for result in of.results]
        yield from (line for text in _listed(results) for line in _wrapped(text, 2))
    for kind in c.KINDS:
        if changes := of.of_kind(kind):
            yield from ("", HEADINGS[kind])
            yield from _change_lines(changes, of.sources)
    for heading, clients in _only(of):
        yield from ("", heading)
        yield from (line for text in _listed(clients) for line in _wrapped(text, 2))


def _change_lines(changes: list[c.RequirementChange], sources: Sequence[SourceSummary]) -> Iterator[str]:
    for change in changes[:MOST_LISTED]:
        yield from _wrapped(f"{change.client} {change.after.id}: {_moves(change)}", 2)
        yield from _why(change, sources)
    if len(changes) > MOST_LISTED:
        yield f"  and {len(changes) - MOST_LISTED:,} more: --format json lists all of them"


def _wrapped(text: str, indent: int) -> list[str]:
    room = " " * indent
    return wrap(clean(text), WIDTH, initial_indent=room, subsequent_indent=room, break_on_hyphens=False) or [""]


# Markdown


def _markdown(of: c.Comparison) -> str:
    return "\n".join(_markdown_lines(of)) + "\n"


def _markdown_lines(of: c.Comparison) -> Iterator[str]:
    yield from (f"# {_headline(of)}", "")
    for note in of.notes:
        yield from (f"Note: {markdown.prose(note)}", "")
    if of.results:
        yield from ("## Results", "")
        cells = (
            (markdown.code(result.client), markdown.prose(result.title), f"{result.before}, now {result.after}")
            for result in of.results[:MOST_LISTED]
        )
        yield from markdown.table(("client", "method", "result"), cells)
    for kind in c.KINDS:
        if changes := of.of_kind(kind):
            yield from (f"## {HEADINGS[kind]}", "")
            yield from markdown.table(("client", "requirement", "before", "after"), _cells(changes[:MOST_LISTED]))
            remarks = dict.fromkeys(filter(None, (_remark(change, of.sources) for change in changes[:MOST_LISTED])))
            yield from (f"- {markdown.prose(remark)}" for remark in remarks)
            yield from ("",) if remarks else ()
            if len(changes) > MOST_LISTED:
                yield from (f"and {len(changes) - MOST_LISTED:,} more: the JSON form lists all of them", "")
    for heading, clients in _only(of):
        yield from (f"## {heading}", "", *(f"- {markdown.prose(text)}" for text in _listed(clients)), "")


def _cells(changes: Iterable[c.RequirementChange]) -> Iterator[tuple[str, ...]]:
    for change in changes:
        verdicts = (markdown.prose(wording.verdict(side)) for side in (change.before, change.after))
        yield (markdown.code(change.client), markdown.prose(change.after.id), *verdicts)


# JSON


def _json(of: c.Comparison) -> str:
    return json_text(as_dict(of))


def as_dict(of: c.Comparison) -> dict[str, Any]:
    """Return the comparison as plain dictionaries and lists."""
    return {
        "format_version": FORMAT_VERSION,
        "worse": of.worse,
        "clients_compared": of.compared,
        "notes": list(of.notes),
        "results": [
            {
                "client": result.client,
                "method": result.method,
                "title": result.title,
                "before": result.before,
                "after": result.after,
                "worse": result.worse,
            }
            for result in of.results
        ],
        "requirements": [_change(change) for change in of.changes],
        "only_before": [{"client": unmatched.client, "fails": list(unmatched.fails)} for unmatched in of.only_before],
        "only_after": [{"client": unmatched.client, "fails": list(unmatched.fails)} for unmatched in of.only_after],
    }


def _change(change: c.RequirementChange) -> dict[str, Any]:
    return {
        "client": change.client,
        "method": change.method,
        "requirement": change.after.id,
        "necessity": change.after.necessity,
        "change": change.kind,
        "worse": change.worse,
        "before": _side(change.before),
        "after": _side(change.after),
        "remedy": change.after.remedy_text,
    }


def _side(requirement: r.RequirementVerdict) -> dict[str, Any]:
    return {
        "verdict": requirement.verdict,
        "confidence": requirement.confidence,
        "blocked_at": requirement.blocked_at,
        "explanation": requirement.explanation,
        "problems": [problem.text for problem in requirement.problems],
    }


RENDERERS: dict[str, Callable[[c.Comparison], str]] = {"text": _text, "json": _json, "markdown": _markdown}
FORMS = tuple(RENDERERS)
