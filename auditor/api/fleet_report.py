"""What Python users hold of a fleet: a report that writes and shows itself."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any, Self

from auditor.report import fleet_load, fleet_model
from auditor.report.records import recast

if TYPE_CHECKING:
    import pandas as pd


class FleetReport(fleet_model.FleetReport):
    """The report of a fleet, with every form of it. The fields are those of `report.fleet_model.FleetReport`."""

    @classmethod
    def of(cls, data: fleet_model.FleetReport) -> Self:
        """Return a report with these data."""
        return recast(cls, data)

    @classmethod
    def from_dict(cls, document: Any, where: str = "report") -> Self:
        """Return the report that `to_dict` gave this document of.

        Args:
            document: The dictionary, or what fleet.json was parsed to.
            where: What the document is called in an error.

        Returns:
            The report, equal to the one that was saved.

        Raises:
            ReportError: It is no report of a fleet, or not as the published JSON Schema says.
        """
        return cls.of(fleet_load.fleet_from_dict(document, where))

    def to_dict(self) -> dict[str, Any]:
        """Return the document as plain dictionaries and lists, as its published JSON Schema describes it."""
        from auditor.report.fleet_as_json import fleet_as_dict

        return fleet_as_dict(self)

    def to_text(self, *, width: int = 100) -> str:
        """Return the report for a terminal, without colors: the answer, then the worst few of every list.

        Args:
            width: Characters in a line.

        Returns:
            The text, which ends with a line break.
        """
        from auditor.render.fleet.text import render_fleet_text

        return render_fleet_text(self, width=width)

    def to_html(self) -> str:
        """Return the report as one HTML page that loads nothing, with every host to filter and open."""
        from auditor.render.fleet.html import render_fleet_html

        return render_fleet_html(self)

    def _repr_html_(self) -> str:
        """Show the answer in a notebook."""
        from auditor.render.fleet.html import render_fleet_part

        return render_fleet_part(self)

    def frame(self) -> pd.DataFrame:
        """Return one row for each host, also those without a source: its result for every method, and why.

        Returns:
            The columns are those of hosts.csv (docs/fleet.md), also without rows.
        """
        from auditor.render.fleet.frames import hosts_frame

        return hosts_frame(self)

    def requirements_frame(self) -> pd.DataFrame:
        """Return one row for each host and requirement of which anything was seen.

        Returns:
            The columns are those of requirements.csv (docs/fleet.md), also without rows.
        """
        from auditor.render.fleet.frames import requirements_frame

        return requirements_frame(self)

    def __str__(self) -> str:
        return self.to_text()

    __repr__ = __str__  # shows itself in a shell


def load_fleet(path: str | Path) -> FleetReport:
    """Return the report of a fleet that was saved in a file.

    Args:
        path: The file, such as fleet.json of the folder that `batch` wrote; "-" is standard input.

    Returns:
        The report, equal to the one that was saved.

    Raises:
        ReportError: There is no such file, or it holds no report of a fleet, one of another version, one that is cut
            short, or one that was changed by hand so that it no longer makes sense.
    """
    return FleetReport.of(fleet_load.load_fleet(path))
