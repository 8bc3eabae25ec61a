"""The command line used clumsily or by an enemy: streams that are closed or full, odd files, odd names, signals."""

from __future__ import annotations

import csv
import io
import json
import os
import shutil
import signal
import subprocess
import sys
from pathlib import Path

import pytest
from command_line import CODE, FAILS, WORKS, Run
from waiting import PATIENCE

from auditor.cli import explain
from auditor.errors import ArgumentError, RulesetError
from auditor.render import output_file
from auditor.render.clean import clean, clean_cell, needs_escapes
from auditor.ruleset.lint import MODES, ROLES
from auditor.ruleset.ruleset import check_ruleset, load_ruleset
from auditor.ruleset.site import load_site
from auditor.sources.dissection import program as tshark
from auditor.sources.flows.icmp_errors import MEANING

pytestmark = pytest.mark.slow

posix = pytest.mark.skipif(sys.platform == "win32", reason="Windows has no such streams, files or signals")
HOSTILE = "\x1b[31mred\u202e\u009b2J"


def shell(line: str, **environment: str) -> subprocess.CompletedProcess[str]:
    """Run a line of shell in which `auditor` is this program."""
    call = f'auditor() {{ "{sys.executable}" -m auditor "$@"; }}\n{line}'
    inherited = {**os.environ, "PYTHONPATH": str(CODE.parent), **environment}
    words = ["bash", "-c", call]
    return subprocess.run(
        words, env=inherited, capture_output=True, text=True, errors="replace", timeout=PATIENCE, check=False
    )


def one_line(text: str) -> bool:
    return (
        text.count("\n") == 1
        and text.endswith("\n")
        and text.startswith(("error: ", "warning: "))
        and "fault of" not in text
    )


# standard output and standard error

WORDS = [f"analyze {FAILS} --no-dissect", f"flows {WORKS} --format csv", "explain", "--help", "--version", "doctor"]


@posix
@pytest.mark.parametrize("words", WORDS)
def test_a_closed_standard_output_is_one_line(words):
    done = shell(f"auditor {words} >&-")
    assert done.returncode == 1
    assert one_line(done.stderr)
    assert "standard output is closed" in done.stderr


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="only Linux has /dev/full")
@pytest.mark.parametrize("words", WORDS)
def test_a_full_disk_is_one_line(words):
    done = shell(f"auditor {words} >/dev/full")
    assert done.returncode == 1
    assert one_line(done.stderr)
    assert "No space left on device" in done.stderr


@posix
@pytest.mark.parametrize("words", WORDS)
def test_a_reader_that_is_gone_is_told_nothing_and_the_shell_the_usual(words):
    done = shell(f"auditor {words} | true; echo ${{PIPESTATUS[0]}}")
    assert (done.stdout, done.stderr) == ("141\n", "")


@posix
def test_an_output_file_needs_no_standard_output(tmp_path):
    done = shell(f"auditor flows {WORKS} --format csv -o {tmp_path}/flows.csv >&-")
    assert (done.returncode, done.stderr) == (0, "")
    assert (tmp_path / "flows.csv").read_text().startswith("source,")


@posix
@pytest.mark.parametrize("stream", ["2>&-", "2>/dev/full"])
def test_a_message_that_nobody_can_read_changes_neither_result_nor_code(stream):
    done = shell(f"auditor analyze {FAILS} missing --no-dissect {stream}")
    assert done.returncode == 3
    assert done.stdout.startswith("FAILS: client push to 10.20.2.20")


@posix
def test_a_closed_standard_error_sends_no_message_into_the_result():
    assert shell("auditor analyze missing 2>&-").stdout == ""


@posix
def test_what_the_encoding_of_standard_output_lacks_is_escaped(tmp_path):
    own = own_ruleset(tmp_path, "日本")
    done = shell(f"auditor rulesets show {own}", PYTHONIOENCODING="cp1252")
    assert (done.returncode, done.stderr) == (0, "")
    assert "\\u65e5\\u672c" in done.stdout


# the width of the terminal


