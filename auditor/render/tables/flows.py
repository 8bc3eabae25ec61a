"""The flow table as text, CSV, JSON Lines or Parquet; that of captures without pandas, as fast as it is read."""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, BinaryIO, NamedTuple

import numpy as np
from numpy.typing import NDArray

from auditor.render.clean import clean, clean_cell, needs_escapes
from auditor.render.tables.cells import Cells, beside, constant, numbers, padded, rows, texts, times
from auditor.sources.flows.builder import Flows
from auditor.sources.flows.columns import TABLE, Columns
from auditor.sources.source import Source

BLOCK = 4096  # rows that are written at once: few enough to stay in the processor's cache


def write(sources: Sequence[Source], out: BinaryIO, form: str) -> None:
    """Write the flows of several sources as text, csv, jsonl or parquet."""
    captures = [_Capture(source.path, source.details) for source in sources if isinstance(source.details, Flows)]
    if form in WRITERS and len(captures) == len(sources):
        WRITERS[form](captures, out)
    else:
        from auditor.render.tables import log_flows
        from auditor.sources.all_flows import AllFlows

        log_flows.write(AllFlows(sources).frame, out, form)


class _Capture(NamedTuple):
    path: str
    flows: Flows


def _blocks(flows: Flows) -> Iterator[Columns]:
    """Yield the flow table block by block."""
    columns = dict(flows.table.columns)
    for begin in range(0, len(flows), BLOCK):
        yield {name: column[begin : begin + BLOCK] for name, column in columns.items()}


def _text(sources: Sequence[_Capture], out: BinaryIO) -> None:
    filled = [source for source in sources if len(source.flows)]
    width = max((_width(source.flows.table.columns) for source in filled), default=len("from"))
    out.write(_head(width).encode())
    for source in filled:
        if len(filled) > 1:
            out.write(f"-- {clean(source.path)}\n".encode())
        for block in _blocks(source.flows):
            out.write(rows(_text_cells(block, width)))


def _width(columns: Mapping[str, NDArray[Any]]) -> int:
    """Return how wide an address gets."""
    return max(max(map(len, set(columns[name].tolist()))) for name in ("src_ip", "dst_ip"))


def _head(width: int) -> str:
    begin = f"{'frame':>9}  {'stream':>6}  {'start (UTC)':26}  {'proto':5}"
    return f"{begin}  {'from':>{width}} {'':5}   {'to':>{width}} {'':5}  {'state':6}  {'frames':>11}  answer\n"


def _text_cells(block: Columns, width: int) -> list[Cells]:
    """Return the columns of the text form."""
    gap, colon = constant("  "), _chosen(block["src_port"] < 0, " ", ":")
    frames = beside([numbers(block["frames_src"]), constant("/"), numbers(block["frames_dst"])])
    responses = block["response"].copy()
    quoted = block["icmp_error"] != ""
    responses[quoted] += " (ICMP " + block["icmp_error"][quoted] + ")"
    return [
        padded(numbers(block["first_frame"]), 9),
        gap,
        padded(numbers(block["stream"]), 6),
        gap,
        times(block["start"], between=" "),
        gap,
        padded(texts(block["protocol"]), 5, left=True),
        gap,
        padded(texts(block["src_ip"]), width),
        colon,
        padded(numbers(block["src_port"]), 5, left=True),
        constant(" > "),
        padded(texts(block["dst_ip"]), width),
        colon,
        padded(numbers(block["dst_port"]), 5, left=True),
        gap,
        padded(texts(block["conn_state"]), 6, left=True),
        gap,
        padded(frames, 11),
        gap,
        texts(responses),
        constant("\n"),
    ]


def _chosen(condition: NDArray[np.bool_], yes: str, no: str) -> Cells:
    return np.where(condition, ord(yes), ord(no)).astype(np.uint8)[:, np.newaxis]


def _csv(sources: Sequence[_Capture], out: BinaryIO) -> None:
    out.write((",".join(TABLE) + "\r\n").encode())
    for source in sources:
        named = io.StringIO(newline="")
        csv.writer(named).writerow([clean_cell(source.path), ""])
        between = dict.fromkeys(TABLE, constant(",")) | {list(TABLE)[-1]: constant("\r\n")}
        for block in _blocks(source.flows):
            values = _values(block, constant(named.getvalue().removesuffix(",\r\n")), missing="")
            out.write(rows([cells for name, value in values for cells in (value, between[name])]))


def _jsonl(sources: Sequence[_Capture], out: BinaryIO) -> None:
    ascii_only = any(needs_escapes(source.path) for source in sources)
    for source in sources:
        path = constant(json.dumps(source.path, ensure_ascii=ascii_only))
        for block in _blocks(source.flows):
            columns = [constant("{")]
            for name, value in _values(block, path, missing="null"):
                quote = constant('"' if name != "source" and not TABLE[name].lower().startswith("int") else "")
                columns += [constant(f'"{name}": '), quote, value, quote, constant(", ")]
            out.write(rows([*columns[:-1], constant("}\n")]))


def _values(block: Columns, source: Cells, missing: str) -> Iterator[tuple[str, Cells]]:
    """Yield name and cells of each column, without quotes."""
    yield "source", source
    for name, kind in list(TABLE.items())[1:]:
        if kind == "str":
            yield name, texts(block[name])
        elif kind.startswith("datetime"):
            yield name, beside([times(block[name]), constant("Z")])
        else:
            yield name, numbers(block[name], missing)


WRITERS = {"text": _text, "csv": _csv, "jsonl": _jsonl}
