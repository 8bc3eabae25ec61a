"""The formats that a report can be written in, by name; each is made from the report alone."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from auditor.report.model import Report

Renderer = Callable[["Report", bool], str]

# Each renderer is loaded on use, so that the command line answers at once.


def _text(report: Report, details: bool) -> str:
    from auditor.render.text import render_text

    return render_text(report, details=details)


def _json(report: Report, _: bool) -> str:
    from auditor.report.as_json import render_json

    return render_json(report)


def _jsonl(report: Report, _: bool) -> str:
    from auditor.render.tables.requirements import render_jsonl

    return render_jsonl(report)


def _csv(report: Report, _: bool) -> str:
    from auditor.render.tables.requirements import render_csv

    return render_csv(report)


def _markdown(report: Report, _: bool) -> str:
    from auditor.render.markdown import render_markdown

    return render_markdown(report)


def _html(report: Report, _: bool) -> str:
    from auditor.render.html.report import render_html

    return render_html(report)


def _junit(report: Report, _: bool) -> str:
    from auditor.render.junit import render_junit

    return render_junit(report)


def _sarif(report: Report, _: bool) -> str:
    from auditor.render.sarif import render_sarif

    return render_sarif(report)


RENDERERS: dict[str, Renderer] = {
    "text": _text,
    "json": _json,
    "jsonl": _jsonl,
    "csv": _csv,
    "markdown": _markdown,
    "html": _html,
    "junit": _junit,
    "sarif": _sarif,
}
FORMS = tuple(RENDERERS)


def render(report: Report, form: str, *, details: bool = False) -> str:
    """Return a report in one of FORMS.

    Args:
        report: What was found.
        form: The name of the format.
        details: Whether the text shows every client and requirement in full.
    """
    return RENDERERS[form](report, details)
