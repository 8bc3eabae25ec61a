"""The computer of a source: by its path (--host-from) or by a table (--host-map).

Names of computers are written in capital letters, as Windows writes them, so that PC0001 and pc0001 are one host.
"""

from __future__ import annotations

import csv
import difflib
import io
import os
import re
from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import NamedTuple

from auditor.errors import ArgumentError
from auditor.fleet.inventory.glob_patterns import ANY_FOLDERS, ANY_LETTER, is_pattern, path_regex
from auditor.ruleset.addresses import canonical
from auditor.sources.files.text import read_written
from auditor.sources.source import name_of

FROM, MAP = "--host-from", "--host-map"
PLACES = ("host", "site")
COLUMNS = ("host", "site", "path", "address")
RIGHT_PATTERN = "Write it like {host}/pfirewall.log, logs/{site}/{host}/*.log or {host}-pfirewall.log."
RIGHT_MAP = "The first line lists the columns: host, and any of site, path, and address."
DELIMITERS = ",;\t"
MOST_FAULTS = 20
# What is added to the name of a log when the next one is begun, or when it is packed: all of them are of one host.
ROTATED = r"(?:\.old|\.bak|\.gz|\.\d{1,3}|[-_.]\d{8}(?:[-_T]?\d{4,6})?|[-_.]\d{4}-\d\d-\d\d)*"
ROTATED_END = re.compile(ROTATED + "$", re.IGNORECASE)
ROTATED_LOG = r"\.(?:log|old)"  # pfirewall.old instead of pfirewall.log.old
KNOWN_ENDING = r"(?:\.(?:log|txt|json|evtx|etl|cap|pcap|pcapng))?"
PLACE = re.compile(r"\{([^{}]*)\}")
PIECES = re.compile(r"[\\/]+")


class Owner(NamedTuple):
    """The computer that the map says has an address.

    Attributes:
        site: "" if the map does not say it.
    """

    address: str
    host: str
    site: str


@dataclass(frozen=True, order=True)
class Name:
    """Whose a source is.

    Attributes:
        host: In capital letters.
        site: Empty if unknown.
    """

    host: str
    site: str = ""


NOBODY = Name("")


class _Row(NamedTuple):
    line: int
    host: str
    site: str
    path: str
    addresses: tuple[str, ...]


@dataclass(frozen=True)
class _Place:
    """A path of the map.

    Attributes:
        names: Those in it.
        absolute: Whether it begins at the root.
        name: Whose it is.
    """

    names: tuple[str, ...]
    absolute: bool
    line: int
    name: Name

    @cached_property
    def exact(self) -> int:
        """Return how many letters are no wildcards."""
        return sum(len(re.sub(r"[*?]", "", name)) for name in self.names)

    @cached_property
    def words(self) -> tuple[str, ...]:
        """Return names that stand in every path that this one matches, or the beginnings of them with a * behind."""
        words = (name if not is_pattern(name) else re.split(r"[*?\[]", name)[0] + "*" for name in self.names)
        return tuple(word for word in words if word != "*")

    def matches(self, paths: Iterable[str]) -> bool:
        """Tell whether one of these paths, each between slashes, is this one or lies below it."""
        if self._regex is not None:
            return any(self._regex.search(path) for path in paths)
        text = f"/{'/'.join(self.names)}/"  # a large map is seldom one of patterns, and to compile them takes long
        return any(path.startswith(text) if self.absolute else text in path for path in paths)

    @cached_property
    def _regex(self) -> re.Pattern[str] | None:
        if not any(map(is_pattern, self.names)):
            return None
        return re.compile(f"{'^' if self.absolute else ''}/{path_regex(list(self.names))}/")


