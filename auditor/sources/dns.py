"""Names that DNS responses in a capture resolve: a reader of messages over UDP (RFC 1035, RFC 3596)."""

from __future__ import annotations

import struct
from collections.abc import Iterator, Mapping
from itertools import islice
from typing import NamedTuple

import numpy as np

from auditor.ruleset.addresses import canonical
from auditor.ruleset.known_problems import dns_ports
from auditor.sources.extract import frames_of
from auditor.sources.source import CAPTURE, Source

MOST_FLOWS = 20_000  # to DNS servers, of one capture
MOST_MESSAGES = 64  # of one flow
MOST_HEADERS = 4  # places of a packet that may be its UDP header
MOST_ANSWERS = 64  # of one message
LONGEST_NAME = 255  # bytes (RFC 1035, 2.3.4)
A, CNAME, AAAA, INTERNET = 1, 5, 28, 1  # types of records, and their class
RESPONSE, OPERATION_AND_CODE = 0x8000, 0x780F  # bits of the second field: standard queries without an error have zeros
POINTER = 0xC0  # the two upper bits of a length that is none, but the place of the rest of a name
UDP_HEADER = 8  # bytes
FIXED = struct.Struct(">HHHHHH")
RECORD = struct.Struct(">HHIH")
QUESTION = struct.Struct(">HH")


class ResolvedName(NamedTuple):
    """An address that a DNS response states for a name.

    Attributes:
        name: In lower case.
        address: In its usual form.
        frame: Of the response.
    """

    name: str
    address: str
    frame: int


class Question(NamedTuple):
    """What a message asks, or answers. number: by which a response is assigned to its query."""

    number: int
    name: str
    record_type: int


class DnsMessage(NamedTuple):
    """A DNS message with one question.

    Attributes:
        question: What it is about.
        is_response: Whether it is a response without an error; if not, it is a query.
        addresses: Of the name in the question, also by way of aliases.
    """

    question: Question
    is_response: bool
    addresses: tuple[str, ...]


class _Sent(NamedTuple):
    """A frame of a flow to a DNS server."""

    flow: int
    ports: bytes
    is_query: bool


def resolved_names(source: Source) -> tuple[ResolvedName, ...]:
    """Return the names that DNS responses in a capture resolve, in order of frames.

    A response counts only if the flow has its query before it.

    Args:
        source: Any source; those that are no captures have no such names.
    """
    sent = dict(_sent(source)) if source.kind == CAPTURE else {}
    if not sent:
        return ()
    asked: set[tuple[int, Question]] = set()
    names: dict[tuple[str, str], ResolvedName] = {}
    for record in frames_of(source.file, sent):
        flow, ports, is_query = sent[record.frame]
        for message in _messages(record.data, ports):
            if is_query and not message.is_response:
                asked.add((flow, message.question))
            elif not is_query and message.is_response and (flow, message.question) in asked:
                name = message.question.name
                for address in message.addresses:
                    names.setdefault((name, address), ResolvedName(name, address, record.frame))
    return tuple(names.values())


def _sent(source: Source) -> Iterator[tuple[int, _Sent]]:
    """Yield the first frames of the first flows to DNS servers."""
    flows = source.table.columns
    to_servers = (flows["protocol"] == "udp") & np.isin(flows["dst_port"], list(dns_ports()))
    for flow in np.flatnonzero(to_servers)[:MOST_FLOWS].tolist():
        forth = QUESTION.pack(int(flows["src_port"][flow]), int(flows["dst_port"][flow]))
        for event in islice(source.details.events(flow), MOST_MESSAGES):
            yield event.frame, _Sent(flow, forth if event.from_src else forth[2:] + forth[:2], event.from_src)


def _messages(packet: bytes, ports: bytes) -> Iterator[DnsMessage]:
    """Yield what a packet with these ports can contain: where they are, its UDP header begins."""
    at = packet.find(ports)
    for _ in range(MOST_HEADERS):
        if at < 0:
            return
        length = int.from_bytes(packet[at + 4 : at + 6], "big")
        if UDP_HEADER < length <= len(packet) - at and (message := parse_message(packet[at + 8 : at + length])):
            yield message
        at = packet.find(ports, at + 1)


def parse_message(data: bytes) -> DnsMessage | None:
    """Return a DNS message.

    Args:
        data: The payload of a datagram.

    Returns:
        The message, None if it is damaged, reports an error, or has no single question for an address.
    """
    try:
        number, flags, questions, answers, _, _ = FIXED.unpack_from(data)
        if questions != 1 or flags & OPERATION_AND_CODE:
            return None
        name, at = _name(data, FIXED.size)
        record_type, record_class = QUESTION.unpack_from(data, at)
        if record_class != INTERNET or record_type not in (A, AAAA):
            return None
        addresses = _addresses(data, at + QUESTION.size, min(answers, MOST_ANSWERS), name)
        is_response = bool(flags & RESPONSE)
        return DnsMessage(Question(number, name, record_type), is_response, tuple(addresses) if is_response else ())
    except (struct.error, ValueError):
        return None


def _addresses(data: bytes, at: int, answers: int, name: str) -> Iterator[str]:
    """Yield the addresses in the records of a name and of its aliases; data behind a damaged record is left out."""
    names = {name}
    for _ in range(answers):
        try:
            owner, at = _name(data, at)
            record_type, record_class, _, length = RECORD.unpack_from(data, at)
            begin, at = at + RECORD.size, at + RECORD.size + length
            if record_class == INTERNET and owner in names and at <= len(data):
                if record_type == CNAME:
                    names.add(_name(data, begin)[0])
                elif address := _address(data[begin:at], record_type):
                    yield address
        except (struct.error, ValueError):
            return


def _address(data: bytes, record_type: int) -> str:
    sizes: Mapping[int, int] = {A: 4, AAAA: 16}
    if sizes.get(record_type) != len(data):
        return ""
    groups = [f"{part}" for part in data] if record_type == A else [data[at : at + 2].hex() for at in range(0, 16, 2)]
    return canonical(("." if record_type == A else ":").join(groups)) or ""


def _name(data: bytes, at: int) -> tuple[str, int]:
    """Return the name at a place in lower case, and where the next field begins.

    Raises:
        ValueError: It is no host name, or a pointer does not lead to an earlier place.
    """
    labels: list[str] = []
    end, limit, size = None, at, 0
    while at < len(data) and (length := data[at]):
        if length >= POINTER:
            end = end or at + 2
            (pointer,) = struct.unpack_from(">H", data, at)
            at = pointer & 0x3FFF
            if at >= limit:
                raise ValueError("pointer")
            limit = at
            continue
        labels.append(data[at + 1 : at + 1 + length].decode("ascii").lower())
        at, size = at + 1 + length, size + 1 + length
        if length >= 0x40 or size > LONGEST_NAME:
            raise ValueError("name")
    if at >= len(data) or not all(label.replace("-", "").replace("_", "").isalnum() for label in labels):
        raise ValueError("name")
    return ".".join(labels), end or at + 1
