"""Reported cases of failed pushes: their ccm.log in each form that people have it in gives the step and the code."""

from __future__ import annotations

import io
from collections.abc import Callable, Iterable

import pytest

from auditor.sources.configmgr.facts import InstallStep, PushRequest, RequestStatus, StepOutcome
from auditor.sources.configmgr.push_requests import MACHINE_ACCOUNT, PushLog, PushRequestBuilder, deciding_step
from auditor.sources.configmgr.records import RecordAccount, looks_like_log, read_records

CCM = "SMS_CLIENT_CONFIG_MANAGER"


def site_server(text: str, second: int) -> str:
    return f"{text}~  $$<{CCM}><09-09-2022 14:07:{second:02}.968-480><thread=14036 (0x36D4)>"


def clipboard(text: str, second: int) -> str:
    return f"{text}\t{CCM}\t09/09/2022 14:07:{second:02}\t14036 (0x36D4)  "


def bare(text: str, second: int) -> str:  # noqa: ARG001 - the page that shows it lost the time
    return f"{text}~  $$  "


def old_viewer(text: str, second: int) -> str:
    return f"{text} {CCM} 9/9/2022 2:07:{second:02} PM 14036 (0x36D4)"


def client(text: str, second: int) -> str:
    end = f'time="14:07:{second:02}.968-480" date="09-09-2022" component="{CCM}" context="" type="1" thread="14036"'
    return f'<![LOG[{text}]LOG]!><{end} file="">'


FORMS = [site_server, clipboard, bare, old_viewer, client]
Form = Callable[[str, int], str]


@pytest.fixture(params=FORMS, ids=lambda form: form.__name__)
def form(request: pytest.FixtureRequest) -> Form:
    return request.param  # type: ignore[no-any-return]


def pushes(form: Form, text: str) -> PushLog:
    """Return what is reported of a log with these lines."""
    lines = text.strip().split("\n")
    content = "".join(form(line, second) + "\r\n" for second, line in enumerate(lines)).encode()
    assert looks_like_log(content)
    builder, account = PushRequestBuilder(), RecordAccount()
    for record in read_records(io.BytesIO(content), account):
        builder.add(record)
    assert (account.records, account.lines) == (len(lines), len(lines))
    return builder.finish()


def only(form: Form, text: str) -> PushRequest:
    (request,) = pushes(form, text).requests
    return request


def codes(request: PushRequest, step: InstallStep) -> list[int | None]:
    return [reported.code for reported in request.steps if reported.step is step and reported.code is not None]


def decision(request: PushRequest) -> tuple[InstallStep, int | None, StepOutcome]:
    step = deciding_step(request)
    assert step is not None
    return step.step, step.code, step.outcome


FAILED, SKIPPED = StepOutcome.FAILED, StepOutcome.SKIPPED


