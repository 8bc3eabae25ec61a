"""What was said on open ports: from dissected packets to steps that went well or badly, handed-out ports and names.

Everything is told of a *side*: the host that began the connection and the host and port that it reached.
"""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import TYPE_CHECKING, NamedTuple

from auditor.known import Known, harmless, interfaces, known, problems, push, web_paths

if TYPE_CHECKING:
    from auditor.sources.dissect import Told

NEGOTIATE, SESSION_SETUP, TREE_CONNECT, CREATE, CLOSE, WRITE = 0, 1, 3, 5, 6, 9
OPEN_EXISTING, IS_FOLDER = "1", "1"
SMB1_STEPS = {0x72: NEGOTIATE, 0x73: SESSION_SETUP, 0x75: TREE_CONNECT, 0xA2: CREATE}
REQUEST, BIND, BIND_ACK, BIND_NAK, ALTER, ALTER_ACK, FAULT, RESPONSE = 0, 11, 12, 13, 14, 15, 3, 2
EPT_MAP = "3"
ACCEPTED = "0"
CLIENT_HELLO, CERTIFICATE_REQUEST = "1", "13"
APPLICATION_DATA = "23"
LONGER_THAN_ALERT = 24  # bytes of an encrypted record: of TLS 1.3, an alert has 19, the end of a handshake 53 or more
FATAL_ALERT, HANDSHAKE_FAILURE, CERTIFICATE_REQUIRED = 2, "40", "116"
SERVICE_CONTROLLER = "svcctl"
OPEN, CALL = "open the RPC interface ", "call the RPC interface "
DCOM_ACTIVATION = "DCOM activation"
HTTP_ERROR = 400
CCM_POST = "CCM_POST"
STRING_BINDING = re.compile(r"^(?P<host>[^\[]+)\[(?P<port>\d{1,5})\]$")
DATE = re.compile(r"(\d{2,4})-(\d\d)-(\d\d) (\d\d):(\d\d):(\d\d)")
UTC_TIME = "0"  # the two ways in which a certificate writes a date
NO_INTERFACE = "00000000-0000-0000-0000-000000000000"


class Side(NamedTuple):
    """Who reached whom, at which port."""

    initiator: str
    responder: str
    port: int


@dataclass(frozen=True)
class Step:
    """One answer to one step of a conversation. known is None when the step went well."""

    side: Side
    layer: str
    step: str
    frame: int
    code: str
    known: Known | None

    @property
    def good(self) -> bool:
        """Whether the step went well."""
        return self.known is None


@dataclass(frozen=True)
class HandedOut:
    """A port that the endpoint mapper or a DCOM activation handed out, for which interface, in which frame."""

    server: str
    port: int
    interface: str
    frame: int
    by: str


@dataclass(frozen=True)
class Said:
    """All that the packets of one source told.

    names: address and name. roles: address, role and web path. other_web: addresses of web servers that were asked
    for other paths only.
    """

    steps: tuple[Step, ...] = ()
    handed_out: tuple[HandedOut, ...] = ()
    names: tuple[tuple[str, str], ...] = ()
    roles: tuple[tuple[str, str, str], ...] = ()
    other_web: tuple[str, ...] = ()


def listen(told: Iterable[Told]) -> Said:
    """Return what the dissected packets of one source tell, in order of frames."""
    packets = sorted(told, key=lambda one: one.frame)
    steps = [step for reader in (_smb, _rpc, _tls, _http, _kerberos) for step in reader(packets)]
    roles = sorted(set(_roles(packets)))
    web = {packet.dst for packet in packets if packet.first("http.request.uri")}
    return Said(
        steps=tuple(sorted(steps, key=lambda one: (one.frame, one.layer, one.step))),
        handed_out=tuple(_handed_out(packets)),
        names=tuple(sorted(set(_names(packets)))),
        roles=tuple(roles),
        other_web=tuple(sorted(web - {address for address, _, _ in roles})),
    )


def _answered_side(packet: Told) -> Side:
    """Return the side that a packet of the responder answers."""
    return Side(packet.dst, packet.src, packet.src_port)


# SMB


