"""What a verdict on a requirement says besides the verdict: hosts, times, evidence, and why nothing was seen."""

from __future__ import annotations

from collections.abc import Callable
from itertools import starmap

import pytest
from packets import BEGIN, At, echo, icmp_error, pcap, talk, tcp, turned, udp, with_hops
from scenario import scene

import auditor
from auditor.report.model import RequirementVerdict, utc_text

SERVER, CLIENT = "10.0.0.5", "10.0.0.20"
POINTS = [f"10.0.0.{n}" for n in range(80, 85)]
ROLES = {"site-server": SERVER, "client": CLIENT, "management-point": POINTS}

Verdict = Callable[..., RequirementVerdict]


@pytest.fixture
def verdict(write) -> Verdict:
    def verdict(requirement: str, *lines: str, roles: dict[str, object] = ROLES) -> RequirementVerdict:
        report = auditor.audit(write(pcap(scene(lines))), roles=roles, dissect=False)
        return next(one for one in report.client(CLIENT).method("client-push").requirements if one.row == requirement)

    return verdict


def at_seconds(words: str, *seconds: float) -> list[At]:
    """Return packets of one connection to SMB at these times."""
    return list(starmap(At, zip(seconds, talk(f"{SERVER}:50000 > {CLIENT}:445", words), strict=True)))


def smb(second: float, outcome: str) -> str:
    return f"{second} {SERVER}:{50000 + int(second)} > {CLIENT}:445/tcp {outcome}"


def web(second: int, server: str, outcome: str) -> str:
    return f"{second} {CLIENT}:{51000 + second} > {server}:80/tcp {outcome}"


def moment(second: float) -> str | None:
    return utc_text(int((BEGIN + second) * 1_000_000_000))


def test_it_lasts_from_the_first_attempt_to_the_last_packet(verdict):
    found = verdict("smb", smb(0, "SF"), smb(7, "S0 twice"))
    assert (found.first_time, found.last_time) == (moment(0), moment(8))


def test_of_many_attempts_the_latest_are_shown_in_order(verdict):
    found = verdict("smb", *(smb(second, "REJ") for second in range(9)))
    assert [one.frames for one in found.evidence] == [(n, n + 1) for n in range(7, 19, 2)]


def test_the_attempt_that_decides_is_shown_however_many_came_after_it(verdict):
    later = [smb(second, "mid-stream one way") for second in range(1, 9)]
    found = verdict("smb", smb(0, "REJ"), *later)
    assert found.verdict == "refused"
    assert (len(found.evidence), found.evidence[0].frames) == (6, (1, 2))


@pytest.mark.parametrize("count", [5, 6, 7])
def test_every_capture_of_the_attempt_that_decides_is_shown_and_of_others_as_many_as_make_six(write, count):
    captures = [write(pcap(scene([smb(5, "REJ")]))) for _ in range(count)]
    captures.append(write(pcap(scene([smb(0, "REJ")]))))
    found = auditor.audit(*captures, roles=ROLES, dissect=False).client(CLIENT).requirement("client-push/smb")
    assert len(found.evidence) == max(6, count)


def test_of_many_servers_three_more_are_told_of(verdict):
    found = verdict("http-management-point", web(0, POINTS[0], "SF"), *(web(n, POINTS[n], "REJ") for n in range(1, 5)))
    assert found.verdict == "open"
    assert [f"To {one} it is refused." in found.explanation for one in POINTS] == [False, True, True, True, False]
    assert [one.frames[0] for one in found.evidence] == [1, 10, 12, 14]


def test_of_another_server_the_first_attempt_is_shown(verdict):
    found = verdict("http-management-point", web(0, POINTS[0], "SF"), *(web(n, POINTS[1], "REJ") for n in (1, 2, 3)))
    assert (found.destination.address, [one.frames[0] for one in found.evidence]) == (POINTS[0], [1, 10])


def test_the_server_of_which_more_is_open_is_judged(verdict):
    """Of two that would do, though the other comes first."""
    more = [line.replace(":80/", ":443/") for line in (web(1, POINTS[0], "S0 once"), web(3, POINTS[1], "SF"))]
    found = verdict("https-management-point", web(0, POINTS[0], "SF"), web(2, POINTS[1], "SF"), *more)
    assert (found.destination.address, found.verdict) == (POINTS[1], "open")


WORKS, FAILS, SHOWS_NOTHING = ("SF", "SF"), ("REJ", "REJ"), ("mid-stream one way", "mid-stream one way")


