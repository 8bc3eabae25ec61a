"""The sentences of reports are data: all are there, and nothing goes by their words."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict, replace
from functools import cache
from pathlib import Path
from string import Formatter
from typing import Any
from unittest.mock import patch

import pytest
from places import SAMPLES
from redaction import leaks, secrets
from reports import dissected, of_scene
from scenes import SCENES, each
from security_events import blocked, lines

import auditor
from auditor.cli.commands import _exit_code
from auditor.report import model as r
from auditor.report.fleet_model import NO_RULE_HELPS
from auditor.ruleset import statements
from auditor.ruleset.statements import say, say_count, templates
from auditor.sources.configmgr.facts import InstallStep
from auditor.sources.dissection.steps import WITHOUT_OBJECT, StepKind
from auditor.sources.files.skip_counts import NotUsed
from auditor.sources.logs.firewall_rows import MALFORMED

pytestmark = pytest.mark.slow

PACKAGE = Path(auditor.__file__).parent
WORDED = re.compile(r"[a-z-]+\.(?!json|css|html|js)[a-z0-9-]*[a-z0-9]")
ALWAYS_WHOLE = {*WITHOUT_OBJECT, StepKind.PUSH_CALL, StepKind.CERTIFICATE}
# Tables whose keys are made of values that are no text of a call.
MADE = {
    "step": {kind.value for kind in StepKind} | {f"{kind}-unseen" for kind in {*StepKind} - ALWAYS_WHOLE},
    "not-used": {kind.value for kind in NotUsed},
    "malformed": set(MALFORMED),
    "kind": {r.PUSH, r.LOGON, r.FILE_SHARING, r.SCAN, r.UNKNOWN},
    "reported-step": {step.value for step in InstallStep},
}


def calls() -> Iterator[tuple[str, ast.Call]]:
    """Yield each call that words a template, with the name of the function."""
    for path in PACKAGE.rglob("*.py"):
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, ast.Call) and isinstance(node.func, ast.Name):
                yield node.func.id, node


def named() -> set[str]:
    """Return the ids of all templates that the code names."""
    texts = {
        node.value
        for path in PACKAGE.rglob("*.py")
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8")))
        if isinstance(node, ast.Constant) and isinstance(node.value, str)
    }
    tables = {template.partition(".")[0] for template in templates()}
    ids = {text for text in texts if WORDED.fullmatch(text) and text.partition(".")[0] in tables}
    for table, function in (("warning", "warning"), ("limitation", "_limitation")):
        for name, call in calls():
            if name == function and isinstance(key := call.args[-1], ast.Constant):
                ids.add(f"{table}.{key.value}")
    return ids


def fields_of(template: str) -> set[str]:
    return {name for _, name, _, _ in Formatter().parse(template) if name}


def test_every_template_that_the_code_names_is_there():
    assert named() - templates().keys() == set()


def test_every_step_and_every_frame_that_is_not_used_has_words():
    for table, keys in MADE.items():
        assert {template.partition(".")[2] for template in templates() if template.startswith(f"{table}.")} == keys


def test_every_template_is_of_use():
    ids = named() | {f"{template}-one" for template in named()}
    ids |= {f"{table}.{key}" for table, keys in MADE.items() for key in keys}
    made = {"fleet.other-scan", "fleet.other-logon", "fleet.other-file-sharing"}
    assert templates().keys() - ids - made - {f"warning.{key}" for key in KINDS_BY_CHOICE} == set()


KINDS_BY_CHOICE = ("evtx-both-lost", "evtx-events-lost", "evtx-chunks-lost")


def test_every_call_gives_its_template_all_fields():
    """Of those that name their template and fields; what is given besides does no harm."""
    for name, call in calls():
        if name not in ("say", "say_count", "statement") or not isinstance(call.args[0], ast.Constant):
            continue
        given = {keyword.arg for keyword in call.keywords if keyword.arg} | (
            {"count"} if name == "say_count" else set()
        )
        if all(keyword.arg for keyword in call.keywords):
            assert fields_of(templates()[call.args[0].value]) <= given, call.args[0].value


def test_one_thing_and_several_are_worded_apart():
    assert (say_count("role.computers", 1), say_count("role.computers", 2000)) == ("1 computer", "2,000 computers")


# A count and what it counts, in the plural.
SEVERAL = re.compile(
    r"\{count[^}]*\}(?: or more| more| of \{[^}]*\})?(?: [\w,]+){0,2}?"
    r" (?!(?:is|was|this|times|as|has|its)\b)[\w-]+s\b"
)
ALWAYS_SEVERAL = {
    "warning.tunnel-others": "of at least two kinds",
    "finding.never-resolved-many": "the number that is kept of many requests",
    "dynamic.scan": "a scan has many ports",
    "push.scanned-ports": "a scan has many ports",
    "push.scanned-dynamic-ports": "a scan has many ports",
    "push.readers": "one reader makes no file server",
    "push.file-server": "one reader makes no file server",
}


def test_what_is_counted_has_a_singular():
    """A report never has "1 packets"."""
    lacking = {
        template
        for template, text in templates().items()
        if SEVERAL.search(text) and not template.endswith("-one") and f"{template}-one" not in templates()
    }
    assert lacking == ALWAYS_SEVERAL.keys()


@pytest.mark.parametrize("template", [template for template in templates() if template.endswith("-one")])
def test_a_singular_is_used_for_one_thing_only(template):
    several = template.removesuffix("-one")
    fields = dict.fromkeys(fields_of(templates()[several]) | fields_of(templates()[template]), 7)
    assert say(several, **fields | {"count": 1}) == templates()[template].format_map(fields | {"count": 1})
    assert say(several, **fields | {"count": 2}) == templates()[several].format_map(fields | {"count": 2})


def test_no_rule_helps_by_remedies_that_exist():
    assert {f"remedy.{kind}" for kind in NO_RULE_HELPS} <= templates().keys()


@pytest.mark.parametrize("template", ["finding.no-such", "finding.answered"])
def test_an_unknown_template_and_a_missing_field_are_errors(template):
    with pytest.raises(KeyError):
        say(template)


# nothing goes by the words

# Keys of both documents whose values are sentences, or are made of them.
SENTENCES = (
    "text",
    "why",
    "still_needs",
    "explanation",
    "action",
    "step",
    "by",
    "remedy",
    "limitations",
    "warnings",
    "ports",
)
LISTS = ("remedy", "limitations", "warnings")  # which are data where they are lists


def reworded() -> dict[str, str]:
    """Return all templates in words of another language, with the same fields in another order."""
    return {template: " ".join([template.upper(), *fields[::-1]]) for template, fields in FIELDS.items()}


FIELDS = {
    template: ["{" + name + (f":{spec}" if spec else "") + "}" for _, name, spec, _ in Formatter().parse(text) if name]
    for template, text in templates().items()
}


def shape(value: Any) -> Any:
    """Return a document without its sentences."""
    if isinstance(value, list | tuple):
        return [shape(one) for one in value]
    if not isinstance(value, dict):
        return value
    return {
        key: shape(one)
        for key, one in value.items()
        if key not in SENTENCES or (key in LISTS and isinstance(one, list | tuple) and not all(map(is_text, one)))
    }


def is_text(value: object) -> bool:
    return isinstance(value, str)


@contextmanager
def in_other_words() -> Iterator[None]:
    words = reworded()
    with patch.object(statements, "templates", lambda: words):
        yield


@cache
def of_scene_reworded(name: str) -> auditor.Report:
    scene = next(one for one in SCENES if one.name == name)
    with in_other_words():
        return dissected(replace(scene, captures=scene.captures + scene.logs))


@each(SCENES)
def test_other_words_change_no_verdict_and_nothing_else_of_a_report(scene):
    before, after = of_scene(scene.name, logs=True), of_scene_reworded(scene.name)
    assert shape(after.to_dict()) == shape(before.to_dict())
    assert _exit_code(after) == _exit_code(before)
    assert after.to_text() != before.to_text()


@each(SCENES)
def test_other_words_reveal_nothing_in_a_redacted_report(scene, tmp_path):
    before, after = of_scene(scene.name, logs=True), of_scene_reworded(scene.name)
    assert shape(auditor.redact(after).to_dict()) == shape(auditor.redact(before).to_dict())
    path = tmp_path / "report.json"
    path.write_text(after.to_json(), encoding="utf-8")
    for report in (after, auditor.load_report(path)):
        assert leaks(auditor.redact(report).to_json(), secrets(scene)) == []


@each([scene for scene in SCENES if scene.client == SCENES[0].client and scene.name != "quiet"])
def test_other_words_change_no_change_between_two_reports(scene):
    first, name = SCENES[0].name, scene.name
    before = auditor.compare(of_scene(first, logs=True), of_scene(name, logs=True))
    after = auditor.compare(of_scene_reworded(first), of_scene_reworded(name))
    assert shape(asdict(after)) == shape(asdict(before))


def made_fleet(folder: Path) -> Path:
    """Return logs of two computers: a rule blocks one, and nobody listens on the other."""
    for host, address, origin in (("ruled", "10.0.0.20", "Contoso block"), ("closed", "10.0.0.21", "Stealth")):
        (folder / host).mkdir(parents=True)
        events = lines(blocked(FilterOrigin=origin)).replace(b"10.0.0.20", address.encode())
        (folder / host / "security.jsonl").write_bytes(events)
    return folder


@pytest.mark.parametrize("made", [True, False], ids=["made", "sample"])
def test_other_words_change_no_count_of_a_fleet(made, tmp_path):
    sample = {"host_map": SAMPLES / "fleet" / "hosts.csv", "host_from": "{site}/{host}/*.log"}
    sample["roles"] = {"site-server": "10.120.10.5", "management-point": "10.120.10.80"}
    paths, known = SAMPLES / "fleet" / "logs", sample
    if made:
        paths, known = made_fleet(tmp_path / "in"), {"host_from": "{host}/*"}
    before = auditor.batch(paths, out=tmp_path / "before", workers=0, **known).report.to_dict()
    with in_other_words():
        after = auditor.batch(paths, out=tmp_path / "after", workers=0, **known).report.to_dict()
    assert before["changes"]
    assert bool(before["causes"]) == made
    assert shape(after) == shape(before)
