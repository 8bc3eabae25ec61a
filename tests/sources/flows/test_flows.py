"""Flows: who began, what belongs together, and how the responder answered; each case in a few packets."""

from __future__ import annotations

import pandas as pd
import pytest
from packets import (
    At,
    Link,
    arp,
    echo,
    ethernet,
    extended,
    icmp_error,
    ip,
    neighbour,
    offset,
    talk,
    tcp,
    told,
    turned,
    udp,
    with_hops,
)

from auditor.sources.capture import reader as capture
from auditor.sources.files.skip_counts import NotUsed
from auditor.sources.flows.columns import TABLE
from auditor.sources.flows.responses import RESPONSES

WHO = "10.0.0.1:50000 > 10.0.0.5:445"
SIX = "[fd00::1]:50000 > [fd00::5]:445"
ASK = "10.0.0.1:50000 > 10.0.0.5:53"
PING = "10.0.0.1 > 10.0.0.5"
ROUTER = "10.0.0.254"


def answers(source) -> list[str]:
    return source.flows["response"].tolist()


def test_the_columns_are_the_same_before_and_after_a_table_is_made_of_them(read):
    packets = [echo(PING), *talk(WHO, "S <SA A"), icmp_error(ROUTER, 3, 13, quoting=tcp(WHO.replace("445", "135")))]
    details = read(packets).details
    before = {name: column.tolist() for name, column in details.table.columns.items()}
    assert len(details) == len(details.table.frame) == 3
    assert {name: column.tolist() for name, column in details.table.columns.items()} == before


def hops(source) -> list[tuple[int, int]]:
    """Return hop count and IP identification of each packet that is kept of the flows."""
    events = [event for flow in range(len(source.details)) for event in source.details.events(flow)]
    return [(event.hop_count, event.ip_id) for event in events]


def test_what_is_kept_of_a_flow_has_hop_count_and_identification(read):
    first, second = tcp(WHO), tcp(turned(WHO), "RA", ack=1001)
    source = read([with_hops(first, 126, ip_id=7), with_hops(udp(ASK), 255), with_hops(second, 63, ip_id=65_535)])
    assert hops(source) == [(126, 7), (63, 65_535), (255, 0)]


def test_ipv6_has_a_hop_limit_and_no_identification(read):
    source = read([with_hops(tcp(SIX), 127), with_hops(extended(tcp(turned(SIX), "RA", ack=1001), 0, 43), 61)])
    assert hops(source) == [(127, 0), (61, 0)]


# who began


def test_the_sender_of_the_syn_is_the_originator(read):
    who = "10.0.0.9:445 > 10.0.0.5:50000"  # neither address nor port says so
    assert told(read(talk(who, "S <SA A")).flows) == [f"{who}/tcp S1 answered"]


def test_a_syn_ack_first_means_that_its_receiver_began(read):
    assert told(read([tcp(turned(WHO), "SA"), tcp(WHO, "A")]).flows)[0].startswith(WHO)


def test_without_a_syn_the_higher_port_began(read):
    assert told(read([tcp(turned(WHO), "PA", payload=5), tcp(WHO, "A")]).flows)[0].startswith(WHO)


@pytest.mark.parametrize("first", ["10.0.0.1:500 > 10.0.0.5:500", "10.0.0.5:500 > 10.0.0.1:500"])
def test_with_equal_ports_the_first_sender_began(first, read):
    assert told(read([tcp(first, "PA", payload=5), tcp(turned(first), "A")]).flows)[0].startswith(first)


@pytest.mark.parametrize("first", ["10.0.0.1:500 > 10.0.0.5:500", "10.0.0.5:500 > 10.0.0.1:500"])
def test_equal_ports_are_kept_apart_by_the_syn(first, read):
    source = read(talk(first, "S <SA A 5PA"))
    assert told(source.flows) == [f"{first}/tcp S1 answered"]
    assert source.flows[["frames_src", "frames_dst"]].values.tolist() == [[3, 1]]


def test_the_first_sender_of_udp_began(read):
    assert told(read([udp(turned(ASK)), udp(ASK)]).flows) == [f"{turned(ASK)}/udp SF answered"]


def test_a_host_that_talks_to_itself(read):
    assert told(read(talk("127.0.0.1:50000 > 127.0.0.1:445", "S <SA A")).flows) == [
        "127.0.0.1:50000 > 127.0.0.1:445/tcp S1 answered"
    ]


# what belongs together


def test_a_retransmitted_syn_is_the_same_flow(read):
    assert read(talk(WHO, "S S S")).flows.syn.tolist() == [3]


def test_a_syn_with_a_new_sequence_number_is_a_new_flow(read):
    source = read(talk(WHO, "S S S@5000 <SA A"))
    assert told(source.flows) == [f"{WHO}/tcp S0 no-response", f"{WHO}/tcp S1 answered"]
    assert source.flows.stream.tolist() == [0, 1]


def test_a_port_used_again_later_is_a_new_flow(read):
    source = read(talk(WHO, "S <SA A FA <FA A") + talk(WHO, "S@700000 <RA"))
    assert told(source.flows) == [f"{WHO}/tcp SF answered", f"{WHO}/tcp REJ refused"]


