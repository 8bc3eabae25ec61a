"""Running tshark: in any event loop, with any kind of tshark, and nothing of it stays behind."""

from __future__ import annotations

import asyncio
import os
import re
import signal
import struct
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from packets import LINKS, TUNNELS, ends, ip, pcap, talk, tcp, turned
from places import ROOT
from waiting import PATIENCE, wait_for

import auditor
from auditor.sources.dissection import selection
from auditor.sources.dissection.selection import FlowSelector
from auditor.sources.dissection.tshark import TELLING, Dissection, dissect
from auditor.sources.extract import Record, frames_of
from auditor.sources.read import known_tunnels

CAPTURE = ROOT / "sample_captures" / "wrong-password.pcap"
CONFIGURATION = "WIRESHARK_CONFIG_DIR"

pytestmark = [
    pytest.mark.slow,
    pytest.mark.usefixtures("tshark", "nothing_stays"),
    pytest.mark.skipif(os.name == "nt", reason="the false tsharks here are shell scripts"),
]


@pytest.fixture
def nothing_stays(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str], caplog: pytest.LogCaptureFixture
) -> Iterator[None]:
    """Hold after every test here: no child process, no temporary file, no word of asyncio's, no configuration."""
    folder = tmp_path / "temporary"
    folder.mkdir()
    monkeypatch.setattr(tempfile, "tempdir", str(folder))
    children = children_of(os.getpid())
    yield
    assert children_of(os.getpid()) == children
    assert list(folder.iterdir()) == []
    assert not os.environ.get(CONFIGURATION, "").startswith(str(folder))
    assert capfd.readouterr() == ("", "")
    assert [record.getMessage() for record in caplog.records if record.name == "asyncio"] == []


def children_of(process: int) -> set[int]:
    """Return the ids of the processes that a process started and that are not gone, the dead ones included."""
    found = set()
    for stat in Path("/proc").glob("[0-9]*/stat"):
        try:
            parent = int(stat.read_text().rpartition(")")[2].split()[1])
        except (OSError, IndexError):
            continue  # gone while we looked
        if parent == process:
            found.add(int(stat.parent.name))
    return found


def flows(path: Path = CAPTURE) -> list[FlowSelector]:
    """Return every TCP flow of a capture."""
    table = auditor.read(path).flows
    ends = ["protocol", "src_ip", "src_port", "dst_ip", "dst_port", "first_frame"]
    return [FlowSelector(*row) for row in table[table["protocol"] == "tcp"][ends].itertuples(index=False)]


def packets() -> list[Record]:
    """Return all packets of the capture's TCP flows."""
    return list(frames_of(CAPTURE, selection.select(CAPTURE, flows(), known_tunnels()).frames))


def listen(tshark: object, **options: float) -> Dissection:
    return dissect(CAPTURE, flows(), known_tunnels(), Path(str(tshark)), **options)


@pytest.fixture
def false(tmp_path: Path) -> Callable[..., Path]:
    """Write a false tshark that does this; by default it says its version as the true one does."""

    def write(script: str, *, version: bool = True, name: str = "tshark") -> Path:
        path = tmp_path / name
        answer = 'if [ "$1" = -v ]; then echo "TShark (Wireshark) 4.0.17"; exit 0; fi\n' if version else ""
        path.write_text(f"#!/bin/sh\n{answer}{script}\n")
        path.chmod(0o755)
        return path

    return write


def in_own_process(script: str, folder: Path, *arguments: object) -> str:
    """Run a Python script in a folder of its own and return what it prints; it must not say anything on stderr."""
    done = subprocess.run(
        [sys.executable, "-c", script, *map(str, arguments)],
        cwd=folder,
        env={**os.environ, "PYTHONPATH": str(Path(auditor.__file__).parent.parent)},
        capture_output=True,
        text=True,
        timeout=PATIENCE,
        check=False,
    )
    assert (done.returncode, done.stderr) == (0, "")
    return done.stdout


