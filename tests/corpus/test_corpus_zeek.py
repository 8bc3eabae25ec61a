"""Real captures: state, originator and packets of every connection are those that Zeek's own tests expect."""

from __future__ import annotations

from collections import Counter

import pytest
from realcaptures import captures, rows, source

UNREAD = "is not looked into here"
FOLDER = "zeek/"

# Zeek's tests (trace and baseline) in which a connection of Zeek's is not here, and why; one that agrees fails.
MISSING = {
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
# Those in which a flow is here that Zeek does not have: it counts, turns, or divides the same packets in another way.
# In the other tests of MISSING the packets are in a tunnel that is not looked into, so there is no flow of them.
OTHERWISE = (
    "core.cisco-fabric-path",
    "core.tunnels.ayiya",
    "core.tunnels.gtp.inner_teredo",
    "core.tunnels.vxlan-unknown-internal-packet",
    "scripts.base.protocols.dhcp.dhcp-all-msg-types",
    "scripts.base.protocols.ftp.gridftp",
    "scripts.base.protocols.modbus.modbus_and_non_modbus_on_port_502",
    "scripts.base.protocols.pop3.basic",
    "scripts.base.protocols.ssh.half-duplex-client",
)
SURPLUS = {name: MISSING[name] for name in OTHERWISE}
COLUMNS = ("proto", "orig", "orig_port", "resp", "resp_port", "conn_state", "orig_pkts", "resp_pkts")

BASELINES: dict[str, list[dict[str, str]]] = {}
for row in rows("zeek_conn.tsv"):
    BASELINES.setdefault(row["baseline"], []).append(row)
AGREED: Counter[str] = Counter()

pytestmark = pytest.mark.usefixtures("corpus")


def each_baseline(exceptions: dict[str, str]) -> pytest.MarkDecorator:
    """Run a test with every baseline; an exception is a failure that is expected, and must happen."""
    marks = {
        name: [pytest.mark.xfail(reason=why, raises=AssertionError, strict=True)] for name, why in exceptions.items()
    }
    parameters = [pytest.param(name, marks=marks.get(name, [])) for name in sorted(BASELINES)]
    return pytest.mark.parametrize("baseline", parameters)


def place_of(trace: str) -> str:
    """Return the path of a trace in the corpus; some baselines leave its folder out."""
    names = captures(FOLDER)
    return next(name for name in names if name == FOLDER + trace or name.endswith("/" + trace))


@each_baseline(MISSING)
def test_every_connection_of_zeek_is_a_flow(baseline):
    missing = zeeks(baseline) - flows(baseline)
    AGREED["connections"] += zeeks(baseline).total() - missing.total()
    assert sorted(missing.elements()) == []


@each_baseline(SURPLUS)
def test_every_flow_is_a_connection_of_zeek(baseline):
    assert sorted((flows(baseline) - zeeks(baseline)).elements()) == []


def zeeks(baseline: str) -> Counter[tuple[str, ...]]:
    """Return the connections of a baseline of Zeek."""
    found = [row for row in BASELINES[baseline] if row["proto"] in ("tcp", "udp")]
    return Counter(tuple(row[name] for name in COLUMNS) for row in found)


def flows(baseline: str) -> Counter[tuple[str, ...]]:
    """Return the flows of the traces of a baseline of Zeek."""
    traces = sorted({row["trace"] for row in BASELINES[baseline]})
    return sum((connections(place_of(trace)) for trace in traces), Counter())


def connections(name: str) -> Counter[tuple[str, ...]]:
    table = source(name).flows
    table = table[table["protocol"].isin(["tcp", "udp"]) & (table["frames_src"] + table["frames_dst"] > 0)]
    names = ["protocol", "src_ip", "src_port", "dst_ip", "dst_port", "conn_state", "frames_src", "frames_dst"]
    return Counter(zip(*(table[column].astype(str) for column in names), strict=True))


def test_exceptions_are_tests_of_zeek():
    assert [name for name in MISSING if name not in BASELINES] == []


def test_how_much_was_compared(tell):
    total = sum(row["proto"] in ("tcp", "udp") for found in BASELINES.values() for row in found)
    whole = len(BASELINES) - len(MISSING)
    tell(f"Zeek agrees in {whole} of {len(BASELINES)} tests: {AGREED['connections']} of {total} connections")
    assert whole > len(MISSING)
