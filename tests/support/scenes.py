"""The sample captures, and what truly happened in each of them."""

from __future__ import annotations

import tomllib
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

import pytest
from places import SAMPLES

import auditor


@dataclass(frozen=True)
class Scene:
    """One sample: its captures and firewall logs, what is known of the site, and the truth about the client push."""

    name: str
    captures: list[str]
    logs: list[str]
    known: dict[str, Any]
    truth: dict[str, Any]

    @property
    def client(self) -> str:
        """The client's address."""
        return self.known["roles"]["client"]

    @property
    def nothing_happened(self) -> bool:
        """Whether nobody tried to push."""
        return set(self.truth["requirements"].values()) == {"not-observed"}

    def audit(self, *, dissect: bool = False, sources: list[str] | None = None, **known: Any) -> auditor.Report:
        """Audit the captures, or some sources, with what is known of the site; by ports only unless told otherwise."""
        return auditor.audit(*(sources or self.captures), ruleset=self.truth["ruleset"], dissect=dissect, **known)


def scenes() -> list[Scene]:
    tables = {path.stem: tomllib.loads(path.read_text(encoding="utf-8")) for path in sorted(SAMPLES.glob("*.toml"))}
    return [
        Scene(
            name,
            [str(SAMPLES / capture) for capture in table["captures"]],
            [str(SAMPLES / log) for log in table.get("logs", ())],
            {"roles": table["roles"], "mode": table.get("mode"), "ports": table.get("ports", {})},
            {**table["client-push"], "ruleset": table["ruleset"]},
        )
        for name, table in tables.items()
    ]


SCENES = scenes()


PUSHES = [scene for scene in SCENES if not scene.nothing_happened]


TAKEN_AT_BOTH_ENDS = [scene for scene in SCENES if len(scene.captures) > 1]


LOGGED = [scene for scene in SCENES if scene.logs]


def each(scenes: list[Scene]) -> pytest.MarkDecorator:
    return pytest.mark.parametrize("scene", scenes, ids=lambda scene: scene.name)


def named(names: Iterable[str]) -> pytest.MarkDecorator:
    """Run a test for these scenes; a name that is no scene fails at once."""
    by_name = {scene.name: scene for scene in SCENES}
    return each([by_name[name] for name in names])


def without_roles(scene: Scene) -> dict[str, Any]:
    return {name: value for name, value in scene.known.items() if name != "roles"}


def truth(scene: Scene) -> dict[str, str]:
    result = scene.truth["result_without_dissection"]
    return {"client": scene.client, "result": result, **scene.truth["requirements"]}


def places(report: auditor.Report) -> dict[str, str]:
    """Return where each requirement of the client push was stopped, by its name."""
    return {
        one.row: one.blocked_at
        for client in report.clients
        for one in client.method("client-push").requirements
        if one.blocked_at
    }