def _smb(packets: list[Told]) -> Iterator[Step]:
    asked: dict[tuple[object, ...], _Asked] = {}
    files: dict[tuple[object, ...], _Asked] = {}  # by connection and the number that the server gave the open file
    for packet in packets:
        ends = _ends(packet)
        for command, response, status, message in _smb_messages(packet):
            if not response:
                of_file = files.pop((ends, _last(packet, FILE_IDS)), None) if command == CLOSE else None
                asked[ends, command, message] = of_file or _asked(packet, command)
                continue
            about = asked.get((ends, command, message)) or _asked(packet, WRITE)
            if command == CREATE and about.written and about.of_push:
                files[ends, _last(packet, FILE_IDS)] = about
            if command == WRITE and _failed(status):  # what is closed then is no copy
                files = {key: one for key, one in files.items() if key[0] != ends}
            yield from _smb_step(packet, command, status, about)


class _Asked(NamedTuple):
    """What a question is about: the share, the file or pipe, and whether it is opened to write a file."""

    share: str
    name: str
    written: bool

    @property
    def is_pipe(self) -> bool:
        return self._pipe in push().pipes | push().other_pipes

    @property
    def of_push(self) -> bool:
        """Whether a push needs it: its pipes, its files, its shares."""
        if not self.name:
            return self.share.lower() in push().shares
        return self._pipe in push().pipes or any(one in self.name.lower() for one in push().files)

    @property
    def _pipe(self) -> str:
        return self.name.rpartition("\\")[2].lower()


FILE_IDS, TREES, NAMES = ("smb2.fid", "smb.fid"), ("smb2.tree", "smb.path"), ("smb2.filename", "smb.file")


def _asked(packet: Told, command: int) -> _Asked:
    share = _last(packet, TREES).rpartition("\\")[2].upper()
    if command != CREATE:
        return _Asked(share, "", False)
    written = packet.first("smb2.create.disposition") not in (None, OPEN_EXISTING)
    folder = packet.first("smb.nt.create_options.directory") in (IS_FOLDER, "True")
    return _Asked(share, _last(packet, NAMES), written and not folder)


def _last(packet: Told, names: Iterable[str]) -> str:
    """Return the last value of the first of these fields that a packet has, empty if it has none."""
    return next((packet.fields[name][-1] for name in names if packet.fields.get(name)), "")


def _failed(status: str) -> bool:
    return bool(status) and int(status, 16) >= 0x80000000


def _smb_messages(packet: Told) -> Iterator[tuple[int, bool, str, str]]:
    """Yield command, whether it is an answer, status and message number of each SMB message in a packet."""
    fields = packet.fields
    statuses = iter(fields.get("smb2.nt_status", []))
    commands, flags = fields.get("smb2.cmd", []), fields.get("smb2.flags.response", [])
    for command, flag, message in zip(commands, flags, fields.get("smb2.msg_id", []), strict=False):
        response = flag == "1"
        yield int(command, 0), response, next(statuses, "") if response else "", message
    for command, flag, message in zip(
        fields.get("smb.cmd", []), fields.get("smb.flags.response", []), fields.get("smb.mid", []), strict=False
    ):
        step = SMB1_STEPS.get(int(command, 0))
        if step is not None:
            yield step, flag == "1", (fields.get("smb.nt_status") or [""])[0], f"1:{message}"


def _smb_step(packet: Told, command: int, status: str, about: _Asked) -> Iterator[Step]:
    step = {
        NEGOTIATE: "agree on an SMB version",
        SESSION_SETUP: "log on",
        TREE_CONNECT: f"connect to {about.share or 'a share'}",
        CREATE: f"open {about.name or 'a file'}",
        CLOSE: f"copy to {about.share or 'a share'}" if about.written else None,
        WRITE: f"copy to {about.share or 'a share'}",
    }.get(command)
    if step is None or not status or status in harmless("smb"):
        return
    if not _failed(status):
        if command != WRITE:  # a file is copied when it is closed
            yield Step(_answered_side(packet), "smb", step, packet.frame, status, None)
        return
    layer = "pipe" if about.is_pipe and status in problems()["pipe"] else "smb"
    if command in (CREATE, CLOSE, WRITE) and layer == "smb" and status not in problems()["smb"]:
        return  # looking for a file that is not there is part of every push
    meant = known(layer, status)
    unseen = command == CREATE and not about.name
    if command not in (NEGOTIATE, SESSION_SETUP) and (unseen or not about.of_push):
        meant = meant._replace(fatal=False)
    yield Step(_answered_side(packet), "smb", step, packet.frame, status, meant)


# RPC


def _rpc(packets: list[Told]) -> Iterator[Step]:
    activated = {one.server for one in _handed_out(packets) if one.by == DCOM_ACTIVATION}
    spoken = _Spoken()
    for packet in packets:
        kinds = [int(kind) for kind in packet.fields.get("dcerpc.pkt_type", [])]
        spoken.hear(packet, kinds)
        for one in _rpc_answers(packet, kinds, spoken.interface(packet, kinds)):
            ends = one.interface in push().interfaces
            if one.layer == "endpoint-mapper":  # who asks for one port of many is not a push that has its own
                ends |= packet.src not in activated
            yield _rpc_step(packet, one, ends)


