"""Loading rulesets, the faults a ruleset file may have, and the alternate ports an administrator gives."""

from __future__ import annotations

import pickle
import random
import textwrap
import tomllib
from dataclasses import replace
from pathlib import Path

import pytest
from places import RULESETS

from auditor.errors import ArgumentError, RulesetError
from auditor.ruleset.ruleset import (
    DEFAULT_RULESET,
    Condition,
    Ruleset,
    SiteFacts,
    check_ruleset,
    idle_properties,
    load_ruleset,
    shipped_rulesets,
    with_ports,
)
from auditor.ruleset.site import known_site

pytestmark = pytest.mark.slow

PAGE = RULESETS.parent / "docs" / "reference" / "rulesets.md"

# A sound ruleset with one of everything; each fault below is made by replacing a piece of it.
SOUND = """
format_version = 1
id = "small"
title = "A small ruleset"
dynamic_ports = [[49152, 65535]]

[reference]
publisher = "Contoso"
document = "Ports"
version = "1"

[notes]
1 = "An alternate port may be given."
2 = "If the HTTP port is 80, the HTTPS port must be 443, else one higher."

[[condition]]
id = "mixed-mode"
text = "the site is in mixed mode"
decided_by = "mode"
value = "mixed"

[[condition]]
id = "source-property"
text = "CCMSetup is run with /source"
decided_by = "property"
value = "/source"

[[condition]]
id = "no-source-property"
text = "CCMSetup is run without /source"
opposite = "source-property"

[[condition]]
id = "run-from-share"
text = "CCMSetup is run from a share"
decided_by = "site"

[[tied_ports]]
http = "http-software-update-point"
https = "https-software-update-point"
pairs = [[80, 443]]
otherwise_add = 1
note = "2"

[[method]]
id = "client-push"
title = "Client push"
summary = "The site server installs the client."
reference = "Section 1"

[[method.requirement]]
row = "smb"
description = "SMB between the site server and the client."
from = "site-server"
to = "client"
direction = "inferred"
protocol = "tcp"
ports = [445]
fixed_because = "Windows knows no other."
necessity = "required"
remedy = "Open TCP {ports} to the client."
reference = "Section 1, row 1"

[[method.requirement]]
row = "rpc-dynamic"
description = "RPC dynamic ports."
from = "site-server"
to = "client"
protocol = "tcp"
dynamic = true
necessity = "required"
remedy = "Open the dynamic ports to the client."
reference = "Section 1, row 2"

[[method.requirement]]
row = "smb-share"
description = "SMB to the share."
from = "client"
to = "source-server"
protocol = "tcp"
ports = [445]
necessity = "conditional"
conditions = ["run-from-share"]
remedy = "Open TCP {ports} to the share."
reference = "Section 1, row 3"

[[method]]
id = "software-update-point"
title = "Software update point"
summary = "The client installs itself from WSUS."
reference = "Section 2"

[[method.requirement]]
row = "http-software-update-point"
description = "HTTP to the software update point."
from = "client"
to = "software-update-point"
protocol = "tcp"
ports = [80, 8530]
alternate_port = "http-software-update-point"
necessity = "required"
conditions = ["mixed-mode"]
either_or = "software-update-point"
remedy = "Open TCP {ports} to the software update point."
reference = "Section 2, row 1"
see_notes = ["1", "2"]

[[method.requirement]]
row = "https-software-update-point"
description = "HTTPS to the software update point."
from = "client"
to = "software-update-point"
protocol = "tcp"
ports = [443, 8531]
alternate_port = "https-software-update-point"
necessity = "required"
either_or = "software-update-point"
remedy = "Open TCP {ports} to the software update point."
reference = "Section 2, row 2"
"""


@pytest.fixture
def write(tmp_path):
    """Write a ruleset file and return its path."""

    def write_file(content: str | bytes) -> Path:
        path = tmp_path / "own.toml"
        path.write_bytes(content if isinstance(content, bytes) else content.encode())
        return path

    return write_file


def changed(old: str, new: str, text: str = SOUND) -> str:
    """Replace the first occurrence of a piece of the sound ruleset."""
    assert old in text
    return text.replace(old, new, 1)


# ---------------------------------------------------------------- loading


def test_the_shipped_rulesets_are_the_two_documents():
    assert shipped_rulesets() == ("configmgr-2007", "configmgr-current-branch")
    assert DEFAULT_RULESET == "configmgr-2007"
    assert load_ruleset().id == DEFAULT_RULESET


@pytest.mark.parametrize("ruleset_id", shipped_rulesets())
def test_a_shipped_ruleset_is_sound_and_named_like_its_file(ruleset_id):
    path = RULESETS / f"{ruleset_id}.toml"
    assert check_ruleset(path) == []
    assert load_ruleset(ruleset_id) == load_ruleset(path) == load_ruleset(str(path))
    assert load_ruleset(ruleset_id).id == ruleset_id


