"""The HTML page in a real browser: it loads nothing, complains of nothing, works without scripts and for everybody."""

from __future__ import annotations

import pytest
from chromium import WIDTHS, Opened, faults, wait_until
from hostile import PAYLOADS
from reports import fleet, of_scene, planted, rich

from auditor.render.html.report import render_html

pytestmark = pytest.mark.slow

SCENES = (
    "smb-dropped",
    "rpc-135-prohibited",
    "return-path-dropped",
    "wrong-password",
    "ipv6-client-unreachable",
    "dropped-then-open",
)


@pytest.mark.parametrize("width", WIDTHS.values(), ids=WIDTHS)
@pytest.mark.parametrize("scene", SCENES)
def test_nothing_is_loaded_and_nothing_sticks_out(browser, written, scene, width):
    path = written(render_html(of_scene(scene)))
    with Opened(browser, path, viewport={"width": width, "height": 900}) as opened:
        for one in opened.page.query_selector_all("summary"):
            one.click()
        assert opened.page.evaluate("document.documentElement.scrollWidth <= innerWidth")
        assert opened.requests == [path.as_uri()]
        assert opened.complaints == []


@pytest.mark.parametrize("colours", ["light", "dark"])
@pytest.mark.parametrize("scene", [*SCENES, "three clients", "ten clients"])
def test_axe_finds_no_fault(browser, written, scene, colours):
    report = fleet(int(scene == "three clients") * 3 or 10) if scene.endswith("clients") else of_scene(scene)
    # axe is a script of its own, which the page's policy would rightly forbid
    with Opened(browser, written(render_html(report)), color_scheme=colours, bypass_csp=True) as opened:
        opened.page.evaluate("document.querySelectorAll('details').forEach(one => one.open = true)")
        assert faults(opened.page) == []


@pytest.mark.parametrize("scene", SCENES)
def test_without_scripts_all_is_there(browser, written, scene):
    path = written(render_html(of_scene(scene)))
    shown = "one => [...document.querySelectorAll('main, header')].map(one => one.innerText).join()"
    with Opened(browser, path) as with_scripts, Opened(browser, path, java_script_enabled=False) as without:
        told = with_scripts.page.evaluate(shown).replace("Copy", "")
        # scripts are off in the page, not for whoever looks at it
        assert "".join(without.page.evaluate(shown).split()) == "".join(told.split())
        assert without.page.query_selector_all("button") == []
        assert without.page.is_visible("svg")


FILTER = "ip.addr == 10.20.1.5 && ip.addr == 10.20.2.20 && tcp.port == 52766 && tcp.port == 445"


def test_a_filter_is_selected_by_one_click_and_copied_by_a_button(browser, written):
    path = written(render_html(of_scene("smb-dropped")))
    with Opened(browser, path, java_script_enabled=False) as opened:
        opened.page.click("code.filter")
        assert opened.page.evaluate("getSelection().toString()") == FILTER
    with Opened(browser, path, permissions=["clipboard-read", "clipboard-write"]) as opened:
        opened.page.focus("code.filter + button.copy")
        opened.page.keyboard.press("Enter")
        wait_until(opened, "document.querySelector('code.filter + button.copy').textContent != 'Copy'")
        assert opened.page.inner_text("code.filter + button.copy") == "Copied"
        assert opened.page.evaluate("navigator.clipboard.readText()") == FILTER


def test_a_client_of_many_opens_from_the_table(browser, written):
    with Opened(browser, written(render_html(fleet(30)))) as opened:
        assert not opened.page.is_visible("#client-17 p")
        opened.page.focus("table.clients tr:nth-child(17) a")
        opened.page.keyboard.press("Enter")
        assert opened.page.is_visible("#client-17 p")


def test_dark_and_paper(browser, written):
    path = written(render_html(of_scene("smb-dropped")))
    colour = "getComputedStyle(document.body).backgroundColor"
    with Opened(browser, path, color_scheme="dark") as opened:
        assert opened.page.evaluate(colour) == "rgb(23, 24, 28)"
        opened.page.emulate_media(media="print")
        assert opened.page.evaluate(colour) == "rgb(255, 255, 255)"
        assert opened.page.evaluate("getComputedStyle(document.body).colorScheme") == "light"
        assert not opened.page.is_visible("button.copy")
        assert opened.page.is_visible("details table")
        assert opened.page.pdf(format="A4").startswith(b"%PDF")


@pytest.mark.parametrize("many", [False, True], ids=["one client", "many clients"])
@pytest.mark.parametrize("payload", ["script", "image", "end of CDATA", "template", "all of them"])
def test_no_payload_is_executed(browser, written, payload, many):
    text = PAYLOADS.get(payload) or "".join(PAYLOADS.values())
    path = written(render_html(planted(fleet(7) if many else rich(), lambda old: text + old)))
    with Opened(browser, path) as opened:
        opened.page.evaluate("document.querySelectorAll('details').forEach(one => one.open = true)")
        assert opened.page.query_selector_all("img, iframe, script:not(:last-child)") == []
        assert (opened.requests, opened.complaints) == ([path.as_uri()], [])


def test_four_thousand_clients_are_one_page(browser, written):
    """How long it takes to open is measured by benchmarks/report_page.py."""
    with Opened(browser, written(render_html(fleet(4000)))) as opened:
        assert len(opened.page.query_selector_all("table.clients tbody tr")) == 4000
        assert opened.complaints == []
