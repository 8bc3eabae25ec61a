"""What every form for people tells in the same words: which method comes first, why, by what proof, what instead."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from textwrap import shorten

from auditor.report import model as r
from auditor.ruleset.statements import say, say_count
from auditor.sources.source import WITHOUT_FLOWS
from auditor.sources.summary import SourceSummary

RECORDS = {
    "event-log": ("event", "events"),
    "firewall-log": ("entry", "entries"),
    "configmgr-log": ("record", "records"),
    "iis-log": ("row", "rows"),
}
LONGEST_QUOTE = 160  # characters of a log's line
MANY_CLIENTS = 5  # beyond this a summary comes first, and details only of those that fail
MOST_DETAILED = 3
MOST_LISTED = 40
MOST_OTHERS = 5  # pairs of hosts that are none of the judged pushes
RESULTS = (r.FAILS, r.UNPROVEN, r.ALLOWED, r.WORKS)  # the worst first
# Rulesets by what their documents are about.
DOCUMENTS = {"configmgr-2007": "document.2007", "configmgr-current-branch": "document.current-branch"}

Main = tuple[r.ClientReport, r.MethodResult]


def main_method(client: r.ClientReport, asked: Sequence[str]) -> r.MethodResult:
    """Return the method to show in full: the first one asked for of which most was tried, or whose step failed."""
    return max(
        asked_methods(client, asked),
        key=lambda method: (
            any(reason.is_step_alone for reason in method.reasons),
            sum(requirement.attempts > 0 for requirement in method.requirements),
        ),
    )


def asked_methods(client: r.ClientReport, asked: Sequence[str]) -> list[r.MethodResult]:
    """Return the methods that were asked for; all if none was named."""
    return [method for method in client.methods if method.id in asked] or list(client.methods)


def is_reason(method: r.MethodResult, requirement: r.RequirementVerdict) -> bool:
    """Tell whether a requirement is one of those for which its method fails, or would."""
    return any(reason.requirement == requirement.id and reason.kind != "missing" for reason in method.reasons)


def fatal(requirement: r.RequirementVerdict) -> list[r.Problem]:
    """Return the problems that end the installation although the port is open."""
    return [problem for problem in requirement.problems if problem.fatal]


def result_reasons(method: r.MethodResult) -> list[str]:
    """Return why a method has its result, in sentences."""
    network = [reason.text for reason in method.reasons if reason.kind == "network"]
    network += [reason.text for reason in method.reasons if reason.kind == "step"]
    problems = [say("result.problem", problem=reason.text) for reason in method.reasons if reason.kind == "problem"]
    if network or problems:
        return list(dict.fromkeys([*went_on(method.went_on), *network, *problems]))
    if method.result in (r.WORKS, r.ALLOWED):
        if delayed := harmless_blocks(method):
            return delayed
        return [
            say("answer.works" if method.result == r.WORKS else "answer.allowed"),
            say("answer.next"),
            *changes(method),
        ]
    missing = [reason.requirement.partition("/")[2] for reason in method.reasons]
    good = {requirement.id for requirement in method.requirements if requirement.verdict in r.PASSING}
    guesses = list(dict.fromkeys(reason.text for reason in method.reasons if reason.requirement in good))
    seen = any(requirement.attempts for requirement in method.requirements)
    harmless = [
        requirement.row
        for requirement in method.requirements
        if requirement.verdict in r.FAILING and requirement.necessity == "required"
    ]
    template = "result.harmless" if harmless else "result.not-blocked" if seen else "result.not-seen"
    summary = say(template, harmless=", ".join(harmless), missing=", ".join(dict.fromkeys(missing)))
    return [summary, *guesses]


def also_blocked(client: r.ClientReport, main: r.MethodResult) -> list[str]:
    """Return a sentence on each proven block that does not decide the result of a method, also of other methods."""
    return [
        say("also-blocked.here" if method.id == main.id else "also-blocked.other", method=method.title, text=text)
        for method, _, text in _besides(client, main)
    ]


def _besides(
    client: r.ClientReport, main: r.MethodResult
) -> Iterator[tuple[r.MethodResult, r.RequirementVerdict, str]]:
    """Yield method, requirement and sentence of each proven block that `result_reasons` does not tell; each once."""
    shown = frozenset(result_reasons(main))
    keys: set[tuple[object, ...]] = set()  # what several methods require is one thing
    for method in (main, *(method for method in client.methods if method.id != main.id)):
        for requirement in method.requirements:
            if not (requirement.is_proven_block or requirement.also_blocked):
                continue
            key = (requirement.source, requirement.destination, requirement.protocol, requirement.ports)
            if key in keys:
                continue
            if requirement.is_proven_block and requirement.explanation not in shown:
                yield method, requirement, requirement.explanation
            yield from ((method, requirement, block.text) for block in requirement.also_blocked)
            keys.add(key)


def table_requirements(method: r.MethodResult) -> list[r.RequirementVerdict]:
    """Return the requirements that a table shows: those that apply, informational ones only if they were tried."""
    return [
        requirement
        for requirement in method.requirements
        if requirement.verdict != r.NOT_APPLICABLE
        and (requirement.necessity != "informational" or requirement.attempts)
    ]


def went_on(push: r.WentOn | None) -> list[str]:
    """Return in a sentence that a push fails by its document alone, and what it comes to by the newer one."""
    if push is None:
        return []
    template = {None: "went-on.alone", r.FAILS: "went-on.fails", r.UNPROVEN: "went-on.unproven"}
    documents = {"document": _document(push.ruleset), "newer": _document(push.newer or "")}
    return [say(template.get(push.newer_result, "went-on.passes"), **documents, result=push.newer_result)]


def _document(ruleset: str) -> str:
    """Return what the document of a ruleset is about; its id if that is unknown."""
    return say(DOCUMENTS[ruleset]) if ruleset in DOCUMENTS else ruleset


def evidence_requirements(method: r.MethodResult, *, details: bool = False) -> list[r.RequirementVerdict]:
    """Return the requirements whose proof is shown: what was stopped, or else all that was seen."""
    if details:
        return [
            requirement
            for requirement in method.requirements
            if requirement.verdict != r.NOT_APPLICABLE or requirement.evidence
        ]
    unclear = {*r.FAILING, r.INCONCLUSIVE}
    shown = [
        requirement
        for requirement in method.requirements
        if requirement.verdict in unclear or requirement.problems or requirement.also_blocked
    ]
    return shown or [requirement for requirement in method.requirements if requirement.evidence]


def name(requirement: r.RequirementVerdict) -> str:
    """Return a requirement's row, marked if it never decides."""
    informational = requirement.necessity == "informational"
    return say("row.informational", row=requirement.row) if informational else requirement.row


