"""The hosts of a fleet as compact JSON, from which the script of the page makes its list and the view of one host.

What the list needs of all hosts is one block; what is told of one host lies in blocks of BLOCK hosts, which are only
parsed when one of them is opened. Texts that many hosts share are written once. All text is cleaned before it goes in.
"""

from __future__ import annotations

import json
from collections.abc import Hashable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any, TypeVar

from markupsafe import Markup

from auditor import report as r
from auditor.fleet.counting import stopper
from auditor.fleet.document import NO_EVIDENCE, FleetReport, HostResult, Outcome, Proof, Seen
from auditor.fleet.mending import fails, place_of, stopped_by_rule, way_of_failing
from auditor.render.clean import clean

BLOCK = 100  # hosts
MOST_BYTES = 32_000_000  # of details: with the list of 100,000 hosts a browser opens that in a second or two
RESULTS = (r.FAILS, r.UNPROVEN, NO_EVIDENCE, r.ALLOWED, r.WORKS)  # in the order in which details are kept
# Stand for the host's own address and name in the texts that hosts share. Cleaned text never holds such a character.
ADDRESS, NAME = "\ue000", "\ue001"
SHORTEST_NAME = 4  # that is worth to be replaced
ENCODER = json.JSONEncoder(separators=(",", ":"))

T = TypeVar("T", bound=Hashable)


@dataclass(frozen=True)
class Blocks:
    """JSON that may stand in a page. listed: of all hosts; texts: those that details share; details: block by block.

    left_out: of how many hosts there was no room for details.
    """

    listed: Markup
    texts: Markup
    details: tuple[Markup, ...]
    left_out: int


def blocks(report: FleetReport) -> Blocks:
    """Return all hosts of a report, also those that were expected and have no source."""
    hosts = [*report.hosts, *without_source(report)]
    texts: _Table[str] = _Table()
    details = _details(hosts, report, texts)
    return Blocks(
        listed=_json(_listed(hosts, report)),
        texts=_json(texts.rows),
        details=tuple(_array(details[n : n + BLOCK]) for n in range(0, len(hosts), BLOCK)),
        left_out=details.count(_NOTHING),
    )


def without_source(report: FleetReport) -> Iterator[HostResult]:
    """Yield the hosts that were expected and have no readable source."""
    known = {host.host for host in report.hosts}
    outcomes = tuple(Outcome(method.id, NO_EVIDENCE, (), ()) for method in report.methods)
    for name in dict.fromkeys(report.expected):
        if name not in known:
            yield HostResult(name, "", (), "", (), 0, None, None, outcomes, (), (), ())


# the list


def _listed(hosts: Sequence[HostResult], report: FleetReport) -> dict[str, Any]:
    subnets, sites, requirements = _Table[str | None](), _Table[str | None](), _Table[str]()
    outcomes: _Table[tuple[Any, ...]] = _Table()
    stops, stopped = _Table[tuple[str, ...]](), _Table[tuple[int, ...]]()
    methods = [method.id for method in report.methods]
    missing = len(hosts) - len(report.hosts)  # without a source: of no subnet and no site

    def outcome(one: Outcome) -> tuple[Any, ...]:
        blamed, missing = (tuple(requirements[clean(name)] for name in names) for names in (one.blamed, one.missing))
        return RESULTS.index(one.result), blamed, missing

    columns = {
        "names": [clean(host.host) for host in hosts],
        "addresses": ["\n".join(map(clean, host.addresses)) for host in hosts],  # clean text holds no such character
        "subnet": [subnets[clean(host.subnet)] for host in report.hosts] + [subnets[None]] * missing,
        "site": [sites[clean(host.site)] for host in report.hosts] + [sites[None]] * missing,
        "outcome": [outcomes[tuple(outcome(host.outcome(method)) for method in methods)] for host in hosts],
        "stopped": [stopped[tuple(stops[one] for one in dict.fromkeys(_stops(host)))] for host in hosts],
        "files": [len(host.files) for host in hosts],
    }
    return {
        "block": BLOCK,
        "results": RESULTS,
        "methods": [[clean(method.id), clean(method.title)] for method in report.methods],
        "main": methods.index(report.main),
        "subnets": subnets.rows,
        "sites": sites.rows,
        "requirements": requirements.rows,
        "outcomes": outcomes.rows,
        "stops": stops.rows,
        "stopSets": stopped.rows,
        **columns,
    }


