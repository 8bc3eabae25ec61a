"""Logs of both ends: what left one computer and is missing from the log of the other was blocked between them."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st
from log_verdicts import ROLES, said, verdict
from logs import firewall_log, row
from packets import pcap
from scenario import scene
from security_events import BLOCKED, allowed, blocked, lines, native

import auditor

SENT = "08:00:10 ALLOW 10.0.0.5:50000 > 10.0.0.20:445 - SEND"
OTHER_HOST = "08:10:00 DROP 10.0.0.9:50000 > 10.0.0.20:445 S RECEIVE"  # a service listens, or it would not be logged
AROUND = (
    "07:59:50 ALLOW 10.0.0.20:51000 > 10.0.0.80:80 - SEND",
    "08:00:30 DROP 10.0.0.9:50001 > 10.0.0.20:139 S RECEIVE",
)
OWN_LOG = (*AROUND, OTHER_HOST)

Both = Callable[..., auditor.report.model.RequirementVerdict]


@pytest.fixture
def both(tmp_path: Path, write: Callable[[bytes], Path]) -> Both:
    """Return the verdict on SMB by the logs of site server and client, each given as rows, and lines of a scene."""

    def both(
        *logs: tuple[str, ...],
        lines: list[str] | None = None,
        tz: str | None = "UTC",
        names: tuple[str, ...] = ("site-server", "client", "more"),
    ) -> auditor.report.model.RequirementVerdict:
        sources: list[Path] = [write(pcap(scene(lines)))] if lines else []
        for name, rows in zip(names, logs, strict=False):
            sources.append(tmp_path / name)
            sources[-1].write_bytes(firewall_log(*map(row, rows)))
        return verdict(auditor.audit(*sources, dissect=False, roles=ROLES, tz=tz), "smb")

    return both


def test_what_some_firewall_dropped_stays_proven_although_it_never_arrived(both):
    assert said(both((SENT.replace("ALLOW", "DROP").replace("- SEND", "S -"),), OWN_LOG)) == "blocked proven unknown"


def test_what_left_here_and_never_arrived_there_was_blocked_between(both):
    smb = both((SENT,), OWN_LOG)
    assert said(smb) == "blocked likely between"
    assert "allowed outbound by the firewall of 10.0.0.5. The attempt is missing from" in smb.explanation
    assert smb.remedy[0].text == "On the firewalls on the path, allow TCP 445 from 10.0.0.5 to 10.0.0.20."
    assert [one.lines for one in smb.evidence] == [(6,)]


def test_the_order_of_the_logs_does_not_matter(both):
    assert said(both(OWN_LOG, (SENT,))) == "blocked likely between"


def test_without_an_entry_about_the_port_the_service_may_not_listen(both):
    """Windows Firewall does not log packets to a port on which no service listens."""
    caveat = "Or no service listens on the port"
    without = both((SENT,), AROUND)
    assert said(without) == "blocked likely between"
    assert caveat in without.explanation
    assert caveat not in both((SENT,), OWN_LOG).explanation


def test_an_entry_about_the_port_in_either_half_of_the_log_shows_that_a_service_listens(both):
    smb = both((SENT,), AROUND, (OTHER_HOST,), names=("site-server", "client", "client.old"))
    assert said(smb) == "blocked likely between"
    assert "Or no service listens on the port" not in smb.explanation


ARRIVED = "08:00:10 ALLOW 10.0.0.5:50000 > 10.0.0.20:445 - RECEIVE"


def test_what_arrived_was_not_blocked_between(both):
    assert said(both((SENT,), (*OWN_LOG, ARRIVED))) == "allowed proven"


def test_address_translation_changes_the_source(both):
    translated = ARRIVED.replace("10.0.0.5:50000", "192.0.2.1:61000")
    assert said(both((SENT,), (*OWN_LOG, translated))) == "allowed proven"


def test_an_arrival_in_the_other_half_of_the_log_counts(both):
    assert said(both((SENT,), OWN_LOG, (ARRIVED,), names=("site-server", "client", "client.old"))) == "allowed proven"


@pytest.mark.parametrize(("time", "told"), [("08:20:00", "blocked likely between"), ("09:30:00", "allowed proven")])
def test_a_log_with_packets_of_the_originator_within_the_hour_shows_that_nothing_translates(time, told, both):
    translated = ARRIVED.replace("10.0.0.5:50000", "192.0.2.1:61000")
    direct = f"{time} ALLOW 10.0.0.5:50009 > 10.0.0.20:139 - RECEIVE"
    assert said(both((SENT,), (*OWN_LOG, translated, direct))) == told


@pytest.mark.parametrize(("time", "told"), [("08:01:10", "blocked likely between"), ("08:01:11", "allowed proven")])
def test_an_entry_a_minute_later_shows_that_the_computer_was_on(time, told, both):
    assert said(both((SENT,), tuple(text.replace("08:00:30", time) for text in OWN_LOG))) == told


@pytest.mark.parametrize(("time", "told"), [("07:59:10", "blocked likely between"), ("07:59:09", "allowed proven")])
def test_an_entry_a_minute_before_shows_that_the_computer_was_on(time, told, both):
    assert said(both((SENT,), tuple(text.replace("07:59:50", time) for text in OWN_LOG))) == told


def test_an_entry_about_a_broadcast_shows_that_the_computer_was_on(both):
    own = tuple(text.replace("10.0.0.20:139", "10.0.0.255:139") for text in OWN_LOG)
    assert said(both((SENT,), own)) == "blocked likely between"


ALLOWED_ONLY = tuple(text for text in OWN_LOG if "DROP" not in text)
DROPS_ONLY = (
    *(text for text in OWN_LOG if "DROP" in text),
    "07:59:50 DROP 10.0.0.9:50001 > 10.0.0.20:139 S RECEIVE",
)
TOO_EARLY = tuple(text.replace("08:00:30", "08:00:05") for text in OWN_LOG)
TOO_LATE = tuple(text.replace("07:59:50", "08:00:20") for text in OWN_LOG)
OFF = tuple(text.replace("07:59:50", "07:50:00") for text in OWN_LOG)
OF_ANOTHER = tuple(text.replace("10.0.0.20", "10.0.0.21") for text in OWN_LOG)
ANOTHER_ADDRESS_THEN = (*(text.replace("10.0.0.20", "10.0.0.21") for text in AROUND), OTHER_HOST)
FORMER_SETTINGS = (
    "02:00:00 DROP 10.0.0.9:50001 > 10.0.0.20:139 S RECEIVE",
    *ALLOWED_ONLY,
    *(text.replace("07:59:50", "08:00:30") for text in ALLOWED_ONLY),
)


@pytest.mark.parametrize(
    "log",
    [ALLOWED_ONLY, DROPS_ONLY, TOO_EARLY, TOO_LATE, OFF, OF_ANOTHER, ANOTHER_ADDRESS_THEN, FORMER_SETTINGS],
    ids=[
        "which holds no drops",
        "which holds only drops",
        "which ends before",
        "which begins after",
        "of a computer that may have been off",
        "of another computer",
        "of a computer that had another address then",
        "which held drops hours before",
    ],
)
def test_a_log_that_may_not_hold_it_proves_nothing(log, both):
    assert said(both((SENT,), log)) == "allowed proven"


LOST = "2023-11-14 08:00:40 INFO-EVENTS-LOST - - - - - - - - - - - - 7 - 4"


@pytest.mark.parametrize("line", [LOST, "2023-11-14 08:00:40 nonsense"], ids=["lost", "malformed"])
def test_a_log_with_lost_or_unreadable_entries_proves_nothing(line, tmp_path):
    sent, own = tmp_path / "site-server", tmp_path / "client"
    sent.write_bytes(firewall_log(row(SENT)))
    own.write_bytes(firewall_log(*map(row, OWN_LOG), line))
    report = auditor.audit(sent, own, dissect=False, roles=ROLES, tz="UTC")
    warnings = {warning.code for source in report.sources for warning in source.warnings}
    assert warnings & {
        "lost-events",
        "malformed-lines",
    }
    assert said(verdict(report, "smb")) == "allowed proven"


# event logs

OUT = {"Direction": "%%14593", "SourceAddress": "10.0.0.20", "DestAddress": "10.0.0.80", "DestPort": "80"}
OTHERS = {"SourceAddress": "10.0.0.9", "DestPort": "139"}
SENDER = "site01.contoso.example"
LEFT = native(5156, BLOCKED | {"Direction": "%%14593", "ProcessID": 4}, "2026-03-01T08:00:10Z", Computer=SENDER)
BEFORE, AFTER = allowed("2026-03-01T07:59:50Z", **OUT), blocked("2026-03-01T08:00:30Z", **OTHERS)
OWN_EVENTS = (BEFORE, AFTER)


def test_one_file_of_events_may_be_the_log_of_both(write):
    """A collector holds the events of many computers."""
    report = auditor.audit(write(lines(LEFT, *OWN_EVENTS)), dissect=False, roles=ROLES)
    assert said(verdict(report, "smb")) == "blocked likely between"


def test_events_of_another_computer_do_not_show_that_this_one_was_on(write):
    of_other = native(5157, BLOCKED | OTHERS | {"DestAddress": "10.0.0.21"}, "2026-03-01T08:00:30Z", Computer="other")
    later = blocked("2026-03-01T08:30:00Z", **OTHERS)
    report = auditor.audit(write(lines(LEFT, BEFORE, of_other, later)), dissect=False, roles=ROLES)
    assert said(verdict(report, "smb")) == "allowed proven"


# clocks


def test_local_times_of_unknown_zones_are_not_compared(both):
    assert said(both((SENT,), OWN_LOG, tz=None)) == "allowed proven"


SHARED = ("10.0.0.5:50001 > 10.0.0.20:135", "10.0.0.5:50002 > 10.0.0.20:49670")


def shared(way: str, hour: str, count: int = 2) -> tuple[str, ...]:
    return tuple(f"{hour}:00:1{number} ALLOW {who} - {way}" for number, who in enumerate(SHARED[:count], 3))


@pytest.mark.parametrize(("count", "told"), [(2, "blocked likely between"), (1, "allowed proven")])
def test_connections_in_both_logs_show_how_their_clocks_differ(count, told, both):
    """The client's clock is two hours ahead; one connection might be another one with the same ports."""
    own = tuple(text.replace("07:", "09:").replace("08:", "10:") for text in OWN_LOG)
    logs = ((SENT, *shared("SEND", "08", count)), (*own, *shared("RECEIVE", "10", count)))
    assert said(both(*logs, tz=None)) == told


