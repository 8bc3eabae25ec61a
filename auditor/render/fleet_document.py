"""The report of a fleet as plain dictionaries and lists: what fleet.json holds, one host a line."""

from __future__ import annotations

import io
import json
from collections.abc import Callable, Iterable, Iterator
from dataclasses import fields
from functools import cache
from operator import attrgetter
from pathlib import Path
from typing import Any, BinaryIO

from auditor.fleet.document import FORMAT_VERSION, FleetReport
from auditor.render.document import safe_json

KIND = "fleet"  # tells this document from the report of one audit
RENAMED = {"source": "from", "destination": "to"}  # as in that report
PLAIN = (str, int)
PLAIN_TYPES = ("str", "int", "bool", "str | None", "int | None")
ENCODER = json.JSONEncoder(ensure_ascii=False)


def fleet_as_dict(report: FleetReport) -> dict[str, Any]:
    """Return the document; its form is that of fleet.schema.json beside this module."""
    return {name: list(value) if isinstance(value, Iterator) else value for name, value in _document(report)}


def render_fleet_json(report: FleetReport) -> str:
    """Return the document as JSON text; of a large fleet write_fleet_json needs less memory."""
    out = io.BytesIO()
    write_fleet_json(report, out)
    return out.getvalue().decode()


def write_fleet_json(report: FleetReport, out: BinaryIO) -> None:
    """Write the document as JSON: a line for each host and each entry of every other list, so that lines compare."""
    between = "{\n"
    for name, value in _document(report):
        out.write(f'{between}  "{name}": '.encode())
        if isinstance(value, (list, Iterator)):
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


def _document(report: FleetReport) -> Iterator[tuple[str, Any]]:
    """Yield name and value of all that the document holds; the hosts one by one, because there are many."""
    yield "format_version", FORMAT_VERSION
    yield "kind", KIND
    yield "tool", dict(zip(("name", "version"), report.tool, strict=True))
    yield "ruleset", dict(zip(("id", "title", "reference"), report.ruleset, strict=True))
    yield "main", report.main
    yield "asked", list(report.asked)
    yield "roles", [_table(one) for one in report.roles]
    yield "coverage", _table(report.coverage)
    for name in ("methods", "requirements", "subnets", "sites", "directions", "devices", "changes", "causes"):
        yield name, [_table(one) for one in getattr(report, name)]
    yield "hosts", (_table(one) for one in report.hosts)
    for name in ("expected", "limitations"):
        yield name, list(getattr(report, name))
    yield "quarantine", [_table(one) for one in report.quarantine]


def _table(record: Any) -> dict[str, Any]:
    """Return a record with the names of its fields, those of RENAMED under their other name."""
    kind: Any = type(record)
    names, values_of, nested = _fields(kind)
    table = dict(zip(names, values_of(record), strict=True))
    for name in nested:
        table[name] = _value(table[name])
    return table


def _value(value: Any) -> Any:
    """Return a record or a tuple, of records or of plain values, as JSON has it."""
    if not isinstance(value, tuple):
        return _table(value)
    return list(value) if not value or isinstance(value[0], PLAIN) else [_table(one) for one in value]


@cache
def _fields(kind: Any) -> tuple[tuple[str, ...], Callable[[Any], tuple[Any, ...]], tuple[str, ...]]:
    """Return the names of a record's fields, how their values are got, and the names of those that are not plain."""
    names = {one.name: RENAMED.get(one.name, one.name) for one in fields(kind)}
    nested = tuple(names[one.name] for one in fields(kind) if one.type not in PLAIN_TYPES)
    return tuple(names.values()), attrgetter(*names), nested


def _write_lines(values: Iterable[Any], out: BinaryIO) -> None:
    between = b"["
    for one in values:
        out.write(between + b"\n    " + _line(one))
        between = b","
    out.write(b"[]" if between == b"[" else b"\n  ]")


def _line(value: Any) -> bytes:
    return safe_json(ENCODER.encode(value)).encode()
