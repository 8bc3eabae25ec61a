"""Turn packet records into columns: link, tunnel, IP and transport headers, many thousand packets at a time.

Each step takes a `Layer` (one header of many packets: where it begins and ends in the batch) and returns what it read
and the next layer, dropping packets that are too short or are something else. What is dropped is counted in `Tally`.
References: RFC 791, 8200, 9293, 768, 792, 4443, 826, 4861, 2784, 7348, 4380, 2516, 3032; IEEE 802.1Q, 802.11, 802.2.
"""

from __future__ import annotations

import ipaddress
from collections import Counter
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from auditor.sources import links
from auditor.sources.capture import Records
from auditor.sources.fragments import Fragments
from auditor.sources.links import Layer, Words
from auditor.sources.tally import Tally

ICMP, IP_IN_IP, TCP, UDP, IPV6_IN_IP, ROUTING, FRAGMENT, GRE, ESP, AH, ICMPV6 = 1, 4, 6, 17, 41, 43, 44, 47, 50, 51, 58
EXTENSIONS = (0, ROUTING, 60, 135, 139, 140)  # hop-by-hop, routing, destination, mobility, HIP, shim6
TRANSPORTS = (TCP, UDP, ICMP, ICMPV6)
MOST_EXTENSIONS = 8
MOST_TUNNELS = 4

ECHO_REQUEST, ECHO_REPLY = {4: 8, 6: 128}, {4: 0, 6: 129}
ICMP_ERRORS = {4: (3, 4, 5, 11, 12), 6: (1, 2, 3, 4)}
NEIGHBOUR_SOLICITATION, NEIGHBOUR_ADVERTISEMENT = 135, 136
ARP_REQUEST, ARP_REPLY = 1, 2

I64 = NDArray[np.int64]
U64 = NDArray[np.uint64]


class Addresses:
    """Numbers for addresses: an IPv4 address is its own number, an IPv6 address gets the next free one.

    The two families are kept apart by the flag that goes with each number.
    """

    def __init__(self) -> None:
        self._numbers: dict[tuple[int, int], int] = {}
        self._known: list[tuple[int, int]] = []

    def numbers(self, high: U64, low: U64) -> U64:
        """Return the number of each IPv6 address, given as its upper and lower 64 bits."""
        pairs = np.empty(len(high), [("high", np.uint64), ("low", np.uint64)])
        pairs["high"], pairs["low"] = high, low
        unique, inverse = np.unique(pairs, return_inverse=True)
        return np.array([self._number(*pair) for pair in unique.tolist()], np.uint64)[inverse]

    def _number(self, high: int, low: int) -> int:
        number = self._numbers.setdefault((high, low), len(self._known))
        if number == len(self._known):
            self._known.append((high, low))
        return number

    def text(self, number: int, version: int) -> str:
        """Return the address as text, IPv6 in its short form."""
        if version == 4:
            return str(ipaddress.IPv4Address(number))
        high, low = self._known[number]
        return str(ipaddress.IPv6Address(high << 64 | low))


@dataclass(frozen=True)
class Packets:
    """Packets of one transport protocol in file order: arrays of one length.

    pair: source and destination address numbers (32 bits each); version: 4 or 6; ports: source and destination port
    (16 bits each; for ICMP echo the identifier twice); size: bytes on the wire, link header included; payload: bytes
    above the transport header; flags, sequence, acknowledged: TCP only; kind: ICMP type and code (8 bits each).
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

    def select(self, which: Any) -> Packets:
        """Return the chosen packets, by mask, index or slice."""
        return Packets(**{name: getattr(self, name)[which] for name in self.__dataclass_fields__})


class Quote(NamedTuple):
    """An ICMP error and the packet that it quotes; `sender` is who sent the error, addresses as text."""

    frame: int
    time_ns: int
    sender: str
    version: int
    icmp_type: int
    icmp_code: int
    protocol: int
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


@dataclass(frozen=True)
class Headers:
    """All that one batch of records says below the application."""

    tcp: Packets
    udp: Packets
    icmp: Packets
    quotes: tuple[Quote, ...]
    neighbours: tuple[Neighbour, ...]
    others: tuple[tuple[str, str, int], ...]  # source, destination, IP protocol: neither TCP, UDP nor ICMP


class Ip(NamedTuple):
    """IP packets: the transport layer's place, who sends to whom, and what it carries."""

    layer: Layer
    pair: U64
    version: NDArray[np.uint8]
    protocol: NDArray[np.uint8]

    def keep(self, mask: NDArray[np.bool_]) -> Ip:
        """Return the packets that the mask names."""
        if mask.all():
            return self
        return Ip(self.layer.keep(mask), self.pair[mask], self.version[mask], self.protocol[mask])


