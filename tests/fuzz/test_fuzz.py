"""Every file that once broke a reader is read now, and so are some hundred new ones, the same in each run."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

if os.name == "nt":
    pytest.skip("the limits of time are those of POSIX", allow_module_level=True)

from fuzz import FINDS, TARGETS, fault_of, fuzz

KEPT = sorted(path for path in FINDS.glob("*/*") if path.is_file())
COUNT, SEED = 60, 1


@pytest.mark.parametrize("path", KEPT, ids=lambda path: f"{path.parent.name}-{path.name}")
def test_what_once_broke_a_reader_is_read(path: Path):
    assert fault_of(TARGETS[path.parent.name], path.read_bytes()) == ""


@pytest.mark.parametrize("name", TARGETS)
def test_no_change_of_a_file_breaks_its_reader(name: str):
    figures = fuzz(name, COUNT, SEED)
    if not figures.mutants:
        pytest.skip("there is no file of this kind: set AUDITOR_CORPUS")
    assert figures.faults == {}
