"""Summaries as Parquet files: one row for what one source says of one host, written whole or not at all."""

from __future__ import annotations

import json
import os
import stat
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import replace
from functools import cache
from io import BytesIO
from itertools import accumulate, pairwise
from operator import attrgetter
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from auditor.errors import AuditorError, MissingPackageError, OutputError, ReportError
from auditor.fleet.inventory.grouping import IndexEntry
from auditor.fleet.inventory.host_names import Owner
from auditor.fleet.summaries.reduction import COLUMNS, MOST_PORT, TEXTS, Facts, SummaryFlow, SummaryFlows
from auditor.fleet.summaries.summary import Entry, Summary, UnreadableSource
from auditor.render import output_file
from auditor.report.records import from_json, to_json
from auditor.ruleset.addresses import canonical
from auditor.sources.capture.packets import IcmpError
from auditor.sources.configmgr.facts import FactKind, ReportedSteps
from auditor.sources.files.skip_counts import Tally
from auditor.sources.files.warnings import SourceWarning
from auditor.sources.flows.columns import MISSING
from auditor.sources.flows.neighbors import NeighborRequests
from auditor.sources.flows.source_flows import FlowEvent, OneWayTraffic
from auditor.sources.source import CAPTURE, Source
from auditor.verdicts.installations.contacts import Contact
from auditor.version import VERSION

if TYPE_CHECKING:
    import pyarrow

FORMAT_VERSION = 3
VERSION_KEY, QUESTION_KEY, UNREAD_KEY = b"auditor.summary", b"auditor.question", b"auditor.unread"
AUDITOR_KEY = b"auditor.version"
SUFFIX = ".parquet"
REPORTED = "reported"  # the column of what logs of ConfigMgr report, as JSON
SOURCE_FIELDS = {
    "path": "string",
    "kind": "string",
    "format": "string",
    "bytes": "int64",
    "records": "int64",
    "skipped": "int64",
    "first_ns": "int64",
    "last_ns": "int64",
    "understood": "int64",
    "clock": "string",
    "outlasted_frame": "int64",
}
ENTRY_FIELDS = {
    "host": "string",
    "site": "string",
    "size": "int64",
    "modified_ns": "int64",
    "digest": "string",
    "left_out": "int64",
}
OWNER_FIELDS = {"address": "string", "host": "string", "site": "string"}
EVENT_FIELDS = {
    "frame": "int64",
    "time_ns": "int64",
    "from_src": "bool",
    "what": "string",
    "sequence": "int64",
    "hop_count": "int64",
    "ip_id": "int64",
}
QUOTE_FIELDS = {
    "frame": "int64",
    "time_ns": "int64",
    "sender": "string",
    "receiver": "string",
    "version": "int64",
    "icmp_type": "int64",
    "icmp_code": "int64",
    "protocol": "int64",
    "what": "string",
    "src": "string",
    "src_port": "int64",
    "dst": "string",
    "dst_port": "int64",
    "sequence": "int64",
    "acknowledged": "int64",
    "header_bytes": "int64",
    "proves": "bool",
}
KEPT_FIELDS = {name: "string" if name in TEXTS else "int64" for name in (*COLUMNS, "identifier")}
CONTACT_FIELDS = {
    "src": "string",
    "dst": "string",
    "echo": "bool",
    "dynamic": "bool",
    "controller": "bool",
    "other_ports": "int64",
    "dynamic_ports": "int64",
    "apart": "bool",
    "sent": "bool",
    "talked": "bool",
    "retried": "bool",
    "bare": "bool",
    "insisted": "bool",
    "accepted": "bool",
    "first_ns": "int64",
    "last_ns": "int64",
}
WARNING_FIELDS = {"code": "string", "text": "string"}
ASKED_FIELDS = {"asker": "string", "target": "string"}
ATTRIBUTES = {"what": "packet_kind", "asker": "requester"}  # of fields that the file calls otherwise
MAY_LACK = frozenset(
    ("first_ns", "last_ns", "drops", "allows", "application", "filter_origin", "sequence", "acknowledged")
)
NEVER_EMPTY = frozenset(("frames", "times_ns", "ports"))
ADDRESSES = frozenset(
    ("addresses", "heard", "on_link", "one_sided_hosts", "one_sided_pairs", "src_ip", "dst_ip", "asker", "target")
) | {"sender", "receiver", "src", "dst", "address"}
MOST = 2**53  # of bytes or rows: more are of no file, and their sum must go into the report
COUNTS = ("size", "bytes", "records", "skipped", "understood", "drops", "allows", "stands_for", "left_out")
RANGES = dict.fromkeys(COUNTS, (0, MOST)) | dict.fromkeys(("src_port", "dst_port"), (MISSING, MOST_PORT))
RANGES |= {"hop_count": (0, 0xFF), "ip_id": (0, 0xFFFF)}
# What a portion of sources cannot exceed: rows, bytes unpacked, and values, which a small file can repeat without end.
MOST_ROWS, MOST_BYTES, MOST_VALUES = 100_000, 2 * 10**9, 250_000_000
BROKEN = "Copy it again. If `auditor batch` wrote it here, delete it and run `auditor batch` again."


