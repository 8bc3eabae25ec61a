"""Runs of CCMSetup out of ccmsetup.log: where each begins, what it states, what it reports, and how it ends."""

from __future__ import annotations

import os
import string
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from setup_logs import (
    BOOTSTRAP,
    EXE,
    PUSH,
    SERVICE,
    STARTED,
    failed,
    installation,
    log,
    read,
    record,
    step,
    steps,
    values,
)

from auditor.sources.configmgr.client_messages import CertificateFlag
from auditor.sources.configmgr.facts import InstallStep, StepOutcome

FOLDER = Path(os.environ.get("AUDITOR_CONFIGMGR_LOGS") or "no-logs")
real_logs = pytest.mark.skipif(not FOLDER.is_dir(), reason="AUDITOR_CONFIGMGR_LOGS does not name a folder of logs")

FAILED, SUCCEEDED, NEUTRAL = StepOutcome.FAILED, StepOutcome.SUCCEEDED, StepOutcome.NEUTRAL
NO_CERTIFICATE = (
    "[CCMHTTP] ERROR: URL=https://mp.example.com/ccm_system/request, Port=0, Options=63, Code=0, "
    "Text=CCM_E_NO_CLIENT_PKI_CERT"
)
CANNOT_CONNECT = (
    "[CCMHTTP] ERROR: URL=http://mp.example.com/ccm_system/request, Port=80, Options=480, Code=12029, "
    "Text=ERROR_WINHTTP_CANNOT_CONNECT"
)
SECURE_FAILURE = (
    "[CCMHTTP] ERROR: URL=https://mp.example.com/ccm_system/request, Port=443, Options=63, Code=12175, "
    "Text=ERROR_WINHTTP_SECURE_FAILURE"
)
BAD_STATUS = (
    "[CCMHTTP] ERROR: URL=https://cmg.example.com/STS, Port=443, Options=31, Code=0, Text=CCM_E_BAD_HTTP_STATUS_CODE"
)


# runs


def test_a_run_begins_where_the_process_starts():
    runs = read(log(*SERVICE, "CcmSetup failed with error code 0x87d00454", *SERVICE)).installations
    assert [(run.first_line, run.last_line) for run in runs] == [(1, 4), (5, 7)]


def test_a_log_that_begins_in_the_middle_holds_that_run_too():
    run, after = read(log("CcmSetup is exiting with return code 0", *SERVICE)).installations
    assert (run.first_line, run.exit_code, run.command_line) == (1, 0, "")
    assert after.first_line == 2


def test_the_service_is_told_by_its_command_line_and_by_its_main_function():
    assert installation(STARTED, PUSH).service
    assert installation(STARTED, "In ServiceMain").service
    assert not installation(STARTED, f"Ccmsetup command line: {EXE} /mp:mp.example.com").service


def test_code_0_of_a_bootstrap_is_no_success_of_the_installation():
    exiting = "CcmSetup is exiting with return code 0"
    bootstrap, service = read(
        log(*BOOTSTRAP, exiting, *SERVICE, "CcmSetup failed with error code 0x80004005")
    ).installations
    assert (bootstrap.exit_code, bootstrap.steps[-1].outcome) == (0, NEUTRAL)
    assert (service.exit_code, service.steps[-1].outcome) == (0x80004005, FAILED)
    assert installation(*SERVICE, exiting).steps[-1].outcome is SUCCEEDED


def test_what_a_bootstrap_writes_after_the_start_of_its_service_belongs_to_the_bootstrap():
    text = log(
        *(record(text, thread=100) for text in BOOTSTRAP),
        *(record(text, thread=200) for text in SERVICE),
        record("CcmSetup is exiting with return code 0", thread=100),
        record("CcmSetup failed with error code 0x80004005", thread=200),
    )
    bootstrap, service = read(text).installations
    assert (bootstrap.exit_code, bootstrap.last_line) == (0, 7)
    assert (service.exit_code, service.first_line) == (0x80004005, 4)


def test_a_thread_of_a_bootstrap_that_has_ended_is_another_one():
    text = log(
        *(record(text, thread=100) for text in (*BOOTSTRAP, "CcmSetup is exiting with return code 0")),
        *(record(text, thread=200) for text in SERVICE),
        record("CcmSetup failed with error code 0x80004005", thread=100),
    )
    assert [run.exit_code for run in read(text).installations] == [0, 0x80004005]


