"""Who contacted whom at the ports of a push, and what else the two did that tells a push from other traffic."""

from __future__ import annotations

from bisect import bisect_right
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from itertools import accumulate, pairwise
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from auditor.ruleset.addresses import is_one_host
from auditor.ruleset.known_problems import Controller, controller
from auditor.ruleset.lint import CLIENT, SITE_SERVER
from auditor.ruleset.ruleset import Ruleset
from auditor.sources.flows.columns import MISSING
from auditor.sources.flows.table import is_among
from auditor.sources.source import CAPTURE, Source

SCAN_WINDOW_NS = 60_000_000_000  # a scan tries its ports within a minute; the same ports over days are no scan
SCAN_PORTS = 5  # that have to do with no push, within a minute: an administrator tries one or two
SCAN_DYNAMIC_PORTS = 16  # a push uses a port for each of a handful of RPC interfaces
PORTS_TESTED = 16  # at most: who looks for the fault of a push tries the ports of a dozen services
VULNERABILITY_SCAN_NS = 3_600_000_000_000  # for which a scanner of many ports talks to the services behind them
BESIDE_SCAN_NS = 2_000_000_000  # from the ports of a scan, at least; logs have whole seconds
CONTROLLER_PORTS = 2  # that are tried without a response: a single one may be a search for a directory service

RESPONDED = ("answered", "one-way", "mid-stream")

Pair = tuple[str, str]


class Contact(NamedTuple):
    """What one host tried to reach on another, in one source or in several.

    Attributes:
        ports: Documented TCP ports of a push that were tried.
        echo: Whether an echo request was sent.
        dynamic: Whether a port of the dynamic range was tried.
        controller: Whether a port that only domain controllers have responded, or several of them were tried.
        other_ports: Most TCP ports tried within a minute that have to do with neither a push nor a controller and on
            which nothing was sent.
        dynamic_ports: Most ports of the dynamic range tried within a minute on which nothing was sent.
        apart: Whether a port of a push was tried at a time when there was no scan.
        sent: Whether the originator sent data at a port of a push; True where the source is a log, which does not tell.
        talked: Whether both sent data at a port of a push; False where the source is a log, which does not tell.
        retried: Whether an attempt at a port of a push was repeated or had a response; True where the source is a log.
        bare: Whether it opened a connection at a port of a push and closed it without data, as a port test does.
        insisted: Whether an attempt at a port of a push was repeated and had no response.
        accepted: Whether the originator sent data at a port of a push; of a log, whether a firewall let it through.
        first_ns: When it first tried a port of a push, in nanoseconds since 1970.
        last_ns: When it last began a connection at a port of a push or a dynamic port.
    """

    src: str
    dst: str
    ports: frozenset[int]
    echo: bool
    dynamic: bool
    controller: bool
    other_ports: int
    dynamic_ports: int
    apart: bool
    sent: bool
    talked: bool
    retried: bool
    bare: bool
    insisted: bool
    accepted: bool
    first_ns: int
    last_ns: int

    def merge(self, contact: Contact) -> Contact:
        """Return what two sources show of the same pair."""
        return Contact(
            self.src,
            self.dst,
            self.ports | contact.ports,
            self.echo or contact.echo,
            self.dynamic or contact.dynamic,
            self.controller or contact.controller,
            max(self.other_ports, contact.other_ports),
            max(self.dynamic_ports, contact.dynamic_ports),
            self.apart or contact.apart,
            self.sent or contact.sent,
            self.talked or contact.talked,
            self.retried or contact.retried,
            self.bare or contact.bare,
            self.insisted or contact.insisted,
            self.accepted or contact.accepted,
            min(self.first_ns, contact.first_ns),
            max(self.last_ns, contact.last_ns),
        )


def merge(contacts: Iterable[Contact]) -> dict[Pair, Contact]:
    """Return contacts by pair, those of one pair merged."""
    merged: dict[Pair, Contact] = {}
    for contact in contacts:
        pair = (contact.src, contact.dst)
        merged[pair] = merged[pair].merge(contact) if pair in merged else contact
    return merged


