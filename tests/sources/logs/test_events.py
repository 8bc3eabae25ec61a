"""Event logs: every shape of the same event gives the same flow, and nothing of a log is lost silently."""

from __future__ import annotations

import csv
import gzip
import io
import json
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner
from hypothesis import given
from hypothesis import strategies as st
from security_events import BLOCKED, OUT, Table, allowed, blocked, lines, native

import auditor
from auditor.cli.commands import cli
from auditor.errors import SourceError
from auditor.sources.flows.columns import TABLE
from auditor.sources.flows.from_logs.event_flows import EVENT_COLUMNS, ComputerAddress
from auditor.sources.logs import evtx
from auditor.sources.logs.evtx import EVTX_MAGIC
from auditor.sources.source import Source

pytestmark = pytest.mark.slow

Read = Callable[..., Source]


def nxlog(event_id: int, values: Table, **more: Any) -> Table:
    texts = {name: str(value) for name, value in values.items()}
    about = {"EventID": event_id, "Channel": "Security", "SourceName": "Microsoft-Windows-Security-Auditing"}
    return about | {"Hostname": "CLIENT01.contoso.example", "EventTime": "2026-03-01T08:00:00+00:00"} | texts | more


def winlogbeat(event_id: int, values: Table) -> Table:
    about = {"channel": "Security", "computer_name": "client01.contoso.example", "event_id": str(event_id)}
    provider = {"provider_name": "Microsoft-Windows-Security-Auditing"}
    return {"@timestamp": "2026-03-01T08:00:00.000Z", "winlog": about | provider | {"event_data": values}}


def get_winevent(event_id: int, values: Table) -> Table:
    about = {"Id": event_id, "LogName": "Security", "ProviderName": "Microsoft-Windows-Security-Auditing"}
    time = {"TimeCreated": "/Date(1772352000000)/", "MachineName": "client01.contoso.example"}
    return about | time | {"Properties": [{"Value": value} for value in values.values()]}


def xml_as_json(event_id: int, values: Table) -> Table:
    data = [{"@Name": name, "#text": str(value)} for name, value in values.items()]
    event = native(event_id, {"Data": data})
    event["Event"]["System"]["TimeCreated"] = {"@SystemTime": "2026-03-01T08:00:00.0000000Z"}
    return event


def rows(source: Source, *columns: str) -> list[tuple[Any, ...]]:
    return list(source.flows[list(columns)].itertuples(index=False, name=None))


ENDS = ("src_ip", "src_port", "dst_ip", "dst_port")
PUSH = ("10.0.0.5", 50000, "10.0.0.20", 445)


def test_columns_have_the_types_of_every_other_flow_table(read):
    types = {name: str(kind) for name, kind in read(lines(blocked())).flows.dtypes.items()}
    assert types == TABLE | EVENT_COLUMNS


# shapes


@pytest.mark.parametrize("shape", [native, nxlog, winlogbeat, get_winevent, xml_as_json])
def test_every_export_of_an_event_gives_the_same_flow(read: Read, shape: Callable[..., Table]):
    source = read(lines(shape(5157, BLOCKED)))
    assert (source.kind, source.format, source.records, source.skipped) == ("event-log", "JSON", 1, 0)
    assert rows(source, *ENDS, "protocol", "action", "direction", "rows") == [(*PUSH, "tcp", "DROP", "RECEIVE", 1)]
    assert rows(source, "computer", "application", "process_id") == [("client01.contoso.example", "System", 4)]
    assert source.flows.start[0].isoformat() == "2026-03-01T08:00:00+00:00"


@pytest.mark.parametrize(
    "packed",
    [
        pytest.param(lambda text: text.encode("utf-8-sig"), id="BOM"),
        pytest.param(lambda text: text.encode("utf-16"), id="UTF-16 of PowerShell"),
        pytest.param(lambda text: text.replace("\n", "\r\n").encode(), id="CRLF"),
        pytest.param(lambda text: gzip.compress(text.encode()), id="gzip"),
        pytest.param(lambda text: b"Record 1\n" + text.encode(), id="evtx_dump"),
    ],
)
@pytest.mark.parametrize("indent", [None, 4])
def test_it_does_not_matter_how_the_text_is_written(read: Read, packed: Callable[[str], bytes], indent: int | None):
    text = "\n".join(json.dumps(one, indent=indent) for one in (blocked(), allowed()))
    assert sorted(rows(read(packed(text)), "action")) == [("ALLOW",), ("DROP",)]


