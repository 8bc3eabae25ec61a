"""What the rows of a firewall or event log show: what that firewall let through or dropped, and nothing beyond."""

from __future__ import annotations

from collections.abc import Callable

from auditor.report import model as r
from auditor.ruleset.statements import Statement, say, statement
from auditor.sources.logs.firewall_rows import LET_THROUGH, STEALTH_FILTER
from auditor.verdicts.attempts import Attempt, AttemptVerdict, LogEntries


def verdict_from_log(attempt: Attempt, row: LogEntries, where: str, role_of: Callable[[str], str]) -> AttemptVerdict:
    """Return what a log shows of an attempt. where: the attempt in words; role_of: the role that a host plays."""
    lines = [event.frame for event in attempt.events]
    fields = {"where": where, "whose": _whose(row), "by": _by(row)}
    if row.action in LET_THROUGH:
        text = say("log.let-through", passed=passed_text(row, where))
        return AttemptVerdict(r.ALLOWED, r.PROVEN, text, lines, initiator_firewall_only=row.firewall == attempt.src)
    if row.action != "DROP":
        return AttemptVerdict(r.INCONCLUSIVE, None, say("log.only-end", where=where), lines)
    if attempt.response == "mid-stream":
        return AttemptVerdict(r.INCONCLUSIVE, None, say("log.late-packet", **fields), lines)
    place = role_of(row.firewall) if row.firewall else r.BETWEEN if row.direction == "FORWARD" else r.UNKNOWN
    fields["times"] = say("log.times", count=row.rows) if row.rows > 1 else ""
    allow = {"port": attempt.port_text, "dst": attempt.dst}
    at = statement("remedy.allow-to", host=row.firewall or say("log.unknown-computer"), **allow)
    if not attempt.events[0].from_src:
        text = say("log.answer-dropped", dst=attempt.dst, **fields)
        return AttemptVerdict(r.BLOCKED, r.PROVEN, text, lines, place, at)
    if row.firewall is not None and row.rule.startswith(STEALTH_FILTER):
        text = say("log.dropped-stealth", **fields)
        return AttemptVerdict(r.BLOCKED, r.PROVEN, text, lines, place, start_service(attempt.dst))
    remedy = at if row.firewall is None and row.direction == "FORWARD" else None
    if row.firewall == attempt.src:
        remedy = statement("remedy.allow-outbound", host=row.firewall, **allow)
    return AttemptVerdict(r.BLOCKED, r.PROVEN, say("log.dropped", **fields), lines, place, remedy)


def passed_text(row: LogEntries, where: str) -> str:
    """Return that a firewall let an attempt through. where: the attempt in words."""
    way = {"SEND": "log.out", "RECEIVE": "log.in"}.get(row.direction, "log.through")
    return say("log.passed", where=where, whose=_whose(row), way=say(way), by=_by(row))


def start_service(host: str) -> Statement:
    """Return what to do where nobody listens."""
    return statement("remedy.start-service", host=host)


def _whose(row: LogEntries) -> str:
    return say("log.firewall-of", host=row.firewall) if row.firewall else say("log.unknown-firewall")


def _by(row: LogEntries) -> str:
    return say("log.by", by=row.by) if row.by else ""
