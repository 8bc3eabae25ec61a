"""The page of a fleet, read back by a strict parser, and its data by a JSON parser."""

from __future__ import annotations

import base64
import dataclasses
import hashlib
import json
import re
from functools import cache
from itertools import pairwise
from typing import Any
from xml.etree.ElementTree import Element

import pytest
from fleet_sample import planted, sample
from hostile import MARK, PAYLOADS
from html_page import HTML, SVG, all_of, one_of, outline, parsed, words

from auditor.render.clean import clean
from auditor.render.fleet import html_hosts as fleet_hosts
from auditor.render.fleet.html import cause, headline, render_fleet_html, why
from auditor.report.fleet_model import Cause, MethodCount

pytestmark = pytest.mark.slow


@cache
def page_of(count: int) -> Element:
    return parsed(render_fleet_html(sample(count)))


def data(page: Element, name: str) -> Any:
    (found,) = (one for one in all_of(page, "script") if one.get("id") == name)
    return json.loads(found.text)


# the summary


def test_the_answer_comes_first_and_the_change_that_helps_most():
    header = words(one_of(page_of(2000), "header"))
    assert header.startswith(
        "Client push: 1,500 of 2,000 computers fail, 200 work, 100 unproven, 200 without evidence "
        "Most effective change: allow TCP 445, TCP 135 on the Windows Firewall of each client. Unblocks 900 of 1,500. "
        "Both changes together unblock 1,200 of 1,500."
    )


def results(works: int = 0, fails: int = 0, unproven: int = 0, no_evidence: int = 0):
    counts = MethodCount("client-push", "Client push installation", works, 0, fails, unproven, no_evidence)
    return dataclasses.replace(sample(0), methods=(counts,))


def test_changes_that_only_help_together_are_told_together():
    report = sample(40)
    first, second = report.changes
    first = dataclasses.replace(first, helps=0, remaining=30)
    report = dataclasses.replace(report, changes=(first, dataclasses.replace(second, helps=24)))
    assert why(report)[0] == (
        "Most effective 2 changes, together: allow TCP 445, TCP 135 on the Windows Firewall of each client; "
        "allow TCP 49667 on 10.9.0.1. Unblocks 24 of 30."
    )
    assert "Unblocks computers only together with the next change" in words(parsed(render_fleet_html(report)))


def test_where_no_change_helps_that_is_told():
    report = dataclasses.replace(sample(40), changes=())
    assert why(report)[0] == "No firewall change unblocks any of them."


@pytest.mark.parametrize(
    ("report", "told"),
    [
        (results(), "No computers in the sources"),
        (results(works=3), "Client push: 0 of 3 computers fail, 3 work, 0 unproven, 0 without evidence"),
        (results(works=3, no_evidence=1), "Client push: 0 of 4 computers fail, 3 work, 0 unproven, 1 without evidence"),
        (results(no_evidence=1), "Client push: 0 of 1 computer fail, 0 work, 0 unproven, 1 without evidence"),
        (results(fails=1), "Client push: 1 of 1 computer fails, 0 work, 0 unproven, 0 without evidence"),
    ],
    ids=["nobody", "all work", "some without evidence", "nothing known", "one fails"],
)
def test_hosts_without_evidence_are_never_fine(report, told):
    assert headline(report) == told
    parsed(render_fleet_html(report))


@pytest.mark.parametrize(
    ("of", "told"),
    [
        (Cause("unreachable", "", "", 1, ""), "the whole computer: unreachable."),
        (Cause("problem", "STATUS_X", "client-push/smb", 1, ""), "smb: open, but failed (STATUS_X)."),
        (Cause("blocked", "", "client-push/smb", 1, ""), "smb: blocked, and the port is closed."),
        (Cause("problem", "", "", 1, ""), ""),
    ],
    ids=["not reached", "a problem", "nobody listens", "nothing is told"],
)
def test_what_no_change_of_a_firewall_helps(of, told):
    assert cause(of) == told


def test_the_sections():
    assert [words(one) for one in all_of(page_of(2000), "h2")] == [
        "Changes to request, most effective first",
        "Not fixed by a firewall change",
        "Methods",
        "Failed requirements",
        "Where it fails",
        "Coverage",
        "Computers",
    ]


