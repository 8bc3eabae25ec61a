"""Folders and ZIP archives of evidence: what is in them is read as if it was named, and nothing in them is trusted."""

from __future__ import annotations

import io
import json
import os
import random
import re
import struct
import sys
import tempfile
import zipfile
from collections.abc import Iterable, Mapping
from contextlib import suppress
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from logs import firewall_log, row
from packets import pcap
from places import SAMPLES
from scenario import scene

import auditor
from auditor.api.evidence import write_evidence
from auditor.errors import SourceError
from auditor.report.load import load_report
from auditor.sources.collection import MOST_COMPUTERS, Collection
from auditor.sources.files import archive
from auditor.sources.files.archive import UTF_8
from auditor.sources.files.folder import MOST_LEVELS, files_below
from auditor.sources.read_all import read_all

pytestmark = pytest.mark.slow

posix = pytest.mark.skipif(sys.platform == "win32", reason="Windows has no such files")
SERVER, CLIENT = "10.0.0.5", "10.0.0.20"


def push(number: int = 0) -> bytes:
    """Return a capture of a push whose SMB gets no response; each number is another capture."""
    begin = 50000 + 10 * number
    lines = (
        f"0 {SERVER} > {CLIENT}/icmp answered",
        f"1 {SERVER}:{begin} > {CLIENT}:135/tcp SF",
        f"2 {SERVER}:{begin + 1} > {CLIENT}:445/tcp S0",
        "until 40",
    )
    return pcap(scene(lines))


def drops(number: int = 0) -> bytes:
    """Return the log of a client that drops SMB; each number is another log."""
    return firewall_log(row(f"22:13:22 DROP {SERVER}:{50001 + number} > {CLIENT}:445 S RECEIVE"))


FILES = {"logs/pfirewall.log": drops(), "push.pcap": push(), "site server/late.pcap": push(1)}


def folder_of(top: Path, files: Mapping[str, bytes]) -> Path:
    """Write files below a folder."""
    top.mkdir(exist_ok=True)
    for name, content in files.items():
        (top / name).parent.mkdir(parents=True, exist_ok=True)
        (top / name).write_bytes(content)
    return top


def zip_of(files: Mapping[str, bytes] | Iterable[tuple[str, bytes]], method: int = zipfile.ZIP_DEFLATED) -> bytes:
    """Return an archive of files."""
    packed = io.BytesIO()
    with zipfile.ZipFile(packed, "w", method) as archive:
        for name, content in files.items() if isinstance(files, Mapping) else files:
            archive.writestr(zipfile.ZipInfo(name), content, method)
    return packed.getvalue()


def written(path: Path, content: bytes) -> Path:
    path.write_bytes(content)
    return path


def document(*paths: object, shown: Mapping[str, str] = {}) -> dict[str, object]:
    """Return the report on some sources. shown: names of sources in place of their paths."""
    text = auditor.audit(*map(str, paths), dissect=False).to_json()
    for path, name in sorted(shown.items(), key=lambda item: -len(item[0])):
        text = text.replace(json.dumps(path)[1:-1], name)
    return json.loads(text)


def names_in(path: Path) -> list[str]:
    """Return how the sources of an archive or a folder are called, without the path of it."""
    prefix = f"{path}/" if path.is_file() else f"{path}{os.sep}"
    return [source.path.removeprefix(prefix) for source in auditor.audit(path, dissect=False).sources]


@pytest.fixture
def temporary(tmp_path, monkeypatch) -> Path:
    """Return the folder that temporary files are written to."""
    folder = tmp_path / "temporary"
    folder.mkdir()
    monkeypatch.setattr(tempfile, "tempdir", str(folder))
    return folder


# a folder


def test_a_folder_is_the_files_in_it(tmp_path):
    top = folder_of(tmp_path / "evidence", FILES)
    paths = [os.path.join(top, *name.split("/")) for name in FILES]
    assert document(top) == document(*paths)


def test_its_files_are_read_in_the_order_of_their_names(tmp_path):
    top = folder_of(tmp_path / "e", {"b/1.pcap": push(1), "a.pcap": push(2), "b/0/2.pcap": push(3), "c.pcap": push(4)})
    names = ("a.pcap", "b/0/2.pcap", "b/1.pcap", "c.pcap")
    assert names_in(top) == [name.replace("/", os.sep) for name in names]


