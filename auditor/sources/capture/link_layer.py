"""Find the network layer behind the link headers and inside tunnels, many packets at a time."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from auditor.sources.capture.byte_fields import Words
from auditor.sources.capture.records import NO_LINK_TYPE, Records
from auditor.sources.capture.tunnels import Tunnels
from auditor.sources.files.skip_counts import NotUsed, Tally

IPV4, IPV6, ARP = 0x0800, 0x86DD, 0x0806
VLANS = (0x8100, 0x88A8, 0x9100, 0x9200)
MPLS = (0x8847, 0x8848)
PPPOE = 0x8864
ETHERNET_BRIDGED = 0x6558
GRE_PPP = 0x880B
WCCP = 0x883E
LLC = 1  # not an EtherType: an 802.2 header follows, as it does where Ethernet gives a length instead of a type
# No EtherTypes either: something else follows, a payload that is not read, or what follows was not captured.
NOTHING, PPP_DATA, ENCRYPTED, AGGREGATED, UNKNOWN_TYPE, CUT = 0, 2, 3, 4, 5, 0x05FF
UNREAD = {
    PPP_DATA: "PPP that is compressed, encrypted, or not IP",
    ENCRYPTED: "encrypted 802.11",
    AGGREGATED: "aggregated 802.11 (A-MSDU)",
}
SMALLEST_ETHER_TYPE = 0x0600
SMALLEST_PPP_CONTROL = 0x8000  # RFC 1661: protocols below carry data
GRE_READ = (IPV4, IPV6, *VLANS, *MPLS, PPPOE, ETHERNET_BRIDGED, GRE_PPP, WCCP)
GTP_PACKET = 255  # message type
HDLC_ADDRESSES = (0x0F, 0x8F)  # unicast and broadcast, as Cisco writes them; PPP has 0xFF
STEPS = (*VLANS, *MPLS, PPPOE, LLC)
MOST_STEPS = 8  # tags, labels and session headers that may lie on one another
NFLOG_PAYLOAD = 9
COOKED_LLC = 4

Network = NDArray[np.uint16]


class Layer(NamedTuple):
    """One header of many packets.

    All count in bytes from the start of the batch.

    Attributes:
        row: Index of the record.
        at: Where the header begins.
        end: End of what was captured.
        wire: Where it would end had everything been captured.
    """

    row: NDArray[np.int64]
    at: NDArray[np.int64]
    end: NDArray[np.int64]
    wire: NDArray[np.int64]

    def keep(self, mask: NDArray[np.bool_]) -> Layer:
        """Return the packets that the mask names."""
        count = np.count_nonzero(mask)
        if count == len(mask):
            return self
        selector = mask if count else slice(0)
        return Layer(*(column[selector] for column in self))

    def forward(self, by: int | NDArray[np.int64]) -> Layer:
        """Return the layers that lie `by` bytes further on."""
        return self._replace(at=self.at + by)


LinkReader = Callable[[Layer, Words], tuple[Layer, Network]]


def network_layers(records: Records, words: Words, tally: Tally, tunnels: Tunnels) -> tuple[Layer, Network]:
    """Return where the network layer of each record begins and its EtherType (NOTHING where there is none)."""
    start = records.start
    rows = np.arange(len(start))
    wire = start + np.maximum(records.original, records.captured)  # some writers leave the length on the wire at zero
    layer = Layer(rows, start, start + records.captured, wire)
    types = records.link_type
    if (types == types[0]).all():
        return _read_link(int(types[0]), layer, words, tally, tunnels)
    parts = [_read_link(int(kind), layer.keep(types == kind), words, tally, tunnels) for kind in np.unique(types)]
    return in_order(parts)


def in_order(parts: Sequence[tuple[Layer, Network]]) -> tuple[Layer, Network]:
    """Put what several readers read of one batch together, in the order of its rows."""
    joined = Layer(*(np.concatenate(columns) for columns in zip(*(part for part, _ in parts), strict=True)))
    network = np.concatenate([kinds for _, kinds in parts])
    order = np.argsort(joined.row, kind="stable")
    return Layer(*(column[order] for column in joined)), network[order]


def _read_link(link_type: int, layer: Layer, words: Words, tally: Tally, tunnels: Tunnels) -> tuple[Layer, Network]:
    if link_type == NO_LINK_TYPE:
        return layer.keep(np.zeros(len(layer.row), np.bool_)), np.array([], np.uint16)
    reader = LINK_READERS.get(link_type)
    if reader is None:
        tally.link_types[link_type] += len(layer.row)
        return layer.keep(np.zeros(len(layer.row), np.bool_)), np.array([], np.uint16)
    count = len(layer.row)
    layer, network = reader(layer, words)
    tally.add(NotUsed.CUT_LINK, count - len(layer.row))
    if not _is_known(network).all():
        layer, network = ether_types(layer, network, words)
    count_unknown(network, tally, tunnels)
    return layer, network


def count_unknown(network: Network, tally: Tally, tunnels: Tunnels, cut: NotUsed = NotUsed.CUT_LINK) -> None:
    """Count the frames that are neither IP nor ARP, by what they hold instead; cut: as what those that were cut count.

    Those of an unknown type in a tunnel are left to the caller.
    """
    is_known = _is_known(network)
    if is_known.all():
        return
    kinds, counts = np.unique(network[~is_known], return_counts=True)
    for kind, count in zip(kinds.tolist(), counts.tolist(), strict=True):
        if kind == CUT:
            tally.add(cut, count)
        elif kind in STEPS:
            tally.add(NotUsed.TOO_MANY_TAGS, count)
        elif kind in UNREAD or kind in tunnels.ether_types:
            tally.add_unread(UNREAD.get(kind) or tunnels.ether_types[kind], count)
        elif kind != UNKNOWN_TYPE:
            tally.add("neither IP nor ARP", count)
            tally.ether_types[kind] += count


def _is_known(network: Network) -> NDArray[np.bool_]:
    is_known: NDArray[np.bool_] = (network == IPV4) | (network == IPV6) | (network == ARP)
    return is_known


def ether_types(layer: Layer, network: Network, words: Words) -> tuple[Layer, Network]:
    """Step over VLAN tags, MPLS labels and PPPoE sessions that lie between the link and the network layer."""
    for _ in range(MOST_STEPS):
        tagged = (network != IPV4) & np.isin(network, STEPS)
        if not tagged.any():
            break
        short = tagged & (layer.at + 8 > layer.end)
        cut = np.where((network == LLC) & (layer.end >= layer.wire), NOTHING, CUT)  # there are shorter 802.2 frames
        network = np.where(short, cut, network).astype(np.uint16)
        vlan, mpls, pppoe = np.isin(network, VLANS), np.isin(network, MPLS), network == PPPOE
        at = np.where(vlan | mpls | pppoe, layer.at, layer.row * 0)
        inside_vlan = words.u16(at + 2)
        length_field = inside_vlan < SMALLEST_ETHER_TYPE
        inside_mpls = np.where(words.u8(at + 2) & 1, _by_version(words.u8(at + 4)), MPLS[0])
        inside_pppoe = _by_ppp(words.u16(at + 6))
        new = np.where(vlan, np.where(length_field, LLC, inside_vlan), network)
        new = np.where(mpls, inside_mpls, np.where(pppoe, inside_pppoe, new))
        step = np.where(vlan | mpls, 4, np.where(pppoe, 8, 0))
        snap = network == LLC
        new = np.where(snap, _snap(words, np.where(snap, layer.at, 0)), new)
        layer, network = layer.forward(step + np.where(snap, 8, 0)), new.astype(np.uint16)
    return layer, network


def _snap(words: Words, at: NDArray[np.int64]) -> Network:
    """Return the EtherType behind an LLC and SNAP header, NOTHING if it is another kind of LLC."""
    is_snap = (words.u32(at) >> 8) == 0xAAAA03
    return np.where(is_snap, _ether_type(words.u16(at + 6)), NOTHING).astype(np.uint16)


def _ether_type(number: NDArray[np.uint16]) -> Network:
    """Return numbers that stand where an EtherType does, NOTHING for those that are too small to be one."""
    return np.where(number < SMALLEST_ETHER_TYPE, NOTHING, number).astype(np.uint16)


def _by_version(first_byte: NDArray[np.uint8]) -> Network:
    version = first_byte >> 4
    return np.where(version == 4, IPV4, np.where(version == 6, IPV6, NOTHING)).astype(np.uint16)


def _by_ppp(protocol: NDArray[np.uint16]) -> Network:
    table = {0x0021: IPV4, 0x0057: IPV6, 0x0281: MPLS[0], 0x0283: MPLS[1]}
    result = np.where(protocol < SMALLEST_PPP_CONTROL, PPP_DATA, NOTHING).astype(np.uint16)
    for ppp, ether in table.items():
        result[protocol == ppp] = ether
    return result


def _room(layer: Layer, size: int) -> Layer:
    return layer.keep(layer.at + size <= layer.end)


def _ethernet(layer: Layer, words: Words) -> tuple[Layer, Network]:
    layer = _room(layer, 14)
    kind = words.packet_heads(layer.row, layer.at, 14).u16(12)
    kind[kind < SMALLEST_ETHER_TYPE] = LLC
    return layer.forward(14), kind


def _fixed(size: int, protocol_at: int) -> LinkReader:
    """Return a reader of a link header of fixed size with an EtherType at a fixed place."""

    def read(layer: Layer, words: Words) -> tuple[Layer, Network]:
        layer = _room(layer, size)
        return layer.forward(size), _ether_type(words.u16(layer.at + protocol_at))

    return read


def _cooked(layer: Layer, words: Words) -> tuple[Layer, Network]:
    """Linux cooked capture: as EtherTypes there are numbers of its own, one of which means an 802.2 header."""
    layer = _room(layer, 16)
    kind = words.u16(layer.at + 14)
    return layer.forward(16), np.where(kind == COOKED_LLC, LLC, _ether_type(kind)).astype(np.uint16)


def _null(layer: Layer, words: Words) -> tuple[Layer, Network]:
    """BSD loopback: the address family in the byte order of the host that captured."""
    layer = _room(layer, 4)
    family = words.u32(layer.at)
    family = np.where(family > 0xFFFF, family.byteswap(), family)
    network = np.where(family == 2, IPV4, np.where(np.isin(family, (10, 24, 28, 30)), IPV6, NOTHING))
    return layer.forward(4), network.astype(np.uint16)


def _raw(layer: Layer, words: Words) -> tuple[Layer, Network]:
    layer = _room(layer, 1)
    return layer, _by_version(words.u8(layer.at))


def _ppp(layer: Layer, words: Words) -> tuple[Layer, Network]:
    layer = _room(layer, 4)
    framed = words.u16(layer.at) == 0xFF03
    layer = layer.forward(np.where(framed, 2, 0))
    first_byte = words.u8(layer.at)
    short = (first_byte & 1) == 1  # protocol field compression: an odd first byte is all of it
    protocol = np.where(short, first_byte, words.u16(layer.at)).astype(np.uint16)
    return layer.forward(np.where(short, 1, 2)), _by_ppp(protocol)


def _ppp_or_hdlc(layer: Layer, words: Words) -> tuple[Layer, Network]:
    """PPP in HDLC-like framing, or Cisco HDLC in its place (RFC 1547, section 4.3.1)."""
    layer = _room(layer, 4)
    hdlc = np.isin(words.u8(layer.at), HDLC_ADDRESSES)
    if not hdlc.any():
        return _ppp(layer, words)
    return in_order((_ppp(layer.keep(~hdlc), words), _cisco_hdlc(layer.keep(hdlc), words)))


def _cisco_hdlc(layer: Layer, words: Words) -> tuple[Layer, Network]:
    """Cisco HDLC: an address, a control byte that is zero, and an EtherType."""
    layer = _room(layer, 4)
    return _bridged(layer.forward(4), _ether_type(words.u16(layer.at + 2)), words)


def _wireless(layer: Layer, words: Words) -> tuple[Layer, Network]:
    """802.11 data frames; those that are encrypted, or hold several packets, are counted apart."""
    short = layer.at + 24 > layer.end  # an acknowledgement has no more than 10 bytes
    at = np.where(short, 0, layer.at)
    control, flags = words.u8(at), words.u8(at + 1)
    data = ((control & 0x0C) == 8) & ((control & 0x40) == 0)
    quality = (control & 0x80) != 0
    header = 24 + np.where((flags & 3) == 3, 6, 0)
    there = quality & (at + header < layer.end)
    aggregated = there & ((words.u8(np.where(there, at + header, 0)) & 0x80) != 0)
    header += np.where(quality, 2, 0) + np.where(quality & ((flags & 0x80) != 0), 4, 0)
    inside = np.where((flags & 0x40) != 0, ENCRYPTED, np.where(aggregated, AGGREGATED, LLC))
    network = np.where(data, inside, NOTHING)
    network[short] = np.where(layer.end < layer.wire, CUT, NOTHING)[short]
    return layer.forward(header), network.astype(np.uint16)


def _radiotap(layer: Layer, words: Words) -> tuple[Layer, Network]:
    layer = _room(layer, 8)
    length = words.u16(layer.at + 2).byteswap().astype(np.int64)
    return _wireless(layer.forward(length), words)


def _netfilter_log(layer: Layer, words: Words) -> tuple[Layer, Network]:
    """NFLOG: attributes of a length and a type each, one of which is the packet."""
    layer = _room(layer, 8)
    at, at_payload = layer.at + 4, np.zeros(len(layer.row), np.bool_)
    for _ in range(32):
        inside = ~at_payload & (at + 4 <= layer.end)
        safe = np.where(inside, at, layer.at)
        length, kind = (words.u16(safe + offset).byteswap() for offset in (0, 2))
        at_payload |= inside & ((kind & 0x7FFF) == NFLOG_PAYLOAD)
        at = np.where(inside & ~at_payload, at + np.maximum((length.astype(np.int64) + 3) // 4 * 4, 4), at)
    return _raw(Layer(layer.row, at + 4, layer.end, layer.wire).keep(at_payload), words)


def _arcnet(layer: Layer, words: Words) -> tuple[Layer, Network]:
    layer = _room(layer, 8)
    protocol = words.u8(layer.at + 4)
    network = np.where(protocol == 212, IPV4, np.where(protocol == 213, ARP, NOTHING))
    return layer.forward(8), network.astype(np.uint16)


def _always(network: int) -> LinkReader:
    def read(layer: Layer, words: Words) -> tuple[Layer, Network]:  # noqa: ARG001 - as all link readers
        return layer, np.full(len(layer.row), network, np.uint16)

    return read


def gre(layer: Layer, words: Words) -> tuple[Layer, Network]:
    """Return what generic routing encapsulation carries (versions 0 and 1)."""
    layer = _room(layer, 4)
    flags, protocol = words.u16(layer.at), words.u16(layer.at + 2)
    size = 4 + np.where(flags & 0x8000, 4, 0) + np.where(flags & 0x2000, 4, 0) + np.where(flags & 0x1000, 4, 0)
    version_1 = (flags & 7) == 1
    size = size + np.where(version_1 & ((flags & 0x80) != 0), 4, 0)
    network = np.where(((flags & 0x4000) == 0) & np.isin(protocol, GRE_READ), protocol, UNKNOWN_TYPE)
    layer, network = layer.forward(size), network.astype(np.uint16)
    layer, network = _redirected(layer, network, words)
    is_ppp = network == GRE_PPP
    if not is_ppp.any():
        return _bridged(layer, network, words)
    bridged = _bridged(layer.keep(~is_ppp), network[~is_ppp], words)
    return in_order((bridged, _ppp(layer.keep(is_ppp), words)))


def _redirected(layer: Layer, network: Network, words: Words) -> tuple[Layer, Network]:
    """Step over the header that version 2 of WCCP puts before a redirected packet.

    Nothing says which version it is: as in Wireshark, what begins as an IP packet does is one.
    """
    redirected = network == WCCP
    if not redirected.any():
        return layer, network
    layer, network = _inside(layer, network)
    redirected = network == WCCP
    first_byte = words.u8(layer.at)
    packet = ((first_byte >= 0x45) & (first_byte < 0x50)) | (first_byte >> 4 == 6)
    layer = layer.forward(np.where(redirected & ~packet, 4, 0))
    version = _by_version(words.u8(layer.at))
    return layer, np.where(redirected, np.where(version == NOTHING, UNKNOWN_TYPE, version), network).astype(np.uint16)


def vxlan(layer: Layer, words: Words) -> tuple[Layer, Network]:
    """Return what VXLAN carries: an Ethernet frame."""
    layer = _room(layer, 8)
    layer = layer.keep((words.u8(layer.at) & 0x08) != 0).forward(8)
    return _bridged(layer, np.full(len(layer.row), ETHERNET_BRIDGED, np.uint16), words)


def geneve(layer: Layer, words: Words) -> tuple[Layer, Network]:
    """Return what Geneve carries behind its options."""
    layer = _room(layer, 8)
    protocol = words.u16(layer.at + 2)
    network = np.where(np.isin(protocol, (IPV4, IPV6, ETHERNET_BRIDGED, *MPLS)), protocol, UNKNOWN_TYPE)
    options = (words.u8(layer.at) & 0x3F).astype(np.int64) * 4
    return _bridged(layer.forward(8 + options), network.astype(np.uint16), words)


def gtp(layer: Layer, words: Words) -> tuple[Layer, Network]:
    """Return the packets of users in version 1 of the GPRS tunnelling protocol (3GPP TS 29.281)."""
    layer = _room(layer, 8)
    flags = words.u8(layer.at)
    layer = layer.keep(((flags & 0xF0) == 0x30) & (words.u8(layer.at + 1) == GTP_PACKET))
    flags = words.u8(layer.at)
    following = np.where((flags & 4) != 0, words.u8(layer.at + 11), 0)
    layer = layer.forward(np.where((flags & 7) != 0, 12, 8))
    for _ in range(MOST_STEPS):
        extended = (following != 0) & (layer.at < layer.end)
        if not extended.any():
            break
        size = np.where(extended, words.u8(layer.at).astype(np.int64) * 4, 0)
        following = np.where(extended & (size > 0), words.u8(layer.at + np.maximum(size, 1) - 1), following)
        layer = layer.forward(size)
    inside = layer.keep(layer.at < layer.end)
    deep = following[layer.at < layer.end] != 0
    version = _by_version(words.u8(inside.at))
    network = np.where(version == NOTHING, UNKNOWN_TYPE, version)
    # What still is one of STEPS at the end counts as too deep.
    return inside, np.where(deep, LLC, network).astype(np.uint16)


def teredo(layer: Layer, words: Words) -> tuple[Layer, Network]:
    """Return the IPv6 packet in a Teredo one, past its authentication and origin indications."""
    for indicator, size in ((1, None), (0, 8)):
        layer = _room(layer, 8)
        marked = words.u16(layer.at) == indicator
        identity = words.u8(layer.at + 2).astype(np.int64) + words.u8(layer.at + 3)
        layer = layer.forward(np.where(marked, 13 + identity if size is None else size, 0))
    layer = _room(layer, 1)
    version = _by_version(words.u8(layer.at))
    return layer, np.where(version == IPV6, IPV6, NOTHING).astype(np.uint16)


def _bridged(layer: Layer, network: Network, words: Words) -> tuple[Layer, Network]:
    """Step into the Ethernet frames among these, and over tags and labels."""
    bridged = network == ETHERNET_BRIDGED
    inner, kinds = _ethernet(layer.keep(bridged), words)
    layer, network = in_order(((inner, kinds), (layer.keep(~bridged), network[~bridged])))
    return _inside(*ether_types(layer, network, words))


def _inside(layer: Layer, network: Network) -> tuple[Layer, Network]:
    """Return those of which something was captured."""
    inside = layer.at < layer.end
    return layer.keep(inside), network[inside]


LINK_READERS: dict[int, LinkReader] = {
    0: _null,
    1: _ethernet,
    9: _ppp_or_hdlc,
    12: _raw,
    14: _raw,
    50: _ppp_or_hdlc,
    51: _always(PPPOE),
    101: _raw,
    104: _cisco_hdlc,
    105: _wireless,
    108: _null,
    113: _cooked,
    127: _radiotap,
    129: _arcnet,
    228: _always(IPV4),
    229: _always(IPV6),
    239: _netfilter_log,
    242: _fixed(44, 40),
    276: _fixed(20, 0),
}
