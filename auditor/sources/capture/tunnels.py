"""Encapsulations by their numbers: those that are read, and those that are only counted."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
from numpy.typing import NDArray

from auditor.sources.capture.byte_fields import Words
from auditor.sources.files.skip_counts import Tally

PORTS = 1 << 16
REGISTERED = 1024  # the first port that is no system port (RFC 6335)
UDP_HEADER = 8  # bytes

I64 = NDArray[np.int64]


@dataclass(frozen=True)
class Tunnels:
    """Numbers of encapsulations (rulesets/well-known/tunnels.toml).

    Attributes:
        read: UDP ports of those that are read, by name.
        unread: UDP ports of those that are not, by name.
        first_words: The first four bytes that packets of some of the unread ones begin with, by name.
        ip_protocols: Names of unread ones by IP protocol number.
        ether_types: Names of unread ones by EtherType.
        gre_control: GRE protocol types that carry no traffic of hosts.
    """

    read: dict[str, int]
    unread: dict[str, int]
    first_words: dict[str, tuple[int, ...]]
    ip_protocols: dict[int, str]
    ether_types: dict[int, str]
    gre_control: frozenset[int]

    @classmethod
    def of(cls, tables: dict[str, Any]) -> Tunnels:
        """Return the numbers that the tables of the file hold."""
        return cls(
            read=dict(tables["read"]),
            unread=dict(tables["unread"]),
            first_words={name: tuple(words) for name, words in tables["first_words"].items()},
            ip_protocols={number: name for name, number in tables["ip_protocols"].items()},
            ether_types={number: name for name, number in tables["ether_types"].items()},
            gre_control=frozenset(tables["gre_control"].values()),
        )

    def count_unread(self, ports: NDArray[np.uint32], at: I64, end: I64, words: Words, tally: Tally) -> None:
        """Count the UDP packets at ports of unread tunnels, whichever end has the port.

        A system port at the other end decides, as in Wireshark: a name server answers to any port.

        Args:
            ports: source and destination port of each packet, 16 bits each.
            at: where the UDP header of each packet begins.
            end: where what was captured of it ends.
            words: the bytes of the batch.
            tally: takes the counts.
        """
        source, destination = (ports >> 16).astype(np.int64), (ports & 0xFFFF).astype(np.int64)
        kinds = self._kinds[destination]
        other_port = np.where(kinds != 0, source, destination)
        kinds = np.where(kinds != 0, kinds, self._kinds[source])
        kinds[other_port < REGISTERED] = 0
        if not kinds.any():
            return
        for kind, name in enumerate(self.unread, 1):
            rows = np.flatnonzero(kinds == kind)
            if name in self.first_words and len(rows):
                rows = rows[_begins(at[rows], end[rows], words, self.first_words[name])]
            tally.add_unread(name, len(rows))

    @cached_property
    def _kinds(self) -> NDArray[np.uint8]:
        """For each port the number of the unread tunnel there, counted from 1; 0 at all others."""
        kinds = np.zeros(PORTS, np.uint8)
        kinds[list(self.unread.values())] = range(1, len(self.unread) + 1)
        return kinds


def _begins(at: I64, end: I64, words: Words, wanted: tuple[int, ...]) -> NDArray[np.bool_]:
    """Return which UDP packets begin with one of these words, or were cut before it."""
    cut = at + UDP_HEADER + 4 > end
    long_enough = words.u16(at + 4) >= UDP_HEADER + 4
    begins: NDArray[np.bool_] = np.isin(words.u32(at + UDP_HEADER), wanted)
    return long_enough & (cut | begins)
