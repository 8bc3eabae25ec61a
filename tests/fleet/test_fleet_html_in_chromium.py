"""The page of a fleet in a real browser: filters, sorting, one computer, links, no scripts, hostile text."""

from __future__ import annotations

import json

import pytest
from chromium import WIDTHS, Opened, faults, wait_until
from fleet_logs import ccm, write
from fleet_sample import planted, sample
from hostile import PAYLOADS
from test_fleet_of_steps import NO_TRUST

from auditor.api.batch import batch
from auditor.render.fleet import html_hosts as fleet_hosts
from auditor.render.fleet.html import render_fleet_html

pytestmark = pytest.mark.slow

NAMES = "[...document.querySelectorAll('.hosts tbody th a')].map(one => one.textContent)"


@pytest.fixture(scope="module")
def fleet(tmp_path_factory):
    path = tmp_path_factory.mktemp("fleet") / "fleet.html"
    path.write_text(render_fleet_html(sample(400)), encoding="utf-8", newline="\n")
    return path


def tally(opened: Opened) -> str:
    return opened.page.inner_text("[role=status]")


def hash_of(opened: Opened, expected: str) -> str:
    """Return the part of the address behind #, which follows what is typed after a moment."""
    wait_until(opened, f"location.hash === {json.dumps(expected)}")
    return opened.page.evaluate("location.hash")


def test_a_list_of_ten_thousand_is_shown_page_by_page(browser, written):
    path = written(render_fleet_html(sample(10_000)))
    with Opened(browser, path) as opened:
        assert tally(opened) == "10,000 of 10,000 computers"
        assert len(opened.page.evaluate(NAMES)) == 50
        opened.page.click("text=Next")
        assert "Page 2 of 200" in opened.page.inner_text("nav.pager")
        opened.page.fill("#filter", "pc009998")
        assert opened.page.evaluate(NAMES) == ["PC009998"]
        opened.page.click("text=PC009998")
        opened.page.wait_for_selector("dialog >> text=no attempt in its sources")
        assert (opened.requests, opened.complaints) == ([path.as_uri()], [])


@pytest.mark.parametrize("width", WIDTHS.values(), ids=WIDTHS)
def test_nothing_is_loaded_and_nothing_sticks_out(browser, fleet, width):
    with Opened(browser, fleet, viewport={"width": width, "height": 900}) as opened:
        for one in opened.page.query_selector_all("main summary"):
            one.click()
        assert opened.page.evaluate("document.documentElement.scrollWidth <= innerWidth")
        opened.page.click(".hosts tbody a")
        opened.page.wait_for_selector("dialog[open]")
        assert opened.page.evaluate(
            "[...document.querySelectorAll('dialog')].every(one => one.scrollWidth <= one.clientWidth)"
        )
        assert (opened.requests, opened.complaints) == ([fleet.as_uri()], [])


@pytest.mark.parametrize("width", WIDTHS.values(), ids=WIDTHS)
@pytest.mark.parametrize("colours", ["light", "dark"])
def test_axe_finds_no_fault(browser, fleet, colours, width):
    # axe is a script of its own, which the page's policy would rightly forbid
    options = {"color_scheme": colours, "viewport": {"width": width, "height": 900}, "bypass_csp": True}
    with Opened(browser, fleet, fragment="#result=fails&subnet=10.1.0.0/24", **options) as opened:
        opened.page.evaluate("document.querySelectorAll('details').forEach(one => one.open = true)")
        assert faults(opened.page) == []
        opened.page.click(".hosts tbody a")
        opened.page.wait_for_selector("dialog[open]")
        opened.page.evaluate("document.querySelectorAll('details').forEach(one => one.open = true)")
        assert faults(opened.page) == []


# filters


@pytest.mark.parametrize(
    ("typed", "expected"),
    [
        ("PC000017", "1 of 400"),
        ("10.1.0.218", "1 of 400"),
        ("10.1.0.21", "10 of 400"),
        ("10.1.1.0/24", "190 of 400"),
        ("bonn", "190 of 400"),
        ("rpc-dynamic", "60 of 400"),
        ("smb no-response", "20 of 400"),
        ("unproven", "20 of 400"),
        ("nobody of this name", "0 of 400"),
        ("berlin  works", "20 of 400"),
    ],
)
def test_typing_filters(browser, fleet, typed, expected):
    with Opened(browser, fleet) as opened:
        opened.page.focus("#filter")
        opened.page.keyboard.type(typed)
        assert tally(opened) == f"{expected} computers"
        assert opened.page.is_visible("text=No computer passes these filters.") == expected.startswith("0")


def test_the_address_follows_what_is_typed(browser, fleet):
    with Opened(browser, fleet) as opened:
        opened.page.fill("#filter", "10.1.0.0/24 smb")
        assert hash_of(opened, "#q=10.1.0.0/24%20smb")
    with Opened(browser, fleet, fragment="#q=10.1.0.0/24%20smb") as opened:
        assert opened.page.input_value("#filter") == "10.1.0.0/24 smb"
        assert tally(opened) == "110 of 400 computers"


