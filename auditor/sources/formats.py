"""Read a Windows Firewall log as a source: its rows become flows, its lines are accounted for."""

from __future__ import annotations

import io
from pathlib import Path

from auditor.ruleset.statements import say
from auditor.sources.files.skip_counts import Tally
from auditor.sources.files.warnings import SourceWarning, warning
from auditor.sources.flows.from_logs.firewall_flows import LogFlowBuilder, LogFlows
from auditor.sources.logs.addresses import LogAddresses
from auditor.sources.logs.batching import Steps
from auditor.sources.logs.firewall_log import LogReader, recognize
from auditor.sources.logs.firewall_rows import CANONICAL
from auditor.sources.logs.time_zone import Clock
from auditor.sources.source import FIREWALL_LOG, Advance, Source, name_of


def firewall_log(
    raw: io.BufferedReader, path: Path, clock: Clock, advance: Advance, addresses: LogAddresses | None
) -> Steps[Source | None]:
    """Return the flows, counts and warnings of one log, None if the file is nothing like one.

    raw: the file, at its beginning; path: its name; addresses: where those of several logs are numbered: then the
    sections of the log are yielded, to be read by whoever goes on with this; None reads them here, in threads if there
    are many. Raises SourceError as `recognize` does.
    """
    builder = LogFlowBuilder()
    with LogReader(raw, clock, addresses) as reader:
        schema = recognize(reader.beginning(), path)
        if schema is None:
            return None
        reader.schema = schema
        if addresses is None:
            for rows in reader:
                builder.add(rows)
                advance(reader.position, reader.bytes)
        else:
            for section in reader.sections():
                builder.add(reader.rows((yield section)))
    numbered, name = reader.addresses, name_of(path)
    attempts = builder.finish(numbered)
    details = LogFlows(name, attempts, numbered, builder.facts(reader, attempts))
    notes = ", ".join(filter(None, (reader.encoding, "gzip" * reader.gzipped)))
    return Source(
        path=name,
        kind=FIREWALL_LOG,
        format="pfirewall" + (f" ({notes})" if notes else ""),
        bytes=reader.bytes,
        records=reader.account.rows,
        skipped=reader.account.skipped,
        first_ns=None if builder.first_s is None else builder.first_s * 10**9,
        last_ns=None if builder.last_s is None else builder.last_s * 10**9,
        understood=reader.account.rows,
        warnings=tuple(reader.warnings + _warnings(reader, details)),
        tally=Tally(builder.unused),
        details=details,
        clock=details.facts.clock,
    )


def _warnings(reader: LogReader, details: LogFlows) -> list[SourceWarning]:
    """Return warnings for what is wrong with a log, or missing from it."""
    account, warnings = reader.account, reader.clock.warnings()
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
    if not reader.headed:
        warnings.append(warning("no-header"))
    if unknown := [name for name in reader.schema.names if name not in CANONICAL]:
        warnings.append(warning("unknown-columns", quoted=", ".join(unknown[:5])))
    if details.facts.folded:
        warnings.append(warning("folded", "folded-log", count=details.facts.folded))
    if not account.rows:
        warnings.append(warning("no-rows"))
    return warnings
