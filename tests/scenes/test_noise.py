"""Unrelated traffic changes nothing: a push keeps its verdicts whatever else is in the sources.

Every scene is audited with every kind of noise, with the roles set and inferred, as captures, logs, and events. The
noise is before, during, or after the scene: in each scene, each kind is at one place in turn. Logs and events are those
of scenes that differ in them; of events, each kind takes part in every second one, with the roles in turn set and
inferred. With AUDITOR_ALL_NOISE=1 nothing takes turns: every kind is at every place in every scene and form.
"""

from __future__ import annotations

import dataclasses
import os
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from functools import cache
from pathlib import Path
from typing import Any

import pytest
from capture_file import sender
from click.testing import CliRunner
from firewall_records import pfirewall, records_of
from hypothesis import given, settings
from hypothesis import strategies as st
from noise import GAP, HIGH_RANGE, KINDS, PLACES, Contact, Hosts, Kind, gaps, kinds, noise, packets_of, places
from packets import BEGIN
from scene_forms import FORMS, ONE_DIRECTION, Added, Files, hosts_of, named, nothing, own_records
from scenes import PUSHES, Scene, each, without_roles

import auditor
from auditor.cli.commands import cli
from auditor.errors import ArgumentError, AuditorError
from auditor.report import model as r
from auditor.report.model import MethodResult

# Until a report has an entry for each push, there is one for each client. The tests of the entries are skipped then.
HAS_PUSHES = "pushes" in {field.name for field in dataclasses.fields(auditor.Report)}
has_pushes = pytest.mark.skipif(not HAS_PUSHES, reason="a report has no entry for each push yet")
EVERYWHERE = bool(os.environ.get("AUDITOR_ALL_NOISE"))
ROLES = ("set", "inferred")
FILES = {"capture": ("capture",), "log": ("log", "logs of both ends"), "events": ("events", "events of both ends")}
# Ports alone do not show whether a web server is the management point, unless it is named. Where nothing else is known
# of the management point, these rows may be about another web server; the result must not depend on that.
GUESSED = ("http-management-point", "https-management-point")

Outcome = dict[str, tuple[str | None, ...]]
Audit = Callable[..., dict[str, auditor.Report | None]]


def push_of(report: auditor.Report, site_server: str, client: str) -> MethodResult | None:
    """Return the entry of a push, None if the report has none."""
    try:
        if HAS_PUSHES:
            return report.client(client).method("client-push", site_server)
        method = report.client(client).method("client-push")
    except ArgumentError:
        return None
    servers = {row.source.address for row in method.requirements if row.source.role == "site-server"}
    return method if servers <= {None, site_server} else None


def outcome(report: auditor.Report | None, scene: Scene) -> Outcome:
    """Return what a report says of the push of a scene: its result, and verdict, confidence, and place of each row."""
    hosts = hosts_of(scene.name)
    method = push_of(report, hosts.site_server, hosts.client) if report else None
    if method is None:
        return {}
    rows = {row.row: (row.verdict, row.confidence, row.blocked_at) for row in method.requirements}
    return {"result": (method.result,), **rows}


@cache
def ruleset(name: str) -> Any:
    return auditor.load_ruleset(name)


@pytest.fixture(scope="module")
def audit(tmp_path_factory: pytest.TempPathFactory) -> Audit:
    """Return how to audit files with what is known of a scene, its roles set or inferred or both."""
    folder = tmp_path_factory.mktemp("noise")

    def audit(scene: Scene, files: Files, *roles: str) -> dict[str, auditor.Report | None]:
        paths = written(folder, files)
        known = {"set": scene.known, "inferred": without_roles(scene)}
        return {how: report_of(paths, scene, known[how]) for how in roles}

    return audit


