"""What people had in the logs of clients when an installation failed: the failed step and its code.

Each case is the log in its true form, with the lines of its symptom; the names of the computers are others.
"""

from __future__ import annotations

import io
from typing import NamedTuple

import pytest
from setup_logs import PUSH, STARTED, log, read, record

from auditor.sources.configmgr.facts import InstallStep as Step
from auditor.sources.configmgr.facts import ReportedStep, ReportedSteps, StepOutcome
from auditor.sources.configmgr.iis_log import read_iis_log


class Case(NamedTuple):
    """A log, and the failures that must be in it: step, code, status, port."""

    text: str
    failures: tuple[tuple[Step, int | None, int | None, int | None], ...]
    exit_code: int | None = None


def setup(*texts: str) -> str:
    return log(STARTED, PUSH, *texts)


def of(component: str, *texts: str) -> str:
    return "".join(record(text, component) for text in texts)


def request(url: str, port: int, code: int, text: str) -> str:
    return f"[CCMHTTP] ERROR: URL={url}, Port={port}, Options=63, Code={code}, Text={text}"


MP, DP, CMG = "mp.example.com", "dp.example.com", "cmg.example.com"
NO_CERTIFICATE = request(f"https://{MP}/ccm_system/request", 0, 0, "CCM_E_NO_CLIENT_PKI_CERT")

