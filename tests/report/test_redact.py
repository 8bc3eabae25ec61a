"""Redaction: nothing that identifies is left in any form of any scene, and equal things stay equal."""

from __future__ import annotations

import dataclasses
import re
from pathlib import Path

import pytest
from click.testing import CliRunner
from hypothesis import given
from hypothesis import strategies as st
from places import SAMPLES
from redaction import LAB_NAMES, leaks, secrets
from reports import fleet, of_scene, planted, rich
from scenes import SCENES, each
from test_report import VERDICT

import auditor
from auditor import compare, load_report, redact
from auditor.cli.commands import cli
from auditor.render import comparison
from auditor.render.formats import FORMS, render
from auditor.report import model as r
from auditor.report.redact import Pseudonyms, redact_all
from auditor.sources.files.warnings import SourceWarning
from auditor.version import Tool

pytestmark = pytest.mark.slow


@pytest.mark.parametrize("form", FORMS)
@each(SCENES)
def test_nothing_that_identifies_is_left_in_any_form_of_any_scene(scene, form):
    assert leaks(render(redact(of_scene(scene.name)), form), secrets(scene)) == []


@each(SCENES)
def test_what_is_searched_for_is_there_without_redaction(scene):
    report = of_scene(scene.name)
    found = leaks(render(report, "json"), secrets(scene))
    assert {Path(path).name for path in scene.captures} <= set(found)
    assert {client.address for client in report.clients} <= set(found)


@pytest.mark.parametrize("form", comparison.FORMS)
@each(SCENES)
def test_nothing_that_identifies_is_left_in_a_comparison(scene, form):
    reports = [of_scene("all-open"), of_scene(scene.name)]
    clients = [{client.address for client in one.clients} for one in reports]
    if not clients[0] & clients[1]:
        pytest.skip("these two have no client in common")
    text = comparison.render(compare(*redact_all(reports), redacted_together=True), form)
    assert leaks(text, secrets(scene)) == []


@each(SCENES)
def test_verdicts_and_frames_stay(scene):
    report, redacted = of_scene(scene.name), redact(of_scene(scene.name))
    for client, other in zip(report.clients, redacted.clients, strict=True):
        for method, same in zip(client.methods, other.methods, strict=True):
            assert (method.id, method.result) == (same.id, same.result)
            for one, two in zip(method.requirements, same.requirements, strict=True):
                assert (one.id, one.verdict, one.ports) == (two.id, two.verdict, two.ports)
                assert [proof.frames for proof in one.evidence] == [proof.frames for proof in two.evidence]


@each(SCENES)
def test_redacting_again_changes_nothing(scene):
    once = redact(of_scene(scene.name))
    assert redact(once) == once


@each(SCENES)
def test_equal_addresses_stay_equal_and_others_stay_apart(scene):
    def ends(report: auditor.Report) -> list[str | None]:
        verdicts = [one for client in report.clients for method in client.methods for one in method.requirements]
        roles = [one.address for one in report.roles]
        return roles + [end.address for one in verdicts for end in (one.source, one.destination)]

    pairs = set(zip(ends(of_scene(scene.name)), ends(redact(of_scene(scene.name))), strict=True))
    assert len({real for real, _ in pairs}) == len(pairs) == len({pseudonym for _, pseudonym in pairs})


def test_hosts_are_called_by_role_and_number():
    report = redact(of_scene("smb-dropped"))
    assert [(one.role, one.address) for one in report.roles] == [
        ("site-server", "site-server-1"),
        ("client", "client-1"),
    ]
    assert [one.path for one in report.sources] == ["source-1"]


def test_a_device_without_a_role_is_a_device():
    text = redact(of_scene("rpc-135-prohibited")).to_text(width=300)
    assert (
        "TCP 135 from site-server-1 to client-1: rejected by device-1 (ICMP 3/13, administratively prohibited)." in text
    )


def test_a_filter_selects_the_frames_without_their_addresses():
    text = redact(of_scene("smb-dropped")).to_text(width=300)
    assert "frames 8, 9, 10; display filter:\n      frame.number in {8, 9, 10}" in text


@pytest.mark.usefixtures("tshark")
def test_a_host_is_called_the_same_by_all_its_names():
    (name,) = [one.name for one in redact(of_scene("wrong-password")).roles if one.role == "client"]
    assert name == "client-1-name"


