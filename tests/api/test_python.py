"""The report in Python: how it shows itself, how it is asked, and how it fails other people's tests."""

from __future__ import annotations

import asyncio
import subprocess
import sys
from html.parser import HTMLParser

import pytest
from log_verdicts import ROLES
from logs import firewall_log, row
from places import SAMPLES
from reports import fleet, of_scene, planted, rich

import auditor
from auditor.api.evidence_records import proof
from auditor.render.tables.frames import CHANGE_COLUMNS


@pytest.fixture
def in_samples(monkeypatch: pytest.MonkeyPatch) -> None:
    """Stand where the sources of the reports of scenes lie."""
    monkeypatch.chdir(SAMPLES)


# for tests of a network


def test_what_works_passes():
    of_scene("all-open").assert_works("client-push")


def test_what_fails_says_for_whom_what_why_by_what_proof_and_what_to_do():
    with pytest.raises(AssertionError) as failed:
        of_scene("smb-dropped").assert_works()
    headline, why, verdict, remedy, evidence = str(failed.value).splitlines()
    assert headline == "10.20.2.20: Client push installation: FAILS"
    assert why.startswith("  TCP 445 from 10.20.1.5 to 10.20.2.20: no response to 3 SYNs")
    assert verdict == "  client-push/smb: blocked, likely"
    begin = "    Fix: Find where the packets stop. On the client (10."
    assert remedy.startswith(begin)
    assert evidence == "    Evidence: frames 8, 9, 10"


@pytest.mark.usefixtures("tshark")
def test_an_open_port_on_which_a_step_failed():
    with pytest.raises(
        AssertionError, match=r"(?s)The port is open, but a step failed.*client-push/smb: open, but failed"
    ):
        of_scene("wrong-password").assert_works()


def test_what_was_not_seen_does_not_pass():
    with pytest.raises(AssertionError, match=r"(?s)Group Policy.*UNPROVEN.*Not verified: http-management-point"):
        of_scene("smb-dropped").assert_works("group-policy")


def test_one_client_of_many():
    report = fleet(30)
    with pytest.raises(AssertionError) as failed:
        report.assert_works()
    assert "and 20 more of 30 clients" in str(failed.value)
    with pytest.raises(AssertionError) as failed:
        report.assert_works(client="10.20.0.7")
    assert str(failed.value).count("FAILS") == 1


def test_a_report_about_nobody_does_not_pass():
    with pytest.raises(AssertionError, match="The report is about no client"):
        fleet(0).assert_works()


@pytest.mark.parametrize(
    ("asked", "told"),
    [
        ({"method": "push"}, "there is no method 'push'. Choose from client-push, "),
        ({"client": "10.9.9.9"}, "there is no client 10.9.9.9. Choose from 10.20.2.20"),
    ],
)
def test_a_slip_of_the_pen_is_no_failed_assertion(asked, told):
    with pytest.raises(auditor.ArgumentError, match=told):
        of_scene("all-open").assert_works(**asked)


def test_pytest_shows_the_line_of_the_test_and_the_words_of_the_report(tmp_path):
    test = tmp_path / "test_the_branch_office.py"
    capture = str(SAMPLES / "smb-dropped.pcap")
    code = f"import auditor\n\n\ndef test_push():\n    auditor.audit({capture!r}, dissect=False).assert_works()\n"
    test.write_text(code, encoding="utf-8")
    command = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", str(test)]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, env=None, check=False)
    assert done.returncode == 1
    assert "AssertionError: 10.20.2.20: Client push installation: FAILS" in done.stdout
    assert "report.py" not in done.stdout


# asking


def test_the_only_client_needs_no_name():
    report = of_scene("smb-dropped")
    assert report.client() == report.client("10.20.2.20") == report.clients[0]


@pytest.mark.parametrize(
    ("report", "told"), [(fleet(0), "about no client"), (fleet(20), "about 20 clients. Choose from .* and 8 more")]
)
def test_a_client_that_is_not_clear(report, told):
    with pytest.raises(auditor.ArgumentError, match=told):
        report.client()


def test_a_requirement_by_its_id():
    client = of_scene("smb-dropped").client()
    assert client.requirement("client-push/smb").verdict == "blocked"
    with pytest.raises(
        auditor.ArgumentError, match=r"there is no requirement 'client-push/smc'. Choose from client-push/"
    ):
        client.requirement("client-push/smc")


def test_lines_of_a_log_are_evidence_too(tmp_path):
    log = tmp_path / "pfirewall.log"
    log.write_bytes(firewall_log(row("10:00:00 DROP 10.0.0.5:50000 > 10.0.0.20:445 S RECEIVE")))
    rows = auditor.audit(log, roles=ROLES).evidence_frame()
    assert rows[["requirement", "line"]].to_dict("records")[0] == {"requirement": "client-push/smb", "line": 6}
    assert rows.frame.isna().all()


