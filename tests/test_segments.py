"""Reading in batches: however a capture is cut into batches, lanes or windows, the flows are the same."""

from __future__ import annotations

import struct
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from packets import BEGIN, FLAGS, Link, enhanced, interface, pcap, pcapng, talk, udp

from auditor import segments
from auditor.segments import Partial, Streams
from auditor.sources import capture, chain
from auditor.sources import pcap as pcap_container
from auditor.sources import pcapng as pcapng_container
from auditor.sources.capture import CaptureReader
from auditor.sources.packets import Packets
from auditor.sources.window import PADDING

# A packet: who (one of three five-tuples, either way), flags, sequence number, payload. Few values, so that they meet.
FIVE_TUPLES = [((1, 50000), (2, 445)), ((1, 500), (2, 500)), ((3, 135), (1, 50001))]
FLAG_SETS = ["S", "SA", "A", "PA", "FA", "R", "RA", ""]
PACKET = st.tuples(
    st.sampled_from(FIVE_TUPLES),
    st.booleans(),
    st.sampled_from(FLAG_SETS),
    st.integers(0, 3),
    st.integers(0, 3),
    st.sampled_from([0, 0, 9]),
)
PACKETS = st.lists(PACKET, min_size=1, max_size=30)


def table(packets: list[Any]) -> Packets:
    """Return the packets as the columns that the packet reader makes."""
    rows = []
    for (a, b), turn, flags, sequence, acknowledged, payload in packets:
        (src, sport), (dst, dport) = (b, a) if turn else (a, b)
        bits = sum(FLAGS[letter] for letter in flags)
        rows.append((src << 32 | dst, sport << 16 | dport, bits, sequence, acknowledged, payload))
    pair, ports, flags, sequence, acknowledged, payload = (list(column) for column in zip(*rows, strict=True))
    count = len(rows)
    return Packets(
        frame=np.arange(1, count + 1),
        time_ns=np.arange(count) * 1000,
        pair=np.array(pair, np.uint64),
        version=np.full(count, 4, np.uint8),
        ports=np.array(ports, np.uint32),
        size=np.full(count, 60),
        payload=np.array(payload, np.int64),
        flags=np.array(flags, np.uint8),
        sequence=np.array(sequence, np.uint32),
        acknowledged=np.array(acknowledged, np.uint32),
        kind=np.zeros(count, np.uint16),
        hop_count=np.arange(count) % 3 + 62,
        ip_id=np.arange(count) + 500,
    )


def joined(partials: list[Partial], data: st.DataObject) -> Partial:
    """Join neighbours, in an order that chance decides, until one is left."""
    while len(partials) > 1:
        at = data.draw(st.integers(0, len(partials) - 2), label="join")
        partials[at : at + 2] = [partials[at].absorb(partials[at + 1])]
    return partials[0]


def described(streams: Streams) -> list[dict[str, Any]]:
    told = [name for name in streams.columns if not name.startswith(("base", "override"))]  # how, not what
    columns = {name: streams.columns[name].tolist() for name in told}
    return [
        {name: column[flow] for name, column in columns.items()}
        | {"state": int(streams.state[flow]), "flipped": bool(streams.flipped[flow])}
        for flow in range(len(streams))
    ]


def events(streams: Streams) -> list[list[tuple[int, ...]]]:
    begin, names = streams.event_begin.tolist(), ("frame", "packet", "hop_count", "ip_id")
    told = list(zip(*(streams.events[name].tolist() for name in names), strict=True))
    return [told[begin[flow] : begin[flow + 1]] for flow in range(len(streams))]


@settings(max_examples=400)
@given(PACKETS, st.data())
def test_any_split_joined_in_any_grouping_equals_the_whole(packets, data):
    cuts = sorted(data.draw(st.sets(st.integers(1, len(packets))), label="cuts"))
    whole = segments.finish(segments.partial(table(packets)))
    all_of_them = table(packets)
    parts = [
        segments.partial(all_of_them.select(slice(begin, end)))
        for begin, end in zip([0, *cuts], [*cuts, len(packets)], strict=True)
    ]
    split = segments.finish(joined(parts, data))
    assert described(split) == described(whole)
    assert events(split) == events(whole)


@given(PACKETS)
def test_every_packet_is_in_exactly_one_flow(packets):
    streams = segments.finish(segments.partial(table(packets)))
    assert int(streams.columns["frames_a"].sum() + streams.columns["frames_b"].sum()) == len(packets)


ECHO = st.tuples(st.sampled_from([((1, 7), (2, 7)), ((1, 7), (1, 7))]), st.booleans(), st.booleans(), st.integers(0, 3))


@given(st.lists(ECHO, min_size=1, max_size=30), st.data())
def test_any_split_of_pings_joined_in_any_grouping_equals_the_whole(echoes, data):
    packets = table([(who, turn, "A" * reply, number, 0, 9) for who, turn, reply, number in echoes])
    cuts = sorted(data.draw(st.sets(st.integers(1, len(echoes))), label="cuts"))
    whole = segments.finish(segments.partial(packets, echo=True), echo=True)
    parts = [
        segments.partial(packets.select(slice(begin, end)), echo=True)
        for begin, end in zip([0, *cuts], [*cuts, len(echoes)], strict=True)
    ]
    split = segments.finish(joined(parts, data), echo=True)
    assert described(split) == described(whole)
    assert events(split) == events(whole)


