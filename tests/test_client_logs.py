"""Logs of a client besides ccmsetup.log, known by the components of their records, and the log of client.msi."""

from __future__ import annotations

import io
import os
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from setup_logs import SERVICE, log, read, record, step, steps, values

from auditor.sources.configmgr.client_logs import looks_like_msi_log, read_client_log, read_msi_log
from auditor.sources.configmgr.facts import InstallStep, ReportedSteps, StepOutcome
from auditor.sources.configmgr.records import RecordAccount, read_records

FOLDER = Path(os.environ.get("AUDITOR_CONFIGMGR_LOGS") or "no-logs")
OTHERS = [FOLDER / "plaso__sccm_various.log", *FOLDER.glob("*smsts.log")]
FAILED = StepOutcome.FAILED

# A component, a message and what it reports.
MESSAGES = r"""
CcmMessaging
Post to http://mp.example.com/ccm_system/request failed with 0x87d00231.
    -> http-request failed code=0x87d00231 target=http://mp.example.com/ccm_system/request
CcmMessaging
Failed in WinHttpReceiveResponse API, ErrorCode = 0x2f78
    -> http-request failed code=0x2f78
CcmMessaging
Failed in WinHttpSendRequest API, ErrorCode = 0x2f8f
    -> tls failed code=0x2f8f
LocationServices
Failed to refresh Site Signing Certificate over HTTP with error 0x87d0027e.
    -> http-request failed code=0x87d0027e
LocationServices
LSUpdateInternetManagementPoints: Failed to retrieve internet MPs from MP mp.example.com with error 0x87d00231
    -> http-request failed code=0x87d00231
LocationServices
Failed to send management point list Location Request Message to mp.example.com
    -> location-request failed target=mp.example.com
LocationServices
Calling back with empty distribution points list
    -> location-request failed
ClientIDManagerStartup
[RegTask] - Client is not registered. Sending registration request for GUID:1 ...
    -> registration neutral
ClientIDManagerStartup
[RegTask] - Client is registered. Server assigned ClientID is GUID:1. Approval status 3
    -> registration succeeded
ClientIDManagerStartup
[RegTask] - Server rejected registration 3
    -> registration failed code=3
ClientIDManagerStartup
RegTask: Failed to send registration request message. Error: 0x87d00231
    -> registration failed code=0x87d00231
ClientIDManagerStartup
RegTask: Failed to get certificate. Error: 0x80004005
    -> certificate failed code=0x80004005
ClientIDManagerStartup
Failed to find the certificate in the store, retry 1.
    -> certificate failed
DataTransferService
Failed to send request to /SMS_DP_SMSPKG$/P1 at host dp.example.com, error 0x2efd
    -> http-request failed code=0x2efd target=dp.example.com
DataTransferService
Error sending DAV request. HTTP code 600, status ''
    -> http-request failed
DataTransferService
Error sending DAV request. HTTP code 403, status 'Forbidden'
    -> http-request failed status=403
DataTransferService
GetDirectoryList_HTTP mapping original error 0x80072efd to 0x800704cf.
    -> http-request failed code=0x80072efd
DataTransferService
GetDirectoryList_HTTP('http://dp.example.com:80/SMS_DP_SMSPKG$/P1') failed with code 0x800704cf.
    -> download failed code=0x800704cf target=http://dp.example.com:80/SMS_DP_SMSPKG$/P1
DataTransferService
Error retrieving manifest (0x800704cf).  Will attempt retry 140 in 3600 seconds.
    -> download failed code=0x800704cf
DataTransferService
DTSJob {B45955B6} created to download from 'http://mp.example.com:80/SMS_MP' to 'C:\Windows\CCM\Temp'.
    -> bits neutral target=http://mp.example.com:80/SMS_MP
DataTransferService
DTSJob {B45955B6} successfully completed download.
    -> bits succeeded
DataTransferService
DTSJob {B45955B6} BITS job {1} failed to download source file http://dp/x with error 0x801901F4
    -> bits failed code=0x801901f4 status=500
"""


def messages():
    lines = iter(MESSAGES.strip().splitlines())
    for component, text, reported in zip(lines, lines, lines, strict=True):
        _, kind, outcome, *named = reported.split()
        yield pytest.param(
            component, text, kind, outcome, dict(name.split("=", 1) for name in named), id=f"{component} {text[:40]}"
        )


@pytest.mark.parametrize(("component", "text", "kind", "outcome", "named"), list(messages()))
def test_a_message_reports_its_step(component, text, kind, outcome, named):
    found = step(text, component=component)
    shown = {"code": found.code, "status": found.status, "port": found.port, "target": found.target or None}
    expected = {name: value if name == "target" else int(value, 0) for name, value in named.items()}
    assert (found.step, found.outcome) == (kind, outcome)
    assert {name: value for name, value in shown.items() if value is not None} == expected


