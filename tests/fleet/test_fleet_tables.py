"""The tables of a fleet: the same columns and types also when they are empty, safe in a spreadsheet."""

from __future__ import annotations

import csv
import dataclasses
import io
import sys
from typing import Any

import pytest
from fleets import RULESET, fleet, host, planted, site
from hypothesis import given
from test_fleet_report import fleets
from whole_texts import harmful

from auditor import FleetReport
from auditor.errors import MissingPackageError
from auditor.render.fleet.tables import TABLES, columns, rows, write_csv, write_parquet
from auditor.report.fleet_model import RequirementResult

each_table = pytest.mark.parametrize("table", TABLES)


def text(report: FleetReport, table: str) -> str:
    out = io.BytesIO()
    write_csv(report, table, out)
    return out.getvalue().decode()


def read(report: FleetReport, table: str) -> list[dict[str, str]]:
    return list(csv.DictReader(io.StringIO(text(report, table), newline=""), strict=True))


def parquet(report: FleetReport, table: str) -> bytes:
    pytest.importorskip("pyarrow")
    out = io.BytesIO()
    write_parquet(report, table, out)
    return out.getvalue()


def stored(report: FleetReport, table: str) -> Any:
    content = parquet(report, table)
    import pyarrow.parquet

    return pyarrow.parquet.read_table(io.BytesIO(content))


# what stands in them


def test_a_host_is_a_row():
    (row,) = read(fleet([host("A 10.1.1.1", "smb blocked at client", "icmp-echo allowed", site="Berlin")]), "hosts")
    assert row == {
        "host": "A",
        "site": "Berlin",
        "addresses": "10.1.1.1",
        "subnet": "10.1.1.0/24",
        "client_push": "fails",
        "software_update_point": "no-evidence",
        "group_policy": "no-evidence",
        "manual": "no-evidence",
        "software_distribution": "no-evidence",
        "failed": "client-push/smb",
        "unverified": "",
        "failed_step": "",
        "code": "",
        "recommended": "group-policy manual",
        "first_time": "2026-11-23T06:00:00.000000Z",
        "last_time": "2026-11-23T07:00:00.000000Z",
        "records": "20",
        "files": "logs/A/pfirewall.log",
        "warnings": "",
    }


def test_hosts_without_a_source_have_a_row_too():
    row = read(fleet([host("B", "smb allowed")], expected={"A": ""}), "hosts")[0]
    assert (row["host"], row["client_push"], row["warnings"]) == (
        "A",
        "no-evidence",
        "no source of this computer could be read",
    )


def test_a_requirement_that_was_seen_is_a_row():
    (row,) = read(fleet([host("A 10.1.1.1", "smb blocked at client")]), "requirements")
    names = ("host", "method", "result", "failed", "requirement", "from_ip", "to_ip", "ports", "verdict", "attempts")
    assert [row[name] for name in names] == [
        *("A", "client-push", "fails", "true", "client-push/smb"),
        *("10.0.0.5", "10.1.1.1", "445", "blocked", "3"),
    ]


def test_every_field_of_what_was_seen_has_its_column():
    renamed = {"source": "from_ip", "destination": "to_ip", "proof": ""}
    wanted = [renamed.get(one.name, one.name) for one in dataclasses.fields(RequirementResult) if one.compare]
    assert [name for name in wanted if name and name not in columns(site(), "requirements")] == []


def test_a_problem_has_code_and_text():
    (row,) = read(fleet([host("A", "smb STATUS_ACCESS_DENIED")]), "requirements")
    told = "tree connect: STATUS_ACCESS_DENIED (frame 27)."
    assert (row["problem_codes"], row["problems"]) == ("STATUS_ACCESS_DENIED", told)


def test_a_proof_is_a_row():
    (row,) = read(fleet([host("A", "smb blocked at client")]), "evidence")
    assert (row["path"], row["lines"], row["frames"]) == ("logs/A/pfirewall.log", "8 9 10", "")


def test_an_unreadable_file_is_a_row():
    assert [tuple(row.values()) for row in read(site(), "unreadable")] == [
        ("logs/OLD-2/pfirewall.log", "OLD-2", "its reading ended the worker", "read it alone")
    ]


