"""Reading in batches: however a capture is cut into batches, lanes or windows, the flows are the same."""

from __future__ import annotations

import itertools
import struct
from collections import Counter
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from packets import BEGIN, FLAGS, Link, enhanced, interface, pcap, pcapng, talk, udp

from auditor.sources.capture import pcap as pcap_container
from auditor.sources.capture import pcapng as pcapng_container
from auditor.sources.capture import reader as capture
from auditor.sources.capture import record_scan as chain
from auditor.sources.capture.packets import Packets
from auditor.sources.capture.reader import CaptureReader
from auditor.sources.files.window import PADDING
from auditor.sources.flows import assembly as segments
from auditor.sources.flows.assembly import PartialFlows, Streams

pytestmark = pytest.mark.slow

# A packet: who (one of three five-tuples, either way), flags, sequence number, payload. Few values, so that they meet.
FIVE_TUPLES = [((1, 50000), (2, 445)), ((1, 500), (2, 500)), ((3, 135), (1, 50001))]
FLAG_SETS = ["S", "SA", "A", "PA", "FA", "R", "RA", "", "S!", "SA!"]  # "!" is a broken header
PACKET = st.tuples(
    st.sampled_from(FIVE_TUPLES),
    st.booleans(),
    st.sampled_from(FLAG_SETS),
    st.integers(0, 3),
    st.integers(0, 3),
    st.sampled_from([0, 0, 9]),
)
PACKETS = st.lists(PACKET, min_size=1, max_size=30)


def hops_of(place: Any) -> Any:
    """Return the hop count of the packet at a place."""
    return place % 3 + 62


def table(packets: list[Any]) -> Packets:
    """Return the packets as the columns that the packet reader makes."""
    rows = []
    for (a, b), turn, flags, sequence, acknowledged, payload in packets:
        (src, sport), (dst, dport) = (b, a) if turn else (a, b)
        bits = sum(FLAGS[letter] for letter in flags.rstrip("!"))
        rows.append((src << 32 | dst, sport << 16 | dport, bits, sequence, acknowledged, payload, "!" in flags))
    pair, ports, flags, sequence, acknowledged, payload, broken = (list(column) for column in zip(*rows, strict=True))
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
        broken=np.array(broken, np.bool_),
        hop_count=hops_of(np.arange(count)),
        ip_id=np.arange(count) + 500,
    )


def joined(partials: list[PartialFlows], data: st.DataObject) -> PartialFlows:
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
    assert len(segments.finish(PartialFlows().absorb(PartialFlows()))) == 0


@given(PACKETS)
def test_nothing_changes_when_nothing_is_joined(packets):
    whole = segments.finish(segments.partial(table(packets)))
    padded = PartialFlows().absorb(segments.partial(table(packets))).absorb(PartialFlows())
    assert described(segments.finish(padded)) == described(whole)


# every short connection, against a reader that takes packet after packet

# Whose packet it is, its flags, sequence number, acknowledgement and payload. Few numbers, so that they meet.
LETTERS = [
    (False, "S", 1, 0, 0),
    (False, "S", 2, 0, 0),
    (True, "S", 1, 0, 0),
    (False, "SA", 2, 2, 0),
    (True, "SA", 1, 2, 0),
    (False, "A", 2, 2, 0),
    (True, "PA", 2, 3, 9),
    (False, "F", 2, 0, 0),
    (True, "R", 3, 0, 0),
    (True, "", 2, 0, 9),
]


