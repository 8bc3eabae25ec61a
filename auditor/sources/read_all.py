"""Read all sources of an audit: those that cannot be read are reported, and do not stop the others."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from contextlib import closing
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

from auditor.errors import NotASourceError, SourceError
from auditor.sources.collection import CollectedFile, Collection
from auditor.sources.files.warnings import SourceWarning
from auditor.sources.progress import ProgressCallback, no_progress
from auditor.sources.read import EMPTY_FIREWALL_LOG, EMPTY_LOG, read
from auditor.sources.source import CAPTURE, FIREWALL_LOG, ROLLED_OVER, WITHOUT_FLOWS, Source
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

    Args:
        paths: Files, folders, and ZIP archives.
        ruleset: As of `read_collection`.
        tz: As of `read_collection`.
        progress: As of `read_collection`.

    Raises:
        SourceError: As of `read_collection`.
    """
    with Collection(paths, progress) as collection:
        return read_collection(collection, ruleset, tz=tz, progress=progress)


def read_collection(
    collection: Collection,
    ruleset: Ruleset | None = None,
    *,
    tz: str | None = None,
    progress: ProgressCallback = no_progress,
) -> tuple[list[Source], list[SourceSummary]]:
    """Read every source of a collection; return those read and those that could not be.

    A firewall log that was rolled over is read first, as a source of its own: pfirewall.log.old before pfirewall.log.

    Args:
        collection: What was named; files in it that are no sources are left out of it.
        ruleset: Whose ports come first where a source holds too many connections; all shipped ones if None.
        tz: The time zone of local times in logs.
        progress: Called with how far each source is.

    Raises:
        SourceError: When none can be read: the first, with the others as its `further`.
    """
    sources: list[Source] = []
    errors: list[SourceError] = []
    with closing(iter(collection)) as files:  # so that no archive stays open, whatever happens
        for found in files:
            if isinstance(found, SourceError):
                errors.append(found)
            else:
                sources += _of_file(collection, found, partial(_read, tz=tz, progress=progress), ruleset, errors)
    if not sources:
        errors[0].further = tuple(errors[1:])
        raise errors[0]
    return sources, list(map(_unreadable, errors))


ReadFile = Callable[[CollectedFile, "Ruleset | None"], Source]


def _of_file(
    collection: Collection,
    file: CollectedFile,
    read_file: ReadFile,
    ruleset: Ruleset | None,
    errors: list[SourceError],
) -> list[Source]:
    """Return the source that a file is, behind the older half of a log that was rolled over; none if it is none."""
    try:
        source = read_file(file, ruleset)
    except SourceError as error:
        if file.within and isinstance(error, NotASourceError):
            collection.leave_out(file)
        else:
            errors.append(error)
        return []
    older = None
    if source.kind == FIREWALL_LOG and not file.within:
        older = collection.claim(f"{file.file}{ROLLED_OVER}")
    return [*(_of_file(collection, older, read_file, None, errors) if older else ()), source]


def _read(found: CollectedFile, ruleset: Ruleset | None, *, tz: str | None, progress: ProgressCallback) -> Source:
    """Return the source that a file is; raise SourceError if it is none."""
    try:
        source = read(found.file, lambda: documented_ports(ruleset), tz=tz, advance=partial(progress, found.name))
    except SourceError as error:
        error.where = found.name
        raise
    if found.is_unpacked:
        source = replace(source, path=found.name, unpacked=found.file)
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
    hint = EMPTY_LOG if source.kind in WITHOUT_FLOWS else EMPTY_FIREWALL_LOG
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


def _unreadable(error: SourceError) -> SourceSummary:
    warning = SourceWarning("unreadable", error.text)
    return SourceSummary(error.where, "unknown", "", 0, 0, 0, None, None, (warning,))
