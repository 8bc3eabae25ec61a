"""Bad input: any bytes at all give a source, a source with warnings, or one line that says what to do."""

from __future__ import annotations

import gzip
import os
import random
import struct
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from packets import RAW, block, enhanced, ethernet, interface, pcap, pcapng, talk, tcp
from places import SAMPLES

from auditor.errors import SourceError
from auditor.sources import read as reading
from auditor.sources.capture.packets import Headers
from auditor.sources.flows.builder import FlowBuilder
from auditor.sources.read import read as read_path
from auditor.sources.source import Source

pytestmark = pytest.mark.slow

SAMPLE = (SAMPLES / "client-unreachable.pcap").read_bytes()
CONVERSATION = talk("10.0.0.1:50000 > 10.0.0.5:445", "S <SA A 60PA <200PA A FA <FA A")
BLOCKS = [enhanced(ethernet(packet))("<") for packet in CONVERSATION]
SECTION = pcapng(interface())
PCAPNG = SECTION + b"".join(BLOCKS)


def one_line(error: SourceError) -> str:
    text = str(error)
    assert "\n" not in text
    assert all([error.what, error.where, error.hint])
    return text


# files that are no captures

NO_CAPTURES = {
    "empty": b"",
    "empty, gzipped": gzip.compress(b""),
    "text": b"The network path was not found.\n",
    "one byte": b"\xd4",
    "zeros": bytes(10_000),
    "random": random.Random(1).randbytes(10_000),
    "PNG": b"\x89PNG\r\n\x1a\n" + bytes(100),
    "PDF": b"%PDF-1.7\n",
    "ZIP": b"PK\x03\x04" + bytes(100),
    "7-Zip": b"7z\xbc\xaf\x27\x1c" + bytes(100),
    "XZ": b"\xfd7zXZ\0" + bytes(100),
    "snoop": b"snoop\0\0\0" + bytes(100),
    "Network Monitor": b"GMBU" + bytes(100),
    "event log": b"ElfFile\0" + bytes(100),
    "text, gzipped": gzip.compress(b"The network path was not found.\n"),
    "half a gzip header": b"\x1f\x8b\x08",
    "gzip within gzip": gzip.compress(gzip.compress(SAMPLE)),
    "broken gzip": gzip.compress(SAMPLE)[:20] + b"\xff" * 50,
}


@pytest.mark.parametrize("name", NO_CAPTURES)
def test_what_is_no_capture_is_said_in_one_line(name, write):
    path = write(NO_CAPTURES[name])
    with pytest.raises(SourceError) as caught:
        read_path(path)
    assert one_line(caught.value).startswith(f"{path}: ")


def test_a_file_that_is_not_there(tmp_path):
    with pytest.raises(SourceError, match="no such file"):
        read_path(tmp_path / "missing.pcap")


def test_a_folder(tmp_path):
    with pytest.raises(SourceError, match=r"this is a folder. .*auditor batch"):
        read_path(tmp_path)


@pytest.mark.parametrize(("name", "hint"), [("pfirewall.log.old", "LogFiles"), ("push.pcap", "as pcapng in Wireshark")])
def test_what_is_no_source_says_what_to_bring_instead(tmp_path, name, hint):
    (tmp_path / name).write_text("The log is in the folder of the predecessor, see ticket 4711.\n" * 9)
    expected = "expected pcap, pcapng, or a log of Windows Firewall, Windows events, ConfigMgr, or IIS"
    with pytest.raises(SourceError, match=f"unknown file type; {expected}. .*{hint}"):
        read_path(tmp_path / name)


def test_a_name_that_no_file_can_have():
    with pytest.raises(SourceError) as caught:
        read_path("capture\0.pcap")
    one_line(caught.value)


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="there are no named pipes here")
def test_a_pipe_is_not_waited_for(tmp_path):
    os.mkfifo(tmp_path / "pipe")
    with pytest.raises(SourceError, match="not an ordinary file"):
        read_path(tmp_path / "pipe")


@pytest.mark.skipif(not hasattr(os, "geteuid") or os.geteuid() == 0, reason="root may read everything")
def test_a_file_that_may_not_be_read(write):
    path = write(SAMPLE)
    path.chmod(0)
    with pytest.raises(SourceError, match="no permission"):
        read_path(path)


def test_an_operating_system_that_refuses(write, monkeypatch):
    """What root cannot be shown with real permissions: the refusal itself is real, its cause is not."""

    def refuse(*_: object, **__: object) -> None:
        raise PermissionError(13, "Permission denied")

    path = write(SAMPLE)
    monkeypatch.setattr(Path, "open", refuse)
    with pytest.raises(SourceError, match="no permission"):
        read_path(path)


def test_the_name_of_a_file_does_not_matter(write):
    path = write(SAMPLE).rename(write(b"").with_suffix(".txt"))
    assert read_path(path).format == "pcap"


def test_gzip_within_gzip_says_what_to_do(write):
    with pytest.raises(SourceError, match=r"a gzip file within a gzip file.*. Extract it once"):
        read_path(write(gzip.compress(gzip.compress(SAMPLE))))


