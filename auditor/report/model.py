"""The one document that an audit results in; renderers turn it into text, JSON and the rest."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field
from datetime import UTC, datetime
from functools import cached_property
from typing import TYPE_CHECKING, Any

from auditor.errors import ArgumentError
from auditor.report.joined_names import join_limited
from auditor.report.records import IN_JSON
from auditor.sources.summary import SourceSummary
from auditor.version import Tool

if TYPE_CHECKING:
    from auditor.sources.all_flows import AllFlows
else:
    AllFlows = Any  # it is not saved, so that its type does not matter

FORMAT_VERSION = 2

OPEN, ALLOWED, BLOCKED, NO_RESPONSE = "open", "allowed", "blocked", "no-response"
REFUSED, UNREACHABLE, INCONCLUSIVE = "refused", "unreachable", "inconclusive"
FAILED, NOT_OBSERVED, NOT_APPLICABLE = "failed", "not-observed", "not-applicable"
VERDICTS = (
    OPEN,
    ALLOWED,
    BLOCKED,
    NO_RESPONSE,
    REFUSED,
    UNREACHABLE,
    FAILED,
    INCONCLUSIVE,
    NOT_OBSERVED,
    NOT_APPLICABLE,
)
PASSING = frozenset((OPEN, ALLOWED))
FAILING = frozenset((BLOCKED, NO_RESPONSE, REFUSED, UNREACHABLE, FAILED))
PROVEN, LIKELY = "proven", "likely"
CERTAIN, WEAK = "certain", "weak"  # beside LIKELY: how sure a push or a role is
PUSH, LOGON, FILE_SHARING, SCAN = "push", "logon", "file-sharing", "scan"  # kinds of a push, beside UNKNOWN
GIVEN, READ, INFERRED = "given", "read", "inferred"  # how a role is known
IN_MODE = {"mixed": "clients use HTTP", "native": "clients use HTTPS"}
INCOMPLETE_CODES = frozenset(
    (
        "cut-short",
        "damaged",
        "expands-too-much",
        "lone-fragments",
        "too-many-errors",
        "too-many-flows",
        "too-many-neighbours",
        "unknown-interface",
        "unknown-link-type",
        "unreadable",
        "unreadable-headers",
    )
)
WORKS, FAILS, UNPROVEN = "works", "fails", "unproven"
UNKNOWN, BETWEEN = "unknown", "between"
MOST_NAMED = 12  # in an error
FROM, TO = {IN_JSON: "from"}, {IN_JSON: "to"}


@dataclass(frozen=True)
class RulesetReference:
    """The ruleset that a report was judged by: its id, its title, and the document that it was taken from."""

    id: str
    title: str
    reference: str


@dataclass(frozen=True)
class Limitation:
    """What the sources cannot show.

    Attributes:
        code: A kind that `auditor explain` knows, or the code of a warning on a source.
        text: What cannot be shown, in one or two sentences.
    """

    code: str
    text: str


@dataclass(frozen=True)
class RoleAssignment:
    """Who plays a role, and from what that is known.

    Attributes:
        how: "given" by the user, "read" from a log, or "inferred" from the traffic.
        why: The reason, in one sentence.
        name: What the host calls itself; empty if the sources do not say.
        how_sure: "certain", "likely", or "weak" for a guess by nothing but a port. No result that rests on a guess is
            "works" or "allowed".
    """

    role: str
    address: str
    name: str = field(default="", kw_only=True)
    how: str
    how_sure: str = field(default=CERTAIN, kw_only=True)
    why: str


@dataclass(frozen=True)
class SiteMode:
    """The mode of a site: which of HTTP and HTTPS its clients use.

    Attributes:
        site_server: Whose site it is; empty if all sites are in this mode, or if the site server is unknown.
        mode: "mixed" (HTTP) or "native" (HTTPS).
        how: "given" by the user, "read" from a log, or "inferred" from the traffic.
        why: The reason, in half a sentence.
    """

    site_server: str
    mode: str
    how: str
    why: str


@dataclass(frozen=True)
class PushStep:
    """One step of a push, as a protocol or a log reports it.

    Attributes:
        status: "succeeded", "failed" or "answered" (a response that does not say how it went).
        code: The status code, as its protocol writes it; empty if there is none.
        time: ISO 8601, None if unknown.
        source: Index in Report.sources.
        kind: What was asked for, such as "connect" or "log-on"; empty if unknown.
        object: The share, file, interface or web path that the step names; empty if it names none.
    """

    step: str
    status: str
    code: str
    time: str | None
    source: int
    frames: tuple[int, ...]
    lines: tuple[int, ...]
    kind: str = ""
    object: str = ""


@dataclass(frozen=True)
class Push:
    """One pair of hosts of which one contacts the other as a site server contacts a client.

    Attributes:
        id: "push-1" and so on, in order of `to_address`, then `from_address`.
        kind: "push", "logon" (a domain member at its controller), "file-sharing", "scan" or "unknown". Only "push" and
            "unknown" are judged, unless the user named the two.
        how_sure: "certain", "likely" or "weak".
        why: What shows it, in one sentence.
    """

    id: str
    from_address: str = field(metadata=FROM)
    to_address: str = field(metadata=TO)
    kind: str
    how_sure: str
    why: str
    steps: tuple[PushStep, ...] = ()


@dataclass(frozen=True)
class Endpoint:
    """One end of a requirement.

    Attributes:
        role: Such as "site-server" or "client".
        address: IP address; None while no computer of the role is known.
    """

    role: str
    address: str | None


@dataclass(frozen=True)
class Packet:
    """What one frame of evidence is.

    Attributes:
        frame: Number as Wireshark counts (frame.number).
        time: ISO 8601 in UTC with microseconds.
        sender: Source address.
        receiver: Destination address.
        what: SYN, SYN-ACK, RST, FIN, data, ACK, request, reply, datagram, "ICMP 3/13" (type and code of an error), or
            "who has" (a question for a hardware address).
    """

    frame: int
    time: str
    sender: str = field(metadata=FROM)
    receiver: str = field(metadata=TO)
    what: str

    @property
    def is_icmp_error(self) -> bool:
        """Whether it is an error about a packet of somebody else."""
        return self.what.startswith("ICMP")

    @property
    def is_response(self) -> bool:
        """Whether it accepts an attempt."""
        return self.what in ("SYN-ACK", "reply")


@dataclass(frozen=True)
class Evidence:
    """Frames or lines that justify a verdict.

    Attributes:
        source: Index in Report.sources.
        frames: Numbers as Wireshark counts (frame.number).
        lines: Line numbers of a log, from 1.
        text: What they show, in one sentence.
        display_filter: For Wireshark; empty for a log.
        packets: The frames one by one, of which it is known what they are. by: program
    and rule that the text cites from a firewall's log; empty if it cites none.
    """

    source: int
    frames: tuple[int, ...]
    lines: tuple[int, ...]
    text: str
    display_filter: str
    packets: tuple[Packet, ...] = ()
    by: str = ""


@dataclass(frozen=True)
class Remedy:
    """One thing to do about a requirement.

    Attributes:
        place: Where: a role, "between" for the devices on the path, or "unknown".
        action: What, in one or two sentences.
        command: A command line that does it, in PowerShell; None if there is none.
        kind: Which remedy it is, as statements.toml has them; "documented" for that of the ruleset, "problem" for what
            is known of a status code, empty if unknown.
    """

    place: str
    action: str
    command: str | None = None
    kind: str = ""

    @property
    def text(self) -> str:
        """The action and its command, in sentences."""
        if not self.command:
            return self.action
        introduced = self.action if self.action.endswith(":") else f"{self.action} Command:"
        return f'{introduced} "{self.command}".'


@dataclass(frozen=True)
class Problem:
    """A failure of the protocol on an open port.

    Attributes:
        layer: Protocol, such as "smb" or "http".
        code: Status as its protocol writes it, such as STATUS_ACCESS_DENIED.
        step: What failed; empty if unknown.
        text: The whole in one sentence.
        frame: Number of the frame that shows it; None if a line does.
        line: Number of the line that shows it; None if a frame does.
        fatal: Whether the installation cannot go on.
        account: Account that took the step; empty if unknown.
        step_kind, object: Of the step, as kind and object of PushStep.
    """

    layer: str
    code: str
    step: str = field(default="", kw_only=True)
    text: str
    frame: int | None
    line: int | None = field(default=None, kw_only=True)
    fatal: bool
    account: str = ""
    step_kind: str = ""
    object: str = ""


@dataclass(frozen=True)
class VerdictChange:
    """Decisive evidence that changed over time: the earlier verdict, the later one, and when each was seen."""

    before: str
    before_time: str
    after: str
    after_time: str


@dataclass(frozen=True)
class Block:
    """A proven block that does not decide the verdict of its requirement.

    It is at another of the documented ports, of another computer of the role, or of a requirement whose condition is
    off.

    Attributes:
        ports: The port that is blocked, or the documented ones if it may be any of them; none for ICMP.
        blocked_at: A role, "between" or "unknown".
        text: What shows it, in one sentence. The evidence is among that of the requirement.
    """

    source: str = field(metadata=FROM)
    destination: str = field(metadata=TO)
    ports: tuple[int, ...]
    blocked_at: str
    text: str


@dataclass(frozen=True)
class StepMeaning:
    """What a step of a log means on every computer on which it ends in the same way; a fleet counts by it.

    Attributes:
        step: Value of InstallStep, such as "admin-share".
        code: Number, official name, and HRESULT, such as "5 ERROR_ACCESS_DENIED (0x80070005)"; empty without a code.
        cause: The cause in sentences, and the causes that are possible.
        remedy: What to do, in one paragraph.
    """

    step: str
    code: str
    cause: str
    remedy: str


@dataclass(frozen=True)
class LoggedStep:
    """A step that a log reports, with the line that does."""

    meaning: StepMeaning
    evidence: Evidence


@dataclass(frozen=True)
class RequirementVerdict:
    """The outcome of one requirement for one client. No verdict on traffic is made without evidence.

    Attributes:
        allowed_at: Of the verdict "allowed" the role of the computer whose firewall let it pass, "unknown" if the log
            does not tell; else None.
        also_blocked: Proven blocks of this requirement besides its verdict, such as one while its condition is off.
        either_or: Name of the group of which one member is enough; None if the requirement stands alone.
        steps: What was said on the open port, as far as the explanation names it.
        logged: The step of a log that ended the installation at this requirement, None if there is none. It is not
            saved: a fleet counts by it.
    """

    id: str
    description: str
    necessity: str
    source: Endpoint = field(metadata=FROM)
    destination: Endpoint = field(metadata=TO)
    protocol: str
    ports: tuple[int, ...]
    verdict: str
    confidence: str | None
    blocked_at: str | None
    allowed_at: str | None = field(default=None, kw_only=True)
    also_blocked: tuple[Block, ...] = field(default=(), kw_only=True)
    changed: VerdictChange | None
    attempts: int
    first_time: str | None
    last_time: str | None
    explanation: str
    evidence: tuple[Evidence, ...]
    problems: tuple[Problem, ...]
    remedy: tuple[Remedy, ...]
    either_or: str | None = None
    steps: tuple[PushStep, ...] = ()
    logged: LoggedStep | None = field(default=None, compare=False, kw_only=True)

    def __post_init__(self) -> None:
        if self.verdict not in VERDICTS:
            raise ValueError(f"{self.id}: no such verdict: {self.verdict}")
        if self.verdict not in (NOT_OBSERVED, NOT_APPLICABLE) and not self.evidence:
            raise ValueError(f"{self.id}: verdict {self.verdict} without evidence")

    @property
    def row(self) -> str:
        """The requirement's name without its method."""
        return self.id.partition("/")[2]

    @property
    def remedy_text(self) -> str:
        """What to do, in one paragraph; empty if there is nothing."""
        return " ".join(remedy.text for remedy in self.remedy)

    @property
    def decides(self) -> bool:
        """Whether the result of its method can depend on it."""
        return self.verdict != NOT_APPLICABLE and self.necessity != "informational"

    @property
    def is_proven_block(self) -> bool:
        """Whether its verdict is a proven block."""
        return self.verdict == BLOCKED and self.confidence == PROVEN

    @property
    def deciding_evidence(self) -> tuple[Evidence, ...]:
        """The evidence of the verdict: of a block on one port without that of another one, which was open."""
        if not self._stays_failed:
            return self.evidence
        unanswered = {item.source for item in self.evidence if not self._has_response(item)}
        return tuple(item for item in self.evidence if item.source not in unanswered or not self._has_response(item))

    @property
    def is_response_lost(self) -> bool:
        """Whether a source has a response to an attempt that failed: it was sent and did not arrive."""
        return self._stays_failed and any(map(self._has_response, self.deciding_evidence))

    @property
    def _stays_failed(self) -> bool:
        return self.verdict in FAILING and self.changed is None

    def _has_response(self, evidence: Evidence) -> bool:
        return any(packet.sender == self.destination.address and packet.is_response for packet in evidence.packets)


