"""Verdicts from the rows of logs, alone and beside captures of the same attempt."""

from __future__ import annotations

import collections
from collections.abc import Callable
from pathlib import Path

import pytest
from log_verdicts import ROLES, said, verdict
from logs import firewall_log, row
from packets import BEGIN, pcap
from scenario import scene
from security_events import BLOCKED, blocked, lines

import auditor
from auditor.verdicts.correlation import match as joining

SMB = "10.0.0.5:50000 > 10.0.0.20:445/tcp"

Audited = Callable[..., auditor.Report]


@pytest.fixture
def audited(tmp_path: Path, write: Callable[[bytes], Path]) -> Audited:
    """Return how to audit rows ("TIME ACTION FROM > TO FLAGS PATH") beside lines of a scene."""

    def audited(*rows: str, lines: list[str] | None = None, **known: object) -> auditor.Report:
        log = tmp_path / "pfirewall.log"
        log.write_bytes(firewall_log(*map(row, rows)))
        sources = [log, write(pcap(scene(lines)))] if lines else [log]
        return auditor.audit(*sources, dissect=False, **({"roles": ROLES} | known))

    return audited


# alone


def test_a_dropped_row_is_proof_and_names_the_firewall(audited):
    smb = verdict(audited("08:00:00 DROP 10.0.0.5:50000 > 10.0.0.20:445 S RECEIVE"), "smb")
    assert said(smb) == "blocked proven client"
    assert smb.explanation == "TCP 445 from 10.0.0.5 to 10.0.0.20: dropped by the firewall of 10.0.0.20."
    assert [one.lines for one in smb.evidence] == [(6,)]
    assert "'auditor: client-push/smb'" in smb.remedy_text


def test_the_syns_of_one_attempt_are_one_attempt(audited):
    times = ("08:00:00", "08:00:03", "08:00:09")
    smb = verdict(audited(*(f"{time} DROP 10.0.0.5:50000 > 10.0.0.20:445 S RECEIVE" for time in times)), "smb")
    assert (smb.attempts, smb.evidence[0].lines) == (1, (6, 7, 8))
    assert "dropped 3 times by the firewall of 10.0.0.20." in smb.explanation


def test_an_attempt_begins_with_its_earliest_row_wherever_that_stands(audited):
    rows = (f"08:00:0{second} DROP 10.0.0.5:50000 > 10.0.0.20:445 S RECEIVE" for second in (3, 0, 9))
    smb = verdict(audited(*rows), "smb")
    assert [text[-9:-7] for text in (smb.first_time, smb.last_time)] == ["00", "09"]


def test_what_the_site_server_may_not_send_is_blocked_there(audited):
    smb = verdict(audited("08:00:00 DROP 10.0.0.5:50000 > 10.0.0.20:445 - SEND"), "smb")
    assert said(smb) == "blocked proven site-server"
    assert smb.remedy[0].text == "On 10.0.0.5, allow outbound TCP 445 to 10.0.0.20."


def test_the_remedy_of_a_dropped_ping_names_echo_requests(audited):
    ping = verdict(audited("08:00:00 DROP 10.0.0.5 > 10.0.0.20 - SEND"), "icmp-echo")
    assert ping.remedy[0].text == "On 10.0.0.5, allow outbound ICMP echo requests to 10.0.0.20."


def test_an_allowed_row_says_that_it_passed_and_no_more(audited):
    report = audited("08:00:00 ALLOW 10.0.0.5:50000 > 10.0.0.20:445 - RECEIVE")
    assert said(verdict(report, "smb")) == "allowed proven"
    assert (
        "allowed inbound by the firewall of 10.0.0.20. A log does not show whether there was a response."
        in verdict(report, "smb").explanation
    )
    assert any(text.startswith('"Allowed" means') for text in report.limitation_texts)


