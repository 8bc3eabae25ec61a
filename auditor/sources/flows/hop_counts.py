"""Hop counts and IP identifications of the packets that one host sent another in one source."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from functools import cached_property
from itertools import pairwise
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from auditor.sources.flows.conn_state import HAS_ACK, HAS_RST, STRAY

if TYPE_CHECKING:
    from auditor.sources.flows.source_flows import FlowEvent

Bools = NDArray[np.bool_]

FRESH = frozenset((64, 128, 255))  # hop counts (time to live, hop limit) that operating systems send packets with
ENOUGH_TO_COUNT = 4  # steps from one identification to the next
FEW_PACKETS = 2_000  # between two packets of a host that counts them all


@dataclass(frozen=True)
class SentPackets:
    """What is kept of the packets from one host to another in one source, in order of frames.

    Attributes:
        tcp: Without resets, and without packets that belong to no attempt.
        echo: Echo requests and replies.
    """

    tcp: tuple[FlowEvent, ...] = ()
    echo: tuple[FlowEvent, ...] = ()

    @cached_property
    def tcp_hop_counts(self) -> frozenset[int]:
        """Hop counts of the TCP packets."""
        return hop_counts(self.tcp)

    @cached_property
    def hop_counts(self) -> frozenset[int]:
        """Hop counts of all packets."""
        return hop_counts((*self.tcp, *self.echo))

    @cached_property
    def counted(self) -> tuple[tuple[int, int], ...]:
        """Frame and identification of each TCP packet; empty if the host does not count its packets up.

        Windows counts. Two looks at one packet, on both sides of a router, have one identification.
        """
        packets = [(event.frame, event.ip_id) for event in self.tcp]
        packets = packets[:1] + [current for previous, current in pairwise(packets) if previous[1] != current[1]]
        steps = [(current - previous) % 65_536 for (_, previous), (_, current) in pairwise(packets)]
        counts = len(steps) >= ENOUGH_TO_COUNT and all(step <= FEW_PACKETS for step in steps)
        return tuple(packets) if counts else ()


def hop_counts(packets: Iterable[FlowEvent]) -> frozenset[int]:
    """Return the hop counts of packets, without those that are not known."""
    return frozenset(packet.hop_count for packet in packets) - {0}


def distance(hop_count: int) -> int:
    """Return how many routers a packet has passed, taken that it was sent with a usual hop count."""
    return min(fresh for fresh in FRESH if fresh >= hop_count) - hop_count


def on_link(
    flows: Mapping[str, NDArray[Any]], events: Mapping[str, NDArray[Any]], begin: NDArray[np.int64]
) -> frozenset[str]:
    """Return the hosts on whose own network a capture was taken.

    All packets of such a host are fresh, and it exchanges packets with a host of which none is. If some of its packets
    had passed a router too, the capture would show several networks, and not on which of them another packet was seen.
    Only echo requests may have any hop count, as those of tracert do.

    Args:
        flows: Columns of the flow table.
        events: What is kept of the packets, flow by flow.
        begin: Where the events of each flow begin, and where those of the last end.
    """
    owner = np.repeat(np.arange(len(begin) - 1), np.diff(begin))
    tcp, echo = ((flows["protocol"] == name)[owner] for name in ("tcp", "icmp"))
    packet, from_src = events["packet"], events["from_src"]
    relevant = (tcp & ((packet & (HAS_RST | STRAY)) == 0)) | echo
    request = echo & ((packet & HAS_ACK) == 0)
    fresh, stale = _fresh_and_stale(events["hop_count"], relevant)

    def flows_with(packets: Bools) -> Bools:
        """Return which flows hold some of these packets."""
        mask = np.zeros(len(begin) - 1, np.bool_)
        mask[owner[packets]] = True
        return mask

    local_hosts: set[str] = set()
    elsewhere: set[str] = set()
    for side, own in (("src_ip", from_src), ("dst_ip", ~from_src)):
        exchange = flows_with(own & fresh) & flows_with(~own & stale) & ~flows_with(~own & fresh)
        local_hosts.update(flows[side][exchange].tolist())
        elsewhere.update(flows[side][flows_with(own & stale & ~request)].tolist())
    return frozenset(local_hosts - elsewhere)


def _fresh_and_stale(hop_count: NDArray[np.uint8], relevant: Bools) -> tuple[Bools, Bools]:
    fresh: Bools = np.isin(hop_count, list(FRESH))
    return relevant & fresh, relevant & ~fresh
