"""Chosen packets of a capture: the right ones, no more than wanted, and written so that they read back the same."""

from __future__ import annotations

import io
import os
import subprocess
from collections import Counter
from collections.abc import Callable, Iterable
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from packets import (
    BEGIN,
    LINKS,
    TUNNELS,
    At,
    enhanced,
    ethernet,
    interface,
    ip,
    ip_in_ip,
    pcap,
    pcapng,
    talk,
    tcp,
    turned,
    udp,
)
from wireshark import ONE_VALUE

from auditor.sources.capture import reader as capture
from auditor.sources.dissection import selection
from auditor.sources.dissection.selection import FlowSelector, select
from auditor.sources.extract import Record, frames_of, write_pcapng
from auditor.sources.read import known_tunnels

SMB = "10.0.0.5:50000 > 10.0.0.20:445"
WEB = "10.0.0.20:50001 > 10.0.0.80:80"
SIX = "[fd00::5]:50000 > [fd00::20]:445"
FLOWS = {
    SMB: FlowSelector("tcp", "10.0.0.5", 50000, "10.0.0.20", 445, 1),
    WEB: FlowSelector("tcp", "10.0.0.20", 50001, "10.0.0.80", 80, 1),
    SIX: FlowSelector("tcp", "fd00::5", 50000, "fd00::20", 445, 1),
}
TALK = "S <SA A 5PA <5PA A FA <FA A"

Chosen = Callable[..., list[int]]


@pytest.fixture
def chosen(write) -> Chosen:
    """Return the frame numbers that are taken of packets for these flows."""

    def chosen(packets: Iterable[bytes | At], *flows: FlowSelector, **options: object) -> list[int]:
        path = write(pcap(packets, **options))
        return [one.frame for one in frames_of(path, select(path, flows, known_tunnels()).frames)]

    return chosen


# the flows that are wanted


def test_a_flow_s_packets_are_taken_in_both_directions(chosen):
    assert chosen(talk(SMB, TALK), FLOWS[SMB]) == list(range(1, 10))


def test_nothing_is_taken_of_other_flows(chosen):
    packets = [
        tcp(WEB),
        tcp(SMB),
        udp(SMB),
        tcp(SMB.replace("50000", "50009")),
        tcp(SMB.replace(".20", ".21")),
        tcp(SMB),
    ]
    assert chosen(packets, FLOWS[SMB]) == [2, 6]


def test_it_does_not_matter_which_end_is_named_first(chosen):
    wanted = FlowSelector("tcp", "10.0.0.20", 445, "10.0.0.5", 50000, 1)
    assert chosen(talk(SMB, "S <SA A"), wanted) == [1, 2, 3]


def test_several_flows_are_taken_in_the_order_of_the_file(chosen):
    packets = [tcp(SMB), tcp(WEB), tcp(SIX), tcp(turned(SMB), "SA"), tcp(turned(SIX), "SA")]
    assert chosen(packets, FLOWS[SIX], FLOWS[SMB]) == [1, 3, 4, 5]


def test_udp(chosen):
    wanted = FlowSelector("udp", "10.0.0.5", 50000, "10.0.0.20", 135, 1)
    packets = [udp("10.0.0.5:50000 > 10.0.0.20:135"), tcp("10.0.0.5:50000 > 10.0.0.20:135")]
    assert chosen(packets, wanted) == [1]


def test_no_flows_no_packets(chosen):
    assert chosen(talk(SMB, TALK)) == []


@pytest.mark.parametrize("wrap", TUNNELS.values(), ids=TUNNELS)
def test_a_flow_in_a_tunnel_is_that_of_the_hosts_inside(wrap, chosen):
    assert chosen([wrap(packet) for packet in talk(SMB, "S <SA A")], FLOWS[SMB]) == [1, 2, 3]


@pytest.mark.parametrize("link", LINKS.values(), ids=LINKS)
def test_every_link_type(link, chosen):
    assert chosen(talk(SMB, "S <SA A"), FLOWS[SMB], link=link) == [1, 2, 3]


# no more than its beginning and its end


def limit(monkeypatch: pytest.MonkeyPatch, **limits: int) -> None:
    """Set limits of what is taken of one flow; those that are not named leave room for nothing at its end."""
    for name, number in ({"AFTER": 0, "LAST": 0} | limits).items():
        monkeypatch.setattr(selection, f"MOST_{name}", number)


def test_of_a_long_flow_the_first_packets_are_taken(chosen, monkeypatch):
    limit(monkeypatch, PACKETS=3)
    packets = [*talk(SMB, "S <SA A A A"), *talk(WEB, "S <SA")]
    assert chosen(packets, FLOWS[SMB], FLOWS[WEB]) == [1, 2, 3, 6, 7]


