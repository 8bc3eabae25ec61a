"""Which pushes are in the sources: of what kind each contact is, and which of them are judged."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import contacting
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from logs import firewall_log, row
from packets import BEGIN, At, pcap, talk
from scenario import scene

import auditor
from auditor.report.model import Push
from auditor.ruleset.ruleset import load_ruleset
from auditor.sources.dissection.facts import ProtocolFacts
from auditor.sources.source import Source
from auditor.verdicts.installations.contacts import Contact, contacts_of, merge
from auditor.verdicts.installations.pushes import PairContent, content_of, find_pushes

PAIR = SERVER, CLIENT = "10.0.0.5", "10.0.0.20"
PUSH = ["0 10.0.0.5:50000 > 10.0.0.20:445/tcp SF", "1 10.0.0.5:50001 > 10.0.0.20:135/tcp SF"]
SHARE = "3 10.0.0.7:50002 > 10.0.0.30:445/tcp SF"
SCANNED = (21, 22, 80, 135, 139, 443, 445, 3389, 5985)


@pytest.fixture
def audited(write) -> Callable[..., auditor.Report]:
    def audited(*lines: str, **known: object) -> auditor.Report:
        return auditor.audit(write(pcap(scene(lines))), **known, dissect=False)

    return audited


def kinds(report: auditor.Report) -> dict[str, str]:
    """Return kind and certainty of every pair."""
    return {f"{one.from_address} > {one.to_address}": f"{one.kind} {one.how_sure}" for one in report.pushes}


def judged(report: auditor.Report) -> list[str]:
    """Return the pairs that have an entry of client push."""
    return [
        f"{method.site_server} > {client.address}"
        for client in report.clients
        for method in client.methods
        if method.push
    ]


def contact(who: str, port: int, how: str = "SF", at: float = 2) -> str:
    src, dst = who.split(" > ")
    return f"{at} {src}:{10_000 + port} > {dst}:{port}/tcp {how}"


def scan(who: str, ports: tuple[int, ...] = SCANNED, how: str = "REJ") -> list[str]:
    return [contact(who, port, how, 2 + place / 100) for place, port in enumerate(ports)]


# kinds


def test_several_ports_of_a_push_are_one(audited):
    assert kinds(audited(*PUSH)) == {"10.0.0.5 > 10.0.0.20": "push likely"}


def test_why_it_is_taken_for_one_is_told(audited):
    (one,) = audited(*PUSH).pushes
    assert one.why == "The originator contacted TCP 135 and TCP 445, like a client push."
    echo = "0 10.0.0.5 > 10.0.0.20/icmp answered"
    (other,) = audited(echo, *PUSH, contact("10.0.0.5 > 10.0.0.20", 49700)).pushes
    assert (
        other.why
        == "The originator contacted ICMP echo and TCP 135 and TCP 445 and a dynamic port, like a client push."
    )


def test_an_echo_request_and_one_port_are_one(audited):
    lines = ["0 10.0.0.5 > 10.0.0.20/icmp answered", "1 10.0.0.5:50000 > 10.0.0.20:445/tcp S0"]
    assert kinds(audited(*lines)) == {"10.0.0.5 > 10.0.0.20": "push likely"}


def test_one_port_alone_may_be_anything_and_is_judged(audited):
    report = audited("0 10.0.0.5:50000 > 10.0.0.20:445/tcp S0", "1 10.0.0.20:50001 > 10.0.0.5:99/tcp SF")
    assert kinds(report) == {"10.0.0.5 > 10.0.0.20": "unknown weak"}
    assert report.client().method("client-push").result == "fails"


@pytest.mark.parametrize("how", ["REJ", "S0 once", "S0"])
def test_many_ports_within_a_minute_are_a_scan(audited, how):
    report = audited(*scan("10.0.0.7 > 10.0.0.20", how=how), "until 60")
    assert kinds(report) == {"10.0.0.7 > 10.0.0.20": "scan likely"}
    assert judged(report) == []


def test_the_same_ports_over_hours_are_no_scan(audited):
    lines = [contact("10.0.0.5 > 10.0.0.20", port, "REJ", 600 * place) for place, port in enumerate(SCANNED)]
    assert kinds(audited(*lines)) == {"10.0.0.5 > 10.0.0.20": "push likely"}


def test_services_that_are_used_are_no_scan(audited):
    assert kinds(audited(*scan("10.0.0.5 > 10.0.0.20", how="SF"))) == {"10.0.0.5 > 10.0.0.20": "push likely"}


def test_a_port_that_was_named_for_something_else_is_no_dynamic_one(audited):
    lines = [contact("10.0.0.5 > 10.0.0.20", port) for port in (445, 50080)]
    assert kinds(audited(*lines)) == {"10.0.0.5 > 10.0.0.20": "push likely"}
    named = audited(*lines, ports={"http-management-point": 50080})
    assert kinds(named) == {"10.0.0.5 > 10.0.0.20": "unknown weak"}


def test_services_that_were_used_and_closed_are_no_port_test(audited):
    assert kinds(audited(contact("10.0.0.5 > 10.0.0.20", 445))) == {"10.0.0.5 > 10.0.0.20": "unknown weak"}
    assert kinds(audited(contact("10.0.0.5 > 10.0.0.20", 445, "handshake"))) == {"10.0.0.5 > 10.0.0.20": "scan likely"}


def test_many_dynamic_ports_within_a_minute_are_a_scan(audited):
    report = audited(*scan("10.0.0.7 > 10.0.0.20", (135, *range(49152, 49170)), "S0 once"), "until 60")
    assert kinds(report) == {"10.0.0.7 > 10.0.0.20": "scan likely"}


def test_a_port_test_is_no_push(write):
    report = auditor.audit(write(pcap(talk("10.0.0.5:50000 > 10.0.0.20:445", "S <SA A FA <FA A"))), dissect=False)
    assert kinds(report) == {"10.0.0.5 > 10.0.0.20": "scan likely"}


def test_one_syn_to_each_of_many_computers_is_a_scan(audited):
    lines = [f"{n} 10.0.0.7:{50000 + n} > 10.0.0.{n}:445/tcp S0 once" for n in range(30, 36)]
    assert set(kinds(audited(*lines, "until 60")).values()) == {"scan likely"}


def test_syns_that_are_repeated_are_no_scan(audited):
    lines = [f"{n} 10.0.0.5:{50000 + n} > 10.0.0.{n}:445/tcp S0" for n in range(30, 36)]
    assert set(kinds(audited(*lines, "until 60")).values()) == {"unknown weak"}


def test_a_domain_member_at_its_controller_logs_on(audited):
    report = audited(*(contact("10.0.0.20 > 10.0.0.2", port) for port in (88, 389, 445, 135, 49700)))
    assert kinds(report) == {"10.0.0.20 > 10.0.0.2": "logon likely"}
    assert judged(report) == []


def test_a_client_that_reads_from_its_site_server_shares_files(audited):
    report = audited(*PUSH, contact("10.0.0.20 > 10.0.0.5", 445))
    assert kinds(report)["10.0.0.20 > 10.0.0.5"] == "file-sharing likely"
    assert judged(report) == ["10.0.0.5 > 10.0.0.20"]


def test_a_client_at_another_port_of_its_site_server_shares_no_files(audited):
    assert kinds(audited(*PUSH, contact("10.0.0.20 > 10.0.0.5", 135)))["10.0.0.20 > 10.0.0.5"] == "unknown weak"


def test_a_site_server_that_reads_from_the_one_that_pushed_it_shares_files(audited):
    further = [line.replace("10.0.0.20", "10.0.0.30").replace("10.0.0.5", "10.0.0.20") for line in PUSH]
    report = audited(*PUSH, *further, contact("10.0.0.20 > 10.0.0.5", 445))
    assert kinds(report)["10.0.0.20 > 10.0.0.5"] == "file-sharing likely"


def test_who_logs_on_at_a_controller_does_not_push_by_that(audited):
    logon = [contact("10.0.0.20 > 10.0.0.2", port) for port in (88, 389, 445, 135)]
    assert kinds(audited(*logon, contact("10.0.0.20 > 10.0.0.30", 445)))["10.0.0.20 > 10.0.0.30"] == "unknown weak"


def test_a_console_at_a_share_of_the_site_server_shares_files(audited):
    report = audited(*PUSH, contact("10.0.0.9 > 10.0.0.5", 445))
    assert kinds(report)["10.0.0.9 > 10.0.0.5"] == "file-sharing likely"


def test_a_server_that_several_computers_read_from_shares_files(audited):
    report = audited(*(contact(f"10.0.0.{n} > 10.0.0.2", 445) for n in (30, 31, 32)))
    assert set(kinds(report).values()) == {"file-sharing likely"}


def test_one_port_of_a_computer_is_a_push_if_the_same_host_pushes_elsewhere(audited):
    report = audited(*PUSH, contact("10.0.0.5 > 10.0.0.21", 445, "S0"))
    assert kinds(report)["10.0.0.5 > 10.0.0.21"] == "push likely"


def test_a_push_over_ipv6_is_one_beside_ipv4(audited):
    report = audited(*PUSH, "5 [fd00::5]:50000 > [fd00::20]:445/tcp S0", "6 [fd00::5] > [fd00::20]/icmp answered")
    assert judged(report) == ["10.0.0.5 > 10.0.0.20", "fd00::5 > fd00::20"]


def test_two_site_servers_of_one_client_are_two_entries(audited):
    second = [line.replace("10.0.0.5", "10.0.0.6").replace("SF", "S0") for line in PUSH]
    report = audited("0 10.0.0.5 > 10.0.0.20/icmp answered", *PUSH, *second)
    results = {method.site_server: method.result for method in report.client().methods if method.push}
    assert results == {"10.0.0.5": "unproven", "10.0.0.6": "fails"}


def push_to(server: str, client: str, second: float, smb: str) -> list[str]:
    """Return a push: an echo request, SMB, and the endpoint mapper."""
    src, dst = (f"[{one}]" if ":" in one else one for one in (server, client))
    return [
        f"{second} {src} > {dst}/icmp answered",
        f"{second + 0.1} {src}:50000 > {dst}:445/tcp {smb}",
        f"{second + 0.2} {src}:50001 > {dst}:135/tcp SF",
    ]


def test_two_site_servers_push_to_ten_clients_each_with_a_scan_in_between(audited):
    """One of them pushes over IPv6; to every second client SMB is blocked."""
    pairs = [("10.0.0.5", f"10.0.1.{n}") for n in range(1, 11)] + [("fd00::5", f"fd00::1:{n}") for n in range(1, 11)]
    blocked = {pair for place, pair in enumerate(pairs) if place % 2}
    lines = [
        line
        for place, pair in enumerate(pairs)
        for line in push_to(*pair, second=10 * place, smb="S0" if pair in blocked else "SF")
    ]
    report = audited(*lines, *scan("10.0.0.9 > 10.0.1.3"), *scan("10.0.0.9 > 10.0.0.5"), "until 300")
    results = {
        (method.site_server, client.address): (method.result, client.requirement("client-push/smb").verdict)
        for client in report.clients
        for method in client.methods
        if method.push
    }
    assert results == {pair: ("fails", "blocked") if pair in blocked else ("unproven", "open") for pair in pairs}


# how many it takes


def kind(report: auditor.Report, pair: str = "10.0.0.7 > 10.0.0.20") -> str:
    return kinds(report)[pair]


@pytest.mark.parametrize(("count", "expected"), [(4, "push likely"), (5, "scan likely")])
def test_five_ports_that_have_to_do_with_no_push_are_a_scan(audited, count, expected):
    assert kind(audited(*scan("10.0.0.7 > 10.0.0.20", (135, 445, *range(7000, 7000 + count))))) == expected


@pytest.mark.parametrize(("apart", "expected"), [(15, "scan likely"), (16, "push likely")])
def test_they_are_a_scan_within_a_minute(audited, apart, expected):
    others = [contact("10.0.0.7 > 10.0.0.20", 7000 + n, "REJ", 10 + apart * n) for n in range(5)]
    assert kind(audited(*scan("10.0.0.7 > 10.0.0.20", (135, 445)), *others)) == expected


@pytest.mark.parametrize(("count", "expected"), [(16, "push likely"), (17, "scan likely")])
def test_more_dynamic_ports_than_a_push_uses_are_a_scan(audited, count, expected):
    ports = (135, 445, *range(49700, 49700 + count))
    assert kind(audited(*scan("10.0.0.7 > 10.0.0.20", ports))) == expected


@pytest.mark.parametrize(("count", "expected"), [(4, "unknown weak"), (5, "scan likely")])
def test_one_syn_to_each_of_five_computers_is_a_scan(audited, count, expected):
    lines = [contact(f"10.0.0.7 > 10.0.0.{20 + n}", 445, "S0 once", n) for n in range(count)]
    assert kind(audited(*lines, "until 60")) == expected


def port_tests(count: int, at: float = 0, where: int = 30) -> list[str]:
    """Return port tests of SMB at some computers, one a second."""
    return [contact(f"10.0.0.7 > 10.0.0.{where + n}", 445, "handshake", at + n) for n in range(count)]


@pytest.mark.parametrize(("count", "expected"), [(2, "unknown weak"), (3, "scan likely")])
def test_who_tests_a_port_of_three_computers_scans_others_too(audited, count, expected):
    report = audited(*port_tests(count), contact("10.0.0.7 > 10.0.0.20", 445, "S0 once", 20), "until 60")
    assert kind(report) == expected


@pytest.mark.parametrize("count", [3, 12])
def test_what_is_tried_again_and_again_is_no_port_test(audited, count):
    """Somebody at the site server tests computers that are fine, some minutes after a push that is blocked."""
    report = audited(*port_tests(count, at=200), contact("10.0.0.7 > 10.0.0.20", 445, "S0", 20), "until 300")
    assert judged(report) == ["10.0.0.7 > 10.0.0.20"]


def test_more_ports_of_a_push_than_were_tested_are_no_port_test(audited):
    tried = [contact("10.0.0.7 > 10.0.0.20", port, "S0 once", 20) for port in (135, 445)]
    assert kind(audited(*port_tests(12), *tried, "until 60")) == "push likely"


@pytest.mark.parametrize("count", [3, 12])
def test_port_tests_of_a_site_server_that_was_named_are_no_scan_of_other_computers(audited, count):
    lines = [*port_tests(count), contact("10.0.0.7 > 10.0.0.20", 445, "S0", 5), "until 60"]
    report = audited(*lines, roles={"site-server": "10.0.0.7"})
    assert judged(report) == ["10.0.0.7 > 10.0.0.20"]
    assert kind(report, "10.0.0.7 > 10.0.0.30") == "scan likely"


@pytest.mark.parametrize(("count", "expected"), [(9, "push likely"), (10, "scan likely")])
def test_ten_computers_without_data_of_which_one_accepts_are_swept(audited, count, expected):
    swept = [contact(f"10.0.0.7 > 10.0.0.{20 + n}", 445, "REJ", n) for n in range(count - 1)]
    report = audited(*swept, contact("10.0.0.7 > 10.0.0.90", 445, "handshake", 20), "until 60")
    assert kind(report) == expected


@pytest.mark.parametrize(
    ("tests", "at", "expected"),
    [(3, 5, "scan likely"), (2, 5, "push likely"), (3, 70, "push likely"), (1, 5, "push likely")],
    ids=["amid a sweep", "too few", "at another time", "one"],
)
def test_what_is_tried_again_and_again_amid_the_sweep_of_a_network_is_part_of_it(audited, tests, at, expected):
    swept = [contact(f"10.0.0.7 > 10.0.0.{20 + n}", 445, "S0", n / 10) for n in range(10)]
    assert kind(audited(*swept, *port_tests(tests, at, where=60), "until 200")) == expected


def test_ten_computers_of_which_none_accepts_are_not_swept(audited):
    assert kind(audited(*(contact(f"10.0.0.7 > 10.0.0.{20 + n}", 445, "S0", n) for n in range(10)))) == "push likely"


@pytest.mark.parametrize(("count", "expected"), [(7, "unknown weak"), (8, "push likely")])
def test_who_contacts_eight_computers_manages_them(audited, count, expected):
    assert kind(audited(*(contact(f"10.0.0.7 > 10.0.0.{20 + n}", 445) for n in range(count)))) == expected


@pytest.mark.parametrize(("count", "expected"), [(2, "unknown weak"), (3, "file-sharing likely")])
def test_three_computers_that_read_make_a_server(audited, count, expected):
    report = audited(*(contact(f"10.0.0.{7 + n} > 10.0.0.20", 445) for n in range(count)))
    assert kind(report) == expected


@pytest.mark.parametrize(
    ("readers", "other", "expected"),
    [
        (8, "10.0.0.31", "file-sharing likely"),
        (8, None, "unknown weak"),
        (7, "10.0.0.31", "unknown weak"),
        (8, "10.0.0.32", "unknown weak"),
    ],
    ids=["a user of another file server", "no user", "few readers", "a user of what two others read"],
)
def test_a_file_server_that_does_not_answer_a_user_of_file_servers_shares_files(audited, readers, other, expected):
    lines = [contact(f"10.0.0.{100 + n} > 10.0.0.30", 445) for n in range(readers)]
    lines += [contact(f"10.0.0.{120 + n} > 10.0.0.31", 445) for n in range(8)]
    lines += [contact(f"10.0.0.{120 + n} > 10.0.0.32", 445) for n in range(2)]
    lines += [contact(f"10.0.0.7 > {other}", 445)] * bool(other)
    report = audited(*lines, contact("10.0.0.7 > 10.0.0.30", 445, "REJ"))
    assert kinds(report)["10.0.0.7 > 10.0.0.30"] == expected


def test_the_push_of_a_site_server_to_a_file_server_stays_a_push(audited):
    lines = [contact(f"10.0.0.{100 + n} > 10.0.0.{server}", 445) for n in range(8) for server in (30, 31)]
    lines += [contact("10.0.0.7 > 10.0.0.31", 445), *(contact("10.0.0.7 > 10.0.0.40", port) for port in (135, 445))]
    report = audited(*lines, contact("10.0.0.7 > 10.0.0.30", 445, "S0"), "until 300")
    assert kinds(report)["10.0.0.7 > 10.0.0.30"] == "push likely"


def test_only_those_that_send_data_read(audited):
    lines = [contact(f"10.0.0.{7 + n} > 10.0.0.20", 445, how) for n, how in enumerate(("SF", "SF", "S0"))]
    assert kind(audited(*lines)) == "unknown weak"


def test_one_connection_from_the_internet_without_data_is_a_scan(audited):
    for src, how, expected in (
        ("8.8.8.8", "S0", "scan likely"),
        ("8.8.8.8", "SF", "unknown weak"),
        ("10.0.0.7", "S0", "unknown weak"),
    ):
        assert kind(audited(contact(f"{src} > 10.0.0.20", 445, how)), f"{src} > 10.0.0.20") == expected
    assert kind(audited(contact("8.8.8.8 > 9.9.9.9", 445, "S0")), "8.8.8.8 > 9.9.9.9") == "unknown weak"


@pytest.mark.parametrize(
    ("seconds", "expected"), [((0, 5, 10), ["10.0.0.5 > 10.0.0.20"]), ((0, 5), []), ((0, 6, 12), [])]
)
def test_three_requests_for_an_address_within_seconds_are_an_attempt(audited, seconds, expected):
    report = audited(*(f"{second} 10.0.0.5 asks 10.0.0.20 once" for second in seconds))
    assert list(kinds(report)) == expected


@pytest.mark.parametrize(
    ("target", "count"),
    [("10.0.255.20", 1), ("10.1.0.20", 0), ("fd00::8000:0:0:20", 1), ("fd00:0:0:1::20", 0)],
)
def test_a_request_for_an_address_that_can_be_of_no_subnet_is_no_attempt(audited, target, count):
    asker = "fd00::5" if ":" in target else "10.0.0.5"
    assert len(audited(f"0 {asker} asks {target}").pushes) == count


def test_a_computer_that_is_pushed_wants_to_push_to_nobody(audited):
    assert list(kinds(audited(*PUSH, "3 10.0.0.20 asks 10.0.0.30"))) == ["10.0.0.5 > 10.0.0.20"]
    assert list(kinds(audited(*PUSH, "3 10.0.0.5 asks 10.0.0.30"))) == ["10.0.0.5 > 10.0.0.20", "10.0.0.5 > 10.0.0.30"]


def test_in_a_network_of_site_servers_only_pushes_are_judged(audited):
    """A network holds other hosts too, which log on at their domain controller."""
    logon = [contact("10.0.0.20 > 10.0.0.2", port) for port in (88, 389, 445, 135)]
    for named, expected in (("10.0.0.0/24", []), ("10.0.0.20", ["10.0.0.20 > 10.0.0.2"])):
        assert judged(audited(*logon, roles={"site-server": named})) == expected


# one contact


def of_pair(read: Callable[[bytes], Source], packets: list[At]) -> Contact:
    (found,) = contacts_of(read(pcap(packets)), load_ruleset())
    return found


@pytest.mark.parametrize(
    ("words", "sent", "bare"),
    [
        ("S <SA A 1PA <5PA", True, False),
        ("S <SA A <5PA A FA <FA A", False, True),
        ("S <SA A R", False, True),
        ("S <SA A FA <FA A", False, True),
        ("S <SA A", False, False),
        ("S <RA", False, False),
    ],
)
def test_what_is_sent_and_closed_tells_a_port_test(read, words, sent, bare):
    packets = [At(n / 1000, one) for n, one in enumerate(talk("10.0.0.5:50000 > 10.0.0.20:445", words))]
    found = of_pair(read, packets)
    assert (found.sent, found.bare) == (sent, bare)


def test_a_contact_lasts_from_its_first_attempt_to_its_last_one_at_any_port_of_a_push(read):
    lines = [contact("10.0.0.5 > 10.0.0.20", port, at=at) for port, at in ((135, 5), (445, 3), (49700, 9), (80, 20))]
    found = of_pair(read, scene(lines))
    assert [one - BEGIN * 10**9 for one in (found.first_ns, found.last_ns)] == [3 * 10**9, 9 * 10**9]


@given(st.lists(st.tuples(st.integers(0, 300), st.integers(7000, 7006)), max_size=12))
@settings(max_examples=40)
def test_other_ports_are_counted_within_any_minute(read, tried):
    lines = [f"{at} 10.0.0.5:{40000 + n} > 10.0.0.20:{port}/tcp REJ" for n, (at, port) in enumerate(tried)]
    most = max((len({port for at, port in tried if begin <= at <= begin + 60}) for begin, _ in tried), default=0)
    assert of_pair(read, scene([*lines, "400 10.0.0.5:50000 > 10.0.0.20:445/tcp SF"])).other_ports == most


# several sources


@pytest.mark.parametrize("order", [1, -1])
def test_what_sources_show_of_one_pair_is_put_together(order):
    one = contacting.contact(
        SERVER, CLIENT, (445,), "echo controller sent retried", other_ports=3, first_ns=5, last_ns=9
    )
    marks = "dynamic apart talked bare insisted accepted"
    other = contacting.contact(SERVER, CLIENT, (135,), marks, other_ports=1, dynamic_ports=4, first_ns=2, last_ns=7)
    back = one._replace(src=CLIENT, dst=SERVER)
    numbers = {"other_ports": 3, "dynamic_ports": 4, "first_ns": 2, "last_ns": 9}
    whole = contacting.contact(SERVER, CLIENT, (445, 135), " ".join(contacting.MARKS), **numbers)
    assert merge([one, back, other][::order]) == {PAIR: whole, PAIR[::-1]: back}


@pytest.fixture
def logged(tmp_path: Path) -> Callable[..., auditor.Report]:
    """Return how to audit a log of attempts at SMB, each as "ACTION FROM > TO"."""

    def logged(*attempts: str) -> auditor.Report:
        path = tmp_path / "pfirewall.log"
        path.write_bytes(firewall_log(*(_row(place, text) for place, text in enumerate(attempts))))
        return auditor.audit(path, dissect=False)

    return logged


def _row(place: int, text: str) -> str:
    action, src, _, dst = text.split()
    return row(
        f"08:00:{place:02} {action} {src}:{50000 + place} > {dst}:445 {'S' if action == 'DROP' else '-'} RECEIVE"
    )


@pytest.mark.parametrize("action", ["DROP", "ALLOW"])
@pytest.mark.parametrize(("count", "expected"), [(5, "unknown weak"), (7, "unknown weak"), (8, "push likely")])
def test_of_a_log_nobody_knows_how_often_a_syn_was_sent(logged, action, count, expected):
    """One row each for several computers is no scan, as one SYN each is in a capture."""
    report = logged(*(f"{action} 10.0.0.7 > 10.0.0.{20 + n}" for n in range(count)))
    assert set(kinds(report).values()) == {expected}
    assert len(judged(report)) == count


@pytest.mark.parametrize(("action", "expected"), [("ALLOW", "file-sharing likely"), ("DROP", "unknown weak")])
def test_in_a_log_those_read_that_were_let_through(logged, action, expected):
    report = logged(*(f"{action} 10.0.0.{7 + n} > 10.0.0.20" for n in range(3)))
    assert set(kinds(report).values()) == {expected}


@pytest.mark.parametrize(("action", "expected"), [("ALLOW", "unknown weak"), ("DROP", "scan likely")])
def test_in_a_log_what_comes_from_the_internet_and_is_dropped_is_a_scan(logged, action, expected):
    assert kind(logged(f"{action} 8.8.8.8 > 10.0.0.20"), "8.8.8.8 > 10.0.0.20") == expected


def test_in_a_capture_an_address_that_ends_with_255_may_be_a_host(audited):
    assert kind(audited(contact("10.0.0.7 > 10.0.1.255", 445)), "10.0.0.7 > 10.0.1.255") == "unknown weak"


@pytest.mark.parametrize(("target", "count"), [("10.0.0.254", 1), ("10.0.0.255", 0), ("239.0.0.1", 0), ("10.0.0.5", 0)])
def test_a_row_about_no_other_host_is_no_contact(tmp_path, target, count):
    path = tmp_path / "pfirewall.log"
    path.write_bytes(firewall_log(row(f"08:00:00 DROP 10.0.0.5:50000 > {target}:445 S SEND")))
    assert len(auditor.audit(path, dissect=False).pushes) == count


@pytest.mark.parametrize(("flags", "kind"), [("S", "scan likely"), ("RA", "push likely")])
def test_a_late_packet_in_a_log_is_no_port_of_a_scan(tmp_path, flags, kind):
    path = tmp_path / "pfirewall.log"
    tried = [("S", 135), ("S", 445), *((flags, port) for port in range(7000, 7005))]
    rows = (row(f"08:00:00 DROP 10.0.0.5:{port} > 10.0.0.20:{port} {one} RECEIVE") for one, port in tried)
    path.write_bytes(firewall_log(*rows))
    assert kinds(auditor.audit(path, dissect=False)) == {"10.0.0.5 > 10.0.0.20": kind}


@pytest.mark.parametrize(("flags", "count"), [("S", 1), ("RA", 0)])
def test_a_late_packet_in_a_log_is_no_contact(tmp_path, flags, count):
    path = tmp_path / "pfirewall.log"
    path.write_bytes(firewall_log(row(f"08:00:00 DROP 10.0.0.5:50000 > 10.0.0.20:445 {flags} RECEIVE")))
    assert len(auditor.audit(path, dissect=False).pushes) == count


# what was opened


@pytest.mark.parametrize(
    ("opened", "expected"),
    [
        (ProtocolFacts(shares=((PAIR, "admin$"),)), "push certain The originator opened ADMIN$, like a client push."),
        (
            ProtocolFacts(push_files=(PAIR,)),
            "push certain The originator opened files of the client installation, like a client push.",
        ),
        (
            ProtocolFacts(shares=((PAIR, "sysvol"),)),
            "logon certain The originator opened what only a domain controller has",
        ),
        (
            ProtocolFacts(interfaces=((PAIR, "netlogon"),)),
            "logon certain The originator opened what only a domain controller has",
        ),
        (
            ProtocolFacts(interfaces=((PAIR, "winreg"),)),
            "push likely The originator called RPC interfaces that a client push uses: winreg.",
        ),
        (
            ProtocolFacts(shares=((PAIR, "data"), (PAIR, "ipc$"))),
            "file-sharing certain The originator opened shares, but none that",
        ),
        (ProtocolFacts(shares=((PAIR, "ipc$"),)), "unknown weak The originator contacted TCP 445 only"),
        (ProtocolFacts(shares=((PAIR[::-1], "sysvol"),)), "unknown weak The originator contacted TCP 445 only"),
    ],
)
def test_what_is_opened_says_more_than_ports(read, opened, expected):
    rules = load_ruleset()
    contacts = merge(contacts_of(read(pcap(scene([contact("10.0.0.5 > 10.0.0.20", 445)]))), rules))
    (found,) = find_pushes(contacts, rules, content=content_of([opened]))
    assert f"{found.kind} {found.how_sure} {found.why}".startswith(expected)


def test_who_opens_a_share_of_a_push_on_one_computer_pushes_to_others(read):
    rules = load_ruleset()
    lines = [contact(f"10.0.0.5 > 10.0.0.{n}", 445) for n in (20, 21)]
    contacts = merge(contacts_of(read(pcap(scene(lines))), rules))
    opened = content_of([ProtocolFacts(shares=((PAIR, "admin$"),))])
    found = find_pushes(contacts, rules, content=opened)
    assert [(one.kind, one.how_sure) for one in found] == [("push", "certain"), ("push", "likely")]


# who is judged


def test_those_that_the_user_named_are_judged_whatever_they_look_like(audited):
    lines = [contact("10.0.0.20 > 10.0.0.2", port) for port in (88, 389, 445)]
    report = audited(*lines, roles={"site-server": "10.0.0.20", "client": "10.0.0.2"})
    assert judged(report) == ["10.0.0.20 > 10.0.0.2"]


def test_what_a_site_server_that_was_named_sends_is_judged_whatever_it_looks_like(audited):
    lines = [contact("10.0.0.20 > 10.0.0.2", port) for port in (88, 389, 445)]
    assert judged(audited(*lines, roles={"site-server": "10.0.0.20"})) == ["10.0.0.20 > 10.0.0.2"]


def test_a_client_that_was_named_is_judged_although_it_looks_like_a_file_server(audited):
    lines = [contact(f"10.0.0.{n} > 10.0.0.2", 445) for n in (30, 31, 32)]
    report = audited(*lines, roles={"client": "10.0.0.2"})
    assert judged(report) == [f"10.0.0.{n} > 10.0.0.2" for n in (30, 31, 32)]


def test_a_site_server_that_was_named_is_judged_by_its_pushes_alone(audited):
    scanned = scan("10.0.0.5 > 10.0.0.30")
    named = {"site-server": "10.0.0.5"}
    assert judged(audited(*PUSH, *scanned, roles=named)) == ["10.0.0.5 > 10.0.0.20"]
    assert judged(audited(*scanned, roles=named)) == []
    assert judged(audited(*scanned, roles=named | {"client": "10.0.0.30"})) == ["10.0.0.5 > 10.0.0.30"]


def test_a_scan_of_a_client_that_was_named_is_not_judged(audited):
    report = audited(*PUSH, *scan("10.0.0.7 > 10.0.0.20"), roles={"client": "10.0.0.20"})
    assert judged(report) == ["10.0.0.5 > 10.0.0.20"]


def test_what_is_not_judged_is_listed(audited):
    text = audited(*PUSH, *scan("10.0.0.7 > 10.0.0.20")).to_text()
    assert "10.0.0.7 to 10.0.0.20: a scan. The originator tried 7 other TCP ports within a minute" in " ".join(
        text.split()
    )


def test_pushes_are_in_order_of_the_computers_that_are_reached(audited):
    lines = [contact(f"10.0.0.5 > 10.0.0.{n}", 445, "S0") for n in (100, 9)]
    assert [(one.id, one.to_address) for one in audited(*lines).pushes] == [
        ("push-1", "10.0.0.9"),
        ("push-2", "10.0.0.100"),
    ]


def test_of_one_client_the_surest_push_is_the_first(audited):
    report = audited(*PUSH, contact("10.0.0.4 > 10.0.0.20", 445, "S0"), contact("10.0.0.6 > 10.0.0.20", 445, "S0"))
    assert judged(report) == [f"10.0.0.{n} > 10.0.0.20" for n in (5, 4, 6)]


def test_every_entry_names_its_push(audited):
    report = audited(*PUSH)
    (push,) = report.pushes
    assert isinstance(push, Push)
    assert report.client().method("client-push").push == push.id
    assert {method.push for method in report.client().methods if method.id != "client-push"} == {None}


# a push beside other traffic of the same two computers


FAILED = ["200 10.0.0.5 > 10.0.0.20/icmp answered", "201 10.0.0.5:50000 > 10.0.0.20:445/tcp S0"]
SILENT = [
    "200 10.0.0.5 > 10.0.0.20/icmp silent",
    *(contact("10.0.0.5 > 10.0.0.20", port, "S0", 201) for port in (445, 135)),
]


def result_of(report: auditor.Report) -> str:
    return report.client(CLIENT).method("client-push", SERVER).result


@pytest.mark.parametrize("before", [190, 20], ids=["minutes", "seconds"])
def test_ports_that_the_site_server_tests_at_another_time_hide_no_push(audited, before):
    tests = [contact("10.0.0.5 > 10.0.0.20", port, "S0 once", 200 - before + n) for n, port in enumerate(SCANNED)]
    assert result_of(audited(*FAILED, *tests, "until 300")) == "fails"


def test_a_few_ports_that_are_tested_while_data_is_exchanged_hide_no_push(audited):
    tests = [contact("10.0.0.5 > 10.0.0.20", port, "REJ", 201) for port in (21, 22, 80, 3389, 5985)]
    mapper = contact("10.0.0.5 > 10.0.0.20", 135, "SF", 201)
    assert result_of(audited(*FAILED, *tests, mapper, "until 300")) == "fails"


@pytest.mark.parametrize("how", ["handshake", "handshake reset"])
def test_an_open_port_that_is_tested_hides_no_push(audited, how):
    assert result_of(audited(contact("10.0.0.5 > 10.0.0.20", 135, how, 0), *FAILED, "until 300")) == "fails"


def test_ports_that_the_site_server_tests_on_others_hide_no_push(audited):
    tests = [contact(f"10.0.0.5 > 10.0.0.{n}", port, "handshake", n) for n in (31, 32, 33) for port in (135, 445)]
    assert result_of(audited(*SILENT, *tests, "until 300")) == "fails"


def test_a_scan_of_another_computer_by_the_site_server_hides_no_push(audited):
    assert result_of(audited(*SILENT, *scan("10.0.0.5 > 10.0.0.30"), "until 300")) == "fails"


@pytest.mark.parametrize(
    "asked",
    ["0 10.0.0.5:49000 > 10.0.0.20:389/udp silent", "0 10.0.0.5:49000 > 10.0.0.20:389/tcp S0"],
)
def test_one_question_for_a_directory_makes_no_computer_a_controller(audited, asked):
    assert result_of(audited(asked, *FAILED, "until 300")) == "fails"


def test_ports_of_a_controller_that_a_computer_refuses_make_it_none(audited):
    asked = [contact("10.0.0.5 > 10.0.0.20", port, "REJ", 0) for port in (88, 389, 636)]
    assert result_of(audited(*asked, *FAILED, "until 300")) == "fails"


def test_a_controller_that_is_off_is_logged_on_to(audited):
    report = audited(*(contact("10.0.0.20 > 10.0.0.2", port, "S0") for port in (88, 389, 445, 135)), "until 300")
    assert kinds(report) == {"10.0.0.20 > 10.0.0.2": "logon likely"}


def test_readers_of_a_computer_hide_no_push_to_it(audited):
    readers = [contact(f"10.0.0.{n} > 10.0.0.20", 445) for n in (30, 31, 32)]
    assert result_of(audited(*readers, FAILED[1], "until 300")) == "fails"


@pytest.mark.parametrize(
    ("lines", "kind"),
    [
        ([contact("10.0.0.5 > 10.0.0.20", 445)], "file-sharing certain"),
        (["0 10.0.0.5 > 10.0.0.20/icmp answered", contact("10.0.0.5 > 10.0.0.20", 445)], "file-sharing certain"),
        (PUSH, "push likely"),
        ([contact("10.0.0.5 > 10.0.0.20", 445, at=0), *FAILED], "push likely"),
    ],
    ids=["share", "ping", "endpoint mapper", "no response later"],
)
def test_a_share_that_the_site_server_opens_hides_no_push(lines, kind, read):
    content = {(SERVER, CLIENT): PairContent(shares=frozenset(["c$"]))}
    rules = load_ruleset()
    contacts = merge(contacts_of(read(pcap(scene([*lines, "until 300"]))), rules))
    (push,) = find_pushes(contacts, rules, content=content)
    assert f"{push.kind} {push.how_sure}" == kind


def test_services_that_a_log_lets_the_site_server_use_hide_no_push(write):
    used = [
        row(f"00:00:{n:02} ALLOW {SERVER}:{50_000 + n} > {CLIENT}:{port} S RECEIVE") for n, port in enumerate(SCANNED)
    ]
    report = auditor.audit(write(firewall_log(*used)))
    assert kinds(report) == {"10.0.0.5 > 10.0.0.20": "push likely"}


def test_a_log_does_not_show_that_a_site_server_sends_no_data(write):
    """So what it does on other computers does not make its push a scan."""
    tests = [
        row(f"00:00:{n:02} DROP {SERVER}:{50_000 + n} > 10.0.0.30:{port} S RECEIVE") for n, port in enumerate(SCANNED)
    ]
    pushed = [row(f"00:00:30 DROP {SERVER}:{51_000 + port} > {CLIENT}:{port} S RECEIVE") for port in (445, 3389)]
    report = auditor.audit(write(firewall_log(*tests, *pushed)))
    assert kinds(report)["10.0.0.5 > 10.0.0.20"] == "unknown weak"
