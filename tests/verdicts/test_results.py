"""From requirements to results: what is stopped without harm to client push."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest
from packets import pcap
from scenario import scene
from security_events import BLOCKED, blocked, lines

import auditor
from auditor.report.model import Problem
from auditor.ruleset.ruleset import SiteFacts, load_ruleset
from auditor.sources.dissection.facts import SERVICE_CONTROLLER
from auditor.verdicts.method_result import harmless_requirements, method_result

ROLES = {"site-server": "10.0.0.5", "client": "10.0.0.20", "management-point": "10.0.0.80"}
SERVICES, OTHER = (rf"\\device\\harddiskvolume2\\windows\\system32\\{name}.exe" for name in ("services", "svchost"))
SMB, MAPPER = "1 10.0.0.5:50001 > 10.0.0.20:445/tcp SF", "2 10.0.0.5:50002 > 10.0.0.20:135/tcp SF"
REST = ("0 10.0.0.5 > 10.0.0.20/icmp answered", "9 10.0.0.20:51000 > 10.0.0.80:80/tcp SF")

Audited = Callable[..., auditor.Report]


@pytest.fixture
def audited(write: Callable[[bytes], object]) -> Audited:
    """Return how to audit lines of a scene beside events of the client's firewall: port and program of each."""

    def audited(*scenes: str, stopped: dict[int, str]) -> auditor.Report:
        events = [event(port, program) for port, program in stopped.items()]
        sources = [write(content) for content in (pcap(scene([*scenes, *REST])), lines(*events))]
        return auditor.audit(*sources, roles=ROLES, dissect=False)

    return audited


def event(port: int, program: str) -> dict[str, Any]:
    values = {"DestPort": str(port), "SourcePort": str(port + 1000), "Application": program}
    return blocked("2023-11-14T22:13:23Z", **(BLOCKED | values))


def test_a_stopped_port_of_the_service_controller_alone_does_no_harm(audited):
    """Windows calls it through its pipe on SMB instead."""
    report = audited(SMB, MAPPER, stopped={49700: SERVICES})
    push = report.clients[0].method("client-push")
    dynamic = report.clients[0].requirement("client-push/rpc-dynamic")
    assert (push.result, push.reasons) == ("works", ())
    assert (dynamic.verdict, dynamic.blocked_at) == ("blocked", "client")
    assert "client-push" in [one.method for one in report.clients[0].recommendation]
    needed = next(one.still_needs for one in report.clients[0].recommendation if one.method == "client-push")
    assert needed == ()


@pytest.mark.parametrize(
    ("scenes", "stopped"),
    [
        ((SMB, MAPPER), {49700: OTHER}),
        ((MAPPER,), {49700: SERVICES}),
        ((SMB.replace("SF", "REJ"), MAPPER), {49700: SERVICES}),
    ],
    ids=["of another program", "without SMB", "with SMB refused"],
)
def test_any_other_stopped_port_fails_the_push(audited, scenes, stopped):
    push = audited(*scenes, stopped=stopped).clients[0].method("client-push")
    assert push.result == "fails"
    assert "client-push/rpc-dynamic" in [one.requirement for one in push.reasons if one.kind == "network"]


# what was said on an open port


OPEN = (SMB, MAPPER, "3 10.0.0.5:50003 > 10.0.0.20:49700/tcp SF", *REST)
HTTPS = "9 10.0.0.20:51001 > 10.0.0.80:443/tcp"
FATAL = Problem("smb", "STATUS_ACCESS_DENIED", "connect to ADMIN$: STATUS_ACCESS_DENIED", 7, True)
HARMLESS = replace(FATAL, code="STATUS_OTHER", text="open a pipe: STATUS_OTHER", fatal=False)


@pytest.fixture
def judged(write: Callable[[bytes], object]) -> Callable[..., tuple[str, list[tuple[str, str]]]]:
    """Return how to judge client push with problems on some rows: its result, and kind and row of its reasons."""

    def judged(*scenes: str, **problems: tuple[Problem, ...]) -> tuple[str, list[tuple[str, str]]]:
        report = auditor.audit(write(pcap(scene(scenes))), roles=ROLES, dissect=False)
        rules = load_ruleset().at(SiteFacts(roles=frozenset(ROLES)))
        rows = report.clients[0].method("client-push").requirements
        told = [replace(one, problems=problems.get(one.row.replace("-", "_"), ())) for one in rows]
        result, reasons = method_result(told, rules)
        return result, [(one.kind, one.requirement.removeprefix("client-push/")) for one in reasons]

    return judged


def test_a_fatal_problem_on_an_open_port_fails_the_method_and_another_does_not(judged):
    assert judged(*OPEN) == ("works", [])
    assert judged(*OPEN, smb=(HARMLESS,)) == ("works", [])
    assert judged(*OPEN, smb=(HARMLESS, FATAL)) == ("fails", [("problem", "smb")])


def test_of_two_ways_one_without_a_fatal_problem_is_enough(judged):
    assert judged(*OPEN, f"{HTTPS} SF", http_management_point=(FATAL,)) == ("works", [])
    both = judged(*OPEN, f"{HTTPS} SF", http_management_point=(FATAL,), https_management_point=(FATAL,))
    assert both == ("fails", [("problem", "http-management-point"), ("problem", "https-management-point")])
    refused = judged(*OPEN, f"{HTTPS} REJ", http_management_point=(FATAL,))
    assert refused == ("fails", [("network", "https-management-point"), ("problem", "http-management-point")])


