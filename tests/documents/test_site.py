"""The documentation as a site: it is complete, up to date with the program, and can be read without a network."""

from __future__ import annotations

import importlib.util
import os
import re
import subprocess
import sys
from pathlib import Path
from types import ModuleType

import pytest
from chromium import WIDTHS, Opened
from places import ROOT
from waiting import PATIENCE

import auditor

DOCS = ROOT / "docs"
SHOWN = ("index.html", "fleet.html", "reference/verdicts.html", "reference/output.html", "project/CHANGELOG.html")


def script(name: str) -> ModuleType:
    specification = importlib.util.spec_from_file_location(f"docs_{name}", DOCS / f"{name}.py")
    assert specification
    assert specification.loader
    module = importlib.util.module_from_spec(specification)
    specification.loader.exec_module(module)
    return module


@pytest.fixture(scope="module")
def site(tmp_path_factory) -> Path:
    """Build the site, once for all tests."""
    for package in ("pdoc", "zensical"):
        pytest.importorskip(package, reason=f"{package} is not installed (pip install '.[docs]'): no site to look at")
    folder = tmp_path_factory.mktemp("site") / "docs"
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    command = [sys.executable, "-W", "error", str(DOCS / "make.py"), str(folder)]  # what pdoc cannot find it warns of
    done = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)
    assert (done.returncode, done.stderr) == (0, "")
    return folder


# pages


def test_the_generated_parts_are_up_to_date() -> None:
    """If not, run: python docs/generate.py."""
    generate = script("generate")
    assert [path.name for path, _ in generate.outdated()] == []


def test_every_generated_part_stands_on_a_page() -> None:
    generate = script("generate")
    pages = [path.read_text(encoding="utf-8") for path in DOCS.rglob("*.md")]
    assert sorted(found["name"] for page in pages for found in generate.PART.finditer(page)) == sorted(generate.PARTS)


def test_every_term_has_an_address_of_its_own() -> None:
    page = (DOCS / "reference" / "verdicts.md").read_text(encoding="utf-8")
    headings = re.findall(r"^### (.+)$", page, re.MULTILINE)
    assert {"blocked (verdict)", "lost-events (warning)", "3/13 (icmp)"} <= set(headings)
    assert len(headings) == len(set(headings))


def test_the_navigation_has_every_page() -> None:
    settings = (ROOT / "mkdocs.yml").read_text(encoding="utf-8")
    listed = set(re.findall(r": ([\w/-]+\.md)$", settings, re.MULTILINE))
    assert {path.relative_to(DOCS).as_posix() for path in DOCS.rglob("*.md")} <= listed


# site


def test_every_page_is_built(site: Path) -> None:
    pages = [path.relative_to(DOCS).with_suffix(".html") for path in DOCS.rglob("*.md")]
    assert [page for page in pages if not (site / page).is_file()] == []


def test_the_pages_of_the_api_have_every_public_name(site: Path) -> None:
    page = (site / "api" / "auditor.html").read_text(encoding="utf-8")
    assert [name for name in auditor.__all__ if f'id="{name}"' not in page] == []
    assert [name for name in ("ladder", "timeline", "assert_works", "flows") if f'id="Report.{name}"' not in page] == []


def test_no_page_loads_anything_from_elsewhere(site: Path) -> None:
    for path in site.rglob("*.html"):
        text = path.read_text(encoding="utf-8")
        assert not re.search(r'(?:\bsrc|@import|url\()\s*=?\s*["\']?(?:https?:)?//', text), path
        assert not re.search(r'<link[^>]+href="(?:https?:)?//', text), path


@pytest.mark.parametrize("width", WIDTHS.values(), ids=WIDTHS)
@pytest.mark.parametrize("page", SHOWN)
def test_a_page_opens_without_a_network(browser, site: Path, page: str, width: int) -> None:
    with Opened(browser, site / page, viewport={"width": width, "height": 900}) as opened:
        assert opened.page.is_visible("h1")
        assert opened.page.evaluate("document.documentElement.scrollWidth <= innerWidth")
        assert [url for url in opened.requests if not url.startswith((site.as_uri(), "data:"))] == []
        assert opened.complaints == []


def test_the_search_finds_a_term_without_a_network(browser, site: Path) -> None:
    with Opened(browser, site / "index.html", viewport={"width": 1280, "height": 900}) as opened:
        opened.page.click("button.md-search__button")
        opened.page.keyboard.type("KRB_AP_ERR_SKEW")
        opened.page.wait_for_selector("a[href*='problems.html'] mark", timeout=PATIENCE * 1000)
        assert opened.complaints == []
