"""What a report answers for people, in one order for every form: result, cause, fix, evidence, then the rest."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from typing import NamedTuple

from auditor.render import wording
from auditor.report import model as r
from auditor.ruleset.lint import SITE_SERVER
from auditor.ruleset.statements import say

PORTS_ONLY, CLOCK_OFFSET = "ports-only", "clock-offset"
MOST_CITED = 3  # frames or lines, in a table
UNCERTAIN_ROLE = "uncertain-role"
CHECK_FIRST = (UNCERTAIN_ROLE, "roles-swapped")  # limitations that may change the result
INCOMPLETE_LOG = {"log-misses-entries", "drops-not-logged", "connections-not-logged"}  # a proven failure stands
CLOSED_PORT = "no-response-ambiguous"
CHECKS_SERVICE = {"find-place", "then-check-service"}  # kinds of fixes that include it
VERDICTS = {
    r.OPEN: "open",
    r.ALLOWED: "allowed",
    r.BLOCKED: "BLOCKED",
    r.NO_RESPONSE: "NO RESPONSE",
    r.REFUSED: "REFUSED",
    r.UNREACHABLE: "UNREACHABLE",
    r.FAILED: "FAILED",
    r.INCONCLUSIVE: "inconclusive",
    r.NOT_OBSERVED: "not observed",
    r.NOT_APPLICABLE: "not applicable",
}


class ReportedCause(NamedTuple):
    """One thing that stops a method.

    Attributes:
        requirements: The requirements that it stops.
        sentences: What it is, how sure that is, and where.
        steps: What to do about it, in order.
        evidence: What proves it.
    """

    requirements: tuple[r.RequirementVerdict, ...]
    sentences: tuple[str, ...]
    steps: tuple[r.Remedy, ...]
    evidence: tuple[r.Evidence, ...]

    @property
    def first_of_each_source(self) -> list[r.Evidence]:
        """The first evidence of each source: enough to check a cause."""
        first: dict[int, r.Evidence] = {}
        for item in self.evidence:
            first.setdefault(item.source, item)
        return list(first.values())

    @property
    def is_proven(self) -> bool:
        """Whether it is proven rather than likely."""
        return any(row.confidence == r.PROVEN for row in self.requirements)


class Row(NamedTuple):
    """One line of the table of requirements. fails: whether it makes the method fail."""

    requirement: r.RequirementVerdict
    fails: bool
    name: str
    port: str
    direction: str
    verdict: str
    evidence: str


class Paragraph(NamedTuple):
    """Sentences with a label, such as "Result"."""

    label: str
    sentences: tuple[str, ...]


class Answer(NamedTuple):
    """What a report answers about one method of one client.

    Attributes:
        result: "FAILS" or the like.
        subject: The method and the client, such as "client push to 10.0.0.20 (pc1)".
        impact: Sentences on what failing means, before the causes.
        causes: What stops the method, the most certain first; none unless it fails.
        paragraphs: Result and next step of a method that does not fail, and what was blocked besides.
        check_first: Sentences on what may change the result.
        rows: The table of requirements.
        other_heading, other_methods: What may work instead; title and what it still needs.
    """

    result: str
    subject: str
    impact: tuple[str, ...]
    causes: tuple[ReportedCause, ...]
    paragraphs: tuple[Paragraph, ...]
    check_first: tuple[str, ...]
    rows: tuple[Row, ...]
    other_heading: str
    other_methods: tuple[tuple[str, str], ...]

    @property
    def causing(self) -> list[r.RequirementVerdict]:
        """The requirement of each cause that states its explanation and fix."""
        first = [cause.requirements[0] for cause in self.causes if cause.requirements]
        return [requirement for requirement in first if requirement.verdict in r.FAILING]


class Answers:
    """What a report answers; what concerns all of its clients is computed once."""

    def __init__(self, report: r.Report) -> None:
        self._report = report
        self._players = Counter(role.role for role in report.roles)
        self._weak_roles = [role for role in report.roles if role.how_sure == "weak"]

    def of(self, client: r.ClientReport, method: r.MethodResult) -> Answer:
        """Return what the report answers about one method of one client."""
        heading, methods = _other_methods(client, method)
        assumed = tuple(_assumed(method, self._weak_roles))
        return Answer(
            result=method.result.upper(),
            subject=subject(client, method),
            impact=tuple(wording.went_on(method.went_on)),
            causes=tuple(_causes(method)),
            paragraphs=tuple(_paragraphs(client, method, is_assumed=bool(assumed))),
            check_first=(*assumed, *self._check_first(assumed)),
            rows=tuple(_rows(self._report, method, self._players)),
            other_heading=heading,
            other_methods=tuple(methods),
        )

    def _check_first(self, assumed: Sequence[str]) -> Iterator[str]:
        """Yield the limitations that may change the result; what is assumed of a role is stated once."""
        for limitation in self._report.limitations:
            if limitation.code in CHECK_FIRST and not (assumed and limitation.code == UNCERTAIN_ROLE):
                yield limitation.text


def subject(client: r.ClientReport, method: r.MethodResult) -> str:
    """Return the method and the client in a few words."""
    other_names = [name for name in client.names if name.lower() != client.address]
    names = f" ({', '.join(other_names)})" if other_names else ""
    several = sum(entry.id == method.id for entry in client.methods) > 1
    address = client.address + names
    if not any(row.source.role == SITE_SERVER for row in method.requirements):
        return say("answer.method", method=method.title, client=address)
    if not several:
        return say("answer.push", client=address)
    return say("answer.push-from", client=address, server=method.site_server or say("many.unknown-server"))


def limitations(report: r.Report) -> list[str]:
    """Return the limitations that no other part of an answer states."""
    return [limitation.text for limitation in report.limitations if limitation.code not in CHECK_FIRST]


def limitations_that_matter(report: r.Report, mains: Sequence[wording.Main]) -> list[str]:
    """Return those limitations that may change one of these results."""
    methods = [method for _, method in mains]
    unimportant = {*CHECK_FIRST, CLOCK_OFFSET}
    if methods and all(method.result == r.FAILS for method in methods):
        unimportant.add(PORTS_ONLY)
    if methods and all(map(_is_proven, methods)):
        unimportant |= INCOMPLETE_LOG
    if all(_checks_service(row) for method in methods for row in method.requirements if _may_be_closed(row)):
        unimportant.add(CLOSED_PORT)
    return [limitation.text for limitation in report.limitations if limitation.code not in unimportant]


def _is_proven(method: r.MethodResult) -> bool:
    """Tell whether one of the reasons for which a method fails is proven."""
    reasons = [row for row in method.requirements if wording.is_reason(method, row)]
    return method.result == r.FAILS and any(row.confidence == r.PROVEN for row in reasons)


def _may_be_closed(row: r.RequirementVerdict) -> bool:
    """Tell whether a closed port would have looked the same."""
    return row.verdict in (r.BLOCKED, r.NO_RESPONSE) and row.confidence == r.LIKELY


def _checks_service(row: r.RequirementVerdict) -> bool:
    """Tell whether the fix of a requirement includes that its port may be closed."""
    return not CHECKS_SERVICE.isdisjoint(step.kind for step in row.remedy)


# cause and fix


def _causes(method: r.MethodResult) -> list[ReportedCause]:
    if method.result != r.FAILS:
        return list(_step_causes(method))
    groups: dict[tuple[object, ...], list[r.RequirementVerdict]] = {}
    for row in method.requirements:
        if wording.is_reason(method, row):
            groups.setdefault(_cause_key(row), []).append(row)
    causes = sorted((_cause(rows, method) for rows in groups.values()), key=lambda cause: not cause.is_proven)
    return [*causes, *_step_causes(method)]


def _step_causes(method: r.MethodResult) -> Iterator[ReportedCause]:
    """Yield the steps of a program's own log that need no port: what ends the installation, or why it was not tried."""
    for reason in method.reasons:
        if reason.is_step_alone:
            yield ReportedCause((), (reason.text,), reason.remedy, reason.evidence)


