"""From requirements to results: what is stopped without harm to client push."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from packets import pcap
from scenario import scene
from test_events import BLOCKED, blocked, lines

import auditor

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
