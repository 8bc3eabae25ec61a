"""Which pushes are in the sources: of what kind each contact is, and which of them are judged."""

from __future__ import annotations

from collections.abc import Callable

import pytest
from logs import firewall_log, row
from packets import pcap, talk
from scenario import scene

import auditor
from auditor.contacts import contacts_of, merge
from auditor.pushes import PairContent, find_pushes
from auditor.report import Push
from auditor.ruleset import load_ruleset

SERVER, CLIENT = "10.0.0.5", "10.0.0.20"
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


# who is judged


def test_those_that_the_user_named_are_judged_whatever_they_look_like(audited):
    lines = [contact("10.0.0.20 > 10.0.0.2", port) for port in (88, 389, 445)]
    report = audited(*lines, roles={"site-server": "10.0.0.20", "client": "10.0.0.2"})
    assert judged(report) == ["10.0.0.20 > 10.0.0.2"]


def test_a_client_that_was_named_is_judged_although_it_looks_like_a_file_server(audited):
    lines = [contact(f"10.0.0.{n} > 10.0.0.2", 445) for n in (30, 31, 32)]
    report = audited(*lines, roles={"client": "10.0.0.2"})
    assert judged(report) == [f"10.0.0.{n} > 10.0.0.2" for n in (30, 31, 32)]


def test_a_scan_of_a_client_that_was_named_is_not_judged(audited):
    report = audited(*PUSH, *scan("10.0.0.7 > 10.0.0.20"), roles={"client": "10.0.0.20"})
    assert judged(report) == ["10.0.0.5 > 10.0.0.20"]


def test_what_is_not_judged_is_listed(audited):
    text = audited(*PUSH, *scan("10.0.0.7 > 10.0.0.20")).to_text()
    assert "10.0.0.7 to 10.0.0.20: a scan. It tries 7 other TCP ports within a minute" in " ".join(text.split())


def test_pushes_are_in_order_of_the_computers_that_are_reached(audited):
    lines = [contact(f"10.0.0.5 > 10.0.0.{n}", 445, "S0") for n in (100, 9)]
    assert [(one.id, one.to_address) for one in audited(*lines).pushes] == [
        ("push-1", "10.0.0.9"),
        ("push-2", "10.0.0.100"),
    ]


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
