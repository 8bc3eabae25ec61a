"""Push requests of ccm.log: what the Client Configuration Manager of a site server reports of each client push.

Several threads write at once, so records are grouped by thread: what a thread writes belongs to the request that it
began last. Queries of the database and changes of queues name a request, and belong to it whichever thread wrote them.

The words are those of SMS 2.0 up to the current branch. Sources: KB 925282; knowledge-base articles Q262298, Q267929,
Q299772; logs in the Microsoft Q&A threads 965723 and 1000404. Rows marked "not in a stored log" are common knowledge.
"""

from __future__ import annotations

import re
import sys
from collections import Counter, OrderedDict, deque
from collections.abc import Callable, Iterable
from dataclasses import dataclass, replace
from functools import lru_cache
from typing import NamedTuple

from auditor.sources.configmgr.facts import (
    InstallStep,
    LogRecord,
    PushRequest,
    ReportedStep,
    RequestStatus,
    StepOutcome,
)

COMPONENT = "SMS_CLIENT_CONFIG_MANAGER"
MACHINE_ACCOUNT = "machine account"  # of the site server, as the log calls it

LONGEST_TEXT = 500  # characters of a step's text
LONGEST_NAME = 260  # characters of a request's number or machine
LONGEST_ENTRY = 2000  # characters of a record that are looked at; what a site server writes has up to some hundred
MOST_STEPS = 200  # of a request: the first 150 and the last 50
FIRST_STEPS = 150
MOST_OPEN = 1000  # requests at once; a site server uses some tens of threads
FEW_REQUESTS = 10_000  # up to this number all are kept
MOST_OF_MACHINE = 3  # requests beyond that: the latest; a machine that is off gets 168 in a week
MOST_REQUESTS = 100_000  # of all machines: the latest
MOST_KEPT_STEPS = 200_000  # of finished requests, about 100 MB; beyond, a request keeps what decides
MOST_UNKNOWN = 100

_S, _O = InstallStep, StepOutcome


class _Words(NamedTuple):
    """What a record reports. The pattern begins with a word; arrows and "ERROR:" in front of it are not part of it.

    Named groups: `code` as decimal number, signed or not, or with 0x; `hex` as hexadecimal digits alone; `target`;
    `account`.
    """

    step: InstallStep
    outcome: StepOutcome
    pattern: str


_SHARE = r"(?P<target>\\\\[^\s'<>]{1,260})"
_USING = r"using (?:account '?(?P<account>[^'()\n]{0,260}?)'?|(?P<machine>machine account))"
_ON_MACHINE = r'on (?:remote )?machine "(?P<target>[^"]{1,260})"'
# No two unbounded repetitions of the same character: texts of hostile logs are long.
_ERROR = r"(?:error(?: code)? ?[=:-]? ?|\( ?|failed[:.,]? ?(?:- )?)(?P<code>0x[0-9A-Fa-f]{1,8}|-?\d{1,10})\b"

