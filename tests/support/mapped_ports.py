"""Audits of captures in which the endpoint mapper assigns ports."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from types import MappingProxyType
from typing import NamedTuple

from packets import pcap
from scenario import scene

from auditor import Report
from auditor.ruleset.given_roles import parse_roles
from auditor.ruleset.ruleset import SiteFacts, load_ruleset
from auditor.sources.dissection.facts import (
    AssignedPort,
    ProtocolFacts,
    ProtocolStep,
)
from auditor.sources.files.warnings import SourceWarning
from auditor.sources.source import Source
from auditor.verdicts import evaluate as verdicts
from auditor.verdicts.dissect import DissectionResult
from auditor.verdicts.installations.contacts import contacts_of, merge
from auditor.verdicts.installations.roles import RoleMap, infer_roles
from auditor.version import TOOL

SERVER, CLIENT = "10.0.0.5", "10.0.0.20"


ROLES = {"site-server": SERVER, "client": CLIENT}


RULES = load_ruleset()


class Taken(NamedTuple):
    """A capture: its lines, the interface of each port that was assigned, and steps.

    client: to whom the ports were assigned. frames: in which a port was; those without are assigned before all others.
    again: more assignments, such as of the same ports.
    """

    lines: list[str]
    assigned: Mapping[int, str] = MappingProxyType({})
    steps: Sequence[ProtocolStep] = ()
    client: str = ""
    frames: Mapping[int, int] = MappingProxyType({})
    again: Sequence[AssignedPort] = ()


Read = Callable[..., Source]


def cast_of(sources: list[Source]) -> RoleMap:
    """Return who is who, as ROLES names them."""
    contacts = merge(contact for source in sources for contact in contacts_of(source, RULES))
    return infer_roles(sources, RULES, parse_roles({role: (address,) for role, address in ROLES.items()}), contacts)


def audit(read: Read, *captures: Taken, obstacle: str = "", warnings: tuple[SourceWarning, ...] = ()) -> Report:
    """Audit captures of which it is known what the dissectors read. obstacle, warnings: why they did not read all."""
    sources = [replace(read(pcap(scene(taken.lines))), warnings=warnings) for taken in captures]
    said = tuple(
        ProtocolFacts(
            assigned_ports=(
                *(
                    AssignedPort(CLIENT, port, name, taken.frames.get(port, 0), "test", client=taken.client)
                    for port, name in taken.assigned.items()
                ),
                *taken.again,
            ),
            steps=tuple(taken.steps),
        )
        for taken in captures
    )
    cast = cast_of(sources)
    return verdicts.audit(sources, RULES, cast, SiteFacts(), ["client-push"], TOOL, DissectionResult(said, obstacle))
