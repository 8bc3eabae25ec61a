"""The flow table: finished streams of packets, each seen from its originator, as one table of NumPy columns."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping
from functools import cached_property, partial
from types import MappingProxyType
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from auditor.sources.capture.packets import ECHO_REQUEST, ICMP, TCP, UDP, Addresses
from auditor.sources.factorize import factorize_rows
from auditor.sources.flows import conn_state, responses
from auditor.sources.flows.assembly import Streams
from auditor.sources.flows.columns import EVENTS, MISSING, PROTOCOLS, TABLE, Columns, LazyColumns

if TYPE_CHECKING:
    import pandas as pd


class FlowTable:
    """The flow table of one source: as NumPy columns, which the judging works on, or as pandas has it.

    Only one of the two is held in memory: columns until pandas is asked for, because that takes longer to load than
    many a source takes to read.

    Args:
        kinds: The types that the columns have in pandas.
    """

    def __init__(
        self, held: Columns | LazyColumns | pd.DataFrame, kinds: Mapping[str, str] = MappingProxyType(TABLE)
    ) -> None:
        self._held = held
        self._kinds = kinds

    @property
    def columns(self) -> Mapping[str, NDArray[Any]]:
        """The columns of TABLE by name, and those that only logs have."""
        return self._held if isinstance(self._held, Mapping) else self._frame_columns

    @cached_property
    def _frame_columns(self) -> Mapping[str, NDArray[Any]]:
        from auditor.sources.flows.frame import frame_columns

        return frame_columns(self.frame)

    @property
    def frame(self) -> pd.DataFrame:
        """One row a flow, columns and types as TABLE, and those that only logs have."""
        if isinstance(self._held, Mapping):
            from auditor.sources.flows.frame import flow_frame

            self._held = flow_frame(self._held, self._kinds)
        return self._held

    def of_source(self, source: str) -> FlowTable:
        """Return the table with another name of the source."""
        if not isinstance(self._held, Mapping):
            return FlowTable(self._held.assign(source=source), self._kinds)
        held = self._held
        column = held.made if isinstance(held, LazyColumns) else held.__getitem__
        factories = {name: partial(column, name) for name in held}
        count = len(held["first_frame"])
        return FlowTable(LazyColumns(factories | {"source": lambda: np.full(count, source, object)}), self._kinds)

    def between(self, hosts: Collection[str]) -> Iterator[tuple[int, dict[str, Any]]]:
        """Yield the numbers of the flows between some hosts, and their values by name."""
        columns = self.columns
        flows = np.flatnonzero(is_among(columns["src_ip"], hosts) & is_among(columns["dst_ip"], hosts))
        return zip(flows.tolist(), self.rows(flows), strict=True)

    def rows(self, flows: NDArray[np.int64]) -> Iterator[dict[str, Any]]:
        """Yield the values of some flows by name."""
        if isinstance(self._held, Mapping):
            selected: Mapping[str, NDArray[Any]] = {name: column[flows] for name, column in self.columns.items()}
        else:
            selected = FlowTable(self._held.iloc[flows]).columns
        names = list(selected)
        for values in zip(*(selected[name].tolist() for name in names), strict=True):
            yield dict(zip(names, values, strict=True))


def is_among(column: NDArray[Any], texts: Collection[str]) -> NDArray[np.bool_]:
    """Return which texts of a column are among these."""
    return np.fromiter(map(frozenset(texts).__contains__, column.tolist()), np.bool_, len(column))


class OrientedFlows(NamedTuple):
    """Flows seen from their originators.

    Attributes:
        columns: Most of TABLE, and `src` and `dst`, the numbers of the addresses with the IP version above them.
        events: Flow by flow, in order.
        event_begin: Where each flow's events begin, and where the last one's end.
    """

    columns: Columns
    events: Columns
    event_begin: NDArray[np.int64]


def oriented(protocol: int, flows: Streams) -> OrientedFlows:
    """Turn the flows of one protocol so that the originator comes first, with the response of each.

    The flows are used up: there may be so many that the same numbers do not fit into memory twice.
    """
    flip = _flipped(protocol, flows)
    segments = flows.columns

    def turned(side_a: NDArray[Any], side_b: NDArray[Any]) -> tuple[NDArray[Any], NDArray[Any]]:
        return np.where(flip, side_b, side_a), np.where(flip, side_a, side_b)

    high_low = ((segments["ports"] >> shift & 0xFFFF).astype(np.int64) for shift in (np.uint32(16), np.uint32(0)))
    version = segments["version"].astype(np.uint64) << np.uint64(32)
    src, dst = turned(segments["pair"] >> np.uint64(32), segments["pair"] & np.uint64(0xFFFFFFFF))
    columns = {name: segments[name] for name in ("start", "end", "first_frame")}
    columns |= {"src": src | version, "dst": dst | version, "protocol": np.full(len(flip), PROTOCOLS[protocol], object)}
    columns["src_port"], columns["dst_port"] = turned(*high_low)
    for name in ("frames", "bytes", "payload"):
        columns[f"{name}_src"], columns[f"{name}_dst"] = turned(segments.pop(f"{name}_a"), segments.pop(f"{name}_b"))
    for name in ("syn", "syn_ack", "fin", "rst"):
        columns[name] = segments[f"{name}_a"] + segments[f"{name}_b"]
    columns["icmp_type"] = np.where(segments["version"] == 4, ECHO_REQUEST[4], ECHO_REQUEST[6])
    columns["conn_state"] = _states(protocol, flows, columns)
    from_b = (flows.events["packet"] & conn_state.FROM_B) != 0
    from_src = from_b == np.repeat(flip, np.diff(flows.event_begin))
    events = flows.events | {"from_src": from_src}
    if protocol == TCP:
        sent = {f"{name}_src": turned(segments[f"{name}_a"], segments[f"{name}_b"])[0] for name in ("syn", "rst")}
        columns["response"], stray = responses.classify_tcp(columns | sent, events, flows.event_begin)
        events["packet"][stray] |= conn_state.STRAY
    else:
        columns["response"] = responses.classify_datagrams(events, flows.event_begin)
    return OrientedFlows(columns, events, flows.event_begin)


def _flipped(protocol: int, flows: Streams) -> NDArray[np.bool_]:
    """Return of which flows B is the originator.

    Of TCP the SYN decides, of UDP who sent the first packet; of ICMP it is always A that asks.
    """
    if protocol == TCP:
        return flows.flipped
    if protocol == ICMP:
        return np.zeros(len(flows), np.bool_)
    from_b: NDArray[np.bool_] = (flows.events["packet"][flows.event_begin[:-1]] & conn_state.FROM_B) != 0
    return from_b


def _states(protocol: int, flows: Streams, columns: Columns) -> NDArray[Any]:
    if protocol == TCP:
        payload = (columns["payload_src"] + columns["payload_dst"] > 0).astype(np.int64)
        return conn_state.NAMES[flows.state, payload]
    state = np.full(len(flows), "OTH", object)
    if protocol == UDP:
        state[columns["frames_src"] > 0] = "S0"
        state[columns["frames_dst"] > 0] = "SF"
    return state


def in_order(parts: list[OrientedFlows]) -> OrientedFlows:
    """Put the flows of all protocols together, in the order of their first frames."""
    parts = [part for part in parts if len(part.event_begin) > 1] or parts[:1]
    if len(parts) == 1:  # which is in order
        return parts[0]
    columns = {name: np.concatenate([part.columns[name] for part in parts]) for name in parts[0].columns}
    events = {name: np.concatenate([part.events[name] for part in parts]) for name in EVENTS}
    counts = np.concatenate([np.diff(part.event_begin) for part in parts])
    order = np.argsort(columns["first_frame"], kind="stable")
    begin = np.append(0, np.cumsum(counts))
    new_begin = np.append(0, np.cumsum(counts[order]))
    at = np.repeat(begin[:-1][order] - new_begin[:-1], counts[order]) + np.arange(int(new_begin[-1]))
    return OrientedFlows(
        {name: column[order] for name, column in columns.items()},
        {name: column[at] for name, column in events.items()},
        new_begin,
    )


def table(columns: Columns, addresses: Addresses, source: str) -> Columns:
    """Return the columns of TABLE; `icmp_error` is empty and `stream` missing, since both depend on ICMP errors.

    The columns are used up, as in `oriented`.
    """
    count = len(columns["src"])
    icmp = columns["protocol"] == PROTOCOLS[ICMP]
    texts = _texts(np.concatenate([columns.pop("src"), columns.pop("dst")]), addresses)
    columns |= {
        "source": np.full(count, source, object),
        "src_ip": texts[:count],
        "dst_ip": texts[count:],
        "src_port": np.where(icmp, MISSING, columns.pop("src_port")),
        "dst_port": np.where(icmp, MISSING, columns.pop("dst_port")),
        "icmp_type": np.where(icmp, columns.pop("icmp_type"), MISSING),
        "icmp_code": np.where(icmp, 0, MISSING),
        "icmp_error": np.full(count, "", object),
        "stream": np.full(count, MISSING),
    }
    return {name: columns.pop(name) for name in TABLE}


def _texts(numbers: NDArray[np.uint64], addresses: Addresses) -> NDArray[Any]:
    codes, first_rows = factorize_rows(numbers)
    return addresses.texts(numbers[first_rows])[codes]
