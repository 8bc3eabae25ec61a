"""Which client pushes may be in the sources: every pair of hosts of which one contacts the other as a push does.

A pair is told by its own traffic, so nothing that other hosts do makes a push disappear or turns its roles round. What
others do only helps where the pair's own traffic fits several kinds, such as one connection to a share.
"""

from __future__ import annotations

import ipaddress
from bisect import bisect_left, bisect_right
from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import NamedTuple

from auditor.report.model import (
    CERTAIN,
    FILE_SHARING,
    LIKELY,
    LOGON,
    PUSH,
    SCAN,
    UNKNOWN,
    WEAK,
    Push,
    PushStep,
)
from auditor.ruleset.addresses import by_number, is_public, parsed
from auditor.ruleset.given_roles import ConfiguredRoles
from auditor.ruleset.known_problems import controller, push
from auditor.ruleset.lint import CLIENT, SITE_SERVER
from auditor.ruleset.ruleset import Ruleset
from auditor.ruleset.statements import say
from auditor.sources.dissection.facts import ProtocolFacts, ProtocolStep
from auditor.sources.flows.neighbors import NeighborRequests
from auditor.verdicts.installations.contacts import (
    PORTS_TESTED,
    SCAN_DYNAMIC_PORTS,
    SCAN_PORTS,
    SCAN_WINDOW_NS,
    Contact,
    Pair,
    push_ports,
)

BARE_CONNECTIONS = 3  # computers at which a port was opened without sending data, until the host counts as a scanner
SWEPT_COMPUTERS = 10  # of which none was sent data: then one that accepted a connection is enough
PROBED_COMPUTERS = 5  # that are sent one SYN each, which is never repeated: every TCP stack repeats it
PUSHED_COMPUTERS = 8  # that one host contacts: it manages them rather than reads from them
READERS = 3  # hosts that reach the same one at its shares: it is a server, and no computer to install on
FILE_SERVER_READERS = 8  # as many show a file server also to a host that it did not answer, if the host reads another
ENOUGH_REQUESTS = 3  # for a host's hardware address, to take them for an attempt to reach it
AGAIN_NS = 5_000_000_000
LARGEST_SUBNET = {4: 16, 6: 64}  # bits of the prefix, by IP version
JUDGED = frozenset((PUSH, UNKNOWN))
SURENESS = (CERTAIN, LIKELY, WEAK)

NOBODY = ConfiguredRoles()
Kind = tuple[str, str, str]  # kind, how sure, why


@dataclass(frozen=True)
class PairContent:
    """What the protocols show that one host opened on another: shares and RPC interfaces, and files of a push.

    Attributes:
        shares: Names in lower case.
        files: Whether a file that only a push copies was opened.
        steps: Every response, in order of source and frame.
    """

    shares: frozenset[str] = frozenset()
    interfaces: frozenset[str] = frozenset()
    files: bool = False
    steps: tuple[PushStep, ...] = ()


NO_CONTENT = PairContent()


def find_pushes(
    contacts: Mapping[Pair, Contact],
    ruleset: Ruleset,
    neighbor_requests: Iterable[Sequence[NeighborRequests]] = (),
    content: Mapping[Pair, PairContent] | None = None,
    configured: ConfiguredRoles = NOBODY,
) -> tuple[Push, ...]:
    """Return every pair that may be a push, also what looks like one and is none.

    Args:
        contacts: Who contacted whom at the ports of a push, by pair.
        ruleset: With the ports of a push.
        neighbor_requests: Requests for a hardware address that had no response. Which of them may be of a push is
            decided for each sequence by itself.
        content: What the protocols show of the pairs whose packets were dissected.
        configured: The roles that were set. That other computers were sent no data makes no scan of what a site server
            does.
    """
    traffic = _Traffic(contacts, ruleset, content or {}, frozenset(configured.hosts(SITE_SERVER)))
    kinds = {pair: traffic.kind(contact) for pair, contact in contacts.items()}
    unresolved = (UNKNOWN, WEAK, say("push.unresolved"))
    for requests in neighbor_requests:
        kinds |= dict.fromkeys(traffic.unresolved_pairs(requests), unresolved)
    steps = {pair: shown.steps for pair, shown in (content or {}).items()}
    pairs = sorted(kinds, key=lambda pair: (by_number(pair[1]), by_number(pair[0])))
    return tuple(
        Push(f"push-{number}", *pair, *kinds[pair], steps.get(pair, ())) for number, pair in enumerate(pairs, 1)
    )


