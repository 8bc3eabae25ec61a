"""The shipped rulesets against the documents: every row and note is there, and nothing else is.

The tables of both documents are written out below. With AUDITOR_SEED naming the text of the 2007 document,
they are compared with that text as well.
"""

from __future__ import annotations

import os
import re
from pathlib import Path

import pytest

from auditor.ruleset.ruleset import Requirement, Ruleset, SiteFacts, load_ruleset

NOTE_1 = "(See note 1, Alternate Port Available)"
NOTE_2 = "(See note 2, Windows Server Update Services)"

# A section of a document with its rows: how the description starts, UDP, TCP.
Tables = dict[str, list[tuple[str, str, str]]]

HTTP = "Hypertext Transfer Protocol (HTTP) from the client "
HTTPS = "Secure Hypertext Transfer Protocol (HTTPS) from the client "
SMB_SOURCE = (
    "Server Message Block (SMB) between the source server and the client computer when you specify the "
    "CCMSetup command-line property /source:<Path>."
)
SMB_SHARE = (
    "Server Message Block (SMB) between the client computer and a network share from which you run CCMSetup.exe."
)

CONFIGMGR_2007: Tables = {
    "Ports that Are Used for all Installation Methods": [
        (HTTP + "to a server locator point.", "--", f"80 {NOTE_1}"),
        (
            HTTP + "computer to a fallback status point, when a fallback status point is assigned to the client.",
            "--",
            f"80 {NOTE_1}",
        ),
    ],
    "Ports that are Used with Client Push Installation": [
        ("Server Message Block (SMB) between the site server and client computer.", "--", "445"),
        ("RPC endpoint mapper between the site server and the client computer.", "135", "135"),
        ("RPC dynamic ports between the site server and the client computer.", "--", "DYNAMIC"),
        (HTTP + "computer to a mixed mode management point.", "--", f"80 {NOTE_1}"),
        (HTTPS + "computer to a native mode management point.", "--", f"443 {NOTE_1}"),
    ],
    "Ports that are Used with Software Update Point-Based Installation": [
        (HTTP + "computer to the software update point.", "--", f"80 or 8530 {NOTE_2}"),
        (HTTPS + "computer to the software update point.", "--", f"443 or 8531 {NOTE_2}"),
        (SMB_SOURCE, "--", "445"),
    ],
    "Ports that are Used with Group Policy-Based Installation": [
        (f"Secure {HTTP}computer to a native mode management point.", "--", f"80 {NOTE_1}"),
        (HTTPS + "computer to a native mode management point.", "--", f"443 {NOTE_1}"),
        (SMB_SOURCE, "--", "445"),
    ],
    "Ports that are Used with Manual Installation and Logon Script-Based Installation": [
        (SMB_SHARE, "--", "445"),
        (
            HTTP + "computer to a mixed mode management point, and you do not specify the CCMSetup command-line "
            "property /source:<Path>.",
            "--",
            f"80 {NOTE_1}",
        ),
        (
            HTTPS + "computer to a native mode management point, and you do not specify the CCMSetup command-line "
            "property /source:<Path>.",
            "--",
            f"443 {NOTE_1}",
        ),
        (SMB_SOURCE, "--", "445"),
    ],
    "Ports that are Used with Software Distribution-Based Installation": [
        ("Server Message Block (SMB) between the distribution point and the client computer.", "--", "445"),
        (HTTP + "to a mixed mode distribution point.", "--", f"80 {NOTE_1}"),
        (HTTPS + "to a native mode distribution point.", "--", f"443 {NOTE_1}"),
    ],
}

