"""Security events about connections, in the shapes that Windows and its exporters write."""

from __future__ import annotations

import json
from typing import Any

IN, OUT = "%%14592", "%%14593"


Table = dict[str, Any]


# The site server 10.0.0.5 cannot reach TCP 445 of the client 10.0.0.20, whose own firewall stops it.
BLOCKED = {
    "ProcessID": 4,
    "Application": "System",
    "Direction": IN,
    "SourceAddress": "10.0.0.5",
    "SourcePort": "50000",
    "DestAddress": "10.0.0.20",
    "DestPort": "445",
    "Protocol": 6,
    "FilterRTID": 72408,
    "LayerName": "%%14610",
    "LayerRTID": 44,
}


def native(event_id: int, values: Table, time: str = "2026-03-01T08:00:00Z", **system: Any) -> Table:
    """Return an event as the evtx package, and evtx_dump, write it."""
    base = {
        "Provider": {"#attributes": {"Name": "Microsoft-Windows-Security-Auditing"}},
        "EventID": event_id,
        "TimeCreated": {"#attributes": {"SystemTime": time}},
        "EventRecordID": 7,
        "Channel": "Security",
        "Computer": "client01.contoso.example",
    }
    return {"Event": {"System": base | system, "EventData": values}}


def blocked(time: str = "2026-03-01T08:00:00Z", event_id: int = 5157, **values: Any) -> Table:
    return native(event_id, BLOCKED | values, time)


def allowed(time: str = "2026-03-01T08:00:00Z", **values: Any) -> Table:
    return native(5156, BLOCKED | values, time)


def lines(*events: Table | str) -> bytes:
    return "".join((one if isinstance(one, str) else json.dumps(one)) + "\n" for one in events).encode()
