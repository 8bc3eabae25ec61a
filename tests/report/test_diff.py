"""What a change fixed or broke: two reports, requirement by requirement."""

from __future__ import annotations

import dataclasses
import json
from pathlib import Path

import pytest
from click.testing import CliRunner, Result
from places import SAMPLES
from reports import fleet, of_scene, rich
from test_report import VERDICT

import auditor
from auditor import compare, redact
from auditor.cli.commands import cli
from auditor.errors import ReportError
from auditor.render.comparison import FORMS, HEADINGS, MOST_LISTED, render
from auditor.report import model as r
from auditor.report.compare import BROKEN, FIXED, KINDS, NEW, NO_LONGER_OBSERVED, STILL_BROKEN
from auditor.version import Tool

pytestmark = pytest.mark.slow

PROBLEM = r.Problem("smb", "STATUS_LOGON_FAILURE", "log on: STATUS_LOGON_FAILURE (frame 9): wrong.", 9, True)


def verdict(what: str, **more: object) -> r.RequirementVerdict:
    if what == "failed":
        return dataclasses.replace(VERDICT, problems=(PROBLEM,), **more)
    return dataclasses.replace(VERDICT, verdict=what, explanation=f"It is {what}.", **more)


def report(*verdicts: r.RequirementVerdict, result: str = "unproven", client: str = "10.0.0.20") -> auditor.Report:
    method = r.MethodResult("client-push", "Client push installation", result, (), verdicts)
    return dataclasses.replace(rich(), sources=(), roles=(), clients=(r.ClientReport(client, (method,), ()),))


@pytest.mark.parametrize(
    ("before", "after", "kind"),
    [
        ("blocked", "open", FIXED),
        ("no-response", "allowed", FIXED),
        ("failed", "open", FIXED),
        ("open", "blocked", BROKEN),
        ("allowed", "refused", BROKEN),
        ("open", "failed", BROKEN),
        ("blocked", "refused", STILL_BROKEN),
        ("blocked", "failed", STILL_BROKEN),
        ("open", "not-observed", NO_LONGER_OBSERVED),
        ("blocked", "inconclusive", NO_LONGER_OBSERVED),
        ("not-observed", "open", NEW),
        ("inconclusive", "blocked", NEW),
        ("open", "allowed", ""),
        ("not-observed", "not-applicable", ""),
    ],
)
def test_each_kind_of_change(before, after, kind):
    found = compare(report(verdict(before)), report(verdict(after)))
    assert [one.kind for one in found.changes] == ([kind] if kind else [])
    assert found.worse is (kind == BROKEN)


def test_an_informational_requirement_makes_nothing_worse():
    before, after = (report(verdict(one, necessity="informational")) for one in ("open", "blocked"))
    found = compare(before, after)
    assert ([one.kind for one in found.changes], found.worse) == ([BROKEN], False)


@pytest.mark.parametrize(
    ("before", "after", "worse"),
    [("works", "fails", True), ("unproven", "fails", True), ("fails", "works", False), ("works", "unproven", False)],
)
def test_a_method_that_fails_now_is_worse(before, after, worse):
    found = compare(report(verdict("open"), result=before), report(verdict("open"), result=after))
    assert [(one.before, one.after, one.worse) for one in found.results] == [(before, after, worse)]
    assert found.worse is worse


def test_a_push_that_comes_further_is_not_worse():
    """Opening SMB is how the next blocked port is found."""
    other = {"id": "client-push/rpc-endpoint-mapper"}
    before = report(verdict("blocked"), verdict("not-observed", **other), result="fails")
    after = report(verdict("open"), verdict("blocked", **other), result="fails")
    found = compare(before, after)
    assert [one.kind for one in found.changes] == [FIXED, NEW]
    assert not found.worse


def test_clients_that_only_one_report_has():
    first, second = fleet(3), fleet(5)
    found = compare(dataclasses.replace(first, clients=first.clients[1:]), second)
    assert [one.client for one in found.only_after] == ["10.20.0.1", "10.20.0.4", "10.20.0.5"]
    assert found.only_after[0].fails == ("client-push",)
    assert found.worse
    back = compare(second, dataclasses.replace(first, clients=first.clients[1:]))
    assert (len(back.only_before), back.only_after, back.worse) == (3, (), False)


def test_a_report_is_no_different_from_itself():
    found = compare(of_scene("all-open"), of_scene("all-open"))
    assert (found.results, found.changes, found.notes, found.worse) == ((), (), (), False)


def test_two_reports_of_other_clients_cannot_be_compared():
    with pytest.raises(ReportError, match="no client in common"):
        compare(report(VERDICT), report(VERDICT, client="10.0.0.21"))


def test_a_report_about_nobody_cannot_be_compared():
    with pytest.raises(ReportError, match="no client installation is in the second report"):
        compare(rich(), of_scene("quiet"))


