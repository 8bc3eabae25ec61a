"""Judge flows against a ruleset: pure, from what the sources hold to the report."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Sequence
from dataclasses import dataclass, replace

import pandas as pd

from auditor import report as r
from auditor.attempts import Attempt, Traffic
from auditor.conversation import NOTHING_SAID, conversation
from auditor.flows import MEANING
from auditor.limits import limitations
from auditor.listening import Heard
from auditor.recommend import recommend
from auditor.results import SERVICE_CONTROLLER, excused_of, method_result
from auditor.roles import CLIENT, Cast
from auditor.ruleset import Method, Requirement, Ruleset, SiteFacts
from auditor.sources.packets import Quote
from auditor.sources.reading import Source
from auditor.vantage import where_stopped

LONG_ENOUGH_NS = 3_000_000_000  # how long an answer may take before its absence counts
AFTER_ENDPOINT_MAPPER_NS = 60_000_000_000  # a dynamic port is used soon after it was handed out
MOST_FRAMES = 8
MOST_EVIDENCE = 6


@dataclass(frozen=True)
class Finding:
    """What one attempt (seen in one source, or in several) shows of a requirement."""

    verdict: str
    confidence: str | None
    text: str
    time_ns: int
    attempts: tuple[Attempt, ...]
    evidence: tuple[r.Evidence, ...]
    blocked_at: str | None = None
    port: int | None = None

    @property
    def decides(self) -> bool:
        """Whether it is decisive rather than inconclusive."""
        return self.verdict != r.INCONCLUSIVE


def audit(
    sources: Sequence[Source],
    ruleset: Ruleset,
    cast: Cast,
    facts: SiteFacts,
    asked: Sequence[str],
    tool: tuple[str, str],
    heard: Heard | None = None,
) -> r.Report:
    """Judge every method of the ruleset for every client.

    asked: the methods that decide the exit code. heard: what the dissectors told, None if they were not asked.
    """
    facts = replace(facts, roles=facts.roles | cast.roles)
    hosts = {one.address for one in cast.assignments}
    traffic = Traffic(sources, hosts, heard.said if heard else ())
    clients = tuple(_client(client, traffic, ruleset, cast, facts) for client in cast.clients)
    return r.Report(
        tool=tool,
        ruleset=(ruleset.id, ruleset.title, ruleset.reference),
        sources=tuple(_summary(source) for source in sources),
        roles=cast.assignments,
        clients=clients,
        limitations=limitations(sources, cast, clients, ruleset, heard),
        asked=tuple(asked),
        flows=pd.concat([source.flows for source in sources], ignore_index=True),
    )


def _summary(source: Source) -> r.SourceSummary:
    return r.SourceSummary(
        path=source.path,
        kind=source.kind,
        format=source.format,
        bytes=source.bytes,
        records=source.records,
        skipped=source.skipped,
        first_time=r.utc_text(source.first_ns),
        last_time=r.utc_text(source.last_ns),
        warnings=tuple(sorted((warning.code, warning.text) for warning in source.warnings)),
    )


def _client(client: str, traffic: Traffic, ruleset: Ruleset, cast: Cast, facts: SiteFacts) -> r.ClientReport:
    judged = _Judge(client, traffic, ruleset, cast, facts)
    methods = tuple(judged.method(method) for method in ruleset.methods)
    return r.ClientReport(client, methods, recommend(methods, ruleset, facts))


class _Judge:
    """Judges the requirements of one client."""

    def __init__(self, client: str, traffic: Traffic, ruleset: Ruleset, cast: Cast, facts: SiteFacts) -> None:
        self._client = client
        self._traffic = traffic
        self._ruleset = ruleset
        self._cast = cast
        self._facts = facts
        self._stopped_ports: dict[str, set[int]] = {}

    def method(self, method: Method) -> r.MethodResult:
        """Return the result of one method."""
        verdicts = tuple(self._requirement(requirement) for requirement in method.requirements)
        excused = excused_of(method, verdicts, self._interfaces)
        result, reasons = method_result(method, verdicts, self._ruleset, self._facts, excused)
        told = tuple(self._excused(one) if one.id in excused else one for one in verdicts)
        return r.MethodResult(method.id, method.title, result, reasons, told)

    def _excused(self, verdict: r.RequirementVerdict) -> r.RequirementVerdict:
        """Add why a stopped requirement does no harm, and whether that was seen."""
        pair = (verdict.source.address, verdict.destination.address)
        pipes = [
            step.frame
            for said in self._traffic.said
            for step in said.steps
            if tuple(step.side)[:2] == pair and step.good and step.step == f"open {SERVICE_CONTROLLER}"
        ]
        seen = f", as it did in frame {pipes[-1]}" if pipes else ""
        text = (
            "This does not end the push: only the service controller was to be called there, and Windows calls it "
            f"through the named pipe on SMB instead{seen}, after a time-out of about 21 seconds."
        )
        return replace(verdict, explanation=f"{verdict.explanation} {text}")

    # one requirement

    def _requirement(self, requirement: Requirement) -> r.RequirementVerdict:
        sources, destinations = self._addresses(requirement.from_role), self._addresses(requirement.to_role)
        if self._ruleset.applies(requirement, self._facts) is False:
            return self._without_traffic(requirement, r.NOT_APPLICABLE, self._why_off(requirement))
        attempts = [
            one
            for src in sources
            for dst in destinations
            for one in self._traffic.between(src, dst)
            if self._concerns(requirement, one)
        ]
        findings = self._findings(attempts)
        if not findings:
            findings = self._from_neighbours(requirement, destinations)
        if not findings:
            return self._without_traffic(
                requirement, r.NOT_SEEN, self._why_not_seen(requirement, sources, destinations)
            )
        return self._decided(requirement, findings)

    def _addresses(self, role: str) -> tuple[str, ...]:
        return (self._client,) if role == CLIENT else self._cast.addresses(role)

    def _concerns(self, requirement: Requirement, attempt: Attempt) -> bool:
        if attempt.protocol != requirement.protocol:
            return False
        if requirement.icmp_echo:
            return True
        if not requirement.dynamic:
            return attempt.dst_port in requirement.ports
        return not attempt.reversed and self._is_dynamic(requirement, attempt)

    def _is_dynamic(self, requirement: Requirement, attempt: Attempt) -> bool:
        """Tell whether an attempt is to a port that the endpoint mapper or DCOM handed out, or may be.

        Where the announcement cannot be read, only port and time tell: the port lies in the dynamic range, and the same
        two hosts spoke at the endpoint mapper shortly before.
        """
        if self._traffic.handed_out(attempt):
            return True
        port = attempt.dst_port
        if port is None or not self._ruleset.is_dynamic(port):
            return False
        fixed = {one for other in self._ruleset.requirements for one in other.ports}
        mapper = self._mapper_port(requirement)
        if port in fixed:
            return False
        asked = [
            one
            for one in self._traffic.between(attempt.src, attempt.dst)
            if one.protocol == "tcp" and one.dst_port == mapper and one.answer in ("answered", "one-sided")
        ]
        return any(one.start_ns <= attempt.start_ns <= one.end_ns + AFTER_ENDPOINT_MAPPER_NS for one in asked)

    def _mapper_port(self, requirement: Requirement) -> int | None:
        """Return the endpoint mapper's port: the fixed TCP row that goes before the dynamic one in its method."""
        before: int | None = None
        for other in self._ruleset.method(requirement.method).requirements:
            if other.id == requirement.id:
                return before
            if other.protocol == "tcp" and len(other.ports) == 1:
                before = other.ports[0]
        return before

    # findings

    def _findings(self, attempts: list[Attempt]) -> list[Finding]:
        groups: dict[object, list[Attempt]] = defaultdict(list)
        again: Counter[object] = Counter()
        for index, attempt in enumerate(attempts):
            key = attempt.identity or index
            again[key, attempt.source] += 1
            groups[key, again[key, attempt.source]].append(attempt)  # the same again in one source is another attempt
        found = [self._joined([self._judged(one) for one in group]) for group in groups.values()]
        return sorted(found, key=lambda one: (one.time_ns, one.attempts[0].source, one.attempts[0].first_frame))

    def _judged(self, attempt: Attempt) -> Finding:
        verdict, confidence, text, frames, place = self._told(attempt)
        proof = tuple(frames[:MOST_FRAMES]) or (attempt.first_frame,)  # of some only an error about them was captured
        evidence = r.Evidence(attempt.source, proof, (), text, display_filter(attempt, proof))
        return Finding(verdict, confidence, text, attempt.start_ns, (attempt,), (evidence,), place, attempt.dst_port)

    def _told(self, attempt: Attempt) -> tuple[str, str | None, str, list[int], str | None]:
        """Return verdict, confidence, sentence, frames and place of one attempt."""
        where = self._where(attempt)
        if attempt.answer == "answered":
            return r.OPEN, r.PROVEN, f"{where} was answered{_how_answered(attempt)}.", _answer_frames(attempt), None
        if telling := _telling_errors(attempt):
            return self._by_error(attempt, where, telling)
        if attempt.answer == "refused":
            frames = _frames(attempt, ("SYN", "RST"))
            return r.REFUSED, r.PROVEN, *self._reset(attempt, where, frames)
        if attempt.answer == "unanswered":
            return self._silence(attempt, where)
        text = f"{where}: only one direction, or only the middle, of the connection was captured."
        return r.INCONCLUSIVE, None, text, _frames(attempt, None), None

    def _reset(self, attempt: Attempt, where: str, frames: list[int]) -> tuple[str, list[int], str]:
        """Return sentence, frames and place of a reset, by the hop count that it has left."""
        forged = self._traffic.reset_by_other(attempt)
        if forged is None:
            return f"{where} was reset at once: nothing listens there, or a device rejects it.", frames, r.UNKNOWN
        if forged:
            text = f"{where} was reset by a device between: the reset came another way than {attempt.dst}'s packets do."
            return text, frames, r.BETWEEN
        text = f"{where} was reset by {attempt.dst} itself: nothing listens there."
        return text, frames, self._role_of(attempt.dst)

    def _where(self, attempt: Attempt) -> str:
        """Return which attempt, and for which interface its port was handed out."""
        announced = self._traffic.handed_out(attempt)
        if announced is None:
            return _where(attempt)
        return f"{_where(attempt)} (handed out for {announced.interface} in frame {announced.frame})"

    def _interfaces(self, verdict: r.RequirementVerdict) -> set[str]:
        """Return the interfaces of the dynamic ports of a requirement that were stopped."""
        return {
            one.interface
            for said in self._traffic.said
            for one in said.handed_out
            if one.server == verdict.destination.address and one.port in self._stopped_ports.get(verdict.id, ())
        }

    def _by_error(self, attempt: Attempt, where: str, kept: list[Quote]) -> tuple[str, str, str, list[int], str]:
        verdict = {"prohibited": r.BLOCKED, "refused": r.REFUSED, "unreachable": r.UNREACHABLE}[attempt.answer]
        said = kept[-1]
        by_itself = said.sender == attempt.dst
        sender = "that host itself" if by_itself else said.sender
        what = {
            "prohibited": "forbids it",
            "refused": "says that nothing listens there",
            "unreachable": "has no way to that host",
        }[attempt.answer]
        text = f"{where}: {sender} {what} (ICMP{'v6' if said.version == 6 else ''} {said.icmp_type}/{said.icmp_code})."
        frames = sorted({*_frames(attempt, ("SYN", "request", "datagram"))[:3], *(one.frame for one in kept)})
        place = (self._role_of(attempt.dst) if by_itself else r.BETWEEN) if verdict == r.BLOCKED else r.UNKNOWN
        return verdict, r.PROVEN, text, frames, place

    def _role_of(self, address: str) -> str:
        if address == self._client:
            return CLIENT
        return next((one.role for one in self._cast.assignments if one.address == address), r.UNKNOWN)

    def _silence(self, attempt: Attempt, where: str) -> tuple[str, str | None, str, list[int], str | None]:
        frames = _frames(attempt, ("SYN", "request", "datagram"))
        if attempt.protocol == "udp":
            text = f"{where} was not answered, which over UDP proves nothing."
            return r.INCONCLUSIVE, None, text, frames, None
        if self._traffic.one_sided(attempt):
            text = f"{where}: only packets of {attempt.src} are in this source, so its silence proves nothing."
            return r.INCONCLUSIVE, None, text, frames, None
        if not attempt.frames_src:
            text = f"{where}: it was not captured itself, only an ICMP error about it."
            return r.INCONCLUSIVE, None, text, frames, None
        tries, last_ns = _tries(attempt)
        source_end = self._traffic.sources[attempt.source].last_ns or last_ns
        if tries < 2 and source_end - last_ns < LONG_ENOUGH_NS:
            text = f"{where}: the capture ends too soon after the only attempt to say that it was not answered."
            return r.INCONCLUSIVE, None, text, frames, None
        count = f"{tries} {'echo requests' if attempt.protocol == 'icmp' else 'SYNs'}" if tries > 1 else "it"
        if self._traffic.heard(attempt.dst):
            text = f"{where}: {count} got no answer, although {attempt.dst} is there and talks otherwise."
            return r.BLOCKED, r.LIKELY, text, frames, r.UNKNOWN
        if vain := self._traffic.asked_in_vain(attempt.dst):
            text = f"{where}: no answer, and nobody on the local network answers for {attempt.dst}."
            asked = next((one.frames[:2] for number, one in vain if number == attempt.source), ())
            return r.UNREACHABLE, r.PROVEN, text, sorted({*frames, *asked}), r.UNKNOWN
        text = f"{where}: {count} got no answer, and nothing at all from {attempt.dst} is in these sources."
        return r.NO_ANSWER, r.LIKELY, text, frames, r.UNKNOWN

    def _from_neighbours(self, requirement: Requirement, destinations: Sequence[str]) -> list[Finding]:
        """Return a finding when nothing could be tried because nobody answers for the host on the local network."""
        if requirement.necessity == "informational":
            return []
        findings = []
        for host in destinations:
            if self._traffic.heard(host):
                continue
            for number, asked in self._traffic.asked_in_vain(host)[:1]:
                text = (
                    f"Nothing could be sent to {host}: {asked.asker} asked {len(asked.frames)} times on the local "
                    "network who has that address, and nobody answered."
                )
                shown = f"arp.dst.proto_ipv4 == {host}" if ":" not in host else f"icmpv6.nd.ns.target_address == {host}"
                evidence = r.Evidence(number, asked.frames[:MOST_FRAMES], (), text, shown)
                findings.append(Finding(r.UNREACHABLE, r.PROVEN, text, asked.first_ns, (), (evidence,), r.UNKNOWN))
        return findings

    def _joined(self, seen: list[Finding]) -> Finding:
        """Put together what several sources show of one and the same attempt."""
        if len(seen) == 1:
            return seen[0]
        verdicts = {one.verdict for one in seen}
        evidence = tuple(one for finding in seen for one in finding.evidence)
        attempts = tuple(one for finding in seen for one in finding.attempts)
        proven_bad = [one for one in seen if one.verdict in r.BAD and one.confidence == r.PROVEN]
        silent = [one for one in seen if one.verdict in r.BAD]
        if r.OPEN in verdicts and silent and not proven_bad:
            answered = next(one for one in seen if one.verdict == r.OPEN)
            names = [self._traffic.sources[one.attempts[0].source].path for one in (answered, silent[0])]
            text = f"{_where(attempts[0])} was answered in {names[0]}, but the answer never arrives in {names[1]}."
            joined = replace(silent[0], verdict=r.BLOCKED, text=text, attempts=attempts, evidence=evidence)
            return replace(joined, confidence=r.LIKELY, blocked_at=r.BETWEEN)
        chosen = (proven_bad or [one for one in seen if one.decides] or seen)[0]
        return replace(chosen, attempts=attempts, evidence=evidence)

    # deciding

    def _decided(self, requirement: Requirement, findings: list[Finding]) -> r.RequirementVerdict:
        chosen, changed = _worst_port(findings) if requirement.dynamic else _best_port(findings)
        chosen = self._placed(requirement, chosen)
        if requirement.dynamic:
            decided = [one for one, _ in _by_port(findings) if one.verdict in r.BAD and one.port is not None]
            self._stopped_ports[requirement.id] = {one.port for one in decided if one.port is not None}
        attempts = [one for finding in findings for one in finding.attempts]
        told = conversation(attempts, self._traffic) if chosen.verdict in r.GOOD else NOTHING_SAID
        shown = [chosen, *(one for one in reversed(findings) if one is not chosen)]
        evidence = [*told.evidence, *(one for finding in shown for one in finding.evidence)][:MOST_EVIDENCE]
        tried = {finding.port for finding in findings if finding.port is not None}
        times = [moment for one in attempts for moment in (one.start_ns, one.end_ns)] or [chosen.time_ns]
        pair = chosen.attempts[0] if chosen.attempts else None
        return r.RequirementVerdict(
            **_common(requirement),
            source=r.End(requirement.from_role, pair.src if pair else self._one_address(requirement.from_role)),
            destination=r.End(requirement.to_role, pair.dst if pair else self._one_address(requirement.to_role)),
            ports=tuple(sorted(tried)) if requirement.dynamic else requirement.ports,
            verdict=chosen.verdict,
            confidence=chosen.confidence,
            blocked_at=chosen.blocked_at if chosen.verdict in r.BAD else None,
            changed=changed,
            attempts=len(findings) if attempts else 0,
            first_time=r.utc_text(min(times)),
            last_time=r.utc_text(max(times)),
            explanation=" ".join(filter(None, (chosen.text + _told_change(changed), told.text))),
            evidence=tuple(sorted(evidence, key=lambda one: (one.source, one.frames, one.text))),
            problems=told.problems,
            remedy=_remedy(requirement, chosen.verdict) or told.remedy,
        )

    def _placed(self, requirement: Requirement, finding: Finding) -> Finding:
        """Add where it was stopped, if a second capture of the attempt tells."""
        if finding.verdict not in (r.BLOCKED, r.NO_ANSWER) or finding.blocked_at != r.UNKNOWN or not finding.attempts:
            return finding
        found = where_stopped(finding.attempts, self._traffic, requirement.to_role)
        return replace(finding, blocked_at=found[0], text=f"{finding.text} {found[1]}") if found else finding

    def _without_traffic(self, requirement: Requirement, verdict: str, text: str) -> r.RequirementVerdict:
        return r.RequirementVerdict(
            **_common(requirement),
            source=r.End(requirement.from_role, self._one_address(requirement.from_role)),
            destination=r.End(requirement.to_role, self._one_address(requirement.to_role)),
            ports=requirement.ports,
            verdict=verdict,
            confidence=None,
            blocked_at=None,
            changed=None,
            attempts=0,
            first_time=None,
            last_time=None,
            explanation=text,
            evidence=(),
            problems=(),
            remedy="",
        )

    def _one_address(self, role: str) -> str | None:
        addresses = self._addresses(role)
        return addresses[0] if len(addresses) == 1 else None

    def _why_off(self, requirement: Requirement) -> str:
        texts = [
            self._ruleset.condition(one).text
            for one in requirement.conditions
            if self._ruleset.holds(one, self._facts) is False
        ]
        return f"Counts only if {' and '.join(texts)}."

    def _why_not_seen(self, requirement: Requirement, sources: Sequence[str], destinations: Sequence[str]) -> str:
        unknown = [
            role for role, found in ((requirement.from_role, sources), (requirement.to_role, destinations)) if not found
        ]
        if unknown:
            name = unknown[0]
            return f"Nobody is known as {name.replace('-', ' ')}; name it: --role {name}=ADDRESS."
        return f"No attempt from {_list(sources)} to {_list(destinations)} is in these sources."


