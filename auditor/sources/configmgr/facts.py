"""What Configuration Manager's logs report: records, steps, push requests, installations, and facts of the site."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum


@dataclass(frozen=True, slots=True)
class LogRecord:
    """One record of a log, whichever form it is written in.

    Attributes:
        line: Number of its first line in the file, from 1.
        last_line: Number of its last line.
        time_ns: Nanoseconds since 1970; UTC if `utc`, else local time. None if it is unreadable.
        utc: Whether the record has its own offset from UTC.
        component: Such as "SMS_CLIENT_CONFIG_MANAGER" or "ccmsetup".
        thread: Number of the thread, 0 if unknown.
        severity: 0 verbose, 1 information, 2 warning, 3 error; None in forms without it.
        text: What the program wrote.
    """

    line: int
    last_line: int
    time_ns: int | None
    utc: bool
    component: str
    thread: int
    severity: int | None
    text: str


class InstallStep(StrEnum):
    """A step of an installation that ConfigMgr's logs report on. Values are those in rulesets/well-known."""

    # of the site server, in ccm.log
    QUEUE = "queue"
    ACCOUNT = "account"
    ADMIN_SHARE = "admin-share"
    REMOTE_REGISTRY = "remote-registry"
    IPC_SHARE = "ipc-share"
    LOCK_FILE = "lock-file"
    WMI = "wmi"
    CLIENT_CHECK = "client-check"
    VERSION_CHECK = "version-check"
    ASSIGNMENT_CHECK = "assignment-check"
    COPY = "copy"
    SERVICE = "service"
    REQUEST = "request"  # the request as a whole: its last error code, its status
    # of the client, in ccmsetup.log and its kin
    START = "start"
    ACTIVE_DIRECTORY = "active-directory"
    CERTIFICATE = "certificate"
    LOCATION_REQUEST = "location-request"
    HTTP_REQUEST = "http-request"
    TLS = "tls"
    DOWNLOAD = "download"
    BITS = "bits"
    FALLBACK_STATUS = "fallback-status"
    MSI = "msi"
    REGISTRATION = "registration"
    RETRY = "retry"  # it waits, and begins again
    EXIT = "exit"


class StepOutcome(StrEnum):
    """How a reported step ended."""

    SUCCEEDED = "succeeded"
    FAILED = "failed"
    SKIPPED = "skipped"  # decided not to go on, as for a client of the same version
    NEUTRAL = "neutral"  # began, or says nothing of an end


@dataclass(frozen=True, slots=True)
class ReportedStep:
    """What one record reports of one step.

    Attributes:
        step: Which step.
        outcome: How it ended.
        line: First line of the record.
        last_line: Its last line.
        time_ns: As of the record.
        text: The record's text as the program wrote it, one line, at most 500 characters.
        code: The code that the record gives, as unsigned 32 bits; None if it gives none.
        written_code: The code as it is written, such as "0x800706BA", "53" or "-2147023174".
        status: HTTP status that the record gives, None if it gives none.
        target: The host, share, or URL that the step is about, empty if it names none.
        port: The port that the record names; 0 says that nothing was sent, by itself or by the record of the request
            that failed; None if it names none.
        account: The account that was used, empty if it names none.
    """

    step: InstallStep
    outcome: StepOutcome
    line: int
    last_line: int
    time_ns: int | None
    text: str
    code: int | None = None
    written_code: str = ""
    status: int | None = None
    target: str = ""
    port: int | None = None
    account: str = ""


class RequestStatus(StrEnum):
    """The status of a push request, as sp_CP_SetPushRequestMachineStatus and v_CP_Machine number it from 0."""

    NOT_STARTED = "not started"
    STARTED = "started"
    RETRY = "retry"
    SKIPPED = "skipped"
    COMPLETE = "complete"
    FAILED = "failed"


@dataclass(frozen=True, slots=True)
class PushRequest:
    """One client configuration request in ccm.log, from its begin to its end; each retry is one more.

    Attributes:
        id: The number of the request, as text.
        machine: The name of the computer to push to.
        first_line: Line of its first record.
        last_line: Line of its last record.
        first_ns: Time of its first record, None if unknown.
        last_ns: Time of its last record.
        steps: What its records report, in the order of lines.
        status: The last status that the log gives, None if it gives none.
        error_code: The last error code that the log stores, as unsigned 32 bits; None if it stores none.
        complete: Whether the log holds its end.
        earlier: How many requests for the same machine the log holds before this one, whether they are kept or not.
    """

    id: str
    machine: str
    first_line: int
    last_line: int
    first_ns: int | None
    last_ns: int | None
    steps: tuple[ReportedStep, ...]
    status: RequestStatus | None = None
    error_code: int | None = None
    complete: bool = True
    earlier: int = 0


