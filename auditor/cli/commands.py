"""Command-line interface."""

from __future__ import annotations

import os
import shutil
import sys
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, TypeVar

import click

from auditor.cli.messages import print_error, print_message, print_warning
from auditor.errors import ArgumentError
from auditor.render import output_file
from auditor.render.clean import clean
from auditor.render.formats import FORMS
from auditor.report.joined_names import join_limited
from auditor.version import VERSION

if TYPE_CHECKING:
    from rich.console import Console

    from auditor.api.batch import Audited
    from auditor.cli.fleet_progress import FleetProgress
    from auditor.report.fleet_model import FleetReport
    from auditor.report.model import MethodResult, Report
    from auditor.sources.collection import Collection
    from auditor.sources.progress import ProgressCallback

Function = TypeVar("Function", bound=Callable[..., Any])

if TYPE_CHECKING:
    PairType = click.ParamType[tuple[str, str]]
    WordType = click.ParamType[str]
else:
    PairType = WordType = click.ParamType  # older versions of click cannot be subscripted

WORKS, NOTHING_AUDITED, FAILS, INCOMPLETE = 0, 1, 3, 4
NO_INSTALLATION = (
    "no client installation found in the sources, so nothing was evaluated. Record the installation again, or set the "
    "computers: --role client=ADDRESS --role site-server=ADDRESS"
)
MOST_NOWHERE = 3  # hosts, in a message
DIGITS = 20  # of a number that is worth looking at
NARROWEST, USUAL, WIDEST = 79, 100, 200  # columns of the report on a terminal; in fewer its table loses words
FLEET_FORMS = {"text": "report.txt", "html": "fleet.html", "json": "fleet.json", "csv": "hosts.csv"}  # as in its folder
EXIT_CODES = """\b
Exit codes: 0 no required port is blocked; 1 nothing could be audited; 2 invalid arguments;
3 a method fails or a required port is blocked (--strict: or an attempted method is unproven);
4 some sources or packets could not be read."""

DIFF_EXIT_CODES = """\b
Exit codes: 0 nothing broke; 1 the reports could not be compared; 2 invalid arguments;
3 an open port is now blocked, or a method or a new client now fails."""


class Pair(PairType):
    """NAME=VALUE on the command line."""

    name = "name=value"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> tuple[str, str]:
        """Return the two sides of the equals sign."""
        name, equals, text = str(value).partition("=")
        if not equals or not name.strip() or not text.strip():
            self.fail(f"{_shown(value)} is not NAME=VALUE", param, ctx)
        return name.strip(), text.strip()


class Commands(click.Group):
    """The commands; a capture that stands where a command should is answered with the command that reads it."""

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        """Return the command that the first word names."""
        try:
            return super().resolve_command(ctx, args)
        except click.UsageError as error:
            if args and _is_path(args[0]):
                capture = f'"{args[0]}"' if " " in args[0] else args[0]
                words = f"auditor analyze {capture}"
                message, hint = f"no such command {_shown(args[0])}", f"To analyze it, run: {words}"
                raise ArgumentError(message, hint=hint) from error
            raise


def _is_path(word: str) -> bool:
    return os.path.exists(word) or bool(os.path.dirname(word)) or bool(os.path.splitext(word)[1])


def _shown(value: object, most: int = 60) -> str:
    text = repr(value)
    return text if len(text) <= most else f"{text[:most]}..."


class Named(WordType):
    """The name of a file or a word; not an empty one, which an unset variable of a script leaves behind."""

    name = "text"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> str:
        """Return the name."""
        if not str(value).strip():
            self.fail("no name; check the variables of the script", param, ctx)
        return str(value)


def _show_version(ctx: click.Context, _: click.Parameter, wanted: bool) -> None:
    if not wanted or ctx.resilient_parsing:
        return
    from auditor.sources.dissection.program import find_tshark, tshark_version

    path = find_tshark()
    version = tshark_version(path) if path else None
    click.echo(f"auditor {VERSION}\ntshark {version or 'not found'}")
    ctx.exit()


