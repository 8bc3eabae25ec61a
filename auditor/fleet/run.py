"""A fleet: what is new is read, all summaries are put together, every host is judged, all is reported once.

Summaries are Parquet files, each of a hundred sources or so, each there whole or not at all. A second run reads only
files that are new or have changed.
"""

from __future__ import annotations

import hashlib
from collections import Counter, defaultdict
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from operator import attrgetter
from pathlib import Path
from types import MappingProxyType
from typing import Any, NamedTuple

from auditor.errors import ReportError
from auditor.fleet import evaluate as judging
from auditor.fleet.evaluate import EvaluationContext
from auditor.fleet.inventory.discover import FoundFile
from auditor.fleet.inventory.grouping import Host, Hosts, IndexEntry, Row, by_host
from auditor.fleet.inventory.host_names import Names
from auditor.fleet.inventory.same_names import joined_names
from auditor.fleet.pushed import Pushes, Target, pushes_of
from auditor.fleet.stated import MODE, agreed_ports, notes_of
from auditor.fleet.summaries import parquet_store as shards
from auditor.fleet.summaries.parquet_store import Label, SummaryIndex
from auditor.fleet.summaries.question import AuditSettings, check_same_settings, parse_settings
from auditor.fleet.summaries.summary import Entry, Summary, UnreadableSource, summarizing, whose
from auditor.fleet.totals import FilesRead, fleet_report
from auditor.fleet.workers.current_file import begin, size_of
from auditor.fleet.workers.retry_plan import FailedFile, Task
from auditor.report.fleet_model import FleetReport, HostResult, UnreadableFile
from auditor.report.model import FAILS, GIVEN, IN_MODE, Limitation, Report, RoleAssignment, SiteMode
from auditor.ruleset.given_roles import ConfiguredRoles
from auditor.ruleset.lint import CLIENT, MODES, SITE_SERVER
from auditor.ruleset.ruleset import Ruleset
from auditor.ruleset.statements import say, say_count
from auditor.sources.logs.addresses import LogAddresses
from auditor.sources.logs.batching import Steps, read_together
from auditor.sources.source import CONFIGMGR_LOG, IIS_LOG, name_of
from auditor.verdicts.installations.reported_site import PORT_FACTS, custom_ports
from auditor.verdicts.installations.roles import RoleMap
from auditor.version import TOOL, VERSION

FILES_IN_SHARD = 100
SHORT, TOGETHER = 64 * 1024, 16  # bytes of logs, and how many of them, that are read together: more gain nothing
ASIDE = ".unreadable"  # behind the name of a summary that was set aside
MOST_SITES = 5  # that are named in a sentence
BYTES_IN_SHARD = 256 * 1024 * 1024  # so that a few large logs do not make one worker wait for another
Work = Callable[[tuple[str, ...]], Any]
Runner = Callable[[Sequence[Task], Work], Iterable[tuple[Task, Any]]]
Contexts = Mapping[str, EvaluationContext]  # by what was asked
RunnerOf = Callable[[Sequence[FoundFile]], Runner]


@dataclass(frozen=True)
class ReadTask:
    """What a worker does with some files: it reads them and writes their summaries, a shard."""

    asking: AuditSettings
    names: Names
    folder: Path

    def __call__(self, files: tuple[str, ...]) -> str:
        """Return the path of the shard."""
        short = [file for file in files if size_of(file) <= SHORT]
        alone = [[file] for file in files if file not in set(short)]
        portions = (*_portions(short, TOGETHER), *alone)
        summaries = [summary for portion in portions for summary in self._summarized(portion)]
        path = self.folder / shard_name(files)
        shards.write(path, Summary().merge(*summaries), self.asking.text)
        return str(path)

    def _summarized(self, files: Sequence[str]) -> list[Summary]:
        addresses = LogAddresses()
        return read_together(self._steps(file, addresses) for file in files)

    def _steps(self, file: str, addresses: LogAddresses) -> Steps[Summary]:
        begin(file)
        return (yield from summarizing(file, self.asking.question, self.names, addresses))


