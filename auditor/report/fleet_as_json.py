"""The report of a fleet as plain dictionaries and lists: what fleet.json holds, one host a line."""

from __future__ import annotations

import io
import json
from collections.abc import Callable, Iterator, Sequence
from dataclasses import fields
from functools import cache
from operator import attrgetter
from pathlib import Path
from typing import Any, BinaryIO

from auditor.report.as_json import block_as_dict, safe_json
from auditor.report.fleet_model import FORMAT_VERSION, FleetReport, HostResult, RequirementResult

KIND = "fleet"  # tells this document from the report of one audit
LISTS = ("methods", "requirements", "subnets", "sites", "directions", "devices", "changes", "causes", "also_blocked")
RENAMED = {"source": "from", "destination": "to"}  # as in that report


def fleet_as_dict(report: FleetReport) -> dict[str, Any]:
    """Return the document; its form is that of fleet.schema.json beside this module."""
    return {name: _plain(value) for name, value in _document(report)}


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
        if isinstance(value, list | tuple):
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
    """Yield name and value of all that the document holds; what makes it JSON knows the records in it."""
    yield "format_version", FORMAT_VERSION
    yield "kind", KIND
    yield "tool", dict(zip(("name", "version"), report.tool, strict=True))
    yield "ruleset", dict(zip(("id", "title", "reference"), report.ruleset, strict=True))
    for name in ("main", "asked", "roles", "coverage", *LISTS, "hosts", "expected", "limitations", "quarantine"):
        yield name, getattr(report, name)


def _record(record: Any) -> dict[str, Any]:
    """Return a record with the names of its fields, those of RENAMED under their other name."""
    if isinstance(record, HostResult):  # of all else there is little
        return _host(record)
    kind: Any = type(record)
    names, values_of = _fields(kind)
    return dict(zip(names, values_of(record), strict=True))


@cache
def _fields(kind: Any) -> tuple[tuple[str, ...], Callable[[Any], tuple[Any, ...]]]:
    """Return the names of a record's fields in the document, and what gets their values."""
    names = [field.name for field in fields(kind)]
    return tuple(RENAMED.get(name, name) for name in names), attrgetter(*names)


def _host(host: HostResult) -> dict[str, Any]:
    return {
        "host": host.host,
        "site": host.site,
        "addresses": host.addresses,
        "subnet": host.subnet,
        "files": host.files,
        "records": host.records,
        "first_time": host.first_time,
        "last_time": host.last_time,
        "outcomes": [
            {"method": outcome.method, "result": outcome.result, "blamed": outcome.blamed, "missing": outcome.missing}
            for outcome in host.outcomes
        ],
        "seen": [_requirement(requirement) for requirement in host.seen],
        "recommended": host.recommended,
        "warnings": host.warnings,
    }


def _requirement(requirement: RequirementResult) -> dict[str, Any]:
    return {
        "requirement": requirement.requirement,
        "necessity": requirement.necessity,
        "from": {"role": requirement.source.role, "address": requirement.source.address},
        "to": {"role": requirement.destination.role, "address": requirement.destination.address},
        "protocol": requirement.protocol,
        "ports": requirement.ports,
        "verdict": requirement.verdict,
        "confidence": requirement.confidence,
        "blocked_at": requirement.blocked_at,
        "device": requirement.device,
        "attempts": requirement.attempts,
        "first_time": requirement.first_time,
        "last_time": requirement.last_time,
        "explanation": requirement.explanation,
        "remedy": requirement.remedy,
        "problems": requirement.problems,
        "proof": [
            {
                "path": proof.path,
                "lines": proof.lines,
                "frames": proof.frames,
                "display_filter": proof.display_filter,
                "text": proof.text,
            }
            for proof in requirement.proof
        ],
        "also_blocked": [block_as_dict(block) for block in requirement.also_blocked],
        "remedy_kind": requirement.remedy_kind,
    }


# The one walk over a record and all in it is the encoder's, in C: of a large fleet there are millions of records.
ENCODER = json.JSONEncoder(ensure_ascii=False, check_circular=False, default=_record)


def _plain(value: Any) -> Any:
    """Return a value, and all in it, as dictionaries and lists."""
    return (
        [_plain(element) for element in value] if isinstance(value, list | tuple) else json.loads(ENCODER.encode(value))
    )


def _write_lines(values: Sequence[Any], out: BinaryIO) -> None:
    between = b"["
    for value in values:
        out.write(between + b"\n    " + _line(value))
        between = b","
    out.write(b"\n  ]" if values else b"[]")


def _line(value: Any) -> bytes:
    return safe_json(ENCODER.encode(value)).encode()
