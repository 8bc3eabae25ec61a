"""The flow table as pandas has it: apart, because pandas takes longer to load than many a capture takes to read."""

from __future__ import annotations

from collections.abc import Mapping
from functools import partial
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from auditor.sources.flows.columns import MISSING, Columns, LazyColumns


def flow_frame(columns: Columns | LazyColumns, kinds: Mapping[str, str]) -> pd.DataFrame:
    """Return the columns of a flow table as pandas has them.

    Args:
        columns: As NumPy has them.
        kinds: Their types.
    """
    column = columns.made if isinstance(columns, LazyColumns) else columns.__getitem__
    return pd.DataFrame({name: _column(column(name), kind) for name, kind in kinds.items()}, copy=False)


def frame_columns(frame: pd.DataFrame) -> LazyColumns:
    """Return the columns of a flow table that pandas holds as NumPy has them."""
    return LazyColumns({name: partial(_values, frame, name) for name in frame.columns})


def _column(values: NDArray[Any], kind: str) -> Any:
    if kind == "Int64":
        return nullable(values, values < 0)
    if kind.startswith("datetime"):
        return pd.DatetimeIndex(values.view("datetime64[ns]"), tz="UTC" if "UTC" in kind else None)
    return pd.Series(values, dtype=kind)


def nullable(values: NDArray[np.int64], missing: NDArray[np.bool_]) -> pd.arrays.IntegerArray:
    """Return integers of which some are missing."""
    return pd.arrays.IntegerArray(np.where(missing, 1, values), missing.copy())


def _values(frame: pd.DataFrame, name: str) -> NDArray[Any]:
    column, kind = frame[name], str(frame.dtypes[name])
    if kind.lower().startswith("int"):
        return column.to_numpy("int64", na_value=MISSING)
    if kind.startswith("datetime"):
        return column.to_numpy("datetime64[ns]").view(np.int64)
    if kind == "int64":
        return column.to_numpy()
    codes, texts = column.factorize(use_na_sentinel=False)  # so that each text is but once in memory
    shared: NDArray[Any] = np.asarray(texts, object)[codes]
    return shared
