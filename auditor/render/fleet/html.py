"""The report on a fleet as one HTML page: result and changes first, then every computer to filter and open.

The summary needs no scripts. The list of hosts does, because ten thousand rows in a page open slowly.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from urllib.parse import quote, urlencode

from auditor.render.clean import clean
from auditor.render.fleet import html_hosts as fleet_hosts
from auditor.render.fleet.text import FAILED_STEPS, UNPROVEN_STEPS, example, headline, step_and_code
from auditor.render.fleet.text import also_blocked as blocked_without_effect
from auditor.render.html import templates as pages
from auditor.report import model as r
from auditor.report.fleet_model import PROBLEM, Cause, FirewallChange, FleetReport, GroupCount, MethodCount, stopper
from auditor.ruleset.statements import say

MOST_SHOWN = 10  # rows of a table that are seen at once; the rest is folded
MOST_LISTED = 500  # rows of a table at all
MOST_IN_NOTEBOOK = 5  # rows of a table, changes to ask for
RESULTS = {"fails": "bad", "unproven": "unsure", "no-evidence": "untried", "allowed": "good", "works": "good"}


def render_fleet_html(report: FleetReport) -> str:
    """Return the report on a fleet as an HTML page that needs nothing but itself."""
    style, copying, script = pages.own("page.css", "fleet.css"), pages.own("page.js"), pages.own("fleet.js")
    return pages.rendered(
        "fleet.html.jinja",
        report=report,
        methods=report.methods,
        main=report.method(report.main),
        heading=headline(report),
        why=why(report),
        also_blocked=also_blocked(report),
        hosts=fleet_hosts.blocks(report),
        bar=bar,
        helped=helped,
        show=show,
        where=where,
        stopped_at=stopped_at,
        cause=cause,
        step_and_code=step_and_code,
        example=example,
        failed_steps=FAILED_STEPS,
        unproven_steps=UNPROVEN_STEPS,
        stopper=stopper,
        results=pages.STATES,
        total=total,
        moment=moment,
        most_shown=MOST_SHOWN,
        most_listed=MOST_LISTED,
        style=style,
        scripts=(copying, script),
        policy=pages.policy(style, copying, script),
    )


def render_fleet_part(report: FleetReport) -> str:
    """Return the answer alone as part of a page, such as a notebook: what to ask for, and where it fails."""
    return pages.rendered(
        "fleet_part.html.jinja",
        report=report,
        main=report.method(report.main),
        heading=headline(report),
        why=why(report),
        also_blocked=also_blocked(report),
        bar=bar,
        where=where,
        stopped_at=stopped_at,
        results=RESULTS,
        total=total,
        most=MOST_IN_NOTEBOOK,
        style=pages.own("page.css", "fleet.css"),
    )


# what it states


def why(report: FleetReport) -> list[str]:
    """Return what stands below the result: the most effective change, and what all changes together unblock."""
    failing = report.method(report.main).fails
    changes = _until_it_helps(report.changes)
    if not changes:
        undecided = any(cause.step and cause.verdict == r.FAILED for cause in report.causes)
        template = "fleet.undecided" if undecided else "fleet.no-change"
        return [say(template)] * bool(failing)
    wanted = "; ".join(f"allow {change.ports} {where(change)}" for change in changes)
    subject = "Most effective change" if len(changes) == 1 else f"Most effective {len(changes)} changes, together"
    best = f"{subject}: {wanted}. Unblocks {changes[-1].helps:,} of {failing:,}."
    return [best] + [_all_together(report, failing)] * (len(report.changes) > len(changes))


def also_blocked(report: FleetReport) -> list[str]:
    """Return which requirements are blocked without effect on the results, and for how many computers."""
    lines = [
        f"{_computers(block.hosts)}: {blocked_without_effect(block)}" for block in report.also_blocked[:MOST_SHOWN]
    ]
    more = len(report.also_blocked) - MOST_SHOWN
    return lines + ([f"and {more:,} more (fleet.json)"] if more > 0 else [])


def _until_it_helps(changes: Sequence[FirewallChange]) -> Sequence[FirewallChange]:
    """Return the first changes, until one of them helps anybody."""
    place = next((number for number, change in enumerate(changes) if change.helps), -1)
    return changes[: place + 1]


def _all_together(report: FleetReport, failing: int) -> str:
    count, unblocked = len(report.changes), sum(change.helps for change in report.changes)
    subject = "Both changes" if count == 2 else f"All {count} changes"
    return (
        f"{subject} together unblock {f'all {failing:,}' if unblocked == failing else f'{unblocked:,} of {failing:,}'}."
    )


def where(change: FirewallChange) -> str:
    """Return on whose firewall a change has to be made."""
    if change.device:
        return f"on {change.device}"
    phrases = {
        "client": "on the Windows Firewall of each client",
        "between": "on the firewalls on the path",
        "unknown": "(the blocking device is unknown)",
    }
    return phrases.get(change.place) or f"on the {change.place.replace('-', ' ')}"


def stopped_at(place: str) -> str:
    """Return where something was stopped, in words."""
    phrases = {"client": "the client", "between": "the path", "unknown": "unknown", "": ""}
    return phrases[place] if place in phrases else f"the {place.replace('-', ' ')}"


def cause(of: Cause) -> str:
    """Return the cause that no firewall change fixes, in a few words; empty if it is unknown."""
    if not of.requirement:
        return "" if of.verdict == PROBLEM else f"the whole computer: {of.verdict}."
    how = {PROBLEM: "open, but failed", r.BLOCKED: "blocked, and the port is closed"}
    code = f" ({of.code})" if of.code else ""
    return f"{of.requirement.partition('/')[2]}: {how.get(of.verdict, of.verdict)}{code}."


def moment(time: str | None) -> str:
    """Return a time as people read it, without a fraction of a second that is nothing."""
    return time.replace("T", " ").replace(".000000", "") if time else "?"


def total(count: MethodCount | GroupCount) -> int:
    """Return of how many hosts this is."""
    return count.works + count.allowed + count.fails + count.unproven + count.no_evidence


def show(**wanted: str) -> str:
    """Return the part of an address behind # that shows only some hosts."""
    return urlencode({name: clean(value) for name, value in wanted.items()}, quote_via=quote, safe="/:")


# bars


@dataclass(frozen=True)
class Part:
    """A part of a bar: from x, so wide, both of 100; state: its colour; result: "" if it stands for none."""

    state: str
    x: float
    width: float
    result: str = ""


def bar(counts: GroupCount | MethodCount | int, whole: int) -> Sequence[Part]:
    """Return a bar: the results of a group, or one number, as parts of a whole."""
    if isinstance(counts, int):
        return [Part("bad", 0, _share(counts, whole))]
    begin, parts = 0, []
    for result, state in pages.STATES.items():
        number: int = getattr(counts, result.replace("-", "_"))
        if number:
            parts.append(Part(state, _share(begin, whole), _share(number, whole), result))
        begin += number
    return parts


def helped(change: FirewallChange, failing: int) -> Sequence[Part]:
    """Return a bar of those that failed at first: helped by earlier changes, by this one, by none so far."""
    earlier = failing - change.helps - change.remaining
    counts = (("good earlier", earlier), ("good", change.helps), ("bad", change.remaining))
    begin, parts = 0, []
    for state, number in counts:
        if number > 0:
            parts.append(Part(state, _share(begin, failing), _share(number, failing)))
        begin += number
    return parts


def _share(count: int, whole: int) -> float:
    return round(100 * count / whole, 2) if whole else 0


def _computers(count: int) -> str:
    return f"{count:,} computer{'' if count == 1 else 's'}"
