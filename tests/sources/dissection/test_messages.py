"""What packets tell when they are read one after the other: steps, ports, resets, names and roles.

A packet is its frame number, who sends it to whom, and Wireshark's fields as "name=value" words; a name that comes
again has several values.
"""

from __future__ import annotations

import struct

import pytest

from auditor.ruleset.known_problems import (
    com_classes,
    com_interfaces,
    interfaces,
    lookup_status,
    problems,
    push,
    web_paths,
)
from auditor.sources.dissection.facts import (
    AssignedPort,
    Outcome,
    ProtocolFacts,
    ServiceEndpoint,
    by_side,
    extract_protocol_facts,
)
from auditor.sources.dissection.tshark import DissectedPacket

SMB = "10.0.0.5:50000 > 10.0.0.20:445"
RPC = "10.0.0.5:50001 > 10.0.0.20:135"
WEB = "10.0.0.20:50002 > 10.0.0.80:80"
TLS = "10.0.0.20:50003 > 10.0.0.80:443"
SVCCTL = "367abb81-9844-35f1-ad32-98f038001003"
NOBODY = "00000000-0000-0000-0000-000000000000"
ACTIVATOR = "000001a0-0000-0000-c000-000000000046"
WMI = "8bc3f05e-d86b-11d0-a075-00c04fb68820"
MMC = "49b2791a-b1ae-4c90-9b8e-e860ba07f889"
PLA = "03837521-098b-11d8-9414-505054503030"
WBEM_LOGIN = "f309ad18-d86a-11d0-a075-00c04fb68820"
WBEM = "9556dc99-828c-11cf-a37e-00aa003240c7"
SAMR = "12345778-1234-abcd-ef00-0123456789ac"
LSARPC = "12345778-1234-abcd-ef00-0123456789ab"
SRVSVC = "4b324fc8-1670-01d3-1278-5a47bf6ee188"


def packet(frame: int, who: str, words: str = "", **more: str) -> DissectedPacket:
    """Return a packet; "<" before `who` turns it round. more: fields whose values hold blanks ("_" for ".")."""
    ends = [end.rpartition(":") for end in who.lstrip("<").split(" > ")]
    (src, _, src_port), (dst, _, dst_port) = reversed(ends) if who.startswith("<") else ends
    fields: dict[str, list[str]] = {name.replace("__", "."): [value] for name, value in more.items()}
    for word in words.split():
        name, _, value = word.partition("=")
        fields.setdefault(name, []).append(value)
    return DissectedPacket(frame, src.strip("[]"), int(src_port), dst.strip("[]"), int(dst_port), fields)


def steps(*packets: DissectedPacket) -> list[str]:
    """Return each step in words: frame, step, "?" if it was only answered, and what went wrong, "!" if fatal."""
    found = []
    for one in extract_protocol_facts(packets).steps:
        wrong = "" if one.status is None else f": {one.status.name}{'!' if one.status.fatal else ''}"
        found.append(f"{one.frame} {one.step}{'?' if one.outcome is Outcome.ANSWERED else wrong}")
    return found


# SMB, its second dialect


def smb_asks(frame: int, command: int, message: int, words: str = "", who: str = SMB) -> DissectedPacket:
    return packet(frame, who, f"smb2.cmd={command} smb2.flags.response=0 smb2.msg_id={message} {words}")


def smb_says(frame: int, command: int, message: int, status: str, who: str = SMB) -> DissectedPacket:
    words = f"smb2.cmd={command} smb2.flags.response=1 smb2.msg_id={message} smb2.nt_status={status}"
    return packet(frame, f"<{who}", words)


FINE, HALF_WAY, DENIED = "0x00000000", "0xc0000016", "0xc0000022"
NEGOTIATE, LOG_ON, CONNECT, OPEN, CLOSE, READ, WRITE = 0, 1, 3, 5, 6, 8, 9
ADMIN = r"smb2.tree=\\CLIENT\ADMIN$"


def test_the_steps_of_a_push_over_smb():
    told = steps(
        smb_asks(1, NEGOTIATE, 0),
        smb_says(2, NEGOTIATE, 0, FINE),
        smb_asks(3, LOG_ON, 1),
        smb_says(4, LOG_ON, 1, HALF_WAY),
        smb_asks(5, LOG_ON, 2),
        smb_says(6, LOG_ON, 2, FINE),
        smb_asks(7, CONNECT, 3, ADMIN),
        smb_says(8, CONNECT, 3, FINE),
        smb_asks(9, OPEN, 4, "smb2.filename=svcctl"),
        smb_says(10, OPEN, 4, FINE),
    )
    assert told == ["2 negotiate an SMB version", "6 log on", "8 connect to ADMIN$", "10 open svcctl"]


def test_a_step_is_told_of_the_side_that_asked_and_the_port_that_answered():
    (step,) = extract_protocol_facts([smb_says(2, LOG_ON, 1, FINE)]).steps
    assert step.side == ServiceEndpoint("10.0.0.5", "10.0.0.20", 445)
    assert (step.layer, step.code, step.succeeded) == ("smb", FINE, True)


def test_packets_are_read_in_the_order_of_their_frames():
    told = [smb_says(8, CONNECT, 3, DENIED), smb_asks(7, CONNECT, 3, ADMIN)]
    assert steps(*told) == ["8 connect to ADMIN$: STATUS_ACCESS_DENIED!"]


@pytest.mark.parametrize(
    ("status", "name"),
    [
        ("0xc000006d", "STATUS_LOGON_FAILURE"),
        ("0xc0000072", "STATUS_ACCOUNT_DISABLED"),
        ("0xc0000234", "STATUS_ACCOUNT_LOCKED_OUT"),
        ("0xc000005e", "STATUS_NO_LOGON_SERVERS"),
    ],
)
def test_a_logon_that_fails(status, name):
    assert steps(smb_says(2, LOG_ON, 1, status)) == [f"2 log on: {name}!"]


def test_a_status_that_nobody_knows_is_told_by_its_number_and_ends_nothing():
    assert steps(smb_says(2, LOG_ON, 1, "0xc0001234")) == ["2 log on: 0xc0001234"]


@pytest.mark.parametrize("status", ["0xc0000016", "0x00000103", "0x80000005", "0xc000000f"])
def test_answers_that_are_part_of_every_conversation_are_no_step(status):
    assert steps(smb_says(2, LOG_ON, 1, status)) == []


def test_a_warning_status_with_a_low_number_went_well():
    assert steps(smb_says(2, LOG_ON, 1, "0x40000000")) == ["2 log on"]


@pytest.mark.parametrize(("share", "fatal"), [("ADMIN$", "!"), ("IPC$", "!"), ("Public", "")])
def test_only_the_shares_of_a_push_end_it(share, fatal):
    told = steps(smb_asks(1, CONNECT, 3, rf"smb2.tree=\\CLIENT\{share}"), smb_says(2, CONNECT, 3, "0xc00000cc"))
    assert told == [f"2 connect to {share.upper()}: STATUS_BAD_NETWORK_NAME{fatal}"]


def test_answers_belong_to_the_question_with_their_message_number():
    told = steps(
        smb_asks(1, CONNECT, 3, r"smb2.tree=\\CLIENT\IPC$"),
        smb_asks(2, CONNECT, 4, ADMIN),
        smb_says(3, CONNECT, 4, DENIED),
        smb_says(4, CONNECT, 3, FINE),
    )
    assert told == ["3 connect to ADMIN$: STATUS_ACCESS_DENIED!", "4 connect to IPC$"]