def contacts_of(source: Source, ruleset: Ruleset) -> list[Contact]:
    """Return the contacts in one source, in order of source and destination address as text.

    Args:
        source: A capture or log that was read, or what a summary holds of it.
        ruleset: Whose rows from site server to client say which ports are those of a push.
    """
    recorded: tuple[Contact, ...] | None = getattr(source.details, "contacts", None)
    if recorded is not None:
        return list(recorded)
    columns = source.table.columns
    logged = source.kind != CAPTURE
    pairs = _pairs(columns, push_ports(ruleset), logged=logged)
    if not pairs:
        return []
    tallies: dict[Pair, _Tally] = {pair: _Tally() for pair in pairs}
    known_ports = _KnownPorts(ruleset, controller())
    for pair, flow in _flows_between(columns, pairs, logged=logged):
        tallies[pair].add(flow, known_ports, logged=logged)
    return [tallies[pair].contact(pair) for pair in sorted(pairs)]


def push_ports(ruleset: Ruleset) -> frozenset[int]:
    """Return the fixed TCP ports from a site server to a client."""
    return frozenset(
        port
        for row in ruleset.requirements
        if (row.from_role, row.to_role, row.protocol) == (SITE_SERVER, CLIENT, "tcp")
        for port in row.ports
    )


def _pairs(columns: Mapping[str, NDArray[Any]], ports: frozenset[int], *, logged: bool) -> frozenset[Pair]:
    """Return the pairs of which one tried a port of a push on the other.

    In a log a late packet that was dropped shows no attempt, nor does a broadcast.
    """
    rows = np.isin(columns["dst_port"], list(ports)).nonzero()[0]  # few: comparing texts takes longer
    mask = columns["protocol"][rows] == "tcp"
    if logged:
        mask &= columns["response"][rows] != "mid-stream"
    rows = rows[mask]
    pairs_tried = set(zip(columns["src_ip"][rows].tolist(), columns["dst_ip"][rows].tolist(), strict=True))
    return frozenset(
        (src, dst)
        for src, dst in pairs_tried
        if src != dst and is_one_host(dst) and not (logged and dst.endswith(".255"))
    )


class _Flow(NamedTuple):
    """What of one flow tells a push from other traffic."""

    protocol: str
    port: int
    start: int
    response: str
    sent: int | None  # bytes of payload of the originator; None where the source is a log
    received: int
    syns: int
    closed: bool

    @property
    def is_idle(self) -> bool:
        """Whether its originator sent no data; in a log, which counts none, whether it was dropped."""
        return self.response not in RESPONDED if self.sent is None else self.sent == 0


def _flows_between(
    columns: Mapping[str, NDArray[Any]], pairs: frozenset[Pair], *, logged: bool
) -> Iterable[tuple[Pair, _Flow]]:
    """Yield the flows between pairs of hosts, each with its pair. logged: whether the columns are those of a log."""
    rows = np.flatnonzero(is_among(columns["src_ip"], {src for src, _ in pairs}))
    rows = rows[is_among(columns["dst_ip"][rows], {dst for _, dst in pairs})]
    values = [
        columns[name][rows].tolist() for name in ("src_ip", "dst_ip", "protocol", "dst_port", "start", "response")
    ]
    names = ("payload_src", "payload_dst", "syn", "rst", "fin")
    counts = [[None] * len(rows) if logged else columns[name][rows].tolist() for name in names]
    for src, dst, protocol, port, start, response, sent, received, syns, rst, fin in zip(*values, *counts, strict=True):
        if (src, dst) in pairs:
            yield (src, dst), _Flow(protocol, port, start, response, sent, received or 0, syns or 0, bool(rst or fin))


class _KnownPorts:
    """What a port is tried for."""

    def __init__(self, ruleset: Ruleset, controller: Controller) -> None:
        self.push = push_ports(ruleset)
        self.controller = {"tcp": controller.tcp, "udp": controller.udp}
        self._ruleset = ruleset

    def is_dynamic(self, port: int) -> bool:
        return port not in self._ruleset.fixed_ports and self._ruleset.is_usual_dynamic(port)


