"""Read a log of Configuration Manager, IIS, or Windows Installer as a source: its steps, its lines accounted for."""

from __future__ import annotations

import io
import zlib
from collections.abc import Iterable, Iterator
from pathlib import Path

from auditor.sources.configmgr.client_logs import ClientLog
from auditor.sources.configmgr.client_push_export import ExportAccount, looks_like_export, read_export
from auditor.sources.configmgr.facts import ReportedSteps
from auditor.sources.configmgr.iis_log import IisLog, looks_like_iis_log, read_iis_log
from auditor.sources.configmgr.msi_log import looks_like_msi_log, read_msi_log
from auditor.sources.configmgr.push_requests import PushLog, PushRequestBuilder
from auditor.sources.configmgr.records import RecordAccount, looks_like_log, read_records
from auditor.sources.configmgr.text_pieces import HEAD
from auditor.sources.files.gzip_stream import GZIP_MAGIC, EndlessError, Unpacked
from auditor.sources.files.skip_counts import Tally
from auditor.sources.files.time_span import TimeSpan
from auditor.sources.files.warnings import SourceWarning, warning
from auditor.sources.flows.no_flows import NoFlows
from auditor.sources.source import CONFIGMGR_LOG, IIS_LOG, Advance, Source, name_of

PUSH_LOG, SETUP_LOG, CLIENT_LOG, OTHER_LOG = "ccm.log", "ccmsetup.log", "client log", "CMTrace log"
MSI_LOG, EXPORT = "Windows Installer log", "export of v_CP_Machine"


def configmgr_log(raw: io.BufferedReader, path: Path, advance: Advance) -> Source | None:
    """Return what a log of Configuration Manager, IIS, or Windows Installer reports; None if the file is none.

    Args:
        raw: The file, at its beginning.
        path: Its name.
        advance: Called with how many bytes were read, and how many there are.
    """
    text = _Bytes(raw, path.stat().st_size, advance)
    head = text.peek(HEAD)
    if looks_like_iis_log(head):
        return _iis_log(text, path)
    if looks_like_log(head):
        return _record_log(text, path)
    if looks_like_msi_log(head):
        return _msi_log(text, path)
    if looks_like_export(head):
        return _export(text, path)
    return None


class _Bytes:
    """The bytes of a log, unpacked, up to where they are cut or broken; what was read ahead comes first."""

    def __init__(self, raw: io.BufferedReader, size: int, advance: Advance) -> None:
        self.gzipped = raw.peek(2)[:2] == GZIP_MAGIC
        self.size = size
        self.warnings: list[SourceWarning] = []
        self._raw: io.BufferedReader | Unpacked = Unpacked(raw) if self.gzipped else raw
        self._file = raw
        self._ahead = b""
        self._advance = advance

    def peek(self, size: int) -> bytes:
        """Return the first bytes without using them up."""
        while len(self._ahead) < size and (piece := self._next(size - len(self._ahead))):
            self._ahead += piece
        return self._ahead

    def read(self, size: int, /) -> bytes:
        """Return up to so many bytes, none at the end."""
        if self._ahead:
            piece, self._ahead = self._ahead[:size], self._ahead[size:]
            return piece
        return self._next(size)

    def _next(self, size: int) -> bytes:
        self._advance(self._file.tell(), self.size)
        try:
            return self._raw.read(size)
        except (EOFError, zlib.error) as error:
            self.warnings.append(warning("cut-short", "gzip-broken", error=error))
        except EndlessError as error:
            self.warnings.append(warning("expands-too-much", error=error))
        self._raw = io.BufferedReader(io.BytesIO())
        return b""


def _iis_log(text: _Bytes, path: Path) -> Source:
    log = read_iis_log(text)
    reported = ReportedSteps(served=log.served)
    notes = [*text.warnings, *_of_rows(log)]
    return _source(
        text, path, IIS_LOG, "IIS W3C", reported, notes, (log.rows, log.malformed, log.first_ns, log.last_ns)
    )


