"""CSV and JSON Lines: one row per client, method and requirement; safe in a spreadsheet."""

from __future__ import annotations

import csv
import io
import json

import pandas as pd
import pytest
from places import DOCS
from reports import fleet, of_scene, rich
from scenes import SCENES, each

from auditor.render.tables.frames import FRAME_COLUMNS
from auditor.render.tables.requirements import COLUMNS, cell, render_csv, render_jsonl

pytestmark = pytest.mark.slow

PAGE = DOCS / "reference" / "output.md"


def read(text: str, delimiter: str = ",") -> list[list[str]]:
    return list(csv.reader(io.StringIO(text, newline=""), strict=True, delimiter=delimiter))


def test_a_row():
    header, *rows = read(render_csv(of_scene("smb-dropped")))
    row = dict(zip(header, next(row for row in rows if "client-push/smb" in row), strict=True))
    assert [row[name] for name in ("client", "result", "to_ip", "ports", "verdict", "confidence", "attempts")] == [
        "10.20.2.20",
        "fails",
        "10.20.2.20",
        "445",
        "blocked",
        "likely",
        "1",
    ]
    assert row["evidence"] == "frames 8 9 10 of smb-dropped.pcap"
    assert row["display_filter"] == (
        "ip.addr == 10.20.1.5 && ip.addr == 10.20.2.20 && tcp.port == 52766 && tcp.port == 445"
    )


def test_lines_of_a_log_have_no_display_filter():
    header, *rows = read(render_csv(of_scene("smb-dropped-and-logged", logs=True)))
    row = dict(zip(header, next(row for row in rows if "client-push/smb" in row), strict=True))
    assert row["evidence"] == "frames 7 8 9 of smb-dropped-and-logged.pcap; lines 8 9 10 of smb-dropped-and-logged.log"
    assert row["display_filter"] == (
        "ip.addr == 10.20.1.5 && ip.addr == 10.20.2.20 && tcp.port == 59178 && tcp.port == 445"
    )


@each(SCENES)
def test_it_has_the_rows_and_columns_of_the_frame(scene):
    report = of_scene(scene.name)
    read_back = pd.read_csv(io.StringIO(render_csv(report)), dtype=str, keep_default_na=False)
    assert list(read_back.columns)[: len(FRAME_COLUMNS)] == list(FRAME_COLUMNS)
    frame = report.frame()
    for name in ("client", "method", "requirement", "verdict", "from_ip", "to_ip", "ports", "attempts"):
        assert read_back[name].tolist() == frame[name].astype(str).tolist()


def test_a_report_about_nobody_has_the_columns_all_the_same():
    assert read(render_csv(of_scene("quiet"))) == [list(COLUMNS)]
    assert render_jsonl(of_scene("quiet")) == ""


def test_the_lines_end_as_the_rules_of_csv_say():
    text = render_csv(rich())
    assert text.count("\r\n") == len(read(text))
    assert "\n" not in text.replace("\r\n", "")


def test_json_lines_hold_the_same_as_csv():
    header, *rows = read(render_csv(rich()))
    objects = [json.loads(line) for line in render_jsonl(rich()).splitlines()]
    assert [list(one) for one in objects] == [header] * len(rows)
    assert [[str(value) for value in one.values()] for one in objects] == rows


def test_what_changed_and_failed_is_in_its_cell():
    header, first, *_ = read(render_csv(rich()))
    row = dict(zip(header, first, strict=True))
    assert row["changed"] == "blocked at 2026-11-23T06:50:01.000000Z"
    assert row["problems"] == "log on: STATUS_ACCESS_DENIED (frame 27): no rights."


@pytest.mark.parametrize("start", ["=", "+", "-", "@", "\uff1d", "\uff0b", "\uff0d", "\uff20"])
@pytest.mark.parametrize("before", ["", ";", '"', "a;", 'a; "', "  ", "'"])
def test_a_formula_gets_an_apostrophe(before, start):
    assert "'" in cell(f"{before}{start}1")[: len(before) + 1]


@pytest.mark.parametrize("text", ["10.20.2.20", "a-b", "fd00::5", "TCP 445; not seen", "", "1 + 1 = 2"])
def test_other_text_stays_as_it_is(text):
    assert cell(text) == text


def test_a_cell_is_not_longer_than_excel_reads():
    assert len(cell("x" * 10_000_000)) < 32_767


def test_four_thousand_clients_are_a_table():
    assert len(read(render_csv(fleet(4000)))) == 1 + 4000 * len(read(render_csv(fleet(1)))[1:])


def test_the_documentation_lists_every_column():
    text = PAGE.read_text(encoding="utf-8")
    assert [name for name, meaning in COLUMNS.items() if f"| `{name}` | {meaning} |" not in text] == []
