"""The sources of a computer are joined by its name: a short name is that of the only full one, and never of two."""

from __future__ import annotations

from pathlib import Path

from fleet_logs import NO_PATH, NO_RPC, ccm, write
from hypothesis import given, settings
from hypothesis import strategies as st
from logs import firewall_log, row
from packets import pcap, tcp
from setup_logs import SERVICE, log

from auditor.api.batch import batch
from auditor.fleet.inventory.grouping import IndexEntry
from auditor.fleet.inventory.same_names import joined_names
from auditor.report.fleet_model import FleetReport


def fleet(folder: Path, **known: object) -> FleetReport:
    return batch(folder / "logs", out=folder / "out", workers=0, **known).report  # type: ignore[arg-type]


def files(report: FleetReport) -> dict[str, list[str]]:
    return {host.host: sorted(Path(path).name for path in host.files) for host in report.hosts}


def firewall(path: Path, address: str = "10.0.1.20") -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    rows = [f"08:00:0{n} DROP 10.0.0.5:50445 > {address}:445 S RECEIVE" for n in (0, 1, 3)]
    path.write_bytes(firewall_log(*map(row, rows)))


def ambiguous(report: FleetReport) -> list[str]:
    return [note.text for note in report.limitations if note.code == "ambiguous-name"]


def test_a_firewall_log_in_the_folder_of_a_computer_that_a_log_names_is_joined(tmp_path):
    write(tmp_path / "logs" / "ccm.log", ccm(PC1_corp_example=NO_RPC, PC2=NO_PATH))
    firewall(tmp_path / "logs" / "pc1" / "pfirewall.log")
    report = fleet(tmp_path)
    assert files(report) == {"PC1": ["ccm.log", "pfirewall.log"], "PC2": ["ccm.log"]}
    assert report.hosts[0].addresses == ("10.0.1.20",)


def test_a_pattern_that_names_the_site_joins_the_log_of_all_sites(tmp_path):
    write(tmp_path / "logs" / "ccm.log", ccm(PC1=NO_RPC))
    firewall(tmp_path / "logs" / "BERLIN" / "PC1" / "pfirewall.log")
    (host,) = fleet(tmp_path, host_from="{site}/{host}/pfirewall.log").hosts
    assert (host.host, host.site, len(host.files)) == ("PC1", "BERLIN", 2)


def test_a_full_name_in_a_path_and_a_short_one_in_a_log_are_one_computer(tmp_path):
    write(tmp_path / "logs" / "ccm.log", ccm(PC1=NO_RPC))
    firewall(tmp_path / "logs" / "PC1.corp.example" / "pfirewall.log")
    report = fleet(tmp_path, host_from="{host}/pfirewall.log")
    assert files(report) == {"PC1.CORP.EXAMPLE": ["ccm.log", "pfirewall.log"]}


def test_a_capture_in_the_folder_of_a_computer_that_a_log_names_is_joined(tmp_path):
    write(tmp_path / "logs" / "ccm.log", ccm(PC1=NO_RPC))
    capture = tmp_path / "logs" / "PC1" / "push.pcap"
    capture.parent.mkdir()
    capture.write_bytes(pcap([tcp(f"10.0.0.5:50000 > 10.0.1.20:{port}") for port in (445, 135) for _ in range(3)]))
    assert files(fleet(tmp_path)) == {"PC1": ["ccm.log", "push.pcap"]}


def test_an_address_with_zeros_in_front_is_a_name_of_its_own(tmp_path):
    write(tmp_path / "logs" / "ccm.log", ccm(**{"10.0.1.020": NO_RPC, "PC1": NO_PATH}))
    assert [host.host for host in fleet(tmp_path).hosts] == ["10.0.1.020", "PC1"]


def test_a_blank_name_is_none(tmp_path):
    path = write(tmp_path / "logs" / "ccm.log", ccm(**{" ": NO_RPC, "PC1": NO_PATH}))
    assert [host.host for host in fleet(tmp_path).hosts] == [str(path), "PC1"]


