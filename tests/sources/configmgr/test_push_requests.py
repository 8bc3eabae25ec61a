"""Push requests of ccm.log: steps in the words of every generation, requests by thread, retries, bounds."""

from __future__ import annotations

import csv
import re
import tracemalloc
from collections.abc import Iterable, Iterator
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from auditor.sources.configmgr import push_requests
from auditor.sources.configmgr.facts import (
    InstallStep,
    LogRecord,
    PushRequest,
    ReportedStep,
    RequestStatus,
    StepOutcome,
)
from auditor.sources.configmgr.push_requests import (
    TABLE,
    PushLog,
    PushRequestBuilder,
    deciding_step,
    written_code,
)

CCM = "SMS_CLIENT_CONFIG_MANAGER"
GOOD, BAD, SKIPPED, NEUTRAL = StepOutcome.SUCCEEDED, StepOutcome.FAILED, StepOutcome.SKIPPED, StepOutcome.NEUTRAL
STEP = InstallStep


def log(texts: Iterable[str | tuple[int, str]], thread: int = 7) -> PushLog:
    """Return what is reported of records, each a text or a thread with a text."""
    builder = PushRequestBuilder()
    for line, entry in enumerate(texts, 1):
        number, text = entry if isinstance(entry, tuple) else (thread, entry)
        builder.add(LogRecord(line, line, line * 10**9, True, CCM, number, None, text))
    return builder.finish()


def only(*texts: str | tuple[int, str]) -> PushRequest:
    (request,) = log(texts).requests
    return request


def decided(*texts: str) -> tuple[str, int | None] | None:
    """Return the step that decides on a request of these records, and its code."""
    step = deciding_step(only(begin(), *texts))
    return step and (step.step, step.code)


def begin(request: str = "16777217", machine: str = "PC1") -> str:
    return f'======>Begin Processing request: "{request}", machine name: "{machine}"'


def end(request: str = "16777217", machine: str = "PC1") -> str:
    return f'<======End request: "{request}", machine name: "{machine}".'


# ---- each row of the table, by a line that a site server wrote

LINES = list(
    csv.DictReader(
        (Path(__file__).parent / "ccm_log_lines.tsv").open(encoding="utf-8"), delimiter="\t", quoting=csv.QUOTE_NONE
    )
)


@pytest.mark.parametrize("line", LINES, ids=lambda line: line["text"])
def test_a_record_says_which_step_ended_how(line):
    found = log([line["text"]])
    ((reported,),) = [request.steps for request in found.requests]
    assert (reported.step, reported.outcome) == (line["step"], line["outcome"])
    assert reported.code == (int(line["code"], 0) if line["code"] else None)
    assert (reported.target, reported.account, reported.text) == (line["target"], line["account"], line["text"])
    assert not found.unknown_count


def test_every_row_of_the_table_has_a_line_here():
    texts = [re.sub(r"^[-=> ]*(?:ERROR: )?", "", text) for text in (line["text"] for line in LINES)]
    unused = []
    for number, row in enumerate(TABLE):
        hits = [text for text in texts if re.match(row.pattern, text)]
        earlier = {text for text in hits for other in TABLE[:number] if re.match(other.pattern, text)}
        if not set(hits) - earlier:
            unused.append(row.pattern)
    assert not unused


@pytest.mark.parametrize(
    ("text", "code"),
    [
        ("53", 53),
        ("-2147023174", 0x800706BA),
        ("0x800706BA", 0x800706BA),
        ("0x800706ba", 0x800706BA),
        ("2147942405", 0x80070005),
    ],
)
def test_a_code_is_the_same_however_it_is_written(text, code):
    assert written_code(text) == code


# ---- requests

