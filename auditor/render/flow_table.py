"""The flow table as text, CSV, JSON Lines or Parquet."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from typing import Any, BinaryIO

import numpy as np
import pandas as pd

from auditor.errors import ArgumentError
from auditor.render.clean import clean, no_formula
from auditor.sources.reading import Source

FORMATS = ("text", "csv", "jsonl", "parquet")
BLOCK = 20_000


def flow_table(sources: Sequence[Source]) -> pd.DataFrame:
    """Return the flows of several sources in one table."""
    return pd.concat([source.flows for source in sources], ignore_index=True) if len(sources) > 1 else sources[0].flows


def write(table: pd.DataFrame, out: BinaryIO, form: str) -> None:
    """Write a flow table in one of FORMATS."""
    {"text": _text, "csv": _csv, "jsonl": _jsonl, "parquet": _parquet}[form](table, out)


def _text(table: pd.DataFrame, out: BinaryIO) -> None:
    several = table["source"].nunique() > 1
    width = _width(table)
    row, ping = _forms(width)
    head = ("frame", "stream", "start (UTC)", "proto", "from", "", "to", "", "state", "frames", "answer")
    out.write((row.replace(":", " ") % head).replace(">", " ").encode())
    for path, part in table.groupby("source", sort=False) if several else [("", table)]:
        if several:
            out.write(f"-- {clean(str(path))}\n".encode())
        for block in _blocks(part):
            icmp = (block["protocol"] == "icmp").tolist()
            cells = zip(icmp, zip(*_cells(block), strict=True), strict=True)
            out.write("".join((ping if is_icmp else row) % one for is_icmp, one in cells).encode())


def _width(table: pd.DataFrame) -> int:
    """Return how wide an address gets."""
    addresses = pd.concat([table["src_ip"], table["dst_ip"]]).unique()
    return max(map(len, addresses), default=0) or len("from")


def _forms(width: int) -> tuple[str, str]:
    """Return how a row is written, and how one without ports is."""
    ends = f"%{width}s:%-5s > %{width}s:%-5s"
    row = f"%9s  %6s  %-26s  %-5s  {ends}  %-6s  %11s  %s\n"
    return row, row.replace("s:%-5s", "s %-5s")


def _cells(block: pd.DataFrame) -> list[list[Any]]:
    """Return the columns of the text form, one value a flow; one operation a row is what makes it fast."""
    starts = np.datetime_as_string(block["start"].to_numpy("datetime64[us]"), unit="us")
    frames = zip(block["frames_src"].tolist(), block["frames_dst"].tolist(), strict=True)
    told = block["answer"].to_numpy(object)
    errors = block["icmp_error"].to_numpy(object)
    quoted = errors != ""
    told[quoted] = told[quoted] + " (ICMP " + errors[quoted] + ")"
    first = block["first_frame"].to_numpy(object)
    if "action" in block:
        logged = block["action"].notna().to_numpy()
        told[logged] = (block["action"] + " " + block["direction"]).to_numpy(object)[logged]
        first[logged] = block["first_line"].to_numpy(object)[logged]
    return [
        first.tolist(),
        _numbers(block["stream"]),
        [start.replace("T", " ") for start in starts.tolist()],
        block["protocol"].tolist(),
        block["src_ip"].tolist(),
        _numbers(block["src_port"]),
        block["dst_ip"].tolist(),
        _numbers(block["dst_port"]),
        block["conn_state"].tolist(),
        [f"{sent}/{received}" for sent, received in frames],
        told.tolist(),
    ]


def _numbers(column: pd.Series) -> list[Any]:
    return ["" if number < 0 else number for number in column.to_numpy("int64", na_value=-1).tolist()]


def _blocks(table: pd.DataFrame) -> Iterator[pd.DataFrame]:
    for begin in range(0, len(table), BLOCK):
        yield table.iloc[begin : begin + BLOCK]


def _csv(table: pd.DataFrame, out: BinaryIO) -> None:
    hostile = [name for name in ("source", "computer", "application", "filter_origin") if name in table]
    safe = table.assign(**{name: list(map(_no_formula, table[name].tolist())) for name in hostile})
    safe.to_csv(out, index=False, lineterminator="\r\n", date_format="%Y-%m-%dT%H:%M:%S.%fZ")


def _no_formula(text: Any) -> Any:
    return no_formula(text) if isinstance(text, str) else text  # what captures do not have is missing


def _jsonl(table: pd.DataFrame, out: BinaryIO) -> None:
    for block in _blocks(table):
        times = {name: block[name].dt.strftime("%Y-%m-%dT%H:%M:%S.%fZ") for name in ("start", "end")}
        rows = block.assign(**times).astype(object)
        rows = rows.where(rows.notna(), None)
        out.writelines((json.dumps(row, ensure_ascii=False) + "\n").encode() for row in rows.to_dict("records"))


def _parquet(table: pd.DataFrame, out: BinaryIO) -> None:
    try:
        table.to_parquet(out, index=False)
    except ImportError:
        hint = "install it with: pipx inject auditor pyarrow (or pip install pyarrow)"
        raise ArgumentError("Parquet needs the package pyarrow", where="--format parquet", hint=hint) from None
