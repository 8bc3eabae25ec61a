"""Who sent a reset, the computer that was tried or a device on the path: by hop count and IP identification."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from itertools import count

import pytest
from hypothesis import given
from hypothesis import strategies as st
from packets import TUNNELS, At, echo, pcap, talk, turned, with_hops

import auditor

pytestmark = pytest.mark.slow

SITE_SERVER, CLIENT = "10.0.0.5", "10.0.0.20"
SIX = "[fd00::5]:50000 > [fd00::20]:445"
OTHER_DEVICE, ITSELF, UNKNOWN = "between", "client", "unknown"
OPEN = "S <SA A 5PA <5PA A FA <FA A"

Place = Callable[..., str]


def smb(port: int = 50000) -> str:
    return f"{SITE_SERVER}:{port} > {CLIENT}:445"


def rpc(port: int = 50100) -> str:
    return f"{SITE_SERVER}:{port} > {CLIENT}:135"


def open_port(hops: int, who: str = rpc()) -> list[bytes]:
    """Return a connection with a response; hops: hop count of the responder's packets."""
    return [with_hops(packet, hops) for packet in talk(who, OPEN)]


def reset(hops: int, who: str = smb(), *, ip_id: int = 0) -> list[bytes]:
    """Return a connection that is reset at once."""
    syn, rst = talk(who, "S <RA")
    return [syn, with_hops(rst, hops, ip_id=ip_id)]


@pytest.fixture(scope="module")
def place(write) -> Place:
    """Return where the reset at TCP 445 came from, by the report."""

    def place(packets: Iterable[bytes | At], site_server: str = SITE_SERVER, client: str = CLIENT) -> str:
        roles = {"site-server": site_server, "client": client}
        (audited,) = auditor.audit(write(pcap(packets)), roles=roles, dissect=False).clients
        (one,) = [row for row in audited.method("client-push").requirements if row.row == "smb"]
        assert (one.verdict, one.confidence) == ("refused", "proven")
        return one.blocked_at

    return place


def test_a_reset_with_the_hop_count_of_the_host_is_its_own(place):
    assert place([*open_port(127), *reset(127)]) == ITSELF


def test_a_reset_that_refuses_nothing_does_not_tell_who_sent_the_other(place):
    """It does not acknowledge the SYN."""
    syn, stray, again, refusal = talk(smb(), "S <R S <RA")
    packets = [*open_port(127), syn, with_hops(stray, 63), again, with_hops(refusal, 127)]
    assert place([At(second, packet) for second, packet in enumerate(packets)]) == ITSELF


def test_a_reset_with_another_hop_count_was_sent_by_a_device_on_the_path(place):
    assert place([*open_port(127), *reset(63)]) == OTHER_DEVICE


def test_a_reset_before_the_other_packets_is_compared_with_them_too(place):
    assert place([*reset(63), *open_port(127)]) == OTHER_DEVICE


def test_without_other_packets_of_the_host_the_sender_is_unknown(place):
    assert place([*reset(63), *reset(127, smb(50001))]) == UNKNOWN


@pytest.mark.parametrize(("hops", "told"), [(127, ITSELF), (63, OTHER_DEVICE)])
def test_what_the_host_sends_on_its_own_connections_is_compared_too(hops, told, place):
    assert place([*open_port(127, f"{CLIENT}:50500 > {SITE_SERVER}:80"), *reset(hops)]) == told


def test_packets_to_other_hosts_are_not_compared(place):
    """They may take another path to where the capture was taken."""
    assert place([*open_port(127, "10.0.0.9:50100 > 10.0.0.20:135"), *reset(63)]) == UNKNOWN


def test_a_reset_of_both_kinds_is_unknown(place):
    (syn, rst), (_, other) = reset(127), reset(63)
    assert place([*open_port(127), syn, rst, other]) == UNKNOWN


def test_a_reset_of_the_host_that_tried_is_not_taken_for_that_of_the_other(place):
    own = talk(smb(), "S R")[1]
    assert place([*open_port(127), *reset(127), with_hops(own, 63)]) == ITSELF


def test_hop_limits_of_ipv6(place):
    packets = [*open_port(63, SIX.replace(":445", ":135")), *reset(60, SIX)]
    assert place(packets, "fd00::5", "fd00::20") == OTHER_DEVICE


def test_in_a_tunnel_the_inner_hop_count_is_that_of_the_host(place):
    packets = [with_hops(TUNNELS["GRE"](packet), 255 - number) for number, packet in enumerate(open_port(127))]
    assert place([*packets, *map(TUNNELS["GRE"], reset(127))]) == ITSELF


# on both sides of a router