@given(fleets)
def test_there_is_a_row_for_each_host_and_each_requirement_seen(hosts):
    report = fleet(hosts, expected={"missing": ""})
    assert [row[0] for row in rows(report, "hosts")] == sorted([*(one.host for one in hosts), "missing"])
    assert len(list(rows(report, "requirements"))) == sum(len(one.seen) for one in hosts)
    assert len(list(rows(report, "evidence"))) == sum(len(seen.proof) for one in hosts for seen in one.seen)


def test_methods_named_as_other_columns_have_their_own():
    report = fleet([])
    methods = tuple(dataclasses.replace(report.methods[0], id=name) for name in ("site", "a-b", "a_b", "\x1b[31m"))
    names = columns(dataclasses.replace(report, methods=methods), "hosts")
    assert list(names)[4:8] == ["method_site", "a_b", "method_a_b", "__31m"]


# columns and types


@each_table
def test_an_empty_table_has_the_same_columns(table):
    assert text(fleet([]), table) == ",".join(columns(site(), table)) + "\r\n"


@each_table
def test_parquet_has_the_same_columns_and_types_also_when_it_is_empty(table):
    full, empty = stored(site(), table), stored(fleet([]), table)
    assert full.schema == empty.schema
    assert (len(full) > 0, len(empty)) == (True, 0)


@each_table
def test_parquet_holds_the_rows(table):
    report = site()
    wanted = [[list(one) if isinstance(one, tuple) else one for one in row] for row in rows(report, table)]
    assert [list(row.values()) for row in stored(report, table).to_pylist()] == wanted


@each_table
def test_the_same_hosts_give_the_same_bytes(table):
    again = dataclasses.replace(site())
    assert text(again, table) == text(site(), table)
    assert parquet(again, table) == parquet(site(), table)


def test_parquet_of_many_row_groups(monkeypatch):
    monkeypatch.setattr("auditor.render.fleet.tables.ROW_GROUP", 2)
    assert stored(site(), "hosts").num_rows == site().coverage.hosts


def test_duckdb_answers_questions(tmp_path):
    duckdb = pytest.importorskip("duckdb")
    for table in TABLES:
        (tmp_path / f"{table}.parquet").write_bytes(parquet(site(), table))
    asked = f"""
        select h.site, count(*) from '{tmp_path}/hosts.parquet' h join '{tmp_path}/requirements.parquet' r using (host)
        where r.verdict = 'blocked' and list_contains(h.failed, r.requirement) group by all order by all
    """
    assert duckdb.sql(asked).fetchall() == [("Berlin", 10), ("Lyon", 1)]


def test_without_pyarrow_it_says_what_to_install(monkeypatch):
    monkeypatch.setitem(sys.modules, "pyarrow", None)
    with pytest.raises(MissingPackageError, match="pip install pyarrow"):
        write_parquet(site(), "hosts", io.BytesIO())


# hostile text


@each_table
def test_csv_is_read_as_it_was_meant(table):
    report = planted(site(), lambda value: f'a, "b"; {value}')
    (names, *found) = csv.reader(io.StringIO(text(report, table), newline=""), strict=True)
    assert {len(row) for row in found} == {len(names)}
    again = io.StringIO(newline="")
    csv.writer(again).writerows([names, *found])
    assert again.getvalue() == text(report, table)


@pytest.mark.parametrize("start", ["=1+1", "+1", "-1", "@sum(1)", "\t=1", "a;=1", "\uff1d1"])
@each_table
def test_no_cell_is_run_as_a_formula(start, table):
    report = planted(site(), lambda value: f"{start}{value}")
    for row in read(report, table):
        for value in row.values():
            assert value.lstrip(" \"'\t")[:1] not in {"=", "+", "-", "@"} or value.startswith("'"), value
            assert ";=" not in value


@each_table
def test_no_cell_turns_a_terminal_or_begins_a_row(table):
    report = planted(site(), lambda value: f"\x1b[31m\r\n\u202e{value}")
    assert harmful(text(report, table).replace("\r\n", "")) == []
    assert len(text(report, table).splitlines()) == len(list(rows(report, table))) + 1


def test_a_path_that_is_no_unicode_is_stored_all_the_same():
    one = host("A", "smb allowed", files=("logs/\udcff.log",))
    assert stored(fleet([one]), "hosts").column("files").to_pylist() == [["logs/\\udcff.log"]]
    assert read(fleet([one]), "hosts")[0]["files"] == "logs/\\udcff.log"


def test_there_is_a_column_for_every_method_of_the_ruleset():
    assert [one.id.replace("-", "_") in columns(site(), "hosts") for one in RULESET.methods] == [True] * 5
