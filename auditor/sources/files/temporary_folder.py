"""A temporary folder: removed at its end, or by a later run if the process is killed before."""

from __future__ import annotations

import os
import shutil
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from functools import cache
from pathlib import Path

from auditor.sources.files.file_lock import lock

PREFIX, LOCK = "auditor-", ".lock"
ABANDONED_S = 3600.0  # a younger folder may be one whose process has not locked it yet


@contextmanager
def temporary_folder() -> Iterator[Path]:
    """Yield a new folder that only this user can read; it is removed with all that is in it.

    Folders that killed processes left an hour ago or earlier are removed as well.

    Raises:
        OSError: If none can be made.
    """
    _remove_abandoned(Path(tempfile.gettempdir()))
    folder = Path(tempfile.mkdtemp(prefix=PREFIX))
    try:
        with (folder / LOCK).open("xb") as file:
            with suppress(OSError):  # a drive without locks: nothing is removed there later
                lock(file.fileno())
            yield folder
    finally:
        shutil.rmtree(folder, ignore_errors=True)


@cache
def _remove_abandoned(parent: Path) -> None:
    """Remove folders that killed processes left; once in a process, which may have many folders of its own."""
    latest = time.time() - ABANDONED_S
    for folder in parent.glob(f"{PREFIX}*"):
        with suppress(OSError):
            if _is_ours(folder) and folder.lstat().st_mtime < latest:
                _remove_unless_locked(folder)


def _is_ours(folder: Path) -> bool:
    is_folder = folder.is_dir() and not folder.is_symlink()
    return is_folder and (not hasattr(os, "geteuid") or folder.lstat().st_uid == os.geteuid())


def _remove_unless_locked(folder: Path) -> None:
    with (folder / LOCK).open("rb+") as file:
        lock(file.fileno())
    shutil.rmtree(folder, ignore_errors=True)
