"""What answers on an open port mean: a failure ends the push only if the same step did not go well afterwards."""

from __future__ import annotations

from collections.abc import Callable

import pytest
from actions import action
from mapped_ports import Taken, audit
from packets import pcap
from scenario import scene

from auditor.ruleset.known_problems import StatusMeaning
from auditor.sources.dissection.facts import ProtocolFacts, ProtocolStep, ServiceEndpoint
from auditor.verdicts.attempts import Traffic
from auditor.verdicts.protocol_findings import (
    EMPTY_SUMMARY,
    MOST_PROBLEMS,
    MOST_STEPS,
    ProtocolSummary,
    summarize_protocol,
)

SERVER, CLIENT, POINT = "10.0.0.5", "10.0.0.20", "10.0.0.80"
SMB = ServiceEndpoint(SERVER, CLIENT, 445)
PUSH = r"LAB\svc-push"
DENIED = StatusMeaning("STATUS_ACCESS_DENIED", "access denied", True, "Make it an administrator.")
FAILURE = StatusMeaning("STATUS_LOGON_FAILURE", "the password is wrong", True, "Check the password.")
NOTICE = StatusMeaning("0xc0001234", "an answer that is not known here", False, "Look it up.")

FAULT = StatusMeaning("nca_s_fault_access_denied", "the account may not call this interface", True, "Check the rights.")

Talked = Callable[..., ProtocolSummary]


def good(frame: int, step: str, side: ServiceEndpoint = SMB, account: str = "") -> ProtocolStep:
    return ProtocolStep(side, "smb", action(step), frame, "0x00000000", None, account)


def answered(frame: int, step: str) -> ProtocolStep:
    return ProtocolStep(SMB, "rpc", action(step), frame, "", None, result_read=False)


def bad(
    frame: int,
    step: str,
    known: StatusMeaning = DENIED,
    side: ServiceEndpoint = SMB,
    account: str = "",
    layer: str = "smb",
) -> ProtocolStep:
    return ProtocolStep(side, layer, action(step), frame, known.name, known, account)


@pytest.fixture
def talked(read) -> Talked:
    """Return what is made of these steps on one open connection; each list is of one source, begun a minute later."""

    def talked(*sources: list[ProtocolStep], order: int = 1) -> ProtocolSummary:
        captures = [
            read(pcap(scene([f"{60 * place} {SERVER}:{50000 + place} > {CLIENT}:445/tcp SF"])))
            for place in range(len(sources))
        ]
        said = [ProtocolFacts(steps=tuple(steps)) for steps in sources]
        traffic = Traffic(captures[::order], (SERVER, CLIENT), said[::order])
        return summarize_protocol(traffic.between(SERVER, CLIENT), traffic)

    return talked


def problems(told: ProtocolSummary) -> list[tuple[int | None, str, bool]]:
    return [(one.frame, one.code, one.fatal) for one in told.problems]


def test_what_was_said_on_a_port_stands_in_the_verdict_on_it(read):
    lines = [f"0 {SERVER}:50000 > {CLIENT}:445/tcp SF", f"1 {SERVER}:50001 > {CLIENT}:135/tcp SF"]
    (client,) = audit(read, Taken(lines, steps=[good(8, "agree on a version"), bad(9, "log on", FAILURE)])).clients
    smb, mapper = (client.requirement(f"client-push/{row}") for row in ("smb", "rpc-endpoint-mapper"))
    assert [one.verdict for one in (smb, mapper)] == ["open", "open"]
    assert ([one.code for one in smb.problems], mapper.problems) == (["STATUS_LOGON_FAILURE"], ())
    assert "agree on a version" in smb.explanation
    assert smb.remedy[0].text == "Check the password."
    assert client.method("client-push").result == "fails"


def test_what_was_said_while_a_port_was_open_is_not_told_of_one_that_is_blocked_now(read):
    lines = [f"0 {SERVER}:50000 > {CLIENT}:445/tcp SF", f"60 {SERVER}:50001 > {CLIENT}:445/tcp REJ"]
    (client,) = audit(read, Taken(lines, steps=[bad(8, "log on", FAILURE)])).clients
    smb = client.requirement("client-push/smb")
    assert (smb.verdict, smb.problems, "log on" in smb.explanation) == ("refused", (), False)


