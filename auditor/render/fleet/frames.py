"""The report of a fleet as pandas tables: the same columns and types also when they are empty."""

from __future__ import annotations

from typing import Any

import pandas as pd

from auditor.render.fleet.tables import FLAG, NUMBER, NUMBERS, SENTENCES, TEXT, TEXTS, columns, rows
from auditor.report.fleet_model import FleetReport

KINDS = {TEXT: "str", TEXTS: "str", NUMBERS: "str", NUMBER: "int64", FLAG: "bool"}
TIME = "datetime64[ns, UTC]"
TIMES = frozenset(("first_time", "last_time"))


def hosts_frame(report: FleetReport) -> pd.DataFrame:
    """Return one row per host, those without a source among them, with a column for the result of each method.

    Lists are text, with blanks between ids and addresses and semicolons between paths and sentences.
    """
    return _frame(report, "hosts")


def requirements_frame(report: FleetReport) -> pd.DataFrame:
    """Return one row per host and requirement of which anything was seen; lists are text as in `hosts_frame`."""
    return _frame(report, "requirements")


def _frame(report: FleetReport, table: str) -> pd.DataFrame:
    """Return one of the tables of fleet_tables."""
    kinds = columns(report, table)
    values = list(zip(*rows(report, table), strict=True)) or [()] * len(kinds)
    typed_columns = zip(kinds.items(), values, strict=True)
    return pd.DataFrame({name: _column(name, kind, column) for (name, kind), column in typed_columns})


def _column(name: str, kind: str, values: tuple[Any, ...]) -> pd.Series[Any]:
    if name in TIMES:
        return pd.Series(pd.to_datetime(pd.Series(values, dtype="str"), utc=True, format="ISO8601"), dtype=TIME)
    if kind in (TEXTS, NUMBERS):
        joint = "; " if name in SENTENCES else " "
        return pd.Series([joint.join(map(str, value)) for value in values], dtype="str")
    return pd.Series(values, dtype=KINDS[kind])
