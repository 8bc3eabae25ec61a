"""Records of Configuration Manager's logs: three forms, any encoding, and every line accounted for."""

from __future__ import annotations

import codecs
import io
import os
import re
import tracemalloc
from datetime import UTC, datetime
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from auditor.sources.configmgr import records, text_pieces
from auditor.sources.configmgr.facts import LogRecord
from auditor.sources.configmgr.records import LogForm, MalformedRecord, RecordAccount, looks_like_log, read_records

pytestmark = pytest.mark.slow

FOLDER = Path(os.environ.get("AUDITOR_CONFIGMGR_LOGS") or "no-logs")
LOGS = sorted(path for path in FOLDER.glob("*.log") if "iis" not in path.name)
CLIENT = (
    '<![LOG[{}]LOG]!><time="11:05:42.081+300" date="01-17-2023" component="ccmsetup" context="" type="3" '
    'thread="7812" file="siteinfo.cpp:614">'
)
SERVER = "{}~  $$<SMS_CLIENT_CONFIG_MANAGER><09-25-2026 15:13:55.968-60><thread=18612 (0x48B4)>"
CLIPBOARD = "{}\tSMS_CLIENT_CONFIG_MANAGER\t09/09/2022 14:07:21\t14036 (0x36D4)"
BARE = "{}~  $$  "
FORMS = (CLIENT, SERVER, CLIPBOARD, BARE)


def read(content: str | bytes) -> tuple[list[LogRecord], RecordAccount]:
    account = RecordAccount()
    raw = content.encode() if isinstance(content, str) else content
    return list(read_records(io.BytesIO(raw), account)), account


def only(content: str | bytes) -> LogRecord:
    (record,), account = read(content)
    assert not account.malformed
    return record


def utc(record: LogRecord) -> str:
    assert record.time_ns is not None
    return datetime.fromtimestamp(record.time_ns / 1e9, UTC).strftime("%Y-%m-%d %H:%M:%S.%f")[:-3]


def is_accounted_for(account: RecordAccount) -> bool:
    return account.lines == account.record_lines + account.malformed_lines + account.blank


# ---- the three forms


def test_a_record_of_a_client_has_all_its_fields():
    record = only(CLIENT.format("GetDPLocations failed with error 0x87d00454") + "\r\n")
    assert record == LogRecord(
        1, 1, record.time_ns, True, "ccmsetup", 7812, 3, "GetDPLocations failed with error 0x87d00454"
    )
    assert utc(record) == "2023-01-17 16:05:42.081"  # the offset is added: 300 minutes west of Greenwich


def test_a_record_of_a_client_has_any_number_of_lines():
    record = only(CLIENT.format("<SiteInfoReply>\n\n  <Site/>\n</SiteInfoReply>"))
    assert (record.line, record.last_line) == (1, 4)
    assert record.text == "<SiteInfoReply>\n\n  <Site/>\n</SiteInfoReply>"


@pytest.mark.parametrize("text", ["a ]LOG]!> b", "]LOG]!>", "[CCMHTTP] ERROR", "ends with ]LOG]!", "a <![LOG[ b", "$$"])
def test_the_text_of_a_client_can_look_like_its_frame(text):
    assert only(CLIENT.format(text)).text == text


@pytest.mark.parametrize(
    ("clock", "time", "is_utc"),
    [
        ("19:33:19.766-330", "2014-11-28 14:03:19.766", True),
        ("22:41:10.000+00", "2014-11-28 22:41:10.000", True),
        ("22:41:10.123+000", "2014-11-28 22:41:10.123", True),
        ("10:22:50.8422964", "2014-11-28 10:22:50.842", False),
        ("10:22:50", "2014-11-28 10:22:50.000", False),
        ("10:22:50+480", "2014-11-28 18:22:50.000", True),
    ],
)
def test_the_time_of_a_client_has_any_fraction_and_perhaps_an_offset(clock, time, is_utc):
    record = only(
        f'<![LOG[x]LOG]!><time="{clock}" date="11-28-2014" component="c" context="" type="0" thread="1" file="">'
    )
    assert (utc(record), record.utc) == (time, is_utc)


@pytest.mark.parametrize(
    "attributes", ['component="x" type="" thread="" file=""', 'component="x" thread="z" type="9"', 'component="x"']
)
def test_attributes_of_other_products_can_be_empty_or_missing(attributes):
    record = only(f'<![LOG[x]LOG]!><time="10:00:00.000-60" date="1-2-2026" {attributes}>')
    assert (record.component, record.thread, record.severity) == ("x", 0, None)