def _common(requirement: Requirement) -> dict[str, str]:
    names = ("id", "description", "necessity", "protocol")
    return {name: getattr(requirement, name) for name in names}


def _list(addresses: Sequence[str]) -> str:
    return ", ".join(addresses[:3]) + (f" and {len(addresses) - 3} more" if len(addresses) > 3 else "")


def _latest(findings: list[Finding]) -> tuple[Finding, r.Change | None]:
    """Return the finding that decides, and the change before it: the latest decisive one counts."""
    decisive = [one for one in findings if one.decides]
    if not decisive:
        return findings[-1], None
    last = decisive[-1]
    others = [one for one in decisive if (one.verdict in r.GOOD) != (last.verdict in r.GOOD)]
    if not others:
        return last, None
    before = others[-1]
    times = (r.utc_text(before.time_ns) or "", r.utc_text(last.time_ns) or "")
    return last, r.Change(before.verdict, times[0], last.verdict, times[1])


def _worst_port(findings: list[Finding]) -> tuple[Finding, r.Change | None]:
    """Judge each dynamic port by itself; one that is blocked decides, since each was handed out to be used."""
    decided = _by_port(findings)
    bad = [one for one in decided if one[0].verdict in r.BAD]
    good = [one for one in decided if one[0].verdict in r.GOOD]
    return (bad or good or decided)[0]


