"""Files, folders, and ZIP archives that were named become files to read; archives are unpacked while it is open.

What a file is, only its content shows: its reader calls `leave_out` for what is no source.
"""

from __future__ import annotations

import hashlib
import os
import shutil
import stat
from collections import Counter, defaultdict
from collections.abc import Generator, Iterable, Iterator
from contextlib import ExitStack
from functools import partial
from pathlib import Path, PurePath
from typing import NamedTuple, Self

from auditor.errors import NotASourceError, SourceError
from auditor.sources.files.archive import EXTRACT, MAGICS, Archive, Budget
from auditor.sources.files.folder import FileBelow, files_below
from auditor.sources.files.temporary_folder import temporary_folder
from auditor.sources.progress import ProgressCallback, no_progress
from auditor.sources.source import name_of

MOST_NESTED = 2  # an archive in an archive
MOST_COMPUTERS = 5  # of one installation, each with a folder of its own
PIECE = 1024**2
WHAT_TO_NAME = "Name a folder or an archive with captures, firewall logs, or event logs."
SUFFIX_BYTES = 8

Identity = tuple[int, int] | str


class CollectedFile(NamedTuple):
    """A file to read.

    Attributes:
        name: What it is called in reports, such as bundle.zip/logs/pfirewall.log.
        file: Where it is while it is read.
        within: The folder or archive that was named, empty if the file itself was.
        is_unpacked: Whether it is gone afterwards.
    """

    name: str
    file: Path
    within: str = ""
    is_unpacked: bool = False


class Collection:
    """The files behind some paths, each once, in an order that does not depend on how they were stored.

    Args:
        paths: Files, folders, and ZIP archives.
        progress: Called now and then while an archive is unpacked.

    Attributes:
        not_used: Files that are no sources, and links.
        copies: Files whose content was read already.
        unpacked: Where files from archives are while this is open, by name.
        read: The files that were read, except those from archives.
    """

    def __init__(self, paths: Iterable[str | Path], progress: ProgressCallback = no_progress) -> None:
        self.not_used: list[str] = []
        self.copies: list[str] = []
        self.unpacked: dict[str, Path] = {}
        self.read: dict[Path, None] = {}
        self._paths = tuple(dict.fromkeys(map(str, paths)))
        self._progress = progress
        self._named = frozenset(filter(None, map(_identity, self._paths)))
        self._seen: set[Identity] = set()
        self._again = 0  # files met again
        self._by_size: dict[int, dict[Path, bytes | None]] = defaultdict(dict)
        self._names: dict[str, Counter[str]] = {}
        self._names_shown: set[str] = set()
        self._unpacked_count = 0
        self._temporary = ExitStack()
        self._folder: Path | None = None

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._temporary.close()

    def __iter__(self) -> Generator[CollectedFile | SourceError]:
        """Yield each file, and an error for what cannot be opened or unpacked."""
        for path in self._paths:
            if os.path.isdir(path):
                yield from self._of_container(path, self._in_folder(path))
            elif _is_archive(path):
                yield from self._of_container(path, self._in_archive(Path(path), name_of(path), path, Budget(), 1))
            else:
                yield self._taken(CollectedFile(name_of(path), Path(path)))

    def leave_out(self, found: CollectedFile) -> None:
        """Note that a file is no source; if it was unpacked, it is removed."""
        self.not_used.append(found.name)
        self._names[found.within][_last(found.name)] -= 1
        self._by_size[_size(found.file)].pop(found.file, None)
        if found.is_unpacked:
            self._remove(found.file)
            del self.unpacked[found.name]
        else:
            del self.read[found.file]

    def claim(self, path: str) -> CollectedFile | None:
        """Return a file beside one that was named; None if there is none, or it is read anyway."""
        if not os.path.isfile(path) or self._is_met(_identity(path)):
            return None
        return self._taken(CollectedFile(name_of(path), Path(path)))

    @property
    def fleets(self) -> list[str]:
        """The named folders in which more than a few folders hold a source of the same name."""
        often = {path: max(names.values(), default=0) for path, names in self._names.items()}
        return [path for path, count in often.items() if count > MOST_COMPUTERS and os.path.isdir(path)]

    def _is_met(self, identity: Identity | None) -> bool:
        return identity in self._named or identity in self._seen

    def _taken(self, found: CollectedFile) -> CollectedFile:
        """Note that a file is read, and return it."""
        self._by_size[_size(found.file)].setdefault(found.file, None)
        self._names.setdefault(found.within, Counter())[_last(found.name)] += 1
        if found.is_unpacked:
            self.unpacked[found.name] = found.file
        else:
            self.read[found.file] = None
            if identity := _identity(str(found.file)):
                self._seen.add(identity)
        return found

    def _of_container(
        self, path: str, contents: Iterator[CollectedFile | SourceError]
    ) -> Iterator[CollectedFile | SourceError]:
        """Yield what a folder or archive holds, and an error if there is no source in it."""
        self._names[path] = Counter()
        before, met, failed = len(self.not_used), len(self.copies) + self._again, False
        for found in contents:
            failed |= isinstance(found, SourceError)
            yield found
        if failed or self._names[path].total() or len(self.copies) + self._again > met:
            return
        count = len(self.not_used) - before
        what = f"none of its {count:,} files is a capture or a log" if count > 1 else "no capture and no log is in it"
        yield SourceError(what, where=name_of(path), hint=WHAT_TO_NAME)

    def _in_folder(self, folder: str) -> Iterator[CollectedFile | SourceError]:
        try:
            contents = files_below(folder)
        except SourceError as error:
            yield error
            return
        yield from contents.errors
        self.not_used += map(name_of, contents.others)
        budget = Budget()
        for file in contents.files:
            if self._is_met(_identity(file.path)):
                self._again += 1
            else:
                yield from self._below(file, folder, budget)

    def _below(self, file: FileBelow, folder: str, budget: Budget) -> Iterator[CollectedFile | SourceError]:
        """Yield one file of a folder, or what is in it if it is an archive."""
        path, name = Path(file.path), name_of(file.path)
        if _is_archive(path):
            yield from self._in_archive(path, name, folder, budget, 1)
        elif not self._is_copy(path, name):
            yield self._taken(CollectedFile(name, path, folder))

    def _in_archive(
        self, path: Path, name: str, within: str, budget: Budget, depth: int
    ) -> Iterator[CollectedFile | SourceError]:
        """Yield the files in an archive.

        Args:
            path: Where it is.
            name: What it is called.
            within: The folder or archive that was named.
            budget: How much it may hold.
            depth: 1 for an archive that is in no other one.
        """
        try:
            if depth == 1:
                budget.begin(_size(path))
            with Archive(path, name, budget) as archive:
                yield from archive.errors
                for member in archive.members:
                    shown = self._unique("/".join((name, *member.parts)))
                    target = self._place(shown)
                    try:
                        _check_room(member.entry.file_size, target.parent, shown)
                        archive.unpack(member, shown, target, partial(self._progress, shown))
                    except SourceError as error:
                        self._remove(target)
                        yield error
                    else:
                        yield from self._of_member(target, shown, within, budget, depth)
        except NotASourceError as error:
            if name == name_of(within):
                yield error
            else:
                self.not_used.append(name)
        except SourceError as error:
            yield error

    def _of_member(
        self, file: Path, name: str, within: str, budget: Budget, depth: int
    ) -> Iterator[CollectedFile | SourceError]:
        """Yield a file that was unpacked, or what is in it if it is an archive."""
        if not _is_archive(file):
            if not self._is_copy(file, name):
                yield self._taken(CollectedFile(name, file, within, is_unpacked=True))
                return
        elif depth < MOST_NESTED:
            yield from self._in_archive(file, name, within, budget, depth + 1)
        else:
            yield SourceError("a ZIP archive in an archive in an archive", where=name, hint=EXTRACT)
        self._remove(file)

    def _unique(self, name: str) -> str:
        """Return a name that no other file has: an archive can hold several files of one name."""
        name = name_of(name)
        unique, number = name, 1
        while unique in self._names_shown:
            number += 1
            unique = f"{name} ({number})"
        self._names_shown.add(unique)
        return unique

    def _place(self, name: str) -> Path:
        """Return where a file is unpacked to: a number, and of its name only what hints go by."""
        if self._folder is None:
            self._folder = self._temporary.enter_context(temporary_folder())
        self._unpacked_count += 1
        suffix = PurePath(name).suffix
        harmless = suffix if suffix[1:].isascii() and suffix[1:].isalnum() and len(suffix) <= SUFFIX_BYTES else ""
        return self._folder / f"{self._unpacked_count}{harmless}"

    def _remove(self, file: Path) -> None:
        try:
            file.unlink(missing_ok=True)
        except OSError:  # Windows keeps what is open; it goes with its folder
            return

    def _is_copy(self, file: Path, name: str) -> bool:
        """Tell whether a file has the content of one that was read; a copy proves nothing twice."""
        if not (size := _size(file)):
            return False
        same_size = self._by_size[size]
        try:
            digest = _digest(file) if same_size else b""
            for other, known in list(same_size.items()):
                same_size[other] = known or _digest(other)
        except OSError:
            return False
        if not digest or digest not in same_size.values():
            return False
        self.copies.append(name)
        return True