@pytest.mark.parametrize("when", ["25:00:00.000", "10:99:00", "10:00:00.000+9999", "later", ""])
def test_an_unreadable_time_costs_only_the_time(when):
    (record,), account = read(f'<![LOG[x]LOG]!><time="{when}" date="1-2-2026" component="c">')
    assert record.time_ns is None
    assert account.undated == 1


@pytest.mark.parametrize("day", ["02-30-2026", "13-01-2026", "01-17-1601", "01-17-9999", "0"])
def test_an_unreadable_date_costs_only_the_time(day):
    assert only(f'<![LOG[x]LOG]!><time="10:00:00.000" date="{day}" component="c">').time_ns is None


def test_a_record_of_a_site_server_has_all_its_fields():
    record = only(SERVER.format("---> NetUseAdd succeeded!") + "\r\n")
    assert record == LogRecord(
        1, 1, record.time_ns, True, "SMS_CLIENT_CONFIG_MANAGER", 18612, None, "---> NetUseAdd succeeded!"
    )
    assert utc(record) == "2026-09-25 14:13:55.968"


def test_the_signs_of_line_ends_around_the_text_of_a_site_server_go_and_those_in_names_stay():
    assert only(SERVER.format("~Copying C:\\PROGRA~1\\x~")).text == "Copying C:\\PROGRA~1\\x"


def test_a_site_server_of_2007_names_its_time_zone_and_has_local_time():
    record = only(
        "Done.  $$<SMS_INBOX_MANAGER><Fri Mar 26 10:43:41.547 1999 Eastern Standard Time><thread=281 (0x119)>"
    )
    assert (utc(record), record.utc, record.thread) == ("1999-03-26 10:43:41.547", False, 281)


def test_lines_in_front_of_the_end_of_a_site_servers_record_are_its_text():
    found, account = read(
        "*** [08S01] Communication link failure\n: sp_CP_GetNext\n  $$<X><09-25-2026 15:13:55.968-60><thread=1 (0x1)>\n"
    )
    assert [(record.line, record.last_line) for record in found] == [(1, 3)]
    assert found[0].text == "*** [08S01] Communication link failure\n: sp_CP_GetNext"
    assert is_accounted_for(account)


def test_a_truncated_record_is_not_joined_with_the_next_request():
    found, account = read("---> Attempting to conn\n" + SERVER.format('======>Begin Processing request: "1"'))
    assert [record.line for record in found] == [2]
    assert account.samples == {MalformedRecord.NO_RECORD: (1, "---> Attempting to conn")}


@pytest.mark.parametrize(
    ("line", "time"),
    [
        ("text\tSMS_X\t09/09/2022 14:07:21\t14036 (0x36D4)", "2022-09-09 14:07:21.000"),
        ("text\tSMS_X\t9/20/99 5:24:02 PM\t14036 (0x36D4)", "1999-09-20 17:24:02.000"),
        ("text\tSMS_X\t13.01.2023 11:05:42\t14036 (0x36D4)", "2023-01-13 11:05:42.000"),
        ("text\tSMS_X\t2022-09-08 12:00:00 AM\t14036 (0x36D4)", "2022-09-08 00:00:00.000"),
        ("text SMS_X 9/20/99 5:24:02 PM 14036 (0x36D4)", "1999-09-20 17:24:02.000"),
        ("'text'SMS_X 14036 (0x36D4)6/26/2006 7:06:34 AM", "2006-06-26 07:06:34.000"),
        ("14036 (0x36D4)\t6/26/2006 7:06:34 AM\ttext", "2006-06-26 07:06:34.000"),
        ("6/26/2006 7:06:34 AM\t14036 (0x36D4)\ttext", "2006-06-26 07:06:34.000"),
    ],
)
def test_the_clipboard_has_columns_in_any_order_and_dates_of_any_locale(line, time):
    record = only(line)
    assert (utc(record), record.utc, record.thread, record.text.strip("'")) == (time, False, 14036, "text")


def test_one_day_beyond_the_twelfth_decides_on_the_dates_of_a_clipboard():
    days = ["03/04/2022", "13/04/2022", "05/04/2022"]
    found, _ = read("\n".join(f"text\tSMS_X\t{day} 14:07:21\t1 (0x1)" for day in days))
    assert [utc(record)[:10] for record in found] == ["2022-04-03", "2022-04-13", "2022-04-05"]
    found, _ = read("\n".join(f"text\tSMS_X\t{day} 14:07:21\t1 (0x1)" for day in ["03/04/2022", "03/14/2022"]))
    assert [utc(record)[:10] for record in found] == ["2022-03-04", "2022-03-14"]


