"""Tables of client push that were exported from the site database: the view v_CP_Machine, and queries about it.

Management Studio, PowerShell, and Excel write them with different delimiters, encodings, and dates. Columns are known
by name, in any order. The database stores times in UTC: sp_CP_SetLatest in ccm.log has 06:07:21 at 14:07:21 of UTC+8.
"""

from __future__ import annotations

import csv
import io
import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import datetime
from enum import StrEnum
from itertools import islice

from auditor.sources.configmgr.facts import MachineStatus, RequestStatus
from auditor.sources.configmgr.push_requests import written_code
from auditor.sources.configmgr.text_pieces import HEAD, Readable, decoded, encoding_of, without_marks
from auditor.sources.configmgr.written_dates import DateNumbers, clock_ns

MOST_ROWS = 1_000_000  # a site has at most 175,000 clients
MOST_BYTES = 256 * 1024 * 1024
MOST_ROW_LINES = 20  # a description with line breaks; more is a quotation mark without its other half
LONGEST_LINE = 64 * 1024  # characters
MOST_PREAMBLE = 20  # lines in front of the header
LONGEST_NAME = 260
SAMPLE = 200

DELIMITERS = ",;\t|"


class _Column(StrEnum):
    MACHINE = "machine"
    ERROR = "error"
    LAST = "last"
    ATTEMPTS = "attempts"
    STATUS = "status"
    INITIAL = "initial"


# Names without spaces, underscores and case: of the view, of v_CombinedDeviceResources, and of queries in circulation.
_NAMES = {
    _Column.MACHINE: (
        "name",
        "machinename",
        "machine",
        "computername",
        "computer",
        "netbiosname0",
        "resourcename",
        "name0",
    ),
    _Column.ERROR: ("lasterrorcode", "cplastinstallationerror", "lastinstallationerrorcode", "lastinstallationerror"),
    _Column.LAST: ("latestprocessingattempt", "cplatestprocessingattempt", "mostrecentattemptdate"),
    _Column.ATTEMPTS: ("numprocessattempts", "numberofattempts"),
    _Column.STATUS: ("status", "cpstatus", "pushstatus"),
    _Column.INITIAL: ("initialrequestdate", "initialattemptdate"),
}
_COLUMN_OF = {name: column for column, names in _NAMES.items() for name in names}
_TELLING = {_Column.ERROR, _Column.LAST, _Column.ATTEMPTS}  # a name and a status alone are in many other tables

_STATUSES = tuple(RequestStatus)
_EMPTY = {"", "null", "none", "nan", "nat"}
_RULE = re.compile(r"[-=\s]*")
_CODE = re.compile(r"(0[xX][0-9A-Fa-f]{1,8}|-?\d{1,10})(?:[.,]0+)?$")
_COUNT = re.compile(r"(\d{1,9})(?:[.,]0+)?$")
_ISO = re.compile(r"\d{4}-\d{2}-\d{2}[T ]\d{1,2}:\d{2}")
_LOCAL = re.compile(
    r"(?P<date>\d{1,4}[/.-] ?\d{1,2}[/.-] ?\d{1,4})\.?"
    r"(?:[,T]? +(?P<time>\d{1,2}[:.]\d\d(?:[:.]\d\d)?)(?:[.,](?P<fraction>\d{1,9}))?"
    r"(?: ?(?P<half>[AaPp])\.?[Mm]\.?)?)?$"
)
# What a conversion to text in the database gives: "Sep 25 2026  2:13PM".
_NAMED = re.compile(r"([A-Z][a-z]{2}) +(\d{1,2}) +(\d{4}) +(\d{1,2}:\d\d(?::\d\d)?)(?::\d{1,3})? ?([AP])M$")
_MONTHS = "JanFebMarAprMayJunJulAugSepOctNovDec"


@dataclass
class ExportAccount:
    """What became of each row of an export.

    Attributes:
        lines: Lines of the file.
        rows: Rows that were read.
        malformed: Rows without a machine, or with another number of fields than the header; also text in front of it.
        sample: Line and beginning of the first of these.
        unreadable_values: Codes, numbers, states, and dates that could not be read, in rows that were.
        ambiguous_dates: Of these, dates that can be read as day and month or as month and day.
        columns: Names of the columns as they are written, empty if the file has no header of such an export.
        encoding: Of the file.
        too_large: Whether the rest was not read, because of the number of rows or bytes.
    """

    lines: int = 0
    rows: int = 0
    malformed: int = 0
    sample: tuple[int, str] | None = None
    unreadable_values: int = 0
    ambiguous_dates: int = 0
    columns: tuple[str, ...] = ()
    encoding: str = ""
    too_large: bool = False


