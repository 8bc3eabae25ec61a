"""What was said on open ports: from dissected packets to steps that went well or badly, assigned ports and names.

Every fact is about a *side*: the host that began the connection and the host and port that it reached.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from auditor.sources.dissection.accounts import accounts_by_frame
from auditor.sources.dissection.dce_rpc import SERVICE_CONTROLLER, mapped_ports, opened_interfaces, rpc_steps
from auditor.sources.dissection.dcom import assigned_ports, classes_by_frame
from auditor.sources.dissection.http import WebRequest, http_steps, requested, web_requests
from auditor.sources.dissection.kerberos import kerberos_steps
from auditor.sources.dissection.packets import Ends
from auditor.sources.dissection.smb import push_files, shares, smb_steps
from auditor.sources.dissection.steps import (
    ANONYMOUS,
    FAULT,
    Action,
    AssignedPort,
    Outcome,
    ProtocolStep,
    ServiceEndpoint,
    StepKind,
)
from auditor.sources.dissection.tls import tls_steps

if TYPE_CHECKING:
    from auditor.sources.dissection.tshark import DissectedPacket

__all__ = [
    "ANONYMOUS",
    "FAULT",
    "SERVICE_CONTROLLER",
    "Action",
    "AssignedPort",
    "Outcome",
    "ProtocolFacts",
    "ProtocolStep",
    "ServiceEndpoint",
    "StepKind",
    "WebRequest",
    "by_side",
    "extract_protocol_facts",
]


@dataclass(frozen=True)
class ProtocolFacts:
    """All facts that the packets of one source show.

    Attributes:
        names: Address and name.
        roles: Address, role and web path, or HTTP method.
        other_web: Addresses of web servers that were asked for other paths only.
        requests: Those that show a role, each once.
    """

    steps: tuple[ProtocolStep, ...] = ()
    assigned_ports: tuple[AssignedPort, ...] = ()
    names: tuple[tuple[str, str], ...] = ()
    roles: tuple[tuple[str, str, str], ...] = ()
    other_web: tuple[str, ...] = ()
    shares: tuple[tuple[Ends, str], ...] = ()  # who connected to whose share, by its name in lower case
    interfaces: tuple[tuple[Ends, str], ...] = ()  # who opened whose RPC interface
    push_files: tuple[Ends, ...] = ()  # who opened a file on whose share that only a push copies
    requests: tuple[WebRequest, ...] = ()


def extract_protocol_facts(dissected_packets: Iterable[DissectedPacket]) -> ProtocolFacts:
    """Return what the dissected packets of one source show, in order of frames."""
    packets = sorted(dissected_packets, key=lambda packet: packet.frame)
    classes = classes_by_frame(packets)
    accounts = accounts_by_frame(packets)
    steps = [
        *smb_steps(packets),
        *rpc_steps(packets, classes),
        *tls_steps(packets),
        *http_steps(packets),
        *kerberos_steps(packets),
    ]
    steps = [replace(step, account=accounts.get(step.frame, "")) for step in steps]
    assigned = (*mapped_ports(packets), *assigned_ports(packets, classes))
    requests = sorted(set(web_requests(packets)))
    roles = sorted({(request.server, request.role, request.shown_by) for request in requests})
    web = {packet.dst for packet in packets if requested(packet)}
    return ProtocolFacts(
        steps=tuple(sorted(steps, key=lambda step: (step.frame, step.layer, step.action))),
        assigned_ports=tuple(sorted(assigned, key=lambda port: port.frame)),
        names=tuple(sorted(set(_names(packets)))),
        roles=tuple(roles),
        other_web=tuple(sorted(web - {address for address, _, _ in roles})),
        shares=tuple(sorted(set(shares(packets)))),
        interfaces=tuple(sorted(set(opened_interfaces(packets)))),
        push_files=tuple(sorted(set(push_files(packets)))),
        requests=tuple(requests),
    )


# names


def _names(packets: list[DissectedPacket]) -> Iterator[tuple[str, str]]:
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


def by_side(steps: Iterable[ProtocolStep]) -> dict[ServiceEndpoint, list[ProtocolStep]]:
    """Return the steps of each side, in order."""
    sides: dict[ServiceEndpoint, list[ProtocolStep]] = defaultdict(list)
    for step in steps:
        sides[step.side].append(step)
    return sides
