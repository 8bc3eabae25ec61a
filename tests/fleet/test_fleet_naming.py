"""Whose a source is: by its path, by a table, and what is said about patterns and tables that are wrong."""

from __future__ import annotations

import os
import sys
from collections import Counter

import pytest

from auditor.errors import ArgumentError
from auditor.fleet.inventory.host_names import Name, load_names


@pytest.mark.parametrize(
    ("pattern", "path", "expected"),
    [
        ("{host}/pfirewall.log", "logs/PC0001/pfirewall.log", Name("PC0001")),
        ("{host}/pfirewall.log", r"\\share\logs\pc0001\PFIREWALL.LOG", Name("PC0001")),
        (r"{host}\pfirewall.log", "/srv/logs/pc-1.corp.example/pfirewall.log", Name("PC-1.CORP.EXAMPLE")),
        ("logs/{site}/{host}/*.log", r"D:\Logs\Berlin\PC1\fw.log", Name("PC1", "Berlin")),
        ("logs/**/{host}/*", "logs/a/b/c/PC1/fw.log", Name("PC1")),
        ("{host}-pfirewall.log", "logs/ber-pc-01-pfirewall.log", Name("BER-PC-01")),
        ("{site}-{host}.log", "ber-pc-01.log", Name("PC-01", "ber")),  # as few letters as possible
        ("logs/{host}", "logs/PC1.log", Name("PC1")),
        ("logs/{host}", "logs/PC1", Name("PC1")),
        ("{host}/fw.log", "10.0.0.5/fw.log", Name("10.0.0.5")),
        ("./{host}/fw.log", "PC1/fw.log", Name("PC1")),
        ("{host}/pfirewall.log", "logs/PC1/other.log", None),
        ("logs/{host}/*.log", "mylogs/PC1/a.log", None),
        ("{host}/pfirewall.log", "pfirewall.log", None),
        ("{host}.log", "logs/PC(1)+.log", Name("PC(1)+")),
        ("PC[0-9]-{host}.log", "PC7-x.log", Name("X")),
    ],
)
def test_the_path_tells_the_host(pattern, path, expected):
    assert load_names(pattern).of(path) == expected


@pytest.mark.parametrize(
    "ending",
    [".log", ".log.old", ".log.1", ".log.12.gz", ".log.gz", ".old", ".log-20240131", ".log.2024-01-31", ".log.bak"],
)
@pytest.mark.parametrize(("pattern", "stem"), [("{host}/fw.log", "PC1/fw"), ("{host}.log", "PC1"), ("{host}", "PC1")])
def test_rotated_and_packed_logs_are_of_the_same_host(pattern, stem, ending):
    assert load_names(pattern).of(f"logs/{stem}{ending}") == Name("PC1")


@pytest.mark.parametrize(
    ("pattern", "fault"),
    [
        ("*/pfirewall.log", r"there is no \{host\}"),
        ("", r"there is no \{host\}"),
        ("{Host}/a.log", r"\{Host\} means nothing"),
        ("{host/a.log", "a brace in '{host/a.log' has no partner"),
        ("{{host}}.log", "has no partner"),
        ("{host}/{host}.log", r"\{host\} stands twice"),
        ("{site}{host}.log", "need a separator between them"),
        ("{host}/**", "ends with folders"),
    ],
)
def test_a_wrong_pattern_is_answered_with_a_right_one(pattern, fault):
    with pytest.raises(ArgumentError, match=rf"^--host-from: .*{fault}.*. Write it like {{host}}/pfirewall\.log"):
        load_names(pattern)


def test_a_pattern_that_fits_no_file_is_wrong():
    names = load_names("{host}/fw.log")
    names.check(["a.log", "PC1/fw.log"])
    names.check([])
    load_names().check(["a.log"])
    with pytest.raises(ArgumentError, match=r"fits none of the files, such as logs/PC1\.log. Write it like"):
        names.check(["logs/PC1.log", "logs/PC2.log"])


@pytest.fixture
def table(tmp_path):
    """Return how to load a map with this text."""

    def load(text: str, host_from: str | None = None, encoding: str = "utf-8"):
        path = tmp_path / "map.csv"
        path.write_bytes(text.encode(encoding))
        return load_names(host_from, str(path))

    return load


def test_a_table_names_hosts_by_path_and_by_address(table):
    names = table(
        "Host,Site,Path,Address\n"
        "pc1,Berlin,logs/PC1,10.0.0.1 2001:DB8::1\n"
        "PC1,,archive/pc1-*.log,\n"
        r"PC2,Rome,\\share\logs\0002\pfirewall.log,10.0.0.2" + "\n"
        "PC3,,,\n"
    )
    assert names.expected == ("PC1", "PC2", "PC3")
    assert names.of("/srv/logs/pc1/a/b.log") == Name("PC1", "Berlin")
    assert names.of(r"C:\archive\PC1-2024.log") == Name("PC1", "Berlin")
    assert names.of(r"\\SHARE\logs\0002\pfirewall.log.old") == Name("PC2", "Rome")
    assert names.of(r"D:\share\logs\0002\pfirewall.log") is None
    assert names.of("logs/PC11/a.log") is None
    assert names.of_address("2001:db8:0::1") == Name("PC1", "Berlin")
    assert names.of_address("10.0.0.2") == Name("PC2", "Rome")
    assert names.of_address("10.0.0.9") is None
    assert names.of_address("nonsense") is None


