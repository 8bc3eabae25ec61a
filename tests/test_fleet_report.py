"""The report of a fleet: counts that add up, the changes that help most, and nobody fine of whom nobody knows."""

from __future__ import annotations

import dataclasses
import itertools
from collections import Counter

import pytest
from fleets import MAIN, SERVER, fleet, host, site
from hypothesis import given
from hypothesis import strategies as st
from test_logged import LOGGED

from auditor import report as r
from auditor.fleet.changes import Opening, in_order
from auditor.fleet.document import NO_EVIDENCE, FleetReport, Outcome, Quarantined, StopCount
from auditor.fleet.mending import NO_RULE_HELPS
from auditor.render.fleet_text import render_fleet_text

OWN = "blocked at client"


def changes(*hosts: object) -> list[tuple[str, str, str, int, int]]:
    """Return place, device, ports and counts of the changes for some hosts."""
    return [(one.place, one.device, one.ports, one.helps, one.remaining) for one in fleet(hosts).changes]