@pytest.mark.parametrize(
    ("steps", "spared"), [([], True), ([bad(9, "GET /", side=ServiceEndpoint(CLIENT, POINT, 443))], False)]
)
def test_a_port_on_which_a_step_failed_for_good_does_not_stand_in_for_another(steps, spared, read):
    web = [f"2 {CLIENT}:51000 > {POINT}:80/tcp REJ", f"3 {CLIENT}:51001 > {POINT}:443/tcp SF"]
    (client,) = audit(read, Taken([f"0 {SERVER}:50000 > {CLIENT}:445/tcp SF", *web], steps=steps)).clients
    http = client.requirement("client-push/http-management-point")
    assert http.verdict == "refused"
    assert ("No impact: TCP 443 is an alternative and is open." in http.explanation) == spared
    assert (http.remedy_text == "No change is required while the other port works.") == spared
    assert http.remedy[0].place == "management-point"


# which failure decides


def test_a_failure_is_fatal(talked):
    assert problems(talked([bad(9, "log on", FAILURE)])) == [(9, "STATUS_LOGON_FAILURE", True)]


def test_a_failure_after_which_the_same_step_goes_well_is_told_and_not_fatal(talked):
    told = talked([bad(9, "log on", FAILURE), good(20, "log on")])
    assert problems(told) == [(9, "STATUS_LOGON_FAILURE", False)]


def test_another_step_that_goes_well_afterwards_does_not_mend_it(talked):
    told = talked([bad(9, "connect to ADMIN$"), good(20, "connect to IPC$")])
    assert problems(told) == [(9, "STATUS_ACCESS_DENIED", True)]


def test_a_step_that_went_well_before_does_not_mend_it(talked):
    told = talked([good(5, "log on"), bad(9, "log on", FAILURE)])
    assert problems(told) == [(9, "STATUS_LOGON_FAILURE", True)]


def test_windows_does_not_tell_capital_letters_apart(talked):
    told = talked([bad(9, "GET /SMS_MP/.sms_aut"), good(20, "GET /sms_mp/.SMS_AUT")])
    assert [one.fatal for one in told.problems] == [False]


def test_the_last_of_several_failures_of_a_step_decides(talked):
    told = talked([bad(9, "log on", FAILURE), bad(20, "log on", DENIED)])
    assert problems(told) == [(9, "STATUS_LOGON_FAILURE", False), (20, "STATUS_ACCESS_DENIED", True)]


def test_the_same_failure_again_and_again_is_told_once_where_it_was_last(talked):
    told = talked([bad(frame, "log on", FAILURE) for frame in (9, 20, 31)])
    assert problems(told) == [(31, "STATUS_LOGON_FAILURE", True)]


def test_a_step_that_goes_well_on_another_layer_mends_it(talked):
    told = talked([bad(9, "open winreg", layer="pipe"), good(20, "open winreg")])
    assert problems(told) == [(9, "STATUS_ACCESS_DENIED", False)]


def test_a_logon_without_account_does_not_mend_that_of_an_account(talked):
    told = talked([bad(9, "log on", FAILURE, account=PUSH), good(20, "log on", account="anonymous")])
    assert problems(told) == [(9, "STATUS_LOGON_FAILURE", True)]


def test_a_logon_with_another_account_mends_it(talked):
    told = talked([bad(9, "log on", FAILURE, account=PUSH), good(20, "log on", account=r"LAB\SITE1$")])
    assert problems(told) == [(9, "STATUS_LOGON_FAILURE", False)]


@pytest.mark.parametrize(("layer", "fatal"), [("rpc-fault", False), ("dcom", True), ("service", True)])
def test_a_response_whose_result_is_not_visible_mends_only_a_fault(layer, fatal, talked):
    told = talked([bad(9, "activate WMI", FAULT, layer=layer), answered(20, "activate WMI")])
    assert problems(told) == [(9, "nca_s_fault_access_denied", fatal)]


def test_what_failed_behind_a_response_that_shows_nothing_decides(talked):
    told = talked([bad(9, "x", layer="dcom"), answered(20, "x"), good(31, "x")])
    assert problems(told) == [(9, "STATUS_ACCESS_DENIED", False)]


def test_the_same_failure_of_two_accounts_is_told_twice(talked):
    told = talked([bad(9, "log on", FAILURE, account=PUSH), bad(20, "log on", FAILURE, account=r"LAB\admin")])
    assert [(one.account, one.fatal) for one in told.problems] == [(PUSH, False), (r"LAB\admin", True)]


def test_an_answer_that_ends_nothing_is_not_fatal_even_if_it_is_the_last(talked):
    assert problems(talked([bad(9, "log on", NOTICE)])) == [(9, "0xc0001234", False)]


@pytest.mark.parametrize("order", [1, -1])
def test_what_a_later_capture_shows_decides_whichever_was_named_first(order, talked):
    told = talked([bad(9, "log on", FAILURE)], [good(9, "log on")], order=order)
    assert problems(told) == [(9, "STATUS_LOGON_FAILURE", False)]


