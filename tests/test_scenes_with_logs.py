"""Scenes of the lab with ConfigMgr's logs beside the capture: one push, the capture's verdicts, the log's lines."""

from __future__ import annotations

import tomllib
from functools import cache
from pathlib import Path

import pytest

import auditor
from auditor.report import model as r
from auditor.sources.source import WITHOUT_FLOWS

SAMPLES = Path(__file__).parent.parent / "sample_captures"
SCENES = sorted(folder.name for folder in (SAMPLES / "configmgr_logs").iterdir() if folder.is_dir())
CLIENT = "10.20.2.20"
# What a log alone shows: the requirements that a program could not use, or the code of a problem on an open port.
ALONE = {
    "smb-dropped": {"smb"},
    "smb-dropped-on-client": {"smb"},
    "smb-reset": {"smb"},
    "client-off": {"smb"},
    "rpc-135-dropped": {"rpc-endpoint-mapper", "rpc-dynamic"},
    "rpc-135-prohibited": {"rpc-endpoint-mapper", "rpc-dynamic"},
    "rpc-dynamic-dropped": {"rpc-endpoint-mapper", "rpc-dynamic"},
    "mp-dropped": {"http-management-point"},
    "mp-no-answer": {"http-management-point"},
}


def logs(scene: str) -> list[Path]:
    return sorted((SAMPLES / "configmgr_logs" / scene).glob("*.log"))


def capture(scene: str) -> Path:
    (path,) = (path for path in SAMPLES.glob(f"{scene}.pcap*"))
    return path


@cache
def together(scene: str) -> auditor.Report:
    return auditor.audit(capture(scene), *logs(scene), roles={"client": CLIENT}, dissect=False)


def push(report: r.Report) -> r.MethodResult:
    (client,) = report.clients
    return client.method("client-push")


@pytest.mark.parametrize("scene", SCENES)
def test_the_push_is_in_the_report_once(scene):
    report = together(scene)
    assert [(entry.to_address, entry.kind) for entry in report.pushes] == [(CLIENT, "push")]
    assert any(step.lines for step in report.pushes[0].steps)


@pytest.mark.parametrize("scene", SCENES)
def test_what_the_capture_shows_stands(scene):
    alone = {row.id: row.verdict for row in push(auditor.audit(capture(scene), dissect=False)).requirements}
    both = {row.id: row.verdict for row in push(together(scene)).requirements}
    decided = {name: verdict for name, verdict in alone.items() if verdict not in (r.NOT_OBSERVED, r.NOT_APPLICABLE)}
    assert both | decided == both


@pytest.mark.parametrize("scene", SCENES)
def test_the_result_is_the_one_that_the_lab_knows(scene):
    truth = tomllib.loads((SAMPLES / f"{scene}.toml").read_text(encoding="utf-8"))
    assert push(together(scene)).result == truth["client-push"]["result"]


@pytest.mark.parametrize("scene", SCENES)
def test_the_lines_of_the_logs_are_among_the_evidence(scene):
    report = together(scene)
    cited = {item.source for row in push(report).requirements for item in row.evidence if item.lines}
    assert {report.sources[number].kind for number in cited} == {"configmgr-log"}


@pytest.mark.parametrize("scene", SCENES)
def test_logs_alone_blame_a_port_only_where_their_code_allows_it(scene):
    report = auditor.audit(*logs(scene))
    assert {source.kind for source in report.sources} <= WITHOUT_FLOWS
    failed = {row.row for row in push(report).requirements if row.verdict in r.FAILING}
    assert failed == ALONE.get(scene, set())
    assert (push(report).result == r.FAILS) == (scene != "all-open")


def test_what_a_log_does_not_report_on_names_the_source_that_shows_it():
    rows = {row.row: row.explanation for row in push(auditor.audit(*logs("smb-dropped"))).requirements}
    assert "A packet capture on the site server shows it." in rows["rpc-endpoint-mapper"]
    assert "Add ccmsetup.log of the client" in rows["http-management-point"]
