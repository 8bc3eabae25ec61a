"""Other versions of tshark: a report is the same, byte for byte, whichever version dissects the packets.

What all TCP flows of a real capture show is the same too, but for what no push does.
"""

from __future__ import annotations

import os
from functools import cache
from pathlib import Path
from typing import Any

import pytest
from dissected_flows import TOO_LONG, flows
from realcaptures import FOLDER, captures
from scenes import SCENES, Scene, each, without_roles

import auditor
from auditor.api import evidence_records
from auditor.sources.dissection.facts import ProtocolFacts, extract_protocol_facts
from auditor.sources.dissection.program import tshark_version
from auditor.sources.dissection.tshark import dissect
from auditor.sources.read import known_tunnels

MISSING = "AUDITOR_TSHARKS names no other tshark (tests/platforms/run PLATFORM tshark installs and names one)"
TSHARKS = [Path(path) for path in os.environ.get("AUDITOR_TSHARKS", "").split(os.pathsep) if path]

# Captures of which other versions show other facts than 4.0, and why. No report on any of them differs.
FACTS_DIFFER = {
    "blocked/mercury__capture2.pcap": ("4.4", "4.6"),  # packets twice and out of order: which of the two is dissected
    "dcerpc/zeek__mapi.pcap": ("4.6",),  # HTTP out of order is put in order; the pipe of SMB 1 is known to a response
    "formats/wireshark-notes__tls-null.pcapng": ("4.4", "4.6"),  # TLS that encrypts nothing is read
    "http_tls/nDPI__tls_multiple_synack_different_seq.pcapng": ("4.4", "4.6"),  # what follows a second SYN-ACK is read
    "zeek/http/zeek-image-post-1080-8000-x.pcap": ("4.4", "4.6"),  # port 8000 is one of HTTP
    "zeek/modbus/modbus-and-non-modbus-p502.pcap": ("4.6",),  # port 502 is one of Modbus, whatever is sent there
}

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


@cache
def facts_of_capture(name: str, tshark: Path) -> tuple[ProtocolFacts, str]:
    dissection = dissect(FOLDER / name, flows(name), known_tunnels(), tshark)
    return extract_protocol_facts(dissection.packets), dissection.obstacle


@with_each
@pytest.mark.usefixtures("corpus")
@pytest.mark.parametrize("name", [name for name in captures() if name not in TOO_LONG])
def test_all_flows_of_a_real_capture_show_the_same(name: str, other: Path, tshark: str):
    version = str(tshark_version(other))[:3]
    if version in FACTS_DIFFER.get(name, ()):
        assert facts_of_capture(name, other) != facts_of_capture(name, Path(tshark)), "take it out of the table"
    else:
        assert facts_of_capture(name, other) == facts_of_capture(name, Path(tshark))


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
