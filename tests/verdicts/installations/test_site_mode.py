"""HTTP or HTTPS to the management point: if the mode is not set, what the clients of the site use decides."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from logs import log
from packets import pcap
from scenario import scene

import auditor
from auditor.report.model import INFERRED, READ, MethodResult, SiteMode
from auditor.verdicts.installations.site_mode import ModeEvidence, modes_of

SERVER, SECOND, MP = "10.0.0.5", "10.0.0.6", "10.0.0.80"
A, B, C = "10.0.0.20", "10.0.0.21", "10.0.0.22"
HTTP, HTTPS = "http-management-point", "https-management-point"
ROLES = {"management-point": MP}
ALIVE = [
    f"30 {host} > {MP}/icmp answered" for host in (A, B, C)
]  # so that silence is not that of a computer that is off


def push(client: str, server: str = SERVER) -> list[str]:
    """Return a push of which everything is open."""
    number = int(client.rpartition(".")[2])
    return [
        f"0 {server} > {client}/icmp answered",
        f"1 {server}:{50000 + number} > {client}:445/tcp SF",
        f"2 {server}:{50100 + number} > {client}:135/tcp SF",
        f"3 {server}:{50200 + number} > {client}:49670/tcp SF",
    ]


def web(client: str, port: int, outcome: str = "SF", server: str = MP) -> str:
    return f"{port % 7 + 5} {client}:{51000 + port % 999} > {server}:{port}/tcp {outcome}"


@pytest.fixture
def audited(write) -> Callable[..., auditor.Report]:
    def audited(*lines: str, **known: Any) -> auditor.Report:
        options = {"roles": ROLES, "dissect": False, **known}
        return auditor.audit(write(pcap(scene([*lines, *ALIVE]))), **options)

    return audited


def method(report: auditor.Report, client: str = B) -> MethodResult:
    return report.client(client).method("client-push")


def rows(report: auditor.Report, client: str = B) -> dict[str, str]:
    return {one.row: one.verdict for one in method(report, client).requirements if one.row in (HTTP, HTTPS)}


BLOCKED = [*push(B), web(B, 80, "S0")]


def test_one_blocked_port_of_two_proves_nothing_by_itself(audited):
    report = audited(*BLOCKED)
    assert (method(report).result, rows(report)) == ("unproven", {HTTP: "blocked", HTTPS: "not-observed"})
    assert report.modes == ()


def test_what_other_clients_of_the_site_use_decides(audited):
    report = audited(*BLOCKED, *push(A), web(A, 80))
    assert (method(report).result, rows(report)) == ("fails", {HTTP: "blocked", HTTPS: "not-applicable"})
    why = f"{A} connects to {MP} on TCP 80"
    assert report.modes == (SiteMode(SERVER, "mixed", "inferred", why),)
    assert f"The site is in mixed mode (inferred): {why}." in {one.explanation for one in method(report).requirements}
    assert (method(report, A).result, rows(report, A)) == ("works", {HTTP: "open", HTTPS: "not-observed"})


def test_a_port_that_the_client_itself_used_earlier_decides(audited):
    report = audited(*push(B), f"4 {B}:52000 > {MP}:80/tcp SF", web(B, 80, "S0"))
    assert (method(report).result, rows(report)) == ("fails", {HTTP: "blocked", HTTPS: "not-applicable"})
    assert [mode.mode for mode in report.modes] == ["mixed"]


def test_a_site_whose_server_is_unknown_has_no_name(audited):
    report = audited(web(A, 80), roles={"client": A, "management-point": MP})
    assert (method(report, A).site_server, [mode.site_server for mode in report.modes]) == (None, [""])


def test_the_site_of_a_client_without_a_push_is_that_of_the_site_server_that_is_set(audited):
    roles = {"site-server": SERVER, "client": A, "management-point": MP}
    report = audited(web(A, 80), roles=roles)
    assert (method(report, A).site_server, [mode.site_server for mode in report.modes]) == (SERVER, [SERVER])


def test_the_mode_of_a_site_without_a_name_is_that_of_each(audited):
    report = audited(*BLOCKED, web(A, 80), roles={"client": [A, B], "management-point": MP})
    assert (method(report).site_server, [mode.site_server for mode in report.modes]) == (SERVER, [""])
    assert (method(report).result, rows(report)) == ("fails", {HTTP: "blocked", HTTPS: "not-applicable"})


def test_the_mode_that_uses_https(audited):
    report = audited(*push(B), web(B, 443, "S0"), *push(A), web(A, 443))
    assert (method(report).result, rows(report)) == ("fails", {HTTP: "not-applicable", HTTPS: "blocked"})
    assert [mode.mode for mode in report.modes] == ["native"]


@pytest.mark.parametrize("ruleset", ["configmgr-2007", "configmgr-current-branch"])
def test_every_ruleset_knows_modes(audited, ruleset):
    assert method(audited(*BLOCKED, *push(A), web(A, 80), ruleset=ruleset)).result == "fails"


def test_every_method_is_decided(audited):
    report = audited(*BLOCKED, *push(A), web(A, 80))
    results = {one.id: one.result for one in report.client(B).methods}
    assert (results["group-policy"], results["manual"]) == ("fails", "fails")


@pytest.mark.parametrize("roles", [{}, {"site-server": SERVER}], ids=["unknown site server", "site server set"])
@pytest.mark.parametrize("pushed", [[], push(B)], ids=["no push", "a push"])
def test_every_method_is_decided_whatever_is_known_of_the_site_server(audited, pushed, roles):
    report = audited(*pushed, web(B, 80, "S0"), web(A, 80), roles={"client": [A, B], "management-point": MP, **roles})
    of_https = {one.verdict for each in report.client(B).methods for one in each.requirements if one.row == HTTPS}
    assert of_https == {"not-applicable"}


def test_clients_that_use_both_show_no_mode(audited):
    for others in ([web(A, 80), web(A, 443)], [web(A, 80), *push(C), web(C, 443)]):
        report = audited(*BLOCKED, *push(A), *others)
        assert (method(report).result, report.modes) == ("unproven", ())


def test_the_clients_of_another_site_server_show_nothing(audited):
    report = audited(*BLOCKED, *push(A, SECOND), web(A, 80))
    assert method(report).result == "unproven"
    assert [mode.site_server for mode in report.modes] == [SECOND]


def test_a_site_in_another_mode_changes_nothing(audited):
    report = audited(*BLOCKED, *push(A), web(A, 80), *push(C, SECOND), web(C, 443))
    assert (method(report).result, [mode.mode for mode in report.modes]) == ("fails", ["mixed", "native"])


@pytest.mark.parametrize(("first", "second", "result"), [(80, 443, "fails"), (443, 80, "unproven")])
def test_a_method_that_no_site_server_begins_is_in_the_mode_of_the_first_site(audited, first, second, result):
    others = [*push(A), web(A, first), *push(C, SECOND), web(C, second)]
    report = audited(*BLOCKED, *push(B, SECOND), *others)
    assert [mode.site_server for mode in report.modes] == [SERVER, SECOND]
    assert report.client(B).method("manual").result == result


def test_a_computer_that_is_no_client_shows_nothing(audited):
    report = audited(*BLOCKED, web(A, 80))
    assert (method(report).result, report.modes) == ("unproven", ())


@pytest.mark.parametrize("outcome", ["S0", "REJ", "prohibited by 10.0.0.1"])
def test_what_blocks_the_other_port_does_not_disappear(audited, outcome):
    report = audited(*push(B), web(B, 443, outcome), *push(A), web(A, 80))
    assert method(report).result == "unproven"
    assert rows(report)[HTTPS] in ("blocked", "refused")


def test_a_management_point_that_is_a_guess_shows_no_mode(audited):
    report = audited(*BLOCKED, *push(A), web(A, 80), roles={})
    assert (method(report).result, report.modes) == ("unproven", ())


def test_an_assumed_port_shows_no_mode(audited):
    assert audited(*push(A), web(A, 8081)).modes == ()
    assert [mode.mode for mode in audited(*push(A), web(A, 8081), ports={"http": 8081}).modes] == ["mixed"]


def test_a_mode_that_is_set_is_not_inferred(audited):
    report = audited(*BLOCKED, *push(A), web(A, 80), mode="native")
    assert report.modes == (SiteMode("", "native", "given", "set with --mode or in the site file"),)
    assert rows(report) == {HTTP: "not-applicable", HTTPS: "not-observed"}


def test_what_the_site_file_states_of_connections_leaves_no_mode_to_infer(audited, tmp_path):
    site = tmp_path / "site.toml"
    site.write_text("[conditions]\nnative-mode = false\n", encoding="utf-8")
    report = audited(*BLOCKED, *push(A), web(A, 80), site=site)
    assert (report.modes, rows(report)) == ((), {HTTP: "blocked", HTTPS: "not-applicable"})


def test_several_clients_are_counted(audited):
    report = audited(*push(A), web(A, 80), *push(B), web(B, 80), *push(C), web(C, 80))
    assert [mode.why for mode in report.modes] == [f"{A} connects to {MP} on TCP 80, as 2 more clients do"]


def test_every_form_of_the_report_says_it(audited):
    report = audited(*push(A), web(A, 80))
    shown = f"mixed, clients use HTTP (inferred: {A} connects to {MP} on TCP 80)"
    assert f" Mode {shown}" in " ".join(report.to_text(width=200).split())
    assert shown in report.to_html()
    assert report.to_dict()["modes"] == [
        {"site_server": SERVER, "mode": "mixed", "how": "inferred", "why": f"{A} connects to {MP} on TCP 80"}
    ]


def test_of_several_sites_each_is_named(audited):
    report = audited(*push(A), web(A, 80), *push(B, SECOND), web(B, 443))
    text = " ".join(report.to_text(width=200).split())
    assert f" Mode of {SERVER} mixed, clients use HTTP (inferred: " in text
    assert f" Mode of {SECOND} native, clients use HTTPS (inferred: " in text


def test_a_saved_report_keeps_it_and_a_redacted_one_hides_the_addresses(audited, tmp_path):
    report = audited(*push(A), web(A, 80))
    path = tmp_path / "report.json"
    path.write_text(report.to_json(), encoding="utf-8")
    assert auditor.load_report(path).modes == report.modes
    (mode,) = auditor.redact(report).modes
    assert (mode.mode, SERVER in mode.site_server, A in mode.why, MP in mode.why) == ("mixed", False, False, False)


def test_what_ccmsetup_itself_reports_counts_more_than_connections():
    """No source has it yet; the reader of ccmsetup.log will give it."""
    evidence = [
        ModeEvidence(SERVER, A, "mixed", f"{MP} on TCP 80", INFERRED),
        ModeEvidence(SERVER, B, "native", "ccmsetup.log states HTTPS", READ),
    ]
    assert modes_of(evidence) == {SERVER: SiteMode(SERVER, "native", READ, "ccmsetup.log states HTTPS")}


# in a fleet


def written(path: Path, client: str, entries: list[tuple[str, int]]) -> None:
    begin = "2024-06-05 10:00:0"
    rows = [f"{begin}0 ALLOW TCP {SERVER} {client} 50000 445 0 - 0 0 0 - - - RECEIVE"]
    rows += [
        f"{begin}{number} {action} TCP {client} {MP} {50000 + number} {port} 0 - 0 0 0 - - - SEND"
        for number, (action, port) in enumerate(entries, 1)
    ]
    path.write_bytes(log(*rows))


@pytest.fixture
def fleet(tmp_path) -> Callable[..., Any]:
    def fleet(*entries: list[tuple[str, int]], **known: Any) -> Any:
        folder = tmp_path / "logs"
        folder.mkdir()
        for number, of_host in enumerate(entries):
            written(folder / f"PC{number}.log", f"10.0.1.{number + 1}", of_host)
        roles = {"management-point": MP, "site-server": SERVER}
        return auditor.batch(folder, out=tmp_path / "fleet", roles=roles, workers=0, **known)

    return fleet


DROP_80, ALLOW_80, ALLOW_443 = [("DROP", 80)], [("ALLOW", 80)], [("ALLOW", 443)]


def results(audited: Any) -> list[str]:
    return [host.outcome("group-policy").result for host in audited.report.hosts]


def test_the_other_computers_of_a_fleet_decide(fleet):
    audited = fleet(DROP_80, ALLOW_80, ALLOW_80)
    assert results(audited) == ["fails", "allowed", "allowed"]
    told = [one.text for one in audited.report.limitations if "mode" in one.text]
    assert told == [
        f"The mode of the site is inferred: mixed, clients use HTTP (10.0.1.2 connects to {MP} on TCP 80, as 1 more "
        "client does). To change it, set --mode MODE."
    ]


@pytest.mark.parametrize("others", [[], [ALLOW_80, ALLOW_443], [ALLOW_443]])
def test_without_agreement_nothing_is_decided_in_a_fleet(fleet, others):
    audited = fleet(DROP_80, *others)
    assert results(audited)[0] == "unproven"
    assert not any("mode" in one.text for one in audited.report.limitations)


def test_the_report_on_one_computer_of_a_fleet_says_the_same(fleet, tmp_path):
    fleet(DROP_80, ALLOW_80)
    report = auditor.host_report(tmp_path / "fleet", "10.0.1.1")
    assert report.clients[0].method("group-policy").result == "fails"
    assert [(mode.mode, mode.how) for mode in report.modes] == [("mixed", "inferred")]


def test_of_two_hosts_with_one_address_the_order_changes_nothing():
    first, second = (ModeEvidence(SERVER, A, "mixed", f"{server} on TCP 80") for server in (MP, "10.0.0.81"))
    assert modes_of([first, second]) == modes_of([second, first])
