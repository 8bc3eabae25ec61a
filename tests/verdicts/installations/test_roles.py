"""Who is who: what was given, what is inferred from the flows and why, and what cannot be told."""

from __future__ import annotations

from collections.abc import Callable

import pytest
from logs import firewall_log, row
from packets import pcap
from scenario import scene
from security_events import allowed, blocked, lines

import auditor
from auditor.errors import ArgumentError
from auditor.ruleset.given_roles import parse_roles
from auditor.ruleset.ruleset import SiteFacts, load_ruleset
from auditor.sources.dissection.facts import ProtocolFacts
from auditor.verdicts import evaluate as verdicts
from auditor.verdicts.installations.contacts import contacts_of, merge
from auditor.verdicts.installations.roles import RoleMap, infer_roles
from auditor.version import TOOL

PUSH = ["0 10.0.0.5:50000 > 10.0.0.20:445/tcp SF", "1 10.0.0.5:50001 > 10.0.0.20:135/tcp SF"]
FETCH = ["9 10.0.0.20:51000 > 10.0.0.80:80/tcp SF"]


@pytest.fixture
def audited(write) -> Callable[..., auditor.Report]:
    def audited(*lines: str, **known: object) -> auditor.Report:
        return auditor.audit(write(pcap(scene(lines))), **known, dissect=False)

    return audited


def who(report: auditor.Report) -> dict[str, list[str]]:
    """Return the roles in words: role and how it is known, then addresses."""
    found: dict[str, list[str]] = {}
    for one in report.roles:
        found.setdefault(f"{one.role} {one.how}", []).append(one.address)
    return found


def reasons(report: auditor.Report) -> dict[str, str]:
    return {one.role: one.why for one in report.roles}


def clients(report: auditor.Report) -> list[str]:
    return [client.address for client in report.clients]


# inferred


def test_a_push_tells_who_is_who(audited):
    assert who(audited(*PUSH, *FETCH)) == {
        "site-server inferred": ["10.0.0.5"],
        "client inferred": ["10.0.0.20"],
        "management-point inferred": ["10.0.0.80"],
    }


def test_what_is_inferred_says_from_what(audited):
    told = reasons(audited(*PUSH, *FETCH))
    assert told["site-server"] == "connects to 10.0.0.20 on TCP 135 and TCP 445"
    assert told["client"] == "the site server connects to it"
    assert told["management-point"] == "1 client connected to it on TCP 80"


def test_a_push_that_fails_at_once_tells_it_too(audited):
    report = audited("0 10.0.0.5:50000 > 10.0.0.20:445/tcp S0")
    assert who(report) == {"site-server inferred": ["10.0.0.5"], "client inferred": ["10.0.0.20"]}


def test_the_direction_of_the_connection_tells_it_not_the_address(audited):
    report = audited("0 10.0.0.200:50000 > 10.0.0.20:445/tcp S0")
    assert who(report) == {"site-server inferred": ["10.0.0.200"], "client inferred": ["10.0.0.20"]}


def test_clients_are_in_the_order_of_their_addresses(audited):
    report = audited(*(f"0 10.0.0.5:{50000 + n} > 10.0.0.{n}:445/tcp SF" for n in (100, 20, 9)))
    assert clients(report) == ["10.0.0.9", "10.0.0.20", "10.0.0.100"]


def test_questions_for_an_address_are_all_that_is_left_of_a_push(audited):
    report = audited("0 10.0.0.5 asks 10.0.0.20")
    assert who(report) == {"site-server inferred": ["10.0.0.5"], "client inferred": ["10.0.0.20"]}
    assert reasons(report)["client"] == "ARP requests or neighbor solicitations from 10.0.0.5 for it had no reply"


def test_questions_for_several_addresses_tell_nothing(audited):
    assert who(audited("0 10.0.0.5 asks 10.0.0.20", "0 10.0.0.5 asks 10.0.0.21")) == {}


