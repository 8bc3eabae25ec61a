"""The packets that prove a report, each with a comment that says what it proves, as one small pcapng."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator, Mapping
from pathlib import Path
from types import MappingProxyType
from typing import BinaryIO

from auditor.errors import AuditorError, SourceError
from auditor.report import model as r
from auditor.sources.collection import gone
from auditor.sources.extract import Record, frames_of, write_pcapng
from auditor.sources.source import CAPTURE

Comments = dict[int, list[str]]
AGAIN = "Analyze it again: auditor evidence SOURCE..."


NOTHING_UNPACKED: Mapping[str, Path] = MappingProxyType({})


class NoEvidenceError(AuditorError):
    """A report in which nothing was judged by packets."""


def write_evidence(report: r.Report, out: BinaryIO, unpacked: Mapping[str, Path] = NOTHING_UNPACKED) -> int:
    """Write every frame that the report cites, once, and return how many; Wireshark shows the comments.

    The packets are taken from the report's sources, which must still lie where they were. Raises NoEvidenceError if the
    report cites none, SourceError if a source has changed.

    Args:
        report: The report of one audit.
        out: A file.
        unpacked: Where files from archives are, by the path of the source.
    """
    cited = comments(report)
    if not cited:
        if any(source.kind != CAPTURE for source in report.sources):
            hint = "Attach the log itself; auditor analyze lists its lines."
            message = "no packets prove this report, and lines of a log cannot be written as packets"
            raise NoEvidenceError(message, hint=hint)
        raise NoEvidenceError(
            "nothing in these sources proves or disproves a requirement",
            hint="To see what the sources show, run: auditor analyze SOURCE...",
        )
    records = list(_records(report, cited, unpacked))
    write_pcapng(out, [record for record, _ in records], [comment for _, comment in records])
    return len(records)


def comments(report: r.Report) -> dict[int, Comments]:
    """Return what each cited frame proves: by source number, then by frame number."""
    cited: dict[int, Comments] = defaultdict(lambda: defaultdict(list))
    for client, requirement in _verdicts(report):
        name = f"{client.address} {requirement.id}"
        fix = f" Fix: {requirement.remedy_text}" if requirement.remedy and _is_stopped(requirement) else ""
        for evidence in requirement.evidence:
            if report.sources[evidence.source].kind != "capture":
                continue  # a log has no packets
            for frame in evidence.frames:
                cited[evidence.source][frame].append(f"{name}: {_verdict(requirement)}. {evidence.text}{fix}")
    return cited


def _is_stopped(requirement: r.RequirementVerdict) -> bool:
    return requirement.verdict in r.FAILING or any(problem.fatal for problem in requirement.problems)


def _verdicts(report: r.Report) -> Iterator[tuple[r.ClientReport, r.RequirementVerdict]]:
    for client in report.clients:
        for method in client.methods:
            for requirement in method.requirements:
                yield client, requirement


def _verdict(requirement: r.RequirementVerdict) -> str:
    return f"{requirement.verdict} ({requirement.confidence})" if requirement.confidence else requirement.verdict


def _records(
    report: r.Report, cited: dict[int, Comments], unpacked: Mapping[str, Path]
) -> Iterator[tuple[Record, str]]:
    for number, wanted in sorted(cited.items()):
        path = report.sources[number].path
        source = f"{path}, " if len(report.sources) > 1 else ""
        count = 0
        try:
            for record in frames_of(unpacked.get(path, Path(path)), wanted):
                count += 1
                yield record, "\n".join((f"{source}frame {record.frame}", *dict.fromkeys(wanted[record.frame])))
        except OSError as error:
            raise gone(path, error, AGAIN) from error
        if count != len(wanted):
            raise SourceError("the source has changed since the report was created", where=path, hint=AGAIN)
