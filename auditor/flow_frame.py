"""The flow table as pandas has it: apart, because pandas takes longer to load than many a capture takes to read."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from auditor.flow_table import MISSING, TABLE, Columns


def flow_frame(columns: Columns) -> pd.DataFrame:
    """Return the columns of a flow table, named and typed as TABLE; they are used up, to need no memory twice."""
    return pd.DataFrame({name: _column(columns.pop(name), kind) for name, kind in TABLE.items()}, copy=False)


def flow_columns(frame: pd.DataFrame) -> Columns:
    """Return the columns that a flow table was made of."""
    return {name: _values(frame[name], kind) for name, kind in TABLE.items()}


def _column(values: NDArray[Any], kind: str) -> Any:
    if kind == "Int64":
        return nullable(values, values < 0)
    if kind.startswith("datetime"):
        return pd.DatetimeIndex(values.view("datetime64[ns]"), tz="UTC")
    return pd.Series(values, dtype=kind)


def nullable(values: NDArray[np.int64], missing: NDArray[np.bool_]) -> pd.arrays.IntegerArray:
    """Return integers of which some are missing."""
    return pd.arrays.IntegerArray(np.where(missing, 1, values), missing.copy())


def _values(column: pd.Series, kind: str) -> NDArray[Any]:
    if kind == "Int64":
        return column.to_numpy("int64", na_value=MISSING)
    if kind.startswith("datetime"):
        return column.to_numpy("datetime64[ns]").view(np.int64)
    return column.to_numpy(object if kind == "str" else kind)
