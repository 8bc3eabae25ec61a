"""How far the clock of one capture is ahead of that of another, from connections that both saw."""

from __future__ import annotations

from collections import defaultdict
from statistics import median

from auditor.ruleset.statements import say, say_count
from auditor.verdicts.attempts import Traffic

SAME_CLOCK_NS = 1_000_000
LIKELY_NS = 3_600_000_000_000
MOST_NOTES = 5


def clock_notes(traffic: Traffic) -> tuple[str, ...]:
    """Return a sentence for each source that holds connections of an earlier one: how their clocks differ."""
    ahead: dict[tuple[int, int], list[int]] = defaultdict(list)  # by the later and the earlier source
    for starts in _starts(traffic).values():
        earlier, *later = starts  # in order
        for second in later:
            ahead[second, earlier].append(starts[second] - starts[earlier])
    latest = {second: (earlier, offsets) for (second, earlier), offsets in sorted(ahead.items(), reverse=True)}
    notes = []
    for second, (earlier, offsets) in sorted(latest.items()):
        names = [traffic.sources[number].path for number in (earlier, second)]
        notes.append(_clock_note(names[0], names[1], int(median(offsets))))
    if more := len(notes[MOST_NOTES:]):
        return (*notes[:MOST_NOTES], say_count("clocks.more", more))
    return tuple(notes)


def _starts(traffic: Traffic) -> dict[object, dict[int, int]]:
    """Return when each connection began, in each source that has it."""
    starts: dict[object, dict[int, int]] = defaultdict(dict)
    for pair in traffic.pairs():
        for attempt in traffic.between(*pair):
            if attempt.protocol == "tcp" and attempt.identity is not None:
                starts[attempt.identity].setdefault(attempt.source, attempt.start_ns)
    return starts


def _clock_note(earlier_path: str, later_path: str, ahead: int) -> str:
    """Return the sentence on two clocks. ahead: how many nanoseconds the second is ahead, the way between included."""
    template = "clocks.ahead" if ahead > 0 else "clocks.behind"
    if abs(ahead) < SAME_CLOCK_NS:
        template = "clocks.agree"
    return say(template, earlier=earlier_path, later=later_path, seconds=abs(ahead) / 1e9)


def clock_offset(earlier: int, later: int, src: str, dst: str, traffic: Traffic) -> int | None:
    """Return how many nanoseconds the second source's clock is ahead of the first's, None if they share no attempt.

    Connections tell; pings only where there are none, and clocks that differ by hours do not: their numbers come again
    every time that somebody pings.
    """
    times: dict[tuple[int, bool], dict[object, int]] = defaultdict(dict)
    for attempt in traffic.between(src, dst):
        if attempt.identity is not None:
            times[attempt.source, attempt.protocol == "tcp"].setdefault(attempt.identity, attempt.start_ns)
    for connections in (True, False):
        earlier_starts, later_starts = times[earlier, connections], times[later, connections]
        if shared := earlier_starts.keys() & later_starts.keys():
            offset = int(median(later_starts[key] - earlier_starts[key] for key in shared))
            return offset if connections or abs(offset) <= LIKELY_NS else None
    return None