SITE_OPTIONS = (
    click.option(
        "--ruleset",
        type=Named(),
        default="configmgr-2007",
        show_default=True,
        metavar="ID|FILE",
        help="Id or file of the ruleset.",
    ),
    click.option(
        "--method",
        "methods",
        multiple=True,
        type=Named(),
        metavar="ID",
        help="Installation method to evaluate, such as client-push. Default: all. Repeatable.",
    ),
    click.option(
        "--role",
        "roles",
        multiple=True,
        type=Pair(),
        metavar="ROLE=ADDRESS",
        help="Address or network of a role, such as site-server=10.20.1.5 or client=10.0.0.0/24. "
        "Default: inferred. Repeatable.",
    ),
    click.option(
        "--site",
        type=Named(),
        metavar="FILE",
        help="TOML file with the roles, mode, ports, and properties of the site.",
    ),
    click.option(
        "--port",
        "ports",
        multiple=True,
        type=Pair(),
        metavar="NAME=NUMBER",
        help="Port that differs from the ruleset: http or https for all site systems except WSUS, or one "
        "requirement, such as http-management-point=8080. Repeatable.",
    ),
    click.option(
        "--mode",
        type=click.Choice(("native", "mixed"), case_sensitive=False),
        help="Mode of the site: native (HTTPS) or mixed (HTTP). Default: inferred.",
    ),
    click.option(
        "--property",
        "properties",
        multiple=True,
        type=Named(),
        metavar="/NAME:VALUE",
        help="CCMSetup property of the installation, such as /source:PATH. Repeatable.",
    ),
)


def site_options(function: Function) -> Function:
    """Add the options that say what is known about the site."""
    for option in reversed(SITE_OPTIONS):
        function = option(function)
    return function


def output_options(*forms: str) -> Callable[[Function], Function]:
    """Add --format with these forms, --output and --force."""

    def add(function: Function) -> Function:
        function = click.option("--force", is_flag=True, help="Replacement of an existing output file.")(function)
        function = click.option(
            "-o", "--output", "target", default="-", metavar="FILE", help="Output file. Default: - (standard output)."
        )(function)
        return click.option("--format", "form", type=click.Choice(forms), default=forms[0], show_default=True)(function)

    return add


def zone_option(function: Function) -> Function:
    """Add the option that says in which time zone a firewall log was written."""
    return click.option(
        "--tz",
        metavar="ZONE",
        help="Time zone of the log, such as +02:00 or Europe/Berlin.",
    )(function)


def strict_option(function: Function) -> Function:
    """Add --strict."""
    text = "Exit code 3 also for an attempted method that is unproven."
    return click.option("--strict", is_flag=True, help=text)(function)


def redact_option(function: Function) -> Function:
    """Add --redact."""
    text = (
        "Pseudonyms such as client-1 and site-server-1 for addresses, host names, accounts, and paths. "
        "A pseudonym is the same everywhere in one output, but not in other reports."
    )
    return click.option("--redact", is_flag=True, help=text)(function)


@click.group(cls=Commands, context_settings={"help_option_names": ["-h", "--help"]}, epilog=EXIT_CODES)
@click.option(
    "--version",
    is_flag=True,
    is_eager=True,
    expose_value=False,
    callback=_show_version,
    help="Versions of auditor and tshark.",
)
def cli() -> None:
    """Find out why a Configuration Manager client installation failed.

    Reads packet captures and Windows logs of one computer or a fleet. Reports which required port was blocked, where,
    the packets or log entries that prove it, and which other installation methods are not ruled out.

    \b
    Example:
      auditor analyze push.pcap
    """