def test_a_date_of_a_clipboard_that_can_be_read_in_two_ways_is_left_out_and_counted():
    (record,), account = read("text\tSMS_X\t03/04/2022 14:07:21\t1 (0x1)")
    assert record.time_ns is None
    assert (account.undated, account.ambiguous_dates) == (1, 1)


def test_records_without_an_offset_from_utc_are_counted():
    _, account = read("\n".join(form.format("text") for form in FORMS))
    assert (account.records, account.local, account.undated) == (4, 1, 1)


def test_a_page_can_have_lost_all_but_the_text():
    found, account = read("\n".join(map(BARE.format, ["---> NetUseAdd succeeded!", "Submitted request successfully"])))
    assert [record.text for record in found] == ["---> NetUseAdd succeeded!", "Submitted request successfully"]
    assert (account.undated, account.forms[LogForm.BARE]) == (2, 2)


def test_a_file_mixes_forms_line_by_line():
    found, account = read("\n".join(form.format(f"text {number}") for number, form in enumerate(FORMS)))
    assert [(record.line, record.text) for record in found] == [(n + 1, f"text {n}") for n in range(4)]
    assert account.forms == {LogForm.CLIENT: 1, LogForm.SITE_SERVER: 1, LogForm.CLIPBOARD: 1, LogForm.BARE: 1}


# ---- what is not whole


def test_the_first_and_the_last_record_can_be_truncated():
    text = CLIENT.format("a record that is whole")
    found, account = read(f"{text[20:]}\n{text}\n{text[:60]}")
    assert [(record.line, record.text) for record in found] == [(2, "a record that is whole")]
    assert account.malformed == {MalformedRecord.NO_BEGIN: 1, MalformedRecord.NO_END: 1}
    assert [line for line, _ in account.samples.values()] == [1, 3]
    assert is_accounted_for(account)


@pytest.mark.parametrize("form", FORMS[:3])
def test_a_record_that_never_ends_is_ended_by_the_next_of_any_form(form):
    found, account = read("<![LOG[never\nended\n" + "\n".join(form.format(f"text {n}") for n in range(3)))
    assert [(record.line, record.text) for record in found] == [(3, "text 0"), (4, "text 1"), (5, "text 2")]
    assert (account.malformed, account.malformed_lines) == ({MalformedRecord.NO_END: 1}, 2)


def test_a_file_that_lost_its_line_ends_still_has_its_records():
    found, account = read("".join(CLIENT.format(f"text {number}") for number in range(5)))
    assert [(record.line, record.text) for record in found] == [(1, f"text {number}") for number in range(5)]
    assert (account.lines, account.record_lines) == (1, 1)


def test_each_line_of_another_text_is_malformed_and_the_first_is_kept():
    found, account = read("#Software: Microsoft\n#Fields: date time\n\n2026-01-01 10:00:00\n")
    assert not found
    assert account.malformed == {MalformedRecord.NO_RECORD: 3}
    assert account.samples == {MalformedRecord.NO_RECORD: (1, "#Software: Microsoft")}
    assert (account.lines, account.blank) == (4, 1)


def test_an_empty_file_has_no_line():
    assert read("") == ([], RecordAccount(encoding="utf-8"))


# ---- bytes


@pytest.mark.parametrize(
    "encode",
    [
        lambda text: text.encode(),
        lambda text: codecs.BOM_UTF8 + text.encode(),
        lambda text: codecs.BOM_UTF16_LE + text.encode("utf-16-le"),
        lambda text: codecs.BOM_UTF16_BE + text.encode("utf-16-be"),
        lambda text: text.encode("utf-16-le"),
        lambda text: text.encode("utf-16-be"),
        lambda text: text.encode("cp1252"),
        lambda text: text.encode() + bytes(4096),
        lambda text: bytes(4096) + text.encode(),
        lambda text: codecs.BOM_UTF8 + text.encode() + b"\n" + codecs.BOM_UTF8,
    ],
)
@pytest.mark.parametrize("newline", ["\n", "\r\n", "\r"])
def test_the_same_records_come_from_every_encoding_and_line_end(encode, newline):
    text = newline.join(form.format("Zugriff für Jörg verweigert") for form in FORMS) + newline
    found, account = read(encode(text))
    assert [(record.line, record.text) for record in found] == [
        (n + 1, "Zugriff für Jörg verweigert") for n in range(4)
    ]
    assert is_accounted_for(account)


