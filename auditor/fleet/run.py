"""A fleet: what is new is read, all summaries are put together, every host is judged, all is reported once.

Summaries are Parquet files, each of a hundred sources or so, each there whole or not at all. A second run reads only
files that are new or have changed.
"""

from __future__ import annotations

import hashlib
import re
from collections import Counter, defaultdict
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, NamedTuple

from auditor.errors import ReportError
from auditor.fleet import evaluate as judging
from auditor.fleet.evaluate import Bench
from auditor.fleet.inventory.discover import FoundFile
from auditor.fleet.inventory.grouping import Host, Hosts, Known, Row, by_host
from auditor.fleet.inventory.host_names import Names
from auditor.fleet.pushed import Pushes, Target, pushes_of
from auditor.fleet.summaries import parquet_store as shards
from auditor.fleet.summaries.parquet_store import Label, Outline
from auditor.fleet.summaries.question import Asking, asking_of, check_alike
from auditor.fleet.summaries.summary import Entry, Summary, Unread, summarizing, whose
from auditor.fleet.totals import FilesRead, fleet_report
from auditor.fleet.workers.current_file import begin, size_of
from auditor.fleet.workers.retry_plan import Lost, Task
from auditor.report.fleet_model import FleetReport, HostResult, UnreadableFile
from auditor.report.model import FAILS, GIVEN, IN_MODE, Limitation, Report, RoleAssignment, SiteMode
from auditor.ruleset.given_roles import ConfiguredRoles
from auditor.ruleset.lint import CLIENT, MODES, SITE_SERVER
from auditor.ruleset.ruleset import Ruleset
from auditor.sources.logs.addresses import LogAddresses
from auditor.sources.logs.batching import Steps, read_together
from auditor.sources.source import name_of
from auditor.verdicts.installations.roles import RoleMap
from auditor.version import TOOL, VERSION

FILES_IN_SHARD = 100
SHORT, TOGETHER = 64 * 1024, 16  # bytes of logs, and how many of them, that are read together: more gain nothing
ASIDE = ".unreadable"  # behind the name of a summary that was set aside
HALF_WRITTEN = re.compile(r"\.[0-9a-f]{24}\.parquet(\..+)?")
MOST_SITES = 5  # that are named in a sentence
BYTES_IN_SHARD = 256 * 1024 * 1024  # so that a few large logs do not make one worker wait for another
Work = Callable[[tuple[str, ...]], Any]
Runner = Callable[[Sequence[Task], Work], Iterable[tuple[Task, Any]]]
RunnerOf = Callable[[Sequence[FoundFile]], Runner]
BY_PORTS = Limitation(
    "ports-only",
    "Only ports were judged, not what was said on them: an open port can still fail (wrong password, missing share, "
    "HTTP error). `auditor analyze` looks into the captures of one computer.",
)
SILENCE = Limitation(
    "log-misses-entries",
    "A packet that is missing from a log may have arrived. Windows logs only what its settings turn on, does not log "
    "drops at closed ports, and can lose events.",
)


@dataclass(frozen=True)
class Reading:
    """What a worker does with some files: it reads them and writes their summaries, a shard."""

    asking: Asking
    names: Names
    folder: Path

    def __call__(self, files: tuple[str, ...]) -> str:
        """Return the path of the shard."""
        short = [file for file in files if size_of(file) <= SHORT]
        others = [[file] for file in files if file not in set(short)]
        found = [one for some in (*_portions(short, TOGETHER), *others) for one in self._summarized(some)]
        path = self.folder / shard_name(files)
        shards.write(path, Summary().merge(*found), self.asking.text)
        return str(path)

    def _summarized(self, files: Sequence[str]) -> list[Summary]:
        addresses = LogAddresses()
        return read_together(self._steps(file, addresses) for file in files)

    def _steps(self, file: str, addresses: LogAddresses) -> Steps[Summary]:
        begin(file)
        return (yield from summarizing(file, self.asking.question, self.names, addresses))


