"""The report of a fleet as JSON: its form, the same bytes, read back as it was, and clear words where it is none."""

from __future__ import annotations

import copy
import io
import json
import pickle
import tempfile
from pathlib import Path
from typing import Any

import pytest
from fleets import fleet, host, planted, site
from hypothesis import given
from hypothesis import strategies as st
from jsonschema import Draft202012Validator
from reports import rich
from test_fleet_report import fleets
from whole_texts import HOSTILE, harmful

import auditor
from auditor import FleetReport, Report, load_fleet, load_report
from auditor.errors import ReportError
from auditor.fleet.output_folder import FORMS, write_form
from auditor.report.fleet_as_json import fleet_as_dict, fleet_schema, render_fleet_json, write_fleet_json
from auditor.report.fleet_load import load_saved
from auditor.report.load import checker

pytestmark = pytest.mark.slow


def write(path: Path, text: str) -> Path:
    path.write_bytes(text.encode())
    return path


@pytest.fixture
def saved(tmp_path: Path) -> Path:
    return write(tmp_path / "fleet.json", render_fleet_json(site()))


# its form


def test_the_document_is_as_its_schema_says():
    Draft202012Validator.check_schema(fleet_schema())
    Draft202012Validator(fleet_schema()).validate(json.loads(render_fleet_json(site())))


def test_a_document_of_nobody_is_as_its_schema_says_too():
    Draft202012Validator(fleet_schema()).validate(json.loads(render_fleet_json(fleet([]))))


def test_the_text_and_the_dictionaries_are_the_same():
    assert json.loads(render_fleet_json(site())) == fleet_as_dict(site())


def test_a_host_that_a_worker_sends_back_is_the_same_host():
    assert pickle.loads(pickle.dumps(site().hosts)) == site().hosts


def test_each_host_is_a_line():
    text = render_fleet_json(site()).splitlines()
    hosts = text[text.index('  "hosts": [') + 1 :][: len(site().hosts)]
    assert [json.loads(line.rstrip(","))["host"] for line in hosts] == [one.host for one in site().hosts]


def test_same_hosts_same_bytes():
    again = fleet(reversed(fleet(site().hosts).hosts))
    assert render_fleet_json(again) == render_fleet_json(fleet(site().hosts))


def test_the_file_has_the_same_bytes_as_the_text():
    out = io.BytesIO()
    write_fleet_json(site(), out)
    assert out.getvalue() == render_fleet_json(site()).encode()


@pytest.mark.parametrize("text", HOSTILE.values(), ids=HOSTILE)
def test_hostile_text_does_no_harm_and_comes_back_as_it_was(text, tmp_path):
    report = planted(site(), lambda value: f"{text}{value}")
    shown = render_fleet_json(report)
    assert harmful(shown) == []
    assert load_fleet(write(tmp_path / "fleet.json", shown)) == report


# read back


@given(fleets)
def test_it_comes_back_as_it_was(hosts):
    report = fleet(hosts)
    assert auditor.FleetReport.from_dict(json.loads(render_fleet_json(report))) == report


def test_it_comes_back_from_a_file(saved):
    assert load_fleet(saved) == FleetReport.of(load_saved(saved)) == site()


@pytest.mark.parametrize("encoding", ["utf-8-sig", "utf-16"])
def test_a_file_that_windows_saved_in_its_own_way(encoding, tmp_path):
    path = tmp_path / "fleet.json"
    path.write_text(render_fleet_json(site()), encoding=encoding)
    assert load_fleet(path) == site()


@pytest.mark.parametrize("indent", [None, 2])
def test_a_file_that_another_program_wrote_in_other_lines(indent, tmp_path):
    path = write(tmp_path / "fleet.json", json.dumps(fleet_as_dict(site()), indent=indent))
    assert load_fleet(path) == site()


def test_a_saved_report_of_one_audit_is_still_one(tmp_path):
    path = write(tmp_path / "report.json", rich().to_json())
    assert Report.of(load_saved(path)) == rich()
    with pytest.raises(ReportError, match="this is JSON, but not the report of a fleet"):
        load_fleet(path)


def test_a_fleet_is_no_report_of_one_audit(saved):
    with pytest.raises(ReportError, match="this is the report of a fleet, not of one audit"):
        load_report(saved)


def test_a_large_file_is_read_host_by_host(saved, monkeypatch):
    monkeypatch.setattr("auditor.report.fleet_load.read_json", lambda *_: pytest.fail("it was read as a whole"))
    assert load_fleet(saved) == site()


@pytest.mark.parametrize("document", ["{}", "[]", "null", "1"])
def test_a_line_that_is_no_host_is_said_to_be_none(document, saved):
    lines = saved.read_text().splitlines()
    lines[lines.index('  "hosts": [') + 2] = f"    {document},"
    saved.write_text("\n".join(lines))
    with pytest.raises(ReportError, match=r"hosts\[1\] must (contain|be)"):
        load_fleet(saved)


# clear words


def changed(**parts: Any) -> dict[str, Any]:
    return copy.deepcopy(fleet_as_dict(site())) | parts