def _cause_key(row: r.RequirementVerdict) -> tuple[object, ...]:
    """Return what requirements have in common that one cause stops: a silent computer is silent on all ports."""
    if row.verdict in (r.NO_RESPONSE, r.UNREACHABLE):
        return row.verdict, row.blocked_at, row.source.address, row.destination.address
    return (row.explanation,) if row.verdict in r.FAILING else (row.id,)


def _cause(rows: Sequence[r.RequirementVerdict], method: r.MethodResult) -> ReportedCause:
    first, *more = rows
    steps = dict.fromkeys(step for row in rows for step in row.remedy)
    if first.verdict not in r.FAILING:
        problems = wording.fatal(first)
        evidence = [item for item in first.evidence if _shows(item, problems)] or list(first.evidence)
        return ReportedCause((first,), tuple(_problem_sentences(first, method)), tuple(steps), tuple(evidence))
    others = ", ".join(say("answer.row", row=row.row, port=wording.port_name(row)) for row in more)
    same = say("answer.same", rows=others) if more else ""
    sentences = tuple(filter(None, (first.explanation, wording.certainty(first), same)))
    return ReportedCause(tuple(rows), sentences, tuple(steps), first.deciding_evidence)


def _shows(evidence: r.Evidence, problems: Iterable[r.Problem]) -> bool:
    return any(problem.frame in evidence.frames or problem.line in evidence.lines for problem in problems)


