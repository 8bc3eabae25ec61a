"""The report as text: whole outputs, many clients, and names that would harm a terminal.

The whole outputs are kept in tests/gold. After a change that is meant, write them anew and read the difference:

    AUDITOR_UPDATE_GOLD=1 python -m pytest tests/render/test_text.py && git diff tests/gold
"""

from __future__ import annotations

import io
import re
import sys
from pathlib import Path

import pytest
from click.testing import CliRunner
from packets import pcap
from places import SAMPLES
from reports import of_scene
from rich.console import Console
from scenario import scene
from scenes import SCENES, each
from whole_texts import HOSTILE, gold, harmful

import auditor
from auditor.cli.commands import cli
from auditor.render.clean import MOST, clean
from auditor.render.text import print_text, render_text

pytestmark = pytest.mark.slow

# whole outputs


@pytest.mark.parametrize(
    ("name", "width"),
    [
        ("smb-dropped", 100),
        ("smb-dropped", 80),
        ("rpc-135-prohibited", 100),
        ("client-off-same-subnet", 100),
        ("both-ends-dropped-on-client", 100),
    ],
)
def test_the_whole_text(name, width, monkeypatch):
    monkeypatch.chdir(SAMPLES)
    (captures,) = (scene.captures for scene in SCENES if scene.name == name)
    text = auditor.audit(*(Path(capture).name for capture in captures), dissect=False).to_text(width=width)
    assert text == gold(f"{name}-{width}", text)