def test_all_that_is_counted_is_told():
    report, text = sample(2000), words(page_of(2000))
    told = [one.remedy for one in report.changes] + [*report.limitation_texts]
    told += [one.id.partition("/")[2] for one in report.requirements] + [one.name for one in report.subnets]
    told += [one.name for one in (*report.sites, *report.directions, *report.devices)]
    told += [one.remedy for one in report.causes]
    told += [text for one in report.unreadable for text in (one.path, one.host, one.error, one.action)]
    assert [one for one in told if one not in text] == []


def test_a_bar_is_as_long_as_what_it_counts():
    (bar,) = all_of(one_of(page_of(2000), "header"), "svg", "bar")
    parts = [(one.get("class"), float(one.get("x")), float(one.get("width"))) for one in bar.iter(SVG + "rect")]
    assert parts[1:] == [("bad", 0, 75), ("unsure", 75, 5), ("untried", 80, 10), ("good", 90, 10)]


def test_what_is_too_much_for_a_page_is_told():
    report = sample(40)
    subnets = tuple(dataclasses.replace(report.subnets[0], name=f"10.{n // 250}.{n % 250}.0/24") for n in range(2000))
    text = words(parsed(render_fleet_html(dataclasses.replace(report, subnets=subnets))))
    assert "1,990 more" in text
    assert "And 1,500 more (fleet.json)." in text


def test_without_scripts_the_list_is_pointed_to():
    (told,) = all_of(page_of(40), "noscript")
    assert "requires scripts" in words(told)
    assert "hosts.csv" in words(told)


# the data


def test_every_host_is_in_the_list_also_those_without_any_source():
    report, listed = sample(200), data(page_of(200), "hosts")
    assert sorted(listed["names"]) == sorted([*(host.host for host in report.hosts), *report.expected])
    n = listed["names"].index(report.expected[0])
    assert listed["results"][listed["outcomes"][listed["outcome"][n]][listed["main"]][0]] == "no-evidence"
    assert listed["files"][n] == 0


def test_a_host_comes_back_as_it_was():
    report, page = sample(250), page_of(250)
    listed, texts = data(page, "hosts"), data(page, "texts")
    for n in (0, 101, 234):
        host = report.hosts[n]
        told = data(page, f"block-{n // listed['block']}")[n % listed["block"]]

        def text(number: int, host=host) -> str:
            return texts[number].replace(fleet_hosts.NAME, host.host).replace(fleet_hosts.ADDRESS, host.addresses[0])

        assert [text(one) for one in told[0]] == list(host.files)
        assert told[1] == host.records
        for one, seen in zip(told[6], host.seen, strict=True):
            assert text(one[0]) == seen.requirement
            assert [text(one[15]), text(one[16])] == [seen.explanation, seen.remedy]
            path, lines, frames, display_filter, said = one[18][0]
            proof = seen.proof[0]
            assert (text(path), tuple(lines), tuple(frames)) == (proof.path, proof.lines, proof.frames)
            assert (text(display_filter), text(said)) == (proof.display_filter, proof.text)


def test_of_too_many_hosts_those_that_fail_keep_their_details(monkeypatch):
    monkeypatch.setattr(fleet_hosts, "MOST_BYTES", 20_000)
    page = parsed(render_fleet_html(sample(200)))
    listed = data(page, "hosts")
    details = data(page, "block-0") + data(page, "block-1")
    kept = {listed["outcomes"][listed["outcome"][n]][0][0] for n, one in enumerate(details) if one}
    assert {listed["results"][one] for one in kept} == {"fails"}
    assert len(listed["names"]) == 200
    assert f"the evidence of {details.count(0)} computers is in fleet.json" in words(page)


@pytest.mark.parametrize("name", ["10.1.0.20", "1", "", "PC000000"])
def test_names_that_are_within_other_texts(name):
    report = sample(20)
    host = dataclasses.replace(report.hosts[0], host=name)
    page = parsed(render_fleet_html(dataclasses.replace(report, hosts=(host,), expected=())))
    texts = data(page, "texts")
    told = data(page, "block-0")[0][6][1][15]
    assert texts[told].replace(fleet_hosts.NAME, name).replace(fleet_hosts.ADDRESS, "10.1.0.20") == (
        host.seen[1].explanation
    )