def test_a_log_that_was_rolled_over_is_read_once(tmp_path):
    top = folder_of(tmp_path / "e", {"pfirewall.log": drops(1), "pfirewall.log.old": drops(2)})
    assert names_in(top) == ["pfirewall.log", "pfirewall.log.old"]
    assert len(read_all([top / "pfirewall.log", top])[0]) == 2


def test_what_is_no_source_is_listed_once_and_changes_no_exit_code(run, tmp_path):
    files = {"push.pcap": push(), "notes.txt": b"see ticket 4711", "shot.png": b"\x89PNG\r\n\x1a\n", "empty.log": b""}
    top = folder_of(tmp_path / "e", files)
    done = run("analyze", top, "--no-dissect", "--format", "json")
    report = json.loads(done.out)
    assert (done.code, done.err) == (3, "")
    assert [Path(name).name for name in report["not_used"]] == ["empty.log", "notes.txt", "shot.png"]
    assert [limit["code"] for limit in report["limitations"]].count("not-used") == 1
    assert len(report["sources"]) == 1


def test_flows_and_evidence_list_it_on_standard_error(run, tmp_path):
    top = folder_of(tmp_path / "e", {"push.pcap": push(), "notes.txt": b"see ticket 4711"})
    for words in (["flows", top], ["evidence", top, "-o", tmp_path / "evidence.pcapng"]):
        done = run(*words)
        assert done.code == 0
        assert done.err.count("notes.txt") == 1
        assert "1 file was not used" in done.err


def test_what_looks_like_a_source_and_is_damaged_is_unreadable(run, tmp_path):
    top = folder_of(tmp_path / "e", {"all.pcap": push(), "cut.pcap": push()[:30]})
    done = run("flows", top)
    assert done.code == 4
    assert "cut.pcap: the file contains no packets" in done.err


@pytest.mark.parametrize("head", [b"MSCF", b"7z\xbc\xaf\x27\x1c", b"GMBU", b'<?xml version="1.0"?><Events>'])
def test_evidence_that_must_be_converted_first_is_unreadable(run, tmp_path, head):
    top = folder_of(tmp_path / "e", {"push.pcap": push(), "more": head + bytes(100)})
    assert run("flows", top).code == 4


HTTPERR = b"#Software: Microsoft HTTP API 2.0\r\n#Version: 1.0\r\n#Fields: date time c-ip c-port s-ip s-port\r\n"
OTHER_COLUMNS = b"#Version: 1.5\r\n#Software: Microsoft Windows Firewall\r\n#Fields: date time c-ip\r\n"


@pytest.mark.parametrize(("content", "code"), [(HTTPERR, 0), (OTHER_COLUMNS, 4)])
def test_a_log_of_another_program_is_no_source_and_a_changed_firewall_log_is_unreadable(run, tmp_path, content, code):
    assert run("flows", folder_of(tmp_path / "e", {"push.pcap": push(), "x.log": content})).code == code


@pytest.mark.parametrize("files", [{}, {"notes.txt": b"x"}, {"notes.txt": b"x", "a/b.txt": b"y"}, {".hidden": push()}])
def test_nothing_to_read_at_all_is_one_line(run, tmp_path, files):
    done = run("analyze", folder_of(tmp_path / "e", files))
    assert (done.code, done.out, done.err.count("\n")) == (1, "", 1)
    assert done.err.startswith(f"error: {tmp_path / 'e'}: no")
    assert ". Name a folder or an archive with" in done.err


def test_an_empty_folder_beside_a_capture_is_unreadable(run, tmp_path):
    push_path = written(tmp_path / "push.pcap", push())
    assert run("flows", push_path, folder_of(tmp_path / "e", {})).code == 4


def test_hidden_files_are_skipped_without_a_word(tmp_path):
    hidden = {".git/x.pcap": push(1), "Thumbs.db": b"x", "a/.DS_Store": b"x", "__MACOSX/._push.pcap": b"x"}
    report = auditor.audit(folder_of(tmp_path / "e", {"push.pcap": push()} | hidden), dissect=False)
    assert (len(report.sources), report.not_used) == (1, ())


