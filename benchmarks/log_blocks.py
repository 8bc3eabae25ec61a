"""Blocks of rows of firewall logs that are made once and filled in for every computer: its time, addresses and ports.

A row costs microseconds to make and nanoseconds to fill in; a block is filled in at once, with NumPy.
"""

from __future__ import annotations

import functools
import re
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime, timedelta

import numpy as np
from make_firewall_log import Computer, Network
from numpy.typing import NDArray

Bytes = NDArray[np.uint8]
Places = NDArray[np.int32]

ROWS = 1000
BLOCKS = {"modern": 128, "pid": 48, "xp": 24, "drops": 24}  # how many of each dialect
LOST_EVERY, LOST_LATER = 300, 26  # rows; seconds that the row of lost events is ahead of those behind it
FIRST_PORT, PORTS = 49152, 16384
BEGIN, DAYS = datetime(2024, 1, 1), 1200

TIME, PREFIX, OWN, OWN_6 = "YYYY-MM-DD HH:MM:SS", "10.sss.nnn", "hhh", "zzzz:zzzz"
NETWORK = Network(
    me=f"{PREFIX}.{OWN}",
    me_link_local=f"fe80::86:562d:{OWN_6}",
    me_global=f"fd10:20:30:40::{OWN_6}",
    gateway=f"{PREFIX}.254",
    broadcast=f"{PREFIX}.255",
    neighbours=tuple(f"{PREFIX}.{number}" for number in range(200, 250)),
)
_PORT = re.compile(rb"(?:hhh|zzzz|127\.0\.0\.1) \S+ (\d{5}) ")


@dataclass(frozen=True)
class Address:
    """Where a computer is: 10.site.subnet.host, each of three digits so that rows keep their lengths."""

    site: int
    subnet: int
    host: int
    number: int  # of the fleet, for IPv6

    def __str__(self) -> str:
        return f"{self.prefix}.{self.host}"

    @property
    def prefix(self) -> str:
        """The first three of its numbers."""
        return f"10.{self.site}.{self.subnet}"

    @property
    def last_of_6(self) -> str:
        """The last two groups of its IPv6 addresses."""
        return f"{0x1000 + (self.number >> 12):04x}:{0x1000 + (self.number & 0xFFF):04x}"


class Block:
    """Rows with places to fill in. rows: how many; seconds: from its first row to the next block's."""

    def __init__(self, rows: list[str], moments: list[int]) -> None:
        text = "".join(f"{TIME} {row}\r\n" for row in rows).encode()
        self._text = np.frombuffer(text, np.uint8)
        self._ends = np.flatnonzero(self._text == ord("\n")).astype(np.int32) + 1
        self._moments = np.array(moments, np.int64)
        self._places = {word: _places(text, word.encode()) for word in (TIME, PREFIX, OWN, OWN_6)}
        ports = [(match.start(1), int(match[1])) for match in _PORT.finditer(text)]
        self._port_places = _spans(np.array([place for place, _ in ports], np.int32), 5)
        self._ports = np.array([port for _, port in ports], np.int64)
        self.rows = len(rows)

    def seconds(self, rows: int) -> int:
        """Return how long the first so many rows take."""
        return int(self._moments[rows - 1]) + 1

    def filled(self, rows: int, start: int, address: Address, ports: int) -> Bytes:
        """Return the first so many rows. start: seconds since BEGIN; ports: how far the computer's own are moved."""
        end = int(self._ends[rows - 1])
        out = self._text[:end].copy()
        out[self._within(TIME, end)] = stamps(start + self._moments[:rows])
        for word, value in ((PREFIX, address.prefix), (OWN, str(address.host)), (OWN_6, address.last_of_6)):
            out[self._within(word, end)] = np.frombuffer(value.encode(), np.uint8)
        count = int(np.searchsorted(self._port_places[:, 0], end))
        out[self._port_places[:count]] = _digits()[(self._ports[:count] - FIRST_PORT + ports) % PORTS]
        return out

    def _within(self, word: str, end: int) -> Places:
        places = self._places[word]
        return places[: int(np.searchsorted(places[:, 0], end))]


@functools.cache
def blocks(dialect: str) -> list[Block]:
    """Return the blocks of one of the dialects of BLOCKS."""
    computer = Computer(sorted(BLOCKS).index(dialect) + 1, NETWORK)
    return [_block(computer, dialect) for _ in range(BLOCKS[dialect])]


def _block(computer: Computer, dialect: str) -> Block:
    rows: list[str] = []
    while len(rows) < ROWS:
        rows += [said for row in computer.rows(ROWS // 4) for said in in_dialect(row, dialect)]
    moments, moment = [], 0
    for index in range(ROWS):
        moments.append(moment)
        if index % LOST_EVERY == LOST_EVERY - 1:
            rows[index] = f"INFO-EVENTS-LOST{' -' * 12} {computer.random.randint(1, 90)} -"
            moments[-1] += LOST_LATER
        moment += computer.random.choice((0, 0, 0, 1, 1, 2, 3))
    return Block(rows[:ROWS], moments)


def in_dialect(row: str, dialect: str) -> Iterator[str]:
    """Yield the row (without its time) as a Windows of this dialect writes it; nothing if it does not.

    pid: Windows that names the process in column 18. xp: Windows XP and Server 2003, which log opened and closed
    connections and filter nothing that goes out. drops: a Windows that was told to log only what is dropped.
    """
    action, protocol, rest = row.split(" ", 2)
    if dialect == "pid":
        yield f"{row} {4 if ' 445 ' in row else 1012}"
    elif dialect == "drops":
        yield from [row] * (action == "DROP")
    elif dialect != "xp" or (action == "DROP" and not row.endswith(" SEND")):
        yield row
    elif action == "ALLOW" and protocol in ("TCP", "UDP"):
        opened = "OPEN" if row.endswith(" SEND") else "OPEN-INBOUND"
        ends = " ".join(rest.split(" ")[:4])
        yield f"{opened} {protocol} {ends}{' -' * 9}"
        if opened == "OPEN":
            yield f"CLOSE {protocol} {ends}{' -' * 9}"


def stamps(seconds: NDArray[np.int64]) -> Bytes:
    """Return moments as a log writes them, one a row. seconds: since BEGIN."""
    days, clock = _calendar()
    out = np.empty((len(seconds), len(TIME)), np.uint8)
    out[:, :10], out[:, 10], out[:, 11:] = days[seconds // 86400], ord(" "), clock[seconds % 86400]
    return out


def stamp(seconds: int) -> str:
    """Return one moment as a log writes it."""
    return stamps(np.array([seconds])).tobytes().decode()


@functools.cache
def _calendar() -> tuple[Bytes, Bytes]:
    days = "".join(f"{BEGIN + timedelta(days=day):%Y-%m-%d}" for day in range(DAYS))
    clock = "".join(f"{BEGIN + timedelta(seconds=second):%H:%M:%S}" for second in range(86400))
    return _table(days, 10), _table(clock, 8)


@functools.cache
def _digits() -> Bytes:
    return _table("".join(str(FIRST_PORT + port) for port in range(PORTS)), 5)


def _table(text: str, width: int) -> Bytes:
    return np.frombuffer(text.encode(), np.uint8).reshape(-1, width)


def _places(text: bytes, word: bytes) -> Places:
    starts = np.array([match.start() for match in re.finditer(re.escape(word), text)], np.int32)
    return _spans(starts, len(word))


def _spans(starts: Places, width: int) -> Places:
    spans: Places = np.add.outer(starts, np.arange(width, dtype=np.int32))
    return spans
