"""Where everything lies in the pictures of the HTML page: who reached whom, the ladder of an attempt, the time line.

Pure geometry: the templates turn it into SVG. All drawings are WIDTH units wide, so that their letters have one size
and the narrowest telephone shows them whole.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime

from auditor.render import wording
from auditor.report import model as r

WIDTH = 400
GOOD, BAD, UNSURE, UNTRIED = "good", "bad", "unsure", "untried"
SIGNS = {GOOD: "✓", BAD: "✕", UNSURE: "?", UNTRIED: "\N{EN DASH}"}

LINE = 15  # height of a line of text
MOST_LETTERS = 64  # of a name in a drawing; whole names stand in its description and in the tables


@dataclass(frozen=True)
class Host:
    """A host in a drawing: its role and address line by line, and the middle of it."""

    role: tuple[str, ...]
    address: tuple[str, ...]
    x: float

    @property
    def height(self) -> int:
        """The room that it takes."""
        return LINE * (len(self.role) + len(self.address))


@dataclass(frozen=True)
class Arrow:
    """A requirement between two hosts.

    stop: where it is stopped, if it is; known: whether the sources tell that place; back: its answer is lost there.
    """

    y: float
    name: str
    port: str
    verdict: str
    state: str
    stop: float | None = None
    known: bool = True
    back: bool = False

    @property
    def sign(self) -> str:
        """The state for those who cannot tell colours apart."""
        return SIGNS[self.state]


@dataclass(frozen=True)
class Leg:
    """Who reached whom: two hosts, the device between them if it is known, and what one wanted of the other."""

    title: str
    description: str
    source: Host
    destination: Host
    device: Host | None
    arrows: tuple[Arrow, ...]
    top: float
    height: float


@dataclass(frozen=True)
class Rung:
    """One packet of a ladder from x to x; or that nothing came."""

    y: float
    begin: float
    end: float
    label: str
    when: str
    state: str
    arrived: bool = True
    is_nothing: bool = False

    @property
    def head(self) -> str:
        """The three corners of the arrow's head."""
        back = self.end - 8 if self.end > self.begin else self.end + 8
        return f"{self.end:g},{self.y:g} {back:g},{self.y - 4:g} {back:g},{self.y + 4:g}"


@dataclass(frozen=True)
class Ladder:
    """The packets of one attempt as one source has them, from top to bottom."""

    title: str
    description: str
    hosts: tuple[Host, ...]
    rungs: tuple[Rung, ...]
    top: float
    height: float


@dataclass(frozen=True)
class Span:
    """When one requirement was tried: from x, so wide, and at which x its packets of proof were sent."""

    y: float
    label: str
    state: str
    x: float
    width: float
    ticks: tuple[float, ...]

    @property
    def sign(self) -> str:
        """The state for those who cannot tell colours apart."""
        return SIGNS[self.state]


@dataclass(frozen=True)
class TimeLine:
    """When what was tried. marks: x and words of the axis."""

    title: str
    description: str
    spans: tuple[Span, ...]
    marks: tuple[tuple[float, str, str], ...]
    height: float


def state(one: r.RequirementVerdict) -> str:
    """Return whether a requirement is met, stopped, unsure or untried."""
    if one.verdict in r.BAD or wording.fatal(one):
        return BAD
    if one.verdict in r.GOOD:
        return GOOD
    return UNSURE if one.verdict == r.INCONCLUSIVE else UNTRIED


# who reached whom

SIDE = 104  # width of a host
ROW = 52  # height of a requirement
BEGIN, END = SIDE + 6, WIDTH - SIDE - 6
MIDDLE = WIDTH / 2


def legs(method: r.MethodResult) -> list[Leg]:
    """Return one drawing for each pair of hosts between which a method requires something."""
    pairs: dict[tuple[r.End, r.End], list[r.RequirementVerdict]] = {}
    for one in wording.in_table(method):
        pairs.setdefault((one.source, one.destination), []).append(one)
    if not any(one.evidence for pair in pairs.values() for one in pair):
        return []
    return [_leg(source, destination, pair) for (source, destination), pair in pairs.items()]