def report_of(paths: list[Path], scene: Scene, known: dict[str, Any]) -> auditor.Report | None:
    """Return the report, None if the sources hold nothing to audit."""
    zone = {"tz": "UTC"} if len(paths) > 1 else {}  # without it the clocks of two logs may not be comparable
    try:
        return auditor.audit(*paths, ruleset=ruleset(scene.truth["ruleset"]), dissect=False, **known, **zone)
    except AuditorError:
        return None


def written(folder: Path, files: Files) -> list[Path]:
    paths = [folder / f"source-{number}" for number in range(len(files))]
    for path, content in zip(paths, files, strict=True):
        path.write_bytes(content)
    return paths


def added(scene: Scene, *noises: tuple[Kind, str], gap: float = GAP) -> Added:
    """Return how to add kinds of noise, each at a place, around a scene of any length."""
    hosts = hosts_of(scene.name)

    def contacts(length: float) -> Sequence[Contact]:
        every = [contact for kind, place in noises for contact in noise(kind, hosts, place, length, gap)]
        return sorted(every, key=lambda contact: contact.at)

    return contacts


def lost(before: Outcome, after: Outcome, *, guess: bool = False, coarse: bool = False) -> list[str]:
    """Return what noise changed.

    guess: whether it may lead to a guess about the management point. coarse: whether the times are whole seconds, so
    that it may also end one: of two web servers in the same second, neither is more likely.
    """
    if not after:
        return ["no entry"]
    changed = [name for name in before if before[name] != after[name]]
    guessed = [name for name in GUESSED if guess and may_change(before[name], after[name], coarse=coarse)]
    return [f"{name}: {words(before[name])} -> {words(after[name])}" for name in changed if name not in guessed]


def may_change(before: tuple[str | None, ...], after: tuple[str | None, ...], *, coarse: bool) -> bool:
    """Tell whether a guess is made where there was none, or is lost where it cannot be told."""
    return before[0] == r.NOT_OBSERVED or (coarse and after[0] == r.NOT_OBSERVED)


def words(values: tuple[str | None, ...]) -> str:
    return " ".join(filter(None, values))


@dataclass(frozen=True)
class Case:
    """One way to add noise to a scene. files: those of a form, by its name."""

    kind: Kind
    place: str
    files: str
    roles: tuple[str, ...] = ROLES


def cases(scene: Scene, form: str) -> Iterator[Case]:
    """Yield the cases of a scene in a form: those whose turn it is, or all."""
    turn = PUSHES.index(scene)
    for number, kind in enumerate(KINDS):
        yield from _of_kind(kind, form) if EVERYWHERE else _in_turn(kind, form, turn + number)


def _of_kind(kind: Kind, form: str) -> Iterator[Case]:
    return (Case(kind, place, files) for place in PLACES for files in FILES[form])