def test_a_fleet_is_numbered_in_its_order():
    report = redact(dataclasses.replace(fleet(300), roles=()))
    assert [client.address for client in report.clients] == [f"client-{n}" for n in range(1, 301)]


def test_two_reports_redacted_together_agree():
    first, second = fleet(3), fleet(5)
    one, two = redact_all((dataclasses.replace(first, clients=first.clients[1:]), second))
    names = {client.address for client in one.clients} & {client.address for client in two.clients}
    assert len(names) == 2


# free text

TEXTS = {
    "an address": ("10.9.8.7 forbids it.", "10.9.8.7"),
    "an address at the end": ("It was forbidden by 10.9.8.7.", "10.9.8.7"),
    "address and port": ("It came from 10.9.8.7:50000.", "10.9.8.7"),
    "a network": ("It lies in 10.9.8.0/24.", "10.9.8.0"),
    "IPv6": ("From fd12:3456::7: no answer.", "fd12"),
    "IPv6 in capitals": ("FD12:3456::7 forbids it", "FD12"),
    "IPv6 in brackets": ("[fd12:3456::7]:443 forbids it", "fd12"),
    "IPv6 of a link": ("fe80::1234%eth7 forbids it", "1234"),
    "IPv4 in IPv6": ("::ffff:10.9.8.7 forbids it", "9.8"),
    "a hardware address": ("00:0c:29:ab:cd:ef asked", "ab:cd"),
    "of Windows": ("00-0C-29-AB-CD-EF asked", "AB-CD"),
    "of Cisco": ("000c.29ab.cdef asked", "29ab"),
    "a name": ("asked fileserver7.corp.example for it", "corp"),
    "an account": ("logged on as CORP\\svc-admin.", "svc-admin"),
    "a mail name": ("logged on as svc-admin@corp.example.", "corp"),
    "a share": ("connected to \\\\fileserver7\\install$", "fileserver7"),
    "a Windows path": ("C:\\Users\\jdoe\\push.etl could not be read", "jdoe"),
    "a path": ("/home/jdoe/captures/push.pcap could not be read", "jdoe"),
    "a path in quotes": ("'/home/jdoe/x' could not be read", "jdoe"),
    "a path from here": ("captures/jdoe.pcap could not be read", "jdoe"),
}


@pytest.mark.parametrize(("text", "secret"), TEXTS.values(), ids=TEXTS)
def test_free_text_is_covered(text, secret):
    verdict = dataclasses.replace(
        VERDICT,
        explanation=text,
        remedy=(r.Remedy("client", text, text),),
        evidence=(dataclasses.replace(VERDICT.evidence[0], text=text, display_filter=text),),
        problems=(r.Problem("smb", "X", text, 1, True),),
    )
    method = r.MethodResult("client-push", text, "fails", (r.Reason("network", VERDICT.id, text),), (verdict,))
    recommendation = (r.Recommendation("client-push", "not-attempted", text, (text,)),)
    source = dataclasses.replace(rich().sources[0], warnings=(SourceWarning("damaged", text),))
    roles = (r.RoleAssignment("client", "10.0.0.20", "inferred", text),)
    client = r.ClientReport("10.0.0.20", (method,), recommendation)
    limitations = (r.Limitation("ports-only", text),)
    ruleset = r.RulesetReference("mine", text, text)
    report = auditor.Report(Tool("auditor", "1"), ruleset, (source,), roles, (client,), limitations)
    filters = [proof.display_filter for proof in redact(report).clients[0].methods[0].requirements[0].evidence]
    rest = [line for line in redact(report).to_json().splitlines() if '"display_filter"' not in line]
    assert [line for line in rest if secret.lower() in line.lower()] == []
    if re.search(r"\d\.\d|:.*:", secret):
        assert secret not in filters[0]


BY = "TCP 445: the firewall of 10.0.0.20 dropped it 2 times ({}). Earlier, at 10:00:00, it was allowed."


@pytest.mark.parametrize(
    "by",
    [
        r"program \device\users\j doe\my tool\agent.exe, rule Contoso block (jdoe)",
        "rule Payroll) of Contoso (jdoe). Went well there: log on",
    ],
)
def test_what_a_log_calls_a_program_or_rule_goes_as_one_thing(by):
    told = Pseudonyms(()).explanation(BY.format(by).replace("10.0.0.20", "client"))
    assert told == BY.format(f"{by.partition(' ')[0]}-1").replace("10.0.0.20", "client")