class SummaryLocation(NamedTuple):
    """Where the summaries of one host stand.

    Attributes:
        rows: By shard the numbers of the rows.
        parts: The addresses of the host in those rows that are also of others.
        asking: What the host is judged by.
        addresses: Its own.
        counts: Whether it counts as a computer to install on whatever the evaluation shows.
        role: The role that was set for it.
    """

    host: Host
    rows: tuple[tuple[str, tuple[int, ...]], ...]
    parts: Mapping[Row, tuple[str, ...]]
    asking: str
    addresses: tuple[str, ...]
    counts: bool = True
    role: str = ""

    @classmethod
    def of(cls, host: Host, index: Sequence[IndexEntry], pushes: Mapping[str, Pushes]) -> SummaryLocation:
        """Return where what is known of a host stands. It is judged by what was asked of those at its site."""
        rows: dict[str, list[int]] = defaultdict(list)
        for entry in _once(index):
            rows[entry.shard].append(entry.row)
        ordered = tuple((shard, tuple(sorted(rows[shard]))) for shard in sorted(rows))
        parts = {(entry.shard, entry.row): entry.addresses for entry in index if entry.is_part}
        asking = min((entry.site != host.site, entry.asking) for entry in index)[1]
        addresses = tuple(dict.fromkeys(address for entry in index for address in entry.addresses))
        is_shown = all(entry.is_part and not entry.is_capture for entry in index)  # by logs of others only
        uncertain = is_shown and all(Target(host.site, address) in pushes[asking].uncertain for address in addresses)
        return cls(host, ordered, parts, asking, addresses, counts=not uncertain)

    @property
    def numbered_rows(self) -> list[Row]:
        """Shard and number of each of the rows."""
        return [(shard, row) for shard, numbers in self.rows for row in numbers]

    def entries(self, read: Mapping[Row, Entry]) -> list[Entry]:
        """Return what the summaries say of the host.

        Args:
            read: Their rows.
        """
        rows = self.numbered_rows
        return [read[row].about(self.parts[row]) if row in self.parts else read[row] for row in rows]


@dataclass(frozen=True)
class EvaluateTask:
    """What a worker does with some hosts: it judges them.

    Attributes:
        blocks: Hosts by number.
        contexts: By what was asked.
    """

    blocks: Mapping[str, tuple[SummaryLocation, ...]]
    contexts: Contexts

    def __call__(self, numbers: tuple[str, ...]) -> list[HostResult]:
        """Return the results of the hosts of some blocks."""
        return [result for number in numbers for result in self._block(self.blocks[number])]

    def _block(self, places: Sequence[SummaryLocation]) -> Iterator[HostResult]:
        read = _entries(places)
        for place in places:
            yield judging.judge(place.host.name, place.host.site, place.entries(read), self.contexts[place.asking])


