"""The one document that the audit of a fleet results in; renderers turn it into text, HTML, tables and JSON.

Every list has a full order, so that the same summaries give the same bytes, however they were come by.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field, fields
from functools import cache
from operator import attrgetter
from typing import Any

from auditor.report.model import (
    ALLOWED,
    BETWEEN,
    BLOCKED,
    FAILING,
    FAILS,
    FROM,
    PROVEN,
    REFUSED,
    TO,
    UNKNOWN,
    UNPROVEN,
    WORKS,
    Block,
    Endpoint,
    Limitation,
    Problem,
    RoleAssignment,
    RulesetReference,
    StepMeaning,
)
from auditor.ruleset.lint import CLIENT
from auditor.version import Tool

FORMAT_VERSION = 2
NO_EVIDENCE = "no-evidence"  # beside the results of one audit: nothing decisive of this method is in any source
RESULTS = (WORKS, ALLOWED, FAILS, UNPROVEN, NO_EVIDENCE)


def row_of(requirement: str) -> str:
    """Return the name of a requirement without its method: several methods have the same row."""
    return requirement.partition("/")[2]


class _CompactPickle:
    """A record of which a large fleet has millions, that workers send back to the process that started them.

    It is pickled as its values; a dataclass with slots is by itself taken apart field by field, which takes twice as
    long.
    """

    __slots__ = ()

    def __reduce__(self) -> tuple[Any, tuple[Any, ...]]:
        kind: Any = type(self)
        return kind, _values_of(kind)(self)


@cache
def _values_of(kind: Any) -> Callable[[Any], tuple[Any, ...]]:
    return attrgetter(*(field.name for field in fields(kind)))


@dataclass(frozen=True, order=True, slots=True)
class Proof(_CompactPickle):
    """Lines or frames of one file that justify a verdict.

    Attributes:
        path: Of the file.
        lines: Line numbers of a log, from 1.
        frames: Numbers as Wireshark counts (frame.number).
        display_filter: For Wireshark; empty for a log.
        text: What they show, in one sentence.
    """

    path: str
    lines: tuple[int, ...]
    frames: tuple[int, ...]
    display_filter: str
    text: str


@dataclass(frozen=True, slots=True)
class LoggedStep(_CompactPickle):
    """A step that a log of ConfigMgr reports, with the line that does; a fleet counts by what it means."""

    meaning: StepMeaning
    proof: Proof


@dataclass(frozen=True, slots=True)
class FailedStep(_CompactPickle):
    """A step of a log at which an installation ended, where no requirement has it.

    Attributes:
        method: Id of the method.
        fails: Whether the method fails for it. Else the log has no code, or the installation was skipped.
        step: As of StepMeaning.
        code: As of StepMeaning.
        explanation: What the log reports of this host, in sentences.
        remedy: What to do, in sentences.
        proof: The line.
        meaning: What it means on any host; not saved.
    """

    method: str
    fails: bool
    step: str
    code: str
    explanation: str
    remedy: str
    proof: tuple[Proof, ...]
    meaning: StepMeaning | None = field(default=None, compare=False)

    @property
    def logged(self) -> LoggedStep | None:
        """The step as a fleet counts it; None of a saved one."""
        return LoggedStep(self.meaning, self.proof[0]) if self.meaning else None


@dataclass(frozen=True, slots=True)
class RequirementResult(_CompactPickle):
    """What one requirement came to for one host, of those of which anything was seen.

    Attributes:
        requirement: Its id, such as "client-push/smb".
        necessity: "required", "conditional" or "informational".
        source: Who connects.
        destination: Who is reached.
        protocol: "tcp", "udp" or "icmp".
        ports: Those that were tried of dynamic ports, else the documented ones.
        verdict: As in RequirementVerdict.
        confidence: "proven" or "likely"; None if the verdict decides nothing.
        blocked_at: Where it was stopped: a role, "between" or "unknown"; None if it was not.
        device: Address of what stopped it; None if the sources do not show it.
        attempts: How often it was tried.
        first_time: ISO 8601, UTC with a Z, the local time of a log without; None if unknown.
        last_time: Likewise.
        explanation: The verdict in a sentence.
        remedy: What to do; empty if there is nothing.
        problems: What failed on an open port.
        proof: At most a handful.
        also_blocked: As in RequirementVerdict.
        remedy_kind: The kind of the first remedy, as in Remedy; empty if there is none.
        failed_step: The step of a log at which the installation ended, such as "admin-share"; empty if there is none.
        code: Its code, as of StepMeaning.
        logged: That step with its line; not saved.
    """

    requirement: str
    necessity: str
    source: Endpoint = field(metadata=FROM)
    destination: Endpoint = field(metadata=TO)
    protocol: str
    ports: tuple[int, ...]
    verdict: str
    confidence: str | None
    blocked_at: str | None
    device: str | None
    attempts: int
    first_time: str | None
    last_time: str | None
    explanation: str
    remedy: str
    problems: tuple[Problem, ...]
    proof: tuple[Proof, ...]
    also_blocked: tuple[Block, ...] = ()
    remedy_kind: str = ""
    failed_step: str = ""
    code: str = ""
    logged: LoggedStep | None = field(default=None, compare=False)

    @property
    def blocks(self) -> tuple[str, ...]:
        """Where it is blocked, of each proven block; empty if none is proven."""
        own = (self.blocked_at or "",) if self.verdict == BLOCKED and self.confidence == PROVEN else ()
        return (*own, *self.blocks_besides)

    @property
    def blocks_besides(self) -> tuple[str, ...]:
        """Where it is blocked, of each proven block that does not decide its verdict."""
        return tuple(block.blocked_at for block in self.also_blocked)


@dataclass(frozen=True, slots=True)
class MethodOutcome(_CompactPickle):
    """What one method came to for one host.

    Of several pushes to one host, one that fails decides: the latest of each site server counts.

    Attributes:
        method: Its id.
        result: "works", "allowed", "fails", "unproven" or "no-evidence".
        failed: Ids of the requirements that make it fail, from any site server.
        unverified: Ids of the requirements that keep it unproven.
    """

    method: str
    result: str
    failed: tuple[str, ...]
    unverified: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class SiteStatement(_CompactPickle):
    """What a log of a host states of its site.

    Attributes:
        setting: "mode", or the setting of a port, such as "http".
        value: The mode, or the port.
        why: The line, in words.
    """

    setting: str
    value: str
    why: str


@dataclass(frozen=True, slots=True)
class HostResult(_CompactPickle):
    """All that is known of one host.

    Attributes:
        host: Its name, or its address if no source has its name.
        site: Name of its site; empty if it is not set.
        addresses: Its own, the likeliest first.
        subnet: That of the first address; empty if none is known.
        files: Paths of its sources.
        records: Rows, events, and frames of them.
        first_time: ISO 8601, UTC with a Z, the local time of a log without; None if unknown.
        last_time: Likewise.
        outcomes: One for each method.
        seen: In the order of the ruleset; what several methods share is in it once; of further pushes to the host what
            fails or is a proven block.
        recommended: Ids of methods that the evidence does not contradict, best proven first.
        warnings: What is wrong with its sources.
        failed_steps: Steps of logs at which an installation ended, where no requirement has them.
        stated: What its logs state of its site; not saved.
    """

    host: str
    site: str
    addresses: tuple[str, ...]
    subnet: str
    files: tuple[str, ...]
    records: int
    first_time: str | None
    last_time: str | None
    outcomes: tuple[MethodOutcome, ...]
    seen: tuple[RequirementResult, ...]
    recommended: tuple[str, ...]
    warnings: tuple[str, ...]
    failed_steps: tuple[FailedStep, ...] = ()
    stated: tuple[SiteStatement, ...] = field(default=(), compare=False)

    def steps_of(self, method: str) -> tuple[FailedStep, ...]:
        """Return the steps of logs that make a method fail, where no requirement has them."""
        return tuple(step for step in self.failed_steps if step.method == method and step.fails)

    def failed_step(self, method: str) -> tuple[str, str]:
        """Return the step of a log for which a method fails, and its code; empty if it does not fail for one."""
        failed = self.outcome(method).failed
        steps = [(step.step, step.code) for step in self.steps_of(method)]
        steps += [(row.failed_step, row.code) for row in self.seen if row.requirement in failed and row.failed_step]
        return steps[0] if steps else ("", "")

    def outcome(self, method: str) -> MethodOutcome:
        """Return what a method came to. Raises KeyError if the ruleset has none of this id."""
        for outcome in self.outcomes:
            if outcome.method == method:
                return outcome
        raise KeyError(method)


@dataclass(frozen=True, order=True)
class UnreadableFile:
    """A file that could not be read, or whose reading ended its worker.

    Attributes:
        path: Of the file.
        host: Whose it is; empty if that is not known.
        error: What is wrong.
        action: What to do.
    """

    path: str
    host: str
    error: str
    action: str


@dataclass(frozen=True)
class MethodCount:
    """How many hosts a method has which result for; those without a source count as no_evidence."""

    id: str
    title: str
    works: int
    allowed: int
    fails: int
    unproven: int
    no_evidence: int


@dataclass(frozen=True)
class RequirementCount:
    """How many hosts a requirement of the main method is stopped for, in one way at one place; most hosts first.

    Attributes:
        id: Of the requirement.
        description: As the ruleset has it.
        verdict: A failing verdict, or "problem" for an open port on which something failed for good.
        blocked_at: A role, "between" or "unknown".
        hosts: How many.
        proven: Of how many of them it is proven.
    """

    id: str
    description: str
    verdict: str
    blocked_at: str
    hosts: int
    proven: int


@dataclass(frozen=True)
class AlsoBlocked:
    """How many hosts have a proven block that does not fail the main method for them; most hosts first.

    Attributes:
        requirement: Its id.
        blocked_at: A role, "between" or "unknown".
        applies: False if its condition is off, as in a mode that the site does not use.
    """

    requirement: str
    blocked_at: str
    applies: bool
    hosts: int


@dataclass(frozen=True)
class ExpectedSite:
    """The site of a host without a readable source."""

    host: str
    site: str


@dataclass(frozen=True)
class GroupCount:
    """The result of the main method for the hosts of one subnet or site, most failures first.

    Attributes:
        name: Such as "10.1.2.0/24"; empty for hosts of which it is not known.
        works: Number of hosts with this result, like the four after it.
        allowed: Likewise.
        fails: Likewise.
        unproven: Likewise.
        no_evidence: Likewise.
        most: Id of the requirement that most of them fail for, or "step/" and the step of a log; empty if none fails.
    """

    name: str
    works: int
    allowed: int
    fails: int
    unproven: int
    no_evidence: int
    most: str


@dataclass(frozen=True)
class StopCount:
    """How many hosts are stopped in one direction, or by one device.

    Attributes:
        name: Such as "site-server to client", or an address.
        hosts: How many.
    """

    name: str
    hosts: int


@dataclass(frozen=True)
class FirewallChange:
    """One change to ask for, in the order in which it pays most.

    Attributes:
        requirements: Ids that it opens, together: hosts that need several are helped only by all of them (of an
            either-or group by one).
        place: Whose firewall: "client" for that of each host itself, "between" with a device, or "unknown".
        device: Its address; empty if it is each host's own or unknown.
        ports: In words, such as "TCP 445".
        helps: Number of hosts that fail before and no longer once this and all changes before it are made.
        remaining: Number of hosts that still fail then.
        remedy: What to do, in a sentence.
    """

    requirements: tuple[str, ...]
    place: str
    device: str
    ports: str
    helps: int
    remaining: int
    remedy: str


@dataclass(frozen=True)
class Cause:
    """What lets hosts fail where no change of a firewall is known to help, most hosts first; each host counts once.

    Attributes:
        verdict: "unreachable", "no-response", "refused", "blocked" (dropped where nothing listens), "problem", "failed"
            (a log reports a port that could not be used; a firewall may be the reason) or "step" (a log reports a step
            that needs no port).
        code: Of the problem, such as STATUS_ACCESS_DENIED; of the step, as of StepMeaning; else empty.
        requirement: Its id; empty if the whole computer was not reached, and of a step that needs no port.
        hosts: How many.
        remedy: What to do, in a sentence.
        step: The step of a log, such as "admin-share"; empty if no log reports it.
        text: What the code means at this step, in sentences; empty without a step.
        example_host: The first of the hosts by name; empty without a step.
        example: The line of its log; None without a step.
    """

    verdict: str
    code: str
    requirement: str
    hosts: int
    remedy: str
    step: str = ""
    text: str = ""
    example_host: str = ""
    example: Proof | None = None


@dataclass(frozen=True)
class Coverage:
    """How much of the fleet this is about. Hosts without evidence may fail: it is not known.

    Attributes:
        files: Number of files named or found.
        read: Of them, those that were read.
        unreadable: Of them, those that could not be read.
        duplicates: Of them, those with the same content again for the same host.
        bytes: Of the files read.
        records: Of the files read.
        skipped: Records of them that could not be read.
        hosts: Number of hosts known at all.
        with_evidence: Hosts whose sources show whether anything that the main method requires is allowed or stopped.
        without_evidence: Hosts that have sources, but nothing of that in them.
        without_source: Hosts that were expected and have no readable source. These and those without evidence are
            `no_evidence` of the main method.
        first_time: ISO 8601, UTC with a Z, the local time of a log without; None if unknown.
        last_time: Likewise.
    """

    files: int
    read: int
    unreadable: int
    duplicates: int
    bytes: int
    records: int
    skipped: int
    hosts: int
    with_evidence: int
    without_evidence: int
    without_source: int
    first_time: str | None
    last_time: str | None


@dataclass(frozen=True, repr=False)
class FleetReport:
    """The one document: counts for the whole fleet, then every host.

    Attributes:
        tool: What made it.
        ruleset: What the hosts were judged by.
        main: Id of the method that counts, groups, changes, and causes are about.
        asked: Ids of the methods that decide the exit code.
        roles: Servers, named by the user or inferred.
        coverage: How much of the fleet this is about.
        methods: Results of each method.
        requirements: What hosts fail for.
        subnets: With one of the name "" for hosts of which it is not known; none at all if it is known of no host.
        sites: Likewise.
        directions: In which direction hosts are stopped.
        devices: What stopped hosts where a rule can be changed, such as an address or "each host's own firewall".
        changes: Firewall changes to ask for.
        causes: Why hosts fail where no change is known to help.
        unproven_steps: The steps of logs at which the main method ended for hosts for which it does not fail: the
            installation was skipped, or the log does not show why it ended.
        also_blocked: Proven blocks that do not fail the main method.
        hosts: In the order of their names.
        expected: Hosts of a map file, or named with an unreadable file, of which there is no readable source.
        expected_sites: Of these hosts those whose site is known.
        limitations: What the sources cannot show.
        unreadable: Files that could not be read.
    """

    tool: Tool
    ruleset: RulesetReference
    main: str
    asked: tuple[str, ...]
    roles: tuple[RoleAssignment, ...]
    coverage: Coverage
    methods: tuple[MethodCount, ...]
    requirements: tuple[RequirementCount, ...]
    subnets: tuple[GroupCount, ...]
    sites: tuple[GroupCount, ...]
    directions: tuple[StopCount, ...]
    devices: tuple[StopCount, ...]
    changes: tuple[FirewallChange, ...]
    causes: tuple[Cause, ...] = field(default=(), kw_only=True)
    unproven_steps: tuple[Cause, ...] = field(default=(), kw_only=True)
    also_blocked: tuple[AlsoBlocked, ...] = field(default=(), kw_only=True)
    hosts: tuple[HostResult, ...]
    expected: tuple[str, ...]
    expected_sites: tuple[ExpectedSite, ...] = field(default=(), kw_only=True)
    limitations: tuple[Limitation, ...]
    unreadable: tuple[UnreadableFile, ...]

    @property
    def limitation_texts(self) -> tuple[str, ...]:
        """The limitations in sentences."""
        return tuple(limitation.text for limitation in self.limitations)

    @property
    def site_of_expected(self) -> dict[str, str]:
        """The site of each host without a readable source, as far as it is known."""
        return {entry.host: entry.site for entry in self.expected_sites}

    def method(self, method_id: str) -> MethodCount:
        """Return the counts of a method. Raises KeyError if the ruleset has none of this id."""
        for method in self.methods:
            if method.id == method_id:
                return method
        raise KeyError(method_id)

    @property
    def unhelped(self) -> int:
        """How many hosts fail, and no change of a firewall is known to help them."""
        return sum(cause.hosts for cause in self.causes)

    @property
    def logged_causes(self) -> tuple[Cause, ...]:
        """The causes that logs of ConfigMgr report, by step and code."""
        return tuple(cause for cause in self.causes if cause.step)

    @property
    def other_causes(self) -> tuple[Cause, ...]:
        """The causes that packets and logs of firewalls show."""
        return tuple(cause for cause in self.causes if not cause.step)


# how a requirement of a host failed, and where

STEP = "step"  # beside the verdicts: a log reports a step that needs no port
PROBLEM = "problem"  # beside the verdicts: the port is open, and something failed on it for good
# What to do where nobody listens, and where a firewall is known to let it in, or need not.
NO_RULE_HELPS = frozenset(
    ("start-service", "start-service-or-device", "not-that-firewall", "other-port-works", "save-delay")
)
OWN_FIREWALL = "each host's own firewall"
UNKNOWN_DEVICE = "unknown device"


def failure_kind(requirement: RequirementResult) -> str:
    """Return how a requirement fails: its verdict if it was stopped, "problem" if something failed on an open port."""
    return requirement.verdict if requirement.verdict in FAILING else PROBLEM


def fails(one: RequirementResult) -> bool:
    """Tell whether a requirement is not met, or something failed on an open port."""
    return one.verdict in FAILING or bool(one.problems)


def stopped_by_rule(requirement: RequirementResult) -> bool:
    """Tell whether a rule of a firewall stops it, as far as anybody knows, so that another rule lets it through."""
    rejected = requirement.verdict == REFUSED and requirement.blocked_at == BETWEEN
    return (requirement.verdict == BLOCKED or rejected) and requirement.remedy_kind not in NO_RULE_HELPS


def block_location(requirement: RequirementResult, host: HostResult) -> tuple[str, str]:
    """Return place and device of what stopped a requirement, as FirewallChange has them."""
    if requirement.blocked_at == CLIENT or (requirement.device and requirement.device in host.addresses):
        return CLIENT, ""
    return requirement.blocked_at or UNKNOWN, requirement.device or ""


def stopper(place: str, device: str) -> str:
    """Return the name of what stopped hosts. place, device: as FirewallChange has them."""
    if place == CLIENT:
        return OWN_FIREWALL
    return device or (f"{place}, address unknown" if place not in (UNKNOWN, "") else UNKNOWN_DEVICE)