def test_a_push_that_every_row_allows_is_allowed(audited):
    report = audited(
        "08:00:00 ALLOW 10.0.0.5 > 10.0.0.20 - RECEIVE",
        "08:00:01 ALLOW 10.0.0.5:50000 > 10.0.0.20:445 - RECEIVE",
        "08:00:02 ALLOW 10.0.0.5:50001 > 10.0.0.20:135 - RECEIVE",
        "08:00:03 ALLOW 10.0.0.5:50002 > 10.0.0.20:49670 - RECEIVE",
        "08:00:09 ALLOW 10.0.0.20:51000 > 10.0.0.80:80 - SEND",
    )
    assert report.clients[0].method("client-push").result == "allowed"


def test_the_answer_that_the_site_server_drops_is_blocked_there(audited):
    smb = verdict(audited("08:00:00 DROP 10.0.0.20:445 > 10.0.0.5:50000 SA RECEIVE"), "smb")
    assert said(smb) == "blocked proven site-server"
    assert "10.0.0.20 responded, but the firewall of 10.0.0.5 dropped the response" in smb.explanation


def test_a_late_packet_of_a_connection_proves_nothing(audited):
    smb = verdict(audited("08:00:00 DROP 10.0.0.5:50000 > 10.0.0.20:445 RA RECEIVE"), "smb")
    assert said(smb) == "inconclusive"


def test_dropped_first_and_let_in_later(audited):
    report = audited(
        "08:00:00 DROP 10.0.0.5:50000 > 10.0.0.20:445 S RECEIVE",
        "09:00:00 ALLOW 10.0.0.5:50001 > 10.0.0.20:445 - RECEIVE",
    )
    change = verdict(report, "smb").changed
    assert (change.before, change.after) == ("blocked", "allowed")


@pytest.mark.parametrize(("order", "expected"), [(1, "blocked"), (-1, "allowed")])
def test_of_rows_of_one_second_the_last_in_the_log_decides(order, expected, audited):
    rows = (
        "08:00:00 ALLOW 10.0.0.5:50000 > 10.0.0.20:445 - RECEIVE",
        "08:00:00 DROP 10.0.0.20:445 > 10.0.0.5:50001 SA RECEIVE",
    )
    assert verdict(audited(*rows[::order]), "smb").verdict == expected


@pytest.mark.parametrize("order", [1, -1])
@pytest.mark.parametrize(("first", "last", "expected"), [("DROP", "ALLOW", "allowed"), ("ALLOW", "DROP", "blocked")])
def test_rows_count_in_the_order_of_their_times_wherever_they_stand(audited, first, last, expected, order):
    rows = [
        f"08:00:0{second} {action} 10.0.0.5:5000{second} > 10.0.0.20:445 S RECEIVE"
        for second, action in ((1, first), (5, last))
    ]
    assert verdict(audited(*rows[::order]), "smb").verdict == expected


def test_a_dynamic_port_in_a_log_that_holds_only_drops(audited):
    dynamic = verdict(audited("08:00:03 DROP 10.0.0.5:50002 > 10.0.0.20:49670 S RECEIVE"), "rpc-dynamic")
    assert said(dynamic) == "blocked likely client"
    assert "Only the port number shows that it is an RPC port" in dynamic.explanation


def test_local_times_stay_local_and_a_zone_makes_them_utc(audited):
    drop = "08:00:00 DROP 10.0.0.5:50000 > 10.0.0.20:445 S RECEIVE"
    assert verdict(audited(drop), "smb").first_time == "2023-11-14T08:00:00.000000"
    assert verdict(audited(drop, tz="+02:00"), "smb").first_time == "2023-11-14T06:00:00.000000Z"
    more = drop.replace("08:00:00", "09:00:00")
    for zone, times in (
        (None, ("08:00:00.000000", "09:00:00.000000")),
        ("+02:00", ("06:00:00.000000Z", "07:00:00.000000Z")),
    ):
        (source,) = audited(drop, more, tz=zone).sources
        assert (source.first_time, source.last_time) == tuple(f"2023-11-14T{one}" for one in times)