def test_an_array_as_powershell_prints_it_is_read(read: Read):
    source = read(json.dumps([blocked(), allowed()], indent=4).encode())
    assert rows(source, *ENDS, "action") == [(*PUSH, "DROP"), (*PUSH, "ALLOW")]


def test_values_that_newer_windows_adds_are_kept(read: Read):
    source = read(lines(blocked(FilterOrigin="Stealth", InterfaceIndex=3)))
    assert rows(source, "filter_id", "filter_origin") == [(72408, "Stealth")]


# directions


def test_the_originator_comes_first_whichever_end_windows_names_first(read: Read):
    learned = native(5156, BLOCKED | {"Direction": OUT, "SourceAddress": "10.0.0.20", "DestAddress": "10.0.0.1"})
    turned = {"SourceAddress": "10.0.0.20", "SourcePort": 445, "DestAddress": "10.0.0.5", "DestPort": 50000}
    for inbound in (blocked(), blocked(**turned)):
        source = read(lines(learned, inbound))
        assert rows(source, *ENDS)[1] == PUSH


def test_without_an_outbound_event_the_lower_port_is_the_service(read: Read):
    turned = {"SourceAddress": "10.0.0.20", "SourcePort": 445, "DestAddress": "10.0.0.5", "DestPort": 50000}
    assert rows(read(lines(blocked(**turned))), *ENDS) == [PUSH]


def test_an_end_that_two_ports_cannot_tell_is_decided_as_the_others_of_that_computer(read: Read):
    outbound = blocked(Direction=OUT, SourceAddress="10.0.0.20", DestAddress="10.0.0.1")
    sure = blocked()
    unsure = blocked(SourceAddress="10.9.9.9", SourcePort=1025, DestAddress="fe80::20", DestPort=49155)
    assert rows(read(lines(outbound, sure, unsure)), *ENDS)[2] == ("10.9.9.9", 1025, "fe80::20", 49155)


def test_multicast_is_always_the_end_that_is_reached(read: Read):
    event = allowed(Protocol=17, SourceAddress="239.255.255.250", SourcePort=3702, DestAddress="10.0.0.9", DestPort=9)
    source = read(lines(event))
    assert rows(source, *ENDS) == [("10.0.0.9", 9, "239.255.255.250", 3702)]
    assert "239.255.255.250" not in source.details.heard


def test_the_same_connection_logged_at_both_ends_is_two_rows(read: Read):
    there = blocked()
    here = native(5156, BLOCKED | {"Direction": OUT}, Computer="server.contoso.example")
    found = rows(read(lines(here, there)), "computer", "direction", "action", *ENDS)
    assert found == [
        ("server.contoso.example", "SEND", "ALLOW", *PUSH),
        ("client01.contoso.example", "RECEIVE", "DROP", *PUSH),
    ]


# late packets

SERVICE = {"SourceAddress": "10.0.0.80", "SourcePort": 80, "DestAddress": "10.0.0.20", "DestPort": 50123}
WAITING = ("10.0.0.20", 50123, "10.0.0.80", 80)


@pytest.mark.parametrize(
    ("event", "direction"),
    [
        (blocked(event_id=5152, **SERVICE), "-"),  # older Windows might mean the firewall of 10.0.0.80
        (blocked(event_id=5157, **SERVICE, LayerName="%%14597", LayerRTID=13), "-"),
        (blocked(event_id=5152, **SERVICE, Direction=OUT), "SEND"),
    ],
)
def test_what_a_service_sends_back_is_no_attempt(read: Read, event: Table, direction: str):
    source = read(lines(event))
    assert rows(source, *ENDS, "response", "direction") == [(*WAITING, "mid-stream", direction)]
    assert not source.details.events(0)[0].from_src