def test_the_first_syn_may_come_after_its_own_connection_was_seen(read):
    source = read([*talk(WHO, "5PA <5PA"), *talk(WHO, "S@700000 <SA")])
    assert answers(source) == ["answered", "answered"]


def test_the_two_directions_are_counted_apart(read):
    flow = read(talk(WHO, "S <SA A 100PA <A <300PA <200PA A")).flows.iloc[0]
    assert (flow.frames_src, flow.frames_dst, flow.payload_src, flow.payload_dst) == (4, 4, 100, 500)


def test_bytes_are_those_of_the_whole_frame(read):
    assert read([tcp(WHO)]).flows.bytes_src.tolist() == [len(ethernet(tcp(WHO)))]


def test_flags_are_counted(read):
    flow = read(talk(WHO, "S S <SA A FA FA <RA")).flows.iloc[0]
    assert (flow.syn, flow.syn_ack, flow.fin, flow.rst) == (2, 1, 2, 1)


def test_start_and_end_are_those_of_its_first_and_last_frame(read):
    flow = read([At(1.5, tcp(WHO)), At(2.5, udp(ASK)), At(4.5, tcp(WHO))]).flows.iloc[0]
    assert flow.end - flow.start == pd.Timedelta(seconds=3)


def test_ipv4_and_ipv6_are_never_mixed_up(read):
    four, six = "0.0.0.0:50000 > 0.0.0.1:445", "[::]:50000 > [::1]:445"
    assert len(read([tcp(four), tcp(six)]).flows) == 2


def test_flows_are_in_the_order_of_their_first_frame(read):
    source = read([udp(ASK), tcp(WHO), echo(PING), udp(turned(ASK))])
    assert source.flows.protocol.tolist() == ["udp", "tcp", "icmp"]
    assert source.flows.first_frame.tolist() == [1, 2, 3]


def test_a_packet_seen_twice_changes_no_answer(read):
    """As where a switch mirrors both ports that it passed through."""
    twice = [packet for packet in talk(WHO, "S <SA A FA <FA A") for _ in range(2)]
    assert told(read(twice).flows) == [f"{WHO}/tcp SF answered"]


# how the responder answered: TCP


@pytest.mark.parametrize(
    ("words", "response"),
    [
        ("S", "no-response"),
        ("S S S", "no-response"),
        ("S R", "one-way"),
        ("S <SA", "answered"),
        ("S <SA A 5PA <7PA FA <FA A", "answered"),
        ("<SA A", "answered"),
        ("<SA 5PA", "answered"),
        ("<SA", "answered"),  # nothing that the originator sends was captured
        ("<SA <5PA", "answered"),
        ("<SA R", "mid-stream"),  # its receiver asked nothing
        ("A <SA", "mid-stream"),
        ("S <SA <RA", "answered"),
        ("S <RA", "refused"),
        ("S <RA S <RA S <RA", "refused"),
        ("S <R", "no-response"),  # without ACK it is dropped, so that the SYN comes again (RFC 9293, 3.10.7.3)
        ("S <R S <R S <R", "no-response"),
        ("S <R S <RA", "refused"),
        ("S <R S <SA A", "answered"),
        ("S S S R", "no-response"),
        ("S R <RA", "refused"),
        ("S <RA R", "refused"),
        ("<R S S S", "no-response"),
        ("S A 5PA A FA A", "one-way"),  # it goes on, so an answer must have reached it
        ("S A 5PA <RA", "one-way"),
        ("S <A", "answered"),
        ("5PA <7PA", "answered"),
        ("A <A", "mid-stream"),
        ("5PA <A", "mid-stream"),
        ("FA <5PA", "mid-stream"),
        ("5PA <FA", "mid-stream"),
        ("5PA <7RA", "mid-stream"),  # some resets say why
        ("5PA A", "mid-stream"),
        ("<5PA <A", "mid-stream"),
        ("5PA <RA", "mid-stream"),
        ("R", "mid-stream"),
    ],
    ids=str,
)
def test_answer_of_a_tcp_flow(words, response, read):
    assert answers(read(talk(WHO, words))) == [response]


OLD = 777_000  # what a packet acknowledges that knows nothing of the attempt


@pytest.mark.parametrize(
    ("flags", "response"),
    [("RA", "no-response"), ("A", "one-way"), ("PA", "one-way"), ("FA", "one-way"), ("SA", "one-way")],
)
@pytest.mark.parametrize("acknowledged", [OLD, 1000, 1002, 0], ids=["old", "one less", "one more", "nothing"])
def test_what_does_not_acknowledge_the_syn_does_not_answer_it(flags, response, acknowledged, read):
    stray = tcp(turned(WHO), flags, seq=5, ack=acknowledged, payload=9 * ("P" in flags))
    assert answers(read([tcp(WHO), stray, tcp(WHO)])) == [response]


def test_a_reset_before_the_first_syn_refuses_nothing(read):
    early = tcp(turned(WHO), "RA", ack=1001)
    assert answers(read([early, tcp(WHO), tcp(WHO)])) == ["no-response"]


