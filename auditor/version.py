"""The version of this package, and how reports name it."""

from __future__ import annotations

from dataclasses import dataclass

VERSION = "0.1.0"


@dataclass(frozen=True)
class Tool:
    """What made a report: the name and the version of the program."""

    name: str
    version: str


TOOL = Tool("auditor", VERSION)
