"""What the README and the pages of docs/ show is what the program does. AUDITOR_UPDATE_GOLD=1 writes outputs anew."""

from __future__ import annotations

import doctest
import importlib.util
import os
import re
import shlex
import shutil
import subprocess
import sys
import tempfile
import textwrap
import tomllib
from collections.abc import Iterator
from functools import cache
from pathlib import Path
from typing import Any, NamedTuple

import click
import pytest
from places import ROOT

from auditor.api.audit import audit
from auditor.cli.commands import cli
from auditor.ruleset.site import load_site

README = ROOT / "README.md"
HOME = ROOT / "docs" / "index.md"  # repeats the beginning of the README
FLEET = ROOT / "docs" / "fleet.md"
PAGES = [
    README,
    *(ROOT / name for name in ("CHANGELOG.md", "CONTRIBUTING.md", "rulesets/README.md", "sample_captures/README.md")),
    *sorted((ROOT / "docs").rglob("*.md")),
]
CONSOLE = re.compile(
    r"^(?P<indent> *)```console\n(?P=indent)\$ (?P<command>[^\n]+)\n(?P<output>.*?)^(?P=indent)```",
    re.DOTALL | re.MULTILINE,
)
FENCED = re.compile(r"^(?P<indent> *)```(?P<language>\w*)\n(?P<text>.*?)^(?P=indent)```", re.DOTALL | re.MULTILINE)
NEEDS = {"batch": "pyarrow", "merge": "pyarrow"}
READS_CONVERSATIONS = {"analyze", "evidence", "render", "diff"}  # of captures, or reports on some
# Examples that need a cluster of another kind: they are compiled, not run.
ELSEWHERE = {"dask_jobqueue", "spark"}


def name_of(page: Path) -> str:
    return page.relative_to(ROOT).as_posix()


def text_of(page: Path) -> str:
    return page.read_text(encoding="utf-8")


class Block(NamedTuple):
    """One command that a page shows, with what it prints."""

    page: Path
    place: int
    command: str
    output: str

    def __str__(self) -> str:
        return f"{name_of(self.page)}: {self.command[:60]}"


def blocks_of(page: Path) -> list[Block]:
    found = CONSOLE.finditer(text_of(page)) if page != HOME else ()
    return [Block(page, place, one["command"], inner(one, "output")) for place, one in enumerate(found)]


def inner(block: re.Match[str], name: str) -> str:
    """Return a part of a block without the indent that the block has in a list."""
    return re.sub(f"^{block['indent']}", "", block[name], flags=re.MULTILINE)


@cache
def printed_by(page: Path) -> list[str]:
    """Return what the commands of a page print, run in order in a folder that has the samples and the page's files."""
    with tempfile.TemporaryDirectory() as folder:
        (Path(folder) / "sample_captures").symlink_to(ROOT / "sample_captures", target_is_directory=True)
        for name, text in files_shown(page):
            (Path(folder) / name).write_text(text, encoding="utf-8")
        return [_run(shlex.split(block.command), folder) for block in blocks_of(page)]


def files_shown(page: Path) -> Iterator[tuple[str, str]]:
    """Yield name and text of each file that a page shows: a block that begins with a comment of nothing but a name."""
    for block in FENCED.finditer(text_of(page)):
        text = inner(block, "text")
        if named := re.match(r"# ([\w-]+\.toml)\n", text):
            yield named[1], text


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
    """Return what a block shows of what is printed: all of it, or what stands before its "...".

    That is as many paragraphs as the block shows if a blank line stands before the "...", else as many lines.
    """
    if output.endswith("\n\n...\n"):
        return "\n\n".join(printed.split("\n\n")[: output.count("\n\n")]) + "\n\n...\n"
    if output.endswith("\n...\n"):
        return "".join(printed.splitlines(keepends=True)[: output.count("\n") - 1]) + "...\n"
    return printed