def test_c01_kerberos_alone_is_allowed_and_wmi_does_not_accept_it(form):
    request = only(
        form,
        r"""
======>Begin Processing request: "2097152019", machine name: "TESTPC1"
Execute query exec [sp_IsMPAvailable] N'AVH'
---> Trying the 'best-shot' account which worked for previous CCRs (index = 0x0)
---> Attempting to connect to administrative share '\\TESTPC1\admin$' using account 'TESTDOMAIN\sccmDeploy'
---> SspiEncodeStringsAsAuthIdentity succeeded!
---> SspiExcludePackage succeeded!
---> SspiMarshalAuthIdentity succeeded!
---> NetUseAdd succeeded!
---> The 'best-shot' account has now succeeded 7 times and failed 0 times.
---> Connected to administrative share on machine TESTPC1 using account 'TESTDOMAIN\sccmDeploy'
---> Trying the 'best-shot' account which worked for previous CCRs (index = 0x0)
---> Attempting to make IPC connection to share  with Kerberos authentication
---> SspiEncodeStringsAsAuthIdentity succeeded for IPC$ authentication!
---> SspiExcludePackage succeeded for IPC$ authentication!
---> SspiMarshalAuthIdentity succeeded for IPC$ authentication!
---> NetUseAdd succeeded for IPC$ authentication!
---> Searching for SMSClientInstall.* under '\\TESTPC1\admin$\'
---> Unable to connect to remote machine "TESTPC1" using Kerberos with alternate account, error - 0x80004005.
--> NTLM fallback is not enabled, remote machine "TESTPC1" is not continuing with client push.
---> Unable to connect to remote machine "TESTPC1.T.com" using Kerberos with machine account, error - 0x80070005.
--> NTLM fallback is not enabled, remote machine "TESTPC1.T.com" is not continuing with client push.
---> Unable to connect to remote machine "TESTPC1" using Kerberos with machine account, error - 0x80070005.
--> NTLM fallback is not enabled, remote machine "TESTPC1" is not continuing with client push.
---> Deleting SMS Client Install Lock File '\\TESTPC1\admin$\SMSClientInstall.AVH'
Execute query exec [sp_CP_SetLastErrorCode] 2097152019, -2147024891
Stored request "2097152019", machine name "TESTPC1", in queue "Retry".
Execute query exec [sp_CP_SetPushRequestMachineStatus] 2097152019, 2
Execute query exec [sp_CP_SetLatest] 2097152019, N'08/12/2022 15:06:09', 93
""",
    )
    assert decision(request) == (InstallStep.WMI, 0x80070005, FAILED)
    assert codes(request, InstallStep.WMI) == [0x80004005, 0x80070005, 0x80070005]
    assert (request.machine, request.status, request.error_code) == ("TESTPC1", RequestStatus.RETRY, 0x80070005)
    reached = {step.step for step in request.steps if step.outcome is StepOutcome.SUCCEEDED}
    assert reached == {InstallStep.ADMIN_SHARE, InstallStep.IPC_SHARE}
    assert sum(step.outcome is SKIPPED for step in request.steps) == 3  # NTLM was not tried


def test_q1000404_wmi_is_denied_with_kerberos_and_with_ntlm(form):
    request = only(
        form,
        r"""
---> Trying the 'best-shot' account which worked for previous CCRs (index = 0x0)
---> Attempting to connect to administrative share '\\DELL3620-01.test.edu.cn\admin$' using account 'test\CM_CPI'
---> The 'best-shot' account has now succeeded 14 times and failed 0 times.
---> Connected to administrative share on machine DELL3620-01.test.edu.cn using account 'test\CM_CPI'
---> Attempting to make IPC connection to share
---> Searching for SMSClientInstall.* under '\\DELL3620-01.test.edu.cn\admin$\'
---> Unable to connect to remote machine "DELL3620-01" using Kerberos with alternate account, error - 0x80070005.
--> NTLM fallback is enabled, remote machine "DELL3620-01" is continuing with client push.
---> Unable to connect to WMI on remote machine "DELL3620-01", error = 0x80070005.
---> Deleting SMS Client Install Lock File '\\DELL3620-01.test.edu.cn\admin$\SMSClientInstall.GTN'
Execute query exec [sp_CP_SetLastErrorCode] 2097152456, -2147024891
Stored request "2097152456", machine name "DELL3620-01", in queue "Retry".
Execute query exec [sp_CP_SetPushRequestMachineStatus] 2097152456, 2
Execute query exec [sp_CP_SetLatest] 2097152456, N'09/09/2022 06:07:21', 142
<======End request: "2097152456", machine name: "DELL3620-01".
CCR count in queue "Retry" is 1.
Sleeping for 661 seconds...
""",
    )
    assert decision(request) == (InstallStep.WMI, 0x80070005, FAILED)
    assert (request.id, request.machine, request.complete) == ("2097152456", "DELL3620-01", True)


GIVE_UP = '---> ERROR: Unable to access target machine for request: "2097152001", machine name: "CLIENT01", '
ADMIN = r"---> Attempting to connect to administrative share '\\CLIENT01\admin$' using "


