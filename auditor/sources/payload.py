"""Search of single packets for words, to choose the flows that are worth dissecting."""

from __future__ import annotations

from collections.abc import Collection
from pathlib import Path

from auditor.sources.extract import frames_of


def frames_with(path: Path, frames: Collection[int], words: Collection[bytes]) -> frozenset[int]:
    """Return which of these frames hold any of the words, whatever their case.

    This only chooses: what a packet means is left to tshark.

    Args:
        path: The capture.
        frames: Frame numbers.
        words: In lower case.

    Returns:
        Frame numbers.
    """
    if not frames:
        return frozenset()
    return frozenset(
        record.frame for record in frames_of(path, frames) if any(word in record.data.lower() for word in words)
    )
