"""Check a ruleset file and tell all its faults at once, each with what to do about it."""

from __future__ import annotations

import difflib
import re
from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from auditor.errors import ended
from auditor.ruleset.toml_file import TomlFault, read_toml

FORMAT_VERSION = 1
SITE_SERVER, CLIENT, MANAGEMENT_POINT = "site-server", "client", "management-point"
ROLES = (
    SITE_SERVER,
    CLIENT,
    MANAGEMENT_POINT,
    "distribution-point",
    "software-update-point",
    "fallback-status-point",
    "server-locator-point",
    "source-server",
)
ON_PATH = "between"  # the place of a step that is for the firewalls on the path
PROTOCOLS = ("tcp", "udp", "icmp")
NECESSITIES = ("required", "conditional", "informational")
DIRECTIONS = ("documented", "inferred")
MODES = ("native", "mixed")
HTTP, HTTPS = SITE_PORTS = ("http", "https")  # the settings of a site that several rows follow
DECIDERS = ("mode", "property", "role", "site")
PORTS_PLACEHOLDER = "{ports}"
HIGHEST_PORT = 2**16 - 1

Table = dict[str, Any]
Rule = Callable[[Table], Iterator["Fault"]]


@dataclass(frozen=True)
class Fault:
    """One thing that is wrong with a ruleset file, where it is, and what to do about it.

    Attributes:
        requirement: `method/row`, another part of the file such as `condition native-mode`, or empty.
    """

    file: str
    requirement: str
    field: str
    message: str
    recommendation: str

    def __str__(self) -> str:
        """Return the fault as one line, fit for a terminal whatever the file holds."""
        place = ": ".join(part for part in (self.file, self.requirement, self.field) if part)
        text = f"{place}: " if place else ""
        text += f"{ended(self.message)} {ended(self.recommendation)}"
        return "".join(letter if letter.isprintable() else "?" for letter in text)


def nearest(word: str, choices: Iterable[str]) -> str:
    """Return the known word that is spelled most like the given one, or an empty text."""
    return next(iter(difflib.get_close_matches(word, list(choices), n=1)), "")


def is_port(value: object) -> bool:
    """Tell whether a value is a port number: a whole number, not a truth value, in the range that exists."""
    return isinstance(value, int) and not isinstance(value, bool) and 0 < value <= HIGHEST_PORT


def read_and_check(path: Path) -> tuple[Table, list[Fault]]:
    """Read a ruleset file; return its content, or an empty table and every fault that was found in it."""
    try:
        document = read_toml(path)
        if not document:
            raise TomlFault("the file is empty", "Start from a copy of a shipped ruleset")
    except TomlFault as fault:
        return {}, [Fault(str(path), "", "", fault.what, fault.hint)]
    faults = [replace(fault, file=str(path)) for rule in _RULES for fault in rule(document)]
    return ({} if faults else document), faults


# What each table may hold: kinds of values first, then the fields by name.


@dataclass(frozen=True)
class _ValueKind:
    accepts: Callable[[Any], bool]
    expected: str
    choices: tuple[str, ...] = ()


def _one_of(choices: tuple[str, ...]) -> _ValueKind:
    return _ValueKind(lambda v: isinstance(v, str) and v in choices, "one of " + ", ".join(choices), choices)


def _is_id(value: Any) -> bool:
    return isinstance(value, str) and re.fullmatch(r"[a-z0-9]+(-[a-z0-9]+)*", value) is not None


def _is_text(value: Any) -> bool:
    return isinstance(value, str) and value.strip() != ""


def _is_list(value: Any, accepts: Callable[[Any], bool]) -> bool:
    return isinstance(value, list) and bool(value) and all(map(accepts, value)) and len(_distinct(value)) == len(value)


def _is_step(value: Any) -> bool:
    """Tell whether a value is a step of a fix: a text, or a table with its place and text."""
    if not isinstance(value, dict):
        return _is_text(value)
    return value.keys() == {"place", "action"} and value["place"] in (*ROLES, ON_PATH) and _is_text(value["action"])


