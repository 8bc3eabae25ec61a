"""Ports on which a client reaches a site system, where they are not the documented ones."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from typing import NamedTuple

from auditor.ruleset.addresses import by_number
from auditor.ruleset.known_problems import may_ask_management_point
from auditor.ruleset.lint import CLIENT, HTTP, HTTPS
from auditor.ruleset.ruleset import Requirement, SiteRules
from auditor.ruleset.statements import say
from auditor.verdicts.attempts import Attempt, Traffic


class CustomPort(NamedTuple):
    """Where a requirement is evaluated instead of at its documented ports.

    Attributes:
        text: Why, in a sentence.
        assumed: Whether nothing shows that the site uses this port, only that the client connects to it.
    """

    ports: tuple[int, ...]
    text: str
    assumed: bool


class CustomPorts:
    """The custom ports of the site systems of one client.

    A request shows the port of a role. Without one, a site system that is known as such may use the only other port to
    which the client connects. A port that the user set is never replaced.
    """

    def __init__(self, client: str, traffic: Traffic, rules: SiteRules, is_guess: Callable[[str, str], bool]) -> None:
        """Take what is known of the traffic and the site.

        Args:
            client: The address of the client.
            traffic: The attempts between the computers that play a role.
            rules: The ruleset as it holds at the site.
            is_guess: Tells of a role and an address whether nothing but a port shows that it plays the role.
        """
        self._client = client
        self._traffic = traffic
        self._rules = rules
        self._ruleset = rules.ruleset
        self._is_guess = is_guess
        self._found: dict[tuple[str | None, str, str], CustomPort | None] = {}

    def of(self, requirement: Requirement, server: str) -> CustomPort | None:
        """Return the custom port of a requirement of this client to a server; None if the documented ones hold."""
        key = (requirement.alternate_port, requirement.to_role, server)
        if key not in self._found:
            self._found[key] = self._of(requirement, server)
        return self._found[key]

    def candidates(self, server: str) -> Mapping[int, bool]:
        """Return the ports of a server that may be a custom one, each with whether TLS was seen on it."""
        candidates: dict[int, bool] = defaultdict(bool)
        for attempt in self._attempts(server):
            layers = {step.layer for step in self._traffic.steps(attempt)}
            if attempt.dst_port is not None and "http" not in layers:  # it was asked for what site systems do not have
                candidates[attempt.dst_port] |= "tls" in layers
        return candidates

    def _of(self, requirement: Requirement, server: str) -> CustomPort | None:
        if requirement.from_role != CLIENT or not self._follows_site(requirement):
            return None
        user, shown = self._shown(requirement, server)
        if shown:
            text = _connects(user, server, sorted(shown), requirement)
            return None if shown <= set(requirement.ports) else CustomPort(tuple(sorted(shown)), text, assumed=False)
        setting, port = self._assumed(requirement.to_role, server) or ("", 0)
        if setting != requirement.site_port:
            return None
        connects = _connects(self._client, server, (port,), requirement)
        text = say("custom-port.assumed", connects=connects, setting=setting, port=port)
        return CustomPort((port,), text, assumed=True)

    def _follows_site(self, requirement: Requirement) -> bool:
        """Tell whether a requirement follows a port of the site that the user did not set."""
        return requirement.site_port is not None and requirement.alternate_port not in self._ruleset.set_ports

    # ports that requests show

    def _shown(self, requirement: Requirement, server: str) -> tuple[str, frozenset[int]]:
        """Return the ports on which requests show a role, and whose: this client's, else those of the first other one.

        Other clients count only if this one tried no documented port. Only requests over HTTP can be read.
        """
        role = requirement.to_role
        by_client = self._traffic.requests.get((role, server), {}) if requirement.site_port == HTTP else {}
        user = self._client
        if by_client and user not in by_client and not self._tried(role, server):
            user = min(by_client, key=by_number)
        encrypted = {port for row in self._rows(role) if row.site_port == HTTPS for port in row.ports}
        return user, by_client.get(user, frozenset()) - encrypted

    # ports that are assumed

    def _assumed(self, role: str, server: str) -> tuple[str, int] | None:
        """Return the setting of the site that has a custom port, and the port, where that is assumed."""
        candidates = self.candidates(server)
        port = next(iter(candidates), 0)
        if len(candidates) != 1 or self._is_guess(role, server) or self._tried(role, server):
            return None
        if (role, server) in self._traffic.requests:
            return None
        rows = [row for row in self._rows(role) if self._follows_site(row) and self._rules.applies[row.id] is not False]
        settings = {row.site_port: row.ports for row in rows if row.site_port is not None}
        setting = _setting(port, settings, encrypted=candidates[port])
        return (setting, port) if setting in settings else None

    def _attempts(self, server: str) -> Iterator[Attempt]:
        """Yield the attempts to reach a server on a port that no other service is known to have."""
        for attempt in self._traffic.between(self._client, server):
            port = attempt.dst_port
            if attempt.protocol != "tcp" or attempt.direction_assumed or port is None or _is_of_other_program(attempt):
                continue
            if self._ruleset.may_be_custom(port):
                yield attempt

    def _tried(self, role: str, server: str) -> bool:
        """Tell whether the client tried to reach a role on a documented port."""
        documented = {port for row in self._rows(role) for port in row.ports}
        attempts = self._traffic.between(self._client, server)
        return any(attempt.protocol == "tcp" and attempt.dst_port in documented for attempt in attempts)

    def _rows(self, role: str) -> Iterable[Requirement]:
        rows = self._ruleset.requirements
        return [row for row in rows if row.site_port is not None and (row.from_role, row.to_role) == (CLIENT, role)]


def _connects(client: str, server: str, ports: Sequence[int], requirement: Requirement) -> str:
    """Return that a client uses these ports instead of the documented ones."""
    used = say("list.and").join(say("push.port", port=port) for port in ports)
    documented = [say("push.port", port=port) for port in requirement.ports if port not in ports]
    fields = {"client": client, "server": server, "used": used}
    if not documented:
        return say("custom-port.connects", **fields)
    return say("custom-port.connects-instead", documented=say("list.or").join(documented), **fields)


def _setting(port: int, settings: Mapping[str, Sequence[int]], *, encrypted: bool) -> str:
    """Return which setting of the site a port is of: administrators choose ports that end like the documented ones."""
    if encrypted or len(settings) == 1:
        return HTTPS if encrypted else next(iter(settings))
    alike = [
        name for name, ports in settings.items() if any(str(port).endswith(str(documented)) for documented in ports)
    ]
    return HTTPS if alike == [HTTPS] else HTTP


def _is_of_other_program(attempt: Attempt) -> bool:
    """Tell whether a log shows that no part of the client made an attempt, or that it is a late packet."""
    if attempt.row is None:
        return False
    return attempt.response == "mid-stream" or not may_ask_management_point(attempt.row.program)
