"""The packets that prove a report: those that it cites and no others, unchanged, and each says what it proves."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

import pytest
from click.testing import CliRunner, Result
from packets import pcap
from places import SAMPLES
from scenario import scene
from scenes import SCENES, Scene, each
from wireshark import ONE_VALUE

import auditor
from auditor.api.evidence import NoEvidenceError, write_evidence
from auditor.cli.commands import cli
from auditor.errors import SourceError

pytestmark = pytest.mark.slow

BY_NAME = {one.name: one for one in SCENES}
ONE_SOURCE = [BY_NAME[name] for name in ("smb-dropped", "wrong-password", "mp-500", "ipv6-smb-prohibited")]
TWO_SOURCES = BY_NAME["both-ends-dropped-between"]


class Frame(NamedTuple):
    """A packet as Wireshark sees it: when, how long, its bytes (as their MD5), and its comment."""

    time: str
    length: str
    md5: str
    comment: str


@pytest.fixture
def wireshark(tshark, tmp_path) -> Callable[[Path | str], list[Frame]]:
    """Return every frame of a capture."""
    columns = ("frame.time_epoch", "frame.len", "frame.md5_hash", "frame.comment")
    options = ["-o", "frame.generate_md5_hash:TRUE", *ONE_VALUE, *(word for one in columns for word in ("-e", one))]

    def frames(path: Path | str) -> list[Frame]:
        done = subprocess.run(
            [tshark, "-n", "-r", str(path), *options],
            env={**os.environ, "WIRESHARK_CONFIG_DIR": str(tmp_path / "no-profile")},
            capture_output=True,
            text=True,
            check=True,
        )
        return [Frame(*line.split("\t")) for line in done.stdout.splitlines()]

    return frames


def collected(target: Path, *words: object) -> Result:
    arguments = ["evidence", *map(str, words), "-o", str(target)]
    return CliRunner().invoke(cli, arguments, standalone_mode=False)


def cited(report: auditor.Report) -> list[tuple[int, int]]:
    """Return source and frame of everything that a report shows as proof."""
    verdicts = [one for client in report.clients for method in client.methods for one in method.requirements]
    return sorted({(proof.source, frame) for one in verdicts for proof in one.evidence for frame in proof.frames})


# what is in it


@each([*ONE_SOURCE, TWO_SOURCES])
def test_it_holds_the_frames_that_the_report_cites_unchanged(scene: Scene, wireshark, tmp_path):
    target = tmp_path / "proof.pcapng"
    assert collected(target, *scene.captures).exception is None
    sources = [wireshark(capture) for capture in scene.captures]
    report = auditor.audit(*scene.captures, ruleset=scene.truth["ruleset"])
    assert [one[:3] for one in wireshark(target)] == [sources[number][at - 1][:3] for number, at in cited(report)]


@each(ONE_SOURCE)
def test_each_packet_says_which_frame_it_was_and_what_it_proves(scene: Scene, wireshark, tmp_path):
    target = tmp_path / "proof.pcapng"
    collected(target, *scene.captures)
    report = auditor.audit(*scene.captures, ruleset=scene.truth["ruleset"])
    numbers = [re.match(r"frame (\d+)\\n10\.20|frame (\d+)\\nfd", one.comment) for one in wireshark(target)]
    assert [int(found[1] or found[2]) for found in numbers] == [frame for _, frame in cited(report)]


def test_the_comment_of_a_problem_names_it(wireshark, tmp_path):
    target = tmp_path / "proof.pcapng"
    collected(target, *BY_NAME["wrong-password"].captures)
    (refused,) = [one.comment for one in wireshark(target) if one.comment.startswith("frame 18\\n")]
    begin = r"frame 18\n10.20.2.20 client-push/smb: open (proven). log on: STATUS_LOGON_FAILURE. Fix: "
    assert refused.startswith(begin)


def test_of_two_sources_each_packet_says_which_one_it_is_from(wireshark, tmp_path):
    target = tmp_path / "proof.pcapng"
    collected(target, *TWO_SOURCES.captures)
    named = [one.comment.partition(", frame ")[0] for one in wireshark(target)]
    assert set(named) == set(TWO_SOURCES.captures)
    assert named == sorted(named, key=TWO_SOURCES.captures.index)


def test_a_name_with_braces_is_a_name(wireshark, tmp_path):
    paths = [tmp_path / name for name in ("{0}.pcap", "{other}.pcap")]
    for path, second in zip(paths, (0, 90), strict=True):
        path.write_bytes(pcap(scene([f"{second} 10.0.0.5:5000{second % 7} > 10.0.0.20:445/tcp SF"])))
    assert collected(tmp_path / "proof.pcapng", *paths).exception is None
    named = {one.comment.partition(", frame ")[0] for one in wireshark(tmp_path / "proof.pcapng")}
    assert named == set(map(str, paths))


def test_a_frame_that_proves_several_things_is_there_once_and_says_all(tmp_path, wireshark):
    """The echo request and SMB are part of several methods."""
    target = tmp_path / "proof.pcapng"
    collected(target, *BY_NAME["smb-dropped"].captures)
    frames = wireshark(target)
    assert len({(one.time, one.md5) for one in frames}) == len(frames)
    lines = [one.comment.split("\\n")[1:] for one in frames]
    assert all(len(said) == len(set(said)) for said in lines)


def test_the_number_of_packets_is_told(tmp_path, wireshark):
    target = tmp_path / "proof.pcapng"
    done = collected(target, SAMPLES / "smb-dropped.pcap")
    assert done.stderr == f"{len(wireshark(target))} packets\n"


def test_a_captured_part_of_a_packet_stays_a_part(write, wireshark, tmp_path):
    path = write(pcap(scene(["0 10.0.0.5:50000 > 10.0.0.20:445/tcp SF"]), snap=54))
    collected(tmp_path / "proof.pcapng", path)
    sizes = [one.length for one in wireshark(path)]
    assert {one.length for one in wireshark(tmp_path / "proof.pcapng")} <= set(sizes)


def test_the_same_evidence_has_the_same_bytes(tmp_path):
    for name in ("one", "two"):
        collected(tmp_path / name, SAMPLES / "mp-500.pcap.gz")
    assert (tmp_path / "one").read_bytes() == (tmp_path / "two").read_bytes()


# where it is written


def test_an_output_that_exists_is_refused(tmp_path):
    target = tmp_path / "proof.pcapng"
    target.write_text("mine")
    done = collected(target, SAMPLES / "smb-dropped.pcap")
    assert "the output exists already" in str(done.exception)
    assert target.read_text() == "mine"


def test_an_output_that_exists_is_replaced_if_forced(tmp_path):
    target = tmp_path / "proof.pcapng"
    target.write_text("mine")
    collected(target, SAMPLES / "smb-dropped.pcap", "--force")
    assert target.read_bytes().startswith(b"\x0a\x0d\x0d\x0a")


def test_standard_output():
    done = CliRunner().invoke(cli, ["evidence", str(SAMPLES / "smb-dropped.pcap"), "-o", "-"], standalone_mode=False)
    assert done.stdout_bytes.startswith(b"\x0a\x0d\x0d\x0a")


def test_without_an_output_it_is_not_run():
    assert CliRunner().invoke(cli, ["evidence", str(SAMPLES / "smb-dropped.pcap")]).exit_code == 2


# when there is none


def test_nothing_to_prove_is_one_line_and_exit_code_1(tmp_path):
    command = [sys.executable, "-m", "auditor", "evidence", SAMPLES / "quiet.pcap", "-o", tmp_path / "proof.pcapng"]
    environment = {**os.environ, "PYTHONPATH": str(Path(auditor.__file__).parent.parent)}
    done = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)
    assert (done.returncode, done.stdout) == (1, "")
    assert done.stderr.startswith("error: nothing in these sources proves or disproves a requirement")
    assert done.stderr.count("\n") == 1
    assert list(tmp_path.iterdir()) == []


def test_a_report_that_cites_nothing_has_no_evidence(tmp_path):
    report = auditor.audit(SAMPLES / "quiet.pcap", dissect=False)
    with (tmp_path / "proof").open("wb") as out, pytest.raises(NoEvidenceError):
        write_evidence(report, out)


def test_a_source_that_was_replaced_since_is_no_proof(write, tmp_path):
    path = write(pcap(scene(["0 10.0.0.5:50000 > 10.0.0.20:445/tcp SF"])))
    report = auditor.audit(path, dissect=False)
    path.write_bytes(pcap(scene(["0 10.0.0.5:50000 > 10.0.0.20:445/tcp SF"])[:1]))
    with (tmp_path / "proof").open("wb") as out, pytest.raises(SourceError, match="has changed since the report"):
        write_evidence(report, out)


def test_a_source_that_is_gone_since_is_told_of(write, tmp_path):
    path = write(pcap(scene(["0 10.0.0.5:50000 > 10.0.0.20:445/tcp SF"])))
    report = auditor.audit(path, dissect=False)
    path.unlink()
    with (tmp_path / "proof").open("wb") as out, pytest.raises(SourceError, match="cannot be read again"):
        write_evidence(report, out)
