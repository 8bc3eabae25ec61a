"""Make the sample captures: python3 sample_captures/lab/make.py --list | all | SCENE... (as root)."""

from __future__ import annotations

import argparse
import os
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path

from captures import end_captures, start_captures, store
from firewall_log import AT_FIREWALL, write_log
from hosts import SAMBA_PROGRAMS, start_client, start_management_point
from network import CLIENT, ROUTER, LabError, open_network
from push import DEBIAN_PYTHON
from scenes import SCENES, Scene
from truth import addresses, capture_names, log_names, truth_text

DESTINATION = Path(__file__).resolve().parent.parent
DEBIAN_PACKAGES = {
    "ip": "iproute2",
    "ss": "iproute2",
    "nft": "nftables",
    "sysctl": "procps",
    "unshare": "util-linux",
    "ethtool": "ethtool",
    "tcpdump": "tcpdump",
    "editcap": "wireshark-common",
    "tshark": "tshark",
    "ping": "iputils-ping",
    "curl": "curl",
    "openssl": "openssl",
    "smbclient": "smbclient",
    "rpcclient": "smbclient",
    "smbpasswd": "samba-common-bin",
    "net": "samba-common-bin",
    DEBIAN_PYTHON: "python3-samba",
    **dict.fromkeys(SAMBA_PROGRAMS, "samba"),
}


def main(arguments: Sequence[str] | None = None) -> int:
    """Make the scenes asked for; 1 if the lab cannot or did not, 2 for a scene that does not exist."""
    options = _parse(arguments)
    if options.list:
        print("\n".join(f"{scene.name:28} {scene.title}" for scene in SCENES.values()))
        return 0
    names = list(SCENES) if options.scenes == ["all"] else options.scenes
    unknown = [name for name in names if name not in SCENES]
    if unknown or not names:
        print(f"no such scene: {', '.join(unknown) or '(none named)'}; --list shows them", file=sys.stderr)
        return 2
    obstacles = _obstacles()
    if obstacles:
        print("\n".join(obstacles), file=sys.stderr)
        return 1
    return _make_all([SCENES[name] for name in names], options.output)


def make_scene(scene: Scene, destination: Path) -> None:
    """Set a scene up, let it happen, and write its captures, its log and its truth."""
    with tempfile.TemporaryDirectory(prefix="auditor-lab-") as name:
        directory = Path(name)
        with open_network(directory, addresses(scene), scene.absent) as network:
            if CLIENT not in scene.absent:
                start_client(network, scene.services)
            start_management_point(network, scene.services)
            network.set_rules(ROUTER, "forward", scene.router_rules)
            network.set_rules(CLIENT, "input", scene.client_rules)
            network.set_rules(CLIENT, "output", scene.client_outbound_rules)
            logged = start_captures(network, [AT_FIREWALL] if scene.with_log else [])
            recordings = start_captures(network, scene.taps)
            failed = scene.story(network)
            end_captures([*recordings, *logged], scene.quiet_seconds)
        if failed != scene.failed:
            steps = (directory / "steps.log").read_text(errors="replace")
            raise LabError(f"{failed} failed instead of {scene.failed}\n{steps}")
        for recording, file_name in zip(recordings, capture_names(scene), strict=True):
            store(recording, destination / file_name)
        for recording, file_name in zip(logged, log_names(scene), strict=True):
            write_log(recording.path, destination / file_name)
    (destination / f"{scene.name}.toml").write_text(truth_text(scene))


def _parse(arguments: Sequence[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("scenes", nargs="*", metavar="SCENE", help="names of scenes, or: all")
    parser.add_argument("--list", action="store_true", help="show the scenes")
    parser.add_argument("-o", "--output", type=Path, default=DESTINATION, help="folder for the captures")
    return parser.parse_args(arguments)


def _obstacles() -> list[str]:
    """Say what keeps the lab from running, one line each."""
    found = [] if os.geteuid() == 0 else ["the lab makes network namespaces and must run as root: use sudo"]
    missing = [program for program in DEBIAN_PACKAGES if shutil.which(program) is None]
    return found + [f"{program} is missing: apt install {DEBIAN_PACKAGES[program]}" for program in missing]


def _make_all(scenes: Sequence[Scene], destination: Path) -> int:
    signal.signal(signal.SIGTERM, lambda *_: sys.exit("ended"))  # so that everything is taken down
    for scene in scenes:
        started = time.monotonic()
        try:
            make_scene(scene, destination)
        except (LabError, subprocess.SubprocessError) as error:
            print(f"{scene.name}: {error}", file=sys.stderr)
            return 1
        except KeyboardInterrupt:
            print("interrupted; everything was taken down", file=sys.stderr)
            return 1
        print(
            f"{scene.name}: {', '.join(capture_names(scene) + log_names(scene))} ({time.monotonic() - started:.0f} s)",
            flush=True,
        )
    return 0


if __name__ == "__main__":
    sys.exit(main())