def looks_like_export(head: bytes) -> bool:
    """Return whether bytes from the beginning of a file hold the header of such an export."""
    text = without_marks(head[:HEAD].decode(encoding_of(head[:HEAD]), "replace"))
    lines = islice(text.replace("\r", "\n").split("\n"), MOST_PREAMBLE)
    return any(_header(line) for line in lines)


def read_export(raw: Readable, account: ExportAccount) -> list[MachineStatus]:
    """Read the push status of each computer.

    Args:
        raw: The file from its beginning, not compressed.
        account: Filled with what became of each row.

    Returns:
        A record for each row; none if the file has no header of such an export.
    """
    lines = _ExportLines(raw, account)
    header = _find_header(lines, account)
    if header is None:
        return []
    rows = list(islice(_rows(lines, header, account), MOST_ROWS))
    if len(rows) == MOST_ROWS and lines.next() is not None:
        account.too_large = True
    day_first = _order_of(rows)
    return [_status(row, day_first, account) for row in rows]


@dataclass(frozen=True, slots=True)
class _Header:
    delimiter: str
    names: tuple[str, ...]
    columns: dict[_Column, int]


@dataclass(frozen=True, slots=True)
class _ExportRow:
    line: int
    machine: str
    values: dict[_Column, str] = field(default_factory=dict)


class _ExportLines:
    """The lines of a file with their numbers; lines can be put back."""

    def __init__(self, raw: Readable, account: ExportAccount) -> None:
        self._account = account
        account.encoding, pieces = decoded(raw)
        self._lines = self._split(pieces)
        self._back: list[tuple[int, str]] = []

    def next(self) -> tuple[int, str] | None:
        """Return the next line, None at the end."""
        return self._back.pop() if self._back else next(self._lines, None)

    def put_back(self, lines: list[tuple[int, str]]) -> None:
        """Have lines returned once more."""
        self._back.extend(reversed(lines))

    def _split(self, pieces: Iterator[str]) -> Iterator[tuple[int, str]]:
        newlines = io.IncrementalNewlineDecoder(None, translate=True)
        left, size, number = "", 0, 0
        for piece in pieces:
            *lines, left = (left + newlines.decode(without_marks(piece))).split("\n")
            for number, line in enumerate(lines, number + 1):  # noqa: B020 - goes on counting
                yield number, line
            self._account.lines = number
            left = left[: LONGEST_LINE + 1]
            size += len(piece)
            if size > MOST_BYTES:
                self._account.too_large = True
                return
        if left or newlines.decode("", True):
            self._account.lines = number + 1
            yield number + 1, left


def _header(line: str) -> _Header | None:
    if len(line) > LONGEST_LINE:
        return None
    headers = [header for delimiter in DELIMITERS if (header := _header_with(line, delimiter))]
    return max(headers, key=lambda header: len(header.columns), default=None)


def _header_with(line: str, delimiter: str) -> _Header | None:
    try:
        names = tuple(name.strip() for name in next(csv.reader([line], delimiter=delimiter), []))
    except csv.Error:
        return None
    columns: dict[_Column, int] = {}
    for place, name in enumerate(names):
        if column := _COLUMN_OF.get(re.sub(r"[\s_\[\]]", "", name).lower()):
            columns.setdefault(column, place)
    if _Column.MACHINE not in columns or not _TELLING & columns.keys():
        return None
    return _Header(delimiter, names, columns)


def _find_header(lines: _ExportLines, account: ExportAccount) -> _Header | None:
    """Return the header; "#TYPE" of PowerShell, "sep=;" of Excel, and empty lines can be in front of it."""
    for _ in range(MOST_PREAMBLE):
        entry = lines.next()
        if entry is None:
            return None
        if header := _header(entry[1]):
            account.columns = header.names
            return header
        if entry[1].strip() and not entry[1].startswith(("#TYPE", "sep=")):
            _malformed(entry, account)
    return None


