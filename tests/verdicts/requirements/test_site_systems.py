"""What site systems of every role answer over HTTP: an error on the last try is a problem of the role's requirement."""

from __future__ import annotations

from collections.abc import Callable

import pytest
from packets import At, ip, pcap, talk, tcp, turned

import auditor
from auditor.report.model import MethodResult, RequirementVerdict

pytestmark = [pytest.mark.slow, pytest.mark.usefixtures("tshark")]

CLIENT, SERVER = "10.0.0.20", "10.0.0.80"

# Role, its port, the method and row that ask for it, and a path of its own.
ROLES = {
    "management-point": (80, "client-push/http-management-point", "/SMS_MP/.sms_aut"),
    "distribution-point": (80, "software-distribution/http-distribution-point", "/SMS_DP_SMSPKG$/LAB00001/client.msi"),
    "software-update-point": (
        8530,
        "software-update-point/http-software-update-point",
        "/ClientWebService/a.asmx",
    ),
    "fallback-status-point": (80, "client-push/http-fallback-status-point", "/SMS_FSP/.sms_fsp"),
    "server-locator-point": (80, "client-push/http-server-locator-point", "/SMS_SLP/slp.dll"),
}
EVERY_ROLE = pytest.mark.parametrize("role", ROLES)

Fetched = Callable[..., auditor.Report]


def exchange(port: int, path: str, status: str, source_port: int, second: float) -> list[At]:
    """Return one connection in which the client asks for a path and gets a status."""
    who = f"{CLIENT}:{source_port} > {SERVER}:{port}"
    asked = f"GET {path} HTTP/1.1\r\nHost: {SERVER}\r\n\r\n".encode()
    answer = f"HTTP/1.1 {status}\r\nContent-Length: 0\r\n\r\n".encode()
    packets = [
        *talk(who, "S <SA A"),
        ip(who, 6, tcp(who, "PA", seq=1001, ack=9001)[20:] + asked),
        ip(turned(who), 6, tcp(turned(who), "PA", seq=9001, ack=1001 + len(asked))[20:] + answer),
    ]
    return [At(second + number / 100, packet) for number, packet in enumerate(packets)]


@pytest.fixture
def fetched(write) -> Fetched:
    """Audit a capture in which the client asks a server of this role once for each status.

    apart: for another path each time. named: whether the role is given.
    """

    def fetched(role: str, *statuses: str, named: bool = True, apart: bool = False) -> auditor.Report:
        port, _, path = ROLES[role]
        packets = [
            packet
            for number, status in enumerate(statuses)
            for packet in exchange(port, f"{path}{number if apart else ''}", status, 50000 + number, 10 * number)
        ]
        roles = {"client": CLIENT} | ({role: SERVER} if named else {})
        return auditor.audit(write(pcap(packets)), roles=roles)

    return fetched


def judged(report: auditor.Report, role: str) -> tuple[MethodResult, RequirementVerdict]:
    (client,) = report.clients
    method = client.method(ROLES[role][1].partition("/")[0])
    return method, next(one for one in method.requirements if one.id == ROLES[role][1])


@EVERY_ROLE
@pytest.mark.parametrize("status", ["401 Unauthorized", "404 Not Found", "500 Internal Server Error"])
def test_an_error_is_a_problem_and_the_port_is_open(role, status, fetched):
    method, one = judged(fetched(role, status), role)
    assert (one.verdict, [(found.code, found.fatal) for found in one.problems]) == ("open", [(status, True)])
    assert one.remedy[0].place == role
    assert method.result == "fails"
    assert [reason.kind for reason in method.reasons if reason.requirement == one.id] == ["problem"]


@EVERY_ROLE
def test_no_error_is_no_problem(role, fetched):
    _, one = judged(fetched(role, "200 OK"), role)
    assert (one.verdict, one.problems) == ("open", ())


@EVERY_ROLE
def test_the_last_answer_decides(role, fetched):
    """So it is with a logon that the server asks for first."""
    _, one = judged(fetched(role, "401 Unauthorized", "200 OK"), role)
    assert [(found.code, found.fatal) for found in one.problems] == [("401 Unauthorized", False)]
    _, one = judged(fetched(role, "200 OK", "503 Service Unavailable"), role)
    assert [(found.code, found.fatal) for found in one.problems] == [("503 Service Unavailable", True)]


@EVERY_ROLE
def test_the_path_shows_the_role_of_a_server_that_nobody_named(role, fetched):
    report = fetched(role, "500 Internal Server Error", named=False)
    assert [one.address for one in report.roles if one.role == role] == [SERVER]
    _, one = judged(report, role)
    assert [found.code for found in one.problems] == ["500 Internal Server Error"]


@pytest.mark.parametrize("count", [1, 5, 6, 7])
def test_however_many_problems_there_are_the_proof_that_the_port_is_open_comes_first(count, fetched):
    """Each connection is five packets: SYN, SYN-ACK, ACK, question, answer; the latest decides."""
    _, one = judged(fetched("management-point", *["500 Internal Server Error"] * count, apart=True), "management-point")
    cited = [proof.frames for proof in one.evidence]
    assert (5 * count - 4, 5 * count - 3) in cited
    assert {(5 * number,) for number in range(1, count + 1)} <= set(cited)
