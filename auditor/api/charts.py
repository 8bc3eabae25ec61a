"""Charts of a report, drawn by Altair without a network: when what was tried, and one attempt as a ladder."""

from __future__ import annotations

import textwrap
from importlib.util import find_spec
from typing import TYPE_CHECKING, Any

from auditor.api import evidence_records as proof
from auditor.errors import ArgumentError, MissingPackageError
from auditor.render import wording
from auditor.render.clean import clean
from auditor.report import model as r

if TYPE_CHECKING:
    import altair

COLOURS = {"good": "#1a7f37", "bad": "#cf222e", "unsure": "#9a6700", "none": "#6e7781"}
WIDTH = 640
ROW = 28  # pixels a rung of a ladder
MOST_ROWS = 60  # of a ladder
MOST_BARS = 240
LABEL = 78  # characters
MOST_SAID = 400
NANOSECONDS = 1_000_000_000


def timeline(report: r.Report, method: str | None = None, client: str | None = None) -> altair.LayerChart:
    """Return an Altair chart: when each requirement of a method was tried, coloured by its verdict.

    method: its id; without it the one that was tried most. client: an address; without it all clients, as far as they
    can be told apart in one chart.
    """
    alt = _altair()
    clients = [report.client(client)] if client else list(report.clients)
    rows = [(client, requirement) for client in clients for requirement in _tried(report, client, method)]
    bars = [_bar(client, requirement, many=len(clients) > 1) for client, requirement in rows]
    if not bars:
        raise ArgumentError("no attempt was observed, so there is no time to draw", hint="See report.frame().")
    shown, left_out = bars[:MOST_BARS], max(len(bars) - MOST_BARS, 0)
    utc = all((source.first_time or "Z").endswith("Z") for source in report.sources)
    title = f"time ({'UTC' if utc else 'local where a log does not tell its zone'})" + (
        f"; {left_out:,} more are not shown" * bool(left_out)
    )
    base = alt.Chart(alt.Data(values=shown)).encode(
        y=alt.Y("label:N", sort=list(dict.fromkeys(bar["label"] for bar in shown)), title=None, axis=_axis(alt)),
        color=_colour(alt, [requirement for _, requirement in rows[:MOST_BARS]]),
        tooltip=["label:N", "verdict:N", "attempts:Q", "begin:N", "end:N", "explanation:N"],
    )
    axis = alt.Axis(format="%H:%M:%S", tickCount=6, labelOverlap=True)
    when = alt.X("begin:T", title=title, axis=axis, scale=alt.Scale(type="utc", padding=10))
    spans = base.mark_bar(height=8).encode(x=when, x2="end:T")
    ends = base.mark_tick(thickness=2, size=16).encode(x=when)
    chart: altair.LayerChart = alt.layer(spans, ends).properties(width=WIDTH)
    return chart


def _tried(report: r.Report, client: r.ClientReport, method: str | None) -> list[r.RequirementVerdict]:
    chosen = client.method(method) if method else wording.main_method(client, report.asked)
    return [requirement for requirement in chosen.requirements if requirement.first_time]


def _bar(client: r.ClientReport, requirement: r.RequirementVerdict, *, many: bool) -> dict[str, Any]:
    first_time = requirement.first_time or ""
    return {
        "label": clean(f"{client.address} {requirement.row}" if many else requirement.row, most=LABEL),
        "verdict": wording.verdict(requirement),
        "attempts": requirement.attempts,
        "begin": _drawable(first_time),
        "end": _drawable(requirement.last_time or first_time),
        "explanation": clean(requirement.explanation),
    }


def _drawable(time: str) -> str:
    """Return a time marked as UTC, also that of a log without a zone: else it is moved by the zone of this computer."""
    return time.removesuffix("Z") + "Z"


