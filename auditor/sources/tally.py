"""Count what was not looked into, so that nothing is lost silently."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field
from typing import SupportsInt


@dataclass
class Tally:
    """Frames counted under one word each: what they are, or why they could not be read."""

    frames: Counter[str] = field(default_factory=Counter)

    def add(self, what: str, count: SupportsInt) -> None:
        """Count some frames under a word."""
        if number := int(count):
            self.frames[what] += number
