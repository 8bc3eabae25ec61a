"""The report as plain dictionaries and lists: what `--format json` writes."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

from auditor.report import model as r
from auditor.report.records import to_json

# Control and formatting characters that a terminal obeys, and halves of characters; JSON has escapes for all of them.
UNSAFE = re.compile("[\x7f-\x9f\u061c\u200b-\u200f\u2028-\u202e\u2060-\u206f\ud800-\udfff\ufeff\ufff9-\uffff]")


def as_dict(report: r.Report) -> dict[str, Any]:
    """Return the document; its form is that of report.schema.json beside this module."""
    return {"format_version": r.FORMAT_VERSION, **to_json(report)}


def render_json(report: r.Report) -> str:
    """Return the document as JSON text."""
    return json_text(as_dict(report))


def json_text(document: dict[str, Any]) -> str:
    """Return a document as JSON text that ends with a line break and is safe to show."""
    return safe_json(json.dumps(document, indent=2, ensure_ascii=False)) + "\n"


def safe_json(text: str) -> str:
    """Return JSON text with escapes for what a terminal would obey; it means the same."""
    if text.isascii() and "\x7f" not in text:  # JSON has escapes for the rest of ASCII by itself
        return text
    return UNSAFE.sub(lambda match: f"\\u{ord(match[0]):04x}", text)


def schema() -> dict[str, Any]:
    """Return the JSON Schema of the document."""
    text = (Path(__file__).parent / "report.schema.json").read_text(encoding="utf-8")
    loaded: dict[str, Any] = json.loads(text)
    return loaded
