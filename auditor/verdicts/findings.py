"""What each attempt shows: from flows to findings, one for each attempt in however many sources it was seen."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

from auditor.report import model as r
from auditor.ruleset.statements import Statement, say, say_count, statement
from auditor.sources.capture.packets import IcmpError
from auditor.sources.flows.icmp_errors import MEANING, SENT_BACK, telling
from auditor.sources.flows.neighbors import MOST_FRAMES as MOST_KEPT
from auditor.sources.flows.neighbors import NeighborRequests
from auditor.verdicts.attempts import SAME_PACKET_NS, Attempt, AttemptVerdict, Traffic
from auditor.verdicts.correlation.absence import Absence
from auditor.verdicts.correlation.capture_points import arrived_without_response
from auditor.verdicts.correlation.clocks import Clocks
from auditor.verdicts.correlation.match import match_attempts
from auditor.verdicts.correlation.tcp_resets import reset_from_other_device
from auditor.verdicts.log_evidence import passed_text, start_service, verdict_from_log

MOST_FRAMES = 8
MOST_TRIES = 3  # of which are shown beside the ICMP errors about them


@dataclass(frozen=True)
class Finding:
    """What one attempt (seen in one source, or in several) shows of a requirement.

    time_ns, end_ns: by the common clock; clock: the number of a log whose local clock it is instead, since nobody said
    of which zone. initiator_firewall_only: as in AttemptVerdict. remedy: what to do where the
    ruleset's own remedy does not fit; None where it does.
    """

    verdict: str
    confidence: str | None
    text: str
    time_ns: int
    end_ns: int
    attempts: tuple[Attempt, ...]
    evidence: tuple[r.Evidence, ...]
    blocked_at: str | None = None
    port: int | None = None
    remedy: Statement | None = None
    clock: int | None = None
    initiator_firewall_only: bool = False

    @property
    def tries(self) -> int:
        """How many attempts it is about, none where only questions for a hardware address were seen."""
        return max((attempt.count for attempt in self.attempts), default=0)

    @property
    def decides(self) -> bool:
        """Whether it is decisive rather than inconclusive."""
        return self.verdict != r.INCONCLUSIVE and not self.initiator_firewall_only


class FindingBuilder:
    """Says of attempts what they show. role_of: the role that a host plays."""

    def __init__(self, traffic: Traffic, clocks: Clocks, role_of: Callable[[str], str]) -> None:
        self._traffic = traffic
        self._clocks = clocks
        self._role_of = role_of
        self._absence = Absence(traffic, clocks)

    def findings(self, attempts: Sequence[Attempt]) -> list[Finding]:
        """Return one finding for each attempt, in order of time, those of one capture in the order of its frames."""
        if not attempts:
            return []
        groups = match_attempts(attempts, self._clocks.offset_ns)
        findings = [
            self._unless_missing(self._merged([self._finding(attempt) for attempt in group])) for group in groups
        ]
        moments = self._moments(attempts)
        starts = [
            (min(moments[id(attempt)] for attempt in finding.attempts), finding.attempts[0]) for finding in findings
        ]
        order = sorted(
            range(len(findings)), key=lambda at: (starts[at][0], starts[at][1].source, starts[at][1].first_frame)
        )
        return [findings[at] for at in order]

    def _moments(self, attempts: Sequence[Attempt]) -> dict[int, int]:
        """Return by its identity when each attempt began; in a capture none before those that stand before it.

        Its clock may have been set back in between.
        """
        moments: dict[int, int] = {}
        latest: dict[int, int] = {}
        for attempt in sorted(attempts, key=lambda attempt: (attempt.source, attempt.first_frame)):
            moments[id(attempt)] = begin = self._clocks.start_ns(attempt)
            if attempt.row is None:
                latest[attempt.source] = moments[id(attempt)] = max(begin, latest.get(attempt.source, begin))
        return moments

    def unanswered_questions(self, hosts: Sequence[str]) -> list[Finding]:
        """Return findings for hosts to which nothing could be sent: nobody on the local network answers for them."""
        unheard = (
            (host, self._traffic.unanswered_neighbor_requests(host))
            for host in hosts
            if not self._traffic.has_packets_from(host)
        )
        return [_unanswered(host, *vain[0]) for host, vain in unheard if vain]

    def _finding(self, attempt: Attempt) -> Finding:
        verdict = self._attempt_verdict(attempt)
        proof = tuple(sorted(verdict.frames)[:MOST_FRAMES]) or (
            attempt.first_frame,
        )  # of some only an error was captured
        if attempt.row is None:
            shown, packets = display_filter(attempt, proof), self._packets(attempt, frozenset(proof))
            evidence = r.Evidence(attempt.source, proof, (), verdict.text, shown, packets)
        else:
            evidence = r.Evidence(attempt.source, (), proof, verdict.text, "", by=attempt.row.by)
        return Finding(
            verdict=verdict.verdict,
            confidence=verdict.confidence,
            text=verdict.text,
            time_ns=self._clocks.start_ns(attempt),
            end_ns=attempt.end_ns - self._clocks.offset_ns(attempt),
            clock=self._clocks.local_clock(attempt),
            initiator_firewall_only=verdict.initiator_firewall_only,
            attempts=(attempt,),
            evidence=(evidence,),
            blocked_at=verdict.place,
            port=attempt.dst_port,
            remedy=verdict.remedy,
        )

    def _packets(self, attempt: Attempt, proof: frozenset[int]) -> tuple[r.Packet, ...]:
        """Return what the frames of a proof are: of the attempt itself, errors about it, questions for its host."""
        ends = (attempt.src, attempt.dst)
        sent = [
            r.Packet(
                event.frame,
                r.utc_text(event.time_ns) or "",
                *(ends if event.from_src else ends[::-1]),
                event.packet_kind,
            )
            for event in attempt.events
            if event.frame in proof
        ]
        errors = [
            r.Packet(
                error.frame,
                r.utc_text(error.time_ns) or "",
                error.sender,
                error.src,
                f"ICMP{'v6' if error.version == 6 else ''} {error.icmp_type}/{error.icmp_code}",
            )
            for error in attempt.errors
            if error.frame in proof
        ]
        vain = self._traffic.unanswered_neighbor_requests(attempt.dst)
        questions = [
            question for number, requests in vain if number == attempt.source for question in _questions(requests)
        ]
        packets = {packet.frame: packet for packet in (*questions, *errors, *sent) if packet.time}
        return tuple(packets[frame] for frame in sorted(proof & packets.keys()))

    def _attempt_verdict(self, attempt: Attempt) -> AttemptVerdict:
        where = self._where(attempt)
        if attempt.row is not None:
            return verdict_from_log(attempt, attempt.row, where, self._role_of)
        if attempt.response == "answered" and self._is_response_lost(attempt):
            return self._from_lost_response(attempt, where)
        if attempt.response == "answered":
            text = say(_how_answered(attempt), where=where)
            # Of an answer alone, in a capture of one direction, nobody can tell what it answers.
            return AttemptVerdict(
                r.OPEN, r.PROVEN, text, _answer_frames(attempt), initiator_firewall_only=not attempt.frames_src
            )
        if errors := _telling_errors(attempt):
            return self._from_icmp_error(attempt, where, errors)
        if attempt.response == "refused":
            return self._from_reset(attempt, where)
        if attempt.response == "no-response":
            return self._from_no_response(attempt, where)
        if stopped := _stopped_on_the_way_back(attempt):
            return self._from_return_error(attempt, where, stopped)
        if stray := _frames(attempt, ("stray",)):
            text = say("finding.only-stray", where=where, frame=stray[0])
            return AttemptVerdict(r.INCONCLUSIVE, None, text, _frames(attempt, ("SYN", "stray")))
        text = say("finding.one-direction", where=where)
        return AttemptVerdict(r.INCONCLUSIVE, None, text, _frames(attempt, None))

    def _is_response_lost(self, attempt: Attempt) -> bool:
        """Tell whether an answer never arrived: nothing but SYNs came after it, two or one long before the end."""
        again = attempt.repeated_after_response
        return again > 1 or (again == 1 and self._is_long_before_end(attempt, attempt.syns[-1].frame))

    def _from_lost_response(self, attempt: Attempt, where: str) -> AttemptVerdict:
        again = attempt.repeated_after_response
        ends = {"src": attempt.src, "dst": attempt.dst}
        text = say_count("finding.response-lost", again, where=where, **ends)
        remedy = statement("remedy.find-drop", port=attempt.port_text, **ends)
        return AttemptVerdict(r.BLOCKED, r.LIKELY, text, _frames(attempt, ("SYN", "SYN-ACK")), r.UNKNOWN, remedy)

    def _is_long_before_end(self, attempt: Attempt, frame: int) -> bool:
        """Tell whether the source goes on after a frame for as long as a response may take."""
        return frame <= self._traffic.sources[attempt.source].outlasted_frame

    def _where(self, attempt: Attempt) -> str:
        """Return which attempt it was, and for which interface its port was handed out."""
        announced = self._traffic.assigned_port(attempt)
        if announced is None:
            return attempt.text
        assigned = {"interface": announced.interface, "frame": announced.frame}
        return say("attempt.assigned", attempt=attempt.text, **assigned)

    def _from_reset(self, attempt: Attempt, where: str) -> AttemptVerdict:
        """Judge a reset: hop count and identification tell whether the host itself sent it."""
        frames = _frames(attempt, ("SYN", "RST"))
        resets = [event for event in attempt.events if event.packet_kind == "RST" and not event.from_src]
        forged = reset_from_other_device(resets, self._traffic.sent(attempt.source, attempt.dst, attempt.src))
        if forged is None:
            either = statement("remedy.start-service-or-device", host=attempt.dst)
            text = say("finding.reset", where=where)
            return AttemptVerdict(r.REFUSED, r.PROVEN, text, frames, r.UNKNOWN, either)
        if forged:
            text = say("finding.reset-by-device", where=where, dst=attempt.dst)
            return AttemptVerdict(r.REFUSED, r.PROVEN, text, frames, r.BETWEEN)
        text, remedy = say("finding.reset-itself", where=where, dst=attempt.dst), start_service(attempt.dst)
        return AttemptVerdict(r.REFUSED, r.PROVEN, text, frames, self._role_of(attempt.dst), remedy)

    def _from_icmp_error(self, attempt: Attempt, where: str, errors: list[IcmpError]) -> AttemptVerdict:
        verdict = self._icmp_error_verdict(attempt, where, errors)
        if errors[-1].proves:
            return verdict
        # Who knows the ends of a connection can forge an error about it, and devices change numbers.
        text = say("finding.not-proven", text=verdict.text)
        return verdict._replace(confidence=r.LIKELY, text=text, initiator_firewall_only=not attempt.frames_src)

    def _icmp_error_verdict(self, attempt: Attempt, where: str, errors: list[IcmpError]) -> AttemptVerdict:
        icmp_error = errors[-1]
        by_itself = icmp_error.sender == attempt.dst
        sender = say("finding.itself") if by_itself else icmp_error.sender
        fields = {"where": where, "sender": sender, "code": _code(icmp_error)}
        latest = errors[MOST_TRIES - MOST_FRAMES :]  # the last one decides, so it must be among those shown
        tries = _frames(attempt, ("SYN", "request", "datagram"))[:MOST_TRIES]
        frames = {*tries, *(error.frame for error in latest)}
        place = self._role_of(attempt.dst) if by_itself else r.BETWEEN
        if attempt.response == "prohibited" and icmp_error.sender == attempt.src:
            text = say("finding.prohibited-outbound", src=attempt.src, **fields)
            allow = {"port": attempt.port_text, "dst": attempt.dst}
            remedy = statement("remedy.allow-outbound", host=attempt.src, **allow)
            return AttemptVerdict(r.BLOCKED, r.PROVEN, text, frames, self._role_of(attempt.src), remedy)
        if attempt.response == "prohibited":
            text = say("finding.prohibited", **fields)
            way = {"port": attempt.port_text, "src": attempt.src, "dst": attempt.dst}
            devices = None if by_itself else statement("remedy.allow-on-devices", device=icmp_error.sender, **way)
            return AttemptVerdict(r.BLOCKED, r.PROVEN, text, frames, place, devices)
        if attempt.response == "refused":
            text = say("finding.refused", **fields)
            return AttemptVerdict(r.REFUSED, r.PROVEN, text, frames, place, start_service(attempt.dst))
        text = say("finding.unreachable", **fields)
        return AttemptVerdict(r.UNREACHABLE, r.PROVEN, text, frames, r.UNKNOWN, _is_it_on(attempt.dst))

    def _from_return_error(self, attempt: Attempt, where: str, errors: list[IcmpError]) -> AttemptVerdict:
        icmp_error = errors[-1]
        itself = icmp_error.sender == attempt.dst
        who = say("finding.own-firewall") if itself else icmp_error.sender
        fields = {"dst": attempt.dst, "who": who, "code": _code(icmp_error)}
        text = say("finding.return-prohibited", where=where, **fields)
        frames = {*_frames(attempt, ("SYN", "request"))[:MOST_TRIES], *(error.frame for error in errors)}
        device = attempt.dst if itself else icmp_error.sender
        remedy = statement("remedy.allow-answers", device=device, src=attempt.src, dst=attempt.dst)
        place = self._role_of(attempt.dst) if itself else r.BETWEEN
        confidence = r.PROVEN if any(error.proves for error in errors) else r.LIKELY
        return AttemptVerdict(r.BLOCKED, confidence, text, frames, place, remedy)

    def _from_no_response(self, attempt: Attempt, where: str) -> AttemptVerdict:
        frames = _frames(attempt, ("SYN", "request", "datagram", "stray"))
        tries, last_frame = _tries(attempt)
        if reason := self._means_nothing(attempt, tries, last_frame):
            return AttemptVerdict(r.INCONCLUSIVE, None, say(reason, where=where, src=attempt.src), frames)
        sent = say("attempt.it") if attempt.protocol == "icmp" else say_count("attempt.syns", tries)
        fields = {"where": where, "sent": sent, "dst": attempt.dst}
        if self._traffic.has_packets_from(attempt.dst):
            text = say("finding.silent", **fields)
            return AttemptVerdict(r.BLOCKED, r.LIKELY, text + _no_refusal(attempt), frames, r.UNKNOWN)
        if vain := self._traffic.unanswered_neighbor_requests(attempt.dst):
            text = say("finding.unresolved", **fields)
            request_frames = next((requests.frames[:2] for number, requests in vain if number == attempt.source), ())
            return AttemptVerdict(
                r.UNREACHABLE, r.PROVEN, text, {*frames, *request_frames}, r.UNKNOWN, _is_it_on(attempt.dst)
            )
        text = say("finding.no-response", **fields)
        return AttemptVerdict(r.NO_RESPONSE, r.LIKELY, text, frames, r.UNKNOWN, _is_it_on(attempt.dst))

    def _means_nothing(self, attempt: Attempt, tries: int, last_frame: int) -> str:
        """Return which statement says why the silence after an attempt proves nothing, empty if it does."""
        if attempt.protocol == "udp":
            return "finding.silent-udp"
        if self._traffic.one_sided(attempt):
            return "finding.silent-one-sided"
        if not attempt.frames_src:
            return "finding.only-error"
        if tries < 2 and not self._is_long_before_end(attempt, last_frame):
            return "finding.ends-too-soon"
        return ""

    def _merged(self, seen: list[Finding]) -> Finding:
        """Put together what several sources show of one and the same attempt."""
        if len(seen) == 1:
            return seen[0]
        evidence = tuple(proof for finding in seen for proof in finding.evidence)
        attempts = tuple(attempt for finding in seen for attempt in finding.attempts)
        chosen = self._merge_sources(seen)
        begin, end = min(finding.time_ns for finding in seen), max(finding.end_ns for finding in seen)
        clock = seen[0].clock if all(finding.clock is not None for finding in seen) else None
        return replace(chosen, time_ns=begin, end_ns=end, clock=clock, attempts=attempts, evidence=evidence)

    def _merge_sources(self, seen: list[Finding]) -> Finding:
        """Return what several accounts of one attempt come to.

        A capture that shows the answer counts more than a row about the SYN, which Windows may drop once and then let
        in; a row about the answer itself counts more than that capture.
        """
        if foreign := self._foreign_reset(seen):
            return foreign
        unheard = [
            finding for finding in seen if finding.verdict == r.BLOCKED and finding.attempts[0].response == "answered"
        ]
        answered = [
            finding for finding in seen if finding.verdict == r.OPEN and not finding.initiator_firewall_only
        ] + unheard
        silent = [finding for finding in seen if finding.verdict in r.FAILING and finding not in unheard]
        let_through = [finding for finding in seen if finding.verdict == r.ALLOWED]
        let_in = [finding for finding in let_through if not finding.initiator_firewall_only]
        went_on = any(_went_on(finding) for finding in answered)
        proven_bad = [
            finding
            for finding in silent
            if finding.confidence == r.PROVEN
            and not (answered and _is_of_logged_syn(finding))
            and not (went_on and finding.attempts[0].row is not None)
            and not (_is_of_logged_syn(finding) and _let_in_later(finding, let_in))
        ]
        proven_bad.sort(key=lambda finding: finding.blocked_at == r.UNKNOWN)
        if answered and silent and not proven_bad:
            captured = [finding for finding in silent if finding.attempts[0].row is None]
            return self._lost_answer(answered[0], captured[0]) if captured else answered[0]
        unanswered = [finding for finding in silent if finding.attempts[0].row is None]
        alone = [finding for finding in seen if finding.verdict == r.OPEN]
        chosen = (proven_bad or answered or unanswered or alone or let_in or silent or let_through or seen)[0]
        if chosen.confidence != r.LIKELY or not let_in:
            return chosen
        attempt = let_in[0].attempts[0]
        passed = passed_text(attempt.row, self._where(attempt)) if attempt.row else ""
        text = say("finding.not-that-firewall", text=chosen.text, passed=passed)
        return replace(chosen, text=text, remedy=statement("remedy.not-that-firewall"))

    def _unless_missing(self, finding: Finding) -> Finding:
        """Return the finding as one of a blocked forward path if the log of the responder lacks what was sent."""
        left = finding.verdict == r.ALLOWED and finding.initiator_firewall_only
        silent = finding.verdict == r.BLOCKED and finding.blocked_at == r.UNKNOWN and finding.confidence == r.LIKELY
        if any(attempt.response == "answered" and attempt.row is None for attempt in finding.attempts):
            return finding  # its packets arrived
        missing = self._absence.missing(finding.attempts) if left or silent else None
        if missing is None or (silent and not missing.shows_port):  # the capture may be one of where it arrived
            return finding
        tried = finding.attempts[0]
        sent = say("finding.let-out", attempt=tried.text, src=tried.src) if left else finding.text
        absent = "finding.absent" if missing.shows_port else "finding.absent-or-closed"
        text = say(absent, sent=sent, path=missing.path, dst=tried.dst)
        placed = replace(
            finding, verdict=r.BLOCKED, confidence=r.LIKELY, blocked_at=r.BETWEEN, initiator_firewall_only=False
        )
        return replace(placed, text=text, remedy=None)

    def _foreign_reset(self, seen: Sequence[Finding]) -> Finding | None:
        """Return the finding of an attempt that is reset in one capture, but not on the network of the responder."""
        captured = [finding for finding in seen if finding.attempts[0].row is None]
        reset = next((finding for finding in captured if finding.attempts[0].response == "refused"), None)
        arrived = (
            arrived_without_response([finding.attempts[0] for finding in captured], self._traffic) if reset else None
        )
        if not reset or not arrived:
            return None
        names = [self._traffic.sources[attempt.source].path for attempt in (reset.attempts[0], arrived)]
        text = say("finding.reset-on-path", attempt=arrived.text, has=names[0], lacks=names[1], dst=arrived.dst)
        return replace(reset, text=text, blocked_at=r.BETWEEN, remedy=None)

    def _lost_answer(self, answered: Finding, silent: Finding) -> Finding:
        """Return the finding of an attempt whose answer one source has and the other never gets."""
        attempt = answered.attempts[0]
        names = [self._traffic.sources[finding.attempts[0].source].path for finding in (answered, silent)]
        text = say("finding.answer-lost", attempt=attempt.text, has=names[0], lacks=names[1])
        remedy = statement("remedy.return-path", src=attempt.src, dst=attempt.dst)
        joined = replace(silent, verdict=r.BLOCKED, confidence=r.LIKELY, text=text)
        return replace(joined, blocked_at=r.BETWEEN, remedy=remedy)


def _is_it_on(host: str) -> Statement:
    return statement("remedy.is-it-on", host=host)


def _unanswered(host: str, source: int, requests: NeighborRequests) -> Finding:
    """Return the finding for a host to which nothing could be sent, from questions for its hardware address."""
    # Of many requests a source keeps the first and the last ones, so their number is a lower bound.
    template = "finding.never-resolved" if len(requests.frames) < MOST_KEPT else "finding.never-resolved-many"
    text = say_count(template, len(requests.frames), host=host, requester=requests.requester)
    shown = f"arp.dst.proto_ipv4 == {host}" if ":" not in host else f"icmpv6.nd.ns.target_address == {host}"
    questions = tuple(_questions(requests))[:MOST_FRAMES]
    return Finding(
        verdict=r.UNREACHABLE,
        confidence=r.PROVEN,
        text=text,
        time_ns=requests.first_ns,
        end_ns=requests.last_ns,
        attempts=(),
        evidence=(r.Evidence(source, requests.frames[:MOST_FRAMES], (), text, shown, questions),),
        blocked_at=r.UNKNOWN,
        remedy=_is_it_on(host),
    )


def _questions(requests: NeighborRequests) -> list[r.Packet]:
    """Return the questions for a host's hardware address as packets."""
    return [
        r.Packet(frame, time, requests.requester, requests.target, "who has")
        for frame, time_ns in zip(requests.frames, requests.times_ns, strict=True)
        if (time := r.utc_text(time_ns))
    ]


