"""Progress of a fleet: one line on a terminal with all that one wants to know, and a sentence in the end."""

from __future__ import annotations

import io

import pytest

from auditor.cli.fleet_progress import FleetProgress
from auditor.cli.progress import WIDTH


@pytest.fixture
def told():
    """Return how to tell progress of 1,000 files and 2 GB at seconds of a made-up clock, and what was written."""
    out, now = io.StringIO(), [0.0]
    progress = FleetProgress(1000, 2 * 10**9, out, lambda: now[0])

    def at(second: float, path: str, files: int, size: int) -> str:
        now[0] = second
        out.truncate(out.seek(0))
        progress(path, files, size)
        return out.getvalue()

    at.progress, at.out = progress, out
    return at


def test_the_line_says_how_far_it_is_and_how_long_it_takes(told):
    assert told(0.5, "logs/PC1/pfirewall.log", 0, 0) == ""
    line = told(10, "logs/PC2/pfirewall.log", 100, 200_000_000)
    assert line.rstrip() == "\r100 of 1,000 files, 0.20 of 2.00 GB, 20 MB/s, 1 min 30 s left: …2/pfirewall.log"
    assert len(line) == WIDTH + 1
    assert told(10.1, "logs/PC3/pfirewall.log", 1, 10) == ""  # not too often


def test_the_rate_is_that_of_late(told):
    told(40, "a", 500, 10**9)
    assert ", 3.33 MB/s, " in told(100, "b", 1, 200_000_000)


def test_what_has_to_be_done_again_is_taken_back(told):
    told(1, "a", 10, 10**9)
    assert "0 of 1,000 files, 0.00 of 2.00 GB, 0 bytes/s: a" in told(2, "", -10, -(10**9))


def test_a_hostile_name_stays_on_the_line(told):
    line = told(5, "\x1b[2J\n" * 100, 1, 10**6)
    assert "\x1b" not in line
    assert "\n" not in line
    assert len(line) == WIDTH + 1


def test_in_the_end_one_sentence_is_left(told):
    told(200, "a", 1000, 2 * 10**9)
    told.progress.close()
    assert told.out.getvalue().endswith("\r" + " " * WIDTH + "\r")
    assert told.progress.summary() == "1,000 files, 2 GB, in 3 min 20 s (10 MB/s)"


def test_without_a_terminal_only_the_sentence_is_left():
    progress = FleetProgress(1, 500, None, iter((0.0, 9.0, 9.4)).__next__)
    progress("a", 1, 500)
    progress.close()
    assert progress.summary() == "1 file, 500 bytes, in 9 s (53 bytes/s)"
