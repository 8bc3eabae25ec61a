"""Write the generated parts of the pages in docs/ from the program: python docs/generate.py [--check].

A part stands between <!-- generated: NAME --> and <!-- end -->. --check only lists the pages that differ.
"""

from __future__ import annotations

import inspect
import json
import re
import sys
import tomllib
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import click

from auditor.cli.commands import cli
from auditor.render.fleet import tables as fleet_tables
from auditor.render.tables.requirements import COLUMNS
from auditor.ruleset.configmgr_codes import LOGS, Code, Reading, Shows, families, known_codes, readings
from auditor.ruleset.known_problems import problems
from auditor.ruleset.package_data import EXPLANATIONS
from auditor.ruleset.ruleset import Requirement, Ruleset, load_ruleset, shipped_rulesets
from auditor.sources.flows.columns import TABLE
from auditor.sources.flows.from_logs.attempts import LOG_COLUMNS
from auditor.sources.flows.from_logs.event_flows import EVENT_COLUMNS

FOLDER = Path(__file__).resolve().parent
ROOT = FOLDER.parent
PART = re.compile(r"(<!-- generated: (?P<name>[\w-]+) -->\n).*?(<!-- end -->)", re.DOTALL)
CODE = re.compile(r"(`[^`]*`)")
LAYERS = {
    "smb": "SMB and Windows (NTSTATUS)",
    "pipe": "Named pipes",
    "rpc-fault": "RPC faults",
    "service": "Service Control Manager",
    "dcom": "DCOM and WMI",
    "rpc-bind": "RPC interfaces",
    "endpoint-mapper": "Endpoint mapper",
    "certificate": "Certificates",
    "tls": "TLS",
    "http": "HTTP",
    "kerberos": "Kerberos",
}


def table(head: Iterable[str], rows: Iterable[Iterable[str]]) -> str:
    """Return a Markdown table."""
    names = list(head)
    lines = [names, ["---"] * len(names), *rows]
    return "".join("| " + " | ".join(map(cell, line)) + " |\n" for line in lines)


def cell(text: str) -> str:
    """Return text for a cell: on one line, with what ends a cell escaped."""
    return plain(" ".join(text.split())).replace("|", r"\|")


def plain(text: str) -> str:
    """Return text in which nothing but code and links is markup."""
    parts = CODE.split(text)
    return "".join(part if part.startswith("`") else re.sub(r"([<*])", r"\\\1", part) for part in parts)


def sentence(text: str) -> str:
    """Return a meaning that is written as part of a sentence as one of its own."""
    whole = text[:1].upper() + text[1:]
    return whole if whole.endswith((".", "!", "?")) else f"{whole}."


# commands


def commands() -> str:
    """Return every command with its options."""
    return "\n".join(_command("auditor", cli))


def _command(name: str, command: click.Command) -> Iterator[str]:
    # A command keeps the names of its help option from the first context that asks for them.
    context = click.Context(command, info_name=name, **cli.context_settings)
    usage = " ".join(piece for piece in command.collect_usage_pieces(context) if piece)
    yield f"## {name}\n\n{_help(command.help)}\n\n```text\n{name} {usage}\n```\n"
    options = [one for one in command.params if isinstance(one, click.Option) and not one.hidden]
    if options:
        yield table(("Option", "Meaning"), [(f"`{_spelt(one)}`", _meaning(one)) for one in options])
    if command.epilog:
        lines = inspect.cleandoc(command.epilog).replace("\b\n", "")
        yield f"```text\n{lines}\n```\n"
    if isinstance(command, click.Group):
        for child, below in sorted(command.commands.items()):
            yield from _command(f"{name} {child}", below)


def _help(text: str | None) -> str:
    return "\n\n".join(map(_paragraph, inspect.cleandoc(text or "").split("\n\n")))


def _paragraph(text: str) -> str:
    """Return a paragraph of a help text; the lines of an example keep their form."""
    head, _, example = text.partition("Example:\n")
    if head.strip("\b\n"):
        return plain(" ".join(text.replace("\b", "").split()))
    return f"Example:\n\n```text\n{inspect.cleandoc(example)}\n```"


def _spelt(option: click.Option) -> str:
    """Return an option with the name of its value, without pipes: renderers of tables escape them differently."""
    names = ", ".join([*option.opts, *option.secondary_opts])
    if option.is_flag:
        return names
    value = option.metavar or ("VALUE" if isinstance(option.type, click.Choice) else option.type.name.upper())
    return f"{names} {value.replace('|', ' or ')}"


def _meaning(option: click.Option) -> str:
    help_text = option.help or ("Format of the output." if option.name == "form" else "")
    if isinstance(option.type, click.Choice):
        help_text += f" Values: {', '.join(f'`{choice}`' for choice in option.type.choices)}."
    shows = option.show_default and option.default not in (None, (), False)
    return f"{help_text} Default: `{option.default}`." if shows else help_text


