"""The report: no verdict without evidence, one form for all readers, the same bytes for the same input."""

from __future__ import annotations

import dataclasses
import json
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest
from jsonschema import Draft202012Validator
from packets import pcap
from scenario import scene
from scenes import SCENES, each
from waiting import PATIENCE

import auditor
from auditor.render.tables.frames import EVIDENCE_COLUMNS, FRAME_COLUMNS
from auditor.report import model as r
from auditor.report.as_json import schema
from auditor.sources.files.warnings import SourceWarning

pytestmark = pytest.mark.slow

TIME = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{6}Z")
BOTH_ENDS = next(one for one in SCENES if one.name == "return-path-dropped")
QUIET = next(one for one in SCENES if one.name == "quiet")
VERDICT = r.RequirementVerdict(
    id="client-push/smb",
    description="SMB",
    necessity="required",
    source=r.Endpoint("site-server", "10.0.0.5"),
    destination=r.Endpoint("client", "10.0.0.20"),
    protocol="tcp",
    ports=(445,),
    verdict="open",
    confidence="proven",
    blocked_at=None,
    changed=None,
    attempts=1,
    first_time=None,
    last_time=None,
    explanation="It: response received.",
    evidence=(r.Evidence(0, (1, 2), (), "It: response received.", "tcp.stream eq 0"),),
    problems=(),
    remedy=(),
)


@pytest.fixture(scope="module")
def report() -> auditor.Report:
    """Return a report with two sources and a verdict of every sort that one push can show."""
    return BOTH_ENDS.audit(**BOTH_ENDS.known)


@pytest.fixture(scope="module")
def nobody() -> auditor.Report:
    return QUIET.audit()


# what a report may hold


@pytest.mark.parametrize("verdict", sorted({*r.VERDICTS} - {r.NOT_OBSERVED, r.NOT_APPLICABLE}))
def test_a_verdict_on_traffic_needs_evidence(verdict):
    with pytest.raises(ValueError, match=f"client-push/smb: verdict {verdict} without evidence"):
        dataclasses.replace(VERDICT, verdict=verdict, evidence=())


@pytest.mark.parametrize("verdict", [r.NOT_OBSERVED, r.NOT_APPLICABLE])
def test_a_verdict_on_no_traffic_needs_none(verdict):
    assert dataclasses.replace(VERDICT, verdict=verdict, evidence=()).verdict == verdict


def test_a_verdict_that_nobody_knows_is_refused():
    with pytest.raises(ValueError, match="no such verdict: closed"):
        dataclasses.replace(VERDICT, verdict="closed")


def test_a_report_cannot_be_changed(report):
    with pytest.raises(dataclasses.FrozenInstanceError):
        report.clients = ()


# JSON


@each(SCENES)
def test_the_json_is_as_its_schema_says(scene):
    Draft202012Validator(schema()).validate(scene.audit(**scene.known).to_dict())


def test_a_report_about_nobody_is_as_the_schema_says(nobody):
    Draft202012Validator(schema()).validate(nobody.to_dict())


def test_a_report_with_an_unreadable_source_is_as_the_schema_says(tmp_path):
    document = auditor.audit(*QUIET.captures, tmp_path / "missing.pcap", dissect=False).to_dict()
    Draft202012Validator(schema()).validate(document)
    assert [one["kind"] for one in document["sources"]] == ["capture", "unknown"]


def test_the_schema_is_a_schema():
    Draft202012Validator.check_schema(schema())


def test_the_schema_knows_every_verdict():
    table = schema()
    for name in ("clients", "methods", "requirements"):
        table = table["properties"][name]["items"]
    assert table["properties"]["verdict"]["enum"] == list(r.VERDICTS)


def test_the_text_of_the_json_is_the_document(report):
    assert json.loads(report.to_json()) == report.to_dict()
    assert report.to_json().endswith("}\n")


