"""The earliest and the latest time of the records of a file."""

from __future__ import annotations


class TimeSpan:
    """The earliest and the latest time so far, in nanoseconds since 1970; None before the first one."""

    __slots__ = ("first_ns", "last_ns")

    def __init__(self) -> None:
        self.first_ns: int | None = None
        self.last_ns: int | None = None

    def add(self, first_ns: int, last_ns: int) -> None:
        """Extend it by a time, or by a range of times.

        Args:
            first_ns: The earliest one.
            last_ns: The latest one.
        """
        if self.first_ns is None or first_ns < self.first_ns:
            self.first_ns = first_ns
        if self.last_ns is None or last_ns > self.last_ns:
            self.last_ns = last_ns
