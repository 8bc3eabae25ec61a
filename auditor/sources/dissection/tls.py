"""TLS: how handshakes ended, and certificates."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import TYPE_CHECKING

from auditor.ruleset.known_problems import lookup_status
from auditor.sources.dissection.packets import Connection, connection_of
from auditor.sources.dissection.steps import Side, Step

if TYPE_CHECKING:
    from auditor.sources.dissection.tshark import Told

CLIENT_HELLO, CERTIFICATE_REQUEST = "1", "13"
APPLICATION_DATA = "23"
LONGER_THAN_ALERT = 24  # bytes of an encrypted record: of TLS 1.3, an alert has 19, the end of a handshake 53 or more
FATAL_ALERT, HANDSHAKE_FAILURE, CERTIFICATE_REQUIRED = 2, "40", "116"
DATE = re.compile(r"(\d{2,4})-(\d\d)-(\d\d) (\d\d):(\d\d):(\d\d)")
UTC_TIME = "0"  # the two ways in which a certificate writes a date


@dataclass
class _Handshake:
    """One TLS connection as far as it was seen. certificates: each with its sender."""

    side: Side
    certificate_wanted: bool = False
    certificates: tuple[Told, ...] = ()
    client_spoke: bool = False
    agreed: bool = False


def tls_steps(packets: list[Told]) -> Iterator[Step]:
    """Yield how handshakes ended, and whether the certificates in them were valid."""
    handshakes: dict[Connection, _Handshake] = {}
    for packet in packets:
        ends, types = connection_of(packet), packet.fields.get("tls.handshake.type", [])
        if CLIENT_HELLO in types:
            if ends in handshakes:
                yield from _certificates(handshakes[ends])
            handshakes[ends] = _Handshake(Side(packet.src, packet.dst, packet.dst_port))
        if one := handshakes.get(ends):
            one.certificate_wanted |= CERTIFICATE_REQUEST in types
            if "x509af.notBefore" in packet.fields:
                one.certificates += (packet,)
            yield from _alerts(packet, one)
            yield from _agreed(packet, one)
    for one in handshakes.values():
        yield from _certificates(one)


def _alerts(packet: Told, one: _Handshake) -> Iterator[Step]:
    levels, codes = (packet.fields.get(f"tls.alert_message.{name}", []) for name in ("level", "desc"))
    from_server = packet.src == one.side.responder
    for level, code in zip(levels, codes, strict=False):
        if int(level) != FATAL_ALERT:
            continue
        meant = lookup_status("tls", code)
        if code == HANDSHAKE_FAILURE and from_server and one.certificate_wanted:
            meant = lookup_status("tls", CERTIFICATE_REQUIRED)._replace(name=meant.name)
        meant = meant._replace(meaning=f"the {'server' if from_server else 'client'} says: {meant.meaning}")
        yield Step(one.side, "tls", "agree on encryption", packet.frame, code, meant)


def _agreed(packet: Told, one: _Handshake) -> Iterator[Step]:
    """Yield the step that a handshake went well: the server sends data after the client did, each more than an alert.

    Of TLS 1.3 too, where all but the beginning is encrypted: a server sends nothing but an alert after a client's last
    message that it does not accept, and a client that does not accept the server sends no more than an alert.
    """
    types = [kind for name in ("content_type", "opaque_type") for kind in packet.fields.get(f"tls.record.{name}", [])]
    longest = max((int(length) for length in packet.fields.get("tls.record.length", [])), default=0)
    if APPLICATION_DATA not in types or longest <= LONGER_THAN_ALERT or one.agreed:
        return
    if packet.src == one.side.initiator:
        one.client_spoke = True
    elif one.client_spoke:
        one.agreed = True
        yield Step(one.side, "tls", "agree on encryption", packet.frame, "", None)


def _certificates(one: _Handshake) -> Iterator[Step]:
    """Yield whether the certificates of a handshake were valid when it was captured.

    Where the two agreed all the same, whoever got the certificate did not mind.
    """
    for packet in one.certificates:
        validity = _validity(packet)
        if validity is None or packet.time_ns <= 0:
            continue
        whose = "server" if packet.src == one.side.responder else "client"
        began, ended = validity
        when = datetime.fromtimestamp(packet.time_ns // 1_000_000_000, UTC)
        code = "not-yet-valid" if when < began else "expired" if when > ended else ""
        meant = None
        if code:
            found = lookup_status("certificate", code)
            dates = f"it is valid from {began:%Y-%m-%d} to {ended:%Y-%m-%d}, and the capture is of {when:%Y-%m-%d}"
            agreed = "; the two agreed all the same" if one.agreed else ""
            meant = found._replace(meaning=f"{found.meaning}: {dates}{agreed}", fatal=found.fatal and not one.agreed)
        yield Step(one.side, "certificate", f"show the certificate of the {whose}", packet.frame, code, meant)


def _validity(packet: Told) -> tuple[datetime, datetime] | None:
    """Return from when to when the first certificate of a packet, the owner's, is valid; None if it does not tell."""
    written = {
        True: iter(packet.fields.get("x509af.utcTime", [])),
        False: iter(packet.fields.get("x509af.generalizedTime", [])),
    }
    dates = []
    for name in ("x509af.notBefore", "x509af.notAfter"):
        found = DATE.match(next(written[packet.first(name) == UTC_TIME], ""))
        if found is None:
            return None
        year, *rest = map(int, found.groups())
        century = 0 if year > 99 else 1900 if year >= 50 else 2000
        try:
            dates.append(datetime(century + year, *rest, tzinfo=UTC))  # type: ignore[arg-type,misc]
        except ValueError:
            return None
    return dates[0], dates[1]
