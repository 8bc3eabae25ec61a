"""Records of Configuration Manager's logs, in each of the forms in which such a log reaches a reader.

Three forms exist, and one file can mix them, so each record is recognized by itself:

- of the client, over any number of lines:
  `<![LOG[text]LOG]!><time="11:05:42.081+300" date="01-17-2023" component="ccmsetup" context="" type="3" ...>`
- of the site server: `text~  $$<SMS_CLIENT_CONFIG_MANAGER><09-25-2026 15:13:55.968-60><thread=18612 (0x48B4)>`
- of the clipboard of CMTrace and Trace32: text, component, date, and thread with tabs between them, in the date format
  of the user; some pages keep only `text~  $$` of a record.

An offset is the number of minutes to add for UTC. The clipboard form has none.
"""

from __future__ import annotations

import io
import re
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field
from enum import StrEnum
from functools import lru_cache

from auditor.sources.configmgr.facts import LogRecord
from auditor.sources.configmgr.text_pieces import HEAD, Readable, decoded, encoding_of, without_marks
from auditor.sources.configmgr.written_dates import DateNumbers, calendar_day_ns, clock_ns

MOST_TEXT = 256 * 1024  # characters of a record that are kept; the longest real ones are replies of some kilobytes
LONGEST_LINE = 2 * MOST_TEXT  # beyond it only the two ends of a line are kept
KEPT_END = 4096  # characters of the end of such a line; what says when and by whom is shorter
MOST_JOINED = 200  # lines in front of the line that ends a record of a site server; longer texts were not observed
LONGEST_JOINED = 16 * 1024  # characters of such a line
LONGEST_TAIL = 200  # characters of component and date in front of a thread's number in hexadecimal
LONGEST_END = 300  # characters of the end of a record of a site server
LONGEST_DATE = 90  # characters of that number and of a date behind it
SAMPLE = 200  # characters of a malformed line to show

CLIENT_BEGIN = "<![LOG["
_CLIENT_END = re.compile(
    r'\]LOG\]!><time="([^"\n]{0,60})"\s{1,9}date="([^"\n]{0,40})"((?:\s{1,9}\w{1,40}="[^"\n]{0,1000}"){0,20})\s{0,9}>'
)
_ATTRIBUTE = re.compile(r'(\w+)="([^"\n]*)"')
_SECOND = r"([0-5]\d|60)(?:\.(\d{1,9}))?"
_SERVER_END = re.compile(
    r"\$\$<([^<>\n]{0,100})>"
    rf"<(?:(\d{{1,2}}-\d{{1,2}}-\d{{4}} \d{{1,2}}:\d\d):{_SECOND}([+-]\d{{1,4}})?|([^<>\n]{{0,80}}))>"
    r"<thread=([^<>\n]{0,40})>\s*$"
)
_CLIENT_TIME = re.compile(rf"(\d{{1,2}}:\d\d):{_SECOND}([+-]\d{{1,4}})?$")
_CLIENT_DATE = re.compile(r"\d{1,2}-\d{1,2}-\d{4}$")
# SMS 2003 and Configuration Manager 2007 write "Fri Mar 26 10:43:41.547 1999 Eastern Standard Time".
_NAMED_TIME = re.compile(rf"\w{{3}} (\w{{3}}) +(\d{{1,2}}) (\d{{1,2}}:\d\d):{_SECOND} (\d{{4}})")
_MONTHS = "JanFebMarAprMayJunJulAugSepOctNovDec"

