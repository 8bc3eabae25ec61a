"""Which sources are of one host."""

from __future__ import annotations

import pytest

from auditor.fleet.inventory.grouping import Known, by_host


def known(path: str, *addresses: str, host: str = "", site: str = "") -> Known:
    return Known(host, site, path, 10, 1, f"digest of {path}", 1, 0, addresses, "shard", 0, "asking")


def hosts(*every: Known) -> dict[str, list[str]]:
    return {f"{host.site}/{host.name}".lstrip("/"): [one.path for one in some] for host, some in by_host(every).items()}


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


def test_a_capture_of_several_clients_is_of_several_hosts():
    assert list(hosts(known("a.pcap", "10.0.1.1"), known("a.pcap", "10.0.1.2"))) == ["10.0.1.1", "10.0.1.2"]


def test_a_source_without_a_name_is_of_the_named_host_that_has_its_address():
    pc1 = known("1.log", "10.0.1.1", host="PC1", site="BERLIN")
    assert hosts(pc1, known("x.log", "10.0.1.1", site="BERLIN")) == {"BERLIN/PC1": ["1.log", "x.log"]}
    assert hosts(pc1, known("x.log", "10.0.1.1")) == {"BERLIN/PC1": ["1.log", "x.log"]}, "nobody said the site"
    assert list(hosts(pc1, known("x.log", "10.0.1.1", site="BOSTON"))) == ["BERLIN/PC1", "BOSTON/10.0.1.1"]


@pytest.mark.parametrize("site", ["BERLIN", "BOSTON", ""])
def test_an_address_of_two_hosts_names_neither(site):
    named = (known("1.log", "10.0.1.1", host="PC1", site="BERLIN"), known("2.log", "10.0.1.1", host="PC2", site=site))
    assert "10.0.1.1" in hosts(*named, known("x.log", "10.0.1.1"))
