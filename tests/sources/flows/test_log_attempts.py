"""The attempts of a firewall log, against a reader that takes row after row, and what is put together of very many."""

from __future__ import annotations

import itertools
from collections import defaultdict
from datetime import UTC, datetime, timedelta
from typing import Any, NamedTuple

import numpy as np
import pytest
from logs import HEADER, HEADER_PID, log

from auditor.sources.flows.from_logs import firewall_flows as log_flows
from auditor.sources.logs import firewall_log as pfirewall
from auditor.sources.source import Source

pytestmark = pytest.mark.slow

BEGIN = datetime(2024, 6, 5, 10)
SAME_S = 64  # seconds: after a longer pause it is another attempt


class Row(NamedTuple):
    """A row of a log. second: after the beginning; number: of the SYN, 0 if the log does not say it."""

    second: int
    action: str
    protocol: str
    src: str
    dst: str
    ports: tuple[int, int]
    path: str
    process: int
    number: int = 0

    @property
    def text(self) -> str:
        """The row as Windows writes it."""
        time = (BEGIN + timedelta(seconds=self.second)).strftime("%Y-%m-%d %H:%M:%S")
        told = f"52 S {self.number} 0 8192" if self.number else "0 - 0 0 0"
        src, dst = self.ports
        ends = f"{self.src} {self.dst} {src} {dst}"
        return f"{time} {self.action} {self.protocol} {ends} {told} - - - {self.path} {self.process}"


# Ports and paths of rows between the same two hosts, which differ in one thing each.
ENDS = [((50000, 135), "RECEIVE"), ((50001, 135), "RECEIVE"), ((50000, 137), "RECEIVE"), ((50000, 135), "SEND")]
DATAGRAMS = list(itertools.product(["DROP", "ALLOW"], [4, 5], [0, 64, 65]))
SYNS = list(itertools.product([1, 2], [0, 64, 65]))


def rows(length: int) -> list[Row]:
    """Return all series of rows of so many letters, each with ends of its own: the first row of each comes first."""
    series = [("UDP", one) for one in itertools.product(DATAGRAMS, repeat=length)]
    series += [("TCP", one) for one in itertools.product(SYNS, repeat=length)]
    found: list[list[Row]] = [[] for _ in range(length)]
    for number, (protocol, letters) in enumerate(series):
        ports, path = ENDS[number % 4]
        pair = number // 4
        src, dst = f"10.1.{pair // 250}.{pair % 250 + 1}", f"10.0.0.{pair % 3 + 1}"
        second = 0
        for place, letter in enumerate(letters):
            second += letter[-1] if place else 0
            action, process, syn = (letter[0], letter[1], 0) if protocol == "UDP" else ("DROP", 4, letter[0])
            found[place].append(Row(second, action, protocol, src, dst, ports, path, process, syn))
    return [row for together in found for row in together]


def plain(found: list[Row], first_line: int) -> list[dict[str, Any]]:
    """Put rows together to attempts one by one, in the order of their first lines."""
    attempts: list[dict[str, Any]] = []
    before: dict[object, tuple[Row, dict[str, Any]]] = {}
    for line, row in enumerate(found, first_line):
        key = (row.protocol, row.src, row.dst, row.ports, row.path)
        last, attempt = before.get(key, (None, None))
        if last is None or last[1] != row.action or last[-2:] != row[-2:] or abs(row.second - last.second) > SAME_S:
            attempt = {"row": row, "lines": [], "seconds": []}
            attempts.append(attempt)
        assert attempt is not None
        attempt["lines"].append(line)
        attempt["seconds"].append(row.second)
        before[key] = row, attempt
    return attempts


