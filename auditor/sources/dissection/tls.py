"""TLS: how handshakes ended, and certificates."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import TYPE_CHECKING

from auditor.ruleset.known_problems import lookup_status
from auditor.sources.dissection.packets import Connection, connection_of
from auditor.sources.dissection.steps import Action, ProtocolStep, ServiceEndpoint, StepKind

if TYPE_CHECKING:
    from auditor.sources.dissection.tshark import DissectedPacket

CLIENT_HELLO, CERTIFICATE_REQUEST = "1", "13"
APPLICATION_DATA = "23"
LONGER_THAN_ALERT = 24  # bytes of an encrypted record: of TLS 1.3, an alert has 19, the end of a handshake 53 or more
FATAL_ALERT, HANDSHAKE_FAILURE, CERTIFICATE_REQUIRED = 2, "40", "116"
DATE = re.compile(r"(\d{2,4})-(\d\d)-(\d\d) (\d\d):(\d\d):(\d\d)")
UTC_TIME = "0"  # the two ways in which a certificate writes a date


@dataclass
class _Handshake:
    """One TLS connection as far as it was seen.

    Attributes:
        certificates: Each with its sender.
    """

    side: ServiceEndpoint
    certificate_wanted: bool = False
    certificates: tuple[DissectedPacket, ...] = ()
    client_spoke: bool = False
    agreed: bool = False


def tls_steps(packets: list[DissectedPacket]) -> Iterator[ProtocolStep]:
    """Yield how handshakes ended, and whether the certificates in them were valid."""
    handshakes: dict[Connection, _Handshake] = {}
    for packet in packets:
        ends, types = connection_of(packet), packet.fields.get("tls.handshake.type", [])
        if CLIENT_HELLO in types:
            if ends in handshakes:
                yield from _certificates(handshakes[ends])
            handshakes[ends] = _Handshake(ServiceEndpoint(packet.src, packet.dst, packet.dst_port))
        if handshake := handshakes.get(ends):
            handshake.certificate_wanted |= CERTIFICATE_REQUEST in types
            if "x509af.notBefore" in packet.fields:
                handshake.certificates += (packet,)
            yield from _alerts(packet, handshake)
            yield from _agreed(packet, handshake)
    for handshake in handshakes.values():
        yield from _certificates(handshake)


def _alerts(packet: DissectedPacket, handshake: _Handshake) -> Iterator[ProtocolStep]:
    levels, codes = (packet.fields.get(f"tls.alert_message.{name}", []) for name in ("level", "desc"))
    from_server = packet.src == handshake.side.responder
    for level, code in zip(levels, codes, strict=False):
        if int(level) != FATAL_ALERT:
            continue
        meant = lookup_status("tls", code)
        if code == HANDSHAKE_FAILURE and from_server and handshake.certificate_wanted:
            meant = lookup_status("tls", CERTIFICATE_REQUIRED)._replace(name=meant.name)
        meant = meant._replace(meaning=f"the {'server' if from_server else 'client'} says: {meant.meaning}")
        yield ProtocolStep(handshake.side, "tls", Action(StepKind.ENCRYPT), packet.frame, code, meant)


def _agreed(packet: DissectedPacket, handshake: _Handshake) -> Iterator[ProtocolStep]:
    """Yield the step that a handshake went well: the server sends data after the client did, each more than an alert.

    Of TLS 1.3 too, where all but the beginning is encrypted: a server sends nothing but an alert after a client's last
    message that it does not accept, and a client that does not accept the server sends no more than an alert.
    """
    types = [kind for name in ("content_type", "opaque_type") for kind in packet.fields.get(f"tls.record.{name}", [])]
    longest = max((int(length) for length in packet.fields.get("tls.record.length", [])), default=0)
    if APPLICATION_DATA not in types or longest <= LONGER_THAN_ALERT or handshake.agreed:
        return
    if packet.src == handshake.side.initiator:
        handshake.client_spoke = True
    elif handshake.client_spoke:
        handshake.agreed = True
        yield ProtocolStep(handshake.side, "tls", Action(StepKind.ENCRYPT), packet.frame, "", None)


def _certificates(handshake: _Handshake) -> Iterator[ProtocolStep]:
    """Yield whether the certificates of a handshake were valid when it was captured.

    Where the two agreed nevertheless, the certificate was accepted.
    """
    for packet in handshake.certificates:
        validity = _validity(packet)
        if validity is None or packet.time_ns <= 0:
            continue
        whose = "server" if packet.src == handshake.side.responder else "client"
        began, ended = validity
        when = datetime.fromtimestamp(packet.time_ns // 1_000_000_000, UTC)
        code = "not-yet-valid" if when < began else "expired" if when > ended else ""
        meant = None
        if code:
            problem = lookup_status("certificate", code)
            dates = f"it is valid from {began:%Y-%m-%d} to {ended:%Y-%m-%d}, and the capture is of {when:%Y-%m-%d}"
            agreed = "; the two agreed all the same" if handshake.agreed else ""
            fatal = problem.fatal and not handshake.agreed
            meant = problem._replace(meaning=f"{problem.meaning}: {dates}{agreed}", fatal=fatal)
        yield ProtocolStep(
            handshake.side, "certificate", Action(StepKind.CERTIFICATE, whose), packet.frame, code, meant
        )


def _validity(packet: DissectedPacket) -> tuple[datetime, datetime] | None:
    """Return from when to when the first certificate of a packet, the owner's, is valid; None if unknown."""
    written = {
        True: iter(packet.fields.get("x509af.utcTime", [])),
        False: iter(packet.fields.get("x509af.generalizedTime", [])),
    }
    dates = []
    for name in ("x509af.notBefore", "x509af.notAfter"):
        match = DATE.match(next(written[packet.first(name) == UTC_TIME], ""))
        if match is None:
            return None
        year, *date_parts = map(int, match.groups())
        century = 0 if year > 99 else 1900 if year >= 50 else 2000
        try:
            dates.append(datetime(century + year, *date_parts, tzinfo=UTC))  # type: ignore[arg-type,misc]
        except ValueError:
            return None
    return dates[0], dates[1]