class Names:
    """Names the computer of a file or an address.

    A path that the map names goes before the pattern, a more exact path of the map (more letters that are not
    wildcards) before a less exact one, and the map's site of a host before one in the path.

    Attributes:
        notes: What could not be used of the map, in sentences.
        sites: The site of each host that the map names one for.
    """

    def __init__(self, pattern: re.Pattern[str] | None = None, rows: Sequence[_Row] = (), where: str = "") -> None:
        self._pattern = pattern
        self.sites = {row.host: row.site for row in rows if row.site}
        self._places = _Places([_place(row, self.sites.get(row.host, "")) for row in rows if row.path])
        self.notes, self._addresses = _addresses(rows, self.sites, where)
        self._hosts = tuple(sorted({row.host for row in rows}))

    @property
    def expected(self) -> tuple[str, ...]:
        """Return the hosts of the map, in order: of each there should be a source."""
        return self._hosts

    def of(self, path: str) -> Name | None:
        """Return the computer of a file by its path; None if neither map nor pattern has it."""
        return self._places.of(path) or self._by_pattern(path)

    def of_address(self, address: str) -> Name | None:
        """Return the host of the map with an address; None if it has none, or several."""
        return self._addresses.get(_address(address) or "")

    def whose(self, path: str, addresses: Iterable[str] = (), *, shared: bool = False) -> Name:
        """Return the computer of a source: by its path, else by its addresses; Name("") if unknown.

        Args:
            path: The file.
            addresses: Its own addresses, the likeliest first.
            shared: Whether it is about several computers, as a capture of several clients does. Then its path says at
                most at which site they are.
        """
        by_path = self.of(path) or NOBODY
        if by_path.host and not shared:
            return by_path
        by_address = next(filter(None, map(self.of_address, addresses)), NOBODY)
        return Name(by_address.host, by_address.site or by_path.site)

    def check(self, paths: Iterable[str]) -> None:
        """Raise ArgumentError if there is a pattern and it fits none of these paths: then it is wrong."""
        example = ""
        for path in paths if self._pattern else ():
            if self.of(path):
                return
            example = example or path
        if example:
            problem = f"the pattern fits none of the files, such as {name_of(example)}"
            raise ArgumentError(problem, where=FROM, hint=RIGHT_PATTERN)

    def _by_pattern(self, path: str) -> Name | None:
        match = self._pattern.search(_slashed(path)) if self._pattern else None
        if match is None:
            return None
        host, words = _host(match["host"]), match.groupdict()
        return Name(host, self.sites.get(host) or words.get("site") or "")


def before_rotation(path: str) -> str:
    """Return a path without what is added to the name of a log when the next one is begun, or when it is packed."""
    return ROTATED_END.sub("", path)


def load_names(host_from: str | None = None, host_map: str | None = None) -> Names:
    """Return what names the computer of a source.

    Args:
        host_from: The end of the paths, with {host} and perhaps {site} in it, either slash, any case, wildcards; each
            takes as few letters as possible, none of them a slash. What is added to the name of a rotated or packed log
            (.old, .1, .gz, a date) need not be written.
        host_map: A CSV file with the columns host and any of site, path and address; path is a file, a folder with all
            in it, or a pattern with wildcards; unless it is absolute it may begin at any folder.

    Raises:
        ArgumentError: If the pattern or the file makes no sense.
    """
    pattern = _pattern(host_from) if host_from is not None else None
    return Names(pattern, _rows(host_map), host_map) if host_map is not None else Names(pattern)


def _pattern(text: str) -> re.Pattern[str]:
    _check_pattern(text)
    names = [name for name in PIECES.split(text.strip()) if name not in ("", ".")]
    last = names[-1]
    pieces = [_with_places(path_regex([name])) if name != ANY_FOLDERS else "(?:[^/]+/)*" for name in names]
    pieces = [piece if name == ANY_FOLDERS else f"{piece}/" for piece, name in zip(pieces, names, strict=True)]
    body = "".join(pieces).removesuffix("/")
    if last.endswith("}"):
        body += KNOWN_ENDING
    elif last.lower().endswith(".log"):
        body = body[: -len(r"\.log")] + ROTATED_LOG
    return re.compile(f"(?:^|/){body}{ROTATED}$", re.IGNORECASE)


def _with_places(regex: str) -> str:
    for place in PLACES:
        written = re.escape(f"{{{place}}}")
        for star in (f"{ANY_LETTER}*", "(?>"):  # takes all but one letter; to try others takes for ever on long names
            regex = regex.replace(written + star, f"(?P<{place}>{ANY_LETTER}){star}")
        regex = regex.replace(written, f"(?P<{place}>{ANY_LETTER}+?)")
    return regex


