"""What the logs of a client state about the site and the computer: the names of site systems, ports, addresses."""

from __future__ import annotations

import re
from collections.abc import Iterator
from ipaddress import ip_address
from itertools import islice

from auditor.sources.configmgr.client_messages import LOOKED_AT
from auditor.sources.configmgr.facts import FactKind, LogRecord, ReportedFact

MOST_FACTS = 300  # of one log or one installation; real ones state some dozens
MOST_WORDS = 200  # of a command line
LONGEST_VALUE = 500  # characters

Stated = tuple[FactKind, str]

# Texts from their beginning, each with its value.
_STATEMENTS: tuple[tuple[FactKind, re.Pattern[str]], ...] = tuple(
    (kind, re.compile(pattern, re.IGNORECASE))
    for kind, pattern in (
        (FactKind.COMPUTER_NAME, r"\[([^\]\s]{1,255})\] Running on '"),
        (FactKind.SITE_CODE, r"SiteCode:\s{0,50}(\w{1,3})$"),
        (FactKind.HTTP_PORT, r"CCMHTTPPORT:\s{0,50}([0-9]{1,5})$"),
        (FactKind.HTTPS_PORT, r"CCMHTTPSPORT:\s{0,50}([0-9]{1,5})$"),
        (FactKind.HTTPS_STATE, r"CCMHTTPSSTATE:\s{0,50}([0-9]{1,9})$"),
        (FactKind.SSL_STATE, r"SslState value:\s{0,50}([0-9]{1,9})$"),
        (FactKind.FALLBACK_STATUS_POINT, r"FSP:\s{0,50}(\S{1,255})$"),
        (FactKind.FALLBACK_STATUS_POINT, r"FromAD: FSP = (\S{1,255})$"),
        (FactKind.FALLBACK_STATUS_POINT, r"Sending Fallback Status Point message to '([^'\s]{1,255})'"),
        (FactKind.MANAGEMENT_POINT, r"The MP name retrieved is '([^'\s]{1,255})'"),
        (FactKind.MANAGEMENT_POINT, r"MP '([^'\s]{1,255})' is not compatible"),
        (FactKind.MANAGEMENT_POINT, r"Only one MP (\S{1,255}) is specified"),
        (FactKind.MANAGEMENT_POINT, r"Retrived site version '[^'\n]{0,100}' from MP '([^'\s]{1,255})'"),
        (FactKind.MANAGEMENT_POINT, r"Sending location request to '([^'\s]{1,255})'"),
        (FactKind.DISTRIBUTION_POINT, r"Using DP location:?\s{1,9}(\S{1,500})$"),
        (FactKind.DISTRIBUTION_POINT, r"Found \w{1,20} location '([^'\s]{1,500})'"),
        (FactKind.DISTRIBUTION_POINT, r"Failed to download from DP '([^'\s]{1,500})'"),
    )
)
# What stands anywhere in an XML document that was sent or received.
_ELEMENTS: tuple[tuple[str, FactKind, re.Pattern[str]], ...] = tuple(
    (tag, kind, re.compile(pattern))
    for tag, kind, pattern in (
        ("<IPAddress ", FactKind.COMPUTER_ADDRESS, r'<IPAddress [^<>]{0,300}?\bAddress="([^"<>]{1,100})"'),
        ("<HTTPPort>", FactKind.HTTP_PORT, r"<HTTPPort>([0-9]{1,5})</"),
        ("<HTTPSPort>", FactKind.HTTPS_PORT, r"<HTTPSPort>([0-9]{1,5})</"),
        ("<FSPServer>", FactKind.FALLBACK_STATUS_POINT, r"<FSPServer>([^<>\s]{1,255})</"),
        ("<DefaultMP>", FactKind.MANAGEMENT_POINT, r"<DefaultMP>([^<>\s]{1,255})</"),
        ("<MPSite ", FactKind.HTTP_PORT, r'<MPSite [^<>]{0,300}?\bIISPreferedPort="([0-9]{1,5})"'),
        ("<MPSite ", FactKind.HTTPS_PORT, r'<MPSite [^<>]{0,300}?\bIISSSLPreferedPort="([0-9]{1,5})"'),
        ("<LocationRecord>", FactKind.DISTRIBUTION_POINT, r'<URL Name="\s{0,9}<?(https?:[^"<>\s]{1,500})'),
    )
)
# Properties of client.msi, in upper case.
_PROPERTIES = {
    "CCMHTTPPORT": FactKind.HTTP_PORT,
    "CCMHTTPSPORT": FactKind.HTTPS_PORT,
    "CCMHTTPSSTATE": FactKind.HTTPS_STATE,
    "FSP": FactKind.FALLBACK_STATUS_POINT,
    "SMSSITECODE": FactKind.SITE_CODE,
    "SMSMP": FactKind.MANAGEMENT_POINT,
    "SMSMPLIST": FactKind.MANAGEMENT_POINT,
}
_PORTS = (FactKind.HTTP_PORT, FactKind.HTTPS_PORT)
_MSI_PROPERTIES = re.compile(r"MSI properties:", re.IGNORECASE)
_ASSIGNMENT = re.compile(r'(?<!\w)(\w{1,100})="([^"\n]{0,2000})"')
_LIST_OF_MPS = re.compile(r"MPs:\s*$", re.IGNORECASE)
_MP = re.compile(r"\s*((?:https?://)?[\w.:/\[\]-]{1,255})\s*$", re.IGNORECASE)
_COMMAND_LINE = re.compile(r"(?:Ccmsetup )?command line:\s{0,9}(\S.*)", re.IGNORECASE | re.DOTALL)
_WORD = re.compile(r'(?:[^\s"]|"[^"]*"?)+')
_PUSH = re.compile(r"/config:\S{0,260}?MobileClient(?:Unicode)?\.tcf$", re.IGNORECASE)
# Words of a command line by which CCMSetup starts itself: they are no properties of the site.
_OF_ITSELF = (
    "/runservice",
    "/config",
    "/forceinstall",
    "/ignoreskipupgrade",
    "/retrywintask",
    "/service",
    "/uninstall",
)