@pytest.mark.parametrize("hours", [("10", "10", "13"), ("10", "13", "13")])
def test_connections_that_disagree_on_the_clocks_show_nothing(hours, both):
    """The same ports come again."""
    ends = (*SHARED, "10.0.0.5:50003 > 10.0.0.20:49671")
    own = tuple(text.replace("07:", "09:").replace("08:", "10:") for text in OWN_LOG)
    here = (f"08:00:1{number} ALLOW {who} - SEND" for number, who in enumerate(ends, 3))
    there = (
        f"{hour}:00:1{number} ALLOW {who} - RECEIVE"
        for number, (hour, who) in enumerate(zip(hours, ends, strict=True), 3)
    )
    assert said(both((SENT, *here), (*own, *there), tz=None)) == "allowed proven"


def test_connections_in_both_logs_count_more_than_clocks_that_are_said_to_be_right(both):
    own = tuple(text.replace("07:", "09:").replace("08:", "10:") for text in OWN_LOG)
    logs = ((SENT, *shared("SEND", "08")), (*own, *shared("RECEIVE", "10")))
    assert said(both(*logs)) == "blocked likely between"


def test_local_times_of_an_unknown_zone_are_not_compared_with_those_of_events(write, tmp_path):
    sent = tmp_path / "site-server"
    sent.write_bytes(firewall_log(row(f"2026-03-01T{SENT}")))
    events = write(lines(*OWN_EVENTS))
    told = [
        said(verdict(auditor.audit(sent, events, dissect=False, roles=ROLES, tz=tz), "smb")) for tz in (None, "UTC")
    ]
    assert told == ["allowed proven", "blocked likely between"]


