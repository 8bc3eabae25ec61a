"""Zeek's connection states, by its own rules, looked up in one table.

The rules are those of Zeek's TCP analyzer and `conn_state` (zeek/zeek, packet_analysis/protocol/tcp and
scripts/base/protocols/conn/main.zeek). `_step` spells them out for one packet; `TRANSITIONS` is `_step` tried on every
state and packet that can occur, so that a million flows can be followed by indexing.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

INACTIVE, SYN_SENT, SYN_ACK_SENT, PARTIAL, ESTABLISHED, CLOSED, RESET, RESET_AFTER_CLOSE = range(8)
NO_SYN_YET, ONLY_SYN, SYN_THEN_RESET, MORE = range(4)

# A packet as one number, which is also how evidence is kept.
FROM_B, HAS_SYN, HAS_FIN, HAS_RST, HAS_ACK, HAS_DATA, EQUAL_PORTS = (1 << bit for bit in range(7))
PACKETS = 128
STRAY = 128  # one that belongs to no attempt, as of an old connection; states know nothing of that

NO_FLIP, A_ORIGINATES, B_ORIGINATES = range(3)


class ConnectionState(NamedTuple):
    """Where a connection stands: who began it, each side's endpoint state, and what the originator sent so far."""

    originator: int
    orig: int
    resp: int
    history: int


START = ConnectionState(NO_FLIP, INACTIVE, INACTIVE, NO_SYN_YET)


def _step(state: ConnectionState, packet: int) -> ConnectionState:
    """Return where a connection stands after one more packet."""
    originator = state.originator or _who_began(packet)
    if bool(packet & FROM_B) == (originator == B_ORIGINATES):
        orig, resp = _endpoint(state.orig, state.resp, packet, True)
        return ConnectionState(originator, orig, resp, _history(state.history, packet))
    resp, orig = _endpoint(state.resp, state.orig, packet, False)
    return ConnectionState(originator, orig, resp, state.history)


def _who_began(packet: int) -> int:
    """The sender of a SYN, the receiver of a SYN-ACK; else the side with the higher port, which is A."""
    sender, receiver = (B_ORIGINATES, A_ORIGINATES) if packet & FROM_B else (A_ORIGINATES, B_ORIGINATES)
    if packet & HAS_SYN:
        return receiver if packet & HAS_ACK else sender
    return sender if packet & EQUAL_PORTS else A_ORIGINATES


def _endpoint(mine: int, peer: int, packet: int, is_orig: bool) -> tuple[int, int]:
    """Return the sender's and its peer's state after this packet."""
    if mine == INACTIVE:
        return _from_inactive(peer, packet, is_orig)
    if mine in (SYN_SENT, SYN_ACK_SENT):
        mine = CLOSED if packet & HAS_FIN else mine
        return (RESET if packet & HAS_RST else mine), peer
    if mine in (ESTABLISHED, PARTIAL):
        return _from_established(mine, peer, packet)
    if mine == CLOSED and packet & HAS_RST and peer != CLOSED:
        return RESET_AFTER_CLOSE, peer
    return mine, peer


def _from_inactive(peer: int, packet: int, is_orig: bool) -> tuple[int, int]:
    mine = INACTIVE
    if packet & HAS_SYN:
        if is_orig:
            mine = SYN_ACK_SENT if packet & HAS_ACK else SYN_SENT
        else:
            mine, peer = ESTABLISHED, ESTABLISHED if peer == SYN_SENT else peer
    if packet & HAS_FIN:
        mine = CLOSED
    if packet & HAS_RST:
        mine = RESET
    if mine != INACTIVE:
        return mine, peer
    if not is_orig and not packet & HAS_DATA and peer == SYN_SENT:
        return INACTIVE, peer
    return (ESTABLISHED if packet & HAS_ACK and peer == ESTABLISHED else PARTIAL), peer


