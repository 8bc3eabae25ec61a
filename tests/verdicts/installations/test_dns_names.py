"""Names that DNS responses in captures resolve, and the computers of logs that they lead to."""

from __future__ import annotations

from collections.abc import Callable
from itertools import chain
from pathlib import Path

import pytest
from dns import AAAA, CNAME, address, exchange, name, question, record, response
from hypothesis import given
from hypothesis import strategies as st
from packets import At, pcap, udp
from push_logs import failing
from scenario import scene
from setup_logs import SERVICE, log

import auditor
from auditor.ruleset.given_roles import parse_roles
from auditor.ruleset.ruleset import load_ruleset
from auditor.sources.dissection.facts import ProtocolFacts
from auditor.sources.dns import parse_message, resolved_names
from auditor.verdicts.installations import dns_names
from auditor.verdicts.installations.contacts import contacts_of, merge
from auditor.verdicts.installations.roles import infer_roles

FULL = "pc17.corp.example"
ASKS, ANSWERS = "10.0.0.5:53000 > 10.0.0.53:53", "10.0.0.53:53 > 10.0.0.5:53000"
PUSHES = (
    "10 10.0.0.5:50000 > 10.0.0.20:445/tcp S0",
    "11 10.0.0.5:50001 > 10.0.0.20:135/tcp SF",
    "12 10.0.0.5:50010 > 10.0.0.21:445/tcp SF",
    "13 10.0.0.5:50011 > 10.0.0.21:135/tcp SF",
)

Resolved = Callable[..., list[tuple[str, str, int]]]


@pytest.fixture
def resolved(tmp_path: Path) -> Resolved:
    """Return what the DNS responses among packets resolve."""

    def resolved(*packets: bytes | At) -> list[tuple[str, str, int]]:
        (tmp_path / "dns.pcap").write_bytes(
            pcap([packet if isinstance(packet, At) else At(0, packet) for packet in packets])
        )
        return [tuple(found) for found in resolved_names(auditor.read(tmp_path / "dns.pcap"))]

    return resolved


# messages


def test_addresses_of_both_versions_are_read():
    assert parse_message(response(FULL, address("10.0.0.20"))).addresses == ("10.0.0.20",)
    assert parse_message(response(FULL, address("fd00::20"), kind=AAAA)).addresses == ("fd00::20",)


def test_the_address_of_an_alias_is_that_of_the_name():
    other = name("host.corp.example")
    message = parse_message(response(FULL, record(other, CNAME), address("10.0.0.20", other)))
    assert (message.question.name, message.addresses) == (FULL, ("10.0.0.20",))


def test_records_of_other_names_are_no_addresses_of_the_name():
    assert parse_message(response(FULL, address("10.0.0.99", name("evil.example")))).addresses == ()


@pytest.mark.parametrize("flags", [0x8183, 0x8182, 0x8980], ids=["no such name", "failure", "other operation"])
def test_a_response_with_an_error_resolves_nothing(flags):
    assert parse_message(response(FULL, address("10.0.0.20"), flags=flags)) is None


@pytest.mark.parametrize(
    "pointer", [b"\xc0\x0c", b"\xc0\x20", b"\xff\xff", b"\xc0"], ids=["self", "ahead", "far", "cut"]
)
def test_a_pointer_that_leads_nowhere_ends_the_reading(pointer):
    assert parse_message(question(FULL)[:12] + pointer + b"\0\1\0\1") is None


@given(st.binary(max_size=80), st.integers(0, 60))
def test_damaged_messages_are_read_without_an_error(junk, at):
    whole = response(FULL, record(name("a.example"), CNAME), address("10.0.0.20"))
    message = parse_message(whole[:at] + junk + whole[at + len(junk) :])
    assert message is None or message.question.record_type


# captures


def test_a_response_to_its_query_resolves_a_name(resolved):
    assert resolved(*exchange("PC17.corp.example", "10.0.0.20", "10.0.0.21")) == [
        (FULL, "10.0.0.20", 2),
        (FULL, "10.0.0.21", 2),
    ]


@pytest.mark.parametrize(
    "answer",
    [
        response(FULL, address("10.0.0.20"), number=8),
        response("pc18.corp.example", address("10.0.0.20")),
        question(FULL),
    ],
    ids=["other number", "other name", "query"],
)
def test_what_is_no_response_to_the_query_resolves_nothing(resolved, answer):
    assert resolved(udp(ASKS, question(FULL)), udp(ANSWERS, answer)) == []


def test_a_response_without_its_query_resolves_nothing(resolved):
    assert resolved(udp(ANSWERS, response(FULL, address("10.0.0.20")))) == []
    assert resolved(udp(ASKS, response(FULL, address("10.0.0.20")))) == []


# joined

Audit = Callable[..., auditor.Report]