TABLE: tuple[_Words, ...] = (
    # The account is chosen.
    _Words(_S.ACCOUNT, _O.NEUTRAL, r"Trying the 'best-shot' account\b"),
    _Words(_S.ACCOUNT, _O.NEUTRAL, r"Trying each entry in the SMS Client Remote Installation account list"),
    _Words(_S.ACCOUNT, _O.NEUTRAL, r"Trying all accounts in turn"),
    _Words(_S.ACCOUNT, _O.NEUTRAL, r"The 'best-shot' account has now succeeded \d+ times and failed \d+ times"),
    _Words(
        _S.ACCOUNT,
        _O.FAILED,
        r"The (?:account '(?P<account>[^']{0,260})'|SMS service account) does not have administrative rights "
        rf"{_ON_MACHINE}",
    ),
    _Words(
        _S.ACCOUNT,
        _O.FAILED,
        r"LogonUser failed .{0,80}?using account (?P<account>[^()\n]{0,260}?) ?\((?P<hex>\w{8})\)",
    ),
    # The share ADMIN$ is connected.
    _Words(_S.ADMIN_SHARE, _O.NEUTRAL, rf"Attempting to connect to administrative share '{_SHARE}' {_USING}\.?$"),
    _Words(_S.IPC_SHARE, _O.SUCCEEDED, r"NetUseAdd succeeded for IPC\$ authentication"),
    _Words(_S.IPC_SHARE, _O.FAILED, rf"NetUseAdd failed for IPC\$ authentication(?:.{{0,80}}?{_ERROR})?"),
    _Words(_S.ADMIN_SHARE, _O.SUCCEEDED, r"NetUseAdd succeeded\b"),
    _Words(_S.ADMIN_SHARE, _O.FAILED, rf"NetUse(?:Add|Ex) {_ERROR}"),  # not in a stored log
    _Words(_S.IPC_SHARE, _O.NEUTRAL, r"Sspi\w+ succeeded for IPC\$ authentication"),
    _Words(_S.IPC_SHARE, _O.FAILED, rf"Sspi\w+ failed for IPC\$ authentication(?:.{{0,80}}?{_ERROR})?"),
    _Words(_S.ADMIN_SHARE, _O.NEUTRAL, r"Sspi\w+ succeeded\b"),
    _Words(_S.ADMIN_SHARE, _O.FAILED, rf"Sspi\w+ (?:{_ERROR}|failed)"),
    _Words(
        _S.ADMIN_SHARE,
        _O.FAILED,
        r"WNetAddConnection2 failed .{0,80}?using account (?P<account>[^()\n]{0,260}?) ?\((?P<hex>[0-9A-Fa-f]{8})\)",
    ),
    _Words(_S.ADMIN_SHARE, _O.FAILED, rf"WNetAddConnection2 failed.{{0,80}}?{_ERROR}"),
    _Words(
        _S.IPC_SHARE,
        _O.FAILED,
        rf"Failed to connect to (?P<target>\\\\[^\\\s]{{1,260}}\\[Ii][Pp][Cc]\$) {_USING} ?{_ERROR}",
    ),
    _Words(_S.ADMIN_SHARE, _O.FAILED, rf"Failed to connect to {_SHARE} {_USING} ?{_ERROR}"),
    _Words(
        _S.ADMIN_SHARE,
        _O.SUCCEEDED,
        rf"Connected to administrative share on machine (?P<target>\S{{1,260}}) {_USING}\.?$",
    ),
    _Words(
        _S.ADMIN_SHARE,
        _O.FAILED,
        rf'Unable to access target machine for request: "[^"]*", machine name: "(?P<target>[^"]{{1,260}})",? *{_ERROR}',
    ),
    # 5 and 53 have the same words there; the code is in the lines before it, and the database gets it.
    _Words(
        _S.ADMIN_SHARE,
        _O.FAILED,
        r'Unable to access target machine for request: "[^"]*", machine name: "(?P<target>[^"]{1,260})"',
    ),
    _Words(
        _S.REMOTE_REGISTRY,
        _O.FAILED,
        rf'Unable to connect to remote registry for machine name "(?P<target>[^"]{{1,260}})"(?:, *{_ERROR})?',
    ),
    # IPC$ is connected, and the lock file is looked for.
    _Words(
        _S.IPC_SHARE,
        _O.NEUTRAL,
        r"Attempting to make IPC connection to share\s*(?:<?(?P<target>\\\\[^\s<>]{1,260})>?)?",
    ),
    _Words(_S.LOCK_FILE, _O.NEUTRAL, rf"Searching for SMSClientInstall\.\* under '{_SHARE}'"),
    _Words(_S.LOCK_FILE, _O.NEUTRAL, rf"Deleting SMS Client Install Lock File '{_SHARE}'"),
    # WMI is connected, first with Kerberos.
    _Words(
        _S.WMI,
        _O.FAILED,
        r'Unable to connect to remote machine "(?P<target>[^"]{1,260})" using Kerberos with '
        rf"(?:alternate account|(?P<machine>machine account)), {_ERROR}",
    ),
    _Words(_S.WMI, _O.NEUTRAL, r'NTLM fallback is enabled, remote machine "(?P<target>[^"]{1,260})" is continuing'),
    _Words(
        _S.WMI, _O.SKIPPED, r'NTLM fallback is not enabled, remote machine "(?P<target>[^"]{1,260})" is not continuing'
    ),
    # The namespace is one of the client: it does not exist before the first installation.
    _Words(
        _S.WMI, _O.NEUTRAL, rf"Unable to connect to WMI \(root\\ccm\) {_ON_MACHINE}(?:, *error = 0x8004100[Ee])?\.?$"
    ),
    _Words(_S.WMI, _O.FAILED, rf"Unable to connect to WMI (?:\([^)]{{0,80}}\) )?{_ON_MACHINE}, *{_ERROR}"),
    _Words(
        _S.WMI, _O.FAILED, rf"Unable to get Win32_\w+ object from WMI {_ON_MACHINE}, *{_ERROR}"
    ),  # not in a stored log
    # The computer is looked at. What of a client is missing on it is normal before the first installation.
    _Words(  # not in a stored log: the client is installed again
        _S.VERSION_CHECK,
        _O.NEUTRAL,
        r"Mobile client on the target machine has the same version, and 'forced' flag is turned on\b",
    ),
    _Words(_S.VERSION_CHECK, _O.SKIPPED, r"Mobile client on the target machine has the same version"),
    _Words(_S.ASSIGNMENT_CHECK, _O.SKIPPED, r"Travel mode is turned ON & the client is NOT currently assigned"),
    _Words(
        _S.CLIENT_CHECK, _O.NEUTRAL, r"Could not retrieve the (?:heartbeat time|site config timestamp) from the client"
    ),
    _Words(
        _S.CLIENT_CHECK, _O.NEUTRAL, r"Unable to retrieve (?:a sites list|travel mode switch|pending command value) "
    ),
    _Words(_S.CLIENT_CHECK, _O.NEUTRAL, r"System OS version string "),  # not in a stored log
    _Words(_S.CLIENT_CHECK, _O.NEUTRAL, r"Service Pack version from machine "),  # not in a stored log
    # Files are copied, and the service is started.
    _Words(_S.COPY, _O.NEUTRAL, rf"Copying client files to {_SHARE}"),
    _Words(
        _S.COPY, _O.NEUTRAL, r"Creating \\ VerifyingCopying existence of destination directory "
    ),  # not in a stored log
    _Words(_S.COPY, _O.NEUTRAL, r'Copying file "[^"]*" to "'),
    _Words(_S.COPY, _O.FAILED, rf"Unable to copy .{{0,500}}?{_ERROR}"),  # not in a stored log
    _Words(_S.COPY, _O.FAILED, rf"Failed to copy .{{0,500}}?{_ERROR}"),  # not in a stored log
    _Words(_S.SERVICE, _O.SUCCEEDED, rf'Created service "[^"]*" {_ON_MACHINE}'),
    _Words(_S.SERVICE, _O.SUCCEEDED, rf'Updated service "[^"]*" {_ON_MACHINE}'),  # not in a stored log
    _Words(_S.SERVICE, _O.SUCCEEDED, rf'Started service "[^"]*" {_ON_MACHINE}'),
    _Words(_S.SERVICE, _O.FAILED, rf'Unable to (?:create|start|update) service "[^"]*" {_ON_MACHINE}, *{_ERROR}'),
    _Words(_S.SERVICE, _O.FAILED, rf"Failed to (?:create|start) .{{0,80}}?service on (?P<target>\S{{1,260}}) {_ERROR}"),
)

