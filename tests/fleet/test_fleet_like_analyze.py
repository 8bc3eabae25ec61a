"""Differential test: `auditor batch` fails the pushes that `auditor analyze` of the same files fails, and no others."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

import pytest
from logs import firewall_log, row
from packets import pcap
from scenario import scene

import auditor
from auditor.api.batch import batch, host_report
from auditor.report import model as r
from auditor.report.fleet_model import FleetReport

pytestmark = pytest.mark.slow

SERVER, SECOND, POINT = "10.0.0.5", "10.0.0.6", "10.0.0.80"
CLIENT, OTHER = "10.0.1.20", "10.0.1.21"
METHOD = "client-push"
Files = dict[str, list[str]]


class Failure(NamedTuple):
    """A requirement that makes a push fail: its ends, its name, and what it comes to."""

    source: str | None
    destination: str | None
    requirement: str
    verdict: str
    blocked_at: str | None


def good(server: str, client: str, at: int = 0, port: int = 52000) -> list[str]:
    """Return the lines of a push at which all is open."""
    return [
        f"{at} {server} > {client}/icmp answered",
        *(f"{at + n} {server}:{port + n} > {client}:{to}/tcp SF" for n, to in ((1, 445), (2, 135), (3, 49152))),
        f"{at + 4} {client}:{port + 4} > {POINT}:80/tcp SF",
    ]


def let_in(server: str, client: str, time: str = "08:00") -> list[str]:
    """Return the rows of a push that the firewall of the client lets through."""
    ports = enumerate((445, 135, 49152))
    return [
        f"{time}:00 ALLOW {server} > {client} - RECEIVE",
        *(f"{time}:0{n} ALLOW {server}:5200{n} > {client}:{port} - RECEIVE" for n, port in ports),
        f"{time}:09 ALLOW {client}:52009 > {POINT}:80 - SEND",
    ]


def dropped(server: str, client: str, port: int = 445, time: str = "08:00", path: str = "RECEIVE") -> list[str]:
    return [f"{time}:0{n} DROP {server}:50{port} > {client}:{port} S {path}" for n in (0, 1, 3)]


def blocked(server: str, client: str, at: int = 0) -> list[str]:
    """Return the lines of a push to an online computer of which TCP 445 has no response."""
    return [
        f"{at} {server} > {client}/icmp answered",
        f"{at + 1} {server}:50445 > {client}:445/tcp S0",
        f"{at + 1} {server}:50135 > {client}:135/tcp SF",
    ]


def blocked_twice(server: str, client: str, at: int) -> list[str]:
    """Return the lines of a push to a computer that responds to nothing."""
    return [
        f"{at} {server} > {client}/icmp silent",
        *(f"{at + 1} {server}:50{port} > {client}:{port}/tcp S0" for port in (445, 135)),
    ]


def silent(server: str, client: str, at: int = 0) -> list[str]:
    """Return the lines of a push of which TCP 445 alone is tried, without a response of a computer that is online."""
    return [f"{at} {server}:50445 > {client}:445/tcp S0", f"{at + 1} 10.0.9.9:50001 > {client}:3389/tcp SF"]


def written(folder: Path, files: Files) -> Path:
    """Write captures (`.pcap`) and firewall logs, and return their folder."""
    for name, lines in files.items():
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        is_capture = path.suffix == ".pcap"
        path.write_bytes(pcap(scene([*lines, "until 400"])) if is_capture else firewall_log(*map(row, lines)))
    return folder


def known(**roles: Any) -> dict[str, Any]:
    named = {role.replace("_", "-"): one for role, one in roles.items()}
    return {"roles": {"management-point": POINT} | named, "mode": "mixed", "methods": [METHOD]}


def analyzed(folder: Path, **more: Any) -> set[Failure]:
    """Return what makes a push fail in the analysis of all files."""
    paths = sorted(path for path in folder.rglob("*") if path.is_file())
    report = auditor.audit(*paths, dissect=False, **known(**more))
    methods = [one for client in report.clients for one in client.methods if one.id == METHOD and one.result == r.FAILS]
    return {_failure(one) for method in methods for one in method.requirements if one.verdict in r.FAILING}


def audited(folder: Path, out: Path, host_from: str | None = None, **more: Any) -> FleetReport:
    return batch(folder, out=out, workers=0, host_from=host_from, **known(**more)).report


def failing(report: FleetReport) -> set[Failure]:
    """Return what makes a push fail in the report of a fleet."""
    return {_failure(one) for one in _blamed(report)}


def _blamed(report: FleetReport) -> Iterator[Any]:
    for host in report.hosts:
        push = host.outcome(METHOD)
        if push.result == r.FAILS:
            yield from (one for one in host.seen if one.verdict in r.FAILING and one.requirement in push.failed)


def _failure(one: Any) -> Failure:
    name = getattr(one, "id", "") or one.requirement
    return Failure(one.source.address, one.destination.address, name, one.verdict, one.blocked_at)


SCENES: dict[str, Files] = {
    "one port beside a likely push of another site server": {
        "bad.pcap": silent(SECOND, CLIENT),
        "good.pcap": good(SERVER, OTHER),
    },
    "one port in a log beside a likely push of another site server": {
        "PC1/pfirewall.log": dropped(SECOND, CLIENT),
        "PC2/pfirewall.log": let_in(SERVER, OTHER),
    },
    "one port beside a push of another site server to the same computer": {
        "one.pcap": [*good(SERVER, CLIENT), *silent(SECOND, CLIENT, 60)],
    },
    "two site servers, each blocked at another port": {
        "PC1/pfirewall.log": [
            *dropped(SERVER, CLIENT),
            f"08:00:05 ALLOW {SERVER}:50001 > {CLIENT}:135 - RECEIVE",
            f"09:00:00 ALLOW {SECOND}:50001 > {CLIENT}:445 - RECEIVE",
            *dropped(SECOND, CLIENT, 135, "09:00"),
        ],
    },
    "two site servers, both blocked at one port": {
        "PC1/pfirewall.log": [*dropped(SERVER, CLIENT), *dropped(SECOND, CLIENT, time="09:00")],
    },
    "the log of the site server alone": {
        "SRV/pfirewall.log": [*dropped(SERVER, CLIENT, path="SEND"), *dropped(SERVER, OTHER, path="SEND")],
    },
    "the log of the site server beside that of a computer without the blocked packets": {
        "SRV/pfirewall.log": [
            *dropped(SERVER, CLIENT, path="SEND"),
            f"08:00:05 ALLOW {SERVER}:50001 > {CLIENT}:135 - SEND",
        ],
        "PC1/pfirewall.log": [one for one in let_in(SERVER, CLIENT) if ":445" not in one],
    },
    "the log of the site server beside that of another computer": {
        "SRV/pfirewall.log": dropped(SERVER, CLIENT, path="SEND"),
        "PC2/pfirewall.log": let_in(SERVER, OTHER),
    },
    "port tests of other computers by the site server": {
        "bad.pcap": silent(SERVER, CLIENT),
        **{f"{n}.pcap": [f"{100 + n} {SERVER}:5100{n} > 10.0.1.3{n}:445/tcp handshake"] for n in range(3)},
    },
    "ten blocked pushes and the port test of another computer": {
        **{f"{n}.pcap": blocked_twice(SERVER, f"10.0.1.{60 + n}", n) for n in range(10)},
        "test.pcap": [
            f"50 {SERVER} > 10.0.1.99/icmp answered",
            *(f"51 {SERVER}:55{port} > 10.0.1.99:{port}/tcp handshake" for port in (445, 135)),
        ],
    },
    "a push to the management point": {
        "one.pcap": [*good(SERVER, CLIENT, 60), *blocked(SERVER, POINT)],
    },
    "a push to a second site server": {
        "one.pcap": [*good(SECOND, CLIENT, 60), *blocked(SERVER, SECOND)],
    },
    "a computer that is off": {"one.pcap": [f"{n} 10.0.1.5 asks {CLIENT}" for n in range(5)]},
}


@pytest.mark.parametrize("named", [False, True], ids=["inferred", "named"])
@pytest.mark.parametrize("files", SCENES.values(), ids=SCENES)
def test_what_batch_says_of_a_push_is_what_analyze_says(files, named, tmp_path):
    folder = written(tmp_path / "sources", files)
    roles = {"site_server": (SERVER, SECOND, "10.0.1.5")} if named else {}
    expected = analyzed(folder, **roles)
    assert failing(audited(folder, tmp_path / "out", **roles)) == expected != set()


def test_a_push_to_one_address_of_a_computer_does_not_hide_that_of_another_site_server(tmp_path):
    """The latest push of each site server counts."""
    log = [*dropped(SERVER, CLIENT), *let_in(SECOND, "10.0.2.20", "09:00")]
    folder = written(tmp_path / "sources", {"PC1/pfirewall.log": log})
    roles = {"site_server": (SERVER, SECOND)}
    report = audited(folder, tmp_path / "out", "{host}/*.log", **roles)
    assert failing(report) == analyzed(folder, **roles) != set()
    assert [host.addresses for host in report.hosts] == [(CLIENT, "10.0.2.20")]


def test_a_later_push_of_the_same_site_server_counts_at_another_address_too(tmp_path):
    log = [*dropped(SERVER, CLIENT), *let_in(SERVER, "10.0.2.20", "09:00")]
    folder = written(tmp_path / "sources", {"PC1/pfirewall.log": log})
    (host,) = audited(folder, tmp_path / "out", "{host}/*.log", site_server=SERVER).hosts
    assert (host.addresses[0], host.outcome(METHOD).result) == ("10.0.2.20", "allowed")


def test_a_computer_is_helped_when_all_of_its_site_servers_are_let_in(tmp_path):
    """It counts once among those for which a requirement fails, whatever the number of its site servers."""
    log = [*dropped(SERVER, CLIENT), *dropped(SECOND, CLIENT, time="09:00")]
    report = audited(written(tmp_path / "sources", {"PC1/pfirewall.log": log}), tmp_path / "out")
    (requirement,), (change,) = report.requirements, report.changes
    assert (requirement.hosts, requirement.proven, change.helps, change.remaining) == (1, 1, 1, 0)
    assert f"({SERVER}, {SECOND})" in change.remedy


def test_a_port_that_is_open_from_one_site_server_is_no_failed_step_for_another(tmp_path):
    files = SCENES["two site servers, each blocked at another port"]
    report = audited(written(tmp_path / "sources", files), tmp_path / "out")
    assert {one.verdict for one in report.requirements} == {"blocked"}
    assert (report.causes, len(report.changes)) == ((), 1)


# who counts as a computer


def computers(report: FleetReport) -> dict[str, str]:
    return {host.host: host.outcome(METHOD).result for host in report.hosts}


def test_a_computer_of_which_only_the_log_of_its_site_server_is_known_is_one_of_the_fleet(tmp_path):
    log = [*dropped(SERVER, CLIENT, path="SEND"), f"08:00:00 ALLOW {SERVER}:50001 > {OTHER}:445 - SEND"]
    folder = written(tmp_path / "sources", {"SRV/pfirewall.log": log})
    report = audited(folder, tmp_path / "out", site_server=SERVER)
    assert computers(report) == {CLIENT: "fails", OTHER: "unproven"}
    assert [Path(one).parent.name for one in report.hosts[0].files] == ["SRV"]
    assert f"{SERVER} is the site server. It is not counted as a client." in report.limitation_texts


def test_the_report_on_such_a_computer_is_that_of_analyze(tmp_path):
    log = dropped(SERVER, CLIENT, path="SEND")
    folder = written(tmp_path / "sources", {"SRV/pfirewall.log": log, "PC2/pfirewall.log": let_in(SERVER, OTHER)})
    audited(folder, tmp_path / "out", site_server=SERVER)
    method = host_report(tmp_path / "out", CLIENT).client(CLIENT).method(METHOD)
    assert {_failure(one) for one in method.requirements if one.verdict in r.FAILING} == analyzed(folder)


def test_what_a_client_uses_is_no_computer_of_the_fleet(tmp_path):
    """It reads from a server, and prints."""
    reads = [f"08:01:00 ALLOW {CLIENT}:51000 > 10.0.9.1:445 - SEND"]
    prints = [f"08:02:0{n} ALLOW {CLIENT}:5200{n} > 10.0.9.2:{port} - SEND" for n, port in enumerate((445, 135))]
    files = {"PC1/pfirewall.log": [*let_in(SERVER, CLIENT), *reads, *prints]}
    report = audited(written(tmp_path / "sources", files), tmp_path / "out")
    assert computers(report) == {CLIENT: "allowed"}
    assert [one.address for one in report.roles if one.role == "site-server"] == [SERVER]


def test_what_a_computer_uses_that_is_not_pushed_is_none_unless_a_push_to_it_fails(tmp_path):
    prints = [f"08:02:0{n} ALLOW {CLIENT}:5200{n} > 10.0.9.2:{port} - SEND" for n, port in enumerate((445, 135))]
    files = {"PC1/pfirewall.log": prints, "PC2/pfirewall.log": let_in(SERVER, OTHER)}
    report = audited(written(tmp_path / "sources", files), tmp_path / "out")
    assert computers(report) == {CLIENT: "no-evidence", OTHER: "allowed"}
    assert [one.address for one in report.roles if one.role == "site-server"] == [SERVER]


def test_a_server_counts_as_a_computer_only_if_the_push_to_it_fails(tmp_path):
    for smb, expected in (("SF", {CLIENT: "works"}), ("S0", {CLIENT: "works", POINT: "fails"})):
        lines = [line.replace("S0", smb) for line in blocked(SERVER, POINT)]
        folder = written(tmp_path / smb, {"one.pcap": [*good(SERVER, CLIENT, 60), *lines]})
        report = audited(folder, tmp_path / f"out-{smb}")
        assert computers(report) == expected
        (told,) = [one for one in report.limitation_texts if one.startswith(f"{POINT} is the management point. ")]
        assert ("It is counted as a client" in told) == (POINT in expected)
        assert ("It is not counted as a client" in told) == (POINT not in expected)


def test_a_computer_in_a_network_of_site_servers_that_is_pushed_stays_a_computer(tmp_path):
    """It reads from another one, after a ping."""
    reads = [f"89 {CLIENT} > {OTHER}/icmp answered", f"90 {CLIENT}:50003 > {OTHER}:445/tcp SF"]
    folder = written(tmp_path / "sources", {"one.pcap": [*blocked(SERVER, CLIENT), *reads]})
    roles = {"site_server": "10.0.0.0/16"}
    report = audited(folder, tmp_path / "out", **roles)
    assert failing(report) == analyzed(folder, **roles) != set()
    assert computers(report) == {CLIENT: "fails", OTHER: "unproven"}
    assert [(one.address, one.how) for one in report.roles if one.role == "site-server"] == [
        (SERVER, "given"),
        (CLIENT, "inferred"),
    ]


def test_the_site_server_of_a_computer_that_is_off_is_known(tmp_path):
    folder = written(tmp_path / "sources", SCENES["a computer that is off"])
    report = audited(folder, tmp_path / "out")
    assert not [one for one in report.limitation_texts if "No site server is known" in one]
    assert [one.address for one in report.roles if one.role == "site-server"] == ["10.0.1.5"]


def test_a_host_that_another_capture_shows_as_a_domain_controller_is_no_client(tmp_path):
    """One capture alone may hold a push to it, of which the web port of the management point does not respond."""
    one = [f"0 {SERVER}:50000 > {OTHER}:445/tcp SF", f"3 {OTHER}:50001 > {POINT}:80/tcp S0"]
    logon = [f"9 {SERVER}:5100{n} > {OTHER}:{port}/tcp SF" for n, port in enumerate((445, 88, 389))]
    folder = written(tmp_path / "sources", {"a.pcap": one, "b.pcap": [*logon, *blocked(SERVER, CLIENT)]})
    report = audited(folder, tmp_path / "out")
    assert failing(report) == analyzed(folder) != set()
    assert computers(report) == {CLIENT: "fails", str(folder / "a.pcap"): "no-evidence"}


def test_the_log_of_a_site_server_without_a_site_counts_for_the_only_site_of_a_computer(tmp_path):
    rest = [one for one in let_in(SERVER, CLIENT) if ":445" not in one]
    files = {"BERLIN/PC1/pfirewall.log": rest, "server.log": dropped(SERVER, CLIENT, path="SEND")}
    folder = written(tmp_path / "sources", files)
    roles = {"site_server": SERVER}
    report = audited(folder, tmp_path / "out", "{site}/{host}/pfirewall.log", **roles)
    assert failing(report) == analyzed(folder, **roles) != set()
    assert [(one.site, one.host) for one in report.hosts] == [("BERLIN", "PC1")]
    (smb,) = [row for row in report.hosts[0].seen if row.requirement == "client-push/smb"]
    assert (smb.blocked_at, smb.device) == ("site-server", SERVER)
