"""The limits that SECURITY.md promises are those of the program."""

from __future__ import annotations

import re

import pytest
from places import ROOT

from auditor.fleet.workers import pool
from auditor.report import load
from auditor.sources.configmgr import client_push_export, push_requests, records
from auditor.sources.dissection import selection, tshark
from auditor.sources.files import archive, folder
from auditor.sources.flows import flow_limit
from auditor.sources.flows.from_logs import firewall_flows
from auditor.sources.logs import evtx, evtx_child, firewall_log

PAGE = ROOT / "SECURITY.md"
MIB = 1024 * 1024
LIMITS = {
    "Flows of a capture": f"{flow_limit.MOST_FLOWS:,}",
    "Flows of a capture that the ruleset needs": f"{flow_limit.MOST_IN_ALL:,}",
    "Attempts in a firewall log": f"{firewall_flows.MOST_FLOWS:,}",
    "Lines of a firewall log, read at once": f"{firewall_log.MOST_LINES:,}",
    "Processor time for a chunk of an .evtx file": f"{evtx.CPU_SECONDS} s",
    "Memory for the parser of .evtx files": f"{evtx_child.MEMORY // MIB} MiB",
    "Chunks that stop the parser of .evtx files": f"{evtx.MOST_FAILED_CHUNKS}",
    "Packets for tshark": f"{selection.MOST_IN_ALL:,}",
    "Bytes for tshark": f"{selection.MOST_BYTES_IN_ALL // MIB} MiB",
    "Time for tshark": f"{tshark.SECONDS:.0f} s",
    "Characters of a record in a ConfigMgr log": f"{records.MOST_TEXT:,}",
    "Push requests in a ccm.log": f"{push_requests.MOST_REQUESTS:,}",
    "Rows of a CSV export of push requests": f"{client_push_export.MOST_ROWS:,}",
    "Files in a folder or an archive": f"{folder.MOST_ENTRIES:,}",
    "Unpacked bytes of an archive, for each packed byte": f"{archive.MOST_RATIO}",
    "Size of a saved report": f"{load.MOST_BYTES // 1024**3} GiB",
    "Time for a file in `auditor batch`": (
        f"{pool.LIMIT_S:.0f} s, and 1 s for each {pool.SLOWEST_BYTES_PER_S:,} bytes"
    ),
}
ROW = re.compile(r"^\| (?!Limit|---)(.+?) \| (.+?) \| .+ \|$", re.MULTILINE)


def test_every_limit_of_the_page_is_checked():
    assert dict(ROW.findall(PAGE.read_text(encoding="utf-8"))).keys() == LIMITS.keys()


@pytest.mark.parametrize("limit", LIMITS)
def test_a_limit_of_the_page_is_that_of_the_program(limit: str):
    assert dict(ROW.findall(PAGE.read_text(encoding="utf-8")))[limit] == LIMITS[limit]
