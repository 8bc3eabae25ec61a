"""Find out what of auditor works on this computer."""

from __future__ import annotations

import platform
import sys
from importlib.metadata import PackageNotFoundError, version

from auditor.render.clean import clean
from auditor.ruleset.package_data import rulesets_folder
from auditor.ruleset.ruleset import check_ruleset, shipped_rulesets
from auditor.sources.dissection.program import find_tshark, tshark_version
from auditor.version import VERSION

PACKAGES = ("click", "jinja2", "numpy", "pandas", "pyshark", "rich")
# what for, and how it is installed; what notebooks need goes where Jupyter is
OPTIONAL = {
    "evtx": ("Windows event logs (.evtx)", "pipx inject auditor evtx"),
    "pyarrow": ("a fleet with auditor batch, flow tables as Parquet", "pipx inject auditor pyarrow"),
    "distributed": ("Dask, for auditor batch on many computers", 'pipx inject auditor "dask[distributed]"'),
    "altair": ("charts in notebooks", "pip install altair"),
    "vl-convert-python": ("charts without a network", "pip install vl-convert-python"),
    "duckdb": ("questions to the tables of a fleet, in notebooks", "pip install duckdb"),
}
TSHARK_HINT = "Install Wireshark (Windows: wireshark.org; Debian: apt install tshark)."


def examine() -> tuple[str, bool]:
    """Return a text, one line a finding, and whether everything needed is there."""
    findings = [(True, f"auditor {VERSION}"), (True, f"Python {platform.python_version()} ({sys.executable})")]
    findings += [_package(name) for name in PACKAGES]
    findings += [_ruleset(name) for name in shipped_rulesets()] or [(False, "no ruleset: install auditor again")]
    lines = [f"{'ok' if good else 'MISSING':9}{clean(text)}" for good, text in findings]
    optional = (_tshark(), *map(_optional, OPTIONAL))
    lines += [f"{'ok' if available else 'optional':9}{clean(text)}" for available, text in optional]
    return "\n".join(lines) + "\n", all(good for good, _ in findings)


def _package(name: str, install: str = "") -> tuple[bool, str]:
    try:
        return True, f"{name} {version(name)}"
    except PackageNotFoundError:
        return False, f"{name}: install it with: {install or f'pip install {name}'}"


def _optional(name: str) -> tuple[bool, str]:
    purpose, install = OPTIONAL[name]
    available, text = _package(name, install)
    return available, f"{text} ({purpose})"


def _tshark() -> tuple[bool, str]:
    path = find_tshark()
    version = tshark_version(path) if path else None
    if version:
        return True, f"tshark {version} ({path})"
    return False, f"tshark not found; captures are audited without it. To open the evidence, {TSHARK_HINT}"


def _ruleset(name: str) -> tuple[bool, str]:
    faults = check_ruleset(rulesets_folder() / f"{name}.toml")
    return not faults, f"ruleset {name}" + (f": {len(faults)} faults, see auditor rulesets check" if faults else "")