class FactKind(StrEnum):
    """What a log states about the site or the computer."""

    COMPUTER_NAME = "computer-name"
    COMPUTER_ADDRESS = "computer-address"
    SITE_CODE = "site-code"
    HTTP_PORT = "http-port"
    HTTPS_PORT = "https-port"
    HTTPS_STATE = "https-state"  # CCMHTTPSSTATE, a number
    SSL_STATE = "ssl-state"  # "SslState value", a number: what the registry had before the installation
    MANAGEMENT_POINT = "management-point"  # host or URL
    DISTRIBUTION_POINT = "distribution-point"
    FALLBACK_STATUS_POINT = "fallback-status-point"
    PROPERTY = "property"  # of the command line of CCMSetup, such as "/source:PATH"
    PUSHED = "pushed"  # the command line is that of a push; the value is what shows it


@dataclass(frozen=True, slots=True)
class ReportedFact:
    """A fact that a log states, with its proof.

    Attributes:
        kind: What it is about.
        value: As the log writes it.
        line: Line of the record that states it.
    """

    kind: FactKind
    value: str
    line: int


@dataclass(frozen=True, slots=True)
class Installation:
    """One run of CCMSetup, from "started in process" to the next; a log usually holds several.

    Attributes:
        first_line: Line of its first record.
        last_line: Line of its last record.
        first_ns: Time of its first record, None if unknown.
        last_ns: Time of its last record.
        service: Whether it is the service that installs (/runservice); else what starts the service.
        command_line: As the log writes it, empty if it does not.
        facts: What it states about the site and the computer.
        steps: What its records report, in the order of lines.
        exit_code: Its last exit code, as unsigned 32 bits; None if the log gives none.
        uninstall: Whether it removes the client.
    """

    first_line: int
    last_line: int
    first_ns: int | None
    last_ns: int | None
    service: bool
    command_line: str
    facts: tuple[ReportedFact, ...]
    steps: tuple[ReportedStep, ...]
    exit_code: int | None = None
    uninstall: bool = False


@dataclass(frozen=True, slots=True)
class ServedRequest:
    """One request in the log of IIS on a site system.

    Attributes:
        line: Line of the row.
        time_ns: Nanoseconds since 1970 in UTC, None if the log gives no date.
        client: Address that asked (c-ip).
        server: Address that was asked (s-ip), empty if the log does not have it.
        port: s-port, None if the log does not have it.
        method: cs-method, such as "GET" or "CCM_POST".
        path: cs-uri-stem.
        user_agent: cs(User-Agent), empty if the log does not have it.
        status: sc-status.
        substatus: sc-substatus, None if the log does not have it.
        win32_status: sc-win32-status, likewise.
        rows: Rows that it stands for. Of many rows of one client, server, port, path, and status, the first and the
            last are kept; the last stands for all but the first.
    """

    line: int
    time_ns: int | None
    client: str
    server: str
    port: int | None
    method: str
    path: str
    user_agent: str
    status: int
    substatus: int | None = None
    win32_status: int | None = None
    rows: int = 1


@dataclass(frozen=True, slots=True)
class MachineStatus:
    """The push status of one computer, as a row of an export of the view v_CP_Machine.

    Attributes:
        line: Line of the row.
        machine: Name.
        last_ns: LatestProcessingAttempt in UTC, None if it is empty.
        attempts: NumProcessAttempts, None if it is empty.
        status: Status, None if it is unknown.
        error_code: LastErrorCode, as unsigned 32 bits; None if it is empty or 0.
    """

    line: int
    machine: str
    last_ns: int | None
    attempts: int | None
    status: RequestStatus | None
    error_code: int | None


@dataclass(frozen=True, slots=True)
class ReportedSteps:
    """Everything that one log of Configuration Manager or IIS reports.

    Attributes:
        requests: Push requests, of ccm.log.
        installations: Runs of CCMSetup.
        served: Requests that IIS served and that a client of Configuration Manager may have sent.
        machines: Rows of an export of v_CP_Machine.
        steps: Steps that belong to no request and no installation, as in LocationServices.log.
        facts: Facts that belong to no installation.
        unknown_errors: ERROR records whose step is not known, as (line, text); at most 100.
    """

    requests: tuple[PushRequest, ...] = ()
    installations: tuple[Installation, ...] = ()
    served: tuple[ServedRequest, ...] = ()
    machines: tuple[MachineStatus, ...] = ()
    steps: tuple[ReportedStep, ...] = ()
    facts: tuple[ReportedFact, ...] = ()
    unknown_errors: tuple[tuple[int, str], ...] = ()

    @property
    def all_facts(self) -> tuple[ReportedFact, ...]:
        """The facts that belong to no installation, then those of each."""
        return (*self.facts, *(fact for run in self.installations for fact in run.facts))