_DATE = r"(?P<date>\d{1,4}[/.-] ?\d{1,2}[/.-] ?\d{1,4})\.?"
_TIME = r"(?P<time>\d{1,2}[:.]\d\d[:.]\d\d)(?:[.,](?P<fraction>\d{1,9}))?(?: ?(?P<half>[AaPp])\.?[Mm]\.?)?"
_THREAD = r"(?P<thread>\d{1,10}) \(0x[0-9A-Fa-f]{1,8}\)"
_COMPONENT = r"(?P<component>[A-Za-z][\w.-]{0,99})"
# What stands behind the text, or in front of it, depends on the order of columns of the viewer.
_CLIPBOARD_ENDS = (
    re.compile(rf"[\t ]*{_COMPONENT}[\t ]+{_DATE} +{_TIME}[\t ]+{_THREAD}\s*$"),
    re.compile(rf"[\t ]*{_COMPONENT}[\t ]+{_THREAD}[\t ]*{_DATE} +{_TIME}\s*$"),
)
_CLIPBOARD_BEGINS = (
    re.compile(rf"\s*{_THREAD}[\t ]*{_DATE} +{_TIME}(?:[\t ]+|$)"),
    re.compile(rf"\s*{_DATE} +{_TIME}[\t ]+{_THREAD}(?:[\t ]+|$)"),
)
_BARE_END = re.compile(r"[~\s]*\$\$\s*$")
_BARE_PUSH = re.compile(r"^[ \t]{0,20}(?:-{2,}>|=+>|<=+|Execute query exec ).*\$\$[ \t]*$", re.MULTILINE)
_BEGINS_ANEW = re.compile(r"[~\s]*(?:-{2,}>|={2,}>|<={2,})")  # of ccm.log: never the second line of a text
_NOT_BLANK = re.compile(r"\S")

_MOST_OFFSET = 24 * 60  # minutes


class LogForm(StrEnum):
    """The form of a record."""

    CLIENT = "client"
    SITE_SERVER = "site-server"
    CLIPBOARD = "clipboard"
    BARE = "bare"  # text and "$$": without time, component, and thread


class MalformedRecord(StrEnum):
    """Why lines are no record."""

    NO_END = "record-without-end"  # it began, and another record begins or the file ends before its end
    NO_BEGIN = "record-without-begin"  # only its end is there
    NO_RECORD = "text-without-record"  # a line of any other text


@dataclass
class RecordAccount:
    """What became of each line of a log.

    Every line belongs to a record, to something malformed, or is blank:
    `lines == record_lines + malformed_lines + blank`. If two records share a line, it belongs to the first.

    Attributes:
        lines: Lines of the file.
        records: Records that were read.
        record_lines: Lines that belong to records.
        malformed: How often each kind of malformed text occurs; each line of other text counts as one.
        malformed_lines: Lines that belong to malformed text.
        samples: Line and beginning of the first of each kind.
        blank: Lines with nothing on them.
        forms: Records of each form.
        local: Records whose time has no offset from UTC.
        undated: Records whose time is unreadable or missing.
        ambiguous_dates: Of the undated, the ones whose date can be read as day and month or as month and day.
        cut: Records and lines that are longer than what is kept of them.
        dropped: Characters that were dropped from these.
        encoding: How the bytes were decoded, such as "utf-8"; single lines can be of cp1252.
    """

    lines: int = 0
    records: int = 0
    record_lines: int = 0
    malformed: Counter[MalformedRecord] = field(default_factory=Counter)
    malformed_lines: int = 0
    samples: dict[MalformedRecord, tuple[int, str]] = field(default_factory=dict)
    blank: int = 0
    forms: Counter[LogForm] = field(default_factory=Counter)
    local: int = 0
    undated: int = 0
    ambiguous_dates: int = 0
    cut: int = 0
    dropped: int = 0
    encoding: str = ""


def read_records(raw: Readable, account: RecordAccount) -> Iterator[LogRecord]:
    """Read the records of a log in the order of its lines, in constant memory.

    Args:
        raw: The log from its beginning, not compressed.
        account: Filled while records are read; complete when the last was read.

    Yields:
        Each record.
    """
    cutter = _Cutter(account)
    for lines in _blocks(raw, account):
        yield from cutter.cut(lines)
    cutter.finish()


def looks_like_log(head: bytes) -> bool:
    """Return whether bytes from the beginning of a file hold a record of any form."""
    head = head[:HEAD]
    text = without_marks(head.decode(encoding_of(head), "replace")).replace("\r", "\n")
    if _CLIENT_END.search(text) or text.startswith(CLIENT_BEGIN) or f"\n{CLIENT_BEGIN}" in text:
        return True
    if _BARE_PUSH.search(text):
        return True
    return any(_SERVER_END.search(line[-LONGEST_END:]) or _clipboard(line) for line in text.split("\n"))


# ---- from bytes to lines