@posix
@pytest.mark.parametrize("columns", ["0", "1", "-5", "abc", "²", "", "100000", "9" * 5000])
def test_any_width_shows_the_whole_report(columns):
    done = terminal(["analyze", FAILS, "--no-dissect"], COLUMNS=columns, LINES="²")
    for word in ("FAILS", "rpc-endpoint-mapper ", "TCP 445", "LIKELY", "not observed", "10.20.2.20"):
        assert word in done


@posix
@pytest.mark.parametrize("words", [["evidence", FAILS, "-o", "-"], ["flows", FAILS, "--format", "parquet"]])
def test_what_is_not_for_a_terminal_is_not_shown_on_one(words):
    assert terminal(words) == "error: -o: this form is not for a terminal. Name a file: -o FILE\r\n"


def terminal(words: list[str], **environment: str) -> str:
    """Return what a command shows on a terminal."""
    import pty

    child, screen = pty.fork()
    if child == 0:
        os.environ.update(environment, TERM="dumb", PYTHONPATH=str(CODE.parent))
        os.execv(sys.executable, [sys.executable, "-m", "auditor", *words])
    shown = b""
    try:
        while piece := os.read(screen, 65536):
            shown += piece
    except OSError:
        pass  # the other end is closed
    finally:
        os.waitpid(child, 0)
        os.close(screen)
    return shown.decode()


# signals


@posix
@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_stopped_program_leaves_no_temporary_file(tmp_path, number):
    script = (  # a job in the background is started deaf to SIGINT
        "import signal; signal.signal(signal.SIGINT, signal.default_int_handler)\n"
        "import sys, time; from auditor.__main__ import main\n"
        "def slow(table, out, form): out.write(b'half'); out.flush(); print('now', flush=True); time.sleep(60)\n"
        "import auditor.render.tables.flows as shown; shown.write = slow\n"
        f"sys.argv = ['auditor', 'flows', {WORKS!r}, '-o', {str(tmp_path / 'out')!r}]; main()"
    )
    with subprocess.Popen(
        [sys.executable, "-c", script], cwd=CODE.parent, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    ) as child:
        assert child.stdout is not None
        assert child.stdout.readline() == "now\n"
        assert len(list(tmp_path.iterdir())) == 1
        child.send_signal(number)
        _, told = child.communicate(timeout=PATIENCE)
    assert child.returncode == 128 + number
    assert told.strip() == "error: stopped."
    assert list(tmp_path.iterdir()) == []


def test_an_interrupt_while_modules_are_loaded_is_no_traceback():
    script = (
        "import builtins; load = builtins.__import__\n"
        "def interrupted(name, *rest):\n"
        "    if name in ('click', 'auditor.cli.commands'): raise KeyboardInterrupt\n"
        "    return load(name, *rest)\n"
        "builtins.__import__ = interrupted\n"
        "from auditor.__main__ import main; main()"
    )
    done = subprocess.run(
        [sys.executable, "-c", script], cwd=CODE.parent, capture_output=True, text=True, timeout=PATIENCE, check=False
    )
    assert (done.returncode, done.stderr) == (130, "error: stopped.\n")


@posix
@pytest.mark.parametrize("module", ["errno", "click", "auditor.cli.commands", "gc"])
def test_ctrl_c_at_any_module_of_the_program_is_no_traceback(module):
    """Before the program can say that it was stopped, it ends without a word, as grep does."""
    script = (
        "import builtins, os, signal, sys; load = builtins.__import__\n"
        "signal.signal(signal.SIGINT, signal.default_int_handler)\n"  # a job in the background ignores it
        f"sys.modules.pop({module!r}, None)\n"
        "def interrupted(name, *rest):\n"
        f"    if name == {module!r}: os.kill(os.getpid(), signal.SIGINT)\n"
        "    return load(name, *rest)\n"
        "builtins.__import__ = interrupted\n"
        "from auditor.__main__ import main; main()"
    )
    done = subprocess.run(
        [sys.executable, "-c", script], cwd=CODE.parent, capture_output=True, text=True, timeout=PATIENCE, check=False
    )
    assert (done.returncode, done.stderr) in ((130, "error: stopped.\n"), (-signal.SIGINT, ""))


@posix
def test_a_signal_that_the_caller_ignores_stays_ignored():
    done = shell(f"trap '' HUP; (sleep 0.01; kill -HUP $BASHPID) & auditor flows {WORKS} >/dev/null; echo $?")
    assert done.stdout == "0\n"


