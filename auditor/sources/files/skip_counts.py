"""Count what was not looked into, so that nothing is lost silently."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field
from typing import SupportsInt


@dataclass
class Tally:
    """Frames counted under one word each: what they are, or why they could not be read.

    Attributes:
        unread: Frames of encapsulations that are not read and may carry traffic of hosts, by name.
        ether_types: Frames that are neither IP nor ARP, by EtherType.
    """

    frames: Counter[str] = field(default_factory=Counter)
    unread: Counter[str] = field(default_factory=Counter)
    ether_types: Counter[int] = field(default_factory=Counter)

    def add(self, label: str, count: SupportsInt) -> None:
        """Count some frames under a word."""
        if number := int(count):
            self.frames[label] += number

    def add_unread(self, name: str, count: SupportsInt) -> None:
        """Count some frames of an encapsulation that is not read."""
        if number := int(count):
            self.unread[name] += number