def plain(packets: list[Any]) -> list[dict[str, Any]]:
    """Put packets into flows one by one: what each flow holds, in the order of their first frames.

    As in Wireshark a SYN begins a new flow if its number is not the one that its side is counted from: that of the
    first SYN or SYN-ACK, one less than that of another first packet, or than the other side's acknowledgement.
    """
    flows: list[dict[str, Any]] = []
    current: dict[object, dict[str, Any]] = {}
    for place, (first, second, turn, flags, sequence, acknowledged, payload) in enumerate(packets):
        sender, receiver = (second, first) if turn else (first, second)
        (a, b), side = (
            ((sender, receiver), 0)
            if (sender[1], sender[0]) >= (receiver[1], receiver[0])
            else (
                (receiver, sender),
                1,
            )
        )
        syn, ack, control = "S" in flags, "A" in flags, bool(set(flags) & set("SFR"))
        flow = current.get((a, b))
        opens = syn and not ack
        if flow is None or (opens and flow["base"][side] not in (None, sequence)):
            flow = {"first_frame": place + 1, "ends": (a, b), "base": [None, None], "counts": Counter(), "events": []}
            flow |= {"start": place * 1000, "syn_side": side if opens else -1, "syn_number": sequence if opens else -1}
            flow["kinds"] = set()
            current[a, b] = flow
            flows.append(flow)
        if flow["base"][side] is None or (syn and ack):
            flow["base"][side] = sequence if syn else sequence - 1
        if ack and flow["base"][1 - side] is None:
            flow["base"][1 - side] = acknowledged - 1
        flow["end"] = place * 1000
        name = "ab"[side]
        flow["counts"].update({f"frames_{name}": 1, f"bytes_{name}": 60, f"payload_{name}": payload})
        flow["counts"].update({f"{what}_{name}": 1 for what, has in told_by(flags).items() if has})
        kind = (side, ack, payload > 0)
        if control or kind not in flow["kinds"]:
            flow["events"].append(place + 1)
        flow["kinds"] |= set() if control else {kind}
    return flows


def told_by(flags: str) -> dict[str, bool]:
    syn, ack = "S" in flags, "A" in flags
    return {"syn": syn and not ack, "syn_ack": syn and ack, "fin": "F" in flags, "rst": "R" in flags}


def short_connections(length: int) -> list[Any]:
    """Return all connections of so many letters at once, each with hosts of its own: first packets first."""
    every = list(itertools.product(LETTERS, repeat=length))
    ends = [
        (((2 * n + 1, 50000), (2 * n + 2, 445)), ((2 * n + 1, 500), (2 * n + 2, 500)))[n % 3 == 0]
        for n in range(len(every))
    ]
    return [(*ends[n], *letters[place]) for place in range(length) for n, letters in enumerate(every)]


@pytest.fixture(scope="module")
def connections() -> list[Any]:
    return short_connections(4)


def test_every_short_connection_is_as_a_plain_reader_has_it(connections):
    found = segments.finish(segments.partial(table([((a, b), *rest) for a, b, *rest in connections])))
    compare(found, connections)


