"""The report of a fleet: counts that add up, the changes that help most, and nobody fine of whom nobody knows."""

from __future__ import annotations

import dataclasses
from collections import Counter
from pathlib import Path

import pytest
from fleets import MAIN, SERVER, fleet, host, site
from hypothesis import given
from hypothesis import strategies as st
from packets import pcap
from scenario import scene
from security_events import blocked, lines

import auditor
from auditor import FleetReport
from auditor.errors import RulesetError
from auditor.fleet.prioritize import Opening, in_order
from auditor.render.fleet.text import headline
from auditor.report import model as r
from auditor.report.fleet_model import (
    NO_EVIDENCE,
    NO_RULE_HELPS,
    FailedStep,
    HostResult,
    MethodOutcome,
    Proof,
    RequirementResult,
    StepMeaning,
    StopCount,
    UnreadableFile,
)
from auditor.ruleset.statements import templates

pytestmark = pytest.mark.slow

OWN = "blocked at client"
ROWS = (
    "icmp-echo allowed",
    "icmp-echo blocked at client",
    "icmp-echo inconclusive",
    "smb allowed",
    "smb blocked at client",
    "smb blocked at between by 10.9.0.1",
    "smb blocked at between by 10.9.0.2",
    "smb blocked at client unserved",
    "smb refused at client",
    "smb no-response",
    "smb STATUS_ACCESS_DENIED",
    "rpc-dynamic blocked at client",
    "rpc-dynamic blocked at unknown",
    "http-management-point blocked at client",
    "http-management-point blocked at management-point by 10.0.0.7",
    "https-management-point blocked at client",
    "https-management-point unreachable",
)


def hosts_of(chosen: list[set[str]]) -> list[HostResult]:
    """Return a host for each set of rows, with at most one row for each requirement."""
    made = []
    for number, rows in enumerate(chosen):
        by_requirement = {row.split()[0]: row for row in sorted(rows)}
        address = f" 10.1.{number % 3}.{number + 1}" if number % 4 else ""
        works = not any("blocked" in row or "allowed" not in row for row in rows)
        site = ("", "Berlin", "Lyon")[number % 3]
        made.append(host(f"PC{number:03}{address}", *by_requirement.values(), site=site, works=works))
    return made


fleets = st.lists(st.sets(st.sampled_from(ROWS), max_size=4), max_size=12).map(hosts_of)


def changes(*hosts: HostResult) -> list[tuple[str, str, str, int, int]]:
    """Return place, device, ports and counts of the changes for unknown computers."""
    return [(one.place, one.device, one.ports, one.helps, one.remaining) for one in fleet(hosts).changes]


def causes(*hosts: HostResult) -> list[tuple[str, str, str, int]]:
    return [(one.verdict, one.code, one.requirement, one.hosts) for one in fleet(hosts).causes]


# counts


def test_the_results_are_counted_for_every_method():
    report = fleet([host("A", "smb " + OWN), host("B", "smb allowed"), host("C", "smb open", works=True), host("D")])
    push, *others = report.methods
    assert (push.id, push.fails, push.unproven, push.works, push.no_evidence) == (MAIN, 1, 1, 1, 1)
    assert {(one.works, one.fails, one.unproven, one.no_evidence) for one in others} == {(0, 0, 0, 4)}


def test_requirements_that_fail_most_come_first_each_way_and_place_apart():
    report = fleet(
        [
            *(host(f"A{n}", "smb " + OWN, "rpc-endpoint-mapper blocked at unknown") for n in range(3)),
            host("B", "smb blocked at between by 10.9.0.1"),
            host("C", "smb STATUS_ACCESS_DENIED"),
        ]
    )
    assert [(one.id, one.verdict, one.blocked_at, one.hosts, one.proven) for one in report.requirements] == [
        ("client-push/rpc-endpoint-mapper", "blocked", "unknown", 3, 0),
        ("client-push/smb", "blocked", "client", 3, 3),
        ("client-push/smb", "blocked", "between", 1, 1),
        ("client-push/smb", "problem", "", 1, 1),
    ]


def test_what_is_stopped_and_not_blamed_is_not_counted():
    assert fleet([host("A", "http-management-point open", "https-management-point " + OWN)]).requirements == ()