def twice(packet: bytes) -> list[bytes]:
    """Return a packet as it comes to a router and as it leaves it."""
    hops = packet[8]
    return [packet, with_hops(packet, hops - 1, ip_id=int.from_bytes(packet[4:6]))]


def test_a_reset_of_the_host_is_on_both_sides_of_a_router_like_its_other_packets(place):
    assert place(look for packet in (*open_port(64), *reset(64)) for look in twice(packet)) == ITSELF


def test_a_reset_of_the_router_itself_is_not_taken_for_that_of_the_host(place):
    packets = [look for packet in open_port(64) for look in twice(packet)]
    assert place([*packets, *reset(64)]) == UNKNOWN


# pings only: a host may send echo replies with another first hop count than TCP packets


@pytest.mark.parametrize(
    ("ping", "rst", "told"),
    [(127, 127, ITSELF), (127, 64, OTHER_DEVICE), (126, 62, UNKNOWN), (254, 127, UNKNOWN), (254, 126, OTHER_DEVICE)],
)
def test_where_only_pings_have_a_response_the_distance_tells(ping, rst, told, place):
    who = f"{SITE_SERVER} > {CLIENT}"
    pings = [echo(who), with_hops(echo(turned(who), reply=True), ping)]
    assert place([*pings, *reset(rst)]) == told


# identifications of a host that counts its packets


def counted(numbers: Iterable[int]) -> list[bytes]:
    """Return open connections in which the client's packets have these identifications."""
    left, packets, port = list(numbers), [], 50100
    while left:
        for packet in talk(rpc(port), OPEN):
            from_client = packet[12:16] == bytes([10, 0, 0, 20])
            packets.append(with_hops(packet, 127, ip_id=left.pop(0) if from_client and left else 0))
            if from_client and not left:
                break
        port += 1
    return packets


COUNTED = range(510, 580, 10)


@pytest.mark.parametrize(
    ("number", "told"), [(0x0300, ITSELF), (600, ITSELF), (40_000, UNKNOWN), (100, UNKNOWN), (0, ITSELF)]
)
def test_a_reset_whose_number_does_not_fit_the_count_of_the_host_may_be_sent_by_another(number, told, place):
    assert place([*counted(COUNTED), *reset(127, ip_id=number)]) == told


@given(st.integers(0, 65_535), st.lists(st.integers(1, 2_000), min_size=7, max_size=12), st.integers(2_001, 60_000))
def test_the_count_may_begin_anywhere_and_goes_on_after_65535(place, begin, steps, beyond):
    numbers = [(begin + sum(steps[:index])) % 65_536 for index in range(len(steps))]
    following, other = ((numbers[-1] + more) % 65_536 for more in (steps[-1], beyond))
    assert place([*counted(numbers), *reset(127, ip_id=following)]) == ITSELF
    assert place([*counted(numbers), *reset(127, ip_id=other)]) == (UNKNOWN if other else ITSELF)


@pytest.mark.parametrize("numbers", [[0] * 8, [5, 40_000, 17, 61_000, 333, 28_000]], ids=["zero", "random"])
def test_the_numbers_of_a_host_that_does_not_count_say_nothing(numbers, place):
    assert place([*counted(numbers), *reset(127, ip_id=40_000)]) == ITSELF


def test_a_reset_before_the_packets_of_the_host_has_to_fit_their_count_too(place):
    assert place([*reset(127, ip_id=500), *counted(COUNTED)]) == ITSELF
    assert place([*reset(127, ip_id=40_000), *counted(COUNTED)]) == UNKNOWN


def test_packets_of_connections_at_once_are_in_one_count(place):
    at_once = zip(*(talk(rpc(port), OPEN) for port in range(50100, 50104)), strict=True)
    numbers = count(510, 900)
    packets = [
        with_hops(packet, 127, ip_id=next(numbers) if packet[12:16] == bytes([10, 0, 0, 20]) else 0)
        for together in at_once
        for packet in together
    ]
    following = next(numbers)
    assert place([*packets, *reset(127, ip_id=following)]) == ITSELF
    assert place([*packets, *reset(127, ip_id=following + 4 * 900)]) == UNKNOWN


def test_a_packet_that_a_router_shows_twice_is_counted_once(place):
    packets = [look for packet in counted(COUNTED) for look in twice(packet)]
    resets = [look for packet in reset(127, ip_id=40_000) for look in twice(packet)]
    assert place([*packets, *resets]) == UNKNOWN


def test_a_reset_with_another_hop_count_is_sent_by_another_whatever_its_number(place):
    assert place([*counted(COUNTED), *reset(63, ip_id=590)]) == OTHER_DEVICE
