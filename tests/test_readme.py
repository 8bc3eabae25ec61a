"""What the README and the page on fleets show is what the program does. AUDITOR_UPDATE_GOLD=1 writes outputs anew."""

from __future__ import annotations

import doctest
import os
import re
import shlex
import shutil
import subprocess
import sys
import tempfile
import tomllib
from itertools import takewhile
from pathlib import Path
from typing import Any

import click
import pytest
from click.testing import CliRunner

from auditor.api.audit import audit
from auditor.cli.commands import cli
from auditor.ruleset.site import load_site

ROOT = Path(__file__).parent.parent
README = ROOT / "README.md"
FLEET_PAGE = ROOT / "docs" / "fleet.md"
PAGES = [README, FLEET_PAGE]
CONSOLE = re.compile(r"```console\n\$ (?P<command>[^\n]+)\n(?P<output>.*?)```", re.DOTALL)
MORE = "\n\n...\n"
COMMANDS = [found["command"] for found in CONSOLE.finditer(README.read_text(encoding="utf-8"))]


def printed_by(command: str) -> str:
    """Return what a command prints in a folder that has the samples, after the command that makes what it reads."""
    with tempfile.TemporaryDirectory() as folder:
        (Path(folder) / "sample_captures").symlink_to(ROOT / "sample_captures", target_is_directory=True)
        words = shlex.split(command)
        for earlier in takewhile(lambda one: one != command, COMMANDS):
            made = shlex.split(earlier)
            if "-o" in made and made[made.index("-o") + 1] in words:
                _run(made, folder)
        return _run(words, folder)


def _run(words: list[str], folder: str) -> str:
    program, *arguments = words
    assert program == "auditor"
    command_line = [sys.executable, "-m", "auditor", *arguments]
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    done = subprocess.run(
        command_line, cwd=folder, env=environment, capture_output=True, text=True, encoding="utf-8", check=False
    )
    return done.stdout + done.stderr


def part_of(printed: str, output: str) -> str:
    """Return what a block shows of what is printed: all of it, or as many paragraphs as stand before its "..."."""
    if not output.endswith(MORE):
        return printed
    return "\n\n".join(printed.split("\n\n")[: output.count("\n\n")]) + MORE


def update() -> None:
    def again(found: re.Match[str]) -> str:
        return f"```console\n$ {found['command']}\n{part_of(printed_by(found['command']), found['output'])}```"

    README.write_text(CONSOLE.sub(again, README.read_text(encoding="utf-8")), encoding="utf-8")


if os.environ.get("AUDITOR_UPDATE_GOLD"):
    update()
BLOCKS = [(found["command"], found["output"]) for found in CONSOLE.finditer(README.read_text(encoding="utf-8"))]


def test_it_shows_commands_with_their_output() -> None:
    assert len(BLOCKS) >= 4


@pytest.mark.parametrize(("command", "output"), BLOCKS, ids=[command for command, _ in BLOCKS])
def test_a_command_prints_what_the_readme_says(command: str, output: str) -> None:
    if "analyze" in command and shutil.which("tshark") is None:
        pytest.skip("tshark is not installed; without it the report says so and is another one")
    assert part_of(printed_by(command), output) == output


