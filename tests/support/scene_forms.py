"""The forms in which the traffic of a scene can be at hand: its captures, and the logs and events of its computers.

The lab has captures of every scene, and a firewall log of two. What the firewall of a computer writes about the
others follows from the flows of the capture and from the truth of the scene: what arrived and was let in is allowed,
what the client's own firewall dropped is dropped, and what never arrived is not in its log.

Where the logs of both ends are at hand, each goes on all the time, as real ones do: what is missing from one says
something only then.
"""

from __future__ import annotations

import tomllib
from collections.abc import Callable, Iterator, Sequence
from datetime import UTC, datetime
from functools import cache
from pathlib import Path
from typing import Any

from capture_file import CaptureFile, sender, taken_apart
from firewall_records import ALLOW, DROP, RECEIVE, SEND, Record, events, pfirewall, records_of
from noise import Contact, Hosts, packets_of
from numpy import arange
from packets import At
from places import SAMPLES
from scenes import SCENES, Scene

import auditor
from auditor.report import model as r

ONE_DIRECTION = "outgoing-only"  # the scene in which only what the site server sent was captured
ENDS_EARLY = "ended-after-first-syn"  # the scene whose truth is that the capture ends too early
GOES_ON = 0.2  # seconds that the capture of that scene may take longer
WAITS = (0, 1, 3)  # seconds after which the computers of the lab send a SYN again
SITE_SERVER, CLIENT, MANAGEMENT_POINT = "site-server", "client", "management-point"
OTHERS, OTHERS_V6 = ("10.20.8.53", "10.20.8.9"), ("2001:db8:8::53", "2001:db8:8::9")  # a name server, a neighbor
APART = 20.0  # seconds
LAB_ZONE = "+05:30"  # of the clients that wrote a log

Added = Callable[[float], Sequence[Contact]]  # contacts at times since a source begins, by its length in seconds
Files = list[bytes]
Form = Callable[[Scene, Added], Files | None]  # the files of a scene with contacts added; None if it has no such files


@cache
def hosts_of(name: str) -> Hosts:
    """Return the computers of a scene. Those that are off, as far as the scene shows, are off in the noise too."""
    scene = named(name)
    roles = {MANAGEMENT_POINT: "10.20.3.80"} | scene.known["roles"]
    off = {
        roles[MANAGEMENT_POINT if MANAGEMENT_POINT in row else CLIENT]
        for row, verdict in scene.truth["requirements"].items()
        if verdict in (r.NO_RESPONSE, r.UNREACHABLE)
    }
    web = [
        flow.dst_port for flow in _flows(name) if (flow.src_ip, flow.dst_ip) == (roles[CLIENT], roles[MANAGEMENT_POINT])
    ]
    ports = [port for port in web if isinstance(port, int)]
    return Hosts(roles[SITE_SERVER], roles[CLIENT], roles[MANAGEMENT_POINT], (ports or [80])[-1], frozenset(off))


def named(name: str) -> Scene:
    return next(scene for scene in SCENES if scene.name == name)


def nothing(_: float) -> tuple[Contact, ...]:
    """Add no contacts."""
    return ()


# captures


def captures(scene: Scene, added: Added) -> Files:
    """Return the captures of a scene with the packets of contacts in them, each at its own clock."""
    parts = [taken_apart(capture) for capture in scene.captures]
    return [part.with_packets(_captured(scene, part, packets_of(added(part.length)))) for part in parts]


def _captured(scene: Scene, part: CaptureFile, packets: list[At]) -> list[At]:
    """Return the packets that the capture of a scene can hold."""
    if scene.name == ONE_DIRECTION:
        return [packet for packet in packets if sender(packet.packet) == scene.known["roles"][SITE_SERVER]]
    if scene.name == ENDS_EARLY:
        return [packet for packet in packets if packet.seconds <= part.length + GOES_ON]
    return packets


# logs and events


def log_of_client(scene: Scene, added: Added) -> Files | None:
    """Return the firewall log of the client."""
    return _written(scene, added, (CLIENT,), lambda records, _: pfirewall(records))


def logs_of_both(scene: Scene, added: Added) -> Files | None:
    """Return the firewall logs of the site server and the client."""
    return _written(scene, added, (SITE_SERVER, CLIENT), lambda records, _: pfirewall(records))


def events_of_client(scene: Scene, added: Added) -> Files | None:
    """Return the Security events of the client as JSON."""
    return _written(scene, added, (CLIENT,), events)


