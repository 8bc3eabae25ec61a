"""Find where each record of a capture begins, many thousand at a time.

The records of a pcap or pcapng file form a chain: only the length in one header shows where the next begins, so the
obvious reader takes one Python step a packet. Here several hundred *lanes* walk the chain at once with NumPy: the
first starts at the true beginning, each other at a guess further on. A lane is believed only if the walk before it
arrives exactly at its start, so a wrong guess costs time and never changes the result.
"""

from __future__ import annotations

from collections.abc import Callable, Container
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

Positions = NDArray[np.int64]

WORTH_LANES = 512 * 1024
LANE_BYTES = 64 * 1024
GUESS_WINDOW = 4096  # how far into its lane the first record is looked for
GUESSES = 4
FEW_LANES = 8  # not worth walking together
STRIDE = 8  # steps of all lanes before it is looked whether they have arrived
IMPOSSIBLE = 1 << 40  # the length of a record that cannot be


class Format(NamedTuple):
    """How the records of one container are laid out.

    Attributes:
        head: Bytes of a record header, all of which must lie before the end.
        size: Whole length of the record that begins here, header included; IMPOSSIBLE where it cannot be.
        sizes: The same of many.
        plausible: Of these positions, which may well begin a record (used for guesses only).
        mark: Offset and value of some bytes that nearly every record header has, which makes guessing cheap.
    """

    head: int
    size: Callable[[int], int]
    sizes: Callable[[Positions], Positions]
    plausible: Callable[[Positions], NDArray[np.bool_]]
    mark: tuple[int, bytes]


class Walk(NamedTuple):
    """Positions of the whole records, where the walk ended, and whether it ended at a record that cannot be."""

    starts: Positions
    end: int
    broken: bool


class _Lanes(NamedTuple):
    """What the lanes found: all starts, lane by lane; how many each lane has; where each lane arrived."""

    starts: Positions
    counts: Positions
    ends: Positions


def walk(layout: Format, data: bytearray, begin: int, end: int) -> Walk:
    """Return the starts of all records that lie whole in data[begin:end]."""
    if end - begin < WORTH_LANES:
        return _walk_one(layout, begin, end)
    lane_starts = np.append(begin, _guesses(layout, data, begin, end))
    return _joined(layout, lane_starts, _walk_lanes(layout, lane_starts, end), end)


def _guesses(layout: Format, data: bytearray, begin: int, end: int) -> Positions:
    """Return likely record starts, at most one for each LANE_BYTES behind the first, in order."""
    offset, mark = layout.mark
    at = np.arange(begin + LANE_BYTES, end - GUESS_WINDOW - layout.head, LANE_BYTES)
    stop = at + GUESS_WINDOW
    guesses: list[Positions] = []
    for _ in range(GUESSES):
        ranges = zip((at + offset).tolist(), stop.tolist(), strict=True)
        hits = np.array([data.find(mark, *bounds) for bounds in ranges], np.int64)
        at, stop = hits[hits >= 0] - offset, stop[hits >= 0]
        good = layout.plausible(at)
        follower = np.where(good, at + layout.sizes(at), end)
        good &= follower <= end - layout.head
        good[good] = layout.plausible(follower[good])
        guesses.append(at[good])
        at, stop = at[~good] + 1, stop[~good]
    return np.sort(np.concatenate(guesses))


def _walk_lanes(layout: Format, lane_starts: Positions, end: int) -> _Lanes:
    """Walk all lanes at once, each up to the next; stop when few are still on their way.

    Lanes that have arrived walk on until then, which takes less time than to hold them back; what they find is dropped.
    """
    limits = np.append(lane_starts[1:], end - layout.head + 1)
    steps = [lane_starts]
    few = max(len(lane_starts) // 32, FEW_LANES)
    while len(steps) <= LANE_BYTES // layout.head:
        for _ in range(STRIDE):
            at = steps[-1]
            steps.append(np.minimum(at + layout.sizes(at), end + 1))  # end + 1: what begins here does not end inside
        if np.count_nonzero(steps[-1] < limits) <= few:
            break
    path = np.array(steps).T
    go = (path[:, :-1] < limits[:, np.newaxis]) & (path[:, 1:] <= end)
    counts = np.count_nonzero(go, axis=1)
    return _Lanes(path[:, :-1][go], counts, path[np.arange(len(lane_starts)), counts])


def _joined(layout: Format, lane_starts: Positions, lanes: _Lanes, end: int) -> Walk:
    """Join lanes that meet; step over the gaps between the others one record at a time."""
    begins = np.append(0, np.cumsum(lanes.counts))
    gaps = np.flatnonzero(np.append(lanes.ends[:-1] != lane_starts[1:], True))
    ahead = {at: lane for lane, at in enumerate(lane_starts.tolist())}
    pieces: list[Positions] = []
    lane = 0
    while True:
        last = int(gaps[np.searchsorted(gaps, lane)])
        for passed in lane_starts[lane : last + 1].tolist():
            del ahead[passed]
        pieces.append(lanes.starts[begins[lane] : begins[last + 1]])
        gap_walk = _walk_one(layout, int(lanes.ends[last]), end, ahead)
        pieces.append(gap_walk.starts)
        if gap_walk.end not in ahead:
            return Walk(np.concatenate(pieces), gap_walk.end, gap_walk.broken)
        lane = ahead[gap_walk.end]


def _walk_one(layout: Format, begin: int, end: int, until: Container[int] = ()) -> Walk:
    """Walk the chain one record at a time: the plain way, for small files and whatever the lanes left over."""
    starts: list[int] = []
    size_at, at, last = layout.size, begin, end - layout.head
    while at <= last and at not in until:
        size = size_at(at)
        if size == IMPOSSIBLE:
            return Walk(np.array(starts, np.int64), at, True)
        if at + size > end:
            break
        starts.append(at)
        at += size
    return Walk(np.array(starts, np.int64), at, False)
