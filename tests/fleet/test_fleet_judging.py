"""Judging one host of a fleet: who plays which role at its site, and what its sources come to together."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path

import contacting
import pytest
from logs import firewall_log, row
from packets import pcap
from scenario import scene
from setup_logs import SERVICE, log

from auditor.fleet import evaluate as judging
from auditor.fleet.summaries.question import AuditSettings, methods_of
from auditor.fleet.summaries.summary import Entry, summarize
from auditor.report.fleet_model import HostResult, RequirementResult
from auditor.ruleset.ruleset import load_ruleset
from auditor.ruleset.site import Site
from auditor.sources.source import CAPTURE
from auditor.verdicts.installations.contacts import Contact
from auditor.verdicts.installations.roles import RoleMap
from auditor.version import Tool

pytestmark = pytest.mark.slow

RULES = load_ruleset()
SERVER, CLIENT, OTHER, POINT = "10.0.0.5", "10.0.0.20", "10.0.0.21", "10.0.0.80"
ROLES = {"site-server": SERVER, "management-point": POINT}

SCANNED = (445, 135, 21, 22, 23, 25, 53, 80, 110)
LOST = "2023-11-14 08:00:40 INFO-EVENTS-LOST - - - - - - - - - - - - 7 - 4"

Judged = Callable[..., HostResult]


def asking(roles: dict[str, object]) -> AuditSettings:
    named = {role: (one,) if isinstance(one, str) else one for role, one in roles.items()}
    return AuditSettings(RULES, Site(roles=named, mode="mixed"), methods_of(RULES, ()))


def contact(src: str, dst: str, **more: object) -> Contact:
    return contacting.contact(src, dst, (445, 135), "sent retried accepted")._replace(**more)


def cast(*contacts: Contact, **roles: object) -> RoleMap:
    named = {role.replace("_", "-"): one for role, one in roles.items()}
    return judging.casts({"": contacts}, asking(named).question)[""]


@pytest.fixture
def judged(write: Callable[[bytes], Path], tmp_path: Path) -> Judged:
    """Return how to judge one host by logs (lists of rows) and captures (lines of a scene)."""

    def judged(*sources: list[str], roles: dict[str, object] = ROLES, host: str = "PC1") -> HostResult:
        return judging.judge(host, "BERLIN", *_evaluated(sources, asking(roles), tmp_path, write))

    return judged


@pytest.fixture
def roles_of(write: Callable[[bytes], Path], tmp_path: Path) -> Callable[..., list[tuple[str, str, str]]]:
    """Return role, address, and origin of all roles in the report on one host."""

    def roles_of(*sources: list[str], roles: dict[str, object] = ROLES) -> list[tuple[str, str, str]]:
        report = judging.report("BERLIN", *_evaluated(sources, asking(roles), tmp_path, write), Tool("auditor", "1.0"))
        return [(role.role, role.address, role.how) for role in report.roles]

    return roles_of


def _evaluated(
    sources: Sequence[list[str]], asked: AuditSettings, folder: Path, write: Callable[[bytes], Path]
) -> tuple[list[Entry], judging.EvaluationContext]:
    entries = [entry for number, lines in enumerate(sources) for entry in _entries(lines, number, folder, write, asked)]
    own = {address for entry in entries for address in entry.addresses}
    contacts = [contact for entry in entries for contact in entry.source.details.contacts if contact.dst in own]
    casts = judging.casts({"BERLIN": contacts}, asked.question)
    clients = sorted({push.to_address for push in casts["BERLIN"].judged})
    parts = [entry.about(clients) if entry.source.kind == CAPTURE else entry for entry in entries]
    return parts, judging.EvaluationContext(asked.question, asked.site, asked.rules, asked.methods, casts)


def _entries(
    lines: list[str], number: int, folder: Path, write: Callable[[bytes], Path], asked: AuditSettings
) -> Iterable[Entry]:
    if lines[0].startswith("<![LOG["):
        path = folder / f"{number}-ccmsetup.log"
        path.write_text("".join(lines), newline="")
    elif "/" in lines[0]:
        path = write(pcap(scene(lines)))
    else:
        path = folder / f"{number}.log"
        path.write_bytes(firewall_log(*(one if one == LOST else row(one) for one in lines)))
    return summarize(path, roles=asked.site.roles).entries


def smb(action: str, time: str = "08:00:00", *, client: str = CLIENT, server: str = SERVER) -> str:
    return f"{time} {action} {server}:50000 > {client}:445 {'S' if action == 'DROP' else '-'} RECEIVE"


def seen(host: HostResult, name: str) -> RequirementResult:
    return next(one for one in host.seen if one.requirement == f"client-push/{name}")


# what logs of ConfigMgr report of a host

CCMSETUP = log(
    *SERVICE, f'<IPAddress SubnetAddress="10.0.0.0" Address="{CLIENT}"/>', "CcmSetup failed with error code 0x80070643"
)


def test_an_installation_that_its_log_reports_as_failed_fails(judged):
    assert judged([CCMSETUP], roles={}).outcome("client-push").result == "fails"


def test_its_log_counts_beside_the_log_of_its_firewall(judged):
    rows = [smb("ALLOW"), smb("ALLOW").replace(":445", ":135")]
    assert judged(rows).outcome("client-push").result == "unproven"
    host = judged(rows, [CCMSETUP])
    assert (host.outcome("client-push").result, host.addresses) == ("fails", (CLIENT,))


def test_who_its_log_names_has_a_role_once(roles_of):
    log_of_client = log(*SERVICE, f"Only one MP http://{POINT} is specified. Use it.")
    rows = [smb("DROP"), smb("DROP").replace(":445", ":135")]
    assert roles_of(rows, [log_of_client], roles={}).count(("management-point", POINT, "read")) == 1
    named = roles_of(rows, [log_of_client], roles={"management-point": POINT})
    assert [role for role in named if role[1] == POINT] == [("management-point", POINT, "given")]


def test_who_may_push_is_inferred_unless_site_servers_were_set(roles_of):
    rows = [smb("DROP"), smb("DROP").replace(":445", ":135"), smb("DROP", "09:00:00", server="10.0.0.6")]
    assert ("site-server", "10.0.0.6", "inferred") in roles_of(rows, roles={})
    assert "10.0.0.6" not in [address for _, address, _ in roles_of(rows, roles={"site-server": SERVER})]


def test_a_line_of_a_log_stands_once_among_the_proof(judged):
    """The last row of the firewall's log is not left out for it."""
    address = f'<IPAddress SubnetAddress="10.0.0.0" Address="{CLIENT}"/>'
    request = f"[CCMHTTP] ERROR: URL=http://{POINT}/ccm_system/request, Port=80, Options=224, Code=12029, Text="
    web = [f"08:00:0{n} DROP {CLIENT}:{51000 + n} > {POINT}:80 S SEND" for n in range(2)]
    proof = seen(judged([smb("ALLOW"), *web], [log(*SERVICE, address, request)]), "http-management-point").proof
    assert [(Path(part.path).name, part.lines) for part in proof] == [
        ("1-ccmsetup.log", (5,)),
        ("0.log", (7,)),
        ("0.log", (8,)),
    ]


