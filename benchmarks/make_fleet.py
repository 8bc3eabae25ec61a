"""Generate the firewall logs of a fleet, as an administrator's share holds them, and what is true of every computer.

    python benchmarks/make_fleet.py OUT [--hosts 2000] [--bytes 4GB] [--seed 1] [--tiny]

    OUT/logs/SITE/PC00001/pfirewall.log     and pfirewall.log.old of some
    OUT/truth.csv                           a line for each computer, see Truth
    OUT/hosts.csv                           who should be there: auditor batch ... --host-map OUT/hosts.csv
    OUT/site.toml                           site servers and management points: auditor ... --site OUT/site.toml

The same bytes for the same arguments, in constant memory. Every computer is in one of STATES; how its log was written,
saved and copied is one of SHAPES. The first computers go through all of them, so that forty show each. --tiny makes
every log about 10 kB and one file a computer, to measure what a file costs.
"""

from __future__ import annotations

import argparse
import csv
import gzip
import json
import random
import re
import shutil
import sys
import zlib
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, ExitStack
from dataclasses import asdict, dataclass, field, fields, replace
from pathlib import Path
from typing import IO, Any

import numpy as np
from log_blocks import Address, blocks, in_dialect, stamp
from make_firewall_log import HEADER, TCP_SEEN

ROW_BYTES = 88
TINY_BYTES = 10_000
LEAST_ROWS = 60
HOSTS_OF_SUBNET = 100
SITES = (
    *("BERLIN", "BOSTON", "CAIRO", "CHENNAI", "DALLAS", "DUBLIN", "GENEVA", "HANOI", "LAGOS", "LIMA", "LISBON"),
    *("LONDON", "LYON", "MADRID", "MILAN", "OSAKA", "OSLO", "PARIS", "ROME", "SEOUL", "TUNIS", "VIENNA", "WARSAW"),
)
HOSTS_OF_SITE = 250
RETRY_S, MOST_RETRIES = 3600, 168  # a push that fails is tried again every hour for a week
HEADERS = {"pid": HEADER.replace(" path\r\n", " path pid\r\n"), "xp": HEADER.removesuffix("\r\n")}
ROWS = ("icmp-echo", "smb", "rpc-endpoint-mapper", "rpc-dynamic", "http-management-point", "https-management-point")
ECHO, SMB, MAPPER, DYNAMIC, HTTP, HTTPS = ROWS
WEB = frozenset({HTTP, HTTPS})
NOT_A_LOG = "The log of this computer is in the folder of its predecessor, see ticket 4711.\r\n" * 30
MALFORMED = (
    b"2024-01-01 10:00:00 DROP TCP 10.0.0.5\r\n",
    b"2024-01-01 10:00:01 DROP UDP 10.0.0.9 224.0.0.251 5353 5353 73 - - - - - - - RECEIVE 4 17 and more\r\n",
    b"2024-13-41 10:00:01 DROP UDP 10.0.0.9 224.0.0.251 5353 5353 73 - - - - - - - RECEIVE\r\n",
    "Zugriff verweigert: Zeile übersprungen\r\n".encode("latin-1"),
)


# what is true of a computer


@dataclass(frozen=True)
class Push:
    """What a log says of one push. dropped, unlogged: rows of the document; all others are let through."""

    dropped: frozenset[str] = frozenset()
    unlogged: frozenset[str] = frozenset()


@dataclass(frozen=True)
class State:
    """What is true of a computer, and what an audit of client push has to come to.

    before, after: the pushes until and from a certain moment, None for no push at all; before and after differ where
    somebody changed the firewall. share: how many of a thousand computers; dialect: "" for any; content: of a file that
    holds no rows; unreadable: whether an audit cannot read it at all.
    """

    expected: str
    share: int
    before: Push | None = None
    after: Push | None = None
    blamed: tuple[str, ...] = ()
    dialect: str = ""
    content: Callable[[random.Random], bytes] | None = None
    unreadable: bool = False