def test_a_thread_of_both_is_of_the_service():
    runs = read(log(*BOOTSTRAP, *SERVICE, "CcmSetup failed with error code 0x80004005")).installations
    assert [run.exit_code for run in runs] == [None, 0x80004005]


def test_a_bootstrap_that_fails_is_a_failure():
    assert installation(*BOOTSTRAP, "CcmSetup failed with error code 0x80004005").steps[-1].outcome is FAILED


def test_a_service_that_ends_with_code_0_succeeded_whatever_it_started():
    run = installation(*SERVICE, *BOOTSTRAP[1:], "CcmSetup is exiting with return code 0")
    assert run.steps[-1].outcome is SUCCEEDED


def test_the_first_command_line_of_a_run_counts():
    first = f"Ccmsetup command line: {EXE} /runservice /mp:mp1"
    assert installation(STARTED, first, f"Command line: {EXE} /mp:mp2").command_line == f"{EXE} /runservice /mp:mp1"


def test_a_thread_with_the_number_of_a_bootstrap_that_died_long_ago_is_another_one():
    text = log(
        *(record(text, thread=100) for text in BOOTSTRAP),
        *(record(text, thread=200, second=10) for text in SERVICE),
        record("CcmSetup failed with error code 0x80004005", thread=100, second=600),
    )
    assert [run.exit_code for run in read(text).installations] == [None, 0x80004005]


@pytest.mark.parametrize(
    ("text", "code", "outcome"),
    [
        ("CcmSetup failed with error code 0x87d00454", 0x87D00454, FAILED),
        ("CcmSetup failed with error code -2016410540", 0x87D00454, FAILED),
        ("CcmSetup is exiting with return code 0", 0, SUCCEEDED),
        ("CcmSetup is exiting with return code 7", 7, StepOutcome.SKIPPED),
        ("CcmSetup is exiting with return code 8", 8, StepOutcome.SKIPPED),
        ("CcmSetup is exiting with return code 10", 10, FAILED),
        ("CcmSetup is exiting with return code 1603", 1603, FAILED),
    ],
)
def test_a_run_has_its_exit_code(text, code, outcome):
    run = installation(*SERVICE, text)
    assert (run.exit_code, run.steps[-1].step, run.steps[-1].outcome) == (code, InstallStep.EXIT, outcome)


def test_the_removal_of_a_client_is_marked():
    assert installation("Uninstall of product '{8FB06CAC}' succeeded.").uninstall
    assert installation(STARTED, f"Ccmsetup command line: {EXE} /uninstall").uninstall
    assert not installation(*SERVICE, "Installation succeeded.").uninstall


def test_records_of_other_components_between_those_of_ccmsetup_belong_to_the_run():
    sent = record("State message with TopicType 800 and TopicId {1} has been sent to the FSP", "FSPStateMessage")
    assert installation(*SERVICE, sent).steps[-1].step is InstallStep.FALLBACK_STATUS


def test_times_are_utc_by_the_offset_of_the_log():
    run = installation(*SERVICE)
    assert run.first_ns == run.last_ns == 1673971200_081000000  # 2023-01-17 16:00:00.081 UTC


def test_a_log_with_more_runs_than_are_kept_has_the_last_ones():
    runs = read(record(STARTED) * 300).installations
    assert (len(runs), runs[-1].first_line) == (201, 300)


def test_of_very_many_steps_the_first_and_the_last_are_kept_and_failures_apart():
    retry, failure = "Next retry in 10 minute(s)...", "GetDPLocations failed with error 0x87d00454"
    run = installation(
        STARTED, *[retry] * 400, failure, *[retry] * 400, *[failure] * 400, "CcmSetup failed with error code 0x1"
    )
    lines = [step.line for step in run.steps]
    assert lines == [*range(1, 101), 402, *range(703, 803), *range(803, 902), *range(1104, 1204)]
    assert run.steps[-1].code == 1


# facts


def test_the_command_line_of_a_push_is_known():
    run = installation(*SERVICE)
    assert run.command_line.endswith("/config:MobileClient.tcf")
    assert values(run.facts) == {"pushed": ["/config:MobileClient.tcf"]}


