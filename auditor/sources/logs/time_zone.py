"""Turn a log's local times into UTC, if the time zone is known, and mark where a clock change makes them doubtful."""

from __future__ import annotations

import re
from datetime import UTC, datetime, timedelta, timezone, tzinfo
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

import numpy as np
from numpy.typing import NDArray

from auditor.errors import ArgumentError
from auditor.sources.files.warnings import SourceWarning, warning

QUARTER_S = 900  # the offset of a zone changes at full quarters of an hour only
SET_BACK_S = 1200  # rows that are this much earlier than those before: the clock was set back
OFFSET = re.compile(r"(?:UTC|GMT)?([+-])(\d{1,2})(?::?(\d{2}))?")


def parse_zone(text: str | None) -> tzinfo | None:
    """Return the time zone that the administrator named, None for None.

    Args:
        text: An offset such as +02:00, UTC, or a zone such as Europe/Berlin.

    Raises:
        ArgumentError: If it is neither.
    """
    if text is None:
        return None
    word = text.strip()
    if word.upper() in ("UTC", "GMT", "Z"):
        return UTC
    if match := OFFSET.fullmatch(word.upper()):
        sign, hours, minutes = match.groups()
        offset = timedelta(hours=int(hours), minutes=int(minutes or 0))
        if offset < timedelta(hours=24) and int(minutes or 0) < 60:
            return timezone(-offset if sign == "-" else offset)
    try:
        return ZoneInfo(word)
    except (ZoneInfoNotFoundError, ValueError, OSError):
        hint = "Use an offset such as +02:00, or a time zone such as Europe/Berlin or America/New_York."
        raise ArgumentError(f"{text!r} is not a time zone", where="--tz", hint=hint) from None


class Clock:
    """The clock that a log was written by.

    Rows must come in file order: where the clock was set back, an hour comes twice, and only the order shows which is
    which.

    Attributes:
        zone: None if unknown, then local times stay as they are.
        known: Whether all times so far are UTC.
    """

    def __init__(self, zone: tzinfo | None) -> None:
        self.zone = zone
        self.known = True
        self._latest: int | None = None
        self._set_back = False
        self._never = 0
        self._twice = 0

    def utc(self, time_s: NDArray[np.int64], is_utc: bool) -> NDArray[np.int64]:
        """Return times in seconds since 1970 UTC.

        Args:
            time_s: Seconds since 1970, by the clock of the log, in file order.
            is_utc: The log says that they are so already.
        """
        if is_utc or not len(time_s):
            return time_s
        if self.zone is None:
            self.known = False
            return time_s
        quarter, codes = np.unique(time_s // QUARTER_S, return_inverse=True)
        offsets = [_offsets(int(number) * QUARTER_S, self.zone) for number in quarter.tolist()]
        early, late = (np.array([offset[fold] for offset in offsets], np.int64)[codes] for fold in (0, 1))
        self._never += int(np.count_nonzero(early < late))
        doubtful = early > late
        if not doubtful.any():
            self._latest, self._set_back = int(time_s.max()), False
            return time_s - early
        self._twice += int(np.count_nonzero(doubtful))
        return time_s - np.where(doubtful & self._second_time(time_s, doubtful), late, early)

    def _second_time(self, time_s: NDArray[np.int64], doubtful: NDArray[np.bool_]) -> NDArray[np.bool_]:
        """Return which rows stand behind the place where the clock was set back."""
        previous = self._latest if self._latest is not None else int(time_s[0])
        latest = np.maximum.accumulate(np.append(previous, time_s))[:-1]
        back = doubtful & (latest - time_s >= SET_BACK_S)
        second = np.logical_or.accumulate(back) | self._set_back
        self._latest, self._set_back = max(previous, int(time_s.max())), bool(second[-1])
        return second

    def warnings(self) -> list[SourceWarning]:
        """Return what summer time made doubtful."""
        warnings = []
        if self._never:
            warnings.append(warning("time-skipped", count=self._never, zone=self.zone))
        if self._twice:
            warnings.append(warning("time-twice", count=self._twice))
        return warnings


def _offsets(local_s: int, zone: tzinfo) -> tuple[int, int]:
    """Return how far local time is ahead of UTC, in seconds, the first and the second time that it is this late."""
    local = datetime(1970, 1, 1) + timedelta(seconds=local_s)
    offsets = [local.replace(tzinfo=zone, fold=fold).utcoffset() or timedelta() for fold in (0, 1)]
    return int(offsets[0].total_seconds()), int(offsets[1].total_seconds())
