"""Codes in the logs of Configuration Manager: their spellings, and what each shows of the ports at which step."""

from __future__ import annotations

import re
import tomllib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from enum import StrEnum
from functools import cache, lru_cache
from typing import Any

from auditor.ruleset.known_problems import lookup_status, problems
from auditor.ruleset.lint import MANAGEMENT_POINT
from auditor.ruleset.package_data import rulesets_folder
from auditor.ruleset.statements import say

LOGS = {"ccm": "ccm.log", "ccmsetup": "ccmsetup.log", "client": "the other logs of the client", "iis": "the IIS log"}
HTTP, SUBSTATUS, FLAGS = "http-status", "http-substatus", "tls-flags"
WINDOWS, WMI, COM = "win32", "wbem", "hresult"
NONE, SUCCEEDED, SKIPPED, NOTHING_SENT, ANY = (
    "none",
    "succeeded",
    "skipped",
    "nothing-sent",
    "*",
)  # instead of a code, or of its value
COUNTED = ("ccmsetup-exit", "fsp-state", "push-status", HTTP)  # small numbers, which no log writes in hexadecimal
STATUSES, FIRST_ERROR = range(100, 600), 400  # RFC 9110, 15
IIS = "iis"
CODES_KEPT = 4096  # a log of a whole site repeats some dozens of codes
LARGEST = 2**32 - 1
SIGN_BIT = 2**31
SYMBOL = re.compile(r"[A-Z][A-Z0-9]*(?:_[A-Za-z0-9]+)+")  # an official name, unlike "failed"
NUMBER = re.compile(
    r"(?P<decimal>-?\d{1,10})|0x(?P<hexadecimal>[0-9a-f]{1,8}|f{8}[0-9a-f]{8})", re.IGNORECASE | re.ASCII
)
BARE_HEXADECIMAL = re.compile(r"[0-9a-f]{8}", re.IGNORECASE)
WITH_SUBSTATUS = re.compile(r"[1-5]\d\d\.\d{1,3}", re.ASCII)
ENCLOSING = " \t\r\n()[]\"',;"


class Shows(StrEnum):
    """What a code shows of the requirements that a reading names."""

    FAILED = "failed"  # at least one of them could not be used, and the network can be the cause
    OPEN = "open"  # the other computer responded
    NOTHING = "nothing"


@dataclass(frozen=True, slots=True)
class Family:
    """A list of codes.

    Attributes:
        facility: What added to a value gives its HRESULT, 0 if the values have none.
    """

    id: str
    title: str
    reference: str
    facility: int = 0


@dataclass(frozen=True, slots=True)
class Code:
    """A code that a log can contain.

    Attributes:
        family: Id of its family, such as "win32".
        value: As its family writes it: "53", "0x80041003", or "403.7".
        name: Official name, such as "ERROR_BAD_NETPATH".
        meaning: Clause without a capital or a period.
        reference: Where it is documented.
        numbers: The unsigned 32-bit numbers that logs have for it, that of the family first.
        next_step: What to do, empty if its readings state it.
    """

    family: str
    value: str
    name: str
    meaning: str
    reference: str
    numbers: tuple[int, ...]
    next_step: str = ""

    @property
    def title(self) -> str:
        """Value and name, such as "53 ERROR_BAD_NETPATH"; only the value of a code without an official name."""
        if self.value in self.name:
            return self.name
        return f"{self.value} {self.name}" if self.name[0].isupper() else self.value

    @property
    def also_written(self) -> str:
        """The HRESULT that contains it, empty if there is none."""
        return f"0x{self.numbers[1]:08x}" if len(self.numbers) > 1 else ""

    @property
    def spellings(self) -> tuple[str, ...]:
        """Every spelling that `parse_code` reads, the usual one first."""
        return tuple(dict.fromkeys([self.value, *(form for number in self.numbers for form in self._forms(number))]))

    def _forms(self, number: int) -> Iterator[str]:
        if self.family != FLAGS:
            yield str(number)
        if number < SIGN_BIT and self.family in COUNTED:
            return
        yield from (f"0x{number:x}", f"0x{number:08X}", f"{number:08x}")
        if number >= SIGN_BIT and self.family != FLAGS:
            yield str(number - LARGEST - 1)