class Place(NamedTuple):
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
    def of(cls, host: Host, known: Sequence[Known], found: Mapping[str, Pushes]) -> Place:
        """Return where what is known of a host stands. It is judged by what was asked of those at its site."""
        rows: dict[str, list[int]] = defaultdict(list)
        for one in _once(known):
            rows[one.shard].append(one.row)
        ordered = tuple((shard, tuple(sorted(rows[shard]))) for shard in sorted(rows))
        parts = {(one.shard, one.row): one.addresses for one in known if one.is_part}
        asking = min((one.site != host.site, one.asking) for one in known)[1]
        addresses = tuple(dict.fromkeys(address for one in known for address in one.addresses))
        is_shown = all(one.is_part and not one.is_capture for one in known)  # by logs of others only
        uncertain = is_shown and all(Target(host.site, one) in found[asking].uncertain for one in addresses)
        return cls(host, ordered, parts, asking, addresses, counts=not uncertain)

    def entries(self, read: Mapping[Row, Entry]) -> list[Entry]:
        """Return what the summaries say of the host. read: their rows."""
        rows = [(shard, row) for shard, numbers in self.rows for row in numbers]
        return [read[row].about(self.parts[row]) if row in self.parts else read[row] for row in rows]


@dataclass(frozen=True)
class Judging:
    """What a worker does with some hosts: it judges them. blocks: hosts by number; benches: by what was asked."""

    blocks: Mapping[str, tuple[Place, ...]]
    benches: Mapping[str, Bench]

    def __call__(self, numbers: tuple[str, ...]) -> list[HostResult]:
        """Return the results of the hosts of some blocks."""
        return [one for number in numbers for one in self._block(self.blocks[number])]

    def _block(self, places: Sequence[Place]) -> Iterator[HostResult]:
        read = _entries(places)
        for place in places:
            yield judging.judge(place.host.name, place.host.site, place.entries(read), self.benches[place.asking])


