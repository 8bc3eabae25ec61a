"""Traffic that has nothing to do with a push: kinds of contacts, and when they happen around a scene.

A *contact* is what one computer wants from another: who, whom, at which port, how it went, and when. It is neutral:
`packets_of` turns it into packets, `firewall_records.py` into what a firewall writes about it. A *kind* is a set of
contacts with a name; `KINDS` lists all of them. `placed` puts them before, during, or after a scene.

No kind holds a contact of the push itself (site server to client, client to management point, at the ports of a
push): that changes the verdicts of the push, and rightly so. For the same reason a computer that is off in a scene
stays off in the noise.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field, replace
from functools import lru_cache
from typing import NamedTuple

from hypothesis import strategies as st
from packets import At
from scenario import scene

FIRST_PORT = 50_000  # of those that contacts are made from; each contact has its own
PITCH = 0.02  # seconds between the contacts of a kind
LONGEST = 4.0  # seconds that a contact takes: the last SYN without a response is sent after three
GAP = 5.0  # seconds between a scene and what is before or after it
SCANNED = (21, 22, 80, 135, 139, 443, 445, 3389, 5985)
HIGH_RANGE = range(49_152, 50_000)
BEFORE, DURING, AFTER = "before", "during", "after"
PLACES = (BEFORE, DURING, AFTER)

ANSWERED, HALF_OPEN, REFUSED, SILENT, PROBED = "answered", "half-open", "refused", "silent", "probed"
OPENED_BEFORE, REJECTED = "opened before", "rejected"
OUTCOMES = {  # in the words of scenario.py
    "tcp": {
        ANSWERED: "SF",
        HALF_OPEN: "half-open",
        REFUSED: "REJ",
        SILENT: "S0",
        PROBED: "S0 once",
        OPENED_BEFORE: "mid-stream",
        REJECTED: "prohibited by {router}",
    },
    "udp": {ANSWERED: "answered", SILENT: "silent once"},
    "icmp": {ANSWERED: "answered", SILENT: "silent"},
}


def address(number: int, *, six: bool) -> str:
    """Return an address of the network where no computer of a scene is."""
    return f"fd20:9::{number:x}" if six else f"10.20.9.{number}"


@dataclass(frozen=True)
class Contact:
    """One computer turns to another.

    protocol: "tcp", "udp", "icmp", or "arp". port: 0 where there is none. how: "answered", "half-open" (a reset
    follows the SYN-ACK), "refused" (a reset), "silent" (no response to three packets), "probed" (to one), "opened
    before" (a connection without its beginning), or "rejected" (a router on the path sends an ICMP error).
    at: seconds since the first contact of its kind, or since the scene began.
    """

    src: str
    dst: str
    protocol: str
    port: int
    how: str
    at: float = 0.0


@dataclass(frozen=True)
class Hosts:
    """The computers of a scene. web: port of its management point. off: those that send nothing at all."""

    site_server: str
    client: str
    management_point: str
    web: int = 80
    off: frozenset[str] = frozenset()

    def stranger(self, number: int) -> str:
        """Return the address of a computer that is not in the scene."""
        return address(number, six=self.six)

    def of_other_family(self, number: int) -> str:
        """Return such an address of the other version of IP."""
        return address(number, six=not self.six)

    @property
    def six(self) -> bool:
        """Whether the scene is an IPv6 one."""
        return ":" in self.client


class Push(NamedTuple):
    """A push inside the noise."""

    site_server: str
    client: str
    blocked: bool


Contacts = list[Contact]
NO_PUSH: Callable[[Hosts], tuple[Push, ...]] = lambda _: ()  # noqa: E731 - a default that is called


@dataclass(frozen=True)
class Kind:
    """A kind of noise.

    pushes: the pushes in it. suspect: whether it fails something by itself: a push in it is blocked, or what cannot
    be distinguished from a blocked push; suspect_in_log: whether so much is left of it in the log of a single
    computer. guess: whether it may lead to a guess about the management point, where nothing but ports is known.
    """

    name: str
    contacts: Callable[[Hosts], Contacts] = field(repr=False)
    pushes: Callable[[Hosts], tuple[Push, ...]] = field(default=NO_PUSH, repr=False)
    suspect: bool = False
    suspect_in_log: bool = False
    guess: bool = False


# contacts


def tcp(src: str, dst: str, port: int, how: str = ANSWERED) -> Contact:
    return Contact(src, dst, "tcp", port, how)


def udp(src: str, dst: str, port: int, how: str = ANSWERED) -> Contact:
    return Contact(src, dst, "udp", port, how)


def ping(src: str, dst: str, how: str = ANSWERED) -> Contact:
    return Contact(src, dst, "icmp", 0, how)


def arp(src: str, dst: str, how: str = ANSWERED) -> Contact:
    return Contact(src, dst, "arp", 0, how)


def in_turn(contacts: Iterable[Contact], pitch: float = PITCH) -> Contacts:
    """Return the contacts one after another."""
    return [replace(contact, at=pitch * place) for place, contact in enumerate(contacts)]


def push(src: str, dst: str, server: str, web: int, *, blocked: bool = False) -> Contacts:
    """Return a push as a site server makes it, which the client follows at once by fetching from a web server.

    blocked: TCP 445 has no response, so nothing is installed.
    """
    contacts = in_turn(
        (
            ping(src, dst),
            tcp(src, dst, 445, SILENT if blocked else ANSWERED),
            tcp(src, dst, 135),
            tcp(src, dst, 49_670),
        ),
        pitch=0.3,
    )
    fetches = () if blocked else in_turn([tcp(dst, server, web)] * 2)
    return [*contacts, *(replace(fetch, at=contacts[-1].at + 0.01 + fetch.at) for fetch in fetches)]


def scan(src: str, dst: str, how: str, ports: Iterable[int] = SCANNED) -> Contacts:
    return in_turn(tcp(src, dst, port, how) for port in ports)


def logon(member: str, controller: str) -> Contacts:
    """Return what a domain member does at its domain controller."""
    return in_turn(
        (
            udp(member, controller, 53),
            udp(member, controller, 389),
            tcp(member, controller, 88),
            tcp(member, controller, 389),
            tcp(member, controller, 445),
            tcp(member, controller, 135),
            tcp(member, controller, 49_667),
        )
    )


def horizontal(src: str, targets: Iterable[str], how: str) -> Contacts:
    return in_turn(tcp(src, target, 445, how) for target in targets)


# kinds; the numbers of strangers are those of the list, so that kinds can be combined


def _sweep(hosts: Hosts, how: str) -> Contacts:
    others = [hosts.stranger(number) for number in range(200, 228)]
    return horizontal(hosts.stranger(60), [*others[:14], hosts.client, hosts.site_server, *others[14:]], how)


def _multicast(hosts: Hosts) -> Contacts:
    groups = ("ff02::fb", "ff02::c", "ff02::1:3") if hosts.six else ("224.0.0.251", "239.255.255.250", "224.0.0.252")
    ports = (5353, 1900, 5355)
    senders = (hosts.stranger(130), hosts.client, hosts.site_server)
    return in_turn(
        udp(sender, group, port, SILENT) for sender in senders for group, port in zip(groups, ports, strict=True)
    )


def _arp(hosts: Hosts) -> Contacts:
    near = hosts.stranger(131)
    others = [hosts.stranger(number) for number in range(132, 136)]
    return in_turn((*(arp(near, other, PROBED) for other in others), arp(hosts.client, near), arp(others[0], near)))


def _broadcast(_: Hosts) -> Contacts:
    """Only IPv4 has broadcasts, so these are IPv4 in every scene."""
    network, everywhere = "10.20.9.255", "255.255.255.255"
    return in_turn(
        udp("10.20.9.130", to, port, SILENT) for to, port in ((network, 137), (network, 138), (everywhere, 67))
    )


def _other_family(hosts: Hosts, *, blocked: bool) -> Contacts:
    src, dst, server = (hosts.of_other_family(number) for number in (95, 96, 97))
    return push(src, dst, server, hosts.web, blocked=blocked)


def _same_server(hosts: Hosts, *, blocked: bool) -> Contacts:
    return push(hosts.site_server, hosts.stranger(80), hosts.management_point, hosts.web, blocked=blocked)


def _same_client(hosts: Hosts, *, blocked: bool) -> Contacts:
    """The second site server's client is installed already, so it fetches nothing: that would be the first push."""
    contacts = push(hosts.stranger(85), hosts.client, hosts.management_point, hosts.web, blocked=blocked)
    return [contact for contact in contacts if contact.src != hosts.client]


