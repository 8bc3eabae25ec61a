"""What the sources cannot show, in sentences for the head of the report."""

from __future__ import annotations

from collections.abc import Collection, Sequence

import numpy as np

from auditor import report as r
from auditor.addresses import is_public
from auditor.flow_table import is_among
from auditor.listening import SPOKE, Heard
from auditor.roles import Cast
from auditor.ruleset import Ruleset
from auditor.ruleset_lint import CLIENT, MANAGEMENT_POINT, SITE_SERVER
from auditor.sources.source import CAPTURE, Source

# Of warnings about sources that were read whole, and still cannot show everything.
LIMITING_CODES = frozenset(
    ("folded", "ipsec", "long-flow", "lost-events", "malformed-lines", "no-ip", "no-times", "no-zone", "tunnel")
)

MOST_CONNECTIONS = 3  # that may be to a management point


def limitations(
    sources: Sequence[Source],
    cast: Cast,
    clients: Sequence[r.ClientReport],
    ruleset: Ruleset,
    heard: Heard | None,
) -> tuple[str, ...]:
    """Return every limitation of this audit, the gravest first."""
    found = [*_nobody(cast), *_absent(sources, cast), *_swapped(sources, cast, ruleset), *cast.notes, *_warned(sources)]
    verdicts = [one for client in clients for method in client.methods for one in method.requirements]
    found += _of_logs(sources, verdicts)
    if _silent_blocks(verdicts):
        found.append(
            "A Windows computer whose firewall is on is as silent about a port on which nobody listens as about a "
            "blocked one: where silence is the evidence, check also that the service runs."
        )
    if _one_end(clients) and any(source.kind == CAPTURE for source in sources):
        found += _no_management_point(sources, cast, ruleset)
    captured = any(source.kind == CAPTURE for source in sources)
    if heard is not None and not heard.obstacle and captured:
        return tuple(dict.fromkeys(found))
    if heard is not None and heard.obstacle:
        found.append(f"Not everything that was said on the ports could be read: {heard.obstacle}.")
    if any(one.attempts and one.verdict in r.GOOD | r.BAD and _is_dynamic(one, ruleset) for one in verdicts):
        found.append(
            "Which dynamic port belongs to which RPC interface was not looked up: ports of the dynamic range, used "
            "soon after the endpoint mapper answered, were taken for those of the push."
        )
    found.append(
        "Only ports were judged, not what was said on them: an open port can still fail (wrong password, missing "
        "share, HTTP error)."
    )
    return tuple(dict.fromkeys(found))


def _nobody(cast: Cast) -> list[str]:
    if not cast.clients:
        return [
            "No client installation is in these sources: no computer connects to another as a push does. Name the "
            "computers to audit anyway: --role client=ADDRESS --role site-server=ADDRESS."
        ]
    if SITE_SERVER not in cast.roles:
        return ["No site server is known, so nothing of a push can be judged. Name it: --role site-server=ADDRESS."]
    return []


def _absent(sources: Sequence[Source], cast: Cast) -> list[str]:
    """Return a sentence on each host that was named for a role and does not occur at all."""
    given = {one.address: one.role for one in cast.assignments if one.how == "given"}
    if not given:
        return []
    present = {one.target for source in sources for one in source.details.asked}
    present |= {address for address in given for source in sources if address in source.details.heard}
    for source in sources:
        for end in ("dst_ip",) if source.kind == CAPTURE else ("src_ip", "dst_ip"):
            present |= given.keys() & set(source.table.columns[end].tolist())
    return [
        f"{address}, named as {role.replace('-', ' ')}, does not occur in these sources: is that its address?"
        for address, role in given.items()
        if address not in present
    ]


def _swapped(sources: Sequence[Source], cast: Cast, ruleset: Ruleset) -> list[str]:
    """Return a sentence when the computer named as client pushes to the one named as site server."""
    rows = [one for one in ruleset.requirements if (one.from_role, one.to_role) == (SITE_SERVER, CLIENT)]
    ports = {port for one in rows if one.protocol == "tcp" for port in one.ports}
    servers, clients = ({one.address for one in cast.assignments if one.role == role} for role in (SITE_SERVER, CLIENT))
    pairs = {pair for source in sources for pair in _ends(source, ports)}
    if any(src in servers and dst in clients for src, dst in pairs):
        return []
    return [
        f"{src}, named as client, connects to {dst}, named as site server, as a push does: are the two swapped? Try "
        f"--role site-server={src} --role client={dst}."
        for src, dst in sorted(pair for pair in pairs if pair[0] in clients and pair[1] in servers)
    ][:1]