def test_message_numbers_of_one_connection_mean_nothing_on_another():
    other = SMB.replace("50000", "50009")
    told = steps(
        smb_asks(1, CONNECT, 3, ADMIN),
        smb_asks(2, CONNECT, 3, r"smb2.tree=\\CLIENT\IPC$", who=other),
        smb_says(3, CONNECT, 3, FINE),
        smb_says(4, CONNECT, 3, FINE, who=other),
    )
    assert told == ["3 connect to ADMIN$", "4 connect to IPC$"]


def test_several_answers_in_one_packet_have_each_their_status():
    words = "smb2.cmd=3 smb2.cmd=5 smb2.flags.response=1 smb2.flags.response=1 smb2.msg_id=3 smb2.msg_id=4"
    answers = packet(3, f"<{SMB}", f"{words} smb2.nt_status={FINE} smb2.nt_status={DENIED}")
    asked = [smb_asks(1, CONNECT, 3, ADMIN), smb_asks(2, OPEN, 4, "smb2.filename=winreg")]
    assert steps(*asked, answers) == ["3 connect to ADMIN$", "3 open winreg: STATUS_ACCESS_DENIED!"]


def test_without_its_question_an_answer_says_nothing_of_the_share():
    assert steps(smb_says(2, CONNECT, 3, FINE), smb_says(3, OPEN, 4, FINE)) == ["2 connect to a share", "3 open a file"]


def test_a_file_that_is_not_there_is_part_of_every_push():
    told = [smb_asks(1, OPEN, 4, r"smb2.filename=ccmsetup\ccmsetup.exe"), smb_says(2, OPEN, 4, "0xc0000034")]
    assert steps(*told) == []


def test_a_pipe_that_is_not_there_is_a_service_that_does_not_run():
    told = [smb_asks(1, OPEN, 4, "smb2.filename=winreg"), smb_says(2, OPEN, 4, "0xc0000034")]
    assert steps(*told) == ["2 open winreg: STATUS_OBJECT_NAME_NOT_FOUND!"]


@pytest.mark.parametrize("command", [2, 6, 8, 11, 16])
def test_other_commands_are_no_steps(command):
    assert steps(smb_says(2, command, 5, DENIED)) == []


@pytest.mark.parametrize("pipe", ["lsarpc", "samr", "srvsvc", "wkssvc", "netlogon", "spoolss"])
@pytest.mark.parametrize("status", [DENIED, "0xc0000034", "0xc00000ac"])
def test_a_pipe_that_no_push_opens_ends_nothing(pipe, status):
    (step,) = extract_protocol_facts(
        [smb_asks(1, OPEN, 4, f"smb2.filename={pipe}"), smb_says(2, OPEN, 4, status)]
    ).steps
    assert (step.succeeded, step.status.fatal) == (False, False)


@pytest.mark.parametrize(
    ("name", "fatal"),
    [
        ("svcctl", "!"),
        (r"ccmsetup\ccmsetup.exe", "!"),
        ("SMSClientInstall.LAB", "!"),
        ("MobileClient.tcf", "!"),
        (r"system32\config\SAM", ""),
        ("desktop.ini", ""),
    ],
)
def test_only_the_files_and_pipes_of_a_push_end_it(name, fatal):
    told = steps(smb_asks(1, OPEN, 4, f"smb2.filename={name} {ADMIN}"), smb_says(2, OPEN, 4, DENIED))
    assert told == [f"2 open {name}: STATUS_ACCESS_DENIED{fatal}"]


def test_a_name_that_only_the_response_shows_is_that_of_the_file():
    answer = smb_says(2, OPEN, 4, FINE)
    answer.fields["smb2.filename"] = ["svcctl"]
    assert steps(smb_asks(1, OPEN, 4, ADMIN), answer) == ["2 open svcctl"]


def test_a_file_whose_name_was_not_seen_is_not_copied():
    words = f"{ADMIN} smb2.create.disposition=5"
    opened = smb_says(2, OPEN, 4, FINE)
    opened.fields["smb2.fid"] = ["aaaa"]
    closes = smb_asks(3, CLOSE, 9, f"{ADMIN} smb2.fid=aaaa")
    assert steps(smb_asks(1, OPEN, 4, words), opened, closes, smb_says(4, CLOSE, 9, FINE)) == ["2 open a file"]


def test_a_file_whose_name_was_not_seen_ends_nothing():
    assert steps(smb_says(2, OPEN, 4, DENIED)) == ["2 open a file: STATUS_ACCESS_DENIED"]


def copies(*more: DissectedPacket, close: int = 20, disposition: int = 5) -> list[str]:
    """Return the steps of a copy; more: packets between opening and closing the file."""
    words = rf"{ADMIN} smb2.filename=ccmsetup\ccmsetup.exe smb2.create.disposition={disposition}"
    opened = smb_says(2, OPEN, 4, FINE)
    opened.fields["smb2.fid"] = ["aaaa"]
    closes = smb_asks(close, CLOSE, 9, f"{ADMIN} smb2.fid=aaaa")
    return steps(smb_asks(1, OPEN, 4, words), opened, *more, closes, smb_says(close + 1, CLOSE, 9, FINE))


OPENED = r"2 open ccmsetup\ccmsetup.exe"


def test_a_file_that_was_written_and_closed_is_copied():
    assert copies() == [OPENED, "21 copy to ADMIN$"]


def test_a_file_that_was_only_opened_is_not_copied():
    assert copies(disposition=1) == [OPENED]


def test_a_disk_that_is_full_ends_the_copy():
    full = smb_says(5, WRITE, 6, "0xc000007f")
    full.fields["smb2.tree"] = [r"\\CLIENT\ADMIN$"]
    assert copies(full) == [OPENED, "5 copy to ADMIN$: STATUS_DISK_FULL!"]


# SMB, its first dialect


def smb1(frame: int, who: str, command: str, words: str = "", **more: str) -> DissectedPacket:
    response = int(who.startswith("<"))
    return packet(frame, who, f"smb.cmd={command} smb.flags.response={response} smb.mid=64 {words}", **more)


def test_the_first_dialect_of_smb_has_the_same_steps():
    told = steps(
        smb1(1, f"<{SMB}", "0x72", f"smb.nt_status={FINE}"),
        smb1(2, f"<{SMB}", "0x73", "smb.nt_status=0xc000006d"),
        smb1(3, SMB, "0x75", r"smb.path=\\CLIENT\ADMIN$"),
        smb1(4, f"<{SMB}", "0x75", f"smb.nt_status={DENIED}"),
        smb1(5, SMB, "0xa2", r"smb.file=\svcctl"),
        smb1(6, f"<{SMB}", "0xa2", f"smb.nt_status={FINE}"),
    )
    assert told == [
        "1 negotiate an SMB version",
        "2 log on: STATUS_LOGON_FAILURE!",
        "4 connect to ADMIN$: STATUS_ACCESS_DENIED!",
        r"6 open \svcctl",
    ]


def test_a_message_number_is_used_again_for_another_command():
    told = steps(
        smb1(1, SMB, "0x75", r"smb.path=\\CLIENT\IPC$"),
        smb1(2, SMB, "0xa2", "smb.file=lsarpc"),
        smb1(3, f"<{SMB}", "0x75", f"smb.nt_status={FINE}"),
    )
    assert told == ["3 connect to IPC$"]


def test_other_commands_of_the_first_dialect_are_no_steps():
    assert steps(smb1(1, f"<{SMB}", "0x25", f"smb.nt_status={DENIED}")) == []


# RPC


def maps(frame: int, words: str, code: str = FINE, server: str = RPC) -> DissectedPacket:
    """Return an answer of the endpoint mapper to "which port has this interface?"."""
    return packet(frame, f"<{server}", f"dcerpc.pkt_type=2 epm.opnum=3 epm.rc={code} {words}")


