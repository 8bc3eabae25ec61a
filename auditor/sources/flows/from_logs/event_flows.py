"""Flows from the events in which Windows says what its filtering platform blocked or allowed.

The events are documented in Microsoft's "Audit Filtering Platform Packet Drop" and "... Connection".
"""

from __future__ import annotations

import ipaddress
from array import array
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import lru_cache
from pathlib import Path
from types import MappingProxyType
from typing import Any, NamedTuple

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from auditor.errors import SourceError
from auditor.sources.capture.ip import ICMPV6
from auditor.sources.capture.packets import ECHO_REQUEST, ICMP, TCP, UDP, IcmpError
from auditor.sources.files.skip_counts import Tally
from auditor.sources.files.warnings import SourceWarning, warning
from auditor.sources.flows.columns import PROTOCOLS, TABLE
from auditor.sources.flows.frame import nullable
from auditor.sources.flows.from_logs.stale_packets import RETRY_S, SYSTEM_PORTS, last_allowed_index, looks_like_reply
from auditor.sources.flows.neighbors import NeighborRequests
from auditor.sources.flows.source_flows import FlowEvent, OneWayTraffic
from auditor.sources.logs.event_fields import LONGEST_TEXT, Event, whole
from auditor.sources.logs.event_log import EventReader
from auditor.sources.logs.firewall_rows import STEALTH_FILTER

# The words of a firewall log, so that both kinds of log make one table.
Ints = NDArray[np.int64]
BLOCKED, ALLOWED = "DROP", "ALLOW"
INBOUND, OUTBOUND, FORWARD, UNTOLD = "RECEIVE", "SEND", "FORWARD", "-"
MEANING = {BLOCKED: "blocked", ALLOWED: "allowed"}

# What the table of an event log has beside the columns of every flow table.
EVENT_TABLE = {
    "action": "str",
    "direction": "str",
    "first_line": "int64",
    "rows": "int64",
    "process_id": "Int64",
    "computer": "str",
    "application": "str",
    "filter_id": "Int64",
    "filter_origin": "str",
}
# Events that tell of a connection or packet, and what was done with it. Of several about one attempt the one that
# stands further right here tells more of the program, and is shown.
ACTIONS = {5152: BLOCKED, 5153: BLOCKED, 5157: BLOCKED, 5156: ALLOWED}
PACKETS = (5152, 5153)  # of these, and what allows or blocks connections, Windows wrote the ends in an order each
# Where in Windows it was decided: where packets go that nobody waits for, or where connections are let in. An export
# gives the layer's number or name.
DISCARDED, ACCEPTING = 1, 2
LAYERS = {"%%14597": DISCARDED, "transport": DISCARDED, "%%14610": ACCEPTING, "receive/accept": ACCEPTING}
LAYER_NUMBERS = {13: DISCARDED, 15: DISCARDED, 44: ACCEPTING, 46: ACCEPTING}
STEALTH = f"{STEALTH_FILTER} (nobody listens)"
# Their neighbors, which tell of no traffic between two computers.
NO_TRAFFIC = {
    5150: "a frame blocked below IP",
    5151: "a frame blocked below IP",
    5154: "allowed to listen",
    5155: "blocked from listening",
    5158: "allowed to bind",
    5159: "blocked from binding",
}
PROVIDER = "microsoft-windows-security-auditing"
SECURITY_LOG = "security"
DIRECTIONS = {
    "%%14592": INBOUND,
    "inbound": INBOUND,
    "%%14593": OUTBOUND,
    "outbound": OUTBOUND,
    "%%14594": FORWARD,
    "forward": FORWARD,
}
NUMBERS = {"tcp": TCP, "udp": UDP, "icmp": ICMP, "icmpv6": ICMPV6, "ipv6-icmp": ICMPV6}
ONE_ATTEMPT_NS = 60_000_000_000  # Windows gives up a connection after about 21 seconds; a port is used again later
HIGHEST_PORT = 0xFFFF
MOST_SAMPLES = 5
MOST_TEXTS = 200_000

