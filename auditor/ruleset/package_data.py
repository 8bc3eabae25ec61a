"""Where the data files that come with the package lie."""

from __future__ import annotations

from pathlib import Path

FOLDER = Path(__file__).resolve().parent
EXPLANATIONS = FOLDER / "explanations.toml"  # what `auditor explain` prints of each term
PROBLEMS = FOLDER / "problems.toml"  # what status codes of the protocols mean, and what to do
STATEMENTS = FOLDER / "statements.toml"  # the sentences of reports, with {fields}


def rulesets_folder() -> Path:
    """Return the folder of the rulesets: inside the installed package, or at the top of a source checkout."""
    package = FOLDER.parent
    inside = package / "rulesets"
    return inside if inside.is_dir() else package.parent / "rulesets"