def test_whose_firewall_dropped_an_answer_is_told_by_what_else_is_known(read: Read):
    begun = allowed(Direction=OUT, SourceAddress="10.0.0.20", SourcePort=50123, DestAddress="10.0.0.80", DestPort=80)
    source = read(lines(begun, blocked("2026-03-01T08:00:40Z", 5152, **SERVICE)))
    found = rows(source, *ENDS, "response", "direction")
    assert found == [(*WAITING, "one-way", "SEND"), (*WAITING, "mid-stream", "RECEIVE")]
    assert [one.address for one in source.details.facts.local] == ["10.0.0.20"]


@pytest.mark.parametrize(("port", "direction"), [(50002, "RECEIVE"), (49200, "-")])
def test_a_dropped_packet_comes_from_the_source_and_perhaps_from_no_known_firewall(read, port: int, direction: str):
    source = read(lines(blocked(event_id=5152, SourcePort=port, DestPort=49670)))
    assert rows(source, *ENDS, "response", "direction") == [
        ("10.0.0.5", port, "10.0.0.20", 49670, "no-response", direction)
    ]


@pytest.mark.parametrize(
    ("event_id", "later", "response"),
    [
        (5152, "08:00:30", "mid-stream"),
        (5152, "11:00:00", "mid-stream"),
        (5157, "08:00:30", "mid-stream"),
        (5157, "11:00:00", "no-response"),  # the port is used again
    ],
)
def test_what_is_dropped_of_a_connection_that_was_let_through(read: Read, event_id: int, later: str, response: str):
    after = blocked(f"2026-03-01T{later}Z", event_id)
    assert rows(read(lines(allowed(), after)), "response") == [("one-way",), (response,)]
    elsewhere = native(event_id, BLOCKED, f"2026-03-01T{later}Z", Computer="other.contoso.example")
    assert rows(read(lines(allowed(), elsewhere)), "response") == [("one-way",), ("no-response",)]
    before = blocked("2026-03-01T07:59:59Z", event_id)
    assert rows(read(lines(allowed(), before)), "response") == [("one-way",), ("no-response",)]


def test_a_packet_that_nobody_listens_for_says_so(read: Read):
    layer = {"LayerName": "%%14597", "LayerRTID": 13}
    unheard = blocked(event_id=5152, Application="-", **layer)
    assert rows(read(lines(unheard)), "response", "filter_origin") == [("no-response", "Stealth (nobody listens)")]
    for other in (blocked(event_id=5152, **layer), blocked(event_id=5157, Application="-")):
        assert rows(read(lines(unheard, other)), "filter_origin") == [("",)]
    named = blocked(event_id=5152, Application="-", FilterOrigin="Quarantine default", **layer)
    assert rows(read(lines(named)), "filter_origin") == [("Quarantine default",)]


# attempts


def test_repeated_syns_of_one_attempt_are_one_row_that_names_the_program(read: Read):
    moments = ("08:00:00", "08:00:01", "08:00:03", "08:00:07", "08:00:15")
    named = [blocked(f"2026-03-01T{one}Z", 5157, Application=r"\device\svchost.exe") for one in moments]
    unnamed = [blocked(f"2026-03-01T{one}Z", 5152, Application="-") for one in moments]
    source = read(lines(*unnamed, *named))
    assert rows(source, "rows", "application", "first_line") == [(10, r"\device\svchost.exe", 7)]
    assert (source.flows.end - source.flows.start).dt.total_seconds().tolist() == [15]


def test_a_port_used_again_later_is_another_attempt(read: Read):
    source = read(lines(blocked("2026-03-01T08:00:00Z"), blocked("2026-03-01T09:00:00Z")))
    assert rows(source, "rows") == [(1,), (1,)]


def test_the_lines_of_an_attempt_can_be_looked_up(read: Read):
    source = read(lines(nxlog(5157, BLOCKED), nxlog(5158, BLOCKED), nxlog(5157, BLOCKED)))
    assert [event.frame for event in source.details.events(0)] == [1, 3]