def port(requirement: r.RequirementVerdict) -> str:
    """Return protocol and ports, the first four of many."""
    return (
        requirement.protocol if requirement.protocol == "icmp" else f"{requirement.protocol} {_ports(requirement, 4)}"
    )


def port_name(requirement: r.RequirementVerdict) -> str:
    """Return protocol and ports as in a sentence: "TCP 445", or the first three of many."""
    protocol = requirement.protocol.upper()
    return protocol if requirement.protocol == "icmp" else f"{protocol} {_ports(requirement, 3)}"


def _ports(requirement: r.RequirementVerdict, most: int) -> str:
    shown = [*map(str, requirement.ports[:most]), *(["..."] if len(requirement.ports) > most else [])]
    return ", ".join(shown) or "dynamic"


def words(name: str) -> str:
    """Return the name of a role or place in words."""
    return name.replace("-", " ")


def unit(source: SourceSummary) -> str:
    """Return what a record of a source is called."""
    return "event record" if source.kind == "event-log" else "line"


def source(summary: SourceSummary) -> str:
    """Return what a source is: format, number of records, and the time that it covers."""
    one, many = RECORDS.get(summary.kind, ("packet", "packets"))
    name = one if summary.records == 1 else many
    skipped = f", {summary.skipped:,} skipped" if summary.skipped else ""
    contents = f"{summary.format or 'not read'}, {summary.records:,} {name}{skipped}{_period(summary)}"
    return f"{contents}, {capture_point(summary)}" if summary.capture_point else contents


def capture_point(summary: SourceSummary) -> str:
    """Return where a capture was taken."""
    if summary.capture_point == r.BETWEEN:
        return say("capture-point.between")
    if summary.capture_point == r.UNKNOWN:
        return say("capture-point.unknown")
    return say("capture-point.role", role=words(summary.capture_point))


def _period(summary: SourceSummary) -> str:
    if not summary.first_time or not summary.last_time:
        return ""
    return f", {period(summary.first_time, summary.last_time)}"


def period(first_time: str, last_time: str) -> str:
    """Return a time span of a report, to the second. Day and time zone stand once where both ends have the same."""
    (day, begin), (last_day, end) = (time[:19].split("T") for time in (first_time, last_time))
    zone, last_zone = ("UTC" if time.endswith("Z") else "local time" for time in (first_time, last_time))
    if zone != last_zone:  # sources in UTC beside logs in local time
        return f"{day} {begin} {zone} to {last_day} {end} {last_zone}"
    return f"{day} {begin} to {'' if day == last_day else last_day + ' '}{end} {zone}"


