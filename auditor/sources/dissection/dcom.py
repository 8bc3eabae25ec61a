"""DCOM: which COM class was activated, the ports that activations assigned, and the HRESULT of calls."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING, NamedTuple

from auditor.ruleset.known_problems import classes_by_interface, com_classes, com_interfaces, push
from auditor.sources.dissection.packets import connection_of, last_word, pdu_types, response_data
from auditor.sources.dissection.steps import AssignedPort

if TYPE_CHECKING:
    from auditor.sources.dissection.tshark import DissectedPacket

REQUEST, RESPONSE, FAULT = 0, 2, 3
ACTIVATION = "DCOM activation"
UNSEEN = ""  # the name of a class that the capture does not show
STRING_BINDING = re.compile(r"^(?P<host>[^\[]+)\[(?P<port>\d{1,5})\]$")
BINDINGS = "dcom.dualstringarray.network_addr"
REQUESTED_CLASS = "isystemactivator.properties.instninfo.clsid"
HRESULT, PROPERTY_HRESULT = "dcom.hresult", "isystemactivator.properties.retval"
FIRST_FAILURE = 0x80000000
WINDOWS_ERROR, LAST_WINDOWS_ERROR = 0x80070000, 0xFFFF  # as HRESULT_FROM_WIN32 puts them together
SHORTEST = 12  # bytes of a response: ORPCTHAT and HRESULT
# A reference to an object (OBJREF, standard or handler): signature, flags, IID, then STDOBJREF: flags, count, OXID.
REFERENCE = re.compile(rb"MEOW[\x01\x02]\0\0\0.{24}(?P<oxid>.{8})", re.DOTALL)


class HResults(NamedTuple):
    """HRESULTs in a response: that of the call, and those of its parts; None if the response does not show it."""

    of_call: int | None
    of_parts: tuple[int, ...]

    @property
    def failure(self) -> int | None:
        """The first HRESULT that is a failure."""
        values = (*self.of_parts, *(() if self.of_call is None else (self.of_call,)))
        return next((value for value in values if value >= FIRST_FAILURE), None)


def results(packet: DissectedPacket, interface: str) -> HResults:
    """Return the HRESULTs of a response: of a COM object, its last four bytes; of an activation, as tshark shows it."""
    values = [int(value, 0) for value in packet.fields.get(HRESULT, [])]
    parts = [int(value, 0) for value in packet.fields.get(PROPERTY_HRESULT, [])]
    if interface in com_interfaces() and (word := last_word(packet, SHORTEST)) is not None:
        return HResults(word, tuple(values))
    if not values:
        return HResults(None, tuple(parts))
    of_call = values[-1] if interface in com_interfaces() else _as_hresult(values[-1])
    return HResults(of_call, (*parts, *values[:-1]))


def _as_hresult(value: int) -> int:
    """Return a result of the activator or the resolver as HRESULT: they may return a Windows error instead."""
    return value | WINDOWS_ERROR if 0 < value <= LAST_WINDOWS_ERROR else value


def classes_by_frame(packets: list[DissectedPacket]) -> dict[int, str]:
    """Return by the frame of a response which COM class it is about, UNSEEN if the capture does not show that.

    An activation names its class in the request. A later question for the address of an object (ResolveOxid) has only
    the object's OXID, which is known from the activation or from a port that was assigned for a class.
    """
    requested: dict[tuple[object, ...], str] = {}
    owners: dict[tuple[str, object], str] = {}  # of an OXID or a port of a server, the class
    classes: dict[int, str] = {}
    for packet in packets:
        kinds, call = pdu_types(packet), (connection_of(packet), packet.first("dcerpc.cn_call_id"))
        if REQUEST in kinds and (name := _requested(packet, owners)):
            requested[call] = name
        if RESPONSE in kinds or FAULT in kinds:
            name = requested.pop(call, "") or _by_interface(packet)
            classes[packet.frame] = name
            owner = name or owners.get((packet.src, packet.src_port), UNSEEN)
            owners |= {(packet.src, key): owner for key in (*_oxids(packet), *_ports(packet))}
    return classes


def _oxids(packet: DissectedPacket) -> list[str]:
    """Return the OXIDs of the objects that a response refers to."""
    oxids = (int.from_bytes(reference["oxid"], "little") for reference in REFERENCE.finditer(response_data(packet)))
    return [*packet.fields.get("dcom.oxid", []), *(f"0x{oxid:016x}" for oxid in oxids)]


def _requested(packet: DissectedPacket, owners: Mapping[tuple[str, object], str]) -> str:
    clsid = packet.first(REQUESTED_CLASS)
    if clsid is None and "remact.opnum" in packet.fields:
        clsid = packet.first("dcom.clsid")
    if clsid is not None:
        return com_classes().get(clsid, clsid)
    if "oxid.opnum" not in packet.fields:
        return UNSEEN
    oxid = packet.first("oxid.oxid") or packet.first("dcom.oxid")
    return owners.get((packet.dst, oxid), UNSEEN)


def _by_interface(packet: DissectedPacket) -> str:
    uuids = packet.fields.get("isystemactivator.properties.iid", [])
    return next((classes_by_interface()[uuid] for uuid in uuids if uuid in classes_by_interface()), UNSEEN)


def of_push(name: str) -> bool:
    """Tell whether a push may have activated a class: one of its own, or one that the capture does not show."""
    return name == UNSEEN or name in push().classes


def assigned_ports(packets: list[DissectedPacket], classes: Mapping[int, str]) -> Iterator[AssignedPort]:
    """Yield the ports in the responses of activations.

    Args:
        packets: Dissected ones, in file order.
        classes: By frame, the class that each was for.
    """
    for packet in packets:
        if RESPONSE in pdu_types(packet):
            name = classes[packet.frame]
            interface = f"DCOM ({name})" if name else "DCOM"
            for port in _ports(packet):
                yield AssignedPort(packet.src, port, interface, packet.frame, ACTIVATION, of_push(name), packet.dst)


def _ports(packet: DissectedPacket) -> list[int]:
    matches = (STRING_BINDING.match(binding) for binding in packet.fields.get(BINDINGS, []))
    return [int(match["port"]) for match in matches if match]