CURRENT_BRANCH: Tables = {
    "Ports that are used for all installation methods": [
        (
            HTTP + "computer to a fallback status point, when a fallback status point is assigned to the client.",
            "--",
            f"80 {NOTE_1}",
        ),
    ],
    "Ports that are used with client push installation": [
        ("Server Message Block (SMB) between the site server and client computer.", "--", "445"),
        ("RPC endpoint mapper between the site server and the client computer.", "135", "135"),
        ("RPC dynamic ports between the site server and the client computer.", "--", "DYNAMIC"),
        (HTTP + "computer to a management point when the connection is over HTTP.", "--", f"80 {NOTE_1}"),
        (HTTPS + "computer to a management point when the connection is over HTTPS.", "--", f"443 {NOTE_1}"),
    ],
    "Ports that are used with software update point-based installation": [
        (HTTP + "computer to the software update point.", "--", f"80 or 8530 {NOTE_2}"),
        (HTTPS + "computer to the software update point.", "--", f"443 or 8531 {NOTE_2}"),
        (SMB_SOURCE, "--", "445"),
    ],
    "Ports that are used with Group Policy-based installation": [
        (HTTP + "computer to a management point when the connection is over HTTP.", "--", f"80 {NOTE_1}"),
        (HTTPS + "computer to a management point when the connection is over HTTPS.", "--", f"443 {NOTE_1}"),
        (SMB_SOURCE, "--", "445"),
    ],
    "Ports that are used with manual installation and logon script-based installation": [
        (SMB_SHARE, "--", "445"),
        (
            HTTP + "computer to a management point when the connection is over HTTP, and you do not specify the "
            "CCMSetup command-line property /source:<Path>.",
            "--",
            f"80 {NOTE_1}",
        ),
        (
            HTTPS + "computer to a management point when the connection is over HTTPS, and you do not specify the "
            "CCMSetup command-line property /source:<Path>.",
            "--",
            f"443 {NOTE_1}",
        ),
        (SMB_SOURCE, "--", "445"),
    ],
    "Ports that are used with software distribution-based installation": [
        ("Server Message Block (SMB) between the distribution point and the client computer.", "--", "445"),
        (HTTP + "to a distribution point when the connection is over HTTP.", "--", f"80 {NOTE_1}"),
        (HTTPS + "to a distribution point when the connection is over HTTPS.", "--", f"443 {NOTE_1}"),
    ],
}

DOCUMENTS = {"configmgr-2007": CONFIGMGR_2007, "configmgr-current-branch": CURRENT_BRANCH}
ROWS = [
    pytest.param(ruleset_id, section, number, row, id=f"{ruleset_id}: {section}, row {number}")
    for ruleset_id, tables in DOCUMENTS.items()
    for section, rows in tables.items()
    for number, row in enumerate(rows, start=1)
]


def words(text: str) -> str:
    """Put a text on one line with single blanks, so that line breaks of a document do not matter."""
    return " ".join(text.split())


def at(ruleset: Ruleset, reference: str, protocol: str) -> list[Requirement]:
    """The requirements that cite a place in the document, each row once even if it holds for all methods."""
    found = [r for r in ruleset.requirements if (r.reference, r.protocol) == (reference, protocol)]
    return list({requirement.row: requirement for requirement in found}.values())


def cell(requirement: Requirement) -> str:
    """A requirement written as the cell of the document's table."""
    if requirement.dynamic:
        return "DYNAMIC"
    notes = [text for name, text in (("1", NOTE_1), ("2", NOTE_2)) if name in requirement.see_notes]
    return " ".join([requirement.ports_text, *notes])


# ---------------------------------------------------------------- row by row


@pytest.mark.parametrize(("ruleset_id", "section", "number", "row"), ROWS)
def test_every_row_of_the_document_is_a_requirement(ruleset_id, section, number, row):
    ruleset = load_ruleset(ruleset_id)
    for protocol, documented in zip(("udp", "tcp"), row[1:], strict=True):
        found = at(ruleset, f"{section}, row {number}", protocol)
        assert [(r.description, cell(r)) for r in found] == ([] if documented == "--" else [(row[0], documented)])


@pytest.mark.parametrize("ruleset_id", DOCUMENTS)
def test_every_requirement_is_a_row_of_the_document_but_for_the_echo_request(ruleset_id):
    places = {f"{section}, row {n + 1}" for section, rows in DOCUMENTS[ruleset_id].items() for n in range(len(rows))}
    beside = [r.id for r in load_ruleset(ruleset_id).requirements if r.reference not in places]
    assert beside == ["client-push/icmp-echo"]