@pytest.fixture
def audited(tmp_path: Path) -> Audit:
    """Audit a log beside a capture with two pushes and these packets."""

    def audited(text: str, *packets: list[At], **known: object) -> auditor.Report:
        (tmp_path / "ccm.log").write_text(text, newline="")
        everything = sorted([*chain(*packets), *scene(PUSHES)], key=lambda packet: packet.seconds)
        (tmp_path / "push.pcap").write_bytes(pcap(everything))
        return auditor.audit(tmp_path / "ccm.log", tmp_path / "push.pcap", **known, dissect=False)

    return audited


def pushed(report: auditor.Report) -> list[str]:
    return [push.to_address for push in report.pushes if push.steps]


@pytest.mark.parametrize("machine", ["PC17", "pc17.CORP.example"])
def test_a_name_that_dns_resolves_to_a_client_is_that_client(audited, machine):
    report = audited(failing(machine), exchange(FULL, "10.0.0.21"))
    assert pushed(report) == ["10.0.0.21"]
    (role,) = (role for role in report.roles if role.role == "client" and role.address == "10.0.0.21")
    assert (role.name, role.how_sure) == (machine, "likely")
    assert f"push.pcap frame 2: {FULL} is 10.0.0.21" in role.why


def test_a_name_of_another_domain_is_another_computer(audited):
    assert pushed(audited(failing("pc17.other.example"), exchange(FULL, "10.0.0.21"))) == ["pc17.other.example"]


def test_a_name_with_several_clients_is_not_joined_and_that_is_stated(audited):
    report = audited(failing(), exchange(FULL, "10.0.0.20"), exchange("pc17.other.example", "10.0.0.21", port=53001))
    assert pushed(report) == ["pc17"]
    assert any("to several clients: 10.0.0.20, 10.0.0.21" in text for text in report.limitation_texts)


def test_two_names_of_one_address_are_not_joined_and_that_is_stated(audited):
    texts = failing("A1") + failing("B1", at=9, number=2)
    report = audited(
        texts, exchange("a1.corp.example", "10.0.0.21"), exchange("b1.corp.example", "10.0.0.21", port=53001)
    )
    assert pushed(report) == ["a1", "b1"]
    assert sum("to the same address, 10.0.0.21" in text for text in report.limitation_texts) == 2


def test_a_host_that_uses_another_name_is_not_joined_and_that_is_stated(tmp_path):
    """The DNS record is old: the address belongs to another computer by now."""
    (tmp_path / "ccm.log").write_text(failing(), newline="")
    (tmp_path / "push.pcap").write_bytes(pcap([*exchange(FULL, "10.0.0.20"), *scene(PUSHES[:2])]))
    sources = [auditor.read(tmp_path / name) for name in ("ccm.log", "push.pcap")]
    rules, configured = load_ruleset(), parse_roles({})
    contacts = merge(contact for source in sources for contact in contacts_of(source, rules))
    facts = [ProtocolFacts(), ProtocolFacts(names=(("10.0.0.20", "OTHER"),))]
    roles = infer_roles(sources, rules, configured, contacts, facts, dns_names.dns_names(sources, configured))
    assert sorted(roles.clients) == ["10.0.0.20", "pc17"]
    assert any("to 10.0.0.20, but the computer at that address uses the name OTHER" in note for note in roles.notes)


def test_an_address_without_a_push_is_no_client(audited):
    assert pushed(audited(failing(), exchange(FULL, "10.0.0.99"))) == ["pc17"]


def test_a_name_that_resolves_to_another_address_is_not_joined_by_time(tmp_path):
    (tmp_path / "ccm.log").write_text(failing(), newline="")
    packets = [*exchange(FULL, "10.0.0.99"), *scene(PUSHES[:2])]
    (tmp_path / "push.pcap").write_bytes(pcap(packets))
    report = auditor.audit(tmp_path / "ccm.log", tmp_path / "push.pcap", dissect=False)
    assert pushed(report) == ["pc17"]


def test_a_management_point_that_a_log_names_has_the_address_of_its_name(audited):
    text = log(*SERVICE, "Only one MP http://mp.corp.example is specified. Use it.")
    report = audited(text, exchange("mp.corp.example", "10.0.0.9"))
    (role,) = (role for role in report.roles if role.role == "management-point")
    assert (role.address, role.how, "frame 2" in role.why) == ("10.0.0.9", "read", True)


def test_a_name_that_the_user_set_is_resolved(audited):
    report = audited(failing("PC17"), exchange(FULL, "10.0.0.21"), roles={"client": "PC17"})
    assert [client.address for client in report.clients] == ["10.0.0.21"]


def test_captures_without_a_log_are_not_searched_for_names(tmp_path, monkeypatch):
    searched: list[object] = []
    monkeypatch.setattr(dns_names, "resolved_names", lambda source: searched.append(source) or ())
    (tmp_path / "push.pcap").write_bytes(pcap([*exchange(FULL, "10.0.0.20"), *scene(PUSHES)]))
    auditor.audit(tmp_path / "push.pcap", dissect=False)
    assert searched == []