def test_a_syn_ack_may_be_captured_before_its_syn(read):
    """As by two interfaces. Its number says whose answer it is, their order in the file does not."""
    assert answers(read([tcp(turned(WHO), "SA", seq=9000, ack=1001), tcp(WHO)])) == ["answered"]


OTHER = WHO.replace("50000", "50009")
ALONE = tcp(turned(OTHER), "SA", seq=9000, ack=1001)


@pytest.mark.parametrize(
    "sent",
    [
        tcp(WHO),
        tcp(WHO.replace("10.0.0.5", "10.0.0.8")),
        udp(ASK),
        echo(PING),
        echo("10.0.0.1 > 10.0.0.8"),
    ],
    ids=["its SYN", "its SYN to another host", "a datagram", "a ping", "a ping of another host"],
)
@pytest.mark.parametrize("first", [True, False])
def test_a_syn_ack_alone_answers_nothing_where_the_originators_packets_are(sent, first, read):
    source = read([sent, ALONE] if first else [ALONE, sent])
    assert sorted(answers(source)) == ["mid-stream", "no-response"]
    alone = answers(source).index("mid-stream")
    assert [event.packet_kind for event in source.details.events(alone)] == ["stray"]


def test_a_broadcast_does_not_show_that_the_originators_connections_are_captured(read):
    assert answers(read([udp("10.0.0.1:137 > 10.0.0.255:137"), ALONE])) == ["no-response", "answered"]


def test_where_a_host_only_serves_others_its_own_connections_may_be_missing(read):
    served = talk("10.0.0.7:50000 > 10.0.0.1:445", "<SA <5PA")
    assert answers(read([*served, ALONE])) == ["answered", "answered"]


def test_a_syn_ack_is_taken_up_by_what_acknowledges_it(read):
    syn_ack = tcp(turned(WHO), "SA", seq=9000, ack=1001)
    assert answers(read([syn_ack, tcp(WHO, "A", seq=1001, ack=9001)])) == ["answered"]
    assert answers(read([syn_ack, tcp(WHO, "A", seq=1001, ack=5)])) == ["mid-stream"]


def test_resets_alone_are_stray_where_the_originators_packets_are(read):
    source = read([tcp(WHO), tcp(turned(OTHER), "RA", seq=0, ack=1001)])
    assert answers(source) == ["no-response", "mid-stream"]
    assert [event.packet_kind for event in source.details.events(1)] == ["stray"]


def test_an_echo_reply_alone_answers_nothing_where_the_originators_packets_are(read):
    other = echo(turned(PING), reply=True, identifier=9)
    assert answers(read([echo(PING), other])) == ["no-response", "mid-stream"]
    assert answers(read([other])) == ["answered"]


def test_an_answer_from_another_port_or_address_answers_nothing(read):
    port, address = WHO.replace(":445", ":8445"), WHO.replace("10.0.0.5", "10.0.0.6")
    for wrong in (port, address):
        answer = tcp(turned(wrong), "SA", seq=9000, ack=1001)
        assert answers(read([tcp(WHO), answer])) == ["no-response", "mid-stream"]
    assert answers(read([udp(ASK), udp(turned(ASK.replace(":53", ":54")))])) == ["no-response", "no-response"]
    reply = echo("10.0.0.6 > 10.0.0.1", reply=True)
    assert answers(read([echo(PING), reply])) == ["no-response", "mid-stream"]


def test_a_host_that_remembers_an_old_connection_has_not_answered_the_new_one(read):
    """It acknowledges the old one, is reset, and takes the SYN only when that comes again."""
    challenged = [tcp(WHO), tcp(turned(WHO), "A", seq=5, ack=OLD), tcp(WHO, "R", seq=OLD)]
    assert answers(read(challenged)) == ["one-way"]
    assert answers(read(challenged + talk(WHO, "S <SA A"))) == ["answered"]


def test_data_in_the_syn_may_be_acknowledged_with_it(read):
    syn = tcp(WHO, payload=9)
    assert answers(read([syn, tcp(turned(WHO), "RA", ack=1010)])) == ["refused"]
    assert answers(read([syn, tcp(turned(WHO), "SA", ack=1010)])) == ["answered"]


def test_sequence_numbers_begin_anew_after_the_last(read):
    last = 2**32 - 1
    assert answers(read([tcp(WHO, seq=last), tcp(turned(WHO), "RA", ack=0)])) == ["refused"]


def test_what_belongs_to_another_connection_is_told_as_stray(read):
    stray = tcp(turned(WHO), "SA", seq=5, ack=OLD)
    source = read([tcp(WHO), stray, *talk(WHO, "S <SA")])
    assert [event.packet_kind for event in source.details.events(0)] == ["SYN", "stray", "SYN", "SYN-ACK"]


