"""Summaries that somebody forged or damaged, and patterns made to hang: one clear line, soon."""

from __future__ import annotations

import json
import os
import re
from contextlib import suppress
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from logs import log

from auditor.api.batch import batch, merge
from auditor.errors import ReportError
from auditor.fleet.inventory.glob_patterns import matcher
from auditor.fleet.inventory.host_names import load_names
from auditor.fleet.summaries import parquet_store as shards

pytestmark = pytest.mark.slow


def test_a_pattern_of_many_stars_takes_no_time():
    many = "*a" * 12 + "*b"

    assert load_names("{host}" + many).of("a" * 200) is None
    assert load_names(many + "{host}.log").of("a" * 200) is None
    assert load_names("*a{host}*a{site}*b").of("a" * 200) is None
    assert not matcher(many).fullmatch("a" * 200)


@pytest.mark.parametrize(
    ("pattern", "path", "host"),
    [
        ("*-{host}.log", "a-b-c.log", "C"),
        ("*-*-{host}.log", "a-b-c-d.log", "D"),
        ("{host}-*-*.log", "a-b-c-d.log", "A"),
        ("*a*{host}_*_*x.log", "banana_b_c_x.log", "B"),
        ("[*]{host}*.log", "*pc1.log", "P"),
    ],
)
def test_a_star_before_a_host_takes_as_much_as_it_can_and_the_host_as_little(pattern, path, host):
    assert load_names(pattern).of(path).host == host


@given(st.text("ab*?", max_size=8), st.text("ab", max_size=10))
@settings(max_examples=300, deadline=None)
def test_a_pattern_fits_what_it_says(pattern, name):
    plain = "".join({"*": ".*", "?": "."}.get(letter, letter) for letter in pattern)

    assert bool(matcher(pattern).fullmatch(name)) == bool(re.fullmatch(plain, name))


# summaries