def ladder(report: r.Report, requirement: str | None = None, client: str | None = None) -> altair.LayerChart:
    """Return an Altair chart of what proves one verdict: who sent what to whom, and that nothing came back.

    requirement: an id such as "client-push/smb"; without it the first that was stopped, else the first that was seen.
    client: an address, needed where the report has several.
    """
    alt = _altair()
    verdict = chosen(report, requirement, client)
    rows = proof.proof(report, verdict)
    if not rows:
        raise ArgumentError(f"{verdict.id} was not observed, so there is nothing to draw", hint=verdict.explanation)
    hosts = _hosts(verdict, rows)
    rungs = _rungs(report, verdict, rows, hosts)
    size = {"width": WIDTH, "height": ROW * (len(rungs) + 1)}
    chart: altair.LayerChart = _drawn(alt, rungs, hosts).properties(**size, title=_title(alt, verdict))
    return chart


def chosen(report: r.Report, requirement: str | None, client: str | None) -> r.RequirementVerdict:
    """Return one verdict of one client; without a name the first of its main method that needs to be proven."""
    of = report.client(client)
    if requirement is not None:
        return of.requirement(requirement)
    main = wording.main_method(of, report.asked)
    shown = wording.evidence_requirements(main)
    if not shown:
        raise ArgumentError(f"nothing of {main.id} was seen", where=of.address, hint="See report.limitations.")
    return min(
        shown,
        key=lambda requirement: (
            requirement.verdict not in r.FAILING,
            not wording.fatal(requirement),
            not requirement.changed,
        ),
    )


def _hosts(requirement: r.RequirementVerdict, rows: list[proof.EvidenceRecord]) -> list[str]:
    """Return the lifelines from left to right: who asks, the devices between that said something, who was asked."""
    ends = [end.address for end in (requirement.source, requirement.destination) if end.address]
    seen = dict.fromkeys(host for row in rows for host in (row.sender, row.receiver))
    between = [host for host in seen if host not in ends]
    return [*ends[:1], *between, *ends[1:]]


def _rungs(
    report: r.Report, requirement: r.RequirementVerdict, rows: list[proof.EvidenceRecord], hosts: list[str]
) -> list[dict[str, Any]]:
    state = _state(requirement)
    stop = next(
        (row.sender for row in rows if row.sender not in (requirement.source.address, requirement.destination.address)),
        "",
    )
    several = len({row.source for row in rows}) > 1
    arrived = {row.source for row in rows if row.sender == requirement.destination.address}
    asked = {
        source: "unsure" if source in arrived and state == "bad" else state for source in range(len(report.sources))
    }
    begin = {row.source: row.time_ns for row in reversed(rows)}  # of each source the earliest
    rungs = []
    for place, row in enumerate(rows[:MOST_ROWS]):
        asks = row.sender == requirement.source.address
        end = stop if asks and stop and row.receiver == requirement.destination.address else row.receiver
        left, right = hosts.index(row.sender), hosts.index(end)
        number = f"frame {row.frame:,}" if row.frame else f"line {row.line:,}"
        source = f" of {_file(report.sources[row.source].path)}" if several else ""
        rungs.append(
            {
                "place": place,
                "from": left,
                "to": right,
                "middle": (left + right) / 2,
                "label": clean(f"{row.description}, {number}{source}", most=LABEL),
                "when": f"+{(row.time_ns - begin[row.source]) / NANOSECONDS:.3f} s",
                "state": asked[row.source] if asks else "answer",
                "right": right > left,
            }
        )
    if len(rows) > MOST_ROWS:
        rungs.append(_remark(len(rungs), f"{len(rows) - MOST_ROWS:,} more: report.evidence_frame()", hosts))
    elif requirement.verdict in r.FAILING and all(
        row.frame and row.sender == requirement.source.address for row in rows
    ):
        rungs.append(_remark(len(rungs), "nothing came back", hosts))
    return rungs


def _file(path: str) -> str:
    """Return the last part of a path, of whichever system it is."""
    return path.replace("\\", "/").rpartition("/")[2]


def _remark(place: int, text: str, hosts: list[str]) -> dict[str, Any]:
    last = len(hosts) - 1
    return {"place": place, "middle": last / 2, "label": text, "when": "", "state": "remark", "from": 0, "to": 0}


