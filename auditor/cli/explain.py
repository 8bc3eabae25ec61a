"""Explanations of the terms of a report (auditor explain)."""

from __future__ import annotations

import re
import textwrap
import tomllib
from functools import cache

from auditor.errors import ArgumentError
from auditor.ruleset.known_problems import PLACEHOLDER, find_status, problems
from auditor.ruleset.lint import nearest
from auditor.ruleset.package_data import EXPLANATIONS
from auditor.ruleset.ruleset import Requirement, load_ruleset, shipped_rulesets

WIDTH = 88
ICMP_CODE = re.compile(r"(?:icmp *(?P<before>v6)? *)?(?P<code>\d{1,3}/\d{1,3}) *(?:v4|(?P<behind>v6))?", re.IGNORECASE)


def explain(term: str | None) -> str:
    """Return what a verdict, result, requirement, method, role, warning, state or ICMP code means; all terms if None.

    Raises ArgumentError, which names the nearest term, if it is not known.
    """
    if term is None:
        return _all_terms()
    parts = _words(_plain(term)) + _problems(term) + _from_rulesets(term)
    if not parts:
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


def _problems(term: str) -> list[str]:
    """Return what answers of protocols mean, by name or code; of a code that is not listed, what its kind means."""
    listed = [
        (layer, code, status.with_code(code)) for layer, table in problems().items() for code, status in table.items()
    ]
    matches = [
        (layer, code, status)
        for layer, code, status in listed
        if term.lower() in (status.name.lower(), code.lower(), f"{layer} {code}".lower())
    ]
    matches = matches or [(layer, term.lower(), status) for layer, status in find_status(term)]
    return [
        f"{status.name} (problem, {layer} {code})\n{_wrapped(_sentence(status.meaning))}\n"
        f"{_wrapped('What to do: ' + status.action)}\n"
        for layer, code, status in matches
    ]


def _wrapped(text: str) -> str:
    return textwrap.fill(text, WIDTH, initial_indent="  ", subsequent_indent="  ", break_on_hyphens=False)


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
    ruleset = load_ruleset(shipped_rulesets()[0])
    lines.append("method: " + ", ".join(method.id for method in ruleset.methods))
    lines.append("requirement: " + ", ".join(dict.fromkeys(requirement.row for requirement in ruleset.requirements)))
    return (
        "\n".join(textwrap.fill(line, WIDTH, subsequent_indent="  ", break_on_hyphens=False) for line in lines) + "\n"
    )


def _sentence(meaning: str) -> str:
    """Return a clause as a sentence; capitalize() would write NTLM in lower case."""
    return f"{meaning[:1].upper()}{meaning[1:]}."
