"""The flow table of one source, and what else its packets say: errors, neighbours, who was heard at all."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from auditor import conn_state, segments
from auditor.segments import Partial, Streams
from auditor.sources.packets import (
    ECHO_REPLY,
    ECHO_REQUEST,
    ICMP,
    ICMPV6,
    TCP,
    UDP,
    Addresses,
    Headers,
    Neighbour,
    Quote,
)

MOST_QUOTES = 100_000
MOST_LIKE_IT = 8  # errors of one kind about one flow that are kept as evidence
STREAM_HEADER = 20  # bytes of a quoted TCP header from which Wireshark makes a stream

# Columns of the flow table and their types: the same for every source, also when it is empty.
TABLE = {
    "source": "str",
    "protocol": "str",
    "src_ip": "str",
    "src_port": "Int64",
    "dst_ip": "str",
    "dst_port": "Int64",
    "icmp_type": "Int64",
    "icmp_code": "Int64",
    "start": "datetime64[ns, UTC]",
    "end": "datetime64[ns, UTC]",
    "frames_src": "int64",
    "frames_dst": "int64",
    "bytes_src": "int64",
    "bytes_dst": "int64",
    "payload_src": "int64",
    "payload_dst": "int64",
    "syn": "int64",
    "syn_ack": "int64",
    "fin": "int64",
    "rst": "int64",
    "conn_state": "str",
    "answer": "str",
    "icmp_error": "str",
    "first_frame": "int64",
    "stream": "Int64",
}

# What an ICMP error tells about the flow that it quotes (RFC 792, 1122, 1812, 4443).
MEANING = {
    4: dict.fromkeys(((3, 9), (3, 10), (3, 13)), "prohibited")
    | dict.fromkeys(((3, 2), (3, 3)), "refused")
    | dict.fromkeys(((3, 0), (3, 1), (3, 6), (3, 7)), "unreachable"),
    6: dict.fromkeys(((1, 1), (1, 5), (1, 6)), "prohibited")
    | {(1, 4): "refused"}
    | dict.fromkeys(((1, 0), (1, 3)), "unreachable"),
}
ANSWERS = ("answered", "refused", "prohibited", "unreachable", "unanswered", "one-sided", "mid-stream")


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
    first_ns: int
    last_ns: int


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
        protocol = self.table["protocol"].iat[flow]
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
        streams = {protocol: segments.finish(partial) for protocol, partial in self._partials.items()}
        tables = [self._table(protocol, flows) for protocol, flows in streams.items()]
        table = pd.concat(tables, ignore_index=True) if any(map(len, tables)) else tables[0]
        events, begin = _joined_events(list(streams.values()))
        order = np.argsort(table["first_frame"].to_numpy(), kind="stable")
        events, begin = _reordered(events, begin, order)
        table = table.iloc[order].reset_index(drop=True)
        table, errors = _attach(table, quotes, self._source)
        begin = np.append(begin, np.full(len(table) + 1 - len(begin), begin[-1]))
        table["answer"] = _answers(table, errors)
        table["stream"] = _stream_numbers(table, quotes)
        return Flows(
            table[list(TABLE)].astype(TABLE),
            events,
            begin,
            errors,
            self._asked(),
            self._heard(table),
            tuple(sorted(self._others)),
        )

    def _table(self, protocol: int, flows: Streams) -> pd.DataFrame:
        columns, flip = flows.columns, flows.flipped
        if protocol == ICMP:
            flip = _icmp_flipped(flows)
        elif protocol == UDP:
            flip = (flows.events["packet"][flows.event_begin[:-1]] & conn_state.FROM_B) != 0

        def sides(name: str) -> tuple[NDArray[Any], NDArray[Any]]:
            a, b = columns[f"{name}_a"], columns[f"{name}_b"]
            return np.where(flip, b, a), np.where(flip, a, b)

        flows.events["from_src"] = np.repeat(flip, np.diff(flows.event_begin)) == (
            (flows.events["packet"] & conn_state.FROM_B) != 0
        )
        first, second = columns["pair"] >> np.uint64(32), columns["pair"] & np.uint64(0xFFFFFFFF)
        high, low = (columns["ports"] >> 16).astype(np.int64), (columns["ports"] & 0xFFFF).astype(np.int64)
        both = {name: sides(name) for name in ("frames", "bytes", "payload")}
        table = {
            "source": self._source,
            "protocol": {TCP: "tcp", UDP: "udp", ICMP: "icmp"}[protocol],
            "src_ip": self._texts(np.where(flip, second, first), columns["version"]),
            "src_port": np.where(flip, low, high),
            "dst_ip": self._texts(np.where(flip, first, second), columns["version"]),
            "dst_port": np.where(flip, high, low),
            "icmp_type": 0,
            "icmp_code": 0,
            "start": pd.to_datetime(columns["start"], utc=True),
            "end": pd.to_datetime(columns["end"], utc=True),
            **{f"{name}_{side}": both[name][i] for name in both for i, side in enumerate(("src", "dst"))},
            **{name: columns[f"{name}_a"] + columns[f"{name}_b"] for name in ("syn", "syn_ack", "fin", "rst")},
            "conn_state": "OTH",
            "answer": "",
            "icmp_error": "",
            "first_frame": columns["first_frame"],
            "stream": pd.array([pd.NA] * len(flip), "Int64"),
            "_rst_dst": sides("rst")[1],
            "_syn_src": sides("syn")[0],
            "_syn_ack_dst": sides("syn_ack")[1],
        }
        frame = pd.DataFrame(table)
        if protocol == TCP:
            payload = (columns["payload_a"] + columns["payload_b"] > 0).astype(np.int64)
            frame["conn_state"] = conn_state.NAMES[flows.state, payload]
        elif protocol == UDP:
            src, dst = both["frames"]
            frame["conn_state"] = np.where(dst > 0, "SF", np.where(src > 0, "S0", "OTH"))
        else:
            frame["icmp_type"] = np.where(columns["version"] == 4, ECHO_REQUEST[4], ECHO_REQUEST[6])
        for name in ("icmp_type", "icmp_code") if protocol != ICMP else ("src_port", "dst_port"):
            frame[name] = pd.array([pd.NA] * len(flip), "Int64")
        return frame

    def _texts(self, numbers: NDArray[np.uint64], versions: NDArray[np.uint8]) -> Any:
        keys = (versions.astype(np.uint64) << np.uint64(32)) | numbers
        codes, unique = pd.factorize(keys)
        texts = [self._addresses.text(key & 0xFFFFFFFF, key >> 32) for key in unique.tolist()]
        return np.array(texts, object)[codes] if texts else np.array([], object)

    def _asked(self) -> tuple[Asked, ...]:
        """Return the hosts that were asked for on the local network and never answered there."""
        answered = {sender for sender, _, _ in self._neighbours}
        waiting: dict[tuple[str, str], list[Neighbour]] = defaultdict(list)
        for (sender, target, answer), kept in self._neighbours.items():
            if not answer and target not in answered and target != sender:
                waiting[sender, target] += kept
        return tuple(
            Asked(asker, target, tuple(one.frame for one in kept), kept[0].time_ns, kept[-1].time_ns)
            for (asker, target), kept in sorted(waiting.items())
        )

    def _heard(self, table: pd.DataFrame) -> frozenset[str]:
        """Return every address that sent at least one packet."""
        talking = pd.concat([table["src_ip"][table["frames_src"] > 0], table["dst_ip"][table["frames_dst"] > 0]])
        errors = {kept[0].sender for kept in self._quotes.values()}
        neighbours = {sender for sender, _, _ in self._neighbours}
        return frozenset(talking.unique()) | errors | neighbours | {source for source, _, _ in self._others}


def _icmp_flipped(flows: Streams) -> NDArray[np.bool_]:
    """Who asks is the originator: the sender of a request, or else the receiver of a reply."""
    first = flows.events["packet"][flows.event_begin[:-1]]
    return ((first & conn_state.FROM_B) != 0) ^ ((first & conn_state.HAS_ACK) != 0)


def _joined_events(streams: list[Streams]) -> tuple[dict[str, NDArray[Any]], NDArray[np.int64]]:
    names = ("frame", "time_ns", "packet", "sequence", "from_src")
    events = {name: np.concatenate([flows.events[name] for flows in streams]) for name in names}
    offset, begins = 0, []
    for flows in streams:
        begins.append(flows.event_begin[:-1] + offset)
        offset += int(flows.event_begin[-1])
    return events, np.append(np.concatenate(begins), offset)


def _reordered(
    events: dict[str, NDArray[Any]], begin: NDArray[np.int64], order: NDArray[np.int64]
) -> tuple[dict[str, NDArray[Any]], NDArray[np.int64]]:
    counts = np.diff(begin)[order]
    new_begin = np.append(0, np.cumsum(counts))
    at = np.repeat(begin[:-1][order] - new_begin[:-1], counts) + np.arange(int(new_begin[-1]))
    return {name: column[at] for name, column in events.items()}, new_begin


# ICMP errors


def _attach(table: pd.DataFrame, quotes: list[Quote], source: str) -> tuple[pd.DataFrame, dict[int, list[Quote]]]:
    """Give each ICMP error to the flow that it quotes; a flow that is not in the capture itself gets a row."""
    errors: dict[int, list[Quote]] = defaultdict(list)
    if not quotes:
        return table, errors
    wanted = {_tuple(quote) for quote in quotes} | {_reverse(_tuple(quote)) for quote in quotes}
    places: dict[tuple[Any, ...], list[int]] = defaultdict(list)
    for place, key in _keys(table, wanted):
        places[key].append(place)
    missing: dict[tuple[Any, ...], list[Quote]] = defaultdict(list)
    first_frames = table["first_frame"].to_numpy()
    for quote in quotes:
        key = _tuple(quote)
        candidates = places.get(key) or places.get(_reverse(key)) or []
        before = [place for place in candidates if first_frames[place] <= quote.frame]
        if before or candidates:
            errors[(before or candidates[:1])[-1]].append(quote)
        elif quote.protocol in (TCP, UDP, ICMP, ICMPV6):
            missing[key].append(quote)
    if missing:
        rows = [_quoted_row(source, kept) for kept in missing.values()]
        errors.update({len(table) + index: kept for index, kept in enumerate(missing.values())})
        table = pd.concat([table, pd.DataFrame(rows)], ignore_index=True)
    for place, kept in errors.items():
        table.loc[place, "icmp_error"] = f"{kept[-1].icmp_type}/{kept[-1].icmp_code}"
    return table, errors


def _keys(table: pd.DataFrame, wanted: set[tuple[Any, ...]]) -> Iterator[tuple[int, tuple[Any, ...]]]:
    addresses = {key[1] for key in wanted}
    chosen = table.index[table["src_ip"].isin(addresses)]
    columns = (table.loc[chosen, name].tolist() for name in ("protocol", "src_ip", "src_port", "dst_ip", "dst_port"))
    for place, key in zip(chosen.tolist(), zip(*columns, strict=True), strict=True):
        if key[0] == "icmp":
            key = (key[0], key[1], 0, key[3], 0)
        yield place, key


def _tuple(quote: Quote) -> tuple[Any, ...]:
    name = {TCP: "tcp", UDP: "udp"}.get(quote.protocol, "icmp")
    ports = (quote.src_port, quote.dst_port) if name != "icmp" else (0, 0)
    return name, quote.src, ports[0], quote.dst, ports[1]


def _reverse(key: tuple[Any, ...]) -> tuple[Any, ...]:
    return key[0], key[3], key[4], key[1], key[2]


def _quoted_row(source: str, kept: list[Quote]) -> dict[str, Any]:
    """Return a row without frames for a flow of which only the ICMP errors about it were captured."""
    protocol, src, src_port, dst, dst_port = _tuple(kept[0])
    icmp = protocol == "icmp"
    times = pd.to_datetime([kept[0].time_ns, kept[-1].time_ns], utc=True)
    return dict.fromkeys([*TABLE, "_rst_dst", "_syn_src", "_syn_ack_dst"], 0) | {
        "source": source,
        "protocol": protocol,
        "src_ip": src,
        "src_port": pd.NA if icmp else src_port,
        "dst_ip": dst,
        "dst_port": pd.NA if icmp else dst_port,
        "icmp_type": ECHO_REQUEST[kept[0].version] if icmp else pd.NA,
        "icmp_code": 0 if icmp else pd.NA,
        "start": times[0],
        "end": times[1],
        "conn_state": "OTH",
        "answer": "",
        "first_frame": kept[0].frame,
        "stream": pd.NA,
    }


# answers


def _answers(table: pd.DataFrame, errors: dict[int, list[Quote]]) -> Any:
    """Say of each flow whether, and how, its responder answered."""
    frames_src, frames_dst = table["frames_src"].to_numpy(), table["frames_dst"].to_numpy()
    rst_dst = table["_rst_dst"].to_numpy()
    syn, syn_ack = table["_syn_src"].to_numpy(), table["_syn_ack_dst"].to_numpy()
    tcp = (table["protocol"] == "tcp").to_numpy()
    answer = np.where(frames_dst > 0, "answered", "unanswered").astype(object)
    went_on = frames_src > syn  # the originator sent more than SYNs, so an answer must have reached it
    refused = tcp & (syn > 0) & (syn_ack == 0) & (rst_dst > 0) & (rst_dst == frames_dst)
    spoke = frames_dst > rst_dst
    answer[tcp] = np.select(
        [syn_ack > 0, refused & ~went_on, (syn > 0) & spoke, syn > 0],
        ["answered", "refused", "answered", np.where(went_on | (frames_dst > 0), "one-sided", "unanswered")],
        np.where(spoke & (frames_src > 0), "answered", "mid-stream"),
    )[tcp]
    for place, kept in errors.items():
        told = _told(table, place, kept)
        if told and answer[place] in ("unanswered", "mid-stream"):
            answer[place] = told
    return answer


def _told(table: pd.DataFrame, place: int, kept: Iterable[Quote]) -> str:
    """Return what the last telling ICMP error about the originator's packets means."""
    src = table["src_ip"].iat[place]
    meanings = [
        MEANING[quote.version].get((quote.icmp_type, quote.icmp_code), "") for quote in kept if quote.src == src
    ]
    return next((meaning for meaning in reversed(meanings) if meaning), "")