@dataclass(frozen=True, slots=True)
class NextStep:
    """One thing to do.

    Attributes:
        place: A role, "between" for devices on the path, or "unknown".
        action: What, in one or two sentences.
        command: Command line with CLIENT, SERVER, or PORT in place of a name or number; None if there is none.
    """

    place: str
    action: str
    command: str | None = None

    @property
    def text(self) -> str:
        """The action and its command, in sentences."""
        return f'{self.action} "{self.command}".' if self.command else self.action


@dataclass(frozen=True, slots=True)
class Reading:
    """What a code shows at a step of an installation.

    An earlier or later step of the same installation can show more: a share that was connected is open, whatever
    code a later step has.

    Attributes:
        id: Such as "smb-not-reached": decide by this, never by the text.
        logs: "ccm", "ccmsetup", "client", or "iis".
        steps: Values of InstallStep.
        codes: "FAMILY VALUE", "FAMILY *", "none", "succeeded", or "nothing-sent".
        status: HTTP status that has to be beside the code, None if any.
        shows: What it shows of `requirements`.
        requirements: Rows such as "smb". If it shows "failed", at least one of them could not be used. Of HTTP and
            HTTPS, and of management and distribution point, the URL of the request decides.
        problem: Layer of the problem, such as "smb"; empty if the code is none.
        fatal: Whether the installation cannot go on.
        skips: Whether the site server decided not to install the client.
        cause: Template, see `text`.
        possible: Causes that look the same in the log.
        next_steps: What to do, in order.
        collect: The source that settles it, empty if nothing is open.
        reference: Where it is documented.
        code: The code that was read, None for an entry of the table or without a code.
        number: The number that was read, None likewise.
    """

    id: str
    logs: tuple[str, ...]
    steps: tuple[str, ...]
    codes: tuple[str, ...]
    status: int | None
    shows: Shows
    requirements: tuple[str, ...]
    problem: str
    fatal: bool
    skips: bool
    cause: str
    possible: tuple[str, ...]
    next_steps: tuple[NextStep, ...]
    collect: str
    reference: str
    code: Code | None = None
    number: int | None = None

    @property
    def confidence(self) -> str | None:
        """Confidence of the verdict: likely, because a program reports it and no packet proves it; None without one."""
        return None if self.shows == Shows.NOTHING else "likely"

    @property
    def concerned(self) -> str:
        """The requirements in words; "and" if all of them are open."""
        alternatives = self.shows == Shows.FAILED or any(row.startswith("http") for row in self.requirements)
        return join_by_or(self.requirements) if alternatives else " and ".join(self.requirements)

    def text(self, target: str = "", account: str = "") -> str:
        """Return the cause in sentences, and the causes that are possible.

        Args:
            target: Computer, share, or URL of the step; cleaned, since it comes from a log.
            account: Account that was used, cleaned.
        """
        sentence = self.cause.format_map(self._fields(target, account))
        if not (target and self.cause.startswith("{target}")):  # a name is written as the log has it
            sentence = f"{sentence[:1].upper()}{sentence[1:]}"
        if not self.possible:
            return sentence
        return f"{sentence} {say('reading.possible', causes=join_by_or(self.possible))}"

    def _fields(self, target: str, account: str) -> dict[str, str]:
        at_client = {"ccm", "iis"} & set(self.logs)
        return {
            "target": target or say("reading.the-client" if at_client else "reading.the-site-system"),
            "account": account or say("reading.the-account"),
            "code": self.code.title if self.code else written(self.number or 0),
            "meaning": self.code.meaning if self.code else "",
        }


def join_by_or(items: tuple[str, ...]) -> str:
    """Return alternatives as part of a sentence: "a, b, or c"."""
    if len(items) < 3:
        return " or ".join(items)
    return f"{', '.join(items[:-1])}, or {items[-1]}"