def test_properties_are_those_of_the_command_line():
    words = r'/mp:mp.example.com "/source:\\srv\client files" /UsePKICert SMSSITECODE=ABC FSP=fsp'
    assert values(installation(STARTED, f"Ccmsetup command line: {EXE} {words}").facts) == {
        "property": ["/mp:mp.example.com", r"/source:\\srv\client files", "/UsePKICert", "SMSSITECODE=ABC", "FSP=fsp"],
        "site-code": ["ABC"],
        "fallback-status-point": ["fsp"],
    }


def test_a_command_line_without_a_program_has_properties_too():
    assert values(installation("Ccmsetup command line: /mp:mp1").facts) == {"property": ["/mp:mp1"]}


def test_ports_and_states_of_the_site_are_stated():
    facts = installation(
        "SslState value: 224",
        "CCMHTTPPORT:    8080",
        "CCMHTTPSPORT:    8443",
        "CCMHTTPSSTATE:    63",
        "CCMHTTPSCERTNAME:    ",
        "FSP:    VR-SRV-01",
        "SiteCode:         VR",
        "[HOST1] Running on 'Microsoft Windows 10 Enterprise' (10.0.19042). Service Pack (0.0).",
    ).facts
    assert values(facts) == {
        "ssl-state": ["224"],
        "http-port": ["8080"],
        "https-port": ["8443"],
        "https-state": ["63"],
        "fallback-status-point": ["VR-SRV-01"],
        "site-code": ["VR"],
        "computer-name": ["HOST1"],
    }


def test_management_points_are_listed_behind_their_heading():
    facts = installation(
        "MPs:", "                  HTTPS://mp1.example.com", "      mp2.example.com", "No version of it."
    ).facts
    assert values(facts) == {"management-point": ["HTTPS://mp1.example.com", "mp2.example.com"]}


def test_a_list_of_management_points_ends_with_the_first_other_record():
    assert installation("MPs:", "No version of it.", "something").facts == ()


def test_properties_of_the_package_are_facts():
    text = 'MSI properties:    CCMHTTPPORT="80" FSP="fsp" SMSSITECODE="VR" smsmplist="https://mp1;https://mp2"'
    assert values(installation(text).facts) == {
        "http-port": ["80"],
        "fallback-status-point": ["fsp"],
        "site-code": ["VR"],
        "management-point": ["https://mp1", "https://mp2"],
    }


def test_addresses_of_the_computer_are_those_of_its_request():
    body = (
        'Sending message body \'<ContentLocationRequest SchemaVersion="1.00">\n<IPAddresses>'
        '<IPAddress SubnetAddress="10.1.0.0" Address="10.1.2.3"/><IPAddress SubnetAddress="fd00::" Address="fd00::5"/>'
        '<IPAddress SubnetAddress="" Address="nonsense"/></IPAddresses></ContentLocationRequest>\n\''
    )
    assert values(installation(body).facts) == {"computer-address": ["10.1.2.3", "fd00::5"]}


REPLY = (
    'Received reply \'<ContentLocationReply SchemaVersion="1.00"><Sites><Site><MPSite SiteCode="PR1" '
    'IISPreferedPort="8080" IISSSLPreferedPort="8443"/>{}</Site></Sites></ContentLocationReply>\''
)
LOCATIONS = (
    '<LocationRecords><LocationRecord><URL Name="http://dp.example.com/SMS_DP_SMSPKG$/P" Signature="http://x/S"/>'
    "</LocationRecord></LocationRecords>"
)


def test_a_reply_with_locations_names_the_distribution_points():
    run = installation(REPLY.format(LOCATIONS))
    assert (run.steps[0].step, run.steps[0].outcome) == (InstallStep.LOCATION_REQUEST, SUCCEEDED)
    assert values(run.facts) == {
        "http-port": ["8080"],
        "https-port": ["8443"],
        "distribution-point": ["http://dp.example.com/SMS_DP_SMSPKG$/P"],
    }


def test_site_systems_are_named_by_the_replies_of_a_management_point():
    facts = installation(
        "Retrived site info '<SiteInfoReply><HTTPPort>8080</HTTPPort><DefaultMP>mp1</DefaultMP></SiteInfoReply>'",
        "Retrived site version '5.00.8692.1000' from MP 'mp2'.",
        "Found local location 'http://dp1/SMS_DP_SMSPKG$/P'",
        "Using DP location http://dp2/SMS_DP_SMSPKG$/P",
        "Failed to download from DP 'http://dp3/P', error 0x80080005.",
    ).facts
    assert values(facts) == {
        "http-port": ["8080"],
        "management-point": ["mp1", "mp2"],
        "distribution-point": ["http://dp1/SMS_DP_SMSPKG$/P", "http://dp2/SMS_DP_SMSPKG$/P", "http://dp3/P"],
    }


