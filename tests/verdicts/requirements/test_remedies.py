"""What to do about a requirement, and what the sources cannot show: as the published document has them."""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest
from logs import firewall_log, row
from packets import pcap
from scenario import scene
from scenes import SCENES, each

import auditor
from auditor import redact
from auditor.cli.explain import explain
from auditor.render.html.report import render_html
from auditor.render.markdown import render_markdown
from auditor.report import model as r
from auditor.ruleset.ruleset import load_ruleset

pytestmark = pytest.mark.slow

ROLES = {"site-server": "10.0.0.5", "client": "10.0.0.20", "management-point": "10.0.0.80"}
EXPORT = "auditor rulesets export client-push --to powershell --role site-server=10.0.0.5 -o rules.ps1"
NEW_RULE = (
    "New-NetFirewallRule -DisplayName 'auditor: client-push/smb' -Direction Inbound -Protocol TCP -LocalPort 445 "
    "-RemoteAddress 10.0.0.5 -Action Allow"
)

Audited = Callable[..., auditor.Report]


@pytest.fixture
def audited(write: Callable[[bytes], Path], tmp_path: Path) -> Audited:
    """Return how to audit lines of a scene, or a row of the client's firewall log that begins with a time."""

    def audited(line: str) -> auditor.Report:
        if line[2] != ":":
            return auditor.audit(
                write(pcap(scene([line, "0 10.0.0.20 > 10.0.0.5/icmp answered"]))), roles=ROLES, dissect=False
            )
        log = tmp_path / "pfirewall.log"
        log.write_bytes(firewall_log(row(line)))
        return auditor.audit(log, roles=ROLES, dissect=False)

    return audited


def remedy(report: auditor.Report, name: str = "smb") -> tuple[r.Remedy, ...]:
    return report.clients[0].requirement(f"client-push/{name}").remedy


DROPPED = "08:00:00 DROP 10.0.0.5:50000 > 10.0.0.20:445 S RECEIVE"


def test_a_block_by_the_own_firewall_is_mended_there_by_a_rule_for_its_peer_alone(audited):
    allow, export, test = remedy(audited(DROPPED))
    assert (test.place, test.command) == ("site-server", "Test-NetConnection 10.0.0.20 -Port 445")
    assert allow == r.Remedy("client", "On 10.0.0.20, allow inbound TCP 445 from 10.0.0.5.", NEW_RULE, "allow-inbound")
    assert (export.place, export.command) == ("client", EXPORT)


def test_an_echo_request_is_allowed_by_its_type(audited):
    allow, *_ = remedy(audited("08:00:00 DROP 10.0.0.5 > 10.0.0.20 - RECEIVE"), "icmp-echo")
    assert "-Protocol ICMPv4 -IcmpType 8 -RemoteAddress 10.0.0.5" in (allow.command or "")


def test_a_block_on_the_path_is_mended_between_without_a_command(audited):
    one, _ = remedy(audited("0 10.0.0.5:50000 > 10.0.0.20:445/tcp prohibited by 10.0.0.1"))
    assert (one.place, one.command) == ("between", None)


UNPLACED = "0 10.0.0.5:50000 > 10.0.0.20:445/tcp S0"
OUTCOMES = ("if-none-arrive", "if-no-response-allow", "documented", "if-responses-leave")


def test_a_block_of_which_the_place_is_unknown_begins_with_finding_the_place(audited):
    capture, test, *outcomes, again = remedy(audited(UNPLACED))
    assert (capture.place, test.place, again.place) == ("client", "site-server", "site-server")
    assert capture.command == "pktmon filter add -i 10.0.0.5 -t TCP -p 445; pktmon start -c --comp nics -m real-time"
    assert test.command == "Test-NetConnection 10.0.0.20 -Port 445"
    assert tuple(one.kind for one in outcomes) == OUTCOMES


def test_the_path_is_named_before_the_firewall_of_the_responder(audited):
    path, allow, *_ = remedy(audited(UNPLACED))[2:]
    assert (path.place, allow.place, allow.command) == ("between", "client", NEW_RULE)
    assert path.action.endswith("allow TCP 445 from 10.0.0.5 to 10.0.0.20.")


