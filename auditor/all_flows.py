"""The flows of several sources in one table, of captures and logs alike."""

from __future__ import annotations

from collections.abc import Sequence

import pandas as pd

from auditor.flow_table import TABLE
from auditor.sources.source import Source

TIMES = ("start", "end")
TIME_FORMAT = "%Y-%m-%dT%H:%M:%S.%f"


def flow_table(sources: Sequence[Source]) -> pd.DataFrame:
    """Return the flows of several sources in one table.

    Beside logs, captures have the columns of logs too, without values. Where some times are local and nobody said of
    which zone, all times are text: those that are UTC end with Z.
    """
    if len(sources) == 1:
        return sources[0].flows
    tables = [source.flows for source in sources]
    more = {name: str(kind) for table in tables for name, kind in table.dtypes.items() if name not in TABLE}
    if more:
        kinds = {name: kind.replace("int64", "Int64") for name, kind in more.items()}
        tables = [table.reindex(columns=[*TABLE, *kinds]).astype(kinds) for table in tables]
    if len({source.clock for source in sources}) > 1:
        tables = [with_texts_for_times(table) for table in tables]
    return pd.concat(tables, ignore_index=True)


def with_texts_for_times(table: pd.DataFrame) -> pd.DataFrame:
    """Return a flow table whose times are text, with a Z behind those that are UTC."""
    return table.assign(**{name: table[name].dt.strftime(time_format(table[name])).astype("str") for name in TIMES})


def time_format(times: pd.Series) -> str:
    """Return how times are written: with a Z if they are UTC."""
    return TIME_FORMAT if times.dt.tz is None else f"{TIME_FORMAT}Z"