def host_of(document: dict[str, Any], **parts: Any) -> dict[str, Any]:
    document["hosts"][0] |= parts
    return document


WRONG = {
    "another version": (
        changed(format_version=3),
        "from a later auditor .format_version 3, supported: 2.. Install the newer",
    ),
    "an earlier version": (
        changed(format_version=1),
        "from an earlier auditor .format_version 1, supported: 2.. Create it again",
    ),
    "no version": (changed(format_version="1"), "not the report of a fleet"),
    "a list": ([], "not the report of a fleet"),
    "a word for a number": (host_of(changed(), records="many"), r"hosts\[0\]\.records must be integer"),
    "a number that no table holds": (
        host_of(changed(), records=2**63),
        r"hosts\[0\]\.records must be smaller than",
    ),
    "no such result": (
        host_of(changed(), outcomes=[{"method": "m", "result": "fine", "failed": [], "unverified": []}]),
        r"hosts\[0\]\.outcomes\[0\]\.result must be one of \['works'",
    ),
    "an unknown key": (host_of(changed(), more=1), r"hosts\[0\] must not contain \{'more'\} properties"),
    "a method left out": (host_of(changed(), outcomes=[]), "host HQ-01 does not have one outcome for each method"),
    "blame for what was not seen": (host_of(changed(), seen=[]), "host HQ-01 fails for client-push/smb"),
    "a host left out": (changed(hosts=[]), "the counts of client-push are not those of the hosts"),
    "a missing host left out": (changed(expected=[]), "coverage.hosts is not the number of hosts"),
    "an unknown method recommended": (
        host_of(changed(), recommended=["pull"]),
        "host HQ-01 recommends the unknown method pull",
    ),
    "no main method": (changed(main="pull"), "main is the unknown method pull"),
    "a host twice": (changed(hosts=[changed()["hosts"][0]] * 2), "Berlin/HQ-01 is more than once among hosts"),
}


@pytest.mark.parametrize(("document", "said"), WRONG.values(), ids=WRONG)
def test_what_is_wrong_is_said(document, said, tmp_path):
    for load in (load_fleet, lambda path: auditor.FleetReport.from_dict(json.loads(path.read_text()))):
        with pytest.raises(ReportError, match=said) as told:
            load(write(tmp_path / "fleet.json", json.dumps(document)))
        assert str(told.value).count("\n") == 0


def test_a_file_that_ends_early_is_said_to_do_so_wherever_it_ends(tmp_path):
    whole = render_fleet_json(fleet([host("A", "smb blocked at client"), host("B")]))
    for end in range(1, len(whole) - 2, 97):
        with pytest.raises(ReportError) as told:
            load_fleet(write(tmp_path / "fleet.json", whole[:end]))
        assert "auditor batch" in str(told.value) or "ends in the middle" in str(told.value)


@pytest.mark.parametrize("content", [b"", b"\0\0", b"\xd4\xc3\xb2\xa1", b"hosts", b'{"kind": "fleet"}', b"[" * 100_000])
def test_files_that_are_no_report(content, tmp_path):
    path = tmp_path / "fleet.json"
    path.write_bytes(content)
    with pytest.raises(ReportError):
        load_fleet(path)


def test_a_folder_and_no_file(tmp_path):
    for path in (tmp_path, tmp_path / "none"):
        with pytest.raises(ReportError):
            load_fleet(path)


JSON = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**70), 2**70) | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
)


def places_of(value: Any) -> list[tuple[Any, Any]]:
    """Return every container of a document with every key or index in it."""
    inner = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    return [place for key, one in inner for place in ((value, key), *places_of(one))]


@given(st.data(), JSON)
def test_what_is_not_as_the_schema_says_is_no_report(data, replacement):
    document = fleet_as_dict(fleet([host("A", "smb STATUS_ACCESS_DENIED"), host("B", "icmp-echo blocked at client")]))
    container, key = data.draw(st.sampled_from(places_of(document)))
    container[key] = replacement
    if Draft202012Validator(fleet_schema()).is_valid(document):
        checker(fleet_schema())(document)
    else:
        with pytest.raises(ReportError):
            auditor.FleetReport.from_dict(document)


ODD = ["", "\ud800", "9999-99-99T99:99:99Z", "0001-01-01T00:00:00+23:59", "=1", "\0", "10.0.0.1/33", "x" * 5000]


@given(st.data(), st.sampled_from([*ODD, -1, 0, 2**53, [], {}, None]), st.integers(0, 1))
def test_what_is_read_can_be_written_in_every_form(data, replacement, copies):
    document = fleet_as_dict(fleet([host("A", "smb STATUS_ACCESS_DENIED"), host("B", "icmp-echo blocked at client")]))
    for _ in range(1 + copies):
        container, key = data.draw(st.sampled_from(places_of(document)))
        container[key] = copy.deepcopy(replacement)
    with tempfile.TemporaryDirectory() as folder:
        path = write(Path(folder) / "fleet.json", json.dumps(document))
        try:
            report = load_fleet(path)
        except ReportError:
            return
    for form in FORMS:
        write_form(report, form, io.BytesIO())