def test_what_arrived_by_a_clock_that_is_ahead_has_arrived(both):
    own = tuple(text.replace("07:", "09:").replace("08:", "10:") for text in (*OWN_LOG, ARRIVED))
    logs = ((SENT, *shared("SEND", "08")), (*own, *shared("RECEIVE", "10")))
    assert said(both(*logs, tz=None)) == "allowed proven"


@pytest.mark.parametrize(("time", "told"), [("06:00:10", "blocked likely between"), ("10:00:40", "allowed proven")])
def test_by_a_clock_that_is_ahead_only_what_arrived_then_may_be_it(time, told, both):
    own = tuple(text.replace("07:", "09:").replace("08:", "10:") for text in OWN_LOG)
    other = f"{time} ALLOW 10.0.0.5:61000 > 10.0.0.20:445 - RECEIVE"
    logs = ((SENT, *shared("SEND", "08")), (*own, *shared("RECEIVE", "10"), other))
    assert said(both(*logs, tz=None)) == told


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=30)
@given(st.integers(-60, 60))
@example(-60)
@example(60)
def test_a_packet_that_arrived_within_a_minute_may_be_the_one(both, seconds):
    """The clocks may differ by that much; address translation has changed the source."""
    minute, second = divmod(60 + 10 + seconds, 60)
    time = f"0{7 + (minute + 59) // 60}:{(minute + 59) % 60:02}:{second:02}"
    arrived = f"{time} ALLOW 192.0.2.1:61000 > 10.0.0.20:445 - RECEIVE"
    assert said(both((SENT,), (*OWN_LOG, arrived))) == "allowed proven"