@pytest.mark.parametrize("order", [1, -1])
@pytest.mark.parametrize(
    ("better", "worse"),
    [(WORKS, FAILS), (WORKS, SHOWS_NOTHING), (FAILS, SHOWS_NOTHING), (("SF", "REJ"), FAILS), (WORKS, ("SF", "REJ"))],
)
def test_of_two_servers_the_better_one_is_judged(verdict, better, worse, order):
    """One that fails is better than one of which nothing is known: it says more."""
    tried = [
        (server, port, outcome)
        for server, outcomes in zip(POINTS, (better, worse)[::order], strict=False)
        for port, outcome in zip((80, 443), outcomes, strict=True)
    ]
    lines = [f"{n} {CLIENT}:{51000 + n} > {to}:{port}/tcp {outcome}" for n, (to, port, outcome) in enumerate(tried)]
    assert verdict("http-management-point", *lines).destination.address == POINTS[order == -1]


def test_of_servers_that_were_not_tried_the_one_that_reached_the_client_is_judged(verdict):
    found = verdict("http-management-point", f"0 {POINTS[1]}:50000 > {CLIENT}:10123/tcp SF")
    assert (found.destination.address, found.verdict) == (POINTS[1], "not-observed")


def test_of_several_site_servers_that_are_set_the_one_that_tried_is_named(verdict):
    """A datagram alone is no push, so that it is looked for from all of them."""
    roles = {"site-server": [SERVER, "10.0.0.6"], "client": CLIENT}
    found = verdict("rpc-endpoint-mapper-udp", f"0 10.0.0.6:50000 > {CLIENT}:135/udp answered", roles=roles)
    assert (found.verdict, found.source.address, found.destination.address) == ("open", "10.0.0.6", CLIENT)


def test_of_many_hosts_that_were_not_tried_three_are_named(verdict):
    text = verdict("http-management-point", smb(0, "SF")).explanation
    assert text.startswith(
        "Not observed: no attempt from 10.0.0.20 to 10.0.0.80, 10.0.0.81, 10.0.0.82 and 2 more on TCP 80."
    )


def test_a_port_is_asked_for_only_where_the_site_sets_it(write):
    path = write(pcap(scene([f"0 {CLIENT}:51000 > 10.0.0.90:8081/tcp SF"])))
    report = auditor.audit(path, roles={"client": CLIENT, "source-server": "10.0.0.90"}, dissect=False)
    text = report.client(CLIENT).requirement("manual/smb-share").explanation
    assert text == "Not observed: no attempt from 10.0.0.20 to 10.0.0.90 on TCP 445."


def test_an_echo_request_that_was_not_seen_has_no_port(verdict):
    text = verdict("icmp-echo", smb(0, "SF")).explanation
    assert text == "Not observed: no echo request from 10.0.0.5 to 10.0.0.20."


def test_a_host_that_nobody_named_is_asked_for(verdict):
    found = verdict("http-management-point", smb(0, "SF"), roles={"client": CLIENT})
    assert found.explanation == "No management point found. Set it: --role management-point=ADDRESS."
    assert [found.source.role, found.source.address] == ["client", CLIENT]
    assert [found.destination.role, found.destination.address] == ["management-point", None]
    found = verdict("smb", web(0, POINTS[0], "SF"), roles={"client": CLIENT})
    assert found.explanation == "No site server found. Set it: --role site-server=ADDRESS."
    assert [found.source.role, found.source.address] == ["site-server", None]
    assert [found.destination.role, found.destination.address] == ["client", CLIENT]


@pytest.mark.parametrize(
    ("named", "expected"), [({}, "not-applicable"), ({"fallback-status-point": POINTS[1]}, "open")]
)
def test_what_a_site_may_lack_is_asked_for_if_a_host_has_that_role(verdict, named, expected):
    roles = {"site-server": SERVER, "client": CLIENT, **named}
    assert verdict("http-fallback-status-point", web(0, POINTS[1], "SF"), roles=roles).verdict == expected


def test_requests_for_a_hardware_address_say_nothing_of_what_only_informs(verdict):
    questions = f"0 {SERVER} asks {CLIENT}"
    assert verdict("smb", questions).verdict == "unreachable"
    assert verdict("rpc-endpoint-mapper-udp", questions).verdict == "not-observed"


@pytest.mark.parametrize(("count", "stated"), [(7, "did not reply to 7 ARP"), (9, "did not reply to 8 or more ARP")])
def test_of_many_requests_for_an_address_the_number_is_a_lower_bound(verdict, count, stated):
    questions = [f"{second} {SERVER} asks {CLIENT} once" for second in range(count)]
    assert stated in verdict("smb", *questions).explanation


def test_dynamic_ports_of_a_host_without_an_answer_for_its_address_are_unknown(verdict):
    found = verdict("rpc-dynamic", f"0 {SERVER} asks {CLIENT}")
    assert (found.verdict, found.ports) == ("unreachable", ())


def test_a_host_that_talks_to_others_is_there_although_requests_for_its_address_got_no_answer(verdict):
    assert verdict("smb", f"0 {SERVER} asks {CLIENT}", web(5, POINTS[0], "SF")).verdict == "not-observed"


