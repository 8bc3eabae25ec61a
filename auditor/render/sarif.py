"""The report as SARIF 2.1.0 (OASIS): what is wrong, as results that code-scanning pages and editors list.

Results are findings: what is open, or was not seen, is none; the other forms have the whole. level: error if a method
that was asked for fails for it, or would; warning if another method does, or if it is inconclusive; note otherwise.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any
from urllib.parse import quote

from auditor.render import wording
from auditor.render.clean import MOST, clean
from auditor.report import model as r
from auditor.report.as_json import json_text
from auditor.ruleset.statements import say

SCHEMA = "https://json.schemastore.org/sarif-2.1.0.json"
ROOT_DRIVE = re.compile(r"[A-Za-z]:[\\/]")
ADDRESS = re.compile(r"https?://[^\s<>\"]+[^\s<>\".,;)]")  # of the document of a ruleset
MARKED = re.compile(r"[\\\[\]]")
NOTHING = "No client installation found in the sources, so nothing was evaluated."


def render_sarif(report: r.Report) -> str:
    """Return the report as a SARIF log with one run."""
    rules = _rules(report)
    places = {rule["id"]: place for place, rule in enumerate(rules)}
    run = {
        "tool": {"driver": {"name": report.tool.name, "version": clean(report.tool.version), "rules": rules}},
        "invocations": [_invocation(report)],
        "artifacts": [
            {"location": {"uri": uri(source.path)}, "length": source.bytes, "roles": ["analysisTarget"]}
            for source in report.sources
        ],
        "results": [
            _result(client, method, requirement, report) | {"ruleIndex": places[clean(requirement.id)]}
            for client in report.clients
            for method in client.methods
            for requirement in method.requirements
            if _level(method, requirement, report)
        ]
        + [
            _step_result(client, method, reason, report) | {"ruleIndex": places[_step_id(method)]}
            for client in report.clients
            for method in client.methods
            for reason in method.reasons
            if reason.is_step_alone
        ],
        "columnKind": "utf16CodeUnits",
    }
    return json_text({"$schema": SCHEMA, "version": "2.1.0", "runs": [run]})


def uri(path: str) -> str:
    """Return a path of any system as a URI reference (RFC 3986)."""
    if len(path) > MOST:
        path = clean(path)
    if ROOT_DRIVE.match(path):
        return f"file:///{path[0]}:/{_quoted(path[3:].replace(chr(92), '/'))}"
    if path.startswith("\\\\"):
        return f"file:{_quoted(path.replace(chr(92), '/'))}"
    if path.startswith("/"):
        return f"file:///{_quoted(path.lstrip('/'))}"
    return _quoted(path)


def message(text: str) -> dict[str, str]:
    """Return text as a message in which nothing is a link or a placeholder (SARIF 2.1.0, 3.11.5 and 3.11.6)."""
    escaped = MARKED.sub(lambda match: "\\" + match[0], clean(text))
    return {"text": escaped.replace("{", "{{").replace("}", "}}") or "-"}


def _quoted(path: str) -> str:
    return quote(path.encode("utf-8", "surrogatepass"), safe="/")


def _rules(report: r.Report) -> list[dict[str, Any]]:
    """Return each requirement once, in order of the ruleset, and behind those of a method its steps, if one failed."""
    rules: dict[str, dict[str, Any]] = {}
    for client in report.clients:
        for method in client.methods:
            for requirement in method.requirements:
                rules.setdefault(requirement.id, _rule(method, requirement, report))
            if any(reason.is_step_alone for reason in method.reasons):
                rules.setdefault(_step_id(method), _step_rule(method))
    return list(rules.values())


def _rule(method: r.MethodResult, requirement: r.RequirementVerdict, report: r.Report) -> dict[str, Any]:
    ends = " to the ".join(end.role.replace("-", " ") for end in (requirement.source, requirement.destination))
    ports = "echo request" if requirement.protocol == "icmp" else requirement.protocol.upper()
    text = (
        f"{requirement.description} It goes from the {ends} ({ports}) and is {requirement.necessity} "
        f"for: {method.title}. Source: {report.ruleset.title} ({report.ruleset.reference})."
    )
    rule = {
        "id": clean(requirement.id),
        "name": _rule_name(requirement.id),
        "shortDescription": {"text": clean(f"{method.title}: {requirement.row}")},
        "fullDescription": {"text": clean(requirement.description) or "-"},
        "help": {"text": clean(text)},
        "properties": {"necessity": requirement.necessity},
    }
    address = ADDRESS.search(report.ruleset.reference)
    return rule | ({"helpUri": address[0]} if address else {})


def _rule_name(rule_id: str) -> str:
    return "".join(word.capitalize() for word in re.findall(r"[A-Za-z0-9]+", rule_id)) or "Requirement"


def _step_id(method: r.MethodResult) -> str:
    return clean(f"{method.id}/step")


def _step_rule(method: r.MethodResult) -> dict[str, Any]:
    text = clean(say("reported.step-rule", method=method.title))
    return {
        "id": _step_id(method),
        "name": _rule_name(_step_id(method)),
        "shortDescription": {"text": clean(f"{method.title}: step")},
        "fullDescription": {"text": text},
        "help": {"text": text},
    }


def _level(method: r.MethodResult, requirement: r.RequirementVerdict, report: r.Report) -> str:
    """Return how grave a requirement's verdict is; empty if it is no finding."""
    if wording.is_reason(method, requirement):
        return "error" if not report.asked or method.id in report.asked else "warning"
    if requirement.verdict == r.INCONCLUSIVE and requirement.decides:
        return "warning"
    return (
        "note"
        if requirement.verdict in {*r.FAILING, r.INCONCLUSIVE} or requirement.problems or requirement.also_blocked
        else ""
    )