def _of_rows(log: IisLog) -> Iterator[SourceWarning]:
    if log.malformed and log.sample:
        yield _malformed(log.malformed, log.lines, log.sample)
    if log.uncounted:
        yield warning("folded", "folded-requests", count=log.uncounted)
    if not log.ours:
        yield warning("no-installation", "no-client-requests")


def _malformed(count: int, lines: int, sample: tuple[int, str]) -> SourceWarning:
    line, quoted = sample
    return warning("malformed-lines", "malformed-records", count=count, lines=lines, line=line, quoted=quoted)


def _record_log(text: _Bytes, path: Path) -> Source:
    account, span = RecordAccount(), TimeSpan()
    requests, client = PushRequestBuilder(), ClientLog()
    of_client = False
    for record in read_records(text, account):
        if record.time_ns is not None:
            span.add(record.time_ns, record.time_ns)
        of_client = client.read(record) or of_client
        requests.add(record)
    pushes, reported = requests.finish(), client.finish()
    whole = ReportedSteps(
        requests=pushes.requests,
        installations=reported.installations,
        steps=reported.steps,
        facts=reported.facts,
        unknown_errors=(*pushes.unknown_errors, *reported.unknown_errors),
    )
    notes = [*text.warnings, *_of_records(account, pushes, whole, of_client=of_client)]
    counts = (account.records, account.malformed.total(), span.first_ns, span.last_ns)
    return _source(
        text, path, CONFIGMGR_LOG, _name(whole, of_client=of_client), whole, notes, counts, local=account.local > 0
    )


def _name(reported: ReportedSteps, *, of_client: bool) -> str:
    if reported.requests:
        return PUSH_LOG
    if reported.installations:
        return SETUP_LOG
    return CLIENT_LOG if of_client else OTHER_LOG


def _of_records(
    account: RecordAccount, pushes: PushLog, reported: ReportedSteps, *, of_client: bool
) -> Iterator[SourceWarning]:
    """Yield warnings about lines that are no records, and about what a log lacks."""
    if account.malformed:
        yield _malformed(account.malformed.total(), account.lines, min(account.samples.values()))
    if account.cut:
        yield warning("folded", "cut-records", count=account.cut)
    if account.undated:
        yield warning("no-times", "undated-records", count=account.undated)
    if pushes.dropped_steps:
        yield warning("folded", "dropped-steps", count=pushes.dropped_steps)
    if reported.requests or reported.installations or reported.steps:
        return
    yield warning("no-installation", "no-steps") if of_client else warning("no-installation", "other-product")


def _msi_log(text: _Bytes, path: Path) -> Source:
    log = read_msi_log(text)
    notes = [*text.warnings, *([] if log.steps else [warning("no-installation", "no-msi-failure")])]
    reported = ReportedSteps(steps=log.steps, facts=log.facts)
    return _source(text, path, CONFIGMGR_LOG, MSI_LOG, reported, notes, (log.lines, 0, None, None))


def _export(text: _Bytes, path: Path) -> Source:
    account = ExportAccount()
    machines = read_export(text, account)
    times = [machine.last_ns for machine in machines if machine.last_ns is not None]
    notes = list(text.warnings)
    if account.malformed and account.sample:
        notes.append(_malformed(account.malformed, account.lines, account.sample))
    counts = (len(machines), account.malformed, min(times, default=None), max(times, default=None))
    return _source(text, path, CONFIGMGR_LOG, EXPORT, ReportedSteps(machines=tuple(machines)), notes, counts)


def _source(
    text: _Bytes,
    path: Path,
    kind: str,
    log: str,
    reported: ReportedSteps,
    warnings: Iterable[SourceWarning],
    counts: tuple[int, int, int | None, int | None],
    *,
    local: bool = False,
) -> Source:
    """Return the source. counts: records that were read, those that were not, and the first and the last time."""
    records, skipped, first_ns, last_ns = counts
    return Source(
        path=name_of(path),
        kind=kind,
        format=log + (" (gzip)" if text.gzipped else ""),
        bytes=text.size,
        records=records,
        skipped=skipped,
        first_ns=first_ns,
        last_ns=last_ns,
        understood=records,
        warnings=tuple(warnings),
        tally=Tally(),
        details=NoFlows(),
        clock="local" if local else "utc",
        reported=reported,
    )
