"""What happens in a scene when it is more, or less, than one plain push."""

from __future__ import annotations

import sys
import time
from pathlib import Path

from hosts import OTHER_USER, client_configuration
from network import CLIENT, DOMAIN, MANAGEMENT_POINT, OTHER_HOST, ROUTER, Network
from push import Failed, copy_files, push, send_echo, start_file_copy

OTHER_TRAFFIC = str(Path(__file__).with_name("other_traffic.py"))
WRONG_PASSWORD = "Wrong-Passw0rd"
ROUNDS = 15


def push_to_client_switched_off(network: Network) -> Failed:
    """Push while the router still knows the absent client's hardware address, so that it forwards and stays silent."""
    entry = [CLIENT.ipv4, "lladdr", CLIENT.mac(1), "dev", CLIENT.router_interface, "nud", "permanent"]
    network.run(ROUTER, "ip", "neighbour", "add", *entry)
    return push(network)


def push_after_echo_to_management_point(network: Network) -> Failed:
    """Let the administrator ping the management point from the client, then push."""
    target = f"{MANAGEMENT_POINT.hostname}.{DOMAIN}"
    echoed = network.try_run(CLIENT, "ping", "-n", "-c", "2", "-i", "0.3", "-W", "1", target)
    return push(network) if echoed else ("echo to management point",)


def push_again_without_rules(network: Network) -> Failed:
    """Push in vain, take the client's firewall rules away, push again."""
    if push(network) != ("file copy",):
        return ("first push",)
    network.set_rules(CLIENT, "input", ())
    return push(network)


def push_with_disabled_account(network: Network) -> Failed:
    """Disable the push account on the client, then push with it."""
    network.run(CLIENT, "smbpasswd", "-c", str(client_configuration(network)), "-d", "root")
    return push(network)


def push_after_wrong_password(network: Network) -> Failed:
    """Try the file copy with a first account and its wrong password, then push with the second account."""
    return ("wrong password",) if copy_files(network, WRONG_PASSWORD, OTHER_USER) else push(network)


def begin_only(network: Network) -> Failed:
    """Ping, send the first SYN of the file copy, and leave it at that."""
    failed: Failed = () if send_echo(network) else ("echo",)
    start_file_copy(network)
    time.sleep(0.3)
    return failed


def other_traffic(network: Network) -> Failed:
    """Let another host ask the management point for names and pages."""
    network.start(MANAGEMENT_POINT, sys.executable, "-I", OTHER_TRAFFIC)
    time.sleep(0.5)
    ask = ["--ask", MANAGEMENT_POINT.ipv4, "--rounds", str(ROUNDS)]
    return () if network.try_run(OTHER_HOST, sys.executable, "-I", OTHER_TRAFFIC, *ask) else ("other traffic",)


def push_in_other_traffic(network: Network) -> Failed:
    """Push while another host and the management point talk to each other."""
    network.start(MANAGEMENT_POINT, sys.executable, "-I", OTHER_TRAFFIC)
    time.sleep(0.5)
    network.start(OTHER_HOST, sys.executable, "-I", OTHER_TRAFFIC, "--ask", MANAGEMENT_POINT.ipv4, "--rounds", "25")
    return push(network)
