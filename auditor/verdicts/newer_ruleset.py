"""Requirements that fail a push by its document although the push went on without them."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from dataclasses import replace

from auditor.report import model as r
from auditor.ruleset.known_problems import push as known_push
from auditor.ruleset.lint import CLIENT
from auditor.ruleset.ruleset import Ruleset
from auditor.sources.dissection.steps import Outcome, StepKind

Results = dict[str, tuple[r.MethodResult, ...]]


def with_what_went_on(
    judged: Results,
    pushes: Iterable[r.Push],
    ruleset: Ruleset,
    judged_by_newer: Callable[[], tuple[str, Results]] | None,
) -> Results:
    """Return the results of methods by client, with what each push that fails went on without.

    Args:
        judged: Results by the address of the client.
        pushes: Pushes of the same report.
        ruleset: The one that they were judged by.
        judged_by_newer: Judges the same by the newer document, and returns its id and the results; None if this is it.
    """
    of_id = {push.id: push for push in pushes}
    skipped = {
        (client, number): ids
        for client, methods in judged.items()
        for number, method in enumerate(methods)
        if (ids := _without(method, of_id.get(method.push or ""), ruleset))
    }
    if not skipped:
        return judged
    newer, results = judged_by_newer() if judged_by_newer else (None, {})
    return {
        client: tuple(
            _added(method, skipped.get((client, number), ()), ruleset.id, newer, results.get(client, ()))
            for number, method in enumerate(methods)
        )
        for client, methods in judged.items()
    }


def _added(
    method: r.MethodResult, ids: tuple[str, ...], ruleset: str, newer: str | None, results: Iterable[r.MethodResult]
) -> r.MethodResult:
    if not ids:
        return method
    same = (result for result in results if (result.id, result.site_server) == (method.id, method.site_server))
    result = next((newer_result.result for newer_result in same), None)
    return replace(method, went_on=r.WentOn(ids, ruleset, newer if result else None, result))


def _without(method: r.MethodResult, push: r.Push | None, ruleset: Ruleset) -> tuple[str, ...]:
    """Return the requirements that alone fail a push that went on without them; none if that is not demonstrated.

    A dynamic port is never among them: a blocked port of another service than the Service Control Manager ends a push.
    """
    if push is None or method.result != r.FAILS:
        return ()
    failing = {reason.requirement for reason in method.reasons if reason.kind != "missing"}
    rows = [verdict for verdict in method.requirements if verdict.destination.role == CLIENT and verdict.decides]
    stopped = [row for row in rows if row.id in failing]
    reached = [row for row in rows if row.id not in failing]
    if len(stopped) != len(failing) or any(ruleset.requirement(row.id).dynamic or row.problems for row in stopped):
        return ()
    if not reached or not all(_is_open_later(row, stopped) for row in reached):
        return ()
    return tuple(row.id for row in stopped) if all(_copied_after(row, push) for row in stopped) else ()


def _is_open_later(verdict: r.RequirementVerdict, stopped: Iterable[r.RequirementVerdict]) -> bool:
    last = verdict.last_time or ""
    return verdict.verdict == r.OPEN and all(_is_later(last, _begin(blocked)) for blocked in stopped)


def _is_later(last: str, begin: str) -> bool:
    """Tell whether a time is later than another; a local time cannot be compared with one in UTC."""
    return last > begin and last.endswith("Z") == begin.endswith("Z")


def _begin(verdict: r.RequirementVerdict) -> str:
    return (verdict.changed.after_time if verdict.changed else verdict.first_time) or ""


def _copied_after(verdict: r.RequirementVerdict, push: r.Push) -> bool:
    """Tell whether a file was copied to an administrative share behind the attempt, in the same capture."""
    copies = list(_copies(push))
    for evidence in verdict.evidence:
        attempt_frame = (max if verdict.changed else min)(evidence.frames, default=None)
        if attempt_frame is not None and any(
            source == evidence.source and frame > attempt_frame for source, frame in copies
        ):
            return True
    return False


def _copies(push: r.Push) -> Iterator[tuple[int, int]]:
    """Yield source and frame of each file that was copied to an administrative share."""
    shares = known_push().admin_shares
    for step in push.steps:
        copied = step.kind == StepKind.COPY and step.object.casefold() in shares
        if copied and step.status == Outcome.SUCCEEDED.value:
            yield from ((step.source, frame) for frame in step.frames)
