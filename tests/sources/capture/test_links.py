"""Link headers and tunnels: the same conversation is the same flow, whatever it is wrapped in."""

from __future__ import annotations

import struct

import numpy as np
import pytest
import wireshark
from hypothesis import given
from hypothesis import strategies as st
from packets import (
    BEGIN,
    ETHERNET,
    LINKS,
    RAW,
    ROUTERS,
    TUNNELS,
    Link,
    arp,
    authenticated,
    enhanced,
    ethernet,
    extended,
    fragments,
    gre,
    gre_of,
    gtp,
    icmp_error,
    interface,
    ip,
    pcap,
    pcapng,
    talk,
    tcp,
    teredo,
    told,
    turned,
    udp,
    vxlan,
    wifi,
    with_hops,
)

from auditor.sources.read import known_tunnels

pytestmark = pytest.mark.slow

FOUR = "10.0.0.1:50000 > 10.0.0.5:445"
SIX = "[fd00::1]:50000 > [fd00::5]:445"
WORDS = "S <SA A 5PA <7PA FA <FA A"
HOP_BY_HOP, ROUTING, AUTHENTICATION, DESTINATION = 0, 43, 51, 60


def flow(who: str) -> list[str]:
    return [f"{who}/tcp SF answered"]


def inner(source) -> list[str]:
    """Return the flows but those between the ends of the tunnel."""
    return [line for line in told(source.flows) if not line.startswith("192.0.2.")]


@pytest.mark.parametrize("who", [FOUR, SIX], ids=["IPv4", "IPv6"])
@pytest.mark.parametrize("name", LINKS)
def test_every_link_carries_the_same_flow(name, who, read):
    source = read(talk(who, WORDS), LINKS[name])
    assert (told(source.flows), source.warnings) == (flow(who), ())


@pytest.mark.parametrize("who", [FOUR, SIX], ids=["IPv4", "IPv6"])
@pytest.mark.parametrize("name", TUNNELS)
def test_every_tunnel_carries_the_same_flow(name, who, read):
    source = read([TUNNELS[name](packet) for packet in talk(who, WORDS)])
    assert (inner(source), source.warnings) == (flow(who), ())


def test_teredo_carries_ipv6(read):
    assert inner(read([teredo(packet) for packet in talk(SIX, WORDS)])) == flow(SIX)


@pytest.mark.parametrize("who", [FOUR, SIX], ids=["IPv4", "IPv6"])
@pytest.mark.parametrize("bits", ["", "00000102", "80000102", "40000102", "c0000102"])
def test_wccp_carries_packets_with_and_without_its_redirect_header(bits, who, read):
    source = read([gre_of(0x883E, bytes.fromhex(bits) + packet) for packet in talk(who, WORDS)])
    assert (inner(source), source.warnings) == (flow(who), ())


def test_a_gtp_packet_is_read_whichever_end_has_the_port(read):
    packets = [udp("192.0.2.2:2152 > 192.0.2.1:40000", gtp(packet)[28:]) for packet in talk(FOUR, WORDS)]
    assert inner(read(packets)) == flow(FOUR)


@pytest.mark.parametrize(
    "headers",
    [
        [HOP_BY_HOP],
        [ROUTING],
        [DESTINATION],
        [AUTHENTICATION],
        [HOP_BY_HOP, ROUTING, AUTHENTICATION, DESTINATION],
    ],
    ids=str,
)
def test_ipv6_extension_headers_are_stepped_over(headers, read):
    assert told(read([extended(packet, *headers) for packet in talk(SIX, WORDS)]).flows) == flow(SIX)


def test_an_ipv4_authentication_header_is_stepped_over(read):
    assert told(read([authenticated(packet) for packet in talk(FOUR, WORDS)]).flows) == flow(FOUR)


def test_ipsec_encryption_is_told(read):
    source = read([ip("10.0.0.1 > 10.0.0.5", 50, bytes(40))])
    assert [warning.code for warning in source.warnings] == ["ipsec"]


