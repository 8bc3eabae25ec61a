"""The command line: the samples it is tried with, and what it did."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

from places import SAMPLES

import auditor

WORKS, FAILS = str(SAMPLES / "all-open.pcap"), str(SAMPLES / "smb-dropped.pcap")


CODE = Path(auditor.__file__).parent


class Ran(NamedTuple):
    """What a command did: its exit code and what it wrote."""

    code: int
    out: str
    err: str


Run = Callable[..., Ran]