def _drawn(alt: Any, rungs: list[dict[str, Any]], hosts: list[str]) -> Any:
    names = [clean(host, most=LABEL) for host in hosts]
    text = " : ".join(f"datum.value == {place} ? {_quoted(name)}" for place, name in enumerate(names)) + " : ''"
    across = alt.Scale(domain=[-0.25, len(hosts) - 0.75], nice=False)
    places = alt.Axis(values=list(range(len(hosts))), labelExpr=text, orient="top", grid=True, title=None, labelLimit=0)
    x = alt.X("from:Q", scale=across, axis=places)
    y = alt.Y(
        "place:O",
        title=None,
        scale=alt.Scale(type="point", padding=0.9),
        axis=alt.Axis(labels=False, ticks=False, domain=False),
    )
    states = ["good", "bad", "unsure", "answer", "remark"]
    ranges = [COLOURS["good"], COLOURS["bad"], COLOURS["unsure"], COLOURS["none"], COLOURS["bad"]]
    colour = alt.Color("state:N", scale=alt.Scale(domain=states, range=ranges), legend=None)
    base = alt.Chart(alt.Data(values=rungs)).encode(y=y, color=colour, tooltip=["label:N", "when:N"])
    packets = base.transform_filter("datum.state != 'remark'")
    heads = [
        packets.transform_filter(f"datum.right == {str(right).lower()}")
        .mark_point(shape=shape, filled=True, size=90, opacity=1)
        .encode(x=alt.X("to:Q", scale=across, axis=places))
        for right, shape in ((True, "triangle-right"), (False, "triangle-left"))
    ]
    lines = [
        packets.transform_filter(f"datum.state {sign} 'bad'")
        .mark_rule(strokeWidth=1.5, strokeDash=dash)
        .encode(x=x, x2="to:Q")
        for sign, dash in (("!=", [1, 0]), ("==", [6, 4]))  # dashed: nobody saw that it arrived
    ]
    words = base.mark_text(dy=-8, fontSize=11).encode(x=alt.X("middle:Q", scale=across), text="label:N")
    times = base.mark_text(align="left", fontSize=10).encode(
        x=alt.value(2), text="when:N", color=alt.value(COLOURS["none"])
    )
    return alt.layer(*lines, *heads, words, times)


def _quoted(text: str) -> str:
    """Return text as a string of Vega's expressions, in which nothing else can begin."""
    return "'" + text.replace("\\", "\\\\").replace("'", "\\'") + "'"


def _title(alt: Any, requirement: r.RequirementVerdict) -> Any:
    lines = textwrap.wrap(clean(requirement.explanation, most=MOST_SAID), WIDTH // 6)
    return alt.Title(clean(f"{requirement.id}: {wording.verdict(requirement)}"), subtitle=lines, anchor="start")


def _state(requirement: r.RequirementVerdict) -> str:
    """Return which colour a verdict has."""
    if wording.fatal(requirement):
        return "bad"
    if requirement.changed:
        return "unsure"
    verdict = requirement.verdict
    return "good" if verdict in r.PASSING else "bad" if verdict in r.FAILING else "unsure"


def _colour(alt: Any, requirements: list[r.RequirementVerdict]) -> Any:
    colours = {wording.verdict(requirement): COLOURS[_state(requirement)] for requirement in requirements}
    scale = alt.Scale(domain=list(colours), range=list(colours.values()))
    return alt.Color("verdict:N", scale=scale, title="verdict")


def _axis(alt: Any) -> Any:
    return alt.Axis(labelLimit=0, grid=True)


def _altair() -> Any:
    """Return Altair, set to draw without a network unless the user chose how it draws.

    By default its charts load scripts from the Internet, and stay empty where there is none.
    """
    try:
        import altair
    except ImportError:
        message = "charts need Altair, which is not installed"
        raise MissingPackageError(message, hint="Run: pip install altair vl-convert-python") from None
    if altair.renderers.active == "default":
        altair.renderers.enable("svg" if find_spec("vl_convert") else "mimetype")
    return altair