def test_the_keys_are_in_their_published_order(report):
    document = report.to_dict()
    client = document["clients"][0]
    method = client["methods"][0]
    requirement = next(one for one in method["requirements"] if one["evidence"])
    assert [
        " ".join(table)
        for table in (
            document,
            document["tool"],
            document["ruleset"],
            document["sources"][0],
            document["roles"][0],
            client,
            method,
            method["reasons"][0],
            requirement,
            requirement["from"],
            requirement["to"],
            requirement["evidence"][0],
            client["recommendation"][0],
        )
    ] == [
        "format_version tool ruleset asked sources roles modes pushes clients limitations not_used",
        "name version",
        "id title reference",
        "path kind format bytes records skipped first_time last_time warnings quoted capture_point",
        "role address name how how_sure why",
        "address names methods recommendation",
        "id title push site_server result went_on reasons requirements",
        "kind requirement text remedy evidence of_every_method",
        "id description necessity from to protocol ports verdict confidence blocked_at allowed_at"
        " also_blocked changed attempts first_time last_time explanation evidence problems remedy either_or steps",
        "role address",
        "role address",
        "source frames lines text display_filter packets by",
        "method supported_by why still_needs",
    ]


def test_a_problem_is_written_in_full(report):
    problem = r.Problem("smb2", "STATUS_ACCESS_DENIED", "The account may not use ADMIN$.", 27, True)
    method = report.clients[0].methods[0]
    requirements = (dataclasses.replace(VERDICT, problems=(problem,)), *method.requirements[1:])
    client = dataclasses.replace(report.clients[0], methods=(dataclasses.replace(method, requirements=requirements),))
    document = dataclasses.replace(report, clients=(client,)).to_dict()
    assert document["clients"][0]["methods"][0]["requirements"][0]["problems"] == [dataclasses.asdict(problem)]
    Draft202012Validator(schema()).validate(document)


@pytest.mark.parametrize(
    ("action", "text"),
    [
        ("Export the rules:", 'Export the rules: "auditor rulesets export". Check the service.'),
        ("Allow TCP 445.", 'Allow TCP 445. Command: "auditor rulesets export". Check the service.'),
    ],
)
def test_a_command_ends_before_the_next_step(action, text):
    steps = (r.Remedy("client", action, "auditor rulesets export"), r.Remedy("client", "Check the service."))
    assert dataclasses.replace(VERDICT, remedy=steps).remedy_text == text


def test_same_input_same_bytes(report):
    again = BOTH_ENDS.audit(**BOTH_ENDS.known)
    assert again == report
    assert again.to_json() == report.to_json()


def test_same_bytes_in_another_process_whatever_its_hash_seed():
    command = [sys.executable, "-m", "auditor", "analyze", "--format", "json", *BOTH_ENDS.captures]
    root = str(Path(auditor.__file__).parent.parent)
    outputs = {
        subprocess.run(
            command, env={**os.environ, "PYTHONHASHSEED": seed, "PYTHONPATH": root}, capture_output=True, check=False
        ).stdout
        for seed in ("1", "2", "3")
    }
    assert len(outputs) == 1
    assert outputs != {b""}


@pytest.mark.skipif(sys.platform in ("win32", "darwin"), reason="file names there are always text")
def test_a_file_name_that_is_no_text_makes_sound_json(tmp_path):
    path = os.fsdecode(os.fsencode(tmp_path) + b"/caf\xe9.pcap")
    Path(path).write_bytes(Path(QUIET.captures[0]).read_bytes())
    text = auditor.audit(path, dissect=False).to_json()
    (source,) = json.loads(text.encode("utf-8"))["sources"]
    assert re.fullmatch(r".*/caf.+\.pcap", source["path"])


# what was not read


@pytest.mark.parametrize(
    ("skipped", "codes", "incomplete"),
    [
        (0, [], False),
        (1, [], True),
        (0, ["odd-header"], False),
        (0, ["cut-short"], True),
        (0, ["damaged"], True),
        (0, ["unreadable"], True),
        (0, ["expands-too-much"], True),
    ],
)
def test_a_report_knows_whether_anything_was_skipped(report, skipped, codes, incomplete):
    warnings = tuple(SourceWarning(code, "") for code in codes)
    source = dataclasses.replace(report.sources[0], skipped=skipped, warnings=warnings)
    assert dataclasses.replace(report, sources=(source,)).incomplete is incomplete


