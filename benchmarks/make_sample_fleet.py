"""Generate sample_captures/fleet: the firewall logs of twelve computers at two sites, for the README and the notebook.

    python benchmarks/make_sample_fleet.py sample_captures/fleet

The same logs as those of make_fleet.py, but so few that every computer can be looked at, and with names and states
that are chosen. hosts.csv has one computer more, whose log never came.
"""

from __future__ import annotations

import argparse
import csv
import random
import sys
from pathlib import Path
from typing import NamedTuple

from log_blocks import Address
from make_fleet import Host, write

NETWORK, ROWS = 120, 80  # 10.120.0.0/16


class Chosen(NamedTuple):
    """One computer: its site and subnet, what is true of it, and how its log was saved (STATES, SHAPES)."""

    site: str
    subnet: int
    state: str
    shape: str = "plain"
    old: bool = False


FLEET = {
    "PC00001": Chosen("BERLIN", 100, "smb-dropped"),
    "PC00002": Chosen("BERLIN", 100, "smb-dropped", "pid"),
    "PC00003": Chosen("BERLIN", 100, "smb-dropped", old=True),
    "PC00004": Chosen("BERLIN", 100, "smb-dropped", "utf-16-le"),
    "PC00005": Chosen("BERLIN", 100, "all-allowed"),
    "PC00006": Chosen("BERLIN", 100, "first-dropped"),
    "PC00007": Chosen("LISBON", 101, "rpc-dynamic-dropped"),
    "PC00008": Chosen("LISBON", 101, "all-allowed"),
    "PC00009": Chosen("LISBON", 101, "all-allowed", "malformed-rows"),
    "PC00010": Chosen("LISBON", 101, "smb-dropped"),
    "PC00011": Chosen("LISBON", 101, "no-push"),
    "PC00012": Chosen("LISBON", 101, "empty-file"),
}
NEVER_CAME = ("PC00013", "LISBON", "10.120.101.112")


def hosts() -> list[Host]:
    """Return the computers of which there are logs."""
    return [
        Host(
            name=name,
            site=one.site,
            site_number=NETWORK,
            address=Address(NETWORK, one.subnet, 100 + number, number),
            state=one.state,
            shape=one.shape,
            rows=ROWS,
            old=one.old,
            chance=random.Random(name),
        )
        for number, (name, one) in enumerate(FLEET.items())
    ]


def make(out: Path) -> None:
    """Write the logs and the table of computers."""
    made = hosts()
    for host in made:
        write(host, out / "logs" / host.site / host.name)
    with (out / "hosts.csv").open("w", encoding="utf-8", newline="") as file:
        table = csv.writer(file, lineterminator="\n")
        table.writerow(("host", "site", "address"))
        table.writerows([*((one.name, one.site, str(one.address)) for one in made), NEVER_CAME])


def main() -> None:
    """Run as a command."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("out", type=Path)
    given = parser.parse_args()
    if given.out.exists() and any(given.out.iterdir()):
        sys.exit(f"{given.out}: not empty; name a new folder")
    make(given.out)


if __name__ == "__main__":
    main()
