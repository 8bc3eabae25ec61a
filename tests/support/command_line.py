"""The command line as a process of its own."""

from __future__ import annotations

import sys
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

import pytest
from places import SAMPLES

import auditor
from auditor import __main__ as command

WORKS, FAILS = str(SAMPLES / "all-open.pcap"), str(SAMPLES / "smb-dropped.pcap")


CODE = Path(auditor.__file__).parent


class Ran(NamedTuple):
    """What a command did: its exit code and what it wrote."""

    code: int
    out: str
    err: str


Run = Callable[..., Ran]


@pytest.fixture
def run(monkeypatch, capfd) -> Run:
    """Run `auditor` in this process, as the installed command does."""
    monkeypatch.delenv("AUDITOR_DEBUG", raising=False)

    def run(*words: object) -> Ran:
        monkeypatch.setattr(sys, "argv", ["auditor", *map(str, words)])
        with pytest.raises(SystemExit) as exited:
            command.main()
        return Ran(exited.value.code, *capfd.readouterr())

    return run
