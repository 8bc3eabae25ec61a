"""Containers: every packet of a pcap or pcapng file, plain or gzipped, and the truth about what could not be read."""

from __future__ import annotations

import gzip
import struct
import subprocess
from pathlib import Path

import pytest
from packets import (
    BEGIN,
    ETHERNET,
    RAW,
    At,
    Link,
    block,
    enhanced,
    ethernet,
    interface,
    obsolete,
    pcap,
    pcapng,
    simple,
    talk,
    tcp,
    told,
)
from waiting import PATIENCE

from auditor.errors import SourceError
from auditor.sources.capture import pcapng as pcapng_container
from auditor.sources.capture import reader as capture
from auditor.sources.capture import record_scan as chain
from auditor.sources.capture.reader import CaptureReader
from auditor.sources.files import gzip_stream as gzipped
from auditor.sources.files.window import Window

pytestmark = pytest.mark.slow

WHO = "10.0.0.1:50000 > 10.0.0.5:445"
SYN = tcp("10.0.0.1:50000 > 10.0.0.5:445")
FRAME = ethernet(SYN)
LONG = ethernet(tcp("10.0.0.1:50000 > 10.0.0.5:445", "PA", payload=101))
TICKS = BEGIN * 1_000_000

MICRO, NANO = 10**3, 1
BINARY = 0x80 | 20  # if_tsresol: units of 1/2**20 second

# Containers of two packets, FRAME at +0.25 s and LONG at +1.75 s.
TIMES = (0.25, 1.75)
TWO = [At(TIMES[0], SYN), At(TIMES[1], LONG[14:])]


def two(resolution: int | None, per_second: int, offset: int = 0, order: str = "<") -> bytes:
    """Return a pcapng file of the two packets, with times in these units."""
    ticks = [(BEGIN - offset) * per_second + round(seconds * per_second) for seconds in TIMES]
    described = interface(resolution=resolution, offset=offset or None)
    return pcapng(described, enhanced(FRAME, ticks[0]), enhanced(LONG, ticks[1]), order=order)


CONTAINERS = {
    "pcap": pcap(TWO),
    "pcap, big-endian": pcap(TWO, order=">"),
    "pcap, nanoseconds": pcap(TWO, nano=True),
    "pcap, big-endian, nanoseconds": pcap(TWO, order=">", nano=True),
    "pcapng": two(None, 10**6),
    "pcapng, big-endian": two(None, 10**6, order=">"),
    "pcapng, nanoseconds": two(9, 10**9),
    "pcapng, milliseconds": two(3, 10**3),
    "pcapng, binary fractions": two(BINARY, 2**20),
    "pcapng, times with an offset": two(6, 10**6, offset=1_000_000_000),
    "pcapng, obsolete packet blocks": pcapng(
        interface(), obsolete(FRAME, TICKS + 250_000), obsolete(LONG, TICKS + 1_750_000)
    ),
    "pcapng, blocks that are no packets": pcapng(
        interface(),
        block(0x80000001, b"a block of a vendor"),
        enhanced(FRAME, TICKS + 250_000),
        block(5, bytes(12)),
        enhanced(LONG, TICKS + 1_750_000),
        block(4, bytes(4)),
    ),
    "pcapng, two interfaces": pcapng(
        interface(resolution=3),
        interface(resolution=9),
        enhanced(FRAME, BEGIN * 10**9 + 250_000_000, interface=1),
        enhanced(LONG, BEGIN * 10**3 + 1_750, interface=0),
    ),
    "pcapng, two sections": pcapng(interface(resolution=9), enhanced(FRAME, BEGIN * 10**9 + 250_000_000))
    + pcapng(interface(), enhanced(LONG, TICKS + 1_750_000)),
    "pcapng, sections of either byte order": pcapng(interface(), enhanced(FRAME, TICKS + 250_000), order=">")
    + pcapng(interface(), enhanced(LONG, TICKS + 1_750_000), order="<"),
}


def records(path: Path) -> list[tuple[int, int, bytes, int]]:
    """Return frame number, nanoseconds since BEGIN, bytes and length on the wire of each packet."""
    result = []
    for batch in CaptureReader(path):
        for frame, time, start, captured, original in zip(
            batch.frame, batch.time_ns, batch.start, batch.captured, batch.original, strict=True
        ):
            bytes_ = batch.data[start : start + captured].tobytes()
            result.append((int(frame), int(time) - BEGIN * 10**9, bytes_, int(original)))
    return result


