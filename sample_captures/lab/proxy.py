"""An inspecting proxy: fetches what the client asks for with GET, and refuses methods that are not HTTP's own."""

from __future__ import annotations

import argparse
import http.client
from http import HTTPStatus
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer


class Proxy(BaseHTTPRequestHandler):
    """Answers in the name of the web server that the client connected to."""

    server_version = "Proxy"
    sys_version = ""

    def do_GET(self) -> None:
        """Fetch the page from the host that the client named, and give it out."""
        connection = http.client.HTTPConnection(self.headers["Host"], timeout=5)
        connection.request("GET", self.path, headers={"User-Agent": self.headers["User-Agent"], "Via": "1.1 proxy"})
        answer = connection.getresponse()
        self._answer(answer.status, answer.read(), {"Content-Type": answer.headers["Content-Type"]})
        connection.close()

    def do_CCM_POST(self) -> None:
        """Refuse a method that is not HTTP's own."""
        self.rfile.read(int(self.headers.get("Content-Length", "0")))
        self._answer(HTTPStatus.METHOD_NOT_ALLOWED, b"method not allowed\n", {"Allow": "GET"})

    def log_message(self, format: str, *args: object) -> None:  # noqa: A002 - the base class names it so
        """Say nothing."""

    def _answer(self, status: int, body: bytes, headers: dict[str, str]) -> None:
        self.send_response(status)
        for name, value in (headers | {"Via": "1.1 proxy", "Content-Length": str(len(body))}).items():
            self.send_header(name, value)
        self.end_headers()
        self.wfile.write(body)


def main() -> None:
    """Serve until ended."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--port", type=int, required=True)
    ThreadingHTTPServer(("", parser.parse_args().port), Proxy).serve_forever()


if __name__ == "__main__":
    main()