LAST = object()  # instead of a pipe: whichever was opened last on a connection


class _Spoken:
    """Which interface a conversation speaks: on one connection, or in one pipe of it, by the number of its context."""

    def __init__(self) -> None:
        self._contexts: dict[tuple[object, ...], str] = {}
        self._offered: dict[tuple[object, ...], str] = {}
        self._mapped: dict[tuple[object, ...], str] = {}

    def hear(self, packet: Told, kinds: list[int]) -> None:
        """Keep what a question is about."""
        talk = self._talk(packet)
        if BIND in kinds or ALTER in kinds:
            uuids = packet.fields.get("dcerpc.cn_bind_to_uuid", [])
            names = [interfaces().get(uuid, uuid) for uuid in uuids]
            for number, name in zip(packet.fields.get("dcerpc.cn_ctx_id", []), names, strict=False):
                self._contexts[(*talk, number)] = name
            self._offered[talk] = self._offered[_ends(packet), LAST] = next(iter(names), "")
        if name := _interface_of(packet):
            self._mapped[talk] = name

    def interface(self, packet: Told, kinds: list[int]) -> str:
        """Return the interface that an answer is about, empty if that was not seen."""
        talk = self._talk(packet)
        if "epm.opnum" in packet.fields:
            return self._mapped.get(talk, "")
        if RESPONSE in kinds or FAULT in kinds:
            found = self._contexts.get((*talk, packet.first("dcerpc.cn_ctx_id")))
            return found or self._offered.get(talk, "")
        return self._offered.get(talk) or self._offered.get((_ends(packet), LAST), "")  # read from a pipe, unnamed

    @staticmethod
    def _talk(packet: Told) -> tuple[object, ...]:
        return _ends(packet), _last(packet, FILE_IDS)


class _Answer(NamedTuple):
    """One answer over RPC: layer, what was asked for, about which interface, and the code, empty if it went well."""

    layer: str
    step: str
    interface: str
    code: str


def _rpc_answers(packet: Told, kinds: list[int], interface: str) -> Iterator[_Answer]:
    opening = f"{OPEN}{interface}" if interface else "open an RPC interface"
    if BIND_NAK in kinds:
        yield _Answer("rpc-bind", opening, interface, "nak")
    elif BIND_ACK in kinds or ALTER_ACK in kinds:
        accepted = ACCEPTED in packet.fields.get("dcerpc.cn_ack_result", [ACCEPTED])
        yield _Answer("rpc-bind", opening, interface, "" if accepted else "rejected")
    calling = f"{CALL}{interface}" if interface else "call an RPC interface"
    calling = push().calls.get(interface, {}).get(packet.first("dcerpc.opnum") or "", calling)
    if RESPONSE in kinds and "epm.opnum" not in packet.fields:
        code = packet.first("svcctl.rc") or packet.first("winreg.werror") or ""
        refused = code in problems()["service"]
        yield _Answer("service" if refused else "rpc-fault", calling, interface, code if refused else "")
    if FAULT in kinds and (status := packet.first("dcerpc.cn_status")):
        yield _Answer("rpc-fault", calling, interface, status)
    if _is_mapping(packet) and (found := packet.first("epm.rc")):
        asking = f"ask for the dynamic port of {interface}" if interface else "ask for a dynamic port"
        yield _Answer("endpoint-mapper", asking, interface, found if int(found, 16) else "")


def _rpc_step(packet: Told, one: _Answer, ends: bool) -> Step:
    """Return the step of an answer. ends: whether the push needs it.

    The service controller that fails over TCP ends nothing: the named pipe takes over.
    """
    side, layer = _answered_side(packet), "rpc-fault" if one.layer == "service" else one.layer
    if not one.code:
        return Step(side, layer, one.step, packet.frame, packet.first("epm.rc") or "", None)
    meant = known(one.layer, one.code)
    over_pipe = "smb2.cmd" in packet.fields or "smb.cmd" in packet.fields
    if one.interface == SERVICE_CONTROLLER and not over_pipe:
        means = f"{meant.means}; the service controller is then called through the named pipe on SMB"
        meant = meant._replace(fatal=False, means=means)
    return Step(side, layer, one.step, packet.frame, one.code, meant._replace(fatal=meant.fatal and ends))


