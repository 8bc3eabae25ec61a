"""What the steps that ConfigMgr's own logs report show of requirements, beside what packets and firewalls show.

A program's log says what the program met, not why. So a verdict by packets or by a firewall stands, with the log beside
it. The log decides where nothing else was seen, and where it reports of a later attempt.
"""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from functools import cache, cached_property, lru_cache
from typing import NamedTuple

from auditor.report import model as r
from auditor.ruleset.addresses import canonical
from auditor.ruleset.configmgr_codes import CODES_KEPT, Reading, Shows, reading, written
from auditor.ruleset.given_roles import is_same_host
from auditor.ruleset.lint import CLIENT, MANAGEMENT_POINT, SITE_SERVER
from auditor.ruleset.ruleset import Method, Requirement, SiteRules
from auditor.ruleset.statements import say
from auditor.sources.configmgr.facts import (
    Installation,
    InstallStep,
    MachineStatus,
    PushRequest,
    ReportedStep,
    RequestStatus,
    ServedRequest,
    StepOutcome,
)
from auditor.sources.configmgr.push_requests import deciding_step
from auditor.sources.source import IIS_LOG, WITHOUT_FLOWS, Source
from auditor.verdicts.installations.reported import BESIDE_PUSH_NS, FromSource, ReportedComputer
from auditor.verdicts.installations.reported_pushes import ROLE_FACTS, InstallationLogs, host_of
from auditor.verdicts.installations.reported_site import stated_scheme
from auditor.verdicts.requirements.evidence import in_order
from auditor.verdicts.requirements.iis_coverage import IisCoverage

PUSH_LOG, SETUP_LOG, CLIENT_LOG, IIS = "ccm", "ccmsetup", "client", "iis"  # as rulesets/well-known calls them
PLACEHOLDER = re.compile(r"\b(?:CLIENT|SERVER|PORT)\b")
HOST_OR_PORT = re.compile(r"[A-Za-z0-9](?:[A-Za-z0-9._:-]{0,253}[A-Za-z0-9])?")  # safe in a command line
MOST_CITED = 6  # steps beside a verdict
HTTP_ERROR = 400
MANUAL = "manual"  # the method of an installation that was not pushed
SUCCESSFUL_EXITS = (0, 7)  # 7: the computer has to restart
NO_COMPUTER = ReportedComputer("")
TO_MANAGEMENT_POINT = (InstallStep.LOCATION_REQUEST, InstallStep.HTTP_REQUEST, InstallStep.REGISTRATION)
WEB_STEPS = (*TO_MANAGEMENT_POINT, InstallStep.TLS, InstallStep.DOWNLOAD, InstallStep.BITS)
SUMMARIES = (InstallStep.REQUEST, InstallStep.EXIT)  # they repeat the code of the step that failed


class ReadStep(NamedTuple):
    """A reported step with what its code means.

    Attributes:
        source: Index of the log in the report.
        step: What the log reports.
        reading: What it means.
    """

    source: int
    step: ReportedStep
    reading: Reading

    @property
    def shows_port(self) -> bool:
        """Whether it shows anything of a port."""
        return self.reading.shows is not Shows.NOTHING

    @property
    def stops(self) -> bool:
        """Whether the installation cannot go on."""
        return self.reading.fatal or self.reading.shows is Shows.FAILED


