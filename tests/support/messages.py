"""Build messages of SMB, RPC, Kerberos, and NTLM byte by byte, for what real captures do not show.

A conversation is a list of messages, each with "<" if the responder sends it; `conversation` makes packets of them.
"""

from __future__ import annotations

import struct
from collections.abc import Iterable
from uuid import UUID

from packets import ends, ip, talk, tcp, turned

NDR = "8a885d04-1ceb-11c9-9fe8-08002b104860"
REQUEST, RESPONSE, BIND, BIND_ACK = 0, 2, 11, 12
PRIVACY = 6

Message = tuple[str, bytes]  # "" or "<", and the bytes


def conversation(who: str, messages: Iterable[Message], *, first: int = 0) -> list[bytes]:
    """Return the packets of a connection on which these messages are sent."""
    packets = talk(who, "S <SA A")
    following = [1001, 9001]
    for direction, data in messages:
        side = int(direction == "<")
        sender = turned(who) if side else who
        header = tcp(sender, "PA", seq=following[side], ack=following[1 - side])
        packets.append(ip(sender, 6, header[20:] + data))
        following[side] += len(data)
    assert ends(who)
    return packets[first:]


# RPC


def rpc(kind: int, body: bytes, *, call: int = 1, level: int = 0) -> bytes:
    """Return a message of RPC over TCP; level: of its authentication, none if 0."""
    trailer = struct.pack("<BBBBI", 10, level, 0, 0, 1) + bytes(16) if level else b""
    size = 16 + len(body) + len(trailer)
    head = struct.pack("<BBBB4sHHI", 5, 0, kind, 3, b"\x10\0\0\0", size, 16 if level else 0, call)
    return head + body + trailer


def binds(interface: str, *, token: bytes = b"") -> bytes:
    """Return the question to open an interface."""
    syntax = UUID(interface).bytes_le + struct.pack("<I", 0) + UUID(NDR).bytes_le + struct.pack("<I", 2)
    return _with_token(BIND, struct.pack("<HHIBxxxHBx", 4096, 4096, 0, 1, 0, 1) + syntax, token)


def bound(*, token: bytes = b"") -> bytes:
    """Return the answer that accepts an interface."""
    results = struct.pack("<BxxxHH", 1, 0, 0) + UUID(NDR).bytes_le + struct.pack("<I", 2)
    return _with_token(BIND_ACK, struct.pack("<HHIH", 4096, 4096, 1, 4) + b"135\0\0\0" + results, token)


def _with_token(kind: int, body: bytes, token: bytes) -> bytes:
    """Return a message that carries a token of a logon."""
    trailer = struct.pack("<BBBBI", 9, 2, 0, 0, 0) + token if token else b""
    size = 16 + len(body) + len(trailer)
    return struct.pack("<BBBB4sHHI", 5, 0, kind, 3, b"\x10\0\0\0", size, len(token), 1) + body + trailer


def calls(number: int, data: bytes = b"", *, call: int = 1, level: int = 0) -> bytes:
    return rpc(REQUEST, struct.pack("<IHH", len(data), 0, number) + data, call=call, level=level)


def returns(data: bytes, *, call: int = 1, level: int = 0) -> bytes:
    return rpc(RESPONSE, struct.pack("<IHBx", len(data), 0, 0) + data, call=call, level=level)


ORPC_THAT = bytes(8)


def no_object(hresult: int) -> bytes:
    """Return the data of an activation that returned no object."""
    return ORPC_THAT + struct.pack("<II", 0, hresult)


def remote_activation(clsid: str, iid: str) -> bytes:
    """Return the data of a question to IActivation."""
    this = struct.pack("<HHII16sI", 5, 7, 0, 0, bytes(16), 0)
    interfaces = struct.pack("<III", 1, 0x20000, 1) + UUID(iid).bytes_le
    return this + UUID(clsid).bytes_le + struct.pack("<IIII", 0, 0, 2, 0) + interfaces + struct.pack("<HxxIH", 1, 1, 7)


def remote_activated(host: str, port: int) -> bytes:
    """Return the data of the answer to it: an object that is reached at this port."""
    binding = struct.pack("<H", 7) + f"{host}[{port}]".encode("utf-16-le") + bytes(4)
    words = len(binding) // 2
    bindings = struct.pack("<IHH", words + 1, words + 1, words) + binding + bytes(2)
    bindings += bytes(-len(bindings) % 4)
    rest = bytes(16) + struct.pack("<IHHI", 0, 5, 7, 0) + struct.pack("<II", 1, 0) + struct.pack("<II", 1, 0)
    return ORPC_THAT + struct.pack("<QI", 0xABC, 0x20000) + bindings + rest + struct.pack("<I", 0)