def test_questions_of_several_hosts_for_one_address_tell_nothing(audited):
    assert who(audited("0 10.0.0.5 asks 10.0.0.20", "0 10.0.0.6 asks 10.0.0.20")) == {}


def test_questions_for_an_address_of_another_subnet_tell_nothing(audited):
    assert who(audited("0 10.0.0.5 asks 10.9.0.20")) == {}


def test_questions_that_were_answered_tell_nothing(audited):
    assert who(audited("0 10.0.0.5 asks 10.0.0.20", "3 10.0.0.5 asks 10.0.0.20 answered")) == {}


def test_one_server_may_play_two_roles(audited):
    report = audited(*PUSH, "9 10.0.0.20:51000 > 10.0.0.5:80/tcp SF")
    assert who(report) == {
        "site-server inferred": ["10.0.0.5"],
        "client inferred": ["10.0.0.20"],
        "management-point inferred": ["10.0.0.5"],
    }


def test_a_site_server_says_how_many_computers_it_contacts(audited):
    others = [f"{n} 10.0.0.5:{50000 + n} > 10.0.0.{n}:445/tcp SF" for n in range(21, 25)]
    report = audited(*others)
    assert reasons(report)["site-server"] == "connects to 4 computers on TCP 445"


def test_every_site_server_is_found(audited):
    report = audited(*PUSH, "2 10.0.0.6:50000 > 10.0.0.30:445/tcp SF")
    assert who(report)["site-server inferred"] == ["10.0.0.5", "10.0.0.6"]
    assert clients(report) == ["10.0.0.20", "10.0.0.30"]


def test_an_ambiguous_management_point_is_not_guessed(audited):
    report = audited(*PUSH, *FETCH, "9 10.0.0.20:51001 > 10.0.0.90:443/tcp SF")
    assert "management-point" not in reasons(report)
    told = next(text for text in report.limitation_texts if "management-point" in text)
    assert "10.0.0.80, 10.0.0.90" in told
    assert "--role management-point=ADDRESS" in told


def test_of_several_web_servers_the_first_after_the_push_is_the_management_point(audited):
    before, after = "0.5 10.0.0.20:51001 > 10.0.0.90:80/tcp SF", "20 10.0.0.20:51002 > 10.0.0.91:80/tcp SF"
    assert who(audited(*PUSH, before, *FETCH, after))["management-point inferred"] == ["10.0.0.80"]


def test_the_web_server_of_most_clients_is_the_management_point(audited):
    report = audited(
        *PUSH,
        "2 10.0.0.5:50002 > 10.0.0.21:445/tcp SF",
        *FETCH,
        "9 10.0.0.21:51000 > 10.0.0.80:80/tcp SF",
        "9 10.0.0.21:51001 > 10.0.0.90:80/tcp SF",
    )
    assert who(report)["management-point inferred"] == ["10.0.0.80"]
    assert reasons(report)["management-point"] == "2 clients connected to it on TCP 80"


SECOND = ["0 10.0.0.5:50002 > 10.0.0.21:445/tcp SF", "1 10.0.0.5:50003 > 10.0.0.21:135/tcp SF"]


def fetch(second: float, client: int, server: int, port: int = 80) -> str:
    return f"{second} 10.0.0.{client}:{51000 + server} > 10.0.0.{server}:{port}/tcp SF"


@pytest.mark.parametrize(
    ("times", "server"),
    [
        ([(9, 20, 80), (60, 21, 80), (10, 20, 90), (11, 21, 90)], "10.0.0.80"),
        ([(0.5, 20, 80), (30, 21, 80), (20, 20, 90), (20, 21, 90)], "10.0.0.90"),
        ([(0.2, 20, 80), (0.2, 21, 80), (0.4, 20, 90), (0.4, 21, 90)], "10.0.0.80"),
    ],
    ids=["the first of all", "what was before the push does not count", "all before the push"],
)
def test_of_web_servers_with_as_many_clients_the_first_after_a_push_is_the_management_point(audited, times, server):
    report = audited(*PUSH, *SECOND, *(fetch(*one) for one in times))
    assert who(report)["management-point inferred"] == [server]