@pytest.mark.parametrize("name", CONTAINERS)
@pytest.mark.parametrize("pack", [bytes, gzip.compress], ids=["plain", "gzipped"])
def test_the_same_two_packets_come_out_of_every_container(name, pack, write):
    assert records(write(pack(CONTAINERS[name]))) == [
        (1, 250_000_000, FRAME, len(FRAME)),
        (2, 1_750_000_000, LONG, len(LONG)),
    ]


@pytest.mark.parametrize("name", CONTAINERS)
def test_wireshark_reads_the_same_out_of_every_container(name, write, tshark):
    path = write(CONTAINERS[name])
    fields = ("frame.number", "frame.time_epoch", "frame.cap_len", "frame.len")
    command = [
        tshark,
        "-n",
        "-r",
        path,
        "-T",
        "fields",
        *(word for field in fields for word in ("-e", field)),
    ]
    lines = subprocess.run(command, capture_output=True, check=True, text=True, timeout=PATIENCE).stdout.splitlines()
    ours = [[frame, BEGIN + time / 1e9, len(content), wire] for frame, time, content, wire in records(path)]
    assert [[float(value) for value in line.split()] for line in lines] == ours


def test_a_source_says_what_it_is(read):
    source = read(CONTAINERS["pcapng"])
    assert (source.kind, source.format, source.records, source.skipped, source.warnings) == (
        "capture",
        "pcapng",
        2,
        0,
        (),
    )
    assert (source.first_ns, source.last_ns) == (BEGIN * 10**9 + 250_000_000, BEGIN * 10**9 + 1_750_000_000)


def test_a_gzipped_source_says_so(read):
    assert read(gzip.compress(CONTAINERS["pcap"])).format == "pcap (gzip)"


def test_a_gzip_file_of_several_members_is_read_to_its_end(read):
    whole = CONTAINERS["pcap"]
    assert read(gzip.compress(whole[:50]) + gzip.compress(whole[50:])).records == 2


def test_first_and_last_time_are_the_earliest_and_the_latest(read):
    source = read([At(5, SYN), At(1, SYN), At(9, SYN), At(2, SYN)])
    assert (source.first_ns, source.last_ns) == ((BEGIN + 1) * 10**9, (BEGIN + 9) * 10**9)


def test_a_packet_cut_by_the_snap_length_counts_as_long_as_it_was(read):
    flow = read([LONG[14:]], snap=60).flows.iloc[0]
    assert (flow.bytes_src, flow.payload_src) == (len(LONG), 101)


def test_interfaces_of_different_link_types_in_one_file(read):
    there, back = talk("10.0.0.1:50000 > 10.0.0.5:445", "S <SA")
    source = read(
        pcapng(
            interface(ETHERNET),
            interface(RAW),
            enhanced(ethernet(there)),
            enhanced(back, TICKS + 1, interface=1),
        )
    )
    assert told(source.flows) == ["10.0.0.1:50000 > 10.0.0.5:445/tcp S1 answered"]


def test_interfaces_are_those_of_their_own_section(read):
    source = read(
        pcapng(interface(RAW), enhanced(SYN)) + pcapng(interface(ETHERNET), enhanced(FRAME), order=">"),
    )
    assert (source.records, source.flows.frames_src.tolist()) == (2, [2])


# packets without a time


def test_a_simple_packet_takes_the_time_of_the_one_before(write):
    path = write(pcapng(interface(), enhanced(FRAME, TICKS + 250_000), simple(FRAME), simple(FRAME)))
    assert [time for _, time, _, _ in records(path)] == [250_000_000] * 3


def test_packets_without_a_time_are_told(read):
    assert codes(read(pcapng(interface(), simple(FRAME)))) == ["no-times"]


def test_a_simple_packet_is_as_long_as_the_snap_length_allows(write):
    path = write(pcapng(interface(snap=20), simple(FRAME[:20], original=len(FRAME))))
    assert [(content, wire) for _, _, content, wire in records(path)] == [(FRAME[:20], len(FRAME))]


# files that end early


def codes(source) -> list[str]:
    return [warning.code for warning in source.warnings]