def test_the_whole_text_of_many_clients(many, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    Path("twelve.pcap").write_bytes(many)
    text = auditor.audit("twelve.pcap", dissect=False).to_text()
    assert text == gold("twelve-clients-100", text)


@pytest.mark.parametrize("width", [100, 80, 60])
@each(SCENES)
def test_no_line_is_wider_than_the_terminal(scene, width):
    text = scene.audit(**scene.known).to_text(width=width)
    assert [line for line in text.splitlines() if len(line) > width] == []
    assert [line for line in text.splitlines() if line != line.rstrip()] == []


MOST_LINES, LAST_LINE_OF_FIRST_FIX = 45, 12


@pytest.mark.parametrize("logs", [False, True], ids=["captures", "captures and logs"])
@each(SCENES)
def test_a_report_on_one_client_is_short_and_its_fix_is_near_the_top(scene, logs):
    lines = of_scene(scene.name, logs=logs).to_text().splitlines()
    fixes = [number for number, line in enumerate(lines, 1) if line.startswith("  Fix")]
    assert len(lines) <= MOST_LINES
    assert fixes[:1] <= [LAST_LINE_OF_FIRST_FIX]


# what stands where


def lines_of(*lines: str, write, **known: object) -> list[str]:
    return auditor.audit(write(pcap(scene(lines))), **known, dissect=False).to_text(width=200).splitlines()


def test_the_answer_comes_first(write):
    text = lines_of("0 10.0.0.5:50000 > 10.0.0.20:445/tcp prohibited by 10.0.0.1", write=write)
    assert text[:2] == [
        "FAILS: client push to 10.0.0.20",
        "",
    ]
    assert text[2].startswith(
        "  Cause     TCP 445 from 10.0.0.5 to 10.0.0.20: rejected by 10.0.0.1 (ICMP 3/13, administratively prohibited)."
    )
    assert text[3].startswith("  Fix       ")


def test_the_same_reason_is_told_once(write):
    text = lines_of("0 10.0.0.5 asks 10.0.0.20", write=write)
    assert sum("10.0.0.20 did not reply to" in line for line in text) == 1
    assert "The same cause affects smb (TCP 445)" in " ".join(text)


def test_the_proof_names_frames_and_filter(write):
    text = lines_of("0 10.0.0.5:50000 > 10.0.0.20:445/tcp prohibited by 10.0.0.1", write=write)
    assert "blocked on the path" in " ".join(text)
    shown = "ip.addr == 10.0.0.5 && ip.addr == 10.0.0.20 && tcp.port == 50000 && tcp.port == 445"
    assert f"Evidence frames 1, 2; display filter: {shown} || frame.number in {{2}}" in " ".join(" ".join(text).split())


def test_a_change_is_told(write):
    text = lines_of("0 10.0.0.5:50000 > 10.0.0.20:445/tcp REJ", "9 10.0.0.5:50001 > 10.0.0.20:445/tcp SF", write=write)
    assert any(
        re.fullmatch(r"  smb +TCP 445 +site server -> client +open, changed +frames 3, 4", line) for line in text
    )


def test_an_informational_row_that_was_tried_is_marked(write):
    text = lines_of(
        "0 10.0.0.5:50000 > 10.0.0.20:135/udp answered",
        write=write,
        roles={"client": "10.0.0.20", "site-server": "10.0.0.5"},
    )
    assert any(line.startswith("  rpc-endpoint-mapper-udp (informational)") for line in text)


def test_an_informational_row_that_was_not_tried_is_left_out(write):
    text = lines_of("0 10.0.0.5:50000 > 10.0.0.20:445/tcp SF", write=write)
    assert "rpc-endpoint-mapper-udp" not in "\n".join(text)


def test_details_show_every_method(write):
    report = auditor.audit(write(pcap(scene(["0 10.0.0.5:50000 > 10.0.0.20:445/tcp SF"]))), dissect=False)
    (client,) = report.clients
    text = render_text(report, details=True)
    assert all(f": {method.title} on 10.0.0.20" in text for method in client.methods if method.id != "client-push")


def test_the_method_asked_for_is_shown(write):
    line = "0 10.0.0.5:50000 > 10.0.0.20:445/tcp REJ"
    text = lines_of(line, write=write, methods=["group-policy"])
    assert text[0] == "UNPROVEN: Group Policy-based installation on 10.0.0.20"
    assert "client-push fails too: smb" in " ".join(" ".join(text).split())


# many clients


@pytest.fixture(scope="module")
def many() -> bytes:
    """Return a capture of twelve clients: SMB of nine is dropped, that of the others is open."""
    lines = [f"{n} 10.0.0.5 > 10.0.0.{n}/icmp answered" for n in range(21, 33)]
    lines += [f"{n} 10.0.0.5:{50000 + n} > 10.0.0.{n}:445/tcp {'S0' if n < 30 else 'SF'}" for n in range(21, 33)]
    return pcap(scene(lines))


def test_many_clients_begin_with_a_summary(many, write):
    text = auditor.audit(write(many), dissect=False).to_text().splitlines()
    assert text[0] == "12 clients: 9 fails, 3 unproven"
    assert re.fullmatch(r"  client-push/smb +blocked +9", text[text.index("Most frequent causes") + 2])
    assert "Failing clients (9)" in text


def test_pushes_that_may_be_other_traffic_come_last(write):
    lines = [f"{n} 10.0.0.5:{50000 + n} > 10.0.0.{n}:{port}/tcp S0" for n in range(21, 33) for port in (135, 445)]
    text = auditor.audit(
        write(pcap(scene([*lines, "1 10.0.0.9:50000 > 10.0.0.2:445/tcp S0", "until 300"]))), dissect=False
    ).to_text()
    assert "1 of these pushes is uncertain: the traffic also fits other programs. " in text
    assert re.findall(r"^  (10\.0\.0\.\d+) +client-push", text, re.MULTILINE) == [
        f"10.0.0.{n}" for n in (*range(21, 33), 2)
    ]


def test_many_clients_are_shown_in_detail_only_the_first_that_fail(many, write):
    text = auditor.audit(write(many), dissect=False).to_text()
    assert re.findall(r"^FAILS: client push to (\S+)$", text, re.MULTILINE) == [f"10.0.0.{n}" for n in (21, 22, 23)]


def test_details_show_all_of_many_clients(many, write):
    text = render_text(auditor.audit(write(many), dissect=False), details=True)
    assert len(re.findall(r"^[A-Z]+: client push to \S+$", text, re.MULTILINE)) == 12


# names that would do harm

posix = pytest.mark.skipif(sys.platform == "win32", reason="Windows allows no such file names")


@pytest.fixture(params=HOSTILE.values(), ids=HOSTILE)
def hostile(request, tmp_path, monkeypatch) -> str:
    """Write a capture under a hostile name in the current folder."""
    monkeypatch.chdir(tmp_path)
    Path(request.param).parent.mkdir(exist_ok=True)
    Path(request.param).write_bytes(pcap(scene(["0 10.0.0.5:50000 > 10.0.0.20:445/tcp REJ"])))
    return request.param


@posix
def test_a_hostile_name_is_shown_but_not_obeyed(hostile):
    text = auditor.audit(hostile, dissect=False).to_text(width=200)
    assert harmful(text) == []
    assert f"\n  {clean(hostile)}: pcap, 2 packets, " in text


@posix
def test_a_hostile_name_in_colours(hostile):
    out = io.StringIO()
    print_text(
        auditor.audit(hostile, dissect=False),
        Console(file=out, width=200, force_terminal=True, color_system="standard"),
    )
    plain = re.sub(r"\x1b\[[0-9;]*m", "", out.getvalue())
    assert harmful(plain) == []
    assert "\x1b[31mred" not in out.getvalue()
    assert clean(hostile) in plain


@posix
def test_a_hostile_name_on_standard_error(hostile):
    Path("good.pcap").write_bytes(Path(hostile).read_bytes())
    Path(hostile).write_bytes(b"no capture")
    done = CliRunner().invoke(cli, ["flows", hostile, "good.pcap"], standalone_mode=False, color=True)
    assert harmful(done.stderr) == []
    assert done.stderr.count("\n") == 1


@posix
def test_a_hostile_name_over_the_flow_table(hostile):
    Path("good.pcap").write_bytes(Path(hostile).read_bytes())
    done = CliRunner().invoke(cli, ["flows", hostile, "good.pcap"], standalone_mode=False, color=True)
    assert harmful(done.stdout) == []
    assert clean(hostile) in done.stdout


def test_plain_text_stays_as_it_is():
    assert clean("Büro-Süd 東京 [1] (a) <b> & c") == "Büro-Süd 東京 [1] (a) <b> & c"


def test_endless_text_is_cut():
    assert len(clean("x" * 10_000)) == MOST