def test_a_push_lasts_until_its_last_connection_begins(audited):
    last = "20 10.0.0.5:50009 > 10.0.0.20:445/tcp SF"
    assert who(audited(*PUSH, fetch(10, 20, 90), fetch(25, 20, 80)))["management-point inferred"] == ["10.0.0.90"]
    assert who(audited(*PUSH, last, fetch(10, 20, 90), fetch(25, 20, 80)))["management-point inferred"] == ["10.0.0.80"]


def test_a_web_server_that_is_asked_as_the_last_connection_begins_is_asked_after_the_push(audited):
    assert who(audited(*PUSH, fetch(1, 20, 80), fetch(5, 20, 90)))["management-point inferred"] == ["10.0.0.80"]


def test_each_site_server_has_a_management_point_of_its_own(inferred):
    other = [line.replace("10.0.0.20", "10.0.0.21").replace("10.0.0.5", "10.0.0.6") for line in PUSH]
    cast = inferred(ProtocolFacts(), *other, fetch(9, 21, 90))
    assert [cast.is_guess("management-point", one) for one in ("10.0.0.80", "10.0.0.90")] == [True, True]
    servers = [cast.servers_of("management-point", one) for one in ("10.0.0.5", "10.0.0.6", "")]
    assert servers == [("10.0.0.80",), ("10.0.0.90",), ()]


def test_of_a_client_of_two_site_servers_each_push_is_judged_with_the_management_point_of_its_own(audited):
    """A method that no site server begins is judged with that of the first push."""
    pushed = [
        f"{second} 10.0.0.{server}:{50000 + 10 * client + second} > 10.0.0.{client}:{port}/tcp SF"
        for server, clients in ((5, (20, 21, 22)), (6, (20, 23, 24)))
        for client in clients
        for second, port in ((0, 445), (1, 135))
    ]
    fetched = [fetch(9, client, 80 if client in (21, 22) else 90) for client in (21, 22, 23, 24)]
    report = audited(*pushed, *fetched, fetch(9, 20, 80), fetch(10, 20, 90))
    points = {
        (method.id, method.site_server): {
            row.destination.address for row in method.requirements if row.destination.role == "management-point"
        }
        for method in report.client("10.0.0.20").methods
    }
    assert points["client-push", "10.0.0.5"] == points["manual", None] == {"10.0.0.80"}
    assert points["client-push", "10.0.0.6"] == {"10.0.0.90"}


@pytest.mark.parametrize("later", ["10.0.0.4", "10.0.0.6"])
def test_the_management_point_of_a_site_server_is_asked_after_its_own_push(audited, later):
    other = [line.replace("10.0.0.5", later) for line in ("20 " + PUSH[0][2:], "21 " + PUSH[1][2:])]
    report = audited(*PUSH, *other, fetch(10, 20, 90), fetch(25, 20, 80))
    assert who(report)["management-point inferred"] == ["10.0.0.80", "10.0.0.90"]


def test_web_servers_that_cannot_be_told_apart_are_in_order_of_address(audited):
    report = audited(*PUSH, *(f"9 10.0.0.20:{51000 + n} > 10.0.0.{n}:80/tcp SF" for n in (100, 80, 9)))
    assert any("(10.0.0.9, 10.0.0.80, 10.0.0.100)" in text for text in report.limitation_texts)


def test_the_ports_of_a_guess_are_in_order(audited):
    lines = [fetch(9, 20, 80, 8080), "10 10.0.0.20:52000 > 10.0.0.80:443/tcp SF"]
    report = audited(*PUSH, *lines, ports={"http-management-point": 8080})
    assert reasons(report)["management-point"] == "1 client connected to it on TCP 443 and TCP 8080"