def test_an_echo_request_has_a_type_and_no_ports(read: Read):
    source = read(lines(blocked(Protocol=1, SourcePort=8, DestPort=0)))
    assert rows(source, "protocol", "icmp_type", "icmp_code") == [("icmp", 8, 0)]
    assert source.flows.src_port.isna().all()


# times


def test_local_times_are_brought_to_utc_by_what_the_collector_stamped(read: Read):
    stamps = {"EventReceivedTime": "2026-03-01 04:00:03", "@timestamp": "2026-03-01T08:00:03.250Z"}
    source = read(lines(nxlog(5157, BLOCKED, EventTime="2026-03-01 04:00:00", **stamps)))
    assert source.flows.start[0].isoformat() == "2026-03-01T08:00:00+00:00"
    assert "local-times" in {one.code for one in source.warnings}


def test_a_time_without_zone_is_taken_as_utc_and_said_so(read: Read):
    source = read(lines(nxlog(5157, BLOCKED, EventTime="2026-03-01 08:00:00")))
    assert source.flows.start[0].isoformat() == "2026-03-01T08:00:00+00:00"
    assert "no-zone" in {one.code for one in source.warnings}


# nothing is lost


def test_every_event_is_counted_under_its_number(read: Read):
    other = native(4624, {"TargetUserName": "x"})
    foreign = native(5157, {"a": 1}, Channel="Application", Provider={"#attributes": {"Name": "Contoso"}})
    source = read(lines(blocked(), allowed(), native(5158, {"SourcePort": 1}), other, foreign))
    assert source.records == sum(source.tally.frames.values()) == 5
    assert dict(source.tally.frames) == {
        "event 5157 (blocked)": 1,
        "event 5156 (allowed)": 1,
        "event 5158 (allowed to bind)": 1,
        "other events": 2,
    }


def test_broken_lines_are_counted_and_named(read: Read):
    source = read(lines(blocked(), '{"Event": {"System"', "garbage", allowed(), '{"no": "event"}'))
    assert (source.records, source.skipped) == (2, 3)
    (damaged,) = (one.text for one in source.warnings if one.code == "damaged")
    assert damaged.startswith("3 records were not readable (line 2: ")
    assert "line 5: no Windows event" in damaged


@pytest.mark.parametrize("values", [{"SourceAddress": "nobody"}, {"DestPort": 70000}, {"Protocol": "x" * 5000}])
def test_an_event_that_cannot_be_true_is_skipped_and_told(read: Read, values: Table):
    source = read(lines(blocked(), blocked(**values)))
    assert (source.records, source.skipped) == (1, 1)
    assert "1 event skipped: an address, port, or time is missing (first: 7)." in " ".join(
        one.text for one in source.warnings
    )


BROKEN = ("", "{", '{"a": "x', "nonsense", "[" * 50, '{"a": ' * 3, '{"EventID": "?"}', "\x00\x00", "null")


def test_of_an_array_in_one_line_only_what_is_broken_is_lost(read: Read):
    good = [json.dumps(blocked(SourcePort=50000 + n)) for n in range(3)]
    source = read(f"[{good[0]}, {{bad}}, {good[1]},1, {good[2]}]".encode())
    assert (source.records, source.skipped, len(source.flows)) == (3, 2, 3)


@pytest.mark.parametrize("zeros", [10, 5_000])
def test_a_file_that_was_allocated_before_it_was_written(read: Read, zeros: int):
    assert read(b"\0" * zeros + lines(blocked())).records == 1


def test_a_line_of_brackets_is_counted(read: Read):
    source = read(lines(blocked(), "[" * 100_000, blocked()))
    assert (source.records, source.skipped) == (2, 1)
    assert "line 2: brackets that hold no object" in source.warnings[0].text


@given(st.lists(st.sampled_from(BROKEN) | st.integers(0, 3), max_size=30))
def test_whatever_stands_between_them_no_event_is_lost_or_invented(read: Read, parts: list[str | int]):
    mixed = [blocked(SourcePort=40000 + n) if isinstance(one, int) else one for n, one in enumerate(parts)]
    source = read(lines(blocked(), *mixed))
    assert source.records == 1 + sum(isinstance(one, int) for one in parts) == len(source.flows)
    nothing = ("", "\x00\x00", "[" * 50)
    assert source.skipped == sum(isinstance(one, str) and one not in nothing for one in parts)


