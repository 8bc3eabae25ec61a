"""Windows Firewall rules as a PowerShell script, a netsh batch file, or a table.

What a ruleset of one's own says goes into these scripts, so every text is quoted for the language it stands in. The
scripts are plain ASCII: Windows PowerShell and cmd read a file without a mark in the computer's own code page, in which
bytes of UTF-8 can be quotation marks.
"""

from __future__ import annotations

import csv
import io
import re
import textwrap

from auditor.errors import ArgumentError
from auditor.render.clean import clean, clean_cell
from auditor.ruleset.firewall_rules import GROUP, IN, FirewallRule, RuleList
from auditor.version import VERSION

FORMS = ("powershell", "netsh", "csv")
WIDTH = 100
COLUMNS = (
    "name",
    "on",
    "direction",
    "protocol",
    "ports",
    "icmp_type",
    "from",
    "from_addresses",
    "to",
    "to_addresses",
    "action",
    "profile",
    "requirement",
    "necessity",
    "only_if",
    "description",
)
_TYPOGRAPHY = str.maketrans({"\u2018": "'", "\u2019": "'", "\u201c": '"', "\u201d": '"', "\u2013": "-", "\u2014": "-"})
_NOT_FOR_CMD = re.compile(r"[^A-Za-z0-9 .,:;()/'+=_#@\[\]-]")
_NOT_FOR_NAMES = re.compile(r"[^a-z0-9]+")
_LONGEST_DESCRIPTION = 300
_LONGEST_COMMAND = 8000  # cmd takes 8191 characters in a line


def rules_text(rules: RuleList, form: str) -> str:
    """Return the rules in one of FORMS; scripts end their lines as Windows does."""
    return {"powershell": _powershell, "netsh": _netsh, "csv": _csv}[form](rules)


# what both scripts say


def _header(rules: RuleList, usage: list[str]) -> list[str]:
    """Return the lines above the rules: what they are, what was assumed, how they are used."""
    methods = ", ".join(method.title for method in rules.methods)
    paragraphs = [
        f"Windows Firewall rules for: {methods}.",
        f"By ruleset {rules.ruleset.id} ({rules.ruleset.title}), written by auditor {VERSION}.",
        "Review these rules before you use them. They only allow traffic, one rule per requirement and computer: "
        "inbound on the computer that is reached"
        + (
            ", outbound on the one that connects."
            if rules.outbound
            else ". Windows lets outbound connections pass unless a policy says otherwise; if yours does, export again "
            "with --outbound."
        ),
        "They hold for the domain profile, and replace no rule that blocks: a block rule wins over any of them. "
        "Devices between the computers need the same openings; --to csv is made for those who run them.",
    ]
    if rules.unknown_peers:
        options = " ".join(f"--role {role}=ADDRESS" for role in rules.unknown_peers)
        paragraphs.append(f"Open to any address where the other computer was not named. To narrow them: {options}.")
    paragraphs += [f"No rule for {omitted.requirement.id}: {omitted.why}." for omitted in rules.left_out]
    return [line for paragraph in [*paragraphs, *usage] for line in _wrapped(paragraph)]


def _place(rules: RuleList, role: str) -> list[str]:
    """Return the line above the rules of one computer."""
    own = dict.fromkeys(address for rule in rules.rules if rule.on == role for address in rule.own)
    return _wrapped(f"On the {_words(role)}" + (f": {', '.join(own)}" if own else ""))


def _about(rule: FirewallRule) -> list[str]:
    """Return the lines above one rule: why it is there."""
    requirement = rule.requirement
    lines = [f"{requirement.id}, {requirement.necessity}: {requirement.description}"]
    if rule.only_if:
        lines.append(f"Only if {rule.only_if}: then remove the marks in front of the rule.")
    if rule.alternatives:
        lines.append(
            f"Of HTTP and HTTPS to the {_words(requirement.to_role)} one is enough: remove what your site does not use."
        )
    if rule.dynamic and rule.direction == IN:
        ranges = ", ".join(rule.ports)
        lines.append(f"RPC means the ports that the endpoint mapper hands out here; devices between need {ranges}.")
    return [line for text in lines for line in _wrapped(text)]


