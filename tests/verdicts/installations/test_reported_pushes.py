"""Pushes that ConfigMgr's own logs report: joined with packets and firewall logs, or alone."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable
from pathlib import Path

import pytest
from click.testing import CliRunner
from hypothesis import given, settings
from hypothesis import strategies as st
from logs import firewall_log, row
from packets import pcap
from push_logs import ACCESS_DENIED, BAD_PATH, begun, complete, failing, record, skipped
from scenario import scene
from setup_logs import SERVICE, log
from setup_logs import record as client_record

import auditor
from auditor.cli.commands import cli
from auditor.report.model import Reason, RequirementVerdict
from auditor.ruleset.given_roles import parse_roles
from auditor.ruleset.ruleset import SiteFacts, load_ruleset
from auditor.sources.dissection.facts import ProtocolFacts
from auditor.verdicts import evaluate as verdicts
from auditor.verdicts.installations import reported_pushes
from auditor.verdicts.installations.contacts import contacts_of, merge
from auditor.verdicts.installations.roles import infer_roles
from auditor.verdicts.requirements import reported_steps
from auditor.version import TOOL

SMB_SILENT = ("0 10.0.0.5:50000 > 10.0.0.20:445/tcp S0", "1 10.0.0.5:50001 > 10.0.0.20:135/tcp SF")
SMB_OPEN = ("0 10.0.0.5:50000 > 10.0.0.20:445/tcp SF", "1 10.0.0.5:50001 > 10.0.0.20:135/tcp SF")
OTHER = ("0 10.0.0.5:50010 > 10.0.0.21:445/tcp S0", "1 10.0.0.5:50011 > 10.0.0.21:135/tcp SF")
HOUR = 3600
ADDRESSES = (
    "Sending message body '<ContentLocationRequest><IPAddresses>"
    '<IPAddress SubnetAddress="10.0.0.0" Address="10.0.0.20"/></IPAddresses></ContentLocationRequest>\''
)
ENDED_WELL = "CcmSetup is exiting with return code 0"

Audit = Callable[..., auditor.Report]


@pytest.fixture
def audited(tmp_path: Path) -> Audit:
    """Audit sources: packets, the text of a log, or bytes. Each goes to a file of its own."""

    def audited(*contents: str | bytes | Iterable[str], **known: object) -> auditor.Report:
        paths = []
        for number, content in enumerate(contents):
            path = tmp_path / f"source-{number}.log"
            text = content.encode() if isinstance(content, str) else content
            path.write_bytes(text if isinstance(text, bytes) else pcap(scene(text)))
            paths.append(path)
        return auditor.audit(*paths, **known, dissect=False)  # type: ignore[arg-type]

    return audited


@pytest.fixture
def audited_with_names(tmp_path: Path) -> Audit:
    """Audit a log and packets whose protocols show names of hosts."""

    def audited_with_names(text: str, lines: Iterable[str], *names: tuple[str, str]) -> auditor.Report:
        contents = {"ccm.log": text.encode(), "push.pcap": pcap(scene(lines))}
        for name, content in contents.items():
            (tmp_path / name).write_bytes(content)
        sources = [auditor.read(tmp_path / name) for name in contents]
        facts = [ProtocolFacts(), ProtocolFacts(names=names)]
        rules = load_ruleset()
        contacts = merge(contact for source in sources for contact in contacts_of(source, rules))
        roles = infer_roles(sources, rules, parse_roles({}), contacts, facts)
        return auditor.Report.of(verdicts.audit(sources, rules, roles, SiteFacts(), (), TOOL))

    return audited_with_names


def smb(report: auditor.Report, client: str = "10.0.0.20") -> RequirementVerdict:
    return report.client(client).requirement("client-push/smb")


def results(report: auditor.Report) -> dict[str, str]:
    return {client.address: client.method("client-push").result for client in report.clients}


def pairs(report: auditor.Report) -> list[tuple[str, str]]:
    return [(push.from_address, push.to_address) for push in report.pushes]


# joined


def test_one_push_in_log_and_capture_is_one_push(audited):
    report = audited(failing(), SMB_SILENT)
    assert pairs(report) == [("10.0.0.5", "10.0.0.20")]
    assert [(step.code, step.lines) for step in report.pushes[0].steps] == [("00000035", (3,))]


def test_the_order_of_sources_does_not_matter(audited):
    first, second = audited(failing(), SMB_SILENT), audited(SMB_SILENT, failing())
    assert pairs(first) == pairs(second)
    assert results(first) == results(second)
    assert smb(first).verdict == smb(second).verdict


def test_a_join_by_time_is_an_assumption_that_is_told(audited):
    report = audited(failing(), SMB_SILENT)
    (client,) = (role for role in report.roles if role.role == "client")
    assert (client.name, client.how_sure) == ("PC17", "likely")
    assert any("PC17" in text and "--role client=10.0.0.20" in text for text in report.limitation_texts)


def test_two_computers_in_the_log_are_not_joined_by_time(audited):
    report = audited(failing("A1") + failing("B1", at=9, number=2), SMB_SILENT)
    assert sorted(results(report)) == ["10.0.0.20", "a1", "b1"]


def test_two_pushes_in_the_capture_are_not_joined_by_time(audited):
    report = audited(failing(), (*SMB_SILENT, *OTHER))
    assert sorted(results(report)) == ["10.0.0.20", "10.0.0.21", "pc17"]


def test_a_log_of_another_hour_is_not_joined_by_time(audited):
    report = audited(failing(at=HOUR), SMB_SILENT)
    assert sorted(results(report)) == ["10.0.0.20", "pc17"]


def test_the_client_that_was_set_by_its_address_is_the_computer_of_the_log(audited):
    report = audited(failing(), (*SMB_SILENT, *OTHER), roles={"client": "10.0.0.20"})
    assert results(report) == {"10.0.0.20": "fails"}
    assert smb(report).evidence[0].lines == (3,)


def test_the_client_that_was_set_by_its_name_is_chosen_from_the_log(audited):
    report = audited(failing("A1") + failing("B1", at=9, number=2), roles={"client": "A1"})
    assert results(report) == {"a1": "fails"}


def test_a_client_that_was_set_by_its_address_is_the_only_one_of_the_log(audited):
    report = audited(failing("10.0.0.20") + failing("10.0.0.21", at=9, number=2), roles={"client": "10.0.0.20"})
    assert results(report) == {"10.0.0.20": "fails"}
    assert [role.address for role in report.roles if role.role == "client"] == ["10.0.0.20"]


def test_a_client_that_no_request_is_for_fails_at_the_queue(audited):
    report = audited(failing("A1"), roles={"client": "MISSING"})
    (method,) = (method for method in report.client("missing").methods if method.id == "client-push")
    assert [reason.kind for reason in method.reasons if reason.kind != "missing"] == ["step"]


def test_a_machine_that_the_log_calls_by_its_address_is_that_host(audited):
    assert pairs(audited(failing("10.0.0.20"), (*SMB_SILENT, *OTHER))) == [
        ("10.0.0.5", "10.0.0.20"),
        ("10.0.0.5", "10.0.0.21"),
    ]


def test_ccmsetup_tells_the_address_of_its_computer(audited):
    report = audited(log(*SERVICE, ADDRESSES), (*SMB_SILENT, *OTHER))
    assert len(report.pushes) == 2
    (push,) = (push for push in report.pushes if push.to_address == "10.0.0.20")
    assert "command line of a client push" in push.why


@pytest.mark.parametrize("name", ["PC17", "pc17.corp.example.com", "PC17.corp.example.com."])
def test_a_name_in_the_protocols_is_that_in_the_log(audited_with_names, name):
    report = audited_with_names(failing("PC17"), (*SMB_SILENT, *OTHER), ("10.0.0.20", name))
    assert [push.to_address for push in report.pushes if push.steps] == ["10.0.0.20"]


def test_a_name_that_two_hosts_use_is_not_joined(audited_with_names):
    names = (("10.0.0.20", "PC17"), ("10.0.0.21", "PC17"))
    assert "pc17" in results(audited_with_names(failing("PC17"), (*SMB_SILENT, *OTHER), *names))


def test_a_host_that_calls_itself_otherwise_is_another_computer(audited_with_names):
    report = audited_with_names(failing("PC17"), SMB_SILENT, ("10.0.0.20", "OTHER"))
    assert sorted(results(report)) == ["10.0.0.20", "pc17"]


@pytest.mark.parametrize(
    ("sources", "stated"),
    [((SMB_SILENT,), True), ((failing("A1") + failing("B1", at=9, number=2),), False)],
    ids=["a capture without names", "a log of two computers"],
)
def test_a_name_that_was_set_is_stated_where_no_source_has_it(audited, sources, stated):
    texts = audited(*sources, roles={"client": "A1"}).limitation_texts
    assert any(text.startswith("No source shows the address of A1 (client)") for text in texts) == stated


# what stands


def test_the_verdict_of_packets_stands_with_the_log_beside_it(audited):
    verdict = smb(audited(failing(), SMB_SILENT))
    assert (verdict.verdict, verdict.confidence, verdict.changed) == ("blocked", "likely", None)
    assert [(proof.source, bool(proof.frames), proof.lines) for proof in verdict.evidence] == [
        (0, False, (3,)),
        (1, True, ()),
    ]
    assert "source-0.log line 3" in verdict.explanation


def test_a_later_log_decides_and_the_change_is_told(audited):
    report = audited(failing(at=HOUR), SMB_OPEN, roles={"client": "10.0.0.20"})
    verdict = smb(report)
    assert (verdict.verdict, verdict.confidence) == ("failed", "likely")
    assert verdict.changed is not None
    assert (verdict.changed.before, verdict.changed.after) == ("open", "failed")


@pytest.mark.parametrize(("earlier", "evidence"), [(HOUR, 0), (300, 1)])
def test_a_log_that_is_older_by_more_than_ten_minutes_is_no_evidence(audited, earlier, evidence):
    report = audited(failing(at=-earlier), SMB_SILENT, roles={"client": "10.0.0.20"})
    assert sum(bool(proof.lines) for proof in smb(report).evidence) == evidence


def test_an_allow_of_the_firewall_and_an_answer_in_the_log_are_open(audited):
    rows = firewall_log(row("22:13:20 ALLOW 10.0.0.5:50000 > 10.0.0.20:445 - RECEIVE"), clock="UTC")
    roles = {"client": "10.0.0.20", "site-server": "10.0.0.5"}
    assert smb(audited(rows, roles=roles)).verdict == "allowed"
    assert smb(audited(rows, failing(code=ACCESS_DENIED), roles=roles)).verdict == "open"


# a log alone


def test_a_code_that_does_not_tell_a_cause_is_failed(audited):
    report = audited(failing(code=BAD_PATH))
    assert (smb(report, "pc17").verdict, smb(report, "pc17").confidence) == ("failed", "likely")
    assert results(report) == {"pc17": "fails"}


def test_a_code_that_proves_an_answer_is_a_problem_on_an_open_port(audited):
    report = audited(failing(code=ACCESS_DENIED))
    assert smb(report, "pc17").verdict == "open"
    (reason,) = (r for r in report.client("pc17").method("client-push").reasons if r.kind != "missing")
    assert (reason.kind, reason.requirement) == ("problem", "client-push/smb")


def test_a_step_without_a_port_is_the_reason_itself(audited):
    missing = "[CCMHTTP] ERROR: URL=https://mp.example.com/x, Port=0, Options=63, Code=0, Text=CCM_E_NO_CLIENT_PKI_CERT"
    report = audited(log(*SERVICE, missing, "CcmSetup failed with error code 0x87d00454"))
    (client,) = report.clients
    (reason,) = (r for r in client.method("client-push").reasons if r.kind != "missing")
    assert (reason.kind, reason.requirement, bool(reason.evidence), bool(reason.remedy)) == ("step", "", True, True)
    assert {row.verdict for row in client.method("client-push").requirements} <= {"not-observed", "not-applicable"}


def test_every_computer_of_a_log_is_a_client(audited):
    report = audited("".join(failing(f"PC{number:02}", at=number, number=number) for number in range(12)))
    assert list(results(report)) == [f"pc{number:02}" for number in range(12)]


def test_of_several_requests_the_latest_decides(audited):
    report = audited(failing(code=53) + failing(code=5, at=100, number=2) + failing(code=1326, at=200, number=3))
    (problem,) = smb(report, "pc17").problems
    assert problem.line == 11
    assert len(report.pushes) == 1


def test_the_logs_of_two_site_servers_are_two_pushes(audited):
    capture = (*SMB_SILENT, "5 10.0.0.6:50000 > 10.0.0.30:445/tcp S0", "6 10.0.0.6:50001 > 10.0.0.30:135/tcp SF")
    report = audited(failing("10.0.0.20"), failing("10.0.0.30", number=2), capture)
    assert pairs(report) == [("10.0.0.5", "10.0.0.20"), ("10.0.0.6", "10.0.0.30")]


def test_equal_names_in_two_domains_are_two_computers(audited):
    report = audited(failing("PC17.a.example") + failing("PC17.b.example", ACCESS_DENIED, 9, 2))
    assert smb(report, "pc17.a.example").verdict == "failed"
    assert smb(report, "pc17.b.example").verdict == "open"


def test_a_short_name_is_that_of_the_only_full_one(audited):
    report = audited(failing("PC17.a.example") + failing("pc17", ACCESS_DENIED, 9, 2))
    assert results(report) == {"pc17.a.example": "fails"}


# pushes that the site server skipped

REASONS = {
    "Mobile client on the target machine has the same version, and so on.": "a client of this version",
    "Travel mode is turned ON & the client is NOT currently assigned to this site. Discarding CCR": "travel mode",
    "PC17 is a laboratory computer. Not processing this CCR.": "exclusion list",
}
ENDS = ("sp_CP_SetLastErrorCode] 1, 120", "sp_CP_SetPushRequestMachineStatus] 1, 3")
EXPORT = "MachineID,Name,PushSiteCode,LatestProcessingAttempt,LastErrorCode,NumProcessAttempts,Status"


def skipping(line: str) -> str:
    return begun() + record(f"---> {line}", 1) + record('<======End request: "1", machine name: "PC17".', 2)


def why_skipped(report: auditor.Report) -> Reason:
    method = report.clients[0].method("client-push")
    (reason,) = (reason for reason in method.reasons if reason.kind != "missing")
    assert (method.result, reason.kind, reason.requirement) == ("unproven", "step", "")
    assert not any(verdict.verdict in ("blocked", "failed", "open") for verdict in method.requirements)
    return reason


@pytest.mark.parametrize(("line", "cause"), REASONS.items(), ids=REASONS.values())
def test_a_skipped_push_says_why_and_what_to_do(audited, line, cause):
    reason = why_skipped(audited(skipping(line)))
    assert "skipped the push to PC17" in reason.text or "skipped the push to the client" in reason.text
    assert cause in reason.text
    assert [proof.lines for proof in reason.evidence] == [(3,)]
    assert reason.remedy


@pytest.mark.parametrize("end", ENDS)
def test_a_push_that_only_its_status_calls_skipped_is_skipped(audited, end):
    assert why_skipped(audited(begun() + record(f"Execute query exec [{end}", 1))).remedy


@pytest.mark.parametrize("code", ["", "0", "120"])
def test_a_skipped_row_of_an_export_is_skipped(audited, code):
    row = f"1,PC17,ABC,2023-11-14 22:13:20.000,{code},9,3"
    assert why_skipped(audited("\r\n".join((EXPORT, row, "")))).evidence[0].lines == (2,)


def test_a_forced_push_to_a_client_of_the_same_version_is_not_skipped(audited):
    line = "Mobile client on the target machine has the same version, and 'forced' flag is turned on."
    reasons = audited(skipping(line)).clients[0].method("client-push").reasons
    assert {reason.kind for reason in reasons} == {"missing"}


def test_a_skipped_push_is_explained_in_the_text_with_its_fix(audited):
    text = audited(skipping(next(iter(REASONS)))).to_text()
    assert text.index("UNPROVEN: client push") < text.index("skipped the push") < text.index("Always install")


def test_ports_that_packets_show_to_be_blocked_stay_so_beside_a_skipped_push(audited):
    report = audited(skipping(next(iter(REASONS))), SMB_SILENT)
    assert (smb(report).verdict, results(report)) == ("blocked", {"10.0.0.20": "fails"})


# no wrong "all fine"


def test_an_older_success_of_ccmsetup_does_not_hide_a_newer_failing_push(audited):
    report = audited(log(*SERVICE, ENDED_WELL), failing())
    assert results(report) == {"pc17": "fails"}


def test_an_older_success_does_not_hide_a_newer_failing_request(audited):
    assert results(audited(complete() + failing(at=100, number=2))) == {"pc17": "fails"}


@pytest.mark.parametrize("request_of_log", [begun(), skipped(), complete()], ids=["open", "skipped", "complete"])
def test_a_request_that_shows_not_every_port_is_never_works(audited, request_of_log):
    assert results(audited(request_of_log)) == {"pc17": "unproven"}


def test_an_open_request_does_not_hide_the_failure_before_it(audited):
    assert results(audited(failing() + begun(at=100, number=2))) == {"pc17": "fails"}


def test_a_computer_without_a_name_is_called_by_its_log(audited):
    blank = failing(" ").replace(r"\\ \admin$", "")
    assert results(audited(blank)) == {"source-0.log": "fails"}


def test_a_computer_that_no_log_names_has_no_name(audited):
    report = audited(log(*SERVICE, ADDRESSES, "CcmSetup failed with error code 0x87d00454"))
    assert report.client("10.0.0.20").names == ()


def test_logs_of_one_folder_are_of_one_computer(audited):
    messaging = client_record("Failed in WinHttpReceiveResponse API, ErrorCode = 0x2f78", "CcmMessaging")
    report = audited(log(*SERVICE, "CcmSetup failed with error code 0x87d00454"), messaging)
    assert list(results(report)) == ["source-0.log"]


def test_two_logs_of_one_name_are_of_two_computers(tmp_path):
    for folder, text in (("a", "CcmSetup failed with error code 0x87d00454"), ("b", ENDED_WELL)):
        (tmp_path / folder).mkdir()
        (tmp_path / folder / "ccmsetup.log").write_text(log(*SERVICE, text), newline="")
    report = auditor.audit(*(tmp_path / folder / "ccmsetup.log" for folder in "ab"))
    assert list(results(report).values()) == ["fails", "unproven"]


@settings(max_examples=20)
@given(st.lists(st.sampled_from(["Waiting for change in directory", "Sleeping", "Getting a new request from queue"])))
def test_other_records_change_nothing(tmp_path_factory, texts):
    path = tmp_path_factory.mktemp("logs") / "ccm.log"
    path.write_text(failing(), newline="")
    alone = auditor.audit(path)
    path.write_text(failing() + "".join(map(record, texts)), newline="")
    more = auditor.audit(path)
    assert (more.clients, more.pushes, more.roles) == (alone.clients, alone.pushes, alone.roles)


# what logs state of the site

PROPERTIES = "CCMHTTPPORT:    8080"
POINT = "MP 'http://mp.example.com:8080' is compatible"
HTTP, HTTPS = "client-push/http-management-point", "client-push/https-management-point"
ASKS = "20 10.0.0.20:50300 > 10.0.0.9:8080/tcp SF"


def test_the_ports_of_the_site_are_those_that_ccmsetup_states(audited):
    report = audited(log(*SERVICE, ADDRESSES, PROPERTIES), (*SMB_OPEN, ASKS))
    verdict = report.client("10.0.0.20").requirement(HTTP)
    assert (verdict.ports, verdict.verdict) == ((8080,), "open")


def test_ports_that_the_user_set_stand(audited):
    report = audited(log(*SERVICE, ADDRESSES, PROPERTIES), SMB_OPEN, ports={"http": 8081})
    assert report.client("10.0.0.20").requirement(HTTP).ports == (8081,)


def test_ports_on_which_logs_disagree_are_the_documented_ones(audited):
    first, second = (log(*SERVICE, ADDRESSES, f"CCMHTTPPORT:    {port}") for port in (8080, 8082))
    assert audited(first, second).client("10.0.0.20").requirement(HTTP).ports == (80,)


COMMAND = r'"C:\WINDOWS\ccmsetup\ccmsetup.exe" /runservice /config:MobileClient.tcf SMSMP=mp.example.com'
NAMES_POINT = (f"Ccmsetup command line: {COMMAND}", "SMSMP=mp.example.com")


def test_a_management_point_that_a_log_names_is_read(audited):
    report = audited(log(*SERVICE[:2], *NAMES_POINT))
    points = {role.name: role.how for role in report.roles if role.role == "management-point"}
    assert points == {"mp.example.com": "read"}


FETCHES = "20 10.0.0.20:50300 > 10.0.0.80:80/tcp SF"
OTHER_PUSH = [line.replace("10.0.0.5", "10.0.0.6") for line in OTHER]
OTHER_FETCHES = [f"20 10.0.0.21:50300 > 10.0.0.{server}:80/tcp SF" for server in (90, 91)]
SEVERAL = "The clients connect to several web servers (10.0.0.90, 10.0.0.91)."


def test_a_management_point_in_a_log_does_not_hide_that_another_site_server_has_an_unknown_one(audited):
    report = audited(log(*SERVICE, ADDRESSES, *NAMES_POINT), (*SMB_OPEN, FETCHES, *OTHER_PUSH, *OTHER_FETCHES))
    assert any(text.startswith(SEVERAL) for text in report.limitation_texts)


def test_a_management_point_in_a_log_takes_back_what_was_assumed_by_the_port(audited):
    packets, names_point = (*SMB_OPEN, FETCHES), log(*SERVICE, ADDRESSES, *NAMES_POINT)
    assumed = "is assumed to be the management point"
    assert any(assumed in text for text in audited(packets).limitation_texts)
    assert not any(assumed in text for text in audited(names_point, packets).limitation_texts)


# HTTP or HTTPS

INVALID_ANSWER = client_record("Failed in WinHttpReceiveResponse API, ErrorCode = 0x2f78", "CcmMessaging")
REGISTERED = client_record(
    "[RegTask] - Client is registered. Server assigned ClientID is GUID:1", "ClientIDManagerStartup"
)
SECURE_POINT = "Only one MP https://mp.example.com is specified. Use it."
PLAIN_POINT = "Only one MP http://mp.example.com is specified. Use it."
WEB = (HTTP, HTTPS)


def web(report: auditor.Report) -> list[str]:
    (client,) = report.clients
    return [client.requirement(name).verdict for name in WEB]


@pytest.mark.parametrize("line", [INVALID_ANSWER, REGISTERED], ids=["failed", "succeeded"])
@pytest.mark.parametrize("roles", [{}, {"management-point": "10.0.0.9"}], ids=["unknown", "known"])
def test_a_response_without_url_and_port_opens_neither_http_nor_https(audited, line, roles):
    assert "open" not in web(audited(log(*SERVICE, ADDRESSES) + line, roles=roles))


def test_a_fatal_response_of_an_unknown_port_is_a_step_that_failed(audited):
    report = audited(log(*SERVICE, ADDRESSES) + INVALID_ANSWER)
    (reason,) = (r for r in report.clients[0].method("client-push").reasons if r.kind != "missing")
    assert (reason.kind, reason.requirement, [proof.lines for proof in reason.evidence]) == ("step", "", [(5,)])


@pytest.mark.parametrize(
    ("point", "known", "verdicts"),
    [
        (PLAIN_POINT, {}, ["open", "not-applicable"]),
        (SECURE_POINT, {}, ["not-applicable", "open"]),
        (ADDRESSES, {"mode": "native"}, ["not-applicable", "open"]),
        (ADDRESSES, {"mode": "mixed"}, ["open", "not-applicable"]),
        (f"{PLAIN_POINT}\n{SECURE_POINT}", {}, ["not-observed", "not-observed"]),
    ],
    ids=["http", "https", "native", "mixed", "both"],
)
def test_what_the_site_uses_says_of_which_port_a_response_is(audited, point, known, verdicts):
    texts = log(*SERVICE, ADDRESSES, *point.split("\n"))
    assert web(audited(texts + INVALID_ANSWER, **known)) == verdicts


def test_a_failure_without_url_and_port_is_of_http_or_https(audited):
    failure = client_record("Failed in WinHttpSendRequest API, ErrorCode = 0x2efd", "CcmMessaging")
    assert web(audited(log(*SERVICE, ADDRESSES) + failure)) == ["failed", "failed"]


POINTS = (PLAIN_POINT, "Using DP location http://dp.example.com/SMS_DP_SMSPKG$/P")
NOT_REACHED = (
    "[CCMHTTP] ERROR: URL=http://{}.example.com/SMS_DP_SMSPKG$/P, Port=80, Options=480, Code=12029, "
    "Text=ERROR_WINHTTP_CANNOT_CONNECT"
)


@pytest.mark.parametrize(
    ("host", "verdict", "reason"),
    [("dp", "not-observed", ""), ("mp", "failed", HTTP), ("other", "failed", HTTP)],
    ids=["distribution point", "management point", "unknown"],
)
def test_a_distribution_point_that_was_not_reached_is_not_the_management_point(audited, host, verdict, reason):
    (client,) = audited(log(*SERVICE, ADDRESSES, *POINTS, NOT_REACHED.format(host))).clients
    method = client.method("client-push")
    assert client.requirement(HTTP).verdict == verdict
    assert (method.result, [found.requirement for found in method.reasons if found.kind == "step"]) == (
        "fails",
        [reason],
    )


@pytest.mark.parametrize(
    ("points", "addresses"),
    [
        (("mp.example.com",), {"10.0.0.80"}),
        (("mp.example.com", "mp2.example.com"), {"mp.example.com", "mp2.example.com"}),
        (("mp.example.com", "10.0.0.9"), {"mp.example.com", "10.0.0.9"}),
        (("10.0.0.9",), {"10.0.0.9"}),
    ],
    ids=["one name", "two names", "a name and an address", "an address"],
)
def test_the_only_web_server_is_the_management_point_that_logs_know_by_one_name(audited, points, addresses):
    logs = [log(*SERVICE, ADDRESSES, f"Only one MP {point} is specified. Use it.") for point in points]
    report = audited(*logs, (*SMB_OPEN, "20 10.0.0.20:50300 > 10.0.0.80:80/tcp SF"))
    read = [role for role in report.roles if role.role == "management-point"]
    assert {role.address for role in read} == addresses
    assert {role.how for role in read} == {"read"}


def test_a_management_point_that_was_set_stands_beside_that_of_a_log(audited):
    client = log(*SERVICE, ADDRESSES, "Only one MP mp.example.com is specified. Use it.")
    report = audited(client, SMB_OPEN, roles={"management-point": "10.0.0.9"})
    points = [(role.address, role.how) for role in report.roles if role.role == "management-point"]
    assert points == [("10.0.0.9", "given")]


def test_a_log_alone_shows_no_address_of_a_site_server(audited):
    assert [role.role for role in audited(failing()).roles] == ["client"]


def test_what_a_log_does_not_report_of_a_push_needs_the_address_of_its_site_server(audited):
    quiet = ("0 10.0.0.6:50000 > 10.0.0.7:3389/tcp SF",)
    row = audited(failing(), quiet).client("pc17").requirement("client-push/rpc-endpoint-mapper")
    assert (row.verdict, row.source.address) == ("not-observed", None)
    assert "--role site-server=ADDRESS" in row.explanation


# IIS and exports


def iis(*rows: str) -> str:
    fields = "date time s-ip cs-method cs-uri-stem cs-uri-query s-port c-ip cs(User-Agent) sc-status sc-substatus"
    return "\r\n".join((f"#Fields: {fields}", *rows, ""))


def test_a_request_in_the_log_of_iis_shows_that_it_arrived(audited):
    served = iis("2023-11-14 22:13:30 10.0.0.9 CCM_POST /ccm_system/request - 80 10.0.0.20 ccmhttp 200 0")
    report = audited(served, SMB_OPEN)
    verdict = report.client("10.0.0.20").requirement(HTTP)
    assert (verdict.verdict, verdict.confidence) == ("open", "likely")
    assert [proof.lines for proof in verdict.evidence] == [(2,)]


def test_a_request_that_another_server_served_shows_nothing(audited):
    served = iis("2023-11-14 22:13:30 10.0.0.8 GET /sms_dp_smspkg$/x - 80 10.0.0.20 ccmhttp 200 0")
    report = audited(served, SMB_OPEN, roles={"management-point": "10.0.0.9"})
    assert report.client("10.0.0.20").requirement(HTTP).verdict == "not-observed"


def test_a_request_of_another_client_shows_nothing(audited):
    served = iis("2023-11-14 22:13:30 10.0.0.9 CCM_POST /ccm_system/request - 80 10.0.0.99 ccmhttp 200 0")
    assert audited(served, SMB_OPEN).client("10.0.0.20").requirement(HTTP).verdict == "not-observed"


def test_every_row_of_an_export_of_the_push_status_is_a_client(audited):
    header = "MachineID,Name,PushSiteCode,LatestProcessingAttempt,LastErrorCode,NumProcessAttempts,Status"
    rows = ("1,PC1,ABC,2023-11-14 22:13:20.000,53,9,2", "2,PC2,ABC,2023-11-14 22:13:20.000,5,9,2")
    report = audited("\r\n".join((header, *rows, "")))
    assert results(report) == {"pc1": "fails", "pc2": "fails"}
    assert (smb(report, "pc1").verdict, smb(report, "pc2").verdict) == ("failed", "open")


# times, exit codes


def test_times_of_an_unknown_zone_are_local_in_every_step(audited):
    report = audited(re.sub(r"\+000>", ">", failing()))
    assert not report.sources[0].first_time.endswith("Z")
    assert [step.time and step.time.endswith("Z") for step in report.pushes[0].steps] == [False]


@pytest.mark.parametrize(("text", "code"), [(failing(), 3), (complete(), 0), (record("Sleeping"), 1)])
def test_the_exit_code_is_that_of_the_result(tmp_path, text, code):
    path = tmp_path / "ccm.log"
    path.write_text(text, newline="")
    assert CliRunner().invoke(cli, ["analyze", str(path)], standalone_mode=False).return_value == code


# many


def test_requests_that_iis_served_are_looked_up_by_client(audited, monkeypatch):
    served = iis(
        *(f"2023-11-14 22:13:30 10.0.0.9 GET /ccm_client/x - 80 10.0.1.{number} ccmhttp 200 0" for number in range(50))
    )
    looked_at: list[object] = []
    original = reported_steps._read_served
    monkeypatch.setattr(reported_steps, "_read_served", lambda entry: looked_at.append(entry) or original(entry))
    audited(served, "".join(failing(f"10.0.1.{number}", at=number, number=number) for number in range(50)))
    assert len(looked_at) <= 100


def test_what_logs_contain_is_read_once_also_when_packets_are_dissected(tmp_path, monkeypatch):
    read: list[object] = []
    original = reported_pushes.reported_computers
    monkeypatch.setattr(reported_pushes, "reported_computers", lambda sources: read.append(1) or original(sources))
    (tmp_path / "ccm.log").write_text(failing(), newline="")
    (tmp_path / "push.pcap").write_bytes(pcap(scene(SMB_SILENT)))
    auditor.audit(tmp_path / "ccm.log", tmp_path / "push.pcap", dissect=True)
    assert len(read) == 1