def _fails(share: int, *dropped: str, missing: frozenset[str] | None = None, dialect: str = "") -> State:
    """Return the state in which these rows are dropped, and nothing is tried that comes after them."""
    unlogged = frozenset(ROWS[ROWS.index(dropped[-1]) + 1 :]) if missing is None else missing
    push = Push(frozenset(dropped), unlogged)
    return State("fails", share, push, push, dropped, dialect)


def _text(_: random.Random) -> bytes:
    return NOT_A_LOG.encode()


def _ruined_gzip(_: random.Random) -> bytes:
    return gzip.compress(HEADER.encode(), mtime=0)[:12]


OPEN, SMB_DROPPED = Push(), Push(frozenset({SMB}), frozenset({MAPPER, DYNAMIC}) | WEB)
STATES = {
    "all-allowed": State("allowed", 300, OPEN, OPEN),
    "smb-dropped": _fails(180, SMB),
    "rpc-endpoint-mapper-dropped": _fails(60, MAPPER),
    "rpc-dynamic-dropped": _fails(100, DYNAMIC),
    "icmp-echo-dropped": _fails(50, ECHO, missing=frozenset()),
    "all-inbound-dropped": _fails(80, ECHO, SMB, MAPPER),
    "http-dropped": _fails(30, HTTP, HTTPS),
    "first-dropped": State("allowed", 40, SMB_DROPPED, OPEN),
    "first-allowed": State("fails", 20, OPEN, SMB_DROPPED, (SMB,)),
    "nothing-to-the-management-point": State("unproven", 30, Push(unlogged=WEB), Push(unlogged=WEB)),
    "only-drops-logged": _fails(30, SMB, missing=frozenset(ROWS) - {SMB}, dialect="drops"),
    "only-drops-logged-no-push": State("no-evidence", 10, dialect="drops"),
    "no-push": State("no-evidence", 40),
    "header-only": State("no-evidence", 10, content=lambda _: HEADER.encode()),
    "empty-file": State("no-evidence", 5, content=lambda _: b"", unreadable=True),
    "no-log": State("no-evidence", 5, content=_text, unreadable=True),
    "random-bytes": State("no-evidence", 5, content=lambda chance: chance.randbytes(20_000), unreadable=True),
    "ruined-gzip": State("no-evidence", 5, content=_ruined_gzip, unreadable=True),
}

# how its log was written, saved and copied, with how many of a thousand computers
SHAPES = {
    "plain": 600,
    "lf": 30,
    "utf-8-mark": 20,
    "utf-16-le": 30,
    "utf-16-be": 10,
    "gzip": 50,
    "gzip-cut": 10,
    "nul-before": 20,
    "nul-after": 20,
    "header-again": 30,
    "no-header": 10,
    "pid": 80,
    "pid-later": 10,
    "xp": 20,
    "malformed-rows": 20,
    "row-cut": 10,
    "profiles": 10,
    "copied": 10,
    "beside-text": 10,
}
SEVERAL_FILES = {"profiles", "copied", "beside-text"}
OTHER_DIALECT = {"pid", "pid-later", "xp"}


def _suits(shape: str, state: State, tiny: bool) -> bool:
    """Tell whether what is true of a computer in this state is still to be seen in a log of this shape."""
    if state.content is not None:
        return shape == "plain"
    if tiny and shape in SEVERAL_FILES:
        return False
    if shape == "xp":
        # It does not log the echo requests that it lets in, and drops nothing that goes out; and its dynamic ports are
        # those of other services today, so that a log alone does not tell which were meant.
        decided = state.expected in ("fails", "no-evidence") and not {HTTP, DYNAMIC} & {*state.blamed}
        return decided and not state.dialect
    if shape == "gzip-cut":
        return state.before == state.after
    return not state.dialect or shape not in OTHER_DIALECT


