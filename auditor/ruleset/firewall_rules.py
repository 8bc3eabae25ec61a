"""The Windows Firewall rules that let an installation method through: which, on which computer, and why."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path

from auditor.errors import ArgumentError
from auditor.ruleset.given_roles import ConfiguredRoles, Network, parse_roles
from auditor.ruleset.ruleset import (
    DEFAULT_RULESET,
    Method,
    Requirement,
    Ruleset,
    SiteFacts,
    load_ruleset,
    shipped_rulesets,
    with_ports,
)
from auditor.ruleset.site import known_site

GROUP = "Configuration Manager client installation (auditor)"
IN, OUT = "in", "out"
ECHO_REQUESTS = {"icmpv4": 8, "icmpv6": 128}  # message types of RFC 792 and RFC 4443
VERSIONS = {"icmpv4": 4, "icmpv6": 6}


@dataclass(frozen=True)
class FirewallRule:
    """One rule of one computer's Windows Firewall.

    Attributes:
        on: The role of the computer whose firewall gets it.
        direction: "in" or "out".
        protocol: "tcp", "udp", "icmpv4" or "icmpv6".
        ports: Single ports and ranges as text, of the computer that is reached; empty for ICMP.
        dynamic: The RPC run-time knows the ports, which are then only their documented range.
        own: Addresses and networks of this computer, empty if they are not known.
        peers: Addresses and networks of the other one, empty if they are not known.
        alternatives: There is a rule for HTTP and one for HTTPS, and one of them is enough.
        only_if: What must be so for the rule to be needed, empty if it always is.
    """

    name: str
    requirement: Requirement
    on: str
    direction: str
    protocol: str
    ports: tuple[str, ...]
    dynamic: bool
    icmp_type: int | None
    own: tuple[str, ...]
    peer: str
    peers: tuple[str, ...]
    only_if: str
    alternatives: bool = False


@dataclass(frozen=True)
class OmittedRequirement:
    """A requirement for which no rule is made, and why."""

    requirement: Requirement
    why: str


@dataclass(frozen=True)
class RuleList:
    """All rules of some methods: in the order of the ruleset; hosts: the roles whose computers get some, in order."""

    ruleset: Ruleset
    methods: tuple[Method, ...]
    rules: tuple[FirewallRule, ...]
    left_out: tuple[OmittedRequirement, ...]
    outbound: bool

    @property
    def hosts(self) -> tuple[str, ...]:
        """Return the roles whose computers get a rule, each once."""
        return tuple(dict.fromkeys(rule.on for rule in self.rules))

    @property
    def unknown_peers(self) -> tuple[str, ...]:
        """Return the roles whose addresses are not known, so that rules are open to anybody."""
        return tuple(dict.fromkeys(rule.peer for rule in self.rules if not rule.peers))


def rule_name(requirement: Requirement, *, direction: str = IN, protocol: str = "") -> str:
    """Return the DisplayName of the rule for a requirement, by which a remedy can call it.

    Args:
        requirement: What the rule is for.
        direction: "in" on the computer that is reached, "out" on the one that connects.
        protocol: "icmpv6" for the second rule of an echo request.
    """
    marks = ["outbound"] * (direction == OUT) + ["ICMPv6"] * (protocol == "icmpv6")
    return f"auditor: {requirement.id}" + (f" ({', '.join(marks)})" if marks else "")


def firewall_rules(
    selection: str,
    *,
    ruleset: str | Path = DEFAULT_RULESET,
    methods: Iterable[str] | None = None,
    roles: Mapping[str, str | Iterable[str]] | None = None,
    mode: str | None = None,
    ports: Mapping[str, int] | None = None,
    properties: Iterable[str] = (),
    site: str | Path | None = None,
    outbound: bool = False,
) -> RuleList:
    """Return the Windows Firewall rules for a method, or for all methods of a ruleset.

    Args:
        selection: Id of a method of `ruleset`, or id or file of a ruleset.
        ruleset: As of `auditor.audit`.
        methods: Of a ruleset, only these.
        roles: As of `auditor.audit`.
        mode: As of `auditor.audit`.
        ports: As of `auditor.audit`.
        properties: As of `auditor.audit`.
        site: As of `auditor.audit`.
        outbound: Also rules for the computers that connect.

    Raises:
        RulesetError: If there is no such method or ruleset, or a file has faults.
        ArgumentError: If one of the other arguments makes no sense.
    """
    facts = known_site(site, roles=roles, mode=mode, ports=ports, properties=properties)
    rules, chosen = _chosen(selection, ruleset, list(methods or ()))
    rules = with_ports(rules, facts.ports)
    for name in facts.conditions:
        rules.condition(name)
    configured = parse_roles(facts.roles)
    site_facts = replace(facts.facts(), roles=frozenset(facts.roles))
    wanted = tuple(rules.method(method_id) for method_id in chosen)
    entries: list[FirewallRule] = []
    left_out: list[OmittedRequirement] = []
    for requirement in (requirement for method in wanted for requirement in method.requirements):
        if why := _why_not(requirement, rules, site_facts):
            left_out.append(OmittedRequirement(requirement, why))
        else:
            entries += _rules(requirement, rules, configured, site_facts, (IN, OUT) if outbound else (IN,))
    if not entries:
        raise ArgumentError(
            f"nothing of {selection} needs to be allowed here",
            hint="Remove settings of the site, or name other methods.",
        )
    return RuleList(rules, wanted, _with_alternatives(entries), tuple(left_out), outbound)


def _chosen(selection: str, ruleset: str | Path, methods: list[str]) -> tuple[Ruleset, list[str]]:
    """Return the ruleset and the ids of its methods that are meant."""
    rules = load_ruleset(ruleset)
    names = [method.id for method in rules.methods]
    if selection in names:
        if methods and methods != [selection]:
            raise ArgumentError(f"{selection} is a method itself", where="--method", hint="Name it once.")
        return rules, [selection]
    if selection not in shipped_rulesets() and not Path(selection).suffix:
        hint = f"Methods of {rules.id}: {', '.join(names)}; rulesets: {', '.join(shipped_rulesets())}, or a file."
        raise ArgumentError(f"no method or ruleset {selection!r}", hint=hint)
    rules = load_ruleset(selection)
    return rules, methods or [method.id for method in rules.methods]


def _why_not(requirement: Requirement, rules: Ruleset, facts: SiteFacts) -> str:
    if rules.applies(requirement, facts) is False:
        off = [
            rules.condition(condition).text
            for condition in requirement.conditions
            if rules.holds(condition, facts) is False
        ]
        return f"counts only if {' and '.join(off)}"
    return "documented, but nothing depends on it" if requirement.necessity == "informational" else ""


def _rules(
    requirement: Requirement, rules: Ruleset, configured: ConfiguredRoles, facts: SiteFacts, directions: Iterable[str]
) -> list[FirewallRule]:
    """Return the rules of one requirement: one for each direction, of an echo request one for each IP version."""
    open_conditions = [condition for condition in requirement.conditions if rules.holds(condition, facts) is None]
    conditional = requirement.necessity == "conditional"
    only_if = " and ".join(rules.condition(condition).text for condition in open_conditions) if conditional else ""
    entries = []
    for direction in directions:
        on, peer = requirement.to_role, requirement.from_role
        if direction == OUT:
            on, peer = peer, on
        networks = configured.networks.get(peer, ())
        for protocol in _protocols(requirement, networks):
            entries.append(
                FirewallRule(
                    name=rule_name(requirement, direction=direction, protocol=protocol),
                    requirement=requirement,
                    on=on,
                    direction=direction,
                    protocol=protocol,
                    ports=_ports(requirement, rules),
                    dynamic=requirement.dynamic,
                    icmp_type=ECHO_REQUESTS.get(protocol),
                    own=_texts(configured.networks.get(on, ()), protocol),
                    peer=peer,
                    peers=_texts(networks, protocol),
                    only_if=only_if,
                )
            )
    return entries


def _with_alternatives(rules: list[FirewallRule]) -> tuple[FirewallRule, ...]:
    """Mark the rules of which one of a group is enough; the other may have been left out."""
    groups: dict[tuple[str, str, str | None], set[str]] = {}
    for rule in rules:
        key = (rule.requirement.method, rule.direction, rule.requirement.either_or)
        groups.setdefault(key, set()).add(rule.requirement.id)
    return tuple(
        replace(rule, alternatives=len(groups[rule.requirement.method, rule.direction, rule.requirement.either_or]) > 1)
        if rule.requirement.either_or
        else rule
        for rule in rules
    )


def _protocols(requirement: Requirement, peers: Iterable[Network]) -> tuple[str, ...]:
    if not requirement.icmp_echo:
        return (requirement.protocol,)
    versions = {peer.version for peer in peers}
    return tuple(protocol for protocol, version in VERSIONS.items() if not versions or version in versions)


def _ports(requirement: Requirement, rules: Ruleset) -> tuple[str, ...]:
    if not requirement.dynamic:
        return tuple(map(str, requirement.ports))
    return (*(f"{low}-{high}" for low, high in rules.dynamic_ports), *map(str, rules.fixed_dynamic_ports))


def _texts(networks: Iterable[Network], protocol: str) -> tuple[str, ...]:
    """Return addresses as single ones where they are, of the IP version that the protocol belongs to, if to any."""
    fitting = [network for network in networks if network.version == VERSIONS.get(protocol, network.version)]
    return tuple(str(network.network_address if network.num_addresses == 1 else network) for network in fitting)
