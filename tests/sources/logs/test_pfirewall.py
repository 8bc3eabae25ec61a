"""Windows Firewall logs: every shape that Windows and its administrators make of them, and no line lost."""

from __future__ import annotations

import dataclasses
import gzip
import io
import json
from collections import Counter
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from logs import FIELDS, HEADER, HEADER_PID, log, plain
from packets import tcp

from auditor.errors import ArgumentError, SourceError
from auditor.render.tables.log_flows import write as write_table
from auditor.ruleset.statements import say
from auditor.sources.all_flows import AllFlows
from auditor.sources.flows.columns import TABLE
from auditor.sources.flows.from_logs import firewall_flows as log_flows
from auditor.sources.flows.from_logs.firewall_flows import LOG_COLUMNS
from auditor.sources.logs import firewall_log as pfirewall
from auditor.sources.logs.addresses import LogAddresses
from auditor.sources.logs.batching import Steps, read_together
from auditor.sources.read import read as read_path
from auditor.sources.read import reading
from auditor.sources.read_all import read_all
from auditor.sources.source import Source

pytestmark = pytest.mark.slow

SYN = "2024-06-05 10:00:{:02} DROP TCP 10.0.0.5 10.0.0.20 50000 445 52 S 2738703890 0 8192 - - - RECEIVE"
PUSH = [SYN.format(second) for second in (0, 3, 9)]
WEB = "2024-06-05 10:00:{:02} ALLOW TCP 10.0.0.20 10.0.0.7 {} 443 0 - 0 0 0 - - - SEND"
PING = "2024-06-05 10:00:01 DROP ICMP 10.0.0.5 10.0.0.20 - - 60 - - - - 8 0 - RECEIVE"
PING6 = "2024-06-05 10:00:01 ALLOW ICMP fe80::5 fe80::20 - - 0 - - - - 128 0 - SEND"
MDNS = "2024-06-05 10:00:00 DROP UDP 10.0.0.9 224.0.0.251 5353 5353 73 - - - - - - - RECEIVE"
IGMP = "2024-06-05 10:00:00 ALLOW 2 10.0.0.20 224.0.0.22 - - 0 - - - - - - - SEND"
LOST = "2024-06-05 10:05:00 INFO-EVENTS-LOST - - - - - - - - - - - - 59 -"
MIX = [*PUSH, WEB.format(1, 50100), PING, PING6, MDNS, MDNS, IGMP, LOST, WEB.format(2, 50101)]


def codes(source: Source) -> list[str]:
    return [warning.code for warning in source.warnings]


def sums(source: Source) -> tuple[int, ...]:
    facts = source.details.facts
    return facts.lines, source.records, facts.comments, facts.blanks, source.skipped


def told(source: Source) -> list[str]:
    """Return each flow as one line: from, to, what the firewall did, and of how many rows."""
    form = "{0.protocol} {0.src_ip}:{0.src_port} > {0.dst_ip}:{0.dst_port} {0.action} {0.direction} {0.rows}"
    return [form.format(one) for one in source.flows.astype(object).where(source.flows.notna(), "").itertuples()]


# rows and flows


def test_the_syns_of_one_attempt_are_one_flow(read):
    source = read(log(*PUSH))
    assert told(source) == ["tcp 10.0.0.5:50000 > 10.0.0.20:445 DROP RECEIVE 3"]
    (flow,) = source.flows.itertuples()
    assert (flow.first_line, flow.syn, flow.conn_state, flow.response) == (6, 3, "S0", "no-response")
    assert str(flow.start), str(flow.end) == ("2024-06-05 10:00:00", "2024-06-05 10:00:09")
    assert [(event.frame, event.packet_kind, event.sequence) for event in source.details.events(0)] == [
        (6, "SYN", 2738703890),
        (7, "SYN", 2738703890),
        (8, "SYN", 2738703890),
    ]


def test_another_sequence_number_is_another_attempt(read):
    again = PUSH[0].replace("10:00:00", "10:00:21").replace("2738703890", "17")
    assert told(read(log(*PUSH, again))) == [
        "tcp 10.0.0.5:50000 > 10.0.0.20:445 DROP RECEIVE 3",
        "tcp 10.0.0.5:50000 > 10.0.0.20:445 DROP RECEIVE 1",
    ]


def test_a_pause_begins_another_attempt(read):
    later = PUSH[0].replace("10:00:00", "11:00:00")
    assert [line[-1] for line in told(read(log(*PUSH, later)))] == ["3", "1"]


def test_what_is_dropped_and_then_let_through_stays_apart(read):
    row = "2024-06-05 10:00:0{} {} UDP 10.0.0.20 10.0.0.7 50000 53 0 - - - - - - - SEND"
    rows = [row.format(0, "DROP"), row.format(1, "ALLOW"), row.format(2, "DROP"), row.format(3, "DROP")]
    assert [line.split()[-3::2] for line in told(read(log(*rows)))] == [["DROP", "1"], ["ALLOW", "1"], ["DROP", "2"]]


