"""Real captures and what was said in them: handed-out ports, shares and logons are those of tshark's own fields."""

from __future__ import annotations

import re
import subprocess
from collections import Counter
from collections.abc import Iterator
from functools import cache
from pathlib import Path

import pytest
from dissected_flows import TOO_LONG, flows
from realcaptures import FOLDER, rows

import auditor
from auditor.ruleset.known_problems import com_classes
from auditor.sources.dissection import selection
from auditor.sources.dissection.facts import Outcome, ProtocolFacts, extract_protocol_facts
from auditor.sources.dissection.program import find_tshark
from auditor.sources.dissection.tshark import dissect
from auditor.sources.read import known_tunnels

pytestmark = pytest.mark.usefixtures("corpus", "tshark")


# Interfaces that Wireshark names and auditor does not: no push calls them.
NAMES = {"e3514235-4b06-11d1-ab04-00c04fc2dcd2": "drsuapi", "12345678-1234-abcd-ef00-0123456789ab": "spoolss"}

# Where both differ, and why that is right so. A difference that is gone must leave this table.
PORTS_DIFFER: dict[str, str] = {}
BINDINGS_DIFFER: dict[str, str] = {}
SHARES_DIFFER: dict[str, str] = {}
LOGONS_DIFFER: dict[str, str] = {}


def named_in(table: str) -> list[str]:
    return sorted({row["path"] for row in rows(f"oracle/{table}.tsv")} - set(TOO_LONG))


@cache
def said(name: str) -> ProtocolFacts:
    """Return what all TCP flows of a capture say."""
    found = dissect(FOLDER / name, flows(name), known_tunnels(), Path(str(find_tshark())))
    assert found.obstacle == ""
    return extract_protocol_facts(found.packets)


def compare(mine: object, theirs: object, name: str, differ: dict[str, str]) -> None:
    if name in differ:
        assert mine != theirs, "no longer different: take it out of the table"
    else:
        assert mine == theirs


# the beginning and the end of long flows

LONG = (
    "smb/suricata-verify__smb2-peter.pcap",
    "large/Pcaps__remcom.pcap",
    "dcerpc/Security-Datasets__empire_shell_dcerpc_smb_service_dll_hijack_2020-09-21232839.cap",
)
SAME = (
    "smb2.cmd",
    "smb2.nt_status",
    "smb2.msg_id",
    "smb.cmd",
    "smb.nt_status",
    "dcerpc.pkt_type",
    "tls.handshake.type",
)


@pytest.mark.parametrize("last", [20, 33])
@pytest.mark.parametrize("name", LONG)
def test_what_is_told_of_a_part_of_a_flow_is_what_is_told_of_these_packets_in_all_of_it(name, last, monkeypatch):
    path, tshark = FOLDER / name, Path(str(find_tshark()))
    whole = {one.frame: one.fields for one in dissect(path, flows(name), known_tunnels(), tshark).packets}
    for limit, number in (("PACKETS", 20), ("AFTER", 10), ("LAST", last)):
        monkeypatch.setattr(selection, f"MOST_{limit}", number)
    selected = set(selection.select(path, flows(name), known_tunnels()).frames.tolist())
    told = {one.frame: one.fields for one in dissect(path, flows(name), known_tunnels(), tshark).packets}
    assert told.keys() - {max(selected)} == (whole.keys() & selected) - {max(selected)}
    assert [frame for frame, fields in told.items() for key in SAME if fields.get(key) != whole[frame].get(key)] == []
    assert len(told) < len(whole)


def responses(name: str, kind: str) -> Iterator[dict[str, str]]:
    return (row for row in rows(f"oracle/{name}.{kind}.tsv") if row.get("kind", "response") == "response")


# ports


@pytest.mark.parametrize("name", named_in("EPM"))
def test_the_endpoint_mapper_s_ports_and_interfaces(name):
    mine = {
        (one.frame, one.server, one.port, NAMES.get(one.interface, one.interface))
        for one in said(name).assigned_ports
        if one.by == "endpoint mapper"
    }
    theirs = {
        (int(row["frame"]), row["src"], int(port), row["interfaces"])
        for row in responses(name, "epm")
        if row["epm_opnum"] == "3"
        for port in filter(None, row["tcp_ports"].split(","))
    }
    compare(mine, theirs, name, PORTS_DIFFER)


