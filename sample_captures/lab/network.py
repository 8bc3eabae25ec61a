"""The lab's network: hosts as network namespaces around one router, firewall rules, and a clean end."""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

DOMAIN = "contoso.example"
PREFIX = f"auditor-lab-{os.getpid()}-"
STEP_SECONDS = 40

SYSCTLS = (
    "net.ipv4.tcp_syn_retries=2",  # SYNs at 0, 1 and 3 s, the end at 7 s
    "net.ipv4.ip_local_port_range=49152 65535",  # source ports as Windows chooses them
    "net.ipv4.icmp_ratelimit=0",
    "net.ipv6.icmp.ratelimit=0",
    "net.ipv6.conf.all.accept_dad=0",
    "net.ipv6.conf.default.accept_dad=0",
    "net.ipv6.conf.default.accept_ra=0",
    "net.ipv6.conf.default.router_solicitations=0",
)
NEWER_SYSCTLS = ("net.ipv4.tcp_syn_linear_timeouts=0",)  # Linux 6.5 and later: keep the classic doubling
OFFLOADS = ("tx", "off", "rx", "off", "sg", "off", "tso", "off", "gso", "off", "gro", "off")

# Give the program a host name and a name table of its own; `ip netns exec` has already given it private mounts.
AS_HOST = """
hostname "$1"
mount --bind "$2/hosts" /etc/hosts
mount --bind "$2/nsswitch.conf" /etc/nsswitch.conf
shift 2
exec "$@"
"""


class LabError(Exception):
    """A step of the lab itself failed: nothing was proven about the network."""


@dataclass(frozen=True)
class Host:
    """One machine of the lab, on a subnet of its own behind the router."""

    role: str
    hostname: str
    subnet: int
    number: int

    @property
    def ipv4(self) -> str:
        """The host's IPv4 address."""
        return f"10.20.{self.subnet}.{self.number}"

    @property
    def ipv6(self) -> str:
        """The host's IPv6 address."""
        return f"fd20:{self.subnet}::{self.number}"

    @property
    def namespace(self) -> str:
        """The name of the host's network namespace."""
        return PREFIX + self.role

    @property
    def router_interface(self) -> str:
        """The router's interface to this host."""
        return f"to-{self.hostname}"

    def mac(self, side: int) -> str:
        """Return the hardware address of one side of the link: made up, and the same in every run."""
        return f"02:20:{self.subnet:02d}:00:{side:02d}:{self.number:02d}"


ROUTER = Host("router", "router", 0, 1)
SITE_SERVER = Host("site-server", "sitesrv", 1, 5)
CLIENT = Host("client", "client01", 2, 20)
MANAGEMENT_POINT = Host("management-point", "mp01", 3, 80)
OTHER_HOST = Host("other-host", "file01", 4, 30)
LEAVES = (SITE_SERVER, CLIENT, MANAGEMENT_POINT, OTHER_HOST)


@dataclass
class Network:
    """The running lab; `open_network` makes it and ends it."""

    directory: Path
    processes: list[subprocess.Popen[bytes]] = field(default_factory=list)

    def argv(self, host: Host, command: Sequence[str]) -> list[str]:
        """Put in front of a command what makes it run on a host, under that host's name."""
        inside = ["ip", "netns", "exec", host.namespace]
        named = ["unshare", "--uts", "sh", "-ec", AS_HOST, "sh", host.hostname, str(self.directory)]
        return [*inside, *named, *command]

    def try_run(self, host: Host, *command: str) -> bool:
        """Run a program on a host to its end and say whether it succeeded."""
        done = subprocess.run(
            self.argv(host, command),
            stdin=subprocess.DEVNULL,
            capture_output=True,
            timeout=STEP_SECONDS,
            start_new_session=True,
            check=False,
        )
        with (self.directory / "steps.log").open("ab") as log:
            log.write(f"$ {' '.join(command)} -> {done.returncode}\n".encode() + done.stdout + done.stderr)
        return done.returncode == 0

    def run(self, host: Host, *command: str) -> str:
        """Run a program on a host and return what it says; it must succeed."""
        return _output(self.argv(host, command))

    def start(self, host: Host, *command: str) -> subprocess.Popen[bytes]:
        """Start a program on a host, in a session of its own; the end of the lab ends it."""
        log = (self.directory / f"{host.role}-{Path(command[0]).name}.log").open("ab")
        with log:
            process = subprocess.Popen(
                self.argv(host, command),
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                start_new_session=True,
            )
        self.processes.append(process)
        return process

    def set_rules(self, host: Host, hook: str, rules: Sequence[str], kind: str = "filter") -> None:
        """Replace the nftables rules of one kind (filter, nat) at one hook of a host; none lets everything pass."""
        chain = "".join(f"    {rule}\n" for rule in rules)
        table = f"table inet lab-{kind}-{hook}"
        text = (
            f"{table} {{}}\ndelete {table}\n"
            f"{table} {{\n  chain lab {{\n    type {kind} hook {hook} priority 0;\n{chain}  }}\n}}\n"
        )
        _output(["ip", "netns", "exec", host.namespace, "nft", "-f", "-"], text)