# terms and problems


def terms() -> str:
    """Return what `auditor explain` prints of each term."""
    parts = []
    for kind, entries in tomllib.loads(EXPLANATIONS.read_text(encoding="utf-8")).items():
        parts.append(f"## {kind}\n")
        parts += [
            f"### {name} ({kind})\n\n{plain(entry['means'])}\n\n*What to do:* {plain(entry['do'])}\n"
            for name, entry in entries.items()
        ]
    return "\n".join(parts)


def problem_codes() -> str:
    """Return the status codes of each protocol."""
    parts = []
    for layer, entries in problems().items():
        named = ((code, status.with_code(code)) for code, status in entries.items())
        rows = [
            (f"`{code}`", one.name, sentence(one.meaning), "yes" if one.fatal else "no", one.action)
            for code, one in named
        ]
        parts.append(f"## {LAYERS.get(layer, layer)}\n\n" + table(("Code", "Name", "Meaning", "Fails", "Fix"), rows))
    return "\n".join(parts)


def log_codes() -> str:
    """Return the codes of the logs of Configuration Manager, by family."""
    parts = []
    for family in families().values():
        rows = [_log_code(code) for code in known_codes() if code.family == family.id]
        parts.append(
            f"### {family.title}\n\nFamily `{family.id}`. Source: {family.reference}.\n\n"
            + table(("Code", "Also written", "Name", "Meaning"), rows)
        )
    return "\n".join(parts)


def _log_code(code: Code) -> tuple[str, ...]:
    also = f"`{code.also_written}`" if code.also_written else ""
    return f"`{code.value}`", also, code.name, sentence(code.meaning)


def log_readings() -> str:
    """Return what a code shows at each step, by log."""
    logs = dict.fromkeys(entry.logs for entry in readings())
    head = ("Step", "Code", "Verdict", "Cause", "To settle it")
    return "\n".join(
        f"### {' and '.join(LOGS[log] for log in group)}\n\n"
        + table(head, [_log_reading(entry) for entry in readings() if entry.logs == group])
        for group in logs
    )


def _log_reading(entry: Reading) -> tuple[str, ...]:
    codes = ", ".join(f"`{code}`" for code in entry.codes)
    beside = f" with HTTP status `{entry.status}`" if entry.status else ""
    verdict = "none" if entry.shows == Shows.NOTHING else f"`{entry.shows}`: {entry.concerned}"
    steps = ", ".join(f"`{step}`" for step in entry.steps)
    return steps, codes + beside, verdict, _cause(entry), entry.collect


def _cause(entry: Reading) -> str:
    """Return the cause of a reading, with the names of fields that only a code has."""
    return replace(entry, cause=re.sub(r"\{(code|meaning)\}", r"\1", entry.cause)).text()


# output


def flow_columns() -> str:
    """Return the columns of the flow table; logs have more."""
    events = {name: kind for name, kind in EVENT_COLUMNS.items() if name not in LOG_COLUMNS}
    groups = [
        ("", TABLE, "flows"),
        ("Firewall logs and event logs also have:\n\n", LOG_COLUMNS, "log_flows"),
        ("Event logs also have:\n\n", events, "event_flows"),
    ]
    return "\n".join(head + _described(kinds, name) for head, kinds, name in groups)


def fleet_columns() -> str:
    """Return the columns of the tables of a fleet."""
    groups = {
        "hosts": fleet_tables.HOSTS,
        "requirements": fleet_tables.REQUIREMENTS,
        "evidence": fleet_tables.EVIDENCE,
        "causes": fleet_tables.CAUSES,
        "unreadable": fleet_tables.UNREADABLE,
    }
    return "\n".join(f"### {name}\n\n" + _described(kinds, name) for name, kinds in groups.items())


def _described(kinds: Mapping[str, str], name: str) -> str:
    meanings = tomllib.loads((FOLDER / "columns.toml").read_text(encoding="utf-8"))[name]
    if set(meanings) != set(kinds):
        raise SystemExit(f"docs/columns.toml, [{name}]: {sorted(set(meanings) ^ set(kinds))} here or there only")
    shown = {column: "a column for each method" if column == "METHODS" else f"`{column}`" for column in kinds}
    return table(("Column", "Type", "Meaning"), [(shown[one], kinds[one], meanings[one]) for one in kinds])


def requirement_columns() -> str:
    """Return the columns of the CSV and JSON Lines forms of a report."""
    return table(("Column", "Meaning"), [(f"`{name}`", meaning) for name, meaning in COLUMNS.items()])


def report_schema() -> str:
    """Return every key of a report in JSON."""
    return _schema("report")


def fleet_schema() -> str:
    """Return every key of the report of a fleet in JSON."""
    return _schema("fleet")


