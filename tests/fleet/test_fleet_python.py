"""A fleet in Python: read, asked, shown and put together as its administrator does it in a notebook."""

from __future__ import annotations

import shutil
import sys
from html.parser import HTMLParser
from pathlib import Path

import pytest
from click.testing import CliRunner
from fleet_sample import planted, sample
from logs import log
from packets import pcap
from places import SAMPLES
from scenario import scene

import auditor
from auditor.cli.commands import cli
from auditor.report.fleet_as_json import fleet_as_dict, fleet_schema
from auditor.report.load import checker

pytestmark = pytest.mark.slow

LOGS = SAMPLES / "fleet" / "logs"
ROLES = {"site-server": "10.120.10.5", "management-point": "10.120.10.80"}
FAILING = ["PC00001", "PC00002", "PC00003", "PC00004", "PC00007", "PC00010"]


def batch(out: Path, *paths: Path, **options: object) -> auditor.Audited:
    return auditor.batch(
        *(paths or (LOGS,)), out=out, host_from="{site}/{host}/*.log", roles=ROLES, workers=0, **options
    )


@pytest.fixture(scope="module")
def audited(tmp_path_factory: pytest.TempPathFactory) -> auditor.Audited:
    return batch(tmp_path_factory.mktemp("fleet"), host_map=LOGS.parent / "hosts.csv")


# reading


def test_a_folder_of_logs_is_read_once(audited):
    assert audited.new
    again = batch(audited.folder.path, host_map=LOGS.parent / "hosts.csv")
    assert (again.new, again.report) == (False, audited.report)


def test_a_saved_fleet_is_read_back(audited):
    assert auditor.load_fleet(audited.folder.path / "fleet.json") == audited.report


def test_sites_that_were_read_apart_are_put_together(audited, tmp_path):
    for site in ("BERLIN", "LISBON"):
        batch(tmp_path / site, LOGS / site)
    together = auditor.merge(*(tmp_path / site / "summaries" for site in ("LISBON", "BERLIN")), out=tmp_path / "all")
    assert [one.host for one in together.report.hosts] == [one.host for one in audited.report.hosts]
    assert together.report.changes == audited.report.changes


def test_computers_of_the_same_name_at_two_sites_are_two(tmp_path):
    for site, name in (("BERLIN", "PC00001"), ("LISBON", "PC00008")):
        shutil.copytree(LOGS / site / name, tmp_path / "logs" / site / "SERVER")
    report = batch(tmp_path / "fleet", tmp_path / "logs").report
    found = report.frame()[["host", "site", "client_push"]].to_records(index=False).tolist()
    assert found == [("SERVER", "BERLIN", "fails"), ("SERVER", "LISBON", "allowed")]
    assert auditor.host_report(tmp_path / "fleet", "LISBON/SERVER").client().method("client-push").result == "allowed"


def test_one_computer_of_a_fleet_is_a_report_like_any_other(audited):
    report = auditor.host_report(audited.folder.path, "PC00007")
    assert report.client().requirement("client-push/rpc-dynamic").verdict == "blocked"


def test_of_a_computer_without_evidence_there_is_a_report_that_proves_nothing(audited):
    report = auditor.host_report(audited.folder.path, "PC00011")
    assert report.client().method("client-push").result == "unproven"
    assert report.flows is None
    done = CliRunner().invoke(cli, ["render", str(audited.folder.path), "--host", "PC00011"])
    assert (done.exit_code, done.stderr) == (0, "")


@pytest.mark.parametrize(
    ("host", "told"),
    [
        ("pc00012", "no source of PC00012 could be read: the file is empty. Turn on logging"),
        (
            "PC00013",
            "there is no source of a computer 'PC00013' in this fleet. Computers in it: PC00001",
        ),
    ],
)
def test_of_a_computer_without_a_source_it_is_told_why_there_is_no_report(audited, host, told):
    with pytest.raises(auditor.ReportError, match=told):
        auditor.host_report(audited.folder.path, host)


