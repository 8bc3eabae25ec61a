"""The report for a terminal: the answer first, then the proof, then what would work instead."""

from __future__ import annotations

import io
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence

from rich.console import Console
from rich.padding import Padding
from rich.table import Table
from rich.text import Text

from auditor import report as r
from auditor.render.clean import clean

Part = Text | Padding | Table

STYLES = {
    r.OPEN: "green",
    r.ALLOWED: "green",
    r.BLOCKED: "bold red",
    r.NO_ANSWER: "bold red",
    r.REFUSED: "bold red",
    r.UNREACHABLE: "bold red",
    r.INCONCLUSIVE: "yellow",
    r.NOT_SEEN: "dim",
    r.NOT_APPLICABLE: "dim",
    r.WORKS: "green",
    r.FAILS: "bold red",
    r.UNPROVEN: "yellow",
}
MANY_CLIENTS = 5  # beyond this a summary comes first, and details only of those that fail
MOST_DETAILED = 3
MOST_LISTED = 40
INDENT = 2


def render_text(report: r.Report, *, width: int = 100, details: bool = False) -> str:
    """Return the report as plain text. details: show every client and requirement in full."""
    out = io.StringIO()
    print_text(report, Console(file=out, width=width, color_system=None, highlight=False, emoji=False), details=details)
    return "\n".join(line.rstrip() for line in out.getvalue().splitlines()) + "\n"


def print_text(report: r.Report, console: Console, *, details: bool = False) -> None:
    """Print the report on a console, with its width and colours."""
    for part in _parts(report, details):
        console.print(part, markup=False, highlight=False, soft_wrap=False)


def _parts(report: r.Report, details: bool) -> Iterator[Part]:
    if not report.clients:
        yield Text("No client installation was audited.", style="bold yellow")
        yield Text()
    elif len(report.clients) > MANY_CLIENTS and not details:
        yield from _fleet(report)
    else:
        yield from _clients(report, report.clients, details)
    yield from _limitations(report)
    yield from _sources(report)


# sources and roles


def _sources(report: r.Report) -> Iterator[Part]:
    yield Text()
    yield Text("What was audited", style="bold")
    for source in report.sources:
        skipped = f", {source.skipped:,} skipped" if source.skipped else ""
        what = "events" if source.kind == "event-log" else "packets"
        yield _indented(f"{source.path}: {source.format or 'not read'}, {source.records:,} {what}{skipped}")
        for code, text in source.warnings:
            yield _indented(f"  warning ({code}): {text}", style="yellow")
    for role, shown in _roles(report):
        yield _indented(f"{role}: {shown}")
    yield _indented(f"ruleset {report.ruleset[0]}: {report.ruleset[1]}")


def _roles(report: r.Report) -> Iterator[tuple[str, str]]:
    by_role: dict[str, list[r.RoleAssignment]] = {}
    for one in report.roles:
        by_role.setdefault(one.role, []).append(one)
    for role, found in by_role.items():
        if len(found) > 2:
            yield role, f"{found[0].address} and {len(found) - 1:,} more ({found[0].how}: {found[0].why})"
        else:
            yield role, "; ".join(f"{one.address} ({one.how}: {one.why})" for one in found)


# one client


def _clients(report: r.Report, clients: Sequence[r.ClientReport], details: bool) -> Iterator[Part]:
    for client in clients:
        yield from _client(report, client, details)


def _client(report: r.Report, client: r.ClientReport, details: bool) -> Iterator[Part]:
    main = main_method(client, report.asked)
    yield _headline(client, main)
    for text in _why(main):
        yield _indented(text)
    yield Text()
    yield _table(main)
    if left_out := [one.row for one in main.requirements if one.verdict == r.NOT_APPLICABLE]:
        yield _indented(f"not applicable here: {', '.join(left_out)}", style="dim")
    yield Text()
    yield from _proofs(main, report, details)
    yield from _others(client, main, details)


def main_method(client: r.ClientReport, asked: Sequence[str]) -> r.MethodResult:
    """Return the method to show in full: the first one asked for of which most was tried."""
    candidates = [method for method in client.methods if method.id in asked] or list(client.methods)
    return max(candidates, key=lambda method: sum(one.attempts > 0 for one in method.requirements))


def _headline(client: r.ClientReport, method: r.MethodResult) -> Text:
    text = Text()
    text.append(f"{clean(client.address)}: ", style="bold")
    text.append(f"{clean(method.title)}: ")
    text.append(method.result.upper(), style=STYLES[method.result])
    return text