def _is_pair(value: Any) -> bool:
    return isinstance(value, list) and len(value) == 2 and all(map(is_port, value))


def _distinct(values: list[Any]) -> set[str]:
    return set(map(str, values))


_PORT_RANGE = f"from 1 to {HIGHEST_PORT}"
_TEXT = _ValueKind(_is_text, "a text that is not empty")
_STEPS = _ValueKind(
    lambda value: _is_text(value) or (isinstance(value, list) and bool(value) and all(map(_is_step, value))),
    'a text that is not empty, or a list of texts and of tables such as { place = "between", action = "..." }',
)
_ID = _ValueKind(_is_id, "small letters, digits and hyphens, such as client-push")
_IDS = _ValueKind(lambda v: _is_list(v, _is_id), "a list of ids, none twice")
_TRUE = _ValueKind(lambda v: v is True, "true, or no such line")
_PORTS = _ValueKind(lambda v: _is_list(v, is_port), f"a list of port numbers {_PORT_RANGE}, none twice")
_PAIRS = _ValueKind(lambda v: _is_list(v, _is_pair), f"a list of pairs of port numbers {_PORT_RANGE}")
_RANGES = _ValueKind(
    lambda v: _is_list(v, lambda pair: _is_pair(pair) and pair[0] <= pair[1]),
    f"a list of pairs, lowest and highest port {_PORT_RANGE}",
)
_STEP = _ValueKind(is_port, "a whole number above 0")
_VERSION = _ValueKind(
    lambda v: type(v) is int and v == FORMAT_VERSION, f"{FORMAT_VERSION}, the only format there is so far"
)
_TABLE = _ValueKind(lambda v: isinstance(v, dict), "a table")
_TABLES = _ValueKind(
    lambda v: isinstance(v, list) and bool(v) and all(isinstance(t, dict) for t in v),
    "tables in [[double brackets]]",
)
_TEXTS = _ValueKind(lambda v: isinstance(v, dict) and all(map(_is_text, v.values())), "a table of texts")
_NOTE_IDS = _ValueKind(lambda v: _is_list(v, _is_text), 'a list of names of [notes], such as ["1"]')


@dataclass(frozen=True)
class _Schema:
    required: dict[str, _ValueKind]
    optional: dict[str, _ValueKind]


_RULESET = _Schema(
    {"format_version": _VERSION, "id": _ID, "title": _TEXT, "reference": _TABLE, "method": _TABLES},
    {
        "dynamic_ports": _RANGES,
        "fixed_dynamic_ports": _PORTS,
        "notes": _TEXTS,
        "condition": _TABLES,
        "tied_ports": _TABLES,
        "for_all_methods": _TABLES,
    },
)
_REFERENCE = _Schema({"publisher": _TEXT, "document": _TEXT, "version": _TEXT}, {"url": _TEXT})
_CONDITION = _Schema({"id": _ID, "text": _TEXT}, {"decided_by": _one_of(DECIDERS), "value": _TEXT, "opposite": _ID})
_TIED = _Schema({"http": _ID, "https": _ID, "pairs": _PAIRS, "otherwise_add": _STEP, "note": _TEXT}, {})
_METHOD = _Schema(
    {"id": _ID, "title": _TEXT, "summary": _TEXT, "reference": _TEXT, "requirement": _TABLES}, {"only_if": _TEXT}
)
_REQUIREMENT = _Schema(
    {
        "row": _ID,
        "description": _TEXT,
        "from": _one_of(ROLES),
        "to": _one_of(ROLES),
        "protocol": _one_of(PROTOCOLS),
        "necessity": _one_of(NECESSITIES),
        "remedy": _STEPS,
        "reference": _TEXT,
    },
    {
        "direction": _one_of(DIRECTIONS),
        "ports": _PORTS,
        "dynamic": _TRUE,
        "icmp_echo": _TRUE,
        "alternate_port": _ID,
        "site_port": _one_of(SITE_PORTS),
        "fixed_because": _TEXT,
        "conditions": _IDS,
        "either_or": _ID,
        "see_notes": _NOTE_IDS,
        "notes": _TEXT,
    },
)