def test_of_two_ways_the_one_that_was_used_and_failed_decides(judged):
    result, reasons = judged(*OPEN, http_management_point=(FATAL,))
    assert (result, reasons) == ("fails", [("problem", "http-management-point"), ("missing", "https-management-point")])


def test_what_is_missing_is_told_behind_what_fails(judged):
    result, reasons = judged(SMB, *REST[:1], smb=(FATAL,))
    assert (result, [kind for kind, _ in reasons]) == ("fails", ["problem", *["missing"] * 4])
    assert judged(*OPEN[:3], *REST[:1])[0] == "unproven"


def test_an_open_dynamic_port_needs_no_excuse(write):
    report = auditor.audit(write(pcap(scene(OPEN))), roles=ROLES, dissect=False)
    method = load_ruleset().method("client-push")
    rows = report.clients[0].method("client-push").requirements
    name = "client-push/rpc-dynamic"
    assert harmless_requirements(method, rows, {name: {SERVICE_CONTROLLER}}) == frozenset()
    stopped = [replace(one, verdict="blocked") if one.row == "rpc-dynamic" else one for one in rows]
    assert harmless_requirements(method, stopped, {name: {SERVICE_CONTROLLER}}) == {"client-push/rpc-dynamic"}
    assert harmless_requirements(method, stopped, {name: {SERVICE_CONTROLLER, "other"}}) == frozenset()
    silent = [replace(one, verdict="blocked") if one.row == "icmp-echo" else one for one in rows]
    assert harmless_requirements(method, silent, {name: {SERVICE_CONTROLLER}}) == frozenset()


# verdicts alone


@pytest.fixture(scope="module")
def result(tmp_path_factory: pytest.TempPathFactory) -> Callable[..., tuple[str, list[tuple[str, str]]]]:
    """Return how a push ends whose rows are open but for what is changed: its result, kind and row of its reasons."""
    path = tmp_path_factory.mktemp("result") / "open.pcap"
    path.write_bytes(pcap(scene([*OPEN, f"{HTTPS} SF"])))
    rows = auditor.audit(path, roles=ROLES, dissect=False).clients[0].method("client-push").requirements
    rules = load_ruleset().at(SiteFacts(roles=frozenset(ROLES)))

    def result(guess: str = "", **changes: dict[str, Any]) -> tuple[str, list[tuple[str, str]]]:
        changed = [replace(row, **changes.get(row.row.replace("-", "_"), {})) for row in rows]
        ended, reasons = method_result(changed, rules, why_guess=lambda row: "a guess" if row.row == guess else "")
        assert all(reason.text for reason in reasons)
        assert [reason.text for reason in reasons] == ["a guess"] or not guess
        return ended, [(reason.kind, reason.requirement.removeprefix("client-push/")) for reason in reasons]

    return result


AT_CLIENT = {"verdict": "allowed", "allowed_at": "client"}
LET_OUT = {"verdict": "allowed", "allowed_at": "site-server"}
UNSEEN = {"verdict": "not-observed"}


def test_a_port_that_the_firewall_of_the_client_allows_makes_the_method_allowed(result):
    assert result(smb=AT_CLIENT) == ("allowed", [])


def test_a_port_that_was_only_let_out_leaves_the_method_unproven(result):
    assert result(smb=LET_OUT) == ("unproven", [("missing", "smb")])


def test_of_two_ways_one_that_is_allowed_is_enough(result):
    ways = {"http_management_point": LET_OUT, "https_management_point": AT_CLIENT}
    assert result(**ways) == ("allowed", [])


def test_an_open_port_that_rests_on_a_guess_proves_nothing(result):
    https = {"https_management_point": UNSEEN}
    assert result(guess="http-management-point", **https) == ("unproven", [("missing", "http-management-point")])


def test_a_row_that_does_not_apply_does_not_count(result):
    assert result(icmp_echo={"verdict": "not-applicable"}) == ("works", [])
    assert result(icmp_echo=UNSEEN) == ("unproven", [("missing", "icmp-echo")])


def test_of_two_ways_one_that_fails_leaves_the_other_unverified(result):
    ways = {"http_management_point": {"verdict": "blocked"}, "https_management_point": UNSEEN}
    reasons = [("network", "http-management-point"), ("missing", "https-management-point")]
    assert result(**ways) == ("unproven", reasons)


def test_what_fails_comes_before_what_is_missing(result):
    reasons = [("network", "smb"), ("missing", "icmp-echo")]
    assert result(icmp_echo=UNSEEN, smb={"verdict": "blocked"}) == ("fails", reasons)


def test_a_port_that_a_log_reports_as_failed_is_a_failed_step(result):
    assert result(smb={"verdict": "failed"}) == ("fails", [("step", "smb")])


def test_a_method_of_which_nothing_was_judged_is_not_said_to_work():
    assert method_result([], load_ruleset().at(SiteFacts())) == ("unproven", ())