@pytest.mark.parametrize("ruleset_id", DOCUMENTS)
def test_every_method_is_a_section_of_the_document(ruleset_id):
    sections = [method.reference for method in load_ruleset(ruleset_id).methods]
    assert ["Ports that are used for all installation methods", *sections] == [
        section.replace("Are Used for all Installation Methods", "are used for all installation methods")
        for section in DOCUMENTS[ruleset_id]
    ]


@pytest.mark.parametrize("ruleset_id", DOCUMENTS)
def test_an_alternate_port_can_be_given_exactly_where_a_note_allows_it(ruleset_id):
    for requirement in load_ruleset(ruleset_id).requirements:
        allowed = "1" in requirement.see_notes or "2" in requirement.see_notes
        assert (requirement.alternate_port is not None) == allowed
        assert bool(requirement.fixed_because) == (not allowed and not requirement.icmp_echo)


@pytest.mark.parametrize("ruleset_id", DOCUMENTS)
def test_a_direction_is_inferred_exactly_where_the_document_says_between(ruleset_id):
    for requirement in load_ruleset(ruleset_id).requirements:
        assert (requirement.direction == "inferred") == (" between " in requirement.description)


@pytest.mark.parametrize("ruleset_id", DOCUMENTS)
def test_every_service_has_one_name_for_its_port(ruleset_id):
    for requirement in load_ruleset(ruleset_id).requirements:
        assert requirement.alternate_port in (None, requirement.row)


# ---------------------------------------------------------------- what is required

ALWAYS = "required"
OF_A_GROUP = "required, one of the group"
IF = "conditional"
NEVER = "informational"
FOR_ALL = ("-fallback-status-point", "-server-locator-point")


def weight(requirement: Requirement) -> str:
    """How a requirement counts, in one word or two."""
    return OF_A_GROUP if requirement.either_or else requirement.necessity


@pytest.mark.parametrize(("ruleset_id", "echo"), [("configmgr-2007", ALWAYS), ("configmgr-current-branch", NEVER)])
def test_how_each_row_counts(ruleset_id, echo):
    ruleset = load_ruleset(ruleset_id)
    weights = {r.id: weight(r) for r in ruleset.requirements if not r.row.endswith(FOR_ALL)}
    assert weights == {
        "client-push/icmp-echo": echo,
        "client-push/smb": ALWAYS,
        "client-push/rpc-endpoint-mapper": ALWAYS,
        "client-push/rpc-endpoint-mapper-udp": NEVER,
        "client-push/rpc-dynamic": ALWAYS,
        "client-push/http-management-point": OF_A_GROUP,
        "client-push/https-management-point": OF_A_GROUP,
        "software-update-point/http-software-update-point": OF_A_GROUP,
        "software-update-point/https-software-update-point": OF_A_GROUP,
        "software-update-point/smb-source-server": IF,
        "group-policy/http-management-point": OF_A_GROUP,
        "group-policy/https-management-point": OF_A_GROUP,
        "group-policy/smb-source-server": IF,
        "manual/smb-share": IF,
        "manual/http-management-point": OF_A_GROUP,
        "manual/https-management-point": OF_A_GROUP,
        "manual/smb-source-server": IF,
        "software-distribution/smb-distribution-point": ALWAYS,
        "software-distribution/http-distribution-point": OF_A_GROUP,
        "software-distribution/https-distribution-point": OF_A_GROUP,
    }
    assert {weight(r) for r in ruleset.requirements if r.row.endswith(FOR_ALL)} == {IF}


@pytest.mark.parametrize("ruleset_id", DOCUMENTS)
def test_only_client_push_reaches_into_the_client(ruleset_id):
    inbound = {r.method for r in load_ruleset(ruleset_id).requirements if r.to_role == "client"}
    assert inbound == {"client-push"}
    assert all(r.from_role == "client" for r in load_ruleset(ruleset_id).requirements if r.to_role != "client")


@pytest.mark.parametrize("ruleset_id", DOCUMENTS)
def test_manual_and_group_policy_need_neither_smb_nor_rpc(ruleset_id):
    """The Important box of both documents: without /source, and CCMSetup.exe not run from a share."""
    ruleset = load_ruleset(ruleset_id)
    facts = SiteFacts(stated={"run-from-share": False})
    for method in (ruleset.method("manual"), ruleset.method("group-policy")):
        applying = {r.row for r in method.requirements if ruleset.applies(r, facts)}
        assert applying == {"http-management-point", "https-management-point"}