def _fault(where: str, field: str, message: str, recommendation: str) -> Fault:
    return Fault("", where, field, message, recommendation)


def _tables(table: Table, key: str) -> list[Table]:
    value = table.get(key)
    return [item for item in value if isinstance(item, dict)] if isinstance(value, list) else []


def _texts(table: Table, key: str) -> list[str]:
    value = table.get(key)
    return [item for item in value if isinstance(item, str)] if isinstance(value, list) else []


def _name(table: Table, key: str, otherwise: str) -> str:
    value = table.get(key)
    return value if isinstance(value, str) and value else otherwise


def _methods(document: Table) -> Iterator[tuple[str, Table]]:
    for number, method in enumerate(_tables(document, "method"), start=1):
        yield _name(method, "id", f"method {number}"), method


def _rows(document: Table) -> Iterator[tuple[str, Table]]:
    """Every requirement table as written, each with its id or its place in the file."""
    owners = [("for_all_methods", _tables(document, "for_all_methods"))]
    owners += [(method, _tables(table, "requirement")) for method, table in _methods(document)]
    for owner, rows in owners:
        for number, row in enumerate(rows, start=1):
            yield f"{owner}/{_name(row, 'row', f'requirement {number}')}", row


def _conditions(document: Table) -> Iterator[tuple[str, Table]]:
    for number, condition in enumerate(_tables(document, "condition"), start=1):
        yield f"condition {_name(condition, 'id', str(number))}", condition


def _ids(tables: Iterable[Table], key: str) -> list[str]:
    return [table[key] for table in tables if isinstance(table.get(key), str)]


# The rules, in the order in which their faults are told.


def _check_tables(document: Table) -> Iterator[Fault]:
    yield from _check_table(document, _RULESET, "")
    if isinstance(document.get("reference"), dict):
        yield from _check_table(document["reference"], _REFERENCE, "reference")
    for where, condition in _conditions(document):
        yield from _check_table(condition, _CONDITION, where)
    for number, tied in enumerate(_tables(document, "tied_ports"), start=1):
        yield from _check_table(tied, _TIED, f"tied_ports {number}")
    for method_id, method in _methods(document):
        yield from _check_table(method, _METHOD, method_id)
    for where, row in _rows(document):
        yield from _check_table(row, _REQUIREMENT, where)


def _check_table(table: Table, schema: _Schema, where: str) -> Iterator[Fault]:
    fields = schema.required | schema.optional
    for key, value in table.items():
        kind = fields.get(key)
        if kind is None:
            guess = nearest(key, fields)
            advice = f"Did you mean {guess}?" if guess else "Known here are: " + ", ".join(fields)
            yield _fault(where, key, "this field is not known", advice)
        elif not kind.accepts(value):
            guess = nearest(value, kind.choices) if isinstance(value, str) else ""
            advice = f"Write {kind.expected}" + (f". Did you mean {guess}?" if guess else "")
            yield _fault(where, key, f"{_shown(value)} cannot stand here", advice)
    for key, kind in schema.required.items():
        if key not in table:
            yield _fault(where, key, "this field is missing", f"Add it: {kind.expected}")


def _shown(value: object) -> str:
    text = repr(value).replace("True", "true").replace("False", "false")
    return text if len(text) <= 60 else text[:57] + "..."