def test_addresses_with_blanks_stay_whole():
    report = sample(20)
    host = dataclasses.replace(report.hosts[0], addresses=("10.1.0.20 and more", "fe80::1"))
    page = parsed(render_fleet_html(dataclasses.replace(report, hosts=(host,))))
    assert data(page, "hosts")["addresses"][0].split("\n") == ["10.1.0.20 and more", "fe80::1"]


# the page itself


def test_it_is_sound_and_loads_nothing():
    page = page_of(200)
    for one in page.iter():
        assert one.tag.removeprefix(HTML) not in ("img", "link", "iframe", "object", "base", "form", "audio", "video")
        assert not any(name in one.attrib for name in ("src", "srcset", "action", "style", "data"))
        assert not any(name.startswith("on") for name in one.attrib)
        assert one.get("href", "#").startswith("#")
    assert not re.search(r"url\(|@import|https?:", one_of(page, "style").text)


def test_links_within_the_page_lead_somewhere():
    page = page_of(200)
    ids = {one.get("id") for one in page.iter()}
    assert {one.get("href")[1:] for one in all_of(page, "a")} <= ids


def test_the_policy_allows_only_its_own_style_and_scripts():
    page = page_of(200)
    (policy,) = (one.get("content") for one in all_of(page, "meta") if one.get("http-equiv"))
    run = [one_of(page, "style"), *(one for one in all_of(page, "script") if not one.get("type"))]
    style, *scripts = (
        f"'sha256-{base64.b64encode(hashlib.sha256(one.text.encode()).digest()).decode()}'" for one in run
    )
    assert policy == (
        f"default-src 'none'; style-src {style}; script-src {' '.join(scripts)}; base-uri 'none'; form-action 'none'"
    )


def test_headings_and_tables_are_told_to_those_who_cannot_see():
    page = page_of(200)
    levels = [int(one.tag[-1]) for one in page.iter() if re.fullmatch(rf"{HTML}h[1-6]", str(one.tag))]
    assert levels[0] == 1
    assert levels.count(1) == 1
    assert all(after <= before + 1 for before, after in pairwise(levels))
    for table in all_of(page, "table"):
        assert all_of(table, "caption")
        assert all(one.get("scope") in ("row", "col") for one in all_of(table, "th"))


def test_the_same_report_gives_the_same_bytes():
    assert render_fleet_html(sample(200)) == render_fleet_html(sample(200))


# hostile text


@pytest.mark.parametrize("payload", PAYLOADS.values(), ids=PAYLOADS)
def test_nothing_is_obeyed_or_lost(payload):
    page, benign = (
        parsed(render_fleet_html(planted(sample(20), lambda old, what=what: what + old))) for what in (payload, MARK)
    )
    assert outline(page) == outline(benign)
    for text, expected in zip(told(page), told(benign), strict=True):
        assert text.count(MARK) >= expected.count(MARK) > 0
        assert [
            one for one in text if one not in f"\n{fleet_hosts.NAME}{fleet_hosts.ADDRESS}" and clean(one) != one
        ] == []


def told(page: Element) -> list[str]:
    """Return the words of the summary, those of the list of hosts, and those of their details."""
    return [
        "".join(one_of(page, "main").itertext()),
        *("\n".join(strings(data(page, name))) for name in ("hosts", "texts")),
    ]


@pytest.mark.parametrize(
    "payload", ["</script><script>PWND()</script>", "<!--<script>PWND()", "\u2028PWND", "\ud800PWND"]
)
def test_data_stays_data(payload):
    page = render_fleet_html(planted(sample(20), lambda old: payload + old))
    blocks = re.findall(r'<script type="application/json"[^>]*>(.*?)</script>', page, re.S)
    assert len(blocks) == 3
    for block in blocks:
        json.loads(block)
        assert block.isascii()
        assert "<" not in block


def strings(value: Any) -> list[str]:
    if isinstance(value, str):
        return [value]
    if isinstance(value, dict):
        value = [*value.values()]
    return [text for one in value for text in strings(one)] if isinstance(value, list) else []
