"""Requests that a client's log reports and that the IIS log of the site system does not have."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Collection, Iterator, Mapping, Sequence
from typing import NamedTuple

from auditor.report.model import utc_text
from auditor.ruleset.statements import say
from auditor.sources.configmgr.facts import ServedRequest
from auditor.sources.source import Source
from auditor.verdicts.installations.reported import BESIDE_PUSH_NS, FromSource


class _Span(NamedTuple):
    """When a client sent requests of one kind; in between, not every row is kept."""

    first_ns: int
    last_ns: int


ALWAYS = _Span(0, 2**63)  # of rows without a time


class IisCoverage:
    """What the logs of IIS have of one client.

    Args:
        addresses: Those of the client. Without any, nothing can be missing.
        served: The requests from these addresses, of all logs.
        servers: By log of IIS the addresses of its computer.
        sources: All that were read.
    """

    def __init__(
        self,
        addresses: Collection[str],
        served: Sequence[FromSource[ServedRequest]],
        servers: Mapping[int, frozenset[str]],
        sources: Sequence[Source],
    ) -> None:
        self._addresses = sorted(addresses)
        self._served = served
        self._servers = servers
        self._sources = sources

    def missing(self, server: str | None, time_ns: int | None) -> str:
        """Return a sentence if a request did not reach IIS, empty if it did or that is unknown.

        Args:
            server: Address of the site system; of an unknown one, no log shows that a request is missing.
            time_ns: When the client's log reports the request, UTC.
        """
        if time_ns is None or not self._addresses:
            return ""
        begin, end = time_ns - BESIDE_PUSH_NS, time_ns + BESIDE_PUSH_NS
        logs = [log for log, addresses in self._servers.items() if server in addresses]
        if not logs or not all(self._covers(log, begin, end) for log in logs):
            return ""
        if any(span.first_ns <= end and begin <= span.last_ns for log in logs for span in self._spans(log)):
            return ""
        return say(
            "reported.not-in-iis",
            log=self._sources[logs[0]].path,
            clients=", ".join(self._addresses),
            first=utc_text(begin),
            last=utc_text(end),
        )

    def _covers(self, log: int, begin: int, end: int) -> bool:
        """Tell whether a log has rows before and after, and was read whole."""
        source = self._sources[log]
        if source.first_ns is None or source.last_ns is None or source.skipped or source.warnings:
            return False
        return source.first_ns <= begin and end <= source.last_ns

    def _spans(self, log: int) -> Iterator[_Span]:
        kinds: dict[tuple[object, ...], list[ServedRequest]] = defaultdict(list)
        for source, request in self._served:
            if source == log:
                kinds[request.client, request.server, request.port, request.status, request.substatus].append(request)
        for requests in kinds.values():
            times = [request.time_ns for request in requests if request.time_ns is not None]
            if len(times) < len(requests):
                yield ALWAYS
            elif any(request.rows > 1 for request in requests):
                yield _Span(min(times), max(times))
            else:
                yield from (_Span(time, time) for time in times)
