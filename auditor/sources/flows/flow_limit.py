"""Which flows are still taken in when a capture holds more than fit into memory."""

from __future__ import annotations

from collections.abc import Callable, Collection
from typing import Any

import numpy as np
from numpy.typing import NDArray

from auditor.sources.capture.addresses import U64, Hosts, among, hosts, unique
from auditor.sources.capture.packets import TCP
from auditor.sources.flows.assembly import COLUMNS, EVENT_COLUMNS, Columns, PartialFlows

MOST_FLOWS = 1_000_000  # beyond these only flows are taken in that an audit may ask for
MOST_IN_ALL = 2_000_000  # beyond these the capture is not read on

Bools = NDArray[np.bool_]
Ports = Callable[[], Collection[int]]
HALF = np.uint64(32)


class FlowLimit:
    """Takes in all flows while there is room, then those at documented ports and between hosts that have such flows.

    A flow is taken in with its first packet or not at all, so none looks as if it had begun in the middle.

    Args:
        ports: Called when room gets scarce, returns the documented ports.

    Attributes:
        dropped: Packets of flows that were not taken in.
    """

    def __init__(self, partials: dict[int, PartialFlows], ports: Ports, heard: Hosts) -> None:
        self.dropped = 0
        self._partials = partials
        self._ports = ports
        self._documented: NDArray[np.int64] = np.empty(0, np.int64)
        self._heard = heard
        self._known: dict[int, U64] = {}  # five-tuples by protocol, sorted; empty while there is room
        self._near: U64 = np.empty(0, np.uint64)

    @property
    def full(self) -> bool:
        """Whether there is no room for any flow at all."""
        return sum(partial.settled for partial in self._partials.values()) > MOST_IN_ALL

    def add(self, protocol: int, batch: PartialFlows) -> None:
        """Add what one batch says of one protocol, or as much as there is room for."""
        if not self._known and sum(partial.settled for partial in self._partials.values()) > MOST_FLOWS:
            self._close()
        self._partials[protocol].absorb(self._chosen(protocol, batch) if self._known else batch)

    def _close(self) -> None:
        self._documented = np.array(sorted(self._ports()), np.int64)
        for protocol, partial in self._partials.items():
            self._known[protocol] = unique(_five_tuples(partial.segments))
        tcp = self._partials[TCP].segments
        self._near = unique(_pairs(tcp)[self._asked_for(tcp)])

    def _asked_for(self, segments: Columns) -> Bools:
        ports = segments["ports"]
        mask: Bools = np.isin(ports >> np.uint32(16), self._documented)
        return mask | np.isin(ports & np.uint32(0xFFFF), self._documented)

    def _chosen(self, protocol: int, batch: PartialFlows) -> PartialFlows:
        segments = batch.segments
        tuples, pairs = _five_tuples(segments), _pairs(segments)
        asked_for = self._asked_for(segments)
        if protocol == TCP:
            self._near = _with(self._near, pairs[asked_for])
        keep = among(tuples, self._known[protocol]) | asked_for | among(pairs, self._near)
        self._known[protocol] = _with(self._known[protocol], tuples[keep])
        self._leave_out(segments, ~keep)
        return _only(batch, keep)

    def _leave_out(self, segments: Columns, mask: Bools) -> None:
        """Count the packets of these segments, and remember who sent them."""
        pair, version = segments["pair"][mask], segments["version"][mask]
        for side, number in (("a", pair >> HALF), ("b", pair & np.uint64(0xFFFFFFFF))):
            frames = segments[f"frames_{side}"][mask]
            self.dropped += int(frames.sum())
            self._heard.add(hosts(number, version)[frames > 0])


def _five_tuples(segments: Columns) -> U64:
    """Return a number for each five-tuple; that two share one is as unlikely as that a packet's checksum is by chance.

    The multiplications spread the bits, so that pairs and ports do not cancel out.
    """
    mixed: U64 = segments["pair"] * np.uint64(0x9E3779B97F4A7C15)
    ports: U64 = segments["ports"].astype(np.uint64) | (segments["version"].astype(np.uint64) << HALF)
    number: U64 = (mixed ^ (mixed >> HALF)) + ports * np.uint64(0xC2B2AE3D27D4EB4F)
    return number


def _pairs(segments: Columns) -> U64:
    """Return the pair of hosts of each segment, the same in both directions."""
    pair = segments["pair"]
    both: U64 = np.minimum(pair, (pair << HALF) | (pair >> HALF))
    return both


def _with(existing: U64, more: U64) -> U64:
    new = more[~among(more, existing)]
    return unique(np.concatenate([existing, new])) if len(new) else existing


def _only(batch: PartialFlows, keep: Bools) -> PartialFlows:
    """Return these segments of a batch, with their events."""
    if keep.all():
        return batch
    result = PartialFlows()
    place = np.cumsum(keep) - 1
    events: dict[str, NDArray[Any]] = {name: batch.events[name] for name in EVENT_COLUMNS}
    event_mask = keep[events["segment"]]
    events = {name: column[event_mask] for name, column in events.items()}
    result.segments.extend({name: batch.segments[name][keep] for name in COLUMNS})
    result.events.extend(events | {"segment": place[events["segment"]]})
    return result