@dataclass(frozen=True)
class Reason:
    """Why a method has its result.

    Attributes:
        kind: "network", "problem", "step" (of a program's own log) or "missing".
        requirement: Its id; empty of a step that needs no port.
        text: The reason, in a sentence or two.
        remedy: Of such a step what to do about it; the requirements have their own.
        evidence: Of such a step the lines that report it.
        of_every_method: Whether every method ends there: a step of CCMSetup itself.
        logged: Such a step with what it means on any computer; not saved.
    """

    kind: str
    requirement: str
    text: str
    remedy: tuple[Remedy, ...] = ()
    evidence: tuple[Evidence, ...] = ()
    of_every_method: bool = False
    logged: LoggedStep | None = field(default=None, compare=False, kw_only=True)

    @property
    def is_step_alone(self) -> bool:
        """Whether it is a failed step that needs no port."""
        return self.kind == "step" and not self.requirement


@dataclass(frozen=True)
class WentOn:
    """That a push fails by its document, but demonstrably went on without what fails.

    Attributes:
        without: Ids of the requirements that alone make it fail.
        ruleset: Id of the ruleset by which it fails.
        newer: Id of the ruleset of the newer document, None if the push was not judged by it.
        newer_result: What the push comes to by that ruleset.
    """

    without: tuple[str, ...]
    ruleset: str
    newer: str | None
    newer_result: str | None


