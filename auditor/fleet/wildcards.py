"""Patterns of paths as people write them: * and ? within a name, ** for any folders, either slash, any case."""

from __future__ import annotations

import re

SLASHES = r"/\\"
WILD = re.compile(r"\*|\?|\[[^\]/\\]+\]")
ANY_FOLDERS = "**"


def is_pattern(text: str) -> bool:
    """Tell whether a path holds wildcards."""
    return WILD.search(text) is not None


def name_regex(pattern: str) -> str:
    """Return a regular expression for one name of a path: * and ? never match a slash; [abc] and [!abc] are sets."""
    pieces, at = [], 0
    for found in WILD.finditer(pattern):
        pieces += [re.escape(pattern[at : found.start()]), _wild(found.group())]
        at = found.end()
    return "".join([*pieces, re.escape(pattern[at:])])


def matcher(pattern: str) -> re.Pattern[str]:
    """Return what matches whole names, whatever their case."""
    return re.compile(name_regex(pattern), re.IGNORECASE | re.DOTALL)


def path_regex(names: list[str]) -> str:
    """Return a regular expression for a path of these names, with / between them; ** is any number of folders."""
    pieces = [f"(?:[^{SLASHES}]+/)*" if name == ANY_FOLDERS else f"{name_regex(name)}/" for name in names]
    return "".join(pieces)[:-1] if names and names[-1] != ANY_FOLDERS else "".join(pieces) + f"[^{SLASHES}]+"


def _wild(word: str) -> str:
    if word[0] == "[":
        members = word[1:-1].replace("\\", r"\\").replace("^", r"\^").replace("[", r"\[")
        return f"[^{SLASHES}{members[1:]}]" if members[0] == "!" and members[1:] else f"[{members}]"
    return f"[^{SLASHES}]" + ("*" if word[0] == "*" else "")