# who plays which role at a site


def test_what_looks_like_something_else_is_told_with_the_hosts_that_sent_most():
    hosts = [f"10.9.0.{n}" for n in range(1, 8)]
    scans = [contact(host, f"10.0.1.{n}", other_ports=9) for n, host in enumerate(hosts)]
    notes = cast(*scans, contact(hosts[3], "10.0.1.99", other_ports=9)).notes
    (scanned,) = [note for note in notes if note.startswith("Not evaluated")]
    shown = ", ".join(f"{one} (to 1 computer)" for one in hosts[:3])
    assert scanned == (
        f"Not evaluated, because it looks like scans: traffic from {hosts[3]} (to 2 computers), {shown}, {hosts[4]} "
        "(to 1 computer) and 2 more."
    )


def test_each_kind_of_other_traffic_is_told_once():
    readers = [contact(f"10.9.0.{n}", "10.0.1.9", ports=frozenset((445,))) for n in range(3)]
    notes = cast(contact("10.9.1.1", "10.0.1.1", controller=True), *readers, contact(SERVER, CLIENT)).notes
    told = [note for note in notes if note.startswith("Not evaluated")]
    assert [note.partition(":")[0].removeprefix("Not evaluated, because it looks like ") for note in told] == [
        "logons at a domain controller",
        "file sharing",
    ]


