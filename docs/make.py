"""Build the documentation of the Python API from its docstrings: python docs/make.py [FOLDER], else build/docs."""

from __future__ import annotations

import sys
from pathlib import Path

import pdoc

import auditor

# The rest is inside, and free to change.
MODULES = ("auditor", "auditor.report.model", "auditor.render.tables.frames", "auditor.report.fleet_model")
OTHERS = r"!auditor\.(?!report$|render\.frames$|fleet\.document$).+"


def build(folder: Path) -> None:
    """Write the pages, which load nothing from elsewhere."""
    for name in auditor.__all__:
        getattr(auditor, name)  # pdoc does not see what is loaded on first use
    pdoc.render.configure(docformat="markdown", show_source=False)
    pdoc.pdoc(*MODULES, OTHERS, output_directory=folder)


if __name__ == "__main__":
    target = Path(sys.argv[1]) if len(sys.argv) > 1 else Path(__file__).parent.parent / "build" / "docs"
    build(target)
    print(target / "auditor.html")
