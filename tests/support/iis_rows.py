"""Rows of an IIS log."""

from __future__ import annotations

FIELDS = (
    "#Fields: date time s-ip cs-method cs-uri-stem cs-uri-query s-port cs-username c-ip cs(User-Agent) cs(Referer) "
    "sc-status sc-substatus sc-win32-status time-taken"
)


HEADER = (
    "#Software: Microsoft Internet Information Services 10.0\r\n#Version: 1.0\r\n#Date: 2023-01-17 16:05:00\r\n"
    f"{FIELDS}\r\n"
)


POST = "/ccm_system_windowsauth/request"


def row(
    path: str = POST,
    method: str = "CCM_POST",
    agent: str = "ccmhttp",
    client: str = "192.0.2.7",
    status: str = "401 2 5",
    time: str = "2023-01-17 16:00:00",
    port: str = "80",
) -> str:
    return f"{time} 192.0.2.1 {method} {path} - {port} - {client} {agent} - {status} 1357\r\n"
