"""One host contacts another: what is known of it, as a source shows it."""

from __future__ import annotations

from dataclasses import fields

from auditor.contacts import Contact

MARKS = tuple(field.name for field in fields(Contact) if field.type == "bool")
NUMBERS = tuple(field.name for field in fields(Contact) if field.type == "int")


def contact(src: str, dst: str, ports: tuple[int, ...], shown: str, **numbers: int) -> Contact:
    """Return a contact. shown: the marks that are true, with spaces between; numbers: those that are not 0."""
    marks = {mark: mark in shown.split() for mark in MARKS}
    return Contact(src=src, dst=dst, ports=frozenset(ports), **marks, **dict.fromkeys(NUMBERS, 0) | numbers)
