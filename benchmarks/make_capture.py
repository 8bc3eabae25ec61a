"""Generate a large capture of ordinary office traffic, in constant memory, the same bytes for the same seed.

    python benchmarks/make_capture.py OUT.pcap --gigabytes 1 [--clients 0] [--seed 1]

The mix: TCP conversations of 4 to about 120 packets among some thousand hosts (web over HTTP and TLS, SMB and directory
servers), with sequence numbers that go on and the protocols' own headers at the beginning of segments; a few refused
and a few unanswered connections; and, with --clients N, a site server that pushes to N clients, every tenth of which
silently drops SMB. About 1.6 million packets a gigabyte.
"""

from __future__ import annotations

import argparse
from pathlib import Path

import numpy as np

RECORD, ETHERNET, IPV4, TCP = 16, 14, 20, 20
HEADERS = RECORD + ETHERNET + IPV4 + TCP
SYN, SYN_ACK, ACK, FIN_ACK, RST_ACK = 0x02, 0x12, 0x10, 0x11, 0x14
SERVERS = 200
BATCH_FLOWS = 6000


def conversations(rng: np.random.Generator, flows: int, first_flow: int) -> dict[str, np.ndarray]:
    """Return one row a packet for a batch of TCP conversations, in order of time."""
    kind = rng.choice(3, flows, p=[0.96, 0.02, 0.02])  # answered, refused, unanswered
    data = np.minimum(rng.geometric(1 / 28, flows) + 1, 400)
    count = np.where(kind == 0, 3 + data + 4, np.where(kind == 1, 2, 3))
    flow = np.repeat(np.arange(flows), count)
    step = np.arange(len(flow)) - np.repeat(np.cumsum(count) - count, count)
    number = first_flow + flow
    last = count[flow] - step
    answered, refused = kind[flow] == 0, kind[flow] == 1
    flags = np.full(len(flow), ACK)
    flags[step == 0] = SYN
    flags[answered & (step == 1)] = SYN_ACK
    flags[answered & ((last == 4) | (last == 2))] = FIN_ACK
    flags[refused & (step == 1)] = RST_ACK
    flags[~answered & ~refused] = SYN
    is_data = answered & (step >= 3) & (last > 4)
    reply = (answered & (step == 1)) | (refused & (step == 1)) | (is_data & (rng.random(len(flow)) < 0.6))
    reply |= answered & ((last == 3) | (last == 2))
    length = np.where(is_data, np.where(rng.random(len(flow)) < 0.42, 1460, rng.integers(20, 300, len(flow))), 0)
    start = rng.random(flows) * 60
    gap = np.where((kind == 2)[flow], np.where(step == 1, 1.0, 2.0), rng.exponential(0.01, len(flow)))
    gap[step == 0] = 0
    time = np.cumsum(gap)
    time -= np.repeat(time[np.cumsum(count) - count], count)
    time += start[flow]
    order = np.argsort(time, kind="stable")
    sequence, acknowledged = numbers(flow, flags, reply, length, (number * 2654435761) % (1 << 32))
    rows = {
        "time": time,
        "flags": flags,
        "reply": reply,
        "length": length,
        "acknowledged": acknowledged,
        "client": number % 60000,
        "server": rng.integers(0, SERVERS, flows)[flow],
        "client_port": 1024 + (number // 7) % 64000,
        "server_port": rng.choice([80, 443, 445, 389, 88, 8080], flows)[flow],
        "sequence": sequence,
    }
    return {name: column[order] for name, column in rows.items()}


def numbers(
    flow: np.ndarray, flags: np.ndarray, reply: np.ndarray, length: np.ndarray, begin: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """Return sequence and acknowledgement numbers of packets that are sorted by flow and turn."""
    takes = length + np.isin(flags, (SYN, SYN_ACK, FIN_ACK))
    sent = []
    for side in (False, True):
        total = np.cumsum(np.where(reply == side, takes, 0))
        before = total - np.where(reply == side, takes, 0)
        first = np.flatnonzero(np.diff(flow, prepend=-1))
        sent.append(before - np.repeat(before[first], np.diff(np.append(first, len(flow)))))
    own, other = np.where(reply, sent[1], sent[0]), np.where(reply, sent[0], sent[1])
    silent = ~np.isin(flags, (SYN_ACK, ACK, FIN_ACK, RST_ACK))
    return (begin + own) % (1 << 32), np.where(silent, 0, (begin + other) % (1 << 32))


BEGINNINGS = {  # of a segment's payload, by server port: request, reply
    80: (
        b"GET /CCM_Client/ccmsetup.cab HTTP/1.1\r\nHost: mp\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\nabcd",
    ),
    8080: (b"GET /index.html HTTP/1.1\r\nHost: web\r\n\r\n", b"HTTP/1.1 304 Not Modified\r\nETag: 1\r\n\r\n"),
    443: (b"\x17\x03\x03\x00\x40", b"\x17\x03\x03\x05\xa0"),
    445: (
        b"\0\0\0\x60\xfeSMB\x40\0\1\0\0\0\0\0\x08\0\1\0\0\0\0\0",
        b"\0\0\0\x60\xfeSMB\x40\0\1\0\0\0\0\0\x08\0\1\0\1\0\0\0",
    ),
}


def put_beginnings(out: np.ndarray, payload_at: np.ndarray, rows: dict[str, np.ndarray]) -> None:
    """Write what the protocols begin with into the payloads that are long enough for it."""
    for port, sides in BEGINNINGS.items():
        for reply, text in enumerate(sides):
            which = (rows["server_port"] == port) & (rows["reply"] == bool(reply)) & (rows["length"] >= len(text))
            out[payload_at[which][:, None] + np.arange(len(text))] = np.frombuffer(text, np.uint8)


def big_endian(values: np.ndarray, size: int) -> np.ndarray:
    """Return the values as rows of big-endian bytes."""
    return values.astype(">u8").view(np.uint8).reshape(-1, 8)[:, 8 - size :]


def encode(rows: dict[str, np.ndarray], base_time: float) -> np.ndarray:
    """Return the packets as the bytes of pcap records (Ethernet, IPv4, TCP)."""
    n = len(rows["time"])
    head = np.zeros((n, HEADERS), np.uint8)
    size = rows["length"] + ETHERNET + IPV4 + TCP
    seconds = rows["time"] + base_time
    stamp = np.stack(
        [seconds.astype("<u4"), ((seconds % 1) * 1e6).astype("<u4"), size.astype("<u4"), size.astype("<u4")], 1
    )
    head[:, :16] = stamp.astype("<u4").view(np.uint8)
    head[:, 28:30] = (0x08, 0x00)
    head[:, 30] = 0x45
    head[:, 32:34] = big_endian(rows["length"] + IPV4 + TCP, 2)
    head[:, 34:36] = big_endian(np.arange(n) % 65536, 2)
    head[:, 38], head[:, 39] = 64, 6
    client = big_endian(0x0A000000 + 2 + rows["client"], 4)
    server = big_endian(0x0AC80000 + rows["server"], 4)
    reply = rows["reply"][:, None]
    head[:, 42:46], head[:, 46:50] = np.where(reply, server, client), np.where(reply, client, server)
    client_port, server_port = big_endian(rows["client_port"], 2), big_endian(rows["server_port"], 2)
    head[:, 50:52], head[:, 52:54] = (
        np.where(reply, server_port, client_port),
        np.where(reply, client_port, server_port),
    )
    head[:, 54:58] = big_endian(rows["sequence"], 4)
    head[:, 58:62] = big_endian(rows["acknowledged"], 4)
    head[:, 62], head[:, 63] = 0x50, rows["flags"]
    head[:, 64:66] = 0xFF
    total = RECORD + size
    offset = np.cumsum(total) - total
    out = np.full(int(total.sum()), 0x5A, np.uint8)
    out[offset[:, None] + np.arange(HEADERS)] = head
    put_beginnings(out, offset + HEADERS, rows)
    return out


def pushes(rng: np.random.Generator, clients: int) -> dict[str, np.ndarray]:
    """Return a site server's pushes: SMB, the endpoint mapper and a dynamic port; every tenth client drops SMB."""
    parts = []
    for port in (445, 135, 49700):
        number = np.arange(clients)
        dropped = (number % 10 == 0) & (port == 445)
        count = np.where(dropped, 3, 9)
        flow = np.repeat(number, count)
        step = np.arange(len(flow)) - np.repeat(np.cumsum(count) - count, count)
        silent = dropped[flow]
        flags = np.where(silent, SYN, np.array([SYN, SYN_ACK, ACK, ACK, ACK, FIN_ACK, ACK, FIN_ACK, ACK])[step % 9])
        reply = ~silent & np.isin(step, [1, 4, 6, 7])
        parts.append(
            {
                "time": rng.random(clients)[flow] * 40 + np.where(silent, step * (step + 1) / 2, step * 0.01),
                "flags": flags,
                "reply": reply,
                "length": np.where(~silent & np.isin(step, [3, 4]), 200, 0),
                "client": np.full(len(flow), 65000),
                "server": 0x10000 + flow,
                "client_port": 50000 + flow % 15000,
                "server_port": np.full(len(flow), port),
                "sequence": (flow * 40503 + port) % (1 << 32),
                "acknowledged": np.where(flags == SYN, 0, (flow * 40503 + port + 1) % (1 << 32)),
            }
        )
    rows = {name: np.concatenate([part[name] for part in parts]) for name in parts[0]}
    order = np.argsort(rows["time"], kind="stable")
    return {name: column[order] for name, column in rows.items()}


def write(path: Path, gigabytes: float, clients: int, seed: int) -> int:
    """Write the capture and return how many packets it holds."""
    rng = np.random.default_rng(seed)
    packets = flows = written = 0
    with path.open("wb") as out:
        header = [0xA1B2C3D4, 0x00040002, 0, 0, 262144, 1]
        out.write(np.array(header, "<u4").tobytes())
        if clients:
            rows = pushes(rng, clients)
            packets += len(rows["time"])
            written += out.write(encode(rows, 1_700_000_000).tobytes())
        while written < gigabytes * 1e9:
            rows = conversations(rng, BATCH_FLOWS, flows)
            flows += BATCH_FLOWS
            written += out.write(encode(rows, 1_700_000_100 + flows / 100).tobytes())
            packets += len(rows["time"])
    return packets


def main() -> None:
    """Run as a command."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("out", type=Path)
    parser.add_argument("--gigabytes", type=float, default=1.0)
    parser.add_argument("--clients", type=int, default=0)
    parser.add_argument("--seed", type=int, default=1)
    given = parser.parse_args()
    packets = write(given.out, given.gigabytes, given.clients, given.seed)
    print(f"{given.out}: {packets:,} packets, {given.out.stat().st_size / 1e9:.2f} GB")


if __name__ == "__main__":
    main()
