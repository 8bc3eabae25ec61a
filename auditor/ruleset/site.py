"""What is known about the site: from the command line, from Python, or from a site file."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from auditor.errors import ArgumentError
from auditor.ruleset.lint import MODES, nearest
from auditor.ruleset.ruleset import SiteFacts
from auditor.ruleset.toml_file import TomlFault, read_toml

# A parameter of CCMSetup.exe, such as /source:PATH or /native, or a property of Client.msi, such as SMSSITECODE=P01.
PROPERTY = re.compile(r"[/-]\w[\w-]*(?:[:=].*)?|\w+=.*", re.DOTALL)
MOST_SHOWN = 60  # letters of a property, in a message
KEYS = ("roles", "mode", "ports", "properties", "conditions")


@dataclass(frozen=True)
class Site:
    """Roles (addresses or networks), mode, ports by name, CCMSetup properties and stated conditions."""

    roles: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    mode: str | None = None
    ports: Mapping[str, int] = field(default_factory=dict)
    properties: tuple[str, ...] = ()
    conditions: Mapping[str, bool] = field(default_factory=dict)

    def facts(self) -> SiteFacts:
        """Return what decides the conditions of a ruleset; roles that were inferred come on top."""
        return SiteFacts(mode=self.mode, properties=self.properties, stated=dict(self.conditions))


def known_site(
    path: str | Path | None,
    *,
    roles: Mapping[str, str | Iterable[str]] | None,
    mode: str | None,
    ports: Mapping[str, int] | None,
    properties: Iterable[str],
) -> Site:
    """Return what the site file says, with what was given directly on top.

    Raises:
        ArgumentError: If a part of it makes no sense.
    """
    filed = load_site(path) if path is not None else Site()
    if mode is not None and mode not in MODES:
        raise ArgumentError(f"no such mode: {mode!r}", where="--mode", hint=f"The modes are {', '.join(MODES)}.")
    added = (properties,) if isinstance(properties, str) else tuple(properties)
    for text in (*filed.properties, *added):
        _check_property(text)
    assigned = {role: (words,) if isinstance(words, str) else tuple(words) for role, words in (roles or {}).items()}
    return Site(
        roles={**filed.roles, **assigned},
        mode=mode or filed.mode,
        ports={**filed.ports, **(ports or {})},
        properties=(*filed.properties, *added),
        conditions=filed.conditions,
    )


def _check_property(text: str) -> None:
    """Raise ArgumentError for what CCMSetup takes for neither a parameter of its own nor a property of the MSI."""
    if not PROPERTY.fullmatch(text.strip()):
        hint = "Write it as /NAME:VALUE, such as /source:PATH, or as NAME=VALUE, such as SMSSITECODE=P01."
        raise ArgumentError(f"{text[:MOST_SHOWN]!r} is not a property of CCMSetup", where="--property", hint=hint)


def load_site(path: str | Path) -> Site:
    """Return the site described by a TOML file.

    Raises:
        ArgumentError: If it makes no sense; it names the file and the key.
    """
    try:
        table = read_toml(Path(path))
    except TomlFault as fault:
        hint = f"{fault.hint} README.md has an example."
        raise _fault(path, f"the site file cannot be read: {fault.what}", hint) from fault
    for key in table:
        if key not in KEYS:
            meant = nearest(key, KEYS)
            hint = f"Did you mean {meant}?" if meant else f"The keys are {', '.join(KEYS)}."
            raise _fault(path, f"unknown key {key!r}", hint)
    return Site(
        roles={str(role): _words(path, f"roles.{role}", value) for role, value in _table(path, table, "roles").items()},
        mode=_mode(path, table.get("mode")),
        ports={str(name): _port(path, name, value) for name, value in _table(path, table, "ports").items()},
        properties=_words(path, "properties", table.get("properties", [])),
        conditions={str(name): _flag(path, name, value) for name, value in _table(path, table, "conditions").items()},
    )


def _fault(path: str | Path, message: str, hint: str) -> ArgumentError:
    return ArgumentError(message, where=str(path), hint=hint)


def _table(path: str | Path, table: Mapping[str, Any], key: str) -> Mapping[str, Any]:
    value = table.get(key, {})
    if not isinstance(value, dict):
        raise _fault(path, f"{key} is no table", f"write [{key}] and one NAME = VALUE a line")
    return value


def _words(path: str | Path, key: str, value: Any) -> tuple[str, ...]:
    words = [value] if isinstance(value, str) else value
    if not isinstance(words, list) or not all(isinstance(word, str) for word in words):
        raise _fault(path, f"{key} is no text or list of texts", 'write "..." or ["...", "..."]')
    return tuple(words)


def _mode(path: str | Path, value: Any) -> str | None:
    if value is not None and value not in MODES:
        raise _fault(path, f"no such mode: {value!r}", f"the modes are {', '.join(MODES)}")
    return None if value is None else str(value)


def _port(path: str | Path, name: str, value: Any) -> int:
    if isinstance(value, bool) or not isinstance(value, int):
        raise _fault(path, f"ports.{name} is not a number", "write a port number without quotes")
    return value


def _flag(path: str | Path, name: str, value: Any) -> bool:
    if not isinstance(value, bool):
        raise _fault(path, f"conditions.{name} is neither true nor false", "write true or false")
    return value
