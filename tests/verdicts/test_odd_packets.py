"""Packets that answer nothing, and clocks that are set back, change no verdict of any scene."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from packets import At, echo, icmp_error, offset, pcap, tcp, turned
from scenario import scene

import auditor
from auditor.report.model import BLOCKED, LIKELY, NO_RESPONSE, OPEN, PROVEN
from auditor.verdicts.attempts import Traffic

pytestmark = pytest.mark.slow

ROLES = {"site-server": "10.0.0.5", "client": "10.0.0.20", "management-point": "10.0.0.80"}
END = 30
ALIVE = "0 10.0.0.5 > 10.0.0.20/icmp answered"  # a forged packet too shows that there is somebody

# What happened at a port, and by which ports it was tried.
SMB, MAPPER = "10.0.0.5:{} > 10.0.0.20:445", "10.0.0.5:{} > 10.0.0.20:135"
OUTCOMES = st.sampled_from(
    [
        "S0",
        "S0 twice",
        "S0 once",
        "SF",
        "REJ",
        "mid-stream",
        "one-sided",
        "answered in vain",
        "reset without ACK",
        "prohibited by 10.0.0.1",
        "prohibited by 10.0.0.1 quoting another SYN",
        "unreachable by 10.0.0.1",
        "answer prohibited by 10.0.0.1",
    ]
)
TRIED = st.lists(st.tuples(st.sampled_from([SMB, MAPPER]), OUTCOMES, st.integers(1, END - 4)), max_size=4)


@st.composite
def scenes(draw: st.DrawFn) -> list[str]:
    """Return the lines of a scene; each attempt has a port of its own."""
    tried = draw(TRIED)
    lines = [f"{at} {who.format(50_000 + number)}/tcp {how}" for number, (who, how, at) in enumerate(tried)]
    echoes = draw(st.sampled_from(["silent", "silent once", "answered"]))
    return [ALIVE, f"{draw(st.integers(1, END - 4))} 10.0.0.5 > 10.0.0.20/icmp {echoes}", *lines, f"until {END}"]


def forged(who: str, number: int) -> dict[str, bytes]:
    """Return packets that answer nothing: beside an attempt, or to it. number: the one with which its SYN was sent."""
    unused = who.replace(":5000", ":6000")
    elsewhere = turned(who).replace(":445 ", ":8445 ").replace(":135 ", ":8135 ")
    right = {"seq": 9000, "ack": number + 1}
    return {
        "a SYN-ACK alone": tcp(turned(unused), "SA", seq=9000, ack=1001),
        "a SYN-ACK from another port": tcp(elsewhere, "SA", **right),
        "a SYN-ACK with a broken header": offset(tcp(turned(who), "SA", **right), 4),
        "a reset alone": tcp(turned(unused), "RA", ack=1001),
        "a reset without ACK": tcp(turned(who), "R", seq=number),
        "a reset of another SYN": tcp(turned(who), "RA", ack=77_777),
        "an echo reply": echo("10.0.0.20 > 10.0.0.5", reply=True, identifier=99),
        "an echo reply from another host": echo("10.0.0.21 > 10.0.0.5", reply=True),
        "an error to a third host": icmp_error("10.0.0.1", 3, 13, quoting=tcp(who, seq=number), receiver="10.0.0.77"),
        "an error about a reply": icmp_error(
            "10.0.0.1", 3, 1, quoting=echo("10.0.0.5 > 10.0.0.20"), receiver="10.0.0.77"
        ),
    }


def verdicts(write: Any, packets: list[At]) -> dict[str, tuple[object, ...]]:
    """Return what is said of each requirement, and the result, without the numbers of frames."""
    path = write(pcap(packets))
    report = auditor.audit(path, roles=ROLES, dissect=False)
    path.unlink()
    push = report.client("10.0.0.20").method("client-push")
    told = {
        one.row: (one.verdict, one.confidence, one.blocked_at, one.changed, one.attempts) for one in push.requirements
    }
    return told | {"result": (push.result,)}


FORGED = list(forged(SMB.format(50_000), 0))
FEW = settings(max_examples=20, suppress_health_check=[HealthCheck.function_scoped_fixture])


@pytest.mark.parametrize("kind", FORGED)
@FEW
@given(lines=scenes(), at=st.integers(0, END * 10), whose=st.integers(0, 3), port=st.sampled_from([SMB, MAPPER]))
def test_a_packet_that_answers_nothing_changes_nothing(kind, lines, at, whose, port, write):
    packets = scene(lines)
    odd = At(at / 10 + 0.05, forged(port.format(50_000 + whose), 51_000 + whose)[kind])
    before = [one for one in packets if one.seconds < odd.seconds]
    assert verdicts(write, [*before, odd, *packets[len(before) :]]) == verdicts(write, packets)


HOUR = 3600


def clocked(*parts: tuple[float, list[str]]) -> list[At]:
    """Return the packets of some scenes one after the other, each by a clock that is so many seconds ahead."""
    return [one._replace(seconds=one.seconds + ahead) for ahead, lines in parts for one in scene(lines)]


def test_a_syn_that_ends_a_file_is_no_silence_although_the_clock_was_ahead_before(write):
    packets = clocked((HOUR, [ALIVE, "until 10"]), (0, ["11 10.0.0.5:50000 > 10.0.0.20:445/tcp S0 once"]))
    assert verdicts(write, packets)["smb"][0] == "inconclusive"


def test_a_silence_is_one_although_the_clock_was_set_back_in_it(write):
    begin = [ALIVE, "9 10.0.0.5:50000 > 10.0.0.20:445/tcp S0 once"]
    assert verdicts(write, clocked((HOUR, begin), (0, ["until 10", "until 14"])))["smb"][:2] == (BLOCKED, LIKELY)
    assert verdicts(write, clocked((HOUR, begin), (0, ["until 10", "until 12"])))["smb"][0] == "inconclusive"


def test_what_came_later_in_the_file_was_later_whatever_the_clock_said(write):
    dropped, opened = ("{} 10.0.0.5:5000{} > 10.0.0.20:445/tcp " + how for how in ("S0", "SF"))
    packets = clocked((HOUR, [ALIVE, dropped.format(1, 1)]), (0, [opened.format(60, 2)]))
    assert verdicts(write, packets)["smb"][:2] == (OPEN, PROVEN)
    packets = clocked((HOUR, [ALIVE, opened.format(1, 1)]), (0, [dropped.format(60, 2)]))
    assert verdicts(write, packets)["smb"][:2] == (BLOCKED, LIKELY)


@pytest.mark.parametrize(
    ("seconds", "tries"),
    [
        ([0], 1),
        ([0, 1, 3], 3),
        ([0, 0.0002, 1, 1.0002], 2),  # as a router sees it
        ([0, 1, 0.0002, 1.0002], 2),  # two interfaces, the second one's frames written later
        ([0, 0.0002 - HOUR], 1),  # set back between two looks at one SYN
        ([0, 1 - HOUR, 3 - HOUR], 2),  # how long after the first the second was nobody knows
        ([0, 1, 3 - HOUR, 7 - HOUR], 2),
    ],
)
def test_how_often_a_syn_was_sent_whatever_the_clock_said(seconds, tries, read):
    syn = tcp(SMB.format(50_000))
    source = read([At(2 * HOUR + one, syn) for one in seconds])
    (attempt,) = Traffic([source], ["10.0.0.5", "10.0.0.20"]).between("10.0.0.5", "10.0.0.20")
    assert attempt.tries == tries


@settings(max_examples=120, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(lines=scenes(), data=st.data(), back=st.sampled_from([0.0002, 0.05, 0.5, 2, 10, 3600]))
def test_a_clock_that_is_set_back_makes_no_silence(lines, data, back, write):
    packets = scene(lines)
    since = data.draw(st.integers(0, len(packets)))
    shifted = [one._replace(seconds=one.seconds - back * (number >= since)) for number, one in enumerate(packets)]
    before, after = verdicts(write, packets), verdicts(write, shifted)
    new = {row for row, told in after.items() if told[0] in (BLOCKED, NO_RESPONSE) and told[0] != before[row][0]}
    assert new == set()


@pytest.mark.parametrize("back", [1, 2, 45, HOUR])
@pytest.mark.parametrize("how", ["S0", "SF"])
def test_a_clock_that_is_set_back_parts_no_dynamic_port_from_its_endpoint_mapper(back, how, write):
    before = [ALIVE, "1 10.0.0.5:50000 > 10.0.0.20:135/tcp SF"]
    after = [f"1.5 10.0.0.5:50001 > 10.0.0.20:49700/tcp {how}", "until 30"]
    packets = clocked((HOUR, before), (HOUR - back, after))
    expected = (BLOCKED, LIKELY) if how == "S0" else (OPEN, PROVEN)
    assert verdicts(write, packets)["rpc-dynamic"][:2] == expected


@pytest.mark.parametrize("later", [70, HOUR])
def test_a_dynamic_port_that_is_tried_long_after_the_endpoint_mapper_does_not_count(later, write):
    lines = ["1 10.0.0.5:50000 > 10.0.0.20:135/tcp SF", f"{later} 10.0.0.5:50001 > 10.0.0.20:49700/tcp S0"]
    assert verdicts(write, scene([ALIVE, *lines, f"until {later + 30}"]))["rpc-dynamic"][0] == "not-observed"