def test_what_is_fatal_is_told_however_much_was_mended_before(talked):
    steps = [bad(frame, f"open {frame}") for frame in range(2 * MOST_PROBLEMS)]
    mended = [good(100 + frame, f"open {frame}") for frame in range(2 * MOST_PROBLEMS)]
    told = talked([*steps, *mended, bad(300, "connect to ADMIN$")])
    assert len(told.problems) == MOST_PROBLEMS
    assert [one for one in problems(told) if one[2]] == [(300, "STATUS_ACCESS_DENIED", True)]
    assert told.evidence[0].frames == (300,)


def test_problems_are_in_the_order_of_their_frames(talked):
    told = talked([bad(9, "log on", NOTICE), bad(20, "connect to ADMIN$"), bad(31, "open svcctl", NOTICE)])
    assert [one.frame for one in told.problems] == [9, 20, 31]


# whose steps


def test_steps_of_another_port_or_another_host_are_not_of_this_connection(talked):
    others = [
        bad(9, "log on", side=ServiceEndpoint(SERVER, CLIENT, 139)),
        bad(10, "log on", side=ServiceEndpoint(SERVER, "10.0.0.21", 445)),
        bad(11, "log on", side=ServiceEndpoint(CLIENT, SERVER, 445)),
    ]
    assert talked(others) == EMPTY_SUMMARY


def test_where_nothing_was_said_nothing_is_told(talked):
    assert talked([]) == EMPTY_SUMMARY


# what is told


def test_a_problem_says_step_name_frame_and_meaning(talked):
    (problem,) = talked([bad(9, "connect to ADMIN$")]).problems
    assert problem.text == "connect to ADMIN$: STATUS_ACCESS_DENIED (frame 9): access denied."
    assert problem.layer == "smb"


def test_a_problem_names_the_account(talked):
    (problem,) = talked([bad(9, "connect to ADMIN$", account=PUSH)]).problems
    text = rf"connect to ADMIN$ as {PUSH}: STATUS_ACCESS_DENIED (frame 9): access denied."
    assert (problem.step, problem.account, problem.text) == ("connect to ADMIN$", PUSH, text)


def test_what_was_only_answered_is_not_said_to_have_gone_well(talked):
    told = talked([good(2, "log on"), answered(4, "activate WMI"), answered(6, "ask WMI")])
    assert told.text == "Completed: log on. Response received, result not visible: activate WMI, ask WMI."
    assert told.problems == ()


def test_what_went_well_once_is_not_told_as_only_answered_too(talked):
    told = talked([answered(2, "ask WMI"), good(4, "ask WMI"), answered(6, "ask WMI")])
    assert told.text == "Completed: ask WMI."


def test_what_went_well_is_told_each_step_once(talked):
    told = talked([good(2, "log on"), good(4, "log on"), good(6, "connect to IPC$")])
    assert told[:4] == ("Completed: log on, connect to IPC$.", (), (), ())


def test_of_many_steps_the_last_are_told_which_is_how_far_it_came(talked):
    told = talked([good(frame, f"step {frame}") for frame in range(1, MOST_STEPS + 4)])
    assert told.text.startswith("Completed: ..., step 4, ")
    assert told.text.endswith(f"step {MOST_STEPS + 3}.")


def test_an_interface_that_was_called_was_opened(talked):
    told = talked([good(2, "open the RPC interface svcctl"), good(4, "call the RPC interface svcctl")])
    assert told.text == "Completed: call the RPC interface svcctl."


def test_the_remedy_is_that_of_what_decides(talked):
    told = talked([bad(9, "log on", FAILURE), good(12, "log on"), bad(20, "connect to ADMIN$"), bad(31, "open x")])
    assert told.remedy == "Make it an administrator."


def test_nothing_fatal_needs_no_remedy(talked):
    assert talked([bad(9, "log on", NOTICE)]).remedy == ""


def test_what_is_fatal_is_proven_by_its_frame(talked):
    (proof,) = talked([good(5, "log on"), bad(9, "connect to ADMIN$")]).evidence
    assert (proof.source, proof.frames, proof.display_filter) == (0, (9,), "frame.number == 9")
    assert proof.text == "connect to ADMIN$: STATUS_ACCESS_DENIED."


def test_the_proof_is_in_the_source_that_shows_it(talked):
    told = talked([good(5, "log on")], [bad(9, "connect to ADMIN$")])
    assert [(proof.source, proof.frames) for proof in told.evidence] == [(1, (9,))]
