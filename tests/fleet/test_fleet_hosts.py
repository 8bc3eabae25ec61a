"""Which sources are of one host."""

from __future__ import annotations

import pytest

from auditor.fleet.inventory.grouping import Host, IndexEntry, by_host, owners_of
from auditor.fleet.inventory.host_names import Owner
from auditor.sources.source import CAPTURE, FIREWALL_LOG


def known(path: str, *addresses: str, host: str = "", site: str = "", owners: tuple[Owner, ...] = ()) -> IndexEntry:
    kind = CAPTURE if path.endswith(".pcap") else FIREWALL_LOG
    return IndexEntry(
        host, site, path, kind, 10, 1, f"digest of {path}", 1, 0, 0, addresses, owners, f"shard of {path}", 0, "asking"
    )


def hosts(*every: IndexEntry, clients: tuple[str, ...] = (), site: str = "") -> dict[str, list[str]]:
    found = by_host(every, {site: clients})
    return {f"{host.site}/{host.name}".lstrip("/"): [one.path for one in some] for host, some in found.items()}


@pytest.mark.parametrize("form", ["10.0.1.{}", "fw.{:03}", "pc-10.0.1.{}.gz", "fw-2024010{}"])
def test_logs_of_several_computers_whose_names_end_with_numbers_are_of_several_hosts(form):
    every = [known(form.format(one), f"10.0.1.{one}") for one in range(1, 6)]
    assert list(hosts(*every)) == [f"10.0.1.{one}" for one in range(1, 6)]


@pytest.mark.parametrize(
    "old", ["fw.log.old", "fw.old", "fw.log.1", "fw.log.2.gz", "fw.log-20240601", "FW.LOG.OLD", "FW.OLD"]
)
def test_the_parts_of_a_log_with_an_address_in_common_are_of_one_host(old):
    log = "FW.LOG" if old.isupper() else "fw.log"
    assert hosts(known(log, "10.0.1.1", "10.0.1.2"), known(old, "10.0.1.2")) == {"10.0.1.1": sorted([log, old])}


def test_a_part_without_an_address_is_of_the_host_of_the_others_if_they_are_of_one():
    silent = known("fw.1")
    assert hosts(known("fw.2", "10.0.1.2"), silent) == {"10.0.1.2": ["fw.2", "fw.1"]}
    several = (known("fw.2", "10.0.1.2"), known("fw.3", "10.0.1.3"))
    assert hosts(*several, silent) == {"10.0.1.2": ["fw.2"], "10.0.1.3": ["fw.3"], "fw.1": ["fw.1"]}


def test_an_address_at_which_all_receive_makes_no_one_host():
    every = [known(f"fw.{one}", f"10.0.1.{one}", "10.0.1.127") for one in (1, 2)]
    assert list(hosts(*every)) == ["10.0.1.1", "10.0.1.2"]


A, B, S = "10.0.1.1", "10.0.1.2", "10.0.0.5"


def test_a_capture_is_of_every_client_in_it_and_only_what_concerns_the_client():
    capture = known("a.pcap", A, B, S)
    found = by_host([capture], {"": (A, B)})
    assert found == {Host("", A): [capture.about(A)], Host("", B): [capture.about(B)]}
    assert hosts(capture) == {"a.pcap": ["a.pcap"]}, "nothing shows a client"


def test_a_capture_is_of_the_hosts_with_logs_that_are_in_it():
    log = known("x.log", A, B, host="PC1", site="BERLIN")
    capture = known("a.pcap", A, B, S)
    assert by_host([log, capture]) == {Host("BERLIN", "PC1"): [log, capture.about(A, B)]}
    assert hosts(known("x.log", B, A), capture) == {B: ["x.log", "a.pcap"]}, "the log has no name"
    assert hosts(log, capture._replace(site="BOSTON")) == {"BERLIN/PC1": ["x.log"], "BOSTON/a.pcap": ["a.pcap"]}


