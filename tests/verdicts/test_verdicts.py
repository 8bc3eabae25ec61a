"""Verdicts: what the flows of a made-up capture must be judged to show; the cases are data.

Each file in tests/verdicts/cases holds cases. A case says its name and description, `flows` (lines of scenario.py) or
`captures` (several lists of them), what is known (`roles`, `mode`, `properties`, `conditions`, `ports`, `ruleset`) and
what must come out: `expect` is verdict and confidence of each requirement, named by its row for client push, by its
whole id otherwise.
"""

from __future__ import annotations

import tomllib
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
from jsonschema import Draft202012Validator
from packets import BEGIN, pcap
from scenario import scene

import auditor
from auditor.report.as_json import schema
from auditor.report.model import ClientReport, MethodResult, RequirementVerdict, utc_text

FOLDER = Path(__file__).parent / "cases"
SCHEMA = Draft202012Validator(schema())
ROLES = {"site-server": "10.0.0.5", "client": "10.0.0.20", "management-point": "10.0.0.80"}


@dataclass(frozen=True)
class Case:
    """One case of a file; a key that is not here is a mistake in the file."""

    name: str
    description: str
    flows: list[str] = field(default_factory=list)
    captures: list[list[str]] = field(default_factory=list)
    # what is known
    ruleset: str = "configmgr-2007"
    roles: dict[str, Any] = field(default_factory=lambda: ROLES)
    mode: str | None = None
    properties: list[str] = field(default_factory=list)
    conditions: dict[str, bool] = field(default_factory=dict)
    ports: dict[str, int] = field(default_factory=dict)
    client: str = "10.0.0.20"
    # what must come out
    expect: dict[str, str] = field(default_factory=dict)  # requirement: verdict and confidence
    other_site_servers: dict[str, dict[str, str]] = field(default_factory=dict)  # site server: result, and as expect
    other_clients: dict[str, dict[str, str]] = field(default_factory=dict)  # client: as expect
    result: str | None = None  # of client push
    results: dict[str, str] = field(default_factory=dict)  # of other methods
    reasons: list[str] | None = None  # "kind requirement", of client push, in order
    recommendation: list[str] | None = None  # methods, in order
    blocked_at: dict[str, str] = field(default_factory=dict)
    changed: dict[str, list[Any]] = field(default_factory=dict)  # requirement: before, its second, after, its second
    attempts: dict[str, int] = field(default_factory=dict)
    tried_ports: dict[str, list[int]] = field(default_factory=dict)
    says: dict[str, str] = field(default_factory=dict)  # requirement: words of its explanation
    omits: dict[str, str] = field(default_factory=dict)  # requirement: words that its explanation does not have
    frames: dict[str, list[list[int]]] = field(default_factory=dict)  # requirement: frames of each piece of evidence
    needs: dict[str, str] = field(default_factory=dict)  # method: words of what it still needs


def cases() -> list[Any]:
    files = {path.stem: tomllib.loads(path.read_text(encoding="utf-8")) for path in sorted(FOLDER.glob("*.toml"))}
    found = [(f"{name}: {table['name']}", Case(**table)) for name, file in files.items() for table in file["case"]]
    return [pytest.param(case, id=name) for name, case in found]


def audited(case: Case, write: Any, tmp_path: Path) -> auditor.Report:
    paths = [write(pcap(scene(lines))) for lines in case.captures or [case.flows]]
    site = tmp_path / "site.toml"
    stated = (f"{name} = {str(holds).lower()}\n" for name, holds in case.conditions.items())
    site.write_text("[conditions]\n" + "".join(stated), encoding="utf-8")
    known = {name: getattr(case, name) for name in ("ruleset", "roles", "mode", "properties", "ports")}
    return auditor.audit(*paths, site=site, **known, dissect=False)


def requirement(client: ClientReport, name: str) -> RequirementVerdict:
    method, _, row = name.rpartition("/")
    return next(one for one in client.method(method or "client-push").requirements if one.row == row)


def short(identifier: str) -> str:
    return identifier.removeprefix("client-push/")


def verdict(client: ClientReport, name: str) -> str:
    one = requirement(client, name)
    return " ".join(filter(None, (one.verdict, one.confidence)))


