"""What the administrator must know about a source that was read all the same."""

from __future__ import annotations

from dataclasses import dataclass, field

from auditor.ruleset.statements import say


@dataclass(frozen=True, order=True)
class SourceWarning:
    """One warning about one source.

    Attributes:
        code: A code that `auditor explain` knows.
        text: A sentence.
        quoted: What in the sentence is the source's own text, empty if nothing is.
    """

    code: str
    text: str
    quoted: str = field(default="", compare=False)


def warning(code: str, kind: str = "", /, **fields: object) -> SourceWarning:
    """Return a warning, worded by the template of its code, or of its kind if one code has several.

    Args:
        code: A code that `auditor explain` knows.
        kind: Key of the template in the table of warnings.
        **fields: Those of the template; `quoted` is the source's own text.
    """
    return SourceWarning(code, say(f"warning.{kind or code}", **fields), str(fields.get("quoted", "")))
