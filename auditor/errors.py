"""What can go wrong for the administrator, said in one line: what, where, and what to do next."""

from __future__ import annotations


class AuditorError(Exception):
    """An error that is meant to be read by a person, never shown as a traceback.

    what: what went wrong; where: the file, option or row it happened in; hint: the next step.
    """

    exit_code = 1

    def __init__(self, what: str, *, where: str = "", hint: str = "") -> None:
        super().__init__(what, where, hint)
        self.what = what
        self.where = where
        self.hint = hint

    def __str__(self) -> str:
        place = f"{self.where}: " if self.where else ""
        between = "\n  " if "\n" in self.what else " - "
        return f"{place}{self.what}" + (f"{between}{self.hint}" if self.hint else "")


class SourceError(AuditorError):
    """A source that cannot be audited at all: missing, unreadable, or of another format.

    further: the same of the other sources, where none of several can be audited.
    """

    further: tuple[SourceError, ...] = ()


class NotASourceError(SourceError):
    """A file that is no source by its content: an error if it was named, and left out of a folder or an archive."""


class ReportError(AuditorError):
    """A saved report that cannot be used: missing, cut short, no report, or changed so that it makes no sense."""


class RulesetError(AuditorError):
    """A ruleset, or a port given for it, that cannot be used."""

    exit_code = 2


class ArgumentError(AuditorError):
    """An argument that cannot be understood, such as a role without an address."""

    exit_code = 2


class OutputError(AuditorError):
    """An output that cannot be written, or that exists already."""

    exit_code = 2


class MissingPackageError(AuditorError):
    """Something that needs a package or program that is not installed here; the hint says which."""