def _words(role: str) -> str:
    return role.replace("-", " ")


def _wrapped(text: str) -> list[str]:
    return textwrap.wrap(_plain(text), WIDTH, break_on_hyphens=False)


def _plain(text: str) -> str:
    """Return text on one line in ASCII."""
    return clean(text.translate(_TYPOGRAPHY), most=_LONGEST_DESCRIPTION * 4).encode("ascii", "replace").decode()


def _description(rule: FirewallRule) -> str:
    requirement = rule.requirement
    return _plain(f"{requirement.description} Needed for {requirement.method}; {requirement.reference}.")[
        :_LONGEST_DESCRIPTION
    ]


def _lines(lines: list[str]) -> str:
    return "".join(f"{line}\r\n" for line in lines)


# PowerShell


def _powershell(rules: RuleList) -> str:
    usage = [
        "Use: run it in an elevated PowerShell on each computer and say what the computer is; -WhatIf changes nothing:",
        *(f"  .\\rules.ps1 -On {role} -WhatIf" for role in rules.hosts),
        "Or into a group policy: -PolicyStore 'contoso.com\\Name of the GPO'.",
        f"Undo: Remove-NetFirewallRule -Group {_single_quoted(GROUP)}",
    ]
    lines = [f"# {line}" for line in _header(rules, usage)]
    lines += [
        "",
        "[CmdletBinding(SupportsShouldProcess)]",
        "param(",
        f"    [Parameter(Mandatory)] [ValidateSet({_quoted_list(rules.hosts)})] [string] $On,",
        "    [string] $PolicyStore = 'PersistentStore',",
        "    [string] $FirewallProfile = 'Domain'",
        ")",
        "",
        "$always = @{",
        f"    Group = {_single_quoted(GROUP)}",
        "    Action = 'Allow'",
        "    Profile = $FirewallProfile",
        "    PolicyStore = $PolicyStore",
        "    WhatIf = $WhatIfPreference",
        "    ErrorAction = 'Stop'",
        "}",
    ]
    for role in rules.hosts:
        lines += ["", *(f"# {line}" for line in _place(rules, role)), f"if ($On -eq {_single_quoted(role)}) {{"]
        lines += [line for rule in rules.rules if rule.on == role for line in _powershell_rule(rule)]
        lines += ["}"]
    return _lines(lines)


def _powershell_rule(rule: FirewallRule) -> list[str]:
    parameters = {
        "Name": _single_quoted(_NOT_FOR_NAMES.sub("-", rule.name.lower()).strip("-") + f"-{rule.direction}"),
        "DisplayName": _single_quoted(rule.name),
        "Description": _single_quoted(_description(rule)),
        "Direction": "'Inbound'" if rule.direction == IN else "'Outbound'",
        "Protocol": _single_quoted(rule.protocol.upper().replace("ICMPV", "ICMPv")),
    }
    if rule.icmp_type is not None:
        parameters["IcmpType"] = _single_quoted(str(rule.icmp_type))
    elif rule.direction == IN:
        parameters["LocalPort"] = "'RPC'" if rule.dynamic else _quoted_list(rule.ports)
    else:
        parameters["RemotePort"] = _quoted_list(rule.ports)
    if rule.peers:
        parameters["RemoteAddress"] = _quoted_list(rule.peers)
    mark = "# " if rule.only_if else ""
    body = ["$rule = @{", *(f"    {name} = {value}" for name, value in parameters.items()), "}"]
    body += ["New-NetFirewallRule @always @rule"]
    return ["", *(f"    # {line}" for line in _about(rule)), *(f"    {mark}{line}" for line in body)]


def _quoted_list(values: tuple[str, ...]) -> str:
    return ", ".join(map(_single_quoted, values))