def test_a_reply_without_locations_is_a_failure():
    (reply,) = installation(REPLY.format("<LocationRecords/>")).steps
    assert (reply.step, reply.outcome) == (InstallStep.LOCATION_REQUEST, FAILED)


def test_a_fact_is_stated_once_at_its_first_line_whatever_its_case():
    (fact,) = installation("FSP:    FSP1", "FromAD: FSP = fsp1").facts
    assert (fact.line, fact.value) == (1, "FSP1")


@pytest.mark.parametrize("port", ["0", "65536", "99999", "8080000000", "-1", "\N{ARABIC-INDIC DIGIT ONE}"])
def test_a_number_that_is_no_port_is_no_fact(port):
    assert installation(f"CCMHTTPPORT:    {port}").facts == ()


# steps


@pytest.mark.parametrize(
    ("bits", "flags"),
    [("0x9", "CERT_REV_FAILED|INVALID_CA"), ("0x8", "INVALID_CA"), ("0x10", "CERT_CN_INVALID")],
)
def test_the_flags_of_a_refused_certificate_are_bits(bits, flags):
    found = step(f"[CCMHTTP] : lpvStatusInformation is {bits}")
    assert (found.step, found.outcome, CertificateFlag(found.code).name) == (InstallStep.TLS, FAILED, flags)


@pytest.mark.parametrize("flag", list(CertificateFlag))
def test_a_flag_of_a_refused_certificate_has_its_bit(flag):
    found = step(f"[CCMHTTP] : WINHTTP_CALLBACK_STATUS_FLAG_{flag.name} is set")
    assert (found.step, found.code) == (InstallStep.TLS, flag)


def test_what_follows_from_a_request_that_was_not_sent_is_not_of_the_network():
    reported = steps(
        NO_CERTIFICATE,
        "[CCMHTTP] ERROR INFO: StatusCode=200 StatusText=",
        "Failed (0x87d00454) to send location request to 'mp'. StatusCode 200, StatusText ''",
        "GetDPLocations failed with error 0x87d00454",
    )
    assert [(step.port, step.status) for step in reported] == [(0, None)] * 3


def test_a_request_after_one_that_was_not_sent_is_another_one():
    reported = steps(
        NO_CERTIFICATE, "Downloading 'http://mp/x' to 'C:\\x'", "DownloadFileByWinHTTP failed with error 0x80072efd"
    )
    assert reported[-1].port is None


def test_a_success_has_the_target_of_what_began():
    begun = record(r"Downloading c:\client\ccmsetup.exe to C:\Windows\ccmsetup\ccmsetup.exe", thread=1)
    other = record("Downloading 'http://mp/CCM_Client/ccmsetup.cab' to 'C:\\x'", thread=2)
    assert step(begun, other, record("Download complete.", thread=1)).target == r"c:\client\ccmsetup.exe"
    assert step("Sending location request to 'mp' with payload ''", REPLY.format(LOCATIONS)).target == "mp"


def test_the_target_is_that_of_what_began_and_not_of_what_failed_since():
    begun = ("Downloading 'http://mp/a' to 'C:\\x'", "Failed to check url http://dp/b. Error 0x80004005")
    assert step(*begun, "DownloadFileByWinHTTP failed with error 0x80072efd").target == "http://mp/a"


def test_a_failure_without_a_code_is_about_all_that_was_tried():
    begun = "Sending location request to 'mp' with payload ''"
    assert step(begun, "Have already tried all MPs. Couldn't find DP locations.").target == ""


def test_a_job_of_bits_has_its_own_target():
    jobs = [f"DTSJob {{{number}}} created to download from 'http://dp/{number}' to 'C:\\x'." for number in (1, 2)]
    assert step(*jobs, "DTSJob {1} successfully completed download.").target == "http://dp/1"