def _leg(source: r.End, destination: r.End, found: Sequence[r.RequirementVerdict]) -> Leg:
    device = _device(found)
    top = device.height + 6 if device else 0
    left, right = _host(source, SIDE / 2), _host(destination, WIDTH - SIDE / 2)
    height = top + max(ROW * len(found) + 8, max(left.height, right.height) + 20)
    arrows = tuple(_arrow(one, top + ROW * place + 28) for place, one in enumerate(found))
    told = (f"{wording.name(one)} ({wording.port(one)}): {_told(one)}" for one in found)
    title = f"From {_name(source)} to {_name(destination)}"
    return Leg(title, "; ".join(told) + ".", left, right, device, arrows, top, height)


def _told(one: r.RequirementVerdict) -> str:
    return ", ".join(filter(None, (wording.verdict(one), wording.stopped(one))))


def _arrow(one: r.RequirementVerdict, y: float) -> Arrow:
    stop, known = _stop(one) if one.verdict in r.BAD else (None, True)
    back = stop is not None and one.blocked_at == r.BETWEEN and _answered(one)
    return Arrow(y, one.row, wording.port(one), wording.verdict(one), state(one), stop, known, back)


def _answered(one: r.RequirementVerdict) -> bool:
    """Tell whether a source saw what the other end answered, although it never arrived."""
    answers = ("SYN-ACK", "reply")
    packets = (packet for proof in one.evidence for packet in proof.packets)
    return one.changed is None and any(
        packet.sender == one.destination.address and packet.what in answers for packet in packets
    )


def _stop(one: r.RequirementVerdict) -> tuple[float, bool]:
    """Return where a requirement was stopped, and whether anybody knows."""
    if one.blocked_at == one.source.role:
        return BEGIN + 12, True
    if one.blocked_at == one.destination.role:
        return END - 10, True
    return MIDDLE, one.blocked_at == r.BETWEEN


def _device(found: Iterable[r.RequirementVerdict]) -> Host | None:
    """Return the device between, if something was stopped there or it said that it cannot deliver."""
    bad = [one for one in found if one.verdict in r.BAD]
    named = list(dict.fromkeys(name for one in bad for name in _third(one)))
    if named:
        more = [f"and {len(named) - 1} more"] if len(named) > 1 else []
        return Host((), (*_lines(named[0], 24), *more), MIDDLE)
    return Host(("a device between",), (), MIDDLE) if any(one.blocked_at == r.BETWEEN for one in bad) else None


def _third(one: r.RequirementVerdict) -> list[str]:
    """Return the senders of errors that are neither of the two hosts."""
    ends = {one.source.address, one.destination.address}
    return [
        packet.sender
        for proof in one.evidence
        for packet in proof.packets
        if packet.sender not in ends and packet.what.startswith("ICMP")
    ]


def _host(end: r.End, x: float) -> Host:
    role = _lines(end.role.replace("-", " "), 14)  # its letters are wider
    return Host(tuple(role), tuple(_lines(end.address or "not known", 15)), x)


def _name(end: r.End) -> str:
    return f"{end.role.replace('-', ' ')} {end.address or '(not known)'}"


def _lines(text: str, room: int) -> list[str]:
    """Return a name in lines of so many letters, broken after blanks and punctuation where that is possible."""
    rest = text if len(text) <= MOST_LETTERS else text[: MOST_LETTERS - 1] + "…"
    lines = []
    while len(rest) > room:
        places = [found.end() for found in re.finditer(r"[ .:_-]", rest[:room])]
        place = places[-1] if places else room
        lines.append(rest[:place].rstrip())
        rest = rest[place:]
    return [*lines, rest]


# the ladder of an attempt