def _problem_sentences(row: r.RequirementVerdict, method: r.MethodResult) -> Iterator[str]:
    for problem in wording.fatal(row):
        yield say("answer.problem", port=wording.port_name(row), problem=problem.text)
    if not any(requirement.verdict in r.FAILING for requirement in method.requirements):
        yield say("answer.no-firewall")


# result and next step


def _paragraphs(client: r.ClientReport, method: r.MethodResult, *, is_assumed: bool) -> Iterator[Paragraph]:
    if method.result in (r.WORKS, r.ALLOWED):
        yield from _passing(method)
    elif method.result == r.UNPROVEN:
        causes = [cause for reported in _step_causes(method) for cause in reported.sentences]
        reasons = [reason for reason in wording.result_reasons(method) if reason not in causes]
        summary, guesses = reasons[:1], reasons[1:]
        if reasons:
            yield Paragraph("Result", tuple(summary) if is_assumed else tuple(reasons))
        missing = dict.fromkeys(reason.text for reason in method.reasons if reason.kind == "missing")
        if steps := tuple(text for text in missing if text not in guesses):
            yield Paragraph("Missing", steps)
    if sentences := tuple(wording.also_blocked(client, method)):
        yield Paragraph("Blocked", sentences)


def _passing(method: r.MethodResult) -> Iterator[Paragraph]:
    delays = wording.harmless_blocks(method)
    template = "answer.works-despite" if delays else "answer.works"
    yield Paragraph("Result", (say(template if method.result == r.WORKS else "answer.allowed"),))
    if notes := (*delays, *wording.changes(method)):
        yield Paragraph("Note", notes)
    yield Paragraph("Next", (say("answer.next"),))


# what may change the result


def _assumed(method: r.MethodResult, weak_roles: Iterable[r.RoleAssignment]) -> Iterator[str]:
    ends = {(end.role, end.address) for row in method.requirements for end in (row.source, row.destination)}
    for role in weak_roles:
        if (role.role, role.address) in ends:
            option, name = f"{role.role}={role.address}", wording.words(role.role)
            yield say("answer.assumed", address=role.address, role=name, why=role.why, option=option)


# requirements