def test_two_computers_with_one_short_name_stay_two(tmp_path):
    write(tmp_path / "logs" / "ccm.log", ccm(PC1_a_example=NO_RPC, PC1_b_example=NO_PATH))
    report = fleet(tmp_path)
    assert sorted(files(report)) == ["PC1.A.EXAMPLE", "PC1.B.EXAMPLE"]
    assert ambiguous(report) == []


def test_a_short_name_that_fits_two_computers_is_joined_with_neither_and_said(tmp_path):
    write(tmp_path / "logs" / "ccm.log", ccm(PC1_a_example=NO_RPC, PC1_b_example=NO_PATH))
    own = log(*SERVICE, "[PC1] Running on 'Windows'", "CcmSetup failed with error code 0x80070643")
    write(tmp_path / "logs" / "x" / "ccmsetup.log", own)
    report = fleet(tmp_path)
    assert len(files(report)) == 3
    (note,) = ambiguous(report)
    assert "PC1" in note


def test_a_computer_of_two_sites_is_not_guessed(tmp_path):
    write(tmp_path / "logs" / "ccm.log", ccm(PC1=NO_RPC))
    for site in ("A", "B"):
        firewall(tmp_path / "logs" / site / "PC1" / "pfirewall.log")
    report = fleet(tmp_path, host_from="{site}/{host}/pfirewall.log")
    assert [(host.host, host.site) for host in report.hosts] == [("PC1", ""), ("PC1", "A"), ("PC1", "B")]
    assert len(ambiguous(report)) == 1


def test_a_map_names_the_computer_of_a_log(tmp_path):
    write(tmp_path / "logs" / "ccm.log", ccm(PC1=NO_RPC))
    (tmp_path / "map.csv").write_text("host,site\nPC1.corp.example,BERLIN\n")
    report = fleet(tmp_path, host_map=tmp_path / "map.csv")
    assert (files(report), report.expected) == ({"PC1.CORP.EXAMPLE": ["ccm.log"]}, ())
    assert report.hosts[0].site == "BERLIN"


def test_a_fleet_without_logs_of_configmgr_keeps_its_names(tmp_path):
    for name in ("PC1", "PC1.corp.example"):
        firewall(tmp_path / "logs" / name / "pfirewall.log")
    report = fleet(tmp_path, host_from="{host}/pfirewall.log")
    assert sorted(files(report)) == ["PC1", "PC1.CORP.EXAMPLE"]


NAMES = st.sampled_from(["PC1", "PC1.A.EXAMPLE", "PC1.B.EXAMPLE", "PC2", "PC2.A.EXAMPLE", ""])
KINDS = st.sampled_from(["configmgr-log", "firewall-log", "capture"])


def entry(number: int, host: str, kind: str, site: str) -> IndexEntry:
    return IndexEntry(host, site, f"/logs/{number}", kind, 0, 0, str(number), 0, 0, 0, (), (), "shard", number, "")


@settings(max_examples=200, deadline=None)
@given(st.lists(st.tuples(NAMES, KINDS, st.sampled_from(["", "A", "B"]))), st.randoms())
def test_two_full_names_are_never_one_computer_and_the_order_does_not_matter(rows, random):
    entries = [entry(number, *of_row) for number, of_row in enumerate(rows)]
    joined = joined_names(entries)
    full: dict[tuple[str, str], set[str]] = {}
    for old, new in zip(entries, joined.entries, strict=True):
        if "." in old.host:
            full.setdefault((new.site, new.host), set()).add(old.host)
    assert all(len(names) == 1 for names in full.values())
    shuffled = random.sample(entries, len(entries))
    again = joined_names(shuffled)
    assert sorted(again.entries) == sorted(joined.entries)
    assert again.notes == joined.notes
