"""The charts of a report: what is drawn, that it is drawn without a network, and that no text breaks out of it."""

from __future__ import annotations

import dataclasses
import re
import sys
from pathlib import Path
from typing import Any

import pytest
from log_verdicts import ROLES
from logs import firewall_log, row
from places import SAMPLES
from reports import fleet, of_scene, planted

import auditor
from auditor.render.wording import main_method

pytestmark = pytest.mark.slow

altair = pytest.importorskip("altair", reason="Altair is not installed, so there are no charts")
HOSTILE = "x'\\<script>alert(1)</script>\x1b[31m\u202ehttp://evil.example/"


@pytest.fixture(autouse=True)
def default_renderer():
    """Leave Altair as every user finds it."""
    with altair.renderers.enable("default"):
        yield


@pytest.fixture
def in_samples(monkeypatch: pytest.MonkeyPatch) -> None:
    """Stand where the sources of the reports of scenes lie."""
    monkeypatch.chdir(SAMPLES)


def drawn_of(chart) -> list[dict[str, Any]]:
    """Return what a chart draws, from top to bottom."""
    described = chart.to_dict()
    (rows,) = described["datasets"].values() if "datasets" in described else (described["data"]["values"],)
    return rows


def rungs(chart) -> list[str]:
    """Return the labels of a ladder from top to bottom, with who sent it to whom."""
    return [f"{one['from']}>{one['to']} {one['label']}" if one["when"] else one["label"] for one in drawn_of(chart)]


def bars(chart) -> dict[str, str]:
    return {one["label"]: one["verdict"] for one in drawn_of(chart)}


# the ladder


@pytest.mark.usefixtures("in_samples")
def test_an_attempt_that_nobody_answers():
    drawn = rungs(of_scene("smb-dropped").ladder("client-push/smb"))
    assert drawn == ["0>1 SYN, frame 8", "0>1 SYN, frame 9", "0>1 SYN, frame 10", "nothing came back"]


@pytest.mark.usefixtures("in_samples")
def test_a_device_that_forbids_it_stands_between_and_the_packet_ends_there():
    drawn = rungs(of_scene("rpc-135-prohibited").ladder())
    assert drawn == ["0>1 SYN, frame 54", "1>0 ICMP 3/13 about the SYN, frame 55"]


@pytest.mark.usefixtures("in_samples")
def test_an_attempt_that_is_answered():
    drawn = rungs(of_scene("all-open").ladder("client-push/smb"))
    assert [one.split(",")[0] for one in drawn] == ["0>1 SYN", "1>0 SYN-ACK"]


@pytest.mark.usefixtures("in_samples")
def test_of_two_captures_each_packet_says_which_and_a_request_that_was_answered_there_arrived():
    chart = of_scene("return-path-dropped").ladder("client-push/smb")
    first = "return-path-dropped-site-server.pcap"
    assert rungs(chart)[0] == f"0>1 SYN, frame 7 of {first}"
    requests = [one for one in drawn_of(chart) if one["label"].startswith("SYN,")]
    states = {one["label"].rpartition(" of ")[2]: one["state"] for one in requests}
    assert states == {first: "bad", "return-path-dropped-client.pcap": "unsure"}


@pytest.mark.usefixtures("in_samples")
def test_every_verdict_with_evidence_can_be_drawn():
    for name in ("smb-reset", "client-off-same-subnet", "ipv6-smb-prohibited", "return-path-dropped", "echo-dropped"):
        report = of_scene(name)
        for one in main_method(report.client(), report.asked).requirements:
            if one.evidence:
                drawn = rungs(report.ladder(one.id))
                assert len(drawn) >= sum(len(evidence.frames) for evidence in one.evidence), one.id


def test_rows_of_a_log(tmp_path: Path):
    log = tmp_path / "pfirewall.log"
    dropped = [f"10:00:0{second} DROP 10.0.0.5:50000 > 10.0.0.20:445 S RECEIVE" for second in (0, 3)]
    log.write_bytes(firewall_log(*map(row, dropped)))
    report = auditor.audit(log, roles=ROLES)
    assert rungs(report.ladder()) == ["0>1 DROP (receive, 2 rows), line 6"]


def test_local_times_of_a_log_stay_what_they_are_wherever_it_is_read(tmp_path: Path):
    log = tmp_path / "pfirewall.log"
    log.write_bytes(firewall_log(row("10:00:00 DROP 10.0.0.5:50000 > 10.0.0.20:445 S RECEIVE")))
    chart = auditor.audit(log, roles=ROLES).timeline()
    assert [one["begin"] for one in drawn_of(chart)] == ["2023-11-14T10:00:00.000000Z"]  # as if UTC: not moved
    assert "local where a log does not tell its zone" in str(chart.to_dict())