class ClientSteps:
    """What logs report of the installation on one client: the latest push request, and the latest run of CCMSetup.

    Args:
        client: Its address.
        logs: What all logs report.
        sources: All that were read.
        rules: The requirements of the site.
    """

    def __init__(self, client: str, logs: InstallationLogs, sources: Sequence[Source], rules: SiteRules) -> None:
        self._logs = logs
        self._sources = sources
        self._mode = rules.facts.mode
        self._site_ports = {requirement.row: requirement.site_port for requirement in rules.ruleset.requirements}
        self._computer = logs.computers.get(client, NO_COMPUTER)
        self._of_push = cache(self._push_steps)
        served = logs.served.get(client, ())
        self._of_client = (*self._client_steps(), *map(_read_served, served))
        addresses = {address for address in (client, *self._computer.addresses) if canonical(address)}
        of_addresses = [entry for address in sorted(addresses) for entry in logs.served.get(address, ())]
        self._iis = IisCoverage(addresses, of_addresses, logs.iis_servers, sources)

    @cached_property
    def _has_any(self) -> bool:
        return self._computer is not NO_COMPUTER or bool(self._of_client)

    def beside(self, verdict: r.RequirementVerdict, requirement: Requirement, site_server: str) -> r.RequirementVerdict:
        """Return a verdict with what the logs report of its requirement.

        Args:
            verdict: By packets and by logs of firewalls.
            requirement: What the verdict is about.
            site_server: Whose push it is; empty if it is unknown.
        """
        if not self._has_any or verdict.verdict == r.NOT_APPLICABLE:
            return verdict
        steps = [step for step in (*self._of_push(site_server), *self._of_client) if self._is_about(step, requirement)]
        steps = [
            step
            for step in steps
            if self._is_at(step, verdict.destination.address) and not self._is_before(step, verdict.first_time)
        ]
        if not steps:
            return self._unreported(verdict)
        steps = self._by_time(steps)
        return self._with_unarrived(self._decided(verdict, steps), steps)

    def _decided(self, verdict: r.RequirementVerdict, steps: Sequence[ReadStep]) -> r.RequirementVerdict:
        """Return the verdict by the log where nothing else shows anything, or where the log is later."""
        if verdict.verdict in (r.NOT_OBSERVED, r.INCONCLUSIVE):
            return self._by_log(verdict, steps)
        if self._is_after(steps[-1], verdict.last_time) and _verdict_of(steps[-1]) != verdict.verdict:
            changed = (verdict.verdict, verdict.last_time or "", _verdict_of(steps[-1]), self._time(steps[-1]) or "")
            return replace(self._by_log(verdict, steps), changed=r.VerdictChange(*changed), blocked_at=None)
        return self._with_log(verdict, steps)

    def reasons(
        self, method: Method, site_server: str | None, verdicts: Sequence[r.RequirementVerdict]
    ) -> tuple[r.Reason, ...]:
        """Return the step that ends an installation by a method where no verdict on a port of it does; the first cause.

        Args:
            method: The method.
            site_server: Whose push it is; None of other methods.
            verdicts: On its requirements.
        """
        if not self._has_any:
            return ()
        pushes = SITE_SERVER in method.by_partner
        if pushes and self._computer.first_line is None and self._computer.name:
            return (self._no_request(),)
        if not pushes and (self._computer.pushed or method.id != MANUAL):
            return ()
        steps = [*(self._of_push(site_server or "") if pushes else ()), *self._of_client]
        last_time = max(filter(None, (verdict.last_time for verdict in verdicts)), default=None)
        steps = [step for step in steps if not self._is_before(step, last_time)]
        stopping = [step for step in steps if step.stops]
        causes = [step for step in stopping if step.step.step not in SUMMARIES] or stopping
        if not causes or any(self._is_about(causes[0], requirement) for requirement in method.requirements):
            return ()  # the verdict on the port has it
        return (self._reason(causes[0]),)

    def skips(self, method: Method, site_server: str | None) -> tuple[r.Reason, ...]:
        """Return why the site server decided not to push the client: no failure, and nothing of a port.

        Args:
            method: The method.
            site_server: Whose push it is; None of other methods.
        """
        if not self._has_any or SITE_SERVER not in method.by_partner:
            return ()
        last = self._of_push(site_server or "")[-1:]
        return tuple(self._reason(step) for step in last if step.reading.skips)

    def _no_request(self) -> r.Reason:
        """Return that no log of a site server has a request for the computer that the user named."""
        meaning = reading(PUSH_LOG, InstallStep.QUEUE)
        fixes = tuple(r.Remedy(fix.place, fix.action, fix.command, "reported") for fix in meaning.next_steps)
        return r.Reason("step", "", meaning.text(self._computer.name), remedy=fixes)

    def unproven(self, site_server: str) -> r.Reason | None:
        """Return the step at which the latest push request ended where nothing shows that the push failed.

        It was skipped, or its line does not show why it ended.

        Args:
            site_server: Whose push it is; empty if it is unknown.
        """
        ended = [step for step in self._of_push(site_server) if step.step.outcome is not StepOutcome.SUCCEEDED]
        return self._reason(ended[-1]) if ended else None

    # which steps count

    def _push_steps(self, site_server: str) -> Sequence[ReadStep]:
        """Return what the latest push request of a site server reports."""
        requests = [
            request for request in self._computer.requests if self._logs.site_servers[request.source] == site_server
        ]
        informative = [request for request in requests if any(map(_is_informative, request.record.steps))]
        if informative:
            return list(_read_request(max(informative, key=lambda request: request.record.last_ns or 0)))
        statuses = [
            status for status in self._computer.statuses if self._logs.site_servers[status.source] == site_server
        ]
        return [_read_status(status) for status in statuses[-1:] if status.record.error_code or _is_skipped(status)]

    def _client_steps(self) -> Iterator[ReadStep]:
        """Yield what the latest run of CCMSetup reports, and the client's other logs."""
        runs = self._computer.installations
        if runs:
            yield from _read_run(max(runs, key=lambda run: run.record.last_ns or 0))
        for step in self._computer.steps:
            yield _read(CLIENT_LOG, step.source, step.record)

    def _is_about(self, step: ReadStep, requirement: Requirement) -> bool:
        """Tell whether a step shows anything of a requirement. Its URL or port says if it is of HTTP or of HTTPS."""
        if not step.shows_port or requirement.row not in step.reading.requirements:
            return False
        scheme, separator, _ = step.step.target.lower().partition("://")
        if separator:
            return requirement.site_port in (None, scheme) and not self._is_of_other_role(step, requirement)
        if step.step.port is not None:
            return not requirement.ports or step.step.port in requirement.ports
        return not self._is_of_several_ports(step) or self._is_of_stated_port(step, requirement)

    def _is_of_other_role(self, step: ReadStep, requirement: Requirement) -> bool:
        """Tell whether the client's logs name the server of a step only as a site system of another role."""
        roles = self._roles_by_host.get(host_of(step.step.target).lower(), set())
        return bool(roles) and requirement.to_role not in roles

    @cached_property
    def _roles_by_host(self) -> Mapping[str, set[str]]:
        roles: dict[str, set[str]] = defaultdict(set)
        for _, fact in self._computer.facts:
            if fact.kind in ROLE_FACTS:
                roles[host_of(fact.value).lower()].add(ROLE_FACTS[fact.kind])
        return roles

    def _is_of_several_ports(self, step: ReadStep) -> bool:
        """Tell whether what a step shows is of HTTP or of HTTPS, by its code alone."""
        return len({self._site_ports.get(row) for row in step.reading.requirements}) > 1

    def _is_of_stated_port(self, step: ReadStep, requirement: Requirement) -> bool:
        """Tell which of HTTP and HTTPS a line without URL and port is of, by what else the site is known to use.

        Where nothing else is known, a failure counts for both: one of them could not be used. A response counts for
        neither, because one of them may still be blocked.
        """
        to_management_point = step.step.step in TO_MANAGEMENT_POINT and requirement.to_role == MANAGEMENT_POINT
        stated = stated_scheme(self._mode, self._computer.facts) if to_management_point else ""
        return requirement.site_port == stated if stated else step.reading.shows is Shows.FAILED

    # verdicts

    def _unreported(self, verdict: r.RequirementVerdict) -> r.RequirementVerdict:
        """Return a verdict, and if there are only logs, which source shows a requirement that they do not report on."""
        if verdict.verdict != r.NOT_OBSERVED or any(source.kind not in WITHOUT_FLOWS for source in self._sources):
            return verdict
        of_client = verdict.source.role == CLIENT
        text = say("reported.nothing-of-client") if of_client else say("reported.nothing-of-server")
        return replace(verdict, explanation=text)

    def _by_log(self, verdict: r.RequirementVerdict, steps: Sequence[ReadStep]) -> r.RequirementVerdict:
        """Return the verdict that the log alone gives."""
        last = steps[-1]
        decided = _verdict_of(last)
        template = "reported.problem" if decided == r.FAILED else "reported.open"
        return replace(
            verdict,
            verdict=decided,
            confidence=r.LIKELY,
            attempts=verdict.attempts + len(steps),
            first_time=self._time(steps[0]),
            last_time=self._time(last),
            explanation=say(template, **self._fields(last)),
            evidence=in_order((*verdict.evidence, *self._evidence(steps))),
            problems=(self._problem(last),) if decided == r.OPEN and last.reading.fatal else (),
            remedy=self._remedy(last) if last.stops else (),
            logged=self._logged(last) if last.stops else None,
        )

    def _with_log(self, verdict: r.RequirementVerdict, steps: Sequence[ReadStep]) -> r.RequirementVerdict:
        """Return a verdict by packets or a firewall with the log beside it."""
        last = steps[-1]
        explanation = say("reported.beside", explanation=verdict.explanation, **self._fields(last))
        verdict = replace(
            verdict, explanation=explanation, evidence=in_order((*verdict.evidence, *self._evidence(steps)))
        )
        if verdict.verdict not in r.PASSING:
            return verdict
        if verdict.verdict == r.ALLOWED and last.reading.shows is Shows.OPEN:
            verdict = replace(verdict, verdict=r.OPEN, confidence=r.LIKELY, allowed_at=None)
        if not last.stops or any(problem.fatal for problem in verdict.problems):
            return verdict
        problems = (*verdict.problems, self._problem(last))
        return replace(verdict, problems=problems, remedy=self._remedy(last), logged=self._logged(last))

    def _with_unarrived(self, verdict: r.RequirementVerdict, steps: Sequence[ReadStep]) -> r.RequirementVerdict:
        """Return a verdict; of a request that failed and is not in the IIS log of the site system, with this."""
        last = steps[-1]
        log = self._sources[last.source]
        if log.kind == IIS_LOG or log.clock != "utc" or not last.stops or last.step.step not in WEB_STEPS:
            return verdict
        missing = self._iis.missing(self._server(last, verdict.destination), last.step.time_ns)
        return replace(verdict, explanation=f"{verdict.explanation} {missing}") if missing else verdict

    def _server(self, step: ReadStep, destination: r.Endpoint) -> str | None:
        """Return the address of the server of a request, None if it is unknown or of another role."""
        host = host_of(step.step.target)
        if address := canonical(host):
            return address
        named = [role for role in self._logs.assignments if host and role.name and is_same_host(role.name, host)]
        if addresses := [address for role in named if (address := canonical(role.address))]:
            return addresses[0]
        is_other = bool(named) and all(role.role != destination.role for role in named)
        return None if is_other else destination.address

    def _problem(self, step: ReadStep) -> r.Problem:
        record = step.step
        return r.Problem(
            layer=self._name(step),
            code=step.reading.code.name if step.reading.code else record.written_code,
            step=say(f"reported-step.{record.step}"),
            text=say("reported.problem", **self._fields(step)),
            frame=None,
            line=record.line,
            fatal=True,
            account=record.account,
            step_kind=record.step.value,
            object=record.target,
        )

    def _reason(self, step: ReadStep) -> r.Reason:
        return r.Reason(
            "step",
            "",
            say("reported.skipped" if step.reading.skips else "reported.problem", **self._fields(step)),
            remedy=self._remedy(step),
            evidence=tuple(self._evidence([step])),
            of_every_method=PUSH_LOG not in step.reading.logs,
            logged=self._logged(step),
        )

    def _logged(self, step: ReadStep) -> r.LoggedStep:
        (evidence,) = self._evidence([step])
        return r.LoggedStep(meaning_of(step.step.step, step.reading), evidence)

    def _remedy(self, step: ReadStep) -> tuple[r.Remedy, ...]:
        fixes = (
            r.Remedy(fix.place, fix.action, self._command(step, fix.command), "reported")
            for fix in step.reading.next_steps
        )
        collect = step.reading.collect
        text = say("reported.collect", source=collect)
        return (*fixes, *([r.Remedy(r.UNKNOWN, text, None, "collect")] if collect else []))

    def _command(self, step: ReadStep, command: str | None) -> str | None:
        """Return a command line with the names of the installation in place of CLIENT, SERVER, and PORT."""
        names = {
            "CLIENT": self._computer.host_name,
            "SERVER": host_of(step.step.target),
            "PORT": str(step.step.port or ""),
        }
        known = {word: name for word, name in names.items() if HOST_OR_PORT.fullmatch(name)}
        return command and PLACEHOLDER.sub(lambda match: known.get(match[0], match[0]), command)

    def _evidence(self, steps: Sequence[ReadStep]) -> Iterator[r.Evidence]:
        for step in steps[-MOST_CITED:]:
            text = say("reported.line", text=step.step.text)
            yield r.Evidence(step.source, (), (step.step.line,), text, "")

    def _fields(self, step: ReadStep) -> dict[str, object]:
        code = step.step.written_code or step.step.status
        return {
            "step": say(f"reported-step.{step.step.step}"),
            "code": say("reported.code", code=code) if code else "",
            "log": self._name(step),
            "line": step.step.line,
            "cause": step.reading.text(step.step.target, step.step.account),
        }

    def _name(self, step: ReadStep) -> str:
        """Return the name of the log: its path without folders."""
        return self._sources[step.source].path.replace("\\", "/").rpartition("/")[2]

    # times and servers

    def _by_time(self, steps: Sequence[ReadStep]) -> list[ReadStep]:
        """Return steps of several logs in order of time, if all logs have times that can be compared."""
        times = {step.step.time_ns for step in steps}
        if None in times or any(self._sources[step.source].clock != "utc" for step in steps):
            return list(steps)
        return sorted(steps, key=lambda step: step.step.time_ns or 0)

    def _is_at(self, step: ReadStep, address: str | None) -> bool:
        """Tell whether a step may be about a server; a log of IIS is about its own only."""
        return self._sources[step.source].kind != IIS_LOG or address is None or step.step.target in ("", address)

    def _time(self, step: ReadStep) -> str | None:
        return r.utc_text(step.step.time_ns, local=self._sources[step.source].clock == "local")

    def _is_before(self, step: ReadStep, time: str | None) -> bool:
        """Tell whether a step is of an earlier installation than what was seen from this time on."""
        return self._is_comparable(step, time) and (self._shifted(step, BESIDE_PUSH_NS) or "") < (time or "")

    def _is_after(self, step: ReadStep, time: str | None) -> bool:
        return self._is_comparable(step, time) and (self._shifted(step, -BESIDE_PUSH_NS) or "") > (time or "")

    def _is_comparable(self, step: ReadStep, time: str | None) -> bool:
        utc = self._sources[step.source].clock == "utc"
        return utc and step.step.time_ns is not None and time is not None and time.endswith("Z")

    def _shifted(self, step: ReadStep, by_ns: int) -> str | None:
        return r.utc_text((step.step.time_ns or 0) + by_ns)