def test_rows_that_are_out_of_order_around_lost_events_are_of_the_same_attempt(read):
    assert [line[-1] for line in told(read(log(PUSH[2], LOST, PUSH[0], PUSH[1])))] == ["3"]


def test_an_attempt_across_the_parts_in_which_a_large_log_is_read(read, monkeypatch):
    monkeypatch.setattr(pfirewall, "PIECE", 400)
    rows = [*PUSH[:2], *(WEB.format(4, port) for port in range(50100, 50140)), PUSH[2]]
    source = read(log(*rows))
    assert told(source)[0] == "tcp 10.0.0.5:50000 > 10.0.0.20:445 DROP RECEIVE 3"
    assert [event.frame for event in source.details.events(0)] == [6, 7, 48]
    assert len(source.flows) == 41


def test_a_dropped_answer_is_seen_from_the_host_that_tried(read):
    row = "2024-06-05 10:00:00 DROP TCP 10.0.0.7 10.0.0.20 443 50100 52 SA 5 6 8192 - - - RECEIVE"
    source = read(log(row))
    assert told(source) == ["tcp 10.0.0.20:50100 > 10.0.0.7:443 DROP RECEIVE 1"]
    assert source.flows["response"].tolist() == ["one-way"]
    assert source.details.heard == {"10.0.0.7", "10.0.0.20"}


def test_a_late_packet_of_a_connection_is_no_attempt(read):
    row = "2024-06-05 10:00:00 DROP TCP 10.0.0.7 10.0.0.20 443 50100 40 FA 5 6 8192 - - - RECEIVE"
    source = read(log(row))
    assert told(source) == ["tcp 10.0.0.20:50100 > 10.0.0.7:443 DROP RECEIVE 1"]
    assert source.flows["response"].tolist() == ["mid-stream"]


@pytest.mark.parametrize("flags", ["SR", "SF", "SRA", "SFRPUA"])
def test_a_syn_that_also_ends_a_connection_is_no_attempt(flags, read):
    assert read(log(SYN.format(0).replace(" S ", f" {flags} "))).flows["response"].tolist() == ["mid-stream"]


FLAGLESS = "2024-06-05 10:00:00 {} {} 10.0.0.7 10.0.0.20 {} {} 0 - 0 0 0 - - - SEND"


@pytest.mark.parametrize(
    ("row", "ends", "response"),
    [
        (("DROP", "TCP", 443, 50100), "10.0.0.20:50100 > 10.0.0.7:443", "mid-stream"),
        (("DROP", "UDP", 53, 50100), "10.0.0.20:50100 > 10.0.0.7:53", "mid-stream"),
        (("DROP", "UDP", 137, 137), "10.0.0.7:137 > 10.0.0.20:137", "no-response"),
        (("DROP", "TCP", 50100, 443), "10.0.0.7:50100 > 10.0.0.20:443", "no-response"),
        (("ALLOW", "TCP", 443, 50100), "10.0.0.7:443 > 10.0.0.20:50100", "one-way"),
    ],
)
def test_what_a_service_sends_back_is_no_attempt(row, ends, response, read):
    source = read(log(FLAGLESS.format(*row)))
    assert ends in told(source)[0]
    assert source.flows["response"].tolist() == [response]


LET_IN = "2024-06-05 10:00:00 ALLOW TCP 10.0.0.5 10.0.0.20 50000 445 0 - 0 0 0 - - - RECEIVE"
LET_OUT = LET_IN.replace("RECEIVE", "SEND")
OUT = "2024-06-05 1{}:00:30 DROP TCP 10.0.0.5 10.0.0.20 50000 445 0 - 0 0 0 - - - SEND"
BACK = "2024-06-05 10:00:{:02} DROP TCP 10.0.0.20 10.0.0.5 445 50000 52 SA 7 8 8192 - - - RECEIVE"


@pytest.mark.parametrize(
    ("let", "dropped", "response"),
    [
        (LET_IN, SYN.format(3), "mid-stream"),  # sent again
        (LET_IN, SYN.format(3).replace("10:00", "10:02"), "no-response"),  # the port is used again
        (LET_OUT, SYN.format(3), "no-response"),  # of two computers
        (LET_OUT, OUT.format(0), "mid-stream"),
        (LET_OUT, OUT.format(3), "mid-stream"),  # no flags, at any time
        (LET_OUT, BACK.format(3), "one-way"),  # the answer that is waited for
        (LET_OUT, BACK.format(33), "mid-stream"),  # nobody waits any more
    ],
)
def test_what_is_dropped_of_a_connection_that_was_let_through(let, dropped, response, read):
    assert read(log(let, dropped)).flows["response"].tolist() == ["one-way", response]
    assert read(log(dropped, let)).flows["response"].tolist()[0] != "mid-stream"