def test_the_ends_of_a_requirement_have_their_roles(audited):
    report = audited("08:00:00 ALLOW 10.0.0.5:50000 > 10.0.0.20:445 - RECEIVE")
    for name in ("smb", "rpc-endpoint-mapper"):
        one = verdict(report, name)
        assert [(end.role, end.address) for end in (one.source, one.destination)] == list(ROLES.items())[:2]


def test_a_firewall_that_is_unknown_let_it_pass_at_an_unknown_place(audited):
    smb = verdict(audited("08:00:00 ALLOW 10.0.0.5:50000 > 10.0.0.20:445 - -"), "smb")
    assert (smb.verdict, smb.allowed_at) == ("allowed", "unknown")


@pytest.mark.parametrize(
    ("path", "place"), [("SEND", "client"), ("RECEIVE", "management-point"), ("FORWARD", "unknown")]
)
def test_the_place_that_let_a_request_pass_is_that_of_the_firewall(audited, path, place):
    http = verdict(audited(f"08:00:00 ALLOW 10.0.0.20:51000 > 10.0.0.80:80 - {path}"), "http-management-point")
    assert (http.verdict, http.allowed_at) == ("allowed", place)


def test_a_firewall_that_dropped_a_late_packet_let_nothing_pass(tmp_path):
    rows = (
        "08:00:00 ALLOW 10.0.0.5:50000 > 10.0.0.20:445 - SEND",
        "08:00:01 DROP 10.0.0.5:50000 > 10.0.0.20:445 A RECEIVE",
    )
    paths = [tmp_path / f"{path}.log" for path in ("server", "client")]
    for path, text in zip(paths, rows, strict=True):
        path.write_bytes(firewall_log(row(text)))
    for sources in (paths, paths[::-1]):
        smb = verdict(auditor.audit(*sources, roles=ROLES, dissect=False), "smb")
        assert (smb.verdict, smb.allowed_at) == ("allowed", "site-server")


def test_the_warnings_of_a_source_are_in_order_of_their_codes(tmp_path):
    path = tmp_path / "pfirewall.log"
    lost = "2023-11-14 08:00:40 INFO-EVENTS-LOST - - - - - - - - - - - - 7 - 4"
    path.write_bytes(firewall_log(row(DROPPED[0]), lost, "2023-11-14 08:00:40 nonsense"))
    (source,) = auditor.audit(path, roles=ROLES, dissect=False).sources
    assert [warning.code for warning in source.warnings] == ["lost-events", "malformed-lines"]


def test_what_a_log_cannot_show_is_said(audited):
    only_drops = audited("08:00:00 DROP 10.0.0.5:50000 > 10.0.0.20:445 S RECEIVE").limitation_texts
    assert any("contains no allowed connection" in text for text in only_drops)
    only_allowed = audited("08:00:00 ALLOW 10.0.0.5:50000 > 10.0.0.20:445 - RECEIVE").limitation_texts
    assert any("contains no dropped packet" in text for text in only_allowed)


OUT = "10:00:00 ALLOW 10.0.0.5:50009 > 10.0.0.20:445 - SEND"


def test_that_a_packet_left_its_sender_undoes_no_drop(audited):
    smb = verdict(audited("08:00:00 DROP 10.0.0.5:50000 > 10.0.0.20:445 S RECEIVE", OUT), "smb")
    assert (said(smb), smb.changed) == ("blocked proven client", None)


def test_that_a_packet_left_its_sender_is_still_told(audited):
    assert said(verdict(audited(OUT), "smb")) == "allowed proven"


# beside a capture, which begins at 22:13:20 UTC

assert BEGIN == 1_700_000_000

SILENT = ["0 10.0.0.5 > 10.0.0.20/icmp answered", f"1 {SMB} S0"]
DROPPED = tuple(f"22:13:{second} DROP 10.0.0.5:50000 > 10.0.0.20:445 S RECEIVE" for second in (21, 22, 24))


def test_silence_is_only_likely(audited):
    elsewhere = "22:13:21 DROP 10.0.0.9:50000 > 10.0.0.20:445 S RECEIVE"
    assert said(verdict(audited(elsewhere, lines=SILENT), "smb")) == "blocked likely unknown"


