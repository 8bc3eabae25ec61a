"""The clocks of the sources: how far each is ahead of the common one, found out once for all clients."""

from __future__ import annotations

from auditor.sources.source import FIREWALL_LOG, ROLLED_OVER
from auditor.verdicts.attempts import Attempt, Traffic
from auditor.verdicts.correlation.clock_offsets import clock_offset
from auditor.verdicts.correlation.match import log_offset_ns


class Clocks:
    """Tells when an attempt began, and by which clock."""

    def __init__(self, traffic: Traffic) -> None:
        self._traffic = traffic
        self._offsets: dict[tuple[int, str, str], int] = {}
        self._log_offsets: dict[int, int | None] = {}
        numbers: dict[str, int] = {}
        self._clock_of = [
            numbers.setdefault(
                source.path.removesuffix(ROLLED_OVER) if source.kind == FIREWALL_LOG else str(number), number
            )
            for number, source in enumerate(traffic.sources)
        ]  # the two halves of a log that was rolled over have one clock

    def offset_ns(self, attempt: Attempt) -> int:
        """Return how far the clock of the attempt's source is ahead of the first source that saw the same attempts."""
        if attempt.row is not None:
            return self._log_offset_ns(attempt.source) or 0
        key = (attempt.source, attempt.src, attempt.dst)
        if key not in self._offsets:
            offsets = (clock_offset(earlier, *key, self._traffic) for earlier in range(attempt.source))
            self._offsets[key] = next((offset for offset in offsets if offset is not None), 0)
        return self._offsets[key]

    def start_ns(self, attempt: Attempt) -> int:
        """Return when an attempt began, by the common clock or by that which `local_clock` names."""
        return attempt.start_ns - self.offset_ns(attempt)

    def local_clock(self, attempt: Attempt) -> int | None:
        """Return the number of the log by whose local clock an attempt is timed, None for the common one."""
        local = self._traffic.sources[attempt.source].clock == "local"
        return self._clock_of[attempt.source] if local and self._log_offset_ns(attempt.source) is None else None

    def of_log(self, number: int) -> int | None:
        """Return how far the clock of a log is ahead of the common one, None if the two cannot be compared."""
        offset = self._log_offset_ns(number)
        return 0 if offset is None and self._traffic.sources[number].clock != "local" else offset

    def _log_offset_ns(self, number: int) -> int | None:
        clock = self._clock_of[number]
        if clock not in self._log_offsets:
            halves = {source for source, shared in enumerate(self._clock_of) if shared == clock}
            self._log_offsets[clock] = log_offset_ns(halves, self._traffic, self.offset_ns)
        return self._log_offsets[clock]
