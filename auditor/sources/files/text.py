"""Text that a person, Excel or PowerShell wrote, in whichever encoding, and JSON text that is not all Unicode."""

from __future__ import annotations

import codecs
import json
import os
import re
import stat
from pathlib import Path
from typing import Any

from auditor.errors import ArgumentError

LARGEST_BYTES = 200_000_000  # a million paths
BYTE_ORDER_MARKS = (
    (codecs.BOM_UTF8, "utf-8-sig"),
    (codecs.BOM_UTF16_LE, "utf-16"),  # Out-File and Export-Csv of Windows PowerShell
    (codecs.BOM_UTF16_BE, "utf-16"),
)
# JSON may name half a character, as Windows' own names may hold one. No table, page, or JSON of ours could.
SURROGATE_ESCAPE = re.compile(r"\\u[dD][89a-fA-F]")
SURROGATE = re.compile("[\ud800-\udfff]")
WESTERN = "cp1252"  # Excel and Set-Content on most Windows computers of Europe and America


def read_written(path: str, *, expected: str, hint: str) -> str:
    """Return the text of a file: UTF-8 or UTF-16, with or without a byte-order mark, else as this system writes it.

    Args:
        path: The file.
        expected: What the file should be, such as "list of paths".
        hint: The next step if it is none.

    Raises:
        ArgumentError: If it cannot be read, is no text, or is too large.
    """
    content = _content(path, expected, hint)
    text = _decoded(content)
    if text is None or "\0" in text:
        raise ArgumentError(f"not a {expected}: the file is not text", where=path, hint=hint)
    return text


def _decoded(content: bytes) -> str | None:
    try:
        for mark, encoding in BYTE_ORDER_MARKS:
            if content.startswith(mark):
                return content.decode(encoding)
        if content[1:2] == b"\0" or content[:1] == b"\0":
            return content.decode("utf-16-le" if content[1:2] == b"\0" else "utf-16-be")
        return content.decode()
    except UnicodeDecodeError:
        pass
    # On Linux a path is any bytes, and a list holds them as they are; the tables of Windows are in its code page.
    return os.fsdecode(content) if os.name != "nt" else content.decode(WESTERN, "replace")


def _content(path: str, expected: str, hint: str) -> bytes:
    try:
        mode = os.stat(path).st_mode
        if not stat.S_ISREG(mode):
            kind = "a folder" if stat.S_ISDIR(mode) else "not an ordinary file"
            raise ArgumentError(f"this is {kind}, not a {expected}", where=path, hint=hint)
        content = Path(path).read_bytes() if os.path.getsize(path) <= LARGEST_BYTES else None
    except FileNotFoundError as error:
        raise ArgumentError(f"there is no such {expected}", where=path, hint="Check the path.") from error
    except (OSError, ValueError) as error:
        reason = getattr(error, "strerror", None) or error
        raise ArgumentError(f"the {expected} cannot be read ({reason})", where=path, hint=hint) from error
    if content is None:
        raise ArgumentError(f"this is too large for a {expected}", where=path, hint=hint)
    return content


def load_json(text: str, **options: Any) -> Any:
    """Return the value of a JSON text, with U+FFFD in place of what is half a character.

    Args:
        text: The text.
        options: As of `json.loads`.

    Raises:
        ValueError: As `json.loads` does.
        RecursionError: If it is nested too deeply.
    """
    value = json.loads(text, **options)
    return whole_characters(value) if SURROGATE_ESCAPE.search(text) else value


def whole_characters(value: Any) -> Any:
    """Return a JSON value with U+FFFD in place of what is half a character, in names and in texts."""
    if isinstance(value, str):
        return SURROGATE.sub("\ufffd", value)
    if isinstance(value, list):
        return [whole_characters(part) for part in value]
    if isinstance(value, dict):
        return {whole_characters(name): whole_characters(part) for name, part in value.items()}
    return value
