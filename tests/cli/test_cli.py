"""The command line: exit codes, one-line errors, outputs that appear whole or not at all, and every command."""

from __future__ import annotations

import ast
import csv
import io
import json
import re
import stat
import subprocess
import sys
from collections.abc import Callable
from importlib.metadata import PackageNotFoundError
from pathlib import Path

import click
import pytest
from command_line import CODE, FAILS, WORKS, Ran
from iis_rows import HEADER as IIS_HEADER
from packets import Link, enhanced, ethernet, interface, pcap, pcapng, talk, tcp
from places import SAMPLES
from scenario import scene

import auditor
from auditor.cli import doctor, explain
from auditor.cli.commands import cli
from auditor.render.clean import clean
from auditor.report.model import VERDICTS
from auditor.ruleset.configmgr_codes import known_codes
from auditor.ruleset.known_problems import problems
from auditor.ruleset.ruleset import load_ruleset, shipped_rulesets
from auditor.sources.flows.columns import TABLE
from auditor.version import VERSION

pytestmark = pytest.mark.slow

WHO = "10.0.0.1:50000 > 10.0.0.5:445"


@pytest.fixture
def cut(tmp_path) -> Path:
    """Return a capture of a push that works, cut in the middle of its last packet."""
    path = tmp_path / "cut.pcap"
    path.write_bytes(Path(WORKS).read_bytes()[:-10])
    return path


# exit codes


def test_0_when_nothing_required_is_blocked(run):
    assert run("analyze", WORKS).code == 0


def test_1_when_nothing_can_be_audited(run, tmp_path):
    assert run("analyze", tmp_path / "missing.pcap").code == 1


def test_2_when_an_argument_is_wrong(run):
    assert run("analyze", WORKS, "--mode", "both").code == 2


def test_3_when_a_method_fails(run):
    assert run("analyze", FAILS).code == 3


@pytest.mark.parametrize("client", ["10.20.2.20", "10.9.9.9"])
def test_1_when_a_site_server_or_client_that_was_named_is_nowhere(run, client):
    done = run("analyze", FAILS, "-q", "--role", "site-server=10.20.1.6", "--role", f"client={client}")
    assert (done.code, is_one_line(done)) == (1, True)
    assert f"{'10.20.1.6' if client == '10.20.2.20' else client} is not in the sources" in done.err


def test_strict_counts_methods_that_were_tried(run):
    assert run("analyze", WORKS, "-q", "--strict").code == 0
    assert run("analyze", WORKS, "-q", "--strict", "--no-dissect").code == 3
    assert run("analyze", WORKS, "-q", "--strict", "--method", "software-distribution").code == 3


def test_4_when_a_source_was_skipped(run, tmp_path):
    assert run("analyze", WORKS, tmp_path / "missing.pcap").code == 4


def test_4_when_a_capture_is_cut(run, cut):
    assert run("analyze", cut).code == 4


UNREADABLE = {
    "undescribed interfaces": (pcapng(enhanced(ethernet(tcp(WHO)))), "editcap IN OUT"),
    "junk in the headers": (pcap([b"\x4f" + bytes(30)] * 3, Link(228)), "snap length"),
    "packets of no bytes": (pcap([tcp(WHO)], snap=0), "snap length"),
    "an unknown kind of network": (pcap([tcp(WHO)], Link(147)), "Capture on an Ethernet"),
}


@pytest.mark.parametrize(("content", "hint"), UNREADABLE.values(), ids=UNREADABLE)
def test_1_when_nothing_in_a_capture_can_be_read(run, tmp_path, content, hint):
    path = tmp_path / "push.pcap"
    path.write_bytes(content)
    done = run("analyze", path, "--role", "client=10.0.0.5", "--role", "site-server=10.0.0.1")
    assert done.code == 1
    assert is_one_line(done)
    assert "can be read as IP or ARP" in done.err
    assert hint in done.err


@pytest.mark.parametrize("content", [content for content, _ in UNREADABLE.values()], ids=UNREADABLE)
def test_4_when_some_packets_cannot_be_read(run, tmp_path, content):
    """In a capture beside one that is whole, and in one file with packets that can be read."""
    path = tmp_path / "push.pcap"
    path.write_bytes(content)
    assert run("analyze", path, WORKS, "--no-dissect").code == 4


def test_4_when_packets_lie_on_an_interface_that_is_not_described(run, tmp_path):
    path = tmp_path / "push.pcapng"
    frames = [enhanced(ethernet(packet)) for packet in talk(WHO, "S <SA A 5PA <5PA A FA <FA A")]
    path.write_bytes(pcapng(interface(), *frames, enhanced(ethernet(tcp(WHO)), interface=1)))
    assert run("analyze", path, "--no-dissect").code == 4
    done = run("flows", path)
    assert done.code == 4
    assert "1 packet names an interface that the file does not describe" in done.err


