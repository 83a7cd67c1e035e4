"""
The events that a consumer of the demo has got, in a database of its own.

Run as a program, this module is a receiver of webhooks. It uses neither Django nor
django-enrollments, like a service of somebody else.
"""

from __future__ import annotations

import sqlite3
import sys
from contextlib import suppress
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from threading import Lock
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

HOST = "127.0.0.1"


class Records:
    """
    The deliveries to one consumer, in their order.

    Args:
        path: The database, which is created if it is missing.
    """

    def __init__(self, path: str | Path) -> None:
        # One thread writes at a time.
        self._lock = Lock()
        # A process that is killed loses nothing that was committed.
        self._database = sqlite3.connect(
            path, timeout=60, isolation_level=None, check_same_thread=False
        )
        self._database.executescript(
            "PRAGMA journal_mode=WAL; PRAGMA synchronous=OFF;"
            "CREATE TABLE IF NOT EXISTS delivery "
            "(number INTEGER PRIMARY KEY, event TEXT, partition TEXT)"
        )

    def add(self, event: Mapping[str, Any]) -> None:
        """Add a delivery of a CloudEvent."""
        with self._lock:
            self._database.execute(
                "INSERT INTO delivery (event, partition) VALUES (?, ?)",
                (event["id"], event["partitionkey"]),
            )

    def read(self) -> list[tuple[str, str]]:
        """Return the id and the enrollment of each delivery, in order."""
        rows = self._database.execute(
            "SELECT event, partition FROM delivery ORDER BY number"
        )
        return list(rows)


def receive(port: int, secret: str, path: str) -> None:
    """
    Receive webhooks until the process is killed.

    Args:
        port: The port on this machine.
        secret: The secret that the sender signs with.
        path: The database of the records.
    """
    from standardwebhooks import Webhook, WebhookVerificationError

    webhook, records = Webhook(secret), Records(path)

    class Receiver(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers["Content-Length"]))
            try:
                records.add(webhook.verify(body, dict(self.headers)))
            except WebhookVerificationError:
                self.send_response(401)
            else:
                self.send_response(204)
            self.end_headers()

        def log_message(self, *args: object) -> None:
            """Print nothing."""

    with suppress(KeyboardInterrupt):
        ThreadingHTTPServer((HOST, port), Receiver).serve_forever()


if __name__ == "__main__":
    receive(int(sys.argv[1]), sys.argv[2], sys.argv[3])
