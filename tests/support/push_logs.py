"""A site server's ccm.log in its true form, written beside captures of tests: the same begin, the same clock."""

from __future__ import annotations

from datetime import UTC, datetime

from packets import BEGIN

COMPONENT = "SMS_CLIENT_CONFIG_MANAGER"
BAD_PATH, ACCESS_DENIED = 53, 5


def record(text: str, at: float = 0) -> str:
    """Return a record. at: seconds after the begin of the captures."""
    time = datetime.fromtimestamp(BEGIN + at, UTC)
    when = f"{time:%m-%d-%Y %H:%M:%S}.{time.microsecond // 1000:03}+000"
    return f"{text}~  $$<{COMPONENT}><{when}><thread=7 (0x7)>\r\n"


def begun(machine: str = "PC17", at: float = 0, number: int = 1, account: str = r"CORP\push") -> str:
    """Return a request that tries to connect to ADMIN$, and says no more."""
    return "".join(
        (
            record(f'======>Begin Processing request: "{number}", machine name: "{machine}"', at),
            record(
                rf"---> Attempting to connect to administrative share '\\{machine}\admin$' using account '{account}'",
                at,
            ),
        )
    )


def failing(
    machine: str = "PC17", code: int = BAD_PATH, at: float = 0, number: int = 1, account: str = r"CORP\push"
) -> str:
    """Return a request that cannot connect to ADMIN$."""
    failure = f"---> WNetAddConnection2 failed (LOGON32_LOGON_NEW_CREDENTIALS) using account {account} ({code:08x})"
    end = f'<======End request: "{number}", machine name: "{machine}".'
    return begun(machine, at, number, account) + record(failure, at + 1) + record(end, at + 2)


def complete(machine: str = "PC17", at: float = 0, number: int = 1) -> str:
    """Return a request that started CCMSetup."""
    return "".join(
        (
            begun(machine, at, number),
            record(rf"---> Connected to administrative share on machine {machine} using account 'CORP\push'", at + 1),
            record(f"Execute query exec [sp_CP_SetPushRequestMachineStatus] {number}, 4", at + 2),
            record(f'<======End request: "{number}", machine name: "{machine}".', at + 2),
        )
    )


def skipped(machine: str = "PC17", at: float = 0, number: int = 1, account: str = r"CORP\push") -> str:
    """Return a request that finds a client of the same version."""
    return "".join(
        (
            begun(machine, at, number, account),
            record(rf"---> Connected to administrative share on machine {machine} using account '{account}'", at + 1),
            record(
                "---> Mobile client on the target machine has the same version, and 'forced' flag is turned off.", at
            ),
            record(f"Execute query exec [sp_CP_SetPushRequestMachineStatus] {number}, 3", at + 2),
            record(f'<======End request: "{number}", machine name: "{machine}".', at + 2),
        )
    )