def test_3_wins_over_4(run, cut):
    assert run("analyze", FAILS, cut.with_name("missing.pcap")).code == 3


def test_only_the_methods_asked_for_decide(run):
    assert run("analyze", FAILS, "--method", "group-policy").code == 0
    assert run("analyze", FAILS, "--method", "group-policy", "--method", "client-push").code == 3


def test_the_exit_code_is_the_same_in_every_form(run):
    assert run("analyze", FAILS, "--format", "json").code == 3
    assert run("analyze", FAILS, "-q") == Ran(3, "", "")


def test_flows_of_a_cut_capture_are_written_and_told(run, cut):
    done = run("flows", cut, "--format", "csv")
    assert done.code == 4
    assert done.out.startswith("source,protocol,")


def test_flows_of_nothing(run, tmp_path):
    assert run("flows", tmp_path / "missing.pcap").code == 1


@pytest.mark.parametrize(
    "words", [["--help"], ["analyze", "-h"], ["flows", "-h"], ["rulesets", "-h"], ["explain", "-h"], ["doctor", "-h"]]
)
def test_help_is_no_error(run, words):
    done = run(*words)
    assert (done.code, done.err) == (0, "")
    assert done.out.startswith("Usage: auditor ")


def commands(command=cli, name="auditor"):
    yield name, command
    for child, below in getattr(command, "commands", {}).items():
        yield from commands(below, f"{name} {child}")


@pytest.mark.parametrize("name", [name for name, _ in commands()])
def test_the_help_of_a_command_has_an_example_of_it(run, name):
    shown = run(*name.split()[1:], "--help").out
    assert f"Example:\n    {name} " in shown.replace(f"{name}\n", f"{name} ")


@pytest.mark.parametrize("name", [name for name, command in commands() if hasattr(command, "commands")])
def test_the_list_of_commands_cuts_no_summary(run, name):
    assert "..." not in run(*name.split()[1:], "--help").out.split("Commands:\n")[1]


# errors are one line: what, where, what to do

NO_SOURCES = {
    "no file": (None, "no such file"),
    "folder": ("folder", "no capture and no log is in it"),
    "text": (b"Dear colleague, the capture is attached.\n", "unknown file type; expected pcap, pcapng"),
    "picture": (b"\x89PNG\r\n\x1a\n" + bytes(100), "this is a picture"),
    "empty": (b"", "the file is empty. Stop the capture before you copy it"),
    "cabinet": (b"MSCF" + bytes(100), "this is a cabinet file"),
    "saved report": (b'{\n  "format_version": 2,\n  "tool": {}\n}\n', "this is a saved report"),
    "only the header of a pcap": (pcap([]), "the file contains no packets"),
    "half a header": (pcap([])[:10], "the file contains no packets"),
    "gzip of nothing": (b"\x1f\x8b\x08\x00", "the gzip data cannot be unpacked"),
    "firewall log": (b"#Version: 1.5\r\n", "this is the beginning of a Windows log"),
}


def is_one_line(done: Ran) -> bool:
    return done.err.count("\n") == 1 and done.err.startswith("error: ") and "internal error" not in done.err


def test_an_empty_firewall_log_is_no_capture(run, tmp_path):
    (tmp_path / "pfirewall.log").touch()
    assert "the file is empty. Turn on logging" in run("analyze", tmp_path / "pfirewall.log").err


@pytest.mark.parametrize(
    ("name", "content", "fault"),
    [("ccm.log", "", "the file is empty"), ("u_ex231114.log", IIS_HEADER, "the log contains no entries")],
)
def test_an_empty_log_of_configmgr_or_iis_is_no_firewall_log(run, tmp_path, name, content, fault):
    (tmp_path / name).write_text(content)
    assert f"{fault}. Take the log of the day" in run("analyze", tmp_path / name).err


@pytest.mark.parametrize("content", NO_SOURCES.values(), ids=NO_SOURCES)
@pytest.mark.parametrize("word", ["analyze", "flows"])
def test_what_is_no_capture_is_one_line(run, tmp_path, word, content):
    path = tmp_path / "push.pcap"
    if content[0] == "folder":
        path.mkdir()
    elif content[0] is not None:
        path.write_bytes(content[0])
    done = run(word, path)
    assert (done.code, done.out) == (1, "")
    assert is_one_line(done)
    assert done.err.startswith(f"error: {path}: {content[1]}")
    assert re.search(r"\. [A-Z]", done.err)


@pytest.mark.skipif(sys.platform == "win32", reason="Windows has no such device")
def test_a_device_is_no_capture(run):
    assert is_one_line(run("analyze", "/dev/zero"))


def test_a_name_that_is_too_long_is_one_line(run):
    done = run("analyze", "x" * 300)
    assert done.code == 1
    assert is_one_line(done)