# Whatever the reason is, the site server ends such a request without a push.
_DISCARDED = _Words(_S.CLIENT_CHECK, _O.SKIPPED, r"\b(?:Not processing this CCR|Discarding CCR)\b")
_DISCARDS = re.compile(_DISCARDED.pattern)
_ID = r'"(?P<id>[^"]{0,260})"'
_NAMED = rf'{_ID},? ?(?:for )?machine name:? "(?P<name>[^"]{{0,260}})"'
_BEGIN = re.compile(rf"Begin Processing request: {_NAMED}")
_END = re.compile(rf"End request: {_ID}(?:,? ?machine name:? \"(?P<name>[^\"]{{0,260}})\")?")
_RECEIVED = re.compile(rf'Received request: {_NAMED} on queue: "(?P<queue>[^"]*)"')
_STORED = re.compile(rf'Stored request {_NAMED}, in queue "(?P<queue>[^"]*)"')
_FINISHED = re.compile(rf"(?P<verb>Completed|Deleted) request {_NAMED}")
# A query of another procedure has none of the groups.
_QUERY = re.compile(
    r"Execute query(?: exec \[(?P<procedure>sp_CP_\w+)\] (?P<id>[^\s,]{1,260}), *(?P<value>-?\d{1,10})?)?"
)
_ANY_REQUEST = re.compile(rf"(?:request:? ){_NAMED}")