def _why(method: r.MethodResult) -> list[str]:
    network = [one.text for one in method.reasons if one.kind == "network"]
    problems = [f"The port is open, but a step failed: {one.text}" for one in method.reasons if one.kind == "problem"]
    if network or problems:
        return list(dict.fromkeys(network + problems))
    if method.result == r.WORKS:
        changed = [(one.row, one.changed) for one in method.requirements if one.changed]
        earlier = [f"{row}: earlier, at {change.before_time}, it was {change.before}." for row, change in changed]
        delayed = [one.explanation for one in method.requirements if one.verdict in r.BAD and _of_push(one)]
        if delayed:
            return delayed
        text = "Everything that it requires was seen to be open, so the network does not stop it. If the installation"
        return [f"{text} failed all the same: ccm.log on the site server, then ccmsetup.log on the client.", *earlier]
    missing = [one.requirement.partition("/")[2] for one in method.reasons]
    seen = any(one.attempts for one in method.requirements)
    harmless = [one.row for one in method.requirements if one.verdict in r.BAD and one.necessity == "required"]
    what = "Nothing that it requires was seen to be blocked" if seen else "Nothing of it was seen"
    what = f"What was blocked ({', '.join(harmless)}) does not end it" if harmless else what
    return [f"{what}; not proven: {', '.join(dict.fromkeys(missing))}."]


def _table(method: r.MethodResult) -> Padding:
    table = Table(box=None, padding=(0, 2, 0, 0), show_edge=False, header_style="dim", pad_edge=False)
    for name in ("requirement", "port", "verdict", "from", "to"):
        table.add_column(name, no_wrap=name in ("requirement", "port", "verdict"), overflow="fold")
    for one in method.requirements:
        if one.verdict == r.NOT_APPLICABLE or (one.necessity == "informational" and not one.attempts):
            continue
        cells = (
            _name(one),
            _port(one),
            Text(_verdict(one), style=_style(one)),
            _end(one.source),
            _end(one.destination),
        )
        table.add_row(*(cell if isinstance(cell, Text) else Text(clean(cell)) for cell in cells))
    return Padding(table, (0, 0, 0, INDENT))


def _name(one: r.RequirementVerdict) -> str:
    return one.row + (" (informational)" if one.necessity == "informational" else "")


def _end(end: r.End) -> str:
    return end.address or "?"


def _port(one: r.RequirementVerdict) -> str:
    if one.protocol == "icmp":
        return "icmp"
    shown = list(map(str, one.ports[:4])) + (["..."] if len(one.ports) > 4 else [])
    return f"{one.protocol} " + (", ".join(shown) or "dynamic")


def _verdict(one: r.RequirementVerdict) -> str:
    if any(problem.fatal for problem in one.problems):
        return f"{one.verdict}, but failed"
    sure = f", {one.confidence}" if one.confidence == r.LIKELY else ""
    changed = ", changed" if one.changed else ""
    return one.verdict + sure + changed


def _style(one: r.RequirementVerdict) -> str:
    return STYLES[r.FAILS] if any(problem.fatal for problem in one.problems) else STYLES[one.verdict]


def _proofs(method: r.MethodResult, report: r.Report, details: bool) -> Iterator[Part]:
    shown = [one for one in method.requirements if one.verdict in {*r.BAD, r.INCONCLUSIVE} or one.problems]
    if details:
        shown = [one for one in method.requirements if one.verdict != r.NOT_APPLICABLE]
    elif not shown:
        shown = [one for one in method.requirements if one.evidence]
    for one in shown:
        head = Text()
        head.append(clean(one.id), style="bold")
        head.append(": ")
        head.append(_verdict(one), style=_style(one))
        yield head
        yield _indented(one.explanation)
        for problem in one.problems:
            yield _indented(
                f"{'problem' if problem.fatal else 'also'}: {problem.text}", style="red" if problem.fatal else ""
            )
        if one.blocked_at and one.blocked_at != r.UNKNOWN:
            yield _indented(
                f"stopped {'between the two' if one.blocked_at == r.BETWEEN else 'at the ' + one.blocked_at}"
            )
        for evidence in one.evidence:
            yield _indented(_proof(evidence, report))
        if one.remedy:
            yield _indented(f"remedy: {one.remedy}")
        yield Text()


def _proof(evidence: r.Evidence, report: r.Report) -> str:
    where = f" of {report.sources[evidence.source].path}" if len(report.sources) > 1 else ""
    frames = f"frame{'s' if len(evidence.frames) > 1 else ''} {', '.join(map(str, evidence.frames))}"
    return f"proof: {frames}{where}   Wireshark: {evidence.display_filter}"


def _of_push(one: r.RequirementVerdict) -> bool:
    """Tell whether a requirement is one of those to the client, of which each stands alone."""
    return one.necessity == "required" and one.destination.role == "client"


