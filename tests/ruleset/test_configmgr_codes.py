"""Codes in the logs of Configuration Manager: spellings, what each shows of the ports, and the table itself."""

from __future__ import annotations

import copy
import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from auditor.ruleset.configmgr_codes import (
    LOGS,
    Shows,
    code_table,
    codes_of,
    known_codes,
    parse_code,
    reading,
    readings,
    readings_of,
    to_number,
)
from auditor.ruleset.configmgr_codes_lint import table_faults
from auditor.ruleset.known_problems import lookup_status
from auditor.ruleset.ruleset import load_ruleset, shipped_rulesets
from auditor.sources.configmgr.facts import InstallStep

STEPS = [step.value for step in InstallStep]
SMB = ("smb",)
RPC = ("rpc-endpoint-mapper", "rpc-dynamic")
MANAGEMENT = ("http-management-point", "https-management-point")
WEB = (*MANAGEMENT, "http-distribution-point", "https-distribution-point")
TLS = ("https-management-point", "https-distribution-point")
OF_WINDOWS = 0x80070000


def rows() -> set[str]:
    return set.intersection(*({one.row for one in load_ruleset(name).requirements} for name in shipped_rulesets()))


# spellings

# What administrators meet in ccm.log, ccmsetup.log, and their kin.
MET = {
    "win32": [2, 5, 52, 53, 64, 67, 120, 126, 1003, 1053, 1068, 1130, 1203, 1208, 1305, 1326, 1396, 1450, 1789],
    "rpc": [1722, 1726, 1753, 1825],
    "winhttp": [12002, 12007, 12029, 12030, 12044, 12152, 12175],
    "msi": [1603],
    "hresult": [0x80004005, 0x80080005, 0x80092004],
    "wbem": [0x80041001, 0x80041002, 0x8004100E, 0x80041010, 0x80041014, 0x8004103B],
    "bits": [0x80200024],
    "configmgr": [0x87D00215, 0x87D00231, 0x87D0027E, 0x87D00454, 0x87D00455],
    "http-status": [400, 401, 403, 404, 405, 407, 413, 416, 500, 501, 503],
    "ccmsetup-exit": [0, 2, 6, 7, 8, 9, 10],
    "fsp-state": [100, 101, 301, 308, 309, 321, 400],
    "push-status": [0, 1, 2, 3, 4, 5],
    "tls-flags": [0x1, 0x2, 0x4, 0x8, 0x10, 0x20, 0x9],
}
ALL_MET = [(family, number) for family, numbers in MET.items() for number in numbers]


@pytest.mark.parametrize(("family", "number"), ALL_MET, ids=[f"{family}-{number}" for family, number in ALL_MET])
def test_every_code_that_administrators_meet_is_known_in_every_spelling(family, number):
    (code,) = [one for one in codes_of(number) if one.family == family]
    assert [spelling for spelling in code.spellings if code not in parse_code(spelling)] == []


@pytest.mark.parametrize(
    "spelling", ["53", "0x35", "0x00000035", "00000035", "0x80070035", "80070035", "-2147024843", "2147942453"]
)
def test_all_spellings_of_a_code_of_windows_are_one_code(spelling):
    assert [code.value for code in parse_code(spelling) if code.family == "win32"] == ["53"]


@pytest.mark.parametrize(
    ("spelling", "family", "value"),
    [
        ("0x800706BA", "rpc", "1722"),
        ("-2147023174", "rpc", "1722"),
        ("2147944122", "rpc", "1722"),
        ("-2147023071", "rpc", "1825"),
        ("-2147024891", "win32", "5"),
        ("0x52e", "win32", "1326"),
        ("(000004b3)", "win32", "1203"),
        ("0x80072ee2", "winhttp", "12002"),
        ("0x2f78", "winhttp", "12152"),
        ("0x2f8f", "winhttp", "12175"),
        ("0x80072f0c", "winhttp", "12044"),
        ("0x80070643", "msi", "1603"),
        ("0x80190194", "http-status", "404"),
        ("0x801901F4", "http-status", "500"),
        ("0xFFFFFFFF800706BA", "rpc", "1722"),
        ("ERROR_BAD_NETPATH", "win32", "53"),
        ("ccm_e_no_client_pki_cert", "configmgr", "0x87d00454"),
        ("403.7", "http-substatus", "403.7"),
        ("87d00454", "configmgr", "0x87d00454"),
        ("2147749889", "wbem", "0x80041001"),
    ],
)
def test_a_spelling_means_one_code(spelling, family, value):
    assert [(code.family, code.value) for code in parse_code(spelling)] == [(family, value)]


