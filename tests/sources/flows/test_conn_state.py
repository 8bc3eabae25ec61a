"""Zeek's connection states, each from the packets that make it ("<" is from the responder)."""

from __future__ import annotations

import pytest
from packets import talk, turned

from auditor.sources.flows import conn_state

WHO = "10.0.0.1:50000 > 10.0.0.5:445"

CASES = [
    ("S0", "S", "a SYN and no answer"),
    ("S0", "S S S", "nor to its repetitions"),
    ("S1", "S <SA", "a SYN that was answered"),
    ("S1", "S <SA A 5PA <7PA", "established, not ended"),
    ("SF", "S <SA A FA <FA A", "ended by both"),
    ("SF", "S <SA A <FA A FA <A", "ended by both, the responder first"),
    ("REJ", "S <RA", "refused"),
    ("REJ", "S S <RA", "refused after a repetition"),
    ("S2", "S <SA A FA <A", "the originator wants to end"),
    ("S3", "S <SA A <FA A", "the responder wants to end"),
    ("RSTO", "S <SA A 5PA RA", "the originator breaks it off"),
    ("RSTR", "S <SA A 5PA <RA", "the responder breaks it off"),
    ("RSTO", "S <SA R", "a port scanner that leaves after the answer"),
    ("RSTOS0", "S R", "the originator gives up before any answer"),
    ("RSTOS0", "S S R", "the same after a repetition"),
    ("RSTRH", "<SA <RA", "the responder's answer and reset, but no SYN"),
    ("SH", "S FA", "a SYN, then a FIN, but no answer: half open"),
    ("SHR", "<SA <FA", "an answer, then a FIN, but no SYN"),
    ("SH", "5PA <7PA FA <A", "the originator's end, but no beginning"),
    ("SHR", "5PA <7PA <FA A", "the responder's end, but no beginning"),
    ("OTH", "5PA <7PA", "no beginning, no end"),
    ("OTH", "A", "one side in mid-stream"),
    ("OTH", "<SA", "an answer alone"),
    ("S1", "S <SA A 5PA <7PA S", "an old SYN that comes again"),
    ("SF", "S <SA A FA <FA A RA", "a reset after the end"),
    ("SF", "S <SA A FA FA <FA <FA A", "an end said twice"),
    ("S0", "S <A", "an ACK that answers no SYN"),
    ("S0", "5PA S@999", "an old packet, then a new SYN"),
    ("S0", "5PA S@999 <A", "the same, and an ACK that answers no SYN"),
    ("OTH", "5PA <5PA S@999", "a SYN in the middle of a connection"),
    ("OTH", "5PA SA", "an answer in the middle of a connection"),
    ("OTH", "5PA 5P", "data without an ACK"),
    ("OTH", "<SA 5P", "data that acknowledges no SYN-ACK"),
    ("OTH", "S <5PA", "data instead of an answer"),
    ("S1", "<SA A", "established, but the SYN was not captured"),
    ("S1", "<SA <S A", "the same, and an answer that lost its ACK"),
    ("SH", "FA", "nothing but an end"),
    ("SHR", "<FA <S@8999", "an end, then a SYN of the same side"),
    ("RSTO", "S <SA A FA RA", "an end and a reset of the originator"),
    ("SF", "S <SA A FA RA <FA", "and then the end of the responder"),
    ("RSTR", "S <SA A <FA <RA", "an end and a reset of the responder"),
    ("RSTRH", "<FA <R", "the same without a beginning"),
    ("REJ", "S <SA R <R", "reset by both before any data"),
    ("RSTR", "S <SA A 5PA RA <RA", "reset by both after data"),
    ("RSTOS0", "S 5PA RA", "data with no answer, then a reset"),
    ("OTH", "S A R", "the answer was not captured, then a reset"),
    ("OTH", "S SA R", "a SYN and a SYN-ACK of one side, then a reset"),
    ("OTH", "R R", "nothing but resets"),
]


@pytest.mark.parametrize(("state", "words", "meaning"), CASES, ids=lambda value: value)
def test_state_of_a_connection(state, words, meaning, read):  # noqa: ARG001 - the meaning is for the reader
    assert read(talk(WHO, words)).flows.conn_state.tolist() == [state]


@pytest.mark.parametrize(("state", "words", "meaning"), CASES, ids=lambda value: value)
def test_the_state_does_not_hang_on_which_port_is_higher(state, words, meaning, read):  # noqa: ARG001
    if words.split()[0] not in ("S", "<SA"):
        pytest.skip("without a SYN the higher port is taken for the originator's")
    assert read(talk("10.0.0.1:80 > 10.0.0.5:50000", words)).flows.conn_state.tolist() == [state]


def test_every_state_has_a_case():
    assert {state for state, _, _ in CASES} == set(conn_state.NAMES.ravel())


def test_every_packet_leads_from_every_state_to_a_state():
    assert conn_state.TRANSITIONS.shape == (len(conn_state.STATES), conn_state.PACKETS)
    assert conn_state.TRANSITIONS.max() < len(conn_state.STATES)


def test_a_connection_of_very_many_packets_is_followed_to_its_end(read):
    words = "S <SA A " + "FA " * 200 + "<FA A"
    assert read(talk(WHO, words)).flows.conn_state.tolist() == ["SF"]


def test_a_connection_of_very_many_packets_among_others_is_followed_by_its_own(read):
    refused = [talk(f"10.0.0.1:{50_001 + number} > 10.0.0.5:445", "S <RA") for number in range(41)]
    packets = [*refused[:40], talk(WHO, "S <SA A " + "FA " * 200), refused[40]]
    states = read([one for connection in packets for one in connection]).flows.conn_state.tolist()
    assert states == ["REJ"] * 40 + ["S2", "REJ"]


def test_the_far_end_of_a_connection_is_not_its_originator(read):
    assert read(talk(turned(WHO), "S <SA A")).flows.src_port.tolist() == [445]


@pytest.mark.parametrize("words", ["5PA <5PA", "<5PA 5PA", "A", "<A"])
def test_without_a_syn_the_side_with_the_higher_port_is_the_originator(words, read):
    for who in (WHO, turned(WHO)):
        assert read(talk(who, words)).flows.src_port.tolist() == [50000]


@pytest.mark.parametrize("who", ["10.0.0.1:500 > 10.0.0.5:500", "10.0.0.5:500 > 10.0.0.1:500"])
def test_without_a_syn_and_with_equal_ports_the_sender_of_the_first_packet_is_the_originator(who, read):
    sender = who.partition(":")[0]
    assert read(talk(who, "5PA <5PA")).flows.src_ip.tolist() == [sender]
    assert read(talk(who, "S <SA A")).flows.src_ip.tolist() == [sender]
    assert read(talk(who, "<SA A")).flows.src_ip.tolist() == [sender]