@posix
def test_links_and_pipes_are_listed_and_never_opened(tmp_path):
    top = folder_of(tmp_path / "e", {"push.pcap": push()})
    outside = folder_of(tmp_path / "outside", {"other.pcap": push(1)})
    (top / "link.pcap").symlink_to(outside / "other.pcap")
    (top / "linked").symlink_to(outside)
    (top / "circle").symlink_to(top)
    os.mkfifo(top / "pipe")
    report = auditor.audit(top, dissect=False)
    assert len(report.sources) == 1
    assert [Path(name).name for name in report.not_used] == ["circle", "link.pcap", "linked", "pipe"]


def test_a_folder_of_too_many_files_is_one_error(tmp_path):
    top = folder_of(tmp_path / "e", {f"{number}/x": b"x" for number in range(3)})
    assert len(files_below(str(top), most=6).files) == 3
    with pytest.raises(SourceError, match=r"more than 5 files\. Name the folder of one installation"):
        files_below(str(top), most=5)


def test_a_folder_that_is_too_deep_is_unreadable(tmp_path):
    top = folder_of(tmp_path / "e", {"push.pcap": push(), "/".join(["d"] * (MOST_LEVELS + 1)) + "/x.pcap": push(1)})
    sources, unreadable = read_all([top])
    assert len(sources) == len(unreadable) == 1
    assert "deep" in unreadable[0].warnings[0].text


def test_a_file_that_is_also_named_is_read_once(tmp_path):
    top = folder_of(tmp_path / "e", {"a.pcap": push(), "b.pcap": push(1)})
    assert len(read_all([top, top / "a.pcap"])[0]) == 2
    assert len(read_all([top / "a.pcap", top / "b.pcap", top])[0]) == 2


def test_a_copy_proves_nothing_twice(tmp_path):
    files = {"push.pcap": push(), "copy of push.pcap": push(), "bundle.zip": zip_of({"push.pcap": push()})}
    report = auditor.audit(folder_of(tmp_path / "e", files), dissect=False)
    assert len(report.sources) == 1
    assert len(report.not_used) == 2
    assert "2 files were not used, because they are copies" in report.limitation_texts[-1]


def test_the_output_never_replaces_a_file_that_was_read(run, tmp_path):
    top = folder_of(tmp_path / "e", {"push.pcap": push()})
    done = run("flows", top, "--force", "-o", top / "push.pcap")
    assert done.code == 2
    assert (top / "push.pcap").read_bytes() == push()


def test_a_folder_of_many_computers_is_told_the_command_for_fleets(run, tmp_path):
    computers = {f"PC{number}/pfirewall.log": drops(number) for number in range(MOST_COMPUTERS + 1)}
    top = folder_of(tmp_path / "e", computers)
    done = run("analyze", top, "-q")
    assert done.err.count("\n") == 1
    assert f"auditor batch {top} -o DIR" in done.err
    (top / "PC0" / "pfirewall.log").unlink()
    assert run("analyze", top, "-q").err == ""


def test_a_folder_in_place_of_a_command_is_answered_with_analyze(run, tmp_path):
    assert f"auditor analyze {tmp_path}" in run(tmp_path).err


# an archive


def test_an_archive_is_the_files_in_it(tmp_path):
    bundle = written(tmp_path / "bundle.zip", zip_of(FILES))
    top = folder_of(tmp_path / "evidence", FILES)
    apart = document(*(top / name for name in FILES), shown={str(top / name): name for name in FILES})
    packed = document(bundle, shown={f"{bundle}/{name}": name for name in FILES})
    for number, name in enumerate(FILES):
        assert packed["sources"][number]["path"] == apart["sources"][number]["path"] == name
    assert packed == apart


def test_what_an_archive_is_its_content_tells(tmp_path):
    assert names_in(written(tmp_path / "evidence", zip_of({"a": push()}))) == ["a"]


def test_flows_name_the_file_in_the_archive(tmp_path):
    bundle = written(tmp_path / "bundle.zip", zip_of(FILES))
    report = auditor.audit(bundle, dissect=False)
    assert set(report.flows["source"]) == {f"{bundle}/{name}" for name in FILES}


