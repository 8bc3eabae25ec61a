"""What several sources tell of the same attempts: which are one, and how far the clocks of the sources differ."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime

import pytest
from logs import firewall_log, row
from packets import BEGIN, At, echo, pcap, talk, udp
from scenario import scene

import auditor
from auditor.errors import ArgumentError
from auditor.report.model import RequirementVerdict, utc_text

ROLES = {"site-server": "10.0.0.5", "client": "10.0.0.20"}
HOUR = 3600

Audited = Callable[..., auditor.Report]


@pytest.fixture
def audited(write: Callable[[bytes], object]) -> Audited:
    """Return how to audit sources, which are given as bytes."""
    return lambda *sources, **known: auditor.audit(*map(write, sources), roles=ROLES, dissect=False, **known)


def captured(*lines: str) -> bytes:
    return pcap(scene(lines))


def logged(*rows: str, clock: str = "Local") -> bytes:
    return firewall_log(*map(row, rows), clock=clock)


def shown(second: float) -> str:
    """Return what a log writes that is so many seconds after the beginning of the captures."""
    return datetime.fromtimestamp(BEGIN + second, UTC).strftime("%Y-%m-%dT%H:%M:%S")


def moment(second: float) -> str | None:
    return utc_text(int((BEGIN + second) * 1_000_000_000))


def verdict(report: auditor.Report, name: str = "smb") -> RequirementVerdict:
    return report.clients[0].requirement(f"client-push/{name}")


def mapper(second: float, port: int) -> str:
    return f"{second} 10.0.0.5:{port} > 10.0.0.20:135/tcp SF"


def let_in(second: float, port: int, to: str = "135", path: str = "RECEIVE") -> str:
    return f"{shown(second)} ALLOW 10.0.0.5:{port} > 10.0.0.20:{to} - {path}"


def dropped(second: float, port: int, flags: str = "S", to: str = "445") -> str:
    return f"{shown(second)} DROP 10.0.0.5:{port} > 10.0.0.20:{to} {flags} RECEIVE"


# the clock of a log, seen in the time of a row that no capture has


@pytest.mark.parametrize("hours", [0, 0.25, 2, 5.75, -3.5, 14, -12])
def test_two_attempts_that_captures_have_too_tell_the_zone_of_a_log(hours, audited):
    ahead = int(hours * HOUR)
    log = logged(let_in(1 + ahead, 50001), let_in(2 + ahead, 50002), dropped(300 + ahead, 50900))
    smb = verdict(audited(log, captured(mapper(1, 50001), mapper(2, 50002))))
    assert (smb.first_time, smb.last_time) == (moment(300), moment(300))


def test_one_attempt_at_the_same_time_tells_that_a_log_is_in_utc(audited):
    log = logged(let_in(1, 50001), let_in(2 + 2 * HOUR, 50002), let_in(3 + 2 * HOUR, 50003), dropped(300, 50900))
    captures = captured(mapper(1, 50001), mapper(2, 50002), mapper(3, 50003))
    assert verdict(audited(log, captures)).first_time == moment(300)
    assert verdict(audited(logged(let_in(1, 50001), dropped(300, 50900)), captures)).first_time == moment(300)


def test_a_clock_may_be_off_by_a_minute_besides_its_zone(audited):
    ahead = 2 * HOUR + 60
    log = logged(let_in(1 + ahead, 50001), let_in(2 + ahead, 50002), dropped(300 + ahead, 50900))
    smb = verdict(audited(log, captured(mapper(1, 50001), mapper(2, 50002))))
    assert smb.first_time == moment(360)


TELLS_NO_ZONE = {
    "one attempt, which may be another with the same port": [let_in(1 + 2 * HOUR, 50001)],
    "more than a minute besides": [let_in(62 + 2 * HOUR, 50001), let_in(63 + 2 * HOUR, 50002)],
    "farther than any zone": [let_in(1 + 14.25 * HOUR, 50001), let_in(2 + 14.25 * HOUR, 50002)],
    "other numbers": [dropped(n + 2 * HOUR, 50000 + n, "S@7", "135") for n in (1, 2)],
    "other numbers at any time": [dropped(n + 420, 50000 + n, "S@7", "135") for n in (1, 2)],
    "pings": [f"{shown(n + 2 * HOUR)} ALLOW 10.0.0.5 > 10.0.0.20 - RECEIVE" for n in (3, 93)],
    "datagrams, which have no numbers": [let_in(n + 420, 50000 + n, "135/udp") for n in (1, 2)],
}


@pytest.mark.parametrize("rows", TELLS_NO_ZONE.values(), ids=TELLS_NO_ZONE)
def test_what_tells_no_zone_leaves_the_times_of_a_log_local(rows, audited):
    capture = [
        *(At(n, packet) for n in (1, 2) for packet in talk(f"10.0.0.5:{50000 + n} > 10.0.0.20:135", "S <SA A")),
        *(At(n, udp(f"10.0.0.5:{50000 + n} > 10.0.0.20:135")) for n in (1, 2)),
        *(At(n, echo("10.0.0.5 > 10.0.0.20", identifier=n)) for n in (3, 93)),
    ]
    smb = verdict(audited(logged(*rows, dropped(300, 50900)), pcap(capture)))
    assert smb.first_time == "2023-11-14T22:18:20.000000"


def test_connections_of_another_computer_with_the_same_ports_tell_no_zone(write):
    roles = {"site-server": "10.0.0.5", "client": ["10.0.0.20", "10.0.0.21"]}
    rows = [f"{shown(n + 2 * HOUR)} ALLOW 10.0.0.20:{50000 + n} > 10.0.0.5:80 - SEND" for n in (1, 2)]
    capture = captured(*(f"{n} 10.0.0.21:{50000 + n} > 10.0.0.5:80/tcp SF" for n in (1, 2)))
    report = auditor.audit(write(logged(*rows, dropped(300, 50900))), write(capture), roles=roles, dissect=False)
    assert verdict(report).first_time == "2023-11-14T22:18:20.000000"


def test_the_times_of_a_log_that_says_utc_are_not_changed(audited):
    log = logged(let_in(1 + 2 * HOUR, 50001), let_in(2 + 2 * HOUR, 50002), dropped(300, 50900), clock="UTC")
    assert verdict(audited(log, captured(mapper(1, 50001), mapper(2, 50002)))).first_time == moment(300)


def test_of_zones_that_attempts_agree_on_the_one_of_the_most_is_taken_then_the_nearest(audited):
    captures = captured(*(mapper(n, 50000 + n) for n in (1, 2, 3)))
    both = [let_in(n + hours * HOUR, 50000 + n) for hours in (2, 5) for n in (1, 2)]
    assert verdict(audited(logged(*both, dropped(300 + 2 * HOUR, 50900)), captures)).first_time == moment(300)
    more = [*both, let_in(3 + 5 * HOUR, 50003)]
    assert verdict(audited(logged(*more, dropped(300 + 5 * HOUR, 50900)), captures)).first_time == moment(300)


def test_the_zone_is_told_by_when_attempts_begin_however_long_they_last(audited):
    lasting = [At(n + later, udp(f"10.0.0.5:{50000 + n} > 10.0.0.20:135")) for later in (0, 290) for n in (1, 2)]
    capture = pcap(sorted(lasting, key=lambda one: one.seconds))
    rows = [let_in(n + later + 2 * HOUR, 50000 + n, "135/udp") for later in (0, 60, 120, 180) for n in (1, 2)]
    log = logged(*rows, dropped(300 + 2 * HOUR, 50900))
    assert verdict(audited(log, capture)).first_time == moment(300)


def test_rows_with_numbers_and_packets_without_tell_the_zone_too(audited):
    """A capture that holds only the answers has no SYN; the log has dropped ones, with their numbers."""
    capture = captured(*(f"{n} 10.0.0.5:{50000 + n} > 10.0.0.20:135/tcp only answers" for n in (1, 2)))
    rows = [dropped(n + 2 * HOUR, 50000 + n, "S", "135") for n in (1, 2)]
    assert verdict(audited(logged(*rows, dropped(300 + 2 * HOUR, 50900)), capture)).first_time == moment(300)


@pytest.mark.parametrize("ahead", [420, -75, 2 * HOUR + 420])
def test_a_sequence_number_tells_exactly_how_far_a_log_is_off(ahead, audited):
    rows = [dropped(second + ahead, 50001) for second in (1, 2, 4)]
    smb = verdict(audited(logged(*rows), captured("1 10.0.0.5:50001 > 10.0.0.20:445/tcp S0")))
    assert (smb.attempts, smb.first_time, smb.last_time) == (1, moment(1), moment(4))


# the clocks of captures


def test_a_log_that_shares_attempts_with_a_capture_that_is_off_is_off_with_it(audited):
    right = captured(mapper(1, 50001))
    off = captured(mapper(1801, 50001), "1810 10.0.0.5:50003 > 10.0.0.20:445/tcp S0")
    rows = [dropped(second, 50003) for second in (1810, 1811, 1813)]
    smb = verdict(audited(right, off, logged(*rows)))
    assert (smb.attempts, smb.first_time, smb.last_time) == (1, moment(10), moment(13))


def test_a_log_in_another_zone_than_a_capture_that_is_off(audited):
    right = captured(mapper(1, 50001))
    off = captured(mapper(1801, 50001), mapper(1803, 50003), mapper(1804, 50004))
    rows = [let_in(1800 + n + 2 * HOUR, 50000 + n) for n in (3, 4)]
    log = logged(*rows, dropped(2100 + 2 * HOUR, 50900))
    assert verdict(audited(right, off, log)).first_time == moment(300)


@pytest.mark.parametrize("ahead", [HOUR, -HOUR])
def test_what_was_earlier_is_told_by_the_common_clock(ahead, audited):
    """The second capture is an hour off, so that its own times say the opposite."""
    first, second = "{} 10.0.0.5:50003 > 10.0.0.20:445/tcp S0", "{} 10.0.0.5:50004 > 10.0.0.20:445/tcp SF"
    right = [mapper(4001, 50001), (first if ahead < 0 else second).format(4010 if ahead < 0 else 4060)]
    off = [mapper(4001 + ahead, 50001), (second if ahead < 0 else first).format(ahead + (4060 if ahead < 0 else 4010))]
    smb = verdict(audited(captured(*right), captured(*off)))
    assert (smb.verdict, smb.changed.before, smb.changed.after) == ("open", "blocked", "open")
    assert (smb.changed.before_time, smb.changed.after_time) == (moment(4010), moment(4060))


# which accounts are of one attempt


@pytest.mark.parametrize("off", [0, 50, -50])
def test_a_row_without_a_number_is_of_the_attempt_with_its_ends_at_about_its_time(off, audited):
    log = logged(let_in(61 + off, 50001, "445"))
    smb = verdict(audited(log, captured("61 10.0.0.5:50001 > 10.0.0.20:445/tcp SF")))
    assert (smb.verdict, smb.attempts, len(smb.evidence)) == ("open", 1, 2)


def test_an_attempt_lasts_until_its_last_packet_in_any_source(audited):
    smb = verdict(audited(logged(let_in(1, 50001, "445")), captured("1 10.0.0.5:50001 > 10.0.0.20:445/tcp S0")))
    assert (smb.attempts, smb.first_time, smb.last_time) == (1, moment(1), moment(4))


def test_a_row_is_of_the_attempt_of_which_only_an_error_was_captured(audited):
    capture = captured("1 10.0.0.5:50001 > 10.0.0.20:445/tcp prohibited by 10.0.0.1 alone")
    smb = verdict(audited(logged(let_in(1, 50001, "445", "SEND")), capture))
    assert (smb.verdict, smb.blocked_at, smb.attempts) == ("blocked", "between", 1)


def test_a_row_is_of_the_attempt_that_began_then_however_long_it_lasted(audited):
    packets = talk("10.0.0.5:50001 > 10.0.0.20:445", "S <SA A 5PA <5PA")
    lasting = [At(1 if place < 3 else 601, packet) for place, packet in enumerate(packets)]
    assert verdict(audited(logged(let_in(1, 50001, "445")), pcap(lasting))).attempts == 1


def test_a_row_between_two_attempts_is_of_the_one_before(audited):
    """Both have its ends and are within a minute or two: one was answered 40 seconds before, one is silent later."""
    first, second = (talk("10.0.0.5:50001 > 10.0.0.20:445", words) for words in ("S <SA A FA <FA A", "S@7"))
    capture = pcap([*(At(10, one) for one in first), *(At(140 + later, second[0]) for later in (0, 1, 3))])
    row = let_in(50, 50001, "445")
    alone, beside = (verdict(audited(*sources)) for sources in ([capture], [capture, logged(row)]))
    assert (alone.verdict, beside.verdict) == ("blocked", "blocked")
    assert (alone.attempts, alone.remedy) == (beside.attempts, beside.remedy)


def test_a_row_with_another_number_is_of_another_attempt(audited):
    log = logged(dropped(1, 50001, "S@7"))
    assert verdict(audited(log, captured("1 10.0.0.5:50001 > 10.0.0.20:445/tcp S0"))).attempts == 2


SENT = let_in(1, 50001, "445", "SEND")


@pytest.mark.parametrize("turn", [False, True])
def test_the_logs_of_both_ends_tell_of_one_attempt(turn, audited):
    logs = [logged(SENT), logged(dropped(1, 50001))]
    smb = verdict(audited(*(reversed(logs) if turn else logs)))
    assert (smb.verdict, smb.confidence, smb.blocked_at) == ("blocked", "proven", "client")
    assert (smb.attempts, len(smb.evidence)) == (1, 2)


def test_the_logs_of_both_ends_may_be_in_other_zones_when_a_capture_tells(audited):
    capture = captured("1 10.0.0.5:50001 > 10.0.0.20:445/tcp S0", mapper(60, 50002), mapper(61, 50003))
    sent = [let_in(n - 5 * HOUR, port, to, "SEND") for n, port, to in ((1, 50001, "445"), (60, 50002, "135"))]
    smb = verdict(audited(logged(*sent), logged(dropped(1 + 2 * HOUR, 50001)), capture))
    assert (smb.verdict, smb.blocked_at, smb.attempts, len(smb.evidence)) == ("blocked", "client", 1, 3)
    assert smb.first_time == moment(1)


def test_a_firewall_tells_of_an_attempt_but_once(audited):
    """Both rows of the site server are within a minute of the client's, but they are of two attempts."""
    client = logged(let_in(90, 50001, "445"))
    server = logged(*(let_in(second, 50001, "445", "SEND") for second in (35, 105)))
    smb = verdict(audited(client, server))
    assert (smb.attempts, len(smb.evidence)) == (2, 3)


