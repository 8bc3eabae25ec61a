"""Reports on ConfigMgr's own logs in every form: text, pages, tables, charts, saved, redacted, compared."""

from __future__ import annotations

import json
import xml.etree.ElementTree as ET
from collections.abc import Iterator
from pathlib import Path

import pytest
from click.testing import CliRunner, Result
from hypothesis import given, settings
from hypothesis import strategies as st
from jsonschema import Draft202012Validator
from push_logs import BAD_PATH, begun, failing, record, skipped
from setup_logs import PUSH, SERVICE, log

import auditor
from auditor.cli.commands import cli
from auditor.render.formats import FORMS, render
from auditor.report.as_json import schema
from auditor.report.model import Remedy

pytestmark = pytest.mark.slow

GUID = "6B29FC40-CA47-1067-B31D-00DD010662DA"
SECRETS = ("QUIETPC", "hush", "sneaky", "XZQ", GUID, "stillmp", "mutefsp", "10.77.66.55")
COMMAND = f"{PUSH} SMSSITECODE=XZQ FSP=mutefsp.hush.example /mp:https://stillmp.hush.example"
NO_CERTIFICATE = (
    f"[CCMHTTP] ERROR: URL=https://stillmp.hush.example/ccm_system/{{{GUID}}}, Port=0, Options=63, Code=0, "
    "Text=CCM_E_NO_CLIENT_PKI_CERT"
)
ADDRESS = (
    "Sending message body '<ContentLocationRequest><IPAddresses>"
    '<IPAddress SubnetAddress="10.77.66.0" Address="10.77.66.55"/></IPAddresses></ContentLocationRequest>\''
)
SECRET_PUSH = failing("QUIETPC", BAD_PATH, account=r"HUSH\sneaky") + record(
    "---> ERROR: something of QUIETPC.hush.example in site XZQ went wrong", 3
)
DENIED = "".join(
    (
        begun("QUIETPC", account=r"HUSH\sneaky"),
        record(r"---> Connected to administrative share on machine QUIETPC using account 'HUSH\sneaky'", 1),
        record(r"---> Deleting SMS Client Install Lock File '\\QUIETPC\admin$\SMSClientInstall.XZQ'", 2),
        record("Execute query exec [sp_CP_SetLastErrorCode] 1, 5", 2),
        record('<======End request: "1", machine name: "QUIETPC".', 2),
    )
)
SETUP = log(
    *SERVICE[:2],
    COMMAND,
    ADDRESS,
    NO_CERTIFICATE,
    rf"Failed to get certificate for HUSH\sneaky {{{GUID}}}. Error 0x80092004",
    "CcmSetup failed with error code 0x87d00454",
)
LOGS = {
    "skipped": skipped("QUIETPC", account=r"HUSH\sneaky"),
    "push": SECRET_PUSH,
    "denied": DENIED,
    "setup": SETUP,
    "hidden": SECRET_PUSH + DENIED,
}


def written(folder: Path, **logs: str) -> list[Path]:
    paths = [folder / f"{name}.log" for name in logs]
    for path, text in zip(paths, logs.values(), strict=True):
        path.write_text(text, newline="", encoding="utf-8")
    return paths


def command(*words: object) -> Result:
    return CliRunner().invoke(cli, [*map(str, words)], standalone_mode=False)


@pytest.fixture(scope="module")
def report(tmp_path_factory) -> auditor.Report:
    """The report of a client without a certificate: a step is the reason, and no port."""
    return auditor.audit(*written(tmp_path_factory.mktemp("logs"), ccmsetup=SETUP))


@pytest.fixture(scope="module", params=LOGS)
def each(request, tmp_path_factory) -> auditor.Report:
    return auditor.audit(*written(tmp_path_factory.mktemp("logs"), **{request.param: LOGS[request.param]}))


# redaction


@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize("names", [["push"], ["denied"], ["setup"], ["push", "setup"], ["denied", "setup"]])
def test_nothing_that_a_log_names_is_left_in_any_form(tmp_path, names, form):
    whole = auditor.audit(*written(tmp_path, **{f"{name}-hush": LOGS[name] for name in names}))
    assert leaks(render(whole, form))
    assert leaks(render(auditor.redact(whole), form)) == []


