"""Read all inputs of an audit: those that cannot be read are told of, and do not stop the others."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

from auditor.errors import SourceError
from auditor.report import SourceSummary
from auditor.sources.reading import Source, read

ROLLED_OVER = ".old"  # what Windows adds to the name of a log that has grown to its limit


def read_all(paths: Iterable[str | Path], *, tz: str | None = None) -> tuple[list[Source], list[SourceSummary]]:
    """Read every source once; return those read and those that could not be.

    A firewall log that was rolled over is read first, as a source of its own: pfirewall.log.old before pfirewall.log.
    tz: the time zone of local times in logs. Raises the first SourceError when none can be read.
    """
    sources: list[Source] = []
    unreadable: list[SourceSummary] = []
    errors: list[SourceError] = []
    named = list(dict.fromkeys(map(str, paths)))
    waiting = named[::-1]
    while waiting:
        path = waiting.pop()
        try:
            source = _read(path, tz)
            older = path + ROLLED_OVER
            if source.kind == "firewall-log" and older not in named and Path(older).is_file():
                named.append(older)
                sources += _older(older, tz, unreadable)
            sources.append(source)
        except SourceError as error:
            errors.append(error)
            unreadable.append(_unreadable(path, error))
    if not sources:
        raise errors[0]
    return sources, unreadable


def _read(path: str, tz: str | None) -> Source:
    source = read(path, tz=tz)
    if source.records:
        return source
    if source.skipped and source.kind == "firewall-log":
        raise SourceError(source.warnings[0].text, where=path, hint="copy the log again, unchanged")
    if source.kind == "firewall-log":
        hint = "switch the logging of dropped and of allowed connections on, and try the installation again"
        raise SourceError("the log holds no rows", where=path, hint=hint)
    raise SourceError("the file holds no packets", where=path, hint="take the capture again")


def _older(path: str, tz: str | None, unreadable: list[SourceSummary]) -> list[Source]:
    """Return the older half of a log that was rolled over, if it can be read; else say why not."""
    try:
        return [_read(path, tz)]
    except SourceError as error:
        unreadable.append(_unreadable(path, error))
        return []


def _unreadable(path: str, error: SourceError) -> SourceSummary:
    warning = (("unreadable", f"{error.what} - {error.hint}"),)
    return SourceSummary(path, "unknown", "", 0, 0, 0, None, None, warning)
