"""The flow table as pandas has it: apart, because pandas takes longer to load than many a capture takes to read."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from auditor.flow_table import TABLE, Columns


def flow_frame(columns: Columns) -> pd.DataFrame:
    """Return the columns of a flow table, named and typed as TABLE."""
    return pd.DataFrame({name: _column(columns[name], kind) for name, kind in TABLE.items()}, copy=False)


def _column(values: NDArray[Any], kind: str) -> Any:
    if kind == "Int64":
        missing = values < 0
        return pd.arrays.IntegerArray(np.where(missing, 1, values), missing)
    if kind.startswith("datetime"):
        return pd.DatetimeIndex(values.view("datetime64[ns]"), tz="UTC")
    return pd.Series(values, dtype=kind)