def test_requests_of_very_many_threads_are_forgotten_and_not_mixed():
    others = [record(NO_CERTIFICATE, thread=thread) for thread in range(1, 2000)]
    failures = [record("GetDPLocations failed with error 0x87d00454", thread=thread) for thread in (1, 1999)]
    assert [step.port for step in steps(*others, *failures)[-2:]] == [None, 0]


def test_requests_of_other_threads_are_other_requests():
    other = record("GetDPLocations failed with error 0x80072efd", thread=1)
    assert step(NO_CERTIFICATE, other).port is None


def test_an_http_status_belongs_to_the_request_in_front_of_it():
    answer = step(
        BAD_STATUS, "[CCMHTTP] ERROR INFO: StatusCode= 403 StatusText= CMGConnector_Clientcertificaterequired"
    )
    assert (answer.status, answer.port, answer.target) == (403, 443, "https://cmg.example.com/STS")


def test_a_failure_with_a_status_has_the_port_of_its_request():
    failure = "Failed (0x87d0027e) to send location request to 'mp'. StatusCode 403, StatusText 'Forbidden'"
    assert (step(BAD_STATUS, failure).port, step(failure).port) == (443, None)


@pytest.mark.parametrize("status", ["<unknown>", "200", "0", "600", "99999999999999999999"])
def test_a_status_that_is_no_error_reports_nothing(status):
    assert steps(f"[CCMHTTP] ERROR INFO: StatusCode={status} StatusText=") == ()


def test_the_state_and_the_message_to_the_fallback_status_point_are_one_step():
    (sent,) = steps("Sending state '308'...", "Sending Fallback Status Point message to 'fsp', STATEID='308'.")
    assert (sent.code, sent.target, sent.line, sent.last_line) == (308, "fsp", 1, 2)


def test_another_state_is_another_step():
    sent = "Sending Fallback Status Point message to 'fsp', STATEID='308'."
    assert [step.code for step in steps("Sending state '100'...", sent)] == [100, 308]
    assert [step.code for step in steps(sent, sent)] == [308, 308]


def test_code_0_is_no_failure():
    assert step("Failed to download files through BITS. Error: 0x0, Description").outcome is NEUTRAL


@pytest.mark.parametrize(
    "text",
    [
        "Failed to connect to machine policy namespace. 0x8004100e",
        "Failed to connect to policy namespace. Error 0x8004100e",
        "Failed to revoke client upgrade local policy. Error 0x8004100e",
        "Failed to get client version for sending state messages. Error 0x8004100e",
        "IsSslClientAuthEnabled - Determining provisioning mode state failed with 80070002. Defaulting to state of 63.",
        "Unable to load profiler: 0x80070002",
        "Task 'Configuration Manager Client Retry Task' does not exist",
    ],
)
def test_what_every_first_installation_lacks_is_no_failure(text):
    reported = read(log(record(text, severity=3)))
    assert (reported.installations[0].steps, reported.unknown_errors) == ((), ())


def test_an_error_whose_step_is_not_known_is_kept_as_it_is_written():
    assert read(log(record("Something\nunheard of", severity=3))).unknown_errors == ((1, "Something unheard of"),)


def test_of_errors_whose_step_is_not_known_a_hundred_are_kept():
    assert len(read(record("Something", severity=3) * 200).unknown_errors) == 100


# hostile logs


@pytest.mark.parametrize(
    "text",
    [
        "Failed to download files through BITS. Error: 99999999999999999999",
        "Failed to download files through BITS. Error: 0xffffffffffffffff",
        "Failed to download files through BITS. Error: -9999999999",
        "Failed to download files through BITS. Error: -4294967295",
    ],
)
def test_a_code_of_more_than_32_bits_is_none_but_stays_as_it_is_written(text):
    found = step(text)
    assert (found.outcome, found.code, found.written_code) == (FAILED, None, text.rpartition(" ")[2])


@pytest.mark.parametrize(
    "begin",
    [
        "[CCMHTTP] ERROR: URL=",
        "Failed to download ",
        "Failed to send location request to '",
        "Ccmsetup command line: ",
        "MSI properties: ",
        "DTSJob ",
        "<IPAddress ",
        "=" * 5000,
        "MPs: ",
    ],
)
@pytest.mark.parametrize("filling", ["a", '"', "'", "=", " ", "<IPAddress ", "\ud800", "9", "error ", "0x"])
def test_a_text_of_ten_million_characters_is_read(begin, filling):
    count = 10_000_000 // len(filling) if begin == "MSI properties: " else 400_000 // len(filling)
    assert len(read(log(STARTED, begin + filling * count)).installations) == 1