def _rows(report: r.Report, method: r.MethodResult, players: Counter[str]) -> Iterator[Row]:
    for requirement in wording.table_requirements(method):
        yield Row(
            requirement,
            fails=wording.is_reason(method, requirement),
            name=wording.name(requirement),
            port=wording.port_name(requirement),
            direction=" -> ".join(_end(end, players) for end in (requirement.source, requirement.destination)),
            verdict=_verdict(requirement),
            evidence=_cited(report, requirement) or _need(method, requirement),
        )


def _end(end: r.Endpoint, players: Counter[str]) -> str:
    """Return the role of an end; its address where several computers play the role."""
    return end.address if end.address and players[end.role] > 1 else wording.words(end.role)


def _verdict(requirement: r.RequirementVerdict) -> str:
    if wording.fatal(requirement):
        return "OPEN, FAILED"
    likely = requirement.verdict == r.BLOCKED and requirement.confidence == r.LIKELY
    changed = ", changed" if requirement.changed else ""
    return ("LIKELY " if likely else "") + VERDICTS[requirement.verdict] + changed


def _cited(report: r.Report, requirement: r.RequirementVerdict) -> str:
    """Return which frames or lines prove a verdict, with the number of their source where there are several."""
    if not requirement.evidence:
        return ""
    problems = wording.fatal(requirement)
    proof = [item for item in requirement.evidence if _shows(item, problems)] if problems else []
    evidence = requirement.deciding_evidence[-1 if requirement.changed else 0]
    same = [item for item in proof if item.source == evidence.source and item != evidence]
    numbers = (evidence.frames or evidence.lines) + tuple(n for item in same for n in item.frames or item.lines)
    unit = "frame" if evidence.frames else wording.unit(report.sources[evidence.source])
    shown = ", ".join(map(str, numbers[:MOST_CITED])) + (", ..." if len(numbers) > MOST_CITED else "")
    source = f" [{evidence.source + 1}]" if len(report.sources) > 1 else ""
    return f"{unit}{'s' * (len(numbers) > 1)} {shown}{source}"


def _need(method: r.MethodResult, requirement: r.RequirementVerdict) -> str:
    """Return what is needed of a requirement without evidence: one member of an either-or group is enough."""
    group = [row for row in method.requirements if row.either_or and row.either_or == requirement.either_or]
    others = [row for row in group if row.id != requirement.id and row.verdict != r.NOT_APPLICABLE]
    passing = [row for row in others if row.verdict in r.PASSING]
    if passing:
        return say("answer.not-needed", port=wording.port_name(passing[0]))
    ports = say("list.or").join(map(wording.port_name, others))
    return say("answer.alternative", ports=ports) if others else ""


# other methods


def _other_methods(client: r.ClientReport, main: r.MethodResult) -> tuple[str, list[tuple[str, str]]]:
    if wording.unreached(main):
        return say("answer.none"), []
    if any(reason.of_every_method for reason in main.reasons):
        return say("answer.fail-too"), []
    candidates = [recommendation for recommendation in client.recommendation if recommendation.method != main.id]
    failing = wording.fails_too(client, main)
    if main.result in (r.WORKS, r.ALLOWED) or not (candidates or failing):
        return "", []
    untried = all(recommendation.supported_by == "not-attempted" for recommendation in candidates) and not failing
    possible = all(recommendation.supported_by != "contradicted" for recommendation in candidates) and not failing
    heading = say("answer.not-attempted" if untried else "answer.not-ruled-out" if possible else "answer.others")
    lines = [(recommendation.method, _support(recommendation, untried=untried)) for recommendation in candidates]
    return heading, lines + failing


def _support(recommendation: r.Recommendation, *, untried: bool) -> str:
    """Return what speaks for a method and what it requires; untried: the heading states that none was attempted."""
    template = "answer.needs" if untried else SUPPORT[recommendation.supported_by]
    if template == SUPPORT["seen-open"] and not recommendation.still_needs:
        template = "answer.all-seen-open"
    return say(template, needs="; ".join(recommendation.still_needs))


SUPPORT = {
    "seen-open": "answer.seen-open",
    "contradicted": "answer.contradicted",
    "not-attempted": "answer.untried",
}