def test_an_installed_ruleset_lies_inside_the_package(tmp_path, monkeypatch):
    installed = tmp_path / "auditor" / "rulesets"
    installed.mkdir(parents=True)
    (installed / "mine.toml").write_text(SOUND)
    monkeypatch.setattr("auditor.ruleset.package_data.FOLDER", tmp_path / "auditor" / "ruleset")
    assert shipped_rulesets() == ("mine",)
    assert load_ruleset("mine").id == "small"


def test_an_unknown_id_is_refused_with_the_known_ones():
    with pytest.raises(RulesetError) as error:
        load_ruleset("configmgr-2070")
    assert "Did you mean configmgr-2007?" in str(error.value)
    assert "configmgr-current-branch" in str(error.value)


def test_a_ruleset_of_your_own_may_have_any_name(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    shipped = load_ruleset().path.read_text(encoding="utf-8")
    for name in ("mine", "mine.txt", "configmgr-2007"):
        (tmp_path / name).write_text(shipped.replace('title = "', f'title = "{name}: ', 1), encoding="utf-8")
    assert load_ruleset("mine").title.startswith("mine: ")
    assert load_ruleset("mine.txt").title.startswith("mine.txt: ")
    assert not load_ruleset("configmgr-2007").title.startswith("configmgr-2007: ")  # its name is the shipped one's
    assert load_ruleset("./configmgr-2007").title.startswith("configmgr-2007: ")
    assert load_ruleset(Path("configmgr-2007")).title.startswith("configmgr-2007: ")


@pytest.mark.parametrize("name", ["missing.toml", "folder/missing"])
def test_a_missing_file_is_one_line(name):
    with pytest.raises(RulesetError, match=r"there is no such file") as error:
        load_ruleset(name)
    assert "\n" not in str(error.value)


def test_methods_and_requirements_are_looked_up_by_id():
    ruleset = load_ruleset("configmgr-2007")
    assert ruleset.method("client-push").title == "Client push installation"
    smb = ruleset.requirement("client-push/smb")
    assert (smb.from_role, smb.to_role, smb.protocol, smb.ports) == ("site-server", "client", "tcp", (445,))
    with pytest.raises(RulesetError, match="Did you mean client-push"):
        ruleset.method("client-pusch")
    with pytest.raises(RulesetError, match="Did you mean client-push/smb"):
        ruleset.requirement("client-push/smp")


def test_an_unknown_id_of_a_ruleset_is_refused_with_the_known_ones():
    ruleset = load_ruleset()
    for look_up, known in ((ruleset.method, "client-push"), (ruleset.condition, "native-mode")):
        assert look_up(known).id == known
        with pytest.raises(RulesetError, match=r"'none-such'.*ruleset configmgr-2007") as refused:
            look_up("none-such")
        assert known in refused.value.hint
    with pytest.raises(RulesetError, match=r"'client-push/none-such'"):
        ruleset.requirement("client-push/none-such")


def test_the_ports_of_a_row_in_words():
    ruleset = load_ruleset()
    rows = ("icmp-echo", "smb", "rpc-dynamic")
    words = [ruleset.requirement(f"client-push/{row}").ports_text for row in rows]
    assert words == ["echo request", "445", "dynamic"]
    assert ruleset.requirement("software-update-point/http-software-update-point").ports_text == "80 or 8530"


def test_the_names_of_ports_stand_in_alphabetical_order():
    names = load_ruleset().port_names
    assert list(names) == sorted(names)
    assert len(names) > 5


@pytest.mark.parametrize(
    ("port", "dynamic", "usual"),
    [
        (1023, False, False),
        (1024, True, False),
        (5000, True, False),
        (5001, False, False),
        (24158, True, True),
        (49151, False, False),
        (49152, True, True),
        (65535, True, True),
    ],
)
def test_which_ports_the_endpoint_mapper_assigns_today_and_before(port, dynamic, usual):
    ruleset = load_ruleset()
    assert (ruleset.is_dynamic(port), ruleset.is_usual_dynamic(port)) == (dynamic, usual)


def test_a_ruleset_without_dynamic_ports_has_none():
    ruleset = replace(load_ruleset(), dynamic_ports=(), fixed_dynamic_ports=())
    assert (ruleset.is_dynamic(49152), ruleset.is_usual_dynamic(49152)) == (False, False)


def test_rows_for_all_methods_are_part_of_each_method():
    ruleset = load_ruleset("configmgr-2007")
    for method in ruleset.methods:
        for row in ("http-server-locator-point", "http-fallback-status-point"):
            requirement = ruleset.requirement(f"{method.id}/{row}")
            assert requirement.method == method.id
            assert requirement in method.requirements


def test_a_ruleset_can_go_to_another_process_and_into_a_set():
    ruleset = load_ruleset()
    assert pickle.loads(pickle.dumps(ruleset)) == ruleset
    assert len({ruleset, load_ruleset()}) == 1


def test_the_example_of_the_documentation_loads(write):
    text = PAGE.read_text(encoding="utf-8")
    example = text.split("```toml\n")[1].split("```")[0]
    ruleset = load_ruleset(write(textwrap.dedent(example)))
    assert [r.row for r in ruleset.method("client-push").requirements] == [
        "smb",
        "icmp-echo",
        "rpc-endpoint-mapper",
        "rpc-dynamic",
        "http-management-point",
        "https-management-point",
        "smb-source-server",
    ]
    assert ruleset.is_dynamic(50100)
    assert not ruleset.is_dynamic(49152)


def test_the_documentation_names_every_field_of_the_shipped_files():
    page = PAGE.read_text(encoding="utf-8")
    for ruleset_id in shipped_rulesets():
        document = tomllib.loads((RULESETS / f"{ruleset_id}.toml").read_text(encoding="utf-8"))
        tables = [document, document["reference"], *document["condition"], *document["tied_ports"]]
        tables += [*document["method"], *document["for_all_methods"]]
        tables += [row for method in document["method"] for row in method["requirement"]]
        fields = {key for table in tables for key in table} - {"requirement"}
        assert [field for field in sorted(fields) if f"`{field}`" not in page and f"[{field}]" not in page] == []


def test_the_documentation_names_every_port_that_can_be_set():
    page = PAGE.read_text(encoding="utf-8")
    names = {name for ruleset_id in shipped_rulesets() for name in load_ruleset(ruleset_id).port_names}
    assert [name for name in sorted(names) if f"`{name}`" not in page] == []


# ---------------------------------------------------------------- conditions

MIXED, NATIVE = SiteFacts(mode="mixed"), SiteFacts(mode="native")
WITH_SOURCE = SiteFacts(properties=(r"/source:\\server\share",))
ON_A_SHARE = SiteFacts(stated={"run-from-share": True})


@pytest.mark.parametrize(
    ("requirement", "facts", "expected"),
    [
        ("client-push/smb", SiteFacts(), True),
        ("client-push/http-management-point", SiteFacts(), True),
        ("client-push/https-management-point", SiteFacts(), True),
        ("client-push/http-management-point", MIXED, True),
        ("client-push/https-management-point", MIXED, False),
        ("group-policy/http-management-point", NATIVE, False),
        ("group-policy/https-management-point", NATIVE, True),
        ("manual/http-management-point", SiteFacts(), True),
        ("manual/http-management-point", WITH_SOURCE, False),
        ("manual/smb-source-server", SiteFacts(), False),
        ("manual/smb-source-server", WITH_SOURCE, True),
        ("manual/smb-source-server", SiteFacts(properties=("-SOURCE:c:\\files",)), True),
        ("manual/smb-source-server", SiteFacts(properties=("SMSSITECODE=P01",)), False),
        ("manual/smb-share", SiteFacts(), None),
        ("manual/smb-share", ON_A_SHARE, True),
        ("manual/smb-share", SiteFacts(stated={"run-from-share": False}), False),
        ("manual/http-fallback-status-point", SiteFacts(), False),
        ("manual/http-fallback-status-point", SiteFacts(roles=frozenset({"fallback-status-point"})), True),
        ("manual/smb-source-server", SiteFacts(stated={"source-property": True}), True),
        ("manual/http-management-point", SiteFacts(stated={"source-property": True}), False),
    ],
)
def test_a_requirement_applies_when_its_conditions_hold(requirement, facts, expected):
    ruleset = load_ruleset("configmgr-2007")
    assert ruleset.applies(ruleset.requirement(requirement), facts) is expected
    assert ruleset.at(facts).applies[requirement] is expected


def test_what_holds_at_a_site_is_worked_out_once_for_all_that_know_the_same():
    ruleset = load_ruleset("configmgr-2007")
    known = ruleset.at(SiteFacts(stated={"run-from-share": True}))
    assert ruleset.at(SiteFacts(stated={"run-from-share": True})) is known
    assert ruleset.at(SiteFacts(stated={"run-from-share": False})) is not known
    assert with_ports(ruleset, {"http-management-point": 8080}).at(ON_A_SHARE) is not known


def test_a_row_that_is_off_says_which_of_its_conditions_is_off():
    rules = load_ruleset("configmgr-2007").at(SiteFacts(mode="mixed", properties=("/source:x",)))
    assert rules.why_off["client-push/https-management-point"] == (
        "Applies only if the site is in native mode, so clients use HTTPS to site systems."
    )
    assert rules.why_off["manual/http-management-point"] == (
        "Applies only if CCMSetup is run without the property /source:<Path>."
    )
    assert "client-push/smb" not in rules.why_off


def test_what_counts_is_what_applies_and_decides():
    rules = load_ruleset("configmgr-2007").at(MIXED)
    assert [one.row for one in rules.ruleset.method("client-push").requirements if one.id in rules.counted] == [
        "icmp-echo",
        "smb",
        "rpc-endpoint-mapper",
        "rpc-dynamic",
        "http-management-point",
    ]


def test_rows_of_several_methods_ask_the_same_but_for_dynamic_ports():
    ruleset = load_ruleset("configmgr-2007")
    push, policy = (ruleset.requirement(f"{one}/http-management-point") for one in ("client-push", "group-policy"))
    assert push.asks == policy.asks
    assert push.asks != replace(push, to_role="distribution-point").asks
    assert push.asks != replace(push, from_role="site-server").asks
    assert push.asks != replace(push, necessity="informational").asks
    dynamic = ruleset.requirement("client-push/rpc-dynamic")
    assert dynamic.asks != replace(dynamic, id="other/rpc-dynamic", method="other").asks


def test_the_opposite_of_what_is_not_known_is_not_known_either():
    ruleset = load_ruleset()
    local = Condition("local", "CCMSetup is run from a local disk", "", "", "run-from-share")
    ruleset = replace(ruleset, conditions=(*ruleset.conditions, local))
    assert [ruleset.holds("local", facts) for facts in (SiteFacts(), ON_A_SHARE)] == [None, False]


def test_a_property_that_decides_nothing_is_told_with_the_nearest_one_or_all():
    ruleset = load_ruleset()
    assert idle_properties(ruleset, [r"/source:\\server\share", "-SOURCE=x"]) == []
    misspelt, other, long = idle_properties(ruleset, ["/source", r"/sorce:\\server", "SMSSITECODE=P01", "X" * 80])
    assert ("/sorce" in misspelt, "Did you mean /source?" in misspelt) == (True, True)
    assert ("SMSSITECODE=P01" in other, "Did you mean" in other, "/source" in other) == (True, False, True)
    assert "X" * 57 + "..." in long
    assert "X" * 58 not in long
    assert "X" * 60 in idle_properties(ruleset, ["X" * 60])[0]


# ---------------------------------------------------------------- faults


def test_the_small_ruleset_is_sound(write):
    assert check_ruleset(write(SOUND)) == []


FAULTS = [
    # what stands there, what it is replaced by, where, field, a piece of the message or recommendation
    ('title = "A small ruleset"\n', "", "", "title", "is missing"),
    ('title = "A small ruleset"', "title = 7", "", "title", "a text that is not empty"),
    ('title = "A small ruleset"', 'title = "  "', "", "title", "a text that is not empty"),
    ('id = "small"', 'id = "Small Rules"', "", "id", "small letters"),
    ("format_version = 1", "format_version = 2", "", "format_version", "the only format"),
    ("format_version = 1", "format_version = true", "", "format_version", "the only format"),
    ("format_version = 1", "format_version = 1\nmethods = 3", "", "methods", "Did you mean method?"),
    ("[[49152, 65535]]", "[[65535, 49152]]", "", "dynamic_ports", "lowest and highest"),
    ("[[49152, 65535]]", "[[0, 65535]]", "", "dynamic_ports", "from 1 to 65535"),
    ("[[49152, 65535]]", "[49152, 65535]", "", "dynamic_ports", "pairs"),
    ("dynamic_ports = [[49152, 65535]]\n", "", "client-push/rpc-dynamic", "dynamic", "range is not known"),
    ("[reference]", "[[reference]]", "", "reference", "a table"),
    ('publisher = "Contoso"\n', "", "reference", "publisher", "is missing"),
    ('1 = "An alternate port may be given."', "1 = 5", "", "notes", "a table of texts"),
    ('decided_by = "mode"', 'decided_by = "modus"', "condition mixed-mode", "decided_by",
     "Did you mean mode?"),
    ('value = "mixed"', 'value = "mixt"', "condition mixed-mode", "value", "Did you mean mixed?"),
    ('value = "mixed"\n', "", "condition mixed-mode", "value", "by which one"),
    ('decided_by = "mode"\nvalue = "mixed"\n', "", "condition mixed-mode", "decided_by",
     "either decided_by or"),
    ('decided_by = "site"', 'decided_by = "site"\nvalue = "x"', "condition run-from-share", "value",
     "Remove it"),
    ('opposite = "source-property"', 'opposite = "sauce"', "condition no-source-property", "opposite",
     "Known:"),
    ('decided_by = "mode"\nvalue = "mixed"', 'opposite = "no-source-property"', "condition mixed-mode",
     "opposite", "itself"),
    ('id = "run-from-share"', 'id = "mixed-mode"', "", "condition", "more than once"),
    ('http = "http-software-update-point"', 'http = "http-wsus"', "tied_ports 1", "http",
     "no alternate_port"),
    ("otherwise_add = 1", "otherwise_add = true", "tied_ports 1", "otherwise_add", "whole number"),
    ("pairs = [[80, 443]]", "pairs = [80, 443]", "tied_ports 1", "pairs", "pairs of port numbers"),
    ('note = "2"', 'note = "3"', "tied_ports 1", "note", "no note"),
    ('id = "software-update-point"', 'id = "client-push"', "", "method", "more than once"),
    ('row = "rpc-dynamic"', 'row = "smb"', "client-push", "row", "more than once"),
    ('row = "smb"', 'row = "SMB"', "client-push/SMB", "row", "small letters"),
    ('row = "smb"\n', "", "client-push/requirement 1", "row", "is missing"),
    ('from = "site-server"', 'from = "siteserver"', "client-push/smb", "from", "Did you mean site-server?"),
    ('to = "client"', 'to = "moon"', "client-push/smb", "to", "one of site-server, client"),
    ('direction = "inferred"', 'direction = "guessed"', "client-push/smb", "direction", "one of documented"),
    ('protocol = "tcp"', 'protocol = "TCP"', "client-push/smb", "protocol", "one of tcp, udp, icmp"),
    ('protocol = "tcp"', 'protocol = "icmp"', "client-push/smb", "protocol", "does not go with ports"),
    ("dynamic = true", "icmp_echo = true", "client-push/rpc-dynamic", "protocol",
     "does not go with icmp_echo"),
    ("dynamic = true", "dynamic = false", "client-push/rpc-dynamic", "dynamic", "true, or no such line"),
    ("dynamic = true", "dynamic = true\nports = [445]", "client-push/rpc-dynamic", "ports",
     "exclude each other"),
    ("ports = [445]\n", "", "client-push/smb", "ports", "no port is given"),
    ("ports = [445]", "ports = 445", "client-push/smb", "ports", "list of port numbers"),
    ("ports = [445]", "ports = []", "client-push/smb", "ports", "list of port numbers"),
    ("ports = [445]", "ports = [0]", "client-push/smb", "ports", "from 1 to 65535"),
    ("ports = [445]", "ports = [65536]", "client-push/smb", "ports", "from 1 to 65535"),
    ("ports = [445]", "ports = [true]", "client-push/smb", "ports", "[true] cannot stand here"),
    ("ports = [445]", 'ports = ["445"]', "client-push/smb", "ports", "list of port numbers"),
    ("ports = [445]", "ports = [445.0]", "client-push/smb", "ports", "list of port numbers"),
    ("ports = [445]", "ports = [445, 445]", "client-push/smb", "ports", "none twice"),
    ("ports = [445]", "port = [445]", "client-push/smb", "port", "Did you mean ports?"),
    ("ports = [445]", "ports = [445]\ncolour = 3", "client-push/smb", "colour", "Known here are: row"),
    ('necessity = "required"', 'necessity = "require"', "client-push/smb", "necessity",
     "Did you mean required?"),
    ('necessity = "required"', 'necessity = "conditional"', "client-push/smb", "conditions",
     "on no condition"),
    ('conditions = ["run-from-share"]', "conditions = []", "client-push/smb-share", "conditions",
     "list of ids"),
    ('["run-from-share"]', '["run-from-shore"]', "client-push/smb-share", "conditions",
     "Did you mean run-from-share?"),
    ("fixed_because =", 'alternate_port = "smb"\nfixed_because =', "client-push/smb", "fixed_because",
     "cannot be fixed"),
    ("dynamic = true", 'dynamic = true\nalternate_port = "rpc"', "client-push/rpc-dynamic",
     "alternate_port", "no port to"),
    ("ports = [443, 8531]\nalternate_port = \"https-", "ports = [443, 8531]\nalternate_port = \"http-",
     "software-update-point/https-software-update-point", "alternate_port", "stands for other ports"),
    ("ports = [445]", 'ports = [445]\nsite_port = "http"', "client-push/smb", "site_port", "no port to replace"),
    ("ports = [80, 8530]", 'ports = [80, 8530]\nsite_port = "ftp"',
     "software-update-point/http-software-update-point", "site_port", "one of http, https"),
    ("ports = [80, 8530]", 'ports = [80, 8530]\nsite_port = "http"',
     "software-update-point/http-software-update-point", "site_port", "follows tied_ports"),
    ('either_or = "software-update-point"\n', "", "software-update-point", "either_or", "one member only"),
    ('see_notes = ["1", "2"]', 'see_notes = ["9"]', "software-update-point/http-software-update-point",
     "see_notes", "no note"),
    ('remedy = "Open TCP {ports} to the client."\n', "", "client-push/smb", "remedy", "is missing"),
    ("Open TCP {ports} to the client.", "Open {port}.", "client-push/smb", "remedy", "there is a brace"),
    ("Open the dynamic ports", "Open {ports}", "client-push/rpc-dynamic", "remedy", "stands for nothing"),
    ("Open TCP {ports} to the software", "Open TCP 80 to the software",
     "software-update-point/http-software-update-point", "remedy", "as a number"),
    ('reference = "Section 1, row 1"\n', "", "client-push/smb", "reference", "is missing"),
    ('summary = "The site server installs the client."\n', "", "client-push", "summary", "is missing"),
]  # fmt: skip


@pytest.mark.parametrize(("old", "new", "where", "field", "words"), FAULTS)
def test_a_fault_is_told_with_its_place_and_what_to_do(write, old, new, where, field, words):
    path = write(changed(old, new))
    faults = [f for f in check_ruleset(path) if (f.requirement, f.field) == (where, field) and words in str(f)]
    assert len(faults) == 1, check_ruleset(path)
    assert faults[0].file == str(path)
    assert faults[0].message
    assert faults[0].recommendation
    with pytest.raises(RulesetError):
        load_ruleset(path)


def test_a_row_for_all_methods_must_not_repeat_a_row_of_a_method(write):
    common = '[[for_all_methods]]\nrow = "smb"\n' + SOUND.split('row = "smb"\n')[1].split("[[")[0]
    (fault,) = check_ruleset(write(changed("[[method]]", common + "[[method]]")))
    assert (fault.requirement, fault.field) == ("client-push", "row")


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (b"", "the file is empty"),
        (b" \r\n\t", "the file is empty"),
        (b"\xef\xbb\xbf", "the file is empty"),
        (b"title = \xff", "not UTF-8 text (byte 9)"),
        ("id = 'x'".encode("utf-16"), "not UTF-8 text"),
        (b"id = 'x'\nthis is no TOML", "line 2, column 6"),
        (b"id = 1\nid = 2", "not TOML"),
        (b"a = " + b"[" * 50_000, "not TOML"),
        (b"a = " + b"9" * 5_000, "not TOML"),
        (b"#" * 2_000_000, "too large"),
    ],
)
def test_a_file_that_is_no_ruleset_is_one_fault(write, content, words):
    (fault,) = check_ruleset(write(content))
    assert words in str(fault)


