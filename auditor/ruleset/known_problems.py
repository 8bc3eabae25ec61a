"""What is known of protocols: answers and what they mean, names of interfaces, what a push calls, web paths."""

from __future__ import annotations

import re
import tomllib
from collections.abc import Mapping
from functools import cache
from typing import Any, NamedTuple

from auditor.ruleset.package_data import PROBLEMS, rulesets_folder

OTHER_TABLES = ("harmless", "checks")  # of problems.toml, which are no layers
PLACEHOLDER = "CODE"  # in the name of an entry that stands for several codes
ANY_CLASS = "xx"  # stands for the last two digits of a web status that has no entry of its own
HTTP_CODE = re.compile(r"[45]\d\d")


class CheckStep(NamedTuple):
    """A command that checks something, and what its output means.

    Attributes:
        place: The role of the computer where it is run.
        action: What to check, and what the outcome means.
        command: Command line; the reader replaces CLIENT, ACCOUNT, and NAME.
    """

    place: str
    action: str
    command: str


class StatusMeaning(NamedTuple):
    """What a status means for an installation.

    Attributes:
        name: Official name.
        meaning: Clause without a capital or a period.
        fatal: Whether it ends a push.
        action: What to do.
        before: What to check before that.
        after: How to verify it.
    """

    name: str
    meaning: str
    fatal: bool
    action: str
    before: tuple[CheckStep, ...] = ()
    after: tuple[CheckStep, ...] = ()

    def with_code(self, code: str) -> StatusMeaning:
        """Return the entry with a code in its name, where the name has a placeholder for it."""
        return self._replace(name=self.name.replace(PLACEHOLDER, code))


class PushProfile(NamedTuple):
    """What a client push opens and calls on the client, in lower case but for the names of interfaces."""

    shares: frozenset[str]
    admin_shares: frozenset[str]
    pipes: frozenset[str]
    other_pipes: frozenset[str]
    files: tuple[str, ...]
    interfaces: frozenset[str]
    remote_interfaces: frozenset[str]
    classes: frozenset[str]
    calls: dict[str, dict[str, str]]
    activations: dict[str, tuple[str, ...]]


class Controller(NamedTuple):
    """What a domain member reaches on a domain controller: ports that nothing else has, shares, RPC interfaces."""

    tcp: frozenset[int]
    udp: frozenset[int]
    shares: frozenset[str]
    interfaces: frozenset[str]


@cache
def _tables() -> dict[str, dict[str, Any]]:
    return tomllib.loads(PROBLEMS.read_text(encoding="utf-8"))


@cache
def problems() -> dict[str, dict[str, StatusMeaning]]:
    """Return the known answers by layer and code (auditor/ruleset/problems.toml)."""
    return {
        layer: {code: _status(entry) for code, entry in table.items()}
        for layer, table in _tables().items()
        if layer not in OTHER_TABLES
    }


def _status(entry: Mapping[str, Any]) -> StatusMeaning:
    checks = _tables()["checks"][entry["check"]] if "check" in entry else {}
    before, after = (tuple(CheckStep(**step) for step in checks.get(when, ())) for when in ("before", "after"))
    return StatusMeaning(entry["name"], entry["means"], entry["fatal"], entry["do"], before, after)


@cache
def ignored_codes(layer: str) -> frozenset[str]:
    """Return the codes of a layer that look like errors and are part of every conversation."""
    return frozenset(_tables()["harmless"].get(layer, ()))


def lookup_status(layer: str, code: str) -> StatusMeaning:
    """Return what an answer means; of one without an entry, what its class or layer means."""
    table = problems().get(layer, {})
    if code in table:
        return table[code]
    of_class = table.get(f"{code[:1]}{ANY_CLASS}") or table["other"]
    return of_class.with_code(code)


def find_status(code: str) -> list[tuple[str, StatusMeaning]]:
    """Return layer and meaning of a code without an entry of its own, by its form: a web status or a number."""
    for layer in ("http", "tls", "kerberos"):  # written as the names of such codes are
        word = problems()[layer]["other"].name.removesuffix(PLACEHOLDER).strip()
        number = code.lower().removeprefix(word.lower()).strip()
        if number.isdecimal() and (number != code or HTTP_CODE.fullmatch(code)):
            return [(layer, lookup_status(layer, number))]
    if re.fullmatch(r"0x[0-9a-f]{1,8}", code.lower()):
        written = f"0x{int(code, 16):08x}"
        return [(layer, lookup_status(layer, written)) for layer in ("smb", "rpc-fault", "endpoint-mapper")]
    return []


