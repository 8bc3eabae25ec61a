"""The sample captures: of each it is known what truly happened, and the audit must say the same."""

from __future__ import annotations

import tomllib
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner

import auditor
from auditor.cli import cli
from auditor.report import UNKNOWN

FOLDER = Path(__file__).parent.parent / "sample_captures"


@dataclass(frozen=True)
class Scene:
    """One sample: its captures, what is known of the site, and the truth about the client push."""

    name: str
    captures: list[str]
    known: dict[str, Any]
    truth: dict[str, Any]

    @property
    def client(self) -> str:
        """The client's address."""
        return self.known["roles"]["client"]

    @property
    def nothing_happened(self) -> bool:
        """Whether nobody tried to push."""
        return set(self.truth["requirements"].values()) == {"not-seen"}

    def audit(self, *, dissect: bool = False, **known: Any) -> auditor.Report:
        """Audit the captures, with what is known of the site; by ports only unless told otherwise."""
        return auditor.audit(*self.captures, ruleset=self.truth["ruleset"], dissect=dissect, **known)


def scenes() -> list[Scene]:
    tables = {path.stem: tomllib.loads(path.read_text(encoding="utf-8")) for path in sorted(FOLDER.glob("*.toml"))}
    return [
        Scene(
            name,
            [str(FOLDER / capture) for capture in table["captures"]],
            {"roles": table["roles"], "mode": table.get("mode"), "ports": table.get("ports", {})},
            {**table["client-push"], "ruleset": table["ruleset"]},
        )
        for name, table in tables.items()
    ]


SCENES = scenes()
PUSHES = [scene for scene in SCENES if not scene.nothing_happened]
TAKEN_AT_BOTH_ENDS = [scene for scene in SCENES if len(scene.captures) > 1]


def each(scenes: list[Scene]) -> pytest.MarkDecorator:
    return pytest.mark.parametrize("scene", scenes, ids=lambda scene: scene.name)


def without_roles(scene: Scene) -> dict[str, Any]:
    return {name: value for name, value in scene.known.items() if name != "roles"}


def told(scene: Scene, report: auditor.Report) -> dict[str, str]:
    """Return result and verdicts of the client push, those that the truth speaks of."""
    (client,) = report.clients
    method = client.method("client-push")
    verdicts = {one.row: one.verdict for one in method.requirements if one.row in scene.truth["requirements"]}
    return {"client": client.address, "result": method.result, **verdicts}


def truth(scene: Scene) -> dict[str, str]:
    result = scene.truth["result_without_dissection"]
    return {"client": scene.client, "result": result, **scene.truth["requirements"]}


def test_every_capture_has_its_truth():
    captures = {path.name for path in FOLDER.glob("*.pcap*")}
    assert captures == {Path(capture).name for scene in SCENES for capture in scene.captures}


@each(SCENES)
def test_with_the_roles_given(scene):
    assert told(scene, scene.audit(**scene.known)) == truth(scene)


@each(PUSHES)
def test_with_the_roles_inferred(scene):
    assert told(scene, scene.audit(**without_roles(scene))) == truth(scene)


@each(TAKEN_AT_BOTH_ENDS)
def test_the_captures_in_the_other_order(scene):
    report = auditor.audit(*reversed(scene.captures), ruleset=scene.truth["ruleset"], dissect=False, **scene.known)
    assert told(scene, report) == truth(scene)


@each(SCENES)
def test_a_place_that_is_named_is_the_right_one(scene):
    """What the sources cannot tell is unknown; a wrong place would send the administrator to the wrong firewall."""
    (client,) = scene.audit(**scene.known).clients
    places = {one.blocked_at for one in client.method("client-push").requirements if one.blocked_at}
    assert places <= {UNKNOWN, scene.truth["blocked_at"]}


@each(SCENES)
def test_on_the_command_line(scene):
    options = [word for role, address in scene.known["roles"].items() for word in ("--role", f"{role}={address}")]
    options += [word for name, port in scene.known["ports"].items() for word in ("--port", f"{name}={port}")]
    options += ["--mode", scene.known["mode"]] if scene.known["mode"] else []
    arguments = ["analyze", "--no-dissect", *options, *scene.captures]
    done = CliRunner().invoke(cli, arguments, standalone_mode=False, catch_exceptions=False)
    result = scene.truth["result_without_dissection"]
    assert done.return_value == (3 if result == "fails" else 1 if scene.nothing_happened else 0)
    assert done.stdout.startswith(f"{scene.client}: Client push installation: {result.upper()}\n")


def test_nobody_is_found_in_a_quiet_capture():
    quiet = next(scene for scene in SCENES if scene.name == "quiet")
    report = quiet.audit()
    assert (report.clients, report.roles) == ((), ())
    assert report.to_text().startswith("No client installation was audited.\n")


def test_a_capture_without_any_push_is_never_all_fine():
    quiet = next(scene for scene in SCENES if scene.name == "quiet")
    done = CliRunner().invoke(cli, ["analyze", *quiet.captures], standalone_mode=False)
    assert done.return_value == 1
    assert "no client installation was found" in done.stderr
