"""The flows of a source that has none: a log of what a program did reports steps, not traffic."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import cached_property

import numpy as np

from auditor.sources.capture.packets import IcmpError
from auditor.sources.flows.columns import TABLE
from auditor.sources.flows.neighbors import NeighborRequests
from auditor.sources.flows.source_flows import FlowEvent, OneWayTraffic
from auditor.sources.flows.table import FlowTable


class NoFlows:
    """An empty flow table, and nothing that was heard of any host. As SourceFlows."""

    errors: Mapping[int, Sequence[IcmpError]] = {}
    asked: tuple[NeighborRequests, ...] = ()
    heard: frozenset[str] = frozenset()
    one_sided = OneWayTraffic()
    on_link: frozenset[str] = frozenset()
    facts = None

    @cached_property
    def table(self) -> FlowTable:
        """The table, with all columns and no row."""
        types = {
            name: np.int64 if kind.lower().startswith(("int", "datetime")) else object for name, kind in TABLE.items()
        }
        return FlowTable({name: np.array([], kind) for name, kind in types.items()})

    def identifier(self, flow: int) -> int:
        """Raise IndexError: there is no flow."""
        raise IndexError(flow)

    def events(self, flow: int) -> Sequence[FlowEvent]:
        """Raise IndexError: there is no flow."""
        raise IndexError(flow)
