"""How many worker processes this computer, or the part of it that a container may use, has room for."""

from __future__ import annotations

import os
from contextlib import suppress
from pathlib import Path

MOST = 3  # of themselves: so all together keep below a gigabyte; who has more memory names more
BYTES_EACH = 270 * 1024 * 1024
CGROUP = Path("/sys/fs/cgroup")


def usual_workers() -> int:
    """Return the default number of workers: one for each processor, as far as memory allows."""
    memory = _free_memory()
    room = MOST if memory is None else memory // BYTES_EACH
    return max(1, min(MOST, usable_processors(), room))


def usable_processors(cgroup: Path = CGROUP) -> int:
    """Return how many processors this process may use at a time, by affinity and by the quota of its container."""
    processors = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    quota = _quota(cgroup)
    return max(1, processors if quota is None else min(processors, quota))


def _quota(cgroup: Path) -> int | None:
    with suppress(OSError, ValueError, IndexError, ZeroDivisionError):
        allowed, period = (cgroup / "cpu.max").read_text().split()[:2]
        return None if allowed == "max" else -(-int(allowed) // int(period))
    with suppress(OSError, ValueError, ZeroDivisionError):
        allowed, period = ((cgroup / f"cpu/cpu.cfs_{word}_us").read_text() for word in ("quota", "period"))
        return None if int(allowed) < 0 else -(-int(allowed) // int(period))
    return None


def _free_memory(cgroup: Path = CGROUP, meminfo: Path = Path("/proc/meminfo")) -> int | None:
    """Return the bytes that are free; None where the system does not report it.

    Of a container it is the limit: what it uses already is mostly files that it has read, which give way.
    """
    free = []
    with suppress(OSError, ValueError, StopIteration, IndexError):
        line = next(line for line in meminfo.read_text().splitlines() if line.startswith("MemAvailable:"))
        free.append(int(line.split()[1]) * 1024)
    with suppress(OSError, ValueError):  # "max" is not a number
        free.append(int((cgroup / "memory.max").read_text()))
    return min(free, default=None)