def test_subnets_and_sites_with_most_failures_come_first():
    report = fleet(
        [
            host("A 10.1.1.1", "smb allowed", site="Berlin"),
            host("B 10.2.2.1", "smb " + OWN, "icmp-echo " + OWN, site="Lyon"),
            host("C 10.2.2.2", "smb " + OWN, site="Lyon"),
            host("D"),
        ]
    )
    assert [dataclasses.astuple(one) for one in report.subnets] == [
        ("10.2.2.0/24", 0, 0, 2, 0, 0, "client-push/smb"),
        ("", 0, 0, 0, 0, 1, ""),
        ("10.1.1.0/24", 0, 0, 0, 1, 0, ""),
    ]
    assert [one.name for one in report.sites] == ["Lyon", "", "Berlin"]


def test_the_counts_by_site_add_up_to_all_computers():
    hosts = [host("A", "smb " + OWN, site="Berlin"), host("B", site="Lyon")]
    report = fleet(hosts, expected={"A": "", "C": "Lyon", "D": ""})
    assert [(one.name, one.fails, one.no_evidence) for one in report.sites] == [
        ("Berlin", 1, 0),
        ("", 0, 1),
        ("Lyon", 0, 2),
    ]


def test_there_are_no_groups_of_what_nobody_knows_of_any_host():
    report = fleet([host("A", "smb " + OWN)])
    assert (report.subnets, report.sites) == ((), ())


def test_directions_and_devices():
    report = fleet(
        [
            host(
                "A 10.1.1.1", "smb " + OWN, "icmp-echo " + OWN, "http-management-point blocked at between by 10.9.0.1"
            ),
            host("B 10.1.1.2", "smb blocked at site-server"),
            host("C 10.1.1.3", "smb blocked at unknown"),
            host("D 10.1.1.4", "smb no-response"),
        ]
    )
    assert report.directions == (StopCount("site-server to client", 4), StopCount("client to management-point", 1))
    assert report.devices == (
        StopCount("10.9.0.1", 1),
        StopCount("each host's own firewall", 1),
        StopCount("site-server, address unknown", 1),
        StopCount("unknown device", 1),
    )


@given(fleets)
def test_counts_add_up_for_any_fleet(hosts):
    report = fleet(hosts)
    for one in report.methods:
        assert one.works + one.fails + one.unproven + one.no_evidence == len(hosts)
    failing = report.method(MAIN).fails
    assert sum(one.helps for one in report.changes) + report.unhelped == failing
    for groups in filter(None, (report.subnets, report.sites)):
        assert sum(one.works + one.fails + one.unproven + one.no_evidence for one in groups) == len(hosts)
        assert sum(one.fails for one in groups) == failing
    cover = report.coverage
    assert cover.with_evidence + cover.without_evidence + cover.without_source == cover.hosts


@given(fleets, st.randoms(use_true_random=False))
def test_the_order_of_the_hosts_does_not_matter(hosts, random):
    shuffled = list(hosts)
    random.shuffle(shuffled)
    assert fleet(shuffled) == fleet(hosts)


# nobody knows


def test_a_host_without_evidence_is_never_counted_as_working():
    seen_nothing, unclear = host("A"), host("B", "smb inconclusive")
    claims = [
        dataclasses.replace(one, outcomes=tuple(MethodOutcome(had.method, r.WORKS, (), ()) for had in one.outcomes))
        for one in (seen_nothing, unclear)
    ]
    report = fleet(claims)
    assert {(one.works, one.no_evidence) for one in report.methods} == {(0, 2)}
    assert {one.result for each in report.hosts for one in each.outcomes} == {NO_EVIDENCE}
    assert report.coverage.without_evidence == 2


def test_what_was_tried_and_shows_nothing_is_no_evidence():
    report = fleet([host("A", "smb inconclusive"), host("B", "smb allowed")], expected={"C": ""})
    push = report.method(MAIN)
    assert (push.unproven, push.no_evidence) == (1, 2)
    cover = report.coverage
    assert (cover.with_evidence, cover.without_evidence, cover.without_source) == (1, 1, 1)


