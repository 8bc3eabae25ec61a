"""Explanations of the terms of a report (auditor explain)."""

from __future__ import annotations

import re
import textwrap
import tomllib
from functools import cache

from auditor.errors import ArgumentError, UnknownCodeError
from auditor.ruleset.configmgr_codes import (
    LOGS,
    Code,
    Reading,
    Shows,
    join_by_or,
    parse_code,
    readings_of,
    to_number,
    unknown_code,
    written,
)
from auditor.ruleset.known_problems import PLACEHOLDER, find_status, problems
from auditor.ruleset.lint import nearest
from auditor.ruleset.package_data import EXPLANATIONS
from auditor.ruleset.ruleset import Requirement, load_ruleset, shipped_rulesets

WIDTH = 88
FAILED_HRESULT = 0x8  # the first four bits: a failure, of Microsoft
VERDICTS = {
    Shows.FAILED: "Verdict: failed, for {requirements}.",
    Shows.OPEN: "Verdict: open, for {requirements}.",
    Shows.NOTHING: "Verdict: none. The code shows nothing about a port.",
}
ICMP_CODE = re.compile(r"(?:icmp *(?P<before>v6)? *)?(?P<code>\d{1,3}/\d{1,3}) *(?:v4|(?P<behind>v6))?", re.IGNORECASE)


def explain(term: str | None) -> str:
    """Return what a term of a report or a code of a log means; all terms if None.

    Args:
        term: A verdict, result, requirement, method, role, warning, or state; or a code in any spelling.

    Raises:
        UnknownCodeError: If it is a number that is no known code.
        ArgumentError: If it is unknown; the hint has the nearest term.
    """
    if term is None:
        return _all_terms()
    codes = parse_code(term)
    parts = list(map(_code, codes))
    parts += _words(_plain(term)) + _problems(term, known=bool(codes)) + _from_rulesets(term)
    if not parts:
        _refuse_code(term)
        meant = nearest(term, [*_terms(), *_problem_names(), *_ruleset_terms()])
        hint = f"Did you mean {meant}?" if meant else "To list all terms, run: auditor explain"
        raise ArgumentError(f"unknown term {_shown(term)}", hint=hint)
    return "\n".join(parts)


def _plain(term: str) -> str:
    """Return an ICMP code, however it is written (ICMP 3/13, icmpv6 1/1), by its name here; another term as it is."""
    code = ICMP_CODE.fullmatch(term.strip())
    if code is None:
        return term
    return f"{code['code']} v6" if code["before"] or code["behind"] else code["code"]


def _shown(term: str) -> str:
    return repr(term) if len(term) <= WIDTH else f"{term[:WIDTH]!r}..."


@cache
def _tables() -> dict[str, dict[str, dict[str, str]]]:
    return tomllib.loads(EXPLANATIONS.read_text(encoding="utf-8"))


def _terms() -> list[str]:
    return [term for table in _tables().values() for term in table]


def _words(term: str) -> list[str]:
    entries = []
    for kind, table in _tables().items():
        for name, entry in table.items():
            if term.lower() in (name.lower(), name.removesuffix(" v6")):
                entries.append(
                    f"{name} ({kind})\n{_wrapped(entry['means'])}\n{_wrapped('What to do: ' + entry['do'])}\n"
                )
    return entries


def _problem_names() -> list[str]:
    names = [status.name for table in problems().values() for status in table.values()]
    return [name for name in names if PLACEHOLDER not in name]


def _problems(term: str, *, known: bool) -> list[str]:
    """Return what answers of protocols mean, by name or code; of a code that is not listed, what its kind means.

    Args:
        term: A name, or a code in any spelling.
        known: Whether the logs of Configuration Manager have the code, so that its kind states less.
    """
    number = to_number(term)
    spelled = {term.lower()} if number is None else {term.lower(), f"0x{number:08x}"}
    listed = [
        (layer, code, status.with_code(code)) for layer, table in problems().items() for code, status in table.items()
    ]
    matches = [
        (layer, code, status)
        for layer, code, status in listed
        if spelled & {status.name.lower(), code.lower(), f"{layer} {code}".lower()}
    ]
    if not matches and not known and not _is_failed_hresult(number):
        matches = [(layer, term.lower(), status) for layer, status in find_status(term)]
    return [
        f"{status.name} (problem, {layer} {code})\n{_wrapped(_sentence(status.meaning))}\n"
        f"{_wrapped('What to do: ' + status.action)}\n"
        for layer, code, status in matches
    ]


def _is_failed_hresult(number: int | None) -> bool:
    """Tell whether a number is an HRESULT of a failure: such a code is known or not, whatever its protocol."""
    return number is not None and number >> 28 == FAILED_HRESULT


def _refuse_code(term: str) -> None:
    number = to_number(term)
    if number is not None:
        (step,) = unknown_code(number).next_steps
        raise UnknownCodeError(f"unknown code {written(number)}", hint=f"{step.action} {step.command}")