@cli.command(epilog=EXIT_CODES)
@click.argument("sources", nargs=-1, required=True, type=Named(), metavar="SOURCE...")
@site_options
@output_options(*FORMS)
@redact_option
@zone_option
@click.option(
    "--no-dissect", is_flag=True, help="Check of ports only: tshark does not analyze SMB, RPC, HTTP, and TLS."
)
@click.option(
    "--tshark",
    type=Named(),
    metavar="PATH",
    help="Path of tshark. Default: detected.",
)
@click.option("-v", "--verbose", is_flag=True, help="All details of every client, method, and requirement.")
@strict_option
@click.option("-q", "--quiet", is_flag=True, help="No report; only the exit code.")
def analyze(
    sources: tuple[str, ...],
    form: str,
    target: str,
    force: bool,
    redact: bool,
    no_dissect: bool,
    tshark: str | None,
    verbose: bool,
    strict: bool,
    quiet: bool,
    **site: Any,
) -> int:
    """Analyze captures and logs of client installations.

    The sources can be from the site server, the client, or both. A SOURCE is a file, a folder, or a ZIP archive; files
    in it that are not captures or logs are listed and not used.

    \b
    Example:
      auditor analyze push.pcap pfirewall.log --role site-server=10.20.1.5
      auditor analyze evidence.zip
    """
    from auditor.api.audit import audit
    from auditor.sources.collection import Collection

    output_file.check(target, force=force, inputs=_inputs(sources, site))
    sources = _each_once(sources)
    arguments = _arguments(site)
    _tell_idle_properties(site)
    with _progress(quiet=quiet) as progress, Collection(sources, progress) as collection:
        audited = audit(collection, dissect=not no_dissect, tshark=tshark, progress=progress, **arguments)
    output_file.check(target, force=force, inputs=map(str, collection.read))
    report = _redacted(audited, redact)
    if not quiet or target != output_file.STANDARD:
        _write_report(report, form, target, force, verbose)
    _tell_unaudited(report)
    _tell_fleets(collection)
    return _exit_code(report, strict=strict)


@cli.command(epilog=EXIT_CODES)
@click.argument("paths", nargs=-1, required=True, type=Named(), metavar="PATH...")
@click.option("-o", "--output", "target", required=True, type=Named(), metavar="DIR", help="Folder of the report.")
@click.option(
    "--host-from",
    type=Named(),
    metavar="PATTERN",
    help="Pattern that finds host and site in a path, such as {host}/pfirewall.log or logs/{site}/{host}/*.log.",
)
@click.option(
    "--host-map",
    type=Named(),
    metavar="FILE",
    help="CSV file of the expected computers: column host, and any of path, address, site.",
)
@click.option(
    "--workers",
    type=click.IntRange(0, 1024),
    metavar="N",
    help="Number of worker processes. Default: one per processor, at most 3, fewer if memory is low. 0: none.",
)
@click.option("--dask", is_flag=True, help="Dask on this computer, with --workers processes.")
@click.option(
    "--scheduler", type=Named(), metavar="ADDRESS", help="Address of a Dask cluster, such as tcp://10.0.0.5:8786."
)
@site_options
@zone_option
@click.option("--force", is_flag=True, help="Use of an output folder that contains other files.")
@strict_option
@click.option("-q", "--quiet", is_flag=True, help="No output; only the folder and the exit code.")
def batch(paths: tuple[str, ...], target: str, strict: bool, quiet: bool, site: str | None, **options: Any) -> int:
    """Analyze logs and captures of a fleet.

    A PATH is a file, a folder, a pattern, or @LIST. Each file belongs to one computer. A second run reads only new and
    changed files. Only ports are evaluated. The folder contains the report as text, HTML, CSV, Parquet, and JSON, and
    summaries for auditor merge.

    \b
    Example:
      auditor batch logs -o fleet --host-from "{site}/{host}/*.log"
    """
    from auditor.api.batch import batch as audit_fleet

    names = ("host_from", "host_map", "workers", "dask", "scheduler", "force")
    arguments = _arguments(options | {"site": site}) | {name: options[name] for name in names}
    with _fleet_progress(quiet=quiet) as begin_progress:
        audited = audit_fleet(*paths, out=target, begin_progress=begin_progress, note=_quietly(quiet), **arguments)
    return _tell_fleet(audited, strict=strict, quiet=quiet)


