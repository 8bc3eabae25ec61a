"""A proven block of a documented port stands in the first part of a report, whatever group or mode it belongs to."""

from __future__ import annotations

import itertools
from collections.abc import Callable
from dataclasses import replace
from functools import cache
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from logs import firewall_log, row
from packets import pcap
from reports import of_scene
from scenario import scene

import auditor
from auditor import redact
from auditor.render.html.report import render_html
from auditor.render.junit import render_junit
from auditor.render.markdown import render_markdown
from auditor.render.sarif import render_sarif
from auditor.render.tables.requirements import render_csv
from auditor.report import model as r
from auditor.ruleset.ruleset import SiteFacts, load_ruleset
from auditor.verdicts.method_result import method_result

pytestmark = pytest.mark.slow

ROLES = {"site-server": "10.0.0.5", "client": "10.0.0.20", "management-point": "10.0.0.80"}
PUSH = (
    "08:00:00 ALLOW 10.0.0.5 > 10.0.0.20 - RECEIVE",
    "08:00:01 ALLOW 10.0.0.5:50000 > 10.0.0.20:445 - RECEIVE",
    "08:00:02 ALLOW 10.0.0.5:50001 > 10.0.0.20:135 - RECEIVE",
    "08:00:03 ALLOW 10.0.0.5:50002 > 10.0.0.20:49700 - RECEIVE",
)
HTTP_DROPPED = "08:00:10 DROP 10.0.0.20:51000 > 10.0.0.80:80 - SEND"
HTTPS_ALLOWED = "08:00:11 ALLOW 10.0.0.20:51001 > 10.0.0.80:443 - SEND"
SAID = "TCP 80 from 10.0.0.20 to 10.0.0.80: dropped by the firewall of 10.0.0.20."
BEGINS_TABLE = {"text": "\n  Requirement ", "markdown": "\n## Requirements\n", "html": '<main id="answer"'}

Audited = Callable[..., auditor.Report]


@pytest.fixture
def audited(tmp_path: Path) -> Audited:
    """Return how to audit the client's firewall log of a push and further rows."""

    def audited(*rows: str, **known: object) -> auditor.Report:
        log = tmp_path / "pfirewall.log"
        log.write_bytes(firewall_log(*map(row, (*PUSH, *rows))))
        return auditor.audit(log, dissect=False, **({"roles": ROLES} | known))

    return audited


def first_parts(report: auditor.Report) -> dict[str, str]:
    """Return what stands above the requirements in each form for people, on one line, without code marks."""
    whole = {"text": report.to_text(width=400), "markdown": render_markdown(report), "html": render_html(report)}
    parts = {form: text[: text.index(BEGINS_TABLE[form])] for form, text in whole.items()}
    return {form: " ".join(text.replace("`", "").split()) for form, text in parts.items()}


def is_first(report: auditor.Report, text: str) -> bool:
    return all(text in part for part in first_parts(report).values())


# which blocks


def test_the_blocked_member_of_an_either_or_group_is_shown_and_does_not_count(audited):
    report = audited(HTTP_DROPPED, HTTPS_ALLOWED)
    push = report.clients[0].method("client-push")
    assert (push.result, push.reasons) == (audited(HTTPS_ALLOWED).clients[0].method("client-push").result, ())
    assert is_first(report, f"Also blocked, without effect on this result: {SAID}")


def test_a_block_in_a_mode_that_is_off_is_shown_with_its_line_and_does_not_count(audited):
    report = audited(HTTP_DROPPED, HTTPS_ALLOWED, mode="native")
    push = report.clients[0].method("client-push")
    http = report.clients[0].requirement("client-push/http-management-point")
    assert (push.result, push.reasons) == ("allowed", ())
    assert (http.verdict, http.confidence, http.blocked_at) == ("not-applicable", None, None)
    assert http.also_blocked == (r.Block("10.0.0.20", "10.0.0.80", (80,), "client", SAID),)
    assert [one.lines for one in http.evidence] == [(10,)]
    assert is_first(report, SAID)


