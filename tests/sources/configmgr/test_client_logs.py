"""Logs of a client besides ccmsetup.log, known by the components of their records."""

from __future__ import annotations

import io
import os
from pathlib import Path

import pytest
from setup_logs import SERVICE, log, read, record, steps, values

from auditor.sources.configmgr.client_logs import read_client_log
from auditor.sources.configmgr.facts import InstallStep, ReportedSteps
from auditor.sources.configmgr.records import RecordAccount, read_records

FOLDER = Path(os.environ.get("AUDITOR_CONFIGMGR_LOGS") or "no-logs")
OTHERS = [FOLDER / "plaso__sccm_various.log", *FOLDER.glob("*smsts.log")]


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


REQUEST = (
    "[CCMHTTP] ERROR: URL=http://mp.example.com/x, Port=8080, Options=63, Code=12152, "
    "Text=ERROR_WINHTTP_INVALID_SERVER_RESPONSE"
)


@pytest.mark.parametrize(
    ("code", "thread", "port"), [("2f78", 7, 8080), ("80072f78", 7, 8080), ("2ee2", 7, None), ("2f78", 8, None)]
)
def test_a_line_with_the_code_of_the_request_before_it_on_its_thread_is_of_that_request(code, thread, port):
    line = record(f"Failed in WinHttpReceiveResponse API, ErrorCode = 0x{code}", "CcmMessaging", thread=thread)
    last = steps(record(REQUEST, "CcmMessaging", thread=7), line, component="CcmMessaging")[-1]
    assert (last.port, last.target) == (port, "http://mp.example.com/x" if port else "")


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