def _schema(name: str) -> str:
    schema = json.loads((ROOT / "auditor" / "report" / f"{name}.schema.json").read_text(encoding="utf-8"))
    return table(("Key", "Values", "Meaning"), _keys(schema, ""))


def _keys(schema: Mapping[str, Any], above: str) -> Iterator[tuple[str, str, str]]:
    for name, value in schema.get("properties", {}).items():
        yield f"`{above}{name}`", _values(value), value.get("description", "")
        yield from _keys(value, f"{above}{name}.")
        yield from _keys(value.get("items", {}), f"{above}{name}[].")


def _values(schema: Mapping[str, Any]) -> str:
    if "const" in schema:
        return f"`{json.dumps(schema['const'])}`"
    if "enum" in schema:
        return ", ".join("null" if value is None else f"`{value}`" for value in schema["enum"])
    kinds = schema.get("type", "")
    return " or ".join(kinds) if isinstance(kinds, list) else kinds


# rulesets


def rulesets() -> str:
    """Return the requirements of each shipped ruleset."""
    return "\n".join(_ruleset(load_ruleset(name)) for name in shipped_rulesets())


def _ruleset(ruleset: Ruleset) -> str:
    source = f"[{ruleset.reference}]({ruleset.url})" if ruleset.url else ruleset.reference
    parts = [f"### {ruleset.id}\n\n{plain(ruleset.title)}. Document: {source}.\n"]
    for method in ruleset.methods:
        rows = [
            (f"`{one.row}`", f"{one.from_role} to {one.to_role}", _port(one), _counts(one), one.reference)
            for one in method.requirements
        ]
        head = ("Requirement", "Direction", "Port", "Counts", "Reference")
        parts.append(f"**{method.id}**: {plain(method.summary)}\n\n{table(head, rows)}")
    conditions = [(f"`{one.id}`", one.text) for one in ruleset.conditions]
    parts.append(f"Conditions:\n\n{table(('Condition', 'Meaning'), conditions)}")
    return "\n".join(parts)


def _port(requirement: Requirement) -> str:
    return f"{requirement.protocol.upper()} {requirement.ports_text}"


def _counts(requirement: Requirement) -> str:
    text = requirement.necessity
    if requirement.conditions:
        text += " if " + " and ".join(f"`{one}`" for one in requirement.conditions)
    return f"{text}; one of `{requirement.either_or}`" if requirement.either_or else text


def port_names() -> str:
    """Return the names that --port takes."""
    shipped = [load_ruleset(name) for name in shipped_rulesets()]
    names = sorted({name for ruleset in shipped for name in ruleset.port_names})
    rows = []
    for name in names:
        holders = [ruleset.id for ruleset in shipped if name in ruleset.port_names]
        rows.append((f"`{name}`", "all" if len(holders) == len(shipped) else ", ".join(holders)))
    return table(("Name", "Ruleset"), rows)


# home page


def introduction() -> str:
    """Return the README down to its installation, and its table of pages, as seen from docs/."""
    text = (ROOT / "README.md").read_text(encoding="utf-8")
    top = text.split("\n", 2)[2].split("\n## Install\n")[0]
    pages = text.split("\n## Documentation\n\n")[1].split("\n\n")[0]
    for_site = re.sub(r"\]\(docs/", "](", f"{top.strip()}\n\n## Pages\n\n{pages}\n")
    return re.sub(r"\]\((?=sample_captures|CONTRIBUTING|CHANGELOG|LICENSE)", "](../", for_site)


PARTS: dict[str, Callable[[], str]] = {
    "commands": commands,
    "terms": terms,
    "problems": problem_codes,
    "log-codes": log_codes,
    "log-readings": log_readings,
    "flow-columns": flow_columns,
    "requirement-columns": requirement_columns,
    "fleet-columns": fleet_columns,
    "report-schema": report_schema,
    "fleet-schema": fleet_schema,
    "rulesets": rulesets,
    "port-names": port_names,
    "introduction": introduction,
}


def generated(page: str) -> str:
    """Return the text of a page with its generated parts as they are today."""

    def part(found: re.Match[str]) -> str:
        return f"{found[1]}\n{PARTS[found['name']]().strip()}\n\n{found[3]}"

    return PART.sub(part, page)


def outdated() -> list[tuple[Path, str]]:
    """Return each page with a part that differs from the program, and its text as it should be."""
    pages = ((path, path.read_text(encoding="utf-8")) for path in sorted(FOLDER.rglob("*.md")))
    return [(path, text) for path, before in pages if (text := generated(before)) != before]


def main() -> int:
    """Write the pages, or name those that differ and return 1."""
    pages = outdated()
    for path, text in pages:
        print(path.relative_to(ROOT))
        if "--check" not in sys.argv:
            path.write_text(text, encoding="utf-8", newline="\n")
    return int(bool(pages) and "--check" in sys.argv)


if __name__ == "__main__":
    raise SystemExit(main())
