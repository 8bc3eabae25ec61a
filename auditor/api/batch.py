"""The way of a fleet in one call: find the sources, read what is new, judge, write the report."""

from __future__ import annotations

import glob
import shutil
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from auditor.api.fleet_report import FleetReport
from auditor.api.report import Report
from auditor.errors import OutputError, ReportError, SourceError
from auditor.fleet.inventory.discover import Found, FoundFile, find_files
from auditor.fleet.inventory.host_names import Names, load_names
from auditor.fleet.output_folder import MERGED, FleetFolder, input_digest
from auditor.fleet.run import Runner, merge_summaries, read_new, summaries_in
from auditor.fleet.summaries.parquet_store import SUFFIX, outline, parquet
from auditor.fleet.summaries.question import AuditSettings, methods_of
from auditor.fleet.summaries.summary import digest_of
from auditor.fleet.workers.dask_cluster import run_on_cluster
from auditor.fleet.workers.pool import FileProgress, Processes, run, silent
from auditor.render import output_file
from auditor.ruleset.ruleset import DEFAULT_RULESET, Ruleset, load_ruleset
from auditor.ruleset.site import known_site

Note = Callable[[str], None]
BeginProgress = Callable[[int, int], FileProgress]  # of how many files and bytes; returns the callback


def _no_note(_: str) -> None:
    pass


def _begin_silently(_files: int, _bytes: int) -> FileProgress:
    return silent


@dataclass(frozen=True, repr=False)
class Audited:
    """A fleet that was audited: the folder with everything, and whether anything new was in it.

    folder: its `path` is where the report lies in every form; new: False if nothing had to be read.
    """

    folder: FleetFolder
    new: bool

    @property
    def report(self) -> FleetReport:
        """The report of the whole fleet."""
        return FleetReport.of(self.folder.report())

    def _repr_html_(self) -> str:
        """Show the report in a notebook."""
        return self.report._repr_html_()

    def __str__(self) -> str:
        return self.folder.text()

    __repr__ = __str__  # shows itself in a shell


def batch(
    *paths: str | Path,
    out: str | Path,
    ruleset: str | Path | Ruleset = DEFAULT_RULESET,
    methods: Iterable[str] | None = None,
    roles: Mapping[str, str | Iterable[str]] | None = None,
    mode: str | None = None,
    ports: Mapping[str, int] | None = None,
    properties: Iterable[str] = (),
    site: str | Path | None = None,
    tz: str | None = None,
    host_from: str | None = None,
    host_map: str | Path | None = None,
    workers: int | None = None,
    scheduler: str | None = None,
    dask: bool = False,
    force: bool = False,
    begin_progress: BeginProgress = _begin_silently,
    note: Note = _no_note,
) -> Audited:
    """Audit the logs and captures of a fleet and write the report in every form into a folder.

    Args:
        paths: Files, folders, patterns, or @FILE for a list of them.
        out: The folder; a second run with the same one reads only what is new.
        ruleset: As of `auditor.audit`.
        methods: As of `auditor.audit`.
        roles: As of `auditor.audit`.
        mode: As of `auditor.audit`.
        ports: As of `auditor.audit`.
        properties: As of `auditor.audit`.
        site: As of `auditor.audit`.
        tz: As of `auditor.audit`.
        host_from: Pattern that gives the host by the path, such as "{host}/pfirewall.log".
        host_map: CSV file with the columns host and any of path, address, and site.
        workers: Number of processes, as many as there is room for if None; 0 for this one alone.
        scheduler: Address of a Dask scheduler.
        dask: Whether to use Dask on this computer.
        force: Whether to use a folder that holds other files, or that `merge` wrote.
        begin_progress: Returns, for the number of files and bytes to read, what is called with the progress.
        note: Called with sentences about what is left out.

    Returns:
        The folder with the report. A file that cannot be read is in `unreadable` of the report.

    Raises:
        SourceError: There is nothing to read.
        OutputError: The folder cannot be used.
        MissingPackageError: pyarrow, or Dask if it is asked for, is not installed.
        RulesetError: As of `auditor.audit`.
        ArgumentError: As of `auditor.audit`.
    """
    parquet()  # if it is missing, that is reported before hours of reading
    rules = ruleset if isinstance(ruleset, Ruleset) else load_ruleset(ruleset)
    facts = known_site(site, roles=roles, mode=mode, ports=ports, properties=properties)
    settings = AuditSettings(
        rules, facts, methods_of(rules, [methods] if isinstance(methods, str) else methods or ()), tz
    )
    inventory = _inventory(paths, Path(out), host_from, host_map, [site, ruleset], note)
    return _audited(settings, inventory, _Processing(workers, scheduler, dask, begin_progress, note), force=force)