def _blocks(raw: Readable, account: RecordAccount) -> Iterator[list[str]]:
    r"""Yield lists of lines without their ends; "\0" in front of a line says that it goes on the line before."""
    newlines = io.IncrementalNewlineDecoder(None, translate=True)
    head = left = ""
    block: list[str] = []  # held back, for the last line not to be in a block of its own
    account.encoding, pieces = decoded(raw)
    for piece in pieces:
        text = left + newlines.decode(without_marks(piece))
        # Files exist whose lines were lost: there a record begins right behind another.
        lines = text.replace(f'">{CLIENT_BEGIN}', f'">\n\0{CLIENT_BEGIN}').split("\n")
        left = lines.pop()
        if head and lines:
            lines[0], head = head + _last_part(lines[0], account), ""
        if lines:
            yield block
            block = lines
        if len(left) > LONGEST_LINE:
            if not head:
                account.cut += 1
                head, left = left[: MOST_TEXT - KEPT_END], left[MOST_TEXT - KEPT_END :]
            left = _last_part(left, account)
    ended = newlines.decode("", True)  # by the last byte, which can be half of a line end
    if head or left or ended:
        block.append(head + (_last_part(left, account) if head else left))
    yield block


def _last_part(text: str, account: RecordAccount) -> str:
    account.dropped += max(len(text) - KEPT_END, 0)
    return text[-KEPT_END:]


# ---- from lines to records