BAD_ARGUMENTS = {
    "unknown role": (["--role", "site-sever=10.0.0.5"], "Did you mean site-server?"),
    "bad address": (["--role", "client=10.0.0.300"], "is not an IP address or network"),
    "addresses in one": (["--role", "client=10.0.0.5,10.0.0.6"], "Set each with its own --role client=ADDRESS."),
    "bad network": (["--role", "client=10.0.0.0/40"], "is not an IP address or network"),
    "port that is no port": (["--port", "http-management-point=70000"], "Use a number from 1 to 65535"),
    "port 0": (["--port", "http-management-point=0"], "Use a number from 1 to 65535"),
    "unknown port name": (["--port", "http-managment-point=8080"], "Did you mean http-management-point?"),
    "fixed port": (["--port", "smb=446"], "the port of smb (445) is fixed"),
    "ports that cannot go together": (
        ["--port", "http-software-update-point=8530", "--port", "https-software-update-point=443"],
        "cannot go together",
    ),
    "unknown method": (["--method", "client-pull"], "Did you mean client-push?"),
    "unknown ruleset": (["--ruleset", "configmgr-2012"], "Did you mean configmgr-2007?"),
    "ruleset that is missing": (["--ruleset", "missing.toml"], "there is no such file"),
    "site file that is missing": (["--site", "missing.toml"], "the site file cannot be read"),
    "output in a missing folder": (["-o", "missing/report.txt"], "folder does not exist"),
    "output that is a folder": (["-o", "."], "this is a folder"),
    "output of an endless name": (["-o", "x" * 300], "cannot be written"),
}


@pytest.mark.parametrize(("options", "words"), BAD_ARGUMENTS.values(), ids=BAD_ARGUMENTS)
def test_a_bad_argument_is_one_line(run, tmp_path, monkeypatch, options, words):
    monkeypatch.chdir(tmp_path)
    done = run("analyze", WORKS, *options)
    assert (done.code, done.out) == (2, "")
    assert is_one_line(done)
    assert words in done.err


BAD_WORDS = {
    "bad mode": (["analyze", WORKS, "--mode", "both"], "'both' is not one of 'native', 'mixed'"),
    "bad format": (["analyze", WORKS, "--format", "pdf"], "'pdf' is not one of"),
    "role without address": (["analyze", WORKS, "--role", "client"], "'client' is not NAME=VALUE"),
    "role with nothing": (["analyze", WORKS, "--role", "client="], "'client=' is not NAME=VALUE"),
    "port without number": (["analyze", WORKS, "--port", "http-management-point"], "is not NAME=VALUE"),
    "port in words": (["analyze", WORKS, "--port", "http-management-point=http"], "'http' is not a port number"),
    "negative port": (["analyze", WORKS, "--port", "http-management-point=-1"], "'-1' is not a port number"),
    "unknown option": (["analyze", WORKS, "--rule", "x"], "no such option"),
    "unknown command": (["analyse", WORKS], "no such command 'analyse'"),
    "no source": (["analyze"], "missing argument 'SOURCE...'"),
}


@pytest.mark.parametrize(("words", "told"), BAD_WORDS.values(), ids=BAD_WORDS)
def test_a_word_that_the_command_line_does_not_know(run, words, told):
    done = run(*words)
    assert (done.code, done.out) == (2, "")
    assert done.err.startswith("error: ")
    assert told in done.err


@pytest.mark.parametrize(
    ("fault", "code", "told"),
    [
        (KeyboardInterrupt(), 130, "error: stopped.\n"),
        (click.Abort(), 130, "error: stopped.\n"),
        (MemoryError(), 1, "error: not enough memory. Split a large capture"),
        (ImportError("No module named 'numpy'"), 1, "error: a part of auditor cannot be loaded (No module named"),
        (RuntimeError("why"), 1, "error: internal error (RuntimeError: why)"),
    ],
    ids=["interrupt", "abort", "memory", "import", "fault"],
)
def test_no_fault_is_a_traceback(run, monkeypatch, fault, code, told):
    def fail(**_: object) -> None:
        raise fault

    monkeypatch.setattr("auditor.cli.commands.cli.main", fail)
    done = run("analyze", WORKS)
    assert done.code == code
    assert done.err.startswith(told)
    assert done.err.count("\n") == 1


@pytest.mark.skipif(sys.platform == "win32", reason="pipes end otherwise on Windows")
def test_a_reader_that_goes_away_is_no_error():
    call = f'"{sys.executable}" -m auditor flows "{SAMPLES / "push-in-traffic.pcap"}" --format jsonl | head -n 1'
    done = subprocess.run(call, shell=True, cwd=CODE.parent, capture_output=True, text=True, check=False)
    assert done.stdout.count("\n") == 1
    assert done.stderr == ""


# outputs


def test_an_output_holds_what_standard_output_shows(run, tmp_path):
    target = tmp_path / "report.json"
    assert run("analyze", FAILS, "--format", "json", "-o", target) == Ran(3, "", "")
    assert target.read_text(encoding="utf-8") == run("analyze", FAILS, "--format", "json").out