@dataclass(frozen=True)
class Fleet:
    """All summaries of a fleet, known by their outlines, and what they are asked.

    Attributes:
        askings: By their text.
        expected: Names of hosts that should have a source.
        notes: What else stands at the head of the report.
        files: How many were named or found.
        sites: Those of the expected hosts, as far as a map names them.
        ambiguous: Sentences on names that may be of several computers.
    """

    index: tuple[IndexEntry, ...]
    unread: tuple[UnreadableSource, ...]
    askings: Mapping[str, AuditSettings]
    expected: tuple[str, ...] = ()
    notes: tuple[str, ...] = ()
    files: int = 0
    sites: Mapping[str, str] = field(default_factory=dict)
    ambiguous: tuple[str, ...] = ()

    @classmethod
    def joined(
        cls,
        entries: Sequence[IndexEntry],
        unread: Sequence[UnreadableSource],
        askings: Mapping[str, AuditSettings],
        *,
        expected: tuple[str, ...] = (),
        notes: tuple[str, ...] = (),
        files: int = 0,
        sites: Mapping[str, str] = MappingProxyType({}),
    ) -> Fleet:
        """Return the fleet of these summaries, in which each computer has one name. Arguments: as the attributes."""
        index, ambiguous = joined_names(entries, expected, sites)
        return cls(tuple(index), tuple(unread), askings, expected, notes, files, sites, ambiguous)

    @property
    def ruleset(self) -> Ruleset:
        """The one ruleset that all was made for."""
        return self._first.ruleset

    @property
    def final(self) -> bool:
        """Tell whether the same files will say the same next time: none of them was out of reach."""
        return not any(file.again for file in self.unread)

    @property
    def _first(self) -> AuditSettings:
        return self.askings[min(self.askings)]

    def report(self, runner: Runner) -> FleetReport:
        """Judge every host and return the report."""
        pushes = self._pushes()
        contexts = self._contexts(pushes)
        sources = self._hosts(pushes)
        places, servers = _targets(sources, pushes)
        judged, modes = _in_modes(_evaluated(places, contexts, runner), places, contexts, runner)
        hosts, idle, counted = _counted(judged, places, self._first.methods)
        servers += idle
        counted += [say("fleet.server-not-counted", name=name, role=role) for name, role in servers]
        casts = [cast for context in contexts.values() for cast in context.casts.values()]
        notes = {Limitation("uncertain-role", text) for cast in casts for text in cast.notes}
        notes |= {Limitation("role-not-in-sources", text) for cast in casts for text in _absent_servers(cast, hosts)}
        return fleet_report(
            hosts,
            tool=TOOL,
            ruleset=self.ruleset,
            main=self._first.methods[0],
            asked=self._first.methods,
            roles=_servers_of((assignment for cast in casts for assignment in cast.assignments), hosts),
            files=self._files_read(),
            expected=self._without_source(),
            servers=[name for name, _ in servers],
            unreadable=[UnreadableFile(file.path, file.host, file.what, file.hint) for file in self.unread],
            limitations=[
                *(Limitation("no-site-server", text) for text in _without_server(contexts.values(), hosts)),
                *(Limitation("pairs-left-out", text) for text in self._left_out()),
                *(Limitation("several-contents", text) for text in self.notes),
                *(Limitation("ambiguous-name", text) for text in self.ambiguous),
                *(Limitation("served-others", text) for text in self._served_others(sources)),
                *(Limitation("server-in-fleet", text) for text in counted),
                *sorted(notes, key=lambda limitation: limitation.text),
                *(Limitation("inferred-mode", text) for text in modes),
                *(Limitation("stated-by-logs", text) for text in self._stated(hosts)),
                Limitation("log-misses-entries", say("fleet.log-misses-entries")),
                Limitation("ports-only", say("fleet.ports-only")),
            ],
        )

    def host(self, name: str) -> Report:
        """Return the report on one host, as `auditor analyze` would give it.

        Raises:
            ReportError: If there is none.
        """
        pushes = self._pushes()
        contexts, hosts = self._contexts(pushes), self._hosts(pushes)
        named_places = [place for place in _places(hosts, pushes) if _is_called(name, place.host, hosts[place.host])]
        if not named_places:
            self._check_read(name)
            examples = ", ".join(sorted(host.name for host in hosts)[:5])
            hint = f"Computers in it: {examples}"
            raise ReportError(f"there is no source of a computer {name!r} in this fleet", hint=hint)
        if len(named_places) > 1:
            sites = ", ".join(repr(place.host.site) for place in named_places)
            raise ReportError(f"{name!r} is at several sites: {sites}", hint="Name it as SITE/HOST.")
        (place,) = named_places
        context, site = contexts[place.asking], place.host.site
        (result,) = EvaluateTask({"": (place,)}, contexts)(("",))
        may_decide = any(judging.may_decide(mode, result, self.ruleset) for mode in MODES)
        stating = self._stating(site)
        if may_decide or stating:
            places, _ = _targets(hosts, pushes)
            at_site = (near for near in places if (near.asking, near.host.site) == (place.asking, site))
            showing = [near for near in at_site if may_decide or not stating.isdisjoint(near.numbered_rows)]
            results = EvaluateTask({"": tuple(showing)}, contexts)(("",)) if showing else []
            modes = judging.modes_of_sites(results, context)
            context = replace(context, modes=modes, ports=agreed_ports(results))
        return judging.report(site, place.entries(_entries([place])), context, TOOL)

    def _served_others(self, hosts: Hosts) -> Iterator[str]:
        """Yield a sentence on each log of IIS with requests of computers that no other source shows."""
        used = {(entry.shard, entry.row) for of_host in hosts.values() for entry in of_host}
        rows = (entry for entry in self.index if entry.kind == IIS_LOG and (entry.shard, entry.row) not in used)
        others = Counter(path for path, _ in {(entry.path, entry.addresses) for entry in rows if entry.addresses})
        for path, count in sorted(others.items()):
            yield say_count("fleet.served-others", count, path=path)

    def _stated(self, hosts: Sequence[HostResult]) -> Iterator[str]:
        """Yield a sentence on what logs state of a site, unless the user set it."""
        sites = [asking.site for asking in self.askings.values()]
        settings = {MODE} if not any(site.mode for site in sites) else set()
        if not any(site.ports for site in sites):
            settings |= set(PORT_FACTS.values())
        rows = self._first.rules.requirements
        documented = {
            name: frozenset(port for row in rows if row.site_port == name for port in row.ports) for name in settings
        }
        yield from notes_of(hosts, documented)

    def _stating(self, site: str) -> set[Row]:
        """Return the rows at a site whose logs may state a port of the site."""
        rows = {(entry.shard, entry.row) for entry in self.index if (entry.kind, entry.site) == (CONFIGMGR_LOG, site)}
        found = {
            (shard, row) for shard in {shard for shard, _ in rows} for row in shards.stating(Path(shard), PORT_FACTS)
        }
        return rows & found

    def _check_read(self, name: str) -> None:
        """Raise ReportError if the only sources of a host could not be read."""
        for file in self.unread:
            if file.host.casefold() == name.rpartition("/")[2].casefold():
                problem = f"no source of {file.host} could be read: {file.what}"
                raise ReportError(problem, where=file.path, hint=file.hint)

    def _pushes(self) -> dict[str, Pushes]:
        """Return the pushes in the sources of each question."""
        index = [entry for entry in self.index if entry.kind != IIS_LOG]  # it has no attempt of a push
        return pushes_of(index, {text: asking.question for text, asking in self.askings.items()})

    def _contexts(self, pushes: Mapping[str, Pushes]) -> dict[str, EvaluationContext]:
        """Return what evaluates the hosts of each question: all hosts of a site show the roles."""
        contexts = {}
        for text, asking in self.askings.items():
            casts = pushes[text].casts
            heard = self._heard(casts, asking.question.configured)
            contexts[text] = EvaluationContext(
                asking.question, asking.site, asking.rules, asking.methods, casts, heard=heard
            )
        return contexts

    def _heard(self, casts: Mapping[str, RoleMap], configured: ConfiguredRoles) -> dict[str, frozenset[str]]:
        """Return by site the servers that sent anything in any source: those of one host may hold no packet of them."""
        roles = [role for role in configured.networks if role != CLIENT]
        servers = {end.address for cast in casts.values() for end in cast.assignments if end.role != CLIENT}

        def serves(address: str) -> bool:
            return address in servers or any(configured.covers(role, address) for role in roles)

        sites = {(entry.shard, entry.row): entry.site for entry in self.index}
        heard: dict[str, set[str]] = defaultdict(set)
        for shard in sorted({shard for shard, _ in sites}):
            for address, rows in shards.heard(Path(shard), serves).items():
                for site in {sites[shard, row] for row in rows if (shard, row) in sites}:
                    heard[site].add(address)
        return {site: frozenset(heard[site] | heard[""]) for site in casts}

    def _hosts(self, pushes: Mapping[str, Pushes]) -> Hosts:
        """Return the sources of every host: a capture is of the clients in it, which all sources together show."""
        clients: dict[str, set[str]] = defaultdict(set)
        shown: dict[Row, set[str]] = defaultdict(set)
        for text, found_pushes in pushes.items():
            named = self.askings[text].question.configured.hosts(CLIENT)
            for site, cast in found_pushes.casts.items():
                clients[site].update(named, (push.to_address for push in cast.judged))
            for row, addresses in found_pushes.shown.items():
                shown[row] |= addresses
        return by_host(self.index, clients, shown)

    def _left_out(self) -> list[str]:
        """Return a sentence on each source that was too large to be kept whole."""
        return [
            say("fleet.pairs-left-out", path=log.path, count=log.left_out)
            for log in sorted({log for log in self.index if log.left_out}, key=lambda log: (log.path, log.row))
        ]

    @property
    def is_whole(self) -> bool:
        """Tell whether everything that may matter was kept of the sources."""
        return not any(entry.left_out for entry in self.index)

    def _without_source(self) -> dict[str, str]:
        """Return the sites of the hosts that should have a source, and of those whose source could not be read."""
        unread = {file.host: file.site for file in self.unread if file.host}
        return {**dict.fromkeys(self.expected, ""), **unread, **self.sites}

    def _files_read(self) -> FilesRead:
        # A capture may be of several hosts.
        files = {(entry.path, entry.digest): entry for entry in self.index}.values()
        contents = {(entry.site, entry.host, entry.path, entry.digest) for entry in self.index}
        once = {(entry.site, entry.host or entry.path, entry.digest) for entry in self.index}
        return FilesRead(
            files=self.files or len(files) + len(self.unread),
            read=len(files),
            unreadable=len(self.unread),
            duplicates=len(contents) - len(once),
            bytes=sum(file.size for file in files),
            records=sum(file.records for file in files),
            skipped=sum(file.skipped for file in files),
        )