def test_summaries_in_any_order_are_one():
    some = [auditor.summarize(path, roles=ROLES) for path in sorted(LOGS.glob("BERLIN/*/*.log"))]
    assert auditor.Summary().merge(*some) == auditor.Summary().merge(*reversed(some))


@pytest.mark.parametrize("call", [auditor.batch, auditor.merge])
def test_what_is_missing_is_told_before_anything_is_read(call, tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "pyarrow", None)
    monkeypatch.setitem(sys.modules, "pyarrow.parquet", None)
    with pytest.raises(auditor.MissingPackageError, match="Install it with: pipx inject auditor pyarrow"):
        call(LOGS, out=tmp_path / "fleet")
    assert not (tmp_path / "fleet").exists()


# asking


def test_a_row_for_each_computer_those_without_a_log_among_them(audited):
    frame = audited.report.frame()
    assert frame.host.tolist() == [f"PC{number:05}" for number in range(1, 14)]
    assert frame.loc[frame.client_push == "fails", "host"].tolist() == FAILING
    assert frame.loc[frame.client_push == "no-evidence", "host"].tolist() == ["PC00011", "PC00012", "PC00013"]
    assert frame.set_index("host").failed["PC00007"] == "client-push/rpc-dynamic"


def test_a_row_for_each_requirement_that_was_seen(audited):
    frame = audited.report.requirements_frame()
    assert frame.loc[frame.failed & (frame.requirement == "client-push/smb"), "host"].tolist() == [
        host for host in FAILING if host != "PC00007"
    ]
    assert str(frame.last_time.dtype) == "datetime64[ns, UTC]"


@pytest.mark.parametrize("name", ["frame", "requirements_frame"])
def test_the_tables_have_their_columns_and_types_also_when_they_are_empty(name):
    many, none = (getattr(sample(count), name)() for count in (200, 0))
    assert none.empty
    assert none.dtypes.astype(str).to_dict() == many.dtypes.astype(str).to_dict()
    assert "object" not in set(many.dtypes.astype(str))


@pytest.mark.parametrize(
    ("done", "to"), [("compared", lambda report: auditor.compare(report, report)), ("redacted", auditor.redact)]
)
def test_what_is_there_for_one_computer_only_says_so(audited, done, to):
    with pytest.raises(
        auditor.AuditorError, match=rf"a FleetReport cannot be {done}.*auditor\.host_report\(FOLDER, NAME\)"
    ):
        to(audited.report)


# showing


def test_the_report_prints_itself(audited):
    report = audited.report
    assert repr(report) == str(report) == report.to_text() == audited.folder.text()
    assert repr(report).startswith("Client push: 6 of 13 computers fail")
    assert max(map(len, report.to_text(width=60).splitlines())) <= 60


def test_the_report_is_the_page_and_the_document(audited):
    report = audited.report
    assert report.to_html() == (audited.folder.path / "fleet.html").read_text(encoding="utf-8")
    assert report.to_dict() == fleet_as_dict(report)
    checker(fleet_schema())(report.to_dict())


def shown(report: auditor.FleetReport) -> str:
    words: list[str] = []
    parser = HTMLParser()
    parser.handle_data = words.append  # type: ignore[method-assign] # all that a reader reads
    parser.feed(report._repr_html_())
    return " ".join(" ".join(words).split())


def test_a_notebook_shows_the_answer_and_what_to_ask_for(audited):
    text = shown(audited.report)
    assert "Client push: 6 of 13 computers fail" in text
    assert "Allow TCP 445 on the Windows Firewall of each client" in text
    assert "LISBON" in text
    assert "1 whose sources contain no attempt, 2 without a readable source" in text


def test_what_was_audited_shows_itself_as_its_report(audited):
    assert audited._repr_html_() == audited.report._repr_html_()
    assert repr(audited) == repr(audited.report)


def test_a_large_fleet_is_small_in_a_notebook():
    assert len(sample(4000)._repr_html_()) < 100_000


def test_no_computers_at_all_are_shown_too():
    assert "No computers in the sources" in shown(sample(0))


