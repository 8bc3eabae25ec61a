"""Build packets and captures out of words, so that a test shows all that it is about.

A *packet* is what lies behind the link header: IPv4, IPv6 or ARP. A *frame* is a packet with its link header.
Who sends to whom is written "10.0.0.1:50000 > 10.0.0.5:445", "[fe80::1]:50000 > [fe80::5]:445" or, without ports,
"10.0.0.1 > 10.0.0.5". Checksums are zero, as they are where the network card was to fill them in.
"""

from __future__ import annotations

import struct
from collections.abc import Callable, Iterable
from ipaddress import IPv4Address, IPv6Address, ip_address
from typing import NamedTuple

import pandas as pd

BEGIN = 1_700_000_000  # the time of the first packet, seconds since 1970
STEP = 0.01  # between packets that do not say when
FLAGS = {letter: 1 << bit for bit, letter in enumerate("FSRPAUEC")}

# IP packets


def tcp(who: str, flags: str = "S", *, seq: int = 1000, ack: int = 0, payload: int = 0) -> bytes:
    """Return a TCP packet; flags as letters ("S", "SA", "PA"), payload as a number of bytes."""
    (_, src), (_, dst) = ends(who)
    bits = sum(FLAGS[letter] for letter in flags)
    header = struct.pack(">HHIIBBHHH", src, dst, seq % 2**32, ack % 2**32, 0x50, bits, 65535, 0, 0)
    return ip(who, 6, header + bytes(payload))


def offset(packet: bytes, words: int) -> bytes:
    """Return a TCP packet of IPv4 whose header says of itself that it is so many times four bytes long."""
    return packet[:32] + bytes([words << 4]) + packet[33:]


def talk(who: str, words: str) -> list[bytes]:
    """Return a TCP conversation, one packet a word, with the sequence numbers that belong to it.

    "<" is from the responder, letters are flags, a number is bytes of payload, "@" sets the first sequence number of
    a SYN (so "S S" is a retransmission and "S S@7" a second attempt): "S <SA A 5PA <A 5FA <FA A".
    """
    first, following = [1000, 9000], [1000, 9000]
    packets = []
    for text in words.split():
        side = int(text.startswith("<"))
        word, _, number = text.lstrip("<").partition("@")
        flags, payload = word.lstrip("0123456789"), int("0" + "".join(c for c in word if c.isdigit()))
        if "S" in flags:
            first[side] = following[side] = int(number or first[side])
        ack = following[1 - side] if "A" in flags else 0
        packets.append(tcp(turned(who) if side else who, flags, seq=following[side], ack=ack, payload=payload))
        following[side] += payload + ("S" in flags) + ("F" in flags)
    return packets


def udp(who: str, payload: bytes = b"?") -> bytes:
    (_, src), (_, dst) = ends(who)
    return ip(who, 17, struct.pack(">HHHH", src, dst, 8 + len(payload), 0) + payload)


def echo(who: str, *, reply: bool = False, identifier: int = 7, number: int = 1) -> bytes:
    """Return a ping or the answer to one."""
    six = _version(who) == 6
    kind = (129 if reply else 128) if six else (0 if reply else 8)
    return ip(who, 58 if six else 1, struct.pack(">BBHHH", kind, 0, 0, identifier, number) + b"ping")


def icmp_error(
    sender: str, kind: int, code: int, *, quoting: bytes, room: int = 28, receiver: str | None = None
) -> bytes:
    """Return what `sender` sends back to the source of the packet it quotes, or to another; room: bytes it quotes."""
    version = quoting[0] >> 4
    source = receiver or ip_address(quoting[12:16] if version == 4 else quoting[8:24])
    return ip(f"{sender} > {source}", 1 if version == 4 else 58, bytes([kind, code]) + bytes(6) + quoting[:room])


def ip(who: str, protocol: int, body: bytes, *, number: int = 0, fragment: int = 0) -> bytes:
    """Return an IPv4 or IPv6 packet; fragment: the 16 bits of flags and offset of IPv4."""
    (src, _), (dst, _) = ends(who)
    if src.version == 6:
        return struct.pack(">IHBB", 6 << 28, len(body), protocol, 64) + src.packed + dst.packed + body
    head = struct.pack(">BBHHHBBH", 0x45, 0, 20 + len(body), number, fragment, 64, protocol, 0)
    return head + src.packed + dst.packed + body