def certainty(requirement: r.RequirementVerdict) -> str:
    """Return in a sentence how sure a block is, and where it is."""
    place = ""
    if requirement.blocked_at and requirement.blocked_at != r.UNKNOWN:
        on_path = requirement.blocked_at == r.BETWEEN
        place = say("answer.on-path") if on_path else say("answer.at", role=words(requirement.blocked_at))
    if requirement.verdict != r.BLOCKED:
        return say("answer.stopped", place=place) if place else ""
    template = "answer.likely" if requirement.confidence == r.LIKELY else "answer.proven"
    return say(template, place=place or say("answer.device-unknown"))


def verdict(requirement: r.RequirementVerdict) -> str:
    """Return a verdict with what must be known beside it."""
    if fatal(requirement):
        return say("verdict.but-failed", verdict=requirement.verdict)
    sure = "verdict.likely" if requirement.confidence == r.LIKELY else "verdict.plain"
    changed = "verdict.changed" if requirement.changed else "verdict.plain"
    return say(changed, verdict=say(sure, verdict=requirement.verdict))


def stopped(requirement: r.RequirementVerdict) -> str:
    """Return where a requirement was stopped, empty if nobody knows."""
    if not requirement.blocked_at or requirement.blocked_at == r.UNKNOWN:
        return ""
    return say("stopped.between" if requirement.blocked_at == r.BETWEEN else "stopped.at", role=requirement.blocked_at)


def frames(evidence: r.Evidence, sources: Sequence[SourceSummary]) -> str:
    """Return which frames or lines of which source are the proof."""
    where = f" of {sources[evidence.source].path}" if len(sources) > 1 else ""
    numbers = evidence.frames or evidence.lines
    name = "frame" if evidence.frames else unit(sources[evidence.source])
    return f"{name}{'s' if len(numbers) > 1 else ''} {', '.join(map(str, numbers))}{where}"


def proof(evidence: r.Evidence, sources: Sequence[SourceSummary]) -> str:
    """Return which frames or lines are the proof; of a log of ConfigMgr with what the program wrote."""
    numbers = frames(evidence, sources)
    if sources[evidence.source].kind not in WITHOUT_FLOWS:
        return numbers
    return say("evidence.quoted", lines=numbers, text=shorten(evidence.text, LONGEST_QUOTE, placeholder=" ..."))


def shown_evidence(evidence: r.Evidence, sources: Sequence[SourceSummary]) -> str:
    """Return which frames or lines are the evidence, and the display filter that shows them."""
    display_filter = f"; display filter: {evidence.display_filter}" if evidence.display_filter else ""
    return proof(evidence, sources) + display_filter


def numbered(steps: Sequence[r.Remedy]) -> Iterator[tuple[str, str | None]]:
    """Yield each step of a fix with its command; the steps are numbered if there are several."""
    for place, step in enumerate(steps, 1):
        yield (f"{place}. {step.action}" if len(steps) > 1 else step.action), step.command


def unreached(method: r.MethodResult) -> bool:
    """Tell whether nothing at all of the client was heard, so that no method can work."""
    tried = [
        requirement
        for requirement in method.requirements
        if requirement.destination.role == "client" and requirement.verdict != r.NOT_OBSERVED
    ]
    return bool(tried) and all(requirement.verdict in (r.UNREACHABLE, r.NO_RESPONSE) for requirement in tried)


def fails_too(client: r.ClientReport, main: r.MethodResult) -> list[tuple[str, str]]:
    """Return each other method that fails, with what stops it."""
    lines = []
    for method in client.methods:
        if method.result == r.FAILS and method.id != main.id:
            bad = [requirement for requirement in method.requirements if is_reason(method, requirement)]
            lines.append((method.id, say("answer.fails-too", rows=", ".join(requirement.row for requirement in bad))))
    return lines


def roles(report: r.Report) -> Iterator[tuple[str, str]]:
    """Yield each role with who plays it and from what that is known."""
    by_role: dict[str, list[r.RoleAssignment]] = {}
    for assignment in report.roles:
        by_role.setdefault(assignment.role, []).append(assignment)
    for role, (shown, *more) in by_role.items():
        if len(more) > 1:
            yield role, say("cast.several", host=_named(shown), count=len(more), how=shown.how, why=shown.why)
        else:
            described = (
                say("cast.one", host=_named(assignment), how=assignment.how, why=assignment.why)
                for assignment in by_role[role]
            )
            yield role, "; ".join(described)


def modes(report: r.Report) -> Iterator[tuple[str, str]]:
    """Yield the mode of each site with what it means and from what it is known."""
    for mode in report.modes:
        label = "cast.mode-of" if len(report.modes) > 1 and mode.site_server else "cast.mode"
        about = {"mode": mode.mode, "uses": r.IN_MODE[mode.mode], "how": mode.how, "why": mode.why}
        yield say(label, site=mode.site_server), say("cast.in-mode", **about)


