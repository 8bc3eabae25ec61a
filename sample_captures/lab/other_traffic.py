"""Traffic that has nothing to do with a push: names asked for and answered, pages fetched."""

from __future__ import annotations

import argparse
import http.client
import socket
import struct
import time

NAMES = ("www", "files", "intranet", "update", "mail")
DOMAIN = "contoso.example"
NAME_SERVICE = 53


def question(number: int, name: str) -> bytes:
    """Encode a DNS question for the IPv4 address of a name (RFC 1035, section 4.1)."""
    labels = b"".join(bytes([len(label)]) + label.encode() for label in name.split("."))
    return struct.pack("!6H", number, 0x0100, 1, 0, 0, 0) + labels + b"\0" + struct.pack("!2H", 1, 1)


def answer(asked: bytes) -> bytes:
    """Answer a DNS question: every name has the same address of a documentation network."""
    number = asked[:2]
    record = struct.pack("!3HIH", 0xC00C, 1, 1, 60, 4) + socket.inet_aton("192.0.2.10")
    return number + struct.pack("!5H", 0x8580, 1, 1, 0, 0) + asked[12:] + record


def serve() -> None:
    """Answer DNS questions until the lab ends this program."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as server:
        server.bind(("", NAME_SERVICE))
        while True:
            asked, asker = server.recvfrom(512)
            server.sendto(answer(asked), asker)


def ask(host: str, rounds: int) -> None:
    """Ask `host` for a name and fetch a page from it, some five times a second."""
    for number in range(rounds):
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as asker:
            asker.settimeout(2)
            asker.sendto(question(number + 1, f"{NAMES[number % len(NAMES)]}.{DOMAIN}"), (host, NAME_SERVICE))
            asker.recvfrom(512)
        connection = http.client.HTTPConnection(host, timeout=2)
        connection.request("GET", f"/news/{number}.html", headers={"User-Agent": "browser"})
        connection.getresponse().read()
        connection.close()
        time.sleep(0.2)


def main() -> None:
    """Ask for names and pages until told to stop."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--ask")
    parser.add_argument("--rounds", type=int, default=10)
    options = parser.parse_args()
    if options.ask:
        ask(options.ask, options.rounds)
    else:
        serve()


if __name__ == "__main__":
    main()