def _ends(packet: Told) -> frozenset[tuple[str, int]]:
    return frozenset(((packet.src, packet.src_port), (packet.dst, packet.dst_port)))


def _handed_out(packets: list[Told]) -> Iterator[HandedOut]:
    for packet in packets:
        if RESPONSE not in [int(kind) for kind in packet.fields.get("dcerpc.pkt_type", [])]:
            continue
        interface = _interface_of(packet) if _is_mapping(packet) else ""
        for port in packet.fields.get("epm.proto.tcp_port", []):
            if interface and int(port):
                yield HandedOut(packet.src, int(port), interface, packet.frame, "endpoint mapper")
        for binding in packet.fields.get("dcom.dualstringarray.network_addr", []):
            if found := STRING_BINDING.match(binding):
                yield HandedOut(packet.src, int(found["port"]), "DCOM (WMI)", packet.frame, DCOM_ACTIVATION)


def _is_mapping(packet: Told) -> bool:
    """Tell whether a packet answers which port an interface has, rather than with a page of the whole map."""
    kinds = [int(kind) for kind in packet.fields.get("dcerpc.pkt_type", [])]
    return RESPONSE in kinds and EPT_MAP in packet.fields.get("epm.opnum", [])


def _interface_of(packet: Told) -> str:
    """Return the interface that a question to the endpoint mapper, or its answer, is about."""
    uuids = [uuid for uuid in packet.fields.get("epm.uuid", []) if uuid != NO_INTERFACE]
    return interfaces().get(uuids[0], uuids[0]) if uuids else ""


# TLS and HTTP


@dataclass
class _Handshake:
    """One TLS connection as far as it was seen. certificates: each with its sender."""

    side: Side
    certificate_wanted: bool = False
    certificates: tuple[Told, ...] = ()
    client_spoke: bool = False
    agreed: bool = False


def _tls(packets: list[Told]) -> Iterator[Step]:
    handshakes: dict[frozenset[tuple[str, int]], _Handshake] = {}
    for packet in packets:
        ends, types = _ends(packet), packet.fields.get("tls.handshake.type", [])
        if CLIENT_HELLO in types:
            if ends in handshakes:
                yield from _certificates(handshakes[ends])
            handshakes[ends] = _Handshake(Side(packet.src, packet.dst, packet.dst_port))
        if one := handshakes.get(ends):
            one.certificate_wanted |= CERTIFICATE_REQUEST in types
            if "x509af.notBefore" in packet.fields:
                one.certificates += (packet,)
            yield from _alerts(packet, one)
            yield from _agreed(packet, one)
    for one in handshakes.values():
        yield from _certificates(one)


def _alerts(packet: Told, one: _Handshake) -> Iterator[Step]:
    levels, codes = (packet.fields.get(f"tls.alert_message.{name}", []) for name in ("level", "desc"))
    from_server = packet.src == one.side.responder
    for level, code in zip(levels, codes, strict=False):
        if int(level) != FATAL_ALERT:
            continue
        meant = known("tls", code)
        if code == HANDSHAKE_FAILURE and from_server and one.certificate_wanted:
            meant = known("tls", CERTIFICATE_REQUIRED)._replace(name=meant.name)
        meant = meant._replace(means=f"the {'server' if from_server else 'client'} says: {meant.means}")
        yield Step(one.side, "tls", "agree on encryption", packet.frame, code, meant)


def _agreed(packet: Told, one: _Handshake) -> Iterator[Step]:
    """Yield the step that a handshake went well: the server sends data after the client did, each more than an alert.

    Of TLS 1.3 too, where all but the beginning is encrypted: a server sends nothing but an alert after a client's last
    message that it does not accept, and a client that does not accept the server sends no more than an alert.
    """
    types = [kind for name in ("content_type", "opaque_type") for kind in packet.fields.get(f"tls.record.{name}", [])]
    longest = max((int(length) for length in packet.fields.get("tls.record.length", [])), default=0)
    if APPLICATION_DATA not in types or longest <= LONGER_THAN_ALERT or one.agreed:
        return
    if packet.src == one.side.initiator:
        one.client_spoke = True
    elif one.client_spoke:
        one.agreed = True
        yield Step(one.side, "tls", "agree on encryption", packet.frame, "", None)


