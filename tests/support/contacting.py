"""One host contacts another: what is known of it, as a source shows it."""

from __future__ import annotations

from typing import get_type_hints

from auditor.verdicts.installations.contacts import Contact

TYPES = get_type_hints(Contact)
MARKS = tuple(name for name, kind in TYPES.items() if kind is bool)
NUMBERS = tuple(name for name, kind in TYPES.items() if kind is int)


def contact(src: str, dst: str, ports: tuple[int, ...], shown: str, **numbers: int) -> Contact:
    """Return a contact. shown: the marks that are true, with spaces between; numbers: those that are not 0."""
    marks = {mark: mark in shown.split() for mark in MARKS}
    return Contact(src=src, dst=dst, ports=frozenset(ports), **marks, **dict.fromkeys(NUMBERS, 0) | numbers)
