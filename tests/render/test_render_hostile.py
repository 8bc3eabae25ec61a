"""Hostile text in every field of a report, through every form: nothing is obeyed, broken or lost."""

from __future__ import annotations

import csv
import io
import json
import re
from collections.abc import Callable

import pytest
from hostile import MARK, PAYLOADS
from lxml import etree
from reports import fleet, planted, rich
from test_render_markdown import PARSER, harm
from test_render_requirement_rows import read
from test_render_sarif import LINK, URI, strings
from whole_texts import harmful

import auditor
from auditor import compare, redact
from auditor.render import comparison
from auditor.render.formats import FORMS, render
from auditor.render.tables.requirements import COLUMNS

pytestmark = pytest.mark.slow

each_payload = pytest.mark.parametrize("payload", PAYLOADS.values(), ids=PAYLOADS)
each_place = pytest.mark.parametrize(
    "place", [lambda text, old: text + old, lambda text, old: old + text], ids=["before", "after"]
)
Place = Callable[[str, str], str]
FORMULA = ("=", "+", "-", "@", "\uff1d", "\uff0b", "\uff0d", "\uff20")


def full_of(payload: str, place: Place, report: auditor.Report | None = None) -> auditor.Report:
    return planted(report or rich(), lambda old: place(payload, old))


def marks(text: str) -> int:
    """Count the mark wherever it is shown, also where a line is broken within it."""
    return re.sub(r"\s+", "", text).count(MARK)


def widely(report: auditor.Report, form: str) -> str:
    """Return a form whose columns break no word."""
    return report.to_text(width=5000) if form == "text" else render(report, form)


@each_place
@each_payload
@pytest.mark.parametrize("form", [form for form in FORMS if form not in ("sarif", "html")])
def test_no_form_obeys_or_loses_it(form, payload, place):
    report, benign = full_of(payload, place), full_of(MARK, place)
    assert harmful(render(report, form).replace("\r\n", "\n")) == []
    assert marks(widely(report, form)) >= marks(widely(benign, form)) > 0


@each_place
@each_payload
def test_html_holds_nothing_harmful(payload, place):
    """What it obeys and what it loses: test_render_html.py and, in a browser, test_html_in_chromium.py."""
    assert harmful(render(full_of(payload, place), "html")) == []


@each_place
@each_payload
def test_csv_stays_a_table(payload, place):
    text = render(full_of(payload, place), "csv")
    rows = read(text)
    assert {len(row) for row in rows} == {len(COLUMNS)}
    assert len(rows) == len(read(render(rich(), "csv")))
    for delimiter in ",;":  # as Excel reads it in English and in German
        cells = [cell for row in csv.reader(io.StringIO(text, newline=""), delimiter=delimiter) for cell in row]
        assert [cell for cell in cells if cell.lstrip(' "\r\n').startswith(FORMULA)] == []


@each_place
@each_payload
@pytest.mark.parametrize("many", [False, True], ids=["one client", "many clients"])
def test_markdown_keeps_its_structure(many, payload, place):
    report = fleet(7) if many else rich()
    text = render(full_of(payload, place, report), "markdown")
    assert harm(text) == []
    benign = render(full_of("x ", place, report), "markdown")
    assert [token.type for token in PARSER.parse(text)] == [token.type for token in PARSER.parse(benign)]


@each_place
@each_payload
def test_junit_keeps_its_structure(payload, place):
    root, benign = (
        etree.fromstring(render(full_of(text, place), "junit").encode(), etree.XMLParser(resolve_entities=False))
        for text in (payload, "x")
    )
    assert [one.tag for one in root.iter()] == [one.tag for one in benign.iter()]
    assert root.getroottree().docinfo.internalDTD is None


@each_place
@each_payload
def test_sarif_keeps_its_structure(payload, place):
    text = render(full_of(payload, place), "sarif")
    assert harmful(text) == []
    (run,) = json.loads(text)["runs"]
    (benign,) = json.loads(render(full_of(MARK, place), "sarif"))["runs"]
    assert [one["level"] for one in run["results"]] == [one["level"] for one in benign["results"]]
    messages = strings(run["results"], "text") + strings(run["invocations"], "text")
    assert [one for one in messages if LINK.search(one) or re.search(r"(?<!\{)\{(\{\{)*\d", one)] == []
    assert [one for one in strings(run, "uri") if not URI.fullmatch(one)] == []
    assert sum(map(marks, messages)) == sum(
        map(marks, strings(benign["results"], "text") + strings(benign["invocations"], "text"))
    )


@each_place
@each_payload
def test_json_comes_back_as_it_was(payload, place):
    report = full_of(payload, place)
    assert json.loads(render(report, "json")) == report.to_dict()


@each_payload
@pytest.mark.parametrize("form", comparison.FORMS)
def test_a_comparison_obeys_nothing(form, payload):
    before, after = (full_of(payload, lambda text, old: text + old, one) for one in (rich(), rich()))
    text = comparison.render(compare(before, after), form)
    assert harmful(text) == []
    assert MARK in text
    if form == "markdown":
        assert harm(text) == []


@each_place
@each_payload
def test_redaction_keeps_the_structure(payload, place):
    report = full_of(payload, place)
    redacted = redact(report)
    assert len(redacted.clients[0].methods) == len(report.clients[0].methods)
    for form in FORMS:
        assert harmful(render(redacted, form).replace("\r\n", "\n")) == []


# far too long


@pytest.mark.parametrize("form", [form for form in FORMS if form not in ("json", "jsonl")])
def test_a_name_of_ten_megabytes_is_cut(form):
    """JSON and JSON Lines are for programs and hold it whole."""
    path, long = rich().sources[0].path, "A" * 10_000_000
    report = planted(rich(), lambda old: long if old == path else old)
    text = render(report, form)
    assert len(text) < 2_000_000
    assert "A" * 1000 in re.sub(r"\s+", "", text)


def test_ten_megabytes_are_redacted():
    path, long = rich().sources[0].path, "A" * 10_000_000
    report = redact(planted(rich(), lambda old: old.replace(path, long)))
    assert "AAAA" not in report.to_json()
