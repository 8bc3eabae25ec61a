"""Summaries that somebody forged or damaged, and patterns made to hang: one clear line, soon."""

from __future__ import annotations

import re

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from auditor.fleet.naming import load_names
from auditor.fleet.wildcards import matcher


def test_a_pattern_of_many_stars_takes_no_time():
    many = "*a" * 12 + "*b"

    assert load_names("{host}" + many).of("a" * 200) is None
    assert load_names(many + "{host}.log").of("a" * 200) is None
    assert not matcher(many).fullmatch("a" * 200)


@pytest.mark.parametrize(
    ("pattern", "path", "host"),
    [
        ("*-{host}.log", "a-b-c.log", "C"),
        ("*-*-{host}.log", "a-b-c-d.log", "D"),
        ("{host}-*-*.log", "a-b-c-d.log", "A"),
        ("*a*{host}_*_*x.log", "banana_b_c_x.log", "B"),
        ("[*]{host}*.log", "*pc1.log", "P"),
    ],
)
def test_a_star_before_a_host_takes_as_much_as_it_can_and_the_host_as_little(pattern, path, host):
    assert load_names(pattern).of(path).host == host


@given(st.text("ab*?", max_size=8), st.text("ab", max_size=10))
@settings(max_examples=300, deadline=None)
def test_a_pattern_fits_what_it_says(pattern, name):
    plain = "".join({"*": ".*", "?": "."}.get(letter, letter) for letter in pattern)

    assert bool(matcher(pattern).fullmatch(name)) == bool(re.fullmatch(plain, name))