@pytest.mark.parametrize("words", range(5))
@pytest.mark.parametrize("answer", ["S <SA", "S <RA", "S <A", "S <5PA"])
def test_a_header_shorter_than_any_is_counted_and_answers_nothing(answer, words, read):
    syn, answer = talk(WHO, answer)
    source = read([syn, offset(answer, words), syn])
    assert told(source.flows) == [f"{WHO}/tcp S0 no-response"]
    assert source.flows[["frames_src", "frames_dst", "payload_dst", "syn_ack", "rst"]].values.tolist() == [
        [2, 1, 0, 0, 0]
    ]
    assert [event.packet_kind for event in source.details.events(0)] == ["SYN", "SYN"]
    assert [one.text for one in source.warnings] == ["1 frame skipped: invalid TCP header."]


def test_a_flow_of_nothing_but_broken_headers_has_no_events_and_no_answer(read):
    source = read([icmp_error(ROUTER, 3, 13, quoting=udp(ASK)), offset(tcp(WHO), 3)])
    assert (answers(source), source.details.events(0)) == (["mid-stream", "prohibited"], [])


ERRORS = [
    (4, 3, 0, "unreachable"),
    (4, 3, 1, "unreachable"),
    (4, 3, 2, "refused"),
    (4, 3, 3, "refused"),
    (4, 3, 4, "no-response"),  # fragmentation needed: about the size, not about the port
    (4, 3, 6, "unreachable"),
    (4, 3, 7, "unreachable"),
    (4, 3, 9, "prohibited"),
    (4, 3, 10, "prohibited"),
    (4, 3, 13, "prohibited"),
    (4, 11, 0, "no-response"),
    (6, 1, 0, "unreachable"),
    (6, 1, 1, "prohibited"),
    (6, 1, 3, "unreachable"),
    (6, 1, 4, "refused"),
    (6, 1, 5, "prohibited"),
    (6, 1, 6, "prohibited"),
    (6, 2, 0, "no-response"),
]


@pytest.mark.parametrize(("version", "kind", "code", "response"), ERRORS)
def test_an_icmp_error_answers_the_flow_that_it_quotes(version, kind, code, response, read):
    who, router = (WHO, ROUTER) if version == 4 else (SIX, "fd00::fe")
    syn = tcp(who)
    source = read([syn, icmp_error(router, kind, code, quoting=syn, room=28 if version == 4 else 60)])
    assert (answers(source), source.flows.icmp_error.tolist()) == ([response], [f"{kind}/{code}"])


@pytest.mark.parametrize(("version", "kind", "code", "_"), ERRORS)
def test_an_icmp_error_to_a_third_host_tells_nothing_of_anybody(version, kind, code, _, read):
    who, router, third = (WHO, ROUTER, "10.0.0.7") if version == 4 else (SIX, "fd00::fe", "fd00::7")
    error = icmp_error(router, kind, code, quoting=tcp(who), room=60, receiver=third)
    source = read([tcp(who), error])
    assert (told(source.flows), source.flows.icmp_error.tolist()) == ([f"{who}/tcp S0 no-response"], [""])
    assert source.tally.frames == {"ICMP errors to another host than the one whose packet they quote": 1}
    assert len(read([error]).flows) == 0


def test_an_icmp_error_on_both_sides_of_a_nat_is_about_the_flow_on_each(read):
    """The device that changes the address changes the quoted one with it."""
    public = WHO.replace("10.0.0.1", "198.51.100.1")
    packets = [tcp(WHO), tcp(public)]
    source = read([*packets, *(icmp_error("198.51.100.9", 3, 13, quoting=one) for one in reversed(packets))])
    assert (answers(source), proofs(source)) == (["prohibited", "prohibited"], [[True], [True]])


def proofs(source) -> list[list[bool]]:
    return [[one.proves for one in source.details.errors.get(flow, ())] for flow in range(len(source.flows))]


LAST = 2**32 - 1


@pytest.mark.parametrize(
    ("first", "quoted", "proves"),
    [
        (1000, 1000, True),
        (1000, 1002, True),
        (1000, 1003, False),
        (1000, 999, False),
        (1000, 9000, False),
        (LAST, LAST, True),
        (LAST, 0, True),
    ],
)
def test_an_icmp_error_proves_something_if_it_quotes_a_number_of_the_flow(first, quoted, proves, read):
    error = icmp_error(ROUTER, 3, 13, quoting=tcp(WHO, seq=quoted))
    source = read([tcp(WHO, seq=first), error])
    assert (answers(source), proofs(source)) == (["prohibited"], [[proves]])


def test_an_icmp_error_about_data_proves_something_if_its_number_lies_in_what_was_sent(read):
    *packets, last = talk(WHO, "S A 100PA 100PA 100PA")
    beyond = tcp(WHO, "PA", seq=5000)
    errors = [icmp_error(ROUTER, 3, 13, quoting=one) for one in (last, beyond)]
    assert proofs(read([*packets, last, *errors])) == [[True, False]]


def test_an_icmp_error_that_quotes_too_little_proves_nothing(read):
    source = read([tcp(WHO), icmp_error(ROUTER, 3, 13, quoting=tcp(WHO), room=24)])
    assert (answers(source), proofs(source)) == (["prohibited"], [[False]])


