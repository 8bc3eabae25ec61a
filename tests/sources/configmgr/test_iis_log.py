"""Logs of IIS: their own columns, times, the requests of Configuration Manager's clients, and all lines counted."""

from __future__ import annotations

import io
import os
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from iis_rows import FIELDS, HEADER, POST, row

from auditor.sources.configmgr import iis_log, text_pieces
from auditor.sources.configmgr.iis_log import IisLog, looks_like_iis_log, read_iis_log

FOLDER = Path(os.environ.get("AUDITOR_CONFIGMGR_LOGS") or "no-logs")
LOGS = sorted(FOLDER.glob("*iis*.log"))

NOON = 1673971200_000000000  # 2023-01-17 16:00:00 UTC


def read(*rows: str, header: str = HEADER) -> IisLog:
    return read_iis_log(io.BytesIO((header + "".join(rows)).encode()))


def add_up(log: IisLog) -> bool:
    return log.lines == log.rows + log.comments + log.blank + log.malformed


def test_a_row_has_its_fields():
    (request,) = read(row()).served
    assert (request.line, request.time_ns, request.client, request.server, request.port) == (
        5,
        NOON,
        "192.0.2.7",
        "192.0.2.1",
        80,
    )
    assert (request.method, request.path, request.user_agent) == ("CCM_POST", POST, "ccmhttp")
    assert (request.status, request.substatus, request.win32_status, request.rows) == (401, 2, 5, 1)


@pytest.mark.parametrize(
    ("changes", "is_ours"),
    [
        ({"method": "CCM_POST", "path": "/other", "agent": "-"}, True),
        ({"method": "GET", "path": "/SMS_MP/.sms_aut", "agent": "-"}, True),
        ({"method": "PROPFIND", "path": "/CCM_Client", "agent": "ccmsetup"}, True),
        ({"method": "GET", "path": "/sms_dp_smspkg$/p/a+b.exe", "agent": "Microsoft+BITS/7.8"}, True),
        ({"method": "GET", "path": "/other", "agent": "SMS+CCM+5.0"}, True),
        ({"method": "GET", "path": "/other", "agent": "ccmsetup"}, True),
        ({"method": "GET", "path": "/owa/ccm_system", "agent": "Mozilla/5.0+(ccmhttp)"}, False),
        ({"method": "GET", "path": "/", "agent": "-"}, False),
    ],
)
def test_only_rows_that_a_client_may_have_sent_are_kept(changes, is_ours):
    log = read(row(**changes))
    assert (log.rows, log.ours, len(log.served)) == (1, int(is_ours), int(is_ours))


def test_columns_are_those_of_the_last_header():
    log = read(
        row(),
        "#Fields: time c-ip cs-method cs-uri-stem sc-status\r\n",
        "17:00:00 192.0.2.8 CCM_POST /ccm_system/request 200\r\n",
    )
    second = log.served[1]
    assert (second.client, second.status, second.substatus, second.port, second.server) == (
        "192.0.2.8",
        200,
        None,
        None,
        "",
    )
    assert second.time_ns == NOON + 3600 * 10**9
    assert log.fields == ("time", "c-ip", "cs-method", "cs-uri-stem", "sc-status")


SHORT = "#Date: 2023-01-16 23:59:00\n#Fields: time c-ip cs-method cs-uri-stem sc-status\n"


def test_a_log_without_dates_goes_on_past_midnight():
    late, early = "23:59:59 ::1 CCM_POST /ccm_system/a 200\n", "00:00:01 ::1 CCM_POST /sms_mp/b 200\n"
    first, second = read(late, early, header=SHORT).served
    assert second.time_ns - first.time_ns == 2 * 10**9


def test_rows_out_of_order_are_of_the_same_day():
    late, early = "12:00:01 ::1 CCM_POST /ccm_system/a 200\n", "12:00:00 ::1 CCM_POST /sms_mp/b 200\n"
    first, second = read(late, early, header=SHORT).served
    assert first.time_ns - second.time_ns == 10**9


def test_a_date_that_is_none_is_forgotten():
    row = "12:00:00 ::1 CCM_POST /ccm_system/a 200\n"
    first, second = read(row, "#Date: yesterday\n", row, header=SHORT).served
    assert (first.time_ns is None, second.time_ns) == (False, None)


def test_a_later_date_begins_anew():
    row = "12:00:00 ::1 CCM_POST /ccm_system/a 200\n"
    first, second = read(row, "#Date: 2023-01-20 00:00:00\n", row.replace("12:", "00:"), header=SHORT).served
    assert second.time_ns - first.time_ns == 84 * 3600 * 10**9


def test_a_log_without_any_date_has_no_times():
    log = read("23:59:59 ::1 CCM_POST /a 200\n", header=SHORT.partition("\n")[2])
    assert (log.served[0].time_ns, log.first_ns) == (None, None)


def test_times_can_have_a_fraction():
    assert read(row(time="2023-01-17 16:00:00.25")).served[0].time_ns == NOON + 250_000_000


@pytest.mark.parametrize("address", ["::1", "fe80::1%4", "2001:db8::7"])
def test_an_address_of_ipv6_is_kept(address):
    assert read(row(client=address)).served[0].client == address


def test_a_dash_stands_for_nothing():
    (request,) = read(row(client="-", agent="-", status="200 - -", port="-")).served
    assert (request.client, request.user_agent, request.substatus, request.win32_status, request.port) == (
        "",
        "",
        None,
        None,
        None,
    )


def test_blanks_are_no_field():
    assert read(row().replace(" 80 ", " 80  ")).served[0].client == "192.0.2.7"


