"""What the administrator must know about a source that was read all the same."""

from __future__ import annotations

from dataclasses import dataclass

THEY_READ = " They read: "  # ends what auditor says in a warning; what follows is the source's own text


@dataclass(frozen=True, order=True)
class SourceWarning:
    """One warning about one source: a code that `auditor explain` knows, and a sentence."""

    code: str
    text: str
