"""Turn lines that a person can read into the packets of a capture.

A line is "SECOND WHO/PROTOCOL OUTCOME", "SECOND HOST asks HOST [once|answered]" or "until SECOND":

    0 10.0.0.5 > 10.0.0.20/icmp answered             1 10.0.0.5:50000 > 10.0.0.20:445/tcp S0
    1 [fd00::5]:50000 > [fd00::20]:445/tcp SF        2 10.0.0.5:50001 > 10.0.0.20:135/udp silent
    3 10.0.0.5 asks 10.0.0.20                        until 30

Ports "49152-49160" are that many lines, one 10 ms after the other, each from a port of its own.
What is silent, "answered in vain" or "reset without ACK" is tried three times (0, 1 and 3 seconds later), "twice" or
"once". `ERRORS` are outcomes too, with "by HOST" behind them; "icmp 3/10 by HOST" says type and code itself, "alone"
leaves out the packet it is about, and "answer prohibited by HOST" is about the SYN-ACK, which is nowhere else in the
capture. An error "quoting another SYN", or "to HOST" that did not send the packet, may be forged.
" seen twice" at the end of a line shows each of its packets twice, as a router's own capture does. An originator's
first sequence number follows from its port, so the same line in two captures is the same attempt. "until" adds a
packet of hosts that have nothing to do with it.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from typing import Any

from packets import At, arp, echo, icmp_error, neighbour, talk, tcp, turned, udp

TRIES = {"": (0, 1, 3), " twice": (0, 1), " once": (0,)}
STEP = 0.001  # between the packets of one conversation
NEXT_PORT = 0.01  # between the attempts at a range of ports
SECOND_LOOK = 0.0002  # until a router shows a packet again
BYSTANDER = "192.0.2.8:5353 > 192.0.2.9:5353"

CONVERSATIONS = {
    "SF": "S <SA A 5PA <5PA A FA <FA A",
    "S1": "S <SA A 5PA <5PA A",
    "handshake": "S <SA A FA <FA A",
    "handshake reset": "S <SA A R",
    "half-open": "S <SA R",
    "unanswered request": "S <SA A 5PA <A",
    "REJ": "S <RA",
    "mid-stream": "5PA <5PA A",
    "mid-stream one way": "5PA 5PA 5PA",
    "one-sided": "S A 5PA FA",
    "only answers": "<SA <5PA",
    "only a SYN-ACK": "<SA",
    "only a reset": "<RA",
}
ERRORS = {
    "prohibited": {4: (3, 13), 6: (1, 1)},
    "refused": {4: (3, 3), 6: (1, 4)},
    "unreachable": {4: (3, 1), 6: (1, 3)},
}
FLOW = re.compile(
    r"(?P<at>[\d.]+) (?P<who>\S+ > \S+)/(?P<protocol>tcp|udp|icmp) (?P<outcome>.+?)(?P<twice> seen twice)?"
)
NEIGHBOURS = re.compile(r"(?P<at>[\d.]+) (?P<asker>\S+) asks (?P<target>\S+)(?P<how>| once| answered)")
PORTS = re.compile(
    r"(?P<at>[\d.]+) (?P<src>\S+):(?P<src_port>\d+) > (?P<dst>\S+):(?P<low>\d+)-(?P<high>\d+)/(?P<rest>.+)"
)
UNTIL = re.compile(r"until (?P<at>[\d.]+)")
ERROR = re.compile(
    r"(?P<answer>answer )?(icmp (?P<kind>\d+)/(?P<code>\d+)|(?P<word>\w+)) by (?P<sender>\S+)"
    r"(?P<other> quoting another SYN)?( to (?P<receiver>\S+))?(?P<alone> alone)?"
)


def scene(lines: Iterable[str]) -> list[At]:
    """Return the packets of all lines in order of time."""
    each = (single for line in lines for single in _single(line))
    return sorted((packet for line in each for packet in _packets(line)), key=lambda one: one.seconds)


def _single(line: str) -> list[str]:
    """Return a line for each port of a range."""
    if not (found := PORTS.fullmatch(line)):
        return [line]
    low, high = int(found["low"]), int(found["high"])
    return [
        f"{float(found['at']) + NEXT_PORT * place:.2f} {found['src']}:{int(found['src_port']) + place} > "
        f"{found['dst']}:{port}/{found['rest']}"
        for place, port in enumerate(range(low, high + 1))
    ]


def _packets(line: str) -> list[At]:
    if found := UNTIL.fullmatch(line):
        return [At(float(found["at"]), udp(BYSTANDER))]
    if found := NEIGHBOURS.fullmatch(line):
        return _later(found["at"], _asking(found["asker"], found["target"], found["how"]))
    if found := FLOW.fullmatch(line):
        packets = _later(found["at"], _flow(found["who"], found["protocol"], found["outcome"]))
        return [one for packet in packets for one in _looks(packet, bool(found["twice"]))]
    raise ValueError(f"not understood: {line!r}")


def _later(at: str, packets: Iterable[tuple[float, bytes]]) -> list[At]:
    return [At(float(at) + seconds, packet) for seconds, packet in packets]


def _looks(packet: At, twice: bool) -> list[At]:
    return [packet, packet._replace(seconds=packet.seconds + SECOND_LOOK)] if twice else [packet]


def _asking(asker: str, target: str, how: str) -> list[tuple[float, bytes]]:
    said = neighbour if ":" in target else arp
    if how == " answered":
        return [(0, said(f"{asker} asks {target}")), (STEP, said(f"{target} answers {asker}"))]
    return [(second, said(f"{asker} asks {target}")) for second in ((0,) if how else (0, 1, 2))]


def _flow(who: str, protocol: str, outcome: str) -> list[tuple[float, bytes]]:
    if found := ERROR.fullmatch(outcome):
        answer = talk(who, _numbered(who, "S <SA"))[1] if found["answer"] else None
        return _error(who, _first(who, protocol), found, answer)
    if protocol == "tcp":
        return _tcp(who, outcome)
    return _datagrams(who, protocol, outcome)


def _first(who: str, protocol: str) -> bytes:
    if protocol == "tcp":
        return tcp(who, seq=_sequence(who))
    return udp(who) if protocol == "udp" else echo(who)


def _error(who: str, first: bytes, found: re.Match[str], answer: bytes | None) -> list[tuple[float, bytes]]:
    version = first[0] >> 4
    kind, code = (int(found["kind"]), int(found["code"])) if found["kind"] else _one_of(ERRORS, found["word"])[version]
    quoted = answer or (tcp(who, seq=77_777) if found["other"] else first)
    room = (28 if version == 4 else 48) + 12 * bool(answer)
    error = icmp_error(found["sender"], kind, code, quoting=quoted, room=room, receiver=found["receiver"])
    return [(0, error)] if found["alone"] else [(0, first), (STEP, error)]


def _tcp(who: str, outcome: str) -> list[tuple[float, bytes]]:
    if outcome in CONVERSATIONS:
        packets = talk(who, _numbered(who, CONVERSATIONS[outcome]))
        return [(STEP * place, packet) for place, packet in enumerate(packets)]
    state, tries = _tries(outcome)
    words = _one_of({"S0": "S", "answered in vain": "S <SA", "reset without ACK": "S <R"}, state)
    packets = talk(who, _numbered(who, " ".join([words] * len(tries))))
    times = [second + STEP * place for second in tries for place in range(len(words.split()))]
    return list(zip(times, packets, strict=True))


def _tries(outcome: str) -> tuple[str, tuple[int, ...]]:
    how = next((word for word in TRIES if word and outcome.endswith(word)), "")
    return outcome.removesuffix(how), TRIES[how]


def _numbered(who: str, words: str) -> str:
    return " ".join(f"S@{_sequence(who)}" if word == "S" else word for word in words.split())


def _sequence(who: str) -> int:
    return 1000 + int(who.split(" > ")[0].rpartition(":")[2])


def _datagrams(who: str, protocol: str, outcome: str) -> list[tuple[float, bytes]]:
    asked = _first(who, protocol)
    if outcome == "answered":
        return [(0, asked), (STEP, udp(turned(who)) if protocol == "udp" else echo(turned(who), reply=True))]
    if outcome == "only a reply":
        return [(0, echo(turned(who), reply=True, identifier=99))]
    state, tries = _tries(outcome)
    return [(second, _one_of({"silent": asked}, state)) for second in tries]


def _one_of(choices: dict[str, Any], word: str) -> Any:
    if word not in choices:
        raise ValueError(f"not understood: {word!r}")
    return choices[word]