def with_hops(packet: bytes, hops: int, *, ip_id: int = 0) -> bytes:
    """Return a packet that has so many hops left; ip_id: its identification, of IPv4 only."""
    if packet[0] >> 4 == 6:
        return packet[:7] + bytes([hops]) + packet[8:]
    return packet[:4] + struct.pack(">H", ip_id) + packet[6:8] + bytes([hops]) + packet[9:]


def fragments(packet: bytes, size: int = 16, number: int = 77) -> list[bytes]:
    """Return the packet in pieces of `size` bytes (a multiple of 8)."""
    four = packet[0] >> 4 == 4
    who = _who(packet)
    body = packet[20:] if four else packet[40:]
    pieces = []
    for offset in range(0, len(body), size):
        piece, more = body[offset : offset + size], offset + size < len(body)
        if four:
            pieces.append(ip(who, packet[9], piece, number=number, fragment=more << 13 | offset // 8))
        else:
            pieces.append(ip(who, 44, struct.pack(">BBHI", packet[6], 0, offset | more, number) + piece))
    return pieces


def extended(packet: bytes, *headers: int) -> bytes:
    """Return an IPv6 packet with these extension headers (their protocol numbers) before its own."""
    following, body = packet[6], packet[40:]
    for header in reversed(headers):
        body = bytes([following, 1 if header == 51 else 0]) + bytes(10 if header == 51 else 6) + body
        following = header
    return ip(_who(packet), following, body)


def turned(who: str) -> str:
    """Return the same two ends with the other as the sender."""
    src, dst = who.split(" > ")
    return f"{dst} > {src}"


def ends(who: str) -> tuple[tuple[IPv4Address | IPv6Address, int], ...]:
    """Return both ends as address and port."""
    return tuple(_end(text) for text in who.split(" > "))


def _end(text: str) -> tuple[IPv4Address | IPv6Address, int]:
    address, port = text, "0"
    if "." in text or text.startswith("["):
        address, _, port = text.rpartition(":") if text[-1] != "]" and ":" in text else (text, "", "0")
    return ip_address(address.strip("[]")), int(port)


def _version(who: str) -> int:
    return ends(who)[0][0].version


def _who(packet: bytes) -> str:
    source, target = (packet[12:16], packet[16:20]) if packet[0] >> 4 == 4 else (packet[8:24], packet[24:40])
    return f"{ip_address(source)} > {ip_address(target)}"


# neighbours


def arp(text: str) -> bytes:
    """Return "10.0.0.1 asks 10.0.0.5" or "10.0.0.5 answers 10.0.0.1"."""
    sender, verb, target = text.split()
    head = struct.pack(">HHBBH", 1, 0x0800, 6, 4, 1 if verb == "asks" else 2)
    return head + bytes(6) + ip_address(sender).packed + bytes(6) + ip_address(target).packed


def neighbour(text: str) -> bytes:
    """Return "fe80::1 asks fe80::5" or "fe80::5 answers fe80::1", as IPv6 does it."""
    sender, verb, target = text.split()
    kind, about = (135, target) if verb == "asks" else (136, sender)
    return ip(f"{sender} > {target}", 58, bytes([kind, 0]) + bytes(6) + ip_address(about).packed)


# tunnels: a packet inside a packet of two routers

ROUTERS = "192.0.2.1 > 192.0.2.2"


def ip_in_ip(packet: bytes) -> bytes:
    return ip(ROUTERS, 4 if packet[0] >> 4 == 4 else 41, packet)


def gre(packet: bytes, *, flags: int = 0) -> bytes:
    """Return a packet in GRE; flags: checksum 0x8000, key 0x2000, sequence number 0x1000."""
    options = bytes(4 * (flags & 0xB000).bit_count())
    return ip(ROUTERS, 47, struct.pack(">HH", flags, ether_type(packet)) + options + packet)


def gre_bridged(packet: bytes) -> bytes:
    return ip(ROUTERS, 47, struct.pack(">HH", 0, 0x6558) + ethernet(packet))


def gre_pptp(packet: bytes) -> bytes:
    body = b"\xff\x03" + ppp_type(packet) + packet
    return ip(ROUTERS, 47, struct.pack(">HHHHI", 0x3001, 0x880B, len(body), 9, 1) + body)


def gre_of(kind: int, body: bytes, *, flags: int = 0) -> bytes:
    """Return GRE of any protocol type."""
    return ip(ROUTERS, 47, struct.pack(">HH", flags, kind) + body)


def gre_in_udp(packet: bytes, *, flags: int = 0) -> bytes:
    return udp("192.0.2.1:49999 > 192.0.2.2:4754", gre(packet, flags=flags)[20:])


def gtp(packet: bytes, *, flags: int = 0, more: bytes = b"", kind: int = 255) -> bytes:
    """Return a packet in GTP-U; flags: extension header 4, sequence number 2, N-PDU number 1; more: their fields."""
    head = struct.pack(">BBHI", 0x30 | flags, kind, len(more) + len(packet), 7)
    return udp("192.0.2.1:2152 > 192.0.2.2:2152", head + more + packet)


def vxlan(packet: bytes) -> bytes:
    return udp("192.0.2.1:49999 > 192.0.2.2:4789", b"\x08" + bytes(7) + ethernet(packet))


def geneve(packet: bytes) -> bytes:
    options = struct.pack(">HBBI", 0x0102, 0, 1, 0)
    return udp(
        "192.0.2.1:49999 > 192.0.2.2:6081",
        bytes([2, 0]) + b"\x65\x58" + bytes(4) + options + ethernet(packet),
    )


def teredo(packet: bytes) -> bytes:
    """Return an IPv6 packet in Teredo, behind its authentication and origin indications."""
    return udp("192.0.2.1:3544 > 192.0.2.2:51000", b"\0\x01\0\0" + bytes(9) + b"\0\0" + bytes(6) + packet)


def authenticated(packet: bytes) -> bytes:
    """Return an IPv4 packet with an IPsec authentication header, which hides nothing."""
    return ip(_who(packet), 51, bytes([packet[9], 4]) + bytes(22) + packet[20:])


# link headers


def ether_type(packet: bytes) -> int:
    return {4: 0x0800, 6: 0x86DD, 0: 0x0806}[packet[0] >> 4]


def ppp_type(packet: bytes) -> bytes:
    return b"\0\x21" if packet[0] >> 4 == 4 else b"\0\x57"


def ethernet(packet: bytes, *, before: bytes = b"", kind: int | None = None) -> bytes:
    """Return an Ethernet frame; before: tags between the addresses and the EtherType."""
    addresses = bytes.fromhex("020000000005 020000000001")
    return addresses + before + struct.pack(">H", ether_type(packet) if kind is None else kind) + packet


def llc(packet: bytes) -> bytes:
    return b"\xaa\xaa\x03\0\0\0" + struct.pack(">H", ether_type(packet)) + packet


def wifi(packet: bytes, *, control: bytes = b"\x08\x01", more: bytes = b"") -> bytes:
    """Return an 802.11 data frame that is not encrypted; more: fourth address, quality of service."""
    return control + bytes(22) + more + llc(packet)


def mpls(packet: bytes) -> bytes:
    return ethernet(bytes.fromhex("00010040 00011140") + packet, kind=0x8847)


def pppoe(packet: bytes) -> bytes:
    return struct.pack(">BBHH", 0x11, 0, 1, len(packet) + 2) + ppp_type(packet) + packet


def hdlc(packet: bytes, address: int = 0x0F) -> bytes:
    """Return a frame of Cisco HDLC; address: unicast 0x0f, broadcast 0x8f."""
    return struct.pack(">BBH", address, 0, ether_type(packet)) + packet


def netfilter(packet: bytes) -> bytes:
    """Return an NFLOG record: a prefix, then the packet."""
    family = 2 if packet[0] >> 4 == 4 else 10
    return (
        struct.pack("<BBH", family, 0, 0)
        + struct.pack("<HH4s", 8, 10, b"in\0")
        + struct.pack("<HH", 4 + len(packet), 9)
        + packet
    )


def family(packet: bytes, order: str = "<", six: int = 30) -> bytes:
    """Return a BSD loopback frame; six: what this BSD calls IPv6."""
    return struct.pack(order + "I", 2 if packet[0] >> 4 == 4 else six) + packet


class Link(NamedTuple):
    """A LINKTYPE_ value and how its frames are made."""

    number: int
    wrap: Callable[[bytes], bytes] = bytes


ETHERNET = Link(1, ethernet)
RAW = Link(101)

LINKS = {
    "Ethernet": ETHERNET,
    "Ethernet with 802.2": Link(1, lambda p: ethernet(llc(p), kind=len(p) + 8)),
    "VLAN": Link(1, lambda p: ethernet(p, before=bytes.fromhex("81000064"))),
    "QinQ": Link(1, lambda p: ethernet(p, before=bytes.fromhex("88a80064 81000065"))),
    "MPLS": Link(1, mpls),
    "PPPoE": Link(1, lambda p: ethernet(pppoe(p), kind=0x8864)),
    "VLAN with PPPoE": Link(1, lambda p: ethernet(pppoe(p), before=bytes.fromhex("81000064"), kind=0x8864)),
    "loopback of BSD": Link(0, family),
    "loopback of BSD, big-endian": Link(0, lambda p: family(p, ">")),
    "loopback of OpenBSD": Link(108, lambda p: family(p, ">", 24)),
    "PPP": Link(9, lambda p: b"\xff\x03" + ppp_type(p) + p),
    "PPP without address": Link(9, lambda p: ppp_type(p) + p),
    "PPP in HDLC framing": Link(50, lambda p: b"\xff\x03" + ppp_type(p) + p),
    "PPPoE as link": Link(51, pppoe),
    "Cisco HDLC": Link(104, hdlc),
    "Cisco HDLC to all": Link(104, lambda p: hdlc(p, 0x8F)),
    "Cisco HDLC with Ethernet": Link(104, lambda p: bytes.fromhex("0f006558") + ethernet(p)),
    "Cisco HDLC in PPP's place": Link(50, hdlc),
    "raw IP": RAW,
    "raw IP of BSD": Link(12),
    "Linux cooked": Link(113, lambda p: bytes([0, 0, 0, 1, 0, 6]) + bytes(8) + struct.pack(">H", ether_type(p)) + p),
    "Linux cooked, second version": Link(276, lambda p: struct.pack(">H", ether_type(p)) + bytes(18) + p),
    "802.11": Link(105, wifi),
    "802.11 with quality of service": Link(105, lambda p: wifi(p, control=b"\x88\x01", more=bytes(2))),
    "802.11 between stations": Link(105, lambda p: wifi(p, control=b"\x08\x03", more=bytes(6))),
    "radiotap": Link(127, lambda p: struct.pack("<BBHI", 0, 0, 8, 0) + wifi(p)),
    "InfiniBand": Link(242, lambda p: bytes(40) + struct.pack(">HH", ether_type(p), 0) + p),
    "netfilter log": Link(239, netfilter),
}
TUNNELS = {
    "IP in IP": ip_in_ip,
    "GRE": gre,
    "GRE with key and sequence number": lambda p: gre(p, flags=0x3000),
    "GRE with Ethernet": gre_bridged,
    "PPTP": gre_pptp,
    "VXLAN": vxlan,
    "Geneve": geneve,
    "GRE in UDP": gre_in_udp,
    "GRE in UDP with key": lambda p: gre_in_udp(p, flags=0x2000),
    "GTP-U": gtp,
    "GTP-U with sequence number": lambda p: gtp(p, flags=2, more=bytes.fromhex("00010000")),
    "GTP-U with extension headers": lambda p: gtp(p, flags=7, more=bytes.fromhex("000100c0 01ff0085 0201020304050600")),
    "WCCP, second version": lambda p: gre_of(0x883E, bytes.fromhex("80000102") + p),
    "a tunnel in a tunnel": lambda p: vxlan(gre(p)),
}

# captures


class At(NamedTuple):
    """A packet that says when: seconds after the first."""

    seconds: float
    packet: bytes


def timed(packets: Iterable[bytes | At]) -> list[At]:
    """Give every packet a time: its own, or STEP after the one before."""
    result: list[At] = []
    for packet in packets:
        following = result[-1].seconds + STEP if result else 0.0
        result.append(packet if isinstance(packet, At) else At(following, packet))
    return result


def pcap(
    packets: Iterable[bytes | At],
    link: Link = ETHERNET,
    *,
    order: str = "<",
    nano: bool = False,
    snap: int = 262_144,
) -> bytes:
    """Return a pcap file; snap: bytes kept of each frame."""
    unit = 1 if nano else 1000
    result = struct.pack(order + "IHHIIII", 0xA1B23C4D if nano else 0xA1B2C3D4, 2, 4, 0, 0, snap, link.number)
    for seconds, packet in timed(packets):
        frame = link.wrap(packet)
        whole, rest = divmod(round(seconds * 1e9), 1_000_000_000)
        result += struct.pack(order + "IIII", BEGIN + whole, rest // unit, min(snap, len(frame)), len(frame))
        result += frame[:snap]
    return result


Block = Callable[[str], bytes]


def pcapng(*blocks: Block, order: str = "<") -> bytes:
    """Return one section of a pcapng file; a file of two sections is two of them in a row."""
    head = struct.pack(order + "IHHq", 0x1A2B3C4D, 1, 0, -1)
    return b"".join(one(order) for one in (block(0x0A0D0D0A, head), *blocks))


def block(kind: int, body: bytes) -> Block:
    """Return a block of any type."""
    padded = body + bytes(-len(body) % 4)
    return lambda order: (
        struct.pack(order + "II", kind, len(padded) + 12) + padded + struct.pack(order + "I", len(padded) + 12)
    )


def interface(
    link: Link = ETHERNET, *, resolution: int | None = None, offset: int | None = None, snap: int = 0
) -> Block:
    """Describe an interface; resolution: as the option if_tsresol says it; offset: seconds to add to its times."""

    def write(order: str) -> bytes:
        options = b""
        if resolution is not None:
            options += struct.pack(order + "HHB3x", 9, 1, resolution)
        if offset is not None:
            options += struct.pack(order + "HHq", 14, 8, offset)
        ended = options + bytes(4) if options else b""
        return block(1, struct.pack(order + "HHI", link.number, 0, snap) + ended)(order)

    return write


def enhanced(frame: bytes, ticks: int = BEGIN * 1_000_000, *, interface: int = 0, original: int | None = None) -> Block:
    """Return a packet block; ticks: its time in units of its interface."""

    def write(order: str) -> bytes:
        sizes = len(frame), original or len(frame)
        return block(6, struct.pack(order + "IIIII", interface, ticks >> 32, ticks % 2**32, *sizes) + frame)(order)

    return write


def simple(frame: bytes, *, original: int | None = None) -> Block:
    """Return a packet block without a time."""
    return lambda order: block(3, struct.pack(order + "I", original or len(frame)) + frame)(order)


def obsolete(frame: bytes, ticks: int = BEGIN * 1_000_000, *, interface: int = 0) -> Block:
    """Return a packet block as early pcapng files have it."""

    def write(order: str) -> bytes:
        head = struct.pack(order + "HHIIII", interface, 0, ticks >> 32, ticks % 2**32, len(frame), len(frame))
        return block(2, head + frame)(order)

    return write


def told(table: pd.DataFrame) -> list[str]:
    """Return a flow table in words: "10.0.0.1:50000 > 10.0.0.5:445/tcp S0 no-response"."""
    lines = []
    for row in table.itertuples():
        src, dst = _side(row.src_ip, row.src_port), _side(row.dst_ip, row.dst_port)
        lines.append(f"{src} > {dst}/{row.protocol} {row.conn_state} {row.response}")
    return lines


def _side(address: str, port: object) -> str:
    if str(port) == "<NA>":
        return address
    return f"[{address}]:{port}" if ":" in address else f"{address}:{port}"