def test_what_is_not_blocked_in_a_mode_that_is_off_leaves_no_trace(audited):
    report = audited("08:00:10 ALLOW 10.0.0.20:51000 > 10.0.0.80:80 - SEND", HTTPS_ALLOWED, mode="native")
    http = report.clients[0].requirement("client-push/http-management-point")
    assert (http.verdict, http.also_blocked, http.evidence) == ("not-applicable", (), ())
    assert not is_first(report, "Also blocked")


def test_a_block_of_a_requirement_whose_condition_is_off_is_shown(audited, tmp_path):
    site = tmp_path / "site.toml"
    site.write_text("[conditions]\nfallback-status-point-assigned = false\n", encoding="utf-8")
    roles = ROLES | {"fallback-status-point": "10.0.0.81"}
    dropped = "08:00:12 DROP 10.0.0.20:51002 > 10.0.0.81:80 - SEND"
    report = audited(dropped, HTTPS_ALLOWED, roles=roles, site=site)
    assert report.clients[0].requirement("client-push/http-fallback-status-point").verdict == "not-applicable"
    assert report.clients[0].method("client-push").result == "allowed"
    assert is_first(report, "TCP 80 from 10.0.0.20 to 10.0.0.81: dropped by the firewall of 10.0.0.20.")


def test_a_block_of_an_informational_requirement_is_shown(audited):
    report = audited("08:00:12 DROP 10.0.0.5:51002 > 10.0.0.20:135/udp - RECEIVE", HTTPS_ALLOWED)
    assert report.clients[0].method("client-push").result == "allowed"
    assert is_first(report, "UDP 135 from 10.0.0.5 to 10.0.0.20: dropped by the firewall of 10.0.0.20.")


def test_a_blocked_port_beside_an_open_one_of_the_same_requirement_is_shown(write):
    roles = ROLES | {"software-update-point": "10.0.0.82"}
    lines = (
        "0 10.0.0.20:51002 > 10.0.0.82:80/tcp prohibited by 10.0.0.1",
        "1 10.0.0.20:51003 > 10.0.0.82:8530/tcp SF",
    )
    report = auditor.audit(write(pcap(scene(lines))), roles=roles, methods=["software-update-point"], dissect=False)
    one = report.clients[0].requirement("software-update-point/http-software-update-point")
    assert (one.verdict, [block.ports for block in one.also_blocked]) == ("open", [(80,)])
    assert (1, 2) in [proof.frames for proof in one.evidence]
    assert is_first(
        report, "TCP 80 from 10.0.0.20 to 10.0.0.82: rejected by 10.0.0.1 (ICMP 3/13, administratively prohibited)."
    )


def test_of_two_blocked_ports_of_the_same_requirement_both_are_shown(write):
    roles = ROLES | {"software-update-point": "10.0.0.82"}
    lines = [f"{n} 10.0.0.20:5100{n} > 10.0.0.82:{port}/tcp prohibited by 10.0.0.1" for n, port in ((0, 80), (1, 8530))]
    report = auditor.audit(write(pcap(scene(lines))), roles=roles, methods=["software-update-point"], dissect=False)
    one = report.clients[0].requirement("software-update-point/http-software-update-point")
    text = "TCP 80 from 10.0.0.20 to 10.0.0.82: rejected by 10.0.0.1 (ICMP 3/13, administratively prohibited)."
    assert (one.verdict, one.ports) == ("blocked", (80, 8530))
    assert one.also_blocked == (r.Block("10.0.0.20", "10.0.0.82", (80,), r.BETWEEN, text),)


@pytest.mark.parametrize("blocked", ["10.0.0.80", "10.0.0.83"])
def test_a_block_of_another_management_point_than_the_one_that_serves_is_shown(audited, blocked):
    roles = ROLES | {"management-point": ["10.0.0.80", "10.0.0.83"]}
    other = next(one for one in roles["management-point"] if one != blocked)
    dropped = HTTP_DROPPED.replace("10.0.0.80", blocked)
    report = audited(dropped, HTTPS_ALLOWED.replace("10.0.0.80", other), roles=roles)
    assert report.clients[0].method("client-push").result == "allowed"
    assert is_first(report, SAID.replace("10.0.0.80", blocked))


