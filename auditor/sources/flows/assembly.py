"""Put packets together into flows, batch by batch: both directions of each five-tuple.

A batch becomes a `PartialFlows`: *segments* (what one five-tuple did, from one SYN to the next) and *events* (the few
packets of a segment that can change what the flow is). Partials join associatively: `absorb(absorb(a, b), c)` holds
what `absorb(a, absorb(b, c))` holds. `finish` joins segments into flows as Wireshark joins packets into streams.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from auditor.sources.capture.packets import Packets
from auditor.sources.factorize import factorize_rows
from auditor.sources.flows import conn_state
from auditor.sources.tcp_flags import ACK, FIN, RST, SYN

UNSET = -1
SETTLE_AT, SETTLE_MOST = 65_536, 500_000  # segments that are kept before they are joined, at least and at most
MOST_EVENTS = 1_024  # of one segment: a connection needs a dozen, a storm of resets none of its middle

I64 = NDArray[np.int64]
U64 = NDArray[np.uint64]
Bools = NDArray[np.bool_]

# Columns of a segment that are added up, by direction where there are two (from A, from B).
SUMS = (
    "parts",  # segments of a batch that this one was joined of
    *(f"{name}_{side}" for name in ("frames", "bytes", "payload", "syn", "syn_ack", "fin", "rst") for side in "ab"),
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
    "base_a": np.int64,  # sequence number that Wireshark counts from, each side; UNSET while unknown
    "base_b": np.int64,
    "override_a": np.int64,  # the same by a SYN-ACK, which replaces the earlier value
    "override_b": np.int64,
} | {name: np.int64 if name.startswith(("frames", "bytes", "payload")) else np.int32 for name in SUMS}
EVENT_COLUMNS: dict[str, Any] = {
    "segment": np.int64,
    "packet": np.uint8,  # as conn_state counts packets
    "frame": np.int64,
    "time_ns": np.int64,
    "sequence": np.uint32,
    "acknowledged": np.uint32,
    "hop_count": np.uint8,
    "ip_id": np.uint16,
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
                self._arrays[name] = np.empty(max(needed, len(array) * 3 // 2), array.dtype)
                self._arrays[name][: self.length] = array[: self.length]
            self._arrays[name][self.length : needed] = more[name]
        self.length = needed

    def pop(self, name: str) -> NDArray[Any]:
        """Return a column and let go of it."""
        return self._arrays.pop(name)[: self.length]

    def replace(self, columns: Iterable[tuple[str, NDArray[Any]]]) -> None:
        """Put other rows in the place of all, column by column: each comes from this one or those behind it."""
        for name, array in columns:
            self._arrays[name] = array
        self.length = len(array)


class PartialFlows:
    """The segments and events of a stretch of one capture, of one transport protocol."""

    def __init__(self) -> None:
        self.segments = Columns(COLUMNS)
        self.events = Columns(EVENT_COLUMNS)
        self.settled = 0  # segments when they were last joined
        self.events_dropped = 0
        self._few_events = 0

    def absorb(self, following: PartialFlows) -> PartialFlows:
        """Add what came after; return self."""
        offset = self.segments.length
        self.segments.extend({name: following.segments[name] for name in COLUMNS})
        events = {name: following.events[name] for name in EVENT_COLUMNS}
        self.events.extend(events | {"segment": events["segment"] + offset})
        self.events_dropped += following.events_dropped
        if self.segments.length > min(max(2 * self.settled, SETTLE_AT), self.settled + SETTLE_MOST):
            self.settle()
        if self.events.length > 2 * self._few_events + MOST_EVENTS * 256:
            self._drop_events()
        return self

    def _drop_events(self) -> None:
        """Keep of very many events of one segment the first and the last."""
        self.settle()
        at = _without_middle(self.events["segment"])
        self.events_dropped += self.events.length - len(at)
        if len(at) < self.events.length:
            self.events.replace((name, self.events[name][at]) for name in EVENT_COLUMNS)
        self._few_events = self.events.length

    def settle(self) -> None:
        """Join segments that continue others; afterwards those of one five-tuple lie side by side, in order."""
        if not self.segments.length:
            return
        number, _ = _five_tuples(*(self.segments[name] for name in ("pair", "ports", "version")))
        order = stable_order(number)
        begins = _begins(self.segments, number, order)
        # Of the five-tuples 0 1 0, of which the last segment goes on with the first: order is 0 2 1, begins is T F T,
        # and place becomes 0 1 0: events of segment 2 are of segment 0 from now on.
        place = np.empty(len(order), np.int64)
        place[order] = np.cumsum(begins) - 1
        self.segments.replace(_joined(self.segments, order, np.flatnonzero(begins)))
        self.events["segment"][:] = place[self.events["segment"]]
        self.settled = self.segments.length


def _without_middle(owner: I64) -> I64:
    """Return which events are left, in order, when no owner keeps more than its first and last MOST_EVENTS / 2."""
    counts = np.bincount(owner)
    if not len(counts) or counts.max() <= MOST_EVENTS:
        return np.arange(len(owner))
    order = stable_order(owner)
    rank = np.arange(len(owner)) - np.repeat(np.cumsum(counts) - counts, counts)
    # Of six events where four have room the ranks are 0 to 5, and the middle is 2 and 3.
    middle = (rank >= MOST_EVENTS // 2) & (rank < np.repeat(counts, counts) - MOST_EVENTS // 2)
    return np.sort(order[~middle])


def _begins(segments: Columns, number: I64, order: I64) -> Bools:
    """Return which segments, sorted by five-tuple, do not continue the one before: those with a SYN of their own.

    As in `_boundaries`, a SYN that repeats the last one is no new one, unless a SYN-ACK lies in between.
    """
    number, side, sequence = number[order], segments["syn_side"][order], segments["syn_number"][order]
    # One five-tuple sends SYN 100, SYN 100, a SYN-ACK comes, SYN 100: the second SYN repeats the first, the third
    # begins a segment. `previous` counts only from where the five-tuple opens.
    opens = np.append(True, number[1:] != number[:-1])
    previous = _last_before(side != UNSET)
    same = (previous >= np.maximum.accumulate(np.where(opens, np.arange(len(order)), 0))) & (side == side[previous])
    same &= sequence == sequence[previous]
    answered = (segments["override_a"] != UNSET) | (segments["override_b"] != UNSET)
    same &= _last_before(answered[order]) < previous
    begins: Bools = opens | ((side != UNSET) & ~same)
    return begins


def _last_before(mask: Bools) -> I64:
    """Return, for each place, the last place before it where the mask is true, -1 where there is none."""
    # F T F F T F: the latest place so far is -1 1 1 1 4 4, and the latest before each -1 -1 1 1 1 4.
    last = np.maximum.accumulate(np.where(mask, np.arange(len(mask)), -1))
    return np.append(-1, last[:-1])


def _joined(segments: Columns, order: I64, begins: I64) -> Iterator[tuple[str, NDArray[Any]]]:
    """Yield the columns of the runs of segments that begin at these places of the order."""
    ends = np.append(begins[1:], len(order)) - 1
    for name in COLUMNS:
        column = segments[name]
        if name in SUMS:
            yield name, np.add.reduceat(column[order], begins)
        elif name.startswith("override"):
            yield name, _last_set(column[order], begins)
        elif name.startswith("base"):
            override = _last_set(segments[name.replace("base", "override")][order], begins)
            yield name, np.where(override == UNSET, _first_set(column[order], begins), override)
        else:
            yield name, column[order[ends if name == "end" else begins]]


def _first_set(column: I64, begins: I64) -> I64:
    none = len(column)
    # UNSET 5 7 | UNSET UNSET: the places are 1 and `none`, behind the end, where UNSET is put.
    places = np.minimum.reduceat(np.where(column == UNSET, none, np.arange(none)), begins)
    return np.append(column, UNSET)[places]


def _last_set(column: I64, begins: I64) -> I64:
    last = np.maximum.reduceat(np.where(column == UNSET, -1, np.arange(len(column))), begins)
    return np.where(last < 0, UNSET, column[last])


def stable_order(number: I64) -> I64:
    """Return the stable order of numbers below 2**31, which are sorted as one with their places: faster by far."""
    # Of 3 1 3 the keys are (3, 0) (1, 1) (3, 2), and sorted (1, 1) (3, 0) (3, 2): the order is 1 0 2.
    keys = number << 32
    keys |= np.arange(len(number))
    keys.sort()
    keys &= 0xFFFFFFFF
    return keys


def partial(packets: Packets, *, echo: bool = False) -> PartialFlows:
    """Return the segments and events of one batch of packets; echo: they are echo requests and replies."""
    result = PartialFlows()
    if not len(packets.frame):
        return result
    group = _Group(packets, echo=echo)
    segment, begins = _segments(group)
    columns = _segment_columns(group, segment, begins)
    events = _events(group, segment, len(begins))
    columns |= _bases(events, len(begins))
    result.segments.extend(columns)
    result.events.extend(events)
    return result


def _five_tuples(pair: U64, ports: NDArray[np.uint32], version: NDArray[np.uint8]) -> tuple[I64, I64]:
    """Number the five-tuples from 0 in order of appearance; return each packet's number, and each one's first."""
    return factorize_rows(pair, ports | version.astype(np.uint64) << np.uint64(32))


def _swapped(values: NDArray[Any], half: int) -> NDArray[Any]:
    """Exchange the upper and the lower half of each number."""
    swapped: NDArray[Any] = values << values.dtype.type(half)
    swapped |= values >> values.dtype.type(half)
    return swapped


def _exchanged(values: NDArray[Any], replacements: NDArray[Any], mask: Bools) -> NDArray[Any]:
    """Return replacements where the mask is set, else values: faster than np.where; replacements are used up."""
    # a ^ (a ^ b) * 1 is b, a ^ (a ^ b) * 0 is a: there is nothing to guess for the processor.
    replacements ^= values
    replacements *= mask
    replacements ^= values
    return replacements


class _Group:
    """Packets with their five-tuples put in canonical order and numbered; `from_b` is the direction.

    Of echo A is the side that asks: two hosts that ping each other with the same identifier are two flows.
    """

    def __init__(self, packets: Packets, *, echo: bool) -> None:
        self.packets = packets
        self.echo = echo
        # 10.0.0.5:50000 > 10.0.0.9:445 and the answer 10.0.0.9:445 > 10.0.0.5:50000 are to be one five-tuple. The side
        # with the higher port is A, so both get the ports 50000 << 16 | 445, and the answer is `from_b`.
        swapped, swapped_ports = _swapped(packets.pair, 32), _swapped(packets.ports, 16)
        if echo:
            self.from_b = (packets.flags & ACK) != 0
        else:
            same_ports = swapped_ports == packets.ports
            self.from_b = (swapped_ports > packets.ports) | (same_ports & (packets.pair < swapped))
        self.pair = _exchanged(packets.pair, swapped, self.from_b)
        self.ports = _exchanged(packets.ports, swapped_ports, self.from_b)
        self.number, self.first_rows = _five_tuples(self.pair, self.ports, packets.version)
        self.count = len(self.first_rows)
        self.index = np.arange(len(self.number))
        flags = packets.flags
        self.control = np.flatnonzero((flags & (SYN | FIN | RST)) != 0)
        self.syns: I64 = self.control[(flags[self.control] & SYN) != 0]


def _segments(group: _Group) -> tuple[I64, I64]:
    """Return each packet's segment, and each segment's first packet."""
    boundaries = _boundaries(group)
    if not len(boundaries):
        return group.number, group.first_rows
    split = np.zeros(group.count, np.bool_)
    split[group.number[boundaries]] = True
    concerned = np.flatnonzero(split[group.number])
    width = len(group.number)
    # A key is five-tuple and row as one number. Of a five-tuple with the packets 0 2 5 7 and a new SYN in 5, the
    # packets 5 and 7 find that SYN as the latest boundary; 0 and 2 find none of their own five-tuple and stay in its
    # first segment.
    keys = group.number[boundaries] * width + boundaries
    order = np.argsort(keys)
    at = np.searchsorted(keys[order], group.number[concerned] * width + concerned, side="right") - 1
    boundary = boundaries[order][np.maximum(at, 0)]
    inside = (at >= 0) & (group.number[boundary] == group.number[concerned])
    segment = group.number.copy()
    segment[concerned[inside]] = group.count + at[inside]
    # Later segments of a five-tuple must follow earlier ones: they are numbered behind all first segments, by time.
    return _by_time(segment, np.concatenate([group.first_rows, boundaries[order]]))


def _by_time(segment: I64, begins: I64) -> tuple[I64, I64]:
    order = np.argsort(begins, kind="stable")
    rank = np.empty(len(order), np.int64)
    rank[order] = np.arange(len(order))
    return rank[segment], begins[order]


def _boundaries(group: _Group) -> I64:
    """Return the SYNs, other than a five-tuple's first packet, that do not just repeat the SYN before them.

    Behind a SYN or SYN-ACK of any other kind a SYN has to be looked at: what Wireshark counts from may have changed.
    """
    syns = group.syns[stable_order(group.number[group.syns])]
    number, from_b, sequence = group.number[syns], group.from_b[syns], group.packets.sequence[syns]
    opens = (group.packets.flags[syns] & ACK) == 0
    new = opens.copy()
    new[1:] &= (number[1:] != number[:-1]) | (from_b[1:] != from_b[:-1]) | (sequence[1:] != sequence[:-1]) | ~opens[:-1]
    candidates = np.sort(syns[new])
    boundaries: I64 = candidates[group.first_rows[group.number[candidates]] != candidates]
    return boundaries


def _segment_columns(group: _Group, segment: I64, begins: I64) -> dict[str, NDArray[Any]]:
    packets, count = group.packets, len(begins)
    last = np.empty(count, np.int64)
    last[segment] = group.index
    # So one count shows both directions: 0 2 4 ... are what A sent in segment 0 1 2 ..., 1 3 5 ... what B sent.
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
    whole = group.control[~packets.broken[group.control]]
    flags, control = packets.flags[whole], sided[whole]
    syn, acknowledged = (flags & SYN) != 0, (flags & ACK) != 0
    for name, mask in (
        ("syn", syn & ~acknowledged),
        ("syn_ack", syn & acknowledged),
        ("fin", (flags & FIN) != 0),
        ("rst", (flags & RST) != 0),
    ):
        total = np.bincount(control[mask], minlength=count * 2)
        columns[f"{name}_a"], columns[f"{name}_b"] = total[::2], total[1::2]
    columns["parts"] = np.ones(count, np.int32)
    unset = np.full(count, UNSET)
    return columns | dict.fromkeys(("base_a", "base_b", "override_a", "override_b"), unset)


def _events(group: _Group, segment: I64, count: int) -> dict[str, NDArray[Any]]:
    """Return the packets that can change what a flow is: SYN, FIN, RST, and the first of each other kind.

    Of echo these are all until the first reply that was asked for.
    """
    packets = group.packets
    acknowledges = (packets.flags & ACK) != 0
    data = packets.payload > 0
    control = (packets.flags & (SYN | FIN | RST)) != 0
    if group.echo:
        at = _until_answered(segment, group.from_b, packets.sequence, count)
    else:
        kind = _bits(group.from_b, acknowledges, data, control)
        at = np.flatnonzero(_telling(segment, kind, control, count, packets.broken))
    flags = packets.flags[at]
    same_ports = (group.ports[at] >> 16) == (group.ports[at] & 0xFFFF)
    syn, fin, rst = ((flags & flag) != 0 for flag in (SYN, FIN, RST))
    return {
        "segment": segment[at],
        "packet": _bits(group.from_b[at], syn, fin, rst, acknowledges[at], data[at], same_ports),
        "frame": packets.frame[at],
        "time_ns": packets.time_ns[at],
        "sequence": packets.sequence[at],
        "acknowledged": packets.acknowledged[at],
        "hop_count": packets.hop_count[at],
        "ip_id": packets.ip_id[at],
    }


def _bits(*columns: Bools) -> NDArray[np.uint8]:
    """Return one number for each row: its first truth as bit 0, its second as bit 1, and so on."""
    number = columns[0].astype(np.uint8)
    for place, column in enumerate(columns[1:], 1):
        number |= column.view(np.uint8) << place
    return number


def _telling(owner: I64, kind: NDArray[np.uint8], control: Bools, count: int, broken: Bools | None = None) -> Bools:
    """Choose each control packet, and of every other of 16 kinds the first packet of its owner; none that is broken."""
    if broken is not None and broken.any():
        whole = np.flatnonzero(~broken)
        chosen = np.zeros(len(owner), np.bool_)
        chosen[whole] = _telling(owner[whole], kind[whole], control[whole], count)
        return chosen
    # Each owner has 16 kinds. Written from the last row to the first, what stays in a place is its first row: kinds 5 8
    # 5 give place 5 the rows 2, then 0.
    first_rows = np.full(count * 16, UNSET, np.int32)
    first_rows[(owner * 16 + kind)[::-1]] = np.arange(len(owner), dtype=np.int32)[::-1]
    chosen = control.copy()
    chosen[first_rows[first_rows >= 0]] = True
    return chosen


def _until_answered(owner: I64, reply: Bools, number: NDArray[np.uint32], count: int) -> I64:
    """Choose echo requests and replies until one of the replies bears a number that its owner has asked with."""
    at = np.flatnonzero(_among(owner, owner[reply], count))  # without a reply nothing ends
    asked_with, begins = factorize_rows(_asked_with(owner[at], number[at], count))
    request = ~reply[at]
    asked_at = np.full(len(begins), len(owner))
    # Backwards, as in `_telling`, so that the first request with a number stays.
    asked_at[asked_with[request][::-1]] = at[request][::-1]
    answering = at[~request & (asked_at[asked_with] < at)]
    last = np.full(count, len(owner))
    last[owner[answering[::-1]]] = answering[::-1]
    return np.flatnonzero(np.arange(len(owner)) <= last[owner])


def _asked_with(owner: I64, number: NDArray[np.uint32], count: int) -> U64:
    """Return one number for an echo's owner and sequence number together."""
    return (number.astype(np.int64) * count + owner).view(np.uint64)