def _let_in_later(dropped: Finding, let_in: Sequence[Finding]) -> bool:
    """Tell whether the firewall that dropped a SYN let the same attempt in afterwards."""
    whose = dropped.attempts[0].firewall
    return any(finding.attempts[0].firewall == whose and finding.time_ns >= dropped.time_ns for finding in let_in)


def _went_on(finding: Finding) -> bool:
    """Tell whether the host that tried sent more than SYNs after it was answered."""
    attempt = finding.attempts[0]
    return attempt.row is None and attempt.frames_src > sum(
        event.packet_kind == "SYN" and event.from_src for event in attempt.events
    )


def _is_of_logged_syn(finding: Finding) -> bool:
    attempt = finding.attempts[0]
    return attempt.row is not None and attempt.events[0].from_src


def _how_answered(attempt: Attempt) -> str:
    """Return which statement says how an attempt was answered."""
    whats = {event.packet_kind for event in attempt.events if not event.from_src}
    if "SYN-ACK" in whats:
        return "finding.answered-syn-ack"
    if attempt.protocol == "tcp" and not attempt.syns:
        return "finding.answered-mid-stream"
    return "finding.answered"


def _no_refusal(attempt: Attempt) -> str:
    """Return a sentence on the resets that came back and refused nothing, empty if there are none."""
    stray = _frames(attempt, ("stray",))
    return say("finding.stray-reset", frame=stray[0]) if stray else ""