def test_an_output_that_exists_is_kept(run, tmp_path):
    target = tmp_path / "report.txt"
    target.write_text("precious")
    done = run("analyze", FAILS, "-o", target)
    assert (done.code, target.read_text()) == (2, "precious")
    assert done.err == f"error: {target}: the output exists already. Choose another name, or add --force.\n"


def test_an_output_that_exists_is_replaced_by_force(run, tmp_path):
    target = tmp_path / "report.txt"
    target.write_text("old")
    assert run("analyze", FAILS, "-o", target, "--force").code == 3
    assert target.read_text(encoding="utf-8").startswith("FAILS: client push to 10.20.2.20")


@pytest.mark.parametrize("before", [None, "precious"])
def test_an_output_that_fails_on_the_way_leaves_nothing_behind(run, tmp_path, monkeypatch, before):
    def fail(_: object, out: io.BufferedIOBase, form: str) -> None:
        out.write(b"half a li")
        raise RuntimeError(form)

    target = tmp_path / "flows.csv"
    if before:
        target.write_text(before)
    monkeypatch.setattr("auditor.render.tables.flows.write", fail)
    assert run("flows", WORKS, "--format", "csv", "-o", target, "--force").code == 1
    assert [path.read_text() for path in tmp_path.iterdir()] == ([before] if before else [])


def test_an_audit_that_fails_writes_no_output(run, tmp_path):
    assert run("analyze", tmp_path / "missing.pcap", "-o", tmp_path / "report.txt").code == 1
    assert list(tmp_path.iterdir()) == []


@pytest.mark.skipif(sys.platform == "win32", reason="Windows has no such permissions")
def test_an_output_may_be_read_by_whom_the_umask_allows(run, tmp_path):
    target = tmp_path / "report.txt"
    (tmp_path / "ordinary").touch()
    run("analyze", WORKS, "-o", target)
    assert stat.S_IMODE(target.stat().st_mode) == stat.S_IMODE((tmp_path / "ordinary").stat().st_mode)


@pytest.mark.skipif(sys.platform == "win32", reason="Windows has no such device")
@pytest.mark.parametrize("force", [(), ("--force",)])
def test_a_device_is_never_replaced_by_a_file(run, force):
    assert run("analyze", WORKS, "-o", "/dev/null", *force).code == 2
    assert stat.S_ISCHR(Path("/dev/null").stat().st_mode)


def test_the_verbose_report_holds_more(run):
    assert len(run("analyze", WORKS, "-v").out) > len(run("analyze", WORKS).out)


def test_no_colours_where_there_is_no_terminal(run):
    assert "\x1b" not in run("analyze", FAILS).out


# version


def test_the_version_tells_that_of_tshark_too(run, tshark):
    first = subprocess.run([tshark, "--version"], capture_output=True, text=True, check=True).stdout.splitlines()[0]
    number = re.search(r"\d+\.\d+\.\d+", first)[0]
    assert run("--version") == Ran(0, f"auditor {VERSION}\ntshark {number}\n", "")


def test_the_version_where_there_is_no_tshark(run, monkeypatch, tmp_path):
    monkeypatch.setenv("PATH", str(tmp_path))
    for name in ("ProgramFiles", "ProgramFiles(x86)", "ProgramW6432"):
        monkeypatch.delenv(name, raising=False)
    assert run("--version") == Ran(0, f"auditor {VERSION}\ntshark not found\n", "")


# explain


def warning_codes() -> set[str]:
    """Return the codes of all warnings that the code can give: the texts in calls that make one."""
    makers = {"warning"}
    found = {"unreadable"}  # of sources that were left out
    for path in CODE.rglob("*.py"):
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, ast.Call) and getattr(node.func, "id", getattr(node.func, "attr", "")) in makers:
                found |= {one.value for one in node.args[:1] if isinstance(one, ast.Constant) and is_code(one.value)}
    return found


def is_code(value: object) -> bool:
    return isinstance(value, str) and re.fullmatch(r"[a-z]+(-[a-z]+)*", value) is not None


def explained(kind: str) -> set[str]:
    return set(explain._tables()[kind])


def test_every_warning_is_explained_and_no_other():
    assert warning_codes() == explained("warning")


def test_every_verdict_is_explained_and_no_other():
    assert set(VERDICTS) == explained("verdict")


def test_every_explanation_says_what_to_do():
    for table in explain._tables().values():
        for entry in table.values():
            assert set(entry) == {"means", "do"}