KERBEROS_ONLY = r"""
======>Begin Processing request: "2097152019", machine name: "TESTPC1"
Execute query exec [sp_IsMPAvailable] N'AVH'
---> Trying the 'best-shot' account which worked for previous CCRs (index = 0x0)
---> Attempting to connect to administrative share '\\TESTPC1\admin$' using account 'TESTDOMAIN\sccmDeploy'
---> NetUseAdd succeeded!
---> Connected to administrative share on machine TESTPC1 using account 'TESTDOMAIN\sccmDeploy'
---> Attempting to make IPC connection to share  with Kerberos authentication
---> NetUseAdd succeeded for IPC$ authentication!
---> Searching for SMSClientInstall.* under '\\TESTPC1\admin$\'
---> Unable to connect to remote machine "TESTPC1" using Kerberos with alternate account, error - 0x80004005.
--> NTLM fallback is not enabled, remote machine "TESTPC1" is not continuing with client push.
---> Unable to connect to remote machine "TESTPC1" using Kerberos with machine account, error - 0x80070005.
--> NTLM fallback is not enabled, remote machine "TESTPC1" is not continuing with client push.
---> Deleting SMS Client Install Lock File '\\TESTPC1\admin$\SMSClientInstall.AVH'
Execute query exec [sp_CP_SetLastErrorCode] 2097152019, -2147024891
Stored request "2097152019", machine name "TESTPC1", in queue "Retry".
Execute query exec [sp_CP_SetPushRequestMachineStatus] 2097152019, 2
Execute query exec [sp_CP_SetLatest] 2097152019, N'08/12/2022 15:06:09', 93
<======End request: "2097152019", machine name: "TESTPC1".
""".strip().split("\n")


def test_a_request_has_its_number_its_machine_its_lines_and_how_it_ended():
    request = only(*KERBEROS_ONLY)
    assert (request.id, request.machine, request.first_line, request.last_line) == ("2097152019", "TESTPC1", 1, 19)
    assert (request.status, request.error_code, request.complete) == (RequestStatus.RETRY, 0x80070005, True)
    assert (request.first_ns, request.last_ns) == (10**9, 19 * 10**9)
    step = deciding_step(request)
    assert step is not None
    assert (step.step, step.written_code, step.line) == (STEP.WMI, "0x80070005", 12)


@pytest.mark.parametrize("cut", range(1, len(KERBEROS_ONLY) - 3))
def test_a_log_that_begins_within_a_request_still_says_what_it_is_about(cut):
    request = only(*KERBEROS_ONLY[cut:])
    assert (request.id, request.machine, request.status) == ("2097152019", "TESTPC1", RequestStatus.RETRY)


@pytest.mark.parametrize("number", range(6))
def test_the_status_of_a_request_is_the_last_that_is_stored(number):
    set_status = "Execute query exec [sp_CP_SetPushRequestMachineStatus] 16777217, {}"
    request = only(begin(), set_status.format(1), set_status.format(number), end())
    assert request.status is list(RequestStatus)[number]


def test_an_unknown_status_is_none():
    assert only(begin(), "Execute query exec [sp_CP_SetPushRequestMachineStatus] 16777217, 9").status is None


def test_an_error_code_of_zero_is_none():
    assert only(begin(), "Execute query exec [sp_CP_SetLastErrorCode] 16777217, 0", end()).error_code is None


def test_what_a_queue_reports_joins_the_request_of_its_number():
    request = only(
        (1, 'Received request: "16777217" for machine name: "PC1" on queue: "Incoming".'),
        (1, 'Stored request "16777217", machine name "PC1", in queue "Processing".'),
        (1, "Submitted request successfully"),
        (2, begin()),
        (2, end()),
    )
    assert [(step.step, step.outcome) for step in request.steps] == [(STEP.QUEUE, GOOD)] * 2
    assert (request.first_line, request.last_line, request.complete) == (1, 5, True)


def test_a_request_that_was_only_received_is_not_complete():
    request = only('Received request: "16777217" for machine name: "PC1" on queue: "Incoming".')
    assert (request.id, request.machine, request.complete) == ("16777217", "PC1", False)


def test_a_request_that_was_only_put_back_is_none():
    assert not log(['Stored request "16777217", machine name "PC1", in queue "Retry".']).requests


