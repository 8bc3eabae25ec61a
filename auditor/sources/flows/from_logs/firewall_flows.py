"""The flow table of a firewall log: its rows, those of one attempt together, each seen from the host that tried."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from auditor.ruleset.addresses import is_one_host
from auditor.sources.capture.packets import ECHO_REQUEST, ICMP, TCP, UDP
from auditor.sources.files.skip_counts import Tally
from auditor.sources.flows.columns import PROTOCOLS
from auditor.sources.flows.from_logs.attempts import (
    ANSWER,
    ATTEMPT,
    ICMP_TYPE,
    LATER,
    LOG_COLUMNS,
    NOT_SAID,
    Ints,
    LogAttempts,
    LogFlows,
    action_of,
    local_ends,
    protocol_of,
)
from auditor.sources.flows.from_logs.stale_packets import GIVEN_UP_S, RETRY_S, looks_like_reply
from auditor.sources.logs.firewall_log import FirewallLog
from auditor.sources.logs.firewall_rows import ACTIONS, DROP, LET_THROUGH, LOST, PATHS, RECEIVE, Rows
from auditor.sources.tcp_flags import ACK, FIN, RST, SYN

SAME_ATTEMPT_S = RETRY_S  # a pause that begins another attempt
TOGETHER = 96_000  # rows that are taken in at once: the more, the fewer remain; but they should stay in the cache
MOST_OPEN = 200_000  # attempts to which more rows may come
MOST_FLOWS = 400_000  # beyond this, attempts in the middle of very many alike are put together
KEPT_OF_EACH = (64, 16, 4)  # how many attempts between two hosts at one port are then still kept apart
PORT_BITS, KIND_BITS = 16, 25
ANY_KIND = (1 << KIND_BITS) - 1
OTHER_KIND = ANY_KIND & ~0xF  # whatever the action is
FEW = 256  # places that are sooner sorted as they are than mixed
INDEX = np.uint64((1 << 21) - 1)
HALF = np.uint64(31)
SPREAD = tuple(map(np.uint64, (0x9E3779B97F4A7C15, 0xC2B2AE3D27D4EB4F)))
LETS_THROUGH = np.array([action in LET_THROUGH for action in ACTIONS])


@dataclass(frozen=True)
class RowAttempts(LogAttempts):
    """What a firewall log says was tried: of the rows of an attempt the first, the second and the last are kept.

    Attributes:
        sequence: TCP sequence number of the SYN, 0 where the log does not say.
        second: Time of the second row, in seconds since 1970.
        second_line: Its line.
        last_line: Line of the last row.
    """

    sequence: Ints
    second: Ints
    second_line: Ints
    last_line: Ints


SECOND_NS = 10**9
NO_ATTEMPTS = RowAttempts(*[np.zeros(0, np.int64)] * len(RowAttempts.__dataclass_fields__))


@dataclass(frozen=True)
class LocalAddress:
    """An address of the computer that wrote the log.

    Attributes:
        address: As text.
        rows: How many rows show it.
        sure: Whether it sent from there itself.
    """

    address: str
    rows: int
    sure: bool


@dataclass(frozen=True)
class LogFacts:
    """What a log can show at all.

    Attributes:
        counts: Rows by action, protocol ("TCP", "UDP", "ICMP" or a number) and path, "-" where the log does not say.
        lines: All lines.
        comments: Lines that begin with #.
        blanks: Lines without text.
        malformed: Lines that could not be read, by what is wrong with them.
        lost: Events that Windows did not write (action INFO-EVENTS-LOST).
        lost_rows: How often it says so.
        local: The computer's own addresses, the likeliest first.
        clock: "utc" or "local", what the times are.
        fields: The columns of the last #Fields line.
        folded: Rows of attempts that were put together.
        unused: Rows that are in no flow, by what they are.
        first_ns: Earliest time of a row, in nanoseconds since 1970; None without rows.
        last_ns: Latest time of a row.
    """

    counts: Mapping[tuple[str, str, str], int]
    lines: int
    comments: int
    blanks: int
    malformed: Mapping[str, int]
    lost: int
    lost_rows: int
    local: tuple[LocalAddress, ...]
    clock: str
    fields: tuple[str, ...]
    folded: int
    unused: Tally
    first_ns: int | None
    last_ns: int | None

    @property
    def drops(self) -> int:
        """Rows that say that something was dropped."""
        return self._count(("DROP",))

    @property
    def allows(self) -> int:
        """Rows that say that something was let through (XP and 2003: opened)."""
        return self._count(LET_THROUGH)

    def _count(self, actions: Sequence[str]) -> int:
        return sum(count for (action, _, _), count in self.counts.items() if action in actions)


@dataclass(frozen=True, eq=False)
class FirewallFlows(LogFlows):
    """All flows of one firewall log."""

    attempts: RowAttempts
    facts: LogFacts
    tick_ns = SECOND_NS

    @property
    def columns(self) -> dict[str, str]:
        """As of every log; times have no zone where those of the log are local and no zone is set."""
        local = {} if self.facts.clock == "utc" else dict.fromkeys(("start", "end"), "datetime64[ns]")
        return LOG_COLUMNS | local

    @cached_property
    def heard(self) -> frozenset[str]:
        """Every address that something came from: this computer, and all senders of packets to its firewall."""
        sent = np.zeros(len(self.addresses), np.bool_)
        sent[self.attempts.sender[self.attempts.path == RECEIVE]] = True
        return frozenset(self.addresses[number] for number in np.flatnonzero(sent).tolist()).union(
            local_address.address for local_address in self.facts.local
        )

    def _entries(self, flow: int) -> list[tuple[int, int, int]]:
        """Return line, time and sequence number of the first, the second and the last row of a flow."""
        attempts = self.attempts
        lines = (attempts.first_line, attempts.second_line, attempts.last_line)
        rows = zip(lines, (attempts.start, attempts.second, attempts.end), strict=True)
        times = {line.item(flow): time.item(flow) * self.tick_ns for line, time in rows}
        return [(line, time, attempts.sequence.item(flow)) for line, time in times.items()]


class LogFlowBuilder:
    """Collect the rows of batch after batch, in file order; `finish` makes the flows of them."""

    def __init__(self) -> None:
        self._waiting: list[RowAttempts] = []
        self._waiting_count = 0
        self._closed: list[RowAttempts] = []
        self._open = NO_ATTEMPTS
        self._now = 0
        self._count = 0
        self._most = MOST_FLOWS
        self._kept_of_each: int | None = None

    def add(self, rows: Rows) -> None:
        """Take in one batch."""
        if not len(rows):
            return
        seen = rows.action != LOST  # that events were lost is written later than the rows behind it
        if seen.any():
            self._now = int(rows.time_s[len(rows) - 1 - int(seen[::-1].argmax())])
        self._waiting.append(_single(rows))
        self._waiting_count += len(rows)
        if self._waiting_count >= TOGETHER:
            self._take_in()

    def _take_in(self) -> None:
        """Put the rows that wait to the attempts that they belong to, and close those to which no more can come."""
        merged = self._with_waiting()
        recent = np.abs(merged.end - self._now) <= 2 * SAME_ATTEMPT_S
        recent[: max(0, len(merged) - MOST_OPEN)] = False
        self._close(merged.only(~recent))
        self._open = merged.only(recent)

    def _with_waiting(self) -> RowAttempts:
        """Return the open attempts with the rows that wait put to them."""
        if not self._waiting:
            return self._open
        new = _joined(self._waiting)
        self._waiting.clear()
        self._waiting_count = 0
        if self._kept_of_each:
            new = _folded(new, self._kept_of_each)
        return _merged(_joined([self._open, new]))

    def finish(self, log: FirewallLog, source: str) -> FirewallFlows:
        """Return the flows of all rows; the builder is used up.

        Args:
            log: What was read.
            source: What the flow table calls it.
        """
        self._close(self._with_waiting())
        attempts = _in_order(_joined(self._closed))
        if self._kept_of_each:
            attempts = _folded(attempts, self._kept_of_each)
        attempts = _without_late(attempts)
        self._closed, self._open = [], NO_ATTEMPTS
        seen, is_flow, account = attempts.only(attempts.action != LOST), _is_flow(attempts), log.account
        flows = attempts.only(is_flow)
        facts = LogFacts(
            counts=_by_class(seen),
            lines=account.lines,
            comments=account.comments,
            blanks=account.blanks,
            malformed=dict(account.malformed),
            lost=account.lost,
            lost_rows=account.lost_rows,
            local=_local(attempts, log.addresses),
            clock="utc" if log.in_utc else "local",
            fields=log.fields,
            folded=int(flows.rows[flows.src_port == NOT_SAID].sum()),
            unused=_unused(attempts, np.flatnonzero(~is_flow)),
            first_ns=int(seen.start.min()) * SECOND_NS if len(seen) else None,
            last_ns=int(seen.end.max()) * SECOND_NS if len(seen) else None,
        )
        return FirewallFlows(source, flows, log.addresses, facts)

    def _close(self, attempts: RowAttempts) -> None:
        self._closed.append(attempts)
        self._count += len(attempts)
        if self._count <= self._most:
            return
        closed = _in_order(_joined(self._closed))
        for most in KEPT_OF_EACH[KEPT_OF_EACH.index(self._kept_of_each or KEPT_OF_EACH[0]) :]:
            self._kept_of_each = most
            closed = _folded(closed, most)
            if len(closed) <= MOST_FLOWS // 2:
                break
        self._closed, self._count = [closed], len(closed)
        self._most = max(MOST_FLOWS, 2 * len(closed))


def _by_class(attempts: RowAttempts) -> dict[tuple[str, str, str], int]:
    """Return how many rows there were of each action, protocol and path."""
    rows = np.bincount(attempts.protocol << 6 | attempts.path << 3 | attempts.action, attempts.rows)
    classes = np.flatnonzero(rows)
    counts = {}
    for code, count in zip(classes.tolist(), rows[classes].tolist(), strict=True):
        protocol, path, action = code >> 6, code >> 3 & 7, code & 7
        name = PROTOCOLS[protocol].upper() if protocol in PROTOCOLS else str(protocol)
        counts[ACTIONS[action], name, PATHS[path]] = int(count)
    return counts


def _unused(attempts: RowAttempts, places: Ints) -> Tally:
    """Count the rows at places that are in no flow, by what they are."""
    unused: Counter[str] = Counter()
    columns = (column[places].tolist() for column in (attempts.kind, attempts.dst_port, attempts.rows))
    for kind, icmp, rows in zip(*columns, strict=True):
        protocol = protocol_of(kind)
        name = f"ICMP type {icmp >> ICMP_TYPE}" if protocol == ICMP else f"IP protocol {protocol}"
        unused["lost events" if action_of(kind) == LOST else name] += rows
    return Tally(unused)


def _is_flow(attempts: RowAttempts) -> NDArray[np.bool_]:
    """Return which belong in the flow table: TCP, UDP and echo requests, as of a capture."""
    protocol, icmp = attempts.protocol, attempts.dst_port >> ICMP_TYPE
    echo = (protocol == ICMP) & ((icmp == ECHO_REQUEST[4]) | (icmp == ECHO_REQUEST[6]))
    is_flow: NDArray[np.bool_] = ((protocol == TCP) | (protocol == UDP) | echo) & (attempts.action != LOST)
    return is_flow


def _local(attempts: RowAttempts, addresses: Sequence[str]) -> tuple[LocalAddress, ...]:
    """Return the addresses of the computer whose firewall it is."""
    local_addresses = [
        LocalAddress(addresses[number], rows, sent)
        for _, number, rows, sent in local_ends(attempts)
        if is_one_host(addresses[number]) and (sent or not addresses[number].endswith((".255", ".0")))
    ]
    return tuple(sorted(local_addresses, key=lambda local: (not local.sure, -local.rows, local.address)))


def _single(rows: Rows) -> RowAttempts:
    """Return each row as an attempt, seen from the host that tried.

    The sender of a SYN tried; the sender of its answer did not; of any other packet of a connection the side with the
    higher port is taken for the one that tried, as of captures. Windows gives no flags of what it drops on the way out:
    there the ports tell answers. What it allows it logs once a connection, when that begins.
    """
    has_ports, silent = (rows.protocol == TCP) | (rows.protocol == UDP), rows.flags == 0
    late = silent & (rows.action == DROP) & has_ports & looks_like_reply(rows.src_port, rows.dst_port)
    kind = rows.protocol.astype(np.int64) << 16 | rows.path.astype(np.int64) << 8 | rows.action
    src, dst, src_port, dst_port = rows.src, rows.dst, rows.src_port, rows.dst_port
    icmp = np.flatnonzero(rows.protocol == ICMP)
    if len(icmp):
        dst_port = _changed(dst_port, icmp, src_port[icmp] << ICMP_TYPE | dst_port[icmp])
        src_port = _changed(src_port, icmp, 0)
    odd = np.flatnonzero(late | ~silent)  # all others are first ones
    if len(odd):
        flags = rows.flags[odd]
        opening, ack = flags & (SYN | RST | FIN) == SYN, flags & ACK != 0
        packet = np.where(opening, np.where(ack, ANSWER, ATTEMPT), LATER)
        turned = (packet == ANSWER) | ((packet == LATER) & (src_port[odd] < dst_port[odd]))
        kind[odd] |= packet << 4 | turned.astype(np.int64) << 7
        back = odd[turned]
        src, dst = _changed(src, back, dst[back]), _changed(dst, back, src[back])
        src_port, dst_port = _changed(src_port, back, dst_port[back]), _changed(dst_port, back, src_port[back])
    return RowAttempts(
        src=src,
        dst=dst,
        src_port=src_port,
        dst_port=dst_port,
        kind=kind,
        sequence=rows.sequence,
        process=rows.process,
        rows=np.ones(len(rows), np.int64),
        start=rows.time_s,
        second=rows.time_s,
        end=rows.time_s,
        first_line=rows.line,
        second_line=rows.line,
        last_line=rows.line,
    )


def _joined(parts: Sequence[RowAttempts]) -> RowAttempts:
    parts = [part for part in parts if len(part)] or parts[:1]
    if len(parts) == 1:
        return parts[0]
    joined: dict[tuple[int, ...], Ints] = {}
    columns = []
    for arrays in zip(*(vars(part).values() for part in parts), strict=True):
        key = tuple(map(id, arrays))
        if key not in joined:  # as in `at`
            joined[key] = np.concatenate(arrays)
        columns.append(joined[key])
    return RowAttempts(*columns)


def _merged(attempts: RowAttempts) -> RowAttempts:
    """Put the rows of one attempt together. Those given, in the order of the log, may be several rows already.

    A new attempt begins where the firewall decides otherwise, the SYN has another number, another process is named, or
    after a pause.
    """
    # Rows 10.0.0.5:50000 > 10.0.0.20:445 at 0 s, 3 s and 9 s are the three SYNs of one attempt; one at 90 s is another,
    # as is one at 9 s that was let through. All rows of the same ends stand together in `order`, in the order of the
    # log.
    ports = attempts.src_port << PORT_BITS | attempts.dst_port
    order, new = _sorted(attempts.src << 32 | attempts.dst, ports << KIND_BITS | attempts.kind & OTHER_KIND)
    again = np.flatnonzero(~new)  # few rows have the same ends as another
    current, previous = order[again], order[again - 1]
    is_new = np.abs(attempts.start[current] - attempts.end[previous]) > SAME_ATTEMPT_S
    for column in (attempts.kind, attempts.sequence, attempts.process):
        is_new |= column[current] != column[previous]
    new[again[is_new]] = True
    return _put_together(attempts, order, new)[0]


def _sorted(first_key: Ints, second_key: Ints) -> tuple[Ints, NDArray[np.bool_]]:
    """Return an order in which places equal in both stand together, each in the order given, and where others begin."""
    if len(first_key) <= FEW:
        return _sorted_as_they_are(first_key, second_key)
    # To sort by two keys (lexsort) takes ten times as long as this. Both are mixed to one number, whose lowest bits are
    # the place: equal keys have the same upper bits, stand together, and stay in their order. Which of two other keys
    # comes first does not matter. That they have the same upper bits is unlikely, is seen below, and sorted anew.
    mixed = first_key.view(np.uint64) * SPREAD[0]
    mixed = (mixed ^ mixed >> HALF ^ second_key.view(np.uint64)) * SPREAD[1]
    mixed ^= mixed >> HALF
    if len(mixed) > int(INDEX):
        return _sorted_as_they_are(first_key, second_key)
    both = np.sort(mixed & ~INDEX | np.arange(len(mixed), dtype=np.uint64))
    order = (both & INDEX).view(np.int64)
    new = _differ(first_key[order], second_key[order])
    if (new[1:] & ((both[1:] ^ both[:-1]) <= INDEX)).any():  # two different places were mixed to the same number
        return _sorted_as_they_are(first_key, second_key)
    return order, new


def _sorted_as_they_are(first_key: Ints, second_key: Ints) -> tuple[Ints, NDArray[np.bool_]]:
    order = np.lexsort((first_key, second_key))
    return order, _differ(first_key[order], second_key[order])


def _differ(first_key: Ints, second_key: Ints) -> NDArray[np.bool_]:
    """Return which places differ from the one before."""
    new = np.ones(len(first_key), np.bool_)
    new[1:] = (first_key[1:] != first_key[:-1]) | (second_key[1:] != second_key[:-1])
    return new


def _put_together(attempts: RowAttempts, order: Ints, new: NDArray[np.bool_]) -> tuple[RowAttempts, Ints]:
    """Put those that stand together in an order into one each, from one that is new up to the next.

    Each stays at the place of its first, so that the order of the log stays. Return also the places of those that are
    made of several.
    """
    # Order 0 2 1 with T F T: rows 0 and 2 become one, at place 0, and row 1 stays alone at place 1.
    begin, size = _stretches(new)
    more = np.flatnonzero(size > 1)
    heads = np.zeros(len(attempts), np.bool_)
    heads[order[begin]] = True
    merged = attempts.only(heads)
    if not len(more):
        return merged, more
    members = order[np.repeat(size > 1, size)]
    start = np.append(0, np.cumsum(size[more])[:-1])
    first_place, second_place = order[begin[more]], order[begin[more] + 1]
    alone = attempts.rows[first_place] == 1
    place = (np.cumsum(heads) - 1)[first_place]
    changed = {
        "rows": np.add.reduceat(attempts.rows[members], start),
        "start": np.minimum.reduceat(attempts.start[members], start),
        "end": np.maximum.reduceat(attempts.end[members], start),
        "second": np.where(alone, attempts.start[second_place], attempts.second[first_place]),
        "second_line": np.where(alone, attempts.first_line[second_place], attempts.second_line[first_place]),
        "last_line": np.maximum.reduceat(attempts.last_line[members], start),
    }
    columns = {name: _changed(getattr(merged, name), place, values) for name, values in changed.items()}
    return replace(merged, **columns), place


def _stretches(new: NDArray[np.bool_]) -> tuple[Ints, Ints]:
    """Return where each stretch begins, and how many places it has.

    Args:
        new: Where one begins; it does at the first.
    """
    begin = np.flatnonzero(new)
    return begin, np.append(begin[1:], len(new))[: len(begin)] - begin


def _changed(column: Ints, place: Ints, values: Ints | int) -> Ints:
    column = column.copy()
    column[place] = values
    return column


def _without_late(attempts: RowAttempts) -> RowAttempts:
    """Make dropped packets of connections that the same firewall had let through what they are: later ones.

    Where the log has the flags it is a SYN, which with the same ports may also be a new connection, some time later.

    Args:
        attempts: In order of their first lines.
    """
    action, packet = attempts.action, attempts.packet
    tcp = (attempts.protocol == TCP) & (action != LOST) & (attempts.src_port != NOT_SAID)
    allowed, dropped = tcp & LETS_THROUGH[action], tcp & (action == DROP) & (packet != LATER)
    if not (allowed.any() and dropped.any()):
        return attempts
    connections = attempts.only(tcp)
    allowed, dropped, is_attempt = allowed[tcp], dropped[tcp], packet[tcp] == ATTEMPT
    latest, other_way = connections.latest_allowed(allowed)
    pause = connections.start - connections.end[latest]
    soon = (pause <= RETRY_S) & (is_attempt | (pause > GIVEN_UP_S))
    late = (latest >= 0) & dropped & (connections.start >= connections.start[latest])
    late &= soon | ((connections.sequence == 0) & is_attempt)
    if not late.any():
        return attempts
    late_of_all, turned = (np.zeros(len(attempts), np.bool_) for _ in range(2))
    late_of_all[tcp], turned[tcp] = late, late & other_way
    return attempts.marked_late(late_of_all, turned)


def _in_order(attempts: RowAttempts) -> RowAttempts:
    """Return attempts in order of their first lines."""
    line = attempts.first_line
    if (line[1:] >= line[:-1]).all():
        return attempts
    order = np.argsort(line, kind="stable")  # which is quick where most are in order, as here
    return attempts.at(order)


def _folded(attempts: RowAttempts, kept_of_each: int) -> RowAttempts:
    """Keep the first and the last attempts between two hosts at one port; put those between together.

    attempts: in order of their first lines. A log that is far larger than Windows makes them holds millions of look-ups
    and web connections that are all alike; what decides, the latest attempts and those before a change, stays.
    """
    order, new = _sorted(attempts.src << 32 | attempts.dst, attempts.dst_port << KIND_BITS | attempts.kind & ANY_KIND)
    begin, size = _stretches(new)
    many, half = np.flatnonzero(size > kept_of_each), kept_of_each // 2
    # Of six attempts of which four are kept, 1 is put at the third and -1 at the fifth: their sum so far is 0 0 1 1 0
    # 0, which is the middle.
    edges = np.zeros(len(new), np.int8)
    edges[begin[many] + half] += 1
    edges[begin[many] + size[many] - half] -= 1
    middle = np.cumsum(edges, dtype=np.int8).view(np.bool_)
    heads = new | ~middle
    heads[1:] |= ~middle[:-1]  # those in the middle stand together, behind the first ones
    folded, place = _put_together(attempts, order, heads)
    return replace(
        folded, src_port=_changed(folded.src_port, place, NOT_SAID), sequence=_changed(folded.sequence, place, 0)
    )
