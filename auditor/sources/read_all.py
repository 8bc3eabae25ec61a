"""Read all inputs of an audit: those that cannot be read are told of, and do not stop the others."""

from __future__ import annotations

import os
from collections.abc import Iterable
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

from auditor.errors import SourceError
from auditor.sources.files.warnings import SourceWarning
from auditor.sources.progress import ProgressCallback, no_progress
from auditor.sources.read import read
from auditor.sources.source import CAPTURE, FIREWALL_LOG, ROLLED_OVER, Source
from auditor.sources.summary import SourceSummary

if TYPE_CHECKING:
    from auditor.ruleset.ruleset import Ruleset


def read_all(
    paths: Iterable[str | Path],
    ruleset: Ruleset | None = None,
    *,
    tz: str | None = None,
    progress: ProgressCallback = no_progress,
) -> tuple[list[Source], list[SourceSummary]]:
    """Read every source once; return those read and those that could not be.

    A firewall log that was rolled over is read first, as a source of its own: pfirewall.log.old before pfirewall.log.

    Args:
        paths: Files.
        ruleset: Whose ports come first where a source holds too many connections; all shipped ones if None.
        tz: The time zone of local times in logs.
        progress: Told how far each source is.

    Raises:
        SourceError: When none can be read: the first, with the others as its `further`.
    """
    sources: list[Source] = []
    unreadable: list[SourceSummary] = []
    errors: list[SourceError] = []
    named = list(dict.fromkeys(map(str, paths)))
    waiting = named[::-1]
    while waiting:
        path = waiting.pop()
        try:
            source = _read(path, ruleset, tz, progress)
            older = path + ROLLED_OVER
            named_paths = {os.path.realpath(name) for name in named}
            if source.kind == FIREWALL_LOG and os.path.realpath(older) not in named_paths and Path(older).is_file():
                named.append(older)
                sources += _older(older, tz, progress, unreadable)
            sources.append(source)
        except SourceError as error:
            errors.append(error)
            unreadable.append(_unreadable(path, error))
    if not sources:
        errors[0].further = tuple(errors[1:])
        raise errors[0]
    return sources, unreadable


def _read(path: str, ruleset: Ruleset | None, tz: str | None, progress: ProgressCallback) -> Source:
    source = read(path, lambda: documented_ports(ruleset), tz=tz, advance=partial(progress, path))
    check(source)
    return source


def check(source: Source) -> None:
    """Raise SourceError for a source that holds nothing to audit."""
    (_check_capture if source.kind == CAPTURE else _check_log)(source)


def _check_log(source: Source) -> None:
    """Raise SourceError for a log that holds nothing to audit."""
    if source.records:
        return
    if source.skipped:
        raise SourceError(source.warnings[0].text, where=source.path, hint="Copy the log again, unchanged.")
    hint = "Turn on logging of dropped packets and successful connections, then run the installation again."
    raise SourceError("the log contains no entries", where=source.path, hint=hint)


def _check_capture(source: Source) -> None:
    """Raise SourceError for a capture that holds nothing to audit."""
    if not source.records:
        raise SourceError("the file contains no packets", where=source.path, hint="Take the capture again.")
    if source.understood or source.tally.frames["fragments"]:
        return
    hints = {
        "unknown-interface": "Convert the file: editcap IN OUT",
        "tunnel": "Capture where the traffic is neither encrypted nor in a tunnel.",
        "unreadable-headers": "Capture whole packets: set the snap length to 0 or 262144.",
    }
    matching = [hint for code, hint in hints.items() if any(warning.code == code for warning in source.warnings)]
    hint = (matching or ["Capture on an Ethernet, Wi-Fi, tunnel, or 'any' interface."])[0]
    raise SourceError(f"none of its {source.records:,} frames can be read as IP or ARP", where=source.path, hint=hint)


def documented_ports(ruleset: Ruleset | None) -> frozenset[int]:
    """Return the ports of a ruleset, or of all shipped ones."""
    from auditor.ruleset.ruleset import load_ruleset, shipped_rulesets  # seldom needed, and slow to load

    rulesets = [ruleset] if ruleset else [load_ruleset(name) for name in shipped_rulesets()]
    return frozenset(port for ruleset in rulesets for row in ruleset.requirements for port in row.ports)


def _older(path: str, tz: str | None, progress: ProgressCallback, unreadable: list[SourceSummary]) -> list[Source]:
    """Return the older half of a log that was rolled over, if it can be read; else say why not."""
    try:
        return [_read(path, None, tz, progress)]
    except SourceError as error:
        unreadable.append(_unreadable(path, error))
        return []


def _unreadable(path: str, error: SourceError) -> SourceSummary:
    warning = SourceWarning("unreadable", error.text)
    return SourceSummary(path, "unknown", "", 0, 0, 0, None, None, (warning,))
