"""What the programs of a client write in their logs, as tables: each message with the step that it reports.

The words are those of ccmsetup.log, LocationServices.log, ClientIDManagerStartup.log, CcmMessaging.log, and
DataTransferService.log, of Configuration Manager 2007 to current branch. They are always English.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from enum import IntFlag
from functools import lru_cache
from typing import NamedTuple

from auditor.sources.configmgr.facts import InstallStep, LogRecord, ReportedStep, StepOutcome

LOOKED_AT = 2000  # characters of a text in which a message is recognized; the longest URLs are of some hundreds
SHOWN = 500  # characters of a text that a step keeps
MOST_CODE = 0xFFFFFFFF
HTTP_STATUSES = range(100, 600)
FIRST_HTTP_ERROR = 400
FACILITY_HTTP = 0x8019  # the upper half of an HRESULT of BITS whose lower half is an HTTP status

# Components whose records are looked into; others, such as AppEnforce and TSManager, report on no installation.
COMPONENTS = frozenset(
    (
        "ccmsetup",
        "locationservices",
        "fspstatemessage",
        "clientidmanagerstartup",
        "ccmmessaging",
        "datatransferservice",
        "contenttransfermanager",
        "ccmexec",
    )
)


class CertificateFlag(IntFlag):
    """Why WinHTTP refused a server's certificate (WINHTTP_CALLBACK_STATUS_FLAG_*)."""

    CERT_REV_FAILED = 0x1
    INVALID_CERT = 0x2
    CERT_REVOKED = 0x4
    INVALID_CA = 0x8
    CERT_CN_INVALID = 0x10
    CERT_DATE_INVALID = 0x20
    CERT_WRONG_USAGE = 0x40


class Message(NamedTuple):
    """One kind of message.

    Attributes:
        step: The step that it reports.
        outcome: How that ended.
        pattern: Its words from the beginning of the text. The groups `code`, `bare` (a code without "0x"), `name` (a
            code by its name), `flag`, `status`, `target`, and `port` become fields of the step.
        if_http_error: Whether it reports a step only if its status is that of an error.
    """

    step: InstallStep
    outcome: StepOutcome
    pattern: re.Pattern[str]
    if_http_error: bool


_CODE = r"(?P<code>0x[0-9a-f]{1,16}|-?[0-9]{1,20})"
_STATUS = r"(?P<status>-?[0-9]{1,20}|<unknown>)"
_URL = r"(?P<target>\S{1,1500}?)"
_QUOTED = r"'(?P<target>[^'\n]{0,1500})'"
_ANY = r"[^\n]{0,300}?"
_TASK = r"(?:\[RegTask\] - |RegTask: )"
_REQUEST = (
    r"\[CCMHTTP\] ERROR:\s{1,3}URL=(?P<target>[^\n]{0,1500}?),\s{1,3}Port=(?P<port>[0-9]{1,20}),"
    r"\s{0,3}Options=[^,\n]{0,100},\s{0,3}Code=(?P<code>-?[0-9]{1,20}),\s{0,3}Text="
)


def _table(step: InstallStep, rows: str) -> Iterator[Message]:
    """Yield the messages of one step; a row is an outcome, a blank, and a pattern."""
    for row in filter(None, map(str.strip, rows.splitlines())):
        outcome, pattern = row.split(maxsplit=1)
        for word, meaning in (
            ("{code}", _CODE),
            ("{status}", _STATUS),
            ("{url}", _URL),
            ("{quoted}", _QUOTED),
            ("{any}", _ANY),
            ("{request}", _REQUEST),
            ("{task}", _TASK),
        ):
            pattern = pattern.replace(word, meaning)
        yield Message(step, _OUTCOMES[outcome], re.compile(pattern, re.IGNORECASE | re.ASCII), outcome == "http")