def _ends(source: Source, ports: Collection[int]) -> set[tuple[str, str]]:
    """Return who tried to reach whom at these ports."""
    columns = source.table.columns
    which = np.isin(columns["dst_port"], list(ports))
    return set(zip(columns["src_ip"][which].tolist(), columns["dst_ip"][which].tolist(), strict=True))


def _warned(sources: Sequence[Source]) -> list[str]:
    codes = r.INCOMPLETE_CODES | LIMITING_CODES
    return [
        f"{source.path}: {warning.text}" for source in sources for warning in source.warnings if warning.code in codes
    ]


def _of_logs(sources: Sequence[Source], verdicts: Sequence[r.RequirementVerdict]) -> list[str]:
    """Return what the logs among the sources cannot show."""
    found = []
    for source in sources:
        if source.details.facts is None:
            continue
        if not source.details.facts.drops:
            found.append(
                f"{source.path} holds nothing that was dropped: nothing was, or that is not logged there, so it cannot "
                "show what is blocked."
            )
        if not source.details.facts.allows:
            found.append(
                f"{source.path} holds nothing that was let through: that is not logged there, so what got through is "
                "not in it."
            )
        if source.clock == "local":
            found.append(
                f"The times of {source.path} are local ones, and it does not say of which zone: --tz ZONE tells."
            )
    if any(source.kind != CAPTURE for source in sources):
        found.append(
            "What is missing from a log proves nothing: Windows does not log what it drops where nobody listens, and "
            "may lose events."
        )
    if any(one.verdict == r.ALLOWED for one in verdicts):
        found.append(
            '"Allowed" means that one firewall let it through. Whether another one did, and whether it was answered, a '
            "log does not show."
        )
    return found


def _silent_blocks(verdicts: Sequence[r.RequirementVerdict]) -> bool:
    return any(one.verdict == r.BLOCKED and one.confidence == r.LIKELY for one in verdicts)


def _one_end(clients: Sequence[r.ClientReport]) -> bool:
    """Tell whether a push got through but nothing that its clients sent to a management point was seen.

    A push that fails before does not come to that.
    """
    for client in clients:
        if any(method.result == r.FAILS for method in client.methods):
            continue
        rows = [one for method in client.methods for one in method.requirements if one.necessity == "required"]
        pushed = any(one.source.role == SITE_SERVER and one.attempts for one in rows)
        fetched = any(one.source.role == CLIENT and one.attempts for one in rows)
        if pushed and not fetched:
            return True
    return False


def _no_management_point(sources: Sequence[Source], cast: Cast, ruleset: Ruleset) -> list[str]:
    """Return why nothing shows that a client reached its management point; nothing if the rows themselves say it."""
    reached = {service for source in sources for service in _reached(source, cast)}
    if any(server in cast.addresses(MANAGEMENT_POINT) for _, server, _ in reached):
        return []
    missing = "Nothing from the client to a management point is in these sources"
    if not reached:
        return [f"{missing}. A capture taken at the site server cannot show it: take one at the client too."]
    custom = sorted(one for one in reached if ruleset.may_be_custom(one[2]) and not is_public(one[1]))
    if MANAGEMENT_POINT in cast.roles or not custom:
        return [f"{missing}, although they show other connections of the client."]
    return [
        f"{missing}, but {client} connects to {server} on TCP {port}. If that is the management point: "
        f"--role management-point={server} --port http={port}."
        for client, server, port in custom[:MOST_CONNECTIONS]
    ]


def _reached(source: Source, cast: Cast) -> set[tuple[str, str, int]]:
    """Return the clients in a source that connect to another computer than the site server, to which, and the port."""
    columns = source.table.columns
    which = (columns["protocol"] == "tcp") & is_among(columns["src_ip"], cast.clients)
    which &= ~is_among(columns["dst_ip"], cast.addresses(SITE_SERVER)) & is_among(columns["response"], SPOKE)
    rows = np.flatnonzero(which)
    names = ("src_ip", "dst_ip", "dst_port")
    return set(zip(*(columns[name][rows].tolist() for name in names), strict=True))


def _is_dynamic(verdict: r.RequirementVerdict, ruleset: Ruleset) -> bool:
    return ruleset.requirement(verdict.id).dynamic
