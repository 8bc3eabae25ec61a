"""What the sources cannot show, in sentences for the head of the report."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from auditor.report import model as r
from auditor.ruleset.addresses import is_public
from auditor.ruleset.lint import CLIENT, MANAGEMENT_POINT, SITE_SERVER
from auditor.ruleset.ruleset import Ruleset
from auditor.ruleset.statements import say
from auditor.sources.flows.table import is_among
from auditor.sources.source import CAPTURE, WITHOUT_FLOWS, Source
from auditor.verdicts.dissect import SPOKE, DissectionResult
from auditor.verdicts.installations.roles import RoleMap

# Of warnings about sources that were read whole, and still cannot show everything.
LIMITING_CODES = frozenset(
    ("folded", "ipsec", "long-flow", "lost-events", "malformed-lines", "no-ip", "no-times", "no-zone", "tunnel")
)

MOST_CONNECTIONS = 3  # that may be to a management point


def limitations(
    sources: Sequence[Source],
    role_map: RoleMap,
    clients: Sequence[r.ClientReport],
    ruleset: Ruleset,
    dissection: DissectionResult | None,
) -> tuple[r.Limitation, ...]:
    """Return every limitation of this audit, the gravest first."""
    verdicts = [verdict for client in clients for method in client.methods for verdict in method.requirements]
    all_limitations = [*_nobody(sources, role_map), *_absent(sources, role_map), *_swapped(sources, role_map, ruleset)]
    all_limitations += [r.Limitation("uncertain-role", text) for text in role_map.notes]
    all_limitations += [*_warned(sources), *_of_logs(sources, verdicts)]
    captured = any(source.kind == CAPTURE for source in sources)
    if any(map(_may_be_closed, verdicts)):
        all_limitations.append(_limitation("no-response-ambiguous"))
    if captured and _one_end(clients):
        all_limitations += _no_management_point(sources, role_map, ruleset)
    return tuple(dict.fromkeys((*all_limitations, *_of_dissection(clients, ruleset, dissection, sources))))


def _may_be_closed(verdict: r.RequirementVerdict) -> bool:
    """Tell whether a closed port would look the same as this block."""
    return verdict.verdict == r.BLOCKED and verdict.confidence == r.LIKELY and not verdict.is_response_lost


def _limitation(code: str, kind: str = "", /, **fields: object) -> r.Limitation:
    """Return a limitation, worded by the template of its code, or of its kind if one code has several."""
    return r.Limitation(code, say(f"limitation.{kind or code}", **fields))


def _of_dissection(
    clients: Sequence[r.ClientReport],
    ruleset: Ruleset,
    dissection: DissectionResult | None,
    sources: Sequence[Source],
) -> Iterator[r.Limitation]:
    """Yield what is not known because not all that was said on the ports was read."""
    captured = any(source.kind == CAPTURE for source in sources)
    traffic = any(source.kind not in WITHOUT_FLOWS for source in sources)
    if dissection is not None and dissection.error:
        yield _limitation("not-dissected", error=dissection.error)
    elif dissection is not None and captured:
        return
    if any(_depends_on_interface(method, ruleset) for client in clients for method in client.methods):
        yield _limitation("interfaces-unknown")
    if traffic:
        yield _limitation("ports-only")


def _depends_on_interface(method: r.MethodResult, ruleset: Ruleset) -> bool:
    """Tell whether a method can have another result if a dynamic port belongs to another RPC interface."""
    reasons = {reason.requirement for reason in method.reasons}
    return any(
        verdict.attempts and verdict.verdict in r.PASSING | r.FAILING and _is_dynamic(verdict, ruleset)
        for verdict in method.requirements
        if method.result != r.FAILS or verdict.id in reasons
    )


def _nobody(sources: Sequence[Source], role_map: RoleMap) -> Iterator[r.Limitation]:
    if not role_map.clients:
        without_traffic = all(source.kind in WITHOUT_FLOWS for source in sources)
        yield _limitation("no-client", "no-client-in-logs") if without_traffic else _limitation("no-client")
    elif SITE_SERVER not in role_map.roles and not role_map.judged:
        yield _limitation("no-site-server")


def _absent(sources: Sequence[Source], role_map: RoleMap) -> list[r.Limitation]:
    """Return a limitation for each host that was named for a role and does not occur at all."""
    configured = {
        assignment.address: assignment.role for assignment in role_map.assignments if assignment.how == "given"
    }
    if not configured:
        return []
    present = {requests.target for source in sources for requests in source.details.asked}
    present |= {address for address in configured for source in sources if address in source.details.heard}
    for source in sources:
        for end in ("dst_ip",) if source.kind == CAPTURE else ("src_ip", "dst_ip"):
            present |= configured.keys() & set(source.table.columns[end].tolist())
    return [
        _limitation("role-not-in-sources", address=address, role=role.replace("-", " "))
        for address, role in configured.items()
        if address not in present
    ]


def _swapped(sources: Sequence[Source], role_map: RoleMap, ruleset: Ruleset) -> list[r.Limitation]:
    """Return a limitation when the computer named as client pushes to the one named as site server."""
    rows = [
        requirement
        for requirement in ruleset.requirements
        if (requirement.from_role, requirement.to_role) == (SITE_SERVER, CLIENT)
    ]
    ports = {port for row in rows if row.protocol == "tcp" for port in row.ports}
    servers, clients = (
        {assignment.address for assignment in role_map.assignments if assignment.role == role}
        for role in (SITE_SERVER, CLIENT)
    )
    pairs = {pair for source in sources for pair in _ends(source, ports)}
    if any(src in servers and dst in clients for src, dst in pairs):
        return []
    swapped = sorted(pair for pair in pairs if pair[0] in clients and pair[1] in servers)
    return [_limitation("roles-swapped", client=client, server=server) for client, server in swapped[:1]]


def _ends(source: Source, ports: Collection[int]) -> set[tuple[str, str]]:
    """Return who tried to reach whom at these ports."""
    columns = source.table.columns
    mask = np.isin(columns["dst_port"], list(ports))
    return set(zip(columns["src_ip"][mask].tolist(), columns["dst_ip"][mask].tolist(), strict=True))


def _warned(sources: Sequence[Source]) -> Iterator[r.Limitation]:
    codes = r.INCOMPLETE_CODES | LIMITING_CODES
    for source in sources:
        limiting = (warning for warning in source.warnings if warning.code in codes)
        for warning in limiting:
            text = say("limitation.warning", path=source.path, text=warning.text)
            yield r.Limitation(warning.code, text)


def _of_logs(sources: Sequence[Source], verdicts: Sequence[r.RequirementVerdict]) -> Iterator[r.Limitation]:
    """Yield what the logs among the sources cannot show."""
    for source in sources:
        yield from _of_log(source)
    if any(source.details.facts is not None for source in sources):
        yield _limitation("log-misses-entries")
    if any(verdict.verdict == r.ALLOWED for verdict in verdicts):
        yield _limitation("allowed-only")


def _of_log(source: Source) -> Iterator[r.Limitation]:
    facts = source.details.facts
    if facts is None:
        return
    if not facts.drops:
        yield _limitation("drops-not-logged", path=source.path)
    if not facts.allows:
        yield _limitation("connections-not-logged", path=source.path)
    if source.clock == "local":
        yield _limitation("local-time", path=source.path)


def _one_end(clients: Sequence[r.ClientReport]) -> bool:
    """Tell whether a push got through but nothing that its clients sent to a management point was seen.

    A push that fails before does not come to that.
    """
    for client in clients:
        if any(method.result == r.FAILS for method in client.methods):
            continue
        rows = [
            verdict for method in client.methods for verdict in method.requirements if verdict.necessity == "required"
        ]
        pushed = any(row.source.role == SITE_SERVER and row.attempts for row in rows)
        fetched = any(row.source.role == CLIENT and row.attempts for row in rows)
        if pushed and not fetched:
            return True
    return False


def _no_management_point(sources: Sequence[Source], role_map: RoleMap, ruleset: Ruleset) -> Iterator[r.Limitation]:
    """Yield why nothing shows that a client reached its management point; nothing if the rows themselves say it."""
    reached = {service for source in sources for service in _reached(source, role_map)}
    if not {server for _, server, _ in reached}.isdisjoint(role_map.addresses(MANAGEMENT_POINT)):
        return
    code = "no-management-point"
    if not reached:
        tried = sorted({service for source in sources for service in _tried(source, role_map)})
        if tried:
            client, server, port = tried[0]
            yield _limitation(code, "management-point-silent", client=client, server=server, port=port)
        elif MANAGEMENT_POINT in role_map.roles or not _are_summaries(
            sources
        ):  # which keep what goes to named ones only
            yield _limitation("site-server-only")
        return
    custom = sorted(service for service in reached if ruleset.may_be_custom(service[2]) and not is_public(service[1]))
    if MANAGEMENT_POINT in role_map.roles or not custom:
        yield _limitation(code, "no-management-point-among")
        return
    for client, server, port in custom[:MOST_CONNECTIONS]:
        yield _limitation(code, "management-point-port", client=client, server=server, port=port)


def _are_summaries(sources: Sequence[Source]) -> bool:
    return all(hasattr(source.details, "contacts") for source in sources)


def _tried(source: Source, role_map: RoleMap) -> set[tuple[str, str, int]]:
    """Return the clients in a source that tried to reach a management point, which one, and the port."""
    columns = source.table.columns
    mask = (columns["protocol"] == "tcp") & is_among(columns["src_ip"], role_map.clients)
    mask &= is_among(columns["dst_ip"], role_map.addresses(MANAGEMENT_POINT))
    return _services(columns, mask)


def _reached(source: Source, role_map: RoleMap) -> set[tuple[str, str, int]]:
    """Return the clients in a source that connect to another computer than the site server, to which, and the port."""
    columns = source.table.columns
    mask = (columns["protocol"] == "tcp") & is_among(columns["src_ip"], role_map.clients)
    mask &= ~is_among(columns["dst_ip"], role_map.addresses(SITE_SERVER)) & is_among(columns["response"], SPOKE)
    return _services(columns, mask)


def _services(columns: Mapping[str, NDArray[Any]], mask: NDArray[np.bool_]) -> set[tuple[str, str, int]]:
    """Return originator, responder, and port of the flows that are chosen."""
    rows = np.flatnonzero(mask)
    names = ("src_ip", "dst_ip", "dst_port")
    return set(zip(*(columns[name][rows].tolist() for name in names), strict=True))


def _is_dynamic(verdict: r.RequirementVerdict, ruleset: Ruleset) -> bool:
    return ruleset.requirement(verdict.id).dynamic
