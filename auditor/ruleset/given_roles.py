"""The roles that the user named: for each role, addresses, networks, or names of computers."""

from __future__ import annotations

import ipaddress
import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property

from auditor.errors import ArgumentError
from auditor.ruleset.addresses import canonical, parsed
from auditor.ruleset.lint import CLIENT, ROLES, SITE_SERVER, nearest

IPV4_MAPPED_BITS = 96  # of ::ffff:10.0.0.5, before the IPv4 address (RFC 4291, 2.5.5.2)
# A host name has a letter in its last label (RFC 3696, 2); underscores occur in names of Windows computers.
HOST_NAME = re.compile(r"(?=.{1,255}$)(?:[A-Za-z0-9_-]{1,63}\.)*[A-Za-z0-9_-]*[A-Za-z_][A-Za-z0-9_-]*\.?")
Network = ipaddress.IPv4Network | ipaddress.IPv6Network


@dataclass(frozen=True)
class ConfiguredRoles:
    """The roles that the administrator named.

    Attributes:
        networks: For each role addresses, as networks of one host, and networks.
        host_names: For each role names of computers whose address is not known yet.
    """

    networks: Mapping[str, tuple[Network, ...]] = field(default_factory=dict)
    host_names: Mapping[str, tuple[str, ...]] = field(default_factory=dict)

    def names(self, role: str) -> bool:
        """Tell whether anybody was named for a role."""
        return bool(self.networks.get(role) or self.host_names.get(role))

    def resolved(self, address_of: Callable[[str], str]) -> ConfiguredRoles:
        """Return the roles with addresses in place of names.

        Args:
            address_of: Returns the address of a name, empty if it is unknown.
        """
        if not self.host_names:
            return self
        addresses = {
            role: tuple(ipaddress.ip_network(address) for name in names if (address := address_of(name)))
            for role, names in self.host_names.items()
        }
        unknown = {
            role: tuple(name for name in names if not address_of(name)) for role, names in self.host_names.items()
        }
        roles = {*self.networks, *addresses}
        networks = {role: (*self.networks.get(role, ()), *addresses.get(role, ())) for role in roles}
        return ConfiguredRoles(networks, {role: names for role, names in unknown.items() if names})

    def covers(self, role: str, address: str) -> bool:
        """Tell whether a host may play a role: yes if it was named for it, or nobody was.

        A host of which only the name is known may be any of the addresses, and of the names the one that it has.
        While the address of a name is unknown, it may be any.
        """
        networks, names = self.networks.get(role, ()), self.host_names.get(role, ())
        if not canonical(address):
            return not (address and names) or any(is_same_host(name, address) for name in names)
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


def is_same_host(name: str, rival: str) -> bool:
    """Tell whether two names may be of one computer: a short name is the first part of a full one."""
    full, short = name.lower().rstrip("."), rival.lower().rstrip(".")
    if ("." in full) == ("." in short):
        return full == short
    return full.partition(".")[0] == short.partition(".")[0]


def parse_roles(roles: Mapping[str, str | Iterable[str]], *, by_name: bool = False) -> ConfiguredRoles:
    """Return the given roles, checked.

    Args:
        roles: Addresses and networks by role.
        by_name: Whether names of computers are allowed too.

    Raises:
        ArgumentError: For an unknown role or what is no address.
    """
    networks: dict[str, tuple[Network, ...]] = {}
    host_names: dict[str, tuple[str, ...]] = {}
    for role, values in roles.items():
        if role not in ROLES:
            raise ArgumentError(f"no such role: {role!r}", where="--role", hint=_role_hint(role))
        words = [values] if isinstance(values, str) else list(values)
        names = [word.strip() for word in words if by_name and HOST_NAME.fullmatch(word.strip())]
        networks[role] = tuple(_network(role, word) for word in words if word.strip() not in names)
        if names:
            host_names[role] = tuple(names)
    configured = ConfiguredRoles(networks, host_names)
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