def _check_conditions(document: Table) -> Iterator[Fault]:
    ids = _ids(_tables(document, "condition"), "id")
    for where, condition in _conditions(document):
        decider, opposite = condition.get("decided_by"), condition.get("opposite")
        if ("decided_by" in condition) == ("opposite" in condition):
            yield _fault(
                where,
                "decided_by",
                "what decides it is not clear",
                "Give either decided_by or opposite, not both",
            )
        if isinstance(opposite, str) and (opposite not in ids or opposite == condition.get("id")):
            yield _unknown(where, "opposite", opposite, "condition", [c for c in ids if c != condition.get("id")])
        if decider in ("mode", "property", "role") and "value" not in condition:
            yield _fault(
                where,
                "value",
                f"decided by {decider}, but by which one",
                f"Add value, the {decider} that turns it on",
            )
        if "value" in condition and ("opposite" in condition or decider == "site"):
            yield _fault(where, "value", "nothing reads this value here", "Remove it")
        choices = {"mode": MODES, "role": ROLES}.get(decider, ()) if isinstance(decider, str) else ()
        value = condition.get("value")
        if choices and isinstance(value, str) and value not in choices:
            yield _unknown(where, "value", value, str(decider), choices)


def _check_opposites(document: Table) -> Iterator[Fault]:
    opposites = {c["id"]: c.get("opposite") for c in _tables(document, "condition") if isinstance(c.get("id"), str)}
    for condition_id, opposite in opposites.items():
        if isinstance(opposite, str) and opposite != condition_id and opposites.get(opposite) is not None:
            message = f"{opposite} is itself the opposite of another condition"
            yield _fault(f"condition {condition_id}", "opposite", message, "Name a condition that has decided_by")


def _unknown(where: str, field: str, word: str, kind: str, choices: Iterable[str]) -> Fault:
    words = sorted(choices)
    guess = nearest(word, words)
    advice = f"Did you mean {guess}? " if guess else ""
    return _fault(where, field, f"{word} is no {kind} of this ruleset", f"{advice}Known: {', '.join(words) or 'none'}")


def _check_repeats(document: Table) -> Iterator[Fault]:
    common = _ids(_tables(document, "for_all_methods"), "row")
    lists = [("", "method", _ids(_tables(document, "method"), "id"))]
    lists += [
        ("", "condition", _ids(_tables(document, "condition"), "id")),
        ("for_all_methods", "row", common),
    ]
    for method_id, method in _methods(document):
        rows = _ids(_tables(method, "requirement"), "row")
        lists.append((method_id, "row", rows + [row for row in dict.fromkeys(common) if row in rows]))
    for where, field, ids in lists:
        for repeated in (identifier for identifier, count in Counter(ids).items() if count > 1):
            yield _fault(where, field, f"{repeated} is there more than once", "Give each its own id")


def _check_protocols(document: Table) -> Iterator[Fault]:
    for where, row in _rows(document):
        ways = [key for key in ("ports", "dynamic", "icmp_echo") if key in row]
        if len(ways) != 1:
            message = f"{' and '.join(ways)} exclude each other" if ways else "no port is given"
            yield _fault(where, "ports", message, "Give exactly one of ports, dynamic and icmp_echo")
        elif (row.get("protocol") == "icmp") != (ways == ["icmp_echo"]):
            yield _fault(
                where,
                "protocol",
                f"{row.get('protocol')} does not go with {ways[0]}",
                "icmp goes with icmp_echo only",
            )
        if "dynamic" in row and "dynamic_ports" not in document:
            yield _fault(where, "dynamic", "the range is not known", "Add dynamic_ports at the top of the file")
        for key in ("alternate_port", "fixed_because"):
            if key == "alternate_port" and key in row and "ports" not in row:
                yield _fault(where, key, "there is no port to replace", "Remove it, or give ports")
        if "alternate_port" in row and "fixed_because" in row:
            yield _fault(
                where,
                "fixed_because",
                "a port cannot be fixed and have an alternate",
                "Remove one of the two",
            )


def _check_references(document: Table) -> Iterator[Fault]:
    conditions = _ids(_tables(document, "condition"), "id")
    notes = list(document["notes"]) if isinstance(document.get("notes"), dict) else []
    for where, row in _rows(document):
        for condition in _texts(row, "conditions"):
            if condition not in conditions:
                yield _unknown(where, "conditions", condition, "condition", conditions)
        for note in _texts(row, "see_notes"):
            if note not in notes:
                yield _unknown(where, "see_notes", note, "note", notes)
        if row.get("necessity") == "conditional" and "conditions" not in row:
            yield _fault(
                where,
                "conditions",
                "conditional, but on no condition",
                "Name the conditions, or write required",
            )
    for number, tied in enumerate(_tables(document, "tied_ports"), start=1):
        if isinstance(tied.get("note"), str) and tied["note"] not in notes:
            yield _unknown(f"tied_ports {number}", "note", tied["note"], "note", notes)


