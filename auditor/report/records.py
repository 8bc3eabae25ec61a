"""Records as JSON has them, and back: what a record holds is said once, by its dataclass."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import fields, is_dataclass
from enum import StrEnum
from functools import cache, lru_cache
from operator import attrgetter
from types import UnionType
from typing import Any, NamedTuple, TypeVar, get_args, get_origin, get_type_hints

Convert = Callable[[Any], Any]
Record = TypeVar("Record")
IN_JSON = "name in JSON"  # in the metadata of a field whose name there is a word of Python, such as "from"


class SavedField(NamedTuple):
    """A field of a record that is saved: its name, its name in JSON, and its type."""

    name: str
    in_json: str
    kind: Any


def to_json(value: Any) -> Any:
    """Return a record, and all records in it, as dictionaries and lists; what is JSON already as it is."""
    kind: Any = type(value)
    write = _writer(kind)
    return write(value) if write else value


def from_json(kind: Callable[..., Record], table: dict[str, Any]) -> Record:
    """Return the record that was saved as this dictionary, which is as its JSON Schema says."""
    read = _reader(kind)
    assert read is not None
    saved = {field.in_json for field in saved_fields(kind)}
    record: Record = read({name: value for name, value in table.items() if name in saved})
    return record


def recast(kind: Callable[..., Record], record: Any) -> Record:
    """Return what a record holds as one of a class that adds methods to its own."""
    return kind(**{field.name: getattr(record, field.name) for field in fields(record)})


@cache
def saved_fields(kind: Any) -> tuple[SavedField, ...]:
    """Return the fields that two equal records have alike, in the order of the JSON; none of what is no record."""
    if not is_dataclass(kind):
        return ()
    kinds = get_type_hints(kind)
    return tuple(
        SavedField(field.name, field.metadata.get(IN_JSON, field.name), kinds[field.name])
        for field in fields(kind)
        if field.compare
    )


# A conversion is None where a value is the same in JSON.


@cache
def _writer(kind: Any) -> Convert | None:
    if type(kind) is UnionType:
        return _unless_none(_writer(get_args(kind)[0]))
    if get_origin(kind) is tuple:
        write = _writer(get_args(kind)[0])
        return (lambda values: [write(value) for value in values]) if write else list
    if not (described := saved_fields(kind)):
        return None
    names = [field.in_json for field in described]
    values_of = attrgetter(*(field.name for field in described))
    changed = [(field.in_json, write) for field in described if (write := _writer(field.kind))]

    def write_record(record: Any) -> dict[str, Any]:
        table = dict(zip(names, values_of(record), strict=True))
        for name, write in changed:
            table[name] = write(table[name])
        return table

    return write_record


@lru_cache(maxsize=4096)
def _same_text(text: str) -> str:
    """Return an equal text that was read before, if any: most of a large report are alike."""
    return text


@cache
def _reader(kind: Any) -> Convert | None:
    if kind is int:
        return int  # 1.0 is a whole number in JSON
    if kind is str:
        return _same_text
    if isinstance(kind, type) and issubclass(kind, StrEnum):
        return kind
    if type(kind) is UnionType:
        return _unless_none(_reader(get_args(kind)[0]))
    if get_origin(kind) is tuple:
        read = _reader(get_args(kind)[0])
        return (lambda values: tuple(map(read, values))) if read else tuple
    if not (described := saved_fields(kind)):
        return None
    parts = {field.in_json: (field.name, _reader(field.kind)) for field in described}

    def read_record(table: dict[str, Any]) -> Any:
        values = {}
        for in_json, value in table.items():
            name, read = parts[in_json]
            values[name] = read(value) if read else value
        return kind(**values)

    return read_record


def _unless_none(convert: Convert | None) -> Convert | None:
    return convert and (lambda value: None if value is None else convert(value))