@dataclass
class Truth:
    """One computer and what an audit has to find.

    state, shape: of STATES and SHAPES; expected: the result of client push; blamed: ids of the requirements that make
    it fail; files: how many it has; unreadable: of them hold nothing that an audit could read; copies: of them are the
    same as another; rows, malformed: of the readable ones without copies; bytes: of all files.
    """

    host: str
    site: str
    address: str
    state: str
    shape: str
    expected: str
    blamed: str
    files: int = 0
    unreadable: int = 0
    copies: int = 0
    rows: int = 0
    malformed: int = 0
    bytes: int = 0


@dataclass(frozen=True)
class Host:
    """One computer. rows: how many its logs shall have, about; old: whether they fill two files."""

    name: str
    site: str
    site_number: int
    address: Address
    state: str
    shape: str
    rows: int
    old: bool
    chance: random.Random = field(compare=False)

    @property
    def site_server(self) -> str:
        """Address of the site server."""
        return f"10.{self.site_number}.10.5"

    @property
    def management_point(self) -> str:
        """Address of the management point."""
        return f"10.{self.site_number}.10.80"

    def truth(self) -> Truth:
        """Return what is known before its logs are written."""
        state = STATES[self.state]
        blamed = ";".join(f"client-push/{row}" for row in state.blamed)
        return Truth(self.name, self.site, str(self.address), self.state, self.shape, state.expected, blamed)


# the fleet