def _rows(lines: _ExportLines, header: _Header, account: ExportAccount) -> Iterator[_ExportRow]:
    while (entry := lines.next()) is not None:
        if _RULE.fullmatch(entry[1].replace(header.delimiter, "")):
            continue
        fields = _whole_row(entry, lines, header.delimiter) if len(entry[1]) <= LONGEST_LINE else []
        name = fields[header.columns[_Column.MACHINE]].strip() if len(fields) == len(header.names) else ""
        if name.lower() in _EMPTY or len(name) > LONGEST_NAME:
            _malformed(entry, account)
            continue
        account.rows += 1
        yield _ExportRow(entry[0], name, {column: fields[place].strip() for column, place in header.columns.items()})


def _whole_row(entry: tuple[int, str], lines: _ExportLines, delimiter: str) -> list[str]:
    """Return the fields of a row, which goes on in the next lines while a quotation mark is open."""
    more: list[tuple[int, str]] = []

    def texts() -> Iterator[str]:
        yield entry[1] + "\n"
        while len(more) < MOST_ROW_LINES and (following := lines.next()) is not None:
            more.append(following)
            yield following[1] + "\n"

    try:
        return next(csv.reader(texts(), delimiter=delimiter, strict=True), [])
    except csv.Error:
        lines.put_back(more)
        return []


def _malformed(entry: tuple[int, str], account: ExportAccount) -> None:
    account.malformed += 1
    if account.sample is None:
        account.sample = (entry[0], entry[1][:SAMPLE])


# ---- values


def _order_of(rows: list[_ExportRow]) -> bool | None:
    """Return whether days are in front of months in this file; None if no date shows it, or they contradict."""
    orders = set()
    for row in rows:
        for column in (_Column.LAST, _Column.INITIAL):
            if match := _LOCAL.match(row.values.get(column, "")):
                orders.add(DateNumbers.of(match["date"]).shown_order)
    orders.discard(None)
    return orders.pop() if len(orders) == 1 else None


def _status(row: _ExportRow, day_first: bool | None, account: ExportAccount) -> MachineStatus:
    values = {column: text for column, text in row.values.items() if text.lower() not in _EMPTY}
    return MachineStatus(
        line=row.line,
        machine=row.machine,
        last_ns=_time(values.get(_Column.LAST), day_first, account),
        attempts=_attempts(values.get(_Column.ATTEMPTS), account),
        status=_state(values.get(_Column.STATUS), account),
        error_code=_error(values.get(_Column.ERROR), account),
    )


def _error(text: str | None, account: ExportAccount) -> int | None:
    if text is None:
        return None
    if match := _CODE.match(text):
        return written_code(match[1]) or None
    account.unreadable_values += 1
    return None


def _attempts(text: str | None, account: ExportAccount) -> int | None:
    if text is None:
        return None
    if match := _COUNT.match(text):
        return int(match[1])
    account.unreadable_values += 1
    return None


def _state(text: str | None, account: ExportAccount) -> RequestStatus | None:
    if text is None:
        return None
    if (match := _COUNT.match(text)) and int(match[1]) < len(_STATUSES):
        return _STATUSES[int(match[1])]
    if text.lower() in tuple(_STATUSES):
        return RequestStatus(text.lower())
    account.unreadable_values += 1
    return None


def _time(text: str | None, day_first: bool | None, account: ExportAccount) -> int | None:
    if text is None:
        return None
    time_ns = _iso(text) if _ISO.match(text) else _named(text) if text[:1].isalpha() else None
    if time_ns is None and (match := _LOCAL.match(text)):
        numbers = DateNumbers.of(match["date"])
        day = numbers.day_ns(day_first)
        clock = clock_ns(match["time"] or "0:00", match["fraction"], match["half"])
        time_ns = None if day is None or clock is None else day + clock
        account.ambiguous_dates += day is None and day_first is None and numbers.is_ambiguous
    account.unreadable_values += time_ns is None
    return time_ns


def _iso(text: str) -> int | None:
    try:
        time = datetime.fromisoformat(text)
    except ValueError:
        return None
    days = DateNumbers(time.year, time.month, time.day, False).day_ns(None)
    if days is None:
        return None
    offset = time.utcoffset()
    seconds = time.hour * 3600 + time.minute * 60 + time.second - (int(offset.total_seconds()) if offset else 0)
    return days + seconds * 10**9 + time.microsecond * 1000


def _named(text: str) -> int | None:
    match = _NAMED.match(text)
    if match is None or _MONTHS.find(match[1]) % 3:
        return None
    day = DateNumbers(int(match[3]), _MONTHS.find(match[1]) // 3 + 1, int(match[2]), False).day_ns(None)
    clock = clock_ns(match[4], None, match[5])
    return None if day is None or clock is None else day + clock