def test_what_a_change_mended_as_a_table():
    found = auditor.compare(of_scene("smb-dropped"), of_scene("all-open"))
    table = found.frame()
    assert table.dtypes.astype(str).to_dict() == CHANGE_COLUMNS
    smb = table[table.requirement == "client-push/smb"].to_dict("records")
    assert [(one["kind"], one["before"], one["after"]) for one in smb] == [("fixed", "blocked", "open")]


def test_the_table_of_changes_has_its_columns_also_when_nothing_changed():
    assert auditor.compare(rich(), of_scene("all-open")).frame().dtypes.astype(str).to_dict() == CHANGE_COLUMNS
    same = auditor.compare(of_scene("all-open"), of_scene("all-open")).frame()
    assert same.empty
    assert same.dtypes.astype(str).to_dict() == CHANGE_COLUMNS


# packets as Wireshark has them


@pytest.mark.usefixtures("tshark", "in_samples")
def test_the_packets_of_a_verdict_with_their_frame_numbers_in_the_capture():
    packets = of_scene("smb-dropped").packets("client-push/smb")
    assert [(packet.number, packet.tcp.dstport) for packet in packets] == [
        (number, "445") for number in ("8", "9", "10")
    ]


@pytest.mark.usefixtures("tshark", "in_samples")
def test_the_packets_of_a_verdict_have_their_times():
    """tshark 4.6 prints a date where pyshark expects a number."""
    report = of_scene("smb-dropped")
    times = [packet.sniff_time.timestamp() for packet in report.packets("client-push/smb")]
    records = proof(report, report.client().requirement("client-push/smb"))
    assert times == [pytest.approx(record.time_ns / 1e9, abs=1e-5) for record in records]


@pytest.mark.usefixtures("tshark", "in_samples")
def test_packets_within_a_running_event_loop():
    async def cell() -> int:
        return len(of_scene("rpc-135-prohibited").packets("client-push/rpc-endpoint-mapper"))

    assert asyncio.run(cell()) == 2


@pytest.mark.usefixtures("tshark")
def test_packets_of_a_capture_that_is_gone(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    with pytest.raises(auditor.SourceError, match="cannot be read again"):
        of_scene("smb-dropped").packets("client-push/smb")


def test_packets_without_tshark(monkeypatch):
    monkeypatch.setattr("auditor.api.evidence_records.find_tshark", lambda: None)
    with pytest.raises(auditor.MissingPackageError, match=r"was not found. Install Wireshark"):
        of_scene("smb-dropped").packets("client-push/smb")


# in a notebook


def shown(report: auditor.Report) -> str:
    words: list[str] = []
    parser = HTMLParser()
    parser.handle_data = words.append  # type: ignore[method-assign] # all that a reader reads
    parser.feed(report._repr_html_())
    return " ".join(words)


def test_a_report_shows_its_answer():
    text = shown(of_scene("smb-dropped"))
    assert "FAILS: client push to 10.20.2.20" in " ".join(text.split())
    assert "LIKELY BLOCKED" in text
    assert "no response to 3 SYNs" in text


def test_the_text_of_a_report_is_returned_in_a_notebook_too(monkeypatch):
    text = of_scene("smb-dropped").to_text()
    monkeypatch.setattr("rich.console._is_jupyter", lambda: True)  # so rich recognises a notebook
    assert of_scene("smb-dropped").to_text() == str(of_scene("smb-dropped")) == text


def test_hostile_text_stays_text_in_a_notebook():
    text = planted(rich(), lambda word: f"{word}<script>alert(1)</script><img src=http://evil.example/>")._repr_html_()
    assert "<script>alert" not in text
    assert "<img" not in text


def test_a_large_fleet_is_small_in_a_notebook():
    assert len(fleet(4000)._repr_html_()) < 500_000


# documentation


def public() -> list[tuple[str, object]]:
    """Return every public name, and every public member of the public classes."""
    found: list[tuple[str, object]] = []
    for name in auditor.__all__:
        one = getattr(auditor, name)
        if name == "__version__":
            continue
        found.append((name, one))
        if isinstance(one, type):
            members = {key: value for key, value in vars(one).items() if not key.startswith("_")}
            found += [(f"{name}.{key}", value) for key, value in members.items() if hasattr(value, "__doc__")]
    return [(name, one) for name, one in found if callable(one) or isinstance(one, property)]


@pytest.mark.parametrize(("name", "one"), public(), ids=[name for name, _ in public()])
def test_every_public_name_says_what_it_does(name, one):
    text = one.__doc__
    assert text, name
    assert text.splitlines()[0].rstrip().endswith((".", ":")), name
