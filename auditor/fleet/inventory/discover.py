"""Find the sources of a fleet: files, folders, patterns, and lists become one list; what is left out is reported.

The reader of a file finds its kind by its content. Here only names decide, and sparingly: a folder on a share
also holds programs, thumbnails, and archives.
"""

from __future__ import annotations

import os
import re
import stat
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass

from auditor.errors import ArgumentError, SourceError
from auditor.fleet.inventory.glob_patterns import ANY_FOLDERS, is_pattern, matcher
from auditor.report.joined_names import join_limited
from auditor.sources.files.hidden import SYSTEM_FILES, is_hidden
from auditor.sources.files.text import read_written
from auditor.sources.source import name_of

ARCHIVE = re.compile(
    r"\.(?:zip|7z|rar|cab|wim|iso|tar|tgz|tbz2?|txz|tzst|tar\.(?:gz|bz2|xz|zst|lz4|z))$", re.IGNORECASE
)
NO_SOURCE = re.compile(
    r"\.(?:exe|dll|sys|msi|msp|msu|mui|lnk|url|docx?|xlsx?|pptx?|pdf|png|jpe?g|gif|bmp|ico|svg|html?|parquet)$",
    re.IGNORECASE,
)
HIDDEN_SYSTEM = 0x2 | 0x4  # FILE_ATTRIBUTE_HIDDEN and FILE_ATTRIBUTE_SYSTEM, both set
REPARSE_POINT = 0x400  # FILE_ATTRIBUTE_REPARSE_POINT: a junction or link of Windows
SEPARATORS = re.compile(r"[\\/]+" if os.name == "nt" else "/+")
MOST_NAMED = 50

UNPACK = "an archive"
UNPACK_HINT = "Extract it, and name the extracted folder."
NO_FILE, NOWHERE = "not an ordinary file", "a link that leads nowhere"
HIDDEN = "hidden, or a file of the system"
OTHER_KIND = "neither log nor capture by its name"
OUTPUT = "the output folder"
LIST_HINT = "Write one path per line: Get-ChildItem -Recurse -File | ForEach-Object FullName | Out-File list.txt"

Identity = tuple[int, int] | str


@dataclass(frozen=True, slots=True, order=True)
class FoundFile:
    """A file that may be a source.

    Attributes:
        bytes: Its size.
        mtime_ns: When it was changed, in nanoseconds since 1970.
    """

    path: str
    bytes: int
    mtime_ns: int


@dataclass(frozen=True, slots=True, order=True)
class LeftOut:
    """A path that is not read, and why.

    kind: the reason without what is special to this path; detail: that.

    Attributes:
        lacking: It may hold evidence, so that the
    audit is incomplete without it.
    """

    path: str
    kind: str
    lacking: bool = False
    detail: str = ""

    @property
    def why(self) -> str:
        """The reason in words."""
        return f"{self.kind}: {self.detail}" if self.detail else self.kind


@dataclass(frozen=True)
class Found:
    """The files of a fleet, each once, in the order of their paths, and what was left out, in the same order."""

    files: tuple[FoundFile, ...]
    left_out: tuple[LeftOut, ...]

    @property
    def lacking(self) -> tuple[LeftOut, ...]:
        """Return what was left out although it may hold evidence."""
        return tuple(file for file in self.left_out if file.lacking)

    def told(self) -> tuple[str, ...]:
        """Return a sentence on each reason for which something was left out, with how many and the first of them."""
        kinds = Counter(file.kind for file in self.left_out)
        examples = {file.kind: file for file in reversed(self.left_out)}
        return tuple(
            f"left out: {name_of(examples[kind].path)} ({examples[kind].why})" + (f" and {more:,} more" if more else "")
            for kind, more in sorted((kind, count - 1) for kind, count in kinds.items())
        )


def find_files(paths: Sequence[str], *, output: str | None = None) -> Found:
    """Return all files that are named, or lie in named folders, match named patterns, or stand in named lists.

    No folder is searched twice, so that links that lead in circles do no harm; in folders hidden files and those that
    are surely no source are left out, as are archives.

    Args:
        paths: Files; folders, searched with all folders in them; patterns with *, ?, [abc] and ** for any folders, in
            any case; @FILE, a list of all these, one a line: UTF-8 or UTF-16, # begins a comment, relative paths are
            looked for beside the list.
        output: A folder that is not searched.

    Raises:
        SourceError: One for all paths at once, if nothing is there or matches, or an archive is named itself.
        ArgumentError: If a list cannot be read or the output folder is one of those to search.
    """
    search = _Search(output)
    for path in paths:
        if path.startswith("@") and not os.path.lexists(path):
            _add_list(search, path[1:])
        else:
            search.add(path)
    return search.found(paths)


def _add_list(search: _Search, path: str) -> None:
    """Add the paths of a list; a path that no longer exists is reported and does not stop the others."""
    folder = os.path.dirname(path)
    named = list(_lines(read_written(path, expected="list of paths", hint=LIST_HINT)))
    if not named:
        raise ArgumentError("there is no path in this list", where=path, hint=LIST_HINT)
    there = [search.add(os.path.join(folder, line), f"line {number} of {path}") for number, line in named]
    if not any(there):
        beside = os.path.abspath(folder)
        problem = f"none of its {len(named):,} paths is there, such as {named[0][1]!r}"
        hint = f"Relative paths start at the folder of the list, {beside}. {LIST_HINT}"
        raise SourceError(problem, where=path, hint=hint)


