"""Which packets are worth dissecting, and the dissection of all sources: stage 2 of an audit."""

from __future__ import annotations

import ipaddress
from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple

import pandas as pd

from auditor.roles import CLIENT, MANAGEMENT_POINT, SITE_SERVER, Cast
from auditor.ruleset import Ruleset
from auditor.said import Said, listen
from auditor.sources.dissect import dissect
from auditor.sources.extract import Wanted
from auditor.sources.reading import known_tunnels
from auditor.sources.source import Source
from auditor.tshark import find_tshark

HINT = "install Wireshark (or tshark) and run the audit again; auditor doctor tells whether it is found"
NOTHING = Said()


class Heard(NamedTuple):
    """What the dissectors told of each source, and why not all of them told, empty if they did."""

    said: tuple[Said, ...]
    obstacle: str


def hear(sources: Sequence[Source], cast: Cast, ruleset: Ruleset, tshark: Path | None) -> Heard:
    """Dissect what the hosts that play a role said to each other; says what is missing where that cannot be done."""
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
    table = source.flows
    tcp = table[(table["protocol"] == "tcp") & table["answer"].isin(("answered", "refused", "mid-stream", "one-sided"))]
    clients, servers = list(cast.clients), list(cast.addresses(SITE_SERVER))
    others = sorted({one.address for one in cast.assignments} - set(clients) - set(servers))
    pushes = _between(tcp, servers, clients)
    pushes = pushes[_known_port(pushes, ruleset)]
    fetches = _between(tcp, clients, others)
    web = tcp[tcp["src_ip"].isin(clients) & tcp["dst_port"].isin(_web_ports(ruleset))]
    near = [host for host in web["dst_ip"].unique() if MANAGEMENT_POINT not in cast.roles or not _on_the_internet(host)]
    fetches = pd.concat([fetches, web[web["dst_ip"].isin(near)]])  # their paths may show further roles
    chosen = pd.concat([pushes, fetches]).drop_duplicates("first_frame").sort_values("first_frame")
    rows: Any = chosen.itertuples()
    return [
        Wanted("tcp", row.src_ip, int(row.src_port), row.dst_ip, int(row.dst_port), int(row.first_frame))
        for row in rows
    ]


def _between(tcp: pd.DataFrame, first: list[str], second: list[str]) -> pd.DataFrame:
    forth = tcp["src_ip"].isin(first) & tcp["dst_ip"].isin(second)
    back = tcp["src_ip"].isin(second) & tcp["dst_ip"].isin(first)
    return tcp[forth | back]


def _on_the_internet(host: str) -> bool:
    return ipaddress.ip_address(host).is_global


def _known_port(flows: pd.DataFrame, ruleset: Ruleset) -> pd.Series:
    fixed = {port for requirement in ruleset.requirements for port in requirement.ports}
    known = [
        port in fixed or other in fixed or ruleset.is_dynamic(port)
        for port, other in zip(flows["dst_port"].tolist(), flows["src_port"].tolist(), strict=True)
    ]
    return pd.Series(known, index=flows.index, dtype=bool)


def _web_ports(ruleset: Ruleset) -> list[int]:
    """Return the ports of web servers: those with another port for HTTP or HTTPS, unlike that of file sharing."""
    rows = [one for one in ruleset.requirements if one.from_role == CLIENT and one.alternate_port]
    return sorted({port for requirement in rows for port in requirement.ports})