_BEGINNING = re.compile(r"[-=<>~\s]*(?:(?:ERROR|WARNING|Warning|Error):\s*)?(\w+)")
_TROUBLE = re.compile(r"\bERROR\b|\b[Ff]ail(?:ed|ure)\b|\b[Uu]nable to\b|\b[Cc](?:annot|ould not|an't)\b|\bGiving up\b")
_ARROW = re.compile(r"\s*~?\s*-{2,}>")

_STATUSES = tuple(RequestStatus)
_STATUS_OUTCOMES = {
    RequestStatus.SKIPPED: StepOutcome.SKIPPED,
    RequestStatus.COMPLETE: StepOutcome.SUCCEEDED,
    RequestStatus.FAILED: StepOutcome.FAILED,
}
# A step that begins shows that those before it succeeded; WMI and the share are tried in several ways.
_REACHED = {_S.IPC_SHARE, _S.LOCK_FILE, _S.CLIENT_CHECK, _S.VERSION_CHECK, _S.ASSIGNMENT_CHECK, _S.COPY}
_ORDER = {step: number for number, step in enumerate(InstallStep)}


def _by_word(rows: Iterable[_Words]) -> dict[str, list[tuple[_Words, re.Pattern[str]]]]:
    """Return the rows by the word with which their records begin, where many begin alike by the part of it."""
    index: dict[str, list[tuple[_Words, re.Pattern[str]]]] = {}
    for row in rows:
        word = _BEGINNING.match(row.pattern)
        assert word is not None, row.pattern
        index.setdefault(_key(word[1]), []).append((row, re.compile(row.pattern)))
    return index


def _key(word: str) -> str:
    return word[:4] if word.startswith(("Sspi", "NetU")) else word


_ROWS = _by_word(TABLE)


@dataclass(frozen=True, slots=True)
class PushLog:
    """What a ccm.log reports.

    Attributes:
        requests: Push requests in the order of their first lines; if they are many, of each machine the latest three.
        unknown_errors: Records of trouble whose step is not known, as (line, text); at most 100.
        unknown_count: How many there are.
        request_count: How many requests the log holds; `PushRequest.earlier` has the number of each machine.
        dropped_steps: Steps that were left out of requests that have very many, or because of the number of requests.
    """

    requests: tuple[PushRequest, ...]
    unknown_errors: tuple[tuple[int, str], ...]
    unknown_count: int
    request_count: int
    dropped_steps: int


@lru_cache(maxsize=1024)
def written_code(text: str) -> int:
    """Return a code as unsigned 32 bits.

    Args:
        text: Such as "0x800706BA", "53" or "-2147023174".
    """
    return int(text, 16 if text[:2] in ("0x", "0X") else 10) & 0xFFFFFFFF