@pytest.mark.parametrize(
    ("spelling", "families"),
    [
        ("5", ["win32", "push-status"]),
        ("2", ["win32", "ccmsetup-exit", "push-status"]),
        ("400", ["http-status", "fsp-state"]),
        ("0x2", ["win32", "tls-flags"]),
        ("0x35", ["win32", "tls-flags"]),
    ],
)
def test_an_ambiguous_spelling_has_all_its_candidates(spelling, families):
    assert [code.family for code in parse_code(spelling)] == families


@pytest.mark.parametrize(
    "text", ["", "failed", "0x", "0x123456789", "4294967296", "-2147483649", "54321", "0x87d0ffff", "53 54", "५३", "-"]
)
def test_what_is_no_known_code_has_no_candidates(text):
    assert parse_code(text) == ()


def test_combined_flags_are_one_code_with_each_meaning():
    (code,) = parse_code("0x9")
    assert code.name == "CERT_REV_FAILED, INVALID_CA"
    assert code.meaning.count(";") == 1


@given(st.integers(0, 2**32 - 1))
def test_every_number_is_read_from_every_form(number):
    forms = {str(number), f"0x{number:x}", f"0x{number:08X}", f"({number:08x})", str((number ^ 2**31) - 2**31)}
    decimal = {form for form in forms if not re.fullmatch(r"\d{8}", form)}  # eight digits are hexadecimal
    assert {to_number(form) for form in decimal} == {number}


# readings

