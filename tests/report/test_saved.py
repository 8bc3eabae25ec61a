"""A saved report: read back as it was, and clear words for a file that is none."""

from __future__ import annotations

import copy
import json
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner
from hypothesis import given
from hypothesis import strategies as st
from jsonschema import Draft202012Validator
from logs import log
from reports import of_scene, rich
from scenes import SCENES, each

import auditor
from auditor import load_report
from auditor.cli.commands import cli
from auditor.errors import ReportError
from auditor.render.formats import FORMS, render
from auditor.report.as_json import schema
from auditor.report.load import _parsed, checker

pytestmark = pytest.mark.slow


@each(SCENES)
def test_a_report_is_the_same_when_it_comes_back(scene, tmp_path):
    report, path = of_scene(scene.name), tmp_path / "report.json"
    path.write_text(report.to_json(), encoding="utf-8")
    assert load_report(path) == report


@pytest.mark.parametrize("form", FORMS)
@each(SCENES)
def test_a_saved_report_gives_the_same_bytes_in_every_form(scene, form, tmp_path):
    report, path = of_scene(scene.name), tmp_path / "report.json"
    path.write_bytes(report.to_json().encode())
    assert render(load_report(path), form) == render(report, form)


@pytest.mark.parametrize("form", FORMS)
def test_render_and_analyze_write_the_same(form, tmp_path):
    capture, saved = next(one for one in SCENES if one.name == "smb-dropped").captures[0], str(tmp_path / "report.json")
    asked = ["--no-dissect", "--method", "group-policy"]
    run("analyze", capture, *asked, "--format", "json", "-o", saved)
    assert run("render", saved, "--format", form) == run("analyze", capture, *asked, "--format", form)


def run(*arguments: str) -> bytes:
    return CliRunner().invoke(cli, arguments, standalone_mode=False, catch_exceptions=False).stdout_bytes


def test_render_reads_standard_input():
    text = rich().to_json()
    done = CliRunner().invoke(cli, ["render", "-", "--format", "json"], input=text, standalone_mode=False)
    assert done.stdout == text


def test_render_never_writes_over_the_report(tmp_path):
    path = tmp_path / "report.json"
    path.write_text(rich().to_json(), encoding="utf-8")
    done = CliRunner().invoke(cli, ["render", str(path), "-o", str(path), "--force"], standalone_mode=False)
    assert "one of the files being read" in str(done.exception)


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16"])
def test_a_report_that_windows_saved_in_its_own_way(encoding, tmp_path):
    path = tmp_path / "report.json"
    path.write_text(rich().to_json(), encoding=encoding)
    assert load_report(path) == rich()


def test_a_file_name_that_is_no_text_comes_back():
    document = json.loads(rich().to_json().replace("return-path-dropped-client.pcap", r"caf\udce9.pcap"))
    assert json.loads(auditor.Report.from_dict(document).to_json()) == document


# what is no report


def told(path: Path) -> str:
    with pytest.raises(ReportError) as caught:
        load_report(path)
    text = str(caught.value)
    assert text.startswith(f"{path}: ")
    assert "\n" not in text
    return text.removeprefix(f"{path}: ")


SAVED = rich().to_json().encode()
NO_REPORTS = {
    "empty": (b"", "the file is empty"),
    "blank": (b" \n\0", "the file is empty"),
    "capture": (b"\xd4\xc3\xb2\xa1\x02\x00\x04\x00" + bytes(16), "this is no"),
    "text": (b"10.20.2.20: Client push installation: FAILS", "this is no JSON"),
    "other JSON": (b'{"clients": []}', "this is JSON, but no report of auditor"),
    "a list": (b"[1, 2]", "this is JSON, but no report of auditor"),
    "a later one": (
        SAVED.replace(b'"format_version": 2', b'"format_version": 3'),
        "this report is from a later auditor (format_version 3, supported: 2). Install the newer version",
    ),
    "an earlier one": (
        SAVED.replace(b'"format_version": 2', b'"format_version": 1'),
        "this report is from an earlier auditor (format_version 1, supported: 2). Save it again",
    ),
    "cut in a text": (SAVED[: SAVED.index(b"Client push") + 5], "the report ends in the middle, in line"),
    "cut after a value": (SAVED[:-40], "the report ends in the middle, in line"),
    "a comma lost": (SAVED.replace(b'"asked": [', b'"asked" [', 1), "invalid JSON: Expecting ':' delimiter"),
    "deep": (
        b'{"format_version": 2, "clients": ' + b"[" * 200_000 + b"]" * 200_000 + b"}",
        "the file is nested too deeply",
    ),
    "a long number": (b'{"format_version": ' + b"1" * 10_000 + b"}", "invalid JSON"),
    "no number": (b'{"format_version": NaN}', "invalid JSON: NaN is not a number"),
}


@pytest.mark.parametrize(("content", "what"), NO_REPORTS.values(), ids=NO_REPORTS)
def test_what_is_no_report_is_told_in_one_line(content, what, tmp_path):
    path = tmp_path / "file.json"
    path.write_bytes(content)
    assert told(path).startswith(what)


def test_a_missing_file_and_a_folder(tmp_path):
    assert told(tmp_path / "missing.json") == "no such file. Check the path."
    if sys.platform != "win32":
        assert told(tmp_path) == "this is a folder. Name a saved report in it."