def test_records_outside_of_an_installation_belong_to_none():
    reported = read(log("Calling back with empty distribution points list", component="LocationServices"))
    assert (reported.installations, len(reported.steps)) == ((), 1)


def test_components_are_told_by_their_name_whatever_its_case():
    assert steps("Calling back with empty distribution points list", component="LOCATIONSERVICES")


def test_facts_outside_of_an_installation_are_kept():
    text = '<ContentLocationRequest><IPAddresses><IPAddress SubnetAddress="10.0.0.0" Address="10.0.0.5"/></IPAddresses>'
    assert values(read(log(text, component="LocationServices")).facts) == {"computer-address": ["10.0.0.5"]}


@pytest.mark.parametrize("component", ["AppEnforce", "TSManager", "SMS_CLIENT_CONFIG_MANAGER", ""])
def test_records_of_another_product_report_nothing(component):
    lines = log("Post to http://x/ccm_system/request failed with 0x87d00231.", *SERVICE, component=component)
    assert read(lines + record("Something went wrong", component, 3)) == ReportedSteps()


def test_a_clipboard_of_cmtrace_is_read():
    text = (
        "[CCMHTTP] ERROR: URL=https://cmg.example.com/x, Port=443, Options=31, Code=12175, "
        "Text=ERROR_WINHTTP_SECURE_FAILURE\tccmsetup\t19/02/2019 13:49:35\t8548 (0x2164)\n"
    )
    (found,) = read(text).installations[0].steps
    assert (found.step, found.code, found.port) == (InstallStep.TLS, 12175, 443)


# client.msi.log

MSI_LOG = r"""=== Verbose logging started: 1/17/2023  11:05:42 ===
MSI (c) (F8:4C) [11:05:42:123]: Resetting cached policy values
Action start 11:05:50: CcmRegisterWinTask.
CustomAction CcmRegisterWinTask returned actual error code 1603 (note this may not be 100% accurate)
Action ended 11:05:55: CcmRegisterWinTask. Return value 3.
Action ended 11:05:56: CcmValidate. Return value 1.
Action ended 11:05:57: INSTALL. Return value 3.
MSI (s) (C8:4C) [11:05:58:001]: MainEngineThread is returning 1603
MSI (c) (F8:4C) [11:05:58:123]: Windows Installer installed the product. Installation success or error status: 1603.
=== Verbose logging stopped: 1/17/2023  11:05:58 ===
"""


def test_failures_of_the_package_are_steps():
    found = read_msi_log(MSI_LOG.splitlines())
    assert [(step.line, step.step, step.outcome, step.code, step.target) for step in found] == [
        (4, InstallStep.MSI, FAILED, 1603, "CcmRegisterWinTask"),
        (5, InstallStep.MSI, FAILED, 3, "CcmRegisterWinTask"),
        (7, InstallStep.MSI, FAILED, 3, "INSTALL"),
        (8, InstallStep.MSI, FAILED, 1603, ""),
        (9, InstallStep.MSI, FAILED, 1603, ""),
    ]


@pytest.mark.parametrize("status", [0, 1641, 3010])
def test_a_package_that_was_installed_is_a_success(status):
    (found,) = read_msi_log(
        [f"Windows Installer installed the product. Installation success or error status: {status}."]
    )
    assert (found.outcome, found.code) == (StepOutcome.SUCCEEDED, status)


def test_the_log_of_the_package_is_known_by_its_words():
    assert looks_like_msi_log(MSI_LOG)
    assert looks_like_msi_log("MSI (s) (C8:4C) [11:05:58:001]: x")
    assert not looks_like_msi_log(log(*SERVICE))


@pytest.mark.parametrize(
    "line", ["Return value " * 500_000, "CustomAction x " * 500_000, "Return value 99999999999999."]
)
def test_a_hostile_line_of_the_package_reports_nothing(line):
    assert read_msi_log([line]) == ()


@given(st.lists(st.text(max_size=80)))
def test_any_lines_can_be_read(lines):
    assert read_msi_log(lines) == () or any("eturn" in line or "status: " in line for line in lines)


# real logs


@pytest.mark.skipif(not FOLDER.is_dir(), reason="AUDITOR_CONFIGMGR_LOGS does not name a folder of logs")
@pytest.mark.parametrize("path", [pytest.param(path, id=path.stem) for path in OTHERS])
def test_a_real_log_of_another_product_is_read_whole_and_reports_nothing(path):
    account = RecordAccount()
    assert read_client_log(read_records(io.BytesIO(path.read_bytes()), account)) == ReportedSteps()
    assert account.records > 0
    assert account.lines == account.record_lines + account.malformed_lines + account.blank