@pytest.mark.parametrize("name", named_in("EPM"))
def test_what_the_endpoint_mapper_does_not_know(name):
    mine = Counter(one.code for one in said(name).steps if one.layer == "endpoint-mapper")
    theirs = Counter(row["rc"] for row in responses(name, "epm") if row["epm_opnum"] == "3")
    assert mine == theirs


@pytest.mark.parametrize("name", named_in("DCOM_BINDINGS"))
def test_dcom_s_ports(name):
    mine = {(one.frame, one.server, one.port) for one in said(name).assigned_ports if one.by == "DCOM activation"}
    theirs = {
        (int(row["frame"]), row["src"], int(port))
        for row in responses(name, "dcombind")
        for port in re.findall(r"\[(\d+)\]", row["string_bindings"])
    }
    compare(mine, theirs, name, BINDINGS_DIFFER)


# SMB


@pytest.mark.parametrize("name", named_in("SMB_TREES"))
def test_shares_and_how_connecting_to_them_ended(name):
    mine = {
        (one.frame, one.side.initiator, one.side.responder, one.step.removeprefix("connect to "), one.code)
        for one in said(name).steps
        if one.step.startswith("connect to ")
    }
    theirs = {
        (int(row["resp_frame"]), row["client"], row["server"], share(row["tree"]), row["nt_status"])
        for row in rows(f"oracle/{name}.tree.tsv")
        if row["resp_frame"] and row["nt_status"]
    }
    compare(mine, theirs, name, SHARES_DIFFER)


def share(tree: str) -> str:
    return tree.rpartition("\\")[2].upper() or "a share"


HALF_WAY = "0xc0000016"  # the logon goes on
LOGON = {("smb2", "1"), ("smb1", "0x73")}


@pytest.mark.parametrize("name", named_in("SMB_NT_STATUS"))
def test_logons_and_how_they_ended(name):
    mine = Counter(one.code for one in said(name).steps if one.step == "log on" and one.layer == "smb")
    theirs: Counter[str] = Counter()
    for row in rows("oracle/SMB_NT_STATUS.tsv"):
        if row["path"] == name and (row["dialect"], row["command"]) in LOGON and row["nt_status"] not in ("", HALF_WAY):
            theirs[row["nt_status"]] += int(row["count"])
    compare(mine, theirs, name, LOGONS_DIFFER)


# results of calls, read by tshark by itself

FIRST_FAILURE = 0x80000000
TALKING = sorted({*named_in("DCOM_BINDINGS"), *named_in("EPM"), *named_in("SMB_NT_STATUS")})


def fields_of(name: str, selection: str, *names: str) -> Iterator[tuple[int, list[list[str]]]]:
    """Yield frame and values of these fields, as tshark prints them of the packets of a display filter."""
    options = [word for one in ("frame.number", *names) for word in ("-e", one)]
    command = [str(find_tshark()), "-n", "-r", str(FOLDER / name), "-Y", selection, "-T", "fields", *options]
    for line in subprocess.run(command, capture_output=True, text=True, check=False).stdout.splitlines():
        frame, *values = line.split("\t")
        yield int(frame), [value.split(",") if value else [] for value in values]


@pytest.mark.parametrize("name", TALKING)
def test_no_step_whose_hresult_fails_is_said_to_have_gone_well(name):
    results = {
        frame: [int(value, 0) for values in found for value in values]
        for frame, found in fields_of(
            name, "dcom.hresult && dcerpc.pkt_type == 2", "dcom.hresult", "isystemactivator.properties.retval"
        )
    }
    good = {
        step.frame for step in said(name).steps if step.succeeded and not step.step.startswith(("open", "request "))
    }
    failed = {frame for frame, values in results.items() if any(value >= FIRST_FAILURE for value in values)}
    assert good & failed == set()
    activations = {step.frame for step in said(name).steps if step.succeeded and step.step.startswith("activate ")}
    assert activations <= results.keys()
    assert (
        activations == {step.frame for step in said(name).steps if step.step.startswith("activate ")} & results.keys()
    )


def test_the_captures_hold_calls_that_fail_and_calls_that_do_not():
    outcomes = Counter(step.outcome for name in TALKING for step in said(name).steps if step.layer in ("dcom", "rpc"))
    assert outcomes[Outcome.SUCCEEDED] > 100
    assert outcomes[Outcome.ANSWERED] > 100


