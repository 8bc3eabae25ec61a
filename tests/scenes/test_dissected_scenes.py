"""The sample captures with what was said on the ports: the truth about each, problems and places included."""

from __future__ import annotations

import pytest
from capture_file import taken_apart
from click.testing import CliRunner
from noise import Contact, packets_of
from scenes import LOGGED, PUSHES, SCENES, TAKEN_AT_BOTH_ENDS, Scene, each, named, without_roles
from scenes import places as places_of

import auditor
from auditor.cli.commands import cli
from auditor.report.model import MethodResult

pytestmark = pytest.mark.usefixtures("tshark")

# What ended the push although the ports were open: the row, and the code of a fatal problem on it.
PROBLEMS = {
    "access-denied": ("smb", "STATUS_ACCESS_DENIED"),
    "account-disabled": ("smb", "STATUS_ACCOUNT_DISABLED"),
    "endpoint-not-registered": ("rpc-endpoint-mapper", "ept_s_not_registered"),
    "mp-401": ("http-management-point", "401 Unauthorized"),
    "mp-403": ("http-management-point", "403 Forbidden"),
    "mp-404": ("http-management-point", "404 Not Found"),
    "mp-500": ("http-management-point", "500 Internal Server Error"),
    "mp-client-certificate": ("https-management-point", "handshake_failure"),
    "mp-expired-certificate": ("https-management-point", "certificate_expired"),
    "mp-untrusted-certificate": ("https-management-point", "unknown_ca"),
    "no-admin-share": ("smb", "STATUS_BAD_NETWORK_NAME"),
    "proxy-refuses-ccm-post": ("http-management-point", "405 Method Not Allowed"),
    "service-access-denied": ("smb", "ERROR_ACCESS_DENIED"),
    "winreg-pipe-missing": ("smb", "STATUS_OBJECT_NAME_NOT_FOUND"),
    "wrong-password": ("smb", "STATUS_LOGON_FAILURE"),
}
# What failed at first and went well later, which ends nothing.
MENDED = {"wrong-password-then-right": ("smb", "STATUS_LOGON_FAILURE")}
REPORTS: dict[str, auditor.Report] = {}


def report_of(scene: Scene) -> auditor.Report:
    """Audit a scene with dissection, once."""
    if scene.name not in REPORTS:
        REPORTS[scene.name] = scene.audit(dissect=True, **scene.known)
    return REPORTS[scene.name]


def push(report: auditor.Report) -> MethodResult:
    (client,) = report.clients
    return client.method("client-push")


def told(scene: Scene, report: auditor.Report) -> dict[str, str]:
    method = push(report)
    verdicts = {one.row: one.verdict for one in method.requirements if one.row in scene.truth["requirements"]}
    return {"result": method.result, **verdicts}


def truth(scene: Scene) -> dict[str, str]:
    return {"result": scene.truth["result"], **scene.truth["requirements"]}


def places(method: MethodResult) -> set[str]:
    return {one.blocked_at for one in method.requirements if one.blocked_at}


def needs_dissection(scene: Scene) -> bool:
    return scene.truth["result"] == "fails" != scene.truth["result_without_dissection"]


@each(SCENES)
def test_with_the_roles_given(scene):
    assert told(scene, report_of(scene)) == truth(scene)


@each([scene for scene in PUSHES if needs_dissection(scene) or scene.truth["result"] == "works"])
def test_with_the_roles_inferred(scene):
    """Of a management point that is reached over TLS no path is read, so that it is a guess by its port."""
    encrypted = scene.truth["requirements"]["https-management-point"] == "open"
    result = truth(scene)["result"].replace("works", "unproven" if encrypted else "works")
    assert told(scene, scene.audit(dissect=True, **without_roles(scene))) == truth(scene) | {"result": result}


@each(TAKEN_AT_BOTH_ENDS)
def test_the_captures_in_the_other_order(scene):
    report = auditor.audit(*reversed(scene.captures), ruleset=scene.truth["ruleset"], **scene.known)
    assert told(scene, report) == truth(scene)
    assert places(push(report)) == {scene.truth["blocked_at"]}


@each(SCENES)
def test_everything_that_was_said_could_be_read(scene):
    assert [text for text in report_of(scene).limitation_texts if "could be read" in text or "Only ports" in text] == []


# where it was stopped


@each(SCENES)
def test_the_place_is_the_same_without_dissection(scene):
    assert places_of(report_of(scene)) == places_of(scene.audit(**scene.known))


