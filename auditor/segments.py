"""Put packets together into flows, batch by batch: both directions of each five-tuple.

A batch becomes a `Partial`: *segments* (what one five-tuple did, from one SYN to the next) and *events* (the few
packets of a segment that can change what the flow is). Partials join associatively: `absorb(absorb(a, b), c)` holds
what `absorb(a, absorb(b, c))` holds. `finish` joins segments into flows as Wireshark joins packets into streams.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from auditor import conn_state
from auditor.sources.packets import Packets

FIN, SYN, RST, PUSH, ACK = 0x01, 0x02, 0x04, 0x08, 0x10
UNSET = -1
REPLY = 1  # of an ICMP message, in Partial.control

I64 = NDArray[np.int64]
U64 = NDArray[np.uint64]
Bools = NDArray[np.bool_]

# Columns of a segment that are added up, by direction where there are two (from A, from B).
SUMS = tuple(
    f"{what}_{side}" for what in ("frames", "bytes", "payload", "syn", "syn_ack", "fin", "rst") for side in "ab"
)
COLUMNS: dict[str, Any] = {
    "pair": np.uint64,  # address numbers of A and B; A is the side with the higher port
    "ports": np.uint32,
    "version": np.uint8,
    "start": np.int64,
    "end": np.int64,
    "first_frame": np.int64,
    "syn_side": np.int8,  # who sent the SYN that the segment begins with: 0 A, 1 B, UNSET none
    "syn_number": np.int64,
    "base_a": np.int64,  # sequence number that Wireshark counts from, each side; UNSET while nothing tells
    "base_b": np.int64,
    "override_a": np.int64,  # the same as told by a SYN-ACK, which replaces what was told before
    "override_b": np.int64,
} | dict.fromkeys(SUMS, np.int64)
EVENT_COLUMNS: dict[str, Any] = {
    "segment": np.int64,
    "packet": np.uint8,  # as conn_state counts packets
    "frame": np.int64,
    "time_ns": np.int64,
    "sequence": np.uint32,
}


class Columns:
    """Named arrays of one length that grow at the end."""

    def __init__(self, kinds: dict[str, Any]) -> None:
        self.length = 0
        self._arrays = {name: np.empty(1024, kind) for name, kind in kinds.items()}

    def __getitem__(self, name: str) -> NDArray[Any]:
        return self._arrays[name][: self.length]

    def extend(self, more: dict[str, NDArray[Any]]) -> None:
        """Put rows behind the last one."""
        count = len(next(iter(more.values())))
        needed = self.length + count
        for name, array in self._arrays.items():
            if needed > len(array):
                grown = np.empty(max(needed, len(array) * 3 // 2), array.dtype)
                grown[: self.length] = array[: self.length]
                array = self._arrays[name] = grown
            array[self.length : needed] = more[name]
        self.length = needed


class Partial:
    """The segments and events of a stretch of one capture, of one transport protocol."""

    def __init__(self) -> None:
        self.segments = Columns(COLUMNS)
        self.events = Columns(EVENT_COLUMNS)
        self._last: dict[tuple[int, int, int], int] = {}

    def absorb(self, after: Partial) -> Partial:
        """Add what came after; return self."""
        mine, theirs = self.segments, after.segments
        if not theirs.length:
            return self
        keys = list(zip(theirs["pair"].tolist(), theirs["ports"].tolist(), theirs["version"].tolist(), strict=True))
        last = self._last
        previous = np.array([last.get(key, UNSET) for key in keys], np.int64)
        _, first_of_key = np.unique(previous, return_index=True)  # a five-tuple's later segments never continue
        first = np.zeros(theirs.length, np.bool_)
        first[first_of_key] = True
        joins = first & (previous >= 0)
        at = np.where(joins, previous, 0)
        same_syn = (mine["syn_side"][at] if mine.length else at) == theirs["syn_side"]
        same_syn &= (mine["syn_number"][at] if mine.length else at) == theirs["syn_number"]
        joins &= (theirs["syn_side"] == UNSET) | same_syn
        place = np.where(joins, at, mine.length - 1 + np.cumsum(~joins))
        if joins.any():
            _join_segments(mine, at[joins], theirs, joins)
        mine.extend({name: theirs[name][~joins] for name in COLUMNS})
        events = {name: after.events[name] for name in EVENT_COLUMNS}
        self.events.extend(events | {"segment": place[events["segment"]]})
        last.update(zip(keys, place.tolist(), strict=True))
        return self


def _join_segments(mine: Columns, at: I64, theirs: Columns, which: Bools) -> None:
    """Add segments to those that they continue; `at` holds no index twice."""
    for name in SUMS:
        mine[name][at] += theirs[name][which]
    mine["end"][at] = theirs["end"][which]
    for side in "ab":
        override = theirs[f"override_{side}"][which]
        base = mine[f"base_{side}"][at]
        base = np.where(base == UNSET, theirs[f"base_{side}"][which], base)
        mine[f"base_{side}"][at] = np.where(override == UNSET, base, override)
        mine[f"override_{side}"][at] = np.where(override == UNSET, mine[f"override_{side}"][at], override)


def partial(packets: Packets) -> Partial:
    """Return the segments and events of one batch of packets."""
    result = Partial()
    if not len(packets.frame):
        return result
    group = _Group(packets)
    segment, begins = _segments(group)
    result.segments.extend(_segment_columns(group, segment, begins))
    events = _events(group, segment, len(begins))
    result.events.extend({name: column for name, column in events.items() if name in EVENT_COLUMNS})
    for name, value in _bases(events, group.packets.acknowledged, len(begins)).items():
        result.segments[name][:] = value
    for index, key in enumerate(
        zip(
            result.segments["pair"].tolist(),
            result.segments["ports"].tolist(),
            result.segments["version"].tolist(),
            strict=True,
        )
    ):
        result._last[key] = index
    return result


class _Group:
    """Packets with their five-tuples put in canonical order and numbered; `from_b` tells the direction."""

    def __init__(self, packets: Packets) -> None:
        self.packets = packets
        low, high = packets.ports & np.uint32(0xFFFF), packets.ports >> np.uint32(16)
        half = np.uint64(32)
        swapped = (packets.pair << half) | (packets.pair >> half)
        self.from_b = (high < low) | ((high == low) & (packets.pair < swapped))
        self.pair = np.where(self.from_b, swapped, packets.pair)
        self.ports = np.where(self.from_b, (low << np.uint32(16)) | high, packets.ports)
        pair_number, _ = pd.factorize(self.pair)
        key = (pair_number.astype(np.uint64) << np.uint64(33)) | self.ports
        key |= (packets.version == 6).astype(np.uint64) << np.uint64(32)
        number, unique = pd.factorize(key)
        self.number: I64 = number.astype(np.int64)
        self.count = len(unique)
        self.index = np.arange(len(self.number))
        self.first = np.empty(self.count, np.int64)
        self.first[self.number[::-1]] = self.index[::-1]
        flags = packets.flags
        self.control = np.flatnonzero(flags & (SYN | FIN | RST))
        self.syns: I64 = self.control[(flags[self.control] & SYN) != 0]


def _segments(group: _Group) -> tuple[I64, I64]:
    """Return each packet's segment, and each segment's first packet."""
    boundaries = _boundaries(group)
    if not len(boundaries):
        return group.number, group.first
    split = np.zeros(group.count, np.bool_)
    split[group.number[boundaries]] = True
    concerned = np.flatnonzero(split[group.number])
    width = len(group.number)
    keys = group.number[boundaries] * width + boundaries
    order = np.argsort(keys)
    at = np.searchsorted(keys[order], group.number[concerned] * width + concerned, side="right") - 1
    boundary = boundaries[order][np.maximum(at, 0)]
    inside = (at >= 0) & (group.number[boundary] == group.number[concerned])
    segment = group.number.copy()
    segment[concerned[inside]] = group.count + at[inside]
    # Later segments of a five-tuple must follow earlier ones: they are numbered behind all first segments, by time.
    return _by_time(segment, np.concatenate([group.first, boundaries[order]]))


def _by_time(segment: I64, begins: I64) -> tuple[I64, I64]:
    order = np.argsort(begins, kind="stable")
    rank = np.empty(len(order), np.int64)
    rank[order] = np.arange(len(order))
    return rank[segment], begins[order]


def _boundaries(group: _Group) -> I64:
    """Return the SYNs, other than a five-tuple's first packet, that do not repeat the SYN before them.

    A SYN-ACK of the same side in between tells another number to count from, so the SYN behind it has to be looked at.
    """
    number = group.number[group.syns] * 2 + group.from_b[group.syns]
    order = np.argsort(number, kind="stable")
    number, syns = number[order], group.syns[order]
    opens, sequence = (group.packets.flags[syns] & ACK) == 0, group.packets.sequence[syns]
    repeated = np.zeros(len(syns), np.bool_)
    repeated[1:] = (number[1:] == number[:-1]) & (sequence[1:] == sequence[:-1]) & opens[:-1]
    candidates = np.sort(syns[opens & ~repeated])
    return candidates[group.first[group.number[candidates]] != candidates]


def _segment_columns(group: _Group, segment: I64, begins: I64) -> dict[str, NDArray[Any]]:
    packets, count = group.packets, len(begins)
    last = np.empty(count, np.int64)
    last[segment] = group.index
    sided = segment * 2 + group.from_b
    first_flags = packets.flags[begins]
    is_syn = (first_flags & (SYN | ACK)) == SYN
    columns: dict[str, NDArray[Any]] = {
        "pair": group.pair[begins],
        "ports": group.ports[begins],
        "version": packets.version[begins],
        "start": packets.time_ns[begins],
        "end": packets.time_ns[last],
        "first_frame": packets.frame[begins],
        "syn_side": np.where(is_syn, group.from_b[begins], UNSET),
        "syn_number": np.where(is_syn, packets.sequence[begins].astype(np.int64), UNSET),
    }
    for name, weights in (("frames", None), ("bytes", packets.size), ("payload", packets.payload)):
        total = np.bincount(sided, weights, count * 2)
        columns[f"{name}_a"], columns[f"{name}_b"] = total[::2], total[1::2]
    flags, control = packets.flags[group.control], sided[group.control]
    syn, acknowledged = (flags & SYN) != 0, (flags & ACK) != 0
    for name, which in (
        ("syn", syn & ~acknowledged),
        ("syn_ack", syn & acknowledged),
        ("fin", (flags & FIN) != 0),
        ("rst", (flags & RST) != 0),
    ):
        total = np.bincount(control[which], minlength=count * 2)
        columns[f"{name}_a"], columns[f"{name}_b"] = total[::2], total[1::2]
    unset = np.full(count, UNSET)
    return columns | dict.fromkeys(("base_a", "base_b", "override_a", "override_b"), unset)


def _events(group: _Group, segment: I64, count: int) -> dict[str, NDArray[Any]]:
    """Return the packets that can change what a flow is: SYN, FIN, RST, and the first of each other kind."""
    packets = group.packets
    flags = packets.flags
    data = packets.payload > 0
    acknowledges = (flags & ACK) != 0
    # For ICMP echo there are no flags: a reply takes the bit of an acknowledgement.
    reply = (packets.kind == 0) | (packets.kind == 129 << 8)
    acknowledges |= reply if packets.kind.any() else False
    kind = group.from_b + 2 * acknowledges + 4 * data
    control = np.zeros(len(flags), np.bool_)
    control[group.control] = True
    plain = np.flatnonzero(~control)
    slot = segment[plain] * 8 + kind[plain]
    first = np.full(count * 8, UNSET, np.int64)
    first[slot[::-1]] = plain[::-1]
    chosen = control
    chosen[first[first >= 0]] = True
    at = np.flatnonzero(chosen)
    letters = flags[at].astype(np.int64)
    packet = (
        group.from_b[at] * conn_state.FROM_B
        + ((letters & SYN) != 0) * conn_state.HAS_SYN
        + ((letters & FIN) != 0) * conn_state.HAS_FIN
        + ((letters & RST) != 0) * conn_state.HAS_RST
        + acknowledges[at] * conn_state.HAS_ACK
        + data[at] * conn_state.HAS_DATA
        + (((group.ports[at] >> 16) == (group.ports[at] & 0xFFFF)) * conn_state.EQUAL_PORTS)
    )
    return {
        "segment": segment[at],
        "packet": packet.astype(np.uint8),
        "frame": packets.frame[at],
        "time_ns": packets.time_ns[at],
        "sequence": packets.sequence[at],
        "index": at,
    }


def _bases(events: dict[str, NDArray[Any]], acknowledged: NDArray[np.uint32], count: int) -> dict[str, I64]:
    """Return what Wireshark would take as each side's first sequence number, from one batch.

    A side's own first packet tells it (one less when that is no SYN), or the first acknowledgement of the other side,
    whichever comes first; a SYN-ACK replaces it.
    """
    segment, packet = events["segment"], events["packet"]
    own = events["sequence"].astype(np.int64)
    told = acknowledged[events["index"]].astype(np.int64)
    from_b = packet & conn_state.FROM_B
    has_ack, has_syn = (packet & conn_state.HAS_ACK) != 0, (packet & conn_state.HAS_SYN) != 0
    columns: dict[str, I64] = {}
    for side, mine in (("a", from_b == 0), ("b", from_b != 0)):
        relevant = np.flatnonzero(mine | has_ack)
        value = np.where(mine, np.where(has_syn, own, own - 1), told - 1)[relevant] % (1 << 32)
        base = np.full(count, UNSET)
        base[segment[relevant][::-1]] = value[::-1]
        override = np.full(count, UNSET)
        syn_ack = mine & has_ack & has_syn
        override[segment[syn_ack]] = own[syn_ack]
        columns[f"base_{side}"] = np.where(override == UNSET, base, override)
        columns[f"override_{side}"] = override
    return columns


@dataclass(frozen=True)
class Streams:
    """Finished flows of one protocol, oriented: `a` is now the originator where `flipped` is False, else `b`.

    columns: as COLUMNS, summed over the segments of each flow; state: index into conn_state.STATES;
    events: sorted by flow, then in file order; event_begin: where each flow's events begin (one more than flows).
    """

    columns: dict[str, NDArray[Any]]
    state: I64
    flipped: Bools
    events: dict[str, NDArray[Any]]
    event_begin: I64

    def __len__(self) -> int:
        return len(self.state)


def finish(whole: Partial) -> Streams:
    """Join segments into flows and tell each flow's state."""
    segments = whole.segments
    flow = _flows_of(segments)
    count = int(flow.max()) + 1 if len(flow) else 0
    first = np.full(count, 0, np.int64)
    first[flow[::-1]] = np.arange(len(flow))[::-1]
    last = np.full(count, 0, np.int64)
    last[flow] = np.arange(len(flow))
    columns = {name: segments[name][first] for name in COLUMNS if name not in SUMS}
    columns["end"] = segments["end"][last]
    for name in SUMS:
        columns[name] = np.bincount(flow, segments[name], count).astype(np.int64)
    owner = flow[whole.events["segment"]]
    chosen = _first_of_each(owner, whole.events["packet"])
    owner, events = owner[chosen], {name: whole.events[name][chosen] for name in EVENT_COLUMNS}
    state = conn_state.follow(owner, events["packet"], count)
    order = np.argsort(owner, kind="stable")
    events = {name: column[order] for name, column in events.items()}
    begin = np.searchsorted(owner[order], np.arange(count + 1))
    return Streams(columns, state, conn_state.ORIGINATOR[state] == conn_state.B_ORIGINATES, events, begin)


