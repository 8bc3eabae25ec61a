"""A log of IIS proves in a fleet that requests of its hosts arrived, and makes no host of its own."""

from __future__ import annotations

from pathlib import Path

from fleet_logs import NO_PATH, ccm, push, write
from iis_rows import HEADER, row
from setup_logs import SERVICE, log
from test_fleet_of_names import firewall

import auditor
from auditor.api.batch import batch
from auditor.fleet.summaries.summary import Summary, summarize
from auditor.report.fleet_model import FleetReport, HostResult

ARRIVED = row("/SMS_MP/.sms_aut", "GET", client="10.0.1.20", status="200 0 0")
HTTP = "client-push/http-management-point"


def fleet(folder: Path, **known: object) -> FleetReport:
    return batch(folder / "logs", out=folder / "out", workers=0, **known).report  # type: ignore[arg-type]


def setup(folder: Path, name: str = "PC1", address: str = "10.0.1.20") -> None:
    where = f'<IPAddress SubnetAddress="10.0.1.0" Address="{address}"/>'
    write(folder / name / "ccmsetup.log", log(*SERVICE, f"[{name}] Running on 'Windows'", where))


def verdicts(host: HostResult) -> dict[str, str]:
    return {result.requirement: result.verdict for result in host.seen}


def others(report: FleetReport) -> list[str]:
    return [note.text for note in report.limitations if note.code == "served-others"]


def test_a_request_that_arrived_proves_the_port_open(tmp_path):
    setup(tmp_path / "logs")
    write(tmp_path / "logs" / "iis" / "u_ex230117.log", HEADER + ARRIVED)
    report = fleet(tmp_path)
    (host,) = report.hosts
    assert verdicts(host)[HTTP] == "open"
    assert (len(host.files), report.unreadable, others(report)) == (2, (), [])


def test_a_request_from_another_address_of_a_host_is_its_own(tmp_path):
    addresses = [f'<IPAddress SubnetAddress="10.0.1.0" Address="10.0.1.{number}"/>' for number in (20, 21)]
    write(tmp_path / "logs" / "PC1" / "ccmsetup.log", log(*SERVICE, "[PC1] Running on 'Windows'", *addresses))
    write(tmp_path / "logs" / "iis" / "u_ex230117.log", HEADER + row(client="10.0.1.21"))
    report = fleet(tmp_path)
    (host,) = report.hosts
    assert verdicts(host)[HTTP] == "open"
    assert others(report) == []


def test_a_request_proves_as_much_as_in_analyze(tmp_path):
    setup(tmp_path / "logs")
    write(tmp_path / "logs" / "iis" / "u_ex230117.log", HEADER + ARRIVED)
    (client,) = auditor.audit(tmp_path / "logs").clients
    decided = {row.id: row.verdict for method in client.methods for row in method.requirements if row.attempts}
    seen = verdicts(fleet(tmp_path).hosts[0])
    assert {name: seen.get(name) for name in decided if name.startswith("client-push")} == {
        name: verdict for name, verdict in decided.items() if name.startswith("client-push")
    }


def test_a_host_of_a_firewall_log_has_its_requests(tmp_path):
    firewall(tmp_path / "logs" / "PC1" / "pfirewall.log")
    write(tmp_path / "logs" / "iis" / "u_ex230117.log", HEADER + ARRIVED)
    (host,) = fleet(tmp_path, host_from="{host}/pfirewall.log").hosts
    assert (host.host, verdicts(host)[HTTP], verdicts(host)["client-push/smb"]) == ("PC1", "open", "blocked")


def test_who_is_served_and_in_no_other_source_is_no_host_and_is_counted(tmp_path):
    setup(tmp_path / "logs")
    rows = ARRIVED + "".join(row(client=f"10.0.2.{number}") for number in range(1, 4))
    write(tmp_path / "logs" / "iis" / "u_ex230117.log", HEADER + rows)
    report = fleet(tmp_path)
    assert [host.host for host in report.hosts] == ["PC1"]
    (note,) = others(report)
    assert "requests of 3 addresses" in note


def test_a_log_of_iis_alone_is_no_fleet_and_no_error(tmp_path):
    write(tmp_path / "logs" / "u_ex230117.log", HEADER + ARRIVED)
    report = fleet(tmp_path)
    assert (report.hosts, report.unreadable, len(others(report))) == ((), (), 1)


def test_each_client_of_a_log_of_iis_is_summarized_by_itself(tmp_path):
    path = write(tmp_path / "u_ex230117.log", HEADER + ARRIVED + row(client="10.0.2.1"))
    entries = Summary().merge(summarize(path)).entries
    assert [entry.addresses for entry in entries] == [("10.0.1.20",), ("10.0.2.1",)]
    assert [len(entry.source.reported.served) for entry in entries if entry.source.reported] == [1, 1]


def test_a_log_with_both_names_of_a_computer_counts_whole(tmp_path):
    done = "Execute query exec [sp_CP_SetPushRequestMachineStatus] 2, 4"
    text = ccm(PC1_corp_example=NO_PATH) + push(2, "PC1", done)
    report = fleet(write(tmp_path / "logs" / "ccm.log", text).parent.parent)
    (host,) = report.hosts
    (client,) = auditor.audit(tmp_path / "logs").clients
    result = next(method.result for method in client.methods if method.id == "client-push")
    assert (host.host, host.outcome("client-push").result) == ("PC1", result)
