"""What tshark reads in messages that are built byte by byte: failures that real captures here do not show."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path

import pytest
from messages import (
    FINE,
    HALF_WAY,
    LOGON_FAILURE,
    ORPC_THAT,
    PRIVACY,
    Message,
    binds,
    bound,
    calls,
    conversation,
    kerberos_error,
    logon_answer,
    logs_on,
    no_object,
    ntlm,
    remote_activated,
    remote_activation,
    returns,
    ticket,
)
from packets import At, pcap
from scenario import scene

import auditor
from auditor import Report
from auditor.report.model import Problem, RequirementVerdict

pytestmark = [pytest.mark.slow, pytest.mark.usefixtures("tshark")]

SERVER, CLIENT = "10.0.0.5", "10.0.0.20"
SMB, MAPPER = f"{SERVER}:50001 > {CLIENT}:445", f"{SERVER}:50002 > {CLIENT}:135"
ACTIVATOR, OLD_ACTIVATOR = "000001a0-0000-0000-c000-000000000046", "4d9f4ab8-7d1c-11cf-861e-0020af6e7c57"
LOGIN = "f309ad18-d86a-11d0-a075-00c04fb68820"
WMI, MMC = "8bc3f05e-d86b-11d0-a075-00c04fb68820", "49b2791a-b1ae-4c90-9b8e-e860ba07f889"
CREATE_INSTANCE, ACTIVATE = 4, 0
REALM, SERVICE = "LAB.EXAMPLE", ("cifs", "client01")
SKEW, MODIFIED = 37, 41

Audited = Callable[..., Report]


@pytest.fixture
def audited(write: Callable[[bytes], Path]) -> Audited:
    """Audit a push that sends these messages over SMB and to the endpoint mapper's port; then more packets."""

    def audited(
        *,
        smb: Sequence[Message] = (),
        mapper: Sequence[Message] = (),
        more: Sequence[bytes | At] = (),
        snap: int = 65_535,
    ) -> Report:
        packets = [*conversation(SMB, smb), *conversation(MAPPER, mapper), *more]
        return auditor.audit(write(pcap(packets, snap=snap)), roles={"site-server": SERVER, "client": CLIENT})

    return audited


def row(report: Report, name: str) -> RequirementVerdict:
    return report.client(CLIENT).requirement(f"client-push/{name}")


def problems(report: Report, name: str) -> list[tuple[str, str, str, bool]]:
    return [(one.step, one.code, one.account, one.fatal) for one in row(report, name).problems]


def activation(data: bytes, level: int = 0) -> list[Message]:
    """Return an activation over RPC whose response holds this."""
    asked = calls(CREATE_INSTANCE, bytes(64) if level else b"", level=level)
    return [("", binds(ACTIVATOR)), ("<", bound()), ("", asked), ("<", returns(data, level=level))]


def old_activation(clsid: str) -> list[Message]:
    asked = calls(ACTIVATE, remote_activation(clsid, LOGIN))
    return [("", binds(OLD_ACTIVATOR)), ("<", bound()), ("", asked), ("<", returns(remote_activated(CLIENT, 49999)))]


# DCOM


@pytest.mark.parametrize(
    ("hresult", "code"),
    [
        (0x800706BA, "RPC_S_SERVER_UNAVAILABLE"),
        (0x80070005, "E_ACCESSDENIED"),
        (5, "E_ACCESSDENIED"),
        (0x8BADF00D, "0x8badf00d"),
    ],
)
def test_an_activation_that_returns_an_error_fails_the_push(hresult, code, audited):
    report = audited(mapper=activation(no_object(hresult)))
    assert problems(report, "rpc-endpoint-mapper") == [("activate a COM class", code, "", True)]
    assert "activate" not in row(report, "rpc-endpoint-mapper").explanation
    assert report.client().method("client-push").result == "fails"


@pytest.mark.parametrize(
    "options",
    [{"mapper": activation(bytes(32), level=PRIVACY)}, {"mapper": old_activation(WMI), "snap": 190}],
    ids=["encrypted", "truncated"],
)
def test_an_activation_whose_result_is_not_visible_is_not_said_to_have_gone_well(options, audited):
    text = row(audited(**options), "rpc-endpoint-mapper").explanation
    went_well, _, not_visible = text.partition("Response received, result not visible: ")
    assert "activate" not in went_well
    assert not_visible in ("activate a COM class.", "activate WMI.")


@pytest.mark.parametrize(("clsid", "verdict"), [(WMI, "blocked"), (MMC, "not-observed")])
def test_a_port_of_a_class_that_no_push_activates_is_no_dynamic_port_of_a_push(clsid, verdict, audited):
    unanswered = scene([f"1 {SERVER}:50003 > {CLIENT}:49999/tcp S0"])
    report = audited(mapper=old_activation(clsid), more=unanswered)
    assert row(report, "rpc-dynamic").verdict == verdict