def _best_port(findings: list[Finding]) -> tuple[Finding, r.Change | None]:
    """Judge each of the documented ports by itself; one that is open decides, since any one of them will do."""
    decided = _by_port(findings)
    good = [one for one in decided if one[0].verdict in r.GOOD]
    decisive = [one for one in decided if one[0].decides]
    return max(good or decisive or decided, key=lambda one: one[0].time_ns)


def _by_port(findings: list[Finding]) -> list[tuple[Finding, r.Change | None]]:
    """Return what decides for each port of each host that was tried."""
    by_port: dict[tuple[int, str], list[Finding]] = defaultdict(list)
    for finding in findings:
        host = finding.attempts[0].dst if finding.attempts else ""
        by_port[finding.port or 0, host].append(finding)
    return [_latest(found) for _, found in sorted(by_port.items())]


def _remedy(requirement: Requirement, verdict: str) -> str:
    """Return what to do first: a computer that may be off is no question of ports."""
    if verdict in (r.UNREACHABLE, r.NO_ANSWER):
        return (
            "Find out whether the computer is on and has this address (DNS may be old), and whether a way leads to it. "
            f"If it is on: {requirement.remedy}"
        )
    return requirement.remedy if verdict in r.BAD else ""


def _told_change(change: r.Change | None) -> str:
    if change is None:
        return ""
    return f" Earlier, at {change.before_time}, it was {change.before}."