@pytest.mark.parametrize(("program", "found"), [("ccmsetup.exe", True), ("", True), ("chrome.exe", False)])
def test_only_a_program_of_the_client_asks_a_management_point(program, found, write):
    path = rf"\device\harddiskvolume2\windows\{program}" if program else ""
    web = allowed(
        Direction="%%14593", SourceAddress="10.0.0.20", DestAddress="10.0.0.80", DestPort="80", Application=path
    )
    report = auditor.audit(write(lines(blocked(), web)), dissect=False)
    assert ("management-point" in reasons(report)) == found


def test_the_web_servers_that_were_not_taken_are_named(audited):
    more = ["9 10.0.0.21:51000 > 10.0.0.80:80/tcp SF", "9 10.0.0.21:51001 > 10.0.0.90:80/tcp SF"]
    report = audited(*PUSH, "2 10.0.0.5:50002 > 10.0.0.21:445/tcp SF", *FETCH, *more)
    told = next(text for text in report.limitation_texts if "is assumed to be the management point" in text)
    assert told.startswith("10.0.0.80 is assumed")
    assert "rather than 10.0.0.90" in told


def test_what_a_guess_leaves_unproven_is_told_in_the_first_lines(audited):
    text = audited(*PUSH, "3 10.0.0.5:50003 > 10.0.0.20:49670/tcp SF", *FETCH).to_text(width=200)
    first = text[: text.index("\n  Requirement ")]
    assert "10.0.0.80 is assumed to be the management point" in first
    assert "set --role management-point=10.0.0.80" in first


def test_a_management_point_that_was_named_raises_no_doubt(audited):
    report = audited(*PUSH, *FETCH, roles={"management-point": "10.0.0.80"})
    assert not any("is assumed to be the management point" in text for text in report.limitation_texts)


def test_a_client_is_not_its_own_management_point(audited):
    report = audited(*PUSH, "2 10.0.0.5:50002 > 10.0.0.21:445/tcp SF", "9 10.0.0.20:51000 > 10.0.0.21:80/tcp SF")
    assert "management-point" not in reasons(report)


def test_a_management_point_that_the_site_server_manages_is_still_inferred(audited):
    managed = ["0.2 10.0.0.5:50002 > 10.0.0.80:445/tcp SF", "0.3 10.0.0.5:50003 > 10.0.0.80:135/tcp SF"]
    assert who(audited(*PUSH, *managed, *FETCH))["management-point inferred"] == ["10.0.0.80"]


def test_another_push_to_the_client_does_not_change_which_web_server_is_first_after_it(audited):
    later = ["20 10.0.0.6:50000 > 10.0.0.20:445/tcp SF", "21 10.0.0.20:51002 > 10.0.0.91:80/tcp SF"]
    report = audited(*PUSH, *FETCH, *later)
    rows = report.client("10.0.0.20").method("client-push", "10.0.0.5").requirements
    reached = {row.row: row.destination.address for row in rows}
    assert reached["http-management-point"] == "10.0.0.80"


def test_a_web_server_that_has_another_role_is_not_the_management_point(audited):
    report = audited(*PUSH, *FETCH, roles={"distribution-point": "10.0.0.80"})
    assert "management-point" not in reasons(report)


def test_the_alternate_port_finds_the_management_point(audited):
    report = audited(*PUSH, "9 10.0.0.20:51000 > 10.0.0.80:8080/tcp SF", ports={"http-management-point": 8080})
    assert reasons(report)["management-point"] == "1 client connected to it on TCP 8080"


def test_a_quiet_capture_has_nobody(audited):
    report = audited("0 10.0.0.6:50000 > 10.0.0.7:3389/tcp SF", "1 10.0.0.6:50001 > 10.0.0.7:53/udp answered")
    assert (report.roles, report.clients, report.pushes) == ((), (), ())
    assert report.limitation_texts[0].startswith("No client push found: no computer connects to another")
    assert "--role client=ADDRESS --role site-server=ADDRESS" in report.limitation_texts[0]


# given


