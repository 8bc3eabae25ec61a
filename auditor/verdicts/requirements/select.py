"""Which finding decides: the latest of each port and RPC service; then the best port, but the worst service."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import replace

from auditor.report import model as r
from auditor.ruleset.statements import say
from auditor.sources.dissection.facts import SERVICE_CONTROLLER
from auditor.verdicts.findings import Finding
from auditor.verdicts.requirements.endpoint_mapper import AFTER_ENDPOINT_MAPPER_NS, RpcService, ServiceOf

Decided = tuple[Finding, r.VerdictChange | None]


def by_service(findings: Sequence[Finding], service_of: ServiceOf) -> dict[RpcService, Decided]:
    """Return what decides for each RPC service whose dynamic port was tried: the latest says whether it is reached."""
    by_service: dict[RpcService, list[Finding]] = defaultdict(list)
    for finding in findings:
        by_service[service_of(finding)].append(finding)
    return {service: _by_clock(by_service[service]) for service in sorted(by_service)}


def decide_dynamic(services: Mapping[RpcService, Decided]) -> Decided:
    """Return what decides about dynamic ports: a service that is not reached, since a push calls each of them.

    Another service that is reached later takes nothing back, in whichever push. The service controller comes last: a
    push can do without its port.
    """
    bad = {service: decided for service, decided in services.items() if decided[0].verdict in r.FAILING}
    if bad:
        needed = [decided for service, decided in bad.items() if service.interface != SERVICE_CONTROLLER]
        latest = _latest_push(needed or bad.values())
        return max(latest, key=lambda decided: (decided[0].confidence == r.PROVEN, decided[0].time_ns))
    good = [decided for decided in services.values() if decided[0].verdict in r.PASSING]
    sure = [decided for decided in good if decided[0].decides]
    latest = _latest_push(sure or good or services.values())
    return max(latest, key=lambda decided: (decided[0].verdict == r.ALLOWED, bool(decided[1]), decided[0].time_ns))


def not_reached(services: Mapping[RpcService, Decided]) -> frozenset[str]:
    """Return the interfaces whose ports are not reached; an empty one stands for those that are unknown."""
    return frozenset(service.interface for service, (finding, _) in services.items() if finding.verdict in r.FAILING)


def on_other_services(chosen: Finding, services: Mapping[RpcService, Decided]) -> str:
    """Return why a port of another service that was open later does not take back what was chosen."""
    later = {
        finding.time_ns: (finding, service)
        for service, (finding, _) in services.items()
        if finding.verdict in r.PASSING and finding.clock == chosen.clock and finding.time_ns > chosen.time_ns
    }
    if chosen.verdict not in r.FAILING or not later:
        return ""
    finding, service = later[max(later)]
    own = next(service for service, decided in services.items() if decided[0] is chosen)
    fields = {"port": finding.port, "verdict": finding.verdict}
    if own.interface and service.interface:
        return say("dynamic.other-interface", **fields, interface=service.interface)
    return say("dynamic.maybe-other-interface", **fields, chosen=chosen.port, chosen_verdict=chosen.verdict)


def decide_documented(decided: Sequence[Decided]) -> Decided:
    """Return what decides of what was decided by port: one that is open, since any documented port will do."""
    good = [candidate for candidate in decided if candidate[0].verdict in r.PASSING]
    decisive = [candidate for candidate in decided if candidate[0].decides]
    sure = [candidate for candidate in good if candidate[0].decides]
    return max(sure or decisive or good or decided, key=lambda candidate: candidate[0].time_ns)


def besides(chosen: Finding, decided: Iterable[Decided]) -> list[Finding]:
    """Return the proven blocks at other ports, or of other services, than what was chosen."""
    other_findings = [finding for finding, _ in decided if finding is not chosen]
    return list(filter(is_proven_block, other_findings))


def is_proven_block(finding: Finding) -> bool:
    """Tell whether a finding is a block that is proven."""
    return finding.verdict == r.BLOCKED and finding.confidence == r.PROVEN


def by_port(findings: Iterable[Finding]) -> list[Decided]:
    """Return what decides for each port that was tried."""
    of_port: dict[int, list[Finding]] = defaultdict(list)
    for finding in findings:
        of_port[finding.port or 0].append(finding)
    return [_by_clock(of_port[port]) for port in sorted(of_port)]


def _by_clock(findings: list[Finding]) -> Decided:
    """Decide by each clock for itself; where they cannot be compared, nobody knows which is the latest.

    A stop then counts more than what went well, so that nothing is called fine that may not be.
    """
    clocks: dict[int | None, list[Finding]] = defaultdict(list)
    for finding in findings:
        clocks[finding.clock].append(finding)
    decided = [_latest(of_clock) for of_clock in clocks.values()]
    decisive = [candidate for candidate in decided if candidate[0].decides] or decided
    bad = [candidate for candidate in decisive if candidate[0].verdict in r.FAILING]
    chosen, change = min(bad or decisive, key=lambda candidate: candidate[0].confidence != r.PROVEN)
    other_verdicts = sorted(
        {finding.verdict for finding, _ in decisive if (finding.verdict in r.PASSING) != (chosen.verdict in r.PASSING)}
    )
    if not other_verdicts:
        return chosen, change
    text = say("finding.other-clock", text=chosen.text, verdicts=say("list.and").join(other_verdicts))
    return replace(chosen, text=text), change


def _latest(findings: list[Finding]) -> Decided:
    """Return the finding that decides, and the change before it: the latest decisive one counts."""
    decisive = [
        finding
        for place, finding in enumerate(findings)
        if finding.decides
        and not (_is_one_syn(finding) and any(earlier.verdict == r.OPEN for earlier in findings[:place]))
    ]
    if not decisive:
        return ([finding for finding in findings if finding.verdict in r.PASSING] or findings)[-1], None
    last = decisive[-1]
    contrary = [
        place for place, finding in enumerate(decisive) if (finding.verdict in r.PASSING) != (last.verdict in r.PASSING)
    ]
    since = decisive[contrary[-1] + 1 :] if contrary else decisive
    answered = [
        finding for finding in since if finding.verdict == r.OPEN
    ]  # which says more than that a firewall let it through
    chosen = answered[-1] if answered else last
    return chosen, _change(decisive[contrary[-1]], chosen) if contrary else None


def _is_one_syn(finding: Finding) -> bool:
    """Tell whether nothing but one SYN that was never repeated shows that there was no response.

    Every TCP stack repeats its SYN. So its originator gave up by itself, as a program does that ends, and that takes
    back no port that was open before.
    """
    silent = finding.verdict in (r.BLOCKED, r.NO_RESPONSE) and finding.confidence == r.LIKELY
    tcp = [attempt for attempt in finding.attempts if attempt.row is None and attempt.protocol == "tcp"]
    return silent and bool(tcp) and len(tcp) == len(finding.attempts) and all(attempt.tries == 1 for attempt in tcp)


def _change(earlier: Finding, later: Finding) -> r.VerdictChange:
    times = tuple(r.utc_text(finding.time_ns, local=finding.clock is not None) or "" for finding in (earlier, later))
    return r.VerdictChange(earlier.verdict, times[0], later.verdict, times[1])


def _latest_push(services: Collection[Decided]) -> list[Decided]:
    """Return the services of the latest push: ports are assigned anew for each."""
    push: list[Decided] = []
    for decided in sorted(services, key=lambda decided: decided[0].time_ns):
        if push and decided[0].time_ns - push[-1][0].time_ns > AFTER_ENDPOINT_MAPPER_NS:
            push = []
        push.append(decided)
    return push