@given(st.binary(max_size=300))
def test_any_bytes_behind_the_first_event_give_a_source(read: Read, rest: bytes):
    source = read(lines(blocked()) + rest)
    assert source.records >= 1


# hostile and other input: one clear line


def message(read: Read, content: bytes) -> str:
    with pytest.raises(SourceError) as error:
        read(content)
    assert "\n" not in str(error.value)
    return str(error.value)


@pytest.mark.parametrize(
    ("content", "told"),
    [
        (
            lines(native(1, {}, Channel="System")),
            "this is the log 'System', which contains no traffic. Export the Sec",
        ),
        (
            lines(native(4624, {})),
            "none of its 1 events is a blocked or allowed connection (5152, 5156, 5157). Turn",
        ),
        (
            b"{}\n{}\n",
            "no Windows event is in this JSON (2 records were not readable (line 1: no Windows event; line 2",
        ),
        (b'{"a":' * 100_000, "no Windows event is in this JSON"),
        (b'{"a": "' + b"x" * 3_000_000, "no Windows event is in this JSON"),
        (b'{"a": ' + b"9" * 100_000 + b"}", "no Windows event is in this JSON"),
        (b"[]", "this event log is empty"),
        (lines(blocked(SourceAddress=None)), "none of its 1 events about connections has addresses and ports"),
        (b'<?xml version="1.0"?><!DOCTYPE x [<!ENTITY a "aa">]><Events/>', "this is an XML file, not a"),
        (b"<Event xmlns='x'>", "Save it as .evtx: wevtutil epl Security security.evtx"),
        (EVTX_MAGIC + bytes(200), "the event log cannot be read ("),
    ],
)
def test_what_cannot_be_audited_is_told_in_one_line(read: Read, content: bytes, told: str):
    assert told in message(read, content)


