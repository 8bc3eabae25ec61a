"""A site server's log is a fleet: a row for each computer, the same verdicts as `analyze` of its log gives."""

from __future__ import annotations

from itertools import permutations

import pytest
from fleet_logs import METHOD, NO_PATH, NO_RPC, REFUSED, ccm, fleet, results, write
from logs import firewall_log, row
from pyarrow import parquet
from setup_logs import SERVICE, log

import auditor
from auditor.api.batch import host_report
from auditor.fleet.summaries import parquet_store
from auditor.fleet.summaries.summary import Summary, summarize

pytestmark = pytest.mark.slow


def test_each_machine_of_the_site_servers_log_has_a_row(tmp_path):
    path = write(tmp_path / "logs" / "ccm.log", ccm(PC1=NO_PATH, PC2_corp_example=NO_RPC, PC3=REFUSED))
    report = fleet(path, out=tmp_path / "out")
    assert results(report) == {"PC1": "fails", "PC2": "fails", "PC3": "fails"}
    assert {host.addresses for host in report.hosts} == {()}
    assert not any(note.code == "no-site-server" for note in report.limitations)


@pytest.mark.parametrize("texts", [NO_PATH, NO_RPC, REFUSED], ids=["path", "rpc", "refused"])
def test_a_host_of_the_log_has_the_verdicts_of_analyze(tmp_path, texts):
    path = write(tmp_path / "logs" / "ccm.log", ccm(PC1=texts))
    (host,) = fleet(path, out=tmp_path / "out").hosts
    (client,) = auditor.audit(path).clients
    method = next(method for method in client.methods if method.id == METHOD)
    assert host.outcome(METHOD).result == method.result
    decided = {(row.id, row.verdict) for row in method.requirements if row.attempts}
    assert {(row.requirement, row.verdict) for row in host.seen} >= decided


def test_ccmsetup_log_of_a_computer_is_joined_by_its_name(tmp_path):
    write(tmp_path / "logs" / "ccm.log", ccm(PC1_corp_example=NO_PATH, PC2=REFUSED))
    own = log(*SERVICE, "[PC1] Running on 'Microsoft Windows 10'", "CcmSetup failed with error code 0x80070643")
    write(tmp_path / "logs" / "a" / "ccmsetup.log", own)
    report = fleet(tmp_path / "logs", out=tmp_path / "out")
    assert {host.host: len(host.files) for host in report.hosts} == {"PC1": 2, "PC2": 1}


def test_the_order_of_merging_changes_nothing(tmp_path):
    texts = {"a": ccm(PC1=NO_PATH, PC2=NO_RPC), "b": ccm(PC1=REFUSED), "c": ccm(PC3=NO_RPC)}
    parts = [summarize(write(tmp_path / name / "ccm.log", text)) for name, text in texts.items()]
    whole = Summary().merge(*parts)
    assert {entry.host for entry in whole.entries} == {"PC1", "PC2", "PC3"}
    assert all(Summary().merge(*order, order[0]) == whole for order in permutations(parts))


def test_a_summary_keeps_what_a_log_reports(tmp_path):
    summary = summarize(write(tmp_path / "ccm.log", ccm(PC1=NO_PATH, PC2=NO_RPC)))
    file = tmp_path / "summary.parquet"
    parquet_store.write(file, summary, "")
    assert parquet_store.read(file) == summary


def test_the_address_that_ccmsetup_reports_joins_a_firewall_log(tmp_path):
    write(tmp_path / "logs" / "ccm.log", ccm(PC1_corp_example=NO_RPC))
    own = log(
        *SERVICE, "[PC1] Running on 'Microsoft Windows 10'", '<IPAddress SubnetAddress="10.0.1.0" Address="10.0.1.20"/>'
    )
    write(tmp_path / "logs" / "a" / "ccmsetup.log", own)
    rows = [f"08:00:0{n} DROP 10.0.0.5:50445 > 10.0.1.20:445 S RECEIVE" for n in (0, 1, 3)]
    (tmp_path / "logs" / "pfirewall.log").write_bytes(firewall_log(*map(row, rows)))
    (host,) = fleet(tmp_path / "logs", out=tmp_path / "out").hosts
    assert (host.host, host.addresses, len(host.files)) == ("PC1", ("10.0.1.20",), 3)
    assert host.outcome(METHOD).result == "fails"


def test_an_export_of_the_push_status_has_a_row_for_each_machine(tmp_path):
    text = "Name,Status,LastErrorCode,LatestProcessingAttempt,NumProcessAttempts\r\n"
    text += "PC1,2,-2147023174,2023-01-17 11:00:00,3\r\nPC2,4,0,2023-01-17 11:00:00,1\r\n"
    report = fleet(write(tmp_path / "logs" / "push.csv", text), out=tmp_path / "out")
    assert results(report)["PC1"] == "fails"
    assert set(results(report)) == {"PC1", "PC2"}


def test_a_second_run_keeps_the_names_of_the_log(tmp_path):
    path = write(tmp_path / "logs" / "ccm.log", ccm(PC1=NO_RPC))
    first = fleet(path, out=tmp_path / "out")
    assert results(fleet(path, out=tmp_path / "out")) == results(first) == {"PC1": "fails"}


def test_a_summary_from_before_logs_were_summarized_is_still_read(tmp_path):
    file = tmp_path / "summary.parquet"
    parquet_store.write(file, summarize(write(tmp_path / "ccm.log", ccm(PC1=NO_PATH))), "")
    table = parquet.read_table(file)
    parquet.write_table(table.drop_columns(["reported"]), file, write_page_checksum=True)
    (entry,) = parquet_store.read(file).entries
    assert (entry.host, entry.source.reported) == ("PC1", None)


def test_a_denied_logon_is_no_firewall_change(tmp_path):
    denied = ('---> Unable to connect to WMI on remote machine "{}", error = 0x80070005.',)
    report = fleet(write(tmp_path / "logs" / "ccm.log", ccm(PC1=denied)), out=tmp_path / "out")
    assert results(report) == {"PC1": "fails"}
    assert report.changes == ()
    assert [cause.hosts for cause in report.causes] == [1]


def test_the_report_on_a_host_of_the_log_is_written(tmp_path):
    path = write(tmp_path / "logs" / "ccm.log", ccm(PC1=NO_RPC, PC2=REFUSED))
    fleet(path, out=tmp_path / "out")
    (client,) = host_report(tmp_path / "out", "PC1").clients
    assert next(method for method in client.methods if method.id == METHOD).result == "fails"
