"""The flow table as pandas has it: apart, because pandas takes longer to load than many a capture takes to read."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from auditor.flow_table import MISSING, Columns


def flow_frame(columns: Columns, kinds: Mapping[str, str]) -> pd.DataFrame:
    """Return the columns of a flow table. kinds: their types. They are used up, to need no memory twice."""
    return pd.DataFrame({name: _column(columns.pop(name), kind) for name, kind in kinds.items()}, copy=False)


class FrameColumns(Mapping[str, NDArray[Any]]):
    """The columns of a flow table that pandas holds, each made when it is first asked for."""

    def __init__(self, frame: pd.DataFrame) -> None:
        self._frame = frame
        self._made: Columns = {}

    def __getitem__(self, name: str) -> NDArray[Any]:
        if name not in self._made:
            self._made[name] = _values(self._frame[name], str(self._frame.dtypes[name]))
        return self._made[name]

    def __iter__(self) -> Iterator[str]:
        return iter(self._frame.columns)

    def __len__(self) -> int:
        return len(self._frame.columns)


def _column(values: NDArray[Any], kind: str) -> Any:
    if kind == "Int64":
        return nullable(values, values < 0)
    if kind.startswith("datetime"):
        return pd.DatetimeIndex(values.view("datetime64[ns]"), tz="UTC" if "UTC" in kind else None)
    return pd.Series(values, dtype=kind)


def nullable(values: NDArray[np.int64], missing: NDArray[np.bool_]) -> pd.arrays.IntegerArray:
    """Return integers of which some are missing."""
    return pd.arrays.IntegerArray(np.where(missing, 1, values), missing.copy())


def _values(column: pd.Series, kind: str) -> NDArray[Any]:
    if kind.lower().startswith("int"):
        return column.to_numpy("int64", na_value=MISSING)
    if kind.startswith("datetime"):
        return column.to_numpy("datetime64[ns]").view(np.int64)
    if kind == "int64":
        return column.to_numpy()
    codes, texts = column.factorize(use_na_sentinel=False)  # so that each text is but once in memory
    shared: NDArray[Any] = np.asarray(texts, object)[codes]
    return shared
