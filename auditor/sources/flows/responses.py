"""How the responder answered each flow: packets of an old connection, and forged ones, answer nothing.

An answer needs what it answers. Where the source lacks that although it holds what the originator sends, there was
nothing to answer; in a capture of one direction the answer alone still shows that it was given.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from auditor.sources.flows.conn_state import HAS_ACK, HAS_DATA, HAS_FIN, HAS_RST, HAS_SYN, STRAY
from auditor.sources.flows.sending import Sending

RESPONSES = ("answered", "refused", "prohibited", "unreachable", "no-response", "one-way", "mid-stream")
NONE = -1
MAY_BE_MISSING = 1 << 24  # bytes that an originator may have sent although the capture does not hold them

Columns = dict[str, NDArray[Any]]
I64 = NDArray[np.int64]
Bools = NDArray[np.bool_]


def classify_datagrams(events: Columns, begin: I64) -> NDArray[Any]:
    """Say of flows of UDP and of echo whether anything came back; of echo only fitting replies are events."""
    answer = np.full(len(begin) - 1, "no-response", object)
    back = np.flatnonzero(~events["from_src"])
    answer[np.searchsorted(begin, back, side="right") - 1] = "answered"
    return answer


def classify_tcp(columns: Columns, events: Columns, begin: I64) -> tuple[NDArray[Any], I64]:
    """Say of flows of TCP whether, and how, the responder answered, and which events are stray, some of them twice.

    Where the originator's SYN is there an answer has to acknowledge it; what does not is stray. Without a SYN, a
    SYN-ACK that the originator acknowledges or data both ways show that the responder answered: other acknowledgements
    may be those of a host that has forgotten the connection. A SYN-ACK beside which there is nothing of the originator
    is believed here; whether anything was asked `take_back` says, when all flows are known.

    Args:
        columns: Frames_src, payload_src, and the originator's SYNs and RSTs as syn_src and rst_src.
        events: Of all flows, flow by flow.
        begin: Where the events of each flow begin, and where those of the last one end.
    """
    count = len(begin) - 1
    owner = np.repeat(np.arange(count), np.diff(begin))
    syns = np.flatnonzero(events["packet"] & HAS_SYN)
    kind, from_src = events["packet"][syns], events["from_src"][syns]
    opening = np.full(count, NONE)
    opens = syns[from_src & ((kind & HAS_ACK) == 0)]
    opening[owner[opens[::-1]]] = opens[::-1]
    accepts = syns[~from_src & ((kind & (HAS_ACK | HAS_RST)) == HAS_ACK)]
    fits = _acknowledges(events, accepts, opening[owner[accepts]], columns["payload_src"][owner[accepts]])
    without_syn = opening[owner[accepts]] == NONE
    if without_syn.any():
        fits &= ~without_syn | _taken_up(events, owner, accepts, columns["frames_src"] == 0)
    answer = np.full(count, "mid-stream", object)
    accepted = np.zeros(count, np.bool_)
    accepted[owner[accepts[fits]]] = True
    answer[accepted] = "answered"
    open_still = np.flatnonzero(~accepted[owner])
    tried = opening[owner[open_still]] != NONE
    _judge_without_syn(answer, events, owner, open_still[~tried])
    stray = _judge_with_syn(answer, columns, events, owner, open_still[tried], opening)
    return answer, np.concatenate([stray, accepts[~fits]])


def _acknowledges(events: Columns, at: I64, opening: I64, most: I64) -> Bools:
    """Return which of these events acknowledge the SYN that opens their flow, with at most so many bytes behind it.

    Where that SYN is not in the capture, this cannot be checked, and they count.
    """
    beyond = events["acknowledged"][at] - events["sequence"][opening] - np.uint32(1)
    has_ack = (events["packet"][at] & HAS_ACK) != 0
    acknowledges: Bools = has_ack & ((beyond <= most) | (opening == NONE))
    return acknowledges


def _taken_up(events: Columns, owner: I64, accepts: I64, alone: Bools) -> Bools:
    """Return which of these SYN-ACKs the originator acknowledges afterwards, or has sent nothing beside at all.

    alone: flows in which the originator has sent nothing.
    """
    taken = alone[owner[accepts]]
    replies = np.flatnonzero(events["from_src"] & ((events["packet"] & (HAS_ACK | HAS_RST)) == HAS_ACK))
    place = np.searchsorted(accepts, replies) - 1  # of the SYN-ACK before each
    replies, place = replies[place >= 0], place[place >= 0]
    beyond = events["acknowledged"][replies] - events["sequence"][accepts[place]] - np.uint32(1)
    taken[place[(owner[accepts[place]] == owner[replies]) & (beyond <= MAY_BE_MISSING)]] = True
    return taken


def _judge_without_syn(answer: NDArray[Any], events: Columns, owner: I64, at: I64) -> None:
    """Find among flows in mid-connection, to which these events belong, those with data both ways."""
    at = at[(events["packet"][at] & (HAS_DATA | HAS_RST)) == HAS_DATA]
    there, back = (np.zeros(len(answer), np.bool_) for _ in range(2))
    from_src = events["from_src"][at]
    there[owner[at[from_src]]] = True
    back[owner[at[~from_src]]] = True
    answer[there & back] = "answered"


def _judge_with_syn(answer: NDArray[Any], columns: Columns, events: Columns, owner: I64, at: I64, opening: I64) -> I64:
    """Say how the flows to which these events belong were answered, none by a SYN-ACK; return which are stray."""
    went_on = columns["frames_src"] > columns["syn_src"] + columns["rst_src"]  # so an answer must have reached it
    gave_up = (columns["rst_src"] > 0) & (columns["syn_src"] == 1)  # at once: it may reset an answer that is not here
    back = at[~events["from_src"][at]]
    whose = owner[back]
    most = np.where(went_on, MAY_BE_MISSING, columns["payload_src"])
    fits = _acknowledges(events, back, opening[whose], most[whose])
    reset = (events["packet"][back] & HAS_RST) != 0
    speaks = fits & ~reset
    # In SYN-SENT a reset that acknowledges nothing is dropped (RFC 9293, 3.10.7.3): its sender need not know the SYN.
    refuses = reset & (back > opening[whose]) & fits
    answer[owner[at]] = "no-response"
    answer[owner[at[(went_on | gave_up)[owner[at]]]]] = "one-way"
    answer[whose[~fits & ~reset]] = "one-way"  # the responder is there, but speaks of another connection
    answer[whose[refuses & ~went_on[whose]]] = "refused"
    answer[whose[speaks]] = "answered"
    stray: I64 = back[~refuses & ~speaks]
    return stray


def take_back(columns: Columns, events: Columns, begin: I64, sending: Sending) -> None:
    """Take back responses without a request, in flows of all protocols; they become stray.

    Alone in its flow an answer says that something was asked only where the source could not hold the question. Where
    it holds what that host sends, a SYN-ACK or an echo reply without the question is forged, or of before the capture;
    so are resets, which answer nothing then.

    Args:
        columns: Src, dst, protocol, frames_src, frames_dst, syn, syn_ack, rst and response, which is changed.
        events: Of all flows, flow by flow; those that become stray are changed.
        begin: Where the events of each flow begin, and where those of the last one end.
        sending: Of whom that is held.
    """
    silent = np.flatnonzero(columns["frames_src"] == 0)
    lone = silent[columns["response"][silent] == "answered"]
    frames = columns["frames_src"] + columns["frames_dst"]
    control = np.flatnonzero((columns["syn"] == 0) & (frames > 0) & (frames <= columns["syn_ack"] + columns["rst"]))
    both = np.concatenate([lone, control])
    if not len(both):
        return
    unasked = np.zeros(len(frames), np.bool_)
    unasked[both] = sending.holds(columns["src"][both], columns["dst"][both])
    columns["response"][lone[unasked[lone]]] = "mid-stream"
    owner = np.repeat(np.arange(len(frames)), np.diff(begin))
    at = np.flatnonzero(unasked[owner])
    kind, is_echo = events["packet"][at], columns["protocol"][owner[at]] == "icmp"
    answers = is_echo | ((kind & HAS_RST) != 0) | ((kind & (HAS_DATA | HAS_FIN)) == 0)
    events["packet"][at[answers]] |= STRAY