_OUTCOMES = {
    "good": StepOutcome.SUCCEEDED,
    "bad": StepOutcome.FAILED,
    "http": StepOutcome.FAILED,
    "skip": StepOutcome.SKIPPED,
    "-": StepOutcome.NEUTRAL,
}

# The first row that fits decides. "bad" with a code of 0 is no failure; "http" is one if its status is an error's.
MESSAGES: tuple[Message, ...] = (
    *_table(
        InstallStep.START,
        r"""
        -     =+\[ ccmsetup started in process
        good  Successfully (?:created|started) the ccmsetup service
        bad   Failed to (?:create|start|register) the ccmsetup service(?:{any}\(?{code})?
        skip  (?:Another instance of ccmsetup|CcmSetup) is already running
        """,
    ),
    *_table(
        InstallStep.ACTIVE_DIRECTORY,
        r"""
        -     Performing AD query
        good  The MP name retrieved is {quoted}
        bad   MP {quoted} is not compatible
        bad   Unexpected row count \(0\) retrieved from AD
        bad   Retrieved 0 MP records from AD
        good  Retrieved [0-9]{1,9} MP records from AD
        good  Successfully refresh(?:ed)? bootstrap information from AD
        bad   Couldn't find an MP source through AD(?:\. Error:? {code})?
        bad   Failed to {any} from AD\b(?:{any}error:? {code})?
        bad   GetADInstallParams failed with {code}
        """,
    ),
    *_table(
        InstallStep.CERTIFICATE,
        r"""
        bad   {request}(?P<name>CCM_E_NO_CLIENT_PKI_CERT)
        -     Begin searching client certificates
        bad   Unable to find any Certificate based on
        good  Client selected the PKI Certificate
        bad   Failed to get client certificate for transportation\. Error:? {code}
        bad   Client is not allowed to use or doesn't have PKI cert
        bad   Failed to get CCM access token and client doesn't have PKI issued cert{any}Error:? {code}
        bad   There are no certificate\(?s\)? (?:in the|that meet)
        bad   {task}?Failed to (?:get|find|select) (?:a |the |any )?certificate(?:{any}(?:Error:? |\(){code})?
        bad   Failed to {any}trusted (?:root )?key(?:{any}(?:Error:? |\(){code})?
        """,
    ),
    *_table(
        InstallStep.TLS,
        r"""
        bad   {request}(?P<name>ERROR_WINHTTP_(?:SECURE|CLIENT_AUTH_CERT|CLIENT_CERT)\w{0,40})
        bad   \[CCMHTTP\] AsyncCallback\(\): WINHTTP_CALLBACK_STATUS_SECURE_FAILURE
        bad   \[CCMHTTP\]\s?:\s{0,3}lpvStatusInformation is {code}
        bad   \[CCMHTTP\]\s?:\s{0,3}WINHTTP_CALLBACK_STATUS_FLAG_(?P<flag>\w{1,40}) is set
        """,
    ),
    *_table(
        InstallStep.REGISTRATION,
        r"""
        -     \[RegTask\] - Client is not registered\. Sending registration request
        -     \[RegTask\] - Client is registered\. Exiting
        good  \[RegTask\] - Client is registered
        bad   \[RegTask\] - Server rejected registration(?: request)?(?:[: ]+{code})?
        bad   {task}Failed to {any}(?:Error:? |\(){code}
        bad   {task}Failed to
        bad   Failed to {any}registration(?:{any}Error:? {code})?
        """,
    ),
    *_table(
        InstallStep.HTTP_REQUEST,
        r"""
        bad   {request}(?P<name>\w{0,80})
        http  \[CCMHTTP\] ERROR INFO: StatusCode=\s{0,3}{status}
        -     (?:CCM_POST|POST|GET|HEAD|PROPFIND) '(?P<target>https?:[^'\n]{0,1500})'
        -     Got {status} challenge
        good  Received header '<Msg\b
        bad   Post to {url} failed with {code}
        bad   Failed in WinHttp\w{1,40} API, ErrorCode = {code}
        bad   Failed to send request to \S{1,1500} at host (?P<target>\S{1,255}?), error {code}
        bad   Error sending DAV request\. HTTP code {status}
        bad   GetDirectoryList_HTTP mapping original error {code}
        bad   Failed to {any}\(Error at WinHttp\w{1,40}: {code}\)
        bad   Failed to {any}\(StatusCode at WinHttp\w{1,40}: {status}\)
        bad   RetrieveTokenFromStsServer\w{0,20} failed with error {code}
        bad   Failed to refresh Site Signing Certificate over HTTPS?(?: with error {code})?
        bad   LSUpdateInternetManagementPoints: Failed to retrieve internet MPs(?:{any} with error {code})?
        bad   Server failed to process message and returned status code {status}
        """,
    ),
    *_table(
        InstallStep.LOCATION_REQUEST,
        r"""
        -     Sending location request to {quoted}
        bad   Failed \({code}\) to send location request to {quoted}(?:\. StatusCode {status})?
        bad   Failed to send location (?:request|message) to {quoted}
        bad   Failed to send management point list Location Request Message(?: to (?P<target>\S{1,255}))?
        bad   GetDPLocations failed with error {code}
        bad   Failed to get DP locations{any} from MP {quoted}\. Error:? {code}
        bad   Failed to find DP locations from MP {quoted} with error {code}(?:, status code {status})?
        bad   Failed to get DP locations
        bad   Have already tried all MPs\. Couldn't find DP locations
        bad   No valid source or MP locations
        bad   Calling back with empty distribution points list
        good  Retrived site version '[^'\n]{0,100}' from MP {quoted}
        good  Retrived site info
        """,
    ),
    *_table(
        InstallStep.BITS,
        r"""
        bad   Failed to download files through BITS\. Error:? {code}(?:, Description HTTP status {status})?
        bad   {any}(?:does not contain the correct version of BITS|BITS 2\.5 or later is required)
        bad   CreateInstance of CLSID_BackgroundCopyManager failed with (?:0x)?(?P<bare>[0-9a-f]{8})\b
        bad   BITS job creation failed with (?:0x)?(?P<bare>[0-9a-f]{8})\b
        bad   Failed to download client files by BITS\. Error:? {code}
        -     Adding file {quoted} to BITS job
        -     Starting BITS download
        -     DTSJob \{[^}\n]{1,60}\} created to download from '(?P<target>[^'\n]{1,1500})'
        good  DTSJob \{[^}\n]{1,60}\} successfully completed download
        bad   DTSJob {any}(?:error|code):? {code}
        bad   (?:CDTSJob|CTransientError|CDTSHResultError|CBITSJob|BITS)\b{any}(?:error|code|result):? (?:code )?{code}
        """,
    ),
    *_table(
        InstallStep.DOWNLOAD,
        r"""
        -     Downloading '?(?P<target>[^'\n]{1,1500}?)'? to\b
        -     Using DP location:? {url}$
        good  Successfully downloaded
        good  Download complete
        bad   Enumerated all [0-9]{1,9} DP locations but none of them is good
        bad   Failed to download from DP {quoted}, error:? {code}
        bad   DownloadFileByWinHTTP failed with (?:a non-recoverable failure,|error) {code}
        bad   Failed to check url {url}\. Error:? {code}
        bad   GetDirectoryList failed with (?:a non-recoverable failure,|error) {code}
        bad   Failed to get directory list from {quoted}\. Error:? {code}
        bad   GetDirectoryList_HTTPS?\('(?P<target>[^'\n]{0,1500})'\) failed with code {code}
        bad   Error retrieving manifest \({code}\)
        bad   Source {url} is inaccessible(?: \({code}\))?
        bad   Failed to find accessible source
        bad   Failed to (?:successfully )?download {any}error:? {code}
        bad   Failed to (?:successfully )?download
        """,
    ),
    *_table(
        InstallStep.FALLBACK_STATUS,
        r"""
        -     Sending state '(?P<code>[0-9]{1,20})'
        -     Sending Fallback Status Point message(?: to {quoted})?, STATEID='(?P<code>[0-9]{1,20})'
        skip  A Fallback Status Point has not been specified\.\s{1,3}Message with STATEID='(?P<code>[0-9]{1,20})'
        good  State message with TopicType 800 {any}has been sent to the FSP
        bad   Failed to send {any}(?:FSP|Fallback Status Point)\b(?:{any}error:? {code})?
        """,
    ),
    *_table(
        InstallStep.MSI,
        r"""
        bad   File (?P<target>[^\n]{1,300}?) installation failed\. Error text: ExitCode: {code}
        bad   Installation failed with error code {code}
        good  Installation succeeded
        good  Uninstall (?:of product '[^'\n]{0,100}' )?succeeded
        bad   File '(?P<target>[^'\n]{1,300})' returned failure exit code {code}
        bad   (?:MSI: )?Setup (?:failed|was unable to)\b[^<]{0,300}?error code is (?:0x)?(?P<bare>[0-9a-f]{8})\b
        bad   (?:MSI: )?Module [^\n]{1,300}? failed to register\. HRESULT {code}
        bad   (?:MSI: )?Service '[^'\n]{1,100}' \(\w{1,100}\) failed to start
        """,
    ),
    *_table(
        InstallStep.RETRY,
        r"""
        -     Next retry in [0-9]{1,9} minute
        -     'Configuration Manager Client Retry Task' is scheduled to run
        """,
    ),
    *_table(
        InstallStep.EXIT,
        r"""
        bad   CcmSetup failed with error code {code}
        bad   CcmSetup is exiting with return code {code}
        """,
    ),
)