@dataclass(frozen=True)
class _Inventory:
    """The files of a fleet, and where its report goes. own_files: what the user wrote for the run, never to be lost."""

    discovered: Found
    names: Names
    folder: FleetFolder
    host_map: Path | None
    own_files: Sequence[str]


@dataclass(frozen=True)
class _Processing:
    """Where files are read, and who hears of it."""

    workers: int | None
    scheduler: str | None
    dask: bool
    begin_progress: BeginProgress
    note: Note

    def reader(self, processes: Processes, folder: FleetFolder) -> Callable[[Sequence[FoundFile]], Runner]:
        """Return what gives new files to the processes of this computer, or to a cluster."""

        def reader(new: Sequence[FoundFile]) -> Runner:
            progress = self.begin_progress(len(new), sum(file.bytes for file in new))
            if not self.dask and self.scheduler is None:
                return partial(processes.run, progress=progress)
            return partial(
                run_on_cluster,
                scheduler=self.scheduler,
                workers=self.workers,
                visible=[str(folder.summaries)],
                progress=progress,
                note=self.note,
            )

        return reader


def _inventory(
    paths: Sequence[str | Path],
    out: Path,
    host_from: str | None,
    host_map: str | Path | None,
    written: Iterable[object],
    note: Note,
) -> _Inventory:
    names = load_names(host_from, None if host_map is None else str(host_map))
    discovered = find_files([str(path) for path in paths], output=str(out))
    names.check(file.path for file in discovered.files)
    for text in (*discovered.told(), *names.notes):
        note(text)
    if not discovered.files:
        raise SourceError(
            "there is no file to read", where=str(paths[0]) if paths else "", hint="Name logs, or a folder."
        )
    own_files = [str(path) for path in (host_map, *written) if isinstance(path, str | Path)]
    return _Inventory(discovered, names, FleetFolder(out), Path(host_map) if host_map else None, own_files)


def _audited(settings: AuditSettings, inventory: _Inventory, processing: _Processing, *, force: bool) -> Audited:
    _ = settings.question.wanted  # what is wrong with them is reported before anything is read
    discovered, names, folder = inventory.discovered, inventory.names, inventory.folder
    folder.make(force=force, spared=inventory.own_files)
    folder.check_own(force=force)
    labels = ((file.path, file.bytes, file.mtime_ns, names.of(file.path)) for file in discovered.files)
    table = digest_of(inventory.host_map) if inventory.host_map else ""  # also addresses, which name the hosts
    rules, facts = settings.rules, settings.site
    digest = input_digest((settings.text, rules, facts, table, names.notes, discovered.left_out, *labels))
    if folder.is_about(digest):
        return Audited(folder, new=False)
    with folder.locked():
        with Processes(processing.workers) as processes:
            reader = processing.reader(processes, folder)
            fleet = read_new(discovered.files, settings, names, folder.summaries, reader, processing.note)
            report = fleet.report(processes.run)
        folder.write(report, digest if fleet.final else "", lacking=bool(discovered.lacking) or not fleet.is_whole)
    return Audited(folder, new=True)


