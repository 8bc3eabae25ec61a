"""Where an attempt was blocked, by one capture or two, and how the clocks of two captures differ."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from ipaddress import ip_address
from itertools import starmap

import pytest
from hypothesis import given
from hypothesis import strategies as st
from logs import firewall_log, row
from packets import At, echo, pcap, talk, turned, with_hops
from scenario import scene

import auditor

pytestmark = pytest.mark.slow

PUSH = ["{0} 10.0.0.5 > 10.0.0.20/icmp answered", "{1} 10.0.0.5:50000 > 10.0.0.20:445/tcp SF"]
UNANSWERED = "{2} 10.0.0.5:50001 > 10.0.0.20:135/tcp S0"
SITE_SERVER, CLIENT, MANAGEMENT_POINT = "10.0.0.5", "10.0.0.20", "10.0.0.80"
ROLES = {"site-server": SITE_SERVER, "client": CLIENT}

MAPPER = "client-push/rpc-endpoint-mapper"

Audited = Callable[..., auditor.Report]
Hops = Mapping[str, int]


def at(second: float, *lines: str) -> list[str]:
    """Return lines in which {n} is n seconds after a second."""
    return [line.format(*(second + later for later in range(10))) for line in lines]


@pytest.fixture
def audited(write) -> Audited:
    def audited(*captures: list[str]) -> auditor.Report:
        return auditor.audit(*(write(pcap(scene(lines))) for lines in captures), roles=ROLES, dissect=False)

    return audited


def clocks(report: auditor.Report) -> list[str]:
    """Return the sentences on clocks, with a number for each source instead of its path."""
    found = [text for text in report.limitation_texts if "matched by ports and sequence numbers" in text]
    for number, source in enumerate(report.sources):
        found = [text.replace(source.path, f"#{number}") for text in found]
    said = " contain the same attempts, matched by ports and sequence numbers."
    return [text.replace(said, ":") for text in found]


def test_one_capture_has_nothing_to_compare(audited):
    assert clocks(audited(at(0, *PUSH))) == []


@pytest.mark.parametrize(
    ("who", "syn"),
    [
        ("10.0.0.6:50000 > 10.0.0.20:445", "S"),
        ("10.0.0.5:50009 > 10.0.0.20:445", "S"),
        ("10.0.0.5:50000 > 10.0.0.21:445", "S"),
        ("10.0.0.5:50000 > 10.0.0.20:135", "S"),
        ("10.0.0.5:50000 > 10.0.0.20:445", "S@7"),
    ],
)
def test_captures_of_different_attempts_have_nothing_to_compare(who, syn, write):
    """They differ in one of their ends or in the sequence number."""
    first = pcap(talk("10.0.0.5:50000 > 10.0.0.20:445", "S <SA A"))
    hosts = {"site-server": ("10.0.0.5", "10.0.0.6"), "client": ("10.0.0.20", "10.0.0.21")}
    second = pcap(talk(who, f"{syn} <SA A"))
    assert clocks(auditor.audit(write(first), write(second), roles=hosts, dissect=False)) == []
    assert len(clocks(auditor.audit(write(second), write(second), roles=hosts, dissect=False))) == 1


@pytest.mark.parametrize(
    ("ahead", "told"),
    [
        (0, "#0 and #1: Their clocks agree to the millisecond."),
        (0.0004, "#0 and #1: Their clocks agree to the millisecond."),
        (0.001, "#0 and #1: The second clock is 0.001 s ahead of the first."),
        (0.0016, "#0 and #1: The second clock is 0.002 s ahead of the first."),
        (1.25, "#0 and #1: The second clock is 1.250 s ahead of the first."),
        (3600, "#0 and #1: The second clock is 3,600.000 s ahead of the first."),
    ],
)
def test_how_far_a_clock_is_ahead(ahead, told, audited):
    assert clocks(audited(at(10, *PUSH), at(10 + ahead, *PUSH))) == [told]


def test_how_far_a_clock_is_behind(audited):
    assert clocks(audited(at(10, *PUSH), at(7.5, *PUSH))) == [
        "#0 and #1: The second clock is 2.500 s behind the first."
    ]


def test_clocks_are_compared_when_a_connection_begins(audited):
    """One of the captures ends before the other packets of it."""
    whole = "{1} 10.0.0.5:50000 > 10.0.0.20:445/tcp SF"
    assert clocks(audited(at(0, whole.replace("SF", "S0 once")), at(0, whole))) == [
        "#0 and #1: Their clocks agree to the millisecond."
    ]


def test_pings_of_other_days_have_the_same_numbers_and_say_nothing(audited):
    """Every ping of Linux begins to count at 1; the second capture is of another day, when nobody tried more."""
    day = 86_400
    report = audited(at(0, PUSH[0], UNANSWERED), at(day, PUSH[0], f"until {day + 9}"))
    assert clocks(report) == []
    assert mapper(report).blocked_at == "unknown"


@pytest.mark.parametrize(("apart", "place"), [(3600, "between"), (3600.001, "unknown")])
def test_pings_tell_of_clocks_that_differ_by_an_hour_at_most(apart, place, audited):
    assert mapper(audited(at(0, PUSH[0], UNANSWERED), at(apart, PUSH[0], "until {9}"))).blocked_at == place


@pytest.mark.parametrize("words", ["5PA <5PA A", "<SA <5PA", "<SA <S"], ids=["data", "an answer", "a SYN of the other"])
def test_connections_without_their_begin_say_nothing_of_clocks(words, write):
    packets = talk("10.0.0.5:50009 > 10.0.0.20:445", words)
    captures = [write(pcap(At(second, one) for one in packets)) for second in (0, 9)]
    assert clocks(auditor.audit(*captures, roles=ROLES, dissect=False)) == []


def test_clocks_are_compared_by_when_a_connection_began_not_by_how_long_it_lasted(audited):
    lasted = PUSH[1].replace("SF", "answered in vain")
    assert mapper(audited(at(0, PUSH[1], UNANSWERED), at(0, lasted))).blocked_at == "between"


def test_of_three_captures_each_is_compared_with_the_first_that_shares_its_attempts(audited):
    other = "{1} 10.0.0.5:50009 > 10.0.0.20:445/tcp SF"
    told = clocks(audited(at(0, PUSH[1]), at(30, other), at(2, PUSH[1], other)))
    assert told == ["#0 and #2: The second clock is 2.000 s ahead of the first."]


@pytest.mark.parametrize(
    ("captures", "more"),
    [
        (6, []),
        (7, ["1 more source contains connections of other sources."]),
        (9, ["3 more sources contain connections of other sources."]),
    ],
)
def test_not_every_one_of_many_captures_is_told(captures, more, audited):
    report = audited(*(at(second, *PUSH) for second in range(captures)))
    assert [text.partition(":")[0] for text in clocks(report)] == [f"#0 and #{number}" for number in range(1, 6)]
    assert [text for text in report.limitation_texts if "connections of other sources" in text] == more


# which way


def mapper(report: auditor.Report) -> auditor.report.model.RequirementVerdict:
    (client,) = report.clients
    return next(one for one in client.method("client-push").requirements if one.row == "rpc-endpoint-mapper")


def test_of_several_captures_that_have_it_the_first_is_named_beside_the_one_that_lacks_it(audited):
    report = audited(*[at(0, *PUSH, UNANSWERED)] * 2, at(0, *PUSH, "until 60"))
    here, _, there = (source.path for source in report.sources)
    assert f"the packets are in {here}, but not in {there}." in mapper(report).explanation


def test_the_order_of_the_captures_that_have_it_does_not_matter(audited):
    """A capture that shares no other attempt with the one that lacks it does not show that both lie on one way."""
    alone, whole, lacking = at(0, UNANSWERED), at(0, *PUSH, UNANSWERED), at(0, *PUSH, "until 60")
    for captures in ((alone, whole, lacking), (whole, alone, lacking), (lacking, whole, alone)):
        report = audited(*captures)
        paths = [report.sources[captures.index(one)].path for one in (whole, lacking)]
        assert f"the packets are in {paths[0]}, but not in {paths[1]}." in mapper(report).explanation


@pytest.mark.parametrize(
    ("shared", "begin", "end", "place"),
    [(3, 2, 60, "between"), (3, 2.1, 60, "unknown"), (1, 0, 2, "between"), (1, 0, 1.9, "unknown")],
)
def test_a_capture_lacks_only_what_began_while_it_was_taken(shared, begin, end, place, audited):
    other = f"{shared} 10.0.0.5:50000 > 10.0.0.20:445/tcp SF"
    report = audited([other, *at(0, UNANSWERED)], [f"until {begin}", other, f"until {end}"])
    assert mapper(report).blocked_at == place


def test_what_a_device_says_that_it_stopped_is_placed_by_that_alone(audited):
    forbidden = "{2} 10.0.0.5:50001 > 10.0.0.20:135/tcp prohibited by 10.0.0.1"
    found = mapper(audited(at(0, *PUSH, forbidden), at(0, *PUSH, "until 60")))
    assert (found.blocked_at, "forward path" in found.explanation) == ("between", False)


def test_of_a_host_to_which_no_way_leads_no_capture_tells_a_place(audited):
    unreachable = "{2} 10.0.0.5:50001 > 10.0.0.20:135/tcp unreachable by 10.0.0.1"
    found = mapper(audited(at(0, *PUSH, unreachable), at(0, *PUSH, "until 60")))
    assert (found.verdict, found.blocked_at, "forward path" in found.explanation) == ("unreachable", "unknown", False)


def test_connections_without_their_begin_do_not_show_that_two_captures_lie_on_one_way(audited):
    middle = "{0} 10.0.0.5:50009 > 10.0.0.20:445/tcp mid-stream"
    assert mapper(audited(at(0, middle, UNANSWERED), at(0, middle, "until 60"))).blocked_at == "unknown"


def test_a_syn_that_was_answered_was_not_stopped_on_its_way_to_another_capture(audited):
    answered = "{2} 10.0.0.5:50001 > 10.0.0.20:135/tcp answered in vain"
    mapper = audited(at(0, *PUSH, answered), at(0, *PUSH, "until 60")).clients[0].requirement(MAPPER)
    assert (mapper.verdict, mapper.blocked_at) == ("blocked", "unknown")
    assert "forward path" not in mapper.explanation


def test_what_its_own_host_let_out_and_was_answered_was_not_stopped_on_its_way_to_another_capture(tmp_path, write):
    log = tmp_path / "pfirewall.log"
    log.write_bytes(firewall_log(row("22:13:22 ALLOW 10.0.0.5:50001 > 10.0.0.20:135 - SEND")))
    answered = "{2} 10.0.0.5:50001 > 10.0.0.20:135/tcp answered in vain"
    captures = [write(pcap(scene(at(0, *PUSH, *more)))) for more in ([answered], ["until 60"])]
    one = mapper(auditor.audit(*captures, log, roles=ROLES, dissect=False))
    assert (one.verdict, one.blocked_at, len(one.evidence)) == ("blocked", "unknown", 2)
    assert "forward path" not in one.explanation


def test_a_ping_of_which_only_an_error_was_captured_shows_not_that_two_captures_lie_on_one_way(audited):
    forbidden = "{0} 10.0.0.5 > 10.0.0.20/icmp prohibited by 10.0.0.1 alone"
    assert mapper(audited(at(0, forbidden, UNANSWERED), at(0, forbidden, "until 60"))).blocked_at == "unknown"


@pytest.mark.parametrize("ahead", [0, 1800, 7200])
def test_what_never_arrives_was_stopped_on_the_way_out(ahead, audited):
    one = mapper(audited(at(0, *PUSH, UNANSWERED), at(ahead, *PUSH, "until {9}")))
    assert (one.verdict, one.blocked_at) == ("blocked", "between")
    assert "Blocked on the forward path: the packets are in" in one.explanation


@pytest.mark.parametrize("ahead", [0, 1800, 7200])
def test_an_answer_that_never_arrives_was_stopped_on_the_return_path(ahead, audited):
    answered = "{2} 10.0.0.5:50001 > 10.0.0.20:135/tcp answered in vain"
    one = mapper(audited(at(0, *PUSH, UNANSWERED), at(ahead, *PUSH, answered)))
    assert (one.verdict, one.blocked_at) == ("blocked", "between")
    assert "The forward path is open, the return path is blocked." in one.explanation
    assert "Find what drops the responses from 10.0.0.20 to 10.0.0.5" in one.remedy_text


def test_a_port_that_responded_is_not_called_closed(audited):
    def codes(*captures):
        return {limitation.code for limitation in audited(*captures).limitations}

    answered = "{2} 10.0.0.5:50001 > 10.0.0.20:135/tcp answered in vain"
    silent = at(0, *PUSH, UNANSWERED)
    assert "no-response-ambiguous" in codes(silent)
    assert "no-response-ambiguous" not in codes(silent, at(0, *PUSH, answered))


# one capture


def seen_with(hops: Hops, packets: Iterable[At]) -> list[At]:
    """Return packets as one capture shows them. hops: the hop count that the packets of each host have left there."""
    senders = [str(ip_address(at.packet[12:16])) for at in packets]
    return [
        at._replace(packet=with_hops(at.packet, hops[sender])) if sender in hops else at
        for at, sender in zip(packets, senders, strict=True)
    ]


@pytest.fixture(scope="module")
def placed(write) -> Audited:
    """Return the verdict on the endpoint mapper by captures, each given as packets."""

    def placed(*captures: list[At]) -> auditor.report.model.RequirementVerdict:
        return mapper(auditor.audit(*(write(pcap(packets)) for packets in captures), roles=ROLES, dissect=False))

    return placed


PUSHED = scene(at(0, *PUSH, UNANSWERED))
AT_CLIENT, AT_SITE_SERVER = {SITE_SERVER: 127, CLIENT: 128}, {SITE_SERVER: 128, CLIENT: 127}


def test_what_arrives_on_the_network_of_the_client_was_blocked_by_the_client(placed):
    one = placed(seen_with(AT_CLIENT, PUSHED))
    assert (one.verdict, one.confidence, one.blocked_at) == ("blocked", "likely", "client")
    assert "The packets reached its network, and it sent no response." in one.explanation


def test_packets_without_a_hop_count_have_passed_no_router(placed):
    assert placed(seen_with(AT_CLIENT | {SITE_SERVER: 0}, PUSHED)).blocked_at == "unknown"


def test_of_silence_that_proves_nothing_no_place_is_told(write):
    packets = scene(at(0, *PUSH, "{2} 10.0.0.5:50001 > 10.0.0.20:135/udp silent"))
    report = auditor.audit(write(pcap(seen_with(AT_CLIENT, packets))), roles=ROLES, dissect=False)
    one = report.clients[0].requirement(f"{MAPPER}-udp")
    assert (one.verdict, one.blocked_at) == ("inconclusive", None)
    assert one.explanation.endswith(": no response. Over UDP this proves nothing.")


@given(*[st.sampled_from([64, 128, 255, 63, 62, 127, 126, 125, 254])] * 2)
def test_only_on_the_network_of_the_client_one_capture_places_it(placed, site_server, client):
    """If the packets of both have passed no router, the capture may have been taken at either of them."""
    fresh = {64, 128, 255}
    place = "client" if client in fresh and site_server not in fresh else "unknown"
    assert placed(seen_with({SITE_SERVER: site_server, CLIENT: client}, PUSHED)).blocked_at == place


MAPPER_ONLY = scene(at(0, UNANSWERED))
FETCHED = scene(at(5, f"{{0}} {CLIENT}:50200 > {MANAGEMENT_POINT}:80/tcp SF"))  # no role is known of it
AT_CLIENT_TOO = AT_CLIENT | {MANAGEMENT_POINT: 126}


def test_where_all_ports_are_blocked_another_exchange_of_the_client_shows_its_network(placed):
    assert placed(seen_with(AT_CLIENT_TOO, [*MAPPER_ONLY, *FETCHED])).blocked_at == "client"


LOCAL = [f"{{5}} {CLIENT}:50200 > 10.0.0.21:80/tcp SF"]
TRACED = [f"{{5}} {CLIENT} > {MANAGEMENT_POINT}/icmp silent", f"{{6}} {CLIENT}:50200 > {MANAGEMENT_POINT}:80/tcp SF"]


@pytest.mark.parametrize(
    ("lines", "hops", "place"),
    [
        (LOCAL, {"10.0.0.21": 128}, "unknown"),
        (LOCAL, {"10.0.0.21": 127}, "client"),
        (TRACED, {MANAGEMENT_POINT: 126}, "client"),
    ],
    ids=["with a host on its network", "with a host elsewhere", "with a host that it traced"],
)
def test_the_exchange_is_one_with_a_host_elsewhere(lines, hops, place, placed):
    packets = [
        at._replace(packet=with_hops(at.packet, 1)) if at.packet[9] == 1 else at
        for at in seen_with(AT_CLIENT | hops, scene(at(0, UNANSWERED, *lines)))
    ]
    assert placed(packets).blocked_at == place


def test_without_an_exchange_of_the_client_its_network_is_not_known(placed):
    packets = seen_with(AT_CLIENT, MAPPER_ONLY)
    assert (placed(packets).verdict, placed(packets).blocked_at) == ("no-response", "unknown")


def test_on_the_network_of_both_an_exchange_with_a_host_elsewhere_places_nothing(placed):
    hops = {SITE_SERVER: 128, CLIENT: 128, MANAGEMENT_POINT: 126}
    assert placed(seen_with(hops, [*MAPPER_ONLY, *FETCHED])).blocked_at == "unknown"


def behind(packets: Iterable[At]) -> list[At]:
    """Return packets as they leave a router, a moment after they came."""
    return [at._replace(seconds=at.seconds + 0.0002, packet=with_hops(at.packet, at.packet[8] - 1)) for at in packets]


def in_order(*parts: Iterable[At]) -> list[At]:
    return sorted((at for part in parts for at in part), key=lambda at: at.seconds)


def test_a_capture_of_several_networks_does_not_show_on_which_of_them_it_arrived(placed):
    """A device between the two networks may have dropped what was captured on the first."""
    fetched = seen_with(AT_CLIENT_TOO, FETCHED)
    packets = in_order(seen_with(AT_CLIENT_TOO, MAPPER_ONLY), fetched, behind(fetched))
    assert placed(packets).blocked_at == "unknown"


# one capture on both sides of a router

PUSHED_BEFORE, DROPPED = scene(at(0, *PUSH)), scene(at(0, UNANSWERED))


@pytest.mark.parametrize("before", PUSH)
def test_what_a_router_does_not_forward_was_blocked_there(before, placed):
    exchanged = scene(at(0, before))
    one = placed(in_order(exchanged, behind(exchanged), DROPPED))
    assert (one.verdict, one.confidence, one.blocked_at) == ("blocked", "likely", "between")
    assert "Blocked by a router" in one.explanation


def test_what_a_router_forwards_was_not_blocked_there(placed):
    packets = in_order(PUSHED_BEFORE, behind(PUSHED_BEFORE), DROPPED, behind(DROPPED))
    assert placed(packets).blocked_at == "unknown"


def test_connections_on_both_sides_in_another_capture_show_no_router(placed):
    assert placed(in_order(PUSHED_BEFORE, behind(PUSHED_BEFORE)), DROPPED).blocked_at == "unknown"


def test_two_syns_that_are_there_once_were_not_forwarded(placed):
    twice = scene([*at(0, UNANSWERED + " twice"), "until 20"])
    assert placed(in_order(PUSHED_BEFORE, behind(PUSHED_BEFORE), twice)).blocked_at == "between"


def test_one_syn_that_is_there_once_may_have_been_missed_behind_the_router(placed):
    once = scene([*at(0, UNANSWERED + " once"), "until 20"])
    assert placed(in_order(PUSHED_BEFORE, behind(PUSHED_BEFORE), once)).blocked_at == "unknown"


def test_a_ping_that_comes_again_later_by_another_route_shows_no_router(placed):
    """The pings of each run have the same numbers."""
    first = scene(at(0, f"{{0}} {SITE_SERVER} > {CLIENT}/icmp silent once"))
    again = seen_with({SITE_SERVER: 63}, scene(at(5, PUSH[0])))
    assert placed(in_order(first, again, DROPPED)).blocked_at == "unknown"


def test_two_pings_at_once_by_two_routes_show_no_router(placed):
    who = f"{SITE_SERVER} > {CLIENT}"
    first, second = (echo(who, number=number) for number in (1, 2))
    packets = [first, with_hops(second, second[8] - 1), echo(turned(who), number=1, reply=True)]
    pings = list(starmap(At, zip((5, 5.01, 5.02), packets, strict=True)))
    assert placed(in_order(pings, DROPPED)).blocked_at == "unknown"


@pytest.mark.parametrize(("seconds", "place"), [(1, "unknown"), (0.1, "unknown"), (0.0999, "between")])
def test_a_syn_that_comes_again_by_another_route_shows_no_router(seconds, place, placed):
    """Within a tenth of a second it is the same SYN, seen twice."""
    second = 5 + seconds
    times = (5, second, second + 0.001, second + 0.002)
    first, again, *rest = starmap(At, zip(times, talk("10.0.0.5:50002 > 10.0.0.20:445", "S S <SA A"), strict=True))
    packets = [first, again._replace(packet=with_hops(again.packet, again.packet[8] - 1)), *rest]
    assert placed(in_order(packets, DROPPED)).blocked_at == place


def test_connections_that_are_there_once_show_no_router(placed):
    exchanged = scene(at(0, PUSH[0]))
    packets = in_order(exchanged, behind(exchanged), scene(at(0, PUSH[1])), DROPPED)
    assert placed(packets).blocked_at == "unknown"


# two captures


def test_two_captures_with_the_attempt_place_it_at_the_client(placed):
    one = placed(seen_with(AT_SITE_SERVER, PUSHED), seen_with(AT_CLIENT, PUSHED))
    assert (one.confidence, one.blocked_at) == ("likely", "client")


def delayed(packets: Iterable[At], milliseconds: float) -> list[At]:
    """Return packets as a capture at the site server shows them: what the client sends comes later."""
    client = ip_address(CLIENT).packed
    way = milliseconds / 1000
    return in_order(at._replace(seconds=at.seconds + way * (at.packet[12:16] == client)) for at in packets)


MORE = "{3} 10.0.0.5:50002 > 10.0.0.20:445/tcp SF"
ONE_NETWORK = {SITE_SERVER: 128, CLIENT: 128}
AT_EITHER = seen_with(ONE_NETWORK, scene(at(0, *PUSH, MORE, UNANSWERED)))


def test_on_one_network_the_capture_with_the_shorter_delays_is_nearer_to_the_client(placed):
    captures = (delayed(AT_EITHER, 1.5), AT_EITHER)
    assert {placed(*captures).blocked_at, placed(*captures[::-1]).blocked_at} == {"client"}


def test_the_capture_that_is_nearer_is_the_one_that_is_cited(write):
    near, far = write(pcap(AT_EITHER)), write(pcap(delayed(AT_EITHER, 1.5)))
    for captures in ((near, far), (far, near)):
        text = mapper(auditor.audit(*captures, roles=ROLES, dissect=False)).explanation
        assert f"The packets reached its network ({near}), and it sent no response." in text


@pytest.mark.parametrize(("milliseconds", "place"), [(0.9, "unknown"), (1, "client"), (1.1, "client")])
def test_a_delay_is_shorter_if_it_is_half_of_the_other(milliseconds, place, placed):
    assert placed(delayed(AT_EITHER, milliseconds), AT_EITHER).blocked_at == place


def test_a_delay_that_is_shorter_in_one_connection_only_places_nothing(placed):
    other = in_order(
        delayed([one for one in AT_EITHER if one.seconds < 2.5], 1.5), [one for one in AT_EITHER if one.seconds > 2.5]
    )
    assert placed(other, AT_EITHER).blocked_at == "unknown"


def test_a_clock_too_coarse_for_a_delay_shows_no_shorter_one(placed):
    coarse = [one._replace(seconds=round(one.seconds, 1)) for one in AT_EITHER]
    assert placed(delayed(AT_EITHER, 1.5), coarse).blocked_at == "unknown"


def test_a_connection_that_one_capture_lacks_changes_nothing(placed):
    more = seen_with(ONE_NETWORK, scene(at(0, "{5} 10.0.0.5:50003 > 10.0.0.20:445/tcp SF")))
    for captures in (
        (delayed(AT_EITHER, 1.5), in_order(AT_EITHER, more)),
        (in_order(delayed(AT_EITHER, 1.5), more), AT_EITHER),
    ):
        assert placed(*captures).blocked_at == "client"


def test_the_delay_of_a_syn_that_came_again_is_that_of_the_last(placed):
    again = starmap(At, zip((3, 4, 4.001, 4.002), talk("10.0.0.5:50002 > 10.0.0.20:445", "S S <SA A"), strict=True))
    packets = seen_with(ONE_NETWORK, in_order(scene(at(0, *PUSH, UNANSWERED)), again))
    assert placed(delayed(packets, 1.5), packets).blocked_at == "client"


def test_two_captures_at_one_computer_have_the_same_delays_and_place_nothing(placed):
    assert placed(AT_EITHER, AT_EITHER).blocked_at == "unknown"
    assert placed(AT_EITHER, delayed(AT_EITHER, 0.02)).blocked_at == "unknown"


def test_a_capture_that_is_nearer_but_not_on_the_network_of_the_client_places_nothing(placed):
    on_the_path = seen_with({SITE_SERVER: 127, CLIENT: 127}, AT_EITHER)
    assert placed(seen_with(AT_SITE_SERVER, delayed(AT_EITHER, 1.5)), on_the_path).blocked_at == "unknown"


def test_one_shorter_delay_may_be_chance(placed):
    once = seen_with(ONE_NETWORK, PUSHED)
    assert placed(once, delayed(once, 1.5)).blocked_at == "unknown"


# resets


RESET = scene(at(0, PUSH[1], "{2} 10.0.0.5:50001 > 10.0.0.20:135/tcp REJ"))
NO_OTHERS = scene(at(0, PUSH[0], "{2} 10.0.0.5:50001 > 10.0.0.20:135/tcp REJ"))


def test_a_reset_of_an_attempt_that_never_arrived_was_sent_by_a_device_on_the_path(placed):
    *pings, syn, reset = NO_OTHERS
    packets = [*seen_with({SITE_SERVER: 128, CLIENT: 127}, pings), syn, *seen_with({CLIENT: 63}, [reset])]
    assert placed(packets).blocked_at == "unknown"  # by its hop count alone it may be the client's
    one = placed(packets, scene([*at(0, PUSH[0]), "until 30"]))
    assert (one.verdict, one.blocked_at) == ("refused", "between")
    assert "Check that the service" not in one.remedy_text


def test_a_reset_that_the_client_did_not_send_was_sent_by_a_device_on_the_path(placed):
    """Also if it has the hop count of the client's own packets."""
    captures = (seen_with(AT_SITE_SERVER, RESET), seen_with(AT_CLIENT, PUSHED))
    assert placed(captures[0]).blocked_at == "client"
    one = placed(*captures)
    assert (one.verdict, one.blocked_at) == ("refused", "between")
    assert "reset by a device on the path" in one.explanation