def deciding_step(request: PushRequest) -> ReportedStep | None:
    """Return the step at which a request failed or was skipped, with the code of the reason.

    A failure counts until the same step succeeds or a later one begins: other accounts and names are tried in turn.
    Of the steps that failed, the first one decides, with its last record. Where that has no code, it is the one that
    the site server stored for the request, or else the one of the record before.

    Args:
        request: A request.

    Returns:
        The step, None if nothing failed.
    """
    if request.status is RequestStatus.COMPLETE:
        return None
    failed = _not_succeeded(request.steps)
    step = _last_of_first(failed)
    if step is None or step.code is not None:
        return step
    if request.error_code:
        stored = next((other for other in reversed(request.steps) if other.code == request.error_code), None)
        return replace(step, code=request.error_code, written_code=stored.written_code if stored else "")
    before = next((other for other in reversed(failed) if other.code), None)
    return step if before is None else replace(step, code=before.code, written_code=before.written_code)


def _last_of_first(failed: list[ReportedStep]) -> ReportedStep | None:
    """Return the last record of the step that decides, None if nothing failed."""
    first = min(map(_rank, failed), default=None)
    return next((step for step in reversed(failed) if _rank(step) == first), None)


def _not_succeeded(steps: Iterable[ReportedStep]) -> list[ReportedStep]:
    """Return the steps that failed or were skipped, without those that succeeded later."""
    failed: list[ReportedStep] = []
    for step in steps:
        order = _ORDER[step.step]
        if step.outcome is StepOutcome.SUCCEEDED:
            failed = [other for other in failed if _ORDER[other.step] > order]
            continue
        if step.step in _REACHED and step.outcome is not StepOutcome.FAILED:
            failed = [other for other in failed if _ORDER[other.step] >= order]
        if step.outcome is not StepOutcome.NEUTRAL:
            failed.append(step)
    return failed


def _rank(step: ReportedStep) -> tuple[int, int]:
    """Return which of several steps decides: the first that failed, not what only sums up or was not tried."""
    sums_up = step.step in (InstallStep.ACCOUNT, InstallStep.REQUEST)
    not_tried = step.outcome is StepOutcome.SKIPPED and step.step is InstallStep.WMI  # with NTLM
    return (2 if not_tried else 1 if sums_up else 0), _ORDER[step.step]


