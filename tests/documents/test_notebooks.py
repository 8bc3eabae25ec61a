"""The notebooks run from a clean kernel, without errors, and show nothing but what the samples and the lab hold."""

from __future__ import annotations

import ast
import ipaddress
import json
import os
import re
import shutil
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from places import ROOT
from waiting import PATIENCE

FOLDER = ROOT / "notebooks"
NOTEBOOKS = sorted(FOLDER.glob("*.ipynb"))
LAB = [
    ipaddress.ip_network("10.20.0.0/16"),
    ipaddress.ip_network("10.120.0.0/16"),
    ipaddress.ip_network("fd20::/16"),
    ipaddress.ip_network("fe80::/10"),
]
MODULES = {"auditor", "altair", "duckdb", "pandas", "pathlib", "tempfile"}
NEEDS_TSHARK = "follow-the-packets"


def cells(path: Path) -> list[dict[str, Any]]:
    return json.loads(path.read_text(encoding="utf-8"))["cells"]


def sources(path: Path, kind: str) -> list[str]:
    return ["".join(cell["source"]) for cell in cells(path) if cell["cell_type"] == kind]


# what is committed


def test_they_are_all_there():
    names = {
        "a-failed-push",
        "which-method-would-work",
        "a-folder-of-logs",
        "a-fleet",
        "before-and-after",
        "what-ccm-log-says",
        NEEDS_TSHARK,
    }
    assert {path.stem for path in NOTEBOOKS} == names


@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.stem)
def test_a_notebook_is_committed_without_outputs(path):
    code = [cell for cell in cells(path) if cell["cell_type"] == "code"]
    assert [cell for cell in code if cell["outputs"] or cell["execution_count"]] == []


@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.stem)
def test_a_notebook_uses_only_what_is_public(path):
    for text in sources(path, "code"):
        for node in ast.walk(ast.parse(text)):
            if isinstance(node, ast.Import):
                assert {alias.name for alias in node.names} <= MODULES
            if isinstance(node, ast.ImportFrom):
                assert node.module in MODULES
            if isinstance(node, ast.Attribute):
                assert not node.attr.startswith("_")


@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.stem)
def test_cells_are_short_and_prose_stands_between(path):
    assert sources(path, "markdown")[0].startswith("# ")
    assert max(len(text.splitlines()) for text in sources(path, "code")) <= 20
    assert 2 * len(sources(path, "markdown")) >= len(sources(path, "code"))


@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.stem)
def test_every_file_that_a_notebook_reads_is_shipped(path):
    names = re.findall(r'"([\w.-]+\.(?:pcap|pcapng)(?:\.gz)?)"', "\n".join(sources(path, "code")))
    assert [name for name in names if not (ROOT / "sample_captures" / name).is_file()] == []


# what they show


@pytest.fixture(scope="module", params=NOTEBOOKS, ids=lambda path: path.stem)
def outputs(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> list[dict[str, Any]]:
    """Run a notebook in a clean kernel, where it stands, and return what its cells show."""
    for package in ("nbclient", "ipykernel", "altair", "vl_convert", "duckdb", "pyarrow"):
        pytest.importorskip(package, reason=f"{package} is not installed, so notebooks cannot be run")
    if request.param.stem == NEEDS_TSHARK and shutil.which("tshark") is None:
        pytest.skip("tshark is not installed, and this notebook shows packets as it sees them")
    import nbformat
    from nbclient import NotebookClient

    settings = tmp_path_factory.mktemp("kernel")
    kernel = settings / "kernels" / "clean"
    kernel.mkdir(parents=True)
    command = [sys.executable, "-m", "ipykernel_launcher", "-f", "{connection_file}"]
    specification = {"argv": command, "display_name": "clean", "language": "python"}
    (kernel / "kernel.json").write_text(json.dumps(specification), encoding="utf-8")
    changed = {
        "JUPYTER_PATH": str(settings),
        "JUPYTER_RUNTIME_DIR": str(settings),
        "IPYTHONDIR": str(settings),
        "PYTHONPATH": str(ROOT),
        "TMPDIR": str(settings),  # where the notebook puts its files: not beside those of others
    }
    with pytest.MonkeyPatch.context() as patch:
        for name, value in changed.items():
            patch.setenv(name, value)
        notebook = nbformat.read(request.param, as_version=4)
        client = NotebookClient(
            notebook, timeout=PATIENCE, kernel_name="clean", resources={"metadata": {"path": FOLDER}}
        )
        client.execute(env=dict(os.environ))
    return [output for cell in notebook.cells if cell.cell_type == "code" for output in cell.outputs]


def test_every_cell_runs_without_an_error_or_a_warning(outputs):
    assert outputs
    assert [output for output in outputs if output["output_type"] == "error" or output.get("name") == "stderr"] == []
    assert [
        output for output in outputs if output["output_type"] == "display_data"
    ] == []  # nothing shows itself unasked


def test_charts_are_drawn_and_nothing_is_loaded(outputs):
    shown = [output["data"] for output in outputs if "data" in output]
    assert {kind for one in shown for kind in one} <= {"text/plain", "text/html", "image/svg+xml"}
    addresses = {found for text in texts(outputs) for found in re.findall(r"https?://[^\s\"'<>)]+", text)}
    assert {one for one in addresses if not one.startswith("http://www.w3.org/")} == set()


def test_every_address_is_of_the_lab(outputs):
    found = {address for text in texts(outputs) for address in addresses_in(text)}
    assert found
    assert [one for one in found if not any(one in network for network in LAB if network.version == one.version)] == []


def texts(outputs: list[dict[str, Any]]) -> Iterator[str]:
    for output in outputs:
        yield from map(str, output.get("data", {}).values())
        yield output.get("text", "")


def addresses_in(text: str) -> Iterator[ipaddress.IPv4Address | ipaddress.IPv6Address]:
    for word in re.findall(r"(?<![\w.])\d+(?:\.\d+){3}(?![\w.]*\d)|(?<![\w:])[0-9a-f:]*::[0-9a-f:]*(?![\w:-])", text):
        try:
            yield ipaddress.ip_address(word)
        except ValueError:
            continue