@cache
def interfaces() -> dict[str, str]:
    """Return names of RPC interfaces by UUID (rulesets/well-known/interfaces.toml)."""
    return {str(uuid): str(name) for uuid, name in _well_known("interfaces")["interface"].items()}


class RpcListener(NamedTuple):
    """What listens on the dynamic port of an RPC interface.

    Attributes:
        program: Path of the program.
        service: Name of the service in it; empty if the program is no host of several.
        group: Name of the rule group of Windows Firewall that allows it; empty if there is none.
        group_id: The same in every language of Windows.
    """

    program: str
    service: str = ""
    group: str = ""
    group_id: str = ""

    @property
    def name(self) -> str:
        """Service, or the file name of the program."""
        return self.service or self.program.rpartition("\\")[2]


@cache
def rpc_listeners() -> dict[str, RpcListener]:
    """Return what listens on dynamic ports, by the name of the interface (rulesets/well-known/interfaces.toml)."""
    return {name: RpcListener(**entry) for name, entry in _well_known("interfaces")["listener"].items()}


SETS = (
    "shares",
    "admin_shares",
    "pipes",
    "other_pipes",
    "interfaces",
    "remote_interfaces",
    "classes",
)  # of PushProfile


@cache
def com_interfaces() -> frozenset[str]:
    """Return the names of interfaces of COM objects, whose calls all return an HRESULT."""
    return frozenset(_well_known("interfaces")["com"]["interfaces"])


@cache
def com_classes() -> dict[str, str]:
    """Return names of COM classes by CLSID (rulesets/well-known/classes.toml)."""
    return {str(clsid): str(name) for clsid, name in _well_known("classes")["class"].items()}


@cache
def classes_by_interface() -> dict[str, str]:
    """Return names of COM classes by the UUID of an interface that only they have."""
    return {str(uuid): str(name) for uuid, name in _well_known("classes")["by_interface"].items()}


@cache
def push() -> PushProfile:
    """Return what belongs to a push (rulesets/well-known/push.toml)."""
    table = _well_known("push")
    names = {name: frozenset(table[name]) for name in SETS}
    activations = {name: tuple(map(str, calls)) for name, calls in table["activations"].items()}
    return PushProfile(**names, files=tuple(table["files"]), calls=table["calls"], activations=activations)


@cache
def controller() -> Controller:
    """Return what tells a logon at a domain controller (rulesets/well-known/other-traffic.toml)."""
    table = _well_known("other-traffic")["controller"]
    return Controller(**{name: frozenset(values) for name, values in table.items()})


@cache
def management_point_programs() -> frozenset[str]:
    """Return the programs of a client that talk to a management point, by file name in lower case."""
    return frozenset(_well_known("other-traffic")["management_point"]["programs"])


def may_ask_management_point(program: str | None) -> bool:
    """Tell whether a program, given by its path, may be one that asks a management point; True if there is none."""
    name = (program or "").replace("/", "\\").rpartition("\\")[2].lower()
    return not name or name in management_point_programs()


@cache
def web_paths() -> dict[str, str]:
    """Return roles by the beginning of a web path (rulesets/well-known/web-paths.toml)."""
    return dict(_well_known("web-paths")["paths"])


@cache
def web_methods() -> dict[str, str]:
    """Return roles by an HTTP method that only their clients use (rulesets/well-known/web-paths.toml)."""
    return dict(_well_known("web-paths")["methods"])


@cache
def web_user_agents() -> tuple[str, ...]:
    """Return what the User-Agent of a client begins with (rulesets/well-known/web-paths.toml)."""
    return tuple(map(str, _well_known("web-paths")["user_agents"]["beginnings"]))


def roles_of_request(method: str, path: str) -> dict[str, str]:
    """Return the roles that a request shows, by what shows each: the beginning of its path, or its method.

    Args:
        method: Of HTTP.
        path: As it was asked for. A whole address in its place is for a proxy, whose role it does not show.
    """
    lower = path.lower()
    shown = {beginning: role for beginning, role in web_paths().items() if lower.startswith(beginning)}
    if path.startswith("/") and method in web_methods():
        shown[method] = web_methods()[method]
    return shown


@cache
def other_services() -> frozenset[int]:
    """Return TCP ports of services that are no web server of a site system, those of domain controllers among them."""
    return frozenset(_well_known("other-traffic")["other_services"]["tcp"]) | controller().tcp


@cache
def dns_ports() -> frozenset[int]:
    """Return the UDP ports of DNS servers."""
    return frozenset(_well_known("other-traffic")["dns"]["udp"])


def _well_known(name: str) -> dict[str, Any]:
    return tomllib.loads((rulesets_folder() / "well-known" / f"{name}.toml").read_text(encoding="utf-8"))
