"""Why an installation method does not work, as the message of a failed test."""

from __future__ import annotations

from collections.abc import Iterator

from auditor.render import wording
from auditor.render.clean import clean
from auditor.report import model as r

MOST_TOLD = 10  # clients
LINE = 400  # characters


def failures(report: r.Report, method: str, client: str | None) -> str:
    """Return what keeps a method from working, empty if it works for the client, or for all if None is given."""
    if not report.clients:
        return "The report is about no client."
    clients = report.clients if client is None else (report.client(client),)
    bad = [(client, client.method(method)) for client in clients if client.method(method).result != r.WORKS]
    lines = [line for client, result in bad[:MOST_TOLD] for line in _failure(report, client, result)]
    if len(bad) > MOST_TOLD:
        lines.append(f"and {len(bad) - MOST_TOLD:,} more of {len(clients):,} clients")
    return "\n".join(clean(line, most=LINE) for line in lines)


def _failure(report: r.Report, client: r.ClientReport, method: r.MethodResult) -> Iterator[str]:
    yield f"{client.address}: {method.title}: {method.result.upper()}"
    yield from (f"  {text}" for text in wording.result_reasons(method))
    for requirement in method.requirements:
        if wording.is_reason(method, requirement):
            places = "; ".join(wording.frames(evidence, report.sources) for evidence in requirement.evidence)
            yield f"  {requirement.id}: {wording.verdict(requirement)}"
            if requirement.remedy:
                yield f"    Fix: {requirement.remedy_text}"
            yield f"    Evidence: {places}"
