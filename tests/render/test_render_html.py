"""The HTML page, read back by a strict parser that others wrote (html5lib)."""

from __future__ import annotations

import base64
import dataclasses
import hashlib
import re
from functools import cache
from itertools import pairwise
from xml.etree.ElementTree import Element

import pytest
from hostile import MARK, PAYLOADS
from html5lib import HTMLParser
from html_page import HTML, SVG, all_of, one_of, outline, outside_drawings, parsed, words
from reports import fleet, of_scene, planted, rich, sentences
from scenes import SCENES, each

import auditor
from auditor.render import wording
from auditor.render.answer import Answers, limitations
from auditor.render.clean import clean
from auditor.render.html import diagrams as drawing
from auditor.render.html import report as html
from auditor.render.html.report import render_html, render_part

pytestmark = pytest.mark.slow

ADDRESS = re.compile(r"\b10\.20\.\d+\.\d+\b")


@cache
def page_of(name: str) -> Element:
    return parsed(render_html(of_scene(name)))


def drawing_of(root: Element, title: str) -> Element:
    (found,) = (one for one in all_of(root, "svg") if one.get("aria-label") == title)
    return found


def labels(svg: Element) -> list[str]:
    return [words(one) for one in all_of(svg, "text", "label")]


# what it tells


def test_result_and_cause_come_first():
    header = one_of(page_of("smb-dropped"), "header")
    assert words(one_of(header, "h1")) == "FAILS client push to 10.20.2.20 (client01.contoso.example)"
    assert words(header).split(" (client01.contoso.example) ")[1].startswith("Cause: TCP 445 from 10.20.1.5 to")


def test_the_sections():
    assert [words(one) for one in all_of(page_of("smb-dropped"), "h2")] == [
        "What to do",
        "Connections",
        "Requirements",
        "Evidence",
        "Other methods (not attempted, so not ruled out)",
        "Time line",
        "Requirements of other methods",
        "Limitations",
        "Sources and roles",
    ]


def test_the_ladder_of_silence():
    svg = drawing_of(page_of("smb-dropped"), "tcp 445 from site server 10.20.1.5 to client 10.20.2.20")
    assert labels(svg) == ["SYN · frame 8", "SYN · frame 9", "SYN · frame 10", "no response"]
    assert [words(one) for one in all_of(svg, "text", "small")] == ["+0.000 s", "+1.011 s", "+3.027 s"]
    assert all_of(svg, "desc")[0].text.endswith("; then no response.")


def test_a_device_that_forbids_stands_between_and_what_it_forbids_goes_no_further():
    page = page_of("rpc-135-prohibited")
    title = "tcp 135 from site server 10.20.1.5 to client 10.20.2.20"
    assert labels(drawing_of(page, title)) == ["SYN · frame 54", "ICMP 3/13 · frame 55"]
    ladder = drawn_ladder("rpc-135-prohibited", "client-push/rpc-endpoint-mapper")
    assert [host.address[-1] for host in ladder.hosts] == ["10.20.1.5", "10.20.1.1", "10.20.2.20"]
    assert [rung.end for rung in ladder.rungs] == [ladder.hosts[1].x, ladder.hosts[0].x]


def drawn_ladder(scene: str, requirement: str) -> drawing.Ladder:
    report = of_scene(scene)
    (ladder,) = drawing.ladders(requirement_of(report, requirement), report)
    return ladder


def requirement_of(report: auditor.Report, name: str):
    return next(one for one in report.clients[0].method("client-push").requirements if one.id == name)


@pytest.mark.parametrize(
    ("scene", "requirement", "whats"),
    [
        ("smb-reset", "client-push/smb", ["SYN", "RST"]),
        ("client-off-same-subnet", "client-push/smb", ["who has 10.20.1.20?"] * 6 + ["no response"]),
        ("wrong-password", "client-push/smb", ["SYN", "SYN-ACK", "STATUS_LOGON_FAILURE"]),
        ("echo-dropped", "client-push/icmp-echo", ["request", "no response"]),
        ("ended-after-first-syn", "client-push/smb", ["SYN"]),
    ],
)
def test_ladders(scene, requirement, whats):
    ladder = drawn_ladder(scene, requirement)
    assert [rung.label.partition(" · ")[0] for rung in ladder.rungs] == whats


