"""Which packets that a firewall dropped are no attempts, but late ones of connections."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

Ints = NDArray[np.int64]

# Programs listen below this port and do not open connections from there (RFC 6335, section 6: system ports), so that a
# packet from there to a higher port is an answer. A firewall drops it when it has forgotten the connection.
SYSTEM_PORTS = 1024
RETRY_S = 64  # a SYN is sent again after 32 seconds at most (Windows: 12), so one after this pause is a new one
GIVEN_UP_S = 21  # after this time Windows waits no more for the answer to its SYN


def looks_like_reply(src_port: Ints, dst_port: Ints) -> NDArray[np.bool_]:
    """Return by their ports alone which packets are of a service that answers."""
    answer: NDArray[np.bool_] = (src_port < SYSTEM_PORTS) & (dst_port >= SYSTEM_PORTS)
    return answer


def last_allowed_index(same: Sequence[Ints], allowed: NDArray[np.bool_]) -> Ints:
    """Return for each place the nearest earlier one that was allowed and is equal in all of `same`, -1 if none is."""
    count = len(allowed)
    indices = np.full(count, -1, np.int64)
    if not allowed.any() or allowed.all():
        return indices
    # Places that are equal stand together. Of a stretch "allowed, dropped, dropped" the latest rank that was allowed is
    # 0 for all three; where it lies before the stretch, it is of other ends.
    order = np.lexsort(list(same))  # it keeps equal ones in the order given
    new = np.ones(count, np.bool_)
    new[1:] = np.logical_or.reduce([column[order][1:] != column[order][:-1] for column in same])
    rank = np.arange(count)
    begin = np.maximum.accumulate(np.where(new, rank, 0))
    latest = np.maximum.accumulate(np.where(allowed[order], rank, -1))
    indices[order] = np.where(latest >= begin, order[latest], -1)
    return indices