@dataclass(frozen=True)
class _Requested:
    """The files of a run, by their paths as summaries hold them: as text that need not lead anywhere."""

    files: Mapping[str, FoundFile]

    def has(self, entry: IndexEntry | UnreadableSource) -> bool:
        """Tell whether a summary is about a file as it is now."""
        file = self.files.get(entry.path)
        return file is not None and (file.bytes, file.mtime_ns) == (entry.size, entry.modified_ns)

    def found(self, path: str) -> str:
        """Return the path under which a file was found."""
        file = self.files.get(path)
        return file.path if file else path


def read_new(
    files: Sequence[FoundFile],
    asking: AuditSettings,
    names: Names,
    folder: Path,
    runner_of: RunnerOf,
    note: Callable[[str], None],
) -> Fleet:
    """Read the files that no summary in the folder is about, and return the fleet of all of these files.

    Args:
        files: Those of this run.
        asking: What is asked of them.
        names: Tell whose each file is.
        folder: Of the summaries; it is made if it is not there. What does not answer this question is removed; what
            cannot be read as a summary is set aside under another name.
        runner_of: Gives, for the files that are to be read, what does the work.
        note: Called with what was set aside, in sentences.
    """
    folder.mkdir(parents=True, exist_ok=True)
    wanted = _Requested({name_of(Path(file.path)): file for file in files})
    indexes = _old(folder, asking, names, wanted, note)
    done = {entry.path for index in indexes.values() for listed in (index.entries, index.unread) for entry in listed}
    new = [file for path, file in wanted.files.items() if path not in done]
    if new:
        written = set()
        for task, result in runner_of(new)(make_tasks(new), ReadTask(asking, names, folder)):
            path = Path(result) if isinstance(result, str) else folder / shard_name(task.files)
            if isinstance(result, FailedFile):
                shards.write(path, _lost(task, result, names), asking.text)
            written.add(path.name)
        # All in these counts: a log that is in use, or that was removed, is not any more as it was found.
        for path in (folder / name for name in written):
            indexes[path] = _renamed(path, shards.outline(path, own=True), asking, names, wanted)
    entries = [entry for path in sorted(indexes) for entry in indexes[path].entries]
    unread = sorted({file for index in indexes.values() for file in index.unread})
    return Fleet.joined(
        entries,
        unread,
        {asking.text: asking},
        expected=names.expected,
        notes=names.notes,
        files=len(files),
        sites=names.sites,
    )