def _first_of_each(owner: I64, packet: NDArray[np.uint8]) -> Bools:
    """Choose each SYN, FIN and RST, and of every other kind of packet the first of a flow: what one batch would hold."""
    chosen = (packet & (conn_state.HAS_SYN | conn_state.HAS_FIN | conn_state.HAS_RST)) != 0
    plain = np.flatnonzero(~chosen)
    _, first = np.unique(owner[plain] * conn_state.PACKETS + packet[plain], return_index=True)
    chosen[plain[first]] = True
    return chosen


def _flows_of(segments: Columns) -> I64:
    """Return the flow number of each segment; flows are numbered in the order of their first packet."""
    new = np.ones(segments.length, np.bool_)
    keys = np.stack([segments["pair"], (segments["ports"].astype(np.uint64) << np.uint64(8)) | segments["version"]])
    order = np.lexsort((segments["first_frame"], keys[1], keys[0]))
    same = np.zeros(len(order), np.bool_)
    same[1:] = (keys[:, order[1:]] == keys[:, order[:-1]]).all(axis=0)
    repeated = np.flatnonzero(same)
    joins_previous = np.zeros(segments.length, np.int64) - 1
    base: list[int] = []
    table = {
        name: segments[name] for name in ("base_a", "base_b", "override_a", "override_b", "syn_side", "syn_number")
    }
    for place in repeated.tolist():
        here, before = int(order[place]), int(order[place - 1])
        if not same[place - 1] or not base:
            base = [int(table["base_a"][before]), int(table["base_b"][before])]
        side, number = int(table["syn_side"][here]), int(table["syn_number"][here])
        if base[side] in (UNSET, number):
            new[here] = False
            joins_previous[here] = before
            for which, letter in enumerate("ab"):
                override = int(table[f"override_{letter}"][here])
                base[which] = override if override != UNSET else base[which]
                base[which] = int(table[f"base_{letter}"][here]) if base[which] == UNSET else base[which]
        else:
            base = [int(table["base_a"][here]), int(table["base_b"][here])]
    return _numbered(segments["first_frame"], new, joins_previous)


def _numbered(first_frame: I64, new: Bools, joins_previous: I64) -> I64:
    flow = np.empty(len(new), np.int64)
    begins = np.flatnonzero(new)
    flow[begins[np.argsort(first_frame[begins], kind="stable")]] = np.arange(len(begins))
    for segment in np.flatnonzero(~new).tolist():
        flow[segment] = flow[joins_previous[segment]]
    return flow
