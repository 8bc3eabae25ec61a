"""Count what was not looked into, so that nothing is lost silently."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field
from enum import StrEnum
from typing import SupportsInt


class NotUsed(StrEnum):
    """Why the headers of a frame were not used."""

    BROKEN_IPV4 = "broken-ipv4-header"
    BROKEN_IPV6 = "broken-ipv6-header"
    BROKEN_TCP = "broken-tcp-header"
    CUT_ARP = "cut-arp-message"
    CUT_ICMP = "cut-icmp-header"
    CUT_IPV4 = "cut-ipv4-header"
    CUT_EXTENSION = "cut-ipv6-extension-header"
    CUT_IPV6 = "cut-ipv6-header"
    CUT_TCP = "cut-tcp-header"
    CUT_UDP = "cut-udp-header"
    CUT_LINK = "cut-link-header"
    CUT_QUOTATION = "cut-quotation"
    CUT_TUNNEL = "cut-tunnel-header"
    TOO_MANY_TUNNELS = "too-many-tunnels"
    TOO_MANY_EXTENSIONS = "too-many-extension-headers"
    TOO_MANY_TAGS = "too-many-tags"


@dataclass
class Tally:
    """Frames counted under one word each: what they are, or why they could not be read.

    Attributes:
        unread: Frames of encapsulations that are not read and may carry traffic of hosts, by name.
        ether_types: Frames that are neither IP nor ARP, by EtherType.
        link_types: Frames of link types that are not supported.
    """

    frames: Counter[str] = field(default_factory=Counter)
    unread: Counter[str] = field(default_factory=Counter)
    link_types: Counter[int] = field(default_factory=Counter)
    ether_types: Counter[int] = field(default_factory=Counter)

    def add(self, label: str, count: SupportsInt) -> None:
        """Count some frames under a word."""
        if number := int(count):
            self.frames[label] += number

    def add_unread(self, name: str, count: SupportsInt) -> None:
        """Count some frames of an encapsulation that is not read."""
        if number := int(count):
            self.unread[name] += number
