"""Measure the page of a made-up fleet: how large it is, and how long until it is there and answers in Chromium.

    python benchmarks/fleet_page.py [--hosts 10000 100000] [--runs 3] [--folder DIR]

Printed are medians: seconds from the start of the load until the list of hosts is drawn; the longest of some filters
that are typed, and opening one host, until what they show is drawn; the memory of JavaScript then, and of the process
that shows the page (Linux). Needs the package playwright and Chromium.
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

from auditor.render.fleet.html import render_fleet_html

TESTS = Path(__file__).parent.parent / "tests" / "support"
TYPED = ("p", "10.1.3.", "10.1.3.77", "berlin", "rpc-dynamic", "smb no-response", "no such computer", "unproven pc00")
DRAWN = "new Promise(done => requestAnimationFrame(() => setTimeout(done)))"
TYPE = """async text => {
  const input = document.getElementById("filter"), begin = performance.now();
  input.value = text;
  input.dispatchEvent(new Event("input"));
  await new Promise(done => requestAnimationFrame(() => setTimeout(done)));
  return performance.now() - begin;
}"""
OPEN = """async name => {
  const begin = performance.now();
  const drawn = done => requestAnimationFrame(() => setTimeout(done));
  const opened = new Promise(done => addEventListener("hashchange", () => drawn(done)));
  location.hash = "host=" + name;
  await opened;
  return performance.now() - begin;
}"""


def measured(browser: Any, path: Path, name: str) -> dict[str, float]:
    """Open the page once and return what that took."""
    page = browser.new_context(offline=True, viewport={"width": 1280, "height": 900}).new_page()
    begin = time.perf_counter()
    page.goto(path.as_uri(), wait_until="load")
    page.evaluate(DRAWN)
    opened = time.perf_counter() - begin
    typed = max(page.evaluate(TYPE, text) for text in TYPED)
    host = page.evaluate(OPEN, name)
    assert page.inner_text("#host-name") == name
    memory = page.context.new_cdp_session(page)
    memory.send("HeapProfiler.collectGarbage")
    heap = memory.send("Runtime.getHeapUsage")["usedSize"] / 1e6
    found = {"open": opened, "filter": typed / 1000, "host": host / 1000, "heap": heap, "process": resident(browser)}
    page.context.close()
    return found


def resident(browser: Any) -> float:
    """Return the megabytes of the largest process that shows a page; Linux only, else 0."""
    found = browser.new_browser_cdp_session().send("SystemInfo.getProcessInfo")["processInfo"]
    status = [Path(f"/proc/{one['id']}/status") for one in found if one["type"] == "renderer"]
    texts = [one.read_text() for one in status if one.exists()]
    lines = [line for text in texts for line in text.splitlines() if line.startswith("VmRSS")]
    return max((int(line.split()[1]) / 1024 for line in lines), default=0)


def main() -> None:
    """Run as a command."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--hosts", type=int, nargs="+", default=[10_000, 100_000])
    parser.add_argument("--runs", type=int, default=3)
    parser.add_argument("--folder", type=Path, default=Path("build"))
    given = parser.parse_args()
    from playwright.sync_api import sync_playwright

    sys.path.insert(0, str(TESTS))
    sample = runpy.run_path(str(TESTS / "fleet_sample.py"))["sample"]
    given.folder.mkdir(parents=True, exist_ok=True)
    names = ("chromium", "chromium-browser", "google-chrome", "chrome")
    chromium = os.environ.get("AUDITOR_CHROMIUM") or next(filter(None, map(shutil.which, names)), None)
    print("| hosts | written in | page | opens | filters | opens a host | JavaScript | process |")
    print("| --- | --- | --- | --- | --- | --- | --- | --- |")
    for hosts in given.hosts:
        report = sample(hosts)
        begin = time.perf_counter()
        page = render_fleet_html(report)
        written = time.perf_counter() - begin
        path = given.folder / f"fleet-{hosts}.html"
        path.write_text(page, encoding="utf-8", newline="\n")
        with sync_playwright() as started:
            runs = []
            for _ in range(given.runs):
                browser = started.chromium.launch(executable_path=chromium, args=["--no-sandbox"])
                runs.append(measured(browser, path, report.hosts[hosts // 3].host))
                browser.close()
        found = {name: statistics.median(run[name] for run in runs) for name in runs[0]}
        seconds = " | ".join(f"{found[name]:.2f} s" for name in ("open", "filter", "host"))
        memory = " | ".join(f"{found[name]:.0f} MB" for name in ("heap", "process"))
        print(f"| {hosts:,} | {written:.1f} s | {len(page) / 1e6:.1f} MB | {seconds} | {memory} |", flush=True)


if __name__ == "__main__":
    main()