def test_the_endpoint_mapper_hands_out_a_port():
    said = extract_protocol_facts([maps(5, f"epm.uuid={SVCCTL} epm.proto.tcp_port=49700")])
    assert said.assigned_ports == (AssignedPort("10.0.0.20", 49700, "svcctl", 5, "endpoint mapper", client="10.0.0.5"),)
    assert steps(maps(5, f"epm.uuid={SVCCTL} epm.proto.tcp_port=49700")) == ["5 request the dynamic port of svcctl"]


def test_the_endpoint_mapper_hands_out_several_ports_of_one_interface():
    words = f"epm.uuid={NOBODY} epm.uuid={SVCCTL} epm.proto.tcp_port=49667 epm.proto.tcp_port=49674"
    assert [(one.port, one.interface) for one in extract_protocol_facts([maps(5, words)]).assigned_ports] == [
        (49667, "svcctl"),
        (49674, "svcctl"),
    ]


def test_an_interface_that_is_not_known_is_told_by_its_number():
    uuid = "0a74ef1c-41a4-4e06-83ae-dc74fb1cdd53"
    (handed,) = extract_protocol_facts([maps(5, f"epm.uuid={uuid} epm.proto.tcp_port=49700")]).assigned_ports
    assert handed.interface == uuid


def test_a_question_to_the_endpoint_mapper_hands_out_nothing():
    asked = packet(5, RPC, f"dcerpc.pkt_type=0 epm.opnum=3 epm.uuid={SVCCTL} epm.proto.tcp_port=135")
    assert extract_protocol_facts([asked]) == ProtocolFacts()


def test_a_page_of_the_whole_endpoint_map_hands_out_nothing():
    """Its many ports belong to many interfaces, and nobody asked for one of them."""
    words = f"dcerpc.pkt_type=2 epm.opnum=2 epm.rc={FINE} epm.uuid={SVCCTL} epm.proto.tcp_port=49700"
    said = extract_protocol_facts([packet(5, f"<{RPC}", words)])
    assert (said.assigned_ports, said.steps) == ((), ())


def test_a_port_that_is_zero_is_none():
    assert extract_protocol_facts([maps(5, f"epm.uuid={SVCCTL} epm.proto.tcp_port=0")]).assigned_ports == ()


def test_a_service_that_is_not_registered():
    assert steps(maps(5, "", code="0x16c9a0d6")) == ["5 request a dynamic port: ept_s_not_registered!"]


def activates(clsid: str, frame: int = 4, call: int = 7) -> DissectedPacket:
    """Return a request to create an object of a COM class."""
    words = f"dcerpc.pkt_type=0 dcerpc.opnum=4 dcerpc.cn_call_id={call}"
    return packet(frame, RPC, f"{words} isystemactivator.properties.instninfo.clsid={clsid}")


def activated(*bindings: str, words: str = "dcom.hresult=0x00000000", frame: int = 5, call: int = 7) -> DissectedPacket:
    """Return the response to such a request, with the addresses at which the object is reached."""
    words = f"dcerpc.pkt_type=2 dcerpc.opnum=4 dcerpc.cn_call_id={call} dcerpc.cn_ctx_id=0 {words}"
    told = packet(frame, f"<{RPC}", words)
    if bindings:
        told.fields["dcom.dualstringarray.network_addr"] = list(bindings)
    return told


def test_dcom_hands_out_the_ports_of_its_string_bindings():
    bindings = ["CLIENT", "10.0.0.20", "CLIENT[49913]", r"\\CLIENT[\PIPE\atsvc]", "10.0.0.20[49914]"]
    assert extract_protocol_facts([activates(WMI), activated(*bindings)]).assigned_ports == (
        AssignedPort("10.0.0.20", 49913, "DCOM (WMI)", 5, "DCOM activation", client="10.0.0.5"),
        AssignedPort("10.0.0.20", 49914, "DCOM (WMI)", 5, "DCOM activation", client="10.0.0.5"),
    )


def test_string_bindings_in_a_question_hand_out_nothing():
    told = packet(5, RPC, "dcerpc.pkt_type=0 dcom.dualstringarray.network_addr=CLIENT[49913]")
    assert extract_protocol_facts([told]).assigned_ports == ()


@pytest.mark.parametrize(
    ("code", "name"),
    [
        ("0x00000005", "nca_s_fault_access_denied"),
        ("0x1c010003", "nca_unk_if"),
        ("0x00000721", "RPC_S_SEC_PKG_ERROR"),
    ],
)
def test_a_fault(code, name):
    told = packet(5, f"<{RPC}", f"dcerpc.pkt_type=3 dcerpc.cn_status={code}")
    assert steps(asks_for(ACTIVATOR, RPC), told) == [f"5 call the RPC interface IRemoteSCMActivator: {name}!"]


def test_a_call_that_was_answered():
    assert steps(packet(5, f"<{RPC}", "dcerpc.pkt_type=2")) == ["5 call an RPC interface?"]


def test_an_interface_that_was_refused():
    told = [asks_for(ACTIVATOR, RPC), packet(5, f"<{RPC}", "dcerpc.pkt_type=13")]
    assert steps(*told) == ["5 open the RPC interface IRemoteSCMActivator: bind_nak!"]


@pytest.mark.parametrize("kind", [12, 15])
@pytest.mark.parametrize(("results", "end"), [("0 3", ""), ("2 0 3", ""), ("", "?"), ("2 2", ": provider_rejection!")])
def test_an_interface_is_open_if_any_encoding_was_accepted(kind, results, end):
    words = " ".join(f"dcerpc.cn_ack_result={result}" for result in results.split())
    told = [asks_for(ACTIVATOR, RPC), packet(5, f"<{RPC}", f"dcerpc.pkt_type={kind} {words}")]
    assert steps(*told) == [f"5 open the RPC interface IRemoteSCMActivator{end}"]


def asks_for(interface: str, who: str, words: str = "", *, context: int = 0) -> DissectedPacket:
    return packet(4, who, f"dcerpc.pkt_type=11 dcerpc.cn_bind_to_uuid={interface} dcerpc.cn_ctx_id={context} {words}")


FAULT = "dcerpc.pkt_type=3 dcerpc.cn_status=0x00000005"


@pytest.mark.parametrize("interface", [SAMR, LSARPC, SRVSVC, "0a74ef1c-41a4-4e06-83ae-dc74fb1cdd53"])
@pytest.mark.parametrize("words", [FAULT, "dcerpc.pkt_type=13", "dcerpc.pkt_type=12 dcerpc.cn_ack_result=2"])
def test_an_interface_that_no_push_calls_ends_nothing(interface, words):
    (step,) = extract_protocol_facts([asks_for(interface, RPC), packet(5, f"<{RPC}", words)]).steps
    assert (step.succeeded, step.status.fatal) == (False, False)


def test_a_fault_on_an_interface_that_was_not_seen_ends_nothing():
    assert steps(packet(5, f"<{RPC}", FAULT)) == ["5 call an RPC interface: nca_s_fault_access_denied"]


def test_two_interfaces_on_one_connection_are_told_apart_by_their_contexts():
    told = steps(
        asks_for(WBEM, RPC, context=0),
        asks_for(SAMR, RPC, context=1),
        packet(5, f"<{RPC}", f"{FAULT} dcerpc.cn_ctx_id=1"),
        packet(6, f"<{RPC}", f"{FAULT} dcerpc.cn_ctx_id=0"),
    )
    assert told == [
        "5 call the RPC interface samr: nca_s_fault_access_denied",
        "6 call the RPC interface IWbemServices: nca_s_fault_access_denied!",
    ]


