"""Captures that hold more than fits into memory: what is left out is counted, told, and makes an audit incomplete."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from pathlib import Path

import pytest
from packets import RAW, arp, echo, icmp_error, ip, neighbour, pcap, talk, tcp, told, udp

from auditor.report.model import INCOMPLETE_CODES
from auditor.ruleset.ruleset import load_ruleset, with_ports
from auditor.sources.capture import addresses
from auditor.sources.capture import reader as capture
from auditor.sources.capture import reassembly as fragments
from auditor.sources.capture.reassembly import Fragments
from auditor.sources.flows import assembly as segments
from auditor.sources.flows import builder as flows
from auditor.sources.flows import flow_limit as admission
from auditor.sources.flows import neighbors as neighbourhood
from auditor.sources.read import read as read_path
from auditor.sources.read_all import documented_ports, read_all
from auditor.sources.source import Source

PUSH = talk("10.0.0.1:50000 > 10.0.0.5:445", "S <SA A 5PA <7PA FA <FA A")


@pytest.fixture
def read_documented(write: Callable[[bytes], Path]) -> Callable[..., Source]:
    """Read packets of raw IP as an audit does: documented ports first."""
    return lambda packets: read_path(write(pcap(packets, RAW)), lambda: documented_ports(None))


@pytest.fixture
def small(monkeypatch) -> None:
    """Let little be too much: batches of a few packets, and limits of a few flows."""
    monkeypatch.setattr(capture, "WINDOW", 2000)
    monkeypatch.setattr(segments, "SETTLE_AT", 4)
    monkeypatch.setattr(segments, "SETTLE_MOST", 4)
    monkeypatch.setattr(admission, "MOST_FLOWS", 20)
    monkeypatch.setattr(admission, "MOST_IN_ALL", 10_000)


def flood(count: int, port: int = 25, first: int = 0) -> list[bytes]:
    return [tcp(f"172.16.{one // 250}.{one % 250 + 1}:40000 > 10.0.0.9:{port}") for one in range(first, first + count)]


def codes(source: Source) -> list[str]:
    return [warning.code for warning in source.warnings]


def packets_of(table_of: Source) -> int:
    return int((table_of.flows["frames_src"] + table_of.flows["frames_dst"]).sum())


# flows


@pytest.mark.usefixtures("small")
def test_a_push_behind_a_flood_is_still_read(read_documented):
    source = read_documented([*flood(400), *PUSH])
    assert told(source.flows)[-1] == "10.0.0.1:50000 > 10.0.0.5:445/tcp SF answered"
    assert codes(source) == ["too-many-flows"]
    assert len(source.flows) < 200


@pytest.mark.usefixtures("small")
def test_every_packet_is_in_a_flow_or_counted(read_documented):
    source = read_documented([*flood(400), *PUSH])
    dropped = source.details.dropped.packets
    assert packets_of(source) + dropped == source.records == 408
    assert f"{dropped:,} packets of other connections" in source.warnings[0].text


@pytest.mark.usefixtures("small")
def test_what_else_the_hosts_of_a_push_say_is_still_read(read_documented):
    """Dynamic ports are in no ruleset, but the hosts have spoken at a documented one before."""
    dynamic = talk("10.0.0.1:50001 > 10.0.0.5:49152", "S S S")
    source = read_documented(
        [*flood(400), *PUSH, *dynamic, echo("10.0.0.1 > 10.0.0.5"), udp("10.0.0.7:1 > 10.0.0.8:53")]
    )
    assert told(source.flows)[-3:] == [
        "10.0.0.1:50000 > 10.0.0.5:445/tcp SF answered",
        "10.0.0.1:50001 > 10.0.0.5:49152/tcp S0 no-response",
        "10.0.0.1 > 10.0.0.5/icmp OTH no-response",
    ]


@pytest.mark.usefixtures("small")
def test_a_flow_that_was_left_out_does_not_come_back_without_its_beginning(read_documented):
    late = talk("10.0.0.7:50000 > 10.0.0.8:25", "S <SA A" + " 5PA <7PA" * 100)
    source = read_documented([*flood(400), *late])
    assert not any("10.0.0.8" in line for line in told(source.flows))
    assert "10.0.0.8" in source.details.heard


@pytest.mark.usefixtures("small")
def test_a_flow_that_was_known_before_is_read_to_its_end(read_documented):
    known = talk("10.0.0.7:50000 > 10.0.0.8:25", "S <SA A 5PA <7PA FA <FA A")
    source = read_documented([*known[:4], *flood(400), *known[4:]])
    assert told(source.flows)[0] == "10.0.0.7:50000 > 10.0.0.8:25/tcp SF answered"


@pytest.mark.usefixtures("small")
@pytest.mark.parametrize("limit", [(admission, "MOST_IN_ALL"), (addresses, "MOST_ADDRESSES")])
def test_beyond_all_limits_the_rest_is_counted_as_skipped(read_documented, monkeypatch, limit):
    monkeypatch.setattr(*limit, 100)
    packets = [tcp(f"[fd00::{one:x}]:40000 > [fd00:1::{one:x}]:445") for one in range(400)]
    source = read_documented(packets)
    assert codes(source) == ["too-many-flows"]
    assert source.skipped > 0
    assert source.records + source.skipped == 400
    assert packets_of(source) == source.records
    assert f"The last {source.skipped} frames were not read" in source.warnings[0].text


def test_documented_ports_are_those_of_the_ruleset_in_use():
    assert {135, 443, 445, 8530} <= documented_ports(None)
    changed = with_ports(load_ruleset("configmgr-2007"), {"http-management-point": 8088})
    assert 8088 in documented_ports(changed)


@pytest.mark.usefixtures("small")
def test_an_audit_keeps_what_its_ruleset_asks_for(write):
    path = write(pcap([*flood(400), *PUSH], RAW))
    assert any(line.startswith("10.0.0.1") for line in told(read_all([path])[0][0].flows))
    assert not any(line.startswith("10.0.0.1") for line in told(read_path(path).flows))


# a flow of very many packets


def test_a_storm_within_one_flow_keeps_its_first_and_last_packets(read, monkeypatch):
    monkeypatch.setattr(segments, "MOST_EVENTS", 10)
    source = read(talk("10.0.0.1:50000 > 10.0.0.5:445", "S " * 50 + "<SA A <RA"), RAW)
    assert told(source.flows) == ["10.0.0.1:50000 > 10.0.0.5:445/tcp RSTR answered"]
    assert [event.frame for event in source.details.events(0)] == [1, 2, 3, 4, 5, 49, 50, 51, 52, 53]
    assert source.flows["syn"].tolist() == [50]
    assert codes(source) == ["too-many-events"]


def test_storms_that_are_read_in_many_pieces_keep_the_first_and_last_packets_of_each(read, monkeypatch):
    monkeypatch.setattr(segments, "MOST_EVENTS", 4)
    monkeypatch.setattr(capture, "WINDOW", 8192)
    storms = [talk(f"10.0.0.1:{port} > 10.0.0.5:445", "S <SA A " + "<R " * 1000) for port in (50000, 50001)]
    source = read([packet for both in zip(*storms, strict=True) for packet in both], RAW)
    assert told(source.flows) == [f"10.0.0.1:{port} > 10.0.0.5:445/tcp RSTR answered" for port in (50000, 50001)]
    assert [event.frame for event in source.details.events(0)] == [1, 3, 2003, 2005]
    assert [event.frame for event in source.details.events(1)] == [2, 4, 2004, 2006]
    assert source.flows["rst"].tolist() == [1000, 1000]
    assert [warning.text.split()[0] for warning in source.warnings] == ["1,998"]


# hosts on the local network


@pytest.mark.parametrize(
    "storm",
    [
        [arp(f"10.0.0.1 asks 10.1.0.{one}") for one in range(1, 201)],
        [neighbour(f"fd00::1 asks fd00::1:{one:x}") for one in range(1, 201)],
    ],
    ids=["ARP", "IPv6"],
)
def test_a_storm_of_requests_keeps_the_first(read, monkeypatch, storm):
    monkeypatch.setattr(neighbourhood, "MOST_ASKED", 50)
    source = read(storm)
    assert len(source.details.asked) == 50
    assert min(one.frames for one in source.details.asked) == (1,)
    assert codes(source) == ["too-many-neighbours"]
    assert source.warnings[0].text.startswith("150 ARP requests or neighbor solicitations")


def test_requests_that_are_answered_take_no_room(read, monkeypatch):
    monkeypatch.setattr(neighbourhood, "MOST_ASKED", 1)
    answered = [
        arp(text) for one in range(2, 99) for text in (f"10.0.0.1 asks 10.0.0.{one}", f"10.0.0.{one} answers 10.0.0.1")
    ]
    source = read([*answered, arp("10.0.0.1 asks 10.0.0.200")])
    assert [one.target for one in source.details.asked] == ["10.0.0.200"]
    assert source.warnings == ()


def test_when_not_everybody_who_spoke_is_known_nobody_is_called_silent(read, monkeypatch):
    monkeypatch.setattr(addresses, "MOST_HOSTS", 50)
    source = read([*(arp(f"10.0.1.{one} asks 10.0.0.1") for one in range(1, 201)), arp("10.0.0.1 asks 10.0.0.200")])
    assert source.details.asked == ()
    assert codes(source) == ["too-many-neighbours"]


def test_everybody_who_sent_anything_was_heard(read):
    source = read([arp("10.0.0.1 asks 10.0.0.2"), ip("10.0.0.3 > 10.0.0.4", 89, bytes(20)), *PUSH])
    assert source.details.heard == {"10.0.0.1", "10.0.0.3", "10.0.0.5"}
    assert "fd00::1" not in source.details.heard
    assert "no address" not in source.details.heard


# ICMP errors


def errors(count: int) -> Iterable[bytes]:
    return [
        icmp_error("10.0.0.254", 3, 13, quoting=tcp(f"10.0.0.1:{1000 + one} > 10.0.0.5:445")) for one in range(count)
    ]


def test_icmp_errors_beyond_the_limit_are_counted(read, monkeypatch):
    monkeypatch.setattr(flows, "MOST_QUOTES", 30)
    monkeypatch.setattr(capture, "WINDOW", 2000)
    source = read(errors(200), RAW)
    assert codes(source) == ["too-many-errors"]
    assert source.warnings[0].text.startswith("170 ICMP errors")
    assert sum(map(len, source.details.errors.values())) == 30


# fragments


class Compared(int):
    """A number that counts how often it is compared."""

    count = 0

    def __lt__(self, other: object) -> bool:
        Compared.count += 1
        return int(self) < int(other)


def comparisons(pieces: int) -> int:
    """Add pieces of a packet that lacks its second one, so that it never gets whole, though its end is known."""
    Compared.count = 0
    waiting = Fragments()
    waiting.add((1, 4, 6, 7), Compared(8), 8, False, b"")
    for number in range(2, pieces):
        assert waiting.add((1, 4, 6, 7), Compared(8 * number), 8, True, b"") is None
    return Compared.count


def test_pieces_of_a_packet_with_a_gap_are_not_sorted_again_for_each():
    assert comparisons(4000) < 3 * comparisons(2000)


def test_pieces_beyond_the_limit_are_given_up_and_counted(monkeypatch):
    monkeypatch.setattr(fragments, "MOST_PIECES", 10)
    waiting = Fragments()
    for number in range(40):
        waiting.add((number // 4, 4, 6, 7), 8 * (number % 4 + 1), 8, True, b"")
    assert waiting.lost == 40
    assert len(waiting._pending) <= 3


def test_what_was_left_out_makes_an_audit_incomplete():
    assert {"too-many-flows", "too-many-neighbours", "too-many-errors", "lone-fragments"} <= INCOMPLETE_CODES


def test_the_other_protocols_of_very_many_hosts_are_counted_as_one(read):
    packets = [ip(f"10.1.{one // 250}.{one % 250 + 1} > 10.0.0.1", 89, bytes(8)) for one in range(1000)]
    source = read(pcap(packets, RAW))
    assert source.tally.frames == {"IP protocol 89": 1000}
    assert len(source.details.heard) == 1000