def test_the_display_filter_of_neighbor_solicitations_names_the_target(write):
    report = auditor.audit(write(pcap(scene(["0 fd00::5 asks fd00::20"]))), roles=V6, dissect=False)
    (shown,) = report.clients[0].requirement("client-push/smb").evidence
    assert shown.display_filter == "icmpv6.nd.ns.target_address == fd00::20"


def test_of_several_that_request_a_hardware_address_the_lowest_address_is_shown(verdict):
    found = verdict("smb", f"0 {SERVER} asks {CLIENT}", f"10 10.0.0.1 asks {CLIENT}")
    assert found.explanation.startswith(
        f"{CLIENT} did not reply to 3 ARP requests or neighbor solicitations from 10.0.0.1,"
    )
    assert [one.frames for one in found.evidence] == [(4, 5, 6)]


def test_in_a_capture_whose_clock_is_set_back_the_later_frames_decide(write):
    first, second = (talk(f"{SERVER}:{port} > {CLIENT}:445", words) for port, words in ((1, "S <RA"), (2, "S <SA A")))
    packets = [*(At(3600 + n, one) for n, one in enumerate(first)), *(At(n, one) for n, one in enumerate(second))]
    client = auditor.audit(write(pcap(packets)), roles=ROLES, dissect=False).client(CLIENT)
    assert client.requirement("client-push/smb").verdict == "open"


def test_of_other_servers_only_what_was_decided_is_told(verdict):
    found = verdict("http-management-point", web(0, POINTS[0], "SF"), web(1, POINTS[1], "mid-stream one way"))
    assert (found.verdict, POINTS[1] in found.explanation) == ("open", False)


def test_the_evidence_of_requests_for_a_hardware_address_says_who_asks_for_whom(verdict):
    found = verdict("smb", f"0 {SERVER} asks {CLIENT}")
    assert (found.first_time, found.last_time) == (moment(0), moment(2))
    assert (found.attempts, found.ports, found.source.address, found.destination.address) == (0, (445,), SERVER, CLIENT)
    assert (found.verdict, found.confidence, found.blocked_at) == ("unreachable", "proven", "unknown")
    (shown,) = found.evidence
    assert [tuple(vars(one).values()) for one in shown.packets] == [
        (n + 1, moment(n), SERVER, CLIENT, "who has") for n in range(3)
    ]
    assert shown.display_filter == f"arp.dst.proto_ipv4 == {CLIENT}"


@pytest.mark.parametrize(
    ("words", "seconds", "expected"),
    [
        ("S <SA S S", (0, 0.1, 1, 3), "blocked"),
        ("S <SA S A", (0, 0.1, 1, 1.1), "open"),
        ("S <SA S A S", (0, 0.1, 1, 1.1, 3), "open"),
        ("S <R S <SA", (0, 0.1, 1, 1.1), "open"),
    ],
    ids=["only SYNs", "an acknowledgement", "an acknowledgement before a SYN", "a stray reset before the SYN-ACK"],
)
def test_an_answer_was_not_heard_if_only_syns_came_after_it(words, seconds, expected, write):
    packets = [*at_seconds(words, *seconds), At(60, udp("192.0.2.8:5353 > 192.0.2.9:5353"))]
    client = auditor.audit(write(pcap(packets)), roles=ROLES, dissect=False).client(CLIENT)
    assert client.requirement("client-push/smb").verdict == expected


def test_a_stray_reset_is_not_shown_as_the_answer(write):
    packets = at_seconds("S <R S <SA A", 0, 0.1, 1, 1.1, 1.2)
    client = auditor.audit(write(pcap(packets)), roles=ROLES, dissect=False).client(CLIENT)
    assert [one.frames for one in client.requirement("client-push/smb").evidence] == [(1, 4)]


@pytest.mark.parametrize("outcome", ["S0", "reset without ACK"])
def test_a_reset_that_refuses_nothing_is_told_beside_the_syns_that_got_no_answer(verdict, outcome):
    found = verdict("smb", web(0, POINTS[0], "SF"), smb(5, outcome), "until 60")
    assert (found.verdict, found.confidence, found.blocked_at) == ("blocked", "likely", "unknown")
    told = "does not acknowledge the SYN, so it is no response." in found.explanation
    assert told == (outcome != "S0")


def test_what_acknowledges_another_syn_is_shown_and_answers_nothing(write):
    who = f"{SERVER}:50000 > {CLIENT}:445"
    packets = [tcp(who), tcp(turned(who), "A", seq=9000, ack=7)]
    client = auditor.audit(write(pcap(packets)), roles=ROLES, dissect=False).client(CLIENT)
    found = client.requirement("client-push/smb")
    assert (found.verdict, found.evidence[0].frames) == ("inconclusive", (1, 2))
    assert "the packet in frame 2 belongs to another connection" in found.explanation


@pytest.mark.parametrize(("outcome", "expected"), [("silent twice", "no-response"), ("silent once", "inconclusive")])
def test_two_pings_without_a_reply_say_something_at_the_end_of_a_capture(verdict, outcome, expected):
    assert verdict("icmp-echo", f"0 {SERVER} > {CLIENT}/icmp {outcome}").verdict == expected