def test_two_pipes_on_one_connection_are_told_apart_by_their_files():
    command, one, other = "smb2.cmd=11", "smb2.fid=aaaa", "smb2.fid=bbbb"
    told = steps(
        asks_for(SVCCTL, SMB, f"{command} {one}"),
        asks_for(SRVSVC, SMB, f"{command} {other}"),
        packet(5, f"<{SMB}", f"{FAULT} {command} {other}"),
        packet(6, f"<{SMB}", f"{FAULT} {command} {one}"),
    )
    assert [line.endswith("!") for line in told] == [False, True]


@pytest.mark.parametrize("named", ["", "smb2.fid=aaaa", "smb2.fid=bbbb"])
def test_the_response_to_a_read_is_of_the_pipe_that_was_read_whatever_tshark_adds_to_it(named):
    """The response itself does not name its file; tshark 4.6 adds the name, earlier versions do not."""
    told = steps(
        asks_for(SVCCTL, SMB, "smb2.cmd=11 smb2.fid=aaaa"),
        asks_for(SRVSVC, SMB, "smb2.cmd=11 smb2.fid=bbbb"),
        smb_asks(5, READ, 7, "smb2.fid=aaaa"),
        smb_asks(6, READ, 8, "smb2.fid=bbbb"),
        packet(7, f"<{SMB}", f"{FAULT} smb2.cmd=8 smb2.flags.response=1 smb2.msg_id=7 {named}"),
        packet(8, f"<{SMB}", f"{FAULT} smb2.cmd=8 smb2.flags.response=1 smb2.msg_id=8 {named}"),
    )
    interfaces = [line.partition(":")[0] for line in told]
    assert interfaces == ["7 call the RPC interface svcctl", "8 call the RPC interface srvsvc"]


@pytest.mark.parametrize("name", ["", "smb2.filename=<share>"])
def test_the_root_of_a_share_has_no_name_whatever_tshark_calls_it(name):
    told = steps(smb_asks(1, OPEN, 4, f"{ADMIN} {name}"), smb_says(2, OPEN, 4, FINE))
    assert told == ["2 open a file"]


@pytest.mark.parametrize(("interface", "fatal"), [(SVCCTL, True), (SRVSVC, False)])
def test_an_answer_that_is_read_from_a_pipe_does_not_name_it(interface, fatal):
    """Wireshark shows the pipe of a question, and of an answer that comes with it, but not of one read later."""
    told = [asks_for(interface, SMB, "smb2.cmd=9 smb2.fid=aaaa"), packet(5, f"<{SMB}", "dcerpc.pkt_type=13 smb2.cmd=8")]
    (step,) = extract_protocol_facts(told).steps
    assert step.step == f"open the RPC interface {interfaces()[interface]}"
    assert step.status.fatal is fatal


@pytest.mark.parametrize(
    ("interface", "number", "step"),
    [
        (SVCCTL, 12, "create the service"),
        (SVCCTL, 19, "start the service"),
        (WBEM, 20, "ask WMI"),
        (ACTIVATOR, 3, "activate a COM class"),
        (ACTIVATOR, 4, "activate a COM class"),
        (SVCCTL, 6, "call the RPC interface svcctl"),
    ],
)
def test_calls_that_are_steps_of_a_push_have_their_own_words(interface, number, step):
    told = [asks_for(interface, RPC), packet(5, f"<{RPC}", f"dcerpc.pkt_type=2 dcerpc.opnum={number}")]
    assert steps(*told) == [f"5 {step}?"]


def test_the_service_controller_says_no():
    command = "smb2.cmd=11 smb2.fid=aaaa"
    answer = packet(5, f"<{SMB}", f"dcerpc.pkt_type=2 dcerpc.opnum=19 svcctl.rc=0x00000422 {command}")
    assert steps(asks_for(SVCCTL, SMB, command), answer) == ["5 start the service: ERROR_SERVICE_DISABLED!"]


def service(number: int, words: str) -> list[str]:
    """Return what the answer to a call of the service controller shows, through its pipe."""
    answer = packet(5, f"<{SMB}", f"dcerpc.pkt_type=2 dcerpc.opnum={number} smb2.cmd=11 {words}")
    return steps(asks_for(SVCCTL, SMB, "smb2.cmd=11"), answer)


@pytest.mark.parametrize("field", ["svcctl.rc", "svcctl.werror"])
@pytest.mark.parametrize(("code", "end"), [("0x00000000", ""), ("0x00000422", ": ERROR_SERVICE_DISABLED!")])
def test_every_version_of_tshark_has_its_own_name_for_the_result_of_a_service(field, code, end):
    assert service(19, f"{field}={code}") == [f"5 start the service{end}"]


@pytest.mark.parametrize(("number", "code"), [(12, "0x00000431"), (19, "0x00000420")])
def test_a_service_that_is_there_already_is_no_failure(number, code):
    (step,) = service(number, f"svcctl.rc={code}")
    assert step.endswith("?")


def test_any_other_result_of_a_push_s_own_call_is_a_failure():
    assert service(19, "svcctl.rc=0x00001234") == ["5 start the service: 0x00001234"]


def test_what_other_calls_of_the_service_controller_return_may_be_part_of_every_conversation():
    assert service(17, "svcctl.rc=0x0000007a") == ["5 call the RPC interface svcctl?"]


def test_a_call_whose_result_is_not_visible_is_only_answered():
    assert service(19, "") == ["5 start the service?"]


def test_the_service_controller_is_recognized_by_its_pipe_where_the_bind_was_not_captured():
    answer = packet(
        5, f"<{SMB}", "dcerpc.pkt_type=2 dcerpc.opnum=19 svcctl.opnum=19 svcctl.werror=0x0000041d smb2.cmd=11"
    )
    assert steps(answer) == ["5 start the service: ERROR_SERVICE_REQUEST_TIMEOUT!"]


# DCOM: the class and the HRESULT of an activation


@pytest.mark.parametrize(
    ("clsid", "name", "serves_push"),
    [(WMI, "WMI", True), (MMC, "MMC", False), (PLA, "PLA", False), (SAMR, SAMR, False)],
)
def test_a_port_is_assigned_for_the_class_that_was_activated(clsid, name, serves_push):
    (port,) = extract_protocol_facts([activates(clsid), activated("CLIENT[49913]")]).assigned_ports
    assert (port.interface, port.serves_push) == (f"DCOM ({name})", serves_push)


def test_a_class_that_was_not_captured_may_be_one_of_a_push():
    (port,) = extract_protocol_facts([activated("CLIENT[49913]")]).assigned_ports
    assert (port.interface, port.serves_push) == ("DCOM", True)


def test_the_interface_in_the_response_shows_the_class_as_well():
    words = f"dcom.hresult=0x00000000 isystemactivator.properties.iid={WBEM_LOGIN}"
    (port,) = extract_protocol_facts([activated("CLIENT[49913]", words=words)]).assigned_ports
    assert port.interface == "DCOM (WMI)"


def test_activations_are_told_apart_by_the_numbers_of_their_calls():
    asked = [activates(WMI, 1, call=1), activates(MMC, 2, call=2)]
    told = [activated("CLIENT[49913]", frame=3, call=2), activated("CLIENT[49914]", frame=4, call=1)]
    ports = [(one.port, one.interface) for one in extract_protocol_facts([*asked, *told]).assigned_ports]
    assert ports == [(49913, "DCOM (MMC)"), (49914, "DCOM (WMI)")]


def test_the_address_of_an_object_that_is_asked_for_later_is_of_the_object_s_class():
    first = activated("CLIENT[49913]", words="dcom.hresult=0x00000000 dcom.oxid=0x0000000000000abc")
    asks = packet(6, RPC, "dcerpc.pkt_type=0 dcerpc.cn_call_id=8 oxid.opnum=4 oxid.oxid=0x0000000000000abc")
    ports = extract_protocol_facts(
        [activates(MMC), first, asks, activated("CLIENT[49999]", frame=7, call=8)]
    ).assigned_ports
    assert [(one.port, one.interface) for one in ports] == [(49913, "DCOM (MMC)"), (49999, "DCOM (MMC)")]