AUDIT_HINT = (
    "turn their auditing on, try again, export again: "
    'auditpol /set /subcategory:"{0CCE9225-69AE-11D9-BED3-505054503030}","{0CCE9226-69AE-11D9-BED3-505054503030}" '
    "/success:enable /failure:enable"
)


@dataclass(frozen=True)
class EventLog:
    """What was read of one log. format: "evtx" or "JSON"; times in nanoseconds since 1970 UTC; details: its flows."""

    format: str
    records: int
    skipped: int
    first_ns: int | None
    last_ns: int | None
    warnings: tuple[SourceWarning, ...]
    tally: Tally
    details: EventFlows


@dataclass(frozen=True)
class ComputerAddress:
    """An address of a computer whose firewall told of something. rows: events that say so; sure: it sent from there."""

    computer: str
    address: str
    rows: int
    sure: bool


@dataclass(frozen=True)
class EventFacts:
    """What an event log can show at all: how many events of each action it holds, and of whose firewall."""

    drops: int
    allows: int
    local: tuple[ComputerAddress, ...]
    clock: str = "utc"


class EventFlows:
    """All flows of one event log: it has the same face as auditor.sources.flows.builder.Flows.

    Where that has frames there are record numbers, of JSON the lines.
    """

    errors: Mapping[int, list[IcmpError]] = MappingProxyType({})  # a log quotes no packets
    asked: tuple[NeighborRequests, ...] = ()
    hidden: tuple[tuple[str, str], ...] = ()
    on_link: frozenset[str] = frozenset()  # only a capture shows on whose network it was taken
    one_sided = OneWayTraffic()

    def __init__(
        self,
        table: pd.DataFrame,
        lines: Ints,
        times: Ints,
        begin: Ints,
        turned: NDArray[np.bool_],
        heard: frozenset[str],
    ) -> None:
        self.table = table
        self._turned = turned  # whether a flow's packets were sent by the host that was tried
        self.heard = heard
        self.facts = _facts(table, turned)
        self._lines, self._times, self._begin = lines, times, begin

    def identifier(self, _flow: int) -> int:
        """Return 0: a log does not tell pings apart."""
        return 0

    def events(self, flow: int) -> list[FlowEvent]:
        """Return the events of one flow in file order, each as a packet of the host that tried."""
        kind = {"udp": "datagram", "icmp": "request"}.get(str(self.table["protocol"].iat[flow]), "SYN")
        rows = slice(int(self._begin[flow]), int(self._begin[flow + 1]))
        entries = zip(self._lines[rows].tolist(), self._times[rows].tolist(), strict=True)
        from_src = not self._turned[flow]
        kind = kind if from_src or kind == "datagram" else "data"
        return [FlowEvent(line, time, from_src=from_src, packet_kind=kind, sequence=0) for line, time in entries]


def read_events(path: Path, name: str) -> EventLog:
    """Read an event log and return its flows; memory grows with the number of events about filtered traffic.

    name: what the flow table calls the source. Raises SourceError if the log holds no such events.
    """
    reader = EventReader(path, ACTIONS)
    collected = _EventColumns()
    for event in reader:
        collected.add(event)
    if not len(collected.column["time"]):
        raise _no_traffic(path, reader, collected)
    times = np.frombuffer(collected.column["time"], np.int64)
    return EventLog(
        format=reader.format + (" (gzip)" if reader.gzipped else ""),
        records=reader.records - collected.unreadable,
        skipped=reader.skipped + collected.unreadable,
        first_ns=int(times.min()),
        last_ns=int(times.max()),
        warnings=tuple(reader.warnings + collected.warnings()),
        tally=collected.tally,
        details=_flows(collected, name),
    )


class _TrafficEvent(NamedTuple):
    """One event about traffic between two ends, as written: which is the local one depends on Windows' version."""

    protocol: int
    direction: str
    ends: tuple[tuple[str, int], tuple[str, int]]


_LARGE = ("time", "line", "filter")
_SMALL = (  # in the order in which _append gives their values, behind _LARGE
    "event",
    "computer",
    "direction",
    "protocol",
    "ip_a",
    "port_a",
    "ip_b",
    "port_b",
    "process",
    "application",
    "origin",
    "layer",
)