@pytest.mark.parametrize("stray", ["<R", "R"])
def test_an_attempt_begins_with_its_syn_whatever_is_before_it(stray, write):
    client = auditor.audit(
        write(pcap(at_seconds(f"{stray} S <SA A", 0, 1, 1.1, 1.2))), roles=ROLES, dissect=False
    ).client(CLIENT)
    found = client.requirement("client-push/smb")
    assert (found.verdict, found.first_time) == ("open", moment(1))
    assert found.evidence[0].frames == (2, 3)


def test_a_syn_of_the_host_that_was_tried_does_not_begin_an_attempt_of_the_other(write):
    packets = at_seconds("<SA <S <5PA", 0, 1, 2)
    client = auditor.audit(write(pcap(packets)), roles=ROLES, dissect=False).client(CLIENT)
    assert client.requirement("client-push/smb").first_time == moment(0)


# the evidence of one attempt

TCP_ENDS = "ip.addr == 10.0.0.5 && ip.addr == 10.0.0.20 && tcp.port == 50000 && tcp.port == 445"
V6 = {"site-server": "fd00::5", "client": "fd00::20"}


@pytest.mark.parametrize(
    ("line", "shown"),
    [
        (f"0 {SERVER}:50000 > {CLIENT}:445/tcp SF", TCP_ENDS),
        (f"0 {SERVER}:50000 > {CLIENT}:445/tcp prohibited by 10.0.0.1", f"{TCP_ENDS} || frame.number in {{2}}"),
        (f"0 {SERVER}:50000 > {CLIENT}:445/tcp prohibited by 10.0.0.1 alone", "frame.number in {1}"),
        (f"0 {SERVER} > {CLIENT}/icmp answered", "icmp && ip.addr == 10.0.0.5 && ip.addr == 10.0.0.20"),
        (
            f"0 {SERVER} > {CLIENT}/icmp prohibited by 10.0.0.1",
            "icmp && ip.addr == 10.0.0.5 && ip.addr == 10.0.0.20",
        ),
        ("0 fd00::5 > fd00::20/icmp answered", "icmpv6 && ipv6.addr == fd00::5 && ipv6.addr == fd00::20"),
        (
            "0 [fd00::5]:50000 > [fd00::20]:445/tcp SF",
            "ipv6.addr == fd00::5 && ipv6.addr == fd00::20 && tcp.port == 50000 && tcp.port == 445",
        ),
    ],
)
def test_a_display_filter_shows_an_attempt_and_the_errors_about_it(line, shown, write):
    (client,) = auditor.audit(write(pcap(scene([line]))), roles=V6 if "::" in line else ROLES, dissect=False).clients
    name = "icmp-echo" if "/icmp" in line else "smb"
    (proof,) = client.requirement(f"client-push/{name}").evidence
    assert proof.display_filter == shown


@pytest.mark.parametrize(
    ("outcome", "packets"),
    [
        ("SF", [(1, SERVER, CLIENT, "SYN"), (2, CLIENT, SERVER, "SYN-ACK")]),
        ("REJ", [(1, SERVER, CLIENT, "SYN"), (2, CLIENT, SERVER, "RST")]),
        ("prohibited by 10.0.0.1", [(1, SERVER, CLIENT, "SYN"), (2, "10.0.0.1", SERVER, "ICMP 3/13")]),
        ("mid-stream", [(1, SERVER, CLIENT, "data"), (2, CLIENT, SERVER, "data")]),
        ("S0", [(1, SERVER, CLIENT, "SYN"), (2, SERVER, CLIENT, "SYN"), (3, SERVER, CLIENT, "SYN")]),
    ],
)
def test_the_packets_that_prove_it_say_who_sent_what_to_whom(verdict, outcome, packets):
    (proof,) = verdict("smb", smb(0, outcome), "until 60").evidence
    assert [(one.frame, one.sender, one.receiver, one.what) for one in proof.packets] == packets
    assert proof.packets[0].time == moment(0)


@pytest.mark.parametrize(
    ("outcomes", "expected"),
    [
        (["prohibited by 10.0.0.1"], "blocked proven"),
        (["S0", "prohibited by 10.0.0.1 quoting another SYN alone"], "blocked likely"),
        (["prohibited by 10.0.0.1 quoting another SYN"], "open proven"),
        (["prohibited by 10.0.0.1 alone"], "open proven"),
    ],
    ids=["proven", "several SYNs, not proven", "one SYN, not proven", "nothing else"],
)
def test_an_error_that_is_not_proven_takes_back_an_open_port_only_with_syns_that_got_no_answer(
    verdict, outcomes, expected
):
    found = verdict("smb", smb(0, "SF"), *(smb(10, outcome) for outcome in outcomes), "until 60")
    assert f"{found.verdict} {found.confidence}" == expected