def test_given_beats_inferred(audited):
    other = "2 10.0.0.6:50000 > 10.0.0.30:445/tcp SF"
    report = audited(*PUSH, *FETCH, other, roles={"site-server": "10.0.0.6", "management-point": "10.0.0.81"})
    assert who(report) == {
        "site-server given": ["10.0.0.6"],
        "client inferred": ["10.0.0.30"],
        "management-point given": ["10.0.0.81"],
    }


def test_beside_a_management_point_that_was_named_none_is_guessed(audited):
    report = audited(*PUSH, *FETCH, roles={"management-point": "10.0.0.81"})
    assert [f"{one.address} {one.how}" for one in report.roles if one.role == "management-point"] == ["10.0.0.81 given"]


def test_a_site_server_that_was_named_is_that_of_a_client_that_it_did_not_contact(audited):
    (client,) = audited(*FETCH, roles={"site-server": "10.0.0.6", "client": "10.0.0.20"}).clients
    assert client.method("client-push").site_server == "10.0.0.6"
    assert client.requirement("client-push/smb").source.address == "10.0.0.6"


@pytest.mark.parametrize(("flags", "found"), [("S", True), ("RA", False)])
def test_a_late_packet_in_a_log_shows_no_management_point(flags, found, tmp_path):
    path = tmp_path / "pfirewall.log"
    push, web = "10.0.0.5:50000 > 10.0.0.20:445 S RECEIVE", f"10.0.0.20:51000 > 10.0.0.80:80 {flags} RECEIVE"
    path.write_bytes(firewall_log(*(row(f"08:00:00 DROP {one}") for one in (push, web))))
    assert ("management-point" in reasons(auditor.audit(path, dissect=False))) == found


def test_a_given_client_is_audited_even_if_nothing_was_seen_of_it(audited):
    report = audited(*PUSH, roles={"client": "10.0.0.99"})
    assert clients(report) == ["10.0.0.99"]
    assert who(report) == {"client given": ["10.0.0.99"]}
    assert any(text.startswith("No site server found") for text in report.limitation_texts)


def test_several_addresses_of_one_role(audited):
    report = audited(*PUSH, roles={"client": ["10.0.0.20", "10.0.0.21"]})
    assert who(report)["client given"] == ["10.0.0.20", "10.0.0.21"]


def test_a_network_covers_those_that_were_seen_in_it(audited):
    lines = [f"0 10.0.0.5:{50000 + n} > 10.0.{n}.20:445/tcp SF" for n in (1, 2, 3)]
    report = audited(*lines, roles={"client": ["10.0.1.0/24", "10.0.2.0/24"]})
    assert who(report) == {"site-server inferred": ["10.0.0.5"], "client given": ["10.0.1.20", "10.0.2.20"]}


def test_a_network_of_site_servers(audited):
    report = audited(*PUSH, "2 10.0.0.6:50000 > 10.0.0.30:445/tcp SF", roles={"site-server": "10.0.0.0/29"})
    assert who(report) == {
        "site-server given": ["10.0.0.5", "10.0.0.6"],
        "client inferred": ["10.0.0.20", "10.0.0.30"],
    }


def test_a_network_in_which_nobody_was_seen(audited):
    assert clients(audited(*PUSH, roles={"client": "192.168.0.0/16"})) == []


def test_a_network_of_another_role_covers_what_clients_connect_to_in_it(audited):
    lines = [fetch(9, 20, 84, 445), fetch(9, 20, 90, 445), "9 10.0.0.30:51000 > 10.0.0.85:445/tcp SF"]
    report = audited(*PUSH, *lines, roles={"distribution-point": "10.0.0.80/29"})
    assert who(report)["distribution-point given"] == ["10.0.0.84"]
    both = audited(*PUSH, *lines, roles={"distribution-point": ["10.0.0.80/29", "10.0.0.84"]})
    assert who(both)["distribution-point given"] == ["10.0.0.84"]


def test_an_address_of_ipv6_in_any_spelling(audited):
    report = audited("0 [fd00::5]:50000 > [fd00::20]:445/tcp SF", roles={"client": "FD00:0:0::0020"})
    assert who(report) == {"site-server inferred": ["fd00::5"], "client given": ["fd00::20"]}


