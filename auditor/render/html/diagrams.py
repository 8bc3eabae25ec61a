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
class HostBox:
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

    stop: where it is stopped, if it is; stop_known: whether the sources tell that place; back: its answer is lost
    there.
    """

    y: float
    name: str
    port: str
    verdict: str
    state: str
    stop: float | None = None
    stop_known: bool = True
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
    source: HostBox
    destination: HostBox
    device: HostBox | None
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
    hosts: tuple[HostBox, ...]
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


def state(requirement: r.RequirementVerdict) -> str:
    """Return whether a requirement is met, stopped, unsure or untried."""
    if requirement.verdict in r.FAILING or wording.fatal(requirement):
        return BAD
    if requirement.verdict in r.PASSING:
        return GOOD
    return UNSURE if requirement.verdict == r.INCONCLUSIVE else UNTRIED


# who reached whom

SIDE = 104  # width of a host
ROW = 52  # height of a requirement
BEGIN, END = SIDE + 6, WIDTH - SIDE - 6
MIDDLE = WIDTH / 2


def legs(method: r.MethodResult) -> list[Leg]:
    """Return one drawing for each pair of hosts between which a method requires something."""
    pairs: dict[tuple[r.Endpoint, r.Endpoint], list[r.RequirementVerdict]] = {}
    for requirement in wording.table_requirements(method):
        pairs.setdefault((requirement.source, requirement.destination), []).append(requirement)
    if not any(requirement.evidence for requirements in pairs.values() for requirement in requirements):
        return []
    return [_leg(source, destination, requirements) for (source, destination), requirements in pairs.items()]


def _leg(source: r.Endpoint, destination: r.Endpoint, requirements: Sequence[r.RequirementVerdict]) -> Leg:
    device = _device(requirements)
    top = device.height + 6 if device else 0
    left, right = _host(source, SIDE / 2), _host(destination, WIDTH - SIDE / 2)
    height = top + max(ROW * len(requirements) + 8, max(left.height, right.height) + 20)
    arrows = tuple(_arrow(requirement, top + ROW * place + 28) for place, requirement in enumerate(requirements))
    phrases = (
        f"{wording.name(requirement)} ({wording.port(requirement)}): {_description(requirement)}"
        for requirement in requirements
    )
    title = f"From {_name(source)} to {_name(destination)}"
    return Leg(title, "; ".join(phrases) + ".", left, right, device, arrows, top, height)


def _description(requirement: r.RequirementVerdict) -> str:
    return ", ".join(filter(None, (wording.verdict(requirement), wording.stopped(requirement))))


def _arrow(requirement: r.RequirementVerdict, y: float) -> Arrow:
    stop, stop_known = _stop(requirement) if requirement.verdict in r.FAILING else (None, True)
    back = stop is not None and requirement.blocked_at == r.BETWEEN and requirement.is_response_lost
    return Arrow(
        y,
        requirement.row,
        wording.port(requirement),
        wording.verdict(requirement),
        state(requirement),
        stop,
        stop_known,
        back,
    )


def _stop(requirement: r.RequirementVerdict) -> tuple[float, bool]:
    """Return where a requirement was stopped, and whether anybody knows."""
    if requirement.blocked_at == requirement.source.role:
        return BEGIN + 12, True
    if requirement.blocked_at == requirement.destination.role:
        return END - 10, True
    return MIDDLE, requirement.blocked_at == r.BETWEEN


def _device(requirements: Iterable[r.RequirementVerdict]) -> HostBox | None:
    """Return the device between, if something was stopped there or it said that it cannot deliver."""
    bad = [requirement for requirement in requirements if requirement.verdict in r.FAILING]
    named = list(dict.fromkeys(name for requirement in bad for name in _third(requirement)))
    if named:
        more = [f"and {len(named) - 1} more"] if len(named) > 1 else []
        return HostBox((), (*_lines(named[0], 24), *more), MIDDLE)
    return (
        HostBox(("a device between",), (), MIDDLE)
        if any(requirement.blocked_at == r.BETWEEN for requirement in bad)
        else None
    )


def _third(requirement: r.RequirementVerdict) -> list[str]:
    """Return the senders of errors that are neither of the two hosts."""
    ends = {requirement.source.address, requirement.destination.address}
    return [
        packet.sender
        for proof in requirement.evidence
        for packet in proof.packets
        if packet.sender not in ends and packet.is_icmp_error
    ]


def _host(end: r.Endpoint, x: float) -> HostBox:
    role = _lines(end.role.replace("-", " "), 14)  # its letters are wider
    return HostBox(tuple(role), tuple(_lines(end.address or "not known", 15)), x)


def _name(end: r.Endpoint) -> str:
    return f"{end.role.replace('-', ' ')} {end.address or '(not known)'}"


def _lines(text: str, room: int) -> list[str]:
    """Return a name in lines of so many letters, broken after blanks and punctuation where that is possible."""
    remainder = text if len(text) <= MOST_LETTERS else text[: MOST_LETTERS - 1] + "…"
    lines = []
    while len(remainder) > room:
        places = [match.end() for match in re.finditer(r"[ .:_-]", remainder[:room])]
        place = places[-1] if places else room
        lines.append(remainder[:place].rstrip())
        remainder = remainder[place:]
    return [*lines, remainder]


# the ladder of an attempt

TIMES = 58  # room for the times
FIRST, LAST = TIMES + 42, WIDTH - 50
HALFWAY = (FIRST + LAST) / 2
RUNG = 34
MOST_RUNGS = 12
MOST_LABEL = 34


def ladders(requirement: r.RequirementVerdict, report: r.Report) -> list[Ladder]:
    """Return a drawing for each attempt of which the report knows the packets."""
    proofs: dict[tuple[object, ...], r.Evidence] = {}
    for proof in requirement.evidence:
        if proof.packets:
            proofs.setdefault((proof.source, proof.packets), proof)
    answers = _answers(requirement, list(proofs.values()))
    return [_ladder(requirement, proof, answers.get(place, []), report) for place, proof in enumerate(proofs.values())]


def _answers(requirement: r.RequirementVerdict, proofs: Sequence[r.Evidence]) -> dict[int, list[r.Problem]]:
    """Return the problems that were answered on the connection of a proof: the last one before them in their source."""
    problems: dict[int, list[r.Problem]] = {}
    sources = {proof.frames[0]: proof.source for proof in requirement.evidence if proof.frames and not proof.packets}
    for problem in requirement.problems:
        if problem.frame in sources:
            frame, source = problem.frame, sources[problem.frame]
            preceding = [
                n for n, proof in enumerate(proofs) if proof.source == source and proof.packets[0].frame < frame
            ]
            if preceding:
                problems.setdefault(preceding[-1], []).append(problem)
    return problems


def _ladder(
    requirement: r.RequirementVerdict, proof: r.Evidence, answers: Sequence[r.Problem], report: r.Report
) -> Ladder:
    packets = proof.packets[:MOST_RUNGS]
    source, destination = _ends(requirement, packets)
    third = [packet.sender for packet in packets if packet.sender not in (source.address, destination.address)]
    forged = requirement.verdict == r.REFUSED and requirement.blocked_at == r.BETWEEN
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
    silence = silent and (requirement.verdict in r.FAILING or requirement.changed is not None)
    if silence:
        rungs.append(Rung(_next(rungs, top), LAST, FIRST, "no response", "", BAD, arrived=False, is_nothing=True))
    where = f" in {report.sources[proof.source].path}" if len(report.sources) > 1 else ""
    title = f"{wording.port(requirement)} from {_name(source)} to {_name(destination)}{where}"
    phrases = [_spoken(packet, packets[0]) for packet in packets]
    phrases += [f"frame {problem.frame}: {problem.text}" for problem in answers]
    end = "; then no response." if silence else "."
    return Ladder(title, "; ".join(phrases) + end, tuple(hosts), tuple(rungs), top, _next(rungs, top) - 12)


def _between(third: Sequence[str], forged: bool) -> list[HostBox]:
    """Return the device that sent errors, or a reset in the name of another; none if there is none."""
    if third:
        return [HostBox((), tuple(_lines(third[0], 15)), HALFWAY)]
    return [HostBox(("a device", "between"), (), HALFWAY)] if forged else []


def _ends(requirement: r.RequirementVerdict, packets: Sequence[r.Packet]) -> tuple[r.Endpoint, r.Endpoint]:
    """Return whose packets these are: the two hosts of the verdict, or others of their roles that it also tells of."""
    own = next((packet for packet in packets if not packet.is_icmp_error), None)
    if own is None:
        return requirement.source, requirement.destination
    pair = [own.sender, own.receiver]
    if own.sender == requirement.destination.address or own.receiver == requirement.source.address:
        pair.reverse()
    return r.Endpoint(requirement.source.role, pair[0]), r.Endpoint(requirement.destination.role, pair[1])


def _rung(
    packet: r.Packet,
    first_packet: r.Packet,
    places: Mapping[str | None, float],
    y: float,
    *,
    silent: bool,
    forged: bool,
) -> Rung:
    """Return one packet; a reset in the name of another host comes from the middle, as an error does."""
    stops = packet.what == "RST" or packet.is_icmp_error
    begin = HALFWAY if forged and packet.what == "RST" else places.get(packet.sender, HALFWAY)
    end = places.get(packet.receiver, FIRST)
    text = f"who has {packet.receiver}?" if packet.what == "who has" else packet.what
    label = f"{text[:MOST_LABEL]} · frame {packet.frame}"
    return Rung(y, begin, end, label, _since(packet, first_packet), BAD if stops else UNTRIED, arrived=not silent)


def _next(rungs: Sequence[Rung], top: float) -> float:
    return top + RUNG * len(rungs) + 24


def _spoken(packet: r.Packet, first_packet: r.Packet) -> str:
    when = _since(packet, first_packet)
    return f"frame {packet.frame}{f', {when}' if when else ''}: {packet.what} from {packet.sender} to {packet.receiver}"


def _since(packet: r.Packet, first_packet: r.Packet) -> str:
    now, then = _seconds(packet.time), _seconds(first_packet.time)
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
        (requirement, first_seen, last_seen)
        for requirement in wording.table_requirements(method)
        if (first_seen := _seconds(requirement.first_time)) is not None
        and (last_seen := _seconds(requirement.last_time)) is not None
    ]
    begin = min((first_seen for _, first_seen, _ in tried), default=0.0)
    length = max((last_seen for _, _, last_seen in tried), default=0.0) - begin
    if length <= 0:
        return None

    def place(moment: float) -> float:
        return round(MARGIN + ROOM * min(max(moment - begin, 0), length) / length, 1)

    spans = [
        Span(
            y=SPAN * number,
            label=f"{requirement.row}: {wording.verdict(requirement)}",
            state=state(requirement),
            x=place(first_seen),
            width=max(3, round(place(last_seen) - place(first_seen), 1)),
            ticks=_ticks(requirement, place),
        )
        for number, (requirement, first_seen, last_seen) in enumerate(tried)
    ]
    marks = tuple(
        (MARGIN + ROOM * part, _ahead(length * part), anchor)
        for part, anchor in ((0, "start"), (0.5, "middle"), (1, "end"))
    )
    phrases = (
        f"{requirement.row}: from {_ahead(first_seen - begin)} to {_ahead(last_seen - begin)}"
        for requirement, first_seen, last_seen in tried
    )
    start = next(requirement.first_time for requirement, first_seen, _ in tried if first_seen == begin)
    return TimeLine(f"From {start}", "; ".join(phrases) + ".", tuple(spans), marks, SPAN * len(spans) + 22)


def _ticks(requirement: r.RequirementVerdict, place: Callable[[float], float]) -> tuple[float, ...]:
    moments = (_seconds(packet.time) for proof in requirement.evidence for packet in proof.packets)
    return tuple(sorted({place(moment) for moment in moments if moment is not None}))