def test_a_site_server_that_was_named_and_is_nowhere_is_told():
    push = contact(SERVER, CLIENT)
    assert any("10.0.0.77" in note for note in cast(push, site_server="10.0.0.77").notes)
    assert not any(SERVER in note for note in cast(push, site_server=SERVER).notes)


def test_that_no_management_point_was_named_is_told():
    assert any(note.startswith("No management point was set, so its ports are not evaluated") for note in cast().notes)
    assert cast(management_point=POINT).notes == ()


def test_a_site_server_that_is_inferred_says_why():
    (server,) = cast(contact(SERVER, "10.0.1.1"), contact(SERVER, "10.0.1.2")).assignments
    assert (server.role, server.how, server.how_sure) == ("site-server", "inferred", "likely")
    assert server.why == "connects to 2 computers like a client push"


def test_site_servers_that_were_named_are_there_once_whether_they_were_seen_or_not():
    named = cast(contact(SERVER, CLIENT), site_server=("10.0.0.6", SERVER))
    assert [(one.address, one.how) for one in named.assignments] == [("10.0.0.6", "given"), (SERVER, "given")]
    network = cast(contact(SERVER, CLIENT), site_server="10.0.0.0/29")
    assert [(one.address, one.how) for one in network.assignments] == [(SERVER, "given")]


def test_who_may_push_is_no_site_server_beside_those_who_do():
    roles = cast(contact(SERVER, CLIENT), contact("10.0.0.6", "10.0.1.9", ports=frozenset((445,))))
    assert {push.from_address for push in roles.judged} == {SERVER, "10.0.0.6"}
    assert [server.address for server in roles.assignments] == [SERVER]


def test_site_servers_are_in_order_of_address():
    """Whichever computers they contact."""
    servers = cast(contact("10.0.0.6", "10.0.1.1"), contact("10.0.0.5", "10.0.1.2")).assignments
    assert [one.address for one in servers] == ["10.0.0.5", "10.0.0.6"]


def test_clients_that_were_named_have_no_role_at_the_site():
    assert cast(client=CLIENT).assignments == ()


def test_only_servers_that_were_named_are_no_targets():
    named = cast(contact("10.0.0.6", CLIENT), management_point=POINT)
    assert judging.servers(named) == {POINT: "management-point"}


@pytest.mark.parametrize(
    ("address", "subnet"), [("10.0.1.77", "10.0.1.0/24"), ("fd00:1:2:3:4::5", "fd00:1:2:3::/64"), ("", "")]
)
def test_a_subnet_is_cut_as_networks_usually_are(address, subnet):
    assert judging.subnet_of(address) == subnet


# what all sources of a host say


def test_a_row_names_the_computers_at_both_ends(judged):
    row = seen(judged([smb("DROP")]), "smb")
    assert (row.source.role, row.source.address) == ("site-server", SERVER)
    assert (row.destination.role, row.destination.address) == ("client", CLIENT)


def test_a_host_is_judged_by_all_of_its_sources(judged):
    host = judged([smb("DROP", "08:00:00")], [smb("ALLOW", "09:00:00")])
    assert (host.host, host.site, host.addresses, host.subnet) == ("PC1", "BERLIN", (CLIENT,), "10.0.0.0/24")
    assert (seen(host, "smb").verdict, seen(host, "smb").attempts, host.records) == ("blocked", 2, 2)
    assert (host.first_time, host.last_time) == ("2023-11-14T08:00:00.000000", "2023-11-14T09:00:00.000000")
    assert [Path(one).name for one in host.files] == ["0.log", "1.log"]