FAILED, OPEN, NOTHING = Shows.FAILED, Shows.OPEN, Shows.NOTHING
CASES = [
    # log, step, code, status, port: id, what it shows, of which requirements, fatal
    ("ccm", "admin-share", 53, None, None, "smb-not-reached", FAILED, SMB, False),
    ("ccm", "admin-share", 0x4B3, None, None, "smb-not-reached", FAILED, SMB, False),
    ("ccm", "request", OF_WINDOWS | 53, None, None, "smb-not-reached", FAILED, SMB, False),
    ("ccm", "remote-registry", 53, None, None, "remote-registry-not-reached", FAILED, SMB, False),
    ("ccm", "admin-share", None, None, None, "denied-or-invalid-path", NOTHING, (), False),
    ("ccm", "admin-share", 5, None, None, "smb-access-denied", OPEN, SMB, True),
    ("ccm", "request", 0x80070005, None, None, "request-access-denied", OPEN, SMB, True),
    ("ccm", "request", 0x80004005, None, None, "request-unspecified", NOTHING, (), True),
    ("ccm", "admin-share", 67, None, None, "share-missing", OPEN, SMB, True),
    ("ccm", "admin-share", 0x52E, None, None, "logon-failed", OPEN, SMB, True),
    ("ccm", "admin-share", 64, None, None, "connection-ended", OPEN, SMB, True),
    ("ccm", "ipc-share", 1789, None, None, "client-trust-failed", OPEN, SMB, True),
    ("ccm", "admin-share", 52, None, None, "wrong-computer", NOTHING, (), True),
    ("ccm", "admin-share", 1396, None, None, "wrong-computer", NOTHING, (), True),
    ("ccm", "request", 1450, None, None, "resources-unclear", NOTHING, (), True),
    ("ccm", "client-check", 120, None, None, "same-version", NOTHING, (), False),
    ("ccm", "queue", None, None, None, "no-push-request", NOTHING, (), True),
    ("ccm", "wmi", 0x800706BA, None, None, "rpc-not-reached", FAILED, RPC, False),
    ("ccm", "request", 0x800706BA, None, None, "rpc-not-reached", FAILED, RPC, False),
    ("ccm", "wmi", 0x80070005, None, None, "dcom-access-denied", OPEN, RPC[:1], True),
    ("ccm", "wmi", 0x80004005, None, None, "kerberos-failed", NOTHING, (), True),
    ("ccm", "request", 0x80070721, None, None, "security-package-error", NOTHING, (), True),
    ("ccm", "wmi", 0x800706D9, None, None, "rpc-not-registered", OPEN, RPC[:1], True),
    ("ccm", "wmi", 0x800706BE, None, None, "rpc-call-broken", OPEN, RPC[:1], True),
    ("ccm", "wmi", 0x8004100E, None, None, "wmi-namespace-missing", OPEN, RPC, False),
    ("ccm", "wmi", 0x8004103B, None, None, "wmi-failed", OPEN, RPC, True),
    ("ccm", "service", 1053, None, None, "service-not-started", OPEN, SMB, True),
    ("ccmsetup", "location-request", 12029, None, None, "management-point-not-reached", FAILED, MANAGEMENT, False),
    ("ccmsetup", "http-request", 12029, None, None, "web-not-reached", FAILED, WEB, False),
    ("ccmsetup", "exit", 0x80072EFD, None, None, "web-not-reached", FAILED, WEB, False),
    ("client", "registration", 12002, None, None, "management-point-not-reached", FAILED, MANAGEMENT, False),
    ("ccmsetup", "download", 12002, None, None, "web-not-reached", FAILED, WEB, False),
    ("ccmsetup", "fallback-status", 12029, None, None, "fallback-status-not-reached", FAILED, None, False),
    ("ccmsetup", "location-request", 12007, None, None, "name-not-resolved", NOTHING, (), True),
    ("ccmsetup", "http-request", 12030, None, None, "web-connection-ended", OPEN, WEB, True),
    ("client", "http-request", 0x2F78, None, None, "not-http", OPEN, WEB, True),
    ("client", "http-request", 12175, None, None, "tls-failed", OPEN, TLS, True),
    ("client", "tls", 0x8, None, None, "tls-flags", OPEN, TLS, True),
    ("client", "tls", 0x9, None, None, "tls-flags", OPEN, TLS, True),
    ("client", "tls", 0x80000000, None, None, "tls-channel-error", NOTHING, (), True),
    ("ccmsetup", "http-request", 12044, None, None, "client-certificate-required", OPEN, TLS, True),
    ("ccmsetup", "http-request", 0x87D00454, None, 0, "no-client-certificate", NOTHING, (), True),
    ("ccmsetup", "http-request", 0, None, 0, "no-client-certificate", NOTHING, (), True),
    ("ccmsetup", "location-request", 0x87D00454, 200, None, "no-content-location", OPEN, MANAGEMENT, True),
    ("ccmsetup", "location-request", 0x87D00454, None, None, "certificate-or-location", NOTHING, (), True),
    ("ccmsetup", "location-request", 0x87D00454, 0, None, "certificate-or-location", NOTHING, (), True),
    ("ccmsetup", "location-request", None, None, None, "no-location", NOTHING, (), True),
    ("ccmsetup", "certificate", 0x80092004, None, None, "certificate-not-found", NOTHING, (), True),
    ("client", "registration", 0x87D00231, None, None, "transient-error", NOTHING, (), True),
    ("client", "registration", 0x87D00231, 500, None, "http-status", OPEN, WEB, True),
    ("ccmsetup", "http-request", 0x87D0027E, None, None, "http-status-unknown", OPEN, WEB, True),
    ("ccmsetup", "http-request", None, 401, 443, "http-status", OPEN, WEB, True),
    ("ccmsetup", "http-request", None, 502, None, "http-proxy-status", NOTHING, (), True),
    ("ccmsetup", "bits", 0x80190194, None, None, "http-status", OPEN, WEB, True),
    ("ccmsetup", "bits", 0x80200024, None, None, "bits-no-progress", OPEN, WEB, True),
    ("ccmsetup", "bits", 0x80080005, None, None, "bits-broken", NOTHING, (), True),
    ("ccmsetup", "bits", None, None, None, "bits-without-code", NOTHING, (), True),
    ("ccmsetup", "download", 53, None, None, "source-share-not-reached", FAILED, ("smb-source-server",), False),
    ("ccmsetup", "download", 5, None, None, "source-share-denied", OPEN, ("smb-source-server",), True),
    ("ccmsetup", "msi", 1603, None, None, "msi-failed", NOTHING, (), True),
    ("ccmsetup", "exit", 0x80070643, None, None, "msi-failed", NOTHING, (), True),
    ("ccmsetup", "exit", 0, None, None, "exit-success", NOTHING, (), False),
    ("ccmsetup", "exit", 2, None, None, "exit-failed", NOTHING, (), True),
    ("ccmsetup", "exit", 7, None, None, "msi-restart", NOTHING, (), False),
    ("ccmsetup", "fallback-status", 308, None, None, "fallback-status-message", NOTHING, (), False),
    ("ccmsetup", "fallback-status", 321, None, None, "bits-version", NOTHING, (), True),
    ("ccmsetup", "active-directory", 0x80004005, None, None, "active-directory", NOTHING, (), False),
    ("ccmsetup", "start", 0x80070002, None, None, "start-noise", NOTHING, (), False),
    ("iis", "http-request", 0, 200, 443, "iis-served", OPEN, WEB, False),
    ("iis", "http-request", 5, 200, 443, "iis-served", OPEN, WEB, False),
    ("iis", "http-request", 0, 301, 443, "iis-status", OPEN, WEB, False),
    ("ccmsetup", "http-request", None, 301, None, "http-status", OPEN, WEB, False),
    ("ccmsetup", "http-request", None, 200, None, "web-used", OPEN, WEB, False),
    ("ccmsetup", "http-request", None, 302, None, "logon-required", NOTHING, (), True),
    ("iis", "http-request", 64, 200, 443, "iis-aborted", OPEN, WEB, False),
    ("iis", "http-request", 126, 500, 80, "iis-status", OPEN, WEB, True),
]


