"""Requests that a client's log reports, beside an IIS log that covers the time and does or does not have them."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path

import pytest
from setup_logs import SERVICE, log, record

import auditor
from auditor.report.model import RequirementVerdict

HTTP = "client-push/http-management-point"
FIELDS = "date time s-ip cs-method cs-uri-stem s-port c-ip cs(User-Agent) sc-status sc-substatus"
ADDRESS = (
    "Sending message body '<ContentLocationRequest><IPAddresses>"
    '<IPAddress SubnetAddress="10.0.0.0" Address="10.0.0.20"/></IPAddresses></ContentLocationRequest>\''
)
FAILED = (
    "[CCMHTTP] ERROR: URL=http://10.0.0.9/ccm_system/request, Port=80, Options=480, Code=12029, "
    "Text=ERROR_WINHTTP_CANNOT_CONNECT"
)  # at 16:00:00 UTC
PROXY = FAILED.replace("12029", "12152").replace("CANNOT_CONNECT", "INVALID_SERVER_RESPONSE")
MISSING = "no request from 10.0.0.20 between 2023-01-17T15:50:00"

Verdict = Callable[..., RequirementVerdict]


def row(time: str, client: str = "10.0.0.30", path: str = "/ccm_system/request", server: str = "10.0.0.9") -> str:
    return f"2023-01-17 {time} {server} CCM_POST {path} 80 {client} ccmhttp 200 0"


AROUND = (row("15:00:00"), row("17:00:00"))


@pytest.fixture
def verdict(tmp_path: Path) -> Verdict:
    """Return the verdict on HTTP to the management point, by a client's log and IIS logs."""

    def verdict(*logs: Sequence[str], line: str = FAILED, client: str = ADDRESS) -> RequirementVerdict:
        (tmp_path / "ccmsetup.log").write_text(log(*SERVICE, *client.split("\n")) + record(line), newline="")
        for number, rows in enumerate(logs):
            text = "\r\n".join((f"#Fields: {FIELDS}", *rows, ""))
            (tmp_path / f"iis-{number}.log").write_text(text, newline="")
        report = auditor.audit(tmp_path, dissect=False)
        return report.client("10.0.0.20" if client else "ccmsetup.log").requirement(HTTP)

    return verdict


def test_a_request_that_the_iis_log_does_not_have_did_not_reach_it(verdict):
    found = verdict(AROUND)
    assert MISSING in found.explanation
    assert (found.verdict, found.confidence) == ("failed", "likely")
    assert "iis-0.log" in found.explanation


def test_the_verdict_is_that_without_the_iis_log(verdict):
    alone, beside = verdict(), verdict(AROUND)
    assert (alone.verdict, alone.confidence) == (beside.verdict, beside.confidence)
    assert "did not reach" not in alone.explanation


def test_a_response_of_another_computer_did_not_come_from_iis(verdict):
    assert MISSING in verdict(AROUND, line=PROXY).explanation


@pytest.mark.parametrize("time", ["15:51:00", "16:00:01", "16:09:00"])
def test_a_request_of_the_client_within_ten_minutes_may_be_it(verdict, time):
    assert "did not reach" not in verdict((*AROUND, row(time, "10.0.0.20"))).explanation


def test_an_earlier_request_of_the_client_is_another_one(verdict):
    assert MISSING in verdict((*AROUND, row("15:20:00", "10.0.0.20"))).explanation


def test_a_later_request_of_the_client_decides(verdict):
    found = verdict((*AROUND, row("16:40:00", "10.0.0.20")))
    assert (found.verdict, "did not reach" in found.explanation) == ("open", False)


def test_a_log_that_keeps_only_the_first_and_the_last_of_many_requests_shows_no_gap(verdict):
    times = ("15:10:00", "15:20:00", "16:00:00", "16:40:00")
    rows = (row("15:00:00"), *(row(time, "10.0.0.20") for time in times), row("17:00:00"))
    assert "did not reach" not in verdict(rows).explanation


@pytest.mark.parametrize(
    "rows", [AROUND[:1], AROUND[1:], (row("15:55:00"), row("17:00:00"))], ids=["before", "after", "near"]
)
def test_a_log_that_does_not_cover_the_time_shows_nothing(verdict, rows):
    assert "did not reach" not in verdict(rows).explanation


def test_a_log_with_unreadable_lines_shows_nothing(verdict):
    assert "did not reach" not in verdict((AROUND[0], "rubbish", AROUND[1])).explanation


def test_of_two_logs_of_the_server_both_have_to_cover_the_time(verdict):
    assert "did not reach" not in verdict(AROUND, (row("15:00:00"), row("15:30:00"))).explanation


def test_a_log_of_another_server_shows_nothing(verdict):
    other = tuple(text.replace("10.0.0.9 ", "10.0.0.8 ") for text in AROUND)
    assert "did not reach" not in verdict(other).explanation


def test_no_log_shows_that_a_request_to_an_unknown_server_is_missing(verdict):
    line = FAILED.replace("10.0.0.9", "mp.example.com")
    packages = tuple(text.replace("CCM_POST /ccm_system/request", "GET /SMS_DP_SMSPKG$/P") for text in AROUND)
    assert "did not reach" not in verdict(packages, line=line).explanation


def test_a_log_of_the_management_point_shows_nothing_of_a_distribution_point(verdict):
    line = FAILED.replace("10.0.0.9/ccm_system/request", "dp.example.com/SMS_DP_SMSPKG$/P")
    point = f"{ADDRESS}\nUsing DP location http://dp.example.com/SMS_DP_SMSPKG$/P"
    assert "did not reach" not in verdict(AROUND, line=line, client=point).explanation


def test_a_client_of_an_unknown_address_may_have_sent_any_request(verdict):
    assert "did not reach" not in verdict(AROUND, client="").explanation


def test_an_earlier_request_in_the_iis_log_does_not_open_what_failed_later(verdict):
    found = verdict((*AROUND, row("12:00:00", "10.0.0.20")))
    assert found.verdict == "failed"
