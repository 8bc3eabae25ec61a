"""The programs that listen: Samba as the client's file sharing and RPC, web servers as management point and proxy."""

from __future__ import annotations

import subprocess
import sys
import time
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from certificates import EXPIRED, make_certificate
from network import CLIENT, MANAGEMENT_POINT, ROUTER, Host, LabError, Network

WORKGROUP = "CONTOSO"
USER = "svc-push"
OTHER_USER = "svc-push2"
ADMINISTRATOR, NO_ADMINISTRATOR = "root", "daemon"  # Unix users whose rights the accounts have on the client
PASSWORD = "Lab-Passw0rd"  # of an account that exists in the lab only
SAMBA_PROGRAMS = ("smbd", "/usr/libexec/samba/samba-dcerpcd")
RPC_PROGRAMS = Path("/usr/libexec/samba")
DYNAMIC_PORTS = range(49152, 65536)
PROXY_PORT = 3128
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
ADMIN_SHARE_FOR_ALL = ADMIN_SHARE + f"  force user = {ADMINISTRATOR}\n"
ADMIN_SHARE_FOR_OTHERS = ADMIN_SHARE + "  valid users = nobody\n"
NO_ADMIN_SHARE = ""

# Samba's service controller is reachable through its pipe only. Let samba-dcerpcd register a TCP port for it too, as
# Windows does: it asks each of its programs for the interfaces and their endpoints, and believes the answer. (The
# program itself refuses the interface there, so this is of use only where the port is blocked.)
SERVICE_CONTROLLER_OVER_TCP = """\
#!/bin/sh
case "$*" in
  *--list-interfaces*) "{program}" "$@" | sed '/ svcctl$/a\\ ncacn_ip_tcp:[{port}]' ;;
  *) exec "{program}" "$@" ;;
esac
"""


@dataclass(frozen=True)
class Services:
    """The programs that run: the client's share and RPC, and the management point's ports."""

    share: str | None = ADMIN_SHARE
    account: str = ADMINISTRATOR  # the Unix user that the push accounts are
    rpc_without: str = ""  # the RPC program that does not run
    service_port: int | None = None  # where the service controller listens, besides its pipe
    http: int | None = 80
    https: int | None = None
    status: int = 200
    client_certificate: bool = False  # the management point asks for one
    expired: bool = False  # the management point's own certificate
    proxy: bool = False  # the router's, for HTTP to the management point


USUAL_SERVICES = Services()


def write_samba_configuration(
    directory: Path, host: Host, share: str = NO_ADMIN_SHARE, account: str = ADMINISTRATOR
) -> Path:
    """Write a smb.conf that keeps all of Samba's state below `directory`."""
    for name in ("private", "lock", "state", "cache", "pid", "ncalrpc", "windows"):
        (directory / name).mkdir(parents=True, exist_ok=True)
    (directory / "users.map").write_text(f"!{account} = {USER} {OTHER_USER}\n")
    values = {"hostname": host.hostname.upper(), "workgroup": WORKGROUP, "directory": directory}
    text = SMB_CONF.format(first=DYNAMIC_PORTS[0], last=DYNAMIC_PORTS[-1], **values)
    path = directory / "smb.conf"
    path.write_text(text + share.format(**values))
    return path


def client_configuration(network: Network) -> Path:
    """Return the path of the client's smb.conf."""
    return network.directory / "samba" / "smb.conf"


def start_client(network: Network, services: Services) -> None:
    """Start smbd on 445 (not if there is no `share`) and the RPC services; return when they answer."""
    configuration = str(client_configuration(network))
    share = services.share or NO_ADMIN_SHARE
    write_samba_configuration(Path(configuration).parent, CLIENT, share, services.account)
    _add_samba_user(network, configuration, services.account)
    smbd, rpc_services = SAMBA_PROGRAMS
    quiet = ["-F", "--no-process-group", "-s", configuration]
    if services.share is not None:
        network.start(CLIENT, smbd, *quiet)
        _wait_for_ports(network, CLIENT, [445])
    network.start(CLIENT, rpc_services, *quiet, *_rpc_programs(network.directory, services))
    _wait_for_ports(network, CLIENT, [135])
    _wait_for_rpc(network, configuration, "srvinfo" if services.rpc_without == "rpcd_lsad" else "enumdomains")


