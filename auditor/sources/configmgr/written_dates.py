"""Dates in the format of a user, whose order of day and month often only other dates show."""

from __future__ import annotations

import re
from dataclasses import dataclass
from datetime import date

DAY_NS = 86_400 * 10**9
FIRST_YEAR, LAST_YEAR = 1970, 2261  # what 64 bits hold as nanoseconds
_NUMBER = re.compile(r"\d+")


@dataclass(frozen=True, slots=True)
class DateNumbers:
    """The three numbers of a date as they are written.

    Attributes:
        first: Year, or day or month.
        second: Month, or day.
        third: Year, or day.
        dotted: Whether dots are between them, which only locales with the day in front write.
    """

    first: int
    second: int
    third: int
    dotted: bool

    @classmethod
    def of(cls, text: str) -> DateNumbers:
        """Return those of a text with three numbers, such as "9/25/2026"."""
        first, second, third = (int(number) for number in _NUMBER.findall(text)[:3])
        return cls(first, second, third, "." in text)

    @property
    def is_year_first(self) -> bool:
        """Whether the year is in front."""
        return self.first > 31

    @property
    def shown_order(self) -> bool | None:
        """Whether the day is in front of the month; None if this date does not show it."""
        if self.is_year_first:
            return None
        if self.first > 12 or (self.dotted and self.second <= 12):
            return True
        return False if self.second > 12 else None

    @property
    def is_ambiguous(self) -> bool:
        """Whether the date can be read in two ways."""
        return not self.is_year_first and self.first != self.second and self.shown_order is None

    def day_ns(self, day_first: bool | None) -> int | None:
        """Return the beginning of the day.

        Args:
            day_first: The order that other dates show, None if none does.

        Returns:
            Nanoseconds since 1970, None if there is no such day, or it is ambiguous.
        """
        if self.is_year_first:
            return calendar_day_ns(self.first, self.second, self.third)
        if day_first is None and self.is_ambiguous:
            return None
        year = self.third if self.third >= 100 else self.third + (2000 if self.third < 70 else 1900)
        if self.shown_order if day_first is None else day_first:
            return calendar_day_ns(year, self.second, self.first)
        return calendar_day_ns(year, self.first, self.second)


def calendar_day_ns(year: int, month: int, day: int) -> int | None:
    """Return the beginning of a day as nanoseconds since 1970, None if there is no such day."""
    if not FIRST_YEAR <= year <= LAST_YEAR:
        return None
    try:
        return (date(year, month, day) - date(1970, 1, 1)).days * DAY_NS
    except ValueError:
        return None


def clock_ns(text: str, fraction: str | None, half: str | None) -> int | None:
    """Return a time of day as nanoseconds.

    Args:
        text: Hours and minutes, and perhaps seconds, such as "2:13:55".
        fraction: Digits of the fraction of a second.
        half: "A" or "P" of "AM" or "PM", in any case; None for 24 hours.

    Returns:
        The time, None if there is none such.
    """
    hour, minute, second = (*map(int, _NUMBER.findall(text)), 0)[:3]
    if half:
        if not 1 <= hour <= 12:
            return None
        hour = hour % 12 + (12 if half in "Pp" else 0)
    if hour > 23 or minute > 59 or second > 60:
        return None
    return ((hour * 60 + minute) * 60 + second) * 10**9 + int((fraction or "").ljust(9, "0"))
