"""The sample captures: of each it is known what truly happened, and the audit must say the same."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

from click.testing import CliRunner
from places import SAMPLES
from scenes import LOGGED, PUSHES, SCENES, TAKEN_AT_BOTH_ENDS, Scene, each, named, places, truth, without_roles

import auditor
from auditor.cli.commands import cli
from auditor.report.model import UNKNOWN, RequirementVerdict

# Where one capture, or both, must be enough to say where it was stopped.
PLACED = (
    "both-ends-dropped-between",
    "both-ends-dropped-on-client",
    "cooked-router",
    "ipv6-smb-prohibited",
    "push-in-traffic",
    "return-path-dropped",
    "rpc-135-prohibited",
    "rpc-dynamic-reset",
    "service-port-dropped",
    "smb-not-listening",
    "smb-reset",
)


def told(scene: Scene, report: auditor.Report) -> dict[str, str]:
    """Return result and verdicts of the client push, those that the truth speaks of."""
    (client,) = report.clients
    method = client.method("client-push")
    verdicts = {one.row: one.verdict for one in method.requirements if one.row in scene.truth["requirements"]}
    return {"client": client.address, "result": method.result, **verdicts}


def test_every_capture_and_every_log_has_its_truth():
    sources = {path.name for pattern in ("*.pcap*", "*.log*") for path in SAMPLES.glob(pattern)}
    assert sources == {Path(source).name for scene in SCENES for source in scene.captures + scene.logs}


@each(SCENES)
def test_with_the_roles_given(scene):
    assert told(scene, scene.audit(**scene.known)) == truth(scene)


@each(PUSHES)
def test_with_the_roles_inferred(scene):
    """A management point that is known by its port only is a guess, and no result that rests on it is "works"."""
    result = scene.truth["result_without_dissection"].replace("works", "unproven")
    assert told(scene, scene.audit(**without_roles(scene))) == truth(scene) | {"result": result}


@each(TAKEN_AT_BOTH_ENDS)
def test_the_captures_in_the_other_order(scene):
    report = auditor.audit(*reversed(scene.captures), ruleset=scene.truth["ruleset"], dissect=False, **scene.known)
    assert told(scene, report) == truth(scene)


@each(SCENES)
def test_no_piece_of_evidence_stands_twice_in_a_verdict(scene):
    (client,) = scene.audit(**scene.known).clients
    for one in (one for method in client.methods for one in method.requirements):
        assert len(set(one.evidence)) == len(one.evidence), one.id


@each(SCENES)
def test_a_place_that_is_named_is_the_right_one(scene):
    """What the sources cannot tell is unknown; a wrong place would send the administrator to the wrong firewall."""
    for known in (scene.known, without_roles(scene)):
        assert set(places(scene.audit(**known)).values()) <= {UNKNOWN, scene.truth["blocked_at"]}


@named(PLACED)
def test_the_place_is_named(scene):
    for known in (scene.known, without_roles(scene)):
        assert set(places(scene.audit(**known)).values()) == {scene.truth["blocked_at"]}


@each([scene for scene in SCENES if scene.name not in PLACED])
def test_no_other_scene_has_a_place(scene):
    """Whoever finds a way to place one of them adds it to those that must be placed."""
    assert set(places(scene.audit(**scene.known)).values()) <= {UNKNOWN}


# How a remedy may begin, by the place.
BEGIN = {
    "client": (
        "On {client},",
        "On the client,",
        "Check that the service runs on",
    ),
    "between": (
        "On the firewalls on the path,",
        "On {router}, and on every other firewall on the path,",
        "Find what drops the responses from {client} to 10.20.1.5: asymmetric routing, or a stateless firewall rule.",
    ),
}
ROUTERS = ("10.20.1.1", "fd20:1::1")


@named(PLACED)
def test_the_remedy_begins_at_the_place(scene):
    begins = {
        begin.format(client=scene.client, router=router)
        for begin in BEGIN[scene.truth["blocked_at"]]
        for router in ROUTERS
    }
    remedies = [one.remedy_text for one in rows(scene.audit(**scene.known)).values() if one.blocked_at]
    assert remedies
    assert all(remedy.startswith(tuple(begins)) for remedy in remedies), remedies


@each(SCENES)
def test_on_the_command_line(scene):
    options = [word for role, address in scene.known["roles"].items() for word in ("--role", f"{role}={address}")]
    options += [word for name, port in scene.known["ports"].items() for word in ("--port", f"{name}={port}")]
    options += ["--mode", scene.known["mode"]] if scene.known["mode"] else []
    arguments = ["analyze", "--no-dissect", *options, *scene.captures]
    done = CliRunner().invoke(cli, arguments, standalone_mode=False, catch_exceptions=False)
    result = scene.truth["result_without_dissection"]
    assert done.return_value == (3 if result == "fails" else 1 if scene.nothing_happened else 0)
    assert done.stdout.startswith(f"{result.upper()}: client push to {scene.client}\n")


def test_nobody_is_found_in_a_quiet_capture():
    quiet = next(scene for scene in SCENES if scene.name == "quiet")
    report = quiet.audit()
    assert (report.clients, report.roles) == ((), ())
    assert report.to_text().startswith("No client installation was audited.\n")


def test_a_capture_without_any_push_is_never_all_fine():
    quiet = next(scene for scene in SCENES if scene.name == "quiet")
    done = CliRunner().invoke(cli, ["analyze", *quiet.captures], standalone_mode=False)
    assert done.return_value == 1
    assert "no client installation found" in done.stderr


# beside the log of the client's own firewall


def rows(report: auditor.Report) -> dict[str, RequirementVerdict]:
    """Return what is said of each requirement of the client push, by its name."""
    (client,) = report.clients
    return {one.row: one for one in client.method("client-push").requirements}


def confidence(report: auditor.Report, names: Iterable[str]) -> dict[str, str]:
    """Return the confidence of these requirements; empty where there is none."""
    return {name: rows(report)[name].confidence or "" for name in names}


def in_any_order(scene: Scene) -> list[auditor.Report]:
    """Audit captures and logs together, whichever is named first, with the roles given and inferred."""
    orders = (scene.captures + scene.logs, scene.logs + scene.captures)
    known = (scene.known, without_roles(scene))
    return [scene.audit(sources=sources, **facts) for sources in orders for facts in known]


def test_there_are_logs_of_what_was_dropped_and_of_what_was_allowed():
    assert {scene.truth["blocked_at"] for scene in LOGGED} >= {"client", "nowhere"}


@each(LOGGED)
def test_a_log_says_that_windows_did_not_write_it(scene):
    for log in scene.logs:
        comments = [line for line in Path(log).read_text(encoding="ascii").splitlines() if line.startswith("# ")]
        assert comments == ["# Made by the lab of auditor from what nftables logged; not written by Windows"]


@each(LOGGED)
def test_the_log_adds_what_the_capture_cannot_show(scene):
    truth = scene.truth["with-logs"]
    whole = {"client": scene.client, "result": truth["result"], **truth["requirements"]}
    # A management point that is inferred from a log is a guess, so that nothing that rests on it is allowed.
    guessed = whole | {"result": truth["result"].replace("allowed", "unproven")}
    assert [told(scene, report) for report in in_any_order(scene)] == [whole, guessed] * 2


@each(LOGGED)
def test_the_log_proves_what_is_likely_or_unseen_without_it(scene):
    alone, beside = scene.truth["confidence"], scene.truth["with-logs"]["confidence"]
    assert confidence(scene.audit(**scene.known), alone) == alone
    assert [confidence(report, beside) for report in in_any_order(scene)] == [beside] * 4


@each(LOGGED)
def test_what_the_capture_does_not_tell_the_log_does_where_it_was_stopped(scene):
    stopped = scene.truth["blocked_at"] != "nowhere"
    assert set(places(scene.audit(**scene.known)).values()) == ({UNKNOWN} if stopped else set())
    told = [set(places(report).values()) for report in in_any_order(scene)]
    assert told == [{scene.truth["blocked_at"]} if stopped else set()] * 4


@each(LOGGED)
def test_capture_and_log_are_of_the_same_attempts_although_the_log_has_local_times(scene):
    alone = {name: one.attempts for name, one in rows(scene.audit(**scene.known)).items() if one.attempts}
    for report in in_any_order(scene):
        assert {name: rows(report)[name].attempts for name in alone} == alone
        assert all(len({proof.source for proof in rows(report)[name].evidence}) == 2 for name in alone)


@each(LOGGED)
def test_the_log_alone(scene):
    """What passed the firewall is allowed; whether it was answered a log does not know."""
    truth = scene.truth["with-logs"]["requirements"]
    report = scene.audit(sources=scene.logs, **scene.known)
    allowed = {name: "allowed" if verdict == "open" else verdict for name, verdict in truth.items()}
    assert {name: rows(report)[name].verdict for name in truth} == allowed