def compare(source: Source, found: list[Row]) -> None:
    expected = plain(found, 1 + HEADER_PID.count("\r\n"))
    table = source.flows
    assert table["first_line"].tolist() == [one["lines"][0] for one in expected]
    assert table["rows"].tolist() == [len(one["lines"]) for one in expected]
    for name, choose in (("start", min), ("end", max)):
        seconds = ((table[name] - BEGIN).dt.total_seconds()).tolist()
        assert seconds == [choose(one["seconds"]) for one in expected]
    for name, column in (("src", "src_ip"), ("dst", "dst_ip"), ("action", "action"), ("path", "direction")):
        assert table[column].tolist() == [getattr(one["row"], name) for one in expected]
    assert table["process_id"].tolist() == [one["row"].process for one in expected]
    ports = list(zip(table["src_port"], table["dst_port"], strict=True))
    assert ports == [one["row"].ports for one in expected]
    tried = [len(one["lines"]) if one["row"].protocol == "TCP" else 0 for one in expected]
    assert table["syn"].tolist() == tried
    for flow in range(0, len(expected), 7):
        lines = expected[flow]["lines"]
        shown = sorted({lines[0], lines[min(1, len(lines) - 1)], lines[-1]})
        events = source.details.events(flow)
        assert [event.frame for event in events] == shown
        seconds = dict(zip(lines, expected[flow]["seconds"], strict=True))
        begin = int(BEGIN.replace(tzinfo=UTC).timestamp())
        if lines == sorted(lines, key=seconds.__getitem__):  # else the first and the last are by time
            assert [event.time_ns for event in events] == [(begin + seconds[one]) * 10**9 for one in shown]
        assert {event.sequence for event in events} == {expected[flow]["row"].number}


@pytest.mark.parametrize("length", [1, 2, 3])
def test_every_short_series_of_rows_is_as_a_plain_reader_has_it(length, read):
    found = rows(length)
    compare(read(log(*(row.text for row in found), header=HEADER_PID)), found)


