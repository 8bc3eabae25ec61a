"""Rulesets: which ports each client installation method needs, loaded from TOML files and checked."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from functools import cached_property
from pathlib import Path
from typing import Any, NamedTuple

from auditor.errors import RulesetError, ended
from auditor.ruleset.known_problems import other_services
from auditor.ruleset.lint import (
    HIGHEST_PORT,
    PORTS_PLACEHOLDER,
    Fault,
    Table,
    is_port,
    nearest,
    read_and_check,
)
from auditor.ruleset.package_data import rulesets_folder
from auditor.ruleset.statements import say

__all__ = [
    "DEFAULT_RULESET",
    "Condition",
    "Fault",
    "Method",
    "Requirement",
    "Ruleset",
    "SiteFacts",
    "SiteRules",
    "TiedPorts",
    "check_ruleset",
    "idle_properties",
    "load_ruleset",
    "shipped_rulesets",
    "with_ports",
]

DEFAULT_RULESET = "configmgr-2007"


class DocumentedFix(NamedTuple):
    """One step of the fix of a requirement.

    Attributes:
        place: The role of the computer where it is done, or "between" for the firewalls on the path.
        text: The step in one or two sentences.
    """

    place: str
    text: str


@dataclass(frozen=True)
class Requirement:
    """One row of a method's table: who must reach whom, by which protocol, at which port.

    Attributes:
        id: `method/row`. Exactly one of `ports` (not empty), `dynamic` and `icmp_echo` holds.
        alternate_port: The name by which the port is set.
        site_port: `http` or `https`, the setting of the site that the port follows.
        necessity: `required` counts unless one of its conditions is known to be off; `conditional` counts once all of
            them are known to hold; `informational` never decides a result.
    """

    id: str
    method: str
    row: str
    description: str
    from_role: str
    to_role: str
    direction: str
    protocol: str
    ports: tuple[int, ...]
    dynamic: bool
    icmp_echo: bool
    alternate_port: str | None
    site_port: str | None
    fixed_because: str
    necessity: str
    conditions: tuple[str, ...]
    either_or: str | None
    fixes: tuple[DocumentedFix, ...]
    reference: str
    see_notes: tuple[str, ...]
    notes: str

    @property
    def partner(self) -> str:
        """Return the role at the other end than the client."""
        return self.from_role if self.to_role == "client" else self.to_role

    @cached_property
    def asks(self) -> tuple[object, ...]:
        """Return what has to be reached: rows of several methods that ask the same are judged alike at one host.

        Which ports are dynamic ones depends on the rows before, so such a row is like none but itself.
        """
        alone = self.id if self.dynamic else ""
        ends, ports = (self.from_role, self.to_role), (self.protocol, self.ports, self.alternate_port)
        return (*ends, *ports, self.necessity == "informational", alone)

    @cached_property
    def ports_text(self) -> str:
        """Return the ports as a person writes them: numbers joined by "or", `dynamic` or `echo request`."""
        if self.icmp_echo:
            return "echo request"
        return "dynamic" if self.dynamic else " or ".join(map(str, self.ports))

    @property
    def remedy_steps(self) -> tuple[DocumentedFix, ...]:
        """The steps of the fix, in order, with the port numbers that hold at this site."""
        return tuple(fix._replace(text=fix.text.replace(PORTS_PLACEHOLDER, self.ports_text)) for fix in self.fixes)

    @property
    def remedy(self) -> str:
        """The steps of the fix in one paragraph."""
        return " ".join(fix.text for fix in self.remedy_steps)


@dataclass(frozen=True)
class Method:
    """One installation method: its own requirements, then those that hold for all methods.

    Attributes:
        only_if: What must be so for the method to be any use, empty if nothing.
    """

    id: str
    title: str
    summary: str
    reference: str
    requirements: tuple[Requirement, ...]
    only_if: str = ""

    @cached_property
    def by_partner(self) -> Mapping[str, tuple[Requirement, ...]]:
        """Return the requirements by the role at the other end than the client."""
        roles = dict.fromkeys(requirement.partner for requirement in self.requirements)
        return {
            role: tuple(requirement for requirement in self.requirements if requirement.partner == role)
            for role in roles
        }

    def mapper_port(self, dynamic: str) -> int | None:
        """Return the port of the endpoint mapper that assigns the ports of a dynamic requirement, None if unknown.

        It is that of the last TCP requirement with a fixed port before the dynamic one.

        Args:
            dynamic: Id of the dynamic requirement.
        """
        preceding_port: int | None = None
        for requirement in self.requirements:
            if requirement.id == dynamic:
                return preceding_port
            if requirement.protocol == "tcp" and len(requirement.ports) == 1:
                preceding_port = requirement.ports[0]
        return preceding_port


@dataclass(frozen=True)
class Condition:
    """What a requirement depends on, and what decides it.

    Attributes:
        decided_by: `mode` (of the site), `property` (of CCMSetup), `role` (in use or not) or `site` (only the site file
            can tell); empty when the condition holds exactly if `opposite` does not.
    """

    id: str
    text: str
    decided_by: str
    value: str
    opposite: str


@dataclass(frozen=True)
class TiedPorts:
    """Two alternate ports, one from the other: a pair in `pairs`, else https = http + otherwise_add."""

    http: str
    https: str
    pairs: tuple[tuple[int, int], ...]
    otherwise_add: int
    note: str

    def https_for(self, http: int) -> int:
        """Return the HTTPS port that goes with an HTTP port; it may lie outside the range of ports."""
        return dict(self.pairs).get(http, http + self.otherwise_add)

    def http_for(self, https: int) -> int:
        """Return the HTTP port that goes with an HTTPS port; it may lie outside the range of ports."""
        return {https_port: http_port for http_port, https_port in self.pairs}.get(https, https - self.otherwise_add)


@dataclass(frozen=True)
class SiteFacts:
    """What is known about the site and the command line when conditions are decided.

    Attributes:
        mode: `native`, `mixed` or None if not known.
        properties: CCMSetup properties such as `/source:PATH`.
        roles: The roles that are given or were found.
        stated: What the site file says of a condition, by its id - it wins over everything else.
    """

    mode: str | None = None
    properties: tuple[str, ...] = ()
    roles: frozenset[str] = frozenset()
    stated: Mapping[str, bool] = field(default_factory=dict, hash=False)


@dataclass(frozen=True)
class Ruleset:
    """One published document as data: methods with their requirements, conditions, notes by name.

    Attributes:
        set_ports: The names of the alternate ports that were set, see `with_ports`.
    """

    id: str
    title: str
    reference: str
    url: str
    methods: tuple[Method, ...]
    conditions: tuple[Condition, ...]
    notes: Mapping[str, str] = field(hash=False)
    dynamic_ports: tuple[tuple[int, int], ...]
    fixed_dynamic_ports: tuple[int, ...]
    tied_ports: tuple[TiedPorts, ...]
    path: Path
    set_ports: frozenset[str] = frozenset()

    @cached_property
    def requirements(self) -> tuple[Requirement, ...]:
        """Return the requirements of all methods, in the order of the document."""
        return tuple(requirement for method in self.methods for requirement in method.requirements)

    @property
    def port_names(self) -> tuple[str, ...]:
        """Return the names of the ports that can be replaced, in alphabetical order."""
        return tuple(sorted({r.alternate_port for r in self.requirements if r.alternate_port is not None}))

    @property
    def site_port_names(self) -> tuple[str, ...]:
        """Return the names of the settings of a site that replace several ports at once, in alphabetical order."""
        return tuple(sorted({r.site_port for r in self.requirements if r.site_port is not None}))

    def method(self, method_id: str) -> Method:
        """Return one method by its id, such as `client-push`; raise RulesetError if there is none."""
        return self._methods_by_id.get(method_id) or self._unknown("method", method_id, self._methods_by_id)

    @cached_property
    def _methods_by_id(self) -> dict[str, Method]:
        return {method.id: method for method in self.methods}

    def requirement(self, requirement_id: str) -> Requirement:
        """Return one requirement by its id, such as `client-push/smb`; raise RulesetError if none."""
        requirement = self._requirements_by_id.get(requirement_id)
        return requirement or self._unknown("requirement", requirement_id, self._requirements_by_id)

    @cached_property
    def _requirements_by_id(self) -> dict[str, Requirement]:
        return {requirement.id: requirement for requirement in self.requirements}

    def condition(self, condition_id: str) -> Condition:
        """Return one condition by its id, such as `native-mode`; raise RulesetError if there is none."""
        condition = self._conditions_by_id.get(condition_id)
        return condition or self._unknown("condition", condition_id, self._conditions_by_id)

    @cached_property
    def _conditions_by_id(self) -> dict[str, Condition]:
        return {condition.id: condition for condition in self.conditions}

    def mode_of(self, requirement_id: str) -> str:
        """Return the site mode in which a requirement counts, empty if in both."""
        return self._modes[requirement_id]

    @cached_property
    def _modes(self) -> Mapping[str, str]:
        by_condition = {
            condition.id: condition.value for condition in self.conditions if condition.decided_by == "mode"
        }
        return {
            requirement.id: next(
                (by_condition[condition] for condition in requirement.conditions if condition in by_condition), ""
            )
            for requirement in self.requirements
        }

    @cached_property
    def groups(self) -> Mapping[str, str]:
        """Return by the id of a requirement its either-or group; one that is in none is a group of its own."""
        return {requirement.id: requirement.either_or or requirement.id for requirement in self.requirements}

    @cached_property
    def fixed_ports(self) -> frozenset[int]:
        """Return the ports that any requirement names, of whatever protocol."""
        return frozenset(port for requirement in self.requirements for port in requirement.ports)

    def is_dynamic(self, port: int) -> bool:
        """Tell whether the endpoint mapper may hand out this port."""
        return port in self.fixed_dynamic_ports or any(low <= port <= high for low, high in self.dynamic_ports)

    def is_usual_dynamic(self, port: int) -> bool:
        """Tell whether a port is one of the first range of dynamic ports, which today's Windows uses, or a fixed one.

        Ports of the further ranges are used by many other services too.
        """
        dynamic_ports = self.dynamic_ports[:1]
        return port in self.fixed_dynamic_ports or any(low <= port <= high for low, high in dynamic_ports)

    def may_be_custom(self, port: int) -> bool:
        """Tell whether a TCP port may be a custom one of a site system: no other service is known to have it."""
        return not (port in self.fixed_ports or port in other_services() or self.is_usual_dynamic(port))

    def holds(self, condition_id: str, facts: SiteFacts) -> bool | None:
        """Tell whether a condition holds, None if not known; a property or role not named is not there."""
        condition = self.condition(condition_id)
        if condition_id in facts.stated:
            return facts.stated[condition_id]
        if condition.opposite:
            opposite = self.holds(condition.opposite, facts)
            return None if opposite is None else not opposite
        if condition.decided_by == "mode":
            return None if facts.mode is None else facts.mode == condition.value
        if condition.decided_by == "role":
            return condition.value in facts.roles
        if condition.decided_by == "property":
            return _property_name(condition.value) in map(_property_name, facts.properties)
        return None

    def applies(self, requirement: Requirement, facts: SiteFacts) -> bool | None:
        """Tell whether a requirement counts: False if a condition is off, None if conditional and unknown."""
        answers = [self.holds(condition, facts) for condition in requirement.conditions]
        if False in answers:
            return False
        return None if None in answers and requirement.necessity == "conditional" else True

    def at(self, facts: SiteFacts) -> SiteRules:
        """Return the ruleset as it holds where this is known: the same one for every host of which that is true."""
        if facts not in self._at:
            self._at[facts] = SiteRules(self, facts)
        return self._at[facts]

    @cached_property
    def _at(self) -> dict[SiteFacts, SiteRules]:
        return {}

    def _unknown(self, kind: str, word: str, choices: Iterable[str]) -> Any:
        names = list(choices)
        raise RulesetError(f"no {kind} {word!r} in ruleset {self.id}", hint=_choices(word, names))


class SiteRules:
    """A ruleset as it holds at one site, worked out once for all of its hosts.

    Attributes:
        facts: What is known of the site.
        applies: By the id of a requirement whether it counts, as `Ruleset.applies` says.
        why_off: Of those that do not, the reason in a sentence.
        counted: Ids of those that decide results.
    """

    def __init__(self, ruleset: Ruleset, facts: SiteFacts) -> None:
        self.ruleset = ruleset
        self.facts = facts
        self.applies = {requirement.id: ruleset.applies(requirement, facts) for requirement in ruleset.requirements}
        off = [requirement for requirement in ruleset.requirements if self.applies[requirement.id] is False]
        self.why_off = {requirement.id: _why_off(requirement, ruleset, facts) for requirement in off}
        decisive = {requirement.id for requirement in ruleset.requirements if requirement.necessity != "informational"}
        self.counted = frozenset(requirement_id for requirement_id in decisive if self.applies[requirement_id])


def _why_off(requirement: Requirement, ruleset: Ruleset, facts: SiteFacts) -> str:
    off = [condition for condition in requirement.conditions if ruleset.holds(condition, facts) is False]
    conditions = (ruleset.condition(condition).text for condition in off)
    return say("requirement.off", conditions=say("list.and").join(conditions))


def shipped_rulesets() -> tuple[str, ...]:
    """Return the ids of the rulesets that come with auditor, in alphabetical order."""
    return tuple(sorted(path.stem for path in rulesets_folder().glob("*.toml")))


def load_ruleset(id_or_path: str | Path = DEFAULT_RULESET) -> Ruleset:
    """Load a shipped ruleset by its id, or one of your own by its path.

    The format is described in rulesets/README.md.

    Raises:
        RulesetError: For an unknown id (it names the known ones) and for a file with faults (it holds all of them, one
            a line).
    """
    path = _find(id_or_path)
    document, faults = read_and_check(path)
    if faults:
        raise _refusal(faults)
    return _build(document, path)


def check_ruleset(path: str | Path) -> list[Fault]:
    """Check a ruleset file and return every fault in it at once; an empty list means that it is sound."""
    return read_and_check(Path(path))[1]


def idle_properties(ruleset: Ruleset, properties: Iterable[str]) -> list[str]:
    """Return a sentence on each CCMSetup property that decides nothing in a ruleset, such as one that is misspelt."""
    property_names = [condition.value for condition in ruleset.conditions if condition.decided_by == "property"]
    names = [_property_name(name) for name in property_names]
    idle = [property_ for property_ in properties if _property_name(property_) not in names]
    hints = [nearest(_property_name(property_), names) or "" for property_ in idle]
    return [
        f"--property {_short(property_)}: ruleset {ruleset.id} does not use it. "
        + (f"Did you mean {hint}?" if hint else f"It uses {', '.join(property_names) or 'none'}.")
        for property_, hint in zip(idle, hints, strict=True)
    ]


def _short(text: str) -> str:
    return text if len(text) <= 60 else f"{text[:57]}..."


def with_ports(ruleset: Ruleset, ports: Mapping[str, int]) -> Ruleset:
    """Return the ruleset with alternate ports put in wherever their names stand, in every method.

    Args:
        ruleset: As it was loaded.
        ports: Port number by name (`ruleset.port_names`), such as that of `http-management-point`, or by setting of the
            site (`ruleset.site_port_names`), which counts for all rows that follow it and are not named themselves. Of
            two tied ports (note 2 of the documents) the one not given follows from the other. By the name of a row of
            dynamic ports, a port to which the service is bound (as WMI by `winmgmt -standalonehost`) is counted among
            them.

    Raises:
        RulesetError: With everything that is wrong, for an unknown name, a fixed port, a number that is no port, and a
            pair that contradicts its note.
    """
    wrong = [text for name, port in ports.items() for text in _wrong_port(ruleset, name, port)]
    by_service = _by_service(ruleset, ports)
    if not wrong:
        for tie in ruleset.tied_ports:
            wrong += _complete(by_service, tie, ruleset.notes[tie.note])
    if wrong:
        raise RulesetError("\n  ".join(wrong), where=f"ports for ruleset {ruleset.id}")
    methods = tuple(
        replace(method, requirements=tuple(_with_port(requirement, by_service) for requirement in method.requirements))
        for method in ruleset.methods
    )
    bound = tuple(port for name, port in ports.items() if name in _dynamic_rows(ruleset))
    fixed = (*ruleset.fixed_dynamic_ports, *bound)
    return replace(ruleset, methods=methods, fixed_dynamic_ports=fixed, set_ports=ruleset.set_ports | by_service.keys())


def _by_service(ruleset: Ruleset, ports: Mapping[str, int]) -> dict[str, int]:
    """Return the ports by the names of services, with those of the settings of the site put in."""
    by_setting = {
        row.alternate_port: ports[row.site_port]
        for row in ruleset.requirements
        if row.alternate_port is not None and row.site_port is not None and row.site_port in ports
    }
    return by_setting | {name: port for name, port in ports.items() if name not in ruleset.site_port_names}


def _dynamic_rows(ruleset: Ruleset) -> set[str]:
    return {requirement.row for requirement in ruleset.requirements if requirement.dynamic}


def _find(id_or_path: str | Path) -> Path:
    word = str(id_or_path)
    shipped = shipped_rulesets()
    if isinstance(id_or_path, str) and word in shipped:
        return rulesets_folder() / f"{word}.toml"
    path = Path(id_or_path)
    if isinstance(id_or_path, Path) or path.suffix or len(path.parts) != 1 or path.exists():
        return path
    hint = (
        _choices(word, shipped).removesuffix(".") + ", or name a file."
        if shipped
        else "Install auditor again: its rulesets are missing."
    )
    raise RulesetError(f"no ruleset {word!r}", hint=hint)


def _refusal(faults: list[Fault]) -> RulesetError:
    if len(faults) == 1:
        place = ": ".join(part for part in (faults[0].file, faults[0].requirement, faults[0].field) if part)
        return RulesetError(faults[0].message, where=place, hint=ended(faults[0].recommendation))
    lines = "".join(f"\n  {replace(fault, file='')}" for fault in faults)
    hint = f"To list them, run: auditor rulesets check {faults[0].file}"
    return RulesetError(f"{len(faults)} faults in this ruleset:{lines}", where=faults[0].file, hint=hint)


def _choices(word: str, choices: Iterable[str]) -> str:
    names = list(choices)
    guess = nearest(word, names)
    return (f"Did you mean {guess}? " if guess else "") + f"Choose from {', '.join(names)}."


def _property_name(text: str) -> str:
    """Return the name of a parameter of CCMSetup.exe, with a slash, or of a property of Client.msi, without one."""
    text = text.strip()
    slash = "/" if text.startswith(("/", "-")) else ""
    return slash + text.lstrip("/-").split(":", 1)[0].split("=", 1)[0].lower()


def _wrong_port(ruleset: Ruleset, name: str, port: object) -> list[str]:
    if name in (*ruleset.port_names, *ruleset.site_port_names) or name in _dynamic_rows(ruleset):
        return [] if is_port(port) else [f"{name}: {port!r} is not a port. Use a number from 1 to {HIGHEST_PORT}."]
    meant = [r for r in ruleset.requirements if name in (r.row, r.id, *map(str, r.ports))]
    names = sorted({port_name for r in meant for port_name in (r.site_port, r.alternate_port) if port_name is not None})
    if meant and not names:
        because = meant[0].fixed_because or "The document offers no alternate port for it."
        return [f"{name}: the port of {meant[0].row} ({meant[0].ports_text}) is fixed. {because}"]
    choices = [*ruleset.site_port_names, *ruleset.port_names]
    hint = f"Name the service: {', '.join(names)}." if names else _choices(name, choices)
    return [f"{name}: no port has this name. {hint}"]


def _complete(by_service: dict[str, int], tie: TiedPorts, note: str) -> list[str]:
    """Add the tied port that is missing; return what contradicts the note."""
    if tie.http not in by_service and tie.https not in by_service:
        return []
    if tie.http not in by_service:
        by_service[tie.http] = tie.http_for(by_service[tie.https])
    http = by_service[tie.http]
    https = by_service.setdefault(tie.https, tie.https_for(http))
    if is_port(http) and is_port(https) and tie.https_for(http) == https:
        return []
    return [f"{tie.http} {http} and {tie.https} {https} cannot go together. Note {tie.note}: {note}"]


def _with_port(requirement: Requirement, ports: Mapping[str, int]) -> Requirement:
    name = requirement.alternate_port
    if name is None or name not in ports:
        return requirement
    return replace(requirement, ports=(ports[name],))


def _build(document: Table, path: Path) -> Ruleset:
    common = document.get("for_all_methods", [])
    source = document["reference"]
    return Ruleset(
        id=document["id"],
        title=document["title"],
        reference=f"{source['publisher']}: {source['document']} ({source['version']})",
        url=source.get("url", ""),
        methods=tuple(_build_method(method, common) for method in document["method"]),
        conditions=tuple(_build_condition(condition) for condition in document.get("condition", [])),
        notes={name: text.strip() for name, text in document.get("notes", {}).items()},
        dynamic_ports=tuple((low, high) for low, high in document.get("dynamic_ports", [])),
        fixed_dynamic_ports=tuple(document.get("fixed_dynamic_ports", [])),
        tied_ports=tuple(_build_tie(tie) for tie in document.get("tied_ports", [])),
        path=path,
    )


def _build_method(method: Table, common: list[Table]) -> Method:
    rows = [*method["requirement"], *common]
    requirements = tuple(_build_requirement(row, method["id"]) for row in rows)
    texts = (method["id"], method["title"], method["summary"], method["reference"])
    return Method(*texts, requirements, method.get("only_if", ""))


def _build_condition(table: Table) -> Condition:
    optional = (table.get(key, "") for key in ("decided_by", "value", "opposite"))
    return Condition(table["id"], table["text"], *optional)


def _build_tie(table: Table) -> TiedPorts:
    pairs = tuple((http, https) for http, https in table["pairs"])
    return TiedPorts(table["http"], table["https"], pairs, table["otherwise_add"], table["note"])


def _build_fixes(remedy: str | list[str | Table], to_role: str) -> tuple[DocumentedFix, ...]:
    """Return the steps of a fix; a step without a place is for the computer that is reached."""
    steps = [remedy] if isinstance(remedy, str) else remedy
    return tuple(
        DocumentedFix(to_role, step) if isinstance(step, str) else DocumentedFix(step["place"], step["action"])
        for step in steps
    )


def _build_requirement(row: Table, method: str) -> Requirement:
    return Requirement(
        id=f"{method}/{row['row']}",
        method=method,
        row=row["row"],
        description=row["description"],
        from_role=row["from"],
        to_role=row["to"],
        direction=row.get("direction", "documented"),
        protocol=row["protocol"],
        ports=tuple(row.get("ports", ())),
        dynamic=row.get("dynamic", False),
        icmp_echo=row.get("icmp_echo", False),
        alternate_port=row.get("alternate_port"),
        site_port=row.get("site_port"),
        fixed_because=row.get("fixed_because", ""),
        necessity=row["necessity"],
        conditions=tuple(row.get("conditions", ())),
        either_or=row.get("either_or"),
        fixes=_build_fixes(row["remedy"], row["to"]),
        reference=row["reference"],
        see_notes=tuple(row.get("see_notes", ())),
        notes=row.get("notes", ""),
    )