@pytest.mark.parametrize(
    ("messages", "status"),
    [
        (activation(no_object(0)), "succeeded"),
        (activation(no_object(0x80070005)), "failed"),
        (activation(bytes(32), level=PRIVACY), "answered"),
    ],
)
def test_the_steps_of_a_push_have_the_status_that_their_responses_show(messages, status, audited):
    (push,) = audited(mapper=messages).pushes
    assert [step.status for step in push.steps if step.step == "activate a COM class"] == [status]


def test_the_class_that_was_activated_is_named(audited):
    text = row(audited(mapper=old_activation(MMC)), "rpc-endpoint-mapper").explanation
    assert text.endswith("Completed: open the RPC interface IActivation, activate MMC.")


def test_a_result_of_a_com_object_is_read(audited):
    object_port = f"{SERVER}:50003 > {CLIENT}:49999"
    refused = [("", binds(LOGIN)), ("<", bound()), ("", calls(6)), ("<", returns(ORPC_THAT + b"\x03\x10\x04\x80"))]
    report = audited(mapper=old_activation(WMI), more=conversation(object_port, refused))
    assert problems(report, "rpc-dynamic") == [("log on to WMI", "WBEM_E_ACCESS_DENIED", "", True)]


# Kerberos and accounts

HIDDEN = f"{REALM} (Kerberos, cifs/client01)"
SHOWS_TICKET = ("", logs_on(ticket(REALM, *SERVICE), 1))


def refuses_ticket(code: int, status: int = HALF_WAY) -> Message:
    return "<", logon_answer(status, 1, kerberos_error(code, REALM, *SERVICE))


@pytest.mark.parametrize(
    ("code", "name"), [(SKEW, "KRB_AP_ERR_SKEW"), (MODIFIED, "KRB_AP_ERR_MODIFIED"), (77, "Kerberos error 77")]
)
@pytest.mark.parametrize("status", [HALF_WAY, LOGON_FAILURE])
def test_a_kerberos_error_is_the_problem_of_the_logon_that_it_is_in(code, name, status, audited):
    report = audited(smb=[SHOWS_TICKET, refuses_ticket(code, status)])
    assert problems(report, "smb") == [("log on", name, HIDDEN, True)]


def test_a_logon_failure_after_it_does_not_hide_the_kerberos_error(audited):
    report = audited(smb=[SHOWS_TICKET, refuses_ticket(SKEW), ("<", logon_answer(LOGON_FAILURE, 2))])
    assert problems(report, "smb") == [("log on", "KRB_AP_ERR_SKEW", HIDDEN, True)]


@pytest.mark.parametrize(
    ("domain", "user", "fatal"),
    [("LAB", "svc-push", False), ("", "", True)],
    ids=["with an account", "anonymously"],
)
def test_a_later_logon_takes_a_kerberos_error_back(domain, user, fatal, audited):
    later = [("", logs_on(ntlm(domain, user), 2, session=1)), ("<", logon_answer(FINE, 2))]
    report = audited(smb=[SHOWS_TICKET, refuses_ticket(SKEW), *later])
    assert problems(report, "smb") == [("log on", "KRB_AP_ERR_SKEW", HIDDEN, fatal)]


def test_a_kerberos_error_in_a_bind_is_the_problem_of_the_interface(audited):
    service = ("RPCSS", "client01")
    bind = ("", binds(ACTIVATOR, token=ticket(REALM, *service)))
    report = audited(mapper=[bind, ("<", bound(token=kerberos_error(MODIFIED, REALM, *service)))])
    step, account = "open the RPC interface IRemoteSCMActivator", f"{REALM} (Kerberos, RPCSS/client01)"
    assert problems(report, "rpc-endpoint-mapper") == [(step, "KRB_AP_ERR_MODIFIED", account, True)]


@pytest.mark.parametrize(
    ("domain", "user", "account"),
    [("LAB", "svc-push", r"LAB\svc-push"), ("", "push@lab.example", "push@lab.example"), ("", "", "anonymous")],
)
def test_the_account_that_failed_is_named(domain, user, account, audited):
    smb = [("", logs_on(ntlm(domain, user), 1, session=1)), ("<", logon_answer(LOGON_FAILURE, 1))]
    (problem,) = row(audited(smb=smb), "smb").problems
    text = f"log on as {account}: STATUS_LOGON_FAILURE (frame 5): the account or its password is wrong."
    assert problem == Problem("smb", "STATUS_LOGON_FAILURE", text, 5, True, account, "log-on", step="log on")


@pytest.mark.parametrize(("user", "shown"), [("svc push", "account-1"), ("", "anonymous")])
def test_the_account_is_redacted(user, shown, audited):
    smb = [("", logs_on(ntlm("LAB", user), 1, session=1)), ("<", logon_answer(LOGON_FAILURE, 1))]
    (client,) = auditor.redact(audited(smb=smb)).clients
    (problem,) = client.requirement("client-push/smb").problems
    assert (problem.account, problem.text.partition(":")[0]) == (shown, f"log on as {shown}")