def test_nothing_joined_with_nothing_is_nothing():
    assert len(segments.finish(Partial().absorb(Partial()))) == 0


@given(PACKETS)
def test_nothing_changes_when_nothing_is_joined(packets):
    whole = segments.finish(segments.partial(table(packets)))
    padded = Partial().absorb(segments.partial(table(packets))).absorb(Partial())
    assert described(segments.finish(padded)) == described(whole)


# lanes


def layouts(content: bytes) -> tuple[chain.Format, bytearray, int, int]:
    """Return how to walk a capture: its layout, its bytes, and where its records begin and end."""
    window = _Held(content)
    container = pcapng_container if content[:4] == pcapng_container.PCAPNG_MAGIC else pcap_container
    window.begin = 0 if container is pcapng_container else pcap_container.FILE_HEAD
    return container.layout(window, "<"), window.data, window.begin, len(content)


class _Held:
    """A whole capture in memory, as the reader's window holds it."""

    def __init__(self, content: bytes) -> None:
        self.data = bytearray(content + PADDING)
        self.bytes = np.frombuffer(self.data, np.uint8)
        self.begin, self.end = 0, len(content)


SIZES = st.lists(st.integers(0, 400), min_size=1, max_size=200)
LYING = bytes(range(256)) + struct.pack("<IIII", BEGIN, 5, 60, 60) * 4  # payload that looks like record headers


def packed(kind: str, sizes: list[int]) -> bytes:
    frames = [(LYING * 2)[number % 16 :][:size] for number, size in enumerate(sizes)]
    if kind == "pcap":
        return pcap(frames, Link(1))
    return pcapng(interface(), *(enhanced(frame) for frame in frames))


@settings(max_examples=150)
@given(
    kind=st.sampled_from(["pcap", "pcapng"]),
    sizes=SIZES,
    lane=st.sampled_from([256, 700, 4096]),
    cut=st.integers(0, 40),
)
def test_lanes_find_what_one_walker_finds(kind, sizes, lane, cut):
    content = packed(kind, sizes)
    content = content[: max(len(content) - cut, 28)]
    layout, data, begin, end = layouts(content)
    plain = chain._walk_one(layout, begin, end)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(chain, "WORTH_LANES", 0)
        patch.setattr(chain, "LANE_BYTES", lane)
        patch.setattr(chain, "GUESS_WINDOW", min(lane, 512))
        fast = chain.walk(layout, data, begin, end)
    assert (fast.starts.tolist(), fast.end, fast.broken) == (plain.starts.tolist(), plain.end, plain.broken)


@settings(max_examples=60)
@given(sizes=SIZES, at=st.integers(0, 20_000), value=st.integers(0, 255))
def test_lanes_stop_where_one_walker_stops_at_damage(sizes, at, value):
    content = bytearray(packed("pcap", sizes))
    content[24 + at % max(1, len(content) - 24) - (len(content) <= 24)] = value
    layout, data, begin, end = layouts(bytes(content))
    plain = chain._walk_one(layout, begin, end)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(chain, "WORTH_LANES", 0)
        patch.setattr(chain, "LANE_BYTES", 512)
        patch.setattr(chain, "GUESS_WINDOW", 512)
        fast = chain.walk(layout, data, begin, end)
    assert (fast.starts.tolist(), fast.end, fast.broken) == (plain.starts.tolist(), plain.end, plain.broken)


# windows


def frames(path: Any) -> list[tuple[int, int, bytes]]:
    return [
        (int(frame), int(time), batch.data[start : start + size].tobytes())
        for batch in CaptureReader(path)
        for frame, time, start, size in zip(batch.frame, batch.time_ns, batch.start, batch.captured, strict=True)
    ]


@pytest.mark.parametrize("window", [1000, 1024, 4099])
@pytest.mark.parametrize("kind", ["pcap", "pcapng"])
def test_the_window_does_not_change_what_is_read(window, kind, monkeypatch, write):
    path = write(packed(kind, list(range(0, 400, 7))))
    whole = frames(path)
    monkeypatch.setattr(capture, "WINDOW", window)
    assert frames(path) == whole


def test_the_window_does_not_change_the_flows(monkeypatch, read):
    packets = [
        packet
        for port in range(50_000, 50_040)
        for packet in talk(f"10.0.0.1:{port} > 10.0.0.5:445", "S <SA A FA <FA A")
    ]
    packets += [udp("10.0.0.1:50000 > 10.0.0.5:53")] * 50
    whole = read(packets).flows.drop(columns="source")
    monkeypatch.setattr(capture, "WINDOW", 1000)
    assert read(packets).flows.drop(columns="source").equals(whole)
