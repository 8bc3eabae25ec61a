"""Which of the findings about one requirement decides: the latest one, the worst dynamic port, the best other one."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable
from dataclasses import replace

from auditor import report as r
from auditor.findings import Finding

AFTER_ENDPOINT_MAPPER_NS = 60_000_000_000  # a dynamic port is used soon after it was handed out

Decided = tuple[Finding, r.Change | None]


def worst_port(findings: list[Finding]) -> Decided:
    """Return what decides about dynamic ports: in the latest push, one that is blocked, since each was to be used."""
    return _by_clock(findings, _worst_of_latest_push) if len(findings) > 1 else (findings[0], None)


def best_port(findings: list[Finding]) -> Decided:
    """Judge each of the documented ports by itself; one that is open decides, since any one of them will do."""
    if len(findings) == 1:
        return findings[0], None
    decided = by_port(findings)
    good = [one for one in decided if one[0].verdict in r.GOOD]
    decisive = [one for one in decided if one[0].decides]
    sure = [one for one in good if one[0].decides]
    return max(sure or decisive or good or decided, key=lambda one: one[0].time_ns)


def by_port(findings: list[Finding]) -> list[Decided]:
    """Return what decides for each port of each host that was tried."""
    by_port: dict[tuple[int, str], list[Finding]] = defaultdict(list)
    for finding in findings:
        host = finding.attempts[0].dst if finding.attempts else ""
        by_port[finding.port or 0, host].append(finding)
    return [_by_clock(found, _latest) for _, found in sorted(by_port.items())]


def _by_clock(findings: list[Finding], decide: Callable[[list[Finding]], Decided]) -> Decided:
    """Decide by each clock for itself; where they cannot be compared, nobody knows which is the latest.

    A stop then counts more than what went well, so that nothing is called fine that may not be.
    """
    clocks: dict[int | None, list[Finding]] = defaultdict(list)
    for finding in findings:
        clocks[finding.clock].append(finding)
    decided = [decide(found) for found in clocks.values()]
    if len(decided) == 1:
        return decided[0]
    decisive = [one for one in decided if one[0].decides] or decided
    bad = [one for one in decisive if one[0].verdict in r.BAD]
    chosen, change = (bad or decisive)[0]
    others = sorted({one.verdict for one, _ in decisive if (one.verdict in r.GOOD) != (chosen.verdict in r.GOOD)})
    if not others:
        return chosen, change
    text = (
        f"{chosen.text} Another source says {' and '.join(others)}, but which was later cannot be told: the times of a "
        "log are local. Name its zone: --tz ZONE."
    )
    return replace(chosen, text=text), change


def _latest(findings: list[Finding]) -> Decided:
    """Return the finding that decides, and the change before it: the latest decisive one counts."""
    decisive = [one for one in findings if one.decides]
    if not decisive:
        return ([one for one in findings if one.verdict in r.GOOD] or findings)[-1], None
    last = decisive[-1]
    others = [place for place, one in enumerate(decisive) if (one.verdict in r.GOOD) != (last.verdict in r.GOOD)]
    since = decisive[others[-1] + 1 :] if others else decisive
    answered = [one for one in since if one.verdict == r.OPEN]  # which says more than that a firewall let it through
    chosen = answered[-1] if answered else last
    return chosen, _change(decisive[others[-1]], chosen) if others else None


def _change(before: Finding, after: Finding) -> r.Change:
    times = tuple(r.utc_text(one.time_ns, local=one.clock is not None) or "" for one in (before, after))
    return r.Change(before.verdict, times[0], after.verdict, times[1])


def _worst_of_latest_push(findings: list[Finding]) -> Decided:
    pushes = _pushes(findings)
    worst = [_worst(push) for push in pushes]
    decisive = [number for number, one in enumerate(worst) if one.decides]
    latest = decisive[-1] if decisive else len(worst) - 1
    good = worst[latest].verdict in r.GOOD
    before = [worst[number] for number in decisive[:-1] if (worst[number].verdict in r.GOOD) != good]
    if before:
        return worst[latest], _change(before[-1], worst[latest])
    return _latest([one for one in pushes[latest] if one.port == worst[latest].port])


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