CASES = {
    "C07": Case(
        setup(
            "SslState value: 63",
            f"MP '{MP}' is not compatible",
            NO_CERTIFICATE,
            "CcmSetup failed with error code 0x87d00454",
        ),
        ((Step.ACTIVE_DIRECTORY, None, None, None), (Step.CERTIFICATE, 0x87D00454, None, 0)),
        0x87D00454,
    ),
    "C09": Case(
        setup("Failed to get client certificate for transportation. Error 0x80092004", NO_CERTIFICATE),
        ((Step.CERTIFICATE, 0x80092004, None, None), (Step.CERTIFICATE, 0x87D00454, None, 0)),
    ),
    "C13": Case(
        setup(
            "Unable to find any Certificate based on Certificate Issuers",
            NO_CERTIFICATE,
            "GetDPLocations failed with error 0x87d00454",
            "DownloadFileByWinHTTP failed with a non-recoverable failure, 0x87d00454",
            "Sending state '301'...",
            "CcmSetup failed with error code 0x87d00454",
        ),
        (
            (Step.CERTIFICATE, None, None, None),
            (Step.CERTIFICATE, 0x87D00454, None, 0),
            (Step.LOCATION_REQUEST, 0x87D00454, None, 0),
            (Step.DOWNLOAD, 0x87D00454, None, 0),
        ),
        0x87D00454,
    ),
    "C15": Case(
        of(
            "CcmMessaging",
            request(f"http://{MP}/ccm_system_windowsauth/request", 80, 12152, "ERROR_WINHTTP_INVALID_SERVER_RESPONSE"),
            "Failed in WinHttpReceiveResponse API, ErrorCode = 0x2f78",
        ),
        ((Step.HTTP_REQUEST, 12152, None, 80), (Step.HTTP_REQUEST, 0x2F78, None, 80)),
    ),
    "C17, ccmsetup.log": Case(
        setup("Failed to download files through BITS. Error: 0x80200024, Description The job is not making progress."),
        ((Step.BITS, 0x80200024, None, None),),
    ),
    "C17, DataTransferService.log": Case(
        of(
            "DataTransferService", f"DTSJob {{1}} BITS job {{2}} failed to download http://{DP}/x with error 0x80200024"
        ),
        ((Step.BITS, 0x80200024, None, None),),
    ),
    "C19": Case(
        of(
            "CcmMessaging",
            f"Post to http://{MP}/ccm_system_windowsauth/request failed with 0x87d00231.",
            request(f"http://{MP}/ccm_system/request", 80, 0, "CCM_E_BAD_HTTP_STATUS_CODE"),
            "[CCMHTTP] ERROR INFO: StatusCode=500 StatusText=Internal Server Error",
        ),
        (
            (Step.HTTP_REQUEST, 0x87D00231, None, None),
            (Step.HTTP_REQUEST, 0x87D0027E, None, 80),
            (Step.HTTP_REQUEST, None, 500, 80),
        ),
    ),
    "C21": Case(
        of(
            "LocationServices",
            request(
                f"https://{CMG}/CCM_PROXY_MUTUALAUTH/1/SMS_MP/.sms_aut",
                443,
                0,
                "CCM_E_BAD_HTTP_STATUS_CODE",
            ),
            "[CCMHTTP] ERROR INFO: StatusCode= 403 StatusText= CMGConnector_Clientcertificaterequired",
        ),
        ((Step.HTTP_REQUEST, 0x87D0027E, None, 443), (Step.HTTP_REQUEST, None, 403, 443)),
    ),
    "C23": Case(
        of(
            "LocationServices",
            "[CCMHTTP] AsyncCallback(): WINHTTP_CALLBACK_STATUS_SECURE_FAILURE Encountered",
            "[CCMHTTP] : dwStatusInformationLength is 4",
            "[CCMHTTP] : lpvStatusInformation is 0x9",
            "[CCMHTTP] : WINHTTP_CALLBACK_STATUS_FLAG_CERT_REV_FAILED is set",
            "[CCMHTTP] : WINHTTP_CALLBACK_STATUS_FLAG_INVALID_CA is set",
            "[CCMHTTP] : WINHTTP_CALLBACK_STATUS_FLAG_CERT_CN_INVALID is set",
            request(f"https://{CMG}/CCM_Proxy_ServerAuth/1/CCM_STS", 443, 12175, "ERROR_WINHTTP_SECURE_FAILURE"),
        ),
        ((Step.TLS, 0x9, None, None), (Step.TLS, 0x10, None, None), (Step.TLS, 12175, None, 443)),
    ),
    "C25": Case(
        setup(
            request(
                f"https://{CMG}/downloadrestservice.svc/getcontentxmlsecure?pid=P&cid=P",
                0,
                0,
                "CCM_E_NO_CLIENT_PKI_CERT",
            ),
            "GetDirectoryList failed with a non-recoverable failure, 0x87d00454",
            "Failed to correctly receive a WEBDAV HTTPS request.. (StatusCode at WinHttpQueryHeaders: 0)",
            "[CCMHTTP] : WINHTTP_CALLBACK_STATUS_FLAG_CERT_CN_INVALID is set",
        ),
        (
            (Step.CERTIFICATE, 0x87D00454, None, 0),
            (Step.DOWNLOAD, 0x87D00454, None, 0),
            (Step.HTTP_REQUEST, None, None, 0),
            (Step.TLS, 0x10, None, None),
        ),
    ),
    "C27": Case(
        setup(
            "[CCMHTTP] : WINHTTP_CALLBACK_STATUS_FLAG_CERT_REV_FAILED is set",
            request(f"https://{CMG}/CCM_Proxy_ServerAuth/1/CCM_STS", 443, 12175, "ERROR_WINHTTP_SECURE_FAILURE"),
        ),
        ((Step.TLS, 0x1, None, None), (Step.TLS, 12175, None, 443)),
    ),
    "C35": Case(
        setup(
            r"Source \\srv.example.com\SMSClient is inaccessible (5)",
            "Failed to find accessible source. Waiting for retry.",
        ),
        ((Step.DOWNLOAD, 5, None, None), (Step.DOWNLOAD, None, None, None)),
    ),
    "C37": Case(
        setup(
            "This operating system does not contain the correct version of BITS. BITS 2.5 or later is required.",
            "Sending Fallback Status Point message, STATEID='321'.",
            "CcmSetup failed with error code 0x80004005",
        ),
        ((Step.BITS, None, None, None),),
        0x80004005,
    ),
    "C47": Case(
        of(
            "DataTransferService", f"DTSJob {{1}} BITS job {{2}} failed to download http://{DP}/x with error 0x801901F4"
        ),
        ((Step.BITS, 0x801901F4, 500, None),),
    ),
    "C49": Case(
        setup(
            "File C:\\WINDOWS\\ccmsetup\\client.msi installation failed. Error text: ExitCode: 1603",
            "CcmSetup failed with error code 0x80070643",
        ),
        ((Step.MSI, 1603, None, None),),
        0x80070643,
    ),
    "C51": Case(
        setup(
            "Client is not allowed to use or doesn't have PKI cert while talking to HTTPS server.",
            request(f"http://{DP}/SMS_DP_SMSPKG$/P", 80, 0, "CCM_E_BAD_HTTP_STATUS_CODE"),
            "[CCMHTTP] ERROR INFO: StatusCode=403 StatusText=Forbidden",
            "GetDirectoryList failed with error 0x87d0027e",
        ),
        (
            (Step.CERTIFICATE, None, None, None),
            (Step.HTTP_REQUEST, None, 403, 80),
            (Step.DOWNLOAD, 0x87D0027E, None, 80),
        ),
    ),
}


