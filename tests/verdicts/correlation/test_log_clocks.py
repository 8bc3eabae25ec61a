"""Clocks of ConfigMgr logs and of captures that report the same pushes."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path

import pytest
from packets import pcap
from push_logs import failing
from scenario import scene

import auditor

HOUR = 3600
ROLES = {"client": "10.0.0.20"}
OTHER_PUSH = ("0 10.0.0.5:50100 > 10.0.0.21:445/tcp S0", "1 10.0.0.5:50101 > 10.0.0.21:135/tcp SF")

Clocks = Callable[..., list[str]]


def push(at: float = 0, port: int = 50000) -> tuple[str, ...]:
    return (f"{at} 10.0.0.5:{port} > 10.0.0.20:445/tcp S0", f"{at + 1} 10.0.0.5:{port + 1} > 10.0.0.20:135/tcp SF")


@pytest.fixture
def clocks(tmp_path: Path) -> Clocks:
    """Return what a report states of the clocks of a log and a capture."""

    def clocks(log: str, lines: Sequence[str], **known: object) -> list[str]:
        (tmp_path / "ccm.log").write_text(log, newline="")
        (tmp_path / "push.pcap").write_bytes(pcap(scene(lines)))
        report = auditor.audit(tmp_path / "ccm.log", tmp_path / "push.pcap", **known, dissect=False)
        return [limitation.text for limitation in report.limitations if limitation.code == "log-clock-offset"]

    return clocks


@pytest.mark.parametrize(("ahead", "said"), [(90, "90 s ahead"), (-90, "90 s behind"), (3, "3 s ahead")])
def test_a_log_that_is_ahead_or_behind_is_stated_in_seconds(clocks, ahead, said):
    (text,) = clocks(failing("10.0.0.20", at=ahead), push())
    assert said in text
    assert "ccm.log" in text
    assert "push.pcap" in text


@pytest.mark.parametrize("ahead", [0, 1.5, -1.5, 2100 * 2, 26 * HOUR])
def test_clocks_that_agree_and_other_attempts_are_not_stated(clocks, ahead):
    assert clocks(failing("10.0.0.20", at=ahead), push()) == []


@pytest.mark.parametrize(("ahead", "hours"), [(HOUR, 1), (-2 * HOUR, 2), (5 * HOUR + 40, 5)])
def test_whole_hours_may_be_a_time_zone_or_another_attempt(clocks, ahead, hours):
    (text,) = clocks(failing("10.0.0.20", at=ahead), push())
    assert f"{hours} h: check the time zones" in text
    assert "retries a push every hour" in text


def test_an_offset_on_which_two_pushes_agree_needs_no_condition(clocks):
    log = failing("10.0.0.20", at=400) + failing("10.0.0.20", at=1500, number=2)
    (text,) = clocks(log, (*push(), *push(1100, 50010)))
    assert "2 pushes to the same clients" in text
    assert "400 s ahead" in text


def test_retries_of_which_the_capture_has_the_last_are_not_an_offset(clocks):
    log = "".join(failing("10.0.0.20", at=at, number=at) for at in (-2 * HOUR, -HOUR, 0))
    assert clocks(log, push()) == []


def test_retries_that_fit_nowhere_are_not_an_offset(clocks):
    log = failing("10.0.0.20", at=500) + failing("10.0.0.20", at=1500, number=2)
    assert clocks(log, push()) == []


def test_a_join_that_only_the_clock_prevents_is_stated(clocks):
    (text,) = clocks(failing("PC17", at=HOUR), push())
    assert "PC17" in text
    assert "--role client=10.0.0.20" in text
    assert "1 h: check the time zones" in text


def test_of_two_pushes_in_the_capture_none_is_the_one_that_the_clock_hides(clocks):
    assert clocks(failing("PC17", at=HOUR), (*push(), *OTHER_PUSH)) == []


def test_local_times_are_not_compared(clocks):
    assert clocks(failing("10.0.0.20", at=90).replace("+000>", ">"), push()) == []


def test_verdicts_are_not_changed_by_an_offset(tmp_path):
    (tmp_path / "push.pcap").write_bytes(pcap(scene(push())))
    verdicts = []
    for ahead in (0, 90):
        (tmp_path / "ccm.log").write_text(failing("10.0.0.20", at=ahead), newline="")
        report = auditor.audit(tmp_path / "ccm.log", tmp_path / "push.pcap", dissect=False)
        verdicts.append([row.verdict for row in report.clients[0].method("client-push").requirements])
    assert verdicts[0] == verdicts[1]
