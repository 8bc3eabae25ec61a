"""Files of a fleet: however its packets and events are spread over files, each push has the same verdict."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import pytest
from firewall_records import ALLOW, DROP, RECEIVE, SEND, Record, events
from hypothesis import given, settings
from hypothesis import strategies as st
from logs import firewall_log, row
from packets import At, pcap
from scenario import scene

import auditor
from auditor.api.batch import Audited, host_report, merge
from auditor.fleet.summaries import reduction as kept
from auditor.report.fleet_model import NO_EVIDENCE
from auditor.report.model import NOT_APPLICABLE, NOT_OBSERVED

pytestmark = pytest.mark.slow

SERVER, PC, OTHER, POINT, CONTROLLER = "10.0.0.5", "10.0.1.20", "10.0.1.21", "10.0.0.80", "10.0.2.6"
PING = f"0 {SERVER} > {PC}/icmp answered"
OPENING = [PING, f"1 {SERVER}:50000 > {PC}:445/tcp SF", f"2 {SERVER}:50001 > {PC}:135/tcp SF"]
OPEN = [*OPENING, f"3 {SERVER}:50002 > {PC}:49152/tcp SF", f"4 {PC}:50003 > {POINT}:80/tcp SF"]
BLOCKED = [PING, f"1 {SERVER}:50000 > {PC}:445/tcp S0", f"1 {SERVER}:50001 > {PC}:135/tcp SF"]
TO_POINT = f"08:00:09 ALLOW {PC}:51009 > {POINT}:80 - SEND"
ASKED: dict[str, Any] = {"methods": ["client-push"], "mode": "mixed", "roles": {"management-point": POINT}}
NAMED = ASKED | {"roles": {"management-point": POINT, "site-server": SERVER}}

Told = dict[tuple[str | None, ...], tuple[str | None, ...]]


def laid(folder: Path, files: Mapping[str, Sequence[str] | Sequence[At] | bytes]) -> Path:
    """Write files: captures of lines (scenario.py) or packets, logs of rows (logs.py), or bytes."""
    for name, content in files.items():
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(_bytes(name, content))
    return folder


def _bytes(name: str, content: Any) -> bytes:
    if isinstance(content, bytes):
        return content
    if name.endswith(".pcap"):
        return pcap(scene(content) if content and isinstance(content[0], str) else content)
    return firewall_log(*map(row, content))


@pytest.fixture
def audited(tmp_path: Path) -> Callable[..., Audited]:
    """Return how to audit the files of a fleet."""

    def audited(files: Mapping[str, Any], out: str = "out", **more: Any) -> Audited:
        return auditor.batch(laid(tmp_path / "files", files), out=tmp_path / out, workers=0, **{**ASKED, **more})

    return audited


def results(audited: Audited) -> dict[str, str]:
    """Return what the push came to, by the names of the hosts."""
    return {
        "/".join(filter(None, (host.site, host.host))): host.outcome("client-push").result
        for host in audited.report.hosts
    }


def evident(audited: Audited) -> dict[str, str]:
    """Return what the push came to where anything was seen of it."""
    return {name: result for name, result in results(audited).items() if result != NO_EVIDENCE}


def verdicts(audited: Audited) -> Told:
    """Return the verdicts of every push."""
    return {
        (one.requirement, one.source.address, one.destination.address): (one.verdict, one.confidence, one.blocked_at)
        for host in audited.report.hosts
        for one in host.seen
        if one.requirement.startswith("client-push/")
    }


def analyzed(folder: Path, **more: Any) -> tuple[dict[str, str], Told]:
    """Return what `auditor analyze` says of all files together: results by client, and verdicts."""
    paths = sorted(path for path in folder.rglob("*") if path.is_file())
    report = auditor.audit(*paths, dissect=False, **{**ASKED, **more})
    told = {
        (one.id, one.source.address, one.destination.address): (one.verdict, one.confidence, one.blocked_at)
        for client in report.clients
        for one in client.method("client-push").requirements
        if one.verdict not in (NOT_OBSERVED, NOT_APPLICABLE)
    }
    return {client.address: client.method("client-push").result for client in report.clients}, told


# captures in parts, from both ends, of many


def any_pushes() -> st.SearchStrategy[list[str]]:
    """Lines of pushes of one site server to two clients, in which anything may be blocked."""
    how = st.sampled_from(("SF", "SF", "S0", "REJ", "handshake"))
    port = st.sampled_from(("445", "135", "49152", "point"))
    one = st.tuples(st.sampled_from((PC, OTHER)), port, how)

    def line(number: int, client: str, port: str, outcome: str) -> str:
        ends = (
            f"{client}:{40000 + number} > {POINT}:80"
            if port == "point"
            else f"{SERVER}:{number + 40000} > {client}:{port}"
        )
        return f"{5 * number} {ends}/tcp {outcome}"

    return st.lists(one, min_size=2, max_size=8).map(
        lambda drawn: [line(number, *each) for number, each in enumerate(drawn)]
    )


NAMES = st.sampled_from(("a.pcap b.pcap", "b.pcap a.pcap", "z/1.pcap 1.pcap"))


@given(any_pushes(), st.integers(1, 7) | st.floats(0, 1), NAMES, st.booleans())
@settings(max_examples=25, deadline=None)
def test_a_capture_split_anywhere_says_what_it_says_whole(tmp_path_factory, lines, place, names, is_named):
    packets = scene([*lines, f"until {5 * len(lines) + 60}"])
    begins = [number for number, one in enumerate(packets) if one.seconds % 5 == 0]
    cut = begins[place % len(begins)] if isinstance(place, int) else int(place * (len(packets) - 1))
    folder = tmp_path_factory.mktemp("split")
    asked = NAMED if is_named else ASKED
    parts = {name: part for name, part in zip(names.split(), (packets[:cut], packets[cut:]), strict=True) if part}
    split = auditor.batch(laid(folder / "split", parts), out=folder / "out", workers=0, **asked)
    assert (evident(split), verdicts(split)) == analyzed(folder / "split", **asked)
    if packets[cut].seconds % 5:
        return  # of a connection that is cut in two, neither half shows all
    whole = auditor.batch(laid(folder / "whole", {"a.pcap": packets}), out=folder / "one", workers=0, **asked)
    assert evident(split) == evident(whole)
    # Where it was blocked a whole capture may show better: hop counts of several files are not compared.
    assert {at: told[:2] for at, told in verdicts(split).items()} == {
        at: told[:2] for at, told in verdicts(whole).items()
    }


@pytest.mark.parametrize(
    ("first", "second", "blocked"),
    [
        (OPEN[:4], [f"40 {PC}:50003 > {POINT}:80/tcp S0"], "http-management-point"),
        (OPENING, [f"40 {SERVER}:50002 > {PC}:49152/tcp S0"], "rpc-dynamic"),
    ],
)
def test_what_decides_may_be_in_a_part_that_alone_shows_no_push(audited, first, second, blocked):
    found = audited({"push_00001.pcap": [*first, "until 30"], "push_00002.pcap": [*second, "until 90"]})
    assert results(found) == {PC: "fails"}
    assert found.report.hosts[0].outcome("client-push").failed == (f"client-push/{blocked}",)


def test_the_capture_of_a_client_at_which_nothing_arrived_is_evidence_of_the_client(audited, tmp_path):
    at_server = [f"0 {SERVER}:50000 > {PC}:445/tcp S0", f"1 {SERVER}:50001 > {PC}:135/tcp S0", "until 60"]
    at_client = [f"2 {PC}:50009 > {POINT}:80/tcp SF", f"30 {PC}:51009 > 10.0.9.9:8080/tcp SF", "until 60"]
    found = audited({"server.pcap": at_server, "client.pcap": at_client})
    assert (results(found), verdicts(found)) == analyzed(tmp_path / "files")
    assert {one[0].partition("/")[2] for one in verdicts(found)} == {
        "smb",
        "rpc-endpoint-mapper",
        "http-management-point",
    }


def test_a_server_that_responded_to_another_client_is_online_for_this_client_too(audited, tmp_path):
    other = [line.replace(PC, OTHER) for line in OPEN]
    silent = [*OPEN[:4], f"4 {PC}:50003 > {POINT}:80/tcp S0", "until 60"]
    found = audited({f"{PC}.pcap": silent, f"{OTHER}.pcap": other})
    assert (results(found), verdicts(found)) == analyzed(tmp_path / "files")
    assert verdicts(found)["client-push/http-management-point", PC, POINT] == ("blocked", "likely", "unknown")


@pytest.mark.parametrize("roles", [NAMED, ASKED], ids=["named", "not named"])
def test_a_logon_in_a_capture_of_its_own_makes_the_domain_controller_no_client(audited, roles):
    logon = [f"4 {SERVER}:5001{n} > {CONTROLLER}:{port}/tcp {how}" for n, port, how in LOGON]
    found = audited({"push.pcap": [*OPEN, "until 60"], "logon.pcap": [*logon, "until 60"]}, **roles)
    assert evident(found) == {PC: "works"}


LOGON = [(0, 445, "S0"), (1, 88, "SF"), (2, 389, "SF")]


def test_a_capture_of_hundreds_of_clients_is_of_each_of_them(audited):
    clients = [f"10.0.{2 + n // 250}.{n % 250}" for n in range(300)]
    lines = [
        f"{n} {SERVER}:{20000 + n} > {one}:445/tcp {'S0' if n % 100 else 'SF'} once" for n, one in enumerate(clients)
    ]
    found = audited({"site.pcap": [line.replace("SF once", "SF") for line in lines]}, roles={})
    assert sorted(results(found)) == sorted(clients)


def test_where_there_is_no_room_for_all_pairs_what_is_named_and_what_failed_is_kept(audited, monkeypatch):
    monkeypatch.setattr(kept, "MOST_FLOWS", 4)
    times = [f"08:{n:02}:00" for n in range(20)]
    noise = [
        f"{time} ALLOW 10.9.0.{n}:50000 > {PC}:{port} - RECEIVE" for n, time in enumerate(times) for port in (445, 135)
    ]
    drops = [f"09:00:0{n} DROP {SERVER}:50000 > {PC}:{port} S RECEIVE" for n in (0, 1, 3) for port in (445, 135)]
    blocked = audited({"PC20.log": [*noise, *drops]}, host_from="{host}.log")
    assert (results(blocked), blocked.folder.state().incomplete) == ({"PC20": "fails"}, True)
    assert [one for one in blocked.report.limitation_texts if "pairs of computers were left out" in one]
    again = merge(blocked.folder.path, out=blocked.folder.path.with_name("again"), workers=0)
    assert again.folder.state().incomplete

    allowed = [row.replace("DROP", "ALLOW").replace(" S ", " - ") for row in drops]
    named = audited({"PC20.log": [*noise, *allowed]}, "named", host_from="{host}.log", **NAMED)
    assert {one[1] for one in verdicts(named)} == {SERVER}


# events that were forwarded


def pushed(client: str, begin: int, blocked: bool) -> list[Record]:
    """Return what the firewall of a client records of a push."""
    time = 1_700_000_000 + begin
    ports = [(445, DROP if blocked else ALLOW), (135, ALLOW), (49152, ALLOW)]
    return [
        Record(time, ALLOW, RECEIVE, "icmp", SERVER, 0, client, 0),
        *(
            Record(time + n, how, RECEIVE, "tcp", SERVER, 50000 + n, client, port)
            for n, (port, how) in enumerate(ports)
        ),
        Record(time + 9, ALLOW, SEND, "tcp", client, 51000, POINT, 80),
    ]


def test_events_of_many_computers_in_one_file_are_evidence_of_each(audited, tmp_path):
    clients = [f"10.0.1.{20 + n}" for n in range(20)]
    records = {one: pushed(one, 100 * n, blocked=n == 0) for n, one in enumerate(clients)}
    forwarded = b"".join(events(some, f"pc{client}") for client, some in records.items())
    found = audited({"forwarded.json": forwarded})
    assert (results(found), verdicts(found)) == analyzed(tmp_path / "files")
    assert results(found) == dict.fromkeys(clients, "allowed") | {clients[0]: "fails"}

    apart = audited({f"{one}/events.json": events(some, one) for one, some in records.items()}, "apart")
    assert results(apart) == results(found)


# folders and sites


def test_a_capture_in_the_folder_of_the_site_server_is_of_the_client_in_it(audited):
    server = [f"08:00:0{n} ALLOW {SERVER}:5100{n} > 10.0.9.9:3389 - SEND" for n in range(3)]
    files = {
        "SITESRV/push.pcap": [*BLOCKED, "until 60"],
        "SITESRV/pfirewall.log": server,
        "PC20/pfirewall.log": [TO_POINT],
    }
    assert results(audited(files, host_from="{host}/*.*", **NAMED)) == {"PC20": "fails"}


def test_a_capture_of_another_client_in_the_folder_of_a_client_is_not_of_it(audited):
    mirrored = [line.replace(PC, OTHER) for line in BLOCKED]
    files = {"PC20/push.pcap": [*mirrored, "until 60"], "PC20/pfirewall.log": [TO_POINT]}
    found = audited(files, host_from="{host}/*.*", **NAMED)
    assert evident(found) == {OTHER: "fails", "PC20": "unproven"}


@pytest.mark.parametrize("place", ["push.pcap", "LISBON/push.pcap"])
def test_a_capture_of_no_site_counts_at_the_site_of_its_client(audited, place):
    files = {place: [*BLOCKED, "until 60"], "BERLIN/PC20/pfirewall.log": [TO_POINT]}
    found = audited(files, host_from="{site}/{host}/*.log")
    assert results(found) == {"BERLIN/PC20": "fails"}


def test_the_map_names_the_clients_of_a_capture_also_if_it_changes(audited, tmp_path):
    table = tmp_path / "map.csv"
    files = {"push.pcap": [*BLOCKED, "until 60"]}
    for name in ("PC20", "PC99"):
        table.write_text(f"host,site,address\n{name},BERLIN,{PC}\n")
        found = audited(files, host_map=table)
        assert results(found) == {f"BERLIN/{name}": "fails"}
        assert results(merge(tmp_path / "out", out=tmp_path / f"merged {name}", workers=0)) == {
            f"BERLIN/{name}": "fails"
        }


# the next run, and other folders


def test_what_a_removed_file_said_is_in_no_report(audited, tmp_path):
    blocked = [f"07:00:0{n} DROP {SERVER}:50000 > {PC}:445 S RECEIVE" for n in (0, 1, 3)]
    files = {"PC1/pfirewall.log": [TO_POINT], "PC1/pfirewall.log.old": blocked, "PC2/pfirewall.log": [TO_POINT]}
    assert results(audited(files, host_from="{host}/*.log"))["PC1"] == "fails"
    (tmp_path / "files/PC1/pfirewall.log.old").unlink()
    found = results(audited({}, host_from="{host}/*.log"))
    assert "fails" not in found.values()
    assert results(merge(tmp_path / "out", out=tmp_path / "merged", workers=0)) == found
    assert host_report(tmp_path / "out", "PC1").client(PC).method("client-push").result == found["PC1"]


@pytest.mark.skipif(sys.platform != "linux", reason="other systems have no such names")
def test_a_folder_with_a_name_of_any_bytes_can_be_written(audited):
    found = audited({"push.pcap": [*BLOCKED, "until 60"]}, os.fsdecode(b"out\xff"))
    assert results(found) == {PC: "fails"}
    assert host_report(found.folder.path, PC).client(PC).method("client-push").result == "fails"
    assert results(merge(found.folder.path, out=found.folder.path.with_name("merged"), workers=0)) == {PC: "fails"}