@cli.command(epilog=EXIT_CODES)
@click.argument("summaries", nargs=-1, required=True, type=Named(), metavar="SUMMARIES...")
@click.option("-o", "--output", "target", required=True, type=Named(), metavar="DIR", help="Folder of the report.")
@click.option("--ruleset", type=Named(), metavar="FILE", help="Ruleset file, if the summaries were made with your own.")
@click.option("--workers", type=click.IntRange(0, 1024), metavar="N", help="Number of worker processes. 0: none.")
@click.option("--force", is_flag=True, help="Replacement of the summaries of another fleet in the folder.")
@strict_option
@click.option("-q", "--quiet", is_flag=True, help="No output; only the folder and the exit code.")
def merge(summaries: tuple[str, ...], target: str, strict: bool, quiet: bool, **options: Any) -> int:
    """Merge the summaries of several sites into one report.

    SUMMARIES are folders that auditor batch wrote, or their folder summaries.

    \b
    Example:
      auditor merge BERLIN LISBON -o fleet
    """
    from auditor.api.batch import merge as merge_summaries

    return _tell_fleet(merge_summaries(*summaries, out=target, **options), strict=strict, quiet=quiet)


@cli.command()
@click.argument("report", metavar="REPORT.json|DIR")
@click.option(
    "--host", type=Named(), metavar="NAME", help="Computer of a fleet; REPORT is then the folder of the fleet."
)
@output_options(*FORMS)
@redact_option
@click.option("-v", "--verbose", is_flag=True, help="All details of every client, method, and requirement.")
def render(report: str, host: str | None, form: str, target: str, force: bool, redact: bool, verbose: bool) -> int:
    """Convert a saved report to another format.

    REPORT is a report of analyze --format json; - is standard input. The output is the same as that of analyze. A
    fleet.json converts to text, html, json, or csv (one row per computer). With the folder of a fleet and --host, the
    output is the report of one computer.

    \b
    Example:
      auditor render report.json --format html -o report.html
    """
    from auditor.report.fleet_model import FleetReport

    output_file.check(target, force=force, inputs=(report,))
    loaded = _saved(report, host)
    if isinstance(loaded, FleetReport):
        _check_fleet_form(form, redact=redact)
        _write_fleet(loaded, form, target, force)
        return WORKS
    saved = _redacted(loaded, redact)
    _write_report(saved, form, target, force, verbose)
    _tell_unaudited(saved)
    return WORKS


@cli.command(epilog=DIFF_EXIT_CODES)
@click.argument("before", metavar="BEFORE.json")
@click.argument("after", metavar="AFTER.json")
@output_options("text", "json", "markdown")
@redact_option
def diff(before: str, after: str, form: str, target: str, force: bool, redact: bool) -> int:
    """Compare two saved reports.

    The reports are those of analyze --format json.

    \b
    Example:
      auditor diff before.json after.json
    """
    from auditor.render.comparison import render as rendered
    from auditor.report.compare import compare
    from auditor.report.load import load_report
    from auditor.report.redact import redact_all

    output_file.check(target, force=force, inputs=(before, after))
    reports = (load_report(before), load_report(after))
    earlier, later = redact_all(reports) if redact else reports
    comparison = compare(earlier, later, redacted_together=redact)
    with output_file.opened(target, force=force) as out:
        out.write(rendered(comparison, form).encode())
    return FAILS if comparison.worse else WORKS