def test_of_a_long_flow_the_last_packets_are_taken_too(chosen, monkeypatch):
    """The last logon tells how it ended."""
    limit(monkeypatch, PACKETS=3, LAST=2)
    packets = [*talk(SMB, "S <SA A 9PA <9PA 9PA <9PA"), *talk(WEB, "S <SA")]
    assert chosen(packets, FLOWS[SMB], FLOWS[WEB]) == [1, 2, 3, 6, 7, 8, 9]


def test_of_a_fat_flow_the_first_and_the_last_bytes_are_taken(chosen, monkeypatch):
    limit(monkeypatch, BYTES=2000, LAST=100, LAST_BYTES=3000)
    assert chosen(talk(SMB, "S <SA A" + 7 * " 1400PA"), FLOWS[SMB]) == [1, 2, 3, 4, 5, 9, 10]


def test_of_a_fat_flow_its_end_is_taken(chosen, monkeypatch):
    """A reset after a large file was copied still tells something."""
    limit(monkeypatch, BYTES=2000, AFTER=9)
    packets = talk(SMB, "S <SA A 1400PA 1400PA 1400PA <A 1400PA FA <FA <R")
    assert chosen(packets, FLOWS[SMB]) == [1, 2, 3, 4, 5, 9, 10, 11]


def test_of_a_fat_flow_what_is_said_after_the_data_is_taken(chosen, monkeypatch):
    """A push starts the service on the connection on which it copied the installer."""
    limit(monkeypatch, BYTES=2000, AFTER=3)
    packets = talk(SMB, "S <SA A 1400PA 1400PA 1400PA <A 120PA <80PA 1400PA 300PA <80PA")
    assert chosen(packets, FLOWS[SMB]) == [1, 2, 3, 4, 5, 8, 9, 11]


def test_the_rest_of_large_data_is_not_taken_for_a_message(chosen, monkeypatch):
    limit(monkeypatch, PACKETS=3, AFTER=9)
    assert chosen(talk(SMB, "S <SA A 1400A 1400A 90PA 80PA <70A <60PA <50PA"), FLOWS[SMB]) == [1, 2, 3, 7, 8, 10]


def test_the_end_of_a_long_flow_begins_with_a_message_in_each_direction(chosen, monkeypatch):
    """Wireshark takes the middle of a message for a new one."""
    limit(monkeypatch, PACKETS=3, LAST=6)
    packets = talk(SMB, "S <SA A 1400A 1400A <70A 1400A 90PA <60PA A 80PA <50PA")
    assert chosen(packets, FLOWS[SMB]) == [1, 2, 3, 10, 11, 12]


def test_the_end_that_follows_the_beginning_directly_is_whole(chosen, monkeypatch):
    limit(monkeypatch, PACKETS=4, LAST=3)
    assert chosen(talk(SMB, "S <SA A 1400A 1400A 90PA <60PA"), FLOWS[SMB]) == [1, 2, 3, 4, 5, 6, 7]


def test_each_datagram_is_a_message(chosen, monkeypatch):
    limit(monkeypatch, PACKETS=1, AFTER=2, LAST=1)
    wanted = FlowSelector("udp", "10.0.0.5", 50000, "10.0.0.20", 135, 1)
    assert chosen([udp("10.0.0.5:50000 > 10.0.0.20:135") for _ in range(6)], wanted) == [1, 2, 3, 6]


def test_connections_of_the_same_ends_have_a_beginning_and_an_end_each(chosen, monkeypatch):
    limit(monkeypatch, PACKETS=2, LAST=1)
    packets = 3 * talk(SMB, "S <SA A A A")
    flows = [FLOWS[SMB]._replace(first_frame=frame) for frame in (11, 1)]
    assert chosen(packets, *flows) == [1, 2, 10, 11, 12, 15]


def test_of_many_flows_each_has_its_beginning(chosen, monkeypatch):
    monkeypatch.setattr(selection, "MOST_IN_ALL", 4)
    monkeypatch.setattr(selection, "FEWEST_PACKETS", 2)
    assert chosen([*talk(SMB, "S <SA A"), *talk(WEB, "S <SA A")], FLOWS[SMB], FLOWS[WEB]) == [1, 2, 4, 5]


def test_of_too_many_flows_the_last_ones_are_left_out(chosen, monkeypatch):
    """Each beginning is long enough for a logon, or it tells nothing."""
    monkeypatch.setattr(selection, "MOST_IN_ALL", 5)
    later = FLOWS[WEB]._replace(first_frame=4)
    assert chosen([*talk(SMB, "S <SA A"), *talk(WEB, "S <SA A")], later, FLOWS[SMB]) == [1, 2, 3]