def written(number: int) -> str:
    """Return a number that is no known code as logs usually write it: small ones in decimal."""
    return str(number) if number < 2**16 else f"0x{number:08x}"


# the table


def code_table() -> dict[str, Any]:
    """Return the content of rulesets/well-known/configmgr-codes.toml."""
    return tomllib.loads((rulesets_folder() / "well-known" / "configmgr-codes.toml").read_text(encoding="utf-8"))


@cache
def families() -> Mapping[str, Family]:
    """Return the families of codes by their id, in the order of the file."""
    return {
        name: Family(name, entry["title"], entry["reference"], int(entry.get("facility", "0"), 16))
        for name, entry in code_table()["family"].items()
    }


@cache
def known_codes() -> tuple[Code, ...]:
    """Return every known code, by family; those of DCOM, WMI, and HTTP in problems.toml too."""
    entries = [
        _code(family, value, entry["name"], entry["means"], entry.get("next", ""))
        for family, table in code_table()["code"].items()
        for value, entry in table.items()
    ]
    order = list(families())
    return tuple(sorted([*entries, *_of_problems()], key=lambda code: order.index(code.family)))


def _of_problems() -> Iterator[Code]:
    for value, status in problems()["http"].items():
        if value.isdecimal():
            yield _code(HTTP, value, status.name, status.meaning)
    for value, status in problems()["dcom"].items():
        if value.startswith("0x") and not value.startswith("0x8007"):  # those are codes of Windows
            yield _code(WMI if value.startswith("0x80041") else COM, value, status.name, status.meaning)


def _code(family: str, value: str, name: str, meaning: str, next_step: str = "") -> Code:
    definition = families()[family]
    number = None if "." in value else int(value, 0)
    facilities = (0, definition.facility) if definition.facility else (0,)
    numbers = () if number is None else tuple(facility | number for facility in facilities)
    return Code(family, value, name, meaning, definition.reference, numbers, next_step)


@cache
def readings() -> tuple[Reading, ...]:
    """Return what codes show, in the order of the file."""
    return tuple(_reading(entry["id"], entry) for entry in code_table()["reading"])


@cache
def _general() -> Mapping[str, Reading]:
    return {name: _reading(name, entry) for name, entry in code_table()["general"].items()}


def _reading(name: str, entry: Mapping[str, Any]) -> Reading:
    return Reading(
        id=name,
        logs=tuple(entry.get("logs", ())),
        steps=tuple(entry.get("steps", ())),
        codes=tuple(entry.get("codes", ())),
        status=entry.get("status"),
        shows=Shows(entry.get("shows", Shows.NOTHING)),
        requirements=tuple(entry.get("requirements", ())),
        problem=entry.get("problem", ""),
        fatal=entry.get("fatal", False),
        skips=entry.get("skips", False),
        cause=entry["cause"],
        possible=tuple(entry.get("possible", ())),
        next_steps=tuple(NextStep(**step) for step in entry.get("next", ())),
        collect=entry["collect"],
        reference=entry.get("reference", ""),
    )


Entries = Mapping[tuple[str, int | None], Reading]  # by what they match: code, and HTTP status beside it


@cache
def _by_step() -> Mapping[tuple[str, str], Entries]:
    """Return the readings by log and step, then by what they match."""
    by_step: dict[tuple[str, str], dict[tuple[str, int | None], Reading]] = {}
    for entry in readings():
        for place in ((log, step) for log in entry.logs for step in entry.steps):
            by_step.setdefault(place, {}).update({(code, entry.status): entry for code in entry.codes})
    return by_step


# spellings


@cache
def _by_number() -> Mapping[int, tuple[Code, ...]]:
    by_number: dict[int, tuple[Code, ...]] = {}
    for code in known_codes():
        for number in code.numbers:
            by_number[number] = (*by_number.get(number, ()), code)
    return by_number