def test_a_short_log_is_as_a_plain_reader_has_it(read):
    found = rows(2)[:: len(rows(2)) // 50]
    compare(read(log(*(row.text for row in found), header=HEADER_PID)), found)


@pytest.mark.parametrize("together", [1, 100, 500])
def test_every_short_series_of_rows_is_the_same_in_pieces(together, read, monkeypatch):
    monkeypatch.setattr(pfirewall, "PIECE", 10_000)
    monkeypatch.setattr(log_flows, "TOGETHER", together)
    found = rows(2)
    compare(read(log(*(row.text for row in found), header=HEADER_PID)), found)


@pytest.mark.parametrize(
    ("name", "value"), [("SPREAD", (np.uint64(0), np.uint64(0))), ("INDEX", np.uint64(63)), ("FEW", 100_000)]
)
def test_it_does_not_matter_how_rows_are_brought_side_by_side(name, value, read, monkeypatch):
    """Sorted by numbers that are mixed of all that must be equal; where these are no use, by all of it."""
    monkeypatch.setattr(log_flows, name, value)
    found = rows(2)
    compare(read(log(*(row.text for row in found), header=HEADER_PID)), found)


LOST = "2024-06-05 {} INFO-EVENTS-LOST - - - - - - - - - - - - 59 -"
SYN = "2024-06-05 10:00:{:02} DROP TCP 10.0.0.{} 10.0.0.20 50000 445 52 S 2738703890 0 8192 - - - RECEIVE"


@pytest.mark.parametrize("lost", ["08:00:00", "12:00:00"])
def test_that_events_were_lost_ends_no_attempt_in_a_log_that_is_read_in_pieces(lost, read, monkeypatch):
    """The row is written when Windows finds time for it."""
    monkeypatch.setattr(pfirewall, "PIECE", 300)
    monkeypatch.setattr(log_flows, "TOGETHER", 1)
    syns = [SYN.format(second, 5) for second in (0, 3, 9)]
    source = read(log(syns[0], LOST.format(lost), *[LOST.format(lost)] * 9, syns[1], LOST.format(lost), syns[2]))
    assert source.flows["rows"].tolist() == [3]


def test_what_is_said_of_lost_events_is_no_flow(read):
    source = read(log(LOST.format("10:00:00"), SYN.format(0, 5), LOST.format("10:00:01")))
    assert (len(source.flows), source.tally.frames) == (1, {"lost events": 2})


def test_rows_out_of_order_in_another_piece_end_an_attempt_no_earlier(read, monkeypatch):
    monkeypatch.setattr(pfirewall, "PIECE", 300)
    monkeypatch.setattr(log_flows, "TOGETHER", 1)
    source = read(log(SYN.format(3, 5), SYN.format(9, 5), *[SYN.format(9, 6)] * 9, SYN.format(0, 5)))
    assert source.flows["rows"].tolist() == [3, 9]
    assert [str(time)[-8:] for time in (source.flows["start"][0], source.flows["end"][0])] == ["10:00:00", "10:00:09"]


@pytest.mark.parametrize(("ahead", "rows"), [(128, [2, 3]), (129, [1, 3, 1])])
def test_a_clock_that_jumps_ahead_of_an_attempt_by_two_pauses_does_not_end_it(ahead, rows, read, monkeypatch):
    monkeypatch.setattr(pfirewall, "PIECE", 150)
    monkeypatch.setattr(log_flows, "TOGETHER", 1)
    later = SYN.format(0, 6).replace("10:00:00", (BEGIN + timedelta(seconds=ahead)).strftime("%H:%M:%S"))
    source = read(log(SYN.format(0, 5), *[later] * 3, SYN.format(3, 5)))
    assert source.flows["rows"].tolist() == rows


@pytest.mark.parametrize("seconds", list(itertools.permutations((0, 3, 9))))
def test_an_attempt_lasts_from_its_earliest_row_to_its_latest_in_whatever_pieces_it_is_read(seconds, read, monkeypatch):
    monkeypatch.setattr(pfirewall, "PIECE", 150)
    monkeypatch.setattr(log_flows, "TOGETHER", 1)
    source = read(log(*(SYN.format(second, 5) for second in seconds)))
    assert source.flows["rows"].tolist() == [3]
    assert [str(source.flows[name][0])[-8:] for name in ("start", "end")] == ["10:00:00", "10:00:09"]


def test_attempts_are_in_the_order_of_their_first_lines_whichever_is_over_first(read, monkeypatch):
    monkeypatch.setattr(pfirewall, "PIECE", 150)
    monkeypatch.setattr(log_flows, "TOGETHER", 1)
    again = [SYN.format(0, 5).replace("10:00:00", f"10:0{minute}:00") for minute in range(5)]
    source = read(log(again[0], SYN.format(1, 6), *again[1:]))
    assert source.flows["rows"].tolist() == [5, 1]


def test_of_very_many_attempts_that_are_not_over_the_latest_are_waited_for(read, monkeypatch):
    monkeypatch.setattr(pfirewall, "PIECE", 150)
    monkeypatch.setattr(log_flows, "TOGETHER", 1)
    monkeypatch.setattr(log_flows, "MOST_OPEN", 4)
    first = [SYN.format(0, host) for host in range(1, 11)]
    source = read(log(*first, SYN.format(3, 10), SYN.format(3, 9), SYN.format(9, 1)))
    assert source.flows["rows"].tolist() == [1] * 8 + [2, 2, 1]


# what is dropped of connections that were let through

LET_IN = "2024-06-05 10:00:00 ALLOW TCP 10.0.0.5 10.0.0.20 50000 445 0 - 0 0 0 - - - RECEIVE"
LET_OUT = LET_IN.replace("RECEIVE", "SEND")
AGAIN = "2024-06-05 10:{} DROP TCP 10.0.0.5 10.0.0.20 50000 445 52 S 7 0 8192 - - - RECEIVE"
ANSWER = "2024-06-05 10:{} DROP TCP 10.0.0.20 10.0.0.5 445 50000 52 SA 7 8 8192 - - - RECEIVE"
NO_FLAGS = "2024-06-05 10:{} DROP TCP 10.0.0.5 10.0.0.20 50000 445 0 - 0 0 0 - - - SEND"


@pytest.mark.parametrize(
    ("let", "dropped", "response"),
    [
        (LET_IN, AGAIN.format("00:00"), "mid-stream"),
        (LET_IN, AGAIN.format("01:04"), "mid-stream"),
        (LET_IN, AGAIN.format("01:05"), "no-response"),
        (LET_OUT, ANSWER.format("00:21"), "one-way"),
        (LET_OUT, ANSWER.format("00:22"), "mid-stream"),
        (LET_OUT, ANSWER.format("01:04"), "mid-stream"),
        (LET_OUT, ANSWER.format("01:05"), "one-way"),
        (LET_OUT, NO_FLAGS.format("59:59"), "mid-stream"),
        (LET_IN, NO_FLAGS.format("00:01"), "no-response"),
        (LET_IN.replace(" TCP ", " UDP "), NO_FLAGS.format("00:01").replace(" TCP ", " UDP "), "no-response"),
        (LET_OUT.replace("50000", "50001"), NO_FLAGS.format("00:01"), "no-response"),
        (LET_OUT.replace("10.0.0.20", "10.0.0.21"), NO_FLAGS.format("00:01"), "no-response"),
        (LET_OUT.replace("10.0.0.5", "10.0.0.6"), NO_FLAGS.format("00:01"), "no-response"),
    ],
)
def test_until_when_what_is_dropped_is_of_the_connection_before(let, dropped, response, read):
    assert read(log(let, dropped)).flows["response"].tolist() == ["one-way", response]


def test_a_connection_that_was_let_through_later_explains_no_drop(read):
    late = LET_OUT.replace("10:00:00", "11:00:00")
    assert read(log(late, NO_FLAGS.format("00:00"))).flows["response"].tolist() == ["one-way", "no-response"]


def test_of_several_connections_the_last_one_before_counts(read):
    first, second = LET_IN, LET_IN.replace("10:00:00", "10:30:00")
    source = read(log(first, second, AGAIN.format("30:10"), AGAIN.format("40:00")))
    assert source.flows["response"].tolist() == ["one-way", "one-way", "mid-stream", "no-response"]


# very large logs

WEB = "2024-06-05 10:{:02}:{:02} {} TCP 10.0.0.{} 10.0.0.{} {} {} 0 - 0 0 0 - - - SEND"


def test_only_what_is_alike_is_put_together(read, monkeypatch):
    """Of each way between two hosts at one port the first and the last attempts stay, with their ports."""
    monkeypatch.setattr(log_flows, "MOST_FLOWS", 300)
    monkeypatch.setattr(log_flows, "TOGETHER", 150)
    monkeypatch.setattr(pfirewall, "PIECE", 9_000)
    ways = list(itertools.product(["ALLOW", "DROP"], [20, 21], [7, 8], [80, 443]))
    texts, ports = [], defaultdict(list)
    for number in range(100):
        for place, (action, src, dst, port) in enumerate(ways):
            own = 20_000 + 16 * number + place
            texts.append(WEB.format(number // 60, number % 60, action, src, dst, own, port))
            ports[action, f"10.0.0.{src}", f"10.0.0.{dst}", port].append(own)
    source = read(log(*texts))
    groups = source.flows.groupby(["action", "src_ip", "dst_ip", "dst_port"])
    assert set(groups.groups) == set(ports)
    folded = 0
    for way, found in groups:
        kept = found["src_port"].dropna().tolist()
        assert int(found["rows"].sum()) == 100
        assert found["first_line"].is_monotonic_increasing
        assert found["src_port"].isna().sum() == 1
        half = len(kept) // 2
        assert kept == [*ports[way][:half], *ports[way][-half:]]
        middle = found[found["src_port"].isna()].iloc[0]
        assert middle["rows"] == 100 - len(kept)
        assert middle["first_line"] == found["first_line"].iloc[0] + 16 * half
        folded += int(middle["rows"])
    assert source.details.facts.folded == folded
    assert len(source.flows) <= 300


def test_of_more_than_400_000_attempts_those_in_the_middle_are_put_together(read):
    ends = itertools.product(range(1, 9), range(1024, 1024 + 50_001))
    source = read(log(*(WEB.format(0, 0, "ALLOW", 20, host, port, 443) for host, port in ends)))
    assert source.flows["src_port"].notna().sum() == 8 * 64
    assert int(source.flows["rows"].sum()) == 8 * 50_001


@pytest.mark.parametrize(("most", "kept"), [(1000, 1000), (999, 64), (130, 64), (129, 16), (34, 16), (33, 4)])
def test_as_many_are_kept_apart_as_there_is_room_for(most, kept, read, monkeypatch):
    monkeypatch.setattr(log_flows, "MOST_FLOWS", most)
    texts = [WEB.format(number // 60, number % 60, "ALLOW", 20, 7, 20_000 + number, 443) for number in range(1000)]
    source = read(log(*texts))
    assert source.flows["src_port"].notna().sum() == kept
    assert int(source.flows["rows"].sum()) == 1000
    assert source.details.facts.folded == 1000 - kept


def test_of_what_is_put_together_the_first_two_rows_and_the_last_are_shown(read, monkeypatch):
    monkeypatch.setattr(log_flows, "MOST_FLOWS", 9)
    ports = (0, 1, 2, 3, 3, 4, 5, 6, 7, 8, 9)
    seconds = (0, 1, 2, 3, 4, 4, 5, 6, 7, 8, 9)
    rows = zip(seconds, ports, strict=True)
    source = read(log(*(WEB.format(0, second, "DROP", 20, 7, 20_000 + port, 443) for second, port in rows)))
    assert [(one.frame, one.time_ns // 10**9 % 60) for one in source.details.events(2)] == [(8, 2), (9, 3), (14, 7)]


# the columns

TOLD = ["syn", "syn_ack", "conn_state", "response", "src_port", "dst_port", "icmp_type", "icmp_code"]
KINDS = {
    "10.0.0.5 10.0.0.20 50000 445 52 S 7 0 8192 - - - RECEIVE": [1, 0, "S0", "no-response", 50000, 445, None, None],
    "10.0.0.20 10.0.0.5 445 50000 52 SA 7 8 8192 - - - RECEIVE": [0, 1, "OTH", "one-way", 50000, 445, None, None],
    "10.0.0.5 10.0.0.20 50000 445 40 RA 7 8 0 - - - RECEIVE": [0, 0, "OTH", "mid-stream", 50000, 445, None, None],
    "10.0.0.5 10.0.0.20 500 501 40 FA 7 8 0 - - - RECEIVE": [0, 0, "OTH", "mid-stream", 501, 500, None, None],
    "10.0.0.5 10.0.0.20 500 500 40 FA 7 8 0 - - - RECEIVE": [0, 0, "OTH", "mid-stream", 500, 500, None, None],
    "10.0.0.5 10.0.0.20 50000 445 0 - 0 0 0 - - - SEND": [1, 0, "S0", "no-response", 50000, 445, None, None],
}


@pytest.mark.parametrize("ends", KINDS, ids=range(len(KINDS)))
def test_the_columns_of_a_dropped_packet(ends, read):
    assert columns(read(log(f"2024-06-05 10:00:00 DROP TCP {ends}"))) == KINDS[ends]


@pytest.mark.parametrize(
    ("ports", "tried"), [("500 501", "10.0.0.20"), ("500 500", "10.0.0.5"), ("501 500", "10.0.0.5")]
)
def test_of_a_late_packet_the_side_with_the_higher_port_is_the_one_that_tried(ports, tried, read):
    source = read(log(f"2024-06-05 10:00:00 DROP TCP 10.0.0.5 10.0.0.20 {ports} 40 FA 7 8 0 - - - RECEIVE"))
    assert source.flows["src_ip"].tolist() == [tried]


def test_the_columns_of_what_is_no_tcp(read):
    datagram = "2024-06-05 10:00:00 {} UDP 10.0.0.5 10.0.0.20 50000 135 78 - - - - - - - RECEIVE"
    ping = "2024-06-05 10:00:01 {} ICMP 10.0.0.5 10.0.0.20 - - 60 - - - - 8 1 - RECEIVE"
    nothing = [0, 0, "OTH", "one-way"]
    assert columns(read(log(datagram.format("ALLOW")))) == [*nothing, 50000, 135, None, None]
    assert columns(read(log(datagram.format("DROP")))) == [0, 0, "S0", "no-response", 50000, 135, None, None]
    assert columns(read(log(ping.format("ALLOW")))) == [*nothing, None, None, 8, 1]
    assert columns(read(log(ping.format("DROP")))) == [0, 0, "OTH", "no-response", None, None, 8, 1]


def columns(source: Source) -> list[Any]:
    table = source.flows[TOLD].astype(object)
    (found,) = table.where(table.notna(), None).to_numpy().tolist()
    return found


def test_what_a_log_does_not_tell_is_missing_or_zero(read):
    source = read(log(LET_IN))
    for name in ("bytes_src", "bytes_dst", "frames_src", "frames_dst", "fin_src", "rst"):
        if name in source.flows:
            assert source.flows[name].tolist() == [0]
    assert source.flows["stream"].isna().tolist() == [True]
    assert source.flows["process_id"].isna().tolist() == [True]
    assert source.flows["icmp_error"].tolist() == [""]


# whose log it is


@pytest.mark.parametrize("path", ["SEND", "RECEIVE"])
@pytest.mark.parametrize("ports", ["50000 445", "445 50000"], ids=["an attempt", "a packet of the service"])
@pytest.mark.parametrize("flags", ["- 0 0 0", "S 7 0 8192", "SA 7 8 8192", "A 7 8 8192"])
def test_a_log_is_of_the_computer_that_sends_or_receives_whoever_tried(path, ports, flags, read):
    row = f"2024-06-05 10:00:00 DROP TCP 10.0.0.5 10.0.0.20 {ports} 52 {flags} - - - {path}"
    (local,) = read(log(row)).details.facts.local
    assert (local.address, local.sure) == (("10.0.0.5", True) if path == "SEND" else ("10.0.0.20", False))


def test_addresses_of_the_computer_are_told_by_how_many_rows_and_whether_it_sent(read):
    received = "2024-06-05 10:00:00 DROP UDP 10.0.0.9 {} 5353 5353 73 - - - - - - - RECEIVE"
    sent = "2024-06-05 10:00:00 ALLOW UDP {} 10.0.0.9 50000 53 73 - - - - - - - SEND"
    groups = ("224.0.0.251", "255.255.255.255", "10.0.0.255", "10.0.0.0", "0.0.0.0", "127.0.0.1", "ff02::1", "::1")
    texts = [received.format(one) for one in (*groups, "10.0.0.20", "10.0.0.21", "10.0.0.21", "10.0.0.22")]
    texts += [sent.format(one) for one in groups if one not in ("10.0.0.255", "10.0.0.0")]
    texts += [sent.format(one) for one in ("10.0.0.30", "10.0.1.0", "10.0.1.0", "10.0.0.22")]
    local = read(log(*texts, header=HEADER)).details.facts.local
    assert [(one.address, one.rows, one.sure) for one in local] == [
        ("10.0.0.22", 2, True),
        ("10.0.1.0", 2, True),
        ("10.0.0.30", 1, True),
        ("10.0.0.21", 2, False),
        ("10.0.0.20", 1, False),
    ]