def parquet() -> Any:
    """Return pyarrow's Parquet module.

    Raises:
        MissingPackageError: Where it is not installed.
    """
    try:
        import pyarrow.parquet
    except ImportError as error:
        hint = "Install it with: pipx inject auditor pyarrow (or pip install pyarrow)."
        raise MissingPackageError("Parquet files of a fleet need the package pyarrow", hint=hint) from error
    return pyarrow.parquet


def write(path: Path, summary: Summary, question: str) -> None:
    """Write a summary to a Parquet file that appears whole.

    Args:
        path: The file.
        summary: What is written.
        question: What it answers, in the words of `batch`.

    Raises:
        OutputError: If it cannot be written: that is no fault of the files that it is of.
    """
    _write(path, _table(summary.entries), summary.unread, question)


class Label(NamedTuple):
    """Whose a row of a summary is.

    Attributes:
        host: Its name.
        site: Its site.
        owners: Which of its addresses belong to computers of the map.
    """

    host: str
    site: str
    owners: tuple[Owner, ...]


def rewrite_summary(path: Path, labels: Sequence[Label], unread: Sequence[UnreadableSource], question: str) -> None:
    """Write a summary again for another question that it answers as well, and under other names.

    Args:
        path: The summary.
        labels: One for each row.
        unread: The files that could not be read, under their new names.
        question: What it is to answer.
    """
    table = _columns_of(opened(path), path)
    columns = {
        "host": _texts([label.host for label in labels]),
        "site": _texts([label.site for label in labels]),
        "owners": _lists([label.owners for label in labels], _structs(OWNER_FIELDS)),
    }
    for name, values in columns.items():
        at = table.schema.get_field_index(name)
        table = table.set_column(at, table.schema.field(at), values)
    _write(path, table, unread, question)


def _write(path: Path, table: pyarrow.Table, unread: Sequence[UnreadableSource], question: str) -> None:
    lost = json.dumps([file.__dict__ for file in unread])
    about = {VERSION_KEY: str(FORMAT_VERSION), AUDITOR_KEY: VERSION, QUESTION_KEY: question, UNREAD_KEY: lost}
    table = table.replace_schema_metadata(about)
    try:
        with output_file.replacing(path) as out:  # pyarrow takes no path that is not Unicode
            parquet().write_table(table, out, compression="lz4", write_page_checksum=True)
    except OSError as error:
        hint = "Free disk space, or choose a folder that you can write to. The same command then continues."
        reason = os.strerror(error.errno) if error.errno else error
        raise OutputError(f"the summaries cannot be written ({reason})", where=str(path.parent), hint=hint) from error


def read(path: Path) -> Summary:
    """Return the summary in a Parquet file.

    Raises:
        ReportError: If it is none, is broken, or of another version.
    """
    file = opened(path)
    return Summary(tuple(_entries(_checked(file, path))), _unread(file, path))


def entries(path: Path, rows: Iterable[int]) -> list[Entry]:
    """Return some entries of a summary, by their rows.

    Raises:
        ReportError: As `read` does.
    """
    table, wanted = _columns_of(opened(path), path), list(rows)
    is_all = wanted == list(range(len(table)))
    return list(_entries(table if is_all else table.take(_numbers(wanted))))


