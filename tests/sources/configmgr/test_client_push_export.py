"""Exports of the view v_CP_Machine: columns by name, any delimiter, encoding and locale, every row accounted for."""

from __future__ import annotations

import codecs
import io
import tracemalloc
from datetime import UTC, datetime

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from auditor.sources.configmgr import client_push_export, text_pieces
from auditor.sources.configmgr.client_push_export import ExportAccount, looks_like_export, read_export
from auditor.sources.configmgr.facts import MachineStatus, RequestStatus

pytestmark = pytest.mark.slow

HEADER = (
    "MachineID,Name,PushSiteCode,InitialRequestDate,LatestProcessingAttempt,LastErrorCode,NumProcessAttempts,Status"
)
ROW = "16777217,PC1,ABC,2026-09-18 08:00:00.000,2026-09-25 14:13:55.000,-2147023174,93,2"
AT = int(datetime(2026, 9, 25, 14, 13, 55, tzinfo=UTC).timestamp()) * 10**9


def read(content: str | bytes) -> tuple[list[MachineStatus], ExportAccount]:
    account = ExportAccount()
    raw = content.encode() if isinstance(content, str) else content
    return read_export(io.BytesIO(raw), account), account


def last_of(*dates: str) -> tuple[list[str | None], ExportAccount]:
    rows, account = read("Name;LatestProcessingAttempt\n" + "".join(f"PC;{day}\n" for day in dates))
    times = [row.last_ns if row.last_ns is None else row.last_ns // 10**9 for row in rows]
    return [
        None if time is None else f"{datetime.fromtimestamp(time, UTC):%Y-%m-%d %H:%M:%S}" for time in times
    ], account


def test_a_row_of_the_view_is_the_status_of_a_computer():
    rows, account = read(f"{HEADER}\r\n{ROW}\r\n")
    assert rows == [MachineStatus(2, "PC1", AT, 93, RequestStatus.RETRY, 0x800706BA)]
    assert (account.lines, account.rows, account.malformed, account.unreadable_values) == (2, 1, 0, 0)


def test_columns_are_known_by_name_in_any_order_and_by_the_names_of_queries():
    header = '"Number of Attempts","Last Installation Error Code","Name","CP_Status","CP_LatestProcessingAttempt"'
    assert read(f'{header}\n"93","0x800706BA","PC1","Retry","2026-09-25T14:13:55"\n')[0] == [
        MachineStatus(2, "PC1", AT, 93, RequestStatus.RETRY, 0x800706BA)
    ]


@pytest.mark.parametrize("delimiter", client_push_export.DELIMITERS)
def test_any_delimiter_is_recognized_by_the_header(delimiter):
    assert read(f"{HEADER}\n{ROW}\n".replace(",", delimiter))[0][0].error_code == 0x800706BA


@pytest.mark.parametrize(
    "encode",
    [
        lambda text: codecs.BOM_UTF16_LE + text.encode("utf-16-le"),
        lambda text: codecs.BOM_UTF8 + text.encode(),
        lambda text: text.encode("cp1252"),
        lambda text: text.replace("\n", "\r\n").encode("utf-16-le"),
    ],
)
def test_any_encoding_is_read(encode):
    content = encode('"Name","LastErrorCode"\n"BÜRO1","53"\n')
    assert looks_like_export(content)
    assert read(content)[0] == [MachineStatus(2, "BÜRO1", None, None, None, 53)]


@pytest.mark.parametrize("front", ["#TYPE System.Data.DataRow\r\n", "sep=,\r\n", "\r\n\r\n"])
def test_lines_that_programs_write_in_front_of_the_header_are_no_rows(front):
    content = f"{front}{HEADER}\r\n{ROW}\r\n"
    assert looks_like_export(content.encode())
    assert (len(read(content)[0]), read(content)[1].malformed) == (1, 0)


def test_rules_and_empty_lines_are_no_rows_and_what_else_is_none_is_counted():
    rows, account = read("Name,LastErrorCode\n----,-------------\nPC1,53\n\n(1 rows affected)\n,5\nPC2\nPC3,5,5\n")
    assert [row.machine for row in rows] == ["PC1"]
    assert (account.malformed, account.sample) == (4, (5, "(1 rows affected)"))


def test_an_empty_value_is_none_and_no_fault():
    rows, account = read("Name,LastErrorCode,NumProcessAttempts,LatestProcessingAttempt,Status\nPC1,NULL,,null,\n")
    assert rows == [MachineStatus(2, "PC1", None, None, None, None)]
    assert account.unreadable_values == 0


def test_a_code_of_zero_is_none():
    assert read("Name,LastErrorCode\nPC1,0\n")[0][0].error_code is None


def test_unreadable_values_are_counted_and_cost_only_themselves():
    rows, account = read("Name,LastErrorCode,NumProcessAttempts,LatestProcessingAttempt,Status\nPC1,many,-,soon,9\n")
    assert rows == [MachineStatus(2, "PC1", None, None, None, None)]
    assert account.unreadable_values == 4


@pytest.mark.parametrize("number", range(6))
def test_the_status_is_a_number_or_a_word(number):
    status = list(RequestStatus)[number]
    rows, _ = read(f"Name,LastErrorCode,Status\nPC1,5,{number}\nPC2,5,{status.value.title()}\n")
    assert [row.status for row in rows] == [status, status]


def test_a_field_in_quotation_marks_can_have_delimiters_and_lines():
    rows, account = read('Name,Description,LastErrorCode\nPC1,"a, b\n""c""\nd",53\nPC2,e,5\n')
    assert [(row.line, row.machine, row.error_code) for row in rows] == [(2, "PC1", 53), (5, "PC2", 5)]
    assert (account.lines, account.malformed) == (5, 0)


def test_a_quotation_mark_without_its_other_half_costs_one_row():
    rows, account = read('Name,LastErrorCode\n"PC1,53\n' + "".join(f"PC{number},5\n" for number in range(2, 100)))
    assert len(rows) == 98
    assert (account.malformed, account.sample) == (1, (2, '"PC1,53'))


# ---- dates


@pytest.mark.parametrize(
    "text",
    [
        "2026-09-25 14:13:55",
        "2026-09-25T14:13:55Z",
        "2026-09-25T16:13:55+02:00",
        "9/25/2026 2:13:55 PM",
        "25/09/2026 14:13:55",
        "25.09.2026 14:13:55",
        "25-09-2026 14:13:55",
        "2026/09/25 14:13:55",
    ],
)
def test_a_date_of_any_locale_is_read_as_utc(text):
    assert last_of(text)[0] == ["2026-09-25 14:13:55"]


def test_a_date_that_the_database_made_a_text_is_read():
    assert last_of("Sep 25 2026  2:13PM", "Sep  5 2026 12:13AM")[0] == ["2026-09-25 14:13:00", "2026-09-05 00:13:00"]


def test_one_day_beyond_the_twelfth_decides_for_the_whole_file():
    assert last_of("03/04/2026 10:00", "13/04/2026 10:00")[0] == ["2026-04-03 10:00:00", "2026-04-13 10:00:00"]
    assert last_of("03/04/2026 10:00", "04/13/2026 10:00")[0] == ["2026-03-04 10:00:00", "2026-04-13 10:00:00"]


@pytest.mark.parametrize("others", [[], ["13/04/2026 10:00", "04/13/2026 10:00"]])
def test_a_date_that_nothing_decides_on_is_left_out_and_counted(others):
    times, account = last_of("03/04/2026 10:00", *others)
    assert times[0] is None
    assert account.ambiguous_dates == 1


def test_the_date_of_the_first_request_decides_too():
    rows, _ = read("Name,InitialRequestDate,LatestProcessingAttempt\nPC1,25/09/2026 10:00,03/10/2026 10:00\n")
    assert rows[0].last_ns == int(datetime(2026, 10, 3, 10, tzinfo=UTC).timestamp()) * 10**9


@pytest.mark.parametrize(
    "text", ["2026-02-30 10:00:00", "31.02.2026", "25:00", "0000-00-00 00:00", "9999-12-31 10:00:00"]
)
def test_a_date_that_does_not_exist_is_left_out_and_counted(text):
    times, account = last_of(text)
    assert (times, account.unreadable_values) == ([None], 1)


# ---- recognition and bounds


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"Name,Status\r\nPC1,1\r\n",
        b"LastErrorCode\r\n53\r\n",
        b"a line about the name of a LastErrorCode\r\n",
        b"\0" * 1000,
        bytes(range(256)) * 16,
        b"---> NetUseAdd succeeded!~  $$<SMS_CLIENT_CONFIG_MANAGER><09-25-2026 15:13:55.968-60><thread=1 (0x1)>\r\n",
    ],
)
def test_another_file_is_none(content):
    assert not looks_like_export(content)
    assert read(content)[0] == []