@dataclass
class _EventColumns:
    """Events about traffic, a number in each column; texts are numbered in `texts`, the empty one is 0."""

    column: dict[str, array[int]] = field(
        default_factory=lambda: {name: array("q") for name in _LARGE} | {name: array("i") for name in _SMALL}
    )
    texts: dict[str, int] = field(default_factory=lambda: {"": 0, UNTOLD: 1})
    tally: Tally = field(default_factory=Tally)
    logs: Counter[str] = field(default_factory=Counter)
    zones: Counter[str] = field(default_factory=Counter)
    unreadable: int = 0
    samples: list[str] = field(default_factory=list)

    def __post_init__(self) -> None:
        self._adders = [column.append for column in self.column.values()]

    def add(self, event: Event) -> None:
        """Take in one event, or count what it is."""
        self.logs[event.log] += 1
        ours = event.provider.lower() in (PROVIDER, "") and event.log.lower() in (SECURITY_LOG, "")
        if not ours or event.event_id not in ACTIONS:
            meaning = NO_TRAFFIC.get(event.event_id, "") if ours else ""
            self.tally.add(f"event {event.event_id} ({meaning})" if meaning else "other events", 1)
            return
        traffic = _traffic(event)
        if traffic is None or event.time_ns is None:
            self.unreadable += 1
            if len(self.samples) < MOST_SAMPLES:
                self.samples.append(f"{event.number:,}")
            return
        self.tally.add(f"event {event.event_id} ({MEANING[ACTIONS[event.event_id]]})", 1)
        self.zones[event.zone] += 1
        if traffic.protocol == ICMP and not _is_echo(traffic):
            return
        self._append(event, traffic)

    def _append(self, event: Event, traffic: _TrafficEvent) -> None:
        (ip_a, port_a), (ip_b, port_b) = traffic.ends
        values = event.values
        row = (
            event.time_ns or 0,
            event.number,
            _or(whole(values.get("filterrtid")), -1),
            event.event_id,
            self._optional(event.computer.lower()),
            self._number(traffic.direction),
            traffic.protocol,
            self._number(ip_a),
            port_a,
            self._number(ip_b),
            port_b,
            min(_or(whole(values.get("processid")), -1), 0x7FFFFFFF),
            self._optional(_shown(values.get("application"))),
            self._optional(_shown(values.get("filterorigin"))),
            _layer(values),
        )
        for add, value in zip(self._adders, row, strict=True):
            add(value)

    def _number(self, text: str) -> int:
        return self.texts.setdefault(text, len(self.texts))

    def _optional(self, text: str) -> int:
        """Return the number of a text that can be done without, should a log hold a new one in every event."""
        return self._number(text) if len(self.texts) < MOST_TEXTS or text in self.texts else 0

    def warnings(self) -> list[SourceWarning]:
        """Return what the administrator must know about these events."""
        warnings = []
        if self.unreadable:
            numbers = ", ".join(self.samples)
            warnings.append(warning("damaged", "events-lack-fields", count=self.unreadable, numbers=numbers))
        if count := self.zones["none"]:
            warnings.append(warning("no-zone", count=count))
        if self.zones["collector"]:
            warnings.append(warning("local-times"))
        ids = {event for event in ACTIONS if self.tally.frames[f"event {event} ({MEANING[ACTIONS[event]]})"]}
        if not any(ACTIONS[event_id] == BLOCKED for event_id in ids):
            warnings.append(warning("no-blocked-events"))
        if not any(ACTIONS[event_id] == ALLOWED for event_id in ids):
            warnings.append(warning("no-allowed-events"))
        return warnings


def _or(value: int | None, default: int) -> int:
    return default if value is None else value


def _shown(value: Any) -> str:
    return value[:LONGEST_TEXT] if isinstance(value, str) and value.strip() != "-" else ""