class SummaryIndex(NamedTuple):
    """What is to be known of a summary without reading all of it.

    Attributes:
        entries: Its rows.
        unread: The files that could not be read.
        question: What it was made for, as it was given to `write`.
        auditor: The version that wrote it.
    """

    entries: list[IndexEntry]
    unread: tuple[UnreadableSource, ...]
    question: str
    auditor: str


def outline(path: Path, *, own: bool = False) -> SummaryIndex:
    """Return the outline of a summary.

    All in it is checked, so that what is read of it later can be trusted, unless this very run wrote it (own). Raises
    ReportError as `read` does.
    """
    file = opened(path)
    question = _about(file, QUESTION_KEY)
    names = IndexEntry._fields[: IndexEntry._fields.index("shard")]
    table = _columns_of(file, path, names) if own else _checked(file, path)
    columns = {name: table.column(name).combine_chunks() for name in names}
    values = {name: column.to_pylist() for name, column in columns.items() if name not in ("addresses", "owners")}
    values["addresses"] = list(map(tuple, columns["addresses"].to_pylist()))
    values["owners"] = list(map(tuple, _unlisted(columns["owners"], _made(Owner, OWNER_FIELDS))))
    rows = enumerate(zip(*(values[name] for name in names), strict=True))
    entries = [IndexEntry._make((*of_row, str(path), row, question, False, "")) for row, of_row in rows]
    return SummaryIndex(entries, _unread(file, path), question, _about(file, AUDITOR_KEY))


class SourceContacts(NamedTuple):
    """Who tried to reach whom in one source: at the ports of a push, and by requests for a hardware address."""

    contacts: Sequence[Contact]
    asked: Sequence[NeighborRequests]


def met(path: Path) -> list[SourceContacts]:
    """Return who tried to reach whom in each source of a summary.

    Raises:
        ReportError: As `read` does.
    """
    table = _columns_of(opened(path), path, ("contacts", "asked"))
    contacts = _unlisted(table.column("contacts").combine_chunks(), _contacts)
    asked = _unlisted(table.column("asked").combine_chunks(), _asked)
    return list(map(SourceContacts, contacts, asked))


def heard(path: Path, wanted: Callable[[str], bool]) -> dict[str, list[int]]:
    """Return the rows of a summary in whose sources some hosts sent anything.

    Args:
        path: The summary.
        wanted: Returns for an address whether it is requested.

    Raises:
        ReportError: As `read` does.
    """
    import pyarrow.compute as pc

    column = _columns_of(opened(path), path, ("heard",)).column("heard").combine_chunks()
    rows = np.repeat(np.arange(len(column)), np.diff(column.offsets.to_pylist()))
    codes = pc.dictionary_encode(column.values)
    code_of_value = np.array(codes.indices.to_pylist(), np.int64)  # as in _lacks_rows
    return {
        address: rows[code_of_value == code].tolist()
        for code, address in enumerate(codes.dictionary.to_pylist())
        if wanted(address)
    }


def stating(path: Path, kinds: Iterable[FactKind]) -> list[int]:
    """Return the rows of a summary whose logs may state a fact of some kinds.

    Args:
        path: The summary.
        kinds: Of facts.

    Raises:
        ReportError: As `read` does.
    """
    import pyarrow.compute as pc

    file = opened(path)
    if REPORTED not in file.schema_arrow.names:
        return []
    texts = _columns_of(file, path, (REPORTED,)).column(REPORTED)
    rows = (pc.indices_nonzero(pc.match_substring(texts, f'"{kind.value}"')).to_pylist() for kind in kinds)
    return sorted({row for of_kind in rows for row in of_kind})


def _columns_of(file: pyarrow.parquet.ParquetFile, path: Path, names: Sequence[str] | None = None) -> pyarrow.Table:
    with _intact(path, "this summary is corrupted", BROKEN):
        return file.read(columns=None if names is None else list(names))


def _checked(file: pyarrow.parquet.ParquetFile, path: Path) -> pyarrow.Table:
    """Return all of a summary. Raises ReportError if anything in it is not as `write` writes it."""
    table = _columns_of(file, path)
    with _intact(path, "this summary is corrupted", BROKEN):
        table.validate(full=True)
        columns = zip(table.column_names, table.columns, strict=True)
        fault = next((fault for name, column in columns for part in column.chunks for fault in _faults(name, part)), "")
        if not fault and _lacks_rows(table):
            fault = "there is nothing in events"
    if fault:
        raise _broken(path, fault)
    return table


