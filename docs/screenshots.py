"""Take the screenshots of the HTML pages again: python docs/screenshots.py. Needs Playwright and Chromium."""

from __future__ import annotations

import os
import shutil
import sys
import tempfile
from pathlib import Path
from typing import Any

import auditor

FOLDER = Path(__file__).resolve().parent
SAMPLES = Path("sample_captures")  # relative, so that no path of this computer is in a picture
SIZE = {"width": 1280, "height": 800}
BROWSERS = ("chromium", "chromium-browser", "google-chrome", "chrome", "msedge")


def pages(folder: Path) -> dict[str, Path]:
    """Write a report and the page of a fleet, and return where they are."""
    report = folder / "report.html"
    report.write_text(auditor.audit(SAMPLES / "smb-dropped.pcap").to_html(), encoding="utf-8")
    roles = {"site-server": "10.120.10.5", "management-point": "10.120.10.80"}
    options = {"host_from": "{site}/{host}/*.log", "host_map": SAMPLES / "fleet" / "hosts.csv", "roles": roles}
    auditor.batch(SAMPLES / "fleet" / "logs", out=folder / "fleet", **options)
    return {"report": report, "fleet": folder / "fleet" / "fleet.html"}


def take(browser: Any, page: Path, picture: Path) -> None:
    """Save the first screen of a page."""
    context = browser.new_context(offline=True, viewport=SIZE, color_scheme="light")
    shown = context.new_page()
    shown.goto(page.as_uri(), wait_until="load")
    shown.screenshot(path=str(picture))
    context.close()


def main() -> None:
    """Take all of them."""
    from playwright.sync_api import sync_playwright

    program = os.environ.get("AUDITOR_CHROMIUM") or next(filter(None, map(shutil.which, BROWSERS)), None)
    rights = ["--no-sandbox"] if hasattr(os, "geteuid") and os.geteuid() == 0 else []  # root has no sandbox
    (FOLDER / "images").mkdir(exist_ok=True)
    os.chdir(FOLDER.parent)
    with tempfile.TemporaryDirectory() as folder, sync_playwright() as started:
        browser = started.chromium.launch(executable_path=program, args=rights)
        for name, page in pages(Path(folder)).items():
            take(browser, page, FOLDER / "images" / f"{name}.png")
        browser.close()


if __name__ == "__main__":
    sys.exit(main())