# what a step means


@lru_cache(maxsize=CODES_KEPT)
def meaning_of(step: InstallStep, of_code: Reading) -> r.StepMeaning:
    """Return what a step means on every computer on which it has the same code.

    Args:
        step: The step.
        of_code: What its code means.
    """
    code = of_code.code.title if of_code.code else written(of_code.number) if of_code.number else ""
    if of_code.code and of_code.code.also_written:
        code = say("reported.both-spellings", code=code, hresult=of_code.code.also_written)
    fixes = [fix.text for fix in of_code.next_steps]
    if of_code.collect:
        fixes.append(say("reported.collect", source=of_code.collect))
    return r.StepMeaning(step.value, code, of_code.text(), " ".join(fixes))


def _is_informative(step: ReportedStep) -> bool:
    return step.step not in (InstallStep.QUEUE, InstallStep.ACCOUNT) and step.outcome is not StepOutcome.NEUTRAL


def _read(log: str, source: int, step: ReportedStep) -> ReadStep:
    succeeded = step.outcome is StepOutcome.SUCCEEDED
    skipped = step.outcome is StepOutcome.SKIPPED
    meaning = reading(log, step.step, step.code, step.status, step.port, succeeded=succeeded, skipped=skipped)
    return ReadStep(source, step, meaning)