def test_a_program_that_every_computer_has_stays():
    text = BY.format("program System").replace("10.0.0.20", "client")
    assert Pseudonyms(()).explanation(text) == text


@pytest.mark.parametrize(
    "text",
    [
        r"New-NetFirewallRule -Program %SystemRoot%\System32\lsass.exe -LocalPort RPC",
        "On the client, allow inbound RPC to lsass.exe, which serves samr",
        r"net use \\CLIENT\admin$ /user:ACCOUNT *",
        "net user NAME /domain",
    ],
)
def test_programs_and_options_of_commands_that_auditor_ships_stay(text):
    assert Pseudonyms(()).text(text) == text


@pytest.mark.parametrize(
    ("text", "kind"),
    [
        (r"%SystemRoot%\Payroll\agent.exe", "path"),
        ("payroll.exe", "name"),
        ("/user:jdoe", "path"),
        (r"C:\Payroll", "path"),
    ],
)
def test_programs_and_options_of_a_site_are_replaced_as_a_whole(text, kind):
    assert Pseudonyms(()).text(text) == f"{kind}-1"


def test_an_administrative_share_keeps_its_name_with_the_pseudonym_of_its_computer():
    pseudonyms = Pseudonyms(())
    assert pseudonyms.text(r"net use \\PC7\admin$ *") == r"net use \\name-1\admin$ *"
    assert pseudonyms.text(r"copied to \\PC7\C$.") == r"copied to \\name-1\C$."
    assert pseudonyms.text(r"copied to \\PC7\payroll$") == "copied to path-1"


def test_lines_that_a_warning_quotes_go():
    text = "1 of 9 lines were not readable: 1 with too few fields, such as line 8. They read: jdoe was here"
    source = dataclasses.replace(rich().sources[0], warnings=(SourceWarning("malformed-lines", text),))
    kept = "1 of 9 lines were not readable: 1 with too few fields, such as line 8."
    redacted = redact(dataclasses.replace(rich(), sources=(source,)))
    assert redacted.sources[0].warnings == (SourceWarning("malformed-lines", kept),)


@pytest.mark.parametrize(
    "text",
    [
        "Allow TCP 80/443 from the site server to the client, then look at ccmsetup.log.",
        "It was asked for /ccm_client at 2026-11-23T06:50:01.327673Z, frames 3, 4 (ICMP 3/13, ICMPv6 1/1).",
        "name it: --role management-point=ADDRESS.",
        "CCMSetup is run with the property /source:<Path>; 06:50:01 is no address, nor is 1.2.3.",
    ],
)
def test_what_auditor_says_itself_stays(text):
    assert redact(planted(rich(), lambda old: text if old == "Not all was seen." else old)).limitation_texts == (text,)


STEPS = {
    "open payroll\\jdoe.xlsx": "open file-1",
    "open svcctl": "open svcctl",
    "open ccmsetup\\ccmsetup.exe": "open ccmsetup\\ccmsetup.exe",
    "open IRemUnknown": "open IRemUnknown",
    "open 10.9.8.7": "open device-1",
    "connect to JDOE$": "connect to share-1",
    "connect to ADMIN$": "connect to ADMIN$",
    "GET /jdoe/private": "GET path-1",
    "GET /CCM_Client/ccmsetup.cab": "GET /CCM_Client/ccmsetup.cab",
    "CCM_POST /ccm_system/jdoe": "CCM_POST /ccm_system/path-1",
    "jdoe did something new": "step-1",
}


@pytest.mark.parametrize(("step", "shown"), STEPS.items(), ids=STEPS)
def test_what_packets_named_is_kept_only_if_it_is_known(step, shown):
    told = f"It was answered. Went well there: log on, {step}. From 10.0.0.6 it is blocked."
    method = r.MethodResult("client-push", "Push", "works", (), (dataclasses.replace(VERDICT, explanation=told),))
    report = dataclasses.replace(rich(), clients=(r.ClientReport("10.0.0.20", (method,), ()),))
    expected = (
        f"It was answered. Went well there: log on, {shown}. From device-{1 + ('device' in shown)} it is blocked."
    )
    assert redact(report).clients[0].methods[0].requirements[0].explanation == expected