@pytest.mark.parametrize("newline", [b"\n", b"\r\n", b"\r"])
def test_a_line_of_an_older_component_does_not_harm_the_utf8_of_the_others(newline):
    lines = [SERVER.format("Größe").encode(), SERVER.format("Größe").encode("cp1252")]
    assert [record.text for record in read(newline.join(lines))[0]] == ["Größe", "Größe"]


@pytest.mark.parametrize("path", LOGS, ids=lambda path: path.name)
def test_the_lines_and_records_of_real_logs_add_up(path):
    content = path.read_bytes()
    found, account = read(content)
    assert is_accounted_for(account)
    assert len(found) == account.records == content.count(b"]LOG]!><time=")
    assert not account.malformed
    assert account.undated == 0
    assert looks_like_log(content)


# ---- properties

RUBBISH = st.sampled_from(
    [
        "",
        "   ",
        "rubbish",
        "<![LOG[",
        "]LOG]!>",
        "$$<",
        "  $$",
        "~",
        "\0\0",
        "\ufeff",
        "a\tb\t1 (0x1)",
        "\0<![LOG[x",
        "é",
        '">',
    ]
)
TEXTS = st.text("ab <>[]$~\t\"'é\u0444(0x1)!LOG", max_size=12)
PIECES = st.one_of(
    RUBBISH,
    TEXTS,
    st.builds(str.format, st.sampled_from(FORMS), TEXTS),
    st.builds(lambda text, size: CLIENT.format(text)[:size], TEXTS, st.integers(0, 150)),
    st.builds(lambda first, second: CLIENT.format(f"{first}\n{second}"), TEXTS, TEXTS),
)
NEWLINES = st.sampled_from(["\n", "\r\n", "\r", ""])


def lines_of(text: str) -> int:
    text = re.sub("[\0\ufeff]", "", text).replace("\r\n", "\n").replace("\r", "\n")
    return text.count("\n") + (not text.endswith("\n") and text != "")


class Dripping(io.BytesIO):
    """A pipe: it returns less than it is asked for."""

    def __init__(self, content: bytes, size: int) -> None:
        super().__init__(content)
        self.size = size

    def read(self, size: int | None = -1, /) -> bytes:
        """Return less than that."""
        return super().read(min(size or 0, self.size))


@settings(max_examples=400, deadline=None)
@given(st.lists(st.tuples(PIECES, NEWLINES), max_size=30))
def test_every_line_of_any_file_belongs_to_one_record_or_something_malformed_or_is_blank(pieces):
    text = "".join(piece + newline for piece, newline in pieces)
    found, account = read("x" + text)  # whatever it is, it is no UTF-16
    assert account.lines == lines_of("x" + text)
    assert is_accounted_for(account)
    assert account.records == len(found) == account.forms.total()
    ends = [0, *(record.last_line for record in found)]
    assert all(
        end <= record.line <= record.last_line <= account.lines for end, record in zip(ends, found, strict=False)
    )
    assert set(account.samples) == set(account.malformed)


@settings(max_examples=200, deadline=None)
@given(st.lists(st.tuples(PIECES, NEWLINES), max_size=20), st.integers(1, 40))
def test_the_sizes_of_what_is_read_at_once_change_nothing(pieces, size):
    content = "".join(piece + newline for piece, newline in pieces).encode()
    account = RecordAccount()
    found = list(read_records(Dripping(content, size), account))
    assert (found, account) == read(content)


@settings(max_examples=100, deadline=None)
@given(
    st.lists(
        st.tuples(st.sampled_from(FORMS), st.from_regex(r"[a-zäф][a-z0-9äф .:=]{0,20}[a-z]", fullmatch=True)),
        min_size=1,
    ),
    st.sampled_from(["\n", "\r\n", "\r"]),
    st.sampled_from(["utf-8", "utf-8-sig", "utf-16"]),
)
def test_all_records_of_any_mixture_of_forms_are_read(entries, newline, encoding):
    text = newline.join(form.format(text) for form, text in entries)
    found, account = read(text.encode(encoding))
    assert [record.text for record in found] == [text for _, text in entries]
    assert not account.malformed


# ---- bounds


def test_a_record_of_ten_megabytes_is_kept_up_to_a_limit_and_counted():
    found, account = read(CLIENT.format("x" * 10_000_000) + "\n" + CLIENT.format("next"))
    assert [(record.line, record.last_line) for record in found] == [(1, 1), (2, 2)]
    assert len(found[0].text) <= records.MOST_TEXT + records.KEPT_END
    assert (account.cut, found[1].text) == (1, "next")
    assert len(found[0].text) + account.dropped == 10_000_000


