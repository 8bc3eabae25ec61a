"""What is asked of a fleet: ruleset, site and methods, as text that goes with every summary and is read again."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

from auditor.errors import ArgumentError, ReportError, RulesetError
from auditor.fleet.summaries.parquet_store import is_text
from auditor.fleet.summaries.summary import Question
from auditor.ruleset.given_roles import parse_roles
from auditor.ruleset.lint import MODES
from auditor.ruleset.ruleset import Ruleset, SiteFacts, load_ruleset, shipped_rulesets, with_ports
from auditor.ruleset.site import Site
from auditor.sources.logs.time_zone import parse_zone


@dataclass(frozen=True)
class Asking:
    """What is asked. rules: the ruleset as loaded, without the site's ports; methods: ids, the main one first."""

    rules: Ruleset
    site: Site
    methods: tuple[str, ...]
    tz: str | None = None

    @cached_property
    def ruleset(self) -> Ruleset:
        """The ruleset with the site's ports."""
        return with_ports(self.rules, self.site.ports)

    @cached_property
    def question(self) -> Question:
        """What decides what is kept of each source."""
        return Question(self.ruleset, parse_roles(self.site.roles), self.tz)

    @property
    def facts(self) -> SiteFacts:
        """What decides the conditions of the ruleset."""
        return self.site.facts()

    @cached_property
    def text(self) -> str:
        """The same as JSON, equal for what is equal."""
        rows = [
            (one.id, one.protocol, one.ports, one.dynamic, one.from_role, one.to_role)
            for one in self.ruleset.requirements
        ]
        told = {
            "ruleset": self.rules.id,
            "requirements": rows,
            "dynamic_ports": self.ruleset.dynamic_ports,
            "roles": {role: sorted(words) for role, words in self.site.roles.items()},
            "mode": self.site.mode,
            "ports": dict(self.site.ports),
            "properties": self.site.properties,
            "conditions": dict(self.site.conditions),
            "methods": self.methods,
            "tz": self.tz,
        }
        return json.dumps(told, sort_keys=True)

    def can_use(self, text: str) -> bool:
        """Tell whether summaries that were made for another question answer this one.

        They do if the same ports were asked for and the same roles named: of many who connect, those who were named are
        kept.
        """
        before, now = _told(text), _told(self.text)
        return all(before.get(key) == now[key] for key in ("requirements", "dynamic_ports", "tz", "roles"))


def asking_of(text: str, path: Path, rules: Ruleset | None = None) -> Asking:
    """Return what a summary was made for. rules: the ruleset, if it is none of those shipped.

    Raises ReportError if that makes no sense, if there is no ruleset of its id, or if it has changed since, so that the
    summary does not answer it.
    """
    told = _told(text)
    if not told:
        raise ReportError("the summary does not say what it was made for", where=str(path), hint="copy it again")
    if wrong := [name for name, is_right in TOLD.items() if name not in told or not is_right(told[name])]:
        raise _senseless(path, f"its {wrong[0]} make no sense")
    site = Site(
        roles={role: tuple(words) for role, words in told["roles"].items()},
        mode=told["mode"],
        ports=told["ports"],
        properties=tuple(told["properties"]),
        conditions=told["conditions"],
    )
    known = rules or _shipped(told["ruleset"], path)
    try:
        parse_zone(told["tz"])
        found = Asking(known, site, methods_of(known, told["methods"]), told["tz"])
        _ = found.question
        requirements = _told(found.text)["requirements"]
    except (ArgumentError, RulesetError) as error:
        raise _senseless(path, error.what) from error
    if requirements != told.get("requirements"):
        what = f"the summary was made for another version of the ruleset {told['ruleset']}"
        raise ReportError(what, where=str(path), hint="name the ruleset that it was made for: --ruleset FILE")
    return found


def _shipped(name: str, path: Path) -> Ruleset:
    """Return a ruleset that comes with auditor: what a summary says must not make it open any other file."""
    if name not in shipped_rulesets():
        what = f"the summary was made for the ruleset {name!r}, which does not come with auditor"
        raise ReportError(what, where=str(path), hint="name the ruleset that it was made for: --ruleset FILE")
    return load_ruleset(name)


def _senseless(path: Path, what: str) -> ReportError:
    return ReportError(f"what the summary was made for makes no sense: {what}", where=str(path), hint=HINT)


def _is_words(value: Any) -> bool:
    return isinstance(value, list) and all(map(is_text, value))


def _is_table(value: Any, is_right: Callable[[Any], bool]) -> bool:
    return isinstance(value, dict) and all(map(is_text, value)) and all(map(is_right, value.values()))


HINT = "copy it again, or run `auditor batch` again"
TOLD: dict[str, Callable[[Any], bool]] = {
    "ruleset": is_text,
    "roles": lambda value: _is_table(value, _is_words),
    "mode": lambda value: value is None or value in MODES,
    "ports": lambda value: _is_table(value, lambda port: type(port) is int),
    "properties": _is_words,
    "conditions": lambda value: _is_table(value, lambda flag: isinstance(flag, bool)),
    "methods": _is_words,
    "tz": lambda value: value is None or is_text(value),
}


def methods_of(rules: Ruleset, wanted: Iterable[str]) -> tuple[str, ...]:
    """Return the ids of the methods asked for, all if none was named. Raises RulesetError for one that is not there."""
    return tuple(rules.method(one).id for one in wanted) or tuple(method.id for method in rules.methods)


def check_alike(askings: Sequence[Asking]) -> None:
    """Raise ReportError if summaries were made for several rulesets or methods: what they say cannot be counted."""
    for what, option, values in (
        ("rulesets", "--ruleset", {one.rules.id for one in askings}),
        ("methods", "--method", {" and ".join(one.methods) for one in askings}),
    ):
        if len(values) > 1:
            hint = f"run `auditor batch` with the same {option} at every site"
            raise ReportError(f"the summaries were made for several {what}: {'; '.join(sorted(values))}", hint=hint)


def _told(text: str) -> dict[str, Any]:
    try:
        found = json.loads(text)
    except (ValueError, RecursionError):
        return {}
    return found if isinstance(found, dict) else {}