def _in_turn(kind: Kind, form: str, turn: int) -> Iterator[Case]:
    case = Case(kind, PLACES[turn % 3], FILES[form][turn // 3 % len(FILES[form])])
    if form != "events":
        yield case
    elif turn % 2:
        yield replace(case, roles=(ROLES[turn // 2 % 2],))


def changes(audit: Audit, scene: Scene, form: str) -> Iterator[tuple[Case, str, list[str]]]:
    """Yield for each case, and the roles, what the noise changed."""
    before = {files: outcomes(audit, scene, FORMS[files](scene, nothing), ROLES) for files in FILES[form]}
    for case in cases(scene, form):
        files = with_noise(scene, case)
        known = [roles for roles in case.roles if before[case.files].get(roles)]
        for roles, after in outcomes(audit, scene, files, known).items():
            guess = case.kind.guess and roles == "inferred"
            yield case, roles, lost(before[case.files][roles], after, guess=guess, coarse=form != "capture")


def with_noise(scene: Scene, case: Case) -> Files | None:
    """Return the files of a scene with noise, None if they are the same without."""
    files = FORMS[case.files](scene, added(scene, (case.kind, case.place)))
    return None if files == FORMS[case.files](scene, nothing) else files


def outcomes(audit: Audit, scene: Scene, files: Files | None, roles: Sequence[str]) -> dict[str, Outcome]:
    """Return the outcomes by how the roles are known; none without files."""
    reports = audit(scene, files, *roles) if files and roles else {}
    return {known: outcome(report, scene) for known, report in reports.items()}


@cache
def differing() -> list[str]:
    """Return the scenes whose computers write something else than those of the scenes before."""
    by_shape: dict[object, str] = {}
    for name in LOGGED:
        by_shape.setdefault((shape(name, "site-server"), shape(name, "client"), hosts_of(name)), name)
    return list(by_shape.values())


def shape(name: str, role: str) -> tuple[tuple[object, ...], ...]:
    """Return what a firewall writes about a scene, without times and source ports."""
    dynamic = HIGH_RANGE.start
    return tuple(
        (record.action, record.path, record.protocol, record.src, record.dst, min(record.dst_port, dynamic))
        for record in own_records(name, role)
    )


LOGGED = [scene.name for scene in PUSHES if own_records(scene.name, "site-server")]
CASES = [
    pytest.param(scene, form, id=f"{scene.name}-{form}")
    for scene in PUSHES
    for form in FILES
    if form == "capture" or scene.name in (LOGGED if EVERYWHERE else differing())
]


@pytest.mark.parametrize(("scene", "form"), CASES)
def test_a_push_keeps_its_verdicts_in_noise(audit, scene, form):
    audited = list(changes(audit, scene, form))
    assert audited
    changed = [
        f"{case.kind.name}, {case.place}, {case.files}, roles {roles}: {'; '.join(rows)}"
        for case, roles, rows in audited
        if rows
    ]
    assert not changed, "\n".join(changed)


@settings(max_examples=100)
@given(st.data())
def test_a_push_keeps_its_verdicts_in_any_mix_of_noise(audit, data):
    scene = data.draw(st.sampled_from(PUSHES), "scene")
    files = data.draw(st.sampled_from(list(FORMS)), "files")
    roles = data.draw(st.sampled_from(ROLES), "roles")
    mix = data.draw(st.lists(st.tuples(kinds(), places()), min_size=1, max_size=4), "noise")
    gap = data.draw(gaps(), "gap")
    before = outcomes(audit, scene, FORMS[files](scene, nothing), [roles]).get(roles)
    if before:
        after = outcomes(audit, scene, FORMS[files](scene, added(scene, *mix, gap=gap)), [roles])[roles]
        guess = roles == "inferred" and any(kind.guess for kind, _ in mix)
        assert lost(before, after, guess=guess, coarse=files != "capture") == []


# pushes in the noise


PUSHED = [kind for kind in KINDS if kind.pushes(hosts_of("all-open"))]


@has_pushes
@pytest.mark.parametrize("kind", PUSHED, ids=lambda kind: kind.name)
@pytest.mark.parametrize("name", ["all-open", "smb-dropped", "ipv6", "dropped-then-open"])
def test_a_second_push_in_the_noise_gets_its_own_entry(audit, name, kind):
    scene = named(name)
    for place in PLACES:
        report = audit(scene, FORMS["capture"](scene, added(scene, (kind, place))), "inferred")["inferred"]
        for push in kind.pushes(hosts_of(name)):
            assert {(entry.from_address, entry.to_address, entry.kind) for entry in report.pushes} >= {
                (*push[:2], "push")
            }
            entry = push_of(report, *push[:2])
            assert (entry.result == r.FAILS) == push.blocked


@pytest.mark.parametrize("kind", [kind for kind in KINDS if not kind.suspect], ids=lambda kind: kind.name)
def test_noise_alone_is_never_a_failed_installation(tmp_path, kind):
    hosts = hosts_of("quiet")
    records = records_of(noise(kind, hosts, "during", 2.0), hosts.client, BEGIN)
    logs = [pfirewall(records)] if records and not kind.suspect_in_log else []
    for files in (FORMS["capture"](named("quiet"), added(named("quiet"), (kind, "during"))), logs):
        assert not files or exit_code(tmp_path, files) != 3


@pytest.mark.parametrize("kind", [kind for kind in PUSHED if kind.suspect], ids=lambda kind: kind.name)
def test_a_blocked_push_in_the_noise_is_a_failed_installation(tmp_path, kind):
    quiet = named("quiet")
    assert exit_code(tmp_path, FORMS["capture"](quiet, added(quiet, (kind, "during")))) == 3


@pytest.mark.parametrize("kind", KINDS, ids=lambda kind: kind.name)
def test_noise_changes_no_exit_code_if_the_roles_are_set(tmp_path, kind):
    scene = named("all-open")
    roles = [word for role, address in scene.known["roles"].items() for word in ("--role", f"{role}={address}")]
    assert exit_code(tmp_path, FORMS["capture"](scene, added(scene, (kind, "during"))), *roles) == 0


def exit_code(folder: Path, files: Files, *options: str) -> int:
    arguments = ["analyze", "--no-dissect", "-q", *options, *map(str, written(folder, files))]
    return CliRunner().invoke(cli, arguments, standalone_mode=False, catch_exceptions=False).return_value


# the noise itself


@pytest.mark.parametrize("kind", KINDS, ids=lambda kind: kind.name)
def test_no_kind_holds_a_contact_of_the_push_itself(kind):
    for name in ("all-open", "ipv6"):
        hosts = hosts_of(name)
        own = {(hosts.site_server, hosts.client), (hosts.client, hosts.management_point)}
        contacts = kind.contacts(hosts)
        assert contacts
        between = [contact for contact in contacts if (contact.src, contact.dst) in own]
        assert not [contact for contact in between if is_of_push(contact, hosts)]


def is_of_push(contact: Contact, hosts: Hosts) -> bool:
    """Tell whether a contact is at a port of a push, or a ping."""
    return contact.port in (0, 135, 445, 80, 443, hosts.web) or contact.port in range(HIGH_RANGE.start, 1 << 16)


@pytest.mark.parametrize("kind", KINDS, ids=lambda kind: kind.name)
def test_who_is_off_sends_nothing(kind):
    hosts = hosts_of("client-off")
    contacts = noise(kind, hosts, "during", 1.0)
    assert hosts.client not in {contact.src for contact in contacts}
    assert hosts.client not in {sender(packet.packet) for packet in packets_of(contacts)}


@each(PUSHES)
def test_a_capture_with_noise_holds_both(write, scene):
    """The packets are all read, and the flows of the scene are as they were."""
    kind = next(kind for kind in KINDS if kind.name == "stranger at a domain controller")
    for path, content in zip(scene.captures, FORMS["capture"](scene, added(scene, (kind, "before"))), strict=True):
        without, noisy = auditor.read(path), auditor.read(write(content))
        assert (noisy.records > without.records, noisy.skipped) == (scene.name != ONE_DIRECTION, 0)
        assert as_rows(noisy) >= as_rows(without)


def as_rows(source: auditor.sources.source.Source) -> Counter[tuple[object, ...]]:
    columns = ["src_ip", "src_port", "dst_ip", "dst_port", "protocol", "conn_state", "response", "frames_src"]
    return Counter(source.flows[columns].astype(str).itertuples(index=False, name=None))


@pytest.mark.parametrize("files", [name for name in FORMS if name != "capture"])
def test_a_log_with_noise_holds_both(write, files):
    scene = named("all-open")
    kind = next(kind for kind in KINDS if kind.name == "client at its domain controller")
    for before, after in zip(
        FORMS[files](scene, nothing), FORMS[files](scene, added(scene, (kind, "after"))), strict=True
    ):
        without, noisy = auditor.read(write(before)), auditor.read(write(after))
        assert (noisy.records - without.records, noisy.skipped) in ((0, 0), (7, 0))