def update() -> None:
    for page in PAGES:
        if page == HOME:
            continue
        outputs = iter(printed_by(page))

        def again(found: re.Match[str], outputs: Iterator[str] = outputs) -> str:
            lines = f"```console\n$ {found['command']}\n{part_of(next(outputs), inner(found, 'output'))}```"
            return textwrap.indent(lines, found["indent"])

        page.write_text(CONSOLE.sub(again, text_of(page)), encoding="utf-8")
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    subprocess.run([sys.executable, str(ROOT / "docs" / "generate.py")], env=environment, check=True)


if os.environ.get("AUDITOR_UPDATE_GOLD"):
    update()
BLOCKS = [block for page in PAGES for block in blocks_of(page)]


# what is shown


def test_the_readme_is_short() -> None:
    assert len(text_of(README).splitlines()) <= 150


def test_commands_are_shown_with_their_output() -> None:
    assert len(BLOCKS) >= 20
    assert {name_of(block.page) for block in BLOCKS} >= {"README.md", "docs/quickstart.md", "docs/fleet.md"}


@pytest.mark.parametrize("block", BLOCKS, ids=str)
def test_a_command_prints_what_the_page_shows(block: Block) -> None:
    command = block.command.split()[1]
    if command in READS_CONVERSATIONS and shutil.which("tshark") is None:
        pytest.skip("tshark is not installed; without it the report says so and is another one")
    if command in NEEDS:
        pytest.importorskip(NEEDS[command])
    assert part_of(printed_by(block.page)[block.place], block.output) == block.output


def commands_shown() -> Iterator[str]:
    """Yield each command line of auditor that stands in a block, or in a sentence with an option."""
    for page in PAGES:
        text = text_of(page)
        in_blocks = "\n".join(block["text"] for block in FENCED.finditer(text))
        shown = re.findall(r"^ *\$? ?(auditor [a-z].+)$", in_blocks, re.MULTILINE)
        shown += re.findall(r"^    (auditor [a-z].+)$", text, re.MULTILINE)
        shown += re.findall(r"`(auditor [a-z][^`\n]* -[^`\n]*)`", FENCED.sub("", text))
        yield from (line for line in shown if "[OPTIONS]" not in line and "..." not in line)


@pytest.mark.parametrize("line", sorted(set(commands_shown())))
def test_a_command_has_arguments_that_there_are(line: str) -> None:
    command: Any = cli
    words = shlex.split(line.replace("\\", "/"), comments=True)[1:]
    while isinstance(command, click.Group):
        command = command.commands[words.pop(0)]
    command.make_context("auditor", words)


def languages(language: str) -> list[tuple[Path, str]]:
    blocks = [(page, block) for page in PAGES for block in FENCED.finditer(text_of(page))]
    return [(page, inner(block, "text")) for page, block in blocks if block["language"] == language]


