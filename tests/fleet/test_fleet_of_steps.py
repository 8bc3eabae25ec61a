"""Hosts of a fleet that fail at a step of ConfigMgr's logs are counted by step and code, with a fix and a line."""

from __future__ import annotations

import csv
import json
from pathlib import Path

import pytest
from fleet_logs import NO_PATH, NO_RPC, REFUSED, ccm, fleet, line, push, results, write
from hypothesis import given, settings
from hypothesis import strategies as st
from logs import firewall_log, row
from setup_logs import SERVICE, log

from auditor.api.batch import batch, host_report, merge
from auditor.api.fleet_report import load_fleet
from auditor.report.fleet_model import Cause, FleetReport
from auditor.ruleset.configmgr_codes import reading

pytestmark = pytest.mark.slow

NO_TRUST = ("---> Failed to connect to \\\\{}\\admin$ using account LAB\\push (1311)",)
DENIED = ('---> Unable to connect to WMI on remote machine "{}", error = 0x80070005.',)
NO_NAMESPACE = ('---> Unable to connect to WMI (root\\cimv2) on remote machine "{}", error = 0x80041013.',)
CONNECTED = "---> Connected to administrative share on machine {} using account 'LAB\\push'"
SAME_VERSION = (
    CONNECTED,
    "---> Mobile client on the target machine has the same version, and 'forced' flag is not turned on. "
    "Not processing this CCR.",
)
NO_CODE = ('---> ERROR: Unable to access target machine for request: "1", machine name: "{}", access denied.',)
NO_CERTIFICATE = (
    "[CCMHTTP] ERROR: URL=https://mp.corp.example/ccm_system/request, Port=0, Options=63, Code=0, "
    "Text=CCM_E_NO_CLIENT_PKI_CERT",
    "CcmSetup failed with error code 0x87d00454",
)


def steps(report: FleetReport) -> dict[tuple[str, str], int]:
    return {(cause.step, cause.code.partition(" ")[0]): cause.hosts for cause in report.causes}


def only(report: FleetReport) -> Cause:
    (cause,) = report.causes
    return cause


def of(tmp_path: Path, text: str) -> FleetReport:
    return fleet(write(tmp_path / "logs" / "ccm.log", text), out=tmp_path / "out")


def setup(tmp_path: Path, name: str, *texts: str) -> None:
    own = log(*SERVICE, f"[{name}] Running on 'Microsoft Windows 10'", *texts)
    write(tmp_path / "logs" / name / "ccmsetup.log", own)


def test_hosts_of_a_log_are_counted_by_step_and_code(tmp_path):
    machines = {"PC1": NO_PATH, "PC2": NO_PATH, "PC3": REFUSED, "PC4": NO_RPC, "PC5": NO_TRUST, "PC6": DENIED}
    report = of(tmp_path, ccm(**machines))
    assert steps(report) == {
        ("admin-share", "53"): 2,
        ("admin-share", "5"): 1,
        ("admin-share", "1311"): 1,
        ("wmi", "1722"): 1,
        ("wmi", "5"): 1,
    }
    assert set(results(report).values()) == {"fails"}


@pytest.mark.parametrize(
    ("texts", "step", "code"),
    [
        (NO_PATH, "admin-share", 53),
        (REFUSED, "admin-share", 5),
        (NO_TRUST, "admin-share", 1311),
        (NO_RPC, "wmi", 0x800706BA),
        (DENIED, "wmi", 0x80070005),
        (NO_NAMESPACE, "wmi", 0x80041013),
    ],
    ids=["path", "refused", "trust", "rpc", "denied", "namespace"],
)
def test_a_cause_has_the_words_of_the_code_a_fix_and_a_line(tmp_path, texts, step, code):
    cause = only(of(tmp_path, ccm(PC1=texts)))
    meaning = reading("ccm", step, code)
    assert cause.text == meaning.text()
    assert meaning.next_steps[0].action in cause.remedy
    assert meaning.collect in cause.remedy
    assert cause.example is not None
    assert (cause.example_host, cause.example.lines) == ("PC1", (2,))
    assert texts[0].format("PC1")[5:] in cause.example.text


def test_a_code_stands_in_a_cause_with_its_name_and_its_other_spelling(tmp_path):
    assert only(of(tmp_path, ccm(PC1=REFUSED))).code == "5 ERROR_ACCESS_DENIED (0x80070005)"


def test_a_port_that_a_log_reports_failed_is_not_a_stopped_service(tmp_path):
    report = of(tmp_path, ccm(PC1=NO_PATH))
    text = (tmp_path / "out" / "report.txt").read_text()
    assert "Check that the service behind" not in text
    assert "No firewall change" not in text
    assert "TCP 445 is blocked" in " ".join(text.split())
    assert report.changes == ()


def test_a_missing_certificate_is_a_cause(tmp_path):
    setup(tmp_path, "PC1", *NO_CERTIFICATE)
    report = fleet(tmp_path / "logs", out=tmp_path / "out")
    assert results(report) == {"PC1": "fails"}
    cause = only(report)
    assert (cause.step, cause.requirement) == ("certificate", "")
    assert "Port=0" in cause.text


