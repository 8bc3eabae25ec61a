"""Temporary files: gone at the end, also those of a run that was killed; without room for them the rest goes on."""

from __future__ import annotations

import errno
import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import pytest
from scenes import SCENES

import auditor
from auditor.sources.dissection import tshark
from auditor.sources.dissection.program import find_tshark
from auditor.sources.files.temporary_folder import ABANDONED_S, temporary_folder

CAPTURE = next(scene for scene in SCENES if scene.name == "smb-dropped").captures[0]
needs_tshark = pytest.mark.skipif(find_tshark() is None, reason="tshark is not installed")
KILLED = """
import os, signal, sys
from auditor.sources.files.temporary_folder import temporary_folder
with temporary_folder() as folder:
    (folder / "unpacked").write_bytes(b"x")
    print(folder, flush=True)
    sys.stdin.read()
"""


@pytest.fixture(autouse=True)
def parent(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Put temporary files into a folder of their own."""
    folder = tmp_path / "temporary"
    folder.mkdir()
    monkeypatch.setattr(tempfile, "tempdir", str(folder))
    monkeypatch.setenv("TMPDIR", str(folder))
    return folder


def make_old(folder: Path) -> None:
    begin = time.time() - 2 * ABANDONED_S
    os.utime(folder, (begin, begin))


def test_a_folder_is_gone_at_its_end(parent):
    with temporary_folder() as folder:
        (folder / "file").write_bytes(b"x")
        assert folder.parent == parent
    assert list(parent.iterdir()) == []


@pytest.mark.skipif(os.name == "nt", reason="Windows keeps what is open")
@pytest.mark.parametrize("is_running", [True, False])
def test_only_what_no_process_has_any_more_is_removed(is_running):
    words = [sys.executable, "-c", KILLED]
    with subprocess.Popen(words, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as process:
        left = Path(process.stdout.readline().strip())
        make_old(left)
        if not is_running:
            process.kill()
            process.wait()
        with temporary_folder():
            assert left.exists() is is_running
        process.kill()


def test_what_is_not_ours_stays(parent, tmp_path):
    (tmp_path / "elsewhere").mkdir()
    (tmp_path / "elsewhere" / ".lock").write_bytes(b"")
    (parent / "auditor-link").symlink_to(tmp_path / "elsewhere")
    (parent / "auditor-notes").mkdir()
    (parent / "auditor-file").write_bytes(b"x")
    make_old(parent / "auditor-notes")
    with temporary_folder():
        pass
    assert {path.name for path in parent.iterdir()} == {"auditor-link", "auditor-notes", "auditor-file"}
    assert (tmp_path / "elsewhere" / ".lock").exists()


@needs_tshark
def test_without_a_temporary_folder_only_the_protocols_are_missing(parent):
    parent.rmdir()
    report = auditor.audit(CAPTURE)
    assert report.clients[0].method("client-push").result == "fails"
    assert any("no temporary capture can be written for tshark" in text for text in report.limitation_texts)


@needs_tshark
def test_a_full_temporary_folder_costs_only_the_protocols(monkeypatch):
    def full(*_: object) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(tshark, "write_pcapng", full)
    report = auditor.audit(CAPTURE)
    assert report.clients[0].method("client-push").result == "fails"
    assert any("(No space left on device)" in text for text in report.limitation_texts)