def _stops(host: HostResult) -> Iterator[tuple[str, ...]]:
    """Yield what makes a method fail: requirement, how, where, direction, what to change, address of the device."""
    blamed = {name for outcome in host.outcomes if outcome.result == r.FAILS for name in outcome.blamed}
    for one in host.seen:
        if one.requirement in blamed and fails(one):
            stopped = one.verdict in r.BAD
            place = (one.blocked_at or "") if stopped else ""
            direction = f"{one.source.role} to {one.destination.role}" if stopped else ""
            to_change = stopper(*place_of(one, host)) if stopped_by_rule(one) else ""
            told = (one.requirement, way_of_failing(one), place, direction, to_change, one.device or "")
            yield tuple(map(clean, told))


# one host


def _details(hosts: Sequence[HostResult], report: FleetReport, texts: _Table[str]) -> list[str]:
    """Return what is told of each host, as long as there is room: first of those that fail."""
    told: list[str] = [_NOTHING] * len(hosts)
    methods = [method.id for method in report.methods]
    room = MOST_BYTES
    for n in sorted(range(len(hosts)), key=lambda n: RESULTS.index(hosts[n].outcome(report.main).result)):
        before = texts.letters
        one = _json(_Details(hosts[n], texts).told(methods))
        room -= len(one) + texts.letters - before
        if room < 0:
            break
        told[n] = one
    return told


class _Shared(dict[str | None, int]):
    """The numbers of the texts that are told of one host, as rows of the table that all hosts share."""

    def __init__(self, host: HostResult, texts: _Table[str]) -> None:
        self._texts = texts
        self._address = clean(host.addresses[0]) if host.addresses else ""
        name = clean(host.host)
        self._name = name if len(name) >= SHORTEST_NAME and name != self._address else ""

    def __missing__(self, text: str | None) -> int:
        harmless = clean(text or "")
        if self._address:
            harmless = harmless.replace(self._address, ADDRESS)
        if self._name:
            harmless = harmless.replace(self._name, NAME)
        number = self[text] = self._texts[harmless]
        return number


class _Details:
    """What is told of one host."""

    def __init__(self, host: HostResult, texts: _Table[str]) -> None:
        self._host = host
        self._number = _Shared(host, texts).__getitem__

    def told(self, methods: Sequence[str]) -> list[Any]:
        """Return the host as lists; the script knows what stands where."""
        host, number = self._host, self._number
        return [
            list(map(number, host.files)),
            host.records,
            number(host.first_time),
            number(host.last_time),
            [methods.index(one) for one in host.recommended],
            list(map(number, host.warnings)),
            [self._seen(one) for one in host.seen],
        ]

    def _seen(self, one: Seen) -> list[Any]:
        number = self._number
        ends = (one.source.role, one.source.address, one.destination.role, one.destination.address)
        return [
            *map(number, (one.requirement, one.necessity, *ends, one.protocol)),
            one.ports,
            *map(number, (one.verdict, one.confidence, one.blocked_at, one.device)),
            one.attempts,
            *map(number, (one.first_time, one.last_time, one.explanation, one.remedy)),
            [[number(problem.text), int(problem.fatal)] for problem in one.problems],
            [self._proof(proof) for proof in one.proof],
            [number(block.text) for block in one.also_blocked],
        ]

    def _proof(self, one: Proof) -> list[Any]:
        path, display_filter, text = map(self._number, (one.path, one.display_filter, one.text))
        return [path, one.lines, one.frames, display_filter, text]


# JSON


class _Table(dict[T, int]):
    """Values that are written once and then named by their number: the number of a new one is the next."""

    letters = 0  # in all of them that are text

    def __missing__(self, value: T) -> int:
        self.letters += len(value) if isinstance(value, str) else 0
        number = self[value] = len(self)
        return number

    @property
    def rows(self) -> list[T]:
        """All values by their numbers."""
        return list(self)


_NOTHING = Markup("0")


def _array(of: Sequence[str]) -> Markup:
    return Markup(f"[{','.join(of)}]")


def _json(value: Any) -> Markup:
    """Return JSON in ASCII in which nothing can end the element that it stands in."""
    text = ENCODER.encode(value)
    return Markup(text.replace("&", "\\u0026").replace("<", "\\u003c").replace(">", "\\u003e"))
