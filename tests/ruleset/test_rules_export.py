"""Windows Firewall rules for a method: the right ones, and nothing in them can break out of its quotes."""

from __future__ import annotations

import csv
import io
import re
from pathlib import Path

import pytest
from click.testing import CliRunner, Result
from hypothesis import given
from hypothesis import strategies as st

from auditor.cli.commands import cli
from auditor.errors import ArgumentError, RulesetError
from auditor.render.firewall_rules import rules_text
from auditor.ruleset.firewall_rules import firewall_rules, rule_name
from auditor.ruleset.ruleset import load_ruleset

SITE = {"site-server": "10.20.1.5", "client": "10.20.2.0/24", "management-point": "10.20.3.80"}


def names(what: str, **site: object) -> list[str]:
    return [f"{rule.on}: {rule.name}" for rule in firewall_rules(what, **site).rules]


def rule(what: str, name: str, **site: object):
    (found,) = (one for one in firewall_rules(what, **site).rules if one.name == f"auditor: {name}")
    return found


# which rules


def test_a_push_opens_the_client_for_the_site_server_and_the_management_point_for_the_client():
    assert names("client-push", roles=SITE, mode="mixed") == [
        "client: auditor: client-push/icmp-echo",
        "client: auditor: client-push/smb",
        "client: auditor: client-push/rpc-endpoint-mapper",
        "client: auditor: client-push/rpc-dynamic",
        "management-point: auditor: client-push/http-management-point",
    ]


def test_a_remedy_can_call_a_rule_by_its_name():
    requirement = load_ruleset().requirement("client-push/smb")
    assert rule_name(requirement) == rule("client-push", "client-push/smb").name


def test_ports_and_addresses_are_those_of_the_site():
    found = rule("client-push", "client-push/http-management-point", roles=SITE, ports={"http-management-point": 8080})
    assert (found.ports, found.own, found.peer, found.peers) == (
        ("8080",),
        ("10.20.3.80",),
        "client",
        ("10.20.2.0/24",),
    )


def test_nobody_named_means_anybody_and_the_script_says_how_to_narrow_it():
    rules = firewall_rules("client-push")
    assert rules.unknown_peers == ("site-server", "client")
    text = " ".join(rules_text(rules, "powershell").replace("\r\n#", "").split())
    assert "Open to any address" in text
    assert "--role site-server=ADDRESS --role client=ADDRESS" in text


def test_a_ping_gets_a_rule_for_each_version_of_ip_that_is_in_use():
    def echo(**roles: str) -> list[tuple[str, int | None]]:
        rules = firewall_rules("client-push", roles=roles).rules
        return [(one.protocol, one.icmp_type) for one in rules if one.requirement.icmp_echo]

    assert echo() == [("icmpv4", 8), ("icmpv6", 128)]
    assert echo(**{"site-server": "10.0.0.5"}) == [("icmpv4", 8)]
    assert echo(**{"site-server": "fd00::5"}) == [("icmpv6", 128)]


def test_what_decides_nothing_or_does_not_apply_is_left_out_and_said_so():
    rules = firewall_rules("client-push", mode="native")
    why = {one.requirement.row: one.why for one in rules.left_out}
    assert why["rpc-endpoint-mapper-udp"] == "documented, but nothing depends on it"
    assert why["http-management-point"].startswith("counts only if the site is in mixed mode")


def test_a_rule_that_only_you_can_decide_on_is_written_but_not_active():
    text = rules_text(firewall_rules("manual"), "powershell")
    assert "    # New-NetFirewallRule @always @rule\r\n" in text
    assert rule("manual", "manual/smb-share").only_if.startswith("CCMSetup.exe runs from a network share")


def test_outbound_rules_are_made_when_asked_for_with_the_port_range():
    found = rule("client-push", "client-push/rpc-dynamic (outbound)", roles=SITE, outbound=True)
    assert (found.on, found.peers) == ("site-server", ("10.20.2.0/24",))
    assert "49152-65535" in found.ports
    text = rules_text(firewall_rules("client-push", outbound=True), "netsh")
    assert "dir=out action=allow profile=domain protocol=tcp remoteport=49152-65535," in text