def test_a_ruleset_may_have_a_fix_for_the_path_alone(write, tmp_path):
    text = load_ruleset().path.read_text(encoding="utf-8")
    on_path = 'remedy = [{ place = "between", action = "On the path, allow it." }]'
    own = tmp_path / "own.toml"
    own.write_text(re.sub(r"(?m)^remedy = .*$", on_path, text), encoding="utf-8")
    mapper, dynamic = "1 10.0.0.5:50001 > 10.0.0.20:135/tcp SF", "2 10.0.0.5:50002 > 10.0.0.20:49155/tcp S0"
    capture = write(pcap(scene([UNPLACED, mapper, dynamic])))
    report = auditor.audit(capture, roles=ROLES, ruleset=str(own), dissect=False)
    assert [one.kind for one in remedy(report)][2:4] == ["if-none-arrive", "if-no-response-allow"]
    assert [one.kind for one in remedy(report, "rpc-dynamic")][2:4] == ["if-none-arrive", "if-responses-leave"]


def test_a_closed_port_is_stated_once_in_the_fix_or_in_the_limitations(audited):
    report = audited(UNPLACED)
    assert "no-response-ambiguous" in {one.code for one in report.limitations}
    assert '"No response" can also mean' not in report.to_text()


@pytest.mark.parametrize(
    ("src", "dst", "alive", "protocol"),
    [
        ("10.0.0.5", "10.0.0.20", "10.0.0.5:50000 > 10.0.0.20:445", "ICMP"),
        ("fd00::5", "fd00::20", "[fd00::5]:50000 > [fd00::20]:445", "ICMPv6"),
    ],
)
def test_an_echo_request_is_looked_for_by_its_protocol(src, dst, alive, protocol, write):
    lines = [f"0 {src} > {dst}/icmp silent", f"1 {alive}/tcp SF"]
    report = auditor.audit(write(pcap(scene(lines))), roles={"site-server": src, "client": dst}, dissect=False)
    capture, test, *_, again = remedy(report, "icmp-echo")
    assert f" -i {src} -t {protocol}; " in (capture.command or "")
    assert (test.command, "If PingSucceeded is True" in again.action) == (f"Test-NetConnection {dst}", True)


def test_what_is_not_blocked_needs_no_remedy(audited):
    assert remedy(audited("0 10.0.0.5:50000 > 10.0.0.20:445/tcp SF")) == ()


def test_a_command_stands_in_one_piece_in_a_ticket_and_a_page(audited):
    report = audited(DROPPED)
    assert f"`{NEW_RULE}`" in render_markdown(report)
    assert f'<code class="command">{EXPORT}</code>' in render_html(report)
    assert NEW_RULE in report.frame().remedy[lambda column: column.str.contains("New-Net")].iloc[0]


def test_a_command_is_redacted_and_keeps_its_words(audited):
    allow, export, _ = remedy(redact(audited(DROPPED)))
    assert allow.command == NEW_RULE.replace("10.0.0.5", "site-server-1")
    assert export.command == EXPORT.replace("10.0.0.5", "site-server-1")


@each(SCENES)
def test_remedies_and_limitations_are_as_published_and_are_read_back(scene):
    report = scene.audit(**scene.known)
    assert auditor.Report.from_dict(report.to_dict()) == replace(report, all_flows=None)
    document = report.to_dict()
    assert {tuple(one) for one in document["limitations"]} <= {("code", "text")}
    rows = [one for method in document["clients"][0]["methods"] for one in method["requirements"]]
    assert {tuple(each) for one in rows for each in one["remedy"]} <= {("place", "action", "command", "kind")}
    places = {each["place"] for one in rows for each in one["remedy"]}
    assert places <= {"between", "unknown", *(one[end]["role"] for one in rows for end in ("from", "to"))}


@each(SCENES)
def test_every_limitation_is_explained_by_its_code(scene):
    for one in scene.audit(**scene.known).limitations:
        assert explain(one.code).startswith((f"{one.code} (limitation)", f"{one.code} (warning)"))
