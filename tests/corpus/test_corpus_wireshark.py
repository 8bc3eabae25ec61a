"""Real captures: every flow is a stream of Wireshark, with the same frames, flags and number.

Written against Wireshark 4.0; newer ones may look into more.
"""

from __future__ import annotations

import os
import shutil
from collections import Counter
from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor

import pytest
import wireshark
from realcaptures import FOLDER, captures, source
from wireshark import Dissection

UNREAD = "is not looked into here"
GUESSED = "Wireshark takes it for another variant of pcap"
ANNOUNCED = "Wireshark begins a stream where SNMP or SDP announced one"

TSHARK = shutil.which("tshark")
IS_NEWER = TSHARK is not None and wireshark.newer_streams(TSHARK)
# Captures in which something is not as in Wireshark: what, and why. One that is like in Wireshark 4.0 fails the tests.
EXCEPTIONS = {
    "large/pcaps__xscan_capture.pcap": ("udp", ANNOUNCED),
    "malformed/libpcap__linktype-reserved-field-not-zero.pcap": ("end", "Wireshark refuses the odd header"),
    "malformed/nDPI__fuzz-2006-06-26-2594.pcap": ("udp", ANNOUNCED),
    "malformed/nDPI__fuzz-2021-10-13.pcap": (
        "frames",
        "version 2.0 of pcap has its two lengths the other way round",
    ),
    "malformed/suricata-verify__fuzz.pcap": ("tcp frames", GUESSED),
    "malformed/tcpdump__brcm-tag.pcap": ("frames end", "Wireshark refuses a link type that it does not know"),
    "tunnels_fragments/Malcolm-Test-Artifacts__Tunnels.pcap": ("tcp", f"AYIYA: {UNREAD}"),
    "tunnels_fragments/libpcap__AH-IPcomp-IPv4.pcap": ("tcp", f"compressed payload: {UNREAD}"),
    "tunnels_fragments/zeek__ayiya3.pcap": ("tcp", f"AYIYA: {UNREAD}"),
    "tunnels_fragments/zeek__gre-aruba.pcap": ("tcp", f"802.11 in GRE: {UNREAD}"),
    "zeek/cisco-fabric-path.pcap": ("tcp udp" if IS_NEWER else "tcp", f"Cisco FabricPath: {UNREAD}"),
    "zeek/pbb.pcap": ("tcp", f"provider backbone bridges: {UNREAD}"),
    "zeek/tunnels/ayiya-large-identity.pcap": ("udp", f"AYIYA: {UNREAD}"),
    "zeek/tunnels/ayiya3.pcap": ("tcp", f"AYIYA: {UNREAD}"),
    "zeek/tunnels/gre-aruba-amsdu.pcap": ("tcp", f"802.11 in GRE: {UNREAD}"),
    "zeek/vntag_vlan_sandwich_clean.pcap": ("tcp", f"VN-Tag: {UNREAD}"),
}
# Captures in which tshark 4.4 and later number TCP streams otherwise: a SYN after a reset begins another stream.
NEWER_STREAMS = (
    "blocked/Malcolm-Test-Artifacts__backscatter.trace",
    "blocked/mercury__capture2.pcap",
    "blocked/pcaps__gnutella.pcap",
    "dcerpc/Pcaps__mimikatz_rpc.pcap.gz",
    "http_tls/nDPI__tls_multiple_synack_different_seq.pcapng",
    "large/pcaps__xscan_capture.pcap",
    "zeek/pop3/pop3.pcap",
)
CAPTURES = captures()
AGREED: Counter[str] = Counter()

pytestmark = pytest.mark.usefixtures("corpus", "tshark")


def each(what: str) -> list[object]:
    """Return the captures as parameters; an exception is a failure that is expected, and must happen."""
    result = []
    for name in CAPTURES:
        where, why = EXCEPTIONS.get(name, ("", ""))
        expected = pytest.mark.xfail(reason=why, raises=AssertionError, strict=not IS_NEWER)
        result.append(pytest.param(name, marks=[expected] if what in where.split() else [], id=name))
    return result


@pytest.fixture(scope="module")
def dissections(request: pytest.FixtureRequest, tshark: str) -> Iterator[dict[str, Future[Dissection]]]:
    """Run tshark over the captures that this run is about, ahead of the tests."""
    parameters = (getattr(item, "callspec", None) for item in request.session.items if item.path == request.path)
    names = dict.fromkeys(one.params["name"] for one in parameters if one is not None and "name" in one.params)
    with ThreadPoolExecutor(os.cpu_count()) as pool:
        yield {name: pool.submit(wireshark.dissect, tshark, FOLDER / name) for name in names}
        pool.shutdown(cancel_futures=True)


@pytest.mark.parametrize("name", each("tcp"))
def test_tcp_flows_are_wiresharks_streams(name, dissections):
    if name in NEWER_STREAMS and IS_NEWER:
        pytest.skip("tshark 4.4 and later number these streams by another rule; the flow table follows 4.0")
    compare("tcp", name, dissections[name].result())


@pytest.mark.parametrize("name", each("udp"))
def test_udp_flows_are_wiresharks_streams(name, dissections):
    compare("udp", name, dissections[name].result())


def compare(protocol: str, name: str, theirs: Dissection) -> None:
    mine = {key: stream for key, stream in wireshark.ours(source(name).flows).items() if key[0] == protocol}
    other = {key: stream for key, stream in theirs.streams.items() if key[0] == protocol}
    assert wireshark.differences(mine, other) == []
    AGREED.update({f"{protocol} streams": len(other), f"captures with {protocol}": bool(other)})


@pytest.mark.parametrize("name", each("frames"))
def test_as_many_frames_are_read_as_wireshark_reads(name, dissections):
    assert source(name).records == dissections[name].result().frames


@pytest.mark.parametrize("name", each("end"))
def test_a_capture_is_told_to_be_short_where_wireshark_tells_it(name, dissections):
    assert bool(source(name).skipped) == (not dissections[name].result().complete)


def test_exceptions_are_captures_of_the_corpus():
    assert [name for name in EXCEPTIONS if name not in CAPTURES] == []


def test_how_much_was_compared(tell):
    tell(f"Wireshark agrees on {len(CAPTURES) - len(EXCEPTIONS)} of {len(CAPTURES)} captures: {dict(AGREED)}")
    assert len(EXCEPTIONS) * 10 < len(CAPTURES)