def test_the_other_side_of_a_connection_that_was_let_through_is_turned(read):
    let = LET_IN.replace(" 445 ", " 49670 ")
    source = read(log(let, "2024-06-05 12:00:00 DROP TCP 10.0.0.20 10.0.0.5 49670 50000 0 - 0 0 0 - - - SEND"))
    assert told(source)[1] == "tcp 10.0.0.5:50000 > 10.0.0.20:49670 DROP SEND 1"
    assert source.flows["response"].tolist()[1] == "mid-stream"
    assert not source.details.events(1)[0].from_src


def test_only_echo_requests_are_flows_as_of_a_capture(read):
    neighbour = "2024-06-05 10:00:01 ALLOW ICMP fe80::5 ff02::1 - - 0 - - - - 135 0 - SEND"
    source = read(log(PING, PING6, neighbour, IGMP))
    assert source.flows[["protocol", "icmp_type", "icmp_code"]].values.tolist() == [["icmp", 8, 0], ["icmp", 128, 0]]
    assert source.tally.frames == {"ICMP type 135": 1, "IP protocol 2": 1}


def test_protocols_by_number_are_those_by_name(read):
    rows = [PUSH[0].replace(" TCP ", " 6 "), PING6.replace(" ICMP ", " 58 ")]
    assert read(log(*rows)).flows["protocol"].tolist() == ["tcp", "icmp"]


def test_the_process_is_kept(read):
    source = read(log(PUSH[0] + " 4", WEB.format(1, 50100) + " -", header=HEADER_PID))
    assert source.flows["process_id"].tolist() == [4, pd.NA]


def test_addresses_are_written_as_in_the_flow_table_of_a_capture(read):
    row = "2024-06-05 10:00:01 ALLOW UDP FE80:0::5%12 2001:0db8::1 53 53 0 - - - - - - - SEND"
    assert read(log(row)).flows[["src_ip", "dst_ip"]].values.tolist() == [["fe80::5", "2001:db8::1"]]


def test_the_table_has_the_same_columns_when_it_is_empty(read):
    source = read(log())
    assert dict(source.flows.dtypes.astype(str)).keys() == (TABLE | LOG_COLUMNS).keys()
    assert source.flows.dtypes.tolist() == read(log(*MIX)).flows.dtypes.tolist()
    assert codes(source) == ["no-rows"]


def test_columns_have_the_types_of_a_capture_but_for_local_times(read):
    utc = log(*MIX, header=HEADER.replace("Local", "UTC"))
    types = {name: str(kind) for name, kind in read(utc).flows.dtypes.items()}
    assert types == TABLE | LOG_COLUMNS


# whose log it is, and what it can show


def test_whose_log_it_is_and_how_sure(read):
    only_received = read(log(*PUSH, MDNS)).details.facts.local
    assert [(one.address, one.rows, one.sure) for one in only_received] == [("10.0.0.20", 3, False)]
    sent_too = read(log(*PUSH, WEB.format(1, 50100))).details.facts.local
    assert [(one.address, one.rows, one.sure) for one in sent_too] == [("10.0.0.20", 4, True)]


def test_which_classes_are_logged_at_all(read):
    facts = read(log(*PUSH, PING)).details.facts
    assert (facts.drops, facts.allows) == (4, 0)
    assert dict(facts.counts) == {("DROP", "TCP", "RECEIVE"): 3, ("DROP", "ICMP", "RECEIVE"): 1}


def test_lost_events_are_counted_and_told(read):
    source = read(log(LOST, WEB.format(1, 50100), LOST))
    assert (source.details.facts.lost, source.details.facts.lost_rows, source.records) == (118, 2, 3)
    assert codes(source) == ["lost-events"]
    assert "Windows discarded 118 log events (2 INFO-EVENTS-LOST entries)." in source.warnings[0].text


def test_a_row_on_lost_events_may_lack_its_process(read):
    source = read(log(LOST, PUSH[0] + " 4", header=HEADER_PID))
    assert (source.details.facts.lost, source.records, source.skipped) == (59, 2, 0)


def test_the_time_covered_is_that_of_the_events(read):
    source = read(log(PUSH[0], LOST, PUSH[2]))
    assert source.last_ns - source.first_ns == 9 * 10**9


# windows xp and 2003

XP = [
    "2005-11-20 11:48:36 OPEN TCP 192.168.0.6 66.102.7.104 4310 80 - - - - - - - - -",
    "2005-11-20 11:48:37 OPEN-INBOUND TCP 192.168.0.7 192.168.0.6 1172 445 - - - - - - - - -",
    "2005-11-20 11:49:36 CLOSE TCP 192.168.0.6 66.102.7.104 4310 80 - - - - - - - - -",
]