@pytest.mark.parametrize(
    ("term", "words"),
    [
        ("blocked", "blocked (verdict)\n"),
        ("fails", "fails (result)\n"),
        ("likely", "likely (confidence)\n"),
        ("one-way", "one-way (response)\n"),
        ("s0", "S0 (conn_state)\n"),
        ("cut-short", "cut-short (warning)\n"),
        ("client-push", "client-push (method, configmgr-2007)\n"),
        ("client-push/smb", "client-push/smb (requirement, configmgr-2007)\n"),
        ("native-mode", "native-mode (condition, configmgr-2007)\n"),
        ("no-evidence", "no-evidence (result)\n"),
        ("coverage", "coverage (fleet)\n"),
        ("Unreadable-file", "unreadable-file (fleet)\n"),
        ("summary", "summary (fleet)\n"),
        ("host", "host (fleet)\n"),
    ],
)
def test_a_term_is_explained(run, term, words):
    done = run("explain", term)
    assert (done.code, done.err) == (0, "")
    assert words in done.out


def test_every_term_of_the_rulesets_is_explained():
    for ruleset in map(load_ruleset, shipped_rulesets()):
        terms = [one.id for one in (*ruleset.methods, *ruleset.requirements, *ruleset.conditions)]
        assert [term for term in terms if f", {ruleset.id})" not in explain.explain(term)] == []


def test_a_row_is_explained_for_each_method_that_has_it(run):
    out = run("explain", "http-management-point").out
    ruleset = load_ruleset("configmgr-2007")
    named = [one.id for one in ruleset.requirements if f"{one.id} (requirement, configmgr-2007)" in out]
    assert named == [one.id for one in ruleset.requirements if one.row == "http-management-point"]


KNOWN = [(layer, code, one) for layer, table in problems().items() for code, one in table.items()]


@pytest.mark.parametrize(("layer", "code", "one"), KNOWN, ids=[f"{layer} {code}" for layer, code, _ in KNOWN])
def test_every_problem_is_explained_by_its_name_and_by_its_code(layer, code, one, run):
    name = one.with_code(code).name
    for term in (name, name.lower(), f"{layer} {code}"):
        out = " ".join(run("explain", term).out.split())
        assert f"{name} (problem, {layer} {code})" in out
        assert " ".join(one.action.split()) in out


@pytest.mark.parametrize(
    ("term", "means"),
    [
        ("0xc0001234", "a status that is not listed here"),
        ("0xC0001234", "a status that is not listed here"),
        ("0x1234", "a fault that is not listed here"),
        ("418", "the request was refused"),
        ("HTTP 599", "the server, or a proxy in front of it, failed"),
        ("alert 99", "an alert that is not listed here"),
        ("Kerberos error 99", "an error that is not listed here"),
    ],
)
def test_a_code_that_is_not_listed_is_explained_by_its_kind(term, means, run):
    """Whatever a report may name as the code of a problem, explain knows."""
    assert means in " ".join(run("explain", term).out.lower().split())


@pytest.mark.parametrize(
    ("term", "heading"),
    [
        ("53", "ERROR_BAD_NETPATH (code, win32 53, 0x80070035)"),
        ("0x800706ba", "RPC_S_SERVER_UNAVAILABLE (code, rpc 1722, 0x800706ba)"),
        ("-2147023174", "RPC_S_SERVER_UNAVAILABLE (code, rpc 1722, 0x800706ba)"),
        ("2147944122", "RPC_S_SERVER_UNAVAILABLE (code, rpc 1722, 0x800706ba)"),
        ("12029", "ERROR_WINHTTP_CANNOT_CONNECT (code, winhttp 12029, 0x80072efd)"),
        ("0x87d00454", "CCM_E_NO_CLIENT_PKI_CERT (code, configmgr 0x87d00454)"),
        ("0x52e", "ERROR_LOGON_FAILURE (code, win32 1326, 0x8007052e)"),
        ("403", "403 Forbidden (code, http-status 403, 0x80190193)"),
        ("403.7", "403.7 Client certificate required (code, http-substatus 403.7)"),
        ("1603", "ERROR_INSTALL_FAILURE (code, msi 1603, 0x80070643)"),
        ("ERROR_BAD_NETPATH", "ERROR_BAD_NETPATH (code, win32 53, 0x80070035)"),
    ],
)
def test_a_code_of_a_log_is_explained_in_any_spelling(run, term, heading):
    done = run("explain", term)
    assert (done.code, done.err) == (0, "")
    assert heading in done.out.splitlines()


def test_a_code_is_explained_with_its_step_its_port_and_what_to_do(run):
    out = " ".join(run("explain", "0x800706ba").out.split())
    assert "In ccm.log, step wmi, service, or request: The site server could not reach WMI or RPC" in out
    assert "Verdict: failed, for rpc-endpoint-mapper or rpc-dynamic." in out
    assert "What to do: On the site server, check that the name resolves to the address of the client." in out
    assert "To settle it: a capture on the site server during the next push" in out
    assert "Documented in: KB 925282" in out


def test_a_code_that_shows_no_port_is_explained_with_what_to_do(run):
    out = " ".join(run("explain", "4").out.split())
    assert "complete (code, push-status 4) CCMSetup was started on the client. Verdict: none." in out
    assert "What to do: Check ccmsetup.log on the client" in out