@pytest.mark.parametrize("name", named_in("DCOM_BINDINGS"))
def test_the_class_that_a_port_was_assigned_for(name):
    asked = dict(fields_of(name, "isystemactivator", "isystemactivator.properties.instninfo.clsid"))
    theirs = {}
    for frame, ((request, *_), opnum) in fields_of(
        name, "isystemactivator && dcerpc.pkt_type == 2", "dcerpc.request_in", "isystemactivator.opnum"
    ):
        clsids = asked.get(int(request), [[]])[0]
        theirs[frame] = com_classes()[clsids[0]] if clsids and opnum else ""
    mine = {one.frame: one.interface for one in said(name).assigned_ports if one.by == "DCOM activation"}
    assert {frame: f"DCOM ({theirs[frame]})" for frame in mine if frame in theirs} == {
        frame: interface for frame, interface in mine.items() if frame in theirs
    }


@pytest.mark.parametrize("name", TALKING)
def test_accounts_are_those_that_logged_on(name):
    ntlm = fields_of(name, "ntlmssp.auth.username", "ntlmssp.auth.domain", "ntlmssp.auth.username")
    realms = fields_of(name, "kerberos.realm", "kerberos.realm")
    shown = {"\\".join(value for (value, *_) in found if value != "NULL") for _, found in ntlm}
    mine = {step.account for step in said(name).steps} - {"", "anonymous"}
    known_realms = {realm for _, found in realms for realm in found[0]}
    assert {one for one in mine if one.partition(" (Kerberos")[0] not in known_realms} <= shown


@pytest.mark.parametrize("name", TALKING)
def test_kerberos_errors_inside_logons_are_problems_of_these(name):
    errors = fields_of(name, "(smb2 || smb) && kerberos.error_code", "kerberos.error_code")
    theirs = {(frame, code) for frame, ((code, *_),) in errors}
    steps = [step for step in said(name).steps if step.layer == "kerberos" and step.step == "log on"]
    assert {(step.frame, step.code) for step in steps} == theirs


# Windows services over RPC whose port the firewall dropped: Windows goes through the pipe on SMB instead

FALLS_BACK = {
    "blocked/Security-Datasets__covenant_sharpsc_create_dcerpc_smb_svcctl_2020-08-06022635.cap": 50115,
    "blocked/Security-Datasets__covenant_sharpsc_start_dcerpc_smb_svcctl_2020-08-06030120.cap": 50115,
    "blocked/Security-Datasets__covenant_sc_query_dcerpc_smb_svcctl_2020-08-05034820.cap": 49683,
}


def servers(name: str) -> tuple[str, str]:
    """Return who called the service controller, and on which host."""
    (pair,) = {(row["dst"], row["src"]) for row in responses(name, "epm") if row["interfaces"] == "svcctl"}
    return pair


def pipe_frames(name: str) -> set[int]:
    """Return the frames in which a named pipe accepted the service controller's interface."""
    return {int(row["frame"]) for row in rows(f"oracle/{name}.rpcbind.tsv") if row["transport"] == "np"}


@pytest.mark.parametrize(("name", "port"), FALLS_BACK.items())
def test_a_blocked_service_controller_is_blocked_and_ends_nothing(name, port):
    caller, callee = servers(name)
    report = auditor.audit(FOLDER / name, roles={"site-server": caller, "client": callee})
    (client,) = report.clients
    push = client.method("client-push")
    (dynamic,) = [one for one in push.requirements if one.row == "rpc-dynamic"]
    assert (dynamic.verdict, dynamic.ports) == ("blocked", (port,))
    assert "for svcctl, see frame" in dynamic.explanation
    assert (
        "This does not fail the push: the port serves only the Service Control Manager (svcctl)." in dynamic.explanation
    )
    assert [one.requirement for one in push.reasons if one.requirement == dynamic.id] == []
    assert push.result != "fails"


@pytest.mark.parametrize("name", FALLS_BACK)
def test_the_frame_of_the_pipe_is_told(name):
    caller, callee = servers(name)
    report = auditor.audit(FOLDER / name, roles={"site-server": caller, "client": callee})
    text = report.clients[0].method("client-push").requirements
    (frame,) = [
        found[1] for one in text if (found := re.search(r"named pipe over SMB \(frame (\d+)\)", one.explanation))
    ]
    assert any(0 < bound - int(frame) <= SOON for bound in pipe_frames(name))


SOON = 12  # frames between a pipe that is opened and the interface that is asked for through it


def test_the_tables_name_captures_that_exist():
    tables: tuple[dict[str, str], ...] = (PORTS_DIFFER, BINDINGS_DIFFER, SHARES_DIFFER, LOGONS_DIFFER)
    assert [name for table in tables for name in (*table, *TOO_LONG) if not (FOLDER / name).is_file()] == []
