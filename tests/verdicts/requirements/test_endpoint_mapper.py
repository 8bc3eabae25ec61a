"""Dynamic RPC ports by interface and by data at the endpoint mapper: what is assigned, and which port decides."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable
from dataclasses import replace
from functools import partial
from itertools import starmap
from pathlib import Path

import pytest
from actions import action
from hypothesis import given, settings
from hypothesis import strategies as st
from logs import log
from mapped_ports import CLIENT, ROLES, RULES, SERVER, Read, Taken, audit, cast_of
from packets import At, pcap, talk
from scenario import scene
from security_events import IN, native

import auditor
from auditor import Report
from auditor.report.model import MethodResult, RequirementVerdict
from auditor.ruleset.known_problems import StatusMeaning
from auditor.ruleset.ruleset import SiteFacts
from auditor.sources.dissection.facts import (
    SERVICE_CONTROLLER,
    AssignedPort,
    ProtocolStep,
    ServiceEndpoint,
)
from auditor.sources.files.warnings import SourceWarning
from auditor.verdicts import evaluate as verdicts
from auditor.version import TOOL

WMI = "DCOM (WMI)"
AT_MAPPER = f"2 {SERVER}:50001 > {CLIENT}:135/tcp SF"
SMB = f"1 {SERVER}:50000 > {CLIENT}:445/tcp SF"


Audited = Callable[..., Report]


@pytest.fixture
def audited(read: Read) -> Audited:
    return partial(audit, read)


def push(report: Report) -> MethodResult:
    return report.clients[0].method("client-push")


def dynamic(report: Report) -> RequirementVerdict:
    return next(one for one in push(report).requirements if one.row == "rpc-dynamic")


def at(second: int, port: int, outcome: str, *, source_port: int | None = None) -> str:
    return f"{second} {SERVER}:{source_port or 40000 + second} > {CLIENT}:{port}/tcp {outcome}"


def mapper_at(second: int) -> str:
    return f"{second} {SERVER}:{30000 + second} > {CLIENT}:135/tcp SF"


def changed(one: RequirementVerdict) -> tuple[str, str] | None:
    return one.changed and (one.changed.before, one.changed.after)


UNREAD = ProtocolStep(ServiceEndpoint(SERVER, CLIENT, 135), "rpc", action("activate"), 0, "", None, result_read=False)


@pytest.mark.parametrize(
    ("client", "steps", "more", "verdict"),
    [
        (SERVER, (), [], "open"),
        ("10.0.0.9", (), [], "refused"),
        (SERVER, (UNREAD,), [], "refused"),
        (SERVER, (), [mapper_at(3)], "refused"),
        (SERVER, (), [mapper_at(3).replace("SF", "only answers")], "refused"),
        (SERVER, (), [mapper_at(9)], "open"),
    ],
    ids=["all read", "of another computer", "one not readable", "one not read", "one with answers only", "one later"],
)
def test_where_all_assignments_were_read_no_other_port_counts(audited, client, steps, more, verdict):
    lines = [SMB, AT_MAPPER, at(4, 49700, "SF"), at(5, 55555, "REJ"), *more]
    assert dynamic(audited(Taken(lines, {49700: "svcctl"}, steps, client))).verdict == verdict


@pytest.mark.parametrize(
    ("known", "verdict"),
    [
        ({}, "open"),
        ({"obstacle": "tshark failed"}, "refused"),
        ({"warnings": (SourceWarning("long-flow", "9 packets were not dissected."),)}, "refused"),
        ({"warnings": (SourceWarning("tunnel", "9 packets are in a tunnel."),)}, "open"),
    ],
    ids=["all read", "a dissector failed", "a long flow", "another warning"],
)
def test_where_not_all_was_dissected_not_all_assignments_are_known(audited, known, verdict):
    taken = Taken([SMB, AT_MAPPER, at(4, 49700, "SF"), at(5, 55555, "REJ")], {49700: "svcctl"}, client=SERVER)
    assert dynamic(audited(taken, **known)).verdict == verdict


def test_a_port_that_is_assigned_later_stands_for_none_before(audited):
    """Of two connections to the endpoint mapper only one shows what it assigned by then."""
    lines = [SMB, AT_MAPPER, mapper_at(3), at(4, 55555, "REJ"), at(9, 49700, "SF"), at(10, 49701, "SF")]
    taken = Taken(lines, {49700: "svcctl", 49701: "winreg"}, client=SERVER, frames={49700: 1, 49701: 512})
    assert dynamic(audited(taken)).verdict == "refused"


@pytest.mark.parametrize(("port", "verdict"), [(8531, "not-observed"), (50001, "open")])
def test_of_a_connection_without_its_begin_a_dynamic_port_may_be_that_of_its_originator(audited, port, verdict):
    found = dynamic(audited(Taken([SMB, AT_MAPPER, f"3 {SERVER}:{port} > {CLIENT}:49700/tcp mid-stream"])))
    assert found.verdict == verdict


def test_of_a_connection_without_its_begin_no_port_of_its_originator_counts(audited):
    found = dynamic(audited(Taken([SMB, AT_MAPPER, f"3 {CLIENT}:50001 > {SERVER}:49700/tcp mid-stream"])))
    assert found.verdict == "not-observed"


@pytest.mark.parametrize(
    ("source_port", "outcome", "is_told"),
    [(40000, "SF", True), (8531, "mid-stream", False), (50000, "mid-stream", True)],
)
def test_a_port_of_old_versions_may_be_that_of_the_originator_too(audited, source_port, outcome, is_told):
    line = f"3 {SERVER}:{source_port} > {CLIENT}:2000/tcp {outcome}"
    found = dynamic(audited(Taken([SMB, AT_MAPPER, line])))
    assert (" TCP 2000 was tried, in the range of versions before Windows Vista." in found.explanation) == is_told


@pytest.mark.parametrize(("protocol", "words"), [("tcp", " TCP 49700 was tried, but not soon after"), ("udp", "")])
def test_a_port_that_was_tried_too_early_is_told_of_tcp_only(audited, protocol, words):
    outcome = "REJ" if protocol == "tcp" else "answered"
    found = dynamic(audited(Taken([SMB, f"1 {SERVER}:50001 > {CLIENT}:49700/{protocol} {outcome}", mapper_at(5)])))
    assert found.verdict == "not-observed"
    assert words in found.explanation
    assert found.explanation.endswith(" does not count as a dynamic RPC port." if words else " on TCP dynamic.")


def test_the_lowest_of_the_ports_that_were_tried_too_early_are_named(audited):
    ports = (65000, 49701, 60008, 50017)
    lines = [at(1 + n, port, "REJ", source_port=55000 + n) for n, port in enumerate(ports)]
    assert " TCP 49701, 50017, 60008 and 1 more were tried, but" in dynamic(audited(Taken([SMB, *lines]))).explanation


# the interface for which a port was assigned


def test_an_open_port_of_another_interface_does_not_take_back_a_blocked_one(audited):
    lines = [AT_MAPPER, at(3, 49700, "S0"), at(30, 49701, "SF")]
    found = dynamic(audited(Taken(lines, {49700: "winreg", 49701: "svcctl"})))
    assert (found.verdict, changed(found)) == ("blocked", None)
    assert found.explanation.endswith(" TCP 49701 was open later, but for another RPC interface (svcctl).")


def test_the_same_interface_at_another_port_takes_it_back(audited):
    lines = [AT_MAPPER, at(3, 49700, "S0"), mapper_at(900), at(901, 49701, "SF")]
    found = dynamic(audited(Taken(lines, {49700: "winreg", 49701: "winreg"})))
    assert (found.verdict, changed(found)) == ("open", ("blocked", "open"))


@pytest.mark.parametrize(("frame", "told"), [(1, "winreg, see frame 1"), (512, "svcctl, see frame 0")])
def test_an_attempt_is_of_the_interface_that_its_port_was_last_assigned_to(audited, frame, told):
    again = [AssignedPort(CLIENT, 49700, "winreg", frame, "test")]
    found = dynamic(audited(Taken([AT_MAPPER, at(3, 49700, "S0")], {49700: "svcctl"}, again=again)))
    assert f"(for {told})" in found.explanation


@pytest.mark.parametrize(("assigned", "verdict"), [({}, "not-observed"), ({49700: "svcctl"}, "refused")])
def test_a_port_of_a_class_that_no_push_activates_counts_if_it_was_assigned_to_another_too(audited, assigned, verdict):
    again = [AssignedPort(CLIENT, 49700, "DCOM (MMC)", 1, "test", serves_push=False)]
    assert dynamic(audited(Taken([AT_MAPPER, at(3, 49700, "REJ")], assigned, again=again))).verdict == verdict


def test_an_interface_that_is_known_is_not_that_of_an_unknown_port(audited):
    lines = [AT_MAPPER, at(3, 49700, "S0"), mapper_at(900), at(901, 49701, "SF")]
    for assigned in ({49700: "winreg"}, {49701: "winreg"}):
        found = dynamic(audited(Taken(lines, assigned)))
        assert (found.verdict, changed(found)) == ("blocked", None)
        assert "The sources do not show that it belongs to the same RPC interface" in found.explanation


def test_a_proven_block_of_an_earlier_push_is_kept_beside_a_likely_one(audited):
    lines = [AT_MAPPER, at(3, 49700, "prohibited by 10.0.0.1"), mapper_at(900), at(901, 49701, "S0")]
    found = dynamic(audited(Taken(lines, {49700: "winreg", 49701: "svcctl"})))
    assert (found.confidence, [block.ports for block in found.also_blocked]) == ("proven", [])
    found = dynamic(audited(Taken(lines, {49700: "svcctl", 49701: "winreg"})))
    assert (found.confidence, [block.ports for block in found.also_blocked]) == ("likely", [(49700,)])


def test_of_several_proven_blocks_of_one_push_the_one_that_decides_says_it_all(audited):
    lines = [AT_MAPPER, *(at(n, 49700 + n, "prohibited by 10.0.0.1") for n in (3, 4))]
    found = dynamic(audited(Taken(lines, {49703: "winreg", 49704: "IWbemLevel1Login"})))
    assert (found.verdict, found.confidence, found.also_blocked) == ("blocked", "proven", ())
    assert found.ports == (49703, 49704)


def test_another_interface_at_the_same_port_does_not_take_it_back(audited):
    """After a restart Windows assigns a port to another service."""
    first = Taken([AT_MAPPER, at(3, 49700, "S0")], {49700: "winreg"})
    second = Taken([mapper_at(900), at(901, 49700, "SF")], {49700: "svcctl"})
    found = dynamic(audited(first, second))
    assert (found.verdict, changed(found)) == ("blocked", None)


def test_an_interface_that_one_source_names_is_that_of_the_port_in_another(audited):
    first = Taken([AT_MAPPER, at(3, 49700, "S0")])
    second = Taken([mapper_at(900), at(901, 49700, "SF")], {49700: "winreg"})
    for captures in ((first, second), (second, first)):
        found = dynamic(audited(*captures))
        assert (found.verdict, changed(found)) == ("open", ("blocked", "open"))


def test_a_port_that_sources_name_for_two_interfaces_is_none_of_them_elsewhere(audited):
    unknown = Taken([AT_MAPPER, at(3, 49700, "S0")])
    later = Taken([mapper_at(900), at(901, 49700, "SF")], {49700: "winreg"})
    other = Taken([mapper_at(1800), at(1801, 49700, "SF")], {49700: "svcctl"})
    assert dynamic(audited(unknown, later, other)).verdict == "blocked"


def test_a_port_that_was_assigned_counts_whatever_its_number_and_its_time(audited):
    for port in (1025, 7000, 49700):
        assert dynamic(audited(Taken([SMB, at(500, port, "REJ")], {port: "winreg"}))).verdict == "refused"


def test_an_assigned_port_is_never_one_of_a_scan(audited):
    scan = f"4 {SERVER}:51000 > {CLIENT}:49152-49300/tcp REJ"
    found = dynamic(audited(Taken([AT_MAPPER, at(3, 1025, "S0"), scan], {1025: "winreg", 49160: WMI})))
    assert (found.verdict, found.ports) == ("refused", (1025, 49160))
    assert f"{SERVER} tried 148 dynamic ports" in found.explanation


@pytest.mark.parametrize(("second", "verdict"), [(78, "not-observed"), (79, "refused")])
def test_what_comes_a_minute_after_the_last_port_of_a_scan_is_still_one_of_it(audited, second, verdict):
    ports = [at(3 + n, 49700 + n, "REJ") for n in range(16)]
    found = dynamic(audited(Taken([AT_MAPPER, *ports, mapper_at(70), at(second, 49800, "REJ")])))
    assert found.verdict == verdict


def test_a_connection_from_its_middle_is_no_attempt_at_the_higher_port_of_the_client(audited):
    """By their ports it is the client that tried, from a port that only looks like a dynamic one."""
    middle = f"3 {CLIENT}:50000 > {SERVER}:49152/tcp mid-stream"
    assert dynamic(audited(Taken([SMB, AT_MAPPER, middle]))).verdict == "not-observed"


# the service controller, which a push can call through its pipe


def test_the_service_controller_alone_ends_no_push(audited):
    report = audited(Taken([SMB, AT_MAPPER, at(3, 49700, "S0")], {49700: "svcctl"}))
    assert push(report).result == "unproven"
    assert "does not fail the push" in dynamic(report).explanation
    (remedy,) = dynamic(report).remedy
    assert (remedy.place, remedy.action.partition(".")[0]) == ("client", "No change is required")


def opened(frame: int, client: str = CLIENT, *, step: str = f"open {SERVICE_CONTROLLER}") -> ProtocolStep:
    return ProtocolStep(ServiceEndpoint(SERVER, client, 445), "smb", action(step), frame, "0x00000000", None)


def test_the_frame_in_which_its_pipe_was_opened_is_cited(audited):
    """The last time; only what went well, on this client, and of this pipe."""
    failed = replace(opened(9), status=StatusMeaning("STATUS_ACCESS_DENIED", "no rights", False, "Check them."))
    steps = [opened(5), opened(7), failed, opened(11, "10.0.0.99"), opened(13, step="open winreg")]
    found = dynamic(audited(Taken([SMB, AT_MAPPER, at(3, 49700, "S0")], {49700: "svcctl"}, steps)))
    assert "falls back to its named pipe over SMB (frame 7), after" in found.explanation


def test_it_ends_the_push_where_its_pipe_is_not_seen_open(audited):
    assert push(audited(Taken([AT_MAPPER, at(3, 49700, "S0")], {49700: "svcctl"}))).result == "fails"


@pytest.mark.parametrize("other", [{}, {49701: "winreg"}], ids=["unknown", "known"])
@pytest.mark.parametrize("second", [2, 4], ids=["before", "after"])
def test_another_blocked_interface_ends_the_push_and_is_the_one_to_explain(audited, other, second):
    lines = [SMB, AT_MAPPER, at(3, 49700, "prohibited by 10.0.0.1"), at(second, 49701, "S0", source_port=55000)]
    report = audited(Taken([*lines, "0 10.0.0.5:50009 > 10.0.0.20:135/tcp SF"], {49700: "svcctl"} | other))
    assert push(report).result == "fails"
    assert "TCP 49701 from" in dynamic(report).explanation
    assert "does not fail the push" not in dynamic(report).explanation


def test_a_blocked_interface_of_an_earlier_push_ends_it_too(audited):
    lines = [SMB, AT_MAPPER, at(3, 49700, "S0"), mapper_at(900), at(901, 49701, "S0")]
    assert push(audited(Taken(lines, {49700: "winreg", 49701: "svcctl"}))).result == "fails"


def test_an_interface_that_was_blocked_and_is_open_now_ends_nothing(audited):
    lines = [SMB, AT_MAPPER, at(3, 49700, "S0"), mapper_at(900), at(901, 49700, "SF"), at(902, 49701, "S0")]
    method = push(audited(Taken(lines, {49700: "winreg", 49701: "svcctl"})))
    assert method.result == "unproven"


# events name the program that listens: services.exe is that of the service controller


def event(second: int, port: int, program: str, *, allowed: bool) -> dict[str, object]:
    values = {
        "ProcessID": 4,
        "Application": program,
        "Direction": IN,
        "SourceAddress": SERVER,
        "SourcePort": str(40000 + second),
        "DestAddress": CLIENT,
        "DestPort": str(port),
        "Protocol": 6,
        "FilterRTID": 1,
        "LayerName": "%%14610",
        "LayerRTID": 44,
    }
    return native(5156 if allowed else 5157, values, f"2026-03-01T08:{second // 60:02}:{second % 60:02}Z")


SERVICES = r"\device\harddiskvolume2\windows\system32\services.exe"
SVCHOST = r"\device\harddiskvolume2\windows\system32\svchost.exe"


def of_events(folder: Path, *events: dict[str, object]) -> Report:
    path = folder / "security.jsonl"
    path.write_text("\n".join(map(json.dumps, events)) + "\n", encoding="utf-8")
    return auditor.audit(path, roles=ROLES, dissect=False)


def opening() -> list[dict[str, object]]:
    return [event(0, 445, "System", allowed=True), event(1, 135, SVCHOST, allowed=True)]


def test_the_program_of_the_service_controller_tells_its_port(tmp_path):
    report = of_events(tmp_path, *opening(), event(2, 49700, SERVICES, allowed=False))
    assert (dynamic(report).verdict, push(report).result) == ("blocked", "unproven")


def test_a_port_of_another_program_beside_it_is_not_excused(tmp_path):
    blocked = [event(2 + n, 49700 + n, program, allowed=False) for n, program in enumerate((SERVICES, SVCHOST))]
    assert push(of_events(tmp_path, *opening(), *blocked)).result == "fails"


def test_the_program_of_the_service_controller_tells_its_port_at_other_times_too(tmp_path):
    """An event without the program is of the same port."""
    blocked = [event(2, 49700, "", allowed=False), event(60, 49700, SERVICES, allowed=True)]
    report = of_events(tmp_path, *opening(), *blocked, event(70, 49701, SERVICES, allowed=False))
    assert (dynamic(report).verdict, push(report).result) == ("blocked", "unproven")


def test_a_port_of_the_service_controller_is_not_taken_from_its_number(tmp_path):
    """Even where nothing is logged of what was let through."""
    of_program = dynamic(of_events(tmp_path, event(2, 49700, SERVICES, allowed=False)))
    assert (of_program.verdict, of_program.confidence) == ("blocked", "proven")
    assert f"dropped by the firewall that wrote the log (program {SERVICES})." in of_program.explanation
    of_number = dynamic(of_events(tmp_path, event(2, 49700, SVCHOST, allowed=False)))
    assert (of_number.verdict, of_number.confidence) == ("blocked", "likely")
    assert "Only the port number shows that it is an RPC port" in of_number.explanation
    assert "Only the port number shows" not in of_program.explanation


# logs, which hold no data


def row(second: int, action: str, port: int) -> str:
    time = f"22:{13 + (20 + second) // 60:02}:{(20 + second) % 60:02}"
    numbers = f"{40000 + second} {port} 52 S {41000 + second} 0 8192"
    return f"2023-11-14 {time} {action} TCP {SERVER} {CLIENT} {numbers} - - - RECEIVE"


def of_log(folder: Path, rows: Iterable[str], *captures: Path) -> Report:
    path = folder / "pfirewall.log"
    path.write_bytes(log(*rows))
    return auditor.audit(path, *captures, roles=ROLES, dissect=False)


def test_in_a_log_an_allowed_connection_to_the_endpoint_mapper_is_enough(tmp_path):
    assert dynamic(of_log(tmp_path, [row(2, "ALLOW", 135), row(3, "DROP", 49700)])).verdict == "blocked"


@pytest.mark.parametrize(("second", "verdict"), [(302, "blocked"), (303, "not-observed")])
def test_in_a_log_five_minutes_after_the_endpoint_mapper_is_soon(tmp_path, second, verdict):
    assert dynamic(of_log(tmp_path, [row(2, "ALLOW", 135), row(second, "DROP", 49700)])).verdict == verdict


@pytest.mark.parametrize(("second", "verdict"), [(62, "blocked"), (63, "not-observed")])
def test_in_a_log_a_minute_may_lie_between_two_clocks(tmp_path, second, verdict):
    assert dynamic(of_log(tmp_path, [row(second, "ALLOW", 135), row(2, "DROP", 49700)])).verdict == verdict


@pytest.mark.parametrize(("rows", "verdict"), [([row(2, "ALLOW", 135)], "refused"), ([], "not-observed")])
def test_a_connection_in_a_log_may_have_lasted_for_minutes_beside_a_capture_too(tmp_path, write, rows, verdict):
    capture = write(pcap(scene([mapper_at(1), at(200, 49700, "REJ")])))
    path = tmp_path / "pfirewall.log"
    path.write_bytes(log(row(0, "ALLOW", 445), *rows))
    assert dynamic(auditor.audit(path, capture, roles=ROLES, tz="UTC", dissect=False)).verdict == verdict


@pytest.mark.parametrize(("rows", "verdict"), [([row(2, "ALLOW", 135)], "refused"), ([], "not-observed")])
def test_of_a_clock_that_cannot_be_compared_any_time_may_be_soon_before(tmp_path, write, rows, verdict):
    capture = write(pcap(scene([mapper_at(1), at(2000, 49700, "REJ")])))
    assert dynamic(of_log(tmp_path, [row(0, "ALLOW", 445), *rows], capture)).verdict == verdict


@pytest.mark.parametrize(("flags", "is_told"), [("S", True), ("RA", False)])
def test_in_a_log_a_port_of_old_versions_may_be_that_of_the_originator_too(tmp_path, flags, is_told):
    entry = row(3, "DROP", 2000).replace(" 40003 ", " 8531 ").replace(" S ", f" {flags} ")
    found = dynamic(of_log(tmp_path, [row(2, "ALLOW", 135), entry]))
    assert (" TCP 2000 was tried" in found.explanation) == is_told


def test_a_dropped_connection_to_the_endpoint_mapper_is_not_enough(tmp_path):
    rows = [row(1, "ALLOW", 445), row(2, "DROP", 135), row(3, "DROP", 49700)]
    assert dynamic(of_log(tmp_path, rows)).verdict == "not-observed"


def test_a_bare_handshake_assigns_nothing_though_a_log_says_it_was_allowed(tmp_path, write):
    """The capture and the log show the same connection, and the capture shows more of it."""
    rows = [row(2, "ALLOW", 135), row(3, "DROP", 49700)]
    capture = write(pcap(scene([f"2 {SERVER}:40002 > {CLIENT}:135/tcp handshake", at(3, 49700, "S0"), "until 20"])))
    assert dynamic(of_log(tmp_path, rows, capture)).verdict == "not-observed"
    capture = write(pcap(scene([f"2 {SERVER}:40002 > {CLIENT}:135/tcp SF", at(3, 49700, "S0"), "until 20"])))
    assert dynamic(of_log(tmp_path, rows, capture)).verdict == "blocked"


def test_another_connection_in_a_log_counts_beside_a_bare_handshake(tmp_path, write):
    rows = [row(12, "ALLOW", 135), row(13, "DROP", 49700)]
    capture = write(pcap(scene([f"2 {SERVER}:40002 > {CLIENT}:135/tcp handshake", "until 20"])))
    assert dynamic(of_log(tmp_path, rows, capture)).verdict == "blocked"


def test_a_scan_in_a_log_is_no_push(tmp_path):
    rows = [row(2, "ALLOW", 135), *(row(3 + n, "DROP", 49700 + n) for n in range(17))]
    found = dynamic(of_log(tmp_path, rows))
    assert (found.verdict, found.attempts) == ("not-observed", 0)
    assert f"{SERVER} tried 17 dynamic ports from TCP 49700 to TCP 49716" in found.explanation


def test_a_scan_in_a_log_of_drops_only_is_no_push(tmp_path):
    assert dynamic(of_log(tmp_path, [row(3, "DROP", 49700)])).verdict == "blocked"
    assert dynamic(of_log(tmp_path, [row(3 + n, "DROP", 49700 + n) for n in range(17)])).verdict == "not-observed"


def test_a_block_that_a_capture_shows_as_well_is_not_taken_from_its_number(tmp_path, write):
    lines = [f"2 {SERVER}:40002 > {CLIENT}:135/tcp SF", at(3, 49700, "S0"), "until 20"]
    found = dynamic(of_log(tmp_path, [row(3, "DROP", 49700)], write(pcap(scene(lines)))))
    assert (found.verdict, found.confidence) == ("blocked", "proven")


def test_one_scan_that_two_sources_saw_is_one(tmp_path, write):
    lines = [f"2 {SERVER}:40002 > {CLIENT}:135/tcp SF", *(at(3 + n, 49700 + n, "S0") for n in range(16)), "until 40"]
    rows = [row(2, "ALLOW", 135), *(row(3 + n, "DROP", 49700 + n) for n in range(16))]
    found = dynamic(of_log(tmp_path, rows, write(pcap(scene(lines)))))
    assert (found.verdict, found.attempts) == ("blocked", 16)


# data at the endpoint mapper, in time


@pytest.mark.parametrize(
    ("outcome", "verdict"),
    [("one-sided", "refused"), ("unanswered request", "not-observed")],
)
def test_data_one_way_assigns_a_port_only_where_no_other_way_was_captured(audited, outcome, verdict):
    mapper = AT_MAPPER.replace("SF", outcome)
    assert dynamic(audited(Taken([SMB, mapper, at(3, 49700, "REJ")]))).verdict == verdict


def test_data_one_way_may_have_assigned_a_port_as_soon_as_the_connection_began(write):
    mapper = zip((2, 2.1, 200, 300), talk(f"{SERVER}:50001 > {CLIENT}:135", "S A 5PA FA"), strict=True)
    captures = [pcap(starmap(At, mapper)), pcap(scene([SMB, at(100, 49700, "REJ")]))]
    assert dynamic(auditor.audit(*map(write, captures), roles=ROLES, dissect=False)).verdict == "refused"


def test_data_that_comes_after_the_attempt_assigned_nothing(read):
    mapper = [At(2 + n, packet) for n, packet in enumerate(talk(f"{SERVER}:50001 > {CLIENT}:135", "S <SA A"))]
    data = [
        At(30 + n, packet) for n, packet in enumerate(talk(f"{SERVER}:50001 > {CLIENT}:135", "S <SA A 5PA <5PA A")[3:])
    ]

    def verdict(second: int) -> str:
        tried = scene([at(second, 49700, "REJ")])
        packets = sorted([*mapper, *data, *tried], key=lambda one: one.seconds)
        return dynamic(audit_packets(read, packets)).verdict

    assert verdict(10) == "not-observed"
    assert verdict(30) == "not-observed"
    assert verdict(33) == "refused"


def test_the_order_of_the_captures_does_not_matter_to_what_went_before(audited):
    captures = [Taken([mapper_at(500)]), Taken([mapper_at(2), at(300, 49700, "SF")])]
    assert [dynamic(audited(*order)).verdict for order in (captures, captures[::-1])] == ["not-observed"] * 2


def test_a_connection_to_the_endpoint_mapper_lasts_until_its_last_packet(read):
    words = talk(f"{SERVER}:50001 > {CLIENT}:135", "S <SA A 5PA <5PA A FA <FA A")
    mapper = [At(20 * place, packet) for place, packet in enumerate(words)]  # for 160 s
    for second, verdict in ((219, "refused"), (221, "not-observed")):
        assert dynamic(audit_packets(read, [*mapper, *scene([at(second, 49700, "REJ")])])).verdict == verdict


def audit_packets(read: Read, packets: list[At]) -> Report:
    sources = [read(pcap(packets))]
    cast = cast_of(sources)
    return verdicts.audit(sources, RULES, cast, SiteFacts(), ["client-push"], TOOL)


# whatever else is in the capture

HIGH = st.integers(49152, 65535).filter(lambda port: port != 49700)
OUTCOMES = st.sampled_from(("SF", "S1", "handshake", "half-open", "mid-stream"))
OPEN = st.lists(st.tuples(st.integers(0, 1000), HIGH, OUTCOMES, st.sampled_from(("", "svcctl", WMI))), max_size=40)
BLOCKED = [mapper_at(100), at(101, 49700, "S0")]


@given(OPEN, st.booleans())
@settings(max_examples=60)
def test_no_open_port_of_another_interface_takes_back_a_blocked_one(read, added, known):
    opened = [at(second, port, outcome, source_port=50000 + n) for n, (second, port, outcome, _) in enumerate(added)]
    assigned = {port: name for _, port, _, name in added if name} | ({49700: "winreg"} if known else {})
    found = dynamic(audit(read, Taken([*BLOCKED, "until 1100", *opened], assigned)))
    assert (found.verdict, found.confidence) == ("blocked", "likely")
    assert "TCP 49700 from" in found.explanation


BARE = st.sampled_from(("handshake", "handshake reset", "half-open", "unanswered request", "REJ", "S0"))
ANY = st.sampled_from(("SF", "S1", "handshake", "half-open", "REJ", "S0", "S0 once", "prohibited by 10.0.0.1"))


@given(
    st.lists(st.tuples(st.integers(0, 100), BARE), max_size=5),
    st.lists(st.tuples(st.integers(0, 100), st.integers(49152, 65535), ANY), max_size=30),
)
@settings(max_examples=60)
def test_a_bare_handshake_at_the_endpoint_mapper_assigns_no_port(read, bare, tried):
    lines = [f"{second} {SERVER}:{20000 + n} > {CLIENT}:135/tcp {how}" for n, (second, how) in enumerate(bare)]
    lines += [at(second, port, how, source_port=30000 + n) for n, (second, port, how) in enumerate(tried)]
    found = dynamic(audit(read, Taken([SMB, *lines, "until 120"])))
    assert (found.verdict, found.ports, found.evidence) == ("not-observed", (), ())
