"""The generated fleet: what it says is true of a computer is what an audit of that computer's logs finds."""

from __future__ import annotations

import csv
import importlib
import json
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType

import pytest
from click.testing import CliRunner
from places import BENCHMARKS

from auditor.cli.commands import cli

pytestmark = pytest.mark.slow

MAKE = BENCHMARKS / "make_fleet.py"
SAMPLE = BENCHMARKS.parent / "sample_captures" / "fleet"
HOSTS = 40
Row = dict[str, str]


def make(out: Path, *options: object) -> Path:
    subprocess.run([sys.executable, MAKE, out, "--hosts", str(HOSTS), *map(str, options)], check=True)
    return out


def content(folder: Path) -> dict[str, bytes]:
    return {str(path.relative_to(folder)): path.read_bytes() for path in folder.rglob("*.*") if path.is_file()}


def truth(fleet: Path) -> list[Row]:
    with (fleet / "truth.csv").open(encoding="utf-8", newline="") as file:
        return list(csv.DictReader(file))


def files(fleet: Path, row: Row) -> list[Path]:
    return sorted((fleet / "logs" / row["site"] / row["host"]).iterdir())


def audited(fleet: Path, row: Row) -> Row:
    """Return the truth of a computer as `auditor analyze` tells it from its logs."""
    originals = [path for path in files(fleet, row) if "Copy" not in path.name]
    number = row["address"].split(".")[1]
    roles = ["--role", f"site-server=10.{number}.10.5", "--role", f"management-point=10.{number}.10.80"]
    words = ["analyze", *map(str, originals), "--format", "json", *roles]
    report = json.loads(CliRunner().invoke(cli, words).stdout or "{}")
    sources, clients = report.get("sources", []), report.get("clients", [])
    pushes = [method for client in clients for method in client["methods"] if method["id"] == "client-push"]
    return row | {
        "address": ";".join(client["address"] for client in clients) or row["address"],
        "expected": ";".join(push["result"] for push in pushes) or "no-evidence",
        "blamed": ";".join(
            why["requirement"] for push in pushes for why in push["reasons"] if why["kind"] == "network"
        ),
        "rows": str(sum(one["records"] for one in sources)) if sources else row["rows"],
        "malformed": str(sum(one["skipped"] for one in sources)) if sources else row["malformed"],
    }


@pytest.fixture(scope="module")
def generator() -> Iterator[ModuleType]:
    with pytest.MonkeyPatch.context() as patch:
        patch.syspath_prepend(BENCHMARKS)
        yield importlib.import_module("make_fleet")


@pytest.fixture(scope="module")
def fleet(tmp_path_factory) -> Path:
    return make(tmp_path_factory.mktemp("fleet") / "out", "--bytes", "3MB")


def test_forty_computers_show_every_state_and_every_shape(fleet, generator):
    assert {row["state"] for row in truth(fleet)} == generator.STATES.keys()
    assert {row["shape"] for row in truth(fleet)} == generator.SHAPES.keys()
    assert {row["expected"] for row in truth(fleet)} == {"allowed", "fails", "unproven", "no-evidence"}


def test_an_audit_of_each_computer_finds_what_is_true_of_it(fleet):
    every = truth(fleet)
    assert [audited(fleet, row) for row in every] == every


def test_the_map_of_hosts_names_all_of_them(fleet):
    expected = ["host,site,address", *(",".join((row["host"], row["site"], row["address"])) for row in truth(fleet))]
    assert (fleet / "hosts.csv").read_text(encoding="utf-8").splitlines() == expected


def test_the_files_are_those_that_the_truth_counts(fleet):
    for row in truth(fleet):
        found = files(fleet, row)
        assert (len(found), sum(path.stat().st_size for path in found)) == (int(row["files"]), int(row["bytes"]))
        assert len({path.read_bytes() for path in found}) == len(found) - int(row["copies"])


@pytest.mark.parametrize("name", ["first-dropped", "first-allowed"])
def test_a_firewall_that_was_changed_is_told(fleet, name):
    row = next(row for row in truth(fleet) if row["state"] == name)
    words = ["analyze", *map(str, files(fleet, row)), "--site", str(fleet / "site.toml"), "--format", "json"]
    (client,) = json.loads(CliRunner().invoke(cli, words).stdout)["clients"]
    changed = [one["id"] for one in client["methods"][0]["requirements"] if one["changed"]]
    assert changed == ["client-push/smb"]


def test_the_same_seed_gives_the_same_bytes_and_another_seed_others(fleet, tmp_path):
    assert content(make(tmp_path / "same", "--bytes", "3MB")) == content(fleet)
    assert content(make(tmp_path / "other", "--bytes", "3MB", "--seed", 2)) != content(fleet)


def test_tiny_logs_are_one_of_about_ten_kilobytes_for_each_computer(tmp_path):
    fleet = make(tmp_path / "out", "--tiny")
    logs = [files(fleet, row) for row in truth(fleet) if row["rows"] != "0"]
    assert {len(each) for each in logs} == {1}
    plain = [row for row in truth(fleet) if row["shape"] == "plain" and row["rows"] != "0"]
    assert all(8_000 < int(row["bytes"]) < 14_000 for row in plain)
    some = truth(fleet)[:20]
    assert [audited(fleet, row) for row in some] == some


def test_a_folder_that_holds_something_is_left_alone(fleet):
    done = subprocess.run([sys.executable, MAKE, fleet], capture_output=True, text=True, check=False)
    assert (done.returncode, done.stderr.strip()) == (1, f"{fleet}: not empty; name a new folder")


def test_the_sample_fleet_is_as_its_generator_makes_it(tmp_path):
    subprocess.run([sys.executable, BENCHMARKS / "make_sample_fleet.py", tmp_path / "fleet"], check=True)
    assert content(tmp_path / "fleet") == content(SAMPLE)
    assert sum(map(len, content(SAMPLE).values())) < 150_000
