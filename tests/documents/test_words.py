"""The words of all texts that users read: templates, rulesets, help, and documentation (tests/documents/words.toml)."""

from __future__ import annotations

import ast
import inspect
import re
import tomllib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import click
import pytest
from places import ROOT

from auditor.cli.commands import cli

RULES = tomllib.loads(Path(__file__).with_name("words.toml").read_text(encoding="utf-8"))
BANNED = re.compile(
    "|".join([r"\b(?:" + "|".join(RULES["banned"]) + r")\b", *(f"(?-i:{form})" for form in RULES["forms"])]),
    re.IGNORECASE,
)
TEMPLATES = ("statements", "explanations", "problems")
OWN_TEXTS = ("title", "text", "remedy", "summary", "notes", "only_if", "hint", "refusal")  # the others are quoted
TEXTS_OF_CODES = ("means", "next", "cause", "possible", "action", "collect", "title")
PREFIX = re.compile(r"^(?:warning|error|Fix|Evidence|Cause|Note|Example|Limitation): ")
QUOTED = "The document: "
HINTS = r"\w*[hH](int|INT)|\(\w+, hint\)|ANEW|AGAIN|DOCTOR|NO_PACKAGE|RIGHT_\w+|REPORT_IT|NOT_ENOUGH_MEMORY"
COMMAND = re.compile(r"(auditor|wevtutil|tshark|pip|dask|editcap|expand|[a-z0-9]+ -d|Get-\S+|--?\w+|pktmon)\b.*$")

Text = tuple[str, str]  # where it stands, and the text


def texts_in(value: Any, place: str) -> Iterator[Text]:
    if isinstance(value, str):
        yield place, value
    elif isinstance(value, dict):
        for name, below in value.items():
            yield from texts_in(below, f"{place}.{name}")
    elif isinstance(value, list):
        for number, below in enumerate(value):
            yield from texts_in(below, f"{place}.{number}")


def templates() -> Iterator[Text]:
    for name in TEMPLATES:
        path = ROOT / "auditor" / "ruleset" / f"{name}.toml"
        yield from texts_in(tomllib.loads(path.read_text(encoding="utf-8")), name)


def rulesets() -> Iterator[Text]:
    for path in sorted((ROOT / "rulesets").glob("*.toml")):
        document = tomllib.loads(path.read_text(encoding="utf-8"))
        for place, text in texts_in(document, path.stem):
            name = re.sub(r"\.\d+$", "", place).rpartition(".")[2]
            is_note_of_document = place.startswith(f"{path.stem}.notes.")
            if name in OWN_TEXTS and not is_note_of_document and not text.startswith(QUOTED):
                yield place, text


def codes() -> Iterator[Text]:
    document = tomllib.loads((ROOT / "rulesets" / "well-known" / "configmgr-codes.toml").read_text(encoding="utf-8"))
    for place, text in texts_in(document, "codes"):
        if re.sub(r"\.\d+$", "", place).rpartition(".")[2] in TEXTS_OF_CODES:
            yield place, text


def commands(command: click.Command = cli, name: str = "auditor") -> Iterator[tuple[str, click.Command]]:
    yield name, command
    for child, below in getattr(command, "commands", {}).items():
        yield from commands(below, f"{name} {child}")


def help_texts() -> Iterator[Text]:
    for name, command in commands():
        text = inspect.cleandoc(command.help or "").split("\b\nExample:")[0]
        yield name, text
        for option in command.params:
            if isinstance(option, click.Option) and option.help:
                yield f"{name} {option.opts[-1]}", option.help


def pages() -> Iterator[Text]:
    for path in [ROOT / "README.md", ROOT / "SECURITY.md", *sorted((ROOT / "docs").glob("*.md"))]:
        prose = re.sub(
            r"```.*?```|<!--.*?-->|^    [^\n]*$", "", path.read_text(encoding="utf-8"), flags=re.DOTALL | re.MULTILINE
        )
        for number, paragraph in enumerate(prose.split("\n\n"), 1):
            yield f"{path.name} paragraph {number}", paragraph


def literals(node: ast.AST) -> Iterator[str]:
    """Return the texts of an expression, each field of a formatted one as a placeholder."""
    if isinstance(node, ast.Constant) and isinstance(node.value, str):
        yield node.value
    elif isinstance(node, ast.JoinedStr):
        yield "".join(part.value if isinstance(part, ast.Constant) else "{X}" for part in node.values)
    elif isinstance(node, ast.IfExp):
        yield from (*literals(node.body), *literals(node.orelse))
    elif not isinstance(node, ast.Compare):
        for child in ast.iter_child_nodes(node):
            yield from literals(child)


def calls(callee: str) -> Iterator[tuple[str, ast.Call]]:
    """Return the calls in the program of what has a name of this form, each with its place."""
    for path in sorted((ROOT / "auditor").rglob("*.py")):
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, ast.Call) and re.fullmatch(callee, ast.unparse(node.func)):
                yield f"{path.relative_to(ROOT)}:{node.lineno}", node