def test_a_block_at_another_server_is_shown_with_its_line_although_the_verdict_is_the_same(audited):
    dropped = [HTTP_DROPPED, HTTP_DROPPED.replace("51000", "51001").replace("10.0.0.80", "10.0.0.83")]
    report = audited(*dropped, roles=ROLES | {"management-point": ["10.0.0.80", "10.0.0.83"]})
    http = report.clients[0].requirement("client-push/http-management-point")
    blocked = {http.destination.address, *(block.destination for block in http.also_blocked)}
    assert (http.verdict, blocked) == ("blocked", {"10.0.0.80", "10.0.0.83"})
    assert [one.lines for one in http.evidence] == [(10,), (11,)]


def test_a_block_of_another_method_is_shown_with_its_name_once(audited):
    roles = ROLES | {"software-update-point": "10.0.0.82"}
    dropped = "08:00:12 DROP 10.0.0.20:51002 > 10.0.0.82:8530 - SEND"
    report = audited(dropped, HTTPS_ALLOWED, roles=roles, methods=["client-push"])
    for part in first_parts(report).values():
        assert part.count("TCP 8530 from 10.0.0.20 to 10.0.0.82") == 1
        assert "Also blocked, for Software update point-based installation: TCP 8530" in part


def test_a_block_that_fails_the_method_is_told_once(audited):
    dropped = HTTPS_ALLOWED.replace("ALLOW", "DROP")
    for part in first_parts(audited(HTTP_DROPPED, dropped)).values():
        assert part.count("TCP 80 from 10.0.0.20 to 10.0.0.80") == 1
        assert "Also blocked" not in part


# in every form


def test_tables_and_documents_for_programs_hold_a_block_that_does_not_count(audited):
    report = audited(HTTP_DROPPED, HTTPS_ALLOWED, mode="native")
    for form in (render_csv, render_sarif, render_junit):
        assert SAID in form(report)
    assert auditor.Report.from_dict(report.to_dict()) == replace(report, all_flows=None)


def test_a_block_that_does_not_count_is_redacted(audited):
    report = redact(audited(HTTP_DROPPED, HTTPS_ALLOWED, mode="native"))
    assert is_first(report, "TCP 80 from client-1 to management-point-1: dropped by the firewall of client-1.")
    assert "10.0.0." not in report.to_json()


# any verdicts

FORMS = [
    (r.OPEN, r.PROVEN),
    (r.ALLOWED, r.PROVEN),
    (r.BLOCKED, r.PROVEN),
    (r.BLOCKED, r.LIKELY),
    (r.REFUSED, r.PROVEN),
    (r.INCONCLUSIVE, None),
    (r.NOT_OBSERVED, None),
    (r.NOT_APPLICABLE, None),
]
RULES = load_ruleset().at(SiteFacts(roles=frozenset(ROLES)))


@cache
def some_report() -> auditor.Report:
    return of_scene("smb-dropped")


def with_verdicts(chosen: list[tuple[int, bool]]) -> tuple[auditor.Report, list[str]]:
    """Return a report whose rows have these verdicts, some with a block beside it, and all proven blocks in words."""
    (client,) = some_report().clients
    forms, blocks, methods = itertools.cycle(chosen), [], []
    for method in client.methods:
        rows = []
        for number, one in enumerate(method.requirements):
            form, beside = next(forms)
            verdict, confidence = FORMS[form]
            text = f"Row {number} of {method.id} is judged."
            also = (r.Block("10.0.0.1", "10.0.0.2", (), r.UNKNOWN, f"Beside it {text}"),) if beside else ()
            proof = () if verdict in (r.NOT_OBSERVED, r.NOT_APPLICABLE) else (r.Evidence(0, (1,), (), text, ""),)
            ports = (1000 + number,)
            made = {"confidence": confidence, "explanation": text, "evidence": proof, "also_blocked": also}
            end = r.Endpoint("client", f"10.1.{len(methods)}.{number}")  # no two rows are one thing
            made |= {"problems": (), "changed": None, "ports": ports, "destination": end}
            rows.append(replace(one, verdict=verdict, **made))
            blocks += [text] * rows[-1].is_proven_block + [block.text for block in also]
        result, reasons = method_result(rows, RULES)
        methods.append(replace(method, result=result, reasons=reasons, requirements=tuple(rows)))
    return replace(some_report(), clients=(replace(client, methods=tuple(methods)),)), blocks