@pytest.mark.parametrize("more", ["", " From 10.0.0.6 it is blocked."])
@pytest.mark.parametrize(("step", "shown"), STEPS.items(), ids=STEPS)
def test_so_is_what_was_only_answered(step, shown, more):
    lists = "Went well there: log on, {}. Response received, result not visible: activate WMI, {}.{}"
    told = Pseudonyms(()).explanation(lists.format(step, step, more))
    assert told == lists.format(shown, shown, more.replace("10.0.0.6", f"device-{1 + ('device' in shown)}"))


def with_problem(problem: r.Problem) -> r.Report:
    verdict = dataclasses.replace(VERDICT, problems=(problem,))
    reasons = (r.Reason("problem", VERDICT.id, problem.text),)
    method = r.MethodResult("client-push", "Push", "fails", reasons, (verdict,))
    return dataclasses.replace(rich(), clients=(r.ClientReport("10.0.0.20", (method,), ()),))


def problem_of(account: str, step: str = "log on") -> r.Problem:
    told = f"{step}{f' as {account}' if account else ''}: STATUS_LOGON_FAILURE (frame 9)"
    text = f"{told}: the account or its password is wrong."
    return r.Problem("smb", "STATUS_LOGON_FAILURE", text, 9, True, account, step=step)


ALPHABET = st.characters(codec="utf-8", exclude_categories=("C",))


@given(st.text(ALPHABET, min_size=1, max_size=20).map(lambda name: f"zq{name}qz"))
def test_any_account_is_replaced_in_its_field_and_in_the_text(name):
    (method,) = redact(with_problem(problem_of(name))).clients[0].methods
    (problem,) = method.requirements[0].problems
    expected = "log on as account-1: STATUS_LOGON_FAILURE (frame 9): the account or its password is wrong."
    assert (problem.account, problem.text, method.reasons[0].text) == ("account-1", expected, expected)


def test_an_anonymous_account_stays_and_an_unknown_one_stays_unknown():
    for account in ("anonymous", ""):
        report = with_problem(problem_of(account))
        assert redact(report).clients[0].methods[0].requirements[0].problems == (problem_of(account),)


def test_the_step_of_a_problem_is_redacted_as_a_field():
    (problem,) = (
        redact(with_problem(problem_of("LAB\\jdoe", "open payroll\\jdoe.xlsx")))
        .clients[0]
        .methods[0]
        .requirements[0]
        .problems
    )
    assert (problem.step, problem.text.partition(":")[0]) == ("open file-1", "open file-1 as account-1")


@given(st.text(ALPHABET, min_size=1, max_size=20).map(lambda name: f"zq {name} qz"))
def test_what_fields_say_was_cited_is_replaced_whatever_the_words_around_it(name):
    step = r.PushStep(f"ouvrir {name}", "succeeded", "", None, 0, (9,), (), "open", name)
    proof = dataclasses.replace(VERDICT.evidence[0], text=f"par <{name}>", by=name)
    told = f"Réussi : {step.step} ; {name} l'a laissé passer"
    verdict = dataclasses.replace(VERDICT, explanation=told, steps=(step,), evidence=(proof,))
    reasons = (r.Reason("missing", VERDICT.id, told),)
    method = r.MethodResult("client-push", "Push", "unproven", reasons, (verdict,))
    source = dataclasses.replace(
        rich().sources[0], warnings=(SourceWarning("malformed-lines", f"lu : {name}"),), quoted=(name,)
    )
    report = dataclasses.replace(rich(), sources=(source,), clients=(r.ClientReport("10.0.0.20", (method,), ()),))
    redacted = redact(report)
    assert name not in redacted.to_json()
    assert redacted.clients[0].methods[0].requirements[0].steps[0].step == "ouvrir file-1"
    assert redacted.sources[0].warnings == (SourceWarning("malformed-lines", "lu : text-1"),)