def test_an_error_of_icmp_version_6_says_so(write):
    line = "0 [fd00::5]:50000 > [fd00::20]:445/tcp prohibited by fd00::1"
    (client,) = auditor.audit(write(pcap(scene([line]))), roles=V6, dissect=False).clients
    smb = client.requirement("client-push/smb")
    assert [one.what for one in smb.evidence[0].packets] == ["SYN", "ICMPv6 1/1"]
    assert "(ICMPv6 1/1, administratively prohibited)" in smb.explanation


def test_of_many_syns_and_errors_the_first_syns_and_the_last_errors_are_shown(write):
    syn = tcp(f"{SERVER}:50000 > {CLIENT}:445")
    errors = [icmp_error("10.0.0.1", 3, code, quoting=syn) for code in (13, 10)]
    packets = [packet for _ in range(6) for error in errors for packet in (syn, error)]
    client = auditor.audit(write(pcap(packets)), roles=ROLES, dissect=False).client(CLIENT)
    (proof,) = client.requirement("client-push/smb").evidence
    assert proof.frames == (1, 3, 5, 16, 18, 20, 22, 24)
    assert proof.display_filter.endswith(" || frame.number in {2, 4, 6, 16, 18, 20, 22, 24}")


def test_the_frames_of_a_proof_are_in_order(write):
    syn = tcp(f"{SERVER}:50000 > {CLIENT}:445")
    packets = [syn, *[udp("192.0.2.8:5353 > 192.0.2.9:5353")] * 6, icmp_error("10.0.0.1", 3, 13, quoting=syn)]
    client = auditor.audit(write(pcap(packets)), roles=ROLES, dissect=False).client(CLIENT)
    (proof,) = client.requirement("client-push/smb").evidence
    assert proof.frames == (1, 8)
    assert [packet.frame for packet in proof.packets] == [1, 8]


ASKED = [f"10 10.0.0.1 asks {CLIENT}"]


def test_requests_for_the_address_are_shown_beside_the_syns_that_got_no_answer(verdict):
    (proof,) = verdict("smb", smb(0, "S0"), f"0 10.0.0.1 asks {CLIENT}").evidence
    assert [(one.frame, one.sender, one.what) for one in proof.packets] == [
        (1, SERVER, "SYN"),
        (2, "10.0.0.1", "who has"),
        (3, SERVER, "SYN"),
        (4, "10.0.0.1", "who has"),
        (6, SERVER, "SYN"),
    ]


def test_requests_for_the_address_in_another_capture_are_not_shown_as_frames_of_this_one(write):
    captures = [write(pcap(scene(lines))) for lines in ([smb(0, "S0")], ["0 192.0.2.1 asks 192.0.2.2", *ASKED])]
    found = auditor.audit(*captures, roles=ROLES, dissect=False).client(CLIENT).requirement("client-push/smb")
    assert (found.verdict, found.confidence, found.blocked_at) == ("unreachable", "proven", "unknown")
    assert [proof.frames for proof in found.evidence] == [(1, 2, 3)]


def test_of_many_requests_for_an_address_the_first_seven_and_the_last_are_shown(verdict):
    found = verdict("smb", *(f"{second} {SERVER} asks {CLIENT}" for second in (0, 10, 20)))
    (proof,) = found.evidence
    assert proof.frames == tuple(packet.frame for packet in proof.packets) == (1, 2, 3, 4, 5, 6, 7, 9)


@pytest.mark.parametrize(("outcome", "words"), [("S0", "no response to 3 SYNs"), ("S0 once", "no response to 1 SYN")])
def test_how_many_syns_got_no_answer_is_told(verdict, outcome, words):
    assert words in verdict("smb", smb(0, outcome), "until 60").explanation


@pytest.mark.parametrize(
    ("seconds", "words"),
    [
        ((0, 0.1), "no response to 2 SYNs"),
        ((0, 0.0999), "no response to 1 SYN"),
        ((0, 0.06, 0.12), "no response to 2 SYNs"),
        ((9, 0, 0.0999), "no response to 1 SYN"),
    ],
    ids=["a tenth of a second apart", "nearer", "one more between two", "a clock that is set back"],
)
def test_syns_a_tenth_of_a_second_apart_are_two(write, seconds, words):
    """Nearer ones are one packet that several interfaces show."""
    packets = [*at_seconds(" ".join("S" for _ in seconds), *seconds), *scene([web(20, POINTS[0], "SF"), "until 60"])]
    client = auditor.audit(write(pcap(packets)), roles=ROLES, dissect=False).client(CLIENT)
    assert words in client.requirement("client-push/smb").explanation


@pytest.mark.parametrize(("second", "expected"), [(0.1, "no-response"), (0.0999, "inconclusive")])
def test_pings_a_tenth_of_a_second_apart_are_two(write, second, expected):
    ping = echo(f"{SERVER} > {CLIENT}")
    client = auditor.audit(write(pcap([At(0, ping), At(second, ping)])), roles=ROLES, dissect=False).client(CLIENT)
    assert client.requirement("client-push/icmp-echo").verdict == expected