def test_a_file_that_is_deleted_while_it_is_read(write, monkeypatch):
    path, add = write(SAMPLE), FlowBuilder.add

    def delete_and_add(self: FlowBuilder, headers: Headers) -> None:
        path.unlink()
        add(self, headers)

    monkeypatch.setattr(FlowBuilder, "add", delete_and_add)
    assert read_path(path).bytes == len(SAMPLE)


def test_a_file_that_is_replaced_while_it_is_read(write, monkeypatch):
    path = write(SAMPLE)
    monkeypatch.setattr(reading, "_head", lambda *_: SAMPLE[:64])
    path.write_bytes(b"#Version: 1.5\r\n")
    with pytest.raises(SourceError, match="nothing of the capture can be read"):
        read_path(path)


# captures that were damaged


def attempt(content: bytes, write) -> Source | None:
    """Read it; None when it is refused in one line. Nothing else may happen."""
    path = write(content)
    try:
        return read_path(path)
    except SourceError as error:
        one_line(error)
        return None
    finally:
        path.unlink()


def sizes(sample: bytes) -> list[int]:
    """Return where each record of a pcap file ends."""
    ends, at = [], 24
    while at < len(sample):
        at += 16 + struct.unpack_from("<I", sample, at + 8)[0]
        ends.append(at)
    return ends


@settings(max_examples=200)
@given(at=st.integers(1, len(SAMPLE)))
def test_a_pcap_cut_anywhere_counts_every_record_that_began(at, write):
    source = attempt(SAMPLE[:at], write)
    if source is None:
        assert at < 4
        return
    ends = [24, *sizes(SAMPLE)]
    whole = sum(end <= at for end in ends[1:])
    assert (source.records, source.skipped) == (whole, int(at > 24 and at not in ends))
    assert bool(source.warnings) == (at not in ends or whole == 0)


@settings(max_examples=200)
@given(at=st.integers(1, len(PCAPNG)))
def test_a_pcapng_cut_anywhere_keeps_every_whole_packet(at, write):
    source = attempt(PCAPNG[:at], write)
    if source is None:
        assert at < 12
        return
    ends = [len(SECTION) + sum(map(len, BLOCKS[:number])) for number in range(len(BLOCKS) + 1)]
    assert source.records == sum(end <= at for end in ends[1:])
    assert bool(source.warnings) == (at not in ends[1:])


def mutated(sample: bytes, data: st.DataObject) -> bytes:
    """Flip, insert, remove or repeat some bytes."""
    content = bytearray(sample)
    for _ in range(data.draw(st.integers(1, 4), label="mutations")):
        at = data.draw(st.integers(0, len(content)), label="at")
        piece = data.draw(st.binary(min_size=1, max_size=24), label="bytes")
        how = data.draw(st.sampled_from(["flip", "insert", "remove", "repeat"]), label="how")
        if how == "flip":
            content[at : at + len(piece)] = piece[: len(content) - at]
        elif how == "insert":
            content[at:at] = piece
        elif how == "remove":
            del content[at : at + len(piece)]
        else:
            content[at:at] = content[at : at + 200]
    return bytes(content)


@settings(max_examples=300)
@given(data=st.data(), kind=st.sampled_from(["pcap", "pcapng", "gzip"]))
def test_a_damaged_capture_is_read_or_refused_and_never_silently_short(data, kind, write):
    sample = {"pcap": SAMPLE, "pcapng": PCAPNG, "gzip": gzip.compress(SAMPLE, mtime=0)}[kind]
    records = len(BLOCKS) if kind == "pcapng" else len(sizes(SAMPLE))
    source = attempt(mutated(sample, data), write)
    if source is not None and source.records < records:
        assert source.warnings


@settings(max_examples=200)
@given(
    start=st.sampled_from([SAMPLE[:24], SECTION, b"\x0a\x0d\x0d\x0a", b"\xa1\xb2\xc3\xd4"]),
    rest=st.binary(max_size=300),
)
def test_any_bytes_behind_the_beginning_of_a_capture(start, rest, write):
    source = attempt(start + rest, write)
    if source is not None and source.records == 0:
        assert source.warnings


@settings(max_examples=200)
@given(link_type=st.integers(0, 300), frames=st.lists(st.binary(max_size=120), min_size=1, max_size=4))
def test_any_bytes_as_frames_of_any_link_type(link_type, frames, write):
    blocks = [enhanced(frame)("<") for frame in frames]
    described = block(1, struct.pack("<HHI", link_type, 0, 0))
    source = attempt(pcapng(described) + b"".join(blocks), write)
    assert source is not None
    assert (source.records, source.skipped) == (len(frames), 0)


@settings(max_examples=200)
@given(packet=st.sampled_from(CONVERSATION), data=st.data())
def test_any_bytes_in_the_headers_of_a_packet(packet, data, write):
    source = attempt(pcap([mutated(packet, data)], RAW), write)
    assert source is not None
    assert source.records == 1


def test_a_thousand_interfaces_cost_nothing(write):
    content = pcapng(
        *[interface()] * 1000,
        *[enhanced(ethernet(tcp("10.0.0.1:1 > 10.0.0.5:2")), interface=n) for n in range(1000)],
    )
    source = attempt(content, write)
    assert source is not None
    assert source.records == 1000
