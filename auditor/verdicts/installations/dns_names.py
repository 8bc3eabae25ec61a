"""Addresses that DNS responses in captures show for the computers that logs name."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from typing import NamedTuple

from auditor.ruleset.given_roles import ConfiguredRoles, is_same_host
from auditor.sources.dns import ResolvedName, resolved_names
from auditor.sources.source import Source


class DnsResponse(NamedTuple):
    """The first response that resolves a name to an address.

    Attributes:
        path: The capture.
        resolved: Name, address, and frame.
    """

    path: str
    resolved: ResolvedName


class DnsNames:
    """What DNS responses resolve.

    Args:
        responses: By capture what its responses resolve, in order.
    """

    def __init__(self, responses: Iterable[tuple[str, Sequence[ResolvedName]]] = ()) -> None:
        self._by_label: dict[str, list[DnsResponse]] = defaultdict(list)
        for path, names in responses:
            for resolved in names:
                self._by_label[resolved.name.partition(".")[0]].append(DnsResponse(path, resolved))

    def addresses(self, name: str) -> Mapping[str, DnsResponse]:
        """Return the addresses of a name, each with its first response; a short name is that of any domain."""
        found: dict[str, DnsResponse] = {}
        for response in self._by_label.get(name.lower().partition(".")[0], ()):
            if name and is_same_host(name, response.resolved.name):
                found.setdefault(response.resolved.address, response)
        return found

    def address(self, name: str) -> str:
        """Return the address of a name, empty if it is unknown or there are several."""
        addresses = self.addresses(name)
        return next(iter(addresses)) if len(addresses) == 1 else ""


NO_DNS = DnsNames()


def dns_names(sources: Sequence[Source], configured: ConfiguredRoles) -> DnsNames:
    """Return what the captures resolve, if there are names to resolve: those in logs, and those that the user set.

    Args:
        sources: All that were read.
        configured: The roles that were set.
    """
    if not configured.host_names and not any(source.reported for source in sources):
        return NO_DNS
    return DnsNames((source.path, resolved_names(source)) for source in sources)
