"""Measure the HTML page of a report on many clients: its size, and the time until Chromium has drawn it.

    python benchmarks/report_page.py [--clients 1000 4000] [--runs 3] [--folder DIR]

Prints medians, in seconds from the start of the load until the page is drawn and responds. Needs the package
playwright and Chromium.
"""

from __future__ import annotations

import argparse
import os
import runpy
import shutil
import statistics
import sys
import time
from pathlib import Path
from typing import Any

from auditor.render.html.report import render_html

TESTS = Path(__file__).parent.parent / "tests" / "support"
CHROMIUM = ("chromium", "chromium-browser", "google-chrome", "chrome")
DRAWN = "new Promise(done => requestAnimationFrame(() => requestAnimationFrame(done)))"


def seconds_to_open(browser: Any, path: Path) -> float:
    """Return how long it takes until the page is drawn and responds."""
    context = browser.new_context(offline=True)
    page = context.new_page()
    begin = time.perf_counter()
    page.goto(path.as_uri(), wait_until="load")
    page.evaluate(DRAWN)
    seconds = time.perf_counter() - begin
    context.close()
    return seconds


def main() -> None:
    """Run as a command."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--clients", type=int, nargs="+", default=[1000, 4000])
    parser.add_argument("--runs", type=int, default=3)
    parser.add_argument("--folder", type=Path, default=Path("build"))
    options = parser.parse_args()
    from playwright.sync_api import sync_playwright

    sys.path.insert(0, str(TESTS))
    report_of_many = runpy.run_path(str(TESTS / "reports.py"))["fleet"]
    options.folder.mkdir(parents=True, exist_ok=True)
    chromium = os.environ.get("AUDITOR_CHROMIUM") or next(filter(None, map(shutil.which, CHROMIUM)), None)
    print("| clients | written in | page | opens |")
    print("| --- | --- | --- | --- |")
    with sync_playwright() as started:
        browser = started.chromium.launch(executable_path=chromium, args=["--no-sandbox"])
        for clients in options.clients:
            begin = time.perf_counter()
            page = render_html(report_of_many(clients))
            written = time.perf_counter() - begin
            path = options.folder / f"report-{clients}.html"
            path.write_text(page, encoding="utf-8", newline="\n")
            opens = statistics.median(seconds_to_open(browser, path) for _ in range(options.runs))
            print(f"| {clients:,} | {written:.1f} s | {len(page.encode()) / 1e6:.1f} MB | {opens:.2f} s |", flush=True)
        browser.close()


if __name__ == "__main__":
    main()
