"""Check JSON against the published schema of the report, and tell the first fault in one line.

Only the words of JSON Schema that report.schema.json uses are known; an unknown one is an error, never ignored.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Any

Check = Callable[[Any], None]
TYPES: dict[str, tuple[type, ...]] = {
    "object": (dict,),
    "array": (list,),
    "string": (str,),
    "integer": (int,),
    "boolean": (bool,),
    "null": (type(None),),
}
NAMES = {
    "object": "an object {...}",
    "array": "a list [...]",
    "string": "a text",
    "integer": "a whole number",
    "boolean": "true or false",
    "null": "null",
}
REMARKS = frozenset(("$schema", "title", "description", "else"))  # "else" is read with its "if"
MOST_SHOWN = 40


class FaultError(Exception):
    """The first thing that is not as the schema says. path: keys and indexes that lead to it."""

    def __init__(self, message: str) -> None:
        super().__init__(message)
        self.what = message
        self.path: list[str | int] = []

    @property
    def where(self) -> str:
        """The place, such as clients[0].methods[1].result."""
        steps = (f"[{step}]" if isinstance(step, int) else f".{step}" for step in reversed(self.path))
        return "".join(steps).removeprefix(".")


def compiled(schema: dict[str, Any]) -> Check:
    """Return a function that raises FaultError for a value that is not as the schema says."""
    checks = [KEYWORDS[word](schema) for word in schema if word not in REMARKS]

    def check(value: Any) -> None:
        for check in checks:
            check(value)

    return check


def shown(value: Any) -> str:
    """Return a value of the file in a few characters."""
    if isinstance(value, dict):
        return "an object {...}"
    if isinstance(value, list):
        return "a list [...]"
    if isinstance(value, str):
        return repr(value if len(value) <= MOST_SHOWN else value[:MOST_SHOWN] + "…")
    return {None: "null", True: "true", False: "false"}.get(value) or str(value)[:MOST_SHOWN]


def _type(schema: dict[str, Any]) -> Check:
    names = [schema["type"]] if isinstance(schema["type"], str) else schema["type"]
    kinds = {kind for name in names for kind in TYPES[name]}
    wanted = " or ".join(NAMES[name] for name in names)

    def check(value: Any) -> None:
        if type(value) not in kinds:  # exactly: true is no number
            raise FaultError(f"is {shown(value)}, not {wanted}")

    return check


def _properties(schema: dict[str, Any]) -> Check:
    checks = {name: compiled(inner) for name, inner in schema["properties"].items()}

    def check(value: Any) -> None:
        if not isinstance(value, dict):
            return
        for name, inner in checks.items():
            if name in value:
                _within(name, inner, value[name])

    return check


def _items(schema: dict[str, Any]) -> Check:
    inner = compiled(schema["items"])

    def check(value: Any) -> None:
        if isinstance(value, list):
            for place, element in enumerate(value):
                _within(place, inner, element)

    return check


def _within(step: str | int, check: Check, value: Any) -> None:
    try:
        check(value)
    except FaultError as fault:
        fault.path.append(step)
        raise


def _required(schema: dict[str, Any]) -> Check:
    names = schema["required"]

    def check(value: Any) -> None:
        for name in names:
            if isinstance(value, dict) and name not in value:
                raise FaultError(f"has no {name!r}")

    return check


def _no_others(schema: dict[str, Any]) -> Check:
    if schema["additionalProperties"] is not False:
        raise NotImplementedError("additionalProperties other than false")
    allowed = schema["properties"].keys()

    def check(value: Any) -> None:
        if isinstance(value, dict) and not value.keys() <= allowed:
            unknown = next(name for name in value if name not in allowed)
            raise FaultError(f"has the unknown key {shown(unknown)}")

    return check


def _enum(schema: dict[str, Any]) -> Check:
    choices = schema["enum"]

    def check(value: Any) -> None:
        if value not in choices:
            raise FaultError(f"is {shown(value)}, not one of {', '.join(choice or 'null' for choice in choices)}")

    return check


def _const(schema: dict[str, Any]) -> Check:
    only = schema["const"]

    def check(value: Any) -> None:
        if type(value) is not type(only) or value != only:
            raise FaultError(f"is {shown(value)}, not {shown(only)}")

    return check


def _limit(word: str, too_far: Callable[[int, int], bool], than: str) -> Callable[[dict[str, Any]], Check]:
    def limit(schema: dict[str, Any]) -> Check:
        bound = schema[word]

        def check(value: Any) -> None:
            if type(value) is int and too_far(value, bound):
                raise FaultError(f"is {shown(value)}, {than} than {bound}")

        return check

    return limit


def _pattern(schema: dict[str, Any]) -> Check:
    pattern = re.compile(schema["pattern"])

    def check(value: Any) -> None:
        if isinstance(value, str) and not pattern.search(value):
            raise FaultError(f"is {shown(value)}, which is not in the form of the report's times")

    return check


def _min_items(schema: dict[str, Any]) -> Check:
    least = schema["minItems"]

    def check(value: Any) -> None:
        if isinstance(value, list) and len(value) < least:
            raise FaultError(f"holds fewer than {least}")

    return check


def _if(schema: dict[str, Any]) -> Check:
    condition, otherwise = compiled(schema["if"]), compiled(schema["else"])

    def check(value: Any) -> None:
        try:
            condition(value)
        except FaultError:
            otherwise(value)

    return check


KEYWORDS: dict[str, Callable[[dict[str, Any]], Check]] = {
    "type": _type,
    "properties": _properties,
    "items": _items,
    "required": _required,
    "additionalProperties": _no_others,
    "enum": _enum,
    "const": _const,
    "minimum": _limit("minimum", lambda value, bound: value < bound, "less"),
    "maximum": _limit("maximum", lambda value, bound: value > bound, "more"),
    "pattern": _pattern,
    "minItems": _min_items,
    "if": _if,
}