def test_the_log_of_the_same_attempt_proves_it_and_says_where(audited):
    smb = verdict(audited(*DROPPED, lines=SILENT), "smb")
    assert said(smb) == "blocked proven client"
    assert smb.attempts == 1
    assert [(one.lines, one.frames) for one in smb.evidence] == [((6, 7, 8), ()), ((), (3, 4, 5))]


def test_the_clock_of_a_log_may_be_in_another_zone(audited):
    shifted = tuple(text.replace("22:13", "23:43") for text in DROPPED)
    smb = verdict(audited(*shifted, lines=SILENT), "smb")
    assert (said(smb), smb.attempts) == ("blocked proven client", 1)
    assert smb.first_time == "2023-11-14T22:13:21.000000Z"


def test_the_clock_of_a_log_may_be_wrong_by_any_time(audited):
    """A dropped SYN is logged with its sequence number."""
    shifted = tuple(text.replace("22:13", "22:20") for text in DROPPED)
    smb = verdict(audited(*shifted, lines=SILENT), "smb")
    assert (said(smb), smb.attempts) == ("blocked proven client", 1)


def test_the_same_ports_at_another_time_are_another_attempt(audited):
    later = "22:20:21 ALLOW 10.0.0.5:50000 > 10.0.0.20:445 - RECEIVE"
    assert verdict(audited(later, lines=SILENT), "smb").attempts == 2


@pytest.mark.parametrize("connection", ["SF", "answered in vain once"])
def test_an_answer_in_the_capture_counts_more_than_a_drop_of_the_syn(audited, connection):
    report = audited(DROPPED[0], lines=[f"1 {SMB} {connection}"])
    assert said(verdict(report, "smb")) == "open proven"


def test_silence_behind_a_firewall_that_let_it_in(audited):
    smb = verdict(audited("22:13:21 ALLOW 10.0.0.5:50000 > 10.0.0.20:445 - RECEIVE", lines=SILENT), "smb")
    assert said(smb) == "blocked likely unknown"
    assert "allowed inbound by the firewall of 10.0.0.20" in smb.explanation
    assert smb.remedy_text.startswith("Do not change that firewall.")


def test_a_firewall_that_let_it_in_does_not_stop_the_answer_that_is_lost(audited):
    lines = [f"0 {SMB} answered in vain", "until 60"]
    smb = verdict(audited("22:13:20 ALLOW 10.0.0.5:50000 > 10.0.0.20:445 - RECEIVE", lines=lines), "smb")
    assert said(smb) == "blocked likely unknown"
    assert smb.explanation.endswith("allowed inbound by the firewall of 10.0.0.20, so it does not block it.")


def test_what_the_clients_own_firewall_let_in_was_not_stopped_before_it(tmp_path, write):
    """Whichever capture lacks it."""
    path = tmp_path / "pfirewall.log"
    path.write_bytes(firewall_log(row("22:13:21 ALLOW 10.0.0.5:50000 > 10.0.0.20:445 - RECEIVE")))
    captures = [write(pcap(scene(lines))) for lines in (SILENT, [*SILENT[:1], "until 60"])]
    smb = verdict(auditor.audit(path, *captures, roles=ROLES, dissect=False), "smb")
    assert said(smb) == "blocked likely unknown"
    assert "forward path" not in smb.explanation
    without = verdict(auditor.audit(*captures, roles=ROLES, dissect=False), "smb")
    assert said(without) == "blocked likely between"


def test_a_syn_that_was_dropped_and_let_in_within_the_same_second_arrived(audited):
    let_in = "22:13:21 ALLOW 10.0.0.5:50000 > 10.0.0.20:445 - RECEIVE"
    smb = verdict(audited(DROPPED[0], let_in, lines=SILENT, tz="UTC"), "smb")
    assert said(smb) == "blocked likely unknown"