def leaks(text: str) -> list[str]:
    return [secret for secret in SECRETS if secret.casefold() in text.casefold()]


def test_nothing_that_a_log_names_is_left_in_what_is_not_saved(each):
    assert leaks(repr(each.clients))
    assert leaks(repr(auditor.redact(each).clients)) == []


@pytest.mark.parametrize("code", [5, 53, 67, 1326])
@pytest.mark.parametrize("account", [r"HUSH\sneaky person", "sneaky@hush.example", "sneaky"])
def test_no_account_is_left_in_a_page(tmp_path, account, code):
    whole = auditor.audit(*written(tmp_path, ccm=failing("QUIETPC", code, account=account)))
    shown = render(auditor.redact(whole), "html") + render(auditor.redact(whole), "json")
    assert not leaks(shown)
    assert "person" not in shown.replace("personal", "")


@pytest.mark.parametrize("name", ["QUIETPC 01", "<b>quietpc(1)</b>", "$(QUIETPC)"])
def test_no_name_with_spaces_or_signs_is_left_in_a_text(tmp_path, name):
    failed = f'---> ERROR: Unable to access target machine for request: "1", machine name: "{name}",  access denied'
    log_of_push = begun(name) + record(failed, 1) + record("Execute query exec [sp_CP_SetLastErrorCode] 1, 53", 2)
    whole = auditor.audit(*written(tmp_path, ccm=log_of_push))
    assert leaks(render(whole, "json"))
    assert not leaks(render(auditor.redact(whole), "json"))


def test_an_unknown_site_server_stays_unknown(tmp_path):
    (push,) = auditor.redact(auditor.audit(*written(tmp_path, ccm=SECRET_PUSH))).pushes
    assert push.from_address == ""


def test_redacting_again_changes_nothing(each):
    once = auditor.redact(each)
    assert auditor.redact(once) == once


# forms


def test_the_reason_is_in_the_first_lines_of_a_text(report):
    first = report.to_text().partition("Requirement ")[0]
    assert "FAILS" in first
    assert "find a client certificate" in first
    assert "ccmsetup.log" in first


def test_the_reason_and_its_line_are_on_the_first_screen_of_a_page(report):
    page = report.to_html()
    first = page[page.index("<body") : page.index("Other methods")]
    assert "find a client certificate" in first
    assert "ccmsetup.log" in first


def test_the_reason_is_in_a_notebook_view(report):
    assert "find a client certificate" in report._repr_html_()


def test_a_step_that_is_the_reason_fails_a_suite_of_junit(report):
    root = ET.fromstring(render(report, "junit"))
    assert [
        case.get("name")
        for case in root.iter("testcase")
        if case.find("failure") is not None or case.find("error") is not None
    ]


def test_a_step_that_is_the_reason_is_a_result_of_sarif(report):
    (run,) = json.loads(render(report, "sarif"))["runs"]
    assert [result for result in run["results"] if "find a client certificate" in result["message"]["text"]]


@pytest.fixture(scope="module")
def skipping(tmp_path_factory) -> auditor.Report:
    """The report of a push that the site server skipped: the reason of no failure."""
    return auditor.audit(*written(tmp_path_factory.mktemp("logs"), ccm=skipped()), methods=["client-push"])


@pytest.mark.parametrize("form", ["text", "markdown", "html"])
def test_why_a_push_was_skipped_is_shown_with_what_to_do(skipping, form):
    shown = " ".join(render(skipping, form).split())
    assert "skipped the push" in shown
    assert "Always install the client software" in shown


def test_a_skipped_push_is_skipped_in_junit_and_a_note_in_sarif(skipping):
    cases = ET.fromstring(render(skipping, "junit")).iter("testcase")
    (case,) = (case for case in cases if case.get("name") == "client-push/step")
    assert [outcome.tag for outcome in case] == ["skipped"]
    (run,) = json.loads(render(skipping, "sarif"))["runs"]
    assert {result["level"] for result in run["results"] if result["ruleId"] == "client-push/step"} == {"note"}


