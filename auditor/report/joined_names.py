"""Words for a sentence: of many names the first few."""

from __future__ import annotations

from collections.abc import Sequence


def join_limited(names: Sequence[str], most: int) -> str:
    """Return names with commas between them; of more than `most` the first of them, and how many more there are."""
    more = f" and {len(names) - most:,} more" if len(names) > most else ""
    return ", ".join(names[:most]) + more