def _among(owner: I64, members: I64, count: int) -> Bools:
    """Return which owners are among the others."""
    is_member = np.zeros(count, np.bool_)
    is_member[members] = True
    return is_member[owner]


def _bases(events: dict[str, NDArray[Any]], count: int) -> dict[str, I64]:
    """Return what Wireshark would take as each side's first sequence number, from one batch.

    A side's own first packet shows it (one less when that is no SYN), or the first acknowledgement of the other side,
    whichever comes first; a SYN-ACK replaces it.
    """
    segment, packet = events["segment"], events["packet"]
    own, acknowledged = events["sequence"], events["acknowledged"]
    from_b = packet & conn_state.FROM_B
    has_ack, has_syn = (packet & conn_state.HAS_ACK) != 0, (packet & conn_state.HAS_SYN) != 0
    columns: dict[str, I64] = {}
    for side, mine in (("a", from_b == 0), ("b", from_b != 0)):
        relevant = np.flatnonzero(mine | has_ack)
        value = np.where(mine, own - ~has_syn, acknowledged - np.uint32(1))[relevant]
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

    Attributes:
        columns: As COLUMNS, summed over the segments of each flow.
        state: Index into conn_state.STATES.
        events: Sorted by flow, then in file order.
        event_begin: Where each flow's events begin (one more than flows).
        events_dropped: Those that were too many to be kept.
    """

    columns: dict[str, NDArray[Any]]
    state: I64
    flipped: Bools
    events: dict[str, NDArray[Any]]
    event_begin: I64
    events_dropped: int = 0

    def __len__(self) -> int:
        return len(self.state)


def finish(whole: PartialFlows, *, echo: bool = False) -> Streams:
    """Join segments into flows, each with its state; the partial is used up."""
    whole.settle()
    segments = whole.segments
    begins = np.flatnonzero(_opens_flow(segments))
    order = np.argsort(segments["first_frame"][begins], kind="stable")
    ends = np.append(begins[1:], segments.length) - 1
    columns = {name: segments.pop(name)[begins[order]] for name in COLUMNS if name not in (*SUMS, "end")}
    columns["end"] = segments.pop("end")[ends[order]]
    for name in SUMS:
        column = segments.pop(name)
        columns[name] = np.add.reduceat(column, begins)[order] if len(begins) else column
    flow = np.empty(len(begins), np.int64)
    flow[order] = np.arange(len(begins))
    owner = np.repeat(flow, ends - begins + 1)[whole.events["segment"]]
    if echo:
        at = _telling_echoes(owner, whole.events, len(flow))
    else:
        at = _telling_events(owner, whole.events, columns["parts"] > 1)
    del columns["parts"]
    few = _without_middle(owner[at])
    dropped, at = whole.events_dropped + len(at) - len(few), at[few]
    events = {name: whole.events.pop(name)[at] for name in EVENT_COLUMNS if name != "segment"}
    begin = np.append(0, np.cumsum(np.bincount(owner[at], minlength=len(flow))))
    state = conn_state.follow(events["packet"], begin)
    return Streams(columns, state, conn_state.flipped(state), events, begin, dropped)


def _telling_events(owner: I64, events: Columns, joined: Bools) -> I64:
    """Return the events that one batch would hold had it held all packets, flow by flow; joined: flows of many."""
    concerned = np.flatnonzero(joined[owner])
    of, packet = owner[concerned], events["packet"][concerned]
    control = (packet & (conn_state.HAS_SYN | conn_state.HAS_FIN | conn_state.HAS_RST)) != 0
    bits = (conn_state.FROM_B, conn_state.HAS_ACK, conn_state.HAS_DATA)
    from_b, acknowledges, data = ((packet & bit) != 0 for bit in bits)
    telling = np.ones(len(owner), np.bool_)
    telling[concerned] = _telling(of, _bits(from_b, acknowledges, data, control), control, len(joined))
    at = np.flatnonzero(telling)
    return at[stable_order(owner[at])]


def _telling_echoes(owner: I64, events: Columns, count: int) -> I64:
    """Return each flow's first request and the first reply to any of its requests, flow by flow.

    Where no request was captured any reply will do. A reply to what was never asked is no event: it answers nothing.
    A first request that was captured again behind a router is there twice.
    """
    reply, number = (events["packet"] & conn_state.FROM_B) != 0, events["sequence"]
    at = _until_answered(owner, reply, number, count)
    requests, replies = at[~reply[at]], at[reply[at]]
    concerned = requests[_among(owner[requests], owner[replies], count)]
    both = np.concatenate([concerned, replies])
    with_number, begins = factorize_rows(_asked_with(owner[both], number[both], count))
    asked_with, replied_with = np.split(with_number, [len(concerned)])
    fits = _among(replied_with, asked_with, len(begins)) | ~_among(owner[replies], owner[requests], count)
    first_events = np.full((3, count), UNSET)
    for row, kind in zip(first_events, (requests, replies[fits]), strict=False):
        row[owner[kind[::-1]]] = kind[::-1]
    behind = _behind_router(requests, first_events[0, owner[requests]], events)
    first_events[2, owner[behind[::-1]]] = behind[::-1]
    chosen = np.sort(first_events[first_events != UNSET])
    return chosen[stable_order(owner[chosen])]


def _behind_router(at: I64, first_events: I64, events: Columns) -> I64:
    """Return which of these packets are the first of their flows once more, with fewer hops left."""
    number, hop_count = events["sequence"], events["hop_count"]
    behind: I64 = at[(number[at] == number[first_events]) & (hop_count[at] < hop_count[first_events])]
    return behind


def _opens_flow(segments: Columns) -> Bools:
    """Return which of the settled segments begin a flow rather than go on with the one before."""
    keys = [segments[name] for name in ("pair", "ports", "version")]
    opens = np.ones(segments.length, np.bool_)
    opens[1:] = np.any([key[1:] != key[:-1] for key in keys], axis=0)
    names = ("base_a", "base_b", "override_a", "override_b", "syn_side", "syn_number")
    table = [segments[name] for name in names]
    base = [UNSET, UNSET]
    previous = UNSET
    for index in np.flatnonzero(~opens).tolist():
        if index - 1 != previous:
            base = [int(column[index - 1]) for column in table[:2]]
        *bases, override_a, override_b, side, number = (int(column[index]) for column in table)
        if base[side] in (UNSET, number):
            base = [_base(*side_bases) for side_bases in zip(base, bases, (override_a, override_b), strict=True)]
        else:
            opens[index] = True
            base = bases
        previous = index
    return opens


def _base(previous: int, current: int, override: int) -> int:
    """Return the base of one side of a flow when a segment is added to it."""
    if override != UNSET:
        return override
    return current if previous == UNSET else previous