def test_every_meaning_of_a_spelling_is_explained(run):
    out = run("explain", "2").out
    meanings = ("win32 2,", "ccmsetup-exit 2)", "push-status 2)", "service 0x00000002)")
    assert [meaning for meaning in meanings if meaning not in out] == []


@pytest.mark.parametrize("code", known_codes(), ids=lambda code: f"{code.family} {code.value}")
def test_every_code_of_a_log_is_explained_in_every_spelling(code):
    heading = f"{code.name} (code, {code.family} {code.value}"
    assert [term for term in code.spellings if heading not in explain.explain(term)] == []


@pytest.mark.parametrize("number", [0xC000006D, 0xC0000022, 0xC00000CC, 0xC0000034, 0x1C010003, 0x16C9A0D6])
def test_a_status_of_a_protocol_is_explained_in_every_spelling(number):
    terms = [f"0x{number:x}", f"0x{number:08X}", f"{number:08x}", str(number), str((number ^ 2**31) - 2**31)]
    texts = {explain.explain(term) for term in terms}
    assert len(texts) == 1
    assert "(problem, " in texts.pop()


@pytest.mark.parametrize(
    ("term", "shown", "command"),
    [
        ("54321", "54321", "net helpmsg 54321"),
        ("-2147012345", "0x80073107", "net helpmsg 12551"),
        ("0x87D0FFFF", "0x87d0ffff", "certutil -error 0x87d0ffff"),
    ],
)
def test_an_unknown_code_ends_with_how_to_look_it_up(run, term, shown, command):
    line = f"error: unknown code {shown}. Look the code up in CMTrace (Tools, Lookup), or run: {command}\n"
    assert run("explain", term) == Ran(1, "", line)


def test_the_list_of_terms_states_that_codes_are_explained(run):
    assert "0x800706ba, -2147023174, 12029" in " ".join(run("explain").out.split())


def test_a_requirement_is_explained_with_its_remedy_and_its_document(run):
    out = run("explain", "client-push/smb").out
    assert "From site-server to client, TCP port 445; required." in out
    assert "What to do: On the client, turn on the Windows Firewall rule group" in out
    assert "Documented in: " in out


def test_an_unknown_term_suggests_the_nearest(run):
    done = run("explain", "bloked")
    assert (done.code, done.out) == (2, "")
    assert done.err == "error: unknown term 'bloked'. Did you mean blocked?\n"


def test_the_placeholder_of_codes_without_an_entry_is_no_term(run):
    assert "CODE" not in run("explain").out.split()
    assert run("explain", "CODE").code == 2


def test_a_requirement_is_explained_with_the_notes_of_its_row(run):
    assert "HTTP is not secure." in " ".join(run("explain", "group-policy/http-management-point").out.split())


def test_a_term_unlike_any_other_says_where_to_look(run):
    assert run("explain", "xyzzy").err.endswith("run: auditor explain\n")


def test_explain_alone_lists_every_term(run):
    words = set(re.findall(r"[\w-]+", run("explain").out))
    assert words >= {*VERDICTS, *explained("warning"), "client-push", "smb", "rpc-dynamic"}


# doctor


def test_the_doctor_finds_everything(run):
    done = run("doctor")
    lines = done.out.splitlines()
    assert (done.code, done.err) == (0, "")
    assert lines[0] == f"ok       auditor {VERSION}"
    assert {"ok       ruleset configmgr-2007", "ok       ruleset configmgr-current-branch"} <= set(lines)
    assert any(re.match(r"(ok       tshark \d|optional tshark not found)", line) for line in lines)


def test_the_doctor_says_what_a_fleet_needs(run, monkeypatch):
    monkeypatch.setattr(doctor, "version", _missing)
    assert {
        "optional pyarrow: install it with: pipx inject auditor pyarrow (a fleet with auditor batch, "
        "flow tables as Parquet)",
        'optional distributed: install it with: pipx inject auditor "dask[distributed]" (Dask, for auditor batch on '
        "many computers)",
    } <= set(run("doctor").out.splitlines())


def _missing(name: str) -> str:
    raise PackageNotFoundError(name)


def test_the_doctor_misses_a_package(run, monkeypatch):
    monkeypatch.setattr(doctor, "PACKAGES", ("no-such-package",))
    done = run("doctor")
    assert done.code == 1
    assert "MISSING  no-such-package: install it with: pip install no-such-package\n" in done.out


def test_the_doctor_does_without_tshark(run, monkeypatch):
    monkeypatch.setattr(doctor, "find_tshark", lambda: None)
    done = run("doctor")
    assert done.code == 0
    assert "optional tshark not found; captures are audited without it." in done.out


# rulesets


def test_rulesets_are_listed(run):
    assert [line.split()[0] for line in run("rulesets", "list").out.splitlines()] == list(shipped_rulesets())


