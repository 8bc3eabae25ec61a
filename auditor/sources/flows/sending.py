"""Whose packets a source holds, so that of theirs none should be missing."""

from __future__ import annotations

from functools import cached_property
from typing import Any

import numpy as np
from numpy.typing import NDArray

from auditor.sources.capture.addresses import U64, Addresses, among, unique

Bools = NDArray[np.bool_]


class Sending:
    """Of which hosts a source holds what they send; it takes a moment to find out, so only when asked.

    Held is what a host sends to another if the source has connections or pings of it to any host, or anything that it
    sends to that other. Datagrams to other hosts do not count: one-way captures have broadcasts too; nor does
    what a host answers others: a capture at a server may hold nothing but answers.
    """

    def __init__(self, columns: dict[str, NDArray[Any]], addresses: Addresses) -> None:
        self._addresses = addresses
        self._src, self._dst, self._protocol = columns["src"], columns["dst"], columns["protocol"]
        self._forth, self._back = columns["frames_src"] > 0, columns["frames_dst"] > 0

    def holds(self, src: U64, dst: U64) -> Bools:
        """Return for some hosts, by number, whether what they send to others is kept."""
        began, pairs = self._held
        held: Bools = among(src, began) | among(_pairs(src, dst), pairs)
        return held

    def holds_of(self, src: str, dst: str) -> bool:
        """Return for one host, by address, whether what it sends to another is kept."""
        numbers = [self._addresses.host(address) for address in (src, dst)]
        if None in numbers:
            return False
        return bool(self.holds(*(np.array([number], np.uint64) for number in numbers))[0])

    @cached_property
    def _held(self) -> tuple[U64, U64]:
        """The hosts of which all is held, and the pairs of hosts of which the first sends to the second; sorted."""
        src, dst, forth, back = self._src, self._dst, self._forth, self._back
        began = unique(src[forth & (self._protocol != "udp")])
        return began, unique(np.concatenate([_pairs(src[forth], dst[forth]), _pairs(dst[back], src[back])]))


def _pairs(src: U64, dst: U64) -> U64:
    """Return one number for two hosts; those of IPv6 are as small as addresses that no host of IPv4 has."""
    both: U64 = (src << np.uint64(32)) | (dst & np.uint64(0xFFFFFFFF))
    return both
