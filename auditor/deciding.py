"""Which of the findings about one requirement decides: the latest one, the worst dynamic port, the best other one."""

from __future__ import annotations

from collections import defaultdict

from auditor import report as r
from auditor.findings import Finding

AFTER_ENDPOINT_MAPPER_NS = 60_000_000_000  # a dynamic port is used soon after it was handed out


def _latest(findings: list[Finding]) -> tuple[Finding, r.Change | None]:
    """Return the finding that decides, and the change before it: the latest decisive one counts."""
    decisive = [one for one in findings if one.decides]
    if not decisive:
        return findings[-1], None
    last = decisive[-1]
    others = [one for one in decisive if (one.verdict in r.GOOD) != (last.verdict in r.GOOD)]
    if not others:
        return last, None
    return last, _change(others[-1], last)


def _change(before: Finding, after: Finding) -> r.Change:
    times = tuple(r.utc_text(one.time_ns, local=one.local) or "" for one in (before, after))
    return r.Change(before.verdict, times[0], after.verdict, times[1])


def worst_port(findings: list[Finding]) -> tuple[Finding, r.Change | None]:
    """Return what decides about dynamic ports: in the latest push, one that is blocked, since each was to be used."""
    pushes = _pushes(findings)
    *earlier, latest = [_worst(push) for push in pushes]
    before = [one for one in earlier if (one.verdict in r.GOOD) != (latest.verdict in r.GOOD) and one.decides]
    if before and latest.decides:
        return latest, _change(before[-1], latest)
    if latest.decides or not before:
        return _latest([one for one in pushes[-1] if one.port == latest.port])
    return before[-1], None


def _worst(push: list[Finding]) -> Finding:
    decided = [one for one, _ in by_port(push)]
    bad = [one for one in decided if one.verdict in r.BAD]
    good = [one for one in decided if one.verdict in r.GOOD]
    return (bad or good or decided)[0]


def _pushes(findings: list[Finding]) -> list[list[Finding]]:
    """Return the attempts at dynamic ports, those of one push together: ports are handed out anew for each."""
    pushes: list[list[Finding]] = []
    for finding in findings:
        if not pushes or finding.time_ns - pushes[-1][-1].time_ns > AFTER_ENDPOINT_MAPPER_NS:
            pushes.append([])
        pushes[-1].append(finding)
    return pushes


def best_port(findings: list[Finding]) -> tuple[Finding, r.Change | None]:
    """Judge each of the documented ports by itself; one that is open decides, since any one of them will do."""
    decided = by_port(findings)
    good = [one for one in decided if one[0].verdict in r.GOOD]
    decisive = [one for one in decided if one[0].decides]
    return max(good or decisive or decided, key=lambda one: one[0].time_ns)


def by_port(findings: list[Finding]) -> list[tuple[Finding, r.Change | None]]:
    """Return what decides for each port of each host that was tried."""
    by_port: dict[tuple[int, str], list[Finding]] = defaultdict(list)
    for finding in findings:
        host = finding.attempts[0].dst if finding.attempts else ""
        by_port[finding.port or 0, host].append(finding)
    return [_latest(found) for _, found in sorted(by_port.items())]