@given(st.lists(st.tuples(st.integers(0, len(FORMS) - 1), st.booleans()), min_size=1, max_size=30))
def test_every_proven_block_is_in_the_first_part_of_every_form(chosen):
    report, blocks = with_verdicts(chosen)
    for form, part in first_parts(report).items():
        assert [text for text in blocks if text not in part] == [], form


@given(st.lists(st.tuples(st.integers(0, len(FORMS) - 1), st.just(False)), min_size=1, max_size=30))
def test_nothing_is_called_blocked_that_is_not_proven(chosen):
    report, blocks = with_verdicts(chosen)
    for line in report.to_text(width=400).splitlines():
        said = line.strip().removeprefix("Blocked").strip()
        if said.startswith("Also blocked"):
            assert said.partition(": ")[2] in blocks


def test_many_clients_count_a_block_that_decides_no_result():
    report, _ = with_verdicts([(0, False), (0, False), (0, True)])
    (client,) = report.clients
    many = replace(report, clients=tuple(replace(client, address=f"10.0.1.{n}") for n in range(7)))
    row_id = client.methods[0].requirements[2].id
    for form, text in (("text", many.to_text()), ("markdown", render_markdown(many)), ("html", render_html(many))):
        part = text.partition("In detail")[0].partition("All clients")[0]
        assert "Also blocked, does not change these results" in part, form
        assert row_id in part.replace("`", ""), form


# a fleet


@pytest.fixture
def fleet(tmp_path: Path) -> Callable[..., auditor.Audited]:
    """Return how to audit a fleet of one computer by its firewall log."""

    def fleet(*rows: str, **known: object) -> auditor.Audited:
        folder = tmp_path / "logs" / "PC1"
        folder.mkdir(parents=True, exist_ok=True)
        (folder / "pfirewall.log").write_bytes(firewall_log(*map(row, (*PUSH, *rows))))
        roles = {name: address for name, address in ROLES.items() if name != "client"}
        return auditor.batch(tmp_path / "logs", out=tmp_path / "out", roles=roles, workers=0, **known)

    return fleet


def test_a_fleet_shows_a_block_that_does_not_count_above_all_else(fleet):
    report = fleet(HTTP_DROPPED, HTTPS_ALLOWED, mode="native").report
    (host,) = report.hosts
    assert (report.method("client-push").allowed, report.changes, report.requirements) == (1, (), ())
    assert [(one.requirement, one.blocked_at, one.applies, one.hosts) for one in report.also_blocked] == [
        ("client-push/http-management-point", "client", False, 1)
    ]
    first = report.to_text(width=400).split("\n\n")[1]
    assert "1 computer: client-push/http-management-point, blocked at client; not required" in first
    assert "client-push/http-management-point, blocked at client" in report.to_html().partition("</header>")[0]
    (seen,) = [one for one in host.seen if one.also_blocked]
    assert (seen.verdict, seen.also_blocked[0].text, seen.proof[0].lines) == ("not-applicable", SAID, (10,))


def test_a_block_that_does_not_count_is_no_evidence_that_a_push_was_made(fleet, monkeypatch):
    monkeypatch.setattr("test_blocks_shown.PUSH", ())
    report = fleet(HTTP_DROPPED, mode="native").report
    assert (report.method("client-push").no_evidence, report.method("client-push").unproven) == (1, 0)
    assert [one.hosts for one in report.also_blocked] == [1]


def test_the_tables_and_the_saved_form_of_a_fleet_hold_a_block_that_does_not_count(fleet):
    done = fleet(HTTP_DROPPED, HTTPS_ALLOWED)
    frame = done.report.requirements_frame()
    (verdict,) = frame[frame.requirement == "client-push/http-management-point"].verdict
    assert verdict == "blocked"
    assert [(one.requirement, one.applies) for one in done.report.also_blocked] == [
        ("client-push/http-management-point", True)
    ]
    assert auditor.load_fleet(done.folder.path / "fleet.json") == done.report
    host = auditor.host_report(done.folder.path, "10.0.0.20")
    assert is_first(host, SAID)