def test_the_words_of_xp_and_2003(read):
    source = read(log(*XP))
    assert told(source) == [
        "tcp 192.168.0.6:4310 > 66.102.7.104:80 OPEN SEND 1",
        "tcp 192.168.0.7:1172 > 192.168.0.6:445 OPEN-INBOUND RECEIVE 1",
        "tcp 192.168.0.6:4310 > 66.102.7.104:80 CLOSE - 1",
    ]
    assert source.details.facts.allows == 2
    assert source.details.facts.local[0].address == "192.168.0.6"


def test_a_log_without_a_path_column(read):
    header = HEADER.replace(" path\r\n", "\r\n").replace("Windows Firewall", "Internet Connection Firewall")
    assert told(read(log(PUSH[0].removesuffix(" RECEIVE"), header=header))) == [
        "tcp 10.0.0.5:50000 > 10.0.0.20:445 DROP - 1"
    ]


# headers


def test_columns_are_those_of_the_header_in_any_order(read):
    header = "#Fields: action protocol date time dst-ip src-ip dst-port src-port path\r\n"
    row = "DROP TCP 2024-06-05 10:00:00 10.0.0.20 10.0.0.5 445 50000 RECEIVE"
    assert told(read(log(row, header=header))) == ["tcp 10.0.0.5:50000 > 10.0.0.20:445 DROP RECEIVE 1"]


def test_a_header_in_mid_file_changes_the_columns(read):
    content = log(PUSH[0]) + log(PUSH[1] + " 4", header=HEADER_PID) + log(WEB.format(1, 50100))
    source = read(content)
    assert sums(source) == (18, 3, 12, 3, 0)
    assert source.flows["process_id"].tolist() == [pd.NA, 4, pd.NA]
    assert source.flows["first_line"].tolist() == [6, 12, 18]


def test_columns_that_nobody_knows_are_told(read):
    source = read(log(PUSH[0] + " x y", header=HEADER.replace(" path", " path profile rule")))
    assert (source.records, codes(source)) == (1, ["unknown-columns"])
    assert "profile, rule" in source.warnings[0].text


@pytest.mark.parametrize("code", [*range(9), *range(14, 32)])
def test_a_control_character_in_a_header_is_a_part_of_the_name(code, write):
    content = log(PUSH[0], header=HEADER.replace("size", f"si{chr(code)}ze"))
    assert sums(read_path(write(content))) == plain(content)[:5]


def test_rows_behind_a_header_that_lacks_columns_are_malformed(read):
    source = read(log(PUSH[0]) + log(*PUSH, header="#Fields: date time\r\n"))
    assert sums(source) == (10, 1, 5, 1, 3)
    assert source.details.facts.malformed == {"header-lacks-columns": 3}


def test_rows_without_any_header_are_taken_as_windows_writes_them(read):
    source = read(log(*PUSH, header=""))
    assert (source.records, codes(source)) == (3, ["no-header"])
    assert read(log(PUSH[0] + " 4", header="# saved by hand\r\n")).flows["process_id"].tolist() == [4]


# malformed lines

BAD = {
    PUSH[0].removesuffix(" RECEIVE"): "too-few-fields",
    PUSH[0] + " 4": "too-many-fields",
    PUSH[0].replace("2024-06-05", "2024-06-35"): "no-time",
    PUSH[0].replace("2024-06-05", "05.06.2024"): "no-time",
    PUSH[0].replace("10:00:00", "10:60:00"): "no-time",
    PUSH[0].replace("10:00:00", "1:00:00"): "no-time",
    PUSH[0].replace("DROP", "DROPPED"): "unknown-action",
    PUSH[0].replace("DROP", "drop"): "unknown-action",
    PUSH[0].replace("TCP", "TCPX"): "unknown-protocol",
    PUSH[0].replace("TCP", "256"): "unknown-protocol",
    PUSH[0].replace("RECEIVE", "RECEIVED"): "unknown-path",
    PUSH[0].replace("10.0.0.20", "10.0.0.xx"): "no-address",
    PUSH[0].replace("10.0.0.20", "192.168.1.10055"): "no-address",
    PUSH[0].replace("10.0.0.20", "fe80::" + "1" * 60): "no-address",
    PUSH[0].replace("445", "65536"): "no-port",
    PUSH[0].replace("445", "123456789"): "no-port",
    PUSH[0].replace("445", "-"): "no-port",
    PUSH[0].replace("445", "4\xb25"): "no-port",
    PING.replace(" 8 ", " 256 "): "no-icmp-type",
    PUSH[0].replace(" S ", " SYN! "): "no-tcp-fields",
    PUSH[0].replace("2738703890", "42949672960"): "no-tcp-fields",
    LOST.replace("59", "many"): "no-lost-count",
    PUSH[0].replace("445", "4\x0045"): "control-characters",
}


