"""Attempts that left one computer and are missing from the firewall log of the other.

A missing entry means something only if the log would hold it:

- The log is that computer's own, and has entries within a minute before and after the attempt: the computer was on, and
  had the address. (Of ten real logs that hold dropped and allowed packets, nine do at 99 % of all times.)
- It holds both dropped and allowed packets of that hour, so both are logged, and reports no entries that were lost.
- No packet from the originator to the port is in it at that time. Address translation may change the source: unless
  the log has packets of the originator's own address within the hour, a packet to the port from any source counts.
- The clocks can be compared.

Windows Firewall does not log packets to a port on which no service listens. An entry about the port rules that out.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import cached_property
from statistics import median
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from auditor.sources.flows.columns import MISSING
from auditor.sources.flows.table import is_among
from auditor.sources.logs.firewall_rows import LET_THROUGH
from auditor.sources.source import CAPTURE, FIREWALL_LOG, Source
from auditor.verdicts.attempts import Attempt, Traffic
from auditor.verdicts.correlation.clocks import Clocks
from auditor.verdicts.correlation.match import CLOCKS_DIFFER_NS, ENOUGH_TO_SHIFT

NEAR_NS = 60_000_000_000
AROUND_NS = 3_600_000_000_000  # within which the log must show that it holds dropped and allowed packets
INCOMPLETE = frozenset(("lost-events", "malformed-lines", "folded"))

Times = NDArray[np.int64]
Bools = NDArray[np.bool_]


class Missing(NamedTuple):
    """A log in which an attempt is missing. shows_port: whether it holds other packets to the port."""

    path: str
    shows_port: bool


class Absence:
    """Looks for attempts in the logs of the computers that they were made to."""

    def __init__(self, traffic: Traffic, clocks: Clocks) -> None:
        self._traffic = traffic
        self._clocks = clocks
        self._logs: dict[str, list[tuple[int, _OwnLog]]] = {}
        self._shared: dict[tuple[int, int, str, str], int | None] = {}

    def missing(self, attempts: Sequence[Attempt]) -> Missing | None:
        """Return the log of the computer that was tried, if it would hold an attempt and does not.

        Args:
            attempts: The same attempt in every source that has it.
        """
        attempt = attempts[0]
        logs = self._logs_of(attempt.dst)
        lacking = [log for number, log in logs if self._lacks(log, number, attempt)]
        if not lacking or any(self._holds(log, number, attempt) for number, log in logs):
            return None
        return Missing(lacking[0].path, any(log.shows_port(attempt) for _, log in logs))

    def _logs_of(self, host: str) -> list[tuple[int, _OwnLog]]:
        if host not in self._logs:
            own = [(number, source) for number, source in enumerate(self._traffic.sources) if _is_log_of(host, source)]
            self._logs[host] = [(number, _OwnLog(source, host)) for number, source in own]
        return self._logs[host]

    def _lacks(self, log: _OwnLog, number: int, attempt: Attempt) -> bool:
        offset = self._offset_ns(number, attempt)
        return offset is not None and log.covers(attempt.start_ns + offset, attempt.end_ns + offset)

    def _holds(self, log: _OwnLog, number: int, attempt: Attempt) -> bool:
        """Tell whether a log may hold the attempt; one whose clock cannot be compared may hold it at any time."""
        offset = self._offset_ns(number, attempt)
        if offset is None:
            return log.shows_port(attempt)
        begin, end = attempt.start_ns + offset, attempt.end_ns + offset
        return log.holds(attempt, begin - CLOCKS_DIFFER_NS, end + CLOCKS_DIFFER_NS)

    def _offset_ns(self, number: int, attempt: Attempt) -> int | None:
        """Return how many nanoseconds the clock of a log is ahead of that of an attempt's source.

        Connections that both hold tell; else the clocks do, if both are of a known time zone.
        """
        key = (number, attempt.source, attempt.src, attempt.dst)
        if key not in self._shared:
            self._shared[key] = self._by_shared(*key)
        of_log = self._clocks.of_log(number)
        if self._shared[key] is not None or of_log is None or self._clocks.local_clock(attempt) is not None:
            return self._shared[key]
        return of_log - self._clocks.offset_ns(attempt)

    def _by_shared(self, number: int, other_source: int, src: str, dst: str) -> int | None:
        """Return how many nanoseconds a log is ahead of another source by the connections that both hold, if they do.

        The same ports come again within hours, so several have to agree.
        """
        starts: dict[int, dict[object, int]] = {number: {}, other_source: {}}
        for attempt in self._traffic.between(src, dst):
            if attempt.source in starts and attempt.src_port is not None:
                starts[attempt.source][attempt.ends] = attempt.start_ns
        theirs, ours = starts[number], starts[other_source]
        offsets = sorted(theirs[ends] - ours[ends] for ends in ours.keys() & theirs.keys())
        agree = len(offsets) >= ENOUGH_TO_SHIFT and offsets[-1] - offsets[0] <= CLOCKS_DIFFER_NS
        return int(median(offsets)) if agree else None


def _is_log_of(host: str, source: Source) -> bool:
    facts = source.details.facts
    return source.kind != CAPTURE and facts is not None and any(local.address == host for local in facts.local)


class _OwnLog:
    """The log of one computer, of which an address is known; its columns are searched once for all attempts."""

    def __init__(self, source: Source, address: str) -> None:
        self.path = source.path
        self._is_of_one = source.kind == FIREWALL_LOG
        self._complete = not source.skipped and INCOMPLETE.isdisjoint(warning.code for warning in source.warnings)
        self._columns = source.table.columns
        self._address = address
        self._by_originator: dict[str, Times] = {}
        self._by_port: dict[tuple[str, int, str | None], tuple[Times, Times]] = {}

    def covers(self, begin: int, end: int) -> bool:
        """Tell whether the log would hold all that the computer received in a span of time."""
        entries_before = _any_within(self._times, begin - NEAR_NS, begin)
        entries_after = _any_within(self._times, end, end + NEAR_NS)
        own = _any_within(self._own_starts, begin - NEAR_NS, end + NEAR_NS)
        hour = (begin - AROUND_NS, end + AROUND_NS)
        both = _any_within(self._dropped, *hour) and _any_within(self._allowed, *hour)
        return self._complete and entries_before and entries_after and own and both

    def holds(self, attempt: Attempt, begin: int, end: int) -> bool:
        """Tell whether a packet that may be of the attempt is in the log in a span of time."""
        translated = not _any_within(self._starts_of(attempt.src), begin - AROUND_NS, end + AROUND_NS)
        start, last = self._to_port(attempt, None if translated else attempt.src)
        return bool(((start <= end) & (last >= begin)).any())

    def shows_port(self, attempt: Attempt) -> bool:
        """Tell whether the log shows that packets to the attempt's port are logged: an echo request always is."""
        return attempt.protocol == "icmp" or bool(len(self._to_port(attempt, None)[0]))

    def _starts_of(self, originator: str) -> Times:
        """Return when what was received from a host begins, in order."""
        if originator not in self._by_originator:
            mask = self._received & (self._columns["src_ip"] == originator)
            self._by_originator[originator] = np.sort(self._start[mask])
        return self._by_originator[originator]

    def _to_port(self, attempt: Attempt, originator: str | None) -> tuple[Times, Times]:
        """Return first and last times of what was received at the attempt's port: from a host, from any if None."""
        port = MISSING if attempt.dst_port is None else attempt.dst_port
        key = (attempt.protocol, port, originator)
        if key not in self._by_port:
            mask = self._received & (self._columns["dst_port"] == port)
            mask &= self._columns["protocol"] == attempt.protocol
            if originator is not None:
                mask &= self._columns["src_ip"] == originator
            self._by_port[key] = (self._start[mask], self._columns["end"][mask])
        return self._by_port[key]

    @cached_property
    def _start(self) -> Times:
        start: Times = self._columns["start"]
        return start

    @cached_property
    def _received(self) -> Bools:
        received: Bools = (self._columns["direction"] == "RECEIVE") & (self._columns["dst_ip"] == self._address)
        return received

    @cached_property
    def _own(self) -> Bools:
        """Which entries are about packets from or to the address."""
        sent: Bools = (self._columns["direction"] == "SEND") & (self._columns["src_ip"] == self._address)
        return sent | self._received

    @cached_property
    def _own_starts(self) -> Times:
        return np.sort(self._start[self._own])

    @cached_property
    def _dropped(self) -> Times:
        """When the computer dropped packets that it received, in order."""
        dropped = (self._columns["action"] == "DROP") & (self._columns["direction"] == "RECEIVE")
        return np.sort(self._start[dropped & self._of_computer])

    @cached_property
    def _allowed(self) -> Times:
        """When the computer allowed packets, in order."""
        return np.sort(self._start[is_among(self._columns["action"], LET_THROUGH) & self._of_computer])

    @cached_property
    def _of_computer(self) -> Bools:
        """Which entries are of this computer; an event log may be of several."""
        return np.ones(len(self._start), np.bool_) if self._is_of_one else self._own

    @cached_property
    def _times(self) -> Times:
        """When the entries of this computer begin and end, in order."""
        mask = self._of_computer
        return np.sort(np.concatenate([self._start[mask], self._columns["end"][mask]]))


def _any_within(times: Times, begin: int, end: int) -> bool:
    """Tell whether any of these times, which are in order, lies in a span of time."""
    place = int(np.searchsorted(times, begin))
    return place < len(times) and bool(times[place] <= end)