def test_networks_of_one_version_do_not_cover_the_other(audited):
    report = audited("0 [fd00::5]:50000 > [fd00::20]:445/tcp SF", *PUSH, roles={"client": "10.0.0.0/8"})
    assert clients(report) == ["10.0.0.20"]


def test_an_unknown_role_names_the_nearest():
    with pytest.raises(ArgumentError, match=r"no such role: 'site-sever'. Did you mean site-server\?"):
        parse_roles({"site-sever": "10.0.0.5"})


@pytest.mark.parametrize("word", ["", "server1", "10.0.0", "10.0.0.256", "10.0.0.0/33", "10.0.0.5:445", "fe80::1::2"])
def test_what_is_no_address_is_refused(word):
    with pytest.raises(ArgumentError, match="is not an IP address or network"):
        parse_roles({"client": word})


@pytest.mark.parametrize(
    ("word", "address"),
    [("fe80::1%eth0", "fe80::1"), ("::ffff:10.0.0.5", "10.0.0.5"), ("FD00::5", "fd00::5"), (" 10.0.0.5 ", "10.0.0.5")],
)
def test_an_address_may_be_written_as_windows_shows_it(word, address):
    assert parse_roles({"client": word}).hosts("client") == [address]


# what was said there


@pytest.fixture
def inferred(write) -> Callable[..., RoleMap]:
    def inferred(said: ProtocolFacts, *lines: str, **roles: str) -> RoleMap:
        """Return the roles in a push, a fetch and more lines of which the protocols show this."""
        source = auditor.read(write(pcap(scene([*PUSH, *FETCH, *lines]))))
        ruleset = load_ruleset("configmgr-2007")
        given = parse_roles({role.replace("_", "-"): (address,) for role, address in roles.items()})
        return infer_roles([source], ruleset, given, merge(contacts_of(source, ruleset)), [said])

    return inferred


def test_the_paths_of_a_management_point_count_more_than_its_port(inferred):
    cast = inferred(ProtocolFacts(roles=(("10.0.0.90", "management-point", "/ccm_system"),)))
    assert cast.addresses("management-point") == ("10.0.0.90",)
    assert not cast.is_guess("management-point", "10.0.0.90")
    assert cast.notes == ()


def test_a_web_server_that_is_asked_for_other_paths_is_not_the_management_point(inferred):
    cast = inferred(ProtocolFacts(other_web=("10.0.0.80",)))
    assert cast.addresses("management-point") == ()
    assert any("no request for a management point was observed" in note for note in cast.notes)


def test_a_network_of_management_points_counts_more_than_a_path(inferred):
    cast = inferred(
        ProtocolFacts(roles=(("10.0.0.90", "management-point", "/ccm_system"),)), management_point="10.0.0.80/31"
    )
    assert cast.addresses("management-point") == ("10.0.0.80",)


def test_web_servers_that_are_none_of_it_are_told_in_order_of_address(inferred):
    servers = [f"10.0.0.{n}" for n in (7, 8, 9, 80, 100, 200)]
    more = [f"9 10.0.0.20:{52000 + n} > {server}:80/tcp SF" for n, server in enumerate(reversed(servers))]
    notes = inferred(ProtocolFacts(other_web=tuple(servers)), *more).notes
    assert [note.partition(" is a web server, but")[0] for note in notes] == servers


@pytest.mark.parametrize("address", ["8.8.8.8", "[fe80::80]", "239.1.1.1", "255.255.255.255"])
def test_a_web_server_that_cannot_be_the_management_point_is_not_guessed(audited, address):
    client = "[fd00::20]" if ":" in address else "10.0.0.20"
    push = [
        line.replace("10.0.0.20", client).replace("10.0.0.5", "[fd00::5]" if ":" in address else "10.0.0.5")
        for line in PUSH
    ]
    report = audited(*push, f"9 {client}:51000 > {address}:80/tcp S1")
    assert set(reasons(report)) == {"site-server", "client"}


