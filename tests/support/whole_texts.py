"""Whole outputs as text, and what in them would harm a terminal."""

from __future__ import annotations

import os
import unicodedata

from places import GOLD

UPDATE = os.environ.get("AUDITOR_UPDATE_GOLD") == "1"


ESCAPE, BELL, BIDI = "\x1b", "\x07", "\u202e"


def gold(name: str, text: str) -> str:
    """Return what is kept under a name, after writing it anew if that was asked for."""
    path = GOLD / f"{name}.txt"
    if UPDATE:
        GOLD.mkdir(exist_ok=True)
        path.write_text(text, encoding="utf-8", newline="\n")
    return path.read_text(encoding="utf-8")


HOSTILE = {
    "terminal escape": f"{ESCAPE}[31mred{ESCAPE}[0m.pcap",
    "terminal title": f"{ESCAPE}]0;owned{BELL}.pcap",
    "one-byte escape": "\x9b31m.pcap",
    "markup": "[/bad][link=x].pcap",
    "emoji code": ":warning:.pcap",
    "newline": "a\nWORKS.pcap",
    "carriage return": "a\rWORKS.pcap",
    "bidi": f"{BIDI}pacp.exe",
    "invisible": "a\u200b\u2028b\ufeff.pcap",
}


def harmful(text: str) -> list[str]:
    """Return the characters of a text that a terminal would obey."""
    return [c for c in text if c != "\n" and unicodedata.category(c) in ("Cc", "Cf", "Cs", "Zl", "Zp")]