def test_wireshark_sees_the_same_in_every_link_and_tunnel(write, read, tshark):
    """One capture holds them all: an interface for each link type, a client port for each way of wrapping."""
    ways = [link for link in LINKS.values() if link.number not in UNKNOWN_TO_WIRESHARK]
    ways += [Link(ETHERNET.number, lambda p, tunnel=tunnel: ethernet(tunnel(p))) for tunnel in TUNNELS.values()]
    content = pcapng(
        *(interface(link) for link in ways),
        *(
            enhanced(link.wrap(packet), (BEGIN + number) * 1_000_000, interface=number)
            for number, link in enumerate(ways)
            for packet in talk(FOUR.replace("50000", str(50000 + number)), WORDS)
        ),
    )
    theirs = wireshark.dissect(tshark, write(content)).streams
    assert wireshark.differences(wireshark.ours(read(content).flows), theirs) == []


UNKNOWN_TO_WIRESHARK = (12,)  # DLT_RAW of some BSDs; another link type to the others


# what is not looked into is counted


@pytest.mark.parametrize(
    ("content", "what"),
    [
        ([b"\x45" + bytes(10)], "truncated IPv4 header"),
        ([b"\x60" + bytes(10)], "truncated IPv6 header"),
        ([b"\x41" + bytes(30)], "invalid IPv4 header"),
        ([tcp(FOUR)[:30]], "truncated TCP header"),
        ([udp(FOUR)[:24]], "truncated UDP header"),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_headers_that_cannot_be_read_are_told(content, what, read):
    source = read(content, RAW)
    assert what in source.warnings[0].text
    assert (source.records, len(source.flows)) == (1, 0)


def test_a_frame_that_is_neither_ip_nor_arp_is_counted(read):
    source = read([bytes(60)], Link(1, lambda p: ethernet(p, kind=0x88CC)))
    assert source.tally.frames == {"neither IP nor ARP": 1}


def test_tunnels_deeper_than_anyone_builds_are_told(read):
    packet = tcp(FOUR)
    for _ in range(9):
        packet = TUNNELS["IP in IP"](packet)
    assert "too many nested tunnels" in read([packet]).warnings[0].text


def test_padding_behind_a_short_packet_is_no_payload(read):
    source = read([tcp(FOUR)], Link(1, lambda p: ethernet(p) + b"pad" * 6))
    assert source.flows.payload_src.tolist() == [0]


def test_a_packet_that_the_network_card_will_cut_up_has_no_length_yet(read):
    """Segmentation offload: the IPv4 total length is 0, so the packet is as long as its frame."""
    packet = bytearray(tcp(FOUR, "PA", payload=60_000))
    packet[2:4] = b"\0\0"
    assert read([bytes(packet)]).flows.payload_src.tolist() == [60_000]


# encapsulations that are not read

UNREAD_PORTS = known_tunnels().unread.items() - {("IPsec", 4500)}
ROUTED = "192.0.2.1:49999 > 192.0.2.2"
UNREAD = {
    **{name: lambda p, port=port: udp(f"{ROUTED}:{port}", b"\4\0\0\0" + p) for name, port in sorted(UNREAD_PORTS)},
    **{name: lambda p, kind=kind: ip(ROUTERS, kind, p) for kind, name in known_tunnels().ip_protocols.items()},
    "ERSPAN in GRE": lambda p: gre_of(0x88BE, bytes(8) + ethernet(p), flags=0x1000),
    "type 0x8200 in GRE": lambda p: gre_of(0x8200, wifi(p)),
    "type 0x0001 in GRE": lambda p: gre_of(0x0001, p),
    "type 0x0800 in GRE": lambda p: gre(p, flags=0x4000),  # with a route, which nothing sends any more
    "type 0x883e in GRE": lambda p: gre_of(0x883E, bytes(8) + p),
    "type 0x8210 in GRE": lambda p: udp(f"{ROUTED}:4754", bytes.fromhex("00008210") + wifi(p)),
    "network service header in Geneve": lambda p: udp(f"{ROUTED}:6081", bytes.fromhex("0000894f 00000000") + p),
    "GTP-U without IP": lambda p: gtp(ethernet(p)),
    "PPP that is compressed, encrypted, or not IP": lambda p: gre_of(0x880B, b"\0\xfd" + p),
    "MACsec": lambda p: vxlan(p).replace(ethernet(p), ethernet(p, kind=0x88E5)),
}
UNREAD_LINKS = {
    "encrypted 802.11": Link(105, lambda p: wifi(p, control=b"\x08\x41")),
    "aggregated 802.11 (A-MSDU)": Link(105, lambda p: wifi(p, control=b"\x88\x01", more=b"\x80\0")),
    "PPP that is compressed, encrypted, or not IP": Link(9, lambda p: b"\xff\x03\0\xfd" + p),
    **{
        name: Link(1, lambda p, kind=kind: ethernet(p, kind=kind)) for kind, name in known_tunnels().ether_types.items()
    },
}


@pytest.mark.parametrize("name", UNREAD)
def test_a_tunnel_that_is_not_read_is_told(name, read):
    source = read([UNREAD[name](packet) for packet in talk(FOUR, WORDS)])
    assert [(one.code, one.text) for one in source.warnings] == [("tunnel", unread(name))]


@pytest.mark.parametrize("name", UNREAD_LINKS)
def test_a_link_that_is_not_read_is_told(name, read):
    source = read(talk(FOUR, WORDS), UNREAD_LINKS[name])
    assert [(one.code, one.text) for one in source.warnings] == [("tunnel", unread(name))]


def unread(name: str, count: int = len(WORDS.split())) -> str:
    return f"{count} packets of {name}: the flows inside were not analyzed."


def test_of_many_encapsulations_the_most_frequent_are_named(read):
    packets = [gre_of(0x9000 + kind, bytes(9)) for kind in range(12) for _ in range(20 - kind)]
    texts = [one.text for one in read(packets).warnings]
    assert texts[:2] == [unread("type 0x9000 in GRE", 20), unread("type 0x9001 in GRE", 19)]
    assert texts[-1] == "42 packets of 4 other encapsulations: the flows inside were not analyzed."
    assert len(texts) == 9


@pytest.mark.parametrize("kind", sorted(known_tunnels().gre_control))
def test_what_routers_say_to_each_other_in_gre_is_counted_only(kind, read):
    source = read([gre_of(kind, bytes(20))])
    assert (source.tally.frames["GRE without traffic of hosts"], source.warnings) == (1, ())


@pytest.mark.parametrize("port", sorted({**known_tunnels().read, **known_tunnels().unread}.values()))
def test_a_name_server_s_answer_to_the_port_of_a_tunnel_is_no_tunnel(port, read):
    source = read([udp(f"10.0.0.5:53 > 10.0.0.1:{port}", bytes.fromhex("0400 8180") + bytes(20))])
    assert (source.warnings, source.tally.frames) == ((), {})


def test_what_does_not_begin_as_wireguard_does_is_not_taken_for_it(read):
    """Its port is one that Windows gives to any program."""
    assert read([udp("10.0.0.1:51820 > 10.0.0.5:3389", bytes.fromhex("05000000") + bytes(20))]).warnings == ()


@pytest.mark.parametrize(("snap", "count"), [(42, 1), (45, 1), (46, 0)])
def test_what_was_cut_before_it_begins_may_be_wireguard(snap, count, read):
    source = read([udp("10.0.0.1:51820 > 10.0.0.5:3389", bytes.fromhex("05000000") + bytes(20))], snap=snap)
    assert source.tally.unread.total() == count


def test_ipsec_in_udp_is_told_in_both_directions(read):
    who = "10.0.0.1:40000 > 10.0.0.5:4500"
    source = read([udp(who, bytes(20)), udp(turned(who), bytes(20))])
    assert ([one.code for one in source.warnings], source.tally.unread) == (["ipsec"], {"IPsec": 2})


def test_a_capture_of_mostly_other_protocols_is_told(read):
    link = Link(1, lambda p: p if p[12:14] == b"\x88\xcc" else ethernet(p))
    source = read([*(ethernet(bytes(40), kind=0x88CC) for _ in range(3)), tcp(FOUR)], link)
    assert [(one.code, one.text) for one in source.warnings] == [
        ("no-ip", "3 of 4 frames are neither IP nor ARP (EtherType 0x88cc). They were not analyzed.")
    ]


def accounted(source) -> bool:
    """Tell whether something inside a tunnel is a flow, or anything was counted as not read."""
    counted = source.tally.frames.keys() - {"tunnelled", "IP protocol 4", "IP protocol 41", "IP protocol 47"}
    return bool(inner(source) or counted or source.tally.unread or source.details.hidden)


@given(
    ways=st.lists(st.sampled_from([*TUNNELS.values(), *UNREAD.values()]), min_size=1, max_size=7),
    link=st.sampled_from([*LINKS.values(), *UNREAD_LINKS.values()]),
    snap=st.integers(20, 700),
    who=st.sampled_from([FOUR, SIX]),
)
def test_whatever_a_packet_is_wrapped_in_it_is_a_flow_or_counted(ways, link, snap, who, read):
    packet = tcp(who)
    for wrap in ways:
        packet = wrap(packet)
    assert accounted(read([packet], link, snap=snap))


@given(
    wrap=st.sampled_from([*TUNNELS.values(), teredo]),
    change=st.lists(st.tuples(st.integers(0, 80), st.integers(1, 255)), min_size=1, max_size=3),
)
def test_whatever_is_wrong_in_a_tunnel_s_header_its_packet_is_a_flow_or_counted(wrap, change, read):
    packet = tcp(SIX)
    wrapped = bytearray(wrap(packet))
    begin = 28 if wrapped[9] == 17 else 20
    size = len(wrapped) - len(packet) - begin
    for place, bits in change:
        if size:
            wrapped[begin + place % size] ^= bits
    assert accounted(read([bytes(wrapped)]))


# fragments


@pytest.mark.parametrize("who", [FOUR, SIX], ids=["IPv4", "IPv6"])
def test_a_packet_in_fragments_is_one_packet(who, read):
    source = read(fragments(tcp(who, "PA", payload=40)))
    assert source.flows[["frames_src", "payload_src"]].values.tolist() == [[1, 40]]


def test_fragments_may_arrive_in_any_order(read):
    assert len(read(fragments(tcp(FOUR, payload=40))[::-1]).flows) == 1


def test_a_fragmented_packet_stands_where_wireshark_shows_it(read):
    first, *rest = fragments(tcp(FOUR, payload=40), size=24)
    assert read([udp("10.0.0.9:1 > 10.0.0.8:53"), first, *rest]).flows.first_frame.tolist() == [
        1,
        2 + len(rest),
    ]


def test_fragments_of_two_packets_are_kept_apart(read):
    one = fragments(tcp(FOUR, payload=40), number=1)
    other = fragments(tcp(FOUR.replace("50000", "50001"), payload=40), number=2)
    mixed = [piece for pair in zip(one, other, strict=True) for piece in pair]
    assert read(mixed).flows.src_port.tolist() == [50000, 50001]


def test_fragments_of_which_one_is_missing_are_no_packet(read):
    first, *_, last = fragments(tcp(FOUR, payload=40))
    assert len(read([first, last]).flows) == 0


def test_fragments_are_put_together_across_batches(monkeypatch, read):
    from auditor.sources.capture import reader as capture

    pieces = fragments(tcp(FOUR, payload=40))
    monkeypatch.setattr(capture, "WINDOW", 100)
    assert read(pieces).flows.payload_src.tolist() == [40]


def test_a_tunnel_may_be_fragmented_too(read):
    assert inner(read(fragments(TUNNELS["GRE"](tcp(FOUR)), size=24))) == [f"{FOUR}/tcp S0 no-response"]


# what is cut, or deeper than is looked into, is counted


@pytest.mark.parametrize("who", [FOUR, SIX], ids=["IPv4", "IPv6"])
@pytest.mark.parametrize("name", TUNNELS)
def test_in_a_tunnel_a_packet_has_the_hop_count_of_its_own_header(name, who, read):
    source = read([with_hops(TUNNELS[name](with_hops(tcp(who), 127)), 250)])
    (flow,) = np.flatnonzero(source.table.columns["protocol"] == "tcp")
    assert [event.hop_count for event in source.details.events(flow)] == [127]


CUT_AT = LINKS | {
    f"{name} in Ethernet": Link(1, lambda p, wrap=wrap: ethernet(wrap(p))) for name, wrap in TUNNELS.items()
}


@pytest.mark.parametrize("name", CUT_AT)
def test_a_packet_cut_anywhere_is_a_flow_or_told(name, read):
    """By a snap length: no packet may vanish without a word."""
    packet, link = tcp(FOUR, "S"), CUT_AT[name]
    for snap in range(len(link.wrap(packet))):
        source = read([packet], link, snap=snap)
        found = [line for line in told(source.flows) if line.startswith(FOUR)]
        assert found or any(one.code == "unreadable-headers" for one in source.warnings), snap


@pytest.mark.parametrize("label", ["8100 0064", "8847 00010040"])
def test_more_tags_than_are_looked_into_are_told(label, read):
    kind, tag = (bytes.fromhex(part) for part in label.split())
    vlan = len(tag) == 2
    frame = ethernet(tcp(FOUR), before=(kind + tag) * 9) if vlan else ethernet(tag * 9 + tcp(FOUR), kind=0x8847)
    source = read([frame], Link(1))
    assert [one.code for one in source.warnings] == ["unreadable-headers"]
    assert "1 frame skipped: too many VLAN tags or labels" in source.warnings[0].text


@pytest.mark.parametrize("header", [HOP_BY_HOP, ROUTING, DESTINATION])
def test_more_extension_headers_than_are_looked_into_are_told(header, read):
    assert told(read([extended(tcp(SIX), *[header] * 8)]).flows) == [f"{SIX}/tcp S0 no-response"]
    source = read([extended(tcp(SIX), *[header] * 9)])
    assert [one.code for one in source.warnings] == ["unreadable-headers"]
    assert "1 frame skipped: too many IPv6 extension headers" in source.warnings[0].text


def test_an_extension_header_behind_the_fragment_header_is_stepped_over(read):
    pieces = fragments(extended(tcp(SIX), DESTINATION))
    assert told(read(pieces).flows) == [f"{SIX}/tcp S0 no-response"]


def test_more_tunnels_than_are_looked_into_are_told_also_in_udp(read):
    packet = tcp(FOUR)
    for _ in range(6):
        packet = TUNNELS["VXLAN"](packet)
    assert "too many nested tunnels" in " ".join(one.text for one in read([packet]).warnings)


def test_fragments_without_the_others_are_told(read):
    whole = fragments(tcp(FOUR, payload=100))
    source = read([*whole, *fragments(tcp(FOUR, payload=100), number=78)[1:]])
    assert [(one.code, one.text[:2]) for one in source.warnings] == [("lone-fragments", f"{len(whole) - 1} ")]
    assert not read(whole).warnings


def test_an_acknowledgement_on_the_air_is_not_taken_for_a_cut_frame(read):
    source = read([bytes.fromhex("d400 0000 020000000001")], Link(105))
    assert (source.tally.frames, source.warnings) == ({"neither IP nor ARP": 1}, ())


def test_a_frame_whose_length_on_the_wire_was_left_out_is_read(read):
    frame = ethernet(tcp(FOUR))
    record = struct.pack("<IIII", BEGIN, 0, len(frame), 0) + frame
    assert told(read(pcap([]) + record).flows) == [f"{FOUR}/tcp S0 no-response"]


# errors and neighbours behind other links


@pytest.mark.parametrize("name", ["Linux cooked", "VLAN", "raw IP"])
def test_an_icmp_error_is_found_behind_any_link(name, read):
    syn = tcp(FOUR)
    assert told(read([syn, icmp_error("10.0.0.254", 3, 13, quoting=syn)], LINKS[name]).flows) == [
        f"{FOUR}/tcp S0 prohibited"
    ]


@pytest.mark.parametrize("name", ["Ethernet", "VLAN", "Linux cooked", "Linux cooked, second version"])
def test_arp_is_found_behind_any_link(name, read):
    source = read([arp("10.0.0.1 asks 10.0.0.5")], LINKS[name])
    assert [(one.requester, one.target) for one in source.details.asked] == [("10.0.0.1", "10.0.0.5")]