@pytest.mark.parametrize(("row", "kind"), BAD.items())
def test_what_is_wrong_with_a_line_is_said_with_its_number(row, kind, read):
    content = (HEADER + f"{PUSH[0]}\r\n{row}\r\n{PUSH[1]}\r\n").encode("latin-1")
    source = read(content)
    assert source.details.facts.malformed == {kind: 1}
    assert sums(source) == plain(content)[:5]
    assert codes(source) == ["malformed-lines"]
    assert f"1 with {say(f'malformed.{kind}')}, such as line 7. It reads: 2024" in source.warnings[0].text.replace(
        "05.06.2024", "2024"
    )


def test_a_process_that_is_no_number(read):
    source = read(log(PUSH[0] + " svchost", header=HEADER_PID))
    assert source.details.facts.malformed == {"no-process-id": 1}


def test_a_log_of_which_no_row_can_be_read_is_refused_in_one_line(write):
    path = write(log(*(row.replace("10.0.0.20", "10.0.x.x") for row in PUSH)))
    with pytest.raises(SourceError) as caught:
        read_all([path])
    assert "3 of 8 lines were not readable: 3 with no address, such as line 6" in str(caught.value)
    assert "\n" not in str(caught.value)


# how files were saved

ENCODINGS = {
    "utf-8": "utf-8-sig",
    "utf-16": "utf-16",
    "utf-16 without a mark": "utf-16-le",
    "utf-16 of the other order": "utf-16-be",
}


@pytest.mark.parametrize("encoding", ENCODINGS.values(), ids=ENCODINGS)
def test_encodings(encoding, read):
    content = log(*MIX)
    source = read(content.decode().encode(encoding))
    assert sums(source) == plain(content)[:5]
    assert told(source) == told(read(content))


@pytest.mark.parametrize("first", ["ascii", "utf-16", "utf-16-le", "utf-16-be"])
@pytest.mark.parametrize("then", ["ascii", "utf-16", "utf-16-le", "utf-16-be"])
def test_a_log_to_which_another_program_appended_in_its_own_encoding(first, then, read):
    """As `>>` of PowerShell does."""
    more = "".join(f"{row}\r\n" for row in MIX[1:4])
    source = read(log(*MIX).decode().encode(first) + more.encode(then))
    assert (source.records, source.skipped) == (len(MIX) + 3, 0)


def test_rows_behind_a_comment_that_ends_as_on_old_macs_are_counted(read):
    source = read(log(f"# copied\r{PUSH[0]}", PUSH[1]))
    assert (source.records, source.skipped) == (1, 1)
    assert "1 with control characters, such as line 6" in source.warnings[0].text


def test_a_header_that_does_not_end_is_refused_for_what_it_is(write):
    header = HEADER.replace(" path", " path" + " more" * 20_000)
    with pytest.raises(SourceError, match=r"its #Fields line has more than 65,536 characters"):
        read_path(write(log(*PUSH, header=header[header.index("#Fields") :])))


def test_the_encoding_and_packing_are_named(read):
    assert read(log(*MIX)).format == "pfirewall"
    assert read(gzip.compress(log(*MIX).decode().encode("utf-16"))).format == "pfirewall (UTF-16, gzip)"


def test_a_byte_of_an_old_code_page_does_no_harm(read):
    content = log(PUSH[0]).replace(b"Windows Firewall", b"Pare-feu Windows \xe9") + log(*PUSH[1:], header="# \xe9\r\n")
    assert sums(read(content)) == plain(content)[:5]
    assert read(content).records == 3


PADDED = {
    "zeros in front": bytes(4096) + log(*MIX),
    "zeros behind": log(*MIX) + bytes(4096),
    "zeros behind the last row": log(*MIX)[:-2] + bytes(4096),
    "zeros between": log(*PUSH) + bytes(300) + log(*MIX[3:], header=""),
    "blanks between": log(*PUSH) + b" " * 303 + log(*MIX[3:], header=""),
    "far more than is read at once": bytes(9_000_000) + log(*MIX) + bytes(9_000_000),
    "only blanks": log(*MIX) + b" \t \r\n" * 20,
}


@pytest.mark.parametrize("name", PADDED)
def test_padding(name, read):
    source = read(PADDED[name])
    assert (source.records, source.skipped) == (len(MIX), 0)
    assert sums(source) == plain(PADDED[name])[:5]
    assert len(source.flows) == len(read(log(*MIX)).flows)