def _lines(text: str) -> Iterator[tuple[int, str]]:
    for number, line in enumerate(re.split(r"\r\n?|\n", text), 1):
        words = line.strip()
        if len(words) > 1 and words[0] == words[-1] == '"':  # as the Explorer copies paths
            words = words[1:-1]
        if words and not words.startswith("#"):
            yield number, words


class _Search:
    """What has been found so far."""

    def __init__(self, output: str | None) -> None:
        self._files: dict[str, FoundFile] = {}
        self._left_out: dict[str, LeftOut] = {}
        self._searched: dict[Identity, str] = {}
        self._output = _identity(output) if output is not None else None
        self._missing: list[str] = []
        self._archives: list[str] = []

    def found(self, paths: Sequence[str]) -> Found:
        """Return all that was found.

        Raises:
            SourceError: For what is not there, or if that is nothing at all.
        """
        if self._missing:
            raise SourceError(f"no such file or folder: {_named(self._missing)}", hint="Check the paths.")
        if self._archives:
            hint = "Extract it and name the extracted folder."
            raise SourceError(f"archives are not read: {_named(self._archives)}", hint=hint)
        result = Found(tuple(sorted(self._files.values())), tuple(sorted(self._left_out.values())))
        if not result.files:
            reasons = "; ".join(result.told()) or "no file lies there"
            hint = "Name files or folders with firewall logs, event logs or captures."
            raise SourceError(f"there is nothing to read in {_named(paths)}: {reasons}", hint=hint)
        return result

    def add(self, path: str, listed: str = "") -> bool:
        """Add a file, a folder, or what matches a pattern; return whether anything exists.

        Args:
            path: What was named.
            listed: Where it stood.
        """
        try:
            status = os.stat(path)
        except (OSError, ValueError) as error:  # ValueError: a NUL in it
            return self._add_other(path, listed, error)
        if stat.S_ISDIR(status.st_mode):
            self._add_folder(path)
        elif not stat.S_ISREG(status.st_mode):
            self._leave_out(path, NO_FILE, "save it to one first", lacking=True)
        elif ARCHIVE.search(path):
            self._archives.append(path)
        else:
            self._add_file(path, _key(path), status)
        return True

    def _add_other(self, path: str, listed: str, error: Exception) -> bool:
        """Add what matches a pattern, or note that there is nothing of this name."""
        if is_pattern(path):
            matches = list(self._matches(path))
            for match in matches:
                self._add_match(match)
            there = bool(matches)
        else:
            there = isinstance(error, PermissionError)
        if isinstance(error, PermissionError) and not is_pattern(path):
            self._leave_out(path, *_reason(error), lacking=True)
        elif not there and listed:
            self._leave_out(path, "named in a list, but not there", listed, lacking=True)
        elif not there:
            self._missing.append(path)
        return there

    def _add_match(self, path: str) -> None:
        """Add what a pattern matches; unlike what was named in full, an archive among it stops nothing."""
        if ARCHIVE.search(path) and not os.path.isdir(path):
            self._leave_out(path, UNPACK, UNPACK_HINT, lacking=True)
        elif os.path.basename(path).lower() in SYSTEM_FILES:
            self._leave_out(path, HIDDEN)
        elif os.path.exists(path):
            self.add(path)
        else:
            self._leave_out(path, NOWHERE, lacking=True)

    def _add_file(self, path: str, key: str, status: os.stat_result) -> None:
        self._files.setdefault(key, FoundFile(path, status.st_size, status.st_mtime_ns))

    def _leave_out(self, path: str, kind: str, detail: str = "", *, lacking: bool = False) -> None:
        self._left_out.setdefault(path, LeftOut(path, kind, lacking, detail))

    def _add_folder(self, top: str) -> None:
        """Search a folder and all below it: first what really lies there, then where links lead."""
        if self._output is not None and _identity(top) == self._output:
            hint = "Choose another output folder."
            raise ArgumentError("the output folder is one of the folders to search", where=top, hint=hint)
        count = len(self._files) + len(self._left_out)
        folders, linked = [top], list[str]()
        is_top = True
        while folders or linked:
            folder = (folders or linked).pop()
            if self._enter(folder):
                below, links = self._search(folder)
                folders += below[::-1]
                linked += links[::-1]
            elif is_top:
                return  # named twice
            is_top = False
        if len(self._files) + len(self._left_out) == count:
            self._leave_out(top, "a folder without files")

    def _enter(self, folder: str) -> bool:
        """Tell whether a folder is to be searched, and note that it was."""
        identity = _identity(folder)
        if identity == self._output:
            self._leave_out(folder, OUTPUT)
            return False
        if identity in self._searched:
            if _key(self._searched[identity]) != _key(folder):
                self._leave_out(folder, "a folder that is searched already", name_of(self._searched[identity]))
            return False
        if identity is not None:
            self._searched[identity] = folder
        return True

    def _search(self, folder: str) -> tuple[list[str], list[str]]:
        """Add the files of one folder; return the folders in it, and those that are links."""
        key, below, linked = _key(folder), list[str](), list[str]()
        for entry in self._entries(folder):
            try:
                why, is_folder = _unwanted(entry), entry.is_dir()
                if why:
                    packed = why == UNPACK
                    self._leave_out(entry.path, why, UNPACK_HINT if packed else "", lacking=packed)
                elif is_folder:
                    (linked if _is_link(entry) else below).append(entry.path)
                else:
                    self._add_entry(entry, key)
            except OSError as error:
                self._leave_out(entry.path, *_reason(error), lacking=True)
        return below, linked

    def _add_entry(self, entry: os.DirEntry[str], folder: str) -> None:
        # Windows keeps the size in the folder, and updates it when the file is closed: of a log in use it is too small.
        status = entry.stat()
        if stat.S_ISREG(status.st_mode):
            self._add_file(entry.path, folder + os.sep + os.path.normcase(entry.name), status)
        else:
            self._leave_out(entry.path, NO_FILE, lacking=False)

    def _entries(self, folder: str) -> list[os.DirEntry[str]]:
        try:
            with os.scandir(folder or os.curdir) as entries:
                return sorted(entries, key=lambda entry: entry.name)
        except OSError as error:
            self._leave_out(folder, *_reason(error), lacking=True)
            return []

    def _matches(self, pattern: str) -> Iterator[str]:
        drive, path = os.path.splitdrive(pattern)
        names = [name for name in SEPARATORS.split(path) if name]
        root = drive + (os.sep if SEPARATORS.match(path) else "")
        return self._below(root, names)

    def _below(self, folder: str, names: list[str]) -> Iterator[str]:
        """Yield the paths below a folder that match the names of a pattern."""
        if not names:
            yield folder
        elif names[0] == ANY_FOLDERS:
            for subfolder in self._tree(folder) if names[1:] else (folder,):
                yield from self._below(subfolder, names[1:])
        elif not is_pattern(names[0]):
            path = os.path.join(folder, names[0])
            if os.path.lexists(path):
                yield from self._below(path, names[1:])
        else:
            yield from self._matching(folder, names)

    def _matching(self, folder: str, names: list[str]) -> Iterator[str]:
        wanted = matcher(names[0])
        for entry in self._entries(folder):
            hidden = entry.name.startswith(".") and not names[0].startswith(".")
            if not hidden and wanted.fullmatch(entry.name) and (not names[1:] or _is_folder(entry)):
                yield from self._below(os.path.join(folder, entry.name), names[1:])

    def _tree(self, top: str) -> Iterator[str]:
        """Yield a folder and all below it, each once."""
        folders, linked, seen = [top], list[str](), set[Identity | None]()
        while folders or linked:
            folder = (folders or linked).pop()
            identity = _identity(folder or os.curdir)
            if identity in seen or identity == self._output:
                continue
            seen.add(identity)
            yield folder
            for entry in reversed(self._entries(folder)):
                if _is_folder(entry) and not _unwanted(entry):
                    (linked if _is_link(entry) else folders).append(os.path.join(folder, entry.name))