def _check_pattern(text: str) -> None:
    places = PLACE.findall(text)
    outside = PLACE.sub("", text)
    problem = ""
    if "{" in outside or "}" in outside:
        problem = f"a brace in {text!r} has no partner"
    elif unknown := [place for place in places if place not in PLACES]:
        problem = f"{{{unknown[0]}}} means nothing in {text!r}: there are {{host}} and {{site}}"
    elif "host" not in places:
        problem = f"there is no {{host}} in {text!r}"
    elif twice := [place for place, count in Counter(places).items() if count > 1]:
        problem = f"{{{twice[0]}}} stands twice in {text!r}"
    elif "}{" in text:
        problem = f"{{host}} and {{site}} need a separator between them in {text!r}"
    elif PIECES.split(text)[-1] == ANY_FOLDERS:
        problem = f"{text!r} ends with folders"
    if problem:
        raise ArgumentError(problem, where=FROM, hint=RIGHT_PATTERN)


class _Places:
    """The paths of a map, found by a name that stands in them: there may be as many of them as files."""

    def __init__(self, places: Sequence[_Place]) -> None:
        common = Counter(word for place in places for word in place.words)
        self._by_word: dict[str, list[_Place]] = defaultdict(list)
        for place in places:
            self._by_word[min(place.words, key=lambda word: (common[word], word), default="")].append(place)
        self._lengths = {len(word) - 1 for word in self._by_word if word.endswith("*")}

    def of(self, path: str) -> Name | None:
        """Return whose a file is by the path of the map that fits it most exactly."""
        if not self._by_word:
            return None
        whole = _whole(path)
        names = whole.split("/")
        names += [f"{unrotated}.log", unrotated] if (unrotated := before_rotation(names[-1])) != names[-1] else []
        words = {"", *names, *(f"{name[:length]}*" for name in names for length in self._lengths)}
        likely = [place for word in words for place in self._by_word.get(word, ())]
        paths = _forms(whole)
        fitting = [place for place in likely if place.matches(paths)]
        best = min(fitting, key=lambda place: (-place.exact, place.line), default=None)
        return best.name if best else None


def _place(row: _Row, site: str) -> _Place:
    return _Place(tuple(_pieces(row.path)), _is_absolute(row.path), row.line, Name(row.host, row.site or site))


def _forms(whole: str) -> tuple[str, ...]:
    """Return a path between slashes: as it is, and as it was before it was rotated or packed."""
    unrotated = before_rotation(whole)
    return tuple(f"/{path}/" for path in dict.fromkeys((whole, unrotated, f"{unrotated}.log")))


def _whole(path: str) -> str:
    """Return a path from its root on, with / between the names, in small letters."""
    return "/".join(_pieces(path if _is_absolute(path) else os.path.abspath(path)))


def _pieces(path: str) -> list[str]:
    return [name for name in PIECES.split(_slashed(path).lower()) if name not in ("", ".")]


def _slashed(path: str) -> str:
    """Return a path as it is compared: its slashes go before letters that cannot be written."""
    return name_of(path.replace("\\", "/"))


def _is_absolute(path: str) -> bool:
    return path.startswith(("/", "\\")) or path[1:2] == ":"


def _host(text: str) -> str:
    """Return a host's name in capital letters; one that is an address, as addresses are written."""
    return _address(text) or text.strip().upper()


def _address(text: str) -> str | None:
    if ":" not in text and text.count(".") != 3:  # which is soon known, of nearly every name
        return None
    return canonical(text.strip()) or None


def _addresses(rows: Sequence[_Row], sites: dict[str, str], where: str) -> tuple[tuple[str, ...], dict[str, Name]]:
    """Return the host of each address; several hosts with one address are reported: leases are reassigned."""
    owners: dict[str, dict[str, int]] = defaultdict(dict)
    for row in rows:
        for address in row.addresses:
            owners[address].setdefault(row.host, row.line)
    notes = [
        f"{where}: {address} is given to {' and '.join(sorted(hosts))} "
        f"(lines {', '.join(map(str, sorted(hosts.values())))}), so it names none of them"
        for address, hosts in owners.items()
        if len(hosts) > 1
    ]
    names = {
        address: Name(host, sites.get(host, ""))
        for address, hosts in owners.items()
        if len(hosts) == 1
        for host in hosts
    }
    return tuple(notes), names


