"""Ports and mode that logs of a fleet state are used, for the host that states them and for its site."""

from __future__ import annotations

from pathlib import Path

import pytest
from fleet_logs import write
from logs import firewall_log, row
from setup_logs import SERVICE, log

from auditor.api.batch import batch, host_report
from auditor.report.fleet_model import FleetReport, HostResult
from auditor.ruleset.ruleset import load_ruleset
from auditor.verdicts.installations.reported_site import custom_ports

REFUSED_URL = (
    "[CCMHTTP] ERROR: URL={}://mp.corp.example{}/ccm_system/request, Port={}, Options=480, Code=12029, "
    "Text=ERROR_WINHTTP_CANNOT_CONNECT"
)


REFUSED_HTTP, REFUSED_HTTPS = REFUSED_URL.format("http", "", 80), REFUSED_URL.format("https", "", 443)


def setup(folder: Path, name: str, port: int = 8080, *, stated: bool = True, scheme: str = "http") -> None:
    setting = {"http": "CCMHTTPPORT", "https": "CCMHTTPSPORT"}[scheme]
    own = log(
        *SERVICE,
        f"[{name}] Running on 'Microsoft Windows 10'",
        *[f"{setting}:    {port}"] * stated,
        REFUSED_URL.format(scheme, f":{port}", port),
    )
    write(folder / name / "ccmsetup.log", own)


def setup_in_mode(folder: Path, name: str, scheme: str, *texts: str) -> None:
    location = f"Sending location request to '{scheme}://mp.corp.example' with payload ''"
    write(folder / name / "ccmsetup.log", log(*SERVICE, f"[{name}] Running on 'Windows'", location, *texts))


def fleet(folder: Path, **known: object) -> FleetReport:
    return batch(folder / "logs", out=folder / "out", workers=0, **known).report  # type: ignore[arg-type]


def ports(host: HostResult) -> dict[str, tuple[int, ...]]:
    return {
        row.requirement: row.ports
        for row in host.seen
        if row.requirement.startswith("client-push/http") and row.verdict == "failed"
    }


def push_result(folder: Path, name: str) -> str:
    """Return the result of client push in the report on one host."""
    (client,) = host_report(folder / "out", name).clients
    return client.methods[0].result


def notes(report: FleetReport) -> list[str]:
    return [note.text for note in report.limitations if note.code == "stated-by-logs"]


HTTP = "client-push/http-management-point"
BLOCKED_POINT = "08:00:00 DROP 10.0.0.20:50000 > 10.0.0.80:80 S SEND"


def test_a_port_that_a_log_states_is_that_of_its_host(tmp_path):
    setup(tmp_path / "logs", "PC1")
    report = fleet(tmp_path)
    assert ports(report.hosts[0]) == {HTTP: (8080,)}
    (note,) = notes(report)
    assert "8080" in note
    assert "ccmsetup.log line 5" in note


def test_a_port_that_the_user_set_has_priority(tmp_path):
    setup(tmp_path / "logs", "PC1")
    report = fleet(tmp_path, ports={"http": 8888})
    assert ports(report.hosts[0]) == {HTTP: (8888,)}
    assert notes(report) == []


def test_logs_that_disagree_count_for_their_own_host_and_are_said_once(tmp_path):
    for name, port in (("PC1", 8080), ("PC2", 8080), ("PC3", 8081)):
        setup(tmp_path / "logs", name, port)
    report = fleet(tmp_path)
    assert [ports(host) for host in report.hosts] == [{HTTP: (8080,)}, {HTTP: (8080,)}, {HTTP: (8081,)}]
    (note,) = notes(report)
    assert "8080 (2 computers, such as PC1" in note


def test_a_host_whose_log_states_no_port_has_that_of_its_site(tmp_path):
    setup(tmp_path / "logs", "PC1")
    setup(tmp_path / "logs", "PC2", stated=False)
    report = fleet(tmp_path)
    assert [ports(host) for host in report.hosts] == [{HTTP: (8080,)}] * 2
    (client,) = host_report(tmp_path / "out", "PC2").clients
    rows = {row.id: row.ports for method in client.methods for row in method.requirements}
    assert rows[HTTP] == (8080,)


@pytest.mark.parametrize("port", [0, 99999, 445])
def test_a_port_that_cannot_be_stops_nothing(tmp_path, port):
    setup(tmp_path / "logs", "PC1", port)
    setup(tmp_path / "logs", "PC2", stated=False)
    assert [host.host for host in fleet(tmp_path).hosts] == ["PC1", "PC2"]


def test_a_port_that_cannot_be_drops_no_other():
    stated = {"http": 99999, "https": 8443}
    assert custom_ports(stated, load_ruleset("configmgr-2007")) == {"https": 8443}


def test_a_mode_that_a_log_states_is_that_of_its_host(tmp_path):
    setup_in_mode(tmp_path / "logs", "PC1", "https", REFUSED_HTTPS)
    (host,) = fleet(tmp_path).hosts
    assert ports(host) == {"client-push/https-management-point": (443,)}


def test_two_modes_that_logs_state_are_said_once_and_count_for_their_hosts(tmp_path):
    setup_in_mode(tmp_path / "logs", "PC1", "https", REFUSED_HTTPS)
    setup_in_mode(tmp_path / "logs", "PC2", "http", REFUSED_HTTP)
    report = fleet(tmp_path)
    assert [list(ports(host)) for host in report.hosts] == [["client-push/https-management-point"], [HTTP]]
    (note,) = notes(report)
    assert "mode" in note


def test_the_report_on_a_host_is_in_the_mode_that_its_log_states(tmp_path):
    setup_in_mode(tmp_path / "logs", "PC1", "https", REFUSED_HTTPS)
    setup_in_mode(tmp_path / "logs", "PC2", "http", REFUSED_HTTP)
    fleet(tmp_path)
    assert [push_result(tmp_path, name) for name in ("PC1", "PC2")] == ["fails", "fails"]


def test_the_report_on_a_host_is_in_the_mode_that_the_log_of_another_one_states(tmp_path):
    setup_in_mode(tmp_path / "logs", "PC1", "http")
    write(tmp_path / "logs" / "PC2" / "pfirewall.log", firewall_log(row(BLOCKED_POINT)).decode())
    fleet(tmp_path, roles={"management-point": "10.0.0.80"}, host_from="{host}/pfirewall.log")
    assert push_result(tmp_path, "PC2") == "fails"