# outputs


@posix
@pytest.mark.parametrize("exists", [False, True])
def test_an_output_through_a_link_is_written_where_the_link_points(tmp_path, exists):
    (tmp_path / "there").mkdir()
    target = tmp_path / "there" / "report.txt"
    if exists:
        target.write_text("old")
    link = tmp_path / "link.txt"
    link.symlink_to(target)
    with output_file.opened(str(link), force=exists) as out:
        out.write(b"new")
    assert link.is_symlink()
    assert target.read_text() == "new"


BAD_OUTPUTS = {
    "no name": ("", "the output has no name"),
    "a folder that is not there": ("missing/report.txt", "folder does not exist"),
    "a folder to be": ("report/", "folder does not exist"),
}


@pytest.mark.parametrize(("target", "words"), BAD_OUTPUTS.values(), ids=BAD_OUTPUTS)
def test_a_bad_output_is_told_before_anything_is_read(run: Run, tmp_path, monkeypatch, target, words):
    monkeypatch.chdir(tmp_path)
    done = run("analyze", "missing.pcap", "-o", target)
    assert done.code == 2
    assert words in done.err
    assert list(tmp_path.iterdir()) == []


# text that would reach the terminal


def own_ruleset(folder: Path, title: str) -> Path:
    text = load_ruleset("configmgr-2007").path.read_text(encoding="utf-8")
    quoted = json.dumps(title)
    text = text.replace('title = "Client push installation"', f"title = {quoted}")
    path = folder / "own.toml"
    path.write_text(text.replace('title = "Configuration Manager 2007', f"title = {quoted[:-1]} "), encoding="utf-8")
    return path


def is_clean(text: str) -> bool:
    return text.replace("\n", "").isprintable()


@pytest.mark.parametrize("words", [["analyze", FAILS, "--no-dissect", "--ruleset"], ["rulesets", "show"]])
def test_titles_of_a_ruleset_are_cleaned(run: Run, tmp_path, words):
    done = run(*words, own_ruleset(tmp_path, HOSTILE))
    assert "\\x1b[31mred\\u202e\\x9b2J" in done.out
    assert is_clean(done.out)


