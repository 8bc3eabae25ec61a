"""IP addresses as text: their order, and what kind of address each is; each is parsed once.

A host of which only ConfigMgr's own logs report has a name in place of an address.
"""

from __future__ import annotations

import ipaddress
from functools import lru_cache
from socket import AF_INET, inet_pton

BEHIND_ADDRESSES = 7  # greater than any IP version


@lru_cache(maxsize=100_000)
def parsed(address: str) -> ipaddress.IPv4Address | ipaddress.IPv6Address:
    """Return an address as the standard library has it. Parsing takes longer than all else that is asked of one."""
    return ipaddress.ip_address(address)


@lru_cache(maxsize=100_000)
def canonical(text: str) -> str:
    """Return an address in its usual short form (RFC 5952), empty if the text is none."""
    try:
        return str(ipaddress.ip_address(text))
    except ValueError:
        return ""


def by_number(address: str) -> tuple[int, int, str]:
    """Return the sort key that puts addresses in numeric order, IPv4 first, and names behind them."""
    try:  # an IPv4 address, as most are
        return 4, int.from_bytes(inet_pton(AF_INET, address)), ""
    except (OSError, ValueError):  # a name, which may hold any character
        if not canonical(address):
            return BEHIND_ADDRESSES, 0, address
        number = parsed(address)
        return number.version, int(number), ""


def is_public(address: str) -> bool:
    """Tell whether an address is one of the Internet's."""
    return parsed(address).is_global


@lru_cache(maxsize=100_000)
def is_one_host(address: str) -> bool:
    """Tell whether an address is that of one other computer: no multicast, broadcast, loopback or 0.0.0.0."""
    number = parsed(address)
    return not (number.is_multicast or number.is_loopback or number.is_unspecified or address == "255.255.255.255")