def test_each_retry_is_a_request_of_its_own_with_the_number_of_earlier_ones():
    found = log([begin(), end()] * 3)
    assert [(request.first_line, request.earlier) for request in found.requests] == [(1, 0), (3, 1), (5, 2)]


def test_a_query_after_the_end_still_belongs_to_the_request():
    first, second = log(
        [begin(), end(), "Execute query exec [sp_CP_SetLastErrorCode] 16777217, 53", begin(), end()]
    ).requests
    assert (first.error_code, second.error_code) == (53, None)


def test_a_request_that_another_begin_interrupts_is_not_complete():
    first, second = log([begin("1", "PC1"), begin("2", "PC2"), end("2", "PC2")]).requests
    assert (first.id, first.complete, second.id, second.complete) == ("1", False, "2", True)


def test_records_of_other_components_belong_to_no_request():
    builder = PushRequestBuilder()
    builder.add(LogRecord(1, 1, None, False, "SMS_DISCOVERY_DATA_MANAGER", 7, None, begin()))
    assert builder.finish() == PushLog((), (), 0, 0, 0)


def test_a_record_with_lines_of_something_else_in_front_is_understood():
    assert decided('half a record\n---> Unable to connect to WMI on remote machine "PC1", error = 0x800706BA.') == (
        STEP.WMI,
        0x800706BA,
    )


def test_errors_that_are_not_known_are_kept_as_they_are():
    found = log(
        [begin(), "---> ERROR: The moon is full (4711)", "---> Failed to get token for current process (5)", end()]
    )
    assert found.unknown_errors == (
        (2, "---> ERROR: The moon is full (4711)"),
        (3, "---> Failed to get token for current process (5)"),
    )


def test_only_the_first_unknown_errors_are_kept_and_all_are_counted():
    found = log(f"ERROR: number {number}" for number in range(500))
    assert (len(found.unknown_errors), found.unknown_count) == (push_requests.MOST_UNKNOWN, 500)


def test_calls_that_lead_to_a_result_are_not_steps_of_their_own():
    calls = [f"---> {call} succeeded!" for call in ("SspiExcludePackage", "SspiMarshalAuthIdentity", "NetUseAdd")]
    request = only(begin(), ADMIN, *calls, end())
    assert [(step.step, step.outcome, step.line) for step in request.steps] == [
        (STEP.ADMIN_SHARE, NEUTRAL, 2),
        (STEP.ADMIN_SHARE, GOOD, 5),
    ]


# ---- which step decides

ADMIN = "---> Attempting to connect to administrative share '\\\\PC1\\admin$' using account 'D\\push'"
GIVE_UP = (
    '---> ERROR: Unable to access target machine for request: "16777217", machine name: "PC1", '
    "access denied or invalid network path."
)
STORE = "Execute query exec [sp_CP_SetLastErrorCode] 16777217, {}"
CONNECTED = "---> Connected to administrative share on machine PC1 using account 'D\\push'"
WMI = '---> Unable to connect to WMI on remote machine "PC1", error = 0x800706BA.'
SAME_VERSION = "---> Mobile client on the target machine has the same version, and 'forced' flag is not turned on."