@posix
def test_names_of_files_are_cleaned_in_every_form(run: Run, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    shutil.copy(FAILS, HOSTILE)
    shutil.copy(load_ruleset("configmgr-2007").path, f"{HOSTILE}.toml")
    for words in (
        ["analyze", HOSTILE, "--no-dissect"],
        ["analyze", HOSTILE, "--no-dissect", "--format", "json"],
        ["flows", HOSTILE, FAILS],
        ["flows", HOSTILE, "--format", "jsonl"],
        ["rulesets", "check", f"{HOSTILE}.toml"],
    ):
        assert is_clean(run(*words).out), words
    assert is_clean(run("flows", HOSTILE, "--format", "csv").out.replace("\r\n", "\n"))
    report = json.loads(run("analyze", HOSTILE, "--no-dissect", "--format", "json").out)
    assert report["sources"][0]["path"] == HOSTILE  # escaped, not changed


@posix
@pytest.mark.parametrize("words", [["analyze"], ["flows"], ["rulesets", "check"], ["analyze", FAILS, "--site"]])
def test_a_line_break_in_a_name_makes_no_second_line(run: Run, tmp_path, monkeypatch, words):
    monkeypatch.chdir(tmp_path)
    done = run(*words, "no\nsuch\n  file")
    assert len((done.err + done.out).rstrip("\n").splitlines()) == (1 if words[0] != "rulesets" else 2)


def test_a_ruleset_with_many_faults_is_one_line_on_the_command_line(run: Run, tmp_path):
    path = tmp_path / "own.toml"
    text = load_ruleset("configmgr-2007").path.read_text(encoding="utf-8")
    path.write_text(text.replace("ports = [135]", "ports = [0]").replace("remedy =", "remedi ="), encoding="utf-8")
    done = run("analyze", FAILS, "--ruleset", path)
    assert done.code == 2
    assert one_line(done.err)
    assert done.err.endswith(f"run: auditor rulesets check {path}\n")


def test_a_long_text_keeps_its_end():
    text = clean("x" * 10_000 + " - what to do")
    assert len(text) <= 2000
    assert text.endswith("… - what to do".removeprefix("…"))


@pytest.mark.parametrize("name", ["=1+1", "+1", "-1", "@SUM(A1)", " =1", "\uff1d1", "\ufe621", "\uff0d1", "\uff20A1"])
def test_a_cell_is_no_formula(name):
    assert clean_cell(name) == f"'{name}"


def test_ordinary_text_is_left_alone():
    assert clean("Größe 日本 push.pcapng") == "Größe 日本 push.pcapng"
    assert not needs_escapes("Größe 日本\npush.pcapng")


def test_flows_as_csv_name_a_hostile_file_on_one_clean_line(run: Run, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    shutil.copy(FAILS, "=cmd|\u202e")
    rows = list(csv.DictReader(io.StringIO(run("flows", "--format", "csv", "=cmd|\u202e").out)))
    assert {row["source"] for row in rows} == {"'=cmd|\\u202e"}


# files that a person, or an enemy, wrote

BAD_TOML = {
    "deep lists": b"a = " + b"[" * 50_000,
    "deep tables": b"a = " + b"{b=" * 50_000,
    "endless key": b"a" + b".a" * 200_000 + b" = 1",
    "endless quoted key": b'"a b"' + b'."a b"' * 100_000 + b" = 1",
    "endless table name": b"[a" + b" . a" * 100_000 + b"]",
    "endless number": b"a = " + b"9" * 5_000,
    "endless number in hexadecimal": b"a = 0x" + b"f" * 5_000,
    "endless port": b"[ports]\nhttp-management-point = 0x" + b"f" * 5_000,
    "endless file": b"#" * 2_000_000,
    "no UTF-8": b"a = '\xff'",
    "NUL": bytes(1000),
    "binary": Path(WORKS).read_bytes(),
}


@pytest.mark.parametrize("content", BAD_TOML.values(), ids=BAD_TOML)
def test_a_hostile_toml_file_is_one_line(run: Run, tmp_path, content):
    path = tmp_path / "own.toml"
    path.write_bytes(content)
    for option in ("--site", "--ruleset"):
        done = run("analyze", WORKS, option, path)
        assert (done.code, done.out) == (2, "")
        assert one_line(done.err)
    assert "internal error" not in run("rulesets", "check", path).out


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="there are no named pipes here")
def test_a_pipe_or_a_device_is_not_waited_for(tmp_path):
    os.mkfifo(tmp_path / "pipe")
    for path in (tmp_path / "pipe", Path("/dev/zero")):
        with pytest.raises(ArgumentError, match="not an ordinary file"):
            load_site(path)
        with pytest.raises(RulesetError, match="not an ordinary file"):
            load_ruleset(path)
        assert "not an ordinary file" in str(check_ruleset(path)[0])


@pytest.mark.parametrize("value", ["9" * 5000, "1e5", "٤٤٣", "0x50", "-1", "1" * 4000])
def test_a_port_that_is_no_number_is_one_line(run: Run, value):
    done = run("analyze", WORKS, "--port", f"http-management-point={value}")
    assert (done.code, done.out) == (2, "")
    assert "is not a port number" in done.err
    assert len(done.err) < 600


@pytest.mark.parametrize("option", ["--site", "--ruleset", "--method", "--property", "--tshark"])
def test_an_empty_value_is_told_for_what_it_is(run: Run, option):
    done = run("analyze", WORKS, option, "")
    assert (done.code, done.out) == (2, "")
    assert "no name; check the variables of the script. " in done.err


def test_an_empty_source_is_told_for_what_it_is(run: Run):
    for words in (["analyze", ""], ["flows", WORKS, " "], ["rulesets", "show", ""], ["rulesets", "check", ""]):
        assert run(*words).code == 2


@pytest.mark.parametrize("words", [[], ["rulesets"]])
def test_nothing_at_all_is_answered_with_the_help(run: Run, words):
    done = run(*words)
    assert "Commands:\n" in done.out + done.err
    assert "Error" not in done.err


# hints


@pytest.mark.parametrize("word", ["push.pcapng", WORKS, "./push"])
def test_a_capture_without_a_command_is_answered_with_the_command(run: Run, word):
    done = run(word)
    assert done.code == 2
    assert done.err.endswith(f"To analyze it, run: auditor analyze {word}\n")


def test_a_windows_trace_is_answered_with_both_converters(run: Run, tmp_path):
    trace = tmp_path / "push.etl"
    trace.write_bytes(bytes(100))
    told = run("analyze", trace).err
    assert "pktmon etl2pcap" in told
    assert "etl2pcapng" in told


def test_a_property_that_decides_nothing_is_told(run: Run):
    done = run("analyze", WORKS, "-q", "--no-dissect", "--property", "/sorce:x", "--property", "/source:x")
    assert one_line(done.err)
    assert done.err.endswith("Did you mean /source?\n")
    assert "It uses /source" in run("analyze", WORKS, "-q", "--no-dissect", "--property", "/mp:x").err


def test_a_source_that_is_named_twice_is_read_once_and_told(run: Run, tmp_path):
    again = tmp_path / "again.pcap"
    os.link(WORKS, again)
    done = run("analyze", WORKS, again, "--no-dissect", "--format", "json")
    assert done.err == f"warning: {again}: listed twice, as {WORKS}. It is read once.\n"
    once = run("analyze", WORKS, "--no-dissect", "--format", "json")
    assert (done.code, done.out) == (once.code, once.out)


def test_where_no_source_can_be_read_each_is_told_of(run: Run, tmp_path):
    done = run("analyze", tmp_path / "a", tmp_path, tmp_path / "b")
    assert (done.code, done.out) == (1, "")
    assert [line.split(": ")[1] for line in done.err.splitlines()] == [f"{tmp_path}/a", f"{tmp_path}", f"{tmp_path}/b"]


@pytest.mark.parametrize("command", ["analyze", "flows", "evidence"])
def test_where_one_source_cannot_be_read_it_is_named(run: Run, tmp_path, command):
    target = ["-o", tmp_path / "proof.pcapng"] if command == "evidence" else []
    done = run(command, WORKS, tmp_path / "missing", *target)
    assert done.code == 4
    assert f"{tmp_path}/missing" in done.err.splitlines()[0]
    assert "no such file" in done.err.splitlines()[0]


# explain


def test_every_role_and_mode_is_explained():
    tables = explain._tables()
    assert set(tables["role"]) == set(ROLES)
    assert set(tables["mode"]) == set(MODES)


def test_every_icmp_code_that_gives_a_verdict_is_explained():
    codes = {
        f"{kind}/{code}" + (" v6" if version == 6 else "") for version in MEANING for kind, code in MEANING[version]
    }
    assert codes - set(explain._tables()["icmp"]) == set()


@pytest.mark.parametrize(
    ("words", "shown"),
    [
        (["3/13"], ["3/13 (icmp)"]),
        (["ICMP", "3/13"], ["3/13 (icmp)"]),
        (["1/1", "v6"], ["1/1 v6 (icmp)"]),
        (["1/1"], ["1/1 v6 (icmp)"]),
        (["icmpv6 1/1"], ["1/1 v6 (icmp)"]),
        (["3/0"], ["3/0 (icmp)", "3/0 v6 (icmp)"]),
        (["site-server"], ["site-server (role)"]),
        (["native"], ["native (mode)"]),
    ],
)
def test_codes_roles_and_modes_are_explained(run: Run, words, shown):
    lines = run("explain", *words).out.splitlines()
    assert [line for line in lines if line.endswith((" (icmp)", " (role)", " (mode)"))] == shown


def test_an_endless_term_still_says_what_to_do(run: Run):
    done = run("explain", "x" * 100_000)
    assert one_line(done.err)
    assert done.err.endswith("run: auditor explain\n")


# tshark


@posix
def test_a_tshark_in_the_folder_of_the_captures_is_not_run(tmp_path, monkeypatch):
    (tmp_path / "tshark").write_text("#!/bin/sh\n")
    (tmp_path / "tshark").chmod(0o755)
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("PATH", ".")
    assert tshark.find_tshark() is None


@posix
def test_a_tshark_that_prints_anything_is_no_error(tmp_path):
    program = tmp_path / "tshark"
    program.write_bytes(b"#!/bin/sh\nprintf '\\377\\376 9.9'\n")
    program.chmod(0o755)
    assert tshark.tshark_version(program) is None
