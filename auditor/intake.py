"""Read all inputs of an audit: those that cannot be read are told of, and do not stop the others."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import TYPE_CHECKING

from auditor.errors import SourceError
from auditor.report import SourceSummary
from auditor.sources.reading import Source, read

if TYPE_CHECKING:
    from auditor.ruleset import Ruleset


def read_all(paths: Iterable[str | Path], ruleset: Ruleset | None = None) -> tuple[list[Source], list[SourceSummary]]:
    """Read every source once; return those read and those that could not be.

    ruleset: whose ports come first where a source holds too many connections; all shipped ones if None.
    Raises the first SourceError, with the others as its `further`, when none can be read.
    """
    sources: list[Source] = []
    unreadable: list[SourceSummary] = []
    errors: list[SourceError] = []
    for path in dict.fromkeys(map(str, paths)):
        try:
            source = read(path, lambda: documented_ports(ruleset))
            _check(source)
            sources.append(source)
        except SourceError as error:
            errors.append(error)
            warning = (("unreadable", f"{error.what} - {error.hint}"),)
            unreadable.append(SourceSummary(path, "unknown", "", 0, 0, 0, None, None, warning))
    if not sources:
        errors[0].further = tuple(errors[1:])
        raise errors[0]
    return sources, unreadable


def _check(source: Source) -> None:
    """Raise SourceError for a capture that holds nothing to audit."""
    if not source.records:
        raise SourceError("the file holds no packets", where=source.path, hint="take the capture again")
    if source.understood or source.tally.frames["fragments"]:
        return
    hints = {
        "unknown-interface": "run the file through editcap: editcap IN OUT",
        "unreadable-headers": "capture with the whole packet: snap length 0 or 262144",
    }
    found = [hint for code, hint in hints.items() if any(warning.code == code for warning in source.warnings)]
    hint = (found or ["capture on an Ethernet, Wi-Fi, tunnel or 'any' interface"])[0]
    raise SourceError(f"none of its {source.records:,} frames can be read as IP or ARP", where=source.path, hint=hint)


def documented_ports(ruleset: Ruleset | None) -> frozenset[int]:
    """Return the ports of a ruleset, or of all shipped ones."""
    from auditor.ruleset import load_ruleset, shipped_rulesets  # seldom needed, and slow to load

    rulesets = [ruleset] if ruleset else [load_ruleset(name) for name in shipped_rulesets()]
    return frozenset(port for one in rulesets for row in one.requirements for port in row.ports)
