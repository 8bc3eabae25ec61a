"""A push that fails by its document alone: its first lines say so, and what the current document makes of it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import pytest
from actions import action
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from packets import pcap
from places import SAMPLES
from reports import of_scene
from scenario import scene

import auditor
from auditor import redact
from auditor.render.html.report import render_html
from auditor.render.markdown import render_markdown
from auditor.report.model import WentOn
from auditor.ruleset.given_roles import parse_roles
from auditor.ruleset.known_problems import StatusMeaning
from auditor.ruleset.ruleset import SiteFacts, load_ruleset
from auditor.sources.dissection.facts import ProtocolFacts, ProtocolStep, ServiceEndpoint
from auditor.verdicts import evaluate as verdicts
from auditor.verdicts.dissect import DissectionResult
from auditor.verdicts.installations.contacts import contacts_of, merge
from auditor.verdicts.installations.roles import infer_roles
from auditor.version import TOOL

pytestmark = pytest.mark.slow

SERVER, CLIENT, POINT = "10.0.0.5", "10.0.0.20", "10.0.0.80"
ROLES = {"site-server": (SERVER,), "client": (CLIENT,), "management-point": (POINT,)}
SMB = ServiceEndpoint(SERVER, CLIENT, 445)
BY_DOCUMENT = "Fails by the document of 2007, but did not stop this push; passes by current branch (result: "
ECHO = f"0 {SERVER} > {CLIENT}/icmp silent"
PORTS = (
    f"5 {SERVER}:50001 > {CLIENT}:445/tcp SF",
    f"6 {SERVER}:50002 > {CLIENT}:135/tcp SF",
    f"7 {SERVER}:50003 > {CLIENT}:49700/tcp SF",
)
FETCH = f"8 {CLIENT}:51000 > {POINT}:80/tcp SF"
COPIED = "copy to ADMIN$"
DENIED = StatusMeaning("STATUS_ACCESS_DENIED", "access denied", True, "Make it an administrator.")

Audited = Callable[..., auditor.Report]


@pytest.fixture
def audited(read) -> Audited:
    """Return how to audit lines of a scene and steps on SMB, each the frame of its response and its name."""

    def audited(*lines: str, steps: dict[int, str], ruleset: str = "configmgr-2007", failed: bool = False):
        rules, current = load_ruleset(ruleset), load_ruleset("configmgr-current-branch")
        source = read(pcap(scene([*lines, "until 60"])))
        made = [
            ProtocolStep(SMB, "smb", action(name), frame, "0x00000000", DENIED if failed else None)
            for frame, name in steps.items()
        ]
        said = (ProtocolFacts(steps=tuple(made)),)
        cast = infer_roles([source], rules, parse_roles(ROLES), merge(contacts_of(source, rules)), said)
        newer = None if rules.id == current.id else lambda: current
        return auditor.Report.of(
            verdicts.audit([source], rules, cast, SiteFacts(), ["client-push"], TOOL, DissectionResult(said, ""), newer)
        )

    return audited


def first_line(report: auditor.Report) -> str:
    """Return the first labelled line below the headline, without the label of an impact."""
    return report.to_text(width=300).splitlines()[2].strip().removeprefix("Impact").strip()


def is_told(report: auditor.Report) -> bool:
    return first_line(report).startswith("Fails by the document of 2007, but did not stop this push")


@pytest.mark.usefixtures("tshark")
def test_an_echo_that_the_push_did_without_is_told_first_in_every_form():
    report = of_scene("echo-dropped")
    (client,) = report.clients
    sentence = f"{BY_DOCUMENT}unproven, no requirement fails)."
    assert client.method("client-push").result == "fails"
    assert first_line(report) == sentence
    assert sentence in render_markdown(report).replace("`", "").partition("| requirement")[0]
    assert sentence in render_html(report).partition("</header>")[0]


@pytest.mark.usefixtures("tshark")
def test_what_the_current_document_makes_of_it_is_what_an_audit_by_it_finds():
    (client,) = of_scene("echo-dropped").clients
    told = client.method("client-push").went_on
    current = auditor.audit(SAMPLES / "echo-dropped.pcap", ruleset="configmgr-current-branch")
    assert told.newer == current.ruleset.id
    assert told.newer_result == current.clients[0].method("client-push").result
    assert current.clients[0].method("client-push").went_on is None


def test_a_push_that_is_all_open_but_for_the_echo_works_by_the_current_document(audited):
    report = audited(ECHO, *PORTS, FETCH, steps={12: COPIED})
    assert first_line(report) == f"{BY_DOCUMENT}works)."
    assert report.clients[0].method("client-push").went_on.without == ("client-push/icmp-echo",)


def test_by_the_current_document_there_is_nothing_to_tell(audited):
    report = audited(ECHO, *PORTS, FETCH, steps={12: COPIED}, ruleset="configmgr-current-branch")
    assert (report.clients[0].method("client-push").result, is_told(report)) == ("works", False)


def test_a_push_that_fails_by_the_current_document_is_judged_by_no_newer_one(audited):
    """The endpoint mapper stops after it has assigned a port, and the push goes on."""
    mapper = [f"{second} {SERVER}:5001{second} > {CLIENT}:135/tcp {end}" for second, end in ((1, "SF"), (3, "REJ"))]
    lines = (ECHO.replace("silent", "answered"), *mapper, PORTS[0], PORTS[2], FETCH)
    report = audited(*lines, steps={20: COPIED}, ruleset="configmgr-current-branch")
    push = report.clients[0].method("client-push")
    went_on = WentOn(("client-push/rpc-endpoint-mapper",), "configmgr-current-branch", None, None)
    assert (push.result, push.went_on) == ("fails", went_on)


@pytest.mark.parametrize(
    ("lines", "steps"),
    [
        ((ECHO, *PORTS), {}),
        ((ECHO, *PORTS), {12: "connect to ADMIN$"}),
        ((ECHO, *PORTS), {12: "copy to IPC$"}),
        ((*PORTS, ECHO.replace("0 ", "30 ", 1)), {6: COPIED}),
        ((ECHO, *PORTS[:2]), {12: COPIED}),
        ((ECHO, *PORTS[:2], PORTS[2].replace("SF", "S0")), {12: COPIED}),
        ((ECHO, *PORTS, FETCH.replace("SF", "S0"), FETCH.replace("80/", "443/").replace("SF", "S0")), {12: COPIED}),
        ((ECHO.replace("silent", "answered"), *PORTS[:2], PORTS[2].replace("SF", "S0")), {12: COPIED}),
    ],
    ids=[
        "without a step",
        "without a copy",
        "with a copy to no administrative share",
        "before the echo",
        "without a dynamic port",
        "with a blocked dynamic port",
        "with a blocked management point",
        "with nothing but a blocked dynamic port",
    ],
)
def test_it_is_not_told_of_a_push_that_did_not_demonstrably_go_on_or_fails_otherwise(audited, lines, steps):
    report = audited(*lines, steps=steps)
    assert report.clients[0].method("client-push").result == "fails"
    assert not is_told(report)


def test_a_copy_that_failed_shows_nothing(audited):
    assert not is_told(audited(ECHO, *PORTS, steps={12: COPIED}, failed=True))


ROWS = {"icmp-echo": 0, "smb": 5, "rpc-endpoint-mapper": 6, "rpc-dynamic": 7}


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=60, deadline=None)
@given(
    silent=st.sets(st.sampled_from(sorted(ROWS))),
    copied=st.booleans(),
    first=st.booleans(),
    fetched=st.sampled_from(["", "SF", "S0"]),
)
def test_it_is_told_if_and_only_if_the_echo_alone_fails_and_the_copy_comes_later(
    audited, silent, copied, first, fetched
):
    lines = [f"{0 if first else 30} {SERVER} > {CLIENT}/icmp {'silent' if 'icmp-echo' in silent else 'answered'}"]
    for line, row in zip(PORTS, list(ROWS)[1:], strict=True):
        lines.append(line.replace("SF", "S0") if row in silent else line)
    if fetched:
        lines += [
            FETCH.replace("SF", fetched),
            FETCH.replace(":51000", ":51001").replace(":80/", ":443/").replace("SF", fetched),
        ]
    report = audited(*lines, steps={8: COPIED} if copied else {})
    wanted = silent == {"icmp-echo"} and copied and first and fetched != "S0"
    assert is_told(report) == wanted


def test_it_is_saved_and_redacted(audited):
    report = audited(ECHO, *PORTS, FETCH, steps={12: COPIED})
    assert auditor.Report.from_dict(report.to_dict()) == replace(report, all_flows=None)
    assert first_line(redact(report)) == first_line(report)