@pytest.mark.parametrize("name", shipped_rulesets())
def test_a_ruleset_is_shown_whole(run, name):
    out = run("rulesets", "show", name).out
    ruleset = load_ruleset(name)
    assert [one.id for one in (*ruleset.methods, *ruleset.conditions) if f"{one.id}: " not in out] == []
    assert out.count(" > ") == len(ruleset.requirements)
    assert [note for note in ruleset.notes if f"\n  {note}: " not in out] == []


def test_a_ruleset_that_is_not_there(run):
    done = run("rulesets", "show", "configmgr")
    assert done.code == 2
    assert is_one_line(done)


def test_a_sound_ruleset_is_checked(run):
    path = load_ruleset("configmgr-2007").path
    assert run("rulesets", "check", path) == Ran(0, f"{path}: no faults\n", "")


def test_all_faults_of_a_ruleset_are_told_at_once(run, tmp_path):
    path = tmp_path / "own.toml"
    text = load_ruleset("configmgr-2007").path.read_text(encoding="utf-8")
    path.write_text(
        text.replace("ports = [135]", "ports = [0]").replace('title = "Group', 'titel = "Group'), encoding="utf-8"
    )
    done = run("rulesets", "check", path)
    lines = done.out.splitlines()
    assert done.code == 2
    assert len(lines) > 2
    assert lines[-1] == f"{path}: {len(lines) - 1} faults"


def test_a_ruleset_of_ones_own_is_used(run, tmp_path):
    path = tmp_path / "own.toml"
    text = load_ruleset("configmgr-2007").path.read_text(encoding="utf-8")
    path.write_text(text.replace('id = "configmgr-2007"', 'id = "contoso"'), encoding="utf-8")
    assert "Ruleset contoso: " in run("analyze", FAILS, "--ruleset", path).out


# flows


def flow_count(path: str) -> int:
    return len(auditor.read(path).flows)


def test_flows_as_csv(run):
    out = run("flows", WORKS, "--format", "csv").out
    rows = list(csv.DictReader(io.StringIO(out)))
    assert len(rows) == flow_count(WORKS)
    assert list(rows[0]) == list(TABLE)
    assert re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{6}Z", rows[0]["start"])


def test_flows_as_json_lines(run):
    rows = [json.loads(line) for line in run("flows", WORKS, "--format", "jsonl").out.splitlines()]
    assert len(rows) == flow_count(WORKS)
    assert {tuple(row) for row in rows} == {tuple(TABLE)}
    echo = next(row for row in rows if row["protocol"] == "icmp")
    assert (echo["dst_port"], echo["frames_src"] > 0) == (None, True)


def test_flows_as_text(run):
    assert len(run("flows", WORKS).out.splitlines()) == flow_count(WORKS) + 1


def test_flows_of_several_sources(run):
    out = run("flows", WORKS, FAILS, "--format", "csv").out
    assert len(list(csv.reader(io.StringIO(out)))) == flow_count(WORKS) + flow_count(FAILS) + 1
    text = run("flows", WORKS, FAILS).out.splitlines()
    assert [line for line in text if line.startswith("-- ")] == [f"-- {WORKS}", f"-- {FAILS}"]


def test_csv_and_json_lines_say_the_same(run):
    rows = csv.DictReader(io.StringIO(run("flows", WORKS, "--format", "csv").out))
    objects = [json.loads(line) for line in run("flows", WORKS, "--format", "jsonl").out.splitlines()]
    as_text = [{name: "" if value is None else str(value) for name, value in row.items()} for row in objects]
    assert list(rows) == as_text


def test_flows_as_parquet(run, tmp_path):
    parquet = pytest.importorskip("pyarrow.parquet")
    assert run("flows", WORKS, "--format", "parquet", "-o", tmp_path / "flows.parquet").code == 0
    assert parquet.read_table(tmp_path / "flows.parquet").num_rows == flow_count(WORKS)


def test_flows_as_parquet_where_pyarrow_is_missing(run, monkeypatch, tmp_path):
    monkeypatch.setattr("pandas.DataFrame.to_parquet", lambda *_, **__: exec("raise ImportError"))
    done = run("flows", WORKS, "--format", "parquet", "-o", tmp_path / "flows.parquet")
    assert done.code == 2
    assert is_one_line(done)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("begin", ["=", "+", "-", "@", "\t", "\r"])
@pytest.mark.skipif(sys.platform == "win32", reason="Windows allows no such file names")
def test_a_spreadsheet_runs_no_file_name(run, tmp_path, monkeypatch, begin):
    monkeypatch.chdir(tmp_path)
    name = f"{begin}cmd|'calc'!A1"
    Path(name).write_bytes(Path(WORKS).read_bytes())
    rows = csv.DictReader(io.StringIO(run("flows", "--format", "csv", "--", name).out, newline=""))
    safe = clean(name) if begin in "\t\r" else f"'{name}"  # what is no longer a control character is no formula
    assert {row["source"] for row in rows} == {safe}