TIMES = 58  # room for the times
FIRST, LAST = TIMES + 42, WIDTH - 50
HALFWAY = (FIRST + LAST) / 2
RUNG = 34
MOST_RUNGS = 12
MOST_LABEL = 34


def ladders(one: r.RequirementVerdict, report: r.Report) -> list[Ladder]:
    """Return a drawing for each attempt of which the report knows the packets."""
    found: dict[tuple[object, ...], r.Evidence] = {}
    for proof in one.evidence:
        if proof.packets:
            found.setdefault((proof.source, proof.packets), proof)
    answers = _answers(one, list(found.values()))
    return [_ladder(one, proof, answers.get(place, []), report) for place, proof in enumerate(found.values())]


def _answers(one: r.RequirementVerdict, proofs: Sequence[r.Evidence]) -> dict[int, list[r.Problem]]:
    """Return the problems that were answered on the connection of a proof: the last one before them in their source."""
    found: dict[int, list[r.Problem]] = {}
    sources = {proof.frames[0]: proof.source for proof in one.evidence if proof.frames and not proof.packets}
    for problem in one.problems:
        if problem.frame in sources:
            frame, source = problem.frame, sources[problem.frame]
            before = [n for n, proof in enumerate(proofs) if proof.source == source and proof.packets[0].frame < frame]
            if before:
                found.setdefault(before[-1], []).append(problem)
    return found


def _ladder(one: r.RequirementVerdict, proof: r.Evidence, answers: Sequence[r.Problem], report: r.Report) -> Ladder:
    packets = proof.packets[:MOST_RUNGS]
    source, destination = _ends(one, packets)
    third = [packet.sender for packet in packets if packet.sender not in (source.address, destination.address)]
    forged = one.verdict == r.REFUSED and one.blocked_at == r.BETWEEN
    hosts = [_host(source, FIRST), *_between(third, forged), _host(destination, LAST)]
    top = max(host.height for host in hosts) + 8
    silent = all(packet.sender == source.address for packet in packets) and not answers
    places: dict[str | None, float] = {source.address: FIRST, destination.address: LAST}
    if forged or (third and not any(packet.sender == destination.address for packet in packets)):
        places[destination.address] = HALFWAY  # the device between answers, so it went no further
    rungs = [
        _rung(packet, packets[0], places, top + RUNG * place + 24, silent=silent, forged=forged)
        for place, packet in enumerate(packets)
    ]
    for problem in answers:
        label = f"{problem.code[:MOST_LABEL]} · frame {problem.frame}"
        rungs.append(Rung(_next(rungs, top), LAST, FIRST, label, "", BAD if problem.fatal else UNTRIED))
    silence = silent and (one.verdict in r.BAD or one.changed is not None)
    if silence:
        rungs.append(Rung(_next(rungs, top), LAST, FIRST, "no answer", "", BAD, arrived=False, is_nothing=True))
    where = f" in {report.sources[proof.source].path}" if len(report.sources) > 1 else ""
    title = f"{wording.port(one)} from {_name(source)} to {_name(destination)}{where}"
    told = [_spoken(packet, packets[0]) for packet in packets]
    told += [f"frame {problem.frame}: {problem.text}" for problem in answers]
    end = "; then no answer." if silence else "."
    return Ladder(title, "; ".join(told) + end, tuple(hosts), tuple(rungs), top, _next(rungs, top) - 12)


def _between(third: Sequence[str], forged: bool) -> list[Host]:
    """Return the device that sent errors, or a reset in the name of another; none if there is none."""
    if third:
        return [Host((), tuple(_lines(third[0], 15)), HALFWAY)]
    return [Host(("a device", "between"), (), HALFWAY)] if forged else []