@dataclass(frozen=True)
class MethodResult:
    """The outcome of one installation method for one client.

    Attributes:
        push: Of client push the id of the entry of Report.pushes that it is about; None of other methods, and of a
            push that the sources do not show.
        site_server: Of client push the address of the site server; None of other methods, and while it is unknown.
        went_on: Of client push that it fails by its document alone; None if it does not.
    """

    id: str
    title: str
    push: str | None = field(default=None, kw_only=True)
    site_server: str | None = field(default=None, kw_only=True)
    result: str
    went_on: WentOn | None = field(default=None, kw_only=True)
    reasons: tuple[Reason, ...]
    requirements: tuple[RequirementVerdict, ...]


@dataclass(frozen=True)
class Recommendation:
    """A method that the evidence does not contradict, and what it still needs to be sure.

    Attributes:
        supported_by: "seen-open" if anything that it requires was seen to be open or allowed, "contradicted" if nothing
            was and a part is blocked to which there is another way, else "not-attempted".
    """

    method: str
    supported_by: str
    why: str
    still_needs: tuple[str, ...]


@dataclass(frozen=True)
class ClientReport:
    """All that was found about one client.

    Attributes:
        methods: In the order of the ruleset; of client push one for each site server that pushed the client, the
            surest first.
        names: What the client calls itself.
    """

    address: str
    names: tuple[str, ...] = field(default=(), kw_only=True)
    methods: tuple[MethodResult, ...]
    recommendation: tuple[Recommendation, ...]

    def method(self, method_id: str, site_server: str | None = None) -> MethodResult:
        """Return the result of one method.

        Args:
            method_id: Such as "client-push".
            site_server: Of client push the address of the site server; the first entry if None.

        Raises:
            ArgumentError: If the report has no such method or site server.
        """
        entries = [method for method in self.methods if method.id == method_id]
        if not entries:
            choices = _choose(dict.fromkeys(method.id for method in self.methods))
            raise ArgumentError(f"there is no method {method_id!r}", hint=choices)
        for method in entries:
            if site_server in (None, method.site_server):
                return method
        choices = _choose(method.site_server or "unknown" for method in entries)
        raise ArgumentError(f"the sources show no client push from {site_server} to {self.address}", hint=choices)

    def requirement(self, requirement_id: str) -> RequirementVerdict:
        """Return the verdict on one requirement, such as "client-push/smb". Raises ArgumentError if there is none."""
        method = self.method(requirement_id.partition("/")[0])
        for requirement in method.requirements:
            if requirement.id == requirement_id:
                return requirement
        names = _choose(requirement.id for requirement in method.requirements)
        raise ArgumentError(f"there is no requirement {requirement_id!r}", hint=names)