@pytest.mark.parametrize(
    "bad",
    [
        row(time="2023-13-45 16:00:00"),
        row(time="2023-01-17 25:00:00"),
        row(time="20230117 16:00:00"),
        row(status="- 0 0"),
        row(status="99999999999999999999 0 0"),
        row().replace(" 1357", ""),
        "something\r\n",
        row(path="/" + "a" * 100_000),
    ],
)
def test_a_line_that_is_no_row_is_counted_and_shown(bad):
    log = read(row(), bad)
    assert (log.rows, log.malformed, log.lines, log.sample[0]) == (1, 1, 6, 6)
    assert log.sample[1] == bad.strip()[:200]


def test_a_row_in_front_of_the_first_header_has_no_columns():
    log = read(row(), header="")
    assert (log.rows, log.malformed) == (0, 1)


def test_of_many_rows_of_one_kind_the_first_and_the_last_are_kept():
    first, last, other = read(*[row()] * 1000, row(status="200 0 0")).served
    assert (first.line, first.rows, last.line, last.rows) == (5, 1, 1004, 999)
    assert (other.status, other.rows) == (200, 1)


def test_substatus_and_path_make_another_kind():
    rows = [row(status="401 1 5"), row(), row(), row(path="/sms_mp/.sms_aut", method="CCM_POST"), row(), row()]
    assert [(request.line, request.substatus, request.rows) for request in read(*rows).served] == [
        (5, 1, 1),
        (6, 2, 1),
        (8, 2, 1),
        (10, 2, 3),
    ]


def test_rows_of_more_kinds_than_are_kept_are_counted(monkeypatch):
    monkeypatch.setattr(iis_log, "MOST_KINDS", 10)
    log = read(*(row(client=f"10.0.{number}.1") for number in range(50)))
    assert (log.ours, log.uncounted, sum(request.rows for request in log.served)) == (50, 40, 10)


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16", "utf-16-le", "utf-16-be"])
def test_a_log_that_was_saved_again_is_read(encoding):
    text = (HEADER + row(path="/ccm_system/\u00e9")).encode(encoding)
    log = read_iis_log(io.BytesIO(text))
    assert (log.served[0].path, log.lines) == ("/ccm_system/\u00e9", 5)
    assert looks_like_iis_log(text)


def test_a_path_in_the_code_page_of_an_old_version_is_read():
    assert (
        read_iis_log(io.BytesIO((HEADER + row(path="/ccm_system/\u00e9")).encode("cp1252")))
        .served[0]
        .path.endswith("\u00e9")
    )


def test_the_log_of_windows_firewall_is_another_one():
    assert not looks_like_iis_log(b"#Version: 1.5\r\n#Fields: date time action protocol src-ip\r\n")
    assert not looks_like_iis_log(b"\xff\xfe#")
    assert not looks_like_iis_log(b"")


def test_a_file_is_read_in_pieces(monkeypatch):
    monkeypatch.setattr(text_pieces, "PIECE", 7)
    log = read(row(), row(path="/" + "a" * 100_000), row())
    assert (log.rows, log.malformed, sum(request.rows for request in log.served)) == (2, 1, 2)


class Pipe(io.BytesIO):
    """A file that returns one byte at a time."""

    def read(self, _: int | None = -1) -> bytes:
        """Return one byte."""
        return super().read(1)


@pytest.mark.parametrize("encoding", ["utf-8-sig", "utf-16", "utf-16-le"])
def test_a_pipe_returns_less_than_it_is_asked_for(encoding):
    text = (HEADER + row()).encode(encoding)
    assert read_iis_log(Pipe(text)) == read_iis_log(io.BytesIO(text))


def test_more_paths_than_are_remembered_are_read(monkeypatch):
    monkeypatch.setattr(iis_log, "MOST_PATHS", 3)
    log = read(*(row(path=f"/sms_mp/{number}", method="GET", agent="-") for number in range(10)))
    assert log.ours == 10


def test_a_file_without_line_ends_is_one_malformed_line():
    log = read_iis_log(io.BytesIO(b"a" * 5_000_000))
    assert (log.lines, log.malformed) == (1, 1)


LINES = st.lists(
    st.one_of(
        st.sampled_from(
            [row().strip(), row(method="GET", path="/").strip(), FIELDS, "#Date: 2023-01-17", "", "\0\0", "x y"]
        ),
        st.text(max_size=40).map(lambda text: text.replace("\n", " ")),
        st.sampled_from(FIELDS.split()).map(lambda name: f"#Fields: {name} sc-status"),
    ),
    max_size=30,
)


@given(LINES, st.sampled_from(["\r\n", "\n"]), st.sampled_from(["utf-8", "utf-16"]))
def test_every_line_is_accounted_for(lines, end, encoding):
    text = "".join(line + end for line in lines)
    log = read_iis_log(io.BytesIO(text.encode(encoding, "replace")))
    assert add_up(log)
    assert log.lines == len(lines)
    assert sum(request.rows for request in log.served) + log.uncounted == log.ours <= log.rows


@given(st.binary(max_size=2000))
def test_any_bytes_can_be_read(noise):
    assert add_up(read_iis_log(io.BytesIO(HEADER.encode() + noise)))


@pytest.mark.skipif(not LOGS, reason="AUDITOR_CONFIGMGR_LOGS does not name a folder of logs")
@pytest.mark.parametrize("path", [pytest.param(path, id=path.stem) for path in LOGS])
def test_a_real_log_is_read_whole(path):
    text = path.read_bytes()
    log = read_iis_log(io.BytesIO(text))
    lines = text.splitlines()
    assert looks_like_iis_log(text)
    assert (log.lines, log.comments, log.malformed) == (len(lines), sum(line.startswith(b"#") for line in lines), 0)
    assert add_up(log)
    assert log.rows > 0
    assert log.first_ns is not None