def hints() -> Iterator[Text]:
    """Return the next steps of errors: arguments, and what is assigned to names of hints."""
    for path in sorted((ROOT / "auditor").rglob("*.py")):
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            named = isinstance(node, ast.Assign) and re.fullmatch(HINTS, ast.unparse(node.targets[0]))
            if named or (isinstance(node, ast.keyword) and node.arg == "hint"):
                value = node.value.elts[-1] if isinstance(node.value, ast.Tuple) else node.value
                for number, text in enumerate(filter(None, literals(value))):
                    yield f"{path.relative_to(ROOT)}:{node.value.lineno} hint {number}", text


def errors() -> Iterator[Text]:
    yield from hints()
    for place, call in calls(r"\w*Error|TomlFault|print_(error|warning|message)|self\.fail|click\.\w+"):
        if call.args:
            yield from ((f"{place} {number}", text) for number, text in enumerate(literals(call.args[0])))


def page_texts() -> Iterator[Text]:
    """Return the texts of the HTML pages: of templates what is not code or markup, of scripts the quoted sentences."""
    folder = ROOT / "auditor" / "render" / "html" / "page"
    for path in sorted(folder.glob("*.jinja")):
        visible = re.sub(r"\{#.*?#\}|\{%.*?%\}|<code.*?</code>", " ", path.read_text(encoding="utf-8"), flags=re.DOTALL)
        visible = re.sub(r"\{\{.*?\}\}", "X", visible, flags=re.DOTALL)
        labels = re.findall(r'(?:aria-label|title)="([^"]*)"', visible)
        pieces = [*labels, *re.split(r"<[^>]*>", visible)]
        yield from ((f"{path.name} {number}", " ".join(text.split())) for number, text in enumerate(pieces))
    for path in sorted(folder.glob("*.js")):
        code = re.sub(r"^\s*//[^\n]*$", "", path.read_text(encoding="utf-8"), flags=re.MULTILINE)
        quoted = re.findall(r'"((?:[^"\\\n]|\\.)*)"|`((?:[^`\\]|\\.)*)`', code)
        texts = (re.sub(r"\$\{[^}]*\}", "X", plain or formatted) for plain, formatted in quoted)
        yield from ((f"{path.name} {number}", text) for number, text in enumerate(texts) if " " in text.strip())


SOURCES = {
    "page texts": page_texts,
    "templates": templates,
    "rulesets": rulesets,
    "codes": codes,
    "help": help_texts,
    "errors": errors,
    "pages": pages,
}


def plain(text: str) -> str:
    """Return a text with each placeholder, code, and link as one word."""
    text = re.sub(r"`[^`]*`|\{[^}]*\}", "X", text)
    return re.sub(r"\[([^\]]*)\]\([^)]*\)", r"\1", text)


def sentences(text: str) -> list[str]:
    """Return the sentences; rows of tables, items of lists, and what follows a colon count by themselves."""
    pieces = re.split(r"(?<=[.!?])\s+|\n\n|\n(?=[-*|\d])|: (?=[A-Z])|\s\|\s", PREFIX.sub("", plain(text)))
    return [piece.strip() for piece in pieces if piece.strip()]


def faults(text: str) -> list[str]:
    """Return what is wrong with a text: banned forms and sentences that are too long."""
    found = [
        f"banned: {match[0]!r} in {sentence!r}" for sentence in sentences(text) if (match := BANNED.search(sentence))
    ]
    return found + [
        f"{len(sentence.split())} words: {sentence!r}"
        for sentence in sentences(text)
        if len(sentence.split()) > RULES["most_words"]
    ]


@pytest.mark.parametrize("source", SOURCES)
def test_texts_keep_the_rules(source):
    wrong = {place: faults(text) for place, text in SOURCES[source]() if place not in RULES["exceptions"]}
    assert {place: texts for place, texts in wrong.items() if texts} == {}


def test_the_next_step_of_an_error_is_a_sentence_or_ends_with_a_command():
    wrong = {
        place: text
        for place, text in hints()
        if re.match(r"[a-z]", text) or not (text.endswith((".", "?", "}")) or COMMAND.search(text.rpartition(": ")[2]))
    }
    assert wrong == {}


def test_every_exception_is_of_a_text_that_breaks_a_rule():
    texts = {place: text for source in SOURCES.values() for place, text in source()}
    assert [place for place in RULES["exceptions"] if place not in texts or not faults(texts[place])] == []


def test_the_summary_of_a_command_fits_into_the_list():
    summaries = {name: inspect.cleandoc(command.help or "").split("\n")[0] for name, command in commands()}
    most = RULES["most_letters"]
    assert {name: text for name, text in summaries.items() if not 0 < len(text) <= most and name != "auditor"} == {}


@pytest.mark.parametrize(
    ("text", "fault"),
    [
        ("The client did not respond, and nobody knows why.", "banned: 'nobody'"),
        ("The port was in silence.", "banned: 'silence'"),
        ("Of three computers one fails.", "banned: 'Of '"),
        ("Is the computer on?", "banned: '?'"),
        ("one " * 26, "26 words"),
        ("warning: " + "one " * 26, "26 words"),
    ],
)
def test_a_text_that_breaks_a_rule_is_found(text, fault):
    (found,) = faults(text)
    assert found.startswith(fault)


@pytest.mark.parametrize("text", ["warning: " + "one " * 25, "See `nobody` and {told}.", "One. " * 30])
def test_prefixes_code_and_placeholders_do_not_count(text):
    assert faults(text) == []
