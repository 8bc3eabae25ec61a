"""A client push in its steps: echo, file copy, remote procedure call, then the client's own installer."""

from __future__ import annotations

import subprocess
from collections.abc import Callable, Mapping, Sequence
from enum import Enum
from pathlib import Path
from types import MappingProxyType

from certificates import certificate_path
from hosts import PASSWORD, USER, WORKGROUP, write_samba_configuration
from network import CLIENT, DOMAIN, MANAGEMENT_POINT, SITE_SERVER, Network

INSTALLER = b"MZ" + b"a dummy installer of the lab, not a program\n" * 90
CONFIGURATION = b"[Client Install]\nInstall=INSTALL=ALL\nSMSSITECODE=LAB\n"
HTTP = f"http://{MANAGEMENT_POINT.hostname}.{DOMAIN}"
HTTPS = f"https://{MANAGEMENT_POINT.hostname}.{DOMAIN}"
HTTP_8080 = f"{HTTP}:8080"
TARGET = f"{CLIENT.hostname}.{DOMAIN}"

DEBIAN_PYTHON = "/usr/bin/python3"  # the one that has Samba's own Python modules
SERVICE_CONTROL = str(Path(__file__).with_name("service_control.py"))

Failed = tuple[str, ...]
Step = Callable[[Network], bool]
NO_STEPS: Mapping[str, Step] = MappingProxyType({})


class Trust(Enum):
    """Which certificate of a management point the client accepts."""

    ANY = "every one"
    PUBLIC = "of a public authority"
    OURS = "the management point's own"


def push(
    network: Network,
    password: str = PASSWORD,
    urls: Sequence[str] = (HTTP,),
    trust: Trust = Trust.ANY,
    more: Mapping[str, Step] = NO_STEPS,
) -> Failed:
    """Push the client; ccmsetup runs on it only if everything before succeeded. Names the steps that failed.

    `more` are steps that the site server takes after the usual ones.
    """
    steps = {
        "echo": send_echo(network),
        "file copy": copy_files(network, password),
        "remote call": call_remotely(network, password),
    }
    steps |= {name: step(network) for name, step in more.items()}
    if all(steps.values()):
        steps["installer"] = any(run_installer(network, url, trust=trust) for url in urls)
    return tuple(name for name, succeeded in steps.items() if not succeeded)


def send_echo(network: Network) -> bool:
    """Ping the client twice, as the site server does to see whether it is there."""
    return network.try_run(SITE_SERVER, "ping", "-n", "-c", "2", "-i", "0.3", "-W", "1", TARGET)


def file_copy(network: Network, password: str, user: str = USER) -> list[str]:
    """The command that puts installer and configuration into the client's administrative share."""
    directory = network.directory / "site-server"
    options = _samba_options(network, password, user)
    (directory / "ccmsetup.exe").write_bytes(INSTALLER)
    (directory / "MobileClient.tcf").write_bytes(CONFIGURATION)
    commands = f"lcd {directory}; mkdir ccmsetup; cd ccmsetup; put ccmsetup.exe; put MobileClient.tcf"
    return ["smbclient", f"//{TARGET}/ADMIN$", "-p", "445", *options, "-c", commands]


def copy_files(network: Network, password: str = PASSWORD, user: str = USER) -> bool:
    """Copy ccmsetup.exe and MobileClient.tcf to ADMIN$; tell whether it worked."""
    return network.try_run(SITE_SERVER, *file_copy(network, password, user))


def call_remotely(network: Network, password: str = PASSWORD) -> bool:
    """Ask the endpoint mapper for a service's dynamic port and call that service."""
    options = _samba_options(network, password)
    return network.try_run(SITE_SERVER, "rpcclient", *options, f"ncacn_ip_tcp:{TARGET}[sign]", "-c", "enumdomains")


def start_file_copy(network: Network) -> subprocess.Popen[bytes]:
    """Start the file copy and do not wait for it."""
    return network.start(SITE_SERVER, *file_copy(network, PASSWORD))


def read_registry(network: Network) -> bool:
    """Read the client's registry through the pipe of its Remote Registry service, as old site servers do."""
    options = [*_samba_options(network, PASSWORD), "-S", TARGET, "-p", "445"]
    return network.try_run(SITE_SERVER, "net", "rpc", "registry", "enumerate", "HKLM", *options)


def ask_service_controller(network: Network) -> bool:
    """Ask the client's service controller over TCP and, if that fails, through its pipe, as Windows does."""
    options = _samba_options(network, PASSWORD)
    return network.try_run(SITE_SERVER, DEBIAN_PYTHON, "-I", SERVICE_CONTROL, TARGET, *options)


def create_service(network: Network) -> bool:
    """Open the client's service controller with the right to create a service, as a push does after its file copy."""
    options = _samba_options(network, PASSWORD)
    return network.try_run(SITE_SERVER, DEBIAN_PYTHON, "-I", SERVICE_CONTROL, "--create", TARGET, *options)


def run_installer(network: Network, url: str, *, trust: Trust = Trust.ANY) -> bool:
    """Do on the client what ccmsetup does first: fetch the cabinet file, then send a request.

    TLS 1.2 at the most: it shows in clear why a certificate was not accepted.
    """
    checks = {Trust.ANY: ["-k"], Trust.PUBLIC: [], Trust.OURS: ["--cacert", str(certificate_path(network))]}
    curl = ["curl", "-sSf", "--max-time", "20", "--tls-max", "1.2", "-o", "/dev/null", *checks[trust]]
    request = ["-X", "CCM_POST", "--data", "<ClientRegistrationRequest/>"]
    fetched = network.try_run(CLIENT, *curl, "-A", "ccmsetup", f"{url}/CCM_Client/ccmsetup.cab")
    answered = network.try_run(CLIENT, *curl, "-A", "ccmhttp", *request, f"{url}/ccm_system/request")
    return fetched and answered


def _samba_options(network: Network, password: str, user: str = USER) -> list[str]:
    directory = network.directory / "site-server"
    configuration = write_samba_configuration(directory, SITE_SERVER)
    return ["-s", str(configuration), "--use-kerberos=off", "-U", f"{WORKGROUP}/{user}%{password}"]