def _unwanted(entry: os.DirEntry[str]) -> str:
    """Return why an entry of a folder is left out, an empty text if it is not."""
    name = entry.name.lower()
    if is_hidden(name):
        return HIDDEN
    if _attributes(entry) & HIDDEN_SYSTEM == HIDDEN_SYSTEM:
        return HIDDEN
    if ARCHIVE.search(name) and not entry.is_dir():
        return UNPACK
    return OTHER_KIND if NO_SOURCE.search(name) and not entry.is_dir() else ""


def _is_folder(entry: os.DirEntry[str]) -> bool:
    try:
        return entry.is_dir()
    except OSError:
        return False


def _is_link(entry: os.DirEntry[str]) -> bool:
    return entry.is_symlink() or bool(_attributes(entry) & REPARSE_POINT)


def _attributes(entry: os.DirEntry[str]) -> int:
    if os.name != "nt":
        return 0
    try:
        return int(getattr(entry.stat(follow_symlinks=False), "st_file_attributes", 0))
    except OSError:
        return 0


def _identity(folder: str) -> Identity | None:
    """Return what identifies a folder, however it is named; None if it does not exist."""
    try:
        status = os.stat(folder)
    except (OSError, ValueError):
        return None
    # Some network drives number nothing: there the path must do.
    return (status.st_dev, status.st_ino) if status.st_ino else os.path.normcase(os.path.realpath(folder))


def _key(path: str) -> str:
    return os.path.normcase(os.path.abspath(path))


def _reason(error: OSError) -> tuple[str, str]:
    """Return why something was left out, and what the system says of it."""
    if isinstance(error, FileNotFoundError):
        return NOWHERE, ""
    return "cannot be read", str(error.strerror or error)


def _named(paths: Iterable[str]) -> str:
    return join_limited([name_of(path) for path in paths], MOST_NAMED)
