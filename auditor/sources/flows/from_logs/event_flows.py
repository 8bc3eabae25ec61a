"""Flows from the events in which Windows says what its filtering platform blocked or allowed.

The events are documented in Microsoft's "Audit Filtering Platform Packet Drop" and "... Connection".
"""

from __future__ import annotations

import ipaddress
from array import array
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from functools import cached_property, lru_cache, partial
from itertools import repeat
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from auditor.errors import NotASourceError, SourceError
from auditor.sources.capture.ip import ICMPV6
from auditor.sources.capture.packets import ECHO_REQUEST, ICMP, TCP, UDP
from auditor.sources.files.skip_counts import Tally
from auditor.sources.files.warnings import SourceWarning, warning
from auditor.sources.flows.columns import PROTOCOLS
from auditor.sources.flows.from_logs.attempts import (
    ATTEMPT,
    ICMP_TYPE,
    LOG_COLUMNS,
    TURNED,
    Ints,
    LogAttempts,
    LogFlows,
    local_ends,
)
from auditor.sources.flows.from_logs.stale_packets import RETRY_S, SYSTEM_PORTS, looks_like_reply
from auditor.sources.logs import firewall_rows
from auditor.sources.logs.event_fields import LONGEST_TEXT, Event, whole
from auditor.sources.logs.event_log import EventReader
from auditor.sources.logs.firewall_rows import DROP, NO_PATH, PATHS, RECEIVE, SEND, STEALTH_FILTER

# The words of a firewall log, so that both kinds of log make one table.
BLOCKED, ALLOWED = "DROP", "ALLOW"
ALLOW = firewall_rows.ACTIONS.index(ALLOWED)
INBOUND, OUTBOUND, FORWARD = "RECEIVE", "SEND", "FORWARD"
MEANING = {BLOCKED: "blocked", ALLOWED: "allowed"}

# What the table of an event log has beside the columns of a capture.
EVENT_COLUMNS = LOG_COLUMNS | {"computer": "str", "application": "str", "filter_id": "Int64", "filter_origin": "str"}
# Events that tell of a connection or packet, and what was done with it. Of several about one attempt the one that
# stands further right here shows more of the program, and is shown.
ACTIONS = {5152: BLOCKED, 5153: BLOCKED, 5157: BLOCKED, 5156: ALLOWED}
PACKETS = (5152, 5153)  # of these, and what allows or blocks connections, Windows wrote the ends in an order each
# Where in Windows it was decided: where packets to closed ports go, or where connections are let in. An export
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
    "Turn on their auditing, repeat the installation, and export again: "
    'auditpol /set /subcategory:"{0CCE9225-69AE-11D9-BED3-505054503030}","{0CCE9226-69AE-11D9-BED3-505054503030}" '
    "/success:enable /failure:enable"
)


@dataclass(frozen=True)
class ComputerAddress:
    """An address of a computer whose firewall logged something.

    Attributes:
        computer: Its name as the events have it, in small letters.
        address: As text.
        rows: How many events show it.
        sure: Whether it sent from there itself.
    """

    computer: str
    address: str
    rows: int
    sure: bool


@dataclass(frozen=True)
class EventFacts:
    """What an event log can show at all.

    Attributes:
        drops: Events that say that something was blocked (5152, 5153, 5157).
        allows: Events that say that something was allowed (5156).
        local: The addresses of the computers that wrote the events, by computer, the likeliest first.
        clock: What the times are: always "utc".
    """

    drops: int
    allows: int
    local: tuple[ComputerAddress, ...]
    clock: str = "utc"


