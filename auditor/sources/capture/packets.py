"""Turn packet records into columns: link, tunnel, IP and transport headers, many thousand packets at a time.

Each step takes a `Layer` (one header of many packets: where it begins and ends in the batch) and returns what it read
and the next layer, dropping packets that are too short or are something else. What is dropped is counted in `Tally`.
References: RFC 9293, 768, 792, 4443.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from auditor.sources.capture import control_messages as messages
from auditor.sources.capture import link_layer as links
from auditor.sources.capture.addresses import U64, Addresses, Hosts, hosts, unique
from auditor.sources.capture.byte_fields import Words
from auditor.sources.capture.control_messages import ECHO_REPLY, ECHO_REQUEST, IcmpError, NeighborMessages
from auditor.sources.capture.ip import AH, ESP, ICMP, ICMPV6, TCP, UDP, Ip, IpReader
from auditor.sources.capture.records import Records
from auditor.sources.capture.tunnels import Tunnels
from auditor.sources.files.skip_counts import NotUsed, Tally

__all__ = [
    "AH",
    "ECHO_REPLY",
    "ECHO_REQUEST",
    "ESP",
    "ICMP",
    "ICMPV6",
    "MOST_HIDDEN",
    "TCP",
    "UDP",
    "UNWANTED_ERRORS",
    "Addresses",
    "Headers",
    "Hosts",
    "IcmpError",
    "NeighborMessages",
    "PacketReader",
    "Packets",
    "Tunnels",
]

ACKNOWLEDGES = 0x10  # the flag of TCP; an echo reply takes it too
UNWANTED_ERRORS = "ICMP errors beyond those that are kept"
MOST_HIDDEN = 1_000  # pairs of hosts between which IPsec is named
SHORTEST_TCP = 20  # bytes of a TCP header without options (RFC 9293, 3.1)

I64 = NDArray[np.int64]


@dataclass(frozen=True)
class Packets:
    """Packets of one transport protocol in file order: arrays of one length.

    Attributes:
        frame: Number as Wireshark counts (frame.number), from 1.
        time_ns: Time of the capture, in nanoseconds since 1970 UTC (frame.time_epoch).
        pair: Numbers of the source address (upper 32 bits) and of the destination address.
        version: IP version, 4 or 6.
        ports: Source port (upper 16 bits) and destination port; of ICMP echo the identifier twice.
        size: Bytes on the wire, link header included (frame.len).
        payload: Bytes above the transport header (tcp.len).
        flags: TCP flags, as bits of tcp_flags; of an echo reply ACK.
        sequence: TCP sequence number (tcp.seq_raw), or that of an echo (icmp.seq).
        acknowledged: TCP acknowledgment number (tcp.ack_raw).
        kind: ICMP type (upper 8 bits) and code.
        broken: Whether a TCP header's own length is impossible: no host takes it in, so it belongs to its flow but says
            nothing.
        hop_count: Hops left (ip.ttl, ipv6.hlim), of a packet in a tunnel its own.
        ip_id: Identification of IPv4 (ip.id), 0 of IPv6.
    """

    frame: I64
    time_ns: I64
    pair: U64
    version: NDArray[np.uint8]
    ports: NDArray[np.uint32]
    size: I64
    payload: I64
    flags: NDArray[np.uint8]
    sequence: NDArray[np.uint32]
    acknowledged: NDArray[np.uint32]
    kind: NDArray[np.uint16]
    broken: NDArray[np.bool_]
    hop_count: NDArray[np.uint8]
    ip_id: NDArray[np.uint16]

    def select(self, selector: Any) -> Packets:
        """Return the chosen packets, by mask, index or slice."""
        return Packets(**{name: getattr(self, name)[selector] for name in self.__dataclass_fields__})


@dataclass(frozen=True)
class Headers:
    """All that one batch of records says below the application.

    Attributes:
        neighbors: Of ARP and of IPv6 neighbor discovery.
        other_senders: Hosts that sent anything else than TCP, UDP or echoes.
        hidden: Source and destination of IPsec packets.
    """

    tcp: Packets
    udp: Packets
    icmp: Packets
    quotes: tuple[IcmpError, ...]
    neighbors: tuple[NeighborMessages, ...]
    other_senders: U64
    hidden: tuple[tuple[str, str], ...]


class PacketReader:
    """Read the headers of batch after batch of one capture; holds what lives longer than a batch."""

    def __init__(self, tunnels: Tunnels) -> None:
        self.understood = 0  # ARP messages and IP packets so far, also those inside others
        self.addresses = Addresses()
        self.tally = Tally()
        self._tunnels = tunnels
        self._ip = IpReader(self.addresses, self.tally, tunnels)

    @property
    def lone_fragments(self) -> int:
        """Fragments so far of packets of which other pieces are missing."""
        return self._ip.lone_fragments

    def read(self, records: Records, *, quotes: bool = True) -> Headers:
        """Return the headers of one batch of records; without what ICMP errors quote if that is not wanted."""
        words = Words(records.data, packets=records.start)
        layer, network = links.network_layers(records, words, self.tally, self._tunnels)
        neighbors = messages.arp(layer.keep(network == links.ARP), words, records, self.tally)
        packets = self._ip.read(layer, network, words)
        protocol, version = packets.protocol, packets.version
        tcp, udp = protocol == TCP, protocol == UDP
        icmp = ((protocol == ICMP) & (version == 4)) | ((protocol == ICMPV6) & (version == 6))
        self.understood += len(protocol) + len(neighbors.frame)
        icmp_packets = self._long_enough(packets.keep(icmp), 8, NotUsed.CUT_ICMP)
        if not quotes:
            self.tally.add(UNWANTED_ERRORS, messages.count_errors(icmp_packets, words))
        return Headers(
            tcp=self._tcp(packets.keep(tcp), words, records),
            udp=self._udp(packets.keep(udp), words, records),
            icmp=self._echo(icmp_packets, words, records),
            quotes=tuple(messages.quotes(icmp_packets, words, records, self._ip)) if quotes else (),
            neighbors=(neighbors, messages.neighbor_discovery(icmp_packets, words, records, self._ip)),
            other_senders=_senders(packets.keep(~(tcp | udp))),
            hidden=self._count_others(packets.keep(~(tcp | udp | icmp))),
        )

    def _tcp(self, packets: Ip, words: Words, records: Records) -> Packets:
        packets = self._long_enough(packets, 16, NotUsed.CUT_TCP)
        head = words.packet_heads(packets.layer.row, packets.layer.at, 16)
        header = (head.u8(12) >> 4).astype(np.int64) * 4
        payload = np.maximum(packets.layer.wire - packets.layer.at - header, 0)
        broken = header < SHORTEST_TCP
        if broken.any():
            self.tally.add(NotUsed.BROKEN_TCP, np.count_nonzero(broken))
            payload[broken] = 0
        return _packets(
            packets,
            records,
            ports=head.u32(0),
            payload=payload,
            flags=head.u8(13),
            sequence=head.u32(4),
            acknowledged=head.u32(8),
            broken=broken,
        )

    def _udp(self, packets: Ip, words: Words, records: Records) -> Packets:
        packets = self._long_enough(packets, 8, NotUsed.CUT_UDP)
        ports = words.u32(packets.layer.at)
        self._tunnels.count_unread(ports, packets.layer.at, packets.layer.end, words, self.tally)
        payload = np.maximum(packets.layer.wire - packets.layer.at - 8, 0)
        return _packets(packets, records, ports=ports, payload=payload)

    def _echo(self, packets: Ip, words: Words, records: Records) -> Packets:
        """Return echo requests and replies; the identifier stands for both ports."""
        kind = words.u16(packets.layer.at)
        request, reply = (np.where(packets.version == 4, types[4], types[6]) for types in (ECHO_REQUEST, ECHO_REPLY))
        echo = (kind >> 8 == request) | (kind >> 8 == reply)
        packets, kind, reply = packets.keep(echo), kind[echo], reply[echo]
        number = words.u16(packets.layer.at + 4).astype(np.uint32)
        return _packets(
            packets,
            records,
            ports=(number << np.uint32(16)) | number,
            payload=np.maximum(packets.layer.wire - packets.layer.at - 8, 0),
            kind=kind,
            sequence=words.u16(packets.layer.at + 6).astype(np.uint32),
            flags=np.where(kind >> 8 == reply, ACKNOWLEDGES, 0).astype(np.uint8),
        )

    def _count_others(self, packets: Ip) -> tuple[tuple[str, str], ...]:
        """Count the packets of other protocols; return the ends of those that IPsec hides."""
        if not packets.layer.row.size:
            return ()
        for protocol, count in enumerate(np.bincount(packets.protocol).tolist()):
            self.tally.add(f"IP protocol {protocol}", count)
            if name := self._tunnels.ip_protocols.get(protocol):
                self.tally.add_unread(name, count)
        packets = packets.keep((packets.protocol == ESP) | (packets.protocol == AH))
        _, first_rows = np.unique(packets.pair, return_index=True)
        return tuple(self._ip.texts(packets, index) for index in first_rows[:MOST_HIDDEN].tolist())

    def _long_enough(self, packets: Ip, size: int, otherwise: NotUsed) -> Ip:
        enough = packets.layer.at + size <= packets.layer.end
        self.tally.add(otherwise, len(enough) - np.count_nonzero(enough))
        return packets.keep(enough)


def _senders(packets: Ip) -> U64:
    return unique(hosts(packets.pair >> np.uint64(32), packets.version))


def _packets(
    packets: Ip, records: Records, *, ports: NDArray[np.uint32], payload: I64, **columns: NDArray[Any]
) -> Packets:
    """Assemble a packet table; columns that the protocol does not have are zero."""
    row, count = packets.layer.row, len(packets.layer.row)
    identity = count == len(records.frame) and bool((row == np.arange(count)).all())
    selector = slice(None) if identity else row
    zeros: dict[str, NDArray[Any]] = {
        "flags": np.zeros(count, np.uint8),
        "sequence": np.zeros(count, np.uint32),
        "acknowledged": np.zeros(count, np.uint32),
        "kind": np.zeros(count, np.uint16),
        "broken": np.zeros(count, np.bool_),
    }
    return Packets(
        frame=records.frame[selector],
        time_ns=records.time_ns[selector],
        pair=packets.pair,
        version=packets.version,
        ports=ports,
        size=records.original[selector],
        payload=payload,
        hop_count=packets.hop_count,
        ip_id=packets.ip_id,
        **(zeros | columns),
    )