@dataclass(frozen=True)
class Fleet:
    """All summaries of a fleet, known by their outlines, and what they are asked.

    askings: by their text; expected: names of hosts that should have a source; notes: what else is to be told at the
    head of the report; files: how many were named or found.
    """

    known: tuple[Known, ...]
    unread: tuple[Unread, ...]
    askings: Mapping[str, Asking]
    expected: tuple[str, ...] = ()
    notes: tuple[str, ...] = ()
    files: int = 0

    @property
    def ruleset(self) -> Ruleset:
        """The one ruleset that all was made for."""
        return self._first.ruleset

    @property
    def final(self) -> bool:
        """Tell whether the same files will say the same next time: none of them was out of reach."""
        return not any(one.again for one in self.unread)

    @property
    def _first(self) -> Asking:
        return self.askings[min(self.askings)]

    def report(self, runner: Runner) -> FleetReport:
        """Judge every host and return the report."""
        pushes = self._pushes()
        benches = self._benches(pushes)
        places, servers = _targets(self._hosts(pushes), pushes)
        judged, modes = _in_modes(_evaluated(places, benches, runner), places, benches, runner)
        hosts, idle, told = _counted(judged, places, self._first.methods)
        servers += idle
        told += [
            f"{name} is the {role}: it is not counted among the computers to install on." for name, role in servers
        ]
        casts = [cast for bench in benches.values() for cast in bench.casts.values()]
        notes = {Limitation("uncertain-role", text) for cast in casts for text in cast.notes}
        notes |= {Limitation("role-not-in-sources", text) for cast in casts for text in _absent_servers(cast, hosts)}
        return fleet_report(
            hosts,
            tool=TOOL,
            ruleset=self.ruleset,
            main=self._first.methods[0],
            asked=self._first.methods,
            roles=_servers_of((one for cast in casts for one in cast.assignments), hosts),
            files=self._files_read(),
            expected=self.expected,
            servers=[name for name, _ in servers],
            unreadable=(UnreadableFile(one.path, one.host, one.what, one.hint) for one in self.unread),
            limitations=[
                *(Limitation("no-site-server", text) for text in _without_server(benches.values())),
                *(Limitation("pairs-left-out", text) for text in self._left_out()),
                *(Limitation("several-contents", text) for text in self.notes),
                *(Limitation("server-in-fleet", text) for text in told),
                *sorted(notes, key=lambda limitation: limitation.text),
                *(Limitation("inferred-mode", text) for text in modes),
                SILENCE,
                BY_PORTS,
            ],
        )

    def host(self, name: str) -> Report:
        """Return the report on one host, as `auditor analyze` would give it. Raises ReportError if there is none."""
        pushes = self._pushes()
        benches, hosts = self._benches(pushes), self._hosts(pushes)
        found = [place for place in _places(hosts, pushes) if _is_called(name, place.host, hosts[place.host])]
        if not found:
            self._check_read(name)
            some = ", ".join(sorted(host.name for host in hosts)[:5])
            hint = f"of these there is, for example: {some}"
            raise ReportError(f"there is no source of a computer {name!r} in this fleet", hint=hint)
        if len(found) > 1:
            sites = ", ".join(repr(place.host.site) for place in found)
            raise ReportError(f"{name!r} is at several sites: {sites}", hint="name it as SITE/HOST")
        (place,) = found
        bench, site = benches[place.asking], place.host.site
        (result,) = Judging({"": (place,)}, benches)(("",))
        if any(judging.may_decide(mode, result, self.ruleset) for mode in MODES):
            places, _ = _targets(hosts, pushes)
            alike = [one for one in places if (one.asking, one.host.site) == (place.asking, site)]
            others = Judging({"": tuple(alike)}, benches)(("",))
            bench = replace(bench, modes=judging.modes_of_sites(others, bench))
        return judging.report(site, place.entries(_entries([place])), bench, TOOL)

    def _check_read(self, name: str) -> None:
        """Raise ReportError if the only sources of a host could not be read."""
        for one in self.unread:
            if one.host.casefold() == name.rpartition("/")[2].casefold():
                raise ReportError(f"no source of {one.host} could be read: {one.what}", where=one.path, hint=one.hint)

    def _pushes(self) -> dict[str, Pushes]:
        """Return the pushes in the sources of each question."""
        return pushes_of(self.known, {text: asking.question for text, asking in self.askings.items()})

    def _benches(self, pushes: Mapping[str, Pushes]) -> dict[str, Bench]:
        """Return what judges the hosts of each question: who plays which role is told by all hosts of a site."""
        benches = {}
        for text, asking in self.askings.items():
            casts = pushes[text].casts
            heard = self._heard(casts, asking.question.given)
            benches[text] = Bench(asking.question, asking.facts, asking.methods, casts, heard=heard)
        return benches

    def _heard(self, casts: Mapping[str, RoleMap], given: ConfiguredRoles) -> dict[str, frozenset[str]]:
        """Return by site the servers that sent anything in any source: those of one host may hold no packet of them."""
        roles = [role for role in given.networks if role != CLIENT]
        servers = {one.address for cast in casts.values() for one in cast.assignments if one.role != CLIENT}

        def serves(address: str) -> bool:
            return address in servers or any(given.covers(role, address) for role in roles)

        sites = {(one.shard, one.row): one.site for one in self.known}
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
        for text, found in pushes.items():
            named = self.askings[text].question.given.hosts(CLIENT)
            for site, cast in found.casts.items():
                clients[site].update(named, (push.to_address for push in cast.judged))
            for row, addresses in found.shown.items():
                shown[row] |= addresses
        return by_host(self.known, clients, shown)

    def _left_out(self) -> list[str]:
        """Return a sentence on each source that was too large to be kept whole."""
        return [
            f"{one.path}: {one.left_out:,} pairs of computers were left out, because a summary has no room for more. "
            "Name site server and management point (--role): what is named is kept first."
            for one in sorted({one for one in self.known if one.left_out}, key=lambda one: (one.path, one.row))
        ]

    @property
    def is_whole(self) -> bool:
        """Tell whether everything that may matter was kept of the sources."""
        return not any(one.left_out for one in self.known)

    def _files_read(self) -> FilesRead:
        files = {(one.path, one.digest): one for one in self.known}.values()  # a capture may be of several hosts
        contents = {(one.site, one.host, one.path, one.digest) for one in self.known}
        once = {(one.site, one.host or one.path, one.digest) for one in self.known}
        return FilesRead(
            files=self.files or len(files) + len(self.unread),
            read=len(files),
            unreadable=len(self.unread),
            duplicates=len(contents) - len(once),
            bytes=sum(one.size for one in files),
            records=sum(one.records for one in files),
            skipped=sum(one.skipped for one in files),
        )