@given(st.lists(st.sampled_from(["LAB\\a", "LAB\\b", "b@lab.example", "anonymous"]), max_size=4), st.booleans())
def test_redacting_accounts_again_changes_nothing(accounts, named):
    text = "log on as LAB\\c: x" if named else "log on: x"
    problems = (r.Problem("smb", "X", text, 1, True), *map(problem_of, accounts))
    report = with_problem(problem_of("LAB\\a"))
    verdict = dataclasses.replace(report.clients[0].methods[0].requirements[0], problems=problems)
    method = dataclasses.replace(report.clients[0].methods[0], requirements=(verdict,), reasons=())
    once = redact(dataclasses.replace(report, clients=(r.ClientReport("10.0.0.20", (method,), ()),)))
    assert redact(once) == once


@given(st.text(min_size=1, max_size=40))
def test_any_name_by_which_a_host_calls_itself_is_replaced(name):
    role = r.RoleAssignment("client", "10.20.2.20", "inferred", "it answers", name=name)
    (redacted,) = redact(dataclasses.replace(rich(), roles=(role,))).roles
    assert redacted.name == "client-1-name"


def test_a_host_called_like_another_ones_pseudonym():
    roles = (
        r.RoleAssignment("client", "10.20.2.20", "inferred", "it answers", name="client-2"),
        r.RoleAssignment("client", "10.20.2.21", "inferred", "it answers like 10.20.2.20"),
    )
    one, two = redact(dataclasses.replace(rich(), roles=roles)).roles
    assert (one.name, two.why) == ("client-1-name", "it answers like client-1")


def test_a_host_cannot_change_verdicts_by_its_name():
    """A word that auditor itself uses tells nothing of a host, and stays where auditor said it."""
    role = r.RoleAssignment("client", "10.20.2.20", "inferred", "it answers", name="blocked, jdoe-pc")
    report = dataclasses.replace(
        rich(), roles=(role,), limitations=(r.Limitation("ports-only", "What was blocked is blocked on jdoe-pc."),)
    )
    redacted = redact(report)
    assert redacted.roles[0].name == "client-1-name"
    assert redacted.limitation_texts == ("What was blocked is blocked on client-1-name.",)


# on the command line


def run(*arguments: str) -> str:
    done = CliRunner().invoke(cli, arguments, standalone_mode=False, catch_exceptions=False)
    return done.stdout + done.stderr


@pytest.mark.parametrize("form", FORMS)
def test_analyze_and_render_redact_alike(form, tmp_path):
    scene = next(one for one in SCENES if one.name == "smb-dropped")
    saved = str(tmp_path / "report.json")
    run("analyze", *scene.captures, "--no-dissect", "--format", "json", "-o", saved)
    direct = run("analyze", *scene.captures, "--no-dissect", "--redact", "--format", form)
    assert leaks(direct, secrets(scene)) == []
    assert run("render", saved, "--redact", "--format", form) == direct


def test_a_redacted_report_is_a_report(tmp_path):
    path = tmp_path / "report.json"
    path.write_text(redact(rich()).to_json(), encoding="utf-8")
    assert load_report(path) == redact(rich())


def test_diff_redacts(tmp_path):
    paths = [tmp_path / "before.json", tmp_path / "after.json"]
    for path, name in zip(paths, ("smb-dropped", "all-open"), strict=True):
        path.write_text(of_scene(name).to_json(), encoding="utf-8")
    text = run("diff", *map(str, paths), "--redact")
    assert "client-1 client-push/smb: blocked, likely -> open" in text
    assert leaks(text, ("10.20.2.20", "10.20.1.5", *LAB_NAMES)) == []


def test_the_help_says_how_far_pseudonyms_go():
    for command in ("analyze", "render", "diff"):
        text = " ".join(run(command, "--help").split())
        assert "the same everywhere in one output, but not in other reports" in text


def test_a_report_without_flows_is_left():
    assert redact(auditor.audit(*SCENES[0].captures, dissect=False)).flows is None


@pytest.mark.parametrize("bad", [1, 2])
def test_nothing_of_an_unreadable_line_stays_in_any_text(bad, tmp_path):
    log = SAMPLES / "smb-dropped-and-logged.log"
    path = tmp_path / "pfirewall.log"
    path.write_bytes(log.read_bytes() + b"2026-11-23 16:40:06 DROP TCP jdoe-secret here\r\n" * bad)
    assert "jdoe-secret" in auditor.audit(path).to_text()
    assert "jdoe-secret" not in redact(auditor.audit(path)).to_json()
