"""A page in a real browser: what it asks for, what it complains of, and what axe finds wrong with it."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from waiting import PATIENCE

WIDTHS = {"phone": 390, "laptop": 1280}


class Opened:
    """A page that was opened, and all that it asked for or complained of. It is cut off from every network."""

    def __init__(self, browser: Any, path: Path, *, fragment: str = "", **options: Any) -> None:
        self.context = browser.new_context(offline=True, **options)
        self.context.set_default_timeout(PATIENCE * 1000)
        self.page = self.context.new_page()
        self.requests: list[str] = []
        self.complaints: list[str] = []
        self.page.on("request", lambda request: self.requests.append(request.url))
        self.page.on("console", lambda message: self.complaints.append(message.text))
        self.page.on("pageerror", lambda error: self.complaints.append(str(error)))
        self.page.on("dialog", lambda dialog: self.complaints.append(f"dialog: {dialog.message}"))
        self.page.goto(path.as_uri() + fragment, wait_until="load")

    def __enter__(self) -> Opened:
        return self

    def __exit__(self, *_: object) -> None:
        self.context.close()


def faults(page: Any) -> list[tuple[str, str, str]]:
    """Return what axe finds wrong: how bad, which rule, where first. The page must be opened with bypass_csp."""
    axe = pytest.importorskip("axe_playwright_python.sync_playwright", reason="axe is not installed")
    found = axe.Axe().run(page).response
    assert len(found["passes"]) > 20
    return [(one["impact"], one["id"], one["nodes"][0]["html"]) for one in found["violations"]]


def wait_until(opened: Opened, true: str) -> None:
    """Wait until an expression is true in the page; its policy forbids what Playwright waits with."""
    for _ in range(PATIENCE * 20):
        if opened.page.evaluate(true):
            return
        opened.page.wait_for_timeout(50)
    raise AssertionError(f"never true: {true}")