def _layer(values: Mapping[str, Any]) -> int:
    """Return where it was decided, 0 if that is told nowhere or does not matter."""
    name = values.get("layername")
    named = LAYERS.get(name.strip().lower(), 0) if isinstance(name, str) else 0
    return named or LAYER_NUMBERS.get(_or(whole(values.get("layerrtid")), -1), 0)


def _traffic(event: Event) -> _TrafficEvent | None:
    """Return what an event tells, None where an address, port or protocol is missing or impossible."""
    values = event.values
    written = values.get("protocol")
    protocol = NUMBERS.get(written.strip().lower()) if isinstance(written, str) else None
    protocol = whole(written) if protocol is None else protocol
    ip_a, ip_b = _address(values.get("sourceaddress")), _address(values.get("destaddress"))
    port_a, port_b = _port(values.get("sourceport")), _port(values.get("destport"))
    if protocol is None or protocol > 255 or not ip_a or not ip_b or port_a is None or port_b is None:
        return None
    if protocol in (ICMP, ICMPV6):
        protocol = ICMP
    word = values.get("direction")
    direction = DIRECTIONS.get(word.strip().lower(), UNTOLD) if isinstance(word, str) else UNTOLD
    return _TrafficEvent(protocol, direction, ((ip_a, port_a), (ip_b, port_b)))


def _is_echo(traffic: _TrafficEvent) -> bool:
    """Tell whether this is an echo request; type and code stand in the ports, in the order of the ends."""
    (ip, port_a), (_, port_b) = traffic.ends
    return sorted((port_a, port_b)) == [0, ECHO_REQUEST[6 if ":" in ip else 4]]


def _address(value: Any) -> str:
    return _known_address(value.strip()) if isinstance(value, str) and len(value) <= 64 else ""


@lru_cache(maxsize=100_000)
def _known_address(text: str) -> str:
    try:
        address = ipaddress.ip_address(text.partition("%")[0])
    except ValueError:
        return ""
    mapped = address.ipv4_mapped if isinstance(address, ipaddress.IPv6Address) else None
    return str(mapped or address)


def _port(value: Any) -> int | None:
    """Return a port; where there is none (protocols without ports) Windows writes 0, a dash or nothing."""
    if value is None or (isinstance(value, str) and value.strip() in ("", "-")):
        return 0
    number = whole(value)
    return number if number is not None and number <= HIGHEST_PORT else None


# from events to flows


def _flows(collected: _EventColumns, name: str) -> EventFlows:
    """Return one flow for each attempt that one computer's firewall told of: the same ends, direction and action."""
    column = {key: np.frombuffer(values, values.typecode) for key, values in collected.column.items()}
    texts = np.array(list(collected.texts), object)
    is_supported = np.isin(column["protocol"], list(PROTOCOLS))
    column = _oriented({key: values[is_supported] for key, values in column.items()}, texts, collected.texts[UNTOLD])
    column["action"] = _is_allowed(column["event"]).astype(np.int64)
    column = _without_late(column, texts)
    order, begin = _attempts(column)
    column = {key: values[order] for key, values in column.items()}
    table = _table(column, begin, texts, name)
    turned = column["turned"][begin[:-1]]
    sender, receiver = _sender_and_receiver(table, turned)
    local = set(receiver[table["direction"] == INBOUND])  # a computer that writes a log is there
    heard = frozenset(address for address in local.union(sender) if not _for_everybody(address))
    return EventFlows(table, column["line"], column["time"], begin, turned, heard)


def _sender_and_receiver(table: pd.DataFrame, turned: NDArray[np.bool_]) -> tuple[pd.Series, pd.Series]:
    return table["src_ip"].mask(turned, table["dst_ip"]), table["dst_ip"].mask(turned, table["src_ip"])


