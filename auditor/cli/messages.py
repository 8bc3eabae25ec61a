"""Messages on standard error."""

from __future__ import annotations

import sys
from contextlib import suppress

from auditor.render.clean import clean


def print_error(text: str) -> None:
    """Write an error: where, what, and the next step."""
    print_message(text, prefix="error: ")


def print_warning(text: str) -> None:
    """Write a warning: where, what, and its effect."""
    print_message(text, prefix="warning: ")


def print_message(text: str, *, prefix: str = "") -> None:
    """Write one line to standard error, whatever the text holds; the audit goes on if it cannot be written."""
    line = clean(" ".join(text.strip().replace(":\n  ", ": ").replace("\n  ", "; ").replace("\t", " ").split("\n")))
    with suppress(OSError, ValueError):
        print(f"{prefix}{line}", file=sys.stderr, flush=True)  # noqa: T201 - the one place of messages
