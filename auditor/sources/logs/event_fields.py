"""One Windows event, however it was exported, reduced to what is judged: when, where, which event, its values.

Shapes that are known: the `evtx` package and evtx_dump, Winlogbeat and Elastic exports, NXLog and other flat records,
`Get-WinEvent | ConvertTo-Json`, and an event's XML turned into JSON.
"""

from __future__ import annotations

import re
from collections.abc import Container, Mapping
from datetime import UTC, datetime, timedelta
from typing import Any, NamedTuple

# What the Security log's events about filtered traffic hold, in this order: Get-WinEvent gives values without names.
PROPERTIES = (
    "processid",
    "application",
    "direction",
    "sourceaddress",
    "sourceport",
    "destaddress",
    "destport",
    "protocol",
)
WRAPPERS = ("_source", "result", "_raw")  # what an export puts around the event
LONGEST_TEXT = 1000
LATEST_NS = 1 << 62  # in 2116; what claims to be later is no time
_TICKS = re.compile(r"/Date\((-?\d{1,17})(?:[+-]\d{4})?\)/")
_NUMBER = re.compile(r"[0-9]{1,19}|0[xX][0-9A-Fa-f]{1,16}")
_QUARTER = 15 * 60


class Event(NamedTuple):
    """One event.

    Of events that are not requested, time and values are left out.

    Attributes:
        number: Its record number, or the line it begins in.
        values: By name in small letters.
        time_ns: When, None if it has no time.
        zone: How that was brought to UTC: "" when the event says so itself, "collector" when two times of the collector
            show the difference, "none" when nothing shows it and UTC is assumed.
    """

    number: int
    event_id: int
    log: str
    provider: str
    computer: str = ""
    time_ns: int | None = None
    zone: str = ""
    values: Mapping[str, Any] = {}


def event_of(document: Mapping[str, Any], number: int, wanted: Container[int]) -> Event | None:
    """Return the event that a JSON object holds, None if it holds none.

    Args:
        document: The object.
        number: The line it begins in, used where the event has no record number.
        wanted: Ids whose values are asked for.
    """
    fields = document
    for wrapper in WRAPPERS:
        if isinstance(fields.get(wrapper), dict):
            fields = fields[wrapper]
    event = fields.get("Event")
    if isinstance(event, dict):
        fields = event
    if isinstance(fields.get("System"), dict):
        return _native(fields, number, wanted)
    if isinstance(fields.get("winlog"), dict):
        return _winlogbeat(fields, number, wanted)
    return _flat(fields, number, wanted)


def _native(fields: Mapping[str, Any], number: int, wanted: Container[int]) -> Event | None:
    """Return an event that is laid out as Windows' own XML is."""
    system = fields["System"]
    event_id = whole(_plain(system.get("EventID")))
    if event_id is None:
        return None
    provider = _attribute(system.get("Provider") or system.get("Provider_attributes"), "Name")
    number = whole(_plain(system.get("EventRecordID"))) or number
    event = Event(number, event_id, _text(system.get("Channel")), _text(provider))
    if event_id not in wanted:
        return event
    created = system.get("TimeCreated") or system.get("TimeCreated_attributes")
    time, zone = _time(_attribute(created, "SystemTime") or _plain(created))
    values = _named(fields.get("EventData") or fields.get("UserData"))
    return event._replace(computer=_text(system.get("Computer")), time_ns=time, zone=zone, values=values)


def _winlogbeat(fields: Mapping[str, Any], number: int, wanted: Container[int]) -> Event | None:
    log = fields["winlog"]
    event_id = whole(log.get("event_id"))
    if event_id is None:
        return None
    event = Event(number, event_id, _text(log.get("channel")), _text(log.get("provider_name")))
    if event_id not in wanted:
        return event
    time, zone = _time(fields.get("@timestamp"))
    values = _named(log.get("event_data"))
    return event._replace(computer=_text(log.get("computer_name")), time_ns=time, zone=zone, values=values)


def _flat(fields: Mapping[str, Any], number: int, wanted: Container[int]) -> Event | None:
    """Return an event whose values lie beside what is said about it."""
    event_id = whole(_plain(_first(fields, "EventID", "EventId", "event_id", "EventCode", "Id")))
    if event_id is None:
        return None
    log = _first(fields, "Channel", "LogName", "log_name", "Log")
    provider = _first(fields, "SourceName", "ProviderName", "source_name", "Provider")
    event = Event(number, event_id, _text(log), _text(provider))
    if event_id not in wanted:
        return event
    values = _lower(fields) | _named(_first(fields, "EventData", "event_data"))
    properties = fields.get("Properties")
    if isinstance(properties, list) and "direction" not in values:
        values |= dict(zip(PROPERTIES, map(_plain, properties), strict=False))
    computer = _first(fields, "Hostname", "Computer", "ComputerName", "computer_name", "MachineName")
    time, zone = _flat_time(fields)
    return event._replace(computer=_text(computer), time_ns=time, zone=zone, values=values)


