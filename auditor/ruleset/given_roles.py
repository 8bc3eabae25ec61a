"""The roles that the user named: for each role, addresses or networks."""

from __future__ import annotations

import ipaddress
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property

from auditor.errors import ArgumentError
from auditor.ruleset.addresses import parsed
from auditor.ruleset.lint import CLIENT, ROLES, SITE_SERVER, nearest

IPV4_MAPPED_BITS = 96  # of ::ffff:10.0.0.5, before the IPv4 address (RFC 4291, 2.5.5.2)
Network = ipaddress.IPv4Network | ipaddress.IPv6Network


@dataclass(frozen=True)
class ConfiguredRoles:
    """The roles that the administrator named: for each role, addresses or networks."""

    networks: Mapping[str, tuple[Network, ...]] = field(default_factory=dict)

    def names(self, role: str) -> bool:
        """Tell whether anybody was named for a role."""
        return bool(self.networks.get(role))

    def covers(self, role: str, address: str) -> bool:
        """Tell whether an address may play a role: yes if it was named for it, or nobody was."""
        networks = self.networks.get(role, ())
        return (
            not networks
            or address in self._single(role)
            or any(parsed(address) in network for network in self._wide(role))
        )

    def hosts(self, role: str) -> list[str]:
        """Return the single addresses (not the networks) named for a role."""
        return list(self._single(role))

    def _single(self, role: str) -> dict[str, None]:
        return self._by_width.get(role, ({}, ()))[0]

    def _wide(self, role: str) -> Sequence[Network]:
        return self._by_width.get(role, ({}, ()))[1]

    @cached_property
    def _by_width(self) -> dict[str, tuple[dict[str, None], list[Network]]]:
        """For each role its single addresses, to be looked up, and its networks."""
        return {
            role: (
                {str(network.network_address): None for network in networks if network.num_addresses == 1},
                [network for network in networks if network.num_addresses > 1],
            )
            for role, networks in self.networks.items()
        }


def parse_roles(roles: Mapping[str, str | Iterable[str]]) -> ConfiguredRoles:
    """Return the given roles, checked.

    Raises:
        ArgumentError: For an unknown role or what is no address.
    """
    networks: dict[str, tuple[Network, ...]] = {}
    for role, values in roles.items():
        if role not in ROLES:
            raise ArgumentError(f"no such role: {role!r}", where="--role", hint=_role_hint(role))
        words = [values] if isinstance(values, str) else list(values)
        networks[role] = tuple(_network(role, word) for word in words)
    configured = ConfiguredRoles(networks)
    if both := set(configured.hosts(SITE_SERVER)) & set(configured.hosts(CLIENT)):
        hint = "Set two different computers."
        raise ArgumentError(f"{min(both)} cannot be site server and client at once", where="--role", hint=hint)
    return configured


def _role_hint(word: str) -> str:
    meant = nearest(word, ROLES)
    return (f"Did you mean {meant}? " if meant else "") + f"The roles are {', '.join(ROLES)}."


def _network(role: str, word: str) -> Network:
    try:
        network = ipaddress.ip_network(re.sub("%[^/]*", "", word.strip()), strict=False)  # without the scope id
    except ValueError:
        hint = "Use an address such as 10.0.0.5 or a network such as 10.0.0.0/24."
        hint += f" Set each with its own --role {role}=ADDRESS." if "," in word else ""
        raise ArgumentError(f"{word!r} is not an IP address or network", where=f"--role {role}", hint=hint) from None
    mapped = network.network_address.ipv4_mapped if isinstance(network, ipaddress.IPv6Network) else None
    if mapped is None or network.prefixlen < IPV4_MAPPED_BITS:
        return network
    return ipaddress.ip_network((mapped, network.prefixlen - IPV4_MAPPED_BITS))
