"""The report of a fleet as plain dictionaries and lists: what fleet.json holds, one host a line."""

from __future__ import annotations

import io
import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any, BinaryIO

from auditor.report.as_json import safe_json
from auditor.report.fleet_model import FORMAT_VERSION, FleetReport
from auditor.report.records import saved_fields, to_json

KIND = "fleet"  # tells this document from the report of one audit
HEAD = {"format_version": FORMAT_VERSION, "kind": KIND}


def fleet_as_dict(report: FleetReport) -> dict[str, Any]:
    """Return the document; its form is that of fleet.schema.json beside this module."""
    return {**HEAD, **to_json(report)}


def render_fleet_json(report: FleetReport) -> str:
    """Return the document as JSON text; of a large fleet write_fleet_json needs less memory."""
    out = io.BytesIO()
    write_fleet_json(report, out)
    return out.getvalue().decode()


def write_fleet_json(report: FleetReport, out: BinaryIO) -> None:
    """Write the document as JSON: a line for each host and each entry of every other list, so that lines compare."""
    between = "{\n"
    values = HEAD | {field.in_json: getattr(report, field.name) for field in saved_fields(FleetReport)}
    for name, value in values.items():
        out.write(f'{between}  "{name}": '.encode())
        if isinstance(value, tuple):
            _write_lines(value, out)
        else:
            out.write(_line(value))
        between = ",\n"
    out.write(b"\n}\n")


def fleet_schema() -> dict[str, Any]:
    """Return the JSON Schema of the document."""
    text = (Path(__file__).parent / "fleet.schema.json").read_text(encoding="utf-8")
    loaded: dict[str, Any] = json.loads(text)
    return loaded


def _write_lines(values: Sequence[Any], out: BinaryIO) -> None:
    between = b"["
    for value in values:
        out.write(between + b"\n    " + _line(value))
        between = b","
    out.write(b"\n  ]" if values else b"[]")


def _line(value: Any) -> bytes:
    return safe_json(json.dumps(to_json(value), ensure_ascii=False)).encode()
