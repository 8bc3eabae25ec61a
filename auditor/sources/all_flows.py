"""The flows of several sources in one table, of captures and logs alike."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING

from auditor.sources.flows.columns import TABLE
from auditor.sources.source import Source

if TYPE_CHECKING:
    import pandas as pd

    from auditor.sources.flows.table import FlowTable

TIMES = ("start", "end")
TIME_FORMAT = "%Y-%m-%dT%H:%M:%S.%f"


class AllFlows:
    """The flow tables of several sources, put together when the one table is first asked for.

    Only the tables, or what they were put together to, are held: many flows do not fit into memory twice.
    """

    def __init__(self, sources: Iterable[Source]) -> None:
        self._held: pd.DataFrame | list[tuple[FlowTable, str]] = [(source.table, source.clock) for source in sources]

    @property
    def frame(self) -> pd.DataFrame:
        """One table of all flows.

        Beside logs, captures have the columns of logs too, without values. If some times are local and their zone is
        unknown, all times are text: those that are UTC end with Z.
        """
        if isinstance(self._held, list):
            clocks = {clock for _, clock in self._held}
            self._held = _joined([table.frame for table, _ in self._held], mixed_clocks=len(clocks) > 1)
        return self._held


def _joined(tables: list[pd.DataFrame], *, mixed_clocks: bool) -> pd.DataFrame:
    if len(tables) == 1:
        return tables[0]
    import pandas as pd

    more = {name: str(kind) for table in tables for name, kind in table.dtypes.items() if name not in TABLE}
    if more:
        kinds = {name: kind.replace("int64", "Int64") for name, kind in more.items()}
        tables = [table.reindex(columns=[*TABLE, *kinds]).astype(kinds) for table in tables]
    if mixed_clocks:
        tables = [with_texts_for_times(table) for table in tables]
    return pd.concat(tables, ignore_index=True)


def with_texts_for_times(table: pd.DataFrame) -> pd.DataFrame:
    """Return a flow table whose times are text, with a Z behind those that are UTC."""
    return table.assign(**{name: table[name].dt.strftime(time_format(table[name])).astype("str") for name in TIMES})


def time_format(times: pd.Series) -> str:
    """Return how times are written: with a Z if they are UTC."""
    return TIME_FORMAT if times.dt.tz is None else f"{TIME_FORMAT}Z"