def _facts(table: pd.DataFrame, turned: NDArray[np.bool_]) -> EventFacts:
    rows = table["rows"].groupby(table["action"]).sum()
    observations: dict[tuple[str, str], tuple[int, bool]] = {}
    for direction, end in zip((OUTBOUND, INBOUND), _sender_and_receiver(table, turned), strict=True):
        flows = table[table["direction"] == direction]
        for key, count in flows.groupby(["computer", end[flows.index]])["rows"].sum().items():
            total, sure = observations.get(key, (0, False))  # type: ignore[call-overload]  # the key is a pair of texts
            observations[key] = total + int(count), sure or direction == OUTBOUND  # type: ignore[index]  # the same
    local = [ComputerAddress(*key, *rows_sure) for key, rows_sure in observations.items() if not _for_everybody(key[1])]
    local.sort(key=lambda entry: (entry.computer, not entry.sure, -entry.rows, entry.address))
    return EventFacts(int(rows.get(BLOCKED, 0)), int(rows.get(ALLOWED, 0)), tuple(local))


def _oriented(column: dict[str, Ints], texts: NDArray[Any], untold: int) -> dict[str, Ints]:
    """Add who sent: src and dst. Where it cannot be known whose firewall it is, the direction becomes `untold`.

    Windows' word differs by version: of an inbound connection it writes the local end first (Windows 7, 2008), or the
    remote one (Windows 10, 2016); of a packet the sender. Of an outbound one the local end always comes first, and that
    tells a computer's own addresses. What is left is decided as most of that computer's events are; else a connection
    comes from no system port, and anything else is taken as today's Windows writes it.
    """
    direction = texts[column["direction"]]
    inbound, outbound = direction == INBOUND, direction == OUTBOUND
    own = _pairs(column["computer"][outbound], column["ip_a"][outbound])
    own_a = np.isin(_pairs(column["computer"], column["ip_a"]), own)
    own_b = np.isin(_pairs(column["computer"], column["ip_b"]), own)
    everybody = np.array([_for_everybody(text) for text in texts], np.bool_)
    first_is_local = (everybody[column["ip_a"]] & ~everybody[column["ip_b"]]) | (own_a & ~own_b)
    second_is_local = (everybody[column["ip_b"]] & ~everybody[column["ip_a"]]) | (own_b & ~own_a)
    leaning = np.where(inbound, first_is_local.astype(np.int64) - second_is_local, 0)
    packet = np.isin(column["event"], PACKETS)
    habits = [np.bincount(column["computer"], leaning * mask, len(texts)) for mask in (packet, ~packet)]
    of_packets, of_connections = (habit[column["computer"]] for habit in habits)
    unsure = inbound & (leaning == 0)
    unknown = unsure & np.where(packet, (of_packets == 0) & (of_connections >= 0), of_connections == 0)
    habit = np.where(packet, of_packets, of_connections)
    icmp, by_port = column["protocol"] == ICMP, column["port_a"] < column["port_b"]
    accepted = (column["layer"] == ACCEPTING) | _is_allowed(column["event"])
    from_service = (column["port_a"] < SYSTEM_PORTS) & (column["port_b"] >= SYSTEM_PORTS) & accepted & ~packet
    surely = icmp | from_service
    swapped = (inbound & (leaning > 0)) | (unsure & np.where(unknown, by_port & surely, habit > 0))
    column = dict(column)
    for kind in ("ip", "port"):
        end_a, end_b = column[f"{kind}_a"], column[f"{kind}_b"]
        column[f"{kind}_src"] = np.where(swapped, end_b, end_a)
        column[f"{kind}_dst"] = np.where(swapped, end_a, end_b)
    column["direction"] = np.where(unknown & by_port & ~surely, untold, column["direction"])
    return column