@cli.command()
@click.argument("sources", nargs=-1, required=True, type=Named(), metavar="SOURCE...")
@output_options("text", "csv", "jsonl", "parquet")
@zone_option
def flows(sources: tuple[str, ...], form: str, target: str, force: bool, tz: str | None) -> int:
    """Write the flow table of captures and logs.

    One row per flow, with the originator as in Zeek and the stream numbers of Wireshark. A SOURCE is a file, a folder,
    or a ZIP archive.

    \b
    Example:
      auditor flows push.pcap --format csv -o flows.csv
    """
    from auditor.render.tables.flows import write
    from auditor.report.model import INCOMPLETE_CODES
    from auditor.sources.collection import Collection
    from auditor.sources.read_all import read_collection
    from auditor.sources.source import WITHOUT_FLOWS

    output_file.check(target, force=force, inputs=sources, binary=form == "parquet")
    with _progress() as progress, Collection(_each_once(sources), progress) as collection:
        read, unreadable = read_collection(collection, tz=tz, progress=progress)
    output_file.check(target, force=force, inputs=map(str, collection.read))
    _tell_not_used(collection)
    for source in unreadable:
        print_error(f"{source.path}: {source.warnings[0].text}")
    lacking = [
        (source.path, warning.text)
        for source in read
        for warning in source.warnings
        if warning.code in INCOMPLETE_CODES
    ]
    for path, text in lacking:
        print_warning(f"{path}: {text}")
    for path in (source.path for source in read if source.kind in WITHOUT_FLOWS):
        print_warning(f"{path}: this log contains steps, not flows. To see them, run: auditor analyze")
    with output_file.opened(target, force=force) as out:
        write(read, out, form)
    return INCOMPLETE if unreadable or lacking or any(source.skipped for source in read) else WORKS


@cli.command()
@click.argument("sources", nargs=-1, required=True, type=Named(), metavar="SOURCE...")
@site_options
@zone_option
@click.option("-o", "--output", "target", required=True, metavar="FILE", help="Output file (pcapng).")
@click.option("--force", is_flag=True, help="Replacement of an existing output file.")
def evidence(sources: tuple[str, ...], target: str, force: bool, **site: Any) -> int:
    """Write the packets that prove the result to a pcapng.

    Each packet has a comment that Wireshark shows. A SOURCE is a file, a folder, or a ZIP archive.

    \b
    Example:
      auditor evidence push.pcap -o evidence.pcapng
    """
    from auditor.api.audit import audit
    from auditor.api.evidence import write_evidence
    from auditor.sources.collection import Collection

    output_file.check(target, force=force, inputs=_inputs(sources, site), binary=True)
    arguments = _arguments(site)
    _tell_idle_properties(site)
    with Collection(_each_once(sources)) as collection:
        report = audit(collection, **arguments)
        output_file.check(target, force=force, inputs=map(str, collection.read))
        _tell_unread(report)
        _tell_not_used(collection)
        with output_file.opened(target, force=force) as out:
            count = write_evidence(report, out, collection.unpacked)
    print_message(f"{count:,} packet{'' if count == 1 else 's'}")
    return INCOMPLETE if report.incomplete else WORKS


@cli.group()
def rulesets() -> None:
    """Show, check, and export rulesets.

    \b
    Example:
      auditor rulesets show configmgr-2007
    """


@rulesets.command("list")
def list_rulesets() -> None:
    """List the rulesets of auditor.

    \b
    Example:
      auditor rulesets list
    """
    from auditor.render.ruleset_text import list_text

    click.echo(list_text(), nl=False)


@rulesets.command("show")
@click.argument("ruleset", type=Named(), metavar="ID")
def show_ruleset(ruleset: str) -> None:
    """Show methods, requirements, ports, and notes.

    \b
    Example:
      auditor rulesets show configmgr-2007
    """
    from auditor.render.ruleset_text import ruleset_text
    from auditor.ruleset.ruleset import load_ruleset

    click.echo(ruleset_text(load_ruleset(ruleset)), nl=False)


@rulesets.command("check")
@click.argument("file", type=Named())
def check(file: str) -> int:
    """Check a ruleset file and list all errors.

    \b
    Example:
      auditor rulesets check my-ruleset.toml
    """
    from auditor.ruleset.ruleset import check_ruleset

    faults = check_ruleset(file)
    for fault in faults:
        click.echo(str(fault))
    count = "1 fault" if len(faults) == 1 else f"{len(faults) or 'no'} faults"
    click.echo(f"{clean(file)}: {count}")
    return 2 if faults else 0