def test_a_huge_file_is_refused_before_it_is_parsed(tmp_path, monkeypatch):
    monkeypatch.setattr("auditor.report.load.MOST_BYTES", 1000)
    path = tmp_path / "huge.json"
    path.write_bytes(SAVED)
    assert told(path).startswith("the file is larger than 1 GiB")


@pytest.mark.parametrize("cut", range(1, len(SAVED) - 2, len(SAVED) // 60))
def test_a_report_cut_anywhere_is_never_read(cut, tmp_path):
    path = tmp_path / "cut.json"
    path.write_bytes(SAVED[:cut])
    assert told(path)


# what was changed by hand

Edit = Callable[[dict[str, Any]], object]
EDITED: dict[str, tuple[Edit, str]] = {
    "a verdict": (
        lambda one: row(one).update(verdict="closed"),
        "clients[0].methods[0].requirements[1].verdict must be one of ['open'",
    ),
    "no evidence": (
        lambda one: row(one).update(evidence=[]),
        "clients[0].methods[0].requirements[1].evidence must contain at least 1 items",
    ),
    "a port": (
        lambda one: row(one).update(ports=[70000]),
        "clients[0].methods[0].requirements[1].ports[0] must be smaller than or equal to 65535",
    ),
    "a flag as number": (
        lambda one: row(one).update(attempts=True),
        "clients[0].methods[0].requirements[1].attempts must be integer",
    ),
    "a text as list": (lambda one: one.update(limitations="none"), "limitations must be array"),
    "a key lost": (lambda one: one.pop("roles"), "it must contain ['roles'] properties"),
    "a key more": (lambda one: one.update(note="mine"), "it must not contain {'note'} properties"),
    "a time": (
        lambda one: one["sources"][0].update(first_time="yesterday"),
        "sources[0].first_time must match pattern ^[0-9]{4}",
    ),
    "a source of nowhere": (
        lambda one: row(one)["evidence"][0].update(source=9),
        "client-push/smb for 10.20.2.20 has evidence of source 9, but there are 2 sources",
    ),
    "no methods": (
        lambda one: one["clients"][0].update(methods=[], recommendation=[]),
        "client 10.20.2.20 has no methods",
    ),
    "an unknown method": (
        lambda one: one["clients"][0]["recommendation"][0].update(method="magic"),
        "client 10.20.2.20 has the unknown recommendation magic",
    ),
    "a client twice": (
        lambda one: one["clients"].append(one["clients"][0]),
        "10.20.2.20 is more than once among clients",
    ),
    "an unknown reason": (
        lambda one: one["clients"][0]["methods"][0]["reasons"][0].update(requirement="x/y"),
        "client-push for 10.20.2.20 has the unknown reason x/y",
    ),
}


def row(document: dict[str, Any]) -> dict[str, Any]:
    """Return the requirement client-push/smb."""
    return document["clients"][0]["methods"][0]["requirements"][1]


@pytest.mark.parametrize(("edit", "what"), EDITED.values(), ids=EDITED)
def test_a_report_changed_by_hand_is_told_where(edit, what):
    document = copy.deepcopy(rich().to_dict())
    edit(document)
    with pytest.raises(ReportError, match="invalid report") as caught:
        auditor.Report.from_dict(document)
    assert str(caught.value).startswith(f"report: invalid report: {what}")


def places(value: Any, path: tuple[Any, ...] = ()) -> list[tuple[Any, ...]]:
    inner = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    return [path, *(place for key, one in inner for place in places(one, (*path, key)))]


PLACES = places(rich().to_dict())
OTHERS = st.sampled_from(
    [None, True, 0, -1, 1.5, 70000, "", "x", "open", "2026-11-23T06:50:01.000000Z", [], {}, ["x"], [0], 10**30]
)


@given(st.sampled_from(PLACES[1:]), OTHERS)
def test_what_is_not_as_the_schema_says_is_no_report(path, other):
    document = copy.deepcopy(rich().to_dict())
    *way, last = path
    inner: Any = document
    for step in way:
        inner = inner[step]
    inner[last] = other
    if Draft202012Validator(schema()).is_valid(document):
        checker(schema())(document)
    else:
        with pytest.raises(ReportError, match=r"^[^\n]{1,500}$"):
            auditor.Report.from_dict(document)


@given(st.binary(max_size=200))
def test_any_bytes_are_told_in_one_line(content):
    with pytest.raises(ReportError, match=r"^file: "):
        auditor.Report.from_dict(_parsed(content, "file"), "file")


@pytest.mark.parametrize("key", ["x" * 10_000, "\x1b[2J\n", "\udce9", "\u202e"])
def test_a_hostile_key_is_told_in_one_short_line(key):
    with pytest.raises(ReportError, match=r"^[ -~]{1,500}$"):
        auditor.Report.from_dict(rich().to_dict() | {key: 1})


def test_a_whole_number_may_be_written_as_a_fraction():
    document = rich().to_dict()
    document["sources"][0]["bytes"] = float(document["sources"][0]["bytes"])
    assert auditor.Report.from_dict(document).to_json() == rich().to_json()


def test_it_is_part_of_the_public_api():
    assert auditor.load_report is load_report


def test_a_report_on_a_log_of_local_times_is_read_back(tmp_path):
    path = tmp_path / "pfirewall.log"
    path.write_bytes(log("2024-06-05 10:00:00 DROP TCP 10.0.0.5 10.0.1.1 50000 445 52 S 7 0 8192 - - - RECEIVE"))
    report = auditor.audit(path)

    (tmp_path / "saved.json").write_text(report.to_json())
    assert load_report(tmp_path / "saved.json") == report
