"""Which finding decides: of several attempts, ports, services, and of logs whose clocks cannot be compared."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from logs import log
from packets import pcap
from scenario import scene

import auditor
from auditor.report import model as r
from auditor.report.model import RequirementVerdict
from auditor.verdicts.findings import Finding
from auditor.verdicts.requirements.endpoint_mapper import RpcService
from auditor.verdicts.requirements.select import besides, by_port, by_service, decide_dynamic, on_other_services

Verdict = Callable[..., RequirementVerdict]
ROLES = {"site-server": "10.0.0.5", "client": "10.0.0.20"}


@pytest.fixture
def verdict(tmp_path: Path) -> Verdict:
    """Return how to evaluate a requirement by logs ("TIME ACTION PORT FLAGS [PATH]" a row), each with its own clock."""

    def verdict(requirement: str, *logs: list[str], captures: Sequence[str | Path] = ()) -> RequirementVerdict:
        paths = [tmp_path / f"{number}.log" for number, _ in enumerate(logs)]
        for path, rows in zip(paths, logs, strict=True):
            path.write_bytes(log(*map(row, rows)))
        method = auditor.audit(*captures, *paths, roles=ROLES, dissect=False).clients[0].method("client-push")
        return next(one for one in method.requirements if one.row == requirement)

    return verdict


def row(text: str) -> str:
    time, action, port, flags, path = [*text.split(), "RECEIVE"][:5]
    source_port = 50000 + int(time.replace(":", "")) % 10_000
    return f"2023-11-14 {time} {action} TCP 10.0.0.5 10.0.0.20 {source_port} {port} 52 {flags} 7 0 8192 - - - {path}"


LATE = "08:00:00 DROP 445 RA"  # of a connection that was there before
STOPPED = "08:00:01 DROP 445 S"
THROUGH = "09:00:02 ALLOW 445 -"
LET_OUT = "07:00:00 ALLOW 445 - SEND"
CLOCK_SET_BACK = ((100, 50001, "REJ"), (40, 50002, "SF"))
UNSURE = "Another source shows {}. The order is unknown, because a log uses local time."


def test_two_logs_that_show_nothing_show_nothing_together(verdict):
    assert verdict("smb", [LATE], [LATE.replace("08", "10")]).verdict == "inconclusive"


@pytest.mark.parametrize("order", [1, -1])
def test_a_drop_counts_more_than_what_was_let_through(verdict, order):
    smb = verdict("smb", *[[STOPPED], [THROUGH]][::order])
    assert (smb.verdict, smb.changed) == ("blocked", None)
    assert UNSURE.format("allowed") in smb.explanation


@pytest.mark.parametrize("order", [1, -1])
def test_a_log_that_shows_nothing_does_not_speak_against_another(verdict, order):
    smb = verdict("smb", *[[LATE], [THROUGH]][::order])
    assert smb.verdict == "allowed"
    assert "Another source" not in smb.explanation


def test_logs_that_agree_say_so_without_a_word(verdict):
    smb = verdict("smb", [STOPPED], [STOPPED.replace("08", "10")])
    assert smb.verdict == "blocked"
    assert "Another source" not in smb.explanation


def test_of_two_clocks_the_block_that_is_proven_decides(verdict, write):
    capture = write(
        pcap(scene(["0 10.0.0.5 > 10.0.0.20/icmp answered", "1 10.0.0.5:50009 > 10.0.0.20:445/tcp S0", "until 60"]))
    )
    smb = verdict("smb", [STOPPED], captures=[capture])
    assert (smb.verdict, smb.confidence, smb.blocked_at) == ("blocked", "proven", "client")


def test_what_one_log_shows_of_the_time_before_is_told(verdict):
    smb = verdict("smb", [STOPPED, THROUGH], [THROUGH.replace("09", "10")])
    assert (smb.verdict, smb.changed.before, smb.changed.after) == ("allowed", "blocked", "allowed")


def test_of_another_clock_no_port_was_open_later(verdict):
    mapper = "08:00:00 ALLOW 135 -"
    dynamic = verdict("rpc-dynamic", [mapper, "08:00:01 DROP 49700 S"], [mapper, "09:00:00 ALLOW 49701 -"])
    assert dynamic.verdict == "blocked"
    assert "later" not in dynamic.explanation


def test_what_left_its_sender_says_more_than_a_late_packet(verdict):
    assert verdict("smb", [LET_OUT, LATE.replace("RA", "RA SEND")]).verdict == "allowed"


def test_a_response_says_more_than_that_a_firewall_let_a_later_attempt_through(tmp_path, write):
    tried = ["0 10.0.0.5:50001 > 10.0.0.20:445/tcp S0", "60 10.0.0.5:50002 > 10.0.0.20:445/tcp SF"]
    path = tmp_path / "pfirewall.log"
    path.write_bytes(log(row("22:15:20 ALLOW 445 -")))  # 120 s after the capture began
    report = auditor.audit(write(pcap(scene(tried))), path, roles=ROLES, tz="UTC", dissect=False)
    smb = report.clients[0].requirement("client-push/smb")
    assert (smb.verdict, smb.changed.before, smb.changed.after) == ("open", "blocked", "open")
    assert smb.changed.after_time.endswith("22:14:20.000000Z")


def test_of_a_capture_whose_clock_was_set_back_the_last_packets_count(write):
    closed, opened = (scene([f"{at} 10.0.0.5:{port} > 10.0.0.20:445/tcp {how}"]) for at, port, how in CLOCK_SET_BACK)
    report = auditor.audit(write(pcap([*closed, *opened])), roles=ROLES, dissect=False)
    assert report.clients[0].requirement("client-push/smb").verdict == "open"


def test_a_port_that_was_let_out_says_more_than_another_of_which_nothing_is_shown(tmp_path):
    """Either port of WSUS will do."""
    path = tmp_path / "pfirewall.log"
    path.write_bytes(log(row("07:00:00 ALLOW 8530 - SEND"), row("08:00:00 DROP 80 RA SEND")))
    roles = {"client": "10.0.0.5", "software-update-point": "10.0.0.20"}
    client = auditor.audit(path, roles=roles, dissect=False).clients[0]
    assert client.requirement("software-update-point/http-software-update-point").verdict == "allowed"


# findings alone: which of them decides

SECOND = 1_000_000_000
ONE_SYN = (SimpleNamespace(row=None, protocol="tcp", tries=1),)


def finding(verdict: str, at: int = 0, *, port: int = 445, confidence: str = r.LIKELY, **more: Any) -> Finding:
    """Return what an attempt at this second shows."""
    return Finding(
        verdict, confidence, verdict, at * SECOND, at * SECOND, more.pop("attempts", ()), (), port=port, **more
    )


def services(**findings: Finding) -> dict[RpcService, tuple[Finding, None]]:
    return {RpcService(interface): (of, None) for interface, of in findings.items()}


def test_each_port_decides_for_itself_in_order_of_ports():
    decided = by_port([finding(r.OPEN, port=445), finding(r.BLOCKED, 1, port=139), finding(r.BLOCKED, 2, port=139)])
    assert [(of.port, of.verdict) for of, _ in decided] == [(139, r.BLOCKED), (445, r.OPEN)]


def test_each_rpc_service_decides_for_itself_in_order_of_names():
    port_of = {49154: RpcService("winreg"), 49153: RpcService("svcctl")}
    findings = [finding(r.OPEN, port=49154), finding(r.BLOCKED, 1, port=49153)]
    assert list(by_service(findings, lambda of: port_of[of.port])) == [RpcService("svcctl"), RpcService("winreg")]


def test_of_several_pushes_the_services_of_the_latest_decide():
    late, early = finding(r.BLOCKED, 100), finding(r.BLOCKED, 0, confidence=r.PROVEN)
    assert decide_dynamic(services(samr=late, winreg=early)) == (late, None)


def test_a_service_that_was_let_out_says_more_than_a_later_one_of_which_nothing_is_shown():
    let_out = finding(r.ALLOWED, 0, initiator_firewall_only=True)
    assert decide_dynamic(services(samr=let_out, winreg=finding(r.INCONCLUSIVE, 100))) == (let_out, None)


@pytest.mark.parametrize(
    ("chosen", "later"),
    [
        (finding(r.OPEN), finding(r.OPEN, 9, port=49153)),
        (finding(r.BLOCKED, confidence=r.PROVEN), finding(r.BLOCKED, 9, port=49153)),
        (finding(r.BLOCKED, 9), finding(r.OPEN, port=49153)),
        (finding(r.BLOCKED, clock=1), finding(r.OPEN, 9, port=49153)),
    ],
    ids=["an open port", "a port that was not open either", "an earlier port", "a port by another clock"],
)
def test_nothing_is_said_of_other_services_beside(chosen, later):
    assert on_other_services(chosen, services(samr=chosen, winreg=later)) == ""


def test_a_port_of_another_service_that_was_open_later_is_named():
    chosen = finding(r.BLOCKED, port=49152)
    earlier, latest = finding(r.OPEN, 5, port=49154), finding(r.OPEN, 9, port=49153)
    text = on_other_services(chosen, services(samr=chosen, atsvc=earlier, winreg=latest))
    assert "49153" in text
    assert "winreg" in text
    assert "49154" not in text


def test_proven_blocks_beside_what_was_chosen():
    chosen = finding(r.BLOCKED, confidence=r.PROVEN)
    other, likely = finding(r.BLOCKED, 1, confidence=r.PROVEN), finding(r.BLOCKED, 2)
    assert besides(chosen, [(chosen, None), (other, None), (likely, None)]) == [other]


@pytest.mark.parametrize("before", [[], [finding(r.BLOCKED)]])
def test_one_syn_takes_back_no_port_that_was_open(before):
    findings = [*before, finding(r.OPEN, 1), finding(r.NO_RESPONSE, 2, attempts=ONE_SYN)]
    assert [of.verdict for of, _ in by_port(findings)] == [r.OPEN]


@pytest.mark.parametrize(
    "last",
    [
        finding(r.REFUSED, 2, attempts=ONE_SYN),
        finding(r.BLOCKED, 2, attempts=ONE_SYN, confidence=r.PROVEN),
        finding(r.NO_RESPONSE, 2, attempts=(SimpleNamespace(row=None, protocol="tcp", tries=3),)),
        finding(r.NO_RESPONSE, 2, attempts=(SimpleNamespace(row=None, protocol="udp", tries=1),)),
        finding(r.NO_RESPONSE, 2, attempts=(*ONE_SYN, SimpleNamespace(row=object(), protocol="tcp", tries=1))),
        finding(r.NO_RESPONSE, 2),
    ],
    ids=["a refusal", "a proven block", "three SYNs", "another protocol", "a log's row beside it", "no attempt"],
)
def test_more_than_one_syn_takes_back_a_port_that_was_open(last):
    ((decided, change),) = by_port([finding(r.OPEN, 1), last])
    assert decided is last
    assert (change.before, change.after) == (r.OPEN, last.verdict)
