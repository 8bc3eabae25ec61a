"""Protocol steps and assigned ports, as the responses of a computer show them."""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum
from typing import NamedTuple

from auditor.ruleset.known_problems import StatusMeaning

ANONYMOUS = "anonymous"  # the account of a logon without user name
COPY = "copy to "  # begins the name of the step that ends the copy of a file, before the share
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


@dataclass(frozen=True)
class ProtocolStep:
    """One response to one step of a protocol.

    Attributes:
        status: What the failure means, None if the step did not fail.
        account: Who took the step, empty if unknown.
        result_read: False if the response does not show whether the step succeeded.
    """

    side: ServiceEndpoint
    layer: str
    step: str
    frame: int
    code: str
    status: StatusMeaning | None
    account: str = ""
    result_read: bool = True

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
