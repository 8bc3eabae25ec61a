"""The report as plain dictionaries and lists: what `--format json` writes."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

from auditor.report import model as r
from auditor.sources.summary import SourceSummary

# Control and formatting characters that a terminal obeys, and halves of characters; JSON has escapes for all of them.
UNSAFE = re.compile("[\x7f-\x9f\u061c\u200b-\u200f\u2028-\u202e\u2060-\u206f\ud800-\udfff\ufeff\ufff9-\uffff]")

PROBLEM = ("layer", "code", "step", "text", "frame", "line", "fatal", "account", "step_kind", "object")


def as_dict(report: r.Report) -> dict[str, Any]:
    """Return the document; its form is that of report.schema.json beside this module."""
    return {
        "format_version": r.FORMAT_VERSION,
        "tool": {"name": report.tool[0], "version": report.tool[1]},
        "ruleset": dict(zip(("id", "title", "reference"), report.ruleset, strict=True)),
        "asked": list(report.asked),
        "sources": [_source(source) for source in report.sources],
        "roles": [_role(role) for role in report.roles],
        "modes": [vars(mode).copy() for mode in report.modes],
        "pushes": [_push(push) for push in report.pushes],
        "clients": [_client(client) for client in report.clients],
        "limitations": [{"code": limitation.code, "text": limitation.text} for limitation in report.limitations],
    }


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


def _source(source: SourceSummary) -> dict[str, Any]:
    names = ("path", "kind", "format", "bytes", "records", "skipped", "first_time", "last_time")
    warnings = [{"code": code, "text": text} for code, text in source.warnings]
    quoted = list(source.quoted)
    return {name: getattr(source, name) for name in names} | {"warnings": warnings, "quoted": quoted}


def _role(role: r.RoleAssignment) -> dict[str, Any]:
    return {name: getattr(role, name) for name in ("role", "address", "name", "how", "how_sure", "why")}


def _push(push: r.Push) -> dict[str, Any]:
    same = {name: getattr(push, name) for name in ("kind", "how_sure", "why")}
    steps = [_push_step(step) for step in push.steps]
    return {"id": push.id, "from": push.from_address, "to": push.to_address, **same, "steps": steps}


def _push_step(step: r.PushStep) -> dict[str, Any]:
    same = {name: getattr(step, name) for name in ("step", "status", "code", "time", "source", "kind", "object")}
    return same | {"frames": list(step.frames), "lines": list(step.lines)}


def _client(client: r.ClientReport) -> dict[str, Any]:
    recommendations = [
        {
            "method": recommendation.method,
            "supported_by": recommendation.supported_by,
            "why": recommendation.why,
            "still_needs": list(recommendation.still_needs),
        }
        for recommendation in client.recommendation
    ]
    methods = [_method(method) for method in client.methods]
    names = list(client.names)
    return {"address": client.address, "names": names, "methods": methods, "recommendation": recommendations}


def _method(method: r.MethodResult) -> dict[str, Any]:
    reasons = [
        {"kind": reason.kind, "requirement": reason.requirement, "text": reason.text} for reason in method.reasons
    ]
    requirements = [_requirement(requirement) for requirement in method.requirements]
    return {
        "id": method.id,
        "title": method.title,
        "push": method.push,
        "site_server": method.site_server,
        "result": method.result,
        "went_on": _went_on(method.went_on),
        "reasons": reasons,
        "requirements": requirements,
    }


def _went_on(went_on: r.WentOn | None) -> dict[str, Any] | None:
    if went_on is None:
        return None
    same = {name: getattr(went_on, name) for name in ("ruleset", "newer", "newer_result")}
    return {"without": list(went_on.without), **same}


def _requirement(requirement: r.RequirementVerdict) -> dict[str, Any]:
    return {
        "id": requirement.id,
        "description": requirement.description,
        "necessity": requirement.necessity,
        "from": {"role": requirement.source.role, "address": requirement.source.address},
        "to": {"role": requirement.destination.role, "address": requirement.destination.address},
        "protocol": requirement.protocol,
        "ports": list(requirement.ports),
        "verdict": requirement.verdict,
        "confidence": requirement.confidence,
        "blocked_at": requirement.blocked_at,
        "allowed_at": requirement.allowed_at,
        "also_blocked": [block_as_dict(block) for block in requirement.also_blocked],
        "changed": _change(requirement.changed),
        "attempts": requirement.attempts,
        "first_time": requirement.first_time,
        "last_time": requirement.last_time,
        "explanation": requirement.explanation,
        "evidence": [_evidence(evidence) for evidence in requirement.evidence],
        "problems": [{name: getattr(problem, name) for name in PROBLEM} for problem in requirement.problems],
        "remedy": [
            {"place": remedy.place, "action": remedy.action, "command": remedy.command, "kind": remedy.kind}
            for remedy in requirement.remedy
        ],
        "either_or": requirement.either_or,
        "steps": [_push_step(step) for step in requirement.steps],
    }


def block_as_dict(block: r.Block) -> dict[str, Any]:
    """Return a proven block besides a verdict as the documents of one audit and of a fleet have it."""
    ends = {"from": block.source, "to": block.destination}
    return {**ends, "ports": list(block.ports), "blocked_at": block.blocked_at, "text": block.text}


def _change(change: r.VerdictChange | None) -> dict[str, str] | None:
    if change is None:
        return None
    names = ("before", "before_time", "after", "after_time")
    return {name: getattr(change, name) for name in names}


def _evidence(evidence: r.Evidence) -> dict[str, Any]:
    return {
        "source": evidence.source,
        "frames": list(evidence.frames),
        "lines": list(evidence.lines),
        "text": evidence.text,
        "display_filter": evidence.display_filter,
        "by": evidence.by,
        "packets": [
            {
                "frame": packet.frame,
                "time": packet.time,
                "from": packet.sender,
                "to": packet.receiver,
                "what": packet.what,
            }
            for packet in evidence.packets
        ],
    }