def test_lines_that_no_flow_begins_with_are_not_lost(tmp_path: Path):
    log = tmp_path / "pfirewall.log"
    log.write_bytes(firewall_log(row("10:00:00 DROP 10.0.0.5:50000 > 10.0.0.20:445 S RECEIVE")))
    report = auditor.audit(log, roles=ROLES)
    report.flows["first_line"] += 1
    assert rungs(report.ladder()) == ["0>1 blocked, see the log, line 6"]


def test_a_ladder_of_what_was_not_seen():
    with pytest.raises(auditor.ArgumentError, match="client-push/http-management-point was not observed"):
        of_scene("smb-dropped").ladder("client-push/http-management-point")


def test_a_ladder_whose_capture_is_gone(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    with pytest.raises(
        auditor.SourceError, match=r"smb-dropped.pcap: cannot be read again .*Analyze the sources again"
    ):
        of_scene("smb-dropped").ladder()


def test_a_ladder_whose_capture_is_another_now(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "smb-dropped.pcap").write_bytes((SAMPLES / "client-off-same-subnet.pcap").read_bytes())
    with pytest.raises(auditor.SourceError, match="has changed since the report was created"):
        of_scene("smb-dropped").ladder()


def test_a_ladder_of_rows_that_a_saved_report_does_not_hold(tmp_path):
    log = tmp_path / "pfirewall.log"
    log.write_bytes(firewall_log(row("10:00:00 DROP 10.0.0.5:50000 > 10.0.0.20:445 S RECEIVE")))
    saved = dataclasses.replace(auditor.audit(log, roles=ROLES), all_flows=None)
    with pytest.raises(auditor.SourceError, match="a saved report does not contain the entries of its logs"):
        saved.ladder()


# the timeline


def test_what_was_tried_and_how_it_went():
    assert bars(of_scene("smb-dropped").timeline()) == {
        "icmp-echo": "open",
        "smb": "blocked, likely",
        "rpc-endpoint-mapper": "open",
        "rpc-dynamic": "open",
    }


def test_many_clients_are_told_apart_and_the_rest_is_told():
    chart = fleet(200).timeline()
    assert len(bars(chart)) == 240
    assert "more are not shown" in str(chart.to_dict())


def test_a_timeline_of_what_was_not_tried():
    with pytest.raises(auditor.ArgumentError, match="no attempt was observed"):
        of_scene("smb-dropped").timeline("software-distribution")


# without a network, without Altair, with hostile text


@pytest.mark.usefixtures("in_samples")
def test_charts_show_themselves_without_a_network():
    pytest.importorskip("vl_convert")
    for chart in (of_scene("smb-dropped").ladder(), of_scene("smb-dropped").timeline()):
        shown = chart._repr_mimebundle_()
        assert list(shown) == ["image/svg+xml"]
        addresses = set(re.findall(r"https?://[^\"' ]+", shown["image/svg+xml"]))
        assert all(one.startswith("http://www.w3.org/") for one in addresses)  # names of the format, never loaded
        assert "<script" not in shown["image/svg+xml"]


def test_how_a_user_chose_to_draw_stays():
    with altair.renderers.enable("json"):
        of_scene("smb-dropped").timeline()
        assert altair.renderers.active == "json"


@pytest.mark.usefixtures("in_samples")
def test_hostile_text_is_only_text():
    pytest.importorskip("vl_convert")
    report = planted(of_scene("smb-dropped"), lambda text: text if text.endswith(".pcap") else f"{text}{HOSTILE}")
    report = dataclasses.replace(report, clients=report.clients * 2)
    shown = report.timeline()._repr_mimebundle_()["image/svg+xml"]
    assert "<script" not in shown
    assert "\x1b" not in shown
    assert "\u202e" not in shown
    (client,) = of_scene("smb-dropped").clients
    one = client.requirement("client-push/smb")
    named = dataclasses.replace(one, explanation=HOSTILE)
    methods = (dataclasses.replace(client.methods[0], requirements=(named,)), *client.methods[1:])
    report = dataclasses.replace(of_scene("smb-dropped"), clients=(dataclasses.replace(client, methods=methods),))
    shown = report.ladder()._repr_mimebundle_()["image/svg+xml"]
    assert "<script" not in shown
    assert "&lt;script&gt;" in shown


def test_without_altair_one_line_says_what_to_install(monkeypatch):
    monkeypatch.setitem(sys.modules, "altair", None)
    for draw in (of_scene("smb-dropped").timeline, of_scene("smb-dropped").ladder):
        with pytest.raises(
            auditor.MissingPackageError, match=r"charts need Altair, which is not installed. Run: pip install"
        ):
            draw()
