"""What a change of the network fixed or broke: two reports held against each other, requirement by requirement."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from auditor.errors import ReportError
from auditor.report import model as r
from auditor.ruleset.addresses import canonical
from auditor.sources.summary import SourceSummary

if TYPE_CHECKING:
    pass

BROKEN, NEW, STILL_BROKEN, NO_LONGER_OBSERVED, FIXED = "broken", "new", "still-broken", "no-longer-observed", "fixed"
KINDS = (BROKEN, NEW, STILL_BROKEN, NO_LONGER_OBSERVED, FIXED)
_BAD, _GOOD, _UNSEEN = "bad", "good", "unseen"


@dataclass(frozen=True)
class RequirementChange:
    """One requirement of one client in two reports. kind: one of KINDS; worse: it was open and is stopped.

    What is newly seen to be stopped is not worse by itself: often the push merely comes further than it did before.
    """

    client: str
    method: str
    kind: str
    worse: bool
    before: r.RequirementVerdict
    after: r.RequirementVerdict


@dataclass(frozen=True)
class ResultChange:
    """A method whose result is another one now. worse: it fails now, and did not before."""

    client: str
    method: str
    title: str
    before: str
    after: str
    worse: bool


@dataclass(frozen=True)
class UnmatchedClient:
    """A client that only one of the reports has, with the methods that fail for it."""

    client: str
    fails: tuple[str, ...]


@dataclass(frozen=True)
class Comparison:
    """What is different in two reports. notes: what makes the comparison less sure.

    changes: in order of client, method and requirement; what is as it was, and was not stopped, is left out.
    compared: how many clients are in both reports. sources: those of the second report, to which the evidence belongs.
    """

    compared: int
    results: tuple[ResultChange, ...]
    changes: tuple[RequirementChange, ...]
    only_before: tuple[UnmatchedClient, ...]
    only_after: tuple[UnmatchedClient, ...]
    notes: tuple[str, ...]
    sources: tuple[SourceSummary, ...] = field(repr=False)

    @property
    def worse(self) -> bool:
        """Whether a requirement was broken, a method fails that did not, or a client fails that is new."""
        changed = any(change.worse for change in self.changes) or any(result.worse for result in self.results)
        return changed or any(client.fails for client in self.only_after)

    def of_kind(self, kind: str) -> list[RequirementChange]:
        """Return the changes of one of KINDS."""
        return [change for change in self.changes if change.kind == kind]


def compare(before: r.Report, after: r.Report, *, redacted_together: bool = False) -> Comparison:
    """Return what is different in the later of two reports.

    Raises ReportError if they have no client in common, and ArgumentError for the report of a fleet.

    redacted_together: they come from one call of redact_all, so that a pseudonym means the same in both.

    kinds: fixed (was stopped, is open), broken (was open, is stopped), still-broken, no-longer-observed (was seen, is
    not in these sources), new (was not seen, is now). Stopped is what is blocked, refused, unreachable or unanswered,
    and what is open but failed for a problem that ends the installation.
    """
    for report in (before, after):
        r.check_of_one_audit(report, "compared")
    earlier, later = ({client.address: client for client in report.clients} for report in (before, after))
    both = [address for address in earlier if address in later]
    if not both:
        _nothing_in_common(before, after)
    return Comparison(
        compared=len(both),
        results=tuple(result for address in both for result in _results(earlier[address], later[address])),
        changes=tuple(change for address in both for change in _changes(earlier[address], later[address])),
        only_before=_only(earlier, later),
        only_after=_only(later, earlier),
        notes=tuple(_notes(before, after, redacted_together)),
        sources=after.sources,
    )


def _nothing_in_common(before: r.Report, after: r.Report) -> None:
    for name, report in (("first", before), ("second", after)):
        if not report.clients:
            message = f"no client installation is in the {name} report, so there is nothing to compare"
            raise ReportError(message, hint="Analyze the sources again and set --role client=ADDRESS.")
    hint = "Compare reports of the same computers. To redact them, redact both at once: auditor diff A B --redact"
    raise ReportError("the two reports have no client in common", hint=hint)


def _results(before: r.ClientReport, after: r.ClientReport) -> Iterator[ResultChange]:
    earlier = {(method.id, method.site_server): method for method in before.methods}
    for now in after.methods:
        was = earlier.get((now.id, now.site_server))
        if was is not None and was.result != now.result:
            worse = now.result == r.FAILS
            yield ResultChange(after.address, now.id, now.title, was.result, now.result, worse)


def _changes(before: r.ClientReport, after: r.ClientReport) -> Iterator[RequirementChange]:
    earlier = {
        (method.site_server, requirement.id): requirement
        for method in before.methods
        for requirement in method.requirements
    }
    for method in after.methods:
        for now in method.requirements:
            was = earlier.get((method.site_server, now.id))
            if was is not None and (kind := _kind(_state(was), _state(now))):
                worse = kind == BROKEN and now.decides
                yield RequirementChange(after.address, method.id, kind, worse, was, now)


def _state(requirement: r.RequirementVerdict) -> str:
    if requirement.verdict in r.FAILING or any(problem.fatal for problem in requirement.problems):
        return _BAD
    return _GOOD if requirement.verdict in r.PASSING else _UNSEEN


def _kind(before: str, after: str) -> str:
    """Return what kind of change it is, empty if there is nothing to tell."""
    if before == after:
        return STILL_BROKEN if after == _BAD else ""
    if after == _UNSEEN:
        return NO_LONGER_OBSERVED
    if before == _UNSEEN:
        return NEW
    return BROKEN if after == _BAD else FIXED


def _only(
    clients: Mapping[str, r.ClientReport], other_clients: Mapping[str, r.ClientReport]
) -> tuple[UnmatchedClient, ...]:
    return tuple(
        UnmatchedClient(address, tuple(method.id for method in client.methods if method.result == r.FAILS))
        for address, client in clients.items()
        if address not in other_clients
    )


def _notes(before: r.Report, after: r.Report, redacted_together: bool) -> Iterator[str]:
    if before.ruleset != after.ruleset:
        yield (
            f"The first report was judged by the ruleset {before.ruleset.id} ({before.ruleset.title}), the second by "
            f"{after.ruleset.id} ({after.ruleset.title}): a change may come from the rules, not from the network."
        )
    if before.tool != after.tool:
        versions = f"{before.tool.version} and {after.tool.version}"
        yield f"The reports are of different versions of auditor ({versions}): audit both sources with the same one."
    one_sided = sorted(_rows(before) ^ _rows(after))
    if one_sided:
        yield f"Only one of the reports has these requirements, so they were not compared: {', '.join(one_sided)}."
    if min(_times(after), default="") < min(_times(before), default=""):
        yield "The sources of the second report are older than those of the first: are the reports in the right order?"
    for name, report in (("first", before), ("second", after)):
        if report.incomplete:
            yield f"Some sources or records of the {name} report could not be read, so something may be missing in it."
    if not redacted_together and not all(
        canonical(client.address) for report in (before, after) for client in report.clients
    ):
        yield (
            "Reports are redacted: a name such as client-1 may mean another computer in each of them. Compare the "
            "reports before redaction: auditor diff A B --redact."
        )


def _rows(report: r.Report) -> set[str]:
    return {
        requirement.id for client in report.clients for method in client.methods for requirement in method.requirements
    }


def _times(report: r.Report) -> list[str]:
    return [source.first_time for source in report.sources if source.first_time]