@pytest.mark.parametrize(
    ("line", "code"),
    [
        ("---> Trying each entry in the SMS Client Remote Installation account list", None),
        (r"---> Failed to connect to \\CLIENT01\admin$ using machine account (53)", 53),
        (r"---> Failed to connect to \\CLIENT01\admin$ using machine account (5)", 5),
    ],
)
@pytest.mark.parametrize("stored", [None, 53, 5])
def test_c05_the_current_words_have_no_code_and_the_lines_around_them_do(form, line, code, stored):
    query = f"\nExecute query exec [sp_CP_SetLastErrorCode] 2097152001, {stored}" if stored else ""
    request = only(
        form,
        f"""
======>Begin Processing request: "2097152001", machine name: "CLIENT01"
{ADMIN}machine account.
{line}
{GIVE_UP}access denied or invalid network path.{query}
Stored request "2097152001", machine name "CLIENT01", in queue "Retry".
""",
    )
    assert decision(request) == (InstallStep.ADMIN_SHARE, stored or code, FAILED)
    assert MACHINE_ACCOUNT in {step.account for step in request.steps}


def test_c11_a_client_of_another_site_has_no_request(form):
    found = pushes(
        form,
        """
Getting a new request from queue "Incoming" after 100 millisecond delay.
Waiting for change in directory "D:\\SMS\\inboxes\\ccr.box" for queue "Incoming", (30 minute backup timeout).
CCR count in queue "Retry" is 0.
---> Sleeping for 3300 seconds...
""",
    )
    assert found == PushLog((), (), 0, 0, 0)


def test_c31_no_way_to_the_client_is_error_53_at_its_share(form):
    request = only(
        form,
        r"""
======>Begin Processing request: "PC1.KRC", machine name: "PC1"
---> Attempting to connect to administrative share '\\PC1\Admin$' using account 'domain\account'
WNetAddConnection2 failed (LOGON32_LOGON_NEW_CREDENTIALS) using account domain\account (000004b3)
WNetAddConnection2 failed (LOGON32_LOGON_INTERACTIVE) using account domain\account (000004b3)
ERROR: Unable to connect to remote registry for machine name "PC1", error 53.
ERROR: Unable to access target machine for request: "PC1.KRC", machine name: "PC1", error code: 53
Stored request "PC1.KRC", machine name "PC1", in queue "Retry".
""",
    )
    assert decision(request) == (InstallStep.ADMIN_SHARE, 53, FAILED)
    assert codes(request, InstallStep.ADMIN_SHARE) == [1203, 1203, 53]
    assert codes(request, InstallStep.REMOTE_REGISTRY) == [53]


def test_c33_a_wrong_account_is_error_5_after_1326(form):
    request = only(
        form,
        r"""
---> Attempting to connect to administrative share '\\COMPUTER1\Admin$' using account 'domain\account'
WNetAddConnection2 failed (LOGON32_LOGON_NEW_CREDENTIALS) using account domain\account(0000052e)
LogonUser failed (LOGON32_LOGON_INTERACTIVE) using account domain\account (0000052e)
ERROR: Unable to connect to remote registry for machine name "Computer", error 5.
ERROR: Unable to access target machine for request: "Computer", machine name: "Computer", error code: 5
""",
    )
    assert decision(request) == (InstallStep.ADMIN_SHARE, 5, FAILED)
    assert codes(request, InstallStep.ADMIN_SHARE) == [1326, 5]
    assert codes(request, InstallStep.ACCOUNT) == [1326]
    assert {step.account for step in request.steps} == {"domain\\account", ""}


def test_c41_an_account_is_tried_with_every_domain(form):
    attempts = "\n".join(f"{ADMIN}account 'D{number}\\push'" for number in range(5))
    begin = '======>Begin Processing request: "2097152001", machine name: "CLIENT01"'
    request = only(form, f"{begin}\n---> Trying all accounts in turn\n{attempts}")
    assert [step.account for step in request.steps[1:]] == [f"D{number}\\push" for number in range(5)]


def test_c43_a_client_in_travel_mode_is_skipped(form):
    request = only(
        form,
        """
======>Begin Processing request: "01MOLQGI", machine name: "PC1"
---> Travel mode is turned ON & the client is NOT currently assigned to this site. Discarding CCR
<======End request: "01MOLQGI", machine name: "PC1".
""",
    )
    assert decision(request) == (InstallStep.ASSIGNMENT_CHECK, None, SKIPPED)