def test_a_server_whose_log_was_read_is_not_without_a_source():
    report = fleet([host("A", "smb allowed")], expected={"A": "", "SRV": "", "B": ""}, servers=["SRV"])
    assert (report.expected, report.coverage.hosts) == (("B",), 2)


def test_all_forms_count_those_without_evidence_alike():
    report = site()
    count = report.method(MAIN).no_evidence
    assert count == report.coverage.without_evidence + report.coverage.without_source
    assert count == (report.frame().client_push == NO_EVIDENCE).sum()
    assert count == next(one["no_evidence"] for one in report.to_dict()["methods"] if one["id"] == MAIN)
    assert headline(report).endswith(f", {count} without evidence")
    assert report.to_text().startswith(headline(report))


def test_expected_hosts_and_those_whose_only_file_is_unreadable_are_told():
    lost = UnreadableFile("c.log", "C", "its reading ended the worker", "")
    report = fleet([host("A", "smb allowed")], expected={"A": "", "B": ""}, unreadable=[lost])
    assert report.expected == ("B", "C")
    assert (report.coverage.hosts, report.coverage.without_source) == (3, 2)


def test_the_span_of_all_times():
    report = fleet(
        [
            host("A", "smb allowed", first_time="2026-11-23T06:00:00.000000", last_time="2026-11-23T06:30:00.000000"),
            host("B", "smb allowed", first_time="2026-11-23T05:00:00.000000Z", last_time="2026-11-23T05:30:00.000000Z"),
            host("C"),
        ]
    )
    span = (report.coverage.first_time, report.coverage.last_time)
    assert span == ("2026-11-23T05:00:00.000000Z", "2026-11-23T06:30:00.000000")


def test_no_hosts_at_all():
    report = fleet([])
    assert (report.changes, report.causes, report.requirements, report.hosts) == ((), (), (), ())


def test_a_main_method_that_is_none():
    with pytest.raises(RulesetError, match="no method 'pull'"):
        fleet([], main="pull")


# the changes that help most


def test_the_own_firewall_of_all_hosts_is_one_change():
    assert changes(*(host(f"PC{n} 10.1.1.{n}", "smb " + OWN) for n in range(1, 6))) == [("client", "", "TCP 445", 5, 0)]


def test_a_device_that_is_the_host_itself_is_its_own_firewall():
    one = host("A 10.1.1.1", "smb blocked at unknown by 10.1.1.1")
    assert changes(one) == [("client", "", "TCP 445", 1, 0)]


def test_what_helps_most_comes_first():
    hosts = [host(f"A{n}", "smb blocked at between by 10.9.0.1") for n in range(2)]
    hosts += [host(f"B{n}", "smb " + OWN) for n in range(3)]
    assert changes(*hosts) == [("client", "", "TCP 445", 3, 2), ("between", "10.9.0.1", "TCP 445", 2, 0)]


def test_a_host_that_needs_two_is_helped_by_both_only():
    both = host("A", "smb " + OWN, "icmp-echo " + OWN)
    assert changes(both) == [("client", "", "ICMP echo requests, TCP 445", 1, 0)]
    assert changes(both, host("B", "smb " + OWN), host("C", "smb " + OWN)) == [
        ("client", "", "TCP 445", 2, 1),
        ("client", "", "ICMP echo requests", 1, 0),
    ]


def test_two_places_that_help_only_together_are_two_changes():
    two = host("A", "smb " + OWN, "rpc-endpoint-mapper blocked at between by 10.9.0.1")
    assert changes(two) == [("between", "10.9.0.1", "TCP 135", 0, 1), ("client", "", "TCP 445", 1, 0)]


def test_of_an_either_or_group_one_is_enough():
    at_one_place = host("A", "http-management-point " + OWN, "https-management-point " + OWN)
    assert changes(at_one_place) == [("client", "", "TCP 80 or TCP 443", 1, 0)]
    at_two = host("B", "http-management-point " + OWN, "https-management-point blocked at between by 10.9.0.1")
    assert changes(at_two, at_one_place) == [("client", "", "TCP 80 or TCP 443", 2, 0)]