def test_the_order_of_its_sources_does_not_matter(judged):
    early, late = [smb("DROP", "08:00:00"), smb("DROP", "08:10:00")], [smb("ALLOW", "09:00:00")]
    for host in (judged(early, late), judged(late, early)):
        assert host.outcome("client-push").result == "fails"
        assert (host.first_time, host.last_time) == ("2023-11-14T08:00:00.000000", "2023-11-14T09:00:00.000000")


def test_its_times_are_those_of_the_first_and_the_last_row(judged):
    host = judged([smb("DROP", "08:00:00"), smb("DROP", "08:10:00")])
    assert (host.first_time, host.last_time) == ("2023-11-14T08:00:00.000000", "2023-11-14T08:10:00.000000")


def test_the_source_that_begins_first_is_cited_first(judged):
    """Though it ends last, and has the later name."""
    first = [smb("DROP", time).replace("50000", port) for time, port in (("08:00:00", "50001"), ("10:00:00", "50002"))]
    shown = seen(judged([smb("DROP", "09:00:00")], first), "smb").proof
    assert [Path(one.path).name for one in shown] == ["1.log", "1.log", "0.log"]


def test_what_is_wrong_with_its_sources_is_told_of_five_of_them(judged):
    assert judged([smb("DROP")]).warnings == ()
    logs = [[smb("DROP", f"08:00:{n:02}"), LOST] for n in range(6)]
    warnings = judged(*logs).warnings
    assert [Path(one.partition(": ")[0]).name for one in warnings] == [f"{n}.log" for n in range(5)]


def test_what_one_capture_says_of_two_addresses_of_a_host_is_one_source(judged):
    lines = [f"{n} {SERVER}:{50000 + n} > 10.0.0.{20 + n}:445/tcp REJ" for n in range(2)]
    host = judged(lines)
    assert (set(host.addresses), len(host.files)) == ({CLIENT, "10.0.0.21"}, 1)
    assert (host.records, seen(host, "smb").verdict) == (4, "refused")


def test_a_device_that_stopped_it_before_is_none_of_an_open_port(judged):
    host = judged(
        [f"0 {SERVER}:50000 > {CLIENT}:445/tcp prohibited by 10.0.0.1", f"5 {SERVER}:50001 > {CLIENT}:445/tcp SF"]
    )
    assert (seen(host, "smb").verdict, seen(host, "smb").device) == ("open", None)


def test_a_port_that_another_may_stand_in_for_is_not_blamed(judged):
    web = f"08:00:00 DROP {CLIENT}:50000 > 10.0.0.83:80 - SEND"
    outcome = judged([web], roles={"software-update-point": "10.0.0.83"}).outcome("software-update-point")
    assert (outcome.result, outcome.failed) == ("unproven", ())


def test_its_address_is_the_one_at_which_the_main_method_was_decided(judged):
    other = "09:00:00 DROP 10.0.0.21:50000 > 10.0.0.84:445 S SEND"
    host = judged([smb("DROP"), other], roles=ROLES | {"distribution-point": "10.0.0.84"})
    assert host.addresses[0] == CLIENT


def test_a_file_that_is_there_twice_counts_once_and_both_are_named(judged):
    host = judged([smb("DROP")], [smb("DROP")])
    assert (seen(host, "smb").attempts, host.records, len(host.files)) == (1, 1, 2)


def test_a_host_that_was_not_tried_has_no_evidence(judged):
    host = judged([f"08:00:00 ALLOW {CLIENT}:50000 > 10.0.0.99:7000 - SEND"])
    assert {one.result for one in host.outcomes} == {"no-evidence"}
    assert (host.seen, host.addresses[:1], host.outcome("client-push").unverified) == ((), (CLIENT,), ())
    assert "client-push" in host.recommended


def test_what_fails_is_blamed_and_what_is_missing_is_not(judged):
    push = judged([smb("DROP")]).outcome("client-push")
    assert (push.result, push.failed, push.unverified) == ("fails", ("client-push/smb",), ())