def test_an_icmp_error_that_proves_something_counts_more_than_a_later_one_that_does_not(read):
    errors = [icmp_error(ROUTER, 3, code, quoting=tcp(WHO, seq=seq)) for code, seq in ((13, 1000), (1, 5))]
    source = read([tcp(WHO), *errors])
    assert (answers(source), source.flows.icmp_error.tolist()) == (["prohibited"], ["3/13"])


def test_an_icmp_error_about_a_ping_proves_something_if_it_quotes_its_identifier(read):
    errors = [icmp_error(ROUTER, 3, 13, quoting=echo(PING, identifier=identifier)) for identifier in (7, 8)]
    assert proofs(read([echo(PING), *errors])) == [[True, False]]


def test_an_icmp_error_about_a_datagram_proves_something_if_it_was_sent(read):
    error = icmp_error(ROUTER, 3, 13, quoting=udp(ASK))
    assert proofs(read([udp(ASK), error])) == [[True]]
    assert proofs(read([error])) == [[True]]


@pytest.mark.parametrize(("snap", "skipped"), [(64, 1), (70, 0)])
def test_an_icmp_error_whose_quoted_ports_are_cut_off_is_counted(read, snap, skipped):
    source = read([tcp(WHO), icmp_error(ROUTER, 3, 13, quoting=tcp(WHO))], snap=snap)
    assert source.tally.frames[NotUsed.CUT_QUOTATION] == skipped
    assert proofs(source) == [[True] * (1 - skipped)]


def test_an_icmp_error_about_what_a_source_could_not_hold_proves_something(read):
    there, back = talk(WHO, "5PA <A")
    assert proofs(read([back, icmp_error(ROUTER, 3, 13, quoting=there, room=40)])) == [[True]]


def test_an_icmp_error_about_what_is_not_in_a_source_that_should_hold_it_proves_nothing(read):
    error = icmp_error(ROUTER, 3, 13, quoting=tcp(WHO))
    assert proofs(read([error])) == [[True]]
    assert proofs(read([tcp(WHO.replace("445", "135")), error])) == [[], [False]]


@pytest.mark.parametrize(("acknowledged", "proves"), [(1001, True), (777, False)])
def test_an_icmp_error_about_an_answer_proves_something_if_that_acknowledges_the_syn(acknowledged, proves, read):
    answer = tcp(turned(WHO), "SA", seq=9000, ack=acknowledged)
    source = read([tcp(WHO), icmp_error(ROUTER, 3, 13, quoting=answer, room=40)])
    assert (answers(source), proofs(source)) == (["one-way"], [[proves]])


@pytest.mark.parametrize(("sequence", "proves"), [(9000, True), (777, False)])
def test_an_icmp_error_about_an_answer_proves_something_if_it_quotes_a_number_of_the_responder(sequence, proves, read):
    """Of the first eight bytes, in which the acknowledged number is not."""
    answer = tcp(turned(WHO), "SA", seq=9000, ack=1001)
    error = icmp_error(ROUTER, 3, 13, quoting=tcp(turned(WHO), "A", seq=sequence))
    assert proofs(read([tcp(WHO), answer, error])) == [[proves]]


def test_an_icmp_error_about_a_datagram_is_about_its_sender_whatever_the_ports(read):
    up = "10.0.0.1:53 > 10.0.0.5:50000"
    assert told(read([icmp_error(ROUTER, 3, 13, quoting=udp(up, b"x" * 20), room=48)]).flows) == [
        f"{up}/udp OTH prohibited"
    ]


def test_the_sender_of_an_icmp_error_is_known(read):
    source = read([tcp(WHO), icmp_error(ROUTER, 3, 13, quoting=tcp(WHO))])
    assert [(quote.sender, quote.frame) for quote in source.details.errors[0]] == [(ROUTER, 2)]


def test_an_icmp_error_about_the_answers_says_nothing_about_the_port(read):
    there, back = talk(WHO, "5PA <A")
    assert answers(read([there, icmp_error(ROUTER, 3, 13, quoting=back)])) == ["mid-stream"]


@pytest.mark.parametrize("room", [28, 40], ids=["its first bytes", "its whole header"])
def test_an_icmp_error_about_the_answer_says_that_there_was_one(room, read):
    """The way back is closed, not the way there."""
    syn, syn_ack = talk(WHO, "S <SA")
    source = read([syn, syn, syn, icmp_error(ROUTER, 3, 13, quoting=syn_ack, room=room)])
    assert told(source.flows) == [f"{WHO}/tcp S0 one-way"]


@pytest.mark.parametrize("ping", [PING, "fd00::1 > fd00::5"])
def test_an_icmp_error_about_the_reply_to_a_ping_says_that_there_was_one(ping, read):
    kind, code, router, room = (1, 1, "fd00::fe", 48) if ":" in ping else (3, 13, ROUTER, 28)
    error = icmp_error(router, kind, code, quoting=echo(turned(ping), reply=True), room=room)
    assert told(read([echo(ping), error]).flows) == [f"{ping}/icmp OTH one-way"]
    own = echo(turned(ping), number=5)
    assert answers(read([echo(ping), own, error])) == ["one-way", "no-response"]