def test_what_a_warning_takes_away_is_a_limitation(tmp_path):
    path = tmp_path / "cut.pcap"
    path.write_bytes(Path(BOTH_ENDS.captures[0]).read_bytes()[:-10])
    report = auditor.audit(path, dissect=False)
    (warning,) = report.sources[0].warnings
    assert warning.code == "cut-short"
    assert f"{path}: {warning.text}" in report.limitation_texts


def test_an_unreadable_source_is_a_limitation(tmp_path):
    report = auditor.audit(*QUIET.captures, tmp_path / "missing.pcap", dissect=False)
    assert report.limitation_texts[0] == f"{tmp_path / 'missing.pcap'} was not analyzed: no such file. Check the path."


# times


def times(value: object, key: str = "") -> list[object]:
    """Return the values of every key that ends in "time"."""
    if isinstance(value, dict):
        return [time for name, inner in value.items() for time in times(inner, name)]
    if isinstance(value, list):
        return [time for inner in value for time in times(inner)]
    return [value] if key.endswith("time") else []


@each(SCENES)
def test_times_are_utc_and_in_order(scene):
    document = scene.audit(**scene.known).to_dict()
    found = [time for time in times(document) if time is not None]
    assert found
    assert [time for time in found if not TIME.fullmatch(time)] == []
    methods = [method for client in document["clients"] for method in client["methods"]]
    for one in [*document["sources"], *(one for method in methods for one in method["requirements"])]:
        assert (one["first_time"] or "") <= (one["last_time"] or "")


@pytest.mark.parametrize(
    ("nanoseconds", "text"),
    [
        (0, "1970-01-01T00:00:00.000000Z"),
        (1_700_000_000_123_456_789, "2023-11-14T22:13:20.123456Z"),
        (-1, "1969-12-31T23:59:59.999999Z"),
        (None, None),
        (10**30, None),
    ],
)
def test_a_time_as_text(nanoseconds, text):
    assert r.utc_text(nanoseconds) == text


# evidence


def hosts_by_frame(source: auditor.Source) -> dict[int, set[str]]:
    """Return the hosts that each frame of a source is of or about."""
    found: dict[int, set[str]] = {}
    for flow, src, dst in zip(source.flows.index, source.flows.src_ip, source.flows.dst_ip, strict=True):
        for event in source.details.events(flow):
            found.setdefault(event.frame, set()).update((src, dst))
        for error in source.details.errors.get(flow, ()):
            found.setdefault(error.frame, set()).update((error.src, error.dst))
    for asked in source.details.asked:
        for frame in asked.frames:
            found.setdefault(frame, set()).update((asked.requester, asked.target))
    return found


@each(SCENES)
def test_cited_frames_exist_and_are_of_the_cited_hosts(scene):
    report = scene.audit(**scene.known)
    sources = [auditor.read(path) for path in scene.captures]
    frames = [hosts_by_frame(source) for source in sources]
    for client in report.clients:
        for method in client.methods:
            for one in method.requirements:
                for evidence in one.evidence:
                    assert evidence.frames, one.id
                    assert list(evidence.frames) == sorted(set(evidence.frames))
                    for frame in evidence.frames:
                        assert 1 <= frame <= sources[evidence.source].records
                        assert {one.source.address, one.destination.address} <= frames[evidence.source][frame]


