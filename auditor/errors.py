"""Errors that a person reads, in one line: where, what, and the next step."""

from __future__ import annotations


class AuditorError(Exception):
    """An error that is meant to be read by a person, never shown as a traceback.

    Attributes:
        what: What went wrong, in lower case and without a period: it follows the place.
        where: The file, option or row it happened in.
        hint: The next step, as sentences.
    """

    exit_code = 1

    def __init__(self, what: str, *, where: str = "", hint: str = "") -> None:
        super().__init__(what, where, hint)
        self.what = what
        self.where = where
        self.hint = hint

    @property
    def text(self) -> str:
        """What went wrong and the next step, without the place."""
        between = "\n  " if "\n" in self.what else " "
        return ended(self.what) + (f"{between}{self.hint}" if self.hint else "")

    def __str__(self) -> str:
        return f"{self.where}: {self.text}" if self.where else self.text


def ended(text: str) -> str:
    """Return a text with the period that ends its last sentence."""
    return text if text.endswith((".", "?", "!", "?)")) else f"{text}."


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


class UnknownCodeError(AuditorError):
    """A number that is no known code of a log; the hint says where to look it up."""


class OutputError(AuditorError):
    """An output that cannot be written, or that exists already."""

    exit_code = 2


class MissingPackageError(AuditorError):
    """Something that needs a package or program that is not installed here; the hint says which."""
