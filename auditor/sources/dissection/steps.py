"""Protocol steps and assigned ports, as the responses of a computer show them."""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum, StrEnum
from typing import NamedTuple

from auditor.ruleset.known_problems import StatusMeaning
from auditor.ruleset.statements import say

ANONYMOUS = "anonymous"  # the account of a logon without user name
FAULT = "rpc-fault"  # the layer of a call that RPC itself refused


class ServiceEndpoint(NamedTuple):
    """Who reached whom, at which port."""

    initiator: str
    responder: str
    port: int


class Outcome(Enum):
    """What a response shows of a step; ANSWERED if its result is encrypted, truncated, or not read."""

    SUCCEEDED = "succeeded"
    FAILED = "failed"
    ANSWERED = "answered"


class StepKind(StrEnum):
    """What a computer asks of another."""

    NEGOTIATE = "agree-on-version"
    ENCRYPT = "agree-on-encryption"
    ASK_PORT = "ask-for-port"  # object: the RPC interface
    ACTIVATE = "activate"  # object: the COM class
    CALL = "call"  # object: the RPC interface
    CONNECT = "connect"  # object: the share
    COPY = "copy"  # object: the share; the end of the copy of a file
    LOG_ON = "log-on"
    LOG_ON_KERBEROS = "log-on-by-kerberos"
    OPEN = "open"  # object: the file or pipe
    BIND = "open-interface"  # object: the RPC interface
    PUSH_CALL = "push-call"  # object: the call of a push, as rulesets/well-known/push.toml names it
    REQUEST = "request"  # object: verb and path
    CERTIFICATE = "show-certificate"  # object: "server" or "client"


WITHOUT_OBJECT = (StepKind.NEGOTIATE, StepKind.ENCRYPT, StepKind.LOG_ON, StepKind.LOG_ON_KERBEROS)


class Action(NamedTuple):
    """What is asked for, and of what; the object is empty if the packets do not show it."""

    kind: StepKind
    object: str = ""

    @property
    def text(self) -> str:
        """The action in words."""
        return say(
            f"step.{self.kind}{'' if self.object or self.kind in WITHOUT_OBJECT else '-unseen'}", object=self.object
        )


@dataclass(frozen=True)
class ProtocolStep:
    """One response to one step of a protocol.

    Attributes:
        action: What was asked for.
        status: What the failure means, None if the step did not fail.
        account: Who took the step, empty if unknown.
        result_read: False if the response does not show whether the step succeeded.
    """

    side: ServiceEndpoint
    layer: str
    action: Action
    frame: int
    code: str
    status: StatusMeaning | None
    account: str = ""
    result_read: bool = True

    @property
    def step(self) -> str:
        """What was asked for, in words."""
        return self.action.text

    @property
    def outcome(self) -> Outcome:
        """What the response shows of the step."""
        if self.status is not None:
            return Outcome.FAILED
        return Outcome.SUCCEEDED if self.result_read else Outcome.ANSWERED

    @property
    def succeeded(self) -> bool:
        """Whether the response shows that the step succeeded."""
        return self.outcome is Outcome.SUCCEEDED


@dataclass(frozen=True)
class AssignedPort:
    """A dynamic port that the endpoint mapper or a DCOM activation assigned.

    Attributes:
        interface: The RPC interface or COM class that it was assigned for.
        serves_push: False for a COM class that no push activates.
        client: The computer that it was assigned to.
    """

    server: str
    port: int
    interface: str
    frame: int
    by: str
    serves_push: bool = True
    client: str = ""
