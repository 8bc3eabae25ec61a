"""The real captures that tests compare with what other tools say of them; see the fixture `corpus`."""

from __future__ import annotations

import csv
import gzip
import os
from functools import cache
from pathlib import Path

from auditor.sources.capture.reader import PCAP_MAGICS, PCAPNG_MAGIC
from auditor.sources.files.gzip_stream import GZIP_MAGIC
from auditor.sources.read import read
from auditor.sources.source import Source

FOLDER = Path(os.environ.get("AUDITOR_CORPUS") or "no-corpus")


def captures(under: str = "") -> list[str]:
    """Return the paths of all pcap and pcapng files, relative to the folder, in order."""
    files = sorted(path for path in (FOLDER / under).rglob("*") if path.is_file())
    return [path.relative_to(FOLDER).as_posix() for path in files if _is_capture(path)]


def _is_capture(path: Path) -> bool:
    with path.open("rb") as file:
        head = file.read(4)
    if head[:2] == GZIP_MAGIC:
        with gzip.open(path) as file:
            head = file.read(4)
    return head in PCAP_MAGICS or head == PCAPNG_MAGIC


def rows(table: str) -> list[dict[str, str]]:
    """Return the rows of one of the tables that go with the captures; none if there is no corpus."""
    path = FOLDER / table
    if not path.exists():
        return []
    with path.open(encoding="utf-8", newline="") as file:
        return list(csv.DictReader(file, delimiter="\t"))


@cache
def source(name: str) -> Source:
    """Read one of the captures, once."""
    return read(FOLDER / name)