def test_a_folder_and_a_missing_file_are_one_fault(tmp_path):
    assert "this is a folder" in str(check_ruleset(tmp_path)[0])
    assert "there is no such file" in str(check_ruleset(tmp_path / "none.toml")[0])


def test_a_byte_order_mark_and_windows_line_ends_do_no_harm(write):
    assert check_ruleset(write(b"\xef\xbb\xbf" + SOUND.replace("\n", "\r\n").encode())) == []


def test_all_faults_are_told_at_once(write):
    text = changed("ports = [445]", "ports = [70000]")
    text = changed('to = "client"', 'to = "klient"', text)
    text = changed('title = "Client push"', 'titel = "Client push"', text)
    text = changed('["run-from-share"]', '["on-a-share"]', text)
    path = write(text)
    places = [(fault.requirement, fault.field) for fault in check_ruleset(path)]
    assert places == [
        ("client-push", "titel"),
        ("client-push", "title"),
        ("client-push/smb", "to"),
        ("client-push/smb", "ports"),
        ("client-push/smb-share", "conditions"),
    ]
    with pytest.raises(RulesetError) as error:
        load_ruleset(path)
    lines = str(error.value).splitlines()
    assert lines[0] == f"{path}: 5 faults in this ruleset:"
    assert lines[3] == (
        "  client-push/smb: to: 'klient' cannot stand here. Write one of site-server, client, "
        "management-point, distribution-point, software-update-point, fallback-status-point, "
        "server-locator-point, source-server. Did you mean client?"
    )
    assert len(lines) == 7
    assert lines[6] == f"  To list them, run: auditor rulesets check {path}"