def events_of_both(scene: Scene, added: Added) -> Files | None:
    """Return the Security events of the site server and the client as JSON."""
    return _written(scene, added, (SITE_SERVER, CLIENT), events)


def _written(
    scene: Scene, added: Added, roles: Sequence[str], write: Callable[[list[Record], str], bytes]
) -> Files | None:
    """Return what the firewalls of some computers write; a computer that is off writes nothing."""
    own = {role: records for role in roles if (records := own_records(scene.name, role))}
    if not own:
        return None
    begin = min(record.time for records in own.values() for record in records)
    length = max(record.time for records in own.values() for record in records) - begin
    contacts = added(length)
    written = []
    for role, records in own.items():
        computer = scene.known["roles"][role]
        others = _others(computer, begin, begin + length) if len(roles) > 1 else ()
        every = [*records, *records_of(contacts, computer, begin), *others]
        written.append(write(every, f"{role}.contoso.example"))
    return written


def _others(computer: str, begin: float, end: float) -> Iterator[Record]:
    """Yield what goes on at a computer all the time: it asks a name server, and drops what a neighbor asks it."""
    server, neighbor = OTHERS_V6 if ":" in computer else OTHERS
    for number, time in enumerate(arange(begin - 60, end + 60, APART)):
        yield Record(time, ALLOW, SEND, "udp", computer, 50_000 + number, server, 53)
        yield Record(time + APART / 2, DROP, RECEIVE, "udp", neighbor, 50_000 + number, computer, 5355)


@cache
def own_records(name: str, role: str) -> tuple[Record, ...]:
    """Return what the firewall of the site server or the client writes about the scene itself."""
    scene, hosts = named(name), hosts_of(name)
    computer = scene.known["roles"][role]
    if computer in hosts.off:
        return ()
    if role == CLIENT and scene.logs:
        return tuple(record for path in scene.logs for record in _lab_log(path))
    return tuple(
        record for flow in _flows(name, role) for record in _records_of_flow(flow, computer, _drops(name, role))
    )


def _drops(name: str, role: str) -> bool:
    """Tell whether the client's own firewall dropped what has no response in the capture."""
    taken_at = tomllib.loads((SAMPLES / f"{name}.toml").read_text(encoding="utf-8"))["taken_at"]
    return role == CLIENT and (CLIENT in taken_at or named(name).truth["blocked_at"] == CLIENT)


def _flows(name: str, role: str = "") -> list[Any]:
    """Return the flows of a scene, as a computer saw them if a capture was taken there, or else the other end."""
    paths = named(name).captures
    (path,) = [path for path in paths if Path(path).stem.endswith(f"-{role}")] if role and len(paths) > 1 else paths[:1]
    return list(auditor.read(path).flows.astype(object).itertuples())


def _records_of_flow(flow: Any, computer: str, drops: bool) -> Iterator[Record]:
    ends = (flow.protocol, flow.src_ip, _port(flow.src_port), flow.dst_ip, _port(flow.dst_port))
    begin = flow.start.timestamp()
    if flow.src_ip == computer:
        yield Record(begin, ALLOW, SEND, *ends)
    elif flow.dst_ip == computer and flow.response in ("answered", "one-way"):
        yield Record(begin, ALLOW, RECEIVE, *ends)
    elif flow.dst_ip == computer and flow.response == "no-response" and drops:
        yield from (Record(begin + after, DROP, RECEIVE, *ends) for after in WAITS[: flow.frames_src])


def _port(port: object) -> int:
    return port if isinstance(port, int) else 0


def _lab_log(path: str) -> Iterator[Record]:
    """Yield the records of a log that the lab wrote, in UTC."""
    for line in Path(path).read_text(encoding="ascii").splitlines():
        if line and not line.startswith("#"):
            day, time, action, protocol, src, dst, src_port, dst_port, *_, direction = line.split()
            moment = datetime.fromisoformat(f"{day}T{time}{LAB_ZONE}").astimezone(UTC).timestamp()
            ports = [int(port) if port != "-" else 0 for port in (src_port, dst_port)]
            yield Record(moment, action, direction, protocol.lower(), src, ports[0], dst, ports[1])


FORMS: dict[str, Form] = {
    "capture": captures,
    "log": log_of_client,
    "logs of both ends": logs_of_both,
    "events": events_of_client,
    "events of both ends": events_of_both,
}
