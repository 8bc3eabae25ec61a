"""What identifies a computer, a person, or a site in a report."""

from __future__ import annotations

import re
from collections.abc import Iterable
from functools import cache
from pathlib import Path

from reports import of_scene
from scenes import SCENES, Scene

import auditor

# What the lab calls its hosts, domain and accounts (sample_captures/lab/network.py and hosts.py).
LAB_NAMES = ("contoso", "client01", "sitesrv", "mp01", "svc-push", "svc-push2")


def secrets(scene: Scene) -> frozenset[str]:
    """Return every address, name, account and path of a scene, in lower case, whatever the report tells of it."""
    return secrets_of(scene.name)


@cache
def secrets_of(name: str) -> frozenset[str]:
    scene = next(one for one in SCENES if one.name == name)
    found = {*LAB_NAMES, *(path.lower() for path in scene.captures), *(Path(path).name for path in scene.captures)}
    for path in scene.captures:
        source = auditor.read(path)
        found |= set(source.flows["src_ip"]) | set(source.flows["dst_ip"]) | set(source.details.heard)
        found |= {address for one in source.details.asked for address in (one.requester, one.target)}
    for one in of_scene(scene.name).roles:
        found |= {name.lower() for name in one.name.split(", ") if name}
    return frozenset(found)


def leaks(text: str, words: Iterable[str]) -> list[str]:
    return [word for word in words if re.search(rf"(?<![\w.]){re.escape(word)}(?!\w)", text.lower())]