def judged_pushes(pushes: Iterable[Push], configured: ConfiguredRoles) -> tuple[Push, ...]:
    """Return the pushes that are judged: of the hosts that the user named, else all but those of another kind.

    Where both ends were named, all are. Where one was, those of another kind are judged only if it was named by its
    address and has no push: a network holds other hosts too. A scan is not: the user named one end, not the scan.
    """
    fitting = [
        push
        for push in pushes
        if configured.covers(SITE_SERVER, push.from_address) and configured.covers(CLIENT, push.to_address)
    ]
    if configured.names(SITE_SERVER) and configured.names(CLIENT):
        return tuple(fitting)
    pushing = {push.from_address for push in fitting if push.kind in JUDGED}
    pushed = {push.to_address for push in fitting if push.kind in JUDGED}

    servers, clients = set(configured.hosts(SITE_SERVER)) - pushing, set(configured.hosts(CLIENT)) - pushed

    def is_judged(push: Push) -> bool:
        alone = push.from_address in servers or push.to_address in clients
        return push.kind in JUDGED or (alone and push.kind != SCAN)

    return tuple(filter(is_judged, fitting))


class _Traffic:
    """All contacts of a site, and what kind each is of."""

    def __init__(
        self,
        contacts: Mapping[Pair, Contact],
        ruleset: Ruleset,
        content: Mapping[Pair, PairContent],
        named: frozenset[str],
    ) -> None:
        self._contacts = contacts
        self._content = content
        self._named = named
        self._shown_scans: dict[Pair, str] = {}
        self._sharing_ports = push_ports(ruleset) & {
            port for row in ruleset.requirements if row.from_role == CLIENT for port in row.ports
        }

    def kind(self, contact: Contact) -> Kind:
        """Return of what kind a contact is, how sure that is, and why: by content, else by ports."""
        kind = _kind_by_content(self._content.get((contact.src, contact.dst), NO_CONTENT))
        if kind and not (kind[0] == FILE_SHARING and self._is_more_than_sharing(contact)):
            return kind
        return self._kind_by_ports(contact)

    def _is_more_than_sharing(self, contact: Contact) -> bool:
        """Tell whether there may be a push beside file sharing: at another port, or in attempts without a response."""
        return contact.insisted or contact.dynamic or not contact.ports <= self._sharing_ports

    def _kind_by_ports(self, contact: Contact) -> Kind:
        if why := self._scan(contact):
            return SCAN, LIKELY, why
        if contact.controller:
            return LOGON, LIKELY, say("push.controller-ports")
        if is_like_push(contact):
            return PUSH, LIKELY, say("push.ports", ports=_rows(contact))
        return self._one_port(contact)

    def _scan(self, contact: Contact) -> str:
        """Return what shows that a contact is a scan or a port test, empty if nothing does."""
        pair = (contact.src, contact.dst)
        if pair not in self._shown_scans:
            self._shown_scans[pair] = self._shown_scan(contact)
        return self._shown_scans[pair]

    def _shown_scan(self, contact: Contact) -> str:
        """Look for what shows that a contact is a scan or a port test.

        A host may push to a computer and scan it too. So ports of a push that were tried at another time are no part of
        the scan, nor are those on which both sent data beside a test of a few other ports.
        """
        if contact.other_ports >= SCAN_PORTS and not _is_beside_scan(contact):
            return say("push.scanned-ports", count=contact.other_ports)
        if contact.dynamic_ports > SCAN_DYNAMIC_PORTS and not contact.apart:
            return say("push.scanned-dynamic-ports", count=contact.dynamic_ports)
        if not (contact.accepted or is_like_push(contact)) and is_public(contact.src) and not is_public(contact.dst):
            return say("push.internet")
        if contact.sent:
            return ""
        if contact.bare and not contact.insisted:
            return say("push.bare")
        if any(_is_alike(contact, scan) for scan in self._scans_of.get(contact.src, ())):
            return say("push.scanned-others")
        if contact.src not in self._named and self._is_in_port_test(contact):
            return say("push.tested-others")
        return ""

    def _is_in_port_test(self, contact: Contact) -> bool:
        """Tell whether a contact may be part of the port test of several computers.

        A port test does not insist: what is tried again and again without a response is a push, unless it is tried
        amid the sweep of a network.
        """
        tests = self._port_tests_of.get(contact.src)
        if tests is None or not any(_is_alike(contact, port_test) for port_test in tests.alike):
            return False
        return not contact.insisted or tests.is_amid(contact.first_ns)

    @cached_property
    def _scans_of(self) -> Mapping[str, Sequence[Contact]]:
        """The contacts that show that a host scans others, by host."""
        return {src: _two_alike(_scanning(contacts)) for src, contacts in self._by_source.items()}

    @cached_property
    def _port_tests_of(self) -> Mapping[str, _PortTests]:
        """The contacts that show that a host tests ports of several computers, by host."""
        port_tests = ((src, _port_tests(contacts)) for src, contacts in self._by_source.items())
        return {src: tests for src, tests in port_tests if tests}

    @cached_property
    def _by_source(self) -> Mapping[str, Sequence[Contact]]:
        by_source: dict[str, list[Contact]] = defaultdict(list)
        for contact in self._contacts.values():
            by_source[contact.src].append(contact)
        return by_source

    def _one_port(self, contact: Contact) -> Kind:
        """Tell a contact at a single port by what else the two hosts do."""
        is_sharing = contact.ports <= self._sharing_ports
        if is_sharing and contact.src in self._pushed_by.get(contact.dst, ()):
            return FILE_SHARING, LIKELY, say("push.own-site-server")
        if is_sharing and contact.dst in self._site_servers and contact.src not in self._site_servers:
            return FILE_SHARING, LIKELY, say("push.site-server")
        if contact.src in self._site_servers:
            return PUSH, LIKELY, say("push.pushes-others", ports=_rows(contact))
        if is_sharing and contact.sent and self._readers[contact.dst] >= READERS:
            return FILE_SHARING, LIKELY, say("push.readers", count=self._readers[contact.dst])
        if is_sharing and contact.dst in self._file_servers and contact.src in self._file_server_users:
            return FILE_SHARING, LIKELY, say("push.file-server", count=self._readers[contact.dst])
        return UNKNOWN, WEAK, say("push.one-port", ports=_rows(contact))

    @cached_property
    def _pushes(self) -> list[Contact]:
        """The contacts that are like a push by themselves."""
        return [
            contact
            for pair, contact in self._contacts.items()
            if not self._scan(contact)
            and (self._content_kind(pair) == PUSH or (not contact.controller and is_like_push(contact)))
        ]

    def _content_kind(self, pair: Pair) -> str:
        kind = _kind_by_content(self._content.get(pair, NO_CONTENT))
        return kind[0] if kind else ""

    @cached_property
    def _site_servers(self) -> frozenset[str]:
        """The hosts that push to any computer, or contact several computers as a site server does."""
        contacted = Counter(
            contact.src for contact in self._contacts.values() if not self._scan(contact) and not contact.controller
        )
        many = {src for src, count in contacted.items() if count >= PUSHED_COMPUTERS}
        return frozenset({contact.src for contact in self._pushes} | many)

    @cached_property
    def _pushed_by(self) -> Mapping[str, set[str]]:
        """The computers that a host pushes to, by host."""
        pushed: dict[str, set[str]] = defaultdict(set)
        for contact in self._pushes:
            pushed[contact.src].add(contact.dst)
        return pushed

    @cached_property
    def _readers(self) -> Counter[str]:
        """How many hosts send data to a computer at the port of file sharing and at no other port of a push."""
        return Counter(contact.dst for contact in self._reading)

    @cached_property
    def _reading(self) -> list[Contact]:
        """The contacts in which data was sent at the port of file sharing and at no other port of a push."""
        return [
            contact
            for contact in self._contacts.values()
            if contact.accepted and contact.ports <= self._sharing_ports and not is_like_push(contact)
        ]

    @cached_property
    def _file_servers(self) -> frozenset[str]:
        """The computers that many hosts read from."""
        return frozenset(dst for dst, readers in self._readers.items() if readers >= FILE_SERVER_READERS)

    @cached_property
    def _file_server_users(self) -> frozenset[str]:
        """The hosts that read from a file server."""
        return frozenset(contact.src for contact in self._reading if contact.dst in self._file_servers)

    def unresolved_pairs(self, neighbor_requests: Sequence[NeighborRequests]) -> Iterator[Pair]:
        """Yield hosts that ask again and again for one hardware address and get no response: they may want to push.

        A host that asks for several is a scanner or a router; one that is asked for by several is not wanted for a
        push; and a computer that is pushed itself is no site server.
        """
        insistent = {(requests.requester, requests.target) for requests in neighbor_requests if _is_insistent(requests)}
        targets = Counter(requester for requester, _ in insistent)
        askers = Counter(target for _, target in insistent)
        clients = {contact.dst for contact in self._pushes} - self._site_servers
        for pair in insistent - self._contacts.keys():
            requester, target = pair
            if targets[requester] == askers[target] == 1 and requester not in clients and _may_share_subnet(*pair):
                yield pair


