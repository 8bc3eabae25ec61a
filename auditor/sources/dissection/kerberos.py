"""Kerberos errors: of a domain controller, and inside the logon of another protocol."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

from auditor.ruleset.known_problems import StatusMeaning, ignored_codes, lookup_status
from auditor.sources.dissection.packets import answered_side, is_smb, pdu_types
from auditor.sources.dissection.steps import Action, ProtocolStep, StepKind

if TYPE_CHECKING:
    from auditor.sources.dissection.tshark import DissectedPacket

KERBEROS = "kerberos"


def kerberos_steps(packets: list[DissectedPacket]) -> Iterator[ProtocolStep]:
    """Yield the errors of domain controllers; those inside a logon belong to the step of SMB or RPC that has them."""
    for packet in packets:
        if is_smb(packet) or pdu_types(packet):
            continue
        for code in _errors(packet):
            meant = lookup_status(KERBEROS, code)
            yield ProtocolStep(
                answered_side(packet), KERBEROS, Action(StepKind.LOG_ON_KERBEROS), packet.frame, code, meant
            )


def logon_error(packet: DissectedPacket) -> str:
    """Return the Kerberos error in the logon of another protocol (SPNEGO), empty if there is none."""
    return next(_errors(packet), "")


def logon_failure(code: str) -> StatusMeaning:
    """Return what a Kerberos error inside a logon means: that logon failed, unless a later one succeeds."""
    return lookup_status(KERBEROS, code)._replace(fatal=True)


def _errors(packet: DissectedPacket) -> Iterator[str]:
    return (code for code in packet.fields.get("kerberos.error_code", []) if code not in ignored_codes(KERBEROS))