def activation(words: str, clsid: str = WMI) -> list[str]:
    told = [asks_for(ACTIVATOR, RPC)._replace(frame=1), activates(clsid), activated(words=words)]
    return steps(*told)


@pytest.mark.parametrize(
    ("words", "end"),
    [
        ("dcom.hresult=0x00000000", ""),
        ("dcom.hresult=0x00000000 isystemactivator.properties.retval=0", ""),
        ("dcom.hresult=0x800706ba", ": RPC_S_SERVER_UNAVAILABLE!"),
        ("dcom.hresult=0x80070005", ": E_ACCESSDENIED!"),
        ("dcom.hresult=0x00000005", ": E_ACCESSDENIED!"),
        ("dcom.hresult=0x8badf00d", ": 0x8badf00d!"),
        ("dcom.hresult=0x00000000 isystemactivator.properties.retval=2147942405", ": E_ACCESSDENIED!"),
        ("dcom.hresult=0x80040154 dcom.hresult=0x00000000", ": REGDB_E_CLASSNOTREG!"),
        ("isystemactivator.properties.retval=2147942405", ": E_ACCESSDENIED!"),
        ("isystemactivator.properties.retval=0", "?"),
        ("dcerpc.auth_level=6", "?"),
        ("", "?"),
    ],
)
def test_an_activation_went_well_only_if_its_hresult_says_so(words, end):
    assert activation(words) == [f"5 activate WMI{end}"]


@pytest.mark.parametrize("words", ["dcom.hresult=0x80070005", "dcerpc.pkt_type=3 dcerpc.cn_status=0x00000005"])
def test_the_activation_of_a_class_that_no_push_activates_ends_nothing(words):
    told = [asks_for(ACTIVATOR, RPC)._replace(frame=1), activates(MMC), activated(words=words)]
    assert [step.status.fatal for step in extract_protocol_facts(told).steps if step.status] == [False]


OBJECT = 12  # bytes of the shortest response of a COM object


def object_returns(
    frame_words: str, result: str, *, interface: str = WBEM_LOGIN, number: int = 6, size: int = OBJECT
) -> list[str]:
    """Return what the bytes of a response show; result: its last four bytes."""
    words = f"dcerpc.pkt_type=2 dcerpc.opnum={number} dcerpc.cn_flags.first_frag=1 dcerpc.cn_frag_len={24 + OBJECT}"
    stub = ":".join([*["00"] * (size - 4), *result.split()])
    more = f"dcerpc.stub_data={stub} dcerpc.drep.byteorder=1 {frame_words}"
    return steps(asks_for(interface, RPC), packet(5, f"<{RPC}", f"{words} {more}"))


WHOLE = "dcerpc.cn_flags.last_frag=1"


@pytest.mark.parametrize(
    ("result", "end"),
    [
        ("00 00 00 00", ""),
        ("01 00 00 00", ""),
        ("03 10 04 80", ": WBEM_E_ACCESS_DENIED!"),
        ("05 00 07 80", ": E_ACCESSDENIED!"),
    ],
)
def test_the_last_bytes_of_a_com_object_s_response_are_its_result(result, end):
    assert object_returns(WHOLE, result) == [f"5 log on to WMI{end}"]


@pytest.mark.parametrize(
    ("words", "size"),
    [
        (f"{WHOLE} dcerpc.auth_level=6", OBJECT),
        ("dcerpc.cn_flags.last_frag=0", OBJECT),
        (WHOLE, OBJECT - 4),
        (f"{WHOLE} dcerpc.cn_auth_len=16 dcerpc.auth_pad_len=4", OBJECT),
    ],
    ids=["encrypted", "in several parts", "truncated", "not all of it"],
)
def test_bytes_that_are_not_visible_show_no_result(words, size):
    assert object_returns(words, "00 00 00 00", size=size) == ["5 log on to WMI?"]


RESPONSE_BYTES = struct.pack("<BBBB4sHHI16x", 5, 0, 2, 3, b"\x10\0\0\0", 24 + OBJECT, 0, 1)
DENIED_BYTES = b"\x03\x10\x04\x80"


@pytest.mark.parametrize(
    ("segment", "end"),
    [
        (RESPONSE_BYTES + DENIED_BYTES, ": WBEM_E_ACCESS_DENIED!"),
        (b"\0\0\0\x94\xfeSMB" + bytes(60) + RESPONSE_BYTES + DENIED_BYTES, ": WBEM_E_ACCESS_DENIED!"),
        (RESPONSE_BYTES + DENIED_BYTES + b"more", ""),
        (RESPONSE_BYTES[4:] + DENIED_BYTES, ""),
        (bytes(24 + OBJECT - 4) + DENIED_BYTES, ""),
    ],
    ids=["alone", "in a message of SMB", "before something else", "the end of it", "without its header"],
)
def test_the_bytes_of_a_segment_that_ends_with_the_response_count_where_tshark_takes_the_call_apart(segment, end):
    payload = segment.hex(":")
    told = object_returns(f"{WHOLE} tcp.payload={payload} IWbemLevel1Login.werror=0x00000000", "00 00 00 00")
    assert told == [f"5 log on to WMI{end}"]


def test_a_query_that_fails_ends_nothing():
    assert object_returns(WHOLE, "02 10 04 80", interface=WBEM, number=20) == ["5 ask WMI: WBEM_E_NOT_FOUND"]


def test_an_object_that_lacks_an_interface_is_part_of_every_conversation():
    assert object_returns(WHOLE, "02 40 00 80", interface=WBEM, number=3) == ["5 call the RPC interface IWbemServices?"]


def test_of_several_responses_in_one_packet_none_is_said_to_have_gone_well():
    told = activated(words="dcom.hresult=0x00000000")
    told.fields["dcerpc.pkt_type"] = ["2", "2"]
    assert steps(asks_for(ACTIVATOR, RPC)._replace(frame=1), activates(WMI), told) == ["5 activate WMI?"]


def asks_mapper(interface: str, frame: int = 4) -> DissectedPacket:
    return packet(frame, RPC, f"dcerpc.pkt_type=0 epm.opnum=3 epm.uuid={interface}")


def test_a_question_to_the_mapper_is_told_with_its_interface():
    told = steps(asks_mapper(SAMR), maps(5, "", code="0x16c9a0d6"))
    assert told == ["5 request the dynamic port of samr: ept_s_not_registered!"]


@pytest.mark.parametrize(("clsid", "end"), [(WMI, ""), (MMC, "!")])
def test_beside_a_push_that_has_its_port_by_dcom_another_service_that_is_not_registered_ends_nothing(clsid, end):
    push = [activates(clsid, 8), activated("CLIENT[49913]", frame=9)]
    told = steps(asks_mapper(SAMR), maps(5, "", code="0x16c9a0d6"), *push)
    assert told[0] == f"5 request the dynamic port of samr: ept_s_not_registered{end}"


def test_the_service_controller_that_is_not_registered_ends_nothing():
    told = steps(asks_mapper(SVCCTL), maps(5, "", code="0x16c9a0d6"))
    assert told == ["5 request the dynamic port of svcctl: ept_s_not_registered"]


def test_the_service_controller_that_fails_over_tcp_ends_nothing():
    """Windows calls it through the named pipe on SMB instead."""
    refused = packet(5, f"<{RPC}", "dcerpc.pkt_type=3 dcerpc.cn_status=0x00000005")
    assert steps(asks_for(SVCCTL, RPC), refused) == ["5 call the RPC interface svcctl: nca_s_fault_access_denied"]


