"""What is asked of a fleet: ruleset, site and methods, as text that goes with every summary and is read again."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from functools import cached_property
from operator import attrgetter
from pathlib import Path
from typing import Any

from auditor.errors import ArgumentError, ReportError, RulesetError
from auditor.fleet.summaries.parquet_store import is_text
from auditor.fleet.summaries.summary import SelectionSettings
from auditor.ruleset.given_roles import parse_roles
from auditor.ruleset.lint import MODES
from auditor.ruleset.ruleset import Ruleset, SiteFacts, load_ruleset, shipped_rulesets, with_ports
from auditor.ruleset.site import Site
from auditor.sources.logs.time_zone import parse_zone


@dataclass(frozen=True)
class AuditSettings:
    """What is asked.

    Attributes:
        rules: The ruleset as loaded, without the site's ports.
        methods: Ids, the main one first.
    """

    rules: Ruleset
    site: Site
    methods: tuple[str, ...]
    tz: str | None = None

    @cached_property
    def ruleset(self) -> Ruleset:
        """The ruleset with the site's ports."""
        return with_ports(self.rules, self.site.ports)

    @cached_property
    def question(self) -> SelectionSettings:
        """What decides what is kept of each source."""
        return SelectionSettings(self.ruleset, parse_roles(self.site.roles), self.tz)

    @property
    def facts(self) -> SiteFacts:
        """What decides the conditions of the ruleset."""
        return self.site.facts()

    @cached_property
    def text(self) -> str:
        """The same as JSON, equal for what is equal."""
        row = attrgetter("id", "protocol", "ports", "dynamic", "from_role", "to_role")
        settings = {
            "ruleset": self.rules.id,
            "requirements": list(map(row, self.ruleset.requirements)),
            "dynamic_ports": self.ruleset.dynamic_ports,
            "roles": {role: sorted(words) for role, words in self.site.roles.items()},
            "mode": self.site.mode,
            "ports": dict(self.site.ports),
            "properties": self.site.properties,
            "conditions": dict(self.site.conditions),
            "methods": self.methods,
            "tz": self.tz,
        }
        return json.dumps(settings, sort_keys=True)

    def is_compatible_with(self, text: str) -> bool:
        """Tell whether summaries that were made for another question answer this one.

        They do if the same ports were asked for and the same roles named: of many who connect, those who were named are
        kept.
        """
        old, now = _told(text), _told(self.text)
        return all(old.get(key) == now[key] for key in ("requirements", "dynamic_ports", "tz", "roles"))


def parse_settings(text: str, path: Path, rules: Ruleset | None = None) -> AuditSettings:
    """Return what a summary was made for.

    Args:
        text: What it was made for, as JSON.
        path: The summary, for errors.
        rules: The ruleset, if it is none of those shipped.

    Raises:
        ReportError: If that makes no sense, if there is no ruleset of its id, or if it has changed since, so that the
            summary does not answer it.
    """
    settings = _told(text)
    if not settings:
        raise ReportError("the summary file has no audit settings", where=str(path), hint="Copy it again.")
    if wrong := [name for name, is_right in TOLD.items() if name not in settings or not is_right(settings[name])]:
        raise _senseless(path, f"its {wrong[0]} make no sense")
    site = Site(
        roles={role: tuple(words) for role, words in settings["roles"].items()},
        mode=settings["mode"],
        ports=settings["ports"],
        properties=tuple(settings["properties"]),
        conditions=settings["conditions"],
    )
    ruleset = rules or _shipped(settings["ruleset"], path)
    try:
        parse_zone(settings["tz"])
        asking = AuditSettings(ruleset, site, methods_of(ruleset, settings["methods"]), settings["tz"])
        _ = asking.question
        requirements = _told(asking.text)["requirements"]
    except (ArgumentError, RulesetError) as error:
        raise _senseless(path, error.what) from error
    if requirements != settings.get("requirements"):
        problem = f"the summary was made for another version of the ruleset {settings['ruleset']}"
        raise ReportError(problem, where=str(path), hint="Name the ruleset that it was made for: --ruleset FILE")
    return asking


def _shipped(name: str, path: Path) -> Ruleset:
    """Return a ruleset that comes with auditor: what a summary says must not make it open any other file."""
    if name not in shipped_rulesets():
        problem = f"the summary was made for the ruleset {name!r}, which does not come with auditor"
        raise ReportError(problem, where=str(path), hint="Name the ruleset that it was made for: --ruleset FILE")
    return load_ruleset(name)


def _senseless(path: Path, reason: str) -> ReportError:
    return ReportError(f"invalid audit settings in the summary: {reason}", where=str(path), hint=HINT)


def _is_words(value: Any) -> bool:
    return isinstance(value, list) and all(map(is_text, value))


def _is_table(value: Any, is_right: Callable[[Any], bool]) -> bool:
    return isinstance(value, dict) and all(map(is_text, value)) and all(map(is_right, value.values()))


HINT = "Copy it again, or run `auditor batch` again."
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
    """Return the ids of the methods asked for, all if none was named.

    Raises:
        RulesetError: For one that is not there.
    """
    return tuple(rules.method(name).id for name in wanted) or tuple(method.id for method in rules.methods)


def check_same_settings(askings: Sequence[AuditSettings]) -> None:
    """Raise ReportError if summaries were made for several rulesets or methods: what they say cannot be counted."""
    for kind, option, values in (
        ("rulesets", "--ruleset", {asking.rules.id for asking in askings}),
        ("methods", "--method", {" and ".join(asking.methods) for asking in askings}),
    ):
        if len(values) > 1:
            hint = f"Run `auditor batch` with the same {option} at every site."
            raise ReportError(f"the summaries were made for several {kind}: {'; '.join(sorted(values))}", hint=hint)


def _told(text: str) -> dict[str, Any]:
    try:
        settings = json.loads(text)
    except (ValueError, RecursionError):
        return {}
    return settings if isinstance(settings, dict) else {}