def test_the_remedies_say_where_which_way_and_how():
    told = fleet(
        [
            *(host(f"A{n}", "smb " + OWN, "http-management-point " + OWN) for n in range(4)),
            *(host(f"B{n}", "smb blocked at between by 10.9.0.1") for n in range(3)),
            *(host(f"C{n}", f"smb blocked at site-server by {SERVER}") for n in range(2)),
            host("D", "rpc-dynamic blocked at unknown"),
        ]
    )
    assert [one.remedy for one in told.changes] == [
        "On 10.9.0.1, and on every other firewall on the path, allow TCP 445 (smb) from the site server (10.0.0.5) to "
        "the clients.",
        "On the clients, allow TCP 445 (smb) inbound from the site server (10.0.0.5) and TCP 80 "
        "(http-management-point) outbound to the management point (10.0.0.7). One Group Policy Object covers all "
        "of them.",
        "On the site server 10.0.0.5, allow TCP 445 (smb) outbound to the clients.",
        "Allow TCP dynamic 49152-65535 (rpc-dynamic) from the site server (10.0.0.5) to the clients. The "
        "blocking device is unknown: first find where the packets stop, as the report of `auditor analyze` on one "
        "computer shows.",
    ]


def test_a_change_names_the_servers_of_few_sites_only():
    one = host("A", "smb " + OWN)
    sites = [
        dataclasses.replace(
            one,
            host=f"A{n}",
            seen=tuple(
                dataclasses.replace(seen, source=dataclasses.replace(seen.source, address=f"10.{n}.0.5"))
                for seen in one.seen
            ),
        )
        for n in range(4)
    ]
    assert "inbound from the site server (10.0.0.5, 10.1.0.5, 10.2.0.5). " in fleet(sites[:3]).changes[0].remedy
    assert "inbound from the site server. " in fleet(sites).changes[0].remedy


def test_where_sites_use_several_ports_the_ports_of_all_of_them_are_asked_for():
    one = host("A", "http-management-point " + OWN)
    other = dataclasses.replace(
        one, host="B", seen=tuple(dataclasses.replace(seen, ports=(8080,)) for seen in one.seen)
    )
    assert changes(other) == [("client", "", "TCP 8080", 1, 0)]
    assert changes(one, other) == [("client", "", "TCP 80 and 8080", 2, 0)]
    assert "allow TCP 80 and 8080 (http-management-point) outbound" in fleet([one, other]).changes[0].remedy


def test_what_no_rule_helps_is_told_with_the_port_of_its_site():
    one = host("A", "smb refused at client")
    other = dataclasses.replace(
        one, host="B", seen=tuple(dataclasses.replace(seen, ports=(4450,)) for seen in one.seen)
    )
    told = [cause.remedy for cause in fleet([one, other]).causes]
    assert [("TCP 445 (smb)" in text, "TCP 4450 (smb)" in text) for text in told] == [(True, False), (False, True)]


@given(fleets)
def test_every_host_that_a_rule_can_help_is_helped_in_the_end(hosts):
    report = fleet(hosts)
    left = [one.remaining for one in report.changes]
    assert left == sorted(left, reverse=True)
    assert left[-1:] in ([], [report.unhelped])


NEEDS = st.frozensets(
    st.frozensets(st.builds(Opening, st.sampled_from("pq"), st.sampled_from("xy"), st.sampled_from("ab")), min_size=1),
    min_size=1,
    max_size=3,
)


@given(st.dictionaries(NEEDS, st.integers(1, 50), max_size=8))
def test_the_steps_are_those_of_a_plain_search(hosts):
    made: set[Opening] = set()
    steps = iter(in_order(hosts))
    left = dict(hosts)
    while left:
        sets = {one - made for needs in hosts for one in needs} - {frozenset()}
        best = min(sets, key=lambda one: (-helped(left, made | one) / len(one), -helped(left, made | one), sorted(one)))
        count = sum(step[1] for step in places(steps, best))
        assert count == helped(left, made | best)
        made |= best
        left = {needs: count for needs, count in left.items() if not any(one <= made for one in needs)}
    assert list(steps) == []


def helped(hosts, opened):
    return sum(count for needs, count in hosts.items() if any(one <= opened for one in needs))


def places(steps, wanted):
    """Take the steps, a place each, that open what is wanted."""
    taken: set[Opening] = set()
    while taken != wanted:
        step = next(steps)
        assert len({(one.place, one.device) for one in step[0]}) == 1
        taken |= step[0]
        yield step