@pytest.mark.parametrize("how", ["refused", "silent"])
@each([scene for scene in PUSHES if scene.truth["requirements"].get("rpc-dynamic") in ("open", "blocked", "refused")])
def test_a_port_that_was_not_assigned_changes_nothing(scene, how, tmp_path):
    server, client = (scene.known["roles"][role] for role in ("site-server", "client"))
    paths = []
    for number, capture in enumerate(map(taken_apart, scene.captures)):
        other = Contact(server, client, "tcp", 55_555, how, capture.length + 3)
        paths.append(tmp_path / f"{number}.pcap")
        paths[-1].write_bytes(capture.with_packets(packets_of([other])))
    report = scene.audit(dissect=True, sources=list(map(str, paths)), **scene.known)
    assert told(scene, report) == truth(scene)


@each([scene for scene in PUSHES if scene.truth["blocked_at"] != "nowhere"])
def test_the_place_is_the_same_without_dissection_with_the_roles_inferred(scene):
    known = without_roles(scene)
    assert places_of(scene.audit(dissect=True, **known)) == places_of(scene.audit(**known))


@each(LOGGED)
def test_beside_the_log_of_the_clients_own_firewall(scene):
    report = scene.audit(dissect=True, sources=scene.captures + scene.logs, **scene.known)
    with_logs = scene.truth["with-logs"]
    assert told(scene, report) == {"result": with_logs["result"], **with_logs["requirements"]}
    assert places(push(report)) == {scene.truth["blocked_at"]} - {"nowhere"}
    proven = {one.row: one.confidence for one in push(report).requirements if one.row in with_logs["confidence"]}
    assert proven == with_logs["confidence"]


# problems


def fatal_problems(scene: Scene) -> list[tuple[str, str]]:
    """Return row and code of each problem that ends the push."""
    rows = push(report_of(scene)).requirements
    return [(one.row, problem.code) for one in rows for problem in one.problems if problem.fatal]


@named(PROBLEMS)
def test_the_problem_is_named_and_fatal(scene):
    assert PROBLEMS[scene.name] in fatal_problems(scene)


@named(PROBLEMS)
def test_the_problem_is_a_reason_and_the_network_is_not_blamed(scene):
    row, code = PROBLEMS[scene.name]
    reasons = push(report_of(scene)).reasons
    assert [one.text for one in reasons if one.requirement == f"client-push/{row}" and code in one.text]
    assert {one.kind for one in reasons} <= {"problem", "missing"}


@named(PROBLEMS)
def test_a_problem_has_a_remedy(scene):
    row, _ = PROBLEMS[scene.name]
    assert [one.remedy_text for one in push(report_of(scene)).requirements if one.row == row] != [""]


@named(["mp-expired-certificate"])
def test_the_dates_of_a_certificate_are_told_in_plain_words(scene):
    texts = [one.text for one in push(report_of(scene)).reasons]
    day = report_of(scene).sources[0].first_time[:10]
    dates = f"it is valid from 2024-01-01 to 2025-01-01, and the capture is of {day}."
    assert [text for text in texts if text.endswith(f"the certificate has expired: {dates}")] != []


@named(["mp-https"])
def test_two_that_agreed_on_encryption_did_so_whatever_came_before(scene):
    told = [one.explanation for one in push(report_of(scene)).requirements if one.row == "https-management-point"]
    assert "negotiate TLS" in told[0]


@named(MENDED)
def test_a_problem_that_went_away_is_told_and_ends_nothing(scene):
    row, code = MENDED[scene.name]
    (problem,) = [found for one in push(report_of(scene)).requirements if one.row == row for found in one.problems]
    assert (problem.code, problem.fatal) == (code, False)


@each([scene for scene in SCENES if not needs_dissection(scene)])
def test_a_push_that_the_network_stopped_or_that_went_well_has_no_fatal_problem(scene):
    assert fatal_problems(scene) == []


@each([scene for scene in SCENES if needs_dissection(scene)])
def test_a_push_that_fails_on_open_ports_has_a_fatal_problem(scene):
    assert fatal_problems(scene) != []


# proof


@each(SCENES)
def test_every_problem_is_proven_by_a_frame_that_exists(scene):
    report = report_of(scene)
    for one in push(report).requirements:
        cited = {(proof.source, frame) for proof in one.evidence for frame in proof.frames}
        assert all(frame <= report.sources[source].records for source, frame in cited)
        assert {problem.frame for problem in one.problems if problem.fatal} <= {frame for _, frame in cited}


@named(["mp-500", "wrong-password"])
def test_on_the_command_line(scene):
    done = CliRunner().invoke(cli, ["analyze", *scene.captures], standalone_mode=False, catch_exceptions=False)
    assert done.return_value == 3
    assert PROBLEMS[scene.name][1] in done.stdout
