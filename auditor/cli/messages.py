"""Messages on standard error."""

from __future__ import annotations

import sys
from contextlib import suppress

from auditor.render.clean import clean


def print_message(text: str, *, prefix: str = "auditor: ") -> None:
    """Write one line to standard error, whatever the text holds; the audit goes on if nobody can read it."""
    line = clean(" ".join(text.strip().replace(":\n  ", ": ").replace("\n  ", "; ").replace("\t", " ").split("\n")))
    with suppress(OSError, ValueError):
        print(f"{prefix}{line}", file=sys.stderr, flush=True)  # noqa: T201 - this is where people are told