def test_a_fault_cannot_write_to_the_terminal(write):
    (fault,) = check_ruleset(write(changed("format_version", '"\\u001b[2Jx" = 1\nformat_version')))
    assert "\x1b" not in str(fault)


def _spots(value, path=()):
    yield path
    children = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    for key, child in children:
        yield from _spots(child, (*path, key))


def _toml(value) -> str:
    """Write any value as TOML on one line."""
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, dict):
        return "{" + ", ".join(f"{_toml(key)} = {_toml(child)}" for key, child in value.items()) + "}"
    if isinstance(value, list):
        return "[" + ", ".join(map(_toml, value)) + "]"
    return f'"{value}"' if isinstance(value, str) else repr(value)


FREE_TEXTS = (
    "title",
    "text",
    "summary",
    "description",
    "remedy",
    "reference",
    "publisher",
    "document",
    "version",
)
FREE_TEXTS += ("fixed_because", "value")


@pytest.mark.parametrize("wrong", [True, -1, 1.5, "", "no such word", [], [[]], {}, {"x": 1}, [{}], [1, "a"]])
def test_a_wrong_value_anywhere_is_a_fault_and_never_a_crash(write, wrong):
    """Replace every value of the sound ruleset in turn; only a free text may be any text."""
    for spot in filter(None, _spots(tomllib.loads(SOUND))):
        document = tomllib.loads(SOUND)
        parent = document
        for key in spot[:-1]:
            parent = parent[key]
        parent[spot[-1]] = wrong
        faults = check_ruleset(write("\n".join(f"{_toml(k)} = {_toml(v)}" for k, v in document.items())))
        right_after_all = spot[-1] == "dynamic" if wrong is True else spot[-1] in FREE_TEXTS or spot[0] == "notes"
        assert faults or (right_after_all and wrong in (True, "no such word")), (spot, wrong)


