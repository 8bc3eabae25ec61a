"""What the rows of a firewall or event log show: what that firewall let through or dropped, and nothing beyond."""

from __future__ import annotations

from collections.abc import Callable

from auditor.report import model as r
from auditor.sources.logs.firewall_rows import LET_THROUGH
from auditor.verdicts.attempts import Attempt, AttemptVerdict, LogEntries

STEALTH = "rule Stealth"  # the filter that keeps port scans from seeing where nobody listens


def verdict_from_log(attempt: Attempt, row: LogEntries, where: str, role_of: Callable[[str], str]) -> AttemptVerdict:
    """Return what a log shows of an attempt. where: the attempt in words; role_of: the role that a host plays."""
    lines = [event.frame for event in attempt.events]
    whose = f"the firewall of {row.firewall}" if row.firewall else "the firewall whose log it is"
    by = f" ({row.by})" if row.by else ""
    if row.action in LET_THROUGH:
        text = f"{where}: {whose} let it {_way(row)}{by}; whether it was answered a log does not say."
        return AttemptVerdict(r.ALLOWED, r.PROVEN, text, lines, initiator_firewall_only=row.firewall == attempt.src)
    if row.action != "DROP":
        return AttemptVerdict(r.INCONCLUSIVE, None, f"{where}: the log tells only of the end of a connection.", lines)
    if attempt.response == "mid-stream":
        text = f"{where}: {whose} dropped a late packet of a connection, which says nothing of new ones."
        return AttemptVerdict(r.INCONCLUSIVE, None, text, lines)
    place = role_of(row.firewall) if row.firewall else r.BETWEEN if row.direction == "FORWARD" else r.UNKNOWN
    times = f" {row.rows} times" if row.rows > 1 else ""
    at = row.firewall or "the computer whose log it is"
    if not attempt.events[0].from_src:
        text = f"{where}: {attempt.dst} answered, but {whose} dropped the answer{times}{by}."
        return AttemptVerdict(r.BLOCKED, r.PROVEN, text, lines, place, f"On {at}, {_allow(attempt)}.")
    if row.firewall is None:
        remedy = f"On {at}, {_allow(attempt)}." if row.direction == "FORWARD" else ""
        return AttemptVerdict(r.BLOCKED, r.PROVEN, f"{where}: {whose} dropped it{times}{by}.", lines, place, remedy)
    if STEALTH in row.by:
        text = f"{where}: {whose} dropped it{times}, as Windows does where nobody listens."
        remedy = f"Check that the service behind the port runs on {attempt.dst}: an allow rule does not start it."
        return AttemptVerdict(r.BLOCKED, r.PROVEN, text, lines, place, remedy)
    text = f"{where}: {whose} dropped it{times}{by}."
    remedy = f"On {row.firewall} itself, {_allow(attempt)} outbound." if row.firewall == attempt.src else ""
    return AttemptVerdict(r.BLOCKED, r.PROVEN, text, lines, place, remedy)


def _way(row: LogEntries) -> str:
    return {"SEND": "out", "RECEIVE": "in"}.get(row.direction, "through")


def _allow(attempt: Attempt) -> str:
    return f"allow {attempt.port_text} to {attempt.dst}"
