"""Hop counts and IP identifications of the packets that one host sent another in one source."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from functools import cached_property
from itertools import pairwise

from auditor.flows import Event

FRESH = frozenset((64, 128, 255))  # hop counts (time to live, hop limit) that operating systems send packets with
ENOUGH_TO_COUNT = 4  # steps from one identification to the next
FEW_PACKETS = 2_000  # between two packets of a host that counts them all


@dataclass(frozen=True)
class Sent:
    """What is kept of the packets from one host to another in one source, in order of frames.

    tcp: without resets, and without packets that belong to no attempt; echo: echo requests and replies.
    """

    tcp: tuple[Event, ...] = ()
    echo: tuple[Event, ...] = ()

    @cached_property
    def hop_counts(self) -> frozenset[int]:
        """Hop counts of all packets."""
        return hop_counts((*self.tcp, *self.echo))

    @cached_property
    def counted(self) -> tuple[tuple[int, int], ...]:
        """Frame and identification of each TCP packet; empty if the host does not count its packets up.

        Windows counts. Two looks at one packet, on both sides of a router, have one identification.
        """
        packets = [(one.frame, one.ip_id) for one in self.tcp]
        packets = packets[:1] + [after for before, after in pairwise(packets) if before[1] != after[1]]
        steps = [(after - before) % 65_536 for (_, before), (_, after) in pairwise(packets)]
        counts = len(steps) >= ENOUGH_TO_COUNT and all(step <= FEW_PACKETS for step in steps)
        return tuple(packets) if counts else ()


def hop_counts(packets: Iterable[Event]) -> frozenset[int]:
    """Return the hop counts of packets, without those that are not known."""
    return frozenset(one.hop_count for one in packets) - {0}


def distance(hop_count: int) -> int:
    """Return how many routers a packet has passed, taken that it was sent with a usual hop count."""
    return min(fresh for fresh in FRESH if fresh >= hop_count) - hop_count