def _named(role: r.RoleAssignment) -> str:
    return ", ".join(filter(None, (role.address, role.name)))


# many clients


def mains(report: r.Report) -> list[Main]:
    """Return each client with its main method, of client push with each entry; those that may be no push come last."""
    all_mains = [(client, entry) for client in report.clients for entry in entries(client, report.asked)]
    doubtful = _doubtful(report)
    return sorted(all_mains, key=lambda main: main[1].push in doubtful)


def _doubtful(report: r.Report) -> frozenset[str | None]:
    """Return the ids of the pushes that may as well be other programs' traffic."""
    return frozenset(push.id for push in report.pushes if push.kind == r.UNKNOWN)


def doubt(report: r.Report, of: Sequence[Main]) -> str:
    """Return in a sentence how many of these pushes may be other programs' traffic; empty if none or all are."""
    doubtful = _doubtful(report)
    count = sum(main.push in doubtful for _, main in of)
    if not count or count == len(of):
        return ""
    return say_count("many.doubt", count)


def entries(client: r.ClientReport, asked: Sequence[str]) -> list[r.MethodResult]:
    """Return the main method of a client, of client push one entry for each site server."""
    main = main_method(client, asked)
    return [method for method in client.methods if method.id == main.id]


def not_judged(report: r.Report) -> list[str]:
    """Return a sentence on each pair of hosts that is none of the judged pushes: scans, logons, file sharing.

    Of many the first few, and how many there are.
    """
    judged = {method.push for client in report.clients for method in client.methods}
    unjudged = [push for push in report.pushes if push.id not in judged]
    lines = [
        say("unjudged.pair", src=push.from_address, dst=push.to_address, kind=say(f"kind.{push.kind}"), why=push.why)
        for push in unjudged[:MOST_OTHERS]
    ]
    more = len(unjudged) - MOST_OTHERS
    return lines + ([say("unjudged.more", count=more)] if more > 0 else [])


def tally(of: Sequence[Main]) -> str:
    """Return how many clients there are, and how many of them fail, are unproven and work."""
    results = Counter(method.result for _, method in of)
    summary = ", ".join(f"{results[result]:,} {result}" for result in RESULTS if results[result])
    clients = len({client.address for client, _ in of})
    template = "many.clients" if clients == len(of) else "many.pushes"
    return say(template, pushes=len(of), clients=clients, results=summary)


def most_blocked(of: Iterable[Main]) -> list[tuple[str, str, int]]:
    """Return requirement, what stops it, and for how many clients, the most frequent first: verdict, or problem."""
    bad = Counter(
        (requirement.id, stopping)
        for _, method in of
        for requirement in method.requirements
        if requirement.decides and (stopping := _stopping(requirement))
    )
    return [(*key, count) for key, count in sorted(bad.items(), key=lambda entry: (-entry[1], entry[0]))]


def _stopping(requirement: r.RequirementVerdict) -> str:
    """Return the verdict that stops a requirement, or the code of the problem on its open port; empty if neither."""
    if requirement.verdict in r.FAILING:
        return requirement.verdict
    return next((problem.code for problem in fatal(requirement)), "")


def blocked_besides(of: Iterable[Main]) -> list[tuple[str, int]]:
    """Return each requirement with a proven block that decides no result, and for how many clients, most first."""
    computers: Counter[str] = Counter()
    for client, main in of:
        computers.update({requirement.id for _, requirement, _ in _besides(client, main)})
    return sorted(computers.items(), key=lambda entry: (-entry[1], entry[0]))


def blocked(method: r.MethodResult) -> str:
    """Return all that is stopped of a method in a few words."""
    rows = [f"{row.row} {stopping}" for row in method.requirements if (stopping := _stopping(row))]
    steps = [reason.text for reason in method.reasons if reason.kind == "step" and not reason.requirement]
    return ", ".join((*rows, *steps))


def harmless_blocks(method: r.MethodResult) -> list[str]:
    """Return the explanation of each requirement that is stopped although the method does not fail."""
    return [
        requirement.explanation
        for requirement in method.requirements
        if requirement.necessity == "required"
        and requirement.destination.role == "client"
        and requirement.verdict in r.FAILING
    ]


def changes(method: r.MethodResult) -> list[str]:
    """Return a sentence on each requirement whose verdict changed."""
    return [
        say("result.earlier", row=row.row, time=row.changed.before_time, verdict=row.changed.before)
        for row in method.requirements
        if row.changed
    ]
