"""The report as a table, one row per client, method and requirement: CSV for spreadsheets, JSON Lines for programs."""

from __future__ import annotations

import csv
import io
import json
import re
from collections.abc import Iterator
from functools import lru_cache
from typing import Any

from auditor.render.clean import clean
from auditor.report import model as r
from auditor.report.as_json import safe_json

COLUMNS = {
    "client": "address of the client",
    "method": "installation method",
    "result": "result of that method: works, allowed, fails or unproven",
    "requirement": "id of the requirement, as the ruleset has it",
    "necessity": "required, conditional or informational (never decides)",
    "from_role": "role of the computer that opens the connection",
    "from_ip": "its address, empty if unknown",
    "to_role": "role of the computer that is reached",
    "to_ip": "its address, empty if unknown",
    "protocol": "tcp, udp or icmp",
    "ports": "documented ports, or the dynamic ones that were tried, with blanks between",
    "verdict": "verdict on the requirement (auditor explain VERDICT)",
    "confidence": "proven or likely; empty if nothing was seen",
    "blocked_at": "where it was stopped: a role, between, unknown; empty if it was not",
    "attempts": "how often it was tried",
    "first_time": "first packet or row of it: UTC, or local without a Z",
    "last_time": "last packet or row of it: UTC, or local without a Z",
    "explanation": "the verdict in a sentence",
    "remedy": "what to do",
    "problems": "what failed although the port is open",
    "changed": "the earlier verdict and its time, if the verdict changed",
    "evidence": "frames or lines that prove it, and their source",
    "display_filter": "shows them in Wireshark",
}
MOST = 30_000  # a cell of Excel holds 32,767 characters
# Excel runs a cell that begins with one of these; where lists are separated by semicolons, what follows one is a cell.
BEGINS_FORMULA = r"""(["'\s]*)(?=[=+\-@\t\r\uff1d\uff0b\uff0d\uff20])"""
FORMULA, FORMULA_IN_LIST = re.compile(f"^{BEGINS_FORMULA}"), re.compile(f";{BEGINS_FORMULA}")


def render_csv(report: r.Report) -> str:
    """Return the table as CSV (RFC 4180); no cell is run as a formula."""
    out = io.StringIO()
    writer = csv.writer(out)  # commas, quotes only where needed, CRLF
    writer.writerow(COLUMNS)
    once = lru_cache(maxsize=4096)(cell)  # most cells are the same in many rows
    for row in rows(report):
        writer.writerow([value if isinstance(value, int) else once(value) for value in row.values()])
    return out.getvalue()


def render_jsonl(report: r.Report) -> str:
    """Return the table as JSON Lines: one object a row, with the same columns as the CSV."""
    return "".join(safe_json(json.dumps(row, ensure_ascii=False)) + "\n" for row in rows(report))


def rows(report: r.Report) -> Iterator[dict[str, str | int]]:
    """Yield the rows of the table, with the keys of COLUMNS in their order."""
    for client in report.clients:
        for method in client.methods:
            for requirement in method.requirements:
                row = _row(client, method, requirement, report)
                yield {name: row[name] for name in COLUMNS}


def cell(text: str) -> str:
    """Return text for a cell: on one line, not too long, and with an apostrophe before what would be a formula."""
    harmless = clean(text, most=MOST)
    if not harmless[:1].isalnum():  # most begin so
        harmless = FORMULA.sub(r"'\1", harmless)
    return FORMULA_IN_LIST.sub(r";'\1", harmless) if ";" in harmless else harmless


def plain_row(client: r.ClientReport, method: r.MethodResult, requirement: r.RequirementVerdict) -> dict[str, Any]:
    """Return what every table of requirements says of one: who, what, from where to where, and the verdict."""
    same = ("necessity", "protocol", "verdict", "attempts")
    return {name: getattr(requirement, name) for name in same} | {
        "explanation": " ".join(
            (requirement.explanation, *(f"Also blocked: {block.text}" for block in requirement.also_blocked))
        ),
        "remedy": requirement.remedy_text,
        "client": client.address,
        "method": method.id,
        "result": method.result,
        "requirement": requirement.id,
        "from_role": requirement.source.role,
        "from_ip": requirement.source.address or "",
        "to_role": requirement.destination.role,
        "to_ip": requirement.destination.address or "",
        "ports": " ".join(map(str, requirement.ports)),
        "confidence": requirement.confidence or "",
        "blocked_at": requirement.blocked_at or "",
    }


def _row(
    client: r.ClientReport, method: r.MethodResult, requirement: r.RequirementVerdict, report: r.Report
) -> dict[str, str | int]:
    return plain_row(client, method, requirement) | {
        "first_time": requirement.first_time or "",
        "last_time": requirement.last_time or "",
        "problems": " ".join(problem.text for problem in requirement.problems),
        "changed": f"{requirement.changed.before} at {requirement.changed.before_time}" if requirement.changed else "",
        "evidence": "; ".join(_proof(proof, report) for proof in requirement.evidence),
        "display_filter": " || ".join(
            filter(None, dict.fromkeys(proof.display_filter for proof in requirement.evidence))
        ),
    }


def _proof(proof: r.Evidence, report: r.Report) -> str:
    unit, numbers = ("frames", proof.frames) if proof.frames else ("lines", proof.lines)
    return f"{unit} {' '.join(map(str, numbers))} of {report.sources[proof.source].path}"
