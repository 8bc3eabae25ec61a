"""The TCP flows of a real capture, and the captures that take too long."""

from __future__ import annotations

from realcaptures import source

from auditor.sources.dissection.selection import FlowSelector

# Two scans of many thousand packets each, in which nothing is said that the others do not say; they take too long.
TOO_LONG = ("large/pcaps__xscan_capture.pcap", "large/zerologon__CVE-2020-1472_test_win2016.pcap")


def flows(name: str) -> list[FlowSelector]:
    """Return the TCP flows of a capture."""
    table = source(name).flows
    ends = ["protocol", "src_ip", "src_port", "dst_ip", "dst_port", "first_frame"]
    return [FlowSelector(*row) for row in table[table["protocol"] == "tcp"][ends].itertuples(index=False)]