@dataclass(frozen=True)
class _Wanted:
    """The files of a run, by their paths as summaries hold them: as text that need not lead anywhere."""

    files: Mapping[str, FoundFile]

    def has(self, one: Known | Unread) -> bool:
        """Tell whether a summary is about a file as it is now."""
        file = self.files.get(one.path)
        return file is not None and (file.bytes, file.mtime_ns) == (one.size, one.modified_ns)

    def found(self, path: str) -> str:
        """Return the path under which a file was found."""
        file = self.files.get(path)
        return file.path if file else path


def read_new(
    files: Sequence[FoundFile],
    asking: Asking,
    names: Names,
    folder: Path,
    runner_of: RunnerOf,
    note: Callable[[str], None],
) -> Fleet:
    """Read the files that no summary in the folder is about, and return the fleet of all of these files.

    folder: of the summaries; it is made if it is not there. What another run left half done is removed, and what does
    not answer this question; what cannot be read as a summary is set aside under another name. runner_of: gives, for
    the files that are to be read, what does the work. note: told what was set aside, in sentences.
    """
    folder.mkdir(parents=True, exist_ok=True)
    for half in folder.glob(".*"):
        if HALF_WRITTEN.fullmatch(half.name):
            half.unlink(missing_ok=True)
    wanted = _Wanted({name_of(Path(file.path)): file for file in files})
    found = _old(folder, asking, names, wanted, note)
    done = {one.path for some in found.values() for each in (some.known, some.unread) for one in each}
    new = [file for path, file in wanted.files.items() if path not in done]
    if new:
        written = set()
        for task, result in runner_of(new)(tasks_of(new), Reading(asking, names, folder)):
            path = Path(result) if isinstance(result, str) else folder / shard_name(task.files)
            if isinstance(result, Lost):
                shards.write(path, _lost(task, result, names), asking.text)
            written.add(path.name)
        # All in these counts: a log that is in use, or that was removed, is not any more as it was found.
        for path in (folder / name for name in written):
            found[path] = _renamed(path, shards.outline(path, own=True), asking, names, wanted)
    known = [one for path in sorted(found) for one in found[path].known]
    unread = sorted({one for some in found.values() for one in some.unread})
    return Fleet(tuple(known), tuple(unread), {asking.text: asking}, names.expected, names.notes, len(files))


def put_together(paths: Iterable[str], rules: Ruleset | None = None) -> Fleet:
    """Return the fleet of summaries that were made elsewhere, each judged by what it was made for.

    rules: the ruleset of all, if it is none of those shipped. Raises ReportError for what is no summary, and if they
    were made for several rulesets.
    """
    known: list[Known] = []
    unread: set[Unread] = set()
    askings: dict[str, Asking] = {}
    for path in dict.fromkeys(paths):
        outline = shards.outline(Path(path))
        if outline.question not in askings:
            askings[outline.question] = asking_of(outline.question, Path(path), rules)
        known += outline.known
        unread.update(outline.unread)
    check_alike(list(askings.values()))
    read: dict[tuple[str, str, str], int] = {}
    for one in known:
        file = (one.site, one.host, one.path)
        read[file] = max(one.modified_ns, read.get(file, 0))
    # What was read in a later run is no longer lost; without its host it may be a file of another site.
    left = [one for one in unread if not one.host or read.get((one.site, one.host, one.path), -1) < one.modified_ns]
    return Fleet(tuple(known), tuple(sorted(left)), askings, notes=_versions(known))


def _portions(files: Sequence[str], size: int) -> list[Sequence[str]]:
    return [files[begin : begin + size] for begin in range(0, len(files), size)]