@pytest.mark.parametrize(
    ("texts", "decision"),
    [
        (
            [ADMIN, "---> Failed to connect to \\\\PC1\\admin$ using account D\\push (53)", GIVE_UP],
            (STEP.ADMIN_SHARE, 53),
        ),
        ([ADMIN, GIVE_UP, STORE.format(5)], (STEP.ADMIN_SHARE, 5)),
        ([ADMIN, GIVE_UP], (STEP.ADMIN_SHARE, None)),
        (["---> Failed to connect to \\\\PC1\\admin$ using account D\\a (5)", CONNECTED, WMI], (STEP.WMI, 0x800706BA)),
        ([WMI, "---> Copying client files to \\\\PC1\\admin$\\ccmsetup.", end()], None),
        ([WMI, STORE.format(-2147023174)], (STEP.WMI, 0x800706BA)),
        ([STORE.format(1305)], (STEP.REQUEST, 1305)),
        ([WMI, "Execute query exec [sp_CP_SetPushRequestMachineStatus] 16777217, 4"], None),
        (
            ["---> Mobile client on the target machine has the same version, and so on", STORE.format(120)],
            (STEP.VERSION_CHECK, 120),
        ),
        (
            ["---> Failed to connect to \\\\PC1\\admin$ using account D\\a (5)", SAME_VERSION],
            (STEP.VERSION_CHECK, None),
        ),
        (["---> PC1 is a laboratory computer. Not processing this CCR."], (STEP.CLIENT_CHECK, None)),
        (["---> Mobile client on the target machine has the same version, and 'forced' flag is turned on."], None),
        (["---> ERROR: The account '' does not have administrative rights on machine \"PC1\"."], (STEP.ACCOUNT, None)),
        (
            ['--> NTLM fallback is not enabled, remote machine "PC1" is not continuing with client push.'],
            (STEP.WMI, None),
        ),
        ([CONNECTED, '---> Unable to connect to WMI (root\\ccm) on remote machine "PC1", error = 0x8004100e.'], None),
        (['---> Started service "ccmsetup" on machine "PC1".'], None),
    ],
)
def test_the_first_step_that_did_not_succeed_later_decides(texts, decision):
    assert decided(*texts) == decision


def test_a_code_that_only_the_site_server_stored_is_quoted_as_it_is_stored():
    step = deciding_step(only(begin(), GIVE_UP, STORE.format(-2147024891)))
    assert step is not None
    assert (step.code, step.written_code) == (0x80070005, "-2147024891")


# ---- threads


def a_request(number: int) -> list[str]:
    """Return the records of one of several different requests."""
    machine, request = f"PC{number}", str(16777217 + number)
    share = rf"\\{machine}\admin$"
    middle = [
        [f"---> Failed to connect to {share} using account D\\push ({number})", GIVE_UP.replace("16777217", request)],
        [f'---> Unable to connect to WMI on remote machine "{machine}", error = 0x800706BA.'],
        [
            f"---> Copying client files to {share}\\ccmsetup.",
            f'---> Started service "ccmsetup" on machine "{machine}".',
        ],
    ][number % 3]
    return [
        begin(request, machine),
        f"---> Attempting to connect to administrative share '{share}' using account 'D\\push'",
        *middle,
        f"Execute query exec [sp_CP_SetLastErrorCode] {request}, {number}",
        end(request, machine),
    ]


def without_lines(request: PushRequest) -> tuple[object, ...]:
    steps = [(step.step, step.outcome, step.code, step.text, step.target, step.account) for step in request.steps]
    return request.id, request.machine, request.error_code, request.status, request.complete, request.earlier, steps


@settings(max_examples=100, deadline=None)
@given(st.randoms(use_true_random=False))
def test_interleaved_requests_have_the_same_steps_however_their_threads_take_turns(random):
    alone = [without_lines(only(*a_request(number))) for number in range(20)]
    left = [[(number, text) for text in a_request(number)] for number in range(20)]
    turns = [number for number in range(20) for _ in left[number]]
    random.shuffle(turns)
    found = log(left[number].pop(0) for number in turns)
    assert sorted(map(without_lines, found.requests)) == sorted(alone)


@settings(max_examples=50, deadline=None)
@given(
    st.lists(
        st.sampled_from([text for number in range(4) for text in a_request(number)] + ["rubbish", ""]), max_size=60
    ),
    st.integers(1, 4),
)
def test_records_in_any_order_are_no_error(texts, threads):
    found = log((number % threads, text) for number, text in enumerate(texts))
    for request in found.requests:
        deciding_step(request)
        assert request.first_line <= request.last_line <= len(texts)
        assert all(request.first_line <= step.line <= request.last_line for step in request.steps)


# ---- bounds


