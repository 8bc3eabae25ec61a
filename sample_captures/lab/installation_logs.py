"""Write the logs that ConfigMgr would write beside the captures: python3 sample_captures/lab/installation_logs.py.

The lab has no ConfigMgr. So these logs are written from the story of each scene, in the forms and words of real logs,
with the names and the times of the capture. They need only the captures, and auditor, which reads their times.
"""

from __future__ import annotations

import sys
from collections.abc import Iterator, Sequence
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import NamedTuple

import auditor

CAPTURES = Path(__file__).resolve().parent.parent
DESTINATION = CAPTURES / "configmgr_logs"
MACHINE, ACCOUNT, POINT = "CLIENT01", r"CONTOSO\svc-push", "mp01.contoso.example"
REQUEST = 2097152001
OFFSET = 60  # minutes to add for UTC: the computers of the story are an hour behind
TIME_OUT = 21  # seconds until Windows gives up a connection
Line = tuple[float, str]  # seconds after the line before, text


class Story(NamedTuple):
    """What ConfigMgr would have written in one scene.

    Attributes:
        scene: Name of the capture, without its suffix.
        push: Lines of ccm.log between the begin of the request and its end.
        code: What the site server stores as last error code, 0 if the push succeeded.
        setup: Lines of ccmsetup.log behind its facts; none if CCMSetup never ran.
        exit: The text of its last line.
    """

    scene: str
    push: Sequence[Line]
    code: int
    setup: Sequence[Line] = ()
    exit: str = ""


def _share_fails(code: int, after: float = TIME_OUT) -> list[Line]:
    target = f'request: "{REQUEST}", machine name: "{MACHINE}"'
    return [
        (after, rf"---> Failed to connect to \\{MACHINE}\admin$ using account {ACCOUNT} ({code})"),
        (0, f"---> ERROR: Unable to access target machine for {target},  access denied or invalid network path."),
    ]


CONNECTED: list[Line] = [
    (0.1, f"---> Connected to administrative share on machine {MACHINE} using account '{ACCOUNT}'"),
    (0, "---> Attempting to make IPC connection to share <\\\\CLIENT01\\IPC$>"),
    (0, rf"---> Searching for SMSClientInstall.* under '\\{MACHINE}\admin$\'"),
]


def _wmi_fails(code: str, after: float = TIME_OUT) -> list[Line]:
    return [*CONNECTED, (after, f'---> Unable to connect to WMI on remote machine "{MACHINE}", error = {code}.')]


STARTED: list[Line] = [
    *CONNECTED,
    (0.1, rf"---> Copying client files to \\{MACHINE}\admin$\ccmsetup."),
    (0.1, f'---> Created service "ccmsetup" on machine "{MACHINE}".'),
    (0.1, f'---> Started service "ccmsetup" on machine "{MACHINE}".'),
    (0, f'---> Completed request "{REQUEST}", machine name "{MACHINE}".'),
]


def _request_fails(scheme: str, port: int, code: int, name: str, status: str = "<unknown>") -> list[Line]:
    url = f"{scheme}://{POINT}/ccm_system/request"
    options = 480 if scheme == "http" else 63
    number = status if status.isdigit() else 0
    return [
        (0.1, f"Sending location request to '{POINT}' with payload '<SiteInformationRequest/>'"),
        (
            TIME_OUT if code in (12002, 12029) else 0.1,
            f"[CCMHTTP] ERROR: URL={url}, Port={port}, Options={options}, Code={code}, Text={name}",
        ),
        (0, f"[CCMHTTP] ERROR INFO: StatusCode={status} StatusText="),
        (
            0,
            f"Failed (0x87d00454) to send location request to '{POINT}'. StatusCode {number}",
        ),
    ]


FAILED_EXIT = "CcmSetup failed with error code 0x87d00454"


def _status(status: int) -> Sequence[Line]:
    return _request_fails("http", 80, 0, "CCM_E_BAD_HTTP_STATUS_CODE", str(status))


