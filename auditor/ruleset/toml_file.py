"""Read a TOML file that a person wrote, or an enemy: never for long, never much, and every fault in one sentence."""

from __future__ import annotations

import re
import stat
import tomllib
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

LARGEST_BYTES = 1_000_000
LARGEST_NUMBER = 2**63  # what TOML itself promises; Python refuses to print much larger ones
# tomllib takes quadratic time for a key of many parts, and such tables nest too deeply to be shown.
PART = r"""(?:[\w-]++|"(?:[^"\\\n]|\\.)*+"|'[^'\n]*+')[ \t]*+"""
ENDLESS_KEY = re.compile(rf"""(?<![\w"'-])(?:{PART}\.[ \t]*+){{50}}""")


class TomlFault(Exception):  # noqa: N818 - the words of the ruleset's checks
    """The file cannot be read or is no TOML; what is wrong, and what to do about it."""

    def __init__(self, message: str, hint: str) -> None:
        super().__init__(message, hint)
        self.what = message
        self.hint = hint


def read_toml(path: Path) -> dict[str, Any]:
    """Return the content of a TOML file in UTF-8, with or without a byte-order mark. Raises TomlFault."""
    text = _text(path)
    if ENDLESS_KEY.search(text):
        raise TomlFault("this is not TOML: a key in it has too many parts", "Name tables by one or two words.")
    try:
        table = tomllib.loads(text)
    except RecursionError:
        raise TomlFault("this is not TOML: nested too deeply", "Correct the file; no list nests in lists.") from None
    except ValueError as error:
        message = f"this is not TOML: {error}"
        raise TomlFault(message, "Correct the file there; every text needs quotation marks.") from error
    if any(isinstance(value, int) and abs(value) > LARGEST_NUMBER for value in scalars(table)):
        raise TomlFault("a number in it is too large", "Ports are at most five digits long.")
    return table


def _text(path: Path) -> str:
    content = _content(path)
    try:
        text = content.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        message = f"the file is not UTF-8 text (byte {error.start + 1})"
        raise TomlFault(message, "Save it with the encoding UTF-8.") from error
    return text


def _content(path: Path) -> bytes:
    try:
        mode = path.stat().st_mode
        if stat.S_ISDIR(mode):
            raise TomlFault("this is a folder", "Name one file in it.")
        if not stat.S_ISREG(mode):
            raise TomlFault("this is not an ordinary file", "Save it to a file first.")
        with path.open("rb") as file:
            content = file.read(LARGEST_BYTES + 1)
    except FileNotFoundError as error:
        raise TomlFault("there is no such file", "Check the path.") from error
    except (OSError, ValueError) as error:
        reason = getattr(error, "strerror", None) or error
        raise TomlFault(f"the file cannot be read ({reason})", "Check the path and your rights.") from error
    if len(content) > LARGEST_BYTES:
        raise TomlFault("the file is too large", "Name a TOML file, not a source.")
    return content


def scalars(table: Mapping[str, Any]) -> Iterator[Any]:
    """Yield all keys and values of a TOML table that hold no others, however deep, in no particular order."""
    left: list[Any] = [table]
    while left:
        value = left.pop()
        if isinstance(value, dict):
            yield from value
            left.extend(value.values())
        elif isinstance(value, list):
            left.extend(value)
        else:
            yield value
