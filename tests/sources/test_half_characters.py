"""Text from Windows and names of files need not be Unicode; every result is, and no two names become one."""

from __future__ import annotations

import json
import os
import sys
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner
from hypothesis import given
from hypothesis import strategies as st

import auditor
from auditor.cli.commands import cli
from auditor.ruleset.addresses import by_number
from auditor.sources.source import name_of

pytestmark = pytest.mark.slow

HALF = "\ud83d"  # the first half of a character beyond U+FFFF, which NTFS allows alone
ROLES = ("--role", "client=10.0.0.20", "--role", "site-server=10.0.0.5")
VALUES = {
    "Application": f"\\device\\{HALF}\\agent.exe",
    "Direction": "%%14592",
    "SourceAddress": "10.0.0.5",
    "SourcePort": "50000",
    "DestAddress": "10.0.0.20",
    "DestPort": "445",
    "Protocol": 6,
    "FilterOrigin": f"Rule {HALF}",
    f"More {HALF}": HALF,
    "LayerName": "%%14610",
}


def event(computer: str = f"CLIENT{HALF}01") -> str:
    system = {
        "Provider": {"#attributes": {"Name": "Microsoft-Windows-Security-Auditing"}},
        "EventID": 5157,
        "TimeCreated": {"#attributes": {"SystemTime": "2026-03-01T08:00:00Z"}},
        "EventRecordID": 7,
        "Channel": "Security",
        "Computer": computer,
    }
    return json.dumps({"Event": {"System": system, "EventData": VALUES}}) + "\n"


@pytest.fixture
def log(tmp_path: Path) -> Path:
    path = tmp_path / "logs" / "pc01" / "security.json"
    path.parent.mkdir(parents=True)
    path.write_text(event())
    return path


def run(*words: Any) -> int:
    result = CliRunner().invoke(cli, list(map(str, words)), standalone_mode=False)
    if result.exception:
        raise result.exception
    return int(result.return_value or 0)


def is_unicode(path: Path) -> bool:
    return bool(path.read_bytes().decode())


paths = st.text(st.one_of(st.characters(), st.sampled_from("\udcff\ud800\ufffd\\/DCF")), max_size=8)


@given(paths, paths)
def test_two_names_never_become_one(path: str, other: str):
    assert (name_of(path) == name_of(other)) == (path == other)
    assert name_of(path).encode().decode() == name_of(path)
    assert sum(map(name_of(path).count, "\\/")) == sum(map(path.count, "\\/"))


@given(st.lists(st.one_of(st.text(max_size=5), st.sampled_from(["10.0.0.1", "10.\x000.1", "fe80::1", "\0"]))))
def test_names_and_addresses_of_hosts_can_be_put_in_order(hosts: list[str]):
    assert sorted(sorted(hosts, key=by_number)) == sorted(hosts)


@pytest.mark.parametrize("form", ["text", "json", "html", "markdown", "junit", "sarif"])
def test_a_report_of_half_characters_is_unicode(log: Path, tmp_path: Path, form: str):
    assert run("analyze", log, *ROLES, "--format", form, "-o", tmp_path / "out") == 3
    assert is_unicode(tmp_path / "out")


@pytest.mark.parametrize("form", ["text", "csv", "jsonl"])
def test_flows_of_half_characters_are_unicode(log: Path, tmp_path: Path, form: str):
    assert run("flows", log, "--format", form, "-o", tmp_path / "out") == 0
    assert is_unicode(tmp_path / "out")


def test_flows_of_half_characters_fit_into_parquet(log: Path):
    pytest.importorskip("pyarrow")
    flows = auditor.read(log).flows
    assert flows.computer.str.encode("utf-8").tolist() == ["client\ufffd01".encode()]


def test_a_fleet_of_half_characters_is_unicode(log: Path, tmp_path: Path):
    assert run("batch", log.parents[1], "-o", tmp_path / "fleet") == 3
    for path in (tmp_path / "fleet").glob("[!.]*.*"):
        assert path.suffix == ".parquet" or is_unicode(path)


@pytest.mark.skipif(os.name == "nt" or sys.platform == "darwin", reason="names of files are Unicode here")
def test_folders_whose_names_look_alike_are_two_hosts(tmp_path: Path):
    names = [b"PC\xff", b"PC\xfe", b"PC\\udcff", "PC\ufffd".encode()]
    for number, name in enumerate(names):
        folder = tmp_path / "logs" / os.fsdecode(name)
        folder.mkdir(parents=True)
        (folder / "security.json").write_text(event().replace("10.0.0.20", f"10.0.0.{30 + number}"))
    run("batch", tmp_path / "logs", "--host-from", "{host}/security.json", "-o", tmp_path / "fleet")
    assert len(auditor.load_fleet(tmp_path / "fleet" / "fleet.json").hosts) == len(names)


@pytest.mark.skipif(os.name == "nt", reason="a list in the code page of Windows is text there")
def test_a_map_of_hosts_in_any_encoding_names_them(log: Path, tmp_path: Path):
    hosts = tmp_path / "hosts.csv"
    hosts.write_bytes(b"host,site,path\nPC\xe9,S\xff,pc01\n")
    run("batch", log.parents[1], "--host-map", hosts, "-o", tmp_path / "fleet")
    (host,) = auditor.load_fleet(tmp_path / "fleet" / "fleet.json").hosts
    assert (host.host, host.site) == ("PC\ufffdDCE9", "S\ufffdDCFF")


@pytest.mark.parametrize("form", ["text", "json", "html", "markdown", "junit", "sarif"])
def test_a_forged_report_of_half_characters_is_rendered_in_unicode(log: Path, tmp_path: Path, form: str):
    saved = tmp_path / "report.json"
    run("analyze", log, *ROLES, "--format", "json", "-o", saved)
    saved.write_text(saved.read_text().replace("agent.exe", "\\udfff"))
    assert run("render", saved, "--format", form, "-o", tmp_path / "out") == 0
    assert is_unicode(tmp_path / "out")
