"""The report as one HTML page: no network, no need of scripts, safe whatever the packets said.

Every value that a template shows goes through `clean` and is escaped; nobody can forget either.
"""

from __future__ import annotations

import base64
import hashlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

from jinja2 import Environment, FileSystemLoader, StrictUndefined
from markupsafe import Markup

from auditor import report as r
from auditor.render import drawing, wording
from auditor.render.clean import clean

FOLDER = Path(__file__).parent / "page"
MOST_DRAWN = 100  # of many clients, how many are shown with drawings
MOST_BYTES = 13_500_000  # of details of many clients: what a browser opens within three seconds
RESULTS = (r.FAILS, r.UNPROVEN, r.WORKS)
STATES = {r.WORKS: drawing.GOOD, r.FAILS: drawing.BAD, r.UNPROVEN: drawing.UNSURE}
MOST_LISTED_IN_NOTEBOOK = 10


@dataclass(frozen=True)
class Details:
    """What is shown of one client. place: its number on the page; level: of its headings; drawn: with drawings."""

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
        for one in wording.to_prove(self.main):
            found = drawing.ladders(one, report) if self.drawn else []
            yield one, [ladder for ladder in found if ladder.rungs not in drawn]
            drawn |= {ladder.rungs for ladder in found}

    @property
    def instead(self) -> tuple[str, list[str]]:
        """A heading and the other methods that may work."""
        return wording.instead(self.client, self.main)

    @property
    def others(self) -> list[r.MethodResult]:
        """The other methods."""
        return [method for method in self.client.methods if method.id != self.main.id]


def render_html(report: r.Report) -> str:
    """Return the report as an HTML page that needs nothing but itself."""
    mains = wording.mains(report)
    many = len(mains) > wording.MANY_CLIENTS
    style, script = _file("page.css"), _file("page.js")
    ordered = sorted(mains, key=lambda one: RESULTS.index(one[1].result)) if many else mains
    told, left_out = _within(_many(report, ordered)) if many else ("", 0)
    return _rendered(
        "page.html.jinja",
        report=report,
        mains=ordered,
        many=many,
        heading=_heading(mains),
        few=[] if many else [Details(*one, n, 2 if len(mains) == 1 else 3, True) for n, one in enumerate(mains, 1)],
        details=told,
        left_out=left_out,
        style=style,
        script=script,
        policy=f"default-src 'none'; style-src {_hash(style)}; script-src {_hash(script)}; base-uri 'none'; "
        "form-action 'none'",
    )


def render_part(report: r.Report) -> str:
    """Return the answer alone as part of a page, such as a notebook: verdict, picture, requirements, other methods."""
    mains = wording.mains(report)
    many = len(mains) > wording.MANY_CLIENTS
    return _rendered(
        "part.html.jinja",
        report=report,
        mains=mains,
        many=many,
        heading=_heading(mains),
        few=[] if many else [Details(*one, n, 3, True) for n, one in enumerate(mains, 1)],
        failing=[one for one in mains if one[1].result == r.FAILS],
        most=MOST_LISTED_IN_NOTEBOOK,
        style=_file("page.css"),
    )


def _heading(mains: Sequence[wording.Main]) -> str:
    if not mains:
        return "No client installation was audited"
    if len(mains) > 1:
        return wording.tally(mains)
    client, main = mains[0]
    return f"{client.address}: {main.title}: {main.result.upper()}"


def stopped(main: r.MethodResult) -> str:
    """Return all that is stopped of a method, or failed on an open port, in a few words."""
    bad = [one for one in main.requirements if drawing.state(one) == drawing.BAD]
    return ", ".join(f"{one.row} {wording.verdict(one)}" for one in bad)


def _many(report: r.Report, mains: Sequence[wording.Main]) -> Iterator[Markup]:
    """Yield the details of each of many clients; drawings make a page slow, so only the first have them."""
    show = _template("client.html.jinja").module.folded
    for place, (client, main) in enumerate(mains, 1):
        drawn = place <= MOST_DRAWN and main.result != r.WORKS
        yield show(Details(client, main, place, 3, drawn), report)


def _within(parts: Iterator[Markup]) -> tuple[Markup, int]:
    """Return as many parts as a page holds, and how many are left out."""
    kept: list[Markup] = []
    room, left_out = MOST_BYTES, 0
    for part in parts:
        room -= len(part.encode())
        if room < 0:
            left_out += 1
        else:
            kept.append(part)
    return Markup("").join(kept), left_out


# templates


@cache
def _environment() -> Environment:
    made = Environment(
        loader=FileSystemLoader(FOLDER),
        autoescape=True,
        undefined=StrictUndefined,
        finalize=_harmless,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    made.globals |= {"stopped": stopped, "wording": wording, "drawing": drawing, "r": r, "states": STATES}
    return made


def _rendered(name: str, **values: Any) -> str:
    text: str = _template(name).render(**values)
    return text


def _template(name: str) -> Any:
    return _environment().get_template(name)


def _harmless(value: Any) -> Any:
    """Return what a template shows; Jinja escapes it afterwards."""
    return value if isinstance(value, Markup | int | float) else clean(str(value))


@cache
def _file(name: str) -> Markup:
    """Return one of our own files that goes into the page as it is."""
    return Markup((FOLDER / name).read_text(encoding="utf-8"))  # autoescape would spoil it


def _hash(of: str) -> str:
    return f"'sha256-{base64.b64encode(hashlib.sha256(of.encode()).digest()).decode()}'"