class _Cutter:
    """Cuts lines into records, with the account of both."""

    def __init__(self, account: RecordAccount) -> None:
        self._account = account
        self._records: list[LogRecord] = []
        self._dates = _DateOrder()
        self._line = 0  # the number of the line at hand
        self._owned = 0  # the last line that belongs to something
        self._begun: _BegunRecord | None = None  # of a client's record whose end has not come
        self._loose: list[str] = []  # lines that can be the first lines of a record of a site server
        self._joinable = True  # False behind too many of them

    def cut(self, lines: list[str]) -> list[LogRecord]:
        """Return the records that end in these lines."""
        self._records = records = list[LogRecord]()
        self._dates.block = lines
        for line in lines:
            self._line += line[:1] != "\0"
            text = line.lstrip("\0")
            at = text.rfind("$$<")
            if at < 0 or not self._take_server(text, at):
                self._take(text)
        self._account.lines = self._line
        return records

    def finish(self) -> None:
        """Account for what never ended."""
        self._give_up()
        self._release()

    def _take_server(self, text: str, at: int) -> bool:
        """Use a line that ends a record of a site server; False if it does not, or is the first of a client."""
        found = _SERVER_END.match(text, at)
        if found is None or text.startswith(CLIENT_BEGIN):
            return False
        component, minute, second, fraction, offset, other, thread = found.groups()
        if minute is None:
            time_ns, utc = _named_time(other)
        else:
            time_ns, utc = _minute(minute, offset)
            if time_ns is not None:
                time_ns += _second_ns(second, fraction)
        self._add_line(LogForm.SITE_SERVER, text[:at], time_ns, utc, component, _thread(thread))
        return True

    def _take(self, text: str) -> None:
        """Use any other line."""
        if not text.startswith(CLIENT_BEGIN):
            if self._begun is None and not _NOT_BLANK.search(text):
                self._release()
                self._account.blank += self._own(self._line)
                return
            if self._take_pasted(text):
                return
        elif self._begun is not None:
            self._give_up()
        self._take_client(text)

    def _take_pasted(self, text: str) -> bool:
        """Use a line that ends a record of the clipboard; False if it does not."""
        if clip := _clipboard(text):
            match, body = clip
            time_ns = self._dates.time(match, self._account)
            component = match.groupdict().get("component") or ""
            self._add_line(LogForm.CLIPBOARD, body, time_ns, False, component, int(match["thread"]))
        elif self._begun is None and text.endswith(("$", " ", "\t")) and (bare := _BARE_END.search(text[-50:])):
            self._add_line(LogForm.BARE, text[: len(text) - len(bare[0])], None, False, "", 0)
        else:
            return False
        return True

    def _take_client(self, text: str) -> None:
        """Use a line in which records of a client can begin and end."""
        at = 0
        while _NOT_BLANK.search(text, at) or self._begun is not None:
            if self._begun is None:
                begin = text.find(CLIENT_BEGIN, at)
                if begin < 0:
                    self._take_other(text[at:], at > 0)
                    return
                if _NOT_BLANK.search(text[at:begin]):
                    self._take_other(text[at:begin], True)
                self._release()
                self._begun, at = _BegunRecord(self._line), begin + len(CLIENT_BEGIN)
            end = _CLIENT_END.search(text, at)
            if end is None:
                self._begun.add(text[at:])
                return
            self._begun.add(text[at : end.start()])
            self._add_client(self._begun, end)
            self._begun, at = None, end.end()

    def _take_other(self, text: str, part: bool) -> None:
        """Use text that begins no record: the end of one that began before the file, or anything else."""
        if _CLIENT_END.search(text):
            first = self._line - len(self._loose)
            self._loose.clear()
            self._malformed(MalformedRecord.NO_BEGIN, first, text)
        elif part:
            self._release()
            self._malformed(MalformedRecord.NO_RECORD, self._line, text)
        elif self._joinable and len(self._loose) < MOST_JOINED and len(text) <= LONGEST_JOINED:
            self._loose.append(text)
        else:
            self._joinable = False
            self._release()
            self._malformed(MalformedRecord.NO_RECORD, self._line, text)

    def _release(self) -> None:
        """Account for lines that turned out to belong to no record."""
        loose, self._loose = self._loose, []
        for number, text in enumerate(loose, self._owned + 1):
            self._malformed(MalformedRecord.NO_RECORD, number, text, number)

    def _give_up(self) -> None:
        """Account for a client's record that never ended, without the line at hand."""
        if self._begun is not None:
            begun, self._begun = self._begun, None
            self._malformed(MalformedRecord.NO_END, begun.line, CLIENT_BEGIN + begun.parts[0], begun.last_line)

    def _malformed(self, kind: MalformedRecord, first: int, text: str, last: int | None = None) -> None:
        self._account.malformed[kind] += 1
        self._account.malformed_lines += self._own(self._line if last is None else last)
        self._account.samples.setdefault(kind, (first, text[:SAMPLE]))

    def _own(self, last: int) -> int:
        """Return how many lines up to this one belonged to nothing yet."""
        count, self._owned = max(last - self._owned, 0), max(last, self._owned)
        return count

    def _add_line(self, form: LogForm, text: str, time_ns: int | None, utc: bool, component: str, thread: int) -> None:
        if self._begun is not None:
            self._give_up()
        first = self._line
        if self._loose:
            if _BEGINS_ANEW.match(text):
                self._release()
            else:
                first = self._owned + 1
                text = "\n".join([*self._loose, text])
                self._loose = []
        # "~" ends a text, and stands for line ends inside of it, where it can as well be part of a file name.
        text = text.strip("~ \t\r\n")
        if len(text) > MOST_TEXT:
            text = self._shortened(text)
        self._add(form, LogRecord(first, self._line, time_ns, utc, component, thread, None, text))

    def _add_client(self, begun: _BegunRecord, end: re.Match[str]) -> None:
        clock, day, rest = end.groups()
        attributes = dict(_ATTRIBUTE.findall(rest))
        time_ns, utc = _client_time(clock, day)
        severity, thread = attributes.get("type", ""), _thread(attributes.get("thread", ""))
        component = attributes.get("component", "")
        level = int(severity) if severity in ("0", "1", "2", "3") else None
        text = "\n".join(begun.parts)
        if begun.dropped:
            self._account.dropped += begun.dropped
            self._account.cut += 1
        self._add(LogForm.CLIENT, LogRecord(begun.line, self._line, time_ns, utc, component, thread, level, text))

    def _shortened(self, text: str) -> str:
        self._account.cut += 1
        self._account.dropped += len(text) - MOST_TEXT
        return text[:MOST_TEXT]

    def _add(self, form: LogForm, record: LogRecord) -> None:
        account, line = self._account, self._line
        account.records += 1
        account.forms[form] += 1
        account.record_lines += line - self._owned
        self._owned = line
        if record.time_ns is None:
            account.undated += 1
        elif not record.utc:
            account.local += 1
        self._joinable = True
        self._records.append(record)


