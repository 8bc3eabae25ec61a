"""What packets tell when they are read one after the other: steps, ports, resets, names and roles.

A packet is its frame number, who sends it to whom, and Wireshark's fields as "name=value" words; a name that comes
again has several values.
"""

from __future__ import annotations

import pytest

from auditor.said import HandedOut, Reset, Said, Side, by_side, interfaces, listen, problems, web_paths
from auditor.sources.dissect import Told

SMB = "10.0.0.5:50000 > 10.0.0.20:445"
RPC = "10.0.0.5:50001 > 10.0.0.20:135"
WEB = "10.0.0.20:50002 > 10.0.0.80:80"
TLS = "10.0.0.20:50003 > 10.0.0.80:443"
SVCCTL = "367abb81-9844-35f1-ad32-98f038001003"
NOBODY = "00000000-0000-0000-0000-000000000000"


def packet(frame: int, who: str, words: str = "", **more: str) -> Told:
    """Return a packet; "<" before `who` turns it round. more: fields whose values hold blanks ("_" for ".")."""
    ends = [end.rpartition(":") for end in who.lstrip("<").split(" > ")]
    (src, _, src_port), (dst, _, dst_port) = reversed(ends) if who.startswith("<") else ends
    fields: dict[str, list[str]] = {name.replace("__", "."): [value] for name, value in more.items()}
    for word in words.split():
        name, _, value = word.partition("=")
        fields.setdefault(name, []).append(value)
    return Told(frame, src.strip("[]"), int(src_port), dst.strip("[]"), int(dst_port), fields)


def steps(*packets: Told) -> list[str]:
    """Return each step in words: frame, step, and the name of what went wrong with "!" if that is fatal."""
    found = []
    for one in listen(packets).steps:
        wrong = "" if one.known is None else f": {one.known.name}{'!' if one.known.fatal else ''}"
        found.append(f"{one.frame} {one.step}{wrong}")
    return found


# SMB, its second dialect


def smb_asks(frame: int, command: int, message: int, words: str = "", who: str = SMB) -> Told:
    return packet(frame, who, f"smb2.cmd={command} smb2.flags.response=0 smb2.msg_id={message} {words}")


def smb_says(frame: int, command: int, message: int, status: str, who: str = SMB) -> Told:
    words = f"smb2.cmd={command} smb2.flags.response=1 smb2.msg_id={message} smb2.nt_status={status}"
    return packet(frame, f"<{who}", words)


FINE, HALF_WAY, DENIED = "0x00000000", "0xc0000016", "0xc0000022"
NEGOTIATE, LOG_ON, CONNECT, OPEN = 0, 1, 3, 5
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
    assert told == ["2 agree on an SMB version", "6 log on", "8 connect to ADMIN$", "10 open svcctl"]


def test_a_step_is_told_of_the_side_that_asked_and_the_port_that_answered():
    (step,) = listen([smb_says(2, LOG_ON, 1, FINE)]).steps
    assert step.side == Side("10.0.0.5", "10.0.0.20", 445)
    assert (step.layer, step.code, step.good) == ("smb", FINE, True)


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


@pytest.mark.parametrize("command", [2, 6, 8, 9, 11, 16])
def test_other_commands_are_no_steps(command):
    assert steps(smb_says(2, command, 5, DENIED)) == []


# SMB, its first dialect


def smb1(frame: int, who: str, command: str, words: str = "", **more: str) -> Told:
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
        "1 agree on an SMB version",
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


def maps(frame: int, words: str, code: str = FINE, server: str = RPC) -> Told:
    """Return an answer of the endpoint mapper to "which port has this interface?"."""
    return packet(frame, f"<{server}", f"dcerpc.pkt_type=2 epm.opnum=3 epm.rc={code} {words}")


def test_the_endpoint_mapper_hands_out_a_port():
    said = listen([maps(5, f"epm.uuid={SVCCTL} epm.proto.tcp_port=49700")])
    assert said.handed_out == (HandedOut("10.0.0.20", 49700, "svcctl", 5, "endpoint mapper"),)
    assert steps(maps(5, f"epm.uuid={SVCCTL} epm.proto.tcp_port=49700")) == ["5 ask for a dynamic port"]