def _without_late(column: dict[str, Ints], texts: NDArray[Any]) -> dict[str, Ints]:
    """Add which events are of packets that are late, and which of them were turned: seen from who began.

    Late are answers of services, and what is dropped of a connection that the same firewall had let through. Of a
    connection that is blocked that holds for a while only: its port is used again.
    """
    dropped, icmp = column["action"] == 0, column["protocol"] == ICMP
    answer = dropped & ~icmp & looks_like_reply(column["port_src"], column["port_dst"])
    forth, back = (_pairs(column[f"ip_{end}"], column[f"port_{end}"]) for end in ("src", "dst"))
    by_time = np.lexsort([column["time"]])
    direction = texts[column["direction"]]
    side = np.where(direction == OUTBOUND, 1, np.where(direction == INBOUND, -1, 0))
    side = np.where(forth > back, -side, side)
    ends = [column["computer"], side, np.minimum(forth, back), np.maximum(forth, back), column["protocol"]]
    allowed = np.full(len(forth), -1, np.int64)
    latest = last_allowed_index([end[by_time] for end in ends], ~dropped[by_time])
    allowed[by_time] = np.where(latest >= 0, by_time[latest], -1)
    soon = column["time"] - column["time"][allowed] <= RETRY_S * 10**9
    of_allowed = dropped & (column["protocol"] == TCP) & (allowed >= 0) & (soon | np.isin(column["event"], PACKETS))
    other_way = of_allowed & (forth != forth[allowed])
    turned = np.where(of_allowed, other_way, answer)
    column = column | {"late": answer | of_allowed, "turned": turned}
    for kind in ("ip", "port"):
        src, dst = column[f"{kind}_src"], column[f"{kind}_dst"]
        column[f"{kind}_src"], column[f"{kind}_dst"] = np.where(turned, dst, src), np.where(turned, src, dst)
    return column


def _is_allowed(event: Ints) -> NDArray[np.bool_]:
    return np.isin(event, [event_id for event_id, action in ACTIONS.items() if action == ALLOWED])


def _pairs(high: Ints, low: Ints) -> Ints:
    return high.astype(np.int64) << 32 | low


def _for_everybody(text: str) -> bool:
    """Tell whether this is an address that packets are sent to, but none is sent from: multicast or broadcast."""
    try:
        address = ipaddress.ip_address(text)
    except ValueError:
        return False
    return address.is_multicast or text == "255.255.255.255"


_SAME = ("computer", "direction", "action", "protocol", "ip_src", "port_src", "ip_dst", "port_dst", "late", "turned")


def _attempts(column: dict[str, Ints]) -> tuple[Ints, Ints]:
    """Return the order in which the events of each attempt follow each other, and where each attempt begins.

    Attempts are in the order of their first events in the file.
    """
    count = len(column["time"])
    by_key = np.lexsort([column["time"], *(column[name] for name in _SAME)])
    new = np.ones(count, np.bool_)
    if count:
        same = np.all([column[name][by_key][1:] == column[name][by_key][:-1] for name in _SAME], axis=0)
        new[1:] = ~same | (np.diff(column["time"][by_key]) > ONE_ATTEMPT_NS)
    group = np.empty(count, np.int64)
    group[by_key] = np.cumsum(new) - 1
    first_rows = np.full(int(new.sum()), count, np.int64)
    np.minimum.at(first_rows, group, np.arange(count))
    order = np.lexsort([column["time"], first_rows[group]])
    sizes = np.bincount(group)[np.argsort(first_rows)] if count else np.zeros(0, np.int64)
    return order, np.append(0, np.cumsum(sizes))


