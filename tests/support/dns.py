"""DNS messages as clients and servers write them."""

from __future__ import annotations

import socket
import struct

from packets import At, udp

A, CNAME, AAAA = 1, 5, 28
IN_QUESTION = b"\xc0\x0c"  # pointer to the name of the question


def name(text: str) -> bytes:
    """Return a name without compression."""
    return b"".join(bytes([len(label)]) + label.encode() for label in text.split(".")) + b"\0"


def question(text: str, kind: int = A, number: int = 7) -> bytes:
    """Return a query."""
    return struct.pack(">HHHHHH", number, 0x0100, 1, 0, 0, 0) + name(text) + struct.pack(">HH", kind, 1)


def record(data: bytes, kind: int = A, owner: bytes = IN_QUESTION) -> bytes:
    """Return a record of a response."""
    return owner + struct.pack(">HHIH", kind, 1, 300, len(data)) + data


def address(text: str, owner: bytes = IN_QUESTION) -> bytes:
    """Return a record with an address."""
    six = ":" in text
    return record(socket.inet_pton(socket.AF_INET6 if six else socket.AF_INET, text), AAAA if six else A, owner)


def response(text: str, *records: bytes, kind: int = A, number: int = 7, flags: int = 0x8180) -> bytes:
    """Return a response with these records."""
    head = struct.pack(">HHHHHH", number, flags, 1, len(records), 0, 0)
    return head + name(text) + struct.pack(">HH", kind, 1) + b"".join(records)


def exchange(text: str, *addresses: str, at: float = 0, port: int = 53000, client: str = "10.0.0.5") -> list[At]:
    """Return the packets of a query and its response."""
    kind = AAAA if addresses and ":" in addresses[0] else A
    ends = f"{client}:{port}", "10.0.0.53:53"
    answer = response(text, *map(address, addresses), kind=kind)
    return [At(at, udp(" > ".join(ends), question(text, kind))), At(at, udp(" > ".join(ends[::-1]), answer))]