def test_the_service_controller_that_fails_on_its_pipe_ends_the_push():
    words = "dcerpc.pkt_type=3 dcerpc.cn_status=0x00000005 smb2.cmd=11 smb2.flags.response=1"
    refused = packet(5, f"<{SMB}", words)
    told = steps(asks_for(SVCCTL, SMB, "smb2.cmd=11"), refused)
    assert told == ["5 call the RPC interface svcctl: nca_s_fault_access_denied!"]


# TLS


def hello(who: str = TLS) -> DissectedPacket:
    return packet(1, who, "tls.handshake.type=1")


def alert(frame: int, who: str, code: int, level: int = 2) -> DissectedPacket:
    return packet(frame, who, f"tls.alert_message.level={level} tls.alert_message.desc={code}")


def test_an_alert_of_the_client():
    (step,) = extract_protocol_facts([hello(), alert(5, TLS, 48)]).steps
    assert (step.status.name, step.status.meaning) == (
        "unknown_ca",
        "the client says: the certificate's issuer is not trusted",
    )
    assert step.side == ServiceEndpoint("10.0.0.20", "10.0.0.80", 443)


def test_an_alert_of_the_server_is_of_the_same_side():
    (step,) = extract_protocol_facts([hello(), alert(5, f"<{TLS}", 45)]).steps
    assert (step.status.name, step.status.meaning) == (
        "certificate_expired",
        "the server says: the certificate has expired",
    )
    assert step.side == ServiceEndpoint("10.0.0.20", "10.0.0.80", 443)


def test_a_handshake_that_fails_after_the_server_asked_for_a_certificate():
    asked = packet(2, f"<{TLS}", "tls.handshake.type=13")
    (step,) = extract_protocol_facts([hello(), asked, alert(5, f"<{TLS}", 40)]).steps
    assert (step.status.name, step.status.fatal) == ("handshake_failure", True)
    assert "client certificate" in step.status.meaning


def test_a_handshake_that_fails_otherwise_says_nothing_of_the_client_s_certificate():
    (step,) = extract_protocol_facts([hello(), alert(5, f"<{TLS}", 40)]).steps
    assert "asked for a client certificate" not in step.status.meaning


def test_a_warning_ends_nothing():
    assert steps(hello(), alert(5, TLS, 0, level=1)) == []


def data(frame: int, who: str, length: int, *, tls: str = "content_type") -> DissectedPacket:
    return packet(frame, who, f"tls.record.{tls}=23 tls.record.length={length}")


@pytest.mark.parametrize("tls", ["content_type", "opaque_type"])
def test_two_that_send_each_other_data_agreed(tls):
    told = [hello(), data(4, TLS, 69, tls=tls), data(5, f"<{TLS}", 250, tls=tls), data(6, f"<{TLS}", 900, tls=tls)]
    assert steps(*told) == ["5 negotiate TLS"]


def test_in_tls_1_3_data_of_the_server_before_the_client_s_is_its_half_of_the_handshake():
    told = [hello(), data(4, f"<{TLS}", 813, tls="opaque_type"), data(5, TLS, 69, tls="opaque_type")]
    assert steps(*told) == []


@pytest.mark.parametrize(("client", "server"), [(19, 250), (69, 19)])
def test_in_tls_1_3_what_is_no_longer_than_an_alert_may_be_one(client, server):
    told = [hello(), data(4, TLS, client, tls="opaque_type"), data(5, f"<{TLS}", server, tls="opaque_type")]
    assert steps(*told) == []


def test_a_new_connection_on_the_same_ports_begins_anew():
    told = [hello(), data(4, TLS, 100), hello()._replace(frame=6), data(8, f"<{TLS}", 100)]
    assert steps(*told) == []


# certificates

NOON = 1_717_200_000_000_000_000  # 2024-06-01 00:00 UTC


def certificate(
    began: str, ended: str, who: str = f"<{TLS}", *, kinds: str = "00", time_ns: int = NOON
) -> DissectedPacket:
    """Return a packet that shows a certificate; kinds: how its dates are written, 0 UTCTime and 1 GeneralizedTime."""
    told = packet(3, who, f"tls.handshake.type=11 x509af.notBefore={kinds[0]} x509af.notAfter={kinds[1]}")
    for kind, date in zip(kinds, (began, ended), strict=True):
        name = "x509af.utcTime" if kind == "0" else "x509af.generalizedTime"
        told.fields.setdefault(name, []).append(f"{date} 00:00:00 (UTC)")
    return told._replace(time_ns=time_ns)


def test_a_certificate_that_is_valid_at_the_time_of_the_capture():
    told = steps(hello(), certificate("2024-01-01", "2025-01-01"))
    assert told == ["3 verify the certificate of the server"]


@pytest.mark.parametrize(
    ("began", "ended", "name", "means"),
    [
        ("2023-01-01", "2024-01-01", "expired certificate", "the certificate has expired"),
        ("2024-07-01", "2034-01-01", "not yet valid certificate", "the certificate is not yet valid"),
    ],
)
def test_a_certificate_that_is_not_valid_is_told_with_its_dates(began, ended, name, means):
    (step,) = extract_protocol_facts([hello(), certificate(began, ended)]).steps
    dates = f"it is valid from {began} to {ended}, and the capture is of 2024-06-01"
    assert (step.status.name, step.status.meaning, step.status.fatal) == (name, f"{means}: {dates}", True)


def test_dates_after_2049_are_written_in_another_way():
    told = steps(hello(), certificate("2024-01-01", "2099-01-01", kinds="01"))
    assert told == ["3 verify the certificate of the server"]
    assert steps(hello(), certificate("2060-01-01", "2099-01-01", kinds="11"))[0].endswith("not yet valid certificate!")


def test_a_year_of_two_digits():
    assert steps(hello(), certificate("99-01-01", "01-01-01"))[0].endswith("expired certificate!")


def test_of_a_chain_the_first_certificate_is_the_owner_s():
    told = certificate("2024-01-01", "2025-01-01")
    told.fields["x509af.utcTime"] += ["2001-01-01 00:00:00 (UTC)", "2011-01-01 00:00:00 (UTC)"]
    told.fields["x509af.notBefore"].append("0")
    told.fields["x509af.notAfter"].append("0")
    assert steps(hello(), told) == ["3 verify the certificate of the server"]


def test_an_expired_certificate_that_the_client_does_not_mind_ends_nothing():
    told = [hello(), certificate("2023-01-01", "2024-01-01"), data(4, TLS, 100), data(5, f"<{TLS}", 200)]
    assert steps(*told) == ["3 verify the certificate of the server: expired certificate", "5 negotiate TLS"]


def test_the_certificate_of_the_client_is_told_as_its_own():
    told = steps(hello(), certificate("2023-01-01", "2024-01-01", who=TLS))
    assert told == ["3 verify the certificate of the client: expired certificate!"]


@pytest.mark.parametrize("date", ["soon", "2024-13-45"])
def test_a_date_that_cannot_be_read_says_nothing(date):
    assert steps(hello(), certificate("2023-01-01", date)) == []


def test_without_the_time_of_the_capture_no_certificate_is_judged():
    assert steps(hello(), certificate("2023-01-01", "2024-01-01", time_ns=0)) == []


def test_without_the_beginning_nobody_knows_whose_alert_it_is():
    assert steps(alert(5, TLS, 48)) == []


# HTTP


def asks(frame: int, method: str, path: str = "/ccm_system/request") -> DissectedPacket:
    return packet(frame, WEB, f"http.request.method={method} http.request.uri={path}")


def answers(frame: int, code: int) -> DissectedPacket:
    return packet(frame, f"<{WEB}", f"http.response.code={code}")


