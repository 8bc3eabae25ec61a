"""What sources say, in kilobytes: made near the files, put together anywhere, in any order and any number of times."""

from __future__ import annotations

import hashlib
import json
import stat
from collections.abc import Iterable, Mapping, Sequence
from contextlib import suppress
from dataclasses import asdict, dataclass, field, replace
from functools import cached_property
from pathlib import Path

from auditor.errors import SourceError
from auditor.fleet.inventory.host_names import NOBODY, Name, Names, Owner
from auditor.fleet.summaries.reduction import FlowFilter, FlowSelection, SummaryFlows, writers_of
from auditor.fleet.summaries.reported_parts import ReportedPart, parts_of
from auditor.ruleset.given_roles import ConfiguredRoles, parse_roles
from auditor.ruleset.ruleset import DEFAULT_RULESET, Ruleset, load_ruleset
from auditor.sources.files.skip_counts import Tally
from auditor.sources.flows.source_flows import OneWayTraffic
from auditor.sources.logs.addresses import LogAddresses
from auditor.sources.logs.batching import Steps, read_single
from auditor.sources.read import reading
from auditor.sources.read_all import check, documented_ports
from auditor.sources.source import CAPTURE, IIS_LOG, Source, name_of

MOST_ADDRESSES = 16
PIECE = 256 * 1024


@dataclass(frozen=True)
class SelectionSettings:
    """What is to be asked of a fleet, as far as it decides what is kept of each source.

    Attributes:
        configured: The roles that the administrator named.
        tz: The time zone of local times in logs.
    """

    ruleset: Ruleset
    configured: ConfiguredRoles = field(default_factory=ConfiguredRoles)
    tz: str | None = None

    @cached_property
    def wanted(self) -> FlowFilter:
        """Which flows can matter."""
        return FlowFilter(self.ruleset, self.configured)


@dataclass(frozen=True, order=True)
class UnreadableSource:
    """A file that could not be read, or whose reading ended its worker.

    Attributes:
        path: The file.
        host: Its computer, "" if unknown.
        what: Why it could not be read.
        hint: What to do.
        size: Bytes of it; 0, as modified_ns, if the fault need not be in what it holds (no right to read it, a drive
            that was gone, too little memory, too little time), so that it is worth another try.
        modified_ns: When it was changed, in nanoseconds since 1970.
        site: The site of the host, "" if unknown.
    """

    path: str
    host: str
    what: str
    hint: str
    size: int
    modified_ns: int
    site: str = ""

    @property
    def again(self) -> bool:
        """Tell whether it is worth another try, although nothing is known to have changed."""
        return not self.modified_ns


@dataclass(frozen=True)
class Entry:
    """What one source says of one computer or, as a capture, of any of those in it.

    Attributes:
        host: As its path says, "" if it does not.
        site: As its path says, "" if it does not.
        addresses: Of a log those of its computer, the likeliest first; of a capture those of every host in it, any of
            which it may be about.
        size: Of the file, in bytes.
        modified_ns: When the file was changed last, in nanoseconds since 1970.
        digest: SHA-256 of the file.
        left_out: How many pairs of hosts there was no room for.
        owners: Which of the addresses belong to computers of the map.
        source: What was kept of it (kilobytes).
    """

    host: str
    site: str
    addresses: tuple[str, ...]
    size: int
    modified_ns: int
    digest: str
    left_out: int
    owners: tuple[Owner, ...]
    source: Source

    @property
    def key(self) -> tuple[str, str, str, str, tuple[str, ...]]:
        """What no two entries of a summary have in common: the file, its content, and whom it is about."""
        return self.site, self.host, self.source.path, self.digest, self.addresses

    def about(self, addresses: Sequence[str]) -> Entry:
        """Return what it says of the computer with some of its addresses."""
        flows = self.source.details
        assert isinstance(flows, SummaryFlows)
        return replace(self, addresses=tuple(addresses), source=replace(self.source, details=flows.about(addresses)))


def later(entry: Entry, rival: Entry) -> Entry:
    """Return which of two entries with one key counts: that of the later file; of one file, always the same."""
    if entry == rival:
        return entry
    return max(entry, rival, key=lambda either: (either.modified_ns, json.dumps(asdict(either), default=sorted)))


@dataclass(frozen=True)
class Summary:
    """What any number of sources say: `merge` puts two together; the empty one changes nothing."""

    entries: tuple[Entry, ...] = ()
    unread: tuple[UnreadableSource, ...] = ()

    def merge(self, *summaries: Summary) -> Summary:
        """Return what all of them say. The order does not matter, nor whether one is given twice."""
        merged = (self, *summaries)
        entries: dict[tuple[str, str, str, str, tuple[str, ...]], Entry] = {}
        for entry in (entry for summary in merged for entry in summary.entries):
            entries[entry.key] = later(entries.setdefault(entry.key, entry), entry)
        unread = {lost for summary in merged for lost in summary.unread}
        return Summary(tuple(entries[key] for key in sorted(entries)), tuple(sorted(unread)))


def summarize(
    path: str | Path,
    *,
    ruleset: str | Path | Ruleset = DEFAULT_RULESET,
    roles: Mapping[str, str | Iterable[str]] | None = None,
    tz: str | None = None,
    host: str = "",
    site: str = "",
) -> Summary:
    """Summarize one capture, firewall log or event log: what of it can matter to a verdict, in kilobytes.

    A file that cannot be read is listed in `unread`; this raises for wrong arguments only.

    Args:
        path: The file.
        ruleset: As for `auditor.audit`.
        roles: As for `auditor.audit`.
        tz: As for `auditor.audit`.
        host: Whose it is; without it, the source's own addresses tell.
        site: Whose it is; without it, the source's own addresses tell.
    """
    rules = ruleset if isinstance(ruleset, Ruleset) else load_ruleset(ruleset)
    question = SelectionSettings(rules, parse_roles(roles or {}), tz)
    summary = summarized(path, question)
    entries = tuple(replace(entry, host=host or entry.host, site=site or entry.site) for entry in summary.entries)
    return Summary(entries, tuple(replace(file, host=host, site=site) for file in summary.unread))


