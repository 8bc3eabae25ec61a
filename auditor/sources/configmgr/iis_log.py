"""Logs of IIS on management points and distribution points, in W3C extended format.

Columns are those of the `#Fields:` line, which can come again in mid-file. Times are UTC; a log without a date column
has the date of its `#Date:` line. Spaces inside of a field are written as "+", and "-" stands for nothing.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, replace
from datetime import date
from functools import lru_cache

from auditor.ruleset.known_problems import web_methods, web_paths, web_user_agents
from auditor.sources.configmgr.byte_lines import LONGEST_LINE, as_text, byte_lines, narrowed
from auditor.sources.configmgr.facts import ServedRequest
from auditor.sources.configmgr.records import Readable

HEAD = 64 * 1024  # bytes by which a file is recognized
LONGEST_TEXT = 500  # characters of a field that are kept
MOST_KINDS = 50_000  # of a client, a server, a port, a path, and a status; beyond them rows are only counted
SAMPLE = 200  # characters of the malformed line to show
DAY_NS = 86_400 * 10**9
HALF_DAY_NS = DAY_NS // 2
_OURS = (
    "cs-uri-stem",
    "cs-method",
    "cs(user-agent)",
)  # columns that show whether a client of Configuration Manager asked

Kind = tuple[bytes, ...]


@dataclass(frozen=True)
class IisLog:
    """What a log of IIS holds.

    Every line belongs to one kind: `lines == rows + comments + blank + malformed`.

    Attributes:
        served: Requests that a client of Configuration Manager may have sent, in the order of lines.
        lines: Lines of the file.
        rows: Requests of all clients.
        ours: Rows that a client of Configuration Manager may have sent.
        uncounted: Rows of these that no request in `served` stands for.
        comments: Lines that begin with "#".
        blank: Lines with nothing on them.
        malformed: Lines that are none of these, and rows in front of the first `#Fields:` line.
        sample: Line and beginning of the first malformed one, None if there is none.
        fields: The columns of the last `#Fields:` line.
        first_ns: Earliest time of a row, None if no row has one.
        last_ns: Latest time of a row.
    """

    served: tuple[ServedRequest, ...] = ()
    lines: int = 0
    rows: int = 0
    ours: int = 0
    uncounted: int = 0
    comments: int = 0
    blank: int = 0
    malformed: int = 0
    sample: tuple[int, str] | None = None
    fields: tuple[str, ...] = ()
    first_ns: int | None = None
    last_ns: int | None = None


def looks_like_iis_log(head: bytes) -> bool:
    """Return whether bytes from the beginning of a file hold the header of such a log."""
    lines = (line.lower() for line in narrowed(head[:HEAD]).splitlines())
    return any(line.startswith(b"#fields:") and any(name.encode() in line for name in _OURS) for line in lines)


def read_iis_log(raw: Readable) -> IisLog:
    """Read a log in constant memory.

    Args:
        raw: The log from its beginning, not compressed.

    Returns:
        Its requests and the account of its lines.
    """
    reader = _Rows()
    number = rows = comments = blank = malformed = 0
    sample: tuple[int, str] | None = None
    for number, line in enumerate(byte_lines(raw), 1):
        text = line.strip(b"\0\r\n\t ")
        if not text:
            blank += 1
        elif text.startswith(b"#"):
            comments += 1
            reader.comment(text)
        elif len(line) <= LONGEST_LINE and reader.row(number, text):
            rows += 1
        else:
            malformed += 1
            sample = sample or (number, _text(text[:SAMPLE]))
    return IisLog(
        served=tuple(sorted(reader.kept(), key=lambda request: request.line)),
        lines=number,
        rows=rows,
        ours=reader.ours,
        uncounted=reader.uncounted,
        comments=comments,
        blank=blank,
        malformed=malformed,
        sample=sample,
        fields=reader.fields,
        first_ns=reader.first_ns,
        last_ns=reader.last_ns,
    )


# ---- from lines to requests


class _Group:
    """Rows of one kind."""

    def __init__(self, first: ServedRequest) -> None:
        self.first, self.rows = first, 1
        self.last: ServedRequest | None = None


@dataclass(frozen=True)
class _Columns:
    """How many fields a row has, and where each stands."""

    count: int = 0
    places: Mapping[str, int] = field(default_factory=dict)

    def value(self, row: list[bytes], name: str) -> bytes:
        """Return a field, empty for "-" or if there is no such column."""
        place = self.places.get(name)
        return b"" if place is None or row[place] == b"-" else row[place]


class _Rows:
    """Reads rows; keeps those that a client of Configuration Manager may have sent."""

    def __init__(self) -> None:
        self.fields: tuple[str, ...] = ()
        self.ours = self.uncounted = 0
        self.first_ns: int | None = None
        self.last_ns: int | None = None
        self._columns, self._clock = _Columns(), _Clock()
        self._groups: dict[Kind, _Group] = {}
        self._paths = tuple(path.encode() for path in web_paths())
        self._methods = frozenset(method.encode() for method in web_methods())
        self._agents = tuple(agent.replace(" ", "+").lower().encode() for agent in web_user_agents())

    def comment(self, text: bytes) -> None:
        """Use a line that begins with "#"."""
        name, _, value = text.partition(b":")
        if name.lower() == b"#fields":
            names = _text(value[: LONGEST_LINE // 2]).lower().split()
            self.fields = tuple(names)
            self._columns = _Columns(len(names), {name: place for place, name in reversed(list(enumerate(names)))})
        elif name.lower() == b"#date":
            self._clock.begin(value.split()[0] if value.split() else b"")

    def row(self, line: int, text: bytes) -> bool:
        """Use a row; False if it is none."""
        row, columns = text.split(), self._columns
        if not columns.count or len(row) != columns.count:
            return False
        status = _number(columns.value(row, "sc-status"))
        when = self._clock.time(columns, row)
        if when is _UNREADABLE or ("sc-status" in columns.places and (status is None or status > 999)):
            return False
        if when is not None:
            self._span(when)
        path, method = columns.value(row, "cs-uri-stem"), columns.value(row, "cs-method")
        agent = columns.value(row, "cs(user-agent)")
        prefix = self._prefix(path.lower())
        if status is None or not (prefix or method.upper() in self._methods or self._is_ours(agent.lower())):
            return True
        self.ours += 1
        client, server, port = (columns.value(row, name) for name in ("c-ip", "s-ip", "s-port"))
        substatus = columns.value(row, "sc-substatus")
        kind = (client, server, port, prefix or method, b"%d" % status, substatus)
        group = self._groups.get(kind)
        if group is None and len(self._groups) >= MOST_KINDS:
            self.uncounted += 1
            return True
        request = ServedRequest(
            line=line,
            time_ns=when,
            client=_text(client),
            server=_text(server),
            port=_port(port),
            method=_text(method),
            path=_text(path),
            user_agent=_text(agent),
            status=status,
            substatus=_number(substatus),
            win32_status=_number(columns.value(row, "sc-win32-status")),
        )
        if group is None:
            self._groups[kind] = _Group(request)
        else:
            group.last, group.rows = request, group.rows + 1
        return True

    def kept(self) -> Iterator[ServedRequest]:
        """Yield the first and the last request of each kind."""
        for group in self._groups.values():
            yield group.first
            if group.last is not None:
                yield replace(group.last, rows=group.rows - 1)

    def _span(self, when: int) -> None:
        self.first_ns = when if self.first_ns is None else min(self.first_ns, when)
        self.last_ns = when if self.last_ns is None else max(self.last_ns, when)

    def _prefix(self, path: bytes) -> bytes:
        return next((prefix for prefix in self._paths if path.startswith(prefix)), b"") if path else b""

    def _is_ours(self, agent: bytes) -> bool:
        return agent.startswith(self._agents)


_UNREADABLE = -1


class _Clock:
    """Times of rows, of their own date or of the one in front of them."""

    def __init__(self) -> None:
        self._day: int | None = None  # of the last "#Date:" line, and of what followed it
        self._last = 0

    def begin(self, written: bytes) -> None:
        """Use the date of a `#Date:` line."""
        day = _day(written)
        self._day, self._last = (None if day == _UNREADABLE else day), 0

    def time(self, columns: _Columns, row: list[bytes]) -> int | None:
        """Return the time of a row, None if the log has none, _UNREADABLE if it is wrong."""
        if "time" not in columns.places:
            return None
        clock = _clock_ns(columns.value(row, "time"))
        if clock == _UNREADABLE:
            return _UNREADABLE
        if "date" in columns.places:
            day = _day(columns.value(row, "date"))
            return _UNREADABLE if day == _UNREADABLE else day + clock
        if self._day is None:
            return None
        if clock < self._last - HALF_DAY_NS:  # past midnight
            self._day += DAY_NS
        self._last = clock
        return self._day + clock


@lru_cache(maxsize=1024)
def _day(written: bytes) -> int:
    """Return the beginning of a day, _UNREADABLE if it is no date; rows of a day stand together."""
    try:
        day = date.fromisoformat(written.decode("ascii"))
    except ValueError:
        return _UNREADABLE
    days = day.toordinal() - date(1970, 1, 1).toordinal()
    return days * DAY_NS if days >= 0 and day.year < 2262 and len(written) == len("YYYY-MM-DD") else _UNREADABLE


@lru_cache(maxsize=1024)
def _clock_ns(written: bytes) -> int:
    """Return a time of day, which can have a fraction, _UNREADABLE if it is none."""
    parts = written.partition(b".")
    clock = parts[0].split(b":")
    if len(clock) != 3 or not all(len(part) == 2 and part.isdigit() for part in clock) or len(parts[2]) > 9:
        return _UNREADABLE
    hour, minute, second = map(int, clock)
    if hour > 23 or minute > 59 or second > 60 or (parts[2] and not parts[2].isdigit()):
        return _UNREADABLE
    return ((hour * 60 + minute) * 60 + second) * 10**9 + int(parts[2].ljust(9, b"0") or 0)


def _number(written: bytes) -> int | None:
    """Return a number of up to 32 bits, None for anything else."""
    if not written.isdigit() or len(written) > 10:
        return None
    number = int(written)
    return number if number <= 0xFFFFFFFF else None


def _port(written: bytes) -> int | None:
    port = _number(written)
    return port if port is not None and port <= 0xFFFF else None


def _text(written: bytes) -> str:
    return as_text(written)[:LONGEST_TEXT]