@pytest.mark.parametrize(
    ("lines", "expected"),
    [
        ([smb(0, "one-sided"), f"5 {POINTS[0]}:50000 > {SERVER}:80/tcp SF"], "inconclusive"),
        ([f"0 {SERVER}:50000 > {POINTS[0]}:80/tcp one-sided"], "inconclusive"),
        ([f"0 {SERVER}:50000 > {POINTS[0]}:80/tcp one-sided", f"5 {POINTS[1]}:50000 > {SERVER}:80/tcp SF"], "blocked"),
    ],
    ids=["between the two", "from the originator to any", "from the originator to another"],
)
def test_where_one_direction_was_captured_no_response_says_nothing(verdict, lines, expected):
    alive = web(20, POINTS[2], "SF")
    assert verdict("smb", *lines, smb(10, "S0"), alive, "until 60").verdict == expected


def test_how_often_a_syn_came_again_is_told(verdict):
    twice = verdict("smb", smb(0, "answered in vain"))
    once = verdict("smb", smb(0, "answered in vain twice"), "until 60")
    assert "retransmitted its SYN 2 times and acknowledged nothing" in twice.explanation
    assert "retransmitted its SYN 1 time and acknowledged nothing" in once.explanation
    assert twice.remedy_text.startswith("Find what drops the responses from 10.0.0.20 to 10.0.0.5:")
    assert twice.remedy[0].text.endswith(" or the firewall of 10.0.0.5. TCP 445 is open on 10.0.0.20.")


@pytest.mark.parametrize(
    ("outcome", "remedy"),
    [
        (
            "prohibited by 10.0.0.1",
            "On 10.0.0.1, and on every other firewall on the path, allow TCP 445 from 10.0.0.5 to",
        ),
        ("prohibited by 10.0.0.5", "On 10.0.0.5, allow outbound TCP 445 to 10.0.0.20."),
        ("prohibited by 10.0.0.20", "On 10.0.0.20, allow inbound TCP 445 from 10.0.0.5."),
        ("refused by 10.0.0.20", "Check that the service runs on 10.0.0.20"),
        ("unreachable by 10.0.0.1", "Check that 10.0.0.20 is on"),
        ("answer prohibited by 10.0.0.1", "On 10.0.0.1, allow the responses from 10.0.0.20 to 10.0.0.5"),
        ("answer prohibited by 10.0.0.20", "On 10.0.0.20, allow the responses from 10.0.0.20 to 10.0.0.5"),
    ],
)
def test_the_remedy_names_where_it_helps(verdict, outcome, remedy):
    assert verdict("smb", smb(0, outcome)).remedy_text.startswith(remedy)


@pytest.mark.parametrize("sender", [SERVER, "10.0.0.1", CLIENT])
@pytest.mark.parametrize("outcome", ["prohibited", "refused", "unreachable", "answer prohibited"])
def test_an_error_about_a_packet_that_was_captured_is_proof_whoever_sends_it(verdict, outcome, sender):
    assert verdict("smb", smb(0, f"{outcome} by {sender}")).confidence == "proven"


@pytest.mark.parametrize(
    ("outcome", "expected"),
    [
        (f"prohibited by {SERVER}", "blocked site-server"),
        ("prohibited by 10.0.0.1", "blocked between"),
        (f"prohibited by {CLIENT}", "blocked client"),
        (f"refused by {SERVER}", "refused between"),
        ("refused by 10.0.0.1", "refused between"),
        (f"refused by {CLIENT}", "refused client"),
        (f"unreachable by {SERVER}", "unreachable unknown"),
        ("unreachable by 10.0.0.1", "unreachable unknown"),
        ("answer prohibited by 10.0.0.1", "blocked between"),
        (f"answer prohibited by {CLIENT}", "blocked client"),
    ],
)
def test_it_was_stopped_where_the_error_comes_from(verdict, outcome, expected):
    found = verdict("smb", smb(0, outcome))
    assert f"{found.verdict} {found.blocked_at}" == expected


def test_what_an_error_is_about_is_shown_by_the_error_where_it_was_not_captured(verdict):
    found = verdict("smb", smb(0, "icmp 3/4 by 10.0.0.1 alone"))
    assert (found.verdict, [proof.frames for proof in found.evidence]) == ("inconclusive", [(1,)])


def test_an_error_about_a_syn_ack_of_the_host_that_tried_says_nothing(write):
    who = f"{SERVER}:50000 > {CLIENT}:445"
    errors = [
        icmp_error("10.0.0.1", 3, 13, quoting=tcp(who)),
        icmp_error("10.0.0.9", 3, 13, quoting=tcp(who, "SA"), room=40),
    ]
    client = auditor.audit(write(pcap([tcp(who), *errors])), roles=ROLES, dissect=False).client(CLIENT)
    assert (
        "rejected by 10.0.0.1 (ICMP 3/13, administratively prohibited)."
        in client.requirement("client-push/smb").explanation
    )