@cache
def _with_substatus() -> Mapping[str, Code]:
    return {code.value: code for code in known_codes() if code.family == SUBSTATUS}


@lru_cache(maxsize=CODES_KEPT)
def codes_of(number: int) -> tuple[Code, ...]:
    """Return every code that an unsigned 32-bit number can be: 2 is an error of Windows and a return code."""
    codes = _by_number().get(number, ())
    status = number - families()[HTTP].facility if number > families()[HTTP].facility else number
    if not codes and status in STATUSES and (status >= FIRST_ERROR or status != number):
        codes = (_http_code(status),)
    return (*codes, *_flags(number)) if not any(code.family == FLAGS for code in codes) else codes


def _http_code(status: int) -> Code:
    """Return a status of HTTP; without an entry of its own, by its class."""
    entries = [code for code in _by_number().get(status, ()) if code.family == HTTP]
    of_class = lookup_status("http", str(status))
    return entries[0] if entries else _code(HTTP, str(status), of_class.name, of_class.meaning)


def _flags(number: int) -> Iterator[Code]:
    """Yield a combination of the flags of a TLS failure, if every bit is one of them."""
    flags = [code for code in known_codes() if code.family == FLAGS and code.numbers[0] & number]
    if flags and sum(flag.numbers[0] for flag in flags) == number:
        names = ", ".join(flag.name for flag in flags)
        meanings = "; ".join(flag.meaning for flag in flags)
        yield _code(FLAGS, f"0x{number:x}", names, meanings)


def to_number(text: str) -> int | None:
    """Return the unsigned 32-bit number of a spelling: decimal, negative, 0x and hexadecimal, or 8 digits of it.

    Returns:
        None if the text is no such number.
    """
    text = text.strip(ENCLOSING)
    if BARE_HEXADECIMAL.fullmatch(text):
        return int(text, 16)
    spelled = NUMBER.fullmatch(text)
    if spelled is None:
        return None
    if spelled["hexadecimal"]:
        return int(spelled["hexadecimal"], 16) & LARGEST  # 16 digits are a negative number of 64 bits
    number = int(spelled["decimal"])
    return number & LARGEST if -SIGN_BIT <= number <= LARGEST else None


def parse_code(text: str) -> tuple[Code, ...]:
    """Return every code that a spelling or an official name can mean.

    Args:
        text: Such as "53", "0x80070035", "-2147024843", "000004b3", "403.7", or "ERROR_BAD_NETPATH".

    Returns:
        The candidates, in the order of families; none if the text is no known code.
    """
    text = text.strip(ENCLOSING)
    number = to_number(text)
    if number is not None:
        in_decimal = not (text.lower().startswith("0x") or BARE_HEXADECIMAL.fullmatch(text))
        return tuple(code for code in codes_of(number) if _can_be_spelled(code, number, in_decimal=in_decimal))
    if WITH_SUBSTATUS.fullmatch(text):
        return tuple(code for value, code in _with_substatus().items() if value == text)
    if SYMBOL.fullmatch(text.upper()):
        return tuple(
            code for code in known_codes() if code.name.upper() == text.upper() and SYMBOL.fullmatch(code.name)
        )
    return ()


def _can_be_spelled(code: Code, number: int, *, in_decimal: bool) -> bool:
    if code.family == FLAGS:
        return not in_decimal
    return in_decimal or code.family not in COUNTED or number >= 2**16


# what a code shows