def test_a_record_of_many_lines_is_kept_up_to_a_limit_and_its_lines_count():
    found, account = read(CLIENT.format("x" * 99 + "\n" + ("y" * 99 + "\n") * 100_000) + "\n" + CLIENT.format("next"))
    assert [(record.line, record.last_line) for record in found] == [(1, 100_002), (100_003, 100_003)]
    assert len(found[0].text) <= records.MOST_TEXT
    assert (account.cut, account.record_lines) == (1, 100_003)


class Repeated:
    """A file of any size that takes no memory."""

    def __init__(self, content: bytes, size: int) -> None:
        self.piece, self.left = content * (65536 // len(content) + 1), size

    def read(self, size: int, /) -> bytes:
        """Return the next piece."""
        piece = self.piece[: min(self.left, size)]
        self.left -= len(piece)
        return piece


HOSTILE = {
    "unended": b"<![LOG[x\n",
    "unended on one line": b"<![LOG[x",
    "ends": b']LOG]!><time="',
    "ends with lines": b']LOG]!><time="1" date="2"\n',
    "server begins": b"$$<",
    "server begins with lines": b"x$$<$$<a><b><thread=\n",
    "threads": b"1 (0x1)",
    "threads with lines": b"a b 1/1/1 1:11:11 (0x1)\n",
    "one line": b"x",
    "blank lines": b"\n",
    "spaces": b" ",
    "zeros": b"\0",
    "no UTF-8": b"\xe9\xe9\xe9\xe9\xe9\n",
    "whole records on one line": CLIENT.format("x").encode() + b" ",
}


@pytest.mark.parametrize("content", HOSTILE.values(), ids=HOSTILE)
def test_hostile_text_takes_bounded_memory_and_is_looked_at_a_bounded_number_of_times(content, monkeypatch):
    looked_at = 0

    class Counting:
        def __init__(self, pattern: re.Pattern[str]) -> None:
            self.pattern = pattern

        def search(self, text: str, at: int = 0) -> re.Match[str] | None:
            return self.count(self.pattern.search(text, at), text, at)

        def match(self, text: str, at: int = 0) -> re.Match[str] | None:
            return self.count(self.pattern.match(text, at), text, at)

        def count(self, match: re.Match[str] | None, text: str, at: int) -> re.Match[str] | None:
            nonlocal looked_at
            looked_at += (match.end() if match else len(text)) - at
            return match

    for name in ("_CLIENT_END", "_SERVER_END", "_NOT_BLANK", "_BARE_END"):
        monkeypatch.setattr(records, name, Counting(getattr(records, name)))
    monkeypatch.setattr(text_pieces, "PIECE", 16384)
    monkeypatch.setattr(records, "MOST_TEXT", 16384)
    monkeypatch.setattr(records, "LONGEST_LINE", 32768)
    size, account = 150_000, RecordAccount()
    tracemalloc.start()
    for _ in read_records(Repeated(content, size), account):
        pass
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert is_accounted_for(account)
    assert looked_at <= 8 * size
    assert peak < 6_000_000


def test_memory_does_not_grow_with_the_log(monkeypatch):
    monkeypatch.setattr(text_pieces, "PIECE", 65536)

    def peak(size: int) -> int:
        tracemalloc.start()
        for _ in read_records(
            Repeated(SERVER.format("---> NetUseAdd succeeded!").encode() + b"\r\n", size), RecordAccount()
        ):
            pass
        result = tracemalloc.get_traced_memory()[1]
        tracemalloc.stop()
        return result

    assert peak(1_200_000) < 1.2 * peak(600_000)


# ---- recognition


@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16", "utf-16-be"])
def test_a_log_is_recognized_by_one_record_of_any_form(form, encoding):
    assert looks_like_log(("half a line\r\n" + form.format("---> NetUseAdd succeeded!") + "\r\n").encode(encoding))


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"#Version: 1.5\r\n#Software: Microsoft Windows Firewall\r\n",
        rb"In LaTeX, a formula stands between $$ and $$" + b"\n$$ x = y $$\n",
        b"\0" * 100,
        b"\n" * 65536,
        b" " * 65536,
        b"-" * 65536,
        b"---> " * 10_000,
        b"1 (0x1) " * 8000,
        b"$$<a>" * 10_000,
        bytes(range(256)) * 16,
        b"Name,LastErrorCode\r\nPC1,53\r\n",
        b"\x1f\x8b\x08\0",
        b"faulting address (0x1)\n",
    ],
)
def test_other_files_are_not_taken_for_such_a_log(content):
    assert not looks_like_log(content)
