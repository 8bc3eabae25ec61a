"""Accounts: which one a session was opened with, from NTLM and Kerberos messages."""

from __future__ import annotations

from typing import TYPE_CHECKING

from auditor.sources.dissection.packets import connection_of, last_of
from auditor.sources.dissection.steps import ANONYMOUS

if TYPE_CHECKING:
    from auditor.sources.dissection.tshark import DissectedPacket

USER, DOMAIN = "ntlmssp.auth.username", "ntlmssp.auth.domain"
EMPTY = "NULL"  # as Wireshark shows an empty name
AP_REQ = "14"
SESSIONS, MESSAGES = ("smb2.sesid", "smb.uid"), ("smb2.msg_id", "smb.mid")


def accounts_by_frame(packets: list[DissectedPacket]) -> dict[int, str]:
    """Return by frame the account that the session of a packet belongs to, where the capture shows it.

    One connection of SMB may carry sessions of several accounts. The request that names an account may not have the
    number of its session yet; the response to it has.
    """
    accounts: dict[tuple[object, ...], str] = {}
    by_frame: dict[int, str] = {}
    for packet in packets:
        connection = (connection_of(packet),)
        session = (*connection, "session", _number(packet, SESSIONS))
        message = (*connection, "message", _number(packet, MESSAGES))
        if account := account_in(packet):
            accounts[connection] = accounts[message] = account
        if session[-1]:
            accounts[session] = account or accounts.get(session) or accounts.get(message, "")
        if session_account := account or accounts.get(session if session[-1] else connection):
            by_frame[packet.frame] = session_account
    return by_frame


def account_in(packet: DissectedPacket) -> str:
    r"""Return the account that a packet logs on with, such as "LAB\\svc-push", empty if it names none.

    A Kerberos ticket hides the account; then its realm and the service that it is for are returned.
    """
    user = packet.first(USER)
    if user == EMPTY:
        return ANONYMOUS
    if user:
        domain = packet.first(DOMAIN) or EMPTY
        return user if domain == EMPTY else f"{domain}\\{user}"
    return _kerberos_account(packet)


def _kerberos_account(packet: DissectedPacket) -> str:
    realm = packet.first("kerberos.crealm") or packet.first("kerberos.realm") or ""
    if names := packet.fields.get("kerberos.CNameString"):
        return f"{realm}\\{'/'.join(names)}" if realm else "/".join(names)
    if AP_REQ not in packet.fields.get("kerberos.msg_type", []):
        return ""
    service = "/".join(packet.fields.get("kerberos.SNameString", []))
    return f"{realm or 'unknown realm'} (Kerberos{', ' if service else ''}{service})"


def _number(packet: DissectedPacket, names: tuple[str, ...]) -> int:
    number = last_of(packet, names)
    return int(number, 0) if number else 0