def reading(
    log: str,
    step: str,
    code: int | None = None,
    status: int | None = None,
    port: int | None = None,
    *,
    substatus: int | None = None,
    succeeded: bool = False,
    skipped: bool = False,
) -> Reading:
    """Return what a record of a log shows.

    Args:
        log: "ccm", "ccmsetup", "client", or "iis".
        step: Value of InstallStep.
        code: Unsigned 32-bit number of the record, None if it has none.
        status: HTTP status of the record. An error status decides before the code.
        port: Port of the record; 0 says that nothing was sent.
        substatus: Substatus of IIS.
        succeeded: Whether the step succeeded.
        skipped: Whether the program decided not to go on.

    Returns:
        The reading, with its code. Without an entry in the table, a general one that shows nothing.
    """
    entries = _by_step().get((log, step), {})
    status = status if status in STATUSES else None
    if succeeded:
        return entries.get((SUCCEEDED, None), _general()["succeeded"])
    if port == 0 and (NOTHING_SENT, None) in entries:
        return replace(entries[NOTHING_SENT, None], number=code)
    candidates = _candidates(log, code, status, substatus, with_zero=("ccmsetup-exit 0", None) in entries)
    entry = _matching(entries, candidates, status, code)
    if entry is None and skipped:
        entry = entries.get((SKIPPED, None))
    return entry or _beside_status(_without_entry(entries, candidates, code), entries, status)


def _candidates(
    log: str, code: int | None, status: int | None, substatus: int | None, *, with_zero: bool
) -> tuple[Code, ...]:
    """Return what the numbers of a record can be, the most telling first."""
    if status is not None and status >= FIRST_ERROR:
        exact = _with_substatus().get(f"{status}.{substatus}")
        return (exact, _http_code(status)) if exact else (_http_code(status),)
    codes = codes_of(code) if code or (code == 0 and with_zero) else ()
    beside = status is not None and (not code or log == IIS)  # IIS writes a code of Windows in every line
    return (*codes, _http_code(status)) if status is not None and beside else codes


def _matching(entries: Entries, candidates: tuple[Code, ...], status: int | None, number: int | None) -> Reading | None:
    """Return the entry for one of several codes: those that name the code before those that name its family."""
    exact = [(f"{code.family} {code.value}", code) for code in candidates]
    for matcher, code in (*exact, *((f"{code.family} {ANY}", code) for code in candidates)):
        entry = entries.get((matcher, status)) or entries.get((matcher, None))
        if entry is not None:
            return _of_code(entry, code, number)
    return None


def _of_code(entry: Reading, code: Code, number: int | None) -> Reading:
    """Return an entry with its code; one of HTTP without steps has those of the status."""
    entry = replace(entry, code=code, number=number)
    if entry.next_steps or code.family not in (HTTP, SUBSTATUS):
        return entry
    status = lookup_status("http", code.value.partition(".")[0])
    return replace(entry, fatal=status.fatal, next_steps=(NextStep(MANAGEMENT_POINT, status.action),))


def _without_entry(entries: Entries, candidates: tuple[Code, ...], code: int | None) -> Reading:
    if candidates:
        return replace(_general()["known-code"], code=candidates[0], number=code)
    if not code:
        return entries.get((NONE, None), _general()["no-code"])
    return unknown_code(code)


def _beside_status(general: Reading, entries: Entries, status: int | None) -> Reading:
    """Return a general reading; with a status of success beside the code, the port is open whatever the code means."""
    answered = entries.get((f"{HTTP} {status}", None))
    if answered is None or answered.shows != Shows.OPEN:
        return general
    return replace(general, shows=answered.shows, requirements=answered.requirements)


def unknown_code(number: int) -> Reading:
    """Return the reading of a number that is no known code: it shows nothing, and states how to look it up."""
    of_windows = number - families()[WINDOWS].facility if number >= families()[WINDOWS].facility else number
    general = _general()["unknown-windows-code" if of_windows < 2**16 else "unknown-code"]
    steps = tuple(
        replace(step, command=step.command and step.command.format(code=written(number), number=of_windows))
        for step in general.next_steps
    )
    return replace(general, next_steps=steps, number=number)


def readings_of(code: Code) -> tuple[Reading, ...]:
    """Return what a code shows at each step that has an entry for it; if none has, for its family."""
    exact = [entry for entry in readings() if f"{code.family} {code.value}" in entry.codes]
    of_family = [] if code.next_step else [entry for entry in readings() if f"{code.family} {ANY}" in entry.codes]
    return tuple(_of_code(entry, code, None) for entry in exact or of_family)