def test_the_endpoint_mapper_hands_out_several_ports_of_one_interface():
    words = f"epm.uuid={NOBODY} epm.uuid={SVCCTL} epm.proto.tcp_port=49667 epm.proto.tcp_port=49674"
    assert [(one.port, one.interface) for one in listen([maps(5, words)]).handed_out] == [
        (49667, "svcctl"),
        (49674, "svcctl"),
    ]


def test_an_interface_that_is_not_known_is_told_by_its_number():
    uuid = "0a74ef1c-41a4-4e06-83ae-dc74fb1cdd53"
    (handed,) = listen([maps(5, f"epm.uuid={uuid} epm.proto.tcp_port=49700")]).handed_out
    assert handed.interface == uuid


def test_a_question_to_the_endpoint_mapper_hands_out_nothing():
    asked = packet(5, RPC, f"dcerpc.pkt_type=0 epm.opnum=3 epm.uuid={SVCCTL} epm.proto.tcp_port=135")
    assert listen([asked]) == Said()


def test_a_page_of_the_whole_endpoint_map_hands_out_nothing():
    """Its many ports belong to many interfaces, and nobody asked for one of them."""
    words = f"dcerpc.pkt_type=2 epm.opnum=2 epm.rc={FINE} epm.uuid={SVCCTL} epm.proto.tcp_port=49700"
    said = listen([packet(5, f"<{RPC}", words)])
    assert (said.handed_out, said.steps) == ((), ())


def test_a_port_that_is_zero_is_none():
    assert listen([maps(5, f"epm.uuid={SVCCTL} epm.proto.tcp_port=0")]).handed_out == ()


def test_a_service_that_is_not_registered():
    assert steps(maps(5, "", code="0x16c9a0d6")) == ["5 ask for a dynamic port: ept_s_not_registered!"]


def test_dcom_hands_out_the_ports_of_its_string_bindings():
    told = packet(5, f"<{RPC}", "dcerpc.pkt_type=2")
    bindings = ["CLIENT", "10.0.0.20", "CLIENT[49913]", r"\\CLIENT[\PIPE\atsvc]", "10.0.0.20[49914]"]
    told.fields["dcom.dualstringarray.network_addr"] = bindings
    assert listen([told]).handed_out == (
        HandedOut("10.0.0.20", 49913, "DCOM (WMI)", 5, "DCOM activation"),
        HandedOut("10.0.0.20", 49914, "DCOM (WMI)", 5, "DCOM activation"),
    )


def test_string_bindings_in_a_question_hand_out_nothing():
    told = packet(5, RPC, "dcerpc.pkt_type=0 dcom.dualstringarray.network_addr=CLIENT[49913]")
    assert listen([told]).handed_out == ()


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
    assert steps(told) == [f"5 call an RPC interface: {name}!"]


def test_a_call_that_was_answered():
    assert steps(packet(5, f"<{RPC}", "dcerpc.pkt_type=2")) == ["5 call an RPC interface"]


def test_an_interface_that_was_refused():
    assert steps(packet(5, f"<{RPC}", "dcerpc.pkt_type=13")) == ["5 open an RPC interface: bind_nak!"]


@pytest.mark.parametrize("kind", [12, 15])
@pytest.mark.parametrize(("results", "end"), [("0 3", ""), ("2 0 3", ""), ("", ""), ("2 2", ": provider_rejection!")])
def test_an_interface_is_open_if_any_encoding_was_accepted(kind, results, end):
    words = " ".join(f"dcerpc.cn_ack_result={result}" for result in results.split())
    told = packet(5, f"<{RPC}", f"dcerpc.pkt_type={kind} {words}")
    assert steps(told) == [f"5 open an RPC interface{end}"]


def asks_for(interface: str, who: str, words: str = "") -> Told:
    return packet(4, who, f"dcerpc.pkt_type=11 dcerpc.cn_bind_to_uuid={interface} {words}")


def test_the_service_controller_that_fails_over_tcp_ends_nothing():
    """Windows calls it through the named pipe on SMB instead."""
    refused = packet(5, f"<{RPC}", "dcerpc.pkt_type=3 dcerpc.cn_status=0x00000005")
    assert steps(asks_for(SVCCTL, RPC), refused) == ["5 call an RPC interface: nca_s_fault_access_denied"]


