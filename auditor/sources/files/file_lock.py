"""Lock an open file for this process; the system lets go of it however the process ends."""

from __future__ import annotations

import sys


def lock(number: int) -> None:
    """Lock an open file until it is closed.

    Args:
        number: Its file descriptor.

    Raises:
        BlockingIOError: If another process has locked it.
        OSError: If the drive knows no locks.
    """
    if sys.platform != "win32":
        import fcntl

        fcntl.flock(number, fcntl.LOCK_EX | fcntl.LOCK_NB)
        return
    import msvcrt

    try:
        msvcrt.locking(number, msvcrt.LK_NBLCK, 1)
    except PermissionError as error:
        raise BlockingIOError from error
