"""A made-up fleet of any size, the same each time.

Of twenty computers nine drop SMB and the endpoint mapper at their own firewall, three lose the dynamic ports at a
device, one does not answer, one is refused by the management point, one denies access, two work, one is unproven and
two have no evidence.
"""

from __future__ import annotations

import dataclasses
from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from typing import Any

from auditor import FleetReport
from auditor.report import fleet_model as d
from auditor.report.model import Endpoint, Limitation, Problem, RoleAssignment, RulesetReference
from auditor.version import Tool

PUSH, MANUAL = "client-push", "manual"
SITE_SERVER, MANAGEMENT_POINT, DEVICE = "10.0.0.5", "10.0.0.6", "10.9.0.1"
SITES = ("Berlin", "Bonn", "Gera", "Ulm", "")
OWN = "each host's own firewall"
ROWS = {
    "icmp-echo": ("icmp", (), "Let ICMP echo requests from the site server reach the client and the replies return."),
    "smb": (
        "tcp",
        (445,),
        "Allow TCP 445 from the site server to the client: inbound on the client enable the Windows Firewall group "
        '"File and Printer Sharing", and allow it in the same direction on every device between.',
    ),
    "rpc-endpoint-mapper": (
        "tcp",
        (135,),
        "Allow TCP 135 from the site server to the client: inbound on the client enable the Windows Firewall group "
        '"Windows Management Instrumentation (WMI)", and allow it in the same direction on every device between.',
    ),
    "rpc-dynamic": (
        "tcp",
        (49667,),
        "Allow the RPC dynamic ports (TCP 49152 to 65535) from the site server to the client, or bind WMI to TCP "
        '24158 with "winmgmt -standalonehost".',
    ),
    "http-management-point": ("tcp", (80,), "Allow TCP 80 from the client to the management point."),
}
OPEN = ("open", "proven", None, None)
OWN_FIREWALL = ("blocked", "proven", "client", None)
AT_DEVICE = ("blocked", "proven", "between", DEVICE)
SILENT = ("no-response", "likely", "unknown", None)
REFUSED = ("refused", "proven", "management-point", None)
State = tuple[str, str, str | None, str | None]
# what is not as it should be, row by row; None: nothing was seen of it
KINDS: tuple[dict[str, State | None], ...] = (
    *({"smb": OWN_FIREWALL, "rpc-endpoint-mapper": OWN_FIREWALL, "rpc-dynamic": None},) * 9,
    *({"rpc-dynamic": AT_DEVICE},) * 3,
    {"smb": SILENT},
    {"http-management-point": REFUSED},
    {},  # access is denied
    {},
    {},
    {"rpc-dynamic": None},
)
DENIED = len(KINDS) - 4


def sample(count: int) -> FleetReport:
    """Return the report of a fleet of so many computers, a twentieth of which were expected and never sent a log."""
    hosts = [_host(n) for n in range(count) if n % 20 != 19]
    expected = tuple(_name(n) for n in range(count) if n % 20 == 19)
    return _counted(hosts, expected)


def planted(report: FleetReport, change: Callable[[str], str]) -> FleetReport:
    """Return the report with every free text changed, equal ones equally."""
    changed: FleetReport = _changed(report, change)
    return changed


# words of ours and ids of the ruleset
FIXED = {
    *("main", "asked", "result", "method", "recommended", "verdict", "confidence", "necessity", "protocol"),
    *("blocked_at", "place", "id", "requirement", "failed", "unverified", "most"),
}


def _changed(value: Any, change: Callable[[str], str]) -> Any:
    if isinstance(value, str):
        return change(value)
    if isinstance(value, tuple):
        return tuple(_changed(one, change) for one in value)
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        fixed = FIXED | ({"requirements"} if isinstance(value, d.FirewallChange) else set())
        free = [field.name for field in dataclasses.fields(value) if field.name not in fixed]
        return dataclasses.replace(value, **{name: _changed(getattr(value, name), change) for name in free})
    return value


def _name(n: int) -> str:
    return f"PC{n:06}"


def _address(n: int) -> str:
    return f"10.{1 + n // 50_000}.{n // 200 % 250}.{n % 200 + 20}"


