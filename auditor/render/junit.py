"""The report as JUnit XML for a pipeline: a test suite a client, a test case a requirement of the methods asked for.

failure: it is blocked, refused, unreachable or unanswered, and its method fails for that, or would. error: the port is
open but what was said on it ends the installation, or a log reports a failed step that needs no port. skipped: not
seen, inconclusive or not applicable, or stopped without harm. A suite of its own holds the sources, with an error for
each that was not read in full; if no client was found it holds an error for that, so that nothing never looks like
success.
"""

from __future__ import annotations

from collections.abc import Sequence
from xml.etree import ElementTree as ET

from auditor.render import wording
from auditor.render.clean import clean
from auditor.report import model as r

NO_TIME = "1970-01-01T00:00:00"
NOTHING = "No client installation found in the sources, so nothing was evaluated."


def render_junit(report: r.Report) -> str:
    """Return the report as JUnit XML, in the form that Jenkins, GitLab and Azure DevOps read."""
    root = ET.Element("testsuites", name="auditor")
    for number, client in enumerate(report.clients):
        cases = [
            _case(client, method, requirement, report)
            for method in wording.asked_methods(client, report.asked)
            for requirement in method.requirements
            if requirement.necessity != "informational" or requirement.is_proven_block
        ]
        cases += [
            _step_case(client, method, reason, report)
            for method in wording.asked_methods(client, report.asked)
            for reason in method.reasons
            if reason.is_step_alone
        ]
        times = [
            requirement.first_time
            for method in client.methods
            for requirement in method.requirements
            if requirement.first_time
        ]
        entries = wording.entries(client, report.asked)
        blocks = [line for main in entries for line in wording.also_blocked(client, main)]
        _suite(root, number, client.address, min(times, default=""), cases, report, blocks)
    first_time = min((source.first_time for source in report.sources if source.first_time), default="")
    _suite(root, len(report.clients), "sources", first_time, _sources(report), report)
    ET.indent(root)
    return '<?xml version="1.0" encoding="UTF-8"?>\n' + ET.tostring(root, encoding="unicode") + "\n"


def _suite(
    root: ET.Element,
    number: int,
    name: str,
    timestamp: str,
    cases: Sequence[ET.Element],
    report: r.Report,
    output: Sequence[str] = (),
) -> None:
    kinds = {kind: sum(case.find(kind) is not None for case in cases) for kind in ("failure", "error", "skipped")}
    suite = ET.SubElement(
        root,
        "testsuite",
        name=clean(name),
        tests=str(len(cases)),
        failures=str(kinds["failure"]),
        errors=str(kinds["error"]),
        skipped=str(kinds["skipped"]),
        time="0",
        timestamp=timestamp[: len(NO_TIME)] or NO_TIME,
        hostname=clean(name),
        id=str(number),
        package="auditor",
    )
    properties = ET.SubElement(suite, "properties")
    for key, value in (("ruleset", report.ruleset.id), ("auditor", report.tool.version)):
        ET.SubElement(properties, "property", name=key, value=clean(value))
    for case in cases:
        case.set("classname", clean(f"{name}.{case.get('classname')}"))
        suite.append(case)
    ET.SubElement(suite, "system-out").text = "\n".join(map(clean, output)) or None
    ET.SubElement(suite, "system-err")


def _case(
    client: r.ClientReport, method: r.MethodResult, requirement: r.RequirementVerdict, report: r.Report
) -> ET.Element:
    case = _named_case(client, method, requirement.id)
    if requirement.verdict in r.FAILING and wording.is_reason(method, requirement):
        _outcome(case, "failure", requirement.verdict, requirement.explanation, _proof(requirement, report))
    elif problems := wording.fatal(requirement):
        _outcome(case, "error", "problem", " ".join(problem.text for problem in problems), _proof(requirement, report))
    elif requirement.verdict in r.FAILING:
        _outcome(case, "skipped", "", f"{requirement.verdict}, without effect on the result: {requirement.explanation}")
    elif requirement.verdict not in r.PASSING:
        blocks = [f"Also blocked: {block.text}" for block in requirement.also_blocked]
        _outcome(case, "skipped", "", " ".join((f"{requirement.verdict}: {requirement.explanation}", *blocks)))
    return case


def _step_case(client: r.ClientReport, method: r.MethodResult, reason: r.Reason, report: r.Report) -> ET.Element:
    """Return an error, because a step failed that a log reports and no port is at fault; or a step that was skipped."""
    case = _named_case(client, method, f"{method.id}/step")
    lines = [*_fix(reason.remedy), *_evidence(reason.evidence, report)]
    failed = method.result == r.FAILS
    _outcome(case, "error" if failed else "skipped", "step" if failed else "", reason.text, lines)
    return case


def _named_case(client: r.ClientReport, method: r.MethodResult, name: str) -> ET.Element:
    several = sum(entry.id == method.id for entry in client.methods) > 1
    whole = f"{name} from {method.site_server}" if several else name
    return ET.Element("testcase", name=clean(whole), classname=method.id, time="0")


def _outcome(case: ET.Element, kind: str, type_name: str, message: str, lines: Sequence[str] = ()) -> None:
    outcome = ET.SubElement(case, kind, {"type": type_name} if type_name else {}, message=clean(message))
    outcome.text = "\n".join(map(clean, lines)) or None


def _proof(requirement: r.RequirementVerdict, report: r.Report) -> list[str]:
    return [
        f"Verdict: {wording.verdict(requirement)}",
        requirement.explanation,
        *(problem.text for problem in requirement.problems),
        *_fix(requirement.remedy),
        *_evidence(requirement.evidence, report),
    ]


def _fix(remedies: Sequence[r.Remedy]) -> list[str]:
    lines = []
    for place, (action, command) in enumerate(wording.numbered(remedies)):
        lines.append(action if place else f"Fix: {action}")
        lines += [command] if command else []
    return lines


def _evidence(proofs: Sequence[r.Evidence], report: r.Report) -> list[str]:
    return [f"Evidence: {wording.shown_evidence(proof, report.sources)}" for proof in proofs]


def _sources(report: r.Report) -> list[ET.Element]:
    cases = []
    for source in report.sources:
        case = ET.Element("testcase", name=clean(source.path), classname="reading", time="0")
        lost = [warning.text for warning in source.warnings if warning.code in r.INCOMPLETE_CODES]
        if source.skipped:
            lost.append(f"{source.skipped:,} records could not be read.")
        if lost:
            _outcome(case, "error", "incomplete", " ".join(lost))
        cases.append(case)
    if not report.clients:
        case = ET.Element("testcase", name="a client installation is in the sources", classname="reading", time="0")
        _outcome(case, "error", "nothing", NOTHING, [limitation.text for limitation in report.limitations])
        cases.append(case)
    return cases
