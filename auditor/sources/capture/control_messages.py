"""Read messages about other packets and hosts: ICMP errors, ARP, IPv6 neighbor discovery.

References: RFC 792, 4443, 826, 4861.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from auditor.sources.capture.addresses import U64, hosts
from auditor.sources.capture.byte_fields import Words
from auditor.sources.capture.ip import ICMP, ICMPV6, TCP, Ip, IpReader
from auditor.sources.capture.link_layer import IPV4, Layer
from auditor.sources.capture.records import Records
from auditor.sources.files.skip_counts import NotUsed, Tally
from auditor.sources.tcp_flags import ACK, SYN

ECHO_REQUEST, ECHO_REPLY = {4: 8, 6: 128}, {4: 0, 6: 129}
ICMP_ERRORS = {4: (3, 4, 5, 11, 12), 6: (1, 2, 3, 4)}
NEIGHBOR_SOLICITATION, NEIGHBOR_ADVERTISEMENT = 135, 136
ARP_REQUEST, ARP_REPLY = 1, 2
LONGEST = 65_535
TCP_FLAGS_AT = 13


class IcmpError(NamedTuple):
    """An ICMP error (RFC 792, RFC 4443) and the packet that it quotes; addresses are text.

    Attributes:
        frame: Number of the frame that holds the error.
        time_ns: Its time, in nanoseconds since 1970 UTC.
        sender: Address of who sent the error.
        receiver: Address that it was sent to.
        version: IP version, 4 or 6.
        icmp_type: ICMP type (RFC 792, RFC 4443).
        icmp_code: ICMP code.
        protocol: IP protocol of the quoted packet.
        packet_kind: "SYN", "SYN-ACK", "request" or "reply" (of ping) if the quoted packet is seen to be one, else "".
        src: Source address of the quoted packet.
        src_port: Its source port.
        dst: Its destination address.
        dst_port: Its destination port.
        sequence: Its TCP sequence number, None if that is not quoted.
        acknowledged: Its TCP acknowledgment number, None if that is not quoted.
        header_bytes: How many bytes of its transport header are quoted.
        proves: Whether the source holds the packet that is quoted, or could not hold it. That is known only when all
            flows are.
    """

    frame: int
    time_ns: int
    sender: str
    receiver: str
    version: int
    icmp_type: int
    icmp_code: int
    protocol: int
    packet_kind: str
    src: str
    src_port: int
    dst: str
    dst_port: int
    sequence: int | None
    acknowledged: int | None
    header_bytes: int  # how much of the quoted transport header is there
    proves: bool = False

    @property
    def returned(self) -> bool:
        """Whether it went to the sender of what it quotes. One to a third host shows nothing."""
        return self.receiver == self.src


class NeighborMessages(NamedTuple):
    """ARP and neighbor-discovery messages: who asks for, or answers as, which address; arrays of one length.

    Attributes:
        frame: Numbers of the frames.
        time_ns: Times, in nanoseconds since 1970 UTC.
        sender: Numbers of the hosts that sent them, as `Addresses.host` has them (ARP: sender protocol address).
        target: Numbers of the hosts whose hardware address is asked for or told (ARP: target protocol address).
    """

    frame: NDArray[np.int64]
    time_ns: NDArray[np.int64]
    answer: NDArray[np.bool_]
    sender: U64
    target: U64


def quotes(icmp: Ip, words: Words, records: Records, ip: IpReader) -> list[IcmpError]:
    """Return the ICMP errors among these ICMP messages, with what each quotes, in file order."""
    types = words.u8(icmp.layer.at)
    error_rows: list[tuple[int, IcmpError]] = []
    for version, errors in ICMP_ERRORS.items():
        messages = icmp.keep((icmp.version == version) & np.isin(types, errors))
        if messages.layer.row.size:
            error_rows += _quotes(messages, version, words, records, ip)
    return [quote for _, quote in sorted(error_rows, key=lambda row: row[0])]


def count_errors(icmp: Ip, words: Words) -> int:
    """Return how many of these ICMP messages are errors."""
    types = words.u8(icmp.layer.at)
    masks = [(icmp.version == version) & np.isin(types, errors) for version, errors in ICMP_ERRORS.items()]
    return int(np.count_nonzero(np.any(masks, axis=0)))


def _quotes(errors: Ip, version: int, words: Words, records: Records, ip: IpReader) -> list[tuple[int, IcmpError]]:
    """Return rows and quotations of the errors of one IP version."""
    at, end = errors.layer.at + 8, errors.layer.end
    place = np.arange(len(at))
    inner = ip.quoted(Layer(place, at, end, np.maximum(end, at + LONGEST)), version, words)
    with_ports = inner.layer.at + 4 <= inner.layer.end
    ip.tally.add(NotUsed.CUT_QUOTATION, np.count_nonzero(~with_ports))
    inner = inner.keep(with_ports)
    error_rows = []
    for index, of in enumerate(inner.layer.row.tolist()):
        row, message = int(errors.layer.row[of]), int(errors.layer.at[of])
        begin, protocol = int(inner.layer.at[index]), int(inner.protocol[index])
        head = words.bytes[begin : min(begin + 20, int(inner.layer.end[index]))].tobytes()
        src, dst = ip.texts(inner, index)
        sender, receiver = ip.texts(errors, of)
        src_port, dst_port = _ports(head, protocol)
        quote = IcmpError(
            frame=int(records.frame[row]),
            time_ns=int(records.time_ns[row]),
            sender=sender,
            receiver=receiver,
            version=version,
            icmp_type=int(words.bytes[message]),
            icmp_code=int(words.bytes[message + 1]),
            protocol=protocol,
            packet_kind=_packet_kind(head, protocol, version),
            src=src,
            src_port=src_port,
            dst=dst,
            dst_port=dst_port,
            sequence=_number(head, 4) if protocol == TCP else None,
            acknowledged=_number(head, 8) if protocol == TCP else None,
            header_bytes=len(head),
        )
        error_rows.append((row, quote))
    astray = sum(not quote.returned for _, quote in error_rows)
    ip.tally.add("ICMP errors to another host than the one whose packet they quote", astray)
    return error_rows


def _number(head: bytes, at: int) -> int | None:
    return int.from_bytes(head[at : at + 4], "big") if len(head) >= at + 4 else None


def _packet_kind(head: bytes, protocol: int, version: int) -> str:
    if protocol in (ICMP, ICMPV6):
        return {ECHO_REQUEST[version]: "request", ECHO_REPLY[version]: "reply"}.get(head[0], "")
    flags = head[TCP_FLAGS_AT] if protocol == TCP and len(head) > TCP_FLAGS_AT else 0
    return {SYN: "SYN", SYN | ACK: "SYN-ACK"}.get(flags & (SYN | ACK), "")


def _ports(head: bytes, protocol: int) -> tuple[int, int]:
    """Return the ports in the beginning of a transport header; of ICMP the identifier stands for both."""
    if protocol in (ICMP, ICMPV6):
        return (int.from_bytes(head[4:6], "big"),) * 2
    return int.from_bytes(head[:2], "big"), int.from_bytes(head[2:4], "big")


def arp(layer: Layer, words: Words, records: Records, tally: Tally) -> NeighborMessages:
    """Return the ARP messages about IPv4 addresses."""
    whole = layer.at + 8 <= layer.end
    hardware = words.u8(np.where(whole, layer.at, 0) + 4).astype(np.int64)
    whole &= layer.at + 16 + 2 * hardware <= layer.end
    tally.add(NotUsed.CUT_ARP, np.count_nonzero(~whole))
    layer, hardware = layer.keep(whole), hardware[whole]
    operation = words.u16(layer.at + 6)
    sender, target = words.u32(layer.at + 8 + hardware), words.u32(layer.at + 12 + 2 * hardware)
    wanted = (words.u16(layer.at + 2) == IPV4) & (words.u8(layer.at + 5) == 4) & (sender != 0)
    wanted &= (operation == ARP_REQUEST) | (operation == ARP_REPLY)
    answer = (operation == ARP_REPLY) | (sender == target)
    four = np.full(len(sender), 4, np.uint8)
    ends = (hosts(address.astype(np.uint64), four) for address in (sender, target))
    messages = NeighborMessages(records.frame[layer.row], records.time_ns[layer.row], answer, *ends)
    return NeighborMessages(*(column[wanted] for column in messages))


def neighbor_discovery(icmp: Ip, words: Words, records: Records, ip: IpReader) -> NeighborMessages:
    """Return the neighbor solicitations and advertisements among these ICMP messages."""
    types = words.u8(icmp.layer.at)
    icmp = icmp.keep((icmp.version == 6) & ((types == NEIGHBOR_SOLICITATION) | (types == NEIGHBOR_ADVERTISEMENT)))
    whole = icmp.layer.at + 24 <= icmp.layer.end
    ip.tally.add(NotUsed.CUT_ICMP, np.count_nonzero(~whole))
    icmp = icmp.keep(whole)
    at, row = icmp.layer.at, icmp.layer.row
    target = hosts(ip.addresses.numbers(words.u64(at + 8), words.u64(at + 16)), icmp.version)
    sender = hosts(icmp.pair >> np.uint64(32), icmp.version)
    answer = words.u8(at) == NEIGHBOR_ADVERTISEMENT
    # A host that checks whether its own address is free requests nothing from another.
    has_sender = sender != (ip.addresses.host("::") or 0)
    messages = NeighborMessages(
        records.frame[row], records.time_ns[row], answer, np.where(answer, target, sender), target
    )
    return NeighborMessages(*(column[has_sender] for column in messages))