@pytest.mark.parametrize("order", [1, -1])
def test_a_syn_that_one_log_of_a_firewall_drops_and_another_lets_in_arrived(tmp_path, order):
    logs = {"dropped": "DROP 10.0.0.5:50000 > 10.0.0.20:445 S", "let in": "ALLOW 10.0.0.5:50000 > 10.0.0.20:445 -"}
    for name, text in logs.items():
        (tmp_path / name).write_bytes(firewall_log(row(f"08:00:00 {text} RECEIVE")))
    report = auditor.audit(*[tmp_path / name for name in logs][::order], dissect=False, roles=ROLES)
    assert (said(verdict(report, "smb")), verdict(report, "smb").attempts) == ("allowed proven", 1)


def test_that_a_router_forwarded_a_syn_undoes_no_drop_behind_it(audited):
    forwarded = "22:13:22 ALLOW 10.0.0.5:50000 > 10.0.0.20:445 - FORWARD"
    assert said(verdict(audited(DROPPED[0], forwarded, lines=SILENT, tz="UTC"), "smb")) == "blocked proven client"


def test_that_a_router_forwarded_a_syn_undoes_no_refusal(audited):
    forwarded = "22:13:22 ALLOW 10.0.0.5:50000 > 10.0.0.20:445 - FORWARD"
    smb = verdict(audited(forwarded, lines=[f"1 {SMB} REJ"], tz="UTC"), "smb")
    assert (said(smb), smb.attempts) == ("refused proven unknown", 1)


def test_that_a_packet_left_its_sender_undoes_no_silence(audited):
    assert said(verdict(audited(OUT, lines=SILENT), "smb")) == "blocked likely unknown"


def test_local_times_are_not_held_against_utc(audited):
    """By its face the row is later than the capture; which of the two is, nobody knows."""
    drop = "23:00:00 DROP 10.0.0.5:50009 > 10.0.0.20:445 S RECEIVE"
    smb = verdict(audited(drop, lines=[f"1 {SMB} SF"]), "smb")
    assert (smb.verdict, smb.changed) == ("blocked", None)
    assert "The order is unknown" in smb.explanation
    smb = verdict(audited("23:00:00 ALLOW 10.0.0.5:50009 > 10.0.0.20:445 - RECEIVE", lines=SILENT), "smb")
    assert (smb.verdict, smb.changed) == ("blocked", None)


def test_pings_do_not_set_a_clock(audited):
    ping = "23:13:20 ALLOW 10.0.0.5 > 10.0.0.20 - RECEIVE"
    drop = "22:20:00 DROP 10.0.0.5:50009 > 10.0.0.20:445 S RECEIVE"
    smb = verdict(audited(ping, drop, lines=["0 10.0.0.5 > 10.0.0.20/icmp answered", f"1 {SMB} SF"]), "smb")
    assert smb.verdict == "blocked"


@pytest.mark.parametrize("connection", ["SF", "handshake", "half-open"])
def test_a_dropped_copy_of_an_answer_does_not_undo_a_connection(audited, connection):
    row = "22:13:22 DROP 10.0.0.20:445 > 10.0.0.5:50000 SA RECEIVE"
    assert said(verdict(audited(row, lines=[f"1 {SMB} {connection}"]), "smb")) == "open proven"


def test_a_dropped_answer_counts_more_than_a_capture_in_which_nothing_followed_it(audited):
    row = "22:13:22 DROP 10.0.0.20:445 > 10.0.0.5:50000 SA RECEIVE"
    report = audited(row, lines=[f"1 {SMB} answered in vain once"], tz="UTC")
    assert said(verdict(report, "smb")) == "blocked proven site-server"


def test_a_dropped_syn_counts_more_than_an_answer_that_may_be_to_something_else(audited):
    report = audited(DROPPED[0], lines=[f"1 {SMB} only a SYN-ACK"], tz="UTC")
    assert said(verdict(report, "smb")) == "blocked proven client"


