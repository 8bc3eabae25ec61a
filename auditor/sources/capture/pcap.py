"""Read pcap, the older container: one header, then records of 16 bytes and a packet each.

Reference: draft-ietf-opsawg-pcap.
"""

from __future__ import annotations

import struct
from collections.abc import Iterator

import numpy as np
from numpy.typing import NDArray

from auditor.sources.capture import record_scan as chain
from auditor.sources.capture.byte_fields import Words
from auditor.sources.capture.records import MAX_PACKET, Account, Records
from auditor.sources.files.warnings import warning
from auditor.sources.files.window import Window

# Magic number: byte order, and nanoseconds of the unit that fractions of a second are counted in.
PCAP_MAGICS = {
    b"\xd4\xc3\xb2\xa1": ("<", 1_000),
    b"\xa1\xb2\xc3\xd4": (">", 1_000),
    b"\x4d\x3c\xb2\xa1": ("<", 1),
    b"\xa1\xb2\x3c\x4d": (">", 1),
}
FILE_HEAD, HEAD = 24, 16
LONGEST_ON_WIRE = 65_600  # the longest IP packet and its link header: enough to guess by
RESERVED_BITS = 0x03FF0000


class Pcap:
    """The records of one pcap file."""

    def __init__(self, window: Window, account: Account) -> None:
        self._window = window
        self._account = account
        self._order, self._unit = PCAP_MAGICS[bytes(window.data[window.begin : window.begin + 4])]

    def batches(self) -> Iterator[Records]:
        """Yield the records, one window full at a time."""
        window, account = self._window, self._account
        if window.end - window.begin < FILE_HEAD:
            account.warnings.append(warning("cut-short", "cut-in-header"))
            return
        link_type = self._link_type()
        window.begin += FILE_HEAD
        while True:
            walk = chain.walk(layout(window, self._order), window.data, window.begin, window.end)
            yield self._batch(walk.starts, link_type)
            window.begin = walk.end
            if walk.broken:
                return account.damaged(window)
            if not window.fill():
                return account.ended(window)

    def _link_type(self) -> int:
        field: int = struct.unpack_from(self._order + "I", self._window.data, self._window.begin + 20)[0]
        if field & RESERVED_BITS:
            self._account.warnings.append(warning("odd-header"))
        return field & 0xFFFF

    def _batch(self, at: chain.Positions, link_type: int) -> Records:
        head = Words(self._window.bytes, self._order).heads(at, HEAD)
        seconds, fraction, captured, original = (head.column("u4", 4 * i).astype(np.int64) for i in range(4))
        first_frame = self._account.records + 1
        return Records(
            data=self._window.bytes,
            start=at + HEAD,
            captured=captured,
            original=original,
            time_ns=seconds * 1_000_000_000 + fraction * self._unit,
            link_type=np.full(len(at), link_type, np.uint16),
            frame=np.arange(first_frame, first_frame + len(at)),
        )


def layout(window: Window, order: str) -> chain.Format:
    """Return how to walk over what the window holds now."""
    words = Words(window.bytes, order)
    lengths, length = words.view("u4", 8), struct.Struct(order + "I")

    def size(at: int) -> int:
        captured: int = length.unpack_from(window.data, at + 8)[0]
        return captured + HEAD if captured <= MAX_PACKET else chain.IMPOSSIBLE

    def sizes(at: chain.Positions) -> chain.Positions:
        captured = lengths[at].astype(np.int64)
        captured[captured > MAX_PACKET] = chain.IMPOSSIBLE
        return captured + HEAD

    def plausible(at: chain.Positions) -> NDArray[np.bool_]:
        fraction, captured, original = (words.u32(at + offset) for offset in (4, 8, 12))
        good: NDArray[np.bool_] = (captured <= original) & (original <= LONGEST_ON_WIRE) & (fraction < 1_000_000_000)
        return good

    high_half = 2 if order == "<" else 0  # the upper bytes of the seconds, which change every 18 hours
    at = window.begin + high_half
    return chain.Format(HEAD, size, sizes, plausible, (high_half, bytes(window.data[at : at + 2])))
