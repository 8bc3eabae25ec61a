"""What a computer's firewall writes about traffic, as rows of a Windows Firewall log and as Security events."""

from __future__ import annotations

import json
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from ipaddress import ip_address
from typing import Any

from logs import log
from noise import ANSWERED, FIRST_PORT, HALF_OPEN, OPENED_BEFORE, PROBED, SILENT, Contact

ALLOW, DROP, SEND, RECEIVE = "ALLOW", "DROP", "SEND", "RECEIVE"
PROTOCOLS = {"tcp": 6, "udp": 17, "icmp": 1}
AGAIN = {SILENT: (0.0, 1.0, 3.0), PROBED: (0.0,)}  # seconds after which an attempt without a response is repeated
LET_IN = (ANSWERED, HALF_OPEN)


@dataclass(frozen=True)
class Record:
    """A packet or connection that a firewall allowed or dropped. time: seconds since 1970; src: who began it."""

    time: float
    action: str
    path: str
    protocol: str
    src: str
    src_port: int
    dst: str
    dst_port: int

    @property
    def sequence(self) -> int:
        """The first sequence number of a TCP connection: scenario.py has it follow from the port."""
        return 1000 + self.src_port


def records_of(contacts: Sequence[Contact], computer: str, begin: float, first_port: int = FIRST_PORT) -> list[Record]:
    """Return what the firewall of a computer writes about contacts. begin: what their times count from.

    It allows what the computer itself begins. Of what others begin it allows what is answered, and drops what has no
    response. Windows writes nothing of a port where no service listens, of a connection that was opened before, and of
    what a router rejects on the path.
    """
    return [
        record
        for number, contact in enumerate(contacts)
        for record in _records(contact, computer, begin + contact.at, first_port + number)
    ]


def _records(contact: Contact, computer: str, time: float, src_port: int) -> list[Record]:
    ends = (contact.protocol, contact.src, src_port, contact.dst, contact.port)
    if contact.protocol not in PROTOCOLS or contact.how == OPENED_BEFORE:
        return []
    if contact.src == computer:
        return [Record(time, ALLOW, SEND, *ends)]
    if contact.dst != computer and not is_for_all(contact.dst):
        return []
    if contact.how in LET_IN:
        return [Record(time, ALLOW, RECEIVE, *ends)]
    again = AGAIN.get(contact.how, ()) if contact.protocol == "tcp" else (0.0,)
    return [Record(time + after, DROP, RECEIVE, *ends) for after in again]


def is_for_all(address: str) -> bool:
    """Tell whether many computers receive what is sent to an address."""
    return ip_address(address).is_multicast or address.endswith(".255")


# rows of pfirewall.log


def pfirewall(records: Iterable[Record], ahead: timedelta = timedelta(0)) -> bytes:
    """Return a Windows Firewall log. ahead: how far the local time of the computer is ahead of UTC."""
    return log(*(_row(record, ahead) for record in sorted(records, key=_time)))


def _time(record: Record) -> float:
    return record.time


def _row(record: Record, ahead: timedelta) -> str:
    """Write a record as Windows does: size, flags, and numbers only of what was received and dropped."""
    time = f"{datetime.fromtimestamp(record.time, UTC) + ahead:%Y-%m-%d %H:%M:%S}"
    detailed = record.action == DROP and record.path == RECEIVE
    ports = "- -" if record.protocol == "icmp" else f"{record.src_port} {record.dst_port}"
    numbers, kind = "- - - -", f"{_echo(record)} 0" if record.protocol == "icmp" else "- -"
    if record.protocol == "tcp":
        numbers = f"S {record.sequence} 0 64240" if detailed else "- 0 0 0"
    ends = f"{record.protocol.upper()} {record.src} {record.dst} {ports}"
    return f"{time} {record.action} {ends} {60 if detailed else 0} {numbers} {kind} - {record.path}"


def _echo(record: Record) -> int:
    return 128 if ":" in record.src else 8


# events of the Security log


def events(records: Iterable[Record], computer: str) -> bytes:
    """Return the events 5156 and 5157 of a computer as JSON, one a line, as evtx_dump writes them."""
    ordered = sorted(records, key=_time)
    return "".join(f"{json.dumps(_event(record, computer, n))}\n" for n, record in enumerate(ordered, 1)).encode()


def _event(record: Record, computer: str, number: int) -> dict[str, Any]:
    system = {
        "Provider": {"#attributes": {"Name": "Microsoft-Windows-Security-Auditing"}},
        "EventID": 5156 if record.action == ALLOW else 5157,
        "TimeCreated": {"#attributes": {"SystemTime": datetime.fromtimestamp(record.time, UTC).isoformat()}},
        "EventRecordID": number,
        "Channel": "Security",
        "Computer": computer,
    }
    return {"Event": {"System": system, "EventData": _values(record)}}


def _values(record: Record) -> dict[str, Any]:
    """Return the values of an event; of an echo request, type and code are in place of the ports."""
    ports = (_echo(record), 0) if record.protocol == "icmp" else (record.src_port, record.dst_port)
    six = record.protocol == "icmp" and ":" in record.src
    return {
        "ProcessID": 4,
        "Application": "System",
        "Direction": "%%14592" if record.path == RECEIVE else "%%14593",
        "SourceAddress": record.src,
        "SourcePort": str(ports[0]),
        "DestAddress": record.dst,
        "DestPort": str(ports[1]),
        "Protocol": 58 if six else PROTOCOLS[record.protocol],
        "FilterRTID": 72408,
        "LayerName": "%%14610" if record.path == RECEIVE else "%%14611",
        "LayerRTID": 44 if record.path == RECEIVE else 48,
    }