# values


def _lower(table: Mapping[str, Any]) -> dict[str, Any]:
    return {str(name).lower(): value for name, value in table.items()}


def _plain(value: Any) -> Any:
    """Return what an element holds where the converter keeps its attributes beside it."""
    if isinstance(value, dict):
        fields = _lower(value)
        return next((fields[name] for name in ("#text", "value", "text", "_text", "content") if name in fields), None)
    return value


def _attribute(value: Any, name: str) -> Any:
    """Return an attribute of an element, wherever the converter put it."""
    if not isinstance(value, dict):
        return None
    inner = value.get("#attributes") or value.get("@attributes") or value
    return inner.get(name, inner.get(f"@{name}")) if isinstance(inner, dict) else None


def _named(data: Any) -> dict[str, Any]:
    """Return the values of an EventData element by name: names are keys, or each Data element has its own."""
    if not isinstance(data, dict):
        return {}
    fields = _lower(data)
    listed = fields.get("data")
    if not isinstance(listed, list):
        return {name: _plain(value) for name, value in fields.items()}
    pairs = ((_attribute(element, "Name"), _plain(element)) for element in listed)
    return {name.lower(): value for name, value in pairs if isinstance(name, str)}


def _first(fields: Mapping[str, Any], *names: str) -> Any:
    return next((fields[name] for name in names if fields.get(name)), None)


def _text(value: Any) -> str:
    plain = _plain(value)
    return plain[:LONGEST_TEXT] if isinstance(plain, str) else ""


def whole(value: Any) -> int | None:
    """Return a number that is not negative, written as number or text, decimal or hexadecimal; None if it is none."""
    if isinstance(value, bool) or not isinstance(value, (int, str)):
        return None
    if isinstance(value, int):
        return value if 0 <= value < 1 << 63 else None
    text = value.strip()
    if not _NUMBER.fullmatch(text):
        return None
    number = int(text, 16 if text[:2].lower() == "0x" else 10)
    return number if number < 1 << 63 else None


# times


def _time(value: Any) -> tuple[int | None, str]:
    """Return a time in nanoseconds since 1970 UTC, and whether it had to be taken for UTC."""
    if isinstance(value, (int, float)) and not isinstance(value, bool):
        return _counted(value), ""
    plain = _plain(value)
    if not isinstance(plain, str) or len(plain) > 64:
        return None, "none"
    if ticks := _TICKS.fullmatch(plain.strip()):
        return _possible(int(ticks[1]) * 1_000_000), ""
    moment = _moment(plain)
    if moment is None:
        return None, "none"
    return _possible(_nanoseconds(moment)), "none" if moment.tzinfo is None else ""


def _flat_time(fields: Mapping[str, Any]) -> tuple[int | None, str]:
    """Return when a flat record's event happened.

    NXLog writes EventTime without a zone, in the computer's own. Where the collector stamped the receipt twice, once in
    that zone and once in UTC, the difference is the zone.
    """
    named = _first(fields, "EventTime", "TimeCreated", "SystemTime", "TimeGenerated", "@timestamp")
    time, zone = _time(named)
    if time is None or zone != "none":
        return time, zone
    received, stamped = _moment(fields.get("EventReceivedTime")), _moment(fields.get("@timestamp"))
    if received is None or stamped is None or received.tzinfo is not None or stamped.tzinfo is None:
        return time, zone
    ahead = (stamped - received.replace(tzinfo=UTC)).total_seconds()
    return _possible(time + round(ahead / _QUARTER) * _QUARTER * 1_000_000_000), "collector"


def _moment(value: Any) -> datetime | None:
    if not isinstance(value, str) or len(value) > 64:
        return None
    try:
        return datetime.fromisoformat(value.strip())
    except ValueError:
        return None


def _nanoseconds(moment: datetime) -> int:
    aware = moment if moment.tzinfo else moment.replace(tzinfo=UTC)
    return (aware - datetime(1970, 1, 1, tzinfo=UTC)) // timedelta(microseconds=1) * 1000


def _counted(number: float) -> int | None:
    """Return seconds, milli-, micro- or nanoseconds since 1970 as nanoseconds: its size shows which."""
    for limit, factor in ((1e11, 10**9), (1e14, 10**6), (1e17, 10**3), (LATEST_NS, 1)):
        if 0 <= number < limit:
            return _possible(int(number * factor))
    return None


def _possible(time_ns: int) -> int | None:
    return time_ns if 0 <= time_ns < LATEST_NS else None
