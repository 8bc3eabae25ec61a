"""Real captures and client push: no result that the frames of a host pair do not bear out (corpus_pushes.toml)."""

from __future__ import annotations

import re
import tomllib
from collections.abc import Iterator
from functools import cache
from pathlib import Path

import pytest
from realcaptures import FOLDER, captures

import auditor
from auditor import Report
from auditor.errors import SourceError
from auditor.report.model import MethodResult

PAIRS = tomllib.loads(Path(__file__).with_name("corpus_pushes.toml").read_text(encoding="utf-8"))["pair"]
TRUTHS = {"push-like", "logon", "file-sharing", "scan", "attack", "other"}
STATES = {"open", "silent", "refused", "prohibited", "one-way"}
DEAD = {"silent", "refused", "prohibited"}
CAN_FAIL = {"push-like", "other"}
REQUIREMENTS = {  # key of the table: requirement
    "echo": "client-push/icmp-echo",
    "smb": "client-push/smb",
    "rpc_endpoint_mapper": "client-push/rpc-endpoint-mapper",
    "rpc_dynamic": "client-push/rpc-dynamic",
}


def client_pushes(report: Report) -> Iterator[tuple[str, str, MethodResult]]:
    """Yield site server, client and result of every entry of client push in a report."""
    for client in report.clients:
        for method in client.methods:
            if method.id == "client-push" and method.site_server:
                yield method.site_server, client.address, method


@cache
def entries(name: str) -> tuple[tuple[str, str, MethodResult], ...]:
    """Audit a capture once by its headers; a file without a packet that can be read has no entries."""
    try:
        return tuple(client_pushes(auditor.audit(FOLDER / name, dissect=False)))
    except SourceError:
        return ()


def in_table(name: str, site_server: str, client: str) -> dict[str, str] | None:
    """Return what the frames of a pair show, of this responder or of all responders of the originator."""
    of_originator = {pair["to"]: pair for pair in PAIRS if (pair["capture"], pair["from"]) == (name, site_server)}
    return of_originator.get(client) or of_originator.get("*")


def dead(pair: dict[str, str]) -> set[str]:
    """Return the requirements that the frames of a pair show as not met."""
    return {requirement for key, requirement in REQUIREMENTS.items() if pair.get(key) in DEAD}


# the table itself


def test_the_table_is_sorted_and_names_every_pair_once():
    keys = [(pair["capture"], pair["from"], pair["to"]) for pair in PAIRS]
    assert keys == sorted(set(keys))


def test_the_table_uses_only_its_own_words():
    assert {pair["truth"] for pair in PAIRS} == TRUTHS
    assert {pair[key] for pair in PAIRS for key in REQUIREMENTS if key in pair} <= STATES
    assert {key for pair in PAIRS for key in pair} == {"capture", "from", "to", "truth", "note", *REQUIREMENTS}


@pytest.mark.parametrize("pair", PAIRS, ids=lambda pair: f"{pair['capture']}-{pair['from']}-{pair['to']}")
def test_every_pair_names_frames(pair):
    assert re.search(r"\(\d+(-\d+)?(, \d+(-\d+)?)*\)", pair["note"])


@pytest.mark.usefixtures("corpus")
def test_every_capture_of_the_table_exists():
    assert {pair["capture"] for pair in PAIRS} <= set(captures())


# what is said of each capture


@pytest.mark.usefixtures("corpus")
@pytest.mark.parametrize("name", captures())
def test_every_entry_of_client_push_is_in_the_table(name):
    assert [entry[:2] for entry in entries(name) if in_table(name, *entry[:2]) is None] == []


@pytest.mark.usefixtures("corpus")
@pytest.mark.parametrize("name", sorted({pair["capture"] for pair in PAIRS if pair["truth"] == "push-like"}))
def test_every_pair_that_looks_like_a_push_is_found(name):
    pushes = {(pair["from"], pair["to"]) for pair in PAIRS if (pair["capture"], pair["truth"]) == (name, "push-like")}
    report = auditor.audit(FOLDER / name, dissect=False)
    assert pushes <= {(push.from_address, push.to_address) for push in report.pushes}


@pytest.mark.usefixtures("corpus")
@pytest.mark.parametrize("name", captures())
def test_client_push_fails_only_where_the_frames_show_it(name):
    wrong = []
    for site_server, client, method in entries(name):
        pair = in_table(name, site_server, client)
        if method.result == "fails" and not (pair and pair["truth"] in CAN_FAIL and dead(pair)):
            wrong.append((site_server, client, pair and pair["truth"]))
    assert wrong == []


@pytest.mark.usefixtures("corpus")
@pytest.mark.parametrize("name", captures())
def test_client_push_fails_for_a_requirement_that_the_frames_show_as_not_met(name):
    wrong = []
    for site_server, client, method in entries(name):
        blamed = {reason.requirement for reason in method.reasons if reason.kind == "network"}
        pair = in_table(name, site_server, client) or {}
        if method.result == "fails" and (unfounded := blamed & set(REQUIREMENTS.values()) - dead(pair)):
            wrong.append((site_server, client, sorted(unfounded)))
    assert wrong == []


@pytest.mark.usefixtures("corpus")
@pytest.mark.parametrize("name", captures())
def test_client_push_works_in_no_capture(name):
    assert [entry[:2] for entry in entries(name) if entry[2].result == "works"] == []
