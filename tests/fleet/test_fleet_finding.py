"""The files of a fleet: from files, folders, patterns and lists, each once, and nothing left out in silence."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from auditor.errors import ArgumentError, SourceError
from auditor.fleet.inventory.discover import find_files


@pytest.fixture
def share(tmp_path, monkeypatch) -> Path:
    """Return a folder with the logs of three computers, which is the current one."""
    for name in ("PC1/pfirewall.log", "PC1/pfirewall.log.old", "PC2/pfirewall.log", "PC3/trace.PCAP"):
        make(tmp_path / "logs" / name)
    monkeypatch.chdir(tmp_path)
    return tmp_path


def make(path: Path, content: str = "x") -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(content)
    return path


def names(*paths: str, **options) -> list[str]:
    return [file.path.replace(os.sep, "/").removeprefix("logs/") for file in find_files(paths, **options).files]


EVERYTHING = ["PC1/pfirewall.log", "PC1/pfirewall.log.old", "PC2/pfirewall.log", "PC3/trace.PCAP"]


@pytest.mark.usefixtures("share")
def test_a_folder_is_searched_with_all_below_it():
    found = find_files(["logs"])
    assert [file.path for file in found.files] == [os.path.join("logs", *name.split("/")) for name in EVERYTHING]
    assert sum(file.bytes for file in found.files) == 4
    assert found.files[0].mtime_ns == os.stat("logs/PC1/pfirewall.log").st_mtime_ns
    assert found.left_out == ()


def test_each_file_is_there_once_however_it_is_named(share):
    assert names("logs", "logs/PC1", "logs/PC1/pfirewall.log", "logs/*/*.log", f"{share}/logs") == EVERYTHING
    assert names("logs/PC2/pfirewall.log", "./logs/PC2/pfirewall.log") == ["PC2/pfirewall.log"]


@pytest.mark.usefixtures("share")
@pytest.mark.parametrize(
    ("pattern", "expected"),
    [
        ("logs/*/*.log", ["PC1/pfirewall.log", "PC2/pfirewall.log"]),
        ("logs/*/*.pcap", ["PC3/trace.PCAP"]),  # any case, on any system
        ("logs/PC?", EVERYTHING),
        ("logs/PC[12]/*.log*", EVERYTHING[:3]),
        ("logs/PC[!12]/*", EVERYTHING[3:]),
        ("**/*.old", ["PC1/pfirewall.log.old"]),
        ("**/PC2/**", ["PC2/pfirewall.log"]),
        ("logs/**/pfirewall.log", ["PC1/pfirewall.log", "PC2/pfirewall.log"]),
    ],
)
def test_patterns_are_expanded_here(pattern, expected):
    assert names(pattern) == expected


def test_a_name_that_looks_like_a_pattern_is_a_name_first(share):
    make(share / "logs" / "a[1].log")
    assert names("logs/a[1].log") == ["a[1].log"]


@pytest.mark.usefixtures("share")
def test_all_that_is_not_there_is_named_in_one_line():
    with pytest.raises(SourceError, match=r"no such file or folder: lgos, logs/\*\.etl, no\.log. Check") as error:
        find_files(["logs", "lgos", "logs/*.etl", "no.log"])
    assert "\n" not in str(error.value)


@pytest.mark.usefixtures("share")
@pytest.mark.parametrize("name", ["all.zip", "all.7z", "all.tar.gz", "ALL.TGZ", "all.cab", "all.rar"])
def test_an_archive_is_to_be_unpacked_first(share, name):
    make(share / "logs" / name)
    with pytest.raises(SourceError, match=rf"archives are not read: logs/{name}. Extract it"):
        find_files([f"logs/{name}"])
    found = find_files(["logs"])
    assert [(one.path, one.lacking) for one in found.left_out] == [(f"logs/{name}", True)]
    assert "Extract it" in found.told()[0]


def test_a_packed_log_is_no_archive(share):
    make(share / "logs" / "PC4" / "pfirewall.log.gz")
    assert names("logs/PC4") == ["PC4/pfirewall.log.gz"]


def test_what_surely_is_no_source_is_left_out_and_told_by_count(share):
    for name in ("desktop.ini", "Thumbs.db", "tool.exe", ".hidden/a.log", "$RECYCLE.BIN/b.log"):
        make(share / "logs" / name)
    for name in ("notes.txt", "events.json", "Security.evtx", "trace.etl", "pfirewall"):
        make(share / "logs" / "PC9" / name)
    found = find_files(["logs"])
    assert len(found.files) == 9
    assert found.lacking == ()
    assert found.told() == (
        "left out: logs/$RECYCLE.BIN (hidden, or a file of the system) and 3 more",
        "left out: logs/tool.exe (neither log nor capture by its name)",
    )


def test_what_is_named_itself_is_read_whatever_its_name(share):
    make(share / "logs" / "log.exe")
    assert names("logs/log.exe") == ["log.exe"]


def test_links_in_circles_do_no_harm(share):
    (share / "logs" / "PC1" / "up").symlink_to(share / "logs", target_is_directory=True)
    (share / "logs" / "AAA").symlink_to(share / "logs" / "PC2", target_is_directory=True)
    (share / "logs" / "lost.log").symlink_to(share / "nowhere")
    found = find_files(["logs"])
    assert names("logs") == EVERYTHING == names("**/*.log", "**/*.old", "**/*.PCAP")
    assert [(one.path, one.kind) for one in found.left_out] == [
        ("logs/AAA", "a folder that is searched already"),
        ("logs/PC1/up", "a folder that is searched already"),
        ("logs/lost.log", "a link that leads nowhere"),
    ]


def test_a_folder_elsewhere_is_searched_through_its_link(share, tmp_path_factory):
    elsewhere = tmp_path_factory.mktemp("elsewhere")
    make(elsewhere / "pfirewall.log")
    (share / "logs" / "PC0").symlink_to(elsewhere, target_is_directory=True)
    assert names("logs")[0] == "PC0/pfirewall.log"


def test_the_output_folder_is_not_searched(share):
    make(share / "logs" / "out" / "report.json")
    found = find_files(["logs"], output=str(share / "logs" / "out"))
    assert len(found.files) == 4
    assert [(one.path, one.why) for one in found.left_out] == [("logs/out", "the output folder")]
    assert names("**/*.*", output="logs/out") == EVERYTHING
    with pytest.raises(ArgumentError, match="the output folder is one of the folders to search"):
        find_files(["logs"], output="logs/")


def test_a_folder_without_files_is_told_and_stops_nothing(share):
    (share / "logs" / "PC5").mkdir()
    found = find_files(["logs/PC1", "logs/PC5"])
    assert [(one.path, one.why) for one in found.left_out] == [("logs/PC5", "a folder without files")]
    with pytest.raises(SourceError, match=r"nothing to read in logs/PC5: left out: .*a folder without files"):
        find_files(["logs/PC5"])


@pytest.mark.skipif(os.name == "nt" or os.geteuid() == 0, reason="only a common user of Linux can be kept out so")
def test_a_folder_that_nobody_may_read_is_told(share):
    (share / "logs" / "PC2").chmod(0)
    try:
        assert [one.path for one in find_files(["logs"]).lacking] == ["logs/PC2"]
    finally:
        (share / "logs" / "PC2").chmod(0o755)


@pytest.mark.skipif(os.name == "nt", reason="there are no named pipes in folders of Windows")
def test_a_pipe_is_not_waited_for(share):
    os.mkfifo(share / "logs" / "pipe.log")
    assert [one.why for one in find_files(["logs"]).left_out] == ["not an ordinary file"]


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16", "utf-16-le", "utf-16-be"])
def test_a_list_holds_one_path_a_line(share, encoding):
    text = '# all\r\n\r\nPC1/pfirewall.log\r\n"PC2"\r\n  PC?/*.pcap  \r\n'
    (share / "logs" / "lïst.txt").write_bytes(text.encode(encoding))
    assert names("@logs/lïst.txt") == ["PC1/pfirewall.log", "PC2/pfirewall.log", "PC3/trace.PCAP"]


def test_a_line_of_a_list_that_is_not_there_any_more_is_told(share):
    (share / "list.txt").write_text("logs/PC1\nlogs/PC7\n")
    found = find_files(["@list.txt"])
    assert len(found.files) == 2
    assert [(one.path, one.lacking) for one in found.left_out] == [("logs/PC7", True)]
    assert found.told() == ("left out: logs/PC7 (named in a list, but not there: line 2 of list.txt)",)


def test_a_list_that_is_none_says_how_to_make_one(share):
    table = "    Directory: C:\\logs\n\nMode    LastWriteTime\n----    -------------\n-a---   1/1/2024 pfirewall.log\n"
    (share / "list.txt").write_text(table)
    with pytest.raises(SourceError, match=r"list.txt: none of its 4 paths is there.*ForEach-Object FullName"):
        find_files(["@list.txt"])
    (share / "list.txt").write_bytes(b"\x7fELF\0\0\0\1\xff\xfe")
    with pytest.raises(ArgumentError, match="the file is not text"):
        find_files(["@list.txt"])
    (share / "list.txt").write_text("# nothing\n")
    with pytest.raises(ArgumentError, match="there is no path in this list"):
        find_files(["@list.txt"])
    with pytest.raises(ArgumentError, match="there is no such list of paths"):
        find_files(["@no.txt"])


@pytest.mark.usefixtures("share")
@pytest.mark.skipif(os.name == "nt", reason="Windows knows only Unicode names")
def test_a_name_that_is_not_unicode_is_found_by_folder_and_by_list():
    name = os.fsdecode(b"logs/PC\xe4.log")
    make(Path(name))
    Path("list.txt").write_bytes(b"logs/PC\xe4.log\n")
    assert find_files(["logs"]).files[-1].path == name == find_files(["@list.txt"]).files[0].path
    with pytest.raises(SourceError, match="PC\ufffdDCE5"):
        find_files([name.replace("\udce4", "\udce5")])
