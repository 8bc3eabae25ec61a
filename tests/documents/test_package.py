"""The package as others get it: no ports in the code, modules that introduce themselves, a whole wheel."""

from __future__ import annotations

import ast
import importlib.util
import os
import re
import shutil
import subprocess
import sys
import tokenize
import zipfile
from collections.abc import Iterator
from pathlib import Path

import pytest

import auditor
from auditor.ruleset.ruleset import load_ruleset, shipped_rulesets

CODE = Path(auditor.__file__).parent
ROOT = CODE.parent
MODULES = sorted(CODE.rglob("*.py"))
EMPTY_WORDS = {"utils", "util", "manager", "helper", "helpers", "data", "info", "common", "misc"}

# Numbers that are ports in a ruleset and something else here: folder (or "" for all), number, what it is.
NO_PORTS = {
    ("", 1024): "bytes in a kibibyte",
    ("capture", 135): "ICMPv6 type of a neighbour solicitation, IPv6 mobility header",
    ("capture", 65535): "bytes that an IP packet can hold",
}
SCRIPTS = (".ci/run", "Makefile", "CONTRIBUTING.md", "SECURITY.md", "tests/platforms/run", "tests/platforms/compare")
OFFLINE = ("ConnectionError", "Failed to establish", "Temporary failure", "No matching distribution", "Max retries")


def ports_of_rulesets() -> set[int]:
    """Return every port number in the shipped rulesets, the ends of their ranges too."""
    found: set[int] = set()
    for ruleset in map(load_ruleset, shipped_rulesets()):
        found.update(port for requirement in ruleset.requirements for port in requirement.ports)
        found.update(port for ends in ruleset.dynamic_ports for port in ends)
        found.update(ruleset.fixed_dynamic_ports)
        found.update(port for tie in ruleset.tied_ports for pair in tie.pairs for port in pair)
    return found


def numbers(path: Path) -> Iterator[tuple[int, int]]:
    """Yield line and value of each whole number in a module, also of texts that are nothing but one.

    Numbers in hexadecimal are left out: they are bits of headers, and nobody writes a port that way.
    """
    with path.open("rb") as file:
        for token in tokenize.tokenize(file.readline):
            if token.type == tokenize.STRING and token.string.strip("\"'").isdecimal():
                yield token.start[0], int(token.string.strip("\"'"))
            elif token.type == tokenize.NUMBER and not token.string.lower().startswith("0x"):
                value = ast.literal_eval(token.string)
                if value == int(value.real):
                    yield token.start[0], int(value.real)


# code


def test_the_rulesets_have_the_ports_that_everybody_knows():
    assert ports_of_rulesets() >= {80, 135, 443, 445, 8530, 8531, 24158, 49152, 65535}


@pytest.mark.parametrize("path", MODULES, ids=lambda path: str(path.relative_to(CODE)))
def test_no_port_number_lives_in_the_code(path):
    ports = ports_of_rulesets() - {number for folder, number in NO_PORTS if folder in ("", path.parent.name)}
    assert [f"line {line}: {number}" for line, number in numbers(path) if number in ports] == []


def test_every_exception_is_still_needed():
    found = {(folder, value) for path in MODULES for _, value in numbers(path) for folder in ("", path.parent.name)}
    assert [number for number in NO_PORTS if number not in found] == []


@pytest.mark.parametrize("path", MODULES, ids=lambda path: str(path.relative_to(CODE)))
def test_a_module_says_what_it_is_for(path):
    text = ast.get_docstring(ast.parse(path.read_text(encoding="utf-8")))
    assert text
    assert text.splitlines()[0].endswith((".", ":"))


def test_no_module_has_an_empty_name():
    names = {part for path in MODULES for part in path.relative_to(CODE).with_suffix("").parts}
    assert names & EMPTY_WORDS == set()


# Dataclasses that are no values: they collect or count while something is read or done.
CHANGEABLE = {
    "Account",
    "ExportAccount",
    "Faults",
    "LogAccount",
    "Plan",
    "RecordAccount",
    "Tally",
    "_Collected",
    "_EventColumns",
    "_Handshake",
    "_PartOfComputer",
    "_PendingPacket",
}


def test_values_cannot_be_changed():
    found = {
        node.name
        for path in MODULES
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8")))
        if isinstance(node, ast.ClassDef)
        for decorator in map(ast.unparse, node.decorator_list)
        if decorator.startswith("dataclass") and "frozen=True" not in decorator
    }
    assert found == CHANGEABLE


# import


def python(code: str, *, path: Path, cwd: Path) -> str:
    """Run code in a Python of its own, with one folder on its path, and return what it prints."""
    environment = {**os.environ, "PYTHONPATH": str(path)}
    return subprocess.run(
        [sys.executable, "-c", code], cwd=cwd, env=environment, capture_output=True, text=True, check=True
    ).stdout.strip()


@pytest.mark.parametrize(
    "words", ["", "; from auditor.cli.commands import cli; cli.main(['--help'], standalone_mode=False)"]
)
def test_what_is_heavy_is_not_loaded_before_it_is_used(words, tmp_path):
    code = f"import auditor, sys{words}; print([name for name in ('numpy', 'pandas', 'rich') if name in sys.modules])"
    assert python(code, path=ROOT, cwd=tmp_path).endswith("[]")