def test_a_ruleset_means_all_its_methods_or_those_asked_for():
    every = {one.requirement.method for one in firewall_rules("configmgr-current-branch").rules}
    assert every == {one.id for one in load_ruleset("configmgr-current-branch").methods}
    one = firewall_rules("configmgr-current-branch", methods=["manual"])
    assert [method.id for method in one.methods] == ["manual"]


@pytest.mark.parametrize(
    ("what", "site", "told"),
    [
        ("clientpush", {}, "no method or ruleset 'clientpush'. Methods of configmgr-2007: client-push, "),
        ("client-push", {"methods": ["manual"]}, "client-push is a method itself"),
        ("client-push", {"roles": {"client": "x'; calc"}}, "is not an IP address or network"),
        ("client-push", {"ports": {"smb": 4450}}, "is fixed"),
    ],
)
def test_what_cannot_be_meant_is_refused(what: str, site: dict[str, object], told: str):
    with pytest.raises((ArgumentError, RulesetError), match=re.escape(told)):
        firewall_rules(what, **site)


# PowerShell. There is none to run the script with here, so a small reader of its words stands in.

QUOTES = "['\u2018\u2019\u201a\u201b]"  # all of them end a literal, doubled they stand for themselves
WORD = re.compile(
    rf"""(?P<comment>\#[^\r\n]*)
      | (?P<string>{QUOTES}(?:[^{QUOTES[1:-1]}]|{QUOTES}{{2}})*{QUOTES})
      | (?P<name>[@$]?[A-Za-z][\w-]*)
      | (?P<sign>@\{{|[\[\](){{}}=,])
      | (?P<line>\r\n)
      | (?P<space>[ ]+)""",
    re.VERBOSE,
)
KNOWN = {"CmdletBinding", "SupportsShouldProcess", "param", "Parameter", "Mandatory", "ValidateSet", "string", "if"}
PARAMETERS = {"Name", "DisplayName", "Description", "Direction", "Protocol", "IcmpType", "LocalPort", "RemotePort"}
PARAMETERS |= {"RemoteAddress", "Group", "Action", "Profile", "PolicyStore", "WhatIf", "ErrorAction"}
VARIABLES = {"$On", "$PolicyStore", "$FirewallProfile", "$WhatIfPreference", "$always", "$rule", "@always", "@rule"}
CLOSING = {")": "(", "]": "[", "}": "{"}


def words(script: str) -> list[tuple[str, str]]:
    """Return the kinds and texts of all words that mean something; fail at what is none."""
    found, at = [], 0
    while at < len(script):
        match = WORD.match(script, at)
        assert match, f"no PowerShell: {script[at : at + 40]!r}"
        found.append((str(match.lastgroup), match[0]))
        at = match.end()
    return [one for one in found if one[0] not in ("space", "comment", "line")]


def check_powershell(script: str) -> None:
    """Fail unless brackets pair and nothing but the known words stands outside of strings and comments."""
    open_signs: list[str] = []
    for kind, word in words(script):
        if kind == "sign" and word in ("(", "[", "{", "@{"):
            open_signs.append(word[-1])
        elif kind == "sign" and word in CLOSING:
            assert open_signs.pop() == CLOSING[word]
        elif kind == "name":
            assert word in KNOWN | PARAMETERS | VARIABLES | {"New-NetFirewallRule"} or word == "eq", word
    assert open_signs == []


def powershell_rules(script: str) -> list[dict[str, str]]:
    """Return the parameters of every active rule, with the strings' values."""
    active = [line for line in script.split("\r\n") if not line.lstrip().startswith("#")]
    tables = re.findall(
        r"\$rule = @\{\n(.*?)\n    \}\n    New-NetFirewallRule @always @rule", "\n".join(active), re.DOTALL
    )
    return [dict(line.strip().split(" = ", 1) for line in table.split("\n")) for table in tables]