def test_the_current_folder_belongs_to_a_path(table, tmp_path, monkeypatch):
    (tmp_path / "PC1").mkdir()
    monkeypatch.chdir(tmp_path / "PC1")
    names = table(f"host,path\nPC1,{tmp_path}{os.sep}PC1\n")
    assert names.of("pfirewall.log") == Name("PC1")


def test_the_more_exact_path_decides_then_the_map_then_the_pattern(table):
    text = "host,site,path\nPC1,,logs\nPC2,,logs/*/fw.log\nPC3,Rome,logs/three/fw.log\nPC4,Oslo,\n"
    names = table(text, "{site}/{host}/fw.log")
    assert names.of("logs/x.log") == Name("PC1")
    assert names.of("logs/two/fw.log") == Name("PC2")
    assert names.of("logs/three/fw.log") == Name("PC3", "Rome")
    assert names.of("Paris/PC9/fw.log") == Name("PC9", "Paris")
    assert names.of("Paris/pc4/fw.log") == Name("PC4", "Oslo")


@pytest.mark.parametrize(
    ("text", "encoding"),
    [
        ("host;site\r\nPC1;Köln\r\n", "utf-8-sig"),
        ("host;site\r\nPC1;Köln\r\n", "utf-16"),
        ("host\tsite\r\nPC1\tKöln\r\n", "utf-16"),
        ('sep=;\r\n"host";"site"\r\n\r\n"PC1";"Köln"\r\n', "utf-8"),
    ],
)
def test_tables_of_excel_are_understood(table, text, encoding):
    names = table(text, "{host}.log", encoding)
    assert names.expected == ("PC1",)
    assert names.of("pc1.log") == Name("PC1", "Köln")


@pytest.mark.parametrize(
    ("text", "fault"),
    [
        ("name,path\nPC1,logs\n", "no column is named host; the first line is name, path"),
        ("", "no column is named host"),
        ("host,adress\nPC1,10.0.0.1\n", "unknown column 'adress'. Did you mean address?"),
        ("host,path,path\nPC1,a,b\n", "the column path appears twice"),
        ("host,path\n,logs\n", "line 2: there is no host"),
        ("host,address\nPC1,10.0.0.1\nPC2,10.0.0.300\n", "line 3: '10.0.0.300' is no address"),
        ("host,path\nPC1,logs/A\n\nPC2,LOGS\\a\\\n", "lines 2 and 4: LOGS\\a\\ is given to PC1 and to PC2"),
        ("host,site\nPC1,Rome\npc1,Oslo\n", "lines 2 and 3: PC1 is in Rome and Oslo"),
        ("host,path\na/b,logs\n", "line 2: 'a/b' is no name of a host"),
        ("host,site\n", "the file lists no host"),
        (",host\n" + "x" * 200_000 + ",PC1\n", "invalid CSV file"),
    ],
)
def test_faults_of_a_table_are_told_with_their_lines(table, text, fault):
    with pytest.raises(ArgumentError) as error:
        table(text)
    assert f"map.csv: {fault}" in str(error.value)


def test_an_address_of_two_hosts_names_neither_and_is_told(table):
    names = table("host,address\nPC1,10.0.0.1\nPC2,10.0.0.1\nPC2,10.0.0.2\n")
    assert names.of_address("10.0.0.1") is None
    assert names.of_address("10.0.0.2") == Name("PC2")
    assert [note.partition(": ")[2] for note in names.notes] == [
        "10.0.0.1 is given to PC1 and PC2 (lines 2, 3), so it names none of them"
    ]


@pytest.mark.parametrize("form", ["logs/{}", "logs/{}*.log"])
def test_a_table_of_a_large_fleet_is_searched_at_once(table, form):
    path = "logs/pc00007/fw.log" if form.endswith("}") else "logs/pc00007-fw.log.old"

    def calls(hosts: int) -> int:
        rows = "".join(f"{one},{form.format(one)}\n" for one in map("PC{:05}".format, range(hosts)))
        names, calls = table("host,path\n" + rows), Counter()
        assert names.of(path)  # regular expressions are compiled once
        sys.setprofile(lambda _, event, __: calls.update([event]))
        try:
            assert names.of(path) == Name("PC00007")
        finally:
            sys.setprofile(None)
        return calls.total()

    assert calls(2_000) == calls(20)
