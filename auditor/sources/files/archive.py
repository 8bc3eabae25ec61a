"""Unpack a ZIP archive within bounds: no name in it becomes a path, and nothing is larger than it says.

Reference: PKWARE, APPNOTE.TXT 6.3.10.
"""

from __future__ import annotations

import io
import re
import struct
import zipfile
import zlib
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, suppress
from itertools import pairwise
from pathlib import Path
from typing import NamedTuple, Self

from auditor.errors import NotASourceError, SourceError
from auditor.sources.files.folder import MOST_ENTRIES, MOST_LEVELS
from auditor.sources.files.hidden import is_hidden

MAGICS = (b"PK\x03\x04", b"PK\x05\x06", b"PK\x07\x08")
# What zipfile raises about damaged archives: not only what it documents.
DAMAGE = (
    zipfile.BadZipFile,
    zlib.error,
    struct.error,
    EOFError,
    IndexError,
    NotImplementedError,
    OSError,
    OverflowError,
    RuntimeError,
    ValueError,
)
MOST_DIRECTORY = 4 * 1024**2  # bytes of the list of entries: each costs a thousand bytes of memory
FREE = 1024**3  # below this any ratio is fine
MOST_RATIO = 200  # logs are packed to a twentieth
MOST_BYTES = 64 * 1024**3
LONGEST_NAME = 255
LONGEST_REASON = 100
LOCAL_HEADER = 30  # bytes in front of an entry's name and data
ENCRYPTED = 0x1 | 0x2000  # bits of an entry's flags: its data, or the list of entries
UTF_8 = 0x800
METHODS = (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED)
METHOD_NAMES = {9: "Deflate64", 12: "bzip2", 14: "LZMA", 93: "Zstandard", 95: "XZ"}
OFFICE = "[Content_Types].xml"  # documents of Office are archives too
DRIVE = re.compile("[A-Za-z]:")
PIECE = 1024**2
EXTRACT = "Extract the archive, and name the extracted folder."
PASSWORD = "Extract the archive with its password, and name the extracted folder."
COPY_AGAIN = "Copy the archive again, or extract it and name the extracted folder."


class Budget:
    """How much the archives of a folder may still hold, those within them included.

    Attributes:
        entries: Files and folders.
        bytes: Unpacked, of the archive that is open.
    """

    def __init__(self) -> None:
        self.entries = MOST_ENTRIES
        self.bytes = 0
        self._total = MOST_BYTES

    def begin(self, packed: int) -> None:
        """Begin with an archive that is in no other one.

        Args:
            packed: Its size.
        """
        self.bytes = min(max(FREE, MOST_RATIO * packed), self._total)

    def take(self, entries: int, size: int) -> None:
        """Take what an archive holds, unpacked, from the rest."""
        self.entries -= entries
        self.bytes -= size
        self._total -= size


class Member(NamedTuple):
    """A file in an archive: the names on the way to it, made harmless, and its entry."""

    parts: tuple[str, ...]
    entry: zipfile.ZipInfo


class Archive:
    """An open ZIP archive.

    Args:
        path: The file.
        name: What it is called in errors.
        budget: How much it may hold; what it holds is taken from it.

    Attributes:
        members: Its files, without hidden ones, in the order of their names.
        errors: About those that cannot be unpacked.

    Raises:
        SourceError: It is damaged, or holds more than it may.
        NotASourceError: It is a document.
    """

    def __init__(self, path: Path, name: str, budget: Budget) -> None:
        with ExitStack() as opened:
            raw = opened.enter_context(_opened(path, name))
            self._zip = opened.enter_context(_directory(raw, name))
            entries = self._zip.infolist()
            _check(entries, name, budget)
            files = [member for entry in entries if (member := _member(entry))]
            readable = [member for member in files if not _obstacle(member.entry)]
            # Entries of the same name are in an order that does not depend on the archive.
            self.members = sorted(readable, key=lambda member: (member.parts, member.entry.CRC, member.entry.file_size))
            self.errors = list(_errors(files, name))
            self._opened = opened.pop_all()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._opened.close()

    def unpack(self, member: Member, name: str, target: Path, advance: Callable[[int, int], None]) -> None:
        """Unpack one file.

        Args:
            member: Which.
            name: What it is called in an error.
            target: Where to; there is no such file yet.
            advance: Called now and then: bytes unpacked, bytes in all.

        Raises:
            SourceError: It is damaged, or the disk is full.
        """
        with target.open("xb") as out:
            for piece in self._pieces(member.entry, name):
                try:
                    out.write(piece)
                except OSError as error:
                    raise _no_room(name, error) from error
                advance(out.tell(), member.entry.file_size)

    def _pieces(self, entry: zipfile.ZipInfo, name: str) -> Iterator[bytes]:
        """Yield the data of an entry; zipfile ends it at the size that was checked."""
        try:
            with self._zip.open(entry) as packed:
                while piece := packed.read(PIECE):
                    yield piece
        except DAMAGE as error:  # its text can quote another name of the file
            raise SourceError("corrupted in the archive", where=name, hint=COPY_AGAIN) from error


