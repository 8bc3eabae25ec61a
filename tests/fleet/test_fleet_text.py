"""The report of a fleet as text: whole outputs, what stands first, and names that would harm a terminal."""

from __future__ import annotations

import dataclasses
import re

import pytest
from fleets import SERVER, fleet, host, planted, site
from whole_texts import ESCAPE, HOSTILE, gold, harmful

from auditor import FleetReport
from auditor.fleet.totals import FilesRead
from auditor.render.fleet.text import MOST_LISTED, render_fleet_text
from auditor.report.fleet_model import UnreadableFile
from auditor.report.model import RoleAssignment, RulesetReference

OWN = "smb blocked at client"


def lines_of(report: FleetReport) -> list[str]:
    return render_fleet_text(report, width=250).splitlines()


@pytest.mark.parametrize("width", [100, 60])
def test_the_whole_text(width):
    text = render_fleet_text(site(), width=width)
    assert text == gold(f"fleet-{width}", text)


def test_the_whole_text_of_nobody():
    text = render_fleet_text(fleet([]))
    assert text == gold("fleet-of-nobody", text)


@pytest.mark.parametrize("width", [100, 80, 60])
def test_no_line_is_wider_than_the_terminal(width):
    lines = render_fleet_text(site(), width=width).splitlines()
    assert [line for line in lines if len(line) > width or line != line.rstrip()] == []


# the time span


@pytest.mark.parametrize(
    ("first", "last", "span"),
    [
        ("06:00:00.000000Z", "07:00:00.000000Z", "2026-11-23 06:00:00 to 07:00:00 UTC"),
        ("06:00:00.000000", "07:00:00.000000", "2026-11-23 06:00:00 to 07:00:00 local time"),
        ("06:00:00.000000Z", "07:00:00.000000", "2026-11-23 06:00:00 UTC to 2026-11-23 07:00:00 local time"),
        ("06:00:00.000000", "07:00:00.000000Z", "2026-11-23 06:00:00 local time to 2026-11-23 07:00:00 UTC"),
    ],
)
def test_each_end_of_the_time_span_has_its_time_zone(first, last, span):
    early = host("A 10.1.2.3", OWN, first_time=f"2026-11-23T{first}", last_time=f"2026-11-23T{first}")
    late = host("B 10.1.2.4", OWN, first_time=f"2026-11-23T{last}", last_time=f"2026-11-23T{last}")
    assert f"  {span}" in lines_of(fleet([early, late]))


# the servers


def test_a_server_of_several_sites_stands_once_with_its_first_reasons():
    inferred = [RoleAssignment("site-server", SERVER, "inferred", f"connects to {n} computers") for n in (9, 8, 7, 6)]
    named = RoleAssignment("site-server", SERVER, "given", "set by the user")
    report = dataclasses.replace(fleet([host("A", OWN)]), roles=(*inferred, named))
    why = "inferred: connects to 9 computers, connects to 8 computers, connects to 7 computers and 1 more"
    assert f"  site-server: {SERVER} ({why}; given: set by the user)" in lines_of(report)


# the answer


def test_the_answer_comes_first():
    hosts = [host(f"A{n}", OWN) for n in range(1240)] + [host(f"B{n}", "smb allowed") for n in range(760)]
    first, _, head, change, *_ = lines_of(fleet(hosts))
    assert first == "Client push: 1,240 of 2,000 computers fail, 0 work, 760 unproven, 0 without evidence"
    assert head.split("  ")[0] == "Changes to request, most effective first"
    assert change.startswith("1. On the clients, allow TCP 445 (smb) inbound from the site server (10.0.0.5).")
    assert change.split()[-2:] == ["1,240", "0"]


def test_changes_that_help_only_together_are_told_together():
    text = lines_of(fleet([host("A", OWN, "rpc-endpoint-mapper blocked at between by 10.9.0.1")]))
    assert text[3].startswith("1. On 10.9.0.1")
    assert text[3].endswith("with the next              1")
    assert text[4].startswith("2. On the clients")


def test_where_no_rule_helps_it_says_so():
    text = lines_of(fleet([host("A", "smb no-response")]))
    assert text[2] == "No firewall change fixes 1 computer"
    assert not any(line.startswith("Changes to request") for line in text)
    assert not any("rulesets export" in line for line in text)


def test_computers_without_evidence_are_told_at_once():
    text = lines_of(fleet([host("A", "smb open", works=True), host("B")], expected={"C": ""}))
    assert text[:5] == [
        "Client push: 0 of 3 computers fail, 1 works, 0 unproven, 2 without evidence",
        "",
        "No evidence for 2 computers (do not count them as working)",
        "  B  the sources contain no client push traffic",
        "  C  no source collected",
    ]


def test_a_fleet_of_which_nothing_is_known_does_not_sound_fine():
    (first, *_) = lines_of(fleet([host("A"), host("B")]))
    assert first == "Client push: 0 of 2 computers fail, 0 work, 0 unproven, 2 without evidence"


def test_what_was_not_read_is_told_at_once():
    lost = UnreadableFile("c.log", "C", "its reading ended the worker", "read it alone")
    text = lines_of(fleet([host("A", "smb allowed")], unreadable=[lost], files=FilesRead(2, 1, 1, skipped=7)))
    assert text[3] == "  C  could not be read: its reading ended the worker. Read it alone"
    assert "  1 of 2 files read (0 bytes, 0 entries), 1 unreadable, 7 entries skipped" in text


# the rest


def test_long_lists_show_the_worst_and_how_many_more():
    hosts = [host(f"A{n} 10.1.{n}.1", f"smb blocked at between by 10.9.0.{n}", site=f"site {n}") for n in range(1, 31)]
    text = lines_of(fleet(hosts))
    assert text.count(f"  and {30 - MOST_LISTED} more (hosts.csv)") == 3  # subnets, sites, computers
    assert "  and 25 more (fleet.json)" in text


def test_the_next_step_names_a_computer_that_fails():
    text = lines_of(fleet([host("A", "smb allowed"), host("PC-7.example.com", OWN)]))
    assert text[-1] == "Details of one computer, in the folder of this report: auditor render . --host PC-7.example.com"
    assert "  Rules for Windows Firewall: auditor rulesets export client-push --to powershell -o rules.ps1" in text


def test_a_name_that_a_shell_would_run_is_not_part_of_a_command():
    assert any(line.endswith("--host NAME") for line in lines_of(fleet([host("x;reboot", OWN)])))


def test_another_ruleset_is_named_in_the_command():
    other = RulesetReference("configmgr-current-branch", "t", "r")
    report = dataclasses.replace(fleet([host("A", OWN)]), ruleset=other)
    command = "auditor rulesets export client-push --ruleset configmgr-current-branch --to powershell -o rules.ps1"
    assert any(line.endswith(command) for line in lines_of(report))


@pytest.mark.parametrize("text", [*HOSTILE.values(), f"{ESCAPE}]8;;http://x{ESCAPE}\\link"])
def test_hostile_text_is_shown_but_not_obeyed(text):
    report = planted(site(), lambda value: f"{text}{value}")
    shown = render_fleet_text(report, width=200)
    assert harmful(shown) == []
    assert not re.search(r"^WORKS\.pcap", shown, re.MULTILINE)


def test_a_computer_without_a_source_stands_with_its_site():
    report = fleet([host("A", "smb open", works=True)], expected={"C": "Lyon", "D": ""})
    text = lines_of(report)
    assert any(re.fullmatch(r"  C \(Lyon\) +no source collected", line) for line in text)
    assert any(re.fullmatch(r"  D +no source collected", line) for line in text)