def tasks_of(files: Sequence[FoundFile]) -> list[Task]:
    """Return the files in portions for the workers: few enough to manage, small enough to share evenly."""
    portions: list[list[FoundFile]] = [[]]
    size = 0
    for file in files:
        if portions[-1] and (len(portions[-1]) >= FILES_IN_SHARD or size + file.bytes > BYTES_IN_SHARD):
            portions.append([])
            size = 0
        portions[-1].append(file)
        size += file.bytes
    return [Task(number, tuple(file.path for file in some)) for number, some in enumerate(portions) if some]


def shard_name(files: Sequence[str]) -> str:
    """Return the name of the summary of some files: another one each time they have changed."""
    told = hashlib.sha256()
    for file in files:
        try:
            status = Path(file).stat()
            told.update(f"{file}\0{status.st_size}\0{status.st_mtime_ns}\0".encode("utf-8", "surrogateescape"))
        except (OSError, ValueError):
            told.update(file.encode("utf-8", "surrogateescape"))
    return told.hexdigest()[:24] + shards.SUFFIX


def summaries_in(folder: Path) -> list[Path]:
    """Return the summaries in a folder, in the order of their names."""
    return sorted(folder.glob("[!.]*" + shards.SUFFIX))


def _old(
    folder: Path, asking: Asking, names: Names, wanted: _Wanted, note: Callable[[str], None]
) -> dict[Path, Outline]:
    """Return what the summaries of earlier runs say of the wanted files, under the names that these have now.

    A summary that says nothing of them, or answers something else, is removed; what cannot be read as one (broken, of
    a newer auditor, or of somebody else) is set aside under another name.
    """
    found = {}
    for path in summaries_in(folder):
        try:
            outline = _as_now(path, asking, names, wanted)
        except ReportError as error:
            aside = path.with_name(path.name + ASIDE)
            path.replace(aside)
            note(f"{path}: {error.what}; it was set aside as {aside.name}, and its logs are read again")
            continue
        if outline is None:
            path.unlink()
        else:
            found[path] = outline
    return found


def _as_now(path: Path, asking: Asking, names: Names, wanted: _Wanted) -> Outline | None:
    """Return what a summary says of the wanted files, which stands in it from now on; None if nothing that answers."""
    outline = shards.outline(path)
    if outline.auditor != VERSION or not asking.can_use(outline.question):
        return None
    outline = _of_wanted(path, outline, wanted)
    return _renamed(path, outline, asking, names, wanted) if outline.known or outline.unread else None


def _renamed(path: Path, outline: Outline, asking: Asking, names: Names, wanted: _Wanted) -> Outline:
    """Return the outline of a summary under the names that hosts have now, which stand in it from now on."""
    labels = named([one._replace(path=wanted.found(one.path)) for one in outline.known], names)
    unread = tuple(_unread_of(one, wanted.found(one.path), names) for one in outline.unread)
    before = [Label(one.host, one.site, one.owners) for one in outline.known]
    if (outline.question, before, outline.unread) == (asking.text, labels, unread):
        return outline
    shards.relabel(path, labels, unread, asking.text)
    return shards.outline(path)


def _of_wanted(path: Path, outline: Outline, wanted: _Wanted) -> Outline:
    """Return the outline of a summary from which is removed what is not about a wanted file as it is now.

    So `merge` and the report on one host find in the summaries of a folder what the report of the fleet is made of.
    """
    known, left = list(filter(wanted.has, outline.known)), tuple(filter(wanted.has, outline.unread))
    if len(known) + len(left) == len(outline.known) + len(outline.unread):
        return outline
    if not known and not left:
        return outline._replace(known=known, unread=left)
    entries = shards.entries(path, [one.row for one in known])
    shards.write(path, Summary(tuple(entries), left), outline.question)
    return shards.outline(path)


def named(some: Sequence[Known], names: Names) -> list[Label]:
    """Return whose each row of a summary is: what one file says stands in one summary."""
    rows = Counter((one.path, one.digest) for one in some)
    found = (whose(one.kind, one.path, one.addresses, names, shared=rows[one.path, one.digest] > 1) for one in some)
    return [Label(name.host, name.site, owners) for name, owners in found]