def _single_quoted(text: str) -> str:
    """Return text as a PowerShell literal, in which nothing but the quotation mark itself means anything."""
    return "'" + _plain(text).replace("'", "''") + "'"


# netsh


def _netsh(rules: RuleList) -> str:
    usage = [
        "Use: save it as rules.cmd and run it in an elevated command prompt on each computer, saying what it is:",
        *(f"  rules.cmd {role}" for role in rules.hosts),
        "A second run makes every rule twice; netsh advfirewall firewall delete rule name=NAME removes one.",
    ]
    lines = ["@echo off", "setlocal DisableDelayedExpansion"]
    lines += [f"rem {_for_cmd(line)}" for line in _header(rules, usage)]
    lines += [""]
    lines += [f'if /i "%~1"=="{_for_cmd(role)}" goto {_for_cmd(role)}' for role in rules.hosts]
    lines += [f"echo Say what this computer is: {_for_cmd(', '.join(rules.hosts))}", "exit /b 2"]
    for role in rules.hosts:
        lines += ["", *(f"rem {_for_cmd(line)}" for line in _place(rules, role)), f":{_for_cmd(role)}"]
        lines += [line for rule in rules.rules if rule.on == role for line in _netsh_rule(rule)]
        lines += ["", "exit /b 0"]
    return _lines(lines)


def _netsh_rule(rule: FirewallRule) -> list[str]:
    parts = [
        "netsh advfirewall firewall add rule",
        f"name={_double_quoted(rule.name)}",
        f"description={_double_quoted(_description(rule))}",
        f"dir={rule.direction}",
        "action=allow",
        "profile=domain",
    ]
    if rule.icmp_type is not None:
        parts.append(f"protocol={rule.protocol}:{rule.icmp_type},any")
    else:
        local = "RPC" if rule.dynamic else ",".join(rule.ports)
        ports = f"localport={local}" if rule.direction == IN else f"remoteport={','.join(rule.ports)}"
        parts.append(f"protocol={rule.protocol} {ports}")
    parts.append(f"remoteip={','.join(rule.peers) or 'any'}")
    command = " ".join(parts)
    if len(command) > _LONGEST_COMMAND:
        hint = "Name networks instead of single addresses, or export --to powershell."
        raise ArgumentError(f"{rule.name}: too many addresses for one netsh command", where="--role", hint=hint)
    mark = "rem " if rule.only_if else ""
    stop = [] if rule.only_if else ["if errorlevel 1 exit /b 1"]
    return ["", *(f"rem {_for_cmd(line)}" for line in _about(rule)), mark + command, *stop]


def _double_quoted(text: str) -> str:
    return f'"{_for_cmd(text)}"'


def _for_cmd(text: str) -> str:
    """Return text without what cmd gives a meaning, even in quotes and remarks (%VAR%, %~)."""
    return _NOT_FOR_CMD.sub(" ", _plain(text).replace('"', "'")).replace("\\", " ")


# table


def _ends(rule: FirewallRule) -> list[tuple[str, tuple[str, ...]]]:
    """Return who connects to whom: role and addresses of either."""
    ends = [(rule.on, rule.own), (rule.peer, rule.peers)]
    return ends[::-1] if rule.direction == IN else ends


def _csv(rules: RuleList) -> str:
    out = io.StringIO()
    writer = csv.writer(out, lineterminator="\r\n")
    writer.writerow(COLUMNS)
    for rule in rules.rules:
        requirement = rule.requirement
        row = (
            rule.name,
            rule.on,
            rule.direction,
            rule.protocol,
            " ".join(rule.ports),
            "" if rule.icmp_type is None else str(rule.icmp_type),
            *(cell for role, addresses in _ends(rule) for cell in (role, " ".join(addresses) or "any")),
            "allow",
            "domain",
            requirement.id,
            requirement.necessity,
            rule.only_if,
            requirement.description,
        )
        writer.writerow([clean_cell(cell) for cell in row])
    return out.getvalue()