def test_an_error_that_may_be_forged_is_only_likely(verdict):
    found = verdict("smb", smb(0, "prohibited by 10.0.0.1 quoting another SYN"))
    assert (found.verdict, found.confidence) == ("blocked", "likely")
    assert "The ICMP error quotes a packet that is not in this source, so this is not proven." in found.explanation


def test_a_ping_that_is_answered_has_no_middle(verdict):
    text = verdict("icmp-echo", f"0 {SERVER} > {CLIENT}/icmp answered").explanation
    assert text == "The echo request from 10.0.0.5 to 10.0.0.20: response received."


def test_the_reply_to_a_ping_may_be_stopped_on_its_way_back(write):
    ping = f"{SERVER} > {CLIENT}"
    error = icmp_error("10.0.0.1", 3, 13, quoting=echo(turned(ping), reply=True))
    client = auditor.audit(write(pcap([echo(ping), error])), roles=ROLES, dissect=False).client(CLIENT)
    found = client.requirement("client-push/icmp-echo")
    assert (found.verdict, found.blocked_at) == ("blocked", "between")
    assert (
        "10.0.0.20 responded, but 10.0.0.1 rejected the response on the return path (ICMP 3/13)." in found.explanation
    )


@pytest.mark.parametrize(("acknowledged", "confidence"), [(1001, "proven"), (777, "likely")])
def test_an_error_about_an_answer_to_another_syn_may_be_forged(write, acknowledged, confidence):
    who = f"{SERVER}:50000 > {CLIENT}:445"
    answer = tcp(turned(who), "SA", seq=9000, ack=acknowledged)
    packets = [tcp(who), icmp_error("10.0.0.1", 3, 13, quoting=answer, room=40)]
    client = auditor.audit(write(pcap(packets)), roles=ROLES, dissect=False).client(CLIENT)
    found = client.requirement("client-push/smb")
    assert (found.verdict, found.confidence) == ("blocked", confidence)


@pytest.mark.parametrize("order", [1, -1])
def test_of_errors_about_an_answer_one_that_is_no_forgery_is_enough(write, order):
    who = f"{SERVER}:50000 > {CLIENT}:445"
    answers = [tcp(turned(who), "SA", seq=9000, ack=number) for number in (1001, 777)[::order]]
    errors = [icmp_error("10.0.0.1", 3, 13, quoting=answer, room=40) for answer in answers]
    client = auditor.audit(write(pcap([tcp(who), *errors])), roles=ROLES, dissect=False).client(CLIENT)
    found = client.requirement("client-push/smb")
    assert (found.verdict, found.confidence, found.evidence[0].frames) == ("blocked", "proven", (1, 2, 3))


@pytest.mark.parametrize(
    ("outcome", "how"),
    [
        ("SF", "response received (SYN-ACK)."),
        ("mid-stream", "data in both directions. The capture begins in the middle of the connection."),
    ],
)
def test_how_a_port_was_answered_is_told(verdict, outcome, how):
    text = verdict("smb", smb(0, outcome)).explanation
    assert text == f"TCP 445 from {SERVER} to {CLIENT}: {how}"


def test_a_connection_whose_syn_was_captured_does_not_begin_in_its_middle(write):
    packets = at_seconds("S A 5PA <5PA", 0, 0.1, 0.2, 0.3)
    client = auditor.audit(write(pcap(packets)), roles=ROLES, dissect=False).client(CLIENT)
    text = client.requirement("client-push/smb").explanation
    assert text == f"TCP 445 from {SERVER} to {CLIENT}: response received."


@pytest.mark.parametrize(
    "lines",
    [
        [smb(0, "answer icmp 3/4 by 10.0.0.1")],
        [smb(0, "one-sided"), smb(0.5, "prohibited by 10.0.0.1 alone")],
    ],
    ids=["about its size", "about a packet of the originator"],
)
def test_an_error_that_does_not_forbid_the_answer_does_not_block_it(verdict, lines):
    assert verdict("smb", *lines).verdict == "inconclusive"


def test_of_an_answer_alone_that_is_stopped_nothing_is_known(verdict):
    assert verdict("smb", smb(0, "answer prohibited by 10.0.0.1 alone")).verdict == "inconclusive"


@pytest.mark.parametrize("who", ["10.0.0.20:50000 > 10.0.0.80:50080", "10.0.0.80:50080 > 10.0.0.20:50000"])
def test_a_connection_without_its_begin_is_read_both_ways(who, write):
    path = write(pcap(scene([f"0 {who}/tcp mid-stream"])))
    roles = {"client": CLIENT, "management-point": POINTS[0]}
    report = auditor.audit(path, roles=roles, ports={"http-management-point": 50080}, dissect=False)
    found = report.client(CLIENT).requirement("client-push/http-management-point")
    assert (found.verdict, found.source.address, found.destination.address) == ("open", CLIENT, POINTS[0])
    assert found.explanation.startswith("TCP 50080 from 10.0.0.20 to 10.0.0.80: data in both directions.")
    (proof,) = found.evidence
    assert {(one.sender, one.receiver) for one in proof.packets} == {(CLIENT, POINTS[0]), (POINTS[0], CLIENT)}
    assert proof.packets[0].sender == who.split(":")[0]


