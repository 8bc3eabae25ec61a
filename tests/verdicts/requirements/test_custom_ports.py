"""A management point on another port than documented: it is found there, evaluated there, and the report says so."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from messages import conversation
from packets import At, pcap
from scenario import scene

import auditor
from auditor.report.model import MethodResult, RequirementVerdict

pytestmark = pytest.mark.slow

CLIENT, OTHER, SERVER, MP, WEB = "10.0.0.20", "10.0.0.21", "10.0.0.5", "10.0.0.80", "10.0.0.90"
NAMED = {"management-point": MP}
HTTP, HTTPS = "http-management-point", "https-management-point"

Pushed = Callable[..., auditor.Report]


def push(client: str = CLIENT, begin: float = 0.0) -> list[At]:
    """Return the packets of a push of which everything is open but the management point, which is not in them."""
    server, more = SERVER, int(client.rpartition(".")[2])
    return [
        At(packet.seconds + begin, packet.packet)
        for packet in scene(
            [
                f"0 {server} > {client}/icmp answered",
                f"1 {server}:{50000 + more} > {client}:445/tcp SF",
                f"2 {server}:{50100 + more} > {client}:135/tcp SF",
                f"3 {server}:{50200 + more} > {client}:49670/tcp SF",
            ]
        )
    ]


def asks(
    request: str, port: int, status: str = "200 OK", *, at: float = 5.0, client: str = CLIENT, server: str = MP
) -> list[At]:
    """Return one connection on which a client sends a request and gets a status."""
    source = 51000 + int(at * 10) % 900
    asked = f"{request} HTTP/1.1\r\nHost: {server}\r\nContent-Length: 0\r\n\r\n".encode()
    answer = f"HTTP/1.1 {status}\r\nContent-Length: 0\r\n\r\n".encode()
    packets = conversation(f"{client}:{source} > {server}:{port}", [("", asked), ("<", answer)])
    return [At(at + number / 1000, packet) for number, packet in enumerate(packets)]


def tries(*lines: str) -> list[At]:
    return scene(lines)


@pytest.fixture
def pushed(write) -> Pushed:
    """Audit a push and what else is in the capture; without what is said on the ports, if dissect is False."""

    def pushed(*more: list[At], **known: Any) -> auditor.Report:
        packets = sorted([*push(), *(packet for some in more for packet in some)], key=lambda one: one.seconds)
        return auditor.audit(write(pcap(packets)), **known)

    return pushed


def method(report: auditor.Report, client: str = CLIENT) -> MethodResult:
    return report.client(client).method("client-push")


def row(report: auditor.Report, name: str = HTTP, client: str = CLIENT) -> RequirementVerdict:
    return next(one for one in method(report, client).requirements if one.row == name)


def at(report: auditor.Report, name: str = HTTP, client: str = CLIENT) -> tuple[tuple[int, ...], str]:
    """Return at which ports a requirement is evaluated, and its verdict."""
    return row(report, name, client).ports, row(report, name, client).verdict


def management_points(report: auditor.Report) -> list[str]:
    return [one.address for one in report.roles if one.role == "management-point"]


# found by what is asked for


@pytest.mark.usefixtures("tshark")
@pytest.mark.parametrize("request_line", ["CCM_POST /any", "GET /ccm_system/request", "GET /SMS_MP/.sms_aut?mplist"])
def test_a_request_shows_the_management_point_on_any_port(pushed, request_line):
    report = pushed(asks(request_line, 8081))
    assert management_points(report) == [MP]
    assert (at(report), method(report).result) == (((8081,), "open"), "works")
    assert f"{CLIENT} connects to {MP} on TCP 8081, not TCP 80." in row(report).explanation


@pytest.mark.usefixtures("tshark")
@pytest.mark.parametrize("port", [81, 102, 1080, 2080, 5060, 8443, 11211, 49080, 60000])
def test_no_port_is_taken_for_that_of_another_protocol(pushed, port):
    assert at(pushed(asks("CCM_POST /ccm_system/request", port))) == ((port,), "open")


@pytest.mark.usefixtures("tshark")
def test_a_problem_on_another_port_is_the_management_points(pushed):
    report = pushed(
        asks("GET /CCM_Client/ccmsetup.cab", 8081), asks("CCM_POST /ccm_system/request", 8081, "403 No", at=6)
    )
    assert method(report).result == "fails"
    assert [problem.code for problem in row(report).problems] == ["403 Forbidden"]


@pytest.mark.usefixtures("tshark")
def test_every_method_asks_for_that_port(pushed):
    report = pushed(asks("CCM_POST /ccm_system/request", 8081))
    rows = [one for one in report.client(CLIENT).methods for one in one.requirements if one.row == HTTP]
    assert [one.ports for one in rows] == [(8081,)] * 3


@pytest.mark.usefixtures("tshark")
@pytest.mark.parametrize("known", [{"roles": NAMED}, {"roles": {"management-point": "10.0.0.0/24"}}, {}])
def test_the_port_is_found_however_the_management_point_is_known(pushed, known):
    report = pushed(asks("CCM_POST /ccm_system/request", 8081), **known)
    assert (at(report), method(report).result) == (((8081,), "open"), "works")


@pytest.mark.usefixtures("tshark")
def test_a_request_to_a_proxy_does_not_make_it_the_management_point(pushed):
    report = pushed(asks(f"CCM_POST http://{MP}/ccm_system/request", 8081, server=WEB))
    assert management_points(report) == []


@pytest.mark.usefixtures("tshark")
def test_another_web_server_is_no_management_point(pushed):
    report = pushed(asks("GET /index.html", 8081, server=WEB))
    assert management_points(report) == []
    assert at(report) == ((80,), "not-observed")


@pytest.mark.usefixtures("tshark")
def test_another_web_server_on_the_management_point_is_not_taken_for_it(pushed):
    report = pushed(asks("GET /index.html", 8081), roles=NAMED)
    assert at(report) == ((80,), "not-observed")


@pytest.mark.usefixtures("tshark")
def test_a_documented_port_with_requests_stays(pushed):
    more = asks("GET /index.html", 8081, at=6)
    assert at(pushed(asks("CCM_POST /ccm_system/request", 80), more)) == ((80,), "open")


@pytest.mark.usefixtures("tshark")
def test_a_drop_on_the_documented_port_is_not_lost(pushed):
    blocked = tries(f"4 {CLIENT}:51500 > {MP}:80/tcp prohibited by 10.0.0.1")
    report = pushed(blocked, asks("CCM_POST /ccm_system/request", 8081))
    assert at(report) == ((8081,), "open")
    assert row(report).explanation.endswith("not TCP 80. TCP 80 is blocked.")
    assert len(row(report).evidence) == 2


@pytest.mark.usefixtures("tshark")
@pytest.mark.parametrize(
    ("outcome", "told", "blocks"),
    [
        ("prohibited by 10.0.0.1", " TCP 80 is blocked.", [(80,)]),
        ("REJ", " TCP 80 is refused.", []),
        ("SF", "", []),
        ("mid-stream one way", "", []),
    ],
)
def test_beside_a_custom_port_the_documented_one_is_told_of_if_it_fails(pushed, outcome, told, blocks):
    """It is tried later than the custom one, so that its frames come last."""
    documented = tries(f"20 {CLIENT}:51500 > {MP}:80/tcp {outcome}")
    found = row(pushed(asks("CCM_POST /ccm_system/request", 8081), documented))
    assert found.explanation.endswith(f"on TCP 8081, not TCP 80.{told}")
    assert [block.ports for block in found.also_blocked] == blocks
    assert [proof.frames[0] for proof in found.evidence] == sorted(proof.frames[0] for proof in found.evidence)
    assert len(found.evidence) == (2 if told else 1)


@pytest.mark.usefixtures("tshark")
def test_each_capture_that_shows_that_the_documented_port_fails_is_shown(write):
    packets = [*push(), *asks("CCM_POST /ccm_system/request", 8081), *tries(f"20 {CLIENT}:51500 > {MP}:80/tcp REJ")]
    found = row(auditor.audit(*(write(pcap(packets)) for _ in range(2))))
    assert (found.verdict, found.explanation.endswith("TCP 80 is refused.")) == ("open", True)
    assert [proof.source for proof in found.evidence] == [0, 0, 1, 1]


@pytest.mark.usefixtures("tshark")
def test_a_port_that_does_not_apply_is_the_documented_one(pushed):
    found = row(pushed(asks("CCM_POST /ccm_system/request", 8081), mode="native"))
    assert (found.verdict, found.ports, "8081" in found.explanation) == ("not-applicable", (80,), False)


# what other clients show


@pytest.mark.usefixtures("tshark")
def test_the_port_of_other_clients_is_that_of_a_client_that_only_tried_it(pushed):
    shown = asks("CCM_POST /ccm_system/request", 8081, client=OTHER, at=9)
    silent = tries(f"5 {CLIENT}:51001 > {MP}:8081/tcp S0", f"5 {CLIENT} > {MP}/icmp answered")
    report = pushed(push(OTHER, 0.1), shown, silent)
    assert (at(report), at(report, client=OTHER)) == (((8081,), "blocked"), ((8081,), "open"))
    assert f"{OTHER} connects to {MP} on TCP 8081, not TCP 80." in row(report).explanation


@pytest.mark.usefixtures("tshark")
@pytest.mark.parametrize(("outcome", "verdict"), [("S0", "blocked"), ("SF", "open")])
def test_another_port_of_other_clients_does_not_count_for_a_client_on_the_documented_one(pushed, outcome, verdict):
    shown = asks("CCM_POST /ccm_system/request", 8081, client=OTHER, at=9)
    own = tries(f"5 {CLIENT}:51001 > {MP}:80/tcp {outcome}", f"5 {CLIENT} > {MP}/icmp answered")
    assert at(pushed(push(OTHER, 0.1), shown, own)) == ((80,), verdict)


# assumed, where nothing is read


def ports_only(pushed: Pushed, *lines: str, **known: Any) -> auditor.Report:
    return pushed(tries(*lines), **{"roles": NAMED, **known}, dissect=False)


def test_the_only_other_port_of_a_named_management_point_is_evaluated(pushed):
    report = ports_only(pushed, f"5 {CLIENT}:51000 > {MP}:8081/tcp SF")
    assert at(report) == ((8081,), "open")
    assert row(report).explanation.endswith(
        f"{CLIENT} connects to {MP} on TCP 8081, not TCP 80. The port is assumed. To confirm it, set --port http=8081."
    )


def test_no_result_that_rests_on_an_assumed_port_is_works(pushed):
    line = f"5 {CLIENT}:51000 > {MP}:8081/tcp SF"
    report = ports_only(pushed, line)
    assert method(report).result == "unproven"
    assert [(one.kind, one.requirement) for one in method(report).reasons] == [("missing", f"client-push/{HTTP}")]
    assert method(ports_only(pushed, line, ports={"http": 8081})).result == "works"


def test_an_assumed_port_that_is_blocked_does_not_fail_the_method_by_itself(pushed):
    report = ports_only(pushed, f"5 {CLIENT}:51000 > {MP}:8081/tcp prohibited by 10.0.0.1")
    assert (at(report), method(report).result) == (((8081,), "blocked"), "unproven")
    assert "TCP 8081" in row(report).remedy_text


@pytest.mark.parametrize(
    ("port", "known", "name"),
    [
        (8081, {}, HTTP),
        (10080, {}, HTTP),
        (8443, {}, HTTPS),
        (8443, {"mode": "mixed"}, HTTP),
        (8081, {"mode": "native"}, HTTPS),
        (8081, {"ports": {"http": 8080}}, HTTPS),
        (8443, {"ports": {"https": 4443}}, HTTP),
    ],
)
def test_which_requirement_has_the_assumed_port(pushed, port, known, name):
    report = ports_only(pushed, f"5 {CLIENT}:51000 > {MP}:{port}/tcp SF", **known)
    assert [one.row for one in method(report).requirements if one.ports == (port,)] == [name]


@pytest.mark.usefixtures("tshark")
def test_a_tls_handshake_shows_that_it_is_the_port_of_https(pushed):
    hello = bytes.fromhex("160301002f0100002b0303" + "00" * 32 + "000004c02fc0300100")
    packets = conversation(f"{CLIENT}:51000 > {MP}:8081", [("", hello), ("<", bytes.fromhex("15030300020228"))])
    report = pushed([At(5 + number / 1000, packet) for number, packet in enumerate(packets)], roles=NAMED)
    assert (row(report).ports, row(report, HTTPS).ports) == ((80,), (8081,))


@pytest.mark.parametrize("port", [22, 53, 88, 389, 445, 1433, 3389, 5985, 8530, 10123, 49670])
def test_ports_of_other_services_are_not_assumed(pushed, port):
    report = ports_only(pushed, f"5 {CLIENT}:51000 > {MP}:{port}/tcp SF")
    assert [at(report, name) for name in (HTTP, HTTPS)] == [((80,), "not-observed"), ((443,), "not-observed")]


def test_no_port_is_assumed_if_a_documented_one_was_tried(pushed):
    tried = (f"5 {CLIENT}:51000 > {MP}:443/tcp S0", f"6 {CLIENT}:51001 > {MP}:8081/tcp SF")
    assert at(ports_only(pushed, *tried)) == ((80,), "not-observed")


def test_no_port_is_assumed_if_there_are_several(pushed):
    tried = (f"5 {CLIENT}:51000 > {MP}:8081/tcp SF", f"6 {CLIENT}:51001 > {MP}:8082/tcp SF")
    report = ports_only(pushed, *tried)
    assert at(report) == ((80,), "not-observed")
    assert row(report).explanation.endswith(
        f"{CLIENT} connects to {MP} on TCP 8081, TCP 8082. If that is the right port, set --port http=PORT."
    )


def test_the_hint_names_the_setting_of_the_server(pushed):
    line = f"5 {CLIENT}:51000 > {WEB}:9000/tcp SF"
    report = ports_only(pushed, line, roles={"software-update-point": WEB})
    found = report.client(CLIENT).requirement("software-update-point/http-software-update-point")
    assert found.explanation.endswith("If that is the right port, set --port http-software-update-point=PORT.")


def test_of_many_other_ports_the_lowest_three_are_named(pushed):
    report = ports_only(pushed, *(f"{n} {CLIENT}:{51000 + n} > {MP}:{8090 - n}/tcp SF" for n in range(5, 9)))
    assert f"{CLIENT} connects to {MP} on TCP 8082, TCP 8083, TCP 8084. If that is" in row(report).explanation


def test_a_port_that_another_requirement_is_evaluated_at_is_no_hint(pushed):
    report = ports_only(pushed, f"5 {CLIENT}:51000 > {MP}:8443/tcp SF")
    assert (at(report, HTTPS), "--port" in row(report).explanation) == (((8443,), "open"), False)


def test_no_port_is_assumed_of_a_server_that_is_known_by_its_port_only(pushed):
    """A guess would rest on a guess: that another client connects to it at 80 makes it no management point."""
    lines = (f"5 {OTHER}:51000 > {WEB}:80/tcp SF", f"6 {CLIENT}:51000 > {WEB}:8081/tcp SF")
    report = pushed(push(OTHER, 0.1), tries(*lines), dissect=False)
    assert at(report) == ((80,), "not-observed")


def test_a_port_that_was_set_is_never_replaced(pushed):
    line = f"5 {CLIENT}:51000 > {MP}:8081/tcp SF"
    for ports in ({"http": 8080, "https": 4443}, {HTTP: 8080, HTTPS: 4443}):
        report = ports_only(pushed, line, ports=ports)
        assert [at(report, name) for name in (HTTP, HTTPS)] == [((8080,), "not-observed"), ((4443,), "not-observed")]
        assert f"connects to {MP} on TCP 8081." in row(report).explanation


# what the report says of a management point that it did not find


def missing(report: auditor.Report) -> str:
    return next((text for text in report.limitation_texts if "no connection to a management point" in text), "")


def test_a_capture_with_the_only_other_port_of_the_management_point_is_no_reason_for_another_capture(pushed):
    assert missing(ports_only(pushed, f"5 {CLIENT}:51000 > {MP}:8081/tcp SF")) == ""


def test_a_capture_with_connections_of_the_client_is_no_reason_for_one_at_the_client(pushed):
    custom = ports_only(pushed, f"5 {CLIENT}:51000 > {MP}:8081/tcp SF", roles={})
    assert missing(custom).endswith(
        f"but {CLIENT} connects to {MP} on TCP 8081. If that is the management point, set --role management-point={MP} "
        "--port http=8081."
    )
    assert "at the client" not in missing(ports_only(pushed, f"5 {CLIENT}:51000 > {WEB}:3389/tcp SF", roles={}))


def test_a_capture_without_a_connection_of_the_client_is_a_reason_for_one(pushed):
    assert missing(ports_only(pushed, roles={})).endswith("take one at the client too.")


def test_attempts_without_a_response_are_no_reason_for_a_capture_at_the_client(pushed):
    report = ports_only(pushed, f"5 {CLIENT}:51000 > {MP}:80/tcp S0", mode="native")
    assert missing(report).endswith(f"only attempts without a response: {CLIENT} to {MP} on TCP 80.")


# in a fleet


@pytest.mark.parametrize(("tried", "is_told"), [(f"5 {CLIENT}:51000 > {MP}:80/tcp S0", False), ("until 9", True)])
def test_a_fleet_tells_which_management_point_no_computer_tried_to_reach(write, tmp_path, tried, is_told):
    roles = {"site-server": SERVER, "management-point": MP}
    fleet = auditor.batch(write(pcap([*push(), *tries(tried)])), out=tmp_path / "fleet", roles=roles, workers=0)
    told = f"{MP} (management point, set with --role) is not in the sources. Check the address."
    assert (told in fleet.report.limitation_texts) == is_told


def test_a_fleet_in_which_no_management_point_is_set_asks_for_no_other_capture(write, tmp_path):
    lines = tries(f"5 {CLIENT}:51000 > {MP}:80/tcp S0")
    auditor.batch(write(pcap([*push(), *lines])), out=tmp_path / "fleet", roles={"site-server": SERVER}, workers=0)
    assert missing(auditor.host_report(tmp_path / "fleet", CLIENT)) == ""


@pytest.mark.parametrize(("port", "ports"), [(8081, (8081,)), (2080, (2080,)), (3389, None)])
def test_a_fleet_has_the_assumed_port_of_a_named_management_point_too(write, tmp_path, port, ports):
    packets = [*push(), *tries(f"5 {CLIENT}:51000 > {MP}:{port}/tcp SF", f"6 {CLIENT}:51001 > {WEB}:{port}/tcp SF")]
    roles = {"site-server": SERVER, "management-point": MP}
    fleet = auditor.batch(write(pcap(packets)), out=tmp_path / "fleet", roles=roles, workers=0)
    (host,) = fleet.report.hosts
    seen = {one.requirement: (one.ports, one.verdict) for one in host.seen}
    assert seen.get(f"client-push/{HTTP}") == (ports and (ports, "open"))
    assert host.outcome("client-push").result == "unproven"
