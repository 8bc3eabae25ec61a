"""Read messages about other packets and hosts: ICMP errors, ARP, IPv6 neighbour discovery.

References: RFC 792, 4443, 826, 4861.
"""

from __future__ import annotations

import ipaddress
from typing import NamedTuple

import numpy as np

from auditor.sources.internet import ICMP, ICMPV6, TCP, Ip, IpReader
from auditor.sources.links import Layer
from auditor.sources.records import Records
from auditor.sources.words import Words

ECHO_REQUEST, ECHO_REPLY = {4: 8, 6: 128}, {4: 0, 6: 129}
ICMP_ERRORS = {4: (3, 4, 5, 11, 12), 6: (1, 2, 3, 4)}
NEIGHBOUR_SOLICITATION, NEIGHBOUR_ADVERTISEMENT = 135, 136
ARP_REQUEST, ARP_REPLY = 1, 2
LONGEST = 65_535
TCP_FLAGS_AT, SYN, ACK = 13, 0x02, 0x10


class Quote(NamedTuple):
    """An ICMP error and the packet that it quotes; `sender` is who sent the error, addresses as text.

    what: "SYN", "SYN-ACK", "request" or "reply" (of ping) if the quoted packet is seen to be one, else empty.
    """

    frame: int
    time_ns: int
    sender: str
    version: int
    icmp_type: int
    icmp_code: int
    protocol: int
    what: str
    src: str
    src_port: int
    dst: str
    dst_port: int
    sequence: int | None
    header_bytes: int  # how much of the quoted transport header is there


class Neighbour(NamedTuple):
    """An ARP or neighbour-discovery message: who asks for, or answers as, which address."""

    frame: int
    time_ns: int
    answer: bool
    sender: str
    target: str


def quotes(icmp: Ip, words: Words, records: Records, ip: IpReader) -> list[Quote]:
    """Return the ICMP errors among these ICMP messages, with what each quotes, in file order."""
    types = words.u8(icmp.layer.at)
    found: list[tuple[int, Quote]] = []
    for version, errors in ICMP_ERRORS.items():
        one = icmp.keep((icmp.version == version) & np.isin(types, errors))
        if one.layer.row.size:
            found += _quotes(one, version, words, records, ip)
    return [quote for _, quote in sorted(found, key=lambda row: row[0])]


def _quotes(errors: Ip, version: int, words: Words, records: Records, ip: IpReader) -> list[tuple[int, Quote]]:
    """Return rows and quotations of the errors of one IP version."""
    at, end = errors.layer.at + 8, errors.layer.end
    place = np.arange(len(at))
    inner = ip.quoted(Layer(place, at, end, np.maximum(end, at + LONGEST)), version, words)
    inner = inner.keep(inner.layer.at + 4 <= inner.layer.end)
    found = []
    for index, of in enumerate(inner.layer.row.tolist()):
        row, message = int(errors.layer.row[of]), int(errors.layer.at[of])
        begin, protocol = int(inner.layer.at[index]), int(inner.protocol[index])
        head = words.bytes[begin : min(begin + 20, int(inner.layer.end[index]))].tobytes()
        src, dst = ip.texts(inner, index)
        src_port, dst_port = _ports(head, protocol)
        quote = Quote(
            frame=int(records.frame[row]),
            time_ns=int(records.time_ns[row]),
            sender=ip.texts(errors, of)[0],
            version=version,
            icmp_type=int(words.bytes[message]),
            icmp_code=int(words.bytes[message + 1]),
            protocol=protocol,
            what=_what(head, protocol, version),
            src=src,
            src_port=src_port,
            dst=dst,
            dst_port=dst_port,
            sequence=int.from_bytes(head[4:8], "big") if protocol == TCP and len(head) >= 8 else None,
            header_bytes=len(head),
        )
        found.append((row, quote))
    return found


def _what(head: bytes, protocol: int, version: int) -> str:
    if protocol in (ICMP, ICMPV6):
        return {ECHO_REQUEST[version]: "request", ECHO_REPLY[version]: "reply"}.get(head[0], "")
    flags = head[TCP_FLAGS_AT] if protocol == TCP and len(head) > TCP_FLAGS_AT else 0
    return {SYN: "SYN", SYN | ACK: "SYN-ACK"}.get(flags & (SYN | ACK), "")


def _ports(head: bytes, protocol: int) -> tuple[int, int]:
    """Return the ports in the beginning of a transport header; of ICMP the identifier stands for both."""
    if protocol in (ICMP, ICMPV6):
        return (int.from_bytes(head[4:6], "big"),) * 2
    return int.from_bytes(head[:2], "big"), int.from_bytes(head[2:4], "big")


def arp(layer: Layer, words: Words, records: Records) -> list[Neighbour]:
    """Return the ARP messages about IPv4 addresses."""
    layer = layer.keep(layer.at + 8 <= layer.end)
    found: list[Neighbour] = []
    for row, at, end, _ in zip(*(column.tolist() for column in layer), strict=True):
        head = words.bytes[at:end].tobytes()
        hardware, operation = head[4], int.from_bytes(head[6:8], "big")
        if head[2:4] != b"\x08\x00" or head[5] != 4 or operation not in (ARP_REQUEST, ARP_REPLY):
            continue
        sender, target = head[8 + hardware : 12 + hardware], head[12 + 2 * hardware : 16 + 2 * hardware]
        if len(target) == 4 and sender != bytes(4):
            texts = (str(ipaddress.IPv4Address(sender)), str(ipaddress.IPv4Address(target)))
            answer = operation == ARP_REPLY or sender == target
            found.append(Neighbour(int(records.frame[row]), int(records.time_ns[row]), answer, *texts))
    return found


def neighbour_discovery(icmp: Ip, words: Words, records: Records, ip: IpReader) -> list[Neighbour]:
    """Return the neighbour solicitations and advertisements among these ICMP messages."""
    types = words.u8(icmp.layer.at)
    about = (types == NEIGHBOUR_SOLICITATION) | (types == NEIGHBOUR_ADVERTISEMENT)
    icmp = icmp.keep((icmp.version == 6) & about & (icmp.layer.at + 24 <= icmp.layer.end))
    found: list[Neighbour] = []
    for index, (row, at) in enumerate(zip(icmp.layer.row.tolist(), icmp.layer.at.tolist(), strict=True)):
        target = str(ipaddress.IPv6Address(words.bytes[at + 8 : at + 24].tobytes()))
        sender, _ = ip.texts(icmp, index)
        if sender == "::":
            continue  # a host that checks whether its own address is free asks nothing of anybody
        answer = int(words.bytes[at]) == NEIGHBOUR_ADVERTISEMENT
        who = target if answer else sender
        found.append(Neighbour(int(records.frame[row]), int(records.time_ns[row]), answer, who, target))
    return found
