"""What the README shows is what the program does. AUDITOR_UPDATE_GOLD=1 writes its outputs anew."""

from __future__ import annotations

import doctest
import os
import re
import shlex
import shutil
import subprocess
import sys
import tomllib
from pathlib import Path
from typing import Any

import pytest

from auditor.auditing import audit
from auditor.site import load_site

ROOT = Path(__file__).parent.parent
README = ROOT / "README.md"
CONSOLE = re.compile(r"```console\n\$ (?P<command>[^\n]+)\n(?P<output>.*?)```", re.DOTALL)
MORE = "\n\n...\n"


def printed_by(command: str) -> str:
    program, *arguments = shlex.split(command)
    assert program == "auditor"
    command_line = [sys.executable, "-m", "auditor", *arguments]
    done = subprocess.run(command_line, cwd=ROOT, capture_output=True, text=True, encoding="utf-8", check=False)
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


def test_its_python_examples_run(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(ROOT)
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


def test_every_file_it_links_to_exists() -> None:
    for target in re.findall(r"\]\(([^)#:]+)\)", README.read_text(encoding="utf-8")):
        assert (ROOT / target).exists(), target