def test_any_bytes_give_faults_and_never_a_crash(write):
    source, chance = SOUND.encode(), random.Random(7)
    for _ in range(300):
        broken = bytearray(source)
        for _ in range(chance.randint(1, 20)):
            broken[chance.randrange(len(broken))] = chance.randrange(256)
        for fault in check_ruleset(write(bytes(broken))):
            assert str(fault).isprintable()


# ---------------------------------------------------------------- alternate ports


def ports_of(ruleset: Ruleset, name: str) -> set[tuple[int, ...]]:
    """The ports of all rows that bear a name."""
    return {requirement.ports for requirement in ruleset.requirements if requirement.alternate_port == name}


def test_an_alternate_port_holds_in_every_method():
    ruleset = with_ports(load_ruleset(), {"http-management-point": 8080})
    for method in ("client-push", "group-policy", "manual"):
        requirement = ruleset.requirement(f"{method}/http-management-point")
        assert requirement.ports == (8080,)
        assert "On the management point, allow inbound TCP 8080 from the client." in requirement.remedy
        assert "outbound on the client, allow TCP 8080 to the management point." in requirement.remedy
    assert ports_of(ruleset, "https-management-point") == {(443,)}
    assert ports_of(load_ruleset(), "http-management-point") == {(80,)}


@pytest.mark.parametrize("ruleset_id", shipped_rulesets())
def test_every_name_can_be_given(ruleset_id):
    ruleset = load_ruleset(ruleset_id)
    for name in ruleset.port_names:
        assert ports_of(with_ports(ruleset, {name: 9999}), name) == {(9999,)}
    assert with_ports(ruleset, {}) == ruleset