def test_each_of_several_rows_is_of_another_ping(audited):
    pings = [At(second, echo("10.0.0.5 > 10.0.0.20", identifier=second)) for second in (1, 4, 7)]
    rows = [f"{shown(n)} ALLOW 10.0.0.5 > 10.0.0.20 - RECEIVE#{n}" for n in (1, 4, 7)]
    ping = verdict(audited(pcap(pings), logged(*rows)), "icmp-echo")
    assert (ping.attempts, len(ping.evidence)) == (3, 6)


def test_the_same_ports_and_number_again_in_one_capture_are_another_attempt(audited):
    packets = talk("10.0.0.5:50001 > 10.0.0.20:445", "S S@7 S@1000")
    capture = pcap([At(100 * place, packet) for place, packet in enumerate(packets)])
    assert verdict(audited(capture)).attempts == 3
    assert verdict(audited(capture, capture)).attempts == 3


def test_connections_without_a_beginning_in_two_captures_are_two(audited):
    line = "{0} 10.0.0.5:{0} > 10.0.0.20:445/tcp mid-stream"
    assert verdict(audited(captured(line.format(50001)), captured(line.format(50002)))).attempts == 2


# dynamic ports, and hosts of several roles


@pytest.mark.parametrize(("clock", "verdicts"), [("Local", "blocked"), ("UTC", "not-observed")])
def test_a_dynamic_port_counts_where_clocks_cannot_be_compared(clock, verdicts, audited):
    """By their faces hours lie between the endpoint mapper in one log and the port in the other."""
    server = logged(let_in(0, 50001, "135", "SEND"), clock=clock)
    client = logged(let_in(7000, 50009, "445"), dropped(7200, 50002, to="49700"), clock=clock)
    assert verdict(audited(server, client), "rpc-dynamic").verdict == verdicts


def test_a_site_server_in_the_network_of_the_clients_is_none_of_them(write):
    rows = [
        f"{shown(1)} DROP 10.0.0.5:50001 > 10.0.0.20:445 - SEND",
        f"{shown(2)} DROP 10.0.0.5:50002 > 10.0.0.80:80 - SEND",
    ]
    roles = {"site-server": "10.0.0.5", "client": "10.0.0.0/27", "management-point": "10.0.0.80"}
    report = auditor.audit(write(logged(*rows)), roles=roles, dissect=False)
    assert [one.address for one in report.clients] == ["10.0.0.20"]
    assert verdict(report).blocked_at == "site-server"


def test_no_computer_is_named_as_both_ends_of_a_push(write):
    with pytest.raises(ArgumentError, match=r"^--role: 10\.0\.0\.5 cannot be site server and client at once"):
        auditor.audit(write(captured(mapper(1, 50001))), roles=ROLES | {"client": ["10.0.0.20", "10.0.0.5"]})