def is_like_push(contact: Contact) -> bool:
    """Tell whether the ports alone are those of a push: more than one of them."""
    return len(contact.ports) + contact.dynamic + contact.echo > 1


def _tries_many_ports(contact: Contact) -> bool:
    return contact.other_ports >= SCAN_PORTS or contact.dynamic_ports > SCAN_DYNAMIC_PORTS


def _is_beside_scan(contact: Contact) -> bool:
    """Tell whether a host used ports of a push at another time than it scanned, or beside a test of a few ports."""
    return contact.apart or (contact.talked and contact.other_ports <= PORTS_TESTED)


def _scanning(contacts: Sequence[Contact]) -> list[Contact]:
    """Return those contacts of one host that show that it scans, whatever is accepted."""
    if len(contacts) >= PROBED_COMPUTERS and not any(contact.retried for contact in contacts):
        return list(contacts)
    return [contact for contact in contacts if _tries_many_ports(contact)]


class _PortTests(NamedTuple):
    """The port tests of one host.

    Attributes:
        alike: The contacts in which it closed connections without data, two of each shape.
        times_ns: When these began if it swept a network, in order.
    """

    alike: Sequence[Contact]
    times_ns: Sequence[int]

    def is_amid(self, time_ns: int) -> bool:
        """Tell whether several computers of a network that was swept were tested within a minute of a time."""
        begin = bisect_left(self.times_ns, time_ns - SCAN_WINDOW_NS)
        return bisect_right(self.times_ns, time_ns + SCAN_WINDOW_NS) - begin >= BARE_CONNECTIONS