@dataclass(frozen=True, eq=False)
class EventFlows(LogFlows):
    """All flows of one event log: where a firewall log has lines there are record numbers, of JSON the lines.

    Attributes:
        single: All events, flow by flow.
        begin: Where the events of each flow begin, and where those of the last one end.
        more: The columns that only event logs have.
    """

    facts: EventFacts
    single: LogAttempts
    begin: Ints
    more: Mapping[str, NDArray[Any]]
    columns = EVENT_COLUMNS
    tick_ns = 1

    @cached_property
    def heard(self) -> frozenset[str]:
        """Every address that something came from: a computer that writes a log is there too."""
        own = self.attempts.receiver[self.attempts.path == RECEIVE]
        addresses = (self.addresses[number] for number in {*own.tolist(), *self.attempts.sender.tolist()})
        return frozenset(address for address in addresses if not _for_everybody(address))

    def _tcp_packet(self, kind: int) -> str:
        return "data" if kind & TURNED else "SYN"

    def _entries(self, flow: int) -> Iterator[tuple[int, int, int]]:
        """Yield number, time and sequence number of all events of a flow."""
        rows = slice(self.begin.item(flow), self.begin.item(flow + 1))
        numbers, times = self.single.first_line[rows].tolist(), self.single.start[rows].tolist()
        return zip(numbers, times, repeat(0))

    def _factories(self) -> dict[str, Callable[[], NDArray[Any]]]:
        return super()._factories() | {name: partial(self.more.__getitem__, name) for name in self.more}


@dataclass(frozen=True)
class EventLog:
    """What was read of one log, under the names that Source has for it."""

    format: str
    records: int
    skipped: int
    first_ns: int
    last_ns: int
    warnings: tuple[SourceWarning, ...]
    tally: Tally
    details: EventFlows


def read_events(path: Path, name: str) -> EventLog:
    """Read an event log and return its flows; memory grows with the number of events about filtered traffic.

    Args:
        path: The file.
        name: What the flow table calls it.

    Raises:
        SourceError: If the log holds no such events.
        OSError: If it cannot be read.
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
    path: int
    ends: tuple[tuple[str, int], tuple[str, int]]


# By the type code of an array, the columns in the order in which _append gives their values.
_COLUMNS = {
    "q": "time line filter",
    "i": "event computer path protocol ip_a port_a ip_b port_b process application origin layer",
}


@dataclass
class _EventColumns:
    """Events about traffic, a number in each column; texts are numbered in `texts`, the empty one is 0."""

    column: dict[str, array[int]] = field(
        default_factory=lambda: {name: array(code) for code, names in _COLUMNS.items() for name in names.split()}
    )
    texts: dict[str, int] = field(default_factory=lambda: {"": 0})
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
            traffic.path,
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
    """Return where it was decided; 0 if that is unknown or does not matter."""
    name = values.get("layername")
    named = LAYERS.get(name.strip().lower(), 0) if isinstance(name, str) else 0
    return named or LAYER_NUMBERS.get(_or(whole(values.get("layerrtid")), -1), 0)


def _traffic(event: Event) -> _TrafficEvent | None:
    """Return what an event shows; None if an address, port, or protocol is missing or impossible."""
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
    direction = DIRECTIONS.get(word.strip().lower()) if isinstance(word, str) else None
    return _TrafficEvent(protocol, PATHS.index(direction) if direction else NO_PATH, ((ip_a, port_a), (ip_b, port_b)))


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
    """Return one flow for each attempt that one computer's firewall logged: the same ends, direction, and action."""
    column = {key: np.frombuffer(values, values.typecode) for key, values in collected.column.items()}
    texts = np.array(list(collected.texts), object)
    place = np.flatnonzero(np.isin(column["protocol"], list(PROTOCOLS)))
    place = place[np.argsort(column["time"][place], kind="stable")]
    column = {key: values[place] for key, values in column.items()}
    events = _without_late(_oriented(column, texts), column)
    order, begin = _grouped(events, column["computer"], place)
    events, column = events.at(order), {key: values[order] for key, values in column.items()}
    best = _most_telling(column["event"], begin)
    size, start = np.diff(begin), begin[:-1]
    first_line = np.minimum.reduceat(events.first_line, start) if len(size) else size
    attempts = replace(
        events.at(best), rows=size, start=events.start[start], end=events.start[begin[1:] - 1], first_line=first_line
    )
    computer, application, origin = (column[name][best] for name in ("computer", "application", "origin"))
    stealth = _discarded(column, events.path, begin) & (attempts.action == DROP) & (attempts.packet == ATTEMPT)
    more = {
        "computer": texts[computer],
        "application": texts[application],
        "filter_id": column["filter"][best],
        "filter_origin": np.where(stealth, STEALTH, texts[origin]),
    }
    return EventFlows(name, attempts, texts.tolist(), _facts(attempts, computer, texts), events, begin, more)