def test_chips_show_some_results_and_how_many_there_are(browser, fleet):
    with Opened(browser, fleet) as opened:
        chips = opened.page.query_selector_all("[aria-label='Results'] button")
        assert [one.inner_text() for one in chips] == [
            "fails 300",
            "unproven 20",
            "no evidence 40",
            "allowed 0",
            "works 40",
        ]
        chips[1].click()
        chips[4].click()
        assert tally(opened) == "60 of 400 computers"
        assert [one.get_attribute("aria-pressed") for one in chips] == ["false", "true", "false", "false", "true"]
        assert hash_of(opened, "#result=unproven,works".replace(",", "%2C"))
        opened.page.click("text=Show all")
        assert tally(opened) == "400 of 400 computers"
        opened.page.go_back()
        opened.page.wait_for_selector("text=60 of 400 computers")


def test_whatever_is_counted_leads_to_the_computers_counted(browser, fleet):
    with Opened(browser, fleet) as opened:
        links = opened.page.evaluate(
            "[...document.querySelectorAll('main section:not(#computers) td.number a')]"
            ".map(one => [one.getAttribute('href'), one.textContent])"
        )
        assert len(links) > 30
        for link, count in links:
            opened.page.evaluate("link => document.querySelector(`a[href='${link}']`).click()", link)
            assert (link, tally(opened)) == (link, f"{count} of 400 computers")
        assert opened.page.evaluate("document.activeElement.id") == "computers"


def test_a_bar_leads_to_its_computers(browser, fleet):
    with Opened(browser, fleet) as opened:
        opened.page.click("header svg .untried")
        assert tally(opened) == "40 of 400 computers"


def test_another_method_has_other_results(browser, fleet):
    with Opened(browser, fleet) as opened:
        opened.page.select_option(
            "label:has-text('Method') select", value="Manual installation and logon script-based installation"
        )
        chips = opened.page.query_selector_all("[aria-label='Results'] button")
        assert [one.inner_text() for one in chips] == [
            "fails 20",
            "unproven 0",
            "no evidence 40",
            "allowed 0",
            "works 340",
        ]


def test_a_filter_is_taken_away_alone(browser, fleet):
    with Opened(browser, fleet, fragment="#site=Bonn&requirement=client-push/rpc-dynamic") as opened:
        assert tally(opened) == "30 of 400 computers"
        opened.page.click("[aria-label='Remove the filter site: Bonn']")
        assert tally(opened) == "60 of 400 computers"


@pytest.mark.parametrize(
    ("heading", "first", "last"),
    [("computer", "PC000000", "PC000399"), ("address", "PC000000", "PC000398"), ("site", "PC000000", "PC000200")],
)
def test_sorting(browser, fleet, heading, first, last):
    with Opened(browser, fleet, fragment="#q=pc") as opened:
        head = opened.page.locator(".hosts thead button", has_text=heading)
        head.click()
        assert opened.page.evaluate(NAMES)[0] == first
        assert opened.page.get_attribute("th[aria-sort]", "aria-sort") == "ascending"
        head.click()
        assert opened.page.evaluate(NAMES)[0] == last
        assert opened.page.get_attribute("th[aria-sort]", "aria-sort") == "descending"


# one computer


def test_a_computer_opens_to_its_proof(browser, fleet):
    with Opened(browser, fleet) as opened:
        opened.page.focus("text=PC000009")
        opened.page.keyboard.press("Enter")
        opened.page.wait_for_selector("dialog[open]")
        told = opened.page.inner_text("dialog")
        seen = next(one for one in sample(400).hosts[9].seen if one.requirement == "client-push/rpc-dynamic")
        for text in ("PC000009", "rpc-dynamic: blocked", "TCP 49667: site-server 10.0.0.5 → client 10.1.0.29"):
            assert text in told
        for text in ("blocked at 10.9.0.1", seen.explanation, seen.remedy, seen.proof[0].path, "lines 16, 18, 30"):
            assert text in told
        opened.page.click("dialog >> text=icmp-echo")
        assert "frames 3, 4" in opened.page.inner_text("dialog")
        assert opened.page.inner_text("dialog details[open] code.filter") == "icmp && ip.addr == 10.1.0.29"
        opened.page.keyboard.press("Escape")
        opened.page.wait_for_selector("dialog", state="hidden")
        assert opened.page.evaluate("document.activeElement.textContent") == "PC000009"
        assert hash_of(opened, "") == ""


def test_a_problem_is_not_called_blocked(browser, fleet):
    with Opened(browser, fleet, fragment="#host=PC000014") as opened:
        told = opened.page.inner_text("dialog")
        assert "smb: open, but failed" in told
        assert "Problem: log on: STATUS_ACCESS_DENIED" in told


@pytest.mark.parametrize("name", ["PC000031", "pc000031", "10.1.0.51"])
def test_a_link_opens_a_computer_behind_its_filter(browser, fleet, name):
    with Opened(browser, fleet, fragment=f"#result=fails&host={name}") as opened:
        assert opened.page.inner_text("#host-name") == "PC000031"
        assert tally(opened) == "300 of 400 computers"
        opened.page.click("text=Close")
        assert hash_of(opened, "#result=fails")