def shown(method: MethodResult, expected: dict[str, str]) -> dict[str, str]:
    """Return the result, and verdict and confidence of the rows, that are expected of one push."""
    rows = {one.row: " ".join(filter(None, (one.verdict, one.confidence))) for one in method.requirements}
    return {name: (rows | {"result": method.result})[name] for name in expected}


def change(one: RequirementVerdict) -> tuple[str, ...] | None:
    return one.changed and (
        one.changed.before,
        one.changed.before_time,
        one.changed.after,
        one.changed.after_time,
    )


def moment(second: float) -> str | None:
    return utc_text(int((BEGIN + second) * 1_000_000_000))


@pytest.mark.parametrize("case", cases())
def test_verdicts(case, write, tmp_path):
    report = audited(case, write, tmp_path)
    client = next(one for one in report.clients if one.address == case.client)
    rows = {one.row: one for one in client.method("client-push").requirements}

    assert {name: verdict(client, name) for name in case.expect} == case.expect
    others = {one.address: one for one in report.clients if one.address != case.client}
    for address, expected in case.other_clients.items():
        assert {name: verdict(others[address], name) for name in expected} == expected
    for server, expected in case.other_site_servers.items():
        assert shown(client.method("client-push", server), expected) == expected
    assert case.result in (None, client.method("client-push").result)
    assert {name: client.method(name).result for name in case.results} == case.results
    reasons = [f"{one.kind} {short(one.requirement)}" for one in client.method("client-push").reasons]
    assert case.reasons in (None, reasons)
    assert case.recommendation in (None, [one.method for one in client.recommendation])

    found = {name: one.blocked_at for name, one in rows.items()}
    assert found | case.blocked_at == found
    changes = {name: change(one) for name, one in rows.items() if one.changed}
    expected = {name: (a, moment(first), b, moment(second)) for name, (a, first, b, second) in case.changed.items()}
    assert changes == expected
    assert {name: requirement(client, name).attempts for name in case.attempts} == case.attempts
    assert {name: list(requirement(client, name).ports) for name in case.tried_ports} == case.tried_ports
    for name, words in case.says.items():
        assert words in requirement(client, name).explanation
    for name, words in case.omits.items():
        assert words not in requirement(client, name).explanation
    assert {
        name: [list(one.frames) for one in requirement(client, name).evidence] for name in case.frames
    } == case.frames
    needs = {one.method: "; ".join(one.still_needs) for one in client.recommendation}
    for name, words in case.needs.items():
        assert words in needs[name]
    SCHEMA.validate(report.to_dict())


def test_a_case_with_a_key_that_nobody_knows_is_refused():
    with pytest.raises(TypeError, match="verdikt"):
        Case(name="", description="", verdikt="open")


@pytest.mark.parametrize(
    "line",
    [
        "10.0.0.5:50000 > 10.0.0.20:445/tcp S0",
        "0 10.0.0.5:50000 > 10.0.0.20:445/tcp S9",
        "0 10.0.0.5:50000 > 10.0.0.20:445/sctp S0",
        "0 10.0.0.5 > 10.0.0.20/icmp S0",
        "0 10.0.0.5:50000 > 10.0.0.20:445/tcp forbidden by 10.0.0.1",
        "0 10.0.0.5 asks 10.0.0.20 twice",
        "until then",
    ],
)
def test_a_line_that_nobody_understands_is_refused(line):
    with pytest.raises(ValueError, match="not understood"):
        scene([line])


def test_every_case_expects_something():
    told = ("expect", "result", "results", "reasons", "recommendation")
    assert [one.id for one in cases() if not any(getattr(one.values[0], name) for name in told)] == []


def test_no_two_cases_have_the_same_name():
    names = [one.id for one in cases()]
    assert len(names) == len(set(names))


def test_what_several_methods_ask_for_is_judged_alike_and_each_names_its_own_remedy(write, tmp_path):
    flows = ["0 10.0.0.20 > 10.0.0.80/icmp answered", "1 10.0.0.20:50000 > 10.0.0.80:80/tcp S0"]
    case = Case(name="", description="", flows=flows)
    client = audited(case, write, tmp_path).client()
    push, policy = (client.requirement(f"{one}/http-management-point") for one in ("client-push", "group-policy"))
    assert (push.verdict, push.explanation, push.evidence) == (policy.verdict, policy.explanation, policy.evidence)
    assert "'auditor: client-push/http-management-point'" in push.remedy_text
    assert "'auditor: group-policy/http-management-point'" in policy.remedy_text