def _table(column: dict[str, Ints], begin: Ints, texts: NDArray[Any], name: str) -> pd.DataFrame:
    """Return the flow table: of the values that differ within an attempt, those of its most telling event."""
    count = len(begin) - 1
    flow = np.repeat(np.arange(count), np.diff(begin))
    rank = {event: place for place, event in enumerate(ACTIONS)}
    telling = np.array([rank[event] for event in column["event"].tolist()], np.int64)
    best = np.lexsort([np.arange(len(flow)), -telling, flow])[begin[:-1]]
    attempts = {key: values[best] for key, values in column.items()}
    icmp, no_icmp = attempts["protocol"] == ICMP, attempts["protocol"] != ICMP
    none = np.zeros(count, np.int64)
    all_missing = np.ones(count, np.bool_)
    start_times, end_times = column["time"][begin[:-1]], column["time"][begin[1:] - 1]
    values: dict[str, Any] = dict.fromkeys(TABLE, none)
    late = attempts["late"]
    dropped = (attempts["action"] == 0) & ~late
    values["syn"] = np.where((attempts["protocol"] == TCP) & ~late, np.diff(begin), 0)
    values["conn_state"] = np.where(dropped & no_icmp, "S0", "OTH").astype(object)
    values["response"] = np.where(late, "mid-stream", np.where(dropped, "no-response", "one-way")).astype(object)
    values["icmp_error"] = np.full(count, "", object)
    values |= {
        "source": np.full(count, name, object),
        "protocol": np.array([PROTOCOLS[number] for number in attempts["protocol"].tolist()], object),
        "src_ip": texts[attempts["ip_src"]],
        "dst_ip": texts[attempts["ip_dst"]],
        "src_port": nullable(attempts["port_src"], icmp),
        "dst_port": nullable(attempts["port_dst"], icmp),
        # Of ICMP the two ports are type and code, in the order of the ends; the code of an echo is 0.
        "icmp_type": nullable(np.maximum(attempts["port_src"], attempts["port_dst"]), no_icmp),
        "icmp_code": nullable(np.minimum(attempts["port_src"], attempts["port_dst"]), no_icmp),
        "start": pd.DatetimeIndex(start_times.view("datetime64[ns]"), tz="UTC"),
        "end": pd.DatetimeIndex(end_times.view("datetime64[ns]"), tz="UTC"),
        "stream": nullable(none, all_missing),
        "action": np.where(attempts["action"] == 1, ALLOWED, BLOCKED).astype(object),
        "direction": texts[attempts["direction"]],
        "first_line": np.minimum.reduceat(column["line"], begin[:-1]) if count else none,
        "rows": np.diff(begin),
        "process_id": nullable(attempts["process"], attempts["process"] < 0),
        "computer": texts[attempts["computer"]],
        "application": texts[attempts["application"]],
        "filter_id": nullable(attempts["filter"], attempts["filter"] < 0),
        "filter_origin": np.where(dropped & _discarded(column, begin, texts), STEALTH, texts[attempts["origin"]]),
    }
    typed = {key: _typed(values[key], kind) for key, kind in (TABLE | EVENT_TABLE).items()}
    return pd.DataFrame(typed, copy=False)


def _discarded(column: dict[str, Ints], begin: Ints, texts: NDArray[Any]) -> NDArray[np.bool_]:
    """Tell which attempts got as far as where nobody listens, while Windows does not say which filter stopped them."""
    discarded = np.isin(column["event"], PACKETS) & (column["layer"] == DISCARDED)
    discarded &= (column["application"] == 0) & (column["origin"] == 0) & (texts[column["direction"]] != OUTBOUND)
    all_of_it: NDArray[np.bool_] = np.logical_and.reduceat(discarded, begin[:-1]) if len(discarded) else discarded
    return all_of_it


def _typed(values: Any, kind: str) -> Any:
    return pd.Series(values, dtype=kind) if isinstance(values, np.ndarray) else values


def _no_traffic(path: Path, reader: EventReader, collected: _EventColumns) -> SourceError:
    """Return in one line why nothing of this log can be audited."""
    where = str(path)
    if not reader.records:
        if reader.skipped:
            reason = "no event can be read" if reader.format == "evtx" else "no Windows event is in this JSON"
            return SourceError(f"{reason} ({_first_warning(reader)})", where=where, hint="export the log again")
        return SourceError("this event log is empty", where=where, hint="was it cleared before it was exported?")
    if collected.unreadable:
        reason = f"none of its {collected.unreadable:,} events about connections has addresses and ports"
        return SourceError(reason, where=where, hint="export it with all values, or save the log as .evtx")
    log = collected.logs.most_common(1)[0][0]
    if log and log.lower() != SECURITY_LOG and SECURITY_LOG not in map(str.lower, collected.logs):
        reason = f"this is the log {log[:80]!r}, which tells of no traffic"
        return SourceError(reason, where=where, hint="export the Security log: wevtutil epl Security security.evtx")
    reason = f"none of its {reader.records:,} events tells of a blocked or allowed connection (5152, 5156, 5157)"
    return SourceError(reason, where=where, hint=AUDIT_HINT)


def _first_warning(reader: EventReader) -> str:
    return reader.warnings[0].text.rstrip(".") if reader.warnings else "no record is whole"