def _unread_of(one: Unread, path: str, names: Names) -> Unread:
    """Return a file that could not be read, under the name that its host has now. path: where it was found."""
    name = names.whose(path)
    return replace(one, host=name.host, site=name.site)


def _lost(task: Task, lost: Lost, names: Names) -> Summary:
    """Return the summary of a file whose reading ended its worker: next time there may be memory, or a faster drive."""
    (path,) = task.files
    unread = Unread(name_of(Path(path)), "", lost.how, lost.hint, size=0, modified_ns=0)
    return Summary((), (_unread_of(unread, path, names),))


def _versions(known: Iterable[Known]) -> tuple[str, ...]:
    """Return a sentence on files that stand in summaries as they were at several times, if any do."""
    several = sum(
        len({one.digest for one in some if one.path == path}) > 1
        for some in by_host(known).values()
        for path, count in Counter(one.path for one in some).items()
        if count > 1
    )
    if not several:
        return ()
    what = "1 file stands" if several == 1 else f"{several:,} files stand"
    return (
        f"{what} in these summaries with several contents, and all of them count. If they are of computers of one name "
        "at several sites, run `auditor batch` with --host-from and {site}; if they are of one computer at several "
        "times, merge the latest summaries only.",
    )


def _once(known: Iterable[Known]) -> list[Known]:
    """Return the rows of a host; of those that say the same of one file, that of the later file, as `merge` does."""
    ordered = sorted(known, key=lambda one: (one.modified_ns, one.asking, one.shard, one.row))
    return list({(one.path, one.digest, one.addresses): one for one in ordered}.values())


def _entries(places: Sequence[Place]) -> dict[Row, Entry]:
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


def _places(hosts: Mapping[Host, Sequence[Known]], found: Mapping[str, Pushes]) -> list[Place]:
    """Return where every host stands, in the order of site and name."""
    return [Place.of(host, known, found) for host, known in hosts.items()]


def _targets(
    hosts: Mapping[Host, Sequence[Known]], found: Mapping[str, Pushes]
) -> tuple[list[Place], list[tuple[str, str]]]:
    """Return where the hosts stand that are evaluated, and name and role of each that is a server and not pushed."""
    places, servers = [], []
    for place in _places(hosts, found):
        cast = found[place.asking].casts[place.host.site]
        roles = judging.servers(cast)
        addresses = [one.addresses[0] for one in hosts.get(place.host, ()) if one.addresses] or place.addresses
        role = next((roles[address] for address in addresses if address in roles), "")
        if role and not any(map(cast.is_judged, cast.pushes_at(place.addresses))):
            servers.append((place.host.name, role.replace("-", " ")))
        else:
            places.append(place._replace(role=role, counts=place.counts and not role))
    return places, servers


def _counted(
    judged: Iterable[HostResult], places: Iterable[Place], methods: Sequence[str]
) -> tuple[list[HostResult], list[tuple[str, str]], list[str]]:
    """Return the hosts that count as computers to install on.

    A server that is pushed counts if the push fails: then it is to be in the report. So does a computer of which
    nothing but the log of a host that may be a client is known.

    Returns:
        The hosts, name and role of each server that does not count, and a sentence on each that does.
    """
    by_host = {(place.host.name, place.host.site): place for place in places}
    hosts: list[HostResult] = []
    idle, told = [], []
    for host in judged:
        place = by_host[host.host, host.site]
        role = place.role.replace("-", " ")
        fails = any(one.result == FAILS for one in host.outcomes if one.method in methods)
        if place.counts or fails:
            hosts.append(host)
        if role and fails:
            told.append(f"{host.host} is the {role}: it is counted as a computer, as an installation on it fails.")
        elif role:
            idle.append((host.host, role))
    return hosts, idle, told


def _absent_servers(cast: RoleMap, hosts: Iterable[HostResult]) -> Iterator[str]:
    """Yield a sentence on each server that was named and that no computer tried to reach."""
    ends = (end for host in hosts for row in host.seen for end in (row.source, row.destination))
    named = [one for one in cast.assignments if one.how == GIVEN and one.role not in (SITE_SERVER, CLIENT)]
    return judging.absent(named, {end.address for end in ends if end.address}) if named else iter(())


