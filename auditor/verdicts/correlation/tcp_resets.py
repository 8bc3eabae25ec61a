"""Judgement of TCP resets: whether the computer that was tried sent them, or a device on the path in its name."""

from __future__ import annotations

from bisect import bisect
from collections.abc import Sequence

from auditor.sources.flows.hop_counts import FEW_PACKETS, SentPackets, distance, hop_counts
from auditor.sources.flows.source_flows import FlowEvent


def reset_from_other_device(resets: Sequence[FlowEvent], other_packets: SentPackets) -> bool | None:
    """Tell whether another device than the host sent resets, None if that is unknown.

    A reset that has passed as many routers as the host's other packets is its own, unless the host counts its packets
    and the reset is none of that count. Where packets are captured on both sides of a router, the host's own resets
    are seen with both hop counts.

    Args:
        resets: Resets of one attempt, from the host that was tried.
        other_packets: Other packets of that host to the same host.
    """
    own = hop_counts(resets)
    usual = other_packets.tcp_hop_counts
    if not own or not (usual or other_packets.hop_counts):
        return None
    if not usual:
        return _unlike_pings(own, other_packets.hop_counts)
    if own.isdisjoint(usual):
        return True
    same = own == usual and all(_is_in_count(reset, other_packets.counted) for reset in resets)
    return False if same else None


def _unlike_pings(own: frozenset[int], pings: frozenset[int]) -> bool | None:
    """Compare resets with echo replies, which a host may send with another first hop count than TCP packets."""
    if own == pings:
        return False
    return True if {*map(distance, own)}.isdisjoint(map(distance, pings)) else None


def _is_in_count(reset: FlowEvent, counted: Sequence[tuple[int, int]]) -> bool:
    """Tell whether a reset's identification fits those of the packets before and after it.

    Linux writes 0 into a reset for a closed port, which contradicts nothing.
    """
    if not reset.ip_id or not counted:
        return True
    place = bisect(counted, (reset.frame, 0))
    steps_before = [(reset.ip_id - number) % 65_536 for _, number in counted[:place][-1:]]
    steps_after = [(number - reset.ip_id) % 65_536 for _, number in counted[place : place + 1]]
    return all(step <= FEW_PACKETS for step in steps_before + steps_after)