def _facts(attempts: LogAttempts, computer: Ints, texts: NDArray[Any]) -> EventFacts:
    local = [
        ComputerAddress(texts[number], texts[address], rows, sent)
        for number, address, rows, sent in local_ends(attempts, computer)
        if not _for_everybody(texts[address])
    ]
    local.sort(key=lambda entry: (entry.computer, not entry.sure, -entry.rows, entry.address))
    drops, allows = (int(attempts.rows[attempts.action == action].sum()) for action in (DROP, ALLOW))
    return EventFacts(drops, allows, tuple(local))


def _oriented(column: Mapping[str, Ints], texts: NDArray[Any]) -> LogAttempts:
    """Return each event as an attempt of who sent. Where it cannot be known whose firewall it is, it has no path.

    Windows' word differs by version: of an inbound connection it writes the local end first (Windows 7, 2008), or the
    remote one (Windows 10, 2016); of a packet the sender. Of an outbound one the local end always comes first, and that
    tells a computer's own addresses. What is left is decided as most of that computer's events are; else a connection
    comes from no system port, and anything else is taken as today's Windows writes it.
    """
    # Windows 7 writes an inbound connection to 10.0.0.20:445 as source 10.0.0.20, Windows 10 as destination 10.0.0.20.
    # That 10.0.0.20 is the computer's own is known once it is the source of an outbound event.
    inbound, outbound = column["path"] == RECEIVE, column["path"] == SEND
    own = _pairs(column["computer"][outbound], column["ip_a"][outbound])
    own_a = np.isin(_pairs(column["computer"], column["ip_a"]), own)
    own_b = np.isin(_pairs(column["computer"], column["ip_b"]), own)
    everybody = np.array([_for_everybody(text) for text in texts], np.bool_)
    first_is_local = (everybody[column["ip_a"]] & ~everybody[column["ip_b"]]) | (own_a & ~own_b)
    second_is_local = (everybody[column["ip_b"]] & ~everybody[column["ip_a"]]) | (own_b & ~own_a)
    leaning = np.where(inbound, first_is_local.astype(np.int64) - second_is_local, 0)
    packet, allowed = np.isin(column["event"], PACKETS), _is_allowed(column["event"])
    habits = [np.bincount(column["computer"], leaning * mask, len(texts)) for mask in (packet, ~packet)]
    of_packets, of_connections = (habit[column["computer"]] for habit in habits)
    unsure = inbound & (leaning == 0)
    unknown = unsure & np.where(packet, (of_packets == 0) & (of_connections >= 0), of_connections == 0)
    habit = np.where(packet, of_packets, of_connections)
    icmp, by_port = column["protocol"] == ICMP, column["port_a"] < column["port_b"]
    accepted = (column["layer"] == ACCEPTING) | allowed
    from_service = (column["port_a"] < SYSTEM_PORTS) & (column["port_b"] >= SYSTEM_PORTS) & accepted & ~packet
    surely = icmp | from_service
    swapped = (inbound & (leaning > 0)) | (unsure & np.where(unknown, by_port & surely, habit > 0))
    path = np.where(unknown & by_port & ~surely, NO_PATH, column["path"]).astype(np.int64)
    (src, dst), (src_port, dst_port) = (
        (np.where(swapped, end_b, end_a).astype(np.int64), np.where(swapped, end_a, end_b).astype(np.int64))
        for end_a, end_b in ((column["ip_a"], column["ip_b"]), (column["port_a"], column["port_b"]))
    )
    # Of ICMP the two ports are type and code, in the order of the ends; the code of an echo is 0.
    icmp_code = np.maximum(src_port, dst_port) << ICMP_TYPE | np.minimum(src_port, dst_port)
    return LogAttempts(
        src=src,
        dst=dst,
        src_port=src_port,
        dst_port=np.where(icmp, icmp_code, dst_port),
        kind=column["protocol"].astype(np.int64) << 16 | path << 8 | np.where(allowed, ALLOW, DROP),
        process=column["process"].astype(np.int64),
        rows=np.ones(len(src), np.int64),
        start=column["time"],
        end=column["time"],
        first_line=column["line"],
    )


