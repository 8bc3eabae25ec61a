"""The report of a fleet as text: whole outputs, what stands first, and names that would harm a terminal."""

from __future__ import annotations

import dataclasses
import re

import pytest
from fleets import fleet, host, planted, site
from test_text import ESCAPE, HOSTILE, gold, harmful

from auditor import FleetReport
from auditor.fleet.totals import FilesRead
from auditor.render.fleet.text import MOST_LISTED, render_fleet_text
from auditor.report.fleet_model import UnreadableFile
from auditor.report.model import RulesetReference

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


# the answer


def test_the_answer_comes_first():
    hosts = [host(f"A{n}", OWN) for n in range(1240)] + [host(f"B{n}", "smb allowed") for n in range(760)]
    assert lines_of(fleet(hosts))[:3] == [
        "Client push installation would fail on 1,240 of 2,000 computers (760 unproven).",
        "One change helps most: 1,240 of the 1,240 no longer fail.",
        "  On the clients, allow TCP 445 (smb) inbound from the site server (10.0.0.5). "
        "One Group Policy does it for all of them.",
    ]


def test_changes_that_help_only_together_are_told_together():
    text = lines_of(fleet([host("A", OWN, "rpc-endpoint-mapper blocked at between by 10.9.0.1")]))
    assert text[1] == "2 changes help most, together: 1 of the 1 no longer fail."
    assert text[2].startswith("  On 10.9.0.1")
    assert text[3].startswith("  On each client")
    assert any(line.startswith("  1. helps only together with the next, 1 still fails: On 10.9.0.1") for line in text)


def test_where_no_rule_helps_it_says_so():
    text = lines_of(fleet([host("A", "smb no-response")]))
    assert text[1] == "No change of a firewall helps any of those that fail: see below what does."
    assert "The changes to ask for, in the order in which they pay most" not in text
    assert not any("rulesets export" in line for line in text)


def test_computers_without_evidence_are_told_at_once():
    text = lines_of(fleet([host("A", "smb open", works=True), host("B")], expected=["C"]))
    assert text[:2] == [
        "Client push installation is not seen to fail on any of 3 computers (1 works).",
        "Of 2 computers nobody knows: 1 has sources without evidence of it, 1 has no source that could be read.",
    ]


def test_a_fleet_of_which_nothing_is_known_does_not_sound_fine():
    (first, *_) = lines_of(fleet([host("A"), host("B")]))
    assert first == "Nothing of Client push installation was seen of 2 computers: nobody knows whether it works."


def test_what_was_not_read_is_told_at_once():
    lost = UnreadableFile("c.log", "C", "its reading ended the worker", "read it alone")
    text = lines_of(fleet([host("A", "smb allowed")], unreadable=[lost], files=FilesRead(2, 1, 1, skipped=7)))
    assert text[2] == "Not all was read: 1 file could not be read, 7 records of others were skipped."
    assert "  c.log: its reading ended the worker - read it alone" in text


# the rest


def test_long_lists_show_the_worst_and_how_many_more():
    hosts = [host(f"A{n} 10.1.{n}.1", f"smb blocked at between by 10.9.0.{n}", site=f"site {n}") for n in range(1, 31)]
    text = lines_of(fleet(hosts))
    assert text.count(f"  and {30 - MOST_LISTED} more (hosts.csv)") == 3  # subnets, sites, computers
    assert "  and 25 more (fleet.json)" in text


def test_the_next_step_names_a_computer_that_fails():
    text = lines_of(fleet([host("A", "smb allowed"), host("PC-7.example.com", OWN)]))
    assert text[-2:] == [
        "  one computer, with the lines that prove it: auditor render DIR --host PC-7.example.com",
        "  the rules for Windows Firewall: auditor rulesets export client-push --to powershell",
    ]


def test_a_name_that_a_shell_would_run_is_not_part_of_a_command():
    assert any(line.endswith("--host NAME") for line in lines_of(fleet([host("x;reboot", OWN)])))


def test_another_ruleset_is_named_in_the_command():
    other = RulesetReference("configmgr-current-branch", "t", "r")
    report = dataclasses.replace(fleet([host("A", OWN)]), ruleset=other)
    command = "auditor rulesets export client-push --ruleset configmgr-current-branch --to powershell"
    assert any(line.endswith(command) for line in lines_of(report))


@pytest.mark.parametrize("text", [*HOSTILE.values(), f"{ESCAPE}]8;;http://x{ESCAPE}\\link"])
def test_hostile_text_is_shown_but_not_obeyed(text):
    report = planted(site(), lambda value: f"{text}{value}")
    shown = render_fleet_text(report, width=200)
    assert harmful(shown) == []
    assert not re.search(r"^WORKS\.pcap", shown, re.MULTILINE)
