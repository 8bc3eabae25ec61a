"""What was said on open ports: from dissected packets to steps that went well or badly, handed-out ports and names.

Everything is told of a *side*: the host that began the connection and the host and port that it reached.
"""

from __future__ import annotations

import re
import tomllib
from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace
from functools import cache
from pathlib import Path
from typing import Any, NamedTuple

from auditor.shipped import rulesets_folder
from auditor.sources.dissect import Told

NEGOTIATE, SESSION_SETUP, TREE_CONNECT, CREATE = 0, 1, 3, 5
SMB1_STEPS = {0x72: NEGOTIATE, 0x73: SESSION_SETUP, 0x75: TREE_CONNECT, 0xA2: CREATE}
BIND, BIND_ACK, BIND_NAK, ALTER, ALTER_ACK, FAULT, RESPONSE = 11, 12, 13, 14, 15, 3, 2
EPT_MAP = "3"
ACCEPTED = "0"
CLIENT_HELLO, CERTIFICATE_REQUEST = "1", "13"
FATAL_ALERT, HANDSHAKE_FAILURE, CERTIFICATE_REQUIRED = 2, "40", "116"
SERVICE_CONTROLLER = "svcctl"
HTTP_ERROR = 400
CCM_POST = "CCM_POST"
STRING_BINDING = re.compile(r"^(?P<host>[^\[]+)\[(?P<port>\d{1,5})\]$")
NO_INTERFACE = "00000000-0000-0000-0000-000000000000"


class Side(NamedTuple):
    """Who reached whom, at which port."""

    initiator: str
    responder: str
    port: int


class Known(NamedTuple):
    """What is known of one answer: its name, meaning, whether it ends a push, and what to do."""

    name: str
    means: str
    fatal: bool
    do: str


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
class Reset:
    """A reset of a connection; forged: whether its hop count shows that another device sent it, None if unknown."""

    side: Side
    frame: int
    forged: bool | None


@dataclass(frozen=True)
class Said:
    """All that the packets of one source told.

    names: address and name. roles: address, role and web path. other_web: addresses of web servers that were asked
    for other paths only.
    """

    steps: tuple[Step, ...] = ()
    handed_out: tuple[HandedOut, ...] = ()
    resets: tuple[Reset, ...] = ()
    hops: tuple[tuple[str, int], ...] = ()  # address and the hop count that most of its packets have left
    names: tuple[tuple[str, str], ...] = ()
    roles: tuple[tuple[str, str, str], ...] = ()
    other_web: tuple[str, ...] = ()


@cache
def _tables() -> dict[str, dict[str, Any]]:
    return tomllib.loads((Path(__file__).parent / "problems.toml").read_text(encoding="utf-8"))


@cache
def problems() -> dict[str, dict[str, Known]]:
    """Return the known answers by layer and code (auditor/problems.toml)."""
    return {
        layer: {code: Known(**entry) for code, entry in table.items()}
        for layer, table in _tables().items()
        if layer != "harmless"
    }


@cache
def interfaces() -> dict[str, str]:
    """Return names of RPC interfaces by UUID (rulesets/well-known/interfaces.toml)."""
    text = (rulesets_folder() / "well-known" / "interfaces.toml").read_text(encoding="utf-8")
    return {str(uuid): str(name) for uuid, name in tomllib.loads(text)["interface"].items()}


@cache
def _harmless(layer: str) -> frozenset[str]:
    return frozenset(_tables()["harmless"].get(layer, ()))


def listen(told: Iterable[Told]) -> Said:
    """Return what the dissected packets of one source tell, in order of frames."""
    packets = sorted(told, key=lambda one: one.frame)
    steps = [step for reader in (_smb, _rpc, _tls, _http, _kerberos) for step in reader(packets)]
    roles = sorted(set(_roles(packets)))
    web = {packet.dst for packet in packets if packet.first("http.request.uri")}
    return Said(
        steps=tuple(sorted(steps, key=lambda one: (one.frame, one.layer, one.step))),
        handed_out=tuple(_handed_out(packets)),
        resets=tuple(_resets(packets)),
        hops=tuple((host, counts.most_common(1)[0][0]) for host, counts in sorted(_hop_counts(packets).items())),
        names=tuple(sorted(set(_names(packets)))),
        roles=tuple(roles),
        other_web=tuple(sorted(web - {address for address, _, _ in roles})),
    )


def _known(layer: str, code: str) -> Known:
    return problems().get(layer, {}).get(code) or Known(code, "an answer that is not known here", False, "Look it up.")


def _answered_side(packet: Told) -> Side:
    """Return the side that a packet of the responder answers."""
    return Side(packet.dst, packet.src, packet.src_port)


# SMB