def test_an_answer_says_more_than_that_a_firewall_let_the_syn_in(audited):
    let_in = "22:13:21 ALLOW 10.0.0.5:50000 > 10.0.0.20:445 - RECEIVE"
    assert said(verdict(audited(let_in, lines=[f"1 {SMB} only a SYN-ACK"], tz="UTC"), "smb")) == "open proven"


def test_an_attempt_of_a_log_and_a_capture_has_the_time_of_the_capture(audited):
    assert verdict(audited(DROPPED[0], lines=SILENT), "smb").first_time == "2023-11-14T22:13:21.000000Z"


def test_an_attempt_of_two_logs_has_their_local_time(tmp_path):
    paths = [tmp_path / f"{name}.log" for name in ("a", "b")]
    for path in paths:
        path.write_bytes(firewall_log(row(DROPPED[0])))
    smb = verdict(auditor.audit(*paths, roles=ROLES, dissect=False), "smb")
    assert (smb.attempts, smb.first_time) == (1, "2023-11-14T22:13:21.000000")


class Counting(list):
    """A list that counts how often something is taken from it."""

    taken = 0

    def __getitem__(self, index):
        Counting.taken += 1
        return super().__getitem__(index)


@pytest.mark.parametrize("count", [200, 400])
def test_many_attempts_with_the_same_ends_are_joined_in_linear_time(audited, monkeypatch, count):
    """All pings of one second have the same ends and time; the log of another computer tells of the same."""
    monkeypatch.setattr(joining, "defaultdict", lambda _: collections.defaultdict(Counting))
    Counting.taken = 0
    pings = ["08:00:00 DROP 10.0.0.5 > 10.0.0.20 - RECEIVE", "08:00:00 ALLOW 10.0.0.5 > 10.0.0.20 - SEND"]
    audited(*(pings[n % 2] for n in range(count)))
    assert 0 < Counting.taken <= 100 * count


def test_the_two_halves_of_a_log_have_one_clock(audited, tmp_path):
    """Windows renames a full log to pfirewall.log.old; what is in it was before."""
    older = row("08:00:00 DROP 10.0.0.5:50000 > 10.0.0.20:445 S RECEIVE")
    (tmp_path / "pfirewall.log.old").write_bytes(firewall_log(older))
    smb = verdict(audited("09:00:00 ALLOW 10.0.0.5:50001 > 10.0.0.20:445 - RECEIVE"), "smb")
    assert (smb.verdict, smb.changed.before) == ("allowed", "blocked")


def test_a_syn_that_was_let_in_and_dropped_later_was_dropped(audited):
    rows = (
        "22:13:00 ALLOW 10.0.0.5:50000 > 10.0.0.20:445 - RECEIVE",
        "22:14:10 DROP 10.0.0.5:50000 > 10.0.0.20:445 S RECEIVE",
    )
    smb = verdict(audited(*rows), "smb")
    assert (said(smb), smb.attempts) == ("blocked proven client", 1)


def test_of_an_open_port_nothing_is_said_to_stop_it(audited):
    let_in = "22:13:20 ALLOW 10.0.0.5:50000 > 10.0.0.20:445 - RECEIVE"
    smb = verdict(audited(let_in, lines=[f"0 {SMB} SF"]), "smb")
    assert (smb.verdict, len(smb.evidence)) == ("open", 2)
    assert "block it" not in smb.explanation


def test_an_attempt_of_which_an_event_tells_too_is_timed_by_it(tmp_path, write):
    """The times of the log are local, and its zone is unknown."""
    log = tmp_path / "pfirewall.log"
    log.write_bytes(firewall_log(row("2026-03-01T08:00:00 ALLOW 10.0.0.5:50000 > 10.0.0.20:445 - SEND")))
    smb = verdict(auditor.audit(log, write(lines(blocked())), roles=ROLES, dissect=False), "smb")
    assert (smb.attempts, smb.first_time) == (1, "2026-03-01T08:00:00.000000Z")