@rulesets.command("export")
@click.argument("selection", metavar="METHOD|RULESET")
@click.option(
    "--to", "form", type=click.Choice(("powershell", "netsh", "csv")), required=True, help="Format of the rules."
)
@click.option("--outbound", is_flag=True, help="Also outbound rules, for computers that block outbound connections.")
@site_options
@click.option(
    "-o", "--output", "target", default="-", metavar="FILE", help="Output file. Default: - (standard output)."
)
@click.option("--force", is_flag=True, help="Replacement of an existing output file.")
def export(selection: str, form: str, outbound: bool, target: str, force: bool, **site: Any) -> None:
    """Write Windows Firewall rules for a method or ruleset.

    The command changes nothing on this computer.

    \b
    Example:
      auditor rulesets export client-push --to powershell --role site-server=10.20.1.5 -o rules.ps1
    """
    from auditor.render.firewall_rules import rules_text
    from auditor.ruleset.firewall_rules import firewall_rules

    output_file.check(target, force=force, inputs=_inputs((selection,), site))
    text = rules_text(firewall_rules(selection, outbound=outbound, **_arguments(site)), form)
    with output_file.opened(target, force=force) as out:
        out.write(text.encode())


@cli.command(context_settings={"ignore_unknown_options": True})  # -2147023174 is a code
@click.argument("term", nargs=-1)
def explain(term: tuple[str, ...]) -> None:
    """Explain a term of a report or a code of a log.

    A term is a verdict, result, requirement, method, role, mode, warning, connection state, or problem. It can also be
    an ICMP code (3/13, or 1/1 v6), or a term of a fleet report, such as coverage.

    A code of ccm.log, ccmsetup.log, or the IIS log can have any spelling, such as 53, 0x800706ba, or -2147023174.
    Without a term, the command lists all terms. An unknown code ends it with exit code 1.

    \b
    Example:
      auditor explain not-observed
      auditor explain 0x800706ba
    """
    from auditor.cli.explain import explain as explained

    click.echo(explained(" ".join(term) if term else None), nl=False)


@cli.command()
def doctor() -> int:
    """Check this installation and list missing components.

    \b
    Example:
      auditor doctor
    """
    from auditor.cli.doctor import examine

    text, healthy = examine()
    click.echo(text, nl=False)
    return 0 if healthy else 1


def _saved(report: str, host: str | None) -> Report | FleetReport:
    """Return a saved report, of one audit or of a fleet, or that on one host of a fleet."""
    from auditor.api.batch import host_report
    from auditor.report.fleet_load import load_saved

    if host is None and os.path.isdir(report):
        hint = "Set one host of the fleet (--host NAME, listed in hosts.csv), or name its fleet.json."
        raise ArgumentError("this is a folder", where=report, hint=hint)
    if host is not None and (report == output_file.STANDARD or os.path.isfile(report)):
        hint = "Name the folder that auditor batch or merge wrote."
        raise ArgumentError(f"{report} is a file", where="--host", hint=hint)
    return load_saved(report) if host is None else host_report(report, host)


def _check_fleet_form(form: str, *, redact: bool) -> None:
    if form not in FLEET_FORMS:
        hint = f"Choose from {', '.join(FLEET_FORMS)}."
        raise ArgumentError(f"a fleet report has no form {form}", where="--format", hint=hint)
    if redact:
        raise ArgumentError("a whole fleet cannot be redacted", where="--redact", hint="Set one host: --host NAME")


def _write_fleet(report: FleetReport, form: str, target: str, force: bool) -> None:
    """Write the report of a fleet in one of FLEET_FORMS."""
    from auditor.fleet.output_folder import write_form
    from auditor.render.fleet.text import print_fleet_text

    if form == "text" and target == output_file.STANDARD and sys.stdout.isatty():
        print_fleet_text(report, _terminal())
        return
    with output_file.opened(target, force=force) as out:
        write_form(report, FLEET_FORMS[form], out)


