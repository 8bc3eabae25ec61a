"""The flow table of one source, and what else its packets say: errors, neighbours, who was heard at all."""

from __future__ import annotations

from collections import defaultdict
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from auditor import conn_state, flow_table, quoted, segments
from auditor.flow_table import ANSWERS, TABLE
from auditor.quoted import MEANING
from auditor.segments import Partial
from auditor.sources.packets import ICMP, TCP, UDP, Addresses, Headers, Neighbour, Quote

__all__ = ["ANSWERS", "MEANING", "TABLE", "Asked", "Event", "FlowBuilder", "Flows"]

MOST_QUOTES = 100_000
MOST_LIKE_IT = 8  # errors of one kind about one flow that are kept as evidence


class Event(NamedTuple):
    """A packet that says what a flow is: its frame, time, whether the originator sent it, and what it is.

    what: "SYN", "SYN-ACK", "RST", "FIN", "data", "ACK", "request", "reply" or "datagram".
    """

    frame: int
    time_ns: int
    from_src: bool
    what: str
    sequence: int


@dataclass(frozen=True)
class Asked:
    """Requests on the local network for the hardware address of `target`, and whether anybody answered."""

    asker: str
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


class Flows:
    """All flows of one source: the table, and for each row its events and the ICMP errors about it.

    table: one row a flow, columns and types as TABLE, in order of the first frame; row numbers are flow numbers.
    """

    def __init__(
        self,
        table: pd.DataFrame,
        events: dict[str, NDArray[Any]],
        event_begin: NDArray[np.int64],
        errors: dict[int, list[Quote]],
        asked: tuple[Asked, ...],
        heard: frozenset[str],
        others: tuple[tuple[str, str, int], ...],
    ) -> None:
        self.table = table
        self.errors = errors
        self.asked = asked
        self.heard = heard
        self.others = others
        self._events = events
        self._event_begin = event_begin

    def events(self, flow: int) -> list[Event]:
        """Return the events of one flow in file order."""
        begin, end = int(self._event_begin[flow]), int(self._event_begin[flow + 1])
        columns = (
            self._events[name][begin:end].tolist() for name in ("frame", "time_ns", "from_src", "packet", "sequence")
        )
        protocol = str(self.table["protocol"].iat[flow])
        return [
            Event(frame, time, from_src, _what(packet, protocol), sequence)
            for frame, time, from_src, packet, sequence in zip(*columns, strict=True)
        ]


def _what(packet: int, protocol: str) -> str:
    if protocol == "udp":
        return "datagram"
    if protocol == "icmp":
        return "reply" if packet & conn_state.HAS_ACK else "request"
    if packet & conn_state.HAS_SYN:
        return "SYN-ACK" if packet & conn_state.HAS_ACK else "SYN"
    if packet & conn_state.HAS_RST:
        return "RST"
    if packet & conn_state.HAS_FIN:
        return "FIN"
    return "data" if packet & conn_state.HAS_DATA else "ACK"


class FlowBuilder:
    """Collect the headers of batch after batch; `finish` makes the flows of them."""

    def __init__(self, source: str, addresses: Addresses) -> None:
        self._source = source
        self._addresses = addresses
        self._partials = {TCP: Partial(), UDP: Partial(), ICMP: Partial()}
        self._quotes: dict[tuple[Any, ...], list[Quote]] = defaultdict(list)
        self._quote_count = 0
        self.quotes_dropped = 0
        self._neighbours: dict[tuple[str, str, bool], list[Neighbour]] = defaultdict(list)
        self._others: set[tuple[str, str, int]] = set()

    def add(self, headers: Headers) -> None:
        """Take in the headers of one batch."""
        for protocol, packets in ((TCP, headers.tcp), (UDP, headers.udp), (ICMP, headers.icmp)):
            self._partials[protocol].absorb(segments.partial(packets))
        for quote in headers.quotes:
            self._add_quote(quote)
        for neighbour in headers.neighbours:
            kept = self._neighbours[neighbour.sender, neighbour.target, neighbour.answer]
            kept[MOST_LIKE_IT - 1 :] = [*kept[MOST_LIKE_IT - 1 : MOST_LIKE_IT - 1], neighbour]
        self._others.update(headers.others)

    def _add_quote(self, quote: Quote) -> None:
        key = quote._replace(frame=0, time_ns=0, sequence=None, header_bytes=0)
        if self._quote_count >= MOST_QUOTES and key not in self._quotes:
            self.quotes_dropped += 1
        elif len(self._quotes[key]) < MOST_LIKE_IT:
            self._quotes[key].append(quote)
            self._quote_count += 1

    def finish(self) -> Flows:
        """Return the flows; the builder is used up."""
        quotes = sorted(quote for kept in self._quotes.values() for quote in kept)
        streams = {protocol: segments.finish(self._partials.pop(protocol)) for protocol in list(self._partials)}
        parts = [flow_table.oriented(protocol, streams.pop(protocol)) for protocol in list(streams)]
        columns, events, begin = flow_table.in_order(parts)
        table = flow_table.table(columns, self._addresses, self._source)
        table, errors = quoted.attach(table, quotes, self._source)
        table["stream"] = quoted.stream_numbers(table, quotes)
        begin = np.append(begin, np.full(len(table) + 1 - len(begin), begin[-1]))
        return Flows(table, events, begin, errors, self._asked(), self._heard(table), tuple(sorted(self._others)))

    def _asked(self) -> tuple[Asked, ...]:
        """Return the hosts that were asked for on the local network and never answered there."""
        answered = {sender for sender, _, _ in self._neighbours}
        waiting: dict[tuple[str, str], list[Neighbour]] = defaultdict(list)
        for (sender, target, answer), kept in self._neighbours.items():
            if not answer and target not in answered and target != sender:
                waiting[sender, target] += kept
        return tuple(
            Asked(asker, target, tuple(one.frame for one in kept), tuple(one.time_ns for one in kept))
            for (asker, target), kept in sorted(waiting.items())
        )

    def _heard(self, table: pd.DataFrame) -> frozenset[str]:
        """Return every address that sent at least one packet."""
        talking = [table[f"{side}_ip"][table[f"frames_{side}"] > 0].unique() for side in ("src", "dst")]
        errors = {kept[0].sender for kept in self._quotes.values()}
        neighbours = {sender for sender, _, _ in self._neighbours}
        others = {source for source, _, _ in self._others}
        return frozenset(errors.union(neighbours, others, *talking))