# what it reads


def test_what_is_told_stands_in_the_frames_where_wireshark_has_it(tshark):
    command = [tshark, "-n", "-r", str(CAPTURE), "-Y", TELLING, "-T", "fields", "-e", "frame.number"]
    frames = subprocess.run(command, capture_output=True, text=True, check=True).stdout.split()
    *told, last = [str(one.frame) for one in listen(tshark).packets]
    assert (told, int(last)) == (frames, max(one.frame for one in packets()))


def test_a_packet_is_told_with_both_ends_and_all_its_fields(tshark):
    (refused,) = [one for one in listen(tshark).packets if "0xc000006d" in one.fields.get("smb2.nt_status", [])]
    assert (refused.src, refused.src_port, refused.dst) == ("10.20.2.20", 445, "10.20.1.5")
    assert (refused.frame, refused.number("smb2.cmd"), refused.number("ip.ttl")) == (18, 1, 63)


def test_a_packet_is_told_with_its_time(tshark):
    times = {one.frame: one.time_ns for one in packets()}
    assert {one.frame: one.time_ns for one in listen(tshark).packets}.items() <= times.items()


def test_only_the_flows_asked_for_are_read(tshark):
    wanted = [one for one in flows() if one.dst_port == 445]
    told = dissect(CAPTURE, wanted, known_tunnels(), Path(tshark)).packets
    assert {min(one.src_port, one.dst_port) for one in told} == {445}


def test_without_flows_nothing_is_run():
    assert dissect(CAPTURE, [], known_tunnels(), Path("/no/tshark")) == Dissection((), "")


# packets that are made up


def carrying(who: str, data: bytes, seq: int = 1001) -> bytes:
    return ip(who, 6, tcp(who, "PA", seq=seq, ack=1)[20:] + data)


def smb(command: int, status: int, message: int) -> bytes:
    """Return an SMB 2 answer that says no more than its status."""
    head = struct.pack("<4sHHIHHIIQIIQ16s", b"\xfeSMB", 64, 1, status, command, 1, 1, 0, message, 0, 1, 1, b"")
    body = head + struct.pack("<HBBIB", 9, 0, 0, 0, 0)
    return struct.pack(">I", len(body)) + body


def heard(path: Path, tshark: str) -> Dissection:
    return dissect(path, flows(path), known_tunnels(), Path(tshark))


@pytest.mark.parametrize("who", ["10.0.0.1:50000 > 10.0.0.5:445", "[fd00::1]:50000 > [fd00::5]:445"])
@pytest.mark.parametrize("wrap", TUNNELS.values(), ids=TUNNELS)
def test_a_packet_in_a_tunnel_is_told_with_the_hosts_inside(wrap, who, write, tshark):
    path = write(pcap([wrap(packet) for packet in talk(who, "S <RA")]))
    (caller, port), (callee, _) = ends(who)
    assert [one[:5] for one in heard(path, tshark).packets] == [(2, str(callee), 445, str(caller), port)]


@pytest.mark.parametrize("who", ["10.0.0.1:50000 > 10.0.0.5:445", "[fd00::1]:50000 > [fd00::5]:445"])
def test_a_packet_below_labels_is_told_with_its_hosts(who, write, tshark):
    """tshark 4.4 and later do not list IP among the protocols of such a packet."""
    path = write(pcap(talk(who, "S <RA"), LINKS["MPLS"]))
    (caller, port), (callee, _) = ends(who)
    assert [one[:5] for one in heard(path, tshark).packets] == [(2, str(callee), 445, str(caller), port)]


def test_several_messages_in_one_packet_are_all_told(write, tshark):
    who = "10.0.0.1:50000 > 10.0.0.5:445"
    both = carrying(turned(who), smb(1, 0xC000006D, 1) + smb(3, 0xC0000022, 2), seq=9001)
    (told,) = heard(write(pcap([*talk(who, "S <SA A"), both])), tshark).packets
    assert told.fields["smb2.nt_status"] == ["0xc000006d", "0xc0000022"]
    assert told.fields["smb2.msg_id"] == ["1", "2"]