def test_of_too_many_bytes_together_each_flow_has_its_beginning(chosen, monkeypatch):
    monkeypatch.setattr(selection, "MOST_BYTES_IN_ALL", 4000)
    monkeypatch.setattr(selection, "FEWEST_BYTES", 500)
    packets = [*talk(SMB, "S <SA A" + 9 * " 1400A"), *talk(WEB, "S <SA A" + 9 * " 1400A")]
    frames = chosen(packets, FLOWS[SMB], FLOWS[WEB])
    assert {1, 2, 3, 4, 13, 14, 15, 16} <= set(frames)
    assert len(frames) < 12


WORD = st.sampled_from(["A", "9PA", "<9PA", "1400A", "<1400PA", "1400PA", "<A"])
LARGEST = 14 + 40 + 1400  # bytes of a packet here
CLIENTS = [f"10.0.0.{number}:50000 > 10.0.1.1:445" for number in range(1, 7)]


@given(
    words=st.lists(st.tuples(st.integers(0, 5), WORD), min_size=1, max_size=60),
    limits=st.tuples(*(st.integers(1, most) for most in (12, 9000, 5, 5, 6000, 60, 60_000))),
    fewest=st.integers(1, 9),
    window=st.sampled_from([200, 2000, 100_000]),
)
def test_whatever_the_flows_are_each_is_begun_and_none_is_cut_in_silence(words, limits, fewest, window, write):
    names = ("PACKETS", "BYTES", "AFTER", "LAST", "LAST_BYTES", "IN_ALL", "BYTES_IN_ALL")
    spoken = dict.fromkeys(CLIENTS, "S")
    for number, word in words:
        spoken[CLIENTS[number]] += f" {word}"
    queues = [iter(talk(who, text)) for who, text in spoken.items()]
    order = [*range(6), *(number for number, _ in words)]
    path = write(pcap([next(queues[number]) for number in order]))
    flows = [FlowSelector("tcp", f"10.0.0.{number}", 50000, "10.0.1.1", 445, number) for number in range(1, 7)]
    with pytest.MonkeyPatch.context() as patch:
        for name, number in zip(names, limits, strict=True):
            patch.setattr(selection, f"MOST_{name}", number)
        patch.setattr(selection, "FEWEST_PACKETS", fewest)
        patch.setattr(selection, "CHUNK", 7)
        found = select(path, flows, known_tunnels())
        patch.setattr(capture, "WINDOW", window)
        again = select(path, flows, known_tunnels())
    path.unlink()
    assert (again.frames.tolist(), again[1:]) == (found.frames.tolist(), found[1:])
    assert len(found.frames) <= limits[5]
    read = 6 - (found.shortened.flows if found.shortened else 0)
    assert read == 6 or limits[5] < 6 * fewest or limits[6] < 6 * fewest * LARGEST
    assert set(range(1, read + 1)) == set(found.frames.tolist()) & set(range(1, 7))
    taken = Counter(order[frame - 1] for frame in found.frames.tolist())
    left = Counter({one.flow.first_frame - 1: one.packets for one in found.left_out})
    assert taken + left == Counter(number for number in order if number < read)


@pytest.mark.parametrize("window", [1000, 100_000])
def test_the_batches_in_which_a_file_is_read_do_not_matter(window, chosen, monkeypatch):
    packets = [packet for _ in range(20) for packet in (*talk(WEB, TALK), *talk(SMB, TALK))]
    frames = chosen(packets, FLOWS[SMB])
    monkeypatch.setattr(capture, "WINDOW", window)
    assert chosen(packets, FLOWS[SMB]) == frames
    assert len(frames) == 20 * 9


def test_batches_before_the_first_wanted_frame_are_not_looked_into(chosen, monkeypatch):
    monkeypatch.setattr(capture, "WINDOW", 1000)
    packets = [tcp(SMB) for _ in range(60)]
    taken = chosen(packets, FLOWS[SMB]._replace(first_frame=50))
    assert taken[-11:] == list(range(50, 61))
    assert taken[0] > 1


# frames by their numbers


@pytest.fixture
def three(write) -> Path:
    return write(pcap(talk(SMB, "S <SA A")))


@pytest.mark.parametrize("frames", [[1], [2], [3], [1, 3], [1, 2, 3], []])
def test_exactly_the_frames_that_are_named(frames, three):
    assert [one.frame for one in frames_of(three, frames)] == frames


def test_in_the_order_of_the_file_and_each_once(three):
    assert [one.frame for one in frames_of(three, [3, 1, 3])] == [1, 3]


@pytest.mark.parametrize("frames", [[4], [2, 4, 99], [0, 2]])
def test_frames_that_are_not_there_are_left_out(frames, three):
    assert [one.frame for one in frames_of(three, frames)] == [one for one in frames if one in (1, 2, 3)]