def _without_late(events: LogAttempts, column: Mapping[str, Ints]) -> LogAttempts:
    """Mark the packets that are late, seen from who began. events: in the order of their times.

    Late are answers of services, and what is dropped of a connection that the same firewall had let through. Of a
    connection that is blocked that holds for a while only: its port is used again.
    """
    dropped, protocol = events.action == DROP, events.protocol
    answer = dropped & (protocol != ICMP) & looks_like_reply(events.src_port, events.dst_port)
    latest, other_way = events.latest_allowed(~dropped, column["computer"], protocol)
    soon = events.start - events.start[latest] <= RETRY_S * 10**9
    of_allowed = dropped & (protocol == TCP) & (latest >= 0) & (soon | np.isin(column["event"], PACKETS))
    return events.marked_late(answer | of_allowed, np.where(of_allowed, other_way, answer))


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


def _grouped(events: LogAttempts, computer: Ints, place: Ints) -> tuple[Ints, Ints]:
    """Return the order in which the events of each attempt follow each other, and where each attempt begins.

    Attempts are in the order of their first events in the file.

    Args:
        events: In the order of their times.
        computer: Whose firewall logged each.
        place: Where each stands in the file.
    """
    same = (computer, events.kind, events.src, events.src_port, events.dst, events.dst_port)
    # Attempts at 0 s, 9 s and 90 s between the same ends are two: the pause is longer than ONE_ATTEMPT_NS.
    order = np.lexsort(same)  # it keeps the order of times
    new = np.ones(len(order), np.bool_)
    if len(order):
        differs = np.any([column[order][1:] != column[order][:-1] for column in same], axis=0)
        new[1:] = differs | (np.diff(events.start[order]) > ONE_ATTEMPT_NS)
    begin = np.flatnonzero(new)
    size = np.diff(np.append(begin, len(order)))
    first_place = np.minimum.reduceat(place[order], begin) if len(order) else begin
    by_place = np.argsort(first_place)
    return order[np.argsort(np.repeat(first_place, size), kind="stable")], np.append(0, np.cumsum(size[by_place]))


def _most_telling(event: Ints, begin: Ints) -> Ints:
    """Return for each attempt the place of the event that shows most of the program, the first of several."""
    rank = np.zeros(max(ACTIONS) + 1, np.int64)
    rank[list(ACTIONS)] = np.arange(len(ACTIONS))
    flow = np.repeat(np.arange(len(begin) - 1), np.diff(begin))
    telling: Ints = np.lexsort([-rank[event], flow])[begin[:-1]]
    return telling


def _discarded(column: Mapping[str, Ints], path: Ints, begin: Ints) -> NDArray[np.bool_]:
    """Return which attempts reached a closed port, where Windows does not report the filter that dropped them."""
    discarded = np.isin(column["event"], PACKETS) & (column["layer"] == DISCARDED)
    discarded &= (column["application"] == 0) & (column["origin"] == 0) & (path != SEND)
    all_of_it: NDArray[np.bool_] = np.logical_and.reduceat(discarded, begin[:-1]) if len(discarded) else discarded
    return all_of_it


def _no_traffic(path: Path, reader: EventReader, collected: _EventColumns) -> SourceError:
    """Return in one line why nothing of this log can be audited."""
    where = str(path)
    if not reader.records:
        if reader.skipped:
            reason = "no event can be read" if reader.format == "evtx" else "no Windows event is in this JSON"
            return SourceError(f"{reason} ({_first_warning(reader)})", where=where, hint="Export the log again.")
        return SourceError(
            "this event log is empty", where=where, hint="Export it again: wevtutil epl Security security.evtx"
        )
    if collected.unreadable:
        reason = f"none of its {collected.unreadable:,} events about connections has addresses and ports"
        return SourceError(reason, where=where, hint="Export it with all values, or save the log as .evtx.")
    log = collected.logs.most_common(1)[0][0]
    if log and log.lower() != SECURITY_LOG and SECURITY_LOG not in map(str.lower, collected.logs):
        reason = f"this is the log {log[:100]!r}, which contains no traffic"
        return NotASourceError(reason, where=where, hint="Export the Security log: wevtutil epl Security security.evtx")
    reason = f"none of its {reader.records:,} events is a blocked or allowed connection (5152, 5156, 5157)"
    return SourceError(reason, where=where, hint=AUDIT_HINT)


def _first_warning(reader: EventReader) -> str:
    return reader.warnings[0].text.rstrip(".") if reader.warnings else "no record is whole"