def merge_summaries(paths: Iterable[str], rules: Ruleset | None = None) -> Fleet:
    """Return the fleet of summaries that were made elsewhere, each judged by what it was made for.

    Args:
        paths: The summaries.
        rules: The ruleset of all, if it is none of those shipped.

    Raises:
        ReportError: For what is no summary, and if they were made for several rulesets.
    """
    entries: list[IndexEntry] = []
    unread: set[UnreadableSource] = set()
    askings: dict[str, AuditSettings] = {}
    for path in dict.fromkeys(paths):
        outline = shards.outline(Path(path))
        if outline.question not in askings:
            askings[outline.question] = parse_settings(outline.question, Path(path), rules)
        entries += outline.entries
        unread.update(outline.unread)
    check_same_settings(list(askings.values()))
    read: dict[tuple[str, str, str], int] = {}
    for entry in entries:
        file = (entry.site, entry.host, entry.path)
        read[file] = max(entry.modified_ns, read.get(file, 0))
    # What was read in a later run is no longer lost; without its host it may be a file of another site.
    read_ns = {file: read.get((file.site, file.host, file.path), -1) for file in unread}
    left = [file for file in unread if not file.host or read_ns[file] < file.modified_ns]
    return Fleet.joined(entries, sorted(left), askings, notes=_versions(entries))


def _portions(files: Sequence[str], size: int) -> list[Sequence[str]]:
    return [files[begin : begin + size] for begin in range(0, len(files), size)]


def make_tasks(files: Sequence[FoundFile]) -> list[Task]:
    """Return the files in portions for the workers: few enough to manage, small enough to share evenly."""
    portions: list[list[FoundFile]] = [[]]
    size = 0
    for file in files:
        if portions[-1] and (len(portions[-1]) >= FILES_IN_SHARD or size + file.bytes > BYTES_IN_SHARD):
            portions.append([])
            size = 0
        portions[-1].append(file)
        size += file.bytes
    return [Task(number, tuple(file.path for file in portion)) for number, portion in enumerate(portions) if portion]