def _ends(one: r.RequirementVerdict, packets: Sequence[r.Packet]) -> tuple[r.End, r.End]:
    """Return whose packets these are: the two hosts of the verdict, or others of their roles that it also tells of."""
    own = next((packet for packet in packets if not packet.what.startswith("ICMP")), None)
    if own is None:
        return one.source, one.destination
    pair = [own.sender, own.receiver]
    if own.sender == one.destination.address or own.receiver == one.source.address:
        pair.reverse()
    return r.End(one.source.role, pair[0]), r.End(one.destination.role, pair[1])


def _rung(
    packet: r.Packet, first: r.Packet, places: Mapping[str | None, float], y: float, *, silent: bool, forged: bool
) -> Rung:
    """Return one packet; a reset in the name of another host comes from the middle, as an error does."""
    stops = packet.what == "RST" or packet.what.startswith("ICMP")
    begin = HALFWAY if forged and packet.what == "RST" else places.get(packet.sender, HALFWAY)
    end = places.get(packet.receiver, FIRST)
    what = f"who has {packet.receiver}?" if packet.what == "who has" else packet.what
    label = f"{what[:MOST_LABEL]} · frame {packet.frame}"
    return Rung(y, begin, end, label, _since(packet, first), BAD if stops else UNTRIED, arrived=not silent)


def _next(rungs: Sequence[Rung], top: float) -> float:
    return top + RUNG * len(rungs) + 24


def _spoken(packet: r.Packet, first: r.Packet) -> str:
    when = _since(packet, first)
    return f"frame {packet.frame}{f', {when}' if when else ''}: {packet.what} from {packet.sender} to {packet.receiver}"


def _since(packet: r.Packet, first: r.Packet) -> str:
    now, then = _seconds(packet.time), _seconds(first.time)
    return "" if now is None or then is None else _ahead(now - then)


def _ahead(seconds: float) -> str:
    return f"+{seconds:.3f} s" if seconds < 100 else f"+{seconds:,.0f} s"


def _seconds(time: str | None) -> float | None:
    """Return a time of the report in seconds since 1970; None if there is none, or no such day."""
    try:
        moment = datetime.fromisoformat(time or "")
        return (moment if moment.tzinfo else moment.replace(tzinfo=UTC)).timestamp()
    except (ValueError, OverflowError):
        return None


# the time line

SPAN = 40
MARGIN = 8
ROOM = WIDTH - 2 * MARGIN


def time_line(method: r.MethodResult) -> TimeLine | None:
    """Return when each requirement was tried, from the first packet to the last; None if that takes no time."""
    tried = [
        (one, first, last)
        for one in wording.in_table(method)
        if (first := _seconds(one.first_time)) is not None and (last := _seconds(one.last_time)) is not None
    ]
    begin = min((first for _, first, _ in tried), default=0.0)
    length = max((last for _, _, last in tried), default=0.0) - begin
    if length <= 0:
        return None

    def place(moment: float) -> float:
        return round(MARGIN + ROOM * min(max(moment - begin, 0), length) / length, 1)

    spans = [
        Span(
            y=SPAN * number,
            label=f"{one.row}: {wording.verdict(one)}",
            state=state(one),
            x=place(first),
            width=max(3, round(place(last) - place(first), 1)),
            ticks=_ticks(one, place),
        )
        for number, (one, first, last) in enumerate(tried)
    ]
    marks = tuple(
        (MARGIN + ROOM * part, _ahead(length * part), anchor)
        for part, anchor in ((0, "start"), (0.5, "middle"), (1, "end"))
    )
    told = (f"{one.row}: from {_ahead(first - begin)} to {_ahead(last - begin)}" for one, first, last in tried)
    start = next(one.first_time for one, first, _ in tried if first == begin)
    return TimeLine(f"From {start}", "; ".join(told) + ".", tuple(spans), marks, SPAN * len(spans) + 22)


def _ticks(one: r.RequirementVerdict, place: Callable[[float], float]) -> tuple[float, ...]:
    moments = (_seconds(packet.time) for proof in one.evidence for packet in proof.packets)
    return tuple(sorted({place(moment) for moment in moments if moment is not None}))