def _elsewhere(hosts: Hosts, *, blocked: bool) -> Contacts:
    return push(hosts.stranger(90), hosts.stranger(91), hosts.stranger(92), hosts.web, blocked=blocked)


def _two_elsewhere(hosts: Hosts) -> Contacts:
    pushes = [push(hosts.stranger(90), hosts.stranger(client), hosts.stranger(92), hosts.web) for client in (91, 93)]
    return [replace(contact, at=contact.at + begin) for begin, contacts in enumerate(pushes) for contact in contacts]


def _file_sharing(hosts: Hosts) -> Contacts:
    members = [hosts.stranger(number) for number in range(110, 116)]
    return (
        horizontal(members[0], [hosts.stranger(109)], ANSWERED)
        + horizontal(hosts.stranger(116), [hosts.stranger(109)], ANSWERED)
        + in_turn((tcp(member, hosts.stranger(109), 445) for member in members[1:]), pitch=0.5)
    )


def _scans(name: str, number: int, target: Callable[[Hosts], str]) -> tuple[Kind, ...]:
    return tuple(
        Kind(f"scan of the {name}, {how}", lambda h, how=how: scan(h.stranger(number), target(h), how))
        for how in (HALF_OPEN, REFUSED, PROBED)
    )


KINDS: tuple[Kind, ...] = (
    Kind("console at a share of the site server", lambda h: [tcp(h.stranger(10), h.site_server, 445)]),
    Kind(
        "computer reads a package from the site server",
        lambda h: in_turn([tcp(h.stranger(11), h.site_server, 445)] * 3, pitch=0.4),
    ),
    Kind("client reads from the site server", lambda h: in_turn([tcp(h.client, h.site_server, 445)] * 2)),
    Kind("computer at the client's SMB", lambda h: [tcp(h.stranger(12), h.client, 445)]),
    Kind("computer dropped at the client's SMB", lambda h: [tcp(h.stranger(13), h.client, 445, SILENT)], suspect=True),
    Kind(
        "computer rejected at the client's SMB", lambda h: [tcp(h.stranger(16), h.client, 445, REJECTED)], suspect=True
    ),
    Kind(
        "shares that were opened before",
        lambda h: in_turn(
            tcp(src, dst, 445, OPENED_BEFORE)
            for src, dst in (
                (h.stranger(17), h.site_server),
                (h.client, h.stranger(15)),
                (h.stranger(18), h.stranger(15)),
            )
        ),
    ),
    Kind("site server at a file server", lambda h: in_turn([tcp(h.site_server, h.stranger(14), 445)] * 2)),
    Kind("client at a file server", lambda h: in_turn([tcp(h.client, h.stranger(15), 445)] * 2)),
    *_scans("client", 20, lambda h: h.client),
    *_scans("site server", 21, lambda h: h.site_server),
    Kind("scan of the client's high range, refused", lambda h: scan(h.stranger(22), h.client, REFUSED, HIGH_RANGE)),
    Kind("scan of the client's high range, probed", lambda h: scan(h.stranger(23), h.client, PROBED, HIGH_RANGE)),
    Kind("sweep of SMB, half-open", lambda h: _sweep(h, HALF_OPEN)),
    Kind("sweep of SMB, probed", lambda h: _sweep(h, PROBED), suspect_in_log=True),
    Kind("ping between strangers", lambda h: [ping(h.stranger(30), h.stranger(31))]),
    Kind("ping between strangers, silent", lambda h: [ping(h.stranger(32), h.stranger(33), SILENT)]),
    Kind("ping of the client", lambda h: [ping(h.stranger(34), h.client)]),
    Kind("ping of the client, silent", lambda h: [ping(h.stranger(35), h.client, SILENT)]),
    Kind("ping of the site server", lambda h: [ping(h.stranger(36), h.site_server)]),
    Kind("client pings the site server", lambda h: [ping(h.client, h.site_server)]),
    Kind("client pings the site server, silent", lambda h: [ping(h.client, h.site_server, SILENT)]),
    Kind(
        "push of the site server to another client",
        lambda h: _same_server(h, blocked=False),
        lambda h: (Push(h.site_server, h.stranger(80), blocked=False),),
    ),
    Kind(
        "blocked push of the site server to another client",
        lambda h: _same_server(h, blocked=True),
        lambda h: (Push(h.site_server, h.stranger(80), blocked=True),),
        suspect=True,
    ),
    Kind(
        "push of a second site server to the client",
        lambda h: _same_client(h, blocked=False),
        lambda h: (Push(h.stranger(85), h.client, blocked=False),),
    ),
    Kind(
        "blocked push of a second site server to the client",
        lambda h: _same_client(h, blocked=True),
        lambda h: (Push(h.stranger(85), h.client, blocked=True),),
        suspect=True,
    ),
    Kind(
        "push of a second site server to another client",
        lambda h: _elsewhere(h, blocked=False),
        lambda h: (Push(h.stranger(90), h.stranger(91), blocked=False),),
    ),
    Kind(
        "pushes of a second site server to two other clients",
        _two_elsewhere,
        lambda h: tuple(Push(h.stranger(90), h.stranger(client), blocked=False) for client in (91, 93)),
    ),
    Kind(
        "blocked push of a second site server to another client",
        lambda h: _elsewhere(h, blocked=True),
        lambda h: (Push(h.stranger(90), h.stranger(91), blocked=True),),
        suspect=True,
    ),
    Kind(
        "push over the other version of IP",
        lambda h: _other_family(h, blocked=False),
        lambda h: (Push(h.of_other_family(95), h.of_other_family(96), blocked=False),),
    ),
    Kind(
        "blocked push over the other version of IP",
        lambda h: _other_family(h, blocked=True),
        lambda h: (Push(h.of_other_family(95), h.of_other_family(96), blocked=True),),
        suspect=True,
    ),
    Kind("client at its domain controller", lambda h: logon(h.client, h.stranger(100))),
    Kind("site server at its domain controller", lambda h: logon(h.site_server, h.stranger(100))),
    Kind("stranger at a domain controller", lambda h: logon(h.stranger(101), h.stranger(100))),
    Kind("file sharing of strangers", _file_sharing),
    Kind(
        "client at other web servers",
        lambda h: in_turn(tcp(h.client, h.stranger(n), port) for n in (120, 121) for port in (80, 443)),
        guess=True,
    ),
    Kind("client at another web server", lambda h: in_turn([tcp(h.client, h.stranger(119), 80)] * 2), guess=True),
    Kind("client at a dead web server", lambda h: [tcp(h.client, h.stranger(122), h.web, SILENT)], guess=True),
    Kind(
        "stranger at the management point",
        lambda h: in_turn([tcp(h.stranger(123), h.management_point, h.web)] * 2),
    ),
    Kind("strangers at web servers", lambda h: in_turn(tcp(h.stranger(n), h.stranger(120), 80) for n in (124, 125))),
    Kind(
        "DNS",
        lambda h: in_turn(udp(asker, h.stranger(126), 53) for asker in (h.client, h.site_server, h.stranger(127))),
    ),
    Kind("client asks the management point for names", lambda h: [udp(h.client, h.management_point, 53)]),
    Kind("NTP", lambda h: in_turn(udp(asker, h.stranger(126), 123) for asker in (h.client, h.site_server))),
    Kind("multicast", _multicast),
    Kind("broadcast", _broadcast),
    Kind("address resolution", _arp),
    Kind(
        "stranger asks for an absent neighbor",
        lambda h: in_turn([arp(h.stranger(136), h.stranger(137), SILENT)]),
        suspect=True,
    ),
    Kind(
        "site server at other ports of the client",
        lambda h: in_turn(tcp(h.site_server, h.client, port) for port in (2701, 3389, 5985)),
    ),
    Kind(
        "site server at other ports of the client, silent",
        lambda h: in_turn(tcp(h.site_server, h.client, port, SILENT) for port in (2701, 3389, 5985)),
    ),
    Kind(
        "remote desktop",
        lambda h: in_turn((tcp(h.stranger(128), h.client, 3389), tcp(h.stranger(128), h.site_server, 3389))),
    ),
    Kind(
        "remote desktop, silent",
        lambda h: in_turn((tcp(h.stranger(128), h.client, 3389, SILENT), tcp(h.client, h.stranger(129), 3389, SILENT))),
    ),
    Kind(
        "SQL Server",
        lambda h: in_turn(tcp(caller, h.stranger(140), 1433) for caller in (h.site_server, h.stranger(141))),
    ),
    Kind("client at a web server on a port of its own", lambda h: in_turn([tcp(h.client, h.stranger(118), 8081)] * 2)),
    Kind(
        "client at other services of the management point",
        lambda h: in_turn(tcp(h.client, h.management_point, port) for port in (1433, 3389, 10123)),
    ),
    Kind(
        "client at other services of the management point, silent",
        lambda h: in_turn(tcp(h.client, h.management_point, port, SILENT) for port in (1433, 3389, 10123)),
    ),
    Kind(
        "strangers at another port of the management point",
        lambda h: in_turn(
            tcp(h.stranger(n), h.management_point, 8081, how) for n, how in ((117, ANSWERED), (116, SILENT))
        ),
    ),
)