class Tunnels(NamedTuple):
    """UDP ports of tunnels by name: those that are looked into, and those that are only counted."""

    read: dict[str, int]
    unread: dict[str, int]


class PacketReader:
    """Read the headers of batch after batch of one capture; holds what lives longer than a batch."""

    def __init__(self, tunnels: Tunnels) -> None:
        self.addresses = Addresses()
        self.tally = Tally()
        self._fragments = Fragments()
        self._tunnels = tunnels

    def read(self, records: Records) -> Headers:
        """Return the headers of one batch of records."""
        words = Words(records.data)
        parts: list[Ip] = []
        neighbours: list[Neighbour] = []
        layer, network = links.network_layers(records, words, self.tally)
        for depth in range(MOST_TUNNELS + 1):
            if depth == 0:
                neighbours = self._arp(layer.keep(network == links.ARP), words, records)
            found = self._ip(layer, network, words)
            if not found.layer.row.size:
                break
            parts.append(found)
            if depth == MOST_TUNNELS:
                self.tally.add("a tunnel within more tunnels than are looked into", _tunnelled(found))
                break
            layer, network = self._inner(found, words)
        return self._transports(_in_file_order(parts), words, records, neighbours)

    # IP

    def _ip(self, layer: Layer, network: NDArray[np.uint16], words: Words) -> Ip:
        four = self._ip4(layer.keep(network == links.IPV4), words)
        six = self._ip6(layer.keep(network == links.IPV6), words)
        return _join([four, six]) if six.layer.row.size else four

    def _ip4(self, layer: Layer, words: Words) -> Ip:
        layer = self._whole(layer, 20, "a cut IPv4 header")
        first, pair = words.u64(layer.at), words.u64(layer.at + 12)
        header = ((first >> np.uint64(56)) & np.uint64(15)).astype(np.int64) * 4
        total = ((first >> np.uint64(32)) & np.uint64(0xFFFF)).astype(np.int64)
        good = ((first >> np.uint64(60)) == 4) & (header >= 20) & ((total >= header) | (total == 0))
        good &= layer.at + header <= layer.end
        self.tally.add("a broken IPv4 header", np.count_nonzero(~good))
        if not good.all():
            layer, first, pair, header, total = layer.keep(good), first[good], pair[good], header[good], total[good]
        # Total length 0: the sender's card was to cut this packet up (segmentation offload), so take what is there.
        wire = np.where(total == 0, layer.wire, np.minimum(layer.wire, layer.at + total))
        protocol = words.u8(layer.at + 9)
        inside = Layer(layer.row, layer.at + header, np.minimum(layer.end, wire), wire)
        found = Ip(inside, pair, np.full(len(pair), 4, np.uint8), protocol)
        if (protocol == AH).any():
            found = self._past_authentication(found, words)
        fragment = (first & np.uint64(0x3FFF)) != 0
        if not fragment.any():
            return found
        offset = (first & np.uint64(0x1FFF)).astype(np.int64) * 8
        more = (first & np.uint64(0x2000)) != 0
        number = (first >> np.uint64(16)) & np.uint64(0xFFFF)
        return self._reassembled(found, fragment, offset, more, number, words)

    def _ip6(self, layer: Layer, words: Words) -> Ip:
        layer = self._whole(layer, 40, "a cut IPv6 header")
        good = (words.u8(layer.at) >> 4) == 6
        self.tally.add("a broken IPv6 header", np.count_nonzero(~good))
        layer = layer.keep(good)
        at = layer.at
        length = words.u16(at + 4).astype(np.int64)
        wire = np.where(length == 0, layer.wire, np.minimum(layer.wire, at + 40 + length))
        high = words.u64(np.concatenate([at + 8, at + 24]))
        low = words.u64(np.concatenate([at + 16, at + 32]))
        number = self.addresses.numbers(high, low)
        pair = (number[: len(at)] << np.uint64(32)) | number[len(at) :]
        inside = Layer(layer.row, at + 40, np.minimum(layer.end, wire), wire)
        found = Ip(inside, pair, np.full(len(at), 6, np.uint8), words.u8(at + 6))
        return self._past_extensions(found, words)

    def _past_authentication(self, found: Ip, words: Words) -> Ip:
        """Step over IPv4 authentication headers, behind which everything is readable."""
        for _ in range(2):
            step = (found.protocol == AH) & (found.layer.at + 12 <= found.layer.end)
            at = np.where(step, found.layer.at, 0)
            length = np.where(step, (words.u8(at + 1).astype(np.int64) + 2) * 4, 0)
            protocol = np.where(step, words.u8(at), found.protocol)
            found = found._replace(layer=found.layer.forward(length), protocol=protocol)
        return found

    def _past_extensions(self, found: Ip, words: Words) -> Ip:
        """Step over IPv6 extension headers; AH too, since what follows it is readable."""
        for _ in range(MOST_EXTENSIONS):
            option = np.isin(found.protocol, EXTENSIONS)
            authentication = found.protocol == AH
            step = option | authentication
            if not step.any():
                break
            room = ~step | (found.layer.at + 8 <= found.layer.end)
            self.tally.add("a cut IPv6 extension header", np.count_nonzero(~room))
            found, option, step = found.keep(room), option[room], step[room]
            units = words.u8(found.layer.at + 1).astype(np.int64)
            length = np.where(option, (units + 1) * 8, (units + 2) * 4)
            following = words.u8(found.layer.at)
            layer = found.layer._replace(at=found.layer.at + np.where(step, length, 0))
            found = found._replace(layer=layer, protocol=np.where(step, following, found.protocol))
            found = found.keep(found.layer.at <= found.layer.end)
        fragment = found.protocol == FRAGMENT
        if not fragment.any():
            return found
        found = found.keep(~fragment | (found.layer.at + 8 <= found.layer.end))
        fragment = found.protocol == FRAGMENT
        head = words.u64(np.where(fragment, found.layer.at, 0))
        bits = (head >> np.uint64(32)) & np.uint64(0xFFFF)
        offset = (bits & np.uint64(0xFFF8)).astype(np.int64)
        more = (bits & np.uint64(1)) != 0
        following = (head >> np.uint64(56)).astype(np.uint8)
        layer = found.layer._replace(at=found.layer.at + np.where(fragment, 8, 0))
        found = found._replace(layer=layer, protocol=np.where(fragment, following, found.protocol))
        split = fragment & ((offset > 0) | more)  # an "atomic" fragment is a whole packet
        return self._reassembled(found, split, offset, more, head & np.uint64(0xFFFFFFFF), words)

    def _reassembled(
        self, found: Ip, fragment: NDArray[np.bool_], offset: I64, more: NDArray[np.bool_], number: U64, words: Words
    ) -> Ip:
        """Replace the fragments of a packet by its first one, put where the last arrived, as Wireshark shows it."""
        keep = ~fragment
        layer = found.layer
        at, wire, row, end = layer.at.copy(), layer.wire.copy(), layer.row, layer.end.copy()
        for index in np.flatnonzero(fragment).tolist():
            self.tally.add("fragments", 1)
            key = (int(found.pair[index]), int(found.version[index]), int(found.protocol[index]), int(number[index]))
            head = words.bytes[at[index] : min(end[index], at[index] + 256)].tobytes()
            length = int(wire[index] - at[index])
            whole = self._fragments.add(key, int(offset[index]), length, bool(more[index]), head)
            if whole is not None:
                keep[index] = True
                at[index] = words.append(whole.head)
                end[index], wire[index] = at[index] + len(whole.head), at[index] + whole.length
        return found._replace(layer=Layer(row, at, end, wire)).keep(keep)

    # tunnels

    def _inner(self, found: Ip, words: Words) -> tuple[Layer, NDArray[np.uint16]]:
        """Return the network layers inside tunnels: IP in IP, GRE, VXLAN and Teredo."""
        layers: list[Layer] = []
        kinds: list[NDArray[np.uint16]] = []
        for protocol, network in ((IP_IN_IP, links.IPV4), (IPV6_IN_IP, links.IPV6)):
            inside = found.layer.keep(found.protocol == protocol)
            layers.append(inside)
            kinds.append(np.full(len(inside.row), network, np.uint16))
        for layer, network_kind in (
            links.gre(found.layer.keep(found.protocol == GRE), words),
            *self._inside_udp(found, words),
        ):
            layers.append(layer)
            kinds.append(network_kind)
        joined = Layer(*(np.concatenate(column) for column in zip(*layers, strict=True)))
        self.tally.add("tunnelled", len(joined.row))
        return joined, np.concatenate(kinds)

    def _inside_udp(self, found: Ip, words: Words) -> list[tuple[Layer, NDArray[np.uint16]]]:
        udp = found.layer.keep((found.protocol == UDP) & (found.layer.at + 16 <= found.layer.end))
        if not udp.row.size:
            return []
        ports = words.u32(udp.at)
        source, destination = ports >> 16, ports & 0xFFFF
        found_layers = []
        for name, reader in (("vxlan", links.vxlan), ("geneve", links.geneve), ("teredo", links.teredo)):
            port = self._tunnels.read[name]
            matches = (destination == port) | ((source == port) if name == "teredo" else False)
            found_layers.append(reader(Layer(*(column[matches] for column in udp)).forward(8), words))
        return found_layers

    # transports

    def _transports(self, found: Ip, words: Words, records: Records, neighbours: list[Neighbour]) -> Headers:
        tcp_mask, udp_mask = found.protocol == TCP, found.protocol == UDP
        icmp_mask = ((found.protocol == ICMP) & (found.version == 4)) | (
            (found.protocol == ICMPV6) & (found.version == 6)
        )
        other = ~(tcp_mask | udp_mask | icmp_mask)
        icmp = self._long_enough(found.keep(icmp_mask), 8, "a cut ICMP header")
        solicitations = self._neighbour_discovery(icmp, words, records)
        return Headers(
            tcp=self._tcp(found.keep(tcp_mask), words, records),
            udp=self._udp(found.keep(udp_mask), words, records),
            icmp=self._icmp(icmp, words, records),
            quotes=tuple(self._quotes(icmp, words, records)),
            neighbours=tuple(neighbours + solicitations),
            others=self._others(found.keep(other)) if other.any() else (),
        )

    def _tcp(self, found: Ip, words: Words, records: Records) -> Packets:
        found = self._long_enough(found, 16, "a cut TCP header")
        at = found.layer.at
        first, second = words.u64(at), words.u64(at + 8)
        header = ((second >> np.uint64(28)) & np.uint64(15)).astype(np.int64) * 4
        return _packets(
            found,
            records,
            ports=(first >> np.uint64(32)).astype(np.uint32),
            payload=np.maximum(found.layer.wire - at - header, 0),
            flags=((second >> np.uint64(16)) & np.uint64(0xFF)).astype(np.uint8),
            sequence=first.astype(np.uint32),
            acknowledged=(second >> np.uint64(32)).astype(np.uint32),
        )

    def _udp(self, found: Ip, words: Words, records: Records) -> Packets:
        found = self._long_enough(found, 8, "a cut UDP header")
        self._count_unread_tunnels(words.u32(found.layer.at))
        payload = np.maximum(found.layer.wire - found.layer.at - 8, 0)
        return _packets(found, records, ports=words.u32(found.layer.at), payload=payload)

    def _icmp(self, found: Ip, words: Words, records: Records) -> Packets:
        """Return echo requests and replies; the identifier stands for both ports."""
        kind = words.u16(found.layer.at)
        types = kind >> 8
        echo = np.zeros(len(types), np.bool_)
        for version in (4, 6):
            both = (ECHO_REQUEST[version], ECHO_REPLY[version])
            echo |= (found.version == version) & np.isin(types, both)
        found, kind = found.keep(echo), kind[echo]
        number = words.u16(found.layer.at + 4).astype(np.uint32)
        payload = np.maximum(found.layer.wire - found.layer.at - 8, 0)
        sequence = words.u16(found.layer.at + 6).astype(np.uint32)
        return _packets(found, records, ports=(number << 16) | number, payload=payload, kind=kind, sequence=sequence)

    def _quotes(self, found: Ip, words: Words, records: Records) -> list[Quote]:
        types = words.u8(found.layer.at)
        error = np.zeros(len(types), np.bool_)
        for version in (4, 6):
            error |= (found.version == version) & np.isin(types, ICMP_ERRORS[version])
        found = found.keep(error)
        quotes: list[Quote] = []
        for index in range(len(found.pair)):
            quotes += self._quote(found, index, words, records)
        return quotes

    def _quote(self, found: Ip, index: int, words: Words, records: Records) -> list[Quote]:
        at, end, row = (int(column[index]) for column in (found.layer.at, found.layer.end, found.layer.row))
        version = int(found.version[index])
        sender, _ = self._texts(found, index)
        one = Layer(*(np.array([value]) for value in (row, at + 8, end, max(end, at + 8 + 65535))))
        tally, self.tally = self.tally, Tally()  # a short quotation is the rule, not a fault
        inner = (self._ip4 if version == 4 else self._ip6)(one, words)
        self.tally = tally
        if not inner.layer.row.size or inner.layer.at[0] + 4 > inner.layer.end[0]:
            return []
        head = words.bytes[inner.layer.at[0] : inner.layer.end[0]].tobytes()[:20]
        src, dst = self._texts(inner, 0)
        protocol = int(inner.protocol[0])
        first, second = (int.from_bytes(head[i : i + 2], "big") for i in (0, 2))
        if protocol in (ICMP, ICMPV6):
            first = second = int.from_bytes(head[4:6], "big")
        return [
            Quote(
                frame=int(records.frame[row]),
                time_ns=int(records.time_ns[row]),
                sender=sender,
                version=version,
                icmp_type=int(words.bytes[at]),
                icmp_code=int(words.bytes[at + 1]),
                protocol=protocol,
                src=src,
                src_port=first,
                dst=dst,
                dst_port=second,
                sequence=int.from_bytes(head[4:8], "big") if protocol == TCP and len(head) >= 8 else None,
                header_bytes=len(head),
            )
        ]

    # neighbours and the rest

    def _arp(self, layer: Layer, words: Words, records: Records) -> list[Neighbour]:
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

    def _neighbour_discovery(self, found: Ip, words: Words, records: Records) -> list[Neighbour]:
        types = words.u8(found.layer.at)
        mask = (found.version == 6) & np.isin(types, (NEIGHBOUR_SOLICITATION, NEIGHBOUR_ADVERTISEMENT))
        found = found.keep(mask & (found.layer.at + 24 <= found.layer.end))
        result: list[Neighbour] = []
        for index, (row, at) in enumerate(zip(found.layer.row.tolist(), found.layer.at.tolist(), strict=True)):
            target = str(ipaddress.IPv6Address(words.bytes[at + 8 : at + 24].tobytes()))
            sender, _ = self._texts(found, index)
            answer = int(words.bytes[at]) == NEIGHBOUR_ADVERTISEMENT
            if sender == "::":
                continue  # a host that checks whether its own address is free asks nothing of anybody
            who = target if answer else sender
            result.append(Neighbour(int(records.frame[row]), int(records.time_ns[row]), answer, who, target))
        return result

    def _others(self, found: Ip) -> tuple[tuple[str, str, int], ...]:
        for protocol, count in Counter(found.protocol.tolist()).items():
            self.tally.add(f"IP protocol {protocol}", count)
        columns = np.stack([found.pair, found.version.astype(np.uint64), found.protocol.astype(np.uint64)])
        unique = np.unique(columns, axis=1).T
        return tuple(
            (*self._pair_texts(int(pair), int(version)), int(protocol)) for pair, version, protocol in unique
        )

    def _count_unread_tunnels(self, ports: NDArray[np.uint32]) -> None:
        for name, port in self._tunnels.unread.items():
            self.tally.add(f"tunnel {name}", np.count_nonzero((ports & 0xFFFF) == port))

    def _texts(self, found: Ip, index: int) -> tuple[str, str]:
        return self._pair_texts(int(found.pair[index]), int(found.version[index]))

    def _pair_texts(self, pair: int, version: int) -> tuple[str, str]:
        return self.addresses.text(pair >> 32, version), self.addresses.text(pair & 0xFFFFFFFF, version)

    def _whole(self, layer: Layer, size: int, otherwise: str) -> Layer:
        enough = layer.at + size <= layer.end
        self.tally.add(otherwise, np.count_nonzero(~enough))
        return layer.keep(enough)

    def _long_enough(self, found: Ip, size: int, otherwise: str) -> Ip:
        enough = found.layer.at + size <= found.layer.end
        self.tally.add(otherwise, np.count_nonzero(~enough))
        return found.keep(enough)