def _read_request(request: FromSource[PushRequest]) -> Iterator[ReadStep]:
    """Yield the steps of a push request that succeeded, and the one that ended it."""
    for step in request.record.steps:
        if step.outcome is StepOutcome.SUCCEEDED:
            yield _read(PUSH_LOG, request.source, step)
    deciding = deciding_step(request.record)
    if deciding is not None:
        yield _read(PUSH_LOG, request.source, deciding)


def _read_run(run: FromSource[Installation]) -> Iterator[ReadStep]:
    """Yield the steps of a run of CCMSetup; what failed on the way is no matter if it ended well."""
    ended_well = run.record.exit_code in SUCCESSFUL_EXITS
    for step in run.record.steps:
        if step.outcome is not StepOutcome.NEUTRAL:
            read = _read(SETUP_LOG, run.source, step)
            yield read._replace(reading=replace(read.reading, fatal=False)) if ended_well else read


def _read_served(served: FromSource[ServedRequest]) -> ReadStep:
    """Return a request that IIS served as a step."""
    source, request = served
    succeeded = request.status < HTTP_ERROR
    codes = (request.status, request.substatus, request.win32_status)
    step = ReportedStep(
        InstallStep.HTTP_REQUEST,
        StepOutcome.SUCCEEDED if succeeded else StepOutcome.FAILED,
        request.line,
        request.line,
        request.time_ns,
        " ".join((request.method, request.path, *(str(code) for code in codes if code is not None))),
        status=request.status,
        target=request.server,
        port=request.port,
    )
    meaning = reading(IIS, step.step, request.win32_status, request.status, request.port, substatus=request.substatus)
    return ReadStep(source, step, meaning)


def _read_status(status: FromSource[MachineStatus]) -> ReadStep:
    record = status.record
    text = say("reported.status", code=record.error_code) if record.error_code else say("reported.status-skipped")
    outcome = StepOutcome.SKIPPED if _is_skipped(status) else StepOutcome.FAILED
    step = ReportedStep(InstallStep.REQUEST, outcome, record.line, record.line, record.last_ns, text, record.error_code)
    return _read(PUSH_LOG, status.source, step)


def _is_skipped(status: FromSource[MachineStatus]) -> bool:
    return status.record.status is RequestStatus.SKIPPED


def _verdict_of(step: ReadStep) -> str:
    return r.OPEN if step.reading.shows is Shows.OPEN else r.FAILED