def test_a_gzip_that_ends_early_keeps_what_was_read(read):
    packed = gzip.compress(log(*(WEB.format(port % 60, port) for port in range(20_000, 60_000))))
    source = read(packed[: len(packed) // 2])
    assert "cut-short" in codes(source)
    assert 0 < source.records < 40_000


def test_what_is_wrong_with_a_log_is_told_once_though_its_beginning_is_looked_for_behind_padding(read, monkeypatch):
    monkeypatch.setattr(pfirewall, "PIECE", 4096)
    packed = gzip.compress(bytes(20_000) + log(*MIX))
    source = read(packed[:-4])
    assert (source.records, codes(source).count("cut-short")) == (len(MIX), 1)


def test_the_name_of_a_log_does_not_matter(write):
    path = write(log(*MIX)).rename(write(b"").with_suffix(".pcap"))
    assert read_path(path).kind == "firewall-log"


# any change to a log loses no line and makes none up


def mutated(content: bytes, data: st.DataObject) -> bytes:
    """Cut, pad, repeat, insert and flip."""
    pieces = st.sampled_from([b"\n", b"\r\n", b" ", b"\t", b"\0" * 20, b"#", FIELDS.encode() + b"\r\n", b"-", b"\xe9"])
    for _ in range(data.draw(st.integers(0, 5))):
        at = data.draw(st.integers(0, len(content)))
        how = data.draw(st.sampled_from(["cut", "insert", "remove", "repeat"]))
        length = data.draw(st.integers(1, 150))
        if how == "cut":
            content = content[: max(at, 400)]
        elif how == "insert":
            content = content[:at] + data.draw(st.one_of(pieces, st.binary(max_size=9))) + content[at:]
        elif how == "remove":
            content = content[:at] + content[at + length :]
        else:
            content = content[:at] + content[at : at + length] + content[at:]
    return content


@settings(max_examples=400)
@given(data=st.data(), rows=st.lists(st.sampled_from([*MIX, *XP, *BAD]), max_size=12))
def test_no_line_is_lost_or_made_up(data, rows, write):
    pid = data.draw(st.booleans())
    ending = data.draw(st.sampled_from(["\r\n", "\n"]))
    text = (HEADER_PID if pid else HEADER) + "".join(f"{row} 4\r\n" if pid else f"{row}\r\n" for row in rows)
    content = mutated(text.replace("\r\n", ending).encode("latin-1"), data)
    path = write(content)
    try:
        source = read_path(path)
    except SourceError as error:
        refused = str(error)
        source = None
    finally:
        path.unlink()
    if source is None:
        assert "\n" not in refused
        return
    expected = plain(content)
    assert sums(source) == expected[:5]
    assert Counter(dict(source.details.facts.counts)) == expected.classes
    assert int(source.flows["rows"].sum()) + source.tally.frames.total() == source.records


@settings(max_examples=60)
@given(data=st.data(), piece=st.integers(150, 900))
def test_it_does_not_matter_where_a_large_log_is_divided(data, piece, whole_and_divided):
    content = mutated(log(*MIX, *BAD) * 2, data)
    found = whole_and_divided(content, piece)
    assert found is None or found[0] == found[1]


@pytest.fixture(scope="session")
def whole_and_divided(write):
    """Read a log at once, and in pieces of some bytes; None if it is refused."""

    def both(content: bytes, piece: int) -> tuple[object, object] | None:
        results = []
        with pytest.MonkeyPatch.context() as patch:
            for size in (pfirewall.PIECE, piece):
                patch.setattr(pfirewall, "PIECE", size)
                try:
                    source = read_path(write(content))
                except SourceError:
                    results.append(None)
                    continue
                table = source.flows.drop(columns="source")
                results.append((sums(source), codes(source), table.to_csv(), source.details.facts.malformed))
        return None if None in results else (results[0], results[1])

    return both


# several logs at once


FINE = [row for row in MIX if row != LOST]  # what is read at once, unless another log spoils it


def logs_together(*paths: Path) -> list[Source | SourceError]:
    """Read logs as a fleet's are read: their addresses numbered together, the short ones at once."""
    addresses = LogAddresses()

    def one(path: Path) -> Steps[Source | SourceError]:
        try:
            return (yield from reading(path, addresses=addresses))
        except SourceError as error:
            return error

    return read_together(map(one, paths))


def everything(source: Source | SourceError) -> object:
    """Return all that is known of a source, or what is wrong with it."""
    if isinstance(source, SourceError):
        return str(source)
    events = [source.details.events(flow) for flow in range(len(source.flows))]
    told = dataclasses.replace(source, details=None), source.details.facts, source.details.heard
    return told, source.flows.to_csv(), str(source.flows.dtypes), events


def read_single(path: Path) -> Source | SourceError:
    try:
        return read_path(path)
    except SourceError as error:
        return error


ODD = [
    log(*FINE, *BAD),
    log(*XP),
    log(*(f"{row} 4" for row in FINE), header=HEADER_PID),
    log(*FINE).replace(b"\r\n", b"\n"),
    log(*FINE).rstrip(b"\r\n"),
    log(*FINE, *(f"{row} 4" for row in FINE)).decode().encode("utf-16"),
    gzip.compress(log(*FINE)),
    log(),
    log(*FINE) + bytes(3000),
    bytes(3000) + log(*FINE),
    log(*FINE, "2024-06-05 10:35:09 INFO-EVENTS-LOST - - - - - - - - - - - - 59 -"),
    log(*FINE[:3], FIELDS + " pid", *(f"{row} 4" for row in FINE[3:])),
    log(*FINE * 400),
    b"nothing of the kind",
    b"",
]


@pytest.mark.parametrize("odd", ODD, ids=range(len(ODD)))
def test_a_log_is_the_same_whatever_is_read_with_it(odd, write):
    paths = [write(content) for content in (log(*FINE), odd, log(*reversed(FINE)), odd)]
    assert list(map(everything, logs_together(*paths))) == [everything(read_single(path)) for path in paths]


@settings(max_examples=100)
@given(data=st.data())
def test_logs_that_are_read_together_are_as_if_read_alone(data, write):
    contents = [mutated(log(*FINE[: data.draw(st.integers(0, len(FINE)))]), data) for _ in range(3)]
    paths = [write(content) for content in contents]
    assert list(map(everything, logs_together(*paths))) == [everything(read_single(path)) for path in paths]


def test_where_one_of_several_logs_cannot_be_gone_on_with_no_file_stays_open(write):
    def failing() -> Steps[None]:
        yield from reading(write(log(*FINE)), addresses=addresses)
        raise MemoryError

    addresses, ended = LogAddresses(), []

    def watched() -> Steps[None]:
        try:
            yield from reading(write(log(*FINE, *FINE)), addresses=addresses)
        finally:
            ended.append(True)

    waiting = watched()
    with pytest.raises(MemoryError):
        read_together([failing(), waiting])
    assert ended
    assert waiting.gi_frame is None


# very large logs


def test_attempts_in_the_middle_of_very_many_are_put_together_and_told(read, monkeypatch):
    monkeypatch.setattr(log_flows, "MOST_FLOWS", 400)
    monkeypatch.setattr(log_flows, "TOGETHER", 200)
    monkeypatch.setattr(pfirewall, "PIECE", 20_000)
    web = [WEB.format(number // 100, 20_000 + number) for number in range(3000)]
    source = read(log(*web[:1500], *PUSH, *web[1500:]))
    table = source.flows
    assert int(table["rows"].sum()) == source.records == 3003
    assert len(table) < 400
    assert codes(source) == ["folded"]
    assert table[table["action"] == "DROP"]["rows"].tolist() == [3]
    kept = table["src_port"].dropna().tolist()
    assert (20_000 in kept, 22_999 in kept) == (True, True)
    assert table["src_port"].isna().sum() == 1


# time


def times(source: Source) -> list[str]:
    return [str(start) for start in source.flows["start"]]


def test_local_times_stay_local(read):
    source = read(log(*PUSH))
    assert (source.clock, times(source)) == ("local", ["2024-06-05 10:00:00"])


def test_the_log_may_say_that_its_times_are_utc(read):
    source = read(log(*PUSH, header=HEADER.replace("Local", "UTC")))
    assert (source.clock, times(source)) == ("utc", ["2024-06-05 10:00:00+00:00"])


@pytest.mark.parametrize(
    ("zone", "utc"),
    [
        ("+02:00", "08:00"),
        ("-0530", "15:30"),
        ("UTC", "10:00"),
        ("Europe/Berlin", "08:00"),
        ("America/New_York", "14:00"),
    ],
)
def test_local_times_become_utc_with_the_zone(zone, utc, write):
    source = read_path(write(log(*PUSH)), tz=zone)
    assert (source.clock, times(source)) == ("utc", [f"2024-06-05 {utc}:00+00:00"])


@pytest.mark.parametrize("zone", ["Mars/Olympus", "+25:00", "", "../etc/passwd"])
def test_what_is_no_time_zone_is_said(zone, write):
    with pytest.raises(ArgumentError, match="is not a time zone"):
        read_path(write(log(*PUSH)), tz=zone)


def at(moment: str, port: int) -> str:
    return WEB.format(0, port).replace("2024-06-05 10:00:00", moment)


def test_an_hour_that_comes_twice_is_told_apart_by_order(write):
    moments = ["01:59:00", "02:10:00", "02:50:00", "02:10:00", "02:50:00", "03:01:00"]
    rows = [at(f"2024-10-27 {moment}", 50_000 + number) for number, moment in enumerate(moments)]
    source = read_path(write(log(*rows)), tz="Europe/Berlin")
    assert [one[11:16] for one in times(source)] == ["23:59", "00:10", "00:50", "01:10", "01:50", "02:01"]
    assert codes(source) == ["time-twice"]


def test_an_hour_that_does_not_exist_is_told(write):
    source = read_path(write(log(at("2024-03-31 02:30:00", 50_000))), tz="Europe/Berlin")
    assert codes(source) == ["time-skipped"]


# files that are no such log


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (b"#Version: 1.5\r\n", "without the #Fields line"),
        (b"#Version: 1.5\r\n#Fields: date time protocol src-ip dst-ip\r\n", "no action"),
        (b"2025-06-16 17:26:13 ALLOW TCP 10.0.0.1 10.0.0.2 49159 6543 SEND 1320\r\n", "of 10 columns"),
        (
            b"The network path was not found.\n",
            "unknown file type; expected pcap, pcapng, or a log of Windows Firewall",
        ),
    ],
)
def test_other_files_are_refused_in_one_line(content, words, write):
    with pytest.raises(SourceError) as caught:
        read_path(write(content))
    assert words in str(caught.value)
    assert "\n" not in str(caught.value)


# a log that was rolled over


def test_the_older_half_is_read_first(tmp_path: Path):
    path = tmp_path / "pfirewall.log"
    path.write_bytes(log(WEB.format(9, 50_100)))
    (tmp_path / "pfirewall.log.old").write_bytes(log(*PUSH))
    sources, unreadable = read_all([path])
    assert [Path(source.path).name for source in sources] == ["pfirewall.log.old", "pfirewall.log"]
    assert unreadable == []


def test_an_older_half_that_was_named_is_read_once(tmp_path: Path):
    path, older = tmp_path / "pfirewall.log", tmp_path / "pfirewall.log.old"
    path.write_bytes(log(*PUSH))
    older.write_bytes(log(*PUSH))
    assert len(read_all([path, older])[0]) == 2


def test_an_older_half_that_cannot_be_read_is_told(tmp_path: Path):
    path = tmp_path / "pfirewall.log"
    path.write_bytes(log(*PUSH))
    (tmp_path / "pfirewall.log.old").write_bytes(b"nothing")
    sources, unreadable = read_all([path])
    assert (len(sources), [one.path for one in unreadable]) == (1, [f"{path}.old"])


def test_a_log_without_rows_says_what_to_do(write):
    with pytest.raises(SourceError, match="Turn on logging"):
        read_all([write(log())])


def test_numbers_of_up_to_sixteen_digits():
    from auditor.sources.logs.text_columns import PADDING, Column, Text

    words = [
        "0",
        "7",
        "65535",
        "12345678",
        "123456789",
        "4294967295",
        "9999999999999999",
        "x",
        "1x",
        "-",
        "12345678901234567",
    ]
    ends = np.cumsum([len(word) + 1 for word in words])
    column = Column(np.append(0, ends[:-1]), ends - 1)
    numbers, good = Text(" ".join(words).encode() + b" " + PADDING).numbers(column)
    assert [int(number) for number in numbers[good]] == [int(word) for word in words[:7]]


# the flow table in other forms


def written(form: str, *sources: Source) -> str:
    out = io.BytesIO()
    write_table(AllFlows(sources).frame, out, form)
    return out.getvalue().decode()


def test_the_flow_table_as_text(read):
    source = read(log(PUSH[0] + " 4", PUSH[1] + " 4", PING + " -", header=HEADER_PID))
    head, syn, ping = (line.split() for line in written("text", source).splitlines())
    assert head == ["line", "rows", "start", "(local)", "proto", "from", "to", "action", "direction", "process"]
    assert syn[:4] == ["6", "2", "2024-06-05", "10:00:00.000000"]
    assert syn[4:] == ["tcp", "10.0.0.5:50000", ">", "10.0.0.20:445", "DROP", "RECEIVE", "4"]
    assert ping == ["8", "1", "2024-06-05", "10:00:01.000000", "icmp", "10.0.0.5", ">", "10.0.0.20", "DROP", "RECEIVE"]


def test_local_times_are_written_without_a_zone(read):
    source = read(log(*PUSH))
    assert ",2024-06-05T10:00:00.000000,2024-06-05T10:00:09.000000," in written("csv", source)
    assert '"start": "2024-06-05T10:00:00.000000"' in written("jsonl", source)


def test_a_log_beside_a_capture(read):
    both = (read([tcp("10.0.0.5:50000 > 10.0.0.20:445")]), read(log(*PUSH)))
    first, second = map(json.loads, written("jsonl", *both).splitlines())
    assert first.keys() == second.keys() == (TABLE | LOG_COLUMNS).keys()
    assert (first["start"][-1], second["start"]) == ("Z", "2024-06-05T10:00:00.000000")
    assert (first["action"], first["rows"], second["action"], second["rows"]) == (None, None, "DROP", 3)
    assert written("csv", *both).count("\r\n") == 3
    assert [line.split()[0] for line in written("text", *both).splitlines()] == ["frame", "--", "1", "line", "--", "6"]