def test_an_icmp_error_about_an_answer_alone_blocks_nobody(read):
    syn_ack = icmp_error(ROUTER, 3, 13, quoting=talk(WHO, "S <SA")[1], room=40)
    assert told(read([syn_ack]).flows) == [f"{WHO}/tcp OTH mid-stream"]
    data = icmp_error(ROUTER, 3, 13, quoting=talk(WHO, "5PA <5PA")[1], room=40)
    assert told(read([data]).flows) == [f"{WHO}/tcp OTH mid-stream"]
    reply = icmp_error(ROUTER, 3, 13, quoting=echo(turned(PING), reply=True))
    assert told(read([reply]).flows) == [f"{PING}/icmp OTH one-way"]


def test_an_icmp_error_about_data_in_mid_connection_is_about_its_sender(read):
    there, back = talk(WHO, "5PA <A")
    assert answers(read([there, icmp_error(ROUTER, 3, 13, quoting=there, room=40)])) == ["prohibited"]
    assert answers(read([back, icmp_error(ROUTER, 3, 13, quoting=there, room=40)])) == ["prohibited"]


def test_an_icmp_error_that_comes_late_belongs_to_the_syn_that_it_quotes(read):
    first, second = talk(WHO, "S S@5000")
    assert answers(read([first, second, icmp_error(ROUTER, 3, 13, quoting=first)])) == ["prohibited", "no-response"]


def test_an_icmp_error_belongs_to_the_program_whose_ping_it_quotes(read):
    one, other = echo(PING, identifier=1), echo(PING, identifier=2)
    assert answers(read([one, other, icmp_error(ROUTER, 3, 13, quoting=one)])) == ["prohibited", "no-response"]


@pytest.mark.parametrize("packet", [ip(PING, 1, bytes([13]) + bytes(19)), ip(PING, 50, bytes(20))])
def test_an_icmp_error_about_neither_ports_nor_echo_is_about_no_flow(packet, read):
    assert answers(read([echo(PING), icmp_error(ROUTER, 3, 13, quoting=packet)])) == ["no-response"]
    assert len(read([icmp_error(ROUTER, 3, 13, quoting=packet)]).flows) == 0


def test_an_icmp_error_that_tells_nothing_hides_none_that_does(read):
    errors = [icmp_error(ROUTER, 3, code, quoting=tcp(WHO)) for code in (13, 4)]
    assert read([tcp(WHO), *errors]).flows.icmp_error.tolist() == ["3/13"]


def test_an_icmp_error_tells_more_than_a_reset_of_the_originators_own(read):
    syn, reset = talk(WHO, "S R")
    assert answers(read([syn, icmp_error(ROUTER, 3, 13, quoting=syn), reset])) == ["prohibited"]


def test_an_icmp_error_does_not_undo_an_answer(read):
    packets = talk(WHO, "S <SA A 5PA")
    assert answers(read([*packets, icmp_error(ROUTER, 3, 1, quoting=packets[-1])])) == ["answered"]


def test_an_icmp_error_does_not_stop_what_went_on_in_a_capture_of_one_direction(read):
    packets = talk(WHO, "S A 5PA")
    assert answers(read([*packets, icmp_error(ROUTER, 3, 1, quoting=packets[-1])])) == ["one-way"]


def test_an_icmp_error_does_not_undo_a_refusal(read):
    syn, reset = talk(WHO, "S <RA")
    assert answers(read([syn, reset, icmp_error(ROUTER, 3, 13, quoting=syn)])) == ["refused"]


def test_the_last_telling_icmp_error_decides(read):
    errors = [icmp_error(ROUTER, 3, code, quoting=tcp(WHO)) for code in (13, 1, 4)]
    assert answers(read([tcp(WHO), *errors])) == ["unreachable"]


def test_an_icmp_error_belongs_to_the_attempt_before_it(read):
    first, second = talk(WHO, "S S@5000")
    source = read([first, icmp_error(ROUTER, 3, 13, quoting=first), second])
    assert answers(source) == ["prohibited", "no-response"]


def test_a_flow_of_which_only_the_error_was_captured_has_a_row_without_frames(read):
    source = read([icmp_error(ROUTER, 3, 13, quoting=tcp(WHO))])
    assert told(source.flows) == [f"{WHO}/tcp OTH prohibited"]
    assert source.flows[["frames_src", "frames_dst", "first_frame"]].values.tolist() == [[0, 0, 1]]
    assert source.flows.stream.isna().all()
    ping = read([icmp_error(ROUTER, 3, 13, quoting=echo(PING))]).flows
    columns = ["src_port", "dst_port", "icmp_type", "icmp_code"]
    assert [flows[columns].fillna(-1).values.tolist() for flows in (source.flows, ping)] == [
        [[50000, 445, -1, -1]],
        [[-1, -1, 8, 0]],
    ]


@pytest.mark.parametrize(("room", "turns"), [(33, False), (34, True), (40, True)])
def test_of_data_that_an_icmp_error_quotes_the_lower_port_is_the_responders_if_its_flags_are_seen(room, turns, read):
    data = talk(WHO, "5PA <5PA")[1]
    (found,) = told(read([icmp_error(ROUTER, 3, 13, quoting=data, room=room)]).flows)
    assert found.startswith(WHO if turns else turned(WHO))


