"""Read JSON objects one after the other out of a text of any size: one a line, in an array, or over many lines.

What is broken is counted and reported by its line, and reading goes on at the next object.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from typing import Any, NamedTuple, TextIO

from auditor.sources.files.text import SURROGATE_ESCAPE, whole_characters

PIECE = 256 * 1024
LONGEST = 4 * PIECE  # characters of one object; a Windows event is at most 64 KiB before it is written as JSON

# evtx_dump writes "Record 7" above each event by default.
_BETWEEN = re.compile(r"(?:[\s,\[\]\x00\ufeff]|Record \d+$)*", re.MULTILINE)
MOST_OPEN = 100  # brackets that open one after the other; more hold no list of events
_BEHIND = re.compile(r"[\s,\]\x00]|\Z")  # what may follow a value
_FIRST_KEY = re.compile(r'\{\s*"[^"\\]{0,100}"')
_DECODER = json.JSONDecoder()


class JsonRecord(NamedTuple):
    """One object and the line it begins in, or what is broken there: `fault` says why, `lost` how many objects."""

    line: int
    value: dict[str, Any]
    fault: str = ""
    lost: int = 0


def objects(text: TextIO) -> Iterator[JsonRecord]:
    """Yield what the text holds, in order; memory does not grow with the text."""
    return iter(_Objects(text))


class _Objects:
    """Walks over the text: buffer[at:] is unread, and begins in line `line`."""

    def __init__(self, text: TextIO) -> None:
        self._text = text
        self._buffer = ""
        self._at = 0
        self._line = 1
        self._ended = False
        self._one_a_line = True  # until an object is seen that takes several
        self._seen = False  # any object yet
        self._key = ""  # how the last object begins, up to its first name
        self._in_array = False  # whether the value that comes next follows a comma or bracket in its line
        self._only_brackets: list[int] = []  # lines that are not reported yet

    def __iter__(self) -> Iterator[JsonRecord]:
        more = True
        while more:
            more = self._more_to_read()
            yield from (JsonRecord(line, {}, "brackets that hold no object") for line in self._only_brackets)
            self._only_brackets = []
            if not more:
                return
            value, fault = self._next_value()
            if isinstance(value, dict):
                yield JsonRecord(self._line, value)
                begun = _FIRST_KEY.match(self._buffer, self._at)
                self._key = begun[0] if begun else self._key
                self._pass(self._end)
            elif not fault and self._in_array and _BEHIND.match(self._buffer, self._end):
                yield JsonRecord(self._line, {}, "no JSON object", 1)
                self._pass(self._end)
            else:
                line = self._line
                lost = self._skip_broken()
                yield JsonRecord(line, {}, fault or "no JSON object", lost)

    def _more_to_read(self) -> bool:
        """Move to the first character of the next value; False at the end of the text."""
        while True:
            between = _BETWEEN.match(self._buffer, self._at)
            passed = between[0] if between else ""
            if passed.count("[") > MOST_OPEN:
                lines = enumerate(passed.split("\n"), self._line)
                self._only_brackets += [line for line, piece in lines if piece.count("[") > MOST_OPEN]
            if passed:
                self._in_array = any(character in passed.rpartition("\n")[2] for character in ",[")
            self._pass(between.end() if between else self._at)
            if self._at < len(self._buffer):
                return True
            if not self._fill():
                return False

    def _next_value(self) -> tuple[Any, str]:
        """Return the value that begins here and set where it ends, or say why there is none."""
        while True:
            line_end = self._buffer.find("\n", self._at) if self._one_a_line else -1
            try:
                return self._decoded(line_end), ""
            except (ValueError, RecursionError) as error:
                if self._seen and line_end >= 0:
                    return None, _why(error, False)
                if len(self._buffer) - self._at < LONGEST and self._fill():
                    continue
                return None, _why(error, self._ended)

    def _decoded(self, line_end: int) -> Any:
        """Decode the line up to its end; where that is unknown or the line is no object, decode up to anywhere."""
        if line_end >= 0:
            try:
                value, length = _DECODER.raw_decode(self._buffer[self._at : line_end])
                self._end, self._seen = self._at + length, True
                return self._of_whole_characters(value)
            except ValueError:
                if self._seen:
                    raise
        value, self._end = _DECODER.raw_decode(self._buffer, self._at)
        self._seen = True
        self._one_a_line = "\n" not in self._buffer[self._at : self._end]
        return self._of_whole_characters(value)

    def _of_whole_characters(self, value: Any) -> Any:
        escaped = SURROGATE_ESCAPE.search(self._buffer, self._at, self._end)
        return whole_characters(value) if escaped else value

    def _skip_broken(self) -> int:
        """Move to the next object that begins as those before did; return how many objects were passed."""
        if self._in_array and self._key and self._skip_in_line():
            return 1
        line_begin = self._buffer.rfind("\n", 0, self._at) + 1
        prefix = self._buffer[line_begin : self._at]
        margin = prefix if prefix.isspace() else ""
        follower = re.compile(rf"\n{margin}(?=\{{)")
        self._at += 1  # it is not to be found again
        lost = 1
        while True:
            match = follower.search(self._buffer, self._at)
            end = match.end() if match else len(self._buffer)
            lines = self._buffer[self._at : end].split("\n")[1:]
            lost += sum(1 for line in lines if line.strip(" \t\r\x00[],")) if self._one_a_line else 0
            self._pass(end if match else max(end - len(margin) - 1, self._at))
            if match:
                return lost
            if not self._fill():
                self._pass(len(self._buffer))
                return lost

    def _skip_in_line(self) -> bool:
        """Move to the next object of an array that is written in one line, if there is one in what was read of it."""
        line_end = self._buffer.find("\n", self._at)
        follower = re.compile(rf",\s*(?={re.escape(self._key)})")
        match = follower.search(self._buffer, self._at, line_end if line_end >= 0 else len(self._buffer))
        if match:
            self._pass(match.end())
            self._in_array = True
        return bool(match)

    def _pass(self, end: int) -> None:
        self._line += self._buffer.count("\n", self._at, end)
        self._at = end

    def _fill(self) -> bool:
        """Read on, with what is unread in front; False at the end of the text."""
        piece = "" if self._ended else self._text.read(PIECE)
        self._ended = not piece
        if piece:
            self._buffer, self._at = self._buffer[self._at :] + piece, 0
        return bool(piece)


def _why(error: Exception, ended: bool) -> str:
    if isinstance(error, RecursionError):
        return "nested too deep"
    if not isinstance(error, json.JSONDecodeError):
        return "a number too long"
    return "the text ends in mid-object" if ended and error.pos >= len(error.doc.rstrip()) else error.msg
