"""ICMP errors and the flows that they quote: which flow each is about, what it means, which streams Wireshark makes.

Anybody who knows the ends of a flow can write an error about it. It proves something if it quotes a number of a packet
that the source holds, or if the source could not hold that packet; one to a third host proves nothing.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator
from functools import cache
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from auditor.sources.capture.packets import ECHO_REQUEST, ICMP, ICMPV6, TCP, UDP, IcmpError
from auditor.sources.flows.columns import MISSING, PROTOCOLS, TABLE, Columns
from auditor.sources.flows.sending import Sending

SENT_BACK = ("SYN-ACK", "reply")  # what only a responder sends
FLAGS_QUOTED = 14  # bytes of a quoted TCP header from which it would be seen that it is a SYN
STREAM_HEADER = {TCP: 20, UDP: 8}  # bytes of a quoted header from which Wireshark makes a stream

# What an ICMP error shows about the flow that it quotes (RFC 792, 1122, 1812, 4443).
MEANING = {
    4: dict.fromkeys(((3, 9), (3, 10), (3, 13)), "prohibited")
    | dict.fromkeys(((3, 2), (3, 3)), "refused")
    | dict.fromkeys(((3, 0), (3, 1), (3, 6), (3, 7)), "unreachable"),
    6: dict.fromkeys(((1, 1), (1, 5), (1, 6)), "prohibited")
    | {(1, 4): "refused"}
    | dict.fromkeys(((1, 0), (1, 3)), "unreachable"),
}

SYN_AND_FIN = 2  # which count as a byte each
Ends = tuple[str, str, int, str, int]  # protocol, source and its port, destination and its port
Errors = dict[int, list[IcmpError]]


class FlowNumbers(NamedTuple):
    """What assigns a packet to a flow: columns with one value for each, MISSING where there is none.

    Attributes:
        src: The first sequence number that the originator sent.
        dst: The first sequence number that the responder sent.
        identifier: Of pings (icmp.ident).
    """

    src: NDArray[np.int64]
    dst: NDArray[np.int64]
    identifier: NDArray[np.int64]


def assign_icmp_errors(
    table: Columns, quotes: list[IcmpError], source: str, numbers: FlowNumbers, sending: Sending
) -> tuple[Columns, Errors]:
    """Assign each ICMP error to the flow that it quotes, with its meaning there.

    Args:
        table: Columns of TABLE.
        quotes: In order of their frames.
        source: What the table calls the source.
        numbers: What distinguishes the packets of each flow from others between the same ends.
        sending: Whose packets the source holds.
    """
    held = cache(sending.holds_of)
    returned = [quote._replace(proves=not held(quote.src, quote.dst)) for quote in quotes if quote.returned]
    errors, missing = _matched(table, returned, numbers)
    rows = [_quoted_row(source, *entry) for entry in missing.items()]
    errors |= {len(table["first_frame"]) + index: flow_errors for index, flow_errors in enumerate(missing.values())}
    table = {
        name: np.append(column, np.array([row[name] for row in rows], column.dtype)) for name, column in table.items()
    }
    names, answers, sources = table["icmp_error"].copy(), table["response"].copy(), table["src_ip"]
    went_on = table["frames_src"] > table["syn"] + table["rst"]
    for place, flow_errors in errors.items():
        forth = [error for error in flow_errors if error.src == sources[place] and error.packet_kind not in SENT_BACK]
        last = (telling(forth) or flow_errors)[-1]
        names[place] = f"{last.icmp_type}/{last.icmp_code}"
        if answers[place] in ("no-response", "mid-stream") or (answers[place] == "one-way" and not went_on[place]):
            answers[place] = _answer(answers[place], forth, len(flow_errors) - len(forth))
    return table | {"icmp_error": names, "response": answers}, errors


def _answer(otherwise: str, forth: list[IcmpError], back: int) -> str:
    """Return what the errors show of a flow without a response: the last meaningful one decides.

    Args:
        otherwise: What the flow says itself.
        forth: Errors about its originator's packets.
        back: How many there are about the responder's. Those say that it did answer, which was stopped on its way back.
    """
    if decisive := telling(forth):
        return _meaning(decisive[-1])
    return "one-way" if back and otherwise == "no-response" else otherwise


def telling(errors: list[IcmpError]) -> list[IcmpError]:
    """Return the errors that mean something, of these the ones that prove it if there are any."""
    meaningful = [error for error in errors if _meaning(error)]
    return [error for error in meaningful if error.proves] or meaningful


def _matched(
    table: Columns, quotes: list[IcmpError], numbers: FlowNumbers
) -> tuple[Errors, dict[Ends, list[IcmpError]]]:
    """Return the errors by row, and those about flows that have no row.

    quotes: they prove something already if the source could not hold what they quote. Of several flows an error is
    about the one whose numbers it quotes; where none fits (devices change them), the last.
    """
    places: dict[Ends, list[int]] = defaultdict(list)
    for place, ends in _rows(table, {address for quote in quotes for address in (quote.src, quote.dst)}):
        places[ends].append(place)
    first_frames = table["first_frame"]
    errors: Errors = defaultdict(list)
    missing: dict[Ends, list[IcmpError]] = defaultdict(list)
    for quote in quotes:
        about = _ends(quote)
        if about is None:
            continue
        echo = about[0] == PROTOCOLS[ICMP]
        candidates = places.get(about) or (not echo and places.get(_reverse(about))) or []
        earlier = [place for place in candidates if first_frames[place] <= quote.frame] or candidates[:1]
        if candidates:
            place, fits = _chosen(quote, earlier, table, numbers)
            errors[place].append(quote._replace(proves=quote.proves if fits is None else fits))
        else:
            missing[_likely_ends(quote, about)].append(quote)
    return dict(errors), missing


def _chosen(quote: IcmpError, places: list[int], table: Columns, numbers: FlowNumbers) -> tuple[int, bool | None]:
    """Return the last of these flows that holds what an error quotes, else the last, and whether it does."""
    has_evidence = False
    for place in reversed(places):
        fits = _is_of(quote, place, table, numbers)
        if fits:
            return place, True
        has_evidence |= fits is not None
    return places[-1], False if has_evidence else None


def _is_of(quote: IcmpError, place: int, table: Columns, numbers: FlowNumbers) -> bool | None:
    """Tell whether a flow holds the packet that an error quotes, or what that packet answers; None if nothing tells."""
    if quote.protocol in (ICMP, ICMPV6):
        return bool(numbers.identifier[place] == quote.src_port)
    forth = (quote.src, quote.src_port) == (table["src_ip"][place], table["src_port"][place])
    if quote.protocol == UDP:
        return bool(table["frames_src" if forth else "frames_dst"][place] > 0) or None
    if forth:
        return _within(quote.sequence, numbers.src[place], table["payload_src"][place])
    sent = _within(quote.sequence, numbers.dst[place], table["payload_dst"][place])
    answered = _within(quote.acknowledged, numbers.src[place], table["payload_src"][place])
    return sent if answered is None else bool(sent or answered)


def _within(number: int | None, first_number: int, payload: int) -> bool | None:
    """Tell whether a sequence number is one of those that so many bytes take; None if one of them is not known."""
    if number is None or first_number == MISSING:
        return None
    return bool((number - int(first_number)) % 2**32 <= payload + SYN_AND_FIN)


def _rows(table: Columns, addresses: set[str]) -> Iterator[tuple[int, Ends]]:
    """Yield place and ends of each flow that one of these addresses began."""
    chosen = [place for place, address in enumerate(table["src_ip"].tolist()) if address in addresses]
    names = ("protocol", "src_ip", "src_port", "dst_ip", "dst_port")
    columns = (table[name][chosen].tolist() for name in names)
    for place, protocol, src, src_port, dst, dst_port in zip(chosen, *columns, strict=True):
        icmp = protocol == PROTOCOLS[ICMP]
        yield place, (protocol, src, 0, dst, 0) if icmp else (protocol, src, src_port, dst, dst_port)


def _ends(quote: IcmpError) -> Ends | None:
    """Return the ends of the flow that is quoted, its originator first if it is known; None if there is none."""
    if quote.protocol in (TCP, UDP):
        ends = (PROTOCOLS[quote.protocol], quote.src, quote.src_port, quote.dst, quote.dst_port)
    elif quote.protocol in (ICMP, ICMPV6) and quote.packet_kind:
        ends = (PROTOCOLS[ICMP], quote.src, 0, quote.dst, 0)
    else:
        return None
    return _reverse(ends) if quote.packet_kind in SENT_BACK else ends


def _likely_ends(quote: IcmpError, ends: Ends) -> Ends:
    """Return the ends, originator first: what is seen to be no SYN is taken to go from or to the higher port."""
    middle = quote.protocol == TCP and not quote.packet_kind and quote.header_bytes >= FLAGS_QUOTED
    return _reverse(ends) if middle and quote.src_port < quote.dst_port else ends


def _reverse(ends: Ends) -> Ends:
    return ends[0], ends[3], ends[4], ends[1], ends[2]


def _quoted_row(source: str, ends: Ends, errors: list[IcmpError]) -> dict[str, Any]:
    """Return a row without frames for a flow of which only the ICMP errors about it were captured."""
    protocol, src, src_port, dst, dst_port = ends
    icmp = protocol == PROTOCOLS[ICMP]
    return dict.fromkeys(TABLE, 0) | {
        "source": source,
        "protocol": protocol,
        "src_ip": src,
        "src_port": MISSING if icmp else src_port,
        "dst_ip": dst,
        "dst_port": MISSING if icmp else dst_port,
        "icmp_type": ECHO_REQUEST[errors[0].version] if icmp else MISSING,
        "icmp_code": 0 if icmp else MISSING,
        "start": errors[0].time_ns,
        "end": errors[-1].time_ns,
        "conn_state": "OTH",
        "response": "mid-stream" if protocol == PROTOCOLS[TCP] else "no-response",
        "first_frame": errors[0].frame,
        "stream": MISSING,
    }


def _meaning(error: IcmpError) -> str:
    return MEANING[error.version].get((error.icmp_type, error.icmp_code), "")


def stream_numbers(table: Columns, quotes: list[IcmpError]) -> NDArray[np.int64]:
    """Return tcp.stream and udp.stream of each flow as Wireshark counts them, MISSING where there is none.

    Wireshark makes a stream of a header quoted in an ICMP error too, if it is whole and not yet known.
    """
    seen = table["frames_src"] + table["frames_dst"] > 0
    numbers = np.full(len(seen), MISSING)
    for protocol, header in STREAM_HEADER.items():
        rows = np.flatnonzero((table["protocol"] == PROTOCOLS[protocol]) & seen)
        quoted = [quote for quote in quotes if quote.protocol == protocol and quote.header_bytes >= header]
        numbers[rows] = np.arange(len(rows)) if not quoted else _numbers_among(table, rows, quoted)
    return numbers


def _numbers_among(table: Columns, rows: NDArray[np.int64], quoted: list[IcmpError]) -> NDArray[np.int64]:
    """Return the numbers of these flows when streams of quoted headers are counted in between."""
    names = ("first_frame", "src_ip", "src_port", "dst_ip", "dst_port")
    columns = (table[name][rows].tolist() for name in names)
    packets = [(row[0], 0, _both_ends(*row[1:])) for row in zip(*columns, strict=True)]
    errors = [(error.frame, 1, _both_ends(error.src, error.src_port, error.dst, error.dst_port)) for error in quoted]
    streams: set[Any] = set()
    reserved: dict[Any, int] = {}
    numbers: list[int] = []
    following = 0
    for _, is_error, ends in sorted(packets + errors, key=lambda entry: entry[:2]):
        if not is_error and ends in reserved:
            numbers.append(reserved.pop(ends))
            continue
        if is_error and ends in streams:
            continue
        if is_error:
            reserved[ends] = following
        else:
            numbers.append(following)
        streams.add(ends)
        following += 1
    return np.array(numbers, np.int64)


def _both_ends(src: str, src_port: int, dst: str, dst_port: int) -> frozenset[tuple[str, int]]:
    return frozenset(((src, src_port), (dst, dst_port)))