def _where(attempt: Attempt) -> str:
    if attempt.protocol == "icmp":
        return f"The echo request from {attempt.src} to {attempt.dst}"
    return f"{attempt.protocol.upper()} {attempt.dst_port} from {attempt.src} to {attempt.dst}"


def _how_answered(attempt: Attempt) -> str:
    whats = {event.what for event in attempt.events if not event.from_src}
    if "SYN-ACK" in whats:
        return " (SYN-ACK)"
    if attempt.protocol == "tcp":
        return " (the capture begins in mid-connection, with data both ways)"
    return ""


def _telling_errors(attempt: Attempt) -> list[Quote]:
    """Return the ICMP errors about the packets of the host that tried, if they are what its attempt was answered by."""
    return [
        one
        for one in attempt.errors
        if one.src == attempt.src and MEANING[one.version].get((one.icmp_type, one.icmp_code)) == attempt.answer
    ]


def _frames(attempt: Attempt, whats: tuple[str, ...] | None) -> list[int]:
    return [event.frame for event in attempt.events if whats is None or event.what in whats]


def _answer_frames(attempt: Attempt) -> list[int]:
    """Return the first frame of each side that shows the exchange."""
    handshake = [event for event in attempt.events if event.what in ("SYN", "SYN-ACK")]
    asked = next((one.frame for one in handshake or attempt.events if one.from_src), None)
    answered = next((one.frame for one in handshake if not one.from_src), None)
    answered = answered or next((one.frame for one in attempt.events if not one.from_src), None)
    return sorted(frame for frame in {asked, answered} if frame is not None)


