"""The report as one HTML page: no network, no need of scripts, safe whatever the packets said."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property

from markupsafe import Markup

from auditor.render import wording
from auditor.render.answer import Answer, Answers, limitations, subject
from auditor.render.html import diagrams as drawing
from auditor.render.html import templates as pages
from auditor.report import model as r

MOST_DRAWN = 100  # of many clients, how many are shown with drawings
MOST_BYTES = 13_900_000  # of details of many clients: what a browser opens within three seconds
MOST_LISTED_IN_NOTEBOOK = 10


@dataclass(frozen=True)
class Details:
    """What is shown of one client. place: its number on the page; level: of its headings; drawn: with drawings."""

    answers: Answers
    client: r.ClientReport
    main: r.MethodResult
    place: int
    level: int
    drawn: bool

    @property
    def legs(self) -> Sequence[drawing.Leg]:
        """The drawings of who reached whom."""
        return drawing.legs(self.main) if self.drawn else ()

    @property
    def time_line(self) -> drawing.TimeLine | None:
        """The drawing of when what was tried."""
        return drawing.time_line(self.main) if self.drawn else None

    def proofs(self, report: r.Report) -> Iterator[tuple[r.RequirementVerdict, list[drawing.Ladder]]]:
        """Yield what is proven, with the ladders of its attempts; the same packets are drawn once."""
        drawn: set[tuple[drawing.Rung, ...]] = set()
        for requirement in wording.evidence_requirements(self.main):
            ladders = drawing.ladders(requirement, report) if self.drawn else []
            yield requirement, [ladder for ladder in ladders if ladder.rungs not in drawn]
            drawn |= {ladder.rungs for ladder in ladders}

    @cached_property
    def answer(self) -> Answer:
        """What the report answers about the main method."""
        return self.answers.of(self.client, self.main)

    @property
    def others(self) -> list[r.MethodResult]:
        """The other methods."""
        return [method for method in self.client.methods if method.id != self.main.id]


def render_html(report: r.Report) -> str:
    """Return the report as an HTML page that needs nothing but itself."""
    mains = wording.mains(report)
    many = len(mains) > wording.MANY_CLIENTS
    style, script = pages.own("page.css"), pages.own("page.js")
    ordered = sorted(mains, key=lambda main: wording.RESULTS.index(main[1].result)) if many else mains
    details, left_out = _within(_many(report, ordered)) if many else ("", 0)
    return pages.rendered(
        "page.html.jinja",
        report=report,
        stopped=stopped,
        mains=ordered,
        many=many,
        heading=_heading(mains),
        few=[] if many else _few(report, mains, 2 if len(mains) == 1 else 3),
        details=details,
        left_out=left_out,
        limitations=limitations(report),
        style=style,
        script=script,
        policy=pages.policy(style, script),
    )


def render_part(report: r.Report) -> str:
    """Return the answer alone as part of a page, such as a notebook: verdict, picture, requirements, other methods."""
    mains = wording.mains(report)
    many = len(mains) > wording.MANY_CLIENTS
    return pages.rendered(
        "part.html.jinja",
        report=report,
        stopped=stopped,
        mains=mains,
        many=many,
        heading=_heading(mains),
        few=[] if many else _few(report, mains, 3),
        failing=[main for main in mains if main[1].result == r.FAILS],
        most=MOST_LISTED_IN_NOTEBOOK,
        limitations=limitations(report),
        style=pages.own("page.css"),
    )


def _few(report: r.Report, mains: Sequence[wording.Main], level: int) -> list[Details]:
    answers = Answers(report)
    return [Details(answers, *main, place, level, True) for place, main in enumerate(mains, 1)]


def _heading(mains: Sequence[wording.Main]) -> str:
    if not mains:
        return "No client installation was audited"
    if len(mains) > 1:
        return wording.tally(mains)
    client, main = mains[0]
    return f"{main.result.upper()}: {subject(client, main)}"


def stopped(main: r.MethodResult) -> str:
    """Return all that is stopped of a method, or failed on an open port, in a few words."""
    bad = [requirement for requirement in main.requirements if drawing.state(requirement) == drawing.BAD]
    return ", ".join(f"{requirement.row} {wording.verdict(requirement)}" for requirement in bad)


def _many(report: r.Report, mains: Sequence[wording.Main]) -> Iterator[Markup]:
    """Yield the details of each of many clients; drawings make a page slow, so only the first have them."""
    show = pages.template("client.html.jinja").module.folded
    answers = Answers(report)
    for place, (client, main) in enumerate(mains, 1):
        drawn = place <= MOST_DRAWN and main.result not in (r.WORKS, r.ALLOWED)
        yield show(Details(answers, client, main, place, 3, drawn), report)


def _within(parts: Iterator[Markup]) -> tuple[Markup, int]:
    """Return as many parts as a page holds, and how many are left out."""
    included: list[Markup] = []
    room, left_out = MOST_BYTES, 0
    for part in parts:
        room -= len(part.encode())
        if room < 0:
            left_out += 1
        else:
            included.append(part)
    return Markup("").join(included), left_out
