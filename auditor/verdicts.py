"""Judge flows against a ruleset: pure, from what the sources hold to the report."""

from __future__ import annotations

from bisect import bisect_right
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from functools import lru_cache
from itertools import accumulate
from typing import NamedTuple

from auditor import report as r
from auditor.all_flows import AllFlows
from auditor.attempts import Attempt, Traffic
from auditor.clocks import Clocks
from auditor.conversation import NOTHING_SAID, Conversation, conversation
from auditor.deciding import AFTER_ENDPOINT_MAPPER_NS, best_port, by_port, worst_port
from auditor.findings import Finding, Witness
from auditor.joining import CLOCKS_DIFFER_NS
from auditor.limits import limitations
from auditor.listening import Heard
from auditor.recommend import recommend
from auditor.remedies import remedy_of
from auditor.results import excused_of, method_result
from auditor.roles import CLIENT, SITE_SERVER, Cast
from auditor.ruleset import Method, Requirement, Ruleset, SiteFacts, SiteRules
from auditor.said import SERVICE_CONTROLLER
from auditor.sentence import first_of
from auditor.sources.source import Source
from auditor.vantage import clock_notes, where_stopped

AFTER_MAPPER_IN_LOG_NS = 300_000_000_000  # a connection to the endpoint mapper may stay for minutes
MOST_NAMED = 3  # hosts, in a sentence
MOST_EVIDENCE = 6
SERVICES_PROGRAM = "\\services.exe"  # in which the service controller runs
MOST_OTHERS = 3  # hosts of the same role of which a verdict tells besides its own


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
    traffic = Traffic(sources, cast.hosts, heard.said if heard else ())
    rules = rules_for(cast, ruleset, facts)
    judged = judge(traffic, rules, cast).items()
    clients = tuple(r.ClientReport(client, methods, recommend(methods, rules)) for client, methods in judged)
    return r.Report(
        tool=tool,
        ruleset=(ruleset.id, ruleset.title, ruleset.reference),
        sources=tuple(_summary(source) for source in sources),
        roles=cast.assignments,
        clients=clients,
        limitations=(*limitations(sources, cast, clients, ruleset, heard), *clock_notes(traffic)),
        asked=tuple(asked),
        all_flows=AllFlows(sources),
    )


def rules_for(cast: Cast, ruleset: Ruleset, facts: SiteFacts) -> SiteRules:
    """Return the rules that hold for a cast. facts: without the roles that somebody plays in it."""
    return ruleset.at(replace(facts, roles=facts.roles | cast.roles))


def judge(traffic: Traffic, rules: SiteRules, cast: Cast) -> dict[str, tuple[r.MethodResult, ...]]:
    """Return by the clients of the cast what every method of the ruleset comes to."""
    clocks = Clocks(traffic)
    return {
        client: tuple(map(_Judge(client, traffic, clocks, rules, cast).method, rules.ruleset.methods))
        for client in cast.clients
    }


def _summary(source: Source) -> r.SourceSummary:
    return r.SourceSummary(
        path=source.path,
        kind=source.kind,
        format=source.format,
        bytes=source.bytes,
        records=source.records,
        skipped=source.skipped,
        first_time=r.utc_text(source.first_ns, local=source.clock == "local"),
        last_time=r.utc_text(source.last_ns, local=source.clock == "local"),
        warnings=tuple(sorted((warning.code, warning.text) for warning in source.warnings)),
    )


class _Talks:
    """Connections of one host to the endpoint mapper of another, to be asked whether one was shortly before."""

    def __init__(self, talks: Sequence[Attempt], clocks: Clocks) -> None:
        timed = sorted((clocks.begin(one), one.end_ns - one.start_ns, one.row is not None) for one in talks)
        self._logged = any(logged for _, _, logged in timed)
        self._begins = [begin for begin, _, _ in timed]
        ends = [begin + (0 if logged else lasted) for begin, lasted, logged in timed]
        self._ends = list(accumulate(ends, max))  # the latest end of all that began by then

    def soon_before(self, attempt: Attempt, begin: int) -> bool:
        """Tell whether an attempt came soon after; a log tells when a connection began, not its end."""
        logged = self._logged or attempt.row is not None
        place = bisect_right(self._begins, begin + (CLOCKS_DIFFER_NS if logged else 0))
        after = AFTER_MAPPER_IN_LOG_NS if logged else AFTER_ENDPOINT_MAPPER_NS
        return place > 0 and begin <= self._ends[place - 1] + after


