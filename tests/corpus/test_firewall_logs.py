"""Real firewall logs: every line is accounted for, as a plain reader does."""

from __future__ import annotations

import os
from collections import Counter
from pathlib import Path

import pytest
from logs import plain

from auditor.errors import SourceError
from auditor.sources.read import read
from auditor.sources.source import Source

FOLDER = Path(os.environ.get("AUDITOR_FIREWALL_LOGS") or "no-logs")
OTHER_FORM = "appctrl__pfirewall.log"
LOGS = [path for path in sorted(FOLDER.rglob("*.log")) if path.name != OTHER_FORM]

pytestmark = pytest.mark.skipif(not LOGS, reason="AUDITOR_FIREWALL_LOGS does not name a folder of real logs")


def every(path: Path) -> object:
    return pytest.param(path, id=path.stem)


def classes(source: Source) -> Counter[tuple[str, str, str]]:
    return Counter(dict(source.details.facts.counts))


@pytest.mark.parametrize("path", [every(path) for path in LOGS])
def test_the_sums_are_those_of_a_plain_reader(path):
    source, expected = read(path), plain(path.read_bytes())
    facts = source.details.facts
    assert (facts.lines, source.records, facts.comments, facts.blanks, source.skipped) == expected[:5]
    assert source.records + facts.comments + facts.blanks + source.skipped == facts.lines
    assert classes(source) == expected.classes


@pytest.mark.parametrize("path", [every(path) for path in LOGS])
def test_every_row_is_in_one_flow_or_told_of(path):
    source = read(path)
    assert int(source.flows["rows"].sum()) + source.tally.frames.total() == source.records
    assert source.flows["first_line"].is_monotonic_increasing
    assert source.flows["first_line"].is_unique


@pytest.mark.parametrize("path", [every(path) for path in LOGS])
def test_the_lines_that_are_named_hold_what_the_flow_says(path):
    source = read(path)
    lines = path.read_bytes().split(b"\n")
    for number, flow in enumerate(source.flows.itertuples()):
        for event in source.details.events(number):
            words = lines[event.frame - 1].decode("latin-1").split()
            assert words[2] == flow.action
            assert {words[4], words[5]} == {flow.src_ip, flow.dst_ip}


def test_lines_are_as_wc_counts_them():
    for path in LOGS:
        content = path.read_bytes()
        unfinished = not content.endswith(b"\n")
        assert read(path).details.facts.lines == content.count(b"\n") + unfinished


def test_a_log_of_another_form_is_refused():
    with pytest.raises(SourceError, match="rows of a firewall log, but of 10 columns") as caught:
        read(FOLDER / OTHER_FORM)
    assert "\n" not in str(caught.value)


OWN_ADDRESS = {
    "CYBER-DEFENSE-OPERATIONS__pfirewall.log": "192.168.17.129",
    "autogen__pfirewall.log": "192.168.31.93",
    "mdt_hackathon__pfirewall-lpi42-feb20.log": "192.168.1.42",
    "mdt_hackathon__pfirewall-lpi75-feb20.log": "192.168.1.75",
    "excerpts/crowdsec_hub_doc_pid_445_2022.log": "192.168.9.212",
    "excerpts/win11_pid_outbound_drop_2023.log": "192.168.10.106",
}


@pytest.mark.parametrize(("name", "address"), OWN_ADDRESS.items())
def test_whose_log_it_is(name, address):
    assert read(FOLDER / name).details.facts.local[0].address == address


def test_three_syns_of_one_attempt_are_one_flow():
    table = read(FOLDER / "excerpts/xp_networkuptime_2005.log").flows
    tried = table[table["dst_port"] == 3389]
    assert tried[["src_port", "rows", "first_line"]].values.tolist() == [[1172, 3, 5], [1173, 3, 9]]