@pytest.mark.parametrize(
    ("log", "step", "code", "status", "port", "name", "shows", "requirements", "fatal"),
    CASES,
    ids=[f"{case[0]}-{case[1]}-{case[2]}-{case[3]}" for case in CASES],
)
def test_what_a_code_shows(log, step, code, status, port, name, shows, requirements, fatal):
    read = reading(log, step, code, status, port)
    assert (read.id, read.shows, read.fatal) == (name, shows, fatal)
    assert requirements is None or read.requirements == requirements
    assert read.next_steps
    assert read.collect


def test_a_status_of_iis_is_read_with_its_substatus():
    read = reading("iis", "http-request", 0, 403, 443, substatus=7)
    assert read.code.name == "403.7 Client certificate required"
    assert read.fatal
    assert reading("iis", "http-request", 0, 401, 443, substatus=2).id == "iis-first-logon"
    assert reading("iis", "http-request", 0, 401, 443, substatus=77).code.value == "401"


def test_what_to_do_about_a_status_is_that_of_the_problem():
    (step,) = reading("ccmsetup", "http-request", None, 404).next_steps
    assert step.action == lookup_status("http", "404").action


def test_a_status_without_an_entry_is_read_by_its_class():
    read = reading("ccmsetup", "http-request", None, 418)
    assert (read.id, read.shows, read.code.name) == ("http-status", Shows.OPEN, "HTTP 418")


@pytest.mark.parametrize(
    ("log", "step", "requirements"),
    [
        ("ccm", "admin-share", SMB),
        ("ccm", "copy", SMB),
        ("ccm", "wmi", RPC),
        ("ccmsetup", "location-request", WEB),
        ("client", "registration", WEB),
    ],
)
def test_a_step_that_succeeded_shows_its_ports_open(log, step, requirements):
    read = reading(log, step, succeeded=True)
    assert (read.shows, read.requirements, read.problem) == (Shows.OPEN, requirements, "")


def test_a_step_that_needs_no_port_shows_nothing_if_it_succeeded():
    assert reading("ccmsetup", "certificate", succeeded=True).shows == Shows.NOTHING


@pytest.mark.parametrize(
    ("code", "verbatim", "command"),
    [
        (54321, "54321", "net helpmsg 54321"),
        (0x8007D431, "0x8007d431", "net helpmsg 54321"),
        (0x87D0FFFF, "0x87d0ffff", "certutil -error 0x87d0ffff"),
    ],
)
def test_an_unknown_code_is_shown_as_it_is_and_shows_nothing(code, verbatim, command):
    read = reading("ccm", "admin-share", code)
    assert (read.shows, read.problem, read.code) == (Shows.NOTHING, "", None)
    assert verbatim in read.text()
    assert [step.command for step in read.next_steps] == [command]


def test_a_status_of_success_beside_an_unknown_code_shows_the_port_open():
    read = reading("ccmsetup", "download", 0x87D0FFFF, 200)
    assert (read.id, read.shows, read.requirements) == ("unknown-code", Shows.OPEN, WEB)
    assert "0x87d0ffff" in read.text()


def test_a_known_code_at_a_step_without_an_entry_shows_nothing_but_its_meaning():
    read = reading("ccm", "queue", 112)
    assert read.shows == Shows.NOTHING
    assert read.text() == "112 ERROR_DISK_FULL: the disk is full."


LOG, STEP = st.sampled_from(list(LOGS)), st.sampled_from(STEPS)
NUMBER = st.one_of(
    st.none(), st.integers(0, 2**32 - 1), st.sampled_from([n for one in known_codes() for n in one.numbers])
)


