"""Progress: one line on a terminal, only for what takes long, and nothing is left of it."""

from __future__ import annotations

import io

import pytest
from packets import pcap
from scenario import scene

from auditor.cli.progress import WIDTH, Progress
from auditor.sources.read import read


@pytest.fixture
def told():
    """Return how to show progress at seconds of a made-up clock, and what was written."""
    out, now = io.StringIO(), [0.0]
    progress = Progress(out, lambda: now[0])

    def at(second: float, source: str, done: int, total: int) -> str:
        now[0] = second
        out.truncate(out.seek(0))
        progress(source, done, total)
        return out.getvalue()

    at.close = progress.close
    at.out = out
    return at


def test_what_is_read_at_once_needs_no_line(told):
    assert told(0, "push.pcapng", 0, 10**9) == ""
    assert told(0.9, "push.pcapng", 9 * 10**8, 10**9) == ""


def test_what_takes_long_says_how_long(told):
    told(0, "push.pcapng", 0, 4 * 10**9)
    line = told(2, "push.pcapng", 10**9, 4 * 10**9)
    assert line.rstrip() == "\rpush.pcapng: 1.00 of 4.00 GB, 500 MB/s, 6 s left"
    assert len(line) == WIDTH + 1
    assert told(2.1, "push.pcapng", 10**9, 4 * 10**9) == ""  # not too often


def test_a_hostile_or_long_name_stays_on_the_line(told):
    name = "\x1b[2J" + "a" * 500
    told(0, name, 0, 10**9)
    line = told(2, name, 5 * 10**8, 10**9)
    assert "\x1b" not in line
    assert "s left" in line


def test_nothing_is_left_of_it(told):
    told(0, "push.pcapng", 0, 10**9)
    told(2, "push.pcapng", 5 * 10**8, 10**9)
    told.close()
    assert told.out.getvalue().endswith("\r" + " " * WIDTH + "\r")


def test_a_reader_tells_how_far_it_is(write):
    path = write(pcap(scene(["0 10.0.0.5:50000 > 10.0.0.20:445/tcp SF"])))
    steps: list[tuple[int, int]] = []
    read(path, advance=lambda done, total: steps.append((done, total)))
    assert steps[-1] == (path.stat().st_size, path.stat().st_size)