@pytest.mark.usefixtures("tshark")
def test_protocols_in_an_archive_are_dissected(tmp_path):
    capture = SAMPLES / "access-denied.pcap"
    bundle = written(tmp_path / "bundle.zip", zip_of({"x.pcap": capture.read_bytes()}))
    shown = {f"{bundle}/x.pcap": "x", str(capture): "x"}
    reports = [auditor.audit(path).to_json() for path in (bundle, capture)]
    for path, name in shown.items():
        reports = [text.replace(path, name) for text in reports]
    assert reports[0] == reports[1]
    assert "STATUS_ACCESS_DENIED" in reports[0]


NAMES = {
    "../../push.pcap": "push.pcap",
    "..\\..\\push.pcap": "push.pcap",
    "/etc/push.pcap": "etc/push.pcap",
    "C:/Users/x/push.pcap": "Users/x/push.pcap",
    "C:\\Users\\x\\push.pcap": "Users/x/push.pcap",
    "\\\\server\\share\\push.pcap": "server/share/push.pcap",
    "logs\\push.pcap": "logs/push.pcap",  # as Compress-Archive of Windows PowerShell 5.0 writes it
    "a//.//push.pcap": "a/push.pcap",
    "CON.pcap": "CON.pcap",
    "aux/nul": "aux/nul",
    "push.pcap\0.txt": "push.pcap",
    "push:stream.pcap": "push:stream.pcap",
    "..": "unnamed",
    "zu früh.pcap": "zu früh.pcap",
    "a" * 400: "a" * 255,
}


@pytest.mark.parametrize("name", NAMES)
def test_no_name_in_an_archive_becomes_a_path(tmp_path, temporary, name):
    spaceholder = "x" * len(name.encode())  # zipfile itself would change some of the names
    packed = zip_of({spaceholder: push()}).replace(spaceholder.encode(), name.encode())
    for place in (6, central(packed) + 8):
        packed = patched(packed, place, "<H", 0 if name.isascii() else UTF_8)
    bundle = written(tmp_path / "bundle.zip", packed)
    before = sorted(tmp_path.rglob("*"))
    assert names_in(bundle) == [NAMES[name]]
    assert sorted(tmp_path.rglob("*")) == before
    assert not list(temporary.iterdir())


def test_a_name_in_the_characters_of_dos_or_in_unmarked_utf_8(tmp_path):
    packed = zip_of({"fr@@h.pcap": push()})
    assert names_in(written(tmp_path / "dos.zip", packed.replace(b"@@", b"\x81\x84"))) == ["früäh.pcap"]
    assert names_in(written(tmp_path / "mac.zip", packed.replace(b"@@", "ü".encode()))) == ["früh.pcap"]


def test_files_of_one_name_are_told_apart_whatever_their_order(tmp_path):
    entries = [("a.pcap", push()), ("a.pcap", push(1)), ("b/../a.pcap", push(2))]
    with pytest.warns(UserWarning, match="Duplicate name"):
        bundles = [written(tmp_path / "b.zip", zip_of(order)) for order in (entries, entries[::-1])]
    assert names_in(bundles[0]) == ["a.pcap", "a.pcap (2)", "b/a.pcap"]


def test_the_order_of_the_entries_changes_nothing(tmp_path):
    texts = set()
    for seed in range(4):
        entries = [*FILES.items(), ("notes.txt", b"x"), ("logs/more.txt", b"y")]
        random.Random(seed).shuffle(entries)
        texts.add(auditor.audit(written(tmp_path / "b.zip", zip_of(entries)), dissect=False).to_json())
    assert len(texts) == 1


class _Unseekable(io.RawIOBase):
    """A stream that goes forward only, so that sizes follow the data."""

    def __init__(self) -> None:
        self.content = b""

    def writable(self) -> bool:
        return True

    def write(self, data: object) -> int:
        self.content += bytes(data)
        return len(bytes(data))


def test_sizes_behind_the_data(tmp_path):
    stream = _Unseekable()
    with zipfile.ZipFile(stream, "w", zipfile.ZIP_DEFLATED) as packed:
        packed.writestr("push.pcap", push())
    assert stream.content[6] & 8  # data descriptor
    assert names_in(written(tmp_path / "b.zip", stream.content)) == ["push.pcap"]