def _lacks_rows(table: pyarrow.Table) -> bool:
    """Tell whether a flow of a log has no row; in a capture there may be nothing but an ICMP error about it."""
    flows = table.column("flows").combine_chunks()
    # By way of lists: pyarrow's own conversion loads pandas, which takes longer than all else here.
    is_log = np.array([kind != CAPTURE for kind in table.column("kind").to_pylist()], np.bool_)
    rows = np.array(flows.flatten().field("events").value_lengths().to_pylist(), np.int64)
    counts = np.array(flows.value_lengths().to_pylist(), np.int64)
    return bool(np.any(rows[np.repeat(is_log, counts)] == 0))


def _faults(name: str, column: Any) -> Iterator[str]:
    """Yield what cannot be in a column, or in what stands in it."""
    import pyarrow as pa
    import pyarrow.compute as pc

    if column.null_count and name not in MAY_LACK:
        yield f"there is no value for {name}"
    elif pa.types.is_list(column.type):
        if name in NEVER_EMPTY and pc.min(column.value_lengths()).as_py() == 0:
            yield f"there is nothing in {name}"
        yield from _faults(name, column.flatten())
    elif pa.types.is_struct(column.type):
        for field, values in zip(column.type, column.flatten(), strict=True):
            yield from _faults(field.name, values)
    elif name in RANGES and len(column) > column.null_count:
        (low, high), limits = RANGES[name], pc.min_max(column).as_py()
        if wrong := [value for value in limits.values() if not low <= value <= high]:
            yield f"{name} is {wrong[0]}"
    elif name == REPORTED:
        if not all(map(_is_reported, pc.unique(column).to_pylist())):
            yield f"in {name} is something that is no report of a log"
    elif name in ADDRESSES:
        words = [word for text in pc.unique(column).to_pylist() for word in _words(name, text)]
        if not all(map(canonical, words)):
            yield f"in {name} is something that is no address"


def _words(name: str, text: str) -> tuple[str, ...]:
    return _pair(text) if name == "one_sided_pairs" else (text,)


def _broken(path: Path, fault: str) -> ReportError:
    return ReportError(f"this summary is corrupted: {fault}", where=str(path), hint=BROKEN)


@contextmanager
def _intact(path: Path, problem: str, hint: str) -> Iterator[None]:
    """Raise ReportError for all that reading a damaged file ends in; too little memory is no damage."""
    import pyarrow

    try:
        yield
    except MemoryError as error:
        short = "Use fewer processes (--workers 1) or more memory. The same command then continues."
        raise AuditorError("there is not enough memory to read this summary", where=str(path), hint=short) from error
    except (OSError, UnicodeDecodeError, pyarrow.ArrowException) as error:
        raise ReportError(problem, where=str(path), hint=hint) from error


def _about(file: pyarrow.parquet.ParquetFile, key: bytes) -> str:
    return str((file.metadata.metadata or {}).get(key, b"").decode("utf-8", "replace"))


def _unread(file: pyarrow.parquet.ParquetFile, path: Path) -> tuple[UnreadableSource, ...]:
    try:
        listed = json.loads(_about(file, UNREAD_KEY) or "[]")
    except (ValueError, RecursionError):
        listed = None
    if not isinstance(listed, list) or not all(map(_is_unread, listed)):
        raise _broken(path, "the list of unreadable files is invalid")
    return tuple(UnreadableSource(**fields) for fields in listed)


def _is_unread(fields: Any) -> bool:
    if not isinstance(fields, dict) or set(fields) != set(UnreadableSource.__dataclass_fields__):
        return False
    numbers = fields["size"], fields["modified_ns"]
    texts = [value for name, value in fields.items() if name not in ("size", "modified_ns")]
    return (
        all(type(number) is int and abs(number) < 2**63 for number in numbers)
        and 0 <= fields["size"] <= MOST
        and all(map(is_text, texts))
    )


def is_text(value: Any) -> bool:
    """Tell whether something is text that can be written: JSON can hold halves of letters."""
    return isinstance(value, str) and not any("\ud800" <= letter <= "\udfff" for letter in value)