def _from_established(mine: int, peer: int, packet: int) -> tuple[int, int]:
    if packet & HAS_SYN and mine == PARTIAL and peer == INACTIVE and not packet & HAS_ACK:
        mine = SYN_SENT
    if packet & HAS_FIN and not packet & HAS_RST:
        mine, peer = CLOSED, CLOSED if peer == RESET_AFTER_CLOSE else peer
    return (RESET if packet & HAS_RST else mine), peer


def _history(history: int, packet: int) -> int:
    """Follow the originator's letters as far as RSTOS0 asks: a SYN first, and then a RST before anything else."""
    letters = packet & (HAS_SYN | HAS_FIN | HAS_RST)
    only_syn = letters == HAS_SYN and not packet & HAS_ACK
    if history == NO_SYN_YET:
        return ONLY_SYN if only_syn else MORE
    if history == ONLY_SYN:
        if letters == HAS_RST:
            return SYN_THEN_RESET
        return ONLY_SYN if only_syn or (not letters and packet & HAS_DATA) else MORE
    return history


def _closed_table() -> tuple[list[ConnectionState], NDArray[np.uint8]]:
    """Return every state that can be reached, and for each the number of the state that each packet leads to."""
    number = {START: 0}
    rows: list[list[int]] = []
    while len(rows) < len(number):
        state = list(number)[len(rows)]
        packets = PACKETS if state == START else EQUAL_PORTS  # ports tell only who began, so only once
        row = [number.setdefault(_step(state, packet), len(number)) for packet in range(packets)]
        rows.append(row * (PACKETS // packets))
    return list(number), np.array(rows, np.uint8)


def name(state: ConnectionState, payload: int) -> str:
    """Return Zeek's conn_state of a TCP connection that ends in this state; payload counts bytes both ways."""
    orig = RESET if state.orig == RESET_AFTER_CLOSE else state.orig
    resp = RESET if state.resp == RESET_AFTER_CLOSE else state.resp
    if resp == RESET:
        rejected = orig in (SYN_SENT, SYN_ACK_SENT) or (orig == RESET and payload == 0)
        return "REJ" if rejected else "RSTRH" if orig in (INACTIVE, PARTIAL) else "RSTR"
    if orig == RESET:
        if resp not in (INACTIVE, PARTIAL):
            return "RSTO"
        return "RSTOS0" if state.history == SYN_THEN_RESET else "OTH"
    if CLOSED in (orig, resp):
        if orig == resp:
            return "SF"
        if orig == CLOSED:
            return "SH" if resp in (INACTIVE, PARTIAL) else "S2"
        return "SHR" if orig in (INACTIVE, PARTIAL) else "S3"
    if orig == SYN_SENT and resp == INACTIVE:
        return "S0"
    return "S1" if orig == resp == ESTABLISHED else "OTH"


STATES, TRANSITIONS = _closed_table()
NAMES = np.array([[name(state, payload) for payload in (0, 1)] for state in STATES], object)
ORIGINATOR = np.array([state.originator for state in STATES], np.uint8)
ROUNDS = 64


def flipped(state: NDArray[np.int64]) -> NDArray[np.bool_]:
    """Return for which of these states (indices into STATES) the originator is B."""
    return np.equal(ORIGINATOR[state], B_ORIGINATES)


def follow(packet: NDArray[np.uint8], begin: NDArray[np.int64]) -> NDArray[np.int64]:
    """Return each flow's last state (an index into STATES).

    Packets go in rounds (first packet of every flow, second of every flow, ...); the few flows with very many packets
    are finished one by one.

    Args:
        packet: Packets of all flows, flow by flow, in order.
        begin: Where each flow's begin, and where the last one's end.
    """
    states = np.zeros(len(begin) - 1, np.int64)
    counts = np.diff(begin)
    owner = np.flatnonzero(counts)
    for turn in range(ROUNDS):
        if not len(owner):
            return states
        states[owner] = TRANSITIONS[states[owner], packet[begin[owner] + turn]]
        owner = owner[counts[owner] > turn + 1]
    table = TRANSITIONS.tolist()
    for who in owner.tolist():
        state = int(states[who])
        for code in packet[begin[who] + ROUNDS : begin[who + 1]].tolist():
            state = table[state][code]
        states[who] = state
    return states