def test_the_folder_of_a_capture_names_the_only_client_in_it():
    first, second = (known(f"PC1/{n}.pcap", A, S, host="PC1") for n in (1, 2))
    assert hosts(first, second, clients=(A,)) == {"PC1": ["PC1/1.pcap", "PC1/2.pcap"]}
    assert hosts(first, known("x.log", A), clients=(A,)) == {"PC1": ["x.log", "PC1/1.pcap"]}
    assert hosts(first) == {"PC1": ["PC1/1.pcap"]}, "no client is in it"


def test_a_folder_names_no_client_if_it_may_be_of_another_computer():
    capture = known("PC1/a.pcap", A, S, host="PC1")
    log, server = known("x.log", A, host="PC9"), known("SRV/x.log", S, host="SRV")
    assert hosts(capture, known("PC1/x.log", B, host="PC1"), clients=(A,)) == {
        A: ["PC1/a.pcap"],
        "PC1": ["PC1/x.log"],
    }
    assert hosts(capture, log, clients=(A,)) == {"PC9": ["x.log", "PC1/a.pcap"]}
    both = known("PC1/b.pcap", A, B, host="PC1")
    assert hosts(capture, both, clients=(A, B)) == {A: ["PC1/a.pcap", "PC1/b.pcap"], B: ["PC1/b.pcap"]}
    again = known("PC2/a.pcap", A, S, host="PC2")
    assert hosts(capture, again, clients=(A,)) == {A: ["PC1/a.pcap", "PC2/a.pcap"]}
    of_server = known("SRV/a.pcap", A, S, host="SRV")
    assert hosts(of_server, server, clients=(A,)) == {A: ["SRV/a.pcap"], "SRV": ["SRV/x.log", "SRV/a.pcap"]}


def test_the_map_names_a_client_in_a_capture():
    owner = Owner(A, "PC1", "BERLIN")
    capture = known("a.pcap", A, B, S, owners=(owner, Owner(S, "SRV", "")))
    assert hosts(capture, clients=(A,), site="BERLIN") == {"BERLIN/PC1": ["a.pcap"]}
    assert hosts(capture, clients=(B,)) == {B: ["a.pcap"]}, "a host of the map that is no client is none to install on"


def test_a_log_is_also_of_the_clients_that_its_computer_pushes_to():
    log, own = known("SRV/x.log", S, host="SRV"), known("PC1/x.log", A, host="PC1")
    found = by_host([log, own], {"": (A, B)}, {(log.shard, log.row): (A, B)})
    assert found == {Host("", B): [log.about(B)], Host("", "PC1"): [own, log.about(A)], Host("", "SRV"): [log]}


def test_where_nobody_said_the_site_the_computer_shows_it():
    owners = owners_of([known("1.log", A, host="PC1", site="BERLIN"), known("2.log", B, host="PC2", site="BOSTON")])
    assert owners.site_of(known("a.pcap", A, S), S, A) == "BERLIN"
    assert owners.site_of(known("a.pcap", A, S), A, S) == "BERLIN", "what a client sends to its server"
    assert owners.site_of(known("a.pcap", "10.0.1.9", S), S, "10.0.1.9") == ""
    assert owners.site_of(known("a.pcap", A, S, site="ROME"), S, A) == "ROME", "addresses may be used at two sites"


def test_a_source_without_a_name_is_of_the_named_host_that_has_its_address():
    pc1 = known("1.log", "10.0.1.1", host="PC1", site="BERLIN")
    assert hosts(pc1, known("x.log", "10.0.1.1", site="BERLIN")) == {"BERLIN/PC1": ["1.log", "x.log"]}
    assert hosts(pc1, known("x.log", "10.0.1.1")) == {"BERLIN/PC1": ["1.log", "x.log"]}, "nobody said the site"
    assert list(hosts(pc1, known("x.log", "10.0.1.1", site="BOSTON"))) == ["BERLIN/PC1", "BOSTON/10.0.1.1"]


@pytest.mark.parametrize("site", ["BERLIN", "BOSTON", ""])
def test_an_address_of_two_hosts_names_neither(site):
    named = (known("1.log", "10.0.1.1", host="PC1", site="BERLIN"), known("2.log", "10.0.1.1", host="PC2", site=site))
    assert "10.0.1.1" in hosts(*named, known("x.log", "10.0.1.1"))