def test_sizes_of_64_bits(tmp_path):
    packed = io.BytesIO()
    with zipfile.ZipFile(packed, "w") as archive, archive.open("push.pcap", "w", force_zip64=True) as out:
        out.write(push())
    assert names_in(written(tmp_path / "b.zip", packed.getvalue())) == ["push.pcap"]


def test_folders_in_an_archive_are_no_files(tmp_path):
    bundle = written(tmp_path / "b.zip", zip_of({"a/": b"", "b\\": b"", "a/push.pcap": push()}))
    report = auditor.audit(bundle, dissect=False)
    assert (len(report.sources), report.not_used) == (1, ())


def test_an_archive_in_an_archive_is_read_and_one_in_that_is_not(run, tmp_path):
    inner = zip_of({"c.pcap": push(2)})
    middle = zip_of({"b.pcap": push(1), "inner.zip": inner})
    bundle = written(tmp_path / "b.zip", zip_of({"a.pcap": push(), "middle.zip": middle}))
    assert names_in(bundle) == ["a.pcap", "middle.zip/b.pcap", "middle.zip/inner.zip"]
    done = run("flows", bundle)
    assert done.code == 4
    assert f"{bundle}/middle.zip/inner.zip: a ZIP archive in an archive" in done.err


def test_an_archive_in_a_folder_is_read(tmp_path):
    top = folder_of(tmp_path / "e", {"a.pcap": push(), "logs.zip": zip_of({"b/pfirewall.log": drops()})})
    assert names_in(top) == ["a.pcap", "logs.zip/b/pfirewall.log"]


def test_a_document_of_office_is_no_source(tmp_path):
    packed = zip_of({"[Content_Types].xml": b"<?xml?>", "word/document.xml": b"<?xml?>"})
    report = auditor.audit(folder_of(tmp_path / "e", {"a.pcap": push(), "notes.docx": packed}), dissect=False)
    assert [Path(name).name for name in report.not_used] == ["notes.docx"]
    with pytest.raises(SourceError, match="this is a document"):
        auditor.audit(tmp_path / "e" / "notes.docx")


# hostile archives


def central(packed: bytes, number: int = 0) -> int:
    """Return where the entry of a file in the list of entries begins."""
    place = -1
    for _ in range(number + 1):
        place = packed.index(b"PK\x01\x02", place + 1)
    return place


def patched(packed: bytes, place: int, form: str, value: int) -> bytes:
    """Return an archive with another number at a place."""
    return packed[:place] + struct.pack(form, value) + packed[place + struct.calcsize(form) :]


def encrypted(packed: bytes, number: int) -> bytes:
    return patched(packed, central(packed, number) + 8, "<H", 1)


@pytest.mark.parametrize(("number", "code"), [((0,), 4), ((0, 1), 1)])
def test_encrypted_files_are_one_line(run, tmp_path, number, code):
    packed = zip_of({"a.pcap": push(), "b.pcap": push(1)})
    for entry in number:
        packed = encrypted(packed, entry)
    bundle = written(tmp_path / "b.zip", packed)
    done = run("flows", bundle)
    assert done.code == code
    assert done.err.count("\n") == 1
    assert "encrypted" in done.err
    assert "Extract the archive with its password, and name the extracted folder." in done.err


def test_a_compression_that_is_not_read_is_one_line(run, tmp_path):
    packed = zip_of({"a.pcap": push(), "b.pcap": push(1)})
    done = run("flows", written(tmp_path / "b.zip", patched(packed, central(packed) + 10, "<H", 9)))
    assert done.code == 4
    assert "1 file is compressed with Deflate64" in done.err


def hostile() -> dict[str, tuple[bytes, str]]:
    """Return archives that are made to do harm, and what is said of each."""
    packed = zip_of({"a.pcap": push(), "b.pcap": push(1)})
    second = central(packed, 1)
    return {
        "too large": (patched(packed, central(packed) + 24, "<L", 2**32 - 2), "unpacks to"),
        "overlapping": (patched(packed, second + 42, "<L", 0), "share the same data"),
        "many entries": (zip_of({str(number): b"" for number in range(10_001)}), "more than 10,000 files"),
        "long list": (zip_of({f"{number:04}" + "x" * 9000: b"" for number in range(500)}), "more than 10,000 files"),
        "cut": (packed[:-30], "the ZIP archive is corrupted"),
        "only a beginning": (packed[:100], "the ZIP archive is corrupted"),
        "no file": (zip_of({}), "no capture and no log is in it"),
    }