def failures(reported: ReportedSteps) -> list[ReportedStep]:
    steps = (*(step for run in reported.installations for step in run.steps), *reported.steps)
    return [step for step in steps if step.outcome is StepOutcome.FAILED]


@pytest.mark.parametrize("name", CASES)
def test_the_failed_step_has_its_code(name):
    case = CASES[name]
    found = [(step.step, step.code, step.status, step.port) for step in failures(read(case.text))]
    assert [failure for failure in case.failures if failure not in found] == []


@pytest.mark.parametrize("name", [name for name, case in CASES.items() if case.exit_code is not None])
def test_the_installation_has_its_exit_code(name):
    (run,) = read(CASES[name].text).installations
    assert run.exit_code == CASES[name].exit_code


@pytest.mark.parametrize("name", ["C07", "C09", "C13"])
def test_what_was_never_sent_names_no_port(name):
    assert {step.port for step in failures(read(CASES[name].text))} <= {None, 0}


@pytest.mark.parametrize("name", CASES)
def test_no_line_of_a_symptom_is_unknown(name):
    as_errors = CASES[name].text.replace('type="1"', 'type="3"')
    unknown = [text for _, text in read(as_errors).unknown_errors]
    assert [text for text in unknown if "dwStatusInformationLength" not in text and "SslState" not in text] == []


# What the IIS log of the site system showed: the request arrived, and was refused with this status.
SERVED = {
    "C19": ("PROPFIND /CCM_Client - 80 - 192.0.2.7 ccmsetup - 500 19 126", (500, 19, 126, 80)),
    "C21": ("GET /SMS_MP/.sms_aut SITESIGNCERT 443 - 192.0.2.7 ccmhttp - 403 7 64", (403, 7, 64, 443)),
    "C29, SSL required": ("GET /CCM_Client/ccmsetup.exe - 80 - 192.0.2.7 - - 403 4 5", (403, 4, 5, 80)),
    "C29, certificate": ("GET /CCM_Client/ccmsetup.exe - 443 - 192.0.2.7 - - 403 7 64", (403, 7, 64, 443)),
    "C51": ("PROPFIND /SMS_DP_SMSPKG$/P - 80 - 192.0.2.7 SMS+CCM+5.0 - 403 4 5", (403, 4, 5, 80)),
}
FIELDS = (
    "#Fields: date time s-ip cs-method cs-uri-stem cs-uri-query s-port cs-username c-ip cs(User-Agent) cs(Referer) "
    "sc-status sc-substatus sc-win32-status"
)


@pytest.mark.parametrize("name", SERVED)
def test_the_request_that_was_refused_arrived(name):
    row, expected = SERVED[name]
    (request,) = read_iis_log(io.BytesIO(f"{FIELDS}\r\n2023-01-17 16:00:00 192.0.2.1 {row}\r\n".encode())).served
    assert (request.status, request.substatus, request.win32_status, request.port) == expected
    assert request.client == "192.0.2.7"
