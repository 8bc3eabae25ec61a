"""The clocks of the sources: how far each is ahead of the common one, found out once for all clients."""

from __future__ import annotations

from auditor.sources.source import FIREWALL_LOG, ROLLED_OVER
from auditor.verdicts.attempts import Attempt, Traffic
from auditor.verdicts.correlation.capture_points import clock_offset
from auditor.verdicts.correlation.match import log_ahead


class Clocks:
    """Tells when an attempt began, and by which clock."""

    def __init__(self, traffic: Traffic) -> None:
        self._traffic = traffic
        self._offsets: dict[tuple[int, str, str], int] = {}
        self._logs_ahead: dict[int, int | None] = {}
        numbers: dict[str, int] = {}
        self._clock_of = [
            numbers.setdefault(
                source.path.removesuffix(ROLLED_OVER) if source.kind == FIREWALL_LOG else str(number), number
            )
            for number, source in enumerate(traffic.sources)
        ]  # the two halves of a log that was rolled over have one clock

    def ahead(self, attempt: Attempt) -> int:
        """Return how far the clock of the attempt's source is ahead of the first source that saw the same attempts."""
        if attempt.row is not None:
            return self._log_ahead(attempt.source) or 0
        key = (attempt.source, attempt.src, attempt.dst)
        if key not in self._offsets:
            offsets = (clock_offset(earlier, *key, self._traffic) for earlier in range(attempt.source))
            self._offsets[key] = next((offset for offset in offsets if offset is not None), 0)
        return self._offsets[key]

    def begin(self, attempt: Attempt) -> int:
        """Return when an attempt began, by the common clock or by that which `clock` names."""
        return attempt.start_ns - self.ahead(attempt)

    def clock(self, attempt: Attempt) -> int | None:
        """Return the number of the log by whose local clock an attempt is timed, None for the common one."""
        local = self._traffic.sources[attempt.source].clock == "local"
        return self._clock_of[attempt.source] if local and self._log_ahead(attempt.source) is None else None

    def of_log(self, number: int) -> int | None:
        """Return how far the clock of a log is ahead of the common one, None if the two cannot be compared."""
        ahead = self._log_ahead(number)
        return 0 if ahead is None and self._traffic.sources[number].clock != "local" else ahead

    def _log_ahead(self, number: int) -> int | None:
        clock = self._clock_of[number]
        if clock not in self._logs_ahead:
            halves = {source for source, shared in enumerate(self._clock_of) if shared == clock}
            self._logs_ahead[clock] = log_ahead(halves, self._traffic, self.ahead)
        return self._logs_ahead[clock]