# Errors and warnings of a first installation that succeeds: what is not there yet is not missing.
NOISE = re.compile(
    r"""
    Failed\ to\ connect\ to\ (?:machine\ )?policy\ namespace\.?(?:\ Error)?\ 0x8004100e
    | Failed\ to\ revoke\ client\ upgrade\ local\ policy\.\ Error\ 0x8004100e
    | Failed\ to\ get\ client\ version\ for\ sending\ state\ messages\.\ Error\ 0x8004100e
    | IsSslClientAuthEnabled\ -\ Determining\ provisioning\ mode\ state\ failed\ with\ 80070002
    | Unable\ to\ load\ profiler:\ 0x80070002
    | Could\ not\ (?:delete\ (?:ConfigInfo|EnrollmentInfo)|retrieve\ value\ for\ MDM_ConfigSetting)
    | (?:Folder|Task)\ '[^'\n]{0,200}'\ (?:does\ not\ exist|not\ found)
    """,
    re.VERBOSE | re.IGNORECASE | re.ASCII,
)

# Codes of winhttp.h that concern certificates; the log writes them as they are, or as the HRESULT 0x80070000 + code.
_OF_TLS = frozenset((12037, 12038, 12044, 12045, 12057, 12157, 12169, 12170, 12175, 12179, 12185, 12186))
_NAMED = {"CCM_E_NO_CLIENT_PKI_CERT": 0x87D00454, "CCM_E_BAD_HTTP_STATUS_CODE": 0x87D0027E}
_ENDS_WELL = {0: StepOutcome.SUCCEEDED, 7: StepOutcome.SKIPPED, 8: StepOutcome.SKIPPED}  # reboot first; runs already
_HRESULT = 0x80070000
_CONTENT_REPLY = re.compile(r"[^\n]{0,300}?<ContentLocationReply\b", re.ASCII)
_LOCATION = re.compile(r"<(?:LocationRecord|URL)\b")


