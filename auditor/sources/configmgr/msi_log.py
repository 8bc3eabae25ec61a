"""The log of Windows Installer about client.msi (client.msi.log), which CCMSetup asks for; it is written as UTF-16."""

from __future__ import annotations

import re
from dataclasses import dataclass

from auditor.sources.configmgr.byte_lines import byte_lines, narrowed
from auditor.sources.configmgr.client_facts import FactList, facts_of_property
from auditor.sources.configmgr.client_messages import read_code, shown
from auditor.sources.configmgr.client_steps import StepList
from auditor.sources.configmgr.facts import InstallStep, ReportedFact, ReportedStep, StepOutcome
from auditor.sources.configmgr.text_pieces import HEAD, Readable, as_text

LOOKED_AT = 2000  # bytes of a line
MOST_STEPS = 100  # of the first and of the last failures
REBOOT = frozenset((1641, 3010))  # ERROR_SUCCESS_REBOOT_INITIATED and ERROR_SUCCESS_REBOOT_REQUIRED

_SIGNS = re.compile(
    rb"=== (?:Verbose )?[Ll]ogging started:|MSI \([scN]\) \([0-9A-F]{2}:[0-9A-F]{2}\)|Action (?:start|ended) "
    rb"[0-9]{1,2}[:.][0-9]{2}[:.][0-9]{2}: "
)
# What a failed installation writes, and its result. Two of these words are in every row: most lines have neither.
_WORDS = (b"eturn", b"status: ")
_MESSAGES = tuple(
    re.compile(pattern)
    for pattern in (
        r"Action ended [0-9:.]{5,12}: (?P<action>[^.\n]{1,100})\. Return value (?P<code>3)\.",
        r".{0,200}?\bReturn value (?P<code>3)\.",
        r".{0,200}?\bCustomAction (?P<action>[\w.]{1,100}) returned actual error code (?P<code>-?[0-9]{1,10})",
        r".{0,200}?\bMainEngineThread is returning (?P<code>-?[0-9]{1,10})",
        r".{0,600}?Installation success or error status: (?P<code>-?[0-9]{1,10})",
    )
)
_RESULT = "success or error status: "
_PROPERTY = re.compile(r"Property\([SCN]\): (\w{1,100}) = (\S[^\n]{0,500})")


@dataclass(frozen=True)
class MsiLog:
    """What a log of Windows Installer reports.

    Attributes:
        steps: Failures, and the result, in the order of lines; at most the first and the last hundred. Their times are
            None, since the log has only local times of day. `target` is the action that failed.
        facts: Properties of the site that the package was given.
        lines: Lines of the file.
    """

    steps: tuple[ReportedStep, ...]
    facts: tuple[ReportedFact, ...]
    lines: int


def looks_like_msi_log(head: bytes) -> bool:
    """Return whether bytes from the beginning of a file are those of a log of Windows Installer."""
    return bool(_SIGNS.search(narrowed(head[:HEAD])))


def read_msi_log(raw: Readable) -> MsiLog:
    """Read a log of Windows Installer in constant memory.

    Args:
        raw: The log from its beginning, not compressed.

    Returns:
        What it reports.
    """
    steps, facts = StepList(MOST_STEPS), FactList()
    number = 0
    for number, line in enumerate(byte_lines(raw), 1):
        if any(word in line for word in _WORDS):
            if step := _step(number, as_text(line[:LOOKED_AT])):
                steps.add(step)
        elif line.startswith(b"Property("):
            _read_property(facts, number, as_text(line[:LOOKED_AT]))
    return MsiLog(steps.all(), facts.all(), number)


def _step(number: int, line: str) -> ReportedStep | None:
    match = next((match for pattern in _MESSAGES if (match := pattern.match(line))), None)
    if match is None or (code := read_code(match["code"])) is None:
        return None
    if code and code not in REBOOT:
        outcome = StepOutcome.FAILED
    elif _RESULT in match[0]:
        outcome = StepOutcome.SUCCEEDED
    else:
        return None
    action = match.groupdict().get("action") or ""
    return ReportedStep(
        InstallStep.MSI,
        outcome,
        number,
        number,
        None,
        shown(line),
        code=code,
        written_code=match["code"],
        target=action,
    )


def _read_property(facts: FactList, number: int, line: str) -> None:
    if match := _PROPERTY.match(line):
        for kind, value in facts_of_property(match[1], match[2].strip()):
            facts.add(kind, value, number)
