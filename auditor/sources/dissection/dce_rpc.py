"""RPC: interfaces that were opened, calls and their results, and the ports of the endpoint mapper."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING, NamedTuple

from auditor.ruleset.known_problems import StatusMeaning, ignored_codes, interfaces, lookup_status, problems, push
from auditor.sources.dissection import dcom
from auditor.sources.dissection.kerberos import KERBEROS, logon_error, logon_failure
from auditor.sources.dissection.packets import (
    FILE_IDS,
    YES,
    Connection,
    Ends,
    answered_side,
    connection_of,
    is_smb,
    last_of,
    last_word,
    pdu_types,
)
from auditor.sources.dissection.steps import FAULT as FAULT_LAYER
from auditor.sources.dissection.steps import Action, AssignedPort, ProtocolStep, StepKind

if TYPE_CHECKING:
    from auditor.sources.dissection.tshark import DissectedPacket

REQUEST, RESPONSE, FAULT, BIND, BIND_ACK, BIND_NAK, ALTER, ALTER_ACK = 0, 2, 3, 11, 12, 13, 14, 15
READ = 8  # the command of SMB 2
EPT_MAP = "3"
ACCEPTED = "0"
SERVICE_CONTROLLER = "svcctl"
NO_INTERFACE = "00000000-0000-0000-0000-000000000000"
# Interfaces whose calls return a Windows error, with Wireshark's field for it: since tshark 4.4, before.
RESULT_FIELDS = {SERVICE_CONTROLLER: ("svcctl.werror", "svcctl.rc"), "winreg": ("winreg.werror",)}
LENGTH_OF_RESULT = 4  # bytes
LOG_ON_TO_WMI = ("IWbemLevel1Login", "6")  # interface and number of the call


def rpc_steps(packets: list[DissectedPacket], classes: Mapping[int, str]) -> Iterator[ProtocolStep]:
    """Yield what the responses over RPC show.

    Args:
        packets: Dissected ones, in file order.
        classes: By frame, the COM class that a response is about.
    """
    activated = {port.server for port in dcom.assigned_ports(packets, classes) if port.serves_push}
    spoken = _RpcContexts()
    for packet in packets:
        kinds = pdu_types(packet)
        spoken.hear(packet, kinds)
        interface = spoken.interface(packet, kinds)
        name = classes.get(packet.frame, dcom.UNSEEN)
        call = _call(interface, spoken.number(packet), name)
        for answer in _answers(packet, kinds, interface, call, of_push=dcom.of_push(name)):
            ends = interface in push().interfaces and answer.of_push
            if answer.layer == "endpoint-mapper":  # who asks for one port of many is not a push that has its own
                ends |= packet.src not in activated
            yield _step(packet, answer, interface, ends=ends)


class _Files:
    """Which file, or pipe, a message of SMB is about.

    The response to a Read does not name its file. tshark adds it since 4.6, and where it knows the request.
    """

    def __init__(self) -> None:
        self._read: dict[tuple[Connection, str | None], str] = {}

    def file(self, packet: DissectedPacket) -> str:
        """Return the number of the file, empty if the capture does not show it; to be asked packet by packet."""
        file, message = last_of(packet, FILE_IDS), (connection_of(packet), packet.first("smb2.msg_id"))
        if packet.number("smb2.cmd") != READ:
            return file
        if packet.first("smb2.flags.response") in YES:
            return self._read.get(message, "")
        self._read[message] = file
        return file


LAST = object()  # instead of a pipe: whichever was opened last on a connection


class _RpcContexts:
    """Which interface a conversation speaks: on one connection, or in one pipe of it, by the number of its context."""

    def __init__(self) -> None:
        self._contexts: dict[tuple[object, ...], str] = {}
        self._offered: dict[tuple[object, ...], str] = {}
        self._mapped: dict[tuple[object, ...], str] = {}
        self._numbers: dict[tuple[object, ...], str] = {}
        self._files = _Files()

    def hear(self, packet: DissectedPacket, kinds: list[int]) -> None:
        """Keep what a question is about."""
        talk = self._talk(packet)
        if BIND in kinds or ALTER in kinds:
            uuids = packet.fields.get("dcerpc.cn_bind_to_uuid", [])
            names = [interfaces().get(uuid, uuid) for uuid in uuids]
            for number, name in zip(packet.fields.get("dcerpc.cn_ctx_id", []), names, strict=False):
                self._contexts[(*talk, number)] = name
            self._offered[talk] = self._offered[connection_of(packet), LAST] = next(iter(names), "")
        if name := _interface_of(packet):
            self._mapped[talk] = name
        if REQUEST in kinds and (opnum := packet.first("dcerpc.opnum")):
            self._numbers[(*talk, packet.first("dcerpc.cn_call_id"))] = opnum

    def number(self, packet: DissectedPacket) -> str:
        """Return which call of its interface an answer is about; tshark does not show it of a truncated one."""
        asked = self._numbers.get((*self._talk(packet), packet.first("dcerpc.cn_call_id")), "")
        return packet.first("dcerpc.opnum") or asked

    def interface(self, packet: DissectedPacket, kinds: list[int]) -> str:
        """Return the interface that an answer is about, empty if that was not seen."""
        talk = self._talk(packet)
        if "epm.opnum" in packet.fields:
            return self._mapped.get(talk, "")
        # tshark recognizes these by their pipe where the bind was not captured.
        if named := next((name for name in RESULT_FIELDS if f"{name}.opnum" in packet.fields), ""):
            return named
        if RESPONSE in kinds or FAULT in kinds:
            interface = self._contexts.get((*talk, packet.first("dcerpc.cn_ctx_id")))
            return interface or self._offered.get(talk, "")
        return self._offered.get(talk) or self._offered.get(
            (connection_of(packet), LAST), ""
        )  # read from a pipe, unnamed

    def _talk(self, packet: DissectedPacket) -> tuple[object, ...]:
        return connection_of(packet), self._files.file(packet)


class _Answer(NamedTuple):
    """One answer over RPC.

    Attributes:
        layer: What answered.
        step: What was asked for.
        code: As it was read, empty if it was not.
        failure: What the code means, None if it is no failure.
        of_push: False if it concerns what no push does.
        read: False if the answer does not show whether the step succeeded.
    """

    layer: str
    step: Action
    code: str = ""
    failure: StatusMeaning | None = None
    of_push: bool = True
    read: bool = True


def _answers(
    packet: DissectedPacket, kinds: list[int], interface: str, call: _Call, *, of_push: bool
) -> Iterator[_Answer]:
    """Yield the answers in a packet. call: the one that a response is about; of_push: whether a push may make it."""
    yield from _openings(packet, kinds, Action(StepKind.BIND, interface))
    if RESPONSE in kinds and "epm.opnum" not in packet.fields:
        yield _result(packet, kinds, interface, call)._replace(of_push=of_push)
    if FAULT in kinds and (status := packet.first("dcerpc.cn_status")):
        yield _Answer(FAULT_LAYER, call.action, status, lookup_status(FAULT_LAYER, status), of_push)
    if _is_mapping(packet) and (code := packet.first("epm.rc")):
        failure = lookup_status("endpoint-mapper", code) if int(code, 16) else None
        yield _Answer("endpoint-mapper", Action(StepKind.ASK_PORT, interface), code, failure)


def _openings(packet: DissectedPacket, kinds: list[int], opening: Action) -> Iterator[_Answer]:
    if BIND_NAK in kinds:
        yield _Answer("rpc-bind", opening, "nak", lookup_status("rpc-bind", "nak"))
    elif BIND_ACK in kinds or ALTER_ACK in kinds:
        results = packet.fields.get("dcerpc.cn_ack_result", [])
        if results and ACCEPTED not in results:
            yield _Answer("rpc-bind", opening, "rejected", lookup_status("rpc-bind", "rejected"))
        elif code := logon_error(packet):
            yield _Answer(KERBEROS, opening, code, logon_failure(code))
        else:
            yield _Answer("rpc-bind", opening, read=bool(results))


class _Call(NamedTuple):
    """A call: what it asks for, and whether nothing of a COM object can be used if it fails."""

    action: Action
    opens: bool


def _call(interface: str, number: str, name: str) -> _Call:
    """Return what a call is. number: which of its interface; name: the COM class that it is about."""
    opens = interface in push().activations or (interface, number) == LOG_ON_TO_WMI
    if number in push().activations.get(interface, ()):
        return _Call(Action(StepKind.ACTIVATE, name), opens)
    of_push = push().calls.get(interface, {}).get(number)
    action = Action(StepKind.PUSH_CALL, of_push) if of_push else Action(StepKind.CALL, interface)
    return _Call(action, opens)


def _result(packet: DissectedPacket, kinds: list[int], interface: str, call: _Call) -> _Answer:
    """Return what a response shows of a call: a response alone is no success, the result in it may be an error."""
    if kinds.count(RESPONSE) > 1:
        return _several(packet, interface, call)
    if interface in RESULT_FIELDS and (code := _windows_error(packet, interface)):
        return _of_service(code, call.action)
    return _of_object(packet, interface, call)


def _several(packet: DissectedPacket, interface: str, call: _Call) -> _Answer:
    """Return what several responses in one packet show together: a failure, or nothing."""
    answer = _of_object(packet, interface, call)
    return answer if answer.failure else answer._replace(read=False)


def _windows_error(packet: DissectedPacket, interface: str) -> str:
    """Return the result of a call of the service controller or registry, empty if it is not visible."""
    word = last_word(packet, LENGTH_OF_RESULT)
    return last_of(packet, RESULT_FIELDS[interface]) if word is None else f"0x{word:08x}"


def _of_service(code: str, calling: Action) -> _Answer:
    """Return the result of a call that returns a Windows error; of what no push calls, unlisted ones are usual."""
    if not int(code, 0):
        return _Answer("service", calling, code)
    unlisted = calling.kind is not StepKind.PUSH_CALL and code not in problems()["service"]
    if code in ignored_codes("service") or unlisted:
        return _Answer("service", calling, code, read=False)
    return _Answer("service", calling, code, lookup_status("service", code))


def _of_object(packet: DissectedPacket, interface: str, call: _Call) -> _Answer:
    """Return the result of a call that returns an HRESULT, as activations and COM objects do."""
    hresults = dcom.results(packet, interface)
    if hresults.of_call is None and hresults.failure is None:
        return _Answer("rpc", call.action, read=False)
    if hresults.failure is None:
        return _Answer("dcom", call.action, f"0x{hresults.of_call:08x}")
    code = f"0x{hresults.failure:08x}"
    if code in ignored_codes("dcom") and not call.opens:
        return _Answer("dcom", call.action, code, read=False)
    failure = lookup_status("dcom", code)
    return _Answer("dcom", call.action, code, failure._replace(fatal=failure.fatal and call.opens))


def _step(packet: DissectedPacket, answer: _Answer, interface: str, *, ends: bool) -> ProtocolStep:
    """Return the step of an answer. ends: whether the push needs it.

    The service controller that fails over TCP ends nothing: the named pipe takes over.
    """
    meant = answer.failure
    if meant is not None and interface == SERVICE_CONTROLLER and not is_smb(packet):
        means = f"{meant.meaning}; the service controller is then called through the named pipe on SMB"
        meant = meant._replace(fatal=False, meaning=means)
    if meant is not None:
        meant = meant._replace(fatal=meant.fatal and ends)
    side = answered_side(packet)
    return ProtocolStep(side, answer.layer, answer.step, packet.frame, answer.code, meant, result_read=answer.read)


def opened_interfaces(packets: list[DissectedPacket]) -> Iterator[tuple[Ends, str]]:
    """Yield who opened whose RPC interface."""
    for packet in packets:
        kinds = pdu_types(packet)
        if BIND in kinds or ALTER in kinds:
            for uuid in packet.fields.get("dcerpc.cn_bind_to_uuid", []):
                yield (packet.src, packet.dst), interfaces().get(uuid, uuid)


def mapped_ports(packets: list[DissectedPacket]) -> Iterator[AssignedPort]:
    """Yield the ports that the endpoint mapper assigned."""
    for packet in packets:
        interface = _interface_of(packet) if _is_mapping(packet) else ""
        for port in packet.fields.get("epm.proto.tcp_port", []):
            if interface and int(port):
                yield AssignedPort(packet.src, int(port), interface, packet.frame, "endpoint mapper", client=packet.dst)


def _is_mapping(packet: DissectedPacket) -> bool:
    """Tell whether a packet answers which port an interface has, rather than with a page of the whole map."""
    return RESPONSE in pdu_types(packet) and EPT_MAP in packet.fields.get("epm.opnum", [])


def _interface_of(packet: DissectedPacket) -> str:
    """Return the interface that a question to the endpoint mapper, or its answer, is about."""
    uuids = [uuid for uuid in packet.fields.get("epm.uuid", []) if uuid != NO_INTERFACE]
    return interfaces().get(uuids[0], uuids[0]) if uuids else ""