# what makes it less sure


def notes(before: auditor.Report, after: auditor.Report) -> str:
    return " ".join(compare(before, after).notes)


def test_other_rulesets_are_told():
    other = auditor.audit(
        SAMPLES / "smb-dropped.pcap",
        ruleset="configmgr-current-branch",
        dissect=False,
    )
    text = notes(of_scene("smb-dropped"), other)
    assert "judged by the ruleset configmgr-2007" in text
    assert "a change may come from the rules, not from the network" in text
    assert "Only one of the reports has these requirements" in text
    assert "client-push/http-server-locator-point" in text


def test_the_wrong_order_is_told():
    assert "in the right order?" in notes(of_scene("mp-401"), of_scene("smb-dropped"))


def test_what_was_not_read_is_told():
    assert "records of the first report could not be read" in notes(rich(), of_scene("all-open"))


def test_another_version_is_told():
    assert "different versions" in notes(
        of_scene("all-open"), dataclasses.replace(of_scene("all-open"), tool=Tool("auditor", "9"))
    )


def test_pseudonyms_of_two_reports_are_not_trusted():
    assert "may mean another computer" in notes(redact(rich()), redact(rich()))


# forms


def test_the_text():
    text = render(compare(of_scene("smb-dropped"), of_scene("all-open")), "text")
    first, *rest = text.splitlines()
    assert first.startswith("Nothing got worse: ")
    assert first.endswith("1 client compared")
    assert "Fixed: now open" in rest
    assert "  10.20.2.20 client-push/smb: blocked, likely -> open" in rest


def test_the_text_tells_what_is_broken_and_what_to_do():
    text = render(compare(of_scene("all-open"), of_scene("smb-dropped")), "text")
    assert text.startswith("Something got worse: ")
    assert (
        "Broken: was open, now blocked or failed\n  10.20.2.20 client-push/smb: open -> blocked, likely\n    TCP 445"
        in text
    )
    assert "    Fix:\n    1. Find where the packets stop. On the client" in text
    assert text.index("    TCP 445 from") < text.index("    Fix:") < text.index("    Evidence: frames 8, 9, 10")
    assert "On the firewalls on the path, allow TCP 445 from 10.20.1.5 to 10.20.2.20." in " ".join(text.split())
    prose = [line for line in text.splitlines() if "New-NetFirewallRule" not in line]  # a command is in one piece
    assert max(map(len, prose)) <= 100


def test_the_json():
    found = json.loads(render(compare(of_scene("all-open"), of_scene("smb-dropped")), "json"))
    (broken,) = [one for one in found["requirements"] if one["requirement"] == "client-push/smb"]
    assert (found["worse"], broken["change"], broken["worse"]) == (True, "broken", True)
    assert (broken["before"]["verdict"], broken["after"]["verdict"]) == ("open", "blocked")


def test_the_markdown():
    text = render(compare(of_scene("all-open"), of_scene("smb-dropped")), "markdown")
    assert text.startswith("# Something got worse: ")
    assert "| `10.20.2.20` | client-push/smb | open | blocked, likely |" in text


@pytest.mark.parametrize("form", FORMS)
def test_thousands_of_clients(form):
    text = render(compare(fleet(4000), fleet(4000)), form)
    assert text.count("client-push/icmp-echo") == (4000 if form == "json" else MOST_LISTED / 2)  # two are stopped each
    assert form == "json" or "more: " in text


def test_every_kind_has_a_heading():
    assert tuple(HEADINGS) == KINDS


# on the command line


def saved(path: Path, what: auditor.Report) -> str:
    path.write_text(what.to_json(), encoding="utf-8")
    return str(path)


def run(*arguments: str) -> Result:
    return CliRunner().invoke(cli, ["diff", *arguments], standalone_mode=False)


def test_the_exit_code_tells_whether_anything_got_worse(tmp_path):
    good, bad = (saved(tmp_path / f"{name}.json", of_scene(name)) for name in ("all-open", "smb-dropped"))
    assert run(bad, good).return_value == 0
    assert run(good, bad).return_value == 3


def test_what_cannot_be_compared_is_an_error_of_one_line(tmp_path):
    quiet = saved(tmp_path / "quiet.json", of_scene("quiet"))
    error = run(quiet, quiet).exception
    assert isinstance(error, ReportError)
    assert error.exit_code == 1
    assert "no client installation is in the first report" in str(error)


def test_the_reports_are_never_written_over(tmp_path):
    path = saved(tmp_path / "a.json", rich())
    assert "one of the files being read" in str(run(path, path, "-o", path, "--force").exception)


def test_it_is_part_of_the_public_api():
    assert auditor.compare is compare
    assert auditor.redact is redact