# when, and for whom


def possible(contacts: Iterable[Contact], hosts: Hosts) -> Contacts:
    """Return what happens of the contacts: a computer that is off begins none, and responds to none.

    Where the client is off, the site server may not be able to send it anything, so it does not.
    """
    return [
        replace(contact, how=SILENT) if contact.dst in hosts.off else contact
        for contact in contacts
        if contact.src not in hosts.off and not (contact.src == hosts.site_server and contact.dst in hosts.off)
    ]


def placed(contacts: Sequence[Contact], place: str, length: float, gap: float = GAP) -> Contacts:
    """Return the contacts at times since the scene began. length: seconds that the scene takes."""
    if place == DURING:
        share = length / (len(contacts) + 1)
        return [replace(contact, at=share * (number + 1)) for number, contact in enumerate(contacts)]
    latest = max((contact.at for contact in contacts), default=0.0)
    begin = length + gap if place == AFTER else -latest - LONGEST - gap
    return [replace(contact, at=begin + contact.at) for contact in contacts]


def noise(kind: Kind, hosts: Hosts, place: str, length: float, gap: float = GAP) -> Contacts:
    """Return the contacts of a kind around a scene, in order of time."""
    return sorted(placed(possible(kind.contacts(hosts), hosts), place, length, gap), key=lambda contact: contact.at)


