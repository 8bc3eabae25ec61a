"""Write results: to standard output, or to a file that appears whole or not at all."""

from __future__ import annotations

import os
import stat
import sys
import tempfile
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import BinaryIO

from auditor.errors import OutputError

STANDARD = "-"
TEMPORARY = ".auditor-"  # so begin the names of files that are not complete yet


@contextmanager
def opened(path: str, *, force: bool) -> Iterator[BinaryIO]:
    """Yield a binary file to write to. Raises OutputError if the output exists (without force) or cannot be written.

    A file is written beside its place under another name and put there only when everything went well. Where the path
    is a symbolic link, what it points to is written, whether that is there already or not.
    """
    if path == STANDARD:
        sys.stdout.flush()
        yield sys.stdout.buffer
        sys.stdout.buffer.flush()
        return
    check(path, force=force)
    try:
        with replacing(_place(path)) as file:
            yield file
    except OSError as error:
        raise _unwritable(path, error) from error


@contextmanager
def replacing(path: Path) -> Iterator[BinaryIO]:
    """Yield a new file, and put it at a path once it is complete.

    Its name beside the path cannot be known before, and it is never a file that is there already. A link at the path is
    replaced; what it points to stays.

    Args:
        path: Where the file is put.

    Raises:
        OSError: If it cannot be written.
    """
    number, name = tempfile.mkstemp(prefix=TEMPORARY, dir=path.parent)
    try:
        with os.fdopen(number, "wb") as file:
            yield file
        os.chmod(name, 0o666 & ~_umask())
        os.replace(name, path)
    finally:
        Path(name).unlink(missing_ok=True)


def check(path: str, *, force: bool, inputs: Iterable[str] = (), binary: bool = False) -> None:
    """Raise OutputError if the output exists already and may not be replaced, before any work is done.

    inputs: files that are never replaced, whatever is said, by this name or another. binary: nothing for a terminal.
    """
    if path == STANDARD:
        if binary and sys.stdout.isatty():
            raise OutputError("this form is not for a terminal", where="-o", hint="Name a file: -o FILE")
        return
    if not path.strip():
        raise OutputError("the output has no name", where="-o", hint="Name a file, or - for standard output.")
    if any(_same(path, source) for source in inputs):
        raise OutputError("this is one of the files being read", where=path, hint="Choose another name.")
    try:
        mode = os.stat(path).st_mode
    except FileNotFoundError:
        _check_folder(path)
        return
    except (OSError, ValueError) as error:
        raise _unwritable(path, error) from error
    if stat.S_ISDIR(mode):
        raise OutputError("this is a folder", where=path, hint="Name a file in it.")
    if not stat.S_ISREG(mode):
        raise OutputError("this is a device, not a file", where=path, hint="Name a file, or - for standard output.")
    if not force:
        raise OutputError("the output exists already", where=path, hint="Choose another name, or add --force.")


def _check_folder(path: str) -> None:
    """Raise OutputError if a file that is not there yet cannot be made either."""
    folder = _place(path).parent
    if path.endswith((os.sep, os.altsep or os.sep)) or not folder.is_dir():
        raise OutputError("folder does not exist", where=path, hint="Create it first.")


def _place(path: str) -> Path:
    """Return where a path leads to, through all links, whether anything is there or not."""
    try:
        return Path(os.path.realpath(path))
    except OSError as error:  # the current folder was removed
        raise _unwritable(path, error) from error


def _same(path: str, other_path: str) -> bool:
    try:
        return os.path.samefile(path, other_path)
    except (OSError, ValueError):
        return False


def _unwritable(path: str, error: Exception) -> OutputError:
    reason = getattr(error, "strerror", None) or error
    return OutputError(f"cannot be written ({reason})", where=path, hint="Choose a folder that you can write to.")


def _umask() -> int:
    mask = os.umask(0)
    os.umask(mask)
    return mask