def test_a_host_that_fails_for_a_step_has_it_in_every_form(tmp_path):
    of(tmp_path, ccm(PC1=NO_TRUST))
    out = tmp_path / "out"
    with (out / "hosts.csv").open(encoding="utf-8", newline="") as file:
        (host,) = csv.DictReader(file)
    assert (host["failed_step"], host["code"]) == ("admin-share", "1311 ERROR_NO_LOGON_SERVERS (0x8007051f)")
    with (out / "causes.csv").open(encoding="utf-8", newline="") as file:
        (cause,) = csv.DictReader(file)
    assert (cause["step"], cause["hosts"], cause["example_host"], cause["example_lines"]) == (
        "admin-share",
        "1",
        "PC1",
        "2",
    )
    with (out / "evidence.csv").open(encoding="utf-8", newline="") as file:
        assert [(row["requirement"], row["lines"]) for row in csv.DictReader(file)] == [("", "2")]
    (failed,) = json.loads((out / "fleet.json").read_text())["hosts"][0]["failed_steps"]
    assert (failed["step"], failed["proof"][0]["lines"]) == ("admin-share", [2])
    for name in ("report.txt", "fleet.html"):
        assert "ERROR_NO_LOGON_SERVERS" in (out / name).read_text()


def failed_steps(report: FleetReport) -> list[tuple[str, str, bool]]:
    (host,) = report.hosts
    return [(step.method, step.step, step.fails) for step in host.failed_steps]


def test_a_step_without_a_failure_is_that_of_the_method_that_a_site_server_begins(tmp_path):
    assert failed_steps(of(tmp_path, ccm(PC1=SAME_VERSION))) == [("client-push", "version-check", False)]


def test_a_step_without_a_failure_is_none_of_a_push_that_fails_for_another_reason(tmp_path):
    push_log = write(tmp_path / "logs" / "ccm.log", ccm(**{"10.0.0.20": NO_CODE}))
    drops = [f"08:00:0{n} DROP 10.0.0.5:50000 > 10.0.0.20:445 S RECEIVE" for n in range(3)]
    firewall = firewall_log(*map(row, drops)).decode()
    own_log = write(tmp_path / "logs" / "10.0.0.20" / "pfirewall.log", firewall)
    report = fleet(push_log, own_log, out=tmp_path / "out")
    assert (results(report), failed_steps(report)) == ({"10.0.0.20": "fails"}, [])


def test_a_saved_fleet_with_failed_steps_is_read_back(tmp_path):
    report = of(tmp_path, ccm(PC1=NO_TRUST, PC2=NO_PATH))
    assert load_fleet(tmp_path / "out" / "fleet.json") == report


def test_the_report_on_one_host_has_the_step_of_its_cause(tmp_path):
    of(tmp_path, ccm(PC1=NO_TRUST, PC2=NO_PATH))
    (client,) = host_report(tmp_path / "out", "PC1").clients
    assert next(reason.kind for reason in client.methods[0].reasons) == "step"


def test_the_line_that_decides_is_quoted_although_many_lines_are_before_it(tmp_path):
    many = (CONNECTED, CONNECTED, CONNECTED, CONNECTED, "---> Failed to copy x to \\\\{}\\admin$, error 112")
    report = of(tmp_path, ccm(PC1=many))
    example = only(report).example
    assert example is not None
    assert example.lines == (6,)
    (smb,) = [row for row in report.hosts[0].seen if row.requirement == "client-push/smb"]
    assert [proof.lines for proof in smb.proof] == [(2,), (3,), (6,)]


@pytest.mark.parametrize(("texts", "words"), [(SAME_VERSION, "same version"), (NO_CODE, "no code")])
def test_a_host_without_evidence_has_the_words_of_its_log(tmp_path, texts, words):
    report = of(tmp_path, ccm(PC1=texts))
    text = " ".join((tmp_path / "out" / "report.txt").read_text().split())
    assert words in text
    assert "the sources contain no client push traffic" not in text
    assert report.causes == ()


def test_one_site_server_reports_a_step_and_another_one_another(tmp_path):
    write(tmp_path / "logs" / "a" / "ccm.log", ccm(PC1=NO_TRUST))
    write(tmp_path / "logs" / "b" / "ccm.log", ccm(PC2=NO_TRUST, PC3=NO_PATH))
    report = fleet(tmp_path / "logs", out=tmp_path / "out")
    assert steps(report) == {("admin-share", "1311"): 2, ("admin-share", "53"): 1}


ENDINGS = {"path": NO_PATH, "rpc": NO_RPC, "refused": REFUSED, "trust": NO_TRUST, "skipped": SAME_VERSION}


@settings(max_examples=6, deadline=None)
@given(
    st.lists(st.tuples(st.integers(0, 2), st.integers(1, 5), st.sampled_from(sorted(ENDINGS))), min_size=1), st.data()
)
def test_summaries_merged_in_any_order_give_the_causes_of_the_whole(tmp_path_factory, pushes, data):
    folder = tmp_path_factory.mktemp("fleet")
    logs: dict[int, str] = {}
    for number, (site_server, machine, ending) in enumerate(pushes):
        texts = (text.format(f"PC{machine}") for text in ENDINGS[ending])
        logs[site_server] = logs.get(site_server, "") + push(number, f"PC{machine}", *texts)
    for name, text in logs.items():
        write(folder / "logs" / f"s{name}" / "ccm.log", text)
        batch(folder / "logs" / f"s{name}", out=folder / f"out{name}", workers=0)
    whole = batch(folder / "logs", out=folder / "whole", workers=0).report
    parts = [folder / f"out{name}" for name in data.draw(st.permutations(sorted(logs)))]
    merged = merge(*parts, out=folder / "merged").report
    assert (merged.causes, merged.hosts) == (whole.causes, whole.hosts)


def test_a_request_that_ends_well_is_no_cause(tmp_path):
    texts = (CONNECTED.format("PC1"), "Execute query exec [sp_CP_SetPushRequestMachineStatus] 1, 4")
    report = of(tmp_path, push(1, "PC1", *texts) + line("CCR count in queue is 0."))
    assert report.causes == ()
