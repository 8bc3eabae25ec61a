"""The management point's certificate: self-signed, valid or expired."""

from __future__ import annotations

import subprocess
from collections.abc import Sequence
from pathlib import Path

from network import DOMAIN, MANAGEMENT_POINT, Network

EXPIRED = ("-startdate", "20240101000000Z", "-enddate", "20250101000000Z")
SIGNING = """\
[ca]
default_ca = lab
[lab]
database = {directory}/issued.txt
new_certs_dir = {directory}
default_md = sha256
rand_serial = yes
policy = names
[names]
commonName = supplied
"""


def certificate_path(network: Network) -> Path:
    """Return the path of the management point's certificate, without its key."""
    return network.directory / "certificate.pem"


def make_certificate(network: Network, dates: Sequence[str]) -> Path:
    """Make a self-signed certificate and its key, in one file; valid for ten years unless there are dates."""
    path, certificate = network.directory / "management-point.pem", certificate_path(network)
    subject = f"/CN={MANAGEMENT_POINT.hostname}.{DOMAIN}"
    make = ["openssl", "req", "-newkey", "rsa:2048", "-nodes", "-subj", subject, "-keyout", str(path)]
    if dates:
        _openssl(*make, "-out", str(network.directory / "request.pem"))
        _sign(network.directory, path, certificate, dates)
    else:
        _openssl(*make, "-x509", "-days", "3650", "-out", str(certificate))
    with path.open("a") as file:
        file.write(certificate.read_text())
    return path


def _sign(directory: Path, key: Path, certificate: Path, dates: Sequence[str]) -> None:
    """Sign a certificate request with its own key, with dates that `openssl req` does not take."""
    (directory / "issued.txt").touch()
    (directory / "signing.cnf").write_text(SIGNING.format(directory=directory))
    sign = ["openssl", "ca", "-config", str(directory / "signing.cnf"), "-selfsign", "-batch", "-notext", *dates]
    _openssl(*sign, "-keyfile", str(key), "-in", str(directory / "request.pem"), "-out", str(certificate))


def _openssl(*command: str) -> None:
    subprocess.run(command, capture_output=True, check=True)
