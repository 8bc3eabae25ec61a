"""Reports for the tests of what is made from them: of every scene, of one push, and with any text in every field."""

from __future__ import annotations

import dataclasses
import os
from collections.abc import Callable
from functools import cache
from typing import Any

from places import SAMPLES
from scenes import SCENES, Scene

import auditor
from auditor.render.answer import Answer
from auditor.report import model as r
from auditor.report.as_json import schema
from auditor.sources.files.warnings import SourceWarning


@cache
def of_scene(name: str, *, logs: bool = False) -> auditor.Report:
    """Return the report of a scene, with what the protocols said if tshark is installed; its sources as file names.

    logs: whether its firewall logs are read beside the captures.
    """
    scene = next(one for one in SCENES if one.name == name)
    return dissected(dataclasses.replace(scene, captures=scene.captures + scene.logs) if logs else scene)


def dissected(scene: Scene) -> auditor.Report:
    before = os.getcwd()
    os.chdir(SAMPLES)
    try:
        captures = [os.path.basename(capture) for capture in scene.captures]
        return auditor.audit(*captures, ruleset=scene.truth["ruleset"])
    finally:
        os.chdir(before)


@cache
def rich() -> auditor.Report:
    """Return a report with something in every field: two sources, a warning, a problem, a change."""
    report = of_scene("return-path-dropped")
    warning = SourceWarning("damaged", "Something is broken.")
    source = dataclasses.replace(report.sources[0], skipped=2, warnings=(warning,))
    (client,) = report.clients
    method = client.methods[0]
    first, *rest = method.requirements
    problem = r.Problem("smb", "STATUS_ACCESS_DENIED", "log on: STATUS_ACCESS_DENIED (frame 27): no rights.", 27, True)
    change = r.VerdictChange("blocked", "2026-11-23T06:50:01.000000Z", "open", "2026-11-23T06:51:01.000000Z")
    first = dataclasses.replace(
        first,
        problems=(problem,),
        changed=change,
        remedy=(r.Remedy("client", "Give the account rights.", "New-LocalUser -Name push"),),
    )
    reasons = (*method.reasons, r.Reason("problem", first.id, problem.text))
    method = dataclasses.replace(method, requirements=(first, *rest), reasons=reasons)
    client = dataclasses.replace(client, methods=(method, *client.methods[1:]))
    return dataclasses.replace(
        report,
        sources=(source, *report.sources[1:]),
        clients=(client,),
        limitations=(r.Limitation("ports-only", "Not all was seen."),),
        all_flows=None,
    )


def fleet(count: int, report: auditor.Report | None = None) -> auditor.Report:
    """Return a report with the one client of another report, again and again under other addresses."""
    report = report or rich()
    (client,) = report.clients
    clients = tuple(dataclasses.replace(client, address=f"10.20.{n // 250}.{n % 250 + 1}") for n in range(count))
    return dataclasses.replace(report, clients=clients)


def planted(report: auditor.Report, change: Callable[[str], str]) -> auditor.Report:
    """Return the report with every free text of its document changed, equal ones equally."""
    return auditor.Report.from_dict(changed(report.to_dict(), schema(), change))


def changed(value: Any, described: dict[str, Any], change: Callable[[str], str]) -> Any:
    """Return JSON with every text changed that its schema leaves free."""
    if reference := described.get("$ref"):
        described = schema()["$defs"][reference.rpartition("/")[2]]
    if isinstance(value, dict):
        return {name: changed(one, described["properties"][name], change) for name, one in value.items()}
    if isinstance(value, list):
        return [changed(one, described["items"], change) for one in value]
    free = isinstance(value, str) and not described.keys() & {"enum", "const", "pattern"}
    return change(value) if free else value


def sentences(shown: Answer) -> list[str]:
    """Return every sentence of an answer, in the order in which each form has them."""
    causes = [*(text for cause in shown.causes for text in (*cause.sentences, *(step.action for step in cause.steps)))]
    paragraphs = [text for paragraph in shown.paragraphs for text in paragraph.sentences]
    methods = [text for method in shown.other_methods for text in method]
    return [*shown.impact, *causes, *paragraphs, *shown.check_first, *methods]