def summarized(path: str | Path, question: SelectionSettings, names: Names | None = None) -> Summary:
    """Summarize one source for a question.

    Args:
        path: The file.
        question: What is asked of it.
        names: Names its computer, if that is known.
    """
    return read_single(summarizing(path, question, names or Names()))


def summarizing(
    path: str | Path, question: SelectionSettings, names: Names, addresses: LogAddresses | None = None
) -> Steps[Summary]:
    """Summarize one source in steps, so that short logs can be read together, as auditor.sources.read.reading.

    A log that is read with others is read once and for all in its first step: later ones wait for no drive, so that
    none of the others is held responsible for it.
    """
    file = Path(path)
    size = modified_ns = 0
    digest = ""
    try:
        with suppress(OSError, ValueError):  # `reading` says better what is wrong with it
            status = file.stat()
            size, modified_ns = status.st_size, status.st_mtime_ns
            if addresses is not None and stat.S_ISREG(status.st_mode):
                with suppress(SourceError):
                    digest = digest_of(file)
        source = yield from reading(
            file, lambda: documented_ports(question.ruleset), tz=question.tz, addresses=addresses
        )
        if source.records or source.skipped:
            check(source)
        digest = digest or digest_of(file)
    except SourceError as error:
        if isinstance(error.__cause__, OSError) and error.__cause__.errno is not None:
            size = modified_ns = 0
        name = names.whose(str(path))
        problem, hint = error.what, error.hint or ""
        return Summary((), (UnreadableSource(name_of(file), name.host, problem, hint, size, modified_ns, name.site),))
    entries = _entries(source, question)
    of_file = (replace(entry, size=size, modified_ns=modified_ns, digest=digest) for entry in entries)
    return Summary(tuple(_named(entry, names, shared=len(entries) > 1) for entry in of_file))


def _entries(source: Source, question: SelectionSettings) -> list[Entry]:
    """Return what is kept of a source: of events that were forwarded to a collector, for each computer."""
    if source.reported is not None and (parts := list(parts_of(source.reported))):
        return [_reported_entry(source, part) for part in parts]
    writers = writers_of(source)
    if len(writers) > 1:
        by_computer = question.wanted.of_computers(source)
        return [_entry(source, by_computer[name], own) for name, own in writers.items()]
    whole = question.wanted.kept(source)
    return [_entry(source, whole, sorted(whole.flows.hosts) if source.kind == CAPTURE else _own_addresses(source))]


def _entry(source: Source, summarized_flows: FlowSelection, addresses: Iterable[str]) -> Entry:
    warnings = (*source.warnings, *summarized_flows.warnings)
    source = replace(source, details=summarized_flows.flows, warnings=warnings, tally=Tally())
    few = tuple(addresses) if source.kind == CAPTURE else tuple(addresses)[:MOST_ADDRESSES]
    return Entry("", "", few, 0, 0, "", summarized_flows.left_out, (), source)


def _reported_entry(source: Source, part: ReportedPart) -> Entry:
    """Return what a log of ConfigMgr reports of one computer."""
    first_ns, last_ns = part.times
    flows = SummaryFlows((), frozenset(), (), OneWayTraffic(), None)
    source = replace(source, details=flows, tally=Tally(), reported=part.reported, first_ns=first_ns, last_ns=last_ns)
    return Entry(part.host, "", part.addresses[:MOST_ADDRESSES], 0, 0, "", 0, (), source)


def _named(entry: Entry, names: Names, *, shared: bool) -> Entry:
    """Return an entry with its names; the name in a log counts where neither its path nor an address has another."""
    pushed = entry.source.reported is not None and bool(
        entry.source.reported.requests or entry.source.reported.machines
    )
    of_others = pushed or entry.source.kind == IIS_LOG
    name, owners = whose(entry.source.kind, entry.source.path, entry.addresses, names, shared=shared or of_others)
    host = name.host or entry.host
    return replace(entry, host=host, site=name.site or names.sites.get(host, ""), owners=owners)


def whose(
    kind: str, path: str, addresses: Sequence[str], names: Names, *, shared: bool
) -> tuple[Name, tuple[Owner, ...]]:
    """Return whose a source is, and which of its addresses belong to computers of the map.

    A capture lies in a folder of a computer, which need not be one of those in it: only all sources together show that.

    Args:
        kind: Of the source.
        path: Of the source.
        addresses: As of an entry.
        names: Of computers.
        shared: Whether the file is of several computers, and each of them has an entry.
    """
    if kind != CAPTURE:
        return names.whose(path, addresses, shared=shared), ()
    names_of_addresses = ((address, names.of_address(address)) for address in addresses)
    return names.of(path) or NOBODY, tuple(Owner(at, name.host, name.site) for at, name in names_of_addresses if name)


def digest_of(file: Path) -> str:
    """Return what identifies a content (SHA-256).

    Raises:
        SourceError: If it cannot be read any more.
    """
    try:
        digest = hashlib.sha256()
        with file.open("rb", buffering=0) as content:
            while piece := content.read(PIECE):
                digest.update(piece)
        return digest.hexdigest()
    except OSError as error:
        hint = "Copy the file to a local disk and try again."
        raise SourceError(f"cannot be read ({error.strerror})", where=str(file), hint=hint) from error


def _own_addresses(source: Source) -> tuple[str, ...]:
    facts = source.details.facts
    return () if facts is None else tuple(local.address for local in facts.local)