def shard_name(files: Sequence[str]) -> str:
    """Return the name of the summary of some files: another one each time they have changed."""
    digest = hashlib.sha256()
    for file in files:
        try:
            status = Path(file).stat()
            digest.update(f"{file}\0{status.st_size}\0{status.st_mtime_ns}\0".encode("utf-8", "surrogateescape"))
        except (OSError, ValueError):
            digest.update(file.encode("utf-8", "surrogateescape"))
    return digest.hexdigest()[:24] + shards.SUFFIX


def summaries_in(folder: Path) -> list[Path]:
    """Return the summaries in a folder, in the order of their names."""
    return sorted(folder.glob("[!.]*" + shards.SUFFIX))


def _old(
    folder: Path, asking: AuditSettings, names: Names, wanted: _Requested, note: Callable[[str], None]
) -> dict[Path, SummaryIndex]:
    """Return what the summaries of earlier runs say of the wanted files, under the names that these have now.

    A summary that says nothing of them, or answers something else, is removed; what cannot be read as one (broken, of
    a newer auditor, or of another program) is set aside under another name.
    """
    indexes = {}
    for path in summaries_in(folder):
        try:
            outline = _as_now(path, asking, names, wanted)
        except ReportError as error:
            aside = path.with_name(path.name + ASIDE)
            path.replace(aside)
            note(f"{path}: {error.what}; {aside.name} keeps it, and its logs are read again.")
            continue
        if outline is None:
            path.unlink()
        else:
            indexes[path] = outline
    return indexes


def _as_now(path: Path, asking: AuditSettings, names: Names, wanted: _Requested) -> SummaryIndex | None:
    """Return what a summary says of the wanted files, which stands in it from now on; None if nothing that answers."""
    outline = shards.outline(path)
    if outline.auditor != VERSION or not asking.is_compatible_with(outline.question):
        return None
    outline = _of_wanted(path, outline, wanted)
    return _renamed(path, outline, asking, names, wanted) if outline.entries or outline.unread else None


def _renamed(
    path: Path, outline: SummaryIndex, asking: AuditSettings, names: Names, wanted: _Requested
) -> SummaryIndex:
    """Return the outline of a summary under the names that hosts have now, which stand in it from now on."""
    labels = named([entry._replace(path=wanted.found(entry.path)) for entry in outline.entries], names)
    unread = tuple(_unread_of(file, wanted.found(file.path), names) for file in outline.unread)
    old_labels = [Label(entry.host, entry.site, entry.owners) for entry in outline.entries]
    if (outline.question, old_labels, outline.unread) == (asking.text, labels, unread):
        return outline
    shards.rewrite_summary(path, labels, unread, asking.text)
    return shards.outline(path)


def _of_wanted(path: Path, outline: SummaryIndex, wanted: _Requested) -> SummaryIndex:
    """Return the outline of a summary from which is removed what is not about a wanted file as it is now.

    So `merge` and the report on one host find in the summaries of a folder what the report of the fleet is made of.
    """
    wanted_rows, left = list(filter(wanted.has, outline.entries)), tuple(filter(wanted.has, outline.unread))
    if len(wanted_rows) + len(left) == len(outline.entries) + len(outline.unread):
        return outline
    if not wanted_rows and not left:
        return outline._replace(entries=wanted_rows, unread=left)
    entries = shards.entries(path, [entry.row for entry in wanted_rows])
    shards.write(path, Summary(tuple(entries), left), outline.question)
    return shards.outline(path)


def named(entries: Sequence[IndexEntry], names: Names) -> list[Label]:
    """Return whose each row of a summary is: what one file says stands in one summary."""
    rows = Counter((entry.path, entry.digest) for entry in entries)

    def label(entry: IndexEntry) -> Label:
        of_log = entry.host if entry.kind == CONFIGMGR_LOG else ""  # the log names its computers, not its path
        shared = rows[entry.path, entry.digest] > 1 or bool(of_log) or entry.kind == IIS_LOG
        name, owners = whose(entry.kind, entry.path, entry.addresses, names, shared=shared)
        host = name.host or of_log
        return Label(host, name.site or names.sites.get(host, ""), owners)

    return list(map(label, entries))


def _unread_of(file: UnreadableSource, path: str, names: Names) -> UnreadableSource:
    """Return a file that could not be read, under the name that its host has now. path: where it was found."""
    name = names.whose(path)
    return replace(file, host=name.host, site=name.site)


def _lost(task: Task, lost: FailedFile, names: Names) -> Summary:
    """Return the summary of a file whose reading ended its worker: next time there may be memory, or a faster drive."""
    (path,) = task.files
    unread = UnreadableSource(name_of(Path(path)), "", lost.how, lost.hint, size=0, modified_ns=0)
    return Summary((), (_unread_of(unread, path, names),))