def test_an_icmp_error_about_a_ping_is_not_about_one_the_other_way(read):
    source = read([echo(turned(PING)), icmp_error(ROUTER, 3, 13, quoting=echo(PING))])
    assert answers(source) == ["no-response", "prohibited"]


def streams(read, *packets: bytes) -> list[int]:
    return read(packets).flows.stream.tolist()


OTHER, THIRD = (WHO.replace("445", port) for port in ("135", "139"))


def test_wireshark_makes_a_stream_of_a_whole_header_that_an_icmp_error_quotes(read):
    error = icmp_error(ROUTER, 3, 13, quoting=tcp(OTHER), room=40)
    short = icmp_error(ROUTER, 3, 13, quoting=tcp(OTHER), room=28)
    assert streams(read, tcp(WHO), error, tcp(THIRD), tcp(OTHER)) == [0, 2, 1]
    assert streams(read, tcp(WHO), error, error, tcp(THIRD), tcp(OTHER)) == [0, 2, 1]
    assert streams(read, tcp(WHO), short, tcp(THIRD), tcp(OTHER)) == [0, 1, 2]


def test_wireshark_makes_no_stream_of_a_quoted_header_that_it_knows(read):
    error = icmp_error(ROUTER, 3, 13, quoting=tcp(WHO), room=40)
    assert streams(read, tcp(WHO), error, tcp(OTHER)) == [0, 1]
    assert streams(read, error, tcp(OTHER), tcp(WHO), tcp(THIRD)) == [1, 0, 2]


def test_an_icmp_error_is_no_flow_of_its_own(read):
    assert len(read([tcp(WHO), icmp_error(ROUTER, 3, 13, quoting=tcp(WHO))]).flows) == 1


def test_an_icmp_error_without_a_quotation_is_ignored(read):
    assert len(read([ip(f"{ROUTER} > 10.0.0.1", 1, bytes([3, 13]) + bytes(6))]).flows) == 0


# UDP and ping


def test_udp_that_is_answered(read):
    assert told(read([udp(ASK), udp(turned(ASK))]).flows) == [f"{ASK}/udp SF answered"]


def test_udp_that_is_not_answered(read):
    assert told(read([udp(ASK), udp(ASK)]).flows) == [f"{ASK}/udp S0 no-response"]


def test_udp_where_nobody_listens(read):
    assert answers(read([udp(ASK), icmp_error("10.0.0.5", 3, 3, quoting=udp(ASK))])) == ["refused"]


def test_ping_that_is_answered(read):
    source = read([echo(PING), echo(turned(PING), reply=True)])
    assert told(source.flows) == [f"{PING}/icmp OTH answered"]
    assert source.flows.icmp_type.tolist() == [8]


def test_ping_that_is_not_answered(read):
    assert answers(read([echo(PING, number=1), echo(PING, number=2)])) == ["no-response"]


def test_ping_of_ipv6(read):
    ping = "fd00::1 > fd00::5"
    source = read([echo(ping), echo(turned(ping), reply=True)])
    assert (answers(source), source.flows.icmp_type.tolist()) == (["answered"], [128])


def test_a_ping_that_a_router_refuses_is_not_answered_by_the_refusal(read):
    source = read([echo(PING), icmp_error(ROUTER, 3, 10, quoting=echo(PING))])
    assert told(source.flows) == [f"{PING}/icmp OTH prohibited"]


def test_the_answer_to_a_ping_alone_tells_who_asked(read):
    assert told(read([echo(turned(PING), reply=True)]).flows) == [f"{PING}/icmp OTH answered"]


def test_pings_of_two_programs_are_two_flows(read):
    assert len(read([echo(PING, identifier=1), echo(PING, identifier=2)]).flows) == 2


@pytest.mark.parametrize("identifiers", [(1, 2), (1, 1)], ids=["two identifiers", "as of Windows, always 1"])
@pytest.mark.parametrize("ping", [PING, "fd00::1 > fd00::5"])
def test_pings_both_ways_at_once_are_two_flows(ping, identifiers, read):
    one, other = identifiers
    source = read([echo(ping, identifier=one), echo(turned(ping), identifier=other)])
    assert told(source.flows) == [f"{ping}/icmp OTH no-response", f"{turned(ping)}/icmp OTH no-response"]


def test_only_the_ping_that_is_replied_to_is_answered(read):
    both = [echo(PING), echo(turned(PING)), echo(PING, reply=True), echo(PING, number=2)]
    assert told(read(both).flows) == [f"{PING}/icmp OTH no-response", f"{turned(PING)}/icmp OTH answered"]


def test_a_reply_to_what_was_not_asked_is_no_answer(read):
    source = read([echo(PING, number=1), echo(turned(PING), reply=True, number=9), echo(PING, number=2)])
    assert answers(source) == ["no-response"]
    assert [event.packet_kind for event in source.details.events(0)] == ["request"]


