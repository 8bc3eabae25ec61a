"""What a log of ConfigMgr reports of each computer: a site server's log is of all that it installs clients on."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field, replace
from typing import TypeVar

from auditor.ruleset.addresses import canonical
from auditor.sources.configmgr.facts import (
    FactKind,
    Installation,
    MachineStatus,
    PushRequest,
    ReportedSteps,
    ServedRequest,
)

Record = TypeVar("Record", PushRequest, MachineStatus, ServedRequest)


@dataclass(frozen=True)
class ReportedPart:
    """What a log reports of one computer.

    Attributes:
        host: Its name in capital letters, its address if the log names it by that; empty if it does not name it.
        addresses: Those that CCMSetup reports of its own computer.
        reported: What concerns it.
    """

    host: str
    addresses: tuple[str, ...]
    reported: ReportedSteps

    @property
    def times(self) -> tuple[int | None, int | None]:
        """From when until when the log reports of it; None if it gives no time."""
        records: list[PushRequest | Installation] = [*self.reported.requests, *self.reported.installations]
        times = [time for record in records for time in (record.first_ns, record.last_ns)]
        times += [status.last_ns for status in self.reported.machines]
        times += [step.time_ns for step in self.reported.steps]
        times += [row.time_ns for row in self.reported.served]
        known = [time for time in times if time is not None]
        return min(known, default=None), max(known, default=None)


@dataclass
class _PartOfComputer:
    requests: list[PushRequest] = field(default_factory=list)
    machines: list[MachineStatus] = field(default_factory=list)


def parts_of(reported: ReportedSteps) -> Iterator[ReportedPart]:
    """Yield what a log reports of each computer: those that are pushed, then the one that wrote it, then those served.

    Args:
        reported: All that it reports.
    """
    pushed: dict[str, _PartOfComputer] = defaultdict(_PartOfComputer)
    for request in reported.requests:
        pushed[full_name(request.machine)].requests.append(request)
    for status in reported.machines:
        pushed[full_name(status.machine)].machines.append(status)
    for host in sorted(pushed):
        of_host = pushed[host]
        yield ReportedPart(host, (), ReportedSteps(requests=tuple(of_host.requests), machines=tuple(of_host.machines)))
    served: dict[str, list[ServedRequest]] = defaultdict(list)
    for row in reported.served:
        served[canonical(row.client)].append(row)
    for client in sorted(filter(None, served)):
        yield ReportedPart("", (client,), ReportedSteps(served=tuple(served[client])))
    if reported.installations or reported.steps:
        own = replace(reported, requests=(), machines=(), served=(), unknown_errors=())
        named = _values(reported, FactKind.COMPUTER_NAME)
        addresses = filter(None, map(canonical, _values(reported, FactKind.COMPUTER_ADDRESS)))
        yield ReportedPart(full_name(named[0]) if named else "", tuple(dict.fromkeys(addresses)), own)


def joined(parts: Iterable[ReportedSteps | None]) -> ReportedSteps | None:
    """Return as one what one log reports of a computer under several names or addresses; None if it is no such log."""
    known = [part for part in parts if part is not None]
    if not known:
        return None
    return replace(
        known[0],
        requests=_in_lines(request for part in known for request in part.requests),
        machines=_in_lines(status for part in known for status in part.machines),
        served=_in_lines(row for part in known for row in part.served),
    )


def _in_lines(records: Iterable[Record]) -> tuple[Record, ...]:
    return tuple(sorted(records, key=_line_of))


def _line_of(record: PushRequest | MachineStatus | ServedRequest) -> int:
    return record.first_line if isinstance(record, PushRequest) else record.line


def full_name(name: str) -> str:
    """Return a name in capital letters; an address as it is; a blank name is empty."""
    return canonical(name.strip()) or name.strip().rstrip(".").upper()


def _values(reported: ReportedSteps, kind: FactKind) -> list[str]:
    return [fact.value for fact in reported.all_facts if fact.kind is kind]