def _code(error: IcmpError) -> str:
    return f"ICMP{'v6' if error.version == 6 else ''} {error.icmp_type}/{error.icmp_code}"


def _telling_errors(attempt: Attempt) -> list[IcmpError]:
    """Return the ICMP errors about the packets of the host that tried, if they are what its attempt was answered by."""
    forth = [error for error in attempt.errors if error.src == attempt.src and error.packet_kind not in SENT_BACK]
    return [
        error
        for error in telling(forth)
        if MEANING[error.version].get((error.icmp_type, error.icmp_code)) == attempt.response
    ]


def _stopped_on_the_way_back(attempt: Attempt) -> list[IcmpError]:
    """Return the ICMP errors that forbid what the host that was tried sent back, if nothing of it arrived."""
    if attempt.response != "one-way" or (not attempt.syns and attempt.protocol == "tcp"):
        return []
    return [
        error
        for error in attempt.errors
        if error.src == attempt.dst and MEANING[error.version].get((error.icmp_type, error.icmp_code)) == "prohibited"
    ]


def _frames(attempt: Attempt, whats: tuple[str, ...] | None) -> list[int]:
    return [event.frame for event in attempt.events if whats is None or event.packet_kind in whats]


def _answer_frames(attempt: Attempt) -> set[int]:
    """Return the first frame of each side that shows the exchange."""
    handshake = [event for event in attempt.events if event.packet_kind in ("SYN", "SYN-ACK")]
    request_frame = next((event.frame for event in handshake or attempt.events if event.from_src), None)
    response_frame = next((event.frame for event in handshake if not event.from_src), None)
    response_frame = response_frame or next((event.frame for event in attempt.events if not event.from_src), None)
    return {frame for frame in (request_frame, response_frame) if frame is not None}