def test_half_a_surrogate_is_kept():
    text = "<![LOG[FSP:    fsp]LOG]!>".encode("utf-16-le")
    broken = text.replace("fsp".encode("utf-16-le"), b"f\x00\x00\xd8p\x00") + record("")[
        len("<![LOG[]LOG]!>") :
    ].encode("utf-16-le")
    assert read(b"\xff\xfe" + broken).installations[0].facts[0].kind == "fallback-status-point"


@given(
    st.lists(
        st.tuples(
            st.sampled_from([*BOOTSTRAP, *SERVICE, CANNOT_CONNECT, "MPs:", "CcmSetup is exiting with return code 0"]),
            st.integers(0, 2),
        )
    )
)
def test_every_run_has_its_lines_and_they_are_in_order(texts):
    runs = read(log(*(record(text, thread=thread) for text, thread in texts))).installations
    assert [run.first_line for run in runs] == sorted(run.first_line for run in runs)
    assert all(1 <= run.first_line <= run.last_line <= len(texts) for run in runs)
    lines = [step.line for run in runs for step in run.steps]
    assert len(lines) == len(set(lines))


@given(st.text(alphabet=string.printable + "\ud800é", max_size=300), st.sampled_from(["ccmsetup", "LocationServices"]))
def test_any_text_can_be_read(text, component):
    read(record(text, component, 3))


# An installation by hand, shortened from a real log: the bootstrap goes on while its service has begun.

BY_HAND = [
    (3396, STARTED),
    (3396, "Ccmsetup command line: ccmsetup.exe  /mp:mp.dmz SMSSITECODE=abc FSP=fsp.lan"),
    (3396, r"Downloading C:\Install\sccm client\ccmsetup.exe to C:\Windows\ccmsetup\ccmsetup.exe"),
    (3396, "Download complete."),
    (3396, "Successfully created the ccmsetup service"),
    (3672, STARTED),
    (3396, "Successfully started the ccmsetup service"),
    (3912, "In ServiceMain"),
    (3912, f'Ccmsetup command line: {EXE} /runservice  "/mp:mp.dmz" FSP="fsp.lan" SMSSITECODE="abc"'),
    (3912, "MPs:"),
    (3912, "                  mp.dmz"),
    (3396, "CcmSetup is exiting with return code 0"),
    (3912, "Sending Fallback Status Point message to 'fsp.lan', STATEID='100'."),
    (3912, "CCM_POST 'HTTP://mp.dmz/ccm_system/request'"),
    (3912, "Received header '<Msg SchemaVersion=\"1.1\">\n<ID>{82DBA020}</ID></Msg>'"),
    (3912, "Retrived site version '5.00.8692.1000' from MP 'mp.dmz'."),
    (3912, "PROPFIND 'http://dp.dmz/SMS_DP_SMSPKG$/abc00002'"),
    (3912, "Got 401 challenge Retrying with Windows Auth..."),
    (3912, "PROPFIND 'http://dp.dmz/SMS_DP_SMSPKG$/abc00002'"),
    (3912, "Failed to correctly receive a WEBDAV HTTP request.. (StatusCode at WinHttpQueryHeaders: 401)"),
    (3912, "Failed to check url http://dp.dmz/SMS_DP_SMSPKG$/abc00002. Error 0x80004005"),
    (3912, "Enumerated all 1 DP locations but none of them is good. Fallback to MP."),
    (3912, "Adding file 'HTTP://mp.dmz:80/CCM_Client/x64/client.msi' to BITS job, saving as 'C:\\client.msi'."),
    (3912, "Starting BITS download for client deployment files."),
    (
        3912,
        "Failed to download files through BITS. Error: 0x80190194, Description HTTP status 404: The requested URL\n",
    ),
    (3912, "Failed to download client files by BITS. Error 0x80190194"),
    (3912, "Sending Fallback Status Point message to 'fsp.lan', STATEID='309'."),
    (3672, "CcmSetup failed with error code 0x80190194"),
]


