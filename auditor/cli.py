"""The command line: a thin skin over the library, one call a command."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterable
from typing import TYPE_CHECKING, Any, TypeVar

import click

from auditor import output
from auditor.version import VERSION

if TYPE_CHECKING:
    from auditor.report import Report

Function = TypeVar("Function", bound=Callable[..., Any])

if TYPE_CHECKING:
    PairType = click.ParamType[tuple[str, str]]
else:
    PairType = click.ParamType  # older versions of click cannot be subscripted

WORKS, NOTHING_AUDITED, FAILS, INCOMPLETE = 0, 1, 3, 4
EXIT_CODES = """\b
Exit codes: 0 nothing required is blocked; 1 nothing could be audited; 2 bad arguments;
3 a method fails or something required is blocked; 4 some sources or packets could not be read."""


class Pair(PairType):
    """NAME=VALUE on the command line."""

    name = "name=value"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> tuple[str, str]:
        """Return the two sides of the equals sign."""
        name, equals, rest = str(value).partition("=")
        if not equals or not name.strip() or not rest.strip():
            self.fail(f"{value!r} is not NAME=VALUE", param, ctx)
        return name.strip(), rest.strip()


def _show_version(ctx: click.Context, _: click.Parameter, wanted: bool) -> None:
    if not wanted or ctx.resilient_parsing:
        return
    from auditor.tshark import find_tshark, tshark_version

    path = find_tshark()
    version = tshark_version(path) if path else None
    click.echo(f"auditor {VERSION}\ntshark {version or 'not found'}")
    ctx.exit()


def site_options(function: Function) -> Function:
    """Add the options that say what is known about the site."""
    for option in reversed(
        (
            click.option("--ruleset", default="configmgr-2007", show_default=True, help="Id or file of the ruleset."),
            click.option(
                "--method", "methods", multiple=True, metavar="ID", help="Only this installation method (repeatable)."
            ),
            click.option(
                "--role",
                "roles",
                multiple=True,
                type=Pair(),
                metavar="ROLE=ADDRESS",
                help="Who is who; an address or a network such as 10.0.0.0/24 (repeatable).",
            ),
            click.option("--site", metavar="FILE", help="TOML file with roles, mode, ports and properties."),
            click.option(
                "--port",
                "ports",
                multiple=True,
                type=Pair(),
                metavar="NAME=NUMBER",
                help="Another port than documented, such as http-management-point=8080 (repeatable).",
            ),
            click.option(
                "--mode",
                type=click.Choice(("native", "mixed"), case_sensitive=False),
                help="Mode of the site: native uses HTTPS, mixed HTTP.",
            ),
            click.option(
                "--property",
                "properties",
                multiple=True,
                metavar="/NAME:VALUE",
                help="CCMSetup property that was used, such as /source:PATH (repeatable).",
            ),
        )
    ):
        function = option(function)
    return function


def output_options(*forms: str) -> Callable[[Function], Function]:
    """Add --format with these forms, --output and --force."""

    def add(function: Function) -> Function:
        function = click.option("--force", is_flag=True, help="Replace an output that exists.")(function)
        function = click.option(
            "-o", "--output", "target", default="-", metavar="FILE", help="Write here; - is standard output."
        )(function)
        return click.option("--format", "form", type=click.Choice(forms), default=forms[0], show_default=True)(function)

    return add


@click.group(context_settings={"help_option_names": ["-h", "--help"]}, epilog=EXIT_CODES)
@click.option(
    "--version",
    is_flag=True,
    is_eager=True,
    expose_value=False,
    callback=_show_version,
    help="Show the versions of auditor and tshark.",
)
def cli() -> None:
    """Tell why a Configuration Manager client installation failed.

    Reads packet captures and says which documented port was blocked, in which direction and by whom, with the frames
    that prove it - and which other installation method would have worked.
    """


@cli.command(epilog=EXIT_CODES)
@click.argument("sources", nargs=-1, required=True, metavar="SOURCE...")
@site_options
@output_options("text", "json")
@click.option(
    "--no-dissect", is_flag=True, help="Judge ports only: do not let Wireshark's dissectors read what was said on them."
)
@click.option("--tshark", metavar="PATH", help="Where tshark is, if it is not found by itself.")
@click.option("-v", "--verbose", is_flag=True, help="Show every client, method and requirement in full.")
@click.option("-q", "--quiet", is_flag=True, help="Show nothing; only the exit code tells.")
def analyze(
    sources: tuple[str, ...],
    form: str,
    target: str,
    force: bool,
    no_dissect: bool,
    tshark: str | None,
    verbose: bool,
    quiet: bool,
    **site: Any,
) -> int:
    """Audit captures of one installation, or of many, from either end."""
    from auditor.auditing import audit

    output.check(target, force=force, inputs=_inputs(sources, site))
    report = audit(*sources, dissect=not no_dissect, tshark=tshark, **_arguments(site))
    if not quiet or target != output.STANDARD:
        _write_report(report, form, target, force, verbose)
    _tell_unaudited(report)
    return _exit_code(report)


@cli.command()
@click.argument("sources", nargs=-1, required=True, metavar="SOURCE...")
@output_options("text", "csv", "jsonl", "parquet")
def flows(sources: tuple[str, ...], form: str, target: str, force: bool) -> int:
    """Write the flow table: one row a flow, numbered and oriented as Wireshark and Zeek do."""
    from auditor.intake import read_all
    from auditor.render.clean import clean
    from auditor.render.table import write

    output.check(target, force=force, inputs=sources)
    read, unreadable = read_all(sources)
    for one in unreadable:
        click.echo(clean(f"auditor: {one.path}: {one.warnings[0][1]}"), err=True)
    with output.opened(target, force=force) as out:
        write(read, out, form)
    return INCOMPLETE if unreadable or any(source.skipped for source in read) else WORKS


@cli.command()
@click.argument("sources", nargs=-1, required=True, metavar="SOURCE...")
@site_options
@click.option("-o", "--output", "target", required=True, metavar="FILE", help="The pcapng to write.")
@click.option("--force", is_flag=True, help="Replace an output that exists.")
def evidence(sources: tuple[str, ...], target: str, force: bool, **site: Any) -> int:
    """Write only the packets that prove the report, each with a comment that Wireshark shows."""
    from auditor.auditing import audit
    from auditor.evidence import write_evidence

    output.check(target, force=force, inputs=_inputs(sources, site))
    report = audit(*sources, **_arguments(site))
    with output.opened(target, force=force) as out:
        count = write_evidence(report, out)
    click.echo(f"{count} packets", err=True)
    return INCOMPLETE if report.incomplete else WORKS


@cli.group()
def rulesets() -> None:
    """Show or check the documented ports that are judged by."""


@rulesets.command("list")
def list_rulesets() -> None:
    """List the rulesets that come with auditor."""
    from auditor.render.ruleset_text import list_text

    click.echo(list_text(), nl=False)


@rulesets.command("show")
@click.argument("ruleset", metavar="ID")
def show_ruleset(ruleset: str) -> None:
    """Show a ruleset: methods, requirements, ports and notes."""
    from auditor.render.ruleset_text import ruleset_text
    from auditor.ruleset import load_ruleset

    click.echo(ruleset_text(load_ruleset(ruleset)), nl=False)


@rulesets.command("check")
@click.argument("file")
def check(file: str) -> int:
    """Check a ruleset of your own and name all its faults at once."""
    from auditor.ruleset import check_ruleset

    faults = check_ruleset(file)
    for fault in faults:
        click.echo(str(fault))
    click.echo(f"{file}: {len(faults)} faults" if faults else f"{file}: no faults")
    return 2 if faults else 0


@cli.command()
@click.argument("term", required=False)
def explain(term: str | None) -> None:
    """Explain a verdict, result, requirement, method, warning or state."""
    from auditor.explain import explain as explained

    click.echo(explained(term), nl=False)


@cli.command()
def doctor() -> int:
    """Tell what of auditor works on this computer, and what to install."""
    from auditor.doctor import examine

    text, healthy = examine()
    click.echo(text, nl=False)
    return 0 if healthy else 1


def _exit_code(report: Report) -> int:
    """Return the exit code that a report stands for (README.md)."""
    if not report.clients:
        return NOTHING_AUDITED
    asked = [method for client in report.clients for method in client.methods if method.id in report.asked]
    if any(method.result == "fails" or any(one.kind == "network" for one in method.reasons) for method in asked):
        return FAILS
    return INCOMPLETE if report.incomplete else WORKS


def _tell_unaudited(report: Report) -> None:
    """Say on standard error what the report itself says only below its answer."""
    from auditor.render.clean import clean

    for source in report.sources:
        for code, text in source.warnings:
            if code == "unreadable":
                click.echo(clean(f"auditor: {source.path} was not audited: {text}"), err=True)
    if not report.clients:
        click.echo("auditor: no client installation was found in these sources, so nothing was judged", err=True)


def _inputs(sources: Iterable[str], site: dict[str, Any]) -> list[str]:
    return [*sources, *(str(site[name]) for name in ("site", "ruleset") if site.get(name))]


def _arguments(site: dict[str, Any]) -> dict[str, Any]:
    """Turn command-line values into arguments of `auditor.audit`."""
    roles: dict[str, list[str]] = {}
    for role, address in site["roles"]:
        roles.setdefault(role, []).append(address)
    names = ("ruleset", "site", "mode", "properties")
    ports = {name: _number(name, value) for name, value in site["ports"]}
    return {name: site[name] for name in names} | {"roles": roles, "ports": ports, "methods": site["methods"] or None}


def _number(name: str, value: str) -> int:
    if not value.isascii() or not value.isdigit():
        raise click.BadParameter(f"{value!r} is no port number", param_hint=f"--port {name}")
    return int(value)


def _write_report(report: Report, form: str, target: str, force: bool, verbose: bool) -> None:
    from rich.console import Console

    from auditor.render.text import print_text, render_text

    if form == "text" and target == output.STANDARD and sys.stdout.isatty():
        print_text(report, Console(highlight=False, emoji=False, markup=False), details=verbose)
        return
    text = report.to_json() if form == "json" else render_text(report, details=verbose)
    with output.opened(target, force=force) as out:
        out.write(text.encode())