def test_a_connection_that_shows_its_syn_ack_is_read_one_way(write):
    path = write(pcap(scene([f"0 {POINTS[0]}:50080 > {CLIENT}:50000/tcp only answers"])))
    ports = {"http-management-point": 50080}
    report = auditor.audit(path, roles=ROLES | {"management-point": POINTS[0]}, ports=ports, dissect=False)
    assert report.client(CLIENT).requirement("client-push/http-management-point").verdict == "not-observed"


def test_of_a_connection_without_its_begin_an_answer_that_is_stopped_blocks_nothing(verdict):
    """Some packets of a connection that is there already may be forbidden, such as late ones."""
    lines = [smb(0, "mid-stream one way"), smb(0, "answer prohibited by 10.0.0.1 alone")]
    assert verdict("smb", *lines).verdict == "inconclusive"


def test_one_syn_after_an_answer_says_nothing_at_the_end_of_a_capture(write):
    client = auditor.audit(write(pcap(at_seconds("S <SA S", 0, 0.1, 1))), roles=ROLES, dissect=False).client(CLIENT)
    assert client.requirement("client-push/smb").verdict == "open"


@pytest.mark.parametrize(("lines", "place"), [([], "unknown"), (["until 60"], "between")])
def test_a_reset_of_an_unknown_sender_is_placed_by_a_capture_that_lacks_the_attempt(write, lines, place):
    """Its hop count is as fresh as that of the echo reply, but another."""
    ping, attempt = echo(f"{SERVER} > {CLIENT}"), talk(f"{SERVER}:50000 > {CLIENT}:445", "S <RA")
    reply = with_hops(echo(f"{CLIENT} > {SERVER}", reply=True), 128)
    pinged = [At(0, ping), At(0.1, reply)]
    captures = [write(pcap([*pinged, At(1, attempt[0]), At(1.1, attempt[1]), *scene(["until 60"])]))]
    captures += [write(pcap([*pinged, *scene(lines)]))] if lines else []
    found = auditor.audit(*captures, roles=ROLES, dissect=False).client(CLIENT).requirement("client-push/smb")
    assert (found.verdict, found.blocked_at) == ("refused", place)


# the same attempt in two captures


@pytest.mark.parametrize("order", [1, -1])
@pytest.mark.parametrize(
    ("outcomes", "expected", "words"),
    [
        (("answered in vain", "answered in vain"), "blocked likely", "The response does not reach 10.0.0.5."),
        (("answered in vain", "S0"), "blocked likely", "The forward path is open, the return path is blocked."),
        (("SF", "REJ"), "refused proven", ": reset immediately."),
        (
            ("REJ", "prohibited by 10.0.0.1"),
            "blocked proven",
            "rejected by 10.0.0.1 (ICMP 3/13, administratively prohibited)",
        ),
    ],
)
def test_what_two_captures_show_of_one_attempt(write, outcomes, expected, words, order):
    captures = [write(pcap(scene([smb(0, outcome)]))) for outcome in outcomes][::order]
    found = auditor.audit(*captures, roles=ROLES, dissect=False).client(CLIENT).requirement("client-push/smb")
    assert f"{found.verdict} {found.confidence}" == expected
    assert words in found.explanation


@pytest.mark.parametrize("order", [1, -1])
def test_an_attempt_in_two_captures_lasts_from_its_first_packet_to_its_last(write, order):
    """The clock of one capture jumps ahead before it; the connections before agree."""
    before = [f"{n} {SERVER}:{50100 + n} > {CLIENT}:135/tcp SF" for n in range(3)]
    captures = [write(pcap(scene([*before, smb(n, "S0").replace(str(50000 + n), "50000")]))) for n in (10, 13)]
    found = auditor.audit(*captures[::order], roles=ROLES, dissect=False).client(CLIENT).requirement("client-push/smb")
    assert (found.attempts, found.first_time, found.last_time) == (1, moment(10), moment(16))


@pytest.mark.parametrize(("numbers", "attempts"), [((1, 1), 1), ((1, 2), 2)])
def test_a_ping_without_a_reply_is_the_same_in_two_captures_if_its_number_is(write, numbers, attempts):
    who = f"{SERVER} > {CLIENT}"
    captures = [write(pcap(At(second, echo(who, number=number)) for second in range(3))) for number in numbers]
    client = auditor.audit(*captures, roles=ROLES, dissect=False).client(CLIENT)
    assert client.requirement("client-push/icmp-echo").attempts == attempts
