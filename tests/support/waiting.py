"""Waiting for what another process does: as long as it takes, since no test measures time."""

from __future__ import annotations

import time
from collections.abc import Callable

PATIENCE = 600  # seconds; only what never happens takes as long: a test then fails instead of hanging


def wait_for(happened: Callable[[], bool]) -> None:
    """Wait until something has happened."""
    end = time.monotonic() + PATIENCE
    while not happened():
        assert time.monotonic() < end
        time.sleep(0.02)