def _certificates(one: _Handshake) -> Iterator[Step]:
    """Yield whether the certificates of a handshake were valid when it was captured.

    Where the two agreed all the same, whoever got the certificate did not mind.
    """
    for packet in one.certificates:
        validity = _validity(packet)
        if validity is None or packet.time_ns <= 0:
            continue
        whose = "server" if packet.src == one.side.responder else "client"
        began, ended = validity
        when = datetime.fromtimestamp(packet.time_ns // 1_000_000_000, UTC)
        code = "not-yet-valid" if when < began else "expired" if when > ended else ""
        meant = None
        if code:
            found = known("certificate", code)
            dates = f"it is valid from {began:%Y-%m-%d} to {ended:%Y-%m-%d}, and the capture is of {when:%Y-%m-%d}"
            agreed = "; the two agreed all the same" if one.agreed else ""
            meant = found._replace(means=f"{found.means}: {dates}{agreed}", fatal=found.fatal and not one.agreed)
        yield Step(one.side, "certificate", f"show the certificate of the {whose}", packet.frame, code, meant)


def _validity(packet: Told) -> tuple[datetime, datetime] | None:
    """Return from when to when the first certificate of a packet, the owner's, is valid; None if it does not tell."""
    written = {
        True: iter(packet.fields.get("x509af.utcTime", [])),
        False: iter(packet.fields.get("x509af.generalizedTime", [])),
    }
    dates = []
    for name in ("x509af.notBefore", "x509af.notAfter"):
        found = DATE.match(next(written[packet.first(name) == UTC_TIME], ""))
        if found is None:
            return None
        year, *rest = map(int, found.groups())
        century = 0 if year > 99 else 1900 if year >= 50 else 2000
        try:
            dates.append(datetime(century + year, *rest, tzinfo=UTC))  # type: ignore[arg-type,misc]
        except ValueError:
            return None
    return dates[0], dates[1]


def _http(packets: list[Told]) -> Iterator[Step]:
    asked: dict[frozenset[tuple[str, int]], tuple[str, str]] = {}
    for packet in packets:
        ends = _ends(packet)
        if method := packet.first("http.request.method"):
            asked[ends] = method, (packet.first("http.request.uri") or "").partition("?")[0]
        code = packet.number("http.response.code")
        if code is None:
            continue
        method, path = asked.get(ends, ("", ""))
        step = f"{method} {path}".strip() or "request"
        meant = None if code < HTTP_ERROR else _failed_request(method, path, str(code))
        yield Step(_answered_side(packet), "http", step, packet.frame, str(code), meant)


def _failed_request(method: str, path: str, code: str) -> Known:
    meant = known("http", code)
    if method == CCM_POST and code in ("400", "405", "501"):
        meant = meant._replace(means="the verb CCM_POST was refused, as by a proxy that does not know it")
    if not _of_site_system(method, path):
        meant = meant._replace(fatal=False, means=f"{meant.means} - if that is one: the path is not one of its own")
    return meant


def _of_site_system(method: str, path: str) -> bool:
    """Tell whether CCMSetup makes such a request of a site system; what other web servers answer is no matter."""
    return not path or method == CCM_POST or any(path.lower().startswith(one) for one in web_paths())


def _kerberos(packets: list[Told]) -> Iterator[Step]:
    for packet in packets:
        for code in packet.fields.get("kerberos.error_code", []):
            if code not in harmless("kerberos"):
                yield Step(
                    _answered_side(packet),
                    "kerberos",
                    "log on by Kerberos",
                    packet.frame,
                    code,
                    known("kerberos", code),
                )


# names


def _names(packets: list[Told]) -> Iterator[tuple[str, str]]:
    for packet in packets:
        for name in packet.fields.get("ntlmssp.auth.hostname", []):
            if name and name != "NULL":
                yield packet.src, name
        for name in packet.fields.get("ntlmssp.challenge.target_info.dns_computer_name", []):
            yield packet.src, name
        for name in packet.fields.get("tls.handshake.extensions_server_name", []):
            yield packet.dst, name
        for host in packet.fields.get("http.host", []):
            name = host.partition(":")[0]
            if not host.startswith("[") and not name.replace(".", "").isdigit():  # an address is no name
                yield packet.dst, name


def _roles(packets: list[Told]) -> Iterator[tuple[str, str, str]]:
    for packet in packets:
        path = (packet.first("http.request.uri") or "").lower()
        for beginning, role in web_paths().items():
            if path.startswith(beginning):
                yield packet.dst, role, beginning


def by_side(steps: Iterable[Step]) -> dict[Side, list[Step]]:
    """Return the steps of each side, in order."""
    sides: dict[Side, list[Step]] = defaultdict(list)
    for step in steps:
        sides[step.side].append(step)
    return sides
