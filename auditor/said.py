"""What was said on open ports: from dissected packets to steps that went well or badly, handed-out ports and names.

Everything is told of a *side*: the host that began the connection and the host and port that it reached.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace
from itertools import pairwise
from typing import TYPE_CHECKING

from auditor.sources.dissection.accounts import accounts_by_frame
from auditor.sources.dissection.dce_rpc import (
    CALL,
    OPEN,
    SERVICE_CONTROLLER,
    mapped_ports,
    opened_interfaces,
    rpc_steps,
)
from auditor.sources.dissection.dcom import assigned_ports, classes_by_frame
from auditor.sources.dissection.http import http_steps, requested, web_roles
from auditor.sources.dissection.kerberos import kerberos_steps
from auditor.sources.dissection.packets import Ends, answered_side
from auditor.sources.dissection.smb import push_files, shares, smb_steps
from auditor.sources.dissection.steps import ANONYMOUS, FAULT, HandedOut, Outcome, Side, Step
from auditor.sources.dissection.tls import tls_steps

if TYPE_CHECKING:
    from auditor.sources.dissect import Told

__all__ = [
    "ANONYMOUS",
    "CALL",
    "FAULT",
    "OPEN",
    "SERVICE_CONTROLLER",
    "HandedOut",
    "Outcome",
    "Reset",
    "Said",
    "Side",
    "Step",
    "by_side",
    "listen",
]

ENOUGH_TO_COUNT = 4
FEW_PACKETS = 2_000  # between two packets of a host that counts them all


@dataclass(frozen=True)
class Reset:
    """A reset of a connection; forged: whether its hop count shows that another device sent it, None if unknown.

    Unknown too is one that has the host's hop count, but not the next of the numbers that the host gives its packets.
    """

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
    shares: tuple[tuple[Ends, str], ...] = ()  # who connected to whose share, by its name in lower case
    interfaces: tuple[tuple[Ends, str], ...] = ()  # who opened whose RPC interface
    push_files: tuple[Ends, ...] = ()  # who opened a file on whose share that only a push copies


def listen(told: Iterable[Told]) -> Said:
    """Return what the dissected packets of one source tell, in order of frames."""
    packets = sorted(told, key=lambda one: one.frame)
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
    roles = sorted(set(web_roles(packets)))
    web = {packet.dst for packet in packets if requested(packet)}
    return Said(
        steps=tuple(sorted(steps, key=lambda one: (one.frame, one.layer, one.step))),
        handed_out=tuple(sorted(assigned, key=lambda one: one.frame)),
        resets=tuple(_resets(packets)),
        hops=tuple((host, counts.most_common(1)[0][0]) for host, counts in sorted(_hop_counts(packets).items())),
        names=tuple(sorted(set(_names(packets)))),
        roles=tuple(roles),
        other_web=tuple(sorted(web - {address for address, _, _ in roles})),
        shares=tuple(sorted(set(shares(packets)))),
        interfaces=tuple(sorted(set(opened_interfaces(packets)))),
        push_files=tuple(sorted(set(push_files(packets)))),
    )


# resets


def _resets(packets: list[Told]) -> Iterator[Reset]:
    """Yield resets sent by the side that was reached, held against the hop counts and numbers of its other packets."""
    hops = _hop_counts(packets)
    numbers = _packet_numbers(packets)
    for packet in packets:
        if _is_reset(packet):
            usual, own = hops[packet.src], _hops(packet)
            forged = own not in usual if usual and own is not None else None
            if forged is False and not _in_count(packet, numbers[packet.src, packet.dst]):
                forged = None
            yield Reset(answered_side(packet), packet.frame, forged)


def _packet_numbers(packets: list[Told]) -> dict[tuple[str, str], list[tuple[int, int]]]:
    """Return, for each host and whom it speaks to, frame and IP identification of its packets, resets apart."""
    numbers: dict[tuple[str, str], list[tuple[int, int]]] = defaultdict(list)
    for packet in packets:
        if not _is_reset(packet) and (number := _packet_number(packet)) is not None:
            numbers[packet.src, packet.dst].append((packet.frame, number))
    return numbers


def _packet_number(packet: Told) -> int | None:
    numbers = packet.fields.get("ip.id")
    return int(numbers[-1], 0) if numbers and ":" not in packet.src else None


def _in_count(reset: Told, others: list[tuple[int, int]]) -> bool:
    """Tell whether a reset's IP identification fits those of the host's packets before and after it.

    Only where the host counts its packets up, as Windows does, can it contradict; Linux writes 0 into such a reset.
    """
    number = _packet_number(reset)
    steps = [(after - before) % 65536 for (_, before), (_, after) in pairwise(others)]
    if not number or len(steps) < ENOUGH_TO_COUNT or any(not 0 < step <= FEW_PACKETS for step in steps):
        return True
    before = [own for frame, own in others if frame < reset.frame]
    after = [own for frame, own in others if frame > reset.frame]
    near = [(number - own) % 65536 for own in before[-1:]] + [(own - number) % 65536 for own in after[:1]]
    return all(step <= FEW_PACKETS for step in near)


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


def by_side(steps: Iterable[Step]) -> dict[Side, list[Step]]:
    """Return the steps of each side, in order."""
    sides: dict[Side, list[Step]] = defaultdict(list)
    for step in steps:
        sides[step.side].append(step)
    return sides
