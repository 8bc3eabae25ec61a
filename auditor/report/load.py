"""Read a saved report back: the JSON that `auditor analyze --format json` wrote, checked, as the same document."""

from __future__ import annotations

import json
import sys
from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from functools import cache
from pathlib import Path
from typing import Any, NoReturn

from auditor.errors import ReportError
from auditor.report import model as r
from auditor.report.as_json import schema
from auditor.report.fleet_as_json import KIND
from auditor.report.records import from_json
from auditor.sources.files.text import load_json

Check = Callable[[Any], None]
STANDARD = "-"
MOST_BYTES = 1024**3  # a report of 4,000 clients has a tenth of it
MOST_SHOWN = 200  # characters of what is wrong: it may quote the file
BROKEN_OFF = 8  # characters before the end where half a word of JSON may begin
ANEW = "Save it again: auditor analyze SOURCE... --format json -o FILE"


class FaultError(Exception):
    """The first thing in a saved report that is not as auditor writes it."""


def load_report(path: str | Path) -> r.Report:
    """Return the report that was saved in a file; "-" is standard input.

    It equals the one that was saved, but has no flow table. Raises ReportError in one line that says what is wrong:
    no such file, no report, one of a later version, cut short, or changed by hand so that it no longer makes sense.
    """
    return from_dict(read_json(str(path)), str(path))


def from_dict(document: Any, where: str = "report") -> r.Report:
    """Return the report that `Report.to_dict` gave this document of. Raises ReportError; where: its name there."""
    _check_version(document, where)
    with sound(where, ANEW):
        _checker()(document)
        report = from_json(r.Report, document)
        _check_sense(report)
    return report


@contextmanager
def sound(where: str, anew: str) -> Iterator[None]:
    """Raise ReportError for a fault in a saved report, the name of which is where. anew: how it is made again."""
    try:
        yield
    except FaultError as fault:
        raise ReportError(f"invalid report: {fault}", where=where, hint=anew) from None


def checker(schema: dict[str, Any]) -> Check:
    """Return a function that raises FaultError for a document that is not as its JSON Schema says."""
    import fastjsonschema  # here, since only saved reports need it

    # The code of a check that says nothing of a fault is compiled in 30 ms, that of one which does in 110.
    is_sound = fastjsonschema.compile(schema, use_default=False, detailed_exceptions=False)

    def check(document: Any) -> None:
        try:
            is_sound(document)
        except fastjsonschema.JsonSchemaValueException:
            raise _fault(schema, document) from None

    return check


def _fault(schema: dict[str, Any], document: Any) -> FaultError:
    import fastjsonschema

    message = "data is not as its schema says"
    try:
        fastjsonschema.compile(schema, use_default=False)(document)
    except fastjsonschema.JsonSchemaValueException as fault:
        message = fault.message
    place, _, what = message.removeprefix("data").removeprefix(".").partition(" ")
    return FaultError(f"{place or 'it'} {what}"[:MOST_SHOWN])


@cache
def _checker() -> Check:
    return checker(schema())


# from bytes to JSON


def read_json(path: str, anew: str = ANEW) -> Any:
    """Return the JSON in a file, "-" for standard input. Raises ReportError; anew: how such a file is made again."""
    return _parsed(_read(path, anew), path, anew)


def _read(path: str, anew: str) -> bytes:
    try:
        if path == STANDARD:
            content = sys.stdin.buffer.read(MOST_BYTES + 1)
        else:
            with open(path, "rb") as file:
                content = file.read(MOST_BYTES + 1)
    except FileNotFoundError:
        raise ReportError("no such file", where=path, hint="Check the path.") from None
    except IsADirectoryError:
        raise ReportError("this is a folder", where=path, hint="Name a saved report in it.") from None
    except OSError as error:
        hint = "Check that you have permission to read it."
        raise ReportError(f"cannot be read ({error.strerror})", where=path, hint=hint) from error
    if len(content) > MOST_BYTES:
        raise ReportError("the file is larger than 1 GiB, too large for a saved report", where=path, hint=anew)
    return content