@pytest.mark.parametrize("row", ["http-server-locator-point", "server-locator-point"])
def test_current_branch_knows_no_server_locator_point(row):
    ruleset = load_ruleset("configmgr-current-branch")
    assert [r.id for r in ruleset.requirements if row in (r.row, r.to_role)] == []


def test_the_group_policy_row_with_the_slip_is_kept_and_explained():
    requirement = load_ruleset("configmgr-2007").requirement("group-policy/http-management-point")
    assert requirement.description.startswith("Secure Hypertext Transfer Protocol (HTTP)")
    assert requirement.conditions == ("mixed-mode",)
    assert "HTTP is not secure" in requirement.notes


@pytest.mark.parametrize("ruleset_id", DOCUMENTS)
def test_udp_135_says_why_it_never_decides(ruleset_id):
    ruleset = load_ruleset(ruleset_id)
    requirement = ruleset.requirement("client-push/rpc-endpoint-mapper-udp")
    assert (requirement.protocol, requirement.ports) == ("udp", (135,))
    assert "Nothing uses it today" in ruleset.notes[requirement.see_notes[0]]


@pytest.mark.parametrize("ruleset_id", DOCUMENTS)
def test_a_remedy_is_short_and_names_the_direction(ruleset_id):
    for requirement in load_ruleset(ruleset_id).requirements:
        for step in requirement.remedy_steps:
            assert step.count(". ") <= 1, step
        assert "site server" in requirement.remedy or "client" in requirement.remedy


@pytest.mark.parametrize(
    ("port", "dynamic"),
    [
        (49152, True),
        (65535, True),
        (1024, True),
        (5000, True),
        (24158, True),
        (5001, False),
        (445, False),
        (8530, False),
    ],
)
@pytest.mark.parametrize("ruleset_id", DOCUMENTS)
def test_the_dynamic_ports(ruleset_id, port, dynamic):
    assert load_ruleset(ruleset_id).is_dynamic(port) is dynamic


# ---------------------------------------------------------------- the text of the 2007 document


@pytest.fixture(scope="module")
def seed() -> str:
    """The text of the 2007 document."""
    path = os.environ.get("AUDITOR_SEED", "")
    if not path:
        pytest.skip("AUDITOR_SEED does not name the text of the 2007 document; its tables above were compared")
    return Path(path).read_text(encoding="utf-8")


def tables_of(text: str) -> Tables:
    """Read the tables out of the text: below each heading, cells end with a bar and three cells are a row."""
    tables: Tables = {}
    body = text.split("\nNotes\n")[0]
    for part in re.split(r"(?m)^(?=Ports that )", body)[1:]:
        heading, _, rest = part.partition("\n")
        table = re.split(r"(?m)^---\|[-|]*$", rest, maxsplit=1)[1]
        cells = [words(cell) for cell in table.split("|") if cell.strip()]
        tables[heading.strip()] = list(zip(*[iter(cells)] * 3, strict=True))
    return tables


def test_the_seed_has_the_tables_above(seed):
    tables = tables_of(seed)
    assert list(tables) == list(CONFIGMGR_2007)
    for section, rows in CONFIGMGR_2007.items():
        for found, expected in zip(tables[section], rows, strict=True):
            assert found[0].startswith(expected[0])
            assert found[1:] == expected[1:]


def test_the_seed_has_the_notes_of_the_ruleset(seed):
    notes = load_ruleset("configmgr-2007").notes
    end = words(seed.split("\nNotes\n")[1])
    assert end == "1 " + words(notes["1"]).replace(":", "", 1) + " 2 " + words(notes["2"]).replace(":", "", 1)
    assert words(notes["important"]) in words(seed)


def test_the_seed_has_the_echo_request(seed):
    echo = load_ruleset("configmgr-2007").requirement("client-push/icmp-echo")
    assert words(echo.description) in words(seed)
    assert "any intervening network devices, such as firewalls, must permit ICMP traffic" in echo.notes
    assert echo.notes.removeprefix("The document: ") in words(seed)