@pytest.mark.parametrize(
    ("scene", "stop", "known", "back"),
    [
        ("smb-dropped", drawing.MIDDLE, False, False),
        ("both-ends-dropped-between", drawing.MIDDLE, True, False),
        ("both-ends-dropped-on-client", drawing.END - 10, True, False),
        ("return-path-dropped", drawing.MIDDLE, True, True),
    ],
    ids=["nobody knows where", "between", "at the client", "the answer between"],
)
def test_the_picture_stops_where_it_was_stopped(scene, stop, known, back):
    leg, *_ = drawing.legs(of_scene(scene).clients[0].method("client-push"))
    smb = next(one for one in leg.arrows if one.name == "smb")
    assert (smb.state, smb.stop, smb.stop_known, smb.back) == (drawing.BAD, stop, known, back)
    assert all(one.stop is None for one in leg.arrows if one is not smb)


def test_the_same_packets_are_drawn_once():
    assert words(page_of("client-off-same-subnet")).count("who has 10.20.1.20? · frame 1") == 1


@each(SCENES)
def test_it_tells_what_the_text_tells(scene):
    report, text = of_scene(scene.name), words(page_of(scene.name))
    for client in report.clients:
        main = wording.main_method(client, report.asked)
        for one in wording.evidence_requirements(main):
            proofs = (wording.frames(proof, report.sources) for proof in one.evidence)
            filters = (proof.display_filter for proof in one.evidence)
            for told in (one.explanation, *(p.text for p in one.problems), *proofs, *filters):
                assert clean(told) in text
        for told in sentences(Answers(report).of(client, main)):
            assert clean(told) in text
    for told in (*limitations(report), *(source.path for source in report.sources)):
        assert clean(told) in text


def test_nobody():
    assert words(one_of(page_of("quiet"), "h1")) == "No client installation was audited"


def test_a_report_of_before_the_packets_has_no_ladders():
    document = rich().to_dict()
    for method in document["clients"][0]["methods"]:
        for one in method["requirements"]:
            for proof in one["evidence"]:
                del proof["packets"]
    report = auditor.Report.from_dict(document)
    assert "SYN · frame" not in render_html(report)
    assert "frames 7, 8, 9" in render_html(report)


@pytest.mark.parametrize("moment", ["2026-13-45T99:99:99.000000Z", "0000-00-00T00:00:00.000000Z"])
def test_days_that_never_were_are_not_drawn(moment):
    document = rich().to_dict()
    for one in document["clients"][0]["methods"][0]["requirements"]:
        one["first_time"] = one["last_time"] = moment
        for packet in (packet for proof in one["evidence"] for packet in proof["packets"]):
            packet["time"] = moment
    parsed(render_html(auditor.Report.from_dict(document)))


# the page itself


@each(SCENES)
def test_it_is_sound_and_loads_nothing(scene):
    page = page_of(scene.name)
    for one in page.iter():
        assert one.tag.removeprefix(HTML) not in ("img", "link", "iframe", "object", "base", "form", "audio", "video")
        assert not any(name in one.attrib for name in ("src", "srcset", "action", "style", "data"))
        assert not any(name.startswith("on") for name in one.attrib)
        assert one.get("href", "#").startswith("#")
    assert not re.search(r"url\(|@import|https?:", one_of(page, "style").text)


def test_the_policy_allows_only_its_own_style_and_script():
    page = page_of("smb-dropped")
    (policy,) = (one.get("content") for one in all_of(page, "meta") if one.get("http-equiv"))
    allowed = [
        f"'sha256-{base64.b64encode(hashlib.sha256(one_of(page, name).text.encode()).digest()).decode()}'"
        for name in ("style", "script")
    ]
    assert policy == (
        f"default-src 'none'; style-src {allowed[0]}; script-src {allowed[1]}; base-uri 'none'; form-action 'none'"
    )


@each(SCENES)
def test_headings_tables_and_drawings_are_told_to_those_who_cannot_see(scene):
    page = page_of(scene.name)
    levels = [int(one.tag[-1]) for one in page.iter() if re.fullmatch(rf"{HTML}h[1-6]", one.tag)]
    assert levels[0] == 1
    assert levels.count(1) == 1
    assert all(after <= before + 1 for before, after in pairwise(levels))
    for table in all_of(page, "table"):
        assert all_of(table, "caption")
        assert all(one.get("scope") in ("row", "col") for one in all_of(table, "th"))
    for svg in all_of(page, "svg"):
        assert svg.get("role") == "img"
        assert svg.get("aria-label")
        assert words(all_of(svg, "title")[0])
        assert words(all_of(svg, "desc")[0])


def test_the_same_report_gives_the_same_bytes():
    assert render_html(rich()) == render_html(auditor.Report.from_dict(rich().to_dict()))


