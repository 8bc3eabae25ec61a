"""The answer of a report as a small piece of HTML, for a notebook: who, which method, what is stopped, and why."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from html import escape

from auditor import report as r
from auditor.render import wording
from auditor.render.clean import clean

MOST_CLIENTS = 20


def render_part(report: r.Report) -> str:
    """Return one table a client, of the first clients; nothing in it is loaded from anywhere."""
    mains = [(client, wording.main_method(client, report.asked)) for client in report.clients]
    parts = [_client(client, method) for client, method in mains[:MOST_CLIENTS]] or ["<p>About no client.</p>"]
    if len(mains) > MOST_CLIENTS:
        parts.append(f"<p>and {len(mains) - MOST_CLIENTS:,} more clients: report.frame()</p>")
    limits = "".join(f"<li>{_text(one)}</li>" for one in report.limitations)
    return "".join(parts) + (f"<p>What these sources cannot show</p><ul>{limits}</ul>" if limits else "")


def _client(client: r.ClientReport, method: r.MethodResult) -> str:
    head = f"<p><b>{_text(client.address)}</b>: {_text(method.title)}: <b>{method.result.upper()}</b></p>"
    why = "".join(f"<p>{_text(one)}</p>" for one in wording.why(method))
    rows = "".join(map(_row, (_cells(one) for one in wording.in_table(method))))
    return f"{head}{why}<table>{_row(('requirement', 'port', 'verdict', 'from', 'to'), 'th')}{rows}</table>"


def _cells(one: r.RequirementVerdict) -> Iterator[str]:
    yield from (wording.name(one), wording.port(one), wording.verdict(one))
    yield from (wording.end(one.source), wording.end(one.destination))


def _row(cells: Iterable[str], tag: str = "td") -> str:
    return "<tr>" + "".join(f"<{tag}>{_text(cell)}</{tag}>" for cell in cells) + "</tr>"


def _text(text: str) -> str:
    return escape(clean(text))
