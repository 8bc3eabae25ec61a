"""What several test files share: reading a capture that a test makes up, Wireshark, and the real captures."""

from __future__ import annotations

import itertools
import os
import shutil
import sys
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import Any

import pytest
from command_line import Ran, Run
from hypothesis import settings
from packets import At, pcap

from auditor import __main__ as command
from auditor.sources.read import read as read_source
from auditor.sources.source import Source

# The same examples each time, and no time limit each: a test must not fail because a machine is busy.
settings.register_profile("auditor", derandomize=True, deadline=None)
settings.load_profile("auditor")

Write = Callable[[bytes], Path]
Read = Callable[..., Source]


@pytest.fixture(scope="session")
def write(tmp_path_factory: pytest.TempPathFactory) -> Write:
    """Write bytes to a new file and return its path."""
    folder, numbers = tmp_path_factory.mktemp("captures"), itertools.count()

    def write(content: bytes) -> Path:
        path = folder / f"capture-{next(numbers)}"
        path.write_bytes(content)
        return path

    return write


@pytest.fixture(scope="session")
def read(write: Write) -> Read:
    """Read a capture, given as its bytes or as packets (see packets.pcap for how they can be packed)."""

    def read(content: bytes | Iterable[bytes | At], *args: object, **options: object) -> Source:
        data = content if isinstance(content, bytes) else pcap(content, *args, **options)
        path = write(data)
        try:
            return read_source(path)
        finally:
            path.unlink()

    return read


@pytest.fixture(scope="session")
def tshark() -> str:
    """Return the path of tshark."""
    path = shutil.which("tshark")
    if path is None:
        pytest.skip("tshark is not installed, so there is nothing to compare with")
    return path


@pytest.fixture(scope="session")
def corpus() -> Path:
    """Return the folder of real captures, which are not ours to publish."""
    folder = os.environ.get("AUDITOR_CORPUS")
    if not folder:
        pytest.skip("AUDITOR_CORPUS does not name a folder of real captures")
    return Path(folder)


@pytest.fixture
def run(monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]) -> Run:
    """Run `auditor` in this process, as the installed command does."""
    monkeypatch.delenv("AUDITOR_DEBUG", raising=False)

    def run(*words: object) -> Ran:
        monkeypatch.setattr(sys, "argv", ["auditor", *map(str, words)])
        with pytest.raises(SystemExit) as exited:
            command.main()
        return Ran(exited.value.code, *capfd.readouterr())

    return run


CHROMIUM = ("chromium", "chromium-browser", "google-chrome", "chrome", "msedge")


@pytest.fixture(scope="module")  # it keeps an event loop running, which tests of other modules could not stand
def browser() -> Iterator[Any]:
    """Return a browser without a window."""
    reason = "playwright is not installed: no browser to look with"
    playwright = pytest.importorskip("playwright.sync_api", reason=reason)
    path = os.environ.get("AUDITOR_CHROMIUM") or next(filter(None, map(shutil.which, CHROMIUM)), None)
    if path is None:
        pytest.skip("Chromium is not installed (Debian: apt install chromium), so no page can be opened")
    rights = ["--no-sandbox"] if hasattr(os, "geteuid") and os.geteuid() == 0 else []  # root has no sandbox
    with playwright.sync_playwright() as started:
        launched = started.chromium.launch(executable_path=path, args=rights)
        yield launched
        launched.close()


@pytest.fixture
def written(tmp_path: Path) -> Callable[[str], Path]:
    """Write a page to a file and return its path."""

    def written(page: str) -> Path:
        path = tmp_path / "report.html"
        path.write_text(page, encoding="utf-8", newline="\n")
        return path

    return written


TOLD = pytest.StashKey[list[str]]()


@pytest.fixture
def tell(request: pytest.FixtureRequest) -> Callable[[str], None]:
    """Say something below the results of the run."""
    return request.config.stash.setdefault(TOLD, []).append


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter, config: pytest.Config) -> None:
    """Print what tests had to tell."""
    for line in config.stash.get(TOLD, []):
        terminalreporter.write_line(line)
