"""A ruleset for a person to read."""

from __future__ import annotations

import textwrap

from auditor.render.clean import clean
from auditor.ruleset.ruleset import Requirement, Ruleset, load_ruleset, shipped_rulesets

WIDTH = 100


def list_text() -> str:
    """Return one line for each ruleset that comes with the package."""
    rulesets = [load_ruleset(name) for name in shipped_rulesets()]
    return "".join(f"{ruleset.id:28}{clean(ruleset.title)}\n" for ruleset in rulesets)


def ruleset_text(ruleset: Ruleset) -> str:
    """Return methods, requirements, conditions and notes."""
    lines = [f"{ruleset.id}: {clean(ruleset.title)}", *_wrapped(ruleset.reference, "  ")]
    for method in ruleset.methods:
        lines += ["", f"{method.id}: {clean(method.title)}", *_wrapped(method.summary, "  ")]
        lines += [line for requirement in method.requirements for line in _requirement(requirement)]
    lines += ["", "Conditions"]
    lines += [line for condition in ruleset.conditions for line in _wrapped(f"{condition.id}: {condition.text}", "  ")]
    lines += ["", "Notes"]
    lines += [line for name, text in ruleset.notes.items() for line in _wrapped(f"{name}: {text}", "  ")]
    return "\n".join(lines) + "\n"


def _requirement(requirement: Requirement) -> list[str]:
    conditions = f", if {' and '.join(requirement.conditions)}" if requirement.conditions else ""
    either = f", one of {requirement.either_or}" if requirement.either_or else ""
    service = requirement.ports_text if requirement.icmp_echo else f"{requirement.protocol} {requirement.ports_text}"
    return [
        f"  {requirement.row:30}{service:18}{requirement.from_role} > {requirement.to_role}",
        *_wrapped(f"{requirement.necessity}{conditions}{either}", " " * 32),
    ]


def _wrapped(text: str, indent: str) -> list[str]:
    line = clean(" ".join(text.split()), most=len(text))
    return textwrap.wrap(line, WIDTH, initial_indent=indent, subsequent_indent=indent)