class _Bounded(io.BufferedReader):
    """A file of which no more is read at once than a list of entries may have."""

    def read(self, size: int | None = -1) -> bytes:
        """Return the next bytes; raise SourceError if more of them are asked for."""
        if size is not None and size > MOST_DIRECTORY:
            raise _too_many_entries("")
        return super().read(MOST_DIRECTORY if size is None or size < 0 else size)


def _opened(path: Path, name: str) -> _Bounded:
    try:
        return _Bounded(io.FileIO(path))
    except OSError as error:
        hint = "Copy the file to a local disk and try again."
        raise SourceError(f"cannot be read ({error.strerror})", where=name, hint=hint) from error


def _directory(raw: _Bounded, name: str) -> zipfile.ZipFile:
    """Read the list of entries."""
    try:
        return zipfile.ZipFile(raw)
    except SourceError as error:
        error.where = name
        raise
    except DAMAGE as error:
        reason = " ".join(str(error).split())[:LONGEST_REASON]
        raise SourceError(f"the ZIP archive is corrupted ({reason})", where=name, hint=COPY_AGAIN) from error


def _check(entries: Sequence[zipfile.ZipInfo], name: str, budget: Budget) -> None:
    """Raise SourceError for an archive that holds too much, or NotASourceError for one that is a document."""
    if any(entry.filename == OFFICE for entry in entries):
        raise NotASourceError("this is a document or a package", where=name, hint="Name a capture or a log.")
    if len(entries) > budget.entries:
        raise _too_many_entries(name)
    size = sum(entry.file_size for entry in entries)
    if size > budget.bytes:
        reason = f"the ZIP archive unpacks to {size:,} bytes, more than {budget.bytes:,}"
        raise SourceError(reason, where=name, hint=EXTRACT)
    if _overlap(entries):
        hint = "Do not extract it: it is made to fill the disk. Pack the files again."
        raise SourceError("files in the ZIP archive share the same data", where=name, hint=hint)
    budget.take(len(entries), size)


def _overlap(entries: Sequence[zipfile.ZipInfo]) -> bool:
    """Tell whether the data of two entries overlap, so that few bytes unpack to many."""
    ordered = sorted(entries, key=lambda entry: entry.header_offset)
    return any(
        entry.header_offset + LOCAL_HEADER + entry.compress_size > following.header_offset
        for entry, following in pairwise(ordered)
    )


def _too_many_entries(name: str) -> SourceError:
    return SourceError(f"the ZIP archive holds more than {MOST_ENTRIES:,} files", where=name, hint=EXTRACT)


def _no_room(name: str, error: OSError) -> SourceError:
    hint = "Free space for temporary files, or extract the archive on another drive and name the extracted folder."
    return SourceError(f"cannot be unpacked ({error.strerror})", where=name, hint=hint)


def _member(entry: zipfile.ZipInfo) -> Member | None:
    """Return a file of an archive, None for a folder and for what is hidden."""
    if entry.filename.endswith(("/", "\\")):
        return None
    parts = _parts(entry)
    return None if any(map(is_hidden, parts)) else Member(parts, entry)


def _parts(entry: zipfile.ZipInfo) -> tuple[str, ...]:
    """Return the names on the way to an entry: of a path that leads elsewhere, what it would be called there."""
    name = entry.filename
    if not entry.flag_bits & UTF_8:
        with suppress(UnicodeError):  # macOS writes UTF-8 and does not say so
            name = name.encode("cp437").decode()
    parts = [part[:LONGEST_NAME] for part in re.split(r"[\\/]+", name) if part not in ("", ".", "..")]
    if parts and DRIVE.fullmatch(parts[0]):
        del parts[0]
    return tuple(parts[-MOST_LEVELS:]) or ("unnamed",)


def _obstacle(entry: zipfile.ZipInfo) -> str:
    """Return why an entry cannot be unpacked, empty if it can."""
    if entry.flag_bits & ENCRYPTED:
        return "encrypted"
    if entry.compress_type in METHODS:
        return ""
    return f"compressed with {METHOD_NAMES.get(entry.compress_type, f'method {entry.compress_type}')}"


def _errors(files: Sequence[Member], name: str) -> Iterator[SourceError]:
    """Yield one error for each reason for which files cannot be unpacked."""
    obstacles = Counter(filter(None, (_obstacle(member.entry) for member in files)))
    for obstacle, count in sorted(obstacles.items()):
        are = "1 file is" if count == 1 else f"{count:,} files are"
        what = f"{are} {obstacle}" if len(files) > 1 else f"its only file is {obstacle}"
        yield SourceError(what, where=name, hint=PASSWORD if obstacle == "encrypted" else EXTRACT)