@pytest.mark.parametrize("window", [300, 1000, 100_000])
def test_frames_of_any_batch(window, write, monkeypatch):
    path = write(pcap([tcp(SMB, seq=number) for number in range(200)]))
    monkeypatch.setattr(capture, "WINDOW", window)
    assert [one.frame for one in frames_of(path, [1, 2, 17, 99, 100, 200])] == [1, 2, 17, 99, 100, 200]


def test_a_record_holds_what_the_capture_holds(write):
    packet = ethernet(tcp(SMB, payload=100))
    path = write(
        pcapng(interface(resolution=9), enhanced(packet[:60], BEGIN * 10**9 + 123_456_789, original=len(packet)))
    )
    assert list(frames_of(path, [1])) == [Record(1, BEGIN * 10**9 + 123_456_789, 1, len(packet), packet[:60])]


# written and read back


def written(records: Iterable[Record], comments: Iterable[str] = ()) -> bytes:
    out = io.BytesIO()
    write_pcapng(out, records, comments)
    return out.getvalue()


def read_back(path: Path, count: int) -> list[Record]:
    return list(frames_of(path, range(1, count + 1)))


records = st.lists(
    st.builds(
        Record,
        frame=st.just(0),
        time_ns=st.integers(0, 2**62),
        link_type=st.sampled_from(sorted({link.number for link in LINKS.values()})),
        original=st.integers(0, 70_000),
        data=st.binary(min_size=1, max_size=90),
    ),
    max_size=8,
)


@given(found=records)
def test_what_was_written_reads_back_the_same(found, write):
    numbered = [
        one._replace(frame=number, original=max(one.original, len(one.data))) for number, one in enumerate(found, 1)
    ]
    path = write(written(numbered))
    assert read_back(path, len(numbered)) == numbered
    path.unlink()


def test_the_frame_numbers_are_told_in_the_order_written(three):
    out = io.BytesIO()
    assert write_pcapng(out, frames_of(three, [1, 3])) == [1, 3]


@pytest.mark.parametrize("link", LINKS.values(), ids=LINKS)
def test_a_copy_has_the_same_flows(link, read, write):
    path = write(pcap(talk(SMB, TALK), link, nano=True))
    original = read(path.read_bytes()).flows
    copied = read(written(frames_of(path, select(path, [FLOWS[SMB]], known_tunnels()).frames))).flows
    assert copied.drop(columns="source").equals(original.drop(columns="source"))


def test_several_link_types_in_one_file(write):
    parts = [write(pcap(talk(SMB, "S <SA"), link)) for link in (LINKS["Ethernet"], LINKS["raw IP"], LINKS["802.11"])]
    found = [record for part in parts for record in frames_of(part, [1, 2])]
    assert [one.link_type for one in read_back(write(written(found)), 6)] == [1, 1, 101, 101, 105, 105]


def test_a_time_before_1970_becomes_the_first_there_is(write):
    path = write(written([Record(1, -5, 1, 60, bytes(60))]))
    assert [one.time_ns for one in read_back(path, 1)] == [0]


def test_a_copy_of_a_fragment_and_of_a_tunnel_is_the_same_bytes(write):
    packets = [ip_in_ip(tcp(SMB)), ip("10.0.0.5 > 10.0.0.20", 6, bytes(30), fragment=0x2000)]
    path = write(pcap(packets))
    found = list(frames_of(path, [1, 2]))
    assert [one.data for one in found] == [ethernet(packet) for packet in packets]
    assert read_back(write(written(found)), 2) == found


# as Wireshark reads it

COMMENTS = ["first", "zwei Wörter", "three\nlines\nof it", "x" * 70_000, ""]


def test_wireshark_shows_times_lengths_and_comments(tshark, write, tmp_path):
    times = [BEGIN * 10**9 + number * 111_111_111 for number in range(5)]
    packets = [ethernet(tcp(SMB, payload=size)) for size in range(5)]  # every length that needs another padding
    found = [Record(1, time, 1, len(one) + 7, one) for time, one in zip(times, packets, strict=True)]
    path = write(written(found, COMMENTS))
    columns = ("frame.time_epoch", "frame.cap_len", "frame.len", "frame.comment")
    done = subprocess.run(
        [tshark, "-n", "-r", str(path), *ONE_VALUE, *(word for one in columns for word in ("-e", one))],
        env={**os.environ, "WIRESHARK_CONFIG_DIR": str(tmp_path)},
        capture_output=True,
        text=True,
        check=True,
    )
    rows = [line.split("\t") for line in done.stdout.splitlines()]
    assert [row[0] for row in rows] == [f"{time // 10**9}.{time % 10**9:09}" for time in times]
    assert [row[1:3] for row in rows] == [[str(len(one)), str(len(one) + 7)] for one in packets]
    assert [row[3].replace("\\n", "\n") for row in rows[:3]] == COMMENTS[:3]
    assert [row[3].strip("x") for row in rows[3:]] == ["", ""]
