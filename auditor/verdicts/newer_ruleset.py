"""Requirements that fail a push by its document although the push went on without them."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from dataclasses import replace

from auditor.report import model as r
from auditor.ruleset.known_problems import push as known_push
from auditor.ruleset.lint import CLIENT
from auditor.ruleset.ruleset import Ruleset
from auditor.sources.dissection.facts import COPY
from auditor.sources.dissection.steps import Outcome

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
    found = {
        (client, number): ids
        for client, methods in judged.items()
        for number, method in enumerate(methods)
        if (ids := _without(method, of_id.get(method.push or ""), ruleset))
    }
    if not found:
        return judged
    newer, results = judged_by_newer() if judged_by_newer else (None, {})
    return {
        client: tuple(
            _added(method, found.get((client, number), ()), ruleset.id, newer, results.get(client, ()))
            for number, method in enumerate(methods)
        )
        for client, methods in judged.items()
    }


def _added(
    method: r.MethodResult, ids: tuple[str, ...], ruleset: str, newer: str | None, results: Iterable[r.MethodResult]
) -> r.MethodResult:
    if not ids:
        return method
    same = (one for one in results if (one.id, one.site_server) == (method.id, method.site_server))
    result = next((one.result for one in same), None)
    return replace(method, went_on=r.WentOn(ids, ruleset, newer if result else None, result))


def _without(method: r.MethodResult, push: r.Push | None, ruleset: Ruleset) -> tuple[str, ...]:
    """Return the requirements that alone fail a push that went on without them; none if that is not demonstrated.

    A dynamic port is never among them: a blocked port of another service than the Service Control Manager ends a push.
    """
    if push is None or method.result != r.FAILS:
        return ()
    failing = {one.requirement for one in method.reasons if one.kind != "missing"}
    rows = [one for one in method.requirements if one.destination.role == CLIENT and one.decides]
    stopped = [one for one in rows if one.id in failing]
    others = [one for one in rows if one.id not in failing]
    if len(stopped) != len(failing) or any(ruleset.requirement(one.id).dynamic or one.problems for one in stopped):
        return ()
    if not others or not all(_is_open_later(one, stopped) for one in others):
        return ()
    return tuple(one.id for one in stopped) if all(_copied_after(one, push) for one in stopped) else ()


def _is_open_later(one: r.RequirementVerdict, stopped: Iterable[r.RequirementVerdict]) -> bool:
    last = one.last_time or ""
    return one.verdict == r.OPEN and all(_is_later(last, _begin(other)) for other in stopped)


def _is_later(last: str, begin: str) -> bool:
    """Tell whether a time is later than another; a local time cannot be compared with one in UTC."""
    return last > begin and last.endswith("Z") == begin.endswith("Z")


def _begin(one: r.RequirementVerdict) -> str:
    return (one.changed.after_time if one.changed else one.first_time) or ""


def _copied_after(one: r.RequirementVerdict, push: r.Push) -> bool:
    """Tell whether a file was copied to an administrative share behind the attempt, in the same capture."""
    copies = list(_copies(push))
    for evidence in one.evidence:
        first = (max if one.changed else min)(evidence.frames, default=None)
        if first is not None and any(source == evidence.source and frame > first for source, frame in copies):
            return True
    return False


def _copies(push: r.Push) -> Iterator[tuple[int, int]]:
    """Yield source and frame of each file that was copied to an administrative share."""
    copied = {f"{COPY}{share}" for share in known_push().admin_shares}
    for step in push.steps:
        if step.status == Outcome.SUCCEEDED.value and step.step.casefold() in copied:
            yield from ((step.source, frame) for frame in step.frames)