def _smb(packets: list[Told]) -> Iterator[Step]:
    asked: dict[tuple[object, ...], str] = {}
    for packet in packets:
        for command, response, status, message in _smb_messages(packet):
            ends = (packet.src, packet.src_port, packet.dst, packet.dst_port)
            if not response:
                about = (packet.fields.get("smb2.tree") or packet.fields.get("smb.path") or [""])[-1]
                name = (packet.fields.get("smb2.filename") or packet.fields.get("smb.file") or [""])[-1]
                asked[(*ends, command, message)] = name if command == CREATE else about
                continue
            about = asked.get((packet.dst, packet.dst_port, packet.src, packet.src_port, command, message), "")
            yield from _smb_step(packet, command, status, about)


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


def _smb_step(packet: Told, command: int, status: str, about: str) -> Iterator[Step]:
    if not status or status in _harmless("smb"):
        return
    share = about.rpartition("\\")[2].upper()
    step = {
        NEGOTIATE: "agree on an SMB version",
        SESSION_SETUP: "log on",
        TREE_CONNECT: f"connect to {share or 'a share'}",
        CREATE: f"open {about or 'a file'}",
    }.get(command)
    if step is None:
        return
    good = int(status, 16) < 0x80000000
    layer = "pipe" if command == CREATE and status in problems()["pipe"] and _is_pipe(about) else "smb"
    known = None if good else _known(layer, status)
    if known is not None and command == CREATE and layer == "smb" and status not in problems()["smb"]:
        return  # looking for a file that is not there is part of every push
    if known is not None and command == TREE_CONNECT and share not in ("ADMIN$", "IPC$"):
        known = known._replace(fatal=False)
    yield Step(_answered_side(packet), "smb", step, packet.frame, status, known)


def _is_pipe(name: str) -> bool:
    return name.lower() in ("svcctl", "winreg", "srvsvc", "wkssvc", "lsarpc", "samr", "netlogon", "atsvc")


# RPC


def _rpc(packets: list[Told]) -> Iterator[Step]:
    asked: dict[frozenset[tuple[str, int]], str] = {}
    for packet in packets:
        kinds = [int(kind) for kind in packet.fields.get("dcerpc.pkt_type", [])]
        asked[_ends(packet)] = _asked_interface(packet) or asked.get(_ends(packet), "")
        for step in _rpc_steps(packet, kinds):
            yield _harmless_for(asked[_ends(packet)], step, packet)


def _ends(packet: Told) -> frozenset[tuple[str, int]]:
    return frozenset(((packet.src, packet.src_port), (packet.dst, packet.dst_port)))


def _asked_interface(packet: Told) -> str:
    """Return the interface that a bind or a question to the endpoint mapper is about, empty for other packets."""
    uuids = packet.fields.get("epm.uuid") or packet.fields.get("dcerpc.cn_bind_to_uuid") or []
    names = [interfaces().get(uuid, uuid) for uuid in uuids if uuid != NO_INTERFACE]
    return names[0] if names else ""


def _rpc_steps(packet: Told, kinds: list[int]) -> Iterator[Step]:
    side = _answered_side(packet)
    if BIND_NAK in kinds:
        yield Step(side, "rpc-bind", "open an RPC interface", packet.frame, "nak", _known("rpc-bind", "nak"))
    elif BIND_ACK in kinds or ALTER_ACK in kinds:
        accepted = ACCEPTED in packet.fields.get("dcerpc.cn_ack_result", [ACCEPTED])
        known = None if accepted else _known("rpc-bind", "rejected")
        yield Step(side, "rpc-bind", "open an RPC interface", packet.frame, "" if accepted else "rejected", known)
    if RESPONSE in kinds and "epm.opnum" not in packet.fields:
        yield Step(side, "rpc-fault", "call an RPC interface", packet.frame, "", None)
    if FAULT in kinds and (code := packet.first("dcerpc.cn_status")):
        yield Step(side, "rpc-fault", "call an RPC interface", packet.frame, code, _known("rpc-fault", code))
    if _is_mapping(packet) and (code := packet.first("epm.rc")):
        known = None if int(code, 16) == 0 else _known("endpoint-mapper", code)
        yield Step(side, "endpoint-mapper", "ask for a dynamic port", packet.frame, code, known)


def _harmless_for(interface: str, step: Step, packet: Told) -> Step:
    """Return the step as not fatal if it is the service controller over TCP that fails: the named pipe takes over."""
    over_pipe = "smb2.cmd" in packet.fields or "smb.cmd" in packet.fields
    if step.known is None or interface != SERVICE_CONTROLLER or over_pipe:
        return step
    means = f"{step.known.means}; the service controller is then called through the named pipe on SMB"
    return replace(step, known=step.known._replace(fatal=False, means=means))


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
                yield HandedOut(packet.src, int(found["port"]), "DCOM (WMI)", packet.frame, "DCOM activation")


