"""A management point as the client's installer sees it: GET of the cabinet file, CCM_POST of a request."""

from __future__ import annotations

import argparse
import socket
import ssl
import threading
from http import HTTPStatus
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

CABINET = b"MSCF" + b"a dummy cabinet file of the lab\n" * 160
ANSWER = b"<ClientRegistrationResponse>lab</ClientRegistrationResponse>"


class ManagementPoint(BaseHTTPRequestHandler):
    """Answers the two requests of an installation; everything else is 404."""

    server_version = "ManagementPoint"
    sys_version = ""
    status = 200

    def do_GET(self) -> None:
        """Give out ccmsetup.cab; 404 for everything else."""
        known = self.path.lower() == "/ccm_client/ccmsetup.cab"
        self._answer(CABINET if known else None, "application/octet-stream")

    def do_CCM_POST(self) -> None:
        """Take a client's registration."""
        self.rfile.read(int(self.headers.get("Content-Length", "0")))
        known = self.path.lower() == "/ccm_system/request"
        self._answer(ANSWER if known else None, "multipart/mixed")

    def log_message(self, format: str, *args: object) -> None:  # noqa: A002 - the base class names it so
        """Say nothing."""

    def _answer(self, body: bytes | None, kind: str) -> None:
        status = 404 if body is None else self.status
        body = body if body is not None and status == 200 else b"error\n"
        self.send_response(status)
        if status == HTTPStatus.UNAUTHORIZED:
            self.send_header("WWW-Authenticate", "Negotiate")
            self.send_header("WWW-Authenticate", "NTLM")
        self.send_header("Content-Type", kind)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)


class DualStackServer(ThreadingHTTPServer):
    """Listens on IPv6 and, mapped, on IPv4."""

    address_family = socket.AF_INET6


def serve(port: int, certificate: str | None, *, ask_client: bool = False) -> None:
    """Answer on one port, with TLS if there is a certificate; `ask_client` wants the client's certificate too."""
    server = DualStackServer(("::", port), ManagementPoint)
    if certificate is not None:
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(certificate)
        if ask_client:
            context.load_verify_locations(certificate)
            context.verify_mode = ssl.CERT_REQUIRED
        server.socket = context.wrap_socket(server.socket, server_side=True)
    threading.Thread(target=server.serve_forever).start()


def main() -> None:
    """Serve until ended."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--http", type=int)
    parser.add_argument("--https", type=int)
    parser.add_argument("--certificate")
    parser.add_argument("--client-certificate", action="store_true")
    parser.add_argument("--status", type=int, default=200)
    options = parser.parse_args()
    ManagementPoint.status = options.status
    if options.http is not None:
        serve(options.http, None)
    if options.https is not None:
        serve(options.https, options.certificate, ask_client=options.client_certificate)


if __name__ == "__main__":
    main()
