"""Reported cases, analyzed from their log alone: the failed step, its code, and the cause or what would show it."""

from __future__ import annotations

from pathlib import Path
from typing import NamedTuple

import pytest
from test_field_cases_of_setup import CASES

import auditor
from auditor.report import model as r

CCM = "SMS_CLIENT_CONFIG_MANAGER"
BEGIN = '======>Begin Processing request: "2097152001", machine name: "CLIENT01"'
END = '<======End request: "2097152001", machine name: "CLIENT01".'
ATTEMPT = r"---> Attempting to connect to administrative share '\\CLIENT01\admin$' using account 'D\push'"
CONNECTED = r"---> Connected to administrative share on machine CLIENT01 using account 'D\push'"
GIVE_UP = '---> ERROR: Unable to access target machine for request: "2097152001", machine name: "CLIENT01", '
NEW_CREDENTIALS = r"WNetAddConnection2 failed (LOGON32_LOGON_NEW_CREDENTIALS) using account D\push"
STORED = "Execute query exec [sp_CP_SetLastErrorCode] 2097152001, "

PUSHES = {
    "C01": (
        ATTEMPT,
        CONNECTED,
        '---> Unable to connect to remote machine "CLIENT01" using Kerberos with machine account, error - 0x80070005.',
        '--> NTLM fallback is not enabled, remote machine "CLIENT01" is not continuing with client push.',
        f"{STORED}-2147024891",
    ),
    "C03": (ATTEMPT, r"---> Failed to connect to \\CLIENT01\admin$ using account D\push (1396)", f"{STORED}1396"),
    "C05": (ATTEMPT, f"{GIVE_UP}access denied or invalid network path.", f"{STORED}53"),
    "C31": (
        ATTEMPT,
        f"{NEW_CREDENTIALS} (000004b3)",
        'ERROR: Unable to connect to remote registry for machine name "CLIENT01", error 53.',
        f"{GIVE_UP}error code: 53",
    ),
    "C33": (
        ATTEMPT,
        f"{NEW_CREDENTIALS} (0000052e)",
        'ERROR: Unable to connect to remote registry for machine name "CLIENT01", error 5.',
        f"{GIVE_UP}error code: 5",
    ),
    "C43": ("---> Travel mode is turned ON & the client is NOT currently assigned to this site. Discarding CCR",),
}
LOGS = {name: case.text for name, case in CASES.items()} | {
    name: "".join(
        f"{line}~  $$<{CCM}><09-09-2022 14:07:{second:02}.968-480><thread=14036 (0x36D4)>\r\n"
        for second, line in enumerate((BEGIN, *lines, END))
    )
    for name, lines in PUSHES.items()
}


def analyzed(folder: Path, name: str) -> r.Report:
    path = folder / ("ccm.log" if name in PUSHES else "ccmsetup.log")
    path.write_text(LOGS[name], newline="")
    return auditor.audit(path)


class Expected(NamedTuple):
    """What the report on a case has to contain.

    Attributes:
        code: Of the step that failed, empty where its line has none.
        names: Words of the cause, or of the input that shows it; empty where the report has neither.
    """

    code: str
    names: str = ""


EXPECTED = {
    "C01": Expected("0x80070005", "fallback to NTLM is off"),
    "C03": Expected("1396", "an old DNS record has the address of another computer"),
    "C05": Expected("53", "TCP 445 is blocked"),
    "C07": Expected("CCM_E_NO_CLIENT_PKI_CERT", "which mode the management point publishes in Active Directory"),
    "C09": Expected("0x80092004", "the Enroll right on the certificate template"),
    "C13": Expected("CCM_E_NO_CLIENT_PKI_CERT", "no certificate that HTTPS to this site requires"),
    "C15": Expected("0x2f78", "the name leads to an old site system"),
    "C17, ccmsetup.log": Expected("0x80200024", "a firewall, proxy, or VPN gateway changes requests"),
    "C17, DataTransferService.log": Expected("0x80200024", "a firewall, proxy, or VPN gateway changes requests"),
    "C19": Expected("500", "the IIS log of the site system"),
    "C21": Expected("403", "often a missing client certificate (403.7)"),
    "C23": Expected("12175", "the root certificate is missing on the client"),
    "C25": Expected("CERT_CN_INVALID", "the certificate of the server has another name"),
    "C27": Expected("12175", "the revocation list cannot be reached"),
    "C31": Expected("53", "TCP 445 is blocked"),
    "C33": Expected("5", "the account is no local administrator"),
    "C35": Expected("5", "a workgroup client has no network access account"),
    "C37": Expected("", "BITS is missing, disabled, or too old"),
    "C47": Expected("0x801901F4", "Windows Firewall on it blocks WMI from the site server"),
    "C49": Expected("1603", "client.msi.log of the client"),
    "C51": Expected("0x87d0027e", "the IIS log of the site system"),
}
ON_THE_NETWORK = {"C05", "C31"}


def reasons(report: r.Report) -> list[r.Reason]:
    return [
        reason
        for client in report.clients
        for method in client.methods
        for reason in method.reasons
        if reason.kind in ("step", "problem")
    ]


def verdicts(report: r.Report) -> list[r.RequirementVerdict]:
    return [verdict for client in report.clients for method in client.methods for verdict in method.requirements]


def texts(report: r.Report) -> str:
    """Return the reasons of the results, and what to do and to collect."""
    fixes = [fix for found in (*reasons(report), *verdicts(report)) for fix in found.remedy]
    return "\n".join([*(reason.text for reason in reasons(report)), *(fix.action for fix in fixes)])


@pytest.mark.parametrize("name", EXPECTED)
def test_the_failed_step_and_its_code_are_a_reason_of_the_result(tmp_path, name):
    code = EXPECTED[name].code
    failed = f" failed with code {code} (line " if code else " failed (line "
    assert any(failed in reason.text for reason in reasons(analyzed(tmp_path, name)))


def test_a_push_that_travel_mode_stopped_is_skipped_for_that_reason(tmp_path):
    report = analyzed(tmp_path, "C43")
    assert [step.kind for push in report.pushes for step in push.steps] == ["assignment-check"]
    assert {method.result for client in report.clients for method in client.methods} == {"unproven"}
    assert "travel mode is on" in texts(report)


@pytest.mark.parametrize("name", LOGS)
def test_only_a_cause_on_the_network_fails_a_port(tmp_path, name):
    failed = {verdict.id for verdict in verdicts(analyzed(tmp_path, name)) if verdict.verdict in (r.BLOCKED, r.FAILED)}
    assert failed == ({"client-push/smb"} if name in ON_THE_NETWORK else set())


@pytest.mark.parametrize("name", [name for name, expected in EXPECTED.items() if expected.names])
def test_the_report_names_the_cause_or_the_source_that_shows_it(tmp_path, name):
    assert EXPECTED[name].names in texts(analyzed(tmp_path, name))


def test_every_case_has_its_expectation():
    assert set(LOGS) - set(EXPECTED) == {"C43"}