def test_bytes_that_are_no_text_do_not_end_the_reading(write, tshark):
    """Names in packets are written in any code page, or by somebody who means harm."""
    who = "10.0.0.1:50000 > 10.0.0.5:80"
    requests = [b"GET /\xff\xfe\x00\x1b HTTP/1.1\r\nHost: \xe4\xf6\r\n\r\n", b"GET /second HTTP/1.1\r\n\r\n"]
    packets = [*talk(who, "S <SA A"), carrying(who, requests[0]), carrying(who, requests[1], 1001 + len(requests[0]))]
    dissection = heard(write(pcap(packets)), tshark)
    assert [one.first("http.request.method") for one in dissection.packets] == ["GET", "GET"]
    assert dissection.packets[1].first("http.request.uri") == "/second"
    assert dissection.obstacle == ""


# long flows: their beginning and their end

SHARE, WEB = "10.0.0.1:50000 > 10.0.0.5:445", "10.0.0.1:50001 > 10.0.0.5:80"
DATA = {
    "zeros": bytes(1400),
    "what looks like the header of a long message": b"\0\1\xff\xff" * 350,
    "text": b"text" * 350,
}


@pytest.fixture
def short(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let flows be long that are not."""
    for name, number in (("PACKETS", 8), ("AFTER", 2), ("LAST", 12)):
        monkeypatch.setattr(selection, f"MOST_{name}", number)


def sent(who: str, *parts: bytes) -> list[bytes]:
    """Return a connection in which each end sends what is its own, "<" for that of the responder; PSH ends each."""
    packets, following = talk(who, "S <SA A"), [1001, 9001]
    for part in parts:
        side = int(part.startswith(b"<"))
        data = part[side:]
        for begin in range(0, len(data), 1400):
            piece, last = data[begin : begin + 1400], begin + 1400 >= len(data)
            ports, seq = turned(who) if side else who, following[side]
            header = tcp(ports, "PA" if last else "A", seq=seq, ack=following[1 - side])[20:]
            packets.append(ip(ports, 6, header + piece))
            following[side] += len(piece)
    return packets


def written_file(data: bytes, message: int) -> bytes:
    """Return an SMB 2 request that writes a file, in several segments."""
    head = struct.pack("<4sHHIHHIIQIIQ16s", b"\xfeSMB", 64, 1, 0, 9, 1, 0, 0, message, 0, 1, 1, b"")
    body = head + struct.pack("<HHIQ16sIIHHI", 49, 112, len(data), 0, bytes(16), 0, 0, 0, 0, 0) + data
    return struct.pack(">I", len(body)) + body


@pytest.mark.usefixtures("short")
@pytest.mark.parametrize("data", DATA.values(), ids=DATA)
def test_the_last_logon_of_a_long_flow_is_told(data, write, tshark):
    chunks = [part for number in range(9) for part in (written_file(4 * data, number), b"<" + smb(9, 0, number))]
    logon = [b"<" + smb(1, 0xC000006D, 90)]
    path = write(pcap(sent(SHARE, *chunks, *logon)))
    found = heard(path, tshark)
    assert found.packets[-1].fields["smb2.nt_status"] == ["0xc000006d"]
    assert sum(left.packets for left in found.left_out) > 20


@pytest.mark.parametrize("data", DATA.values(), ids=DATA)
def test_what_is_told_of_a_long_flow_is_told_of_those_packets_anyway(data, write, tshark, monkeypatch):
    """Wherever its end is cut off: Wireshark is not led astray by data that begin in the middle."""
    chunks = [part for number in range(5) for part in (written_file(3 * data, number), b"<" + smb(9, 0, number))]
    path = write(pcap(sent(SHARE, *chunks, smb(5, 0, 91), b"<" + smb(5, 0xC0000022, 91))))
    whole = {one.frame: one.fields for one in heard(path, tshark).packets}
    for last in range(1, 14):
        with monkeypatch.context() as patch:
            for name, number in (("PACKETS", 4), ("AFTER", 0), ("LAST", last)):
                patch.setattr(selection, f"MOST_{name}", number)
            told = {one.frame: one.fields for one in heard(path, tshark).packets}
            selected = set(selection.select(path, flows(path), known_tunnels()).frames.tolist())
        assert told.keys() == whole.keys() & selected, last
        for frame, fields in told.items():
            for name in ("smb2.cmd", "smb2.nt_status", "smb2.msg_id"):
                assert fields.get(name) == whole[frame].get(name), (last, frame)


def web(*statuses: tuple[int, int]) -> list[bytes]:
    """Return requests and responses: the status of each, and how many bytes it carries."""
    parts = []
    for number, (status, size) in enumerate(statuses):
        parts.append(b"GET /%d HTTP/1.1\r\nHost: h\r\n\r\n" % number)
        parts.append(b"<HTTP/1.1 %d Some\r\nContent-Length: %d\r\n\r\n" % (status, size) + b"x" * size)
    return sent(WEB, *parts)


LONG = 60_000


@pytest.mark.usefixtures("short")
@pytest.mark.parametrize(
    ("statuses", "expected"),
    [
        ([(200, LONG)], ["200"]),
        ([(200, LONG), (404, 9)], ["200", "404"]),
        ([(200, 9), (206, LONG), (206, LONG), (403, 9)], ["200", "206", "403"]),
        ([(404, 9), (200, 3000)], ["404", "200"]),
    ],
    ids=str,
)
def test_the_status_of_a_long_download_is_told_and_the_last_one(statuses, expected, write, tshark):
    told = heard(write(pcap(web(*statuses))), tshark).packets
    assert [code for one in told for code in one.fields.get("http.response.code", [])] == expected


def test_of_short_flows_nothing_is_left_out(tshark):
    assert listen(tshark).left_out == ()


@pytest.mark.usefixtures("short")
def test_what_was_left_out_of_long_flows_is_a_warning_and_a_limitation(write, tshark):
    chunks = [part for number in range(9) for part in (written_file(5600 * b"x", number), b"<" + smb(9, 0, number))]
    path = write(pcap(sent(SHARE, *chunks)))
    report = auditor.audit(path, tshark=tshark, roles={"site-server": "10.0.0.1", "client": "10.0.0.5"})
    (warning,) = report.sources[0].warnings
    assert (warning.code, warning.text) == (
        "long-flow",
        f"35 packets (36,571 bytes) in the middle of 1 long flow ({SHARE}) were not dissected. A failed step there is "
        "not reported. To include them, shorten the capture: editcap -A START -B STOP IN OUT.",
    )
    assert f"{path}: {warning.text}" in report.limitation_texts


def test_of_a_report_that_reads_all_nothing_is_left_out(tshark):
    assert auditor.audit(CAPTURE, tshark=tshark).sources[0].warnings == ()


# any event loop


def report_of_capture() -> str:
    return auditor.audit(CAPTURE).to_json()


async def in_a_coroutine() -> str:
    return report_of_capture()


def test_a_running_event_loop_gives_the_same_report():
    assert asyncio.run(in_a_coroutine()) == report_of_capture()


def test_the_caller_s_event_loop_can_be_used_afterwards():
    async def main() -> list[str]:
        report_of_capture()
        return await asyncio.gather(in_a_coroutine(), asyncio.sleep(0, "still there"))

    assert asyncio.run(main())[1] == "still there"


def test_threads_give_the_same_report():
    with ThreadPoolExecutor(3) as pool:
        assert set(pool.map(lambda _: report_of_capture(), range(3))) == {report_of_capture()}


AFTER_PYSHARK = """
import asyncio, sys, pyshark, auditor
def used(path):
    capture = pyshark.FileCapture(path)
    try:
        capture.load_packets()
    except RuntimeError:
        pass  # it cannot be used in a running event loop
def main():
    used(sys.argv[1])
    sys.stdout.write(auditor.audit(sys.argv[1]).to_json())
async def coroutine():
    main()
asyncio.run(coroutine()) if sys.argv[2] == "in a loop" else main()
"""


@pytest.mark.skipif(sys.version_info >= (3, 14), reason="pyshark 0.6 itself cannot run tshark on Python 3.14")
@pytest.mark.parametrize("where", ["in a script", "in a loop"])
def test_a_caller_who_used_pyshark_itself_gets_the_same_report(where, tmp_path):
    """pyshark leaves a watcher of child processes behind that needs the caller's loop, which waits for us."""
    script = "import warnings; warnings.simplefilter('ignore')\n" + AFTER_PYSHARK
    assert in_own_process(script, tmp_path, CAPTURE, where) == report_of_capture()


def test_in_a_jupyter_kernel(capfd):
    nbclient, nbformat = pytest.importorskip("nbclient"), pytest.importorskip("nbformat")
    pytest.importorskip("ipykernel")
    cell = f"import auditor; print(auditor.audit({str(CAPTURE)!r}).to_json(), end='')"
    notebook = nbformat.v4.new_notebook(cells=[nbformat.v4.new_code_cell(cell)])
    nbclient.NotebookClient(notebook, timeout=PATIENCE, kernel_name="python3").execute(cwd=str(ROOT))
    assert [(one["name"], one["text"]) for one in notebook.cells[0].outputs] == [("stdout", report_of_capture())]
    capfd.readouterr()  # the kernel has words of its own


def test_nothing_is_printed_in_a_script_even_if_python_shows_all_its_warnings(tmp_path):
    script = f"import sys, auditor; sys.stdout.write(auditor.audit({str(CAPTURE)!r}).to_json())"
    shown = "import warnings; warnings.simplefilter('always', ResourceWarning)\n"
    assert in_own_process(shown + script, tmp_path) == report_of_capture()


# any tshark

BROKEN = {
    "ends with an error": "exit 1",
    "is killed": "kill -9 $$",
    "prints what is no packet": "printf '[\\n  {\\n  },\\n  {\\n  }\\n]\\n'",
    "prints half a packet and is killed": "printf '[\\n  {\\n'; kill -9 $$",
    "prints a lot of errors": "yes error | head -c 300000 >&2; exit 2",
}
NO_TSHARK = {
    "ends with an error": "exit 1",
    "prints garbage": "head -c 100000 /dev/urandom",
    "prints nothing": "",
    "prints a version and fails": "echo 4.0.17; exit 1",
}


@pytest.mark.parametrize("script", BROKEN.values(), ids=BROKEN)
def test_a_tshark_that_breaks_is_told_of(script, false):
    dissection = listen(false(script))
    assert dissection.packets == ()
    assert dissection.obstacle.startswith(("tshark ended with", "the output of tshark"))


NOTHING_BACK = {"prints nothing": "exit 0", "prints no packet": "echo '['; echo; echo ']'"}


@pytest.mark.parametrize("script", NOTHING_BACK.values(), ids=NOTHING_BACK)
def test_a_tshark_that_ends_well_and_gives_nothing_back_is_told_of(script, false):
    dissection = listen(false(script))
    assert dissection.packets == ()
    assert dissection.obstacle.startswith("tshark returned no packet and no error")


def test_a_tshark_that_ends_well_before_the_end_is_told_of(tshark, false):
    """As one does that somebody put a limit of packets on."""
    dissection = listen(false(f'exec "{tshark}" -c 30 "$@"'))
    assert 0 < len(dissection.packets) < len(listen(tshark).packets)
    assert "tshark returned too few packets" in dissection.obstacle


@pytest.mark.parametrize(("few", "without"), [(5, ""), (9, ", and none of 1 flow")])
def test_that_not_all_of_many_packets_were_read_is_told_of(few, without, tshark, monkeypatch):
    monkeypatch.setattr(selection, "MOST_IN_ALL", 20)
    monkeypatch.setattr(selection, "FEWEST_PACKETS", few)
    text = "only the first {} and the last 0 packets of each flow were read{}. Analyze fewer clients at once"
    assert listen(tshark).obstacle == text.format(few, without)


def test_that_nothing_came_back_is_a_limitation_of_the_report(false):
    limitations = auditor.audit(CAPTURE, tshark=false("exit 0")).limitation_texts
    assert len([text for text in limitations if f"{CAPTURE}: tshark returned no packet and no error" in text]) == 1


@pytest.mark.parametrize("script", NO_TSHARK.values(), ids=NO_TSHARK)
def test_a_program_that_is_no_tshark_is_told_of(script, false):
    dissection = listen(false(script, version=False))
    assert dissection.packets == ()
    assert dissection.obstacle != ""


def test_what_was_told_before_tshark_broke_is_kept(tshark, false):
    """Packets are printed as they are read: a dissector that crashes at the last one spoils only that."""
    whole = listen(tshark)
    broken = listen(false(f'"{tshark}" "$@"; exit 3'))
    assert broken[:2] == (whole.packets, "tshark ended with exit code 3")


@pytest.mark.parametrize("what", ["missing", "not executable", "a folder"])
def test_a_tshark_that_cannot_be_run_is_told_of(what, false, tmp_path):
    path = tmp_path / "elsewhere"
    if what == "a folder":
        path.mkdir()
    elif what == "not executable":
        false("exit 0").rename(path)
        path.chmod(0o644)
    assert listen(path).obstacle.startswith(f"{path} cannot be run (")


def test_the_tshark_that_was_named_is_run_not_another_of_its_folder(tshark, false):
    false("exit 1", name="tshark")
    assert listen(false(f'exec "{tshark}" "$@"', name="tshark-4.0")).packets == listen(tshark).packets


def test_a_file_config_ini_where_auditor_is_run_is_not_pyshark_s(tmp_path):
    (tmp_path / "config.ini").write_text("[another program]\nname = value\n")
    script = f"import sys, auditor; sys.stdout.write(auditor.audit({str(CAPTURE)!r}).to_json())"
    assert in_own_process(script, tmp_path) == report_of_capture()


def test_a_broken_tshark_leaves_the_verdicts_on_the_ports(false):
    report = auditor.audit(CAPTURE, tshark=false("exit 1"))
    assert verdicts(report) == verdicts(auditor.audit(CAPTURE, dissect=False))
    # Which of the two depends on whether it ends before or while packets are read.
    ended = f"{re.escape(str(CAPTURE))}: tshark ended with (exit code 1|an error immediately)"
    assert [text for text in report.limitation_texts if re.search(ended, text)]


def verdicts(report: auditor.Report) -> list[tuple[str, ...]]:
    return [
        (client.address, one.id, one.verdict, str(one.confidence), str(one.blocked_at), one.explanation)
        for client in report.clients
        for method in client.methods
        for one in method.requirements
    ]


def test_without_tshark_the_report_says_once_what_is_missing(monkeypatch, tmp_path):
    monkeypatch.setenv("PATH", str(tmp_path))
    report, by_ports = auditor.audit(CAPTURE), auditor.audit(CAPTURE, dissect=False)
    assert verdicts(report) == verdicts(by_ports)
    (missing,) = set(report.limitation_texts) - set(by_ports.limitation_texts)
    assert "tshark was not found" in missing
    assert "Install Wireshark" in missing


# any length of time


@pytest.mark.parametrize("asked", ["for its version", "for packets"])
def test_a_tshark_that_takes_too_long_is_stopped(asked, false):
    slow = false("exec sleep 600", version=asked == "for packets")
    assert listen(slow, seconds=1)[:2] == ((), "tshark took longer than 1 seconds and was stopped")


def test_what_was_told_in_time_is_kept(tshark, false):
    whole, slow = listen(tshark), listen(false(f'"{tshark}" "$@"; exec sleep 600'), seconds=5)
    assert slow[:2] == (whole.packets, "tshark took longer than 5 seconds and was stopped")


WRAPPERS = {
    "waits for it": 'sleep 600 & echo $! > "{started}"; wait',
    "has it in the foreground": "sh -c 'echo $$ > \"{started}\"; exec sleep 600'; true",
    "ends before it": 'sleep 600 & echo $! > "{started}"',
}


@pytest.mark.parametrize("script", WRAPPERS.values(), ids=WRAPPERS)
@pytest.mark.parametrize("asked", ["for its version", "for packets"])
def test_what_a_false_tshark_started_is_stopped_with_it(script, asked, false, tmp_path):
    """A script that calls tshark may be killed, or end, before tshark does."""
    started = tmp_path / "started"
    slow = false(script.format(started=started), version=asked == "for packets")
    assert listen(slow, seconds=1).obstacle == "tshark took longer than 1 seconds and was stopped"
    wait_for(lambda: is_gone(int(started.read_text())))


def is_gone(process: int) -> bool:
    """Tell whether a process has ended; one that nobody asks for its exit code stays as a zombie."""
    try:
        return Path(f"/proc/{process}/stat").read_text().rpartition(")")[2].split()[0] == "Z"
    except OSError:
        return True


@pytest.mark.parametrize("asked", ["for its version", "for packets"])
def test_ctrl_c_stops_tshark_too(asked, false, tmp_path):
    started, folder = tmp_path / "started", tmp_path / "folder"
    folder.mkdir()
    slow = false(f'echo $$ > "{started}.new"; mv "{started}.new" "{started}"; exec sleep 600', version="pack" in asked)
    audit = subprocess.Popen(
        [sys.executable, "-m", "auditor", "analyze", str(CAPTURE), "--tshark", str(slow)],
        env={**os.environ, "TMPDIR": str(folder), "PYTHONPATH": str(Path(auditor.__file__).parent.parent)},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    wait_for(lambda: started.exists() or audit.poll() is not None)
    audit.send_signal(signal.SIGINT)
    printed, complaint = audit.communicate(timeout=PATIENCE)
    assert (audit.returncode, printed, complaint.strip()) == (130, "", "error: stopped.")
    assert not Path(f"/proc/{started.read_text().strip()}").exists()
    assert list(folder.iterdir()) == []


# any configuration of Wireshark


@pytest.fixture
def profile(tmp_path: Path) -> Path:
    """A personal configuration of Wireshark that lets it dissect neither SMB nor connections in the middle."""
    folder = tmp_path / "wireshark"
    folder.mkdir()
    (folder / "disabled_protos").write_text("smb2\ndcerpc\n")
    (folder / "preferences").write_text("tcp.desegment_tcp_streams: FALSE\nnbss.desegment_nbss_commands: FALSE\n")
    return folder


def test_a_personal_profile_does_not_change_the_report(profile, monkeypatch):
    before = report_of_capture()
    monkeypatch.setenv("HOME", str(profile.parent))
    monkeypatch.setenv("XDG_CONFIG_HOME", str(profile.parent))
    assert wireshark_sees("smb2") == 0  # the profile counts where nobody prevents it
    assert report_of_capture() == before


def test_a_configuration_named_in_the_environment_does_not_change_the_report_and_stays_there(profile, monkeypatch):
    before = report_of_capture()
    monkeypatch.setenv(CONFIGURATION, str(profile))
    assert wireshark_sees("smb2") == 0
    assert report_of_capture() == before
    assert os.environ[CONFIGURATION] == str(profile)


def wireshark_sees(what: str) -> int:
    done = subprocess.run(["tshark", "-n", "-r", str(CAPTURE), "-Y", what], capture_output=True, check=True)
    return len(done.stdout.splitlines())