def _tell_fleet(audited: Audited, *, strict: bool, quiet: bool) -> int:
    """Show the report of a fleet and return the exit code that it stands for."""
    state = audited.folder.state()
    if not quiet:
        click.echo(audited.folder.text(), nl=False)
        print_message(f"written to {audited.folder.path}: fleet.html, report.txt, hosts.csv and more")
    if not audited.new and not quiet:
        print_message("no new file since the last run, so none was read")
    if state is None or not state.evidence:
        print_error(NO_INSTALLATION)
        return NOTHING_AUDITED
    if state.fails or (strict and _is_unproven(audited.report)):
        return FAILS
    return INCOMPLETE if state.incomplete else WORKS


def _quietly(quiet: bool) -> Callable[[str], None]:
    return (lambda _: None) if quiet else print_warning


@contextmanager
def _fleet_progress(*, quiet: bool) -> Iterator[Callable[[int, int], FleetProgress]]:
    """Yield what begins to tell on a terminal how far the reading of a fleet is."""
    from auditor.cli.fleet_progress import FleetProgress

    terminal = None if quiet or sys.stderr is None or not sys.stderr.isatty() else sys.stderr
    begun: list[FleetProgress] = []

    def begin(files: int, size: int) -> FleetProgress:
        begun.append(FleetProgress(files, size, terminal))
        return begun[-1]

    try:
        yield begin
    finally:
        for progress in begun:
            progress.close()
            if not quiet:
                print_message(progress.summary(), prefix="read: ")


def _is_unproven(report: FleetReport) -> bool:
    """Tell whether a method that was asked for is unproven for any computer."""
    return any(method.unproven for method in report.methods if method.id in report.asked)


def _exit_code(report: Report, *, strict: bool = False) -> int:
    """Return the exit code that a report stands for (README.md)."""
    if not report.clients:
        return NOTHING_AUDITED
    if _nowhere(report):
        return NOTHING_AUDITED
    by_client = [[method for method in client.methods if method.id in report.asked] for client in report.clients]
    if any(_is_blocked(method) for methods in by_client for method in methods):
        return FAILS
    if strict and any(map(_is_unsure, by_client)):
        return FAILS
    return INCOMPLETE if report.incomplete else WORKS


def _is_blocked(method: MethodResult) -> bool:
    return method.result == "fails" or any(reason.kind == "network" for reason in method.reasons)


def _is_unsure(methods: Sequence[MethodResult]) -> bool:
    """Tell whether a method of one client was tried and is unproven, or none is known to work."""
    tried = [method for method in methods if any(requirement.attempts for requirement in method.requirements)]
    return any(method.result == "unproven" for method in tried) or not tried


def _nowhere(report: Report) -> list[str]:
    """Return which hosts are nowhere if nothing of an installation is in the sources: one that was named may be.

    Clients, if none of them has a flow, else the site servers that were named, if none of those has. A saved report
    has no flows to look at.
    """
    methods = [method for client in report.clients for method in client.methods]
    is_seen = any(
        requirement.attempts or requirement.evidence for method in methods for requirement in method.requirements
    )
    is_reported = any(role.how == "read" and role.role == "client" for role in report.roles)
    is_reported |= any(reason.kind == "step" for method in methods for reason in method.reasons)
    if is_seen or is_reported or report.all_flows is None:
        return []
    flows = report.all_flows.frame
    servers = [role.address for role in report.roles if (role.role, role.how) == ("site-server", "given")]
    for hosts in ([client.address for client in report.clients], servers):
        if hosts and not any(bool(flows[end].isin(hosts).any()) for end in ("src_ip", "dst_ip")):
            return hosts
    return []


def _tell_unaudited(report: Report) -> None:
    """Say on standard error what the report itself says only below its answer."""
    _tell_unread(report)
    if not report.clients:
        print_error(NO_INSTALLATION)
    elif hosts := _nowhere(report):
        shown = join_limited(hosts, MOST_NOWHERE)
        print_error(f"{shown} is not in the sources, so nothing was evaluated. Check the address.")


def _tell_unread(report: Report) -> None:
    for source in report.sources:
        for warning in source.warnings:
            if warning.code == "unreadable":
                print_error(f"{source.path}: {warning.text}")


