"""The flow table of logs, also beside captures, as text, CSV, JSON Lines or Parquet."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any, BinaryIO

import numpy as np
import pandas as pd

from auditor.errors import ArgumentError
from auditor.render.clean import clean, clean_cell, needs_escapes
from auditor.sources.all_flows import TIME_FORMAT, time_format, with_texts_for_times

FORMATS = ("text", "csv", "jsonl", "parquet")
BLOCK = 20_000
HEAD = ("frame", "stream", "start (UTC)", "proto", "from", "", "to", "", "state", "frames", "response")


def write(table: pd.DataFrame, out: BinaryIO, form: str) -> None:
    """Write a flow table in one of FORMATS."""
    {"text": _text, "csv": _csv, "jsonl": _jsonl, "parquet": _parquet}[form](table, out)


def _text(table: pd.DataFrame, out: BinaryIO) -> None:
    several = table["source"].nunique() > 1
    width = _width(table)
    shown = ""
    for path, part in table.groupby("source", sort=False) if several else [("", table)]:
        of_log = "action" in part and bool(part["action"].notna().all())
        row, ping = _forms(width, LOG_TAIL if of_log else FLOW_TAIL)
        head = (row.replace(":", " ") % (_log_head(part) if of_log else HEAD)).replace(">", " ")
        out.write((head if head != shown else "").encode())
        shown = head
        if several:
            out.write(f"-- {clean(str(path))}\n".encode())
        for block in _blocks(part):
            icmp = (block["protocol"] == "icmp").tolist()
            cells = zip(icmp, zip(*(_log_cells if of_log else _cells)(block), strict=True), strict=True)
            out.write("".join((ping if is_icmp else row) % values for is_icmp, values in cells).encode())


def _width(table: pd.DataFrame) -> int:
    """Return how wide an address gets."""
    addresses = pd.concat([table["src_ip"], table["dst_ip"]]).unique()
    return max(map(len, addresses), default=0) or len("from")


FLOW_TAIL, LOG_TAIL = "%-6s  %11s  %s", "%-12s  %-9s  %s"


def _forms(width: int, tail: str) -> tuple[str, str]:
    """Return how a row is written, and how one without ports is."""
    ends = f"%{width}s:%-5s > %{width}s:%-5s"
    row = f"%9s  %6s  %-26s  %-5s  {ends}  {tail}\n"
    return row, row.replace("s:%-5s", "s %-5s")


def _log_head(table: pd.DataFrame) -> tuple[str, ...]:
    zone = "UTC" if str(table["start"].dtype).endswith("UTC]") or _texts_in_utc(table) else "local"
    return ("line", "rows", f"start ({zone})", "proto", "from", "", "to", "", "action", "direction", "process")


def _texts_in_utc(table: pd.DataFrame) -> bool:
    return not len(table) or str(table["start"].iat[0]).endswith("Z")


def _log_cells(block: pd.DataFrame) -> list[list[Any]]:
    return [
        block["first_line"].tolist(),
        block["rows"].tolist(),
        *_attempt(block),
        block["action"].tolist(),
        block["direction"].tolist(),
        _numbers(block["process_id"]),
    ]


def _attempt(block: pd.DataFrame) -> list[list[Any]]:
    return [
        _starts(block),
        block["protocol"].tolist(),
        block["src_ip"].tolist(),
        _numbers(block["src_port"]),
        block["dst_ip"].tolist(),
        _numbers(block["dst_port"]),
    ]


def _starts(block: pd.DataFrame) -> list[str]:
    """Return when each flow began, to the microsecond."""
    if block["start"].dtype == "str":
        return [start.replace("T", " ").removesuffix("Z") for start in block["start"].tolist()]
    starts = np.datetime_as_string(block["start"].to_numpy("datetime64[us]"), unit="us")
    return [start.replace("T", " ") for start in starts.tolist()]


def _cells(block: pd.DataFrame) -> list[list[Any]]:
    """Return the columns of the text form, one value a flow; one operation a row is what makes it fast."""
    frames = zip(block["frames_src"].tolist(), block["frames_dst"].tolist(), strict=True)
    responses = block["response"].to_numpy(object)
    errors = block["icmp_error"].to_numpy(object)
    quoted = errors != ""
    responses[quoted] = responses[quoted] + " (ICMP " + errors[quoted] + ")"
    return [
        block["first_frame"].tolist(),
        _numbers(block["stream"]),
        *_attempt(block),
        block["conn_state"].tolist(),
        [f"{sent}/{received}" for sent, received in frames],
        responses.tolist(),
    ]


def _numbers(column: pd.Series) -> list[Any]:
    return ["" if number < 0 else number for number in column.to_numpy("int64", na_value=-1).tolist()]


def _blocks(table: pd.DataFrame) -> Iterator[pd.DataFrame]:
    for begin in range(0, len(table), BLOCK):
        yield table.iloc[begin : begin + BLOCK]


def _csv(table: pd.DataFrame, out: BinaryIO) -> None:
    texts = [name for name in ("source", "computer", "application", "filter_origin") if name in table]
    safe = table.assign(
        **{name: table[name].map({text: clean_cell(text) for text in _texts(table[name])}) for name in texts}
    )
    form = TIME_FORMAT if table["start"].dtype == "str" else time_format(table["start"])
    safe.to_csv(out, index=False, lineterminator="\r\n", date_format=form)


def _texts(column: pd.Series) -> list[str]:
    return [text for text in column.unique().tolist() if isinstance(text, str)]


def _jsonl(table: pd.DataFrame, out: BinaryIO) -> None:
    ascii_only = any(map(needs_escapes, table["source"].unique().tolist()))
    for block in _blocks(table):
        texts = block if block["start"].dtype == "str" else with_texts_for_times(block)
        rows = texts.astype(object)
        rows = rows.where(rows.notna(), None)
        out.writelines((json.dumps(row, ensure_ascii=ascii_only) + "\n").encode() for row in rows.to_dict("records"))


def _parquet(table: pd.DataFrame, out: BinaryIO) -> None:
    try:
        table.to_parquet(out, index=False)
    except ImportError:
        hint = "Install it with: pipx inject auditor pyarrow (or pip install pyarrow)."
        raise ArgumentError("Parquet needs the package pyarrow", where="--format parquet", hint=hint) from None
