"""Read short logs together: for each alone NumPy's own overhead takes longer than its few rows.

What reads a source is a generator: it yields the sections of a short log, and goes on with what was read of them.
Whoever drives it reads them, those of one source or of several.
"""

from __future__ import annotations

from collections.abc import Generator, Iterable
from typing import TYPE_CHECKING, TypeVar

if TYPE_CHECKING:
    from auditor.sources.logs.firewall_rows import Section, SectionRows

Contents = TypeVar("Contents")
Steps = Generator["Section", "SectionRows", Contents]


def read_single(steps: Steps[Contents]) -> Contents:
    """Return what one of them comes to."""
    return read_together([steps])[0]


def read_together(readers: Iterable[Steps[Contents]]) -> list[Contents]:
    """Return what all of them come to, in their order. Those whose addresses are numbered together are read at once."""
    contents: dict[int, Contents] = {}
    waiting: dict[int, tuple[Steps[Contents], Section]] = {}

    def go_on(number: int, steps: Steps[Contents], read: SectionRows | None) -> None:
        try:
            waiting[number] = steps, steps.send(read)  # type: ignore[arg-type] # None begins it
        except StopIteration as end:
            waiting.pop(number, None)
            contents[number] = end.value

    try:
        for number, steps in enumerate(readers):
            go_on(number, steps, None)
        while waiting:
            from auditor.sources.logs.firewall_rows import read_sections

            asked = list(waiting.items())
            sections = [section for _, (_, section) in asked]
            for (number, (steps, _)), read in zip(asked, read_sections(sections), strict=True):
                go_on(number, steps, read)
    finally:
        for steps, _ in waiting.values():  # which hold files open
            steps.close()
    return [contents[number] for number in sorted(contents)]