@pytest.mark.parametrize("page", sorted({page for page, _ in languages("pycon")}), ids=name_of)
def test_the_python_examples_of_a_page_run(page: Path, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    if "batch(" in text_of(page):
        pytest.importorskip("pyarrow")
    monkeypatch.chdir(ROOT)
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    blocks = [text for one, text in languages("pycon") if one == page]
    examples = doctest.DocTestParser().get_doctest("\n".join(blocks), {}, name_of(page), str(page), 0)
    assert examples.examples
    assert doctest.DocTestRunner(verbose=False).run(examples).failed == 0


@pytest.mark.parametrize(("page", "text"), languages("python"), ids=lambda one: str(one)[-40:])
def test_a_python_script_of_a_page_runs(page: Path, text: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(ROOT)
    code = compile(text, name_of(page), "exec")
    if any(name in text for name in ELSEWHERE):
        return
    names: dict[str, Any] = {}
    exec(code, names)
    tests = [one for name, one in names.items() if name.startswith("test_")]
    assert tests
    for test in tests:
        test()


def test_every_other_structured_text_can_be_read() -> None:
    for _, text in languages("toml"):
        assert tomllib.loads(text)
    if importlib.util.find_spec("yaml"):
        import yaml  # type: ignore[import-untyped]  # comes with Dask

        for _, text in languages("yaml"):
            assert list(yaml.safe_load_all(text))


def test_the_site_file_is_one(tmp_path: Path) -> None:
    (text,) = [text for name, text in files_shown(ROOT / "docs" / "analyze.md") if name == "site.toml"]
    path = tmp_path / "site.toml"
    path.write_text(text, encoding="utf-8")
    assert load_site(path).ports == {"http-management-point": 8080}
    assert (
        audit(ROOT / "sample_captures/mp-other-port.pcap", site=path).clients[0].method("client-push").result == "works"
    )


def test_two_sites_merged_are_the_fleet() -> None:
    """The page on fleets shows a merge of the sites that its first command read at once."""
    pytest.importorskip("pyarrow")
    printed = dict(zip([block.command for block in blocks_of(FLEET)], printed_by(FLEET), strict=True))
    (merged,) = [text for command, text in printed.items() if command.startswith("auditor merge")]
    assert "6 of 1" in merged.splitlines()[0]


# how it is linked


@pytest.mark.parametrize("page", PAGES, ids=name_of)
def test_every_place_that_a_page_links_to_exists(page: Path) -> None:
    for target, _, anchor in (one.partition("#") for one in re.findall(r"\]\(([^):\s]+)\)", prose(page))):
        there = (page.parent / target).resolve() if target else page
        assert there.exists(), target
        assert not anchor or anchor in anchors(there), f"{target}#{anchor}"


@pytest.mark.parametrize("page", PAGES, ids=name_of)
def test_every_named_link_of_a_page_is_one_and_is_used(page: Path) -> None:
    text = prose(page)
    named = dict(re.findall(r"^\[([\w-]+)\]: (\S+)$", text, re.MULTILINE))
    assert set(re.findall(r"\]\[([\w-]+)\]", text)) == set(named)
    assert [url for url in named.values() if not re.fullmatch(r"https://[\w.-]+(/[\w./-]*)?", url)] == []


@pytest.mark.parametrize("page", [page for page in PAGES if page.name != "CHANGELOG.md"], ids=name_of)
def test_no_two_headings_of_a_page_have_the_same_address(page: Path) -> None:
    found = heading_anchors(page)
    assert [one for one in found if found.count(one) > 1] == []


def test_every_page_is_linked_from_the_readme_and_begins_with_its_use() -> None:
    linked = {(ROOT / one.partition("#")[0]).resolve() for one in re.findall(r"\]\(([^):\s]+)\)", prose(README))}
    tasks = [
        page for page in PAGES if page.parent == ROOT / "docs" and page.name not in ("index.md", "architecture.md")
    ]
    assert [name_of(page) for page in tasks if page not in linked] == []
    for page in tasks:
        first = text_of(page).split("\n\n")[1]
        assert first.startswith(("After this page, you can ", "Use this page ")), name_of(page)


def test_every_notebook_is_linked_from_the_page_on_python() -> None:
    linked = set(re.findall(r"\]\(\.\./notebooks/([\w-]+)\.ipynb\)", text_of(ROOT / "docs" / "python.md")))
    assert linked == {path.stem for path in (ROOT / "notebooks").glob("*.ipynb")}


def prose(page: Path) -> str:
    """Return a page without its blocks and code."""
    return re.sub(r"`[^`\n]+`", "code", FENCED.sub("", text_of(page)))


def anchors(page: Path) -> set[str]:
    return set(heading_anchors(page))


@cache
def heading_anchors(page: Path) -> list[str]:
    """Return what a link to each heading of a page is called, as GitHub and GitLab do it."""
    headings = re.findall(r"^#+ (.+)$", FENCED.sub("", text_of(page)), re.MULTILINE)
    return [re.sub(r"[^\w -]", "", heading.lower()).replace(" ", "-") for heading in headings]