@pytest.mark.parametrize("form", ["text", "csv", "jsonl"])
def test_the_flow_table_is_written_without_pandas(form, tmp_path):
    words = ["flows", str(ROOT / "sample_captures" / "all-open.pcap"), "--format", form, "-o", "flows"]
    code = f"import sys; from auditor.cli.commands import cli; cli.main({words}, standalone_mode=False); "
    assert python(code + "print('pandas' in sys.modules)", path=ROOT, cwd=tmp_path) == "False"


def test_a_capture_is_judged_without_pandas(tmp_path):
    words = ["analyze", "--no-dissect", str(ROOT / "sample_captures" / "smb-dropped.pcap"), "-o", "report"]
    code = f"import sys; from auditor.cli.commands import cli; cli.main({words}, standalone_mode=False); "
    assert python(code + "print('pandas' in sys.modules)", path=ROOT, cwd=tmp_path) == "False"


def test_a_host_of_a_fleet_is_judged_without_pandas(tmp_path):
    auditor.batch(ROOT / "sample_captures" / "smb-dropped.pcap", out=tmp_path / "out", workers=0)
    (host,) = auditor.load_fleet(tmp_path / "out" / "fleet.json").hosts
    code = f"import sys; from auditor.api.batch import host_report; host_report('out', {host.host!r}); "
    assert python(code + "print('pandas' in sys.modules)", path=ROOT, cwd=tmp_path) == "False"


def test_every_public_name_is_there():
    assert [name for name in auditor.__all__ if getattr(auditor, name, None) is None] == []


def test_a_name_that_is_not_there():
    with pytest.raises(AttributeError, match="module 'auditor' has no attribute 'adit'"):
        auditor.adit  # noqa: B018 - the access is the test


# wheel


def builder(folder: Path, target: Path) -> list[str]:
    """Return the command that builds the wheel, without a network if it can do so."""
    if importlib.util.find_spec("build"):
        isolation = ["--no-isolation"] if importlib.util.find_spec("hatchling") else []
        return [sys.executable, "-m", "build", "--wheel", *isolation, "--outdir", str(target), str(folder)]
    if importlib.util.find_spec("hatchling"):
        return [sys.executable, "-m", "hatchling", "build", "-t", "wheel", "-d", str(target)]
    pytest.skip("neither build nor hatchling is installed")


@pytest.fixture(scope="module")
def wheel(tmp_path_factory) -> Path:
    """Build the wheel from a copy of the sources."""
    folder, target = tmp_path_factory.mktemp("source"), tmp_path_factory.mktemp("wheel")
    for name in ("auditor", "rulesets"):
        shutil.copytree(ROOT / name, folder / name, ignore=shutil.ignore_patterns("__pycache__"))
    for name in ("pyproject.toml", "README.md"):
        shutil.copy(ROOT / name, folder / name)
    done = subprocess.run(builder(folder, target), cwd=folder, capture_output=True, text=True, check=False)
    if done.returncode and any(word in done.stdout + done.stderr for word in OFFLINE):
        pytest.skip("the build needs hatchling, and there is no network to get it from")
    assert done.returncode == 0, done.stdout + done.stderr
    (path,) = target.glob("*.whl")
    return path


@pytest.fixture(scope="module")
def installed(wheel, tmp_path_factory) -> Path:
    """Install the wheel into a folder of its own."""
    pytest.importorskip("pip")
    folder = tmp_path_factory.mktemp("installed")
    command = [sys.executable, "-m", "pip", "install", "--quiet", "--no-index", "--no-deps", "--target", str(folder)]
    subprocess.run([*command, str(wheel)], capture_output=True, check=True)
    return folder


def test_the_wheel_holds_the_rulesets(wheel):
    names = set(zipfile.ZipFile(wheel).namelist())
    rulesets = {
        f"auditor/rulesets/{path.relative_to(ROOT / 'rulesets').as_posix()}" for path in ROOT.glob("rulesets/**/*.toml")
    }
    assert len(rulesets) >= 3
    assert rulesets - names == set()


def test_the_wheel_holds_everything_of_the_package(wheel):
    names = set(zipfile.ZipFile(wheel).namelist())
    files = {path.relative_to(ROOT).as_posix() for path in CODE.rglob("*") if path.is_file() and path.suffix != ".pyc"}
    assert files - names == set()


def test_the_wheel_holds_nothing_else(wheel):
    names = {name.split("/")[0] for name in zipfile.ZipFile(wheel).namelist()}
    assert {name for name in names if not name.endswith(".dist-info")} == {"auditor"}


def test_the_installed_package_finds_its_rulesets(installed, tmp_path):
    code = "import auditor; print(auditor.load_ruleset().path)"
    assert python(code, path=installed, cwd=tmp_path) == str(installed / "auditor" / "rulesets" / "configmgr-2007.toml")


def test_the_installed_package_audits_a_capture(installed, tmp_path):
    capture = ROOT / "sample_captures" / "smb-dropped.pcap"
    code = f"import auditor; print(auditor.audit({str(capture)!r}))"
    assert python(code, path=installed, cwd=tmp_path).startswith("FAILS: client push to 10.20.2.20")


def test_the_installed_command_is_there(installed):
    assert any(path.stem == "auditor" for path in (installed / "bin").glob("*"))


@pytest.mark.parametrize("name", SCRIPTS)
def test_every_test_file_that_a_script_names_is_there(name):
    named = re.findall(r"\btests/[\w/]+\.\w+", (ROOT / name).read_text(encoding="utf-8"))
    assert [path for path in named if "NAME" not in path and not (ROOT / path).is_file()] == []