def test_a_syn_that_was_dropped_and_then_let_in_but_never_answered(audited):
    rows = (DROPPED[0], "22:13:22 ALLOW 10.0.0.5:50000 > 10.0.0.20:445 - RECEIVE")
    smb = verdict(audited(*rows, lines=SILENT), "smb")
    assert (said(smb), smb.attempts) == ("blocked likely unknown", 1)


def test_an_answer_that_some_firewall_dropped(audited):
    """Logs of Windows XP do not say which way a packet went."""
    smb = verdict(audited("08:00:00 DROP 10.0.0.20:445 > 10.0.0.5:50000 SA -"), "smb")
    assert said(smb) == "blocked proven unknown"
    assert smb.remedy[0].text == "On the computer that wrote the log, allow TCP 445 to 10.0.0.20."


def test_a_computer_that_forwards_a_syn_and_drops_its_answer_blocks_it(audited):
    rows = (
        "08:00:00 ALLOW 10.0.0.5:50000 > 10.0.0.20:445 - FORWARD",
        "08:00:00 DROP 10.0.0.20:445 > 10.0.0.5:50000 SA FORWARD",
    )
    smb = verdict(audited(*rows), "smb")
    assert (said(smb), smb.attempts) == ("blocked proven between", 1)


def test_a_computer_that_forwards_is_between(audited):
    smb = verdict(audited("08:00:00 DROP 10.0.0.5:50000 > 10.0.0.20:445 S FORWARD"), "smb")
    assert said(smb) == "blocked proven between"
    assert smb.remedy[0].text == "On the computer that wrote the log, allow TCP 445 to 10.0.0.20."


def test_a_firewall_that_nothing_names_dropped_it_at_an_unknown_place(audited):
    smb = verdict(audited("08:00:00 DROP 10.0.0.5:50000 > 10.0.0.20:445 S -"), "smb")
    assert said(smb) == "blocked proven unknown"
    assert smb.explanation.endswith(": dropped by the firewall that wrote the log.")
    assert [one.kind for one in smb.remedy] == ["documented", "export-rules", "documented", "documented", "verify"]
    assert "the computer that wrote the log" not in smb.remedy_text


def test_a_drop_where_nobody_listens_is_a_matter_of_the_service(tmp_path):
    path = tmp_path / "security.jsonl"
    unheard = {"LayerName": "%%14597", "LayerRTID": 13, "Application": "-", "DestPort": "445"}
    path.write_bytes(lines(blocked(event_id=5152, **unheard)))
    roles = {"site-server": BLOCKED["SourceAddress"], "client": BLOCKED["DestAddress"]}
    smb = verdict(auditor.audit(path, roles=roles, dissect=False), "smb")
    assert said(smb) == "blocked proven client"
    assert smb.explanation.endswith(", as Windows Firewall does for closed ports (stealth mode).")
    assert smb.remedy_text.startswith(f"Check that the service runs on {roles['client']}.")


def test_no_rule_for_a_dynamic_port_names_the_port(audited):
    rows = (
        "08:00:02 ALLOW 10.0.0.5:50001 > 10.0.0.20:135 - RECEIVE",
        "08:00:03 DROP 10.0.0.5:50002 > 10.0.0.20:49670 S RECEIVE",
    )
    *rules, test = verdict(audited(*rows), "rpc-dynamic").remedy
    assert [step for step in rules if "49670" in step.text] == []
    assert test.command == "Test-NetConnection 10.0.0.20 -Port 49670"


def test_lines_are_cited_in_order(audited):
    rows = [f"{hour:02}:00:00 DROP 10.0.0.5:5000{hour} > 10.0.0.20:445 S RECEIVE" for hour in (6, 7, 8)]
    assert [one.lines for one in verdict(audited(*rows), "smb").evidence] == [(6,), (7,), (8,)]


def test_the_flow_table_of_a_capture_beside_a_log_can_be_sorted(audited):
    flows = audited(*DROPPED, lines=SILENT).flows
    assert flows.sort_values("start")["action"].notna().sum() == 1
    assert str(flows["rows"].dtype) == "Int64"
