"""Who was asked for on the local network, and never answered there."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from auditor.sources.capture.packets import Addresses, Hosts, NeighborMessages

MOST_FRAMES = 8  # that are kept as evidence of one host asking for another
MOST_ASKED = 100_000  # pairs of hosts
SETTLE_AT = 65_536

Rows = dict[str, NDArray[Any]]


@dataclass(frozen=True)
class NeighborRequests:
    """ARP requests or neighbor solicitations for `target`, and whether there was a reply."""

    requester: str
    target: str
    frames: tuple[int, ...]
    times_ns: tuple[int, ...]

    @property
    def first_ns(self) -> int:
        """When it was asked first."""
        return self.times_ns[0]

    @property
    def last_ns(self) -> int:
        """When it was asked last."""
        return self.times_ns[-1]


class NeighborTable:
    """The requests of a capture without a reply so far, and all senders; `dropped` counts requests.

    A host that asks or answers is there: requests for it are not kept.
    """

    def __init__(self, addresses: Addresses) -> None:
        self.spoke = Hosts(addresses)
        self.dropped = 0
        self._addresses = addresses
        self._rows: list[Rows] = []
        self._waiting = self._settled = 0

    def add(self, messages: NeighborMessages) -> None:
        """Take in the messages of one batch."""
        self.spoke.add(messages.sender)
        asks = ~messages.answer
        rows = {name: getattr(messages, name)[asks] for name in ("sender", "target", "frame", "time_ns")}
        self._rows.append(rows)
        self._waiting += len(rows["frame"])
        if self._waiting > max(SETTLE_AT, 2 * self._settled):
            self._settle()

    def asked(self) -> tuple[NeighborRequests, ...]:
        """Return the hosts that were asked for and never answered, in order of requester and target.

        If not all senders could be kept, no host counts as one that sent nothing.
        """
        rows = self._settle()
        if self.spoke.full or not len(rows["frame"]):
            return ()
        begins = _begins(rows)
        ends = [*begins[1:].tolist(), len(rows["frame"])]
        texts = [self._texts(rows[name][begins]) for name in ("sender", "target")]
        frames, times = rows["frame"].tolist(), rows["time_ns"].tolist()
        requests = [
            NeighborRequests(requester, target, tuple(frames[begin:end]), tuple(times[begin:end]))
            for requester, target, begin, end in zip(*texts, begins.tolist(), ends, strict=True)
        ]
        return tuple(sorted(requests, key=lambda request: (request.requester, request.target)))

    def _texts(self, hosts: NDArray[np.uint64]) -> list[str]:
        return [self._addresses.text(host & 0xFFFFFFFF, host >> 32) for host in hosts.tolist()]

    def _settle(self) -> Rows:
        """Keep of each pair that is still unanswered the first requests and the last one, sorted by pair and time."""
        names = ("sender", "target", "frame", "time_ns")
        if not self._rows:
            return {name: np.empty(0, np.int64) for name in names}
        rows = {name: np.concatenate([batch[name] for batch in self._rows]) for name in names}
        rows = _chosen(rows, ~self.spoke.has(rows["target"]))
        rows = _chosen(rows, np.lexsort((rows["frame"], rows["target"], rows["sender"])))
        begins = _begins(rows)
        counts = np.diff(np.append(begins, len(rows["frame"])))
        rank = np.arange(len(rows["frame"])) - np.repeat(begins, counts)
        mask = (rank < MOST_FRAMES - 1) | (rank == np.repeat(counts, counts) - 1)
        if len(begins) > MOST_ASKED:
            early = np.zeros(len(begins), np.bool_)
            early[np.argsort(rows["frame"][begins], kind="stable")[:MOST_ASKED]] = True
            self.dropped += int(counts[~early].sum())
            mask &= np.repeat(early, counts)
        rows = _chosen(rows, mask)
        self._rows, self._waiting = [rows], len(rows["frame"])
        self._settled = self._waiting
        return rows


def _begins(rows: Rows) -> NDArray[np.int64]:
    """Return where each pair's rows begin; rows: sorted by pair."""
    if not len(rows["frame"]):
        return np.empty(0, np.int64)
    sender, target = rows["sender"], rows["target"]
    new = np.append(True, (sender[1:] != sender[:-1]) | (target[1:] != target[:-1]))
    return np.flatnonzero(new)


def _chosen(rows: Rows, selector: NDArray[Any]) -> Rows:
    return {name: column[selector] for name, column in rows.items()}
