"""What would mend the hosts that fail: the changes of firewalls to ask for, and what no such change helps."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping
from functools import partial
from itertools import product
from types import MappingProxyType
from typing import NamedTuple

from auditor.fleet.prioritize import Needs, Opening, Openings, in_order
from auditor.report import model as r
from auditor.report.fleet_model import (
    PROBLEM,
    Cause,
    FirewallChange,
    HostResult,
    RequirementResult,
    block_location,
    fails,
    stopped_by_rule,
)
from auditor.ruleset.addresses import by_number
from auditor.ruleset.known_problems import StatusMeaning, find_status, problems
from auditor.ruleset.lint import CLIENT
from auditor.ruleset.ruleset import Requirement, Ruleset

Ports = tuple[int, ...]
UNREACHED = (r.UNREACHABLE, r.NO_RESPONSE)
Failing = tuple[HostResult, list[RequirementResult]]  # a host for which the main method fails, and what makes it fail
GroupKey = tuple[str, str]  # either-or group or requirement, the site server that it is needed from
CauseKey = tuple[str, str, str, str, Ports]  # verdict, layer and code of a problem, requirement, its ports there
MOST_SERVERS = 3  # that a change names


class Way(NamedTuple):
    """How a requirement goes at one site: its ports, and the address of the server that it comes from or goes to."""

    ports: Ports
    server: str


Opens = dict[Opening, dict[str, set[Way]]]  # the requirements that an opening is about, and their ways


def blamed(host: HostResult, method: str) -> list[RequirementResult]:
    """Return the requirements that make a method fail for a host, in the order of the ruleset.

    A requirement may fail from one site server and be met from another.
    """
    ids = host.outcome(method).failed
    return [one for one in host.seen if one.requirement in ids and fails(one)]


def mend(failing: Iterable[Failing], ruleset: Ruleset) -> tuple[tuple[FirewallChange, ...], tuple[Cause, ...]]:
    """Return the changes that help the hosts that fail, and why no change helps the others, each in full order."""
    need: Counter[Needs] = Counter()
    opens: Opens = defaultdict(lambda: defaultdict(set))
    causes: Counter[CauseKey] = Counter()
    for host, seen in failing:
        groups = _groups(seen, ruleset)
        if others := [one for group in groups.values() if not _mendable(group) for one in group]:
            causes[_cause(others)] += 1
        elif not groups:
            causes[(PROBLEM, "", "", "", ())] += 1
        else:
            need[_needs(groups, host, opens)] += 1
    return tuple(_changes(need, opens, causes.total(), ruleset)), _causes(causes, ruleset)


def _groups(seen: Iterable[RequirementResult], ruleset: Ruleset) -> dict[GroupKey, list[RequirementResult]]:
    """Return what failed with the members of one either-or group together, those of each site server apart."""
    groups: dict[GroupKey, list[RequirementResult]] = {}
    for one in seen:
        name = ruleset.requirement(one.requirement).either_or or one.requirement
        groups.setdefault((name, _server(one) if one.destination.role == CLIENT else ""), []).append(one)
    return groups


def _mendable(group: Iterable[RequirementResult]) -> bool:
    """Tell whether a rule lets one of a group through; where one is open and fails, that one is in use."""
    members = list(group)
    return any(map(stopped_by_rule, members)) and all(one.verdict in r.FAILING for one in members)


def _needs(groups: dict[GroupKey, list[RequirementResult]], host: HostResult, opens: Opens) -> Needs:
    """Return what would let a host work; note in opens what each opening is about."""
    choices: list[list[Opening]] = []
    for (key, _), group in groups.items():
        found: dict[Opening, None] = {}
        for one in filter(stopped_by_rule, group):
            opening = Opening(*block_location(one, host), key)
            opens[opening][one.requirement].add(Way(one.ports, _server(one)))
            found[opening] = None
        choices.append(list(found))
    return frozenset(frozenset(chosen) for chosen in product(*choices))


def _server(one: RequirementResult) -> str:
    """Return the address of the end that is no client."""
    return (one.source if one.destination.role == CLIENT else one.destination).address or ""


# changes, in words


def _changes(need: Counter[Needs], opens: Opens, unhelped: int, ruleset: Ruleset) -> Iterator[FirewallChange]:
    order = {one.id: number for number, one in enumerate(ruleset.requirements)}
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
    groups = sorted((sorted(opens[one], key=order.__getitem__) for one in openings), key=lambda ids: order[ids[0]])
    ways: dict[str, set[Way]] = defaultdict(set)
    for opening in openings:
        for one, some in opens[opening].items():
            ways[one] |= some
    wanted = [[_wanted(ruleset.requirement(one), ruleset, ways[one]) for one in ids] for ids in groups]
    servers: dict[str, set[str]] = defaultdict(set)
    for one, some in ways.items():
        servers[ruleset.requirement(one).partner].update(way.server for way in some)
    return FirewallChange(
        requirements=tuple(one for ids in groups for one in ids),
        place=place,
        device=device,
        ports=", ".join(" or ".join(words for _, words in group) for group in wanted),
        helps=counts[0],
        remaining=counts[1],
        remedy=_remedy(place, device, wanted, servers),
    )


def _wanted(requirement: Requirement, ruleset: Ruleset, ways: Iterable[Way]) -> tuple[Requirement, str]:
    return requirement, port(requirement, ruleset, {way.ports for way in ways})


def port(requirement: Requirement, ruleset: Ruleset, at_sites: Iterable[Ports]) -> str:
    """Return what a requirement needs open as an administrator of firewalls says it, such as "TCP 445".

    at_sites: its ports at each site: these may differ, so that "TCP 80 and 8080" have to be opened.
    """
    if requirement.icmp_echo:
        return "ICMP echo requests"
    if requirement.dynamic:
        today = "".join(f" {low}-{high}" for low, high in ruleset.dynamic_ports[:1])
        return f"{requirement.protocol.upper()} dynamic{today}"
    ports = " and ".join(" or ".join(map(str, one)) for one in sorted(at_sites))
    return f"{requirement.protocol.upper()} {ports}"


def _remedy(
    place: str, device: str, wanted: list[list[tuple[Requirement, str]]], servers: Mapping[str, Collection[str]]
) -> str:
    """Return what to do at a place, in a sentence or two.

    wanted: requirements, each with its ports in words; servers: the addresses of those who play a role.
    """
    those = partial(_those, servers=servers)
    ways: dict[tuple[str, str], list[str]] = {}
    for group in wanted:
        either = " or ".join(f"{words} ({one.row})" for one, words in group)
        either += ", whichever the site uses," if len(group) > 1 else ""
        first, _ = group[0]
        ways.setdefault((first.from_role, first.to_role), []).append(either)
    if place == CLIENT:
        told = [f"{_listed(ports)} {_bound(place, way, those)}" for way, ports in ways.items()]
        return f"In the firewall of each client, allow {_listed(told)}. One Group Policy does it for all of them."
    told = [f"{_listed(ports)} from {those(way[0])} to {those(way[1])}" for way, ports in ways.items()]
    if place == r.UNKNOWN and not device:
        where = "Where it is stopped nobody knows: begin with the firewall of a client, then the devices between."
        return f"Allow {_listed(told)}. {where}"
    if place in (r.BETWEEN, r.UNKNOWN):
        at = f"On {device}, and on every further device on the way" if device else "On the devices between"
        return f"{at}, allow {_listed(told)}."
    told = [f"{_listed(ports)} {_bound(place, way, those)}" for way, ports in ways.items()]
    return f"In the firewall of {_those(place)}{f' {device}' if device else ''} itself, allow {_listed(told)}."


def _bound(place: str, way: tuple[str, str], those: Callable[[str], str]) -> str:
    source, destination = way
    return f"outbound to {those(destination)}" if place == source else f"inbound from {those(source)}"


def _those(role: str, servers: Mapping[str, Collection[str]] = MappingProxyType({})) -> str:
    """Return what is said for who plays a role, with the addresses if these are few."""
    if role == CLIENT:
        return "the clients"
    addresses = sorted(filter(None, servers.get(role, ())), key=by_number)
    named = f" ({', '.join(addresses)})" if 0 < len(addresses) <= MOST_SERVERS else ""
    return f"the {role.replace('-', ' ')}{named}"


def _listed(words: list[str]) -> str:
    return words[0] if len(words) == 1 else f"{', '.join(words[:-1])} and {words[-1]}".replace(",,", ",")


# what no rule helps


def _cause(others: list[RequirementResult]) -> CauseKey:
    """Return why a host fails whatever is opened: that it is not reached at all, if so, else the first that failed."""
    for one in others:
        if one.verdict in UNREACHED and one.destination.role == CLIENT:
            return one.verdict, "", "", "", ()
    first = next((one for one in others if not stopped_by_rule(one)), others[0])
    if first.verdict in r.FAILING:
        return first.verdict, "", "", first.requirement, first.ports
    fatal = next((problem for problem in first.problems if problem.fatal), None)
    return PROBLEM, fatal.layer if fatal else "", fatal.code if fatal else "", first.requirement, first.ports


def _causes(causes: Counter[CauseKey], ruleset: Ruleset) -> tuple[Cause, ...]:
    merged: Counter[tuple[str, str, str, str]] = Counter()
    for key, count in causes.items():
        verdict, _, code, requirement, _ = key
        merged[verdict, code, requirement, _advice(key, ruleset)] += count
    made = [Cause(verdict, code, name, count, advice) for (verdict, code, name, advice), count in merged.items()]
    return tuple(sorted(made, key=lambda one: (-one.hosts, one.verdict, one.code, one.requirement, one.remedy)))


def _advice(key: CauseKey, ruleset: Ruleset) -> str:
    """Return what to do where no rule helps."""
    verdict, layer, code, requirement, ports = key
    if not requirement:
        return _UNREACHED.get(verdict, "See what is said of the host itself: why it fails these sources do not tell.")
    one = ruleset.requirement(requirement)
    what = f"{port(one, ruleset, [ports])} ({one.row})"
    if verdict == PROBLEM:
        known = _known(layer, code)
        said = (
            f"{known.meaning[:1].upper()}{known.meaning[1:]}: {known.action[:1].lower()}{known.action[1:]}"
            if known
            else ""
        )
        return f"{what} is open, but a step failed. {said}".strip()
    if verdict in UNREACHED:
        target = _those(one.to_role)
        return f"Find out whether {target} is on, has this address, and whether a way leads to it from the clients."
    return f"Check that the service behind {what} runs on {_those(one.to_role)}: an allow rule does not start it."


_UNREACHED = {
    r.UNREACHABLE: "No way leads to these computers: find out whether they are on and have these addresses (DNS may be "
    "old), and whether their networks have a route.",
    r.NO_RESPONSE: "Nothing at all is heard of these computers: find out whether they are on and have these addresses "
    "(DNS may be old). If they are, everything to them is blocked: capture at one of them.",
}


def _known(layer: str, code: str) -> StatusMeaning | None:
    for one in problems().get(layer, {}).values():
        if one.name == code:
            return one
    return next((known for of, known in find_status(code) if of == layer), None)