# what no rule helps


def test_computers_that_nothing_is_heard_of_are_one_cause_and_no_change():
    off = host("A", "icmp-echo no-response", "smb no-response")
    assert (changes(off), causes(off)) == ([], [("no-response", "", "", 1)])


def test_a_problem_on_an_open_port_is_no_matter_of_firewalls():
    denied = host("A", "smb STATUS_ACCESS_DENIED", "icmp-echo " + OWN)
    assert changes(denied) == []
    (cause,) = fleet([denied]).causes
    assert (cause.verdict, cause.code, cause.requirement) == ("problem", "STATUS_ACCESS_DENIED", "client-push/smb")
    assert "add the client push installation account to the local Administrators group" in cause.remedy


def test_where_nobody_listens_no_rule_helps():
    told = causes(host("A", "smb refused at client"), host("B", "smb blocked at client unserved"))
    assert told == [("blocked", "", "client-push/smb", 1), ("refused", "", "client-push/smb", 1)]


def test_a_device_that_rejects_is_a_matter_of_firewalls():
    assert changes(host("A", "smb refused at between by 10.9.0.1")) == [("between", "10.9.0.1", "TCP 445", 1, 0)]


def test_a_silent_management_point_is_not_a_silent_computer():
    told = fleet([host("A", "http-management-point no-response")]).causes
    assert [(one.verdict, one.requirement) for one in told] == [("no-response", "client-push/http-management-point")]
    assert told[0].remedy.startswith("Check that the management point is on")


def test_a_host_that_fails_for_nothing_that_is_told_is_not_helped():
    untold = dataclasses.replace(host("A", "smb blocked at client"), seen=())
    report = fleet([untold])
    assert (report.changes, report.unhelped) == ((), 1)
    assert report.causes[0].remedy == "The sources do not show the cause. See the page of each computer."


def test_each_host_that_no_rule_helps_counts_once():
    report = site()
    assert [one.hosts for one in report.causes] == [1, 1]
    assert report.unhelped == report.changes[-1].remaining == 2


def test_where_no_rule_helps_the_remedy_says_so(tmp_path: Path):
    known = {"roles": {"site-server": "10.0.0.5", "client": "10.0.0.20"}, "dissect": False}
    log, capture = tmp_path / "security.jsonl", tmp_path / "refused.pcap"
    log.write_bytes(lines(blocked(FilterOrigin="Stealth")))
    capture.write_bytes(pcap(scene(["0 10.0.0.5:50000 > 10.0.0.20:445/tcp REJ"])))
    for source in (log, capture):
        smb = auditor.audit(source, **known).client().requirement("client-push/smb")
        assert smb.remedy[0].kind in NO_RULE_HELPS


def test_no_rule_helps_by_remedies_that_exist():
    assert {f"remedy.{kind}" for kind in NO_RULE_HELPS} <= templates().keys()


def test_counts_of_devices_are_of_hosts_not_of_requirements():
    report: FleetReport = fleet([host("A 10.1.1.1", "smb " + OWN, "icmp-echo " + OWN)])
    assert Counter({one.name: one.hosts for one in report.devices}) == {"each host's own firewall": 1}


@pytest.mark.parametrize("how", ["unreachable", "no-response"])
def test_a_computer_that_is_not_reached_is_one_cause_and_a_server_that_is_not_another(how):
    client, server = host("A", f"icmp-echo {how}", f"smb {how}"), host("B", f"http-management-point {how}")
    assert causes(client, server) == [(how, "", "", 1), (how, "", "client-push/http-management-point", 1)]


def test_what_is_not_answered_or_not_reached_behind_a_device_is_no_matter_of_its_rules():
    hosts = host("A", "smb no-response at between"), host("B", "smb unreachable at between by 10.9.0.1")
    assert (changes(*hosts), len(causes(*hosts))) == ([], 2)


def test_its_own_firewall_is_that_of_a_host_under_whatever_address():
    one = host("A 10.1.1.1", "smb " + OWN)
    assert changes(dataclasses.replace(one, addresses=("10.1.1.2",))) == [("client", "", "TCP 445", 1, 0)]