def test_the_service_controller_that_fails_on_its_pipe_ends_the_push():
    words = "dcerpc.pkt_type=3 dcerpc.cn_status=0x00000005 smb2.cmd=11 smb2.flags.response=1"
    refused = packet(5, f"<{SMB}", words)
    told = steps(asks_for(SVCCTL, SMB, "smb2.cmd=11"), refused)
    assert told == ["5 call an RPC interface: nca_s_fault_access_denied!"]


# TLS


def hello(who: str = TLS) -> Told:
    return packet(1, who, "tls.handshake.type=1")


def alert(frame: int, who: str, code: int, level: int = 2) -> Told:
    return packet(frame, who, f"tls.alert_message.level={level} tls.alert_message.desc={code}")


def test_an_alert_of_the_client():
    (step,) = listen([hello(), alert(5, TLS, 48)]).steps
    assert (step.known.name, step.known.means) == (
        "unknown_ca",
        "the client says: the certificate's issuer is not trusted",
    )
    assert step.side == Side("10.0.0.20", "10.0.0.80", 443)


def test_an_alert_of_the_server_is_of_the_same_side():
    (step,) = listen([hello(), alert(5, f"<{TLS}", 45)]).steps
    assert (step.known.name, step.known.means) == (
        "certificate_expired",
        "the server says: the certificate has expired",
    )
    assert step.side == Side("10.0.0.20", "10.0.0.80", 443)


def test_a_handshake_that_fails_after_the_server_asked_for_a_certificate():
    asked = packet(2, f"<{TLS}", "tls.handshake.type=13")
    (step,) = listen([hello(), asked, alert(5, f"<{TLS}", 40)]).steps
    assert (step.known.name, step.known.fatal) == ("handshake_failure", True)
    assert "client certificate" in step.known.means


def test_a_handshake_that_fails_otherwise_says_nothing_of_the_client_s_certificate():
    (step,) = listen([hello(), alert(5, f"<{TLS}", 40)]).steps
    assert "asked for a client certificate" not in step.known.means


def test_a_warning_ends_nothing():
    assert steps(hello(), alert(5, TLS, 0, level=1)) == []


def test_without_the_beginning_nobody_knows_whose_alert_it_is():
    assert steps(alert(5, TLS, 48)) == []


# HTTP


def asks(frame: int, method: str, path: str = "/ccm_system/request") -> Told:
    return packet(frame, WEB, f"http.request.method={method} http.request.uri={path}")


def answers(frame: int, code: int) -> Told:
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
    (step,) = listen([asks(1, "CCM_POST"), answers(2, code)]).steps
    assert "CCM_POST was refused, as by a proxy" in step.known.means
    (step,) = listen([asks(1, "GET"), answers(2, code)]).steps
    assert "CCM_POST was refused" not in step.known.means


def test_requests_on_one_connection_are_answered_in_turn():
    told = steps(asks(1, "GET", "/a"), answers(2, 200), asks(3, "GET", "/b"), answers(4, 404))
    assert told == ["2 GET /a", "4 GET /b: 404 Not Found"]


def test_an_answer_without_its_request():
    assert steps(answers(2, 200)) == ["2 request"]


# Kerberos


def test_kerberos_errors_are_told_and_end_nothing():
    told = packet(5, "<10.0.0.5:50004 > 10.0.0.1:88", "kerberos.error_code=37")
    assert steps(told) == ["5 log on by Kerberos: KRB_AP_ERR_SKEW"]


@pytest.mark.parametrize("code", [25, 52])
def test_kerberos_questions_that_look_like_errors_are_none(code):
    assert steps(packet(5, "<10.0.0.5:50004 > 10.0.0.1:88", f"kerberos.error_code={code}")) == []


# resets


def hops(frame: int, who: str, count: int, *, reset: bool = False) -> Told:
    name = "ipv6.hlim" if "[" in who else "ip.ttl"
    return packet(frame, who, f"{name}={count} tcp.flags.reset={int(reset)}")


def test_a_reset_with_the_hop_count_of_the_host_is_its_own():
    assert listen([hops(1, f"<{SMB}", 127), hops(2, f"<{SMB}", 127, reset=True)]).resets == (
        Reset(Side("10.0.0.5", "10.0.0.20", 445), 2, forged=False),
    )