def _without_server(benches: Iterable[Bench]) -> list[str]:
    """Return a sentence on the sites of which nobody knows the site server."""
    sites = sorted({site for one in benches for site, cast in one.casts.items() if SITE_SERVER not in cast.roles})
    if not sites:
        return []
    named = [site for site in sites if site]
    more = f" and {len(named) - MOST_SITES} more" if len(named) > MOST_SITES else ""
    where = f" at {', '.join(named[:MOST_SITES])}{more}" if named else ""
    return [
        f"No site server is known{where}, so nothing of a push is judged there. Name it: --role site-server=ADDRESS."
    ]


def _evaluated(places: Sequence[Place], benches: Mapping[str, Bench], runner: Runner) -> list[HostResult]:
    """Return the results of hosts."""
    judge = Judging(_blocks(places), benches)
    tasks = [Task(number, (name,)) for number, name in enumerate(judge.blocks)]
    return [host for _, results in runner(tasks, judge) for host in _judged(results)]


def _in_modes(
    hosts: list[HostResult], places: Sequence[Place], benches: Mapping[str, Bench], runner: Runner
) -> tuple[list[HostResult], list[str]]:
    """Return the results of all hosts as the modes of their sites decide them, and what was inferred for that.

    Only all hosts of a site together show its mode, so those that it may decide are evaluated twice.
    """
    by_host = {(host.host, host.site): host for host in hosts}
    asked = {(place.host.name, place.host.site): place for place in places}
    known = {}
    for text, bench in benches.items():
        own = (host for name, host in by_host.items() if asked[name].asking == text)
        known[text] = replace(bench, modes=judging.modes_of_sites(own, bench))
    again = [
        place
        for name, place in asked.items()
        if (mode := known[place.asking].modes.get(place.host.site))
        and judging.may_decide(mode.mode, by_host[name], known[place.asking].ruleset)
    ]
    if not again:
        return hosts, []
    later = {(host.host, host.site): host for host in _evaluated(again, known, runner)}
    sites = {(asked[name].asking, name[1]) for name, host in later.items() if host.outcomes != by_host[name].outcomes}
    notes = [_inferred(known[text].modes[site]) for text, site in sorted(sites)]
    return [later.get((host.host, host.site), host) for host in hosts], notes


def _inferred(mode: SiteMode) -> str:
    at = f" of {mode.site_server}" if mode.site_server else ""
    known = f"{mode.mode}, {IN_MODE[mode.mode]} ({mode.why})"
    return f"The mode of the site{at} is inferred: {known}. To change it, set --mode MODE."


def _blocks(places: Sequence[Place]) -> dict[str, tuple[Place, ...]]:
    """Return the hosts in portions for the workers: those that stand in one shard first are judged together."""
    blocks: dict[str, list[Place]] = defaultdict(list)
    for place in places:
        blocks[place.rows[0][0]].append(place)
    return {name: tuple(blocks[name]) for name in sorted(blocks)}


def _judged(results: list[HostResult] | Lost) -> list[HostResult]:
    if isinstance(results, Lost):
        raise ReportError(f"some computers could not be judged: {results.how}", hint=results.hint or "run it again")
    return results


def _servers_of(assignments: Iterable[RoleAssignment], hosts: Iterable[HostResult]) -> list[RoleAssignment]:
    """Return who serves the fleet, each once. A role that was not set counts only if the host is in a verdict."""
    met = {end.address for host in hosts for row in host.seen for end in (row.source, row.destination)}
    serving = {one for one in assignments if one.role != CLIENT and (one.how == GIVEN or one.address in met)}
    return sorted(serving, key=lambda one: (one.role, one.address, one.how, one.why))


def _is_called(name: str, host: Host, known: Iterable[Known]) -> bool:
    site, _, alone = name.rpartition("/")
    if site and (site.casefold(), alone.casefold()) == (host.site.casefold(), host.name.casefold()):
        return True
    return name.casefold() == host.name.casefold() or any(name == one.addresses[0] for one in known if one.addresses)