def test_what_is_missing_is_told_where_nothing_fails(judged):
    push = judged([smb("ALLOW")]).outcome("client-push")
    assert (push.result, push.failed) == ("unproven", ())
    assert "client-push/rpc-endpoint-mapper" in push.unverified
    assert "client-push/smb" not in push.unverified


def test_of_several_pushes_the_one_that_fails_counts(judged):
    """Also if the other is likelier to be a push: that proves nothing about another site server."""
    mapper = smb("ALLOW").replace(":445", ":135")
    other = smb("DROP", server="10.0.0.6")
    roles = {"management-point": POINT}
    assert judged([smb("ALLOW"), mapper, other], roles=roles).outcome("client-push").result == "fails"
    both = [other, other.replace(":445", ":135")]
    assert judged([smb("ALLOW"), mapper, *both], roles=roles).outcome("client-push").result == "fails"


@pytest.mark.parametrize("other", ["10.0.0.4", "10.0.0.6"])
def test_where_none_fails_the_likeliest_push_counts(judged, other):
    mapper = smb("DROP").replace(":445", ":135")
    weak = smb("ALLOW", "09:00:00", server=other)
    rows = [smb("ALLOW"), mapper.replace("DROP", "ALLOW"), weak]
    host = judged(rows, roles={"management-point": POINT})
    assert (host.outcome("client-push").result, seen(host, "smb").source.address) == ("unproven", SERVER)


@pytest.mark.parametrize(("time", "result"), [("23:00:00", "fails"), ("21:00:00", "works")])
def test_what_fails_without_a_push_counts_at_a_later_address_only(judged, time, result):
    push = [
        f"0 {SERVER} > {CLIENT}/icmp answered",
        *(f"1 {SERVER}:{50000 + port} > {CLIENT}:{port}/tcp SF" for port in (445, 135)),
        f"2 {SERVER}:50001 > {CLIENT}:49700/tcp SF",
        f"3 {CLIENT}:50000 > {POINT}:80/tcp SF",
    ]
    web = [f"{time} DROP 10.0.0.21:50000 > {POINT}:{port} S SEND" for port in (80, 443)]
    assert judged(push).outcome("client-push").result == "works"
    assert judged(push, web).outcome("client-push").result == result


def test_a_host_with_a_log_is_evaluated_although_it_was_only_scanned(judged):
    scan = [f"08:00:0{n} DROP 10.0.0.7:{50000 + n} > {CLIENT}:{port} S RECEIVE" for n, port in enumerate(SCANNED)]
    web = [f"08:01:00 DROP {CLIENT}:{51000 + port} > {POINT}:{port} S SEND" for port in (80, 443)]
    host = judged([*scan, *web], roles={"management-point": POINT})
    assert host.outcome("group-policy").result == "fails"


def test_of_another_push_only_what_fails_is_shown_beside(judged):
    servers = (SERVER, "10.0.0.6")
    rows = [smb("ALLOW", server=server) for server in servers]
    rows += [smb("DROP", server=server).replace(":445", ":135").replace(":50000", ":50001") for server in servers]
    shown = [row.requirement for row in judged(rows, roles={"management-point": POINT}).seen]
    assert shown.count("client-push/smb") == 1
    assert shown.count("client-push/rpc-endpoint-mapper") == 2


def test_what_another_push_fails_for_is_shown_also_if_it_is_not_proven(judged):
    pushes = [
        f"{second} {server}:{50000 + port} > {CLIENT}:{port}/tcp {state}"
        for second, server in enumerate((SERVER, "10.0.0.6"))
        for port, state in ((445, "SF"), (135, "REJ"))
    ]
    mappers = [row for row in judged(pushes).seen if row.requirement == "client-push/rpc-endpoint-mapper"]
    assert [(row.source.address, row.verdict) for row in mappers] == [(SERVER, "refused")]
    mappers = [row for row in judged(pushes, roles={}).seen if row.requirement == "client-push/rpc-endpoint-mapper"]
    assert {(row.source.address, row.verdict) for row in mappers} == {(SERVER, "refused"), ("10.0.0.6", "refused")}