def fleet(hosts: int, total: int, seed: int, tiny: bool) -> Iterator[Host]:
    """Yield the computers. total: bytes of all logs together, about."""
    chance = random.Random(seed)
    states, shapes = list(STATES), list(SHAPES)
    sites = max(2, min(len(SITES), hosts // HOSTS_OF_SITE))
    of_site = -(-hosts // sites)
    of_subnet = max(1, min(HOSTS_OF_SUBNET, of_site // 3))
    weights = [1.0 if tiny else chance.lognormvariate(0, 0.8) for _ in range(hosts)]
    per_weight = total / ROW_BYTES / sum(weights)
    for number, weight in enumerate(weights):
        site, place = divmod(number, of_site)
        subnet, host = divmod(place, of_subnet)
        address = Address(100 + site, 100 + subnet, 100 + host, number)
        usual = random.Random(f"{seed} {address.prefix}").choice(list(STATES)[:8])
        state = _state(chance, usual) if not states else states.pop(0)
        shape = _shape(chance, shapes, STATES[state], tiny)
        yield Host(
            name=f"PC{number + 1:05}",
            site=SITES[site],
            site_number=address.site,
            address=address,
            state=state,
            shape=shape,
            rows=max(LEAST_ROWS, int(weight * per_weight / (2 if shape.startswith("utf-16") else 1))),
            old=not tiny and chance.random() < 0.3,
            chance=random.Random(f"{seed} {number}"),
        )


def _state(chance: random.Random, usual: str) -> str:
    """Return a state; computers of one subnet are often in the same."""
    if chance.random() < 0.4:
        return usual
    return chance.choices(list(STATES), [state.share for state in STATES.values()])[0]


def _shape(chance: random.Random, left: list[str], state: State, tiny: bool) -> str:
    """Return a shape, first those that no computer has yet."""
    suiting = [shape for shape in SHAPES if _suits(shape, state, tiny)]
    first = next((shape for shape in left if shape in suiting), None)
    if first is not None and state.content is None:
        left.remove(first)
        return first
    return chance.choices(suiting, [SHAPES[shape] for shape in suiting])[0]


# what a log holds, piece by piece


@dataclass
class Log:
    """Writes one log. moment: seconds, going on from row to row; rows, malformed: what was written."""

    host: Host
    dialect: str
    moment: int
    rows: int = 0
    malformed: int = 0

    def background(self, count: int) -> Iterator[bytes]:
        """Yield rows that have nothing to do with a push."""
        chance, every = self.host.chance, blocks(self.dialect)
        while count:
            block = chance.choice(every)
            taken = min(count, block.rows)
            yield block.filled(taken, self.moment, self.host.address, chance.randrange(1 << 14)).tobytes()
            self.moment += block.seconds(taken)
            self.rows += taken
            count -= taken

    def push(self, push: Push) -> bytes:
        """Return the rows of a push."""
        lines = [f"{stamp(self.moment + second)} {row}\r\n" for second, row in self._said(push)]
        self.moment += 120
        self.rows += len(lines)
        return "".join(lines).encode()

    def _said(self, push: Push) -> Iterator[tuple[int, str]]:
        second = 0
        for row in ROWS:
            if row in push.unlogged:
                continue
            tries = self._dropped(row) if row in push.dropped else [(0, self._allowed(row))]
            for later, text in tries:
                yield from ((second + later, said) for said in in_dialect(text, self.dialect))
            second += tries[-1][0] + 2 + 30 * (row == DYNAMIC)

    def _allowed(self, row: str) -> str:
        inbound = f"{self.host.site_server} {self.host.address}"
        if row == ECHO:
            return f"ALLOW ICMP {inbound} - - 0 - - - - 8 0 - RECEIVE"
        if row in WEB:
            return f"ALLOW TCP {self._outbound(row)} {TCP_SEEN} SEND"
        return f"ALLOW TCP {inbound} {self._port()} {self._to(row)} {TCP_SEEN} RECEIVE"

    def _dropped(self, row: str) -> list[tuple[int, str]]:
        """Return the tries of what is dropped, each with its second: what comes in is tried three times."""
        inbound = f"{self.host.site_server} {self.host.address}"
        if row == ECHO:
            return [(later, f"DROP ICMP {inbound} - - 60 - - - - 8 0 - RECEIVE") for later in (0, 5)]
        if row in WEB:
            return [(0, f"DROP TCP {self._outbound(row)} {TCP_SEEN} SEND")]
        ends = f"{inbound} {self._port()} {self._to(row)}"
        sequence = self.host.chance.randrange(1 << 32)
        tail = f"S {sequence} 0 8192 - - - RECEIVE"
        return [(later, f"DROP TCP {ends} {size} {tail}") for later, size in ((0, 52), (3, 52), (9, 48))]

    def _outbound(self, row: str) -> str:
        return f"{self.host.address} {self.host.management_point} {self._port()} {443 if row == HTTPS else 80}"

    def _port(self) -> int:
        return self.host.chance.randint(49152, 65535)

    def _to(self, row: str) -> int:
        dynamic = 1026 if self.dialect == "xp" else 49664 + self.host.chance.randrange(12)
        return {SMB: 445, MAPPER: 135, DYNAMIC: dynamic}[row]


def _pushes(state: State, rows: int, seconds: int) -> list[tuple[int, Push]]:
    """Return the pushes of a log, each with the row before which it comes. seconds: how long the log goes on."""
    if state.before is None or state.after is None:
        return []
    if state.before == state.after and not state.before.dropped:
        return [(rows // 4, state.before)]
    tries = max(1, min(MOST_RETRIES, seconds // RETRY_S))
    if state.before == state.after:
        return [(rows // 4 + rows * 2 // 3 * index // tries, state.before) for index in range(tries)]
    begin, end = (rows // 5, rows * 4 // 5) if state.before.dropped else (rows * 3 // 5, rows // 5)
    dropped, opened = (state.before, state.after) if state.before.dropped else (state.after, state.before)
    every = [(begin + rows // 5 * index // tries, dropped) for index in range(tries)]
    return sorted([*every, (end, opened)], key=lambda one: one[0])


# files


def write(host: Host, folder: Path) -> Truth:
    """Write the logs of a computer, and return what is true of it."""
    state, truth = STATES[host.state], host.truth()
    folder.mkdir(parents=True)
    if state.content is not None:
        (folder / "pfirewall.log").write_bytes(state.content(host.chance))
        truth.unreadable = int(state.unreadable)
    else:
        _write_logs(host, state, folder, truth)
    files = sorted(folder.iterdir())
    truth.files, truth.bytes = len(files), sum(path.stat().st_size for path in files)
    return truth


def _write_logs(host: Host, state: State, folder: Path, truth: Truth) -> None:
    dialect = state.dialect or (host.shape if host.shape in ("pid", "xp") else "modern")
    log = Log(host, dialect, moment=host.chance.randrange(100 * 86400, 200 * 86400))
    main = folder / ("pfirewall_Domain.log" if host.shape == "profiles" else "pfirewall.log")
    old = host.old and host.shape not in SEVERAL_FILES | {"gzip-cut", "pid-later"}
    split = host.rows * 2 // 3 if old else 0
    pushes = _pushes(state, host.rows, host.rows)  # a row a second, about
    if old:
        _write(log, main.with_name(f"{main.name}.old"), split, [one for one in pushes if one[0] < split])
    later = [(row - split, push) for row, push in pushes if row >= split]
    _write(log, main, host.rows - split, later)
    if host.shape == "profiles":
        _write(log, folder / "pfirewall_Public.log", LEAST_ROWS, [])
    elif host.shape == "copied":
        shutil.copyfile(main, folder / "pfirewall - Copy.log")
        truth.copies = 1
    elif host.shape == "beside-text":
        (folder / "pfirewall_note.log").write_bytes(NOT_A_LOG.encode())
        truth.unreadable = 1
    elif host.shape == "gzip-cut":
        log.rows, log.malformed = _cut(main)
    truth.rows, truth.malformed = log.rows, log.malformed


def _write(log: Log, path: Path, rows: int, pushes: Sequence[tuple[int, Push]]) -> None:
    """Write one file. pushes: each with the row before which it comes."""
    shape = log.host.shape
    with path.open("wb") as raw, _packed(raw, shape) as out:
        out.write({"utf-8-mark": b"\xef\xbb\xbf", "utf-16-le": b"\xff\xfe", "utf-16-be": b"\xfe\xff"}.get(shape, b""))
        out.write(bytes(4096) if shape == "nul-before" else b"")
        for text in _texts(log, rows, pushes):
            out.write(_saved(text, shape))
        out.write(bytes(8192) if shape == "nul-after" else b"")


def _texts(log: Log, rows: int, pushes: Sequence[tuple[int, Push]]) -> Iterator[bytes]:
    """Yield what a log holds, as Windows writes it, with what happened to it."""
    shape, header = log.host.shape, HEADERS.get(log.dialect, HEADER).encode()
    events: list[tuple[int, Push | str]] = sorted([*pushes, (rows // 3, shape)], key=lambda one: one[0])
    yield b"" if shape == "no-header" else header
    done = 0
    for row, event in events:
        yield from log.background(row - done)
        done = row
        if isinstance(event, Push):
            yield log.push(event)
        elif event == "header-again":
            yield header
        elif event == "pid-later":
            log.dialect = "pid"
            yield HEADERS["pid"].encode()
        elif event == "malformed-rows":
            log.malformed += len(MALFORMED)
            yield b"".join(MALFORMED)
    yield from log.background(rows - done)
    if shape == "row-cut":
        log.malformed += 1
        yield f"{stamp(log.moment)} DROP UDP {log.host.address} 224.0".encode()


def _packed(raw: IO[bytes], shape: str) -> AbstractContextManager[Any]:
    if shape in ("gzip", "gzip-cut"):
        return gzip.GzipFile(filename="", fileobj=raw, mode="wb", compresslevel=1, mtime=0)
    return raw


def _saved(text: bytes, shape: str) -> bytes:
    """Return a text as the program wrote it that saved the log again."""
    if shape == "lf":
        return text.replace(b"\r\n", b"\n")
    if shape.startswith("utf-16"):
        wide = np.zeros(2 * len(text), np.uint8)
        wide[int(shape == "utf-16-be") :: 2] = np.frombuffer(text, np.uint8)
        return wide.tobytes()
    return text


def _cut(path: Path) -> tuple[int, int]:
    """Cut a packed log, as a copy that was broken off, and return how many rows and broken rows are left."""
    with path.open("r+b") as packed:
        packed.truncate(path.stat().st_size * 3 // 5)
    rows, last = -HEADER.count("\n"), b""
    unpack = zlib.decompressobj(wbits=31)
    with path.open("rb") as packed:
        while piece := packed.read(1 << 16):
            lines = (last + unpack.decompress(piece)).split(b"\n")
            last = lines.pop()
            rows += len(lines)
    whole = last.strip().endswith((b" SEND", b" RECEIVE"))
    return rows + whole, int(bool(last.strip()) and not whole)


# the command


def _bytes(text: str) -> int:
    match = re.fullmatch(r"(\d+(?:\.\d+)?)\s*([kMG]?)B?", text)
    if not match:
        raise argparse.ArgumentTypeError(f"not a size such as 4GB or 20MB: {text}")
    return int(float(match[1]) * {"": 1, "k": 10**3, "M": 10**6, "G": 10**9}[match[2]])


def make(out: Path, hosts: int, total: int, seed: int, tiny: bool) -> Truth:
    """Write a fleet, and return the sums of what is true of its computers."""
    sums = Truth("", "", "", "", "", "", "")
    counted = [one.name for one in fields(Truth) if isinstance(getattr(sums, one.name), int)]
    servers: dict[str, str] = {}
    out.mkdir(parents=True, exist_ok=True)
    with ExitStack() as stack:
        rows = _table(out / "truth.csv", [one.name for one in fields(Truth)], stack)
        names = _table(out / "hosts.csv", ["host", "site", "address"], stack)
        for host in fleet(hosts, hosts * TINY_BYTES if tiny else total, seed, tiny):
            truth = write(host, out / "logs" / host.site / host.name)
            servers[host.site_server] = host.management_point
            rows.writerow(asdict(truth))
            names.writerow(asdict(truth))
            sums = replace(sums, **{name: getattr(sums, name) + getattr(truth, name) for name in counted})
    named = {"site-server": list(servers), "management-point": list(servers.values())}
    lines = [f"{role} = {json.dumps(those)}" for role, those in named.items()]
    (out / "site.toml").write_text("[roles]\n" + "\n".join(lines) + "\n", encoding="utf-8")
    return sums


def _table(path: Path, columns: list[str], stack: ExitStack) -> csv.DictWriter[str]:
    file = stack.enter_context(path.open("w", encoding="utf-8", newline=""))
    table = csv.DictWriter(file, columns, extrasaction="ignore", lineterminator="\n")
    table.writeheader()
    return table


def main() -> None:
    """Run as a command."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("out", type=Path)
    parser.add_argument("--hosts", type=int, default=2000)
    parser.add_argument("--bytes", type=_bytes, default=4 * 10**9, help="of all logs together, about, such as 4GB")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--tiny", action="store_true", help="logs of about 10 kB, one a computer; --bytes is not used")
    given = parser.parse_args()
    if given.out.exists() and any(given.out.iterdir()):
        sys.exit(f"{given.out}: not empty; name a new folder")
    sums = make(given.out, given.hosts, given.bytes, given.seed, given.tiny)
    size = f"{sums.files:,} files, {sums.bytes / 1e6:,.0f} MB"
    print(f"{given.out}: {given.hosts:,} hosts, {size}, {sums.rows:,} rows, {sums.unreadable:,} unreadable files")


if __name__ == "__main__":
    main()
