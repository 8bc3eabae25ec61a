"""Fields of dissected packets that several protocols need."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING, Literal

from auditor.sources.dissection.steps import ServiceEndpoint

if TYPE_CHECKING:
    from auditor.sources.dissection.tshark import DissectedPacket

FILE_IDS = ("smb2.fid", "smb.fid")
SMB_COMMANDS = ("smb2.cmd", "smb.cmd")

PRIVACY = "6"  # authentication level at which the data of calls is encrypted
RPC_VERSION, RESPONSE = 5, 2
RESPONSE_HEADER, AUTH_HEADER = 24, 8  # bytes
YES = ("1", "True")

Connection = frozenset[tuple[str, int]]  # its two ends, whichever way a packet goes
Ends = tuple[str, str]  # addresses of initiator and responder


def connection_of(packet: DissectedPacket) -> Connection:
    """Return the connection that a packet belongs to."""
    return frozenset(((packet.src, packet.src_port), (packet.dst, packet.dst_port)))


def answered_side(packet: DissectedPacket) -> ServiceEndpoint:
    """Return the side that a packet of the responder answers."""
    return ServiceEndpoint(packet.dst, packet.src, packet.src_port)


def last_of(packet: DissectedPacket, names: Iterable[str]) -> str:
    """Return the last value of the first of these fields that a packet has, empty if it has none."""
    return next((packet.fields[name][-1] for name in names if packet.fields.get(name)), "")


def is_smb(packet: DissectedPacket) -> bool:
    """Tell whether a packet holds messages of SMB that are not encrypted."""
    return any(name in packet.fields for name in SMB_COMMANDS)


def pdu_types(packet: DissectedPacket) -> list[int]:
    """Return the packet type of each RPC message in a packet."""
    return [int(kind) for kind in packet.fields.get("dcerpc.pkt_type", [])]


def response_data(packet: DissectedPacket) -> bytes:
    """Return the data in a response over RPC, empty if it is encrypted or not all of it is in this packet.

    It is cut out of the TCP segment where that ends with the response, so that it does not depend on how much of it a
    version of tshark takes apart (4.4 takes apart calls of WMI, and reads the results of some at the wrong place).
    """
    whole = all(packet.first(f"dcerpc.cn_flags.{position}_frag") in YES for position in ("first", "last"))
    length, auth = packet.number("dcerpc.cn_frag_len"), packet.number("dcerpc.cn_auth_len")
    if not whole or not length or len(pdu_types(packet)) > 1 or packet.first("dcerpc.auth_level") == PRIVACY:
        return b""
    end = length - (auth + AUTH_HEADER + (packet.number("dcerpc.auth_pad_len") or 0) if auth else 0)
    response = _bytes(packet, "tcp.payload")[-length:]
    data = response[RESPONSE_HEADER:end] if _is_response(response, length) else _bytes(packet, "dcerpc.stub_data")
    return data if len(data) == end - RESPONSE_HEADER else b""


def _is_response(data: bytes, length: int) -> bool:
    """Tell whether data are a whole response over RPC, by its header: alone in a segment, or in a message of SMB."""
    return (
        len(data) == length >= RESPONSE_HEADER
        and data[0] == RPC_VERSION
        and data[2] == RESPONSE
        and length in (int.from_bytes(data[8:10], "little"), int.from_bytes(data[8:10], "big"))
    )


def _bytes(packet: DissectedPacket, name: str) -> bytes:
    try:
        return bytes.fromhex(last_of(packet, (name,)).replace(":", ""))
    except ValueError:
        return b""


def last_word(packet: DissectedPacket, shortest: int) -> int | None:
    """Return the last four bytes of a response over RPC, which hold the result of most calls; None if not visible.

    Args:
        packet: The response.
        shortest: How many bytes such a response has at least.
    """
    data = response_data(packet)
    order: Literal["little", "big"] = "little" if packet.first("dcerpc.drep.byteorder") == "1" else "big"
    return int.from_bytes(data[-4:], order) if len(data) >= shortest else None