def test_q262298_a_computer_without_the_share_is_error_67(form):
    failed = r"""
---> Attempting to connect to administrative share '\\SPARC\admin$' using account 'HAMPTON\SMSService'
---> Failed to connect to \\SPARC\admin$ using account HAMPTON\SMSService (67)"""
    request = only(
        form,
        f"""
Received request: "01MOLQGI" for machine name: "SPARC" on queue: "Incoming".
Stored request "01MOLQGI", machine name "SPARC", in queue "Processing".
----- Started a new CCR processing thread. Thread ID is 0x114. There are now 1 processing threads
Submitted request successfully
======>Begin Processing request: "01MOLQGI", machine name: "SPARC"
---> Trying all accounts in turn{failed * 3}
---> ERROR: The account '' does not have administrative rights on machine "SPARC".
---> ERROR: Unable to access target machine for request: "01MOLQGI", machine name: "SPARC", error code: 67
Stored request "01MOLQGI", machine name "SPARC", in queue "Retry".
""",
    )
    assert decision(request) == (InstallStep.ADMIN_SHARE, 67, FAILED)


def test_q267929_a_service_that_does_not_start_is_past_the_network(form):
    request = only(
        form,
        r"""
======>Begin Processing request: "01MOLQGI", machine name: "MYNTCLIENT"
---> Could not retrieve the heartbeat time from the client (2)
---> Unable to retrieve a sites list from machine "MYNTCLIENT".
---> Unable to retrieve travel mode switch from machine "MYNTCLIENT".
---> Unable to retrieve pending command value for sms client base components from machine "MYNTCLIENT".
---> Could not retrieve the site config timestamp from the client (2)
---> Copying client files to \\MYNTCLIENT\admin$\sms_temp.
---> Copying file "E:\SMS\bin\I386\CCMData.tcf" to "\\MYNTCLIENT\admin$\sms_temp\CCMData.tcf"
---> Created service "CCMBoot" on machine "MYNTCLIENT".
---> ERROR: Unable to start service "CCMBoot" on machine "MYNTCLIENT", error = 3.
---> Failed to start the CCM Client Bootstrap service on MYNTCLIENT (3)
""",
    )
    assert decision(request) == (InstallStep.SERVICE, 3, FAILED)


def test_a_push_that_succeeds_after_other_accounts_failed_has_nothing_that_failed(form):
    request = only(
        form,
        r"""
======>Begin Processing request: "2097152001", machine name: "PC1"
---> Attempting to connect to administrative share '\\PC1\admin$' using account 'D\old'
---> Failed to connect to \\PC1\admin$ using account D\old (1326)
---> Attempting to connect to administrative share '\\PC1\admin$' using account 'D\push'
---> Connected to administrative share on machine PC1 using account 'D\push'
---> Attempting to make IPC connection to share <\\PC1\IPC$>
---> Searching for SMSClientInstall.* under '\\PC1\admin$\'
---> Unable to connect to WMI (root\ccm) on remote machine "PC1", error = 0x8004100e.
---> Copying client files to \\PC1\admin$\ccmsetup.
---> Created service "ccmsetup" on machine "PC1".
---> Started service "ccmsetup" on machine "PC1".
---> Deleting SMS Client Install Lock File '\\PC1\admin$\SMSClientInstall.ABC'
Execute query exec [sp_CP_SetLastErrorCode] 2097152001, 0
<======End request: "2097152001", machine name: "PC1".
""",
    )
    assert deciding_step(request) is None
    assert request.error_code is None


def test_each_of_twenty_threads_is_read_whichever_form_it_is_in():
    lines: Iterable[str] = (
        f'---> Unable to connect to WMI on remote machine "PC{number}", error = 0x800706BA.'
        f"  $$<{CCM}><09-09-2022 14:07:21.968-480><thread={number} (0x{number:04X})>"
        for number in range(20)
    )
    builder = PushRequestBuilder()
    for record in read_records(io.BytesIO("\r\n".join(lines).encode()), RecordAccount()):
        builder.add(record)
    assert {request.machine for request in builder.finish().requests} == {f"PC{number}" for number in range(20)}
