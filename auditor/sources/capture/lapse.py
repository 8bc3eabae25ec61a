"""How long a capture went on after each of its frames, in the order of the file, whatever its clock did."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

RESPONSE_NS = 3_000_000_000  # how long a response may take before its absence counts
TICK_BITS = 22  # times are compared in units of 2**22 ns, about 4 ms: few frames are left to be looked at
LONG_ENOUGH = RESPONSE_NS >> TICK_BITS
DISORDER = 1_000_000_000 >> TICK_BITS  # by which frames of several interfaces may be out of order

I64 = NDArray[np.int64]


class Lapse:
    """Finds the last frame after which a capture went on for as long as a response may take.

    How long it went on is the largest rise of its clock after the frame, from any frame to any later one. When a clock
    is set back, no rise gets larger, so no silence comes of it; and the rise up to that moment or the one since then is
    at least half of the whole, so a long silence is not lost. A frame is as late as the latest before it, since several
    interfaces are not quite in order. Frames that are far behind are timed among themselves: that a clock is right
    again, or another interface's is ahead, is no rise.
    """

    def __init__(self) -> None:
        self._latest = np.iinfo(np.int64).min
        self._in_step, self._behind = _Rise(), _Rise()

    def add(self, frame: I64, time_ns: I64) -> None:
        """Take in the frames that follow, at least one."""
        ticks = time_ns >> TICK_BITS
        last = np.append(np.flatnonzero(ticks[1:] != ticks[:-1]), len(ticks) - 1)  # of frames of one tick in a row
        ticks, frame = ticks[last], frame[last]
        latest = np.maximum(np.maximum.accumulate(ticks), self._latest)
        self._latest = int(latest[-1])
        behind = latest - ticks > DISORDER
        if behind.any():
            self._behind.add(frame[behind], ticks[behind])
            frame, latest = frame[~behind], latest[~behind]
        self._in_step.add(frame, latest)

    @property
    def outlasted_frame(self) -> int:
        """The last frame after which the capture went on long enough, 0 if it never did."""
        return max(self._in_step.outlasted, self._behind.outlasted)


class _Rise:
    """The last frame after which the clock rose by LONG_ENOUGH, and the later frames from which it still may."""

    def __init__(self) -> None:
        self.outlasted = 0
        self._frame, self._ticks = np.empty(0, np.int64), np.empty(0, np.int64)

    def add(self, frame: I64, ticks: I64) -> None:
        if not len(ticks):
            return
        frame, ticks = np.concatenate([self._frame, frame]), np.concatenate([self._ticks, ticks])
        rise = np.maximum.accumulate(ticks[::-1])[::-1] - ticks
        if len(enough := np.flatnonzero(rise >= LONG_ENOUGH)):
            self.outlasted = int(frame[enough[-1]])
            frame, ticks = frame[enough[-1] + 1 :], ticks[enough[-1] + 1 :]
        # Behind a frame with as early a time the clock rises as far: of each time the last one is enough.
        earliest = np.minimum.accumulate(ticks[::-1])[::-1]
        lowest = np.append(ticks[:-1] < earliest[1:], np.ones(min(1, len(ticks)), np.bool_))
        self._frame, self._ticks = frame[lowest], ticks[lowest]
