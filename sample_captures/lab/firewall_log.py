"""The client's firewall log: what nftables logged on it, written as Windows Firewall writes pfirewall.log."""

from __future__ import annotations

import subprocess
from collections.abc import Mapping
from datetime import UTC, datetime, timedelta, timezone
from pathlib import Path

from captures import Tap
from network import LabError

GROUP = 1
AT_FIREWALL = Tap("client-firewall", f"nflog:{GROUP}")
CLIENT_TIME = timezone(timedelta(hours=5, minutes=30))  # the log's times are local, those of the captures UTC

# The prefix of a rule is the action of its rows. Each message is sent at once: the kernel would keep it for a second.
LOG = f"log group {GROUP} queue-threshold 1 prefix"
DROP, ALLOW = f'{LOG} "DROP" drop', f'{LOG} "ALLOW" accept'
# Like Windows, say of a connection once that it was allowed.
ALLOWED_IN = f"iifname eth0 ct state new {ALLOW}"
ALLOWED_OUT = f"oifname eth0 ct state new {ALLOW}"

HEADER = """\
#Version: 1.5
#Software: Microsoft Windows Firewall
#Time Format: Local
#Fields: date time action protocol src-ip dst-ip src-port dst-port size tcpflags tcpsyn tcpack tcpwin icmptype \
icmpcode info path
# Made by the lab of auditor from what nftables logged; not written by Windows

"""
FIELDS = [
    *("frame.time_epoch", "nflog.prefix", "nflog.hook"),
    *("ip.src", "ip.dst", "ip.proto", "ip.len", "icmp.type", "icmp.code"),
    *("tcp.srcport", "tcp.dstport", "tcp.flags", "tcp.seq_raw", "tcp.ack_raw", "tcp.window_size_value"),
]
PATHS = {"1": "RECEIVE", "3": "SEND"}  # by netfilter's number of the hook: local in, local out
PROTOCOLS = {"1": "ICMP", "6": "TCP"}
FLAGS = {"F": 0x01, "S": 0x02, "R": 0x04, "A": 0x10, "P": 0x08, "U": 0x20}  # in the order in which Windows names them


def write_log(recording: Path, path: Path) -> None:
    """Write what the firewall logged, a capture of its messages, as a log in Windows' shape."""
    fields = [word for name in FIELDS for word in ("-e", name)]
    command = ["tshark", "-n", "-r", str(recording), "-T", "fields", *fields]
    lines = subprocess.run(command, capture_output=True, text=True, check=True).stdout.splitlines()
    rows = [_row(dict(zip(FIELDS, line.split("\t"), strict=True))) for line in lines]
    text = HEADER + "".join(f"{row}\n" for row in rows)
    path.write_bytes(text.replace("\n", "\r\n").encode("ascii"))


def _row(message: Mapping[str, str]) -> str:
    """Write one message of the firewall as a row."""
    if message["ip.proto"] not in PROTOCOLS or message["nflog.hook"] not in PATHS:
        raise LabError(f"the firewall logged what the lab has no row for: {dict(message)}")
    time = datetime.fromtimestamp(int(message["frame.time_epoch"].partition(".")[0]), UTC).astimezone(CLIENT_TIME)
    protocol, path = PROTOCOLS[message["ip.proto"]], PATHS[message["nflog.hook"]]
    told = message["nflog.prefix"] == "DROP" and path == "RECEIVE"  # of all other packets Windows tells no numbers
    size = message["ip.len"] if told else "0"
    if protocol == "TCP":
        ports, numbers, kind = f"{message['tcp.srcport']} {message['tcp.dstport']}", _numbers(message, told), "- -"
    else:
        ports, numbers, kind = "- -", "- - - -", f"{message['icmp.type']} {message['icmp.code']}"
    ends = f"{message['ip.src']} {message['ip.dst']} {ports}"
    return f"{time:%Y-%m-%d %H:%M:%S} {message['nflog.prefix']} {protocol} {ends} {size} {numbers} {kind} - {path}"


def _numbers(message: Mapping[str, str], told: bool) -> str:
    """Write flags, sequence number, acknowledgement and window of a TCP packet."""
    if not told:
        return "- 0 0 0"
    bits = int(message["tcp.flags"], 16)
    flags = "".join(letter for letter, bit in FLAGS.items() if bits & bit)
    return f"{flags} {message['tcp.seq_raw']} {message['tcp.ack_raw']} {message['tcp.window_size_value']}"