@contextlib.contextmanager
def open_network(directory: Path, addresses: Mapping[str, str], absent: Sequence[Host]) -> Iterator[Network]:
    """Build router and hosts, and take all of it down again whatever happens.

    `addresses` is what each role's name resolves to; a host in `absent` has its link but no address.
    """
    _write_name_table(directory, addresses)
    network = Network(directory)
    try:
        for host in (ROUTER, *LEAVES):
            _add_namespace(host)
        for host in LEAVES:
            _connect(host, has_address=host not in absent)
        yield network
    finally:
        _close(network)


def _output(argv: Sequence[str], text: str | None = None) -> str:
    done = subprocess.run(argv, input=text, capture_output=True, text=True, timeout=STEP_SECONDS, check=False)
    if done.returncode != 0:
        raise LabError(f"{' '.join(argv)}: {done.stderr.strip()}")
    return done.stdout


def _ip(*arguments: str) -> None:
    _output(["ip", *arguments])


def _write_name_table(directory: Path, addresses: Mapping[str, str]) -> None:
    lines = ["127.0.0.1 localhost"]
    lines += [f"{addresses[host.role]} {host.hostname}.{DOMAIN} {host.hostname}" for host in LEAVES]
    (directory / "hosts").write_text("\n".join(lines) + "\n")
    (directory / "nsswitch.conf").write_text("passwd: files\ngroup: files\nhosts: files\n")


def _add_namespace(host: Host) -> None:
    _ip("netns", "add", host.namespace)
    inside = ["ip", "netns", "exec", host.namespace]
    _output([*inside, "sysctl", "-qw", *SYSCTLS])
    subprocess.run([*inside, "sysctl", "-qw", *NEWER_SYSCTLS], capture_output=True, check=False)
    if host is ROUTER:
        _output([*inside, "sysctl", "-qw", "net.ipv4.ip_forward=1", "net.ipv6.conf.all.forwarding=1"])
    _ip("-n", host.namespace, "link", "set", "lo", "up")


def _connect(host: Host, *, has_address: bool) -> None:
    """Join a host to the router by a cable of its own."""
    ours, theirs = (host.namespace, "eth0"), (ROUTER.namespace, host.router_interface)
    cable = ["link", "add", ours[1], "address", host.mac(1), "netns", ours[0], "type", "veth"]
    _ip(*cable, "peer", "name", theirs[1], "address", host.mac(2), "netns", theirs[0])
    for namespace, interface in (ours, theirs):
        _output(["ip", "netns", "exec", namespace, "ethtool", "-K", interface, *OFFLOADS])
        _ip("-n", namespace, "link", "set", interface, "up")
    gateway4, gateway6 = f"10.20.{host.subnet}.1", f"fd20:{host.subnet}::1"
    _give_address(theirs, gateway4, gateway6)
    if has_address:
        _give_address(ours, host.ipv4, host.ipv6)
        _ip("-n", host.namespace, "route", "add", "default", "via", gateway4)
        _ip("-n", host.namespace, "-6", "route", "add", "default", "via", gateway6)


def _give_address(end: tuple[str, str], ipv4: str, ipv6: str) -> None:
    namespace, interface = end
    _ip("-n", namespace, "address", "add", f"{ipv4}/24", "dev", interface)
    _ip("-n", namespace, "address", "add", f"{ipv6}/64", "dev", interface, "nodad")


def _close(network: Network) -> None:
    for process in reversed(network.processes):
        stop(process)
    for host in (ROUTER, *LEAVES):
        _end_processes(host.namespace)
        subprocess.run(["ip", "netns", "delete", host.namespace], capture_output=True, check=False)


def stop(process: subprocess.Popen[bytes], number: signal.Signals = signal.SIGTERM) -> None:
    """Ask one of our programs to end, wait, and insist after five seconds."""
    if process.poll() is None:
        process.send_signal(number)
    try:
        process.wait(5)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()


def _end_processes(namespace: str) -> None:
    """End what is still running in a namespace of ours (the children of the Samba programs)."""
    listed = subprocess.run(["ip", "netns", "pids", namespace], capture_output=True, text=True, check=False)
    for pid in listed.stdout.split():
        with contextlib.suppress(ProcessLookupError):
            os.kill(int(pid), signal.SIGKILL)