@pytest.mark.parametrize("batches", [4, 2, 7])
def test_every_short_connection_is_the_same_in_batches(connections, batches):
    packets = table([((a, b), *rest) for a, b, *rest in connections])
    size = -(-len(connections) // batches)
    whole = PartialFlows()
    for begin in range(0, len(connections), size):
        whole.absorb(segments.partial(packets.select(slice(begin, begin + size))))
        whole.settle()
    compare(segments.finish(whole), connections)


def compare(found: Streams, packets: list[Any]) -> None:
    expected = plain(packets)
    assert len(found) == len(expected)
    for name in ("first_frame", "start", "end", "syn_side", "syn_number"):
        assert found.columns[name].tolist() == [one[name] for one in expected]
    for what in ("frames", "bytes", "payload", "syn", "syn_ack", "fin", "rst"):
        for side in "ab":
            counted = [one["counts"][f"{what}_{side}"] for one in expected]
            assert found.columns[f"{what}_{side}"].tolist() == counted
    assert [[frame for frame, *_ in one] for one in events(found)] == [one["events"] for one in expected]
    ends = [
        (int(pair) >> 32, int(ports) >> 16)
        for pair, ports in zip(found.columns["pair"], found.columns["ports"], strict=True)
    ]
    assert ends == [one["ends"][0] for one in expected]


def test_a_connection_in_many_batches_is_kept_as_one_piece():
    """Else a connection would need more memory the longer it lasts."""
    letters = ["S", "S", "SA", "A", "PA", "S", "A", "FA", "FA"]
    packets = table([(FIVE_TUPLES[0], flags == "SA", flags, 1, 2, 0) for flags in letters])
    whole = PartialFlows()
    for place in range(len(letters)):
        whole.absorb(segments.partial(packets.select(slice(place, place + 1))))
    whole.settle()
    assert whole.segments.length == 2  # a SYN behind a SYN-ACK may be a new connection, until all is read
    assert len(segments.finish(whole)) == 1


def test_a_table_that_grows_row_by_row_is_seldom_copied():
    columns = segments.Columns({"value": np.int64})
    homes = set()
    for number in range(20_000):
        columns.extend({"value": np.array([number])})
        homes.add(columns["value"].__array_interface__["data"][0])
        assert len(columns["value"].base) <= max(1024, number * 3 // 2 + 1)
    assert columns["value"].tolist() == list(range(20_000))
    assert len(homes) < 20


def test_a_capture_of_many_batches_is_put_together_whenever_it_has_doubled(monkeypatch):
    """Each time takes as long as all that was read so far, and until then all of it is kept."""
    monkeypatch.setattr(segments, "SETTLE_AT", 64)
    monkeypatch.setattr(segments, "SETTLE_MOST", 300)
    sizes, settle = [], PartialFlows.settle
    monkeypatch.setattr(PartialFlows, "settle", lambda self: sizes.append(self.segments.length) or settle(self))
    whole = PartialFlows()
    for number in range(1200):
        whole.absorb(segments.partial(table([(((2 * number + 1, 50000), (2, 445)), False, "S", 1, 0, 0)])))
    grown = [later - before for before, later in itertools.pairwise([0, *sizes])]
    limits = [64, *(min(max(64, before), 300) for before in sizes)]
    assert grown == [limit + 1 for limit in limits[: len(grown)]]
    assert len(grown) == 6


def test_a_storm_in_many_batches_is_not_kept_whole_until_the_end(monkeypatch):
    """Of very many packets of one connection most are dropped as soon as there is no room for them."""
    monkeypatch.setattr(segments, "MOST_EVENTS", 4)
    reset = segments.partial(table([(FIVE_TUPLES[0], False, "R", 1, 0, 0)]))
    whole, kept = PartialFlows(), []
    for _ in range(4_000):
        kept.append(whole.absorb(reset).events.length)
    peaks = [before for before, after in itertools.pairwise(kept) if after < before]
    assert peaks == [4 * 256] + [4 * 256 + 2 * 4] * (len(peaks) - 1)
    assert len(peaks) == 3
    found = segments.finish(whole)
    assert (len(events(found)[0]), found.events_dropped) == (4, 3_996)


# every short exchange of pings, against one that is as plain


def plain_echoes(echoes: list[Any]) -> list[list[int]]:
    """Return the frames that tell of each ping: its first request, and the first reply to any of its requests.

    Nothing behind a reply to what was asked before counts. Where no request was captured any reply will do. The first
    request with fewer hops left, as behind a router, tells too.
    """
    frames: dict[object, list[tuple[int, bool, int]]] = {}
    for place, (who, reply, number) in enumerate(echoes):
        frames.setdefault(who, []).append((place + 1, reply, number))
    told = []
    for found in frames.values():
        asked: set[int] = set()
        heard = []
        for frame, reply, number in found:
            heard.append((frame, reply, number))
            if reply and number in asked:
                break
            asked |= set() if reply else {number}
        asking = [(frame, number) for frame, reply, number in heard if not reply]
        requests = [frame for frame, _ in asking]
        behind = [
            frame
            for frame, number in asking
            if number == asking[0][1] and hops_of(frame - 1) < hops_of(asking[0][0] - 1)
        ]
        replies = [frame for frame, reply, number in heard if reply and (number in asked or not requests)]
        told.append(sorted([*requests[:1], *behind[:1], *replies[:1]]))
    return told


@pytest.mark.parametrize("batches", [1, 2, 5, 7])
def test_every_short_exchange_of_pings_is_as_a_plain_reader_has_it(batches):
    letters = list(itertools.product([False, True], [1, 2]))
    every = list(itertools.product(letters, repeat=5))
    whos = [((2 * n + 1, 7), (2 * n + 2, 7)) for n in range(len(every))]
    echoes = [(whos[n], *one[place]) for place in range(5) for n, one in enumerate(every)]
    packets = table([(who, reply, "A" * reply, number, 0, 9) for who, reply, number in echoes])
    size, whole = -(-len(echoes) // batches), PartialFlows()
    for begin in range(0, len(echoes), size):
        whole.absorb(segments.partial(packets.select(slice(begin, begin + size)), echo=True))
        whole.settle()
    found = segments.finish(whole, echo=True)
    assert [[frame for frame, *_ in one] for one in events(found)] == plain_echoes(echoes)
    for side, reply in (("a", False), ("b", True)):
        counted = [sum(letter[0] == reply for letter in one) for one in every]
        assert found.columns[f"frames_{side}"].tolist() == counted


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