def _result(
    client: r.ClientReport, method: r.MethodResult, requirement: r.RequirementVerdict, report: r.Report
) -> dict[str, Any]:
    problems = [problem.text for problem in requirement.problems]
    sentences = [f"{client.address}: {wording.verdict(requirement)}.", requirement.explanation, *problems]
    sentences += [f"Also blocked: {block.text}" for block in requirement.also_blocked]
    sentences += [f"Fix: {requirement.remedy_text}"] if requirement.remedy else []
    sentences += [f"Evidence: {wording.frames(requirement.evidence[0], report.sources)}."]
    return {
        "ruleId": clean(requirement.id),
        "level": _level(method, requirement, report),
        "message": message(" ".join(sentences)),
        "locations": [
            {
                "physicalLocation": _place(report, requirement.evidence[0].source, requirement.evidence[0].lines),
                "logicalLocations": [{"fullyQualifiedName": clean(client.address), "kind": "resource"}],
            }
        ],
        "relatedLocations": list(_proofs(requirement, report)),
        "partialFingerprints": {"clientAndRequirement/v2": clean(_fingerprint(client, method, requirement))},
        "properties": {
            "verdict": requirement.verdict,
            "confidence": requirement.confidence or "",
            "blockedAt": clean(requirement.blocked_at or ""),
            "displayFilters": list(
                dict.fromkeys(clean(proof.display_filter) for proof in requirement.evidence if proof.display_filter)
            ),
        },
    }


def _step_result(client: r.ClientReport, method: r.MethodResult, reason: r.Reason, report: r.Report) -> dict[str, Any]:
    """Return the result of a step that a log reports; no port is at fault."""
    sentences = [f"{client.address}:", reason.text]
    sentences += [f"Fix: {' '.join(remedy.text for remedy in reason.remedy)}"] if reason.remedy else []
    logical = {"logicalLocations": [{"fullyQualifiedName": clean(client.address), "kind": "resource"}]}
    places = [{"physicalLocation": _place(report, proof.source, proof.lines)} for proof in reason.evidence[:1]]
    identity = " ".join(filter(None, (client.address, f"{method.id}/step", method.site_server)))
    return {
        "ruleId": _step_id(method),
        "level": _step_level(method, report),
        "message": message(" ".join(sentences)),
        "locations": [place | logical for place in places] or [logical],
        "partialFingerprints": {"clientAndRequirement/v2": clean(identity)},
    }


def _step_level(method: r.MethodResult, report: r.Report) -> str:
    if method.result != r.FAILS:
        return "note"
    return "error" if not report.asked or method.id in report.asked else "warning"


def _fingerprint(client: r.ClientReport, method: r.MethodResult, requirement: r.RequirementVerdict) -> str:
    """Return what tells a result from others: several site servers may push one client."""
    return " ".join(filter(None, (client.address, requirement.id, method.site_server)))


def _proofs(requirement: r.RequirementVerdict, report: r.Report) -> Iterator[dict[str, Any]]:
    for number, proof in enumerate(requirement.evidence):
        text = f"{wording.frames(proof, report.sources)}: {proof.text}"
        place = _place(report, proof.source, proof.lines)
        yield {"id": number, "physicalLocation": place, "message": message(text)}


def _place(report: r.Report, source: int, lines: tuple[int, ...]) -> dict[str, Any]:
    place: dict[str, Any] = {"artifactLocation": {"uri": uri(report.sources[source].path), "index": source}}
    return place | {"region": {"startLine": min(lines)}} if lines else place


def _invocation(report: r.Report) -> dict[str, Any]:
    notifications = [
        {
            "level": "error" if warning.code in r.INCOMPLETE_CODES else "warning",
            "message": message(f"{source.path}: {warning.text}"),
        }
        for source in report.sources
        for warning in source.warnings
    ]
    notifications += [
        {"level": "note", "message": message(limitation.text), "descriptor": {"id": clean(limitation.code)}}
        for limitation in report.limitations
    ]
    if not report.clients:
        notifications.append({"level": "error", "message": message(NOTHING)})
    return {"executionSuccessful": bool(report.clients), "toolExecutionNotifications": notifications}