def test_an_installation_by_hand_is_a_bootstrap_and_a_service():
    bootstrap, service = read(log(*(record(text, thread=thread) for thread, text in BY_HAND))).installations
    assert (bootstrap.service, bootstrap.first_line, bootstrap.last_line, bootstrap.exit_code) == (False, 1, 12, 0)
    assert [(step.step, step.outcome, step.target) for step in bootstrap.steps if step.target] == [
        (InstallStep.DOWNLOAD, NEUTRAL, r"C:\Install\sccm client\ccmsetup.exe"),
        (InstallStep.DOWNLOAD, SUCCEEDED, r"C:\Install\sccm client\ccmsetup.exe"),
    ]
    assert bootstrap.steps[-1].outcome is NEUTRAL
    assert (service.service, service.first_line, service.exit_code) == (True, 6, 0x80190194)
    assert values(service.facts) == {
        "property": ["/mp:mp.dmz", "FSP=fsp.lan", "SMSSITECODE=abc"],
        "fallback-status-point": ["fsp.lan"],
        "site-code": ["abc"],
        "management-point": ["mp.dmz"],
    }


def test_an_installation_by_hand_fails_at_its_server_and_not_at_a_port():
    _, service = read(log(*(record(text, thread=thread) for thread, text in BY_HAND))).installations
    assert [(step.step, step.code, step.status, step.target) for step in service.steps if step.outcome is FAILED] == [
        (InstallStep.HTTP_REQUEST, None, 401, "http://dp.dmz/SMS_DP_SMSPKG$/abc00002"),
        (InstallStep.DOWNLOAD, 0x80004005, None, "http://dp.dmz/SMS_DP_SMSPKG$/abc00002"),
        (InstallStep.DOWNLOAD, None, None, ""),
        (InstallStep.BITS, 0x80190194, 404, "HTTP://mp.dmz:80/CCM_Client/x64/client.msi"),
        (InstallStep.BITS, 0x80190194, 404, "HTTP://mp.dmz:80/CCM_Client/x64/client.msi"),
        (InstallStep.EXIT, 0x80190194, 404, ""),
    ]
    (answer,) = (step for step in service.steps if step.step is InstallStep.HTTP_REQUEST and step.outcome is SUCCEEDED)
    assert answer.target == "HTTP://mp.dmz/ccm_system/request"
    challenge = next(step for step in service.steps if "challenge" in step.text)
    assert (challenge.outcome, challenge.status, challenge.target) == (
        NEUTRAL,
        401,
        "http://dp.dmz/SMS_DP_SMSPKG$/abc00002",
    )


# real logs


@real_logs
def test_the_real_push_is_read_whole():
    reported = read((FOLDER / "dustinestes__ccmsetup.log").read_bytes())
    removal, service = reported.installations
    assert (removal.first_line, removal.last_line, removal.uninstall, removal.exit_code) == (1, 22, True, 0)
    assert (service.first_line, service.last_line, service.service, service.uninstall) == (23, 264, True, False)
    assert service.exit_code == 0x87D00454
    assert reported.unknown_errors == ()
    assert values(service.facts) == {
        "computer-name": ["1101W10LAB20"],
        "pushed": ["/config:MobileClient.tcf"],
        "ssl-state": ["224"],
        "http-port": ["80"],
        "https-port": ["443"],
        "https-state": ["63"],
        "fallback-status-point": ["VR-SRV-01", "VR-SRV-01.vividrock.com"],
        "management-point": ["VR-SRV-01.vividrock.com", "HTTPS://VR-SRV-01.vividrock.com"],
        "site-code": ["VR"],
        "computer-address": ["192.168.93.239"],
    }


@real_logs
def test_the_real_push_fails_for_want_of_a_certificate_and_sends_nothing():
    _, service = read((FOLDER / "dustinestes__ccmsetup.log").read_bytes()).installations
    states = [step.code for step in service.steps if step.step is InstallStep.FALLBACK_STATUS and step.code]
    assert states == [100, 101, 308, 301]
    certificate = failed(service.steps, InstallStep.CERTIFICATE)
    assert {step.code for step in certificate} == {None, 0x87D00215, 0x87D00454}
    requests = failed(service.steps, InstallStep.LOCATION_REQUEST) + failed(service.steps, InstallStep.DOWNLOAD)
    assert {(step.port, step.status) for step in requests} == {(0, None)}
    assert not failed(service.steps, InstallStep.HTTP_REQUEST)
