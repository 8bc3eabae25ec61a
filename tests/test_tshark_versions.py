"""Other versions of tshark: a report is the same, byte for byte, whichever version dissects the packets."""

from __future__ import annotations

import os
from functools import cache
from pathlib import Path
from typing import Any

import pytest
from realcaptures import FOLDER, captures
from test_scenes import SCENES, Scene, each, without_roles

import auditor
from auditor.api import evidence_records

MISSING = "AUDITOR_TSHARKS names no other tshark (tests/platforms/run PLATFORM tshark installs and names one)"
TSHARKS = [Path(path) for path in os.environ.get("AUDITOR_TSHARKS", "").split(os.pathsep) if path]

pytestmark = pytest.mark.usefixtures("tshark")
with_each = pytest.mark.parametrize(
    "other",
    TSHARKS or [pytest.param(None, marks=pytest.mark.skip(reason=MISSING))],
    ids=lambda path: path.name if path else "none",
)


def report(sources: list[str], tshark: Path | None, **known: Any) -> str:
    """Return the report as JSON, or why there is none."""
    try:
        return auditor.audit(*sources, tshark=tshark, **known).to_json()
    except auditor.AuditorError as error:
        return str(error)


@cache
def report_of_scene(name: str, tshark: Path | None, *, inferred: bool) -> str:
    scene = next(scene for scene in SCENES if scene.name == name)
    known = without_roles(scene) if inferred else scene.known
    return report(scene.captures, tshark, ruleset=scene.truth["ruleset"], **known)


@cache
def report_of_capture(name: str, tshark: Path | None) -> str:
    return report([str(FOLDER / name)], tshark)


@with_each
@pytest.mark.parametrize("inferred", [False, True], ids=["roles given", "roles inferred"])
@each(SCENES)
def test_a_sample_capture_has_the_same_report(scene: Scene, inferred: bool, other: Path):
    assert report_of_scene(scene.name, other, inferred=inferred) == report_of_scene(scene.name, None, inferred=inferred)


@with_each
@pytest.mark.usefixtures("corpus")
@pytest.mark.parametrize("name", captures())
def test_a_real_capture_has_the_same_report(name: str, other: Path):
    assert report_of_capture(name, other) == report_of_capture(name, None)


@with_each
def test_the_packets_of_a_verdict_are_the_same_and_have_their_times(other: Path, monkeypatch: pytest.MonkeyPatch):
    (scene,) = [scene for scene in SCENES if scene.name == "winreg-pipe-missing"]
    report = scene.audit(dissect=True, **scene.known)

    def shown() -> list[tuple[Any, ...]]:
        packets = report.packets("client-push/smb")
        return [(packet.number, packet.sniff_time, packet.highest_layer, packet.ip.src) for packet in packets]

    mine = shown()
    monkeypatch.setattr(evidence_records, "find_tshark", lambda: other)
    assert shown() == mine != []