def _port_tests(contacts: Sequence[Contact]) -> _PortTests | None:
    """Return the port tests of one host, None if it tested no more than a computer or two."""
    bare = [contact for contact in contacts if contact.bare and not contact.sent]
    swept = len(contacts) >= SWEPT_COMPUTERS and not any(contact.sent for contact in contacts)
    if not bare or not (swept or len(bare) >= BARE_CONNECTIONS):
        return None
    return _PortTests(_two_alike(bare), sorted(contact.first_ns for contact in bare) if swept else ())


def _is_alike(contact: Contact, scan: Contact) -> bool:
    """Tell whether a contact may be part of the scan that another contact of the same host is."""
    return (
        contact is not scan
        and contact.ports <= scan.ports
        and contact.echo <= scan.echo
        and (contact.other_ports + contact.dynamic_ports > 0) >= _tries_many_ports(scan)
    )


def _two_alike(scans: Iterable[Contact]) -> list[Contact]:
    """Return two of the contacts that `_is_alike` compares with the same result; a scan may be of many computers.

    Two, because a contact is not compared with itself.
    """
    alike: dict[tuple[frozenset[int], bool, bool], list[Contact]] = defaultdict(list)
    for contact in scans:
        of_shape = alike[contact.ports, contact.echo, _tries_many_ports(contact)]
        if len(of_shape) < 2:
            of_shape.append(contact)
    return [contact for of_shape in alike.values() for contact in of_shape]