class _Shown(NamedTuple):
    """What the findings about one requirement come to, whichever method asks for it.

    chosen: the finding that decides; told: what was said on the open port. The rest is as in a verdict.
    """

    chosen: Finding
    told: Conversation
    source: r.End
    destination: r.End
    ports: tuple[int, ...]
    changed: r.Change | None
    attempts: int
    first_time: str | None
    last_time: str | None
    explanation: str
    evidence: tuple[r.Evidence, ...]


class _Judge:
    """Judges the requirements of one client."""

    def __init__(self, client: str, traffic: Traffic, clocks: Clocks, rules: SiteRules, cast: Cast) -> None:
        self._client = client
        self._traffic = traffic
        self._rules = rules
        self._ruleset = rules.ruleset
        self._cast = cast
        self._clocks = clocks
        self._witness = Witness(traffic, clocks, lambda address: _role_of(address, client, cast))
        self._hosts: dict[str, list[tuple[str, ...]]] = {}
        self._shown: dict[tuple[object, ...], _Shown | str] = {}
        self._mapper_talks: dict[tuple[str, str, str], dict[int | None, _Talks]] = {}
        self._found: dict[tuple[object, ...], list[Finding]] = {}
        self._stopped_ports: dict[tuple[str, str | None, str | None], set[int | None]] = {}

    def method(self, method: Method) -> r.MethodResult:
        """Return the result of one method."""
        rows: dict[str, r.RequirementVerdict] = {}
        for role in method.by_partner:
            rows |= self._of_role(method, role)
        verdicts = tuple(rows[one.id] for one in method.requirements)
        excused = excused_of(method, verdicts, self._interfaces)
        result, reasons = method_result(verdicts, self._rules, excused)
        told = [self._excused(one) if one.id in excused else one for one in verdicts]
        spared = tuple(_spared(one, told, self._ruleset) for one in told)
        return r.MethodResult(method.id, method.title, result, reasons, spared)

    def _of_role(self, method: Method, role: str) -> dict[str, r.RequirementVerdict]:
        """Judge the requirements between the client and one role, for each host of that role by itself.

        What one site server can do says nothing of another, so one that fails decides. Of the servers that a client
        turns to, one that works is enough.
        """
        requirements = method.by_partner[role]
        judged = [{one.id: self._requirement(one, some) for one in requirements} for some in self._hosts_of(role)]
        if len(judged) == 1:
            return judged[0]
        order = (r.FAILS, r.WORKS, r.UNPROVEN) if role == SITE_SERVER else (r.WORKS, r.FAILS, r.UNPROVEN)
        judged.sort(key=lambda rows: (order.index(self._result(method, rows)), -_good(rows)))
        chosen, *others = judged
        return {name: _with_others(verdict, [rows[name] for rows in others]) for name, verdict in chosen.items()}

    def _hosts_of(self, role: str) -> list[tuple[str, ...]]:
        """Return the hosts of a role that the client dealt with, each to be judged by itself; all as one if none."""
        if role not in self._hosts:
            hosts = self._cast.addresses(role)
            partners = self._traffic.partners(self._client)
            self._hosts[role] = [(one,) for one in hosts if one in partners] or [hosts]
        return self._hosts[role]

    def _result(self, method: Method, rows: Mapping[str, r.RequirementVerdict]) -> str:
        """Return the result that a method would have if it asked for nothing but these requirements."""
        excused = excused_of(method, rows.values(), self._interfaces)
        return method_result(rows.values(), self._rules, excused)[0]

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
        remedy = (
            "Nothing has to be opened. To save the delay, enable the Windows Firewall group "
            '"Remote Service Management (RPC)" on the client.'
        )
        return replace(verdict, explanation=f"{verdict.explanation} {text}", remedy=remedy)

    # one requirement

    def _requirement(self, requirement: Requirement, hosts: tuple[str, ...]) -> r.RequirementVerdict:
        """Judge one requirement between the client and these hosts of the other role."""
        if self._rules.applies[requirement.id] is False:
            return self._untried(requirement, hosts, r.NOT_APPLICABLE, self._rules.why_off[requirement.id])
        key = (requirement.asks, hosts)
        if key not in self._shown:
            self._shown[key] = self._seen(requirement, hosts)
        shown = self._shown[key]
        if isinstance(shown, str):
            return self._untried(requirement, hosts, r.NOT_OBSERVED, shown)
        return self._verdict(requirement, shown)

    def _ends(self, requirement: Requirement, hosts: tuple[str, ...]) -> tuple[tuple[str, ...], tuple[str, ...]]:
        """Return who reaches whom."""
        client = (self._client,)
        return (hosts, client) if requirement.to_role == CLIENT else (client, hosts)

    def _seen(self, requirement: Requirement, hosts: tuple[str, ...]) -> _Shown | str:
        """Return what is seen of a requirement, or in a sentence why nothing is."""
        sources, destinations = self._ends(requirement, hosts)
        findings = self._findings(requirement, sources, destinations)
        if not findings and requirement.necessity != "informational":
            findings = self._witness.unanswered_questions(destinations)
        if not findings:
            return self._why_not_seen(requirement, sources, destinations)
        return self._decided(requirement, findings, sources, destinations)

    def _findings(
        self, requirement: Requirement, sources: tuple[str, ...], destinations: tuple[str, ...]
    ) -> list[Finding]:
        """Return what the attempts show that concern a requirement; other roles may be asked for the same ports."""
        what = (requirement.protocol, requirement.ports, requirement.dynamic and requirement.method)
        key = (*what, sources, destinations)
        if key not in self._found:
            attempts = [
                one
                for src in sources
                for dst in destinations
                for one in self._traffic.between(src, dst)
                if self._concerns(requirement, one)
            ]
            findings = self._witness.findings(attempts)
            self._found[key] = [self._unless_guessed(one) for one in findings] if requirement.dynamic else findings
        return self._found[key]

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

        Where the announcement cannot be read, only port and time tell: the port lies in the dynamic range of today's
        Windows (in that of old versions many other services listen), and the same two hosts spoke at the endpoint
        mapper shortly before.
        """
        if self._traffic.handed_out(attempt):
            return True
        port = attempt.dst_port
        if port is None or port in self._ruleset.fixed_ports or not self._ruleset.is_usual_dynamic(port):
            return False
        asked = self._asked_mapper(requirement, attempt.src, attempt.dst)
        if not asked:
            return attempt.row is not None and self._traffic.tells_only_drops(attempt.source)
        clock = self._clocks.clock(attempt)
        if clock not in asked or len(asked) > 1:
            return True  # clocks that cannot be compared: it may have been shortly before
        return asked[clock].soon_before(attempt, self._clocks.begin(attempt))

    def _unless_guessed(self, finding: Finding) -> Finding:
        """Return a finding as likely if nothing but the port ties it to the push: its log holds only drops."""
        rows = [one for one in finding.attempts if one.row is not None and not self._traffic.handed_out(one)]
        guessed = rows and len(rows) == len(finding.attempts)
        if not guessed or not all(self._traffic.tells_only_drops(one.source) for one in rows):
            return finding
        if finding.verdict != r.BLOCKED:
            return finding
        text = f"{finding.text} That it is an RPC port is taken from its number: what was let through is not logged."
        return replace(finding, confidence=r.LIKELY, text=text)

    def _asked_mapper(self, requirement: Requirement, src: str, dst: str) -> dict[int | None, _Talks]:
        """Return by each clock when one host spoke at the other's endpoint mapper; looked up once for each pair."""
        key = (requirement.id, src, dst)
        if key not in self._mapper_talks:
            mapper = self._mapper_port(requirement)
            by_clock: dict[int | None, list[Attempt]] = defaultdict(list)
            for one in self._traffic.between(src, dst):
                if one.protocol == "tcp" and one.dst_port == mapper and one.response in ("answered", "one-way"):
                    by_clock[self._clocks.clock(one)].append(one)
            self._mapper_talks[key] = {clock: _Talks(found, self._clocks) for clock, found in by_clock.items()}
        return self._mapper_talks[key]

    def _mapper_port(self, requirement: Requirement) -> int | None:
        """Return the endpoint mapper's port: the fixed TCP row that goes before the dynamic one in its method."""
        before: int | None = None
        for other in self._ruleset.method(requirement.method).requirements:
            if other.id == requirement.id:
                return before
            if other.protocol == "tcp" and len(other.ports) == 1:
                before = other.ports[0]
        return before

    # deciding

    def _interfaces(self, verdict: r.RequirementVerdict) -> set[str]:
        """Return the interfaces of the dynamic ports of a requirement that were stopped."""
        pair = (verdict.source.address, verdict.destination.address)
        stopped = self._stopped_ports.get((verdict.id, *pair), ())
        by_program = {
            SERVICE_CONTROLLER
            for one in self._traffic.between(pair[0] or "", pair[1] or "")
            if one.row and one.dst_port in stopped and one.row.program.endswith(SERVICES_PROGRAM)
        }
        return by_program | {
            one.interface
            for said in self._traffic.said
            for one in said.handed_out
            if one.server == pair[1] and one.port in stopped
        }

    def _decided(
        self, requirement: Requirement, findings: list[Finding], sources: Sequence[str], destinations: Sequence[str]
    ) -> _Shown:
        chosen, changed = worst_port(findings) if requirement.dynamic else best_port(findings)
        chosen = self._placed(requirement, chosen)
        tried_by = chosen.attempts[0] if chosen.attempts else None
        pair = (tried_by.src, tried_by.dst) if tried_by else (_one(sources), _one(destinations))
        if requirement.dynamic:
            stopped = {one.port for one, _ in by_port(findings) if one.verdict in r.BAD}
            self._stopped_ports[requirement.id, *pair] = stopped
        attempts = [one for finding in findings for one in finding.attempts]
        told = conversation(attempts, self._traffic) if chosen.verdict in r.GOOD else NOTHING_SAID
        # Never left out: what proves the verdict, what failed for good.
        needed = dict.fromkeys([*chosen.evidence, *told.evidence])
        rest = dict.fromkeys(one for finding in reversed(findings) for one in finding.evidence if one not in needed)
        evidence = [*needed, *list(rest)[: max(0, MOST_EVIDENCE - len(needed))]]
        tried = {finding.port for finding in findings if finding.port is not None}
        timed = [one for one in findings if one.clock == chosen.clock]
        local = chosen.clock is not None
        return _Shown(
            chosen=chosen,
            told=told,
            source=r.End(requirement.from_role, pair[0]),
            destination=r.End(requirement.to_role, pair[1]),
            ports=tuple(sorted(tried)) if requirement.dynamic else requirement.ports,
            changed=changed,
            attempts=sum(finding.tries for finding in findings),
            first_time=r.utc_text(min(one.time_ns for one in timed), local=local),
            last_time=r.utc_text(max(one.end_ns for one in timed), local=local),
            explanation=" ".join(filter(None, (chosen.text + _told_change(changed), told.text))),
            evidence=tuple(sorted(evidence, key=_in_order)),
        )

    def _verdict(self, requirement: Requirement, shown: _Shown) -> r.RequirementVerdict:
        """Return the verdict on a requirement of which something was seen."""
        chosen = shown.chosen
        return r.RequirementVerdict(
            id=requirement.id,
            description=requirement.description,
            necessity=requirement.necessity,
            source=shown.source,
            destination=shown.destination,
            protocol=requirement.protocol,
            ports=shown.ports,
            verdict=chosen.verdict,
            confidence=chosen.confidence,
            blocked_at=chosen.blocked_at if chosen.verdict in r.BAD else None,
            changed=shown.changed,
            attempts=shown.attempts,
            first_time=shown.first_time,
            last_time=shown.last_time,
            explanation=shown.explanation,
            evidence=shown.evidence,
            problems=shown.told.problems,
            remedy=remedy_of(requirement, chosen, self._ruleset) or shown.told.remedy,
        )

    def _untried(
        self, requirement: Requirement, hosts: tuple[str, ...], verdict: str, text: str
    ) -> r.RequirementVerdict:
        """Return the verdict on a requirement of which nothing was seen, or that does not count."""
        sources, destinations = self._ends(requirement, hosts)
        return r.RequirementVerdict(
            id=requirement.id,
            description=requirement.description,
            necessity=requirement.necessity,
            source=_end(requirement.from_role, sources),
            destination=_end(requirement.to_role, destinations),
            protocol=requirement.protocol,
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

    def _placed(self, requirement: Requirement, finding: Finding) -> Finding:
        """Add where it was stopped, if the captures of the attempt show it."""
        unplaced = finding.verdict in (r.BLOCKED, r.NO_RESPONSE, r.REFUSED) and finding.blocked_at == r.UNKNOWN
        found = where_stopped(finding.attempts, self._traffic, requirement.to_role) if unplaced else None
        if found is None:
            return finding
        remedy = "" if found[0] == r.BETWEEN else finding.remedy
        return replace(finding, blocked_at=found[0], text=f"{finding.text} {found[1]}", remedy=remedy)

    def _why_not_seen(self, requirement: Requirement, sources: Sequence[str], destinations: Sequence[str]) -> str:
        unknown = [
            role for role, found in ((requirement.from_role, sources), (requirement.to_role, destinations)) if not found
        ]
        if unknown:
            name = unknown[0]
            return f"Nobody is known as {name.replace('-', ' ')}; name it: --role {name}=ADDRESS."
        ports = "" if requirement.icmp_echo else f" at {requirement.protocol.upper()} {requirement.ports_text}"
        ends = f"from {first_of(sources, MOST_NAMED)} to {first_of(destinations, MOST_NAMED)}"
        text = f"No attempt {ends}{ports} is in these sources."
        if requirement.dynamic:
            return text + self._old_ports(requirement, sources, destinations)
        return text + self._other_ports(requirement, sources, destinations)

    def _old_ports(self, requirement: Requirement, sources: Sequence[str], destinations: Sequence[str]) -> str:
        """Return a hint on ports that old versions of Windows hand out, where many other services listen too."""
        tried = {
            one.dst_port
            for src in sources
            for dst in destinations
            for one in self._traffic.between(src, dst)
            if one.protocol == "tcp" and not one.reversed and one.dst_port and self._asked_mapper(requirement, src, dst)
        }
        old = sorted(port for port in tried - self._ruleset.fixed_ports if self._ruleset.is_dynamic(port))
        if not old:
            return ""
        return (
            f" TCP {', '.join(map(str, old[:3]))} was tried, in the range of versions before Windows Vista: it counts "
            "only where a capture shows that the endpoint mapper handed it out."
        )

    def _other_ports(self, requirement: Requirement, sources: Sequence[str], destinations: Sequence[str]) -> str:
        """Return a hint when the two talk, but at another port than the documented one."""
        if requirement.alternate_port is None:
            return ""
        talked = {
            one.dst_port
            for src in sources
            for dst in destinations
            for one in self._traffic.between(src, dst)
            if one.protocol == "tcp" and one.response == "answered" and one.dst_port not in self._ruleset.fixed_ports
        }
        if not talked:
            return ""
        ports = ", ".join(map(str, sorted(port for port in talked if port is not None)[:3]))
        return f" They talk at TCP {ports}: if that is its port, say --port {requirement.alternate_port}=NUMBER."


@lru_cache(maxsize=1000)
def _end(role: str, addresses: tuple[str, ...]) -> r.End:
    """Return an end of a requirement; most rows of a host name the same ones."""
    return r.End(role, _one(addresses))


def _one(addresses: Sequence[str]) -> str | None:
    return addresses[0] if len(addresses) == 1 else None


def _spared(
    verdict: r.RequirementVerdict, verdicts: Sequence[r.RequirementVerdict], ruleset: Ruleset
) -> r.RequirementVerdict:
    """Say of what is stopped that it does no harm where another member of its either-or group is open."""
    if verdict.verdict not in r.BAD:
        return verdict
    group = [one for one in verdicts if ruleset.groups[one.id] == ruleset.groups[verdict.id]]
    good = [one for one in group if one.verdict in r.GOOD and not any(problem.fatal for problem in one.problems)]
    if not good:
        return verdict
    ports = "/".join(map(str, good[0].ports))
    text = f"{verdict.explanation} This does no harm here: TCP {ports} does the same and is {good[0].verdict}."
    return replace(verdict, explanation=text, remedy="Nothing has to be opened while the other port works.")


def _good(rows: Mapping[str, r.RequirementVerdict]) -> int:
    return sum(one.verdict in r.GOOD for one in rows.values())


def _with_others(verdict: r.RequirementVerdict, others: Iterable[r.RequirementVerdict]) -> r.RequirementVerdict:
    """Add what the same requirement came to with other hosts of the role, where that differs."""
    pushed = verdict.destination.role == CLIENT
    differing = [one for one in others if one.verdict in r.GOOD | r.BAD and one.verdict != verdict.verdict]
    if not differing:
        return verdict
    told = [
        f"From {one.source.address} it is {one.verdict}."
        if pushed
        else f"To {one.destination.address} it is {one.verdict}."
        for one in differing
    ]
    proof = (one.evidence[0] for one in differing)
    return replace(
        verdict,
        explanation=" ".join((verdict.explanation, *told[:MOST_OTHERS])),
        evidence=tuple(sorted((*verdict.evidence, *list(proof)[:MOST_OTHERS]), key=_in_order)),
    )


def _in_order(one: r.Evidence) -> tuple[int, tuple[int, ...], tuple[int, ...], str]:
    return one.source, one.frames, one.lines, one.text


def _role_of(address: str, client: str, cast: Cast) -> str:
    if address == client:
        return CLIENT
    return next((one.role for one in cast.assignments if one.address == address), r.UNKNOWN)


def _told_change(change: r.Change | None) -> str:
    if change is None:
        return ""
    return f" Earlier, at {change.before_time}, it was {change.before}."