def _host(n: int) -> d.HostResult:
    kind = n % 20
    evidence = kind < len(KINDS)
    rows = {row: KINDS[kind].get(row, OPEN) for row in ROWS} if evidence else {}
    address, path = _address(n), f"logs/{SITES[n // 200 % 5] or 'elsewhere'}/{_name(n)}/pfirewall.log"
    seen = [
        _seen(method, row, state, n, path)
        for method in (PUSH, MANUAL)
        for row, state in rows.items()
        if state and (method == PUSH or row == "http-management-point")
    ]
    if kind == DENIED:
        seen[1] = _denied(seen[1])
    outcomes = tuple(_outcome(method, seen) for method in (PUSH, MANUAL))
    return d.HostResult(
        host=_name(n),
        site=SITES[n // 200 % 5],
        addresses=(address, f"fe80::{n:x}") if n % 7 == 0 else (address,),
        subnet=f"{address.rpartition('.')[0]}.0/24",
        files=(path, f"{path}.old") if n % 3 == 0 else (path,),
        records=1000 + n,
        first_time="2026-11-20T06:00:00",
        last_time=f"2026-11-23T{n % 24:02}:{n % 60:02}:07",
        outcomes=outcomes,
        seen=tuple(seen),
        recommended=(MANUAL,) if outcomes[0].result == "fails" and outcomes[1].result != "fails" else (),
        warnings=("pfirewall.log: the last line was cut short.",) if n % 11 == 0 else (),
    )


def _seen(method: str, row: str, state: State, n: int, path: str) -> d.RequirementResult:
    verdict, confidence, blocked_at, device = state
    protocol, ports, remedy = ROWS[row]
    ends = Endpoint("site-server", SITE_SERVER), Endpoint("client", _address(n))
    if row.endswith("management-point"):
        ends = ends[1], Endpoint("management-point", MANAGEMENT_POINT)
    what = " ".join([protocol.upper(), *map(str, ports)])
    where = f"from {ends[0].address} to {ends[1].address}"
    told = "was let through and answered." if verdict == "open" else f"{verdict}: dropped in lines {n + 7} and {n + 9}."
    proof = d.Proof(path, (n + 7, n + 9, n + 21), (), "", f"{what} {where}: 3 rows")
    if row == "icmp-echo":
        display_filter = f"icmp && ip.addr == {_address(n)}"
        proof = d.Proof(path.replace("pfirewall.log", "push.pcapng"), (), (3, 4), display_filter, "echo and reply")
    return d.RequirementResult(
        f"{method}/{row}", "required", *ends, protocol, ports, verdict, confidence, blocked_at, device, 3,
        "2026-11-23T06:00:01", "2026-11-23T06:00:22", f"{what} {where}: {told}", remedy * (verdict != "open"), (),
        (proof,),
    )  # fmt: skip


def _denied(one: d.RequirementResult) -> d.RequirementResult:
    text = "log on: STATUS_ACCESS_DENIED (frame 27): the account has no rights on ADMIN$."
    problem = Problem("smb2", "STATUS_ACCESS_DENIED", text, 27, True)
    return dataclasses.replace(one, problems=(problem,), remedy="Give the push account the rights of an administrator.")


def _outcome(method: str, seen: Sequence[d.RequirementResult]) -> d.MethodOutcome:
    rows = [row for row in ROWS if method == PUSH or row == "http-management-point"]
    found = [one for one in seen if one.requirement.startswith(f"{method}/")]
    blamed = tuple(one.requirement for one in found if _stopped(one))
    missing = tuple(f"{method}/{row}" for row in rows if f"{method}/{row}" not in {one.requirement for one in found})
    if not found:
        return d.MethodOutcome(method, d.NO_EVIDENCE, (), missing)
    return d.MethodOutcome(method, "fails" if blamed else "unproven" if missing else "works", blamed, missing)


def _stopped(one: d.RequirementResult) -> bool:
    return one.verdict in ("blocked", "no-response", "refused", "unreachable") or any(p.fatal for p in one.problems)


# counts


def _counted(hosts: Sequence[d.HostResult], expected: tuple[str, ...]) -> FleetReport:
    stops = [(host, one) for host in hosts for one in host.seen if one.requirement.startswith(PUSH) and _stopped(one)]
    silent = sum(host.outcome(PUSH).result == d.NO_EVIDENCE for host in hosts)
    return FleetReport(
        tool=Tool("auditor", "0.3.0"),
        ruleset=RulesetReference("configmgr-2007", "Configuration Manager 2007 client deployment", "Ports Used"),
        main=PUSH,
        asked=(),
        roles=(RoleAssignment("site-server", SITE_SERVER, "given", "--role"),),
        coverage=d.Coverage(
            files=len(hosts) + 2,
            read=len(hosts),
            unreadable=1,
            duplicates=1,
            bytes=4096 * len(hosts),
            records=sum(host.records for host in hosts),
            skipped=12,
            hosts=len(hosts) + len(expected),
            with_evidence=len(hosts) - silent,
            without_evidence=silent,
            without_source=len(expected),
            first_time="2026-11-20T06:00:00",
            last_time="2026-11-23T23:59:07",
        ),
        methods=tuple(
            d.MethodCount(method, title, *_results(hosts, method, len(expected)))
            for method, title in (
                (PUSH, "Client push installation"),
                (MANUAL, "Manual installation and logon script-based installation"),
            )
        ),
        requirements=tuple(
            d.RequirementCount(name, ROWS[name.partition("/")[2]][2], verdict, place, count, count * (sure == "proven"))
            for (name, verdict, place, sure), count in _most(
                (
                    one.requirement,
                    "problem" if one.verdict == "open" else one.verdict,
                    one.blocked_at or "",
                    one.confidence,
                )
                for _, one in stops
            )
        ),
        subnets=_groups(hosts, lambda host: host.subnet),
        sites=_groups(hosts, lambda host: host.site),
        directions=_stops(
            (host, f"{one.source.role} to {one.destination.role}") for host, one in stops if one.verdict != "open"
        ),
        devices=_stops((host, one.device or OWN) for host, one in stops if one.verdict == "blocked"),
        changes=_changes(hosts),
        hosts=tuple(hosts),
        expected=expected,
        unreadable=(d.UnreadableFile("logs/PC000001/broken.log", "PC000001", "holds no rows", "copy it again"),),
        limitations=(
            Limitation("allowed-only", "A firewall log does not show whether what it allowed: response received."),
        ),
        causes=_causes(stops),
    )


def _results(hosts: Iterable[d.HostResult], method: str = PUSH, without: int = 0) -> tuple[int, int, int, int, int]:
    found = Counter(host.outcome(method).result for host in hosts)
    return found["works"], found["allowed"], found["fails"], found["unproven"], found[d.NO_EVIDENCE] + without


def _groups(hosts: Iterable[d.HostResult], name: Callable[[d.HostResult], str]) -> tuple[d.GroupCount, ...]:
    groups: dict[str, list[d.HostResult]] = {}
    for host in hosts:
        groups.setdefault(name(host), []).append(host)
    counted = []
    for key, members in groups.items():
        blamed = _most(one for host in members for one in host.outcome(PUSH).failed)
        counted.append(d.GroupCount(key, *_results(members), blamed[0][0] if blamed else ""))
    return tuple(sorted(counted, key=lambda one: (-one.fails, one.name)))


def _stops(found: Iterable[tuple[d.HostResult, str]]) -> tuple[d.StopCount, ...]:
    return tuple(d.StopCount(*one) for one in _most(name for name, _ in {(name, host.host): 0 for host, name in found}))


def _most(of: Iterable[Any]) -> list[tuple[Any, int]]:
    return sorted(Counter(of).items(), key=lambda one: (-one[1], str(one[0])))


def _changes(hosts: Iterable[d.HostResult]) -> tuple[d.FirewallChange, ...]:
    failing = [host for host in hosts if host.outcome(PUSH).result == "fails"]
    remaining, changes = len(failing), []
    for need, count in _most(
        tuple((one.requirement, one.blocked_at, one.device) for one in _blocked(host)) for host in failing
    ):
        if need:
            remaining -= count
            names = tuple(one[0] for one in need)
            rows = [name.partition("/")[2] for name in names]
            ports = ", ".join(" ".join([ROWS[row][0].upper(), *map(str, ROWS[row][1])]) for row in rows)
            remedies = " ".join(ROWS[row][2] for row in rows)
            changes.append(
                d.FirewallChange(names, need[0][1] or "", need[0][2] or "", ports, count, remaining, remedies)
            )
    return tuple(changes)


def _blocked(host: d.HostResult) -> list[d.RequirementResult]:
    return [one for one in host.seen if one.requirement.startswith(PUSH) and one.verdict == "blocked"]


def _causes(stops: Iterable[tuple[d.HostResult, d.RequirementResult]]) -> tuple[d.Cause, ...]:
    """Return why the others fail, whatever is opened."""
    found = _most(
        (
            "problem" if one.problems else one.verdict,
            one.problems[0].code if one.problems else "",
            one.requirement if one.verdict != "no-response" else "",
            one.remedy,
        )
        for _, one in stops
        if one.verdict != "blocked"
    )
    return tuple(d.Cause(verdict, code, name, count, remedy) for (verdict, code, name, remedy), count in found)