def start_management_point(network: Network, services: Services) -> None:
    """Start the management point's web server on its ports, and the proxy before it if there is one."""
    program = str(Path(__file__).with_name("management_point.py"))
    options = ["--status", str(services.status)]
    if services.http is not None:
        options += ["--http", str(services.http)]
    if services.https is not None:
        certificate = make_certificate(network, EXPIRED if services.expired else ())
        options += ["--https", str(services.https), "--certificate", str(certificate)]
    if services.client_certificate:
        options += ["--client-certificate"]
    network.start(MANAGEMENT_POINT, sys.executable, "-I", program, *options)
    _wait_for_ports(network, MANAGEMENT_POINT, filter(None, (services.http, services.https)))
    if services.proxy:
        _start_proxy(network)


def _start_proxy(network: Network) -> None:
    """Let a proxy on the router take what the client sends to TCP 80."""
    program = str(Path(__file__).with_name("proxy.py"))
    network.start(ROUTER, sys.executable, "-I", program, "--port", str(PROXY_PORT))
    _wait_for_ports(network, ROUTER, [PROXY_PORT])
    redirect = f"iifname {CLIENT.router_interface} tcp dport 80 redirect to :{PROXY_PORT}"
    network.set_rules(ROUTER, "prerouting", [redirect], kind="nat")


def _rpc_programs(directory: Path, services: Services) -> list[str]:
    """Name the programs that serve the RPC interfaces: Samba's own, as far as the scene has them."""
    programs = {path.name: path for path in sorted(RPC_PROGRAMS.glob("rpcd_*")) if path.name != services.rpc_without}
    if services.service_port is not None:
        original, changed = programs["rpcd_classic"], directory / "rpcd_classic"
        changed.write_text(SERVICE_CONTROLLER_OVER_TCP.format(program=original, port=services.service_port))
        changed.chmod(0o755)
        programs["rpcd_classic"] = changed
    return [str(program) for program in programs.values()]


def _add_samba_user(network: Network, configuration: str, account: str) -> None:
    """Give the mapped accounts their password (the name map makes them this Unix user of the lab's own)."""
    add = network.argv(CLIENT, ["smbpasswd", "-c", configuration, "-s", "-a", account])
    done = subprocess.run(add, input=f"{PASSWORD}\n" * 2, capture_output=True, text=True, timeout=30, check=False)
    if done.returncode != 0:
        raise LabError(f"smbpasswd: {done.stderr.strip()}")


def _wait_for_ports(network: Network, host: Host, ports: Iterable[int]) -> None:
    wanted = {str(port) for port in ports}
    deadline = time.monotonic() + READY_SECONDS
    while time.monotonic() < deadline:
        lines = network.run(host, "ss", "-Hltn").splitlines()
        if wanted <= {line.split()[3].rpartition(":")[2] for line in lines}:
            return
        time.sleep(0.1)
    raise LabError(f"{host.role}: nothing listens on {', '.join(sorted(wanted))} after {READY_SECONDS} s")


def _wait_for_rpc(network: Network, configuration: str, question: str) -> None:
    """Ask the RPC services over the client's own loopback until they answer (before any capture starts)."""
    deadline = time.monotonic() + READY_SECONDS
    login = ["-s", configuration, "-U", f"{WORKGROUP}/{USER}%{PASSWORD}"]
    while time.monotonic() < deadline:
        if network.try_run(CLIENT, "rpcclient", *login, "ncacn_ip_tcp:127.0.0.1[sign]", "-c", question):
            return
        time.sleep(0.2)
    raise LabError(f"client: the RPC services do not answer after {READY_SECONDS} s")
