"""Packets as chance throws them: whatever they do, the flows are Wireshark's streams."""

from __future__ import annotations

import random

import pytest
import wireshark
from packets import icmp_error, pcap, tcp, turned, udp

WORDS = ["S", "SA", "A", "PA", "FA", "R", "RA"]


def test_random_packets_make_the_same_streams(write, read, tshark):
    """Many five-tuples, each with a few packets whose flags and sequence numbers are thrown.

    Sequence numbers are few, so that they meet: that is what decides where a stream ends and the next begins.
    """
    if wireshark.newer_streams(tshark):
        pytest.skip("tshark 4.4 and later begin another stream with a SYN after a reset; the flow table follows 4.0")
    chance = random.Random(2007)
    talks = []
    for number in range(600):
        ports = chance.choice([50_000, 445]), chance.choice([445, 49_152])
        who = f"10.0.{number // 250}.{number % 250}:{ports[0]} > 10.9.9.9:{ports[1]}"
        talks.append([_thrown(who, chance) for _ in range(chance.randint(1, 12))])
    content = pcap(_mixed(talks, chance))
    mine, theirs = wireshark.ours(read(content).flows), wireshark.dissect(tshark, write(content)).streams
    for stream in [*mine.values(), *theirs.values()]:
        stream.began = None  # both sides may have sent a SYN: nobody can tell
    assert wireshark.differences(mine, theirs) == []


def test_headers_quoted_in_icmp_errors_make_streams_of_their_own(write, read, tshark):
    chance = random.Random(135)
    packets = []
    for _ in range(200):
        who = f"10.0.0.{chance.randint(1, 9)}:{50_000 + chance.randint(0, 9)} > 10.9.9.9:445"
        packet = chance.choice([tcp(who), udp(who), tcp(turned(who), "A")])
        error = icmp_error("10.0.0.254", 3, chance.choice([1, 3, 13]), quoting=packet, room=chance.choice([28, 40, 60]))
        packets += chance.choice([[packet], [error], [packet, error]])
    content = pcap(packets)
    theirs = wireshark.dissect(tshark, write(content)).streams
    assert wireshark.differences(wireshark.ours(read(content).flows), theirs) == []


def _thrown(who: str, chance: random.Random) -> bytes:
    flags = chance.choice(WORDS)
    sender = turned(who) if chance.random() < 0.4 else who
    return tcp(sender, flags, seq=chance.randint(1, 3), ack=chance.randint(1, 3), payload=chance.choice([0, 0, 5]))


def _mixed(talks: list[list[bytes]], chance: random.Random) -> list[bytes]:
    """Return all packets, each talk in its own order but mixed with the others."""
    turns = [number for number, packets in enumerate(talks) for _ in packets]
    chance.shuffle(turns)
    following = [iter(packets) for packets in talks]
    return [next(following[number]) for number in turns]