def read_code(written: str) -> int | None:
    """Return a code as unsigned 32 bits.

    Args:
        written: A number in decimal, signed or not, or in hexadecimal with 0x.

    Returns:
        The code, or None if it needs more than 32 bits.
    """
    if len(written) > 20:
        return None
    number = int(written, 16) if written[:2].lower() == "0x" else int(written)
    if -(1 << 31) <= number < 0:
        number += 1 << 32
    return number if 0 <= number <= MOST_CODE else None


def read_message(record: LogRecord) -> ReportedStep | None:
    """Return the step that a record reports by itself.

    Args:
        record: One of the COMPONENTS.

    Returns:
        The step, or None if the record reports none.
    """
    text = record.text[:LOOKED_AT].lstrip()
    if _CONTENT_REPLY.match(text):
        return _content_reply(record)
    found = _recognize(text)
    return None if found is None else _step(record, *found)


def shown(text: str) -> str:
    """Return a text on one line, cut to what a step keeps."""
    return " ".join(text[:LOOKED_AT].split())[:SHOWN]


@lru_cache(maxsize=4096)
def _recognize(text: str) -> tuple[Message, dict[str, str]] | None:
    """Return the message of a text and what it names; texts come again and again."""
    for message in MESSAGES:
        if match := message.pattern.match(text):
            return message, {name: value for name, value in match.groupdict().items() if value is not None}
    return None


