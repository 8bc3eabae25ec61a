"""Real captures and Windows' own word: what its firewall logged as blocked or let in is what the flows say."""

from __future__ import annotations

import pytest
from packets import told
from realcaptures import captures, rows, source

BLOCKED, LET_IN = "5157", "5156"  # events of the Windows Filtering Platform
FIVE_TUPLE = ("src", "sport", "dst", "dport")

pytestmark = pytest.mark.usefixtures("corpus")


def logged(event: str, direction: str) -> list[object]:
    """Return each flow that a host logged so, in each capture that holds it."""
    flows: dict[tuple[str, ...], None] = {}
    for row in rows("oracle/WFP_TRUTH.tsv"):
        if (row["event_id"], row["direction"]) == (event, direction):
            names = {place.split("#")[0] for place in row["matching_tcp_streams"].split()}
            flows |= {(name, *(row[column] for column in FIVE_TUPLE)): None for name in sorted(names)}
    return [pytest.param(*key, id=f"{key[1]}:{key[2]} > {key[3]}:{key[4]}") for key in flows]


def answers(name: str, src: str, sport: str, dst: str, dport: str) -> list[str]:
    table = source(name).flows
    same = (table["src_ip"] == src) & (table["dst_ip"] == dst) & (table["protocol"] == "tcp")
    return table[same & (table["src_port"] == int(sport)) & (table["dst_port"] == int(dport))]["response"].tolist()


@pytest.mark.parametrize(("name", *FIVE_TUPLE), logged(BLOCKED, "inbound"))
def test_what_the_target_blocked_was_not_answered(name, src, sport, dst, dport):
    assert answers(name, src, sport, dst, dport) == ["no-response"]


@pytest.mark.parametrize(("name", *FIVE_TUPLE), logged(LET_IN, "inbound"))
def test_what_the_target_let_in_was_answered(name, src, sport, dst, dport):
    assert answers(name, src, sport, dst, dport) == ["answered"]


def test_what_the_client_let_out_says_nothing_about_an_answer():
    found = {tuple(answers(*one.values)) for one in logged(LET_IN, "outbound")}
    assert found == {("answered",), ("no-response",)}


# captures of one direction

ONE_SIDED = (
    "blocked/nDPI__tls_1.3_unidirectional_server.pcapng",
    "blocked/suricata-verify__bug-8629-async-oneside__input.pcap",
    "blocked/suricata-verify__http-async-cli__input.pcap",
    "blocked/zeek__ssh.client-side-half-duplex.pcap",
    "http_tls/nDPI__http_asymmetric.pcapng",
)


@pytest.mark.parametrize("name", ONE_SIDED)
def test_a_capture_of_one_direction_shows_nothing_refused_or_unanswered(name):
    wrong = [line for line in told(source(name).flows) if line.split()[-1] in ("refused", "no-response")]
    assert wrong == []


# every capture, by what tshark's flags and counts say of its streams

MEANT = {
    "answered": {"answered"},
    "refused": {"refused"},
    "unanswered": {"no-response", "prohibited", "unreachable"},
    "one_sided": {"one-way"},
    "midstream": {"answered", "mid-stream"},
    "midstream_synack": {"answered"},
}
# SYN with FIN from a scanner, and packets made by chance: nobody can tell a direction that is missing.
MADE_UP = ("blocked/packets__activeosfingerprinting.pcapng", "malformed/", "tunnels_fragments/")


def reset_at_once(name: str) -> set[tuple[str, str]]:
    """Return sender and receiver of SYN-ACKs of which some were reset, with nothing else: somebody forged the SYNs."""
    streams = [row for row in rows(f"oracle/{name}.tcp.tsv") if row["verdict"] == "midstream_synack"]
    only = [row for row in streams if int(row["synack"]) + int(row["rst"]) == int(row["frames"])]
    return {(row["src"], row["dst"]) for row in only if row["rst_from_dst"] != "0"}


def judged() -> list[str]:
    paths = {row["path"] for row in rows("oracle/SUMMARY.tsv") if int(row["tcp_streams"])}
    return [path for path in captures() if path in paths and not path.startswith(MADE_UP)]


@pytest.mark.parametrize("name", judged())
def test_answers_are_those_that_the_flags_and_counts_of_tshark_mean(name):
    table = source(name).flows
    streams = table[(table["protocol"] == "tcp") & table["stream"].notna()].set_index("stream")["response"]
    unasked = reset_at_once(name)

    def meant(row: dict[str, str]) -> set[str]:
        if row["verdict"] == "midstream_synack" and (row["src"], row["dst"]) in unasked:
            return {"mid-stream"}  # an answer to what its receiver, whose packets are there, never asked
        return MEANT.get(row["verdict"], set())

    wrong = [
        f"tcp.stream {row['stream']}: {streams[int(row['stream'])]}, where tshark means {row['verdict']}"
        for row in rows(f"oracle/{name}.tcp.tsv")
        if row["frames"] != "0" and streams[int(row["stream"])] not in meant(row)
    ]
    assert wrong == []
