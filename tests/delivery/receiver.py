"""An HTTP receiver of webhooks on this machine, in a thread of its own."""

from __future__ import annotations

import time
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from threading import Thread
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator


@dataclass(frozen=True)
class Request:
    at: float
    path: str
    headers: dict[str, str]
    body: bytes


@dataclass
class Receiver:
    """
    A receiver that responds as it is told, and remembers what it got.

    Attributes:
        port: Its port on 127.0.0.1.
        answers: Status and headers of the next responses; after them, and at first,
            204.
        body: The body of each response that may have one.
        requests: All requests so far.
        connections: The number of connections so far.
    """

    port: int = 0
    answers: list[tuple[int, dict[str, str]]] = field(default_factory=list)
    body: bytes = b""
    requests: list[Request] = field(default_factory=list)
    connections: int = 0

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}/hook"


@contextmanager
def running_receiver() -> Iterator[Receiver]:
    receiver = Receiver()

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def setup(self):
            receiver.connections += 1
            super().setup()

        def do_POST(self):
            body = self.rfile.read(int(self.headers["Content-Length"]))
            receiver.requests.append(
                Request(time.monotonic(), self.path, dict(self.headers), body)
            )
            status, headers = receiver.answers.pop(0) if receiver.answers else (204, {})
            self.send_response(status)
            for name, value in headers.items():
                self.send_header(name, value)
            if status != 204:
                self.send_header("Content-Length", str(len(receiver.body)))
            self.end_headers()
            if status != 204:
                self.wfile.write(receiver.body)

        def log_message(self, *args):
            """Print nothing."""

    class Server(ThreadingHTTPServer):
        def handle_error(self, request, client_address):
            """Print nothing about clients that do not read a response."""

    with Server(("127.0.0.1", 0), Handler) as server:
        receiver.port = server.server_port
        thread = Thread(target=server.serve_forever, args=(0.05,))
        thread.start()
        try:
            yield receiver
        finally:
            server.shutdown()
            thread.join()