def test_no_address_is_left_when_redacted():
    assert ADDRESS.search(render_html(of_scene("rpc-135-prohibited")))
    assert not ADDRESS.search(render_html(auditor.redact(of_scene("rpc-135-prohibited"))))


# many clients


def test_few_clients_are_shown_one_after_the_other():
    page = parsed(render_html(fleet(3)))
    assert words(one_of(page, "h1")) == "3 clients: 3 fails"
    assert [words(one) for one in all_of(page, "h2")][:2] == [
        "FAILS client push to 10.20.0.1 (client01.contoso.example)",
        "FAILS client push to 10.20.0.2 (client01.contoso.example)",
    ]


def test_many_clients_begin_with_a_summary_that_leads_to_each():
    page = parsed(render_html(fleet(50)))
    assert words(one_of(page, "h1")) == "50 clients: 50 fails"
    table = all_of(page, "table", "clients")[0]
    links = [one.get("href") for one in all_of(table, "a")]
    ids = {one.get("id") for one in page.iter()}
    assert len(links) == 50
    assert {one.removeprefix("#") for one in links} <= ids
    assert len(all_of(page, "details", "client")) == 50


def test_four_thousand_clients_are_under_fifteen_megabytes():
    page = render_html(fleet(4000))
    assert len(page.encode()) < 15_000_000
    assert page.count('<details class="client">') == 4000


def test_what_is_too_much_for_a_page_is_told(monkeypatch):
    monkeypatch.setattr(html, "MOST_BYTES", 40_000)
    page = parsed(render_html(fleet(50)))
    shown, listed = len(all_of(page, "details", "client")), all_of(page, "table", "clients")[0]
    assert 0 < shown < 50
    assert len(all_of(listed, "tr")) == 51
    assert len(all_of(listed, "a")) == shown
    assert f"And {50 - shown} more, too many for one page" in words(page)


def test_clients_that_fail_come_first():
    report = dataclasses.replace(
        rich(), clients=tuple(one for name in ("all-open", "smb-dropped") for one in fleet(4, of_scene(name)).clients)
    )
    page = parsed(render_html(report))
    rows = all_of(all_of(page, "table", "clients")[0], "td", "verdict bad")
    assert len(rows) == 4
    assert words(all_of(page, "h3")[0]).startswith("FAILS")


# in a notebook


def test_a_notebook_shows_the_answer():
    part = HTMLParser(strict=False).parseFragment(of_scene("smb-dropped")._repr_html_())
    assert words(all_of(part, "h2")[0]) == "FAILS: client push to 10.20.2.20 (client01.contoso.example)"
    assert [one for one in part.iter() if one.tag in (HTML + "script", HTML + "html")] == []


def test_a_notebook_is_not_flooded():
    part = render_part(fleet(4000))
    assert "And 3,990 more: report.frame() lists all of them." in part
    assert len(part) < 50_000


# hostile text


def page_with(text: str, *, before: bool, many: bool) -> Element:
    """Return the page of a report with a text before or after each of its own."""
    report = fleet(7) if many else rich()
    return parsed(render_html(planted(report, lambda old: text + old if before else old + text)))


@cache
def benign_page(*, before: bool, many: bool) -> Element:
    return page_with(MARK, before=before, many=many)


@pytest.mark.parametrize("many", [False, True], ids=["one client", "many clients"])
@pytest.mark.parametrize("before", [True, False], ids=["before", "after"])
@pytest.mark.parametrize("payload", PAYLOADS.values(), ids=PAYLOADS)
def test_nothing_is_obeyed_or_lost(payload, before, many):
    page, benign = page_with(payload, before=before, many=many), benign_page(before=before, many=many)
    assert outline(page) == outline(benign)
    assert {one.tag for one in page.iter() if SVG in str(one.tag)} <= {
        SVG + name for name in ("svg", "title", "desc", "g", "text", "tspan", "line", "rect", "path", "polygon")
    }
    told, expected = ("".join(one.text or "" for one in outside_drawings(tree)) for tree in (page, benign))
    assert told.count(MARK) >= expected.count(MARK) > 0
    texts = "".join(page.itertext())
    assert [one for one in texts if one != "\n" and clean(one) != one] == []


@pytest.mark.parametrize("payload", PAYLOADS.values(), ids=PAYLOADS)
def test_a_notebook_obeys_nothing(payload):
    part, benign = (
        HTMLParser().parseFragment(render_part(planted(rich(), lambda old, what=what: what + old)))
        for what in (payload, MARK)
    )
    assert outline(part) == outline(benign)
