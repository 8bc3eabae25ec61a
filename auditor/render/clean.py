"""Make text from files and packets harmless before it is shown."""

from __future__ import annotations

import unicodedata

MOST = 2000
DIRECTION_MARKS = frozenset("\u202a\u202b\u202c\u202d\u202e\u2066\u2067\u2068\u2069\u200e\u200f\u061c")


def clean(text: str, *, most: int = MOST) -> str:
    """Return text on one line without control characters, terminal escapes or marks that turn its direction."""
    shortened = text if len(text) <= most else text[: most - 1] + "…"
    if shortened.isascii() and shortened.isprintable():  # nearly all text, and much faster
        return shortened
    return "".join(one if _harmless(one) else _visible(one) for one in shortened)


def _harmless(character: str) -> bool:
    if (
        character in DIRECTION_MARKS or ord(character) & 0xFFFE == 0xFFFE
    ):  # the last two of a plane are never characters
        return False
    return unicodedata.category(character) not in ("Cc", "Cf", "Cs", "Co", "Zl", "Zp")


def _visible(character: str) -> str:
    number = ord(character)
    return f"\\x{number:02x}" if number < 256 else f"\\u{number:04x}"
