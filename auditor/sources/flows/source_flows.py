"""What every kind of flows offers, of captures, logs, and summaries: a table, the events of each flow, and hosts."""

from __future__ import annotations

from collections.abc import Container, Mapping, Sequence
from typing import TYPE_CHECKING, Any, NamedTuple, Protocol

if TYPE_CHECKING:
    import pandas as pd

    from auditor.sources.capture.packets import IcmpError
    from auditor.sources.flows.neighbors import NeighborRequests
    from auditor.sources.flows.table import FlowTable


class FlowEvent(NamedTuple):
    """A packet that says what a flow is.

    Attributes:
        frame: Number of the frame; of logs of the line, or record.
        time_ns: Nanoseconds since 1970, UTC unless the times of a log are local.
        from_src: Whether the originator sent it.
        packet_kind: "SYN", "SYN-ACK", "RST", "FIN", "data", "ACK", "request", "reply" or "datagram"; "stray" is what
            the responder sent, but not to this attempt, and what answers an attempt that there was not.
        sequence: TCP sequence number, or that of an echo; 0 if unknown.
        hop_count: Hops that the packet has left (ip.ttl, ipv6.hlim), 0 if unknown, as in a log.
        ip_id: Identification of IPv4 (ip.id), 0 if it has none, as in a log.
    """

    frame: int
    time_ns: int
    from_src: bool
    packet_kind: str
    sequence: int
    hop_count: int = 0
    ip_id: int = 0


class OneWayTraffic(NamedTuple):
    """Pairs of hosts, and hosts, of which only one side's packets were captured: their silence means nothing."""

    pairs: frozenset[tuple[str, str]] = frozenset()
    hosts: frozenset[str] = frozenset()


class LogContents(Protocol):
    """What a log can show at all.

    Attributes:
        drops: How many rows or events show that something was dropped.
        allows: How many show that something was let through.
        local: The addresses of the computer that wrote the log, each with `address`.
    """

    @property
    def drops(self) -> int: ...  # noqa: D102 - see the class
    @property
    def allows(self) -> int: ...  # noqa: D102
    @property
    def local(self) -> Sequence[Any]: ...  # noqa: D102


class SourceFlows(Protocol):
    """All flows of one source.

    Attributes:
        table: One row a flow; row numbers are flow numbers.
        errors: ICMP errors about a flow, by its number.
        asked: Requests for a hardware address without a response.
        heard: Every host that sent anything.
        one_sided: Of whom only one direction was captured.
        on_link: Hosts on whose own network the capture was taken.
        facts: What the log can show at all; None of captures.
    """

    @property
    def table(self) -> FlowTable | pd.DataFrame: ...  # noqa: D102 - see the class
    @property
    def errors(self) -> Mapping[int, Sequence[IcmpError]]: ...  # noqa: D102
    @property
    def asked(self) -> tuple[NeighborRequests, ...]: ...  # noqa: D102
    @property
    def heard(self) -> Container[str]: ...  # noqa: D102
    @property
    def one_sided(self) -> OneWayTraffic: ...  # noqa: D102
    @property
    def on_link(self) -> frozenset[str]: ...  # noqa: D102
    @property
    def facts(self) -> LogContents | None: ...  # noqa: D102

    def identifier(self, flow: int) -> int:
        """Return the identifier of the pings of a flow, 0 for other flows."""

    def events(self, flow: int) -> Sequence[FlowEvent]:
        """Return the events of one flow in file order."""