@pytest.mark.parametrize("left", [1, 15, 16, 17, len(FRAME) + 15])
def test_a_pcap_cut_in_mid_packet_keeps_what_is_whole(left, read):
    whole = pcap([SYN, SYN])
    source = read(whole[: 24 + 16 + len(FRAME) + left])
    assert (source.records, source.skipped, codes(source)) == (1, 1, ["cut-short"])


@pytest.mark.parametrize("left", [1, 4, 11, 12, 40, len(enhanced(FRAME)("<")) - 1])
def test_a_pcapng_cut_in_mid_packet_keeps_what_is_whole(left, read):
    one = pcapng(interface(), enhanced(FRAME))
    source = read(one + enhanced(FRAME)("<")[:left])
    assert (source.records, source.skipped, codes(source)) == (1, 1, ["cut-short"])


def test_a_gzip_file_that_ends_early_keeps_what_came_before(read):
    whole = gzip.compress(pcap([SYN] * 50 + [tcp(f"10.0.0.1:{port} > 10.0.0.5:445") for port in range(999)]))
    source = read(whole[: len(whole) // 2])
    assert source.records > 50
    assert "cut-short" in codes(source)


@pytest.mark.parametrize("content", [pcap([]), pcapng(), pcapng(interface())], ids=["pcap", "pcapng", "interface only"])
def test_a_file_without_packets_is_told(content, read):
    source = read(content)
    assert (source.records, source.skipped, codes(source)) == (0, 0, ["no-packets"])
    assert (source.first_ns, source.last_ns) == (None, None)


@pytest.mark.parametrize("size", [5, 20, 23])
def test_a_file_cut_inside_its_header_is_told(size, read):
    assert codes(read(pcap([SYN])[:size])) == ["cut-short", "no-packets"]


# damage


@pytest.mark.parametrize("length", [262_145, 2**31, 2**32 - 1])
@pytest.mark.parametrize("order", ["<", ">"])
def test_a_pcap_record_of_absurd_length_ends_the_reading(length, order, read):
    absurd = struct.pack(order + "IIII", BEGIN, 0, length, length) + FRAME
    source = read(pcap([SYN], order=order) + absurd)
    assert (source.records, source.skipped, codes(source)) == (1, 1, ["damaged"])


@pytest.mark.parametrize("length", [0, 8, 13, 2**31, 2**32 - 1])
def test_a_pcapng_block_of_absurd_length_ends_the_reading(length, read):
    source = read(pcapng(interface(), enhanced(FRAME)) + struct.pack("<II", 6, length) + bytes(40))
    assert (source.records, source.skipped, codes(source)) == (1, 1, ["damaged"])


def test_a_pcapng_packet_that_claims_more_than_its_block_is_skipped(read):
    lying = bytearray(enhanced(FRAME)("<"))
    struct.pack_into("<I", lying, 20, 60_000)
    source = read(pcapng(interface(), enhanced(FRAME)) + bytes(lying) + enhanced(FRAME)("<"))
    assert (source.records, source.skipped, codes(source)) == (2, 1, ["damaged"])


def test_a_pcapng_block_that_swallows_the_next_is_damage(read):
    first, second = enhanced(FRAME)("<"), enhanced(FRAME)("<")
    swallowing = struct.pack("<II", 6, len(first) + len(second)) + first[8:] + second
    source = read(pcapng(interface()) + swallowing + enhanced(FRAME)("<"))
    assert (source.records, codes(source)[:1]) == (0, ["damaged"])


def test_a_packet_of_an_interface_that_is_not_described_counts_as_a_frame(read):
    source = read(pcapng(interface(), enhanced(FRAME, interface=3), enhanced(FRAME)))
    assert (source.records, source.flows.first_frame.tolist()) == (2, [2])
    assert "unknown-interface" in codes(source)


def test_a_link_type_that_nobody_knows_is_told(read):
    source = read([bytes(60)], Link(147))
    assert (source.records, codes(source)) == (1, ["unknown-link-type"])


def test_reserved_bits_of_the_link_type_are_told(read):
    content = bytearray(pcap([SYN]))
    content[22] |= 0x30
    source = read(bytes(content))
    assert (told(source.flows), codes(source)) == (
        ["10.0.0.1:50000 > 10.0.0.5:445/tcp S0 no-response"],
        ["odd-header"],
    )


def test_a_later_section_of_an_unknown_version_ends_the_reading(read):
    second = bytearray(pcapng(interface(), enhanced(FRAME)))
    struct.pack_into("<H", second, 12, 9)
    source = read(pcapng(interface(), enhanced(FRAME)) + bytes(second))
    assert (source.records, source.skipped, codes(source)) == (1, 1, ["damaged"])


@pytest.mark.parametrize("kind", [9, 0x0BAD, 0x40000BAD], ids=["journal entry", "custom", "custom, not to be copied"])
def test_a_block_that_wireshark_counts_though_it_is_no_packet_keeps_its_number(kind, read):
    source = read(pcapng(interface(), block(kind, b"\0\0\x7e\x3b" + bytes(40)), enhanced(FRAME)))
    assert (source.records, source.flows.first_frame.tolist()) == (2, [2])


# how a file is read does not matter


def test_gzip_of_many_pieces_of_nothing_is_stopped(monkeypatch, read):
    """Each piece costs as much as thousands of bytes, however little it holds."""
    monkeypatch.setattr(gzipped, "MOST_TINY_MEMBERS", 100)
    source = read(gzip.compress(pcap(talk(WHO, "S <SA A"))) + gzip.compress(b"") * 200)
    assert [one.code for one in source.warnings] == ["expands-too-much"]
    assert source.records == 3


def test_zeros_behind_gzip_data_mean_nothing(read):
    assert read(gzip.compress(pcap(talk(WHO, "S <SA A"))) + bytes(100_000)).warnings == ()


def test_changes_of_byte_order_do_not_cost_a_look_at_the_rest_of_the_file(monkeypatch, read):
    """As many packets in ten times as many sections: what is looked at ahead must not grow with their number."""
    looked_at = 0
    plain = pcapng_container.layout

    def counting(window: Window, order: str) -> chain.Format:
        found = plain(window, order)

        def sizes(at: chain.Positions) -> chain.Positions:
            nonlocal looked_at
            looked_at += len(at)
            return found.sizes(at)

        return found._replace(sizes=sizes)

    def cost(sections: int) -> int:
        nonlocal looked_at
        looked_at = 0
        frame = enhanced(ethernet(tcp(WHO)))
        parts = [pcapng(interface(), order=order) + frame(order) * (40_000 // sections) for order in "<>"]
        assert read(b"".join(parts) * (sections // 2)).records == 40_000 // sections * sections
        return looked_at

    monkeypatch.setattr(pcapng_container, "layout", counting)
    assert cost(40) < 3 * cost(4)


@pytest.mark.parametrize("ticks", [2**64 - 1, 10_000_000_000])
def test_a_time_that_does_not_fit_is_told_and_never_a_wrong_date(ticks, read):
    first, odd, last = (enhanced(ethernet(tcp(WHO)), when) for when in (BEGIN, ticks, BEGIN + 1))
    for blocks in ([first, odd, last], [odd, first, last]):
        source = read(pcapng(interface(resolution=0), *blocks))
        assert [(one.code, one.text[:9]) for one in source.warnings] == [("no-times", "1 packet ")]
        assert (source.first_ns, source.last_ns) == (BEGIN * 10**9, (BEGIN + 1) * 10**9)


def test_interfaces_are_limited_by_section(monkeypatch, read):
    monkeypatch.setattr(pcapng_container, "MOST_INTERFACES", 2)
    frame = ethernet(tcp(WHO))
    section = pcapng(*[interface()] * 3, *[enhanced(frame, interface=number) for number in range(3)])
    source = read(section * 3)
    assert [(one.code, one.text[:9]) for one in source.warnings] == [("unknown-interface", "3 packets")]
    assert source.flows["frames_src"].tolist() == [6]


def test_gzip_that_expands_without_end_is_stopped(monkeypatch, read):
    monkeypatch.setattr(gzipped, "FREE", 100_000)
    zeros = struct.pack("<IIII", BEGIN, 0, 200_000, 200_000) + bytes(200_000)
    assert "expands-too-much" in codes(read(gzip.compress(pcap([SYN]) + zeros * 50)))


@pytest.mark.parametrize("name", CONTAINERS)
def test_the_size_of_the_window_does_not_matter(name, monkeypatch, write):
    path = write(CONTAINERS[name])
    whole = records(path)
    for size in (200, 201, 203, 230, 257):
        monkeypatch.setattr(capture, "WINDOW", size)
        assert records(path) == whole


def test_half_a_magic_number_is_no_capture(read):
    with pytest.raises(SourceError):
        read(b"\xd4\xc3")