@pytest.mark.parametrize("ruleset_id", shipped_rulesets())
@pytest.mark.parametrize("name", ["http", "https"])
def test_a_port_of_the_site_holds_for_every_role_but_wsus(ruleset_id, name):
    before = load_ruleset(ruleset_id)
    after = with_ports(before, {name: 9999})
    replaced = {one.row for one in after.requirements if one.ports == (9999,)}
    assert replaced == {row for row in before.port_names if row.startswith(f"{name}-") and "software" not in row}
    others = [(one.id, one.ports) for one in after.requirements if one.row not in replaced]
    assert others == [(one.id, one.ports) for one in before.requirements if one.row not in replaced]


def test_the_name_of_a_row_wins_over_the_port_of_the_site():
    ruleset = with_ports(load_ruleset(), {"http": 8080, "http-distribution-point": 81})
    assert ports_of(ruleset, "http-distribution-point") == {(81,)}
    assert ports_of(ruleset, "http-management-point") == {(8080,)}


def test_the_names_of_the_ports_that_were_set_are_kept():
    assert load_ruleset().set_ports == frozenset()
    names = {"https-management-point", "https-distribution-point"}
    assert with_ports(load_ruleset(), {"https": 8443}).set_ports == names


def test_a_ruleset_whose_rows_follow_no_port_of_the_site_does_not_know_it(write):
    with pytest.raises(RulesetError, match="http: no port has this name"):
        with_ports(load_ruleset(write(SOUND)), {"http": 8080})