def test_hostile_text_stays_text_in_a_notebook():
    text = planted(sample(40), lambda word: f"{word}<script>alert(1)</script><img src=http://evil.example/>")
    assert "<script" not in text._repr_html_()
    assert "<img" not in text._repr_html_()


def test_a_log_that_nobody_named_joins_the_named_computer_with_its_address(tmp_path):
    """Each is judged by what it was read for, and only the run at the site knows the roles there."""
    row = "2024-06-05 10:00:{:02} DROP TCP 10.0.0.5 10.0.1.1 50000 {} 52 S 7 0 8192 - - - RECEIVE"
    for place, port in (("BERLIN/PC1", 445), ("more", 135)):
        (tmp_path / place).mkdir(parents=True)
        (tmp_path / place / "fw.log").write_bytes(log(*(row.format(second, port) for second in range(5))))
    asked = {"host_from": "{site}/{host}/*.log", "roles": {"site-server": "10.0.0.5"}, "workers": 0}
    auditor.batch(tmp_path / "BERLIN", out=tmp_path / "named", **asked)
    for server in ("10.0.0.5", "10.0.0.4", "10.0.0.6"):
        roles = {"site-server": server}
        auditor.batch(tmp_path / "more", out=tmp_path / server, roles=roles, workers=0)
        report = auditor.merge(tmp_path / "named", tmp_path / server, out=tmp_path / f"{server}all", workers=0).report
        (host,) = report.hosts
        assert (host.site, host.host, len(host.files)) == ("BERLIN", "PC1", 2)
        assert {one.requirement for one in host.seen} >= {"client-push/smb", "client-push/rpc-endpoint-mapper"}


def test_a_file_that_one_run_named_and_a_later_one_did_not_is_one_file(tmp_path):
    logs = shutil.copytree(LOGS, tmp_path / "logs")
    named = batch(tmp_path / "named", logs)
    for path in logs.rglob("*.log"):
        path.touch()
    plain = auditor.batch(logs, out=tmp_path / "plain", roles=ROLES, workers=0)
    report = auditor.merge(named.folder.path, plain.folder.path, out=tmp_path / "all", workers=0).report
    assert {one.host for one in report.hosts} >= {one.host for one in named.report.hosts}
    assert report.coverage.read == named.report.coverage.read


@pytest.fixture
def shared(tmp_path):
    """Return a capture of two addresses: at the first the push is refused, at the second it is not."""
    path = tmp_path / "taken.pcap"
    lines = [
        *("0 10.0.0.5:50000 > 10.0.0.20:445/tcp REJ", "1 10.0.0.5:50001 > 10.0.0.20:135/tcp REJ"),
        *("5 10.0.0.5:50002 > 10.0.0.21:445/tcp SF", "6 10.0.0.5:50003 > 10.0.0.21:135/tcp SF"),
    ]
    path.write_bytes(pcap(scene(lines)))
    return path


def test_a_capture_of_both_addresses_of_a_computer_tells_of_both(shared, tmp_path):
    (tmp_path / "map.csv").write_text("host,address\nPC1,10.0.0.20 10.0.0.21\n")
    asked = {"host_map": tmp_path / "map.csv", "roles": {"site-server": "10.0.0.5"}, "workers": 0}
    report = auditor.batch(shared, out=tmp_path / "out", **asked).report
    (host,) = report.hosts
    assert sorted(host.addresses) == ["10.0.0.20", "10.0.0.21"]
    assert host.outcome("client-push").result == "fails"
    assert host.records == report.coverage.records, "counted once"


def test_the_path_of_a_capture_of_several_computers_names_none_of_them(shared, tmp_path):
    """Neither when it is read nor when another run names it again."""
    asked = {"roles": {"site-server": "10.0.0.5"}, "workers": 0}
    for pattern in ("{host}.pcap", None, "{host}.pcap"):
        report = auditor.batch(shared, out=tmp_path / "out", host_from=pattern, **asked).report
        assert [host.host for host in report.hosts] == ["10.0.0.20", "10.0.0.21"]
