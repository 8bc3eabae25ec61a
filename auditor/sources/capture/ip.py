"""Read IP headers, version 4 and 6, many packets at a time: fragments put together, tunnels looked into.

References: RFC 791, 8200, 4302, 2784, 7348, 8926, 4380, 8086; 3GPP TS 29.281.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from auditor.sources.capture import link_layer as links
from auditor.sources.capture.addresses import U64, Addresses
from auditor.sources.capture.byte_fields import Words
from auditor.sources.capture.link_layer import Layer, Network
from auditor.sources.capture.reassembly import HEAD, Fragments
from auditor.sources.capture.tunnels import REGISTERED, UDP_HEADER, Tunnels
from auditor.sources.files.skip_counts import NotUsed, Tally

ICMP, IP_IN_IP, TCP, UDP, IPV6_IN_IP, ROUTING, FRAGMENT, GRE, ESP, AH, ICMPV6 = 1, 4, 6, 17, 41, 43, 44, 47, 50, 51, 58
EXTENSIONS = (0, ROUTING, 60, 135, 139, 140)  # hop-by-hop, routing, destination, mobility, HIP, shim6
MOST_EXTENSIONS = 8
MOST_TUNNELS = 4

I64 = NDArray[np.int64]
Bools = NDArray[np.bool_]


class Ip(NamedTuple):
    """IP packets: the transport layer's place, who sends to whom, and what it carries.

    Attributes:
        hop_count: Time to live or hop limit that is left.
        ip_id: Identification of IPv4, 0 of IPv6.
    """

    layer: Layer
    pair: U64
    version: NDArray[np.uint8]
    protocol: NDArray[np.uint8]
    hop_count: NDArray[np.uint8]
    ip_id: NDArray[np.uint16]

    def keep(self, mask: NDArray[np.bool_]) -> Ip:
        """Return the packets that the mask names."""
        count = np.count_nonzero(mask)
        if count == len(mask):
            return self
        selector = mask if count else slice(0)
        columns: list[NDArray[Any]] = [column[selector] for column in self[1:]]
        return Ip(self.layer.keep(mask), *columns)


class _TunnelKind(NamedTuple):
    """A tunnel that is read: how, what it is called, and where its header gives the type of its payload, if it does.

    Attributes:
        either_end: Whether packets from its port are looked into like those to it.
    """

    read: Callable[[Layer, Words], tuple[Layer, Network]]
    name: str
    type_at: int | None = None
    either_end: bool = False


GENERIC_ROUTING = _TunnelKind(links.gre, "GRE", type_at=2)
UDP_KINDS = {
    "vxlan": _TunnelKind(links.vxlan, "VXLAN"),
    "geneve": _TunnelKind(links.geneve, "Geneve", type_at=2),
    "teredo": _TunnelKind(links.teredo, "Teredo", either_end=True),
    "gtp-u": _TunnelKind(links.gtp, "GTP-U", either_end=True),
    "gre-in-udp": GENERIC_ROUTING,
}


class _FragmentFields(NamedTuple):
    """Which packets are fragments; where each belongs in the whole, whether more follow, and of which packet."""

    fragment: Bools
    offset: I64
    more: Bools
    number: U64


class IpReader:
    """Read the IP headers of batch after batch of one capture; holds the fragments that wait for others."""

    def __init__(self, addresses: Addresses, tally: Tally, tunnels: Tunnels, *, reassembles: bool = True) -> None:
        self.addresses = addresses
        self.tally = tally
        self._tunnels = tunnels
        self._fragments = Fragments() if reassembles else None

    def read(self, layer: Layer, network: Network, words: Words) -> Ip:
        """Return the IP packets of a batch and those inside their tunnels, in file order."""
        parts: list[Ip] = []
        for depth in range(MOST_TUNNELS + 1):
            both = ((links.IPV4, self._ip4), (links.IPV6, self._ip6))
            layers = ((layer.keep(network == kind), read) for kind, read in both)
            packets = joined([read(inside, words) for inside, read in layers if inside.row.size])
            parts.append(packets)
            if not _among(packets.protocol, (IP_IN_IP, IPV6_IN_IP, GRE, UDP)).any():
                break
            layer, network = self._inner(packets, words)
            if depth == MOST_TUNNELS:
                inside = np.count_nonzero((network == links.IPV4) | (network == links.IPV6))
                self.tally.add(NotUsed.TOO_MANY_TUNNELS, inside)
        return joined(parts)

    def quoted(self, layer: Layer, version: int, words: Words) -> Ip:
        """Return the IP packets that ICMP errors quote: cut ones are the rule, and no pieces of anything."""
        reader = IpReader(self.addresses, Tally(), self._tunnels, reassembles=False)
        words = Words(words.bytes)  # the rows of this layer are errors, not packets
        packets = reader._ip4(layer, words) if version == 4 else reader._ip6(layer, words)
        self.tally.add(NotUsed.CUT_QUOTATION, reader.tally.frames.total())
        return packets

    @property
    def lone_fragments(self) -> int:
        """Fragments so far of packets of which other pieces are missing."""
        return self._fragments.lost if self._fragments else 0

    def texts(self, packets: Ip, index: int) -> tuple[str, str]:
        """Return source and destination address of one packet."""
        pair, version = int(packets.pair[index]), int(packets.version[index])
        return self.addresses.text(pair >> 32, version), self.addresses.text(pair & 0xFFFFFFFF, version)

    def _ip4(self, layer: Layer, words: Words) -> Ip:
        layer = self._long_enough(layer, 20, NotUsed.CUT_IPV4)
        head = words.packet_heads(layer.row, layer.at, 20)
        first_byte, total = head.u8(0), head.u16(2).astype(np.int64)
        header = (first_byte & 15).astype(np.int64) * 4
        good = (first_byte >> 4 == 4) & (header >= 20) & ((total >= header) | (total == 0))
        good &= layer.at + header <= layer.end
        if not good.all():
            self.tally.add(NotUsed.BROKEN_IPV4, np.count_nonzero(~good))
            return self._ip4(layer.keep(good), words)
        # Total length 0: the sender's card was to cut this packet up (segmentation offload), so take what is there.
        wire = np.minimum(layer.wire, np.where(total == 0, layer.wire, layer.at + total))
        inside = Layer(layer.row, layer.at + header, np.minimum(layer.end, wire), wire)
        # Few packets are asked for these two, so they stay views of the headers until then.
        hop_count, ip_id = head.column("u1", 8), head.column("u2", 4)
        packets = Ip(inside, head.u64(12), np.full(len(wire), 4, np.uint8), head.u8(9), hop_count, ip_id)
        if (packets.protocol == AH).any():
            packets = self._past_authentication(packets, words)
        bits = head.u16(6)
        fragment = (bits & 0x3FFF) != 0
        if not fragment.any():
            return packets
        offset, more = (bits & 0x1FFF).astype(np.int64) * 8, (bits & 0x2000) != 0
        return self._whole_packets(
            packets, _FragmentFields(fragment, offset, more, head.u16(4).astype(np.uint64)), words
        )

    def _ip6(self, layer: Layer, words: Words) -> Ip:
        layer = self._long_enough(layer, 40, NotUsed.CUT_IPV6)
        good = (words.u8(layer.at) >> 4) == 6
        self.tally.add(NotUsed.BROKEN_IPV6, np.count_nonzero(~good))
        layer = layer.keep(good)
        at = layer.at
        length = words.u16(at + 4).astype(np.int64)
        wire = np.where(length == 0, layer.wire, np.minimum(layer.wire, at + 40 + length))
        high = words.u64(np.concatenate([at + 8, at + 24]))
        low = words.u64(np.concatenate([at + 16, at + 32]))
        number = self.addresses.numbers(high, low)
        pair = (number[: len(at)] << np.uint64(32)) | number[len(at) :]
        inside = Layer(layer.row, at + 40, np.minimum(layer.end, wire), wire)
        hop_count, ip_id = words.u8(at + 7), np.zeros(len(at), np.uint16)
        packets = Ip(inside, pair, np.full(len(at), 6, np.uint8), words.u8(at + 6), hop_count, ip_id)
        packets = self._past_extensions(packets, words)
        if not (packets.protocol == FRAGMENT).any():
            return packets
        return self._past_extensions(self._past_fragment_header(packets, words), words)

    def _past_authentication(self, packets: Ip, words: Words) -> Ip:
        """Step over IPv4 authentication headers, behind which everything is readable."""
        for _ in range(2):
            step = (packets.protocol == AH) & (packets.layer.at + 12 <= packets.layer.end)
            at = np.where(step, packets.layer.at, 0)
            length = np.where(step, (words.u8(at + 1).astype(np.int64) + 2) * 4, 0)
            protocol = np.where(step, words.u8(at), packets.protocol)
            packets = packets._replace(layer=packets.layer.forward(length), protocol=protocol)
        return packets

    def _past_extensions(self, packets: Ip, words: Words) -> Ip:
        """Step over IPv6 extension headers; AH too, since what follows it is readable."""
        for _ in range(MOST_EXTENSIONS):
            option = np.isin(packets.protocol, EXTENSIONS)
            authentication = packets.protocol == AH
            step = option | authentication
            if not step.any():
                break
            room = ~step | (packets.layer.at + 8 <= packets.layer.end)
            self.tally.add(NotUsed.CUT_EXTENSION, np.count_nonzero(~room))
            packets, option, step = packets.keep(room), option[room], step[room]
            units = words.u8(packets.layer.at + 1).astype(np.int64)
            length = np.where(option, (units + 1) * 8, (units + 2) * 4)
            following = words.u8(packets.layer.at)
            layer = packets.layer._replace(at=packets.layer.at + np.where(step, length, 0))
            packets = packets._replace(layer=layer, protocol=np.where(step, following, packets.protocol))
            inside = packets.layer.at <= packets.layer.end
            self.tally.add(NotUsed.CUT_EXTENSION, np.count_nonzero(~inside))
            packets = packets.keep(inside)
        deep = np.isin(packets.protocol, EXTENSIONS)
        self.tally.add(NotUsed.TOO_MANY_EXTENSIONS, np.count_nonzero(deep))
        return packets.keep(~deep)

    def _past_fragment_header(self, packets: Ip, words: Words) -> Ip:
        room = (packets.protocol != FRAGMENT) | (packets.layer.at + 8 <= packets.layer.end)
        self.tally.add(NotUsed.CUT_EXTENSION, np.count_nonzero(~room))
        packets = packets.keep(room)
        fragment = packets.protocol == FRAGMENT
        head = words.heads(np.where(fragment, packets.layer.at, 0), 8)
        bits = head.u16(2)
        offset, more = (bits & 0xFFF8).astype(np.int64), (bits & 1) != 0
        layer = packets.layer.forward(np.where(fragment, 8, 0))
        packets = packets._replace(layer=layer, protocol=np.where(fragment, head.u8(0), packets.protocol))
        split = fragment & ((offset > 0) | more)  # an "atomic" fragment is a whole packet
        return self._whole_packets(packets, _FragmentFields(split, offset, more, head.u32(4).astype(np.uint64)), words)

    def _whole_packets(self, packets: Ip, pieces: _FragmentFields, words: Words) -> Ip:
        """Replace the fragments of a packet by its first one, put where the last arrived, as Wireshark shows it."""
        if self._fragments is None:
            return packets.keep(~pieces.fragment | (pieces.offset == 0))
        keep = ~pieces.fragment
        row, at, end, wire = (column.copy() for column in packets.layer)
        for index in np.flatnonzero(pieces.fragment).tolist():
            self.tally.add("fragments", 1)
            key = (
                int(packets.pair[index]),
                int(packets.version[index]),
                int(packets.protocol[index]),
                int(pieces.number[index]),
            )
            head = words.bytes[at[index] : min(end[index], at[index] + HEAD)].tobytes()
            length = int(wire[index] - at[index])
            whole = self._fragments.add(key, int(pieces.offset[index]), length, bool(pieces.more[index]), head)
            if whole is not None:
                keep[index] = True
                at[index] = words.append(whole.head)
                end[index], wire[index] = at[index] + len(whole.head), at[index] + whole.length
        return packets._replace(layer=Layer(row, at, end, wire)).keep(keep)

    # tunnels

    def _inner(self, packets: Ip, words: Words) -> tuple[Layer, Network]:
        """Return the network layers inside tunnels: IP in IP, GRE, VXLAN, Geneve, Teredo and GTP-U."""
        parts: list[tuple[Layer, Network]] = []
        for protocol, network_kind in ((IP_IN_IP, links.IPV4), (IPV6_IN_IP, links.IPV6)):
            inside = packets.layer.keep(packets.protocol == protocol)
            parts.append((inside, np.full(len(inside.row), network_kind, np.uint16)))
        generic = packets.layer.keep(packets.protocol == GRE)
        for kind, outer in ((GENERIC_ROUTING, generic), *self._in_udp(packets, words)):
            if outer.row.size:
                parts.append(kind.read(outer, words))
                self._count_unread(kind, outer, *parts[-1], words)
        layer, network = links.in_order(parts)
        self.tally.add("tunnelled", np.count_nonzero((network == links.IPV4) | (network == links.IPV6)))
        return layer, network

    def _in_udp(self, packets: Ip, words: Words) -> list[tuple[_TunnelKind, Layer]]:
        """Return where the tunnels that are read begin in UDP packets at their ports.

        A system port at the other end decides, as in Wireshark: a name server answers to any port.
        """
        udp = packets.layer.keep((packets.protocol == UDP) & (packets.layer.at + UDP_HEADER <= packets.layer.end))
        ports = words.u32(udp.at)
        served = ((ports >> 16) < REGISTERED) | ((ports & 0xFFFF) < REGISTERED)
        udp, ports = udp.keep(~served), ports[~served]
        if not ports.size:
            return []
        source, destination = ports >> 16, ports & 0xFFFF
        tunnels = []
        for name, kind in UDP_KINDS.items():
            port = self._tunnels.read[name]
            matches = (destination == port) | ((source == port) & kind.either_end)
            tunnels.append((kind, udp.keep(matches).forward(UDP_HEADER)))
        return tunnels

    def _count_unread(self, kind: _TunnelKind, outer: Layer, inside: Layer, network: Network, words: Words) -> None:
        """Count the packets of a tunnel of which nothing is read: they were cut, carry no packet, or an unknown type.

        Each packet of a tunnel is either read or counted here.
        """
        missing = ~np.isin(outer.row, inside.row)
        cut = missing & (outer.end < outer.wire)
        self.tally.add(NotUsed.CUT_TUNNEL, np.count_nonzero(cut))
        self.tally.add("tunnel without a packet inside", np.count_nonzero(missing & ~cut))
        self.tally.add("ARP in a tunnel", np.count_nonzero(network == links.ARP))
        links.count_unknown(network, self.tally, self._tunnels, NotUsed.CUT_TUNNEL)
        unknown = outer.keep(np.isin(outer.row, inside.row[network == links.UNKNOWN_TYPE]))
        if kind.type_at is None:
            self.tally.add_unread(f"{kind.name} without IP", len(unknown.row))
            return
        types, counts = np.unique(words.u16(unknown.at + kind.type_at), return_counts=True)
        for number, count in zip(types.tolist(), counts.tolist(), strict=True):
            if kind is GENERIC_ROUTING and number in self._tunnels.gre_control:
                self.tally.add("GRE without traffic of hosts", count)
            else:
                name = self._tunnels.ether_types.get(number, f"type 0x{number:04x}")
                self.tally.add_unread(f"{name} in {kind.name}", count)

    def _long_enough(self, layer: Layer, size: int, otherwise: NotUsed) -> Layer:
        enough = layer.at + size <= layer.end
        self.tally.add(otherwise, len(enough) - np.count_nonzero(enough))
        return layer.keep(enough)


def joined(parts: list[Ip]) -> Ip:
    """Put packets together in file order."""
    filled = [part for part in parts if part.layer.row.size]
    if len(filled) == 1:
        return filled[0]
    if not filled:
        nothing = np.array([], np.int64)
        empty = Layer(nothing, nothing, nothing, nothing)
        kinds = (np.uint64, np.uint8, np.uint8, np.uint8, np.uint16)
        no_rows: list[NDArray[Any]] = [nothing.astype(kind) for kind in kinds]
        return Ip(empty, *no_rows)
    order = np.argsort(np.concatenate([part.layer.row for part in filled]), kind="stable")
    layers = zip(*(part.layer for part in filled), strict=True)
    layer = Layer(*(np.concatenate(columns)[order] for columns in layers))
    column_parts = zip(*(part[1:] for part in filled), strict=True)
    other_columns: list[NDArray[Any]] = [np.concatenate(columns)[order] for columns in column_parts]
    return Ip(layer, *other_columns)


def _among(protocol: NDArray[np.uint8], wanted: tuple[int, ...]) -> Bools:
    mask = np.zeros(len(protocol), np.bool_)
    for number in wanted:
        mask |= protocol == number
    return mask
