"""Logs of IIS on management points and distribution points, in W3C extended format.

Columns are those of the `#Fields:` line, which can come again in mid-file. Times are UTC; a log without a date column
has the date of its `#Date:` line. Spaces inside of a field are written as "+", and "-" stands for nothing.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import date
from functools import lru_cache
from typing import NamedTuple

from auditor.ruleset.known_problems import web_methods, web_paths, web_user_agents
from auditor.sources.configmgr.byte_lines import LONGEST_LINE, byte_lines, narrowed
from auditor.sources.configmgr.facts import ServedRequest
from auditor.sources.configmgr.text_pieces import HEAD, Readable, as_text
from auditor.sources.files.time_span import TimeSpan

LONGEST_TEXT = 500  # characters of a field that are kept
MOST_PATHS = 10_000  # that are remembered with their role
MOST_KINDS = 50_000  # of a client, a server, a port, a path, and a status; beyond them rows are only counted
SAMPLE = 200  # characters of the malformed line to show
DAY_NS = 86_400 * 10**9
HALF_DAY_NS = DAY_NS // 2
_OURS = (
    "cs-uri-stem",
    "cs-method",
    "cs(user-agent)",
)  # columns that show whether a client of Configuration Manager asked

NOTHING, NOWHERE = b"-", -1
STATUS_DIGITS = 3
# Of a request, in the order of _RequestRow.
_OTHER_COLUMNS = (
    "c-ip",
    "s-ip",
    "s-port",
    "cs-method",
    "cs-uri-stem",
    "cs(user-agent)",
    "sc-status",
    "sc-substatus",
    "sc-win32-status",
)


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
        first_ns=reader.span.first_ns,
        last_ns=reader.span.last_ns,
    )


# ---- from lines to requests


class _RequestRow(NamedTuple):
    """The fields of a row as they are written, "-" for a column that the log does not have."""

    line: int
    time_ns: int | None
    client: bytes
    server: bytes
    port: bytes
    method: bytes
    path: bytes
    user_agent: bytes
    status: bytes
    substatus: bytes
    win32_status: bytes

    def request(self, rows: int = 1) -> ServedRequest:
        """Return the request that it is about, standing for so many rows."""
        return ServedRequest(
            line=self.line,
            time_ns=self.time_ns,
            client=_text(self.client),
            server=_text(self.server),
            port=_port(self.port),
            method=_text(self.method),
            path=_text(self.path),
            user_agent=_text(self.user_agent),
            status=int(self.status),
            substatus=_number(self.substatus),
            win32_status=_number(self.win32_status),
            rows=rows,
        )


class _SameRequests:
    """Rows of one kind."""

    def __init__(self, first: _RequestRow) -> None:
        self.first, self.rows = first, 1
        self.last: _RequestRow | None = None


class _Columns:
    """Where the fields of a row stand; what the log does not have stands at NOWHERE, behind the last field."""

    def __init__(self, names: Sequence[str] = ()) -> None:
        self.count = len(names)
        places = {name: place for place, name in reversed(list(enumerate(names)))}
        self.date, self.time, self.status = (places.get(name, NOWHERE) for name in ("date", "time", "sc-status"))
        self.others = [places.get(name, NOWHERE) for name in _OTHER_COLUMNS]


class _Rows:
    """Reads rows; keeps those that a client of Configuration Manager may have sent."""

    def __init__(self) -> None:
        self.fields: tuple[str, ...] = ()
        self.ours = self.uncounted = 0
        self.span = TimeSpan()
        self._columns, self._clock = _Columns(), _Clock()
        self._groups: dict[tuple[bytes, ...], _SameRequests] = {}
        self._paths = tuple(path.encode() for path in web_paths())
        self._methods = frozenset(method.encode() for method in web_methods())
        self._agents = tuple(agent.replace(" ", "+").lower().encode() for agent in web_user_agents())
        self._prefixes: dict[bytes, bytes] = {}  # by path

    def comment(self, text: bytes) -> None:
        """Use a line that begins with "#"."""
        name, _, value = text.partition(b":")
        if name.lower() == b"#fields":
            self.fields = tuple(as_text(value).lower().split())
            self._columns = _Columns(self.fields)
        elif name.lower() == b"#date":
            self._clock.begin(value.split()[0] if value.split() else b"")

    def row(self, line: int, text: bytes) -> bool:
        """Use a row; False if it is none."""
        fields, columns = text.split(), self._columns
        if not columns.count or len(fields) != columns.count:
            return False
        fields.append(NOTHING)  # at NOWHERE
        status = fields[columns.status]
        if columns.status != NOWHERE and not (len(status) == STATUS_DIGITS and status.isdigit()):
            return False
        when = self._clock.time(columns, fields)
        if when == _UNREADABLE:
            return False
        if when is not None:
            self.span.add(when, when)
        row = _RequestRow(line, when, *[fields[place] for place in columns.others])
        if columns.status != NOWHERE and (sign := self._sign(row)):
            self._keep(row, sign)
        return True

    def kept(self) -> Iterator[ServedRequest]:
        """Yield the first and the last request of each kind."""
        for group in self._groups.values():
            yield group.first.request()
            if group.last is not None:
                yield group.last.request(group.rows - 1)

    def _keep(self, row: _RequestRow, sign: bytes) -> None:
        self.ours += 1
        kind = (row.client, row.server, row.port, sign, row.status, row.substatus)
        group = self._groups.get(kind)
        if group is not None:
            group.last, group.rows = row, group.rows + 1
        elif len(self._groups) < MOST_KINDS:
            self._groups[kind] = _SameRequests(row)
        else:
            self.uncounted += 1

    def _sign(self, row: _RequestRow) -> bytes:
        """Return what shows that a client of Configuration Manager sent a request, empty if nothing does."""
        prefix = self._prefixes.get(row.path)
        if prefix is None:
            prefix = self._prefix(row.path)
        if prefix or row.method.upper() in self._methods or row.user_agent.lower().startswith(self._agents):
            return prefix or row.method
        return b""

    def _prefix(self, path: bytes) -> bytes:
        lower = path.lower()
        prefix = next((prefix for prefix in self._paths if lower.startswith(prefix)), b"")
        if len(self._prefixes) >= MOST_PATHS:
            self._prefixes.clear()
        self._prefixes[path] = prefix
        return prefix


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

    def time(self, columns: _Columns, fields: list[bytes]) -> int | None:
        """Return the time of a row, None if the log has none, _UNREADABLE if it is wrong."""
        if columns.time == NOWHERE:
            return None
        clock = _clock_ns(fields[columns.time])
        if clock == _UNREADABLE:
            return _UNREADABLE
        if columns.date != NOWHERE:
            day = _day(fields[columns.date])
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
    return "" if written == NOTHING else as_text(written)[:LONGEST_TEXT]
