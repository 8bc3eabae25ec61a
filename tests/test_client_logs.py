"""Logs of a client besides ccmsetup.log, known by the components of their records."""

from __future__ import annotations

import io
import os
from pathlib import Path

import pytest
from setup_logs import SERVICE, log, read, record, step, steps, values

from auditor.sources.configmgr.client_logs import read_client_log
from auditor.sources.configmgr.facts import InstallStep, ReportedSteps
from auditor.sources.configmgr.records import RecordAccount, read_records

FOLDER = Path(os.environ.get("AUDITOR_CONFIGMGR_LOGS") or "no-logs")
OTHERS = [FOLDER / "plaso__sccm_various.log", *FOLDER.glob("*smsts.log")]

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


# real logs


@pytest.mark.skipif(not FOLDER.is_dir(), reason="AUDITOR_CONFIGMGR_LOGS does not name a folder of logs")
@pytest.mark.parametrize("path", [pytest.param(path, id=path.stem) for path in OTHERS])
def test_a_real_log_of_another_product_is_read_whole_and_reports_nothing(path):
    account = RecordAccount()
    assert read_client_log(read_records(io.BytesIO(path.read_bytes()), account)) == ReportedSteps()
    assert account.records > 0
    assert account.lines == account.record_lines + account.malformed_lines + account.blank
