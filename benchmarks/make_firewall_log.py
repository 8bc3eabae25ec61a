"""Generate a large Windows Firewall log, in constant memory, the same bytes for the same seed.

    python benchmarks/make_firewall_log.py OUT.log --rows 4000000 [--seed 1]

The mix is that of ordinary computers whose logging is on for dropped and for allowed connections, measured over nine
logs of such: a third web connections, a quarter name look-ups, a quarter dropped multicast and broadcast (in
duplicates), a tenth connections within the computer (logged twice, SEND and RECEIVE), some ICMP and IGMP, few lost
events. A site server tries to push now and then, at a firewall that drops SMB: three SYNs, 0, 3 and 9 seconds on.
About 88 bytes a row, so that 4 million rows are 350 MB.
"""

from __future__ import annotations

import argparse
import random
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime, timedelta
from pathlib import Path

HEADER = (
    "#Version: 1.5\r\n#Software: Microsoft Windows Firewall\r\n#Time Format: Local\r\n"
    "#Fields: date time action protocol src-ip dst-ip src-port dst-port size tcpflags tcpsyn tcpack tcpwin "
    "icmptype icmpcode info path\r\n\r\n"
)
BEGIN = datetime(2024, 6, 5, 10, 35, 6)
BATCH = 20_000
TCP_SEEN, UDP_SEEN = "0 - 0 0 0 - - -", "0 - - - - - - -"


@dataclass(frozen=True)
class Network:
    """The addresses of one computer (IPv4, link-local, global IPv6) and of those around it."""

    me: str = "192.168.100.10"
    me_link_local: str = "fe80::86:562d:8cda:d91e"
    me_global: str = "2a01:110:20:10::4a9"
    gateway: str = "192.168.100.1"
    broadcast: str = "192.168.100.255"
    site_server: str = "192.168.100.5"
    neighbours: tuple[str, ...] = tuple(f"192.168.100.{number}" for number in range(20, 90))


class Computer:
    """One computer and its network: what its firewall logs."""

    def __init__(self, seed: int, network: Network | None = None) -> None:
        self.random = random.Random(seed)
        self.network = network or Network()
        self.servers = [self._address() for _ in range(4000)]
        self.weights = [1 / (number + 3) for number in range(len(self.servers))]
        self.port = 49152

    def _address(self) -> str:
        pick = self.random.randint
        if pick(0, 30) == 0:
            return f"2a01:110:{pick(16, 65535):x}:{pick(1, 255):x}::{pick(1, 65535):x}"
        return f"{pick(1, 223)}.{pick(0, 255)}.{pick(0, 255)}.{pick(1, 254)}"

    def _own_port(self) -> int:
        self.port = 49152 + (self.port - 49152 + self.random.randint(1, 3)) % 16384
        return self.port

    def rows(self, count: int) -> list[str]:
        """Return at least this many rows without their times, some of them later than others."""
        kinds = self.random.choices(
            (self._web, self._name, self._group, self._loopback, self._ping, self._igmp, self._scan),
            (38, 30, 24, 6, 2, 0.3, 0.2),
            k=count,
        )
        servers = iter(self.random.choices(self.servers, self.weights, k=count))
        return [row for kind in kinds for row in kind(next(servers))]

    def _web(self, server: str) -> Iterator[str]:
        own = self.network.me_global if ":" in server else self.network.me
        port = self.random.choice((443, 443, 443, 80))
        yield f"ALLOW TCP {own} {server} {self._own_port()} {port} {TCP_SEEN} SEND"

    def _name(self, _: str) -> Iterator[str]:
        yield f"ALLOW UDP {self.network.me} {self.network.gateway} {self._own_port()} 53 {UDP_SEEN} SEND"

    def _group(self, _: str) -> Iterator[str]:
        neighbour, size = self.random.choice(self.network.neighbours), self.random.randint(60, 400)
        groups = (("224.0.0.251", 5353), ("239.255.255.250", 1900), (self.network.broadcast, 137))
        group, port = self.random.choice(groups)
        row = f"DROP UDP {neighbour} {group} {port} {port} {size} - - - - - - - RECEIVE"
        yield row
        if self.random.random() < 0.3:
            yield row
            yield f"DROP UDP {self.network.me_link_local} ff02::fb 5353 5353 {size + 20} - - - - - - - RECEIVE"

    def _loopback(self, _: str) -> Iterator[str]:
        row = f"ALLOW TCP 127.0.0.1 127.0.0.1 {self._own_port()} 1120 {TCP_SEEN}"
        yield f"{row} SEND"
        yield f"{row} RECEIVE"

    def _ping(self, server: str) -> Iterator[str]:
        yield f"ALLOW ICMP {self.network.me} {server} - - 0 - - - - {128 if ':' in server else 8} 0 - SEND"

    def _igmp(self, _: str) -> Iterator[str]:
        yield f"ALLOW 2 {self.network.me} 224.0.0.22 - - 0 - - - - - - - SEND"

    def _scan(self, server: str) -> Iterator[str]:
        port, sequence = self.random.randint(1024, 65535), self.random.randrange(1 << 32)
        yield f"DROP TCP {server} {self.network.me} {port} 3389 48 S {sequence} 0 65535 - - - RECEIVE"

    def push(self) -> list[tuple[int, str]]:
        """Return the rows of a push that is dropped at SMB, each with its second."""
        port, sequence = self._own_port(), self.random.randrange(1 << 32)
        ends = f"{self.network.site_server} {self.network.me}"
        return [
            (second, f"DROP TCP {ends} {port} 445 {size} S {sequence} 0 8192 - - - RECEIVE")
            for second, size in ((0, 52), (3, 52), (9, 48))
        ]


def batches(rows: int, seed: int) -> Iterator[str]:
    """Yield the text of the log in pieces, the header apart."""
    computer, moment, number = Computer(seed), BEGIN, 0
    lost = "INFO-EVENTS-LOST - - - - - - - - - - - - 59 -"
    while number < rows:
        times: dict[int, list[str]] = {}
        for index, row in enumerate(computer.rows(BATCH * 9 // 10)):
            times.setdefault(index // 4, []).append(row)
        for second, row in [*computer.push(), (300, lost)]:
            times.setdefault(second, []).append(row)
        lines = []
        for second, together in sorted(times.items()):
            stamp = (moment + timedelta(seconds=second)).strftime("%Y-%m-%d %H:%M:%S")
            lines += [f"{stamp} {row}\r\n" for row in together]
        lines = lines[: rows - number]
        number += len(lines)
        moment += timedelta(seconds=len(times))
        yield "".join(lines)


def main() -> None:
    """Run as a command."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("out", type=Path)
    parser.add_argument("--rows", type=int, default=4_000_000)
    parser.add_argument("--seed", type=int, default=1)
    given = parser.parse_args()
    with given.out.open("w", encoding="ascii", newline="") as out:
        out.write(HEADER)
        for text in batches(given.rows, given.seed):
            out.write(text)
    print(f"{given.out}: {given.rows:,} rows, {given.out.stat().st_size / 1e6:.0f} MB")


if __name__ == "__main__":
    main()
