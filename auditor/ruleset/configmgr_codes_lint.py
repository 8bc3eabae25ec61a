"""Check of the table of codes (rulesets/well-known/configmgr-codes.toml), with every fault in one list."""

from __future__ import annotations

import string
from collections.abc import Collection, Iterator, Mapping
from typing import Any

from auditor.ruleset.configmgr_codes import ANY, LOGS, NONE, NOTHING_SENT, SKIPPED, SUCCEEDED, Code, Shows
from auditor.ruleset.lint import ROLES

PLACES = (*ROLES, "between", "unknown")
FIELDS = {"target", "account", "code", "meaning"}
FIELDS_OF_CODE = {"code", "meaning"}
WITHOUT_CODE = (NONE, SUCCEEDED, SKIPPED, NOTHING_SENT)
NEEDED = {"id", "logs", "steps", "codes", "shows", "cause", "collect", "reference"}
OPTIONAL = {"requirements", "problem", "fatal", "skips", "possible", "next", "status"}

Table = Mapping[str, Any]


def table_faults(
    document: Table, codes: Collection[Code], steps: Collection[str], requirements: Collection[str]
) -> list[str]:
    """Return what is wrong with the table.

    Args:
        document: Its content.
        codes: Every known code, those of problems.toml too.
        steps: Values of InstallStep.
        requirements: Rows of the shipped rulesets.

    Returns:
        One sentence for each fault, beginning with the id of the reading or the code.
    """
    entries = document["reading"]
    return [
        *_of_codes(document, codes),
        *(f"{entry.get('id')}: {fault}" for entry in entries for fault in _of_reading(entry, steps, requirements)),
        *(f"{entry['id']}: {fault}" for entry in entries for fault in _unknown_codes(entry, document, codes)),
        *_twice(entries, codes),
    ]


def _of_codes(document: Table, codes: Collection[Code]) -> Iterator[str]:
    read = {code for entry in document["reading"] for code in entry["codes"]}
    seen: set[tuple[str, tuple[int, ...] | str]] = set()
    for code in codes:
        key = (code.family, code.numbers or code.value)
        if key in seen:
            yield f"{code.family} {code.value}: twice in its family"
        seen.add(key)
        if code.numbers and code.value not in (str(code.numbers[0]), f"0x{code.numbers[0]:x}"):
            yield f"{code.family} {code.value}: not spelled as the others"
        if not code.next_step and not read & {f"{code.family} {code.value}", f"{code.family} {ANY}"}:
            yield f"{code.family} {code.value}: no reading and no next step"


def _of_reading(entry: Table, steps: Collection[str], requirements: Collection[str]) -> Iterator[str]:
    if missing := NEEDED - set(entry):
        yield f"missing: {', '.join(sorted(missing))}"
        return
    yield from (f"unknown key {key}" for key in sorted(set(entry) - NEEDED - OPTIONAL))
    yield from (f"unknown log {log}" for log in entry["logs"] if log not in LOGS)
    yield from (f"unknown step {step}" for step in entry["steps"] if step not in steps)
    yield from (f"unknown requirement {row}" for row in entry.get("requirements", ()) if row not in requirements)
    yield from _of_verdict(entry)
    yield from _of_texts(entry)


def _of_verdict(entry: Table) -> Iterator[str]:
    shows, problem = entry["shows"], entry.get("problem", "")
    if shows not in tuple(Shows):
        yield f"unknown verdict {shows}"
    if (shows == Shows.NOTHING) == bool(entry.get("requirements")):
        yield "requirements belong to a verdict, and a verdict to requirements"
    if shows == Shows.FAILED and problem:
        yield "a port that could not be used is no problem on an open port"
    if entry.get("fatal") and not problem:
        yield "fatal without a problem"


def _of_texts(entry: Table) -> Iterator[str]:
    fields = {field for _, field, _, _ in string.Formatter().parse(entry["cause"]) if field is not None}
    yield from (f"unknown field {field}" for field in sorted(fields - FIELDS))
    if fields & FIELDS_OF_CODE and set(entry["codes"]) & set(WITHOUT_CODE):
        yield "the cause has a field of a code, but there is none"
    for step in entry.get("next", ()):
        if step["place"] not in PLACES:
            yield f"unknown place {step['place']}"
        if step["action"].endswith(":") != ("command" in step):
            yield f"a colon belongs before a command: {step['action']}"
    if any(text.endswith(".") for text in entry.get("possible", ())):
        yield "a possible cause is a clause"


def _unknown_codes(entry: Table, document: Table, codes: Collection[Code]) -> Iterator[str]:
    names = {f"{code.family} {code.value}" for code in codes}
    families = {f"{family} {ANY}" for family in document["family"]}
    yield from (f"unknown code {code}" for code in entry["codes"] if code not in names | families | {*WITHOUT_CODE})


def _twice(entries: list[Table], codes: Collection[Code]) -> Iterator[str]:
    """Yield readings that the same number at the same step of the same log matches."""
    numbers = {f"{code.family} {code.value}": code.numbers for code in codes}
    holders: dict[tuple[object, ...], str] = {}
    for entry in entries:
        keys = [
            (log, step, matched, entry.get("status"))
            for log in entry["logs"]
            for step in entry["steps"]
            for code in entry["codes"]
            for matched in numbers.get(code) or (code,)
        ]
        for key in keys:
            if key in holders:
                yield f"{entry['id']}: {key} is also in {holders[key]}"
            holders[key] = entry["id"]