def _stream_numbers(table: pd.DataFrame, quotes: list[Quote]) -> Any:
    """Return tcp.stream and udp.stream as Wireshark counts them.

    Wireshark makes a stream of a header quoted in an ICMP error too, if it is whole and not yet known.
    """
    result = np.full(len(table), -1, np.int64)
    for protocol, number, header in (("tcp", TCP, STREAM_HEADER), ("udp", UDP, 8)):
        rows = np.flatnonzero((table["protocol"] == protocol) & (table["frames_src"] + table["frames_dst"] > 0))
        quoted = [quote for quote in quotes if quote.protocol == number and quote.header_bytes >= header]
        result[rows] = np.arange(len(rows)) if not quoted else _with_quoted(table, rows, quoted)
    return pd.array([None if value < 0 else value for value in result.tolist()], "Int64")


def _with_quoted(table: pd.DataFrame, rows: NDArray[np.int64], quoted: list[Quote]) -> list[int]:
    columns = (table.loc[rows, name].tolist() for name in ("first_frame", "src_ip", "src_port", "dst_ip", "dst_port"))
    packets = [
        (frame, 0, frozenset(((src, sport), (dst, dport))))
        for frame, src, sport, dst, dport in zip(*columns, strict=True)
    ]
    errors = [(one.frame, 1, frozenset(((one.src, one.src_port), (one.dst, one.dst_port)))) for one in quoted]
    known: set[Any] = set()
    reserved: dict[Any, int] = {}
    numbers: list[int] = []
    following = 0
    for _, is_error, ends in sorted(packets + errors, key=lambda one: one[:2]):
        if is_error and ends in known:
            continue
        known.add(ends)
        if is_error:
            reserved[ends] = following
        elif ends in reserved:
            numbers.append(reserved.pop(ends))
            continue
        else:
            numbers.append(following)
        following += 1
    return numbers