def _rows(path: str) -> tuple[_Row, ...]:
    """Return the rows of a map file. Raises ArgumentError with all its faults at once."""
    text = read_written(path, expected="table of hosts", hint=RIGHT_MAP)
    faults: list[str] = []
    try:
        table = _table(text)
        columns = _columns(next(table, (1, []))[1], path)
        rows = tuple(row for line, cells in table if (row := _row(line, cells, columns, faults)))
    except csv.Error as error:
        raise ArgumentError(f"invalid CSV file ({error})", where=path, hint=RIGHT_MAP) from error
    faults += [*_contested(rows), *_in_two_sites(rows)]
    if faults:
        more = f" and {len(faults) - MOST_FAULTS:,} more" if len(faults) > MOST_FAULTS else ""
        raise ArgumentError("; ".join(faults[:MOST_FAULTS]) + more, where=path, hint="Correct these lines.")
    if not rows:
        raise ArgumentError("the file lists no host", where=path, hint="Write one host per line below the first line.")
    return rows


def _table(text: str) -> Iterator[tuple[int, list[str]]]:
    """Yield the number and the cells of each line that is not empty; as Excel writes them anywhere."""
    said = re.match(r"sep=(.)[\r\n]+", text)
    head = text[said.end() if said else 0 :].lstrip("\r\n").partition("\n")[0]
    reader = csv.reader(io.StringIO(text, newline=""), delimiter=said[1] if said else max(DELIMITERS, key=head.count))
    for cells in reader:
        if any(cell.strip() for cell in cells) and not (said and reader.line_num == 1):
            yield reader.line_num, [cell.strip() for cell in cells]


def _columns(cells: list[str], path: str) -> dict[str, int]:
    words = [cell.lower() for cell in cells]
    twice = [word for word, count in Counter(words).items() if count > 1 and word in COLUMNS]
    if twice:
        raise ArgumentError(f"the column {twice[0]} appears twice", where=path, hint=RIGHT_MAP)
    for word in words:
        near = difflib.get_close_matches(word, COLUMNS, n=1, cutoff=0.75)
        if near and word not in COLUMNS and near[0] not in words:
            raise ArgumentError(f"unknown column {word!r}", where=path, hint=f"Did you mean {near[0]}? {RIGHT_MAP}")
    if "host" not in words:
        shown = ", ".join(cells)[:100] or "nothing"
        raise ArgumentError(f"no column is named host; the first line is {shown}", where=path, hint=RIGHT_MAP)
    return {word: at for at, word in enumerate(words) if word in COLUMNS}


def _row(line: int, cells: list[str], columns: dict[str, int], faults: list[str]) -> _Row | None:
    """Return what a line says of a host; None, and a fault more, if it cannot be understood."""
    fields = {word: name_of(cells[at]) if at < len(cells) else "" for word, at in columns.items()}
    words = re.split(r"[\s,;|]+", fields.get("address", "").strip())
    addresses = {word: _address(word) for word in words if word}
    wrong = [word for word, address in addresses.items() if address is None]
    if not fields["host"]:
        faults.append(f"line {line}: there is no host")
    elif re.search(r"[\\/\x00-\x1f]", fields["host"]):
        faults.append(f"line {line}: {fields['host']!r} is no name of a host")
    elif wrong:
        faults.append(f"line {line}: {wrong[0]!r} is no address")
    else:
        owned = tuple(address for address in addresses.values() if address)
        return _Row(line, _host(fields["host"]), fields.get("site", ""), fields.get("path", ""), owned)
    return None


def _contested(rows: Sequence[_Row]) -> Iterator[str]:
    """Yield a fault for each path that is given to two hosts."""
    owners: dict[tuple[bool, str], _Row] = {}
    for row in rows:
        if row.path:
            owner = owners.setdefault((_is_absolute(row.path), "/".join(_pieces(row.path))), row)
            if owner.host != row.host:
                yield f"lines {owner.line} and {row.line}: {row.path} is given to {owner.host} and to {row.host}"


def _in_two_sites(rows: Sequence[_Row]) -> Iterator[str]:
    owners: dict[str, _Row] = {}
    for row in rows:
        if row.site and (earlier := owners.setdefault(row.host, row)).site != row.site:
            yield f"lines {earlier.line} and {row.line}: {row.host} is in {earlier.site} and {row.site}"