class FactList:
    """The facts of one log or one installation, each once, in the order of lines."""

    def __init__(self) -> None:
        self._facts: dict[tuple[FactKind, str], ReportedFact] = {}
        self._listing: set[int] = set()  # threads that listed "MPs:" in the record before

    def read(self, record: LogRecord) -> None:
        """Add what a record states."""
        text = record.text.strip() if len(record.text) <= LOOKED_AT else record.text[:LOOKED_AT].strip()
        if record.thread in self._listing and (listed := _MP.match(text)):
            self.add(FactKind.MANAGEMENT_POINT, listed[1], record.line)
            return
        self._listing.discard(record.thread)
        if _LIST_OF_MPS.match(text) and len(self._listing) < MOST_FACTS:
            self._listing.add(record.thread)
            return
        for kind, value in _stated(text):
            self.add(kind, value, record.line)
        if "<" in text:
            for kind, value in _in_xml(record.text):
                self.add(kind, value, record.line)

    def add(self, kind: FactKind, value: str, line: int) -> None:
        """Add a fact that was not stated before."""
        if not value or len(self._facts) >= MOST_FACTS or (kind in _PORTS and not _is_port(value)):
            return
        if kind is FactKind.COMPUTER_ADDRESS and not _is_address(value):
            return
        self._facts.setdefault((kind, value.casefold()), ReportedFact(kind, value, line))

    def all(self) -> tuple[ReportedFact, ...]:
        """Return them."""
        return tuple(self._facts.values())


def command_line_of(record: LogRecord) -> str:
    """Return the command line that a record states, empty if it states none."""
    match = _COMMAND_LINE.match(record.text[: 4 * LOOKED_AT].strip())
    return " ".join(match[1].split())[:LOOKED_AT] if match else ""


def words_of(command_line: str) -> list[str]:
    """Return the words behind the program, without quotation marks."""
    matches = islice(_WORD.finditer(command_line), MOST_WORDS)
    words = [word for match in matches if (word := match[0].replace('"', ""))]
    return words[1:] if words and not words[0].startswith("/") else words


def facts_of_command(words: list[str]) -> Iterator[Stated]:
    """Yield whether a command line is that of a push, and its properties as `--property` takes them."""
    for word in words:
        if _PUSH.match(word):
            yield FactKind.PUSHED, word[:LONGEST_VALUE]
        elif word.lower().partition(":")[0] not in _OF_ITSELF:
            yield FactKind.PROPERTY, word[:LONGEST_VALUE]
            name, _, value = word.partition("=")
            yield from facts_of_property(name, value)


def _stated(text: str) -> Iterator[Stated]:
    for kind, pattern in _STATEMENTS:
        if match := pattern.match(text):
            yield kind, match[1]
    if _MSI_PROPERTIES.match(text):
        for name, value in _ASSIGNMENT.findall(text):
            yield from facts_of_property(name, value)


def facts_of_property(name: str, value: str) -> Iterator[Stated]:
    """Yield what a property of client.msi states."""
    kind = _PROPERTIES.get(name.upper())
    if kind is FactKind.MANAGEMENT_POINT:
        for host in re.split(r"[;*,\s]+", value):
            yield kind, host
    elif kind is not None:
        yield kind, value.strip()


def _in_xml(text: str) -> Iterator[Stated]:
    for tag, kind, pattern in _ELEMENTS:
        if tag in text:
            for match in islice(pattern.finditer(text), MOST_FACTS):
                yield kind, match[1]


def _is_port(value: str) -> bool:
    return value.isascii() and value.isdigit() and len(value) <= 5 and 0 < int(value) <= 0xFFFF


def _is_address(value: str) -> bool:
    try:
        ip_address(value)
    except ValueError:
        return False
    return True
