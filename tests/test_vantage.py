"""Two captures of the same attempts: how their clocks differ, and on which of the two ways something was stopped."""

from __future__ import annotations

from collections.abc import Callable

import pytest
from packets import pcap
from scenario import scene

import auditor

PUSH = ["{0} 10.0.0.5 > 10.0.0.20/icmp answered", "{1} 10.0.0.5:50000 > 10.0.0.20:445/tcp SF"]
UNANSWERED = "{2} 10.0.0.5:50001 > 10.0.0.20:135/tcp S0"
ROLES = {"site-server": "10.0.0.5", "client": "10.0.0.20"}

Audited = Callable[..., auditor.Report]


def at(second: float, *lines: str) -> list[str]:
    """Return lines in which {n} is n seconds after a second."""
    return [line.format(*(second + later for later in range(10))) for line in lines]


@pytest.fixture
def audited(write) -> Audited:
    def audited(*captures: list[str]) -> auditor.Report:
        return auditor.audit(*(write(pcap(scene(lines))) for lines in captures), roles=ROLES, dissect=False)

    return audited


def clocks(report: auditor.Report) -> list[str]:
    """Return the sentences on clocks, with a number for each source instead of its path."""
    found = [text for text in report.limitations if "matched by ports and sequence numbers" in text]
    for number, source in enumerate(report.sources):
        found = [text.replace(source.path, f"#{number}") for text in found]
    said = " hold the same attempts, matched by ports and sequence numbers, not by time"
    return [text.replace(said, "") for text in found]


def test_one_capture_has_nothing_to_compare(audited):
    assert clocks(audited(at(0, *PUSH))) == []


def test_captures_of_different_attempts_have_nothing_to_compare(audited):
    other = "{1} 10.0.0.5:50009 > 10.0.0.20:445/tcp SF"
    assert clocks(audited(at(0, *PUSH), at(60, other))) == []


@pytest.mark.parametrize(
    ("ahead", "told"),
    [
        (0, "#0 and #1: their clocks agree to the millisecond."),
        (0.0004, "#0 and #1: their clocks agree to the millisecond."),
        (1.25, "#0 and #1: the second clock is 1.250 s ahead of the first."),
        (3600, "#0 and #1: the second clock is 3,600.000 s ahead of the first."),
    ],
)
def test_how_far_a_clock_is_ahead(ahead, told, audited):
    assert clocks(audited(at(10, *PUSH), at(10 + ahead, *PUSH))) == [told]


def test_how_far_a_clock_is_behind(audited):
    assert clocks(audited(at(10, *PUSH), at(7.5, *PUSH))) == [
        "#0 and #1: the second clock is 2.500 s behind the first."
    ]


def test_pings_of_other_days_have_the_same_numbers_and_say_nothing(audited):
    """Every ping of Linux begins to count at 1; the second capture is of another day, when nobody tried more."""
    day = 86_400
    report = audited(at(0, PUSH[0], UNANSWERED), at(day, PUSH[0], f"until {day + 9}"))
    assert clocks(report) == []
    assert mapper(report).blocked_at == "unknown"


def test_of_three_captures_each_is_compared_with_the_first_that_shares_its_attempts(audited):
    other = "{1} 10.0.0.5:50009 > 10.0.0.20:445/tcp SF"
    told = clocks(audited(at(0, PUSH[1]), at(30, other), at(2, PUSH[1], other)))
    assert told == ["#0 and #2: the second clock is 2.000 s ahead of the first."]


def test_not_every_one_of_many_captures_is_told(audited):
    report = audited(*(at(second, *PUSH) for second in range(9)))
    assert len(clocks(report)) == 5
    assert "3 more sources hold connections of others." in report.limitations


# which way


def mapper(report: auditor.Report) -> auditor.report.RequirementVerdict:
    (client,) = report.clients
    return next(one for one in client.method("client-push").requirements if one.row == "rpc-endpoint-mapper")


@pytest.mark.parametrize("ahead", [0, 1800])
def test_what_never_arrives_was_stopped_on_the_way_out(ahead, audited):
    one = mapper(audited(at(0, *PUSH, UNANSWERED), at(ahead, *PUSH, "until {9}")))
    assert (one.verdict, one.blocked_at) == ("blocked", "between")
    assert "Stopped on the way out: its packets are in" in one.explanation


@pytest.mark.parametrize("ahead", [0, 1800])
def test_an_answer_that_never_arrives_was_stopped_on_the_return_path(ahead, audited):
    answered = "{2} 10.0.0.5:50001 > 10.0.0.20:135/tcp answered in vain"
    one = mapper(audited(at(0, *PUSH, UNANSWERED), at(ahead, *PUSH, answered)))
    assert (one.verdict, one.blocked_at) == ("blocked", "between")
    assert "the way out is open, the return path is not" in one.explanation
    assert "drops the answers on their way back" in one.remedy
