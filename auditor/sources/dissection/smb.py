"""SMB, both dialects: logons, shares, files, and pipes."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, NamedTuple

from auditor.ruleset.known_problems import ignored_codes, lookup_status, problems, push
from auditor.sources.dissection.accounts import USER
from auditor.sources.dissection.kerberos import KERBEROS, logon_error, logon_failure
from auditor.sources.dissection.packets import FILE_IDS, Connection, Ends, answered_side, connection_of, last_of
from auditor.sources.dissection.steps import Action, ProtocolStep, StepKind

if TYPE_CHECKING:
    from auditor.sources.dissection.tshark import DissectedPacket

NEGOTIATE, SESSION_SETUP, TREE_CONNECT, CREATE, CLOSE, WRITE = 0, 1, 3, 5, 6, 9
OPEN_EXISTING, IS_FOLDER = "1", "1"
SMB1_STEPS = {0x72: NEGOTIATE, 0x73: SESSION_SETUP, 0x75: TREE_CONNECT, 0xA2: CREATE}
TREES, NAMES = ("smb2.tree", "smb.path"), ("smb2.filename", "smb.file")
ROOT = "<share>"  # instead of the empty name of the root of a share, since tshark 4.6
LOGON_FAILURE = "0xc000006d"


def smb_steps(packets: list[DissectedPacket]) -> Iterator[ProtocolStep]:
    """Yield what the responses of SMB servers show, in order of frames."""
    asked: dict[tuple[object, ...], _RequestTarget] = {}
    files: dict[
        tuple[object, ...], _RequestTarget
    ] = {}  # by connection and the number that the server gave the open file
    logons = _Logons()
    for packet in packets:
        connection = connection_of(packet)
        for command, response, status, message in _messages(packet):
            if not response:
                of_file = files.pop((connection, last_of(packet, FILE_IDS)), None) if command == CLOSE else None
                asked[connection, command, message] = of_file or _request_target(packet, command)
                logons.request(packet, connection)
                continue
            about = asked.get((connection, command, message)) or _request_target(packet, WRITE)
            if command == CREATE and not about.name:  # tshark 4.6 shows it in the response only
                about = about._replace(name=_name_in(packet))
            if command == CREATE and about.written and about.name and about.of_push:
                files[connection, last_of(packet, FILE_IDS)] = about
            if command == WRITE and _failed(status):  # what is closed then is no copy
                files = {key: file for key, file in files.items() if key[0] != connection}
            if command == SESSION_SETUP:
                yield from logons.response(packet, connection, status)
            else:
                yield from _step(packet, command, status, about)


def shares(packets: list[DissectedPacket]) -> Iterator[tuple[Ends, str]]:
    """Yield who connected to whose share."""
    for packet in packets:
        for command, response, _, _ in _messages(packet):
            if command == TREE_CONNECT and not response:
                yield (packet.src, packet.dst), last_of(packet, TREES).rpartition("\\")[2].lower()


def push_files(packets: list[DissectedPacket]) -> Iterator[Ends]:
    """Yield who opened a file on whose share that only a push copies."""
    for packet in packets:
        for command, response, _, _ in _messages(packet):
            name = _name_in(packet).lower()  # some versions of tshark have it in the response only
            if command == CREATE and any(file in name for file in push().files):
                yield (packet.dst, packet.src) if response else (packet.src, packet.dst)


class _Logons:
    """Session setups, with the Kerberos errors inside them."""

    def __init__(self) -> None:
        self._refused: set[Connection] = set()  # connections on which a Kerberos error is the last word so far

    def request(self, packet: DissectedPacket, connection: Connection) -> None:
        """Note that NTLM is tried after Kerberos: what comes then is the result of NTLM."""
        if USER in packet.fields:
            self._refused.discard(connection)

    def response(self, packet: DissectedPacket, connection: Connection, status: str) -> Iterator[ProtocolStep]:
        """Yield the step of a response; a logon failure that only repeats a Kerberos error is no step of its own."""
        if code := logon_error(packet):
            self._refused.add(connection)
            yield ProtocolStep(
                answered_side(packet), KERBEROS, Action(StepKind.LOG_ON), packet.frame, code, logon_failure(code)
            )
            return
        if connection in self._refused and status == LOGON_FAILURE:
            return
        if status and not _failed(status):
            self._refused.discard(connection)
        yield from _step(packet, SESSION_SETUP, status, NO_TARGET)


class _RequestTarget(NamedTuple):
    """What a question is about: the share, the file or pipe, and whether it is opened to write a file."""

    share: str
    name: str
    written: bool

    @property
    def is_pipe(self) -> bool:
        return self._pipe in push().pipes | push().other_pipes

    @property
    def of_push(self) -> bool:
        """Whether a push needs it: its pipes, its files, its shares."""
        if not self.name:
            return self.share.lower() in push().shares
        return self._pipe in push().pipes or any(file in self.name.lower() for file in push().files)

    @property
    def _pipe(self) -> str:
        return self.name.rpartition("\\")[2].lower()


NO_TARGET = _RequestTarget("", "", False)


def _request_target(packet: DissectedPacket, command: int) -> _RequestTarget:
    share = last_of(packet, TREES).rpartition("\\")[2].upper()
    if command != CREATE:
        return _RequestTarget(share, "", False)
    written = packet.first("smb2.create.disposition") not in (None, OPEN_EXISTING)
    folder = packet.first("smb.nt.create_options.directory") in (IS_FOLDER, "True")
    return _RequestTarget(share, _name_in(packet), written and not folder)


def _name_in(packet: DissectedPacket) -> str:
    """Return the name of the file or pipe in a packet, empty if it has none."""
    name = last_of(packet, NAMES)
    return "" if name == ROOT else name


def _failed(status: str) -> bool:
    return bool(status) and int(status, 16) >= 0x80000000


def _messages(packet: DissectedPacket) -> Iterator[tuple[int, bool, str, str]]:
    """Yield command, whether it is an answer, status and message number of each SMB message in a packet."""
    fields = packet.fields
    statuses = iter(fields.get("smb2.nt_status", []))
    commands, flags = fields.get("smb2.cmd", []), fields.get("smb2.flags.response", [])
    for command, flag, message in zip(commands, flags, fields.get("smb2.msg_id", []), strict=False):
        response = flag == "1"
        yield int(command, 0), response, next(statuses, "") if response else "", message
    for command, flag, message in zip(
        fields.get("smb.cmd", []), fields.get("smb.flags.response", []), fields.get("smb.mid", []), strict=False
    ):
        step = SMB1_STEPS.get(int(command, 0))
        if step is not None:
            yield step, flag == "1", (fields.get("smb.nt_status") or [""])[0], f"1:{message}"


def _step(packet: DissectedPacket, command: int, status: str, about: _RequestTarget) -> Iterator[ProtocolStep]:
    step = {
        NEGOTIATE: Action(StepKind.NEGOTIATE),
        SESSION_SETUP: Action(StepKind.LOG_ON),
        TREE_CONNECT: Action(StepKind.CONNECT, about.share),
        CREATE: Action(StepKind.OPEN, about.name),
        CLOSE: Action(StepKind.COPY, about.share) if about.written else None,
        WRITE: Action(StepKind.COPY, about.share),
    }.get(command)
    if step is None or not status or status in ignored_codes("smb"):
        return
    if not _failed(status):
        if command != WRITE:  # a file is copied when it is closed
            yield ProtocolStep(answered_side(packet), "smb", step, packet.frame, status, None)
        return
    layer = "pipe" if about.is_pipe and status in problems()["pipe"] else "smb"
    if command in (CREATE, CLOSE, WRITE) and layer == "smb" and status not in problems()["smb"]:
        return  # looking for a file that is not there is part of every push
    meant = lookup_status(layer, status)
    unseen = command == CREATE and not about.name
    if command not in (NEGOTIATE, SESSION_SETUP) and (unseen or not about.of_push):
        meant = meant._replace(fatal=False)
    yield ProtocolStep(answered_side(packet), "smb", step, packet.frame, status, meant)
