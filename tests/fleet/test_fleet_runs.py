"""Runs of a whole fleet: the same bytes however it is run, nothing read twice, nothing lost, whatever dies."""

from __future__ import annotations

import codecs
import csv
import json
import os
import random
import shutil
import signal
import subprocess
import sys
import zlib
from collections.abc import Callable
from importlib.util import find_spec
from pathlib import Path
from types import SimpleNamespace

import pyarrow.parquet
import pytest
from click.testing import CliRunner
from places import BENCHMARKS, ROOT

import auditor
from auditor import FleetReport
from auditor.api.batch import Audited, batch, host_report, merge
from auditor.cli.commands import cli
from auditor.errors import ArgumentError, OutputError, ReportError, SourceError
from auditor.fleet import run as fleet_module
from auditor.fleet.evaluate import subnet_of
from auditor.fleet.output_folder import FORMS, LOCK, STATE, SUMMARIES, FleetFolder
from auditor.fleet.summaries import parquet_store as shards
from auditor.fleet.summaries import summary
from auditor.fleet.workers.pool import FileProgress
from auditor.report.fleet_model import NO_EVIDENCE, Coverage, MethodOutcome, row_of
from auditor.ruleset.package_data import rulesets_folder
from auditor.ruleset.ruleset import load_ruleset

pytestmark = pytest.mark.slow

MAKE = BENCHMARKS / "make_fleet.py"
HOST_FROM = "{site}/{host}/*.log"
ASKED = {"host_from": HOST_FROM, "site": "site.toml"}
COMMAND = [sys.executable, "-m", "auditor", "batch", "logs", "--host-from", HOST_FROM, "--site", "site.toml"]
Files = dict[str, bytes]

needs_dask = pytest.mark.skipif(
    find_spec("distributed") is None, reason="Dask is not installed (pip install 'auditor[cluster]')"
)
linux_only = pytest.mark.skipif(sys.platform != "linux", reason="finds and kills processes as Linux names them")


class Watch:
    """Notes which files a run reads; after so many of them it does something, once."""

    def __init__(self, after: int = 0, act: Callable[[], object] | None = None) -> None:
        self.begun: list[str] = []
        self.to_read = 0
        self._after, self._act = after, act

    def __call__(self, files: int, _bytes: int) -> FileProgress:
        """Note how many files are to be read, as `batch` tells it, and return what is told of each."""
        self.to_read = files
        return self._told

    def _told(self, path: str, _files: int, _bytes: int) -> None:
        self.begun += [path] if path else []
        if self._act and len(self.begun) > self._after:
            act, self._act = self._act, None
            act()


def outputs(out: str | Path) -> Files:
    """Return all that a run wrote, without its summaries."""
    return {name: (Path(out) / name).read_bytes() for name in (*FORMS, STATE)}


def tables(out: str | Path) -> Files:
    """Return what a run found of the hosts, as far as it does not tell how it was run."""
    return {name: content for name, content in outputs(out).items() if name.endswith((".csv", ".parquet"))}


def audited(out: str, *paths: str, **more: object) -> Audited:
    return batch(*(paths or ("logs",)), out=out, **{**ASKED, "workers": 0, **more})


def fresh(**more: object) -> Files:
    """Return what a first run writes of the logs as they are now."""
    shutil.rmtree("fresh", ignore_errors=True)
    audited("fresh", **more)
    return outputs("fresh")


def merged(*outs: str) -> FleetReport:
    """Return the report that the summaries of some runs give without their logs."""
    shutil.rmtree("merged", ignore_errors=True)
    return merge(*outs, out="merged", workers=0).report


def every_log() -> list[str]:
    return sorted(str(path) for path in Path("logs").rglob("*.*") if path.is_file())


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> SimpleNamespace:
    """Return a fleet in which every odd shape of a log is, what is true of it, and what a first run writes."""
    folder = tmp_path_factory.mktemp("runs") / "fleet"
    subprocess.run([sys.executable, MAKE, folder, "--hosts", "40", "--bytes", "1MB"], check=True, capture_output=True)
    with (folder / "truth.csv").open(encoding="utf-8", newline="") as file, pytest.MonkeyPatch.context() as patch:
        patch.chdir(folder)
        audited("out")
        return SimpleNamespace(folder=folder, truth=list(csv.DictReader(file)), outputs=outputs("out"))