def _versions(index: Iterable[IndexEntry]) -> tuple[str, ...]:
    """Return a sentence on files that stand in summaries as they were at several times, if any do."""
    several = sum(
        len({entry.digest for entry in entries if entry.path == path}) > 1
        for entries in by_host(index).values()
        for path, count in Counter(entry.path for entry in entries).items()
        if count > 1
    )
    if not several:
        return ()
    return (say_count("fleet.several-contents", several),)


def _once(index: Iterable[IndexEntry]) -> list[IndexEntry]:
    """Return the rows of a host; of those that say the same of one file, that of the later file, as `merge` does."""
    ordered = sorted(index, key=lambda entry: (entry.modified_ns, entry.asking, entry.shard, entry.row))
    return list({(entry.path, entry.digest, entry.addresses, entry.log_name): entry for entry in ordered}.values())


def _entries(places: Sequence[SummaryLocation]) -> dict[Row, Entry]:
    """Return the rows of some hosts, each shard read once."""
    wanted: dict[str, set[int]] = defaultdict(set)
    for place in places:
        for shard, rows in place.rows:
            wanted[shard].update(rows)
    read: dict[Row, Entry] = {}
    for shard in sorted(wanted):
        ordered = sorted(wanted[shard])
        read |= zip(((shard, row) for row in ordered), shards.entries(Path(shard), ordered), strict=True)
    return read


def _places(hosts: Mapping[Host, Sequence[IndexEntry]], pushes: Mapping[str, Pushes]) -> list[SummaryLocation]:
    """Return where every host stands, in the order of site and name."""
    return [SummaryLocation.of(host, index, pushes) for host, index in hosts.items()]


def _targets(
    hosts: Mapping[Host, Sequence[IndexEntry]], pushes: Mapping[str, Pushes]
) -> tuple[list[SummaryLocation], list[tuple[str, str]]]:
    """Return where the hosts stand that are evaluated, and name and role of each that is a server and not pushed."""
    places, servers = [], []
    for place in _places(hosts, pushes):
        cast = pushes[place.asking].casts[place.host.site]
        roles = judging.servers(cast)
        addresses = [entry.addresses[0] for entry in hosts.get(place.host, ()) if entry.addresses] or place.addresses
        role = next((roles[address] for address in addresses if address in roles), "")
        if role and not any(map(cast.is_judged, cast.pushes_at(place.addresses))):
            servers.append((place.host.name, role.replace("-", " ")))
        else:
            places.append(place._replace(role=role, counts=place.counts and not role))
    return places, servers


def _counted(
    judged: Iterable[HostResult], places: Iterable[SummaryLocation], methods: Sequence[str]
) -> tuple[list[HostResult], list[tuple[str, str]], list[str]]:
    """Return the hosts that count as computers to install on.

    A server that is pushed counts if the push fails: then it is to be in the report. So does a computer of which
    nothing but the log of a host that may be a client is known.

    Returns:
        The hosts, name and role of each server that does not count, and a sentence on each that does.
    """
    by_host = {(place.host.name, place.host.site): place for place in places}
    hosts: list[HostResult] = []
    idle, notes = [], []
    for host in judged:
        place = by_host[host.host, host.site]
        role = place.role.replace("-", " ")
        fails = any(outcome.result == FAILS for outcome in host.outcomes if outcome.method in methods)
        if place.counts or fails:
            hosts.append(host)
        if role and fails:
            notes.append(say("fleet.server-counted", name=host.host, role=role))
        elif role:
            idle.append((host.host, role))
    return hosts, idle, notes


def _absent_servers(cast: RoleMap, hosts: Iterable[HostResult]) -> Iterator[str]:
    """Yield a sentence on each server that was named and that no computer tried to reach."""
    ends = (end for host in hosts for row in host.seen for end in (row.source, row.destination))
    named = [end for end in cast.assignments if end.how == GIVEN and end.role not in (SITE_SERVER, CLIENT)]
    return judging.absent(named, {end.address for end in ends if end.address}) if named else iter(())