def test_an_unknown_name_is_refused_with_the_names_that_can_be_given():
    with pytest.raises(RulesetError) as error:
        with_ports(load_ruleset(), {"http-managment-point": 8080})
    assert "Did you mean http-management-point?" in str(error.value)
    names = ("http", "https", *load_ruleset().port_names)
    assert f"Choose from {', '.join(names)}" in str(error.value)


def test_a_number_for_a_name_is_refused_with_the_names_that_have_this_port():
    with pytest.raises(RulesetError, match=r"80: no port has this name. Name the service: http, http-dist"):
        with_ports(load_ruleset(), {"80": 8080})


@pytest.mark.parametrize(
    ("name", "because"),
    [
        ("smb", "ADMIN$"),
        ("client-push/smb", "ADMIN$"),
        ("smb-source-server", "UNC path"),
        ("445", "fixed"),
        ("rpc-endpoint-mapper", "Every RPC caller asks"),
        ("135", "Every RPC caller asks"),
        ("client-push/rpc-dynamic", "dynamic_ports"),
        ("icmp-echo", "no alternate port"),
    ],
)
def test_a_fixed_port_is_refused_with_the_reason(name, because):
    with pytest.raises(RulesetError) as error:
        with_ports(load_ruleset(), {name: 4445})
    assert "is fixed" in str(error.value)
    assert because in str(error.value)