@dataclass(frozen=True, repr=False)
class Report:
    """The one document: sources, roles, clients with methods and requirements, limitations.

    Attributes:
        tool: What made it.
        ruleset: What the clients were judged by.
        asked: Ids of the methods whose results decide the exit code.
        sources: In the order in which they were named.
        roles: Computers that play a role, named by the user or inferred.
        modes: Of the sites, as far as they are known.
        pushes: Every pair that may be a push, also what is none.
        clients: One for each client.
        limitations: What the sources cannot show.
        not_used: Files of a folder or an archive that were not read: they are no sources, or copies of one.
        all_flows: What `flows` is made of; it is not saved.
    """

    tool: Tool
    ruleset: RulesetReference
    asked: tuple[str, ...] = field(default=(), kw_only=True)
    sources: tuple[SourceSummary, ...]
    roles: tuple[RoleAssignment, ...]
    modes: tuple[SiteMode, ...] = field(default=(), kw_only=True)
    pushes: tuple[Push, ...] = field(default=(), kw_only=True)
    clients: tuple[ClientReport, ...]
    limitations: tuple[Limitation, ...]
    not_used: tuple[str, ...] = field(default=(), kw_only=True)
    all_flows: AllFlows | None = field(default=None, compare=False, repr=False, kw_only=True)

    @property
    def limitation_texts(self) -> tuple[str, ...]:
        """The limitations in sentences."""
        return tuple(limitation.text for limitation in self.limitations)

    @cached_property
    def skipped(self) -> int:
        """How many records of all sources could not be read."""
        return sum(source.skipped for source in self.sources)

    @property
    def incomplete(self) -> bool:
        """Whether any source or record was skipped."""
        codes = {warning.code for source in self.sources for warning in source.warnings}
        return self.skipped > 0 or bool(codes & INCOMPLETE_CODES)

    def client(self, address: str | None = None) -> ClientReport:
        """Return what was found about one client; without an address the only one.

        Raises ArgumentError if the report is not about that address, or about none or several and no address is given.
        """
        matches = [client for client in self.clients if address is None or client.address == address]
        if len(matches) == 1:
            return matches[0]
        if not self.clients:
            raise ArgumentError("the report is about no client", hint="See report.limitations.")
        message = (
            f"the report is about {len(self.clients):,} clients" if address is None else f"there is no client {address}"
        )
        raise ArgumentError(message, hint=_choose(client.address for client in self.clients))


def check_of_one_audit(report: Any, action: str) -> None:
    """Raise ArgumentError for what is no report of `audit`, as of a fleet. what: what cannot be done to it."""
    if not isinstance(report, Report):
        hint = "Use the report of one of its computers: auditor.host_report(FOLDER, NAME)."
        raise ArgumentError(f"a {type(report).__name__} cannot be {action}", hint=hint)


def _choose(names: Iterable[str]) -> str:
    """Return a hint that lists what there is, the first of many."""
    return f"Choose from {join_limited(list(names), MOST_NAMED)}."


def utc_text(time_ns: int | None, *, local: bool = False) -> str | None:
    """Return a time in nanoseconds since 1970 as ISO 8601 in UTC with microseconds, None for None.

    local: it is a log's local time, of which nobody said the zone, so no Z is written.
    """
    if time_ns is None:
        return None
    try:
        moment = datetime.fromtimestamp(time_ns // 1_000_000_000, UTC)
    except (OverflowError, OSError, ValueError):
        return None
    seconds = moment.isoformat()[: len("1970-01-01T00:00:00")]
    return f"{seconds}.{time_ns % 1_000_000_000 // 1000:06d}" + "Z" * (not local)