FILTERED = {
    "answered": ["0 10.0.0.5 > 10.0.0.20/icmp answered", "1 10.0.0.5:50000 > 10.0.0.20:445/tcp SF"],
    "silent": ["0 10.0.0.5 > 10.0.0.20/icmp silent", "1 10.0.0.5:50000 > 10.0.0.20:445/tcp S0"],
    "forbidden": [
        "0 10.0.0.5 > 10.0.0.20/icmp answered",
        "1 10.0.0.5:50000 > 10.0.0.20:445/tcp prohibited by 10.0.0.1",
    ],
    "only the error": ["0 10.0.0.5:50000 > 10.0.0.20:445/tcp prohibited by 10.0.0.1 alone"],
    "UDP": ["0 10.0.0.5:50000 > 10.0.0.20:135/udp refused by 10.0.0.20"],
    "IPv6": ["0 fd00::5 > fd00::20/icmp silent", "1 [fd00::5]:50000 > [fd00::20]:445/tcp prohibited by fd00::1"],
    "ARP": ["0 10.0.0.5 asks 10.0.0.20"],
    "neighbours": ["0 fd00::5 asks fd00::20"],
    "SYNs and ARP": ["0 10.0.0.5:50000 > 10.0.0.20:445/tcp S0", "1 10.0.0.1 asks 10.0.0.20"],
}


@pytest.mark.parametrize("lines", FILTERED.values(), ids=FILTERED)
def test_wireshark_shows_the_cited_frames_with_the_cited_filter(lines, tshark, write):
    path = write(pcap(scene(lines)))
    version = "fd00::" if "fd00::" in lines[0] else "10.0.0."
    report = auditor.audit(path, roles={"site-server": f"{version}5", "client": f"{version}20"}, dissect=False)
    requirements = report.clients[0].method("client-push").requirements
    proofs = {(one.display_filter, one.frames) for requirement in requirements for one in requirement.evidence}
    assert proofs
    for shown, frames in proofs:
        assert set(frames) <= wireshark(tshark, path, shown)


def wireshark(tshark: str, path: Path, shown: str) -> set[int]:
    """Return the frames that Wireshark shows of a capture with a display filter."""
    command = [tshark, "-n", "-r", str(path), "-Y", shown, "-T", "fields", "-e", "frame.number"]
    done = subprocess.run(command, capture_output=True, text=True, timeout=PATIENCE, check=False)
    assert done.returncode == 0, done.stderr
    return set(map(int, done.stdout.split()))


# tables


def test_the_table_has_a_row_for_each_requirement(report):
    client = report.clients[0]
    assert len(report.frame()) == sum(len(method.requirements) for method in client.methods)
    row = report.frame().set_index("requirement").loc["client-push/smb"]
    assert row[["client", "method", "result", "from_role", "from_ip", "to_ip", "ports", "verdict"]].tolist() == [
        client.address,
        "client-push",
        "fails",
        "site-server",
        "10.20.1.5",
        client.address,
        "445",
        "blocked",
    ]


def test_the_table_of_evidence_has_a_row_for_each_frame(report):
    one = next(one for one in report.clients[0].method("client-push").requirements if one.row == "smb")
    rows = report.evidence_frame()
    found = rows[rows["requirement"] == one.id]
    expected = [(report.sources[e.source].path, frame) for e in one.evidence for frame in e.frames]
    assert list(zip(found["source"], found["frame"], strict=True)) == expected


@pytest.mark.parametrize(
    ("table", "columns"),
    [("frame", FRAME_COLUMNS), ("evidence_frame", EVIDENCE_COLUMNS)],
    ids=["frame", "evidence_frame"],
)
def test_tables_have_the_same_columns_and_types_when_empty(table, columns, report, nobody):
    full, empty = getattr(report, table)(), getattr(nobody, table)()
    assert (len(full) > 0, len(empty)) == (True, 0)
    assert list(full.columns) == list(empty.columns) == list(columns)
    assert full.dtypes.to_dict() == empty.dtypes.to_dict()


def test_times_in_the_table_are_utc(report):
    rows = report.frame().set_index("requirement")
    assert str(rows["first_time"].dt.tz) == "UTC"
    smb = next(one for one in report.clients[0].method("client-push").requirements if one.row == "smb")
    assert rows["first_time"]["client-push/smb"].isoformat() == smb.first_time.replace("Z", "+00:00")


def test_the_flows_of_all_sources_are_kept(report):
    expected = [len(auditor.read(path).flows) for path in BOTH_ENDS.captures]
    assert report.flows.groupby("source", sort=False).size().tolist() == expected


def test_a_report_prints_itself(report):
    assert str(report) == report.to_text()
