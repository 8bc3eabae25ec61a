"""The report of a fleet as tables, CSV for spreadsheets and Parquet for DuckDB.

One row a host, requirement seen, proof or unreadable file; the same columns and types also when there are none.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Iterator
from itertools import islice
from typing import TYPE_CHECKING, Any, BinaryIO

from auditor.errors import MissingPackageError
from auditor.render.clean import clean
from auditor.render.tables.requirements import MOST, cell
from auditor.report.fleet_model import NO_EVIDENCE, STEP, FleetReport, HostResult, RequirementResult

if TYPE_CHECKING:
    import pyarrow as pa

TEXT, NUMBER, FLAG, TEXTS, NUMBERS = "text", "number", "flag", "texts", "numbers"
METHODS = "METHODS"  # stands for a column for each method of the ruleset

# Times are text: UTC with a Z, and local ones of logs of which nobody said the zone without.
# Lists are lists in Parquet; in CSV there are blanks between numbers, ids and addresses, semicolons between texts.
HOSTS = {
    "host": TEXT,
    "site": TEXT,
    "addresses": TEXTS,
    "subnet": TEXT,
    METHODS: TEXT,
    "failed": TEXTS,
    "unverified": TEXTS,
    "failed_step": TEXT,
    "code": TEXT,
    "recommended": TEXTS,
    "first_time": TEXT,
    "last_time": TEXT,
    "records": NUMBER,
    "files": TEXTS,
    "warnings": TEXTS,
}
REQUIREMENTS = {
    "host": TEXT,
    "site": TEXT,
    "subnet": TEXT,
    "method": TEXT,
    "result": TEXT,
    "failed": FLAG,
    "requirement": TEXT,
    "necessity": TEXT,
    "from_role": TEXT,
    "from_ip": TEXT,
    "to_role": TEXT,
    "to_ip": TEXT,
    "protocol": TEXT,
    "ports": NUMBERS,
    "verdict": TEXT,
    "confidence": TEXT,
    "blocked_at": TEXT,
    "device": TEXT,
    "attempts": NUMBER,
    "first_time": TEXT,
    "last_time": TEXT,
    "explanation": TEXT,
    "remedy": TEXT,
    "problem_codes": TEXTS,
    "problems": TEXTS,
    "also_blocked": TEXTS,
    "remedy_kind": TEXT,
    "failed_step": TEXT,
    "code": TEXT,
}
EVIDENCE = {
    "host": TEXT,
    "requirement": TEXT,
    "verdict": TEXT,
    "path": TEXT,
    "lines": NUMBERS,
    "frames": NUMBERS,
    "display_filter": TEXT,
    "text": TEXT,
}
CAUSES = {
    "verdict": TEXT,
    "step": TEXT,
    "code": TEXT,
    "requirement": TEXT,
    "hosts": NUMBER,
    "fails": FLAG,
    "text": TEXT,
    "remedy": TEXT,
    "example_host": TEXT,
    "example_path": TEXT,
    "example_lines": NUMBERS,
    "example_text": TEXT,
}
UNREADABLE = {"path": TEXT, "host": TEXT, "error": TEXT, "action": TEXT}
SENTENCES = frozenset(("files", "warnings", "problems", "also_blocked"))  # have blanks in them
NO_SOURCE = "no source of this computer could be read"
ROW_GROUP = 20_000
NO_WORD = re.compile("[^0-9A-Za-z_]")

Row = tuple[Any, ...]


def columns(report: FleetReport, table: str) -> dict[str, str]:
    """Return the columns of one of TABLES with their types: text, number, flag, texts and numbers (lists of them)."""
    kinds, _ = TABLES[table]
    names: dict[str, str] = {}
    for name, kind in kinds.items():
        if name == METHODS:
            names |= dict.fromkeys(_method_columns(method.id for method in report.methods), kind)
        else:
            names[name] = kind
    return names


def rows(report: FleetReport, table: str) -> Iterator[Row]:
    """Yield the rows of one of TABLES, with values in the order of its columns; None for what is not known."""
    _, build = TABLES[table]
    yield from build(report)


def write_csv(report: FleetReport, table: str, out: BinaryIO) -> None:
    """Write one of TABLES as CSV (RFC 4180, UTF-8); no cell is run as a formula."""
    kinds = columns(report, table)
    joints = ["; " if name in SENTENCES else " " for name in kinds]
    out.write(_lines([kinds]))
    for portion in _portions(report, table):
        out.write(_lines(zip(*map(_cells, portion, joints), strict=True)))


def write_parquet(report: FleetReport, table: str, out: BinaryIO) -> None:
    """Write one of TABLES as Parquet. Raises MissingPackageError without pyarrow."""
    try:
        import pyarrow as pa
        import pyarrow.parquet as pq
    except ImportError:
        hint = "Install it with: pipx inject auditor pyarrow (or pip install pyarrow)."
        raise MissingPackageError("Parquet needs the package pyarrow", hint=hint) from None
    kinds = columns(report, table)
    schema = pa.schema([(name, _arrow_type(kind, pa)) for name, kind in kinds.items()])
    with pq.ParquetWriter(out, schema) as writer:
        for portion in _portions(report, table):
            arrays = [_array(values, field.type, pa) for values, field in zip(portion, schema, strict=True)]
            writer.write_table(pa.Table.from_arrays(arrays, schema=schema))


def _portions(report: FleetReport, table: str) -> Iterator[list[Row]]:
    """Yield the columns of ROW_GROUP rows at a time: what is done to a whole column is quicker than cell by cell."""
    left = rows(report, table)
    while portion := list(islice(left, ROW_GROUP)):
        yield list(zip(*portion, strict=True))


def _hosts(report: FleetReport) -> Iterator[Row]:
    """Yield a row for each host, those without a source among them: they are not fine."""
    host_names = {host.host for host in report.hosts}
    entries: list[tuple[str, str, HostResult | None]] = [(host.host, host.site, host) for host in report.hosts]
    sites = report.site_of_expected
    entries += [(name, sites.get(name, ""), None) for name in report.expected if name not in host_names]
    for name, site, host in sorted(entries, key=lambda entry: entry[:2]):
        if host is not None:
            yield _host(host, report)
        else:
            results = [NO_EVIDENCE] * len(report.methods)
            nothing = (None, None)
            yield name, site or None, (), None, *results, (), (), *nothing, (), *nothing, 0, (), (NO_SOURCE,)


def _host(host: HostResult, report: FleetReport) -> Row:
    main = host.outcome(report.main)
    return (
        host.host,
        host.site or None,
        host.addresses,
        host.subnet or None,
        *(host.outcome(method.id).result for method in report.methods),
        main.failed,
        main.unverified,
        *(part or None for part in host.failed_step(report.main)),
        host.recommended,
        host.first_time,
        host.last_time,
        host.records,
        host.files,
        host.warnings,
    )


def _requirements(report: FleetReport) -> Iterator[Row]:
    for host in report.hosts:
        outcomes = {outcome.method: outcome for outcome in host.outcomes}
        for requirement in host.seen:
            method = requirement.requirement.partition("/")[0]
            outcome = outcomes.get(method)
            yield (
                host.host,
                host.site or None,
                host.subnet or None,
                method,
                outcome.result if outcome else None,
                outcome is not None and requirement.requirement in outcome.failed,
                *_requirement_cells(requirement),
            )


def _requirement_cells(requirement: RequirementResult) -> Row:
    return (
        requirement.requirement,
        requirement.necessity,
        requirement.source.role,
        requirement.source.address,
        requirement.destination.role,
        requirement.destination.address,
        requirement.protocol,
        requirement.ports,
        requirement.verdict,
        requirement.confidence,
        requirement.blocked_at,
        requirement.device,
        requirement.attempts,
        requirement.first_time,
        requirement.last_time,
        requirement.explanation,
        requirement.remedy,
        tuple(problem.code for problem in requirement.problems),
        tuple(problem.text for problem in requirement.problems),
        tuple(block.text for block in requirement.also_blocked),
        requirement.remedy_kind,
        requirement.failed_step or None,
        requirement.code or None,
    )


def _evidence(report: FleetReport) -> Iterator[Row]:
    for host in report.hosts:
        for requirement in host.seen:
            for proof in requirement.proof:
                cells = (proof.path, proof.lines, proof.frames, proof.display_filter or None, proof.text)
                yield host.host, requirement.requirement, requirement.verdict, *cells

        for step in host.failed_steps:
            for proof in step.proof:
                cells = (proof.path, proof.lines, proof.frames, proof.display_filter or None, proof.text)
                yield host.host, None, STEP, *cells


def _causes(report: FleetReport) -> Iterator[Row]:
    of_failing = ((cause, True) for cause in report.causes)
    for cause, fails in (*of_failing, *((cause, False) for cause in report.unproven_steps)):
        known = (cause.verdict, cause.step or None, cause.code or None, cause.requirement or None, cause.hosts, fails)
        line = cause.example
        of_line = (line.path, line.lines, line.text) if line else (None, (), None)
        yield *known, cause.text or None, cause.remedy, cause.example_host or None, *of_line


def _unreadable(report: FleetReport) -> Iterator[Row]:
    for file in report.unreadable:
        yield file.path, file.host or None, file.error, file.action


TABLES: dict[str, tuple[dict[str, str], Callable[[FleetReport], Iterable[Row]]]] = {
    "hosts": (HOSTS, _hosts),
    "requirements": (REQUIREMENTS, _requirements),
    "evidence": (EVIDENCE, _evidence),
    "causes": (CAUSES, _causes),
    "unreadable": (UNREADABLE, _unreadable),
}


def _method_columns(methods: Iterable[str]) -> list[str]:
    """Return the columns of methods, such as client_push; a name that another column has is marked."""
    names: list[str] = []
    for method in methods:
        name = NO_WORD.sub("_", method)
        while name in HOSTS or name in names:
            name = f"method_{name}"
        names.append(name)
    return names


def _lines(rows: Iterable[Iterable[str]]) -> bytes:
    """Return rows of cells as lines of CSV."""
    return "".join([f"{','.join(row)}\r\n" for row in rows]).encode()


def _cells(values: Row, joint: str) -> Iterator[str]:
    """Return the cells of a column."""
    return map(_Cells(joint).__getitem__, values)


class _Cells(dict[Any, str]):
    """Cells by what they are made of, each made once: most are the same in many rows. joint: within a list."""

    def __init__(self, joint: str) -> None:
        self._joint = joint

    def __missing__(self, value: Any) -> str:
        cell = _cell(value, self._joint)
        if "," in cell or '"' in cell:  # it is on one line
            cell = '"' + cell.replace('"', '""') + '"'
        self[value] = cell
        return cell


def _cell(value: Any, joint: str) -> str:
    """Return a cell for any value; empty for what is not known. joint: within a list."""
    if isinstance(value, str):
        return cell(value)
    if isinstance(value, tuple):
        return cell(joint.join(map(str, value)))
    return "" if value is None else str(value).lower()  # whole numbers too


def _arrow_type(kind: str, pa: Any) -> pa.DataType:
    plain = {TEXT: pa.string(), NUMBER: pa.int64(), FLAG: pa.bool_()}
    lists = {TEXTS: pa.list_(pa.string()), NUMBERS: pa.list_(pa.int64())}
    return (plain | lists)[kind]


def _array(values: Row, kind: pa.DataType, pa: Any) -> pa.Array:
    try:
        return pa.array(values, kind)
    except UnicodeEncodeError:
        return pa.array(map(_storable, values), kind)


def _storable(value: Any) -> Any:
    """Return a value as Parquet can hold it: a path that is no Unicode is cleaned."""
    if isinstance(value, tuple):
        return [_storable(element) for element in value]
    if isinstance(value, str) and not value.isascii():
        try:
            value.encode()
        except UnicodeEncodeError:
            return clean(value, most=MOST)
    return value