def _packets(found: Ip, records: Records, *, ports: NDArray[np.uint32], payload: I64, **columns: Any) -> Packets:
    """Assemble a packet table; columns that the protocol does not have are zero."""
    row, count = found.layer.row, len(found.layer.row)
    identity = count == len(records.frame) and bool((row == np.arange(count)).all())
    every = slice(None) if identity else row
    zeros = {
        "flags": np.zeros(count, np.uint8),
        "sequence": np.zeros(count, np.uint32),
        "acknowledged": np.zeros(count, np.uint32),
        "kind": np.zeros(count, np.uint16),
    }
    return Packets(
        frame=records.frame[every],
        time_ns=records.time_ns[every],
        pair=found.pair,
        version=found.version,
        ports=ports,
        size=records.original[every],
        payload=payload,
        **(zeros | columns),
    )


def _join(parts: list[Ip]) -> Ip:
    layer = Layer(*(np.concatenate(columns) for columns in zip(*(part.layer for part in parts), strict=True)))
    rest = [np.concatenate([part[i] for part in parts]) for i in (1, 2, 3)]
    joined = Ip(layer, *rest)
    order = np.argsort(layer.row, kind="stable")
    return Ip(Layer(*(column[order] for column in layer)), *(column[order] for column in rest)) if len(order) else joined


def _in_file_order(parts: list[Ip]) -> Ip:
    if not parts:
        nothing = np.array([], np.int64)
        empty = Layer(nothing, nothing, nothing, nothing)
        return Ip(empty, nothing.astype(np.uint64), nothing.astype(np.uint8), nothing.astype(np.uint8))
    return parts[0] if len(parts) == 1 else _join(parts)


def _tunnelled(found: Ip) -> int:
    return int(np.count_nonzero(np.isin(found.protocol, (IP_IN_IP, IPV6_IN_IP, GRE))))