def opened(path: Path) -> pyarrow.parquet.ParquetFile:
    """Open a summary.

    Raises:
        ReportError: If the file is none, is broken, too large, or of a newer version.
    """
    reader = parquet()
    with _intact(path, "not a summary file of `auditor batch`, or a corrupted one", "Copy it again."):
        if not stat.S_ISREG(path.stat().st_mode):  # to open a pipe or a device may take for ever
            raise ReportError("not a file", where=str(path), hint="Name the summaries that `auditor batch` wrote.")
        file = reader.ParquetFile(_readable(path), page_checksum_verification=True)
        is_ours = any(file.schema_arrow.equals(fields) for fields in (_fields(), _fields_without_reported()))
    version = (file.metadata.metadata or {}).get(VERSION_KEY)
    if version is None:
        problem = "not a summary file of `auditor batch`"
        raise ReportError(problem, where=str(path), hint="Name the files in the folder `summaries` of its output.")
    if version != str(FORMAT_VERSION).encode():
        problem = (
            f"this summary is of format {version.decode('ascii', 'replace')}, and this auditor reads {FORMAT_VERSION}"
        )
        raise ReportError(
            problem, where=str(path), hint="Use the same version for `auditor batch` and `auditor merge`."
        )
    if not is_ours:
        raise _broken(path, "its columns are others than `auditor batch` writes")
    _check_size(file.metadata, path)
    return file


def _readable(path: Path) -> Path | BytesIO:
    """Return what pyarrow reads: it takes no path that is not Unicode."""
    try:
        os.fspath(path).encode()
    except UnicodeEncodeError:
        return BytesIO(path.read_bytes())
    return path


@cache
def _fields() -> pyarrow.Schema:
    """Return the columns of every summary."""
    import pyarrow as pa

    kinds = {"string": pa.string(), "int64": pa.int64(), "bool": pa.bool_()}
    texts, numbers = pa.list_(pa.string()), pa.list_(pa.int64())

    def plain(fields: Mapping[str, str]) -> list[tuple[str, Any]]:
        return [(name, kinds[kind]) for name, kind in fields.items()]

    def structs(fields: Mapping[str, str], *more: tuple[str, Any]) -> Any:
        return pa.list_(pa.struct([*plain(fields), *more]))

    return pa.schema(
        [
            *plain(ENTRY_FIELDS),
            ("addresses", texts),
            ("owners", structs(OWNER_FIELDS)),
            *plain(SOURCE_FIELDS),
            ("warnings", structs(WARNING_FIELDS)),
            ("drops", pa.int64()),
            ("allows", pa.int64()),
            ("heard", texts),
            ("on_link", texts),
            ("asked", structs(ASKED_FIELDS, ("frames", numbers), ("times_ns", numbers))),
            ("one_sided_pairs", texts),
            ("one_sided_hosts", texts),
            ("contacts", structs(CONTACT_FIELDS, ("ports", numbers))),
            ("flows", structs(KEPT_FIELDS, ("events", structs(EVENT_FIELDS)), ("errors", structs(QUOTE_FIELDS)))),
            (REPORTED, pa.string()),
        ]
    )


@cache
def _fields_without_reported() -> pyarrow.Schema:
    """Return the columns of a summary that was written before logs of ConfigMgr were summarized."""
    fields = _fields()
    return fields.remove(fields.get_field_index(REPORTED))


def _check_size(footer: Any, path: Path) -> None:
    """Raise ReportError if a file holds more than `batch` puts into one: it may be small and fill all memory."""
    groups = [footer.row_group(number) for number in range(footer.num_row_groups)]
    values = sum(group.column(number).num_values for group in groups for number in range(group.num_columns))
    for count, most, unit in (
        (max(footer.num_rows, sum(group.num_rows for group in groups)), MOST_ROWS, "rows"),
        (sum(group.total_byte_size for group in groups), MOST_BYTES, "bytes when unpacked"),
        (values, MOST_VALUES, "values"),
    ):
        if not 0 <= count <= most:
            raise ReportError(
                f"this summary holds {count:,} {unit}, and `auditor batch` writes {most:,} at most",
                where=str(path),
                hint="Copy it again, or leave it out.",
            )


# rows; columns are built and taken apart as a whole, which is many times as fast as row by row