@pytest.mark.parametrize("name", hostile())
def test_a_hostile_archive_is_one_line(run, tmp_path, temporary, name):
    content, words = hostile()[name]
    done = run("flows", written(tmp_path / "b.zip", content))
    assert done.code == 1
    assert done.err.count("\n") == 1
    assert words in done.err
    assert re.fullmatch(r"error: .*: .*\. [A-Z].*\.\n", done.err)
    assert not list(temporary.iterdir())


def test_a_size_that_is_a_lie_is_unreadable(run, tmp_path):
    packed = zip_of({"a.pcap": push(), "b.pcap": push(1)})
    done = run("flows", written(tmp_path / "b.zip", patched(packed, central(packed) + 24, "<L", 10)))
    assert done.code == 4
    assert "b.zip/a.pcap: corrupted in the archive" in done.err


def test_archives_in_archives_share_one_bound(run, tmp_path):
    inner = {f"{number}.zip": zip_of({f"{number}-{file}": b"" for file in range(4000)}) for number in range(3)}
    done = run("flows", written(tmp_path / "b.zip", zip_of({"a.pcap": push()} | inner)))
    assert done.code == 4
    assert "2.zip: the ZIP archive holds more than 10,000 files" in done.err


def test_archives_of_a_folder_share_one_bound(monkeypatch, run, tmp_path):
    monkeypatch.setattr(archive, "MOST_BYTES", len(push()) + len(push(1)))
    files = {f"{number}.zip": zip_of({f"{number}.pcap": push(number)}) for number in range(3)}
    done = run("flows", folder_of(tmp_path / "e", files))
    assert done.code == 4
    assert done.err.count("\n") == 1
    assert "2.zip: the ZIP archive unpacks to" in done.err