def _parsed(content: bytes, path: str, anew: str = ANEW) -> Any:
    if not content.strip(b"\0 \t\r\n"):
        raise ReportError("the file is empty", where=path, hint=anew)
    try:
        text = content.decode(json.detect_encoding(content)).removeprefix("\ufeff")
    except UnicodeDecodeError:
        _no_json(path, "this is no text")
    if not text.lstrip().startswith(("{", "[")):
        _no_json(path, "this is no JSON")
    try:
        return load_json(text, parse_constant=_no_number)
    except json.JSONDecodeError as error:
        if error.pos >= len(text.rstrip()) - BROKEN_OFF or error.msg.startswith("Unterminated string"):
            message = f"the report ends in the middle, in line {error.lineno}"
        else:
            message = f"invalid JSON: {error.msg} in line {error.lineno}, column {error.colno}"
        raise ReportError(message, where=path, hint=anew) from None
    except MemoryError:
        hint = "Render it on a computer with more memory."
        raise ReportError("this report is too large for the memory of this computer", where=path, hint=hint) from None
    except RecursionError:
        raise ReportError("the file is nested too deeply for a report", where=path, hint=anew) from None
    except ValueError as error:  # a number with thousands of digits, or one that is none
        raise ReportError(f"invalid JSON: {error}", where=path, hint=anew) from None


def _no_json(path: str, message: str) -> NoReturn:
    hint = "Save a report: auditor analyze SOURCE... --format json -o FILE"
    raise ReportError(message, where=path, hint=hint) from None


def _no_number(word: str) -> NoReturn:
    raise ValueError(f"{word} is not a number")


def _check_version(document: Any, where: str) -> None:
    version = document.get("format_version") if isinstance(document, dict) else None
    if version is not None and document.get("kind") == KIND:
        message, hint = "this is the report of a fleet, not of one audit", "Name a report of auditor analyze."
        raise ReportError(message, where=where, hint=hint)
    if type(version) is not int or "clients" not in document:
        _no_json(where, "this is JSON, but no report of auditor")
    if version != r.FORMAT_VERSION:
        whose = "a later" if version > r.FORMAT_VERSION else "an earlier"
        hint = "Install the newer version of auditor." if version > r.FORMAT_VERSION else ANEW
        message = f"this report is from {whose} auditor (format_version {version}, supported: {r.FORMAT_VERSION})"
        raise ReportError(message, where=where, hint=hint)


# what a schema cannot say


def _check_sense(report: r.Report) -> None:
    """Raise FaultError where parts of the report contradict each other, so that no form of it would be true."""
    check_unique("clients", (client.address for client in report.clients))
    check_unique("pushes", (push.id for push in report.pushes))
    pushes = {None, *(push.id for push in report.pushes)}
    for client in report.clients:
        methods = {method.id for method in client.methods}
        if not methods:
            raise FaultError(f"client {client.address} has no methods")
        entries = (f"{method.id} {method.site_server or ''}".strip() for method in client.methods)
        check_unique(f"the methods of {client.address}", entries)
        for recommendation in client.recommendation:
            if recommendation.method not in methods:
                raise FaultError(f"client {client.address} has the unknown recommendation {recommendation.method}")
        for method in client.methods:
            if method.push not in pushes:
                raise FaultError(f"client {client.address} has the unknown push {method.push}")
            _check_method(method, client.address, len(report.sources))


def _check_method(method: r.MethodResult, client: str, sources: int) -> None:
    ids = {requirement.id for requirement in method.requirements}
    check_unique(f"the requirements of {method.id} for {client}", (row.id for row in method.requirements))
    for reason in method.reasons:
        if reason.requirement not in ids and not reason.is_step_alone:
            raise FaultError(f"{method.id} for {client} has the unknown reason {reason.requirement}")
        _check_evidence(f"{method.id} for {client}", reason.evidence, sources)
    for requirement in method.requirements:
        _check_evidence(f"{requirement.id} for {client}", requirement.evidence, sources)


def _check_evidence(place: str, proofs: Iterable[r.Evidence], sources: int) -> None:
    for evidence in proofs:
        if evidence.source >= sources:
            raise FaultError(f"{place} has evidence of source {evidence.source}, but there are {sources} sources")


def check_unique(collection: str, names: Iterable[str]) -> None:
    """Raise FaultError if a name is more than once in a collection, such as "clients"."""
    name, count = next(iter(Counter(names).most_common(1)), ("", 1))
    if count > 1:
        raise FaultError(f"{name} is more than once among {collection}")
