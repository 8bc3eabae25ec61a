"""Find where each record of a capture begins, many thousand at a time.

The records of a pcap or pcapng file form a chain: only the length in one header tells where the next begins, so the
obvious reader takes one Python step a packet. Here several hundred *lanes* walk the chain at once with NumPy: the
first starts at the true beginning, each other at a guess further on. A lane is believed only if the lane before it
arrives exactly at its start, so a wrong guess costs time and never changes the result.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

Positions = NDArray[np.int64]

LANE_BYTES = 64 * 1024
GUESS_WINDOW = 2048
WORTH_LANES = 1024 * 1024


class Format(NamedTuple):
    """How the records of one container are laid out.

    head: bytes of a record header, all of which must lie before the end.
    sizes: whole length of the records that begin at these positions, header included; -1 where it cannot be.
    plausible: of these positions, which may well begin a record (used for guesses only).
    likely_byte: offset and value of a byte that nearly every record has, which makes guessing cheap.
    """

    head: int
    size: Callable[[int], int]
    sizes: Callable[[Positions], Positions]
    plausible: Callable[[Positions], NDArray[np.bool_]]
    likely_byte: tuple[int, int]


class Walk(NamedTuple):
    """Positions of the whole records, where the walk ended, and whether it ended at a record that cannot be."""

    starts: Positions
    end: int
    broken: bool


def walk(layout: Format, data: NDArray[np.uint8], begin: int, end: int) -> Walk:
    """Return the starts of all records that lie whole in data[begin:end]."""
    if end - begin < WORTH_LANES:
        return _walk_one(layout, begin, end)
    lanes = np.concatenate([[begin], _guesses(layout, data, begin + LANE_BYTES, end)])
    return _walk_lanes(layout, lanes, end)


def _guesses(layout: Format, data: NDArray[np.uint8], begin: int, end: int) -> Positions:
    """Return one likely record start in the window that follows each LANE_BYTES, where there is one."""
    lanes = max(0, (end - GUESS_WINDOW - 256 - begin) // LANE_BYTES)
    offset, value = layout.likely_byte
    step = data.strides[0]
    windows: Any = np.lib.stride_tricks.as_strided(
        data[begin + offset :], (lanes, GUESS_WINDOW), (LANE_BYTES * step, step), writeable=False
    )
    lane, at = np.nonzero(windows == value)
    found = begin + lane * LANE_BYTES + at
    good = layout.plausible(found)
    found, lane = found[good], lane[good]
    size = layout.sizes(found)
    follower = np.minimum(found + size, end - layout.head)
    good = (size > 0) & (found + size <= end - layout.head) & layout.plausible(follower)
    _, first = np.unique(lane[good], return_index=True)
    return found[good][first].astype(np.int64)


def _walk_lanes(layout: Format, lanes: Positions, end: int) -> Walk:
    """Walk all lanes at once; keep those that join up, then go on from the end of the last of them."""
    limits = np.append(lanes[1:], end)
    starts, ends = _step_together(layout, lanes, limits, end)
    broken_joint = np.flatnonzero(ends[:-1] != lanes[1:])
    kept = int(broken_joint[0]) + 1 if len(broken_joint) else len(lanes)
    good = np.concatenate(starts[:kept])
    rest = _walk_one(layout, int(ends[kept - 1]), end)
    return Walk(np.concatenate([good, rest.starts]), rest.end, rest.broken)


def _step_together(
    layout: Format, lanes: Positions, limits: Positions, end: int
) -> tuple[list[Positions], Positions]:
    """Advance every lane to its limit; return the starts passed by each and where each stopped."""
    at = lanes.astype(np.int64)
    ends = at.copy()
    active = np.arange(len(lanes))
    steps: list[tuple[Positions, Positions]] = []
    while len(active):
        size = layout.sizes(at)
        following = at + size
        go = (size > 0) & (following <= end)
        if not go.all():
            ends[active[~go]] = at[~go]
            active, at, following = active[go], at[go], following[go]
        steps.append((active, at))
        done = following >= np.minimum(limits[active], end - layout.head + 1)
        if done.any():
            ends[active[done]] = following[done]
            active, following = active[~done], following[~done]
        at = following
    who = np.concatenate([lane for lane, _ in steps])
    where = np.concatenate([position for _, position in steps])
    where = where[np.argsort(who, kind="stable")]
    return np.split(where, np.cumsum(np.bincount(who, minlength=len(lanes)))[:-1]), ends


def _walk_one(layout: Format, begin: int, end: int) -> Walk:
    """Walk the chain one record at a time: the plain way, for small files and whatever the lanes left over."""
    starts: list[int] = []
    at, last = begin, end - layout.head
    while at <= last:
        size = layout.size(at)
        if size < 0:
            return Walk(np.array(starts, np.int64), at, True)
        if at + size > end:
            break
        starts.append(at)
        at += size
    return Walk(np.array(starts, np.int64), at, False)
