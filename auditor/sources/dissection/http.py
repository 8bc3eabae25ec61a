"""HTTP: requests, their status, and the roles that web paths show."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, NamedTuple

from auditor.ruleset.known_problems import StatusMeaning, lookup_status, roles_of_request, web_paths
from auditor.sources.dissection.packets import Connection, answered_side, connection_of
from auditor.sources.dissection.steps import Action, ProtocolStep, StepKind

if TYPE_CHECKING:
    from auditor.sources.dissection.tshark import DissectedPacket

FINAL, HTTP_ERROR = 200, 400  # a status below 200 only says that the response is still to come
CCM_POST = "CCM_POST"


class WebRequest(NamedTuple):
    """A request that shows the role of the server that received it.

    Attributes:
        shown_by: The beginning of the path, or the HTTP method.
    """

    client: str
    server: str
    port: int
    role: str
    shown_by: str


def requested(packet: DissectedPacket) -> str:
    """Return the URI that a packet asks for, empty if it is no request.

    tshark 4.4 and later show the URI in the response as well; only a request has a method.
    """
    return packet.first("http.request.uri") or "" if packet.first("http.request.method") else ""


def http_steps(packets: list[DissectedPacket]) -> Iterator[ProtocolStep]:
    """Yield the status of each request."""
    asked: dict[Connection, tuple[str, str]] = {}
    for packet in packets:
        ends = connection_of(packet)
        if method := packet.first("http.request.method"):
            asked[ends] = method, (packet.first("http.request.uri") or "").partition("?")[0]
        code = packet.number("http.response.code")
        if code is None or code < FINAL:
            continue
        method, path = asked.get(ends, ("", ""))
        step = Action(StepKind.REQUEST, f"{method} {path}".strip())
        meant = None if code < HTTP_ERROR else _failed_request(method, path, str(code))
        yield ProtocolStep(answered_side(packet), "http", step, packet.frame, str(code), meant)


def _failed_request(method: str, path: str, code: str) -> StatusMeaning:
    meant = lookup_status("http", code)
    if method == CCM_POST and code in ("400", "405", "501"):
        meant = meant._replace(meaning="the verb CCM_POST was refused, as by a proxy that does not know it")
    if not _of_site_system(method, path):
        meant = meant._replace(fatal=False, meaning=f"{meant.meaning} - if that is one: the path is not one of its own")
    return meant


def _of_site_system(method: str, path: str) -> bool:
    """Tell whether CCMSetup makes such a request of a site system; what other web servers answer is no matter."""
    return not path or method == CCM_POST or any(path.lower().startswith(web_path) for web_path in web_paths())


def web_requests(packets: list[DissectedPacket]) -> Iterator[WebRequest]:
    """Yield the requests whose path or method shows the role of the server.

    A request to a proxy has a whole address in place of the path: it shows no role of the proxy.
    """
    for packet in packets:
        method = packet.first("http.request.method") or ""
        for shown_by, role in roles_of_request(method, requested(packet)).items():
            yield WebRequest(packet.src, packet.dst, packet.dst_port, role, shown_by)