def forged(*told: Told) -> list[bool | None]:
    return [one.forged for one in listen(told).resets]


def test_a_reset_with_another_hop_count_was_sent_by_another():
    assert forged(hops(1, f"<{SMB}", 127), hops(2, f"<{SMB}", 63, reset=True)) == [True]


def test_without_other_packets_of_the_host_nobody_knows_who_sent_a_reset():
    resets = [hops(2, f"<{SMB}", 63, reset=True), hops(3, f"<{SMB}", 63, reset=True)]
    assert forged(hops(1, SMB, 127), *resets) == [None, None]


def test_packets_of_any_port_of_the_host_show_its_hop_count():
    assert forged(hops(1, f"<{RPC}", 127), hops(2, f"<{SMB}", 127, reset=True)) == [False]


def test_hop_limits_of_ipv6():
    six = "[fd00::5]:50000 > [fd00::20]:445"
    assert forged(hops(1, f"<{six}", 63), hops(2, f"<{six}", 60, reset=True)) == [True]


def test_in_a_tunnel_the_inner_hop_count_is_the_host_s():
    usual = packet(1, f"<{SMB}", "ip.ttl=250 ip.ttl=127")
    assert forged(usual, packet(2, f"<{SMB}", "ip.ttl=249 ip.ttl=127 tcp.flags.reset=1")) == [False]


def test_the_hop_count_of_a_host_is_that_of_most_of_its_packets():
    told = [hops(1, SMB, 127), hops(2, SMB, 128), hops(3, SMB, 128), hops(4, SMB, 64, reset=True)]
    assert listen(told).hops == (("10.0.0.5", 128),)


# names and roles


def test_names_by_which_hosts_call_themselves():
    told = [
        packet(1, SMB, "ntlmssp.auth.hostname=SITE1"),
        packet(2, f"<{SMB}", "ntlmssp.challenge.target_info.dns_computer_name=client.example.org"),
        packet(3, TLS, "tls.handshake.extensions_server_name=mp.example.org"),
        packet(4, WEB, "http.host=mp.example.org:8080"),
    ]
    assert listen(told).names == (
        ("10.0.0.20", "client.example.org"),
        ("10.0.0.5", "SITE1"),
        ("10.0.0.80", "mp.example.org"),
    )


def test_a_host_without_a_name_has_none():
    assert listen([packet(1, SMB, "ntlmssp.auth.hostname=NULL")]).names == ()


@pytest.mark.parametrize("host", ["10.0.0.80", "10.0.0.80:8080", "[fd00::80]", "[fd00::80]:8080"])
def test_an_address_is_no_name(host):
    assert listen([packet(1, WEB, f"http.host={host}")]).names == ()


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
    assert [(address, found) for address, found, _ in listen([asks(1, "GET", path)]).roles] == [("10.0.0.80", role)]


def test_other_paths_show_no_role():
    said = listen([asks(1, "GET", "/index.html"), asks(2, "GET", "/old/ccm_system")])
    assert (said.roles, said.other_web) == ((), ("10.0.0.80",))


# the whole


def test_nothing_told_is_nothing_said():
    assert listen([]) == Said()


def test_steps_by_side():
    said = listen([smb_says(1, LOG_ON, 1, FINE), answers(2, 200), smb_says(3, LOG_ON, 2, FINE)])
    frames = {side: [step.frame for step in steps] for side, steps in by_side(said.steps).items()}
    assert frames == {Side("10.0.0.5", "10.0.0.20", 445): [1, 3], Side("10.0.0.20", "10.0.0.80", 80): [2]}


def test_every_known_answer_says_what_it_means_and_what_to_do():
    empty = [
        f"{layer}.{code}"
        for layer, table in problems().items()
        for code, known in table.items()
        if not (known.name and known.means and known.do.endswith((".", "?")))
    ]
    assert empty == []


def test_codes_are_written_as_wireshark_prints_them():
    written = [code for layer in ("smb", "pipe", "rpc-fault", "endpoint-mapper") for code in problems()[layer]]
    assert [code for code in written if code != f"0x{int(code, 16):08x}"] == []
    assert [uuid for uuid in interfaces() if uuid != uuid.lower()] == []
    assert [path for path in web_paths() if path != path.lower()] == []
