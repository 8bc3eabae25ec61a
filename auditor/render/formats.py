"""The forms that a report can take, by name; each is made from the document alone."""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from auditor.report.model import Report

# Where each form is made: module and function. Loaded on use, so that the command line answers at once.
RENDERERS = {
    "text": ("auditor.render.text", "render_text"),
    "json": ("auditor.report.as_json", "render_json"),
    "jsonl": ("auditor.render.tables.requirements", "render_jsonl"),
    "csv": ("auditor.render.tables.requirements", "render_csv"),
    "markdown": ("auditor.render.markdown", "render_markdown"),
    "html": ("auditor.render.html.report", "render_html"),
    "junit": ("auditor.render.junit", "render_junit"),
    "sarif": ("auditor.render.sarif", "render_sarif"),
}
FORMS = tuple(RENDERERS)


def render(report: Report, form: str, *, details: bool = False) -> str:
    """Return the report in one of FORMS. details: show every client and requirement in full (text)."""
    module, function = RENDERERS[form]
    options = {"details": details} if form == "text" else {}
    text: str = getattr(import_module(module), function)(report, **options)
    return text