@pytest.fixture(scope="module")
def summary(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("fleet")
    drop = "2024-06-05 10:00:00 DROP TCP 10.0.0.5 10.0.1.7 50000 445 52 S 7 0 8192 - - - RECEIVE"
    (folder / "pc7.log").write_bytes(log(drop))
    batch(folder / "pc7.log", out=folder / "out", workers=0)
    (shard,) = (folder / "out" / "summaries").iterdir()
    return shard


def forged(path: Path, out: Path, rows=None, schema=None, **about: str) -> Path:
    """Write a summary again with other rows, columns or metadata."""
    table = pq.read_table(path)
    told = dict(table.schema.metadata) | {f"auditor.{key}".encode(): text.encode() for key, text in about.items()}
    if rows is not None:
        table = pa.Table.from_pylist(rows, schema=schema or table.schema)
    out.mkdir(exist_ok=True)
    pq.write_table(table.replace_schema_metadata(told), out / "forged.parquet")
    return out / "forged.parquet"


def refused(path: Path) -> str:
    """Return what `merge` says of a summary that it does not take; the file is named."""
    with pytest.raises(ReportError) as error:
        merge(path, out=path.parent / "merged", workers=0)
    assert error.value.where.endswith(".parquet")
    assert error.value.hint
    return error.value.what


COLUMNS = ("host", "site", "size", "digest", "addresses", "path", "records", "skipped", "warnings", "heard", "flows")


@pytest.mark.parametrize("column", COLUMNS)
def test_a_summary_without_a_column_or_without_its_values_is_refused(summary, tmp_path, column):
    (row,) = pq.read_table(summary).to_pylist()
    left = pq.read_schema(summary)
    left = left.remove(left.get_field_index(column))

    assert "columns" in refused(forged(summary, tmp_path, [row], left))
    assert f"no value for {column}" in refused(forged(summary, tmp_path, [row | {column: None}]))


@pytest.mark.parametrize(
    ("value", "what"),
    [
        ({"records": -1}, "records is -1"),
        ({"skipped": 2**62}, "skipped is"),
        ({"size": -(2**63)}, "size is"),
        ({"addresses": ["nobody"]}, "addresses"),
        ({"addresses": [None]}, "addresses"),
        ({"heard": [""]}, "heard"),
        ({"one_sided_pairs": ["10.0.0.1"]}, "one_sided_pairs"),
        ({"asked": [{"asker": "10.0.0.1", "target": "10.0.0.2", "frames": [], "times_ns": []}]}, "frames"),
    ],
)
def test_a_summary_with_values_that_cannot_be_is_refused(summary, tmp_path, value, what):
    (row,) = pq.read_table(summary).to_pylist()

    assert what in refused(forged(summary, tmp_path, [row | value]))


@pytest.mark.parametrize(
    ("name", "value"),
    [("src_ip", "x"), ("dst_ip", None), ("dst_port", 70_000), ("start", None), ("events", []), ("events", None)],
)
def test_a_summary_with_flows_that_cannot_be_is_refused(summary, tmp_path, name, value):
    (row,) = pq.read_table(summary).to_pylist()
    row["flows"][0][name] = value

    assert name in refused(forged(summary, tmp_path, [row]))


LOST = {"path": "p", "host": "", "what": "w", "hint": "h", "size": 1, "modified_ns": 1}


@pytest.mark.parametrize(
    "unread",
    ["{", "[1]", "null", '{"a": 1}', "[" * 100_000]
    + [json.dumps([LOST | change]) for change in ({"size": "x"}, {"size": -1}, {"more": 1}, {"path": "\ud800"})],
)
def test_what_a_summary_tells_of_unread_files_is_checked(summary, tmp_path, unread):
    assert "the list of unreadable files is invalid" in refused(forged(summary, tmp_path, unread=unread))


@pytest.mark.parametrize("question", ["", "{}", "[]", "[" * 100_000, '{"ruleset": "configmgr-2007"}'])
def test_what_a_summary_was_made_for_is_checked(summary, tmp_path, question):
    assert re.search("audit settings", refused(forged(summary, tmp_path, question=question)))


@pytest.mark.parametrize(
    "change",
    [{"roles": one} for one in ([], {"nobody": ["10.0.0.1"]}, {"site-server": "10.0.0.5"}, {"site-server": ["x"]})]
    + [{"mode": "zzz"}, {"mode": []}, {"ports": []}, {"ports": {"zz": 1}}, {"ports": {"http-management-point": 10**6}}]
    + [{"properties": [1]}, {"conditions": 3}, {"conditions": {"x": "y"}}, {"methods": None}, {"methods": ["nope"]}]
    + [{"tz": "Mars/Base"}, {"tz": 5}, {"tz": "\ud800"}, {"ruleset": 5}, {"requirements": None}],
)
def test_each_part_of_what_a_summary_was_made_for_is_checked(summary, tmp_path, change):
    question = json.dumps(json.loads(shards.outline(summary).question) | change)

    assert re.search("audit settings|made for", refused(forged(summary, tmp_path, question=question)))


def test_a_summary_never_makes_another_file_be_opened(summary, tmp_path):
    mine = tmp_path / "mine.toml"
    mine.write_text("no ruleset")
    question = json.dumps(json.loads(shards.outline(summary).question) | {"ruleset": str(mine)})
    with pytest.raises(ReportError, match="does not come with auditor") as error:
        merge(forged(summary, tmp_path, question=question), out=tmp_path / "merged", workers=0)
    assert "--ruleset FILE" in error.value.hint


@given(at=st.integers(0), value=st.integers(0, 255))
@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_a_damaged_byte_is_told_or_does_not_matter(summary, tmp_path, at, value):
    content = bytearray(summary.read_bytes())
    content[at % len(content)] = value
    (tmp_path / "one.parquet").write_bytes(content)
    with suppress(ReportError):
        shards.read(tmp_path / "one.parquet")


def test_a_summary_that_would_fill_all_memory_is_refused_before_it_is_read(summary, tmp_path):
    """Repeated rows take next to nothing in a Parquet file."""
    table = pq.read_table(summary)
    pq.write_table(table.take([0] * 100_001), tmp_path / "bomb.parquet", compression="zstd")

    assert (tmp_path / "bomb.parquet").stat().st_size < 10**6
    assert refused(tmp_path / "bomb.parquet").startswith("this summary holds 100,001 rows")


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="this system has no named pipes")
def test_a_pipe_is_no_summary(tmp_path):
    os.mkfifo(tmp_path / "x.parquet")

    assert refused(tmp_path / "x.parquet") == "not a file"
    with pytest.raises(ReportError, match="not a file"):
        merge(tmp_path, out=tmp_path / "merged", workers=0)


def test_what_a_damaged_summary_was_made_of_is_read_again(tmp_path):
    """Its footer is intact: only a look at all of it tells."""
    drop = "2024-06-05 10:00:00 DROP TCP 10.0.0.5 10.0.1.7 50000 445 52 S 7 0 8192 - - - RECEIVE"
    (tmp_path / "pc7.log").write_bytes(log(drop))
    out = tmp_path / "out"
    first = batch(tmp_path / "pc7.log", out=out, workers=0).report
    (shard,) = (out / "summaries").iterdir()
    flows = pq.ParquetFile(shard).metadata.row_group(0).column(50)
    content = bytearray(shard.read_bytes())
    content[flows.dictionary_page_offset + flows.total_compressed_size - 1] ^= 0xFF  # its last byte
    shard.write_bytes(content)
    (out / "state.json").unlink()
    with pytest.raises(ReportError, match="this summary is corrupted"):
        shards.read(shard)

    assert batch(tmp_path / "pc7.log", out=out, workers=0).report == first