def kinds(**only: bool) -> st.SearchStrategy[Kind]:
    """Return a strategy for kinds, or those that have these properties (suspect=False)."""
    return st.sampled_from([kind for kind in KINDS if all(getattr(kind, name) == has for name, has in only.items())])


def places() -> st.SearchStrategy[str]:
    return st.sampled_from(PLACES)


def gaps() -> st.SearchStrategy[float]:
    """Return a strategy for seconds between a scene and the noise, from no time at all to longer than a push."""
    return st.sampled_from((0.0, 0.5, GAP, 70.0, 400.0))


# packets


def packets_of(contacts: Sequence[Contact], first_port: int = FIRST_PORT) -> list[At]:
    """Return the packets of contacts in order of time, each contact from a port of its own."""
    packets = [
        packet._replace(seconds=packet.seconds + contact.at)
        for number, contact in enumerate(contacts)
        for packet in _packets(replace(contact, at=0.0), first_port + number)
    ]
    return sorted(packets, key=lambda packet: packet.seconds)


@lru_cache(maxsize=50_000)
def _packets(contact: Contact, src_port: int) -> tuple[At, ...]:
    if contact.protocol == "arp":
        how = {ANSWERED: " answered", PROBED: " once", SILENT: ""}[contact.how]
        return tuple(scene([f"0 {contact.src} asks {contact.dst}{how}"]))
    ports = (0, 0) if contact.protocol == "icmp" else (src_port, contact.port)
    who = " > ".join(_end(*end) for end in zip((contact.src, contact.dst), ports, strict=True))
    outcome = OUTCOMES[contact.protocol][contact.how].format(router=address(254, six=":" in contact.src))
    return tuple(scene([f"0 {who}/{contact.protocol} {outcome}"]))


def _end(address: str, port: int) -> str:
    if not port:
        return address
    return f"[{address}]:{port}" if ":" in address else f"{address}:{port}"