class PushRequestBuilder:
    """Collects push requests from the records of a ccm.log, within bounds.

    A record that names nothing and only says that the step at hand goes on is not kept as a step.
    """

    def __init__(self) -> None:
        self._threads: OrderedDict[int, _Open] = OrderedDict()
        self._named: dict[str, _Open] = {}
        self._queued: OrderedDict[str, _Open] = OrderedDict()
        self._kept = _Kept()
        self._unknown: list[tuple[int, str]] = []
        self._unknown_count = 0

    def add(self, record: LogRecord) -> None:
        """Use a record; those of other components are left alone."""
        component = record.component
        if component and component != COMPONENT and component.upper() != COMPONENT:
            return
        text = _last_entry(record.text) if "\n" in record.text else record.text
        if len(text) > LONGEST_ENTRY:
            text = text[:LONGEST_ENTRY]
        begin = _BEGINNING.match(text)
        if begin is None:
            return
        word, at = begin[1], begin.start(1)
        if (use := _USES.get(word)) and (match := use.pattern.match(text, at)):
            use.apply(self, record, match)
            return
        for row, pattern in _ROWS.get(_key(word), ()):
            if match := pattern.match(text, at):
                self._add_step(record, row, match)
                return
        if discards := _DISCARDS.search(text):
            self._add_step(record, _DISCARDED, discards)
        elif _TROUBLE.search(text):
            self._unknown_count += 1
            if len(self._unknown) < MOST_UNKNOWN:
                self._unknown.append((record.line, _one_line(record.text)))

    def finish(self) -> PushLog:
        """Return what the log reports."""
        for thread in list(self._threads):
            self._close(thread)
        for queued in self._queued.values():
            self._finish(queued)
        requests, seen, dropped = self._kept.result()
        return PushLog(requests, tuple(self._unknown), self._unknown_count, seen, dropped)

    def _begin(self, record: LogRecord, match: re.Match[str]) -> None:
        self._close(record.thread)
        opened = self._queued.pop(match["id"], None)
        if opened is None or not opened.is_only_queued:
            if opened is not None:
                self._finish(opened)
            opened = _Open(match["id"], match["name"])
        opened.machine = opened.machine or match["name"]
        opened.see(record)
        opened.is_request = True
        self._open(record.thread, opened)

    def _end(self, record: LogRecord, match: re.Match[str]) -> None:
        opened = self._of(record, match["id"], match["name"] or "")
        opened.see(record)
        opened.ended = True

    def _received(self, record: LogRecord, match: re.Match[str]) -> None:
        self._queue(record, match)

    def _queue(self, record: LogRecord, match: re.Match[str]) -> None:
        """Count a request that is in a queue, before a thread takes it."""
        queued = self._queue_of(match["id"], match["name"])
        queued.is_request = True
        queued.add(record, _plain(record, InstallStep.QUEUE, StepOutcome.SUCCEEDED, match["name"]))

    def _stored(self, record: LogRecord, match: re.Match[str]) -> None:
        if match["queue"].lower() == "retry":
            opened = self._of(record, match["id"], match["name"])
            opened.add(record, _plain(record, InstallStep.QUEUE, StepOutcome.NEUTRAL, match["name"]))
        else:
            self._queue(record, match)

    def _finished(self, record: LogRecord, match: re.Match[str]) -> None:
        outcome = StepOutcome.SUCCEEDED if match["verb"] == "Completed" else StepOutcome.NEUTRAL
        opened = self._of(record, match["id"], match["name"])
        opened.add(record, _plain(record, InstallStep.REQUEST, outcome, match["name"]))

    def _query(self, record: LogRecord, match: re.Match[str]) -> None:
        value, procedure = match["value"], match["procedure"]
        if value is None:  # of another procedure, or without what is looked for
            return
        if procedure == "sp_CP_SetLastErrorCode":
            opened = self._of(record, match["id"], "")
            code = written_code(value)
            outcome = StepOutcome.FAILED if code else StepOutcome.NEUTRAL
            opened.error_code = code or None
            step = _plain(record, InstallStep.REQUEST, outcome, "")
            opened.add(record, replace(step, code=code, written_code=value) if code else step)
        elif procedure == "sp_CP_SetPushRequestMachineStatus":
            opened = self._of(record, match["id"], "")
            status = _STATUSES[int(value)] if 0 <= int(value) < len(_STATUSES) else None
            opened.status = status or opened.status
            outcome = _STATUS_OUTCOMES.get(status, StepOutcome.NEUTRAL) if status else StepOutcome.NEUTRAL
            opened.add(record, _plain(record, InstallStep.REQUEST, outcome, ""))

    def _add_step(self, record: LogRecord, row: _Words, match: re.Match[str]) -> None:
        """Add a step to the request that it names, else to that of its thread."""
        if row.outcome is StepOutcome.FAILED and (named := _ANY_REQUEST.search(match.string)):
            opened = self._of(record, named["id"], named["name"])
        else:
            opened = self._of_thread(record)
        if not match.re.groups and opened.is_in(row):
            opened.see(record)
        else:
            opened.add(record, _reported(record, row, match, opened.machine))

    def _of(self, record: LogRecord, request_id: str, name: str) -> _Open:
        """Return the request that a record names: the open one of that number, else the unnamed one of its thread."""
        opened = self._named.get(request_id)
        if opened is None:
            opened = self._of_thread(record)
            if opened.id:
                return self._queue_of(request_id, name)
            self._name(opened, request_id, name)
        opened.machine = opened.machine or name
        return opened

    def _of_thread(self, record: LogRecord) -> _Open:
        """Return the request of a thread; without one, the log begins within a request."""
        opened = self._threads.get(record.thread)
        if opened is None or opened.ended:
            self._close(record.thread)
            opened = _Open("", "")
            self._open(record.thread, opened)
        return opened

    def _name(self, opened: _Open, request_id: str, name: str) -> None:
        opened.id, opened.machine = request_id, opened.machine or name
        self._named[request_id] = opened

    def _queue_of(self, request_id: str, name: str) -> _Open:
        queued = self._queued.get(request_id)
        if queued is None:
            queued = self._queued[request_id] = _Open(request_id, name)
            if len(self._queued) > MOST_OPEN:
                _, oldest = self._queued.popitem(last=False)
                self._finish(oldest)
        queued.machine = queued.machine or name
        return queued

    def _open(self, thread: int, opened: _Open) -> None:
        self._threads[thread] = opened
        if opened.id:
            self._named[opened.id] = opened
        if len(self._threads) > MOST_OPEN:
            self._close(next(iter(self._threads)))

    def _close(self, thread: int) -> None:
        """Finish the request of a thread: what follows on it belongs to another one."""
        opened = self._threads.pop(thread, None)
        if opened is not None:
            if self._named.get(opened.id) is opened:
                del self._named[opened.id]
            self._finish(opened)

    def _finish(self, opened: _Open) -> None:
        if opened.is_request:
            self._kept.dropped_steps += opened.dropped
            self._kept.add(opened.built())