def _unreached(method: r.MethodResult) -> bool:
    """Tell whether nothing at all of the client was heard, so that no method can work."""
    tried = [one for one in method.requirements if one.destination.role == "client" and one.verdict != r.NOT_SEEN]
    return bool(tried) and all(one.verdict in (r.UNREACHABLE, r.NO_ANSWER) for one in tried)


def _others(client: r.ClientReport, main: r.MethodResult, details: bool) -> Iterator[Part]:
    instead = [one for one in client.recommendation if one.method != main.id]
    if _unreached(main):
        yield Text("What would work instead", style="bold")
        yield _indented("Nothing yet: the computer itself was not reached.")
        yield Text()
    elif main.result != r.WORKS and instead:
        yield Text("What would work instead" if main.result == r.FAILS else "Other methods", style="bold")
        for place, one in enumerate(instead, 1):
            title = next(method.title for method in client.methods if method.id == one.method)
            needs = f" Still needs {'; '.join(one.still_needs)}." if one.still_needs else ""
            yield _indented(f"{place}. {title}: {one.why}.{needs}")
        yield Text()
    failing = [method for method in client.methods if method.result == r.FAILS and method.id != main.id]
    if failing:
        yield Text("What would fail too", style="bold")
        for method in failing:
            rows = dict.fromkeys(one.requirement for one in method.reasons if one.kind != "missing")
            bad = [one for one in method.requirements if one.id in rows]
            yield _indented(f"{method.title}: {', '.join(f'{one.row} {_verdict(one)}' for one in bad)}.")
        yield Text()
    if details:
        for method in client.methods:
            if method.id != main.id:
                yield _headline(client, method)
                yield _table(method)
                yield Text()


# many clients


def _fleet(report: r.Report) -> Iterator[Part]:
    mains = [(client, main_method(client, report.asked)) for client in report.clients]
    results = Counter(method.result for _, method in mains)
    counts = ", ".join(f"{results[name]:,} {name}" for name in (r.FAILS, r.UNPROVEN, r.WORKS) if results[name])
    yield Text(f"{len(report.clients):,} clients: {counts}", style="bold")
    yield Text()
    yield from _most_blocked(mains)
    failing = [client for client, method in mains if method.result == r.FAILS]
    if failing:
        yield Text(f"Failing clients ({len(failing):,})", style="bold")
        yield Padding(
            _client_table([one for one in mains if one[1].result == r.FAILS][:MOST_LISTED]), (0, 0, 0, INDENT)
        )
        if len(failing) > MOST_LISTED:
            yield _indented(f"and {len(failing) - MOST_LISTED:,} more: --format json or -v lists all of them")
        yield Text()
        yield Text(f"In detail: the first {min(len(failing), MOST_DETAILED)} of them (-v shows all)", style="bold")
        yield Text()
        yield from _clients(report, failing[:MOST_DETAILED], False)


def _most_blocked(mains: Iterable[tuple[r.ClientReport, r.MethodResult]]) -> Iterator[Part]:
    bad = Counter(
        (one.id, one.verdict)
        for _, method in mains
        for one in method.requirements
        if one.verdict in r.BAD and one.necessity != "informational"
    )
    if not bad:
        return
    table = Table(box=None, padding=(0, 2, 0, 0), show_edge=False, header_style="dim", pad_edge=False)
    for name in ("requirement", "verdict", "clients"):
        table.add_column(name, justify="right" if name == "clients" else "left")
    for (requirement, verdict), count in sorted(bad.items(), key=lambda one: (-one[1], one[0])):
        table.add_row(Text(clean(requirement)), Text(verdict, style=STYLES[verdict]), Text(f"{count:,}"))
    yield Text("What is blocked most", style="bold")
    yield Padding(table, (0, 0, 0, INDENT))
    yield Text()


def _client_table(mains: Iterable[tuple[r.ClientReport, r.MethodResult]]) -> Table:
    table = Table(box=None, padding=(0, 2, 0, 0), show_edge=False, header_style="dim", pad_edge=False)
    for name in ("client", "method", "blocked"):
        table.add_column(name)
    for client, method in mains:
        bad = [f"{one.row} {one.verdict}" for one in method.requirements if one.verdict in r.BAD]
        table.add_row(Text(clean(client.address)), Text(clean(method.id)), Text(", ".join(bad)))
    return table


# the end


def _limitations(report: r.Report) -> Iterator[Part]:
    if report.limitations:
        yield Text("What these sources cannot show", style="bold")
        for text in report.limitations:
            yield _indented(f"- {text}")


def _indented(text: str, *, style: str = "") -> Padding:
    return Padding(Text(clean(text), style=style), (0, 0, 0, INDENT))