def test_a_block_of_which_no_place_is_known_is_of_an_unknown_place():
    assert changes(host("A", "smb blocked")) == [("unknown", "", "TCP 445", 1, 0)]


def test_a_block_between_by_an_unknown_device_is_a_change_of_the_devices_between():
    (change,) = fleet([host("A", "smb blocked at between")]).changes
    assert (change.place, change.device) == ("between", "")
    assert change.remedy.startswith("On the firewalls on the path, allow TCP 445 (smb)")


def test_a_device_that_is_known_is_named_wherever_it_stands():
    (change,) = fleet([host("A", "smb blocked at unknown by 10.9.0.1")]).changes
    assert (change.place, change.device) == ("unknown", "10.9.0.1")
    assert change.remedy.startswith("On 10.9.0.1, and on every other firewall on the path, allow TCP 445 (smb)")


def test_of_two_ways_the_one_that_a_rule_stops_is_opened_if_the_other_is_not_in_use():
    rule, used = "http-management-point " + OWN, "https-management-point CERTIFICATE_EXPIRED"
    assert changes(host("A", rule, "https-management-point no-response")) == [("client", "", "TCP 80", 1, 0)]
    in_use = host("A", rule, used)
    assert (changes(in_use), causes(in_use)[0][:2]) == ([], ("problem", "CERTIFICATE_EXPIRED"))


def test_two_ways_are_named_in_the_order_of_the_ruleset_and_as_alternatives():
    hosts = [host("A", "https-management-point " + OWN), host("B", "http-management-point " + OWN)]
    both = host("C", "http-management-point " + OWN, "https-management-point " + OWN)
    assert changes(*hosts, both) == [("client", "", "TCP 80 or TCP 443", 3, 0)]
    assert "whichever" in fleet([*hosts, both]).changes[0].remedy
    assert "whichever" not in fleet(hosts[:1]).changes[0].remedy


def test_the_ports_of_several_sites_stand_in_their_order():
    one = host("A", "http-management-point " + OWN)
    sites = [
        dataclasses.replace(one, host=f"A{port}", seen=(dataclasses.replace(one.seen[0], ports=(port,)),))
        for port in (8081, 80, 8080, 81, 8000)
    ]
    assert fleet(sites).changes[0].ports == "TCP 80 and 81 and 8000 and 8080 and 8081"


def test_the_cause_of_most_hosts_comes_first():
    hosts = [host("A", "smb unreachable"), *(host(f"B{n}", "smb refused at client") for n in range(2))]
    assert [(one.verdict, one.hosts) for one in fleet(hosts).causes] == [("refused", 2), ("unreachable", 1)]


def test_of_several_problems_the_fatal_one_is_the_cause():
    one = host("A", "smb STATUS_ACCESS_DENIED")
    (fatal,) = one.seen[0].problems
    first = dataclasses.replace(fatal, code="STATUS_BAD_NETWORK_NAME", fatal=False)
    both = dataclasses.replace(one, seen=(dataclasses.replace(one.seen[0], problems=(first, fatal)),))
    assert causes(both) == [("problem", "STATUS_ACCESS_DENIED", "client-push/smb", 1)]
    none = dataclasses.replace(one, seen=(dataclasses.replace(one.seen[0], problems=(first,)),))
    assert causes(none) == [("problem", "", "client-push/smb", 1)]


def test_a_problem_of_which_nothing_is_known_is_told_without_advice():
    known, unknown = (fleet([host("A", f"smb {code}")]).causes[0] for code in ("STATUS_ACCESS_DENIED", "STATUS_NEW"))
    assert unknown.remedy.startswith("TCP 445 (smb) is open")
    assert known.remedy.startswith(unknown.remedy)


def test_a_code_is_explained_by_the_protocol_that_it_is_of():
    """404 is a status of HTTP, and nothing of SMB."""
    one = host("A", "http-management-point NO_SUCH_PAGE")
    (problem,) = one.seen[0].problems

    def remedy(layer: str) -> str:
        seen = dataclasses.replace(one.seen[0], problems=(dataclasses.replace(problem, layer=layer, code="404"),))
        return fleet([dataclasses.replace(one, seen=(seen,))]).causes[0].remedy

    assert remedy("http").startswith(remedy("smb"))
    assert len(remedy("http")) > len(remedy("smb"))