def test_a_request_that_never_ends_keeps_its_first_and_last_steps():
    found = log([begin(), *[WMI] * 5000])
    (request,) = found.requests
    assert len(request.steps) == push_requests.MOST_STEPS
    assert (request.steps[0].line, request.steps[-1].line, request.last_line) == (2, 5001, 5001)
    assert found.dropped_steps == 5000 - push_requests.MOST_STEPS


def test_of_very_many_requests_those_of_each_machine_that_are_latest_are_kept(monkeypatch):
    monkeypatch.setattr(push_requests, "FEW_REQUESTS", 10)
    monkeypatch.setattr(push_requests, "MOST_REQUESTS", 20)
    found = log(text for number in range(100) for text in (begin(str(number), f"PC{number % 3}"), end(str(number), "")))
    assert found.request_count == 100
    assert len(found.requests) == 10
    assert [request.earlier for request in found.requests][-3:] == [32, 32, 33]
    found = log(text for number in range(100) for text in (begin(str(number), f"PC{number}"), end(str(number), "")))
    assert [request.machine for request in found.requests] == [f"PC{number}" for number in range(80, 100)]


def test_beyond_a_number_of_steps_a_request_keeps_what_failed(monkeypatch):
    monkeypatch.setattr(push_requests, "MOST_KEPT_STEPS", 4)
    first, second = log([begin("1"), ADMIN, CONNECTED, WMI, begin("2"), ADMIN, CONNECTED, WMI]).requests
    assert [step.step for step in first.steps] == [STEP.ADMIN_SHARE, STEP.ADMIN_SHARE, STEP.WMI]
    assert [step.step for step in second.steps] == [STEP.WMI]
    assert deciding_step(second) == second.steps[0]


def endless(count: int) -> Iterator[tuple[int, str]]:
    for number in range(count):
        yield number, begin(str(number), f"PC{number}")
        yield number, WMI.replace("PC1", f"PC{number}")


def test_a_million_requests_do_not_take_more_memory_than_those_that_are_kept(monkeypatch):
    monkeypatch.setattr(push_requests, "FEW_REQUESTS", 500)
    monkeypatch.setattr(push_requests, "MOST_REQUESTS", 1000)
    monkeypatch.setattr(push_requests, "MOST_KEPT_STEPS", 2000)
    monkeypatch.setattr(push_requests, "MOST_OPEN", 100)

    def peak(count: int) -> int:
        tracemalloc.start()
        builder = PushRequestBuilder()
        for line, (thread, text) in enumerate(endless(count)):
            builder.add(LogRecord(line, line, None, False, CCM, thread, None, text))
        assert builder.finish().request_count == count
        result = tracemalloc.get_traced_memory()[1]
        tracemalloc.stop()
        return result

    assert peak(8000) < 1.2 * peak(2000)


@pytest.mark.parametrize(
    "text",
    [
        "---> " + "Unable to connect to remote machine " * 20_000,
        "---> " + "Failed to connect to \\\\" * 20_000,
        "---> Failed to copy " + "(" * 200_000,
        "---> Unable to copy " + "error " * 100_000,
        "WNetAddConnection2 failed " + "using account " * 100_000,
        "-" * 200_000,
        "---> Unable to connect to WMI on remote machine" + " " * 200_000,
        "---> Failed to copy x error" + " " * 200_000,
        'Stored request "1"' + " " * 200_000,
        'Stored request "' + "x" * 200_000,
        "Execute query exec [sp_CP_" + "x" * 200_000,
        "---> Attempting to connect to administrative share '\\\\" + "x" * 200_000,
        '======>Begin Processing request: "' + '", machine name: "' * 50_000,
    ],
)
def test_hostile_text_is_no_step_or_has_a_bounded_text(text):
    for request in log([text]).requests:
        assert all(len(step.text) <= push_requests.LONGEST_TEXT for step in request.steps)
        assert all(len(step.target) <= push_requests.LONGEST_NAME for step in request.steps)


def test_a_step_is_a_frozen_record():
    step = only(begin(), WMI).steps[0]
    assert isinstance(step, ReportedStep)
    assert hash(step)
