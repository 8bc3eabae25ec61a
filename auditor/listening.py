"""Which packets are worth dissecting, and the dissection of all sources: stage 2 of an audit."""

from __future__ import annotations

import ipaddress
from collections.abc import Collection, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from auditor.flow_table import is_among
from auditor.roles import CLIENT, MANAGEMENT_POINT, SITE_SERVER, Cast
from auditor.ruleset import Ruleset
from auditor.said import Said, listen
from auditor.sources.extract import Wanted
from auditor.sources.reading import known_tunnels
from auditor.sources.source import Source
from auditor.tshark import find_tshark

HINT = "install Wireshark (or tshark) and run the audit again; auditor doctor tells whether it is found"
NOTHING = Said()
SPOKE = ("answered", "mid-stream", "one-way")  # answers of connections in which something was said


class Heard(NamedTuple):
    """What the dissectors told of each source, and why not all of them told, empty if they did."""

    said: tuple[Said, ...]
    obstacle: str


def hear(sources: Sequence[Source], cast: Cast, ruleset: Ruleset, tshark: Path | None) -> Heard:
    """Dissect what the hosts that play a role said to each other; says what is missing where that cannot be done."""
    from auditor.sources.dissect import dissect  # loads much that is not needed where only ports are judged

    program = tshark or find_tshark()
    if program is None:
        return Heard((NOTHING,) * len(sources), f"tshark was not found: {HINT}")
    said, obstacles = [], []
    for source in sources:
        if source.kind != "capture":
            said.append(NOTHING)
            continue
        found = dissect(Path(source.path), wanted(source, cast, ruleset), known_tunnels(), program)
        said.append(listen(found.told))
        if found.obstacle:
            obstacles.append(f"{source.path}: {found.obstacle}")
    return Heard(tuple(said), "; ".join(obstacles))


def wanted(source: Source, cast: Cast, ruleset: Ruleset) -> list[Wanted]:
    """Return the flows that may say something: between hosts that play a role, at ports that the ruleset knows."""
    flows = source.table.columns
    clients, servers = set(cast.clients), set(cast.addresses(SITE_SERVER))
    others = {one.address for one in cast.assignments} - clients - servers
    spoke = (flows["protocol"] == "tcp") & is_among(flows["response"], SPOKE)
    pushes = _between(flows, servers, clients) & _at_known_port(flows, ruleset)
    web = spoke & is_among(flows["src_ip"], clients) & np.isin(flows["dst_port"], _web_ports(ruleset))
    hosts = set(flows["dst_ip"][web].tolist())
    near = {host for host in hosts if MANAGEMENT_POINT not in cast.roles or not _on_the_internet(host)}
    fetches = _between(flows, clients, others) | (web & is_among(flows["dst_ip"], near))  # may show further roles
    chosen = np.flatnonzero(spoke & (pushes | fetches))
    return [
        Wanted("tcp", row["src_ip"], row["src_port"], row["dst_ip"], row["dst_port"], row["first_frame"])
        for row in source.table.rows(chosen[np.argsort(flows["first_frame"][chosen])])
    ]


def _between(flows: Mapping[str, NDArray[Any]], first: Collection[str], second: Collection[str]) -> NDArray[np.bool_]:
    forth = is_among(flows["src_ip"], first) & is_among(flows["dst_ip"], second)
    back = is_among(flows["src_ip"], second) & is_among(flows["dst_ip"], first)
    return forth | back


def _on_the_internet(host: str) -> bool:
    return ipaddress.ip_address(host).is_global


def _at_known_port(flows: Mapping[str, NDArray[Any]], ruleset: Ruleset) -> NDArray[np.bool_]:
    fixed = [port for requirement in ruleset.requirements for port in requirement.ports]
    dynamic = [port for port in np.unique(flows["dst_port"]).tolist() if ruleset.is_dynamic(port)]
    known: NDArray[np.bool_] = np.isin(flows["dst_port"], fixed + dynamic) | np.isin(flows["src_port"], fixed)
    return known


def _web_ports(ruleset: Ruleset) -> list[int]:
    """Return the ports of web servers: those with another port for HTTP or HTTPS, unlike that of file sharing."""
    rows = [one for one in ruleset.requirements if one.from_role == CLIENT and one.alternate_port]
    return sorted({port for requirement in rows for port in requirement.ports})