def unquoted(literal: str) -> str:
    assert literal[0] == literal[-1] == "'"
    return literal[1:-1].replace("''", "'")


def test_the_powershell_script_makes_these_rules():
    script = rules_text(firewall_rules("client-push", roles=SITE, mode="mixed"), "powershell").replace(" -eq ", " eq ")
    check_powershell(script)
    made = powershell_rules(script)
    told = [(unquoted(one["DisplayName"]), one["Direction"], one["Protocol"], one["RemoteAddress"]) for one in made]
    assert told == [
        ("auditor: client-push/icmp-echo", "'Inbound'", "'ICMPv4'", "'10.20.1.5'"),
        ("auditor: client-push/smb", "'Inbound'", "'TCP'", "'10.20.1.5'"),
        ("auditor: client-push/rpc-endpoint-mapper", "'Inbound'", "'TCP'", "'10.20.1.5'"),
        ("auditor: client-push/rpc-dynamic", "'Inbound'", "'TCP'", "'10.20.1.5'"),
        ("auditor: client-push/http-management-point", "'Inbound'", "'TCP'", "'10.20.2.0/24'"),
    ]
    assert [one.get("LocalPort") for one in made] == [None, "'445'", "'135'", "'RPC'", "'80'"]
    assert made[0]["IcmpType"] == "'8'"
    assert len({one["Name"] for one in made}) == len(made)


def test_each_computer_only_gets_its_own_rules():
    script = rules_text(firewall_rules("client-push", roles=SITE, mode="mixed"), "powershell")
    assert "[ValidateSet('client', 'management-point')] [string] $On," in script
    client = script.split("if ($On -eq 'client') {")[1].split("\r\n}\r\n")[0]
    assert client.count("New-NetFirewallRule") == 4
    assert "http-management-point" not in client


# netsh

NETSH = re.compile(
    r'netsh advfirewall firewall add rule name="[^"%]+" description="[^"%]+" dir=(in|out) action=allow profile=domain '
    r"protocol=(icmpv[46]:\d+,any|(tcp|udp) (localport|remoteport)=(RPC|[\d,-]+)) remoteip=(any|[\da-f.:/,]+)"
)


def test_the_batch_file_makes_the_same_rules():
    rules = firewall_rules("client-push", roles=SITE, mode="mixed")
    commands = [line for line in rules_text(rules, "netsh").split("\r\n") if line.startswith("netsh")]
    assert [re.search('name="(.*?)"', line)[1] for line in commands] == [one.name for one in rules.rules]
    assert all(NETSH.fullmatch(line) for line in commands)
    assert "protocol=icmpv4:8,any remoteip=10.20.1.5" in commands[0]
    assert "protocol=tcp localport=RPC remoteip=10.20.1.5" in commands[3]


def test_the_batch_file_asks_what_the_computer_is():
    lines = rules_text(firewall_rules("client-push", roles=SITE), "netsh").split("\r\n")
    assert 'if /i "%~1"=="client" goto client' in lines
    assert lines.index("exit /b 2") < min(number for number, line in enumerate(lines) if line.startswith("netsh"))
    assert {":client", ":management-point"} <= set(lines)


def test_more_addresses_than_a_command_can_hold_are_refused_by_netsh_only():
    rules = firewall_rules("client-push", roles={"site-server": [f"10.1.{n // 250}.{n % 250}" for n in range(900)]})
    assert "'10.1.3.149'" in rules_text(rules, "powershell")
    with pytest.raises(ArgumentError, match="too many addresses for one netsh command"):
        rules_text(rules, "netsh")


# the table