def test_without_the_package_an_evtx_file_says_how_to_get_it(read: Read, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setitem(sys.modules, "evtx", None)
    told = message(read, EVTX_MAGIC + bytes(4088))
    assert "needs the package evtx. Install it with: pipx inject auditor evtx" in told


def test_a_gzip_bomb_is_stopped(read: Read):
    with pytest.raises(SourceError, match="no Windows event"):
        read(gzip.compress(b'{"a": 1}\n' + b" " * 200_000_000))


def test_a_program_named_like_a_formula_does_not_run_in_a_spreadsheet(tmp_path: Path):
    log = tmp_path / "log"
    log.write_bytes(lines(blocked(Application="=cmd|'/c calc'!A1")))
    result = CliRunner().invoke(cli, ["flows", str(log), "--format", "csv"], standalone_mode=False)
    (row,) = csv.DictReader(io.StringIO(result.output))
    assert row["application"] == "'=cmd|'/c calc'!A1"


def test_flows_shows_what_the_firewall_did(tmp_path: Path):
    log = tmp_path / "log"
    log.write_bytes(lines(blocked()))
    result = CliRunner().invoke(cli, ["flows", str(log)], standalone_mode=False)
    assert "10.0.0.5:50000 > 10.0.0.20:445" in result.output
    assert result.output.splitlines()[-1].split()[-3:] == ["DROP", "RECEIVE", "4"]  # System


# The package evtx is native code. What it may do to a process, a stand-in does here, at one of several chunks.

CHUNK_OF_ONE = (b"ElfChnk\0" + (0).to_bytes(8, "little") + (0).to_bytes(8, "little")).ljust(65536, b"x")
DEEDS = {
    "spins": "while True: pass",
    "ends the process": "os.abort()",
    "takes all memory": "b = [bytearray(1 << 24) for _ in range(1 << 12)]",
    "panics": "raise type('PanicException', (BaseException,), {})('index out of bounds\\nbacktrace')",
    "raises without end": "raise RuntimeError('no such token')",
}


@pytest.fixture
def parser(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[[str, str], None]:
    """Return a function that puts a package evtx in place, which does something at a chunk that holds a mark."""

    def put(mark: str, deed: str) -> None:
        package = tmp_path / "packages"
        package.mkdir()
        (package / "evtx.py").write_text(f"""
import os
class PyEvtxParser:
    def __init__(self, file, **_):
        content = file.read()
        self.marked = {mark.encode()!r} in content
        self.events = iter([{{"event_record_id": content.index(b"x"), "data": {json.dumps(blocked())!r}}}])
    def records_json(self):
        return self
    def __next__(self):
        if self.marked:
            {deed}
        return next(self.events)
""")
        monkeypatch.syspath_prepend(package)
        monkeypatch.delitem(sys.modules, "evtx", raising=False)

    return put


@pytest.mark.parametrize("deed", DEEDS.values(), ids=DEEDS)
def test_a_chunk_at_which_the_parser_fails_costs_that_chunk(read: Read, parser: Callable[[str, str], None], deed: str):
    parser("MARK", deed)
    chunks = [CHUNK_OF_ONE, CHUNK_OF_ONE.replace(b"xxxx", b"MARK", 1), CHUNK_OF_ONE]
    source = read(EVTX_MAGIC.ljust(4096, b"\0") + b"".join(chunks))
    assert (source.format, source.records) == ("evtx", 2)
    assert source.skipped >= 1
    assert source.warnings[0].code == "damaged"


def test_a_log_that_stops_the_parser_in_every_chunk_is_given_up(read: Read, parser: Callable[[str, str], None]):
    parser("MARK", "os.abort()")
    stopping = CHUNK_OF_ONE.replace(b"xxxx", b"MARK", 1)
    source = read(EVTX_MAGIC.ljust(4096, b"\0") + CHUNK_OF_ONE + stopping * 40)
    assert (source.records, source.skipped) == (1, 40)
    assert (
        "chunk 2 stops the parser; chunk 3 stops the parser; chunks 4 to 41 were not tried" in source.warnings[0].text
    )


def test_a_parser_that_spins_is_ended_where_the_system_limits_no_processor_time(
    read: Read, parser: Callable[[str, str], None], monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr(evtx, "LIMITS_PROCESSOR_TIME", False)
    monkeypatch.setattr(evtx, "WALL_SECONDS", 3.0)
    parser("MARK", DEEDS["spins"])
    source = read(EVTX_MAGIC.ljust(4096, b"\0") + CHUNK_OF_ONE + CHUNK_OF_ONE.replace(b"xxxx", b"MARK", 1))
    assert (source.records, source.skipped) == (1, 1)


def test_the_log_tells_whose_firewall_it_is_and_what_it_can_show(read: Read):
    outbound = native(5156, BLOCKED | {"Direction": OUT, "SourceAddress": "10.0.0.20", "DestAddress": "10.0.0.1"})
    facts = read(lines(outbound, blocked(), blocked())).details.facts
    assert (facts.drops, facts.allows) == (2, 1)
    assert facts.local == (ComputerAddress("client01.contoso.example", "10.0.0.20", rows=3, sure=True),)


def test_icmp_that_is_no_echo_request_is_no_flow(read: Read):
    source = read(lines(blocked(), blocked(Protocol=1, SourcePort=3, DestPort=1)))
    assert rows(source, "protocol") == [("tcp",)]
    assert source.records == 2


def test_what_windows_drops_where_nobody_listens_asks_for_the_service_not_for_a_rule(tmp_path: Path):
    log = tmp_path / "security.jsonl"
    log.write_bytes(lines(blocked(FilterOrigin="Stealth")))
    report = auditor.audit(log, roles={"site-server": "10.0.0.5", "client": "10.0.0.20"}, dissect=False)
    smb = next(one for one in report.clients[0].method("client-push").requirements if one.row == "smb")
    assert smb.explanation.endswith(
        "dropped by the firewall of 10.0.0.20, as Windows Firewall does for closed ports (stealth mode)."
    )
    assert smb.remedy_text.startswith("Check that the service runs on 10.0.0.20")