class _Use(NamedTuple):
    """What is done with records that name a request."""

    pattern: re.Pattern[str]
    apply: Callable[[PushRequestBuilder, LogRecord, re.Match[str]], None]


# By the word with which they begin.
_USES = {
    "Begin": _Use(_BEGIN, PushRequestBuilder._begin),
    "End": _Use(_END, PushRequestBuilder._end),
    "Received": _Use(_RECEIVED, PushRequestBuilder._received),
    "Stored": _Use(_STORED, PushRequestBuilder._stored),
    "Completed": _Use(_FINISHED, PushRequestBuilder._finished),
    "Deleted": _Use(_FINISHED, PushRequestBuilder._finished),
    "Execute": _Use(_QUERY, PushRequestBuilder._query),
}


class _Open:
    """A request whose end has not come."""

    def __init__(self, request_id: str, machine: str) -> None:
        self.id, self.machine = request_id, machine
        self.status: RequestStatus | None = None
        self.error_code: int | None = None
        self.ended = False
        self.is_only_queued = True
        self.is_request = False  # False if it is only known to have been put back into a queue
        self.dropped = 0
        self._first: LogRecord | None = None
        self._last: LogRecord | None = None
        self._steps: list[ReportedStep] = []
        self._latest: deque[ReportedStep] = deque(maxlen=MOST_STEPS - FIRST_STEPS)

    def see(self, record: LogRecord) -> None:
        """Note that a record belongs to it."""
        if self._first is None:
            self._first = record
        self._last = record

    def add(self, record: LogRecord, step: ReportedStep) -> None:
        """Add a step."""
        self.see(record)
        if step.step is not InstallStep.QUEUE:
            self.is_request, self.is_only_queued = True, False
        if len(self._steps) < FIRST_STEPS:
            self._steps.append(step)
            return
        self.dropped += len(self._latest) == self._latest.maxlen
        self._latest.append(step)

    def is_in(self, row: _Words) -> bool:
        """Return whether a neutral record says nothing new: its step has just been reported as begun."""
        last = self._latest or self._steps
        return bool(last) and row.outcome is StepOutcome.NEUTRAL is last[-1].outcome and last[-1].step is row.step

    def built(self) -> PushRequest:
        """Return it as a record."""
        first, last = self._first, self._last
        assert first is not None
        assert last is not None
        steps = (*self._steps, *self._latest)
        return PushRequest(
            id=self.id,
            machine=self.machine or next(filter(None, map(_host, steps)), ""),
            first_line=first.line,
            last_line=last.last_line,
            first_ns=first.time_ns,
            last_ns=last.time_ns,
            steps=steps,
            status=self.status,
            error_code=self.error_code,
            complete=self.ended,
        )