STORIES = (
    Story("smb-dropped", _share_fails(53), 53),
    Story("smb-dropped-on-client", _share_fails(53), 53),
    Story("smb-reset", _share_fails(53, 2), 53),
    Story("client-off", _share_fails(53), 53),
    Story("wrong-password", _share_fails(1326, 0.1), 1326),
    Story("access-denied", _share_fails(5, 0.1), 5),
    Story("no-admin-share", _share_fails(67, 0.1), 67),
    Story("rpc-135-dropped", _wmi_fails("0x800706BA"), -2147023174),
    Story("rpc-135-prohibited", _wmi_fails("0x800706BA", 1), -2147023174),
    Story("rpc-dynamic-dropped", _wmi_fails("0x800706BA"), -2147023174),
    Story("mp-dropped", STARTED, 0, _request_fails("http", 80, 12002, "ERROR_WINHTTP_TIMEOUT"), FAILED_EXIT),
    Story("mp-no-answer", STARTED, 0, _request_fails("http", 80, 12002, "ERROR_WINHTTP_TIMEOUT"), FAILED_EXIT),
    Story("mp-404", STARTED, 0, _status(404), FAILED_EXIT),
    Story("mp-500", STARTED, 0, _status(500), FAILED_EXIT),
    Story(
        "mp-untrusted-certificate",
        STARTED,
        0,
        _request_fails("https", 443, 12175, "ERROR_WINHTTP_SECURE_FAILURE"),
        FAILED_EXIT,
    ),
    Story(
        "all-open",
        STARTED,
        0,
        [
            (0.1, f"Sending location request to '{POINT}' with payload '<SiteInformationRequest/>'"),
            (0.1, "Retrived site info '<SiteInfoReply/>'"),
            (60, "Installation succeeded."),
        ],
        "CcmSetup is exiting with return code 0",
    ),
)


def main() -> int:
    """Write the logs of every story."""
    for story in STORIES:
        folder = DESTINATION / story.scene
        folder.mkdir(parents=True, exist_ok=True)
        begin = _begin(story.scene)
        (folder / "ccm.log").write_text("".join(_push_log(story, begin)), encoding="utf-8", newline="\r\n")
        if story.setup:
            text = "".join(_setup_log(story, begin + timedelta(seconds=1)))
            (folder / "ccmsetup.log").write_text(text, encoding="utf-8", newline="\r\n")
    return 0


def _begin(scene: str) -> datetime:
    """Return when the first packet of a capture was sent."""
    (path,) = (path for path in CAPTURES.glob(f"{scene}.pcap*"))
    first_ns = auditor.read(path).first_ns or 0
    return datetime.fromtimestamp(first_ns / 1e9, UTC) - timedelta(minutes=OFFSET)


def _push_log(story: Story, begin: datetime) -> Iterator[str]:
    """Yield the lines of ccm.log, in the form of a site server."""
    status = 4 if story.code == 0 else 2
    lines: list[Line] = [
        (0, f'======>Begin Processing request: "{REQUEST}", machine name: "{MACHINE}"'),
        (0, "---> Trying the 'best-shot' account which worked for previous CCRs (index = 0x0)"),
        (0, rf"---> Attempting to connect to administrative share '\\{MACHINE}\admin$' using account '{ACCOUNT}'"),
        *story.push,
        *([(0, f"Execute query exec [sp_CP_SetLastErrorCode] {REQUEST}, {story.code}")] if story.code else []),
        *([(0, f'Stored request "{REQUEST}", machine name "{MACHINE}", in queue "Retry".')] if story.code else []),
        (0, f"Execute query exec [sp_CP_SetPushRequestMachineStatus] {REQUEST}, {status}"),
        (0, f'<======End request: "{REQUEST}", machine name: "{MACHINE}".'),
    ]
    time = begin
    for seconds, text in lines:
        time += timedelta(seconds=seconds)
        moment = f"{time:%m-%d-%Y %H:%M:%S}.{time.microsecond // 1000:03d}+{OFFSET}"
        yield f"{text}~  $$<SMS_CLIENT_CONFIG_MANAGER><{moment}><thread=18612 (0x48B4)>\n"


def _setup_log(story: Story, begin: datetime) -> Iterator[str]:
    """Yield the records of ccmsetup.log, in the form of a client."""
    scheme = "https" if "443" in str(story.setup) else "http"
    lines: list[Line] = [
        (0, "==========[ ccmsetup started in process 2040 ]=========="),
        (0, 'Ccmsetup command line: "C:\\Windows\\ccmsetup\\ccmsetup.exe" /runservice /config:MobileClient.tcf'),
        (0, f"[{MACHINE}] Running on 'Microsoft Windows 11 Enterprise' (10.0.26100)"),
        (0, "CCMHTTPPORT:    80"),
        (0, "CCMHTTPSPORT:    443"),
        (0, "MPs:"),
        (0, f"    {scheme}://{POINT}"),
        *story.setup,
        (0, story.exit),
    ]
    time = begin
    for seconds, text in lines:
        time += timedelta(seconds=seconds)
        kind = 3 if "ERROR" in text or text.startswith("Failed") else 1
        yield (
            f'<![LOG[{text}]LOG]!><time="{time:%H:%M:%S}.{time.microsecond // 1000:03d}+{OFFSET:03d}" '
            f'date="{time:%m-%d-%Y}" component="ccmsetup" context="" type="{kind}" thread="2040" '
            'file="ccmsetup.cpp:1">\n'
        )


if __name__ == "__main__":
    sys.exit(main())