# Kerberos, in the tokens of SPNEGO


def tlv(tag: int, *parts: bytes) -> bytes:
    """Return a value of ASN.1."""
    body = b"".join(parts)
    size = bytes([len(body)]) if len(body) < 128 else b"\x82" + struct.pack(">H", len(body))
    return bytes([tag]) + size + body


def integer(number: int) -> bytes:
    return tlv(0x02, number.to_bytes(4, "big"))


def general(text: str) -> bytes:
    return tlv(0x1B, text.encode())


def principal(*names: str) -> bytes:
    return tlv(0x30, tlv(0xA0, integer(2)), tlv(0xA1, tlv(0x30, *map(general, names))))


KERBEROS_OID, SPNEGO_OID = bytes.fromhex("06092a864886f712010202"), bytes.fromhex("06062b0601050502")


def kerberos_error(code: int, realm: str, *service: str) -> bytes:
    """Return the token with which a server refuses a ticket."""
    time = tlv(0x18, b"20240601120000Z")
    error = tlv(
        0x7E,
        tlv(
            0x30,
            tlv(0xA0, integer(5)),
            tlv(0xA1, integer(30)),
            tlv(0xA4, time),
            tlv(0xA5, integer(0)),
            tlv(0xA6, integer(code)),
            tlv(0xA9, general(realm)),
            tlv(0xAA, principal(*service)),
        ),
    )
    return _answer(tlv(0x60, KERBEROS_OID, b"\x03\x00", error))


def ticket(realm: str, *service: str) -> bytes:
    """Return the token with which a client shows its ticket; what it says of the account is encrypted."""
    encrypted = tlv(0x30, tlv(0xA0, integer(18)), tlv(0xA2, tlv(0x04, bytes(16))))
    shown = tlv(
        0x61,
        tlv(
            0x30,
            tlv(0xA0, integer(5)),
            tlv(0xA1, general(realm)),
            tlv(0xA2, principal(*service)),
            tlv(0xA3, encrypted),
        ),
    )
    options = tlv(0x03, bytes(5))
    request = tlv(
        0x6E,
        tlv(
            0x30,
            tlv(0xA0, integer(5)),
            tlv(0xA1, integer(14)),
            tlv(0xA2, options),
            tlv(0xA3, shown),
            tlv(0xA4, encrypted),
        ),
    )
    token = tlv(0x60, KERBEROS_OID, b"\x01\x00", request)
    offer = tlv(0x30, tlv(0xA0, tlv(0x30, KERBEROS_OID)), tlv(0xA2, tlv(0x04, token)))
    return tlv(0x60, SPNEGO_OID, tlv(0xA0, offer))


def _answer(token: bytes) -> bytes:
    return tlv(0xA1, tlv(0x30, tlv(0xA0, tlv(0x0A, b"\x01")), tlv(0xA2, tlv(0x04, token))))


def ntlm(domain: str, user: str) -> bytes:
    """Return the message with which a client logs on by NTLM."""
    names = [text.encode("utf-16-le") for text in (domain, user, "SITE1")]
    parts, place = [bytes(24), bytes(24), *names, b""], 64
    fields = b""
    for part in parts:
        fields += struct.pack("<HHI", len(part), len(part), place)
        place += len(part)
    return b"NTLMSSP\0" + struct.pack("<I", 3) + fields + struct.pack("<I", 0xA2888205) + b"".join(parts)


# SMB 2

NEGOTIATE, SESSION_SETUP, TREE_CONNECT = 0, 1, 3
HALF_WAY, LOGON_FAILURE, FINE = 0xC0000016, 0xC000006D, 0


def smb(command: int, body: bytes, message: int, *, status: int | None = None, session: int = 0) -> bytes:
    """Return a message of SMB 2 over TCP; with a status it is a response."""
    response = status is not None
    head = struct.pack(
        "<4sHHIHHIIQIIQ16s", b"\xfeSMB", 64, 1, status or 0, command, 1, int(response), 0, message, 0, 0, session, b""
    )
    return struct.pack(">I", len(head + body)) + head + body


def logs_on(token: bytes, message: int, *, session: int = 0) -> bytes:
    body = struct.pack("<HBBIIHHQ", 25, 0, 1, 0, 0, 88, len(token), 0)
    return smb(SESSION_SETUP, body + token, message, session=session)


def logon_answer(status: int, message: int, token: bytes = b"", *, session: int = 1) -> bytes:
    body = struct.pack("<HHHH", 9, 0, 72, len(token))
    return smb(SESSION_SETUP, body + token, message, status=status, session=session)