class _Tally:
    """What was counted of one pair so far."""

    def __init__(self) -> None:
        self.ports: set[int] = set()
        self.echo = self.sent = self.talked = self.retried = self.bare = self.insisted = self.accepted = False
        self.is_controller = False
        self.controller_ports: set[int] = set()
        self.starts: list[int] = []
        self.dynamic: list[int] = []  # times
        self.idle_dynamic: list[tuple[int, int]] = []  # times and ports
        self.idle_others: list[tuple[int, int]] = []

    def add(self, flow: _Flow, known_ports: _KnownPorts, *, logged: bool) -> None:
        """Count one flow."""
        if flow.protocol == "icmp":
            self.echo = True
            return
        if flow.port in known_ports.controller.get(flow.protocol, ()):
            self._add_controller(flow)
            return
        if flow.protocol != "tcp" or (logged and flow.response == "mid-stream"):
            return
        if flow.port in known_ports.push:
            self._add_push(flow)
        elif known_ports.is_dynamic(flow.port):
            self.dynamic += [flow.start]
            self.idle_dynamic += [(flow.start, flow.port)] if flow.is_idle else []
        elif flow.port != MISSING and flow.is_idle:
            self.idle_others.append((flow.start, flow.port))

    def _add_controller(self, flow: _Flow) -> None:
        """Count a flow at a port of a domain controller; a host that refuses it is none."""
        if flow.response != "refused":
            self.controller_ports.add(flow.port)
            self.is_controller |= flow.sent is not None and flow.response in RESPONDED

    def _add_push(self, flow: _Flow) -> None:
        self.ports.add(flow.port)
        self.starts.append(flow.start)
        self.sent |= flow.sent is None or flow.sent > 0
        self.accepted |= not flow.is_idle
        self.talked |= bool(flow.sent) and flow.received > 0
        self.retried |= flow.sent is None or flow.syns != 1 or flow.response != "no-response"
        self.bare |= flow.sent == 0 and flow.response == "answered" and flow.closed
        self.insisted |= flow.sent is not None and flow.syns > 1 and flow.response == "no-response"

    def contact(self, pair: Pair) -> Contact:
        """Return what was counted."""
        return Contact(
            *pair,
            frozenset(self.ports),
            self.echo,
            bool(self.dynamic),
            self.is_controller or len(self.controller_ports) >= CONTROLLER_PORTS,
            _most_at_once(self.idle_others),
            _most_at_once(self.idle_dynamic),
            self._is_apart(),
            self.sent,
            self.talked,
            self.retried,
            self.bare,
            self.insisted,
            self.accepted,
            min(self.starts),
            max(self.starts + self.dynamic),
        )

    def _is_apart(self) -> bool:
        """Tell whether a port of a push was tried when no scan went on."""
        if not (self.idle_others or self.idle_dynamic):
            return True
        scans = sorted((*_scans(self.idle_others, SCAN_PORTS), *_scans(self.idle_dynamic, SCAN_DYNAMIC_PORTS + 1)))
        begins = [begin for begin, _ in scans]
        ends = list(accumulate((end for _, end in scans), max))  # the latest end of all that began by then
        places = ((start, bisect_right(begins, start)) for start in self.starts)
        return any(not place or ends[place - 1] < start for start, place in places)


def _scans(tries: Sequence[tuple[int, int]], enough: int) -> Iterator[tuple[int, int]]:
    """Yield from when until when scans may have gone on.

    A test of a few ports went on before and after its tries as long as between two of them.
    """
    for run in _runs(sorted(tries)):
        if (most := _most_at_once(run)) >= enough:
            times = [time for time, _ in run]
            pauses = [later - earlier for earlier, later in pairwise(times)]
            beside = VULNERABILITY_SCAN_NS if most > PORTS_TESTED else max(BESIDE_SCAN_NS, *pauses)
            yield times[0] - beside, times[-1] + beside


def _runs(tries: Iterable[tuple[int, int]]) -> Iterator[list[tuple[int, int]]]:
    """Yield tries, in order of time, with those together between which there is no longer pause than in a scan."""
    run: list[tuple[int, int]] = []
    for time, port in tries:
        if run and time - run[-1][0] > SCAN_WINDOW_NS:
            yield run
            run = []
        run.append((time, port))
    if run:
        yield run


def _most_at_once(tries: Sequence[tuple[int, int]]) -> int:
    """Return the largest number of different ports that were tried within SCAN_WINDOW_NS."""
    if len({port for _, port in tries}) < 2:
        return len(tries[:1])
    ordered = sorted(tries)
    times = [time for time, _ in ordered]
    within: Counter[int] = Counter()
    most = begin = 0
    for time, port in ordered:
        within[port] += 1
        while times[begin] < time - SCAN_WINDOW_NS:
            left = ordered[begin][1]
            within[left] -= 1
            if not within[left]:
                del within[left]
            begin += 1
        most = max(most, len(within))
    return most
