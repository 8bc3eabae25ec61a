"""Windows Firewall logs for tests: their usual shapes, and a reader that is as plain as can be."""

from __future__ import annotations

import ipaddress
from collections import Counter
from datetime import datetime
from typing import NamedTuple

FIELDS = (
    "#Fields: date time action protocol src-ip dst-ip src-port dst-port size tcpflags tcpsyn tcpack tcpwin icmptype "
    "icmpcode info path"
)
HEADER = f"#Version: 1.5\r\n#Software: Microsoft Windows Firewall\r\n#Time Format: Local\r\n{FIELDS}\r\n\r\n"
HEADER_PID = HEADER.replace(" path\r\n", " path pid\r\n")
ACTIONS = ("DROP", "ALLOW", "OPEN", "OPEN-INBOUND", "CLOSE", "INFO-EVENTS-LOST")
PATHS = ("SEND", "RECEIVE", "FORWARD", "UNKNOWN", "-")
JUNK = b"\0 \t\r\x0b\x0c\x1a"


def log(*rows: str, header: str = HEADER) -> bytes:
    """Return a log of these rows, with the line ends that Windows writes."""
    return (header + "".join(f"{row}\r\n" for row in rows)).encode()


def firewall_log(*rows: str, clock: str = "Local") -> bytes:
    """Return a log with the column of process ids. clock: what its times are, "Local" or "UTC"."""
    return log(*rows, header=HEADER_PID.replace("Local", clock))


def row(text: str) -> str:
    """Return a row as Windows writes it: of a dropped packet received, size, flags and numbers are told.

    text: "TIME ACTION FROM > TO FLAGS PATH", with "DAYT" before TIME, "/udp" behind TO, a sequence number as in "S@7",
    a process id as in "RECEIVE#4". Without a port it is a ping. The sequence number follows from the port as in
    scenario.py.
    """
    time, action, src, _, dst, flags, path = text.split()
    day, _, time = time.rpartition("T")
    when = f"{day or '2023-11-14'} {time} {action}"
    (path, _, process), (flags, _, number) = path.partition("#"), flags.partition("@")
    dst, _, protocol = dst.partition("/")
    (ip_src, _, port_src), (ip_dst, _, port_dst) = src.partition(":"), dst.partition(":")
    end = f"{path} {process or 4}"
    if not port_src:
        return f"{when} ICMP {ip_src} {ip_dst} - - 60 - - - - 8 0 - {end}"
    ends = f"{ip_src} {ip_dst} {port_src} {port_dst}"
    if protocol == "udp":
        return f"{when} UDP {ends} 0 - - - - - - - {end}"
    told = (
        f"52 {flags} {number or 1000 + int(port_src)} 0 65535" if action == "DROP" and path != "SEND" else "0 - 0 0 0"
    )
    return f"{when} TCP {ends} {told} - - - {end}"


class Plain(NamedTuple):
    """What a log holds, read line by line."""

    lines: int
    rows: int
    comments: int
    blanks: int
    malformed: int
    classes: Counter[tuple[str, str, str]]


def plain(content: bytes) -> Plain:
    """Read a log of single bytes with nothing but `split`; `classes` are rows by action, protocol and path."""
    lines = content.split(b"\n")
    lines = lines if lines[-1] else lines[:-1]
    names: list[str] | None = None
    found: Counter[str] = Counter()
    classes: Counter[tuple[str, str, str]] = Counter()
    for line in lines:
        text = line.strip(JUNK).decode("latin-1")
        if text.startswith("#Fields:"):
            header = text.partition("\r")[0].encode("latin-1")
            names = [word.decode("latin-1") for word in header[len("#Fields:") :].lower().split()]
        if not text or text.startswith("#"):
            found["blanks" if not text else "malformed" if "\r" in text else "comments"] += 1
            continue
        words = text.encode("latin-1").split()
        if names is None:
            names = FIELDS.removeprefix("#Fields:").split() + ["pid"] * (len(words) == 18)
        row = _row(words, names)
        found["malformed" if row is None else "rows"] += 1
        if row is not None and row["action"] != "INFO-EVENTS-LOST":
            implied = {"OPEN": "SEND", "OPEN-INBOUND": "RECEIVE"}.get(row["action"], "-")
            path = row.get("path", "-")
            number = {"6": "TCP", "17": "UDP", "1": "ICMP", "58": "ICMP"}
            protocol = number.get(row["protocol"].lstrip("0"), row["protocol"])
            classes[row["action"], protocol, implied if path == "-" else path] += 1
    return Plain(len(lines), found["rows"], found["comments"], found["blanks"], found["malformed"], classes)


def _row(words: list[bytes], names: list[str]) -> dict[str, str] | None:
    texts = [word.decode("latin-1") for word in words]
    if len(texts) == len(names) - 1 and names[-1] == "pid" and "INFO-EVENTS-LOST" in texts[:4]:
        texts.append("-")
    row = dict(zip(names, texts, strict=False))
    good = len(texts) == len(names) and not any(ord(one) < 32 for one in "".join(texts)) and _is_good(row)
    return row if good else None


def _is_good(row: dict[str, str]) -> bool:
    if not {"date", "time", "action", "protocol", "src-ip", "dst-ip", "src-port", "dst-port"} <= row.keys():
        return False
    try:
        moment = f"{row['date']} {row['time']}"
        year = datetime.strptime(moment, "%Y-%m-%d %H:%M:%S").year
        if len(moment) != 19 or not moment.isascii() or not 1970 <= year < 2200:
            return False
        if row["action"] not in ACTIONS or row.get("path", "-") not in PATHS:
            return False
        if row["action"] == "INFO-EVENTS-LOST":
            return _number(row.get("info", "0"), 10**16)
        for end in ("src-ip", "dst-ip"):
            ipaddress.ip_address(row[end].partition("%")[0])
    except ValueError:
        return False
    return _fits_protocol(row) and (row.get("pid", "-") == "-" or _number(row["pid"], 1 << 32))


def _fits_protocol(row: dict[str, str]) -> bool:
    protocol = {"6": "TCP", "17": "UDP", "1": "ICMP", "58": "ICMP"}.get(row["protocol"], row["protocol"])
    if protocol in ("TCP", "UDP"):
        if not all(_number(row[port], 1 << 16) for port in ("src-port", "dst-port")):
            return False
        flags, number = row.get("tcpflags", "-"), row.get("tcpsyn", "-")
        if protocol == "UDP" or row["action"] != "DROP" or "tcpsyn" not in row or "tcpflags" not in row:
            return True
        right = flags == "-" or (set(flags) <= set("SAFRPUEC") and len(flags) <= 8)
        return right and (number == "-" or _number(number, 1 << 32))
    if protocol == "ICMP":
        return all(_number(row.get(name, "-"), 256) for name in ("icmptype", "icmpcode"))
    return _number(protocol, 256)


def _number(text: str, below: int) -> bool:
    return text.isascii() and text.isdigit() and len(text) <= 16 and int(text) < below