def _tries(attempt: Attempt) -> tuple[int, int]:
    """Return how often an unanswered attempt was made, and when last."""
    if attempt.protocol == "tcp":
        syns = attempt.syns
        return len(syns), syns[-1].time_ns if syns else attempt.end_ns
    again = attempt.end_ns - attempt.start_ns >= 100_000_000  # not merely one packet seen twice
    return attempt.frames_src if again else 1, attempt.end_ns


def display_filter(attempt: Attempt, proof: Sequence[int]) -> str:
    """Return a Wireshark display filter that shows an attempt, the ICMP errors about it and all frames of the proof."""
    errors = {one.frame for one in attempt.errors}
    others = (set(proof) | errors) - {event.frame for event in attempt.events}
    shown = []
    if attempt.protocol == "icmp":
        version, address = ("icmpv6", "ipv6.addr") if ":" in attempt.dst else ("icmp", "ip.addr")
        shown = [f"{version} && {address} == {attempt.src} && {address} == {attempt.dst}"]
        others -= errors  # Wireshark finds the two addresses in what they quote
    elif attempt.stream is not None:
        shown = [f"{attempt.protocol}.stream eq {attempt.stream}"]
    if others:
        shown.append(f"frame.number in {{{', '.join(map(str, sorted(others)[:MOST_FRAMES]))}}}")
    return " || ".join(shown)
