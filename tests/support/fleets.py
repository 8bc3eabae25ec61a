"""Fleets for tests, a line a host: `host("PC1 10.1.2.3", "smb blocked at client", "icmp-echo allowed")`."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable
from typing import Any

from reports import changed

import auditor
from auditor import FleetReport
from auditor.fleet.totals import FilesRead, fleet_report
from auditor.report import model as r
from auditor.report.fleet_as_json import fleet_as_dict, fleet_schema
from auditor.report.fleet_model import NO_EVIDENCE, HostResult, MethodOutcome, Proof, RequirementResult, UnreadableFile
from auditor.ruleset.ruleset import load_ruleset
from auditor.version import Tool

RULESET = load_ruleset()
MAIN = "client-push"
SERVER, POINT = "10.0.0.5", "10.0.0.7"
ROW = re.compile(r"(?P<row>\S+) (?P<verdict>\S+)(?: at (?P<at>\S+))?(?: by (?P<by>\S+))?(?P<served> unserved)?")
UNSERVED = "Check that the service runs on it. An allow rule does not start it."


def host(name: str, *rows: str, site: str = "", works: bool = False, **more: Any) -> HostResult:
    """Return a host: its name, then its address, if any; rows: "ROW VERDICT [at PLACE] [by DEVICE] [unserved]".

    A verdict of capitals, such as STATUS_ACCESS_DENIED, is a fatal problem on an open port. works: client push does.
    """
    name, _, address = name.partition(" ")
    seen = tuple(sorted((_seen(one, name, address) for one in rows), key=_place))
    push = _outcome(seen, works)
    others = (MethodOutcome(one.id, NO_EVIDENCE, (), ()) for one in RULESET.methods if one.id != MAIN)
    made = {
        "host": name,
        "site": site,
        "addresses": (address,) if address else (),
        "subnet": f"{address.rpartition('.')[0]}.0/24" if address else "",
        "files": (f"logs/{name}/pfirewall.log",),
        "records": 10 * len(seen),
        "first_time": "2026-11-23T06:00:00.000000Z" if seen else None,
        "last_time": "2026-11-23T07:00:00.000000Z" if seen else None,
        "outcomes": tuple(sorted((push, *others), key=lambda one: _METHODS.index(one.method))),
        "seen": seen,
        "recommended": ("group-policy", "manual") if push.result == r.FAILS else (),
        "warnings": (),
    }
    return HostResult(**made | more)


_METHODS = [one.id for one in RULESET.methods]
_ORDER = [one.id for one in RULESET.requirements]


def _place(one: RequirementResult) -> int:
    return _ORDER.index(one.requirement)


def _outcome(seen: tuple[RequirementResult, ...], works: bool) -> MethodOutcome:
    groups: dict[str, list[RequirementResult]] = {}
    for one in seen:
        groups.setdefault(RULESET.requirement(one.requirement).either_or or one.requirement, []).append(one)
    failing = [
        group for group in groups.values() if not any(one.verdict in r.PASSING and not one.problems for one in group)
    ]
    blamed = tuple(one.requirement for group in failing for one in group if one.problems or one.verdict in r.FAILING)
    if blamed:
        return MethodOutcome(MAIN, r.FAILS, blamed, ())
    missing = tuple(
        one.id for one in RULESET.method(MAIN).requirements if one.id not in {have.requirement for have in seen}
    )
    result = r.WORKS if works else r.UNPROVEN if seen else NO_EVIDENCE
    return MethodOutcome(MAIN, result, (), () if works else missing)


def _seen(text: str, name: str, address: str) -> RequirementResult:
    found = ROW.fullmatch(text)
    assert found, text
    rule, verdict = RULESET.requirement(f"{MAIN}/{found['row']}"), found["verdict"]
    problem = verdict.isupper()
    ends = {"client": address or None, "site-server": SERVER, "management-point": POINT}
    explanation = f"{rule.protocol.upper()} {rule.ports_text} from {rule.from_role} to {name}: {verdict}."
    return RequirementResult(
        requirement=rule.id,
        necessity=rule.necessity,
        source=r.Endpoint(rule.from_role, ends.get(rule.from_role)),
        destination=r.Endpoint(rule.to_role, ends.get(rule.to_role)),
        protocol=rule.protocol,
        ports=rule.ports,
        verdict=r.OPEN if problem else verdict,
        confidence=r.LIKELY if found["at"] == r.UNKNOWN else r.PROVEN,
        blocked_at=found["at"],
        device=address if found["at"] == "client" else found["by"],
        attempts=3,
        first_time="2026-11-23T06:00:00.000000Z",
        last_time="2026-11-23T06:00:09.000000Z",
        explanation=explanation,
        remedy=UNSERVED if found["served"] else rule.remedy if verdict in r.FAILING else "",
        problems=(r.Problem("smb", verdict, f"tree connect: {verdict} (frame 27).", 27, True),) if problem else (),
        remedy_kind="start-service" if found["served"] else "",
        proof=(Proof(f"logs/{name}/pfirewall.log", (8, 9, 10), (), "", explanation),),
    )


def fleet(hosts: Iterable[HostResult], **more: Any) -> FleetReport:
    """Return the report of hosts."""
    given = {"tool": Tool("auditor", "1.0"), "ruleset": RULESET, "main": MAIN, "asked": (MAIN,)}
    return FleetReport.of(fleet_report(hosts, **given | more))


def site() -> FleetReport:
    """Return a small fleet with something in every field."""
    hosts = [
        *(host(f"HQ-{n:02} 10.1.1.{n}", "smb blocked at client", site="Berlin") for n in range(1, 9)),
        host("HQ-09 10.1.1.9", "smb blocked at client", "rpc-dynamic blocked at client", site="Berlin"),
        host("LAB-1 10.2.1.1", "smb blocked at between by 10.2.0.1", site="Lyon"),
        host("LAB-2 10.2.1.2", "smb STATUS_ACCESS_DENIED", site="Lyon"),
        host("LAB-3 10.2.1.3", "smb no-response", site="Lyon"),
        host("LAB-4 10.2.1.4", "icmp-echo open", "smb open", "rpc-endpoint-mapper open", site="Lyon", works=True),
        host("LAB-5 10.2.1.5", "icmp-echo allowed", warnings=("events-lost: 3 events were lost",)),
        host("OLD-1"),
    ]
    files = FilesRead(files=17, read=15, unreadable=1, duplicates=1, bytes=123_456_789, records=170, skipped=2)
    lost = UnreadableFile("logs/OLD-2/pfirewall.log", "OLD-2", "its reading ended the worker", "read it alone")
    roles = (r.RoleAssignment("site-server", SERVER, "given", "set with --role"),)
    limits = (r.Limitation("log-misses-entries", "A log says nothing of what was never tried."),)
    return fleet(
        hosts, files=files, expected={"OLD-3": "", "HQ-01": ""}, unreadable=[lost], roles=roles, limitations=limits
    )


def planted(report: FleetReport, change: Callable[[str], str]) -> FleetReport:
    """Return the report with every free text of its document changed, equal ones equally."""
    return auditor.FleetReport.from_dict(changed(fleet_as_dict(report), fleet_schema(), change))