def _check_alternate_ports(document: Table) -> Iterator[Fault]:
    first_uses: dict[str, tuple[str, object]] = {}
    for where, row in _rows(document):
        name = row.get("alternate_port")
        if isinstance(name, str) and "ports" in row:
            where_first, ports = first_uses.setdefault(name, (where, row["ports"]))
            if ports != row["ports"]:
                message = f"{name} stands for other ports in {where_first}"
                yield _fault(
                    where,
                    "alternate_port",
                    message,
                    "Give one name to one service with the same ports everywhere",
                )
    for number, tied in enumerate(_tables(document, "tied_ports"), start=1):
        for key in ("http", "https"):
            if isinstance(tied.get(key), str) and tied[key] not in first_uses:
                yield _unknown(f"tied_ports {number}", key, tied[key], "alternate_port", first_uses)


def _check_site_ports(document: Table) -> Iterator[Fault]:
    tied = [word for table in _tables(document, "tied_ports") for word in (table.get("http"), table.get("https"))]
    settings: dict[str, object] = {}
    for where, row in _rows(document):
        name, setting = row.get("alternate_port"), row.get("site_port")
        if name in SITE_PORTS:
            yield _fault(
                where, "alternate_port", f"{name} is reserved for the port of the site", "Add the service to the name"
            )
        if "site_port" in row and "alternate_port" not in row:
            yield _fault(where, "site_port", "there is no port to replace", "Remove it, or add alternate_port")
        if "site_port" in row and name in tied:
            yield _fault(where, "site_port", f"{name} follows tied_ports", "Remove it")
        if isinstance(name, str) and settings.setdefault(name, setting) != setting:
            yield _fault(
                where, "site_port", f"{name} has another site_port in another row", "Use the same one in all rows"
            )


def _check_either_or(document: Table) -> Iterator[Fault]:
    common = _tables(document, "for_all_methods")
    for method_id, method in _methods(document):
        groups = Counter(_ids(_tables(method, "requirement") + common, "either_or"))
        for group in (name for name, count in groups.items() if count == 1):
            message = f"the group {group} has one member only"
            yield _fault(
                method_id,
                "either_or",
                message,
                "Give every alternative of the group the same name, or remove it",
            )


def _check_remedies(document: Table) -> Iterator[Fault]:
    for where, row in _rows(document):
        remedy = row.get("remedy")
        if _STEPS.accepts(remedy) and isinstance(remedy, list):
            remedy = "\n".join(step if isinstance(step, str) else step["action"] for step in remedy)
        if not isinstance(remedy, str):
            continue
        if re.search(r"[{}]", remedy.replace(PORTS_PLACEHOLDER, "")):
            yield _fault(where, "remedy", "there is a brace in it", f"Only {PORTS_PLACEHOLDER} may stand in braces")
        if PORTS_PLACEHOLDER in remedy and "ports" not in row:
            yield _fault(where, "remedy", f"{PORTS_PLACEHOLDER} stands for nothing here", "Name the ports in words")
        ports = row["ports"] if isinstance(row.get("ports"), list) else []
        if "alternate_port" in row and any(re.search(rf"\b{re.escape(str(port))}\b", remedy) for port in ports):
            message = "it names the port as a number, which is wrong once an alternate port is given"
            yield _fault(where, "remedy", message, f"Write {PORTS_PLACEHOLDER} instead of the number")


_RULES: tuple[Rule, ...] = (
    _check_tables,
    _check_conditions,
    _check_opposites,
    _check_repeats,
    _check_protocols,
    _check_references,
    _check_alternate_ports,
    _check_site_ports,
    _check_either_or,
    _check_remedies,
)