def test_a_log_whose_clock_cannot_be_compared_may_hold_it_at_any_time(write, tmp_path):
    events = write(lines(LEFT, *OWN_EVENTS))
    report = auditor.audit(events, dissect=False, roles=ROLES)
    assert said(verdict(report, "smb")) == "blocked likely between"
    log = tmp_path / "client"
    log.write_bytes(firewall_log(row(ARRIVED.replace("08:00:10", "20:00:10"))))
    report = auditor.audit(events, log, dissect=False, roles=ROLES)
    assert said(verdict(report, "smb")).startswith("allowed")


# beside a capture, which begins at 22:13:20 UTC

SILENT = ["0 10.0.0.5 > 10.0.0.20/icmp answered", "1 10.0.0.5:50000 > 10.0.0.20:445/tcp S0"]
THAT_EVENING = tuple(
    text.replace("07:59:50", "22:13:00").replace("08:00:30", "22:13:50").replace("08:10:00", "22:20:00")
    for text in OWN_LOG
)


def test_the_log_of_the_client_places_what_a_capture_shows_without_response(both):
    smb = both(THAT_EVENING, lines=SILENT, names=("client",))
    assert said(smb) == "blocked likely between"
    assert "no response to 3 SYNs" in smb.explanation


@pytest.mark.parametrize(("time", "told"), [("22:14:24", "unknown"), ("22:14:25", "between")])
def test_a_packet_within_a_minute_of_the_last_syn_may_be_of_the_attempt(time, told, both):
    """Which lasted from 22:13:21 to 22:13:24."""
    arrived = f"{time} DROP 192.0.2.1:61000 > 10.0.0.20:445 S RECEIVE"
    assert said(both((*THAT_EVENING, arrived), lines=SILENT, names=("client",))) == f"blocked likely {told}"


def test_a_capture_may_be_one_of_where_it_arrived_at_a_port_without_a_service(both):
    assert said(both(THAT_EVENING[:2], lines=SILENT, names=("client",))) == "blocked likely unknown"


def test_what_a_capture_shows_to_be_answered_arrived_whatever_the_log_lacks(both):
    answered = [line.replace("S0", "answered in vain") for line in SILENT]
    smb = both(THAT_EVENING, lines=answered, names=("client",))
    assert (said(smb), answered == SILENT) == ("blocked likely unknown", False)
    assert "The response does not reach 10.0.0.5." in smb.explanation


@pytest.mark.parametrize(
    ("outcome", "told"),
    [
        ("prohibited by 10.0.0.20", "blocked proven client"),
        ("prohibited by 10.0.0.20 quoting another SYN", "blocked likely client"),
        ("unreachable by 10.0.0.1 quoting another SYN", "unreachable likely unknown"),
        ("prohibited by 10.0.0.20 alone", "blocked likely client"),
    ],
)
def test_what_a_device_says_of_an_attempt_counts_more_than_that_it_is_missing(outcome, told, both):
    lines = [SILENT[0], SILENT[1].replace("S0", outcome)]
    assert said(both(THAT_EVENING, lines=lines, names=("client",))) == told


def test_what_the_firewall_let_in_was_not_blocked_by_it(both):
    let_in = "22:13:21 ALLOW 10.0.0.5:50000 > 10.0.0.20:445 - RECEIVE"
    smb = both((*THAT_EVENING, let_in), lines=SILENT, names=("client",))
    assert said(smb) == "blocked likely unknown"
    assert "allowed inbound by the firewall of 10.0.0.20, so it does not block it." in smb.explanation


def test_a_second_capture_without_it_does_not_take_back_that_it_arrived(tmp_path, write):
    """The client's own log shows it, so the second capture lacks it for another reason."""
    captures = [write(pcap(scene(lines))) for lines in (SILENT, [SILENT[0], "until 9"])]
    assert said(verdict(auditor.audit(*captures, dissect=False, roles=ROLES), "smb")) == "blocked likely between"
    log = tmp_path / "client"
    let_in = "22:13:21 ALLOW 10.0.0.5:50000 > 10.0.0.20:445 - RECEIVE"
    log.write_bytes(firewall_log(row(let_in)))
    report = auditor.audit(*captures, log, dissect=False, roles=ROLES, tz="UTC")
    assert said(verdict(report, "smb")) == "blocked likely unknown"
