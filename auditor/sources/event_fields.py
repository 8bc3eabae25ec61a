"""One Windows event, however it was exported, reduced to what is judged: when, where, which event, its values.

Shapes that are known: the `evtx` package and evtx_dump, Winlogbeat and Elastic exports, NXLog and other flat records,
`Get-WinEvent | ConvertTo-Json`, and an event's XML turned into JSON.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
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
_QUARTER = 15 * 60


class Event(NamedTuple):
    """One event. number: its record number, or the line it begins in; zone: how its time was brought to UTC.

    zone: "" when the event says so itself, "collector" when two times of the collector told the difference, "none"
    when nothing told and the time was taken as UTC. time_ns: None if it has no time at all. values: by name in small
    letters.
    """

    number: int
    event_id: int
    time_ns: int | None
    zone: str
    computer: str
    log: str
    provider: str
    values: Mapping[str, Any]


def event_of(document: Mapping[str, Any], number: int) -> Event | None:
    """Return the event that a JSON object holds, None if it holds none."""
    fields = _lower(document)
    for wrapper in WRAPPERS:
        if isinstance(fields.get(wrapper), dict):
            fields = _lower(fields[wrapper])
    if isinstance(fields.get("event"), dict) and "System" in fields["event"]:
        fields = _lower(fields["event"])
    if isinstance(fields.get("system"), dict):
        return _native(fields, number)
    if isinstance(fields.get("winlog"), dict):
        return _winlogbeat(fields, number)
    return _flat(fields, number)


def _native(fields: Mapping[str, Any], number: int) -> Event | None:
    system = _lower(fields["system"])
    created = system.get("timecreated") or system.get("timecreated_attributes")
    time = _attribute(created, "systemtime") or _plain(created)
    provider = _attribute(system.get("provider") or system.get("provider_attributes"), "name")
    data = fields.get("eventdata") or fields.get("userdata") or {}
    record = whole(_plain(system.get("eventrecordid")))
    texts = (_text(system.get("computer")), _text(system.get("channel")), _text(provider))
    return _event(record or number, _plain(system.get("eventid")), _time(time), texts, _named(data))


def _winlogbeat(fields: Mapping[str, Any], number: int) -> Event | None:
    log = _lower(fields["winlog"])
    texts = (_text(log.get("computer_name")), _text(log.get("channel")), _text(log.get("provider_name")))
    data = log.get("event_data") or {}
    return _event(number, log.get("event_id"), _time(fields.get("@timestamp")), texts, _named(data))


def _flat(fields: Mapping[str, Any], number: int) -> Event | None:
    """Return an event whose values lie beside what is said about it."""
    event_id = next((fields[name] for name in ("eventid", "event_id", "eventcode", "id") if name in fields), None)
    computer = _first(fields, "hostname", "computer", "computername", "computer_name", "machinename")
    log = _first(fields, "channel", "logname", "log_name", "log")
    provider = _first(fields, "sourcename", "providername", "source_name", "provider", "source")
    values = dict(fields)
    for name in ("eventdata", "event_data"):
        values |= _named(fields.get(name))
    properties = fields.get("properties")
    if isinstance(properties, list) and "direction" not in values:
        values |= dict(zip(PROPERTIES, map(_plain, properties), strict=False))
    texts = (_text(computer), _text(log), _text(provider))
    return _event(number, _plain(event_id), _flat_time(fields), texts, values)


def _event(
    number: int, event_id: Any, time: tuple[int | None, str], texts: tuple[str, str, str], values: Mapping[str, Any]
) -> Event | None:
    known = whole(event_id)
    return None if known is None else Event(number, known, *time, *texts, values)


# values


def _lower(table: Mapping[str, Any]) -> dict[str, Any]:
    return {str(name).lower(): value for name, value in table.items()}


def _plain(value: Any) -> Any:
    """Return what an element holds where the converter keeps its attributes beside it."""
    if isinstance(value, dict):
        known = _lower(value)
        return next((known[name] for name in ("#text", "value", "text", "_text", "content") if name in known), None)
    return value


def _attribute(value: Any, name: str) -> Any:
    """Return an attribute of an element, wherever the converter put it."""
    if not isinstance(value, dict):
        return None
    known = _lower(value)
    inner = known.get("#attributes") or known.get("@attributes")
    known |= _lower(inner) if isinstance(inner, dict) else {}
    return known.get(name, known.get(f"@{name}"))


def _named(data: Any) -> dict[str, Any]:
    """Return the values of an EventData element by name: names are keys, or each Data element has its own."""
    if not isinstance(data, dict):
        return {}
    known = _lower(data)
    listed = known.get("data")
    if not isinstance(listed, list):
        return {name: _plain(value) for name, value in known.items()}
    pairs = ((_attribute(one, "name"), _plain(one)) for one in listed)
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
    if not text.isascii() or len(text) > 20:
        return None
    try:
        number = int(text, 16) if text[:2].lower() == "0x" else int(text)
    except ValueError:
        return None
    return number if 0 <= number < 1 << 63 else None


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
    named = _first(fields, "eventtime", "timecreated", "systemtime", "timegenerated", "@timestamp")
    time, zone = _time(named)
    if time is None or zone != "none":
        return time, zone
    received, stamped = _moment(fields.get("eventreceivedtime")), _moment(fields.get("@timestamp"))
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
    """Return seconds, milli-, micro- or nanoseconds since 1970 as nanoseconds: its size tells which."""
    for limit, factor in ((1e11, 10**9), (1e14, 10**6), (1e17, 10**3), (LATEST_NS, 1)):
        if 0 <= number < limit:
            return _possible(int(number * factor))
    return None


def _possible(time_ns: int) -> int | None:
    return time_ns if 0 <= time_ns < LATEST_NS else None