@given(LOG, STEP, NUMBER, st.one_of(st.none(), st.integers(0, 999)), st.one_of(st.none(), st.integers(0, 65_000)))
def test_every_record_has_a_reading_whose_verdict_names_requirements(log, step, code, status, port):
    read = reading(log, step, code, status, port)
    assert (read.shows == Shows.NOTHING) == (not read.requirements)
    assert read.text()
    assert "{" not in read.text()


@given(LOG, STEP, NUMBER, st.integers(400, 599))
def test_a_record_with_an_error_status_never_shows_a_port_as_failed(log, step, code, status):
    assert reading(log, step, code, status).shows != Shows.FAILED


@given(
    st.sampled_from(["ccmsetup", "client"]), st.sampled_from(["http-request", "location-request", "download"]), NUMBER
)
def test_what_was_not_sent_is_never_the_network(log, step, code):
    assert reading(log, step, code, None, 0).shows == Shows.NOTHING


@pytest.mark.parametrize("step", STEPS)
@pytest.mark.parametrize("log", LOGS)
def test_a_line_without_a_code_shows_no_port_as_failed(log, step):
    assert reading(log, step).shows != Shows.FAILED


def test_names_of_a_log_are_shown_as_they_are():
    read = reading("ccm", "admin-share", 5)
    text = read.text("PC{0}{code}", "CONTOSO\\{account}")
    assert text.startswith("PC{0}{code} responded over SMB and denied access to CONTOSO\\{account}: 5 ERROR_ACCESS")


def test_the_cause_begins_with_a_capital_where_the_log_has_no_name():
    assert reading("ccm", "admin-share", 5).text().startswith("The client responded over SMB")
    assert reading("client", "http-request", None, 500).text().startswith("The site system responded")


def test_an_error_that_has_several_causes_lists_them():
    assert "Possible causes: the name does not resolve" in reading("ccm", "admin-share", 53).text()


def test_what_shows_a_verdict_is_likely():
    assert reading("ccm", "admin-share", 53).confidence == "likely"
    assert reading("ccm", "admin-share").confidence is None


# the table


def faults(document) -> list[str]:
    return table_faults(document, known_codes(), STEPS, rows())


def test_the_table_has_no_faults():
    assert faults(code_table()) == []


@pytest.mark.parametrize(
    ("change", "fault"),
    [
        ({"steps": ["admin"]}, "unknown step admin"),
        ({"logs": ["wuahandler"]}, "unknown log wuahandler"),
        ({"codes": ["win32 99999"]}, "unknown code win32 99999"),
        ({"codes": ["win32 0x35"]}, "unknown code win32 0x35"),
        ({"requirements": ["smb-445"]}, "unknown requirement smb-445"),
        ({"requirements": []}, "requirements belong to a verdict"),
        ({"shows": "blocked"}, "unknown verdict blocked"),
        ({"shows": "nothing"}, "requirements belong to a verdict"),
        ({"problem": "smb"}, "no problem on an open port"),
        ({"fatal": True}, "fatal without a problem"),
        ({"cause": "{host} is off."}, "unknown field host"),
        ({"codes": ["none"]}, "the cause has a field of a code"),
        ({"next": [{"place": "here", "action": "Wait."}]}, "unknown place here"),
        ({"next": [{"place": "client", "action": "Run:"}]}, "a colon belongs before a command"),
        ({"possible": ["It is off."]}, "a possible cause is a clause"),
        ({"hint": ""}, "unknown key hint"),
        ({"steps": ["admin-share"], "codes": ["win32 5"]}, "is also in"),
        ({"steps": ["wmi"], "codes": ["rpc 1722"]}, "is also in"),
    ],
)
def test_a_fault_of_the_table_is_found(change, fault):
    document = copy.deepcopy(code_table())
    entry = next(one for one in document["reading"] if one["id"] == "smb-not-reached")
    entry.update(change)
    assert [one for one in faults(document) if fault in one]


def test_a_code_that_is_twice_in_its_family_is_found():
    (first, *_) = known_codes()
    assert table_faults(code_table(), [*known_codes(), first], STEPS, rows()) == ["win32 2: twice in its family"]


def test_the_ids_of_readings_are_unique():
    assert len({entry.id for entry in readings()}) == len(readings())


def test_every_code_has_readings_or_says_itself_what_to_do():
    assert [code for code in known_codes() if not readings_of(code) and not code.next_step] == []
