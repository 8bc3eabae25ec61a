"""What would mend the hosts that fail: the changes of firewalls to ask for, and what no such change helps."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping
from functools import partial
from itertools import product
from operator import attrgetter
from types import MappingProxyType
from typing import NamedTuple

from auditor.fleet.prioritize import Needs, Opening, Openings, in_order
from auditor.report import model as r
from auditor.report.fleet_model import (
    PROBLEM,
    STEP,
    Cause,
    FailedStep,
    FirewallChange,
    HostResult,
    Proof,
    RequirementResult,
    block_location,
    fails,
    failure_kind,
    stopped_by_rule,
)
from auditor.ruleset.addresses import by_number
from auditor.ruleset.known_problems import StatusMeaning, find_status, problems
from auditor.ruleset.lint import CLIENT
from auditor.ruleset.ruleset import Requirement, Ruleset
from auditor.ruleset.statements import Statement, say, statement

Ports = tuple[int, ...]
UNREACHED = (r.UNREACHABLE, r.NO_RESPONSE)
Failing = tuple[HostResult, list[RequirementResult]]  # a host for which the main method fails, and what makes it fail
GroupKey = tuple[str, str]  # either-or group or requirement, the site server that it is needed from
MOST_SERVERS = 3  # that a change names


class CauseKey(NamedTuple):
    """Why a host fails where no change of a firewall is known to help.

    Attributes:
        verdict: As of Cause.
        layer: Protocol of a problem; empty if there is none.
        code: Of that problem.
        requirement: Its id; empty if there is none.
        ports: Of the requirement, at the site of the host.
        meaning: The step of a log; None if no log reports it.
    """

    verdict: str
    layer: str = ""
    code: str = ""
    requirement: str = ""
    ports: Ports = ()
    meaning: r.StepMeaning | None = None


class RequirementPath(NamedTuple):
    """How a requirement goes at one site: its ports, and the address of the server that it comes from or goes to."""

    ports: Ports
    server: str


Opens = dict[Opening, dict[str, set[RequirementPath]]]  # the requirements that an opening is about, and their ways


def blamed(host: HostResult, method: str) -> list[RequirementResult]:
    """Return the requirements that make a method fail for a host, in the order of the ruleset.

    A requirement may fail from one site server and be met from another.
    """
    ids = host.outcome(method).failed
    return [result for result in host.seen if result.requirement in ids and fails(result)]


def plan_changes(
    failing: Iterable[Failing], ruleset: Ruleset, main: str
) -> tuple[tuple[FirewallChange, ...], tuple[Cause, ...]]:
    """Return the changes that help the hosts that fail, and why no change helps the others, each in full order.

    Args:
        failing: The hosts for which the main method fails.
        ruleset: That they were evaluated by.
        main: Id of the main method.
    """
    need: Counter[Needs] = Counter()
    opens: Opens = defaultdict(lambda: defaultdict(set))
    causes = Causes(ruleset)
    for host, seen in failing:
        groups = _groups(seen, ruleset)
        if steps := host.steps_of(main):
            causes.add_step(host, steps[0])
        elif unhelped := [result for group in groups.values() if not _mendable(group) for result in group]:
            causes.add(host, *_cause(unhelped))
        elif not groups:
            causes.add(host, CauseKey(PROBLEM))
        else:
            need[_needs(groups, host, opens)] += 1
    return tuple(_changes(need, opens, causes.total, ruleset)), causes.counted()


def _groups(seen: Iterable[RequirementResult], ruleset: Ruleset) -> dict[GroupKey, list[RequirementResult]]:
    """Return what failed with the members of one either-or group together, those of each site server apart."""
    groups: dict[GroupKey, list[RequirementResult]] = {}
    for result in seen:
        name = ruleset.requirement(result.requirement).either_or or result.requirement
        groups.setdefault((name, _server(result) if result.destination.role == CLIENT else ""), []).append(result)
    return groups


def _mendable(group: Iterable[RequirementResult]) -> bool:
    """Tell whether a rule lets one of a group through; where one is open and fails, that one is in use."""
    members = list(group)
    return any(map(stopped_by_rule, members)) and all(member.verdict in r.FAILING for member in members)


def _needs(groups: dict[GroupKey, list[RequirementResult]], host: HostResult, opens: Opens) -> Needs:
    """Return what would let a host work; note in opens what each opening is about."""
    choices: list[list[Opening]] = []
    for (key, _), group in groups.items():
        openings: dict[Opening, None] = {}
        for result in filter(stopped_by_rule, group):
            opening = Opening(*block_location(result, host), key)
            opens[opening][result.requirement].add(RequirementPath(result.ports, _server(result)))
            openings[opening] = None
        choices.append(list(openings))
    return frozenset(frozenset(chosen) for chosen in product(*choices))


def _server(result: RequirementResult) -> str:
    """Return the address of the end that is no client."""
    return (result.source if result.destination.role == CLIENT else result.destination).address or ""


# changes, in words


def _changes(need: Counter[Needs], opens: Opens, unhelped: int, ruleset: Ruleset) -> Iterator[FirewallChange]:
    order = {requirement.id: number for number, requirement in enumerate(ruleset.requirements)}
    remaining = need.total() + unhelped
    for openings, helped in in_order(need):
        remaining -= helped
        yield _change(openings, opens, ruleset, order, (helped, remaining))


def _change(
    openings: Openings,
    opens: Opens,
    ruleset: Ruleset,
    order: dict[str, int],
    counts: tuple[int, int],
) -> FirewallChange:
    place, device, _ = next(iter(openings))
    ids_of_openings = (sorted(opens[opening], key=order.__getitem__) for opening in openings)
    groups = sorted(ids_of_openings, key=lambda ids: order[ids[0]])
    ways: dict[str, set[RequirementPath]] = defaultdict(set)
    for opening in openings:
        for name, paths in opens[opening].items():
            ways[name] |= paths
    wanted = [[_wanted(ruleset.requirement(name), ruleset, ways[name]) for name in ids] for ids in groups]
    servers: dict[str, set[str]] = defaultdict(set)
    for name, paths in ways.items():
        servers[ruleset.requirement(name).partner].update(way.server for way in paths)
    return FirewallChange(
        requirements=tuple(name for ids in groups for name in ids),
        place=place,
        device=device,
        ports=", ".join(say("list.or").join(words for _, words in group) for group in wanted),
        helps=counts[0],
        remaining=counts[1],
        remedy=_remedy(place, device, wanted, servers),
    )


def _wanted(requirement: Requirement, ruleset: Ruleset, ways: Iterable[RequirementPath]) -> tuple[Requirement, str]:
    return requirement, port(requirement, ruleset, {way.ports for way in ways})


def port(requirement: Requirement, ruleset: Ruleset, at_sites: Iterable[Ports]) -> str:
    """Return what a requirement needs open as an administrator of firewalls says it, such as "TCP 445".

    Args:
        requirement: What has to be open.
        ruleset: With the documented dynamic ports.
        at_sites: Its ports at each site: these may differ, so that "TCP 80 and 8080" have to be opened.
    """
    if requirement.icmp_echo:
        return say("attempt.echo-requests")
    protocol = requirement.protocol.upper()
    if requirement.dynamic:
        today = "".join(f" {low}-{high}" for low, high in ruleset.dynamic_ports[:1])
        return say("change.dynamic", protocol=protocol, range=today)
    ports = say("list.and").join(say("list.or").join(map(str, at_site)) for at_site in sorted(at_sites))
    return say("attempt.port", protocol=protocol, port=ports)


def _remedy(
    place: str, device: str, wanted: list[list[tuple[Requirement, str]]], servers: Mapping[str, Collection[str]]
) -> str:
    """Return what to do at a place, in a sentence or two.

    wanted: requirements, each with its ports in words; servers: the addresses of those who play a role.
    """
    those = partial(_those, servers=servers)
    ways: dict[tuple[str, str], list[str]] = {}
    for group in wanted:
        either = say("list.or").join(say("change.row", port=words, row=requirement.row) for requirement, words in group)
        if len(group) > 1:
            either = say("change.either", ports=either)
        requirement, _ = group[0]
        ways.setdefault((requirement.from_role, requirement.to_role), []).append(either)
    if place == CLIENT:
        bound = [_bound(place, way, ports, those) for way, ports in ways.items()]
        return say("change.each-client", ports=_listed(bound))
    crossing = [
        say("change.crossing", ports=_listed(ports), source=those(way[0]), destination=those(way[1]))
        for way, ports in ways.items()
    ]
    if place in (r.BETWEEN, r.UNKNOWN):
        template = "change.device" if device else "change.unknown" if place == r.UNKNOWN else "change.between"
        return say(template, device=device, ports=_listed(crossing))
    bound = [_bound(place, way, ports, those) for way, ports in ways.items()]
    return say("change.host" if device else "change.role", role=_those(place), host=device, ports=_listed(bound))


def _bound(place: str, way: tuple[str, str], ports: list[str], those: Callable[[str], str]) -> str:
    source, destination = way
    if place == source:
        return say("change.outbound", ports=_listed(ports), whom=those(destination))
    return say("change.inbound", ports=_listed(ports), whom=those(source))


def _those(role: str, servers: Mapping[str, Collection[str]] = MappingProxyType({})) -> str:
    """Return what is said for who plays a role, with the addresses if these are few."""
    if role == CLIENT:
        return say("change.clients")
    addresses = sorted(filter(None, servers.get(role, ())), key=by_number)
    template = "change.named-servers" if 0 < len(addresses) <= MOST_SERVERS else "change.servers"
    return say(template, role=role.replace("-", " "), addresses=", ".join(addresses))


def _listed(words: list[str]) -> str:
    if len(words) == 1:
        return words[0]
    return say("list.and").join((", ".join(words[:-1]), words[-1])).replace(",,", ",")


# what no rule helps


def _cause(unhelped: list[RequirementResult]) -> tuple[CauseKey, Proof | None]:
    """Return why a host fails whatever is opened: that it is not reached at all, if so, else the first that failed."""
    for result in unhelped:
        if result.verdict in UNREACHED and result.destination.role == CLIENT:
            return CauseKey(result.verdict), None
    decisive = next((result for result in unhelped if not stopped_by_rule(result)), unhelped[0])
    if decisive.logged:
        meaning, proof = decisive.logged.meaning, decisive.logged.proof
        return CauseKey(failure_kind(decisive), "", meaning.code, decisive.requirement, meaning=meaning), proof
    if decisive.verdict in r.FAILING:
        return CauseKey(decisive.verdict, "", "", decisive.requirement, decisive.ports), None
    fatal = next((problem for problem in decisive.problems if problem.fatal), None)
    layer, code = (fatal.layer, fatal.code) if fatal else ("", "")
    return CauseKey(PROBLEM, layer, code, decisive.requirement, decisive.ports), None


class Causes:
    """How many hosts fail for which cause, and the first of them by name where a line of a log shows it.

    Args:
        ruleset: That the hosts were evaluated by.
    """

    def __init__(self, ruleset: Ruleset) -> None:
        self._ruleset = ruleset
        self._counts: Counter[CauseKey] = Counter()
        self._examples: dict[CauseKey, tuple[str, Proof]] = {}

    @property
    def total(self) -> int:
        """The number of hosts."""
        return self._counts.total()

    def add(self, host: HostResult, key: CauseKey, proof: Proof | None = None) -> None:
        """Count a host. proof: the line of a log that shows it."""
        self._counts[key] += 1
        if proof:
            example = host.host, proof
            self._examples[key] = min(example, self._examples.get(key, example))

    def add_step(self, host: HostResult, step: FailedStep) -> None:
        """Count a host that ends at a step of a log."""
        logged = step.logged
        key = CauseKey(STEP, "", step.code, "", (), step.meaning)
        self.add(host, key, logged.proof if logged else None)

    def counted(self) -> tuple[Cause, ...]:
        """Return the causes, those of most hosts first."""
        advised: Counter[tuple[str, str, str, str, tuple[tuple[str, object], ...]]] = Counter()
        causes = [self._of_log(key) for key in self._counts if key.meaning]
        for key, count in self._counts.items():
            if not key.meaning:
                advice = _advice(key, self._ruleset)
                advised[key.verdict, key.code, key.requirement, advice.id, tuple(advice.fields.items())] += count
        causes += [
            Cause(verdict, code, name, count, Statement(template, dict(fields)).text)
            for (verdict, code, name, template, fields), count in advised.items()
        ]
        names = attrgetter("verdict", "code", "requirement", "step", "remedy", "text")
        return tuple(sorted(causes, key=lambda cause: (-cause.hosts, names(cause))))

    def _of_log(self, key: CauseKey) -> Cause:
        assert key.meaning
        host, proof = self._examples[key]
        return Cause(
            key.verdict,
            key.code,
            key.requirement,
            self._counts[key],
            key.meaning.remedy,
            step=key.meaning.step,
            text=key.meaning.cause,
            example_host=host,
            example=proof,
        )


def unproven_steps(hosts: Iterable[HostResult], ruleset: Ruleset, main: str) -> tuple[Cause, ...]:
    """Return the steps of logs at which the main method ended for hosts for which it does not fail.

    Args:
        hosts: All hosts.
        ruleset: That they were evaluated by.
        main: Id of the main method.
    """
    causes = Causes(ruleset)
    for host in hosts:
        steps = [step for step in host.failed_steps if step.method == main and not step.fails and step.meaning]
        for step in steps[:1]:
            causes.add_step(host, step)
    return causes.counted()


def _advice(key: CauseKey, ruleset: Ruleset) -> Statement:
    """Return what to do where no rule helps."""
    verdict, layer, code, requirement, ports, _ = key
    if not requirement:
        return statement(_UNREACHED.get(verdict, "cause.untold"))
    needed = ruleset.requirement(requirement)
    named = say("change.row", port=port(needed, ruleset, [ports]), row=needed.row)
    if verdict == PROBLEM:
        problem = _known(layer, code)
        if problem is None:
            return statement("cause.problem", what=named)
        meaning = f"{problem.meaning[:1].upper()}{problem.meaning[1:]}"
        action = f"{problem.action[:1].lower()}{problem.action[1:]}"
        return statement("cause.known-problem", what=named, meaning=meaning, action=action)
    if verdict in UNREACHED:
        return statement("cause.server-unreached", server=_those(needed.to_role))
    return statement("cause.start-service", what=named, server=_those(needed.to_role))


_UNREACHED = {r.UNREACHABLE: "cause.unreachable", r.NO_RESPONSE: "cause.no-response"}


def _known(layer: str, code: str) -> StatusMeaning | None:
    for status in problems().get(layer, {}).values():
        if status.name == code:
            return status
    return next((status for of, status in find_status(code) if of == layer), None)
