"""Which names in logs of ConfigMgr and in paths are of one computer: a short one is that of the only full one."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import PureWindowsPath
from types import MappingProxyType
from typing import NamedTuple

from auditor.fleet.inventory.grouping import ANY_SITE, IndexEntry
from auditor.report.joined_names import join_limited
from auditor.ruleset.addresses import canonical
from auditor.ruleset.statements import say_count
from auditor.sources.source import CONFIGMGR_LOG

MOST_NAMED = 5  # computers, in a sentence


class JoinedNames(NamedTuple):
    """The rows of summaries under the names of their computers, and a sentence if a name fits several."""

    entries: list[IndexEntry]
    notes: tuple[str, ...]


def joined_names(
    index: Sequence[IndexEntry], expected: Iterable[str] = (), sites: Mapping[str, str] = MappingProxyType({})
) -> JoinedNames:
    """Return the rows of summaries, each under one name for its computer, as far as logs of ConfigMgr name computers.

    A full name is one computer. A short name is that of the only full name that begins with it, at its site if the site
    is known. A folder names the computer of what lies in it, if a log names that computer too.

    Args:
        index: All rows.
        expected: The names of a map; they and those of paths go before those of logs.
        sites: The site of each of them that the map names one for.
    """
    labels = {label_of(entry.host) for entry in index if _is_reported(entry)}
    if not labels:
        return JoinedNames(list(index), ())
    names = [_name(entry, labels) for entry in index]
    computers = _Computers(index, names, labels, expected, sites)
    ambiguous = {name for entry, name in zip(index, names, strict=True) if computers.is_ambiguous(entry.site, name)}
    entries = [computers.renamed(entry, name) for entry, name in zip(index, names, strict=True)]
    return JoinedNames(entries, tuple(_ambiguous(sorted(ambiguous))))


def label_of(name: str) -> str:
    """Return the first label of a full name in capital letters; an address, and numbers alone, as they are."""
    if name.replace(".", "").isdecimal():  # no name with a domain: also an address such as 10.0.0.020
        return name
    return canonical(name) or name.upper().rstrip(".").partition(".")[0]


def _is_reported(entry: IndexEntry) -> bool:
    return entry.kind == CONFIGMGR_LOG and bool(entry.host) and not canonical(entry.host)


def _name(entry: IndexEntry, labels: set[str]) -> str:
    """Return the name of a row in capital letters, that of its folder without one; empty if no log has it."""
    folders = [] if entry.host else PureWindowsPath(entry.path).parts[-2::-1]
    names = [entry.host, *folders]
    return next((name.upper().rstrip(".") for name in names if name and label_of(name) in labels), "")


class _Computers:
    """The computers that logs name.

    Args:
        index: All rows.
        names: The name of each row, empty without one.
        labels: The first labels of all names in logs.
        expected: The names of a map.
        sites: Their sites.
    """

    def __init__(
        self,
        index: Sequence[IndexEntry],
        names: Sequence[str],
        labels: set[str],
        expected: Iterable[str],
        sites: Mapping[str, str],
    ) -> None:
        self._sites_of_map = sites
        self._full: dict[tuple[str, str], set[str]] = defaultdict(set)  # by site and label
        for entry, name in zip(index, names, strict=True):
            if "." in name:
                for site in {entry.site, ANY_SITE}:
                    self._full[site, label_of(name)].add(name)
        self._without_site = {
            name for entry, name in zip(index, names, strict=True) if "." in name and entry.site == ANY_SITE
        }
        self._sites: dict[str, set[str]] = defaultdict(set)
        for entry, name in zip(index, names, strict=True):
            if name and entry.site:
                self._sites[self._key(entry.site, name)].add(entry.site)
        self._written: dict[tuple[str, str], set[str]] = defaultdict(set)
        self._at_label: dict[tuple[str, str], set[str]] = defaultdict(set)
        for entry, name in zip(index, names, strict=True):
            if name:
                site, key = self._place(entry.site, name)
                self._at_label[site, label_of(name)].add(key)
                if not _is_reported(entry):
                    self._written[site, key].add(entry.host or label_of(name))
        self._expected = {label_of(name): name for name in expected if label_of(name) in labels}

    def _fitting(self, site: str, name: str) -> set[str]:
        """Return the full names that a short name may be, at its site."""
        full = self._full.get((site, label_of(name)), set())
        return full | (self._full.get((ANY_SITE, label_of(name)), set()) & self._without_site)

    def _key(self, site: str, name: str) -> str:
        """Return what stands for a computer: its full name, its short one if there is none or more than one."""
        full = {name} if "." in name else self._fitting(site, name)
        return next(iter(full)) if len(full) == 1 else name

    def _place(self, site: str, name: str) -> tuple[str, str]:
        """Return site and key of a computer; without a site, that of the only one that has it."""
        key = self._key(site, name)
        sites = self._sites.get(key, set())
        return (next(iter(sites)) if not site and len(sites) == 1 else site), key

    def is_ambiguous(self, site: str, name: str) -> bool:
        """Tell whether a name may be that of several computers."""
        if not name:
            return False
        several_sites = not site and len(self._sites.get(self._key(site, name), ())) > 1
        return several_sites or ("." not in name and len(self._fitting(site, name)) > 1)

    def renamed(self, entry: IndexEntry, name: str) -> IndexEntry:
        """Return a row under the name of its computer: as a path or the map writes it, else the short one."""
        if not name:
            return entry
        site, key = self._place(entry.site, name)
        host = self._shown(site, key)
        named = entry._replace(host=host, site=site or self._sites_of_map.get(host, ANY_SITE))
        return named._replace(log_name=entry.host) if _is_reported(entry) else named

    def _shown(self, site: str, key: str) -> str:
        label = label_of(key)
        if len(self._at_label[site, label]) > 1:
            return key
        written = self._written.get((site, key)) or {self._expected.get(label, label)}
        return min(written, key=lambda name: (len(name), name))


def _ambiguous(names: Sequence[str]) -> Iterator[str]:
    if names:
        yield say_count("fleet.ambiguous-names", len(names), names=join_limited(names, MOST_NAMED))