def merge(
    *paths: str | Path,
    out: str | Path,
    ruleset: str | Path | Ruleset | None = None,
    workers: int | None = None,
    force: bool = False,
) -> Audited:
    """Put the summaries of several runs of `batch` together and write one report of all into a folder.

    Each summary is judged by what it was made for: the roles of its own site.

    Args:
        paths: Summaries, folders that `batch` wrote, or patterns.
        out: The folder.
        ruleset: The file of a ruleset of your own; the one of the summaries if None.
        workers: Number of processes, as many as there is room for if None; 0 for this one alone.
        force: Whether to use a folder that holds other files.

    Returns:
        The folder with the report.

    Raises:
        ReportError: A file is no summary.
        SourceError: There are no summaries.
        OutputError: The folder cannot be used.
    """
    parquet()
    rules = ruleset if ruleset is None or isinstance(ruleset, Ruleset) else load_ruleset(ruleset)
    summaries = [summary for path in paths for summary in _summaries(str(path))]
    folder = FleetFolder(Path(out))
    folder.make(force=force)
    with folder.locked():
        copies = _copied(summaries, folder, force=force)
        fleet = merge_summaries(map(str, copies), rules)
        report, what = fleet.report(partial(run, workers=workers)), input_digest([fleet.index, fleet.unread])
        folder.write(report, what, lacking=not fleet.is_whole)
    return Audited(folder, new=True)


def host_report(folder: str | Path, host: str, ruleset: str | Path | None = None) -> Report:
    """Return the report on one host of a fleet, as `auditor analyze` of its sources gives it.

    Args:
        folder: What `batch` or `merge` wrote.
        host: Name or address of the host, or SITE/NAME.
        ruleset: Id or file of the ruleset; the one of the summaries if None.

    Returns:
        The report, without flow table.

    Raises:
        ReportError: There is no such host, or no fleet in the folder.
    """
    summaries = summaries_in(FleetFolder(Path(folder)).summaries)
    if not summaries:
        hint = "Name the folder that `auditor batch` wrote (-o)."
        raise ReportError("there is no fleet in this folder", where=str(folder), hint=hint)
    rules = None if ruleset is None else load_ruleset(ruleset)
    return Report.of(merge_summaries(map(str, summaries), rules).host(host))


def _summaries(path: str) -> list[Path]:
    """Return the summaries that a path stands for. Raises SourceError if there are none."""
    whole = Path(path)
    paths = [whole] if whole.is_file() else [Path(name) for name in sorted(glob.glob(path, recursive=True))]
    if whole.is_dir():
        paths = summaries_in(FleetFolder(whole).summaries) or summaries_in(whole)
    if not paths:
        hint = "Name the files in the folder `summaries` that `auditor batch` wrote, or its whole folder."
        raise SourceError("there are no summaries here", where=path, hint=hint)
    return paths


def _copied(summaries: Sequence[Path], folder: FleetFolder, *, force: bool) -> list[Path]:
    """Copy summaries into a folder, each once, under names that tell their content; return where they are.

    Raises ReportError for what is no summary and OutputError if the folder holds others (without force).
    """
    copies: dict[str, Path] = {}
    for summary in summaries:
        outline(summary)
        copies.setdefault(MERGED + digest_of(summary)[:24] + SUFFIX, summary)
    obsolete = [summary for summary in summaries_in(folder.summaries) if summary.name not in copies]
    if obsolete and not force:
        hint = "Name a new folder, or add --force to replace them."
        raise OutputError("the folder contains the summaries of another fleet", where=str(folder.path), hint=hint)
    try:
        for name, summary in copies.items():
            place = folder.summaries / name
            if not place.exists():
                with summary.open("rb") as content, output_file.replacing(place) as copy:
                    shutil.copyfileobj(content, copy)
        for summary in obsolete:
            summary.unlink()
    except OSError as error:
        hint = "Choose a folder that you can write to."
        raise OutputError(f"cannot be written ({error.strerror})", where=str(folder.path), hint=hint) from error
    return [folder.summaries / name for name in sorted(copies)]