def test_a_method_without_a_push_is_that_of_the_address_at_which_the_push_was_decided(judged):
    web = [f"23:00:00 DROP {OTHER}:50000 > {POINT}:{port} S SEND" for port in (80, 443)]
    host = judged([smb("DROP")], web)
    assert (host.addresses, host.outcome("group-policy").result) == ((CLIENT, OTHER), "no-evidence")


def test_a_proven_block_of_another_push_is_shown_although_it_does_not_fail_it(judged):
    """The document lists UDP 135, which a push does not need."""
    other = [smb("ALLOW", server="10.0.0.6"), smb("ALLOW", server="10.0.0.6").replace(":445", ":135")]
    drop = f"08:00:00 DROP 10.0.0.6:50000 > {CLIENT}:135/udp - RECEIVE"
    host = judged([smb("DROP"), *other, drop], roles={"management-point": POINT})
    assert host.outcome("client-push").failed == ("client-push/smb",)
    assert [row.source.address for row in host.seen if row.requirement.endswith("-udp")] == ["10.0.0.6"]


def test_a_site_server_has_its_role_once(roles_of):
    rows = [smb("DROP"), smb("DROP").replace(":445", ":135")]
    assert [address for role, address, _ in roles_of(rows, roles={}) if role == "site-server"] == [SERVER]


def test_the_kind_of_a_remedy_is_that_of_its_first_step(judged):
    assert seen(judged([smb("DROP")]), "smb").remedy_kind == "allow-inbound"


def test_a_mode_may_decide_only_where_its_port_fails(judged):
    host = judged([f"08:00:00 DROP {CLIENT}:50000 > {POINT}:80 - SEND"])
    assert [judging.may_decide(mode, host, RULES) for mode in ("mixed", "native")] == [True, False]


def test_a_scan_of_a_host_is_no_push_that_fails(judged):
    push = [f"0 {SERVER}:50000 > {CLIENT}:445/tcp SF", f"1 {SERVER}:50001 > {CLIENT}:135/tcp SF"]
    scan = [f"{5 + n / 10} 10.0.0.7:{50000 + n} > {CLIENT}:{port}/tcp REJ" for n, port in enumerate(SCANNED)]
    scanned = judged([*push, *scan, "until 60"], roles={})
    assert scanned.outcome("client-push").result == "unproven"
    assert seen(scanned, "smb").source.address == SERVER


def test_what_methods_share_is_told_once(judged):
    web = f"08:00:00 ALLOW {CLIENT}:50000 > {POINT}:80 - SEND"
    rows = [one.requirement for one in judged([web]).seen if one.destination.address == POINT]
    assert rows == ["client-push/http-management-point"]


def test_of_many_proofs_three_are_kept(judged):
    lines = [smb("DROP", f"08:{n:02}:00").replace("50000", str(50000 + n)) for n in range(5)]
    shown = seen(judged(lines), "smb")
    assert [Path(one.path).name for one in shown.proof] == ["0.log"] * 3
    assert all(one.lines and not one.frames for one in shown.proof)


def test_its_own_firewall_is_the_device_that_stopped_it(judged):
    stopped = seen(judged([smb("DROP")]), "smb")
    assert (stopped.blocked_at, stopped.device) == ("client", CLIENT)
    assert seen(judged([smb("ALLOW")]), "smb").device is None


def test_a_log_without_times_counts_beside_one_with_times(judged):
    undated = re.sub('time="[^"]*" date="[^"]*"', 'time="" date=""', CCMSETUP)
    host = judged([smb("ALLOW"), smb("ALLOW").replace(":445", ":135")], [undated])
    assert (host.outcome("client-push").result, host.first_time) == ("fails", "2023-11-14T08:00:00.000000")


def test_the_sender_of_an_error_is_the_device_that_stopped_it(judged):
    host = judged(
        [f"0 {SERVER}:50000 > {CLIENT}:445/tcp prohibited by 10.0.0.1", f"5 {CLIENT}:50001 > {POINT}:80/tcp SF"]
    )
    assert (seen(host, "smb").blocked_at, seen(host, "smb").device) == ("between", "10.0.0.1")
    web = next(one for one in host.seen if one.requirement.endswith("/http-management-point"))
    assert (web.verdict, web.device) == ("open", None)