def _content_reply(record: LogRecord) -> ReportedStep:
    outcome = StepOutcome.SUCCEEDED if _LOCATION.search(record.text) else StepOutcome.FAILED
    return _bare_step(record, InstallStep.LOCATION_REQUEST, outcome)


def _bare_step(record: LogRecord, step: InstallStep, outcome: StepOutcome) -> ReportedStep:
    return ReportedStep(step, outcome, record.line, record.last_line, record.time_ns, shown(record.text))


def _step(record: LogRecord, message: Message, named: dict[str, str]) -> ReportedStep | None:
    code, written = _code(named)
    status = _status(named.get("status"), code)
    step, outcome = message.step, message.outcome
    if step is InstallStep.HTTP_REQUEST and code is not None and _is_of_tls(code):
        step = InstallStep.TLS
    if step is InstallStep.EXIT and code is not None:
        outcome = _ENDS_WELL.get(code, outcome)
    elif message.if_http_error and (status is None or status < FIRST_HTTP_ERROR):
        return None
    elif outcome is StepOutcome.FAILED and code == 0 and not named.get("name"):
        outcome = StepOutcome.NEUTRAL
    return ReportedStep(
        step,
        outcome,
        record.line,
        record.last_line,
        record.time_ns,
        shown(record.text),
        code=code,
        written_code=written,
        status=status,
        target=named.get("target", "").strip(),
        port=_port(named.get("port")),
    )


def _code(named: dict[str, str]) -> tuple[int | None, str]:
    """Return the code that a message gives, and how it is written."""
    if flag := named.get("flag", "").upper():
        known = CertificateFlag.__members__.get(flag)
        return (None if known is None else int(known)), flag
    if bare := named.get("bare"):
        return int(bare, 16), bare
    written, name = named.get("code", ""), named.get("name", "")
    code = read_code(written) if written else None
    if not code and name:  # WinHTTP had no error, Configuration Manager has one
        return _NAMED.get(name.upper()), name
    return code, written


def _is_of_tls(code: int) -> bool:
    return code in _OF_TLS or (code >= _HRESULT and code - _HRESULT in _OF_TLS)


def _status(written: str | None, code: int | None) -> int | None:
    """Return the HTTP status that a message gives, as itself or in a code."""
    status = read_code(written) if written and written != "<unknown>" else None
    if status is None and code is not None and code >> 16 == FACILITY_HTTP:
        status = code & 0xFFFF
    return status if status in HTTP_STATUSES else None


def _port(written: str | None) -> int | None:
    port = read_code(written) if written else None
    return port if port is not None and port <= 0xFFFF else None
