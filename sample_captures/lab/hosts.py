"""The programs that listen: Samba as the client's file sharing and RPC, a web server as management point."""

from __future__ import annotations

import subprocess
import sys
import time
from collections.abc import Iterable
from pathlib import Path

from network import CLIENT, DOMAIN, MANAGEMENT_POINT, Host, LabError, Network

WORKGROUP = "CONTOSO"
USER = "svc-push"
PASSWORD = "Lab-Passw0rd"  # of an account that exists in the lab only
SAMBA_PROGRAMS = ("smbd", "/usr/libexec/samba/samba-dcerpcd")
DYNAMIC_PORTS = range(49152, 65536)
READY_SECONDS = 20

SMB_CONF = """\
[global]
  netbios name = {hostname}
  workgroup = {workgroup}
  server role = standalone server
  disable netbios = yes
  smb ports = 445
  name resolve order = host
  hostname lookups = no
  load printers = no
  disable spoolss = yes
  printcap name = /dev/null
  rpc start on demand helpers = false
  rpc server dynamic port range = {first}-{last}
  username map = {directory}/users.map
  passdb backend = tdbsam:{directory}/passdb.tdb
  private dir = {directory}/private
  lock directory = {directory}/lock
  state directory = {directory}/state
  cache directory = {directory}/cache
  pid directory = {directory}/pid
  ncalrpc dir = {directory}/ncalrpc
  log file = {directory}/%m.log
  max log size = 0
"""
ADMIN_SHARE = "[ADMIN$]\n  path = {directory}/windows\n  read only = no\n"
ADMIN_SHARE_FOR_OTHERS = ADMIN_SHARE + "  valid users = nobody\n"
NO_ADMIN_SHARE = ""


def write_samba_configuration(directory: Path, host: Host, share: str = NO_ADMIN_SHARE) -> Path:
    """Write a smb.conf that keeps all of Samba's state below `directory`."""
    for name in ("private", "lock", "state", "cache", "pid", "ncalrpc", "windows"):
        (directory / name).mkdir(parents=True, exist_ok=True)
    (directory / "users.map").write_text(f"!root = {USER}\n")
    values = {"hostname": host.hostname.upper(), "workgroup": WORKGROUP, "directory": directory}
    text = SMB_CONF.format(first=DYNAMIC_PORTS[0], last=DYNAMIC_PORTS[-1], **values)
    path = directory / "smb.conf"
    path.write_text(text + share.format(**values))
    return path


def start_client(network: Network, share: str | None) -> None:
    """Start smbd on 445 (not if `share` is None) and the RPC services; return when they answer."""
    directory = network.directory / "samba"
    configuration = str(write_samba_configuration(directory, CLIENT, share or NO_ADMIN_SHARE))
    _add_samba_user(network, configuration)
    smbd, rpc_services = SAMBA_PROGRAMS
    quiet = ["-F", "--no-process-group", "-s", configuration]
    if share is not None:
        network.start(CLIENT, smbd, *quiet)
        _wait_for_ports(network, CLIENT, [445])
    network.start(CLIENT, rpc_services, *quiet, "--libexec-rpcds")
    _wait_for_ports(network, CLIENT, [135])
    _wait_for_rpc(network, configuration)


def start_management_point(network: Network, http: int | None, https: int | None, status: int) -> None:
    """Start the management point's web server on the ports given; `status` is its answer to everything."""
    program = str(Path(__file__).with_name("management_point.py"))
    options = ["--status", str(status)]
    if http is not None:
        options += ["--http", str(http)]
    if https is not None:
        options += ["--https", str(https), "--certificate", str(_make_certificate(network.directory))]
    network.start(MANAGEMENT_POINT, sys.executable, "-I", program, *options)
    _wait_for_ports(network, MANAGEMENT_POINT, [port for port in (http, https) if port is not None])


def _add_samba_user(network: Network, configuration: str) -> None:
    """Give the mapped account its password (the name map makes `svc-push` the lab's own root)."""
    add = network.argv(CLIENT, ["smbpasswd", "-c", configuration, "-s", "-a", "root"])
    done = subprocess.run(add, input=f"{PASSWORD}\n" * 2, capture_output=True, text=True, timeout=30, check=False)
    if done.returncode != 0:
        raise LabError(f"smbpasswd: {done.stderr.strip()}")


def _make_certificate(directory: Path) -> Path:
    """Make a self-signed certificate and its key, in one file."""
    path = directory / "management-point.pem"
    subject = f"/CN={MANAGEMENT_POINT.hostname}.{DOMAIN}"
    make = ["openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "3650", "-subj", subject]
    subprocess.run([*make, "-keyout", path, "-out", directory / "certificate.pem"], capture_output=True, check=True)
    with path.open("a") as file:
        file.write((directory / "certificate.pem").read_text())
    return path


def _wait_for_ports(network: Network, host: Host, ports: Iterable[int]) -> None:
    wanted = {str(port) for port in ports}
    deadline = time.monotonic() + READY_SECONDS
    while time.monotonic() < deadline:
        lines = network.run(host, "ss", "-Hltn").splitlines()
        if wanted <= {line.split()[3].rpartition(":")[2] for line in lines}:
            return
        time.sleep(0.1)
    raise LabError(f"{host.role}: nothing listens on {', '.join(sorted(wanted))} after {READY_SECONDS} s")


def _wait_for_rpc(network: Network, configuration: str) -> None:
    """Ask the RPC services over the client's own loopback until they answer (before any capture starts)."""
    deadline = time.monotonic() + READY_SECONDS
    login = ["-s", configuration, "-U", f"{WORKGROUP}/{USER}%{PASSWORD}"]
    while time.monotonic() < deadline:
        if network.try_run(CLIENT, "rpcclient", *login, "ncacn_ip_tcp:127.0.0.1[sign]", "-c", "enumdomains"):
            return
        time.sleep(0.2)
    raise LabError(f"client: the RPC services do not answer after {READY_SECONDS} s")
