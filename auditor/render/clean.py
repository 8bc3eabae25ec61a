"""Make text from files and packets harmless before it is shown."""

from __future__ import annotations

import unicodedata

MOST = 2000
TAIL = 200
DIRECTION_MARKS = frozenset("\u202a\u202b\u202c\u202d\u202e\u2066\u2067\u2068\u2069\u200e\u200f\u061c")
FORMULA_STARTS = ("=", "+", "-", "@")


def clean(text: str, *, most: int = MOST) -> str:
    """Return text on one line without control characters, terminal escapes or marks that turn its direction.

    Of a text that is too long the middle is left out: at the end stands what to do.
    """
    if len(text) > most:
        tail = min(TAIL, most // 4)
        text = f"{text[: most - tail - 1]}…{text[len(text) - tail :]}"
    if text.isprintable():  # most is
        return text
    return "".join(character if _harmless(character) else _visible(character) for character in text)


def clean_cell(text: str) -> str:
    """Return text for a cell of a table that a spreadsheet may open: clean, and never run as a formula."""
    harmless = clean(text)
    # Excel takes the full-width and small forms of East Asian keyboards for the signs themselves.
    first_sign = unicodedata.normalize("NFKC", harmless.lstrip()[:1])
    return f"'{harmless}" if first_sign.startswith(FORMULA_STARTS) else harmless


def needs_escapes(text: str) -> bool:
    """Tell whether JSON must write a text in ASCII, so that nothing of it reaches a terminal as it is."""
    return not text.replace("\n", "").isprintable()


def _harmless(character: str) -> bool:
    if (
        character in DIRECTION_MARKS or ord(character) & 0xFFFE == 0xFFFE
    ):  # the last two of a plane are never characters
        return False
    return unicodedata.category(character) not in ("Cc", "Cf", "Cs", "Co", "Zl", "Zp")


def _visible(character: str) -> str:
    number = ord(character)
    return f"\\x{number:02x}" if number < 256 else f"\\u{number:04x}"