def _is_mapping(packet: Told) -> bool:
    """Tell whether a packet answers which port an interface has, rather than with a page of the whole map."""
    kinds = [int(kind) for kind in packet.fields.get("dcerpc.pkt_type", [])]
    return RESPONSE in kinds and EPT_MAP in packet.fields.get("epm.opnum", [])


def _interface_of(packet: Told) -> str:
    uuids = [uuid for uuid in packet.fields.get("epm.uuid", []) if uuid != NO_INTERFACE]
    return interfaces().get(uuids[0], uuids[0]) if uuids else ""


# TLS and HTTP


def _tls(packets: list[Told]) -> Iterator[Step]:
    began: dict[frozenset[tuple[str, int]], Side] = {}
    certificate_wanted: set[frozenset[tuple[str, int]]] = set()
    for packet in packets:
        ends, types = _ends(packet), packet.fields.get("tls.handshake.type", [])
        if CLIENT_HELLO in types:
            began[ends] = Side(packet.src, packet.dst, packet.dst_port)
        if CERTIFICATE_REQUEST in types:
            certificate_wanted.add(ends)
        if side := began.get(ends):
            yield from _alerts(packet, side, ends in certificate_wanted)


def _alerts(packet: Told, side: Side, certificate_wanted: bool) -> Iterator[Step]:
    levels, codes = (packet.fields.get(f"tls.alert_message.{name}", []) for name in ("level", "desc"))
    from_server = packet.src == side.responder
    for level, code in zip(levels, codes, strict=False):
        if int(level) != FATAL_ALERT:
            continue
        known = _known("tls", code)
        if code == HANDSHAKE_FAILURE and from_server and certificate_wanted:
            known = _known("tls", CERTIFICATE_REQUIRED)._replace(name=known.name)
        known = known._replace(means=f"the {'server' if from_server else 'client'} says: {known.means}")
        yield Step(side, "tls", "agree on encryption", packet.frame, code, known)


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
        known = None if code < HTTP_ERROR else _known("http", str(code))
        if known is not None and method == CCM_POST and str(code) in ("400", "405", "501"):
            known = known._replace(means="the verb CCM_POST was refused, as by a proxy that does not know it")
        if known is not None and not _of_site_system(method, path):
            known = known._replace(fatal=False, means=f"{known.means} - if that is one: the path is not one of its own")
        step = f"{method} {path}".strip() or "request"
        yield Step(_answered_side(packet), "http", step, packet.frame, str(code), known)


def _of_site_system(method: str, path: str) -> bool:
    """Tell whether CCMSetup makes such a request of a site system; what other web servers answer is no matter."""
    return not path or method == CCM_POST or any(path.lower().startswith(one) for one in web_paths())


def _kerberos(packets: list[Told]) -> Iterator[Step]:
    for packet in packets:
        for code in packet.fields.get("kerberos.error_code", []):
            if code not in _harmless("kerberos"):
                yield Step(
                    _answered_side(packet),
                    "kerberos",
                    "log on by Kerberos",
                    packet.frame,
                    code,
                    _known("kerberos", code),
                )


# resets


def _resets(packets: list[Told]) -> Iterator[Reset]:
    """Yield resets sent by the side that was reached, held against the hop counts of its other packets."""
    hops = _hop_counts(packets)
    for packet in packets:
        if _is_reset(packet):
            usual, own = hops[packet.src], _hops(packet)
            forged = own not in usual if usual and own is not None else None
            yield Reset(_answered_side(packet), packet.frame, forged)


def _hop_counts(packets: list[Told]) -> dict[str, Counter[int]]:
    """Return for each host how many of its packets, resets apart, have which hop count left."""
    hops: dict[str, Counter[int]] = defaultdict(Counter)
    for packet in packets:
        if not _is_reset(packet) and (count := _hops(packet)) is not None:
            hops[packet.src][count] += 1
    return hops


def _is_reset(packet: Told) -> bool:
    return packet.first("tcp.flags.reset") in ("1", "True")


def _hops(packet: Told) -> int | None:
    """Return the hop count that is left in a packet (time to live, hop limit)."""
    counts = packet.fields.get("ipv6.hlim" if ":" in packet.src else "ip.ttl")
    return int(counts[-1], 0) if counts else None  # of a packet in a tunnel, its own


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


@cache
def web_paths() -> dict[str, str]:
    """Return roles by the beginning of a web path (rulesets/well-known/web-paths.toml)."""
    text = (rulesets_folder() / "well-known" / "web-paths.toml").read_text(encoding="utf-8")
    return dict(tomllib.loads(text)["paths"])


def by_side(steps: Iterable[Step]) -> dict[Side, list[Step]]:
    """Return the steps of each side, in order."""
    sides: dict[Side, list[Step]] = defaultdict(list)
    for step in steps:
        sides[step.side].append(step)
    return sides
