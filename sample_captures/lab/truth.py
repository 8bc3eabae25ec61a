"""The truth about a scene as TOML, written from its definition and never from the capture."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence

from network import CLIENT, LEAVES
from scenes import Scene

HEADING = "# What truly happened in this capture; written by sample_captures/lab, checked by the tests.\n"
RULESET = "configmgr-2007"


def capture_names(scene: Scene) -> list[str]:
    """Name the files of a scene: the scene's name, and the place too if there are two of them."""
    if len(scene.taps) == 1:
        return [f"{scene.name}.{scene.form}"]
    return [f"{scene.name}-{tap.place}.{scene.form}" for tap in scene.taps]


def log_names(scene: Scene) -> list[str]:
    """Name the firewall logs of a scene: the client's, or none."""
    return [f"{scene.name}.log"] if scene.with_log else []


def addresses(scene: Scene) -> dict[str, str]:
    """Tell what each role's name resolves to in a scene."""
    usual = {host.role: host.ipv6 if scene.ipv6 else host.ipv4 for host in LEAVES}
    return usual | dict(scene.addresses)


def truth_text(scene: Scene) -> str:
    """Write the truth about a scene as TOML."""
    real = addresses(scene)
    ports = _table("ports", scene.ports) if scene.ports else ""
    return (
        HEADING
        + _table(None, _facts(scene))
        + _table("roles", {host.role: real[host.role] for host in scene.roles})
        + ports
        + _table("client-push", _outcome(scene))
        + _table("client-push.requirements", scene.requirements)
        + _truth_with_log(scene)
    )


def _facts(scene: Scene) -> dict[str, str | list[str]]:
    facts: dict[str, str | list[str]] = {
        "title": scene.title,
        "captures": capture_names(scene),
        "taken_at": [tap.place for tap in scene.taps],
        "done": scene.done,
        "ruleset": RULESET,
    }
    if scene.with_log:
        facts |= {"logs": log_names(scene), "logged_at": [CLIENT.role]}
    return facts | ({"mode": scene.mode} if scene.mode else {})


def _outcome(scene: Scene) -> dict[str, str]:
    return {
        "result": scene.result,
        "result_without_dissection": scene.result_without_dissection or scene.result,
        "blocked_at": scene.blocked_at,
        "because": scene.because,
    }


def _truth_with_log(scene: Scene) -> str:
    """Tell what the log of the scene adds to its captures."""
    if scene.with_log is None:
        return ""
    return (
        _table("client-push.confidence", scene.confidence)
        + _table("client-push.with-logs", {"result": scene.with_log.result})
        + _table("client-push.with-logs.requirements", scene.with_log.requirements)
        + _table("client-push.with-logs.confidence", scene.with_log.confidence)
    )


def _table(name: str | None, rows: Mapping[str, str | int | Sequence[str]]) -> str:
    heading = f"\n[{name}]\n" if name else ""
    return heading + "".join(f"{key} = {json.dumps(value)}\n" for key, value in rows.items())