def test_computers_without_a_route_are_told_from_silent_ones_and_from_what_is_not_known():
    untold = dataclasses.replace(host("C", "smb blocked at client"), seen=())
    remedies = {
        fleet([one]).causes[0].remedy for one in (host("A", "smb unreachable"), host("B", "smb no-response"), untold)
    }
    assert len(remedies) == 3


# what is blamed, and what helps


def of_server(of: HostResult, address: str, row: int = 0) -> HostResult:
    """Return the host with one of its rows from another site server."""
    seen = list(of.seen)
    seen[row] = dataclasses.replace(seen[row], source=r.Endpoint("site-server", address))
    return dataclasses.replace(of, seen=tuple(seen))


def test_of_a_requirement_that_another_site_server_meets_only_the_row_that_fails_is_blamed():
    met = host("A", "smb open").seen
    of = host("A", "smb " + OWN)
    of = of_server(dataclasses.replace(of, seen=of.seen + met), "10.0.0.6", row=1)
    assert [(row.id, row.verdict, row.hosts) for row in fleet([of]).requirements] == [("client-push/smb", "blocked", 1)]


def test_a_block_that_stops_nothing_is_not_blamed_for_a_host_that_fails():
    of = host("A", "smb " + OWN, "http-management-point open", "https-management-point " + OWN)
    assert [row.id for row in fleet([of]).requirements] == ["client-push/smb"]
    assert changes(of) == [("client", "", "TCP 445", 1, 0)]


def test_what_two_site_servers_need_is_needed_together():
    of = of_server(host("A", "smb " + OWN, "smb blocked at between by 10.9.0.1"), "10.0.0.6", row=1)
    assert changes(of) == [("between", "10.9.0.1", "TCP 445", 0, 1), ("client", "", "TCP 445", 1, 0)]


def test_of_two_ways_to_a_management_point_either_helps():
    ways = ("http-management-point " + OWN, "https-management-point blocked at between by 10.9.0.1")
    of = host("A", *ways)
    assert len(changes(of)) == 1
    http, https = of.seen
    elsewhere = dataclasses.replace(https, destination=r.Endpoint("management-point", "10.0.0.8"))
    assert changes(dataclasses.replace(of, seen=(http, elsewhere))) == changes(of)


def test_a_site_server_without_an_address_is_named_by_its_role():
    of = host("A", "smb " + OWN)
    (change,) = fleet([dataclasses.replace(of, seen=tuple(_without_address(row) for row in of.seen))]).changes
    assert "None" not in change.remedy
    assert "the site server" in change.remedy


def _without_address(row: RequirementResult) -> RequirementResult:
    return dataclasses.replace(row, source=r.Endpoint(row.source.role, None))


def test_a_server_that_is_not_reached_is_the_one_that_is_asked():
    (cause,) = fleet([host("A", "https-management-point unreachable")]).causes
    assert cause.remedy.startswith("Check that the management point")


# steps of logs


def stopped(name: str, *steps: FailedStep, result: str = r.FAILS) -> HostResult:
    """Return a host of which a log reports these steps."""
    of = host(name, "icmp-echo allowed", failed_steps=steps)
    push = MethodOutcome(MAIN, result, (), ())
    return dataclasses.replace(of, outcomes=(push, *(outcome for outcome in of.outcomes if outcome.method != MAIN)))


def step(code: str, *, fails: bool = True) -> FailedStep:
    meaning = StepMeaning("service", code, f"cause of {code}", "correct it")
    proof = Proof("ccm.log", (7,), (), f"line with {code}", "")
    return FailedStep(MAIN, fails, "service", code, "", "", (proof,), meaning)


def test_a_host_is_counted_at_its_first_failed_step():
    report = fleet([stopped("A", step("1053"), step("5")), stopped("B", step("1053"))])
    assert [(cause.code, cause.hosts, cause.example_host) for cause in report.causes] == [("1053", 2, "A")]


def test_a_step_that_fails_is_no_unproven_one():
    report = fleet([stopped("A", step("5")), stopped("B", step("", fails=False), result=r.UNPROVEN)])
    assert [cause.code for cause in report.causes] == ["5"]
    assert [cause.code for cause in report.unproven_steps] == [""]
