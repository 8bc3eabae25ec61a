"""Which packets are worth dissecting, and the dissection of all sources: stage 2 of an audit."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import replace
from functools import cache
from itertools import islice
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from auditor.report.model import FILE_SHARING, LOGON
from auditor.ruleset.addresses import is_public
from auditor.ruleset.known_problems import other_services, web_methods, web_paths
from auditor.ruleset.lint import CLIENT, MANAGEMENT_POINT, SITE_SERVER
from auditor.ruleset.ruleset import Ruleset
from auditor.ruleset.statements import say, say_count
from auditor.sources.dissection.facts import ProtocolFacts, extract_protocol_facts
from auditor.sources.dissection.program import find_tshark
from auditor.sources.dissection.selection import FlowSelector, TruncatedFlow
from auditor.sources.files.warnings import SourceWarning, warning
from auditor.sources.flows.table import is_among
from auditor.sources.payload import frames_with
from auditor.sources.read import known_tunnels
from auditor.sources.source import Source
from auditor.verdicts.installations.contacts import Pair
from auditor.verdicts.installations.roles import RoleMap

NOTHING = ProtocolFacts()
MOST_OTHER_PAIRS = 32  # of hosts whose ports look like a logon or file sharing: a file server has hundreds of them
MOST_SEARCHED = 16  # flows to one port of one server
Service = tuple[str, int]  # address and TCP port
SPOKE = ("answered", "mid-stream", "one-way")  # answers of connections in which something was said


class DissectionResult(NamedTuple):
    """What the dissectors told of each source, and why not all of them told, empty if they did.

    warnings: of each source, about what was left out of long flows.
    """

    facts: tuple[ProtocolFacts, ...]
    error: str
    warnings: tuple[tuple[SourceWarning, ...], ...] = ()

    def warned(self, sources: Sequence[Source]) -> list[Source]:
        """Return the sources with these warnings too."""
        if not any(self.warnings):
            return list(sources)
        pairs = zip(sources, self.warnings, strict=True)
        return [replace(source, warnings=(*source.warnings, *more)) if more else source for source, more in pairs]


def dissect_sources(
    sources: Sequence[Source], role_map: RoleMap, ruleset: Ruleset, tshark: Path | None
) -> DissectionResult:
    """Dissect what the hosts that play a role said to each other; says what is missing where that cannot be done."""
    from auditor.sources.dissection.tshark import dissect  # loads much that is not needed where only ports are judged

    program = tshark or find_tshark()
    if program is None:
        return DissectionResult((NOTHING,) * len(sources), say("obstacle.no-tshark"))
    facts, errors = [], []
    warnings: list[tuple[SourceWarning, ...]] = []
    for source in sources:
        if source.kind != "capture":
            facts.append(NOTHING)
            warnings.append(())
            continue
        elsewhere = requested_elsewhere(source, role_map, ruleset)
        flows, ports = select_flows(source, role_map, ruleset, elsewhere), {port for _, port in elsewhere}
        dissection = dissect(source.file, flows, known_tunnels(), program, web_ports=ports)
        facts.append(extract_protocol_facts(dissection.packets))
        warnings.append(tuple(_long_flows(dissection.left_out)))
        if dissection.obstacle:
            errors.append(say("limitation.warning", path=source.path, text=dissection.obstacle))
    return DissectionResult(tuple(facts), "; ".join(errors), tuple(warnings))


def _long_flows(left_out: Sequence[TruncatedFlow]) -> Iterator[SourceWarning]:
    """Yield a warning about the middle of long flows, the largest of which it names."""
    if not left_out:
        return
    flow = max(left_out, key=lambda truncated: truncated.packets).flow
    src, dst = (f"[{host}]" if ":" in host else host for host in (flow.src, flow.dst))
    longest = say("warning.long-flow-ends", src=src, src_port=flow.src_port, dst=dst, dst_port=flow.dst_port)
    packets, size = sum(truncated.packets for truncated in left_out), sum(truncated.bytes for truncated in left_out)
    flows = say_count("warning.long-flows", len(left_out), longest=longest)
    yield warning("long-flow", packets=packets, bytes=size, flows=flows)


def select_flows(
    source: Source, role_map: RoleMap, ruleset: Ruleset, elsewhere: Collection[Service]
) -> list[FlowSelector]:
    """Return the flows that may say something: between hosts that play a role, at ports that the ruleset knows.

    elsewhere: servers and ports that the ruleset does not know and that clients ask for what site systems have.
    """
    flows = source.table.columns
    clients, servers = set(role_map.clients), set(role_map.addresses(SITE_SERVER))
    other_hosts = {assignment.address for assignment in role_map.assignments} - clients - servers
    spoke = (flows["protocol"] == "tcp") & is_among(flows["response"], SPOKE)
    pushes = _of_pairs(flows, _pairs(role_map)) & _at_known_port(flows, ruleset)
    web = spoke & is_among(flows["src_ip"], clients) & np.isin(flows["dst_port"], _web_ports(ruleset))
    hosts = set(flows["dst_ip"][web].tolist())
    near = {host for host in hosts if MANAGEMENT_POINT not in role_map.roles or not is_public(host)}
    fetches = _between(flows, clients, other_hosts) | (web & is_among(flows["dst_ip"], near))  # may show further roles
    fetches |= is_among(flows["src_ip"], clients) & _to_services(flows, elsewhere)
    chosen = np.flatnonzero(spoke & (pushes | fetches))
    return [
        FlowSelector("tcp", row["src_ip"], row["src_port"], row["dst_ip"], row["dst_port"], row["first_frame"])
        for row in source.table.rows(chosen[np.argsort(flows["first_frame"][chosen])])
    ]


def requested_elsewhere(source: Source, role_map: RoleMap, ruleset: Ruleset) -> frozenset[Service]:
    """Return servers and ports that no documented web port is and that clients ask for what site systems have.

    Only the first packets of a few flows to each port are searched, so that other traffic costs nothing.
    """
    flows = source.table.columns
    spoke = (flows["protocol"] == "tcp") & is_among(flows["response"], SPOKE)
    known_ports = [*ruleset.fixed_ports, *other_services()]
    rows = np.flatnonzero(
        spoke & is_among(flows["src_ip"], role_map.clients) & ~np.isin(flows["dst_port"], known_ports)
    )
    ends = zip(flows["dst_ip"][rows].tolist(), flows["dst_port"][rows].tolist(), strict=True)
    by_service: dict[Service, list[int]] = defaultdict(list)
    for row, service in zip(rows.tolist(), ends, strict=True):
        if not is_public(service[0]):
            by_service[service].append(row)
    firsts: dict[int, Service] = {}
    for service, of_service in by_service.items():
        for row in of_service[:MOST_SEARCHED]:
            firsts |= dict.fromkeys(_first_data(source, row), service)
    request_frames = frames_with(source.file, firsts, _request_words()) if firsts else ()
    return frozenset(firsts[frame] for frame in request_frames)


def _first_data(source: Source, flow: int) -> list[int]:
    """Return the frames in which the originator of a flow sent its first data."""
    data = (event.frame for event in source.details.events(flow) if event.from_src and event.packet_kind == "data")
    return list(islice(data, 2))


@cache
def _request_words() -> tuple[bytes, ...]:
    """Return what stands in the first line of a request that shows a role, in lower case."""
    words = [f" {path}" for path in web_paths()] + [f"{method} /" for method in web_methods()]
    return tuple(word.lower().encode("ascii") for word in words)


def _pairs(role_map: RoleMap) -> frozenset[Pair]:
    """Return the pairs to dissect: the judged pushes, and of the others a few that the content may show to be one."""
    judged = {(push.from_address, push.to_address) for push in role_map.judged}
    other_pushes = [push for push in role_map.pushes if push.kind in (FILE_SHARING, LOGON)]
    pairs = [(push.from_address, push.to_address) for push in other_pushes]
    return frozenset((*judged, *[pair for pair in pairs if pair not in judged][:MOST_OTHER_PAIRS]))


def _of_pairs(flows: Mapping[str, NDArray[Any]], pairs: frozenset[Pair]) -> NDArray[np.bool_]:
    """Tell which flows are between two hosts of a pair, whoever began them."""
    hosts = {host for pair in pairs for host in pair}
    rows = np.flatnonzero(is_among(flows["src_ip"], hosts))
    ends = zip(flows["src_ip"][rows].tolist(), flows["dst_ip"][rows].tolist(), strict=True)
    between = [(src, dst) in pairs or (dst, src) in pairs for src, dst in ends]
    mask = np.zeros(len(flows["src_ip"]), np.bool_)
    mask[rows] = between
    return mask


def _to_services(flows: Mapping[str, NDArray[Any]], services: Collection[Service]) -> NDArray[np.bool_]:
    """Tell which flows are to one of these servers at its port."""
    mask = np.zeros(len(flows["dst_ip"]), np.bool_)
    rows = np.flatnonzero(np.isin(flows["dst_port"], [port for _, port in services]))
    ends = zip(flows["dst_ip"][rows].tolist(), flows["dst_port"][rows].tolist(), strict=True)
    mask[rows] = [service in services for service in ends]
    return mask


def _between(flows: Mapping[str, NDArray[Any]], hosts: Collection[str], peers: Collection[str]) -> NDArray[np.bool_]:
    forth = is_among(flows["src_ip"], hosts) & is_among(flows["dst_ip"], peers)
    back = is_among(flows["src_ip"], peers) & is_among(flows["dst_ip"], hosts)
    return forth | back


def _at_known_port(flows: Mapping[str, NDArray[Any]], ruleset: Ruleset) -> NDArray[np.bool_]:
    fixed = [port for requirement in ruleset.requirements for port in requirement.ports]
    dynamic = [port for port in np.unique(flows["dst_port"]).tolist() if ruleset.is_dynamic(port)]
    mask: NDArray[np.bool_] = np.isin(flows["dst_port"], fixed + dynamic) | np.isin(flows["src_port"], fixed)
    return mask


def _web_ports(ruleset: Ruleset) -> list[int]:
    """Return the ports of web servers: those with another port for HTTP or HTTPS, unlike that of file sharing."""
    rows = [
        requirement
        for requirement in ruleset.requirements
        if requirement.from_role == CLIENT and requirement.alternate_port
    ]
    return sorted({port for requirement in rows for port in requirement.ports})