# the site file

SITE = """
mode = "mixed"
properties = ["/source:C:\\\\client"]
[roles]
site-server = "10.0.0.5"
client = ["10.0.0.20", "10.0.1.0/24"]
[ports]
http-management-point = 8080
[conditions]
run-from-share = true
"""


@pytest.fixture
def site(tmp_path) -> Callable[[str], Path]:
    def write(text: str) -> Path:
        path = tmp_path / "site.toml"
        path.write_text(text, encoding="utf-8")
        return path

    return write


@pytest.fixture
def push(write) -> Path:
    return write(pcap(scene(["0 10.0.0.5:50000 > 10.0.0.20:445/tcp SF", "1 10.0.0.5:50001 > 10.0.1.9:445/tcp SF"])))


def requirements(text: str) -> dict[str, dict[str, object]]:
    document = json.loads(text)
    methods = [method for client in document["clients"] for method in client["methods"]]
    return {one["id"]: one for method in methods for one in method["requirements"]}


def test_the_site_file_is_used(run, push, site):
    done = run("analyze", push, "--site", site(SITE), "--format", "json")
    rows = requirements(done.out)
    assert [client["address"] for client in json.loads(done.out)["clients"]] == ["10.0.0.20", "10.0.1.9"]
    assert rows["client-push/http-management-point"]["ports"] == [8080]
    assert rows["client-push/https-management-point"]["verdict"] == "not-applicable"
    assert rows["manual/smb-source-server"]["verdict"] == "not-observed"


def test_the_command_line_beats_the_site_file(run, push, site):
    words = ["--mode", "native", "--role", "client=10.0.1.9", "--port", "http-management-point=8081"]
    done = run("analyze", push, "--site", site(SITE), *words, "--format", "json")
    rows = requirements(done.out)
    assert [client["address"] for client in json.loads(done.out)["clients"]] == ["10.0.1.9"]
    assert rows["client-push/http-management-point"]["ports"] == [8081]
    assert rows["client-push/http-management-point"]["verdict"] == "not-applicable"


def test_the_ports_of_the_site_may_stand_in_the_site_file_and_on_the_command_line(run, push, site):
    filed = site("[ports]\nhttp = 8080\nhttps-management-point = 4443\n")
    rows = requirements(run("analyze", push, "--site", filed, "--port", "https=8443", "--format", "json").out)
    expected = {
        "software-distribution/http-distribution-point": [8080],
        "client-push/http-management-point": [8080],
        "software-distribution/https-distribution-point": [8443],
        "client-push/https-management-point": [4443],
    }
    assert {name: rows[name]["ports"] for name in expected} == expected


def test_a_fleet_takes_the_ports_of_the_site(run, push, tmp_path):
    words = ["--port", "http=8080", "--role", "management-point=10.0.0.80", "--role", "site-server=10.0.0.5"]
    assert run("batch", push, *words, "-o", tmp_path / "fleet").code in (0, 3)
    report = run("render", tmp_path / "fleet", "--host", "10.0.0.20", "--format", "json")
    assert requirements(report.out)["client-push/http-management-point"]["ports"] == [8080]


BAD_SITES = {
    "unknown key": ("rols = {}", "unknown key 'rols'. Did you mean roles?"),
    "no TOML": ("mode = native", "the site file cannot be read: this is not TOML"),
    "unknown mode": ('mode = "both"', "no such mode: 'both'"),
    "role in no table": ('roles = "10.0.0.5"', "roles is no table"),
    "role that is a number": ("[roles]\nclient = 5", "roles.client is no text or list of texts"),
    "unknown role": ('[roles]\nclint = "10.0.0.5"', "no such role: 'clint'"),
    "port in quotes": ('[ports]\nhttp-management-point = "8080"', "ports.http-management-point is not a number"),
    "port that is true": ("[ports]\nhttp-management-point = true", "ports.http-management-point is not a number"),
    "condition in words": (
        '[conditions]\nrun-from-share = "yes"',
        "conditions.run-from-share is neither true nor false",
    ),
    "unknown condition": ("[conditions]\nrun-from-shared = true", "Did you mean run-from-share?"),
}


@pytest.mark.parametrize(("text", "words"), BAD_SITES.values(), ids=BAD_SITES)
def test_a_fault_in_the_site_file_is_one_line(run, site, text, words):
    done = run("analyze", WORKS, "--site", site(text))
    assert (done.code, done.out) == (2, "")
    assert is_one_line(done)
    assert words in done.err


def test_a_site_file_saved_by_notepad(run, push, tmp_path):
    path = tmp_path / "site.toml"
    path.write_bytes(b"\xef\xbb\xbf" + SITE.replace("\n", "\r\n").encode())
    assert run("analyze", push, "--site", path, "-q").code == 0