def test_the_report_is_valid_by_its_schema(each):
    Draft202012Validator(schema()).validate(each.to_dict())


def test_a_saved_report_is_the_same(each, tmp_path):
    path = tmp_path / "report.json"
    path.write_text(each.to_json(), encoding="utf-8")
    assert auditor.load_report(path).to_json() == each.to_json()
    assert auditor.load_report(path).to_text() == each.to_text()


# in Python


def test_charts_and_tables_have_a_client_that_is_known_by_its_name(tmp_path):
    named = auditor.audit(*written(tmp_path, ccm=SECRET_PUSH))
    assert set(named.frame()["client"]) == {"quietpc"}
    assert list(named.evidence_frame()["line"]) == [3]
    assert named.timeline(client="quietpc") is not None
    assert "WNetAddConnection2 failed" in named.ladder("client-push/smb").to_json()


def test_a_saved_report_draws_the_lines_of_logs(tmp_path):
    named = auditor.audit(*written(tmp_path, ccm=SECRET_PUSH))
    saved = auditor.Report.from_dict(json.loads(named.to_json()))
    assert saved.ladder("client-push/smb").to_json() == named.ladder("client-push/smb").to_json()


# commands


def test_flows_of_a_log_are_none_and_that_is_stated_in_one_line(tmp_path):
    (path,) = written(tmp_path, ccm=SECRET_PUSH)
    result = command("flows", path, "--format", "csv")
    assert "contains steps, not flows" in result.output


def test_evidence_of_a_log_alone_is_an_error_of_one_line(tmp_path):
    (path,) = written(tmp_path, ccm=SECRET_PUSH)
    result = command("evidence", path, "-o", tmp_path / "evidence.pcapng")
    assert result.exception is not None
    assert "lines of a log cannot be written as packets" in str(result.exception)


def test_a_comparison_tells_that_a_push_fails_no_longer(tmp_path):
    before, after = (auditor.audit(*written(tmp_path, ccm=text)) for text in (SECRET_PUSH, begun("QUIETPC")))
    difference = auditor.compare(before, after)
    assert "quietpc" in str(difference)
    assert "fails" in str(difference)


# hostile text

NAMES = [
    "PC\x07\x1b[31m",
    "<script>alert(1)</script>",
    "$(calc)",
    "x; Remove-Item C:",
    "`a`",
    "-Recurse",
    "*",
    " ",
    "a" * 300,
]


@pytest.mark.parametrize("name", NAMES)
def test_no_command_has_a_name_that_is_no_host_name(tmp_path, name):
    hostile = auditor.audit(*written(tmp_path, ccm=failing(name)))
    commands = [fix.command for fix in _remedies(hostile) if fix.command]
    assert commands
    assert all(name.strip() not in text or not name.strip() for text in commands)
    text, page = hostile.to_text(), hostile.to_html()
    assert not {"\x07", "\x1b"} & set(text + page)
    assert "<script>alert" not in page


def _remedies(report: auditor.Report) -> Iterator[Remedy]:
    for client in report.clients:
        for method in client.methods:
            for requirement in method.requirements:
                yield from requirement.remedy


def test_half_of_a_surrogate_pair_in_a_name_can_be_written_in_every_form(tmp_path):
    path = tmp_path / "ccm.log"
    path.write_bytes(b"\xff\xfe" + failing("PC\ud800X").encode("utf-16-le", "surrogatepass"))
    broken = auditor.audit(path)
    for form in FORMS:
        for shown in (broken, auditor.redact(broken)):
            assert render(shown, form).encode()


@settings(max_examples=30)
@given(st.text(max_size=30).filter(lambda name: not set('"\r\n') & set(name)))
def test_any_name_gives_a_report(tmp_path_factory, name):
    path = tmp_path_factory.mktemp("logs") / "ccm.log"
    path.write_bytes(failing(name).encode("utf-8", "surrogatepass"))
    report = auditor.audit(path)
    assert all(client.address for client in report.clients)
    assert auditor.redact(report).to_text()