@pytest.fixture
def fleet(made: SimpleNamespace, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> SimpleNamespace:
    """Work in a copy of the fleet, in which `out` is what a first run wrote."""
    shutil.copytree(made.folder, tmp_path / "fleet")  # with the times of the files
    monkeypatch.chdir(tmp_path / "fleet")
    return made


@pytest.fixture
def shards_of(monkeypatch: pytest.MonkeyPatch) -> Callable[[int], None]:
    """Return what sets how many files make a summary. Files are shared out before any worker gets them."""
    return lambda files: monkeypatch.setattr(fleet_module, "FILES_IN_SHARD", files)


# the same bytes


@pytest.mark.parametrize("files", [1, 7, 100])
def test_the_size_of_a_summary_changes_nothing(fleet, shards_of, files):
    shards_of(files)
    audited("other")
    assert len(list(Path("other", SUMMARIES).iterdir())) == -(-len(every_log()) // files)
    assert outputs("other") == fleet.outputs


def test_summaries_are_cut_by_bytes_too_and_it_changes_nothing(fleet, monkeypatch):
    monkeypatch.setattr(fleet_module, "BYTES_IN_SHARD", 50_000)
    audited("other")
    assert len(list(Path("other", SUMMARIES).iterdir())) > 10
    assert outputs("other") == fleet.outputs


def test_the_order_in_which_files_are_named_changes_nothing(fleet, shards_of):
    shards_of(7)
    paths = every_log()
    random.Random(1).shuffle(paths)
    audited("other", *paths, *paths[:5])
    assert outputs("other") == fleet.outputs


def test_processes_of_our_own_change_nothing(fleet, shards_of):
    shards_of(7)
    audited("other", workers=2)
    assert outputs("other") == fleet.outputs


@needs_dask
def test_dask_changes_nothing(fleet, shards_of):
    shards_of(7)
    audited("other", workers=2, dask=True)
    assert outputs("other") == fleet.outputs


# whatever dies


def workers_of(pid: int) -> list[int]:
    """Return the worker processes that a process has started."""
    words = [word for path in Path(f"/proc/{pid}/task").glob("*/children") for word in path.read_text().split()]
    return [int(word) for word in words if b"workers.worker" in Path(f"/proc/{word}/cmdline").read_bytes()]


@linux_only
def test_a_worker_that_is_killed_in_mid_run_changes_nothing(fleet, shards_of):
    shards_of(7)
    killed = []

    def kill() -> None:
        killed.extend(workers_of(os.getpid())[:1])
        os.kill(killed[0], signal.SIGKILL)

    audited("other", workers=2, begin_progress=Watch(9, kill))
    assert killed
    assert outputs("other") == fleet.outputs


KILLED = """
import os, signal, sys
sys.path[:0] = {path!r}
from auditor.fleet import run
from test_fleet_runs import Watch, audited
run.FILES_IN_SHARD = 5
audited("other", workers={workers}, begin_progress=Watch(30, lambda: os.kill(os.getpid(), signal.SIGKILL)))
"""


@linux_only
@pytest.mark.parametrize("workers", [0, 2])
def test_a_run_that_is_killed_goes_on_where_it_was(fleet, workers):
    words = [sys.executable, "-c", KILLED.format(path=sys.path, workers=workers)]
    assert subprocess.run(words, check=False).returncode == -signal.SIGKILL
    assert not Path("other", "fleet.json").exists()
    done = _summarized("other")
    assert 15 <= len(done) < len(every_log())

    watch = Watch()
    audited("other", begin_progress=watch)
    assert sorted(watch.begun) == sorted(set(every_log()) - done)
    assert outputs("other") == fleet.outputs
    assert not list(Path("other", SUMMARIES).glob(".*")), "what was left half done is gone"


KILLED_WRITING = """
import os, signal, sys
sys.path[:0] = {path!r}
import pyarrow.parquet
from test_fleet_runs import audited
def write_table(table, out, **_):
    out.write(b"PAR1")
    out.flush()
    os.kill(os.getpid(), signal.SIGKILL)
pyarrow.parquet.write_table = write_table
audited("other", workers={workers})
"""


@linux_only
def test_a_run_that_is_killed_at_its_first_summary_goes_on_and_leaves_nothing(fleet):
    words = [sys.executable, "-c", KILLED_WRITING.format(path=sys.path, workers=0)]
    assert subprocess.run(words, check=False).returncode == -signal.SIGKILL
    assert [path.stat().st_size for path in Path("other", SUMMARIES).iterdir()] == [4]
    Path("other", ".auditor-report").write_bytes(b"left by a run that was killed at its report")
    audited("other")
    assert outputs("other") == fleet.outputs
    assert not [path for path in Path("other").rglob(".*") if path.name != LOCK]


@pytest.mark.parametrize("name", [SUMMARIES, STATE, LOCK])
@pytest.mark.usefixtures("fleet")
def test_a_run_writes_through_no_link(tmp_path, name):
    victim = tmp_path / "victim"
    victim.mkdir() if name == SUMMARIES else victim.write_bytes(b"as it was")
    shutil.rmtree("other", ignore_errors=True)
    Path("other").mkdir()
    Path("other", name).symlink_to(victim)
    with pytest.raises(OutputError, match="this is a link to another place"):
        audited("other", force=True)
    with pytest.raises(OutputError, match="this is a link to another place"):
        merge("out", out="other", workers=0, force=True)
    assert list(victim.iterdir()) == [] if name == SUMMARIES else victim.read_bytes() == b"as it was"


def _summarized(out: str) -> set[str]:
    """Return the files that the summaries in a folder are about, read or not."""
    found = set()
    for shard in Path(out, SUMMARIES).glob("[!.]*"):
        table = pyarrow.parquet.read_table(shard)
        found |= {*table.column("path").to_pylist()}
        found |= {one["path"] for one in json.loads(table.schema.metadata[b"auditor.unread"])}
    return found


# As soon as anything opens this file, its process is gone, as it would be by a fault in a library.
KILLER = """
import os, signal, sys
def _look(event, words):
    if event == "open" and str(words[0]).endswith("poison.log"):
        os.kill(os.getpid(), signal.SIGKILL)
sys.addaudithook(_look)
"""


@linux_only
@pytest.mark.parametrize("how", ["", pytest.param("--dask", marks=needs_dask)])
def test_a_file_that_kills_whoever_reads_it_is_unreadable_and_nothing_else_is(fleet, tmp_path, how):
    sound = [row for row in fleet.truth if row["expected"] == "allowed" and row["unreadable"] == "0"][:4]
    for row in sound:
        shutil.copytree(Path("logs", row["site"], row["host"]), Path("some/logs", row["site"], row["host"]))
    os.chdir("some")
    shutil.copyfile("../site.toml", "site.toml")
    audited("without")
    poison = Path("logs/BERLIN/POISON/poison.log")
    poison.parent.mkdir()
    shutil.copyfile(Path(every_log()[0]), poison)
    (tmp_path / "sitecustomize.py").write_text(KILLER)

    words = [*COMMAND, "-o", "out", "--workers", "2", *([how] if how else [])]
    path = os.pathsep.join([str(tmp_path), str(ROOT)])
    done = subprocess.run(words, env={**os.environ, "PYTHONPATH": path}, capture_output=True, text=True, check=False)

    assert (done.returncode, "Traceback" in done.stderr) == (4, False), done.stderr
    report = FleetFolder(Path("out")).report()
    assert [(one.path, one.host) for one in report.unreadable] == [(str(poison), "POISON")]
    assert report.unreadable[0].error.startswith("ended its ")
    assert report.hosts == FleetFolder(Path("without")).report().hosts
    assert report.expected == ("POISON",)

    watch = Watch()
    assert audited("out", begin_progress=watch).report.unreadable == ()  # what killed may have been a lack of memory
    assert watch.begun == [str(poison)]


# what adds up


@pytest.fixture
def report(fleet: SimpleNamespace) -> FleetReport:  # noqa: ARG001 - it makes the folder
    return FleetFolder(Path("out")).report()


def test_every_host_has_the_result_that_is_true_of_it(fleet, report):
    told = {host.host: host.outcome("client-push") for host in report.hosts}
    told |= dict.fromkeys(report.expected, MethodOutcome("client-push", NO_EVIDENCE, (), ()))
    found = {name: (one.result, ";".join(one.failed)) for name, one in told.items()}
    assert found == {row["host"]: (row["expected"], row["blamed"]) for row in fleet.truth}


def test_the_lines_add_up(fleet, report):
    cover, truth = report.coverage, fleet.truth
    lost = [one.path for one in report.unreadable]
    read = [path for path in every_log() if path not in lost]
    assert cover.records == sum(int(row["rows"]) * (1 + int(row["copies"])) for row in truth)
    assert cover.skipped == sum(int(row["malformed"]) for row in truth)
    assert cover.records + cover.skipped == sum(map(_lines, read))
    assert cover.bytes == sum(map(os.path.getsize, read))
    assert cover.files == cover.read + cover.unreadable == sum(int(row["files"]) for row in truth)
    assert cover.unreadable == len(lost) == sum(int(row["unreadable"]) for row in truth)
    assert cover.duplicates == sum(int(row["copies"]) for row in truth)
    assert cover.hosts == cover.with_evidence + cover.without_evidence + cover.without_source == len(truth)


def _lines(path: str) -> int:
    """Return how many lines of a log are neither comments nor empty, told in the plainest way."""
    content = Path(path).read_bytes()
    if content[:2] == b"\x1f\x8b":
        content = zlib.decompressobj(wbits=31).decompress(content)  # as far as it goes, if it was cut
    if content[:2] in (codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE):
        content = content.decode("utf-16").encode()
    lines = (line.strip(b"\0 \r") for line in content.removeprefix(codecs.BOM_UTF8).split(b"\n"))
    return sum(1 for line in lines if line and not line.startswith(b"#"))


def test_nobody_is_said_to_work_without_evidence(fleet, report):
    idle = {row["host"] for row in fleet.truth if row["expected"] == NO_EVIDENCE}
    assert len(idle) > 5
    for host in report.hosts:
        proven = {row_of(seen.requirement) for seen in host.seen if seen.proof}
        for one in host.outcomes:
            rows = {row_of(rule.id) for rule in load_ruleset().method(one.method).requirements}
            assert one.result == NO_EVIDENCE or (host.host not in idle and rows & proven)
    assert report.coverage.without_evidence + report.coverage.without_source == len(idle)


# the next run


def test_a_second_run_reads_nothing_and_writes_nothing(fleet):
    before = {name: Path("out", name).stat().st_mtime_ns for name in fleet.outputs}
    watch = Watch()
    assert not audited("out", begin_progress=watch).new
    assert watch.to_read == 0
    assert {name: Path("out", name).stat().st_mtime_ns for name in before} == before


LOG, OTHER = "logs/BERLIN/PC00002/pfirewall.log", "logs/BERLIN/PC00004/pfirewall.log"


def _grow(path: str = LOG) -> None:
    with Path(path).open("ab") as log:
        log.write(b"2024-07-20 10:00:00 ALLOW TCP 10.100.10.5 10.100.100.101 50000 445 0 - 0 0 0 - - - RECEIVE\r\n")


def _replace() -> None:
    """Write other content of the same length."""
    Path(LOG).write_bytes(Path(LOG).read_bytes().replace(b" DROP TCP ", b" ALLOWTCP "))


def _exchange() -> None:
    Path(LOG).rename("kept")
    Path(OTHER).rename(LOG)
    Path("kept").rename(OTHER)


@pytest.mark.usefixtures("fleet")
@pytest.mark.parametrize(
    ("change", "begun"),
    [
        (lambda: None, []),
        (_grow, [LOG]),
        (_replace, [LOG]),
        (_exchange, [LOG, OTHER]),
        (lambda: os.utime(LOG), [LOG]),
        (lambda: Path(LOG).unlink(), []),
        (lambda: shutil.rmtree("logs/BERLIN/PC00003"), []),
        (lambda: shutil.copytree("logs/BERLIN/PC00002", "logs/BERLIN/NEW"), ["logs/BERLIN/NEW/" + Path(LOG).name]),
        (lambda: Path(LOG).write_bytes(b""), [LOG]),
    ],
    ids=["nothing", "grown", "replaced", "exchanged", "touched", "removed", "host removed", "new", "emptied"],
)
def test_only_what_changed_is_read_and_the_report_is_as_if_all_had_been(change, begun):
    change()
    watch = Watch()
    audited("out", begin_progress=watch)
    assert sorted(watch.begun) == sorted({*begun, *(f"{one}.old" for one in begun if "NEW" in one)})
    assert outputs("out") == fresh()


@pytest.mark.usefixtures("fleet")
@pytest.mark.parametrize("part", ["logs/BERLIN", "logs/BERLIN/PC00002"])
@pytest.mark.parametrize("site", ["site.toml", None])
def test_of_a_part_of_the_files_is_told_what_they_say_alone(part, site):
    audited("out", site=site)
    watch = Watch()
    audited("out", part, site=site, begin_progress=watch)
    assert watch.begun == []
    audited("alone", part, site=site)
    assert outputs("out") == outputs("alone")


@pytest.mark.parametrize("pattern", ["{host}/*.log", "{host}/*/*.log", None])
def test_new_names_of_hosts_need_no_reading(fleet, pattern):
    watch = Watch()
    audited("out", host_from=pattern, begin_progress=watch)
    assert watch.begun == []
    assert outputs("out") == fresh(host_from=pattern)
    assert merged("out") == merged("fresh")
    audited("out", begin_progress=watch)
    assert watch.begun == []
    assert outputs("out") == fleet.outputs


@linux_only
@pytest.mark.usefixtures("fleet")
@pytest.mark.parametrize("name", [b"PC\xff", b"PC\\1", b"PC\n1", "PC\u00e9".encode()])
def test_a_path_of_any_bytes_is_read_once(name):
    shutil.copytree(b"logs/BERLIN/PC00002", b"other/BERLIN/" + name)
    shutil.copytree("logs/BERLIN/PC00003", "other/BERLIN/PC00003")
    first = audited("strange", "other").report
    assert len(first.hosts) == 2
    Path("strange", STATE).unlink()
    watch = Watch()
    assert audited("strange", "other", begin_progress=watch).report == first
    assert watch.begun == []


@pytest.mark.parametrize(
    "other",
    [
        {"site": None, "roles": {"site-server": ["10.100.10.5"]}},
        {"site": None},
        {"methods": ["group-policy"]},
        {"ports": {"http-management-point": 8080}},
        {"tz": "+02:00"},
    ],
    ids=["roles", "no roles", "method", "port", "zone"],
)
def test_another_question_gets_the_answer_of_a_first_run(fleet, other):
    shutil.copytree("out", "first")
    audited("out", **other)
    assert outputs("out") == fresh(**other)
    assert merged("out") == merged("fresh")
    assert host_report("out", "PC00002") == host_report("fresh", "PC00002")
    audited("out")
    assert outputs("out") == fleet.outputs
    assert merged("out") == merged("first")


def _make_newer(shard: Path) -> None:
    """Write a summary as a later auditor may."""
    table = pyarrow.parquet.read_table(shard)
    newer = {**(table.schema.metadata or {}), shards.VERSION_KEY: b"99"}
    pyarrow.parquet.write_table(table.replace_schema_metadata(newer), shard)


@pytest.mark.parametrize(
    "spoil",
    [
        lambda shard: shard.write_bytes(shard.read_bytes()[:-200]),
        lambda shard: shard.write_bytes(b""),
        lambda shard: shard.write_text("no Parquet file"),
        lambda shard: shutil.copyfile("out/hosts.parquet", shard),
        _make_newer,
        lambda shard: shutil.copyfile(shard, shard.with_name("again.parquet")),
        lambda shard: shard.with_name(".half.parquet.1").write_text("half"),
        lambda shard: shard.unlink(),
    ],
    ids=["cut", "empty", "text", "foreign", "newer", "copied", "half done", "removed"],
)
def test_summaries_that_were_spoilt_are_made_again(fleet, spoil):
    (shard,) = Path("out", SUMMARIES).glob("[!.]*")
    spoil(shard)
    spoilt = shard.read_bytes() if shard.exists() else None
    Path("out", STATE).unlink()
    notes: list[str] = []
    audited("out", note=notes.append)
    assert outputs("out") == fleet.outputs
    aside = [one.read_bytes() for one in Path("out", SUMMARIES).glob("*.unreadable")]
    assert aside in ([], [spoilt])
    assert [f"{shard.name}.unreadable keeps it" in one for one in notes] == [True] * len(aside)


@pytest.mark.parametrize("tenth", range(7))
def test_a_summary_with_damaged_data_is_made_again_or_told_but_never_believed(fleet, tenth):
    (shard,) = Path("out", SUMMARIES).glob("[!.]*")
    content = bytearray(shard.read_bytes())
    content[len(content) * tenth // 10 + 20] ^= 1
    shard.write_bytes(content)
    Path("out", STATE).unlink()
    told = []
    try:
        audited("out")
    except ReportError as error:
        told.append(str(error))
        shard.unlink()
        audited("out")
    assert not told or "this summary is corrupted" in told[0]
    assert outputs("out") == fleet.outputs


@pytest.mark.usefixtures("fleet")
def test_what_changes_while_it_is_read_is_in_the_report_all_the_same():
    """A log of a firewall that is at work grows all the time."""

    def change() -> None:
        _grow(every_log()[-1])
        Path(every_log()[-2]).unlink()

    cover = audited("other", begin_progress=Watch(3, change)).report.coverage
    assert (cover.files, cover.read, cover.unreadable) == (58, 52, 6)
    audited("other")
    assert outputs("other") == fresh()


@pytest.mark.usefixtures("fleet")
def test_a_file_that_keeps_its_reader_waiting_is_the_one_that_is_told_of(monkeypatch):
    """Of those that are read together too: drives are waited for before the next one is begun."""
    whole, told = summary.digest_of, []
    monkeypatch.setattr(summary, "digest_of", lambda path: told.append((begun[-1:], str(path))) or whole(path))
    begun: list[str] = []
    audited("other", begin_progress=lambda _files, _bytes: lambda path, _done, _size: begun.extend([path] * bool(path)))
    assert len(told) > 50
    assert [path for path, _ in told] == [[path] for _, path in told]


@pytest.mark.usefixtures("fleet")
def test_a_summary_that_breaks_while_it_is_written_anew_is_set_aside(monkeypatch):
    def broken(path: Path, *_: object) -> None:
        raise ReportError("it is damaged", where=str(path))

    notes: list[str] = []
    with monkeypatch.context() as patch:
        patch.setattr(shards, "rewrite_summary", broken)
        audited("out", methods=["client-push"], note=notes.append)
    assert [".unreadable keeps it" in one for one in notes] == [True]
    assert outputs("out") == fresh(methods=["client-push"])


@pytest.mark.usefixtures("fleet")
def test_a_summary_for_which_there_is_no_memory_is_not_taken_for_a_broken_one(monkeypatch):
    def short(*_: object, **__: object) -> None:
        raise pyarrow.ArrowMemoryError("malloc of size 64 failed")

    before = sorted(Path("out", SUMMARIES).iterdir())
    Path("out", STATE).unlink()
    with monkeypatch.context() as patch:
        patch.setattr(pyarrow.parquet, "ParquetFile", short)
        with pytest.raises(auditor.AuditorError, match=r"not enough memory to read this summary.*--workers 1"):
            audited("out")
    assert sorted(Path("out", SUMMARIES).iterdir()) == before


@pytest.mark.usefixtures("fleet")
def test_what_could_not_be_reached_is_tried_again(monkeypatch):
    """To get the right to read a file does not change its time."""

    def refused(path: Path, *_: object, **__: object) -> None:
        raise SourceError("cannot be read (Permission denied)", where=str(path)) from PermissionError(13, "denied")

    with monkeypatch.context() as patch:
        patch.setattr(summary, "reading", refused)
        Path(LOG).write_bytes(Path(LOG).read_bytes())
        assert [one.path for one in audited("out").report.unreadable if "denied" in one.error] == [LOG]
    watch = Watch()
    audited("out", begin_progress=watch)
    assert watch.begun == [LOG]
    assert outputs("out") == fresh()


@pytest.mark.usefixtures("fleet")
def test_addresses_that_change_hands_in_the_map_are_new():
    table, log = Path("map.csv"), Path("some/a.log")
    log.parent.mkdir()
    log.write_bytes(Path(LOG).read_bytes())
    (address,) = {
        one for host in audited("some/out", str(log), host_from=None).report.hosts for one in host.addresses[:1]
    }
    for mine, others in ((address, "10.9.9.9"), ("10.9.9.9", address)):
        table.write_text(f"host,address\nPC1,{mine}\nPC2,{others}\n")
        again = audited("some/out", str(log), host_from=None, host_map="map.csv")
        assert again.new
    assert [host.host for host in again.report.hosts] == ["PC2"]


def _edited(*changes: tuple[str, str]) -> Path:
    """Return a ruleset of our own, the shipped one with changes in the first row for SMB."""
    text = (rulesets_folder() / "configmgr-2007.toml").read_text(encoding="utf-8")
    at = text.index('row = "smb"')
    for old, new in changes:
        assert old in text[at:]
        text = text[:at] + text[at:].replace(old, new, 1)
    Path("mine.toml").write_text(text, encoding="utf-8")
    return Path("mine.toml")


@pytest.mark.usefixtures("fleet")
def test_a_ruleset_that_was_edited_is_another_question():
    first = audited("out", ruleset=_edited()).report
    edited = audited("out", ruleset=_edited(('necessity = "required"', 'necessity = "informational"')))
    assert edited.new
    assert edited.report.method("client-push").fails < first.method("client-push").fails


def test_what_an_earlier_version_left_out_is_read_by_this_one(fleet, monkeypatch):
    with monkeypatch.context() as patch:
        for module in (shards, fleet_module):
            patch.setattr(module, "VERSION", "0.0.1")
        audited("other")
    assert merged("other") == merged("out")  # what it tells counts all the same
    Path("other", STATE).unlink()
    watch = Watch()
    audited("other", begin_progress=watch)
    assert watch.to_read == len(every_log())
    assert outputs("other") == fleet.outputs


# the folder


def test_two_runs_do_not_work_in_one_folder(fleet):
    refused = []

    def second() -> None:
        with pytest.raises(OutputError, match=r"other: another run uses this folder. Wait"):
            audited("other", "logs/BERLIN")
        refused.append(True)

    audited("other", begin_progress=Watch(3, second))
    assert refused
    assert outputs("other") == fleet.outputs


@pytest.mark.skipif(sys.platform == "win32", reason="limits the size of files as Unix can")
@pytest.mark.parametrize("words", [("--workers", "0"), ("--workers", "2"), pytest.param(("--dask",), marks=needs_dask)])
def test_a_full_disk_ends_the_run_in_one_line_and_nothing_is_unreadable_for_it(fleet, words):
    import resource

    done = subprocess.run(
        [*COMMAND, "-o", "other", "-q", *words],
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        preexec_fn=lambda: resource.setrlimit(resource.RLIMIT_FSIZE, (20_000, 20_000)),
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == OutputError.exit_code
    told = "the summaries cannot be written (File too large). Free disk space, or choose a folder"
    assert done.stderr.startswith(f"error: other/summaries: {told}"), done.stderr
    assert done.stderr.count("\n") == 1
    audited("other")
    assert outputs("other") == fleet.outputs


@pytest.mark.usefixtures("fleet")
@pytest.mark.parametrize("out", ["file", "file/below"])
def test_a_folder_that_cannot_be_made_is_told(out):
    Path("file").write_text("something")
    with pytest.raises(OutputError, match="the folder cannot be created"):
        audited(out)


def test_a_folder_with_other_files_is_left_alone_unless_forced(fleet):
    Path("mine").mkdir()
    Path("mine/notes.txt").write_text("something")
    with pytest.raises(OutputError, match=r"mine: the folder holds other files, such as notes\.txt\. .*--force"):
        audited("mine")
    assert [one.name for one in Path("mine").iterdir()] == ["notes.txt"]
    audited("mine", force=True)
    assert outputs("mine") == fleet.outputs
    assert Path("mine/notes.txt").read_text() == "something"


@pytest.mark.usefixtures("fleet")
@pytest.mark.parametrize("name", ["hosts.csv", "report.txt", "summaries/customers.parquet", "summaries/.bashrc"])
def test_files_of_somebody_else_are_not_replaced_whatever_they_are_called(name):
    path = Path("theirs", name)
    path.parent.mkdir(parents=True)
    path.write_text("something")
    with pytest.raises(OutputError, match="theirs: the folder holds other files"):
        audited("theirs")
    assert path.read_text() == "something"


@pytest.mark.usefixtures("fleet")
def test_a_link_where_a_form_of_the_report_goes_is_not_followed():
    Path("theirs").mkdir()
    Path("precious.txt").write_text("something")
    Path("theirs/report.txt").symlink_to(Path("precious.txt").resolve())
    with pytest.raises(OutputError, match=r"such as report\.txt"):
        audited("theirs", force=True)
    assert Path("precious.txt").read_text() == "something"


@pytest.mark.usefixtures("fleet")
def test_what_was_put_together_is_not_replaced_by_one_site_unless_forced():
    for place in ("BERLIN", "BOSTON"):
        audited(place, f"logs/{place}")
    merge("BERLIN", "BOSTON", out="both", workers=0)
    before = sorted(Path("both", SUMMARIES).iterdir())
    with pytest.raises(OutputError, match="both: the folder contains merged summaries of auditor merge"):
        audited("both", "logs/BERLIN")
    assert sorted(Path("both", SUMMARIES).iterdir()) == before
    assert audited("both", "logs/BERLIN", force=True).report == audited("BERLIN", "logs/BERLIN").report


@pytest.mark.parametrize(
    ("form", "name"), [("text", "report.txt"), ("html", "fleet.html"), ("json", "fleet.json"), ("csv", "hosts.csv")]
)
def test_render_writes_the_report_of_a_fleet_as_its_run_did(fleet, form, name):
    done = CliRunner().invoke(cli, ["render", "out/fleet.json", "--format", form, "-o", "again"])
    assert (done.exit_code, Path("again").read_bytes()) == (0, fleet.outputs[name])


@pytest.mark.usefixtures("fleet")
@pytest.mark.parametrize(
    ("words", "told"),
    [
        (
            ["out/fleet.json", "--format", "sarif"],
            "a fleet report has no form sarif. Choose from text, html, json, csv.",
        ),
        (["out/fleet.json", "--redact"], "a whole fleet cannot be redacted. Set one host: --host NAME"),
        (["out/fleet.json", "--host", "PC00002"], "is a file. Name the folder that auditor batch or merge wrote."),
        (["out"], "or name its fleet.json"),
    ],
)
def test_what_render_cannot_do_with_a_fleet_is_one_clear_line(words, told):
    with pytest.raises(ArgumentError) as caught:
        CliRunner().invoke(cli, ["render", *words], catch_exceptions=False)
    assert told in str(caught.value)


# near the logs, and put together


def _parts(kind: str) -> list[list[str]]:
    paths, chance = every_log(), random.Random(kind)
    if kind == "by site":
        return [[path for path in paths if site in path] for site in ("BERLIN", "BOSTON")]
    if kind == "one by one":
        return [[path] for path in paths if "PC0001" in path]
    places = [chance.randrange(4) for _ in paths]
    parts = [[path for path, at in zip(paths, places, strict=True) if at == place] for place in range(4)]
    return [*parts, parts[0] + parts[2]] if kind == "overlapping" else parts


@pytest.mark.usefixtures("fleet")
@pytest.mark.parametrize("kind", ["by site", "one by one", "at random", "overlapping"])
def test_what_was_read_in_parts_and_put_together_is_what_is_read_at_once(kind):
    parts = _parts(kind)
    for number, part in enumerate(parts):
        audited(f"part{number}", *part)
    report = merged(*(f"part{number}" for number in reversed(range(len(parts)))))
    assert report == audited("once", *sorted({path for part in parts for path in part})).report
    assert tables("merged") == tables("once")


@pytest.mark.usefixtures("fleet")
def test_the_same_path_at_two_sites_is_two_files():
    """Each administrator names his logs as he sees them."""
    covers = []
    for place, hosts in (("BERLIN", (1, 2, 6, 16)), ("BOSTON", (21, 22, 25, 26))):
        for number, host in enumerate(hosts):
            shutil.copytree(Path("logs", place, f"PC{host:05}"), Path(place, f"logs/{number}"))
        covers.append(_read_near(place, host_from=None))
    report = merged("BERLIN/out", "BOSTON/out")
    for name in ("files", "read", "unreadable", "records", "bytes", "skipped", "hosts", "with_evidence"):
        assert getattr(report.coverage, name) == sum(getattr(one, name) for one in covers), name
    assert not [one for one in report.limitation_texts if "several contents" in one]


@pytest.mark.usefixtures("fleet")
def test_what_one_run_could_not_read_and_a_later_one_could_is_not_lost():
    whole = Path(LOG).read_bytes()
    Path(LOG).write_bytes(b"")
    os.utime(LOG, (1, 1))
    audited("first", LOG)
    Path(LOG).write_bytes(whole)
    audited("second", LOG)
    report = merged("second", "first")
    assert (report.coverage.files, report.coverage.read, report.unreadable) == (1, 1, ())


@pytest.mark.usefixtures("fleet")
def test_what_one_site_could_not_read_is_lost_although_another_site_read_a_file_of_that_name():
    for place, number in (("BERLIN", 2), ("BOSTON", 21)):
        shutil.copytree(Path("logs", place, f"PC{number:05}"), Path(place, "logs/PC1"))
    Path("BERLIN/logs/PC1/pfirewall.log").write_bytes(b"")
    os.utime("BERLIN/logs/PC1/pfirewall.log", (1, 1))
    for place in ("BERLIN", "BOSTON"):
        Path(place, "map.csv").write_text(f"host,site,path\nPC1,{place},logs/PC1\n")
        _read_near(place, host_from=None, host_map="map.csv")
    report = merged("BERLIN/out", "BOSTON/out")
    assert [one.path for one in report.unreadable] == ["logs/PC1/pfirewall.log"]


@pytest.mark.usefixtures("fleet")
@pytest.mark.parametrize("files", [1, 100])
def test_what_a_file_said_before_it_changed_is_in_no_report(files, shards_of):
    """Neither in that of the run that read it again nor in one that is made of its summaries."""
    shards_of(files)
    audited("other")
    _grow()
    audited("other")
    fresh()
    assert merged("other") == merged("fresh")
    assert host_report("other", "PC00002") == host_report("fresh", "PC00002")


@pytest.mark.usefixtures("fleet")
def test_two_computers_of_one_name_at_two_sites_are_told():
    for place, number in (("BERLIN", 8), ("BOSTON", 28)):
        shutil.copytree(Path("logs", place, f"PC{number:05}"), Path(place, "logs/PC1"))
        _read_near(place, host_from="{host}/*.log")
    report = merged("BERLIN/out", "BOSTON/out")
    (host,) = report.hosts
    assert (host.host, len({subnet_of(one) for one in host.addresses})) == ("PC1", 2)
    assert report.coverage.read == sum(len(list(Path(place, "logs/PC1").iterdir())) for place in ("BERLIN", "BOSTON"))
    assert [
        one for one in report.limitation_texts if one.startswith("1 file has different contents in these summaries")
    ]


def _read_near(place: str, **more: object) -> Coverage:
    """Audit the logs in a folder as somebody does who is there."""
    shutil.copyfile("site.toml", Path(place, "site.toml"))
    os.chdir(place)
    cover = audited("out", **more).report.coverage
    os.chdir("..")
    return cover