def test_the_table_names_both_ends_and_the_range_for_the_network_team():
    rows = list(csv.DictReader(io.StringIO(rules_text(firewall_rules("client-push", roles=SITE), "csv"))))
    dynamic = next(row for row in rows if row["requirement"] == "client-push/rpc-dynamic")
    assert (dynamic["from"], dynamic["from_addresses"]) == ("site-server", "10.20.1.5")
    assert (dynamic["to"], dynamic["to_addresses"]) == ("client", "10.20.2.0/24")
    assert dynamic["ports"].startswith("49152-65535 ")


# hostile rulesets


def ruleset_saying(folder: Path, description: str) -> Path:
    """Write a ruleset of one's own in which a requirement is described so."""
    quoted = "".join(f"\\U{ord(one):08x}" for one in description)
    path = folder / "own.toml"
    path.write_text(
        f"""
format_version = 1
id = "own"
title = "Own"
[reference]
publisher = "x"
document = "x"
version = "1"
[[method]]
id = "push"
title = "{quoted}"
summary = "x"
reference = "x"
[[method.requirement]]
row = "smb"
description = "{quoted}"
from = "site-server"
to = "client"
protocol = "tcp"
ports = [445]
fixed_because = "x"
necessity = "required"
remedy = "Allow TCP {{ports}}."
reference = "x"
""",
        encoding="utf-8",
    )
    return path


HOSTILE = [
    "'; Remove-Item C:\\ -Recurse; '",
    "\u2019; calc; \u2018",
    "a\r\ncalc\r\n",
    '" & calc & "',
    "%COMSPEC% %~z $(calc) `calc` ${x}",
    "=cmd|'/c calc'!A1",
    "\u0151\u0412 \u2028calc",
    "#> calc <#",
    "^ | > < ! & echo",
]


@given(st.sampled_from(HOSTILE) | st.text(st.characters(exclude_categories=["Cs"]), min_size=1, max_size=60))
def test_no_text_of_a_ruleset_leaves_its_quotes(tmp_path_factory: pytest.TempPathFactory, description: str):
    path = ruleset_saying(tmp_path_factory.mktemp("ruleset"), "x" + description)
    rules = firewall_rules(str(path))
    script = rules_text(rules, "powershell")
    assert script.isascii()
    check_powershell(script.replace(" -eq ", " eq "))
    assert [one["LocalPort"] for one in powershell_rules(script)] == ["'445'"]
    batch = rules_text(rules, "netsh").split("\r\n")
    assert all(line.isascii() and line.isprintable() for line in batch)
    commands = [line for line in batch if line and not line.startswith("rem ")]
    assert commands[:5] == [
        "@echo off",
        "setlocal DisableDelayedExpansion",
        'if /i "%~1"=="client" goto client',
        "echo Say what this computer is: client",
        "exit /b 2",
    ]
    assert commands[5] == ":client"
    assert NETSH.fullmatch(commands[6])
    assert commands[7:] == ["if errorlevel 1 exit /b 1", "exit /b 0"]
    assert not any(set(line) & set('%&|<>^!"`') for line in batch if line.startswith("rem "))


def test_a_description_is_no_formula_for_a_spreadsheet(tmp_path: Path):
    rules = firewall_rules(str(ruleset_saying(tmp_path, "=cmd|'/c calc'!A1")))
    (row,) = csv.DictReader(io.StringIO(rules_text(rules, "csv")))
    assert row["description"] == "'=cmd|'/c calc'!A1"


# the command


def export(*words: str) -> Result:
    return CliRunner().invoke(cli, ["rulesets", "export", *words], standalone_mode=False)


def test_the_command_writes_to_a_file_that_it_does_not_replace(tmp_path: Path):
    target = str(tmp_path / "rules.ps1")
    arguments = ["client-push", "--to", "powershell", "--role", "site-server=10.0.0.5", "--mode", "mixed", "-o", target]
    assert export(*arguments).exception is None
    assert b"RemoteAddress = '10.0.0.5'\r\n" in Path(target).read_bytes()
    assert "exists already" in str(export(*arguments).exception)
