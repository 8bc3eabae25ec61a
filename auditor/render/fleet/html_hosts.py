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

from auditor.render.clean import clean
from auditor.render.fleet.text import step_and_code
from auditor.report import model as r
from auditor.report.fleet_model import (
    NO_EVIDENCE,
    FailedStep,
    FleetReport,
    HostResult,
    MethodOutcome,
    Proof,
    RequirementResult,
    block_location,
    fails,
    failure_kind,
    stopped_by_rule,
    stopper,
)

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
    host_names = {host.host for host in report.hosts}
    outcomes = tuple(MethodOutcome(method.id, NO_EVIDENCE, (), ()) for method in report.methods)
    sites = report.site_of_expected
    for name in dict.fromkeys(report.expected):
        if name not in host_names:
            yield HostResult(name, sites.get(name, ""), (), "", (), 0, None, None, outcomes, (), (), ())


# the list


def _listed(hosts: Sequence[HostResult], report: FleetReport) -> dict[str, Any]:
    subnets, sites, requirements = _Table[str | None](), _Table[str | None](), _Table[str]()
    outcomes, steps = _Table[tuple[Any, ...]](), _Table[str]()
    stops, stopped = _Table[tuple[str, ...]](), _Table[tuple[int, ...]]()
    methods = [method.id for method in report.methods]
    missing = len(hosts) - len(report.hosts)  # without a source: of no subnet

    def outcome(host: HostResult, method: str) -> tuple[Any, ...]:
        of_method = host.outcome(method)
        failed, unverified = (
            tuple(requirements[clean(name)] for name in names) for names in (of_method.failed, of_method.unverified)
        )
        ended = tuple(steps[clean(_step_words(step))] for step in host.failed_steps if step.method == method)
        return RESULTS.index(of_method.result), failed, unverified, ended

    columns = {
        "names": [clean(host.host) for host in hosts],
        "addresses": ["\n".join(map(clean, host.addresses)) for host in hosts],  # clean text holds no such character
        "subnet": [subnets[clean(host.subnet)] for host in report.hosts] + [subnets[None]] * missing,
        "site": [sites[clean(host.site)] for host in report.hosts]
        + [sites[clean(host.site) if host.site else None] for host in hosts[len(report.hosts) :]],
        "outcome": [outcomes[tuple(outcome(host, method) for method in methods)] for host in hosts],
        "stopped": [stopped[tuple(stops[stop] for stop in dict.fromkeys(_stops(host)))] for host in hosts],
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
        "steps": steps.rows,
        "stops": stops.rows,
        "stopSets": stopped.rows,
        **columns,
    }


def _stops(host: HostResult) -> Iterator[tuple[str, ...]]:
    """Yield what makes a method fail: requirement, how, where, direction, what to change, address of the device."""
    failed = {name for outcome in host.outcomes if outcome.result == r.FAILS for name in outcome.failed}
    for requirement in host.seen:
        if requirement.requirement in failed and fails(requirement):
            stopped = requirement.verdict in r.FAILING
            place = (requirement.blocked_at or "") if stopped else ""
            direction = f"{requirement.source.role} to {requirement.destination.role}" if stopped else ""
            to_change = stopper(*block_location(requirement, host)) if stopped_by_rule(requirement) else ""
            stop = (
                requirement.requirement,
                failure_kind(requirement),
                place,
                direction,
                to_change,
                requirement.device or "",
            )
            yield tuple(map(clean, stop))


def _step_words(step: FailedStep) -> str:
    return step_and_code(step.step, step.code)


# one host


def _details(hosts: Sequence[HostResult], report: FleetReport, texts: _Table[str]) -> list[str]:
    """Return what is told of each host, as long as there is room: first of those that fail."""
    details: list[str] = [_NOTHING] * len(hosts)
    methods = [method.id for method in report.methods]
    room = MOST_BYTES
    for n in sorted(range(len(hosts)), key=lambda n: RESULTS.index(hosts[n].outcome(report.main).result)):
        letters_before = texts.letters
        detail = _json(_Details(hosts[n], texts).as_row(methods))
        room -= len(detail) + texts.letters - letters_before
        if room < 0:
            break
        details[n] = detail
    return details


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

    def as_row(self, methods: Sequence[str]) -> list[Any]:
        """Return the host as lists; the script knows what stands where."""
        host, number = self._host, self._number
        return [
            list(map(number, host.files)),
            host.records,
            number(host.first_time),
            number(host.last_time),
            [methods.index(method) for method in host.recommended],
            list(map(number, host.warnings)),
            [self._requirement(requirement) for requirement in host.seen],
            [self._step(step, methods) for step in host.failed_steps],
        ]

    def _step(self, step: FailedStep, methods: Sequence[str]) -> list[Any]:
        words = map(self._number, (_step_words(step), step.explanation, step.remedy))
        return [methods.index(step.method), int(step.fails), *words, [self._proof(proof) for proof in step.proof]]

    def _requirement(self, requirement: RequirementResult) -> list[Any]:
        number = self._number
        ends = (
            requirement.source.role,
            requirement.source.address,
            requirement.destination.role,
            requirement.destination.address,
        )
        return [
            *map(number, (requirement.requirement, requirement.necessity, *ends, requirement.protocol)),
            requirement.ports,
            *map(number, (requirement.verdict, requirement.confidence, requirement.blocked_at, requirement.device)),
            requirement.attempts,
            *map(number, (requirement.first_time, requirement.last_time, requirement.explanation, requirement.remedy)),
            [[number(problem.text), int(problem.fatal)] for problem in requirement.problems],
            [self._proof(proof) for proof in requirement.proof],
            [number(block.text) for block in requirement.also_blocked],
        ]

    def _proof(self, proof: Proof) -> list[Any]:
        path, display_filter, text = map(self._number, (proof.path, proof.display_filter, proof.text))
        return [path, proof.lines, proof.frames, display_filter, text]


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
