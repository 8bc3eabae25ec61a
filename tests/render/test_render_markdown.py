"""Markdown for a ticket, read back by a parser that others wrote (markdown-it, with GitHub's tables and links)."""

from __future__ import annotations

import re
from collections.abc import Iterator

import pytest
from hypothesis import given
from hypothesis import strategies as st
from markdown_it import MarkdownIt
from markdown_it.token import Token
from reports import fleet, of_scene, sentences
from scenes import SCENES, each

from auditor.render import wording
from auditor.render.answer import Answers, limitations
from auditor.render.clean import clean
from auditor.render.markdown import code, prose, render_markdown

PARSER = MarkdownIt("gfm-like", {"html": True})
HARMLESS = {"text", "code_inline", "strong_open", "strong_close", "softbreak", "text_special"}
NOTIFYING = re.compile(r"(^|\W)[@#!$]\w|://|www\.|\w@\w|:\w+:", re.IGNORECASE)


def tokens(text: str) -> Iterator[Token]:
    for token in PARSER.parse(text):
        yield token
        yield from token.children or ()


def shown(text: str) -> str:
    """Return what a reader sees."""
    return "".join(token.content for token in tokens(text) if token.type in ("text", "code_inline", "text_special"))


def harm(text: str) -> list[str]:
    """Return all that is neither text nor code, and text that services turn into links or notices."""
    inline = [child for token in PARSER.parse(text) for child in token.children or ()]
    found = [f"{one.type}: {one.content}" for one in inline if one.type not in HARMLESS]
    return found + [one.content for one in inline if one.type == "text" and NOTIFYING.search(one.content)]


def cells(text: str) -> list[list[str]]:
    """Return the rows of all tables."""
    rows: list[list[str]] = []
    for token in PARSER.parse(text):
        if token.type == "tr_open":
            rows.append([])
        elif token.type == "inline" and token.level == 4 and rows:
            rows[-1].append("".join(child.content for child in token.children or ()))
    return rows


def test_the_answer_comes_first():
    assert render_markdown(of_scene("smb-dropped")).splitlines()[:3] == [
        "# FAILS: client push to `10.20.2.20` (`client01.contoso.example`)",
        "",
        "**Cause:** TCP 445 from `10.20.1.5` to `10.20.2.20`: no response to 3 SYNs. `10.20.2.20` sent other packets, "
        "so it is online. Likely blocked; the device is unknown.",
    ]


def test_the_table_of_requirements():
    rows = cells(render_markdown(of_scene("smb-dropped")))
    assert rows[0] == ["", "Requirement", "Port", "Direction", "Verdict", "Evidence"]
    assert ["!", "smb", "TCP 445", "site server -> client", "LIKELY BLOCKED", "frames 8, 9, 10"] in rows


def test_proof_remedy_and_other_ways_are_told():
    text = render_markdown(of_scene("smb-dropped"))
    shown = "ip.addr == 10.20.1.5 && ip.addr == 10.20.2.20 && tcp.port == 52766 && tcp.port == 445"
    assert f"- frames 8, 9, 10; display filter: `{shown}`" in text
    assert "\n1. Find where the packets stop. On the client (`10.20.2.20`), capture as an administrator:" in text
    assert "\n3. If no packet from `10.20.1.5` arrives, a device on the path drops it." in text
    assert "## Other methods (not attempted, so not ruled out)\n\n- software-update-point: " in text


def test_a_filter_can_be_copied_in_one_piece():
    connection = "ip.addr == 10.20.1.5 && ip.addr == 10.20.2.20 && tcp.port == 58294 && tcp.port == 135"
    error = "frame.number in {55}"
    assert f"display filter: `{connection} || {error}`" in render_markdown(of_scene("rpc-135-prohibited"))


@each(SCENES)
def test_nothing_but_text_and_code_is_made_of_a_scene(scene):
    assert harm(render_markdown(of_scene(scene.name))) == []


@each(SCENES)
def test_it_tells_what_the_text_tells(scene):
    report = of_scene(scene.name)
    text = re.sub(r"\s+", "", shown(render_markdown(report)))
    for client in report.clients:
        main = wording.main_method(client, report.asked)
        proofs = [proof.display_filter for cause in Answers(report).of(client, main).causes for proof in cause.evidence]
        answered = sentences(Answers(report).of(client, main))
        for told in (client.address, *answered, *limitations(report), *proofs):
            assert re.sub(r"\s+", "", told) in text


def test_nobody():
    assert render_markdown(of_scene("quiet")).startswith("# No client installation was audited\n")


def test_many_clients_begin_with_a_summary():
    text = render_markdown(fleet(50))
    assert text.startswith("# 50 clients: 50 fails\n")
    assert "and 10 more: the CSV form lists all of them" in text
    assert text.count("# FAILS: client push to ") == 3


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("TCP 445 (SMB) was blocked, likely.", "TCP 445 (SMB) was blocked, likely."),
        ("called client01.contoso.example)", "called `client01.contoso.example`)"),
        ("a|b", "`a`&#124;`b`"),
        ("`x`", "`` `x` ``"),
        ("\\\\server\\share", "`\\\\server\\share`"),
        ("1. first", "`1`. first"),
        ("[a](b)", "`[a](b`)"),
    ],
)
def test_prose(text, expected):
    assert prose(text) == expected


ANY_TEXT = st.text(st.sampled_from("ab1 `|\\<>[]()!*_~#@&$:/.-+=^{}'\"\n\twWhtps"), max_size=30)


@given(ANY_TEXT)
def test_any_prose_is_harmless_and_whole(text):
    line = f"- it says {prose(text)}"
    assert harm(line) == []
    assert [token.type for token in PARSER.parse(line)] == [token.type for token in PARSER.parse("- it says x")]
    assert shown(line).split() == ["it", "says", *clean(text).split()]


@given(ANY_TEXT, ANY_TEXT)
def test_any_text_stays_in_its_cell(first, second):
    table = f"| a | b |\n| --- | --- |\n| x{code(first)} | x {prose(second)} |"
    assert harm(table) == []
    _, row = cells(table)
    assert [one.split() for one in row] == [f"x{clean(first)}".split(), ["x", *clean(second).split()]]