@given(st.data())
@settings(max_examples=100, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_any_damage_gives_sources_or_an_error(tmp_path, temporary, data):
    packed = bytearray(zip_of({"a.pcap": push(), "logs/b.log": drops(), "c.zip": zip_of({"d.pcap": push(1)})}))
    for _ in range(data.draw(st.integers(1, 4))):
        packed[data.draw(st.integers(4, len(packed) - 1))] = data.draw(st.integers(0, 255))
    content = bytes(packed[: data.draw(st.sampled_from((len(packed), len(packed) // 2)))])
    with suppress(SourceError):
        read_all([written(tmp_path / "b.zip", content)])
    assert not list(temporary.iterdir())


# unpacked files


def test_nothing_unpacked_outlives_the_call(tmp_path, temporary):
    bundle = written(tmp_path / "b.zip", zip_of(FILES))
    auditor.audit(bundle, dissect=False)
    assert not list(temporary.iterdir())


@pytest.mark.parametrize("error", [KeyboardInterrupt, MemoryError])
def test_nothing_unpacked_outlives_an_interruption(tmp_path, temporary, error):
    seen = []

    def interrupt(source: str, _done: int, _total: int) -> None:
        seen.extend(temporary.rglob("*.pcap"))
        if source.endswith("late.pcap"):
            raise error

    bundle = written(tmp_path / "b.zip", zip_of(FILES))
    with pytest.raises(error):
        auditor.audit(bundle, progress=interrupt)
    assert seen
    assert not list(temporary.iterdir())


def test_what_is_no_source_is_removed_at_once(tmp_path, temporary):
    with Collection([written(tmp_path / "b.zip", zip_of({"a.txt": b"x", "b.pcap": push()}))]) as collection:
        names = []
        for found in collection:
            names.append([path.name for path in temporary.rglob("[!.]*") if path.is_file()])
            if found.name.endswith(".txt"):
                collection.leave_out(found)
    assert names == [["1.txt"], ["2.pcap"]]


def test_evidence_of_an_archive_is_the_evidence_of_its_files(run, tmp_path):
    bundle, capture = written(tmp_path / "b.zip", zip_of({"push.pcap": push()})), written(tmp_path / "p.pcap", push())
    for path in (bundle, capture):
        assert run("evidence", path, "-o", f"{path}.pcapng").code == 0
    assert Path(f"{bundle}.pcapng").read_bytes() == Path(f"{capture}.pcapng").read_bytes()


def test_evidence_after_the_call_says_what_to_extract(tmp_path):
    bundle = written(tmp_path / "b.zip", zip_of({"push.pcap": push()}))
    report = auditor.audit(bundle, dissect=False)
    with pytest.raises(SourceError) as caught:
        write_evidence(report, io.BytesIO())
    assert (caught.value.where, caught.value.hint) == (
        f"{bundle}/push.pcap",
        f"Extract {bundle}, and analyze the extracted folder.",
    )
    with pytest.raises(SourceError, match="Extract"):
        report.ladder("client-push/smb")


@pytest.mark.usefixtures("tshark")
def test_packets_after_the_call_say_what_to_extract(tmp_path):
    report = auditor.audit(written(tmp_path / "b.zip", zip_of({"push.pcap": push()})), dissect=False)
    with pytest.raises(SourceError, match="Extract"):
        report.packets("client-push/smb")


def test_a_saved_report_holds_what_was_not_used(tmp_path):
    report = auditor.audit(written(tmp_path / "b.zip", zip_of({"a.txt": b"x", "b.pcap": push()})), dissect=False)
    saved = written(tmp_path / "report.json", report.to_json().encode())
    assert auditor.load_report(saved) == report
    assert load_report(saved).not_used == (f"{tmp_path / 'b.zip'}/a.txt",)


def test_redaction_takes_out_what_was_not_used(tmp_path):
    packed = zip_of({"of John Doe.txt": b"x", "b.pcap": push()})
    report = auditor.redact(auditor.audit(written(tmp_path / "b.zip", packed), dissect=False))
    assert "Doe" not in report.to_json()
    assert report.not_used == ("source-2",)


# any tree


CONTENTS = st.one_of(
    st.integers(0, 3).map(push),
    st.integers(0, 3).map(drops),
    st.sampled_from((b"", b"some text", b"\x89PNG", b"PK")),
)
LEAVES = st.dictionaries(st.sampled_from("abcdef"), CONTENTS, max_size=3)
TREES = st.recursive(
    LEAVES, lambda below: st.dictionaries(st.sampled_from("ghij"), st.one_of(CONTENTS, below), max_size=3), max_leaves=4
)


def flattened(tree: Mapping[str, object], within: tuple[str, ...] = ()) -> dict[str, bytes]:
    """Return the files of a tree by their paths."""
    files: dict[str, bytes] = {}
    for name, content in tree.items():
        if isinstance(content, bytes):
            files["/".join((*within, name))] = content
        else:
            files |= flattened(content, (*within, name))
    return files


def alone(files: Mapping[str, bytes], folder: Path) -> dict[str, tuple[str, int]]:
    """Return kind and records of each file that is a source if it is read alone; of copies the first."""
    kinds: dict[bytes, tuple[str, tuple[str, int]]] = {}
    for name, content in sorted(files.items(), key=lambda item: item[0].split("/")):
        try:
            source = auditor.read(written(folder / "alone", content))
        except SourceError:
            continue
        kinds.setdefault(content, (name, (source.kind, source.records)))
    return dict(kinds.values())


def together(path: Path, separator: str) -> dict[str, tuple[str, int]]:
    try:
        sources, _ = read_all([path])
    except SourceError:
        return {}
    cut = len(str(path)) + 1
    return {source.path[cut:].replace(separator, "/"): (source.kind, source.records) for source in sources}


@given(TREES, st.randoms(use_true_random=False))
@settings(max_examples=60, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_every_source_of_a_tree_is_read_as_if_it_was_alone(tmp_path_factory, tree, order):
    folder = tmp_path_factory.mktemp("tree")
    files = flattened(tree)
    entries = list(files.items())
    order.shuffle(entries)
    expected = alone(files, folder)
    assert together(written(folder / "b.zip", zip_of(entries)), "/") == expected
    assert together(folder_of(folder / "e", files), os.sep) == expected