def _code(code: Code) -> str:
    """Return what a code means, and what it shows at each step of each log."""
    spelled = ", ".join(part for part in (code.value, code.also_written) if part)
    lines = [f"{code.name} (code, {code.family} {spelled})", _wrapped(_sentence(code.meaning))]
    entries = readings_of(code)
    if not entries:
        texts = (VERDICTS[Shows.NOTHING], f"What to do: {code.next_step}", f"Documented in: {code.reference}")
        lines += map(_wrapped, texts)
    return "\n".join([*lines, *map(_shown_at, entries)]) + "\n"


def _shown_at(entry: Reading) -> str:
    """Return what a code shows at the steps of a reading."""
    logs = join_by_or(tuple(LOGS[log] for log in entry.logs))
    effect = "fails the installation" if entry.fatal else "does not fail the installation"
    texts = [
        entry.text(),
        VERDICTS[entry.shows].format(requirements=entry.concerned),
        *([f"Problem: {entry.problem}; {effect}."] if entry.problem else []),
        *([f"What to do: {' '.join(step.text for step in entry.next_steps)}"] if entry.next_steps else []),
        *([f"To settle it: {entry.collect}"] if entry.collect else []),
        f"Documented in: {entry.reference}",
    ]
    beside = f", with HTTP status {entry.status}" if entry.status else ""
    head = _wrapped(f"In {logs}, step {join_by_or(entry.steps)}{beside}:")
    return "\n".join([head, *(_wrapped(text, 4) for text in texts)])


def _wrapped(text: str, indent: int = 2) -> str:
    margin = " " * indent
    return textwrap.fill(text, WIDTH, initial_indent=margin, subsequent_indent=margin, break_on_hyphens=False)


def _ruleset_terms() -> list[str]:
    rulesets = [load_ruleset(name) for name in shipped_rulesets()]
    methods = [method.id for ruleset in rulesets for method in ruleset.methods]
    requirements = [requirement.id for ruleset in rulesets for requirement in ruleset.requirements]
    rows = [requirement.row for ruleset in rulesets for requirement in ruleset.requirements]
    return [*methods, *requirements, *rows, *(condition.id for ruleset in rulesets for condition in ruleset.conditions)]


def _from_rulesets(term: str) -> list[str]:
    texts = []
    for name in shipped_rulesets():
        ruleset = load_ruleset(name)
        texts += [
            f"{method.id} (method, {name})\n{_wrapped(method.summary)}\n"
            + _wrapped("Requires: " + ", ".join(requirement.row for requirement in method.requirements))
            + "\n"
            for method in ruleset.methods
            if method.id == term
        ]
        texts += [
            _requirement(requirement, name)
            for requirement in ruleset.requirements
            if term in (requirement.id, requirement.row)
        ]
        texts += [
            f"{condition.id} (condition, {name})\n{_wrapped(condition.text)}\n"
            for condition in ruleset.conditions
            if condition.id == term
        ]
    return texts


def _requirement(requirement: Requirement, ruleset: str) -> str:
    ports = requirement.ports_text if requirement.icmp_echo or requirement.dynamic else f"port {requirement.ports_text}"
    ends = f"From {requirement.from_role} to {requirement.to_role}"
    lines = [
        f"{requirement.id} (requirement, {ruleset})",
        _wrapped(requirement.description),
        _wrapped(f"{ends}, {requirement.protocol.upper()} {ports}; {requirement.necessity}."),
        _wrapped(f"What to do: {requirement.remedy}"),
        _wrapped(f"Documented in: {requirement.reference}"),
        *([_wrapped(f"Note: {requirement.notes}")] if requirement.notes else []),
    ]
    return "\n".join(lines) + "\n"


def _all_terms() -> str:
    lines = [f"{kind}: {', '.join(table)}" for kind, table in _tables().items()]
    lines.append("problem: " + ", ".join(dict.fromkeys(_problem_names())))
    lines.append(
        "code: each code of ccm.log, ccmsetup.log, or the IIS log in any spelling, "
        "such as 53, 0x800706ba, -2147023174, 12029, 0x87d00454, or 403.7"
    )
    ruleset = load_ruleset(shipped_rulesets()[0])
    lines.append("method: " + ", ".join(method.id for method in ruleset.methods))
    lines.append("requirement: " + ", ".join(dict.fromkeys(requirement.row for requirement in ruleset.requirements)))
    return (
        "\n".join(textwrap.fill(line, WIDTH, subsequent_indent="  ", break_on_hyphens=False) for line in lines) + "\n"
    )


def _sentence(meaning: str) -> str:
    """Return a clause as a sentence; capitalize() would write NTLM in lower case."""
    return f"{meaning[:1].upper()}{meaning[1:]}."