def test_a_guess_without_another_choice_names_none(inferred):
    (note,) = inferred(ProtocolFacts()).notes
    assert note.startswith(
        "10.0.0.80 is assumed to be the management point, only because clients connect to it on a web"
    )
    assert " port. No result that depends on it is works or allowed." in note


@pytest.mark.parametrize(("shares", "sure"), [((), "likely"), (((("10.0.0.5", "10.0.0.20"), "admin$"),), "certain")])
def test_a_site_server_is_as_sure_as_its_push(inferred, shares, sure):
    cast = inferred(ProtocolFacts(shares=shares))
    assert {one.role: one.how_sure for one in cast.assignments} | {"site-server": sure, "client": sure} == {
        one.role: one.how_sure for one in cast.assignments
    }


def test_a_site_server_is_no_guess_though_each_push_may_be_something_else(audited):
    report = audited("0 10.0.0.5:50000 > 10.0.0.20:445/tcp S0")
    assert [one.how_sure for one in report.pushes] == ["weak"]
    assert [one.how_sure for one in report.roles] == ["likely", "likely"]


def test_a_web_server_that_says_nothing_readable_is_a_guess(inferred):
    cast = inferred(ProtocolFacts())
    assert not cast.is_guess("management-point", "10.0.0.99")
    assert cast.addresses("management-point") == ("10.0.0.80",)
    assert cast.is_guess("management-point", "10.0.0.80")


def test_a_method_does_not_work_by_a_guess_until_its_server_is_named(audited):
    named = {"management-point": "10.0.0.80"}
    echo = "0 10.0.0.5 > 10.0.0.20/icmp answered"
    dynamic = "2 10.0.0.5:50002 > 10.0.0.20:49700/tcp SF"
    guessed, known = (audited(echo, *PUSH, dynamic, *FETCH, roles=roles).client() for roles in ({}, named))
    assert [one.method("client-push").result for one in (guessed, known)] == ["unproven", "works"]
    (reason,) = guessed.method("client-push").reasons
    assert reason.text.startswith("10.0.0.80 is assumed to be the management point, from its port only.")


def test_a_host_has_the_names_by_which_it_calls_itself(inferred):
    cast = inferred(ProtocolFacts(names=(("10.0.0.20", "PC20"), ("10.0.0.20", "pc20.lab.example"))))
    assert {one.address: one.name for one in cast.assignments}["10.0.0.20"] == "PC20, pc20.lab.example"


def test_of_many_names_three_are_kept(inferred):
    cast = inferred(ProtocolFacts(names=tuple(("10.0.0.20", f"PC{n}") for n in range(5))))
    assert {one.address: one.name for one in cast.assignments}["10.0.0.20"] == "PC0, PC1, PC2"


def test_a_report_on_a_client_has_the_names_of_that_client(inferred, read):
    source = read(pcap(scene(PUSH)))

    def names(*said: tuple[str, str]) -> list[tuple[str, ...]]:
        report = verdicts.audit([source], load_ruleset(), inferred(ProtocolFacts(names=said)), SiteFacts(), (), TOOL)
        return [one.names for one in report.clients]

    assert names(("10.0.0.20", "PC20"), ("10.0.0.5", "SITE")) == [("PC20",)]
    assert names(("10.0.0.5", "SITE")) == [()]


def test_two_roles_given_the_wrong_way_round_are_told(audited):
    report = audited(*PUSH, roles={"site-server": "10.0.0.20", "client": "10.0.0.5"})
    told = next(text for text in report.limitation_texts if "swapped" in text)
    assert told.startswith("The roles may be swapped: 10.0.0.5 (client) connects to 10.0.0.20 (site server)")
    assert "--role site-server=10.0.0.5 --role client=10.0.0.20" in told


def test_roles_given_the_right_way_round_are_not(audited):
    report = audited(*PUSH, roles={"site-server": "10.0.0.5", "client": "10.0.0.20"})
    assert not any("swapped" in text for text in report.limitation_texts)
