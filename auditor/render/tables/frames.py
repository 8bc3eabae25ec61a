"""The report as pandas tables: the same columns and types also when they are empty."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pandas as pd

from auditor.render.tables.requirements import plain_row
from auditor.report import model as r
from auditor.report.compare import Comparison

FRAME_COLUMNS = {
    "client": "str",
    "method": "str",
    "result": "str",
    "requirement": "str",
    "necessity": "str",
    "from_role": "str",
    "from_ip": "str",
    "to_role": "str",
    "to_ip": "str",
    "protocol": "str",
    "ports": "str",
    "verdict": "str",
    "confidence": "str",
    "blocked_at": "str",
    "attempts": "int64",
    "first_time": "datetime64[ns, UTC]",
    "last_time": "datetime64[ns, UTC]",
    "explanation": "str",
    "remedy": "str",
}
EVIDENCE_COLUMNS = {
    "client": "str",
    "requirement": "str",
    "verdict": "str",
    "source": "str",
    "frame": "Int64",  # of a capture
    "line": "Int64",  # of a log
    "text": "str",
    "display_filter": "str",
}
CHANGE_COLUMNS = {
    "client": "str",
    "requirement": "str",
    "kind": "str",
    "worse": "bool",
    "before": "str",
    "after": "str",
    "explanation": "str",
    "remedy": "str",
}


def requirements_frame(report: r.Report) -> pd.DataFrame:
    """Return one row per client, method and requirement, with the columns of FRAME_COLUMNS."""
    rows = [
        plain_row(client, method, requirement)
        | {"first_time": requirement.first_time, "last_time": requirement.last_time}
        for client, method, requirement in _requirements(report)
    ]
    return _typed(rows, FRAME_COLUMNS)


def evidence_frame(report: r.Report) -> pd.DataFrame:
    """Return one row per frame or line of evidence, with the columns of EVIDENCE_COLUMNS."""
    rows = [
        {
            "client": client.address,
            "requirement": requirement.id,
            "verdict": requirement.verdict,
            "source": report.sources[evidence.source].path,
            **place,
            "text": evidence.text,
            "display_filter": evidence.display_filter,
        }
        for client, _, requirement in _requirements(report)
        for evidence in requirement.evidence
        for place in _places(evidence)
    ]
    return _typed(rows, EVIDENCE_COLUMNS)


def changes_frame(comparison: Comparison) -> pd.DataFrame:
    """Return one row per change between two reports, with the columns of CHANGE_COLUMNS."""
    rows = [
        {
            "client": change.client,
            "requirement": change.after.id,
            "kind": change.kind,
            "worse": change.worse,
            "before": change.before.verdict,
            "after": change.after.verdict,
            "explanation": change.after.explanation,
            "remedy": change.after.remedy_text,
        }
        for change in comparison.changes
    ]
    return _typed(rows, CHANGE_COLUMNS)


def _places(evidence: r.Evidence) -> list[dict[str, int]]:
    return [{"frame": frame} for frame in evidence.frames] + [{"line": line} for line in evidence.lines]


def _requirements(report: r.Report) -> Iterator[tuple[r.ClientReport, r.MethodResult, r.RequirementVerdict]]:
    for client in report.clients:
        for method in client.methods:
            for requirement in method.requirements:
                yield client, method, requirement


def _typed(rows: list[dict[str, Any]], columns: dict[str, str]) -> pd.DataFrame:
    frame = pd.DataFrame(rows, columns=list(columns))
    for name, kind in columns.items():
        if kind.startswith("datetime"):
            frame[name] = pd.to_datetime(frame[name], utc=True, format="ISO8601")
    return frame.astype(columns)