def test_a_device_that_nothing_names_is_unknown(judged):
    host = judged([f"0 {SERVER}:50000 > {CLIENT}:445/tcp S0", f"1 {SERVER}:50001 > {CLIENT}:135/tcp SF", "until 60"])
    assert (seen(host, "smb").blocked_at, seen(host, "smb").device) == ("unknown", None)


def test_of_servers_of_one_role_those_count_that_it_met(judged):
    """Other sites have servers of their own."""
    web = f"08:00:00 DROP {CLIENT}:50000 > {POINT}:80 - SEND"
    host = judged([web], roles={"management-point": (POINT, "10.2.0.80")})
    assert {one.destination.address for one in host.seen} == {POINT}


def test_a_server_in_a_network_that_was_named_is_one_of_its_servers(judged):
    web = f"08:00:00 DROP {CLIENT}:50000 > {POINT}:80 - SEND"
    other = web.replace(POINT, "10.0.0.9").replace("50000", "50001").replace("DROP", "ALLOW")
    host = judged([web, other], roles={"management-point": "10.0.0.80/28"})
    assert {(one.destination.address, one.verdict) for one in host.seen} == {(POINT, "blocked")}


def test_a_server_in_a_network_of_another_role_is_none_of_its_servers(judged):
    web = f"08:00:00 DROP {CLIENT}:50000 > {POINT}:80 - SEND"
    other = web.replace(POINT, "10.0.0.89").replace("50000", "50001").replace("DROP", "ALLOW")
    host = judged([web, other], roles={"management-point": "10.0.0.80/29", "distribution-point": "10.0.0.88/29"})
    found = [one for one in host.seen if one.requirement == "client-push/http-management-point"]
    assert [(one.destination.address, one.verdict) for one in found] == [(POINT, "blocked")]


def test_a_server_that_it_did_not_meet_is_still_the_one_that_it_needs(tmp_path):
    (tmp_path / "fw.log").write_bytes(firewall_log(row(smb("DROP"))))
    asked = asking(ROLES)
    entries = summarize(tmp_path / "fw.log", roles=asked.site.roles).entries
    bench = judging.EvaluationContext(
        asked.question, asked.site, asked.rules, asked.methods, judging.casts({"": ()}, asked.question)
    )
    client = judging.report("", entries, bench, ("auditor", "")).client()
    web = client.requirement("client-push/http-management-point")
    assert (web.verdict, web.destination.address) == ("not-observed", POINT)


def test_of_its_addresses_the_one_that_was_tried_is_the_first(judged):
    rows = [f"07:00:00 ALLOW 10.0.0.9:50000 > {one}:7000 - RECEIVE" for one in ("10.0.0.19", "10.0.0.21")]
    assert judged([*rows, smb("DROP")]).addresses[0] == CLIENT


@pytest.mark.parametrize(
    ("rows", "address"),
    [
        ([smb("ALLOW", "10:00:00"), smb("DROP", "08:00:00", client=OTHER)], OTHER),
        ([smb("DROP", "10:00:00"), smb("DROP", "08:00:00", client=OTHER)], CLIENT),
        ([smb("DROP", "08:00:00"), smb("DROP", "10:00:00", client=OTHER)], OTHER),
        (
            [
                smb("DROP", "08:00:00"),
                smb("DROP", "12:00:00").replace(":445", ":135"),
                smb("DROP", "10:00:00", client=OTHER),
            ],
            CLIENT,
        ),
        (
            [
                smb("DROP", "08:00:00"),
                smb("DROP", "08:00:00", client=OTHER),
                smb("DROP", "07:00:00").replace(":445", ":135"),
            ],
            CLIENT,
        ),
    ],
    ids=["decided", "the latest", "the latest, of the other", "the latest of any port", "the most attempts"],
)
def test_of_two_addresses_the_one_at_which_something_was_decided_last_counts(judged, rows, address):
    assert judged(rows).addresses[0] == address
