"""Make text from files and packets harmless before it is shown."""

from __future__ import annotations

import unicodedata

MOST = 2000
FORMULA_STARTS = ("=", "+", "-", "@", "\t", "\r")
DIRECTION_MARKS = frozenset("\u202a\u202b\u202c\u202d\u202e\u2066\u2067\u2068\u2069\u200e\u200f\u061c")


def clean(text: str, *, most: int = MOST) -> str:
    """Return text on one line without control characters, terminal escapes or marks that turn its direction."""
    shortened = text if len(text) <= most else text[: most - 1] + "…"
    return "".join(one if _harmless(one) else _visible(one) for one in shortened)


def no_formula(text: str) -> str:
    """Return text that a spreadsheet does not run as a formula."""
    return f"'{text}" if text.startswith(FORMULA_STARTS) else text


def _harmless(character: str) -> bool:
    return character == " " or (
        unicodedata.category(character) not in ("Cc", "Cf", "Cs", "Co", "Zl", "Zp") and character not in DIRECTION_MARKS
    )


def _visible(character: str) -> str:
    number = ord(character)
    return f"\\x{number:02x}" if number < 256 else f"\\u{number:04x}"
