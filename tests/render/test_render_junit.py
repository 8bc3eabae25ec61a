"""JUnit XML: read by another's reader (junitparser), and valid by the schema of Jenkins's xUnit plugin.

AUDITOR_JUNIT_SCHEMA names that schema, junit-10.xsd. No wheel ships it: `make test` takes it from pytest's sources.
"""

from __future__ import annotations

import dataclasses
import os
import re

import pytest
from junitparser import JUnitXml, TestSuite
from lxml import etree
from reports import fleet, of_scene, rich
from scenes import SCENES, each

import auditor
from auditor.render.junit import render_junit
from auditor.report import model as r

CHILDREN = {
    "testsuites": {"testsuite"},
    "testsuite": {"properties", "testcase", "system-out", "system-err"},
    "properties": {"property"},
    "testcase": {"failure", "error", "skipped"},
}
NEEDED = {
    "testsuite": {"name", "tests", "failures", "errors", "skipped", "time", "timestamp", "hostname", "id", "package"},
    "testcase": {"name", "classname", "time"},
    "property": {"name", "value"},
    "failure": {"type", "message"},
    "error": {"type", "message"},
    "skipped": {"message"},
}


def suites(report: auditor.Report) -> dict[str, TestSuite]:
    return {suite.name: suite for suite in JUnitXml.fromstring(render_junit(report).encode())}


def outcome(report: auditor.Report, requirement: str, client: str = "10.20.2.20") -> str:
    case = next(case for case in suites(report)[client] if case.name == requirement)
    return " ".join(type(one).__name__ for one in case.result) or "passed"


@each(SCENES)
def test_its_structure(scene):
    root = etree.fromstring(render_junit(of_scene(scene.name)).encode())
    for element in root.iter():
        assert {child.tag for child in element} <= CHILDREN.get(element.tag, set())
        assert set(element.keys()) >= NEEDED.get(element.tag, set())
    for suite in root:
        cases = suite.findall("testcase")
        counted = [len(cases)] + [sum(c.find(k) is not None for c in cases) for k in ("failure", "error", "skipped")]
        assert counted == [int(suite.get(name)) for name in ("tests", "failures", "errors", "skipped")]
        assert all(len(case) <= 1 for case in cases)
        assert re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d", suite.get("timestamp"))


@each(SCENES)
def test_it_is_as_the_schema_of_jenkins_says(scene):
    path = os.environ.get("AUDITOR_JUNIT_SCHEMA")
    if not path:
        pytest.skip("AUDITOR_JUNIT_SCHEMA does not name junit-10.xsd")
    etree.XMLSchema(etree.parse(path)).assertValid(etree.fromstring(render_junit(of_scene(scene.name)).encode()))


@each(SCENES)
def test_a_suite_fails_when_the_audit_does(scene):
    report = of_scene(scene.name)
    for client in report.clients:
        suite = suites(report)[client.address]
        fails = any(reason.kind != "missing" for method in client.methods for reason in method.reasons)
        assert (suite.failures + suite.errors > 0) == fails


def test_what_is_blocked_is_a_failure_with_its_proof():
    case = next(case for case in suites(of_scene("smb-dropped"))["10.20.2.20"] if case.name == "client-push/smb")
    (failure,) = case.result
    assert (failure.type, failure.message.split(":")[0]) == ("blocked", "TCP 445 from 10.20.1.5 to 10.20.2.20")
    shown = "ip.addr == 10.20.1.5 && ip.addr == 10.20.2.20 && tcp.port == 52766 && tcp.port == 445"
    assert f"Evidence: frames 8, 9, 10; display filter: {shown}" in failure.text
    assert case.classname == "10.20.2.20.client-push"


@pytest.mark.parametrize(
    ("row", "kind"),
    [("icmp-echo", "Error"), ("smb", "Failure"), ("http-management-point", "Skipped")],
)
def test_each_verdict_has_its_outcome(row, kind):
    assert outcome(rich(), f"client-push/{row}") == kind


def test_what_is_open_passes():
    assert outcome(of_scene("smb-dropped"), "client-push/rpc-endpoint-mapper") == "passed"


def test_the_other_of_two_ways_does_not_fail_the_build():
    report = of_scene("mp-http-dropped-https-open")
    assert outcome(report, "client-push/http-management-point") == "Skipped"
    assert outcome(report, "client-push/https-management-point") == "passed"


def test_only_methods_that_were_asked_for_are_tested():
    report = dataclasses.replace(rich(), asked=("group-policy",))
    assert {case.classname for case in suites(report)["10.20.2.20"]} == {"10.20.2.20.group-policy"}


def test_informational_requirements_are_no_tests():
    names = {case.name for case in suites(rich())["10.20.2.20"]}
    assert "client-push/rpc-endpoint-mapper-udp" not in names
    assert "client-push/smb" in names


def test_nothing_found_is_never_a_success():
    (suite,) = suites(of_scene("quiet")).values()
    assert (suite.name, suite.errors) == ("sources", 1)


def test_a_source_that_was_not_read_in_full_is_an_error():
    assert suites(rich())["sources"].errors == 1
    assert suites(of_scene("smb-dropped"))["sources"].errors == 0


def test_one_suite_a_client():
    assert len(suites(fleet(300))) == 301


@pytest.mark.usefixtures("tshark")
def test_an_excused_requirement_does_not_fail_the_build():
    report = of_scene("service-port-dropped")  # the service controller's port is stopped, and its pipe is used instead
    (row,) = [one for one in report.clients[0].method("client-push").requirements if one.row == "rpc-dynamic"]
    assert row.verdict in r.FAILING
    assert outcome(report, row.id) == "Skipped"