def _without_server(contexts: Iterable[EvaluationContext], hosts: Iterable[HostResult]) -> list[str]:
    """Return a sentence on the sites whose site server is unknown, unless its own log shows its pushes."""
    of_contexts = list(contexts)
    pushes = {m.id for context in of_contexts for m in context.ruleset.methods if SITE_SERVER in m.by_partner}
    logged = {host.site for host in hosts for end in host.outcomes if end.method in pushes and end.result == FAILS}
    casts = [item for context in of_contexts for item in context.casts.items()]
    sites = sorted({site for site, cast in casts if SITE_SERVER not in cast.roles} - logged)
    if not sites:
        return []
    named = [site for site in sites if site]
    if not named:
        return [say("fleet.no-site-server")]
    more = say("list.more", count=len(named) - MOST_SITES) if len(named) > MOST_SITES else ""
    return [say("fleet.no-site-server-at", sites=", ".join(named[:MOST_SITES]), more=more)]


def _evaluated(places: Sequence[SummaryLocation], contexts: Contexts, runner: Runner) -> list[HostResult]:
    """Return the results of hosts."""
    judge = EvaluateTask(_blocks(places), contexts)
    tasks = [Task(number, (name,)) for number, name in enumerate(judge.blocks)]
    return [host for _, results in runner(tasks, judge) for host in _judged(results)]


def _in_modes(
    hosts: list[HostResult], places: Sequence[SummaryLocation], contexts: Contexts, runner: Runner
) -> tuple[list[HostResult], list[str]]:
    """Return the results of all hosts as the modes of their sites decide them, and what was inferred for that.

    Only all hosts of a site together show its mode, so those that it may decide are evaluated twice.
    """
    by_host = {(host.host, host.site): host for host in hosts}
    asked = {(place.host.name, place.host.site): place for place in places}
    with_modes = {}
    for text, context in contexts.items():
        own = [host for name, host in by_host.items() if asked[name].asking == text]
        with_modes[text] = replace(context, modes=judging.modes_of_sites(own, context), ports=agreed_ports(own))
    again = [place for name, place in asked.items() if _may_change(by_host[name], with_modes[place.asking])]
    if not again:
        return hosts, []
    later = {(host.host, host.site): host for host in _evaluated(again, with_modes, runner)}
    sites = {(asked[name].asking, name[1]) for name, host in later.items() if host.outcomes != by_host[name].outcomes}
    notes = [_inferred(with_modes[text].modes[site]) for text, site in sorted(sites)]
    return [later.get((host.host, host.site), host) for host in hosts], notes


def _may_change(host: HostResult, context: EvaluationContext) -> bool:
    """Tell whether the mode or the ports of its site, as other hosts show them, may decide the result of a host."""
    states_ports = any(statement.setting != MODE for statement in host.stated)
    of_site = {} if states_ports or context.site.ports else context.ports.get(host.site, {})
    if custom_ports(of_site, context.documented):
        return True
    mode = context.modes.get(host.site)
    return mode is not None and judging.may_decide(mode.mode, host, context.ruleset)


def _inferred(mode: SiteMode) -> str:
    fields = {"mode": mode.mode, "uses": IN_MODE[mode.mode], "why": mode.why}
    if not mode.site_server:
        return say("fleet.mode", **fields)
    return say("fleet.mode-of", site=mode.site_server, **fields)


def _blocks(places: Sequence[SummaryLocation]) -> dict[str, tuple[SummaryLocation, ...]]:
    """Return the hosts in portions for the workers: those that stand in one shard first are judged together."""
    blocks: dict[str, list[SummaryLocation]] = defaultdict(list)
    for place in places:
        blocks[place.rows[0][0]].append(place)
    return {name: tuple(blocks[name]) for name in sorted(blocks)}


def _judged(results: list[HostResult] | FailedFile) -> list[HostResult]:
    if isinstance(results, FailedFile):
        raise ReportError(f"some computers could not be evaluated: {results.how}", hint=results.hint or "Run it again.")
    return results


def _servers_of(assignments: Iterable[RoleAssignment], hosts: Iterable[HostResult]) -> list[RoleAssignment]:
    """Return who serves the fleet, each once. A role that was not set counts only if the host is in a verdict."""
    met = {end.address for host in hosts for row in host.seen for end in (row.source, row.destination)}
    serving = {end for end in assignments if end.role != CLIENT and (end.how == GIVEN or end.address in met)}
    return sorted(serving, key=attrgetter("role", "address", "how", "why"))


def _is_called(name: str, host: Host, index: Iterable[IndexEntry]) -> bool:
    site, _, alone = name.rpartition("/")
    if site and (site.casefold(), alone.casefold()) == (host.site.casefold(), host.name.casefold()):
        return True
    return name.casefold() == host.name.casefold() or any(entry.addresses[:1] == (name,) for entry in index)