def _tries(attempt: Attempt) -> tuple[int, int]:
    """Return how often an unanswered attempt was made, and in which frame last."""
    if attempt.protocol == "tcp":
        return attempt.tries, attempt.syns[-1].frame if attempt.syns else attempt.first_frame
    again = attempt.end_ns - attempt.start_ns >= SAME_PACKET_NS  # not merely one packet seen twice
    return attempt.frames_src if again else 1, attempt.first_frame


def display_filter(attempt: Attempt, proof: Sequence[int]) -> str:
    """Return a Wireshark display filter that shows an attempt, the ICMP errors about it and all frames of the proof."""
    errors = {error.frame for error in attempt.errors} - set(proof)
    cited = set(proof) - {event.frame for event in attempt.events}
    shown = []
    if attempt.protocol == "icmp":
        version, address = ("icmpv6", "ipv6.addr") if ":" in attempt.dst else ("icmp", "ip.addr")
        shown = [f"{version} && {address} == {attempt.src} && {address} == {attempt.dst}"]
        cited -= {error.frame for error in attempt.errors}  # Wireshark finds the two addresses in what they quote
        errors = set()
    elif attempt.frames_src or attempt.frames_dst:
        # Not by stream number: numbers differ between versions of Wireshark.
        address = "ipv6.addr" if ":" in attempt.dst else "ip.addr"
        ends = f"{address} == {attempt.src} && {address} == {attempt.dst}"
        ports = f"{attempt.protocol}.port == {attempt.src_port} && {attempt.protocol}.port == {attempt.dst_port}"
        shown = [f"{ends} && {ports}"]
    if frames := [*sorted(cited), *sorted(errors)][: max(MOST_FRAMES, len(cited))]:  # every cited frame is shown
        shown.append(f"frame.number in {{{', '.join(map(str, sorted(frames)))}}}")
    return " || ".join(shown)
