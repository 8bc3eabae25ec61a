"""The flow table as text, CSV, JSON Lines or Parquet."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from typing import BinaryIO

import pandas as pd

from auditor.errors import ArgumentError
from auditor.render.clean import clean
from auditor.sources.reading import Source

FORMATS = ("text", "csv", "jsonl", "parquet")
FORMULA_STARTS = ("=", "+", "-", "@", "\t", "\r")
BLOCK = 20_000
WIDEST = 47  # an IPv6 address and a port


def flow_table(sources: Sequence[Source]) -> pd.DataFrame:
    """Return the flows of several sources in one table."""
    return pd.concat([source.flows for source in sources], ignore_index=True) if len(sources) > 1 else sources[0].flows


def write(table: pd.DataFrame, out: BinaryIO, form: str) -> None:
    """Write a flow table in one of FORMATS."""
    {"text": _text, "csv": _csv, "jsonl": _jsonl, "parquet": _parquet}[form](table, out)


def _text(table: pd.DataFrame, out: BinaryIO) -> None:
    several = table["source"].nunique() > 1
    width = _width(table)
    head = ("frame", "start (UTC)", "proto", "from", "", "to", "state", "frames", "answer")
    out.write(_line(width, head).encode())
    source = None
    for block in _blocks(table):
        lines = []
        for path, line in zip(block["source"].tolist(), _lines(block, width), strict=True):
            if several and path != source:
                source = path
                lines.append(f"-- {clean(path)}\n")
            lines.append(line)
        out.write("".join(lines).encode())


def _width(table: pd.DataFrame) -> int:
    """Return how wide an address with its port gets."""
    lengths = [table[name].str.len().max() for name in ("src_ip", "dst_ip")] if len(table) else [0]
    return min(int(max(lengths)) + len(":65535"), WIDEST)


def _line(width: int, cells: tuple[object, ...]) -> str:
    frame, start, protocol, left, arrow, right, state, frames, answer = cells
    ends = f"{left:{width}} {arrow:1} {right:{width}}"
    return f"{frame:>9}  {start:26}  {protocol:5}  {ends}  {state:6}  {frames:>11}  {answer}\n"


def _lines(block: pd.DataFrame, width: int) -> Iterator[str]:
    starts = block["start"].dt.strftime("%Y-%m-%d %H:%M:%S.%f").fillna("").tolist()
    names = ["protocol", "src_ip", "src_port", "dst_ip", "dst_port", "conn_state", "answer", "icmp_error"]
    names += ["frames_src", "frames_dst", "first_frame"]
    rows = zip(*(block[name].tolist() for name in names), strict=True)
    for start, row in zip(starts, rows, strict=True):
        protocol, src, src_port, dst, dst_port, state, answer, error, sent, received, frame = row
        left, right = (src, dst) if protocol == "icmp" else (f"{src}:{src_port}", f"{dst}:{dst_port}")
        told = f"{answer} (ICMP {error})" if error else answer
        yield _line(width, (frame, start, protocol, left, ">", right, state, f"{sent}/{received}", told))


def _blocks(table: pd.DataFrame) -> Iterator[pd.DataFrame]:
    for begin in range(0, len(table), BLOCK):
        yield table.iloc[begin : begin + BLOCK]


def _csv(table: pd.DataFrame, out: BinaryIO) -> None:
    safe = table.assign(source=[_no_formula(path) for path in table["source"].tolist()])
    safe.to_csv(out, index=False, lineterminator="\r\n", date_format="%Y-%m-%dT%H:%M:%S.%fZ")


def _no_formula(text: str) -> str:
    """Keep a spreadsheet from running a file name as a formula."""
    return f"'{text}" if text.startswith(FORMULA_STARTS) else text


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
        hint = 'install it with: pip install "auditor[parquet]"'
        raise ArgumentError("Parquet needs the package pyarrow", where="--format parquet", hint=hint) from None
