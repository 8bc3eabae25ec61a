"""Read all inputs of an audit: those that cannot be read are told of, and do not stop the others."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

from auditor.errors import SourceError
from auditor.report import SourceSummary
from auditor.sources.reading import Source, read


def read_all(paths: Iterable[str | Path]) -> tuple[list[Source], list[SourceSummary]]:
    """Read every source once; return those read and those that could not be.

    Raises the first SourceError, with the others as its `further`, when none can be read.
    """
    sources: list[Source] = []
    unreadable: list[SourceSummary] = []
    errors: list[SourceError] = []
    for path in dict.fromkeys(map(str, paths)):
        try:
            source = read(path)
            if not source.records:
                raise SourceError("the file holds no packets", where=path, hint="take the capture again")
            sources.append(source)
        except SourceError as error:
            errors.append(error)
            warning = (("unreadable", f"{error.what} - {error.hint}"),)
            unreadable.append(SourceSummary(path, "unknown", "", 0, 0, 0, None, None, warning))
    if not sources:
        errors[0].further = tuple(errors[1:])
        raise errors[0]
    return sources, unreadable