def _table(entries: Sequence[Entry]) -> pyarrow.Table:
    """Return the entries as a table."""
    import pyarrow as pa

    sources = [entry.source for entry in entries]
    details = [_kept(source) for source in sources]
    columns = {
        **_columns(entries, ENTRY_FIELDS),
        "addresses": _lists([entry.addresses for entry in entries], _texts),
        "owners": _lists([entry.owners for entry in entries], _structs(OWNER_FIELDS)),
        **_columns(sources, SOURCE_FIELDS),
        "warnings": _lists([source.warnings for source in sources], _structs(WARNING_FIELDS)),
        "drops": pa.array([flows.facts and flows.facts.drops for flows in details], pa.int64()),
        "allows": pa.array([flows.facts and flows.facts.allows for flows in details], pa.int64()),
        "heard": _lists([sorted(flows.heard) for flows in details], _texts),
        "on_link": _lists([sorted(flows.on_link) for flows in details], _texts),
        "asked": _lists([flows.asked for flows in details], _asked_columns),
        "one_sided_pairs": _lists([list(map(" ".join, sorted(flows.one_sided.pairs))) for flows in details], _texts),
        "one_sided_hosts": _lists([sorted(flows.one_sided.hosts) for flows in details], _texts),
        "contacts": _lists([flows.contacts for flows in details], _contact_columns),
        "flows": _lists([flows.flows for flows in details], _flow_columns),
        REPORTED: _texts([_reported_text(source.reported) for source in sources]),
    }
    return pa.table(columns)


def _reported_text(reported: ReportedSteps | None) -> str:
    return "" if reported is None else json.dumps(to_json(replace(reported, unknown_errors=())))


def _reported(text: str) -> ReportedSteps | None:
    """Return what a log of ConfigMgr reports. Raises ValueError, KeyError, or TypeError if it is not as written."""
    return from_json(ReportedSteps, json.loads(text)) if text else None


def _is_reported(text: str) -> bool:
    try:
        _reported(text)
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError):
        return False
    return True


def _kept(source: Source) -> SummaryFlows:
    assert isinstance(source.details, SummaryFlows)
    return source.details


def _columns(things: Sequence[Any], fields: Mapping[str, str]) -> dict[str, Any]:
    import pyarrow as pa

    kinds = {"string": pa.string(), "int64": pa.int64(), "bool": pa.bool_()}
    attributes = attrgetter(*(ATTRIBUTES.get(name, name) for name in fields))
    values = zip(*map(attributes, things), strict=True) if things else ((),) * len(fields)
    return {name: pa.array(column, kinds[kind]) for (name, kind), column in zip(fields.items(), values, strict=True)}


def _texts(values: Sequence[str]) -> Any:
    import pyarrow as pa

    return pa.array(values, pa.string())


def _numbers(values: Sequence[int]) -> Any:
    import pyarrow as pa

    return pa.array(values, pa.int64())


def _structs(fields: Mapping[str, str]) -> Callable[[Sequence[Any]], Any]:
    return lambda things: _struct(_columns(things, fields))


def _struct(columns: Mapping[str, Any]) -> Any:
    import pyarrow as pa

    return pa.StructArray.from_arrays(list(columns.values()), list(columns))


def _lists(lists: Sequence[Sequence[Any]], column: Callable[[Sequence[Any]], Any]) -> Any:
    """Return a column of lists. column: makes a column of what is in all of them."""
    import pyarrow as pa

    ends = pa.array([0, *accumulate(map(len, lists))], pa.int32())
    return pa.ListArray.from_arrays(ends, column([value for values in lists for value in values]))


def _flow_columns(flows: Sequence[SummaryFlow]) -> Any:
    return _struct(
        {
            **_columns(flows, KEPT_FIELDS),
            "events": _lists([flow.events for flow in flows], _structs(EVENT_FIELDS)),
            "errors": _lists([flow.errors for flow in flows], _structs(QUOTE_FIELDS)),
        }
    )


def _contact_columns(contacts: Sequence[Contact]) -> Any:
    ports = _lists([sorted(contact.ports) for contact in contacts], _numbers)
    return _struct({**_columns(contacts, CONTACT_FIELDS), "ports": ports})


