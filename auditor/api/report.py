"""What Python users hold: reports that write, draw, and show themselves."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any, Self

from auditor.report import compare as comparison
from auditor.report import load, model
from auditor.report import redact as redaction
from auditor.report.records import recast

if TYPE_CHECKING:
    import altair
    import pandas as pd


class Report(model.Report):
    """The report of one audit, with every form of it. The fields are those of `auditor.report.model.Report`."""

    @classmethod
    def of(cls, data: model.Report) -> Self:
        """Return a report with these data."""
        return recast(cls, data)

    @classmethod
    def from_dict(cls, document: Any, where: str = "report") -> Self:
        """Return the report that `to_dict` gave this document of.

        Args:
            document: The dictionary, or what the JSON text of a report was parsed to.
            where: What the document is called in an error.

        Returns:
            The report, equal to the one that was saved, but without flow table.

        Raises:
            ReportError: It is no report, or not as the published JSON Schema says.
        """
        return cls.of(load.from_dict(document, where))

    @property
    def flows(self) -> pd.DataFrame | None:
        """The flow table of all sources, None if the report was saved or redacted."""
        return self.all_flows.frame if self.all_flows else None

    def to_dict(self) -> dict[str, Any]:
        """Return the document as plain dictionaries and lists, as its published JSON Schema describes it."""
        from auditor.report.as_json import as_dict

        return as_dict(self)

    def to_json(self) -> str:
        """Return the document as JSON text that ends with a line break."""
        from auditor.report.as_json import render_json

        return render_json(self)

    def to_text(self, *, width: int = 100) -> str:
        """Return the report for a terminal, without colours.

        Args:
            width: Characters in a line.

        Returns:
            The text, which ends with a line break.
        """
        from auditor.render.text import render_text

        return render_text(self, width=width)

    def to_html(self) -> str:
        """Return the report as one HTML page that loads nothing: for the network team, a ticket, a printer."""
        from auditor.render.html.report import render_html

        return render_html(self)

    def _repr_html_(self) -> str:
        """Show the answer in a notebook."""
        from auditor.render.html.report import render_part

        return render_part(self)

    def assert_works(self, method: str = "client-push", client: str | None = None) -> None:
        """Raise AssertionError unless a method works: the message says for whom, what failed, why, and what to do.

        For tests of a network, with pytest or anything else. A result "unproven" does not pass: the message says what
        was not seen.

        Args:
            method: Id of the method.
            client: Address of the client; all clients if None.

        Raises:
            AssertionError: The method does not work for a client.
            ArgumentError: There is no such method or client.
        """
        from auditor.render.assertion import failures

        __tracebackhide__ = True  # pytest shows the line of the test
        if failure := failures(self, method, client):
            raise AssertionError(failure)

    def frame(self) -> pd.DataFrame:
        """Return one row for each client, method, and requirement.

        Returns:
            The columns are those of `auditor.render.tables.frames.FRAME_COLUMNS`, also without rows.
        """
        from auditor.render.tables.frames import requirements_frame

        return requirements_frame(self)

    def evidence_frame(self) -> pd.DataFrame:
        """Return one row for each frame or line of evidence.

        Returns:
            The columns are those of `auditor.render.tables.frames.EVIDENCE_COLUMNS`, also without rows.
        """
        from auditor.render.tables.frames import evidence_frame

        return evidence_frame(self)

    def timeline(self, method: str | None = None, client: str | None = None) -> altair.LayerChart:
        """Return an Altair chart: when each requirement of a method was tried, colored by its verdict.

        Args:
            method: Id of the method, such as "client-push"; the one of which most was tried if None.
            client: Address of the client; all clients if None.

        Returns:
            The chart, which needs no network. Times are UTC.

        Raises:
            ArgumentError: Nothing was tried, or there is no such method or client.
            MissingPackageError: Altair is not installed.
        """
        from auditor.api.charts import timeline

        return timeline(self, method, client)

    def ladder(self, requirement: str | None = None, client: str | None = None) -> altair.LayerChart:
        """Return an Altair chart of what proves a verdict: who sent what to whom, and that nothing came back.

        The packets are read from the sources again.

        Args:
            requirement: Id of the requirement, such as "client-push/smb"; the first that was stopped if None.
            client: Address of the client, needed if the report is about several.

        Returns:
            The chart, which needs no network. Times are UTC.

        Raises:
            ArgumentError: There is no such requirement or client, or nothing to show.
            MissingPackageError: Altair is not installed.
            SourceError: A source is not there any more, or has changed.
        """
        from auditor.api.charts import ladder

        return ladder(self, requirement, client)

    def packets(self, requirement: str, client: str | None = None) -> list[Any]:
        """Return the packets that prove a verdict as pyshark has them: every field that Wireshark knows.

        It works in a notebook as well.

        Args:
            requirement: Id of the requirement, such as "client-push/smb".
            client: Address of the client, needed if the report is about several.

        Returns:
            Packets of pyshark; `number` of a packet is its frame number in the capture.

        Raises:
            ArgumentError: There is no such requirement or client.
            MissingPackageError: tshark is not installed.
            SourceError: A capture is not there any more.
        """
        from auditor.api.evidence_records import dissected

        return dissected(self, self.client(client).requirement(requirement))

    def __str__(self) -> str:
        return self.to_text()

    __repr__ = __str__  # shows itself in a shell


class Comparison(comparison.Comparison):
    """What differs in the later of two reports. The fields are those of `auditor.report.compare.Comparison`."""

    def frame(self) -> pd.DataFrame:
        """Return one row per change (columns: CHANGE_COLUMNS of auditor.render.tables.frames)."""
        from auditor.render.tables.frames import changes_frame

        return changes_frame(self)


def load_report(path: str | Path) -> Report:
    """Return the report that was saved in a file.

    Args:
        path: The file; "-" is standard input.

    Returns:
        The report, equal to the one that was saved, but without flow table.

    Raises:
        ReportError: There is no such file, or it holds no report, one of another version, one that is cut short, or
            one that was changed by hand so that it no longer makes sense.
    """
    return Report.of(load.load_report(path))


def redact(report: model.Report) -> Report:
    """Return the report with pseudonyms for all addresses, host names, accounts, and paths.

    Args:
        report: The report of one audit.

    Returns:
        The same report with pseudonyms, without flow table.

    Raises:
        ArgumentError: It is the report of a fleet.
    """
    return Report.of(redaction.redact(report))


def compare(before: model.Report, after: model.Report, *, redacted_together: bool = False) -> Comparison:
    """Return what is different in the later of two reports.

    Kinds of changes: fixed (was stopped, is open), broken (was open, is stopped), still-broken, no-longer-observed (was
    seen, is not in these sources), new (was not seen, is now). Stopped is what is blocked, refused, unreachable or
    unanswered, and what is open but failed for a problem that ends the installation.

    Args:
        before: The earlier report.
        after: The later report.
        redacted_together: Whether both come from one call of `redact_all`, so that a pseudonym means the same in both.

    Raises:
        ReportError: They have no client in common.
        ArgumentError: One is the report of a fleet.
    """
    compared = comparison.compare(before, after, redacted_together=redacted_together)
    return recast(Comparison, compared)