def test_back_closes_a_computer(browser, fleet):
    with Opened(browser, fleet, fragment="#result=works") as opened:
        opened.page.click(".hosts tbody a")
        opened.page.wait_for_selector("dialog[open]")
        opened.page.go_back()
        opened.page.wait_for_selector("dialog", state="hidden")
        assert tally(opened) == "40 of 400 computers"


def test_a_computer_that_is_not_there(browser, fleet):
    with Opened(browser, fleet, fragment="#host=<b>nobody</b>") as opened:
        assert "No computer of this fleet is named <b>nobody</b>." in opened.page.inner_text("dialog")


def test_what_is_left_out_is_told_with_where_to_find_it(browser, written, monkeypatch):
    monkeypatch.setattr(fleet_hosts, "MOST_BYTES", 20_000)
    with Opened(browser, written(render_fleet_html(sample(200))), fragment="#host=PC000195") as opened:
        assert "auditor render . --host PC000195" in opened.page.inner_text("dialog")
        assert "limited in size" in opened.page.inner_text("dialog")


def test_a_filter_is_copied_by_a_button(browser, fleet):
    with Opened(browser, fleet, fragment="#host=PC000009", permissions=["clipboard-read", "clipboard-write"]) as opened:
        opened.page.click("dialog >> text=icmp-echo")
        opened.page.click("dialog details[open] button.copy")
        wait_until(opened, "document.querySelector('dialog details[open] button.copy').textContent == 'Copied'")
        assert opened.page.evaluate("navigator.clipboard.readText()") == "icmp && ip.addr == 10.1.0.29"


def test_names_are_copied(browser, fleet):
    with Opened(
        browser, fleet, fragment="#q=unproven&sort=name", permissions=["clipboard-read", "clipboard-write"]
    ) as opened:
        opened.page.click("text=Copy names")
        opened.page.wait_for_selector("text=Copied")
        names = opened.page.evaluate("navigator.clipboard.readText()").split("\n")
        assert (len(names), names[0]) == (20, "PC000017")


# without scripts, on paper, in the dark, hostile


def test_without_scripts_the_summary_is_complete(browser, fleet):
    parts = "header, main > section:not(#computers)"
    shown = f"[...document.querySelectorAll('{parts}')].map(one => one.innerText).join()"
    with Opened(browser, fleet) as with_scripts, Opened(browser, fleet, java_script_enabled=False) as without:
        with_scripts.page.evaluate("document.querySelectorAll('.needs-scripts').forEach(one => one.remove())")
        assert "".join(without.page.evaluate(shown).split()) == "".join(with_scripts.page.evaluate(shown).split())
        assert "hosts.csv" in without.page.inner_text("#computers")
        assert without.page.query_selector_all("button, input, table.hosts") == []


def test_dark_and_paper(browser, fleet):
    colour = "getComputedStyle(document.body).backgroundColor"
    with Opened(browser, fleet, color_scheme="dark") as opened:
        assert opened.page.evaluate(colour) == "rgb(23, 24, 28)"
        opened.page.emulate_media(media="print")
        assert opened.page.evaluate(colour) == "rgb(255, 255, 255)"
        assert not opened.page.is_visible("table.hosts")
        assert opened.page.is_visible("text=It is in hosts.csv")
        assert opened.page.is_visible("h1")
        assert opened.page.pdf(format="A4").startswith(b"%PDF")


@pytest.mark.parametrize("payload", ["script", "image", "end of CDATA", "template", "right to left", "all of them"])
def test_no_payload_is_executed(browser, written, payload):
    text = PAYLOADS.get(payload) or "".join(PAYLOADS.values())
    path = written(render_fleet_html(planted(sample(40), lambda old: f"</script>{text}{old}")))
    with Opened(browser, path) as opened:
        opened.page.fill("#filter", "PWND" if "PWND" in text else "")
        for n in range(3):
            opened.page.evaluate(f"document.querySelectorAll('.hosts tbody a')[{n}].click()")
            opened.page.wait_for_selector("dialog[open]")
            opened.page.evaluate("document.querySelectorAll('details').forEach(one => one.open = true)")
            opened.page.keyboard.press("Escape")
        for one in opened.page.query_selector_all("main section:not(#computers) a[href*='=']")[:20]:
            one.evaluate("one => one.click()")
        kinds = "script:not([type]):not(:nth-last-child(-n+2)), img, iframe"
        assert opened.page.query_selector_all(kinds) == []
        assert (opened.requests, opened.complaints) == ([path.as_uri()], [])


def test_a_failed_step_of_a_log_is_shown_with_its_line_and_its_fix(browser, tmp_path):
    report = batch(write(tmp_path / "logs" / "ccm.log", ccm(PC1=NO_TRUST)), out=tmp_path / "out", workers=0).report
    path = tmp_path / "out" / "fleet.html"
    with Opened(browser, path, fragment="#host=PC1") as opened:
        shown = opened.page.inner_text("dialog")
        listed = opened.page.inner_text(".hosts tbody")
    assert report.causes[0].code in shown
    assert "line 2" in shown
    assert "Fix: " in shown
    assert report.causes[0].code in listed