@settings(max_examples=300, deadline=None)
@given(st.lists(st.one_of(st.text(',;"\n\r\tabc015-/: ', max_size=30), st.just(ROW), st.just("")), max_size=30))
def test_every_line_below_the_header_is_of_a_row_or_malformed_or_empty(lines):
    rows, account = read("\n".join([HEADER, *lines]))
    assert account.rows == len(rows)
    assert all(1 < row.line <= account.lines for row in rows)
    assert [row.line for row in rows] == sorted({row.line for row in rows})
    assert account.rows + account.malformed <= account.lines
    if not any(set(line) & {'"', "\n", "\r"} for line in lines):
        assert account.rows + account.malformed == sum(bool(line.strip("-,\t ")) for line in lines)


@pytest.mark.parametrize(
    "content", [b'"', b'"aaaaaaaa\n', b",", b"xxxxxxxxxx\n", b",,,,,,\n", b'PC1,"53\n', b"PC1,53\n"]
)
def test_hostile_rows_take_bounded_memory(content, monkeypatch):
    monkeypatch.setattr(client_push_export, "MOST_ROWS", 1000)
    monkeypatch.setattr(client_push_export, "MOST_BYTES", 200_000)
    monkeypatch.setattr(text_pieces, "PIECE", 65536)
    tracemalloc.start()
    rows, account = read(b"Name,LastErrorCode\n" + content * (1_000_000 // len(content)))
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert len(rows) <= 1000
    assert account.too_large
    assert peak < 10_000_000


def test_a_quotation_mark_in_every_line_is_looked_at_a_bounded_number_of_times(monkeypatch):
    looked_at = 0

    def counting(self: client_push_export._ExportLines) -> tuple[int, str] | None:
        nonlocal looked_at
        looked_at += 1
        return original(self)

    original = client_push_export._ExportLines.next
    monkeypatch.setattr(client_push_export._ExportLines, "next", counting)
    _, account = read('Name,LastErrorCode\n"PC\n' + 'a,""b\n' * 2000)
    assert account.lines == 2002
    assert looked_at < 2002 * (client_push_export.MOST_ROW_LINES + 2)
