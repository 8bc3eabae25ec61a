"""Where the data files that come with the package lie."""

from __future__ import annotations

from pathlib import Path


def rulesets_folder() -> Path:
    """Return the folder of the rulesets: inside the installed package, or at the top of a source checkout."""
    package = Path(__file__).resolve().parent
    inside = package / "rulesets"
    return inside if inside.is_dir() else package.parent / "rulesets"