def _asked_columns(asked: Sequence[NeighborRequests]) -> Any:
    times = {name: _lists([getattr(requests, name) for requests in asked], _numbers) for name in ("frames", "times_ns")}
    return _struct({**_columns(asked, ASKED_FIELDS), **times})


def _entries(table: pyarrow.Table) -> Iterator[Entry]:
    """Yield the entries of a table."""
    table = table.combine_chunks()
    column = {name: table.column(name).combine_chunks() for name in table.column_names}
    plain = {name: column[name].to_pylist() for name in (*ENTRY_FIELDS, *SOURCE_FIELDS, "drops", "allows")}
    addresses, heard, on_link, hosts, pairs = (
        _unlisted(column[name], _values)
        for name in ("addresses", "heard", "on_link", "one_sided_hosts", "one_sided_pairs")
    )
    owners = _unlisted(column["owners"], _made(Owner, OWNER_FIELDS))
    warnings = _unlisted(column["warnings"], _made(SourceWarning, WARNING_FIELDS))
    asked = _unlisted(column["asked"], _asked)
    contacts = _unlisted(column["contacts"], _contacts)
    flows = _unlisted(column["flows"], _flows)
    reported = column[REPORTED].to_pylist() if REPORTED in column else [""] * len(table)
    for number in range(len(table)):
        row = {name: values[number] for name, values in plain.items()}
        details = SummaryFlows(
            flows=tuple(flows[number]),
            heard=frozenset(heard[number]),
            asked=tuple(asked[number]),
            one_sided=OneWayTraffic(
                frozenset(_pair(pair) for pair in pairs[number]),
                frozenset(hosts[number]),
            ),
            facts=None if row["drops"] is None else Facts(row["drops"], row["allows"]),
            contacts=tuple(contacts[number]),
            on_link=frozenset(on_link[number]),
        )
        source = Source(
            **{name: row[name] for name in SOURCE_FIELDS},
            warnings=tuple(warnings[number]),
            tally=Tally(),
            details=details,
            reported=_reported(reported[number]),
        )
        own = {name: row[name] for name in ENTRY_FIELDS}
        yield Entry(**own, addresses=tuple(addresses[number]), owners=tuple(owners[number]), source=source)


def _pair(text: str) -> tuple[str, str]:
    src, _, dst = text.partition(" ")
    return src, dst


def _unlisted(column: Any, make: Callable[[Any], list[Any]]) -> list[list[Any]]:
    """Return the lists of a column. made: makes things of a column of all that is in the lists."""
    ends = column.offsets.to_pylist()
    values = make(column.values)
    return [values[begin:end] for begin, end in pairwise(ends)]


def _values(column: Any) -> list[Any]:
    values: list[Any] = column.to_pylist()
    return values


def _made(kind: Callable[..., Any], fields: Iterable[str]) -> Callable[[Any], list[Any]]:
    return lambda column: list(map(kind, *(column.field(name).to_pylist() for name in fields)))


def _zipped(column: Any, fields: Iterable[str]) -> Iterator[tuple[Any, ...]]:
    return zip(*(column.field(name).to_pylist() for name in fields), strict=True)


def _flows(column: Any) -> list[SummaryFlow]:
    events = map(tuple, _unlisted(column.field("events"), _made(FlowEvent, EVENT_FIELDS)))
    errors = map(tuple, _unlisted(column.field("errors"), _made(IcmpError, QUOTE_FIELDS)))
    plain = (column.field(name).to_pylist() for name in COLUMNS)
    return list(map(SummaryFlow, *plain, events, errors, column.field("identifier").to_pylist()))


def _contacts(column: Any) -> list[Contact]:
    names = [name for name in Contact._fields if name != "ports"]
    ports = _unlisted(column.field("ports"), _values)
    rows = _zipped(column, names)
    return [
        Contact(**dict(zip(names, row, strict=True)), ports=frozenset(of)) for row, of in zip(rows, ports, strict=True)
    ]


def _asked(column: Any) -> list[NeighborRequests]:
    frames, times = (_unlisted(column.field(name), _values) for name in ("frames", "times_ns"))
    hosts = _zipped(column, ASKED_FIELDS)
    return [
        NeighborRequests(requester, target, tuple(at), tuple(when))
        for (requester, target), at, when in zip(hosts, frames, times, strict=True)
    ]
