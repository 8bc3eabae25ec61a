"""Scenes of the lab with ConfigMgr's logs beside the capture: one push, the capture's verdicts, the log's lines."""

from __future__ import annotations

import tomllib
from functools import cache
from pathlib import Path

import pytest
from places import SAMPLES

import auditor
from auditor.report import model as r
from auditor.sources.dissection.program import find_tshark
from auditor.sources.source import WITHOUT_FLOWS

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


# names that tshark reads

needs_tshark = pytest.mark.skipif(find_tshark() is None, reason="needs tshark, which reads the names in the protocols")
NAMED = ["access-denied", "rpc-dynamic-dropped", "smb-dropped"]


def with_log(folder: Path, scene: str, text: str, *, dissect: bool) -> auditor.Report:
    """Audit the capture of a scene beside a ccm.log; no other log shows the address of the client."""
    path = folder / "ccm.log"
    path.write_text(text, newline="")
    return auditor.audit(capture(scene), path, dissect=dissect)


def pushed(report: r.Report) -> list[str]:
    return [push.to_address for push in report.pushes if any(step.lines for step in push.steps)]


def of_two_computers(scene: str) -> str:
    """Return the ccm.log of a scene in which another computer is pushed at the same time."""
    text = (SAMPLES / "configmgr_logs" / scene / "ccm.log").read_text()
    other = text.replace("CLIENT01", "PC99").replace("2097152001", "2097152002").replace("18612 (0x48B4)", "7 (0x7)")
    return text + other


@needs_tshark
@pytest.mark.parametrize("scene", NAMED)
def test_the_name_in_the_protocols_finds_the_computer_of_the_log(tmp_path, scene):
    report = with_log(tmp_path, scene, of_two_computers(scene), dissect=True)
    assert pushed(report) == [CLIENT, "pc99"]
    (role,) = (role for role in report.roles if role.address == CLIENT)
    assert (role.how, role.how_sure) == ("read", "certain")
    assert role.name == "client01.contoso.example"


@pytest.mark.parametrize("scene", NAMED)
def test_without_names_two_computers_of_a_log_are_not_joined(tmp_path, scene):
    report = with_log(tmp_path, scene, of_two_computers(scene), dissect=False)
    assert pushed(report) == ["client01", "pc99"]


@needs_tshark
@pytest.mark.parametrize("scene", NAMED)
def test_a_log_of_another_computer_is_not_joined_with_a_client_that_shows_its_name(tmp_path, scene):
    text = (SAMPLES / "configmgr_logs" / scene / "ccm.log").read_text().replace("CLIENT01", "PC99")
    assert pushed(with_log(tmp_path, scene, text, dissect=True)) == ["pc99"]
    assert pushed(with_log(tmp_path, scene, text, dissect=False)) == [CLIENT]


@needs_tshark
def test_a_management_point_that_a_log_names_is_the_web_server_of_that_name():
    report = auditor.audit(capture("all-open"), SAMPLES / "configmgr_logs" / "all-open" / "ccmsetup.log")
    points = [(role.address, role.how, role.name) for role in report.roles if role.role == "management-point"]
    assert points == [("10.20.3.80", "read", "mp01.contoso.example")]


@pytest.mark.parametrize("scene", SCENES)
def test_a_role_that_was_read_is_not_assumed_as_well(scene):
    report = auditor.audit(capture(scene), *logs(scene), dissect=False)
    read = {role.address for role in report.roles if role.how == "read"}
    assumed = [limitation.text for limitation in report.limitations if "assumed to be" in limitation.text]
    assert not [text for text in assumed if text.split()[0] in read]


def test_what_a_log_does_not_report_on_names_the_source_that_shows_it():
    rows = {row.row: row.explanation for row in push(auditor.audit(*logs("smb-dropped"))).requirements}
    assert "A packet capture on the site server shows it." in rows["rpc-endpoint-mapper"]
    assert "Add ccmsetup.log of the client" in rows["http-management-point"]
