"""Read a Windows Firewall log as a source: its rows become flows, its lines are accounted for."""

from __future__ import annotations

import io
from pathlib import Path

from auditor.ruleset.statements import say
from auditor.sources.files.warnings import SourceWarning, warning
from auditor.sources.flows.from_logs.firewall_flows import LogFacts, LogFlowBuilder
from auditor.sources.logs.addresses import LogAddresses
from auditor.sources.logs.batching import Steps
from auditor.sources.logs.firewall_log import FirewallLog, read_log
from auditor.sources.logs.firewall_rows import CANONICAL
from auditor.sources.logs.time_zone import Clock
from auditor.sources.source import FIREWALL_LOG, Advance, Source, name_of


def firewall_log(
    raw: io.BufferedReader, path: Path, clock: Clock, advance: Advance, addresses: LogAddresses | None
) -> Steps[Source | None]:
    """Return the flows, counts and warnings of one log, None if the file is nothing like one.

    Args:
        raw: The file, at its beginning.
        path: Its name.
        clock: Turns local times into UTC.
        advance: Called with how many bytes were read, and how many there are.
        addresses: Where those of several logs are numbered: then the sections of the log are yielded, to be read by
            the caller; None reads them here, in threads if there are many.

    Raises:
        SourceError: As `recognize` does.
    """
    builder, name = LogFlowBuilder(), name_of(path)
    log = yield from read_log(raw, path, clock, builder.add, advance, addresses)
    if log is None:
        return None
    details = builder.finish(log, name)
    facts = details.facts
    return Source(
        path=name,
        kind=FIREWALL_LOG,
        format="pfirewall" + (f" ({', '.join(log.notes)})" if log.notes else ""),
        bytes=log.bytes,
        records=log.account.rows,
        skipped=log.account.skipped,
        first_ns=facts.first_ns,
        last_ns=facts.last_ns,
        understood=log.account.rows,
        warnings=(*log.warnings, *_warnings(log, facts)),
        tally=facts.unused,
        details=details,
        clock=facts.clock,
    )


def _warnings(log: FirewallLog, facts: LogFacts) -> list[SourceWarning]:
    """Return warnings for what is wrong with the lines of a log, or missing from it."""
    account, warnings = log.account, []
    if account.skipped:
        frequencies = account.malformed.most_common()
        samples = {kind: account.samples[kind][0] for kind, _ in frequencies}
        kinds = "; ".join(
            say("warning.malformed-kind", count=count, kind=say(f"malformed.{kind}"), line=samples[kind][0])
            for kind, count in frequencies
        )
        texts = " | ".join(text for _, text in samples.values())
        counts = {"count": account.skipped, "lines": account.lines}
        warnings.append(warning("malformed-lines", **counts, kinds=kinds, quoted=texts))
    if account.lost_rows:
        warnings.append(warning("lost-events", count=account.lost, rows=account.lost_rows))
    if not log.headed:
        warnings.append(warning("no-header"))
    if unknown := [name for name in log.fields if name not in CANONICAL]:
        warnings.append(warning("unknown-columns", quoted=", ".join(unknown[:5])))
    if facts.folded:
        warnings.append(warning("folded", "folded-log", count=facts.folded))
    if not account.rows:
        warnings.append(warning("no-rows"))
    return warnings