@pytest.mark.parametrize("code", [200, 204, 302, 304])
def test_a_request_that_was_answered(code):
    assert steps(asks(1, "GET", "/SMS_MP/.sms_aut?MPLIST"), answers(2, code)) == ["2 GET /SMS_MP/.sms_aut"]


@pytest.mark.parametrize(
    ("code", "name"),
    [
        (401, "401 Unauthorized"),
        (403, "403 Forbidden"),
        (404, "404 Not Found"),
        (500, "500 Internal Server Error"),
        (503, "503 Service Unavailable"),
    ],
)
def test_a_request_that_failed(code, name):
    assert steps(asks(1, "GET"), answers(2, code)) == [f"2 GET /ccm_system/request: {name}!"]


@pytest.mark.parametrize("code", [400, 405, 501])
def test_a_verb_that_a_proxy_does_not_know(code):
    (step,) = extract_protocol_facts([asks(1, "CCM_POST"), answers(2, code)]).steps
    assert "CCM_POST was refused, as by a proxy" in step.status.meaning
    (step,) = extract_protocol_facts([asks(1, "GET"), answers(2, code)]).steps
    assert "CCM_POST was refused" not in step.status.meaning


def test_a_status_before_the_last_is_no_answer_yet():
    assert steps(asks(1, "CCM_POST"), answers(2, 100), answers(3, 401)) == [
        "3 CCM_POST /ccm_system/request: 401 Unauthorized!"
    ]


def test_requests_on_one_connection_are_answered_in_turn():
    told = steps(asks(1, "GET", "/a"), answers(2, 200), asks(3, "GET", "/b"), answers(4, 404))
    assert told == ["2 GET /a", "4 GET /b: 404 Not Found"]


def test_an_answer_without_its_request():
    assert steps(answers(2, 200)) == ["2 request"]


@pytest.mark.parametrize(("code", "name"), [(418, "HTTP 418"), (499, "HTTP 499"), (599, "HTTP 599")])
def test_a_status_that_is_not_listed_has_the_meaning_of_its_class(code, name):
    assert steps(asks(1, "GET"), answers(2, code)) == [f"2 GET /ccm_system/request: {name}!"]


@pytest.mark.parametrize(
    ("role", "path"),
    [
        ("distribution-point", "/SMS_DP_SMSPKG$/LAB00001/client.msi"),
        ("distribution-point", "/NOCERT_SMS_DP_SMSPKG$/LAB00001"),
        ("software-update-point", "/SimpleAuthWebService/SimpleAuth.asmx"),
        ("fallback-status-point", "/SMS_FSP/.sms_fsp"),
        ("server-locator-point", "/SMS_SLP/slp.dll"),
    ],
)
def test_every_site_system_s_status_counts(role, path):
    assert steps(asks(1, "GET", path), answers(2, 500)) == [f"2 GET {path}: 500 Internal Server Error!"]
    assert [found for _, found, _ in extract_protocol_facts([asks(1, "GET", path)]).roles] == [role]


def test_another_web_server_s_status_ends_nothing():
    assert steps(asks(1, "GET", "/news"), answers(2, 404)) == ["2 GET /news: 404 Not Found"]


# Kerberos


def test_kerberos_errors_are_told_and_end_nothing():
    told = packet(5, "<10.0.0.5:50004 > 10.0.0.1:88", "kerberos.error_code=37")
    assert steps(told) == ["5 log on by Kerberos: KRB_AP_ERR_SKEW"]


@pytest.mark.parametrize("code", [25, 52])
def test_kerberos_questions_that_look_like_errors_are_none(code):
    assert steps(packet(5, "<10.0.0.5:50004 > 10.0.0.1:88", f"kerberos.error_code={code}")) == []


SKEW, MODIFIED = "kerberos.error_code=37", "kerberos.error_code=41"


def refuses(frame: int, message: int, words: str, status: str = HALF_WAY) -> DissectedPacket:
    """Return a response to a logon over SMB that carries more than its status."""
    answer = smb_says(frame, LOG_ON, message, status)
    answer.fields.update(packet(frame, SMB, words).fields)
    return answer


def test_a_kerberos_error_inside_a_logon_is_the_problem_of_that_logon():
    (step,) = extract_protocol_facts([smb_asks(1, LOG_ON, 1), refuses(2, 1, SKEW)]).steps
    assert (step.layer, step.step, step.code, step.status.fatal) == ("kerberos", "log on", "37", True)
    assert step.side == ServiceEndpoint("10.0.0.5", "10.0.0.20", 445)


@pytest.mark.parametrize("status", ["0xc000006d", "0xc0000022"])
def test_a_status_beside_a_kerberos_error_is_not_told_twice(status):
    assert steps(smb_asks(1, LOG_ON, 1), refuses(2, 1, MODIFIED, status)) == ["2 log on: KRB_AP_ERR_MODIFIED!"]


def test_a_logon_failure_after_a_kerberos_error_repeats_it():
    told = [smb_asks(1, LOG_ON, 1), refuses(2, 1, SKEW), smb_asks(3, LOG_ON, 2), smb_says(4, LOG_ON, 2, "0xc000006d")]
    assert steps(*told) == ["2 log on: KRB_AP_ERR_SKEW!"]


def test_a_logon_failure_of_ntlm_after_a_kerberos_error_is_its_own():
    ntlm = smb_asks(3, LOG_ON, 2, "ntlmssp.auth.username=push ntlmssp.auth.domain=LAB")
    told = [smb_asks(1, LOG_ON, 1), refuses(2, 1, SKEW), ntlm, smb_says(4, LOG_ON, 2, "0xc000006d")]
    assert steps(*told) == ["2 log on: KRB_AP_ERR_SKEW!", "4 log on: STATUS_LOGON_FAILURE!"]


@pytest.mark.parametrize(("interface", "end"), [(ACTIVATOR, "!"), (SAMR, "")])
def test_a_kerberos_error_inside_a_bind_is_the_problem_of_that_interface(interface, end):
    answer = packet(5, f"<{RPC}", f"dcerpc.pkt_type=12 dcerpc.cn_ack_result=0 {MODIFIED}")
    (step,) = steps(asks_for(interface, RPC), answer)
    assert step == f"5 open the RPC interface {interfaces()[interface]}: KRB_AP_ERR_MODIFIED{end}"


# accounts


def accounts(*packets: DissectedPacket) -> list[tuple[str, str]]:
    return [(step.step, step.account) for step in extract_protocol_facts(packets).steps]


def logs_on(frame: int, message: int, words: str, session: str = "0x01") -> DissectedPacket:
    return smb_asks(frame, LOG_ON, message, f"smb2.sesid={session} {words}")


def in_session(told: DissectedPacket, session: str = "0x01") -> DissectedPacket:
    told.fields["smb2.sesid"] = [session]
    return told


PUSH = "ntlmssp.auth.domain=LAB ntlmssp.auth.username=svc-push"


def test_the_account_of_a_logon_by_ntlm_is_named():
    told = accounts(logs_on(1, 2, PUSH), in_session(smb_says(2, LOG_ON, 2, "0xc000006d")))
    assert told == [("log on", r"LAB\svc-push")]