def _tell_not_used(collection: Collection) -> None:
    """Say which files of folders and archives are no sources."""
    if not collection.not_used and not collection.copies:
        return
    from auditor.api.audit import not_used_texts

    for text in not_used_texts(collection):
        print_message(text)


def _tell_fleets(collection: Collection) -> None:
    """Say of folders that look like those of a fleet that there is a command for fleets."""
    for folder in collection.fleets:
        name = f'"{folder}"' if " " in folder else folder
        print_message(
            f"{folder} contains a folder for each of many computers. For a fleet: auditor batch {name} -o DIR"
        )


def _tell_idle_properties(site: dict[str, Any]) -> None:
    """Say which properties decide nothing: one that is misspelt would otherwise be left out without a word."""
    from auditor.ruleset.ruleset import idle_properties, load_ruleset

    if site["properties"]:
        for text in idle_properties(load_ruleset(site["ruleset"]), site["properties"]):
            print_warning(text)


def _each_once(sources: Iterable[str]) -> tuple[str, ...]:
    """Return the sources without those that are the same file once more, and say which are."""
    unique: dict[object, str] = {}
    for source in sources:
        first_mention = unique.setdefault(_identity(source), source)
        if first_mention is not source:
            again = "" if first_mention == source else f", as {first_mention}"
            print_warning(f"{source}: listed twice{again}. It is read once.")
    return tuple(unique.values())


def _identity(path: str) -> object:
    try:
        status = os.stat(path)
    except (OSError, ValueError):
        return path
    return (status.st_dev, status.st_ino) if status.st_ino else os.path.realpath(path)


@contextmanager
def _progress(*, quiet: bool = False) -> Iterator[ProgressCallback]:
    """Yield what tells on a terminal how far large sources are read; elsewhere it tells nothing."""
    from auditor.cli.progress import Progress
    from auditor.sources.progress import no_progress

    if quiet or sys.stderr is None or not sys.stderr.isatty():
        yield no_progress
        return
    progress = Progress(sys.stderr)
    try:
        yield progress
    finally:
        progress.close()


def _redacted(report: Report, wanted: bool) -> Report:
    if not wanted:
        return report
    from auditor.report.redact import redact

    return redact(report)


def _inputs(sources: Iterable[str], site: dict[str, Any]) -> list[str]:
    return [*sources, *(str(site[name]) for name in ("site", "ruleset") if site.get(name))]


def _arguments(site: dict[str, Any]) -> dict[str, Any]:
    """Turn command-line values into arguments of `auditor.audit`."""
    roles: dict[str, list[str]] = {}
    for role, address in site["roles"]:
        roles.setdefault(role, []).append(address)
    names = ("ruleset", "site", "mode", "properties", "tz")
    ports = {name: _number(name, value) for name, value in site["ports"]}
    arguments = {name: site[name] for name in names if name in site}
    return arguments | {"roles": roles, "ports": ports, "methods": site["methods"] or None}


def _number(name: str, value: str) -> int:
    if not value.isascii() or not value.isdigit() or len(value) > DIGITS:
        raise click.BadParameter(f"{_shown(value)} is not a port number", param_hint=f"--port {_shown(name)}")
    return int(value)


def _write_report(report: Report, form: str, target: str, force: bool, verbose: bool) -> None:
    from auditor.render.formats import render as rendered
    from auditor.render.text import print_text

    if form == "text" and target == output_file.STANDARD and sys.stdout.isatty():
        print_text(report, _terminal(), details=verbose)
        return
    text = rendered(report, form, details=verbose)
    with output_file.opened(target, force=force) as out:
        out.write(text.encode())


def _terminal() -> Console:
    """Return the terminal; COLUMNS and LINES are read here, since they may hold anything."""
    from rich.console import Console

    columns, lines = shutil.get_terminal_size((USUAL, 25))
    width = min(max(columns or USUAL, NARROWEST), WIDEST)
    return Console(width=width, height=max(lines, 1), highlight=False, emoji=False, markup=False)