def archive_of(path: str) -> Path | None:
    """Return the archive in which a file of a report is, None if it is in none."""
    try:
        return next((folder for folder in Path(path).parents if folder.is_file()), None)
    except (OSError, ValueError):
        return None


def gone(path: str, error: OSError, again: str) -> SourceError:
    """Return the error for a source that cannot be read again.

    Args:
        path: Of the source.
        error: What the system says.
        again: The next step for a source that is in no archive.
    """
    if archive := archive_of(path):
        hint = f"Extract {archive}, and analyze the extracted folder."
        return SourceError("in an archive that is unpacked only during the analysis", where=path, hint=hint)
    return SourceError(f"cannot be read again ({error.strerror})", where=path, hint=again)


def _is_archive(path: str | Path) -> bool:
    try:
        if not stat.S_ISREG(os.stat(path).st_mode):
            return False
        with open(path, "rb") as file:
            return file.read(4) in MAGICS
    except (OSError, ValueError):  # the error of its reader says more
        return False


def _identity(path: str) -> Identity | None:
    """Return what identifies a file, however it is named; None if it is not there."""
    try:
        status = os.stat(path)
    except (OSError, ValueError):
        return None
    # Some network drives number nothing: there the path must do.
    return (status.st_dev, status.st_ino) if status.st_ino else os.path.normcase(os.path.realpath(path))


def _last(name: str) -> str:
    return name.replace("\\", "/").rpartition("/")[2].lower()


def _size(file: Path) -> int:
    try:
        return file.stat().st_size
    except OSError:
        return 0


def _digest(file: Path) -> bytes:
    digest = hashlib.sha256()
    with file.open("rb") as content:
        while piece := content.read(PIECE):
            digest.update(piece)
    return digest.digest()


def _check_room(size: int, folder: Path, name: str) -> None:
    """Raise SourceError if the disk has no room for a file."""
    if size > (free := shutil.disk_usage(folder).free):
        hint = "Free space, or extract the archive on another drive and name the extracted folder."
        raise SourceError(f"unpacks to {size:,} bytes, but {folder} has only {free:,}", where=name, hint=hint)
