"""Patterns of paths as people write them: * and ? within a name, ** for any folders, either slash, any case."""

from __future__ import annotations

import re

SLASHES = r"/\\"
WILD = re.compile(r"\*|\?|\[[^\]/\\]+\]")
PLACE = re.compile(r"\{\w+\}")  # of which a regular expression is made elsewhere
ANY_LETTER = f"[^{SLASHES}]"
ANY_FOLDERS = "**"


def is_pattern(text: str) -> bool:
    """Tell whether a path holds wildcards."""
    return WILD.search(text) is not None


def name_regex(pattern: str) -> str:
    """Return a regular expression for one name of a path: * and ? never match a slash; [abc] and [!abc] are sets.

    A star that only another star follows takes the fewest letters that do, for good: to try more could not make a fit
    of what is none, and takes for ever on long names. The last one, and one before a place such as {host}, which
    decides what the place holds, takes as many as fit.
    """
    begin, *ends = _between_stars(pattern)
    pieces = [_fixed(begin)]
    for number, piece in enumerate(ends, 1):
        settled = number < len(ends) and not PLACE.search(piece)
        pieces.append(f"(?>{ANY_LETTER}*?{_fixed(piece)})" if settled else f"{ANY_LETTER}*{_fixed(piece)}")
    return "".join(pieces)


def matcher(pattern: str) -> re.Pattern[str]:
    """Return what matches whole names, whatever their case."""
    return re.compile(name_regex(pattern), re.IGNORECASE | re.DOTALL)


def path_regex(names: list[str]) -> str:
    """Return a regular expression for a path of these names, with / between them; ** is any number of folders."""
    pieces = [f"(?:[^{SLASHES}]+/)*" if name == ANY_FOLDERS else f"{name_regex(name)}/" for name in names]
    return "".join(pieces)[:-1] if names and names[-1] != ANY_FOLDERS else "".join(pieces) + f"[^{SLASHES}]+"


def _between_stars(pattern: str) -> list[str]:
    ends = [wildcard.span() for wildcard in WILD.finditer(pattern) if wildcard.group() == "*"]
    begins = [0, *(end for _, end in ends)]
    return [pattern[begin:end] for begin, end in zip(begins, [*(begin for begin, _ in ends), None], strict=True)]


def _fixed(piece: str) -> str:
    """Return a regular expression for what has no star in it."""
    pieces, at = [], 0
    for wildcard in WILD.finditer(piece):
        pieces += [re.escape(piece[at : wildcard.start()]), _wild(wildcard.group())]
        at = wildcard.end()
    return "".join([*pieces, re.escape(piece[at:])])


def _wild(word: str) -> str:
    if word == "?":
        return ANY_LETTER
    members = word[1:-1].replace("\\", r"\\").replace("^", r"\^").replace("[", r"\[")
    return f"[^{SLASHES}{members[1:]}]" if members[0] == "!" and members[1:] else f"[{members}]"
