"""The folder of a fleet: its summaries, the report in every form, and what shows whether anything is new."""

from __future__ import annotations

import hashlib
import json
import os
import re
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import BinaryIO

from auditor.errors import OutputError
from auditor.fleet.summaries.parquet_store import SUFFIX
from auditor.render import output_file
from auditor.render.fleet.html import render_fleet_html
from auditor.render.fleet.tables import TABLES, write_csv, write_parquet
from auditor.render.fleet.text import render_fleet_text
from auditor.report.fleet_as_json import KIND, write_fleet_json
from auditor.report.fleet_load import load_fleet
from auditor.report.fleet_model import FleetReport
from auditor.sources.files.file_lock import lock
from auditor.sources.source import name_of
from auditor.version import VERSION

SUMMARIES, STATE, TEXT, JSON, LOCK = "summaries", "state.json", "report.txt", "fleet.json", ".lock"
MERGED = "merged-"  # so begin the names of summaries that `merge` put together: they are of logs that are elsewhere
OWN_SUMMARY = re.compile(rf"(?:{MERGED})?[0-9a-f]{{24}}{re.escape(SUFFIX)}")
HEAD = 256  # bytes in which a saved report says what it is
Form = Callable[[FleetReport, BinaryIO], None]


def _text(report: FleetReport, out: BinaryIO) -> None:
    out.write(render_fleet_text(report).encode())


def _html(report: FleetReport, out: BinaryIO) -> None:
    out.write(render_fleet_html(report).encode())


def _csv(table: str) -> Form:
    return lambda report, out: write_csv(report, table, out)


def _parquet(table: str) -> Form:
    return lambda report, out: write_parquet(report, table, out)


# Every file of the report and what writes it.
FORMS: dict[str, Form] = {
    TEXT: _text,
    JSON: write_fleet_json,
    "fleet.html": _html,
    **{f"{table}.csv": _csv(table) for table in TABLES},
    **{f"{table}.parquet": _parquet(table) for table in TABLES},
}


def write_form(report: FleetReport, name: str, out: BinaryIO) -> None:
    """Write the report in the form that a file of FORMS has."""
    FORMS[name](report, out)


@dataclass(frozen=True)
class State:
    """What a finished report is made of, and how it ended.

    Attributes:
        auditor: The version that wrote it.
        made_of: As of `FleetFolder.write`.
        evidence: Whether anything was judged.
        fails: Whether a method fails for a host.
        incomplete: Whether something could not be read.
    """

    auditor: str
    made_of: str
    evidence: bool
    fails: bool
    incomplete: bool


