"""Read the rows of a Windows Firewall log from whole lines of it: many at once, the odd ones one by one.

Lines as Windows writes them are read as columns of the text. Any other line is tidied up by itself (padding, tabs, a
process id left out) and read after that, or counted as malformed. The fields are described on TechNet,
"Interpreting the Windows Firewall Log" (cc758040).
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from socket import IPPROTO_ICMP as ICMP
from socket import IPPROTO_ICMPV6 as ICMPV6
from socket import IPPROTO_TCP as TCP
from socket import IPPROTO_UDP as UDP
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from auditor.sources.logs.addresses import NOBODY, LogAddresses
from auditor.sources.logs.text_columns import PADDING, WORD, Column, Mask, Text, distinct
from auditor.sources.tcp_flags import ACK, CWR, ECE, FIN, PSH, RST, SYN, URG

MOST_SAMPLES = 3
SAMPLE_LENGTH = 120
NEW_LINE, RETURN, BLANK, HASH = b"\n\r #"
JUNK = b"\0 \t\r\x0b\x0c\x1a"  # what may stand around a row: the file is allocated before it is written
USUAL_COLUMNS = (
    "date time action protocol src-ip dst-ip src-port dst-port size tcpflags tcpsyn tcpack tcpwin "
    "icmptype icmpcode info path pid"
)
CANONICAL = tuple(USUAL_COLUMNS.split())
NEEDED = CANONICAL[:8]
OF_ALL_ROWS = (*NEEDED, "path", "pid")  # all other columns are read of few rows
ACTIONS = ("DROP", "ALLOW", "OPEN", "OPEN-INBOUND", "CLOSE", "INFO-EVENTS-LOST")
STEALTH_FILTER = "Stealth"  # Windows' own word for the filter of closed ports; older versions do not name it
LET_THROUGH = ("ALLOW", "OPEN", "OPEN-INBOUND")  # the last two of Windows XP and Server 2003
DROP, LOST = ACTIONS.index("DROP"), ACTIONS.index("INFO-EVENTS-LOST")
PATHS = ("SEND", "RECEIVE", "FORWARD", "UNKNOWN", "-")
SEND, RECEIVE, NO_PATH = (PATHS.index(path) for path in ("SEND", "RECEIVE", "-"))
IMPLIED_PATH = {ACTIONS.index("OPEN"): SEND, ACTIONS.index("OPEN-INBOUND"): RECEIVE}  # XP and 2003 leave it out
PROTOCOLS = {b"TCP": TCP, b"UDP": UDP, b"ICMP": ICMP}
FLAGS = dict(zip(b"FSRPAUEC", (FIN, SYN, RST, PSH, ACK, URG, ECE, CWR), strict=True))
Small = NDArray[np.int8]
MOST_PORT, MOST_ICMP, MOST_SEQUENCE = 0xFFFF, 0xFF, 0xFFFFFFFF

# What is wrong with a line that is not read; the first that applies counts.
MALFORMED = (
    "too-few-fields",
    "too-many-fields",
    "no-time",
    "unknown-action",
    "unknown-protocol",
    "unknown-path",
    "no-address",
    "no-port",
    "no-icmp-type",
    "no-tcp-fields",
    "no-process-id",
    "no-lost-count",
    "control-characters",
    "header-lacks-columns",
)
TOO_FEW, TOO_MANY, TIME, ACTION, PROTOCOL, PATH, ADDRESS, PORT, ICMP_KIND, TCP_KIND, PROCESS, COUNT, CONTROL, HEADER = (
    range(1, len(MALFORMED) + 1)
)


class Schema(NamedTuple):
    """What the header says of the rows behind it.

    Attributes:
        names: Names of the columns as the #Fields line has them, in order, in small letters.
        utc: Whether #Time Format says UTC.
    """

    names: tuple[str, ...]
    utc: bool = False


@dataclass(frozen=True)
class Rows:
    """A batch of rows in file order, also those that report lost events: arrays of one length.

    Behind the colon stands what Windows calls the column (#Fields).

    Attributes:
        line: Number of the line in the log, from 1.
        time_s: date and time: seconds since 1970, by the clock that the log was written by.
        action: action: index in ACTIONS.
        path: path: index in PATHS.
        protocol: protocol: IP protocol number (IANA).
        src: src-ip: number of the address (LogAddresses).
        dst: dst-ip: number of the address.
        src_port: src-port; of ICMP its type (icmptype).
        dst_port: dst-port; of ICMP its code (icmpcode).
        flags: tcpflags of a dropped TCP packet, as bits of tcp_flags; 0 where the log does not say.
        sequence: tcpsyn, the sequence number of a dropped TCP packet, else 0.
        process: pid, the process ID; -1 where the log does not say.
    """

    line: NDArray[np.int64]
    time_s: NDArray[np.int64]
    action: Small
    path: Small
    protocol: NDArray[np.int16]
    src: NDArray[np.int64]
    dst: NDArray[np.int64]
    src_port: NDArray[np.int64]
    dst_port: NDArray[np.int64]
    flags: NDArray[np.int64]
    sequence: NDArray[np.int64]
    process: NDArray[np.int64]

    def __len__(self) -> int:
        return len(self.line)

    def at(self, rows: NDArray[Any] | slice) -> Rows:
        """Return some of the rows."""
        return Rows(**{name: column[rows] for name, column in vars(self).items()})

    def but(self, **columns: NDArray[np.int64]) -> Rows:
        """Return the same with other columns of these names."""
        return Rows(**vars(self) | columns)


_nothing = np.zeros(0, np.int64)
NO_ROWS = Rows(
    line=_nothing,
    time_s=_nothing,
    action=_nothing.astype(np.int8),
    path=_nothing.astype(np.int8),
    protocol=_nothing.astype(np.int16),
    src=_nothing,
    dst=_nothing,
    src_port=_nothing,
    dst_port=_nothing,
    flags=_nothing,
    sequence=_nothing,
    process=_nothing,
)


@dataclass
class LogAccount:
    """What the lines of a log were: lines = rows + comments + blanks + malformed, always.

    Attributes:
        malformed: How many of each kind of MALFORMED.
        samples: Number and text of the first ones.
        lost: Events that Windows says it did not write.
        lost_rows: How often it says so.
    """

    lines: int = 0
    rows: int = 0
    comments: int = 0
    blanks: int = 0
    lost_rows: int = 0
    lost: int = 0
    malformed: Counter[str] = field(default_factory=Counter)
    samples: dict[str, list[tuple[int, str]]] = field(default_factory=dict)

    @property
    def skipped(self) -> int:
        """Lines that could not be read."""
        return self.malformed.total()

    def wrong(self, kind: int, lines: Sequence[tuple[int, bytes]], count: int) -> None:
        """Count malformed lines of one kind, of which `lines` are the first: their numbers and texts."""
        name = MALFORMED[kind - 1]
        self.malformed[name] += count
        samples = [(line, text[:SAMPLE_LENGTH].decode("ascii", "backslashreplace")) for line, text in lines]
        self.samples[name] = sorted([*self.samples.get(name, ()), *samples])[:MOST_SAMPLES]

    def add(self, account: LogAccount) -> None:
        """Add what was counted in the next part of the log, whose lines are numbered from 1."""
        preceding_lines = self.lines
        for name in ("lines", "rows", "comments", "blanks", "lost_rows", "lost"):
            setattr(self, name, getattr(self, name) + getattr(account, name))
        self.malformed.update(account.malformed)
        for name, samples in account.samples.items():
            moved = [(preceding_lines + line, text) for line, text in samples]
            self.samples[name] = [*self.samples.get(name, ()), *moved][:MOST_SAMPLES]


class Section(NamedTuple):
    """Whole lines under one schema, PADDING behind the last line break; addresses: where theirs are numbered."""

    data: bytes
    schema: Schema
    addresses: LogAddresses


class SectionRows(NamedTuple):
    """What one section holds: its rows, with numbers of lines of its own, and what its lines were.

    Attributes:
        rows: Its rows.
        account: What its lines were.
        comments: Numbers of the lines that begin with #.
        blanks: Numbers of the lines without text.
        utc: Whether the times are UTC.
    """

    rows: Rows
    account: LogAccount
    comments: list[int]
    blanks: list[int]
    utc: bool


def read_sections(sections: Sequence[Section]) -> list[SectionRows]:
    """Read sections, of several logs perhaps, those that are alike at once: short ones in a third of the time."""
    alike: dict[tuple[Schema, LogAddresses], list[int]] = defaultdict(list)
    for number, section in enumerate(sections):
        alike[section.schema, section.addresses].append(number)
    read: dict[int, SectionRows] = {}
    for numbers in alike.values():
        read |= zip(numbers, _at_once([sections[number] for number in numbers]), strict=True)
    return [read[number] for number in range(len(sections))]


def _at_once(sections: Sequence[Section]) -> list[SectionRows]:
    """Read like sections as one, and each in which anything is odd again by itself, to report where."""
    if len(sections) == 1:
        return [read_section(sections[0])]
    data = b"".join([section.data[: -len(PADDING)] for section in sections]) + PADDING
    whole = read_section(sections[0]._replace(data=data))
    parts, begin = [], 0
    for section in sections:
        end = begin + section.data.count(b"\n")
        part = _between(whole, begin, end)
        is_odd = part.account.lines != end - begin or LOST in part.rows.action
        parts.append(read_section(section) if is_odd else part)
        begin = end
    return parts


def _between(whole: SectionRows, begin: int, end: int) -> SectionRows:
    """Return what stands behind one line, up to another; lines that are malformed are missing from its account."""
    rows = whole.rows.at(slice(*np.searchsorted(whole.rows.line, (begin, end), side="right").tolist()))
    comments, blanks = ([line - begin for line in numbers if begin < line <= end] for numbers in whole[2:4])
    account = LogAccount(len(rows) + len(comments) + len(blanks), len(rows), len(comments), len(blanks))
    return SectionRows(rows.but(line=rows.line - begin), account, comments, blanks, whole.utc)


def read_section(section: Section) -> SectionRows:
    """Read the lines of one section."""
    data, names = section.data, section.schema.names
    account = LogAccount()
    lines = _Lines(data, len(data) - len(PADDING), len(names))
    account.lines = len(lines)
    regular = lines.regular if set(NEEDED) <= set(names) else np.zeros(len(lines), np.bool_)
    tidy, numbers, comments, blanks = _tidied(section, lines, (~regular).nonzero()[0], account)
    whole = regular.nonzero()[0]
    batches = [_Batch(Text(data), names, lines.fields(whole), whole + 1, account)] if len(whole) else []
    if numbers:
        again = _Lines(tidy + PADDING, len(tidy), len(names))
        places = again.fields(np.arange(len(numbers)))
        batches.append(_Batch(Text(tidy + PADDING), names, places, np.array(numbers), account))
    read = _in_order([batch.read(section.addresses) for batch in batches])
    return SectionRows(read, account, comments, blanks, section.schema.utc)


def _in_order(parts: list[Rows]) -> Rows:
    """Put the rows of a section in the order of their lines."""
    if len(parts) < 2:
        return parts[0] if parts else NO_ROWS
    rows = Rows(*(np.concatenate(columns) for columns in zip(*(vars(part).values() for part in parts), strict=True)))
    return rows.at(np.argsort(rows.line, kind="stable"))


class _Lines:
    """Where the lines of a text are, and the blanks in them.

    Attributes:
        regular: Which lines are fields with one space between them and nothing else: no comment, tab, padding.
    """

    def __init__(self, data: bytes, size: int, fields: int) -> None:
        self.bytes = np.frombuffer(data, np.uint8, size)
        self._fields = fields
        # "a b c\nd e f\n" has blanks at 1 3 5 7 9 11, three in its first line. If every line has as many, each third is
        # the end of a line, and the ends of all second fields are 3 and 9: no line has to be looked for.
        is_blank = self.bytes <= BLANK
        self._blanks = is_blank.nonzero()[0]
        self._controls = int(np.count_nonzero(self.bytes < BLANK))
        self._blank_count = int(np.searchsorted(self._blanks, data.index(b"\n"))) + 1
        self.end = self._blanks[self._blank_count - 1 :: self._blank_count].copy()
        self._returned = self.bytes[self.end - 1] == RETURN  # wrong of an empty first line, which is not regular anyway
        if not self._alike():
            self._blank_count = 0
            self.end = (self.bytes == NEW_LINE).nonzero()[0]
            self._returned = self.bytes[self.end - 1] == RETURN
            self._last = np.searchsorted(self._blanks, self.end)
        self.begin = _behind(self.end)
        self.regular = self._regular(is_blank)

    def __len__(self) -> int:
        return len(self.end)

    def _alike(self) -> bool:
        """Tell whether every line has as many blanks as the first, which is so nearly always."""
        return (
            len(self._blanks) == len(self.end) * self._blank_count
            and self._controls == len(self.end) + int(np.count_nonzero(self._returned))
            and bool((self.bytes[self.end] == NEW_LINE).all())
        )

    def _regular(self, is_blank: Mask) -> Mask:
        regular: Mask = (self._count() - self._returned == self._fields) & (self.bytes[self.begin] > HASH)
        pairs = int(np.count_nonzero(self._returned))
        if self._controls != len(self) + pairs:
            regular[self._lines_of(np.flatnonzero((self.bytes < BLANK) & ~self._ends_line()))] = False
        side_by_side = is_blank[1:] & is_blank[:-1]
        if np.count_nonzero(side_by_side) != pairs:
            regular[self._lines_of(np.flatnonzero(side_by_side & ~self._ends_line()[:-1]))] = False
        return regular

    def _count(self) -> int | NDArray[np.int64]:
        """Return how many blanks each line has."""
        if self._blank_count:
            return self._blank_count
        return self._last + 1 - _behind(self._last)

    def _ends_line(self) -> Mask:
        """Return which bytes are line breaks."""
        breaks: Mask = self.bytes == NEW_LINE
        breaks[:-1] |= (self.bytes[:-1] == RETURN) & breaks[1:]
        return breaks

    def _lines_of(self, places: NDArray[np.int64]) -> NDArray[np.int64]:
        return np.searchsorted(self.end, places)

    def fields(self, rows: NDArray[np.int64]) -> _Fields:
        """Return how to get the fields of some regular lines."""
        begin = self.begin if len(rows) == len(self) else self.begin[rows]
        first_blank = rows * self._blank_count if self._blank_count else _behind(self._last)[rows]
        return _Fields(self._blanks, begin, first_blank, self._blank_count if len(rows) == len(self) else 0)


def _behind(last: NDArray[np.int64]) -> NDArray[np.int64]:
    """Return where each of some stretches begins that stand one behind the other.

    Args:
        last: Their last places.
    """
    begin = np.empty_like(last)
    begin[:1] = 0
    np.add(last[:-1], 1, out=begin[1:])
    return begin


class _Fields:
    """The fields of some regular lines, by their position in the line.

    Args:
        begin: Of the lines.
        first_blank: Which of all blanks are the first of them.
        blank_count: How many blanks every line has, 0 if they have not all as many, or not all lines are among them.
    """

    def __init__(
        self, blanks: NDArray[np.int64], begin: NDArray[np.int64], first_blank: NDArray[np.int64], blank_count: int = 0
    ) -> None:
        self._blanks = blanks
        self._begin = begin
        self._first_blank = first_blank
        self._blank_count = blank_count

    def at(self, positions: Sequence[int]) -> list[Column]:
        """Return the fields at some positions."""
        needed = sorted({*positions, *(position - 1 for position in positions if position)})
        ends = dict(zip(needed, self._ends(needed), strict=True))
        return [Column(ends[position - 1] + 1 if position else self._begin, ends[position]) for position in positions]

    def of(self, rows: NDArray[np.int64], position: int) -> Column:
        """Return the fields at one position of few of the lines."""
        blank = self._first_blank[rows] + position
        return Column(self._blanks[blank - 1] + 1 if position else self._begin[rows], self._blanks[blank])

    def _ends(self, positions: list[int]) -> Iterable[NDArray[np.int64]]:
        if self._blank_count:
            return (np.ascontiguousarray(self._blanks[position :: self._blank_count]) for position in positions)
        ends: NDArray[np.int64] = self._blanks[self._first_blank + np.array(positions)[:, np.newaxis]]
        return ends


def _tidied(
    section: Section, lines: _Lines, odd: NDArray[np.int64], account: LogAccount
) -> tuple[bytes, list[int], list[int], list[int]]:
    """Count the lines that are no rows, and return those that are, their fields with one space between.

    And their numbers, those of the comments, and those of what is blank.
    """
    names = section.schema.names
    tidy: list[bytes] = []
    numbers: list[int] = []
    comments: list[int] = []
    blanks: list[int] = []
    wrong: dict[int, list[tuple[int, bytes]]] = defaultdict(list)
    for index, begin, end in zip(odd.tolist(), lines.begin[odd].tolist(), lines.end[odd].tolist(), strict=True):
        text = section.data[begin:end].strip(JUNK)
        if not text or text.startswith(b"#"):
            hidden = b"\r" in text  # rows may stand there
            if hidden:
                wrong[CONTROL].append((index + 1, text))
            else:
                (comments if text else blanks).append(index + 1)
            continue
        words = _completed(text.split(), names)
        if kind := _misshapen(words, names):
            wrong[kind].append((index + 1, text))
            continue
        tidy.append(b" ".join(words))
        numbers.append(index + 1)
    for kind, malformed in wrong.items():
        account.wrong(kind, malformed[:MOST_SAMPLES], len(malformed))
    account.comments, account.blanks = len(comments), len(blanks)
    return b"".join(row + b"\n" for row in tidy), numbers, comments, blanks


def _completed(words: list[bytes], names: tuple[str, ...]) -> list[bytes]:
    """Add the process id to a row that reports lost events: Windows leaves it out there."""
    if len(words) == len(names) - 1 and names[-1:] == ("pid",) and ACTIONS[LOST].encode() in words[:4]:
        return [*words, b"-"]
    return words


def _misshapen(words: list[bytes], names: tuple[str, ...]) -> int:
    """Return what is wrong with the shape of a row, 0 if nothing is."""
    if not set(NEEDED) <= set(names):
        return HEADER
    if len(words) != len(names):
        return TOO_FEW if len(words) < len(names) else TOO_MANY
    return CONTROL if any(byte < BLANK for byte in b"".join(words)) else 0


class _Batch:
    """Lines of the right shape, whose fields are read into rows; those that cannot be are counted."""

    def __init__(
        self,
        text: Text,
        names: tuple[str, ...],
        fields: _Fields,
        lines: NDArray[np.int64],
        account: LogAccount,
    ) -> None:
        self._text = text
        self._names = names
        self._fields = fields
        self._lines = lines
        self._account = account
        self._fault = np.zeros(len(lines), np.uint8)
        # All at once, as long as the processor's cache holds where the blanks are.
        present = [name for name in OF_ALL_ROWS if name in names]
        self._columns = dict(zip(present, fields.at([names.index(name) for name in present]), strict=True))

    def read(self, addresses: LogAddresses) -> Rows:
        """Return the rows in order.

        Args:
            addresses: Where theirs are numbered.
        """
        days, is_date = self._text.days(self._of("date"))
        seconds, is_time = self._text.seconds(self._of("time"))
        self._unless(is_date & is_time, TIME)
        action = self._action()
        lost = action == LOST
        protocol, path = self._protocol(lost), self._path(action)
        both = addresses.numbers(self._text, self._of("src-ip").and_then(self._of("dst-ip")))
        src, dst = both[: len(lost)], both[len(lost) :]
        self._unless(lost | ((src != NOBODY) & (dst != NOBODY)), ADDRESS)
        src_port, dst_port = self._ports(protocol)
        flags, sequence = self._tcp(((action == DROP) & (protocol == TCP)).nonzero()[0])
        process = self._process(lost)
        self._count_lost(lost)
        good = self._fault == 0
        self._account.rows += int(np.count_nonzero(good))
        rows = Rows(
            self._lines,
            days * 86400 + seconds,
            action,
            path,
            protocol,
            src,
            dst,
            src_port,
            dst_port,
            flags,
            sequence,
            process,
        )
        if good.all():
            return rows
        self._tell_faults()
        return rows.at(np.flatnonzero(good))

    def _of(self, name: str) -> Column:
        return self._columns[name]

    def _of_rows(self, rows: NDArray[np.int64], name: str) -> Column:
        return self._fields.of(rows, self._names.index(name))

    def _unless(self, good: Mask, kind: int) -> None:
        """Find what is wrong with lines without a known fault."""
        if not good.all():
            self._fault[~good & (self._fault == 0)] = kind

    def _action(self) -> Small:
        return self._word("action", ACTIONS, ACTION)

    def _word(self, name: str, vocabulary: Sequence[str], kind: int) -> Small:
        """Return each field as an index in the known words."""
        column = self._of(name)
        words = self._text.words(column)
        # What matches word 2 becomes -1 + 3: to add is faster by far than to write where the mask is true.
        index = np.full(len(words), -1, np.int8)
        left = len(index)
        for number, word in enumerate(vocabulary):
            is_match = self._text.is_word(column, words, word.encode())
            index += is_match.view(np.int8) * np.int8(number + 1)
            left -= int(np.count_nonzero(is_match))
            if not left:
                break
        self._unless(index >= 0, kind)
        return index

    def _path(self, action: Small) -> Small:
        path = self._word("path", PATHS, PATH) if "path" in self._names else np.full(len(action), NO_PATH, np.int8)
        for number, implied in IMPLIED_PATH.items() if NO_PATH in path else ():
            path[(action == number) & (path == NO_PATH)] = implied
        return path

    def _protocol(self, lost: Mask) -> NDArray[np.int16]:
        """Return each row's protocol by its IP number, ICMP for that of either family."""
        column = self._of("protocol")
        words = self._text.words(column)
        protocol = np.full(len(words), -1, np.int16)
        for word, number in PROTOCOLS.items():
            protocol += self._text.is_word(column, words, word) * np.int16(number + 1)
        numeric = ((protocol < 0) & ~lost).nonzero()[0]
        if len(numeric):
            numbers, good = self._text.numbers(column.at(numeric))
            protocol[numeric] = np.where(good & (numbers <= 0xFF), numbers, -1)
            protocol[protocol == ICMPV6] = ICMP
        self._unless(lost | (protocol >= 0), PROTOCOL)
        return protocol

    def _ports(self, protocol: NDArray[np.int16]) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
        """Return the two ports, or type and code, of each row; zeros where it has none."""
        without = ((protocol != TCP) & (protocol != UDP)).nonzero()[0]
        both, good = self._text.numbers(self._of("src-port").and_then(self._of("dst-port")))
        (src, dst), (src_good, dst_good) = both.reshape(2, -1), (good & (both <= MOST_PORT)).reshape(2, -1)
        good = src_good & dst_good
        if len(without):
            good[without] = True
            src[without] = dst[without] = 0
            icmp = (protocol == ICMP).nonzero()[0]
            src[icmp], dst[icmp] = self._icmp(icmp)
        self._unless(good, PORT)
        return src, dst

    def _icmp(self, rows: NDArray[np.int64]) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
        """Return type and code of some rows."""
        numbers, good = np.zeros((2, len(rows)), np.int64), np.zeros((2, len(rows)), np.bool_)
        if {"icmptype", "icmpcode"} <= set(self._names):
            both, is_number = self._text.numbers(
                self._of_rows(rows, "icmptype").and_then(self._of_rows(rows, "icmpcode"))
            )
            numbers, good = both.reshape(2, -1), (is_number & (both <= MOST_ICMP)).reshape(2, -1)
        self._unless_of(rows, good[0] & good[1], ICMP_KIND)
        return numbers[0], numbers[1]

    def _unless_of(self, rows: NDArray[np.int64], good: Mask, kind: int) -> None:
        everywhere = np.ones(len(self._fault), np.bool_)
        everywhere[rows] = good
        self._unless(everywhere, kind)

    def _tcp(self, rows: NDArray[np.int64]) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
        """Return the flags and sequence number of dropped TCP packets; zeros where the log does not say."""
        flags, sequence = np.zeros(len(self._fault), np.int64), np.zeros(len(self._fault), np.int64)
        if not len(rows) or not {"tcpflags", "tcpsyn"} <= set(self._names):
            return flags, sequence
        letters, numbers = self._of_rows(rows, "tcpflags"), self._of_rows(rows, "tcpsyn")
        words = self._text.words(letters)
        sample, codes = distinct(words)
        sample_flags = [_flags(word.to_bytes(WORD, "little").rstrip(b"\0")) for word in words[sample].tolist()]
        row_flags = np.array(sample_flags, np.int64)[codes]
        number, is_number = self._text.numbers(numbers)
        unsaid = self._text.is_dash(numbers)
        is_number = (is_number & (number <= MOST_SEQUENCE)) | unsaid
        self._unless_of(rows, is_number & (row_flags >= 0) & (letters.length <= len(FLAGS)), TCP_KIND)
        flags[rows], sequence[rows] = row_flags, np.where(unsaid, 0, number)
        return flags, sequence

    def _process(self, lost: Mask) -> NDArray[np.int64]:
        if "pid" not in self._names:
            return np.full(len(lost), -1, np.int64)
        column = self._of("pid")
        number, good = self._text.numbers(column)
        good &= number <= MOST_SEQUENCE
        self._unless(lost | good | self._text.is_dash(column), PROCESS)
        return np.where(good, number, -1)

    def _count_lost(self, lost: Mask) -> None:
        rows = lost.nonzero()[0]
        if not len(rows):
            return
        number, good = np.zeros(len(rows), np.int64), np.ones(len(rows), np.bool_)
        if "info" in self._names:
            number, good = self._text.numbers(self._of_rows(rows, "info"))
            self._unless_of(rows, good, COUNT)
        good &= self._fault[rows] == 0
        self._account.lost_rows += int(np.count_nonzero(good))
        self._account.lost += int(number[good].sum())

    def _tell_faults(self) -> None:
        for kind in np.unique(self._fault[self._fault > 0]).tolist():
            rows = np.flatnonzero(self._fault == kind)
            first_rows = rows[:MOST_SAMPLES]
            begin, end = self._fields.of(first_rows, 0).begin, self._fields.of(first_rows, len(self._names) - 1).end
            texts = self._text.texts(Column(begin, end))
            samples = zip(self._lines[first_rows].tolist(), texts, strict=True)
            self._account.wrong(kind, list(samples), len(rows))


def _flags(letters: bytes) -> int:
    """Return TCP flags as bits; 0 where the log does not say, -1 for what are no flags."""
    if letters == b"-":
        return 0
    if not letters or any(letter not in FLAGS for letter in letters):
        return -1
    return sum({FLAGS[letter] for letter in letters})