@pytest.mark.parametrize(
    ("words", "account"),
    [
        ("ntlmssp.auth.domain=NULL ntlmssp.auth.username=svc@lab.example", "svc@lab.example"),
        ("ntlmssp.auth.domain=NULL ntlmssp.auth.username=NULL", "anonymous"),
        ("ntlmssp.auth.domain=LAB ntlmssp.auth.username=NULL", "anonymous"),
        ("kerberos.msg_type=14 kerberos.realm=LAB.EXAMPLE", "LAB.EXAMPLE (Kerberos)"),
        (
            "kerberos.msg_type=14 kerberos.realm=LAB.EXAMPLE kerberos.SNameString=cifs kerberos.SNameString=client01",
            "LAB.EXAMPLE (Kerberos, cifs/client01)",
        ),
    ],
)
def test_how_an_account_is_written(words, account):
    told = accounts(logs_on(1, 2, words, session="0x00"), in_session(smb_says(2, LOG_ON, 2, DENIED)))
    assert told == [("log on", account)]


def test_an_account_is_named_with_every_step_of_its_session():
    connects = smb_asks(3, CONNECT, 3, f"{ADMIN} smb2.sesid=0x01")
    told = [logs_on(1, 2, PUSH), in_session(smb_says(2, LOG_ON, 2, FINE)), connects]
    assert accounts(*told, in_session(smb_says(4, CONNECT, 3, DENIED)))[1] == ("connect to ADMIN$", r"LAB\svc-push")


def test_sessions_of_one_connection_have_each_their_account():
    other = "ntlmssp.auth.domain=LAB ntlmssp.auth.username=admin"
    first = [logs_on(1, 2, PUSH), in_session(smb_says(2, LOG_ON, 2, FINE))]
    second = [logs_on(3, 3, other, "0x02"), in_session(smb_says(4, LOG_ON, 3, FINE), "0x02")]
    told = accounts(*first, *second, in_session(smb_says(5, CONNECT, 4, DENIED)))
    assert told[-1] == ("connect to a share", r"LAB\svc-push")


def test_a_session_whose_logon_was_not_captured_has_no_account():
    told = accounts(logs_on(1, 2, PUSH), in_session(smb_says(2, CONNECT, 9, DENIED), "0x02"))
    assert told == [("connect to a share", "")]


def test_the_account_of_a_call_over_tcp_is_that_of_the_last_logon_on_its_connection():
    logon = packet(5, RPC, f"dcerpc.pkt_type=16 {PUSH}")
    fault = packet(6, f"<{RPC}", "dcerpc.pkt_type=3 dcerpc.cn_status=0x00000005")
    assert accounts(asks_for(ACTIVATOR, RPC), logon, fault) == [
        ("call the RPC interface IRemoteSCMActivator", r"LAB\svc-push")
    ]


# names and roles


def test_names_by_which_hosts_call_themselves():
    told = [
        packet(1, SMB, "ntlmssp.auth.hostname=SITE1"),
        packet(2, f"<{SMB}", "ntlmssp.challenge.target_info.dns_computer_name=client.example.org"),
        packet(3, TLS, "tls.handshake.extensions_server_name=mp.example.org"),
        packet(4, WEB, "http.host=mp.example.org:8080"),
    ]
    assert extract_protocol_facts(told).names == (
        ("10.0.0.20", "client.example.org"),
        ("10.0.0.5", "SITE1"),
        ("10.0.0.80", "mp.example.org"),
    )


def test_a_host_without_a_name_has_none():
    assert extract_protocol_facts([packet(1, SMB, "ntlmssp.auth.hostname=NULL")]).names == ()


@pytest.mark.parametrize("host", ["10.0.0.80", "10.0.0.80:8080", "[fd00::80]", "[fd00::80]:8080"])
def test_an_address_is_no_name(host):
    assert extract_protocol_facts([packet(1, WEB, f"http.host={host}")]).names == ()


@pytest.mark.parametrize(
    ("path", "role"),
    [
        ("/SMS_MP/.sms_aut?MPLIST", "management-point"),
        ("/ccm_system/request", "management-point"),
        ("/SMS_DP_SMSPKG$/CAS00001", "distribution-point"),
        ("/ClientWebService/client.asmx", "software-update-point"),
        ("/SMS_FSP/.sms_fsp", "fallback-status-point"),
    ],
)
def test_roles_by_the_path_that_is_asked_for(path, role):
    assert [(address, found) for address, found, _ in extract_protocol_facts([asks(1, "GET", path)]).roles] == [
        ("10.0.0.80", role)
    ]


def test_a_response_that_repeats_what_was_asked_for_shows_no_role_of_its_receiver():
    answer = packet(2, f"<{WEB}", "http.response.code=200 http.request.uri=/SMS_MP/.sms_aut?MPLIST")
    said = extract_protocol_facts([asks(1, "GET", "/SMS_MP/.sms_aut?MPLIST"), answer])
    assert {address for address, _, _ in said.roles} == {"10.0.0.80"}
    assert said.other_web == ()


def test_a_method_that_only_clients_of_a_management_point_use_shows_it_whatever_the_path():
    assert extract_protocol_facts([asks(1, "CCM_POST", "/any")]).roles == (
        ("10.0.0.80", "management-point", "CCM_POST"),
    )


def test_a_request_that_names_the_server_in_its_line_shows_no_role_of_the_proxy():
    said = extract_protocol_facts([asks(1, "CCM_POST", "http://mp01/ccm_system/request")])
    assert (said.roles, said.requests) == ((), ())


def test_a_request_shows_who_asked_whom_on_which_port():
    (request,) = extract_protocol_facts(
        [asks(1, "GET", "/SMS_MP/.sms_aut?MPLIST"), asks(2, "GET", "/sms_mp/.sms_aut?MPCERT")]
    ).requests
    assert request == ("10.0.0.20", "10.0.0.80", 80, "management-point", "/sms_mp")


def test_other_paths_show_no_role():
    said = extract_protocol_facts([asks(1, "GET", "/index.html"), asks(2, "GET", "/old/ccm_system")])
    assert (said.roles, said.other_web) == ((), ("10.0.0.80",))


# the whole


def test_nothing_told_is_nothing_said():
    assert extract_protocol_facts([]) == ProtocolFacts()


def test_steps_by_side():
    said = extract_protocol_facts([smb_says(1, LOG_ON, 1, FINE), answers(2, 200), smb_says(3, LOG_ON, 2, FINE)])
    frames = {side: [step.frame for step in steps] for side, steps in by_side(said.steps).items()}
    assert frames == {
        ServiceEndpoint("10.0.0.5", "10.0.0.20", 445): [1, 3],
        ServiceEndpoint("10.0.0.20", "10.0.0.80", 80): [2],
    }


def test_every_known_answer_says_what_it_means_and_what_to_do():
    empty = [
        f"{layer}.{code}"
        for layer, table in problems().items()
        for code, status in table.items()
        if not (status.name and status.meaning and status.action.endswith((".", "?")))
    ]
    assert empty == []


@pytest.mark.parametrize("layer", sorted(problems()))
def test_a_code_that_is_not_listed_means_something_in_every_layer(layer):
    found = lookup_status(layer, "0x0badc0de")
    assert "CODE" not in found.name
    assert found.meaning
    assert found.action


def test_what_belongs_to_a_push_is_written_as_it_is_looked_for():
    words = [*push().shares, *push().pipes, *push().other_pipes, *push().files]
    assert [word for word in words if word != word.lower()] == []
    assert push().interfaces | set(push().calls) | set(push().activations) <= set(interfaces().values())
    assert com_interfaces() <= set(interfaces().values())
    assert push().classes <= set(com_classes().values())
    assert not push().pipes & push().other_pipes


def test_codes_are_written_as_wireshark_prints_them():
    layers = ("smb", "pipe", "rpc-fault", "service", "endpoint-mapper", "dcom")
    written = {code for layer in layers for code in problems()[layer]} - {"other"}
    assert [code for code in written if code != f"0x{int(code, 16):08x}"] == []
    assert [uuid for uuid in (*interfaces(), *com_classes()) if uuid != uuid.lower()] == []
    assert [path for path in web_paths() if path != path.lower()] == []
