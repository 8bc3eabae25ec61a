"""Count what was not looked into, so that nothing is lost silently."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field


@dataclass
class Tally:
    """Frames counted under one word each: what they are, or why they could not be read."""

    frames: Counter[str] = field(default_factory=Counter)

    def add(self, what: str, count: int) -> None:
        """Count some frames under a word."""
        if count:
            self.frames[what] += int(count)