class _Kept:
    """Finished requests: the latest of each machine, within bounds."""

    def __init__(self) -> None:
        self.seen = self.dropped_steps = 0
        self._steps = 0
        self._requests: OrderedDict[int, PushRequest] = OrderedDict()
        self._of_machine: dict[str, deque[int]] = {}
        self._counts: Counter[str] = Counter()

    def add(self, request: PushRequest) -> None:
        """Keep a request; it can replace an older one of its machine."""
        machine = request.machine.lower()
        numbers = self._of_machine.setdefault(machine, deque())
        if len(numbers) >= MOST_OF_MACHINE and len(self._requests) >= FEW_REQUESTS:
            self._remove(numbers.popleft())
        elif len(self._requests) == MOST_REQUESTS:
            self._remove_oldest()
            numbers = self._of_machine.setdefault(machine, numbers)
        if self._steps + len(request.steps) > MOST_KEPT_STEPS:
            request = self._shortened(request)
        self._requests[self.seen] = replace(request, earlier=self._counts[machine])
        self._steps += len(request.steps)
        self._counts[machine] += 1
        numbers.append(self.seen)
        self.seen += 1

    def result(self) -> tuple[tuple[PushRequest, ...], int, int]:
        """Return the requests by their first lines, how many there were, and how many steps are missing."""
        requests = sorted(self._requests.values(), key=lambda request: (request.first_line, request.last_line))
        return tuple(requests), self.seen, self.dropped_steps

    def _remove(self, number: int) -> None:
        self._steps -= len(self._requests.pop(number).steps)

    def _remove_oldest(self) -> None:
        number, request = self._requests.popitem(last=False)
        self._steps -= len(request.steps)
        machine = request.machine.lower()
        self._of_machine[machine].remove(number)
        if not self._of_machine[machine]:
            del self._of_machine[machine], self._counts[machine]

    def _shortened(self, request: PushRequest) -> PushRequest:
        failed = _not_succeeded(request.steps)
        coded = next((step for step in reversed(failed) if step.code), None)
        last = _last_of_first(failed) or next(reversed(request.steps), None)
        needed = {id(step) for step in (last, coded)}
        steps = tuple(step for step in request.steps if id(step) in needed)
        self.dropped_steps += len(request.steps) - len(steps)
        return replace(request, steps=steps)


# ---- one record


def _last_entry(text: str) -> str:
    """Return the last line with an arrow: lines of something else can be in front of it."""
    lines = text.split("\n")
    return next((line for line in reversed(lines) if _ARROW.match(line)), lines[0])


def _one_line(text: str) -> str:
    return (text.replace("\n", " ") if "\n" in text else text)[:LONGEST_TEXT]


def _reported(record: LogRecord, row: _Words, match: re.Match[str], machine: str) -> ReportedStep:
    """Return a step; texts that many steps share are kept once."""
    code, written, target, account = None, "", "", ""
    if match.re.groups:
        groups = match.groupdict()
        if digits := groups.get("hex"):
            code, written = written_code(f"0x{digits}"), sys.intern(digits)
        elif decimal := groups.get("code"):
            code, written = written_code(decimal), sys.intern(decimal)
        target = (groups.get("target") or "").rstrip(".")
        target = machine if target == machine else target
        account = MACHINE_ACCOUNT if groups.get("machine") else sys.intern((groups.get("account") or "").strip())
    return ReportedStep(
        row.step,
        row.outcome,
        record.line,
        record.last_line,
        record.time_ns,
        _one_line(record.text),
        code,
        written,
        None,
        target,
        None,
        account,
    )


def _plain(record: LogRecord, step: InstallStep, outcome: StepOutcome, target: str) -> ReportedStep:
    text = _one_line(record.text)
    return ReportedStep(step, outcome, record.line, record.last_line, record.time_ns, text, target=target)


def _host(step: ReportedStep) -> str:
    """Return the computer of a target such as \\\\HOST\\admin$."""
    return step.target.lstrip("\\").split("\\", 1)[0]