@dataclass(frozen=True)
class FleetFolder:
    """The folder that `batch` and `merge` write to."""

    path: Path

    @property
    def summaries(self) -> Path:
        """Where the summaries are."""
        return self.path / SUMMARIES

    def make(self, *, force: bool, spared: Iterable[str] = ()) -> None:
        """Make the folder.

        Without a report or summaries of auditor, all files in it belong to something else, whatever their names.

        Args:
            force: Whether files that are there may be replaced.
            spared: Files that are read, and never written over.

        Raises:
            OutputError: If it cannot be made, or holds other things (without force).
        """
        try:
            self.path.mkdir(parents=True, exist_ok=True)
            names = {entry.name for entry in os.scandir(self.path) if not _is_temporary(entry.name)}
            ours = STATE in names or self._has_report() or any(map(_is_summary, self.summaries.glob("*")))
            foreign = set() if ours or force else {name for name in names - {LOCK} if not self._is_empty(name)}
            foreign |= {name for name in FORMS if name in names and self._is_spared(name, spared)}
            links = [name for name in (SUMMARIES, STATE, LOCK) if (self.path / name).is_symlink()]
        except (OSError, ValueError) as error:
            reason = getattr(error, "strerror", None) or error
            hint = "Choose a folder that you can write to."
            raise OutputError(f"the folder cannot be created ({reason})", where=str(self.path), hint=hint) from error
        if links:
            hint = "Remove the link, or name a new folder."
            raise OutputError("this is a link to another place", where=str(self.path / links[0]), hint=hint)
        if foreign:
            problem = f"the folder holds other files, such as {name_of(min(foreign))}"
            raise OutputError(problem, where=str(self.path), hint="Name a new folder, or add --force.")
        self.summaries.mkdir(exist_ok=True)

    def _has_report(self) -> bool:
        path = self.path / JSON
        return path.is_file() and KIND.encode() in path.open("rb").read(HEAD)

    def _is_empty(self, name: str) -> bool:
        """Tell whether what has this name is what a run leaves that ended before its first summary was complete."""
        if name != SUMMARIES or not self.summaries.is_dir():
            return False
        return all(_is_temporary(summary.name) for summary in self.summaries.iterdir())

    def _is_spared(self, name: str, spared: Iterable[str]) -> bool:
        """Tell whether a file of this name must not be replaced: one that is read, or a link to somewhere else."""
        path = self.path / name
        return path.is_symlink() or any(Path(file).exists() and path.samefile(file) for file in spared)

    def check_own(self, *, force: bool) -> None:
        """Raise OutputError if the folder is one that `merge` wrote (without force), from logs that are elsewhere."""
        if not force and any(self.summaries.glob(MERGED + "*")):
            hint = "Name a new folder, or replace them with --force."
            raise OutputError("the folder contains merged summaries of auditor merge", where=str(self.path), hint=hint)

    @contextmanager
    def locked(self) -> Iterator[None]:
        """Keep other runs from this folder meanwhile, and remove what a run that was killed left incomplete.

        The system lets go of it however this process ends. On a drive without locks, there is no lock, and nothing is
        removed.

        Raises:
            OutputError: If one is at work in it.
        """
        try:
            file = open(self.path / LOCK, "ab", opener=_open_no_link)  # noqa: SIM115, it is closed below
        except OSError as error:
            hint = "Choose a folder that you can write to."
            raise OutputError(f"cannot be written ({error.strerror})", where=str(self.path), hint=hint) from error
        with file:
            try:
                lock(file.fileno())
            except BlockingIOError as error:
                hint = "Wait until it has ended, or name another folder."
                raise OutputError("another run uses this folder", where=str(self.path), hint=hint) from error
            except OSError:
                pass
            else:
                self._remove_incomplete()
            yield

    def _remove_incomplete(self) -> None:
        for folder in (self.path, self.summaries):
            for path in folder.glob(f"{output_file.TEMPORARY}*"):
                with suppress(OSError):
                    path.unlink()

    def is_about(self, digest: str) -> bool:
        """Tell whether the report is there and is about this.

        Args:
            digest: As of `write`.
        """
        state = self.state()
        return state is not None and state.made_of == digest and all((self.path / name).is_file() for name in FORMS)

    def state(self) -> State | None:
        """Return what is known of the report without reading it, None if there is none of this version."""
        try:
            state = State(**json.loads((self.path / STATE).read_text(encoding="utf-8")))
        except (OSError, ValueError, TypeError):
            return None
        return state if state.auditor == VERSION else None

    def report(self) -> FleetReport:
        """Return the report in the folder.

        Raises:
            ReportError: If there is none.
        """
        return load_fleet(self.path / JSON)

    def text(self) -> str:
        """Return the report as text.

        Raises:
            OSError: If there is none.
        """
        return (self.path / TEXT).read_text(encoding="utf-8")

    def write(self, report: FleetReport, digest: str, *, lacking: bool = False) -> None:
        """Write the report in every form.

        Args:
            report: The report.
            digest: Digest of all inputs; the report is not made again while it is the same.
            lacking: Whether anything was left out that may hold evidence.
        """
        (self.path / STATE).unlink(missing_ok=True)
        for name, form in FORMS.items():
            with output_file.opened(str(self.path / name), force=True) as out:
                form(report, out)
        cover = report.coverage
        state = State(
            auditor=VERSION,
            made_of=digest,
            evidence=cover.with_evidence > 0,
            fails=any(method.fails for method in report.methods if method.id in report.asked),
            incomplete=lacking or cover.unreadable > 0 or cover.skipped > 0,
        )
        with output_file.opened(str(self.path / STATE), force=True) as out:
            out.write(json.dumps(asdict(state)).encode())


def _open_no_link(path: str, flags: int) -> int:
    return os.open(path, flags | getattr(os, "O_NOFOLLOW", 0), 0o666)


def _is_temporary(name: str) -> bool:
    return name.startswith(output_file.TEMPORARY)


def _is_summary(path: Path) -> bool:
    return OWN_SUMMARY.fullmatch(path.name) is not None


def input_digest(parts: Iterable[object]) -> str:
    """Return what identifies a set of parts."""
    digest = hashlib.sha256()
    for part in parts:
        digest.update(repr(part).encode("utf-8", "surrogateescape") + b"\n")
    return digest.hexdigest()