def test_a_ping_may_be_answered_after_others_were_not(read):
    packets = [*(echo(PING, number=number) for number in (1, 2, 3)), echo(turned(PING), reply=True, number=3)]
    assert answers(read(packets)) == ["answered"]


def test_a_host_that_pings_itself(read):
    itself = "127.0.0.1 > 127.0.0.1"
    assert answers(read([echo(itself), echo(itself, reply=True)])) == ["answered"]


# neighbours


def asked(source) -> list[tuple[str, str]]:
    return [(one.requester, one.target) for one in source.details.asked]


def test_a_neighbour_that_never_answers(read):
    source = read([arp("10.0.0.1 asks 10.0.0.5")] * 3)
    assert asked(source) == [("10.0.0.1", "10.0.0.5")]
    assert source.details.asked[0].frames == (1, 2, 3)


def test_a_neighbour_that_answers(read):
    assert asked(read([arp("10.0.0.1 asks 10.0.0.5"), arp("10.0.0.5 answers 10.0.0.1")])) == []


def test_a_neighbour_that_asks_itself_is_there(read):
    assert asked(read([arp("10.0.0.1 asks 10.0.0.5"), arp("10.0.0.5 asks 10.0.0.9")])) == [("10.0.0.5", "10.0.0.9")]


def test_a_neighbour_of_ipv6_that_never_answers(read):
    assert asked(read([neighbour("fe80::1 asks fe80::5")])) == [("fe80::1", "fe80::5")]


def test_a_neighbour_of_ipv6_that_answers(read):
    assert asked(read([neighbour("fe80::1 asks fe80::5"), neighbour("fe80::5 answers fe80::1")])) == []


def test_whoever_sent_anything_was_heard(read):
    source = read([tcp(WHO), arp("10.0.0.7 asks 10.0.0.8"), icmp_error(ROUTER, 3, 1, quoting=tcp(WHO))])
    assert source.details.heard == {"10.0.0.1", "10.0.0.7", ROUTER}


# evidence


def test_the_events_of_a_flow_are_its_proof(read):
    source = read(talk(WHO, "S S <SA A 5PA 5PA <RA"))
    assert [(event.frame, event.from_src, event.packet_kind) for event in source.details.events(0)] == [
        (1, True, "SYN"),
        (2, True, "SYN"),
        (3, False, "SYN-ACK"),
        (4, True, "ACK"),
        (5, True, "data"),
        (7, False, "RST"),
    ]


def test_the_events_of_a_ping(read):
    source = read([echo(PING), echo(turned(PING), reply=True)])
    assert [(event.from_src, event.packet_kind) for event in source.details.events(0)] == [
        (True, "request"),
        (False, "reply"),
    ]


def test_the_size_of_the_window_does_not_change_the_flows(monkeypatch, read):
    packets = [
        *talk(WHO, "S <SA A 5PA <7PA S@90000 <RA"),
        *talk(SIX, "S S"),
        udp(ASK),
        udp(ASK),
        udp(turned(ASK)),
        echo(PING, number=1),
        echo(turned(PING), reply=True, number=7),
        echo(PING, number=2),
        echo(turned(PING), reply=True, number=2),
        echo(turned(PING), number=2),
    ]
    whole = read(packets)
    for size in (100, 150, 333):
        monkeypatch.setattr(capture, "WINDOW", size)
        cut = read(packets)
        columns = [name for name in whole.flows if name != "source"]
        pd.testing.assert_frame_equal(cut.flows[columns], whole.flows[columns])
        for flow in range(len(whole.flows)):
            assert cut.details.events(flow) == whole.details.events(flow)


# the table


def test_an_empty_table_has_the_same_columns_and_types(read):
    full = read([tcp(WHO), udp(ASK), echo(PING), icmp_error(ROUTER, 3, 1, quoting=tcp(WHO))]).flows
    for packets in ([], [bytes(60)], [arp("10.0.0.1 asks 10.0.0.5")], [tcp(WHO)], [udp(ASK)], [echo(PING)]):
        link = Link(1, bytes) if packets == [bytes(60)] else Link(1, ethernet)
        table = read(packets, link).flows
        assert {name: str(kind) for name, kind in table.dtypes.items()} == TABLE
        assert table.dtypes.equals(full.dtypes)


def test_every_answer_is_one_of_those_that_are_documented(read):
    packets = [*talk(WHO, "S <RA"), udp(ASK), echo(PING)]
    assert set(answers(read(packets))) <= set(RESPONSES)


def test_ports_of_ping_and_icmp_types_of_tcp_are_missing_not_zero(read):
    table = read([tcp(WHO), echo(PING)]).flows
    assert table.loc[0, ["icmp_type", "icmp_code"]].isna().all()
    assert table.loc[1, ["src_port", "dst_port", "stream"]].isna().all()


def test_the_same_bytes_give_the_same_table(read):
    packets = [*talk(WHO, "S <SA A"), udp(ASK), echo(PING)]
    one, other = (read(packets).flows.drop(columns="source") for _ in range(2))
    pd.testing.assert_frame_equal(one, other)
