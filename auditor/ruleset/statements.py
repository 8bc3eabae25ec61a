"""Sentences of reports: templates of statements.toml, each with an id, that are filled with fields."""

from __future__ import annotations

import tomllib
from collections.abc import Mapping
from functools import cache
from typing import NamedTuple

from auditor.ruleset.package_data import STATEMENTS


class Statement(NamedTuple):
    """A sentence before it is worded: logic goes by its id, never by its text."""

    id: str
    fields: Mapping[str, object]

    @property
    def key(self) -> str:
        """The id within its table, such as "start-service"."""
        return self.id.partition(".")[2]

    @property
    def text(self) -> str:
        """The sentence in words."""
        return say(self.id, **self.fields)


@cache
def templates() -> dict[str, str]:
    """Return all templates by id, which is table and key of the file, such as "finding.answered"."""
    tables = tomllib.loads(STATEMENTS.read_text(encoding="utf-8"))
    return {f"{table}.{key}": text for table, entries in tables.items() for key, text in entries.items()}


def statement(template: str, /, **fields: object) -> Statement:
    """Return a statement that is worded later."""
    return Statement(template, fields)


def say(template: str, /, **fields: object) -> str:
    """Return a statement in words. If its count is 1, it is worded by the template that ends with "-one", if any.

    Args:
        template: Its id.
        **fields: A value for each field of the template.

    Raises:
        KeyError: If there is no such template, or it has a field without a value.
    """
    singular = f"{template}-one"
    is_one = fields.get("count") == 1 and singular in templates()
    return templates()[singular if is_one else template].format_map(fields)


def say_count(template: str, count: int, /, **fields: object) -> str:
    """Return a statement about a number of things: of one thing it is worded by the template that ends with "-one"."""
    return say(template, count=count, **fields)
