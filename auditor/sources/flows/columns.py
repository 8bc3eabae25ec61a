"""Which columns a flow table has, and their types: the same for every source."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from typing import Any

from numpy.typing import NDArray

from auditor.sources.capture.packets import ICMP, TCP, UDP

# Columns of the flow table and their types in pandas: the same for every source, also when it is empty. As NumPy
# columns texts are objects, times are nanoseconds since 1970 UTC, and an Int64 that is missing is MISSING.
TABLE = {
    "source": "str",
    "protocol": "str",
    "src_ip": "str",
    "src_port": "Int64",
    "dst_ip": "str",
    "dst_port": "Int64",
    "icmp_type": "Int64",
    "icmp_code": "Int64",
    "start": "datetime64[ns, UTC]",
    "end": "datetime64[ns, UTC]",
    "frames_src": "int64",
    "frames_dst": "int64",
    "bytes_src": "int64",
    "bytes_dst": "int64",
    "payload_src": "int64",
    "payload_dst": "int64",
    "syn": "int64",
    "syn_ack": "int64",
    "fin": "int64",
    "rst": "int64",
    "conn_state": "str",
    "response": "str",
    "icmp_error": "str",
    "first_frame": "int64",
    "stream": "Int64",
}
MISSING = -1
PROTOCOLS = {TCP: "tcp", UDP: "udp", ICMP: "icmp"}
EVENTS = ("frame", "time_ns", "from_src", "packet", "sequence", "hop_count", "ip_id")

Columns = dict[str, NDArray[Any]]


class LazyColumns(Mapping[str, NDArray[Any]]):
    """Columns by name, each made when it is first asked for: of most tables few are.

    Args:
        factories: How each is made.
    """

    def __init__(self, factories: Mapping[str, Callable[[], NDArray[Any]]]) -> None:
        self._factories = factories
        self._columns: Columns = {}

    def __getitem__(self, name: str) -> NDArray[Any]:
        if name not in self._columns:
            self._columns[name] = self._factories[name]()
        return self._columns[name]

    def __contains__(self, name: object) -> bool:
        return name in self._factories

    def __iter__(self) -> Iterator[str]:
        return iter(self._factories)

    def __len__(self) -> int:
        return len(self._factories)

    def made(self, name: str) -> NDArray[Any]:
        """Return a column without keeping it for the next who asks: many do not fit into memory twice."""
        return self._columns[name] if name in self._columns else self._factories[name]()