def test_its_python_examples_run(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.chdir(ROOT)
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    blocks = re.findall(r"```pycon\n(.*?)```", README.read_text(encoding="utf-8"), re.DOTALL)
    examples = doctest.DocTestParser().get_doctest("\n".join(blocks), {}, "README", str(README), 0)
    assert examples.examples
    assert doctest.DocTestRunner(verbose=False).run(examples).failed == 0


def test_its_test_of_a_network_passes(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(ROOT)
    (text,) = re.findall(r"```python\n(.*?)```", README.read_text(encoding="utf-8"), re.DOTALL)
    names: dict[str, Any] = {}
    exec(text, names)
    (test,) = (one for name, one in names.items() if name.startswith("test_"))
    test()


def test_its_site_file_is_one(tmp_path: Path) -> None:
    (text,) = re.findall(r"```toml\n(.*?)```", README.read_text(encoding="utf-8"), re.DOTALL)
    assert tomllib.loads(text)
    path = tmp_path / "site.toml"
    path.write_text(text, encoding="utf-8")
    assert load_site(path).ports == {"http-management-point": 8080}
    assert (
        audit(ROOT / "sample_captures/mp-other-port.pcap", site=path).clients[0].method("client-push").result == "works"
    )


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_every_place_that_a_page_links_to_exists(page: Path) -> None:
    text = page.read_text(encoding="utf-8")
    for target, _, anchor in (one.partition("#") for one in re.findall(r"\]\(([^):]+)\)", text)):
        there = page.parent / target if target else page
        assert there.exists(), target
        assert not anchor or anchor in anchors(there), anchor


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_every_named_link_of_a_page_is_one_and_is_used(page: Path) -> None:
    text = page.read_text(encoding="utf-8")
    named = dict(re.findall(r"^\[([\w-]+)\]: (\S+)$", text, re.MULTILINE))
    assert set(re.findall(r"\]\[([\w-]+)\]", text)) == set(named)
    assert [url for url in named.values() if not re.fullmatch(r"https://[\w.-]+(/[\w./-]*)?", url)] == []


def anchors(page: Path) -> set[str]:
    """Return what a link to a heading of a page is called, as GitHub and GitLab do it."""
    text = re.sub(r"```.*?```", "", page.read_text(encoding="utf-8"), flags=re.DOTALL)
    headings = re.findall(r"^#+ (.+)$", text, re.MULTILINE)
    return {re.sub(r"[^\w -]", "", heading.lower()).replace(" ", "-") for heading in headings}


# docs/fleet.md


LINES = re.findall(
    r"^(auditor (?:batch|merge|render|rulesets) .+)$", FLEET_PAGE.read_text(encoding="utf-8"), re.MULTILINE
)
IN_TEXT = re.findall(r"`(auditor (?:batch|merge|render|rulesets) [^`]*-[^`]+)`", FLEET_PAGE.read_text(encoding="utf-8"))


@pytest.mark.parametrize("line", [*LINES, *IN_TEXT])
def test_a_command_of_the_page_has_arguments_that_there_are(line: str) -> None:
    command: Any = cli
    words = spoken(line)
    while isinstance(command, click.Group):
        command = command.commands[words.pop(0)]
    command.make_context("auditor", words)


def test_the_commands_of_the_page_run_one_after_the_other(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """The logs are those of the sample; where the page sends what a site wrote, it is written there at once."""
    monkeypatch.chdir(tmp_path)
    samples = ROOT / "sample_captures" / "fleet" / "logs"
    for drive in ("D", "E"):
        shutil.copytree(samples, tmp_path / drive / "fwlogs")
    run, results = CliRunner(), {}
    for line in (one for one in LINES if "--scheduler" not in one):
        words = spoken(line)
        if "BERLIN" in words:
            for site in ("BERLIN", "LISBON"):
                folder = ["-o", site, "--host-from", "{site}/{host}/*.log", "--role", "site-server=10.120.10.5"]
                run.invoke(cli, ["batch", str(samples / site), *folder, "--force"])
        done = run.invoke(cli, words)
        assert done.exit_code in (0, 3), (line, done.output)
        results[line] = done.stdout
    apart = [text for line, text in results.items() if line.startswith("auditor merge")]
    assert len(apart) == 2
    assert apart[0] == apart[1]
    assert "would fail on 6 of 1" in apart[0]


def spoken(line: str) -> list[str]:
    """Return the words of a command of the page, with the addresses and folders of the sample."""
    words = shlex.split(line.replace("\\", "/").replace(":/", "/") if "tcp:" not in line else line)[1:]
    return [re.sub(r"10\.20\.\d\.(\d+)$", r"10.120.10.\1", word) if word.count("=") else word for word in words]