def test_the_port_to_which_wmi_is_bound_counts_as_a_dynamic_one():
    ruleset = with_ports(load_ruleset(), {"rpc-dynamic": 7001})
    assert (load_ruleset().is_dynamic(7001), ruleset.is_dynamic(7001), ruleset.is_dynamic(24158)) == (False, True, True)
    with pytest.raises(RulesetError, match="is not a port"):
        with_ports(load_ruleset(), {"rpc-dynamic": 0})


def test_a_number_instead_of_a_name_is_answered_with_the_names():
    with pytest.raises(RulesetError, match="Name the service: https-software-update-point"):
        with_ports(load_ruleset(), {"8531": 9000})


@pytest.mark.parametrize("port", [0, -1, 65536, True, "80", 80.0, None])
def test_a_number_that_is_no_port_is_refused(port):
    with pytest.raises(RulesetError, match="is not a port"):
        with_ports(load_ruleset(), {"http-management-point": port})


def test_everything_wrong_with_the_ports_is_told_at_once():
    with pytest.raises(RulesetError) as error:
        with_ports(load_ruleset(), {"smb": 1, "nonsense": 2, "http-management-point": 0})
    assert len(str(error.value).splitlines()) == 3


@pytest.mark.parametrize(
    ("given", "http", "https"),
    [
        ({"http": 80}, 80, 443),
        ({"http": 8530}, 8530, 8531),
        ({"http": 8080}, 8080, 8081),
        ({"http": 443}, 443, 444),
        ({"https": 443}, 80, 443),
        ({"https": 8531}, 8530, 8531),
        ({"https": 9001}, 9000, 9001),
        ({"http": 80, "https": 443}, 80, 443),
        ({"http": 8530, "https": 8531}, 8530, 8531),
    ],
)
@pytest.mark.parametrize("ruleset_id", shipped_rulesets())
def test_note_2_gives_the_other_wsus_port(ruleset_id, given, http, https):
    ports = {f"{scheme}-software-update-point": port for scheme, port in given.items()}
    ruleset = with_ports(load_ruleset(ruleset_id), ports)
    assert ports_of(ruleset, "http-software-update-point") == {(http,)}
    assert ports_of(ruleset, "https-software-update-point") == {(https,)}


@pytest.mark.parametrize(
    "given",
    [
        {"http": 80, "https": 8531},
        {"http": 80, "https": 81},
        {"http": 8530, "https": 443},
        {"http": 8530, "https": 8530},
        {"http": 8530, "https": 8532},
        {"https": 81},
        {"https": 1},
        {"http": 65535},
    ],
)
def test_a_pair_against_note_2_is_refused_and_the_note_quoted(given):
    ports = {f"{scheme}-software-update-point": port for scheme, port in given.items()}
    with pytest.raises(RulesetError) as error:
        with_ports(load_ruleset(), ports)
    assert "If the HTTP port is 80, the HTTPS port must be 443." in str(error.value)


def test_without_given_ports_both_documented_wsus_ports_count():
    ruleset = load_ruleset()
    assert ports_of(ruleset, "http-software-update-point") == {(80, 8530)}
    assert ports_of(ruleset, "https-software-update-point") == {(443, 8531)}
    assert ruleset.requirement("software-update-point/http-software-update-point").ports_text == "80 or 8530"


# properties of CCMSetup


@pytest.mark.parametrize("text", ["source:C:\\ccm", "source", "/", "=x", "/:x", "a b"])
def test_a_property_that_ccmsetup_would_not_take_is_an_error(text):
    with pytest.raises(ArgumentError, match=r"^--property: .* is not a property of CCMSetup\. Write it as /NAME:VALUE"):
        known_site(None, roles=None, mode=None, ports=None, properties=[text])


@pytest.mark.parametrize("text", ["/source:C:\\ccm", "-SOURCE:x", "/native", "/source=x", "SMSSITECODE=P01", "SMSMP="])
def test_parameters_and_properties_of_ccmsetup_are_taken(text):
    assert known_site(None, roles=None, mode=None, ports=None, properties=[text]).properties == (text,)


def test_a_property_of_the_msi_is_no_parameter_of_the_same_name():
    ruleset = load_ruleset()
    given = [ruleset.holds("source-property", SiteFacts(properties=(text,))) for text in ("/source:x", "SOURCE=x")]
    assert given == [True, False]
