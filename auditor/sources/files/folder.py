"""The files below a folder, in the order of their names, within bounds: no link is followed, no device is opened."""

from __future__ import annotations

import os
import stat
from itertools import islice
from typing import NamedTuple

from auditor.errors import SourceError
from auditor.sources.files.hidden import is_hidden

MOST_ENTRIES = 10_000  # files and folders: the evidence of one installation is a few dozen
MOST_LEVELS = 32
MOST_BYTES = 1024**4
SMALLER = "Name the folder of one installation. For a fleet: auditor batch FOLDER -o DIR"
JUNCTION = getattr(stat, "IO_REPARSE_TAG_MOUNT_POINT", None)  # only Windows has it


class FileBelow(NamedTuple):
    """A file below a folder: the names on the way to it, its path, and its size."""

    parts: tuple[str, ...]
    path: str
    bytes: int


class FolderContents(NamedTuple):
    """What is below a folder.

    Attributes:
        files: In the order of their names.
        others: Links and devices, which are not read.
        errors: About folders that cannot be listed.
    """

    files: list[FileBelow]
    others: list[str]
    errors: list[SourceError]


def files_below(top: str, most: int = MOST_ENTRIES) -> FolderContents:
    """Return the files in a folder and in all folders below it, without hidden ones.

    Args:
        top: The folder.
        most: Files and folders that it may hold.

    Raises:
        SourceError: It holds more, or more bytes than the evidence of one installation has.
    """
    contents = FolderContents([], [], [])
    waiting: list[tuple[tuple[str, ...], str]] = [((), top)]
    count = 0
    while waiting:
        parts, folder = waiting.pop()
        entries = _entries(folder, most - count, contents.errors)
        count += len(entries)
        if count > most:
            raise SourceError(f"the folder holds more than {most:,} files", where=top, hint=SMALLER)
        for entry in entries:
            if not is_hidden(entry.name):
                waiting += _sorted_in(entry, (*parts, entry.name), contents)
    if sum(file.bytes for file in contents.files) > MOST_BYTES:
        raise SourceError(f"the files in it are larger than {MOST_BYTES // 1024**4} TiB", where=top, hint=SMALLER)
    contents.files.sort(key=lambda file: file.parts)
    contents.others.sort()
    return contents


def _entries(folder: str, most: int, errors: list[SourceError]) -> list[os.DirEntry[str]]:
    """Return what is in one folder, at most one entry too many."""
    try:
        with os.scandir(folder) as entries:
            return list(islice(entries, most + 1))
    except OSError as error:
        reason = f"the folder cannot be listed ({error.strerror})"
        errors.append(SourceError(reason, where=folder, hint="Copy it, or run as a user who may read it."))
        return []


def _sorted_in(
    entry: os.DirEntry[str], parts: tuple[str, ...], contents: FolderContents
) -> list[tuple[tuple[str, ...], str]]:
    """Add one entry to what it is; return it if it is a folder to search."""
    try:
        if entry.is_symlink() or _is_junction(entry):
            contents.others.append(entry.path)
        elif entry.is_dir(follow_symlinks=False):
            if len(parts) <= MOST_LEVELS:
                return [(parts, entry.path)]
            reason = f"more than {MOST_LEVELS} folders deep"
            contents.errors.append(SourceError(reason, where=entry.path, hint="Name this folder itself."))
        elif entry.is_file(follow_symlinks=False):
            contents.files.append(FileBelow(parts, entry.path, entry.stat(follow_symlinks=False).st_size))
        else:
            contents.others.append(entry.path)
    except OSError:  # it went away meanwhile
        contents.others.append(entry.path)
    return []


def _is_junction(entry: os.DirEntry[str]) -> bool:
    """Tell whether an entry is a folder that leads to another place, as Windows has them beside links."""
    tag = getattr(entry.stat(follow_symlinks=False), "st_reparse_tag", 0)
    return JUNCTION is not None and tag == JUNCTION