def _rows(contact: Contact) -> str:
    """Return the ports of a contact in words."""
    words = [say("push.echo")] if contact.echo else []
    words += [say("push.port", port=port) for port in sorted(contact.ports)]
    words += [say("push.dynamic-port")] if contact.dynamic else []
    return say("list.and").join(words)


# by content


def _kind_by_content(content: PairContent) -> Kind | None:
    """Return the kind that shares, files and interfaces show; None if they show none."""
    if content is NO_CONTENT:
        return None
    profile = push()
    if content.files or content.shares & profile.admin_shares:
        shown = "push.opened-share" if content.shares & profile.admin_shares else "push.opened-files"
        return PUSH, CERTAIN, say(shown)
    if content.shares & controller().shares or content.interfaces & controller().interfaces:
        return LOGON, CERTAIN, say("push.opened-controller")
    if content.interfaces & profile.remote_interfaces:
        shown = ", ".join(sorted(content.interfaces & profile.remote_interfaces))
        return PUSH, LIKELY, say("push.called", interfaces=shown)
    if content.shares - profile.shares:
        return FILE_SHARING, CERTAIN, say("push.opened-others")
    return None


def content_of(protocol_facts: Sequence[ProtocolFacts]) -> dict[Pair, PairContent]:
    """Return what the protocols show of each pair, by originator and responder."""
    shares: dict[Pair, set[str]] = defaultdict(set)
    interfaces: dict[Pair, set[str]] = defaultdict(set)
    steps: dict[Pair, list[PushStep]] = defaultdict(list)
    files: set[Pair] = set()
    for source, facts in enumerate(protocol_facts):
        for pair, share in facts.shares:
            shares[pair].add(share)
        for pair, interface in facts.interfaces:
            interfaces[pair].add(interface)
        files.update(facts.push_files)
        for step in facts.steps:
            steps[step.side.initiator, step.side.responder].append(push_step(source, step))
    return {
        pair: PairContent(frozenset(shares[pair]), frozenset(interfaces[pair]), pair in files, tuple(steps[pair]))
        for pair in {*shares, *interfaces, *steps, *files}
    }


def push_step(source: int, step: ProtocolStep) -> PushStep:
    """Return a step of a protocol as the report has it. source: the number of the capture that shows it."""
    frames, what = (step.frame,), step.action
    return PushStep(step.step, step.outcome.value, step.code, None, source, frames, (), what.kind.value, what.object)


# requests for a hardware address


def _may_share_subnet(requester: str, target: str) -> bool:
    """Tell whether two addresses may be of one subnet; a request for a farther one comes from a wrong subnet mask."""
    network = ipaddress.ip_network(f"{requester}/{LARGEST_SUBNET[parsed(requester).version]}", strict=False)
    return parsed(target) in network


def _is_insistent(requests: NeighborRequests) -> bool:
    """Tell whether a host asks again within seconds, as one does that wants to send, not now and then."""
    between = (requests.last_ns - requests.first_ns) / max(1, len(requests.frames) - 1)
    return len(requests.frames) >= ENOUGH_REQUESTS and between <= AGAIN_NS
