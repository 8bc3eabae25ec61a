"""Real captures: state, originator and packets of every connection are those that Zeek's own tests expect."""

from __future__ import annotations

from collections import Counter

import pytest
from realcaptures import captures, rows, source

UNREAD = "is not looked into here"
FOLDER = "zeek/"

# Zeek's tests (trace and baseline) in which something is not as here, and why. One that agrees fails the tests.
EXCEPTIONS = {
    "core.cisco-fabric-path": f"Cisco FabricPath: {UNREAD}",
    "core.pbb": f"provider backbone bridges: {UNREAD}",
    "core.tunnels.ayiya": f"AYIYA: {UNREAD}; and Zeek turns a flow whose port it knows",
    "core.tunnels.ayiya-large-identity": f"AYIYA: {UNREAD}",
    "core.tunnels.gre-aruba-amsdu": f"802.11 in GRE: {UNREAD}",
    "core.tunnels.gtp.inner_teredo": "Zeek turns a flow whose port it knows",
    "core.tunnels.vxlan-unknown-internal-packet": "Zeek does not count packets with a wrong checksum",
    "core.vntag-in-vlan": f"VN-Tag: {UNREAD}",
    "scripts.base.protocols.dhcp.dhcp-all-msg-types": "Zeek turns a flow whose port it knows",
    "scripts.base.protocols.ftp.gridftp": "Zeek's GridFTP analyzer stops looking",
    "scripts.base.protocols.modbus.modbus_and_non_modbus_on_port_502": "a timer of Zeek's ends a connection early",
    "scripts.base.protocols.pop3.basic": "Zeek begins anew where a refused SYN is sent again",
    "scripts.base.protocols.ssh.half-duplex-client": "a timer of Zeek's ends a connection early",
}
COLUMNS = ("proto", "orig", "orig_port", "resp", "resp_port", "conn_state", "orig_pkts", "resp_pkts")

BASELINES: dict[str, list[dict[str, str]]] = {}
for row in rows("zeek_conn.tsv"):
    BASELINES.setdefault(row["baseline"], []).append(row)
AGREED: Counter[str] = Counter()

pytestmark = pytest.mark.usefixtures("corpus")


def parameters() -> list[object]:
    """Return the baselines; an exception is a failure that is expected, and must happen."""
    return [
        pytest.param(
            baseline,
            marks=[pytest.mark.xfail(reason=EXCEPTIONS[baseline], raises=AssertionError, strict=True)]
            if baseline in EXCEPTIONS
            else [],
        )
        for baseline in sorted(BASELINES)
    ]


def place_of(trace: str) -> str:
    """Return the path of a trace in the corpus; some baselines leave its folder out."""
    names = captures(FOLDER)
    return next(name for name in names if name == FOLDER + trace or name.endswith("/" + trace))


@pytest.mark.parametrize("baseline", parameters())
def test_connections_are_zeeks(baseline):
    expected: Counter[tuple[str, ...]] = Counter()
    ours: Counter[tuple[str, ...]] = Counter()
    for trace in {row["trace"] for row in BASELINES[baseline]}:
        ours += connections(place_of(trace))
    for row in BASELINES[baseline]:
        if row["proto"] in ("tcp", "udp"):
            expected[tuple(row[name] for name in COLUMNS)] += 1
    AGREED["connections"] += (expected & ours).total()
    assert sorted((expected - ours).elements()) == []


def connections(name: str) -> Counter[tuple[str, ...]]:
    table = source(name).flows
    table = table[table["protocol"].isin(["tcp", "udp"]) & (table["frames_src"] + table["frames_dst"] > 0)]
    names = ["protocol", "src_ip", "src_port", "dst_ip", "dst_port", "conn_state", "frames_src", "frames_dst"]
    return Counter(zip(*(table[column].astype(str) for column in names), strict=True))


def test_exceptions_are_tests_of_zeek():
    assert [name for name in EXCEPTIONS if name not in BASELINES] == []


def test_how_much_was_compared(tell):
    total = sum(row["proto"] in ("tcp", "udp") for found in BASELINES.values() for row in found)
    whole = len(BASELINES) - len(EXCEPTIONS)
    tell(f"Zeek agrees in {whole} of {len(BASELINES)} tests: {AGREED['connections']} of {total} connections")
    assert whole > len(EXCEPTIONS)