class _BegunRecord:
    """What is kept of the lines of a client's record whose end has not come."""

    def __init__(self, line: int) -> None:
        self.line, self.last_line, self.dropped = line, line - 1, 0
        self.parts: list[str] = []
        self._room = MOST_TEXT

    def add(self, text: str) -> None:
        """Add a line."""
        self.last_line += 1
        kept = text[: max(self._room, 0)]
        self.dropped += len(text) - len(kept)
        if self._room > 0:
            self.parts.append(kept)
            self._room -= len(kept) + 1


def _clipboard(text: str) -> tuple[re.Match[str], str] | None:
    """Return what a line of the clipboard says besides its text, and the text."""
    at = text.rfind("(0x")
    if at < 0:
        return None
    for pattern in _CLIPBOARD_ENDS if len(text) - at < LONGEST_DATE else ():
        if match := pattern.search(text, max(at - LONGEST_TAIL, 0)):
            return match, text[: match.start()]
    for pattern in _CLIPBOARD_BEGINS:
        if match := pattern.match(text):
            return match, text[match.end() :]
    return None


@lru_cache(maxsize=1024)
def _thread(text: str) -> int:
    """Return the number of a thread: decimal, with hexadecimal behind it or alone in the oldest logs; else 0."""
    word = text.split(" ", 1)[0]
    if word.isascii() and word.isdigit():
        return int(word)
    try:
        return int(word, 16) if word.isalnum() else 0
    except ValueError:
        return 0


# ---- times


@lru_cache(maxsize=1024)
def _minute(text: str, offset: str | None) -> tuple[int | None, bool]:
    """Return the beginning of a minute, such as "09-25-2026 15:13", and whether it is UTC; most records share one."""
    day, clock = text.split(" ")
    month, day, year = day.split("-")
    hour, minute = clock.split(":")
    days, minutes = calendar_day_ns(int(year), int(month), int(day)), int(offset or 0)
    if days is None or int(hour) > 23 or int(minute) > 59 or abs(minutes) > _MOST_OFFSET:
        return None, False
    return days + (int(hour) * 60 + int(minute) + minutes) * 60 * 10**9, offset is not None


def _second_ns(second: str, fraction: str | None) -> int:
    return int(second + (fraction or "").ljust(9, "0"))


def _named_time(text: str) -> tuple[int | None, bool]:
    """Return the local time of a record of Configuration Manager 2007 and before."""
    match = _NAMED_TIME.match(text)
    if match is None or _MONTHS.find(match[1]) % 3:  # -1 % 3 is 2
        return None, False
    month, day, clock, second, fraction, year = match.groups()
    time_ns, _ = _minute(f"{_MONTHS.index(month) // 3 + 1}-{day}-{year} {clock}", None)
    return (None if time_ns is None else time_ns + _second_ns(second, fraction)), False


def _client_time(clock: str, day: str) -> tuple[int | None, bool]:
    match = _CLIENT_TIME.match(clock)
    if match is None or not _CLIENT_DATE.match(day):
        return None, False
    minute, second, fraction, offset = match.groups()
    time_ns, utc = _minute(f"{day} {minute}", offset)
    return (None if time_ns is None else time_ns + _second_ns(second, fraction)), utc


class _DateOrder:
    """Reads dates of the clipboard, which are in the format of the user who copied them.

    Attributes:
        block: The lines at hand: one day beyond the twelfth in them decides for all.
    """

    def __init__(self) -> None:
        self.block: list[str] = []
        self._asked: list[str] | None = None
        self._day_first: bool | None = None

    def time(self, match: re.Match[str], account: RecordAccount) -> int | None:
        """Return the local time of a record, None if it is unreadable or ambiguous."""
        numbers = DateNumbers.of(match["date"])
        if self._day_first is None and numbers.is_ambiguous and self._asked is not self.block:
            self._asked = self.block
            self._decide()
        day = numbers.day_ns(self._day_first)
        if day is None and self._day_first is None and numbers.is_ambiguous:
            account.ambiguous_dates += 1
        return None if day is None else _clock_ns(match, day)

    def _decide(self) -> None:
        for text in self.block:
            if (found := _clipboard(text)) and (order := DateNumbers.of(found[0]["date"]).shown_order) is not None:
                self._day_first = order
                return


def _clock_ns(match: re.Match[str], day: int) -> int | None:
    clock = clock_ns(match["time"], match["fraction"], match["half"])
    return None if clock is None else day + clock
